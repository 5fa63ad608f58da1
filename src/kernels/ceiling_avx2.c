/* The loops of ceiling.h in AVX2 and FMA. */
#include "kernels/lanes_avx2.h"

#define CHAINS 6 /* of two registers each */
#include "kernels/ceiling_template.h"

/* Sixteen products of 16 bits summed in pairs, then added: what a sum of bytes is
 * made of without VNNI. */
static double bytes(int64_t rounds, float *sink) {
  enum { SUMS = 12 };
  __m256i sum[SUMS], product;
  const __m256i x = _mm256_set1_epi32(0x00010002), w = _mm256_set1_epi32(0x0003ffff);
#pragma GCC unroll 12
  for (int c = 0; c < SUMS; c++) sum[c] = _mm256_set1_epi32(c);
  for (int64_t i = 0; i < rounds; i++) {
#pragma GCC unroll 12
    for (int c = 0; c < SUMS; c++) {
      __asm__ volatile("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0"
                       : "+x"(sum[c]), "=&x"(product)
                       : "x"(x), "x"(w));
    }
  }
  __m256i all = sum[0];
#pragma GCC unroll 12
  for (int c = 1; c < SUMS; c++) all = _mm256_add_epi32(all, sum[c]);
  *sink += (float)_mm_cvtsi128_si32(_mm256_castsi256_si128(all));
  return 2.0 * 16 * SUMS * (double)rounds;
}

const tx_ceiling tx_ceiling_avx2 = {"avx2", multiply_add, bytes, read_memory};
