/* Streams over file descriptors. */
#include "formats/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "formats/missing.h"

struct tx_stream {
  int file;
  int64_t size;
  char *name;
};

static tx_status check_kind(tx_stream *stream, const char *path, tx_error *error) {
  struct stat facts;
  if (fstat(stream->file, &facts)) return tx_fail_errno(error, "read", path);
  if (S_ISDIR(facts.st_mode)) {
    return tx_fail(error, TX_ERROR_INPUT, "cannot read %s: it is a directory; name a file in it",
                   stream->name);
  }
  if (S_ISREG(facts.st_mode)) stream->size = facts.st_size;
  return TX_OK;
}

/* A pipe is waited for until somebody writes to it; a signal ends that. */
static tx_status fail_open(const char *path, int code, tx_error *error) {
  if (code != EINTR) return tx_fail_unreadable(path, code, error);
  return tx_fail(error, TX_ERROR_INTERRUPTED, "interrupted while waiting for %s", path);
}

tx_status tx_stream_open(const char *path, tx_stream **stream, tx_error *error) {
  *stream = NULL;
  bool standard = strcmp(path, "-") == 0;
  tx_stream *made = tx_alloc_zero(1, sizeof *made);
  if (!made) return tx_fail_memory(error, sizeof *made, "a stream");
  made->file = -1;
  made->name = tx_copy_string(standard ? "standard input" : path);
  tx_status status = made->name ? TX_OK : tx_fail_memory(error, strlen(path), "a file's name");
  if (status == TX_OK) {
    made->file = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (made->file < 0) status = fail_open(path, errno, error);
  }
  if (status == TX_OK) status = check_kind(made, path, error);
  if (status != TX_OK) {
    tx_stream_close(made);
    return status;
  }
  *stream = made;
  return TX_OK;
}

tx_status tx_stream_read(tx_stream *stream, void *data, size_t size, size_t *got, tx_error *error) {
  ssize_t count = read(stream->file, data, size);
  *got = count > 0 ? (size_t)count : 0;
  if (count >= 0) return TX_OK;
  if (errno == EINTR) {
    return tx_fail(error, TX_ERROR_INTERRUPTED, "interrupted while reading %s", stream->name);
  }
  return tx_fail_errno(error, "read", stream->name);
}

const char *tx_stream_name(const tx_stream *stream) { return stream->name; }

int64_t tx_stream_size(const tx_stream *stream) { return stream->size; }

void tx_stream_close(tx_stream *stream) {
  if (!stream) return;
  if (stream->file > STDIN_FILENO) close(stream->file);
  tx_free(stream->name);
  tx_free(stream);
}
