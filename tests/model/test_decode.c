/* Decoding: sequences that start and end on their own, run together, against each
 * alone and computed anew from its first token; the same bits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define FAILING_SYSTEM
#include "failing.h"

#include "base/memory.h"
#include "base/random.h"
#include "golden.h"
#include "model/decode.h"
#include "model/trunk.h"
#include "taxon.h"

enum { LONGEST = 100, MOST_VOCABULARY = 500 };

static tx_model *open_model(const char *path, tx_dtype dtype) {
  tx_model *model;
  ASSERT_OK(tx_model_open(path, NULL, &model, error));
  tx_model_set_dtype(model, dtype);
  ASSERT_OK(tx_model_load(model, 0, tx_model_facts(model)->blocks, error));
  assert_true(tx_model_facts(model)->vocabulary <= MOST_VOCABULARY);
  return model;
}

/* logits (count, V) of every token, in one pass without a cache. */
static float *recompute(const tx_model *model, const int32_t *ids, int64_t count) {
  const tx_facts *facts = tx_model_facts(model);
  tx_pass pass;
  const int64_t offsets[] = {0, count};
  tx_sequences one = {1, ids, offsets};
  float *x = checked_memory((size_t)(count * facts->width) * 4);
  float *logits = checked_memory((size_t)(count * facts->vocabulary) * 4);
  ASSERT_OK(tx_pass_open(facts, &pass, error));
  ASSERT_OK(tx_trunk_run(model, &pass, &one, facts->blocks, 512, x, "", NULL, error));
  tx_norm_forward(&pass, tx_model_output_norm(model), count, x, x, NULL, NULL);
  ASSERT_OK(tx_model_logits(model, x, count, logits, error));
  tx_pass_close(&pass);
  free(x);
  return logits;
}

static int32_t best(const float *logits, int64_t vocabulary) {
  int32_t top = 0;
  for (int32_t v = 1; v < vocabulary; v++) top = logits[v] > logits[top] ? v : top;
  return top;
}

/* ---- many at once ---------------------------------------------------------- */

/* One sequence: a prompt, perhaps on the prefix, then what the model takes for the
 * best, until it is as long as it shall be. */
typedef struct {
  int32_t ids[LONGEST];
  int64_t prompt, count, end, begins; /* begins: the step at which it starts */
  int slot;
  bool on_prefix, running;
  float last[MOST_VOCABULARY]; /* the logits after ids[0 .. count) */
} story;

enum { STORIES = 16, PREFIX = 11 };

static void plan_stories(story *stories, const int32_t *prefix, int64_t vocabulary) {
  tx_random random = tx_random_seed(3);
  for (int i = 0; i < STORIES; i++) {
    story *s = &stories[i];
    *s = (story){.prompt = 1 + (int64_t)(tx_random_next(&random) % 9),
                 .end = 30 + (int64_t)(tx_random_next(&random) % 60),
                 .begins = 2 * i,
                 .on_prefix = i % 3 == 1};
    int64_t before = s->on_prefix ? PREFIX : 0;
    memcpy(s->ids, prefix, (size_t)before * sizeof *prefix);
    s->prompt += before;
    for (int64_t t = before; t < s->prompt; t++) {
      s->ids[t] = (int32_t)(tx_random_next(&random) % (uint64_t)vocabulary);
    }
  }
}

/* Its next tokens: the prompt at first, then the best one. */
static tx_feed next_feed(tx_decode *decode, story *s, const tx_stretch *prefix,
                         int64_t vocabulary) {
  if (s->count == 0) {
    ASSERT_OK(tx_decode_start(decode, s->on_prefix ? prefix : NULL, &s->slot, error));
    int64_t before = s->on_prefix ? PREFIX : 0;
    s->running = true;
    s->count = s->prompt;
    assert_int_equal(tx_decode_length(decode, s->slot), before);
    return (tx_feed){s->slot, s->ids + before, s->prompt - before, 1};
  }
  s->ids[s->count++] = best(s->last, vocabulary);
  return (tx_feed){s->slot, s->ids + s->count - 1, 1, 1};
}

