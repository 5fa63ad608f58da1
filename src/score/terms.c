/* Words and runs of characters, as hashes. */
#include "score/terms.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/hash.h"
#include "base/memory.h"
#include "text/characters.h"

enum { SEED_WORD = 1, SEED_PAIR = 2, SEED_RUN = 3, FOLDED = 4 };

/* What a character does to a word. */
typedef enum role { ROLE_SPACE, ROLE_MARK, ROLE_WORD } role; /* mark: punctuation and symbols */

/* ---- growing ----------------------------------------------------------- */

static void add_term(tx_terms *terms, uint64_t hash, bool is_run) {
  if (terms->count == terms->capacity) {
    size_t capacity = terms->capacity ? 2 * terms->capacity : 256;
    tx_term *items = terms->failed ? NULL : tx_resize(terms->items, capacity * sizeof *items);
    if (!items) {
      terms->failed = true;
      return;
    }
    terms->items = items;
    terms->capacity = capacity;
  }
  terms->items[terms->count++] = (tx_term){(hash & ~(uint64_t)1) | is_run, 1};
}

static void add_point(tx_terms *terms, uint32_t point) {
  if (terms->point_count == terms->point_capacity) {
    size_t capacity = terms->point_capacity ? 2 * terms->point_capacity : 64;
    uint32_t *points = terms->failed ? NULL : tx_resize(terms->points, capacity * sizeof *points);
    if (!points) {
      terms->failed = true;
      return;
    }
    terms->points = points;
    terms->point_capacity = capacity;
  }
  terms->points[terms->point_count++] = point;
}

/* ---- characters -------------------------------------------------------- */

static role ascii_role(uint32_t point) {
  if ((point >= 'a' && point <= 'z') || (point >= 'A' && point <= 'Z')) return ROLE_WORD;
  if ((point >= '0' && point <= '9') || point == '_') return ROLE_WORD;
  return point <= ' ' || point == 0x7f ? ROLE_SPACE : ROLE_MARK;
}

static role wide_role(uint32_t point) {
  switch (tx_character_find(point)) {
    case TX_CHARACTER_LETTER:
    case TX_CHARACTER_NUMBER:
    case TX_CHARACTER_LATE_NUMBER: return ROLE_WORD;
    case TX_CHARACTER_SPACE: return ROLE_SPACE;
    case TX_CHARACTER_OTHER: break;
  }
  switch (utf8proc_category((utf8proc_int32_t)point)) {
    case UTF8PROC_CATEGORY_MN: /* accents and vowel signs belong to their word */
    case UTF8PROC_CATEGORY_MC: return ROLE_WORD;
    case UTF8PROC_CATEGORY_CC: return ROLE_SPACE;
    default: return ROLE_MARK;
  }
}

static void add_folded(tx_terms *terms, uint32_t point) {
  if (point < 0x80) {
    add_point(terms, point >= 'A' && point <= 'Z' ? point + ('a' - 'A') : point);
    return;
  }
  utf8proc_int32_t folded[FOLDED];
  int boundary = 0;
  utf8proc_ssize_t count = utf8proc_decompose_char((utf8proc_int32_t)point, folded, FOLDED,
                                                   UTF8PROC_CASEFOLD, &boundary);
  if (count < 1 || count > FOLDED) {
    add_point(terms, point);
  } else {
    for (utf8proc_ssize_t i = 0; i < count; i++) add_point(terms, (uint32_t)folded[i]);
  }
}

/* The next character; a byte that is no UTF-8 is a space. */
static role next_character(const unsigned char *data, size_t size, size_t *at, uint32_t *point) {
  *point = data[*at];
  if (*point < 0x80) {
    ++*at;
    return ascii_role(*point);
  }
  size_t length = tx_character_decode(data + *at, size - *at, point);
  *at += length ? length : 1;
  return length ? wide_role(*point) : ROLE_SPACE;
}

/* ---- words and runs ---------------------------------------------------- */

/* Words of two characters and more, and pairs of them across what lies between. */
static void add_words(tx_terms *terms, const unsigned char *data, size_t size) {
  uint64_t words[2] = {0}; /* the last word's hash, then this one's */
  bool has_last = false;
  size_t at = 0, characters = 0;
  terms->point_count = 0;
  while (at < size || terms->point_count) {
    uint32_t point = 0;
    role found = at < size ? next_character(data, size, &at, &point) : ROLE_SPACE;
    if (found == ROLE_WORD) {
      add_folded(terms, point);
      characters++;
      continue;
    }
    if (characters >= 2) {
      words[1] = tx_hash64(terms->points, terms->point_count * sizeof *terms->points, SEED_WORD);
      add_term(terms, words[1], false);
      if (has_last) add_term(terms, tx_hash64(words, sizeof words, SEED_PAIR), false);
      words[0] = words[1];
      has_last = true;
    }
    characters = terms->point_count = 0;
  }
}

