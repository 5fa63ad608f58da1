/* Products at a model's shapes, in fp32 beside OpenBLAS and in bytes: GFLOP/s or
 * GOP/s and percent of the peak measured in the same run.  The figures of bytes
 * include quantising the rows.  Measures; asserts nothing.
 *
 *   make bench-products        (or build/bench/products [seconds a figure])   */
#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/random.h"
#include "kernels/ceiling.h"
#include "kernels/int8.h"
#include "kernels/product.h"

typedef struct {
  const char *name;
  int64_t inputs, outputs;
} shape;

/* SmolLM2-135M */
static const shape shapes[] = {{"query, out", 576, 576},
                               {"key, value", 576, 192},
                               {"gate, up", 576, 1536},
                               {"down", 1536, 576}};

static double least_seconds = 0.3;

static float *filled(int64_t count, uint64_t seed) {
  float *values = tx_pages_alloc((size_t)count * sizeof *values);
  if (!values) exit(4);
  tx_random random = tx_random_seed(seed);
  for (int64_t i = 0; i < count; i++) values[i] = (float)tx_random_normal(&random);
  return values;
}

/* One tile whose panel stays in the first-level cache: what the multiply-add
 * units give when nothing else is in the way. */
enum { PEAK_ROWS = 9, PEAK_DEPTH = 128, PEAK_ROUNDS = 4096 };

typedef struct {
  const float *x, *panel;
  float *y; /* (workers, PEAK_ROWS, TX_PANEL) */
} peak_work;

static void peak_task(void *context, int64_t index, int worker) {
  const peak_work *w = context;
  (void)index;
  for (int i = 0; i < PEAK_ROUNDS; i++) {
    tx_kernels_get()->product(PEAK_ROWS, PEAK_DEPTH, TX_PANEL, w->x, PEAK_DEPTH, 1, w->panel, NULL,
                              false, w->y + worker * PEAK_ROWS * TX_PANEL, TX_PANEL);
  }
}

static double tile_gflops(int threads) {
  peak_work w = {filled(PEAK_ROWS * PEAK_DEPTH, 1), filled(PEAK_DEPTH * TX_PANEL, 2),
                 filled(TX_MAX_THREADS * PEAK_ROWS * TX_PANEL, 3)};
  double best = 0;
  for (int round = 0; round < 5; round++) {
    double start = tx_seconds();
    tx_parallel(threads, peak_task, &w);
    double flops = 2.0 * PEAK_ROWS * PEAK_DEPTH * TX_PANEL * PEAK_ROUNDS * threads;
    double rate = flops / (tx_seconds() - start) / 1e9;
    best = rate > best ? rate : best;
  }
  tx_pages_free((void *)w.x, PEAK_ROWS * PEAK_DEPTH * 4);
  tx_pages_free((void *)w.panel, PEAK_DEPTH * TX_PANEL * 4);
  tx_pages_free(w.y, TX_MAX_THREADS * PEAK_ROWS * TX_PANEL * 4);
  return best;
}

typedef struct {
  tx_product product;
  const float *weight; /* (outputs, inputs), for OpenBLAS */
  tx_int8_product bytes;
  uint8_t *quantised;
} run_work;

static void run_ours(const run_work *w) { tx_product_run(&w->product); }

static void run_openblas(const run_work *w) {
  const tx_product *p = &w->product;
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)p->rows, (int)p->columns, (int)p->depth,
              1, p->x, (int)p->depth, w->weight, (int)p->depth, 0, p->y, (int)p->columns);
}

static void run_int8(const run_work *w) {
  const tx_product *p = &w->product;
  tx_int8_quantise(w->bytes.kernels, p->x, p->x_row, p->rows, p->depth, w->quantised);
  tx_int8_product_run(&w->bytes);
}

/* The best of many short spells, since other work on the machine disturbs long ones. */
static double gflops(void (*run)(const run_work *), const run_work *w) {
  const double spell = 0.002;
  double flops = 2.0 * (double)(w->product.rows * w->product.depth * w->product.columns);
  run(w);
  double best = 0, begin = tx_seconds(), now = begin;
  while (now - begin < least_seconds) {
    int64_t rounds = 0;
    double start = now;
    do {
      run(w);
      rounds++;
      now = tx_seconds();
    } while (now - start < spell);
    double rate = flops * (double)rounds / (now - start) / 1e9;
    best = rate > best ? rate : best;
  }
  return best;
}

