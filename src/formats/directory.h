/* Directories: made, listed, measured, removed; and the facts of a file.  Files
 * themselves are left to file.h and stream.h. */
#ifndef TX_FORMATS_DIRECTORY_H
#define TX_FORMATS_DIRECTORY_H

#include "base/error.h"
#include "base/memory.h"

enum { TX_PATH_SIZE = 4096 };

typedef struct tx_file_facts {
  bool exists, regular, directory;
  int64_t bytes;
  int64_t modified; /* in nanoseconds since 1970 */
} tx_file_facts;

tx_file_facts tx_file_look(const char *path); /* what cannot be looked at does not exist */

bool tx_file_same(const char *a, const char *b); /* both there, and one file by any names */

/* With the directories above it; one that is there is fine. */
tx_status tx_directory_make(const char *path, tx_error *error);

/* The names in it but "." and "..", sorted by bytes, in the arena.  No such
 * directory: none. */
tx_status tx_directory_names(const char *path, tx_arena *arena, char ***names, size_t *count,
                             tx_error *error);

/* A new, empty one in `parent`, for this user alone. */
tx_status tx_directory_temporary(const char *parent, char path[TX_PATH_SIZE], tx_error *error);

int64_t tx_directory_bytes(const char *path); /* of all regular files in it, at any depth */
void tx_directory_remove(const char *path);   /* with all that is in it, as far as possible */

tx_status tx_file_move(const char *from, const char *to, tx_error *error); /* on one disk */
void tx_file_remove(const char *path);

/* The parts joined by one '/' each; too long is TX_ERROR_ARGUMENT. */
tx_status tx_path_join(char path[TX_PATH_SIZE], const char *directory, const char *name,
                       tx_error *error);

#endif
