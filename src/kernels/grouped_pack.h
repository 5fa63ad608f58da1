/* From the file's blocks to the panels of grouped.h. */
#ifndef TX_KERNELS_GROUPED_PACK_H
#define TX_KERNELS_GROUPED_PACK_H

#include <stdint.h>

/* One panel of `columns` (1..TX_GROUPED_OUTPUTS) outputs, whose blocks follow one
 * another at `blocks`; the outputs that are missing become 0.  The type is supported. */
void tx_grouped_pack_panel(uint32_t type, const unsigned char *blocks, int64_t depth,
                           int64_t columns, unsigned char *panel);

/* Bytes of `groups` groups of one output in the file. */
int64_t tx_grouped_file_bytes(uint32_t type, int64_t groups);

#endif
