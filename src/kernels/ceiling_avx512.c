/* The loops of ceiling.h in AVX-512, without VNNI and with it. */
#include "kernels/lanes_avx512.h"

#define CHAINS 12
#include "kernels/ceiling_template.h"

enum { SUMS = 12 };

/* Inline and unrolled, or the sums would stand in memory. */
static inline __attribute__((always_inline)) double finish(const __m512i sum[SUMS],
                                                           double operations, float *sink) {
  __m512i all = sum[0];
#pragma GCC unroll 12
  for (int c = 1; c < SUMS; c++) all = _mm512_add_epi32(all, sum[c]);
  *sink += (float)_mm_cvtsi128_si32(_mm512_castsi512_si128(all));
  return operations;
}

/* Thirty-two products of 16 bits summed in pairs, then added. */
static double bytes(int64_t rounds, float *sink) {
  __m512i sum[SUMS], product;
  const __m512i x = _mm512_set1_epi32(0x00010002), w = _mm512_set1_epi32(0x0003ffff);
#pragma GCC unroll 12
  for (int c = 0; c < SUMS; c++) sum[c] = _mm512_set1_epi32(c);
  for (int64_t i = 0; i < rounds; i++) {
#pragma GCC unroll 12
    for (int c = 0; c < SUMS; c++) {
      __asm__ volatile("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0"
                       : "+v"(sum[c]), "=&v"(product)
                       : "v"(x), "v"(w));
    }
  }
  return finish(sum, 2.0 * 32 * SUMS * (double)rounds, sink);
}

/* Written out as int8_vnni_avx512.c has it. */
static double bytes_vnni(int64_t rounds, float *sink) {
  __m512i sum[SUMS];
  const __m512i x = _mm512_set1_epi32(0x01020304), w = _mm512_set1_epi32(0x01ff01ff);
#pragma GCC unroll 12
  for (int c = 0; c < SUMS; c++) sum[c] = _mm512_set1_epi32(c);
  for (int64_t i = 0; i < rounds; i++) {
#pragma GCC unroll 12
    for (int c = 0; c < SUMS; c++) {
      __asm__ volatile("vpdpbusd %2, %1, %0" : "+v"(sum[c]) : "v"(x), "v"(w));
    }
  }
  return finish(sum, 2.0 * 64 * SUMS * (double)rounds, sink);
}

const tx_ceiling tx_ceiling_avx512 = {"avx512", multiply_add, bytes, read_memory};
const tx_ceiling tx_ceiling_vnni = {"vnni", multiply_add, bytes_vnni, read_memory};
