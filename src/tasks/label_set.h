/* One set of labels over texts, being trained: its rows, its states, the choice
 * of depth and pooling, and the trained end.  What label sets share (the model,
 * the pass, the trunk's cache) is lent by train.c, which gives the order of the
 * steps; how they are written down is train_write.c's. */
#ifndef TX_TASKS_LABEL_SET_H
#define TX_TASKS_LABEL_SET_H

#include "adapt/depth.h"
#include "adapt/fit.h"
#include "adapt/tail.h"
#include "score/scorer.h"
#include "tasks/partition.h"
#include "tasks/training.h"
#include "text/encode.h"

typedef struct tx_rows_of_states { /* a table's rows, tokens and states */
  tx_encoded tokens;
  int64_t *singles; /* (count + 1): 0, 1, 2 ...: the offsets of one state a text */
  tx_states probes; /* auto: pooled at every depth, until the choice is made */
  tx_states states; /* what the trained end reads */
} tx_rows_of_states;

typedef struct tx_label_set {
  const char *name; /* NULL: the only one */
  bool again;       /* the rows, tokens, weights and baseline are another set's */
  const tx_rows_of_states *apart; /* rows that will be scored, their tokens read; or NULL */
  tx_partition split;
  tx_rows_of_states train, validation;
  double *class_weights; /* (classes): balanced */
  int32_t majority;      /* the most frequent label */
  int64_t majority_row;  /* of several a text: a training row of the most frequent set */
  tx_scorer *linear;     /* the baseline */
  float *linear_scores;  /* (validation rows, classes): its probabilities */
  float *scores;         /* (validation rows, classes): of what was trained */
  double words;          /* its share in the answers; 0: none */
  tx_depth_score *depths; /* (depth_count), where the depth was chosen */
  int depth_count;
  tx_method method;   /* what came out of it: any but auto */
  tx_pooling pooling;
  int64_t depth, blocks; /* run; trained, of the last */
  tx_tail *tail;
  int32_t *ids;       /* (id_count): of TX_METHOD_FULL: tokens of either table, rising */
  int64_t id_count, positions; /* ... and the longest text */
  double penalty, learning_rate;
  int epochs, best_epoch;
  int64_t trained_parameters, cut, tokens;
  double train_accuracy; /* where the options ask for it */
  double val_accuracy, val_lo, val_hi, val_macro_f1, val_micro_f1, val_nll;
  double majority_accuracy, linear_accuracy;
} tx_label_set;

/* Reads the tables (validation NULL: held out), encodes the texts, trains the
 * baselines. */
tx_status tx_label_set_read(tx_training *t, tx_label_set *set, const char *data,
                            const char *validation, tx_error *error);

/* The same of a split that is there: what tx_label_set_read() does after reading. */
tx_status tx_label_set_prepare(tx_training *t, tx_label_set *set, tx_error *error);
tx_status tx_label_set_encode(tx_training *t, const tx_labelled *rows, tx_rows_of_states *to,
                              tx_error *error);
void tx_label_set_free_rows(tx_rows_of_states *rows);

/* The rows of another set, to be trained on anew; borrows them. */
tx_label_set tx_label_set_again(const tx_label_set *set);

/* What a trained set answers for other rows: probabilities (rows, classes). */
tx_status tx_label_set_answer(tx_training *t, tx_label_set *set, const tx_labelled *rows,
                              tx_rows_of_states *states, float *probabilities, tx_error *error);

/* Everything from the trunk to the validation scores, by the options' method;
 * with `frozen` no block is trained. */
tx_status tx_label_set_train(tx_training *t, tx_label_set *set, bool frozen, tx_error *error);

/* What was trained in fp32 over frozen blocks in int8, in which the model is by now:
 * whether it loses no more than TX_TOLERANCE points of accuracy on the validation
 * rows.  `scores` becomes those of int8, which are the set's from tx_label_set_take on. */
tx_status tx_label_set_requantise(tx_training *t, tx_label_set *set, bool *accepted,
                                  tx_error *error);
void tx_label_set_take(tx_label_set *set);

void tx_label_set_free(tx_label_set *set);

/* The class weights in use, or NULL. */
const double *tx_label_set_weights(const tx_training *t, const tx_label_set *set);

#endif
