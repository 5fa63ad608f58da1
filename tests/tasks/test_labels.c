/* Any number of labels a text, labels that are paths, several seeds and folds, from tables to
 * answers: what the report says is what the artifact does; the same bytes on any number of
 * threads; and what is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tasks/made.h"
#include "formats/table.h"
#include "trust/answers.h"

enum { TEXTS = 21 };

/* Texts of one or two moods, or none: what they say in that many parts. */
static const char *several_table(const char *name, uint64_t seed, int rows) {
  const char *path = made(name);
  if (access(path, F_OK) == 0) return path;
  tx_random random = tx_random_seed(seed);
  FILE *file = fopen(path, "wb");
  assert_non_null(file);
  fputs("text\tlabel\n", file);
  for (int i = 0; i < rows; i++) {
    char text[2][1000] = {"", ""};
    int first = i % 4, second = i % 3;
    if (first < 3) make_text(&random, first, text[0], sizeof text[0]);
    if (first < 3 && second != first && i % 2) make_text(&random, second, text[1], sizeof text[1]);
    fprintf(file, "%s %s the weather %d\t%s%s%s\n", text[0], text[1], i,
            first < 3 ? made_labels[first] : "", text[1][0] ? "," : "",
            text[1][0] ? made_labels[second] : "");
  }
  assert_int_equal(fclose(file), 0);
  return path;
}

static tx_train_options several(const char *out) {
  tx_train_options options = made_options(llama, out);
  options.data = several_table("several.tsv", 3, 60);
  options.validation = several_table("several-val.tsv", 4, TEXTS);
  options.table.label_separator = ",";
  return options;
}

static tx_dataset *read_several(const char *path) {
  tx_dataset *data;
  tx_table_options options = tx_table_defaults();
  options.label_separator = ",";
  MADE_OK(tx_dataset_read(path, options, NULL, &data, error));
  return data;
}

static void near(double got, double want) {
  if (!(fabs(got - want) < 1e-6)) fail_msg("%.9g, not %.9g", got, want);
}

/* The artifact's answers have the figures of the report, and eval says the same. */
static void assert_report_holds(const tx_train_options *o, const tx_train_report *report) {
  float probabilities[TEXTS * 3];
  tx_metrics metrics;
  tx_evaluation evaluation;
  tx_classifier *c = made_open(o->out);
  tx_dataset *data = read_several(o->validation);
  assert_int_equal(tx_classifier_count(c), 3);
  assert_true(tx_classifier_head_multi_label(c, 0));
  assert_int_equal(tx_classifier_head_separator(c, 0), ',');
  MADE_OK(tx_classifier_predict(c, data->texts, TEXTS, probabilities, NULL, NULL, error));
  tx_answers_measure(probabilities, (tx_truth){NULL, data->marks, NULL}, TEXTS, 3, &metrics, NULL,
                     NULL);
  near(report->val_accuracy, metrics.accuracy);
  near(report->val_nll, metrics.nll);
  near(report->val_micro_f1, metrics.micro_f1);
  MADE_OK(tx_evaluate(c, o->validation, tx_table_defaults(), &evaluation, NULL, error));
  assert_true(evaluation.multi_label);
  assert_null(evaluation.confusion);
  near(evaluation.accuracy, metrics.accuracy);
  near(evaluation.micro_f1, metrics.micro_f1);
  near(evaluation.majority.accuracy, report->majority_accuracy);
  near(evaluation.linear.accuracy, report->linear_accuracy);
  tx_evaluation_free(&evaluation);
  tx_dataset_free(data);
  tx_classifier_close(c);
}

static void test_several_labels(void **state) {
  (void)state;
  static const tx_method methods[] = {TX_METHOD_HEAD, TX_METHOD_LAST_BLOCK, TX_METHOD_LORA,
                                      TX_METHOD_FULL, TX_METHOD_NORMS, TX_METHOD_AUTO};
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
    tx_train_options options = several(made("several.taxon"));
    options.method = methods[i];
    options.rank = 4;
    if (methods[i] == TX_METHOD_AUTO) options.penalty = 0;
    tx_train_report report = made_train(options);
    assert_report_holds(&options, &report);
    assert_true(report.val_micro_f1 > 0.3);
    assert_true(report.majority_accuracy > 0 && report.majority_accuracy < 0.6);
    options.out = made("again.taxon");
    tx_set_threads(3);
    made_train(options);
    tx_set_threads(1);
    assert_true(same_files(made("several.taxon"), made("again.taxon")));
  }
}

