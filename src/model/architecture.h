/* What distinguishes one transformer from another, as a table of facts, and
 * the sizes that a model file states.  A new architecture is a row here; what it
 * computes differently is a value of one of these facts, understood in one place
 * (block.c, attention.c, rotary.c). */
#ifndef TX_MODEL_ARCHITECTURE_H
#define TX_MODEL_ARCHITECTURE_H

#include "formats/gguf.h"

typedef enum tx_norm_kind { TX_NORM_RMS, TX_NORM_LAYER } tx_norm_kind;
typedef enum tx_position_kind {
  TX_POSITION_ROTARY_PAIRS,  /* neighbours (2i, 2i+1) turn together: llama files */
  TX_POSITION_ROTARY_HALVES, /* (i, i + D/2): the order of most other files */
  TX_POSITION_LEARNED,       /* a table added to the embeddings */
} tx_position_kind;
typedef enum tx_activation { TX_ACTIVATION_SILU, TX_ACTIVATION_GELU_TANH } tx_activation;

/* The matrices and norms of a block, in the order in which they are used. */
typedef enum tx_matrix_slot {
  TX_MATRIX_QUERY,
  TX_MATRIX_KEY,
  TX_MATRIX_VALUE,
  TX_MATRIX_OUT,
  TX_MATRIX_GATE,
  TX_MATRIX_UP,
  TX_MATRIX_DOWN,
  TX_MATRICES,
} tx_matrix_slot;
typedef enum tx_norm_slot { TX_NORM_ATTENTION, TX_NORM_MLP, TX_NORMS } tx_norm_slot;

typedef struct tx_architecture {
  const char *name; /* general.architecture, and the prefix of its keys */
  tx_norm_kind norm;
  tx_position_kind positions;
  tx_activation activation;
  bool gated;     /* down(act(gate x) * up x), else down(act(up x)) */
  bool biases;    /* on every matrix */
  bool fused_qkv; /* query, key and value stand below one another in attn_qkv */
  bool causal;
} tx_architecture;

/* NULL for an unknown name. */
const tx_architecture *tx_architecture_find(tx_text name);

enum { TX_MAX_BLOCKS = 1024 };

typedef struct tx_facts {
  const tx_architecture *architecture;
  int64_t blocks;     /* L */
  int64_t width;      /* C */
  int64_t hidden;     /* F, of the MLP */
  int64_t heads;      /* H */
  int64_t kv_heads;   /* divides heads */
  int64_t head_size;  /* D */
  int64_t vocabulary; /* V */
  int64_t context;    /* longest sequence */
  int64_t window;     /* a token sees those less than so many positions away; 0: all */
  int64_t rotary;     /* leading elements of a head that turn; even; 0 for learned positions */
  double rotary_base;
  float norm_epsilon;
} tx_facts;

/* Reads and checks the facts; every refusal names file and key. */
tx_status tx_facts_read(const tx_gguf *gguf, tx_facts *facts, tx_error *error);

/* (outputs, inputs) of a slot; outputs 0 where the architecture has none. */
void tx_matrix_shape(const tx_facts *facts, tx_matrix_slot slot, int64_t *outputs, int64_t *inputs);

/* "attn_q", "ffn_norm": the middle of "blk.N.attn_q.weight". */
const char *tx_matrix_stem(tx_matrix_slot slot);
const char *tx_norm_stem(tx_norm_slot slot);

#endif
