/* The linear scorer: its terms and weights against scikit-learn's, what it
 * learns, the same bits on any threads and after saving, hostile artifacts. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/random.h"
#include "golden/tfidf.h"
#include "score/linear.h"
#include "score/tfidf.h"

static void succeeds(tx_status status, const tx_error *error) {
  char sentence[1400];
  if (status != TX_OK) fail_msg("%s", tx_error_sentence(error, sentence, sizeof sentence));
}

/* ---- terms ------------------------------------------------------------- */

static size_t count_terms(tx_text text, tx_term_rule rule) {
  tx_terms terms = {0};
  assert_true(tx_terms_find(&terms, text, rule));
  for (size_t i = 1; i < terms.count; i++) {
    assert_true(terms.items[i - 1].hash < terms.items[i].hash);
  }
  size_t count = terms.count;
  tx_terms_free(&terms);
  return count;
}

/* Both texts have the same terms. */
static bool alike(tx_text left, tx_text right) {
  tx_terms a = {0}, b = {0};
  assert_true(tx_terms_find(&a, left, (tx_term_rule){2, 4}));
  assert_true(tx_terms_find(&b, right, (tx_term_rule){2, 4}));
  bool same =
      a.count == b.count && (!a.count || !memcmp(a.items, b.items, a.count * sizeof *a.items));
  tx_terms_free(&a);
  tx_terms_free(&b);
  return same;
}

static void test_terms(void **state) {
  (void)state;
  const tx_term_rule words = {0, 0}, runs = {2, 4};
  assert_int_equal(count_terms(tx_text_of("one two"), words), 3);
  assert_int_equal(count_terms(tx_text_of("a one b two c"), words), 3); /* pairs go across */
  assert_int_equal(count_terms(tx_text_of("one one one"), words), 2);
  assert_int_equal(count_terms(tx_text_of("a . b"), words), 0);
  assert_int_equal(count_terms((tx_text){NULL, 0}, runs), 0);
  assert_int_equal(count_terms(tx_text_of("ab"), runs), 1 + 3 + 2 + 1); /* " ab " */
  assert_int_equal(count_terms(tx_text_of("!"), runs), 0 + 2 + 1);      /* " ! " */
  assert_true(alike(tx_text_of("STRASSE Éclair"), tx_text_of("straße éclair")));
  assert_true(alike(tx_text_of("one\xff two"), tx_text_of("one two")));
  assert_true(alike((tx_text){"one\0two", 7}, tx_text_of("one two")));
  assert_true(alike(tx_text_of("one\xe2\x82"), tx_text_of("one")));
  assert_false(alike(tx_text_of("one two"), tx_text_of("two one")));
  assert_false(alike(tx_text_of("don't"), tx_text_of("don t")));
}

/* A text of one long word, and one of a million words. */
static void test_long_texts(void **state) {
  (void)state;
  const size_t size = 1 << 21;
  char *data = tx_alloc(size);
  memset(data, 'a', size);
  assert_int_equal(count_terms((tx_text){data, size}, (tx_term_rule){2, 4}), 1 + 3 + 3 + 3);
  for (size_t i = 0; i < size; i++) data[i] = (char)('a' + (i * i / 7 + i / 11) % 26);
  for (size_t i = 5; i < size; i += 6) data[i] = ' ';
  assert_true(count_terms((tx_text){data, size}, (tx_term_rule){2, 4}) > 1000);
  tx_free(data);
}

static double row_product(const tx_features *rows, int64_t a, int64_t b) {
  double sum = 0;
  for (int64_t i = rows->starts[a]; i < rows->starts[a + 1]; i++) {
    for (int64_t j = rows->starts[b]; j < rows->starts[b + 1]; j++) {
      if (rows->columns[i] == rows->columns[j]) {
        sum += (double)rows->values[i] * (double)rows->values[j];
      }
    }
  }
  return sum;
}

