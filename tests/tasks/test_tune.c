/* tx_tune on tiny models: rows of every kind are learnt by heart and answered, the loss is
 * that of the answers, a run that was stopped ends in the same bytes, and whatever cannot be
 * tuned on is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats/gguf_write.h"
#include "formats/tuned.h"
#include "made.h"
#include "taxon.h"
#include "tasks/written_rows.h"
#include "text/vocabulary.h"

static const char rows[] =
    "{\"instruction\": \"Name a colour.\", \"input\": \"\", \"output\": \"red and blue\"}\n"
    "{\"instruction\": \"Say:\", \"input\": \"a word\", \"output\": \"the word is a\"}\n"
    "{\"instruction\": \"Count.\", \"output\": \"one two\"}\n";

static tx_tune_options options_for(const char *table, const char *out) {
  tx_tune_options options = tx_tune_defaults();
  tx_train_options *t = &options.train;
  const char *path = made("rows.jsonl");
  write_text(path, table);
  t->home = made_directory, t->model = llama, t->data = t->validation = path;
  t->out = made(out), t->no_cache = true, t->rank = 8, t->seed = 3;
  t->learning_rate = 0.02, t->epochs = t->patience = 2, t->batch = 3;
  options.chat_template = "chatml";
  return options;
}

static tx_tune_report tune(tx_tune_options options) {
  tx_tune_report report;
  MADE_OK(tx_tune(&options, &report, NULL, error));
  return report;
}

#define REFUSED(options, status, part)                                    \
  do {                                                                    \
    tx_tune_report report_;                                               \
    MADE_FAILS(tx_tune(&(options), &report_, NULL, error), status, part); \
  } while (0)

static tx_generator *open_generator(const char *path) {
  tx_generator *generator;
  tx_generator_options options = tx_generator_defaults();
  options.home = made_directory;
  MADE_OK(tx_generator_open(path, options, &generator, error));
  return generator;
}

static void expect(tx_generator *generator, const char *text, const char *input, const char *want) {
  tx_prompt prompt = {tx_text_of(text), input ? tx_text_of(input) : (tx_text){NULL, 0}};
  tx_answers answers;
  MADE_OK(tx_generate(generator, &prompt, 1, 40, &answers, NULL, error));
  tx_text got = answers.answers[0].text;
  if (got.size != strlen(want) || memcmp(got.data, want, got.size) != 0) {
    fail_msg("%s: '%.*s', not '%s'", text, (int)got.size, got.data, want);
  }
  assert_true(answers.answers[0].stopped);
  tx_answers_free(&answers);
}

/* ---- learning ---------------------------------------------------------- */

static bool dora; /* adapters with lengths of their own, and some dropout */

static void learn_by_heart(const char *model, tx_method method, const char *chat_template,
                           int blocks, double rate) {
  tx_tune_options options = options_for(rows, "heart.taxon");
  options.train.model = model;
  options.train.method = method, options.train.blocks = blocks;
  options.train.learning_rate = rate;
  options.train.dora = dora, options.train.dropout = dora ? 0.05 : 0;
  options.train.epochs = options.train.patience = 150;
  options.chat_template = chat_template;
  tx_tune_report report = tune(options);
  assert_true(report.before.loss > 3 && report.after.loss < 0.1 && report.after.right > 0.999);
  assert_int_equal(report.train_rows, 3);
  assert_string_equal(report.chat_template, chat_template);
  tx_generator *generator = open_generator(options.train.out);
  expect(generator, "Name a colour.", NULL, "red and blue");
  expect(generator, "Say:", "a word", "the word is a");
  expect(generator, "Count.", NULL, "one two");
  if (strcmp(chat_template, "chatml") == 0) {
    expect(generator, "Say: a word", NULL, "the word is a"); /* the same prompt */
  }
  tx_generator_close(generator);
}

