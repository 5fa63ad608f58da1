/* Which kernels in double are in use: those of the path that kernels.h chose. */
#include "kernels/doubles.h"

#include <string.h>

#include "kernels/kernels.h"

const tx_doubles *tx_doubles_find(const char *name) {
  if (!tx_kernels_find(name)) return NULL;
  if (strcmp(name, "avx512") == 0) return &tx_doubles_avx512;
  return strcmp(name, "avx2") == 0 ? &tx_doubles_avx2 : &tx_doubles_generic;
}

const tx_doubles *tx_doubles_get(void) { return tx_doubles_find(tx_kernels_get()->name); }
