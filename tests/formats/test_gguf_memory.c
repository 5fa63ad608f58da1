/* Every allocation of the GGUF reader and writer fails once, in turn: each gives
 * TX_ERROR_SYSTEM, leaves no file and loses no memory.  glibc's allocator is
 * called under its own names; a sanitizer brings its own, so there is nothing to
 * do in its builds. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "formats/gguf_write.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

static char path[64];

#if !defined(__SANITIZE_ADDRESS__)

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);

extern void __libc_free(void *block);

static int until_failure; /* 0: none fails */
static int blocks;        /* in use, less those from before this program counted */

static void *count(void *block) {
  blocks += block != NULL;
  return block;
}

static bool fails(void) { return until_failure > 0 && --until_failure == 0; }

void *malloc(size_t size) { return fails() ? NULL : count(__libc_malloc(size)); }
void *calloc(size_t n, size_t size) { return fails() ? NULL : count(__libc_calloc(n, size)); }
void *realloc(void *block, size_t size) {
  if (fails()) return NULL;
  return block ? __libc_realloc(block, size) : count(__libc_realloc(block, size));
}
void free(void *block) {
  blocks -= block != NULL;
  __libc_free(block);
}

static tx_status write_file(tx_error *error) {
  static const float weights[8] = {1, 2, 3};
  static const tx_text texts[2] = {{"a", 1}, {"bc", 2}};
  tx_gguf_writer *writer = tx_gguf_writer_new();
  if (!writer) return TX_ERROR_SYSTEM;
  tx_gguf_add_int(writer, "int", 1);
  tx_gguf_add_strings(writer, "strings", texts, 2);
  tx_gguf_add_ints(writer, "ints", (const int64_t[]){1, 2}, 2);
  tx_gguf_add_floats(writer, "floats", (const double[]){1, 2}, 2);
  tx_gguf_add_tensor(writer, "tensor", TX_TENSOR_F32, 1, (const int64_t[]){8}, weights);
  tx_status status = tx_gguf_commit(writer, path, error);
  tx_gguf_writer_free(writer);
  return status;
}

static tx_status read_file(tx_error *error) {
  tx_gguf *gguf;
  const tx_text *strings;
  int64_t *wholes = NULL;
  double *reals = NULL;
  size_t n;
  tx_status status = tx_gguf_open(path, &gguf, error);
  if (status == TX_OK) status = tx_gguf_strings(gguf, "strings", &strings, &n, error);
  if (status == TX_OK) status = tx_gguf_ints(gguf, "ints", &wholes, &n, error);
  if (status == TX_OK) status = tx_gguf_floats(gguf, "floats", &reals, &n, error);
  tx_free(wholes);
  tx_free(reals);
  tx_gguf_close(gguf);
  return status;
}

/* The number of allocations that `run` makes, each of which failed once. */
static int fail_each(tx_status (*run)(tx_error *error), bool writes) {
  for (int at = 1;; at++) {
    tx_error error = {0};
    int before = blocks;
    if (writes) unlink(path);
    until_failure = at;
    tx_status status = run(&error);
    bool reached = until_failure == 0;
    until_failure = 0;
    assert_int_equal(blocks, before);
    assert_int_equal(status, reached ? TX_ERROR_SYSTEM : TX_OK);
    if (!reached) return at - 1;
    if (writes) assert_int_not_equal(access(path, F_OK), 0);
  }
}

static void test_each_allocation_fails(void **state) {
  (void)state;
  tx_error error = {0};
  assert_int_equal(write_file(&error), TX_OK); /* so that nothing is set up for the first time */
  assert_int_equal(read_file(&error), TX_OK);
  assert_true(fail_each(read_file, false) >= 12);
  assert_true(fail_each(write_file, true) >= 10);
}

#else

static void test_each_allocation_fails(void **state) {
  (void)state;
  skip();
}

#endif

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_allocation_fails)};
  snprintf(path, sizeof path, "/tmp/taxon-memory-%ld.gguf", (long)getpid());
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  unlink(path);
  return failed;
}
