/* Sixteen outputs in portable C: the meaning that the other lanes of grouped
 * products must match. */
#ifndef TX_KERNELS_GROUPED_LANES_H
#define TX_KERNELS_GROUPED_LANES_H

#include "kernels/lanes_generic.h"

enum { PART = 16, ROW_TILE = 1 };

typedef lanes floats;
typedef struct {
  uint8_t byte[64];
} bytes;
typedef struct {
  int32_t lane[16];
} ints;

static inline bytes bytes_load(const unsigned char *from) {
  bytes result;
  memcpy(&result, from, sizeof result);
  return result;
}
/* from >> right (or << -right), the bits of `mask` of each byte; what crosses from
 * the next byte must lie outside the mask. */
static inline bytes bytes_bits(bytes from, int right, int mask) {
  for (int i = 0; i < 64; i++) {
    int moved = right >= 0 ? from.byte[i] >> right : from.byte[i] << -right;
    from.byte[i] = (uint8_t)(moved & mask);
  }
  return from;
}
static inline bytes bytes_or(bytes a, bytes b) {
  for (int i = 0; i < 64; i++) a.byte[i] |= b.byte[i];
  return a;
}
/* minus << log_zero: where the sum of q q_x starts so that it ends as that of (q - zero) q_x. */
static inline ints ints_start(int32_t minus, int log_zero) {
  ints result;
  for (int i = 0; i < 16; i++) result.lane[i] = minus * (1 << log_zero);
  return result;
}
/* start + the products of `quads` quads, w of at most `bits` bits. */
static inline ints ints_dot(int bits, int quads, const bytes *w, const int8_t *x, ints start) {
  (void)bits;
  for (int q = 0; q < quads; q++) {
    for (int i = 0; i < 16; i++) {
      const uint8_t *four = w[q].byte + 4 * i;
      for (int k = 0; k < 4; k++) start.lane[i] += four[k] * x[4 * q + k];
    }
  }
  return start;
}
static inline floats floats_of(ints from) {
  floats result;
  for (int i = 0; i < 16; i++) result.lane[i] = (float)from.lane[i];
  return result;
}
static inline float half_to_float(const unsigned char *at) {
  uint16_t half;
  memcpy(&half, at, sizeof half);
  uint32_t rest = half & 0x7fff;
  uint32_t wide = (rest << 13) + ((rest >= 0x7c00 ? 224u : 112u) << 23);
  float small = (float)(int32_t)rest * 0x1p-24f, value; /* a subnormal half */
  if (rest < 0x400) memcpy(&wide, &small, sizeof wide);
  wide |= (uint32_t)(half & 0x8000) << 16;
  memcpy(&value, &wide, sizeof value);
  return value;
}
static inline floats floats_of_halves(const unsigned char *from) {
  floats result;
  for (int i = 0; i < 16; i++) result.lane[i] = half_to_float(from + 2 * i);
  return result;
}
static inline floats floats_of_u8(const unsigned char *from) {
  floats result;
  for (int i = 0; i < 16; i++) result.lane[i] = (float)from[i];
  return result;
}
static inline floats floats_of_s8(const unsigned char *from) {
  floats result;
  for (int i = 0; i < 16; i++) result.lane[i] = (float)(int8_t)from[i];
  return result;
}
static inline floats floats_set(float value) { return lanes_set(value); }
static inline floats floats_mul(floats a, floats b) { return lanes_mul(a, b); }
static inline floats floats_fma(floats a, floats b, floats c) { return lanes_fma(a, b, c); }
static inline floats floats_load(const float *from) { return lanes_load(from); }
static inline void floats_store(float *to, floats a) { lanes_store(to, a); }

#endif
