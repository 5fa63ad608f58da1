/* The kernels, written once over 16 lanes.  Included by kernels_<path>.c after
 * that path's lanes_<path>.h, which also defines
 *   TILE_ROWS     rows of a product tile (accumulators must fit the registers)
 *   TILE_VECTORS  vectors of 16 columns of a product tile
 *   KERNELS       the table's name,  KERNELS_NAME  its text
 * Source of exp: Cody-Waite reduction and the polynomial of Cephes expf. */

#include "kernels/kernels.h"

#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#define INLINE static inline __attribute__((always_inline))

/* ---- products ---------------------------------------------------------- */

/* One tile: `rows` and `vectors` are constants at every call, so that the
 * accumulators are registers.  `last` columns (1..16) stand in the last vector. */
INLINE void tile(const int rows, const int vectors, int64_t depth, int64_t last, const float *x,
                 ptrdiff_t x_row, ptrdiff_t x_step, const float *panel, const float *bias,
                 bool accumulate, float *y, ptrdiff_t y_row) {
  lanes sum[TILE_ROWS][TILE_VECTORS];
  UNROLL for (int m = 0; m < rows; m++) {
    UNROLL for (int v = 0; v < vectors; v++) {
      int64_t width = v == vectors - 1 ? last : 16;
      sum[m][v] = accumulate ? lanes_load_part(y + m * y_row + 16 * v, width)
                  : bias     ? lanes_load_part(bias + 16 * v, width)
                             : lanes_set(0.0f);
    }
  }
  for (int64_t k = 0; k < depth; k++, panel += TX_PANEL, x += x_step) {
    lanes column[TILE_VECTORS];
    UNROLL for (int v = 0; v < vectors; v++) column[v] = lanes_load(panel + 16 * v);
    UNROLL for (int m = 0; m < rows; m++) {
      lanes factor = lanes_set(x[m * x_row]);
      UNROLL for (int v = 0; v < vectors; v++) sum[m][v] = lanes_fma(factor, column[v], sum[m][v]);
    }
  }
  UNROLL for (int m = 0; m < rows; m++) {
    UNROLL for (int v = 0; v < vectors; v++) {
      if (v == vectors - 1 && last < 16) {
        lanes_store_part(y + m * y_row + 16 * v, sum[m][v], last);
      } else {
        lanes_store(y + m * y_row + 16 * v, sum[m][v]);
      }
    }
  }
}

#define TILE_CASE(r)                                                                        \
  case r:                                                                                   \
    if ((r) <= TILE_ROWS) {                                                                 \
      tile((r) <= TILE_ROWS ? (r) : 1, vectors, depth, last, x, x_row, x_step, panel, bias, \
           accumulate, y, y_row);                                                           \
    }                                                                                       \
    break;

INLINE void tile_rows(int rows, const int vectors, int64_t depth, int64_t last, const float *x,
                      ptrdiff_t x_row, ptrdiff_t x_step, const float *panel, const float *bias,
                      bool accumulate, float *y, ptrdiff_t y_row) {
  switch (rows) {
    TILE_CASE(1)
    TILE_CASE(2)
    TILE_CASE(3)
    TILE_CASE(4) TILE_CASE(5) TILE_CASE(6) TILE_CASE(7) TILE_CASE(8) TILE_CASE(9) default : break;
  }
}

static __attribute__((noinline)) void tile_1(int rows, int64_t depth, int64_t last, const float *x,
                                             ptrdiff_t x_row, ptrdiff_t x_step, const float *panel,
                                             const float *bias, bool accumulate, float *y,
                                             ptrdiff_t y_row) {
  tile_rows(rows, 1, depth, last, x, x_row, x_step, panel, bias, accumulate, y, y_row);
}
#if TILE_VECTORS >= 3
static __attribute__((noinline)) void tile_2(int rows, int64_t depth, int64_t last, const float *x,
                                             ptrdiff_t x_row, ptrdiff_t x_step, const float *panel,
                                             const float *bias, bool accumulate, float *y,
                                             ptrdiff_t y_row) {
  tile_rows(rows, 2, depth, last, x, x_row, x_step, panel, bias, accumulate, y, y_row);
}
static __attribute__((noinline)) void tile_3(int rows, int64_t depth, int64_t last, const float *x,
                                             ptrdiff_t x_row, ptrdiff_t x_step, const float *panel,
                                             const float *bias, bool accumulate, float *y,
                                             ptrdiff_t y_row) {
  tile_rows(rows, 3, depth, last, x, x_row, x_step, panel, bias, accumulate, y, y_row);
}
#endif

/* Rows are divided evenly among the fewest tiles: 64 rows are eight tiles of 8,
 * not seven of 9 and a slow one of 1. */
