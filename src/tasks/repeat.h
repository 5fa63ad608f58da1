/* A label set's training again: under other seeds on the same rows, and on folds of them. */
#ifndef TX_TASKS_REPEAT_H
#define TX_TASKS_REPEAT_H

#include "tasks/label_set.h"

/* Seeds options->seed + 1 and so on, options->seeds of them with the set's own: what each comes to
 * on the validation rows, into the report from its second place on. */
tx_status tx_repeat_seeds(tx_training *t, const tx_label_set *set, tx_error *error);

/* Once the set itself is trained: its scores into the first place, and the spread. */
void tx_repeat_summarise(const tx_label_set *set, tx_train_report *report);

/* Cross-validation over all rows of the set's training table, options->folds of it.  Each fold is
 * answered by a training on the others, which holds out a tenth of its own for whatever it chooses;
 * so nothing of a fold is in its answers.  `file` names the table. */
tx_status tx_repeat_folds(tx_training *t, const tx_label_set *set, const char *file,
                          tx_error *error);

#endif
