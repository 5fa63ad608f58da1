/* What earlier fits came to: found again to the bit, never for other inputs, and
 * missing or damaged records, small bounds and failing allocations cost no answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <cmocka.h>

#include "failing.h"
#include "adapt/depth.h"
#include "adapt/head.h"
#include "adapt/memo.h"
#include "model/trunk.h"
#include "score/linear.h"
#include "tasks/made.h"

enum { PLENTY = 1 << 28, ROWS = 40, WIDTH = 4, CLASSES = 3, DEEPEST = 2,
       RECORD = (DEEPEST + 1) * TX_PROBE_PARTS * WIDTH };

static tx_memo *open_memo(const char *directory) {
  tx_memo *memo = tx_memo_open(directory, PLENTY);
  assert_non_null(memo);
  return memo;
}

static size_t segments(const char *directory) {
  return access(directory, F_OK) == 0 ? made_names(directory) : 0;
}

/* ---- the store ----------------------------------------------------------- */

static const double long_part[5] = {1, -2, 0.25, 1e300, 0};
static const char short_part[3] = {'a', 0, 'c'};

static void keep(const char *directory, tx_cache_key key, uint64_t bound) {
  tx_memo *memo = tx_memo_open(directory, bound);
  assert_non_null(memo);
  const tx_memo_part parts[] = {{(void *)long_part, sizeof long_part},
                                {(void *)short_part, sizeof short_part}};
  tx_memo_keep(memo, key, parts, 2);
  tx_memo_keep(memo, key, parts, 2); /* a key is kept once */
  tx_memo_close(memo, NULL);
}

static bool finds(const char *directory, tx_cache_key key, uint64_t first, uint64_t second) {
  char to[2][64];
  memset(to, 7, sizeof to);
  tx_memo *memo = open_memo(directory);
  const tx_memo_part parts[] = {{to[0], first}, {to[1], second}};
  bool found = tx_memo_recall(memo, key, parts, 2);
  tx_memo_close(memo, NULL);
  if (found) {
    assert_memory_equal(to[0], long_part, first);
    if (first == sizeof long_part) assert_memory_equal(to[1], short_part, second);
  } else {
    for (size_t i = 0; i < sizeof to; i++) assert_int_equal(((char *)to)[i], 7);
  }
  return found;
}

static void test_kept_results_are_found_by_another_run(void **state) {
  (void)state;
  const char *directory = made("memo");
  tx_cache_key key = tx_memo_key("fit"), other = tx_memo_key("fit 2");
  assert_false(finds(directory, key, sizeof long_part, 3));
  keep(directory, key, PLENTY);
  assert_true(finds(directory, key, sizeof long_part, 3));
  assert_false(finds(directory, other, sizeof long_part, 3));
  assert_false(finds(directory, key, sizeof long_part, 30)); /* it is of one size and no other */
  assert_false(finds(directory, key, sizeof long_part, 2));
  tx_memo_close(open_memo(directory), NULL);
  assert_int_equal(segments(directory), 1);
}

static void test_a_key_holds_what_it_was_given_and_how(void **state) {
  (void)state;
  const int32_t numbers[] = {1, 2, 3};
  tx_cache_key keys[6];
  for (int i = 0; i < 6; i++) keys[i] = tx_memo_key(i == 5 ? "other" : "fit");
  tx_memo_add(&keys[0], numbers, 12);
  tx_memo_add(&keys[1], numbers, 8), tx_memo_add(&keys[1], numbers + 2, 4);
  tx_memo_add(&keys[2], numbers, 4), tx_memo_add(&keys[2], numbers + 1, 8);
  tx_memo_add(&keys[3], NULL, 0), tx_memo_add(&keys[3], numbers, 12);
  tx_memo_add(&keys[4], numbers, 12), tx_memo_add(&keys[4], NULL, 0);
  tx_memo_add(&keys[5], numbers, 12);
  for (int i = 0; i < 6; i++) {
    for (int j = 0; j < i; j++) {
      assert_true(keys[i].high != keys[j].high && keys[i].low != keys[j].low);
    }
  }
}

