/* BLEU and chrF from counted overlaps. */
#include "trust/translation.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/exact.h"
#include "base/memory.h"
#include "text/characters.h"
#include "trust/mteval.h"
#include "trust/overlap.h"

static tx_status check_size(tx_text text, size_t number, tx_error *error) {
  if (text.size <= INT32_MAX) return TX_OK;
  return tx_fail(error, TX_ERROR_ARGUMENT,
                 "text %zu is %zu bytes long; cut it below 2 GiB", number + 1, text.size);
}

/* ---- words ------------------------------------------------------------- */

typedef struct word {
  tx_text text;
  size_t at;
} word;

/* What one pair of texts needs; reused from pair to pair. */
typedef struct work {
  tx_mteval left, right;
  word *words; /* of both texts, (count) */
  size_t count, capacity;
  tx_symbols symbols;
  tx_error *error;
} work;

static void free_work(work *w) {
  tx_mteval_free(&w->left);
  tx_mteval_free(&w->right);
  tx_free(w->words);
  tx_symbols_free(&w->symbols);
}

static tx_status no_memory(const work *w, size_t count) {
  return tx_fail_memory(w->error, count * sizeof(word), "comparing two texts");
}

static tx_status add_words(work *w, tx_mteval *mteval, tx_text text) {
  tx_text spaced, found;
  TX_TRY(tx_mteval_space(mteval, text, &spaced, w->error));
  while (tx_mteval_next(&spaced, &found)) {
    if (w->count == w->capacity) {
      size_t capacity = w->capacity ? w->capacity * 2 : 256;
      word *grown = tx_resize(w->words, capacity * sizeof *grown);
      if (!grown) return no_memory(w, capacity);
      w->words = grown;
      w->capacity = capacity;
    }
    w->words[w->count] = (word){found, w->count};
    w->count++;
  }
  return TX_OK;
}

static int by_text(const void *a, const void *b) {
  const tx_text *left = &((const word *)a)->text, *right = &((const word *)b)->text;
  size_t shorter = left->size < right->size ? left->size : right->size;
  int order = memcmp(left->data, right->data, shorter);
  return order ? order : (left->size > right->size) - (left->size < right->size);
}

/* The same number for the same word. */
static tx_status number_words(work *w) {
  w->symbols.count = 0;
  for (size_t i = 0; i < w->count; i++) {
    if (!tx_symbols_add(&w->symbols, 0)) return no_memory(w, w->count);
  }
  if (w->count) qsort(w->words, w->count, sizeof *w->words, by_text);
  uint32_t number = 0;
  for (size_t i = 0; i < w->count; i++) {
    if (i && by_text(&w->words[i - 1], &w->words[i]) != 0) number++;
    w->symbols.items[w->words[i].at] = number;
  }
  return TX_OK;
}

static tx_status compare_words(work *w, tx_text hypothesis, tx_text reference, tx_bleu *bleu,
                               tx_overlap *overlaps) {
  w->count = 0;
  TX_TRY(add_words(w, &w->left, hypothesis));
  size_t left = w->count;
  TX_TRY(add_words(w, &w->right, reference));
  TX_TRY(number_words(w));
  bleu->hypothesis_words += (int64_t)left;
  bleu->reference_words += (int64_t)(w->count - left);
  return tx_overlap_add(&w->symbols, left, TX_BLEU_ORDERS, overlaps, w->error);
}

/* ---- BLEU -------------------------------------------------------------- */

static double brevity_penalty(int64_t words, int64_t reference) {
  if (words >= reference) return 1;
  return words > 0 ? tx_exp(1 - (double)reference / (double)words) : 0;
}

/* An order without a match counts as half a match, the next such one as a quarter. */
static void score_bleu(tx_bleu *bleu) {
  double share = 1, sum = 0;
  int64_t matches = 0;
  bool all = true;
  bleu->brevity_penalty = brevity_penalty(bleu->hypothesis_words, bleu->reference_words);
  for (int i = 0; i < TX_BLEU_ORDERS; i++) matches += bleu->correct[i];
  for (int i = 0; matches && all && i < TX_BLEU_ORDERS; i++) {
    double total = (double)bleu->total[i], correct = (double)bleu->correct[i];
    all = bleu->total[i] > 0;
    if (!all) break;
    if (correct == 0) share *= 2;
    bleu->precisions[i] = correct == 0 ? 100 / (share * total) : 100 * correct / total;
    sum += tx_log(bleu->precisions[i]);
  }
  bleu->score = matches && all ? bleu->brevity_penalty * tx_exp(sum / TX_BLEU_ORDERS) : 0;
}

