/* Partial files over POSIX. */
#include "formats/partial.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/memory.h"
#include "base/watch.h"
#include "formats/directory.h"

enum { CHUNK = 1 << 18 };

struct tx_partial {
  char path[TX_PATH_SIZE];
  int descriptor;
  int64_t size;
  tx_sha256 *hash;
};

static tx_status fail_write(const char *path, int code, tx_error *error) {
  bool full = code == ENOSPC || code == EDQUOT;
  return tx_fail(error, TX_ERROR_SYSTEM, "cannot write %s: %s; %s", path, strerror(code),
                 full                ? "free some space, then run it again: it goes on from here"
                 : code == EFBIG     ? "the system limits the size of files"
                 : code == EIO       ? "check the disk and try again"
                                     : "choose a home that you may write to");
}

/* ---- partial files ---- */

static tx_status hash_there(tx_partial *partial, int64_t total, unsigned char *chunk,
                            const tx_watch *watch, tx_error *error) {
  while (partial->size < total) {
    ssize_t got = pread(partial->descriptor, chunk, CHUNK, partial->size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return tx_fail_errno(error, "read", partial->path);
    if (got == 0) break;
    if (!tx_sha256_add(partial->hash, chunk, (size_t)got)) {
      return tx_fail_memory(error, CHUNK, "a hash");
    }
    partial->size += got;
    tx_watch_report(watch, "verify", partial->size, total, "bytes");
    TX_TRY(tx_watch_check(watch, error));
  }
  return TX_OK;
}

static tx_status continue_file(tx_partial *partial, int64_t most, const tx_watch *watch,
                               tx_error *error) {
  struct stat facts;
  if (fstat(partial->descriptor, &facts) != 0) {
    return tx_fail_errno(error, "look at", partial->path);
  }
  if (facts.st_size > most) return tx_partial_restart(partial, error);
  partial->hash = tx_sha256_new();
  unsigned char *chunk = tx_alloc(CHUNK);
  tx_status status = partial->hash && chunk
                         ? hash_there(partial, facts.st_size, chunk, watch, error)
                         : tx_fail_memory(error, CHUNK, "a hash");
  tx_free(chunk);
  return status;
}

tx_status tx_partial_open(const char *path, int64_t most, tx_partial **partial,
                          const tx_watch *watch, tx_error *error) {
  *partial = NULL;
  tx_partial *made = tx_alloc_zero(1, sizeof *made);
  if (!made) return tx_fail_memory(error, sizeof *made, "a file to write");
  snprintf(made->path, sizeof made->path, "%s", path);
  tx_file_facts there = tx_file_look(path);
  if (there.exists && !there.regular) unlink(path);
  made->descriptor = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
  tx_status status = made->descriptor < 0 ? fail_write(path, errno, error)
                                          : continue_file(made, most, watch, error);
  if (status != TX_OK) {
    tx_partial_close(made);
    return status;
  }
  *partial = made;
  return TX_OK;
}

int64_t tx_partial_size(const tx_partial *partial) { return partial->size; }

tx_status tx_partial_add(tx_partial *partial, const void *data, size_t size, tx_error *error) {
  const char *from = data;
  while (size > 0) {
    ssize_t wrote = pwrite(partial->descriptor, from, size, partial->size);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return fail_write(partial->path, wrote < 0 ? errno : ENOSPC, error);
    if (!tx_sha256_add(partial->hash, from, (size_t)wrote)) {
      return tx_fail_memory(error, CHUNK, "a hash");
    }
    partial->size += wrote;
    from += wrote;
    size -= (size_t)wrote;
  }
  return TX_OK;
}

tx_status tx_partial_restart(tx_partial *partial, tx_error *error) {
  while (ftruncate(partial->descriptor, 0) != 0) {
    if (errno != EINTR) return fail_write(partial->path, errno, error);
  }
  tx_sha256_free(partial->hash);
  partial->hash = tx_sha256_new();
  partial->size = 0;
  return partial->hash ? TX_OK : tx_fail_memory(error, CHUNK, "a hash");
}

tx_status tx_partial_hash(tx_partial *partial, char sha256[65], tx_error *error) {
  return tx_sha256_finish(partial->hash, sha256) ? TX_OK
                                                 : tx_fail_memory(error, CHUNK, "a hash");
}

/* The rename itself must reach the disk, where the file system can promise it. */
static tx_status sync_parent(const char *path, tx_error *error) {
  char parent[TX_PATH_SIZE];
  snprintf(parent, sizeof parent, "%s", path);
  char *slash = strrchr(parent, '/');
  if (slash) *slash = '\0';
  int descriptor = open(slash ? parent : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return TX_OK;
  int code = fsync(descriptor) == 0 ? 0 : errno;
  close(descriptor);
  return code == EIO || code == ENOSPC || code == EDQUOT ? fail_write(path, code, error) : TX_OK;
}

tx_status tx_partial_keep(tx_partial *partial, const char *path, tx_error *error) {
  while (fsync(partial->descriptor) != 0) {
    if (errno != EINTR) return fail_write(partial->path, errno, error);
  }
  if (rename(partial->path, path) != 0) return fail_write(path, errno, error);
  return sync_parent(path, error);
}

void tx_partial_remove(tx_partial *partial) { unlink(partial->path); }

void tx_partial_close(tx_partial *partial) {
  if (!partial) return;
  if (partial->descriptor >= 0) close(partial->descriptor);
  tx_sha256_free(partial->hash);
  tx_free(partial);
}
