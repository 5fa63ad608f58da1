/* What tx_train refuses, and that a training that fails writes nothing: options,
 * tables, models, outputs, a full disk, a loss that is no number, a caller that
 * wants to stop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <pthread.h>
#include <sys/mount.h>

#include "tasks/made.h"
#include "tasks/partition.h"

/* The whole sentence, where the tests of one thing need no more. */
static void assert_refused(tx_train_options options, tx_status status, const char *sentence) {
  tx_train_report report;
  tx_error error = {0};
  char got[1400];
  tx_status is = tx_train(&options, &report, NULL, &error);
  tx_error_sentence(&error, got, sizeof got);
  if (is != status || error.status != status || strcmp(got, sentence) != 0) {
    fail_msg("status %d '%s', not %d '%s'", (int)is, got, (int)status, sentence);
  }
  if (options.out) assert_int_not_equal(access(options.out, F_OK), 0);
}

/* ---- options ----------------------------------------------------------- */

#define REFUSE_OPTION(member, value, sentence)                              \
  do {                                                                      \
    tx_train_options refused_ = made_options(llama, made("refused.taxon")); \
    refused_.member = value;                                                \
    assert_refused(refused_, TX_ERROR_ARGUMENT, sentence);                  \
  } while (0)

static void test_options_out_of_range(void **state) {
  (void)state;
  REFUSE_OPTION(blocks, -1, "blocks is -1; it must lie between 0 and 1024");
  REFUSE_OPTION(blocks, 1025, "blocks is 1025; it must lie between 0 and 1024");
  REFUSE_OPTION(epochs, -1, "epochs is -1; it must lie between 0 and 1e+06");
  REFUSE_OPTION(batch, 0, "batch is 0; it must lie between 1 and 65536");
  REFUSE_OPTION(accumulate, 0, "accumulate is 0; it must lie between 1 and 65536");
  REFUSE_OPTION(accumulate, 1 << 17, "accumulate is 131072; it must lie between 1 and 65536");
  REFUSE_OPTION(patience, -1, "patience is -1; it must lie between 0 and 1e+06");
  REFUSE_OPTION(learning_rate, -1e-5, "learning rate is -1e-05; it must lie between 0 and 10");
  REFUSE_OPTION(learning_rate, 11, "learning rate is 11; it must lie between 0 and 10");
  REFUSE_OPTION(learning_rate, NAN, "learning rate is nan; it must lie between 0 and 10");
  REFUSE_OPTION(weight_decay, -1, "weight decay is -1; it must lie between 0 and 10");
  REFUSE_OPTION(warm_up, 1.5, "warm-up is 1.5; it must lie between 0 and 1");
  REFUSE_OPTION(clip, -1, "clip is -1; it must lie between 0 and 1e+09");
  REFUSE_OPTION(penalty, -1, "penalty is -1; it must lie between 0 and 1e+06");
  REFUSE_OPTION(penalty, INFINITY, "penalty is inf; it must lie between 0 and 1e+06");
  REFUSE_OPTION(max_tokens, -1, "max tokens is -1; it must lie between 0 and 1e+09");
  REFUSE_OPTION(cache_mb, -1, "cache is -1; it must lie between 0 and 1.67772e+07");
}

static void test_choices_out_of_range(void **state) {
  (void)state;
  REFUSE_OPTION(method, (tx_method)6, "method is 6; it must lie between 0 and 5");
  REFUSE_OPTION(pooling, (tx_pooling)6, "pooling is 6; it must lie between 0 and 5");
  REFUSE_OPTION(pooling, (tx_pooling)-1, "pooling is -1; it must lie between 0 and 5");
  REFUSE_OPTION(head_solver, (tx_head_solver)7, "head solver is 7; it must lie between 0 and 1");
  REFUSE_OPTION(schedule, (tx_schedule)3, "schedule is 3; it must lie between 0 and 2");
  REFUSE_OPTION(class_weights, (tx_class_weights)-5,
                "class weights is -5; it must lie between 0 and 1");
}

