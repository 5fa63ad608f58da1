/* taxon quantize: the same classifier in int8, where the answers to labelled texts
 * bear it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "options.h"
#include "output.h"
#include "progress.h"

enum { ANSWERS_SHOWN = 12 };

typedef struct {
  cli_common common;
  const char *data, *label, *model, *head, *out;
  char *text;
  int format;
  double tolerance;
} quantize;

/* ---- the report -------------------------------------------------------- */

static json_t *json_score(const tx_precision_score *of) {
  json_t *score = json_object();
  out_put(score, "accuracy", out_real(of->accuracy));
  out_put(score, "nll", out_real(of->nll));
  out_put(score, "ece", out_real(of->ece));
  out_put(score, "texts_per_second", out_real(of->texts_per_second));
  out_put(score, "bytes", json_integer(of->bytes));
  return score;
}

static json_t *json_answers(const tx_quantization *of) {
  json_t *answers = json_array();
  for (int64_t i = 0; i < of->changed; i++) {
    json_t *answer = json_object();
    out_put(answer, "line", json_integer(of->answers[i].line));
    out_put(answer, "label", out_string(of->answers[i].label));
    out_put(answer, "f32", out_string(of->answers[i].f32));
    out_put(answer, "int8", out_string(of->answers[i].int8));
    out_append(answers, answer);
  }
  return answers;
}

static void print_json(const tx_quantization *of, const char *out) {
  json_t *object = json_object();
  out_put(object, "accepted", json_boolean(of->accepted));
  out_put(object, "rows", json_integer(of->rows));
  out_put(object, "changed", json_integer(of->changed));
  out_put(object, "lost_points", out_real(of->lost));
  out_put(object, "f32", json_score(&of->f32));
  out_put(object, "int8", json_score(&of->int8));
  out_put(object, "f32_matrices", json_integer(of->f32_matrices));
  out_put(object, "answers", json_answers(of));
  out_put(object, "out", of->accepted ? out_string(out) : json_null());
  out_json(object, 15);
}

static void add_score(out_table *table, const char *name, const tx_precision_score *of) {
  char number[OUT_NUMBER];
  out_cell(table, name);
  out_cell(table, out_percent(of->accuracy, number));
  out_cell(table, out_decimal(of->nll, 4, number));
  out_cell(table, out_decimal(of->ece, 4, number));
  out_cell(table, out_decimal(of->texts_per_second, of->texts_per_second < 1000 ? 1 : 0, number));
  out_cell(table, out_size(of->bytes, number));
}

static void print_scores(const tx_quantization *of) {
  static const char *const heading[] = {"precision", "accuracy", "NLL",
                                        "ECE",       "texts/s",  "weights"};
  out_table table = out_table_make("lrrrrr", true);
  for (size_t i = 0; i < sizeof heading / sizeof *heading; i++) out_cell(&table, heading[i]);
  add_score(&table, "f32", &of->f32);
  add_score(&table, "int8", &of->int8);
  out_table_print(&table);
}

static void print_answers(const tx_quantization *of) {
  static const char *const heading[] = {"line", "label", "f32", "int8"};
  char number[OUT_NUMBER], rows[OUT_NUMBER];
  printf("\n%s of %s answer%s changed%s\n", out_grouped(of->changed, number),
         out_grouped(of->rows, rows), of->rows == 1 ? "" : "s", of->changed > 0 ? ":" : "");
  if (of->changed == 0) return;
  out_table table = out_table_make("rlll", true);
  table.fit = true;
  for (size_t i = 0; i < 4; i++) out_cell(&table, heading[i]);
  for (int64_t i = 0; i < of->changed && i < ANSWERS_SHOWN; i++) {
    out_cell(&table, out_grouped(of->answers[i].line, number));
    out_cell(&table, of->answers[i].label);
    out_cell(&table, of->answers[i].f32);
    out_cell(&table, of->answers[i].int8);
  }
  out_table_print(&table);
  if (of->changed > ANSWERS_SHOWN) {
    printf("and %s more (--json lists them)\n", out_grouped(of->changed - ANSWERS_SHOWN, number));
  }
}

