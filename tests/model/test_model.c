/* Whole models against transformers' fp32 (tests/golden/make_models.py), and
 * against themselves: the same bits on every path, batch and thread count. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "golden.h"
#include "model/trunk.h"

typedef struct {
  tx_model *model;
  tx_pass pass;
  tx_gguf *golden;
  tx_sequences sequences;
  int64_t *offsets;
} fixture;

static fixture open_fixture(const char *model, const char *golden) {
  fixture f = {0};
  int64_t count;
  ASSERT_OK(tx_model_open(model, NULL, &f.model, error));
  const tx_facts *facts = tx_model_facts(f.model);
  ASSERT_OK(tx_model_load(f.model, 0, facts->blocks, error));
  ASSERT_OK(tx_pass_open(facts, &f.pass, error));
  f.golden = golden_open(golden);
  const int32_t *offsets = golden_ints(f.golden, "offsets", &count);
  f.offsets = checked_memory((size_t)count * sizeof *f.offsets);
  for (int64_t i = 0; i < count; i++) f.offsets[i] = offsets[i];
  f.sequences = (tx_sequences){count - 1, golden_ints(f.golden, "ids", NULL), f.offsets};
  return f;
}

static void close_fixture(fixture *f) {
  tx_pass_close(&f->pass);
  tx_model_close(f->model);
  tx_gguf_close(f->golden);
  free(f->offsets);
}

/* The rows of x (T, C) that are each sequence's last (or first) token. */
static void pick(const fixture *f, const float *x, bool last, float *rows) {
  int64_t width = tx_model_facts(f->model)->width;
  for (int64_t b = 0; b < f->sequences.count; b++) {
    int64_t token = last ? f->offsets[b + 1] - 1 : f->offsets[b];
    memcpy(rows + b * width, x + token * width, (size_t)width * sizeof *rows);
  }
}

static void check_tiny(const char *model, const char *golden) {
  fixture f = open_fixture(model, golden);
  const tx_facts *facts = tx_model_facts(f.model);
  int64_t tokens = f.offsets[f.sequences.count], width = facts->width;
  float *x = checked_memory((size_t)(tokens * width) * 4);
  float *normed = checked_memory((size_t)(tokens * width) * 4);
  float *rows = checked_memory((size_t)(f.sequences.count * width) * 4);
  float *logits = checked_memory((size_t)(f.sequences.count * facts->vocabulary) * 4);
  for (int64_t depth = 0; depth <= facts->blocks; depth++) {
    char name[32];
    snprintf(name, sizeof name, "hidden.%d", (int)depth);
    ASSERT_OK(tx_trunk_run(f.model, &f.pass, &f.sequences, depth, 60, x, "", NULL, error));
    assert_close(x, golden_floats(f.golden, name), tokens * width, 1e-5, name);
  }
  tx_norm_forward(&f.pass, tx_model_output_norm(f.model), tokens, x, normed, NULL, NULL);
  assert_close(normed, golden_floats(f.golden, "normed"), tokens * width, 1e-5, "normed");
  pick(&f, normed, true, rows);
  ASSERT_OK(tx_model_logits(f.model, rows, f.sequences.count, logits, error));
  assert_close(logits, golden_floats(f.golden, "logits"), f.sequences.count * facts->vocabulary,
               1e-5, "logits");
  float *features = checked_memory((size_t)(f.sequences.count * width) * 4);
  for (int pooling = 0; pooling < 3; pooling++) {
    ASSERT_OK(tx_trunk_features(f.model, &f.pass, &f.sequences, facts->blocks, (tx_pooling)pooling,
                                60, features, "", NULL, error));
    if (pooling != TX_POOLING_MEAN) { /* the shortcut through the last block is exact */
      pick(&f, normed, pooling == TX_POOLING_LAST, rows);
      assert_memory_equal(features, rows, (size_t)(f.sequences.count * width) * 4);
      continue;
    }
    for (int64_t b = 0; b < f.sequences.count; b++) {
      for (int64_t c = 0; c < width; c++) {
        double sum = 0;
        for (int64_t t = f.offsets[b]; t < f.offsets[b + 1]; t++)
          sum += (double)normed[t * width + c];
        rows[b * width + c] = (float)(sum / (double)(f.offsets[b + 1] - f.offsets[b]));
      }
    }
    assert_close(features, rows, f.sequences.count * width, 1e-6, "mean");
  }
  free(x), free(normed), free(rows), free(logits), free(features);
  close_fixture(&f);
}

static void test_tiny_llama(void **state) {
  (void)state;
  check_tiny("tests/golden/tiny_llama.gguf", "tiny_llama_golden.gguf");
}

