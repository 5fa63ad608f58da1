/* tx_quantize by the library's calls; its sentences and its tables are in
 * tests/cli/cases/precision.case. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats/artifact.h"
#include "tasks/made.h"

static tx_quantize_options options_to(const char *out) {
  tx_quantize_options options = tx_quantize_defaults();
  options.home = made_directory;
  options.data = made("val.tsv");
  options.out = out;
  return options;
}

static const char *train(tx_method method, const char *name) {
  tx_train_options options = made_options(llama, made(name));
  options.method = method;
  made_train(options);
  return options.out;
}

static void check_score(const char *path, tx_precision precision, const tx_precision_score *want) {
  tx_classifier *classifier;
  tx_classifier_options options = tx_classifier_defaults();
  options.home = made_directory, options.precision = precision;
  MADE_OK(tx_classifier_open(path, options, &classifier, error));
  tx_evaluation of;
  MADE_OK(tx_evaluate(classifier, made("val.tsv"), tx_table_defaults(), &of, NULL, error));
  assert_memory_equal(&of.accuracy, &want->accuracy, sizeof(double));
  assert_memory_equal(&of.nll, &want->nll, sizeof(double));
  assert_memory_equal(&of.ece, &want->ece, sizeof(double));
  tx_evaluation_free(&of);
  tx_classifier_close(classifier);
}

/* The figures are those that eval gives of what was written. */
static void test_what_is_written_answers_so(void **state) {
  (void)state;
  static const tx_method methods[] = {TX_METHOD_HEAD, TX_METHOD_LAST_BLOCK, TX_METHOD_AUTO};
  for (int i = 0; i < 3; i++) {
    const char *from = train(methods[i], "from.taxon"), *out = made("to.taxon");
    tx_quantize_options options = options_to(out);
    options.tolerance = 100;
    tx_quantization result;
    MADE_OK(tx_quantize(from, options, &result, NULL, error));
    assert_true(result.accepted && result.rows == 21 && result.changed <= result.rows);
    double lost = 100 * (result.f32.accuracy - result.int8.accuracy) - result.lost;
    assert_true(lost < 1e-9 && lost > -1e-9);
    /* A trained block stays fp32; the rest is a quarter and what panels leave over. */
    if (i < 2) assert_true(result.int8.bytes < result.f32.bytes); /* auto may run no block */
    check_score(from, TX_PRECISION_AUTO, &result.f32);
    check_score(out, TX_PRECISION_F32, &result.f32);
    check_score(out, TX_PRECISION_AUTO, &result.int8);
    tx_quantization_free(&result);
  }
}

/* Everything but the two keys is copied. */
static void test_the_rest_stays(void **state) {
  (void)state;
  const char *from = train(TX_METHOD_LAST_BLOCK, "rest.taxon"), *out = made("rest-int8.taxon");
  tx_quantize_options options = options_to(out);
  options.tolerance = 100;
  tx_quantization result;
  MADE_OK(tx_quantize(from, options, &result, NULL, error));
  tx_quantization_free(&result);
  tx_gguf *before, *after;
  tx_artifact_facts facts, other;
  MADE_OK(tx_artifact_open(from, &before, &facts, error));
  MADE_OK(tx_artifact_open(out, &after, &other, error));
  assert_int_equal(facts.precision.size, 0);
  assert_true(other.precision.size == 4 && memcmp(other.precision.data, "int8", 4) == 0);
  assert_true(facts.label_count == other.label_count && facts.seed == other.seed);
  assert_memory_equal(&facts.val_nll, &other.val_nll, sizeof(double));
  assert_true(facts.command.size == other.command.size);
  assert_int_equal(tx_gguf_tensor_count(before), tx_gguf_tensor_count(after));
  for (size_t i = 0; i < tx_gguf_tensor_count(before); i++) {
    const tx_tensor *a = tx_gguf_tensor_at(before, i), *b = tx_gguf_tensor_at(after, i);
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->size, b->size);
    assert_memory_equal(a->data, b->data, (size_t)a->size);
  }
  tx_gguf_close(before);
  tx_gguf_close(after);
}

/* Adapters in all matrices leave none that could be bytes. */
static void test_nothing_to_quantize(void **state) {
  (void)state;
  const char *from = train(TX_METHOD_LORA, "lora.taxon"), *out = made("none.taxon");
  tx_quantize_options options = options_to(out);
  tx_quantization result;
  MADE_FAILS(tx_quantize(from, options, &result, NULL, error), TX_ERROR_ARGUMENT,
             "lora.taxon would be in int8");
  assert_int_equal(access(out, F_OK), -1);
}

static void test_in_place(void **state) {
  (void)state;
  const char *path = train(TX_METHOD_HEAD, "place.taxon");
  tx_quantize_options options = options_to(NULL);
  options.tolerance = 100;
  tx_quantization result, again;
  MADE_OK(tx_quantize(path, options, &result, NULL, error));
  size_t size[2];
  char *first = read_bytes(path, &size[0]);
  MADE_OK(tx_quantize(path, options, &again, NULL, error)); /* keeps what was measured */
  char *second = read_bytes(path, &size[1]);
  assert_int_equal(size[0], size[1]);
  assert_memory_equal(first, second, size[0]);
  assert_true(result.changed == again.changed && result.f32_matrices == again.f32_matrices);
  free(first), free(second);
  tx_quantization_free(&result);
  tx_quantization_free(&again);
}

static bool at_once(void *context) {
  (void)context;
  return true;
}

static void test_refusals(void **state) {
  (void)state;
  const char *path = train(TX_METHOD_HEAD, "refused.taxon"), *out = made("not.taxon");
  tx_quantization result;
  tx_quantize_options options = options_to(out);
  size_t names = made_names(made_directory);
  options.tolerance = -1;
  MADE_FAILS(tx_quantize(path, options, &result, NULL, error), TX_ERROR_ARGUMENT,
             "tolerance is -1; it must lie between 0 and 100 points");
  options.tolerance = 1, options.data = NULL;
  MADE_FAILS(tx_quantize(path, options, &result, NULL, error), TX_ERROR_ARGUMENT, "a table");
  options.data = made("val.tsv"), options.head = "other";
  MADE_FAILS(tx_quantize(path, options, &result, NULL, error), TX_ERROR_ARGUMENT,
             "has no head 'other'");
  options.head = NULL;
  tx_watch watch = {.cancelled = at_once};
  MADE_FAILS(tx_quantize(path, options, &result, &watch, error), TX_ERROR_INTERRUPTED, "");
  write_text(made("empty.tsv"), "text\tlabel\n");
  options.data = made("empty.tsv");
  MADE_FAILS(tx_quantize(path, options, &result, NULL, error), TX_ERROR_INPUT, "has no rows");
  assert_int_equal(made_names(made_directory), names + 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_what_is_written_answers_so),
      cmocka_unit_test(test_the_rest_stays),
      cmocka_unit_test(test_nothing_to_quantize),
      cmocka_unit_test(test_in_place),
      cmocka_unit_test(test_refusals),
  };
  return cmocka_run_group_tests(tests, made_setup, made_teardown);
}
