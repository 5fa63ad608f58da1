/* Plain text, man(7) and Markdown.  The completions are in complete.c. */
#include "help.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 80, COLUMN = 28, MAN_WIDTH = 78 };

/* The day of the pages' last change in kind; a build must not depend on its day. */
static const char MAN_DATE[] = "2026-11-23";

help_format help_asked(const char *argument) {
  static const struct {
    const char *name;
    help_format format;
  } names[] = {{"-h", HELP_TEXT},           {"--help", HELP_TEXT},
               {"--help=man", HELP_MAN},    {"--help=markdown", HELP_MARKDOWN},
               {"--help=bash", HELP_BASH},  {"--help=zsh", HELP_ZSH}};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (strcmp(argument, names[i].name) == 0) return names[i].format;
  }
  return HELP_NONE;
}

/* ---- parts of any format ----------------------------------------------- */

char *help_of_option(const option *of) {
  char *text = NULL, *value = of->type == OPTION_HEADING ? NULL : options_value(of);
  size_t size = 0;
  FILE *out = open_memstream(&text, &size);
  if (!out) cli_out_of_memory();
  fputs(of->help, out);
  if (of->flags & OPTION_REQUIRED) {
    fputs(" (required)", out);
  } else if (of->zero && options_value_is_zero(of)) {
    fprintf(out, " (default: %s)", of->zero);
  } else if (of->type != OPTION_FLAG && value && *value) {
    fprintf(out, " (default: %s)", value);
  }
  free(value);
  if (fclose(out) != 0 || !text) cli_out_of_memory(); /* glibc forgets to say */
  return text;
}

/* What follows the option's name, new: "NAME|FILE", "head|last-block", "". */
static char *argument_of(const option *of) {
  char *text = NULL;
  size_t size = 0;
  FILE *out = open_memstream(&text, &size);
  if (!out) cli_out_of_memory();
  if (of->argument) fputs(of->argument, out);
  if (of->type == OPTION_CHOICE) {
    for (int i = 0; of->choices[i]; i++) fprintf(out, "%s%s", i == 0 ? "" : "|", of->choices[i]);
  }
  if (fclose(out) != 0 || !text) cli_out_of_memory(); /* glibc forgets to say */
  return text;
}

/* The next line of *text, which moves on; false at the end. */
static bool next_line(const char **text, const char **line, size_t *size) {
  if (!*text || !**text) return false;
  *line = *text;
  *size = strcspn(*text, "\n");
  *text += *size + ((*text)[*size] == '\n');
  return true;
}

/* ---- the text of -h ---------------------------------------------------- */

/* Words of `text` from column `at` on, wrapped to `column`. */
static void print_wrapped(const char *text, size_t at, size_t column) {
  for (const char *word = text; *word;) {
    size_t size = strcspn(word, " ");
    if (word != text && at + 1 + size > WIDTH) {
      printf("\n%*s", (int)column, "");
      at = column;
    } else if (word != text) {
      putchar(' ');
      at++;
    }
    fwrite(word, 1, size, stdout);
    at += size;
    word += size + strspn(word + size, " ");
  }
  putchar('\n');
}

static void print_option(const option *of) {
  if (of->type == OPTION_HEADING) {
    printf("\n%s:\n", of->help);
    return;
  }
  char *help = help_of_option(of), *argument = argument_of(of);
  size_t used = (size_t)printf("  --%s%s%s", of->name, *argument ? " " : "", argument);
  if (used + 2 > COLUMN) {
    putchar('\n');
    used = 0;
  }
  printf("%*s", (int)(COLUMN - used), "");
  print_wrapped(help, COLUMN, COLUMN);
  free(help);
  free(argument);
}

static void print_text(const option_set *set) {
  const command_line *line = set->line;
  const char *usage = line->usage, *start;
  size_t size;
  printf("taxon %s: %s\n\nUsage:\n", line->verb, line->summary);
  while (next_line(&usage, &start, &size)) {
    printf("  taxon %s %.*s\n", line->verb, (int)size, start);
  }
  if (line->option_count > 0 && line->options[0].type != OPTION_HEADING) puts("\nOptions:");
  for (size_t i = 0; i < line->option_count; i++) print_option(&line->options[i]);
  puts("\nOptions of every verb:");
  for (size_t i = 0; i < OPTIONS_COMMON; i++) print_option(&set->common[i]);
  printf("  -h, --help%*sprint this text\n", COLUMN - 12, "");
  if (line->about) printf("\n%s\n", line->about);
  printf("\nExample:\n%s\n", line->examples);
}

