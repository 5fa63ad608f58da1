/* taxon ablate: the book's table of additional experiments, trained, measured and compared. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "facts.h"
#include "options.h"
#include "output.h"
#include "progress.h"

typedef struct {
  cli_common common;
  const char *model, *data, *out, *label, *rows;
  char *text;
  option_list models;
  int64_t seeds, epochs, batch, context, cache_mb;
  double learning_rate;
  int chosen[TX_ABLATION_ROWS], chosen_seeds[TX_ABLATION_ROWS]; /* (chosen_count) */
  size_t chosen_count;
} ablate;

static ablate ablate_defaults(void) {
  tx_ablation_options from = tx_ablation_defaults();
  return (ablate){.common = options_common_defaults(),
                  .seeds = from.seeds,
                  .epochs = from.epochs,
                  .batch = from.batch,
                  .context = from.context,
                  .cache_mb = from.cache_mb,
                  .learning_rate = from.learning_rate};
}

/* Each row once; the seeds that were said last count. */
static void choose(ablate *state, long row, long seeds) {
  size_t at = 0;
  while (at < state->chosen_count && state->chosen[at] != row) at++;
  if (at == state->chosen_count) state->chosen_count++;
  state->chosen[at] = (int)row, state->chosen_seeds[at] = (int)seeds;
}

/* A number, its end in *at; false: there is none from `least` to `most`. */
static bool read_number(const char **at, long least, long most, long *number) {
  char *end;
  *number = strtol(*at, &end, 10);
  bool good = end != *at && **at >= '0' && **at <= '9' && *number >= least && *number <= most;
  *at = end;
  return good;
}

/* "1,4,11", "1-5,11", "1-4,5:1": rows, and behind a colon how many seeds of them. */
static bool read_rows(ablate *state) {
  const char *at = state->rows;
  while (at) {
    long first, last, seeds = 0;
    if (!read_number(&at, 1, TX_ABLATION_ROWS, &first)) return false;
    last = first;
    if (*at == '-' && (at++, !read_number(&at, first, TX_ABLATION_ROWS, &last))) return false;
    if (*at == ':' && (at++, !read_number(&at, 1, 100, &seeds))) return false;
    for (long row = first; row <= last; row++) choose(state, row, seeds);
    if (!*at) return true;
    if (*at++ != ',') return false;
  }
  return true;
}

static tx_ablation_options library_options(const ablate *state) {
  tx_ablation_options to = tx_ablation_defaults();
  to.home = state->common.home;
  to.model = state->model;
  to.models = state->models.items;
  to.model_count = state->models.count;
  to.data = state->data;
  if (state->text) to.table.text = state->text;
  if (state->label) to.table.label = state->label;
  to.out = state->out;
  to.rows = state->chosen;
  to.row_seeds = state->chosen_seeds;
  to.row_count = state->chosen_count;
  to.seeds = (int)state->seeds;
  to.epochs = (int)state->epochs;
  to.batch = (int)state->batch;
  to.learning_rate = state->learning_rate;
  to.context = state->context;
  to.cache_mb = state->cache_mb;
  to.seed = (uint64_t)state->common.seed;
  return to;
}

static int print_json(const command_line *line, const ablate *state, const char *json) {
  json_t *object = json_loads(json, 0, NULL);
  if (!object) return cli_system_error(line->verb, "the library's report is no JSON");
  out_put(object, "out", out_string(state->out));
  out_json(object, 15);
  return CLI_DONE;
}

static int run(ablate *state, const command_line *line) {
  if (!read_rows(state)) {
    return cli_usage_error(
        line->verb,
        "--rows must be numbers from 1 to %d like 1,4,11 or 1-5, with seeds 5:1, "
        "not '%s'",
        TX_ABLATION_ROWS, state->rows);
  }
  tx_ablation_options options = library_options(state);
  tx_ablation_report report = {0};
  tx_error error = {0};
  progress bar;
  progress_begin(&bar, state->common.quiet);
  tx_watch watch = progress_watch(&bar);
  tx_status status = tx_ablate(&options, &report, &watch, &error);
  progress_end(&bar);
  if (status != TX_OK) {
    return cli_fail(
        line->verb, &error,
        "the trainings that were measured are kept: run the same command again to go on");
  }
  int ended = CLI_DONE;
  if (state->common.json) {
    ended = print_json(line, state, report.json);
  } else {
    char *visible = out_visible(tx_text_of(state->out));
    fputs(report.text, stdout);
    printf("\nwritten to %s: index.html, report.txt, report.json\n", visible);
    free(visible);
  }
  tx_ablation_report_free(&report);
  return ended;
}

int verb_ablate(int argc, char **argv) {
  ablate state = ablate_defaults();
  const option options[] = {
      {"model", OPTION_STRING, &state.model, "NAME|FILE", "the base model",
       .flags = OPTION_REQUIRED},
      {"data", OPTION_STRING, &state.data, "DIR",
       "a directory with train.tsv, val.tsv and test.tsv", .flags = OPTION_REQUIRED},
      {"out", OPTION_STRING, &state.out, "DIR",
       "the report; and the trainings that are done, with which a later call goes on",
       .flags = OPTION_REQUIRED},
      {"rows", OPTION_STRING, &state.rows, "LIST",
       "of the table: 1,4,11 or 1-5; 5:1 is row 5 with one seed", .zero = "all"},
      {"seeds", OPTION_INTEGER, &state.seeds, "N", "trainings of each row, from --seed upwards",
       .least = 1, .most = 100},
      {"models", OPTION_LIST, &state.models, "NAME|FILE",
       "given for each of the larger models of rows 6 to 9 and 12",
       .zero = "the pulled ones that are larger"},
      {"text", OPTION_COLUMNS, &state.text, "COLUMN", "the text; several: A,B or given twice",
       .zero = "text"},
      {"label", OPTION_STRING, &state.label, "COLUMN", "the label", .zero = "label"},
      {.type = OPTION_HEADING, .help = "The recipe of every row"},
      {"epochs", OPTION_INTEGER, &state.epochs, "N", "passes over the training texts", .least = 1,
       .most = 100000},
      {"batch", OPTION_INTEGER, &state.batch, "N", "texts a step", .least = 1, .most = 65536},
      {"lr", OPTION_REAL, &state.learning_rate, "X", "learning rate", .above = true, .high = 10},
      {"context", OPTION_INTEGER, &state.context, "N",
       "tokens that row 13 pads to; the model's context where that is less", .least = 1,
       .most = INT32_MAX},
      {"cache-mb", OPTION_INTEGER, &state.cache_mb, "N",
       "of the model's states, kept in the home for later trainings; and in memory",
       .most = 1 << 24},
  };
  command_line line = {
      .verb = argv[0],
      .summary = "repeat the book's table of experiments",
      .usage = "--model NAME|FILE --data DIR --out DIR [options]",
      .about =
          "The nineteen rows of the additional experiments of chapter 6 of \"Build a Large "
          "Language\nModel (From Scratch)\": which token is pooled, what is trained, padding, "
          "random weights,\nlarger models.  Each training is kept as soon as it is measured: the "
          "same command goes\non where it was stopped, and may ask for more rows or seeds.",
      .examples =
          "  taxon ablate --model smollm2-135m --data DIR --out report\n"
          "  taxon ablate --model smollm2-135m --data DIR --out report --rows 1-4,16 --seeds 1",
      .options = options,
      .option_count = sizeof options / sizeof options[0],
      .common = &state.common};
  int status;
  if (options_parse(&line, argc, argv, &status)) status = run(&state, &line);
  options_free(&line);
  return status;
}
