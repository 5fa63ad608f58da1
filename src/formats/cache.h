/* A bounded store of computed numbers on disk: records found by a 128-bit key,
 * kept in segment files, least recently used out first.  What the keys and the
 * records mean is left to the caller.
 *
 * A segment is written once, whole (file.h), and never changed; being used sets
 * its time of modification.  So any number of processes may use one directory at
 * once: a reader keeps what it has opened even when another removes it.  Records
 * carry checksums; a damaged segment is removed, and its records are computed
 * again.  The layout stands in docs/formats.md. */
#ifndef TX_FORMATS_CACHE_H
#define TX_FORMATS_CACHE_H

#include "base/error.h"

typedef struct tx_cache_key {
  uint64_t high, low;
} tx_cache_key;

typedef struct tx_cache_record { /* borrowed */
  tx_cache_key key;
  const void *data;
  uint64_t bytes;
} tx_cache_record;

typedef struct tx_cache tx_cache;

/* Reads the indexes of all segments; a directory that is not there is an empty cache. */
tx_status tx_cache_open(const char *directory, tx_cache **cache, tx_error *error);
void tx_cache_close(tx_cache *cache);

/* Copies the first `bytes` of a record that has at least as many; false: there is none,
 * or it is damaged. */
bool tx_cache_read(tx_cache *cache, tx_cache_key key, uint64_t bytes, void *to);

/* Keeps records, each key once, as one new segment, then removes the least
 * recently used segments until all take no more than `bound` bytes and are no more
 * than 512 files.  The new one counts as used at `used` (nanoseconds since 1970; 0: now), so
 * that it goes before what was used since then.  Records that are larger than `bound` in all are
 * not kept.  The records just written are not found by this handle. */
tx_status tx_cache_add(tx_cache *cache, const tx_cache_record *records, int64_t count,
                       uint64_t bound, int64_t used, tx_error *error);

#endif
