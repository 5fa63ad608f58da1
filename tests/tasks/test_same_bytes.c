/* One seed gives one artifact, byte for byte: on any number of threads, on every
 * kernel path, with the states in memory or in a file; and a step in parts is
 * the step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tasks/made.h"
#include "formats/gguf.h"
#include "kernels/kernels.h"

static const char *const paths[] = {"generic", "avx2", "avx512"};

/* The same training on this many threads of each path, one bit for each number;
 * the generic path is slow, so that not everything is tried on it. */
static void check_ways(tx_train_options options, const int ways[3], const char *what) {
  options.out = made("first.taxon");
  tx_set_threads(1);
  made_train(options);
  for (size_t path = 0; path < 3; path++) {
    if (!tx_kernels_find(paths[path])) continue;
    setenv("TAXON_CPU", paths[path], 1);
    for (int threads = 1; threads <= 3; threads++) {
      if (!(ways[path] & 1 << (threads - 1))) continue;
      tx_set_threads(threads);
      options.out = made("again.taxon");
      made_train(options);
      if (!same_files(made("first.taxon"), made("again.taxon"))) {
        fail_msg("%s: another artifact on %s, %d threads", what, paths[path], threads);
      }
    }
  }
  unsetenv("TAXON_CPU");
  tx_set_threads(1);
}

static void check_model(const char *model, tx_method method, int blocks) {
  make_table(made("small.tsv"), 3, 13);
  make_table(made("small_val.tsv"), 4, 5);
  for (int pooling = 0; pooling < 3; pooling++) {
    for (int solver = 0; solver < 2; solver++) {
      tx_train_options options = made_options(model, NULL);
      char what[100];
      options.data = made("small.tsv");
      options.validation = made("small_val.tsv");
      options.max_tokens = 8;
      options.method = method;
      options.blocks = blocks;
      options.epochs = 1;
      options.pooling = (tx_pooling)pooling;
      options.head_solver = (tx_head_solver)solver;
      /* one of the combinations also chooses its penalty */
      if (pooling == TX_POOLING_MEAN && method == TX_METHOD_HEAD) options.penalty = 0;
      snprintf(what, sizeof what, "%s, method %d, blocks %d, pooling %d, solver %d", model,
               (int)method, blocks, pooling, solver);
      check_ways(options, (int[]){(pooling + solver) % 3 ? 0 : 1, 2, 5}, what);
    }
  }
}

static void test_head(void **state) {
  (void)state;
  check_model(llama, TX_METHOD_HEAD, 1);
  check_model(gpt2, TX_METHOD_HEAD, 1);
}

static void test_last_block(void **state) {
  (void)state;
  check_model(llama, TX_METHOD_LAST_BLOCK, 1);
  check_model(gpt2, TX_METHOD_LAST_BLOCK, 1);
}

static void test_two_blocks(void **state) {
  (void)state;
  check_model(llama, TX_METHOD_LAST_BLOCK, 2);
  check_model(gpt2, TX_METHOD_LAST_BLOCK, 2);
}

static void test_held_out_validation(void **state) {
  (void)state;
  tx_train_options options = made_options(llama, NULL);
  options.validation = NULL;
  options.penalty = 0;
  check_ways(options, (int[]){0, 3, 4}, "held-out validation");
}

static void test_seeds_differ(void **state) {
  (void)state;
  tx_train_options options = made_options(llama, made("one.taxon"));
  options.head_solver = TX_HEAD_SGD;
  made_train(options);
  options.out = made("two.taxon"), options.seed = 1;
  made_train(options);
  tx_gguf *one, *two;
  MADE_OK(tx_gguf_open(made("one.taxon"), &one, error));
  MADE_OK(tx_gguf_open(made("two.taxon"), &two, error));
  const tx_tensor *a = tx_gguf_tensor(one, "head.weight"), *b = tx_gguf_tensor(two, "head.weight");
  assert_int_equal(a->size, b->size);
  assert_memory_not_equal(a->data, b->data, a->size);
  tx_gguf_close(one), tx_gguf_close(two);
}

static void test_states_in_a_file(void **state) {
  (void)state;
  for (int method = 0; method < 2; method++) {
    tx_train_options options = made_options(gpt2, made("memory.taxon"));
    options.method = (tx_method)method;
    made_train(options);
    options.out = made("file.taxon"), options.cache_mb = 0;
    options.home = made("a/home/not/made/yet"); /* a model by path needs none */
    made_train(options);
    assert_true(same_files(made("memory.taxon"), made("file.taxon")));
    assert_int_equal(made_names(options.home), 0); /* the file has no name */
  }
}

/* Every tensor that was trained, of two artifacts. */
static void assert_same_tensors(const char *first, const char *second) {
  tx_gguf *a, *b;
  MADE_OK(tx_gguf_open(first, &a, error));
  MADE_OK(tx_gguf_open(second, &b, error));
  assert_int_equal(tx_gguf_tensor_count(a), tx_gguf_tensor_count(b));
  assert_true(tx_gguf_tensor_count(a) >= 3);
  for (size_t i = 0; i < tx_gguf_tensor_count(a); i++) {
    const tx_tensor *left = tx_gguf_tensor_at(a, i), *right = tx_gguf_tensor_at(b, i);
    assert_string_equal(left->name, right->name);
    assert_int_equal(left->size, right->size);
    if (memcmp(left->data, right->data, left->size) != 0) fail_msg("%s differs", left->name);
  }
  tx_gguf_close(a), tx_gguf_close(b);
}

static void check_accumulation(tx_train_options options, int batch, int parts) {
  options.out = made("large.taxon");
  options.batch = batch, options.accumulate = 1;
  made_train(options);
  options.out = made("parts.taxon");
  options.batch = batch / parts, options.accumulate = parts;
  made_train(options);
  assert_same_tensors(made("large.taxon"), made("parts.taxon"));
}

/* 26 rows, so that the last step of an epoch is cut short. */
static void test_accumulation_is_the_large_batch(void **state) {
  (void)state;
  make_table(made("odd.tsv"), 3, 26);
  for (int pooling = 0; pooling < 3; pooling++) {
    for (int method = 0; method < 2; method++) {
      tx_train_options options = made_options(pooling ? llama : gpt2, NULL);
      options.data = made("odd.tsv");
      options.max_tokens = 12;
      options.method = (tx_method)method;
      options.head_solver = TX_HEAD_SGD;
      options.pooling = (tx_pooling)pooling;
      options.class_weights = pooling ? TX_CLASS_WEIGHTS_BALANCED : TX_CLASS_WEIGHTS_NONE;
      options.blocks = 2;
      check_accumulation(options, 8, 4);
      check_accumulation(options, 11, 11);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_head),
      cmocka_unit_test(test_last_block),
      cmocka_unit_test(test_two_blocks),
      cmocka_unit_test(test_held_out_validation),
      cmocka_unit_test(test_seeds_differ),
      cmocka_unit_test(test_states_in_a_file),
      cmocka_unit_test(test_accumulation_is_the_large_batch),
  };
  return cmocka_run_group_tests(tests, made_setup, made_teardown);
}
