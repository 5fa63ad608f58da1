/* The calls themselves.  A definition in the program comes before that of the
 * C library wherever a call goes through the dynamic linker, which is everywhere
 * but inside the C library; stdio's own reads and writes are led here by streams
 * made with fopencookie. */
#include "faults.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

faults_plan *faults;

/* For whoever looks for a cause: from where the failing call came. */
static void show_calls(void) {
  void *calls[32];
  faults->armed = false;
  backtrace_symbols_fd(calls, backtrace(calls, 32), STDERR_FILENO);
  faults->armed = true;
}

static bool fails(faults_kind kind) {
  if (!faults || !faults->armed) return false;
  int64_t call = atomic_fetch_add(&faults->calls[kind], 1) + 1;
  if (faults->kind != (int)kind || faults->at == 0) return false;
  if (call != faults->at && !(faults->for_good && call > faults->at)) return false;
  if (atomic_fetch_add(&faults->failed, 1) == 0 && faults->traced) show_calls();
  return true;
}

static int refuse(int code) {
  errno = code;
  return -1;
}

/* ---- memory ------------------------------------------------------------ */

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *block);

extern const char __executable_start, etext;

/* Who asked is noted in the last bytes of a block, beyond what was asked for. */
enum { NOTE = sizeof(uint64_t) };
static const uint64_t OWN = 0x6f776e20626c6f63, FOREIGN = 0x6f7468657220626c;

static unsigned char *note_of(void *block) {
  return (unsigned char *)block + malloc_usable_size(block) - NOTE;
}

static void count_block(uint64_t note, int by) {
  if (!faults) return;
  if (note == OWN) atomic_fetch_add(&faults->own, by);
  if (note == FOREIGN) atomic_fetch_add(&faults->foreign, by);
}

static void *given(void *block, const void *caller) {
  if (!block) return NULL;
  bool own = (const char *)caller >= &__executable_start && (const char *)caller < &etext;
  uint64_t note = faults && faults->armed ? own ? OWN : FOREIGN : 0;
  memcpy(note_of(block), &note, NOTE);
  count_block(note, 1);
  if (note == FOREIGN) atomic_fetch_add(&faults->by_libraries, 1);
  return block;
}

static void taken(void *block) {
  uint64_t note;
  memcpy(&note, note_of(block), NOTE);
  count_block(note, -1);
  memset(note_of(block), 0, NOTE);
}

static void *no_memory(void) {
  errno = ENOMEM;
  return NULL;
}

void *malloc(size_t size) {
  if (fails(FAULTS_ALLOC) || size > SIZE_MAX - NOTE) return no_memory();
  return given(__libc_malloc(size + NOTE), __builtin_return_address(0));
}

void *calloc(size_t count, size_t size) {
  size_t bytes;
  if (fails(FAULTS_ALLOC) || __builtin_mul_overflow(count, size, &bytes) ||
      bytes > SIZE_MAX - NOTE) {
    return no_memory();
  }
  return given(__libc_calloc(1, bytes + NOTE), __builtin_return_address(0));
}

static void *resize(void *block, size_t size, const void *caller) {
  if (fails(FAULTS_ALLOC) || size > SIZE_MAX - NOTE) return no_memory();
  uint64_t note = 0;
  if (block) {
    memcpy(&note, note_of(block), NOTE);
    taken(block);
  }
  void *made = __libc_realloc(block, size + NOTE);
  if (!made && block) {
    memcpy(note_of(block), &note, NOTE);
    count_block(note, 1);
  }
  return given(made, caller);
}

void *realloc(void *block, size_t size) {
  return resize(block, size, __builtin_return_address(0));
}

void *reallocarray(void *block, size_t count, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes)) return no_memory();
  return resize(block, bytes, __builtin_return_address(0));
}

void *aligned_alloc(size_t alignment, size_t size) {
  if (fails(FAULTS_ALLOC) || size > SIZE_MAX - NOTE) return no_memory();
  return given(__libc_memalign(alignment, size + NOTE), __builtin_return_address(0));
}

void *memalign(size_t alignment, size_t size) {
  if (fails(FAULTS_ALLOC) || size > SIZE_MAX - NOTE) return no_memory();
  return given(__libc_memalign(alignment, size + NOTE), __builtin_return_address(0));
}

int posix_memalign(void **block, size_t alignment, size_t size) {
  if (fails(FAULTS_ALLOC) || size > SIZE_MAX - NOTE) return ENOMEM;
  void *made = given(__libc_memalign(alignment, size + NOTE), __builtin_return_address(0));
  if (made) *block = made;
  return made ? 0 : ENOMEM;
}

void free(void *block) {
  if (!block) return;
  taken(block);
  __libc_free(block);
}

void *mmap(void *address, size_t size, int protection, int flags, int file, off_t offset) {
  if (fails(FAULTS_MAP)) {
    errno = ENOMEM;
    return MAP_FAILED;
  }
  return (void *)syscall(SYS_mmap, address, size, protection, flags, file, offset);
}

void *mmap64(void *address, size_t size, int protection, int flags, int file, off_t offset)
    __attribute__((alias("mmap")));

/* ---- files ------------------------------------------------------------- */

ssize_t read(int file, void *data, size_t size) {
  return fails(FAULTS_READ) ? refuse(EIO) : syscall(SYS_read, file, data, size);
}

ssize_t pread(int file, void *data, size_t size, off_t at) {
  return fails(FAULTS_READ) ? refuse(EIO) : syscall(SYS_pread64, file, data, size, at);
}

ssize_t pread64(int file, void *data, size_t size, off_t at) __attribute__((alias("pread")));

