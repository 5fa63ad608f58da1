/* Parsing in two passes, so that -h shows the defaults whatever stood before
 * it: the first finds each option and its value, the second converts them. */
#include "options.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "help.h"

typedef struct {
  const option *option;
  const char *value; /* NULL for a flag */
} found_option;

const char *const options_precisions[] = {"f32", "int8", "auto", NULL};
const char *const options_formats[] = {"auto", "csv", "tsv", "jsonl", NULL};

const char *options_format(int choice) { return choice == 0 ? NULL : options_formats[choice]; }

cli_common options_common_defaults(void) {
  return (cli_common){.seed = (int64_t)tx_train_defaults().seed};
}

option_set options_set(const command_line *line) {
  cli_common *common = line->common;
  option_set set = {
      .common = {{"json", OPTION_FLAG, &common->json, .help = "print JSON"},
                 {"quiet", OPTION_FLAG, &common->quiet, .help = "no progress and no notes"},
                 {"threads", OPTION_INTEGER, &common->threads, "N", "threads, up to 256",
                  .zero = "0, one a processor", .most = TX_MAX_THREADS},
                 {"seed", OPTION_INTEGER, &common->seed, "N", "of everything random",
                  .most = INT64_MAX, .flags = OPTION_RESULT},
                 {"home", OPTION_STRING, &common->home, "DIR", "where models are kept",
                  .zero = "TAXON_HOME, else the user's cache"}},
      .line = line};
  return set;
}

static size_t set_count(const option_set *set) {
  return set->line->option_count + OPTIONS_COMMON;
}

static const option *set_at(const option_set *set, size_t index) {
  size_t own = set->line->option_count;
  return index < own ? &set->line->options[index] : &set->common[index - own];
}

static const option *set_find(const option_set *set, const char *name, size_t size) {
  for (size_t i = 0; i < set_count(set); i++) {
    const option *candidate = set_at(set, i);
    if (candidate->type != OPTION_HEADING && strlen(candidate->name) == size &&
        memcmp(candidate->name, name, size) == 0) {
      return candidate;
    }
  }
  return NULL;
}

/* ---- values ------------------------------------------------------------ */

/* 15 digits are free of noise; where they are not the value, 17 are. */
static void print_real(FILE *out, double value) {
  char digits[40];
  snprintf(digits, sizeof digits, "%.15g", value);
  if (strtod(digits, NULL) != value) snprintf(digits, sizeof digits, "%.17g", value);
  fputs(digits, out);
}

static bool is_word(const option *of) { return of->word && *(double *)of->value < 0; }

char *options_value(const option *of) {
  char *text = NULL;
  size_t size = 0;
  FILE *out = open_memstream(&text, &size);
  if (!out) cli_out_of_memory();
  const char *string = NULL;
  if (of->type == OPTION_STRING) string = *(const char **)of->value;
  if (of->type == OPTION_COLUMNS) string = *(char **)of->value;
  if (string) fputs(string, out);
  if (of->type == OPTION_LIST) {
    const option_list *list = of->value;
    for (size_t i = 0; i < list->count; i++) {
      fprintf(out, "%s%s", i == 0 ? "" : " ", list->items[i]);
    }
  }
  if (of->type == OPTION_INTEGER) fprintf(out, "%" PRId64, *(int64_t *)of->value);
  if (of->type == OPTION_REAL && is_word(of)) {
    fputs(of->word, out);
  } else if (of->type == OPTION_REAL) {
    print_real(out, *(double *)of->value);
  }
  if (of->type == OPTION_CHOICE) fputs(of->choices[*(int *)of->value], out);
  if (of->type == OPTION_FLAG) fputs(*(bool *)of->value ? "yes" : "no", out);
  if (fclose(out) != 0 || !text) cli_out_of_memory(); /* glibc forgets to say */
  return text;
}

bool options_value_is_zero(const option *of) {
  switch (of->type) {
    case OPTION_STRING:
      return *(const char **)of->value == NULL;
    case OPTION_COLUMNS:
      return *(char **)of->value == NULL;
    case OPTION_LIST:
      return ((const option_list *)of->value)->count == 0;
    case OPTION_INTEGER:
      return *(int64_t *)of->value == 0;
    case OPTION_REAL:
      return *(double *)of->value == 0;
    default:
      return false;
  }
}

static bool convert_integer(const option *of, const char *text) {
  char *end;
  errno = 0;
  long long value = strtoll(text, &end, 10);
  bool starts = (*text >= '0' && *text <= '9') || *text == '-' || *text == '+';
  if (!starts || *end != '\0' || errno != 0 || value < of->least || value > of->most) return false;
  *(int64_t *)of->value = value;
  return true;
}

