/* States taken from the cache on disk: the same bits as computed ones, only what
 * is missing is computed, and nothing that is not of the same model, tokens and
 * depth is taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tasks/made.h"
#include "adapt/trunk_cache.h"

enum { TEXTS = 9, TOKENS = 60, BLOCKS = 3 };

static const char hash_one[] = "1111111111111111111111111111111111111111111111111111111111111111";
static const char hash_two[] = "1111111111111111111111111111111111111111111111111111111111111112";

typedef struct {
  tx_model *model;
  tx_pass pass;
  int32_t ids[TOKENS];
  int64_t offsets[TEXTS + 1], singles[TEXTS + 1];
} fixture;

static fixture f;

/* Texts of 1 to 12 tokens; 3 is 7 again, and 5 begins as 4 does. */
static int setup(void **state) {
  if (made_setup(state)) return -1;
  tx_random random = tx_random_seed(1);
  static const int sizes[TEXTS] = {5, 1, 12, 6, 4, 7, 3, 6, 2};
  MADE_OK(tx_model_open(llama, NULL, &f.model, error));
  MADE_OK(tx_pass_open(tx_model_facts(f.model), &f.pass, error));
  assert_int_equal(tx_model_facts(f.model)->blocks, BLOCKS);
  for (int i = 0; i < TEXTS; i++) f.offsets[i + 1] = f.offsets[i] + sizes[i];
  for (int i = 0; i <= TEXTS; i++) f.singles[i] = i;
  for (int i = 0; i < TOKENS; i++) f.ids[i] = (int32_t)tx_random_below(&random, 400);
  memcpy(f.ids + f.offsets[7], f.ids + f.offsets[3], 6 * sizeof *f.ids);
  memcpy(f.ids + f.offsets[5], f.ids + f.offsets[4], 4 * sizeof *f.ids);
  return 0;
}

static int teardown(void **state) {
  tx_pass_close(&f.pass);
  tx_model_close(f.model);
  return made_teardown(state);
}

static tx_trunk_cache cache_in(const char *directory) {
  return (tx_trunk_cache){.model = f.model, .model_sha256 = hash_one, .directory = directory,
                          .bound = 1 << 30, .scratch = made_directory};
}

static const tx_trunk_want wants[] = {
    {TX_TRUNK_TOKENS, 0, 0},
    {TX_TRUNK_TOKENS, 2, 0},
    {TX_TRUNK_POOLED, 0, TX_POOLING_LAST},
    {TX_TRUNK_POOLED, 3, TX_POOLING_LAST},
    {TX_TRUNK_POOLED, 3, TX_POOLING_MEAN},
    {TX_TRUNK_POOLED, 3, TX_POOLING_FIRST},
    {TX_TRUNK_POOLED, 2, TX_POOLING_LAST_MEAN},
    {TX_TRUNK_PROBE, 3, TX_POOLING_LAST_MEAN},
    {TX_TRUNK_PROBE, 1, TX_POOLING_LAST_MEAN},
};
enum { WANTS = sizeof wants / sizeof *wants };

/* As the trunk itself computes them, each text alone. */
static float *plainly(tx_trunk_want want, int64_t from, int64_t count, size_t *floats) {
  int64_t width = tx_trunk_want_width(f.model, want);
  const int64_t *rows = want.kind == TX_TRUNK_TOKENS ? f.offsets : f.singles;
  *floats = (size_t)((rows[from + count] - rows[from]) * width);
  float *all = malloc((*floats + 1) * sizeof *all);
  MADE_OK(tx_model_load(f.model, 0, BLOCKS, error));
  for (int64_t i = from; i < from + count; i++) {
    const int64_t one[2] = {0, f.offsets[i + 1] - f.offsets[i]};
    tx_sequences text = {1, f.ids + f.offsets[i], one};
    float *to = all + (rows[i] - rows[from]) * width;
    if (want.kind == TX_TRUNK_TOKENS) {
      MADE_OK(tx_trunk_run(f.model, &f.pass, &text, want.depth, 1, to, "", NULL, error));
    } else if (want.kind == TX_TRUNK_POOLED) {
      MADE_OK(tx_trunk_features(f.model, &f.pass, &text, want.depth, want.pooling, 1, to, "", NULL,
                                error));
    } else {
      MADE_OK(tx_trunk_probe(f.model, &f.pass, &text, want.depth, 1, to, "", NULL, error));
    }
  }
  return all;
}

/* Texts [from, from + count) through the cache: the right bits, and these counts
 * of computed and recalled texts. */
