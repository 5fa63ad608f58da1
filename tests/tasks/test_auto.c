/* The method auto as a whole, on made tables: the depth and the pooling that the
 * report names are those of the artifact, which runs no more blocks; states are
 * computed once for all runs; the last block is kept where it is better; the same
 * bytes every time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "tasks/made.h"
#include "formats/artifact.h"
#include "formats/gguf.h"

enum { ROWS = 90, BLOCKS = 3 };

/* A table of lines "text TAB label", made by a function of the row. */
typedef void make_row(tx_random *random, int row, char *text, char *label);

static void write_rows(const char *path, uint64_t seed, int rows, make_row *make) {
  tx_random random = tx_random_seed(seed);
  FILE *file = fopen(path, "wb");
  assert_non_null(file);
  fputs("text\tlabel\n", file);
  for (int i = 0; i < rows; i++) {
    char text[2000], label[100];
    make(&random, i, text, label);
    fprintf(file, "%s\t%s\n", text, label);
  }
  assert_int_equal(fclose(file), 0);
}

static tx_train_options auto_options(const char *model, const char *out) {
  tx_train_options options = made_options(model, out);
  options.method = TX_METHOD_AUTO;
  options.data = made("auto.tsv"), options.validation = made("auto_val.tsv");
  if (access(options.data, F_OK) != 0) {
    make_table(options.data, 11, ROWS);
    make_table(options.validation, 12, 45);
  }
  return options;
}

/* What the artifact says agrees with the report, and it answers. */
static void check_artifact(tx_train_options options, tx_train_report report) {
  tx_gguf *gguf;
  tx_artifact_facts facts;
  MADE_OK(tx_artifact_open(options.out, &gguf, &facts, error));
  assert_int_equal(facts.depth, report.depth);
  assert_int_equal(facts.blocks_trained, report.method == TX_METHOD_LAST_BLOCK);
  assert_true(report.method == TX_METHOD_HEAD || report.method == TX_METHOD_LAST_BLOCK);
  tx_gguf_close(gguf);
  tx_classifier *classifier = made_open(options.out);
  tx_evaluation evaluation;
  MADE_OK(
      tx_evaluate(classifier, options.validation, tx_table_defaults(), &evaluation, NULL, error));
  assert_true(evaluation.accuracy == report.val_accuracy);
  assert_true(evaluation.nll == report.val_nll);
  tx_evaluation_free(&evaluation);
  tx_classifier_close(classifier);
}

static tx_train_report train_and_check(tx_train_options options) {
  tx_train_report report = made_train(options);
  check_artifact(options, report);
  return report;
}

/* ---- depth and pooling -------------------------------------------------------- */

static void test_depth_and_pooling_are_respected(void **state) {
  (void)state;
  static const tx_pooling poolings[] = {TX_POOLING_LAST, TX_POOLING_MEAN, TX_POOLING_LAST_MEAN,
                                        TX_POOLING_AUTO};
  for (int depth = 0; depth <= BLOCKS; depth++) {
    for (int p = 0; p < 4; p++) {
      tx_train_options options = auto_options(llama, made("fixed.taxon"));
      options.depth = depth, options.pooling = poolings[p];
      tx_train_report report = train_and_check(options);
      if (depth > 0) assert_int_equal(report.depth, depth);
      assert_in_range(report.depth, 0, BLOCKS);
      if (p < 3) assert_int_equal(report.pooling, poolings[p]);
      assert_int_not_equal(report.pooling, TX_POOLING_AUTO);
      assert_int_not_equal(report.pooling, TX_POOLING_FIRST);
    }
  }
  for (int deepest = 1; deepest <= BLOCKS; deepest++) {
    tx_train_options options = auto_options(llama, made("fixed.taxon"));
    options.max_depth = deepest;
    assert_in_range(train_and_check(options).depth, 0, deepest);
  }
}

/* The last token tells: no block is needed, and none is run. */
static void last_word_tells(tx_random *random, int row, char *text, char *label) {
  static const char *const ends[] = {"7", "!", "?"};
  make_text(random, (int)tx_random_below(random, 3), text, 1900);
  strcat(text, ends[row % 3]);
  strcpy(label, made_labels[row % 3]);
}

