/* taxon tune: makes a model that answers from rows of instructions and answers. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "output.h"
#include "progress.h"
#include "rows_options.h"
#include "train_options.h"

static const char *const methods[] = {"lora", "last-block", "norms", "full", NULL};
static const tx_method method_of[] = {TX_METHOD_LORA, TX_METHOD_LAST_BLOCK, TX_METHOD_NORMS,
                                      TX_METHOD_FULL};

typedef struct {
  train *shared; /* what `taxon train` has too */
  tx_tune_options options;
  const char *data;
  int method, chat_template;
} tune;

static tune tune_defaults(void) {
  return (tune){.shared = train_new(), .options = tx_tune_defaults()};
}

/* ---- options ----------------------------------------------------------- */

typedef struct {
  option options[TRAIN_OPTIONS_MOST]; /* (count) */
  size_t count;
} option_table;

static void add(option_table *table, option of) { table->options[table->count++] = of; }

static void add_heading(option_table *table, const char *text) {
  add(table, (option){.type = OPTION_HEADING, .help = text});
}

/* As `taxon train` has them, in this order. */
static void add_of_train(option_table *table, train *state, const char *const *names) {
  option all[TRAIN_OPTIONS_MOST];
  size_t count = train_options(state, all);
  for (; *names; names++) {
    for (size_t i = 0; i < count; i++) {
      if (all[i].type != OPTION_HEADING && strcmp(all[i].name, *names) == 0) add(table, all[i]);
    }
  }
}

static void say(option_table *table, const char *name, const char *zero, const char *help) {
  option *of = options_named(table->options, table->count, name);
  if (zero) of->zero = zero;
  if (help) of->help = help;
}

static void add_rows(option_table *table, tune *state) {
  tx_rows_options *rows = &state->options.rows;
  option columns[ROWS_OPTIONS];
  add_heading(table, "The rows");
  rows_fill_options(rows, columns);
  for (size_t i = 0; i < ROWS_OPTIONS; i++) add(table, columns[i]);
  add(table, (option){"answers", OPTION_STRING, &rows->answers, "ANSWER,...|OUTPUT=ANSWER,...",
                      "the answers that there are: yes,no; or what is answered where the output "
                      "is something else: spam=yes,ham=no",
                      .zero = "any output", .flags = OPTION_RESULT});
  static const char *const names[] = {"format", "max-tokens", NULL};
  add_of_train(table, state->shared, names);
}

static void add_preferences(option_table *table, tune *state) {
  tx_tune_options *o = &state->options;
  add_heading(table, "Preferences");
  add(table, (option){"dpo", OPTION_FLAG, &o->preferences,
                      .help = "rows have a chosen and a rejected answer: the first is to become "
                              "more likely than the other (direct preference optimisation)",
                      .flags = OPTION_RESULT});
  add(table, (option){"beta", OPTION_REAL, &o->beta, "X",
                      "how far answers may leave the base's: the lower the further", .above = true,
                      .high = 100, .flags = OPTION_RESULT});
  add(table, (option){"chosen", OPTION_STRING, &o->rows.chosen, "COLUMN", "the better answer",
                      .zero = "chosen", .flags = OPTION_RESULT});
  add(table, (option){"rejected", OPTION_STRING, &o->rows.rejected, "COLUMN", "the worse answer",
                      .zero = "rejected", .flags = OPTION_RESULT});
}

static void add_steps(option_table *table, tune *state) {
  static const char *const steps[] = {
      "epochs",  "batch",    "accumulate",  "patience", "lr", "weight-decay", "warm-up", "clip",
      "schedule", "layer-decay", "ema", "keep-activations", NULL};
  static const char *const runs[] = {"run", "resume", "save-minutes", NULL};
  static const char *const adapters[] = {"rank", "alpha",   "rslora", "dropout",
                                         "dora", "targets", NULL};
  static const char *const caches[] = {"cache-mb", "no-cache", NULL};
  add_heading(table, "Gradient steps");
  add_of_train(table, state->shared, steps);
  add(table, (option){"batch-tokens", OPTION_INTEGER, &state->options.batch_tokens, "N",
                      "tokens a step, instead of rows", .zero = "by --batch", .least = 1,
                      .most = 1 << 24, .flags = OPTION_RESULT});
  add_heading(table, "Long runs");
  add_of_train(table, state->shared, runs);
  add_of_train(table, state->shared, caches);
  add_heading(table, "Adapters (--method lora)");
  add_of_train(table, state->shared, adapters);
}

