/* Read-only maps and atomic writing over open, mmap, write, fsync and rename.
 *
 * A file that another program cuts short while it is mapped raises SIGBUS on
 * access: files are replaced by rename, never in place. */
#include "formats/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "formats/missing.h"

/* ---- reading ----------------------------------------------------------- */

static tx_status map_descriptor(int descriptor, const char *path, tx_map *map, tx_error *error) {
  struct stat facts;
  if (fstat(descriptor, &facts) != 0) return tx_fail_unreadable(path, errno, error);
  if (!S_ISREG(facts.st_mode)) {
    return tx_fail(error, TX_ERROR_INPUT, "cannot read %s: it is %s; name a regular file", path,
                   S_ISDIR(facts.st_mode)    ? "a directory"
                   : S_ISFIFO(facts.st_mode) ? "a pipe"
                                             : "not a regular file");
  }
  if (facts.st_size == 0) return TX_OK;
  void *data = mmap(NULL, (size_t)facts.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
  if (data == MAP_FAILED) return tx_fail_unreadable(path, errno, error);
  *map = (tx_map){data, (uint64_t)facts.st_size};
  return TX_OK;
}

tx_status tx_map_open(const char *path, tx_map *map, tx_error *error) {
  *map = (tx_map){NULL, 0};
  /* O_NONBLOCK: opening a FIFO without a writer must not wait for one. */
  int descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
  if (descriptor < 0) return tx_fail_unreadable(path, errno, error);
  tx_status status = map_descriptor(descriptor, path, map, error);
  close(descriptor);
  return status;
}

void tx_map_close(tx_map *map) {
  if (map->data) munmap((void *)(uintptr_t)map->data, (size_t)map->size);
  *map = (tx_map){NULL, 0};
}

/* ---- writing ----------------------------------------------------------- */

enum {
  PATH_SHOWN = 512,
  BUFFER_SIZE = 1 << 18,
  NAME_KEPT = 200,
  RANDOM_LETTERS = 6,
  NAME_TRIES = 100
};

struct tx_writer {
  char *path;      /* as the caller named it, for messages */
  char *target;    /* the same with symbolic links followed */
  char *directory; /* of `target` */
  char *temporary; /* in that directory */
  int descriptor;  /* locked for as long as the temporary file has its name */
  unsigned char *buffer;
  size_t used; /* bytes of `buffer` not yet handed to the system */
  int failed;  /* errno of the first failed write: commit must not succeed after it */
};

static const char *advice(int code) {
  switch (code) {
    case ENOSPC:
    case EDQUOT:
      return "free some space or write to another disk";
    case EACCES:
    case EPERM:
    case EROFS:
      return "choose a directory that you may write to";
    case ENOENT:
    case ENOTDIR:
      return "make its directory first";
    case EFBIG:
      return "the system limits the size of files";
    case EISDIR:
      return "name a regular file";
    case ENAMETOOLONG:
      return "choose a shorter name";
    default:
      return "check the disk and try again";
  }
}

/* Length of the directory part, with its final slash; 0 for a bare name. */
static size_t directory_length(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? (size_t)(slash - path) + 1 : 0;
}

/* Some file systems, /proc among them, answer ENOENT where no file can be made. */
static bool has_directory(const char *path) {
  char directory[PATH_MAX];
  struct stat facts;
  size_t length = directory_length(path);
  if (length == 0 || length >= sizeof directory) return length == 0;
  memcpy(directory, path, length);
  directory[length] = '\0';
  return stat(directory, &facts) == 0 && S_ISDIR(facts.st_mode);
}

/* A very long path without its middle, so that reason and advice still have room. */
static const char *show_path(const char *path, char shown[PATH_SHOWN]) {
  enum { FRONT = 240, BACK = 240 };
  size_t size = strlen(path);
  if (size < PATH_SHOWN - 8) return path;
  snprintf(shown, PATH_SHOWN, "%.*s...%s", FRONT, path, path + size - BACK);
  return shown;
}

static tx_status fail_write(tx_error *error, const char *path, int code) {
  char shown[PATH_SHOWN];
  bool refused = code == ENOENT && has_directory(path);
  return tx_fail(error, TX_ERROR_SYSTEM, "cannot write %s: %s; %s", show_path(path, shown),
                 refused ? "its directory takes no files" : strerror(code),
                 refused ? "choose another directory" : advice(code));
}

/* Only a regular file, or nothing at all, may be replaced. */
static tx_status check_target(const char *path, tx_error *error) {
  struct stat facts;
  if (path[0] == '\0' || path[strlen(path) - 1] == '/') {
    return tx_fail(error, TX_ERROR_SYSTEM, "cannot write '%s': it names no file; name a file",
                   path);
  }
  if (stat(path, &facts) != 0 || S_ISREG(facts.st_mode)) return TX_OK;
  return tx_fail(error, TX_ERROR_SYSTEM, "cannot write %s: it is %s; name a regular file", path,
                 S_ISDIR(facts.st_mode) ? "a directory" : "not a regular file");
}

/* A link stays a link: the file that it leads to is what is replaced. */
static char *resolve_target(const char *path) {
  char resolved[PATH_MAX];
  struct stat facts;
  bool link = lstat(path, &facts) == 0 && S_ISLNK(facts.st_mode);
  return tx_copy_string(link && realpath(path, resolved) ? resolved : path);
}

/* Made before there is anything to lose: after the rename nothing may fail for memory. */
static char *directory_name(const char *target) {
  size_t length = directory_length(target);
  return length ? tx_copy_bytes(target, length) : tx_copy_string(".");
}

/* ---- temporary names ---------------------------------------------------- */

/* DIRECTORY/.NAME.taxon-XXXXXX.tmp with the X left for create_temporary. */
static const char name_mark[] = ".taxon-", name_end[] = ".tmp";
static const char name_letters[] = "abcdefghijklmnopqrstuvwxyz012345"; /* 32 */

static char *temporary_name(const char *target) {
  size_t directory = directory_length(target);
  size_t size = strlen(target) + sizeof "." + sizeof name_mark + RANDOM_LETTERS + sizeof name_end;
  char *name = tx_alloc(size);
  if (name) {
    snprintf(name, size, "%.*s.%.*s%sXXXXXX%s", (int)directory, target, NAME_KEPT,
             target + directory, name_mark, name_end);
  }
  return name;
}

static char *random_place(char *name) {
  return name + strlen(name) - strlen(name_end) - RANDOM_LETTERS;
}

/* A writer holds a lock on its temporary file until that has its final name,
 * and the system lets go of the lock when the writer dies: what can be locked
 * belongs to nobody.  False: somebody who tidies up got hold of the new file
 * first.  Where the system has no locks the file is used without one, and
 * nobody can take it for abandoned. */
static bool lock_temporary(int descriptor) {
  struct stat facts;
  if (flock(descriptor, LOCK_EX | LOCK_NB) != 0) return errno != EWOULDBLOCK;
  return fstat(descriptor, &facts) != 0 || facts.st_nlink > 0;
}

/* Not mkstemp: its mode is 0600, and the umask cannot be read without being
 * set for the whole process. */
static int create_temporary(char *name) {
  char *place = random_place(name);
  for (int i = 0; i < NAME_TRIES; i++) {
    unsigned char random[RANDOM_LETTERS];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) continue;
    for (int j = 0; j < RANDOM_LETTERS; j++) place[j] = name_letters[random[j] % 32];
    int descriptor = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (descriptor >= 0) {
      if (lock_temporary(descriptor)) return descriptor;
      close(descriptor);
      errno = EEXIST;
    } else if (errno != EEXIST && errno != EINTR) {
      return descriptor;
    }
  }
  return -1;
}

