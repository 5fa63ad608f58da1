/* --method norms, lora and full from table to answers: they learn, the same bytes on any
 * number of threads; adapters added to the matrices or kept beside them give the
 * same answers but for rounding; and what cannot be is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "made.h"
#include "formats/artifact.h"
#include "formats/gguf_write.h"
#include "taxon.h"

enum { TEXTS = 21 };

/* Of the validation table's texts: (TEXTS, labels). */
static float *answers(const char *path, bool apart, tx_precision precision) {
  tx_classifier_options options = tx_classifier_defaults();
  options.home = made_directory;
  options.adapters_apart = apart;
  options.precision = precision;
  tx_classifier *classifier = NULL;
  MADE_OK(tx_classifier_open(path, options, &classifier, error));
  static char lines[TEXTS][1000];
  tx_text texts[TEXTS];
  tx_random random = tx_random_seed(3);
  for (int i = 0; i < TEXTS; i++) {
    make_text(&random, i % 3, lines[i], sizeof lines[i]);
    texts[i] = tx_text_of(lines[i]);
  }
  float *probabilities = calloc(TEXTS * 3, sizeof *probabilities);
  MADE_OK(tx_classifier_predict(classifier, texts, TEXTS, probabilities, NULL, NULL, error));
  tx_classifier_close(classifier);
  return probabilities;
}

static double difference(const float *a, const float *b) {
  double most = 0;
  for (int i = 0; i < TEXTS * 3; i++) most = fmax(most, fabs((double)a[i] - (double)b[i]));
  return most;
}

static tx_train_options options_for(const char *model, tx_method method, const char *out) {
  tx_train_options options = made_options(model, made(out));
  options.method = method;
  options.rank = 4;
  options.patience = options.epochs = 4;
  options.learning_rate = method == TX_METHOD_FULL ? 5e-4 : 5e-3;
  return options;
}

static void check_learns(const char *model, tx_method method) {
  tx_train_options options = options_for(model, method, "learns.taxon");
  tx_train_report report = made_train(options);
  assert_int_equal(report.method, method);
  assert_true(report.best_epoch > 0);
  options.method = TX_METHOD_HEAD;
  options.out = made("head.taxon");
  tx_train_report head = made_train(options);
  assert_true(report.val_nll < head.val_nll);
  /* What the artifact answers is what was measured in training. */
  tx_classifier *classifier = made_open(made("learns.taxon"));
  tx_evaluation evaluation;
  MADE_OK(tx_evaluate(classifier, options.validation, options.table, &evaluation, NULL, error));
  assert_true(fabs(evaluation.nll - report.val_nll) < 1e-5);
  tx_evaluation_free(&evaluation);
  tx_classifier_close(classifier);
}

/* Each way that a text may be read or steps be taken: it differs from the plain one, and the
 * artifact answers as was measured. */
static void test_ways_of_training(void **state) {
  (void)state;
  static const char *const ways[] = {"plain", "pooling",      "two-way", "padded", "dora",
                                     "drops", "by tokens", "two-way and padded", "all two-way"};
  double plain = 0;
  for (size_t way = 0; way < sizeof ways / sizeof *ways; way++) {
    for (int which = 0; which < 2; which++) {
      tx_train_options options = options_for(which ? gpt2 : llama, TX_METHOD_LORA, "way.taxon");
      if (way == 1) options.pooling = TX_POOLING_ATTENTION;
      if (way == 2 || way == 7) options.attention = TX_ATTENTION_BIDIRECTIONAL;
      if (way == 8) options.attention = TX_ATTENTION_TWO_WAY, options.blocks = 1;
      if (way == 3 || way == 7) options.pad_to = 40;
      if (way == 4) options.dora = true;
      if (way == 5) options.dropout = 0.2;
      if (way == 6) options.batch_tokens = 60;
      tx_train_report report = made_train(options);
      if (way == 0) plain = which ? plain : report.val_nll;
      if (way > 0 && which == 0 && report.val_nll == plain) {
        fail_msg("%s changes nothing", ways[way]);
      }
      tx_classifier *classifier = made_open(made("way.taxon"));
      tx_evaluation evaluation;
      MADE_OK(tx_evaluate(classifier, options.validation, options.table, &evaluation, NULL, error));
      if (fabs(evaluation.nll - report.val_nll) > 1e-5) {
        fail_msg("%s: %g in training, %g later", ways[way], report.val_nll, evaluation.nll);
      }
      tx_evaluation_free(&evaluation);
      tx_classifier_close(classifier);
      float *merged = answers(made("way.taxon"), false, TX_PRECISION_F32);
      float *apart = answers(made("way.taxon"), true, TX_PRECISION_F32);
      if (difference(merged, apart) > 1e-5) {
        fail_msg("%s: %g", ways[way], difference(merged, apart));
      }
      free(merged), free(apart);
    }
  }
}