static void test_no_block_at_all(void **state) {
  (void)state;
  write_rows(made("ends.tsv"), 1, 90, last_word_tells);
  write_rows(made("ends_val.tsv"), 2, 30, last_word_tells);
  tx_train_options options = auto_options(llama, made("ends.taxon"));
  options.data = made("ends.tsv"), options.validation = made("ends_val.tsv");
  tx_train_report report = train_and_check(options);
  assert_int_equal(report.depth, 0);
  assert_int_equal(report.method, TX_METHOD_HEAD);
  assert_true(report.val_accuracy == 1);
  tx_classifier *classifier = made_open(options.out);
  const tx_text texts[] = {tx_text_of("anything7"), tx_text_of("!"), tx_text_of("what is it?")};
  float p[9];
  MADE_OK(tx_classifier_predict(classifier, texts, 3, p, NULL, NULL, error));
  for (int i = 0; i < 3; i++) assert_true(p[i * 4] > 0.5f);
  tx_classifier_close(classifier);
}

/* A copy of the model whose last block is not a number: who does not run it, does
 * not read it. */
static void test_later_blocks_are_not_read(void **state) {
  (void)state;
  size_t size;
  uint64_t mapped;
  char *bytes = read_bytes(llama, &size);
  tx_gguf *gguf;
  MADE_OK(tx_gguf_open(llama, &gguf, error));
  const tx_tensor *tensor = tx_gguf_tensor(gguf, "blk.2.ffn_norm.weight");
  assert_non_null(tensor);
  assert_int_equal(tensor->type, TX_TENSOR_F32);
  const float nothing = NAN;
  memcpy(bytes + (tensor->data - tx_gguf_bytes(gguf, &mapped)), &nothing, sizeof nothing);
  write_bytes(made("holed.gguf"), bytes, size);
  tx_gguf_close(gguf);
  free(bytes);
  tx_train_options options = auto_options(made("holed.gguf"), made("holed.taxon"));
  for (int fixed = 0; fixed < 2; fixed++) {
    options.depth = fixed ? 2 : 0, options.max_depth = 2;
    assert_in_range(train_and_check(options).depth, 0, 2);
  }
  remove(options.out);
  options.depth = 0, options.max_depth = 0;
  tx_train_report report;
  MADE_FAILS(tx_train(&options, &report, NULL, error), TX_ERROR_INPUT, "blk.2.ffn_norm.weight");
  assert_int_not_equal(access(options.out, F_OK), 0);
}

/* ---- the last block -------------------------------------------------------------- */

/* Whether two words are of one kind: what no sum over the words tells. */
static void pairs(tx_random *random, int row, char *text, char *label) {
  static const char *const kinds[2][3] = {{"sun", "cat", "red"}, {"go", "by", "ten"}};
  (void)row;
  int first = (int)tx_random_below(random, 2), second = (int)tx_random_below(random, 2);
  sprintf(text, "%s %d %s", kinds[first][tx_random_below(random, 3)],
          (int)tx_random_below(random, 1000), kinds[second][tx_random_below(random, 3)]);
  strcpy(label, first == second ? "same" : "unlike");
}

static void test_last_block_is_kept_where_it_is_better(void **state) {
  (void)state;
  write_rows(made("pairs.tsv"), 1, 240, pairs);
  write_rows(made("pairs_val.tsv"), 2, 120, pairs);
  tx_train_options options = auto_options(llama, made("pairs.taxon"));
  options.data = made("pairs.tsv"), options.validation = made("pairs_val.tsv");
  options.depth = 1, options.pooling = TX_POOLING_LAST;
  options.penalty = 1; /* a head that leaves something to learn */
  options.epochs = 10, options.learning_rate = 3e-3;
  tx_train_report tuned = train_and_check(options);
  assert_int_equal(tuned.method, TX_METHOD_LAST_BLOCK);
  assert_true(tuned.best_epoch > 0 && tuned.epochs > 0);
  assert_true(tuned.learning_rate == 3e-3);
  options.learning_rate = 1e-12; /* steps that change nothing */
  tx_train_report alone = train_and_check(options);
  assert_int_equal(alone.method, TX_METHOD_HEAD);
  assert_int_equal(alone.epochs, 0);
  assert_true(alone.learning_rate == 0);
  assert_true(tuned.val_nll < alone.val_nll && tuned.val_accuracy >= alone.val_accuracy);
  assert_true(tuned.trained_parameters > alone.trained_parameters);
}

