/* Learning to write: the loss against logits of the whole model, every gradient against
 * finite differences, of texts and of pairs, and the same bits in parts and on threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "golden.h"
#include "adapt/fit.h"
#include "adapt/language.h"
#include "base/random.h"
#include "model/decode.h"

enum { TEXTS = 4, LENGTH = 9, TOKENS = TEXTS * LENGTH };

typedef struct {
  tx_model *model;
  tx_pass pass;
  tx_language *language;
  tx_states states;
  int64_t offsets[TEXTS + 1];
  int32_t ids[TOKENS];
  uint8_t written[TOKENS];
  double start[TEXTS];
  tx_language_lesson lesson;
} fixture;

/* The last tokens of each text are to be written, and one in its middle. */
static void make_texts(fixture *f) {
  tx_random random = tx_random_seed(11);
  for (int i = 0; i < TOKENS; i++) {
    f->ids[i] = (int32_t)tx_random_below(&random, (uint64_t)tx_model_facts(f->model)->vocabulary);
    f->written[i] = i % LENGTH >= 5 || i % LENGTH == 2;
  }
  for (int i = 0; i <= TEXTS; i++) f->offsets[i] = i * LENGTH;
}

static void open_fixture(fixture *f, const char *name, tx_trained_part part, int64_t blocks,
                         bool pairs) {
  char path[64];
  *f = (fixture){0};
  snprintf(path, sizeof path, "tests/golden/tiny_%s.gguf", name);
  ASSERT_OK(tx_model_open(path, NULL, &f->model, error));
  const tx_facts *facts = tx_model_facts(f->model);
  ASSERT_OK(tx_model_load(f->model, 0, facts->blocks, error));
  ASSERT_OK(tx_pass_open(facts, &f->pass, error));
  make_texts(f);
  if (blocks == 0) blocks = facts->blocks;
  f->states = tx_states_of_ids(TEXTS, f->offsets, facts->width, f->ids);
  if (part != TX_TRAINED_MODEL) {
    ASSERT_OK(tx_states_new(TEXTS, f->offsets, facts->width, 1u << 20, ".", &f->states, error));
    tx_sequences sequences = {TEXTS, f->ids, f->offsets};
    ASSERT_OK(tx_trunk_run(f->model, &f->pass, &sequences, facts->blocks - blocks, 16,
                           f->states.rows, "", NULL, error));
  }
  tx_language_options options = {
      .blocks = blocks,
      .part = part,
      .adapter = {.rank = 2, .scale = 1.5, .targets = 127, .seed = 4},
      .positions = 64};
  ASSERT_OK(tx_language_new(f->model, options, &f->language, error));
  tx_written texts = {&f->states, f->ids, f->written};
  f->lesson = (tx_language_lesson){.language = f->language,
                                   .pass = &f->pass,
                                   .train = texts,
                                   .held_out = texts,
                                   .pairs = pairs,
                                   .beta = 0.5,
                                   .start = f->start,
                                   .held_out_start = f->start};
  ASSERT_OK(tx_language_nll(f->language, &f->pass, &texts, (tx_choice){NULL, 0}, f->start, NULL,
                            NULL, NULL, error));
}

static void close_fixture(fixture *f) {
  tx_language_free(f->language);
  tx_states_free(&f->states);
  tx_pass_close(&f->pass);
  tx_model_close(f->model);
}

/* Away from where everything is even: B of adapters is zero, pairs have no margin. */
static void move(fixture *f) {
  tx_parameters *set = tx_language_parameters(f->language);
  tx_random random = tx_random_seed(9);
  for (int64_t i = 0; i < set->count; i++) {
    const tx_parameter *p = &set->items[i];
    for (int64_t k = 0; k < p->outputs * p->inputs; k++) {
      p->value[k] += 0.02f * (float)tx_random_normal(&random);
    }
  }
  tx_parameters_pack(set);
}

