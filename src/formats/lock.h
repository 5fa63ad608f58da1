/* Several processes and one disk: a lock that is held while a file is fetched,
 * and whether there is room for it. */
#ifndef TX_FORMATS_LOCK_H
#define TX_FORMATS_LOCK_H

#include "base/error.h"

/* TX_ERROR_SYSTEM where the disk of `directory` has not `bytes` left for this
 * user, and a little more; a disk that does not say is taken to be large. */
tx_status tx_space_check(const char *directory, int64_t bytes, tx_error *error);
/* What may still be written there by that rule. */
int64_t tx_space_left(const char *directory);

/* Holds a lock file, made where it is missing, until it is closed; another
 * process, or another holder in this one, is waited for, with a note about
 * `what` ("pull of NAME").  The file stays: it is empty. */
typedef struct tx_lock {
  int descriptor;
} tx_lock;
tx_status tx_lock_take(const char *path, const char *what, tx_lock *lock, const tx_watch *watch,
                       tx_error *error);
/* The same without waiting: `taken` false where another one holds it. */
tx_status tx_lock_try(const char *path, tx_lock *lock, bool *taken, tx_error *error);
void tx_lock_free(tx_lock *lock);

#endif
