/* The kernels in AVX2 and FMA: six rows of sixteen columns fill twelve of sixteen registers. */
#include "kernels/lanes_avx2.h"

#define TILE_ROWS 6
#define TILE_VECTORS 1
#define KERNELS tx_kernels_avx2
#define KERNELS_NAME "avx2"
#include "kernels/template.h"
