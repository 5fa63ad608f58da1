/* The network scorer against artifacts made by hand: what it computes where that
 * is known beforehand, and every way in which an artifact and a base do not fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "tasks/made.h"
#include "formats/artifact_make.h"
#include "base/hash.h"
#include "score/network.h"

enum { WIDTH = 64 };

static char llama_hash[TX_SHA256_HEX], gpt2_hash[TX_SHA256_HEX];
static float weight[3 * WIDTH], bias[3], large[WIDTH * 100];

/* What a test spoils, and puts back by calling this. */
static made_tensor head[4];
static tx_artifact_facts reset(void) {
  memset(weight, 0, sizeof weight);
  bias[0] = 0, bias[1] = logf(2), bias[2] = logf(5);
  head[0] = (made_tensor){"head.weight", TX_TENSOR_F32, 2, {WIDTH, 3}, weight};
  head[1] = (made_tensor){"head.bias", TX_TENSOR_F32, 1, {3}, bias};
  head[2] = head[3] = (made_tensor){0};
  return good_facts(llama, llama_hash);
}

static int setup(void **state) {
  tx_error error = {0};
  if (made_setup(state) != 0) return -1;
  if (tx_sha256_file(llama, llama_hash, &error) != TX_OK) return -1;
  return tx_sha256_file(gpt2, gpt2_hash, &error) == TX_OK ? 0 : -1;
}

static const char *put(const tx_artifact_facts *facts) {
  MADE_OK(write_artifact(made("put.taxon"), facts, head, 4, error));
  return made("put.taxon");
}

static void refuse(const tx_artifact_facts *facts, const char *sentence) {
  tx_classifier *classifier = (tx_classifier *)&facts;
  tx_error error = {0};
  char got[1400], want[1400];
  const char *path = put(facts);
  tx_status status = tx_classifier_open(path, tx_classifier_defaults(), &classifier, &error);
  if (strncmp(sentence, "PATH", 4) == 0) {
    snprintf(want, sizeof want, "%.300s%s", path, sentence + 4);
  } else {
    snprintf(want, sizeof want, "%s", sentence);
  }
  tx_error_sentence(&error, got, sizeof got);
  assert_null(classifier);
  if (status != TX_ERROR_INPUT || error.status != TX_ERROR_INPUT || strcmp(got, want) != 0) {
    fail_msg("status %d '%s', not '%s'", (int)status, got, want);
  }
}

/* ---- what is computed -------------------------------------------------- */

/* Without weights the answer is the softmax of the biases, for any text, pooling
 * and depth. */
static void test_biases_alone(void **state) {
  (void)state;
  static const char *const poolings[] = {"last", "mean", "first"};
  for (int i = 0; i < 9; i++) {
    tx_artifact_facts facts = reset();
    facts.pooling = tx_text_of(poolings[i / 3]);
    facts.depth = 1 + i % 3;
    tx_classifier *classifier = made_open(put(&facts));
    tx_text texts[2] = {tx_text_of("The screen is bright"), tx_text_of("")};
    float p[6];
    tx_scored scored;
    MADE_OK(tx_classifier_predict(classifier, texts, 2, p, &scored, NULL, error));
    for (int k = 0; k < 6; k++) {
      assert_true(fabs((double)p[k] - (k % 3 == 0 ? 0.125 : k % 3 == 1 ? 0.25 : 0.625)) < 1e-7);
    }
    assert_int_equal(scored.texts, 2);
    assert_int_equal(scored.cut, 0);
    assert_string_equal(tx_classifier_label(classifier, 2), "mixed");
    assert_null(tx_classifier_label(classifier, 3));
    tx_classifier_close(classifier);
  }
}

/* A head that shows one feature at a time: logit difference is the feature. */
static float feature(tx_artifact_facts facts, int index, const char *text) {
  reset();
  memset(bias, 0, sizeof bias);
  weight[index] = 0.5f, weight[WIDTH + index] = -0.5f;
  bias[2] = -100;
  tx_classifier *classifier = made_open(put(&facts));
  tx_text one = tx_text_of(text);
  float p[3];
  MADE_OK(tx_classifier_predict(classifier, &one, 1, p, NULL, NULL, error));
  tx_classifier_close(classifier);
  return logf(p[0] / p[1]);
}

/* Pooling is what its name says: for a text of one token all are the same, for
 * a longer one they differ. */
