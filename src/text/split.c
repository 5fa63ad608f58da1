/* Split rules through PCRE2, on outlines of the text seen through a window. */
#include "text/split.h"

#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/memory.h"
#include "text/characters.h"

/* The outline's alphabet.  ASCII stays as it is.  A letter becomes 'A' on all its
 * bytes, which no contraction holds, and a character of no kind '!'.  Numbers and
 * spaces must be counted one by one, so only their first byte says what they are
 * ('0', LATE; '\n') and the others say that they continue it. */
enum { CONTINUED = 0x80, LATE_NUMBER = 0x81 };
#define S "\\t-\\r "

/* Each rule's own pattern, with \p{L}, \p{N} and \s, is given beside it. */
static const struct rule {
  const char *name, *pattern;
} rules[] = {
    /* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
    {"gpt-2",
     "'(?:[sdmt]|ll|ve|re)"
     "| ?[A-Za-z]+"
     "| ?[0-9][0-9\\x80]*"
     "| ?[^" S "A-Za-z0-9]+"
     "|[" S "\\x80]+(?![^" S "])"
     "|[" S "\\x80]+"},
    /* Every number stands alone, and what is between numbers is split as by
     * gpt-2, as if it were the whole text: white space before a number is whole. */
    {"smollm",
     "[0-9\\x81]\\x80*"
     "|'(?:[sdmt]|ll|ve|re)"
     "| ?[A-Za-z]+"
     "| ?[^" S "A-Za-z0-9\\x80\\x81]+"
     "|[" S "\\x80]+(?![^" S "0-9\\x81])"
     "|[" S "\\x80]+"},
};

enum {
  /* No rule decides by more than this many bytes after a piece's end. */
  LOOK_AHEAD = 8,
  FIRST_WINDOW = 1 << 14,
};

struct tx_splitter {
  pcre2_general_context *memory;
  pcre2_code *code;
  bool jit;
};

struct tx_split {
  const tx_splitter *splitter;
  pcre2_match_data *match;
  tx_text text;
  size_t at; /* the next piece's start */
  /* The outline of text[start, end): `subject`, which is the text itself where
   * that is ASCII, else `outline`. */
  size_t start, end;
  const unsigned char *subject;
  unsigned char *outline;
  size_t capacity;
};

static void *memory_alloc(size_t size, void *context) {
  (void)context;
  return tx_alloc(size);
}

static void memory_free(void *block, void *context) {
  (void)context;
  tx_free(block);
}

static const struct rule *rule_find(tx_text name) {
  for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
    if (strlen(rules[i].name) == name.size && !memcmp(rules[i].name, name.data, name.size)) {
      return &rules[i];
    }
  }
  return NULL;
}

static tx_status rule_unknown(const char *file, tx_text name, tx_error *error) {
  enum { SHOWN = 40 };
  char shown[SHOWN + 1];
  size_t size = name.size < SHOWN ? name.size : SHOWN;
  for (size_t i = 0; i < size; i++) {
    shown[i] = '?';
    if (name.data[i] >= ' ' && name.data[i] <= '~') shown[i] = name.data[i];
  }
  shown[size] = '\0';
  char known[128] = "";
  for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
    strncat(known, i ? ", " : "", sizeof known - strlen(known) - 1);
    strncat(known, rules[i].name, sizeof known - strlen(known) - 1);
  }
  return tx_fail_line(error, TX_ERROR_INPUT, file, 0,
                      "the tokenizer's split rule \"%s\" (tokenizer.ggml.pre) is not known; use a "
                      "model with one of these: %s",
                      shown, known);
}

tx_status tx_splitter_new(const char *file, tx_text name, bool jit, tx_splitter **splitter,
                          tx_error *error) {
  *splitter = NULL;
  const struct rule *rule = rule_find(name);
  if (!rule) return rule_unknown(file, name, error);
  tx_splitter *made = tx_alloc_zero(1, sizeof *made);
  if (!made) return tx_fail_memory(error, sizeof *made, "a tokenizer");
  int code;
  PCRE2_SIZE offset;
  made->memory = pcre2_general_context_create(memory_alloc, memory_free, NULL);
  pcre2_compile_context *context = made->memory ? pcre2_compile_context_create(made->memory) : NULL;
  if (context) {
    made->code = pcre2_compile((PCRE2_SPTR)rule->pattern, PCRE2_ZERO_TERMINATED, PCRE2_ANCHORED,
                               &code, &offset, context);
  }
  pcre2_compile_context_free(context);
  if (!made->code) {
    tx_splitter_free(made);
    return tx_fail_memory(error, strlen(rule->pattern), "a split rule");
  }
  made->jit = jit && pcre2_jit_compile(made->code, PCRE2_JIT_COMPLETE) == 0;
  *splitter = made;
  return TX_OK;
}

