/* taxon predict: classifies texts from the command line, from standard input or
 * from a table, in order and as they come, in bounded memory. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "heads.h"
#include "lines.h"
#include "options.h"
#include "output.h"
#include "progress.h"

enum { BATCH = 256, BATCH_BYTES = 1 << 18 };

typedef struct {
  command_line *line;
  const char *data, *id, *model;
  char *text;
  int format;
  int64_t max_tokens;
  int precision; /* of tx_precision */
  bool apart;
  double least; /* of labels that are paths: the answer's probability */
  /* The work: */
  tx_classifier *classifier;
  head *heads; /* (count) */
  size_t count;
  tx_scored scored;
  int64_t answered;
  int64_t odd_rows, odd_line; /* of a table: whose texts are not UTF-8; the first */
  bool terminal; /* answers are for a person */
  bool excerpts; /* show the text beside its label */
  progress progress;
} predict;

/* ---- answers ----------------------------------------------------------- */

static void print_json(const predict *state, size_t row, int64_t number, tx_text id) {
  json_t *object = json_object(), *heads = json_object();
  heads_put(object, &state->heads[0], row);
  for (size_t i = 0; i < state->count && state->heads[i].key; i++) {
    json_t *one = json_object();
    heads_put(one, &state->heads[i], row);
    out_put(heads, state->heads[i].key, one);
  }
  if (json_object_size(heads) > 0) {
    out_put(object, "heads", heads);
  } else {
    json_decref(heads);
  }
  const head *first = &state->heads[0];
  out_put(object, "abstain", json_boolean(first->hierarchy && first->sure == 0));
  if (id.data) {
    out_put(object, "id", out_text(id));
  } else {
    out_put(object, "row", json_integer(number));
  }
  out_json(object, 9);
}

static size_t widest_label(const head *of) {
  size_t widest = 0, most = out_columns() / 2;
  for (size_t i = 0; i < of->labels; i++) {
    size_t width = out_width(of->shown[i]);
    if (width > widest) widest = width;
  }
  return widest > most ? most : widest;
}

/* On a terminal: label and per cent of each head, and the beginning of the text. */
static void print_nicely(const predict *state, size_t row, tx_text text) {
  char share[OUT_NUMBER];
  size_t columns = out_columns(), used = 0;
  for (size_t i = 0; i < state->count; i++) {
    const head *of = &state->heads[i];
    size_t widest = widest_label(of);
    char *answer = heads_name(of, row), *label = out_cut(answer, widest);
    if (i > 0) fputs("  ", stdout);
    out_bold(label);
    printf("%*s  %7s", (int)(widest - out_width(label)), "",
           out_percent(heads_probability(of, row), share));
    free(label);
    free(answer);
    used += widest + 11;
  }
  if (state->excerpts && columns > used + 20) {
    tx_text start = {text.data, text.size < 4 * columns ? text.size : 4 * columns};
    char *visible = out_visible(start), *cut = out_cut(visible, columns - used);
    printf("  %s", cut);
    free(cut);
    free(visible);
  }
  putchar('\n');
}

static void print_answer(const predict *state, size_t row, int64_t number, tx_text text,
                         tx_text id) {
  for (size_t i = 0; i < state->count; i++) heads_find_path(&state->heads[i], row, state->least);
  if (state->line->common->json) {
    print_json(state, row, number, id);
  } else if (state->terminal) {
    print_nicely(state, row, text);
  } else {
    for (size_t i = 0; i < state->count; i++) {
      const head *of = &state->heads[i];
      char *named = heads_name(of, row);
      printf("%s%s\t%.6f", i == 0 ? "" : "\t", named, heads_probability(of, row));
      free(named);
    }
    putchar('\n');
  }
}

static int fail(const predict *state, const tx_error *error) {
  char resume[128], number[OUT_NUMBER];
  snprintf(resume, sizeof resume, "texts answered: %s; run it again on the others",
           out_grouped(state->answered, number));
  return cli_fail(state->line->verb, error, resume);
}

