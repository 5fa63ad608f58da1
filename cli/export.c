/* taxon export: a classifier or a model in a form that other programs load. */
#include <inttypes.h>
#include <stdio.h>

#include "options.h"
#include "output.h"
#include "progress.h"

typedef struct {
  cli_common common;
  const char *out, *model, *head;
  int to, type;
  bool replace;
} export_state;

static const char *const forms[] = {"gguf", "safetensors", "peft", NULL}; /* as tx_export_form */
static const char *const types[] = {"f32", "f16", NULL};

/* ---- the report -------------------------------------------------------- */

static void print_json(const tx_export_report *of, const export_state *state) {
  json_t *object = json_object(), *files = json_array();
  for (size_t i = 0; i < of->file_count; i++) {
    json_t *file = json_object();
    out_put(file, "name", out_string(of->files[i].name));
    out_put(file, "bytes", json_integer(of->files[i].bytes));
    out_append(files, file);
  }
  out_put(object, "to", out_string(forms[state->to]));
  out_put(object, "out", out_string(state->out));
  out_put(object, "kind", out_string(of->classifier ? "classifier" : "model"));
  out_put(object, "labels", json_integer(of->labels));
  out_put(object, "depth", json_integer(of->depth));
  out_put(object, "changed_tensors", json_integer(of->changed));
  out_put(object, "files", files);
  out_json(object, 15);
}

static void print_text(const tx_export_report *of, const export_state *state) {
  char number[OUT_NUMBER];
  out_table table = out_table_make("lr", false);
  if (of->classifier) {
    printf("A classifier of %d labels, %d block%s, written to %s:\n", of->labels, of->depth,
           of->depth == 1 ? "" : "s", state->out);
  } else {
    printf("A language model of %d block%s, written to %s:\n", of->depth,
           of->depth == 1 ? "" : "s", state->out);
  }
  table.indent = 2;
  for (size_t i = 0; i < of->file_count; i++) {
    out_cell(&table, of->files[i].name);
    out_cell(&table, out_size(of->files[i].bytes, number));
  }
  out_table_print(&table);
}

/* ---- the verb ---------------------------------------------------------- */

static int run(const export_state *state, const command_line *line) {
  tx_export_options options = tx_export_defaults();
  options.home = state->common.home;
  options.model = state->model;
  options.head = state->head;
  options.to = (tx_export_form)state->to;
  options.out = state->out;
  options.half = state->type == 1;
  options.replace = state->replace;
  tx_error error = {0};
  tx_export_report report;
  progress bar;
  progress_begin(&bar, state->common.quiet);
  tx_watch watch = progress_watch(&bar);
  tx_status status = tx_export(line->arguments[0], options, &report, &watch, &error);
  progress_end(&bar);
  if (status != TX_OK) {
    return cli_fail(line->verb, &error, "nothing was written: run the same command again");
  }
  (state->common.json ? print_json : print_text)(&report, state);
  return CLI_DONE;
}

int verb_export(int argc, char **argv) {
  export_state state = {.common = options_common_defaults()};
  const option options[] = {
      {"to", OPTION_CHOICE, &state.to, .help = "the form", .choices = forms},
      {"out", OPTION_STRING, &state.out, "DIR", "where the files are written",
       .flags = OPTION_REQUIRED},
      {"type", OPTION_CHOICE, &state.type,
       .help = "of the numbers; gguf: of the tensors that training changed", .choices = types},
      {"replace", OPTION_FLAG, &state.replace, .help = "files that are there already"},
      {"head", OPTION_STRING, &state.head, "NAME", "of a classifier of several: the one written",
       .zero = "the first"},
      {"model", OPTION_STRING, &state.model, "NAME|FILE",
       "where the base model is; it must be the same file", .zero = "as the classifier names it"},
  };
  command_line line = {
      .verb = argv[0],
      .summary = "write a model for llama.cpp, transformers or PEFT",
      .usage = "CLASSIFIER|MODEL --to gguf|safetensors|peft --out DIR [options]",
      .about =
          "gguf: model.gguf, the whole model with what training changed, for llama.cpp; of a\n"
          "classifier also classifier.json, the head, and a model cut at its depth gives no text.\n"
          "safetensors: config.json, model.safetensors and the tokenizer, for transformers.\n"
          "peft: of --method lora, the adapters and the head, for PEFT over the base model.\n"
          "Files appear whole or not at all; none that is there is replaced unless --replace says "
          "so.",
      .examples = "  taxon export spam.taxon --to safetensors --out spam\n"
                  "  taxon export smollm2-135m --to gguf --out model",
      .options = options,
      .option_count = sizeof options / sizeof options[0],
      .common = &state.common,
      .least = 1,
      .most = 1,
      .missing = "say which classifier (a file that `taxon train` wrote), or which model"};
  int status;
  if (options_parse(&line, argc, argv, &status)) status = run(&state, &line);
  options_free(&line);
  return status;
}