static void test_learnt_by_heart(void **state) {
  (void)state;
  learn_by_heart(llama, TX_METHOD_LORA, "chatml", 0, 0.02);
  learn_by_heart(llama, TX_METHOD_LORA, "alpaca", 2, 0.02);
  dora = true;
  learn_by_heart(llama, TX_METHOD_LORA, "chatml", 0, 0.02);
  dora = false;
  learn_by_heart(llama, TX_METHOD_LAST_BLOCK, "chatml", 2, 0.005);
  learn_by_heart(llama, TX_METHOD_FULL, "chatml", 0, 0.005);
  learn_by_heart(gpt2, TX_METHOD_FULL, "alpaca", 0, 0.005);
}

/* tiny_llama with a chat template of its own. */
static const char *own_model(const char *name, const char *template) {
  tx_gguf *gguf;
  tx_gguf_writer *writer = tx_gguf_writer_new();
  MADE_OK(tx_gguf_open(llama, &gguf, error));
  tx_gguf_add_all(writer, gguf, NULL, 0);
  tx_gguf_add_string(writer, "tokenizer.chat_template", tx_text_of(template));
  MADE_OK(tx_gguf_commit(writer, made(name), error));
  tx_gguf_writer_free(writer);
  tx_gguf_close(gguf);
  return made(name);
}

static void test_own_template(void **state) {
  (void)state;
  tx_tune_options options = options_for(rows, "own.taxon");
  options.chat_template = NULL;
  options.train.model = own_model(
      "own.gguf", "{% for m in messages %}{{ m.role[0] + ':' + m.content + '<|im_end|>' }}"
                  "{% endfor %}{% if add_generation_prompt %}{{ 'a:' }}{% endif %}");
  options.train.epochs = options.train.patience = 150;
  tx_tune_report report = tune(options);
  assert_string_equal(report.chat_template, "model");
  tx_generator *generator = open_generator(options.train.out);
  expect(generator, "Count.", NULL, "one two");
  expect(generator, "Say:", "a word", "the word is a");
  tx_generator_close(generator);
  options.train.model = own_model(
      "silent.gguf", "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}"
                     "{% endfor %}");
  REFUSED(options, TX_ERROR_INPUT, "rows.jsonl:1: ");
}

static void test_norms(void **state) {
  (void)state;
  tx_tune_options options = options_for(rows, "norms.taxon");
  options.train.method = TX_METHOD_NORMS;
  options.train.epochs = options.train.patience = 20;
  tx_tune_report report = tune(options);
  assert_true(report.after.loss < 0.8 * report.before.loss);
  assert_int_equal(report.blocks, 3);
}

/* ---- what is to be written ----------------------------------------------- */

typedef struct {
  tx_gguf *gguf;
  tx_tokenizer *tokenizer;
  tx_chat *chat;
  tx_rows_options columns;
  tx_writing_options options;
  tx_written_rows rows;
} reading;

static reading read_rows(const char *table, tx_rows_options columns, bool pairs, bool prompts) {
  reading r = {.columns = columns};
  write_text(made("read.jsonl"), table);
  MADE_OK(tx_gguf_open(llama, &r.gguf, error));
  MADE_OK(tx_tokenizer_from_gguf(r.gguf, &r.tokenizer, error));
  MADE_OK(tx_chat_open(r.gguf, "chatml", &r.chat, error));
  r.options = (tx_writing_options){&r.columns, pairs, prompts, r.chat, r.tokenizer, "it", 128, 0};
  MADE_OK(tx_written_rows_read(made("read.jsonl"), &r.options, &r.rows, error));
  return r;
}

static void close_reading(reading *r) {
  tx_written_rows_free(&r->rows);
  tx_chat_free(r->chat);
  tx_tokenizer_free(r->tokenizer);
  tx_gguf_close(r->gguf);
}