static void test_tiny_gpt2(void **state) {
  (void)state;
  check_tiny("tests/golden/tiny_gpt2.gguf", "tiny_gpt2_golden.gguf");
}

/* One whole pass over everything, for comparing bits. */
static float *run_all(fixture *f, tx_pooling pooling, const char *path, int threads,
                      int64_t batch_tokens) {
  const tx_facts *facts = tx_model_facts(f->model);
  int64_t tokens = f->offsets[f->sequences.count], width = facts->width;
  float *out = checked_memory((size_t)((tokens + f->sequences.count) * width) * 4);
  f->pass.kernels = tx_kernels_find(strcmp(path, "vnni") == 0 ? "avx512" : path);
  f->pass.int8 = tx_int8_find(path);
  f->pass.grouped = tx_grouped_find(path);
  tx_set_threads(threads);
  ASSERT_OK(tx_trunk_run(f->model, &f->pass, &f->sequences, facts->blocks, batch_tokens, out, "",
                         NULL, error));
  ASSERT_OK(tx_trunk_features(f->model, &f->pass, &f->sequences, facts->blocks, pooling,
                              batch_tokens, out + tokens * width, "", NULL, error));
  tx_set_threads(0);
  return out;
}

static void load_as(fixture *f, tx_dtype dtype) {
  int64_t blocks = tx_model_facts(f->model)->blocks;
  tx_model_unload(f->model, 0, blocks);
  tx_model_set_dtype(f->model, dtype);
  ASSERT_OK(tx_model_load(f->model, 0, blocks, error));
}

static void check_same_bits(const char *model, const char *golden, tx_dtype dtype) {
  static const char *const paths[] = {"generic", "avx2", "avx512", "vnni"};
  fixture f = open_fixture(model, golden);
  load_as(&f, dtype);
  size_t floats =
      (size_t)((f.offsets[f.sequences.count] + f.sequences.count) * tx_model_facts(f.model)->width);
  for (int pooling = 0; pooling < 3; pooling++) {
    float *want = run_all(&f, (tx_pooling)pooling, "generic", 1, 1);
    for (size_t path = 0; path < 4; path++) {
      if (!tx_int8_find(paths[path]) || !tx_grouped_find(paths[path])) continue;
      for (int threads = 1; threads <= 3; threads++) {
        for (int64_t budget = 1; budget < 200; budget += 66) {
          float *got = run_all(&f, (tx_pooling)pooling, paths[path], threads, budget);
          assert_memory_equal(got, want, floats * 4);
          free(got);
        }
      }
    }
    free(want);
  }
  close_fixture(&f);
}

static void test_same_bits_everywhere(void **state) {
  (void)state;
  for (int dtype = TX_DTYPE_F32; dtype <= TX_DTYPE_FILE; dtype++) {
    check_same_bits("tests/golden/tiny_llama.gguf", "tiny_llama_golden.gguf", (tx_dtype)dtype);
    check_same_bits("tests/golden/tiny_gpt2.gguf", "tiny_gpt2_golden.gguf", (tx_dtype)dtype);
  }
}

/* Blocks as bytes, or as the file's own values: near the golden states, but not them;
 * loaded again as fp32, them. */
static void check_near(const char *model, const char *golden, tx_dtype dtype, double bound) {
  fixture f = open_fixture(model, golden);
  const tx_facts *facts = tx_model_facts(f.model);
  int64_t tokens = f.offsets[f.sequences.count], floats = tokens * facts->width;
  float *x = checked_memory((size_t)floats * 4);
  char name[32];
  snprintf(name, sizeof name, "hidden.%d", (int)facts->blocks);
  const float *want = golden_floats(f.golden, name);
  load_as(&f, dtype);
  ASSERT_OK(tx_trunk_run(f.model, &f.pass, &f.sequences, facts->blocks, 60, x, "", NULL, error));
  double difference = 0, size = 0;
  for (int64_t i = 0; i < floats; i++) {
    difference += pow((double)x[i] - (double)want[i], 2);
    size += pow((double)want[i], 2);
  }
  difference = sqrt(difference / size);
  if (difference > bound || difference < 1e-4) {
    fail_msg("%s: off by %g of its size", name, difference);
  }
  load_as(&f, TX_DTYPE_F32);
  ASSERT_OK(tx_trunk_run(f.model, &f.pass, &f.sequences, facts->blocks, 60, x, "", NULL, error));
  assert_close(x, want, floats, 1e-5, name);
  free(x);
  close_fixture(&f);
}

static void test_blocks_as_bytes(void **state) {
  (void)state;
  check_near("tests/golden/tiny_llama.gguf", "tiny_llama_golden.gguf", TX_DTYPE_INT8, 0.04);
  check_near("tests/golden/tiny_gpt2.gguf", "tiny_gpt2_golden.gguf", TX_DTYPE_INT8, 0.04);
}

