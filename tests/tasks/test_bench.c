/* tx_bench: what is measured is what was asked, and figures that are possible.  How
 * fast anything is, is not a test's to say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "base/parallel.h"
#include "tasks/bench_products.h"
#include "tasks/made.h"

static tx_bench_options quick(const char *model) {
  tx_bench_options options = tx_bench_defaults();
  options.model = model;
  options.home = made_directory;
  options.seconds = 0;
  return options;
}

static bool possible(double value) { return isfinite(value) && value > 0; }

static void test_the_median(void **state) {
  (void)state;
  double one[] = {3}, odd[] = {5, 1, 3}, even[] = {4, 1, 3, 2};
  assert_true(tx_bench_median(one, 1) == 3);
  assert_true(tx_bench_median(odd, 3) == 3);
  assert_true(tx_bench_median(even, 4) == 2.5);
}

/* Every shape of the model in each form it can have, at each number of rows and threads. */
static void check_products(const tx_bench_report *report, const char *type, size_t shapes) {
  size_t found = 0;
  for (size_t i = 0; i < report->product_count; i++) {
    const tx_bench_product *p = &report->products[i];
    assert_true(possible(p->achieved) && possible(p->ceiling) && possible(p->share));
    assert_true(p->rows == 1 || p->rows == 8 || p->rows == 64 || p->rows == 512);
    assert_true(p->memory == (p->rows == 1));
    assert_true(p->threads == 1 || p->threads == report->threads);
    if (strcmp(p->type, type) == 0) found++;
  }
  assert_int_equal(found, shapes * 4 * (report->threads > 1 ? 2 : 1));
}

static void test_products(void **state) {
  (void)state;
  for (int threads = 1; threads <= 2; threads++) {
    tx_bench_options options = quick(llama);
    tx_bench_report report;
    options.parts = TX_BENCH_PRODUCTS;
    tx_set_threads(threads);
    MADE_OK(tx_bench(&options, &report, NULL, error));
    assert_int_equal(tx_threads(), threads);
    assert_int_equal(report.threads, threads);
    check_products(&report, "f32", 4);
    check_products(&report, "int8", 4);
    check_products(&report, "Q4_1", 3);
    assert_true(possible(report.ceilings.multiply_add) && possible(report.ceilings.bytes) &&
                possible(report.ceilings.memory) && possible(report.one_thread.memory));
    assert_int_equal(report.prefill_count + report.decode_count + report.text_count, 0);
    tx_bench_report_free(&report);
  }
  tx_set_threads(1);
}

/* The usual lengths that the context of 128 holds, or those asked for. */
static void test_prefill(void **state) {
  (void)state;
  static const int64_t lengths[] = {1, 128};
  const char *const models[] = {llama, gpt2};
  for (int m = 0; m < 2; m++) {
    tx_bench_options options = quick(models[m]);
    tx_bench_report report;
    options.parts = TX_BENCH_PREFILL;
    MADE_OK(tx_bench(&options, &report, NULL, error));
    assert_int_equal(report.prefill_count, 2);
    for (int i = 0; i < 2; i++) {
      assert_string_equal(report.prefill[i].precision, i ? "int8" : "f32");
      assert_int_equal(report.prefill[i].size, 64);
      assert_true(report.prefill[i].runs >= 3 && possible(report.prefill[i].tokens_per_second));
    }
    tx_bench_report_free(&report);
    options.lengths = lengths;
    options.length_count = 2;
    options.precision = "int8";
    MADE_OK(tx_bench(&options, &report, NULL, error));
    assert_int_equal(report.prefill_count, 2);
    assert_int_equal(report.prefill[1].size, 128);
    assert_string_equal(report.prefill[0].precision, "int8");
    tx_bench_report_free(&report);
  }
}