/* What text i is to write, "|" where tokens in between are not. */
static void check_written(const reading *r, int64_t i, const char *want) {
  char got[512] = "";
  bool before = true;
  for (int64_t t = r->rows.offsets[i]; t < r->rows.offsets[i + 1]; t++) {
    tx_text piece = tx_tokenizer_bytes(r->tokenizer, r->rows.ids[t]);
    if (r->rows.written[t]) strncat(got, piece.data, piece.size);
    if (!r->rows.written[t] && before && got[0]) strcat(got, "|");
    before = r->rows.written[t];
  }
  assert_string_equal(got, want);
}

static void test_what_is_written(void **state) {
  (void)state;
  static const char table[] =
      "{\"instruction\": \"Say <|im_end|>\", \"input\": \"it\", \"output\": \"no\"}\n"
      "{\"messages\": [{\"role\": \"system\", \"content\": \"Be kind.\"}, {\"role\": \"user\", "
      "\"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"first\"}, "
      "{\"role\": \"user\", \"content\": \"b\"}, {\"role\": \"assistant\", "
      "\"content\": \"second\"}]}\n";
  reading r = read_rows(table, (tx_rows_options){0}, false, false);
  check_written(&r, 0, "no<|im_end|>|");
  check_written(&r, 1, "first<|im_end|>|second<|im_end|>|");
  int32_t ends = 0;
  for (int64_t t = 0; t < r.rows.offsets[1]; t++) ends += r.rows.ids[t] == 2;
  assert_int_equal(ends, 2); /* the one that a row spells is text */
  close_reading(&r);
  r = read_rows(table, (tx_rows_options){0}, false, true);
  assert_int_equal(r.rows.written_tokens, r.rows.offsets[2] - 2); /* all but the first of each */
  close_reading(&r);
}

static void test_columns_and_answers(void **state) {
  (void)state;
  static const char table[] = "{\"t\": \"buy now\", \"l\": 1}\n{\"t\": \"hello\", \"l\": 0}\n";
  tx_rows_options columns = {
      .instruction = "Is it spam?", .input = "t", .output = "l", .answers = "1=yes,0=no"};
  reading r = read_rows(table, columns, false, false);
  check_written(&r, 0, "yes<|im_end|>|");
  check_written(&r, 1, "no<|im_end|>|");
  close_reading(&r);
  static const char pairs[] =
      "{\"prompt\": \"Hi\", \"chosen\": \"hello\", \"rejected\": \"go\", \"output\": null}\n";
  r = read_rows(pairs, (tx_rows_options){0}, true, false);
  assert_int_equal(r.rows.texts, 2);
  check_written(&r, 0, "hello<|im_end|>|");
  check_written(&r, 1, "go<|im_end|>|");
  close_reading(&r);
}

/* Tokens that count: those of the answers, or all that follow another. */
static void test_loss_of_answers(void **state) {
  (void)state;
  tx_tune_options options = options_for(rows, "loss.taxon");
  options.train.epochs = 1;
  tx_tune_report answers = tune(options);
  options.with_prompts = true;
  tx_tune_report whole = tune(options);
  assert_true(answers.answer_tokens < whole.answer_tokens);
  assert_int_equal(whole.answer_tokens, whole.tokens - 3);
  assert_int_equal(answers.tokens, whole.tokens);
}

static void test_preferences(void **state) {
  (void)state;
  static const char table[] =
      "{\"instruction\": \"Hi\", \"chosen\": \"hello there\", \"rejected\": \"go away\"}\n"
      "{\"instruction\": \"Bye\", \"chosen\": \"until soon\", \"rejected\": \"at last\"}\n";
  tx_tune_options options = options_for(table, "dpo.taxon");
  options.preferences = true, options.beta = 0.5;
  options.train.epochs = options.train.patience = 10;
  tx_tune_report report = tune(options);
  assert_true(report.after.likelier > 0.999 && report.before.perplexity < 0.001);
  assert_true(report.before.right < 0.001 && report.after.right > 0.999);
  assert_true(report.after.loss < 0.5 * report.before.loss);
  assert_true(report.before.loss > 0.6931 && report.before.loss < 0.6932);
}

