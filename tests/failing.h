/* Allocations that fail when a test wants it, and what is allocated counted.
 * Included once, by a test program: it defines malloc and its kin, over glibc's
 * own names for them.  A sanitizer brings its own; in its builds FAILING_WORKS is
 * not defined, nothing fails and nothing is counted.
 *
 * Defining FAILING_SYSTEM before the include makes the calls to the system that
 * src/formats uses fail in the same way; the one to fail next is chosen among
 * all of them, so that a loop over `failing_at` visits every way to fail. */
#ifndef TX_TESTS_FAILING_H
#define TX_TESTS_FAILING_H

#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define FAILING_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FAILING_SANITIZED 1
#endif

#define FAILING_MAYBE __attribute__((unused))

/* The call to fail, from 1; 0: none.  Counted down to 0. */
FAILING_MAYBE static int64_t failing_at;
/* In use, less those from before this program counted; and the same in bytes. */
FAILING_MAYBE static int64_t failing_blocks, failing_bytes;
/* Allocations that shared libraries ask for themselves never fail: not all of them bear it. */
FAILING_MAYBE static bool failing_own_only;
/* Of failing_bytes, since the test last set it. */
FAILING_MAYBE static int64_t failing_highest;

/* How many of the calls after it fail as well. */
FAILING_MAYBE static int64_t failing_more, failing_left;

static inline bool failing_now(void) {
  if (failing_left > 0) {
    failing_left--;
    return true;
  }
  if (failing_at <= 0 || --failing_at > 0) return false;
  failing_left = failing_more;
  return true;
}

#ifndef FAILING_SANITIZED
#define FAILING_WORKS 1

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void __libc_free(void *block);

static inline void *failing_count(void *block) {
  if (!block) return NULL;
  failing_blocks++;
  failing_bytes += (int64_t)malloc_usable_size(block);
  if (failing_bytes > failing_highest) failing_highest = failing_bytes;
  return block;
}

static inline void failing_forget(void *block) {
  if (!block) return;
  failing_blocks--;
  failing_bytes -= (int64_t)malloc_usable_size(block);
}

/* Visible, so that the shared libraries take them too. */
#define FAILING_VISIBLE __attribute__((visibility("default")))
FAILING_VISIBLE void *malloc(size_t size);
FAILING_VISIBLE void *calloc(size_t count, size_t size);
FAILING_VISIBLE void *realloc(void *block, size_t size);
FAILING_VISIBLE void free(void *block);

static inline void *failing_no_memory(void) {
  errno = ENOMEM;
  return NULL;
}

extern const char __executable_start, etext; /* the linker's: this program's code */

static inline bool failing_here(const void *caller) {
  uintptr_t at = (uintptr_t)caller;
  bool own = at >= (uintptr_t)&__executable_start && at < (uintptr_t)&etext;
  return (own || !failing_own_only) && failing_now();
}
#define FAILING_HERE() failing_here(__builtin_return_address(0))

void *malloc(size_t size) {
  return FAILING_HERE() ? failing_no_memory() : failing_count(__libc_malloc(size));
}
void *calloc(size_t count, size_t size) {
  return FAILING_HERE() ? failing_no_memory() : failing_count(__libc_calloc(count, size));
}
void *realloc(void *block, size_t size) {
  if (FAILING_HERE()) return failing_no_memory();
  failing_forget(block);
  void *grown = __libc_realloc(block, size);
  failing_count(grown ? grown : block);
  return grown;
}
void free(void *block) {
  failing_forget(block);
  __libc_free(block);
}
#endif

#if defined(FAILING_SYSTEM) && defined(FAILING_WORKS)

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int failing_code =
    EIO; /* errno of the failing call; 0: read, write and getrandom do nothing */

/* The C library's own, looked up without being counted. */
static inline void *failing_next(const char *name) {
  int64_t kept = failing_at, left = failing_left;
  failing_at = failing_left = 0;
  void *found = dlsym(RTLD_NEXT, name);
  failing_at = kept;
  failing_left = left;
  return found;
}

