/* flock and statvfs. */
#include "formats/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/watch.h"
#include "formats/http.h"

enum { SPARE = 16 << 20, LOCK_MS = 100 };

/* ---- space ---- */

int64_t tx_space_left(const char *directory) {
  struct statvfs disk;
  uint64_t there;
  if (statvfs(directory, &disk) != 0 || disk.f_blocks == 0) return INT64_MAX;
  if (!tx_multiply(disk.f_bavail, disk.f_frsize, &there) || there > INT64_MAX) return INT64_MAX;
  return there > SPARE ? (int64_t)there - SPARE : 0;
}

tx_status tx_space_check(const char *directory, int64_t bytes, tx_error *error) {
  int64_t left = tx_space_left(directory);
  if (bytes <= left) return TX_OK;
  return tx_fail(error, TX_ERROR_SYSTEM,
                 "there is no room for it: %" PRId64 " bytes are needed and %" PRId64
                 " can be had on the disk of %s; free some space or name another place (--home)",
                 bytes, left, directory);
}

/* ---- locks ---- */

static tx_status wait_for_lock(tx_lock *lock, const char *what, const tx_watch *watch,
                               tx_error *error) {
  for (bool told = false;; told = true) {
    if (flock(lock->descriptor, LOCK_EX | LOCK_NB) == 0) return TX_OK;
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return TX_OK; /* a file system without locks: as good as alone */
    if (!told) tx_watch_note(watch, "another %s is running; waiting for it", what);
    TX_TRY(tx_wait(LOCK_MS, watch, error));
  }
}

static tx_status open_lock(const char *path, tx_lock *lock, tx_error *error) {
  lock->descriptor = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
  return lock->descriptor < 0 ? tx_fail_errno(error, "write", path) : TX_OK;
}

tx_status tx_lock_try(const char *path, tx_lock *lock, bool *taken, tx_error *error) {
  *taken = false;
  TX_TRY(open_lock(path, lock, error));
  int result;
  while ((result = flock(lock->descriptor, LOCK_EX | LOCK_NB)) != 0 && errno == EINTR) continue;
  *taken = result == 0 || errno != EWOULDBLOCK; /* a file system without locks: as good as alone */
  if (!*taken) tx_lock_free(lock);
  return TX_OK;
}

tx_status tx_lock_take(const char *path, const char *what, tx_lock *lock, const tx_watch *watch,
                       tx_error *error) {
  TX_TRY(open_lock(path, lock, error));
  tx_status status = wait_for_lock(lock, what, watch, error);
  if (status != TX_OK) tx_lock_free(lock);
  return status;
}

void tx_lock_free(tx_lock *lock) {
  if (lock->descriptor >= 0) close(lock->descriptor); /* with it goes the lock */
  lock->descriptor = -1;
}
