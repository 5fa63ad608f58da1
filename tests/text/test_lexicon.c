/* The lexicon: finds what was added, tells texts of one hash apart, and gives up
 * on texts that were chosen to share a place. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "text/lexicon.h"

static void test_finds_what_was_added(void **state) {
  (void)state;
  static const tx_text texts[] = {{"a", 1}, {"b", 1}, {"", 0}, {"a", 1}, {"a\0c", 3}, {"aa", 2}};
  tx_lexicon lexicon;
  assert_true(tx_lexicon_make(&lexicon, texts, 6));
  for (int32_t id = 0; id < 6; id++) {
    assert_int_equal(tx_lexicon_find(&lexicon, texts[id]), id == 3 ? 0 : -1);
    assert_int_equal(tx_lexicon_add(&lexicon, id), id == 3 ? 0 : id);
    assert_int_equal(tx_lexicon_find(&lexicon, texts[id]), id == 3 ? 0 : id);
  }
  assert_int_equal(tx_lexicon_find(&lexicon, tx_text_of("c")), -1);
  tx_lexicon_free(&lexicon);
}

/* Two texts whose hashes share their upper half and their place, found by trying. */
static void test_same_tag(void **state) {
  (void)state;
  static const tx_text texts[] = {{"2078122", 7}, {"2223775", 7}};
  tx_lexicon lexicon;
  uint64_t a = tx_hash64(texts[0].data, 7, 0), b = tx_hash64(texts[1].data, 7, 0);
  assert_true(a >> 32 == b >> 32 && (a & 15) == (b & 15));
  assert_true(tx_lexicon_make(&lexicon, texts, 2));
  assert_int_equal(tx_lexicon_add(&lexicon, 0), 0);
  assert_int_equal(tx_lexicon_find(&lexicon, texts[1]), -1);
  assert_int_equal(tx_lexicon_add(&lexicon, 1), 1);
  assert_int_equal(tx_lexicon_find(&lexicon, texts[0]), 0);
  assert_int_equal(tx_lexicon_find(&lexicon, texts[1]), 1);
  tx_lexicon_free(&lexicon);
}

static void test_gives_up_on_texts_made_to_collide(void **state) {
  (void)state;
  enum { COUNT = 1100, FULL = 1024 };
  static char bytes[COUNT][12];
  static tx_text texts[COUNT];
  tx_lexicon lexicon;
  assert_true(tx_lexicon_make(&lexicon, texts, COUNT));
  uint32_t number = 0;
  for (int i = 0; i <= FULL; i++) {
    size_t size;
    do {
      size = (size_t)snprintf(bytes[i], sizeof bytes[i], "%" PRIu32, number++);
    } while (tx_hash64(bytes[i], size, 0) & lexicon.mask);
    texts[i] = (tx_text){bytes[i], size};
    assert_int_equal(tx_lexicon_add(&lexicon, i), i < FULL ? i : -1);
  }
  assert_int_equal(tx_lexicon_find(&lexicon, texts[FULL]), -1);
  assert_int_equal(tx_lexicon_find(&lexicon, texts[FULL - 1]), FULL - 1);
  tx_lexicon_free(&lexicon);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_finds_what_was_added),
      cmocka_unit_test(test_same_tag),
      cmocka_unit_test(test_gives_up_on_texts_made_to_collide),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
