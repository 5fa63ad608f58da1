/* The linear scorer: TF-IDF over words and word pairs, then multinomial logistic
 * regression.  The baseline that a language model has to beat, so it is made
 * well: lower-cased words of two characters and more (as utf8proc sees letters
 * and digits), single and in pairs, sublinear term frequency, smoothed inverse
 * document frequency, rows of unit length, penalty by cross-validation.
 * Terms are kept as 64-bit hashes, so it is small enough for an artifact. */
#ifndef TX_SCORE_LINEAR_H
#define TX_SCORE_LINEAR_H

#include "formats/gguf.h"
#include "formats/gguf_write.h"
#include "score/scorer.h"

typedef struct tx_linear_options {
  int64_t max_terms;     /* the most frequent by document are kept */
  int64_t min_documents; /* a term must occur in that many texts */
  int folds;
  uint64_t seed;
} tx_linear_options;
tx_linear_options tx_linear_defaults(void);

/* The scorer is new. */
tx_status tx_linear_train(const tx_text *texts, const int32_t *labels, int64_t rows, int classes,
                          tx_linear_options options, tx_scorer **scorer, const tx_watch *watch,
                          tx_error *error);

/* Under the key and tensor prefix "taxon.linear".  The writer borrows from the
 * scorer until it commits. */
void tx_linear_save(const tx_scorer *scorer, tx_gguf_writer *writer);
tx_status tx_linear_load(const tx_gguf *gguf, int classes, tx_scorer **scorer, tx_error *error);

#endif
