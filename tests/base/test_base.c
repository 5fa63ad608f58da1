/* The base room: arenas, buffers, the cursor, random numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/cursor.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/random.h"

static void test_arena_aligns_and_resets(void **state) {
  (void)state;
  tx_arena *arena = tx_arena_new();
  for (size_t size = 0; size < 3000; size += 7) {
    unsigned char *block = tx_arena_alloc(arena, size);
    assert_non_null(block);
    assert_int_equal((uintptr_t)block % 64, 0);
    memset(block, 1, size);
  }
  tx_arena_reset(arena);
  assert_non_null(tx_arena_alloc(arena, 1 << 20));
  assert_null(tx_arena_array(arena, SIZE_MAX / 2, 4));
  assert_null(tx_arena_alloc(arena, SIZE_MAX));
  tx_arena_free(arena);
}

static void test_buffer_grows_and_formats(void **state) {
  (void)state;
  tx_buffer buffer = {0};
  for (int i = 0; i < 1000; i++) assert_true(tx_buffer_format(&buffer, "%d,", i));
  assert_int_equal(strlen(buffer.data), buffer.size);
  assert_memory_equal(buffer.data, "0,1,2,", 6);
  assert_false(tx_buffer_reserve(&buffer, SIZE_MAX - 10));
  assert_true(buffer.failed);
  assert_null(tx_buffer_take(&buffer));
  tx_buffer_free(&buffer);
}

static void test_cursor_stops_at_the_end(void **state) {
  (void)state;
  const unsigned char bytes[] = {1, 0, 2, 0, 0, 0, 9};
  tx_error error = {0};
  tx_cursor cursor = tx_cursor_make(bytes, sizeof bytes, "file.bin", &error);
  assert_int_equal(tx_cursor_u16(&cursor, "a"), 1);
  assert_int_equal(tx_cursor_u32(&cursor, "b"), 2);
  assert_int_equal(tx_cursor_u64(&cursor, "the count"), 0);
  assert_true(cursor.failed);
  assert_int_equal(tx_cursor_u8(&cursor, "c"), 0); /* sticky, although one byte is left */
  char sentence[1024];
  assert_string_equal(tx_error_sentence(&error, sentence, sizeof sentence),
                      "file.bin: byte 6: the file ends inside the count (8 bytes needed, 1 left); "
                      "it is cut short or damaged, fetch it again");
  assert_null(tx_cursor_bytes(&cursor, UINT64_MAX, "d"));
}

static void test_first_failure_stays(void **state) {
  (void)state;
  tx_error error = {0};
  assert_int_equal(tx_fail(&error, TX_ERROR_INPUT, "first"), TX_ERROR_INPUT);
  assert_int_equal(tx_fail(&error, TX_ERROR_SYSTEM, "second"), TX_ERROR_SYSTEM);
  assert_string_equal(error.message, "first");
  assert_int_equal(error.status, TX_ERROR_INPUT);
  assert_int_equal(tx_fail(NULL, TX_ERROR_INPUT, "nobody listens"), TX_ERROR_INPUT);
}

/* Whole, into an error that holds none yet. */
static void test_failure_is_handed_on(void **state) {
  (void)state;
  tx_error apart = {0}, error = {0};
  tx_fail_line(&apart, TX_ERROR_INPUT, "file.csv", 7, "apart");
  assert_int_equal(tx_fail_with(&error, &apart), TX_ERROR_INPUT);
  assert_memory_equal(&error, &apart, sizeof error);
  tx_error other = {0};
  tx_fail(&other, TX_ERROR_SYSTEM, "other");
  assert_int_equal(tx_fail_with(&error, &other), TX_ERROR_SYSTEM);
  assert_memory_equal(&error, &apart, sizeof error);
  assert_int_equal(tx_fail_with(NULL, &apart), TX_ERROR_INPUT);
}

static void test_sha256_of_abc(void **state) {
  (void)state;
  char hex[TX_SHA256_HEX];
  assert_true(tx_sha256_bytes("abc", 3, hex));
  assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void test_random_is_reproducible_and_fair(void **state) {
  (void)state;
  tx_random a = tx_random_seed(42), b = tx_random_seed(42);
  int counts[6] = {0};
  double sum = 0, squares = 0;
  for (int i = 0; i < 60000; i++) {
    assert_int_equal(tx_random_next(&a), tx_random_next(&b));
    counts[tx_random_below(&a, 6)]++;
    (void)tx_random_below(&b, 6);
  }
  for (int i = 0; i < 6; i++) assert_in_range(counts[i], 9600, 10400);
  for (int i = 0; i < 60000; i++) {
    double x = tx_random_normal(&a);
    sum += x;
    squares += x * x;
  }
  assert_true(sum / 60000 < 0.02 && sum / 60000 > -0.02);
  assert_true(squares / 60000 < 1.03 && squares / 60000 > 0.97);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_arena_aligns_and_resets),
      cmocka_unit_test(test_buffer_grows_and_formats),
      cmocka_unit_test(test_cursor_stops_at_the_end),
      cmocka_unit_test(test_first_failure_stays),
      cmocka_unit_test(test_failure_is_handed_on),
      cmocka_unit_test(test_sha256_of_abc),
      cmocka_unit_test(test_random_is_reproducible_and_fair),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