/* Whether `name` is that of a temporary file. */
static bool is_temporary(const char *name) {
  size_t size = strlen(name), letters = strlen(name_end) + RANDOM_LETTERS;
  size_t tail = strlen(name_mark) + letters;
  if (name[0] != '.' || size <= tail) return false;
  return memcmp(name + size - tail, name_mark, strlen(name_mark)) == 0 &&
         strspn(name + size - letters, name_letters) == RANDOM_LETTERS &&
         strcmp(name + size - strlen(name_end), name_end) == 0;
}

/* Whether both are temporary files' names for one target. */
static bool is_alike(const char *name, const char *like) {
  size_t size = strlen(like), tail = strlen(name_end) + RANDOM_LETTERS;
  return strlen(name) == size && memcmp(name, like, size - tail) == 0;
}

/* Removes one file that a dead writer of this user left behind. */
static void remove_abandoned(int directory, const char *name) {
  struct stat facts, named;
  int file = openat(directory, name, O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY);
  if (file < 0) return;
  bool ours = fstat(file, &facts) == 0 && S_ISREG(facts.st_mode) && facts.st_uid == geteuid();
  if (ours && flock(file, LOCK_EX | LOCK_NB) == 0 &&
      fstatat(directory, name, &named, AT_SYMLINK_NOFOLLOW) == 0 && named.st_ino == facts.st_ino &&
      named.st_dev == facts.st_dev) {
    (void)unlinkat(directory, name, 0);
  }
  close(file);
}

