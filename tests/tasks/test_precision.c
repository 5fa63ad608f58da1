/* Training, predicting and evaluating in int8 and fp32: what the artifact says, the
 * same bits everywhere, and no state of one taken for the other's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats/artifact.h"
#include "tasks/made.h"

static tx_train_options options_of(const char *model, tx_precision precision, const char *out) {
  tx_train_options options = made_options(model, out);
  options.precision = precision;
  return options;
}

static tx_classifier *open_as(const char *path, tx_precision precision, int64_t batch_tokens) {
  tx_classifier *classifier = NULL;
  tx_classifier_options options = tx_classifier_defaults();
  options.home = made_directory;
  options.precision = precision;
  options.batch_tokens = batch_tokens;
  MADE_OK(tx_classifier_open(path, options, &classifier, error));
  return classifier;
}

enum { TEXTS = 30 };

/* Of made texts: (TEXTS, 3). */
static void predict(const char *path, tx_precision precision, int64_t batch_tokens,
                    float *probabilities) {
  tx_classifier *classifier = open_as(path, precision, batch_tokens);
  tx_random random = tx_random_seed(5);
  char memory[TEXTS][1000];
  tx_text texts[TEXTS];
  for (int i = 0; i < TEXTS; i++) {
    make_text(&random, i % 3, memory[i], sizeof memory[i]);
    texts[i] = tx_text_of(memory[i]);
  }
  assert_int_equal(tx_classifier_count(classifier), 3);
  MADE_OK(tx_classifier_predict(classifier, texts, TEXTS, probabilities, NULL, NULL, error));
  tx_classifier_close(classifier);
}

static double largest_difference(const float *a, const float *b) {
  double largest = 0;
  for (int i = 0; i < 3 * TEXTS; i++) {
    double away = (double)a[i] - (double)b[i];
    away = away < 0 ? -away : away;
    largest = away > largest ? away : largest;
  }
  return largest;
}

static tx_precision precision_of(const char *path) {
  tx_classifier *classifier = open_as(path, TX_PRECISION_AUTO, 0);
  tx_precision precision = tx_classifier_precision(classifier);
  tx_classifier_close(classifier);
  return precision;
}

static void test_the_artifact_says_it(void **state) {
  (void)state;
  static float auto_[3 * TEXTS], f32[3 * TEXTS], int8[3 * TEXTS];
  const char *out = made("bytes.taxon"), *plain = made("floats.taxon");
  assert_int_equal(made_train(options_of(llama, TX_PRECISION_INT8, out)).precision,
                   TX_PRECISION_INT8);
  assert_int_equal(made_train(options_of(llama, TX_PRECISION_F32, plain)).precision,
                   TX_PRECISION_F32);
  assert_int_equal(precision_of(out), TX_PRECISION_INT8);
  assert_int_equal(precision_of(plain), TX_PRECISION_F32);
  for (int i = 0; i < 2; i++) {
    const char *path = i ? plain : out;
    predict(path, TX_PRECISION_AUTO, 0, auto_);
    predict(path, TX_PRECISION_F32, 0, f32);
    predict(path, TX_PRECISION_INT8, 0, int8);
    assert_memory_equal(auto_, i ? f32 : int8, sizeof auto_);
    double away = largest_difference(f32, int8);
    if (!(away > 1e-6 && away < 0.2)) fail_msg("int8 is %g away from fp32", away);
  }
}

/* An artifact in fp32 is as it always was. */
static void test_fp32_says_nothing(void **state) {
  (void)state;
  const char *out = made("says-nothing.taxon");
  made_train(options_of(llama, TX_PRECISION_F32, out));
  tx_gguf *gguf;
  MADE_OK(tx_gguf_open(out, &gguf, error));
  assert_false(tx_gguf_has(gguf, TX_PRECISION_KEY));
  assert_false(tx_gguf_has(gguf, TX_F32_MATRICES));
  tx_gguf_close(gguf);
}

static void check_same_everywhere(const char *model, tx_method method) {
  static float want[3 * TEXTS], got[3 * TEXTS];
  const char *first = made("first.taxon"), *other = made("other.taxon");
  tx_train_options options = options_of(model, TX_PRECISION_INT8, first);
  options.method = method;
  tx_train_report report = made_train(options);
  predict(first, TX_PRECISION_AUTO, 0, want);
  for (int threads = 1; threads <= 3; threads++) {
    tx_set_threads(threads);
    options.out = other;
    made_train(options);
    assert_true(same_files(first, other));
    predict(first, TX_PRECISION_AUTO, threads == 1 ? 1 : 40 * threads, got);
    assert_memory_equal(got, want, sizeof want);
  }
  tx_set_threads(1);
  /* What training measured on the validation rows is what the artifact answers. */
  tx_classifier *classifier = made_open(first);
  tx_evaluation evaluation;
  MADE_OK(
      tx_evaluate(classifier, options.validation, tx_table_defaults(), &evaluation, NULL, error));
  assert_int_equal(evaluation.precision, TX_PRECISION_INT8);
  assert_memory_equal(&evaluation.nll, &report.val_nll, sizeof(double));
  assert_memory_equal(&evaluation.accuracy, &report.val_accuracy, sizeof(double));
  tx_evaluation_free(&evaluation);
  tx_classifier_close(classifier);
}

