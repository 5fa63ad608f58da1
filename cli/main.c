/* taxon: finds the verb and runs it.  What a verb does stands in its own file. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "help.h"
#include "options.h"
#include "output.h"

typedef struct {
  const char *name, *summary;
  cli_verb *run;
} verb;

static const verb verbs[] = {
    {"pull", "fetch a model or a data set by name, or take in a local model", verb_pull},
    {"models", "list the models that are here and those that can be pulled", verb_models},
    {"show", "describe a model, a classifier or a tuned model", verb_show},
    {"tokens", "show the tokens of a text", verb_tokens},
    {"train", "train a classifier from labelled texts", verb_train},
    {"tune", "tune a model to answer instructions", verb_tune},
    {"eval", "measure a classifier on labelled texts", verb_eval},
    {"predict", "classify texts", verb_predict},
    {"generate", "write answers to prompts, and measure them", verb_generate},
    {"ablate", "repeat the book's table of experiments", verb_ablate},
    {"quantize", "make a classifier faster in int8, if its answers bear it", verb_quantize},
    {"export", "write a model for llama.cpp, transformers or PEFT", verb_export},
    {"bench", "measure this machine, and a model on it", verb_bench},
};

enum { VERB_COUNT = sizeof verbs / sizeof verbs[0] };

/* ---- failing ----------------------------------------------------------- */

/* "taxon VERB: sentence (end)": one line, whatever bytes a file or an argument
 * brought into the sentence. */
static void print_line(const char *name, const char *sentence, const char *end) {
  char *visible = out_visible(tx_text_of(sentence));
  fflush(stdout); /* the results before the reason why there are no more */
  fprintf(stderr, "taxon%s%s: %s%s\n", name ? " " : "", name ? name : "", visible, end);
  free(visible);
}

int cli_usage_error(const char *name, const char *format, ...) {
  char sentence[1024], see[64];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(sentence, sizeof sentence, format, arguments);
  va_end(arguments);
  snprintf(see, sizeof see, " (see: taxon %s%s-h)", name ? name : "", name ? " " : "");
  print_line(name, sentence, see);
  return CLI_USAGE;
}

int cli_system_error(const char *name, const char *format, ...) {
  char sentence[1024];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(sentence, sizeof sentence, format, arguments);
  va_end(arguments);
  print_line(name, sentence, "");
  return CLI_SYSTEM;
}

int cli_fail(const char *name, const tx_error *error, const char *resume) {
  char sentence[2048];
  if (error->status == TX_ERROR_INTERRUPTED) {
    snprintf(sentence, sizeof sentence, "interrupted; %s", resume);
  } else {
    tx_error_sentence(error, sentence, sizeof sentence);
  }
  print_line(name, sentence, "");
  switch (error->status) {
    case TX_ERROR_ARGUMENT:
      return CLI_USAGE;
    case TX_ERROR_INPUT:
      return CLI_INPUT;
    case TX_ERROR_INTERRUPTED:
      return CLI_INTERRUPTED;
    default:
      return CLI_SYSTEM;
  }
}

void cli_out_of_memory(void) {
  static const char sentence[] = "taxon: out of memory; close other programs and run it again\n";
  if (write(STDERR_FILENO, sentence, sizeof sentence - 1) < 0) _exit(CLI_SYSTEM);
  _exit(CLI_SYSTEM);
}

void *cli_array(size_t count, size_t size) {
  void *block = calloc(count > 0 ? count : 1, size);
  if (!block) cli_out_of_memory();
  return block;
}

void *cli_resize(void *block, size_t count, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes)) cli_out_of_memory();
  void *resized = realloc(block, bytes > 0 ? bytes : 1);
  if (!resized) cli_out_of_memory();
  return resized;
}

char *cli_copy(const char *data, size_t size) {
  char *copy = cli_array(size + 1, 1);
  if (size > 0) memcpy(copy, data, size);
  return copy;
}

/* Where its memory is short, jansson may leave out a character and say nothing. */
static void *json_memory(size_t size) {
  void *block = malloc(size);
  if (!block) cli_out_of_memory();
  return block;
}

/* ---- the process ------------------------------------------------------- */

/* A file opened later must not become standard output because that was closed:
 * a closed descriptor is replaced by one that refuses. */
static void hold_standard_descriptors(void) {
  static const int modes[] = {O_WRONLY, O_RDONLY, O_WRONLY};
  for (int i = 0; i < 3; i++) {
    if (fcntl(i, F_GETFD) >= 0 || errno != EBADF) continue;
    if (open("/dev/null", modes[i]) < 0) return;
  }
}

