/* The loops of ceiling.h, once over 16 lanes.  Defined before: CHAINS, independent
 * sums that hide the latency of a multiply-add and still fit the registers. */
#include "kernels/ceiling.h"

static double multiply_add(int64_t rounds, float *sink) {
  lanes sum[CHAINS];
  float out[16 + CHAINS];
  const lanes factor = lanes_set(0.999f), addend = lanes_set(0.001f);
  for (int i = 0; i < 16 + CHAINS; i++) out[i] = (float)i; /* no two sums are the same one */
#pragma GCC unroll 12
  for (int c = 0; c < CHAINS; c++) sum[c] = lanes_load(out + c);
  for (int64_t i = 0; i < rounds; i++) {
#pragma GCC unroll 12
    for (int c = 0; c < CHAINS; c++) sum[c] = lanes_fma(sum[c], factor, addend);
  }
  lanes all = sum[0];
#pragma GCC unroll 12
  for (int c = 1; c < CHAINS; c++) all = lanes_add(all, sum[c]);
  *sink += lanes_sum(all); /* of every lane: half of them could be left out otherwise */
  return 2.0 * 16 * CHAINS * (double)rounds;
}

typedef uint64_t wide __attribute__((vector_size(32)));
enum { AHEAD = 2048, STEP = 256 / sizeof(wide) };

/* The lines ahead are asked for, as the products do. */
static void read_memory(const void *from, size_t size, uint64_t *sink) {
  const wide *at = from, *stop = at + size / sizeof(wide);
  wide sum[4] = {{0}};
  for (; at + STEP <= stop; at += STEP) {
    for (int i = 0; i < 4; i++) __builtin_prefetch((const char *)at + AHEAD + 64 * i, 0, 3);
    for (int i = 0; i < (int)STEP; i++) sum[i % 4] ^= at[i];
  }
  sum[0] ^= sum[1] ^ sum[2] ^ sum[3];
  *sink += sum[0][0] ^ sum[0][1] ^ sum[0][2] ^ sum[0][3];
}
