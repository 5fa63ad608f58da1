/* A base model with random weights for a training from scratch (random_model.h): made under
 * the home beside the models that were pulled, once for its sizes and seed. */
#ifndef TX_TASKS_RANDOM_BASE_H
#define TX_TASKS_RANDOM_BASE_H

#include "taxon.h"

/* path, name: of the model, "smollm2-135m-random-4x128-s0" for 4 blocks, width 128 and
 * seed 0 after `base` (its file; `base_name` as the user has it). */
tx_status tx_random_base(const char *home, const char *base, const char *base_name, int64_t blocks,
                         int64_t width, uint64_t seed, char name[256], char path[4096],
                         const tx_watch *watch, tx_error *error);

#endif
