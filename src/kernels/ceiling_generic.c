/* The loops of ceiling.h in portable C. */
#include "kernels/lanes_generic.h"

#define CHAINS 1
#include "kernels/ceiling_template.h"

/* As sums_add() of int8_generic.c has it. */
static double bytes(int64_t rounds, float *sink) {
  int32_t sum[16] = {0}, x[4] = {1, 2, 3, 4}, w[16][4];
  for (int n = 0; n < 16; n++) {
    for (int i = 0; i < 4; i++) w[n][i] = n - 4 * i;
  }
  for (int64_t round = 0; round < rounds; round++) {
    __asm__ volatile("" : "+m"(x), "+m"(w)); /* or the products would be made once */
    for (int n = 0; n < 16; n++) {
      for (int i = 0; i < 4; i++) sum[n] += x[i] * w[n][i];
    }
  }
  *sink += (float)sum[0];
  return 2.0 * 64 * (double)rounds;
}

const tx_ceiling tx_ceiling_generic = {"generic", multiply_add, bytes, read_memory};
