/* The source of a template to words.  White space is taken away here: around
 * tags marked with '-', after a block's tag (trim_blocks), and before one that
 * stands first in its line (lstrip_blocks). */
#include <string.h>

#include "text/template_parts.h"

typedef struct lexer {
  char *source; /* with line ends of one kind */
  size_t size, at;
  int64_t line; /* of `at` */
  bool line_start;
  int brackets; /* open ones */
  const char *file;
  tx_arena *arena;
  tx_words *words;
  tx_error *error;
} lexer;

#define REFUSE(l, ...) tx_fail_line((l)->error, TX_ERROR_INPUT, (l)->file, (l)->line, __VA_ARGS__)

static tx_status push(lexer *l, tx_word_kind kind, const char *data, size_t size) {
  tx_words *words = l->words;
  if (words->count == words->capacity) {
    size_t capacity = words->capacity ? words->capacity * 2 : 256;
    tx_word *grown = tx_resize(words->items, capacity * sizeof *grown);
    if (!grown) return tx_fail_memory(l->error, capacity * sizeof *grown, "a chat template");
    words->items = grown;
    words->capacity = capacity;
  }
  words->items[words->count++] = (tx_word){kind, l->line, {data, size}};
  return TX_OK;
}

static void advance(lexer *l, size_t count) {
  for (size_t i = 0; i < count; i++) l->line += l->source[l->at + i] == '\n';
  l->at += count;
}

static bool follows(const lexer *l, const char *what) {
  size_t size = strlen(what);
  return l->size - l->at >= size && !memcmp(l->source + l->at, what, size);
}

static size_t space_at(const lexer *l, size_t at) {
  size_t size;
  return tx_string_space((tx_string){l->source, l->size, NULL}, at, &size) ? size : 0;
}

/* After a tag of `size` bytes: all white space, or one line end, or nothing. */
static void leave_tag(lexer *l, size_t size, bool all, bool line_end) {
  advance(l, size);
  while (all && l->at < l->size && space_at(l, l->at)) advance(l, space_at(l, l->at));
  if (!all && line_end && follows(l, "\n")) advance(l, 1);
  l->line_start = l->source[l->at - 1] == '\n';
}

/* ---- text between tags ------------------------------------------------- */

static size_t find_tag(const lexer *l) {
  for (size_t i = l->at; i + 1 < l->size; i++) {
    char next = l->source[i + 1];
    if (l->source[i] == '{' && (next == '{' || next == '%' || next == '#')) return i;
  }
  return l->size;
}

/* The end of the text before the tag at `tag`, without what its sign takes away. */
static size_t end_of_text(const lexer *l, size_t tag) {
  char sign = tag + 2 < l->size ? l->source[tag + 2] : '\0';
  tx_string text = {l->source + l->at, tag - l->at, NULL};
  if (sign == '-') return l->at + tx_string_strip(text, NULL, TX_STRIP_RIGHT).size;
  if (sign == '+' || l->source[tag + 1] == '{') return tag;
  const char *newline = text.size ? memrchr(text.data, '\n', text.size) : NULL;
  size_t start = newline ? (size_t)(newline - l->source) + 1 : l->at;
  if (!newline && !l->line_start) return tag;
  for (size_t i = start; i < tag; i += space_at(l, i))
    if (!space_at(l, i)) return tag;
  return start;
}

static tx_status skip_comment(lexer *l) {
  for (size_t i = l->at; i + 1 < l->size; i++) {
    if (l->source[i] != '#' || l->source[i + 1] != '}') continue;
    char before = i > l->at ? l->source[i - 1] : '\0';
    leave_tag(l, i + 2 - l->at, before == '-', before != '+');
    return TX_OK;
  }
  return REFUSE(l, "a comment ({#) is not closed; the chat template is damaged");
}

/* ---- words inside a tag ------------------------------------------------ */

static int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 16;
}

