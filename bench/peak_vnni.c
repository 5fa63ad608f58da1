/* The peak of VNNI: independent sums of bytes in registers, no memory at all. */
#include <immintrin.h>

#include "peak.h"

/* Twelve chains, as in peak_chain.h; every loop is unrolled, or they would not be
 * registers.  Written out as src/kernels/int8_vnni_avx512.c has it. */
double bench_chain_vnni(long rounds, float *sink) {
  enum { CHAINS = 12 };
  __m512i sum[CHAINS];
  const __m512i x = _mm512_set1_epi32(0x01020304), w = _mm512_set1_epi32(0x01ff01ff);
#pragma GCC unroll 12
  for (int c = 0; c < CHAINS; c++) sum[c] = _mm512_set1_epi32(c);
  for (long i = 0; i < rounds; i++) {
#pragma GCC unroll 12
    for (int c = 0; c < CHAINS; c++) {
      __asm__ volatile("vpdpbusd %2, %1, %0" : "+v"(sum[c]) : "v"(x), "v"(w));
    }
  }
  __m512i all = sum[0];
#pragma GCC unroll 12
  for (int c = 1; c < CHAINS; c++) all = _mm512_add_epi32(all, sum[c]);
  *sink += (float)_mm_cvtsi128_si32(_mm512_castsi512_si128(all));
  return 2.0 * 64 * CHAINS * (double)rounds;
}