/* -log p of text 1's written tokens, from the whole model's logits. */
static double nll_by_decoding(const fixture *f, int text) {
  tx_decode *decode;
  int slot;
  int64_t vocabulary = tx_model_facts(f->model)->vocabulary;
  float *logits = checked_memory((size_t)(LENGTH * vocabulary) * sizeof *logits);
  ASSERT_OK(tx_decode_new(f->model, &decode, error));
  ASSERT_OK(tx_decode_start(decode, NULL, &slot, error));
  tx_feed feed = {slot, f->ids + text * LENGTH, LENGTH, LENGTH};
  ASSERT_OK(tx_decode_run(decode, &feed, 1, logits, NULL, error));
  double nll = 0;
  for (int i = 1; i < LENGTH; i++) {
    if (!f->written[text * LENGTH + i]) continue;
    const float *row = logits + (i - 1) * vocabulary;
    double sum = 0;
    for (int64_t v = 0; v < vocabulary; v++) sum += exp((double)row[v]);
    nll += log(sum) - (double)row[f->ids[text * LENGTH + i]];
  }
  tx_decode_free(decode);
  free(logits);
  return nll;
}

static void test_likelihoods(void **state) {
  (void)state;
  static const char *const names[] = {"llama", "gpt2"};
  for (int n = 0; n < 2; n++) {
    fixture f;
    double nll[TEXTS];
    int64_t tokens[TEXTS], right[TEXTS];
    open_fixture(&f, names[n], TX_TRAINED_ADAPTERS, 0, false);
    ASSERT_OK(tx_language_nll(f.language, &f.pass, &f.lesson.train, (tx_choice){NULL, 0}, nll,
                              tokens, right, NULL, error));
    for (int i = 0; i < TEXTS; i++) {
      double want = nll_by_decoding(&f, i);
      if (fabs(nll[i] - want) > 1e-4 * want) fail_msg("%s, text %d: %g", names[n], i, nll[i]);
      assert_int_equal(tokens[i], 5);
      assert_true(right[i] >= 0 && right[i] <= 5);
    }
    const int64_t one = 2;
    double alone;
    ASSERT_OK(tx_language_nll(f.language, &f.pass, &f.lesson.train, (tx_choice){&one, 1}, &alone,
                              NULL, NULL, NULL, error));
    assert_true(alone == nll[2]); /* alone or in a batch */
    close_fixture(&f);
  }
}

/* ---- gradients --------------------------------------------------------- */

static double gradient(fixture *f, int64_t part) {
  tx_learner learner = tx_language_learner(&f->lesson);
  static const int64_t order[TEXTS] = {2, 0, 3, 1};
  int64_t pairs[TEXTS / 2] = {1, 0}, count = learner.examples;
  const int64_t *examples = f->lesson.pairs ? pairs : order;
  double loss = 0, total = 0;
  for (int64_t i = 0; i < count; i++) total += learner.weight(learner.self, i);
  tx_parameters_clear(learner.parameters);
  for (int64_t at = 0; at < count; at += part) {
    ASSERT_OK(learner.gradient(learner.self, examples + at, part, total, &loss, error));
  }
  learner.finish(learner.self);
  return loss;
}

static double loss_of(fixture *f) {
  tx_learner learner = tx_language_learner(&f->lesson);
  double loss, accuracy;
  ASSERT_OK(learner.judge(learner.self, &loss, &accuracy, NULL, error));
  assert_true(accuracy >= 0 && accuracy <= 1);
  return loss;
}

