/* Grouped products compiled for AVX2. */
#define GROUPED tx_grouped_avx2
#define GROUPED_NAME "avx2"
#include "kernels/grouped_lanes_avx2.h"
#include "kernels/grouped_template.h"
