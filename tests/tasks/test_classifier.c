/* tx_classifier_predict: the same bits whatever the batch, the threads and the
 * path, the figures that training gave, and texts of every kind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <pthread.h>

#include "tasks/made.h"
#include "formats/table.h"
#include "kernels/kernels.h"
#include "trust/metrics.h"

enum { LABELS = 3, MANY = 70 };

/* ---- artifacts, made once ---------------------------------------------- */

static const char *artifact(const char *model, int blocks, tx_pooling pooling,
                            tx_train_report *report) {
  char name[60];
  snprintf(name, sizeof name, "%s-%d-%d.taxon", model == llama ? "llama" : "gpt2", blocks,
           (int)pooling);
  tx_train_options options = made_options(model, made(name));
  options.method = blocks ? TX_METHOD_LAST_BLOCK : TX_METHOD_HEAD;
  options.blocks = blocks ? blocks : 1;
  options.pooling = pooling;
  if (report || access(options.out, F_OK) != 0) {
    tx_train_report made = made_train(options);
    if (report) *report = made;
  }
  return options.out;
}

/* ---- the figures of training ------------------------------------------- */

static void check_validation(const char *model, int blocks, tx_pooling pooling) {
  tx_train_report report;
  tx_classifier *classifier = made_open(artifact(model, blocks, pooling, &report));
  tx_dataset *table;
  MADE_OK(tx_dataset_read(made("val.tsv"), tx_table_defaults(), NULL, &table, error));
  float *p = tx_alloc_array((size_t)table->rows * LABELS, sizeof *p);
  tx_scored scored = {9, 9, 9}; /* set, not added to */
  MADE_OK(tx_classifier_predict(classifier, table->texts, (size_t)table->rows, p, &scored, NULL,
                                error));
  tx_metrics metrics;
  tx_metrics_compute(p, table->labels, table->rows, LABELS, &metrics, NULL, NULL);
  assert_true(metrics.accuracy == report.val_accuracy);
  assert_true(metrics.nll == report.val_nll);
  assert_true(metrics.macro_f1 == report.val_macro_f1);
  assert_int_equal(scored.texts, table->rows);
  assert_true(scored.tokens > table->rows);
  assert_int_equal(scored.cut, 0);
  tx_free(p);
  tx_dataset_free(table);
  tx_classifier_close(classifier);
}

static void test_validation_figures_are_those_of_training(void **state) {
  (void)state;
  for (int blocks = 0; blocks <= 2; blocks++) {
    for (int pooling = 0; pooling < 3; pooling++) {
      check_validation(llama, blocks, (tx_pooling)pooling);
      check_validation(gpt2, blocks, (tx_pooling)pooling);
    }
  }
}

/* ---- the same bits ----------------------------------------------------- */

static char storage[MANY][400];
static tx_text texts[MANY];

/* Ordinary texts, and among them every odd one. */
static void make_texts(void) {
  static char letters[3000];
  tx_random random = tx_random_seed(77);
  for (int i = 0; i < MANY; i++) {
    make_text(&random, i % LABELS, storage[i], sizeof storage[i]);
    texts[i] = (tx_text){storage[i], strnlen(storage[i], (size_t)(4 + i))};
  }
  for (size_t i = 0; i < sizeof letters; i++) letters[i] = "word after word "[i % 16];
  texts[1] = (tx_text){"", 0};
  texts[2] = (tx_text){NULL, 0};
  texts[10] = (tx_text){"a\0b\0\0c", 6};
  texts[20] = (tx_text){"\xff\xfe\xc3(\xe2\x82 \xf0\x9f\x98", 9};
  texts[30] = (tx_text){letters, sizeof letters}; /* longer than the context of 128 */
  texts[40] = tx_text_of("a");
  texts[41] = tx_text_of(" ");
  texts[50] = tx_text_of("<|endoftext|>");
  texts[63] = (tx_text){"", 0};
  texts[MANY - 1] = (tx_text){letters + 3, 700};
}

static void assert_same_rows(const float *want, const float *got, int count, const char *what) {
  for (int i = 0; i < count; i++) {
    if (memcmp(want + i * LABELS, got + i * LABELS, LABELS * sizeof *want) != 0) {
      fail_msg("%s: text %d is %.9g, not %.9g", what, i, (double)got[i * LABELS],
               (double)want[i * LABELS]);
    }
  }
}

