/* TF-IDF: which terms are kept, what they weigh, and texts as sparse rows of
 * them.  Term frequency is sublinear (1 + log), inverse document frequency
 * smoothed (log((1 + texts) / (1 + texts with it)) + 1); words and runs of
 * characters have unit length each. */
#ifndef TX_SCORE_TFIDF_H
#define TX_SCORE_TFIDF_H

#include "adapt/logistic.h"
#include "score/terms.h"

typedef struct tx_term_table {
  tx_term_rule rule;
  int64_t count;   /* at least 1 */
  uint64_t *terms; /* (count), rising */
  float *idf;      /* (count) */
  int32_t *first;  /* (2^bits + 1): where the terms with these top bits begin */
  int bits;
} tx_term_table;

/* The terms that stand in `min_documents` texts and more; of more than
 * `max_terms` those in most texts.  Where there are none, one that no text has. */
tx_status tx_term_table_make(tx_term_table *table, const tx_text *texts, int64_t count,
                             tx_term_rule rule, int64_t min_documents, int64_t max_terms,
                             const tx_watch *watch, tx_error *error);

/* Fills `first` and `bits`; false when out of memory. */
bool tx_term_table_index(tx_term_table *table);
void tx_term_table_free(tx_term_table *table);

/* The terms that are kept, as a sparse row: columns and values have room for
 * terms->count.  Returns how many they are. */
int64_t tx_term_table_row(const tx_term_table *table, const tx_terms *terms, int32_t *columns,
                          float *values);

/* The texts as sparse rows, new. */
tx_status tx_term_table_rows(const tx_term_table *table, const tx_text *texts, int64_t count,
                             tx_features *rows, const tx_watch *watch, tx_error *error);
void tx_term_rows_free(tx_features *rows);

#endif
