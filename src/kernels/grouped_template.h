/* Grouped products and the quantising of activations, written once and compiled for
 * each path over its own lanes (grouped_lanes_*.h).  Included by grouped_<path>.c,
 * which defines GROUPED, the table's name, and GROUPED_NAME.
 * Tiles of rows change speed, never a result. */

#include <string.h>

#include "kernels/grouped.h"
#include "kernels/grouped_types.h"

#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#define INLINE static inline __attribute__((always_inline))

enum {
  PARTS = TX_GROUPED_OUTPUTS / PART,
  QUADS = TX_GROUP / 4,
  ROW = 4 * TX_GROUPED_OUTPUTS, /* bytes of a quad of all outputs */
  AHEAD = 4096                  /* bytes that are asked for before they are needed */
};

/* ---- activations --------------------------------------------------------- */

/* The bits of |x| in rising order: a NaN is above an infinity, which is above the rest. */
INLINE int32_t largest_bits(const float *x) {
  int32_t bits[TX_GROUP], largest = 0;
  memcpy(bits, x, sizeof bits);
  for (int i = 0; i < TX_GROUP; i++) {
    int32_t size = bits[i] & 0x7fffffff;
    largest = size > largest ? size : largest;
  }
  return largest;
}

/* Adding 1.5 * 2^23 rounds to the whole number that the low bits then hold. */
INLINE void round_group(const float *x, float inverse, tx_group *group) {
  int32_t q[TX_GROUP], first = 0, second = 0;
  for (int i = 0; i < TX_GROUP; i++) {
    float shifted = x[i] * inverse + 0x1.8p23f;
    memcpy(&q[i], &shifted, sizeof q[i]);
    q[i] -= 0x4b400000;
    group->q[i] = (int8_t)q[i];
  }
  for (int i = 0; i < TX_GROUP / 2; i++) first += q[i], second += q[i + TX_GROUP / 2];
  group->minus = -(first + second);
  group->minus_first = -first;
  group->scaled_sum = group->scale * (float)(first + second);
}

static void quantise(const float *x, int64_t depth, tx_group *groups) {
  for (int64_t g = 0; g < depth / TX_GROUP; g++, x += TX_GROUP) {
    int32_t bits = largest_bits(x);
    float largest;
    memcpy(&largest, &bits, sizeof largest);
    if (bits < 0x7f800000 && largest >= 0x1p-100f) {
      groups[g].scale = largest / 127.0f;
      round_group(x, 127.0f / largest, groups + g);
    } else {
      memset(groups + g, 0, sizeof *groups);
      if (bits >= 0x7f800000) groups[g].scale = groups[g].scaled_sum = __builtin_nanf("");
    }
  }
}

/* ---- products ------------------------------------------------------------ */

INLINE int bits_of(const uint32_t type) {
  return type == TYPE_Q8_0 ? 8 : type == TYPE_Q6_K ? 6 : type == TYPE_Q5_0 ? 5 : 4;
}

/* zero = 1 << log_zero; 0: there is none. */
INLINE int log_zero_of(const uint32_t type) {
  return type == TYPE_Q4_1 || type == TYPE_Q4_K ? 0 : bits_of(type) - 1;
}

/* The values of a group, for the outputs from `part` * PART on. */
INLINE void unpack(const uint32_t type, const unsigned char *at, const int part, bytes w[QUADS]) {
  at += part * 4 * PART;
  if (type == TYPE_Q8_0) {
    UNROLL for (int q = 0; q < QUADS; q++) w[q] = bytes_load(at + q * ROW);
    return;
  }
  UNROLL for (int q = 0; q < QUADS / 2; q++) {
    bytes both = bytes_load(at + q * ROW);
    w[q] = bytes_bits(both, 0, 15);
    w[q + QUADS / 2] = bytes_bits(both, 4, 15);
  }
  at += NIBBLE_BYTES;
  if (type == TYPE_Q5_0) {
    bytes fifth = bytes_load(at);
    UNROLL for (int q = 0; q < QUADS; q++) w[q] = bytes_or(w[q], bytes_bits(fifth, q - 4, 16));
  } else if (type == TYPE_Q6_K) {
    UNROLL for (int half = 0; half < 2; half++) {
      bytes upper = bytes_load(at + half * ROW);
      UNROLL for (int q = 0; q < 4; q++) {
        w[4 * half + q] = bytes_or(w[4 * half + q], bytes_bits(upper, 2 * q - 4, 48));
      }
    }
  }
}

