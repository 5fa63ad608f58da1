/* How near texts are to reference texts: BLEU and chrF of a corpus, as sacrebleu 2
 * computes them by default, to its last digits.
 * Sources: Papineni et al., ACL 2002 (BLEU); Popovic, WMT 2015 (chrF); Post, WMT 2018
 * (sacrebleu). */
#ifndef TX_TRUST_TRANSLATION_H
#define TX_TRUST_TRANSLATION_H

#include "base/error.h"

enum { TX_BLEU_ORDERS = 4, TX_CHRF_ORDERS = 6 };

typedef struct tx_bleu {
  double score;                      /* 0..100 */
  double precisions[TX_BLEU_ORDERS]; /* 0..100, of 1 to 4 words; smoothed */
  double brevity_penalty;            /* 0..1 */
  int64_t correct[TX_BLEU_ORDERS], total[TX_BLEU_ORDERS];
  int64_t hypothesis_words, reference_words;
} tx_bleu;

/* Words by mteval's rules (13a), case kept, exponential smoothing, all four orders always:
 * a corpus without a match, or without four words in a row, scores 0.
 * hypotheses, references: (count), each below 2 GiB. */
tx_status tx_bleu_corpus(const tx_text *hypotheses, const tx_text *references, size_t count,
                         tx_bleu *bleu, tx_error *error);

/* chrF2, 0..100: 1 to 6 characters without white space, no words, recall twice as heavy as
 * precision, over the orders that both sides have. */
tx_status tx_chrf_corpus(const tx_text *hypotheses, const tx_text *references, size_t count,
                         double *score, tx_error *error);

#endif