static void check_watched(tx_trunk_cache cache, tx_trunk_want want, int64_t from, int64_t count,
                          int64_t computed, int64_t recalled, const tx_watch *watch) {
  int64_t starts[TEXTS + 1];
  for (int64_t i = 0; i <= count; i++) starts[i] = f.offsets[from + i] - f.offsets[from];
  tx_sequences texts = {count, f.ids + f.offsets[from], starts};
  tx_states states;
  size_t floats;
  float *plain = plainly(want, from, count, &floats);
  cache.computed = cache.recalled = 0;
  tx_model_unload(f.model, 0, BLOCKS); /* they are loaded when needed */
  MADE_OK(tx_trunk_recall(&cache, &f.pass, &texts,
                          want.kind == TX_TRUNK_TOKENS ? starts : f.singles, want, &states, watch,
                          error));
  assert_int_equal(states.count, count);
  assert_int_equal(states.width, tx_trunk_want_width(f.model, want));
  assert_memory_equal(states.rows, plain, floats * sizeof *plain);
  if (cache.computed != computed || cache.recalled != recalled) {
    fail_msg("kind %d, depth %d: %d computed and %d recalled, not %d and %d", (int)want.kind,
             (int)want.depth, (int)cache.computed, (int)cache.recalled, (int)computed,
             (int)recalled);
  }
  /* Where nothing is computed, no weights are read. */
  bool loaded = want.depth > 0 && computed > 0;
  assert_true((tx_model_block(f.model, 0) != NULL) == loaded);
  free(plain);
  tx_states_free(&states);
}

static void check(tx_trunk_cache cache, tx_trunk_want want, int64_t from, int64_t count,
                  int64_t computed, int64_t recalled) {
  check_watched(cache, want, from, count, computed, recalled, NULL);
}

/* ---- the same bits --------------------------------------------------------- */

static void test_recalled_is_computed(void **state) {
  (void)state;
  for (int i = 0; i < WANTS; i++) {
    char name[20];
    snprintf(name, sizeof name, "bits%d", i);
    tx_trunk_cache cache = cache_in(made(name));
    check(cache, wants[i], 0, TEXTS, TEXTS - 1, 0); /* one stands twice */
    check(cache, wants[i], 0, TEXTS, 0, TEXTS - 1);
    assert_int_equal(made_names(made(name)), 1);
  }
}

static void test_only_missing_texts(void **state) {
  (void)state;
  for (int i = 0; i < WANTS; i++) {
    char name[20];
    snprintf(name, sizeof name, "some%d", i);
    tx_trunk_cache cache = cache_in(made(name));
    check(cache, wants[i], 2, 3, 3, 0);
    check(cache, wants[i], 0, 6, 3, 3);
    check(cache, wants[i], 1, 4, 0, 4);
    check(cache, wants[i], 7, 2, 1, 1); /* 7 is 3 */
    check(cache, wants[i], 0, TEXTS, 1, TEXTS - 2);
    check(cache, wants[i], 4, 1, 0, 1);
  }
}

/* All kinds in one directory do not take each other's. */
static void test_kinds_and_depths_are_apart(void **state) {
  (void)state;
  tx_trunk_cache cache = cache_in(made("kinds"));
  for (int i = 0; i < WANTS - 1; i++) check(cache, wants[i], 0, 5, 5, 0);
  for (int i = 0; i < WANTS; i++) check(cache, wants[i], 0, 5, 0, 5);
  check(cache, (tx_trunk_want){TX_TRUNK_TOKENS, 1, 0}, 0, 5, 5, 0);
  check(cache, (tx_trunk_want){TX_TRUNK_POOLED, 2, TX_POOLING_LAST}, 0, 5, 5, 0);
}

static void test_deeper_probe_serves_smaller(void **state) {
  (void)state;
  tx_trunk_cache cache = cache_in(made("deeper"));
  check(cache, (tx_trunk_want){TX_TRUNK_PROBE, 1, TX_POOLING_LAST_MEAN}, 0, 5, 5, 0);
  check(cache, (tx_trunk_want){TX_TRUNK_PROBE, 2, TX_POOLING_LAST_MEAN}, 0, 5, 5, 0);
  for (int depth = 0; depth <= 2; depth++) {
    check(cache, (tx_trunk_want){TX_TRUNK_PROBE, depth, TX_POOLING_LAST_MEAN}, 0, 5, 0, 5);
  }
  check(cache, (tx_trunk_want){TX_TRUNK_PROBE, 3, TX_POOLING_LAST_MEAN}, 0, 5, 5, 0);
}

static void test_another_model(void **state) {
  (void)state;
  tx_trunk_cache one = cache_in(made("model")), two = one;
  two.model_sha256 = hash_two;
  check(one, wants[7], 0, 5, 5, 0);
  check(two, wants[7], 0, 5, 5, 0);
  check(one, wants[7], 0, 5, 0, 5);
  check(two, wants[7], 0, 5, 0, 5);
}

/* ---- without one --------------------------------------------------------------- */

