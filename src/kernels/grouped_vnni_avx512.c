/* Grouped products compiled for AVX-512 with VNNI. */
#define VNNI
#define GROUPED tx_grouped_vnni
#define GROUPED_NAME "vnni"
#include "kernels/grouped_lanes_avx512.h"
#include "kernels/grouped_template.h"
