/* Every trainable tensor's gradient against PyTorch's (tests/golden/make_gradients.py): all
 * blocks, norms, embeddings, adapters and head, where what a block's gradient needs is computed
 * again and where it is kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "golden.h"
#include "adapt/tail.h"

enum { STRIDE = 13, POSITIONS = 128, LABELS = 3, RANK = 2 }; /* as in the script */

typedef struct {
  tx_model *model;
  tx_pass pass;
  tx_gguf *task, *parts;
  int64_t texts;
  int64_t *offsets;
  const int32_t *tokens;
  int32_t ids[64]; /* those of the texts, rising, each once */
  int64_t id_count;
} fixture;

static int compare(const void *a, const void *b) {
  int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
  return (x > y) - (x < y);
}

static void find_ids(fixture *f) {
  int64_t count = f->offsets[f->texts];
  assert_true(count <= 64);
  memcpy(f->ids, f->tokens, (size_t)count * sizeof *f->ids);
  qsort(f->ids, (size_t)count, sizeof *f->ids, compare);
  for (int64_t i = 0; i < count; i++) {
    if (i == 0 || f->ids[i] != f->ids[f->id_count - 1]) f->ids[f->id_count++] = f->ids[i];
  }
}

static fixture open_fixture(const char *name) {
  fixture f = {0};
  char path[64];
  snprintf(path, sizeof path, "tests/golden/tiny_%s.gguf", name);
  ASSERT_OK(tx_model_open(path, NULL, &f.model, error));
  const tx_facts *facts = tx_model_facts(f.model);
  ASSERT_OK(tx_model_load(f.model, 0, facts->blocks, error));
  ASSERT_OK(tx_pass_open(facts, &f.pass, error));
  snprintf(path, sizeof path, "tiny_%s_grad.gguf", name);
  f.task = golden_open(path);
  snprintf(path, sizeof path, "tiny_%s_parts.gguf", name);
  f.parts = golden_open(path);
  int64_t count;
  const int32_t *offsets = golden_ints(f.task, "offsets", &count);
  f.texts = count - 1;
  f.offsets = checked_memory((size_t)count * sizeof *f.offsets);
  for (int64_t i = 0; i < count; i++) f.offsets[i] = offsets[i];
  f.tokens = golden_ints(f.task, "ids", NULL);
  find_ids(&f);
  return f;
}

static void close_fixture(fixture *f) {
  tx_pass_close(&f->pass);
  tx_model_close(f->model);
  tx_gguf_close(f->task), tx_gguf_close(f->parts);
  free(f->offsets);
}

/* Adapters as the golden file has them. */
static void set_adapters(const fixture *f, tx_parameters *set) {
  for (int64_t i = 0; i < set->count; i++) {
    const tx_parameter *p = &set->items[i];
    if (!strstr(p->name, ".lora_")) continue;
    memcpy(p->value, golden_floats(f->parts, p->name),
           (size_t)(p->outputs * p->inputs) * sizeof *p->value);
  }
  tx_parameters_pack(set);
}

static tx_tail *make_tail(const fixture *f, tx_trained_part part, tx_pooling pooling, bool keep) {
  const tx_facts *facts = tx_model_facts(f->model);
  tx_tail_options options = {.depth = facts->blocks,
                             .blocks = facts->blocks,
                             .pooling = pooling,
                             .classes = LABELS,
                             .part = part,
                             .adapter = {.rank = RANK, .scale = 1.5, .targets = 127},
                             .activation_bytes = keep ? UINT64_MAX : 0,
                             .packed = keep ? 0 : 1,
                             .ids = f->ids,
                             .id_count = f->id_count,
                             .positions = POSITIONS};
  tx_tail *tail;
  ASSERT_OK(tx_tail_new(f->model, options, &tail, error));
  set_adapters(f, tx_tail_parameters(tail));
  const float *weight = golden_floats(f->task, "head.weight");
  tx_tail_set_head(tail, weight, golden_floats(f->task, "head.bias"));
  return tail;
}

