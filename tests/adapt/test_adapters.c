/* Adapters with magnitudes (DoRA) and with dropout: gradients against finite differences,
 * and against plain adapters over a model whose rows have the lengths already; what is left
 * out, how much, and the same in whatever batch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "golden.h"
#include "adapt/tail.h"
#include "base/random.h"
#include "formats/gguf_write.h"

enum { TEXTS = 3, LENGTH = 6, TOKENS = TEXTS * LENGTH, CLASSES = 3, BLOCKS = 2 };
static const int32_t labels[TEXTS] = {1, 0, 2};
static const tx_truth truth = {labels, NULL, NULL};
static const tx_choice all = {NULL, 0};

typedef struct {
  tx_model *model;
  tx_pass pass;
  tx_tail *tail;
  tx_states states;
  int64_t offsets[TEXTS + 1];
  int32_t ids[TOKENS];
} fixture;

/* Away from zero, where A has no gradient; the same values under the same names. */
static void set_values(fixture *f) {
  tx_parameters *set = tx_tail_parameters(f->tail);
  for (int64_t i = 0; i < set->count; i++) {
    const tx_parameter *p = &set->items[i];
    uint64_t seed = 7;
    for (const char *c = p->name; *c; c++) seed = seed * 31 + (uint64_t)*c;
    tx_random random = tx_random_seed(seed);
    for (int64_t k = 0; k < p->outputs * p->inputs; k++) {
      double noise = tx_random_normal(&random);
      if (strstr(p->name, ".lora_b") || !strncmp(p->name, "head.", 5)) {
        p->value[k] = (float)(0.1 * noise);
      } else if (strstr(p->name, ".lora_m")) {
        p->value[k] *= (float)(1 + 0.1 * noise);
      }
    }
  }
  tx_parameters_pack(set);
}

static void open_fixture(fixture *f, const char *name, const tx_gguf *changes, bool magnitudes,
                         double dropout) {
  char path[64];
  *f = (fixture){0};
  snprintf(path, sizeof path, "tests/golden/tiny_%s.gguf", name);
  ASSERT_OK(tx_model_open(path, changes, &f->model, error));
  const tx_facts *facts = tx_model_facts(f->model);
  ASSERT_OK(tx_model_load(f->model, 0, facts->blocks, error));
  ASSERT_OK(tx_pass_open(facts, &f->pass, error));
  tx_random random = tx_random_seed(2);
  for (int i = 0; i < TOKENS; i++) f->ids[i] = (int32_t)tx_random_below(&random, 200);
  for (int i = 0; i <= TEXTS; i++) f->offsets[i] = i * LENGTH;
  ASSERT_OK(tx_states_new(TEXTS, f->offsets, facts->width, 1 << 20, ".", &f->states, error));
  tx_model *plain; /* what comes in is the same, whatever was changed */
  ASSERT_OK(tx_model_open(path, NULL, &plain, error));
  ASSERT_OK(tx_model_load(plain, 0, facts->blocks - BLOCKS, error));
  tx_sequences sequences = {TEXTS, f->ids, f->offsets};
  ASSERT_OK(tx_trunk_run(plain, &f->pass, &sequences, facts->blocks - BLOCKS, 16, f->states.rows,
                         "", NULL, error));
  tx_model_close(plain);
  tx_tail_options options = {.depth = facts->blocks,
                             .blocks = BLOCKS,
                             .pooling = TX_POOLING_MEAN,
                             .classes = CLASSES,
                             .part = TX_TRAINED_ADAPTERS,
                             .adapter = {.rank = 3,
                                         .scale = 1.5,
                                         .targets = 127,
                                         .seed = 4,
                                         .dropout = dropout,
                                         .magnitudes = magnitudes}};
  ASSERT_OK(tx_tail_new(f->model, options, &f->tail, error));
}

static void close_fixture(fixture *f) {
  tx_tail_free(f->tail);
  tx_states_free(&f->states);
  tx_pass_close(&f->pass);
  tx_model_close(f->model);
}