/* Held out from the one table: every label stays in training, and int8 is judged. */
static void test_several_held_out(void **state) {
  (void)state;
  tx_train_options options = several(made("held.taxon"));
  options.validation = NULL;
  options.penalty = 0;
  options.precision = TX_PRECISION_AUTO;
  tx_train_report report = made_train(options);
  assert_int_equal(report.train_rows + report.val_rows, 60);
  assert_in_range(report.val_rows, 4, 9);
  tx_quantize_options quantize = tx_quantize_defaults();
  quantize.home = made_directory;
  quantize.data = several_table("several-val.tsv", 4, TEXTS);
  quantize.out = made("bytes.taxon");
  quantize.tolerance = 100;
  tx_quantization quantization;
  MADE_OK(tx_quantize(options.out, quantize, &quantization, NULL, error));
  assert_true(quantization.accepted);
  for (int64_t i = 0; i < quantization.changed; i++) {
    assert_string_not_equal(quantization.answers[i].f32, quantization.answers[i].int8);
  }
  tx_quantization_free(&quantization);
}

static void test_several_refused(void **state) {
  (void)state;
  tx_train_report report;
  tx_train_options options = several(made("no.taxon"));
  options.class_weights = TX_CLASS_WEIGHTS_BALANCED;
  MADE_FAILS(tx_train(&options, &report, NULL, error), TX_ERROR_ARGUMENT,
             "--class-weights balanced");
  options = several(made("no.taxon"));
  options.sampling = TX_SAMPLING_BALANCED;
  MADE_FAILS(tx_train(&options, &report, NULL, error), TX_ERROR_ARGUMENT, "--sampling balanced");
  options = several(made("no.taxon"));
  options.hierarchical = true;
  MADE_FAILS(tx_train(&options, &report, NULL, error), TX_ERROR_ARGUMENT, "--hierarchical");
  options.hierarchical = false;
  options.table.label_separator = "";
  MADE_FAILS(tx_train(&options, &report, NULL, error), TX_ERROR_ARGUMENT, "one ASCII character");
  write_text(made("none.tsv"), "text\tlabel\na\t\nb\t\n");
  options = several(made("no.taxon"));
  options.data = made("none.tsv");
  MADE_FAILS(tx_train(&options, &report, NULL, error), TX_ERROR_INPUT, "no row has a label");
  write_text(made("one.tsv"), "text\tlabel\na\tx\nb\t\n");
  options.data = made("one.tsv");
  MADE_FAILS(tx_train(&options, &report, NULL, error), TX_ERROR_INPUT, "the only label is 'x'");
  options = made_options(llama, made("plain.taxon"));
  made_train(options);
  tx_classifier *c = made_open(options.out);
  tx_table_options table = tx_table_defaults();
  tx_evaluation evaluation;
  table.label_separator = ",";
  assert_false(tx_classifier_head_multi_label(c, 0));
  assert_int_equal(tx_classifier_head_separator(c, 0), 0);
  MADE_FAILS(tx_evaluate(c, options.data, table, &evaluation, NULL, error), TX_ERROR_ARGUMENT,
             "gives each text one label");
  tx_classifier_close(c);
}

/* ---- paths ------------------------------------------------------------- */

/* Labels bad, good/fine and good/mixed of train.tsv's three, or as `names` says. */
static const char *paths_table(const char *name, const char *from, const char *const names[3]) {
  size_t size;
  char *rows = read_bytes(from, &size), *rest = rows;
  FILE *file = fopen(made(name), "wb");
  assert_non_null(file);
  for (char *line; (line = strsep(&rest, "\n")) && *line;) {
    char *tab = strchr(line, '\t');
    assert_non_null(tab);
    *tab = '\0';
    const char *label = tab + 1;
    for (int i = 0; i < 3; i++) {
      if (strcmp(tab + 1, made_labels[i]) == 0) label = names[i];
    }
    fprintf(file, "%s\t%s\n", line, label);
  }
  assert_int_equal(fclose(file), 0);
  free(rows);
  return made(name);
}

