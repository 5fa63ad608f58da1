/* Eight of a panel's sixteen outputs as AVX2 registers.
 *
 * VPMADDUBSW adds pairs of products in 16 bits and saturates: so many of its sums
 * are added there as cannot reach 2^15 (q_x is within [-127, 127]), and weights of
 * 8 bits are multiplied as |w| by x with the sign of w, 2 * 128 * 127 < 2^15. */
#ifndef TX_KERNELS_GROUPED_LANES_H
#define TX_KERNELS_GROUPED_LANES_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

enum { PART = 8, ROW_TILE = 2 };

typedef __m256 floats;
typedef __m256i bytes, ints;
typedef uint16_t words __attribute__((vector_size(32)));

static inline bytes bytes_load(const unsigned char *from) {
  return _mm256_loadu_si256((const __m256i *)(const void *)from);
}
static inline bytes bytes_bits(bytes from, int right, int mask) {
  words moved = right >= 0 ? (words)from >> right : (words)from << -right;
  return _mm256_and_si256((__m256i)moved, _mm256_set1_epi8((char)mask));
}
static inline bytes bytes_or(bytes a, bytes b) { return _mm256_or_si256(a, b); }
static inline ints ints_start(int32_t minus, int log_zero) {
  return _mm256_slli_epi32(_mm256_set1_epi32(minus), log_zero);
}
static inline __m256i four_of(const int8_t *x) {
  int32_t four;
  memcpy(&four, x, sizeof four);
  return _mm256_set1_epi32(four);
}
/* Keeps what is made of a weight from being kept for the next row: there are too
 * few registers for that. */
static inline __m256i once(__m256i a) {
  __asm__ volatile("" : "+x"(a));
  return a;
}
static inline ints ints_dot(int bits, int quads, const bytes *w, const int8_t *x, ints start) {
  const __m256i ones = _mm256_set1_epi16(1);
  if (bits == 8) { /* the signed weight is at hand: `start` is not needed */
    ints sum = _mm256_setzero_si256();
    for (int q = 0; q < quads; q++) {
      __m256i s = once(_mm256_xor_si256(w[q], _mm256_set1_epi8((char)0x80)));
      __m256i signed_x = _mm256_sign_epi8(four_of(x + 4 * q), s);
      __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(s), signed_x);
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones));
    }
    return sum;
  }
  const int run = bits == 4 ? 8 : bits == 5 ? 4 : 2;
  for (int q = 0; q < quads; q += run) {
    __m256i pairs = _mm256_maddubs_epi16(w[q], four_of(x + 4 * q));
    for (int i = 1; i < run; i++) {
      pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(w[q + i], four_of(x + 4 * (q + i))));
    }
    start = _mm256_add_epi32(start, _mm256_madd_epi16(pairs, ones));
  }
  return start;
}
static inline floats floats_of(ints from) { return _mm256_cvtepi32_ps(from); }
static inline floats floats_of_halves(const unsigned char *from) {
  return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)from));
}
static inline floats floats_of_u8(const unsigned char *from) {
  return floats_of(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)from)));
}
static inline floats floats_of_s8(const unsigned char *from) {
  return floats_of(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)from)));
}
static inline floats floats_set(float value) { return _mm256_set1_ps(value); }
static inline floats floats_mul(floats a, floats b) { return _mm256_mul_ps(a, b); }
static inline floats floats_fma(floats a, floats b, floats c) { return _mm256_fmadd_ps(a, b, c); }
static inline floats floats_load(const float *from) { return _mm256_loadu_ps(from); }
static inline void floats_store(float *to, floats a) { _mm256_storeu_ps(to, a); }

#endif
