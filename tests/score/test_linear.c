/* The linear scorer: terms and weights as its header says, the same answers
 * after saving and loading and on any number of threads, damaged files refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "golden.h"
#include "base/memory.h"
#include "score/linear.h"
#include "score/tfidf.h"

enum { ROWS = 240, CLASSES = 3 };

static const char *const words[CLASSES][4] = {{"goal", "match", "team", "score"},
                                              {"bank", "market", "share", "price"},
                                              {"실험", "연구", "과학", "우주"}};

typedef struct {
  tx_text texts[ROWS];
  int32_t labels[ROWS];
  char memory[ROWS][64];
} corpus;

static void make_corpus(corpus *c) {
  for (int i = 0; i < ROWS; i++) {
    const char *const *own = words[i % CLASSES];
    snprintf(c->memory[i], sizeof c->memory[i], "The %s and the %s, %s!", own[i / 3 % 4],
             own[i / 12 % 4], i % 7 == 0 ? words[(i + 1) % CLASSES][0] : "again");
    c->texts[i] = tx_text_of(c->memory[i]);
    c->labels[i] = i % CLASSES;
  }
}

static tx_scorer *train(const corpus *c) {
  tx_scorer *scorer = NULL;
  ASSERT_OK(tx_linear_train(c->texts, c->labels, ROWS, CLASSES, tx_linear_defaults(), &scorer, NULL,
                            error));
  return scorer;
}

static void score(tx_scorer *scorer, const tx_text *texts, size_t count, float *probabilities) {
  tx_scored scored = {0};
  ASSERT_OK(scorer->score(scorer, texts, count, probabilities, &scored, NULL, error));
  assert_int_equal(scored.texts, count);
}

static void test_learns_and_sums_to_one(void **state) {
  (void)state;
  static corpus c;
  static float p[ROWS * CLASSES];
  make_corpus(&c);
  tx_scorer *scorer = train(&c);
  assert_int_equal(scorer->labels, CLASSES);
  score(scorer, c.texts, ROWS, p);
  for (int i = 0; i < ROWS; i++) {
    const float *row = p + i * CLASSES;
    int best = row[0] > row[1] ? (row[0] > row[2] ? 0 : 2) : row[1] > row[2] ? 1 : 2;
    assert_int_equal(best, c.labels[i]);
    assert_true(fabs((double)row[0] + (double)row[1] + (double)row[2] - 1) < 1e-6);
  }
  const tx_text odd[] = {{"", 0}, {"\xff\xfe goal \x00 team", 14}, {"우주 우주", 13}};
  score(scorer, odd, 3, p);
  assert_true(p[3] > 0.5f && p[8] > 0.5f);
  tx_scorer_free(scorer);
}

static void test_same_bits_on_any_thread_count(void **state) {
  (void)state;
  static corpus c;
  static float one[ROWS * CLASSES], more[ROWS * CLASSES];
  make_corpus(&c);
  for (int threads = 1; threads <= 3; threads++) {
    tx_set_threads(threads);
    tx_scorer *scorer = train(&c);
    score(scorer, c.texts, ROWS, threads == 1 ? one : more);
    if (threads > 1) assert_memory_equal(one, more, sizeof one);
    tx_scorer_free(scorer);
  }
  tx_set_threads(0);
}

static const char path[] = "build/test_linear.gguf";

static void save(const tx_scorer *scorer) {
  tx_gguf_writer *writer = tx_gguf_writer_new();
  tx_linear_save(scorer, writer);
  ASSERT_OK(tx_gguf_commit(writer, path, error));
  tx_gguf_writer_free(writer);
}

static void test_saved_and_loaded(void **state) {
  (void)state;
  static corpus c;
  static float before[ROWS * CLASSES], after[ROWS * CLASSES];
  make_corpus(&c);
  tx_scorer *scorer = train(&c), *loaded;
  score(scorer, c.texts, ROWS, before);
  save(scorer);
  tx_gguf *gguf;
  ASSERT_OK(tx_gguf_open(path, &gguf, error));
  ASSERT_OK(tx_linear_load(gguf, CLASSES, &loaded, error));
  tx_gguf_close(gguf);
  score(loaded, c.texts, ROWS, after);
  assert_memory_equal(before, after, sizeof before);
  tx_scorer_free(scorer), tx_scorer_free(loaded);
}

/* Loads a copy of the file with `size` bytes at a tensor's `offset` replaced. */
static tx_status load_broken(const char *tensor, uint64_t offset, const void *bytes, size_t size,
                             int classes, tx_error *failure) {
  tx_gguf *gguf;
  ASSERT_OK(tx_gguf_open(path, &gguf, error));
  uint64_t length, at = tx_gguf_tensor(gguf, tensor)->offset + offset;
  const unsigned char *whole = tx_gguf_bytes(gguf, &length);
  unsigned char *copy = checked_memory(length);
  memcpy(copy, whole, length);
  memcpy(copy + at, bytes, size);
  tx_gguf *broken;
  ASSERT_OK(tx_gguf_open_bytes(copy, length, "broken", &broken, error));
  tx_scorer *scorer;
  tx_status status = tx_linear_load(broken, classes, &scorer, failure);
  assert_null(scorer);
  tx_gguf_close(broken), tx_gguf_close(gguf);
  free(copy);
  return status;
}

