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
#include "base/random.h"

typedef struct {
  tx_model *model;
  tx_pass pass;
  tx_tail *tail;
  tx_gguf *golden;
  tx_states states;
  int64_t *offsets;
  const int32_t *labels;
  float *dstates;
  int32_t ids[512]; /* those of the texts, rising, each once */
} fixture;

static bool two_way; /* the trained blocks of fixtures that are opened see what comes after too */

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

/* B of adapters starts at zero, where A has no gradient: it is moved away from there. */
static void move_adapters(tx_parameters *set) {
  tx_random random = tx_random_seed(9);
  for (int64_t i = 0; i < set->count; i++) {
    const tx_parameter *p = &set->items[i];
    if (!strstr(p->name, ".lora_b")) continue;
    for (int64_t k = 0; k < p->outputs * p->inputs; k++) {
      p->value[k] = 0.1f * (float)tx_random_normal(&random);
    }
  }
  tx_parameters_pack(set);
}

static int64_t distinct(const int32_t *ids, int64_t count, int32_t *to) {
  int64_t kept = 0;
  for (int32_t id = 0; id < 10000; id++) {
    bool there = false;
    for (int64_t i = 0; i < count; i++) there = there || ids[i] == id;
    if (there) to[kept++] = id;
  }
  assert_true(kept < 512);
  return kept;
}

static fixture open_part(const char *name, tx_pooling pooling, int64_t blocks, tx_trained_part part,
                         bool keep) {
  fixture f = {0};
  char path[64];
  snprintf(path, sizeof path, "tests/golden/tiny_%s.gguf", name);
  ASSERT_OK(tx_model_open(path, NULL, &f.model, error));
  const tx_facts *facts = tx_model_facts(f.model);
  if (two_way) tx_model_set_two_way(f.model, facts->blocks - blocks);
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
  tx_tail_options options = {.depth = facts->blocks,
                             .blocks = blocks,
                             .pooling = pooling,
                             .classes = 3,
                             .part = part,
                             .adapter = {.rank = 2, .scale = 1.5, .targets = 127, .seed = 4},
                             .activation_bytes = keep ? UINT64_MAX : 0,
                             .packed = keep ? 0 : 1,
                             .positions = 128};
  if (part == TX_TRAINED_MODEL) {
    options.blocks = facts->blocks;
    options.id_count = distinct(sequences.ids, f.offsets[count - 1], f.ids);
    options.ids = f.ids;
    tx_states_free(&f.states);
    f.states = tx_states_of_ids(count - 1, f.offsets, facts->width, sequences.ids);
  }
  ASSERT_OK(tx_tail_new(f.model, options, &f.tail, error));
  move_adapters(tx_tail_parameters(f.tail));
  set_head(&f, tx_pool_parts(pooling), facts->width);
  f.dstates = checked_memory((size_t)(f.offsets[count - 1] * facts->width) * sizeof(float));
  return f;
}

static fixture open_fixture(const char *name, tx_pooling pooling, int64_t blocks) {
  return open_part(name, pooling, blocks, TX_TRAINED_ALL, false);
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
  tx_truth truth = {f->labels, NULL, class_weights};
  ASSERT_OK(tx_tail_gradient(f->tail, &f->pass, &f->states, (tx_choice){NULL, 0}, truth, total,
                             &loss, f->dstates, error));
  return loss;
}