static void test_they_learn(void **state) {
  (void)state;
  check_learns(llama, TX_METHOD_NORMS);
  check_learns(gpt2, TX_METHOD_NORMS);
  check_learns(llama, TX_METHOD_LORA);
  check_learns(gpt2, TX_METHOD_LORA);
  check_learns(llama, TX_METHOD_FULL);
  check_learns(gpt2, TX_METHOD_FULL);
}

static void check_adapters(const char *model, tx_targets targets, int rank, bool stabilised) {
  tx_train_options options = options_for(model, TX_METHOD_LORA, "lora.taxon");
  options.targets = targets;
  options.rank = rank;
  options.rank_stabilised = stabilised;
  options.blocks = 2;
  made_train(options);
  float *merged = answers(options.out, false, TX_PRECISION_F32);
  float *apart = answers(options.out, true, TX_PRECISION_F32);
  options.out = made("head.taxon"), options.method = TX_METHOD_HEAD;
  options.penalty = 0.01;
  made_train(options);
  float *head = answers(options.out, false, TX_PRECISION_F32);
  assert_true(difference(merged, apart) < 2e-6);
  assert_true(difference(merged, head) > 1e-3);
  free(merged), free(apart), free(head);
}

static void test_merged_or_apart(void **state) {
  (void)state;
  check_adapters(llama, TX_TARGETS_ALL, 4, false);
  check_adapters(llama, TX_TARGETS_ATTENTION, 1, true);
  check_adapters(gpt2, TX_TARGETS_QUERY_VALUE, 3, false);
  check_adapters(gpt2, TX_TARGETS_ALL, 2, true);
}

/* How the adapters were made is known of the file. */
static void test_described(void **state) {
  (void)state;
  static const char *const wanted[] = {"\"rank\":4", "\"scale\":1.5", "\"dropout\":0.25",
                                       "\"dora\":true", "\"batch_tokens\":60"};
  tx_train_options options = options_for(llama, TX_METHOD_LORA, "described.taxon");
  options.rank = 4, options.alpha = 6, options.dropout = 0.25, options.dora = true;
  options.batch_tokens = 60, options.epochs = 1;
  made_train(options);
  char *text = NULL;
  MADE_OK(tx_describe_json(options.out, made_directory, &text, error));
  char *packed = text;
  for (const char *at = text; *at; at++) {
    if (*at != ' ' && *at != '\n') *packed++ = *at;
  }
  *packed = '\0';
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
    if (!strstr(text, wanted[i])) fail_msg("%s is not in %s", wanted[i], text);
  }
  tx_free_string(text);
}

/* Beside matrices of bytes too. */
static void test_apart_in_int8(void **state) {
  (void)state;
  tx_train_options options = options_for(llama, TX_METHOD_LORA, "lora.taxon");
  made_train(options);
  float *f32 = answers(options.out, true, TX_PRECISION_F32);
  float *int8 = answers(options.out, true, TX_PRECISION_INT8);
  float *merged = answers(options.out, false, TX_PRECISION_INT8); /* changed matrices: f32 */
  assert_true(difference(f32, int8) > 0 && difference(f32, int8) < 0.05);
  assert_true(difference(f32, merged) < 2e-6);
  free(f32), free(int8), free(merged);
}

static void test_the_same_bytes_on_any_threads(void **state) {
  (void)state;
  static const tx_method methods[] = {TX_METHOD_NORMS, TX_METHOD_LORA, TX_METHOD_FULL};
  for (int i = 0; i < 3; i++) {
    tx_method method = methods[i];
    tx_train_options options = options_for(llama, method, "one.taxon");
    options.epochs = 1;
    made_train(options);
    tx_set_threads(3);
    options.out = made("three.taxon");
    made_train(options);
    tx_set_threads(1);
    assert_true(same_files(made("one.taxon"), made("three.taxon")));
  }
}

