/* fp32 products at a model's shapes: GFLOP/s and percent of the multiply-add
 * peak measured in the same run, beside OpenBLAS.  Measures; asserts nothing.
 *
 *   make bench-products        (or build/bench/products [seconds a figure])   */
#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/random.h"
#include "kernels/product.h"
#include "peak.h"

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
} run_work;

static void run_ours(const run_work *w) { tx_product_run(&w->product); }

static void run_openblas(const run_work *w) {
  const tx_product *p = &w->product;
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)p->rows, (int)p->columns, (int)p->depth,
              1, p->x, (int)p->depth, w->weight, (int)p->depth, 0, p->y, (int)p->columns);
}

static double gflops(void (*run)(const run_work *), const run_work *w) {
  double flops = 2.0 * (double)(w->product.rows * w->product.depth * w->product.columns);
  run(w);
  double best = 0;
  for (int repeat = 0; repeat < 3; repeat++) {
    int64_t rounds = 0;
    double start = tx_seconds(), taken;
    do {
      run(w);
      rounds++;
      taken = tx_seconds() - start;
    } while (taken < least_seconds / 3);
    double rate = flops * (double)rounds / taken / 1e9;
    best = rate > best ? rate : best;
  }
  return best;
}

static void measure(const shape *s, int64_t rows, int threads) {
  run_work w = {.weight = filled(s->inputs * s->outputs, 1)};
  float *panels = tx_pages_alloc(tx_packed_size(s->inputs, s->outputs) * sizeof(float));
  float *x = filled(rows * s->inputs, 2), *y = filled(rows * s->outputs, 3);
  tx_pack(w.weight, 1, s->inputs, s->inputs, s->outputs, panels);
  w.product = (tx_product){.kernels = tx_kernels_get(), .rows = rows, .depth = s->inputs,
                           .columns = s->outputs, .x = x, .x_row = s->inputs, .x_step = 1,
                           .panels = panels, .y = y, .y_row = s->outputs};
  tx_set_threads(threads);
  openblas_set_num_threads(threads);
  double peak = bench_fma_peak(threads);
  double ours = gflops(run_ours, &w), theirs = gflops(run_openblas, &w);
  double after = bench_fma_peak(threads);
  peak = after > peak ? after : peak;
  printf("%-12s %5ld %7d %8.1f %8.1f %6.1f%% %9.1f %6.1f%% %6.2f\n", s->name, (long)rows, threads,
         peak, ours, 100 * ours / peak, theirs, 100 * theirs / peak, ours / theirs);
  fflush(stdout);
  tx_pages_free((void *)w.weight, (size_t)(s->inputs * s->outputs) * 4);
  tx_pages_free(panels, tx_packed_size(s->inputs, s->outputs) * 4);
  tx_pages_free(x, (size_t)(rows * s->inputs) * 4);
  tx_pages_free(y, (size_t)(rows * s->outputs) * 4);
}

int main(int argc, char **argv) {
  static const int64_t rows[] = {8, 64, 512};
  if (argc > 1) least_seconds = atof(argv[1]);
  printf("kernels %s; GFLOP/s, percent of the multiply-add peak around each figure\n",
         tx_cpu_path());
  printf("%-12s %5s %7s %8s %8s %7s %9s %7s %6s\n", "product", "rows", "threads", "peak", "taxon",
         "", "OpenBLAS", "", "ratio");
  tx_set_threads(0);
  int most = tx_threads();
  for (int threads = 1; threads <= most; threads += most - 1 > 0 ? most - 1 : 1) {
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
      for (size_t r = 0; r < 3; r++) measure(&shapes[s], rows[r], threads);
    }
    tx_set_threads(threads);
    printf("one tile in cache, %d thread%s: %.1f GFLOP/s\n", threads, threads > 1 ? "s" : "",
           tile_gflops(threads));
  }
  return 0;
}
