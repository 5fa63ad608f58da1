/* taxon generate: what a model writes where it is asked. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lines.h"
#include "options.h"
#include "output.h"
#include "progress.h"
#include "rows_options.h"

enum { PROMPTS = 256, PROMPT_BYTES = 1 << 20 };

typedef struct {
  cli_common common;
  const char *model;
  tx_generate_options rows; /* of --data; rows.input without it: what prompts are about */
  int chat_template, format;
  int64_t max_new;
  bool raw;
  tx_generator *generator;
  progress progress;
} generate;

/* ---- answers ----------------------------------------------------------- */

static void print_json(const tx_answer *answer) {
  json_t *object = json_object();
  out_put(object, "text", out_text(answer->text));
  out_put(object, "prompt_tokens", json_integer(answer->prompt_tokens));
  out_put(object, "tokens", json_integer(answer->tokens));
  out_put(object, "prefill_seconds", out_real(answer->prefill_seconds));
  out_put(object, "decode_seconds", out_real(answer->decode_seconds));
  out_put(object, "finish", json_string(answer->stopped ? "stop" : "length"));
  out_json(object, 15);
}

/* One prompt's answer keeps its lines; of several each is on one. */
static void print_answer(const tx_answer *answer, bool alone) {
  if (alone) {
    fwrite(answer->text.data, 1, answer->text.size, stdout);
  } else {
    char *visible = out_visible(answer->text);
    fputs(visible, stdout);
    free(visible);
  }
  putchar('\n');
}

static int answer_prompts(generate *state, const char *verb, const tx_text *texts, size_t count,
                          bool alone) {
  tx_error error = {0};
  tx_answers answers;
  tx_prompt *prompts = cli_array(count, sizeof *prompts);
  const char *about = state->rows.rows.input;
  tx_text input = about ? tx_text_of(about) : (tx_text){NULL, 0};
  for (size_t i = 0; i < count; i++) prompts[i] = (tx_prompt){texts[i], input};
  tx_watch watch = progress_watch(&state->progress);
  tx_status status = tx_generate(state->generator, prompts, count, state->max_new, &answers,
                                 &watch, &error);
  free(prompts);
  if (status != TX_OK) return cli_fail(verb, &error, "run the same command again");
  progress_end(&state->progress);
  for (size_t i = 0; i < answers.count; i++) {
    if (state->common.json) {
      print_json(&answers.answers[i]);
    } else {
      print_answer(&answers.answers[i], alone);
    }
  }
  tx_answers_free(&answers);
  return CLI_DONE;
}

static int answer_lines(generate *state, const char *verb) {
  lines input = lines_open(STDIN_FILENO);
  tx_text *texts = cli_array(PROMPTS, sizeof *texts);
  int status = CLI_DONE;
  for (size_t count = 1; count > 0 && status == CLI_DONE;) {
    int failure = lines_batch(&input, texts, PROMPTS, PROMPT_BYTES, &count);
    if (count > 0) status = answer_prompts(state, verb, texts, count, false);
    if (failure) {
      status = cli_system_error(verb, "cannot read standard input: %s", strerror(failure));
    }
    if (status == CLI_DONE) status = out_flush(verb);
  }
  free(texts);
  lines_close(&input);
  return status;
}

static int answer_arguments(generate *state, const command_line *line) {
  size_t count = line->argument_count - 1;
  tx_text *texts = cli_array(count, sizeof *texts);
  for (size_t i = 0; i < count; i++) texts[i] = tx_text_of(line->arguments[i + 1]);
  int status = answer_prompts(state, line->verb, texts, count, count == 1);
  free(texts);
  return status;
}

/* ---- a table ------------------------------------------------------------ */

