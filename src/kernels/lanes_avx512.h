/* Sixteen lanes as one AVX-512 register. */
#ifndef TX_KERNELS_LANES_H
#define TX_KERNELS_LANES_H

#include <immintrin.h>
#include <stdint.h>

typedef __m512 lanes;

static inline __mmask16 first(int64_t count) { return (__mmask16)((1u << count) - 1); }
static inline lanes lanes_load(const float *from) { return _mm512_loadu_ps(from); }
static inline void lanes_store(float *to, lanes a) { _mm512_storeu_ps(to, a); }
static inline lanes lanes_load_part(const float *from, int64_t count) {
  return _mm512_maskz_loadu_ps(first(count), from);
}
static inline void lanes_store_part(float *to, lanes a, int64_t count) {
  _mm512_mask_storeu_ps(to, first(count), a);
}
static inline lanes lanes_set(float value) { return _mm512_set1_ps(value); }
static inline lanes lanes_add(lanes a, lanes b) { return _mm512_add_ps(a, b); }
static inline lanes lanes_sub(lanes a, lanes b) { return _mm512_sub_ps(a, b); }
static inline lanes lanes_mul(lanes a, lanes b) { return _mm512_mul_ps(a, b); }
static inline lanes lanes_div(lanes a, lanes b) { return _mm512_div_ps(a, b); }
static inline lanes lanes_max(lanes a, lanes b) { return _mm512_max_ps(a, b); }
static inline lanes lanes_min(lanes a, lanes b) { return _mm512_min_ps(a, b); }
static inline lanes lanes_sqrt(lanes a) { return _mm512_sqrt_ps(a); }
static inline lanes lanes_fma(lanes a, lanes b, lanes c) { return _mm512_fmadd_ps(a, b, c); }
static inline lanes lanes_power_of_two(lanes n) {
  __m512i exponent = _mm512_add_epi32(_mm512_cvttps_epi32(n), _mm512_set1_epi32(127));
  return _mm512_castsi512_ps(_mm512_slli_epi32(exponent, 23));
}
static inline float lanes_sum(lanes a) {
  __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

#endif
