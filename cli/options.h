/* One table of options for each verb: it parses the command line and it writes
 * the text of -h, so that the two cannot differ.  What the options mean is the
 * verbs' business.
 *
 * `--name value` and `--name=value`; flags take no value; options and other
 * arguments may be mixed; `--` ends the options; `-` is an argument.  A scalar
 * given twice keeps the last value. */
#ifndef TAXON_CLI_OPTIONS_H
#define TAXON_CLI_OPTIONS_H

#include "cli.h"

typedef enum option_type {
  OPTION_STRING,  /* value: const char ** */
  OPTION_COLUMNS, /* value: char **, new; may be given several times, joined by commas */
  OPTION_LIST,    /* value: option_list *; may be given several times, each kept */
  OPTION_INTEGER, /* value: int64_t *, from least to most */
  OPTION_REAL,    /* value: double *, from low to high */
  OPTION_CHOICE,  /* value: int *, the place in `choices` */
  OPTION_FLAG,    /* value: bool * */
  OPTION_HEADING, /* no option: `help` stands above the next ones in -h */
} option_type;

enum option_flags {
  OPTION_REQUIRED = 1,
  OPTION_RESULT = 2, /* changes what the verb makes: part of options_command() */
  OPTION_PATH = 4,   /* a file's path: options_command() keeps the last part only; of
                        OPTION_LIST what follows the first colon is the path */
};

typedef struct option_list {
  const char **items; /* (count), the array is new */
  size_t count;
} option_list;

typedef struct option {
  const char *name; /* without the dashes */
  option_type type;
  void *value;          /* holds the default before parsing */
  const char *argument; /* what -h calls the value: "FILE" */
  const char *help;
  const char *zero; /* what 0, or no string, stands for in -h; NULL: itself */
  int64_t least, most;
  double low, high;
  bool above; /* low itself is not allowed */
  const char *word; /* of OPTION_REAL: may stand in place of a number, and is -1 */
  const char *const *choices; /* ends with NULL */
  unsigned flags;
} option;

typedef struct command_line {
  const char *verb;
  const char *summary;  /* one line: what the verb does */
  const char *usage;    /* what follows the verb's name; lines separated by newlines */
  const char *about;    /* paragraphs after the options; NULL: none */
  const char *examples; /* whole lines */
  const option *options;
  size_t option_count;
  cli_common *common;
  size_t least, most;  /* number of other arguments */
  const char *missing; /* said when there are fewer */
  /* Filled by options_parse: */
  const char **arguments; /* (argument_count), new, ends with NULL */
  size_t argument_count;
} command_line;

enum { OPTIONS_COMMON = 5 };

/* The options of a verb's command line: its own, then those of every verb. */
typedef struct option_set {
  option common[OPTIONS_COMMON];
  const command_line *line;
} option_set;

cli_common options_common_defaults(void);
option_set options_set(const command_line *line);

/* The value as one would write it, new; "" for no string. */
char *options_value(const option *of);
bool options_value_is_zero(const option *of);

/* Fills the values, or prints what is wrong or the text of -h.  False: the verb
 * ends with `*status`.  Sets the number of threads. */
bool options_parse(command_line *line, int argc, char **argv, int *status);

/* "taxon VERB --a 1 --b file.tsv", new: the options that change the result and
 * differ from their defaults, by name, in one spelling, so that the same work
 * is always written the same.  `defaults` is the same table over other values. */
char *options_command(const command_line *line, const option *defaults);

/* --format of every verb that reads tables. */
extern const char *const options_formats[]; /* "auto", "csv", "tsv", "jsonl", NULL */
const char *options_format(int choice);     /* for tx_table_options: NULL for auto */

/* --precision, in the order of tx_precision. */
extern const char *const options_precisions[]; /* "f32", "int8", "auto", NULL */

void options_free(command_line *line);

/* The candidate most like `word` when one is close, else NULL. */
const char *options_nearest(const char *word, const char *const *candidates, size_t count);

#endif