static bool convert_real(const option *of, const char *text) {
  char *end;
  if (of->word && strcmp(text, of->word) == 0) {
    *(double *)of->value = -1;
    return true;
  }
  double value = strtod(text, &end);
  bool plain = *text && text[strspn(text, "0123456789+-.eE")] == '\0'; /* no nan, inf, hex */
  if (!plain || *end != '\0' || !(value >= of->low && value <= of->high)) return false;
  if (of->above && !(value > of->low)) return false;
  *(double *)of->value = value;
  return true;
}

static bool convert_choice(const option *of, const char *text) {
  for (int i = 0; of->choices[i]; i++) {
    if (strcmp(of->choices[i], text) == 0) {
      *(int *)of->value = i;
      return true;
    }
  }
  return false;
}

static void add_columns(const option *of, const char *text, bool first) {
  char **columns = of->value;
  if (first) {
    free(*columns);
    *columns = cli_copy(text, strlen(text));
    return;
  }
  size_t held = strlen(*columns), added = strlen(text);
  *columns = cli_resize(*columns, held + added + 2, 1);
  (*columns)[held] = ',';
  memcpy(*columns + held + 1, text, added + 1);
}

static void add_item(const option *of, const char *text) {
  option_list *list = of->value;
  list->items = cli_resize(list->items, list->count + 1, sizeof *list->items);
  list->items[list->count++] = text;
}

/* What the option takes, in words. */
static void print_wanted(FILE *out, const option *of) {
  if (of->type == OPTION_INTEGER) {
    fprintf(out, "a whole number from %" PRId64 " to %" PRId64, of->least, of->most);
  } else if (of->type == OPTION_REAL) {
    fputs(of->above ? "a number above " : "a number from ", out);
    print_real(out, of->low);
    fputs(of->above ? " and up to " : " to ", out);
    print_real(out, of->high);
    if (of->word) fprintf(out, ", or %s", of->word);
  } else {
    for (int i = 0; of->choices[i]; i++) {
      bool last = of->choices[i + 1] == NULL;
      fprintf(out, "%s%s", i == 0 ? "" : last ? " or " : ", ", of->choices[i]);
    }
  }
}

/* The one of an option's choices that `text` may have meant, or NULL. */
static const char *nearest_choice(const option *of, const char *text) {
  size_t count = 0;
  if (of->type != OPTION_CHOICE) return NULL;
  while (of->choices[count]) count++;
  return options_nearest(text, of->choices, count);
}

static int refuse_value(const char *verb, const option *of, const char *text) {
  char *wanted = NULL;
  size_t size = 0;
  FILE *out = open_memstream(&wanted, &size);
  if (!out) cli_out_of_memory();
  print_wanted(out, of);
  if (fclose(out) != 0 || !wanted) cli_out_of_memory(); /* glibc forgets to say */
  const char *near = nearest_choice(of, text);
  int status = cli_usage_error(verb, "--%s must be %s, not '%s'%s%s%s", of->name, wanted, text,
                               near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
  free(wanted);
  return status;
}

/* Second pass; `first`: the option's first value on this command line. */
static int convert(const char *verb, const found_option *found, bool first) {
  const option *of = found->option;
  bool good = true;
  switch (of->type) {
    case OPTION_STRING:
      *(const char **)of->value = found->value;
      break;
    case OPTION_COLUMNS:
      add_columns(of, found->value, first);
      break;
    case OPTION_LIST:
      add_item(of, found->value);
      break;
    case OPTION_INTEGER:
      good = convert_integer(of, found->value);
      break;
    case OPTION_REAL:
      good = convert_real(of, found->value);
      break;
    case OPTION_CHOICE:
      good = convert_choice(of, found->value);
      break;
    case OPTION_FLAG:
      *(bool *)of->value = true;
      break;
    case OPTION_HEADING:
      break;
  }
  return good ? CLI_DONE : refuse_value(verb, of, found->value);
}

/* ---- parsing ----------------------------------------------------------- */

static size_t distance(const char *a, const char *b) {
  enum { MOST = 32 };
  size_t n = strlen(a), m = strlen(b), rows[3][MOST + 1];
  if (n > MOST || m > MOST) return MOST;
  size_t *before = rows[0], *last = rows[1], *row = rows[2];
  for (size_t j = 0; j <= m; j++) last[j] = before[j] = j;
  for (size_t i = 1; i <= n; i++) {
    row[0] = i;
    for (size_t j = 1; j <= m; j++) {
      size_t best = last[j - 1] + (a[i - 1] != b[j - 1]);
      if (last[j] + 1 < best) best = last[j] + 1;
      if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
      bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped && before[j - 2] + 1 < best) best = before[j - 2] + 1;
      row[j] = best;
    }
    size_t *oldest = before;
    before = last;
    last = row;
    row = oldest;
  }
  return last[m];
}