static tx_states make_states(fixture *f, tx_trained_part part) {
  const tx_facts *facts = tx_model_facts(f->model);
  if (part == TX_TRAINED_MODEL) {
    return tx_states_of_ids(f->texts, f->offsets, facts->width, f->tokens);
  }
  tx_states states;
  tx_sequences sequences = {f->texts, f->tokens, f->offsets};
  ASSERT_OK(tx_states_new(f->texts, f->offsets, facts->width, 1u << 20, ".", &states, error));
  ASSERT_OK(tx_trunk_run(f->model, &f->pass, &sequences, 0, 16, states.rows, "", NULL, error));
  return states;
}

/* The golden file has the norm, then every so manieth value: |ours - theirs| / |theirs|. */
static void check_gradient(const tx_parameter *p, const tx_gguf *golden, const char *path) {
  const tx_tensor *tensor = tx_gguf_tensor(golden, path);
  const float *want = golden_floats(golden, path);
  int64_t values = p->outputs * p->inputs;
  double square = 0, away = 0, whole = 0;
  assert_int_equal(tensor->shape[0], 1 + (values + STRIDE - 1) / STRIDE);
  for (int64_t i = 0; i < values; i++) {
    double have = (double)p->gradient[i], theirs = (double)want[1 + i / STRIDE];
    square += have * have;
    if (i % STRIDE != 0) continue;
    whole += theirs * theirs, away += (have - theirs) * (have - theirs);
  }
  double norm = fabs(sqrt(square) / (double)want[0] - 1), part = sqrt(away / whole);
  if (!(norm < 1e-4 && part < 1e-4)) {
    fail_msg("%s: norm off by %g, values by %g, relative", path, norm, part);
  }
}

static void check_all(const fixture *f, const tx_parameters *set, const char *prefix) {
  int64_t compared = 0;
  for (int64_t i = 0; i < set->count; i++) {
    const tx_parameter *p = &set->items[i];
    char path[160];
    snprintf(path, sizeof path, "%s/%s", prefix, p->name);
    if (strstr(p->name, "attn_k.bias")) continue; /* cancels in the softmax: rounding alone */
    check_gradient(p, f->parts, path);
    compared++;
  }
  assert_true(compared >= 7);
}

static void check_part(fixture *f, tx_trained_part part, tx_pooling pooling, bool keep) {
  const char *how = pooling == TX_POOLING_LAST ? "last" : "mean";
  bool adapters = part == TX_TRAINED_ADAPTERS;
  char path[64];
  tx_tail *tail = make_tail(f, part, pooling, keep);
  tx_states states = make_states(f, part);
  tx_parameters *set = tx_tail_parameters(tail);
  tx_truth truth = {golden_ints(f->task, "labels", NULL), NULL, NULL};
  double loss = 0;
  tx_parameters_clear(set);
  ASSERT_OK(tx_tail_gradient(tail, &f->pass, &states, (tx_choice){NULL, 0}, truth,
                             (double)f->texts, &loss, NULL, error));
  snprintf(path, sizeof path, "%s/%sloss", how, adapters ? "lora/" : "");
  assert_close(&(float){(float)loss}, golden_floats(f->parts, path), 1, 1e-5, path);
  snprintf(path, sizeof path, "%s/%s", how, adapters ? "lora" : "model");
  check_all(f, set, path);
  tx_states_free(&states);
  tx_tail_free(tail);
}

static void check_model(const char *name) {
  static const tx_trained_part parts[] = {TX_TRAINED_MODEL, TX_TRAINED_ALL, TX_TRAINED_NORMS,
                                          TX_TRAINED_ADAPTERS};
  fixture f = open_fixture(name);
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    for (int keep = 0; keep < 2; keep++) {
      check_part(&f, parts[i], TX_POOLING_LAST, keep);
      check_part(&f, parts[i], TX_POOLING_MEAN, keep);
    }
  }
  close_fixture(&f);
}

static void test_llama(void **state) {
  (void)state;
  check_model("llama");
}

static void test_gpt2(void **state) {
  (void)state;
  check_model("gpt2");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_llama), cmocka_unit_test(test_gpt2)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
