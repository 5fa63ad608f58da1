/* Pages and plots: what is escaped, that marks stand where their values are, and axes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "observe/page.h"
#include "observe/plot.h"

static void test_text_is_escaped(void **state) {
  (void)state;
  const struct {
    const char *text, *escaped;
  } cases[] = {{"plain", "plain"},
               {"<b> & \"c\" > 'd'", "&lt;b&gt; &amp; &quot;c&quot; &gt; 'd'"},
               {"größer 😀", "größer 😀"},
               {"a\x01"
                "b\tc\nd",
                "a\xEF\xBF\xBD"
                "b\tc\nd"},
               {"bad \xff\xc3 end", "bad \xEF\xBF\xBD\xEF\xBF\xBD end"},
               {"\xEF\xBF\xBE", "\xEF\xBF\xBD"}, /* U+FFFE */
               {"", ""}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    tx_buffer page = {0};
    tx_page_text(&page, cases[i].text);
    assert_string_equal(page.data ? page.data : "", cases[i].escaped);
    tx_buffer_free(&page);
  }
}

static void test_cells(void **state) {
  (void)state;
  tx_buffer page = {0};
  tx_page_cell(&page, true, NULL, "a<b");
  tx_page_cell(&page, false, "number", "7");
  tx_page_element(&page, "p", "x & y");
  assert_string_equal(page.data, "<th>a&lt;b</th><td class=\"number\">7</td><p>x &amp; y</p>\n");
  tx_buffer_free(&page);
}

/* A plot of an area of 200 by 100 pixels at (50, 34). */
static tx_plot begin(tx_buffer *page, bool logarithmic) {
  tx_axis x = {.low = 1,
               .high = logarithmic ? 100 : 5,
               .logarithmic = logarithmic,
               .label = "x",
               .unit = ""};
  tx_axis y = {.low = 0, .high = 10, .label = "<y>", .unit = " %"};
  return tx_plot_begin(page, 272, 180, 50, x, y, "a & b");
}

static void expect(const tx_buffer *page, const char *part) {
  if (!strstr(page->data, part)) fail_msg("no %s in %s", part, page->data);
}

static void test_marks(void **state) {
  (void)state;
  tx_buffer page = {0};
  tx_plot plot = begin(&page, false);
  tx_plot_circle(&plot, "ours", 3, 10);
  tx_plot_circle(&plot, "ours", 99, -3);
  tx_plot_circle(&plot, "ours", NAN, NAN);
  tx_plot_line(&plot, "ours", 1, 0, 5, 5);
  const double x[] = {1, 2}, y[] = {0, 10};
  tx_plot_curve(&plot, "other", x, y, 2);
  tx_plot_diamond(&plot, "other", 1, 0);
  tx_plot_end(&plot);
  expect(&page, "<title>a &amp; b</title>");
  expect(&page, "viewBox=\"0 0 272.0 180.0\"");
  expect(&page, "&lt;y&gt;</text>");
  expect(&page, ">10 %</text>");
  expect(&page, "<circle class=\"ours\" r=\"4\" cx=\"150.0\" cy=\"34.0\"/>");
  expect(&page, "cx=\"250.0\" cy=\"134.0\"/>"); /* beyond the axes: at their ends */
  expect(&page, "cx=\"50.0\" cy=\"134.0\"/>");
  expect(&page, "<line class=\"ours\" x1=\"50.0\" y1=\"134.0\" x2=\"250.0\" y2=\"84.0\"/>");
  expect(&page, "points=\"50.0,134.0 100.0,34.0\"");
  expect(&page, "points=\"50.0,128.0 56.0,134.0 50.0,140.0 44.0,134.0\"");
  tx_buffer_free(&page);
  plot = begin(&page, true);
  tx_plot_circle(&plot, "ours", 10, 0);
  expect(&page, "cx=\"150.0\" cy=\"134.0\"/>"); /* the middle of 1 and 100 */
  tx_buffer_free(&page);
}

static void test_axes(void **state) {
  (void)state;
  const double values[] = {20, NAN, 40}, one[] = {100};
  tx_axis axis = tx_axis_around(values, 3, 0, 100);
  assert_true(axis.low < 20 && axis.low > 15 && axis.high > 40 && axis.high < 45);
  axis = tx_axis_around(one, 1, 0, 100);
  assert_true(axis.low < 100 && axis.high <= 100 && axis.low < axis.high);
  axis = tx_axis_around(NULL, 0, 0, 100);
  assert_true(axis.low < axis.high);
  const double zero[] = {0, 0};
  axis = tx_axis_around(zero, 2, 0, 0);
  assert_true(axis.low < axis.high);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_text_is_escaped),
      cmocka_unit_test(test_cells),
      cmocka_unit_test(test_marks),
      cmocka_unit_test(test_axes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
