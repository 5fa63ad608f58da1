/* Names in messages: the nearest known one, what is valid UTF-8, and what is shown
 * of a name that is not fit to print. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "formats/nearest.h"

static int nearest(const char *word) {
  char longer[66];
  memset(longer, 'p', 65);
  longer[65] = '\0';
  const tx_text names[] = {{"predict", 7}, {"train", 5},     {"", 0},
                           {longer, 65},   {"x", 1},         {"last,tail", 9},
                           {"models", 6},  {"sentiment analysis", 18}, {"nll", 3}};
  return tx_nearest(tx_text_of(word), names, sizeof names / sizeof *names);
}

static void test_nearest(void **state) {
  (void)state;
  assert_int_equal(nearest("predict"), 0);
  assert_int_equal(nearest("PREDICT"), 0);
  assert_int_equal(nearest("predcit"), 0); /* swapped */
  assert_int_equal(nearest("rpedict"), 0);
  assert_int_equal(nearest("pedict"), 0);
  assert_int_equal(nearest("prediict"), 0);
  assert_int_equal(nearest("tarin"), 1);
  assert_int_equal(nearest("modle"), 6);
  assert_int_equal(nearest("Sentim"), 7); /* its beginning */
  assert_int_equal(nearest("xy"), 4 - 5); /* as many edits as the name has letters is none */
  assert_int_equal(nearest(""), -1);
  assert_int_equal(nearest("something else"), -1);
  assert_int_equal(nearest("las"), -1); /* several in one */
  assert_int_equal(nearest("0123456789012345678901234567890123456789012345678901234567890123456"),
                   -1);
  assert_int_equal(tx_nearest(tx_text_of("a"), NULL, 0), -1);
}

static void test_utf8(void **state) {
  (void)state;
  static const char *const valid[] = {"",
                                      "plain",
                                      "\xc2\x80",
                                      "\xdf\xbf",
                                      "\xe0\xa0\x80",
                                      "\xed\x9f\xbf",
                                      "\xee\x80\x80",
                                      "\xef\xbf\xbf",
                                      "\xf0\x90\x80\x80",
                                      "\xf4\x8f\xbf\xbf",
                                      "a\xf0\x9f\x98\x80z"};
  static const char *const invalid[] = {"\x80",
                                        "\xbf",
                                        "\xc0\xaf",
                                        "\xc1\xbf",
                                        "\xc2",
                                        "\xc2"
                                        "a",
                                        "\xc2\xc2",
                                        "\xe0\x80\x80",
                                        "\xe0\x9f\xbf",
                                        "\xe2\x82",
                                        "\xe2\x82"
                                        "a",
                                        "\xed\xa0\x80",
                                        "\xed\xbf\xbf",
                                        "\xf0\x80\x80\x80",
                                        "\xf0\x8f\xbf\xbf",
                                        "\xf0\x9f\x98",
                                        "\xf0\x9f\x98"
                                        "a",
                                        "\xf4\x90\x80\x80",
                                        "\xf5\x80\x80\x80",
                                        "\xff",
                                        "fine\xfe"};
  for (size_t i = 0; i < sizeof valid / sizeof *valid; i++) {
    assert_true(tx_is_utf8(tx_text_of(valid[i])));
  }
  for (size_t i = 0; i < sizeof invalid / sizeof *invalid; i++) {
    assert_false(tx_is_utf8(tx_text_of(invalid[i])));
  }
}

static void shows(const char *name, const char *wanted) {
  char shown[TX_SHOWN_SIZE];
  assert_string_equal(tx_show_name(tx_text_of(name), shown), wanted);
}

#define TEN "0123456789"
#define SIXTY TEN TEN TEN TEN TEN TEN

static void test_shown_names(void **state) {
  (void)state;
  shows("", "");
  shows("gr\xc3\xb6\xc3\x9f"
        "er",
        "gr\xc3\xb6\xc3\x9f"
        "er");
  shows("\033[31m\x7f\ttab\xff", "?[31m?\?tab?");
  shows(SIXTY "01234567", SIXTY "01234567");
  shows(SIXTY "012345678", SIXTY "01234567...");
  shows(SIXTY "0123456\xc3\xb6", SIXTY "0123456...");
  shows(SIXTY "01234567\xff", SIXTY "01234567...");
}

static void test_lists(void **state) {
  (void)state;
  static const tx_text names[] = {{"one", 3}, {"two", 3}, {"three", 5}};
  tx_buffer list = {0};
  tx_show_names(names, 3, 100, &list);
  assert_string_equal(list.data, "one, two, three");
  tx_buffer_clear(&list);
  tx_show_names(names, 3, 9, &list);
  assert_string_equal(list.data, "one, two and 1 more");
  tx_buffer_clear(&list);
  tx_show_names(names, 3, 0, &list);
  assert_string_equal(list.data, "one and 2 more");
  tx_buffer_free(&list);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_nearest),
      cmocka_unit_test(test_utf8),
      cmocka_unit_test(test_shown_names),
      cmocka_unit_test(test_lists),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