static void tell_stories(const tx_model *model, story *stories, const int32_t *shared) {
  int64_t vocabulary = tx_model_facts(model)->vocabulary;
  tx_decode *decode;
  tx_stretch *prefix;
  float *logits = checked_memory((size_t)(STORIES * vocabulary) * 4);
  ASSERT_OK(tx_decode_new(model, &decode, error));
  ASSERT_OK(tx_decode_prefix(decode, NULL, shared, PREFIX, NULL, &prefix, error));
  for (int64_t step = 0, left = STORIES; left > 0; step++) {
    tx_feed feeds[STORIES];
    int who[STORIES], count = 0;
    for (int i = 0; i < STORIES; i++) {
      story *s = &stories[(i * 7 + step) % STORIES]; /* in another order each time */
      if (s->begins > step || (s->count > 0 && !s->running)) continue;
      who[count] = (int)(s - stories);
      feeds[count++] = next_feed(decode, s, prefix, vocabulary);
    }
    ASSERT_OK(tx_decode_run(decode, feeds, count, logits, NULL, error));
    for (int i = 0; i < count; i++) {
      story *s = &stories[who[i]];
      memcpy(s->last, logits + i * vocabulary, (size_t)vocabulary * 4);
      assert_int_equal(tx_decode_length(decode, s->slot), s->count);
      if (s->count < s->end) continue;
      tx_decode_end(decode, s->slot);
      s->running = false;
      left--;
    }
  }
  tx_decode_free(decode);
  tx_stretch_free(prefix);
  free(logits);
}

static void check_stories(const char *path, tx_dtype dtype, const char *cpu, int threads) {
  tx_model *model = open_model(path, dtype);
  int64_t vocabulary = tx_model_facts(model)->vocabulary;
  const int32_t prefix[PREFIX] = {5, 300, 17, 17, 4, 420, 99, 1, 2, 3, 250};
  story *stories = checked_memory(STORIES * sizeof *stories);
  plan_stories(stories, prefix, vocabulary);
  setenv("TAXON_CPU", cpu, 1);
  tx_set_threads(threads);
  tell_stories(model, stories, prefix);
  setenv("TAXON_CPU", "avx2", 1); /* a single pass, on one path, by one thread */
  tx_set_threads(1);
  for (int i = 0; i < STORIES; i++) {
    const story *s = &stories[i];
    float *want = recompute(model, s->ids, s->count);
    for (int64_t t = s->prompt; t < s->count; t++) {
      assert_int_equal(s->ids[t], best(want + (t - 1) * vocabulary, vocabulary));
    }
    assert_memory_equal(s->last, want + (s->count - 1) * vocabulary, (size_t)vocabulary * 4);
    free(want);
  }
  unsetenv("TAXON_CPU");
  tx_set_threads(0);
  free(stories);
  tx_model_close(model);
}

static void test_sequences_of_their_own(void **state) {
  (void)state;
  static const char *const cpus[] = {"generic", "avx2", "avx512"};
  for (int cpu = 0; cpu < 3; cpu++) {
    if (!tx_kernels_find("avx2") || !tx_kernels_find(cpus[cpu])) continue;
    for (int dtype = TX_DTYPE_F32; dtype <= TX_DTYPE_INT8; dtype++) {
      check_stories("tests/golden/tiny_llama.gguf", (tx_dtype)dtype, cpus[cpu], 1 + cpu);
    }
  }
  check_stories("tests/golden/tiny_gpt2.gguf", TX_DTYPE_F32, "avx2", 3);
}

/* ---- what is asked for, and how ---------------------------------------------- */

