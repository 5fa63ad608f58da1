/* Sixteen lanes in portable C: the meaning that the other lanes must match.
 *
 * The fused multiply-add is made from doubles.  The product of two floats is
 * exact in a double; the sum is rounded to odd there, which makes the second
 * rounding, to float, the only one that counts (Boldo and Melquiond, 2008). */
#ifndef TX_KERNELS_LANES_H
#define TX_KERNELS_LANES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef struct {
  float lane[16];
} lanes;

static inline float fused(float a, float b, float c) {
  double product = (double)a * b, addend = c, sum = product + addend;
  double back = sum - product;
  double lost = (product - (sum - back)) + (addend - back); /* exact: sum + lost */
  int64_t bits;
  memcpy(&bits, &sum, sizeof bits);
  /* Rounded to nearest with an even last bit: take the neighbour towards `lost`. */
  int64_t towards = (lost > 0) == (sum > 0) ? 1 : -1;
  bool finite = lost > 0 || lost < 0; /* lost is NaN where sum is not finite */
  bits += finite && !(bits & 1) ? towards : 0;
  memcpy(&sum, &bits, sizeof sum);
  return (float)sum;
}

#define EACH(expression)                                      \
  lanes result;                                               \
  for (int i = 0; i < 16; i++) result.lane[i] = (expression); \
  return result

static inline lanes lanes_load(const float *from) {
  lanes result;
  memcpy(&result, from, sizeof result);
  return result;
}
static inline void lanes_store(float *to, lanes a) { memcpy(to, &a, sizeof a); }
/* The first `count` (0..16) lanes; the rest are 0. */
static inline lanes lanes_load_part(const float *from, int64_t count) {
  EACH(i < count ? from[i] : 0.0f);
}
static inline void lanes_store_part(float *to, lanes a, int64_t count) {
  for (int i = 0; i < count; i++) to[i] = a.lane[i];
}
static inline lanes lanes_set(float value) { EACH(value); }
static inline lanes lanes_add(lanes a, lanes b) { EACH(a.lane[i] + b.lane[i]); }
static inline lanes lanes_sub(lanes a, lanes b) { EACH(a.lane[i] - b.lane[i]); }
static inline lanes lanes_mul(lanes a, lanes b) { EACH(a.lane[i] * b.lane[i]); }
static inline lanes lanes_div(lanes a, lanes b) { EACH(a.lane[i] / b.lane[i]); }
static inline lanes lanes_max(lanes a, lanes b) {
  EACH(a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]);
}
static inline lanes lanes_min(lanes a, lanes b) {
  EACH(a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]);
}
static inline lanes lanes_sqrt(lanes a) { EACH(__builtin_sqrtf(a.lane[i])); }
static inline lanes lanes_fma(lanes a, lanes b, lanes c) {
  EACH(fused(a.lane[i], b.lane[i], c.lane[i]));
}
/* 2^n for whole n in [-126, 127] */
static inline lanes lanes_power_of_two(lanes n) {
  lanes result;
  for (int i = 0; i < 16; i++) {
    int32_t bits = ((int32_t)n.lane[i] + 127) << 23;
    memcpy(&result.lane[i], &bits, sizeof bits);
  }
  return result;
}
static inline float lanes_sum(lanes a) {
  for (int width = 8; width >= 1; width /= 2) {
    for (int i = 0; i < width; i++) a.lane[i] += a.lane[i + width];
  }
  return a.lane[0];
}
#undef EACH

#endif