static void product(int64_t rows, int64_t depth, int64_t columns, const float *x, ptrdiff_t x_row,
                    ptrdiff_t x_step, const float *panel, const float *bias, bool accumulate,
                    float *y, ptrdiff_t y_row) {
  int64_t tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
  for (int64_t t = 0; t < tiles; t++) {
    int64_t from = rows * t / tiles, count = rows * (t + 1) / tiles - from;
    for (int64_t n = 0; n < columns; n += 16 * TILE_VECTORS) {
      int64_t width = columns - n < 16 * TILE_VECTORS ? columns - n : 16 * TILE_VECTORS;
      int64_t vectors = (width + 15) / 16, last = width - 16 * (vectors - 1);
      const float *tile_bias = bias ? bias + n : NULL;
      const float *tile_x = x + from * x_row;
      float *tile_y = y + from * y_row + n;
#if TILE_VECTORS >= 3
      if (vectors == 3) {
        tile_3((int)count, depth, last, tile_x, x_row, x_step, panel + n, tile_bias, accumulate,
               tile_y, y_row);
      } else if (vectors == 2) {
        tile_2((int)count, depth, last, tile_x, x_row, x_step, panel + n, tile_bias, accumulate,
               tile_y, y_row);
      } else
#endif
      {
        tile_1((int)count, depth, last, tile_x, x_row, x_step, panel + n, tile_bias, accumulate,
               tile_y, y_row);
      }
    }
  }
}

/* ---- lanes over a vector ----------------------------------------------- */

/* Walks a vector 16 elements at a time: i is the first, n (1..16) the lanes in use. */
#define OVER(count) \
  for (int64_t i = 0, n; i < (count) && (n = (count)-i < 16 ? (count)-i : 16, 1); i += 16)

INLINE lanes load(const float *from, int64_t n) {
  return n == 16 ? lanes_load(from) : lanes_load_part(from, n);
}
INLINE void store(float *to, lanes a, int64_t n) {
  if (n == 16) {
    lanes_store(to, a);
  } else {
    lanes_store_part(to, a, n);
  }
}

/* exp(x) for x in [-87, 88], which it is clamped to; error below 1 unit in the last place. */
INLINE lanes lanes_exp(lanes x) {
  x = lanes_max(lanes_set(-87.0f), lanes_min(lanes_set(88.0f), x));
  const lanes shift = lanes_set(0x1.8p23f); /* adding it rounds to a whole number */
  lanes n = lanes_sub(lanes_fma(x, lanes_set(0x1.715476p0f), shift), shift);
  lanes r = lanes_fma(n, lanes_set(-0x1.62e400p-1f), x);
  r = lanes_fma(n, lanes_set(-0x1.7f7d1cp-20f), r);
  lanes p = lanes_set(1.9875691500e-4f);
  p = lanes_fma(p, r, lanes_set(1.3981999507e-3f));
  p = lanes_fma(p, r, lanes_set(8.3334519073e-3f));
  p = lanes_fma(p, r, lanes_set(4.1665795894e-2f));
  p = lanes_fma(p, r, lanes_set(1.6666665459e-1f));
  p = lanes_fma(p, r, lanes_set(5.0000001201e-1f));
  p = lanes_fma(p, lanes_mul(r, r), r);
  return lanes_mul(lanes_add(p, lanes_set(1.0f)), lanes_power_of_two(n));
}

INLINE lanes lanes_sigmoid(lanes x) {
  lanes one = lanes_set(1.0f);
  return lanes_div(one, lanes_add(one, lanes_exp(lanes_sub(lanes_set(0.0f), x))));
}

static float dot(const float *a, const float *b, int64_t count) {
  lanes sum = lanes_set(0.0f);
  OVER(count) sum = lanes_fma(load(a + i, n), load(b + i, n), sum);
  return lanes_sum(sum);
}

/* The greatest of at least one value, whatever the order of looking at them. */
INLINE float greatest(const float *values, int64_t count) {
  float kept[16], max = values[0];
  int64_t i = 0;
  if (count >= 16) {
    lanes top = lanes_load(values);
    for (i = 16; i + 16 <= count; i += 16) top = lanes_max(lanes_load(values + i), top);
    lanes_store(kept, top);
    for (int lane = 0; lane < 16; lane++) max = kept[lane] > max ? kept[lane] : max;
  }
  for (; i < count; i++) max = values[i] > max ? values[i] : max;
  return max;
}

static float softmax_exp(float *values, int64_t count, float scale) {
  float max = greatest(values, count);
  lanes sum = lanes_set(0.0f), top = lanes_set(max), by = lanes_set(scale);
  OVER(count) {
    lanes e = lanes_exp(lanes_mul(by, lanes_sub(load(values + i, n), top)));
    store(values + i, e, n);
    sum = lanes_add(sum, load(values + i, n)); /* lanes past the end are 0 */
  }
  return lanes_sum(sum);
}

