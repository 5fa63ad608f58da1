/* tx_curve_*: what a log tells, logs that are none, and the page; and the chart in characters. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../cli/chart_loss.c"
#include "made.h"

static const char *log_of(const char *name, const char *text) {
  char path[700];
  MADE_OK(tx_directory_make(made(name), error));
  snprintf(path, sizeof path, "%s/log.jsonl", made(name));
  write_text(path, text);
  return made(name);
}

static const char two_epochs[] =
    "{\"step\":0,\"epoch\":0,\"validation_loss\":0.9,\"accuracy\":0.5}\n"
    "{\"step\":1,\"epoch\":1,\"loss\":0.8,\"learning_rate\":0.1,\"rows\":[1,2]}\n"
    "{\"step\":2,\"epoch\":1,\"loss\":0.6,\"learning_rate\":0.1,\"rows\":[3]}\n"
    "{\"step\":2,\"epoch\":1,\"training_loss\":0.7,\"validation_loss\":0.5,\"accuracy\":0.75}\n"
    "{\"step\":3,\"epo";

static void test_a_log(void **state) {
  (void)state;
  tx_curve curve;
  MADE_OK(tx_curve_read(log_of("log", two_epochs), &curve, error));
  assert_int_equal(curve.step_count, 2);
  assert_int_equal(curve.epoch_count, 2);
  assert_true(curve.steps[1] == 2 && curve.losses[1] == 0.6);
  assert_true(curve.ends[0] == 0 && curve.ends[1] == 2);
  assert_true(isnan(curve.training_losses[0]) && curve.training_losses[1] == 0.7);
  assert_true(curve.validation_losses[1] == 0.5 && curve.accuracies[1] == 0.75);
  MADE_OK(tx_curve_write(&curve, "a <b>", made("curve.html"), error));
  size_t size;
  char *page = read_bytes(made("curve.html"), &size);
  assert_non_null(strstr(page, "<title>a &lt;b&gt;</title>"));
  assert_non_null(strstr(page, "<td class=\"number\">0.5000</td>"));
  assert_non_null(strstr(page, "<polyline class=\"curve ours\""));
  assert_non_null(strstr(page, "</html>"));
  free(page);
  tx_curve_free(&curve);
  assert_null(curve.owned);
}

static void test_no_log(void **state) {
  (void)state;
  tx_curve curve;
  MADE_FAILS(tx_curve_read(made("none"), &curve, error), TX_ERROR_INPUT, "log.jsonl");
  MADE_FAILS(
      tx_curve_read(log_of("bad", "{\"step\":1,\"loss\":1}\n{\"step\":-1}\n"), &curve, error),
      TX_ERROR_INPUT, "log.jsonl:2: ");
  MADE_FAILS(tx_curve_read(log_of("text", "hello\n"), &curve, error), TX_ERROR_INPUT,
             "log.jsonl:1");
  MADE_OK(tx_curve_read(log_of("empty", ""), &curve, error));
  assert_int_equal(curve.step_count + curve.epoch_count, 0);
  MADE_OK(tx_curve_write(&curve, "nothing", made("empty.html"), error));
  tx_curve_free(&curve);
}

static void expect_chart(const tx_curve *curve, const char *want) {
  char *text;
  size_t size;
  FILE *out = open_memstream(&text, &size);
  assert_non_null(out);
  chart_loss(out, curve);
  assert_int_equal(fclose(out), 0);
  assert_string_equal(text, want);
  free(text);
}

static void test_the_chart(void **state) {
  (void)state;
  double steps[] = {1, 2, 3, 4, NAN}, losses[] = {1, 0.72, 0.5, 0.24, 7}, ends[] = {0, 2, 4},
         validation[] = {1, 0.6, 0.1}, broken[] = {NAN, INFINITY, NAN};
  tx_curve curve = {.step_count = 5,
                    .epoch_count = 3,
                    .steps = steps,
                    .losses = losses,
                    .ends = ends,
                    .validation_losses = validation};
  expect_chart(&curve,
               "loss by step: . training, V validation after each epoch\n"
               "  1.0000 | V               .\n"
               "  0.9000 |\n"
               "  0.8000 |\n"
               "  0.7000 |                                 .\n"
               "  0.6000 |                                 V\n"
               "  0.5000 |                                                .\n"
               "  0.4000 |\n"
               "  0.3000 |\n"
               "  0.2000 |                                                                .\n"
               "  0.1000 |                                                                V\n"
               "         +-----------------------------------------------------------------\n"
               "    step   0                                                              4\n");
  curve = (tx_curve){.epoch_count = 3, .ends = ends, .validation_losses = broken};
  expect_chart(&curve, "");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_log),
      cmocka_unit_test(test_no_log),
      cmocka_unit_test(test_the_chart),
  };
  return cmocka_run_group_tests(tests, made_setup, made_teardown);
}