static void hear(void *context, const char *sentence) {
  const char *begins = "last block: not trained, the head errs on 0 of 30 ";
  if (strncmp(sentence, begins, strlen(begins)) == 0) ++*(int *)context;
}

/* Where the head errs on nothing, there is no gain to see; and it is said. */
static void test_last_block_is_not_tried_for_nothing(void **state) {
  (void)state;
  int heard = 0;
  tx_watch watch = {.note = hear, .context = &heard};
  tx_train_options options = auto_options(llama, made("ends.taxon"));
  write_rows(made("ends.tsv"), 1, 90, last_word_tells);
  write_rows(made("ends_val.tsv"), 2, 30, last_word_tells);
  options.data = made("ends.tsv"), options.validation = made("ends_val.tsv");
  options.depth = 1;
  tx_train_report report;
  MADE_OK(tx_train(&options, &report, &watch, error));
  assert_int_equal(heard, 1);
  assert_int_equal(report.method, TX_METHOD_HEAD);
  assert_int_equal(report.depth, 1);
}

/* ---- the same bytes, and states that are kept ---------------------------------------- */

static void test_same_bytes_and_warm_cache(void **state) {
  (void)state;
  tx_train_options options = auto_options(llama, made("cold.taxon"));
  options.home = made("warm/home"), options.no_cache = false;
  options.penalty = 0;
  tx_set_threads(1);
  tx_train_report cold = made_train(options);
  assert_true(cold.computed_texts > 0);
  assert_int_equal(cold.cached_texts, 0);
  for (int run = 0; run < 6; run++) {
    options.out = made("again.taxon");
    options.no_cache = run > 2;
    tx_set_threads(1 + run % 3);
    tx_train_report again = made_train(options);
    assert_true(same_files(made("cold.taxon"), made("again.taxon")));
    if (run <= 2) assert_int_equal(again.computed_texts, 0);
    if (run > 2) assert_int_equal(again.cached_texts, 0);
  }
  tx_set_threads(1);
}

/* The rows of auto.tsv with other labels. */
static void relabel(const char *from, const char *to) {
  size_t size;
  char *text = read_bytes(from, &size), *line = strchr(text, '\n') + 1;
  FILE *file = fopen(to, "wb");
  assert_non_null(file);
  fputs("text\tlabel\n", file);
  for (int row = 0; *line; row++) {
    char *tab = strchr(line, '\t'), *end = strchr(line, '\n');
    fprintf(file, "%.*s\t%s\n", (int)(tab - line), line, row / 5 % 2 ? "odd" : "even");
    line = end + 1;
  }
  fclose(file);
  free(text);
}

static void test_states_serve_other_runs(void **state) {
  (void)state;
  tx_train_options options = auto_options(llama, made("first.taxon"));
  options.home = made("other/home"), options.no_cache = false;
  options.epochs = 1;
  options.pooling = TX_POOLING_MEAN;
  /* At a given depth what the last block needs is known too. */
  options.depth = 2;
  /* Labels that nothing tells: the last block is tried, so that its states are there. */
  relabel(options.data, made("relabelled.tsv")),
      relabel(options.validation, made("relabelled_val.tsv"));
  const char *data = options.data, *validation = options.validation;
  options.data = made("relabelled.tsv"), options.validation = made("relabelled_val.tsv");
  assert_true(made_train(options).computed_texts > 0);
  options.penalty = 1;
  assert_int_equal(made_train(options).computed_texts, 0);
  options.penalty = 0, options.seed = 9, options.class_weights = TX_CLASS_WEIGHTS_BALANCED;
  assert_int_equal(made_train(options).computed_texts, 0);
  options.data = data, options.validation = validation;
  tx_train_report report = made_train(options);
  assert_int_equal(report.computed_texts, 0);
  assert_true(report.cached_texts > 0);
  options.max_tokens = 3; /* other tokens */
  assert_true(made_train(options).computed_texts > 0);
}

/* ---- odd tables ------------------------------------------------------------------- */