/* `part` texts at a time. */
static double gradient(fixture *f, int64_t part) {
  double loss = 0;
  static const int64_t order[TEXTS] = {2, 0, 1};
  tx_parameters_clear(tx_tail_parameters(f->tail));
  for (int64_t at = 0; at < TEXTS; at += part) {
    ASSERT_OK(tx_tail_gradient(f->tail, &f->pass, &f->states, (tx_choice){order + at, part}, truth,
                               TEXTS, &loss, NULL, error));
  }
  return loss;
}

static double loss_of(fixture *f) {
  double loss;
  int64_t correct;
  ASSERT_OK(tx_tail_loss(f->tail, &f->pass, &f->states, all, truth, &loss, &correct, NULL, error));
  return loss;
}

/* Along the parameter's own gradient; the loss is that of gradient(), of which something is
 * left out, the same each time: no step is taken in between. */
static void check_parameter(fixture *f, tx_parameter *p) {
  size_t count = (size_t)(p->outputs * p->inputs);
  double square = 0, losses[2];
  gradient(f, TEXTS);
  float *start = checked_memory(count * 4), *slope = checked_memory(count * 4);
  memcpy(start, p->value, count * 4), memcpy(slope, p->gradient, count * 4);
  for (size_t j = 0; j < count; j++) square += (double)slope[j] * (double)slope[j];
  double step = 2e-3 / (sqrt(square) + 1e-3);
  for (int side = 0; side < 2; side++) {
    for (size_t j = 0; j < count; j++) {
      p->value[j] = (float)((double)start[j] + (side ? -step : step) * (double)slope[j]);
    }
    tx_parameters_pack(tx_tail_parameters(f->tail));
    losses[side] = gradient(f, TEXTS);
  }
  memcpy(p->value, start, count * 4);
  tx_parameters_pack(tx_tail_parameters(f->tail));
  double numeric = (losses[0] - losses[1]) / (2 * step);
  if (fabs(numeric - square) > 0.02 * square + 2e-5) {
    fail_msg("%s: difference %g, gradient %g", p->name, numeric, square);
  }
  free(start), free(slope);
}

static void test_finite_differences(void **state) {
  (void)state;
  static const char *const names[] = {"llama", "gpt2"};
  for (int n = 0; n < 4; n++) {
    fixture f;
    bool magnitudes = n >= 2; /* lengths count as fixed: A and B have another gradient then */
    open_fixture(&f, names[n % 2], NULL, magnitudes, 0.3);
    set_values(&f);
    tx_parameters *set = tx_tail_parameters(f.tail);
    int checked = 0;
    for (int64_t i = 0; i < set->count; i++) {
      tx_parameter *p = &set->items[i];
      if (magnitudes && (strstr(p->name, ".lora_a") || strstr(p->name, ".lora_b"))) continue;
      check_parameter(&f, p);
      checked++;
    }
    assert_true(checked >= 2 + BLOCKS * (magnitudes ? 6 : 12));
    close_fixture(&f);
  }
}

/* ---- magnitudes -------------------------------------------------------- */

/* Nothing is changed at first. */
static void test_magnitudes_start_from_the_model(void **state) {
  (void)state;
  fixture f, plain;
  open_fixture(&f, "llama", NULL, true, 0);
  open_fixture(&plain, "llama", NULL, false, 0);
  int64_t width = tx_tail_width(f.tail);
  float *want = checked_memory((size_t)(TEXTS * width) * 4);
  float *have = checked_memory((size_t)(TEXTS * width) * 4);
  ASSERT_OK(tx_tail_features(plain.tail, &plain.pass, &plain.states, all, want, NULL, error));
  ASSERT_OK(tx_tail_features(f.tail, &f.pass, &f.states, all, have, NULL, error));
  assert_close(have, want, TEXTS * width, 1e-5, "features");
  free(want), free(have);
  close_fixture(&f), close_fixture(&plain);
}