static void test_no_memo_and_no_room(void **state) {
  (void)state;
  const char *directory = made("small");
  tx_cache_key key = tx_memo_key("fit");
  const tx_memo_part part = {(void *)long_part, sizeof long_part};
  assert_false(tx_memo_recall(NULL, key, &part, 1));
  tx_memo_keep(NULL, key, &part, 1);
  tx_memo_close(NULL, NULL);
  keep(directory, key, 60); /* less than the record takes */
  assert_int_equal(segments(directory), 0);
  write_text(made("a-file"), "not a directory");
  tx_watch silent = {0};
  tx_memo *memo = tx_memo_open(made("a-file"), PLENTY);
  tx_memo_keep(memo, key, &part, 1);
  tx_memo_close(memo, &silent);
}

/* What this run read or wrote since the memo was opened stays where there is no room for
 * both; what was there before goes. */
static void test_states_of_the_run_stay(void **state) {
  (void)state;
  static const unsigned char states[4000] = {1};
  const tx_memo_part part = {(void *)long_part, sizeof long_part};
  for (int after = 0; after < 2; after++) {
    const char *directory = after ? made("after") : made("before");
    tx_cache_record record = {{1, 2}, states, sizeof states};
    tx_memo *memo = after ? tx_memo_open(directory, 4200) : NULL;
    tx_cache *cache;
    MADE_OK(tx_cache_open(directory, &cache, error));
    MADE_OK(tx_cache_add(cache, &record, 1, 4200, 0, error));
    tx_cache_close(cache);
    struct timespec moment = {0, 20000000}; /* files are dated to a few milliseconds */
    nanosleep(&moment, NULL);
    if (!memo) memo = tx_memo_open(directory, 4200);
    tx_memo_keep(memo, tx_memo_key("fit"), &part, 1);
    tx_memo_write(memo, NULL);
    tx_memo_write(memo, NULL); /* there is nothing left to write */
    char to[sizeof states];
    MADE_OK(tx_cache_open(directory, &cache, error));
    assert_int_equal(tx_cache_read(cache, record.key, sizeof to, to), after);
    tx_cache_close(cache);
    assert_int_equal(
        tx_memo_recall(memo, tx_memo_key("fit"), &(tx_memo_part){to, sizeof long_part}, 1), !after);
    tx_memo_close(memo, NULL);
  }
}

