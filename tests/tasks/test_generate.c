/* Greedy generation: each token is the most probable one after a whole pass over all before
 * it, whatever else is answered at once; answers end where they are to end; rows of a table
 * are answered and compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "generate/greedy.h"
#include "made.h"
#include "tasks/generator.h"
#include "taxon.h"

enum { NEW = 12, PROMPTS = 150 };

static tx_model *open_model(const char *path) {
  tx_model *model;
  MADE_OK(tx_model_open(path, NULL, &model, error));
  MADE_OK(tx_model_load(model, 0, tx_model_facts(model)->blocks, error));
  return model;
}

static tx_greedy_answer answer_alone(tx_decode *decode, const tx_facts *facts,
                                     tx_greedy_prompt prompt, tx_greedy_options options) {
  tx_greedy_answer answer;
  MADE_OK(tx_greedy(decode, facts->vocabulary, &prompt, 1, options, &answer, NULL, error));
  return answer;
}

/* The token after `count` ids, by a whole pass over them. */
static int32_t next_by_pass(const tx_model *model, const int32_t *ids, int64_t count) {
  int64_t vocabulary = tx_model_facts(model)->vocabulary;
  float *logits = malloc((size_t)vocabulary * sizeof *logits);
  tx_decode *decode;
  int slot;
  MADE_OK(tx_decode_new(model, &decode, error));
  MADE_OK(tx_decode_start(decode, NULL, &slot, error));
  tx_feed feed = {slot, ids, count, 1};
  MADE_OK(tx_decode_run(decode, &feed, 1, logits, NULL, error));
  int32_t best = 0;
  for (int32_t i = 1; i < vocabulary; i++) best = logits[i] > logits[best] ? i : best;
  tx_decode_free(decode);
  free(logits);
  return best;
}

static void check_greedy(const char *path) {
  tx_model *model = open_model(path);
  const tx_facts *facts = tx_model_facts(model);
  tx_decode *decode;
  MADE_OK(tx_decode_new(model, &decode, error));
  int32_t ids[64] = {17, 250, 33, 9};
  tx_greedy_options options = {NULL, 0, NEW, facts->context};
  tx_greedy_answer answer = answer_alone(decode, facts, (tx_greedy_prompt){ids, 4}, options);
  assert_int_equal(answer.count, NEW);
  assert_false(answer.stopped);
  for (int64_t i = 0; i < NEW; i++) {
    assert_int_equal(answer.ids[i], next_by_pass(model, ids, 4 + i));
    ids[4 + i] = answer.ids[i];
  }
  tx_free(answer.ids);
  tx_decode_free(decode);
  tx_model_close(model);
}

static void test_whole_passes(void **state) {
  (void)state;
  check_greedy(llama);
  check_greedy(gpt2);
}

/* More prompts than slots, of several lengths, with an end that some answers meet. */
static void test_one_by_one(void **state) {
  (void)state;
  tx_model *model = open_model(llama);
  const tx_facts *facts = tx_model_facts(model);
  tx_decode *decode;
  MADE_OK(tx_decode_new(model, &decode, error));
  static int32_t ids[PROMPTS * 9];
  static tx_greedy_prompt prompts[PROMPTS];
  static tx_greedy_answer together[PROMPTS];
  tx_random random = tx_random_seed(5);
  for (int i = 0; i < PROMPTS * 9; i++) ids[i] = (int32_t)tx_random_below(&random, 400);
  for (int i = 0; i < PROMPTS; i++) prompts[i] = (tx_greedy_prompt){ids + 9 * i, 1 + i % 9};
  tx_greedy_options options = {NULL, 0, NEW, facts->context};
  tx_greedy_answer first = answer_alone(decode, facts, prompts[3], options);
  options.stops = &first.ids[4], options.stop_count = 1;
  MADE_OK(tx_greedy(decode, facts->vocabulary, prompts, PROMPTS, options, together, NULL, error));
  int stopped = 0;
  for (int i = 0; i < PROMPTS; i++) {
    tx_greedy_answer alone = answer_alone(decode, facts, prompts[i], options);
    assert_int_equal(alone.count, together[i].count);
    assert_int_equal(alone.stopped, together[i].stopped);
    assert_memory_equal(alone.ids, together[i].ids, (size_t)alone.count * sizeof(int32_t));
    assert_true(alone.stopped == (alone.ids[alone.count - 1] == first.ids[4]));
    stopped += alone.stopped;
    tx_free(alone.ids), tx_free(together[i].ids);
  }
  assert_true(stopped > 0 && stopped < PROMPTS);
  tx_free(first.ids);
  tx_decode_free(decode);
  tx_model_close(model);
}