/* A golden gradient; query, key and value of a fused matrix are parts of one. */
static const float *golden_gradient(const fixture *f, const char *pooling, const char *name) {
  static const char *const parts[] = {"attn_q.", "attn_k.", "attn_v."};
  char path[128];
  /* A first token attends to itself alone, whatever its query and key are. */
  if (!strcmp(pooling, "first") && (strstr(name, "attn_q.") || strstr(name, "attn_k."))) {
    return NULL;
  }
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
static void check_differences(const char *name, int64_t blocks, tx_trained_part part) {
  const double weights[] = {1.0, 0.5, 2.0};
  for (int pooling = 0; pooling <= TX_POOLING_ATTENTION; pooling++) {
    fixture f = open_part(name, (tx_pooling)pooling, blocks, part, false);
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
        tx_truth truth = {f.labels, NULL, weights};
        ASSERT_OK(tx_tail_loss(f.tail, &f.pass, &f.states, (tx_choice){NULL, 0}, truth,
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
  check_differences("llama", 3, TX_TRAINED_ALL);
  check_differences("gpt2", 2, TX_TRAINED_ALL);
  check_differences("llama", 1, TX_TRAINED_ALL);
  check_differences("llama", 3, TX_TRAINED_ADAPTERS);
  check_differences("gpt2", 2, TX_TRAINED_ADAPTERS);
  check_differences("llama", 3, TX_TRAINED_MODEL);
  check_differences("gpt2", 2, TX_TRAINED_MODEL);
  check_differences("llama", 2, TX_TRAINED_NORMS);
  check_differences("gpt2", 2, TX_TRAINED_NORMS);
}

static void test_two_way_attention(void **state) {
  (void)state;
  two_way = true;
  check_differences("llama", 3, TX_TRAINED_ALL);
  check_differences("gpt2", 2, TX_TRAINED_ADAPTERS);
  fixture f = open_fixture("llama", TX_POOLING_FIRST, 1);
  two_way = false;
  fixture one_way = open_fixture("llama", TX_POOLING_FIRST, 1);
  float features[4 * 64], others[4 * 64];
  tx_choice all = {NULL, 0};
  assert_true(tx_tail_width(f.tail) == 64 && f.states.count == 4);
  ASSERT_OK(tx_tail_features(f.tail, &f.pass, &f.states, all, features, NULL, error));
  ASSERT_OK(tx_tail_features(one_way.tail, &one_way.pass, &f.states, all, others, NULL, error));
  assert_memory_equal(features, others, 64 * 4); /* a single token has nothing after it */
  assert_memory_not_equal(features + 64, others + 64, 64 * 4);
  close_fixture(&f), close_fixture(&one_way);
}

/* What a block's gradient needs is kept or computed again, packed weights are kept or
 * packed when they are needed, and a step is taken whole or in parts, on one thread or
 * more: the same bits. */
static void check_parts(tx_pooling pooling, tx_trained_part part) {
  fixture f = open_part("llama", pooling, 2, part, true);
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
  close_fixture(&f);
  f = open_part("llama", pooling, 2, part, false);
  set = tx_tail_parameters(f.tail);
  static const char *const paths[] = {"generic", "avx2", "avx512"};
  for (size_t path = 0; path < 3; path++) {
    if (!tx_kernels_find(paths[path])) continue;
    f.pass.kernels = tx_kernels_find(paths[path]);
    tx_set_threads(1 + (int)path);
    tx_parameters_clear(set);
    double loss = 0;
    for (int64_t i = 0; i < f.states.count; i++) {
      tx_truth truth = {f.labels, NULL, NULL};
      ASSERT_OK(tx_tail_gradient(f.tail, &f.pass, &f.states, (tx_choice){&i, 1}, truth,
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
  check_parts(TX_POOLING_MEAN, TX_TRAINED_ALL);
  check_parts(TX_POOLING_LAST_MEAN, TX_TRAINED_ALL);
  check_parts(TX_POOLING_MEAN, TX_TRAINED_MODEL);
  check_parts(TX_POOLING_LAST, TX_TRAINED_ADAPTERS);
  check_parts(TX_POOLING_MEAN, TX_TRAINED_NORMS);
}

/* ---- other losses -------------------------------------------------------- */

/* A head alone over made features: the loss of a step by the formulas of the papers,
 * from probabilities; and its slope along each bias by central differences. */
static double loss_by_formula(const fixture *f, tx_loss o) {
  const float *weight = tx_tail_head_weight(f->tail), *bias = tx_tail_head_bias(f->tail);
  int64_t width = tx_tail_width(f->tail);
  double mean = 0;
  for (int64_t i = 0; i < f->states.count; i++) {
    double z[3], sum = 0, loss = 0;
    for (int c = 0; c < 3; c++) {
      z[c] = (double)bias[c];
      for (int64_t k = 0; k < width; k++) {
        z[c] += (double)weight[c * width + k] * (double)f->states.rows[i * width + k];
      }
      sum += exp(z[c]);
    }
    for (int c = 0; c < 3; c++) {
      double p = exp(z[c]) / sum,
             target = (c == f->labels[i] ? 1 - o.smoothing : 0) + o.smoothing / 3;
      loss -= target * pow(1 - p, o.focus) * log(p);
    }
    mean += loss / (double)f->states.count;
  }
  return mean;
}

static void check_loss(tx_loss loss) {
  static int64_t offsets[30];
  fixture f = {0};
  ASSERT_OK(tx_model_open("tests/golden/tiny_llama.gguf", NULL, &f.model, error));
  ASSERT_OK(tx_pass_open(tx_model_facts(f.model), &f.pass, error));
  f.golden = golden_open("tiny_llama_grad.gguf");
  f.labels = golden_ints(f.golden, "labels", NULL);
  for (int i = 0; i < 30; i++) offsets[i] = i;
  int64_t width = tx_model_facts(f.model)->width, texts;
  golden_ints(f.golden, "labels", &texts);
  ASSERT_OK(tx_states_new(texts, offsets, width, 1u << 20, ".", &f.states, error));
  tx_random random = tx_random_seed(3);
  for (int64_t i = 0; i < texts * width; i++) f.states.rows[i] = (float)tx_random_normal(&random);
  ASSERT_OK(tx_tail_new(f.model, (tx_tail_options){.depth = 1, .classes = 3, .loss = loss}, &f.tail,
                        error));
  set_head(&f, 1, width);
  double have = gradient(&f, NULL, (double)texts), want = loss_by_formula(&f, loss);
  if (fabs(have - want) > 1e-6) fail_msg("the loss is %g, not %g", have, want);
  tx_parameters *set = tx_tail_parameters(f.tail);
  tx_parameter *bias = &set->items[set->count - 1];
  for (int c = 0; c < 3; c++) {
    double slope = (double)bias->gradient[c], side[2];
    float start = bias->value[c];
    for (int i = 0; i < 2; i++) {
      bias->value[c] = start + (i ? -1e-2f : 1e-2f);
      side[i] = loss_by_formula(&f, loss);
    }
    bias->value[c] = start;
    if (fabs((side[0] - side[1]) / 2e-2 - slope) > 2e-4) {
      fail_msg("smoothing %g, focus %g: slope %g, not %g", loss.smoothing, loss.focus, slope,
               (side[0] - side[1]) / 2e-2);
    }
  }
  close_fixture(&f);
}

static void test_losses(void **state) {
  (void)state;
  check_loss((tx_loss){0, 0});
  check_loss((tx_loss){0.1, 0});
  check_loss((tx_loss){0.5, 0});
  check_loss((tx_loss){0, 0.5});
  check_loss((tx_loss){0, 2});
}

/* Half the rate a block further down, and a step that heeds it. */
static void test_rates_fall_by_layer(void **state) {
  (void)state;
  tx_model *model;
  tx_tail *tail;
  ASSERT_OK(tx_model_open("tests/golden/tiny_llama.gguf", NULL, &model, error));
  tx_tail_options options = {.depth = 3, .blocks = 2, .classes = 3, .layer_decay = 0.5};
  ASSERT_OK(tx_tail_new(model, options, &tail, error));
  tx_parameters *set = tx_tail_parameters(tail);
  for (int64_t i = 0; i < set->count; i++) {
    tx_parameter *p = &set->items[i];
    double want = !strncmp(p->name, "blk.2.", 6) ? 0.5 : !strncmp(p->name, "blk.1.", 6) ? 0.25 : 1;
    if (p->rate != want) fail_msg("%s: %g", p->name, p->rate);
    for (int64_t k = 0; k < p->outputs * p->inputs; k++) p->gradient[k] = 1;
  }
  float before[2] = {set->items[0].value[0], tx_tail_head_bias(tail)[0]};
  tx_parameters_step(set, tx_kernels_get(), 0.01, 0, 1);
  assert_true(fabsf(before[0] - set->items[0].value[0] - 0.0025f) < 1e-6f);
  assert_true(fabsf(before[1] - tx_tail_head_bias(tail)[0] - 0.01f) < 1e-6f);
  tx_tail_free(tail);
  tx_model_close(model);
}

/* An adapter whose B is zero changes no bit; what is not trained has no parameter. */
static void test_adapters_start_from_the_model(void **state) {
  (void)state;
  fixture plain = open_fixture("llama", TX_POOLING_LAST, 2);
  fixture f = open_part("llama", TX_POOLING_LAST, 2, TX_TRAINED_ADAPTERS, false);
  tx_parameters *set = tx_tail_parameters(f.tail);
  int64_t width = tx_tail_width(f.tail), count = f.states.count, adapters = 0;
  float *want = checked_memory((size_t)(count * width) * 4);
  float *have = checked_memory((size_t)(count * width) * 4);
  tx_choice all = {NULL, 0};
  ASSERT_OK(tx_tail_features(plain.tail, &plain.pass, &plain.states, all, want, NULL, error));
  ASSERT_OK(tx_tail_features(f.tail, &f.pass, &f.states, all, have, NULL, error));
  assert_memory_not_equal(want, have, (size_t)(count * width) * 4);
  for (int64_t i = 0; i < set->count; i++) {
    tx_parameter *p = &set->items[i];
    bool b = strstr(p->name, ".weight.lora_b"), a = strstr(p->name, ".weight.lora_a");
    assert_true(a || b || !strncmp(p->name, "head.", 5));
    assert_true(!a || (p->outputs == 2 && fabsf(p->value[0]) <= 1 / sqrtf((float)p->inputs)));
    if (b) memset(p->value, 0, (size_t)(p->outputs * p->inputs) * 4);
    adapters += a;
  }
  assert_int_equal(adapters, 2 * TX_MATRICES);
  tx_parameters_pack(set);
  ASSERT_OK(tx_tail_features(f.tail, &f.pass, &f.states, all, have, NULL, error));
  assert_memory_equal(want, have, (size_t)(count * width) * 4);
  free(want), free(have);
  close_fixture(&plain), close_fixture(&f);
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
      cmocka_unit_test(test_two_way_attention),
      cmocka_unit_test(test_parts_of_a_step_are_the_step),
      cmocka_unit_test(test_losses),
      cmocka_unit_test(test_rates_fall_by_layer),
      cmocka_unit_test(test_adapters_start_from_the_model),
      cmocka_unit_test(test_states_in_a_file),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
