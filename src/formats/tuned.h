/* The artifact of a model that was tuned to write: like that of a classifier (artifact.h) a
 * small GGUF file of what differs from its base, which it names by SHA-256, and of how it was
 * made.  Its general.type is "tuned".
 *
 * Keys, all under "taxon.": format, method, template, base.*, training.*, validation.*.
 * Tensors: changed ones of the base under their own names; of an adapter "<name>.lora_a" and
 * "<name>.lora_b", the second times the adapter's scale. */
#ifndef TX_FORMATS_TUNED_H
#define TX_FORMATS_TUNED_H

#include "formats/gguf.h"
#include "formats/gguf_write.h"

/* Strings are borrowed: from the caller when writing, from the file when read. */
typedef struct tx_tuned_facts {
  tx_text method;        /* "lora" */
  tx_text chat_template; /* by its name: "model", "alpaca", "chatml" */
  tx_text base_name, base_sha256;
  tx_text objective; /* "answers", "whole texts", "preferences" */
  int64_t blocks_trained;
  int64_t train_rows, val_rows, tokens, answer_tokens, left_out;
  tx_text data_sha256, validation_sha256; /* of the rows as they were read */
  int64_t seed, epochs, best_epoch, batch, accumulate, rank, trained_parameters;
  double learning_rate, weight_decay, beta; /* beta of preferences; else 0 */
  tx_text schedule, command, version;
  double before_loss, before_right, loss, right; /* on the validation rows; see tx_tune_score */
} tx_tuned_facts;

bool tx_tuned_is(const tx_gguf *gguf); /* an artifact that says it is of this kind */

void tx_tuned_add_facts(tx_gguf_writer *writer, const tx_tuned_facts *facts);

/* Opens a file and checks that it is such an artifact, of a format that this program knows,
 * with facts that are whole and within range.  `gguf` is new. */
tx_status tx_tuned_open(const char *path, tx_gguf **gguf, tx_tuned_facts *facts, tx_error *error);

#endif
