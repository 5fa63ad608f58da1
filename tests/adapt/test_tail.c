/* The trainable end: loss, every gradient and AdamW steps against PyTorch
 * (tests/golden/make_models.py), against finite differences, and the same bits
 * whether a step is computed whole or in parts, on one thread or more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "golden.h"
#include "adapt/tail.h"

typedef struct {
  tx_model *model;
  tx_pass pass;
  tx_tail *tail;
  tx_gguf *golden;
  tx_states states;
  int64_t *offsets;
  const int32_t *labels;
  float *dstates;
} fixture;

static const char *const pooling_names[] = {"last", "mean", "first"};

/* The golden head; of a text's second part its weights backwards. */
static void set_head(const fixture *f, int64_t parts, int64_t width) {
  const float *golden = golden_floats(f->golden, "head.weight");
  float *weight = checked_memory((size_t)(3 * parts * width) * sizeof *weight);
  for (int64_t i = 0; i < 3 * parts * width; i++) {
    int64_t label = i / (parts * width), column = i % (parts * width);
    weight[i] = golden[label * width + (column < width ? column : 2 * width - 1 - column)];
  }
  tx_tail_set_head(f->tail, weight, golden_floats(f->golden, "head.bias"));
  free(weight);
}

static fixture open_fixture(const char *name, tx_pooling pooling, int64_t blocks) {
  fixture f = {0};
  char path[64];
  snprintf(path, sizeof path, "tests/golden/tiny_%s.gguf", name);
  ASSERT_OK(tx_model_open(path, NULL, &f.model, error));
  const tx_facts *facts = tx_model_facts(f.model);
  ASSERT_OK(tx_model_load(f.model, 0, facts->blocks, error));
  ASSERT_OK(tx_pass_open(facts, &f.pass, error));
  snprintf(path, sizeof path, "tiny_%s_grad.gguf", name);
  f.golden = golden_open(path);
  int64_t count;
  const int32_t *offsets = golden_ints(f.golden, "offsets", &count);
  f.offsets = checked_memory((size_t)count * sizeof *f.offsets);
  for (int64_t i = 0; i < count; i++) f.offsets[i] = offsets[i];
  f.labels = golden_ints(f.golden, "labels", NULL);
  ASSERT_OK(tx_states_new(count - 1, f.offsets, facts->width, 1u << 20, ".", &f.states, error));
  tx_sequences sequences = {count - 1, golden_ints(f.golden, "ids", NULL), f.offsets};
  ASSERT_OK(tx_trunk_run(f.model, &f.pass, &sequences, facts->blocks - blocks, 16, f.states.rows,
                         "", NULL, error));
  ASSERT_OK(tx_tail_new(f.model, tx_model_facts(f.model)->blocks, blocks, pooling, 3, &f.tail, error));
  set_head(&f, tx_pool_parts(pooling), facts->width);
  f.dstates = checked_memory((size_t)(f.offsets[count - 1] * facts->width) * sizeof(float));
  return f;
}

static void close_fixture(fixture *f) {
  tx_tail_free(f->tail);
  tx_states_free(&f->states);
  tx_pass_close(&f->pass);
  tx_model_close(f->model);
  tx_gguf_close(f->golden);
  free(f->offsets), free(f->dstates);
}

static double gradient(fixture *f, const double *class_weights, double total) {
  double loss = 0;
  tx_parameters_clear(tx_tail_parameters(f->tail));
  ASSERT_OK(tx_tail_gradient(f->tail, &f->pass, &f->states, (tx_choice){NULL, 0}, f->labels,
                             class_weights, total, &loss, f->dstates, error));
  return loss;
}

/* A golden gradient; query, key and value of a fused matrix are parts of one. */
static const float *golden_gradient(const fixture *f, const char *pooling, const char *name) {
  static const char *const parts[] = {"attn_q.", "attn_k.", "attn_v."};
  char path[128];
  /* A first token attends to itself alone, whatever its query and key are. */
  if (!strcmp(pooling, "first") && (strstr(name, "attn_q.") || strstr(name, "attn_k."))) return NULL;
  snprintf(path, sizeof path, "%s/grad/%s", pooling, name);
  if (tx_gguf_tensor(f->golden, path)) return golden_floats(f->golden, path);
  const tx_facts *facts = tx_model_facts(f->model);
  for (int part = 0; part < 3; part++) {
    const char *found = strstr(name, parts[part]);
    if (!found) continue;
    snprintf(path, sizeof path, "%s/grad/%.*sattn_qkv.%s", pooling, (int)(found - name), name,
             found + 7);
    int64_t columns = strstr(name, "weight") ? facts->width : 1;
    return golden_floats(f->golden, path) + part * facts->width * columns;
  }
  /* Of "first" only some are kept; finite differences see to the rest. */
  if (strcmp(pooling, "first") != 0) fail_msg("no golden gradient for %s", name);
  return NULL;
}

