/* The multiply-add peak of this machine on the kernels' path. */
#include "peak.h"

#include <string.h>

#include "base/clock.h"
#include "base/parallel.h"
#include "taxon.h"

enum { ROUNDS = 1 << 22 };

static void chain_task(void *context, int64_t index, int worker) {
  float *sinks = context;
  (void)index;
  if (strcmp(tx_cpu_path(), "avx512") == 0) {
    (void)bench_chain_avx512(ROUNDS, sinks + 16 * worker);
  } else {
    (void)bench_chain_avx2(ROUNDS, sinks + 16 * worker);
  }
}

double bench_fma_peak(int threads) {
  static float sinks[TX_MAX_THREADS * 16];
  double lanes = strcmp(tx_cpu_path(), "avx512") == 0 ? 16 : 8, best = 0;
  for (int round = 0; round < 3; round++) {
    double start = tx_seconds();
    tx_parallel(threads, chain_task, sinks);
    double rate = 2 * lanes * 12 * ROUNDS * threads / (tx_seconds() - start) / 1e9;
    best = rate > best ? rate : best;
  }
  return best;
}