/* The program's help in parts; the names stay where the caller keeps them. */
static help_program describe_program(const char *names[VERB_COUNT],
                                     const char *summaries[VERB_COUNT]) {
  for (size_t i = 0; i < VERB_COUNT; i++) {
    names[i] = verbs[i].name;
    summaries[i] = verbs[i].summary;
  }
  return (help_program){
      .summary = "taxon turns an open language model into a text classifier you can trust.",
      .usage = "  taxon VERB [options]\n  taxon help VERB     (or: taxon VERB -h)",
      .options = "--json --quiet --threads N --seed N --home DIR -h; alone: --version",
      .streams = "Results go to standard output, progress and messages to standard error.",
      .statuses =
          "  0    done\n"
          "  1    done, and the answer is no\n"
          "  2    wrong usage\n"
          "  3    bad input: a file, a table or a model\n"
          "  4    the system: memory, disk, network\n"
          "  130  interrupted\n"
          "  141  the reader of the results left (a closed pipe), without a message",
      .environment =
          "  TAXON_HOME  where models are kept (default: taxon in the user's cache)\n"
          "  TAXON_CPU   generic, avx2 or avx512 instead of the best the processor has\n"
          "  TAXON_MEMORY_MB  megabytes that a model's weights may take instead of what the system "
          "has\n"
          "  NO_COLOR    not empty: no colour",
      .examples =
          "  taxon pull smollm2-135m\n"
          "  taxon pull data:customer-feedback\n"
          "  taxon train --model smollm2-135m --data train.tsv --val val.tsv --out my.taxon\n"
          "  taxon eval my.taxon --data test.tsv\n"
          "  taxon predict my.taxon \"It broke within a week.\"",
      .verbs = names,
      .summaries = summaries,
      .count = VERB_COUNT};
}

/* Each verb writes its part of the completions itself. */
static void print_completions(const help_program *program, help_format shell) {
  char asked[] = "--help=bash", *arguments[] = {NULL, asked, NULL};
  if (shell == HELP_ZSH) memcpy(asked, "--help=zsh", sizeof "--help=zsh");
  complete_begin(program, shell);
  for (size_t i = 0; i < VERB_COUNT; i++) {
    char *name = cli_copy(verbs[i].name, strlen(verbs[i].name));
    arguments[0] = name;
    verbs[i].run(2, arguments);
    free(name);
  }
  complete_end(shell);
}

static void print_help(FILE *out, help_format format) {
  const char *names[VERB_COUNT], *summaries[VERB_COUNT];
  help_program program = describe_program(names, summaries);
  if (format == HELP_MAN) {
    help_program_man(&program);
  } else if (format == HELP_BASH || format == HELP_ZSH) {
    print_completions(&program, format);
  } else {
    help_program_text(out, &program);
  }
}

static int refuse_verb(const char *name) {
  const char *names[VERB_COUNT];
  for (size_t i = 0; i < VERB_COUNT; i++) names[i] = verbs[i].name;
  const char *nearest = options_nearest(name, names, VERB_COUNT);
  return nearest ? cli_usage_error(NULL, "unknown verb '%s'; did you mean '%s'?", name, nearest)
                 : cli_usage_error(NULL, "unknown verb '%s'", name);
}

static const verb *find_verb(const char *name) {
  for (size_t i = 0; i < VERB_COUNT; i++) {
    if (strcmp(verbs[i].name, name) == 0) return &verbs[i];
  }
  return NULL;
}

/* taxon help VERB is taxon VERB -h. */
static int help_of(char *name) {
  char dash_h[] = "-h", *arguments[] = {name, dash_h, NULL};
  const verb *found = find_verb(name);
  return found ? found->run(2, arguments) : refuse_verb(name);
}

static int run(int argc, char **argv) {
  const char *name = argv[1];
  bool help = strcmp(name, "help") == 0;
  if (help && argc > 2 && argv[2][0] != '-') return help_of(argv[2]);
  if (help || help_asked(name)) {
    print_help(stdout, help ? HELP_TEXT : help_asked(name));
    return CLI_DONE;
  }
  if (strcmp(name, "--version") == 0) {
    printf("taxon %s\n", tx_version());
    return CLI_DONE;
  }
  const verb *found = find_verb(name);
  if (found) return found->run(argc - 1, argv + 1);
  if (name[0] == '-') {
    return cli_usage_error(NULL, "the verb comes first, before any option like '%s'", name);
  }
  return refuse_verb(name);
}

int main(int argc, char **argv) {
  hold_standard_descriptors();
  /* A reader that leaves is a failed write, which out_flush() sees, not the end
   * of a training in its middle. */
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN); /* a limit of the file size is a failed write, with its sentence */
  json_set_alloc_funcs(json_memory, free);
  if (argc < 2) {
    print_help(stderr, HELP_TEXT);
    return CLI_USAGE;
  }
  int status = run(argc, argv), written = out_flush(NULL);
  return status == CLI_DONE || (status == CLI_NO && written != CLI_DONE) ? written : status;
}