/* `failure` is what the call returns; `code` errno with it. */
#define FAILING_CALL_(type, name, parameters, arguments, failure, code)     \
  __attribute__((visibility("default"))) type name parameters;             \
  type name parameters {                                                   \
    static type(*next) parameters;                                         \
    if (!next) *(void **)(void *)&next = failing_next(#name);              \
    if (!failing_now()) return next arguments;                             \
    errno = code;                                                          \
    return failure;                                                        \
  }
#define FAILING_CALL(name, parameters, arguments) \
  FAILING_CALL_(int, name, parameters, arguments, -1, failing_code)
#define FAILING_BYTES(name, parameters, arguments) \
  FAILING_CALL_(ssize_t, name, parameters, arguments, failing_code ? -1 : 0, failing_code)
#define FAILING_CODE(name, parameters, arguments) \
  FAILING_CALL_(int, name, parameters, arguments, failing_code ? failing_code : EIO, errno)

FAILING_BYTES(read, (int file, void *data, size_t size), (file, data, size))
FAILING_BYTES(write, (int file, const void *data, size_t size), (file, data, size))
FAILING_BYTES(getrandom, (void *data, size_t size, unsigned flags), (data, size, flags))
FAILING_CALL(fsync, (int file), (file))
/* Not EAGAIN: that means that another process holds the lock. */
FAILING_CALL_(int, flock, (int file, int how), (file, how), -1, ENOLCK)
FAILING_CALL(rename, (const char *from, const char *to), (from, to))
FAILING_CALL(mkdir, (const char *path, mode_t mode), (path, mode))
FAILING_CALL(stat, (const char *path, struct stat *facts), (path, facts))
FAILING_CALL(lstat, (const char *path, struct stat *facts), (path, facts))
FAILING_CALL(fstat, (int file, struct stat *facts), (file, facts))
FAILING_CALL(fstatat, (int at, const char *path, struct stat *facts, int flags),
             (at, path, facts, flags))
FAILING_CALL(mkostemp, (char *path, int flags), (path, flags))
FAILING_CALL(pipe2, (int ends[2], int flags), (ends, flags))
FAILING_CODE(posix_fallocate, (int file, off_t from, off_t size), (file, from, size))
FAILING_CODE(posix_spawn_file_actions_init, (posix_spawn_file_actions_t * a), (a))
FAILING_CODE(posix_spawn_file_actions_addopen,
             (posix_spawn_file_actions_t * a, int file, const char *path, int flags, mode_t mode),
             (a, file, path, flags, mode))
FAILING_CODE(posix_spawn_file_actions_adddup2, (posix_spawn_file_actions_t * a, int from, int to),
             (a, from, to))
FAILING_CODE(posix_spawnattr_init, (posix_spawnattr_t * a), (a))
FAILING_CODE(posix_spawnp,
             (pid_t * child, const char *program, const posix_spawn_file_actions_t *actions,
              const posix_spawnattr_t *attributes, char *const arguments[], char *const list[]),
             (child, program, actions, attributes, arguments, list))
FAILING_CALL_(char *, mkdtemp, (char *path), (path), NULL, failing_code)
FAILING_CALL_(void *, mmap, (void *at, size_t size, int access, int flags, int file, off_t from),
              (at, size, access, flags, file, from), MAP_FAILED, failing_code)
FAILING_CALL_(DIR *, opendir, (const char *path), (path), NULL, failing_code)
FAILING_CALL_(DIR *, fdopendir, (int file), (file), NULL, failing_code)
FAILING_CALL_(pid_t, waitpid, (pid_t child, int *state, int flags), (child, state, flags), -1,
              EINTR)

__attribute__((visibility("default"))) int open(const char *path, int flags, ...);
__attribute__((visibility("default"))) int openat(int at, const char *path, int flags, ...);

int open(const char *path, int flags, ...) {
  static int (*next)(const char *path, int flags, ...);
  va_list arguments;
  va_start(arguments, flags);
  bool makes = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
  mode_t mode = makes ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  if (!next) *(void **)(void *)&next = failing_next("open");
  if (!failing_now()) return next(path, flags, mode);
  errno = failing_code;
  return -1;
}
int openat(int at, const char *path, int flags, ...) {
  static int (*next)(int at, const char *path, int flags, ...);
  if (!next) *(void **)(void *)&next = failing_next("openat");
  if (!failing_now()) return next(at, path, flags);
  errno = failing_code;
  return -1;
}

#endif

/* Runs `job` once for each of its calls that can fail, which then does; stops
 * after the run in which none was left.  `check` sees each run's outcome: which
 * call it was, whether one failed, and what the job returned.  Returns how many
 * there are.  A job that loses a block is found by failing_blocks. */
static inline int64_t failing_each(int (*job)(void *context),
                                   void (*check)(void *context, int64_t call, bool failed,
                                                 int result),
                                   void *context) {
  for (int64_t call = 1;; call++) {
    failing_at = call;
    int result = job(context);
    bool failed = failing_at == 0;
    failing_at = failing_left = 0;
    check(context, call, failed, result);
    if (!failed) return call - 1;
  }
}

#endif