static void test_what_is_required(void **state) {
  (void)state;
  static const char sentence[] = "training needs a model, a training table and an output";
  REFUSE_OPTION(model, NULL, sentence);
  REFUSE_OPTION(data, NULL, sentence);
  REFUSE_OPTION(out, NULL, sentence);
  setenv("TAXON_CPU", "sse9", 1);
  assert_refused(made_options(llama, made("refused.taxon")), TX_ERROR_ARGUMENT,
                 "TAXON_CPU is 'sse9'; it may be generic, avx2 or avx512");
  unsetenv("TAXON_CPU");
}

static void test_more_blocks_than_the_model_has(void **state) {
  (void)state;
  tx_train_options options = made_options(gpt2, made("refused.taxon"));
  options.method = TX_METHOD_LAST_BLOCK;
  options.blocks = 3;
  assert_refused(options, TX_ERROR_ARGUMENT,
                 "--blocks is 3, but tests/golden/tiny_gpt2.gguf has 2 blocks");
}

/* ---- tables ------------------------------------------------------------ */

static const char *table_of(const char *name, const char *rows) {
  const char *path = made(name);
  write_text(path, rows);
  return path;
}

static void refuse_data(const char *rows, tx_status status, const char *format) {
  char sentence[1400];
  tx_train_options options = made_options(llama, made("refused.taxon"));
  options.data = table_of("refused.tsv", rows);
  snprintf(sentence, sizeof sentence, "%s%s", options.data, format);
  assert_refused(options, status, sentence);
}

static void test_tables_that_cannot_be_trained_on(void **state) {
  (void)state;
  refuse_data("text\tlabel\na\tbad\nb\tbad\n", TX_ERROR_INPUT,
              ": the only label is 'bad' (2 rows); training needs rows of at least two labels");
  refuse_data("text\tlabel\n", TX_ERROR_INPUT,
              " has no rows; training needs rows of at least two labels");
  refuse_data("text\tlabel\na\tbad\nb\t\n", TX_ERROR_INPUT,
              ":3: the label is empty; fill it in or remove the row");
  tx_train_options options = made_options(llama, made("refused.taxon"));
  options.data = table_of("empty.tsv", "");
  tx_train_report report;
  MADE_FAILS(tx_train(&options, &report, NULL, error), TX_ERROR_INPUT, "empty.tsv");
  options.data = "no/such/table.tsv";
  MADE_FAILS(tx_train(&options, &report, NULL, error), TX_ERROR_INPUT, "no/such/table.tsv");
  options = made_options(llama, made("refused.taxon"));
  options.validation = "no/such/val.tsv";
  MADE_FAILS(tx_train(&options, &report, NULL, error), TX_ERROR_INPUT, "no/such/val.tsv");
}

static void test_validation_tables(void **state) {
  (void)state;
  char sentence[1400];
  tx_train_options options = made_options(llama, made("refused.taxon"));
  options.validation = table_of("unknown.tsv", "text\tlabel\nfine\tgood\nwell\tgoood\n");
  snprintf(sentence, sizeof sentence,
           "%s:3: the label 'goood' is not known; the labels are: bad, good, mixed; did you mean "
           "'good'?",
           options.validation);
  assert_refused(options, TX_ERROR_INPUT, sentence);
  options.validation = table_of("none.tsv", "text\tlabel\n");
  snprintf(sentence, sizeof sentence, "%s has no rows; give at least one to validate with",
           options.validation);
  assert_refused(options, TX_ERROR_INPUT, sentence);
}