/* What a group's values are multiplied by and begin at; `second` is of inputs 16 on
 * where those have a scale of their own. */
typedef struct {
  floats scale, second, least;
} group_scales;

/* d, dmin: of the block of a K type, for the same outputs. */
INLINE group_scales scales_of(const uint32_t type, const unsigned char *at, const int part,
                              floats d, floats dmin) {
  group_scales s = {.scale = d, .second = d, .least = dmin};
  at += scales_at(type);
  if (type == TYPE_Q4_K) {
    s.scale = floats_mul(d, floats_of_u8(at + part * PART));
    s.least = floats_mul(dmin, floats_of_u8(at + TX_GROUPED_OUTPUTS + part * PART));
  } else if (type == TYPE_Q6_K) {
    s.scale = floats_mul(d, floats_of_s8(at + part * PART));
    s.second = floats_mul(d, floats_of_s8(at + TX_GROUPED_OUTPUTS + part * PART));
  } else {
    s.scale = floats_of_halves(at + 2 * part * PART);
    if (type == TYPE_Q4_1) {
      s.least = floats_of_halves(at + 2 * TX_GROUPED_OUTPUTS + 2 * part * PART);
    }
  }
  return s;
}

INLINE ints dot(const uint32_t type, const int quads, const bytes *w, const int8_t *x,
                int32_t minus) {
  int log_zero = log_zero_of(type);
  return ints_dot(bits_of(type), quads, w, x, ints_start(log_zero ? minus : 0, log_zero));
}

INLINE floats add_group(const uint32_t type, const bytes *w, const group_scales *s,
                        const tx_group *x, floats sum) {
  floats scale = floats_set(x->scale);
  if (type == TYPE_Q6_K) {
    ints first = dot(type, QUADS / 2, w, x->q, x->minus_first);
    ints second = dot(type, QUADS / 2, w + QUADS / 2, x->q + TX_GROUP / 2,
                      x->minus - x->minus_first);
    sum = floats_fma(floats_mul(s->scale, scale), floats_of(first), sum);
    return floats_fma(floats_mul(s->second, scale), floats_of(second), sum);
  }
  ints all = dot(type, QUADS, w, x->q, x->minus);
  sum = floats_fma(floats_mul(s->scale, scale), floats_of(all), sum);
  if (type != TYPE_Q4_1 && type != TYPE_Q4_K) return sum;
  return floats_fma(s->least, floats_set(x->scaled_sum), sum);
}

INLINE void ask_for(const unsigned char *at, const int64_t size) {
  UNROLL for (int64_t i = 0; i < size; i += 64) __builtin_prefetch(at + AHEAD + i, 0, 3);
}