/* Prompts divided in every way, and logits of several tokens. */
static void test_logits_where_they_are_wanted(void **state) {
  (void)state;
  tx_model *model = open_model("tests/golden/tiny_llama.gguf", TX_DTYPE_F32);
  int64_t vocabulary = tx_model_facts(model)->vocabulary;
  int32_t ids[LONGEST];
  for (int i = 0; i < LONGEST; i++) ids[i] = (i * i + 7) % 421;
  float *want = recompute(model, ids, LONGEST);
  float *got = checked_memory((size_t)(12 * 40 * vocabulary) * 4);
  tx_decode *decode;
  ASSERT_OK(tx_decode_new(model, &decode, error));
  tx_feed feeds[12]; /* 12 of 60 tokens: more than one round, with the cut inside of one */
  int64_t rows = 0;
  for (int i = 0; i < 12; i++) {
    feeds[i] = (tx_feed){0, ids, 60, i % 4 == 0 ? 0 : 10 * (i % 4)};
    ASSERT_OK(tx_decode_start(decode, NULL, &feeds[i].slot, error));
    assert_int_equal(feeds[i].slot, i);
  }
  for (int64_t from = 0; from < LONGEST; from += 60) {
    rows = 0;
    for (int i = 0; i < 12; i++) {
      feeds[i].ids = ids + from;
      feeds[i].count = LONGEST - from < 60 ? LONGEST - from : 60;
    }
    ASSERT_OK(tx_decode_run(decode, feeds, 12, got, NULL, error));
    for (int i = 0; i < 12; i++) {
      const float *place = want + (from + feeds[i].count - feeds[i].wanted) * vocabulary;
      assert_memory_equal(got + rows * vocabulary, place,
                          (size_t)(feeds[i].wanted * vocabulary) * 4);
      rows += feeds[i].wanted;
    }
  }
  assert_int_equal(rows, 180);
  tx_decode_free(decode);
  free(want), free(got);
  tx_model_close(model);
}

/* Prefixes on prefixes, and sequences on each. */
static void test_prefixes(void **state) {
  (void)state;
  tx_model *model = open_model("tests/golden/tiny_llama.gguf", TX_DTYPE_INT8);
  int64_t vocabulary = tx_model_facts(model)->vocabulary;
  int32_t ids[LONGEST];
  for (int i = 0; i < LONGEST; i++) ids[i] = (i * 31 + 5) % 421;
  float *want = recompute(model, ids, LONGEST), got[MOST_VOCABULARY];
  tx_decode *decode;
  tx_stretch *first, *second;
  ASSERT_OK(tx_decode_new(model, &decode, error));
  ASSERT_OK(tx_decode_prefix(decode, NULL, ids, 50, NULL, &first, error));
  ASSERT_OK(tx_decode_prefix(decode, first, ids + 50, 1, NULL, &second, error));
  for (int i = 0; i < 2; i++) {
    int slot;
    int64_t from = i ? 51 : 50;
    ASSERT_OK(tx_decode_start(decode, i ? second : first, &slot, error));
    tx_feed feed = {slot, ids + from, LONGEST - from, 1};
    ASSERT_OK(tx_decode_run(decode, &feed, 1, got, NULL, error));
    assert_memory_equal(got, want + (LONGEST - 1) * vocabulary, (size_t)vocabulary * 4);
  }
  tx_decode_free(decode);
  tx_stretch_free(second), tx_stretch_free(first);
  free(want);
  tx_model_close(model);
}

static void refuse(tx_status status, tx_error *error, tx_status want, const char *words) {
  assert_int_equal(status, want);
  if (!strstr(error->message, words)) fail_msg("'%s' does not say '%s'", error->message, words);
  *error = (tx_error){0};
}

static void test_refusals(void **state) {
  (void)state;
  tx_model *model;
  tx_decode *decode;
  tx_error refusal = {0};
  int slot;
  const int32_t ids[] = {1, 2, 421, 3};
  float logits[MOST_VOCABULARY];
  ASSERT_OK(tx_model_open("tests/golden/tiny_llama.gguf", NULL, &model, error));
  ASSERT_OK(tx_model_load(model, 0, 2, error));
  refuse(tx_decode_new(model, &decode, &refusal), &refusal, TX_ERROR_ARGUMENT,
         "block 2 is not loaded");
  ASSERT_OK(tx_model_load(model, 0, 3, error));
  ASSERT_OK(tx_decode_new(model, &decode, error));
  for (int i = 0; i < TX_DECODE_SLOTS; i++) {
    ASSERT_OK(tx_decode_start(decode, NULL, &slot, error));
  }
  refuse(tx_decode_start(decode, NULL, &slot, &refusal), &refusal, TX_ERROR_ARGUMENT,
         "end one before another starts");
  tx_decode_end(decode, 63), tx_decode_end(decode, 63), tx_decode_end(decode, -1);
  const tx_feed wrong[][2] = {{{63, ids, 1, 0}, {1, ids, 1, 0}}, {{-1, ids, 1, 0}, {1, ids, 1, 0}},
                              {{64, ids, 1, 0}, {1, ids, 1, 0}}, {{2, ids, 1, 0}, {2, ids, 1, 0}},
                              {{2, ids, 0, 0}, {1, ids, 1, 0}},  {{2, ids, 1, 2}, {1, ids, 1, 0}},
                              {{2, ids, 1, -1}, {1, ids, 1, 0}}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    refuse(tx_decode_run(decode, wrong[i], 2, logits, NULL, &refusal), &refusal, TX_ERROR_ARGUMENT,
           "named once, and takes at least one token");
  }
  tx_feed unknown = {5, ids, 4, 1};
  refuse(tx_decode_run(decode, &unknown, 1, logits, NULL, &refusal), &refusal, TX_ERROR_INPUT,
         "outside the vocabulary of 421");
  assert_int_equal(tx_decode_length(decode, 5), 0);
  int32_t many[130] = {0}; /* the context is 128 */
  tx_feed full = {5, many, 128, 1}, over = {5, many, 1, 1};
  ASSERT_OK(tx_decode_run(decode, &full, 1, logits, NULL, error));
  refuse(tx_decode_run(decode, &over, 1, logits, NULL, &refusal), &refusal, TX_ERROR_INPUT,
         "the context of 128");
  assert_int_equal(tx_decode_length(decode, 5), 128);
  tx_decode_free(decode), tx_decode_free(NULL);
  tx_model_close(model);
}

