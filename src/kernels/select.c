/* Which kernels this machine can run, and which are in use. */
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"

static bool runs_avx2(void) {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool runs_avx512(void) {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

const tx_kernels *tx_kernels_find(const char *name) {
  if (strcmp(name, "generic") == 0) return &tx_kernels_generic;
  if (strcmp(name, "avx2") == 0) return runs_avx2() ? &tx_kernels_avx2 : NULL;
  if (strcmp(name, "avx512") == 0) return runs_avx512() ? &tx_kernels_avx512 : NULL;
  return NULL;
}

static const tx_kernels *best(void) {
  return runs_avx512() ? &tx_kernels_avx512 : runs_avx2() ? &tx_kernels_avx2 : &tx_kernels_generic;
}

const tx_kernels *tx_kernels_get(void) {
  const char *forced = getenv("TAXON_CPU");
  const tx_kernels *kernels = forced && *forced ? tx_kernels_find(forced) : NULL;
  return kernels ? kernels : best();
}

tx_status tx_kernels_check(tx_error *error) {
  const char *forced = getenv("TAXON_CPU");
  if (!forced || !*forced || tx_kernels_find(forced)) return TX_OK;
  if (strcmp(forced, "avx2") == 0 || strcmp(forced, "avx512") == 0) {
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "TAXON_CPU is %s, but this processor does not have it; unset it or take generic",
                   forced);
  }
  return tx_fail(error, TX_ERROR_ARGUMENT,
                 "TAXON_CPU is '%.40s'; it may be generic, avx2 or avx512", forced);
}

const char *tx_cpu_path(void) { return tx_kernels_get()->name; }
