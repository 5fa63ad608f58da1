/* tx_evaluate: exact figures where they are known beforehand, the figures of
 * training on its own validation rows, rows seen in training, and refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "tasks/made.h"
#include "formats/artifact_make.h"
#include "base/hash.h"
#include "formats/table.h"
#include "score/linear.h"
#include "trust/comparison.h"

/* ---- a classifier that always says the same ---------------------------- */

static const char table_of_eight[] =
    "text\tlabel\nnew one\tmixed\nThe  Lens is sharp \tmixed\nnew two\tgood\nnew three\tmixed\n"
    "it broke\tbad\nnew four\tgood\nthe lens is sharp\tgood\nnew five\tmixed\n";

/* Probabilities 0.125, 0.25 and 0.625 for any text; two texts seen in training;
 * the linear baseline trained on three texts. */
static const char *constant_artifact(bool with_linear) {
  static float weight[3 * 64], bias[3];
  static uint64_t prints[3];
  static const int32_t labels[] = {0, 1, 2};
  const tx_text texts[] = {tx_text_of("it broke"), tx_text_of("the lens is sharp"),
                           tx_text_of("new and so-so")};
  char hash[TX_SHA256_HEX];
  bias[1] = logf(2), bias[2] = logf(5);
  for (int i = 0; i < 2; i++) prints[i] = tx_text_fingerprint(texts[i]);
  if (prints[0] > prints[1]) {
    uint64_t first = prints[0];
    prints[0] = prints[1], prints[1] = first;
  }
  MADE_OK(tx_sha256_file(llama, hash, error));
  tx_artifact_facts facts = good_facts(llama, hash);
  facts.depth = 1;
  tx_gguf_writer *writer = tx_gguf_writer_new();
  tx_scorer *linear;
  MADE_OK(tx_linear_train(texts, labels, 3, 3, tx_linear_defaults(), &linear, NULL, error));
  const int64_t shape[] = {64, 3}, three = 3, two = 2;
  tx_artifact_add_facts(writer, &facts);
  tx_gguf_add_tensor(writer, "head.weight", TX_TENSOR_F32, 2, shape, weight);
  tx_gguf_add_tensor(writer, "head.bias", TX_TENSOR_F32, 1, &three, bias);
  tx_gguf_add_tensor(writer, "taxon.training.texts", TX_TENSOR_I64, 1, &two, prints);
  if (with_linear) tx_linear_save(linear, 0, writer);
  MADE_OK(tx_gguf_commit(writer, made("constant.taxon"), error));
  tx_gguf_writer_free(writer);
  tx_scorer_free(linear);
  return made("constant.taxon");
}

static bool close_to(double got, double want) { return fabs(got - want) < 1e-7; }

static tx_evaluation evaluate(const char *artifact, const char *table) {
  tx_classifier *classifier = made_open(artifact);
  tx_evaluation evaluation;
  MADE_OK(tx_evaluate(classifier, table, tx_table_defaults(), &evaluation, NULL, error));
  tx_classifier_close(classifier);
  return evaluation;
}

static void test_known_figures(void **state) {
  (void)state;
  write_text(made("eight.tsv"), table_of_eight);
  tx_evaluation e = evaluate(constant_artifact(true), made("eight.tsv"));
  assert_int_equal(e.n, 8);
  assert_true(e.accuracy == 0.5);
  tx_interval wilson = tx_wilson(4, 8);
  assert_true(e.accuracy_lo == wilson.lo && e.accuracy_hi == wilson.hi);
  assert_true(close_to(e.macro_f1, (2.0 / 3) / 3));
  assert_true(close_to(e.nll, -(4 * log(0.625) + 3 * log(0.25) + log(0.125)) / 8));
  double squares = 0.125 * 0.125 + 0.25 * 0.25 + 0.625 * 0.625;
  assert_true(close_to(e.brier, squares + 1 - 2 * (4 * 0.625 + 3 * 0.25 + 0.125) / 8));
  assert_true(close_to(e.ece, 0.125));
  for (int i = 0; i < TX_BINS; i++) { /* 0.625 is in the tenth */
    assert_int_equal(e.bins[i].count, i == 9 ? 8 : 0);
    assert_true(close_to(e.bins[i].confidence, i == 9 ? 0.625 : 0));
    assert_true(close_to(e.bins[i].accuracy, i == 9 ? 0.5 : 0));
  }
  static const int64_t confusion[] = {0, 0, 1, 0, 0, 3, 0, 0, 4};
  assert_int_equal(e.label_count, 3);
  assert_memory_equal(e.confusion, confusion, sizeof confusion);
  static const char *const names[] = {"bad", "good", "mixed"};
  static const int64_t support[] = {1, 3, 4}, predicted[] = {0, 0, 8};
  for (int i = 0; i < 3; i++) { /* after the classifier was closed */
    assert_string_equal(e.labels[i].name, names[i]);
    assert_int_equal(e.labels[i].support, support[i]);
    assert_int_equal(e.labels[i].predicted, predicted[i]);
    assert_true(e.labels[i].precision == (i == 2 ? 0.5 : 0));
    assert_true(e.labels[i].recall == (i == 2 ? 1 : 0));
    assert_true(close_to(e.labels[i].f1, i == 2 ? 2.0 / 3 : 0));
  }
  assert_int_equal(e.scored.texts, 8);
  assert_int_equal(e.scored.cut, 0);
  assert_true(e.seconds > 0 && e.texts_per_second > 0 && e.tokens_per_second > e.texts_per_second);
  assert_true(e.peak_rss_bytes > 1 << 20);
  tx_evaluation_free(&e);
  assert_null(e.labels);
  tx_evaluation_free(&e); /* once more is nothing */
}