const char *options_nearest(const char *word, const char *const *candidates, size_t count) {
  const char *nearest = NULL;
  size_t best = 3, size = strlen(word); /* at most two slips, and not most of the word */
  for (size_t i = 0; i < count; i++) {
    size_t far = distance(word, candidates[i]);
    bool start = size >= 3 && strncmp(word, candidates[i], size) == 0;
    if (start && far > 2) far = 2;
    if (far < best && (start || 2 * far <= size)) {
      best = far;
      nearest = candidates[i];
    }
  }
  return nearest;
}

static int refuse_unknown(const option_set *set, const char *argument) {
  const char *verb = set->line->verb;
  if (strncmp(argument, "--", 2) != 0) {
    return cli_usage_error(verb,
                           "unknown option '%s'; options begin with two dashes, and a text that "
                           "begins with a dash stands after --",
                           argument);
  }
  size_t count = 0, size = strcspn(argument + 2, "=");
  const char **names = cli_array(set_count(set), sizeof *names);
  for (size_t i = 0; i < set_count(set); i++) {
    if (set_at(set, i)->type != OPTION_HEADING) names[count++] = set_at(set, i)->name;
  }
  char *word = cli_copy(argument + 2, size);
  const char *nearest = options_nearest(word, names, count);
  int status = nearest
                   ? cli_usage_error(verb, "unknown option --%s; did you mean --%s?", word, nearest)
                   : cli_usage_error(verb, "unknown option --%s", word);
  free(word);
  free(names);
  return status;
}


/* The option at argv[*at]; moves *at past its value. */
static int find_option(const option_set *set, int argc, char **argv, int *at, found_option *found) {
  const char *argument = argv[*at], *verb = set->line->verb;
  size_t size = strncmp(argument, "--", 2) == 0 ? strcspn(argument + 2, "=") : 0;
  const option *of = size > 0 ? set_find(set, argument + 2, size) : NULL;
  if (!of) return refuse_unknown(set, argument);
  bool joined = argument[2 + size] == '=';
  *found = (found_option){of, joined ? argument + 3 + size : NULL};
  if (of->type == OPTION_FLAG) {
    return joined ? cli_usage_error(verb, "--%s takes no value", of->name) : CLI_DONE;
  }
  if (joined) return CLI_DONE;
  const char *next = *at + 1 < argc ? argv[*at + 1] : NULL;
  if (!next || (strncmp(next, "--", 2) == 0 &&
                (next[2] == '\0' || set_find(set, next + 2, strcspn(next + 2, "="))))) {
    return cli_usage_error(verb, "--%s needs a value", of->name);
  }
  found->value = next;
  ++*at;
  return CLI_DONE;
}

typedef struct {
  found_option *found;
  size_t count;
  help_format help;
} first_pass;

static int pass_first(const option_set *set, command_line *line, int argc, char **argv,
                      first_pass *pass) {
  bool options = true;
  for (int i = 1; i < argc; i++) {
    if (!options || argv[i][0] != '-' || argv[i][1] == '\0') {
      line->arguments[line->argument_count++] = argv[i];
    } else if (strcmp(argv[i], "--") == 0) {
      options = false;
    } else if (help_asked(argv[i])) {
      pass->help = help_asked(argv[i]);
    } else {
      int status = find_option(set, argc, argv, &i, &pass->found[pass->count]);
      if (status != CLI_DONE) return status;
      const char *value = pass->found[pass->count].value;
      if (value && help_asked(value)) pass->help = help_asked(value);
      pass->count++;
    }
  }
  return CLI_DONE;
}

static bool given(const first_pass *pass, const option *of, size_t before) {
  for (size_t i = 0; i < before; i++) {
    if (pass->found[i].option == of) return true;
  }
  return false;
}

static int pass_second(const option_set *set, const command_line *line, const first_pass *pass) {
  for (size_t i = 0; i < pass->count; i++) {
    int status = convert(line->verb, &pass->found[i], !given(pass, pass->found[i].option, i));
    if (status != CLI_DONE) return status;
  }
  for (size_t i = 0; i < set_count(set); i++) {
    const option *of = set_at(set, i);
    if ((of->flags & OPTION_REQUIRED) && !given(pass, of, pass->count)) {
      return cli_usage_error(line->verb, "--%s is missing: %s", of->name, of->help);
    }
  }
  if (line->argument_count < line->least) return cli_usage_error(line->verb, "%s", line->missing);
  if (line->argument_count > line->most) {
    return cli_usage_error(line->verb, "one argument too many: '%s'", line->arguments[line->most]);
  }
  return CLI_DONE;
}