static void test_full_context(void **state) {
  (void)state;
  tx_model *model = open_model(llama);
  const tx_facts *facts = tx_model_facts(model);
  tx_decode *decode;
  MADE_OK(tx_decode_new(model, &decode, error));
  int32_t ids[128];
  for (int i = 0; i < 128; i++) ids[i] = 3 + i % 50;
  tx_greedy_options options = {NULL, 0, 1000, facts->context};
  tx_greedy_prompt prompt = {ids, 120};
  tx_greedy_answer answer = answer_alone(decode, facts, prompt, options);
  assert_int_equal(answer.count, 8);
  assert_false(answer.stopped);
  tx_free(answer.ids);
  tx_decode_free(decode);
  tx_model_close(model);
}

static void test_ties(void **state) {
  (void)state;
  const float nothing = strtof("nan", NULL);
  const float logits[] = {1, 5, 5, -2}, odd[] = {nothing, 1, nothing, 1};
  const float none[] = {nothing, nothing};
  assert_int_equal(tx_greedy_token(logits, 4), 1);
  assert_int_equal(tx_greedy_token(odd, 4), 1);
  assert_int_equal(tx_greedy_token(none, 2), 0);
}

/* ---- prompts ------------------------------------------------------------- */

static tx_generator *open_generator(const char *what, const char *chat_template, bool raw) {
  tx_generator *generator;
  tx_generator_options options = tx_generator_defaults();
  options.home = made_directory, options.chat_template = chat_template, options.raw = raw;
  MADE_OK(tx_generator_open(what, options, &generator, error));
  return generator;
}

static void test_prompts(void **state) {
  (void)state;
  tx_generator *generator = open_generator(llama, "chatml", false);
  tx_prompt prompts[2] = {{tx_text_of("Hi"), {NULL, 0}}, {tx_text_of("What is this?"), {NULL, 0}}};
  tx_answers both, one;
  MADE_OK(tx_generate(generator, prompts, 2, 5, &both, NULL, error));
  MADE_OK(tx_generate(generator, &prompts[1], 1, 5, &one, NULL, error));
  assert_int_equal(both.count, 2);
  tx_text second = both.answers[1].text, alone = one.answers[0].text;
  assert_int_equal(second.size, alone.size);
  assert_memory_equal(second.data, alone.data, alone.size);
  assert_true(both.answers[0].tokens <= 5 && both.answers[0].tokens >= 1);
  tx_answers_free(&both), tx_answers_free(&one);
  MADE_OK(tx_generate(generator, prompts, 0, 5, &both, NULL, error));
  tx_answers_free(&both);
  MADE_FAILS(tx_generate(generator, prompts, 1, 0, &both, NULL, error), TX_ERROR_ARGUMENT,
             "at least one token");
  char text[600];
  memset(text, 'x', sizeof text);
  prompts[1].text = (tx_text){text, sizeof text};
  MADE_FAILS(tx_generate(generator, prompts, 2, 5, &both, NULL, error), TX_ERROR_INPUT,
             "prompt 2 is");
  tx_generator_close(generator);
  generator = open_generator(llama, NULL, true);
  prompts[0].text = tx_text_of("");
  MADE_FAILS(tx_generate(generator, prompts, 1, 5, &both, NULL, error), TX_ERROR_INPUT,
             "prompt 1 is empty");
  prompts[0].text = tx_text_of("<|im_start|>");
  MADE_OK(tx_generate(generator, prompts, 1, 1, &both, NULL, error));
  assert_int_equal(both.answers[0].prompt_tokens, 1);
  tx_answers_free(&both);
  tx_generator_close(generator);
}