static size_t put_character(uint32_t point, char *to) {
  if (point < 0x80) return to[0] = (char)point, 1;
  size_t more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
  static const unsigned char lead[] = {0, 0xc0, 0xe0, 0xf0};
  for (size_t i = more; i > 0; i--, point >>= 6) to[i] = (char)(0x80 | (point & 0x3f));
  to[0] = (char)(lead[more] | point);
  return more + 1;
}

/* Up to `most` digits of a base at `at`; answers how many there were. */
static size_t read_digits(const char *at, const char *end, int base, size_t most, uint32_t *value) {
  size_t count = 0;
  *value = 0;
  while (count < most && at + count < end && digit_of(at[count]) < base) {
    *value = *value * (uint32_t)base + (uint32_t)digit_of(at[count++]);
  }
  return count;
}

/* The escape after a backslash at *from; answers false where Python would refuse it. */
static bool put_escape(const char **from, const char *end, char **to) {
  static const char names[] = "\\'\"abfnrtv", means[] = "\\'\"\a\b\f\n\r\t\v";
  char c = *(*from)++;
  const char *simple = c ? strchr(names, c) : NULL;
  size_t wanted = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0, count;
  uint32_t point;
  if (simple) {
    *(*to)++ = means[simple - names];
  } else if (wanted) {
    count = read_digits(*from, end, 16, wanted, &point);
    if (count < wanted || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return false;
    *from += count;
    *to += put_character(point, *to);
  } else if (digit_of(c) < 8) {
    count = read_digits(*from - 1, end, 8, 3, &point);
    *from += count - 1;
    *to += put_character(point, *to);
  } else if (c == 'N') {
    return false; /* a character by its name */
  } else if (c != '\n') {
    *(*to)++ = '\\';
    *(*to)++ = c;
  }
  return true;
}

static tx_status lex_string(lexer *l) {
  const char *start = l->source + l->at + 1, *end = l->source + l->size, *close = start;
  while (close < end && *close != start[-1]) close += *close == '\\' && close + 1 < end ? 2 : 1;
  if (close >= end) return REFUSE(l, "a string is not closed; the chat template is damaged");
  char *text = tx_arena_alloc(l->arena, (size_t)(close - start) + 1), *to = text;
  if (!text) return tx_fail_memory(l->error, (size_t)(close - start), "a chat template");
  for (const char *from = start; from < close;) {
    if (*from != '\\') {
      *to++ = *from++;
    } else if (from++, !put_escape(&from, close, &to)) {
      return REFUSE(l, "a string holds an escape that is not understood (\\x, \\u and \\U need "
                       "their digits, \\N is not known); mend the chat template");
    }
  }
  TX_TRY(push(l, TX_WORD_STRING, text, (size_t)(to - text)));
  advance(l, (size_t)(close - start) + 2);
  return TX_OK;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_name(char c) {
  return is_digit(c) || c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static tx_status lex_number(lexer *l) {
  size_t end = l->at;
  tx_word_kind kind = TX_WORD_INTEGER;
  while (end < l->size && is_digit(l->source[end])) end++;
  if (end + 1 < l->size && l->source[end] == '.' && is_digit(l->source[end + 1])) {
    kind = TX_WORD_REAL;
    for (end++; end < l->size && is_digit(l->source[end]);) end++;
  }
  if (end < l->size && is_name(l->source[end])) {
    return REFUSE(l, "a number is followed by '%c': only plain decimal numbers are understood; "
                     "mend the chat template", l->source[end]);
  }
  TX_TRY(push(l, kind, l->source + l->at, end - l->at));
  advance(l, end - l->at);
  return TX_OK;
}

static tx_status lex_sign(lexer *l) {
  static const char *const signs[] = {"==", "!=", "<=", ">=", "//", "**", "+", "-", "*", "/",
                                      "%",  "~",  "<",  ">",  "=",  "(",  ")", "[", "]", "{",
                                      "}",  ".",  ",",  ":",  "|"};
  for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
    if (!follows(l, signs[i])) continue;
    if (strchr("([{", *signs[i])) l->brackets++;
    if (strchr(")]}", *signs[i]) && l->brackets-- == 0) {
      return REFUSE(l, "'%s' closes nothing; the chat template is damaged", signs[i]);
    }
    TX_TRY(push(l, TX_WORD_SIGN, l->source + l->at, strlen(signs[i])));
    advance(l, strlen(signs[i]));
    return TX_OK;
  }
  return REFUSE(l, "'%s' is not understood inside a tag; mend the chat template",
                tx_template_show((tx_text){l->source + l->at, 1}).text);
}

static tx_status lex_word(lexer *l) {
  char c = l->source[l->at];
  if (c == '"' || c == '\'') return lex_string(l);
  if (is_digit(c)) return lex_number(l);
  if (!is_name(c)) return lex_sign(l);
  size_t end = l->at;
  while (end < l->size && is_name(l->source[end])) end++;
  TX_TRY(push(l, TX_WORD_NAME, l->source + l->at, end - l->at));
  advance(l, end - l->at);
  return TX_OK;
}

/* From the first word to the tag's end. */
static tx_status lex_tag(lexer *l, bool block) {
  const char *close = block ? "%}" : "}}", *strip = block ? "-%}" : "-}}";
  tx_word_kind end = block ? TX_WORD_BLOCK_END : TX_WORD_PRINT_END;
  l->brackets = 0;
  while (l->at < l->size) {
    bool plain = follows(l, close), all = follows(l, strip), keep = block && follows(l, "+%}");
    if (!l->brackets && (plain || all || keep)) {
      TX_TRY(push(l, end, NULL, 0));
      leave_tag(l, plain ? 2 : 3, all, block && !keep);
      return TX_OK;
    }
    if (space_at(l, l->at)) {
      advance(l, space_at(l, l->at));
    } else {
      TX_TRY(lex_word(l));
    }
  }
  return REFUSE(l, "a tag is not closed with %s; the chat template is damaged", close);
}

static tx_status lex(lexer *l) {
  while (l->at < l->size) {
    size_t tag = find_tag(l), end = tag < l->size ? end_of_text(l, tag) : tag;
    if (end > l->at) TX_TRY(push(l, TX_WORD_TEXT, l->source + l->at, end - l->at));
    advance(l, tag - l->at);
    if (tag == l->size) break;
    char kind = l->source[tag + 1];
    if (kind != '#') TX_TRY(push(l, kind == '{' ? TX_WORD_PRINT : TX_WORD_BLOCK, NULL, 0));
    advance(l, 2);
    if (follows(l, "-") || follows(l, "+")) advance(l, 1);
    TX_TRY(kind == '#' ? skip_comment(l) : lex_tag(l, kind == '%'));
  }
  return push(l, TX_WORD_END, NULL, 0);
}

/* Line ends of one kind, and none at the very end. */
static size_t copy_lines(tx_text source, char *to) {
  size_t size = 0;
  for (size_t i = 0; i < source.size; i++) {
    if (source.data[i] == '\r') {
      to[size++] = '\n';
      if (i + 1 < source.size && source.data[i + 1] == '\n') i++;
    } else {
      to[size++] = source.data[i];
    }
  }
  return size && to[size - 1] == '\n' ? size - 1 : size;
}

tx_status tx_template_lex(tx_text source, const char *file, tx_arena *arena, tx_words *words,
                          tx_error *error) {
  lexer l = {.line = 1, .line_start = true, .file = file, .arena = arena, .words = words,
             .error = error};
  l.source = tx_arena_alloc(arena, source.size);
  if (!l.source) return tx_fail_memory(error, source.size, "a chat template");
  l.size = copy_lines(source, l.source);
  return lex(&l);
}
