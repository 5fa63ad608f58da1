/* The precision of a network's frozen blocks: its name in artifacts, which matrices
 * an artifact keeps in fp32, and measuring which should be. */
#ifndef TX_SCORE_PRECISION_H
#define TX_SCORE_PRECISION_H

#include "formats/artifact.h"
#include "model/spikes.h"
#include "text/encode.h"

const char *tx_precision_name(tx_precision precision); /* "f32", "int8", "auto" */

/* The artifact's own: f32 where it says nothing. */
tx_status tx_precision_of(const tx_gguf *artifact, const tx_artifact_facts *facts,
                          tx_precision *precision, tx_error *error);

/* The model keeps in fp32 what the artifact names; a name that it has no matrix for
 * is TX_ERROR_INPUT. */
tx_status tx_precision_take(const tx_gguf *artifact, const tx_artifact_facts *facts,
                            tx_model *model, tx_error *error);

/* tx_spikes_keep() on the first of the texts, or, where there are none, on a few
 * sentences that stand in the program. */
tx_status tx_precision_measure(tx_model *model, tx_pass *pass, const tx_tokenizer *tokenizer,
                               const tx_text *texts, size_t count, int64_t depth,
                               const tx_watch *watch, tx_error *error);

/* The names of the matrices of the first `depth` blocks that the model keeps although
 * they were not trained, in the order of the blocks: (count), in the arena. */
tx_status tx_precision_names(const tx_model *model, int64_t depth, tx_arena *arena,
                             const tx_text **names, size_t *count, tx_error *error);

#endif
