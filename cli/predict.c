/* taxon predict: classifies texts from the command line, from standard input or
 * from a table, in order and as they come, in bounded memory. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lines.h"
#include "options.h"
#include "output.h"
#include "progress.h"

enum { BATCH = 256, BATCH_BYTES = 1 << 18 };

typedef struct {
  char *key; /* its name, for JSON; NULL: unnamed, the only one */
  size_t labels;
  char **keys, **shown; /* (labels): for JSON, for people */
  float *probabilities; /* (BATCH, labels) */
  bool multi_label;
  char separator; /* of multi_label: between the labels of an answer */
  tx_hierarchy *hierarchy; /* of labels that are paths; else NULL */
  tx_path_step *steps;     /* (its levels): of the row being answered */
  size_t reached, sure;    /* how many of them; how many probable enough to be answered */
} head;

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

static size_t best_of(const head *of, size_t row) {
  const float *p = of->probabilities + row * of->labels;
  size_t best = 0;
  for (size_t i = 1; i < of->labels; i++) {
    if (p[i] > p[best]) best = i;
  }
  return best;
}

/* Of the label; of any number of them that all are as answered, each for itself; of a path that
 * of the node answered, or where none is of the first one. */
static double probability_of(const head *of, size_t row) {
  if (of->hierarchy) return of->steps[of->sure > 0 ? of->sure - 1 : 0].probability;
  if (of->multi_label) {
    const float *p = of->probabilities + row * of->labels;
    double all = 1;
    for (size_t i = 0; i < of->labels; i++) all *= (double)(p[i] >= 0.5f ? p[i] : 1 - p[i]);
    return all;
  }
  return (double)of->probabilities[row * of->labels + best_of(of, row)];
}

/* The path of a row, where labels are paths, and how much of it is answered. */
static void find_path(const predict *state, head *of, size_t row) {
  if (!of->hierarchy) return;
  of->reached = tx_hierarchy_path(of->hierarchy, of->probabilities + row * of->labels, of->steps);
  of->sure = 0;
  while (of->sure < of->reached && of->steps[of->sure].probability >= state->least) of->sure++;
}

/* Of any number of labels: those that hold, joined; new. */
static char *join_labels(const head *of, size_t row, char *const *names) {
  const float *p = of->probabilities + row * of->labels;
  size_t size = 1, used = 0;
  for (size_t i = 0; i < of->labels; i++) size += strlen(names[i]) + 1;
  char *joined = cli_array(size, 1);
  for (size_t i = 0; i < of->labels; i++) {
    if (p[i] < 0.5f) continue;
    if (used > 0) joined[used++] = of->separator;
    size_t length = strlen(names[i]);
    memcpy(joined + used, names[i], length);
    used += length;
  }
  return joined;
}

/* The answer, for people and for scripts; new. */
static char *name_answer(const head *of, size_t row) {
  if (of->multi_label) return join_labels(of, row, of->shown);
  if (of->hierarchy) return out_visible(tx_text_of(of->sure > 0 ? of->steps[of->sure - 1].node : ""));
  const char *shown = of->shown[best_of(of, row)];
  return cli_copy(shown, strlen(shown));
}

static void put_labels(json_t *object, const head *of, size_t row) {
  const float *p = of->probabilities + row * of->labels;
  json_t *labels = json_array();
  for (size_t i = 0; i < of->labels; i++) {
    if (p[i] >= 0.5f) out_append(labels, json_string(of->keys[i]));
  }
  char *joined = join_labels(of, row, of->keys);
  out_put(object, "label", json_array_size(labels) > 0 ? json_string(joined) : json_null());
  out_put(object, "labels", labels);
  free(joined);
}

static void put_path(json_t *object, const head *of) {
  json_t *path = json_array();
  for (size_t i = 0; i < of->reached; i++) {
    json_t *step = json_object();
    out_put(step, "node", out_string(of->steps[i].node));
    out_put(step, "probability", out_real(of->steps[i].probability));
    out_append(path, step);
  }
  out_put(object, "label", of->sure > 0 ? out_string(of->steps[of->sure - 1].node) : json_null());
  out_put(object, "path", path);
}

