/* The report of a training, as tables and as JSON. */
#include "train_print.h"

#include <inttypes.h>
#include <stdio.h>

#include "facts.h"
#include "options.h"

const char *const train_methods[] = {"head", "last-block", "auto", "norms", "lora", "full", NULL};
const char *const train_poolings[] = {"last", "mean", "first", "both", "attention", "auto", NULL};

/* ---- JSON -------------------------------------------------------------- */

static json_t *json_validation(const tx_head_report *of, bool multi_label) {
  json_t *validation = json_object(), *interval = json_array();
  out_append(interval, out_real(of->val_lo));
  out_append(interval, out_real(of->val_hi));
  out_put(validation, "accuracy", out_real(of->val_accuracy));
  out_put(validation, "accuracy_ci95", interval);
  out_put(validation, "macro_f1", out_real(of->val_macro_f1));
  if (multi_label) out_put(validation, "micro_f1", out_real(of->val_micro_f1));
  out_put(validation, "nll", out_real(of->val_nll));
  return validation;
}

static json_t *json_baselines(const tx_head_report *of) {
  json_t *baselines = json_object();
  out_put(baselines, "majority", out_real(of->majority_accuracy));
  out_put(baselines, "linear", out_real(of->linear_accuracy));
  return baselines;
}

static json_t *json_spread(const tx_spread *of) {
  json_t *spread = json_object();
  out_put(spread, "mean", out_real(of->mean));
  out_put(spread, "deviation", out_real(of->deviation));
  out_put(spread, "low", out_real(of->low));
  out_put(spread, "high", out_real(of->high));
  return spread;
}

static json_t *json_seeds(const tx_train_report *report) {
  json_t *seeds = json_array();
  for (size_t i = 0; i < report->seed_count; i++) {
    json_t *seed = json_object();
    out_put(seed, "seed", json_integer((json_int_t)report->seeds[i].seed));
    out_put(seed, "accuracy", out_real(report->seeds[i].accuracy));
    out_put(seed, "nll", out_real(report->seeds[i].nll));
    out_append(seeds, seed);
  }
  return seeds;
}

static json_t *json_folds(const tx_cross_validation *of, bool multi_label) {
  json_t *folds = json_object(), *interval = json_array();
  out_append(interval, out_real(of->lo));
  out_append(interval, out_real(of->hi));
  out_put(folds, "folds", json_integer(of->folds));
  out_put(folds, "rows", json_integer(of->rows));
  out_put(folds, "accuracy", out_real(of->accuracy));
  out_put(folds, "accuracy_ci95", interval);
  out_put(folds, "macro_f1", out_real(of->macro_f1));
  if (multi_label) out_put(folds, "micro_f1", out_real(of->micro_f1));
  out_put(folds, "nll", out_real(of->nll));
  out_put(folds, "linear", out_real(of->linear_accuracy));
  return folds;
}

static json_t *json_heads(const train_result *result, const tx_train_report *report) {
  json_t *heads = json_array();
  for (size_t i = 0; i < report->head_count; i++) {
    const tx_head_report *of = &report->heads[i];
    json_t *head = json_object();
    out_put(head, "name", out_string(of->name));
    out_put(head, "depth", json_integer(of->depth));
    out_put(head, "pooling", json_string(train_poolings[of->pooling]));
    out_put(head, "train_rows", json_integer(of->train_rows));
    out_put(head, "val_rows", json_integer(of->val_rows));
    out_put(head, "penalty", out_real(of->penalty));
    out_put(head, "validation", json_validation(of, result->multi_label));
    out_put(head, "baselines", json_baselines(of));
    out_append(heads, head);
  }
  return heads;
}

/* The scores of the classifier as those of a head. */
static tx_head_report scores_of(const tx_train_report *report) {
  return (tx_head_report){.val_accuracy = report->val_accuracy,
                          .val_lo = report->val_lo,
                          .val_hi = report->val_hi,
                          .val_macro_f1 = report->val_macro_f1,
                          .val_micro_f1 = report->val_micro_f1,
                          .val_nll = report->val_nll,
                          .majority_accuracy = report->majority_accuracy,
                          .linear_accuracy = report->linear_accuracy};
}