static void check_gradients(const char *name) {
  for (int pooling = 0; pooling < 3; pooling++) {
    fixture f = open_fixture(name, (tx_pooling)pooling, 1);
    char path[64];
    float loss = (float)gradient(&f, NULL, (double)f.states.count);
    snprintf(path, sizeof path, "%s/loss", pooling_names[pooling]);
    assert_close(&loss, golden_floats(f.golden, path), 1, 1e-5, path);
    const tx_parameters *set = tx_tail_parameters(f.tail);
    assert_true(set->count >= 12);
    for (int64_t i = 0; i < set->count; i++) {
      const tx_parameter *p = &set->items[i];
      const float *want = golden_gradient(&f, pooling_names[pooling], p->name);
      double largest = 0;
      for (int64_t j = 0; j < p->outputs * p->inputs; j++) {
        largest = fmax(largest, fabs((double)p->gradient[j]));
      }
      /* A key's bias cancels in the softmax: its gradient is nothing but rounding. */
      bool nothing = strstr(p->name, "attn_k.bias") ||
                     (pooling == TX_POOLING_FIRST &&
                      (strstr(p->name, "attn_q.") || strstr(p->name, "attn_k.")));
      if (nothing) {
        assert_true(largest < 1e-6);
      } else if (want) {
        assert_close(p->gradient, want, p->outputs * p->inputs, 1e-4, p->name);
      }
    }
    snprintf(path, sizeof path, "%s/d.hidden.%d", pooling_names[pooling],
             (int)tx_model_facts(f.model)->blocks - 1);
    assert_close(f.dstates, golden_floats(f.golden, path),
                 f.offsets[f.states.count] * f.states.width, 1e-4, path);
    close_fixture(&f);
  }
}

static void test_gradients_of_llama(void **state) {
  (void)state;
  check_gradients("llama");
}

static void test_gradients_of_gpt2(void **state) {
  (void)state;
  check_gradients("gpt2");
}

/* Three steps of AdamW with clipping, as PyTorch takes them. */
static void check_steps(const char *name) {
  fixture f = open_fixture(name, TX_POOLING_LAST, 1);
  tx_parameters *set = tx_tail_parameters(f.tail);
  int64_t rounds = tx_gguf_tensor(f.golden, "train/losses")->shape[0];
  for (int64_t step = 0; step < rounds; step++) {
    float loss = (float)gradient(&f, NULL, (double)f.states.count);
    assert_close(&loss, golden_floats(f.golden, "train/losses") + step, 1, 1e-5, "loss");
    if (step == rounds - 1) break; /* the loss after the last step */
    double norm = tx_parameters_gradient_norm(set, f.pass.kernels);
    tx_parameters_step(set, f.pass.kernels, 1e-3, 0.1, norm > 1 ? 1 / (norm + 1e-6) : 1);
  }
  int compared = 0;
  for (int64_t i = 0; i < set->count; i++) {
    char path[128];
    snprintf(path, sizeof path, "train/%s", set->items[i].name);
    if (!tx_gguf_tensor(f.golden, path)) continue;
    assert_close(set->items[i].value, golden_floats(f.golden, path),
                 set->items[i].outputs * set->items[i].inputs, 1e-4, path);
    compared++;
  }
  assert_true(compared >= 1);
  close_fixture(&f);
}

static void test_steps_of_adamw(void **state) {
  (void)state;
  check_steps("llama");
  check_steps("gpt2");
}

/* The loss as a function of one parameter, with unequal class weights and all
 * blocks trained: central differences along every parameter's own gradient. */
