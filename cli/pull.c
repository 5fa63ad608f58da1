/* taxon pull: fetches what the library knows by name, or takes in a local model. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "output.h"
#include "progress.h"

static bool is_data(const tx_pulled *pulled) { return strncmp(pulled->name, "data:", 5) == 0; }

/* The three tables of a data set, as one would name them from here. */
static void name_tables(const tx_pulled *pulled, char *names, size_t size) {
  const char *directory = strcmp(pulled->path, ".") == 0 ? "" : pulled->path;
  const char *slash = *directory && directory[strlen(directory) - 1] != '/' ? "/" : "";
  snprintf(names, size, "%s%strain.tsv, %s%sval.tsv, %s%stest.tsv", directory, slash, directory,
           slash, directory, slash);
}

static void print_pulled(const tx_pulled *pulled) {
  char size[OUT_NUMBER], tables[3 * sizeof pulled->path + 64];
  name_tables(pulled, tables, sizeof tables);
  out_table facts = out_table_make("ll", false);
  facts.indent = 2;
  const char *const names[] = {is_data(pulled) ? "written" : "path", "size", "sha256", "license",
                               "source"};
  const char *const values[] = {is_data(pulled) ? tables : pulled->path,
                                out_size(pulled->bytes, size), pulled->sha256,
                                pulled->license, pulled->source};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    if (!values[i][0]) continue;
    out_cell(&facts, names[i]);
    out_cell(&facts, values[i]);
  }
  out_bold(pulled->name);
  puts(pulled->fetched ? ": fetched and verified" : ": here already, verified");
  out_table_print(&facts);
}

static void print_json(const tx_pulled *pulled) {
  json_t *object = json_object();
  out_put(object, "name", out_string(pulled->name));
  out_put(object, "path", out_string(pulled->path));
  out_put(object, "sha256", out_string(pulled->sha256));
  out_put(object, "bytes", json_integer(pulled->bytes));
  out_put(object, "license", out_string(pulled->license));
  out_put(object, "source", out_string(pulled->source));
  out_put(object, "fetched", json_boolean(pulled->fetched));
  out_json(object, 15);
}

/* The known names, for -h; new. */
static char *known_names(void) {
  char *text = NULL, bytes[OUT_NUMBER];
  size_t size = 0;
  FILE *out = open_memstream(&text, &size);
  if (!out) cli_out_of_memory();
  fputs("Known names:", out);
  for (size_t i = 0; i < tx_catalogue_count(); i++) {
    tx_catalogue_entry entry = tx_catalogue_at(i);
    fprintf(out, "\n  %-24s  %s (%s%s%s)", entry.name, entry.summary,
            entry.bytes ? out_size(entry.bytes, bytes) : "", entry.bytes ? ", " : "",
            entry.license);
  }
  fputs(
      "\n\nA data set is written as train.tsv, val.tsv and test.tsv.  What is fetched is held\n"
      "against the known size and SHA-256; what is here already is not fetched again.\n"
      "--json prints a line for each name.\n"
      "\n"
      "hf: fetches from the Hugging Face hub, over HTTPS.  FILE is a path in the repository,\n"
      "a quantisation (Q4_K_M) or a pattern (*q8*); of several GGUF files that fit, the first\n"
      "kind of these is taken: Q4_K_M Q5_K_M Q6_K Q8_0 Q4_K_S Q5_K_S Q4_1 Q4_0 Q5_1 Q5_0 F16\n"
      "BF16 F32.  The model is called as its file, and stays what it is: another file of that\n"
      "name is refused.  A fetch that breaks, or is killed, goes on where it was when the\n"
      "command is run again; only bytes with the SHA-256 that the hub announces are kept.\n"
      "Two pulls of one model wait for each other.\n"
      "\n"
      "Environment:\n"
      "  HF_ENDPOINT               another hub (default: https://huggingface.co); only here\n"
      "                            may http: stand\n"
      "  HF_TOKEN                  for gated and private models, else the file HF_HOME/token;\n"
      "                            sent to the hub's own host alone, never shown\n"
      "  HF_HOME, HF_HUB_CACHE     the cache of the hub's other programs: what is there, with\n"
      "                            the right hash, is copied instead of fetched\n"
      "  HF_HUB_OFFLINE            1: nothing is fetched from the hub\n"
      "  HF_HUB_DOWNLOAD_TIMEOUT   seconds to connect and without answer (default: 30)\n"
      "  TAXON_PULL_TRIES          tries in a row without progress (default: 5)\n"
      "  TAXON_PULL_DELAY          milliseconds before the second, then doubled (default: 500)\n"
      "  HTTPS_PROXY, NO_PROXY     as curl reads them",
      out);
  if (fclose(out) != 0 || !text) cli_out_of_memory(); /* glibc forgets to say */
  return text;
}

static int pull_all(const command_line *line, const char *directory) {
  const cli_common *common = line->common;
  progress state;
  progress_begin(&state, common->quiet);
  tx_watch watch = progress_watch(&state);
  int status = CLI_DONE;
  for (size_t i = 0; i < line->argument_count && status == CLI_DONE; i++) {
    tx_error error = {0};
    tx_pulled pulled = {0};
    tx_status pull = tx_pull(line->arguments[i], common->home, directory, &pulled, &watch, &error);
    progress_end(&state);
    if (pull != TX_OK) {
      status = cli_fail(line->verb, &error, "run the same command again to fetch it");
    } else {
      (common->json ? print_json : print_pulled)(&pulled);
      status = out_flush(line->verb);
    }
  }
  return status;
}

int verb_pull(int argc, char **argv) {
  cli_common common = options_common_defaults();
  const char *directory = NULL;
  const option options[] = {{"dir", OPTION_STRING, &directory, "DIR", "where data sets are written",
                             .zero = "the current directory"}};
  char *about = known_names();
  command_line line = {
      .verb = argv[0],
      .summary = "fetch a model or a data set by name, or take in a local model",
      .usage = "NAME... [options]\n"
               "hf:OWNER/NAME[@REVISION][/FILE] [options]\n"
               "MODEL.gguf [options]",
      .about = about,
      .examples = "  taxon pull smollm2-135m data:customer-feedback --dir feedback\n"
                  "  taxon pull hf:HuggingFaceTB/SmolLM2-360M-Instruct-GGUF\n"
                  "  taxon pull hf:bartowski/SmolLM2-135M-Instruct-GGUF/Q8_0",
      .options = options,
      .option_count = sizeof options / sizeof options[0],
      .common = &common,
      .least = 1,
      .most = SIZE_MAX,
      .missing = "say what to fetch"};
  int status;
  if (options_parse(&line, argc, argv, &status)) status = pull_all(&line, directory);
  options_free(&line);
  free(about);
  return status;
}
