/* tx_ablate on the tiny models: every row that has a model, what a row changes, a stopped call
 * that goes on in the same report, and refusals. */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "made.h"
#include "taxon.h"
#include "trust/seeds.h"

/* ---- shared ------------------------------------------------------------------ */

static void make_data(const char *name) {
  char path[600];
  static const char *const tables[] = {"train.tsv", "val.tsv", "test.tsv"};
  static const int rows[] = {36, 15, 24};
  if (access(made(name), F_OK) == 0) return;
  MADE_OK(tx_directory_make(made(name), error));
  for (int i = 0; i < 3; i++) {
    snprintf(path, sizeof path, "%s/%s", made(name), tables[i]);
    make_table(path, 10 + (uint64_t)i, rows[i]);
  }
}

static tx_ablation_options options_for(const char *out) {
  make_data("tables");
  tx_ablation_options options = tx_ablation_defaults();
  options.home = made("home");
  options.model = llama;
  options.data = made("tables");
  options.out = made(out);
  options.seeds = 2;
  options.epochs = 2;
  options.learning_rate = 3e-3;
  options.context = 48;
  return options;
}

static tx_ablation_report ablate(tx_ablation_options options) {
  tx_ablation_report report;
  MADE_OK(tx_ablate(&options, &report, NULL, error));
  return report;
}

static const char *file_in(const char *directory, const char *name) {
  static char path[700];
  snprintf(path, sizeof path, "%s/%s", directory, name);
  return path;
}

/* New: the report without what differs from one time to the next. */
static char *timeless(const tx_ablation_options *options) {
  size_t size;
  char *text = read_bytes(file_in(options->out, "report.json"), &size);
  json_t *object = json_loads(text, 0, NULL), *row;
  size_t index;
  assert_non_null(object);
  json_array_foreach(json_object_get(object, "rows"), index, row) {
    json_object_del(row, "seconds");
    json_object_del(row, "trunk_seconds");
    json_object_del(row, "cached");
  }
  free(text);
  text = json_dumps(object, 0);
  json_decref(object);
  return text;
}

/* ---- rows ---------------------------------------------------------------------- */

static void check_score(tx_ablation_score score) {
  assert_true(score.lo >= 0 && score.lo <= score.mean && score.mean <= score.hi && score.hi <= 1);
  assert_true(score.lo < score.hi);
}

static void test_every_row(void **state) {
  (void)state;
  tx_ablation_options options = options_for("every");
  const char *const larger[] = {gpt2};
  options.models = larger, options.model_count = 1;
  options.seeds = 1;
  tx_ablation_report report = ablate(options);
  assert_int_equal(report.row_count, TX_ABLATION_ROWS);
  assert_int_equal(report.trained, TX_ABLATION_ROWS - 3); /* 7 and 8 have no model, 18 is row 1 */
  for (size_t i = 0; i < report.row_count; i++) {
    const tx_ablation_row *row = &report.rows[i];
    bool missing = row->number == 7 || row->number == 8;
    assert_int_equal(row->number, i + 1);
    assert_int_equal(row->seeds, missing ? 0 : 1);
    assert_int_equal(row->skipped != NULL, missing);
    assert_true(row->published_test > 0.7 && row->published_test < 1);
    if (missing) continue;
    check_score(row->train), check_score(row->validation), check_score(row->test);
    assert_true(row->trained_parameters > 0);
    assert_string_equal(row->model,
                        row->number == 6 || row->number == 9 || row->number == 12 ? gpt2 : llama);
    assert_int_equal(row->lesson[0] == '\0', row->number == 1);
  }
  const tx_ablation_row *rows = report.rows - 1; /* by number */
  assert_true(rows[3].trained_parameters < rows[1].trained_parameters);
  assert_true(rows[4].trained_parameters > rows[1].trained_parameters);
  assert_true(rows[5].trained_parameters > rows[4].trained_parameters);
  assert_true(rows[11].trained_parameters < rows[5].trained_parameters);
  assert_int_equal(rows[10].against, 5);
  assert_int_equal(rows[12].against, 9);
  assert_memory_equal(&rows[18].test, &rows[1].test, sizeof rows[1].test);
  assert_int_equal(rows[18].same_as, 1);
  tx_ablation_report_free(&report);
  assert_null(report.owned);
  assert_int_equal(access(file_in(options.out, "training"), F_OK), -1);
  assert_int_equal(made_names(options.out), 5); /* .lock, rows.jsonl, three of the report */
}

