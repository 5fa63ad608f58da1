/* The terms of a text: its words, its pairs of neighbouring words, and runs of
 * characters inside what white space separates.  Case is folded; a byte that is
 * no UTF-8 separates.  What the terms weigh is left to tfidf.h. */
#ifndef TX_SCORE_TERMS_H
#define TX_SCORE_TERMS_H

#include "base/error.h"

/* Runs of `shortest` to `longest` characters, the blank before and behind a
 * word included; 0 and 0: none. */
typedef struct tx_term_rule {
  int shortest, longest;
} tx_term_rule;

enum { TX_LONGEST_RUN = 8 };

typedef struct tx_term {
  uint64_t hash; /* the lowest bit: a run of characters */
  int64_t count;
} tx_term;

static inline bool tx_term_is_run(uint64_t hash) { return hash & 1; }

/* Start with {0}; may be used for one text after another. */
typedef struct tx_terms {
  tx_term *items; /* (count), by rising hash, each once */
  size_t count, capacity;
  uint32_t *points; /* scratch: one word's characters */
  size_t point_count, point_capacity;
  tx_term *sorted; /* scratch of sorting, as the next */
  uint32_t *bucket_ends;
  size_t sorted_capacity, bucket_capacity;
  bool failed; /* out of memory */
} tx_terms;

/* false when out of memory */
bool tx_terms_find(tx_terms *terms, tx_text text, tx_term_rule rule);
void tx_terms_free(tx_terms *terms);

#endif
