/* The network scorer: texts through a language model's blocks, pooled, and a
 * head, or several heads at depths of their own.  Serves both a head on a frozen
 * model and a fine-tuned one; the difference is in the tensors that the artifact
 * changes. */
#ifndef TX_SCORE_NETWORK_H
#define TX_SCORE_NETWORK_H

#include "formats/artifact.h"
#include "model/model.h"
#include "score/scorer.h"

typedef struct tx_network_options {
  const char *model_path; /* the base model's file */
  int64_t max_tokens;     /* 0: the artifact's; at most the model's context */
  int64_t batch_tokens;   /* 0: a good value */
  tx_precision precision; /* auto: the artifact's */
  bool adapters_apart;    /* tx_model_set_adapters_apart() */
} tx_network_options;

/* Checks that the base is the very file the artifact names, loads the blocks it
 * runs, and the heads.  `artifact` and `facts` (heads) are borrowed for the scorer's
 * life.  The scorer's own score() is that of head `chosen`. */
tx_status tx_network_open(const tx_gguf *artifact, const tx_artifact_facts *facts, size_t heads,
                          size_t chosen, tx_network_options options, tx_scorer **scorer,
                          tx_error *error);

/* What tx_network_open checks and reads first: the base model with the artifact's changes,
 * whose blocks are not loaded; it must be the very file that the artifact names.  And a
 * head's weights (labels, width) and biases (labels), borrowed from the artifact, finite;
 * width: of the pooled features. */
tx_status tx_network_base(const tx_gguf *artifact, const tx_artifact_facts *facts,
                          const char *path, tx_model **model, tx_error *error);
tx_status tx_network_head(const tx_gguf *artifact, const tx_artifact_facts *facts, int64_t width,
                          const float **weights, const float **biases, tx_error *error);

/* Of all heads, each block run once.  probabilities (heads): (count, labels of the
 * head) each.  The bits are those of score() with the head chosen. */
tx_status tx_network_score_heads(tx_scorer *network, const tx_text *texts, size_t count,
                                 float *const *probabilities, tx_scored *scored,
                                 const tx_watch *watch, tx_error *error);

tx_precision tx_network_precision(const tx_scorer *network); /* f32 or int8 */

/* From now on in another precision, f32 or int8.  Which matrices stay fp32 in int8
 * is measured on the texts, unless the artifact says it or it was measured before. */
tx_status tx_network_set_precision(tx_scorer *network, tx_precision precision, const tx_text *texts,
                                   size_t count, const tx_watch *watch, tx_error *error);

/* The model; its bytes are those of the weights as they are kept in memory. */
const tx_model *tx_network_model(const tx_scorer *network);
int64_t tx_network_depth(const tx_scorer *network); /* of the deepest head */

/* The method's name in the artifact and on the command line, and the other way; auto
 * is none of an artifact. */
const char *tx_method_name(tx_method method);
bool tx_method_find(tx_text name, tx_method *method);

tx_status tx_pooling_find(tx_text name, tx_pooling *pooling, tx_error *error);
const char *tx_pooling_name(tx_pooling pooling);

#endif
