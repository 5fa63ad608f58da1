/* The kernels in double, compiled for AVX-512. */
#define DOUBLES tx_doubles_avx512
#define PART 8
#define ROW_TILE 4
#define COLUMN_TILE 4
#define WIDE_TILE 2
#include "kernels/doubles_template.h"
