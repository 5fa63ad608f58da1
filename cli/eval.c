/* taxon eval: measures a classifier on labelled texts and says what the figures
 * can show, and what not. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chart.h"
#include "options.h"
#include "output.h"
#include "progress.h"

enum {
  MATRIX_LABELS = 12, /* beyond: the pairs most often confused */
  PAIRS_SHOWN = 20,
  LINES_SHOWN = 20,
  MOST_LINES = 1000, /* the library keeps no more */
};

typedef struct {
  cli_common common;
  const char *data, *label, *model, *head, *separator;
  char *text;
  int format;
  int64_t max_tokens;
  int precision; /* of tx_precision */
  bool apart;
} eval;

static size_t seen_lines(const tx_evaluation *of) {
  return (size_t)(of->seen_in_training < MOST_LINES ? of->seen_in_training : MOST_LINES);
}

/* ---- JSON -------------------------------------------------------------- */

static json_t *json_pair(double a, double b) {
  json_t *pair = json_array();
  out_append(pair, out_real(a));
  out_append(pair, out_real(b));
  return pair;
}

static json_t *json_labels(const tx_evaluation *of) {
  json_t *labels = json_array();
  for (size_t i = 0; i < of->label_count; i++) {
    const tx_label_score *score = &of->labels[i];
    json_t *label = json_object();
    out_put(label, "name", out_string(score->name));
    out_put(label, "precision", out_real(score->precision));
    out_put(label, "recall", out_real(score->recall));
    out_put(label, "f1", out_real(score->f1));
    out_put(label, "support", json_integer(score->support));
    out_put(label, "predicted", json_integer(score->predicted));
    out_append(labels, label);
  }
  return labels;
}

static json_t *json_confusion(const tx_evaluation *of) {
  json_t *rows = json_array();
  for (size_t i = 0; i < of->label_count; i++) {
    json_t *row = json_array();
    for (size_t j = 0; j < of->label_count; j++) {
      out_append(row, json_integer(of->confusion[i * of->label_count + j]));
    }
    out_append(rows, row);
  }
  return rows;
}

/* Every bin, so that the place says which; no answers have no means. */
static json_t *json_reliability(const tx_evaluation *of) {
  json_t *bins = json_array();
  for (size_t i = 0; i < TX_BINS; i++) {
    const tx_bin *from = &of->bins[i];
    json_t *bin = json_object();
    out_put(bin, "confidence", from->count > 0 ? out_real(from->confidence) : json_null());
    out_put(bin, "accuracy", from->count > 0 ? out_real(from->accuracy) : json_null());
    out_put(bin, "count", json_integer(from->count));
    out_append(bins, bin);
  }
  return bins;
}

static json_t *json_levels(const tx_evaluation *of) {
  json_t *levels = json_array();
  for (size_t i = 0; i < of->level_count; i++) {
    const tx_level_score *from = &of->levels[i];
    json_t *level = json_object();
    out_put(level, "level", json_integer((json_int_t)i + 1));
    out_put(level, "n", json_integer(from->n));
    out_put(level, "accuracy", from->n > 0 ? out_real(from->accuracy) : json_null());
    out_put(level, "accuracy_ci95",
            from->n > 0 ? json_pair(from->accuracy_lo, from->accuracy_hi) : json_null());
    out_append(levels, level);
  }
  return levels;
}

static json_t *json_hierarchical(const tx_evaluation *of) {
  json_t *scores = json_object();
  out_put(scores, "precision", out_real(of->hierarchical_precision));
  out_put(scores, "recall", out_real(of->hierarchical_recall));
  out_put(scores, "f1", out_real(of->hierarchical_f1));
  return scores;
}

static json_t *json_test(const tx_baseline_score *score) {
  json_t *test = json_object();
  out_put(test, "difference", out_real(score->difference));
  out_put(test, "difference_ci95", json_pair(score->difference_lo, score->difference_hi));
  out_put(test, "only_classifier_right", json_integer(score->only_classifier_right));
  out_put(test, "only_baseline_right", json_integer(score->only_baseline_right));
  out_put(test, "p_value", out_real(score->p_value));
  return test;
}