/* Of three labels one has a single row: it must not be held out. */
static void test_every_label_keeps_a_training_row(void **state) {
  (void)state;
  for (uint64_t seed = 0; seed < 6; seed++) {
    tx_train_options options = made_options(llama, made("rare.taxon"));
    options.data = table_of("rare.tsv",
                            "text\tlabel\n1 one\ta\n2 two\ta\n3 three\ta\n4 four\ta\n5 five\tb\n"
                            "6 six\tb\n7 seven\tb\n8 eight\tb\n9 nine\tc\n9 nine\td\n");
    options.validation = NULL;
    options.seed = seed;
    tx_train_report report = made_train(options);
    assert_int_equal(report.train_rows + report.val_rows, 10);
    assert_true(report.val_rows >= 1 && report.val_rows <= 2);
    tx_classifier *classifier = made_open(made("rare.taxon"));
    tx_text text = tx_text_of("9 nine");
    float p[4];
    assert_int_equal(tx_classifier_count(classifier), 4);
    MADE_OK(tx_classifier_predict(classifier, &text, 1, p, NULL, NULL, error));
    if (!(p[2] > 0.1f && p[3] > 0.1f)) {
      fail_msg("seed %d: labels of one row have %g and %g", (int)seed, (double)p[2], (double)p[3]);
    }
    tx_classifier_close(classifier);
  }
}

/* Repeated texts stay together, and a text repeated often is not what validates. */
static void test_repeated_texts_stay_together(void **state) {
  (void)state;
  for (uint64_t seed = 0; seed < 5; seed++) {
    const char *path = made("repeated.tsv");
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs("text\tlabel\n", file);
    for (int i = 0; i < 30; i++) fputs("always the same\tgood\n", file);
    for (int i = 0; i < 70; i++) fprintf(file, "number  %d\t%s\n", i / 2, i % 3 ? "good" : "bad");
    fclose(file);
    tx_partition split;
    MADE_OK(tx_partition_read(path, NULL, tx_table_defaults(), seed, &split, error));
    assert_true(split.validation.count >= 7 && split.validation.count <= 13);
    assert_int_equal(split.train.count + split.validation.count, 100);
    for (int64_t i = 0; i < split.validation.count; i++) {
      for (int64_t k = 0; k < split.train.count; k++) {
        assert_true(split.validation.hashes[i] != split.train.hashes[k]);
      }
    }
    tx_partition_free(&split);
  }
}

static void test_rows_that_cannot_be_split(void **state) {
  (void)state;
  static const char *const tables[] = {"text\tlabel\nfine\ta\nfine\tb\n",
                                       "text\tlabel\nfine\ta\npoor\tb\nfine\ta\n"
                                       "fine\ta\npoor\tb\n"};
  static const char *const counts[] = {"2 rows hold 1 different text,",
                                       "5 rows hold 2 different texts,"};
  for (size_t i = 0; i < 2; i++) {
    tx_train_options options = made_options(llama, made("refused.taxon"));
    options.data = table_of("two.tsv", tables[i]);
    options.validation = NULL;
    char sentence[1400];
    snprintf(sentence, sizeof sentence,
             "%s: no row can be held out to validate with: the %s the rows of one text stay "
             "together, and each label keeps a row to train on; give more texts, or name a table "
             "to validate with (--val)",
             options.data, counts[i]);
    assert_refused(options, TX_ERROR_INPUT, sentence);
  }
}

/* Nothing in them that the linear baseline could count. */
static void test_texts_without_words(void **state) {
  (void)state;
  static const char *const tables[] = {"text\tlabel\n\tgood\n\tbad\n \tgood\n",
                                       "text\tlabel\n!\tgood\n?\tbad\n!!\tgood\n",
                                       "text\tlabel\n😀\tgood\nx\tbad\n😀\tgood\n"};
  for (int i = 0; i < 3; i++) {
    tx_train_options options = made_options(llama, made("wordless.taxon"));
    options.data = options.validation = table_of("wordless.tsv", tables[i]);
    made_train(options);
    tx_classifier *classifier = made_open(options.out);
    tx_evaluation e;
    MADE_OK(tx_evaluate(classifier, options.data, options.table, &e, NULL, error));
    assert_int_equal(e.n, 3);
    assert_true(e.linear.accuracy >= 0.5);
    tx_evaluation_free(&e);
    tx_classifier_close(classifier);
  }
}