/* The runs of the word in `points`, which has a blank at either end. */
static void add_runs_of_word(tx_terms *terms, tx_term_rule rule) {
  size_t count = terms->point_count;
  for (size_t length = (size_t)rule.shortest; length <= (size_t)rule.longest; length++) {
    size_t size = length < count ? length : count;
    for (size_t i = 0; i + size <= count; i++) {
      uint64_t hash = tx_hash64(terms->points + i, size * sizeof *terms->points, SEED_RUN);
      add_term(terms, hash, true);
    }
    if (length >= count) break; /* the whole word, once */
  }
}

static void add_runs(tx_terms *terms, const unsigned char *data, size_t size, tx_term_rule rule) {
  size_t at = 0;
  terms->point_count = 0;
  while (at < size || terms->point_count) {
    uint32_t point = 0;
    role found = at < size ? next_character(data, size, &at, &point) : ROLE_SPACE;
    if (found != ROLE_SPACE) {
      if (!terms->point_count) add_point(terms, ' ');
      add_folded(terms, point);
    } else if (terms->point_count) {
      add_point(terms, ' ');
      add_runs_of_word(terms, rule);
      terms->point_count = 0;
    }
    if (terms->failed) return;
  }
}

/* ---- order ------------------------------------------------------------- */

static int by_hash(const void *left, const void *right) {
  const tx_term *a = left, *b = right;
  return a->hash < b->hash ? -1 : a->hash > b->hash;
}

static bool reserve_buckets(tx_terms *terms, size_t buckets) {
  if (terms->sorted_capacity < terms->count) {
    tx_term *sorted = tx_resize(terms->sorted, terms->capacity * sizeof *sorted);
    if (!sorted) return false;
    terms->sorted = sorted;
    terms->sorted_capacity = terms->capacity;
  }
  if (terms->bucket_capacity < buckets) {
    uint32_t *ends = tx_resize(terms->bucket_ends, buckets * sizeof *ends);
    if (!ends) return false;
    terms->bucket_ends = ends;
    terms->bucket_capacity = buckets;
  }
  return true;
}

/* Hashes are spread evenly, so about one falls into each of as many buckets as
 * there are terms, and the rest is moving neighbours.  Where a text was made to
 * fill one bucket, or memory is short, an ordinary sort. */
static void sort_terms(tx_terms *terms) {
  int bits = 1;
  while (bits < 20 && (size_t)1 << bits < terms->count) bits++;
  size_t buckets = (size_t)1 << bits, fullest = 0;
  if (terms->count > UINT32_MAX || !reserve_buckets(terms, buckets)) {
    qsort(terms->items, terms->count, sizeof *terms->items, by_hash);
    return;
  }
  memset(terms->bucket_ends, 0, buckets * sizeof *terms->bucket_ends);
  for (size_t i = 0; i < terms->count; i++) {
    size_t filled = ++terms->bucket_ends[terms->items[i].hash >> (64 - bits)];
    if (filled > fullest) fullest = filled;
  }
  for (size_t i = 1; i < buckets; i++) terms->bucket_ends[i] += terms->bucket_ends[i - 1];
  for (size_t i = terms->count; i-- > 0;) {
    terms->sorted[--terms->bucket_ends[terms->items[i].hash >> (64 - bits)]] = terms->items[i];
  }
  tx_term *sorted = terms->sorted;
  terms->sorted = terms->items;
  terms->items = sorted;
  size_t capacity = terms->capacity;
  terms->capacity = terms->sorted_capacity;
  terms->sorted_capacity = capacity;
  if (fullest > 64) {
    qsort(sorted, terms->count, sizeof *sorted, by_hash);
    return;
  }
  for (size_t i = 1; i < terms->count; i++) {
    tx_term moved = sorted[i];
    size_t j = i;
    for (; j > 0 && sorted[j - 1].hash > moved.hash; j--) sorted[j] = sorted[j - 1];
    sorted[j] = moved;
  }
}

bool tx_terms_find(tx_terms *terms, tx_text text, tx_term_rule rule) {
  const unsigned char *data = (const unsigned char *)text.data;
  terms->count = 0;
  add_words(terms, data, text.size);
  if (rule.longest > 0 && !terms->failed) add_runs(terms, data, text.size, rule);
  if (terms->failed) return false;
  if (terms->count < 2) return true;
  sort_terms(terms);
  size_t kept = 0;
  for (size_t i = 1; i < terms->count; i++) {
    if (terms->items[i].hash == terms->items[kept].hash) {
      terms->items[kept].count++;
    } else {
      terms->items[++kept] = terms->items[i];
    }
  }
  terms->count = kept + 1;
  return true;
}

void tx_terms_free(tx_terms *terms) {
  tx_free(terms->items);
  tx_free(terms->points);
  tx_free(terms->sorted);
  tx_free(terms->bucket_ends);
  *terms = (tx_terms){0};
}
