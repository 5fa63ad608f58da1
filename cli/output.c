/* Width is counted by grapheme: what utf8proc keeps together stands in one
 * place on a terminal. */
#include "output.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utf8proc.h>

bool out_terminal(void) { return isatty(STDOUT_FILENO); }

bool out_colour(void) {
  const char *none = getenv("NO_COLOR"), *kind = getenv("TERM");
  return out_terminal() && !(none && *none) && kind && strcmp(kind, "dumb") != 0;
}

size_t out_columns(void) {
  struct winsize size;
  bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : 100;
}

/* Also where an earlier write has failed, whose errno is gone. */
static bool reader_left(int code) {
  struct pollfd end = {.fd = STDOUT_FILENO};
  return code == EPIPE || (code == 0 && poll(&end, 1, 0) > 0 && (end.revents & POLLERR));
}

/* As other tools end when nobody reads on: by SIGPIPE, which was held back until
 * here so that it does not end a training in its middle. */
static int end_without_reader(void) {
  signal(SIGPIPE, SIG_DFL);
  raise(SIGPIPE);
  return CLI_READER_LEFT; /* the caller of the program blocks the signal */
}

int out_flush(const char *verb) {
  static bool said;
  errno = 0;
  bool failed = fflush(stdout) != 0;
  int code = errno;
  if (!failed && !ferror(stdout)) return CLI_DONE;
  if (reader_left(code)) return end_without_reader();
  if (!said) {
    cli_system_error(verb, "cannot write the results to standard output: %s",
                     code ? strerror(code) : "an earlier write failed");
  }
  said = true;
  return CLI_SYSTEM;
}

/* ---- JSON -------------------------------------------------------------- */

void out_put(json_t *object, const char *key, json_t *value) {
  if (json_object_set_new(object, key, value) != 0) cli_out_of_memory();
}

void out_append(json_t *array, json_t *value) {
  if (json_array_append_new(array, value) != 0) cli_out_of_memory();
}

json_t *out_real(double value) { return isfinite(value) ? json_real(value) : json_null(); }

/* The code point at `text`, and its bytes; -1 for a byte that is not UTF-8. */
static utf8proc_int32_t next_point(const char *text, size_t size, size_t *bytes) {
  utf8proc_int32_t point;
  utf8proc_ssize_t used =
      utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)size, &point);
  *bytes = used > 0 ? (size_t)used : 1;
  return used > 0 ? point : -1;
}

/* `text` with what is not UTF-8, and on request what is not printable, escaped. */
static char *escape(tx_text text, bool controls, size_t *escaped_size) {
  char *copy = cli_array(4 * text.size + 1, 1);
  size_t size = 0, bytes;
  for (size_t at = 0; at < text.size; at += bytes) {
    utf8proc_int32_t point = next_point(text.data + at, text.size - at, &bytes);
    bool control = point >= 0 && (point < 0x20 || (point >= 0x7f && point < 0xa0));
    if (controls && (point == '\n' || point == '\t' || point == '\r')) {
      copy[size++] = '\\';
      copy[size++] = point == '\n' ? 'n' : point == '\t' ? 't' : 'r';
    } else if (point < 0 || (controls && control)) {
      for (size_t i = 0; i < bytes; i++) {
        size += (size_t)sprintf(copy + size, "\\x%02X", (unsigned char)text.data[at + i]);
      }
    } else {
      memcpy(copy + size, text.data + at, bytes);
      size += bytes;
    }
  }
  *escaped_size = size;
  return copy;
}

json_t *out_text(tx_text text) {
  if (text.size == 0) return json_string("");
  json_t *value = json_stringn(text.data, text.size);
  if (value) return value;
  size_t size;
  char *escaped = escape(text, false, &size);
  value = json_stringn(escaped, size);
  free(escaped);
  return value;
}

json_t *out_string(const char *string) { return out_text(tx_text_of(string)); }

void out_json(json_t *value, size_t digits) {
  if (json_dumpf(value, stdout, JSON_REAL_PRECISION(digits)) != 0 && !ferror(stdout)) {
    cli_out_of_memory();
  }
  putchar('\n');
  json_decref(value);
}

/* ---- text -------------------------------------------------------------- */

char *out_visible(tx_text text) {
  size_t size;
  return escape(text, true, &size);
}

static size_t point_width(utf8proc_int32_t point) {
  int width = point < 0 ? 1 : utf8proc_charwidth(point);
  return width > 0 ? (size_t)width : 0;
}

/* Bytes of the first grapheme of `text`, and its width. */
static size_t grapheme(const char *text, size_t size, size_t *width) {
  size_t bytes, at;
  utf8proc_int32_t state = 0, last = next_point(text, size, &at);
  *width = point_width(last);
  for (; at < size; at += bytes) {
    utf8proc_int32_t point = next_point(text + at, size - at, &bytes);
    if (last < 0 || point < 0 || utf8proc_grapheme_break_stateful(last, point, &state)) break;
    if (point_width(point) > *width) *width = point_width(point);
    if (point == 0xFE0F) *width = 2; /* shown as an emoji */
    last = point;
  }
  return at;
}

size_t out_width(const char *text) {
  size_t total = 0, width, size = strlen(text);
  for (size_t at = 0; at < size;) {
    at += grapheme(text + at, size - at, &width);
    total += width;
  }
  return total;
}

char *out_cut(const char *text, size_t width) {
  size_t size = strlen(text), fits = 0, used = 0, bytes, one;
  if (out_width(text) <= width) return cli_copy(text, size);
  size_t room = width > 3 ? width - 3 : 0;
  while (fits < size) {
    bytes = grapheme(text + fits, size - fits, &one);
    if (used + one > room) break;
    used += one;
    fits += bytes;
  }
  char *cut = cli_array(fits + 4, 1);
  memcpy(cut, text, fits);
  memcpy(cut + fits, "...", width < 3 ? width : 3);
  return cut;
}