static void print_report_json(const tx_generate_report *r) {
  json_t *object = json_object();
  out_put(object, "n", json_integer(r->n));
  if (r->exact) {
    json_t *interval = json_array();
    out_append(interval, out_real(r->accuracy_lo));
    out_append(interval, out_real(r->accuracy_hi));
    out_put(object, "accuracy", out_real(r->accuracy));
    out_put(object, "accuracy_ci95", interval);
    out_put(object, "neither", out_real(r->neither));
  } else {
    out_put(object, "bleu", out_real(r->bleu));
    out_put(object, "chrf", out_real(r->chrf));
  }
  out_put(object, "prompt_tokens", json_integer(r->prompt_tokens));
  out_put(object, "tokens", json_integer(r->tokens));
  out_put(object, "cut", json_integer(r->cut));
  out_put(object, "seconds", out_real(r->seconds));
  out_put(object, "tokens_per_second", out_real(r->tokens_per_second));
  out_json(object, 15);
}

static void add_fact(out_table *facts, const char *name, const char *value) {
  out_cell(facts, name);
  out_cell(facts, value);
}

static void print_report(const tx_generate_report *r) {
  char a[OUT_NUMBER], b[OUT_NUMBER], c[OUT_NUMBER], value[128];
  out_table facts = out_table_make("ll", false);
  add_fact(&facts, "rows", out_grouped(r->n, a));
  if (r->exact) {
    snprintf(value, sizeof value, "%s (95 %% interval %s to %s)", out_percent(r->accuracy, a),
             out_percent(r->accuracy_lo, b), out_percent(r->accuracy_hi, c));
    add_fact(&facts, "accuracy", value);
    add_fact(&facts, "none of the answers", out_percent(r->neither, a));
  } else {
    add_fact(&facts, "BLEU", out_decimal(r->bleu, 2, a));
    add_fact(&facts, "chrF", out_decimal(r->chrf, 2, a));
  }
  if (r->cut > 0) add_fact(&facts, "cut at --max-new", out_grouped(r->cut, a));
  snprintf(value, sizeof value, "%s read, %s written", out_grouped(r->prompt_tokens, a),
           out_grouped(r->tokens, b));
  add_fact(&facts, "tokens", value);
  add_fact(&facts, "time", out_duration(r->seconds, a));
  out_table_print(&facts);
}

static int answer_table(generate *state, const char *verb) {
  tx_generate_report report;
  tx_error error = {0};
  state->rows.max_new = state->max_new;
  state->rows.rows.format = options_format(state->format);
  tx_watch watch = progress_watch(&state->progress);
  tx_status status = tx_generate_evaluate(state->generator, &state->rows, &report, &watch, &error);
  progress_end(&state->progress);
  if (status != TX_OK) return cli_fail(verb, &error, "run the same command again");
  (state->common.json ? print_report_json : print_report)(&report);
  return CLI_DONE;
}

/* ---- the verb ---------------------------------------------------------- */

/* What cannot be meant. */
static int check(const generate *state, const command_line *line) {
  const tx_generate_options *o = &state->rows;
  bool texts = line->argument_count > 1;
  if (o->data && texts) {
    return cli_usage_error(line->verb,
                           "prompts come from --data or from the command line, not both");
  }
  if (!o->data && !texts) {
    return cli_usage_error(line->verb,
                           "give prompts, or - to read them from standard input, or --data TABLE");
  }
  const tx_rows_options *r = &o->rows;
  if (!o->data && (r->instruction || r->instruction_column || r->output || r->messages ||
                    r->answers || o->out || state->format > 0)) {
    return cli_usage_error(line->verb, "options about rows and --out are for the table of --data");
  }
  return CLI_DONE;
}

static int run(generate *state, const command_line *line) {
  tx_generator_options options = tx_generator_defaults();
  options.home = state->common.home;
  options.model = state->model;
  options.chat_template = rows_template(state->chat_template);
  options.raw = state->raw;
  tx_error error = {0};
  if (tx_generator_open(line->arguments[0], options, &state->generator, &error) != TX_OK) {
    return cli_fail(line->verb, &error, "run the same command again");
  }
  bool from_lines = line->argument_count == 2 && strcmp(line->arguments[1], "-") == 0;
  progress_begin(&state->progress, state->common.quiet);
  int status = state->rows.data ? answer_table(state, line->verb)
               : from_lines     ? answer_lines(state, line->verb)
                                : answer_arguments(state, line);
  progress_end(&state->progress);
  tx_generator_close(state->generator);
  return status;
}