/* ids: (count), or NULL. */
static int answer(predict *state, const tx_text *texts, const tx_text *ids, size_t count) {
  tx_error error = {0};
  tx_scored scored = {0};
  tx_watch watch = progress_watch_quiet(&state->progress);
  float *probabilities[TX_MAX_HEADS];
  for (size_t i = 0; i < state->count; i++) probabilities[i] = state->heads[i].probabilities;
  if (tx_classifier_predict_heads(state->classifier, texts, count, probabilities, &scored, &watch,
                                  &error) != TX_OK) {
    return fail(state, &error);
  }
  for (size_t i = 0; i < count; i++) {
    print_answer(state, i, state->answered + 1 + (int64_t)i, texts[i],
                 ids ? ids[i] : (tx_text){NULL, 0});
  }
  state->answered += (int64_t)count;
  state->scored.texts += scored.texts;
  state->scored.cut += scored.cut;
  if (!state->terminal) progress_report(&state->progress, "predict", state->answered, 0, "texts");
  return out_flush(state->line->verb);
}

/* ---- where texts come from --------------------------------------------- */

/* Whoever names a file (by something that is no word) means what is in it. */
static void note_file_names(predict *state) {
  for (size_t i = 1; i < state->line->argument_count; i++) {
    const char *text = state->line->arguments[i];
    if (!strpbrk(text, "./") || access(text, F_OK) != 0) continue;
    progress_note(&state->progress,
                  "'%s' is taken as a text, but a file has that name: to classify what is in it, "
                  "give a table as --data TABLE, or a text a line as: - < FILE",
                  text);
    return;
  }
}

static int answer_arguments(predict *state) {
  note_file_names(state);
  tx_text texts[BATCH];
  size_t total = state->line->argument_count;
  int status = CLI_DONE;
  for (size_t at = 1; at < total && status == CLI_DONE;) {
    size_t count = 0;
    while (count < BATCH && at < total) texts[count++] = tx_text_of(state->line->arguments[at++]);
    status = answer(state, texts, NULL, count);
  }
  return status;
}

static int answer_lines(predict *state) {
  tx_text texts[BATCH];
  lines input = lines_open(STDIN_FILENO);
  int status = CLI_DONE;
  for (size_t count = 1; count > 0 && status == CLI_DONE;) {
    int failure = lines_batch(&input, texts, BATCH, BATCH_BYTES, &count);
    if (count > 0) status = answer(state, texts, NULL, count);
    if (failure && status == CLI_DONE) {
      status =
          cli_system_error(state->line->verb, "cannot read standard input: %s", strerror(failure));
    }
  }
  lines_close(&input);
  return status;
}

/* Rows of a table, copied because a row is valid only until the next. */
typedef struct {
  tx_text texts[BATCH], ids[BATCH];
  size_t count, bytes;
} row_batch;

static tx_text copy_text(tx_text text) {
  return (tx_text){text.data ? cli_copy(text.data, text.size) : NULL, text.size};
}

static void free_rows(row_batch *batch) {
  for (size_t i = 0; i < batch->count; i++) {
    free((void *)(uintptr_t)batch->texts[i].data);
    free((void *)(uintptr_t)batch->ids[i].data);
  }
  batch->count = batch->bytes = 0;
}

static tx_status read_rows(predict *state, tx_table *table, row_batch *batch, bool *more,
                           tx_error *error) {
  *more = true;
  while (*more && batch->count < BATCH && batch->bytes < BATCH_BYTES) {
    tx_row row;
    tx_status status = tx_table_next(table, &row, more, error);
    if (status != TX_OK) return status;
    if (!*more) break;
    if (row.odd && state->odd_rows++ == 0) state->odd_line = row.line;
    batch->texts[batch->count] = copy_text(row.text);
    batch->ids[batch->count++] = copy_text(row.id);
    batch->bytes += row.text.size + row.id.size;
  }
  return TX_OK;
}

