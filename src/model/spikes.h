/* Which matrices lose too much as bytes.  The inputs of a few, most often of the
 * MLP's down projection in an early or a late block, have spikes: one value so
 * much larger than the rest that a row's 255 steps leave the rest no digits
 * (Massive Activations, 2402.17762; 2405.14428).  They are found by measuring, not
 * by name: see docs/numbers.md. */
#ifndef TX_MODEL_SPIKES_H
#define TX_MODEL_SPIKES_H

#include "model/trunk.h"

enum { TX_SPIKES_TOKENS = 512 }; /* of a sample, which is enough */

/* A matrix with a larger error stays fp32. */
#define TX_SPIKES_BOUND 0.001

/* errors (depth, TX_MATRICES): of each matrix of the first `depth` blocks the mean,
 * over the sample's tokens, of |y' - y|^2 / |y|^2, y being its product in fp32 and y'
 * the same inputs' product as bytes; the inputs are those of the fp32 model.  0
 * where the architecture has no such matrix.  `sample`: whole sequences as far as
 * they have TX_SPIKES_TOKENS tokens, at least the first, or its beginning.  Blocks are loaded one
 * at a time and let go again; the dtype stays as it was.  The same bits on any machine. */
tx_status tx_spikes_measure(tx_model *model, tx_pass *pass, const tx_sequences *sample,
                            int64_t depth, double *errors, const tx_watch *watch, tx_error *error);

/* Measures, and has the model keep those above TX_SPIKES_BOUND in fp32, and of the
 * first `depth` blocks no others. */
tx_status tx_spikes_keep(tx_model *model, tx_pass *pass, const tx_sequences *sample, int64_t depth,
                         const tx_watch *watch, tx_error *error);

/* Room for the name of a matrix: "blk.5.ffn_down". */
enum { TX_MATRIX_NAME = 48 };
void tx_matrix_name(int64_t block, tx_matrix_slot slot, char name[TX_MATRIX_NAME]);

/* Reads such a name; false where the model has no such matrix. */
bool tx_matrix_find(const tx_facts *facts, tx_text name, int64_t *block, tx_matrix_slot *slot);

#endif