void train_print_json(const train_result *result, const tx_train_report *report) {
  json_t *object = json_object();
  const tx_head_report scores = scores_of(report);
  out_put(object, "out", out_string(result->out));
  out_put(object, "method", json_string(train_methods[report->method]));
  out_put(object, "pooling", json_string(train_poolings[report->pooling]));
  out_put(object, "depth", json_integer(report->depth));
  out_put(object, "precision", json_string(options_precisions[report->precision]));
  out_put(object, "epochs", json_integer(report->epochs));
  out_put(object, "best_epoch", json_integer(report->best_epoch));
  out_put(object, "labels", json_integer(report->labels));
  out_put(object, "train_rows", json_integer(report->train_rows));
  out_put(object, "val_rows", json_integer(report->val_rows));
  out_put(object, "tokens", json_integer(report->tokens));
  out_put(object, "cut", json_integer(report->cut));
  out_put(object, "trained_parameters", json_integer(report->trained_parameters));
  out_put(object, "cached_texts", json_integer(report->cached_texts));
  out_put(object, "penalty", out_real(report->penalty));
  out_put(object, "learning_rate", out_real(report->learning_rate));
  out_put(object, "seconds", out_real(report->seconds));
  out_put(object, "trunk_seconds", out_real(report->trunk_seconds));
  out_put(object, "peak_rss_bytes", json_integer(report->peak_rss_bytes));
  out_put(object, "validation", json_validation(&scores, result->multi_label));
  out_put(object, "baselines", json_baselines(&scores));
  if (report->seed_count > 1) {
    json_t *spread = json_object();
    out_put(spread, "accuracy", json_spread(&report->seed_accuracy));
    out_put(spread, "nll", json_spread(&report->seed_nll));
    out_put(object, "seeds", json_seeds(report));
    out_put(object, "seed_spread", spread);
  }
  if (report->cross_validation.folds > 0) {
    out_put(object, "cross_validation", json_folds(&report->cross_validation, result->multi_label));
  }
  if (report->head_count > 0) out_put(object, "heads", json_heads(result, report));
  if (result->depths) out_put(object, "depths", json_incref(result->depths));
  out_json(object, 15);
}

/* ---- for people -------------------------------------------------------- */

static void print_seeds(const tx_train_report *report) {
  static const char *const heading[] = {"", "mean", "deviation", "lowest", "highest"};
  const tx_spread *a = &report->seed_accuracy, *nll = &report->seed_nll;
  char number[OUT_NUMBER];
  out_table table = out_table_make("lrrrr", true);
  printf("\nOver %zu seeds, on the validation texts:\n", report->seed_count);
  for (size_t i = 0; i < 5; i++) out_cell(&table, heading[i]);
  out_cell(&table, "accuracy");
  out_cell(&table, out_percent(a->mean, number));
  out_cell(&table, out_percent(a->deviation, number));
  out_cell(&table, out_percent(a->low, number));
  out_cell(&table, out_percent(a->high, number));
  out_cell(&table, "NLL");
  out_cell(&table, out_decimal(nll->mean, 3, number));
  out_cell(&table, out_decimal(nll->deviation, 3, number));
  out_cell(&table, out_decimal(nll->low, 3, number));
  out_cell(&table, out_decimal(nll->high, 3, number));
  out_table_print(&table);
}

/* A figure and what belongs to it; `columns` of them in all. */
static void add_scores(out_table *table, const char *name, const tx_head_report *of,
                       size_t columns) {
  char a[OUT_NUMBER], b[OUT_NUMBER], interval[2 * OUT_NUMBER + 8];
  out_cell(table, name);
  out_cell(table, out_percent(of->val_accuracy, a));
  snprintf(interval, sizeof interval, "%s to %s", out_percent(of->val_lo, a),
           out_percent(of->val_hi, b));
  out_cell(table, interval);
  out_cell(table, out_decimal(of->val_macro_f1, 3, a));
  if (columns > 5) out_cell(table, out_decimal(of->val_micro_f1, 3, a));
  out_cell(table, out_decimal(of->val_nll, 3, a));
}

static void add_baseline(out_table *table, const char *name, double accuracy, size_t columns) {
  char number[OUT_NUMBER];
  out_cell(table, name);
  out_cell(table, out_percent(accuracy, number));
  for (size_t i = 2; i < columns; i++) out_cell(table, "");
}

static void add_folds(out_table *table, const tx_cross_validation *of, size_t columns) {
  char name[48];
  const tx_head_report scores = {.val_accuracy = of->accuracy,
                                 .val_lo = of->lo,
                                 .val_hi = of->hi,
                                 .val_macro_f1 = of->macro_f1,
                                 .val_micro_f1 = of->micro_f1,
                                 .val_nll = of->nll};
  snprintf(name, sizeof name, "%d folds", of->folds);
  add_scores(table, name, &scores, columns);
  add_baseline(table, "linear, same folds", of->linear_accuracy, columns);
}

static void print_scores(const train_result *result, const tx_train_report *report) {
  bool multi = result->multi_label;
  const char *const heading[] = {"validation", multi ? "all right" : "accuracy", "95 % interval",
                                 "macro F1",   multi ? "micro F1" : "NLL",       "NLL"};
  size_t columns = multi ? 6 : 5;
  const tx_head_report scores = scores_of(report);
  out_table table = out_table_make(multi ? "lrrrrr" : "lrrrr", true);
  for (size_t i = 0; i < columns; i++) out_cell(&table, heading[i]);
  add_scores(&table, "this classifier", &scores, columns);
  add_baseline(&table, "linear baseline", report->linear_accuracy, columns);
  add_baseline(&table, "majority baseline", report->majority_accuracy, columns);
  if (report->cross_validation.folds > 0) add_folds(&table, &report->cross_validation, columns);
  out_table_print(&table);
  if (report->seed_count > 1) print_seeds(report);
}

