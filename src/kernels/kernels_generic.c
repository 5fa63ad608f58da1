/* The kernels in portable C, the path every machine has. */
#include "kernels/lanes_generic.h"

#define TILE_ROWS 4
#define TILE_VECTORS 1
#define KERNELS tx_kernels_generic
#define KERNELS_NAME "generic"
#include "kernels/template.h"
