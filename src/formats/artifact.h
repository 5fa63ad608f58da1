/* The artifact: a classifier as one small GGUF file (architecture "taxon").  It
 * holds what differs from the base model and every fact about how it was made;
 * the base is named by its SHA-256.  What the numbers mean is left to src/score.
 *
 * Keys, all under "taxon.": format (1), labels, method, template, pooling, depth,
 * max_tokens, base.name, base.sha256, training.*, validation.*, baseline.*.
 * Tensors: head.weight [C, labels], head.bias [labels], changed tensors of the
 * base under their own names, "taxon.training.texts" (fingerprints, rising). */
#ifndef TX_FORMATS_ARTIFACT_H
#define TX_FORMATS_ARTIFACT_H

#include "formats/gguf.h"
#include "formats/gguf_write.h"

enum { TX_ARTIFACT_FORMAT = 1 };

/* Strings are borrowed: from the caller when writing, from the file when read. */
typedef struct tx_artifact_facts {
  const tx_text *labels; /* (label_count), rising by bytes; UTF-8, not empty */
  size_t label_count;    /* at least 2 */
  tx_text method;        /* "head", "last-block" */
  tx_text text_template; /* "{text}" */
  tx_text pooling;       /* "last", "mean", "first" */
  int64_t depth;         /* blocks that are run */
  int64_t max_tokens;
  tx_text base_name, base_sha256;
  int64_t blocks_trained;
  int64_t train_rows, val_rows, tokens, cut;
  tx_text data_sha256, validation_sha256; /* of the table's rows */
  int64_t seed, epochs, best_epoch, batch, accumulate, trained_parameters;
  double learning_rate, weight_decay, penalty;
  double words; /* share of the linear baseline in the answers, 0..1; 0 where the key is missing */
  tx_text head_solver, class_weights, schedule, command, version;
  double val_accuracy, val_lo, val_hi, val_macro_f1, val_nll;
  int64_t majority_label;                    /* the training rows' most frequent */
  double majority_accuracy, linear_accuracy; /* on the validation rows */
} tx_artifact_facts;

void tx_artifact_add_facts(tx_gguf_writer *writer, const tx_artifact_facts *facts);

/* Opens a file and checks that it is an artifact of a format this program knows,
 * with facts that are whole and within range.  The strings live as long as
 * `gguf`, which is new. */
tx_status tx_artifact_open(const char *path, tx_gguf **gguf, tx_artifact_facts *facts,
                           tx_error *error);

/* The fingerprints of the training texts, rising; borrowed, maybe none. */
void tx_artifact_fingerprints(const tx_gguf *gguf, const uint64_t **fingerprints, int64_t *count);

#endif