/* ---- Markdown: the part of docs/verbs that is written by the program ---- */

/* In a table's cell a bar ends the cell, even within code. */
static void print_cell(const char *text) {
  for (; *text; text++) {
    if (*text == '|') putchar('\\');
    putchar(*text);
  }
}

static void print_row(const option *of, bool first) {
  if (of->type == OPTION_HEADING) {
    printf("\n%s:\n\n| option | |\n|---|---|\n", of->help);
    return;
  }
  if (first) puts("\n| option | |\n|---|---|");
  char *help = help_of_option(of), *argument = argument_of(of);
  printf("| `--%s%s", of->name, *argument ? " " : "");
  print_cell(argument);
  fputs("` | ", stdout);
  print_cell(help);
  puts(" |");
  free(help);
  free(argument);
}

static void print_markdown(const option_set *set) {
  const command_line *line = set->line;
  const char *usage = line->usage, *start;
  size_t size;
  puts("```");
  while (next_line(&usage, &start, &size)) {
    printf("taxon %s %.*s\n", line->verb, (int)size, start);
  }
  puts("```");
  for (size_t i = 0; i < line->option_count; i++) print_row(&line->options[i], i == 0);
  puts("\nOptions of every verb:");
  for (size_t i = 0; i < OPTIONS_COMMON; i++) print_row(&set->common[i], i == 0);
  puts("| `-h`, `--help` | print all this |");
}

/* ---- man(7) ------------------------------------------------------------ */

/* One word, or a verbatim line: what roff would take for its own is escaped,
 * and dashes stay those that a shell reads. */
static void print_roff(const char *text, size_t size) {
  if (size > 0 && (*text == '.' || *text == '\'')) fputs("\\&", stdout);
  for (size_t i = 0; i < size; i++) {
    if (text[i] == '\\') {
      fputs("\\e", stdout);
    } else if (text[i] == '-') {
      fputs("\\-", stdout);
    } else {
      putchar(text[i]);
    }
  }
}

/* Filled text: words, on short lines. */
static void print_filled(const char *text, size_t length, size_t *column) {
  for (size_t at = 0; at < length;) {
    at += strspn(text + at, " ");
    if (at >= length) break;
    size_t size = strcspn(text + at, " \n");
    bool wrap = *column + 1 + 2 * size > MAN_WIDTH;
    if (*column > 0) putchar(wrap ? '\n' : ' ');
    if (wrap) *column = 0;
    print_roff(text + at, size);
    *column += size + 1;
    at += size;
  }
}

/* Lines that begin with a space stay as they are; the others run on. */
static void print_paragraphs(const char *text) {
  const char *line;
  size_t size, column = 0;
  bool verbatim = false, first = true;
  while (next_line(&text, &line, &size)) {
    bool next = size > 0 && *line == ' ';
    if (next != verbatim) {
      if (column > 0) putchar('\n');
      fputs(next && !first ? ".PP\n" : "", stdout);
      puts(next ? ".RS 2\n.nf" : ".fi\n.RE");
      column = 0;
    }
    if (next) {
      size_t indent = strspn(line, " ");
      print_roff(line + indent, size - indent);
      putchar('\n');
    } else if (size == 0) {
      if (column > 0) putchar('\n');
      if (*text) puts(".PP");
      column = 0;
    } else {
      print_filled(line, size, &column);
    }
    verbatim = next;
    first = false;
  }
  if (column > 0) putchar('\n');
  if (verbatim) puts(".fi\n.RE");
}

static void print_upper(const char *text) {
  for (; *text; text++) putchar(*text >= 'a' && *text <= 'z' ? *text - 'a' + 'A' : *text);
}

static void print_title(const char *verb, const char *summary) {
  fputs(".\\\" Written by taxon --help=man from its tables of options.\n.TH TAXON", stdout);
  if (verb) fputs("\\-", stdout), print_upper(verb);
  printf(" 1 %s \"taxon %s\" \"User Commands\"\n.SH NAME\ntaxon%s%s \\- %s\n", MAN_DATE,
         tx_version(), verb ? "\\-" : "", verb ? verb : "", summary);
}

