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

static int64_t failing_at;      /* the call to fail, from 1; 0: none.  Counted down to 0 */
static int64_t failing_blocks;  /* in use, less those from before this program counted */
static int64_t failing_bytes;   /* the same in bytes */
static int64_t failing_highest; /* of failing_bytes, since it was last set by the test */

static inline bool failing_now(void) { return failing_at > 0 && --failing_at == 0; }

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

void *malloc(size_t size) {
  return failing_now() ? failing_no_memory() : failing_count(__libc_malloc(size));
}
void *calloc(size_t count, size_t size) {
  return failing_now() ? failing_no_memory() : failing_count(__libc_calloc(count, size));
}
void *realloc(void *block, size_t size) {
  if (failing_now()) return failing_no_memory();
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
    failing_at = 0;
    check(context, call, failed, result);
    if (!failed) return call - 1;
  }
}

#endif