static void test_known_baselines(void **state) {
  (void)state;
  write_text(made("eight.tsv"), table_of_eight);
  tx_evaluation e = evaluate(constant_artifact(true), made("eight.tsv"));
  /* the facts say that label 1, "good", is the most frequent of training */
  assert_true(e.majority.accuracy == 0.375 && e.majority.difference == 0.125);
  assert_int_equal(e.majority.only_classifier_right, 4);
  assert_int_equal(e.majority.only_baseline_right, 3);
  assert_true(close_to(e.majority.p_value, 1));
  tx_interval interval = tx_paired_difference(0, 4, 3, 1);
  assert_true(e.majority.difference_lo == interval.lo && e.majority.difference_hi == interval.hi);
  /* a word seen with one label alone: "new" mixed, "broke" bad, "lens" good */
  assert_true(e.linear.accuracy == 0.625);
  assert_int_equal(e.linear.only_classifier_right, 1);
  assert_int_equal(e.linear.only_baseline_right, 2);
  assert_true(e.linear.difference == -0.125);
  assert_true(close_to(e.linear.p_value, 1));
  interval = tx_paired_difference(3, 1, 2, 2);
  assert_true(e.linear.difference_lo == interval.lo && e.linear.difference_hi == interval.hi);
  tx_evaluation_free(&e);
}

/* ---- rows seen in training --------------------------------------------- */

static void test_rows_seen_in_training(void **state) {
  (void)state;
  write_text(made("eight.tsv"), table_of_eight);
  tx_evaluation e = evaluate(constant_artifact(true), made("eight.tsv"));
  static const int64_t lines[] = {3, 6, 8}; /* letters and blanks may differ */
  assert_int_equal(e.seen_in_training, 3);
  assert_memory_equal(e.seen_lines, lines, sizeof lines);
  tx_evaluation_free(&e);
  FILE *file = fopen(made("many.tsv"), "wb");
  fputs("text\tlabel\n", file);
  for (int i = 0; i < 1205; i++) fputs(i == 7 ? "another\tbad\n" : "It broke\tbad\n", file);
  fclose(file);
  e = evaluate(constant_artifact(true), made("many.tsv"));
  assert_int_equal(e.seen_in_training, 1204);
  assert_int_equal(e.seen_lines[6], 8);
  assert_int_equal(e.seen_lines[7], 10);
  assert_int_equal(e.seen_lines[999], 1002);
  tx_evaluation_free(&e);
}

/* ---- a trained classifier ---------------------------------------------- */