static void check_ways(const char *path, const float *want) {
  static const int64_t budgets[] = {0, 1, 512, 100000};
  static float got[MANY * LABELS];
  for (int kernels = 0; kernels < 3; kernels++) {
    static const char *const names[] = {"avx512", "avx2", "generic"};
    if (!tx_kernels_find(names[kernels])) continue;
    setenv("TAXON_CPU", names[kernels], 1);
    for (int i = 0; i < 4; i++) {
      char what[100];
      if (kernels == 2 ? i != 2 : i == kernels) continue; /* generic is slow */
      tx_classifier_options options = tx_classifier_defaults();
      tx_classifier *classifier;
      options.batch_tokens = budgets[i];
      MADE_OK(tx_classifier_open(path, options, &classifier, error));
      tx_set_threads(1 + (i + kernels) % 3);
      snprintf(what, sizeof what, "%s, %d tokens at a time, %d threads", names[kernels],
               (int)budgets[i], 1 + (i + kernels) % 3);
      memset(got, 0, sizeof got);
      MADE_OK(tx_classifier_predict(classifier, texts, MANY, got, NULL, NULL, error));
      assert_same_rows(want, got, MANY, what);
      if (i == 2 && kernels < 2) { /* and in parts of 64 and 1 */
        MADE_OK(tx_classifier_predict(classifier, texts, 64, got, NULL, NULL, error));
        for (int t = 64; t < MANY; t++) {
          MADE_OK(
              tx_classifier_predict(classifier, texts + t, 1, got + t * LABELS, NULL, NULL, error));
        }
        assert_same_rows(want, got, MANY, "in parts");
      }
      tx_classifier_close(classifier);
    }
  }
  unsetenv("TAXON_CPU");
  tx_set_threads(1);
}

static void check_same_bits(const char *path) {
  static float want[MANY * LABELS];
  tx_classifier *classifier = made_open(path);
  int64_t tokens = 0, cut = 0;
  for (int i = 0; i < MANY; i++) { /* one at a time */
    tx_scored scored;
    MADE_OK(
        tx_classifier_predict(classifier, texts + i, 1, want + i * LABELS, &scored, NULL, error));
    assert_int_equal(scored.texts, 1);
    assert_true(scored.tokens >= 1 && scored.tokens <= 128);
    assert_int_equal(scored.cut, i == 30 || i == MANY - 1);
    tokens += scored.tokens, cut += scored.cut;
  }
  for (int i = 0; i < MANY; i++) {
    double sum = 0;
    for (int c = 0; c < LABELS; c++) {
      float p = want[i * LABELS + c];
      assert_true(p >= 0 && p <= 1);
      sum += (double)p;
    }
    assert_true(fabs(sum - 1) < 1e-6);
  }
  assert_memory_equal(want + 1 * LABELS, want + 2 * LABELS, LABELS * sizeof *want);
  assert_memory_equal(want + 1 * LABELS, want + 63 * LABELS, LABELS * sizeof *want);
  float *all = tx_alloc_array(MANY * LABELS, sizeof *all);
  tx_scored scored;
  MADE_OK(tx_classifier_predict(classifier, texts, MANY, all, &scored, NULL, error));
  assert_same_rows(want, all, MANY, "all at once");
  assert_true(scored.texts == MANY && scored.tokens == tokens && scored.cut == cut);
  tx_free(all);
  tx_classifier_close(classifier);
  check_ways(path, want);
}

static void test_the_same_bits(void **state) {
  (void)state;
  make_texts();
  check_same_bits(artifact(llama, 0, TX_POOLING_LAST, NULL));
  check_same_bits(artifact(llama, 2, TX_POOLING_MEAN, NULL));
  check_same_bits(artifact(gpt2, 1, TX_POOLING_FIRST, NULL));
}

typedef struct {
  tx_classifier *classifier;
  float p[MANY * LABELS];
  tx_status status;
} caller;

static void *call(void *argument) {
  caller *c = argument;
  tx_error error = {0};
  for (int i = 0; i < 3 && c->status == TX_OK; i++) {
    c->status = tx_classifier_predict(c->classifier, texts, MANY, c->p, NULL, NULL, &error);
  }
  return NULL;
}