/* ---- runs --------------------------------------------------------------- */

typedef struct {
  int64_t stop_after;
  bool stopped;
} stopping;

static void report_step(void *context, const char *stage, int64_t done, int64_t total,
                        const char *unit) {
  stopping *s = context;
  (void)total, (void)unit;
  if (strcmp(stage, "train") == 0 && done >= s->stop_after) s->stopped = true;
}

static bool is_stopped(void *context) { return ((stopping *)context)->stopped; }

static void tune_until(tx_tune_options options, int64_t steps) {
  stopping s = {.stop_after = steps};
  tx_watch watch = {.report = report_step, .cancelled = is_stopped, .context = &s};
  tx_tune_report report;
  MADE_FAILS(tx_tune(&options, &report, &watch, error), TX_ERROR_INTERRUPTED, "");
}

static void check_resumed(tx_method method, bool preferences) {
  static const char table[] =
      "{\"prompt\": \"Hi\", \"output\": \"a\", \"chosen\": \"there\", \"rejected\": \"away\"}\n"
      "{\"prompt\": \"Bye\", \"output\": \"b\", \"chosen\": \"soon\", \"rejected\": \"last\"}\n"
      "{\"prompt\": \"So\", \"output\": \"c\", \"chosen\": \"what\", \"rejected\": \"that\"}\n";
  tx_tune_options options = options_for(table, "whole.taxon");
  options.train.method = method, options.train.batch = 1, options.preferences = preferences;
  options.train.epochs = 3;
  tune(options);
  options.train.run = made("run"), options.train.out = made("parts.taxon");
  options.train.save_minutes = 0;
  tx_directory_remove(options.train.run);
  tune_until(options, 4);
  options.train.resume = true;
  tune(options);
  assert_true(same_files(made("whole.taxon"), made("parts.taxon")));
}

static void test_stopped_and_resumed(void **state) {
  (void)state;
  check_resumed(TX_METHOD_LORA, false);
  check_resumed(TX_METHOD_LORA, true);
  check_resumed(TX_METHOD_FULL, false);
}

static void test_what_differs_is_named(void **state) {
  (void)state;
  tx_tune_options options = options_for(rows, "x.taxon"), plain;
  options.train.run = made("differs"), options.train.batch = 1;
  tune_until(options, 2);
  options.train.resume = true;
  plain = options;
  options.chat_template = "alpaca";
  REFUSED(options, TX_ERROR_INPUT, "--template");
  options = plain, options.with_prompts = true;
  REFUSED(options, TX_ERROR_INPUT, "--with-prompts");
  options = plain, options.batch_tokens = 100;
  REFUSED(options, TX_ERROR_INPUT, "--batch-tokens");
  options = plain, options.train.data = made("other.jsonl");
  write_text(options.train.data, "{\"instruction\": \"Hi\", \"output\": \"a\"}\n");
  REFUSED(options, TX_ERROR_INPUT, "training rows with SHA-256");
  tune(plain);
}

/* ---- the artifact --------------------------------------------------------- */

static void test_artifact(void **state) {
  (void)state;
  tx_tune_options options = options_for(rows, "kept.taxon");
  options.train.command = "taxon tune";
  tune(options);
  tx_gguf *gguf;
  tx_tuned_facts facts;
  MADE_OK(tx_tuned_open(options.train.out, &gguf, &facts, error));
  assert_int_equal(facts.train_rows, 3);
  assert_int_equal(facts.rank, 8);
  assert_memory_equal(facts.chat_template.data, "chatml", 6);
  tx_gguf_close(gguf);
  tx_classifier *classifier;
  tx_classifier_options as = tx_classifier_defaults();
  MADE_FAILS(tx_classifier_open(options.train.out, as, &classifier, error), TX_ERROR_INPUT,
             "this is a tuned model, not a classifier; use taxon generate");
  char *json;
  MADE_OK(tx_describe_json(options.train.out, made_directory, &json, error));
  assert_non_null(strstr(json, "\"kind\":\"tuned\""));
  tx_free_string(json);
  tx_generator *generator;
  tx_generator_options other = tx_generator_defaults();
  other.model = gpt2;
  MADE_FAILS(tx_generator_open(options.train.out, other, &generator, error), TX_ERROR_INPUT,
             "another base");
  options.train.model = options.train.out, options.train.out = made("again.taxon");
  REFUSED(options, TX_ERROR_INPUT, "this is a tuned model, not a model");
}