/* The greatest of many short spells and of `peak`, an earlier one. */
static double higher(double peak, double (*ceiling)(double)) {
  for (int spell = 0; spell < 24; spell++) {
    double rate = ceiling(0.002) / 1e9;
    peak = rate > peak ? rate : peak;
  }
  return peak;
}

static void report_fp32(const run_work *w) {
  double peak = higher(0, tx_ceiling_multiply_add);
  double ours = gflops(run_ours, w), theirs = gflops(run_openblas, w);
  peak = higher(peak, tx_ceiling_multiply_add);
  printf(" %8.1f %8.1f %5.1f%% %9.1f %5.1f%% %6.2f", peak, ours, 100 * ours / peak, theirs,
         100 * theirs / peak, ours / theirs);
}

static void report_int8(const run_work *w) {
  double peak = higher(0, tx_ceiling_bytes), ours = gflops(run_int8, w);
  peak = higher(peak, tx_ceiling_bytes);
  printf(" %8.1f %8.1f %5.1f%%", peak, ours, 100 * ours / peak);
}

static void measure(const shape *s, int64_t rows, int threads) {
  run_work w = {.weight = filled(s->inputs * s->outputs, 1)};
  uint64_t panel_bytes = tx_packed_size(s->inputs, s->outputs) * sizeof(float);
  uint64_t packed = tx_int8_packed_bytes(s->inputs, s->outputs);
  uint64_t row_bytes = (uint64_t)rows * tx_int8_row_bytes(s->inputs);
  float *panels = tx_pages_alloc(panel_bytes);
  int8_t *byte_panels = tx_pages_alloc(packed);
  w.quantised = tx_pages_alloc(row_bytes);
  if (!panels || !byte_panels || !w.quantised) exit(4);
  float *x = filled(rows * s->inputs, 2), *y = filled(rows * s->outputs, 3);
  tx_pack(w.weight, 1, s->inputs, s->inputs, s->outputs, panels);
  tx_int8_pack(tx_int8_get(), w.weight, s->inputs, s->inputs, s->outputs, byte_panels);
  w.product = (tx_product){.kernels = tx_kernels_get(), .rows = rows, .depth = s->inputs,
                           .columns = s->outputs, .x = x, .x_row = s->inputs, .x_step = 1,
                           .panels = panels, .y = y, .y_row = s->outputs};
  w.bytes = (tx_int8_product){.kernels = tx_int8_get(), .rows = rows, .depth = s->inputs,
                              .columns = s->outputs, .x = w.quantised, .panels = byte_panels,
                              .y = y, .y_row = s->outputs};
  tx_set_threads(threads);
  openblas_set_num_threads(threads);
  printf("%-12s %5ld %7d", s->name, (long)rows, threads);
  report_fp32(&w);
  report_int8(&w);
  printf("\n");
  fflush(stdout);
  tx_pages_free((void *)w.weight, (size_t)(s->inputs * s->outputs) * 4);
  tx_pages_free(panels, panel_bytes);
  tx_pages_free(byte_panels, packed);
  tx_pages_free(w.quantised, row_bytes);
  tx_pages_free(x, (size_t)(rows * s->inputs) * 4);
  tx_pages_free(y, (size_t)(rows * s->outputs) * 4);
}

int main(int argc, char **argv) {
  static const int64_t rows[] = {1, 8, 64, 512};
  if (argc > 1) least_seconds = atof(argv[1]);
  printf("kernels %s and %s; GFLOP/s in fp32, then GOP/s in int8, percent of the peak measured "
         "around each figure\n",
         tx_cpu_path(), tx_int8_get()->name);
  printf("%-12s %5s %7s %8s %8s %6s %9s %6s %6s %8s %8s\n", "product", "rows", "threads", "peak",
         "taxon", "", "OpenBLAS", "", "ratio", "peak", "int8");
  tx_set_threads(0);
  int most = tx_threads();
  for (int threads = 1; threads <= most; threads += most - 1 > 0 ? most - 1 : 1) {
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
      for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) measure(&shapes[s], rows[r], threads);
    }
    tx_set_threads(threads);
    printf("one tile in cache, %d thread%s: %.1f GFLOP/s\n", threads, threads > 1 ? "s" : "",
           tile_gflops(threads));
  }
  return 0;
}