static void print_verdict(const tx_quantization *of, double tolerance, const char *out) {
  double points = of->lost <= 0 && of->lost >= 0 ? 0 : -of->lost;
  if (of->accepted) {
    printf("\nAccepted: %+.2f points of accuracy, and %g may be lost; int8 is written to %s\n",
           points, tolerance, out);
  } else {
    printf(
        "\nNot accepted: %+.2f points of accuracy, and only %g may be lost; nothing is written\n",
        points, tolerance);
  }
}

/* ---- the verb ---------------------------------------------------------- */

static tx_quantize_options library_options(const quantize *state) {
  tx_quantize_options options = tx_quantize_defaults();
  options.home = state->common.home;
  options.model = state->model;
  options.head = state->head;
  options.data = state->data;
  if (state->text) options.table.text = state->text;
  if (state->label) options.table.label = state->label;
  options.table.format = options_format(state->format);
  options.out = state->out;
  options.tolerance = state->tolerance;
  return options;
}

static int run(const quantize *state, const command_line *line) {
  const char *classifier = line->arguments[0], *out = state->out ? state->out : classifier;
  tx_error error = {0};
  tx_quantization result = {0};
  progress bar;
  progress_begin(&bar, state->common.quiet);
  tx_watch watch = progress_watch(&bar);
  tx_status status = tx_quantize(classifier, library_options(state), &result, &watch, &error);
  progress_end(&bar);
  if (status != TX_OK) {
    return cli_fail(line->verb, &error, "nothing was written: run the same command again");
  }
  if (state->common.json) {
    print_json(&result, out);
  } else {
    print_scores(&result);
    print_answers(&result);
    print_verdict(&result, state->tolerance, out);
  }
  int end = result.accepted ? CLI_DONE : CLI_NO;
  tx_quantization_free(&result);
  return end;
}

int verb_quantize(int argc, char **argv) {
  quantize state = {.common = options_common_defaults(),
                    .tolerance = tx_quantize_defaults().tolerance};
  const option options[] = {
      {"data", OPTION_STRING, &state.data, "TABLE",
       "labelled texts that were not trained on: CSV, TSV or JSONL", .flags = OPTION_REQUIRED},
      {"tolerance", OPTION_REAL, &state.tolerance, "POINTS",
       "of accuracy, in points of a hundred, that may be lost", .high = 100},
      {"out", OPTION_STRING, &state.out, "FILE", "the classifier in int8",
       .zero = "in place of the one given"},
      {"text", OPTION_COLUMNS, &state.text, "COLUMN", "the text; several: A,B or given twice",
       .zero = "text"},
      {"label", OPTION_STRING, &state.label, "COLUMN", "the label", .zero = "label"},
      {"format", OPTION_CHOICE, &state.format, .help = "of the table", .choices = options_formats},
      {"head", OPTION_STRING, &state.head, "NAME",
       "of a classifier of several: whose labels the table has", .zero = "the first"},
      {"model", OPTION_STRING, &state.model, "NAME|FILE",
       "where the base model is; it must be the same file", .zero = "as the classifier names it"},
  };
  command_line line = {
      .verb = argv[0],
      .summary = "make a classifier faster in int8, if its answers bear it",
      .usage = "CLASSIFIER --data TABLE [options]",
      .about =
          "Answers the texts in f32 and in int8, says which answers change, and writes the "
          "classifier\nthat runs in int8 if the accuracy falls by no more than the tolerance.  "
          "Otherwise nothing is\nwritten and the exit status is 1.  The file appears whole or "
          "not at all.",
      .examples =
          "  taxon quantize my.taxon --data val.tsv\n"
          "  taxon quantize my.taxon --data val.tsv --tolerance 0.2 --out my-int8.taxon",
      .options = options,
      .option_count = sizeof options / sizeof options[0],
      .common = &state.common,
      .least = 1,
      .most = 1,
      .missing = "say which classifier (a file that `taxon train` wrote)"};
  int status;
  if (options_parse(&line, argc, argv, &status)) status = run(&state, &line);
  options_free(&line);
  return status;
}