/* ---- models ------------------------------------------------------------ */

static void test_models_that_are_none(void **state) {
  (void)state;
  tx_train_options options = made_options("nosuchmodel", made("refused.taxon"));
  assert_refused(options, TX_ERROR_INPUT,
                 "there is no model or file called 'nosuchmodel'; see taxon models");
  made_train(made_options(llama, made("a.taxon")));
  tx_train_report report;
  options.model = made("a.taxon");
  MADE_FAILS(tx_train(&options, &report, NULL, error), TX_ERROR_INPUT,
             "this is a classifier, not a model; name the model it was trained on");
  options.model = options.data;
  MADE_FAILS(tx_train(&options, &report, NULL, error), TX_ERROR_INPUT, "this is not a GGUF file");
}

/* ---- outputs ----------------------------------------------------------- */

/* Found before the work, not after it. */
static bool noted;
static void note_any(void *context, const char *sentence) {
  (void)context, (void)sentence;
  noted = true;
}
static void report_any(void *context, const char *stage, int64_t done, int64_t total,
                       const char *unit) {
  (void)context, (void)stage, (void)done, (void)total, (void)unit;
  noted = true;
}

static void test_outputs_that_cannot_be_written(void **state) {
  (void)state;
  tx_watch watch = {.note = note_any, .report = report_any};
  tx_train_report report;
  tx_train_options options = made_options(llama, made("no/such/directory/out.taxon"));
  options.penalty = 0;
  noted = false;
  MADE_FAILS(tx_train(&options, &report, &watch, error), TX_ERROR_SYSTEM,
             "no/such/directory/out.taxon: No such file or directory; make its directory first");
  options.out = made_directory;
  MADE_FAILS(tx_train(&options, &report, &watch, error), TX_ERROR_SYSTEM,
             "it is a directory; name a regular file");
  options.out = made("train.tsv/out");
  MADE_FAILS(tx_train(&options, &report, &watch, error), TX_ERROR_SYSTEM, "Not a directory");
  assert_false(noted);
  if (geteuid() == 0) return; /* who may write everywhere cannot be refused */
  mkdir(made("locked"), 0500);
  options.out = made("locked/out.taxon");
  MADE_FAILS(tx_train(&options, &report, &watch, error), TX_ERROR_SYSTEM,
             "choose a directory that you may write to");
  assert_false(noted);
}

static void test_outputs_that_would_destroy_an_input(void **state) {
  (void)state;
  tx_train_report report;
  tx_train_options options = made_options(made("copy.gguf"), NULL);
  size_t size;
  char *model = read_bytes(llama, &size);
  write_bytes(options.model, model, size);
  free(model);
  assert_int_equal(symlink("copy.gguf", made("link.taxon")), 0);
  const char *const outs[] = {options.data, options.validation, options.model, made("link.taxon")};
  for (int i = 0; i < 4; i++) {
    char *before = read_bytes(outs[i], &size);
    char sentence[1400];
    options.out = outs[i];
    snprintf(sentence, sizeof sentence, "the output %s is the file of the %s; name another output",
             outs[i],
             i == 0   ? "training table"
             : i == 1 ? "validation table"
                      : "model");
    tx_error error = {0};
    char got[1400];
    assert_int_equal(tx_train(&options, &report, NULL, &error), TX_ERROR_ARGUMENT);
    assert_string_equal(tx_error_sentence(&error, got, sizeof got), sentence);
    size_t now;
    char *after = read_bytes(outs[i], &now);
    assert_int_equal(size, now);
    assert_memory_equal(before, after, size);
    free(before), free(after);
  }
}