/* Words and runs have unit length each, so a row's product is the sum of both. */
static void check_products(tx_term_rule rule, int64_t least, int64_t terms,
                           const double (*want)[TFIDF_TEXTS], const double (*more)[TFIDF_TEXTS]) {
  tx_text texts[TFIDF_TEXTS];
  for (int i = 0; i < TFIDF_TEXTS; i++) texts[i] = tx_text_of(tfidf_texts[i]);
  tx_term_table table;
  tx_features rows;
  tx_error error = {0};
  succeeds(tx_term_table_make(&table, texts, TFIDF_TEXTS, rule, least, 100000, NULL, &error),
           &error);
  succeeds(tx_term_table_rows(&table, texts, TFIDF_TEXTS, &rows, NULL, &error), &error);
  assert_int_equal(table.count, terms);
  for (int i = 0; i < TFIDF_TEXTS; i++) {
    for (int j = 0; j < TFIDF_TEXTS; j++) {
      double got = row_product(&rows, i, j), sum = want[i][j] + (more ? more[i][j] : 0);
      if (!(fabs(got - sum) < 1e-6)) fail_msg("%d with %d: %.9g, want %.9g", i, j, got, sum);
    }
  }
  tx_term_rows_free(&rows);
  tx_term_table_free(&table);
}

static void test_against_scikit_learn(void **state) {
  (void)state;
  check_products((tx_term_rule){0, 0}, 1, TFIDF_WORDS_TERMS, tfidf_words, NULL);
  check_products((tx_term_rule){0, 0}, 2, TFIDF_COMMON_TERMS, tfidf_common, NULL);
  check_products((tx_term_rule){2, 4}, 1, TFIDF_WORDS_TERMS + TFIDF_RUNS_TERMS, tfidf_words,
                 tfidf_runs);
}

/* ---- learning ---------------------------------------------------------- */

enum { TEXTS = 360, LABELS = 3 };

typedef struct corpus {
  char data[TEXTS][128];
  tx_text texts[TEXTS];
  int32_t labels[TEXTS];
} corpus;

/* Texts of random words, among them one that gives the label away nine times in ten. */
static void make_corpus(corpus *c) {
  tx_random random = tx_random_seed(5);
  for (int i = 0; i < TEXTS; i++) {
    c->labels[i] = i % LABELS;
    char *at = c->data[i];
    for (int w = 0; w < 8; w++) {
      int word = (int)tx_random_below(&random, 200);
      if (w == 3) {
        uint64_t truth = (uint64_t)c->labels[i];
        if (tx_random_below(&random, 10) == 0) truth = tx_random_below(&random, LABELS);
        word = 1000 + (int)truth;
      }
      at += sprintf(at, "%cord%d ", 'a' + word % 26, word);
    }
    c->texts[i] = tx_text_of(c->data[i]);
  }
}

static tx_scorer *train(const corpus *c, int64_t rows, int classes, tx_linear_options options) {
  tx_scorer *scorer = NULL;
  tx_error error = {0};
  succeeds(tx_linear_train(c->texts, c->labels, rows, classes, options, &scorer, NULL, &error),
           &error);
  return scorer;
}

static void score(tx_scorer *scorer, const tx_text *texts, size_t count, float *probabilities) {
  tx_error error = {0};
  tx_scored scored = {0};
  succeeds(scorer->score(scorer, texts, count, probabilities, &scored, NULL, &error), &error);
  assert_int_equal(scored.texts, count);
  for (size_t i = 0; i < count; i++) {
    float sum = 0;
    for (int k = 0; k < scorer->labels; k++) sum += probabilities[(int)i * scorer->labels + k];
    assert_true(fabsf(sum - 1) < 1e-5f);
  }
}

static corpus shared;

