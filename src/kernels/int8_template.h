/* The byte kernels, written once over 16 lanes.  Included by int8_<path>.c after
 * that path's lanes_<path>.h, which also defines
 *   sums     16 sums in int32:  sums_zero(), and sums_less() (below)
 *   four_weights  of 16 outputs:  weights_load()
 *   four_inputs   of a row, for all lanes:  inputs_load()
 *   sums_add(sums, inputs, weights)  adds 4 products to each sum, exactly
 *   store_bytes(to, lanes)           the lowest byte of each lane's bits
 *   TILE_ROWS, TILE_VECTORS          of a product tile, as in template.h
 *   INT8 the table's name,  INT8_NAME its text */

#include "kernels/int8.h"

#include <float.h>
#include <string.h>

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)") /* not before the counts are known */
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#define INLINE static inline __attribute__((always_inline))

/* ---- products ------------------------------------------------------------ */

typedef struct {
  const float *scale;        /* of the tile's columns */
  const int32_t *column_sum; /* likewise */
  const int8_t *groups;
  const uint8_t *x;
  ptrdiff_t x_row, y_row;
  const float *bias;
  float *y;
  int64_t depth, last; /* `last` columns (1..16) stand in the last vector */
  bool accumulate;
} tile_work;

/* Sums become fp32: one product of scales, one conversion, one product, one sum. */
INLINE void finish(const tile_work *w, int m, int v, int64_t width, sums sum) {
  const tx_int8_row *row = (const tx_int8_row *)(const void *)(w->x + m * w->x_row);
  lanes scale = lanes_mul(lanes_set(row->scale), lanes_load(w->scale + 16 * v));
  lanes value = lanes_mul(scale, sums_less(sum, row->zero, w->column_sum + 16 * v));
  float *y = w->y + m * w->y_row + 16 * v;
  if (width < 16) {
    if (w->accumulate) value = lanes_add(lanes_load_part(y, width), value);
    if (w->bias) value = lanes_add(lanes_load_part(w->bias + 16 * v, width), value);
    lanes_store_part(y, value, width);
  } else {
    if (w->accumulate) value = lanes_add(lanes_load(y), value);
    if (w->bias) value = lanes_add(lanes_load(w->bias + 16 * v), value);
    lanes_store(y, value);
  }
}

/* One tile: `rows` and `vectors` are constants at every call, so that the sums
 * are registers. */
INLINE void tile(const int rows, const int vectors, const tile_work *w) {
  sums sum[TILE_ROWS][TILE_VECTORS];
  UNROLL for (int m = 0; m < rows; m++) {
    UNROLL for (int v = 0; v < vectors; v++) sum[m][v] = sums_zero();
  }
  const uint8_t *x = w->x + sizeof(tx_int8_row);
  const int8_t *group = w->groups;
  const ptrdiff_t x_row = w->x_row;
  for (int64_t left = w->depth; left > 0; left -= 4, group += 4 * TX_PANEL, x += 4) {
    four_weights column[TILE_VECTORS];
    UNROLL for (int v = 0; v < vectors; v++) column[v] = weights_load(group + 64 * v);
    UNROLL for (int m = 0; m < rows; m++) {
      four_inputs factor = inputs_load(x + m * x_row);
      UNROLL for (int v = 0; v < vectors; v++) sum[m][v] = sums_add(sum[m][v], factor, column[v]);
    }
  }
  UNROLL for (int m = 0; m < rows; m++) {
    UNROLL for (int v = 0; v < vectors; v++) {
      finish(w, m, v, v == vectors - 1 ? w->last : 16, sum[m][v]);
    }
  }
}

#define TILE_CASE(r, vectors)                                                      \
  case r:                                                                          \
    if ((r) <= TILE_ROWS) tile((r) <= TILE_ROWS ? (r) : 1, vectors, w);            \
    break;
/* A function for each number of vectors; `rows` is in [1, TILE_ROWS]. */
#define TILES(name, vectors)                                                       \
  static __attribute__((noinline)) void name(int rows, const tile_work *w) {       \
    switch (rows) {                                                                \
      TILE_CASE(1, vectors)                                                        \
      TILE_CASE(2, vectors)                                                        \
      TILE_CASE(3, vectors)                                                        \
      TILE_CASE(4, vectors)                                                        \
      TILE_CASE(5, vectors)                                                        \
      TILE_CASE(6, vectors)                                                        \
      TILE_CASE(7, vectors)                                                        \
      TILE_CASE(8, vectors)                                                        \
      TILE_CASE(9, vectors)                                                        \
      default: break;                                                              \
    }                                                                              \
  }

TILES(tile_1, 1)
#if TILE_VECTORS >= 3
TILES(tile_2, 2)
TILES(tile_3, 3)
#endif

/* Rows are divided evenly among the fewest tiles, as in template.h. */
static void product(int64_t rows, int64_t depth, int64_t columns, const uint8_t *x,
                    ptrdiff_t x_row, const int8_t *panel, const float *bias, bool accumulate,
                    float *y, ptrdiff_t y_row) {
  const tx_int8_panel *head = (const tx_int8_panel *)(const void *)panel;
  int64_t tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
  for (int64_t t = 0; t < tiles; t++) {
    int64_t from = rows * t / tiles, count = rows * (t + 1) / tiles - from;
    for (int64_t n = 0; n < columns; n += 16 * TILE_VECTORS) {
      int64_t width = columns - n < 16 * TILE_VECTORS ? columns - n : 16 * TILE_VECTORS;
      int64_t vectors = (width + 15) / 16;
      tile_work w = {.scale = head->scale + n,
                     .column_sum = head->sum + n,
                     .groups = panel + sizeof(tx_int8_panel) + n * 4,
                     .x = x + from * x_row,
                     .x_row = x_row,
                     .y_row = y_row,
                     .bias = bias ? bias + n : NULL,
                     .y = y + from * y_row + n,
                     .depth = depth,
                     .last = width - 16 * (vectors - 1),
                     .accumulate = accumulate};
#if TILE_VECTORS >= 3
      if (vectors == 3) {
        tile_3((int)count, &w);
      } else if (vectors == 2) {
        tile_2((int)count, &w);
      } else
#endif
      {
        tile_1((int)count, &w);
      }
    }
  }
}