/* As train and eval say it. */
static void note_odd_rows(predict *state) {
  if (state->odd_rows == 0) return;
  bool one = state->odd_rows == 1;
  progress_note(&state->progress,
                "%s: %" PRId64 " row%s NUL or bytes that are not UTF-8, %s line %" PRId64
                "; taken as %s, but is the file saved as UTF-8?",
                strcmp(state->data, "-") == 0 ? "standard input" : state->data, state->odd_rows,
                one ? " holds" : "s hold", one ? "in" : "the first in", state->odd_line,
                one ? "it is" : "they are");
}

static int answer_table(predict *state) {
  tx_table_options options = tx_table_defaults();
  options.label = NULL;
  if (state->text) options.text = state->text;
  options.id = state->id;
  options.format = options_format(state->format);
  tx_error error = {0};
  tx_table *table;
  if (tx_table_open(state->data, options, &table, &error) != TX_OK) return fail(state, &error);
  row_batch *batch = cli_array(1, sizeof *batch);
  int status = CLI_DONE;
  for (bool more = true; more && status == CLI_DONE;) {
    tx_status read = read_rows(state, table, batch, &more, &error);
    if (progress_interrupted()) error.status = read = TX_ERROR_INTERRUPTED;
    /* Rows before a damaged one are answered. */
    if (batch->count > 0 && read != TX_ERROR_INTERRUPTED) {
      status = answer(state, batch->texts, batch->ids, batch->count);
    }
    if (read != TX_OK && status == CLI_DONE) status = fail(state, &error);
    free_rows(batch);
  }
  free(batch);
  tx_table_close(table);
  note_odd_rows(state);
  return status;
}

/* ---- the verb ---------------------------------------------------------- */

static bool reads_lines(const predict *state) {
  return state->line->argument_count == 2 && strcmp(state->line->arguments[1], "-") == 0;
}

/* What cannot be meant. */
static int check(const predict *state) {
  const command_line *line = state->line;
  bool texts = line->argument_count > 1;
  if (state->data && texts) {
    return cli_usage_error(line->verb, "texts come from --data or from the command line, not both");
  }
  if (!state->data && !texts) {
    return cli_usage_error(line->verb,
                           "give texts, or - to read them from standard input, or --data TABLE");
  }
  if (!state->data && (state->text || state->id || state->format)) {
    return cli_usage_error(line->verb, "--text, --id and --format describe the table of --data");
  }
  for (size_t i = 1; line->argument_count > 2 && i < line->argument_count; i++) {
    if (strcmp(line->arguments[i], "-") == 0) {
      return cli_usage_error(line->verb,
                             "- stands alone: texts come from standard input or from "
                             "the command line, not both");
    }
  }
  return CLI_DONE;
}

static int run(predict *state) {
  const cli_common *common = state->line->common;
  tx_classifier_options options = tx_classifier_defaults();
  options.home = common->home;
  options.model = state->model;
  options.max_tokens = state->max_tokens;
  options.precision = (tx_precision)state->precision;
  options.adapters_apart = state->apart;
  tx_error error = {0};
  if (tx_classifier_open(state->line->arguments[0], options, &state->classifier, &error) != TX_OK) {
    return cli_fail(state->line->verb, &error, "run the same command again");
  }
  if (heads_open(state->classifier, BATCH, &state->heads, &state->count, &error) != TX_OK) {
    heads_close(state->heads, state->count);
    tx_classifier_close(state->classifier);
    return cli_fail(state->line->verb, &error, "run the same command again");
  }
  state->terminal = out_terminal();
  state->excerpts = !(reads_lines(state) && isatty(STDIN_FILENO));
  progress_begin(&state->progress, common->quiet);
  int status = state->data          ? answer_table(state)
               : reads_lines(state) ? answer_lines(state)
                                    : answer_arguments(state);
  progress_end(&state->progress);
  if (status == CLI_DONE && progress_interrupted()) {
    error.status = TX_ERROR_INTERRUPTED;
    status = fail(state, &error);
  }
  if (state->scored.cut > 0) {
    const char *were = state->scored.cut == 1 ? "was" : "were";
    progress_note(&state->progress,
                  "%" PRId64 " of %" PRId64 " text%s %s longer than the classifier reads and %s "
                  "cut at the end",
                  state->scored.cut, state->answered, state->answered == 1 ? "" : "s", were, were);
  }
  heads_close(state->heads, state->count);
  tx_classifier_close(state->classifier);
  return status;
}