const char *out_grouped(int64_t number, char buffer[OUT_NUMBER]) {
  char digits[OUT_NUMBER];
  int size = snprintf(digits, sizeof digits, "%" PRIu64,
                      number < 0 ? 0 - (uint64_t)number : (uint64_t)number);
  char *to = buffer;
  if (number < 0) *to++ = '-';
  for (int i = 0; i < size; i++) {
    if (i > 0 && (size - i) % 3 == 0) *to++ = ',';
    *to++ = digits[i];
  }
  *to = '\0';
  return buffer;
}

const char *out_size(int64_t bytes, char buffer[OUT_NUMBER]) {
  static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
  if (bytes < 1000) {
    snprintf(buffer, OUT_NUMBER, "%" PRId64 " bytes", bytes);
    return buffer;
  }
  double value = (double)bytes / 1000;
  size_t unit = 0;
  for (; value >= 999.95 && unit < 5; unit++) value /= 1000;
  snprintf(buffer, OUT_NUMBER, "%.1f %s", value, units[unit]);
  return buffer;
}

const char *out_duration(double seconds, char buffer[OUT_NUMBER]) {
  if (!(seconds >= 0) || seconds > 1e9) {
    snprintf(buffer, OUT_NUMBER, "-");
  } else if (seconds < 60) {
    snprintf(buffer, OUT_NUMBER, "%.1f s", seconds);
  } else {
    int64_t whole = (int64_t)(seconds + 0.5);
    snprintf(buffer, OUT_NUMBER, "%" PRId64 " min %02d s", whole / 60, (int)(whole % 60));
  }
  return buffer;
}

const char *out_percent(double share, char buffer[OUT_NUMBER]) {
  if (isfinite(share)) {
    snprintf(buffer, OUT_NUMBER, "%.1f %%", 100 * share);
  } else {
    snprintf(buffer, OUT_NUMBER, "-");
  }
  return buffer;
}

const char *out_decimal(double value, int digits, char buffer[OUT_NUMBER]) {
  if (isfinite(value) && fabs(value) < 1e9) {
    snprintf(buffer, OUT_NUMBER, "%.*f", digits, value);
  } else if (isfinite(value)) {
    snprintf(buffer, OUT_NUMBER, "%.*e", digits, value);
  } else {
    snprintf(buffer, OUT_NUMBER, "-");
  }
  return buffer;
}

/* ---- tables ------------------------------------------------------------ */

out_table out_table_make(const char *alignment, bool heading) {
  return (out_table){.alignment = alignment, .columns = strlen(alignment), .heading = heading};
}

void out_cell(out_table *table, const char *text) {
  if (table->count == table->capacity) {
    table->capacity = 2 * table->capacity + 16;
    table->cells = cli_resize(table->cells, table->capacity, sizeof *table->cells);
  }
  table->cells[table->count++] = out_visible(tx_text_of(text));
}

static size_t column_width(const out_table *table, size_t column) {
  size_t most = 0;
  for (size_t i = column; i < table->count; i += table->columns) {
    size_t width = out_width(table->cells[i]);
    if (width > most) most = width;
  }
  return most;
}

size_t out_table_width(const out_table *table) {
  size_t total = (size_t)table->indent + 2 * (table->columns - 1);
  for (size_t i = 0; i < table->columns; i++) total += column_width(table, i);
  return total;
}

/* Takes from the widest columns of text first; what is left of one stays readable. */
static void fit_widths(const out_table *table, size_t *widths) {
  enum { LEAST = 8 };
  size_t total = out_table_width(table), columns = out_columns();
  while (total > columns) {
    size_t widest = table->columns;
    for (size_t i = 0; i < table->columns; i++) {
      bool may = table->alignment[i] == 'l' && widths[i] > LEAST;
      if (may && (widest == table->columns || widths[i] > widths[widest])) widest = i;
    }
    if (widest == table->columns) return;
    widths[widest]--;
    total--;
  }
}

static void print_padding(size_t count) { printf("%*s", (int)count, ""); }

static void print_row(const out_table *table, size_t first, const size_t *widths) {
  size_t padding = (size_t)table->indent; /* printed before the next cell that is not empty */
  for (size_t i = 0; i < table->columns && first + i < table->count; i++) {
    char *cell = out_cut(table->cells[first + i], widths[i]);
    size_t left = widths[i] - out_width(cell);
    if (table->alignment[i] == 'r') padding += left;
    if (*cell) {
      print_padding(padding);
      padding = 0;
      if (table->heading && first == 0) {
        out_bold(cell);
      } else {
        fputs(cell, stdout);
      }
    }
    padding += 2 + (table->alignment[i] == 'r' ? 0 : left);
    free(cell);
  }
  putchar('\n');
}

void out_table_print(out_table *table) {
  size_t *widths = cli_array(table->columns, sizeof *widths);
  for (size_t i = 0; i < table->columns; i++) widths[i] = column_width(table, i);
  if (table->fit && out_terminal()) fit_widths(table, widths);
  for (size_t i = 0; i < table->count; i += table->columns) print_row(table, i, widths);
  free(widths);
  out_table_free(table);
}

void out_table_free(out_table *table) {
  for (size_t i = 0; i < table->count; i++) free(table->cells[i]);
  free(table->cells);
  *table = (out_table){0};
}

void out_bold(const char *text) {
  if (*text && out_colour()) {
    printf("\033[1m%s\033[0m", text);
  } else {
    fputs(text, stdout);
  }
}