static void test_learns(void **state) {
  (void)state;
  make_corpus(&shared);
  tx_scorer *scorer = train(&shared, 240, LABELS, tx_linear_defaults());
  assert_string_equal(scorer->name, "linear");
  static float all[120][LABELS], one[LABELS];
  score(scorer, shared.texts + 240, 120, all[0]);
  int correct = 0;
  for (int i = 0; i < 120; i++) {
    int top = 0;
    for (int k = 1; k < LABELS; k++) top = all[i][k] > all[i][top] ? k : top;
    correct += top == shared.labels[240 + i];
    score(scorer, shared.texts + 240 + i, 1, one); /* alone as in company */
    assert_memory_equal(one, all[i], sizeof one);
  }
  assert_in_range(correct, 100, 120);
  /* Nothing known: about what the labels' shares say. */
  const tx_text unknown[] = {{NULL, 0}, {"\xff\xfe", 2}, {"qq", 2}};
  score(scorer, unknown, 3, all[0]);
  for (int k = 0; k < LABELS; k++) assert_true(fabsf(all[0][k] - 1.0f / 3) < 0.2f);
  tx_scorer_free(scorer);
}

static void test_same_bits(void **state) {
  (void)state;
  static float first[TEXTS][LABELS], got[TEXTS][LABELS];
  for (int k = 0; k < 4; k++) {
    setenv("TAXON_CPU", k == 3 ? "generic" : "", 1);
    tx_set_threads(k + 1);
    tx_scorer *scorer = train(&shared, TEXTS, LABELS, tx_linear_defaults());
    score(scorer, shared.texts, TEXTS, got[0]);
    tx_scorer_free(scorer);
    if (k == 0) memcpy(first, got, sizeof first);
    assert_memory_equal(first, got, sizeof first);
  }
  unsetenv("TAXON_CPU");
  tx_set_threads(0);
}

/* Two labels; texts without a term; one text; one label that has no text. */
static void test_odd_corpora(void **state) {
  (void)state;
  static corpus c;
  float probabilities[4 * LABELS];
  for (int i = 0; i < 4; i++) {
    c.texts[i] = tx_text_of(i % 2 ? "." : "");
    c.labels[i] = i == 3;
  }
  tx_linear_options options = tx_linear_defaults();
  for (int rows = 1; rows <= 4; rows++) {
    for (int classes = 2; classes <= 3; classes++) {
      tx_scorer *scorer = train(&c, rows, classes, options);
      score(scorer, c.texts, 4, probabilities);
      if (rows == 4) assert_true(probabilities[0] > probabilities[1]);
      tx_scorer_free(scorer);
    }
  }
  options.max_terms = 1; /* fewer terms than there are */
  tx_scorer *scorer = train(&shared, TEXTS, LABELS, options);
  score(scorer, shared.texts, 4, probabilities);
  tx_scorer_free(scorer);
  tx_error error = {0};
  options.folds = 1;
  assert_int_equal(tx_linear_train(c.texts, c.labels, 4, 2, options, &scorer, NULL, &error),
                   TX_ERROR_ARGUMENT);
  options = tx_linear_defaults();
  options.longest_run = 9;
  assert_int_equal(tx_linear_train(c.texts, c.labels, 4, 2, options, &scorer, NULL, NULL),
                   TX_ERROR_ARGUMENT);
  assert_null(scorer);
}

/* More text than the penalty is chosen on. */
static void test_sample(void **state) {
  (void)state;
  enum { MANY = 4000 };
  static corpus *c;
  c = tx_alloc_zero(1, sizeof *c);
  make_corpus(c);
  tx_text *texts = tx_alloc_array(MANY, sizeof *texts);
  int32_t *labels = tx_alloc_array(MANY, sizeof *labels);
  static char padding[400];
  memset(padding, '.', sizeof padding);
  for (int i = 0; i < MANY; i++) {
    texts[i] = c->texts[i % TEXTS];
    labels[i] = c->labels[i % TEXTS];
    if (i % 3 == 0) texts[i] = (tx_text){padding, sizeof padding};
  }
  tx_scorer *scorer;
  tx_error error = {0};
  succeeds(
      tx_linear_train(texts, labels, MANY, LABELS, tx_linear_defaults(), &scorer, NULL, &error),
      &error);
  float probabilities[LABELS];
  score(scorer, texts + 1, 1, probabilities);
  assert_true(probabilities[labels[1]] > 0.5f);
  tx_scorer_free(scorer);
  tx_free(texts);
  tx_free(labels);
  tx_free(c);
}

