/* Every allocation of the GGUF reader and writer fails once, in turn: each gives
 * TX_ERROR_SYSTEM, leaves no file and loses no memory. */
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

#include "failing.h"
#include "base/memory.h"
#include "formats/gguf_write.h"

static char path[64];

#ifdef FAILING_WORKS

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
    int64_t before = failing_blocks;
    if (writes) unlink(path);
    failing_at = at;
    tx_status status = run(&error);
    bool reached = failing_at == 0;
    failing_at = 0;
    assert_int_equal(failing_blocks, before);
    assert_int_equal(status, reached ? TX_ERROR_SYSTEM : TX_OK);
    if (!reached) return at - 1;
    if (writes) assert_int_not_equal(access(path, F_OK), 0);
  }
}

static void test_each_allocation_fails(void **state) {
  (void)state;
  tx_error error = {0};
  failing_own_only = true; /* a directory that cannot be listed is not tidied, and all is well */
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
