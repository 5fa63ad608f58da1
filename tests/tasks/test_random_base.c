/* Models with random weights: the same bytes for one seed on any number of threads, the
 * distribution they are drawn from, sizes, names, and a training on one from end to end. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "made.h"
#include "formats/gguf.h"
#include "model/model.h"
#include "tasks/random_base.h"
#include "taxon.h"

static void make(const char *base, int64_t blocks, int64_t width, uint64_t seed, char name[256],
                 char path[4096]) {
  MADE_OK(tx_random_base(made_directory, base, base, blocks, width, seed, name, path, NULL, error));
}

static uint8_t *bytes_of(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  assert_non_null(file);
  fseek(file, 0, SEEK_END);
  *size = (size_t)ftell(file);
  rewind(file);
  uint8_t *bytes = malloc(*size);
  assert_non_null(bytes);
  assert_int_equal(fread(bytes, 1, *size, file), *size);
  fclose(file);
  return bytes;
}

static void test_one_seed_one_model(void **state) {
  (void)state;
  char name[256], path[4096], other[4096];
  size_t sizes[3];
  uint8_t *bytes[3];
  make(llama, 2, 64, 5, name, path);
  assert_string_equal(name, "tiny_llama-random-2x64-s5");
  bytes[0] = bytes_of(path, &sizes[0]);
  make(llama, 2, 64, 5, name, other); /* it is there */
  assert_string_equal(path, other);
  remove(path);
  tx_set_threads(3);
  make(llama, 2, 64, 5, name, path);
  tx_set_threads(1);
  bytes[1] = bytes_of(path, &sizes[1]);
  make(llama, 2, 64, 6, name, other);
  bytes[2] = bytes_of(other, &sizes[2]);
  assert_int_equal(sizes[0], sizes[1]);
  assert_memory_equal(bytes[0], bytes[1], sizes[0]);
  assert_true(sizes[0] == sizes[2] && memcmp(bytes[0], bytes[2], sizes[0]) != 0);
  for (int i = 0; i < 3; i++) free(bytes[i]);
}

static void check_spread(const tx_gguf *gguf, const char *name, double want) {
  const tx_tensor *tensor = tx_gguf_tensor(gguf, name);
  assert_non_null(tensor);
  const float *values = (const float *)(const void *)tensor->data;
  int64_t count = tensor->shape[0] * tensor->shape[1];
  double sum = 0, square = 0;
  for (int64_t i = 0; i < count; i++) {
    sum += (double)values[i], square += (double)values[i] * (double)values[i];
  }
  double mean = sum / (double)count, deviation = sqrt(square / (double)count);
  if (fabs(mean) > 4 * want / sqrt((double)count) || fabs(deviation / want - 1) > 0.1) {
    fail_msg("%s: mean %g, deviation %g, not %g", name, mean, deviation, want);
  }
}

static void test_sizes_and_spread(void **state) {
  (void)state;
  static const char *const bases[] = {llama, gpt2};
  for (int b = 0; b < 2; b++) {
    char name[256], path[4096];
    tx_model *base, *model;
    MADE_OK(tx_model_open(bases[b], NULL, &base, error));
    const tx_facts *of = tx_model_facts(base);
    make(bases[b], 5, 2 * of->head_size, 1, name, path);
    MADE_OK(tx_model_open(path, NULL, &model, error));
    const tx_facts *facts = tx_model_facts(model);
    assert_true(facts->blocks == 5 && facts->width == 2 * of->head_size && facts->heads == 2);
    assert_true(facts->vocabulary == of->vocabulary && facts->head_size == of->head_size);
    const tx_gguf *gguf = tx_model_gguf(model);
    check_spread(gguf, "token_embd.weight", 0.02);
    check_spread(gguf, "blk.4.ffn_up.weight", 0.02);
    check_spread(gguf, "blk.0.ffn_down.weight", 0.02 / sqrt(10));
    MADE_OK(tx_model_load(model, 0, 5, error));
    const tx_norm *norm = &tx_model_block(model, 3)->norm[TX_NORM_MLP];
    for (int64_t i = 0; i < facts->width; i++) assert_true(norm->weight[i] == 1);
    tx_model_close(model), tx_model_close(base);
  }
}

static void test_what_is_refused(void **state) {
  (void)state;
  char name[256], path[4096];
  MADE_FAILS(tx_random_base(made_directory, llama, llama, 2, 9, 0, name, path, NULL, error),
             TX_ERROR_ARGUMENT, "--width is 9; it must be a multiple of the head size");
  MADE_FAILS(tx_random_base(made_directory, "no.gguf", "no", 2, 0, 0, name, path, NULL, error),
             TX_ERROR_INPUT, "no.gguf");
  make(llama, 1, 0, 3, name, path);
  MADE_FAILS(tx_random_base(made_directory, llama, "x/tiny_llama.gguf", 1, 0, 3, name, path, NULL,
                            error),
             TX_ERROR_INPUT, "another model is called tiny_llama-random-1x64-s3 already");
  /* The same name, of another file: one of another directory. */
  MADE_FAILS(tx_random_base(made_directory, gpt2, llama, 1, 64, 3, name, path, NULL, error),
             TX_ERROR_INPUT, "another model is called tiny_llama-random-1x64-s3 already");
  tx_train_options options = made_options(llama, made("x.taxon"));
  tx_train_report report;
  options.layers = 2;
  MADE_FAILS(tx_train(&options, &report, NULL, error), TX_ERROR_ARGUMENT,
             "--layers is of a model with random weights: give --init random too");
  options.init = TX_INIT_RANDOM, options.seeds = 2;
  MADE_FAILS(tx_train(&options, &report, NULL, error), TX_ERROR_ARGUMENT,
             "--seeds goes over one model, and --init random draws another for each seed");
}

static void test_training_from_scratch(void **state) {
  (void)state;
  tx_train_options options = made_options(llama, made("scratch.taxon"));
  options.init = TX_INIT_RANDOM;
  options.layers = 2;
  options.method = TX_METHOD_FULL;
  options.head_solver = TX_HEAD_SGD;
  options.epochs = options.patience = 6;
  options.learning_rate = 3e-3;
  tx_train_report report = made_train(options);
  assert_true(report.depth == 2 && report.val_accuracy > 0.8);
  tx_classifier *classifier = made_open(made("scratch.taxon")); /* its base is found by its name */
  tx_evaluation evaluation;
  MADE_OK(tx_evaluate(classifier, options.validation, options.table, &evaluation, NULL, error));
  assert_true(fabs(evaluation.nll - report.val_nll) < 1e-5);
  tx_evaluation_free(&evaluation);
  tx_classifier_close(classifier);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_one_seed_one_model),
      cmocka_unit_test(test_sizes_and_spread),
      cmocka_unit_test(test_what_is_refused),
      cmocka_unit_test(test_training_from_scratch),
  };
  return cmocka_run_group_tests(tests, made_setup, made_teardown);
}
