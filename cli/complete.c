/* Completions of bash and zsh.  What each option takes is read from its row in
 * the table: choices, a file, a folder, a model, or nothing that can be listed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "help.h"

typedef enum {
  KIND_NOTHING, /* a number, a column: nothing to offer */
  KIND_FLAG,
  KIND_CHOICE,
  KIND_FILE,
  KIND_DIRECTORY,
  KIND_MODEL, /* a model that is here, or a file */
  KIND_NAME,  /* what `pull` knows, or a file */
} kind;

static kind kind_of_argument(const char *argument) {
  if (!argument) return KIND_NOTHING;
  if (strncmp(argument, "NAME...", 7) == 0) return KIND_NAME;
  if (strncmp(argument, "NAME|FILE", 9) == 0 || strncmp(argument, "MODEL", 5) == 0) {
    return KIND_MODEL;
  }
  if (strncmp(argument, "DIR", 3) == 0) return KIND_DIRECTORY;
  bool file = strncmp(argument, "FILE", 4) == 0 || strncmp(argument, "TABLE", 5) == 0 ||
              strncmp(argument, "CLASSIFIER", 10) == 0;
  return file ? KIND_FILE : KIND_NOTHING;
}

static kind kind_of(const option *of) {
  if (of->type == OPTION_FLAG) return KIND_FLAG;
  return of->type == OPTION_CHOICE ? KIND_CHOICE : kind_of_argument(of->argument);
}

static const option *option_at(const option_set *set, size_t index) {
  size_t own = set->line->option_count;
  return index < own ? &set->line->options[index] : &set->common[index - own];
}

static size_t option_total(const option_set *set) {
  return set->line->option_count + OPTIONS_COMMON;
}

static void print_choices(const option *of) {
  for (int i = 0; of->choices[i]; i++) printf("%s%s", i == 0 ? "" : " ", of->choices[i]);
}

/* The names of the catalogue, with what the shell must not read escaped. */
static void print_known(const char *escaped) {
  for (size_t i = 0; i < tx_catalogue_count(); i++) {
    if (i > 0) putchar(' ');
    for (const char *c = tx_catalogue_at(i).name; *c; c++) {
      if (strchr(escaped, *c)) putchar('\\');
      putchar(*c);
    }
  }
}

/* The models that have a file: {"name": "x", "path": "y", ...}. */
static const char MODELS[] =
    "models --json 2> /dev/null |\n"
    "    grep -o '\"name\": \"[^\"]*\", \"path\": \"' | cut -d'\"' -f4";

/* ---- bash -------------------------------------------------------------- */

/* Bash cuts words at '=' and ':' (COMP_WORDBREAKS), so the word is read from the
 * line itself, and what bash has already passed is taken off the answers. */
static const char BASH_START[] =
    "_taxon() {\n"
    "  local line=${COMP_LINE:0:COMP_POINT} verb=${COMP_WORDS[1]}\n"
    "  local word=${line##*[[:space:]]} before option= value kind=none other=none words= options=\n"
    "  before=${line%\"$word\"}\n"
    "  before=${before%\"${before##*[![:space:]]}\"}\n"
    "  before=${before##*[[:space:]]}\n"
    "  value=$word\n"
    "  COMPREPLY=()\n"
    "  if [[ $word == --*=* ]]; then\n"
    "    option=${word%%=*} value=${word#*=}\n"
    "  elif [[ $before == --* ]]; then\n"
    "    option=$before\n"
    "  fi\n"
    "  if ((COMP_CWORD == 1)) || [[ $verb == help ]]; then\n"
    "    kind=words words=$verbs\n"
    "  else\n"
    "    case $verb in\n";

static const char BASH_END[] =
    "    esac\n"
    "    if [[ $kind == flag ]]; then\n"
    "      option= kind=$other\n"
    "    fi\n"
    "    if [[ -z $option && $word == -* ]]; then\n"
    "      kind=words words=$options\n"
    "    fi\n"
    "  fi\n"
    "  case $kind in\n"
    "    words) mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$value\") ;;\n"
    "    names) mapfile -t COMPREPLY < <(compgen -W \"$(_taxon_names)\" -- \"$value\"\n"
    "      compgen -f -- \"$value\") ;;\n"
    "    models) mapfile -t COMPREPLY < <(compgen -W \"$(_taxon_models \"$1\")\" -- \"$value\"\n"
    "      compgen -f -- \"$value\") ;;\n"
    "    files) mapfile -t COMPREPLY < <(compgen -f -- \"$value\") ;;\n"
    "    folders) mapfile -t COMPREPLY < <(compgen -d -- \"$value\") ;;\n"
    "  esac\n"
    "  if [[ $kind == [nmf]* ]]; then compopt -o filenames 2> /dev/null; fi\n"
    "  if [[ $value == *:* && $COMP_WORDBREAKS == *:* ]]; then\n"
    "    COMPREPLY=(\"${COMPREPLY[@]#\"${value%\"${value##*:}\"}\"}\")\n"
    "  elif [[ $word == --*=* && $COMP_WORDBREAKS != *=* ]]; then\n"
    "    COMPREPLY=(\"${COMPREPLY[@]/#/$option=}\")\n"
    "  fi\n"
    "}\n"
    "complete -F _taxon taxon\n";