static void test_damaged_files_are_refused(void **state) {
  (void)state;
  static corpus c;
  make_corpus(&c);
  tx_scorer *scorer = train(&c);
  save(scorer);
  tx_scorer_free(scorer);
  const float infinite = INFINITY;
  const uint64_t large = UINT64_MAX;
  tx_error error = {0};
  assert_int_equal(load_broken("taxon.linear.idf", 8, &infinite, 4, CLASSES, &error),
                   TX_ERROR_INPUT);
  assert_non_null(strstr(error.message, "taxon.linear.idf holds NaN or infinity"));
  error = (tx_error){0};
  assert_int_equal(load_broken("taxon.linear.terms", 8, &large, 8, CLASSES, &error),
                   TX_ERROR_INPUT);
  assert_non_null(strstr(error.message, "do not rise"));
  error = (tx_error){0};
  assert_int_equal(load_broken("taxon.linear.terms", 0, "", 0, CLASSES + 1, &error),
                   TX_ERROR_INPUT);
  assert_non_null(strstr(error.message, "not of the right shape"));
  remove(path);
}

/* Two texts, worked out by hand: idf = log((1 + n) / (1 + df)) + 1, tf = 1 + log(count). */
static void test_weights_by_hand(void **state) {
  (void)state;
  const tx_text texts[] = {tx_text_of("red red apple"), tx_text_of("green apple a")};
  const tx_term_rule rule = {0, 0};
  tx_term_table table;
  ASSERT_OK(tx_term_table_make(&table, texts, 2, rule, 1, 100, NULL, error));
  /* red, apple, green; red red, red apple, green apple: "a" is too short to be a word */
  assert_int_equal(table.count, 6);
  tx_features rows;
  ASSERT_OK(tx_term_table_rows(&table, texts, 2, &rows, NULL, error));
  const double rare = log(3.0 / 2) + 1, common = log(3.0 / 3) + 1, twice = 1 + log(2.0);
  const double norm = sqrt(twice * rare * twice * rare + common * common + 2 * rare * rare);
  double largest = 0, squares = 0;
  for (int64_t i = rows.starts[0]; i < rows.starts[1]; i++) {
    squares += (double)rows.values[i] * (double)rows.values[i];
    if ((double)rows.values[i] > largest) largest = (double)rows.values[i];
  }
  assert_int_equal(rows.starts[1] - rows.starts[0], 4);
  assert_true(fabs(squares - 1) < 1e-6);
  assert_true(fabs(largest - twice * rare / norm) < 1e-6);
  tx_term_rows_free(&rows);
  tx_term_table_free(&table);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_learns_and_sums_to_one),
      cmocka_unit_test(test_same_bits_on_any_thread_count),
      cmocka_unit_test(test_saved_and_loaded),
      cmocka_unit_test(test_damaged_files_are_refused),
      cmocka_unit_test(test_weights_by_hand),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