static void test_paths(void **state) {
  (void)state;
  static const char *const names[3] = {"good", "good/fine", "so/so/so"};
  tx_train_options options = made_options(llama, made("paths.taxon"));
  options.data = paths_table("paths.tsv", options.data, names);
  options.validation = paths_table("paths-val.tsv", options.validation, names);
  options.hierarchical = true;
  made_train(options);
  tx_classifier *c = made_open(options.out);
  tx_hierarchy *h;
  MADE_OK(tx_classifier_head_hierarchy(c, 0, &h, error));
  assert_non_null(h);
  assert_int_equal(tx_hierarchy_levels(h), 3);
  tx_path_step steps[3];
  assert_int_equal(tx_hierarchy_path(h, (const float[]){0.1f, 0.7f, 0.2f}, steps), 2);
  assert_string_equal(steps[1].node, "good/fine");
  near(steps[0].probability, 0.8);
  tx_evaluation e;
  MADE_OK(tx_evaluate(c, options.validation, tx_table_defaults(), &e, NULL, error));
  assert_int_equal(e.level_count, 3);
  assert_int_equal(e.levels[0].n, e.n);
  assert_int_equal(e.levels[1].n, 14); /* of 21: those below good, and so/so/so */
  assert_int_equal(e.levels[2].n, 7);
  /* By the way that predict goes, row by row. */
  int64_t shared = 0, there = 0, answered = 0, right[3] = {0, 0, 0};
  tx_table *table;
  tx_row row;
  bool found;
  MADE_OK(tx_table_open(options.validation, tx_table_defaults(), &table, error));
  for (;;) {
    float p[3];
    MADE_OK(tx_table_next(table, &row, &found, error));
    if (!found) break;
    MADE_OK(tx_classifier_predict(c, &row.text, 1, p, NULL, NULL, error));
    size_t reached = tx_hierarchy_path(h, p, steps), depth = 1;
    for (size_t k = 0; k < row.label.size; k++) depth += row.label.data[k] == '/';
    there += (int64_t)depth, answered += (int64_t)reached;
    for (size_t k = 0; k < reached; k++) { /* a node that begins the label, as a whole part */
      size_t size = strlen(steps[k].node);
      bool met = size <= row.label.size && !memcmp(row.label.data, steps[k].node, size) &&
                 (size == row.label.size || row.label.data[size] == '/');
      shared += met, right[k] += met;
    }
  }
  tx_table_close(table);
  for (int k = 0; k < 3; k++) assert_int_equal(e.levels[k].correct, right[k]);
  near(e.hierarchical_precision, (double)shared / (double)answered);
  near(e.hierarchical_recall, (double)shared / (double)there);
  near(e.hierarchical_f1, 2 * (double)shared / (double)(there + answered));
  tx_hierarchy_free(h);
  tx_evaluation_free(&e);
  tx_classifier_close(c);
}

static char told[4000];

static void take_note(void *context, const char *sentence) {
  (void)context;
  strncat(told, sentence, sizeof told - strlen(told) - 2);
  strcat(told, "\n");
}

/* Labels with slashes are labels, unless it is said; then they have to be paths. */
static void test_slashes(void **state) {
  (void)state;
  static const char *const names[3] = {"a/b", "a//c", "d/e"};
  tx_train_report report;
  tx_train_options options = made_options(llama, made("slashes.taxon"));
  options.data = paths_table("slashes.tsv", options.data, names);
  options.validation = paths_table("slashes-val.tsv", options.validation, names);
  tx_watch watch = {.note = take_note};
  told[0] = '\0';
  MADE_OK(tx_train(&options, &report, &watch, error));
  assert_non_null(strstr(told, "every label holds a slash"));
  tx_classifier *c = made_open(options.out);
  tx_hierarchy *h;
  MADE_OK(tx_classifier_head_hierarchy(c, 0, &h, error));
  assert_null(h);
  tx_classifier_close(c);
  options.hierarchical = true;
  MADE_FAILS(tx_train(&options, &report, NULL, error), TX_ERROR_INPUT,
             "the label 'a//c' is no path");
}