/* ---- from fp32 ------------------------------------------------------------- */

/* A whole number n within 2^22 of 0, added to this, is in the lowest bits of the
 * float's pattern; what is added is rounded to a whole number, ties to even. */
#define WHOLE 0x1.8p23f

INLINE lanes load(const float *from, int64_t n) {
  return n == 16 ? lanes_load(from) : lanes_load_part(from, n);
}

/* NaN in x counts as the bound. */
INLINE lanes between(float low, lanes x, float high) {
  return lanes_min(lanes_max(x, lanes_set(low)), lanes_set(high));
}

static float highest(lanes a) {
  float values[16];
  lanes_store(values, a);
  for (int width = 8; width >= 1; width /= 2) {
    for (int i = 0; i < width; i++) {
      values[i] = values[i] > values[i + width] ? values[i] : values[i + width];
    }
  }
  return values[0] < FLT_MAX ? values[0] : FLT_MAX;
}

/* low = max(0, max(-x)), high = max(0, max(x)), both at most FLT_MAX; four runs
 * at once, since the order of a maximum does not matter. */
static void extent(const float *x, int64_t count, float *low, float *high) {
  enum { RUNS = 4 };
  const lanes nothing = lanes_set(0.0f);
  lanes least[RUNS], most[RUNS];
  for (int r = 0; r < RUNS; r++) least[r] = most[r] = nothing;
  int64_t i = 0;
  for (; i + 16 * RUNS <= count; i += 16 * RUNS) {
    UNROLL for (int r = 0; r < RUNS; r++) {
      lanes values = lanes_load(x + i + 16 * r);
      least[r] = lanes_min(values, least[r]);
      most[r] = lanes_max(values, most[r]);
    }
  }
  for (; i < count; i += 16) {
    lanes values = load(x + i, count - i < 16 ? count - i : 16);
    least[0] = lanes_min(values, least[0]);
    most[0] = lanes_max(values, most[0]);
  }
  for (int r = 1; r < RUNS; r++) {
    least[0] = lanes_min(least[r], least[0]);
    most[0] = lanes_max(most[r], most[0]);
  }
  *low = highest(lanes_sub(nothing, least[0]));
  *high = highest(most[0]);
}

/* 0 for a scale below the normal floats, whose inverse might not be finite. */
INLINE float inverse_of(float *scale) {
  if (*scale >= FLT_MIN) return 1.0f / *scale;
  *scale = 0.0f;
  return 0.0f;
}

static void quantise(const float *x, int64_t depth, uint8_t *row) {
  float low, high;
  extent(x, depth, &low, &high);
  tx_int8_row head = {.scale = high / 255.0f + low / 255.0f};
  const float inverse = inverse_of(&head.scale);
  const float zero = (low * inverse + WHOLE) - WHOLE; /* low * inverse <= 255.001 */
  head.zero = (int32_t)zero;
  memcpy(row, &head, sizeof head);
  uint8_t *to = row + sizeof head;
  const lanes by = lanes_set(inverse), from = lanes_set(zero + WHOLE);
  for (int64_t i = 0; i < depth; i += 16) { /* the row's padding takes what is past its end */
    lanes values = lanes_fma(load(x + i, depth - i < 16 ? depth - i : 16), by, from);
    store_bytes(to + i, between(WHOLE, values, WHOLE + 255.0f));
  }
}

/* One output's weights as column n of a panel's groups; returns the bytes' sum. */
static int32_t pack_output(const float *weights, int64_t depth, float inverse, int8_t *groups,
                           int64_t n) {
  const lanes by = lanes_set(inverse), whole = lanes_set(WHOLE);
  lanes sum = lanes_set(0.0f); /* whole numbers far below 2^24 */
  for (int64_t i = 0; i < depth; i += 16) {
    int64_t count = depth - i < 16 ? depth - i : 16;
    lanes values = lanes_fma(load(weights + i, count), by, whole);
    values = between(WHOLE - 127.0f, values, WHOLE + 127.0f);
    sum = lanes_add(sum, lanes_sub(values, whole));
    uint8_t bytes[16];
    store_bytes(bytes, values);
    for (int64_t k = 0; k < count; k += 4) {
      memcpy(groups + ((i + k) * TX_PANEL + 4 * n), bytes + k, 4);
    }
  }
  return (int32_t)lanes_sum(sum);
}

static void pack(const float *weights, ptrdiff_t stride, int64_t depth, int64_t columns,
                 int8_t *panel) {
  tx_int8_panel *head = (tx_int8_panel *)(void *)panel;
  if (columns < TX_PANEL) memset(panel, 0, (size_t)tx_int8_panel_bytes(depth));
  for (int64_t n = 0; n < columns; n++) {
    float low, high;
    extent(weights + n * stride, depth, &low, &high);
    float scale = (low > high ? low : high) / 127.0f;
    float inverse = inverse_of(&scale);
    head->scale[n] = scale;
    head->sum[n] = pack_output(weights + n * stride, depth, inverse, panel + sizeof *head, n);
  }
}

const tx_int8 INT8 = {
    .name = INT8_NAME,
    .quantise = quantise,
    .pack = pack,
    .product = product,
};