static json_t *json_seen(const tx_evaluation *of) {
  json_t *seen = json_object(), *lines = json_array();
  for (size_t i = 0; i < seen_lines(of); i++) out_append(lines, json_integer(of->seen_lines[i]));
  out_put(seen, "count", json_integer(of->seen_in_training));
  out_put(seen, "lines", lines);
  return seen;
}

static void print_json(const tx_evaluation *of) {
  json_t *object = json_object(), *baselines = json_object(), *tests = json_object();
  out_put(object, "n", json_integer(of->n));
  out_put(object, "precision", json_string(options_precisions[of->precision]));
  out_put(object, "accuracy", out_real(of->accuracy));
  out_put(object, "accuracy_ci95", json_pair(of->accuracy_lo, of->accuracy_hi));
  out_put(object, "macro_f1", out_real(of->macro_f1));
  if (of->multi_label) out_put(object, "micro_f1", out_real(of->micro_f1));
  out_put(object, "nll", out_real(of->nll));
  out_put(object, "brier", out_real(of->brier));
  out_put(object, "ece", out_real(of->ece));
  out_put(object, "reliability", json_reliability(of));
  out_put(object, "labels", json_labels(of));
  if (of->confusion) out_put(object, "confusion", json_confusion(of));
  if (of->level_count > 0) {
    out_put(object, "levels", json_levels(of));
    out_put(object, "hierarchical", json_hierarchical(of));
  }
  out_put(baselines, "majority", out_real(of->majority.accuracy));
  out_put(baselines, "linear", out_real(of->linear.accuracy));
  out_put(object, "baselines", baselines);
  out_put(tests, "majority", json_test(&of->majority));
  out_put(tests, "linear", json_test(&of->linear));
  out_put(object, "baseline_tests", tests);
  out_put(object, "seen_in_training", json_seen(of));
  out_put(object, "cut", json_integer(of->scored.cut));
  out_put(object, "seconds", out_real(of->seconds));
  out_put(object, "tokens", json_integer(of->scored.tokens));
  out_put(object, "texts_per_second", out_real(of->texts_per_second));
  out_put(object, "tokens_per_second", out_real(of->tokens_per_second));
  out_put(object, "peak_rss_bytes", json_integer(of->peak_rss_bytes));
  out_json(object, 15);
}

/* ---- for people -------------------------------------------------------- */

static void print_measures(const tx_evaluation *of) {
  char a[OUT_NUMBER], b[OUT_NUMBER], c[OUT_NUMBER], value[4 * OUT_NUMBER];
  out_table facts = out_table_make("ll", false);
  out_cell(&facts, of->multi_label ? "all labels right" : "accuracy");
  snprintf(value, sizeof value, "%s (95 %% interval %s to %s)", out_percent(of->accuracy, a),
           out_percent(of->accuracy_lo, b), out_percent(of->accuracy_hi, c));
  out_cell(&facts, value);
  out_cell(&facts, "texts");
  out_cell(&facts, out_grouped(of->n, a));
  out_cell(&facts, "macro F1");
  out_cell(&facts, out_decimal(of->macro_f1, 3, a));
  if (of->multi_label) {
    out_cell(&facts, "micro F1");
    out_cell(&facts, out_decimal(of->micro_f1, 3, a));
  }
  if (of->level_count > 0) {
    out_cell(&facts, "hierarchical F1");
    out_cell(&facts, out_decimal(of->hierarchical_f1, 3, a));
  }
  out_cell(&facts, "NLL");
  out_cell(&facts, out_decimal(of->nll, 3, a));
  out_cell(&facts, "Brier");
  out_cell(&facts, out_decimal(of->brier, 3, a));
  out_cell(&facts, "ECE");
  out_cell(&facts, out_decimal(of->ece, 3, a));
  out_table_print(&facts);
}

static void print_levels(const tx_evaluation *of) {
  static const char *const heading[] = {"level", "accuracy", "95 % interval", "texts"};
  char a[OUT_NUMBER], b[OUT_NUMBER], interval[2 * OUT_NUMBER + 8];
  out_table table = out_table_make("lrrr", true);
  for (size_t i = 0; i < 4; i++) out_cell(&table, heading[i]);
  for (size_t i = 0; i < of->level_count; i++) {
    const tx_level_score *level = &of->levels[i];
    out_cell(&table, out_grouped((int64_t)i + 1, a));
    out_cell(&table, level->n > 0 ? out_percent(level->accuracy, a) : "");
    snprintf(interval, sizeof interval, "%s to %s", out_percent(level->accuracy_lo, a),
             out_percent(level->accuracy_hi, b));
    out_cell(&table, level->n > 0 ? interval : "");
    out_cell(&table, out_grouped(level->n, a));
  }
  putchar('\n');
  out_table_print(&table);
}