/* An answer of several labels would be cut short, or could not be read back. */
static void test_damaged_separator(void **state) {
  (void)state;
  static const char key[] = "taxon.label_separator", damages[] = {'\0', ' ', 'e', '\x80'};
  tx_train_options options = several(made("separator.taxon"));
  made_train(options);
  FILE *file = fopen(options.out, "r+b");
  char bytes[8192];
  size_t size = fread(bytes, 1, sizeof bytes, file), at = 0;
  while (at < size && memcmp(bytes + at, key, strlen(key)) != 0) at++;
  assert_true(at + strlen(key) + 12 < size && bytes[at + strlen(key) + 12] == ',');
  for (size_t i = 0; i < sizeof damages; i++) {
    tx_classifier *classifier;
    assert_int_equal(fseek(file, (long)(at + strlen(key) + 12), SEEK_SET), 0);
    assert_int_equal(fputc(damages[i], file), (unsigned char)damages[i]);
    assert_int_equal(fflush(file), 0);
    tx_classifier_options plain = tx_classifier_defaults();
    plain.home = made_directory;
    MADE_FAILS(tx_classifier_open(options.out, plain, &classifier, error), TX_ERROR_INPUT,
               "the artifact is damaged");
  }
  fclose(file);
}

/* ---- seeds and folds --------------------------------------------------- */

static tx_train_options repeated(const char *out) {
  tx_train_options options = made_options(llama, out);
  options.validation = NULL;
  options.method = TX_METHOD_LAST_BLOCK;
  options.head_solver = TX_HEAD_SGD; /* its start is by the seed */
  options.seed = 5;
  return options;
}

/* The artifact is the one of the first seed alone; another's scores are those of its own run on
 * the same rows, which a table of its own sees to. */
static void test_seeds(void **state) {
  (void)state;
  for (int method = 0; method < 2; method++) {
    tx_train_options options = repeated(made("seeds.taxon"));
    options.validation = made("val.tsv");
    if (method == 1) options.method = TX_METHOD_LORA, options.rank = 4;
    options.seeds = 3;
    tx_train_report all = made_train(options), one;
    assert_int_equal(all.seed_count, 3);
    options.seeds = 1;
    double sum = 0, low = 1, high = 0, squares = 0;
    for (int i = 0; i < 3; i++) {
      options.seed = 5 + (uint64_t)i;
      options.out = made(i == 0 ? "first.taxon" : "other.taxon");
      one = made_train(options);
      assert_int_equal(all.seeds[i].seed, options.seed);
      near(all.seeds[i].nll, one.val_nll);
      near(all.seeds[i].accuracy, one.val_accuracy);
      sum += one.val_nll;
      low = fmin(low, one.val_accuracy), high = fmax(high, one.val_accuracy);
    }
    assert_true(same_files(made("seeds.taxon"), made("first.taxon")));
    assert_false(same_files(made("seeds.taxon"), made("other.taxon")));
    for (int i = 0; i < 3; i++) squares += pow(all.seeds[i].nll - sum / 3, 2);
    near(all.seed_nll.mean, sum / 3);
    near(all.seed_nll.deviation, sqrt(squares / 2));
    assert_true(all.seed_nll.deviation > 0);
    near(all.seed_accuracy.low, low);
    near(all.seed_accuracy.high, high);
  }
}

/* Every method, the artifact being that of a run without folds; the trunk is run once. */
/* A head that no chance is in: whether int8 is kept for the artifact is none of the spread. */
static void test_seeds_before_int8(void **state) {
  (void)state;
  tx_train_options options = made_options(llama, made("seeds-int8.taxon"));
  options.seeds = 2, options.precision = TX_PRECISION_AUTO;
  tx_train_report report = made_train(options);
  assert_int_equal(report.precision, TX_PRECISION_INT8);
  assert_true(report.seeds[0].nll != report.val_nll);
  assert_true(report.seeds[0].nll == report.seeds[1].nll);
  assert_true(report.seed_nll.deviation == 0);
}

static void test_folds(void **state) {
  (void)state;
  static const tx_method methods[] = {TX_METHOD_HEAD, TX_METHOD_LAST_BLOCK, TX_METHOD_LORA,
                                      TX_METHOD_FULL, TX_METHOD_AUTO};
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
    tx_train_options options = repeated(made("folds.taxon"));
    options.method = methods[i];
    options.rank = 4;
    options.head_solver = TX_HEAD_CONVEX;
    if (methods[i] == TX_METHOD_AUTO) options.penalty = 0;
    options.folds = 3;
    tx_train_report report = made_train(options);
    const tx_cross_validation *cv = &report.cross_validation;
    assert_int_equal(cv->folds, 3);
    assert_int_equal(cv->rows, 48);
    assert_true(cv->accuracy > 0.3 && cv->lo < cv->accuracy && cv->accuracy < cv->hi);
    assert_true(cv->nll > 0 && cv->macro_f1 > 0 && cv->linear_accuracy > 0.3);
    if (methods[i] == TX_METHOD_HEAD) assert_int_equal(report.computed_texts, 48);
    options.folds = 0;
    options.out = made("whole.taxon");
    made_train(options);
    assert_true(same_files(made("folds.taxon"), made("whole.taxon")));
  }
}

