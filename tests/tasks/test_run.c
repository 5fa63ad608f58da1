/* tx_train with a run directory: stopped anywhere and resumed, the artifact is that of
 * a training never stopped, byte for byte, and the log has each step once; other options
 * or data are refused by name. */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "made.h"
#include "taxon.h"

enum { STEPS = 12, EPOCHS = 2 }; /* 48 texts, 8 a step */

static tx_train_options options_for(tx_method method, const char *out, const char *run) {
  tx_train_options options = made_options(llama, made(out));
  options.method = method;
  options.rank = 4;
  options.epochs = options.patience = EPOCHS;
  options.ema = 0.5;
  options.run = run ? made(run) : NULL;
  options.save_minutes = 0;
  return options;
}

typedef struct {
  int64_t stop_after; /* steps */
  bool stopped;
} stopping;

static void report(void *context, const char *stage, int64_t done, int64_t total,
                   const char *unit) {
  stopping *s = context;
  (void)total, (void)unit;
  if (strcmp(stage, "train") == 0 && done >= s->stop_after) s->stopped = true;
}

static bool cancelled(void *context) { return ((stopping *)context)->stopped; }

static void train_until(tx_train_options options, int64_t steps) {
  stopping s = {.stop_after = steps};
  tx_watch watch = {.report = report, .cancelled = cancelled, .context = &s};
  tx_train_report result;
  MADE_FAILS(tx_train(&options, &result, &watch, error), TX_ERROR_INTERRUPTED, "");
}

/* Each step once, in order, and each epoch's end after its last step. */
static void check_log(const char *run) {
  char path[600];
  size_t size;
  snprintf(path, sizeof path, "%s/log.jsonl", made(run));
  char *text = read_bytes(path, &size);
  int64_t step = 0, epoch = -1;
  for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
    json_t *object = json_loads(line, 0, NULL);
    assert_non_null(object);
    int64_t number = json_integer_value(json_object_get(object, "step"));
    if (json_object_get(object, "loss")) {
      assert_int_equal(number, ++step);
      assert_true(json_real_value(json_object_get(object, "gradient_norm")) > 0);
      assert_true(json_real_value(json_object_get(object, "learning_rate")) > 0);
    } else {
      assert_int_equal(json_integer_value(json_object_get(object, "epoch")), ++epoch);
      assert_int_equal(number, step);
      assert_int_equal(step, epoch * STEPS / EPOCHS);
      assert_true(json_is_real(json_object_get(object, "validation_loss")));
    }
    json_decref(object);
  }
  assert_int_equal(step, STEPS);
  assert_int_equal(epoch, EPOCHS);
  free(text);
}

/* Once the first checkpoint is there, before any step. */
static bool saved(void *context) { return access(context, F_OK) == 0; }

static void test_stopped_before_the_first_step(void **state) {
  (void)state;
  made_train(options_for(TX_METHOD_NORMS, "whole.taxon", NULL));
  tx_train_options options = options_for(TX_METHOD_NORMS, "parts.taxon", "early");
  tx_train_report result;
  tx_watch watch = {.cancelled = saved,
                    .context = (void *)(uintptr_t)made("early/checkpoint-a.gguf")};
  MADE_FAILS(tx_train(&options, &result, &watch, error), TX_ERROR_INTERRUPTED, "");
  options.resume = true;
  made_train(options);
  assert_true(same_files(made("whole.taxon"), options.out));
  check_log("early");
}

static void check_resumed(tx_method method) {
  made_train(options_for(method, "whole.taxon", NULL));
  for (int64_t steps = 1; steps <= STEPS; steps += 5) {
    tx_train_options options = options_for(method, "parts.taxon", "run");
    tx_directory_remove(options.run);
    remove(options.out);
    train_until(options, steps);
    assert_int_equal(access(options.out, F_OK), -1);
    options.resume = true;
    if (steps + 4 < STEPS) train_until(options, steps + 3);
    made_train(options);
    assert_true(same_files(made("whole.taxon"), options.out));
    check_log("run");
  }
}

static void test_stopped_and_resumed(void **state) {
  (void)state;
  check_resumed(TX_METHOD_LAST_BLOCK);
  check_resumed(TX_METHOD_LORA);
  check_resumed(TX_METHOD_NORMS);
  check_resumed(TX_METHOD_FULL);
}