static void print_labels(const tx_evaluation *of) {
  static const char *const heading[] = {"label", "precision", "recall", "F1", "texts", "answers"};
  char number[OUT_NUMBER];
  out_table table = out_table_make("lrrrrr", true);
  table.fit = true;
  for (size_t i = 0; i < 6; i++) out_cell(&table, heading[i]);
  for (size_t i = 0; i < of->label_count; i++) {
    const tx_label_score *score = &of->labels[i];
    out_cell(&table, score->name);
    out_cell(&table, out_decimal(score->precision, 3, number));
    out_cell(&table, out_decimal(score->recall, 3, number));
    out_cell(&table, out_decimal(score->f1, 3, number));
    out_cell(&table, out_grouped(score->support, number));
    out_cell(&table, out_grouped(score->predicted, number));
  }
  putchar('\n');
  out_table_print(&table);
}

/* Columns carry the labels' names, or their numbers where names are too wide. */
static out_table matrix(const tx_evaluation *of, const char *alignment, bool numbered) {
  char number[OUT_NUMBER], name[OUT_NUMBER + 1024];
  out_table table = out_table_make(alignment, true);
  table.fit = numbered;
  out_cell(&table, "true \\ answered");
  for (size_t j = 0; j < of->label_count; j++) {
    snprintf(number, sizeof number, "%zu", j + 1);
    out_cell(&table, numbered ? number : of->labels[j].name);
  }
  for (size_t i = 0; i < of->label_count; i++) {
    snprintf(name, sizeof name, "%zu %s", i + 1, of->labels[i].name);
    out_cell(&table, numbered ? name : of->labels[i].name);
    for (size_t j = 0; j < of->label_count; j++) {
      out_cell(&table, out_grouped(of->confusion[i * of->label_count + j], number));
    }
  }
  return table;
}

static void print_matrix(const tx_evaluation *of) {
  char alignment[MATRIX_LABELS + 2] = "l";
  memset(alignment + 1, 'r', of->label_count);
  alignment[of->label_count + 1] = '\0';
  out_table table = matrix(of, alignment, false);
  if (out_table_width(&table) > out_columns()) {
    out_table_free(&table);
    table = matrix(of, alignment, true);
  }
  putchar('\n');
  out_table_print(&table);
}

typedef struct {
  size_t label, answer;
  int64_t count;
} confused;

static int more_first(const void *a, const void *b) {
  const confused *x = a, *y = b;
  if (x->count != y->count) return x->count < y->count ? 1 : -1;
  if (x->label != y->label) return x->label > y->label ? 1 : -1;
  return x->answer > y->answer ? 1 : -1;
}

/* The pairs most often confused, where the matrix would be too large to read. */
static void print_pairs(const tx_evaluation *of) {
  size_t n = of->label_count, count = 0;
  confused *pairs = cli_array(n * n, sizeof *pairs);
  for (size_t i = 0; i < n * n; i++) {
    if (i / n != i % n && of->confusion[i] > 0) {
      pairs[count++] = (confused){i / n, i % n, of->confusion[i]};
    }
  }
  qsort(pairs, count, sizeof *pairs, more_first);
  out_table table = out_table_make("llr", true);
  table.fit = true;
  out_cell(&table, "true");
  out_cell(&table, "answered");
  out_cell(&table, "texts");
  for (size_t i = 0; i < count && i < PAIRS_SHOWN; i++) {
    char number[OUT_NUMBER];
    out_cell(&table, of->labels[pairs[i].label].name);
    out_cell(&table, of->labels[pairs[i].answer].name);
    out_cell(&table, out_grouped(pairs[i].count, number));
  }
  printf("\nMost often confused, of %zu pairs:\n", count);
  out_table_print(&table);
  free(pairs);
}

