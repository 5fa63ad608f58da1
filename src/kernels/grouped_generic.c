/* Grouped products for any processor. */
#define GROUPED tx_grouped_generic
#define GROUPED_NAME "generic"
#include "kernels/grouped_lanes_generic.h"
#include "kernels/grouped_template.h"
