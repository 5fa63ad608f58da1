/* Every allocation of training, saving, loading and scoring the linear baseline
 * fails once, in turn: each gives TX_ERROR_SYSTEM, or what is needed is had
 * another way, and nothing is lost.  Skipped where a sanitizer owns malloc. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "failing.h"
#include "score/linear.h"

static char path[64];

#ifdef FAILING_WORKS

static tx_text texts[30];
static int32_t labels[30];

static tx_status train(tx_error *error) {
  tx_scorer *scorer;
  tx_status status =
      tx_linear_train(texts, labels, 30, 3, tx_linear_defaults(), &scorer, NULL, error);
  tx_scorer_free(scorer);
  return status;
}

static tx_status load(tx_error *error) {
  tx_gguf *gguf;
  tx_scorer *scorer = NULL;
  float probabilities[90];
  tx_status status = tx_gguf_open(path, &gguf, error);
  if (status == TX_OK) status = tx_linear_load(gguf, 0, 3, &scorer, error);
  if (status == TX_OK) {
    status = scorer->score(scorer, texts, 30, probabilities, NULL, NULL, error);
  }
  tx_scorer_free(scorer);
  tx_gguf_close(gguf);
  return status;
}

/* The number of allocations that `run` makes, each of which failed once. */
static int fail_each(tx_status (*run)(tx_error *error), int *refusals) {
  *refusals = 0;
  for (int at = 1;; at++) {
    tx_error error = {0};
    int64_t before = failing_blocks;
    failing_at = at;
    tx_status status = run(&error);
    bool reached = failing_at == 0;
    failing_at = 0;
    assert_int_equal(failing_blocks, before);
    if (status != TX_OK) assert_int_equal(status, TX_ERROR_SYSTEM);
    *refusals += status != TX_OK;
    if (!reached) {
      assert_int_equal(status, TX_OK);
      return at - 1;
    }
  }
}

static void test_each_allocation_fails(void **state) {
  (void)state;
  tx_set_threads(1); /* so that the n-th allocation is the same each time */
  for (int i = 0; i < 30; i++) {
    texts[i] = tx_text_of((const char *[]){"warm and sunny", "rain all day", "snow, Überraschung",
                                           "wind", "sun and rain"}[i % 5]);
    labels[i] = i % 3;
  }
  tx_scorer *scorer;
  tx_error error = {0};
  assert_int_equal(
      tx_linear_train(texts, labels, 30, 3, tx_linear_defaults(), &scorer, NULL, &error), TX_OK);
  tx_gguf_writer *writer = tx_gguf_writer_new();
  tx_linear_save(scorer, 0, writer);
  assert_int_equal(tx_gguf_commit(writer, path, &error), TX_OK);
  tx_gguf_writer_free(writer);
  tx_scorer_free(scorer);
  assert_int_equal(load(&error), TX_OK); /* so that nothing is set up for the first time */
  int refusals;
  int count_of_load = fail_each(load, &refusals);
  assert_true(count_of_load >= 15 && refusals >= 12);
  int count_of_training = fail_each(train, &refusals);
  assert_true(count_of_training >= 200 && refusals >= 200);
}

#else

static void test_each_allocation_fails(void **state) {
  (void)state;
  skip();
}

#endif

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_allocation_fails)};
  snprintf(path, sizeof path, "/tmp/taxon-linear-memory-%ld.gguf", (long)getpid());
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  unlink(path);
  return failed;
}
