/* States kept between the frozen trunk and what is trained on it: one row of
 * width C for every token (or, for a head alone, one for every text).  Held in
 * memory up to a budget, beyond it in a temporary file without a name. */
#ifndef TX_ADAPT_STATES_H
#define TX_ADAPT_STATES_H

#include "base/error.h"

typedef struct tx_states {
  int64_t count;          /* texts */
  int64_t width;          /* C */
  const int64_t *offsets; /* (count + 1), borrowed: text i is rows [offsets[i], offsets[i + 1]) */
  float *rows;            /* (offsets[count], C), or NULL: the texts are token ids */
  const int32_t *ids;     /* (offsets[count]), borrowed, where rows is NULL */
  uint64_t bytes;
  bool in_file;
} tx_states;

/* `directory` takes the file where `bytes` exceed `budget`.  A full disk is
 * found here and not while training. */
tx_status tx_states_new(int64_t count, const int64_t *offsets, int64_t width, uint64_t budget,
                        const char *directory, tx_states *states, tx_error *error);
/* Of texts that are read from their first block on: no states, but token ids. */
tx_states tx_states_of_ids(int64_t count, const int64_t *offsets, int64_t width,
                           const int32_t *ids);
void tx_states_free(tx_states *states);

#endif