static void test_a_failure_keeps_the_earlier_artifact(void **state) {
  (void)state;
  tx_train_options options = made_options(llama, made("kept.taxon"));
  tx_train_report report;
  made_train(options);
  size_t size, now, names = made_names(made_directory);
  char *before = read_bytes(options.out, &size);
  options.data = table_of("one.tsv", "text\tlabel\na\tbad\n");
  names++;
  MADE_FAILS(tx_train(&options, &report, NULL, error), TX_ERROR_INPUT,
             "the only label is 'bad' (1 row);");
  options.data = made("train.tsv");
  options.head_solver = TX_HEAD_SGD, options.learning_rate = 10, options.clip = 0;
  options.weight_decay = 10, options.epochs = 200, options.patience = 1000;
  MADE_FAILS(tx_train(&options, &report, NULL, error), TX_ERROR_INPUT, "loss is ");
  char *after = read_bytes(options.out, &now);
  assert_int_equal(size, now);
  assert_memory_equal(before, after, size);
  assert_int_equal(made_names(made_directory), names);
  free(before), free(after);
}

/* ---- a full disk ------------------------------------------------------- */

static void test_a_full_disk(void **state) {
  (void)state;
  const char *disk = made("disk");
  mkdir(disk, 0700);
  if (mount("none", disk, "tmpfs", 0, "size=96k") != 0) skip();
  tx_train_options options = made_options(llama, made("disk/out.taxon"));
  tx_train_report report;
  options.method = TX_METHOD_LAST_BLOCK;
  tx_error error = {0};
  char sentence[1400], wanted[1400];
  write_text(options.out, "an earlier one");
  tx_status status = tx_train(&options, &report, NULL, &error);
  tx_error_sentence(&error, sentence, sizeof sentence);
  snprintf(wanted, sizeof wanted,
           "cannot write %s: No space left on device; free some space or write to another disk",
           options.out);
  size_t names = made_names(disk), size;
  char *kept = read_bytes(options.out, &size);
  /* states that do not fit into memory do not fit there either */
  tx_error second = {0};
  char sentence_of_states[1400];
  options.out = made("elsewhere.taxon");
  options.home = disk, options.cache_mb = 0;
  tx_status of_states = tx_train(&options, &report, NULL, &second);
  tx_error_sentence(&second, sentence_of_states, sizeof sentence_of_states);
  size_t names_after = made_names(disk);
  umount(disk);
  assert_int_equal(status, TX_ERROR_SYSTEM);
  assert_string_equal(sentence, wanted);
  assert_string_equal(kept, "an earlier one");
  assert_int_equal(names, 1);
  assert_int_equal(of_states, TX_ERROR_SYSTEM);
  assert_non_null(strstr(sentence_of_states, "No space left on device"));
  assert_int_equal(names_after, 1);
  assert_int_not_equal(access(options.out, F_OK), 0);
  free(kept);
}

/* ---- a loss that is no number ------------------------------------------ */

static void test_a_loss_that_is_no_number(void **state) {
  (void)state;
  tx_train_options options = made_options(llama, made("refused.taxon"));
  tx_train_report report;
  options.method = TX_METHOD_LAST_BLOCK;
  options.blocks = 3;
  options.learning_rate = 10, options.clip = 0, options.weight_decay = 10;
  options.warm_up = 0, options.schedule = TX_SCHEDULE_CONSTANT;
  options.epochs = 50, options.patience = 1000;
  tx_error error = {0};
  char sentence[1400];
  assert_int_equal(tx_train(&options, &report, NULL, &error), TX_ERROR_INPUT);
  tx_error_sentence(&error, sentence, sizeof sentence);
  assert_non_null(strstr(sentence, "the loss is "));
  assert_non_null(strstr(sentence, "step "));
  assert_non_null(strstr(sentence, "learning rate 10"));
  assert_non_null(strstr(sentence, "try a smaller --lr, more --warm-up or --clip 1"));
  assert_int_not_equal(access(options.out, F_OK), 0);
}

/* ---- a caller that watches --------------------------------------------- */

typedef struct {
  pthread_t thread;
  int64_t calls, stop_at, reports, notes;
  bool elsewhere; /* called from another thread */
  int64_t done, total;
  char stage[40];
  bool backwards; /* done fell within a stage, or passed its total */
} watching;