bool options_parse(command_line *line, int argc, char **argv, int *status) {
  option_set set = options_set(line);
  line->arguments = cli_array((size_t)argc + 1, sizeof *line->arguments);
  line->argument_count = 0;
  first_pass pass = {.found = cli_array((size_t)argc, sizeof *pass.found)};
  *status = pass_first(&set, line, argc, argv, &pass);
  bool go_on = *status == CLI_DONE && !pass.help;
  if (*status == CLI_DONE && pass.help) {
    help_print(&set, pass.help);
  } else if (*status == CLI_DONE) {
    *status = pass_second(&set, line, &pass);
    go_on = *status == CLI_DONE;
  }
  free(pass.found);
  if (go_on) tx_set_threads((int)line->common->threads);
  return go_on;
}

void options_free(command_line *line) {
  for (size_t i = 0; i < line->option_count; i++) {
    const option *of = &line->options[i];
    if (of->type == OPTION_COLUMNS) free(*(char **)of->value);
    if (of->type == OPTION_LIST) free(((option_list *)of->value)->items);
  }
  free(line->arguments);
  line->arguments = NULL;
}

/* ---- one spelling of a command ----------------------------------------- */

static int by_name(const void *a, const void *b) {
  return strcmp((*(const option *const *)a)->name, (*(const option *const *)b)->name);
}

/* As a shell reads it. */
static void print_quoted(FILE *out, const char *text) {
  const char *plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:,+=@%";
  if (*text && text[strspn(text, plain)] == '\0') {
    fputs(text, out);
    return;
  }
  putc('\'', out);
  for (; *text; text++) {
    if (*text == '\'') {
      fputs("'\\''", out);
    } else {
      putc(*text, out);
    }
  }
  putc('\'', out);
}

/* A value that looks like an option is joined to its name. */
static void print_argument(FILE *out, const option *of, const char *text) {
  const char *slash = of->flags & OPTION_PATH ? strrchr(text, '/') : NULL;
  if (of->type == OPTION_FLAG) { /* one that is not given is the default */
    fprintf(out, " --%s", of->name);
    return;
  }
  const char *kept = slash && slash[1] ? slash + 1 : text;
  fprintf(out, " --%s%c", of->name, strncmp(kept, "--", 2) == 0 ? '=' : ' ');
  print_quoted(out, kept);
}

/* Each item of its own; of NAME:FILE the name stays before the last part of the path. */
static void print_list(FILE *out, const option *of) {
  const option_list *list = of->value;
  for (size_t i = 0; i < list->count; i++) {
    char *item = cli_copy(list->items[i], strlen(list->items[i]));
    char *colon = strchr(item, ':'), *path = colon ? colon + 1 : item;
    char *slash = of->flags & OPTION_PATH ? strrchr(path, '/') : NULL;
    if (slash && slash[1]) memmove(path, slash + 1, strlen(slash + 1) + 1);
    fprintf(out, " --%s%c", of->name, strncmp(item, "--", 2) == 0 ? '=' : ' ');
    print_quoted(out, item);
    free(item);
  }
}

char *options_command(const command_line *line, const option *defaults) {
  cli_common common_defaults = options_common_defaults();
  command_line other = *line;
  other.options = defaults;
  other.common = &common_defaults;
  option_set now = options_set(line), before = options_set(&other);
  size_t count = set_count(&now), kept = 0;
  const option **order = cli_array(count, sizeof *order);
  for (size_t i = 0; i < count; i++) {
    const option *of = set_at(&now, i);
    if (!(of->flags & OPTION_RESULT)) continue;
    char *value = options_value(of), *standard = options_value(set_at(&before, i));
    if (strcmp(value, standard) != 0) order[kept++] = of;
    free(value);
    free(standard);
  }
  qsort(order, kept, sizeof *order, by_name);
  char *text = NULL;
  size_t size = 0;
  FILE *out = open_memstream(&text, &size);
  if (!out) cli_out_of_memory();
  fprintf(out, "taxon %s", line->verb);
  for (size_t i = 0; i < kept; i++) {
    if (order[i]->type == OPTION_LIST) {
      print_list(out, order[i]);
      continue;
    }
    char *value = options_value(order[i]);
    print_argument(out, order[i], value);
    free(value);
  }
  if (fclose(out) != 0 || !text) cli_out_of_memory(); /* glibc forgets to say */
  free(order);
  return text;
}