static void print_man_option(const option *of) {
  if (of->type == OPTION_HEADING) {
    fputs(".SS ", stdout), print_roff(of->help, strlen(of->help)), putchar('\n');
    return;
  }
  char *help = help_of_option(of), *argument = argument_of(of);
  fputs(".TP\n\\fB\\-\\-", stdout);
  print_roff(of->name, strlen(of->name));
  fputs("\\fR", stdout);
  if (*argument) fputs(" \\fI", stdout), print_roff(argument, strlen(argument)), puts("\\fR");
  if (!*argument) putchar('\n');
  size_t column = 0;
  print_filled(help, strlen(help), &column);
  putchar('\n');
  free(help);
  free(argument);
}

static void print_synopsis(const command_line *line) {
  const char *usage = line->usage, *start;
  size_t size;
  puts(".SH SYNOPSIS\n.nf");
  while (next_line(&usage, &start, &size)) {
    printf("\\fBtaxon %s\\fR ", line->verb);
    print_roff(start, size);
    putchar('\n');
  }
  puts(".fi");
}

static void print_example(const char *examples) {
  puts(".SH EXAMPLES");
  print_paragraphs(examples);
}

static void print_man(const option_set *set) {
  const command_line *line = set->line;
  print_title(line->verb, line->summary);
  print_synopsis(line);
  puts(".SH DESCRIPTION");
  print_paragraphs(line->about ? line->about : "See the examples.");
  puts(".SH OPTIONS");
  for (size_t i = 0; i < line->option_count; i++) print_man_option(&line->options[i]);
  puts(".SS Options of every verb");
  for (size_t i = 0; i < OPTIONS_COMMON; i++) print_man_option(&set->common[i]);
  puts(".TP\n\\fB\\-h\\fR, \\fB\\-\\-help\\fR\nprint a short form of this page");
  print_example(line->examples);
  puts(".SH SEE ALSO\n.BR taxon (1)");
}

void help_print(const option_set *set, help_format format) {
  switch (format) {
    case HELP_MAN:
      print_man(set);
      break;
    case HELP_MARKDOWN:
      print_markdown(set);
      break;
    case HELP_BASH:
    case HELP_ZSH:
      complete_verb(set, format);
      break;
    default:
      print_text(set);
  }
}

/* ---- the program ------------------------------------------------------- */

void help_program_text(FILE *out, const help_program *program) {
  fprintf(out, "%s\n\nUsage:\n%s\n\nVerbs:\n", program->summary, program->usage);
  for (size_t i = 0; i < program->count; i++) {
    fprintf(out, "  %-9s %s\n", program->verbs[i], program->summaries[i]);
  }
  fprintf(out,
          "\nOptions of every verb:\n  %s\n\n%s\n\nExit status:\n%s\n\nEnvironment:\n%s\n\n"
          "Example:\n%s\n",
          program->options, program->streams, program->statuses, program->environment,
          program->examples);
}

/* Lines "  NAME  text" as tagged paragraphs. */
static void print_tagged(const char *text) {
  const char *line;
  size_t size;
  while (next_line(&text, &line, &size)) {
    size_t from = strspn(line, " "), tag = strcspn(line + from, " ");
    size_t rest = from + tag + strspn(line + from + tag, " "), column = 0;
    fputs(".TP\n.B ", stdout);
    print_roff(line + from, tag);
    putchar('\n');
    print_filled(line + rest, size - rest, &column);
    putchar('\n');
  }
}

void help_program_man(const help_program *program) {
  print_title(NULL, "an open language model as a text classifier");
  puts(".SH SYNOPSIS");
  print_paragraphs(program->usage);
  puts(".SH DESCRIPTION");
  print_paragraphs(program->summary);
  puts(".PP");
  print_paragraphs(program->streams);
  puts(".SH VERBS");
  for (size_t i = 0; i < program->count; i++) {
    printf(".TP\n.BR taxon\\-%s (1)\n", program->verbs[i]);
    size_t column = 0;
    print_filled(program->summaries[i], strlen(program->summaries[i]), &column);
    putchar('\n');
  }
  puts(".SH OPTIONS\nOf every verb:\n.PP");
  print_paragraphs(program->options);
  puts(".SH EXIT STATUS");
  print_tagged(program->statuses);
  puts(".SH ENVIRONMENT");
  print_tagged(program->environment);
  print_example(program->examples);
  puts(".SH SEE ALSO");
  for (size_t i = 0; i < program->count; i++) {
    printf(".BR taxon\\-%s (1)%s\n", program->verbs[i], i + 1 < program->count ? "," : "");
  }
}