ssize_t getrandom(void *data, size_t size, unsigned flags) {
  return fails(FAULTS_READ) ? refuse(EIO) : syscall(SYS_getrandom, data, size, flags);
}

/* A failure must be told of by writing to standard error: that works. */
ssize_t write(int file, const void *data, size_t size) {
  if (file != STDERR_FILENO && fails(FAULTS_WRITE)) return refuse(ENOSPC);
  return syscall(SYS_write, file, data, size);
}

ssize_t pwrite(int file, const void *data, size_t size, off_t at) {
  return fails(FAULTS_WRITE) ? refuse(ENOSPC) : syscall(SYS_pwrite64, file, data, size, at);
}

ssize_t pwrite64(int file, const void *data, size_t size, off_t at)
    __attribute__((alias("pwrite")));

int ftruncate(int file, off_t size) {
  return fails(FAULTS_WRITE) ? refuse(ENOSPC) : (int)syscall(SYS_ftruncate, file, size);
}

int posix_fallocate(int file, off_t at, off_t size) {
  if (fails(FAULTS_WRITE)) return ENOSPC;
  return syscall(SYS_fallocate, file, 0, at, size) == 0 ? 0 : errno;
}

int fsync(int file) { return fails(FAULTS_SYNC) ? refuse(EIO) : (int)syscall(SYS_fsync, file); }

int fdatasync(int file) {
  return fails(FAULTS_SYNC) ? refuse(EIO) : (int)syscall(SYS_fdatasync, file);
}

int rename(const char *from, const char *to) {
  return fails(FAULTS_RENAME) ? refuse(EIO) : (int)syscall(SYS_rename, from, to);
}

int renameat(int from_directory, const char *from, int to_directory, const char *to) {
  if (fails(FAULTS_RENAME)) return refuse(EIO);
  return (int)syscall(SYS_renameat, from_directory, from, to_directory, to);
}

int linkat(int from_directory, const char *from, int to_directory, const char *to, int flags) {
  if (fails(FAULTS_RENAME)) return refuse(EIO);
  return (int)syscall(SYS_linkat, from_directory, from, to_directory, to, flags);
}

int close(int file) {
  bool failing = fails(FAULTS_CLOSE);
  int result = (int)syscall(SYS_close, file);
  return failing ? refuse(EIO) : result;
}

int openat(int directory, const char *path, int flags, ...) {
  mode_t mode = 0;
  if (flags & (O_CREAT | __O_TMPFILE)) {
    va_list arguments;
    va_start(arguments, flags);
    mode = va_arg(arguments, mode_t);
    va_end(arguments);
  }
  return fails(FAULTS_OPEN) ? refuse(EMFILE)
                            : (int)syscall(SYS_openat, directory, path, flags, mode);
}

int openat64(int directory, const char *path, int flags, ...) __attribute__((alias("openat")));

int open(const char *path, int flags, ...) {
  mode_t mode = 0;
  if (flags & (O_CREAT | __O_TMPFILE)) {
    va_list arguments;
    va_start(arguments, flags);
    mode = va_arg(arguments, mode_t);
    va_end(arguments);
  }
  return openat(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) __attribute__((alias("open")));

int mkdir(const char *path, mode_t mode) {
  return fails(FAULTS_OPEN) ? refuse(ENOSPC) : (int)syscall(SYS_mkdir, path, mode);
}

/* The next definition of a function, found once. */
#define REAL(name)                                             \
  static __typeof__(name) *real;                               \
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name)

int mkstemp(char *path) {
  REAL(mkstemp);
  return fails(FAULTS_OPEN) ? refuse(EMFILE) : real(path);
}

DIR *opendir(const char *path) {
  REAL(opendir);
  if (!fails(FAULTS_OPEN)) return real(path);
  errno = EMFILE;
  return NULL;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                   void *argument) {
  REAL(pthread_create);
  return fails(FAULTS_THREAD) ? EAGAIN : real(thread, attributes, start, argument);
}

/* ---- stdio ------------------------------------------------------------- */

static ssize_t cookie_read(void *cookie, char *data, size_t size) {
  return read((int)(intptr_t)cookie, data, size);
}

/* 0, not -1, is a failure here. */
static ssize_t cookie_write(void *cookie, const char *data, size_t size) {
  size_t done = 0;
  while (done < size) {
    ssize_t wrote = write((int)(intptr_t)cookie, data + done, size - done);
    if (wrote <= 0) return (ssize_t)done;
    done += (size_t)wrote;
  }
  return (ssize_t)done;
}

static int cookie_close(void *cookie) { return close((int)(intptr_t)cookie); }

static FILE *stream_of(int file, const char *mode) {
  cookie_io_functions_t calls = {cookie_read, cookie_write, NULL, cookie_close};
  return fopencookie((void *)(intptr_t)file, mode, calls);
}

/* Whole files from their beginning to their end is all that is asked for. */
FILE *fopen(const char *path, const char *mode) {
  int flags = mode[0] == 'r'   ? O_RDONLY
              : mode[0] == 'w' ? O_WRONLY | O_CREAT | O_TRUNC
                               : O_WRONLY | O_CREAT | O_APPEND;
  int file = open(path, flags | O_CLOEXEC, 0666);
  if (file < 0) return NULL;
  FILE *stream = stream_of(file, mode);
  if (!stream) close(file);
  return stream;
}

FILE *fopen64(const char *path, const char *mode) __attribute__((alias("fopen")));

bool faults_take_output(void) {
  FILE *stream = stream_of(STDOUT_FILENO, "w");
  if (!stream) return false;
  stdout = stream;
  return true;
}
