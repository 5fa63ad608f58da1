/* A panel's sixteen outputs as AVX-512 registers, with VNNI where the file that
 * includes this defines VNNI; without it, as lanes_avx2 does, but for 8 bits.
 *
 * VPDPBUSD is written as assembly: compilers move its accumulators about. */
#ifndef TX_KERNELS_GROUPED_LANES_H
#define TX_KERNELS_GROUPED_LANES_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

enum { PART = 16, ROW_TILE = 8 };

typedef __m512 floats;
typedef __m512i bytes, ints;
typedef uint16_t words __attribute__((vector_size(64)));

static inline bytes bytes_load(const unsigned char *from) { return _mm512_loadu_si512(from); }
static inline bytes bytes_bits(bytes from, int right, int mask) {
  words moved = right >= 0 ? (words)from >> right : (words)from << -right;
  return _mm512_and_si512((__m512i)moved, _mm512_set1_epi8((char)mask));
}
static inline bytes bytes_or(bytes a, bytes b) { return _mm512_or_si512(a, b); }
static inline ints ints_start(int32_t minus, int log_zero) {
  return _mm512_slli_epi32(_mm512_set1_epi32(minus), (unsigned)log_zero);
}
#ifdef VNNI
static inline ints ints_dot(int bits, int quads, const bytes *w, const int8_t *x, ints start) {
  (void)bits;
  for (int q = 0; q < quads; q++) {
    const int8_t(*four)[4] = (const int8_t(*)[4])(const void *)(x + 4 * q);
    __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(start) : "v"(w[q]), "m"(*four));
  }
  return start;
}
#else
static inline __m512i four_of(const int8_t *x) {
  int32_t four;
  memcpy(&four, x, sizeof four);
  return _mm512_set1_epi32(four);
}
/* w = low bits + high bit: the parts of 8-bit weights do not saturate one by one. */
static inline ints ints_dot(int bits, int quads, const bytes *w, const int8_t *x, ints start) {
  const __m512i ones = _mm512_set1_epi16(1);
  if (bits == 8) {
    for (int q = 0; q < quads; q++) {
      __m512i four = four_of(x + 4 * q), top = _mm512_set1_epi8((char)0x80);
      __m512i all = w[q];
      __asm__ volatile("" : "+v"(all)); /* keeps its parts from being kept for the next row */
      __m512i low = _mm512_maddubs_epi16(_mm512_andnot_si512(top, all), four);
      __m512i high = _mm512_maddubs_epi16(_mm512_and_si512(top, all), four);
      start = _mm512_add_epi32(start, _mm512_madd_epi16(low, ones));
      start = _mm512_add_epi32(start, _mm512_madd_epi16(high, ones));
    }
    return start;
  }
  const int run = bits == 4 ? 8 : bits == 5 ? 4 : 2;
  for (int q = 0; q < quads; q += run) {
    __m512i pairs = _mm512_maddubs_epi16(w[q], four_of(x + 4 * q));
    for (int i = 1; i < run; i++) {
      pairs = _mm512_add_epi16(pairs, _mm512_maddubs_epi16(w[q + i], four_of(x + 4 * (q + i))));
    }
    start = _mm512_add_epi32(start, _mm512_madd_epi16(pairs, ones));
  }
  return start;
}
#endif
static inline floats floats_of(ints from) { return _mm512_cvtepi32_ps(from); }
static inline floats floats_of_halves(const unsigned char *from) {
  return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)from));
}
static inline floats floats_of_u8(const unsigned char *from) {
  return floats_of(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)from)));
}
static inline floats floats_of_s8(const unsigned char *from) {
  return floats_of(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)from)));
}
static inline floats floats_set(float value) { return _mm512_set1_ps(value); }
static inline floats floats_mul(floats a, floats b) { return _mm512_mul_ps(a, b); }
static inline floats floats_fma(floats a, floats b, floats c) { return _mm512_fmadd_ps(a, b, c); }
static inline floats floats_load(const float *from) { return _mm512_loadu_ps(from); }
static inline void floats_store(float *to, floats a) { _mm512_storeu_ps(to, a); }

#endif