static void test_poolings_differ(void **state) {
  (void)state;
  tx_artifact_facts facts[3] = {reset(), reset(), reset()};
  facts[1].pooling = tx_text_of("mean"), facts[2].pooling = tx_text_of("first");
  for (int index = 0; index < 3; index++) {
    float one[3], two[3], longer[3];
    for (int i = 0; i < 3; i++) {
      one[i] = feature(facts[i], index, "a");
      two[i] = feature(facts[i], index, "a longer text about the weather");
      longer[i] = feature(facts[i], index, "a longer text about the weather!");
    }
    assert_true(fabsf(one[0] - one[1]) < 1e-5f && fabsf(one[0] - one[2]) < 1e-5f);
    assert_true(fabsf(two[0] - two[1]) > 1e-4f && fabsf(two[0] - two[2]) > 1e-4f);
    assert_true(fabsf(two[0] - longer[0]) > 1e-4f && fabsf(two[1] - longer[1]) > 1e-4f);
    assert_true(fabsf(two[2] - longer[2]) < 1e-6f); /* the first token sees no other */
    assert_true(fabsf(two[2] - one[2]) < 1e-5f);
  }
}

/* A changed norm of the artifact takes the place of the base's. */
static void test_changed_tensors_are_used(void **state) {
  (void)state;
  tx_artifact_facts facts = reset();
  weight[0] = 1;
  for (int i = 0; i < WIDTH; i++) large[i] = 0;
  tx_text text = tx_text_of("The screen is bright");
  float p[2][3];
  for (int changed = 0; changed < 2; changed++) {
    if (changed) {
      head[2] = (made_tensor){"output_norm.weight", TX_TENSOR_F32, 1, {WIDTH}, large};
    }
    tx_classifier *classifier = made_open(put(&facts));
    MADE_OK(tx_classifier_predict(classifier, &text, 1, p[changed], NULL, NULL, error));
    tx_classifier_close(classifier);
  }
  assert_true(fabsf(p[0][0] - 0.125f) > 1e-4f);
  assert_true(fabsf(p[1][0] - 0.125f) < 1e-7f);
}

/* Finite weights, and an overflow on the way: no NaN is handed out as a probability. */
static void test_an_overflow_is_refused(void **state) {
  (void)state;
  tx_artifact_facts facts = reset();
  for (int i = 0; i < WIDTH; i++) large[i] = i % 2 ? 3e38f : -3e38f;
  for (int i = 0; i < 3 * WIDTH; i++) weight[i] = i % 3 ? 1e30f : -1e30f;
  head[2] = (made_tensor){"output_norm.weight", TX_TENSOR_F32, 1, {WIDTH}, large};
  tx_classifier *classifier = made_open(put(&facts));
  tx_text texts[2] = {tx_text_of("fine"), tx_text_of("The screen")};
  float p[6];
  MADE_FAILS(tx_classifier_predict(classifier, texts, 2, p, NULL, NULL, error), TX_ERROR_INPUT,
             "text 1 of this call gives no number: the classifier or its base "
             "tests/golden/tiny_llama.gguf holds weights that overflow; train it again");
  tx_classifier_close(classifier);
}

/* ---- what does not fit ------------------------------------------------- */

static void test_another_base(void **state) {
  (void)state;
  char sentence[1400];
  tx_artifact_facts facts = reset();
  facts.base_sha256 = tx_text_of(gpt2_hash);
  snprintf(sentence, sizeof sentence,
           "the classifier was trained on another base model: it needs SHA-256 %s, but %s has %s; "
           "pull the right model or train again on this one",
           gpt2_hash, llama, llama_hash);
  refuse(&facts, sentence);
  /* also where the artifact's own tensors do not fit that base */
  head[2] = (made_tensor){"blk.2.attn_output.weight", TX_TENSOR_F32, 2, {48, 48}, large};
  refuse(&facts, sentence);
  head[2] = (made_tensor){"output_norm.weight", TX_TENSOR_F32, 1, {48}, large};
  refuse(&facts, sentence);
  facts.base_name = tx_text_of("no/such/base.gguf");
  refuse(&facts, "cannot read no/such/base.gguf: No such file or directory; check the path");
  facts.base_name = tx_text_of("smollm2-135m");
  setenv("TAXON_HOME", made("home"), 1);
  refuse(&facts, "the model smollm2-135m is not here yet; run: taxon pull smollm2-135m");
  unsetenv("TAXON_HOME");
}

static void test_the_base_named_by_the_caller(void **state) {
  (void)state;
  tx_artifact_facts facts = reset();
  facts.base_name = tx_text_of("no/such/base.gguf");
  tx_classifier_options options = tx_classifier_defaults();
  tx_classifier *classifier;
  options.model = llama;
  MADE_OK(tx_classifier_open(put(&facts), options, &classifier, error));
  tx_classifier_close(classifier);
  options.model = gpt2;
  MADE_FAILS(tx_classifier_open(put(&facts), options, &classifier, error), TX_ERROR_INPUT,
             gpt2_hash);
  options.model = put(&facts);
  MADE_FAILS(tx_classifier_open(put(&facts), options, &classifier, error), TX_ERROR_INPUT,
             "this is a classifier, not a model; name the model it was trained on");
  options.model = llama, options.max_tokens = -1;
  MADE_FAILS(tx_classifier_open(put(&facts), options, &classifier, error), TX_ERROR_ARGUMENT,
             "max_tokens and batch_tokens must not be negative");
}

