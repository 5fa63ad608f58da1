/* The charts of the command line, character by character. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../cli/chart.c"

static char *text;
static size_t text_size;

static FILE *begin(void) {
  FILE *out = open_memstream(&text, &text_size);
  assert_non_null(out);
  return out;
}

static void expect(FILE *out, const char *want) {
  assert_int_equal(fclose(out), 0);
  assert_string_equal(text, want);
  free(text);
}

static void test_reliability(void **state) {
  (void)state;
  const tx_bin bins[TX_BINS] = {[0] = {1, 0.01, 0},
                                [7] = {12, 0.51, 0.4},
                                [8] = {1200, 0.56, 0.62},
                                [14] = {3, 0.99, 1}};
  FILE *out = begin();
  chart_reliability(out, bins, TX_BINS);
  expect(out,
         "   sure    right    texts  0 % right            50 %                    100 %\n"
         "  1.0 %    0.0 %        1   |\n"
         " 51.0 %   40.0 %       12  ####################      |\n"
         " 56.0 %   62.0 %     1200  ############################|##\n"
         " 99.0 %  100.0 %        3  ##################################################|\n");
  const tx_bin none[TX_BINS] = {{0}};
  out = begin();
  chart_reliability(out, none, TX_BINS);
  expect(out, "");
}

static void test_depths(void **state) {
  (void)state;
  const chart_depth points[] = {
      {0, "last", 0.5, 0.01, false}, {1, "last", 0.75, 0.01, false}, {2, "last", 0.76, 0.01, true},
      {0, "mean", 0.6, 0.01, false}, {1, "mean", 0.75, 0.01, false}, {2, "mean", 0.8, 0.01, false},
      {3, "mean", NAN, 0, false}};
  FILE *out = begin();
  chart_depths(out, points, sizeof points / sizeof *points);
  expect(out,
         "accuracy by depth: l last, m mean, * several, @ chosen\n"
         "  80.0 % |         m\n"
         "  77.2 % |         @\n"
         "  74.4 % |     *\n"
         "  71.7 % |\n"
         "  68.9 % |\n"
         "  66.1 % |\n"
         "  63.3 % |\n"
         "  60.6 % | m\n"
         "  57.8 % |\n"
         "   worse | l\n"
         "         +----------\n"
         "   depth   0   1   2\n"
         "chosen: depth 2, last, 76.0 % (standard error 1.0); "
         "best: depth 2, mean, 80.0 % (standard error 1.0)\n");
}

static void test_equal_depths_are_one_line(void **state) {
  (void)state;
  const chart_depth points[] = {{4, "mean", 0.9, 0, true}, {8, "mean", 0.9, 0, false}};
  FILE *out = begin();
  chart_depths(out, points, 2);
  assert_int_equal(fclose(out), 0);
  assert_non_null(strstr(text, "  90.0 % | @               m\n  89.9 % |\n"));
  assert_non_null(strstr(text, "chosen: depth 4, mean, 90.0 %\n"));
  free(text);
}

/* Whatever the number of depths and poolings: at most 16 lines of 80 columns,
 * but for the last, which names what was chosen. */
static void test_many_depths_fit(void **state) {
  (void)state;
  static const char *const names[] = {"last", "mean", "first", "long", "max",
                                      "minimum", "middle", "mixed", "more"};
  static chart_depth points[9 * 300];
  for (int depths = 1; depths <= 300; depths += depths < 80 ? 1 : 44) {
    size_t count = 0;
    for (int d = 0; d < depths; d++) {
      for (size_t p = 0; p < 9; p++) {
        double accuracy = (double)((unsigned)(d * 7919 + (int)p * 104729) % 1000) / 1000;
        points[count++] = (chart_depth){d, names[p], accuracy, 0.01, d == depths / 2 && p == 1};
      }
    }
    FILE *out = begin();
    chart_depths(out, points, count);
    assert_int_equal(fclose(out), 0);
    int lines = 0;
    for (char *at = text, *end; (end = strchr(at, '\n')); at = end + 1) {
      if (++lines > 1 && end[1] != '\0') assert_true(end - at <= 80);
    }
    assert_true(lines == 14 && memchr(text, '@', text_size));
    free(text);
  }
}

static void test_nothing_to_draw(void **state) {
  (void)state;
  const chart_depth odd[] = {{1, NULL, 0.5, 0, true}, {1, "", 0.5, 0, true},
                             {1, "last", 1e300, 0, true}, {-1, "last", 0.5, 0, true},
                             {INT32_MAX, "last", 0.5, 0, true}, {1, "\033[2J", 0.5, 0, true},
                             {1, "a name longer than any", 0.5, 0, true}};
  FILE *out = begin();
  chart_depths(out, odd, sizeof odd / sizeof *odd);
  chart_depths(out, NULL, 0);
  expect(out, "");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_reliability), cmocka_unit_test(test_depths),
      cmocka_unit_test(test_equal_depths_are_one_line), cmocka_unit_test(test_many_depths_fit),
      cmocka_unit_test(test_nothing_to_draw)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
