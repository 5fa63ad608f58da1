/* Single products and the ceilings they are held against.  A product and its ceiling
 * are measured in turn, in spells of some milliseconds, so that a neighbour and the
 * processor's clock weigh on both. */
#include "tasks/bench_products.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/parallel.h"
#include "base/random.h"
#include "base/watch.h"
#include "kernels/ceiling.h"
#include "kernels/grouped.h"
#include "kernels/int8.h"
#include "kernels/product.h"
#include "model/weights.h"

enum {
  LEAST_REGION = 128 << 20,
  MOST_REGION = 512 << 20,
  READ = 16 << 20, /* bytes of a spell of reading */
  MOST_ROWS = 512,
  MOST_SHAPES = 64,
  LINE = 64
};

static const double spell = 0.002;

static int compare_doubles(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

double tx_bench_median(double *values, int64_t count) {
  qsort(values, (size_t)count, sizeof *values, compare_doubles);
  return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* ---- the region and the ceilings ------------------------------------------ */

tx_status tx_bench_region_open(tx_bench_region *region, tx_error *error) {
  long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
  size_t size = cache > 0 && cache < MOST_REGION / 4 ? 4 * (size_t)cache : MOST_REGION;
  if (cache <= 0 || size < LEAST_REGION) size = LEAST_REGION;
  size -= size % READ;
  *region = (tx_bench_region){tx_pages_alloc(size), size, 0};
  if (!region->memory) return tx_fail_memory(error, size, "measuring memory");
  memset(region->memory, 0x35, size); /* pages of its own, not the one page of zeros */
  return TX_OK;
}

void tx_bench_region_close(tx_bench_region *region) {
  if (region->memory) tx_pages_free(region->memory, region->size);
  *region = (tx_bench_region){0};
}

static double read_on(tx_bench_region *region) {
  if (region->at + READ > region->size) region->at = 0;
  double rate = tx_ceiling_memory(region->memory + region->at, READ);
  region->at += READ;
  return rate;
}

void tx_bench_ceilings_measure(tx_bench_region *region, double seconds,
                               tx_bench_ceilings *ceilings) {
  double rates[3][TX_BENCH_MOST_SPELLS], start = tx_seconds();
  int64_t count = 0;
  (void)tx_ceiling_multiply_add(spell); /* the workers are started */
  do {
    rates[0][count] = tx_ceiling_multiply_add(spell);
    rates[1][count] = tx_ceiling_bytes(spell);
    rates[2][count++] = read_on(region);
  } while (count < TX_BENCH_MOST_SPELLS && tx_seconds() - start < seconds);
  *ceilings = (tx_bench_ceilings){tx_bench_median(rates[0], count),
                                  tx_bench_median(rates[1], count),
                                  tx_bench_median(rates[2], count)};
}

/* ---- a matrix in one packed form ------------------------------------------- */

typedef enum form { FORM_F32, FORM_INT8, FORM_GROUPED } form;

/* Of the model's matrices the first of its shape and form. */
typedef struct {
  form form;
  uint32_t type; /* in the file */
  int64_t block, inputs, outputs;
  tx_matrix_slot slot;
} shape;

typedef struct {
  const tx_model *model;
  tx_bench_region *region;
  shape shapes[MOST_SHAPES];
  int shape_count;
  double seconds;
  float *x, *y;          /* (MOST_ROWS, most inputs), (MOST_ROWS, most outputs) */
  unsigned char *bytes;  /* quantised rows of either form */
  size_t x_size, y_size, bytes_size;
  /* Of the shape in hand: */
  unsigned char *panels;
  size_t panel_bytes;
} bench;

static const char *type_name(const shape *s) {
  tx_tensor_type_facts facts;
  if (s->form == FORM_F32) return "f32";
  if (s->form == FORM_INT8) return "int8";
  return tx_tensor_type_find(s->type, &facts) ? facts.name : "?";
}

static size_t packed_bytes(const shape *s) {
  uint64_t bytes = s->form == FORM_F32    ? tx_packed_size(s->inputs, s->outputs) * sizeof(float)
                   : s->form == FORM_INT8 ? tx_int8_packed_bytes(s->inputs, s->outputs)
                                          : tx_grouped_packed_bytes(s->type, s->inputs, s->outputs);
  return (size_t)((bytes + LINE - 1) / LINE * LINE);
}

static void add_shape(bench *b, shape s) {
  for (int i = 0; i < b->shape_count; i++) {
    const shape *other = &b->shapes[i];
    if (other->form == s.form && other->inputs == s.inputs && other->outputs == s.outputs &&
        (s.form != FORM_GROUPED || other->type == s.type)) {
      return;
    }
  }
  if (packed_bytes(&s) == 0 || b->shape_count == MOST_SHAPES) return;
  b->shapes[b->shape_count++] = s;
}

static tx_status find_shapes(bench *b, tx_error *error) {
  const tx_facts *facts = tx_model_facts(b->model);
  for (int f = FORM_F32; f <= FORM_GROUPED; f++) {
    for (int64_t block = 0; block < facts->blocks; block++) {
      for (int slot = 0; slot < TX_MATRICES; slot++) {
        shape s = {.form = (form)f, .block = block, .slot = (tx_matrix_slot)slot};
        tx_matrix_shape(facts, s.slot, &s.outputs, &s.inputs);
        if (s.outputs == 0) continue;
        tx_weight weight;
        TX_TRY(tx_weight_of_matrix(tx_model_gguf(b->model), NULL, facts, block, s.slot, false,
                                   &weight, error));
        s.type = weight.tensor->type;
        if (s.form != FORM_GROUPED || tx_grouped_supports(s.type, s.inputs)) add_shape(b, s);
      }
    }
  }
  return TX_OK;
}

/* The shape's weights from the file into b->panels. */
static tx_status pack_grouped(bench *b, const shape *s, tx_error *error) {
  tx_weight weight;
  tx_tensor_type_facts facts;
  TX_TRY(tx_weight_of_matrix(tx_model_gguf(b->model), NULL, tx_model_facts(b->model), s->block,
                             s->slot, false, &weight, error));
  if (!tx_tensor_type_find(s->type, &facts)) return TX_OK;
  int64_t row_bytes = s->inputs / facts.block * facts.block_bytes;
  tx_grouped_pack(s->type, weight.tensor->data + weight.first_row * row_bytes, s->inputs,
                  s->outputs, b->panels);
  return TX_OK;
}

static tx_status pack(bench *b, const shape *s, tx_error *error) {
  if (s->form == FORM_GROUPED) return pack_grouped(b, s, error);
  float *values = tx_alloc_array((size_t)(s->inputs * s->outputs), sizeof *values);
  if (!values) return tx_fail_memory(error, (uint64_t)(s->inputs * s->outputs) * 4, "a matrix");
  tx_status status = tx_model_read_matrix(b->model, s->block, s->slot, false, values, error);
  if (status == TX_OK && s->form == FORM_F32) {
    tx_pack(values, 1, s->inputs, s->inputs, s->outputs, (float *)(void *)b->panels);
  } else if (status == TX_OK) {
    tx_int8_pack(tx_int8_get(), values, s->inputs, s->inputs, s->outputs, (int8_t *)b->panels);
  }
  tx_free(values);
  return status;
}

/* ---- running a product ------------------------------------------------------ */

static void run_f32(const bench *b, const shape *s, int64_t rows, const unsigned char *panels) {
  tx_product_run(&(tx_product){.kernels = tx_kernels_get(), .rows = rows, .depth = s->inputs,
                               .columns = s->outputs, .x = b->x, .x_row = s->inputs, .x_step = 1,
                               .panels = (const float *)(const void *)panels, .y = b->y,
                               .y_row = s->outputs});
}

static void run_int8(const bench *b, const shape *s, int64_t rows, const unsigned char *panels) {
  const tx_int8 *kernels = tx_int8_get();
  tx_int8_quantise(kernels, b->x, s->inputs, rows, s->inputs, b->bytes);
  tx_int8_product_run(&(tx_int8_product){.kernels = kernels, .rows = rows, .depth = s->inputs,
                                         .columns = s->outputs, .x = b->bytes,
                                         .panels = (const int8_t *)panels, .y = b->y,
                                         .y_row = s->outputs});
}

static void run_grouped(const bench *b, const shape *s, int64_t rows, const unsigned char *panels) {
  const tx_grouped *kernels = tx_grouped_get();
  tx_group *groups = (tx_group *)(void *)b->bytes;
  tx_grouped_quantise(kernels, b->x, s->inputs, rows, s->inputs, groups);
  tx_grouped_product_run(&(tx_grouped_product){.kernels = kernels, .type = s->type, .rows = rows,
                                               .depth = s->inputs, .columns = s->outputs,
                                               .x = groups, .panels = panels, .y = b->y,
                                               .y_row = s->outputs});
}

static void run(const bench *b, const shape *s, int64_t rows, const unsigned char *panels) {
  (s->form == FORM_F32 ? run_f32 : s->form == FORM_INT8 ? run_int8 : run_grouped)(b, s, rows,
                                                                                  panels);
}

/* ---- a figure --------------------------------------------------------------- */

/* One row over copies of the weights that come from memory, going on where the last
 * reading ended: bytes a second. */
static double cold_spell(bench *b, const shape *s) {
  tx_bench_region *r = b->region;
  double start = tx_seconds(), taken, bytes = 0;
  r->at = (r->at + b->panel_bytes - 1) / b->panel_bytes * b->panel_bytes;
  do {
    if (r->at + b->panel_bytes > r->size) r->at = 0;
    run(b, s, 1, r->memory + r->at);
    r->at += b->panel_bytes;
    bytes += (double)b->panel_bytes;
    taken = tx_seconds() - start;
  } while (taken < spell);
  return bytes / taken;
}

/* Over the same weights again and again: operations a second. */
static double warm_spell(const bench *b, const shape *s, int64_t rows) {
  double start = tx_seconds(), taken, products = 0;
  do {
    run(b, s, rows, b->panels);
    products++;
    taken = tx_seconds() - start;
  } while (taken < spell);
  return products * 2.0 * (double)(rows * s->inputs * s->outputs) / taken;
}

static double ceiling_spell(bench *b, const shape *s, bool memory) {
  if (memory) return read_on(b->region);
  return s->form == FORM_F32 ? tx_ceiling_multiply_add(spell) : tx_ceiling_bytes(spell);
}

static tx_bench_product measure(bench *b, const shape *s, int64_t rows, int threads) {
  double achieved[TX_BENCH_MOST_SPELLS], ceilings[TX_BENCH_MOST_SPELLS];
  bool memory = rows == 1;
  int64_t count = 0;
  tx_set_threads(threads);
  run(b, s, rows, b->panels);
  double start = tx_seconds();
  do {
    ceilings[count] = ceiling_spell(b, s, memory);
    achieved[count] = memory ? cold_spell(b, s) : warm_spell(b, s, rows);
    count++;
  } while (count < TX_BENCH_MOST_SPELLS && tx_seconds() - start < b->seconds);
  double reached = tx_bench_median(achieved, count), ceiling = tx_bench_median(ceilings, count);
  return (tx_bench_product){.type = type_name(s), .rows = rows, .inputs = s->inputs,
                            .outputs = s->outputs, .threads = threads, .memory = memory,
                            .achieved = reached, .ceiling = ceiling,
                            .share = ceiling > 0 ? reached / ceiling : 0};
}

/* ---- all of them ------------------------------------------------------------ */

static uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* Room for the largest of the shapes. */
static tx_status open_buffers(bench *b, tx_error *error) {
  uint64_t inputs = 0, outputs = 0, row = 0, panels = 0;
  for (int i = 0; i < b->shape_count; i++) {
    const shape *s = &b->shapes[i];
    inputs = larger(inputs, (uint64_t)s->inputs);
    outputs = larger(outputs, (uint64_t)s->outputs);
    row = larger(row, tx_int8_row_bytes(s->inputs));
    row = larger(row, (uint64_t)(s->inputs / TX_GROUP) * sizeof(tx_group));
    panels = larger(panels, packed_bytes(s));
  }
  b->x_size = MOST_ROWS * inputs * sizeof(float);
  b->y_size = MOST_ROWS * outputs * sizeof(float);
  b->bytes_size = MOST_ROWS * row + LINE;
  b->panel_bytes = panels;
  b->x = tx_pages_alloc(b->x_size);
  b->y = tx_pages_alloc(b->y_size);
  b->bytes = tx_pages_alloc(b->bytes_size);
  b->panels = tx_pages_alloc(panels);
  if (!b->x || !b->y || !b->bytes || !b->panels) {
    return tx_fail_memory(error, b->x_size + b->y_size + panels, "the products");
  }
  tx_random random = tx_random_seed(1);
  for (uint64_t i = 0; i < MOST_ROWS * inputs; i++) b->x[i] = (float)tx_random_normal(&random);
  return TX_OK;
}

static void close_buffers(bench *b, size_t panels) {
  if (b->x) tx_pages_free(b->x, b->x_size);
  if (b->y) tx_pages_free(b->y, b->y_size);
  if (b->bytes) tx_pages_free(b->bytes, b->bytes_size);
  if (b->panels) tx_pages_free(b->panels, panels);
}

/* Copies of the panels side by side; a matrix as large as the region stands there once. */
static tx_status lay_copies(bench *b, const shape *s, tx_error *error) {
  b->panel_bytes = packed_bytes(s);
  TX_TRY(pack(b, s, error));
  tx_bench_region *r = b->region;
  for (size_t at = 0; at + b->panel_bytes <= r->size; at += b->panel_bytes) {
    memcpy(r->memory + at, b->panels, b->panel_bytes);
  }
  return TX_OK;
}

static tx_status measure_all(bench *b, int threads, tx_bench_product *products,
                             const tx_watch *watch, tx_error *error) {
  static const int64_t rows[] = {1, 8, 64, 512};
  enum { ROWS = sizeof rows / sizeof *rows };
  int64_t total = (int64_t)b->shape_count * ROWS * (threads > 1 ? 2 : 1), done = 0;
  for (int i = 0; i < b->shape_count; i++) {
    tx_set_threads(threads);
    TX_TRY(lay_copies(b, &b->shapes[i], error));
    for (int t = 1; t <= threads; t += threads > 1 ? threads - 1 : 1) {
      for (int r = 0; r < ROWS; r++) {
        TX_TRY(tx_watch_check(watch, error));
        tx_watch_report(watch, "products", done, total, "figures");
        products[done++] = measure(b, &b->shapes[i], rows[r], t);
      }
    }
  }
  tx_watch_report(watch, "products", total, total, "figures");
  return TX_OK;
}

/* What is larger than the region cannot come from memory again and again, and is
 * measured nowhere else either. */
static void leave_out_larger(bench *b) {
  int kept = 0;
  for (int i = 0; i < b->shape_count; i++) {
    if (packed_bytes(&b->shapes[i]) <= b->region->size) b->shapes[kept++] = b->shapes[i];
  }
  b->shape_count = kept;
}

tx_status tx_bench_products_measure(const tx_model *model, tx_bench_region *region, int threads,
                                    double seconds, tx_arena *arena, tx_bench_product **products,
                                    size_t *count, const tx_watch *watch, tx_error *error) {
  bench *b = tx_alloc_zero(1, sizeof *b);
  if (!b) return tx_fail_memory(error, sizeof *b, "the products");
  *b = (bench){.model = model, .region = region, .seconds = seconds};
  tx_status status = find_shapes(b, error);
  leave_out_larger(b);
  if (status == TX_OK && b->shape_count > 0) status = open_buffers(b, error);
  size_t panels = b->panel_bytes;
  *count = (size_t)b->shape_count * 4 * (threads > 1 ? 2 : 1);
  *products = tx_arena_array(arena, *count, sizeof **products);
  if (status == TX_OK && !*products) status = tx_fail_memory(error, *count * 64, "the products");
  if (status == TX_OK) status = measure_all(b, threads, *products, watch, error);
  close_buffers(b, panels);
  tx_free(b);
  return status;
}
