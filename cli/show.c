/* taxon show: what a model or a classifier is. */
#include <stdlib.h>

#include "facts.h"
#include "options.h"

/* A head that was solved took no gradient steps: their settings mean nothing. */
static void leave_out_idle(json_t *facts) {
  static const char *const steps[] = {"blocks",     "epochs",        "best_epoch",   "batch",
                                      "accumulate", "learning_rate", "weight_decay", "schedule"};
  json_t *training = json_object_get(facts, "training");
  if (!training || json_integer_value(json_object_get(training, "epochs")) > 0) return;
  for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) json_object_del(training, steps[i]);
}

static void add_cell(out_table *table, const char *key, const json_t *value) {
  char *text = facts_value(key, value);
  out_cell(table, text);
  free(text);
}

/* `heads` of a classifier: a line each. */
static void print_heads(const json_t *heads) {
  static const char *const keys[] = {"name", "depth", "pooling"};
  char share[OUT_NUMBER];
  out_table table = out_table_make("lrlrl", true);
  table.fit = true;
  out_cell(&table, "head");
  for (size_t k = 1; k < 3; k++) out_cell(&table, keys[k]);
  out_cell(&table, "accuracy");
  out_cell(&table, "labels");
  for (size_t i = 0; i < json_array_size(heads); i++) {
    const json_t *of = json_array_get(heads, i), *validation = json_object_get(of, "validation");
    for (size_t k = 0; k < 3; k++) add_cell(&table, keys[k], json_object_get(of, keys[k]));
    double accuracy = json_number_value(json_object_get(validation, "accuracy"));
    out_cell(&table, out_percent(accuracy, share));
    add_cell(&table, "labels", json_object_get(of, "labels"));
  }
  putchar('\n');
  out_table_print(&table);
}

/* Takes a key out; the value is NULL where there is none, and the caller's. */
static json_t *take(json_t *facts, const char *key) {
  json_t *value = json_incref(json_object_get(facts, key));
  if (value) json_object_del(facts, key);
  return value;
}

/* Where there are heads, what is one's own stands in their table, or in --json. */
static void print_facts(json_t *facts) {
  static const char *const own[] = {"labels", "depth", "pooling", "validation"};
  static const char *const trained[] = {"rows",        "tokens",  "cut",
                                        "data_sha256", "penalty", "trained_parameters"};
  bool several = json_is_array(json_object_get(facts, "heads"));
  json_t *heads = several ? take(facts, "heads") : NULL, *depths = take(facts, "depths");
  for (size_t i = 0; several && i < sizeof own / sizeof *own; i++) json_object_del(facts, own[i]);
  for (size_t i = 0; several && i < sizeof trained / sizeof *trained; i++) {
    json_object_del(json_object_get(facts, "training"), trained[i]);
  }
  leave_out_idle(facts);
  facts_print(facts);
  if (several) {
    print_heads(heads);
  } else {
    facts_draw_depths(depths); /* what was tried, below the rest */
  }
  json_decref(heads);
  json_decref(depths);
}

static int show(const command_line *line) {
  tx_error error = {0};
  char *json = NULL;
  if (tx_describe_json(line->arguments[0], line->common->home, &json, &error) != TX_OK) {
    return cli_fail(line->verb, &error, "run the same command again");
  }
  json_t *facts = facts_parse(line->verb, json);
  if (!facts) return CLI_SYSTEM;
  if (line->common->json) {
    out_json(facts, 15);
  } else {
    print_facts(facts);
    json_decref(facts);
  }
  return CLI_DONE;
}

int verb_show(int argc, char **argv) {
  cli_common common = options_common_defaults();
  command_line line = {.verb = argv[0],
                       .summary = "describe a model, a classifier or a tuned model",
                       .usage = "NAME|FILE [options]",
                       .about =
                           "NAME is a model that was pulled; FILE is a model (GGUF), or what "
                           "`taxon train` or\n`taxon tune` wrote.",
                       .examples = "  taxon show smollm2-135m\n  taxon show my.taxon --json",
                       .common = &common,
                       .least = 1,
                       .most = 1,
                       .missing = "say which model or file"};
  int status;
  if (options_parse(&line, argc, argv, &status)) status = show(&line);
  options_free(&line);
  return status;
}