/* The row's figures are those of tx_train and tx_evaluate by the options that it stands for. */
static void test_the_reference_is_the_recipe(void **state) {
  (void)state;
  static const int rows[] = {1, 16};
  tx_ablation_options options = options_for("recipe");
  options.rows = rows, options.row_count = 2;
  options.seeds = 1, options.seed = 7;
  tx_ablation_report report = ablate(options);
  assert_int_equal(report.row_count, 2);
  for (int i = 0; i < 2; i++) {
    tx_train_options train = made_options(llama, made("recipe.taxon"));
    char path[3][700];
    snprintf(path[0], 700, "%s/train.tsv", options.data);
    snprintf(path[1], 700, "%s/val.tsv", options.data);
    snprintf(path[2], 700, "%s/test.tsv", options.data);
    train.data = path[0], train.validation = path[1];
    train.method = TX_METHOD_LAST_BLOCK, train.pooling = TX_POOLING_LAST;
    train.head_solver = TX_HEAD_SGD, train.schedule = TX_SCHEDULE_CONSTANT;
    train.warm_up = train.clip = train.penalty = 0;
    train.learning_rate = 3e-3, train.patience = 2, train.seed = 7;
    size_t size;
    char *json = read_bytes(file_in(options.out, "report.json"), &size);
    json_t *object = json_loads(json, 0, NULL);
    int64_t longest = json_integer_value(json_object_get(object, "longest"));
    json_decref(object), free(json);
    assert_true(longest > 10);
    train.max_tokens = longest, train.pad_to = i == 0 ? longest : 0;
    tx_train_report trained = made_train(train);
    tx_classifier *classifier = made_open(train.out);
    tx_evaluation test, seen;
    MADE_OK(tx_evaluate(classifier, path[2], tx_table_defaults(), &test, NULL, error));
    MADE_OK(tx_evaluate(classifier, path[0], tx_table_defaults(), &seen, NULL, error));
    assert_true(report.rows[i].test.mean == test.accuracy);
    assert_true(report.rows[i].test.lo == test.accuracy_lo);
    assert_true(report.rows[i].train.mean == seen.accuracy);
    assert_true(report.rows[i].validation.mean == trained.val_accuracy);
    assert_int_equal(report.rows[i].trained_parameters, trained.trained_parameters);
    tx_evaluation_free(&test), tx_evaluation_free(&seen);
    tx_classifier_close(classifier);
  }
  tx_ablation_report_free(&report);
}

/* ---- stopped and resumed --------------------------------------------------------- */

typedef struct {
  int trainings, stop_at;
  bool stopped;
} stopping;

static void note(void *context, const char *sentence) {
  stopping *s = context;
  if (strncmp(sentence, "row ", 4) == 0 && ++s->trainings == s->stop_at) s->stopped = true;
}

static bool cancelled(void *context) { return ((stopping *)context)->stopped; }

static void test_stopped_and_resumed(void **state) {
  (void)state;
  static const int rows[] = {2, 1, 3, 18};
  tx_ablation_options whole = options_for("whole"), parts = options_for("parts");
  whole.rows = parts.rows = rows, whole.row_count = parts.row_count = 4;
  tx_ablation_report report = ablate(whole);
  assert_int_equal(report.trained, 6);
  assert_int_equal(report.resumed, 0);
  assert_int_equal(report.row_count, 4);
  tx_ablation_report_free(&report);
  for (int at = 2; at <= 5; at += 3) {
    stopping s = {.stop_at = at};
    tx_watch watch = {.note = note, .cancelled = cancelled, .context = &s};
    tx_directory_remove(parts.out);
    MADE_FAILS(tx_ablate(&parts, &report, &watch, error), TX_ERROR_INTERRUPTED, "");
    assert_null(report.owned);
    /* and what a kill leaves: half a line, and a directory of work */
    FILE *log = fopen(file_in(parts.out, "rows.jsonl"), "ab");
    assert_non_null(log);
    fputs("{\"row\":1,\"se", log);
    fclose(log);
    MADE_OK(tx_directory_make(file_in(parts.out, "training"), error));
    report = ablate(parts);
    assert_int_equal(report.resumed, at - 1);
    assert_int_equal(report.trained, 6 - (at - 1));
    tx_ablation_report_free(&report);
    char *a = timeless(&whole), *b = timeless(&parts);
    assert_string_equal(a, b);
    free(a), free(b);
  }
  report = ablate(parts); /* nothing is left to do */
  assert_int_equal(report.trained, 0);
  tx_ablation_report_free(&report);
  parts.seeds = 3; /* more may be asked for */
  report = ablate(parts);
  assert_int_equal(report.trained, 3);
  assert_int_equal(report.rows[0].seeds, 3);
  tx_ablation_report_free(&report);
  static const int seeds[] = {1, 0, 4, 0}; /* of rows 2, 1, 3 and 18, one by one */
  parts.row_seeds = seeds;
  report = ablate(parts);
  assert_int_equal(report.trained, 1);
  assert_int_equal(report.rows[0].seeds, 3);
  assert_int_equal(report.rows[1].seeds, 1);
  assert_non_null(strstr(report.rows[1].lesson, ", one seed"));
  assert_int_equal(report.rows[2].seeds, 4);
  assert_int_equal(report.rows[3].seeds, 3);
  tx_ablation_report_free(&report);
}