static void check_differences(const char *name, tx_trained_part part, int64_t blocks, bool pairs) {
  fixture f;
  open_fixture(&f, name, part, blocks, pairs);
  move(&f);
  tx_parameters *set = tx_language_parameters(f.language);
  double loss = gradient(&f, pairs ? TEXTS / 2 : TEXTS);
  if (fabs(loss - loss_of(&f)) > 1e-6) fail_msg("%s: %g, judged %g", name, loss, loss_of(&f));
  for (int64_t i = 0; i < set->count; i++) {
    tx_parameter *p = &set->items[i];
    size_t count = (size_t)(p->outputs * p->inputs);
    double square = 0, losses[2];
    float *start = checked_memory(count * 4), *slope = checked_memory(count * 4);
    memcpy(start, p->value, count * 4), memcpy(slope, p->gradient, count * 4);
    for (size_t j = 0; j < count; j++) square += (double)slope[j] * (double)slope[j];
    double step = 4e-3 / (sqrt(square) + 1e-3);
    for (int side = 0; side < 2; side++) {
      for (size_t j = 0; j < count; j++) {
        p->value[j] = (float)((double)start[j] + (side ? -step : step) * (double)slope[j]);
      }
      tx_parameters_pack(set);
      losses[side] = loss_of(&f);
    }
    memcpy(p->value, start, count * 4);
    tx_parameters_pack(set);
    double numeric = (losses[0] - losses[1]) / (2 * step);
    if (fabs(numeric - square) > 0.02 * square + 2e-5) {
      fail_msg("%s, %s: difference %g, gradient %g", name, p->name, numeric, square);
    }
    free(start), free(slope);
  }
  close_fixture(&f);
}

static void test_finite_differences(void **state) {
  (void)state;
  for (int pairs = 0; pairs < 2; pairs++) {
    check_differences("llama", TX_TRAINED_ADAPTERS, 0, pairs);
    check_differences("gpt2", TX_TRAINED_ADAPTERS, 0, pairs);
    check_differences("llama", TX_TRAINED_ALL, 1, pairs);
    check_differences("llama", TX_TRAINED_NORMS, 2, pairs);
    check_differences("llama", TX_TRAINED_MODEL, 0, pairs);
    check_differences("gpt2", TX_TRAINED_MODEL, 0, pairs);
  }
}

static float *all_gradients(fixture *f, size_t *floats) {
  const tx_parameters *set = tx_language_parameters(f->language);
  *floats = (size_t)set->values;
  float *all = checked_memory(*floats * 4), *at = all;
  for (int64_t i = 0; i < set->count; i++) {
    size_t count = (size_t)(set->items[i].outputs * set->items[i].inputs);
    memcpy(at, set->items[i].gradient, count * 4), at += count;
  }
  return all;
}

static void test_parts_and_threads(void **state) {
  (void)state;
  for (int pairs = 0; pairs < 2; pairs++) {
    fixture f;
    size_t floats;
    open_fixture(&f, "llama", TX_TRAINED_MODEL, 0, pairs);
    move(&f);
    tx_set_threads(1);
    double loss = gradient(&f, pairs ? TEXTS / 2 : TEXTS);
    float *whole = all_gradients(&f, &floats);
    tx_set_threads(3);
    double again = gradient(&f, 1);
    float *parts = all_gradients(&f, &floats);
    assert_memory_equal(whole, parts, floats * 4);
    assert_true(loss == again);
    free(whole), free(parts);
    close_fixture(&f);
  }
  tx_set_threads(0);
}

/* ---- learning ---------------------------------------------------------- */

static void test_it_learns(void **state) {
  (void)state;
  for (int pairs = 0; pairs < 2; pairs++) {
    fixture f;
    open_fixture(&f, "llama", TX_TRAINED_ADAPTERS, 0, pairs);
    tx_learner learner = tx_language_learner(&f.lesson);
    double before, accuracy, loss;
    ASSERT_OK(learner.judge(learner.self, &before, &accuracy, NULL, error));
    if (pairs) assert_true(fabs(before - log(2)) < 1e-12 && accuracy == 0); /* no margin yet */
    tx_fit_options options = {.epochs = 60, .batch = 2, .accumulate = 1, .learning_rate = 0.02};
    tx_fit_report report;
    ASSERT_OK(tx_fit(&learner, options, &report, NULL, error));
    ASSERT_OK(learner.judge(learner.self, &loss, &accuracy, NULL, error));
    assert_true(loss < 0.2 * before && accuracy > 0.9);
    close_fixture(&f);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_likelihoods),
      cmocka_unit_test(test_finite_differences),
      cmocka_unit_test(test_parts_and_threads),
      cmocka_unit_test(test_it_learns),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