static void fill_options(tune *state, option_table *table) {
  static const char *const files[] = {"model", "out", "val", NULL};
  static const char *const blocks[] = {"blocks", NULL};
  table->count = 0;
  add(table, (option){"data", OPTION_STRING, &state->data, "TABLE",
                      "rows that ask and answer: JSONL, CSV or TSV",
                      .flags = OPTION_RESULT | OPTION_PATH | OPTION_REQUIRED});
  add_of_train(table, state->shared, files);
  add(table, (option){"method", OPTION_CHOICE, &state->method,
                      .help = "what is trained: low-rank adapters in all blocks (lora), the last "
                              "blocks, the norms of all blocks, or the whole model",
                      .choices = methods, .flags = OPTION_RESULT});
  add_of_train(table, state->shared, blocks);
  add(table, (option){"template", OPTION_CHOICE, &state->chat_template,
                      .help = "how rows are put to the model: as its own chat template says, or "
                              "alpaca's headings, or ChatML; auto: its own where it has one, else "
                              "alpaca",
                      .choices = rows_templates, .flags = OPTION_RESULT});
  add(table, (option){"with-prompts", OPTION_FLAG, &state->options.with_prompts,
                      .help = "what is asked is learnt too, not the answers alone",
                      .flags = OPTION_RESULT});
  add_rows(table, state);
  add_preferences(table, state);
  add_steps(table, state);
  say(table, "out", NULL, "the tuned model that is written");
  say(table, "val", "a tenth of the rows, by seed", "validation rows");
  say(table, "blocks", "all, or 1 for --method last-block", NULL);
  say(table, "max-tokens", "what the model can read, and none may be longer",
           "longer rows are left out");
  say(table, "epochs", "2", "passes over the rows");
  say(table, "batch", NULL, "rows a step");
  say(table, "patience", "2", NULL);
}

static tx_tune_options asked(const tune *state, const char *command) {
  tx_tune_options options = state->options;
  options.train = train_asked(state->shared, command);
  options.train.data = state->data;
  options.train.method = method_of[state->method];
  options.train.pooling = tx_train_defaults().pooling;
  options.rows.format = options.train.table.format;
  options.chat_template = rows_template(state->chat_template);
  return options;
}

/* ---- the report -------------------------------------------------------- */

static json_t *json_score(const tx_tune_score *score, bool preferences) {
  json_t *object = json_object();
  out_put(object, "loss", out_real(score->loss));
  if (!preferences) out_put(object, "perplexity", out_real(score->perplexity));
  out_put(object, preferences ? "preferred" : "right", out_real(score->right));
  if (preferences) out_put(object, "likelier", out_real(score->likelier));
  return object;
}

static void print_json(const tx_tune_options *o, const tx_tune_report *r, const char *method) {
  json_t *object = json_object();
  out_put(object, "out", out_string(o->train.out));
  out_put(object, "method", json_string(method));
  out_put(object, "template", json_string(r->chat_template));
  out_put(object, "blocks", json_integer(r->blocks));
  out_put(object, "epochs", json_integer(r->epochs));
  out_put(object, "best_epoch", json_integer(r->best_epoch));
  out_put(object, "train_rows", json_integer(r->train_rows));
  out_put(object, "val_rows", json_integer(r->val_rows));
  out_put(object, "left_out", json_integer(r->left_out));
  out_put(object, "tokens", json_integer(r->tokens));
  out_put(object, "answer_tokens", json_integer(r->answer_tokens));
  out_put(object, "trained_parameters", json_integer(r->trained_parameters));
  out_put(object, "learning_rate", out_real(r->learning_rate));
  out_put(object, "seconds", out_real(r->seconds));
  out_put(object, "trunk_seconds", out_real(r->trunk_seconds));
  out_put(object, "peak_rss_bytes", json_integer(r->peak_rss_bytes));
  out_put(object, "before", json_score(&r->before, o->preferences));
  out_put(object, "validation", json_score(&r->after, o->preferences));
  out_json(object, 15);
}

static void print_score(out_table *table, const char *name, const tx_tune_score *score,
                        bool preferences) {
  char a[OUT_NUMBER];
  out_cell(table, name);
  out_cell(table, out_decimal(score->loss, 4, a));
  if (!preferences) out_cell(table, out_decimal(score->perplexity, 3, a));
  out_cell(table, out_percent(score->right, a));
  if (preferences) out_cell(table, out_percent(score->likelier, a));
}