/* ---- tables --------------------------------------------------------------- */

/* Three rows learnt by heart: two outputs, of which one is then told otherwise. */
static void test_table(void **state) {
  (void)state;
  tx_tune_options options = tx_tune_defaults();
  tx_train_options *t = &options.train;
  t->data = t->validation = made("rows.tsv");
  write_text(t->data, "q\ta\nup\thigh\ndown\tlow\nover\thigh\n");
  t->home = made_directory, t->model = llama, t->out = made("told.taxon"), t->no_cache = true;
  t->rank = 8, t->learning_rate = 0.02, t->epochs = t->patience = 60, t->batch = 3;
  options.rows.instruction = "Where?", options.rows.input = "q", options.rows.output = "a";
  options.chat_template = "chatml";
  tx_tune_report tuned;
  MADE_OK(tx_tune(&options, &tuned, NULL, error));
  tx_generator *generator = open_generator(t->out, NULL, false);
  tx_generate_report report;
  tx_generate_options asked = {
      .data = t->data, .rows = options.rows, .max_new = 20, .out = made("answers.jsonl")};
  MADE_OK(tx_generate_evaluate(generator, &asked, &report, NULL, error));
  assert_int_equal(report.n, 3);
  assert_false(report.exact);
  assert_true(report.chrf > 99.999 && report.cut == 0);
  size_t size;
  char *file = read_bytes(asked.out, &size);
  assert_non_null(strstr(file, "{\"line\":3,\"answer\":\"low\",\"reference\":\"low\"}\n"));
  free(file);
  const char *const inputs[] = {asked.data, t->out};
  for (int i = 0; i < 2; i++) {
    asked.out = inputs[i];
    MADE_FAILS(tx_generate_evaluate(generator, &asked, &report, NULL, error), TX_ERROR_ARGUMENT,
               "name another output");
  }
  asked.data = made("other.tsv"), asked.out = NULL;
  write_text(asked.data, "q\ta\nup\tHIGH \ndown\tHIGH \nover\thigh\n");
  asked.rows.answers = "HIGH =high,high";
  MADE_OK(tx_generate_evaluate(generator, &asked, &report, NULL, error));
  assert_true(report.exact && report.accuracy > 0.66 && report.accuracy < 0.67);
  assert_true(report.neither > 0.33 && report.neither < 0.34);
  assert_true(report.accuracy_lo > 0.2 && report.accuracy_hi < 0.95);
  asked.rows.answers = "low,high";
  MADE_FAILS(tx_generate_evaluate(generator, &asked, &report, NULL, error), TX_ERROR_INPUT,
             ":2: 'HIGH ' is none of the outputs");
  tx_generator_close(generator);
}

static void test_what_does_not_write(void **state) {
  (void)state;
  tx_generator *generator;
  tx_generator_options plain = tx_generator_defaults();
  plain.home = made_directory;
  made_train(made_options(llama, made("classifier.taxon")));
  MADE_FAILS(tx_generator_open(made("classifier.taxon"), plain, &generator, error), TX_ERROR_INPUT,
             "this is a classifier, which writes nothing");
  tx_generator_options options = plain;
  options.chat_template = "model";
  MADE_FAILS(tx_generator_open(llama, options, &generator, error), TX_ERROR_INPUT,
             "has no chat template");
  options = plain, options.chat_template = "odd";
  MADE_FAILS(tx_generator_open(llama, options, &generator, error), TX_ERROR_ARGUMENT, "odd");
  options = plain, options.model = gpt2;
  MADE_FAILS(tx_generator_open(llama, options, &generator, error), TX_ERROR_ARGUMENT,
             "is a model already");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_whole_passes),
      cmocka_unit_test(test_one_by_one),
      cmocka_unit_test(test_full_context),
      cmocka_unit_test(test_ties),
      cmocka_unit_test(test_prompts),
      cmocka_unit_test(test_table),
      cmocka_unit_test(test_what_does_not_write),
  };
  return cmocka_run_group_tests(tests, made_setup, made_teardown);
}