/* A file of the matrices with each row times its gain: plain adapters over it, with B times
 * the gain, are adapters with magnitudes, and dA is the same, dB the gain times theirs. */
typedef struct {
  tx_gguf_writer *writer;
  float *values[BLOCKS][TX_MATRICES], *gains[BLOCKS][TX_MATRICES];
} scaled;

static const tx_parameter *find(const tx_parameters *set, int64_t block, int slot,
                                const char *end) {
  char name[80];
  snprintf(name, sizeof name, "blk.%d.%s.weight.%s", (int)block,
           tx_matrix_stem((tx_matrix_slot)slot), end);
  for (int64_t i = 0; i < set->count; i++) {
    if (!strcmp(set->items[i].name, name)) return &set->items[i];
  }
  fail_msg("no %s", name);
  return NULL;
}

/* By the definition: the row's own length with what is added to it. */
static void scale_matrix(const fixture *f, int64_t block, int slot, float *values, float *gains) {
  const tx_parameters *set = tx_tail_parameters(f->tail);
  const tx_parameter *a = find(set, block, slot, "lora_a"), *b = find(set, block, slot, "lora_b");
  const tx_parameter *m = find(set, block, slot, "lora_m");
  ASSERT_OK(tx_model_read_matrix(f->model, block, (tx_matrix_slot)slot, false, values, error));
  for (int64_t n = 0; n < m->inputs; n++) {
    double square = 0;
    for (int64_t i = 0; i < a->inputs; i++) {
      double sum = (double)values[n * a->inputs + i];
      for (int r = 0; r < 3; r++) {
        sum += 1.5 * (double)b->value[n * 3 + r] * (double)a->value[r * a->inputs + i];
      }
      square += sum * sum;
    }
    gains[n] = (float)((double)m->value[n] / sqrt(square));
    for (int64_t i = 0; i < a->inputs; i++) values[n * a->inputs + i] *= gains[n];
  }
}

static void write_scaled(const fixture *f, scaled *s, const char *path) {
  s->writer = tx_gguf_writer_new();
  tx_gguf_add_string(s->writer, "general.architecture", tx_text_of("taxon"));
  int64_t first = tx_model_facts(f->model)->blocks - BLOCKS;
  for (int64_t i = 0; i < BLOCKS; i++) {
    for (int slot = 0; slot < TX_MATRICES; slot++) {
      int64_t outputs, inputs;
      char name[80];
      tx_matrix_shape(tx_model_facts(f->model), (tx_matrix_slot)slot, &outputs, &inputs);
      if (outputs == 0) continue;
      s->values[i][slot] = checked_memory((size_t)(outputs * inputs) * 4);
      s->gains[i][slot] = checked_memory((size_t)outputs * 4);
      scale_matrix(f, first + i, slot, s->values[i][slot], s->gains[i][slot]);
      snprintf(name, sizeof name, "blk.%d.%s.weight", (int)(first + i),
               tx_matrix_stem((tx_matrix_slot)slot));
      const int64_t shape[] = {inputs, outputs};
      tx_gguf_add_tensor(s->writer, name, TX_TENSOR_F32, 2, shape, s->values[i][slot]);
    }
  }
  ASSERT_OK(tx_gguf_commit(s->writer, path, error));
  tx_gguf_writer_free(s->writer);
}

static void compare_slot(const fixture *f, const fixture *plain, const scaled *s, int64_t i,
                         int slot) {
  int64_t block = tx_model_facts(f->model)->blocks - BLOCKS + i;
  const tx_parameters *one = tx_tail_parameters(f->tail), *two = tx_tail_parameters(plain->tail);
  const tx_parameter *a = find(one, block, slot, "lora_a"), *b = find(one, block, slot, "lora_b");
  const tx_parameter *pa = find(two, block, slot, "lora_a"), *pb = find(two, block, slot, "lora_b");
  assert_close(a->gradient, pa->gradient, 3 * a->inputs, 2e-4, a->name);
  for (int64_t k = 0; k < b->outputs * 3; k++) pb->gradient[k] *= s->gains[i][slot][k / 3];
  assert_close(b->gradient, pb->gradient, 3 * b->outputs, 2e-4, b->name);
}

