/* The multiply-add peak of this machine on the kernels' path, and that of bytes. */
#include "peak.h"

#include <string.h>

#include "base/clock.h"
#include "base/parallel.h"
#include "kernels/int8.h"
#include "taxon.h"

/* Short, and many: other work on the machine disturbs long ones. */
enum { ROUNDS = 1 << 19, REPEATS = 24 };

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
  for (int round = 0; round < REPEATS; round++) {
    double start = tx_seconds();
    tx_parallel(threads, chain_task, sinks);
    double rate = 2 * lanes * 12 * ROUNDS * threads / (tx_seconds() - start) / 1e9;
    best = rate > best ? rate : best;
  }
  return best;
}

static void vnni_task(void *context, int64_t index, int worker) {
  float *sinks = context;
  (void)index;
  (void)bench_chain_vnni(ROUNDS, sinks + 16 * worker);
}

double bench_int8_peak(int threads) {
  static float sinks[TX_MAX_THREADS * 16];
  if (strcmp(tx_int8_get()->name, "vnni") != 0) return 0;
  double best = 0;
  for (int round = 0; round < REPEATS; round++) {
    double start = tx_seconds();
    tx_parallel(threads, vnni_task, sinks);
    double rate = 2.0 * 64 * 12 * ROUNDS * threads / (tx_seconds() - start) / 1e9;
    best = rate > best ? rate : best;
  }
  return best;
}
