/* taxon models: what is here, and what could be. */
#include <stdio.h>
#include <stdlib.h>

#include "facts.h"
#include "options.h"

static void print_models(const json_t *models) {
  static const char *const columns[] = {"name", "bytes", "license", "path"};
  out_table table = out_table_make("lrll", true);
  out_cell(&table, "name");
  out_cell(&table, "size");
  out_cell(&table, "license");
  out_cell(&table, "path");
  for (size_t i = 0; i < json_array_size(models); i++) {
    const json_t *model = json_array_get(models, i);
    for (size_t column = 0; column < 4; column++) {
      const json_t *value = json_object_get(model, columns[column]);
      bool there = value && !json_is_null(value);
      char *text = facts_value(columns[column], there ? value : NULL);
      out_cell(&table, column == 3 && !*text ? "(not pulled yet)" : text);
      free(text);
    }
  }
  out_table_print(&table);
}

static int list_models(const command_line *line) {
  tx_error error = {0};
  char *json = NULL;
  if (tx_models_json(line->common->home, &json, &error) != TX_OK) {
    return cli_fail(line->verb, &error, "run the same command again");
  }
  json_t *models = facts_parse(line->verb, json);
  if (!models) return CLI_SYSTEM;
  if (line->common->json) {
    out_json(models, 15);
  } else {
    print_models(models);
    json_decref(models);
  }
  return CLI_DONE;
}

int verb_models(int argc, char **argv) {
  cli_common common = options_common_defaults();
  command_line line = {.verb = argv[0],
                       .summary = "list the models that are here and those that can be pulled",
                       .usage = "[options]",
                       .about =
                           "A line for each: its name, its size, its licence and its file.  "
                           "--json prints one array\nof objects: name, path, sha256, bytes, "
                           "license, source; the path of what can be pulled\nand is not here "
                           "yet is null.",
                       .examples = "  taxon models",
                       .common = &common};
  int status;
  if (options_parse(&line, argc, argv, &status)) status = list_models(&line);
  options_free(&line);
  return status;
}
