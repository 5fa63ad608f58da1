/* The byte kernels in portable C: the meaning that the other paths must match. */
#include "kernels/lanes_generic.h"

typedef struct {
  int32_t lane[16];
} sums;
typedef struct {
  int8_t lane[16][4];
} four_weights;
typedef struct {
  int16_t byte[4];
} four_inputs;

static inline sums sums_zero(void) { return (sums){{0}}; }
static inline four_weights weights_load(const int8_t *from) {
  four_weights result;
  memcpy(&result, from, sizeof result);
  return result;
}
static inline four_inputs inputs_load(const uint8_t *from) {
  return (four_inputs){{from[0], from[1], from[2], from[3]}};
}
static inline sums sums_add(sums sum, four_inputs x, four_weights w) {
  for (int i = 0; i < 16; i++) {
    sum.lane[i] += x.byte[0] * w.lane[i][0] + x.byte[1] * w.lane[i][1] +
                   x.byte[2] * w.lane[i][2] + x.byte[3] * w.lane[i][3];
  }
  return sum;
}
/* sum - zero * column_sum, in fp32 */
static inline lanes sums_less(sums sum, int32_t zero, const int32_t *column_sum) {
  lanes result;
  for (int i = 0; i < 16; i++) result.lane[i] = (float)(sum.lane[i] - zero * column_sum[i]);
  return result;
}
static inline void store_bytes(uint8_t *to, lanes a) {
  for (int i = 0; i < 16; i++) {
    uint32_t bits;
    memcpy(&bits, &a.lane[i], sizeof bits);
    to[i] = (uint8_t)bits;
  }
}

#define TILE_ROWS 4
#define TILE_VECTORS 1
#define INT8 tx_int8_generic
#define INT8_NAME "generic"
#include "kernels/int8_template.h"