/* ---- refusals ---------------------------------------------------------------------- */

static void test_what_differs_is_named(void **state) {
  (void)state;
  static const int rows[] = {3};
  tx_ablation_options plain = options_for("differs"), options;
  plain.rows = rows, plain.row_count = 1, plain.seeds = 1;
  tx_ablation_report report = ablate(plain);
  tx_ablation_report_free(&report);
  options = plain, options.epochs = 3;
  MADE_FAILS(tx_ablate(&options, &report, NULL, error), TX_ERROR_INPUT,
             "had --epochs 2, and this call has 3");
  options = plain, options.learning_rate = 1e-4;
  MADE_FAILS(tx_ablate(&options, &report, NULL, error), TX_ERROR_INPUT, "--lr");
  options = plain, options.model = gpt2;
  MADE_FAILS(tx_ablate(&options, &report, NULL, error), TX_ERROR_INPUT, "a model with SHA-256");
  make_data("others");
  make_table(file_in(made("others"), "test.tsv"), 99, 24);
  options = plain, options.data = made("others");
  MADE_FAILS(tx_ablate(&options, &report, NULL, error), TX_ERROR_INPUT, "test rows with SHA-256");
  FILE *log = fopen(file_in(plain.out, "rows.jsonl"), "ab");
  fputs("{\"row\":77}\n", log);
  fclose(log);
  MADE_FAILS(tx_ablate(&plain, &report, NULL, error), TX_ERROR_INPUT, "rows.jsonl:3: ");
}

static void test_refusals(void **state) {
  (void)state;
  static const int beyond[] = {20};
  tx_ablation_report report;
  tx_ablation_options options = options_for("refused");
  options.rows = beyond, options.row_count = 1;
  MADE_FAILS(tx_ablate(&options, &report, NULL, error), TX_ERROR_ARGUMENT, "row is 20");
  options = options_for("refused"), options.seeds = 0;
  MADE_FAILS(tx_ablate(&options, &report, NULL, error), TX_ERROR_ARGUMENT, "seeds is 0");
  options = options_for("refused"), options.data = made("nowhere");
  MADE_FAILS(tx_ablate(&options, &report, NULL, error), TX_ERROR_INPUT, "train.tsv");
  options = options_for("refused"), options.model = "no-such-model";
  MADE_FAILS(tx_ablate(&options, &report, NULL, error), TX_ERROR_INPUT, "no-such-model");
  assert_int_equal(access(made("refused"), F_OK), -1);
}

/* ---- statistics ----------------------------------------------------------------------- */

static bool near(double a, double b, double within) { return a - b < within && b - a < within; }

static void test_intervals(void **state) {
  (void)state;
  const double one[] = {0.95}, three[] = {0.94, 0.95, 0.96};
  tx_interval wilson = tx_wilson(285, 300);
  tx_mean mean = tx_seeds_accuracy(one, 1, 300);
  assert_true(mean.lo == wilson.lo && mean.hi == wilson.hi);
  mean = tx_seeds_accuracy(three, 3, 300);
  /* t(2) * 0.01 / sqrt(3) = 0.024843, joined with Wilson's 0.919153 and 0.969468 */
  assert_true(near(mean.lo, 0.95 - 0.0396072, 1e-5));
  assert_true(near(mean.hi, 0.95 + 0.0315628, 1e-5));
  const char *a[] = {"1111111111", "1111111110"}, *b[] = {"1111100000", "1111100001"};
  tx_mean difference = tx_seeds_difference(a, b, 1, 10);
  tx_interval paired = tx_paired_difference(5, 5, 0, 0);
  assert_true(difference.lo == paired.lo && difference.hi == paired.hi);
  difference = tx_seeds_difference(a, b, 2, 10);
  assert_true(near(difference.mean, 0.4, 1e-12));
  assert_true(difference.lo < 0); /* two seeds that disagree by 0.2 tell nothing */
  difference = tx_seeds_difference(a, a, 2, 10);
  assert_true(difference.lo <= 0 && difference.hi >= 0);
  assert_true(near(tx_student(1), 12.706, 1e-9));
  assert_true(near(tx_student(40), 2.0211, 1e-3));
  assert_true(near(tx_student(1000000), 1.95997, 1e-4));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_row),
      cmocka_unit_test(test_the_reference_is_the_recipe),
      cmocka_unit_test(test_stopped_and_resumed),
      cmocka_unit_test(test_what_differs_is_named),
      cmocka_unit_test(test_refusals),
      cmocka_unit_test(test_intervals),
  };
  return cmocka_run_group_tests(tests, made_setup, made_teardown);
}