/* Three precisions by four numbers of sequences; "file" is of decode alone. */
static void test_decode(void **state) {
  (void)state;
  static const int batches[] = {1, 8, 16, 32};
  static const char *const names[] = {"f32", "int8", "file"};
  tx_bench_options options = quick(llama);
  tx_bench_report report;
  options.parts = TX_BENCH_DECODE;
  MADE_OK(tx_bench(&options, &report, NULL, error));
  assert_int_equal(report.decode_count, 12);
  for (int i = 0; i < 12; i++) {
    assert_string_equal(report.decode[i].precision, names[i / 4]);
    assert_int_equal(report.decode[i].size, batches[i % 4]);
    assert_true(report.decode[i].runs >= 3 && possible(report.decode[i].tokens_per_second));
  }
  tx_bench_report_free(&report);
  options.precision = "file";
  options.parts = 0;
  MADE_OK(tx_bench(&options, &report, NULL, error));
  assert_int_equal(report.decode_count, 4);
  assert_int_equal(report.prefill_count + report.text_count, 0);
  tx_bench_report_free(&report);
}

static void test_texts(void **state) {
  (void)state;
  char path[256];
  snprintf(path, sizeof path, "%s/texts.tsv", made_directory);
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs("text\tmore\n", file);
  for (int i = 0; i < 1500; i++) fprintf(file, "good fine %d\tpoor\n", i);
  fclose(file);
  tx_bench_options options = quick(llama);
  tx_bench_report report, two;
  options.parts = TX_BENCH_TEXTS;
  options.data = path;
  MADE_OK(tx_bench(&options, &report, NULL, error));
  assert_int_equal(report.text_count, 2);
  assert_int_equal(report.texts[0].texts, 1500);
  assert_int_equal(report.texts[0].tokens, report.texts[1].tokens);
  assert_true(possible(report.texts[0].texts_per_second));
  options.texts = 10;
  options.precision = "f32";
  options.table.text = "text,more";
  MADE_OK(tx_bench(&options, &two, NULL, error));
  assert_int_equal(two.text_count, 1);
  assert_int_equal(two.texts[0].texts, 10);
  assert_int_equal(two.prefill_count, 0);
  tx_bench_report_free(&two);
  tx_bench_report_free(&report);
}

static bool stop(void *context) {
  int *left = context;
  return (*left)-- <= 0;
}

/* Wherever it is stopped, nothing is left; what makes no sense is refused. */
static void test_refusals(void **state) {
  (void)state;
  tx_bench_options options = quick(llama);
  tx_bench_report report;
  static const int64_t long_one = 129;
  for (int calls = 0; calls < 40; calls += 3) {
    int left = calls;
    tx_watch watch = {.cancelled = stop, .context = &left};
    MADE_FAILS(tx_bench(&options, &report, &watch, error), TX_ERROR_INTERRUPTED, "");
    assert_null(report.owned);
  }
  options.lengths = &long_one;
  options.length_count = 1;
  MADE_FAILS(tx_bench(&options, &report, NULL, error), TX_ERROR_ARGUMENT, "1 to 128");
  options = quick(llama);
  options.precision = "f16";
  MADE_FAILS(tx_bench(&options, &report, NULL, error), TX_ERROR_ARGUMENT, "'f16' is not known");
  options = quick(llama);
  options.seconds = NAN;
  MADE_FAILS(tx_bench(&options, &report, NULL, error), TX_ERROR_ARGUMENT, "0 or more");
  options = quick(NULL);
  MADE_FAILS(tx_bench(&options, &report, NULL, error), TX_ERROR_ARGUMENT, "no model");
  options = quick("tests/golden/dequant.gguf");
  MADE_FAILS(tx_bench(&options, &report, NULL, error), TX_ERROR_INPUT, "dequant.gguf");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_median), cmocka_unit_test(test_products),
      cmocka_unit_test(test_prefill),    cmocka_unit_test(test_decode),
      cmocka_unit_test(test_texts),      cmocka_unit_test(test_refusals),
  };
  return cmocka_run_group_tests(tests, made_setup, made_teardown);
}
