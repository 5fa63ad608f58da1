/* Data sets for classification from lines of id, mean rating and text, tab
 * separated, as Hutto and Gilbert published them (VADER, ICWSM 2014).
 *
 * Labels: "negative" for a mean rating of at most -0.5, "positive" of at least
 * 0.5, else "neutral" (ratings run from -4 to 4).
 * Wording: as published, HTML entities and all; a line that is not UTF-8 is
 * taken for windows-1252, and control bytes become spaces.
 * Groups: an id "12_3" is sentence 3 of review 12; sentences of one review form
 * one.  How they are split: hub_split.c. */
#include <string.h>

#include "formats/hub_parts.h"

enum { DIGITS = 18 };

typedef struct {
  const char *name; /* for messages */
  tx_set set;
} reading;

/* ---- lines ---- */

/* [-]digits[.digits], by hand: strtod follows the locale. */
static bool parse_rating(tx_text text, double *rating) {
  size_t at = 0;
  bool negative = text.size > 0 && text.data[0] == '-';
  if (negative) at++;
  int64_t value = 0;
  double scale = 1;
  bool point = false;
  int digits = 0;
  for (; at < text.size; at++) {
    char letter = text.data[at];
    if (letter == '.' && !point) {
      point = true;
    } else if (letter >= '0' && letter <= '9' && digits < DIGITS) {
      value = value * 10 + (letter - '0');
      if (point) scale *= 10;
      digits++;
    } else {
      return false;
    }
  }
  *rating = (negative ? -(double)value : (double)value) / scale;
  return digits > 0 && *rating >= -4 && *rating <= 4;
}

static tx_status parse_line(reading *work, tx_text line, int64_t number, tx_error *error) {
  const char *end = line.data + line.size;
  const char *first = memchr(line.data, '\t', line.size);
  const char *second = first ? memchr(first + 1, '\t', (size_t)(end - first - 1)) : NULL;
  double rating = 0;
  if (!second || first == line.data ||
      !parse_rating((tx_text){first + 1, (size_t)(second - first - 1)}, &rating)) {
    return tx_fail_line(error, TX_ERROR_INPUT, work->name, number,
                        "an id, a rating from -4 to 4 and a text were expected");
  }
  tx_set_row *row = &work->set.rows[work->set.count++];
  size_t id = (size_t)(first - line.data);
  const char *mark = memchr(line.data, '_', id);
  row->group = (tx_text){line.data, mark ? (size_t)(mark - line.data) : id};
  row->label = rating <= -0.5 ? 0 : rating >= 0.5 ? 2 : 1;
  if (!tx_set_clean((tx_text){second + 1, (size_t)(end - second - 1)}, work->set.arena,
                    &row->text)) {
    return tx_fail_memory(error, line.size, "a text");
  }
  return TX_OK;
}

static tx_status parse_lines(reading *work, tx_text lines, tx_error *error) {
  size_t most = 1;
  for (size_t i = 0; i < lines.size; i++) most += lines.data[i] == '\n';
  work->set.rows = tx_arena_array(work->set.arena, most, sizeof *work->set.rows);
  if (!work->set.rows) {
    return tx_fail_memory(error, most * sizeof *work->set.rows, "the rows of a data set");
  }
  int64_t number = 0;
  for (size_t at = 0; at < lines.size;) {
    const char *from = lines.data + at;
    const char *feed = memchr(from, '\n', lines.size - at);
    size_t size = feed ? (size_t)(feed - from) : lines.size - at;
    at += size + 1;
    number++;
    if (size && from[size - 1] == '\r') size--;
    if (size) TX_TRY(parse_line(work, (tx_text){from, size}, number, error));
  }
  return TX_OK;
}

tx_status tx_sentiment_write(tx_text lines, const char *name, const char *directory,
                             tx_error *error) {
  static const char *const labels[] = {"negative", "neutral", "positive"};
  reading work = {.name = name, .set = {.labels = labels, .arena = tx_arena_new()}};
  if (!work.set.arena) return tx_fail_memory(error, lines.size, "a data set");
  tx_status status = parse_lines(&work, lines, error);
  if (status == TX_OK && work.set.count == 0) {
    status = tx_fail_line(error, TX_ERROR_INPUT, name, 1, "the file has no rows");
  }
  if (status == TX_OK) status = tx_set_write(&work.set, directory, error);
  tx_arena_free(work.set.arena);
  return status;
}