static void test_same_bits_everywhere(void **state) {
  (void)state;
  check_same_everywhere(llama, TX_METHOD_HEAD);
  check_same_everywhere(llama, TX_METHOD_LAST_BLOCK);
  check_same_everywhere(llama, TX_METHOD_AUTO);
  check_same_everywhere(gpt2, TX_METHOD_LAST_BLOCK);
}

/* States of fp32 and of int8 are kept beside each other. */
static void test_the_cache_keeps_them_apart(void **state) {
  (void)state;
  const char *cold = made("cold.taxon"), *warm = made("warm.taxon");
  tx_train_options options = options_of(llama, TX_PRECISION_F32, made("fp32-first.taxon"));
  options.no_cache = false;
  made_train(options);
  options.precision = TX_PRECISION_INT8;
  options.out = warm;
  assert_int_equal(made_train(options).cached_texts, 0);
  assert_true(made_train(options).cached_texts > 0);
  made_train(options_of(llama, TX_PRECISION_INT8, cold));
  assert_true(same_files(cold, warm));
}

/* auto is what fp32 is, but for the precision, where no answer is lost. */
static void test_auto(void **state) {
  (void)state;
  const char *out = made("auto.taxon");
  tx_train_report report = made_train(options_of(llama, TX_PRECISION_AUTO, out));
  tx_train_report fp32 = made_train(options_of(llama, TX_PRECISION_F32, made("fp32.taxon")));
  assert_int_equal(precision_of(out), report.precision);
  double lost = 100 * (fp32.val_accuracy - report.val_accuracy);
  assert_true(lost <= TX_TOLERANCE);
  bool same = report.val_nll - fp32.val_nll == 0;
  assert_true(same == (report.precision == TX_PRECISION_F32));
  if (report.precision == TX_PRECISION_INT8) {
    tx_classifier *classifier = made_open(out);
    tx_evaluation evaluation;
    MADE_OK(
        tx_evaluate(classifier, made("val.tsv"), tx_table_defaults(), &evaluation, NULL, error));
    assert_memory_equal(&evaluation.nll, &report.val_nll, sizeof(double));
    tx_evaluation_free(&evaluation);
    tx_classifier_close(classifier);
  }
}

/* A copy of an int8 artifact with other keys. */
static void write_other(const char *from, const char *path, const char *precision,
                        const char *matrix) {
  static const char *const without[] = {TX_PRECISION_KEY, TX_F32_MATRICES};
  tx_gguf *gguf;
  MADE_OK(tx_gguf_open(from, &gguf, error));
  tx_gguf_writer *writer = tx_gguf_writer_new();
  tx_gguf_add_all(writer, gguf, without, 2);
  tx_text name = tx_text_of(matrix);
  tx_gguf_add_string(writer, TX_PRECISION_KEY, tx_text_of(precision));
  if (*matrix) tx_gguf_add_strings(writer, TX_F32_MATRICES, &name, 1);
  MADE_OK(tx_gguf_commit(writer, path, error));
  tx_gguf_writer_free(writer);
  tx_gguf_close(gguf);
}

static void test_bad_artifacts_and_options(void **state) {
  (void)state;
  const char *out = made("good.taxon"), *other = made("bad.taxon");
  static float want[3 * TEXTS], got[3 * TEXTS];
  made_train(options_of(llama, TX_PRECISION_INT8, out));
  tx_classifier *classifier;
  tx_classifier_options options = tx_classifier_defaults();
  options.home = made_directory;
  write_other(out, other, "int4", "");
  MADE_FAILS(tx_classifier_open(other, options, &classifier, error), TX_ERROR_INPUT,
             "the precision 'int4' is not known");
  write_other(out, other, "int8", "blk.77.ffn_up");
  MADE_FAILS(tx_classifier_open(other, options, &classifier, error), TX_ERROR_INPUT,
             "names 'blk.77.ffn_up', which its base does not have");
  /* One matrix in fp32 gives other bits. */
  write_other(out, other, "int8", "blk.0.ffn_up");
  predict(out, TX_PRECISION_AUTO, 0, want);
  predict(other, TX_PRECISION_AUTO, 0, got);
  assert_true(largest_difference(want, got) > 0);
  options.precision = (tx_precision)7;
  MADE_FAILS(tx_classifier_open(out, options, &classifier, error), TX_ERROR_ARGUMENT,
             "precision is 7; it must lie between 0 and 2");
  tx_train_report report;
  tx_train_options train = options_of(llama, (tx_precision)7, out);
  MADE_FAILS(tx_train(&train, &report, NULL, error), TX_ERROR_ARGUMENT, "precision is 7");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_artifact_says_it),
      cmocka_unit_test(test_fp32_says_nothing),
      cmocka_unit_test(test_same_bits_everywhere),
      cmocka_unit_test(test_the_cache_keeps_them_apart),
      cmocka_unit_test(test_auto),
      cmocka_unit_test(test_bad_artifacts_and_options),
  };
  return cmocka_run_group_tests(tests, made_setup, made_teardown);
}