/* Different handles by different threads at once. */
static void test_two_callers_at_once(void **state) {
  (void)state;
  static caller callers[2];
  static float want[MANY * LABELS];
  pthread_t threads[2];
  make_texts();
  const char *path = artifact(llama, 0, TX_POOLING_LAST, NULL);
  tx_classifier *alone = made_open(path);
  MADE_OK(tx_classifier_predict(alone, texts, MANY, want, NULL, NULL, error));
  tx_set_threads(2);
  for (int i = 0; i < 2; i++) {
    callers[i].classifier = made_open(path);
    assert_int_equal(pthread_create(&threads[i], NULL, call, &callers[i]), 0);
  }
  for (int i = 0; i < 2; i++) {
    pthread_join(threads[i], NULL);
    assert_int_equal(callers[i].status, TX_OK);
    assert_same_rows(want, callers[i].p, MANY, "two callers");
    tx_classifier_close(callers[i].classifier);
  }
  tx_set_threads(1);
  tx_classifier_close(alone);
}

/* More texts than are encoded at a time. */
static void test_many_texts(void **state) {
  (void)state;
  enum { COUNT = 2100 };
  tx_classifier *classifier = made_open(artifact(llama, 0, TX_POOLING_LAST, NULL));
  tx_text *many = tx_alloc_array(COUNT, sizeof *many);
  float *p = tx_alloc_array(COUNT * LABELS, sizeof *p), one[LABELS];
  for (int i = 0; i < COUNT; i++) many[i] = tx_text_of(i % 2 ? "a" : "bright screen");
  tx_scored scored;
  MADE_OK(tx_classifier_predict(classifier, many, COUNT, p, &scored, NULL, error));
  assert_int_equal(scored.texts, COUNT);
  MADE_OK(tx_classifier_predict(classifier, many, 1, one, NULL, NULL, error));
  for (int i = 0; i < COUNT; i += 2) assert_memory_equal(p + i * LABELS, one, sizeof one);
  MADE_OK(tx_classifier_predict(classifier, NULL, 0, NULL, &scored, NULL, error));
  assert_int_equal(scored.texts, 0);
  tx_free(many), tx_free(p);
  tx_classifier_close(classifier);
}

/* ---- cutting ----------------------------------------------------------- */

/* A cut text is the text of its first tokens; 0 is what training took, and the
 * model's context is the end of it. */
static void test_cutting(void **state) {
  (void)state;
  make_texts();
  const char *path = artifact(llama, 0, TX_POOLING_LAST, NULL);
  tx_classifier_options options = tx_classifier_defaults();
  tx_text text = tx_text_of("a a a a a a a a"), shorter = tx_text_of("a a a a a");
  float cut[LABELS], whole[LABELS];
  tx_scored scored;
  tx_classifier *classifier;
  options.max_tokens = 5;
  MADE_OK(tx_classifier_open(path, options, &classifier, error));
  MADE_OK(tx_classifier_predict(classifier, &text, 1, cut, &scored, NULL, error));
  assert_true(scored.tokens == 5 && scored.cut == 1);
  MADE_OK(tx_classifier_predict(classifier, &shorter, 1, whole, &scored, NULL, error));
  assert_true(scored.tokens == 5 && scored.cut == 0);
  assert_memory_equal(cut, whole, sizeof cut);
  tx_classifier_close(classifier);
  options.max_tokens = 1 << 20;
  MADE_OK(tx_classifier_open(path, options, &classifier, error));
  MADE_OK(tx_classifier_predict(classifier, texts + 30, 1, cut, &scored, NULL, error));
  assert_true(scored.tokens == 128 && scored.cut == 1);
  tx_classifier_close(classifier);
  tx_train_options training = made_options(llama, made("short.taxon"));
  training.max_tokens = 7;
  made_train(training);
  classifier = made_open(training.out);
  MADE_OK(tx_classifier_predict(classifier, texts + 30, 1, cut, &scored, NULL, error));
  assert_true(scored.tokens == 7 && scored.cut == 1);
  tx_classifier_close(classifier);
}

/* ---- stopping and progress --------------------------------------------- */

