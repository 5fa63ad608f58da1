/* A file that grows over several runs: what a fetch has so far, under a name of
 * its own until it is whole.  Every byte is handed to the system at once, so
 * that a killed run leaves what it had.  Files written in one go are file.h's. */
#ifndef TX_FORMATS_PARTIAL_H
#define TX_FORMATS_PARTIAL_H

#include "base/error.h"

typedef struct tx_partial tx_partial;

/* Opens `path`, new or as an earlier run left it; a part of more than `most`
 * bytes, or what is no regular file, is thrown away.  What is there is read
 * through for the hash; that may be stopped by the watch. */
tx_status tx_partial_open(const char *path, int64_t most, tx_partial **partial,
                          const tx_watch *watch, tx_error *error);
int64_t tx_partial_size(const tx_partial *partial);
tx_status tx_partial_add(tx_partial *partial, const void *data, size_t size, tx_error *error);
tx_status tx_partial_restart(tx_partial *partial, tx_error *error); /* empties it */
/* The SHA-256 of all of it; once, until a restart. */
tx_status tx_partial_hash(tx_partial *partial, char sha256[65], tx_error *error);
/* Syncs it and renames it over `path`, on the same disk. */
tx_status tx_partial_keep(tx_partial *partial, const char *path, tx_error *error);
void tx_partial_remove(tx_partial *partial); /* the file, not the handle */
void tx_partial_close(tx_partial *partial);  /* the file stays; NULL is allowed */

#endif