static void test_what_cannot_be(void **state) {
  (void)state;
  tx_train_report report;
  tx_train_options options = options_for(llama, TX_METHOD_LORA, "no.taxon"), plain = options;
  options.rank = 65;
  MADE_FAILS(
      tx_train(&options, &report, NULL, error), TX_ERROR_ARGUMENT,
      "--rank is 65, but attn_q of tests/golden/tiny_llama.gguf is 64 by 64; it may be up to 64");
  options = plain, options.rank = 0;
  MADE_FAILS(tx_train(&options, &report, NULL, error), TX_ERROR_ARGUMENT, "rank is 0");
  options = plain, options.blocks = 4;
  MADE_FAILS(tx_train(&options, &report, NULL, error), TX_ERROR_ARGUMENT,
             "--blocks is 4, but tests/golden/tiny_llama.gguf has 3 blocks");
  options = plain, options.precision = TX_PRECISION_INT8;
  MADE_FAILS(tx_train(&options, &report, NULL, error), TX_ERROR_ARGUMENT,
             "--method lora trains through blocks that stay f32");
  options = plain, options.method = TX_METHOD_FULL, options.blocks = 2;
  MADE_FAILS(tx_train(&options, &report, NULL, error), TX_ERROR_ARGUMENT,
             "--method full trains all blocks that are run; for 2 of them");
  options = plain, options.targets = (tx_targets)3;
  MADE_FAILS(tx_train(&options, &report, NULL, error), TX_ERROR_ARGUMENT, "targets is 3");
  assert_int_equal(access(made("no.taxon"), F_OK), -1);
}

/* The sweep takes the rate that is the best of the eight tried one by one, and then
 * trains as if it had been given. */
static void test_the_sweep_of_rates(void **state) {
  (void)state;
  tx_train_options options = options_for(llama, TX_METHOD_LORA, "sweep.taxon");
  options.epochs = options.patience = 1;
  options.learning_rate = 0;
  options.sweep = true;
  tx_train_report swept = made_train(options);
  options.sweep = false;
  options.out = made("one.taxon");
  double lowest = INFINITY, best = 0;
  for (int i = -4; i < 4; i++) {
    options.learning_rate = 2e-4 * pow(10, i / 3.0);
    tx_train_report one = made_train(options);
    if (one.best_epoch == 0 || one.val_nll >= lowest) continue;
    lowest = one.val_nll, best = options.learning_rate;
  }
  assert_true(fabs(swept.learning_rate / best - 1) < 1e-9);
  options.learning_rate = swept.learning_rate;
  made_train(options);
  assert_true(same_files(made("one.taxon"), made("sweep.taxon")));
}

/* One of two tensors left out, or of a wrong shape or type: named. */
static void check_broken(const char *leave, const char *rename, int64_t rank, tx_tensor_type type,
                         const char *part) {
  static const float zeros[64 * 64];
  tx_gguf *good;
  tx_artifact_facts facts;
  MADE_OK(tx_artifact_open(made("lora.taxon"), &good, &facts, error));
  tx_gguf_writer *writer = tx_gguf_writer_new();
  tx_artifact_add_facts(writer, &facts);
  for (size_t i = 0; i < tx_gguf_tensor_count(good); i++) {
    const tx_tensor *t = tx_gguf_tensor_at(good, i);
    if (leave && strcmp(t->name, leave) == 0) continue;
    bool other = rename && strcmp(t->name, rename) == 0;
    int64_t shape[2] = {t->shape[0], other ? rank : t->shape[1]};
    tx_gguf_add_tensor(writer, t->name, other ? type : t->type, (int)t->dimensions, shape,
                       other ? (const void *)zeros : t->data);
  }
  MADE_OK(tx_gguf_commit(writer, made("broken.taxon"), error));
  tx_gguf_writer_free(writer);
  tx_gguf_close(good);
  tx_classifier_options options = tx_classifier_defaults();
  options.home = made_directory;
  tx_classifier *classifier = NULL;
  MADE_FAILS(tx_classifier_open(made("broken.taxon"), options, &classifier, error), TX_ERROR_INPUT,
             part);
}

static void test_broken_adapters(void **state) {
  (void)state;
  made_train(options_for(llama, TX_METHOD_LORA, "lora.taxon"));
  check_broken("blk.1.attn_k.weight.lora_b", NULL, 0, TX_TENSOR_F32,
               "there is blk.1.attn_k.weight.lora_a but no blk.1.attn_k.weight.lora_b");
  check_broken("blk.0.ffn_up.weight.lora_a", NULL, 0, TX_TENSOR_F32,
               "there is blk.0.ffn_up.weight.lora_b but no blk.0.ffn_up.weight.lora_a");
  check_broken(NULL, "blk.2.attn_q.weight.lora_a", 3, TX_TENSOR_F32,
               "the tensor is [4, 64] of F32 but the model's sizes ask for [3, 64]");
  check_broken(NULL, "blk.2.attn_q.weight.lora_a", 4, TX_TENSOR_F16, "must be F32");
}