/* ---- allocations that fail ----------------------------------------------- */

typedef struct {
  tx_model *model;
  const float *want;
  int64_t blocks; /* allocated before */
  int failures;
  float got[2 * MOST_VOCABULARY];
} failing_run;

static tx_status decode_two(failing_run *r, tx_decode *decode, tx_error *error) {
  const int32_t ids[] = {7, 8, 9, 10, 11, 12};
  tx_stretch *prefix;
  int slots[2];
  TX_TRY(tx_decode_prefix(decode, NULL, ids, 3, NULL, &prefix, error));
  tx_status status = tx_decode_start(decode, prefix, &slots[0], error);
  if (status == TX_OK) status = tx_decode_start(decode, NULL, &slots[1], error);
  if (status == TX_OK) {
    const tx_feed feeds[] = {{slots[0], ids + 3, 3, 1}, {slots[1], ids, 6, 1}};
    status = tx_decode_run(decode, feeds, 2, r->got, NULL, error);
    int64_t length = tx_decode_length(decode, slots[1]);
    assert_int_equal(length, status == TX_OK ? 6 : 0);
  }
  tx_stretch_free(prefix);
  return status;
}

static int decode_again(void *context) {
  failing_run *r = context;
  tx_error error = {0};
  tx_decode *decode;
  r->blocks = failing_blocks;
  tx_status status = tx_decode_new(r->model, &decode, &error);
  if (status != TX_OK) return (int)status;
  status = decode_two(r, decode, &error);
  tx_decode_free(decode);
  return (int)status;
}

static void check_run(void *context, int64_t call, bool failed, int result) {
  failing_run *r = context;
  (void)call;
  size_t bytes = (size_t)tx_model_facts(r->model)->vocabulary * 4;
  assert_int_equal(failing_blocks, r->blocks);
  assert_true(result == TX_OK || (failed && result == TX_ERROR_SYSTEM));
  r->failures += result != TX_OK;
  if (result != TX_OK) return; /* a thread that cannot be started is no error */
  assert_memory_equal(r->got, r->want, bytes);
  assert_memory_equal(r->got + bytes / 4, r->want, bytes);
}

static void test_no_memory(void **state) {
  (void)state;
#ifdef FAILING_WORKS
  failing_run r = {.model = open_model("tests/golden/tiny_llama.gguf", TX_DTYPE_F32)};
  const int32_t ids[] = {7, 8, 9, 10, 11, 12};
  float *all = recompute(r.model, ids, 6);
  r.want = all + 5 * tx_model_facts(r.model)->vocabulary;
  failing_each(decode_again, check_run, &r);
  assert_true(r.failures > 10);
  free(all);
  tx_model_close(r.model);
#endif
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_sequences_of_their_own),
      cmocka_unit_test(test_logits_where_they_are_wanted),
      cmocka_unit_test(test_prefixes),
      cmocka_unit_test(test_refusals),
      cmocka_unit_test(test_no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
