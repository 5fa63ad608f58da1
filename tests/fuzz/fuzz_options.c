/* The command line: any arguments are parsed or refused, the numbers lie in their
 * ranges and are what the arguments spell, and the one spelling of a command reads
 * back as the same command.  The input is the arguments, one a line.
 *
 * Stands in for main.c: what the parser needs of the program is below. */
#include "../../cli/help.h"
#include "../../cli/options.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>

#include "fuzz.h"

enum { ARGUMENTS = 64, LEAST = -5, MOST = 1000 };

/* ---- what main.c gives ---- */

int cli_usage_error(const char *verb, const char *format, ...) {
  char sentence[1024];
  va_list arguments;
  va_start(arguments, format);
  int size = vsnprintf(sentence, sizeof sentence, format, arguments);
  va_end(arguments);
  MUST(verb && size > 0);
  return CLI_USAGE;
}

void cli_out_of_memory(void) { abort(); }

void *cli_array(size_t count, size_t size) {
  void *block = calloc(count ? count : 1, size);
  MUST(block);
  return block;
}

void *cli_resize(void *block, size_t count, size_t size) {
  void *resized = realloc(block, count * size + 1);
  MUST(resized);
  return resized;
}

char *cli_copy(const char *data, size_t size) {
  char *copy = cli_array(size + 1, 1);
  if (size) memcpy(copy, data, size);
  return copy;
}

/* ---- a verb with an option of each type ---- */

typedef struct {
  cli_common common;
  const char *model, *out;
  char *text;
  int64_t count, most;
  double rate, penalty;
  int format;
  bool flag;
} values;

static const char *const choices[] = {"head", "last-block", "none", NULL};

static void describe(values *v, option options[9], command_line *line) {
  const option all[9] = {
      {"model", OPTION_STRING, &v->model, "NAME", "the model", .flags = OPTION_RESULT},
      {"out", OPTION_STRING, &v->out, "FILE", "the artifact", .flags = OPTION_RESULT | OPTION_PATH},
      {.name = NULL, .type = OPTION_HEADING, .help = "Numbers"},
      {"text", OPTION_COLUMNS, &v->text, "NAME", "columns", .flags = OPTION_RESULT},
      {"count", OPTION_INTEGER, &v->count, "N", "a few", .least = LEAST, .most = MOST,
       .flags = OPTION_RESULT},
      {"most", OPTION_INTEGER, &v->most, "N", "any", .least = INT64_MIN, .most = INT64_MAX,
       .flags = OPTION_RESULT},
      {"rate", OPTION_REAL, &v->rate, "X", "a share", .high = 1, .flags = OPTION_RESULT},
      {"method", OPTION_CHOICE, &v->format, .help = "how", .choices = choices,
       .flags = OPTION_RESULT},
      {"flag", OPTION_FLAG, &v->flag, .help = "whether"},
  };
  for (int i = 0; i < 9; i++) options[i] = all[i];
  *v = (values){.common = options_common_defaults(), .count = 3, .rate = 0.25};
  *line = (command_line){.verb = "fuzz", .summary = "tries", .usage = "[options] [TEXT...]",
                         .examples = "  taxon fuzz", .options = options, .option_count = 9,
                         .common = &v->common, .most = ARGUMENTS, .missing = "a text is missing"};
}

static void check_values(const values *v) {
  MUST(v->count >= LEAST && v->count <= MOST);
  MUST(v->rate >= 0 && v->rate <= 1);
  MUST(v->common.threads >= 0 && v->common.threads <= TX_MAX_THREADS && v->common.seed >= 0);
  MUST(v->format >= 0 && v->format < 3);
}

/* ---- the same number by another way ---- */

static bool spells(const char *text, int64_t value) {
  bool negative = *text == '-';
  if (*text == '-' || *text == '+') text++;
  __int128 sum = 0;
  if (!*text) return false;
  for (; *text; text++) {
    if (*text < '0' || *text > '9' || sum > INT64_MAX) return false;
    sum = sum * 10 + (*text - '0');
  }
  return (negative ? -sum : sum) == value;
}

/* An option alone: taken exactly where its digits say a number in its range. */
static void check_number(const char *text) {
  values v;
  option options[9];
  command_line line;
  char *argument = cli_array(strlen(text) + 16, 1);
  sprintf(argument, "--count=%s", text);
  char *arguments[] = {(char *)"fuzz", argument, NULL};
  int status;
  describe(&v, options, &line);
  bool taken = options_parse(&line, 2, arguments, &status);
  bool expected = false;
  for (int64_t i = LEAST; i <= MOST; i++) expected |= spells(text, i);
  bool help = help_asked(text) != HELP_NONE;
  MUST(taken == (expected && !help));
  MUST(!taken || spells(text, v.count));
  options_free(&line);
  free(argument);
}

/* ---- one spelling ---- */

/* Splits what options_command() wrote as a shell would; in place. */
static int split_command(char *text, char **arguments) {
  int count = 0;
  while (*text) {
    char *to = arguments[count++] = text;
    MUST(count < ARGUMENTS);
    while (*text && *text != ' ') {
      if (*text == '\'') {
        for (text++; *text != '\''; *to++ = *text++) MUST(*text);
        text++;
      } else {
        if (*text == '\\') text++;
        *to++ = *text++;
      }
    }
    if (*text) text++;
    *to = '\0';
  }
  return count;
}

static bool asks_for_help(const char *text) { return text && help_asked(text) != HELP_NONE; }

static void check_command(const command_line *line, const values *v) {
  values standard, again;
  option options[9], more[9];
  command_line other, third;
  describe(&standard, options, &other);
  char *command = options_command(line, options);
  char *copy = cli_copy(command, strlen(command)), *arguments[ARGUMENTS + 1];
  int count = split_command(copy, arguments), status;
  arguments[count] = NULL;
  MUST(count >= 2 && strcmp(arguments[0], "taxon") == 0 && strcmp(arguments[1], "fuzz") == 0);
  describe(&again, more, &third);
  bool taken = options_parse(&third, count - 1, arguments + 1, &status);
  const char *slash = v->out ? strrchr(v->out, '/') : NULL;
  if (!asks_for_help(v->model) && !asks_for_help(v->text) && !asks_for_help(v->out) &&
      !(slash && asks_for_help(slash + 1))) {
    MUST(taken);
    MUST(again.count == v->count && again.most == v->most && again.format == v->format);
    MUST(again.rate <= v->rate && again.rate >= v->rate && again.common.seed == v->common.seed);
    char *second = options_command(&third, options);
    MUST(strcmp(command, second) == 0);
    free(second);
  }
  options_free(&third);
  free(copy);
  free(command);
}

/* ---- the input ---- */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static FILE *nowhere;
  if (!nowhere) MUST((nowhere = freopen("/dev/null", "w", stdout)) != NULL); /* the text of -h */
  char *text = cli_copy((const char *)data, size), *arguments[ARGUMENTS + 2] = {(char *)"fuzz"};
  int count = 1, status;
  for (char *at = text; at && count <= ARGUMENTS;) {
    char *feed = strchr(at, '\n');
    if (feed) *feed = '\0';
    check_number(at);
    if (*at) arguments[count++] = at;
    at = feed ? feed + 1 : NULL;
  }
  values v;
  option options[9];
  command_line line;
  describe(&v, options, &line);
  if (options_parse(&line, count, arguments, &status)) {
    check_values(&v);
    check_command(&line, &v);
  } else {
    MUST(status == CLI_USAGE || status == CLI_DONE);
  }
  options_free(&line);
  free(text);
  return 0;
}