static void test_same_bytes(void **state) {
  (void)state;
  tx_tune_options options = options_for(rows, "one.taxon");
  tune(options);
  options.train.out = made("three.taxon");
  tx_set_threads(3);
  tune(options);
  tx_set_threads(1);
  assert_true(same_files(made("one.taxon"), made("three.taxon")));
}

/* ---- bad input ------------------------------------------------------------ */

static void refuse_row(const char *table, const char *part) {
  tx_tune_options options = options_for(table, "bad.taxon");
  REFUSED(options, TX_ERROR_INPUT, part);
  assert_int_equal(access(options.train.out, F_OK), -1);
}

static void test_bad_rows(void **state) {
  (void)state;
  refuse_row("{\"prompt\": \"a\", \"output\": \"b\"}\n{\"prompt\": \"a\", \"output\": \" \"}\n",
             ":2: the row has no answer: 'output' is empty");
  refuse_row("{\"instruction\": \"a\"}\n", ":1: the row has no answer: 'output' is not there");
  refuse_row("{\"output\": \"a\"}\n", ":1: the row asks nothing");
  refuse_row("{\"messages\": [{\"role\": \"bot\", \"content\": \"b\"}]}\n",
             ":1: message 1 has the role 'bot'");
  refuse_row("{\"messages\": [{\"role\": \"user\", \"content\": \"b\"}]}\n",
             "its last message is not the assistant's");
  refuse_row("{\"messages\": [{\"role\": \"user\"}]}\n", "message 1 is not an object");
  refuse_row("{\"messages\": []}\n", "no list of messages");
  refuse_row("{\"messages\": \"[\"}\n", "no list of messages");
  refuse_row("\n", "has no rows");
  char table[2000];
  snprintf(table, sizeof table, "{\"instruction\": \"a\", \"output\": \"%0600d\"}\n", 0);
  refuse_row(table, "tests/golden/tiny_llama.gguf reads 128");
}