static void print_reliability(const tx_evaluation *of) {
  printf("\nHow sure the %s were, and how often right (equal where a bar ends at its |):\n",
         of->multi_label ? "decisions, one for each label," : "answers");
  chart_reliability(stdout, of->bins, TX_BINS);
}

static void add_baseline(out_table *table, const char *name, const tx_baseline_score *score) {
  char number[OUT_NUMBER], text[96];
  out_cell(table, name);
  out_cell(table, out_percent(score->accuracy, number));
  bool known = isfinite(score->difference) && isfinite(score->p_value);
  snprintf(text, sizeof text, known ? "%+.1f" : "-", 100 * score->difference);
  out_cell(table, text);
  snprintf(text, sizeof text, known ? "%+.1f to %+.1f" : "-", 100 * score->difference_lo,
           100 * score->difference_hi);
  out_cell(table, text);
  snprintf(text, sizeof text, known ? "%.2g" : "-", score->p_value);
  out_cell(table, text);
}

/* One sentence on what this test set shows. */
static void print_verdict(const tx_baseline_score *linear) {
  double points = 100 * linear->difference, p = linear->p_value;
  if (!isfinite(points) || !isfinite(p)) {
    puts("There is no linear baseline to compare with.");
  } else if (points > 0 && p < 0.05) {
    printf("The gain of %.1f points over the linear baseline is significant (p = %.2g).\n", points,
           p);
  } else if (points > 0) {
    printf(
        "The gain of %.1f points over the linear baseline is not larger than this test set can "
        "show (p = %.2g).\n",
        points, p);
  } else if (points < 0 && p < 0.05) {
    printf(
        "The classifier is worse than the linear baseline by %.1f points, significantly "
        "(p = %.2g).\n",
        -points, p);
  } else {
    printf("The classifier is not better than the linear baseline here (%+.1f points, p = %.2g).\n",
           points == 0 ? 0 : points, p);
  }
}

static void print_baselines(const tx_evaluation *of) {
  static const char *const heading[] = {"baseline", "accuracy", "points gained", "95 % interval",
                                        "p"};
  out_table table = out_table_make("lrrrr", true);
  for (size_t i = 0; i < 5; i++) out_cell(&table, heading[i]);
  add_baseline(&table, "linear", &of->linear);
  add_baseline(&table, "majority", &of->majority);
  putchar('\n');
  out_table_print(&table);
  print_verdict(&of->linear);
}

static void print_remarks(const tx_evaluation *of, const char *data) {
  char a[OUT_NUMBER], b[OUT_NUMBER];
  if (of->seen_in_training > 0) {
    size_t shown = seen_lines(of) < LINES_SHOWN ? seen_lines(of) : LINES_SHOWN;
    printf("\n%s of %s text%s %s in the training data too, which flatters the figures: %s line",
           out_grouped(of->seen_in_training, a), out_grouped(of->n, b), of->n == 1 ? "" : "s",
           of->seen_in_training == 1 ? "stands" : "stand", data);
    for (size_t i = 0; i < shown; i++) {
      printf("%s%" PRId64, i == 0 ? (of->seen_in_training > 1 ? "s " : " ") : ", ",
             of->seen_lines[i]);
    }
    if ((int64_t)shown < of->seen_in_training) {
      printf(" and %s more (--json lists them)",
             out_grouped(of->seen_in_training - (int64_t)shown, a));
    }
    putchar('\n');
  }
  if (of->scored.cut > 0) {
    const char *were = of->scored.cut == 1 ? "was" : "were";
    printf("\n%s of %s text%s %s too long and %s cut at the end\n", out_grouped(of->scored.cut, a),
           out_grouped(of->n, b), of->n == 1 ? "" : "s", were, were);
  }
}

static void print_speed(const tx_evaluation *of) {
  char a[OUT_NUMBER], b[OUT_NUMBER], c[OUT_NUMBER], d[OUT_NUMBER];
  printf("\n%s, %s texts/s, %s tokens/s, %s of memory%s\n", out_duration(of->seconds, a),
         of->texts_per_second < 1000 ? out_decimal(of->texts_per_second, 1, b)
                                     : out_grouped((int64_t)of->texts_per_second, b),
         out_grouped((int64_t)of->tokens_per_second, c), out_size(of->peak_rss_bytes, d),
         of->precision == TX_PRECISION_INT8 ? ", int8" : "");
}