static const char *bash_kind(kind what) {
  switch (what) {
    case KIND_FLAG:
      return "flag";
    case KIND_CHOICE:
      return "words";
    case KIND_FILE:
      return "files";
    case KIND_DIRECTORY:
      return "folders";
    case KIND_MODEL:
      return "models";
    case KIND_NAME:
      return "names";
    default:
      return "none";
  }
}

/* "      train)": the options, what stands without one, and what each takes. */
static void print_bash_verb(const option_set *set) {
  printf("      %s)\n        options='", set->line->verb);
  for (size_t i = 0; i < option_total(set); i++) {
    if (option_at(set, i)->type != OPTION_HEADING) printf("--%s ", option_at(set, i)->name);
  }
  const char *other = bash_kind(kind_of_argument(set->line->usage));
  printf("--help' other=%s\n        case $option in\n", other);
  for (size_t i = 0; i < option_total(set); i++) {
    const option *of = option_at(set, i);
    if (of->type == OPTION_HEADING) continue;
    printf("          --%s) kind=%s", of->name, bash_kind(kind_of(of)));
    if (kind_of(of) == KIND_CHOICE) fputs(" words='", stdout), print_choices(of), putchar('\'');
    puts(" ;;");
  }
  puts("          *) option= kind=$other ;;\n        esac ;;");
}

static void begin_bash(const help_program *program) {
  fputs("# Completion of taxon for bash, written by: taxon --help=bash\n_taxon_names() { echo '",
        stdout);
  print_known("");
  printf("'; }\n_taxon_models() {\n  \"$1\" %s\n}\n", MODELS);
  const char *start = strstr(BASH_START, "$verbs");
  printf("%.*s'", (int)(start - BASH_START), BASH_START);
  for (size_t i = 0; i < program->count; i++) printf("%s ", program->verbs[i]);
  printf("help --help --version'%s", start + strlen("$verbs"));
}

/* ---- zsh --------------------------------------------------------------- */

/* Within '...': a quote ends it, and _arguments has its own use of []: and \. */
static void print_zsh(const char *text) {
  for (; *text; text++) {
    if (*text == '\'') {
      fputs("'\\''", stdout);
    } else {
      if (strchr("[]:\\", *text)) putchar('\\');
      putchar(*text);
    }
  }
}

static const char *zsh_action(kind what) {
  switch (what) {
    case KIND_FILE:
      return "_files";
    case KIND_DIRECTORY:
      return "_files -/";
    case KIND_MODEL:
      return "_taxon_models";
    case KIND_NAME:
      return "_taxon_names";
    default:
      return " ";
  }
}

static void print_zsh_option(const option *of) {
  kind what = kind_of(of);
  char *help = help_of_option(of);
  printf("        '%s--%s%s[", of->type == OPTION_COLUMNS || of->type == OPTION_LIST ? "*" : "",
         of->name, what == KIND_FLAG ? "" : "=");
  print_zsh(help);
  putchar(']');
  if (what != KIND_FLAG) {
    putchar(':');
    print_zsh(of->argument ? of->argument : of->name);
    putchar(':');
    if (what == KIND_CHOICE) {
      putchar('('), print_choices(of), putchar(')');
    } else {
      fputs(zsh_action(what), stdout);
    }
  }
  puts("' \\");
  free(help);
}

static void print_zsh_verb(const option_set *set) {
  printf("    %s)\n      _arguments \\\n", set->line->verb);
  for (size_t i = 0; i < option_total(set); i++) {
    if (option_at(set, i)->type != OPTION_HEADING) print_zsh_option(option_at(set, i));
  }
  printf("        '(- *)'{-h,--help}'[print the help]' \\\n        '*:argument:%s' ;;\n",
         zsh_action(kind_of_argument(set->line->usage)));
}

static void begin_zsh(const help_program *program) {
  fputs(
      "#compdef taxon\n# Completion of taxon for zsh, written by: taxon --help=zsh\n"
      "_taxon_names() {\n  compadd -- ",
      stdout);
  print_known("");
  printf("\n  _files\n}\n_taxon_models() {\n  compadd -- ${(f)\"$(taxon %s)\"}\n  _files\n}\n",
         MODELS);
  puts("_taxon() {\n  local -a verbs\n  verbs=(");
  for (size_t i = 0; i < program->count; i++) {
    printf("    '%s:", program->verbs[i]);
    print_zsh(program->summaries[i]);
    puts("'");
  }
  fputs(
      "    'help:the help of a verb'\n  )\n"
      "  if (( CURRENT == 2 )) || [[ $words[2] == help ]]; then\n"
      "    _describe verb verbs\n    return\n  fi\n"
      "  shift words\n  (( CURRENT-- ))\n"
      "  case $words[1] in\n",
      stdout);
}

/* ---- both -------------------------------------------------------------- */

void complete_begin(const help_program *program, help_format shell) {
  (shell == HELP_ZSH ? begin_zsh : begin_bash)(program);
}

void complete_end(help_format shell) {
  fputs(shell == HELP_ZSH ? "  esac\n}\n_taxon \"$@\"\n" : BASH_END, stdout);
}

void complete_verb(const option_set *set, help_format shell) {
  (shell == HELP_ZSH ? print_zsh_verb : print_bash_verb)(set);
}
