/* Dequantisers in plain C, one inner loop of constant length each, so that the
 * compiler vectorises them.  Every value is made by the same separately rounded
 * operations as ggml's reference: a product, then a sum; never fused.
 * Sources: ggml-quants.c (dequantize_row_*) and the `gguf` package (quants.py). */
#include "kernels/dequantize.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "blocks are little-endian");

enum { SMALL = 32, SUPER = 256 }; /* values in a block */

enum { /* ggml's numbers: a second copy of formats/gguf.h, which lies on a later floor */
       TYPE_F32 = 0,
       TYPE_F16 = 1,
       TYPE_Q4_0 = 2,
       TYPE_Q4_1 = 3,
       TYPE_Q5_0 = 6,
       TYPE_Q5_1 = 7,
       TYPE_Q8_0 = 8,
       TYPE_Q4_K = 12,
       TYPE_Q5_K = 13,
       TYPE_Q6_K = 14,
       TYPE_BF16 = 30
};

typedef struct q4_0 {
  uint16_t d;
  uint8_t q[SMALL / 2];
} q4_0;
typedef struct q4_1 {
  uint16_t d, m;
  uint8_t q[SMALL / 2];
} q4_1;
typedef struct q5_0 {
  uint16_t d;
  uint8_t high[4]; /* bit i: the fifth bit of value i */
  uint8_t q[SMALL / 2];
} q5_0;
typedef struct q5_1 {
  uint16_t d, m;
  uint8_t high[4];
  uint8_t q[SMALL / 2];
} q5_1;
typedef struct q8_0 {
  uint16_t d;
  int8_t q[SMALL];
} q8_0;
typedef struct q4_k {
  uint16_t d, m;
  uint8_t scales[12]; /* 8 scales and 8 minima of 6 bits */
  uint8_t q[SUPER / 2];
} q4_k;
typedef struct q5_k {
  uint16_t d, m;
  uint8_t scales[12];
  uint8_t high[SUPER / 8];
  uint8_t q[SUPER / 2];
} q5_k;
typedef struct q6_k {
  uint8_t low[SUPER / 2];
  uint8_t high[SUPER / 4];
  int8_t scales[SUPER / 16];
  uint16_t d;
} q6_k;
_Static_assert(sizeof(q4_0) == 18 && sizeof(q4_1) == 20 && sizeof(q5_0) == 22 &&
                   sizeof(q5_1) == 24 && sizeof(q8_0) == 34 && sizeof(q4_k) == 144 &&
                   sizeof(q5_k) == 176 && sizeof(q6_k) == 210,
               "blocks have no padding");

static inline float float_of(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* Exact for every half: a normal one gets a wider exponent, a subnormal one is
 * its fraction times 2^-24; the payload of a NaN is kept. */
static inline float half_to_float(uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000) << 16;
  uint32_t rest = half & 0x7fff;
  uint32_t wide = (rest << 13) + ((rest >= 0x7c00 ? 224u : 112u) << 23);
  float small = (float)(int32_t)rest * 0x1p-24f;
  uint32_t small_bits;
  memcpy(&small_bits, &small, sizeof small_bits);
  return float_of(sign | (rest < 0x400 ? small_bits : wide));
}

static void from_f16(const unsigned char *halves, int64_t count, float *restrict values) {
  for (int64_t i = 0; i < count; i++) {
    uint16_t half;
    memcpy(&half, halves + 2 * i, sizeof half);
    values[i] = half_to_float(half);
  }
}

static void from_bf16(const unsigned char *halves, int64_t count, float *restrict values) {
  for (int64_t i = 0; i < count; i++) {
    uint16_t half;
    memcpy(&half, halves + 2 * i, sizeof half);
    values[i] = float_of((uint32_t)half << 16);
  }
}

static void from_q4_0(const unsigned char *at, float *restrict values) {
  q4_0 block;
  memcpy(&block, at, sizeof block);
  float d = half_to_float(block.d);
  for (int i = 0; i < SMALL / 2; i++) {
    values[i] = (float)((block.q[i] & 15) - 8) * d;
    values[i + SMALL / 2] = (float)((block.q[i] >> 4) - 8) * d;
  }
}

static void from_q4_1(const unsigned char *at, float *restrict values) {
  q4_1 block;
  memcpy(&block, at, sizeof block);
  float d = half_to_float(block.d), m = half_to_float(block.m);
  for (int i = 0; i < SMALL / 2; i++) {
    values[i] = (float)(block.q[i] & 15) * d + m;
    values[i + SMALL / 2] = (float)(block.q[i] >> 4) * d + m;
  }
}

/* The fifth bits of a block, in place: 0 or 16 for each value. */
static inline void spread_bits(const uint8_t high[4], int32_t bits[SMALL]) {
  uint32_t all;
  memcpy(&all, high, sizeof all);
  for (int i = 0; i < SMALL; i++) bits[i] = (int32_t)((all >> i) & 1) << 4;
}

static void from_q5_0(const unsigned char *at, float *restrict values) {
  q5_0 block;
  memcpy(&block, at, sizeof block);
  float d = half_to_float(block.d);
  int32_t bits[SMALL];
  spread_bits(block.high, bits);
  for (int i = 0; i < SMALL / 2; i++) {
    values[i] = (float)(((block.q[i] & 15) | bits[i]) - 16) * d;
    values[i + SMALL / 2] = (float)(((block.q[i] >> 4) | bits[i + SMALL / 2]) - 16) * d;
  }
}