static bool watch_cancelled(void *context) {
  watching *w = context;
  if (!pthread_equal(w->thread, pthread_self())) w->elsewhere = true;
  return ++w->calls == w->stop_at || (w->stop_at && w->calls > w->stop_at);
}

static void watch_note(void *context, const char *sentence) {
  watching *w = context;
  assert_non_null(sentence);
  if (!pthread_equal(w->thread, pthread_self())) w->elsewhere = true;
  w->notes++;
}

static void watch_report(void *context, const char *stage, int64_t done, int64_t total,
                         const char *unit) {
  watching *w = context;
  assert_non_null(unit);
  if (!pthread_equal(w->thread, pthread_self())) w->elsewhere = true;
  if (total && done > total) w->backwards = true;
  if (!strcmp(stage, w->stage) && total == w->total && done < w->done) w->backwards = true;
  w->done = done, w->total = total;
  snprintf(w->stage, sizeof w->stage, "%s", stage);
  w->reports++;
}

/* Stopped at the first chance, at the last, and at those between. */
static void check_stops(tx_train_options options, int threads) {
  tx_train_report report;
  tx_set_threads(threads);
  watching all = {.thread = pthread_self()};
  tx_watch watch = {watch_report, watch_note, watch_cancelled, &all};
  MADE_OK(tx_train(&options, &report, &watch, error));
  assert_true(all.calls > 3 && all.reports > 3);
  assert_false(all.elsewhere);
  assert_false(all.backwards);
  unlink(options.out);
  size_t names = made_names(made_directory);
  int64_t stride = 1 + all.calls / 10;
  for (int64_t n = 1; n <= all.calls;
       n = n == all.calls || n + stride <= all.calls ? n + stride : all.calls) {
    watching some = {.thread = pthread_self(), .stop_at = n};
    tx_error error = {0};
    watch.context = &some;
    tx_status status = tx_train(&options, &report, &watch, &error);
    /* where many threads choose a penalty, the number of questions varies */
    if (status == TX_OK && threads > 1 && some.calls < n) {
      unlink(options.out);
      continue;
    }
    if (status != TX_ERROR_INTERRUPTED || error.status != TX_ERROR_INTERRUPTED) {
      fail_msg("stopped at call %ld of %ld: status %d '%s'", (long)n, (long)all.calls, (int)status,
               error.message);
    }
    assert_false(some.elsewhere);
    assert_int_equal(made_names(made_directory), names);
  }
  tx_set_threads(1);
}

static void test_stopping(void **state) {
  (void)state;
  tx_train_options options = made_options(llama, made("stopped.taxon"));
  make_table(made("stopped.tsv"), 3, 18);
  make_table(made("stopped_val.tsv"), 4, 7);
  options.data = made("stopped.tsv");
  options.validation = made("stopped_val.tsv");
  options.max_tokens = 10;
  options.epochs = 1;
  options.penalty = 0;
  check_stops(options, 1);
  check_stops(options, 2);
  options.penalty = 0.01;
  options.method = TX_METHOD_LAST_BLOCK;
  check_stops(options, 1);
  options.head_solver = TX_HEAD_SGD;
  options.cache_mb = 0;
  check_stops(options, 2);
}

/* ---- class weights ----------------------------------------------------- */

/* With a penalty that leaves nothing but the biases, the answer for any text is
 * each label's share of the weight. */
static void check_shares(tx_class_weights weights, const double wanted[3]) {
  tx_train_options options = made_options(llama, made("shares.taxon"));
  options.data = table_of("shares.tsv",
                          "text\tlabel\n1\ta\n2\ta\n3\ta\n4\ta\n5\ta\n6\tb\n7\tb\n8\tb\n"
                          "9\tc\n10\tc\n");
  options.validation = options.data;
  options.penalty = 1e6;
  options.class_weights = weights;
  made_train(options);
  tx_classifier *classifier = made_open(options.out);
  tx_text text = tx_text_of("6");
  float p[3];
  MADE_OK(tx_classifier_predict(classifier, &text, 1, p, NULL, NULL, error));
  for (int i = 0; i < 3; i++) assert_true(fabs((double)p[i] - wanted[i]) < 1e-3);
  tx_classifier_close(classifier);
}

