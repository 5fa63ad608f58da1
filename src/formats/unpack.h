/* The members of an archive (zip: wheels; tar, also gzipped: source packages),
 * as streams of bytes.  Names in an archive are only compared, never used as
 * paths. */
#ifndef TX_FORMATS_UNPACK_H
#define TX_FORMATS_UNPACK_H

#include "base/buffer.h"
#include "base/error.h"

typedef struct tx_unpack tx_unpack;

/* Opens at the regular file called exactly `member`; an archive without it, or
 * a damaged one, is TX_ERROR_INPUT. */
tx_status tx_unpack_open(const char *path, const char *member, tx_unpack **unpack, tx_error *error);
/* The same over an archive in memory, borrowed; `name` stands for it in messages. */
tx_status tx_unpack_open_bytes(tx_text bytes, const char *name, const char *member,
                               tx_unpack **unpack, tx_error *error);
/* Opens before the first member, to go through them by tx_unpack_next, which gives
 * the next regular file's name, borrowed until the next call; NULL: the end. */
tx_status tx_unpack_open_members(const char *path, tx_unpack **unpack, tx_error *error);
tx_status tx_unpack_next(tx_unpack *unpack, const char **name, tx_error *error);
tx_status tx_unpack_read(tx_unpack *unpack, void *data, size_t size, size_t *got,
                         tx_error *error); /* *got 0: the end */
/* All that is left, appended; more than `limit` bytes is TX_ERROR_INPUT. */
tx_status tx_unpack_all(tx_unpack *unpack, size_t limit, tx_buffer *bytes, tx_error *error);
void tx_unpack_close(tx_unpack *unpack); /* NULL is allowed */

#endif