static void test_what_later_programs_may_write(void **state) {
  (void)state;
  tx_artifact_facts facts = reset();
  facts.pooling = tx_text_of("max\x1b[31m\n");
  refuse(&facts,
         "the pooling 'max?[31m?' is not known; it may be last, mean, first, both or attention");
  facts = reset();
  facts.pooling = tx_text_of("");
  refuse(&facts, "the pooling '' is not known; it may be last, mean, first, both or attention");
  facts = reset();
  facts.method = tx_text_of("dora");
  refuse(&facts,
         "PATH: the method 'dora' is not known; use the taxon that wrote it or train again");
  facts = reset();
  facts.text_template = tx_text_of("Review: {text}");
  refuse(&facts,
         "PATH: the template 'Review: {text}' is not known; use the taxon that wrote it or "
         "train again");
}

static void test_depth(void **state) {
  (void)state;
  tx_artifact_facts facts = reset();
  facts.depth = 4;
  refuse(&facts, "PATH runs 4 blocks, but its base has 3; the artifact is damaged, train it again");
}

static void test_heads_of_other_shapes(void **state) {
  (void)state;
  static const char sentence[] =
      "PATH: head.weight or head.bias is missing or not [64, 3] of F32; the artifact is damaged, "
      "train it again";
  for (int i = 0; i < 9; i++) {
    tx_artifact_facts facts = reset();
    switch (i) {
      case 0: head[0].data = NULL; break;
      case 1: head[1].data = NULL; break;
      case 2: head[0].shape[0] = 63; break;
      case 3: head[0].shape[1] = 2; break;
      case 4: head[0].dimensions = 1, head[0].shape[0] = 192; break;
      case 5: head[0].dimensions = 3, head[0].shape[2] = 1; break;
      case 6: head[0].type = TX_TENSOR_F16; break;
      case 7: head[1].shape[0] = 2; break;
      default: head[1].type = TX_TENSOR_I32; break;
    }
    refuse(&facts, sentence);
  }
}

static void test_heads_that_are_no_numbers(void **state) {
  (void)state;
  static const char sentence[] =
      "PATH: the head holds NaN or infinity; the artifact is damaged, train it again";
  tx_artifact_facts facts = reset();
  weight[3 * WIDTH - 1] = NAN;
  refuse(&facts, sentence);
  facts = reset();
  weight[0] = -INFINITY;
  refuse(&facts, sentence);
  facts = reset();
  bias[2] = NAN;
  refuse(&facts, sentence);
}

static void test_changed_tensors_that_do_not_fit(void **state) {
  (void)state;
  tx_classifier *classifier;
  tx_artifact_facts facts = reset();
  head[2] = (made_tensor){"blk.1.ffn_norm.weight", TX_TENSOR_F32, 1, {63}, large};
  MADE_FAILS(tx_classifier_open(put(&facts), tx_classifier_defaults(), &classifier, error),
             TX_ERROR_INPUT, "the tensor is [63, 1] of F32 but the model's sizes ask for [64, 1]");
  facts = reset();
  facts.depth = 3;
  for (int i = 0; i < WIDTH; i++) large[i] = i == 5 ? NAN : 1;
  head[2] = (made_tensor){"blk.1.ffn_norm.weight", TX_TENSOR_F32, 1, {64}, large};
  MADE_FAILS(tx_classifier_open(put(&facts), tx_classifier_defaults(), &classifier, error),
             TX_ERROR_INPUT, "blk.1.ffn_norm.weight: byte ");
}

static void test_names_of_poolings(void **state) {
  (void)state;
  for (int i = 0; i < 3; i++) {
    tx_pooling found = TX_POOLING_MEAN;
    MADE_OK(tx_pooling_find(tx_text_of(tx_pooling_name((tx_pooling)i)), &found, error));
    assert_int_equal(found, i);
  }
  tx_pooling found;
  assert_int_equal(tx_pooling_find((tx_text){"last\0", 5}, &found, NULL), TX_ERROR_INPUT);
  assert_int_equal(tx_pooling_find((tx_text){NULL, 0}, &found, NULL), TX_ERROR_INPUT);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_biases_alone),
      cmocka_unit_test(test_poolings_differ),
      cmocka_unit_test(test_changed_tensors_are_used),
      cmocka_unit_test(test_an_overflow_is_refused),
      cmocka_unit_test(test_another_base),
      cmocka_unit_test(test_the_base_named_by_the_caller),
      cmocka_unit_test(test_what_later_programs_may_write),
      cmocka_unit_test(test_depth),
      cmocka_unit_test(test_heads_of_other_shapes),
      cmocka_unit_test(test_heads_that_are_no_numbers),
      cmocka_unit_test(test_changed_tensors_that_do_not_fit),
      cmocka_unit_test(test_names_of_poolings),
  };
  return cmocka_run_group_tests(tests, setup, made_teardown);
}