/* What the file holds in groups stays so, the rest is fp32. */
static void test_blocks_as_the_file_has_them(void **state) {
  (void)state;
  check_near("tests/golden/tiny_llama.gguf", "tiny_llama_golden.gguf", TX_DTYPE_FILE, 0.03);
  check_near("tests/golden/tiny_gpt2.gguf", "tiny_gpt2_golden.gguf", TX_DTYPE_FILE, 0.03);
  fixture f = open_fixture("tests/golden/tiny_llama.gguf", "tiny_llama_golden.gguf");
  int64_t blocks = tx_model_facts(f.model)->blocks;
  uint64_t wide = tx_model_bytes(f.model, 0, blocks);
  load_as(&f, TX_DTYPE_FILE);
  for (int64_t block = 0; block < blocks; block++) {
    for (int slot = 0; slot < TX_MATRICES; slot++) {
      const tx_matrix *matrix = &tx_model_block(f.model, block)->matrix[slot];
      char name[64];
      snprintf(name, sizeof name, "blk.%d.%s.weight", (int)block,
               tx_matrix_stem((tx_matrix_slot)slot));
      const tx_tensor *tensor = tx_gguf_tensor(tx_model_gguf(f.model), name);
      bool groups = tensor->type == TX_TENSOR_Q8_0 || tensor->type == TX_TENSOR_Q4_1;
      if (groups != (matrix->groups != NULL) || groups != (matrix->panels == NULL)) {
        fail_msg("%s", name);
      }
      if (groups) assert_int_equal(matrix->type, tensor->type);
    }
  }
  assert_true(tx_model_bytes(f.model, 0, blocks) < wide / 2);
  close_fixture(&f);
}

/* Logits from the file's own values: near those of fp32, and the same bits for one
 * row as for many, with any number of threads. */
static void test_logits_as_the_file_has_them(void **state) {
  (void)state;
  fixture f = open_fixture("tests/golden/tiny_llama.gguf", "tiny_llama_golden.gguf");
  const tx_facts *facts = tx_model_facts(f.model);
  enum { ROWS = 40 };
  size_t floats = (size_t)(ROWS * facts->vocabulary);
  const float *states = golden_floats(f.golden, "normed");
  float *want = checked_memory(floats * 4), *got = checked_memory(floats * 4);
  ASSERT_OK(tx_model_logits(f.model, states, ROWS, want, error));
  load_as(&f, TX_DTYPE_FILE);
  ASSERT_OK(tx_model_logits(f.model, states, ROWS, got, error));
  assert_close(got, want, (int64_t)floats, 0.02, "logits");
  assert_true(memcmp(got, want, floats * 4) != 0);
  for (int64_t row = 0; row < ROWS; row++) {
    tx_set_threads(1 + (int)row % 3);
    ASSERT_OK(tx_model_logits(f.model, states + row * facts->width, 1, want, error));
    assert_memory_equal(want, got + row * facts->vocabulary, (size_t)facts->vocabulary * 4);
  }
  tx_set_threads(0);
  tx_model_set_dtype(f.model, TX_DTYPE_F32);
  ASSERT_OK(tx_model_logits(f.model, states, ROWS, want, error));
  assert_true(memcmp(got, want, floats * 4) != 0); /* as today */
  free(want), free(got);
  close_fixture(&f);
}

/* A probe holds what the features are at every depth, bit for bit. */
static void check_probe(const char *model, const char *golden) {
  static const tx_pooling poolings[] = {TX_POOLING_LAST, TX_POOLING_MEAN, TX_POOLING_LAST_MEAN};
  fixture f = open_fixture(model, golden);
  int64_t width = tx_model_facts(f.model)->width, blocks = tx_model_facts(f.model)->blocks;
  int64_t count = f.sequences.count, record = (blocks + 1) * TX_PROBE_PARTS * width;
  float *probes = checked_memory((size_t)(count * record) * 4);
  float *less = checked_memory((size_t)(count * record) * 4);
  float *features = checked_memory((size_t)(count * 2 * width) * 4);
  ASSERT_OK(tx_trunk_probe(f.model, &f.pass, &f.sequences, blocks, 60, probes, "", NULL, error));
  for (int64_t depth = 0; depth <= blocks; depth++) {
    for (int p = 0; p < 3; p++) {
      int64_t parts = tx_pool_parts(poolings[p]), from = depth * TX_PROBE_PARTS * width;
      if (poolings[p] == TX_POOLING_MEAN) from += width;
      ASSERT_OK(tx_trunk_features(f.model, &f.pass, &f.sequences, depth, poolings[p], 33, features,
                                  "", NULL, error));
      for (int64_t b = 0; b < count; b++) {
        assert_memory_equal(features + b * parts * width, probes + b * record + from,
                            (size_t)(parts * width) * 4);
      }
    }
    /* A probe to a smaller depth is the start of a deeper one. */
    int64_t part = (depth + 1) * TX_PROBE_PARTS * width;
    ASSERT_OK(tx_trunk_probe(f.model, &f.pass, &f.sequences, depth, 1, less, "", NULL, error));
    for (int64_t b = 0; b < count; b++) {
      assert_memory_equal(less + b * part, probes + b * record, (size_t)part * 4);
    }
  }
  free(probes), free(less), free(features);
  close_fixture(&f);
}

