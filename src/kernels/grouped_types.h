/* The sizes of the packed forms of grouped.h, as constants for those who write and
 * read them. */
#ifndef TX_KERNELS_GROUPED_TYPES_H
#define TX_KERNELS_GROUPED_TYPES_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/grouped.h"

enum { /* ggml's numbers: a second copy of formats/gguf.h, which lies on a later floor */
       TYPE_Q4_0 = 2,
       TYPE_Q4_1 = 3,
       TYPE_Q5_0 = 6,
       TYPE_Q8_0 = 8,
       TYPE_Q4_K = 12,
       TYPE_Q6_K = 14
};

enum {
  SUPER_GROUPS = 8, /* of a K type's block */
  HALVES = 2 * TX_GROUPED_OUTPUTS,
  NIBBLE_BYTES = TX_GROUP / 2 * TX_GROUPED_OUTPUTS,
  FIFTH_BYTES = TX_GROUP / 8 * TX_GROUPED_OUTPUTS,
  UPPER_BYTES = TX_GROUP / 4 * TX_GROUPED_OUTPUTS
};

static inline bool is_super(uint32_t type) { return type == TYPE_Q4_K || type == TYPE_Q6_K; }

/* Where a group's scales begin. */
static inline int scales_at(uint32_t type) {
  switch (type) {
    case TYPE_Q5_0: return NIBBLE_BYTES + FIFTH_BYTES;
    case TYPE_Q6_K: return NIBBLE_BYTES + UPPER_BYTES;
    case TYPE_Q8_0: return TX_GROUP * TX_GROUPED_OUTPUTS;
    default: return NIBBLE_BYTES;
  }
}

/* Of a group: one fp16 a weight's output, or two, or two bytes. */
static inline int group_bytes(uint32_t type) {
  return scales_at(type) + (type == TYPE_Q4_1 ? 2 * HALVES : HALVES);
}

/* In front of the groups of a K type's block. */
static inline int super_bytes(uint32_t type) {
  return type == TYPE_Q4_K ? 2 * HALVES : type == TYPE_Q6_K ? HALVES : 0;
}

#endif
