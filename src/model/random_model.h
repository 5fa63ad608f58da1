/* A model with random weights: the architecture, vocabulary and keys of another one, of its
 * sizes or smaller ones, to be trained from scratch.  The scheme is GPT-2's (Radford et al.,
 * 2019): normal with deviation 0.02, 1 / sqrt(2 blocks) of that in the matrices that end in
 * the residual stream; norms one, biases zero; logits are taken from the embeddings. */
#ifndef TX_MODEL_RANDOM_MODEL_H
#define TX_MODEL_RANDOM_MODEL_H

#include "base/memory.h"
#include "formats/gguf_write.h"
#include "model/architecture.h"

typedef struct tx_random_sizes {
  int64_t blocks; /* 0: the other's */
  int64_t width;  /* 0: the other's; else a multiple of its head size */
} tx_random_sizes;

/* The facts that it will have.  A width that does not divide into heads, or sizes out of
 * range, are TX_ERROR_ARGUMENT. */
tx_status tx_random_facts(const tx_facts *of, tx_random_sizes sizes, tx_facts *facts,
                          tx_error *error);

/* Keys and tensors; `base` and the arena are borrowed until the writer commits.  The same
 * values for one seed on any number of threads. */
tx_status tx_random_model_add(tx_gguf_writer *writer, const tx_gguf *base, const tx_facts *facts,
                              uint64_t seed, tx_arena *arena, tx_error *error);

#endif
