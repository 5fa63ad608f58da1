/* Sixteen sums in int32 as one AVX-512 register: what the path with VNNI and the
 * one without share. */
#ifndef TX_KERNELS_INT8_LANES_AVX512_H
#define TX_KERNELS_INT8_LANES_AVX512_H

#include <string.h>

#include "kernels/lanes_avx512.h"

typedef __m512i sums;

static inline sums sums_zero(void) { return _mm512_setzero_si512(); }
static inline __m512i four_bytes(const uint8_t *from) {
  int32_t four;
  memcpy(&four, from, sizeof four);
  return _mm512_set1_epi32(four);
}
/* sum - zero * column_sum, in fp32 */
static inline lanes sums_less(sums sum, int32_t zero, const int32_t *column_sum) {
  __m512i less = _mm512_mullo_epi32(_mm512_set1_epi32(zero), _mm512_loadu_si512(column_sum));
  return _mm512_cvtepi32_ps(_mm512_sub_epi32(sum, less));
}
static inline void store_bytes(uint8_t *to, lanes a) {
  __m128i bytes = _mm512_cvtepi32_epi8(_mm512_castps_si512(a));
  _mm_storeu_si128((__m128i *)(void *)to, bytes);
}

#endif
