/* Directories over POSIX; a tree is walked by descriptors, never through
 * symbolic links. */
#include "formats/directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"

tx_file_facts tx_file_look(const char *path) {
  struct stat facts;
  if (stat(path, &facts)) return (tx_file_facts){0};
  return (tx_file_facts){
      .exists = true,
      .regular = S_ISREG(facts.st_mode),
      .directory = S_ISDIR(facts.st_mode),
      .bytes = facts.st_size,
      .modified = (int64_t)facts.st_mtim.tv_sec * 1000000000 + facts.st_mtim.tv_nsec};
}

bool tx_file_same(const char *a, const char *b) {
  struct stat first, second;
  return stat(a, &first) == 0 && stat(b, &second) == 0 && first.st_dev == second.st_dev &&
         first.st_ino == second.st_ino;
}

tx_status tx_path_join(char path[TX_PATH_SIZE], const char *directory, const char *name,
                       tx_error *error) {
  size_t size = strlen(directory);
  bool slash = size > 0 && directory[size - 1] == '/';
  int used = snprintf(path, TX_PATH_SIZE, "%s%s%s", directory, slash ? "" : "/", name);
  if (used >= 0 && used < TX_PATH_SIZE) return TX_OK;
  return tx_fail(error, TX_ERROR_ARGUMENT, "the path %.60s... is too long; choose a shorter one",
                 directory);
}

static tx_status fail_make(const char *path, int code, tx_error *error) {
  return tx_fail(
      error, TX_ERROR_SYSTEM, "cannot make the directory %s: %s; %s", path, strerror(code),
      code == ENOSPC || code == EDQUOT ? "free some space" : "choose one that you may write to");
}

tx_status tx_directory_make(const char *path, tx_error *error) {
  char part[TX_PATH_SIZE];
  size_t size = strlen(path);
  if (size == 0 || size >= sizeof part) {
    return tx_fail(error, TX_ERROR_ARGUMENT, "'%.60s' is no name for a directory", path);
  }
  for (size_t i = 1; i <= size; i++) {
    if (path[i] != '/' && path[i] != '\0') continue;
    memcpy(part, path, i);
    part[i] = '\0';
    if (mkdir(part, 0777) == 0 || errno == EEXIST || errno == EISDIR) continue;
    int code = errno;
    if (tx_file_look(part).directory) continue; /* of a read-only disk, for one */
    return fail_make(part, code, error);
  }
  if (tx_file_look(path).directory) return TX_OK;
  return tx_fail(error, TX_ERROR_SYSTEM, "%s is not a directory; choose another name", path);
}

static int by_bytes(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_dots(const char *name) { return strcmp(name, ".") == 0 || strcmp(name, "..") == 0; }

tx_status tx_directory_names(const char *path, tx_arena *arena, char ***names, size_t *count,
                             tx_error *error) {
  *names = NULL;
  *count = 0;
  DIR *directory = opendir(path);
  if (!directory) {
    return errno == ENOENT || errno == ENOTDIR ? TX_OK : tx_fail_errno(error, "list", path);
  }
  tx_buffer list = {0};
  const struct dirent *entry;
  while ((entry = readdir(directory))) {
    if (is_dots(entry->d_name)) continue;
    char *name = tx_arena_string(arena, entry->d_name, strlen(entry->d_name));
    if (!name || !tx_buffer_append(&list, &name, sizeof name)) {
      list.failed = true;
      break;
    }
  }
  closedir(directory);
  size_t bytes = list.size;
  *names = list.failed ? NULL : tx_arena_alloc(arena, bytes);
  if (*names && bytes) {
    memcpy(*names, list.data, bytes);
    *count = bytes / sizeof **names;
    qsort(*names, *count, sizeof **names, by_bytes);
  }
  tx_buffer_free(&list);
  return *names ? TX_OK : tx_fail_memory(error, bytes, "names of files");
}

tx_status tx_directory_temporary(const char *parent, char path[TX_PATH_SIZE], tx_error *error) {
  TX_TRY(tx_path_join(path, parent, ".fetch-XXXXXX", error));
  return mkdtemp(path) ? TX_OK : fail_make(path, errno, error);
}

/* ---- trees ---- */

enum { DEEPEST = 64 };

/* Adds up the sizes of the regular files below the descriptor, which is taken;
 * removes all of it on the way if asked to. */
static int64_t walk(int directory, bool removing, int depth) {
  DIR *list = directory < 0 ? NULL : fdopendir(directory);
  if (!list) {
    if (directory >= 0) close(directory);
    return 0;
  }
  int64_t bytes = 0;
  const struct dirent *entry;
  while ((entry = readdir(list))) {
    struct stat facts;
    if (is_dots(entry->d_name) || fstatat(directory, entry->d_name, &facts, AT_SYMLINK_NOFOLLOW)) {
      continue;
    }
    bool inner = S_ISDIR(facts.st_mode);
    if (inner && depth < DEEPEST) {
      int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
      bytes += walk(openat(directory, entry->d_name, flags), removing, depth + 1);
    } else if (S_ISREG(facts.st_mode)) {
      bytes += facts.st_size;
    }
    if (removing) unlinkat(directory, entry->d_name, inner ? AT_REMOVEDIR : 0);
  }
  closedir(list);
  return bytes;
}

static int open_tree(const char *path) {
  return open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

int64_t tx_directory_bytes(const char *path) { return walk(open_tree(path), false, 0); }

void tx_directory_remove(const char *path) {
  walk(open_tree(path), true, 0);
  rmdir(path);
}

/* ---- files ---- */

tx_status tx_file_move(const char *from, const char *to, tx_error *error) {
  return rename(from, to) == 0 ? TX_OK : tx_fail_errno(error, "write", to);
}

void tx_file_remove(const char *path) { unlink(path); }
