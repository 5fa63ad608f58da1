/* Sixteen lanes as two AVX2 registers. */
#ifndef TX_KERNELS_LANES_H
#define TX_KERNELS_LANES_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

typedef struct {
  __m256 low, high;
} lanes;

static inline lanes lanes_load(const float *from) {
  return (lanes){_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8)};
}
static inline void lanes_store(float *to, lanes a) {
  _mm256_storeu_ps(to, a.low);
  _mm256_storeu_ps(to + 8, a.high);
}
static inline lanes lanes_load_part(const float *from, int64_t count) {
  float values[16] = {0};
  memcpy(values, from, (size_t)count * sizeof *values);
  return lanes_load(values);
}
static inline void lanes_store_part(float *to, lanes a, int64_t count) {
  float values[16];
  lanes_store(values, a);
  memcpy(to, values, (size_t)count * sizeof *values);
}
static inline lanes lanes_set(float value) {
  return (lanes){_mm256_set1_ps(value), _mm256_set1_ps(value)};
}
#define BOTH(name, operation)                                           \
  static inline lanes name(lanes a, lanes b) {                          \
    return (lanes){operation(a.low, b.low), operation(a.high, b.high)}; \
  }
BOTH(lanes_add, _mm256_add_ps)
BOTH(lanes_sub, _mm256_sub_ps)
BOTH(lanes_mul, _mm256_mul_ps)
BOTH(lanes_div, _mm256_div_ps)
BOTH(lanes_max, _mm256_max_ps)
BOTH(lanes_min, _mm256_min_ps)
#undef BOTH
static inline lanes lanes_sqrt(lanes a) {
  return (lanes){_mm256_sqrt_ps(a.low), _mm256_sqrt_ps(a.high)};
}
static inline lanes lanes_fma(lanes a, lanes b, lanes c) {
  return (lanes){_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
static inline __m256 half_power_of_two(__m256 n) {
  __m256i exponent = _mm256_add_epi32(_mm256_cvttps_epi32(n), _mm256_set1_epi32(127));
  return _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
}
static inline lanes lanes_power_of_two(lanes n) {
  return (lanes){half_power_of_two(n.low), half_power_of_two(n.high)};
}
static inline float lanes_sum(lanes a) {
  __m256 eight = _mm256_add_ps(a.low, a.high);
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

#endif
