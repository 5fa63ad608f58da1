/* The rules one after another, each over the whole text, as regular expressions
 * that never overlap themselves.  They look at ASCII only, so that bytes will do for
 * characters. */
#include "trust/mteval.h"

#include <string.h>

#include "text/characters.h"

void tx_mteval_free(tx_mteval *mteval) {
  tx_buffer_free(&mteval->text);
  tx_buffer_free(&mteval->spare);
}

/* What a rule wrote is the text of the next; a failure stays one. */
static void swap(tx_mteval *m) {
  tx_buffer text = m->text;
  bool failed = text.failed || m->spare.failed;
  m->text = m->spare;
  m->text.failed = failed;
  m->spare = text;
  tx_buffer_clear(&m->spare);
}

static void replace(tx_mteval *m, const char *old, const char *new) {
  const char *at = m->text.data, *end = at + m->text.size, *found;
  size_t size = strlen(old);
  while ((found = memmem(at, (size_t)(end - at), old, size))) {
    tx_buffer_append(&m->spare, at, (size_t)(found - at));
    tx_buffer_append_string(&m->spare, new);
    at = found + size;
  }
  tx_buffer_append(&m->spare, at, (size_t)(end - at));
  swap(m);
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_stop(char c) { return c == '.' || c == ','; }

/* ASCII but letters, digits, and ' , - . (which have rules of their own). */
static bool is_apart(char c) {
  if (c < ' ' || c > '~' || is_digit(c)) return false;
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return false;
  return c != '\'' && c != ',' && c != '-' && c != '.';
}

/* Pairs of bytes for which a rule holds, and where it puts spaces: before the first,
 * between them, after the second. */
typedef struct rule {
  bool (*holds)(char first, char second);
  bool before, after;
} rule;

static bool stop_after_word(char first, char second) { return !is_digit(first) && is_stop(second); }
static bool stop_before_word(char first, char second) {
  return is_stop(first) && !is_digit(second);
}
static bool dash_after_digit(char first, char second) { return is_digit(first) && second == '-'; }

static void space_apart(tx_mteval *m) {
  for (size_t i = 0; i < m->text.size; i++) {
    char c = m->text.data[i];
    if (is_apart(c)) tx_buffer_append_byte(&m->spare, ' ');
    tx_buffer_append_byte(&m->spare, c);
    if (is_apart(c)) tx_buffer_append_byte(&m->spare, ' ');
  }
  swap(m);
}

static void space_pairs(tx_mteval *m, rule r) {
  const char *data = m->text.data;
  size_t size = m->text.size;
  for (size_t i = 0; i < size; i++) {
    bool holds = i + 1 < size && r.holds(data[i], data[i + 1]);
    if (holds && r.before) tx_buffer_append_byte(&m->spare, ' ');
    tx_buffer_append_byte(&m->spare, data[i]);
    if (!holds) continue;
    tx_buffer_append_byte(&m->spare, ' ');
    tx_buffer_append_byte(&m->spare, data[++i]);
    if (r.after) tx_buffer_append_byte(&m->spare, ' ');
  }
  swap(m);
}

/* The size of the white space at the start; 0: there is none.  A byte that is not
 * UTF-8 is a character. */
static size_t space_at(tx_text text, size_t at, size_t *size) {
  uint32_t point;
  *size = tx_character_decode((const unsigned char *)text.data + at, text.size - at, &point);
  bool space = *size && tx_character_is_space(point);
  if (!*size) *size = 1;
  return space ? *size : 0;
}

bool tx_mteval_next(tx_text *text, tx_text *word) {
  size_t from = 0, size;
  while (from < text->size && space_at(*text, from, &size)) from += size;
  size_t to = from;
  while (to < text->size && !space_at(*text, to, &size)) to += size;
  *word = (tx_text){text->data + from, to - from};
  *text = (tx_text){text->data + to, text->size - to};
  return word->size > 0;
}

/* Without the white space at its end. */
static tx_text without_end(tx_text text) {
  size_t end = 0, size;
  for (size_t at = 0; at < text.size; at += size) {
    if (!space_at(text, at, &size)) end = at + size;
  }
  return (tx_text){text.data, end};
}

tx_status tx_mteval_space(tx_mteval *m, tx_text text, tx_text *spaced, tx_error *error) {
  static const char *const entities[][2] = {
      {"<skipped>", ""}, {"-\n", ""},   {"\n", " "},  {"&quot;", "\""},
      {"&amp;", "&"},    {"&lt;", "<"}, {"&gt;", ">"}};
  text = without_end(text);
  tx_buffer_clear(&m->text);
  tx_buffer_clear(&m->spare);
  tx_buffer_append_byte(&m->text, ' ');
  tx_buffer_append(&m->text, text.data, text.size);
  for (size_t i = 0; i < sizeof entities / sizeof *entities && !m->text.failed; i++) {
    replace(m, entities[i][0], entities[i][1]);
  }
  tx_buffer_append_byte(&m->text, ' ');
  const rule rules[] = {{stop_after_word, false, true},
                        {stop_before_word, true, false},
                        {dash_after_digit, false, true}};
  space_apart(m);
  for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) space_pairs(m, rules[i]);
  *spaced = (tx_text){m->text.data, m->text.size};
  if (!m->text.failed) return TX_OK;
  return tx_fail_memory(error, text.size * 4, "cutting a text into words");
}
