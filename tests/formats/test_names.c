/* The table of names: found at once, entered once, and not to be slowed down by
 * names that collide. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/memory.h"
#include "formats/names.h"

static void test_finds_what_was_added(void **state) {
  (void)state;
  enum { COUNT = 5000 };
  static char texts[COUNT][12];
  tx_names names = {0};
  size_t index;
  assert_false(tx_names_find(&names, "0", &index));
  assert_true(tx_names_reserve(&names, COUNT));
  for (int i = 0; i < COUNT; i++) {
    snprintf(texts[i], sizeof texts[i], "%d", i);
    assert_int_equal(tx_names_add(&names, tx_text_of(texts[i])), TX_NAMES_ADDED);
    assert_int_equal(tx_names_add(&names, tx_text_of(texts[i / 2])), TX_NAMES_TWICE);
  }
  assert_int_equal(names.count, COUNT);
  for (int i = 0; i < COUNT; i++) {
    assert_true(tx_names_find(&names, texts[i], &index));
    assert_int_equal(index, i);
  }
  assert_false(tx_names_find(&names, "5000", &index));
  assert_false(tx_names_find(&names, "", &index));
  tx_names_free(&names);
}

/* Names that all belong into one slot, found by trying: the table gives up
 * instead of becoming slow. */
static void test_gives_up_on_names_made_to_collide(void **state) {
  (void)state;
  enum { COUNT = 1100 };
  static char texts[COUNT][12];
  tx_names names = {0};
  int added = 0;
  tx_names_result result = TX_NAMES_ADDED;
  assert_true(tx_names_reserve(&names, COUNT));
  for (uint32_t i = 0; added < COUNT && result == TX_NAMES_ADDED; i++) {
    int size = snprintf(texts[added], sizeof texts[added], "%" PRIu32, i);
    if ((tx_hash64(texts[added], (size_t)size, names.seed) & names.mask) != 0) continue;
    result = tx_names_add(&names, tx_text_of(texts[added]));
    if (result == TX_NAMES_ADDED) added++;
  }
  assert_int_equal(result, TX_NAMES_CROWDED);
  assert_int_equal(added, 1024);
  assert_int_equal(names.count, 1024);
  tx_names_free(&names);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_finds_what_was_added),
      cmocka_unit_test(test_gives_up_on_names_made_to_collide),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
