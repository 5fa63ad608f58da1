/* The linear scorer: TF-IDF over words, word pairs and runs of characters, then
 * multinomial logistic regression.  The baseline that a language model has to
 * beat, so it is made well: case-folded words of two characters and more (as
 * utf8proc sees letters and digits), single and in pairs, runs of two to four
 * characters within what white space separates, sublinear term frequency,
 * smoothed inverse document frequency, words and runs of unit length each,
 * penalty by cross-validation.  Terms are kept as 64-bit hashes, so it is small
 * enough for an artifact: a million weights at most. */
#ifndef TX_SCORE_LINEAR_H
#define TX_SCORE_LINEAR_H

#include "adapt/memo.h"
#include "formats/artifact.h"
#include "score/scorer.h"

typedef struct tx_linear_options {
  int64_t max_terms;     /* the most frequent by document are kept */
  int64_t min_documents; /* a term must occur in that many texts; 0: 1 below 1,000 texts, else 2 */
  int shortest_run, longest_run; /* of characters, 1 to 8; 0 and 0: words and pairs only */
  int folds;                     /* of the cross-validation, from 2 */
  uint64_t seed;
  tx_memo *memo; /* or NULL */
  const uint8_t *marks; /* as of tx_logistic_options, and what `labels` are then; or NULL */
} tx_linear_options;
tx_linear_options tx_linear_defaults(void); /* 40,000 terms, 0, runs of 2 to 4, 3 folds, seed 1 */

/* The scorer is new.  Same texts and options, same bits.  Of very much text the
 * penalty is chosen on a random part. */
tx_status tx_linear_train(const tx_text *texts, const int32_t *labels, int64_t rows, int classes,
                          tx_linear_options options, tx_scorer **scorer, const tx_watch *watch,
                          tx_error *error);

/* As the baseline of a head, from 0, of an artifact.  Loaded again it gives the same
 * probabilities, bit for bit; a load checks everything it reads.  The writer borrows from the
 * scorer until it commits. */
void tx_linear_save(const tx_scorer *scorer, size_t head, tx_gguf_writer *writer);
tx_status tx_linear_load(const tx_gguf *gguf, size_t head, int classes, tx_scorer **scorer,
                         tx_error *error);

#endif