static void check_differences(const char *name, int64_t blocks) {
  const double weights[] = {1.0, 0.5, 2.0};
  for (int pooling = 0; pooling <= TX_POOLING_LAST_MEAN; pooling++) {
    fixture f = open_fixture(name, (tx_pooling)pooling, blocks);
    tx_parameters *set = tx_tail_parameters(f.tail);
    double total = 0;
    for (int64_t i = 0; i < f.states.count; i++) total += weights[f.labels[i]];
    gradient(&f, weights, total);
    for (int64_t i = 0; i < set->count; i++) {
      tx_parameter *p = &set->items[i];
      int64_t count = p->outputs * p->inputs;
      double square = 0, losses[2];
      float *start = checked_memory((size_t)count * 4), *slope = checked_memory((size_t)count * 4);
      memcpy(start, p->value, (size_t)count * 4), memcpy(slope, p->gradient, (size_t)count * 4);
      for (int64_t j = 0; j < count; j++) square += (double)slope[j] * (double)slope[j];
      double step = 2e-3 / (sqrt(square) + 1e-3);
      for (int side = 0; side < 2; side++) {
        for (int64_t j = 0; j < count; j++) {
          p->value[j] = (float)((double)start[j] + (side ? -step : step) * (double)slope[j]);
        }
        tx_parameters_pack(set);
        int64_t correct;
        ASSERT_OK(tx_tail_loss(f.tail, &f.pass, &f.states, (tx_choice){NULL, 0}, f.labels, weights,
                               &losses[side], &correct, NULL, error));
      }
      memcpy(p->value, start, (size_t)count * 4);
      double numeric = (losses[0] - losses[1]) / (2 * step);
      if (fabs(numeric - square) > 0.02 * square + 2e-5) {
        fail_msg("%s: difference %g, gradient %g", p->name, numeric, square);
      }
      free(start), free(slope);
    }
    close_fixture(&f);
  }
}

static void test_finite_differences(void **state) {
  (void)state;
  check_differences("llama", 3);
  check_differences("gpt2", 2);
  check_differences("llama", 1);
}

static void check_parts(tx_pooling pooling) {
  fixture f = open_fixture("llama", pooling, 2);
  tx_parameters *set = tx_tail_parameters(f.tail);
  tx_set_threads(1);
  gradient(&f, NULL, (double)f.states.count);
  size_t floats = 0;
  for (int64_t i = 0; i < set->count; i++)
    floats += (size_t)(set->items[i].outputs * set->items[i].inputs);
  float *whole = checked_memory(floats * 4), *at = whole;
  for (int64_t i = 0; i < set->count; i++) {
    size_t count = (size_t)(set->items[i].outputs * set->items[i].inputs);
    memcpy(at, set->items[i].gradient, count * 4), at += count;
  }
  static const char *const paths[] = {"generic", "avx2", "avx512"};
  for (size_t path = 0; path < 3; path++) {
    if (!tx_kernels_find(paths[path])) continue;
    f.pass.kernels = tx_kernels_find(paths[path]);
    tx_set_threads(1 + (int)path);
    tx_parameters_clear(set);
    double loss = 0;
    for (int64_t i = 0; i < f.states.count; i++) {
      ASSERT_OK(tx_tail_gradient(f.tail, &f.pass, &f.states, (tx_choice){&i, 1}, f.labels, NULL,
                                 (double)f.states.count, &loss, NULL, error));
    }
    at = whole;
    for (int64_t i = 0; i < set->count; i++) {
      size_t count = (size_t)(set->items[i].outputs * set->items[i].inputs);
      if (memcmp(at, set->items[i].gradient, count * 4) != 0) {
        fail_msg("%s differs on %s", set->items[i].name, paths[path]);
      }
      at += count;
    }
  }
  tx_set_threads(0);
  free(whole);
  close_fixture(&f);
}

static void test_parts_of_a_step_are_the_step(void **state) {
  (void)state;
  check_parts(TX_POOLING_MEAN);
  check_parts(TX_POOLING_LAST_MEAN);
}

static void test_states_in_a_file(void **state) {
  (void)state;
  const int64_t offsets[] = {0, 3, 7};
  tx_states states;
  ASSERT_OK(tx_states_new(2, offsets, 1000, 100, "/tmp", &states, error));
  assert_true(states.in_file);
  for (int64_t i = 0; i < 7000; i++) states.rows[i] = (float)i;
  for (int64_t i = 0; i < 7000; i++) assert_true(states.rows[i] == (float)i);
  tx_states_free(&states);
  tx_error error = {0};
  assert_int_equal(tx_states_new(2, offsets, 1000, 100, "/no/such/place", &states, &error),
                   TX_ERROR_SYSTEM);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_gradients_of_llama),
      cmocka_unit_test(test_gradients_of_gpt2),
      cmocka_unit_test(test_steps_of_adamw),
      cmocka_unit_test(test_finite_differences),
      cmocka_unit_test(test_parts_of_a_step_are_the_step),
      cmocka_unit_test(test_states_in_a_file),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