/* It needs few open files, and none while the run goes on. */
static void test_few_open_files(void **state) {
  (void)state;
  const char *directory = made("many");
  for (uint64_t i = 0; i < 100; i++) {
    tx_cache *cache;
    tx_cache_record record = {{i, i}, &i, sizeof i};
    MADE_OK(tx_cache_open(directory, &cache, error));
    MADE_OK(tx_cache_add(cache, &record, 1, PLENTY, 0, error));
    tx_cache_close(cache);
  }
  struct rlimit before, few;
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
  few = (struct rlimit){40, before.rlim_max};
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
  tx_memo *memo = open_memo(directory);
  char to[8];
  tx_memo_recall(memo, tx_memo_key("none"), &(tx_memo_part){to, 8}, 1);
  FILE *file = fopen(llama, "rb"); /* others find what they need */
  assert_non_null(file);
  fclose(file);
  tx_memo_close(memo, NULL);
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static void test_a_damaged_record_is_not_found(void **state) {
  (void)state;
  const char *directory = made("damaged");
  tx_cache_key key = tx_memo_key("fit");
  keep(directory, key, PLENTY);
  char **names, path[600];
  size_t count, size;
  tx_arena *arena = tx_arena_new();
  MADE_OK(tx_directory_names(directory, arena, &names, &count, error));
  assert_int_equal(count, 1);
  snprintf(path, sizeof path, "%s/%s", directory, names[0]);
  tx_arena_free(arena);
  char *bytes = read_bytes(path, &size);
  bytes[size - 1] ^= 1;
  write_bytes(path, bytes, size);
  free(bytes);
  assert_false(finds(directory, key, sizeof long_part, 3));
  assert_int_equal(segments(directory), 0); /* it was removed */
}

#ifdef FAILING_WORKS
static void test_each_allocation_fails(void **state) {
  (void)state;
  tx_cache_key key = tx_memo_key("fit");
  for (int64_t at = 1; at < 200; at++) {
    const char *directory = made("failing");
    tx_directory_remove(directory);
    int64_t blocks = failing_blocks;
    failing_at = at;
    tx_memo *memo = tx_memo_open(directory, PLENTY);
    char to[64];
    const tx_memo_part part = {(void *)long_part, sizeof long_part}, found = {to, sizeof long_part};
    tx_memo_keep(memo, key, &part, 1);
    tx_memo_close(memo, NULL);
    bool done = failing_at > 0;
    failing_at = 0;
    assert_int_equal(failing_blocks, blocks);
    memo = open_memo(directory);
    bool kept = tx_memo_recall(memo, key, &found, 1);
    tx_memo_close(memo, NULL);
    if (kept) assert_memory_equal(to, long_part, sizeof long_part);
    if (done) {
      assert_true(kept && at > 8);
      return;
    }
  }
  fail_msg("it allocates without end");
}
#else
static void test_each_allocation_fails(void **state) {
  (void)state;
  skip();
}
#endif

/* ---- the fits ------------------------------------------------------------ */

typedef struct {
  float features[ROWS * WIDTH], probes[ROWS * RECORD];
  int32_t labels[ROWS];
  uint64_t groups[ROWS];
  double class_weights[CLASSES];
  char texts[ROWS][40];
  tx_head_options head;
  tx_linear_options linear;
  tx_depth_options depth;
  int64_t rows;
} inputs;

static inputs made_inputs(void) {
  inputs in = {.rows = ROWS,
               .class_weights = {1, 2, 0.5},
               .head = {.folds = 3, .seed = 1},
               .linear = tx_linear_defaults(),
               .depth = {.highest = DEEPEST, .pooling = TX_POOLING_AUTO, .folds = 3, .seed = 1}};
  tx_random random = tx_random_seed(5);
  for (int i = 0; i < ROWS; i++) {
    in.labels[i] = i % CLASSES;
    in.groups[i] = (uint64_t)i;
    snprintf(in.texts[i], sizeof in.texts[i], "word%d and number %d", i % CLASSES, i);
  }
  for (int i = 0; i < ROWS * WIDTH; i++) in.features[i] = (float)tx_random_normal(&random);
  for (int i = 0; i < ROWS * RECORD; i++) in.probes[i] = (float)tx_random_normal(&random);
  return in;
}

typedef struct { /* every byte of it is a fit's answer, the rest 0 */
  float weight[CLASSES * WIDTH], bias[CLASSES], probabilities[ROWS * CLASSES];
  double penalty;
  tx_depth_score scores[3 * (DEEPEST + 1)];
  int count;
} answer;

typedef void a_fit(const inputs *in, tx_memo *memo, answer *to);

static void fit_head(const inputs *in, tx_memo *memo, answer *to) {
  tx_head_options options = in->head;
  options.memo = memo;
  if (options.class_weights) options.class_weights = in->class_weights;
  MADE_OK(tx_head_fit(in->features, in->labels, in->groups, in->rows, WIDTH, CLASSES, options,
                      to->weight, to->bias, &to->penalty, NULL, error));
}

static void fit_linear(const inputs *in, tx_memo *memo, answer *to) {
  tx_linear_options options = in->linear;
  options.memo = memo;
  tx_text texts[ROWS];
  for (int i = 0; i < ROWS; i++) texts[i] = tx_text_of(in->texts[i]);
  tx_scorer *scorer;
  MADE_OK(tx_linear_train(texts, in->labels, in->rows, CLASSES, options, &scorer, NULL, error));
  MADE_OK(scorer->score(scorer, texts, ROWS, to->probabilities, NULL, NULL, error));
  tx_scorer_free(scorer);
}

static void fit_depth(const inputs *in, tx_memo *memo, answer *to) {
  tx_depth_options options = in->depth;
  options.memo = memo;
  if (options.class_weights) options.class_weights = in->class_weights;
  int64_t offsets[ROWS + 1];
  for (int64_t i = 0; i <= ROWS; i++) offsets[i] = i;
  tx_states probes = {.count = in->rows, .width = RECORD, .offsets = offsets,
                      .rows = (float *)in->probes};
  MADE_OK(tx_depth_choose(&probes, WIDTH, in->labels, in->groups, CLASSES, options, to->scores,
                          &to->count, NULL, error));
}

/* Whether the fit was looked up: then nothing is written.  Its answer is that of
 * a fit without a memo, either way. */
static bool looked_up(const char *directory, a_fit *fit, const inputs *in) {
  answer with = {0}, without = {0};
  memset(&with, 0, sizeof with), memset(&without, 0, sizeof without);
  size_t before = segments(directory);
  tx_memo *memo = open_memo(directory);
  fit(in, memo, &with);
  tx_memo_close(memo, NULL);
  fit(in, NULL, &without);
  assert_memory_equal(&with, &without, sizeof with);
  return segments(directory) == before;
}

static void one_label(inputs *in) { in->labels[7] = (in->labels[7] + 1) % CLASSES; }
static void one_group(inputs *in) { in->groups[7] = 8; }
static void one_feature(inputs *in) { in->features[9] += 0.5f; }
static void one_probe(inputs *in) { in->probes[ROWS * RECORD - 1] += 0.5f; }
static void one_text(inputs *in) { in->texts[7][0] = 'x'; }
static void fewer_rows(inputs *in) { in->rows--; }
static void weights(inputs *in) {
  in->head.class_weights = in->depth.class_weights = in->class_weights;
}
static void other_weights(inputs *in) { weights(in), in->class_weights[1] = 3; }
static void other_seed(inputs *in) { in->head.seed = in->linear.seed = in->depth.seed = 2; }
static void other_folds(inputs *in) { in->head.folds = in->linear.folds = in->depth.folds = 4; }
static void own_penalty(inputs *in) { in->head.penalty = 0.02; }
static void fewer_terms(inputs *in) { in->linear.max_terms = 20; }
static void rarer_terms(inputs *in) { in->linear.min_documents = 2; }
static void other_runs(inputs *in) { in->linear.longest_run = 3; }
static void deeper_from(inputs *in) { in->depth.lowest = 1; }
static void less_deep(inputs *in) { in->depth.highest = 1; }
static void one_pooling(inputs *in) { in->depth.pooling = TX_POOLING_MEAN; }

typedef void change(inputs *in);

static void check_fit(const char *directory, a_fit *fit, change *const *changes) {
  inputs plain = made_inputs();
  assert_false(looked_up(directory, fit, &plain));
  assert_true(looked_up(directory, fit, &plain));
  for (int i = 0; changes[i]; i++) {
    inputs changed = plain;
    changes[i](&changed);
    if (looked_up(directory, fit, &changed)) fail_msg("change %d is taken for the same", i);
    if (!looked_up(directory, fit, &changed)) fail_msg("change %d is not found again", i);
  }
  assert_true(looked_up(directory, fit, &plain));
}

static void test_heads(void **state) {
  (void)state;
  check_fit(made("heads"), fit_head,
            (change *const[]){one_label, one_group, one_feature, fewer_rows, weights, other_weights,
                              other_seed, other_folds, own_penalty, NULL});
}

static void test_linear_baselines(void **state) {
  (void)state;
  check_fit(made("linear"), fit_linear,
            (change *const[]){one_label, one_text, fewer_rows, other_seed, other_folds, fewer_terms,
                              rarer_terms, other_runs, NULL});
}

static void test_depths(void **state) {
  (void)state;
  check_fit(made("depths"), fit_depth,
            (change *const[]){one_label, one_group, one_probe, fewer_rows, weights, other_weights,
                              other_seed, other_folds, deeper_from, less_deep, one_pooling, NULL});
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_kept_results_are_found_by_another_run),
      cmocka_unit_test(test_a_key_holds_what_it_was_given_and_how),
      cmocka_unit_test(test_no_memo_and_no_room),
      cmocka_unit_test(test_states_of_the_run_stay),
      cmocka_unit_test(test_few_open_files),
      cmocka_unit_test(test_a_damaged_record_is_not_found),
      cmocka_unit_test(test_each_allocation_fails),
      cmocka_unit_test(test_heads),
      cmocka_unit_test(test_linear_baselines),
      cmocka_unit_test(test_depths),
  };
  return cmocka_run_group_tests(tests, made_setup, made_teardown);
}
