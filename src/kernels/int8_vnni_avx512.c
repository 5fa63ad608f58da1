/* The byte kernels in AVX-512 with VNNI: nine rows of forty-eight columns fill 27
 * of 32 registers.  The instruction is written out, since GCC 12 moves the sums
 * out of their registers around the intrinsic. */
#include "kernels/int8_lanes_avx512.h"

typedef __m512i four_weights;
typedef __m512i four_inputs;

static inline four_weights weights_load(const int8_t *from) { return _mm512_loadu_si512(from); }
static inline four_inputs inputs_load(const uint8_t *from) { return four_bytes(from); }
static inline sums sums_add(sums sum, four_inputs x, four_weights w) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(w));
  return sum;
}

#define TILE_ROWS 9
#define TILE_VECTORS 3
#define INT8 tx_int8_vnni
#define INT8_NAME "vnni"
#include "kernels/int8_template.h"
