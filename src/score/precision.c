/* Precisions by name, and the matrices that stay fp32. */
#include "score/precision.h"

#include <string.h>

#include "base/memory.h"
#include "formats/nearest.h"

static const char *const names[] = {"f32", "int8", "auto"};

const char *tx_precision_name(tx_precision precision) { return names[precision]; }

tx_status tx_precision_of(const tx_gguf *artifact, const tx_artifact_facts *facts,
                          tx_precision *precision, tx_error *error) {
  tx_text name = facts->precision;
  *precision = TX_PRECISION_F32;
  if (name.size == 0) return TX_OK;
  for (int i = 0; i < TX_PRECISION_AUTO; i++) {
    if (strlen(names[i]) != name.size || memcmp(names[i], name.data, name.size) != 0) continue;
    *precision = (tx_precision)i;
    return TX_OK;
  }
  char shown[TX_SHOWN_SIZE];
  return tx_fail(error, TX_ERROR_INPUT,
                 "%s: the precision '%s' is not known; use the taxon that wrote it or train again",
                 tx_gguf_path(artifact), tx_show_name(name, shown));
}

tx_status tx_precision_take(const tx_gguf *artifact, const tx_artifact_facts *facts,
                            tx_model *model, tx_error *error) {
  for (size_t i = 0; i < facts->f32_count; i++) {
    int64_t block;
    tx_matrix_slot slot;
    if (!tx_matrix_find(tx_model_facts(model), facts->f32_matrices[i], &block, &slot)) {
      char shown[TX_SHOWN_SIZE];
      return tx_fail(error, TX_ERROR_INPUT,
                     "%s: %s names '%s', which its base does not have; the artifact is damaged, "
                     "train it again",
                     tx_gguf_path(artifact), TX_F32_MATRICES,
                     tx_show_name(facts->f32_matrices[i], shown));
    }
    tx_model_keep_f32(model, block, slot, true);
  }
  return TX_OK;
}

/* ---- measuring ---------------------------------------------------------- */

/* Of several kinds, so that spikes that come with some tokens only are seen.  A
 * change here changes what --precision int8 answers where nothing was measured. */
static const char *const sentences[] = {
    "The lens is sharp and the screen is bright, but it broke within a week and nobody answers my "
    "letters.",
    "URGENT! You have won a 1 week FREE membership in our 100,000 pounds prize jackpot. Text CLAIM "
    "to 81010, www.example.com/claim",
    "how do I activate my new card?",
    "Stocks fell on Tuesday after the central bank said that it would raise interest rates by a "
    "quarter of a point in 2005, the third time this year.",
    "def area(r): return 3.14159 * r ** 2  # of a circle",
    "Der Zug nach K\xc3\xb6ln f\xc3\xa4hrt heute von Gleis 7. Gracias, muy bien. "
    "\xe3\x81\x82\xe3\x82\x8a\xe3\x81\x8c\xe3\x81\xa8\xe3\x81\x86",
    "ok lol \xf0\x9f\x98\x80 see u at 8",
};
enum { SENTENCES = sizeof sentences / sizeof *sentences, TEXTS = 256 };

tx_status tx_precision_measure(tx_model *model, tx_pass *pass, const tx_tokenizer *tokenizer,
                               const tx_text *texts, size_t count, int64_t depth,
                               const tx_watch *watch, tx_error *error) {
  tx_text own[SENTENCES];
  for (size_t i = 0; i < SENTENCES; i++) own[i] = tx_text_of(sentences[i]);
  if (count == 0) texts = own, count = SENTENCES;
  if (count > TEXTS) count = TEXTS;
  int64_t longest = tx_model_facts(model)->context;
  if (longest > TX_SPIKES_TOKENS) longest = TX_SPIKES_TOKENS;
  tx_encoded encoded;
  TX_TRY(tx_encode(tokenizer, texts, (int64_t)count, (tx_encoding){longest, 0}, &encoded, error));
  tx_sequences sample = {encoded.count, encoded.ids, encoded.offsets};
  tx_status status = tx_spikes_keep(model, pass, &sample, depth, watch, error);
  tx_encoded_free(&encoded);
  return status;
}

tx_status tx_precision_names(const tx_model *model, int64_t depth, tx_arena *arena,
                             const tx_text **list, size_t *count, tx_error *error) {
  size_t most = (size_t)depth * TX_MATRICES;
  tx_text *texts = tx_arena_array(arena, most, sizeof *texts);
  if (!texts) return tx_fail_memory(error, most * sizeof *texts, "the names of matrices");
  *count = 0;
  for (int64_t i = 0; i < (int64_t)most; i++) {
    tx_matrix_slot slot = (tx_matrix_slot)(i % TX_MATRICES);
    char name[TX_MATRIX_NAME];
    if (!tx_model_keeps_f32(model, i / TX_MATRICES, slot)) continue;
    if (tx_model_is_changed(model, i / TX_MATRICES, slot)) continue;
    tx_matrix_name(i / TX_MATRICES, slot, name);
    char *copy = tx_arena_string(arena, name, strlen(name));
    if (!copy) return tx_fail_memory(error, sizeof name, "the names of matrices");
    texts[(*count)++] = tx_text_of(copy);
  }
  *list = texts;
  return TX_OK;
}