/* A line a head. */
static void print_heads(const tx_train_report *report) {
  static const char *const heading[] = {"head",          "depth",  "pooling",  "accuracy",
                                        "95 % interval", "linear", "majority", "texts"};
  char a[OUT_NUMBER], b[OUT_NUMBER], interval[2 * OUT_NUMBER + 8];
  out_table table = out_table_make("lrlrrrrr", true);
  table.fit = true;
  for (size_t i = 0; i < sizeof heading / sizeof *heading; i++) out_cell(&table, heading[i]);
  for (size_t i = 0; i < report->head_count; i++) {
    const tx_head_report *of = &report->heads[i];
    out_cell(&table, of->name);
    out_cell(&table, out_grouped(of->depth, a));
    out_cell(&table, train_poolings[of->pooling]);
    out_cell(&table, out_percent(of->val_accuracy, a));
    snprintf(interval, sizeof interval, "%s to %s", out_percent(of->val_lo, a),
             out_percent(of->val_hi, b));
    out_cell(&table, interval);
    out_cell(&table, out_percent(of->linear_accuracy, a));
    out_cell(&table, out_percent(of->majority_accuracy, a));
    out_cell(&table, out_grouped(of->val_rows, a));
  }
  out_table_print(&table);
}

static void add_fact(out_table *facts, const char *name, const char *value) {
  out_cell(facts, name);
  out_cell(facts, value);
}

static void print_facts(const train_result *result, const tx_train_report *report) {
  char a[OUT_NUMBER], b[OUT_NUMBER], value[256];
  out_table facts = out_table_make("ll", false);
  if (report->head_count > 1) {
    snprintf(value, sizeof value, "%s, %zu of them", train_methods[report->method],
             report->head_count);
  } else {
    snprintf(value, sizeof value, "%s, pooling %s, depth %d", train_methods[report->method],
             train_poolings[report->pooling], report->depth);
  }
  add_fact(&facts, "method", value);
  if (report->precision == TX_PRECISION_INT8) {
    snprintf(value, sizeof value, "int8, %d of the matrices in f32", report->f32_matrices);
    add_fact(&facts, "precision", value);
  }
  snprintf(value, sizeof value, "%s for training, %s for validation",
           out_grouped(report->train_rows, a), out_grouped(report->val_rows, b));
  add_fact(&facts, "texts", value);
  if (result->multi_label) add_fact(&facts, "labels", out_grouped(report->labels, a));
  if (report->cut > 0) {
    snprintf(value, sizeof value, "%s text%s too long and %s cut at the end",
             out_grouped(report->cut, a), report->cut == 1 ? " was" : "s were",
             report->cut == 1 ? "was" : "were");
    add_fact(&facts, "cut", value);
  }
  if (report->epochs > 0) {
    snprintf(value, sizeof value, "%d run, number %d kept", report->epochs, report->best_epoch);
    add_fact(&facts, "epochs", value);
  }
  add_fact(&facts, "parameters", out_grouped(report->trained_parameters, a));
  snprintf(value, sizeof value, "%s, of which the trunk %s", out_duration(report->seconds, a),
           out_duration(report->trunk_seconds, b));
  add_fact(&facts, "time", value);
  add_fact(&facts, "memory", out_size(report->peak_rss_bytes, a));
  add_fact(&facts, "written", result->out);
  out_table_print(&facts);
}

/* Said in words, because a table is easily read past. */
static void print_verdict(const tx_train_report *report) {
  if (report->head_count > 1) {
    bool good = true;
    for (size_t i = 0; i < report->head_count; i++) {
      const tx_head_report *of = &report->heads[i];
      if (of->val_accuracy > of->linear_accuracy) continue;
      printf("%sHead ", good ? "\n" : "");
      out_bold(of->name);
      puts(": the linear baseline is as good on these validation texts, or better.");
      good = false;
    }
    return;
  }
  if (report->epochs > 0 && report->best_epoch == 0) {
    puts(
        "\nNo epoch has a lower validation loss than the model before the first step, which is "
        "what was\nwritten: try another --lr, or more rows.");
  }
  if (report->val_accuracy > report->linear_accuracy) return;
  puts("\nThe linear baseline is as good on these validation texts, or better: before you rely on "
       "this\nclassifier, compare the two on a test set with taxon eval.");
}

void train_print(const train_result *result, const tx_train_report *report) {
  if (report->head_count > 0) print_heads(report);
  else print_scores(result, report);
  putchar('\n');
  print_facts(result, report);
  if (report->head_count == 0) facts_draw_depths(result->depths); /* of heads: show --json */
  print_verdict(report);
}
