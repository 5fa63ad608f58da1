/* The loops that measure a machine: they do the work they say, on every path. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memory.h"
#include "kernels/ceiling.h"
#include "kernels/int8.h"
#include "taxon.h"

static const tx_ceiling *const paths[] = {&tx_ceiling_generic, &tx_ceiling_avx2,
                                          &tx_ceiling_avx512, &tx_ceiling_vnni};
enum { PATHS = sizeof paths / sizeof *paths };

/* Operations grow with the rounds, and something of the result comes out. */
static void test_operations_are_counted(void **state) {
  (void)state;
  for (int p = 0; p < PATHS; p++) {
    if (!tx_int8_find(paths[p]->name)) continue;
    float sink = 0;
    double one = paths[p]->multiply_add(1, &sink);
    assert_true(one >= 2 * 16 && sink > 0);
    assert_true(paths[p]->multiply_add(1000, &sink) == 1000 * one);
    float before = sink;
    one = paths[p]->bytes(1, &sink);
    assert_true(one >= 2 * 64 && sink != before);
    assert_true(paths[p]->bytes(1000, &sink) == 1000 * one);
  }
}

/* Each byte is read: changing any one changes what is made of all. */
static void test_every_byte_is_read(void **state) {
  (void)state;
  enum { SIZE = 1024 };
  unsigned char *bytes = tx_pages_alloc(SIZE);
  assert_non_null(bytes);
  for (int p = 0; p < PATHS; p++) {
    if (!tx_int8_find(paths[p]->name)) continue;
    for (int i = 0; i < SIZE; i++) {
      uint64_t sink = 0;
      bytes[i] = 1;
      paths[p]->read(bytes, SIZE, &sink);
      assert_true(sink != 0);
      bytes[i] = 0;
    }
  }
  tx_pages_free(bytes, SIZE);
}

static void test_rates_over_all_workers(void **state) {
  (void)state;
  enum { SIZE = (1 << 20) + 256 };
  void *bytes = tx_pages_alloc(SIZE);
  assert_non_null(bytes);
  for (int threads = 1; threads <= 3; threads++) {
    tx_set_threads(threads);
    assert_true(tx_ceiling_multiply_add(0) > 0);
    assert_true(tx_ceiling_bytes(0) > 0);
    assert_true(tx_ceiling_memory(bytes, SIZE) > 0);
  }
  tx_pages_free(bytes, SIZE);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_operations_are_counted),
      cmocka_unit_test(test_every_byte_is_read),
      cmocka_unit_test(test_rates_over_all_workers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
