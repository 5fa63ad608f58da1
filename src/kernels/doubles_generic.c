/* The kernels in double, for any processor. */
#define DOUBLES tx_doubles_generic
#define PART 2
#define ROW_TILE 1
#define COLUMN_TILE 2
#define WIDE_TILE 1
#include "kernels/doubles_template.h"