static float softmax_tile(float *values, int64_t count, int64_t from, int64_t to, float scale,
                          tx_running_softmax *running) {
  float max = greatest(values + from, to - from), before = running->max, factor[16] = {1.0f};
  max = before > max ? before : max;
  lanes sum = lanes_load(running->sums), top = lanes_set(max), by = lanes_set(scale);
  if (max > before && before > -__builtin_inff()) {
    lanes less = lanes_exp(lanes_mul(by, lanes_sub(lanes_set(before), top)));
    sum = lanes_mul(sum, less);
    lanes_store(factor, less);
  }
  int64_t start = from / 16 * 16;
  for (int64_t i = start; i < from; i++) values[i] = max; /* the first 16 are computed whole */
  for (int64_t i = start; i < to; i += 16) {
    int64_t n = to - i < 16 ? to - i : 16;
    store(values + i, lanes_exp(lanes_mul(by, lanes_sub(load(values + i, n), top))), n);
    for (int64_t k = i; k < from; k++) values[k] = 0.0f;
    sum = lanes_add(sum, load(values + i, n)); /* lanes past the end are 0 */
  }
  for (int64_t i = 0; i < start; i++) values[i] = 0.0f;
  for (int64_t i = to; i < count; i++) values[i] = 0.0f;
  lanes_store(running->sums, sum);
  running->max = max;
  return factor[0];
}

static float softmax_sum(const tx_running_softmax *running) {
  return lanes_sum(lanes_load(running->sums));
}

static void scale_by(float *values, int64_t count, float factor) {
  lanes by = lanes_set(factor);
  OVER(count) store(values + i, lanes_mul(load(values + i, n), by), n);
}

static void add(float *y, const float *x, int64_t count) {
  OVER(count) store(y + i, lanes_add(load(y + i, n), load(x + i, n)), n);
}

static void add_scaled(float *y, const float *x, float factor, int64_t count) {
  lanes by = lanes_set(factor);
  OVER(count) store(y + i, lanes_fma(by, load(x + i, n), load(y + i, n)), n);
}

/* ---- norms ------------------------------------------------------------- */

static float rms_norm(const float *x, const float *weight, int64_t count, float epsilon, float *y) {
  float inverse = 1.0f / __builtin_sqrtf(dot(x, x, count) / (float)count + epsilon);
  lanes by = lanes_set(inverse);
  OVER(count) store(y + i, lanes_mul(lanes_mul(load(x + i, n), by), load(weight + i, n)), n);
  return inverse;
}

static float layer_norm(const float *x, const float *weight, const float *bias, int64_t count,
                        float epsilon, float *mean, float *y) {
  lanes sum = lanes_set(0.0f);
  OVER(count) sum = lanes_add(sum, load(x + i, n));
  float centre = lanes_sum(sum) / (float)count;
  lanes squares = lanes_set(0.0f), middle = lanes_set(centre);
  OVER(count) {
    lanes away = lanes_sub(load(x + i, n), middle);
    if (n < 16) { /* lanes past the end must not count */
      float kept[16];
      lanes_store(kept, away);
      away = lanes_load_part(kept, n);
    }
    squares = lanes_fma(away, away, squares);
  }
  float inverse = 1.0f / __builtin_sqrtf(lanes_sum(squares) / (float)count + epsilon);
  lanes by = lanes_set(inverse);
  OVER(count) {
    lanes normed = lanes_mul(lanes_sub(load(x + i, n), middle), by);
    store(y + i, lanes_fma(normed, load(weight + i, n), load(bias + i, n)), n);
  }
  *mean = centre;
  return inverse;
}

/* With h = (x - mean) * inverse and g = dy * weight:
 *   dx = inverse * (g - h * mean(g h) - mean(g) where centred) */
static void norm_backward(const float *x, const float *weight, const float *dy, int64_t count,
                          float mean, float inverse, bool centred, float *dx, float *dweight,
                          float *dbias) {
  const lanes middle = lanes_set(mean), by = lanes_set(inverse);
  lanes along = lanes_set(0.0f), total = lanes_set(0.0f);
  OVER(count) {
    lanes h = lanes_mul(lanes_sub(load(x + i, n), middle), by), d = load(dy + i, n);
    lanes g = lanes_mul(d, load(weight + i, n));
    along = lanes_fma(g, h, along);
    total = lanes_add(total, g);
    if (dweight) store(dweight + i, lanes_fma(d, h, load(dweight + i, n)), n);
    if (dbias) store(dbias + i, lanes_add(d, load(dbias + i, n)), n);
  }
  if (!dx) return;
  lanes slope = lanes_set(lanes_sum(along) / (float)count);
  lanes level = lanes_set(centred ? lanes_sum(total) / (float)count : 0.0f);
  OVER(count) {
    lanes h = lanes_mul(lanes_sub(load(x + i, n), middle), by);
    lanes g = lanes_mul(load(dy + i, n), load(weight + i, n));
    lanes d = lanes_sub(lanes_sub(g, level), lanes_mul(h, slope));
    store(dx + i, lanes_fma(d, by, load(dx + i, n)), n);
  }
}

