/* Fills one growing buffer until a batch is in it, then cuts it into lines.
 * Nothing else may read the descriptor. */
#include "lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "progress.h"

enum { READ_SIZE = 1 << 16, LONG_LINE = 1 << 22 };

lines lines_open(int descriptor) { return (lines){.descriptor = descriptor}; }

void lines_close(lines *reader) {
  free(reader->buffer);
  *reader = (lines){.descriptor = -1, .ended = true};
}

/* Forgets what was handed out, and the room that a very long line took. */
static void make_room(lines *reader) {
  if (reader->at > 0) {
    memmove(reader->buffer, reader->buffer + reader->at, reader->size - reader->at);
    reader->size -= reader->at;
    reader->at = 0;
  }
  if (reader->capacity > LONG_LINE && reader->size < READ_SIZE) {
    reader->capacity = 2 * READ_SIZE;
    reader->buffer = cli_resize(reader->buffer, reader->capacity, 1);
  }
}

/* One read; its errno, or 0. */
static int read_more(lines *reader) {
  if (reader->size + READ_SIZE > reader->capacity) {
    reader->capacity = 2 * reader->capacity + 2 * READ_SIZE;
    reader->buffer = cli_resize(reader->buffer, reader->capacity, 1);
  }
  ssize_t got = read(reader->descriptor, reader->buffer + reader->size, READ_SIZE);
  if (got < 0) return errno == EINTR || errno == EAGAIN ? 0 : errno;
  reader->ended = got == 0;
  reader->size += (size_t)got;
  return 0;
}

/* Line ends from *at on, at most `most`; moves *at behind the last byte seen. */
static size_t count_ends(const lines *reader, size_t *at, size_t most) {
  size_t count = 0;
  while (count < most && *at < reader->size) {
    const char *end = memchr(reader->buffer + *at, '\n', reader->size - *at);
    if (end) count++;
    *at = end ? (size_t)(end - reader->buffer) + 1 : reader->size;
  }
  return count;
}

/* Reads until a batch is held, nothing more is ready, or the end. */
static int fill(lines *reader, size_t most, size_t bytes) {
  size_t seen = 0, whole = 0;
  for (;;) {
    whole += count_ends(reader, &seen, most - whole);
    bool enough = whole == most || (whole > 0 && reader->size >= bytes);
    if (enough || reader->ended) return 0;
    bool ready = progress_wait_input(reader->descriptor, whole > 0 ? 0 : -1);
    if (progress_interrupted() || (!ready && whole > 0)) return 0;
    int failure = ready ? read_more(reader) : 0;
    if (failure) return failure;
  }
}

/* A byte order mark before the first line is no part of it, as in tables. */
static void skip_mark(lines *reader) {
  if (!reader->started && reader->size >= 3 && memcmp(reader->buffer, "\xef\xbb\xbf", 3) == 0) {
    reader->at = 3;
  }
  reader->started = true;
}

int lines_batch(lines *reader, tx_text *texts, size_t most, size_t bytes, size_t *count) {
  *count = 0;
  make_room(reader);
  int failure = fill(reader, most, bytes);
  if (failure || progress_interrupted()) return failure;
  skip_mark(reader);
  while (*count < most && reader->at < bytes && reader->at < reader->size) {
    const char *line = reader->buffer + reader->at;
    size_t left = reader->size - reader->at;
    const char *end = memchr(line, '\n', left);
    if (!end && !reader->ended) break;
    size_t size = end ? (size_t)(end - line) : left;
    reader->at += size + (end != NULL);
    if (size > 0 && line[size - 1] == '\r') size--;
    texts[(*count)++] = (tx_text){line, size};
  }
  return 0;
}