static void test_no_cache(void **state) {
  (void)state;
  tx_trunk_cache none = cache_in(NULL), nothing = cache_in(made("nothing"));
  nothing.bound = 0;
  for (int i = 0; i < WANTS; i++) {
    for (int round = 0; round < 2; round++) {
      check(none, wants[i], 0, TEXTS, TEXTS - 1, 0);
      check(nothing, wants[i], 0, TEXTS, TEXTS - 1, 0); /* and the states are in a file */
    }
  }
  assert_int_not_equal(access(made("nothing"), F_OK), 0);
}

static void hear(void *context, const char *sentence) {
  snprintf(context, 500, "%s", sentence);
}

/* What does not fit is not kept, which is said, and no error. */
static void test_too_large_for_the_cache(void **state) {
  (void)state;
  tx_trunk_cache small = cache_in(made("small"));
  small.bound = 1000;
  for (int round = 0; round < 2; round++) {
    char said[500] = "";
    tx_watch watch = {.note = hear, .context = said};
    check_watched(small, wants[7], 0, TEXTS, TEXTS - 1, 0, &watch);
    assert_non_null(strstr(said, "the states are not kept for another run: they are "));
  }
}

/* A cache that cannot be written is said, and costs no answer. */
static void test_cache_that_cannot_be_used(void **state) {
  (void)state;
  char said[500] = "", path[TX_PATH_SIZE + 100];
  tx_watch watch = {.note = hear, .context = said};
  write_text(made("plain"), "no directory");
  check_watched(cache_in(made("plain")), wants[3], 0, 4, 4, 0, &watch);
  assert_non_null(strstr(said, "the states are not kept for another run: "));
  memset(path, 'x', sizeof path);
  path[0] = '/', path[sizeof path - 1] = '\0';
  said[0] = '\0';
  check_watched(cache_in(path), wants[3], 0, 4, 4, 0, &watch);
  assert_non_null(strstr(said, "the cache of states is not used: "));
}

static void test_damaged_cache(void **state) {
  (void)state;
  const char *directory = made("damaged");
  char **names, path[TX_PATH_SIZE];
  size_t count, size;
  for (int i = 0; i < WANTS; i++) {
    tx_directory_remove(directory);
    check(cache_in(directory), wants[i], 0, TEXTS, TEXTS - 1, 0);
    tx_arena *arena = tx_arena_new();
    MADE_OK(tx_directory_names(directory, arena, &names, &count, error));
    assert_int_equal(count, 1);
    MADE_OK(tx_path_join(path, directory, names[0], error));
    tx_arena_free(arena);
    char *bytes = read_bytes(path, &size);
    bytes[60] = (char)(bytes[60] ^ 4); /* the index: nothing is there */
    write_bytes(path, bytes, size);
    check(cache_in(directory), wants[i], 0, TEXTS, TEXTS - 1, 0);
    check(cache_in(directory), wants[i], 0, TEXTS, 0, TEXTS - 1);
    bytes[60] = (char)(bytes[60] ^ 4);
    bytes[size - 1] = (char)(bytes[size - 1] ^ 4); /* a record: the highest key's */
    write_bytes(path, bytes, size);
    check(cache_in(directory), wants[i], 0, TEXTS, 1, TEXTS - 2);
    /* The segment is gone with the other records. */
    check(cache_in(directory), wants[i], 0, TEXTS, TEXTS - 2, 1);
    free(bytes);
  }
}

static bool cancel(void *context) { return --*(int *)context < 0; }

static void test_cancelled(void **state) {
  (void)state;
  tx_watch watch = {.cancelled = cancel};
  tx_sequences texts = {TEXTS, f.ids, f.offsets};
  for (int after = 0; after < TEXTS; after += 4) {
    tx_trunk_cache cache = cache_in(made("cancelled"));
    tx_states states = {0};
    tx_error error = {0};
    int left = after;
    watch.context = &left;
    assert_int_equal(tx_trunk_recall(&cache, &f.pass, &texts, f.singles, wants[7], &states, &watch,
                                     &error),
                     TX_ERROR_INTERRUPTED);
    tx_states_free(&states);
    assert_int_not_equal(access(made("cancelled"), F_OK), 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_recalled_is_computed),
      cmocka_unit_test(test_only_missing_texts),
      cmocka_unit_test(test_kinds_and_depths_are_apart),
      cmocka_unit_test(test_deeper_probe_serves_smaller),
      cmocka_unit_test(test_another_model),
      cmocka_unit_test(test_no_cache),
      cmocka_unit_test(test_too_large_for_the_cache),
      cmocka_unit_test(test_cache_that_cannot_be_used),
      cmocka_unit_test(test_damaged_cache),
      cmocka_unit_test(test_cancelled),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