static bool always(void *context) {
  (void)context;
  return true;
}

static void test_interruption(void **state) {
  (void)state;
  const tx_watch watch = {.cancelled = always};
  tx_scorer *scorer;
  tx_error error = {0};
  assert_int_equal(tx_linear_train(shared.texts, shared.labels, TEXTS, LABELS, tx_linear_defaults(),
                                   &scorer, &watch, &error),
                   TX_ERROR_INTERRUPTED);
  assert_null(scorer);
}

/* ---- the artifact ------------------------------------------------------ */

static char path[64];

static void save(const tx_scorer *scorer) {
  tx_gguf_writer *writer = tx_gguf_writer_new();
  assert_non_null(writer);
  tx_linear_save(scorer, 0, writer);
  tx_error error = {0};
  succeeds(tx_gguf_commit(writer, path, &error), &error);
  tx_gguf_writer_free(writer);
}

static void test_round_trip(void **state) {
  (void)state;
  static float before[TEXTS][LABELS], after[TEXTS][LABELS];
  tx_scorer *scorer = train(&shared, TEXTS, LABELS, tx_linear_defaults());
  score(scorer, shared.texts, TEXTS, before[0]);
  save(scorer);
  tx_scorer_free(scorer);
  tx_error error = {0};
  tx_gguf *gguf;
  succeeds(tx_gguf_open(path, &gguf, &error), &error);
  succeeds(tx_linear_load(gguf, 0, LABELS, &scorer, &error), &error);
  tx_gguf_close(gguf); /* the scorer keeps nothing of it */
  score(scorer, shared.texts, TEXTS, after[0]);
  assert_memory_equal(before, after, sizeof before);
  tx_scorer_free(scorer);
  unlink(path);
}

typedef struct parts {
  int64_t shortest, longest;
  int64_t terms[3];
  float idf[3], weights[3][2], bias[2];
  int64_t term_count, idf_count, weight_count, weight_labels;
  tx_tensor_type weight_type;
  bool no_bias;
} parts;

static const parts good = {2,
                           4,
                           {10, 20, INT64_MIN}, /* as unsigned the last is the largest */
                           {1, 2, 3},
                           {{0.5f, -0.5f}, {1, 2}, {3, 4}},
                           {0, 0.25f},
                           3,
                           3,
                           3,
                           2,
                           TX_TENSOR_F32,
                           false};

static tx_status load_parts(parts p, tx_error *error) {
  tx_gguf_writer *writer = tx_gguf_writer_new();
  const int64_t weights[] = {p.weight_labels, p.weight_count}, two = 2;
  tx_gguf_add_int(writer, "taxon.linear.shortest_run", p.shortest);
  tx_gguf_add_int(writer, "taxon.linear.longest_run", p.longest);
  tx_gguf_add_tensor(writer, "taxon.linear.terms", TX_TENSOR_I64, 1, &p.term_count, p.terms);
  tx_gguf_add_tensor(writer, "taxon.linear.idf", TX_TENSOR_F32, 1, &p.idf_count, p.idf);
  tx_gguf_add_tensor(writer, "taxon.linear.weights", p.weight_type, 2, weights, p.weights);
  if (!p.no_bias) tx_gguf_add_tensor(writer, "taxon.linear.bias", TX_TENSOR_F32, 1, &two, p.bias);
  tx_error own = {0};
  succeeds(tx_gguf_commit(writer, path, &own), &own);
  tx_gguf_writer_free(writer);
  tx_gguf *gguf;
  succeeds(tx_gguf_open(path, &gguf, &own), &own);
  tx_scorer *scorer;
  tx_status status = tx_linear_load(gguf, 0, 2, &scorer, error);
  assert_true((status == TX_OK) == (scorer != NULL));
  if (scorer) {
    float probabilities[2];
    score(scorer, &(tx_text){"some words", 10}, 1, probabilities);
  }
  tx_scorer_free(scorer);
  tx_gguf_close(gguf);
  unlink(path);
  return status;
}