/* Rows of embeddings that do not fit. */
static void test_broken_embeddings(void **state) {
  (void)state;
  made_train(options_for(gpt2, TX_METHOD_FULL, "lora.taxon"));
  check_broken("token_embd.ids", NULL, 0, TX_TENSOR_F32,
               "token_embd.ids and token_embd.rows do not fit the model");
  check_broken(NULL, "token_embd.rows", 3, TX_TENSOR_F32,
               "token_embd.ids and token_embd.rows do not fit the model");
  check_broken(NULL, "token_embd.ids", 1, TX_TENSOR_I32, "does not rise within the vocabulary");
  check_broken(NULL, "position_embd.rows", 5, TX_TENSOR_F16,
               "position_embd.rows does not fit the model");
}

/* NaN in a tensor of the artifact: it is the artifact that is named, not the base. */
static void check_not_finite(const char *name, bool apart) {
  const float nan = (float)__builtin_nan("");
  tx_gguf *good;
  tx_artifact_facts facts;
  uint64_t size;
  MADE_OK(tx_artifact_open(made("lora.taxon"), &good, &facts, error));
  const unsigned char *bytes = tx_gguf_bytes(good, &size);
  char *copy = tx_copy_bytes((const char *)bytes, size);
  const tx_tensor *tensor = tx_gguf_tensor(good, name);
  for (uint64_t at = 0; at < tensor->size; at += sizeof nan) {
    memcpy(copy + (tensor->data - bytes) + at, &nan, sizeof nan);
  }
  write_bytes(made("broken.taxon"), copy, size);
  tx_gguf_close(good);
  tx_free(copy);
  tx_classifier_options options = tx_classifier_defaults();
  options.home = made_directory, options.adapters_apart = apart;
  const tx_text text = {"the", 3};
  float answers[8];
  tx_classifier *classifier = NULL;
  tx_error error = {0};
  tx_status status = tx_classifier_open(made("broken.taxon"), options, &classifier, &error);
  if (status == TX_OK) {
    status = tx_classifier_predict(classifier, &text, 1, answers, NULL, NULL, &error);
  }
  tx_classifier_close(classifier);
  char sentence[1400], wanted[200];
  tx_error_sentence(&error, sentence, sizeof sentence);
  snprintf(wanted, sizeof wanted, "broken.taxon: %s: byte", name);
  if (status != TX_ERROR_INPUT || !strstr(sentence, wanted)) {
    fail_msg("%d %s", (int)status, sentence);
  }
}

static void test_damage_is_the_artifacts(void **state) {
  (void)state;
  made_train(options_for(llama, TX_METHOD_LORA, "lora.taxon"));
  check_not_finite("blk.1.attn_k.weight.lora_a", false);
  check_not_finite("blk.1.attn_k.weight.lora_b", false);
  check_not_finite("blk.1.attn_k.weight.lora_b", true);
  made_train(options_for(llama, TX_METHOD_FULL, "lora.taxon"));
  check_not_finite("token_embd.rows", false);
}

/* An artifact's tensor that the base has not is no tensor to pass over. */
static void test_tensors_of_another_model(void **state) {
  (void)state;
  tx_train_options options = options_for(llama, TX_METHOD_LORA, "whole.taxon");
  made_train(options);
  tx_gguf *whole;
  MADE_OK(tx_gguf_open(made("whole.taxon"), &whole, error));
  static const char *const names[] = {"blk.9.attn_q.weight.lora_a", "blk.0.attn_x.weight",
                                      "token_embd.other", "blk.0.attn_q.weight.lora_c"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    tx_gguf_writer *writer = tx_gguf_writer_new();
    static const float value[4] = {1, 2, 3, 4};
    const int64_t shape[] = {4};
    tx_gguf_add_all(writer, whole, NULL, 0);
    tx_gguf_add_tensor(writer, names[i], TX_TENSOR_F32, 1, shape, value);
    MADE_OK(tx_gguf_commit(writer, made("more.taxon"), error));
    tx_gguf_writer_free(writer);
    tx_classifier *classifier;
    tx_classifier_options with = tx_classifier_defaults();
    with.home = made_directory;
    MADE_FAILS(tx_classifier_open(made("more.taxon"), with, &classifier, error), TX_ERROR_INPUT,
               "the base has no such tensor");
  }
  tx_gguf_close(whole);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_they_learn),
      cmocka_unit_test(test_ways_of_training),
      cmocka_unit_test(test_tensors_of_another_model),
      cmocka_unit_test(test_merged_or_apart),
      cmocka_unit_test(test_described),
      cmocka_unit_test(test_apart_in_int8),
      cmocka_unit_test(test_the_same_bytes_on_any_threads),
      cmocka_unit_test(test_what_cannot_be),
      cmocka_unit_test(test_the_sweep_of_rates),
      cmocka_unit_test(test_broken_adapters),
      cmocka_unit_test(test_broken_embeddings),
      cmocka_unit_test(test_damage_is_the_artifacts),
  };
  return cmocka_run_group_tests(tests, made_setup, made_teardown);
}