static void test_probe_is_the_features(void **state) {
  (void)state;
  check_probe("tests/golden/tiny_llama.gguf", "tiny_llama_golden.gguf");
  check_probe("tests/golden/tiny_gpt2.gguf", "tiny_gpt2_golden.gguf");
}

/* The real model, where TAXON_TEST_MODEL names its file. */
static void test_smollm2(void **state) {
  (void)state;
  const char *path = getenv("TAXON_TEST_MODEL");
  if (!path || !*path) skip();
  fixture f = open_fixture(path, "smollm2_golden.gguf");
  const tx_facts *facts = tx_model_facts(f.model);
  int64_t tokens = f.offsets[f.sequences.count], width = facts->width, count = f.sequences.count;
  float *x = checked_memory((size_t)(tokens * width) * 4);
  float *rows = checked_memory((size_t)(count * width) * 4);
  float *logits = checked_memory((size_t)(count * facts->vocabulary) * 4);
  for (int64_t depth = 0; depth <= facts->blocks; depth++) {
    char name[32];
    snprintf(name, sizeof name, "hidden.%d", (int)depth);
    ASSERT_OK(tx_trunk_run(f.model, &f.pass, &f.sequences, depth, 512, x, "", NULL, error));
    pick(&f, x, true, rows);
    assert_close(rows, golden_floats(f.golden, name), count * width, 1e-4, name);
    snprintf(name, sizeof name, "hidden_first.%d", (int)depth);
    if (!tx_gguf_tensor(f.golden, name)) continue;
    pick(&f, x, false, rows);
    assert_close(rows, golden_floats(f.golden, name), count * width, 1e-4, name);
  }
  ASSERT_OK(tx_trunk_features(f.model, &f.pass, &f.sequences, facts->blocks, TX_POOLING_LAST, 512,
                              rows, "", NULL, error));
  assert_close(rows, golden_floats(f.golden, "normed"), count * width, 1e-4, "normed");
  ASSERT_OK(tx_model_logits(f.model, rows, count, logits, error));
  int64_t picked;
  const int32_t *indices = golden_ints(f.golden, "logit_indices", &picked);
  const float *want = golden_floats(f.golden, "logits");
  for (int64_t b = 0; b < count; b++) {
    float *some = checked_memory((size_t)picked * 4), *all = logits + b * facts->vocabulary;
    for (int64_t i = 0; i < picked; i++) some[i] = all[indices[i]];
    assert_close(some, want + b * picked, picked, 1e-4, "logits");
    int32_t best = 0;
    for (int32_t v = 0; v < facts->vocabulary; v++) best = all[v] > all[best] ? v : best;
    assert_int_equal(best, golden_ints(f.golden, "logits_argmax", NULL)[b]);
    free(some);
  }
  free(x), free(rows), free(logits);
  close_fixture(&f);
}

static void test_ids_outside_are_refused(void **state) {
  (void)state;
  fixture f = open_fixture("tests/golden/tiny_llama.gguf", "tiny_llama_golden.gguf");
  const int32_t bad[] = {421, -1};
  const int64_t offsets[] = {0, 1};
  float x[64];
  for (int i = 0; i < 2; i++) {
    tx_error error = {0};
    tx_sequences one = {1, bad + i, offsets};
    assert_int_equal(tx_trunk_run(f.model, &f.pass, &one, 1, 8, x, "", NULL, &error),
                     TX_ERROR_INPUT);
    assert_non_null(strstr(error.message, "outside the vocabulary of 421"));
  }
  close_fixture(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_tiny_llama),
      cmocka_unit_test(test_tiny_gpt2),
      cmocka_unit_test(test_same_bits_everywhere),
      cmocka_unit_test(test_blocks_as_bytes),
      cmocka_unit_test(test_blocks_as_the_file_has_them),
      cmocka_unit_test(test_logits_as_the_file_has_them),
      cmocka_unit_test(test_probe_is_the_features),
      cmocka_unit_test(test_smollm2),
      cmocka_unit_test(test_ids_outside_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
