/* A table from the names in a file to their indices: the bytes stay in the
 * file, names are entered once, in order, and found in constant time.  Built for
 * hostile files: the number of names is fixed first, and names that were made
 * to collide are refused instead of searched.  What a name means is left to the
 * format. */
#ifndef TX_FORMATS_NAMES_H
#define TX_FORMATS_NAMES_H

#include "base/error.h"

/* Invariant: `count` never passes the count that was reserved, and `slots` is
 * at most half full. */
typedef struct tx_names {
  tx_text *items; /* (count), borrowed bytes */
  size_t count;
  uint32_t *slots; /* (mask + 1): index + 1, or 0 for empty; open addressing */
  size_t mask;
  uint64_t seed;
} tx_names;

typedef enum tx_names_result {
  TX_NAMES_ADDED,
  TX_NAMES_TWICE,   /* it was there already */
  TX_NAMES_CROWDED, /* too many names share a hash, which does not happen by chance */
} tx_names_result;

/* Room for `count` names, below 2^31; false when out of memory. */
bool tx_names_reserve(tx_names *names, size_t count);
tx_names_result tx_names_add(tx_names *names, tx_text name); /* its index is the old count */
bool tx_names_find(const tx_names *names, const char *name, size_t *index);
void tx_names_free(tx_names *names);

#endif
