/* A model: the mapped file, its facts, and the weights of the blocks that are
 * loaded, packed for the kernels.  Weights do not change after loading: any
 * number of passes (pass.h) may run over one model at once.  Labels and training
 * are left to others. */
#ifndef TX_MODEL_MODEL_H
#define TX_MODEL_MODEL_H

#include "model/architecture.h"

/* A low-rank change beside a matrix: y += scale * (x . A^T) . B^T with A (rank, inputs)
 * and B (outputs, rank) (Hu et al., LoRA, arXiv 2106.09685); and perhaps a gain: the sum,
 * without the bias, is multiplied by magnitude / length, output by output, length being that
 * of W + scale B A (Liu et al., DoRA, arXiv 2402.09353). */
typedef struct tx_adapter {
  int64_t rank;
  float scale;
  const float *a, *b;                       /* packed, as `panels` of a matrix */
  const float *a_transposed, *b_transposed; /* packed for dx = dy . W; for a backward only */
  const float *gain, *inverse; /* (outputs), or NULL; inverse: 1 / length, for a backward only */
  float dropout;               /* share of A's inputs that a batch with streams leaves out */
  uint64_t salt;               /* of the streams: another for each adapter */
} tx_adapter;

typedef struct tx_matrix { /* y = x . W^T + bias, W (outputs, inputs) */
  int64_t outputs, inputs; /* outputs 0: the architecture has no such matrix */
  /* One of the three is there: */
  const float *panels;         /* packed, depth = inputs, columns = outputs (kernels/product.h) */
  const int8_t *bytes;         /* packed as bytes (bytes.h) */
  const unsigned char *groups; /* the file's own values, rearranged (kernels/grouped.h) */
  uint32_t type;               /* of groups: ggml's number */
  const float *bias;       /* (outputs) or NULL */
  const tx_adapter *adapter; /* or NULL */
} tx_matrix;

typedef struct tx_norm {
  const float *weight; /* (C) */
  const float *bias;   /* (C) or NULL */
} tx_norm;

typedef struct tx_block { /* a view: the memory is the loader's */
  tx_matrix matrix[TX_MATRICES];
  tx_norm norm[TX_NORMS];
  bool two_way; /* a token sees those after it too */
} tx_block;

typedef struct tx_model tx_model;

/* Maps the file and checks facts, names and shapes; loads no weights.
 * `changes` (borrowed for the model's life, may be NULL) holds tensors that
 * replace the file's own, under "blk.N.<stem>.weight" and ".bias",
 * "output_norm.*", "token_embd.weight" and "output.weight"; and rows of the tables that
 * embed: "token_embd.ids" (rising) with
 * "token_embd.rows", and "position_embd.rows" from position 0 on. */
tx_status tx_model_open(const char *path, const tx_gguf *changes, tx_model **model,
                        tx_error *error);
void tx_model_close(tx_model *model);

const tx_facts *tx_model_facts(const tx_model *model);
const tx_gguf *tx_model_gguf(const tx_model *model);
const tx_gguf *tx_model_changes(const tx_model *model); /* NULL: none */

/* How the matrices of blocks that are loaded from now on are kept.  Norms, biases,
 * attention and the residual stream stay fp32, and so do matrices among the changes.
 * Blocks that are loaded keep theirs; a backward needs TX_DTYPE_F32. */
typedef enum tx_dtype {
  TX_DTYPE_F32,  /* as they were in the file, widened */
  TX_DTYPE_INT8, /* as bytes, a scale an output, with each token's activations as bytes
                    too (bytes.h): for many tokens at a time */
  TX_DTYPE_FILE, /* as the file's own values of 4, 5, 6 and 8 bits, never widened in memory, with
                    activations as bytes, a scale for each 32 (kernels/grouped.h): for one token
                    or a few at a time.  A matrix of a type or depth that has no such product
                    stays fp32.  Logits are computed so too. */
} tx_dtype;
void tx_model_set_dtype(tx_model *model, tx_dtype dtype);
tx_dtype tx_model_dtype(const tx_model *model);