static void from_q5_1(const unsigned char *at, float *restrict values) {
  q5_1 block;
  memcpy(&block, at, sizeof block);
  float d = half_to_float(block.d), m = half_to_float(block.m);
  int32_t bits[SMALL];
  spread_bits(block.high, bits);
  for (int i = 0; i < SMALL / 2; i++) {
    values[i] = (float)((block.q[i] & 15) | bits[i]) * d + m;
    values[i + SMALL / 2] = (float)((block.q[i] >> 4) | bits[i + SMALL / 2]) * d + m;
  }
}

static void from_q8_0(const unsigned char *at, float *restrict values) {
  q8_0 block;
  memcpy(&block, at, sizeof block);
  float d = half_to_float(block.d);
  for (int i = 0; i < SMALL; i++) values[i] = (float)block.q[i] * d;
}

/* Scale and minimum of sub-block j, 0..7: four bytes hold the low 6 bits of the
 * first four of each, whose top two bits carry on into the last four. */
static inline void unpack_scale(const uint8_t scales[12], int j, int *scale, int *minimum) {
  if (j < 4) {
    *scale = scales[j] & 63;
    *minimum = scales[j + 4] & 63;
  } else {
    *scale = (scales[j + 4] & 15) | ((scales[j - 4] >> 6) << 4);
    *minimum = (scales[j + 4] >> 4) | ((scales[j] >> 6) << 4);
  }
}

static void from_q4_k(const unsigned char *at, float *restrict values) {
  q4_k block;
  memcpy(&block, at, sizeof block);
  float d = half_to_float(block.d), m = half_to_float(block.m);
  for (int j = 0; j < SUPER / 32; j++) {
    int scale, minimum;
    unpack_scale(block.scales, j, &scale, &minimum);
    float step = d * (float)scale, base = m * (float)minimum;
    const uint8_t *q = block.q + j / 2 * 32;
    int shift = j % 2 * 4;
    for (int i = 0; i < 32; i++) values[32 * j + i] = step * (float)((q[i] >> shift) & 15) - base;
  }
}

static void from_q5_k(const unsigned char *at, float *restrict values) {
  q5_k block;
  memcpy(&block, at, sizeof block);
  float d = half_to_float(block.d), m = half_to_float(block.m);
  for (int j = 0; j < SUPER / 32; j++) {
    int scale, minimum;
    unpack_scale(block.scales, j, &scale, &minimum);
    float step = d * (float)scale, base = m * (float)minimum;
    const uint8_t *q = block.q + j / 2 * 32;
    int shift = j % 2 * 4;
    for (int i = 0; i < 32; i++) {
      int low = (q[i] >> shift) & 15, high = (block.high[i] >> j) & 1;
      values[32 * j + i] = step * (float)(low | (high << 4)) - base;
    }
  }
}

/* Halves of 128 values; in each, group k of 32 has its low bits in nibble k / 2
 * of bytes 32 (k % 2) on, and its high bits in bit pair k. */
static void from_q6_k(const unsigned char *at, float *restrict values) {
  q6_k block;
  memcpy(&block, at, sizeof block);
  float d = half_to_float(block.d);
  for (int j = 0; j < SUPER / 16; j++) {
    int half = j / 8, group = j / 2 % 4, first = j % 2 * 16;
    const uint8_t *low = block.low + half * 64 + group % 2 * 32 + first;
    const uint8_t *high = block.high + half * 32 + first;
    int low_shift = group / 2 * 4, high_shift = group * 2;
    float step = d * (float)block.scales[j];
    for (int i = 0; i < 16; i++) {
      int q = ((low[i] >> low_shift) & 15) | (((high[i] >> high_shift) & 3) << 4);
      values[16 * j + i] = step * (float)(q - 32);
    }
  }
}

typedef void from_block(const unsigned char *at, float *restrict values);

static bool from_blocks(from_block *block, int64_t size, int64_t bytes, const unsigned char *at,
                        int64_t count, float *values) {
  if (count % size != 0) return false;
  for (int64_t i = 0; i < count / size; i++) block(at + i * bytes, values + i * size);
  return true;
}

bool tx_dequantize(uint32_t type, const void *blocks, int64_t count, float *values) {
  const unsigned char *at = blocks;
  if (count < 0) return false;
  switch (type) {
    case TYPE_F32:
      if (count) memcpy(values, at, (size_t)count * sizeof *values);
      return true;
    case TYPE_F16: from_f16(at, count, values); return true;
    case TYPE_BF16: from_bf16(at, count, values); return true;
    case TYPE_Q4_0: return from_blocks(from_q4_0, SMALL, sizeof(q4_0), at, count, values);
    case TYPE_Q4_1: return from_blocks(from_q4_1, SMALL, sizeof(q4_1), at, count, values);
    case TYPE_Q5_0: return from_blocks(from_q5_0, SMALL, sizeof(q5_0), at, count, values);
    case TYPE_Q5_1: return from_blocks(from_q5_1, SMALL, sizeof(q5_1), at, count, values);
    case TYPE_Q8_0: return from_blocks(from_q8_0, SMALL, sizeof(q8_0), at, count, values);
    case TYPE_Q4_K: return from_blocks(from_q4_k, SUPER, sizeof(q4_k), at, count, values);
    case TYPE_Q5_K: return from_blocks(from_q5_k, SUPER, sizeof(q5_k), at, count, values);
    case TYPE_Q6_K: return from_blocks(from_q6_k, SUPER, sizeof(q6_k), at, count, values);
    default: return false;
  }
}
