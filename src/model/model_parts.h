/* What the files of a model share: model.c opens it and holds its settings, model_check.c looks
 * for tensors that would be passed over, model_load.c loads its blocks, model_ends.c is before
 * the first block and after the last. */
#ifndef TX_MODEL_MODEL_PARTS_H
#define TX_MODEL_MODEL_PARTS_H

#include <stdatomic.h>

#include "model/model.h"
#include "model/weights.h"

typedef struct {
  tx_block view;
  unsigned char *memory; /* NULL: not loaded */
  size_t bytes;
} tx_loaded_block;

struct tx_model {
  tx_gguf *gguf;
  const tx_gguf *changes; /* borrowed */
  tx_facts facts;
  tx_weight embedding, positions, output; /* output: the embedding where they are tied */
  const tx_tensor *changed_ids, *changed_rows, *changed_positions; /* of the changes; or NULL */
  tx_norm output_norm;
  float *output_norm_memory;
  tx_dtype dtype; /* of what is loaded next */
  bool apart;     /* low-rank changes, of what is loaded next */
  int64_t two_way; /* how many of the last blocks look ahead too */
  uint8_t *kept;  /* (L): of each block, bit s: slot s stays fp32 */
  tx_loaded_block *blocks; /* (L) */
  /* The output matrix as groups, once logits were asked for so; NULL before.  Several
   * passes may come to it at once: the first to be done stays. */
  _Atomic(unsigned char *) *output_groups;
};

/* Bytes of a weight as groups; 0 where its type has no such product. */
uint64_t tx_weight_group_bytes(const tx_weight *weight);

/* The weight of a norm under "<stem>.weight", or its `bias`, which some architectures have. */
tx_status tx_model_norm_weight(const tx_model *model, const char *stem, bool bias,
                               tx_weight *weight, tx_error *error);
bool tx_model_norm_has_bias(const tx_model *model);

/* A tensor of the file that would be left out means a model of another kind under a known name:
 * its answers would be wrong without a word.  And what an artifact holds of a model under a name
 * that this one has not. */
tx_status tx_model_check_left_out(const tx_model *model, tx_error *error);
tx_status tx_model_check_changes(const tx_model *model, tx_error *error);

#endif