/* ---- activations ------------------------------------------------------- */

static void silu_gate(const float *gate, const float *up, int64_t count, float *out) {
  OVER(count) {
    lanes g = load(gate + i, n);
    store(out + i, lanes_mul(lanes_mul(g, lanes_sigmoid(g)), load(up + i, n)), n);
  }
}

static void silu_gate_backward(const float *gate, const float *up, const float *dout, int64_t count,
                               float *dgate, float *dup) {
  const lanes one = lanes_set(1.0f);
  OVER(count) {
    lanes g = load(gate + i, n), u = load(up + i, n), d = load(dout + i, n);
    lanes s = lanes_sigmoid(g), silu = lanes_mul(g, s);
    lanes slope = lanes_mul(s, lanes_add(one, lanes_mul(g, lanes_sub(one, s))));
    store(dgate + i, lanes_mul(lanes_mul(d, u), slope), n);
    store(dup + i, lanes_mul(d, silu), n);
  }
}

/* gelu(x) = x * sigmoid(2 * a * (x + b x^3)), a = sqrt(2 / pi), b = 0.044715 */
INLINE lanes gelu_argument(lanes x) {
  lanes inner = lanes_fma(lanes_mul(x, x), lanes_set(0.044715f), lanes_set(1.0f));
  return lanes_mul(lanes_mul(lanes_set(1.5957691216057308f), x), inner);
}

static void gelu(const float *x, int64_t count, float *out) {
  OVER(count) {
    lanes v = load(x + i, n);
    store(out + i, lanes_mul(v, lanes_sigmoid(gelu_argument(v))), n);
  }
}

static void gelu_backward(const float *x, const float *dout, int64_t count, float *dx) {
  const lanes one = lanes_set(1.0f);
  OVER(count) {
    lanes v = load(x + i, n), s = lanes_sigmoid(gelu_argument(v));
    lanes inner = lanes_fma(lanes_mul(v, v), lanes_set(3 * 0.044715f), one);
    lanes slope = lanes_mul(lanes_mul(lanes_set(1.5957691216057308f), inner),
                            lanes_mul(v, lanes_sub(one, s)));
    lanes whole = lanes_mul(s, lanes_add(one, slope));
    store(dx + i, lanes_mul(load(dout + i, n), whole), n);
  }
}

/* ---- the optimiser ------------------------------------------------------ */

static void adamw(const tx_adamw *step, int64_t count, float *gradient, float *first, float *second,
                  float *value) {
  const lanes b1 = lanes_set(step->beta1), b2 = lanes_set(step->beta2);
  const lanes c1 = lanes_set(1.0f - step->beta1), c2 = lanes_set(1.0f - step->beta2);
  OVER(count) {
    lanes g = lanes_mul(load(gradient + i, n), lanes_set(step->scale));
    lanes m = lanes_fma(b1, load(first + i, n), lanes_mul(c1, g));
    lanes v = lanes_fma(b2, load(second + i, n), lanes_mul(lanes_mul(c2, g), g));
    lanes below =
        lanes_fma(lanes_sqrt(v), lanes_set(step->second_inverse), lanes_set(step->epsilon));
    lanes change = lanes_div(lanes_mul(lanes_set(step->rate), m), below);
    lanes kept = lanes_mul(load(value + i, n), lanes_set(step->keep));
    store(gradient + i, lanes_set(0.0f), n);
    store(first + i, m, n);
    store(second + i, v, n);
    store(value + i, lanes_sub(kept, change), n);
  }
}

const tx_kernels KERNELS = {
    .name = KERNELS_NAME,
    .product = product,
    .dot = dot,
    .softmax_exp = softmax_exp,
    .softmax_tile = softmax_tile,
    .softmax_sum = softmax_sum,
    .scale = scale_by,
    .rms_norm = rms_norm,
    .layer_norm = layer_norm,
    .norm_backward = norm_backward,
    .silu_gate = silu_gate,
    .silu_gate_backward = silu_gate_backward,
    .gelu = gelu,
    .gelu_backward = gelu_backward,
    .adamw = adamw,
    .add = add,
    .add_scaled = add_scaled,
};