/* Whether low-rank changes are kept beside their matrices, which then are those of the
 * file; false at first: they are added to them.  Both give the same logits but for
 * rounding.  Holds for blocks that are loaded from now on. */
void tx_model_set_adapters_apart(tx_model *model, bool apart);

/* Attention of blocks from `first` on sees what comes after a token too, though the model was
 * made to look back alone; the number of blocks at first: none does.  Holds for blocks that are
 * loaded from now on. */
void tx_model_set_two_way(tx_model *model, int64_t first);
int64_t tx_model_two_way(const tx_model *model); /* `first` */
bool tx_model_is_two_way(const tx_model *model, int64_t depth); /* one of the first `depth` does */

/* Matrices that stay fp32 where the others become bytes: those whose inputs have
 * spikes (spikes.h).  At first none; holds for blocks that are loaded from now on. */
void tx_model_keep_f32(tx_model *model, int64_t block, tx_matrix_slot slot, bool keep);
bool tx_model_keeps_f32(const tx_model *model, int64_t block, tx_matrix_slot slot);
/* Whether it stands among the changes, and so is fp32 in any case. */
bool tx_model_is_changed(const tx_model *model, int64_t block, tx_matrix_slot slot);

/* TX_ERROR_SYSTEM, with the figures, where those of blocks [from, to) that are not yet
 * loaded would not fit in memory in the present dtype (base/available.h). */
tx_status tx_model_check_memory(const tx_model *model, int64_t from, int64_t to, tx_error *error);

/* Expands and packs blocks [from, to), in parallel; those already there are kept.
 * What would not fit in memory is refused before any work.  NaN or infinity among
 * the weights is an input error naming the tensor. */
tx_status tx_model_load(tx_model *model, int64_t from, int64_t to, tx_error *error);
void tx_model_unload(tx_model *model, int64_t from, int64_t to);

/* Bytes of memory that blocks [from, to) take once loaded, in the present dtype. */
uint64_t tx_model_bytes(const tx_model *model, int64_t from, int64_t to);
const tx_block *tx_model_block(const tx_model *model, int64_t index); /* loaded, or NULL */
const tx_norm *tx_model_output_norm(const tx_model *model);

/* The residual stream before block 0: x (count, C) from ids, at `positions`.
 * An id outside the vocabulary is an input error. */
tx_status tx_model_embed(const tx_model *model, const int32_t *ids, const int64_t *positions,
                         int64_t count, float *x, tx_error *error);

/* A row (C) of the tables that it adds up: of a token in the vocabulary, of a position in
 * the context (where there are learned ones). */
void tx_model_read_token(const tx_model *model, int32_t id, float *row);
void tx_model_read_position(const tx_model *model, int64_t position, float *row);

/* logits (rows, V) of states (rows, C) that have passed the output norm.  NaN or
 * infinity among the weights is an input error naming the tensor.  With
 * TX_DTYPE_FILE and TX_DTYPE_INT8 from the file's own values, where their type has such a
 * product: they are packed at the first call and stay.  The same bits for any number of rows. */
tx_status tx_model_logits(const tx_model *model, const float *states, int64_t rows, float *logits,
                          tx_error *error);

/* Whether logits are taken from the embeddings, and the matrix (V, C) that they are of. */
bool tx_model_is_tied(const tx_model *model);
tx_status tx_model_read_output(const tx_model *model, float *values, tx_error *error);

/* One tensor of a block as the file means it, row-major fp32: weight
 * (outputs, inputs) of a matrix, or its bias (outputs) where `bias`. */
tx_status tx_model_read_matrix(const tx_model *model, int64_t block, tx_matrix_slot slot, bool bias,
                               float *values, tx_error *error);

/* A block's norm; `bias` is not touched where the architecture has none. */
tx_status tx_model_read_norm(const tx_model *model, int64_t block, tx_norm_slot slot, float *weight,
                             float *bias, tx_error *error);

#endif