static void test_balanced_class_weights(void **state) {
  (void)state;
  check_shares(TX_CLASS_WEIGHTS_NONE, (double[]){0.5, 0.3, 0.2});
  check_shares(TX_CLASS_WEIGHTS_BALANCED, (double[]){1.0 / 3, 1.0 / 3, 1.0 / 3});
  /* where every label has as many rows, the weights are 1 */
  tx_train_options options = made_options(llama, made("even.taxon"));
  tx_train_report plain = made_train(options);
  options.class_weights = TX_CLASS_WEIGHTS_BALANCED;
  assert_true(made_train(options).val_nll == plain.val_nll);
}

/* ---- the report -------------------------------------------------------- */

static void test_the_report(void **state) {
  (void)state;
  tx_train_options options = made_options(llama, made("report.taxon"));
  options.method = TX_METHOD_LAST_BLOCK;
  options.max_tokens = 9;
  tx_train_report r = made_train(options);
  assert_int_equal(r.depth, 3);
  assert_true(r.epochs >= 1 && r.epochs <= 2 && r.best_epoch <= r.epochs);
  assert_int_equal(r.train_rows, 48);
  assert_int_equal(r.val_rows, 21);
  assert_true(r.cut > 20 && r.tokens > 48 && r.tokens <= 48 * 9);
  /* query and output, key and value, three of the MLP, three norms, the head */
  assert_int_equal(r.trained_parameters,
                   2 * 64 * 64 + 2 * 32 * 64 + 3 * 64 * 72 + 3 * 64 + 3 * 64 + 3);
  assert_true(r.penalty == 0.01 && r.learning_rate == 1e-3);
  assert_true(r.seconds > 0 && r.trunk_seconds > 0 && r.peak_rss_bytes > 1 << 20);
  assert_true(r.val_lo < r.val_accuracy && r.val_accuracy < r.val_hi && r.val_nll > 0);
  assert_true(r.majority_accuracy == 7.0 / 21);
  options.method = TX_METHOD_HEAD;
  options.max_tokens = 0;
  r = made_train(options);
  assert_int_equal(r.trained_parameters, 3 * 64 + 3);
  assert_int_equal(r.cut, 0);
  assert_int_equal(r.epochs, 0);
  options.head_solver = TX_HEAD_SGD;
  options.learning_rate = 0;
  r = made_train(options);
  assert_true(r.learning_rate == 1e-3 && r.penalty == 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_options_out_of_range),
      cmocka_unit_test(test_choices_out_of_range),
      cmocka_unit_test(test_what_is_required),
      cmocka_unit_test(test_more_blocks_than_the_model_has),
      cmocka_unit_test(test_tables_that_cannot_be_trained_on),
      cmocka_unit_test(test_validation_tables),
      cmocka_unit_test(test_every_label_keeps_a_training_row),
      cmocka_unit_test(test_repeated_texts_stay_together),
      cmocka_unit_test(test_rows_that_cannot_be_split),
      cmocka_unit_test(test_texts_without_words),
      cmocka_unit_test(test_models_that_are_none),
      cmocka_unit_test(test_outputs_that_cannot_be_written),
      cmocka_unit_test(test_outputs_that_would_destroy_an_input),
      cmocka_unit_test(test_a_failure_keeps_the_earlier_artifact),
      cmocka_unit_test(test_a_full_disk),
      cmocka_unit_test(test_a_loss_that_is_no_number),
      cmocka_unit_test(test_stopping),
      cmocka_unit_test(test_balanced_class_weights),
      cmocka_unit_test(test_the_report),
  };
  return cmocka_run_group_tests(tests, made_setup, made_teardown);
}
