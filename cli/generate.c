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
  const char *model, *input;
  int chat_template;
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
  tx_text input = state->input ? tx_text_of(state->input) : (tx_text){NULL, 0};
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

/* ---- the verb ---------------------------------------------------------- */

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
  int status = from_lines ? answer_lines(state, line->verb) : answer_arguments(state, line);
  progress_end(&state->progress);
  tx_generator_close(state->generator);
  return status;
}

int verb_generate(int argc, char **argv) {
  generate state = {.common = options_common_defaults(), .max_new = 256};
  const option options[] = {
      {"input", OPTION_STRING, &state.input, "TEXT", "what the instruction is about",
       .zero = "nothing"},
      {"max-new", OPTION_INTEGER, &state.max_new, "N", "tokens of an answer, at most", .least = 1,
       .most = 1 << 24},
      {"template", OPTION_CHOICE, &state.chat_template,
       .help = "how the prompt is put to the model; auto: as it was tuned, or its own",
       .choices = rows_templates},
      {"raw", OPTION_FLAG, &state.raw,
       .help = "the prompt as it stands, without a template; control tokens that it spells are "
               "tokens"},
      {"model", OPTION_STRING, &state.model, "NAME|FILE",
       "where the base of a tuned model is; it must be the same file",
       .zero = "as the tuned model names it"},
  };
  command_line line = {
      .verb = argv[0],
      .summary = "write answers to prompts",
      .usage =
          "MODEL TEXT... [options]\n"
          "MODEL - [options]      (one prompt a line on standard input)",
      .about =
          "MODEL is a file that `taxon tune` wrote, or a model.  The most probable token is taken "
          "again\nand again, until the model ends its answer.  Prompts are answered together, in "
          "order; an\nanswer does not depend on the others.  Of several prompts each answer is a "
          "line, with\nnewlines as \\n.  --json prints an object a line: text, prompt_tokens, "
          "tokens,\nprefill_seconds, decode_seconds, and finish, which is stop where the model "
          "ended the\nanswer, else length.",
      .examples =
          "  taxon generate tuned.taxon \"Translate into German: A man is riding a horse.\"",
      .options = options,
      .option_count = sizeof options / sizeof options[0],
      .common = &state.common,
      .least = 2,
      .most = SIZE_MAX,
      .missing = "give a model and at least one prompt, or - to read prompts from standard input"};
  int status;
  if (options_parse(&line, argc, argv, &status)) status = run(&state, &line);
  options_free(&line);
  return status;
}
