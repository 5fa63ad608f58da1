/* tx_describe_json and tx_tokenize: what a model and a classifier say of
 * themselves, and the tokens of texts of every kind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>

#include "tasks/made.h"
#include "base/hash.h"
#include "formats/artifact_make.h"

static json_t *describe(const char *what) {
  char *text;
  MADE_OK(tx_describe_json(what, made_directory, &text, error));
  json_t *object = json_loads(text, JSON_ALLOW_NUL, NULL);
  assert_non_null(object);
  tx_free_string(text);
  return object;
}

/* A member by its path, "training.rows". */
static const json_t *member(const json_t *object, const char *path) {
  char key[40];
  size_t size = strcspn(path, ".");
  snprintf(key, sizeof key, "%.*s", (int)size, path);
  const json_t *value = json_object_get(object, key);
  if (!value) fail_msg("no member %s", path);
  return path[size] ? member(value, path + size + 1) : value;
}

static void assert_text(const json_t *object, const char *path, const char *want) {
  assert_string_equal(json_string_value(member(object, path)), want);
}

static void assert_number(const json_t *object, const char *path, double want) {
  assert_true(json_is_number(member(object, path)));
  assert_true(json_number_value(member(object, path)) == want);
}

static void test_a_model(void **state) {
  (void)state;
  char hash[TX_SHA256_HEX];
  MADE_OK(tx_sha256_file(llama, hash, error));
  json_t *object = describe(llama);
  assert_text(object, "kind", "model");
  assert_text(object, "architecture", "llama");
  assert_text(object, "sha256", hash);
  assert_text(object, "license", "apache-2.0");
  assert_number(object, "layers", 3);
  assert_number(object, "width", 64);
  assert_number(object, "heads", 4);
  assert_number(object, "kv_heads", 2);
  assert_number(object, "vocabulary", 421);
  assert_number(object, "context", 128);
  json_decref(object);
}

static void test_a_classifier(void **state) {
  (void)state;
  tx_train_options options = made_options(llama, made("described.taxon"));
  options.method = TX_METHOD_LAST_BLOCK;
  options.command = "taxon train --model tiny";
  options.seed = 9;
  tx_train_report r = made_train(options);
  json_t *object = describe(options.out);
  assert_text(object, "kind", "classifier");
  assert_text(object, "method", "last-block");
  assert_text(object, "pooling", "last");
  assert_text(object, "base.name", llama);
  assert_int_equal(json_array_size(member(object, "labels")), 3);
  assert_text(object, "training.command", options.command);
  assert_text(object, "training.head_solver", "convex");
  assert_number(object, "depth", 3);
  assert_number(object, "max_tokens", 128);
  assert_number(object, "training.rows", 48);
  assert_number(object, "training.seed", 9);
  assert_number(object, "training.epochs", r.epochs);
  assert_number(object, "training.best_epoch", r.best_epoch);
  assert_number(object, "training.learning_rate", 1e-3);
  assert_number(object, "training.trained_parameters", (double)r.trained_parameters);
  assert_number(object, "validation.rows", 21);
  assert_number(object, "validation.accuracy", r.val_accuracy);
  assert_number(object, "validation.nll", r.val_nll);
  assert_number(object, "validation.baselines.majority", r.majority_accuracy);
  assert_number(object, "validation.baselines.linear", r.linear_accuracy);
  assert_true(json_real_value(json_array_get(member(object, "validation.accuracy_ci95"), 1)) ==
              r.val_hi);
  json_decref(object);
}

/* Bytes that are no UTF-8 cannot stand in JSON. */
static void test_strings_that_are_no_text(void **state) {
  (void)state;
  char hash[TX_SHA256_HEX];
  MADE_OK(tx_sha256_file(llama, hash, error));
  tx_artifact_facts facts = good_facts(llama, hash);
  facts.command = tx_text_of("taxon \xff\xfe");
  facts.version = (tx_text){"0\0001", 3};
  MADE_OK(write_artifact(made("odd.taxon"), &facts, NULL, 0, error));
  json_t *object = describe(made("odd.taxon"));
  assert_true(json_is_null(member(object, "training.command")));
  json_decref(object);
}

static void test_what_is_neither(void **state) {
  (void)state;
  char *text = (char *)1;
  MADE_FAILS(tx_describe_json("Makefile", made_directory, &text, error), TX_ERROR_INPUT,
             "this is not a GGUF file");
  assert_null(text);
  MADE_FAILS(tx_describe_json("no/such", made_directory, &text, error), TX_ERROR_INPUT, "no/such");
  MADE_FAILS(tx_describe_json("", made_directory, &text, error), TX_ERROR_ARGUMENT,
             "no model is named");
  MADE_FAILS(tx_describe_json(NULL, made_directory, &text, error), TX_ERROR_ARGUMENT,
             "no model is named");
}

/* ---- tokens ------------------------------------------------------------ */

static void test_pieces_join_to_the_text(void **state) {
  (void)state;
  static const tx_text texts[] = {{"The weather wasn't größer 😀 0800", 36},
                                  {"", 0},
                                  {NULL, 0},
                                  {"a\0b\0", 4},
                                  {"\xff\xc3 \xe2\x82", 5},
                                  {"<|endoftext|>x", 14}};
  static const char *const models[] = {llama, gpt2};
  for (int m = 0; m < 2; m++) {
    tx_tokenizer *tokenizer;
    MADE_OK(tx_tokenizer_open(models[m], made_directory, &tokenizer, error));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
      for (int special = 0; special < 2; special++) {
        tx_tokens tokens;
        char joined[100];
        size_t size = 0;
        MADE_OK(tx_tokenize(tokenizer, texts[i], special, &tokens, error));
        for (size_t t = 0; t < tokens.count; t++) {
          assert_true(tokens.ids[t] >= 0 && tokens.ids[t] < 421);
          assert_true(size + tokens.pieces[t].size <= sizeof joined);
          memcpy(joined + size, tokens.pieces[t].data, tokens.pieces[t].size);
          size += tokens.pieces[t].size;
        }
        assert_int_equal(size, texts[i].size);
        if (size) assert_memory_equal(joined, texts[i].data, size);
        if (i == 5) assert_true(special ? tokens.count == 2 : tokens.count > 5);
        tx_tokens_free(&tokens);
        assert_int_equal(tokens.count, 0);
      }
    }
    tx_tokenizer_close(tokenizer);
  }
  tx_tokenizer_close(NULL);
  tx_tokenizer *tokenizer = (tx_tokenizer *)1;
  MADE_FAILS(tx_tokenizer_open("Makefile", made_directory, &tokenizer, error), TX_ERROR_INPUT,
             "this is not a GGUF file");
  assert_null(tokenizer);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_model),
      cmocka_unit_test(test_a_classifier),
      cmocka_unit_test(test_strings_that_are_no_text),
      cmocka_unit_test(test_what_is_neither),
      cmocka_unit_test(test_pieces_join_to_the_text),
  };
  return cmocka_run_group_tests(tests, made_setup, made_teardown);
}