static size_t fill_options(generate *state, option *options) {
  const option asked[] = {
      {"max-new", OPTION_INTEGER, &state->max_new, "N", "tokens of an answer, at most", .least = 1,
       .most = 1 << 24},
      {"template", OPTION_CHOICE, &state->chat_template,
       .help = "how a prompt is put to the model; auto: as it was tuned, or its own",
       .choices = rows_templates},
      {"raw", OPTION_FLAG, &state->raw,
       .help = "prompts as they stand, without a template; control tokens that they spell are "
               "tokens"},
      {"model", OPTION_STRING, &state->model, "NAME|FILE",
       "where the base of a tuned model is; it must be the same file",
       .zero = "as the tuned model names it"},
      {.type = OPTION_HEADING, .help = "A table"},
      {"data", OPTION_STRING, &state->rows.data, "TABLE",
       "rows that ask and answer (see taxon tune): what the model answers is measured by the rows' "
       "own answers", .zero = NULL}};
  const option told[] = {
      {"answers", OPTION_STRING, &state->rows.rows.answers, "ANSWER,...|OUTPUT=ANSWER,...",
       "the answers that there are: yes,no, or spam=yes,ham=no; accuracy is measured, instead of "
       "BLEU and chrF",
       .zero = "any text"},
      {"format", OPTION_CHOICE, &state->format, .help = "of the table", .choices = options_formats},
      {"out", OPTION_STRING, &state->rows.out, "FILE",
       "JSONL that is written: line, answer and reference of each row", .zero = "none"}};
  const size_t before = sizeof asked / sizeof *asked, after = sizeof told / sizeof *told;
  memcpy(options, asked, sizeof asked);
  rows_fill_options(&state->rows.rows, options + before);
  option *input = options_named(options + before, ROWS_OPTIONS, "input");
  input->argument = "COLUMN|TEXT";
  input->help = "what it is to be done to; without --data, of the prompts: a text";
  memcpy(options + before + ROWS_OPTIONS, told, sizeof told);
  return before + ROWS_OPTIONS + after;
}

int verb_generate(int argc, char **argv) {
  enum { OPTIONS_MOST = 24 };
  generate state = {.common = options_common_defaults(), .max_new = 256};
  option options[OPTIONS_MOST];
  size_t count = fill_options(&state, options);
  command_line line = {
      .verb = argv[0],
      .summary = "write answers to prompts, and measure them",
      .usage =
          "MODEL TEXT... [options]\n"
          "MODEL - [options]              (one prompt a line on standard input)\n"
          "MODEL --data TABLE [options]",
      .about =
          "MODEL is a file that `taxon tune` wrote, or a model.  The most probable token is taken "
          "again\nand again, until the model ends its answer.  Prompts are answered together, in "
          "order; an\nanswer does not depend on the others.  Of several prompts each answer is a "
          "line, with\nnewlines as \\n.  --json prints an object a line: text, prompt_tokens, "
          "tokens,\nprefill_seconds, decode_seconds, and finish, which is stop where the model "
          "ended the\nanswer, else length.\n\n"
          "With --data the answers are compared with those of the rows: by BLEU and chrF, as "
          "sacrebleu\ncomputes them, or with --answers by accuracy (case and white space at "
          "either end do not\ncount) and the share of answers that are none of those named.",
      .examples =
          "  taxon generate tuned.taxon \"Translate into German: A man is riding a horse.\"\n"
          "  taxon generate tuned.taxon --data test.tsv --input text --output label \\\n"
          "    --instruction \"Is this text spam? Answer yes or no.\" --answers spam=yes,ham=no",
      .options = options,
      .option_count = count,
      .common = &state.common,
      .least = 1,
      .most = SIZE_MAX,
      .missing = "say which model, and the prompts"};
  int status;
  if (options_parse(&line, argc, argv, &status)) {
    status = check(&state, &line);
    if (status == CLI_DONE) status = run(&state, &line);
  }
  options_free(&line);
  return status;
}
