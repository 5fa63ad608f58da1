/* Products for decoding, straight from a file's own 4-, 5-, 6- and 8-bit values:
 * bytes of packed weights a second, as percent of a plain read of memory in the
 * same run.  Two sets of weights, each much larger than the caches: large matrices,
 * and a model's layers.  A set is gone through several times, reading, at 1, 8 and 16
 * rows in turn, and of each product and each piece read the least time is counted:
 * a neighbour that takes the processor now and then is left out.
 * Measures; asserts nothing.
 *
 *   build/bench/decode_products [megabytes [repeats]]                             */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/random.h"
#include "formats/gguf.h"
#include "kernels/ceiling.h"
#include "kernels/grouped.h"

enum { MOST_ROWS = 16, WIDEST = 1536, SHAPES = 4, MOST = 1 << 12, READ_BYTES = 8 << 20, ROWS = 3 };

typedef struct {
  int64_t inputs, outputs;
} shape;

/* A block of SmolLM2-135M, and the same with depths that K types allow. */
static const shape block[] = {{576, 960}, {576, 576}, {576, 3072}, {1536, 576}};
static const shape block_k[] = {{512, 960}, {512, 576}, {512, 3072}, {1536, 576}};
static const shape large = {1536, 8192};

static const int64_t row_counts[ROWS] = {1, 8, 16};

typedef struct {
  tx_grouped_product products[MOST];
  double least[ROWS][MOST], least_read[MOST]; /* seconds */
  int count;
  size_t bytes;
} layers;

static unsigned char *region;
static size_t region_bytes;
static int repeats = 15;

static void add_product(layers *l, uint32_t type, shape s, const tx_group *x, float *y) {
  size_t bytes = tx_grouped_packed_bytes(type, s.inputs, s.outputs);
  if (l->bytes + bytes > region_bytes || l->count == MOST) return;
  l->products[l->count++] = (tx_grouped_product){.kernels = tx_grouped_get(),
                                                 .type = type,
                                                 .depth = s.inputs,
                                                 .columns = s.outputs,
                                                 .x = x,
                                                 .panels = region + l->bytes,
                                                 .y = y,
                                                 .y_row = s.outputs};
  l->bytes += bytes;
}

static void fill(layers *l, uint32_t type, bool one, const tx_group *x, float *y) {
  bool super = type == TX_TENSOR_Q4_K || type == TX_TENSOR_Q6_K;
  l->count = 0, l->bytes = 0;
  for (int before = -1; before != l->count;) {
    before = l->count;
    for (int s = 0; s < (one ? 1 : SHAPES); s++) {
      add_product(l, type, one ? large : super ? block_k[s] : block[s], x, y);
    }
  }
  for (int p = 0; p < MOST; p++) {
    l->least_read[p] = 1e9;
    for (int r = 0; r < ROWS; r++) l->least[r][p] = 1e9;
  }
}

static void keep_least(double *least, double start) {
  double taken = tx_seconds() - start;
  *least = taken < *least ? taken : *least;
}

static void read_all(layers *l) {
  for (size_t i = 0; i < l->bytes / READ_BYTES; i++) {
    double start = tx_seconds();
    (void)tx_ceiling_memory(region + i * READ_BYTES, READ_BYTES);
    keep_least(&l->least_read[i], start);
  }
}

static void run_all(layers *l, int row) {
  for (int p = 0; p < l->count; p++) {
    l->products[p].rows = row_counts[row];
    double start = tx_seconds();
    tx_grouped_product_run(&l->products[p]);
    keep_least(&l->least[row][p], start);
  }
}

static double total(const double *seconds, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; i++) sum += seconds[i];
  return sum;
}

static void measure(const char *name, uint32_t type, bool one, const tx_group *x, float *y) {
  static layers l;
  fill(&l, type, one, x, y);
  for (int i = 0; i < repeats; i++) {
    read_all(&l);
    for (int r = 0; r < ROWS; r++) run_all(&l, r);
  }
  size_t pieces = l.bytes / READ_BYTES;
  double read = (double)(pieces * READ_BYTES) / total(l.least_read, pieces);
  double seconds[ROWS];
  for (int r = 0; r < ROWS; r++) seconds[r] = total(l.least[r], (size_t)l.count);
  double rate = (double)l.bytes / seconds[0];
  printf("%-5s %-6s %7d %5.0f %7.1f %7.1f %6.0f%% %7.2f %7.2f\n", name, one ? "large" : "layers",
         tx_threads(), (double)l.bytes / 1e6, read / 1e9, rate / 1e9, 100 * rate / read,
         seconds[1] / seconds[0], seconds[2] / seconds[0]);
  fflush(stdout);
}

int main(int argc, char **argv) {
  static const struct {
    const char *name;
    uint32_t type;
  } types[] = {{"Q4_1", TX_TENSOR_Q4_1}, {"Q8_0", TX_TENSOR_Q8_0}, {"Q4_0", TX_TENSOR_Q4_0},
               {"Q5_0", TX_TENSOR_Q5_0}, {"Q4_K", TX_TENSOR_Q4_K}, {"Q6_K", TX_TENSOR_Q6_K}};
  region_bytes = (size_t)(argc > 1 ? atoi(argv[1]) : 300) << 20;
  if (argc > 2) repeats = atoi(argv[2]);
  region = tx_pages_alloc(region_bytes);
  float *x = tx_alloc(MOST_ROWS * WIDEST * sizeof *x);
  float *y = tx_pages_alloc(MOST_ROWS * (size_t)large.outputs * sizeof *y);
  tx_group *groups = tx_alloc(MOST_ROWS * WIDEST / TX_GROUP * sizeof *groups);
  if (!region || !x || !y || !groups) return 4;
  memset(region, 0x35, region_bytes);
  tx_random random = tx_random_seed(1);
  for (int i = 0; i < MOST_ROWS * WIDEST; i++) x[i] = (float)tx_random_normal(&random);
  tx_grouped_quantise(tx_grouped_get(), x, WIDEST, MOST_ROWS, WIDEST, groups);
  printf("kernels %s; GB/s at one row, and the time of 8 and 16 rows as that of one\n",
         tx_grouped_get()->name);
  printf("%-5s %-6s %7s %5s %7s %7s %7s %7s %7s\n", "type", "form", "threads", "MB", "read",
         "taxon", "", "8 rows", "16 rows");
  tx_set_threads(0);
  int most = tx_threads();
  for (int threads = 1; threads <= most; threads += most > 1 ? most - 1 : 1) {
    tx_set_threads(threads);
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
      measure(types[t].name, types[t].type, true, groups, y);
      measure(types[t].name, types[t].type, false, groups, y);
    }
  }
  return 0;
}
