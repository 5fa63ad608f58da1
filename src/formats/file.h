/* Whole files in and out: read-only maps, and writing that is atomic.  The
 * only place that opens, maps, writes, syncs or renames; what the bytes mean is
 * left to the formats. */
#ifndef TX_FORMATS_FILE_H
#define TX_FORMATS_FILE_H

#include "base/error.h"

typedef struct tx_map {      /* a read-only map of a whole regular file */
  const unsigned char *data; /* NULL when the file is empty */
  uint64_t size;
} tx_map;

/* A path that leads to no readable file, and a directory, a FIFO or any file that
 * is not regular, is TX_ERROR_INPUT. */
tx_status tx_map_open(const char *path, tx_map *map, tx_error *error);
void tx_map_close(tx_map *map);

/* Writes to a temporary name in the same directory; commit syncs the file,
 * renames it over `path` and syncs the directory.  Until then, and after any
 * failure, whatever stood under `path` is untouched.  Where `path` is a link,
 * the file that it leads to is replaced; what is not a regular file is refused.
 *
 * The temporary name is .NAME.taxon-XXXXXX.tmp.  Opening removes those of the
 * same NAME whose writer has died (killed, or the power failed), never one whose
 * writer lives, nor another user's.  Of several writers of one path the last to
 * commit wins, whole. */
typedef struct tx_writer tx_writer;
tx_status tx_writer_open(const char *path, tx_writer **writer, tx_error *error);
tx_status tx_writer_add(tx_writer *writer, const void *data, size_t size, tx_error *error);
tx_status tx_writer_commit(tx_writer *writer,
                           tx_error *error); /* takes the writer, also on failure */
void tx_writer_cancel(tx_writer *writer);    /* removes the temporary file */

/* A whole file at once. */
tx_status tx_file_write(const char *path, const void *data, size_t size, tx_error *error);

/* A file that grows in place, for logs: what is added is there at once, and stays there
 * however the program ends.  What is beyond `keep` bytes of an old one is cut off. */
typedef struct tx_appender tx_appender;
tx_status tx_appender_open(const char *path, uint64_t keep, tx_appender **appender,
                           tx_error *error);
tx_status tx_appender_add(tx_appender *appender, const void *data, size_t size, tx_error *error);
void tx_appender_close(tx_appender *appender); /* NULL is allowed */

/* Removes from a directory that is the program's own the temporary files of all
 * dead writers; what cannot be removed stays. */
void tx_directory_tidy(const char *path);

/* `bytes` of zeroed, writable memory backed by a file without a name in
 * `directory`; the space is reserved at once, so that a full disk fails here.
 * Freed by tx_pages_free. */
tx_status tx_scratch_map(const char *directory, uint64_t bytes, void **memory, tx_error *error);

#endif