void tx_splitter_free(tx_splitter *splitter) {
  if (!splitter) return;
  pcre2_code_free(splitter->code);
  pcre2_general_context_free(splitter->memory);
  tx_free(splitter);
}

tx_split *tx_split_new(const tx_splitter *splitter) {
  tx_split *split = tx_alloc_zero(1, sizeof *split);
  if (!split) return NULL;
  split->splitter = splitter;
  split->match = pcre2_match_data_create(1, splitter->memory);
  if (!split->match) {
    tx_split_free(split);
    return NULL;
  }
  return split;
}

void tx_split_free(tx_split *split) {
  if (!split) return;
  pcre2_match_data_free(split->match);
  tx_free(split->outline);
  tx_free(split);
}

void tx_split_start(tx_split *split, tx_text text) {
  split->text = text;
  split->at = split->start = split->end = 0;
}

static bool is_ascii(const unsigned char *data, size_t size) {
  uint64_t high = 0, word;
  size_t i = 0;
  for (; i + sizeof word <= size; i += sizeof word) {
    memcpy(&word, data + i, sizeof word);
    high |= word;
  }
  for (; i < size; i++) high |= data[i];
  return !(high & UINT64_C(0x8080808080808080));
}

static void draw_outline(const unsigned char *data, size_t size, unsigned char *outline) {
  static const unsigned char first[] = {'!', 'A', '0', '\n', LATE_NUMBER}; /* by kind */
  static const unsigned char next[] = {'!', 'A', CONTINUED, CONTINUED, CONTINUED};
  for (size_t i = 0; i < size;) {
    if (data[i] < 0x80) {
      outline[i] = data[i];
      i++;
      continue;
    }
    uint32_t point;
    size_t length = tx_character_decode(data + i, size - i, &point);
    tx_character_kind kind = length ? tx_character_find(point) : TX_CHARACTER_OTHER;
    outline[i++] = first[kind];
    for (size_t left = length; left > 1; left--) outline[i++] = next[kind];
  }
}

/* Opens a window of `size` bytes at the next piece. */
static tx_status open_window(tx_split *split, size_t size, tx_error *error) {
  size_t left = split->text.size - split->at;
  if (size > left) size = left;
  const unsigned char *data = (const unsigned char *)split->text.data + split->at;
  split->start = split->at;
  split->end = split->at + size;
  split->subject = data;
  if (is_ascii(data, size)) return TX_OK;
  if (split->capacity < size) {
    unsigned char *outline = tx_alloc(size);
    if (!outline) return tx_fail_memory(error, size, "a text's outline");
    tx_free(split->outline);
    split->outline = outline;
    split->capacity = size;
  }
  draw_outline(data, size, split->outline);
  split->subject = split->outline;
  return TX_OK;
}

/* The length of the piece at split->at as the window shows it; 0 on failure. */
static size_t match_piece(const tx_split *split) {
  size_t from = split->at - split->start, size = split->end - split->start;
  int found = PCRE2_ERROR_JIT_STACKLIMIT;
  if (split->splitter->jit) {
    found =
        pcre2_jit_match(split->splitter->code, split->subject, size, from, 0, split->match, NULL);
  }
  if (found == PCRE2_ERROR_JIT_STACKLIMIT) {
    found = pcre2_match(split->splitter->code, split->subject, size, from, PCRE2_NO_JIT,
                        split->match, NULL);
  }
  return found > 0 ? pcre2_get_ovector_pointer(split->match)[1] - from : 0;
}

tx_status tx_split_next(tx_split *split, tx_text *piece, tx_error *error) {
  *piece = (tx_text){NULL, 0};
  if (split->at == split->text.size) return TX_OK;
  piece->data = split->text.data + split->at;
  size_t window = FIRST_WINDOW;
  for (;;) {
    bool sure = split->end == split->text.size;
    if (split->at < split->end) {
      piece->size = match_piece(split);
      if (!piece->size) {
        return tx_fail(error, TX_ERROR_SYSTEM,
                       "the text could not be split at byte %zu: PCRE2 found no match or no "
                       "memory; free memory and try again",
                       split->at);
      }
      if (sure || split->at + piece->size + LOOK_AHEAD <= split->end) break;
    }
    TX_TRY(open_window(split, window, error));
    window *= 2;
  }
  split->at += piece->size;
  return TX_OK;
}