static void print_evaluation(const tx_evaluation *of, const char *data) {
  print_measures(of);
  if (of->level_count > 0) print_levels(of);
  print_labels(of);
  if (of->confusion) (of->label_count <= MATRIX_LABELS ? print_matrix : print_pairs)(of);
  print_reliability(of);
  print_baselines(of);
  print_remarks(of, strcmp(data, "-") == 0 ? "standard input" : data);
  print_speed(of);
}

/* ---- the verb ---------------------------------------------------------- */

static tx_status evaluate(const eval *state, const char *artifact, tx_evaluation *evaluation,
                          tx_error *error) {
  tx_classifier_options options = tx_classifier_defaults();
  options.home = state->common.home;
  options.model = state->model;
  options.max_tokens = state->max_tokens;
  options.precision = (tx_precision)state->precision;
  options.adapters_apart = state->apart;
  options.head = state->head;
  tx_table_options table = tx_table_defaults();
  if (state->text) table.text = state->text;
  if (state->label) table.label = state->label;
  table.format = options_format(state->format);
  table.label_separator = state->separator;
  tx_classifier *classifier;
  tx_status status = tx_classifier_open(artifact, options, &classifier, error);
  if (status != TX_OK) return status;
  progress bar;
  progress_begin(&bar, state->common.quiet);
  tx_watch watch = progress_watch(&bar);
  status = tx_evaluate(classifier, state->data, table, evaluation, &watch, error);
  progress_end(&bar);
  tx_classifier_close(classifier);
  return status;
}

static int run(const eval *state, const command_line *line) {
  tx_error error = {0};
  tx_evaluation evaluation = {0};
  if (evaluate(state, line->arguments[0], &evaluation, &error) != TX_OK) {
    return cli_fail(line->verb, &error, "nothing was measured: run the same command again");
  }
  if (state->common.json) {
    print_json(&evaluation);
  } else {
    print_evaluation(&evaluation, state->data);
  }
  tx_evaluation_free(&evaluation);
  return CLI_DONE;
}

int verb_eval(int argc, char **argv) {
  eval state = {.common = options_common_defaults(), .precision = TX_PRECISION_AUTO};
  const option options[] = {
      {"data", OPTION_STRING, &state.data, "TABLE", "labelled texts: CSV, TSV or JSONL",
       .flags = OPTION_REQUIRED},
      {"text", OPTION_COLUMNS, &state.text, "COLUMN", "the text; several: A,B or given twice",
       .zero = "text"},
      {"label", OPTION_STRING, &state.label, "COLUMN", "the label", .zero = "label"},
      {"label-separator", OPTION_STRING, &state.separator, "C",
       "of a classifier of any number of labels: between the labels of a cell",
       .zero = "as in training"},
      {"format", OPTION_CHOICE, &state.format, .help = "of the table", .choices = options_formats},
      {"head", OPTION_STRING, &state.head, "NAME", "of a classifier of several: the one to measure",
       .zero = "the first"},
      {"model", OPTION_STRING, &state.model, "NAME|FILE",
       "where the base model is; it must be the same file", .zero = "as the classifier names it"},
      {"precision", OPTION_CHOICE, &state.precision,
       .help = "of the model's frozen blocks; auto: as the classifier says",
       .choices = options_precisions},
      {"adapters-apart", OPTION_FLAG, &state.apart,
       .help = "of --method lora: beside the model's matrices instead of added to them"},
      {"max-tokens", OPTION_INTEGER, &state.max_tokens, "N", "longer texts are cut at the end",
       .zero = "as in training", .least = 1, .most = INT32_MAX},
  };
  command_line line = {
      .verb = argv[0],
      .summary = "measure a classifier on labelled texts",
      .usage = "CLASSIFIER --data TABLE [options]",
      .about =
          "Prints the accuracy with its 95 % interval, macro F1, the quality of the "
          "probabilities\n(NLL, Brier, ECE), each label's precision and recall, what is "
          "confused with what, and\nwhether the gain over two baselines fitted on the same "
          "training texts is more than\nchance on these texts (McNemar's exact test).",
      .examples = "  taxon eval my.taxon --data test.tsv",
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
