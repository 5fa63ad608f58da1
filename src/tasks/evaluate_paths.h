/* The part of an evaluation that is about labels as paths. */
#ifndef TX_TASKS_EVALUATE_PATHS_H
#define TX_TASKS_EVALUATE_PATHS_H

#include "formats/table.h"
#include "tasks/classifier.h"

/* Levels and hierarchical F1 of the chosen head; of labels that are no paths nothing.
 * probabilities (rows of the table, labels); memory is taken from the arena. */
tx_status tx_evaluate_paths(const tx_classifier *classifier, const tx_dataset *table,
                            const float *probabilities, tx_arena *arena, tx_evaluation *evaluation,
                            tx_error *error);

#endif