static void check_equivalence(const char *name) {
  static const char path[] = "/tmp/taxon-test-scaled.gguf";
  fixture f, plain;
  scaled s = {0};
  open_fixture(&f, name, NULL, true, 0);
  set_values(&f);
  write_scaled(&f, &s, path);
  tx_gguf *changes;
  ASSERT_OK(tx_gguf_open(path, &changes, error));
  open_fixture(&plain, name, changes, false, 0);
  set_values(&plain);
  int64_t first = tx_model_facts(f.model)->blocks - BLOCKS;
  tx_parameters *set = tx_tail_parameters(plain.tail);
  for (int64_t i = 0; i < BLOCKS; i++) {
    for (int slot = 0; slot < TX_MATRICES; slot++) {
      if (!s.gains[i][slot]) continue;
      const tx_parameter *b = find(set, first + i, slot, "lora_b");
      for (int64_t k = 0; k < b->outputs * 3; k++) b->value[k] *= s.gains[i][slot][k / 3];
    }
  }
  tx_parameters_pack(set);
  double loss = gradient(&f, TEXTS), same = gradient(&plain, TEXTS);
  if (fabs(loss - same) > 1e-5 * same) fail_msg("the loss is %g, not %g", loss, same);
  for (int64_t i = 0; i < BLOCKS; i++) {
    for (int slot = 0; slot < TX_MATRICES; slot++) {
      if (s.gains[i][slot]) compare_slot(&f, &plain, &s, i, slot);
      free(s.values[i][slot]), free(s.gains[i][slot]);
    }
  }
  close_fixture(&f), close_fixture(&plain);
  tx_gguf_close(changes);
  remove(path);
}

static void test_magnitudes_are_gains_of_rows(void **state) {
  (void)state;
  check_equivalence("llama");
  check_equivalence("gpt2");
}

/* ---- dropout ----------------------------------------------------------- */

static float *gradients(const fixture *f) {
  const tx_parameters *set = tx_tail_parameters(f->tail);
  float *values = checked_memory((size_t)set->values * 4), *at = values;
  for (int64_t i = 0; i < set->count; i++) {
    size_t count = (size_t)(set->items[i].outputs * set->items[i].inputs);
    memcpy(at, set->items[i].gradient, count * 4), at += count;
  }
  return values;
}

static void test_what_is_dropped(void **state) {
  (void)state;
  fixture f, none;
  open_fixture(&f, "llama", NULL, false, 0.5);
  open_fixture(&none, "llama", NULL, false, 0);
  set_values(&f), set_values(&none);
  tx_parameters *set = tx_tail_parameters(f.tail);
  size_t bytes = (size_t)set->values * 4;
  assert_true(loss_of(&f) == loss_of(&none)); /* nothing, where it is judged */
  double loss = gradient(&f, TEXTS);
  float *whole = gradients(&f);
  assert_true(loss != gradient(&none, TEXTS));
  tx_set_threads(3);
  assert_true(gradient(&f, 1) == loss);
  float *parts = gradients(&f);
  assert_memory_equal(whole, parts, bytes);
  tx_set_threads(0);
  double sum = 0; /* over many steps, the mean loss is near the one without it */
  for (int i = 0; i < 400; i++) {
    set->steps = i;
    double own = gradient(&f, TEXTS);
    assert_true(i == 0 || own != loss);
    sum += own;
  }
  double mean = sum / 400, want = gradient(&none, TEXTS);
  if (fabs(mean - want) > 0.1 * want) {
    fail_msg("the mean loss is %g, without dropout %g", mean, want);
  }
  free(whole), free(parts);
  close_fixture(&f), close_fixture(&none);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_finite_differences),
      cmocka_unit_test(test_magnitudes_start_from_the_model),
      cmocka_unit_test(test_magnitudes_are_gains_of_rows),
      cmocka_unit_test(test_what_is_dropped),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
