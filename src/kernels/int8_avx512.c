/* The byte kernels in AVX-512 without VNNI, widened to 16 bits as in int8_avx2.c:
 * four rows of forty-eight columns. */
#include "kernels/int8_lanes_avx512.h"

typedef struct {
  __m512i even, odd;
} four_weights;
typedef struct {
  __m512i even, odd;
} four_inputs;

static inline four_weights weights_load(const int8_t *from) {
  __m512i all = _mm512_loadu_si512(from);
  return (four_weights){_mm512_srai_epi16(_mm512_slli_epi16(all, 8), 8), _mm512_srai_epi16(all, 8)};
}
static inline four_inputs inputs_load(const uint8_t *from) {
  __m512i all = four_bytes(from);
  return (four_inputs){_mm512_and_si512(all, _mm512_set1_epi16(255)), _mm512_srli_epi16(all, 8)};
}
static inline sums sums_add(sums sum, four_inputs x, four_weights w) {
  sum = _mm512_add_epi32(sum, _mm512_madd_epi16(x.even, w.even));
  __asm__("" : "+v"(sum)); /* see int8_avx2.c */
  return _mm512_add_epi32(sum, _mm512_madd_epi16(x.odd, w.odd));
}

#define TILE_ROWS 4
#define TILE_VECTORS 3
#define INT8 tx_int8_avx512
#define INT8_NAME "avx512"
#include "kernels/int8_template.h"
