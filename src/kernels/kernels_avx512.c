/* The kernels in AVX-512: nine rows of forty-eight columns fill 27 of 32 registers. */
#include "kernels/lanes_avx512.h"

#define TILE_ROWS 9
#define TILE_VECTORS 3
#define KERNELS tx_kernels_avx512
#define KERNELS_NAME "avx512"
#include "kernels/template.h"