/* A courtesy: what cannot be looked at or removed stays.  `like` NULL: those of
 * every target. */
static void tidy(const char *path, const char *like) {
  DIR *directory = opendir(path);
  if (!directory) return;
  for (struct dirent *entry; (entry = readdir(directory));) {
    const char *name = entry->d_name;
    if (is_temporary(name) && (!like || is_alike(name, like))) {
      remove_abandoned(dirfd(directory), name);
    }
  }
  closedir(directory);
}

void tx_directory_tidy(const char *path) { tidy(path, NULL); }

/* ---- the writer --------------------------------------------------------- */

static void writer_free(tx_writer *writer) {
  tx_free(writer->path);
  tx_free(writer->target);
  tx_free(writer->directory);
  tx_free(writer->temporary);
  tx_free(writer->buffer);
  tx_free(writer);
}

tx_status tx_writer_open(const char *path, tx_writer **writer, tx_error *error) {
  *writer = NULL;
  TX_TRY(check_target(path, error));
  tx_writer *made = tx_alloc_zero(1, sizeof *made);
  if (!made) return tx_fail_memory(error, sizeof *made, "a file to write");
  made->path = tx_copy_string(path);
  made->target = resolve_target(path);
  made->directory = made->target ? directory_name(made->target) : NULL;
  made->temporary = made->target ? temporary_name(made->target) : NULL;
  made->buffer = tx_alloc(BUFFER_SIZE);
  if (!made->path || !made->directory || !made->temporary || !made->buffer) {
    writer_free(made);
    return tx_fail_memory(error, BUFFER_SIZE, "a file to write");
  }
  tidy(made->directory, made->temporary + directory_length(made->temporary));
  made->descriptor = create_temporary(made->temporary);
  if (made->descriptor < 0) {
    tx_status status = fail_write(error, path, errno);
    writer_free(made);
    return status;
  }
  *writer = made;
  return TX_OK;
}

static tx_status write_all(tx_writer *writer, const unsigned char *data, size_t size,
                           tx_error *error) {
  while (size > 0 && !writer->failed) {
    ssize_t wrote = write(writer->descriptor, data, size);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) {
      writer->failed = wrote < 0 ? errno : ENOSPC;
      break;
    }
    data += wrote;
    size -= (size_t)wrote;
  }
  return writer->failed ? fail_write(error, writer->path, writer->failed) : TX_OK;
}

static tx_status flush_buffer(tx_writer *writer, tx_error *error) {
  size_t used = writer->used;
  writer->used = 0;
  return write_all(writer, writer->buffer, used, error);
}

tx_status tx_writer_add(tx_writer *writer, const void *data, size_t size, tx_error *error) {
  if (size == 0) return TX_OK;
  if (size > BUFFER_SIZE - writer->used) TX_TRY(flush_buffer(writer, error));
  if (size >= BUFFER_SIZE) return write_all(writer, data, size, error);
  memcpy(writer->buffer + writer->used, data, size);
  writer->used += size;
  return TX_OK;
}

/* The rename itself must reach the disk.  A directory that cannot be opened
 * for reading, or a file system that does not sync directories, is accepted. */
