/* Names are compared without their endings, which must be the same: in short
 * names a common ending would make all of them near. */
#include "formats/missing.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "formats/nearest.h"

enum { ENTRIES = 10000 }; /* of a directory that are looked at */

static size_t stem_size(const char *name) {
  const char *dot = strrchr(name, '.');
  return dot && dot != name ? (size_t)(dot - name) : strlen(name);
}

/* A file of that name without an ending, or one with the same ending. */
static bool may_be_meant(const char *name, const char *entry) {
  size_t size = stem_size(name);
  if (entry[0] == '.') return false;
  bool bare = name[size] == '\0';
  if (bare && stem_size(entry) == size && strncmp(name, entry, size) == 0) return true;
  return strcmp(name + size, entry + stem_size(entry)) == 0;
}

static tx_text stem_of(const char *name) { return (tx_text){name, stem_size(name)}; }

/* Whether `entry` is nearer to `name` than `held`; of equals the first by its bytes. */
static bool is_nearer(const char *name, const char *entry, const char *held) {
  tx_text ahead[] = {stem_of(entry), stem_of(held)}, behind[] = {stem_of(held), stem_of(entry)};
  if (!*held) return tx_nearest(stem_of(name), ahead, 1) == 0;
  bool first = tx_nearest(stem_of(name), ahead, 2) == 0;
  bool second = tx_nearest(stem_of(name), behind, 2) == 1;
  return first && (second || strcmp(entry, held) < 0);
}

/* The nearest name in the directory of `path`, "" when none is near. */
static void find_nearest(const char *path, char nearest[NAME_MAX + 1]) {
  char directory[PATH_MAX] = ".";
  const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
  size_t size = slash ? (size_t)(slash - path) + 1 : 0;
  nearest[0] = '\0';
  if (!*name || size >= sizeof directory) return;
  if (size > 0) memcpy(directory, path, size), directory[size] = '\0';
  DIR *stream = opendir(directory);
  if (!stream) return;
  struct dirent *entry;
  for (int i = 0; i < ENTRIES && (entry = readdir(stream)); i++) {
    if (strlen(entry->d_name) > NAME_MAX || !may_be_meant(name, entry->d_name)) continue;
    if (is_nearer(name, entry->d_name, nearest)) {
      memcpy(nearest, entry->d_name, strlen(entry->d_name) + 1);
    }
  }
  closedir(stream);
}

tx_status tx_fail_unreadable(const char *path, int code, tx_error *error) {
  char nearest[NAME_MAX + 1] = "", shown[TX_SHOWN_SIZE];
  bool input = code == ENOENT || code == ENOTDIR || code == EACCES || code == ELOOP ||
               code == ENAMETOOLONG || code == ENXIO;
  if (code == ENOENT) find_nearest(path, nearest);
  if (*nearest) {
    return tx_fail(error, TX_ERROR_INPUT, "cannot read %s: %s; did you mean '%s'?", path,
                   strerror(code), tx_show_name(tx_text_of(nearest), shown));
  }
  return tx_fail(error, input ? TX_ERROR_INPUT : TX_ERROR_SYSTEM, "cannot read %s: %s; %s",
                 path[0] ? path : "''", strerror(code),
                 code == EACCES ? "you need the right to read it"
                 : input        ? "check the path"
                                : "check the disk and try again");
}
