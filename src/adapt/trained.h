/* What is trained of a network's end, as parameters, and each of its blocks as the
 * passes run over it: all weights of the blocks (and the embeddings), or their norms,
 * or low-rank adapters beside their matrices; the head in any case.  What is not trained is
 * the model's own, and must stay loaded in fp32. */
#ifndef TX_ADAPT_TRAINED_H
#define TX_ADAPT_TRAINED_H

#include "adapt/magnitudes.h"
#include "model/pass.h"

typedef enum tx_trained_part {
  TX_TRAINED_ALL,      /* every matrix, bias and norm of the blocks, and the output norm */
  TX_TRAINED_NORMS,    /* the blocks' norms and the output norm */
  TX_TRAINED_MODEL,    /* that and the embeddings: the blocks are all that are run */
  TX_TRAINED_ADAPTERS, /* adapters beside the blocks' matrices (LoRA) */
} tx_trained_part;

/* y += scale * (x . A^T) . B^T.  A starts uniform within 1 / sqrt(inputs), B at zero, as
 * PEFT has it: so training starts from the model as it is. */
typedef struct tx_adapter_options {
  int64_t rank;     /* from 1 to the smaller side of each matrix that has one */
  double scale;     /* alpha / rank, or alpha / sqrt(rank) (rsLoRA, arXiv 2312.03732) */
  uint32_t targets; /* bit `slot` set: that matrix has one */
  double dropout;   /* share of the inputs of A that a gradient leaves out, 0..1 */
  bool magnitudes;  /* each output's length is a parameter of its own (DoRA, arXiv 2402.09353) */
  uint64_t seed;
} tx_adapter_options;

typedef struct tx_trained_options {
  int64_t depth, blocks; /* the last `blocks` of the first `depth` */
  tx_trained_part part;
  tx_adapter_options adapter; /* of TX_TRAINED_ADAPTERS */
  int classes;      /* 0: no head */
  int64_t features; /* of the head */
  bool query;       /* of pooling is trained too: TX_POOLING_ATTENTION */
  bool vocabulary;  /* of TX_TRAINED_MODEL: all embeddings, and the matrix of the logits */
  const int32_t *ids; /* (id_count), rising: tokens whose embeddings are trained; borrowed */
  int64_t id_count;
  int64_t positions;  /* learned ones that are trained, from 0 */
  double layer_decay; /* the rate of a block, of that of the one after it; the head's is 1; 0: all
                         1 */
  bool averaged;      /* as tx_parameters has it */
  uint64_t packed;    /* floats of the blocks' packed forms that are kept at most; 0: a good
                         value */
} tx_trained_options;

typedef struct tx_trained {
  const tx_model *model; /* borrowed */
  const tx_facts *facts;
  tx_trained_options options;
  tx_parameters parameters;
  tx_block *view;                          /* (blocks) */
  tx_block_gradient *gradient;             /* (blocks) */
  const float *(*transposed)[TX_MATRICES]; /* (blocks): for dx = dy . W */
  tx_adapter (*adapter)[TX_MATRICES];      /* (blocks) */
  tx_magnitude (*magnitude)[TX_MATRICES];  /* (blocks): without a matrix where there is none */
  float *lengths;                          /* (lengths_count): of all of them */
  int64_t lengths_count;
  tx_norm norm;                            /* the output norm */
  float *dnorm_weight, *dnorm_bias;        /* NULL: not trained */
  tx_parameter *tokens, *positions;        /* rows of embeddings (id_count, C), (positions, C); or
                                              NULL */
  int32_t *row_of;                         /* (V): a token's row among `tokens`; NULL: the id's
                                              own */
  tx_parameter *output;                    /* (V, C), of the logits: `tokens` where tied; or NULL */
  tx_parameter *query;                     /* (1, C); or NULL */
  tx_parameter *head_weight, *head_bias;   /* (classes, features), (classes) */
  /* Of many trained matrices, and of those that are not, only one block's are packed for
   * the backward at a time (of trained ones for the forward too), in `place`. */
  bool lazy;
  tx_parameter *(*weight)[TX_MATRICES]; /* (blocks): of matrices that are trained, or NULL */
  float *place;
  uint64_t place_bytes;
} tx_trained;

/* Values come from the model's file, adapters from their options; the head is zero.
 * Unless all is trained, the blocks are loaded (TX_DTYPE_F32) and are borrowed. */
tx_status tx_trained_new(const tx_model *model, tx_trained_options options, tx_trained *trained,
                         tx_error *error);
/* Before a block, from 0, is run forward, and before its backward: its matrices are packed
 * where they are not kept so, and gains follow from the adapters as they are now.
 * `view` and `transposed` hold until the next call. */
tx_status tx_trained_ready(tx_trained *trained, int64_t index, bool backward, tx_error *error);
/* x (count, C): the embeddings as they are now; where they are trained, of tokens that are all
 * among those, and the gradient dx at them is added to theirs one token after another. */
tx_status tx_trained_embed(const tx_trained *trained, const int32_t *ids, const int64_t *positions,
                           int64_t count, float *x, tx_error *error);
void tx_trained_embed_backward(tx_trained *trained, const tx_kernels *kernels, const int32_t *ids,
                               const int64_t *positions, int64_t count, const float *dx);
void tx_trained_free(tx_trained *trained);

#endif