static void test_the_figures_of_training(void **state) {
  (void)state;
  for (int method = 0; method < 2; method++) {
    tx_train_options options = made_options(method ? llama : gpt2, made("trained.taxon"));
    options.method = (tx_method)method;
    tx_train_report r = made_train(options);
    tx_evaluation e = evaluate(options.out, options.validation);
    assert_int_equal(e.n, r.val_rows);
    assert_true(e.accuracy == r.val_accuracy && e.nll == r.val_nll);
    assert_true(e.accuracy_lo == r.val_lo && e.accuracy_hi == r.val_hi);
    assert_true(e.macro_f1 == r.val_macro_f1);
    assert_true(e.majority.accuracy == r.majority_accuracy);
    assert_true(e.linear.accuracy == r.linear_accuracy);
    assert_int_equal(e.seen_in_training, 0);
    int64_t all = 0, right = 0;
    for (int i = 0; i < 9; i++) {
      all += e.confusion[i];
      right += i % 4 == 0 ? e.confusion[i] : 0;
    }
    assert_int_equal(all, e.n);
    assert_true((double)right / (double)all == e.accuracy);
    assert_true(e.brier >= 0 && e.brier <= 2 && e.ece >= 0 && e.ece <= 1);
    tx_evaluation_free(&e);
    e = evaluate(options.out, options.data);
    assert_int_equal(e.n, 48);
    assert_int_equal(e.seen_in_training, 48);
    for (int i = 0; i < 48; i++) assert_int_equal(e.seen_lines[i], i + 2);
    tx_evaluation_free(&e);
  }
}

/* ---- refusals ---------------------------------------------------------- */

static void refuse(const char *artifact, const char *rows, const char *sentence) {
  tx_classifier *classifier = made_open(artifact);
  tx_evaluation e;
  tx_error error = {0};
  char got[1400], want[1400];
  const char *path = made("refused.tsv");
  write_text(path, rows);
  assert_int_equal(tx_evaluate(classifier, path, tx_table_defaults(), &e, NULL, &error),
                   TX_ERROR_INPUT);
  snprintf(want, sizeof want, "%.300s%s", path, sentence);
  assert_string_equal(tx_error_sentence(&error, got, sizeof got), want);
  assert_null(e.owned);
  assert_null(e.labels);
  tx_evaluation_free(&e);
  tx_classifier_close(classifier);
}

static void test_refusals(void **state) {
  (void)state;
  const char *artifact = constant_artifact(true);
  refuse(artifact, "text\tlabel\nfine\tgood\nwell\tgoood\n",
         ":3: the label 'goood' is not known; the labels are: bad, good, mixed; did you mean "
         "'good'?");
  refuse(artifact, "text\tlabel\n", " has no rows; give at least one to evaluate on");
  refuse(artifact, "text\tlabel\nfine\t\n", ":2: the label is empty; fill it in or remove the row");
  tx_classifier *classifier = made_open(artifact);
  tx_evaluation e;
  tx_table_options options = tx_table_defaults();
  MADE_FAILS(tx_evaluate(classifier, "no/such.tsv", options, &e, NULL, error), TX_ERROR_INPUT,
             "no/such.tsv");
  options.label = NULL;
  MADE_FAILS(tx_evaluate(classifier, made("refused.tsv"), options, &e, NULL, error),
             TX_ERROR_ARGUMENT, "no label column is named for");
  tx_classifier_close(classifier);
  classifier = made_open(constant_artifact(false));
  MADE_FAILS(tx_evaluate(classifier, made("eight.tsv"), tx_table_defaults(), &e, NULL, error),
             TX_ERROR_INPUT, "constant.taxon");
  assert_null(e.owned);
  tx_classifier_close(classifier);
}

static bool cancelled(void *context) {
  int64_t *left = context;
  return --*left == 0;
}

static void test_stopping(void **state) {
  (void)state;
  tx_train_options options = made_options(llama, made("stopped.taxon"));
  made_train(options);
  tx_classifier *classifier = made_open(options.out);
  tx_evaluation e;
  int64_t left = 1000000;
  tx_watch watch = {.cancelled = cancelled, .context = &left};
  MADE_OK(tx_evaluate(classifier, options.data, options.table, &e, &watch, error));
  tx_evaluation_free(&e);
  int64_t calls = 1000000 - left;
  assert_true(calls >= 3);
  for (int64_t n = 1; n <= calls; n++) {
    left = n;
    MADE_FAILS(tx_evaluate(classifier, options.data, options.table, &e, &watch, error),
               TX_ERROR_INTERRUPTED, "stopped on request");
    assert_null(e.owned);
  }
  tx_classifier_close(classifier);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_known_figures),
      cmocka_unit_test(test_known_baselines),
      cmocka_unit_test(test_rows_seen_in_training),
      cmocka_unit_test(test_the_figures_of_training),
      cmocka_unit_test(test_refusals),
      cmocka_unit_test(test_stopping),
  };
  return cmocka_run_group_tests(tests, made_setup, made_teardown);
}
