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

/* What was tried at each depth is drawn, below the rest. */
static void print_facts(json_t *facts) {
  json_t *depths = json_incref(json_object_get(facts, "depths"));
  if (depths) json_object_del(facts, "depths");
  leave_out_idle(facts);
  facts_print(facts);
  facts_draw_depths(depths);
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
                       .summary = "describe a model or a classifier",
                       .usage = "NAME|FILE [options]",
                       .about =
                           "NAME is a model that was pulled; FILE is a model (GGUF) or a "
                           "classifier that\n`taxon train` wrote.",
                       .examples = "  taxon show smollm2-135m\n  taxon show my.taxon --json",
                       .common = &common,
                       .least = 1,
                       .most = 1,
                       .missing = "say which model or classifier"};
  int status;
  if (options_parse(&line, argc, argv, &status)) status = show(&line);
  options_free(&line);
  return status;
}