int verb_predict(int argc, char **argv) {
  cli_common common = options_common_defaults();
  predict *state = cli_array(1, sizeof *state);
  state->precision = TX_PRECISION_AUTO;
  state->least = 0.5;
  const option options[] = {
      {"data", OPTION_STRING, &state->data, "TABLE",
       "classify the rows of a CSV, TSV or JSONL table; - is standard input", .zero = NULL},
      {"text", OPTION_COLUMNS, &state->text, "COLUMN",
       "of the table: the text; several: A,B or given twice", .zero = "text"},
      {"id", OPTION_STRING, &state->id, "COLUMN", "of the table: names the row in JSON",
       .zero = "id where there is one"},
      {"format", OPTION_CHOICE, &state->format, .help = "of the table", .choices = options_formats},
      {"min-probability", OPTION_REAL, &state->least, "X",
       "of a classifier of paths: the answer is the deepest node that has it", .high = 1},
      {"model", OPTION_STRING, &state->model, "NAME|FILE",
       "where the base model is; it must be the same file", .zero = "as the classifier names it"},
      {"precision", OPTION_CHOICE, &state->precision,
       .help = "of the model's frozen blocks; auto: as the classifier says",
       .choices = options_precisions},
      {"adapters-apart", OPTION_FLAG, &state->apart,
       .help = "of --method lora: beside the model's matrices instead of added to them"},
      {"max-tokens", OPTION_INTEGER, &state->max_tokens, "N", "longer texts are cut at the end",
       .zero = "as in training", .least = 1, .most = INT32_MAX},
  };
  command_line line = {
      .verb = argv[0],
      .summary = "classify texts",
      .usage =
          "CLASSIFIER TEXT... [options]\n"
          "CLASSIFIER - [options]             (one text a line on standard input)\n"
          "CLASSIFIER --data TABLE [options]",
      .about =
          "One line for each text, in order: the label, a tab and its probability (a tab, "
          "newline\nor control character in a label as \\t, \\n, \\xNN); on a terminal the label, "
          "per cent and\nthe text's beginning.  --json prints an object a line: label, "
          "probability,\nprobabilities by label, abstain, and id (of a table that has one) or row "
          "(from 1).\nAn empty line is an empty text and is answered too.\n\n"
          "A classifier of several heads (taxon train --head) answers all of them: label and "
          "probability\nof each stand beside each other, in the order of training; in JSON "
          "`heads` has the answer of\neach by name, and the other keys are the first one's.\n\n"
          "Where any number of labels hold (taxon train --multi-label) the label is those of "
          "probability 0.5\nand more, joined, maybe none, and the probability that they are the "
          "very ones if each is\nindependent; in JSON `labels` is a list of them.  Where labels "
          "are paths (--hierarchical) it is\nthe deepest node that has --min-probability, maybe "
          "none, and `path` in JSON has each level.",
      .examples =
          "  taxon predict my.taxon \"It broke within a week.\"\n"
          "  cat messages.txt | taxon predict my.taxon - --json",
      .options = options,
      .option_count = sizeof options / sizeof options[0],
      .common = &common,
      .least = 1,
      .most = SIZE_MAX,
      .missing = "say which classifier (a file that `taxon train` wrote), and the texts"};
  state->line = &line;
  int status;
  if (options_parse(&line, argc, argv, &status)) {
    status = check(state);
    if (status == CLI_DONE) status = run(state);
  }
  options_free(&line);
  free(state);
  return status;
}