/* `type` and `rows` are constants at every call, so that sums are registers. */
INLINE void tile(const uint32_t type, const int rows, int64_t groups, const tx_group *x,
                 int64_t x_row, const unsigned char *at, floats sum[ROW_TILE][PARTS]) {
  const int run = is_super(type) ? SUPER_GROUPS : 1;
  for (int64_t g = 0; g < groups;) {
    floats d[PARTS], dmin[PARTS];
    UNROLL for (int p = 0; p < PARTS; p++) {
      d[p] = dmin[p] = floats_set(0);
      if (is_super(type)) d[p] = floats_of_halves(at + 2 * p * PART);
      if (type == TYPE_Q4_K) {
        dmin[p] = floats_mul(floats_of_halves(at + HALVES + 2 * p * PART), floats_set(-1));
      }
    }
    at += super_bytes(type);
    for (int i = 0; i < run; i++, g++, at += group_bytes(type)) {
      ask_for(at, group_bytes(type));
      UNROLL for (int p = 0; p < PARTS; p++) {
        bytes w[QUADS];
        __asm__ volatile("" ::: "memory"); /* one part after the other: registers are few */
        unpack(type, at, p, w);
        group_scales s = scales_of(type, at, p, d[p], dmin[p]);
        UNROLL for (int r = 0; r < rows; r++) {
          sum[r][p] = add_group(type, w, &s, x + r * x_row + g, sum[r][p]);
        }
      }
    }
  }
}

typedef struct {
  int64_t groups, columns;
  const unsigned char *panel;
  const float *bias;
  bool accumulate;
  ptrdiff_t y_row;
} work;

INLINE void product_tile(const uint32_t type, const int rows, const work *w, const tx_group *x,
                         float *y) {
  floats sum[ROW_TILE][PARTS];
  float lane[TX_GROUPED_OUTPUTS] = {0};
  size_t bytes_of_row = (size_t)w->columns * sizeof *y;
  if (w->bias) memcpy(lane, w->bias, bytes_of_row);
  UNROLL for (int r = 0; r < rows; r++) {
    if (w->accumulate) memcpy(lane, y + r * w->y_row, bytes_of_row);
    UNROLL for (int p = 0; p < PARTS; p++) sum[r][p] = floats_load(lane + p * PART);
  }
  tile(type, rows, w->groups, x, w->groups, w->panel, sum);
  UNROLL for (int r = 0; r < rows; r++) {
    UNROLL for (int p = 0; p < PARTS; p++) floats_store(lane + p * PART, sum[r][p]);
    memcpy(y + r * w->y_row, lane, bytes_of_row);
  }
}

INLINE void product_type(const uint32_t type, int64_t rows, const work *w, const tx_group *x,
                         float *y) {
  for (; rows >= ROW_TILE; rows -= ROW_TILE) {
    product_tile(type, ROW_TILE, w, x, y);
    x += ROW_TILE * w->groups, y += ROW_TILE * w->y_row;
  }
  if (ROW_TILE > 4 && rows >= 4) {
    product_tile(type, ROW_TILE > 4 ? 4 : 1, w, x, y);
    rows -= 4, x += 4 * w->groups, y += 4 * w->y_row;
  }
  if (ROW_TILE > 2 && rows >= 2) {
    product_tile(type, ROW_TILE > 2 ? 2 : 1, w, x, y);
    rows -= 2, x += 2 * w->groups, y += 2 * w->y_row;
  }
  if (rows > 0) product_tile(type, 1, w, x, y);
}

static void product(uint32_t type, int64_t rows, int64_t depth, int64_t columns, const tx_group *x,
                    const unsigned char *panel, const float *bias, bool accumulate, float *y,
                    ptrdiff_t y_row) {
  const work w = {depth / TX_GROUP, columns, panel, bias, accumulate, y_row};
  switch (type) {
    case TYPE_Q4_0: product_type(TYPE_Q4_0, rows, &w, x, y); break;
    case TYPE_Q4_1: product_type(TYPE_Q4_1, rows, &w, x, y); break;
    case TYPE_Q5_0: product_type(TYPE_Q5_0, rows, &w, x, y); break;
    case TYPE_Q8_0: product_type(TYPE_Q8_0, rows, &w, x, y); break;
    case TYPE_Q4_K: product_type(TYPE_Q4_K, rows, &w, x, y); break;
    case TYPE_Q6_K: product_type(TYPE_Q6_K, rows, &w, x, y); break;
    default: break;
  }
}

const tx_grouped GROUPED = {GROUPED_NAME, quantise, product};