static void many_labels(tx_random *random, int row, char *text, char *label) {
  sprintf(text, "%c%c %d", 'a' + row % 20, 'a' + row % 20, (int)tx_random_below(random, 3));
  sprintf(label, "label%02d", row % 20);
}

static void one_rare(tx_random *random, int row, char *text, char *label) {
  make_text(random, row % 2, text, 1900);
  strcpy(label, row == 33 ? "rare" : made_labels[row % 2]);
}

static void repeated(tx_random *random, int row, char *text, char *label) {
  (void)random;
  sprintf(text, "text %d", row % 7);
  strcpy(label, made_labels[row % 7 % 2]);
}

/* One token, and as many as the model's context holds, and more. */
static void short_and_long(tx_random *random, int row, char *text, char *label) {
  static const int sizes[] = {1, 2, 128, 129, 600};
  int size = sizes[row % 5];
  (void)random;
  for (int i = 0; i < size; i++) sprintf(text + i * 2, "%c ", row % 2 ? 'a' : 'b');
  text[size * 2 - 1] = '\0';
  strcpy(label, made_labels[row % 2]);
}

static void test_odd_tables(void **state) {
  (void)state;
  static const struct {
    make_row *make;
    int rows;
  } tables[] = {
      {many_labels, 160}, {one_rare, 60}, {repeated, 70}, {short_and_long, 40}, {one_rare, 10}};
  for (int i = 0; i < 5; i++) {
    tx_train_options options = auto_options(i % 2 ? llama : gpt2, made("odd.taxon"));
    options.data = made("odd.tsv"), options.validation = made("odd_val.tsv");
    write_rows(options.data, 1, tables[i].rows, tables[i].make);
    write_rows(options.validation, 2, tables[i].rows / 2, tables[i].make);
    if (i == 1) write_rows(options.validation, 2, 20, tables[i].make); /* without the rare one */
    options.epochs = 1;
    tx_train_report report = train_and_check(options);
    assert_true(isfinite(report.val_nll));
    assert_int_equal(report.train_rows, tables[i].rows);
    if (tables[i].make == short_and_long) assert_true(report.cut > 0);
    options.validation = NULL; /* held out of the training rows */
    made_train(options);
  }
}

/* ---- what auto refuses --------------------------------------------------------------- */

static void refused(tx_train_options options, const char *part) {
  tx_train_report report;
  MADE_FAILS(tx_train(&options, &report, NULL, error), TX_ERROR_ARGUMENT, part);
  assert_int_not_equal(access(options.out, F_OK), 0);
}

static void test_refused(void **state) {
  (void)state;
  tx_train_options good = auto_options(llama, made("refused.taxon")), options;
  options = good, options.pooling = TX_POOLING_FIRST;
  refused(options,
          "--pooling first is for --method head and last-block; auto, the default, tries last, "
          "mean and both");
  options = good, options.head_solver = TX_HEAD_SGD;
  refused(options,
          "--head-solver sgd is for --method head and last-block; auto, the default, solves its "
          "head exactly");
  options = good, options.blocks = 2;
  refused(options, "auto tries one block; for --blocks 2 name the method last-block");
  options = good, options.depth = 4;
  refused(options, "--depth is 4, but tests/golden/tiny_llama.gguf has 3 blocks");
  options = good, options.max_depth = 4;
  refused(options, "--max-depth is 4, but tests/golden/tiny_llama.gguf has 3 blocks");
  options = good, options.depth = -1;
  refused(options, "depth is -1; it must lie between 0 and 1024");
  options = good, options.max_depth = 1025;
  refused(options, "max depth is 1025; it must lie between 0 and 1024");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_depth_and_pooling_are_respected),
      cmocka_unit_test(test_no_block_at_all),
      cmocka_unit_test(test_later_blocks_are_not_read),
      cmocka_unit_test(test_last_block_is_kept_where_it_is_better),
      cmocka_unit_test(test_last_block_is_not_tried_for_nothing),
      cmocka_unit_test(test_same_bytes_and_warm_cache),
      cmocka_unit_test(test_states_serve_other_runs),
      cmocka_unit_test(test_odd_tables),
      cmocka_unit_test(test_refused),
  };
  return cmocka_run_group_tests(tests, made_setup, made_teardown);
}
