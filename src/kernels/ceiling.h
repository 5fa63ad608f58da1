/* The most that this machine does, measured by loops that do nothing else: chains
 * of multiply-adds in registers, the same of bytes, and a plain read of memory.
 * What a product achieves is said as a share of these, taken in the same minute.
 * One table of loops for each instruction set, chosen as the kernels are.
 *
 * A neighbour slows a spell as it slows a product: take spells and products in
 * turn, and the median of their ratio. */
#ifndef TX_KERNELS_CEILING_H
#define TX_KERNELS_CEILING_H

#include <stddef.h>
#include <stdint.h>

typedef struct tx_ceiling {
  const char *name; /* "generic", "avx2", "avx512", "vnni" */

  /* `rounds` rounds; return the operations done (a multiply-add is two) and add
   * something of the result to *sink, so that it is needed.  `bytes` sums products of
   * bytes as int8.h does on this path. */
  double (*multiply_add)(int64_t rounds, float *sink);
  double (*bytes)(int64_t rounds, float *sink);

  /* Reads `size` bytes (a multiple of 256) at `from`, aligned to 64. */
  void (*read)(const void *from, size_t size, uint64_t *sink);
} tx_ceiling;

/* Over all workers, for about `seconds` and at least once: operations a second. */
double tx_ceiling_multiply_add(double seconds);
double tx_ceiling_bytes(double seconds);

/* Over all workers, once: bytes a second.  `size` a multiple of 256, much larger than
 * the caches if it is memory that shall be measured. */
double tx_ceiling_memory(const void *from, size_t size);

extern const tx_ceiling tx_ceiling_generic, tx_ceiling_avx2, tx_ceiling_avx512, tx_ceiling_vnni;

#endif