static void test_bad_options(void **state) {
  (void)state;
  tx_tune_options plain = options_for(rows, "bad.taxon"), options = plain;
  options.chat_template = "model";
  REFUSED(options, TX_ERROR_INPUT, "has no chat template");
  options = plain, options.train.model = gpt2;
  REFUSED(options, TX_ERROR_INPUT, "<|im_start|>");
  options = plain, options.train.rank = 65;
  REFUSED(options, TX_ERROR_ARGUMENT, "--rank is 65");
  options = plain, options.train.method = TX_METHOD_HEAD;
  REFUSED(options, TX_ERROR_ARGUMENT, "the method is last-block, norms, lora or full");
  options = plain, options.train.focal = 1;
  REFUSED(options, TX_ERROR_ARGUMENT, "focal loss");
  options = plain, options.train.attention = TX_ATTENTION_BIDIRECTIONAL;
  REFUSED(options, TX_ERROR_ARGUMENT, "attention that is not causal");
  options = plain, options.train.seeds = 2;
  REFUSED(options, TX_ERROR_ARGUMENT, "several seeds");
  options = plain, options.beta = 0;
  REFUSED(options, TX_ERROR_ARGUMENT, "beta is 0");
  options = plain, options.preferences = options.with_prompts = true;
  REFUSED(options, TX_ERROR_ARGUMENT, "--with-prompts is not for it");
  options = plain, options.preferences = true, options.rows.answers = "yes,no";
  REFUSED(options, TX_ERROR_ARGUMENT, "--answers is not for it");
  options = plain, options.preferences = true;
  REFUSED(options, TX_ERROR_INPUT, "'chosen' is not there");
  options = plain, options.rows.answers = "yes,no";
  REFUSED(options, TX_ERROR_INPUT, "'red and blue' is none of the outputs");
  options = plain, options.rows.answers = "=yes";
  REFUSED(options, TX_ERROR_ARGUMENT, "--answers must be");
  options = plain, options.rows.answers = "1=yes,1=no";
  REFUSED(options, TX_ERROR_ARGUMENT, "--answers names '1' twice");
  options = plain, options.train.validation = NULL;
  options.train.data = made("one.jsonl");
  write_text(options.train.data, "{\"instruction\": \"a\", \"output\": \"b\"}\n");
  REFUSED(options, TX_ERROR_INPUT, "no row can be held out");
  /* a conversation and its beginning are not parted either */
#define ASKED(text) "{\"role\": \"user\", \"content\": \"" text "\"}"
#define ANSWERED(text) "{\"role\": \"assistant\", \"content\": \"" text "\"}"
  write_text(options.train.data,
             "{\"messages\": [" ASKED("a") ", " ANSWERED("b") "]}\n"
             "{\"messages\": [" ASKED("a") ", " ANSWERED("b") ", " ASKED("c") ", "
             ANSWERED("d") "]}\n");
  REFUSED(options, TX_ERROR_INPUT, "no row can be held out");
}

/* What --answers names is the answer of messages as of columns: the same rows, the same file. */
static void test_answers_of_messages(void **state) {
  (void)state;
  const char *const tables[] = {
      "{\"instruction\": \"a\", \"output\": \"high\"}\n"
      "{\"instruction\": \"b\", \"output\": \"low\"}\n",
      "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, "
      "{\"role\": \"assistant\", \"content\": \"high\"}]}\n"
      "{\"messages\": [{\"role\": \"user\", \"content\": \"b\"}, "
      "{\"role\": \"assistant\", \"content\": \"low\"}]}\n"};
  const char *const names[] = {"columns.taxon", "messages.taxon"};
  for (int i = 0; i < 2; i++) {
    tx_tune_options options = options_for(tables[i], names[i]);
    options.rows.answers = "high=up,low=down";
    tune(options);
    options.rows.answers = "high=up";
    REFUSED(options, TX_ERROR_INPUT, "'low' is none of the outputs");
  }
  assert_true(same_files(made(names[0]), made(names[1])));
}

/* With --max-tokens what is longer is left out, and counted. */
static void test_long_rows(void **state) {
  (void)state;
  char table[2000];
  snprintf(table, sizeof table, "%s{\"instruction\": \"a\", \"output\": \"%0600d\"}\n", rows, 0);
  tx_tune_options options = options_for(table, "long.taxon");
  options.train.max_tokens = 100;
  tx_tune_report report = tune(options);
  assert_int_equal(report.train_rows, 3);
  assert_int_equal(report.left_out, 2); /* of either table */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_learnt_by_heart),
      cmocka_unit_test(test_own_template),
      cmocka_unit_test(test_norms),
      cmocka_unit_test(test_what_is_written),
      cmocka_unit_test(test_columns_and_answers),
      cmocka_unit_test(test_loss_of_answers),
      cmocka_unit_test(test_preferences), cmocka_unit_test(test_answers_of_messages),
      cmocka_unit_test(test_stopped_and_resumed),
      cmocka_unit_test(test_what_differs_is_named),
      cmocka_unit_test(test_artifact),
      cmocka_unit_test(test_same_bytes),
      cmocka_unit_test(test_bad_rows),
      cmocka_unit_test(test_bad_options),
      cmocka_unit_test(test_long_rows),
  };
  return cmocka_run_group_tests(tests, made_setup, made_teardown);
}
