/* Grouped products compiled for AVX-512, without VNNI. */
#define GROUPED tx_grouped_avx512
#define GROUPED_NAME "avx512"
#include "kernels/grouped_lanes_avx512.h"
#include "kernels/grouped_template.h"