/* Labels by chance: an answer that had seen its text would be right more often. */
static void test_folds_do_not_leak(void **state) {
  (void)state;
  tx_random random = tx_random_seed(11);
  FILE *file = fopen(made("chance.tsv"), "wb");
  assert_non_null(file);
  fputs("text\tlabel\n", file);
  for (int i = 0; i < 120; i++) {
    char text[1000];
    make_text(&random, (int)tx_random_below(&random, 3), text, sizeof text);
    /* each text twice, with its label: both must fall into one fold */
    int label = (int)tx_random_below(&random, 2);
    for (int k = 0; k < 2; k++) fprintf(file, "%s no. %d\t%s\n", text, i, label ? "yes" : "no");
  }
  assert_int_equal(fclose(file), 0);
  tx_train_options options = repeated(made("chance.taxon"));
  options.data = made("chance.tsv");
  options.method = TX_METHOD_HEAD;
  options.head_solver = TX_HEAD_CONVEX;
  options.pooling = TX_POOLING_LAST_MEAN;
  options.penalty = 1e-4;
  options.folds = 4;
  tx_train_report report = made_train(options);
  assert_in_range((int)(100 * report.cross_validation.accuracy), 35, 65);
  assert_in_range((int)(100 * report.cross_validation.linear_accuracy), 35, 65);
}

static void test_folds_of_several_labels(void **state) {
  (void)state;
  tx_train_options options = several(made("sevenfold.taxon"));
  options.validation = NULL;
  options.folds = 3;
  options.seeds = 2;
  tx_train_report report = made_train(options);
  assert_int_equal(report.cross_validation.rows, 60);
  assert_true(report.cross_validation.micro_f1 > 0.3);
  assert_int_equal(report.seed_count, 2);
}

static void test_repeats_refused(void **state) {
  (void)state;
  tx_train_report report;
  tx_train_options options = repeated(made("no.taxon"));
  options.folds = 1;
  MADE_FAILS(tx_train(&options, &report, NULL, error), TX_ERROR_ARGUMENT, "needs 2 at least");
  options.folds = TX_MAX_FOLDS + 1;
  MADE_FAILS(tx_train(&options, &report, NULL, error), TX_ERROR_ARGUMENT, "folds is 101");
  options.folds = 60;
  MADE_FAILS(tx_train(&options, &report, NULL, error), TX_ERROR_INPUT, "do not fill 60 folds");
  options.folds = 2, options.run = made("run");
  MADE_FAILS(tx_train(&options, &report, NULL, error), TX_ERROR_ARGUMENT,
             "--folds trains several times");
  options.folds = 0, options.seeds = 2;
  MADE_FAILS(tx_train(&options, &report, NULL, error), TX_ERROR_ARGUMENT,
             "--seeds trains several times");
  options.seeds = 0, options.run = NULL;
  MADE_FAILS(tx_train(&options, &report, NULL, error), TX_ERROR_ARGUMENT, "seeds is 0");
  const tx_label_source heads[] = {{"a", options.data}, {"b", options.data}};
  options = repeated(made("no.taxon"));
  options.data = NULL, options.method = TX_METHOD_HEAD, options.head_solver = TX_HEAD_CONVEX;
  options.heads = heads, options.head_count = 2, options.seeds = 2;
  MADE_FAILS(tx_train(&options, &report, NULL, error), TX_ERROR_ARGUMENT, "is of one label set");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_several_labels),
                                     cmocka_unit_test(test_several_held_out),
                                     cmocka_unit_test(test_several_refused),
                                     cmocka_unit_test(test_paths),
                                     cmocka_unit_test(test_slashes),
                                     cmocka_unit_test(test_seeds),
                                     cmocka_unit_test(test_damaged_separator),
                                     cmocka_unit_test(test_seeds_before_int8),
                                     cmocka_unit_test(test_folds),
                                     cmocka_unit_test(test_folds_do_not_leak),
                                     cmocka_unit_test(test_folds_of_several_labels),
                                     cmocka_unit_test(test_repeats_refused)};
  return cmocka_run_group_tests(tests, made_setup, made_teardown);
}