static void test_what_differs_is_named(void **state) {
  (void)state;
  tx_train_options options = options_for(TX_METHOD_LORA, "x.taxon", "differs"), plain;
  tx_train_report result;
  train_until(options, 3);
  MADE_FAILS(tx_train(&options, &result, NULL, error), TX_ERROR_ARGUMENT, "there is a run in");
  options.resume = true;
  plain = options;
  options.rank = 3;
  MADE_FAILS(tx_train(&options, &result, NULL, error), TX_ERROR_INPUT,
             "had --rank 4, and this one has 3");
  options = plain, options.model = gpt2;
  MADE_FAILS(tx_train(&options, &result, NULL, error), TX_ERROR_INPUT, "a model with SHA-256");
  options = plain, options.dora = true;
  MADE_FAILS(tx_train(&options, &result, NULL, error), TX_ERROR_INPUT,
             "had --dora 0, and this one has 1");
  options = plain, options.schedule = TX_SCHEDULE_LINEAR;
  MADE_FAILS(tx_train(&options, &result, NULL, error), TX_ERROR_INPUT,
             "had --schedule cosine, and this one has linear");
  options = plain, options.sweep = true;
  MADE_FAILS(tx_train(&options, &result, NULL, error), TX_ERROR_INPUT, "and this one has sweep");
  options = plain, options.learning_rate = 0.5;
  MADE_FAILS(tx_train(&options, &result, NULL, error), TX_ERROR_INPUT, "--lr");
  options = plain, options.seed = 9007199254740993; /* no double */
  MADE_FAILS(tx_train(&options, &result, NULL, error), TX_ERROR_INPUT,
             "and this one has 9007199254740993");
  options = plain, options.data = made("other.tsv");
  make_table(options.data, 9, 48);
  MADE_FAILS(tx_train(&options, &result, NULL, error), TX_ERROR_INPUT,
             "training rows with SHA-256");
  options = plain, options.run = made("nothing-there");
  MADE_FAILS(tx_train(&options, &result, NULL, error), TX_ERROR_INPUT, "there is no checkpoint in");
  assert_int_equal(access(options.run, F_OK), -1);
  made_train(plain); /* and it can still be resumed */
}

/* Stopped while an epoch is judged, with checkpoints at epochs' ends alone: its steps are not
 * taken again. */
typedef struct {
  int64_t steps;
  char resumed[100];
} judging;

static void count_steps(void *context, const char *stage, int64_t done, int64_t total,
                        const char *unit) {
  (void)total, (void)unit;
  if (strcmp(stage, "train") == 0) ((judging *)context)->steps = done;
}

static bool epoch_is_over(void *context) {
  return ((judging *)context)->steps == STEPS / EPOCHS;
}

static void note_resumed(void *context, const char *sentence) {
  judging *j = context;
  if (!strncmp(sentence, "resumed", 7)) snprintf(j->resumed, sizeof j->resumed, "%s", sentence);
}

static void test_stopped_while_judging(void **state) {
  (void)state;
  made_train(options_for(TX_METHOD_LORA, "whole.taxon", NULL));
  tx_train_options options = options_for(TX_METHOD_LORA, "parts.taxon", "judged");
  options.save_minutes = 1000;
  tx_train_report result;
  judging j = {0, ""};
  tx_watch watch = {count_steps, note_resumed, epoch_is_over, &j}, rest = watch;
  MADE_FAILS(tx_train(&options, &result, &watch, error), TX_ERROR_INTERRUPTED, "");
  options.resume = true;
  rest.cancelled = NULL;
  MADE_OK(tx_train(&options, &result, &rest, error));
  char want[100];
  snprintf(want, sizeof want, "resumed after step %d of %d", STEPS / EPOCHS, STEPS);
  assert_string_equal(j.resumed, want);
  assert_true(same_files(made("whole.taxon"), options.out));
  check_log("judged");
}

static void test_a_foreign_log(void **state) {
  (void)state;
  tx_train_options options = options_for(TX_METHOD_LORA, "x.taxon", "foreign");
  tx_train_report result;
  assert_int_equal(mkdir(options.run, 0777), 0);
  write_text(made("foreign/log.jsonl"), "my notes\n");
  MADE_FAILS(tx_train(&options, &result, NULL, error), TX_ERROR_ARGUMENT, "no log of a run");
}

static void test_where_there_are_no_steps(void **state) {
  (void)state;
  tx_train_report result;
  tx_train_options options = options_for(TX_METHOD_HEAD, "x.taxon", "none");
  MADE_FAILS(tx_train(&options, &result, NULL, error), TX_ERROR_ARGUMENT,
             "--method head solves its head exactly");
  options.run = NULL, options.resume = true;
  MADE_FAILS(tx_train(&options, &result, NULL, error), TX_ERROR_ARGUMENT, "no run to resume");
  assert_int_equal(access(made("none"), F_OK), -1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_stopped_and_resumed),
      cmocka_unit_test(test_stopped_before_the_first_step),
      cmocka_unit_test(test_what_differs_is_named),
      cmocka_unit_test(test_stopped_while_judging),
      cmocka_unit_test(test_a_foreign_log),
      cmocka_unit_test(test_where_there_are_no_steps),
  };
  return cmocka_run_group_tests(tests, made_setup, made_teardown);
}