static tx_status sync_directory(const tx_writer *writer, tx_error *error) {
  int descriptor = open(writer->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return TX_OK;
  int code = fsync(descriptor) == 0 ? 0 : errno;
  close(descriptor);
  bool failed = code == EIO || code == ENOSPC || code == EDQUOT;
  return failed ? fail_write(error, writer->path, code) : TX_OK;
}

static tx_status sync_temporary(tx_writer *writer, tx_error *error) {
  while (fsync(writer->descriptor) != 0) {
    if (errno != EINTR) return fail_write(error, writer->path, errno);
  }
  return TX_OK;
}

tx_status tx_writer_commit(tx_writer *writer, tx_error *error) {
  tx_status status = flush_buffer(writer, error);
  if (status == TX_OK) status = sync_temporary(writer, error);
  if (status == TX_OK && rename(writer->temporary, writer->target) != 0) {
    status = fail_write(error, writer->path, errno);
  }
  if (status != TX_OK) {
    tx_writer_cancel(writer);
    return status;
  }
  close(writer->descriptor); /* and the lock with it, which guarded the temporary name */
  status = sync_directory(writer, error);
  writer_free(writer);
  return status;
}

void tx_writer_cancel(tx_writer *writer) {
  if (!writer) return;
  unlink(writer->temporary);
  close(writer->descriptor);
  writer_free(writer);
}

tx_status tx_file_write(const char *path, const void *data, size_t size, tx_error *error) {
  tx_writer *writer;
  TX_TRY(tx_writer_open(path, &writer, error));
  tx_status status = tx_writer_add(writer, data, size, error);
  if (status == TX_OK) return tx_writer_commit(writer, error);
  tx_writer_cancel(writer);
  return status;
}

/* A file that never has a name; where the file system has no such thing, one
 * that loses it at once. */
static int open_nameless(const char *directory, char *path) {
  int file = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (file >= 0) return file;
  file = mkostemp(path, O_CLOEXEC);
  if (file >= 0) (void)unlink(path);
  return file;
}

tx_status tx_scratch_map(const char *directory, uint64_t bytes, void **memory, tx_error *error) {
  char path[4096], shown[PATH_SHOWN];
  int length = snprintf(path, sizeof path, "%s/states.XXXXXX", directory);
  if ((size_t)length >= sizeof path) {
    return tx_fail(error, TX_ERROR_SYSTEM,
                   "the name of the directory %s is too long; choose a shorter one",
                   show_path(directory, shown));
  }
  int file = open_nameless(directory, path); /* the map keeps it alive */
  if (file < 0) return tx_fail_errno(error, "make a temporary file in", directory);
  int code = posix_fallocate(file, 0, (off_t)bytes);
  if (code != 0) {
    close(file);
    errno = code;
    return tx_fail_errno(error, "reserve space for the trunk's states in", directory);
  }
  void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  int kept = errno;
  close(file);
  errno = kept;
  if (map == MAP_FAILED) return tx_fail_errno(error, "map a temporary file in", directory);
  *memory = map;
  return TX_OK;
}

/* ---- appending --------------------------------------------------------- */

struct tx_appender {
  char *path;
  int descriptor;
};

static tx_status fail_append(const char *path, tx_error *error) {
  int code = errno;
  return tx_fail(error, TX_ERROR_SYSTEM, "cannot write %.*s: %s; %s", PATH_SHOWN, path,
                 strerror(code), advice(code));
}

tx_status tx_appender_open(const char *path, uint64_t keep, tx_appender **appender,
                           tx_error *error) {
  *appender = NULL;
  tx_appender *made = tx_alloc_zero(1, sizeof *made);
  if (made) made->path = tx_copy_string(path), made->descriptor = -1;
  tx_status status = TX_OK;
  if (!made || !made->path) {
    status = tx_fail_memory(error, sizeof *made, "a log");
  } else {
    made->descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
    if (made->descriptor < 0 || ftruncate(made->descriptor, (off_t)keep) != 0 ||
        lseek(made->descriptor, 0, SEEK_END) < 0) {
      status = fail_append(path, error);
    }
  }
  if (status == TX_OK) {
    *appender = made;
  } else {
    tx_appender_close(made);
  }
  return status;
}

tx_status tx_appender_add(tx_appender *appender, const void *data, size_t size, tx_error *error) {
  const char *at = data;
  while (size > 0) {
    ssize_t written = write(appender->descriptor, at, size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fail_append(appender->path, error);
    at += written, size -= (size_t)written;
  }
  return TX_OK;
}

void tx_appender_close(tx_appender *appender) {
  if (!appender) return;
  if (appender->descriptor >= 0) close(appender->descriptor);
  tx_free(appender->path);
  tx_free(appender);
}
