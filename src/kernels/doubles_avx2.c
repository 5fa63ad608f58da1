/* The kernels in double, compiled for AVX2. */
#define DOUBLES tx_doubles_avx2
#define PART 4
#define ROW_TILE 2
#define COLUMN_TILE 2
#define WIDE_TILE 1
#include "kernels/doubles_template.h"
