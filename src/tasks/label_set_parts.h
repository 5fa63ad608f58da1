/* What the files of one label set share: label_set_read.c (its rows), label_set_tail.c
 * (its trained end), label_set_judge.c (what that is worth), label_set.c (the order of it
 * all).  Only label_set*.c include this. */
#ifndef TX_TASKS_LABEL_SET_PARTS_H
#define TX_TASKS_LABEL_SET_PARTS_H

#include "tasks/label_set.h"

enum { TX_LABEL_SET_FOLDS = 5 }; /* of every cross-validation that chooses */

/* The tail of the set's depth, blocks and pooling.  What it borrows of the model stays
 * loaded until the set is trained. */
tx_status tx_label_set_new_tail(tx_training *t, tx_label_set *set, tx_error *error);

/* The head on what the untrained blocks give: a head alone has it as its states; or it is
 * `pooled` (rows, F) already; or NULL. */
tx_status tx_label_set_start_head(tx_training *t, tx_label_set *set, const float *pooled,
                                  tx_error *error);
tx_status tx_label_set_steps(tx_training *t, tx_label_set *set, tx_error *error);

/* probabilities (texts, classes) from the tail's states. */
tx_status tx_label_set_score(tx_training *t, const tx_label_set *set, const tx_states *states,
                             float *probabilities, tx_error *error);
void tx_label_set_take_scores(tx_label_set *set, const float *probabilities);

/* The accuracy on the training rows, from states that are at hand. */
tx_status tx_label_set_measure_training(tx_training *t, tx_label_set *set, tx_error *error);

/* Whether the head errs often enough for a gain to be seen. */
bool tx_label_set_worth_trying(const tx_training *t, const tx_label_set *set, const float *head);

/* Whether `new` is better than `old` (rows, classes) on the validation rows: the
 * mean loss is lower, with a p-value below `level`, and no more answers are wrong. */
tx_status tx_label_set_better(const tx_training *t, const tx_label_set *set, const char *what,
                              const float *new, const float *old, double level, bool *better,
                              tx_error *error);

/* Whether the answers in int8 lose no more than TX_TOLERANCE points. */
void tx_label_set_compare_int8(const tx_training *t, const tx_label_set *set, const float *bytes,
                               bool *accepted);

#endif