typedef struct {
  int64_t calls, stop_at, done, total;
  bool backwards;
} watching;

static bool cancelled(void *context) {
  watching *w = context;
  return ++w->calls == w->stop_at;
}

static void report(void *context, const char *stage, int64_t done, int64_t total,
                   const char *unit) {
  watching *w = context;
  assert_string_equal(stage, "classify");
  assert_string_equal(unit, "texts");
  if (done < w->done || done > total || (w->total && total != w->total)) w->backwards = true;
  w->done = done, w->total = total;
}

static void test_stopping_and_progress(void **state) {
  (void)state;
  enum { COUNT = 2100 };
  make_texts();
  tx_classifier *classifier = made_open(artifact(llama, 0, TX_POOLING_LAST, NULL));
  tx_text *many = tx_alloc_array(COUNT, sizeof *many);
  float *p = tx_alloc_array(COUNT * LABELS, sizeof *p);
  for (int i = 0; i < COUNT; i++) many[i] = texts[40];
  watching all = {0};
  tx_watch watch = {report, NULL, cancelled, &all};
  MADE_OK(tx_classifier_predict(classifier, many, COUNT, p, NULL, &watch, error));
  assert_true(all.calls >= 9);
  assert_false(all.backwards);
  assert_int_equal(all.done, COUNT);
  assert_int_equal(all.total, COUNT);
  for (int64_t n = 1; n <= all.calls; n++) {
    watching some = {.stop_at = n};
    watch.context = &some;
    MADE_FAILS(tx_classifier_predict(classifier, many, COUNT, p, NULL, &watch, error),
               TX_ERROR_INTERRUPTED, "stopped on request");
  }
  tx_free(many), tx_free(p);
  tx_classifier_close(classifier);
}

/* ---- damaged artifacts ------------------------------------------------- */

/* A trained artifact cut short, or with bytes changed: refused as bad input, or
 * it answers with probabilities. */
static void test_damaged_artifacts(void **state) {
  (void)state;
  make_texts();
  size_t size;
  char *bytes = read_bytes(artifact(gpt2, 0, TX_POOLING_LAST, NULL), &size);
  const char *path = made("damaged.taxon");
  tx_classifier *classifier;
  tx_random random = tx_random_seed(4);
  for (size_t cut = 0; cut < size - 32; cut += 1 + cut / 20) {
    write_bytes(path, bytes, cut);
    MADE_FAILS(tx_classifier_open(path, tx_classifier_defaults(), &classifier, error),
               TX_ERROR_INPUT, "damaged.taxon");
    assert_null(classifier);
  }
  int opened = 0, refused = 0;
  for (int i = 0; i < 600; i++) {
    size_t at = (size_t)tx_random_below(&random, i < 500 ? 3000 : size);
    char change = (char)(1 << tx_random_below(&random, 8));
    tx_error error = {0};
    bytes[at] = (char)(bytes[at] ^ change);
    write_bytes(path, bytes, size);
    bytes[at] = (char)(bytes[at] ^ change);
    tx_status status = tx_classifier_open(path, tx_classifier_defaults(), &classifier, &error);
    if (status == TX_OK) {
      float p[64] = {0};
      size_t labels = tx_classifier_count(classifier);
      assert_true(labels == 3);
      status = tx_classifier_predict(classifier, texts, 1, p, NULL, NULL, &error);
      if (status == TX_OK) assert_true(fabsf(p[0] + p[1] + p[2] - 1) < 1e-5f);
      tx_classifier_close(classifier);
      opened++;
    }
    refused += status != TX_OK;
    if (status != TX_OK && status != TX_ERROR_INPUT) {
      fail_msg("byte %d: status %d '%s'", (int)at, (int)status, error.message);
    }
  }
  assert_true(opened > 50 && refused > 50);
  free(bytes);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_validation_figures_are_those_of_training),
      cmocka_unit_test(test_the_same_bits),
      cmocka_unit_test(test_two_callers_at_once),
      cmocka_unit_test(test_many_texts),
      cmocka_unit_test(test_cutting),
      cmocka_unit_test(test_stopping_and_progress),
      cmocka_unit_test(test_damaged_artifacts),
  };
  return cmocka_run_group_tests(tests, made_setup, made_teardown);
}