static void print_scores(const tx_tune_report *r, bool preferences) {
  out_table table = out_table_make("lrrr", true);
  out_cell(&table, "validation");
  out_cell(&table, "loss");
  if (!preferences) out_cell(&table, "perplexity");
  out_cell(&table, preferences ? "chosen gained more" : "tokens right");
  if (preferences) out_cell(&table, "chosen likelier");
  print_score(&table, "before", &r->before, preferences);
  print_score(&table, "tuned", &r->after, preferences);
  out_table_print(&table);
}

static void add_fact(out_table *facts, const char *name, const char *value) {
  out_cell(facts, name);
  out_cell(facts, value);
}

static void print_facts(const tx_tune_options *o, const tx_tune_report *r, const char *method) {
  char a[OUT_NUMBER], b[OUT_NUMBER], value[256];
  out_table facts = out_table_make("ll", false);
  snprintf(value, sizeof value, "%s, %d block%s, template %s", method, r->blocks,
           r->blocks == 1 ? "" : "s", r->chat_template);
  add_fact(&facts, "method", value);
  snprintf(value, sizeof value, "%s for training, %s for validation",
           out_grouped(r->train_rows, a), out_grouped(r->val_rows, b));
  add_fact(&facts, "rows", value);
  if (r->left_out > 0) add_fact(&facts, "left out", out_grouped(r->left_out, a));
  snprintf(value, sizeof value, "%s, of which %s to be written", out_grouped(r->tokens, a),
           out_grouped(r->answer_tokens, b));
  add_fact(&facts, "tokens", value);
  snprintf(value, sizeof value, "%d run, number %d kept", r->epochs, r->best_epoch);
  add_fact(&facts, "epochs", value);
  add_fact(&facts, "parameters", out_grouped(r->trained_parameters, a));
  snprintf(value, sizeof value, "%s, of which the trunk %s", out_duration(r->seconds, a),
           out_duration(r->trunk_seconds, b));
  add_fact(&facts, "time", value);
  add_fact(&facts, "memory", out_size(r->peak_rss_bytes, a));
  add_fact(&facts, "written", o->train.out);
  out_table_print(&facts);
}

/* ---- the verb ---------------------------------------------------------- */

static int run(const tune *state, const command_line *line, const char *command) {
  tx_tune_options options = asked(state, command);
  tx_tune_report report;
  tx_error error = {0};
  progress bar;
  progress_begin(&bar, line->common->quiet);
  tx_watch watch = progress_watch(&bar);
  tx_status status = tx_tune(&options, &report, &watch, &error);
  progress_end(&bar);
  if (status != TX_OK) {
    return cli_fail(line->verb, &error,
                    options.train.run ? "no model was written: give --resume for --run to go on"
                                      : "no model was written: run the same command again");
  }
  const char *method = methods[state->method];
  if (line->common->json) {
    print_json(&options, &report, method);
    return CLI_DONE;
  }
  print_scores(&report, options.preferences);
  putchar('\n');
  print_facts(&options, &report, method);
  if (report.best_epoch == 0) {
    puts("\nNo epoch was better than the model as it came, which is what was written.");
  }
  return CLI_DONE;
}

int verb_tune(int argc, char **argv) {
  tune state = tune_defaults(), standard = tune_defaults();
  option_table table, defaults;
  fill_options(&state, &table);
  fill_options(&standard, &defaults);
  command_line line = {
      .verb = argv[0],
      .summary = "tune a model to answer instructions",
      .usage = "--model NAME|FILE --data TABLE --out FILE [options]",
      .about =
          "A row has an instruction, maybe an input, and an output; or messages.  With --dpo it "
          "has\ntwo answers, the chosen one and the rejected one.  The loss is that of the "
          "answers.\n\nThe same rows, options and seed give the same file, byte for byte, on any "
          "number of\nthreads.  The file names its base model and holds what differs from it: "
          "ask it by\n`taxon generate`.",
      .examples =
          "  taxon tune --model smollm2-135m --data instructions.jsonl --out tuned.taxon\n"
          "  taxon tune --model smollm2-135m --data train.tsv --out de.taxon \\\n"
          "    --instruction \"Translate into German:\" --input en --output de",
      .options = table.options,
      .option_count = table.count,
      .common = train_common(state.shared)};
  int status;
  if (options_parse(&line, argc, argv, &status)) {
    char *command = options_command(&line, defaults.options);
    status = run(&state, &line, command);
    free(command);
  }
  options_free(&line);
  free(state.shared);
  free(standard.shared);
  return status;
}