tx_status tx_bleu_corpus(const tx_text *hypotheses, const tx_text *references, size_t count,
                         tx_bleu *bleu, tx_error *error) {
  tx_overlap overlaps[TX_BLEU_ORDERS] = {0};
  work w = {.error = error};
  tx_status status = TX_OK;
  *bleu = (tx_bleu){0};
  for (size_t i = 0; status == TX_OK && i < count; i++) {
    status = check_size(hypotheses[i], i, error);
    if (status == TX_OK) status = check_size(references[i], i, error);
    if (status == TX_OK) {
      status = compare_words(&w, hypotheses[i], references[i], bleu, overlaps);
    }
  }
  free_work(&w);
  if (status != TX_OK) return status;
  for (int i = 0; i < TX_BLEU_ORDERS; i++) {
    bleu->correct[i] = overlaps[i].both;
    bleu->total[i] = overlaps[i].left;
  }
  score_bleu(bleu);
  return TX_OK;
}

/* ---- chrF -------------------------------------------------------------- */

/* Characters but white space; a byte that is not UTF-8 is one of its own. */
static tx_status add_characters(tx_symbols *symbols, tx_text text, tx_error *error) {
  enum { BEYOND = 0x110000 };
  for (size_t at = 0; at < text.size;) {
    uint32_t point;
    size_t size =
        tx_character_decode((const unsigned char *)text.data + at, text.size - at, &point);
    if (!size) point = BEYOND + (unsigned char)text.data[at];
    at += size ? size : 1;
    if (tx_character_is_space(point)) continue;
    if (!tx_symbols_add(symbols, point)) {
      return tx_fail_memory(error, text.size * sizeof point, "comparing two texts");
    }
  }
  return TX_OK;
}

static tx_status compare_characters(tx_symbols *symbols, tx_text hypothesis, tx_text reference,
                                    tx_overlap *sums, tx_error *error) {
  tx_overlap overlaps[TX_CHRF_ORDERS] = {0};
  symbols->count = 0;
  TX_TRY(add_characters(symbols, hypothesis, error));
  size_t left = symbols->count;
  TX_TRY(add_characters(symbols, reference, error));
  TX_TRY(tx_overlap_add(symbols, left, TX_CHRF_ORDERS, overlaps, error));
  for (int i = 0; i < TX_CHRF_ORDERS; i++) {
    /* Runs count against a hypothesis only where its reference is as long. */
    if (overlaps[i].right) sums[i].left += overlaps[i].left;
    sums[i].right += overlaps[i].right;
    sums[i].both += overlaps[i].both;
  }
  return TX_OK;
}

static double score_chrf(const tx_overlap *sums) {
  const double factor = 4; /* beta = 2, squared */
  double precision = 0, recall = 0;
  int orders = 0;
  for (int i = 0; i < TX_CHRF_ORDERS; i++) {
    if (!sums[i].left || !sums[i].right) continue;
    precision += (double)sums[i].both / (double)sums[i].left;
    recall += (double)sums[i].both / (double)sums[i].right;
    orders++;
  }
  if (precision + recall == 0) return 0;
  precision /= orders;
  recall /= orders;
  return 100 * ((1 + factor) * precision * recall / (factor * precision + recall));
}

tx_status tx_chrf_corpus(const tx_text *hypotheses, const tx_text *references, size_t count,
                         double *score, tx_error *error) {
  tx_overlap sums[TX_CHRF_ORDERS] = {0};
  tx_symbols symbols = {0};
  tx_status status = TX_OK;
  *score = 0;
  for (size_t i = 0; status == TX_OK && i < count; i++) {
    status = check_size(hypotheses[i], i, error);
    if (status == TX_OK) status = check_size(references[i], i, error);
    if (status == TX_OK) {
      status = compare_characters(&symbols, hypotheses[i], references[i], sums, error);
    }
  }
  tx_symbols_free(&symbols);
  if (status == TX_OK) *score = score_chrf(sums);
  return status;
}
