/* What a verb says of itself, from its table of options: the text of -h, its
 * manual page, its table in docs/verbs, and its part of the completions.  One
 * source, so that none of them can differ from what is parsed. */
#ifndef TAXON_CLI_HELP_H
#define TAXON_CLI_HELP_H

#include <stdio.h>

#include "options.h"

/* The last four are for the build and the tests: --help=man and so on. */
typedef enum help_format {
  HELP_NONE,
  HELP_TEXT,
  HELP_MAN,
  HELP_MARKDOWN,
  HELP_BASH,
  HELP_ZSH,
} help_format;

/* What an argument asks for: -h, --help, --help=man... */
help_format help_asked(const char *argument);

/* One verb, on standard output. */
void help_print(const option_set *set, help_format format);

/* "passes over the texts (default: 5)", new. */
char *help_of_option(const option *of);

/* The program as a whole, around its verbs. */
typedef struct help_program {
  const char *summary;     /* one sentence */
  const char *usage;       /* lines */
  const char *options;     /* of the program itself: one line */
  const char *streams;     /* one sentence */
  const char *statuses;    /* lines "  0    done" */
  const char *environment; /* lines "  NAME  text" */
  const char *examples;    /* lines */
  const char *const *verbs, *const *summaries; /* (count) */
  size_t count;
} help_program;

void help_program_text(FILE *out, const help_program *program);
void help_program_man(const help_program *program);

/* The lines around what help_print(HELP_BASH or HELP_ZSH) says of each verb. */
void complete_begin(const help_program *program, help_format shell);
void complete_end(help_format shell);
void complete_verb(const option_set *set, help_format shell);

#endif
