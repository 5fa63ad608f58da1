/* The artifact: a classifier as one small GGUF file (architecture "taxon").  It
 * holds what differs from the base model and every fact about how it was made;
 * the base is named by its SHA-256.  What the numbers mean is left to src/score.
 *
 * Keys, all under "taxon.": format (1), labels, method, template, pooling, depth,
 * max_tokens, base.name, base.sha256, training.*, validation.*, baseline.*.
 * Tensors: head.weight [C, labels], head.bias [labels], changed tensors of the
 * base under their own names, "taxon.training.texts" (fingerprints, rising).
 *
 * Any number of labels a text: taxon.multi_label, taxon.label_separator, and
 * taxon.baseline.majority_labels (missing where the most frequent set is of none).
 *
 * Labels that are paths: taxon.hierarchical.
 *
 * Several heads, that is label sets over one trunk: taxon.heads has their names,
 * the first one's keys and tensors are those above, and number i from 1 has its
 * own below "taxon.head.<i>." and "head.<i>." (not what all of them share: method,
 * template, max_tokens, base.*, precision, f32_matrices). */
#ifndef TX_FORMATS_ARTIFACT_H
#define TX_FORMATS_ARTIFACT_H

#include "formats/gguf.h"
#include "formats/gguf_write.h"

enum {
  TX_ARTIFACT_FORMAT = 1,
  TX_ARTIFACT_KEY = 64, /* room for any key of a head */
  TX_HEAD_NAME = 64     /* bytes of a head's name, at most */
};

#define TX_PRECISION_KEY "taxon.precision"
#define TX_F32_MATRICES "taxon.f32_matrices"

/* Strings are borrowed: from the caller when writing, from the file when read. */
typedef struct tx_artifact_facts {
  const tx_text *heads;  /* (head_count): names */
  size_t head_count;     /* 0: one head, without a name */
  size_t head;           /* which of them the rest is about, from 0 */
  const tx_text *labels; /* (label_count), rising by bytes; UTF-8, not empty */
  size_t label_count;    /* at least 2 */
  tx_text method;        /* "head", "last-block" */
  tx_text text_template; /* "{text}" */
  tx_text pooling;       /* "last", "mean", "first" */
  int64_t depth;         /* blocks that are run */
  int64_t max_tokens;
  int64_t pad_to;        /* shorter texts are filled up to so many tokens; 0, where the key is
                            missing: none is */
  tx_text attention;     /* "bidirectional": of the trained blocks; "two-way": of all; of length 0,
                            where the key is missing: as the model has it */
  tx_text base_name, base_sha256;
  int64_t blocks_trained;
  int64_t train_rows, val_rows, tokens, cut;
  tx_text data_sha256, validation_sha256; /* of the table's rows */
  int64_t seed, epochs, best_epoch, batch, accumulate, trained_parameters;
  int64_t batch_tokens;        /* of a step; 0, where the key is missing: `batch` texts */
  int64_t rank;                /* of low-rank adapters; 0, where the key is missing: there are none,
                                  and the next three are missing too */
  double scale, dropout;       /* adapters count `scale` times; dropout of training, 0..1 */
  bool magnitudes;             /* DoRA */
  double learning_rate, weight_decay, penalty;
  tx_text precision;           /* "int8"; of length 0, where the key is missing: fp32 */
  const tx_text *f32_matrices; /* (f32_count), "blk.5.ffn_down": fp32 also where the rest is int8 */
  size_t f32_count;
  double words; /* share of the linear baseline in the answers, 0..1; 0 where the key is missing */
  tx_text head_solver, class_weights, schedule, command, version;
  double val_accuracy, val_lo, val_hi, val_macro_f1, val_nll;
  int64_t majority_label;                    /* the training rows' most frequent */
  bool multi_label;      /* any number of labels hold for a text; false where the key is missing */
  bool hierarchical;     /* labels are paths; false where the key is missing */
  tx_text label_separator;        /* of multi_label: what stands between labels in a table's cell */
  const tx_text *majority_labels; /* (majority_count): of multi_label, the most frequent set */
  size_t majority_count;
  double majority_accuracy, linear_accuracy; /* on the validation rows */
} tx_artifact_facts;

/* "taxon.NAME" of the first head, "taxon.head.<i>.NAME" of another; and
 * "head.NAME", "head.<i>.NAME" of its tensors.  `name` has at most 40 bytes. */
void tx_artifact_key(size_t head, const char *name, char key[TX_ARTIFACT_KEY]);
void tx_artifact_tensor(size_t head, const char *name, char key[TX_ARTIFACT_KEY]);

/* 1 to TX_HEAD_NAME bytes of UTF-8 without a slash and control characters. */
bool tx_is_head_name(tx_text name);

/* Whether a GGUF file says that it is an artifact, of whatever format; and the
 * refusal of one where a model is needed. */
bool tx_artifact_is(const tx_gguf *gguf);
tx_status tx_artifact_refuse(const tx_gguf *gguf, tx_error *error);

/* Of head facts->head; the first one's too say that the file is an artifact. */
void tx_artifact_add_facts(tx_gguf_writer *writer, const tx_artifact_facts *facts);

/* Opens a file and checks that it is an artifact of a format this program knows,
 * with facts, of all heads, that are whole and within range; gives the first
 * head's.  The strings live as long as `gguf`, which is new. */
tx_status tx_artifact_open(const char *path, tx_gguf **gguf, tx_artifact_facts *facts,
                           tx_error *error);

/* The facts of another head of an open artifact, `first` being those it gave. */
tx_status tx_artifact_head(const tx_gguf *gguf, const tx_artifact_facts *first, size_t head,
                           tx_artifact_facts *facts, tx_error *error);

/* Whether every label of the head is answered for itself. */
bool tx_artifact_is_multi_label(const tx_gguf *gguf, size_t head);

/* The fingerprints of a head's training texts, rising; borrowed, maybe none. */
void tx_artifact_fingerprints(const tx_gguf *gguf, size_t head, const uint64_t **fingerprints,
                              int64_t *count);

#endif