static void put_answer(json_t *object, const head *of, size_t row) {
  const float *p = of->probabilities + row * of->labels;
  json_t *all = json_object();
  for (size_t i = 0; i < of->labels; i++) out_put(all, of->keys[i], out_real(p[i]));
  if (of->multi_label) {
    put_labels(object, of, row);
  } else if (of->hierarchy) {
    put_path(object, of);
  } else {
    out_put(object, "label", json_string(of->keys[best_of(of, row)]));
  }
  out_put(object, "probability", out_real(probability_of(of, row)));
  out_put(object, "probabilities", all);
}

static void print_json(const predict *state, size_t row, int64_t number, tx_text id) {
  json_t *object = json_object(), *heads = json_object();
  put_answer(object, &state->heads[0], row);
  for (size_t i = 0; i < state->count && state->heads[i].key; i++) {
    json_t *one = json_object();
    put_answer(one, &state->heads[i], row);
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
    char *answer = name_answer(of, row), *label = out_cut(answer, widest);
    if (i > 0) fputs("  ", stdout);
    out_bold(label);
    printf("%*s  %7s", (int)(widest - out_width(label)), "",
           out_percent(probability_of(of, row), share));
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
  for (size_t i = 0; i < state->count; i++) find_path(state, &state->heads[i], row);
  if (state->line->common->json) {
    print_json(state, row, number, id);
  } else if (state->terminal) {
    print_nicely(state, row, text);
  } else {
    for (size_t i = 0; i < state->count; i++) {
      const head *of = &state->heads[i];
      char *named = name_answer(of, row);
      printf("%s%s\t%.6f", i == 0 ? "" : "\t", named, probability_of(of, row));
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

static char *key_of(tx_text text) {
  json_t *json = out_text(text);
  if (!json) cli_out_of_memory();
  char *key = cli_copy(json_string_value(json), json_string_length(json));
  json_decref(json);
  return key;
}

/* Labels and names come from a file: for JSON keys and for one-line output they
 * are made harmless once. */
static tx_status prepare_heads(predict *state, tx_error *error) {
  const tx_classifier *c = state->classifier;
  state->count = tx_classifier_heads(c);
  state->heads = cli_array(state->count, sizeof *state->heads);
  for (size_t h = 0; h < state->count; h++) {
    head *of = &state->heads[h];
    tx_text name = tx_text_of(tx_classifier_head(c, h));
    of->key = name.size > 0 ? key_of(name) : NULL;
    of->labels = tx_classifier_head_count(c, h);
    tx_status status = tx_classifier_head_hierarchy(c, h, &of->hierarchy, error);
    if (status != TX_OK) return status;
    if (of->hierarchy) of->steps = cli_array(tx_hierarchy_levels(of->hierarchy), sizeof *of->steps);
    of->multi_label = tx_classifier_head_multi_label(c, h);
    of->separator = tx_classifier_head_separator(c, h);
    of->keys = cli_array(of->labels, sizeof *of->keys);
    of->shown = cli_array(of->labels, sizeof *of->shown);
    of->probabilities = cli_array(BATCH * of->labels, sizeof *of->probabilities);
    for (size_t i = 0; i < of->labels; i++) {
      tx_text label = tx_text_of(tx_classifier_head_label(c, h, i));
      of->keys[i] = key_of(label);
      of->shown[i] = out_visible(label);
    }
  }
  return TX_OK;
}

static void free_heads(predict *state) {
  for (size_t h = 0; h < state->count; h++) {
    head *of = &state->heads[h];
    for (size_t i = 0; of->keys && i < of->labels; i++) {
      free(of->keys[i]);
      free(of->shown[i]);
    }
    free(of->keys);
    free(of->shown);
    free(of->probabilities);
    free(of->key);
    free(of->steps);
    tx_hierarchy_free(of->hierarchy);
  }
  free(state->heads);
}

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
  if (prepare_heads(state, &error) != TX_OK) {
    free_heads(state);
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
  free_heads(state);
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