static void test_hostile_artifacts(void **state) {
  (void)state;
  tx_error error = {0};
  succeeds(load_parts(good, &error), &error);
  parts bad[14];
  for (int i = 0; i < 14; i++) bad[i] = good;
  const char *names[14] = {"runs", "runs", "runs", "terms",   "terms",   "terms",   "idf",
                           "idf",  "idf",  "idf",  "weights", "weights", "weights", "bias"};
  bad[0].longest = 9;
  bad[1].shortest = 5;
  bad[2].shortest = INT64_MIN;
  bad[3].terms[1] = 10;
  bad[4].terms[0] = -1;
  bad[5].terms[2] = 5;
  bad[6].idf[1] = NAN;
  bad[7].idf[1] = -1;
  bad[8].idf[2] = 1e30f;
  bad[9].idf_count = 2;
  bad[10].weights[1][1] = INFINITY;
  bad[11].weight_count = 2;
  bad[12].weight_type = TX_TENSOR_I32;
  bad[13].no_bias = true;
  for (int i = 0; i < 14; i++) {
    error = (tx_error){0};
    assert_int_equal(load_parts(bad[i], &error), TX_ERROR_INPUT);
    if (!strstr(error.message, names[i])) fail_msg("%d: %s", i, error.message);
  }
  parts three = good; /* weights of another number of labels */
  three.weight_labels = 1;
  assert_int_equal(load_parts(three, NULL), TX_ERROR_INPUT);
}

/* Any byte of an artifact changed: loaded and scored, or refused. */
static void test_changed_bytes(void **state) {
  (void)state;
  tx_linear_options options = tx_linear_defaults();
  options.max_terms = 20;
  tx_scorer *scorer = train(&shared, 60, LABELS, options);
  save(scorer);
  tx_scorer_free(scorer);
  FILE *file = fopen(path, "rb");
  assert_non_null(file);
  static unsigned char bytes[1 << 16], changed[1 << 16];
  size_t size = fread(bytes, 1, sizeof bytes, file);
  fclose(file);
  unlink(path);
  int loaded = 0, refused = 0;
  for (size_t i = 0; i < size; i++) {
    for (int k = 0; k < 3; k++) {
      memcpy(changed, bytes, size);
      changed[i] = (unsigned char)(k == 0 ? ~bytes[i] : k == 1 ? bytes[i] ^ 1 : 0xff);
      tx_gguf *gguf;
      tx_status status = tx_gguf_open_bytes(changed, size, "changed", &gguf, NULL);
      if (status != TX_OK) continue;
      float probabilities[2 * LABELS];
      status = tx_linear_load(gguf, 0, LABELS, &scorer, NULL);
      assert_true(status == TX_OK || status == TX_ERROR_INPUT);
      if (status == TX_OK) score(scorer, shared.texts, 2, probabilities);
      loaded += status == TX_OK;
      refused += status != TX_OK;
      tx_scorer_free(scorer);
      tx_gguf_close(gguf);
    }
  }
  assert_true(loaded > 100 && refused > 100);
}

int main(void) {
  snprintf(path, sizeof path, "/tmp/taxon-linear-%ld.gguf", (long)getpid());
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_terms),
                                     cmocka_unit_test(test_long_texts),
                                     cmocka_unit_test(test_against_scikit_learn),
                                     cmocka_unit_test(test_learns),
                                     cmocka_unit_test(test_same_bits),
                                     cmocka_unit_test(test_odd_corpora),
                                     cmocka_unit_test(test_sample),
                                     cmocka_unit_test(test_interruption),
                                     cmocka_unit_test(test_round_trip),
                                     cmocka_unit_test(test_hostile_artifacts),
                                     cmocka_unit_test(test_changed_bytes)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
