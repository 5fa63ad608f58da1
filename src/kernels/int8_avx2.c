/* The byte kernels in AVX2: three rows of sixteen columns.  vpmaddubsw would
 * saturate, so bytes are widened to 16 bits: the even and the odd ones of each group
 * stay in their places, and two vpmaddwd sum all four. */
#include "kernels/lanes_avx2.h"

typedef struct {
  __m256i low, high;
} sums;
typedef struct {
  __m256i low_even, low_odd, high_even, high_odd;
} four_weights;
typedef struct {
  __m256i even, odd;
} four_inputs;

static inline sums sums_zero(void) {
  return (sums){_mm256_setzero_si256(), _mm256_setzero_si256()};
}
static inline __m256i even_bytes(__m256i a) {
  return _mm256_srai_epi16(_mm256_slli_epi16(a, 8), 8);
}
static inline four_weights weights_load(const int8_t *from) {
  __m256i low = _mm256_loadu_si256((const __m256i *)(const void *)from);
  __m256i high = _mm256_loadu_si256((const __m256i *)(const void *)(from + 32));
  return (four_weights){even_bytes(low), _mm256_srai_epi16(low, 8), even_bytes(high),
                        _mm256_srai_epi16(high, 8)};
}
static inline four_inputs inputs_load(const uint8_t *from) {
  int32_t four;
  memcpy(&four, from, sizeof four);
  __m256i all = _mm256_set1_epi32(four);
  return (four_inputs){_mm256_srli_epi16(_mm256_slli_epi16(all, 8), 8), _mm256_srli_epi16(all, 8)};
}
static inline __m256i half_add(__m256i sum, four_inputs x, __m256i even, __m256i odd) {
  sum = _mm256_add_epi32(sum, _mm256_madd_epi16(x.even, even));
  /* GCC 12 would join the two products first and then lack registers for the sums. */
  __asm__("" : "+x"(sum));
  return _mm256_add_epi32(sum, _mm256_madd_epi16(x.odd, odd));
}
static inline sums sums_add(sums sum, four_inputs x, four_weights w) {
  return (sums){half_add(sum.low, x, w.low_even, w.low_odd),
                half_add(sum.high, x, w.high_even, w.high_odd)};
}
static inline __m256 half_less(__m256i sum, __m256i zero, const int32_t *column_sum) {
  __m256i all = _mm256_loadu_si256((const __m256i *)(const void *)column_sum);
  return _mm256_cvtepi32_ps(_mm256_sub_epi32(sum, _mm256_mullo_epi32(zero, all)));
}
/* sum - zero * column_sum, in fp32 */
static inline lanes sums_less(sums sum, int32_t zero, const int32_t *column_sum) {
  __m256i by = _mm256_set1_epi32(zero);
  return (lanes){half_less(sum.low, by, column_sum), half_less(sum.high, by, column_sum + 8)};
}
static inline void store_bytes(uint8_t *to, lanes a) {
  const __m256i byte = _mm256_set1_epi32(255);
  __m256i low = _mm256_and_si256(_mm256_castps_si256(a.low), byte);
  __m256i high = _mm256_and_si256(_mm256_castps_si256(a.high), byte);
  __m256i words = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, high), 0xd8);
  __m128i bytes =
      _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storeu_si128((__m128i *)(void *)to, bytes);
}

#define TILE_ROWS 3
#define TILE_VECTORS 1
#define INT8 tx_int8_avx2
#define INT8_NAME "avx2"
#include "kernels/int8_template.h"
