/* Sources: proc(5); the kernel's Documentation/admin-guide/cgroup-v2.rst and
 * cgroup-v1/memory.rst.  What cannot be read is not known, and limits nothing. */
#include "base/available.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT = 1 << 14, PATH = 4096 };

/* The beginning of a small file, NUL-terminated; false where it cannot be read. */
static bool read_text(const char *directory, const char *name, char text[TEXT]) {
  char path[PATH + 64];
  size_t size = 0;
  if (snprintf(path, sizeof path, "%s%s", directory, name) >= (int)sizeof path) return false;
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  for (ssize_t got = 1; got > 0 && size < TEXT - 1; size += got > 0 ? (size_t)got : 0) {
    got = read(file, text + size, TEXT - 1 - size);
  }
  close(file);
  text[size] = '\0';
  return size > 0;
}

/* The number behind `key` at the beginning of a line; `otherwise` where there is none. */
static uint64_t number_of(const char *text, const char *key, uint64_t otherwise) {
  size_t size = strlen(key);
  for (const char *line = text; line; line = strchr(line, '\n')) {
    line += *line == '\n';
    if (strncmp(line, key, size) != 0) continue;
    char *end;
    uint64_t value = strtoull(line + size, &end, 10);
    return end == line + size ? otherwise : value;
  }
  return otherwise;
}

typedef struct {
  const char *mount, *limit, *used, *file_pages;
} group_files;

static const group_files second = {"/sys/fs/cgroup", "/memory.max", "/memory.current",
                                   "inactive_file "};
static const group_files first = {"/sys/fs/cgroup/memory", "/memory.limit_in_bytes",
                                  "/memory.usage_in_bytes", "total_inactive_file "};

/* What one group has left; without a limit ("max", or no such file) everything. */
static uint64_t left_in(const char *directory, const group_files *files) {
  char text[TEXT];
  if (!read_text(directory, files->limit, text)) return UINT64_MAX;
  uint64_t limit = number_of(text, "", UINT64_MAX);
  if (limit == UINT64_MAX || !read_text(directory, files->used, text)) return UINT64_MAX;
  uint64_t used = number_of(text, "", 0);
  uint64_t pages =
      read_text(directory, "/memory.stat", text) ? number_of(text, files->file_pages, 0) : 0;
  used = pages < used ? used - pages : 0;
  return used < limit ? limit - used : 0;
}

/* The least of a group and of those above it; a path that is not there is of another
 * namespace, and the mount itself is what limits. */
static uint64_t left_from(const char *root, const group_files *files, const char *group) {
  char directory[PATH];
  uint64_t least = UINT64_MAX;
  size_t base = strlen(root) + strlen(files->mount);
  int size = snprintf(directory, sizeof directory, "%s%s%s", root, files->mount, group);
  if (size < 0 || size >= (int)sizeof directory) return UINT64_MAX;
  for (;;) {
    uint64_t left = left_in(directory, files);
    least = left < least ? left : least;
    char *slash = strrchr(directory, '/');
    if (strlen(directory) <= base || !slash || (size_t)(slash - directory) < base) return least;
    *slash = '\0';
  }
}

/* A line of /proc/self/cgroup: "number:controllers:/path". */
static uint64_t left_of_line(const char *root, const char *line) {
  char controllers[256], group[PATH / 2];
  if (sscanf(line, "0::%2047[^\n]", group) == 1) return left_from(root, &second, group);
  if (sscanf(line, "%*d:%255[^:]:%2047[^\n]", controllers, group) != 2) return UINT64_MAX;
  for (char *at = controllers; at; at = strchr(at, ',')) {
    at += *at == ',';
    if (strncmp(at, "memory", 6) == 0 && (at[6] == ',' || at[6] == '\0')) {
      return left_from(root, &first, group);
    }
  }
  return UINT64_MAX;
}

uint64_t tx_memory_available(const char *root) {
  char text[TEXT];
  uint64_t least = UINT64_MAX;
  if (read_text(root, "/proc/meminfo", text)) {
    uint64_t kilobytes = number_of(text, "MemAvailable:", UINT64_MAX);
    if (kilobytes < UINT64_MAX / 1024) least = kilobytes * 1024;
  }
  if (!read_text(root, "/proc/self/cgroup", text)) return least;
  for (const char *line = text; line; line = strchr(line, '\n')) {
    line += *line == '\n';
    uint64_t left = left_of_line(root, line);
    least = left < least ? left : least;
  }
  return least;
}

tx_status tx_memory_limit(uint64_t *bytes, tx_error *error) {
  const char *given = getenv("TAXON_MEMORY_MB");
  *bytes = UINT64_MAX;
  if (!given || !*given) {
    *bytes = tx_memory_available("");
    return TX_OK;
  }
  char *end;
  uint64_t megabytes = strtoull(given, &end, 10);
  if (*end || given[0] < '0' || given[0] > '9' || megabytes > UINT64_MAX / 1000000) {
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "TAXON_MEMORY_MB is '%.40s'; it must be a whole number of megabytes", given);
  }
  *bytes = megabytes * 1000000;
  return TX_OK;
}
