/* What the files of the program share: the verbs, the common options, and how
 * a verb fails.  The program does nothing that a user of taxon.h could not do;
 * unlike the library it may print and exit. */
#ifndef TAXON_CLI_H
#define TAXON_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "taxon.h"

/* Exit statuses. */
enum {
  CLI_DONE = 0,
  CLI_NO = 1, /* done, and the answer is no: a check did not hold */
  CLI_USAGE = 2,
  CLI_INPUT = 3,
  CLI_SYSTEM = 4,
  CLI_INTERRUPTED = 130,
  CLI_READER_LEFT = 141, /* as a shell reports a program that SIGPIPE ended */
};

/* Of every verb. */
typedef struct cli_common {
  bool json, quiet;
  int64_t threads, seed;
  const char *home; /* NULL: the library's default */
} cli_common;

/* A verb gets the arguments from its own name on and returns the exit status. */
typedef int cli_verb(int argc, char **argv);
cli_verb verb_pull, verb_models, verb_show, verb_tokens, verb_train, verb_tune, verb_eval,
    verb_predict, verb_generate, verb_ablate, verb_quantize, verb_export, verb_bench;

/* Each prints one line "taxon VERB: sentence" on standard error and returns the
 * exit status.  `verb` NULL: before there is one. */
int cli_usage_error(const char *verb, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
int cli_system_error(const char *verb, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* `resume`: for an interrupted call, what stands and what to do next. */
int cli_fail(const char *verb, const tx_error *error, const char *resume);

/* Memory for the program itself; without it the program ends with status 4. */
void *cli_array(size_t count, size_t size);               /* zeroed */
void *cli_resize(void *block, size_t count, size_t size); /* like realloc */
char *cli_copy(const char *data, size_t size);            /* new, with a final NUL */
_Noreturn void cli_out_of_memory(void);

#endif
