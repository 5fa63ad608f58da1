/* Trained blocks over a ragged batch: from what the frozen trunk left of the texts
 * (states.h), or from their token ids where there is no such trunk, to the last block's
 * output at the rows that are wanted; and the gradient all the way back.  What is made of
 * those rows is left to tail.h and language.h. */
#ifndef TX_ADAPT_STACK_H
#define TX_ADAPT_STACK_H

#include "adapt/states.h"
#include "adapt/trained.h"
#include "model/trunk.h"

typedef struct tx_stack {
  tx_trained trained;
  /* What a gradient needs of each block's forward is kept where all of it takes no more
   * than so many bytes, and of a single block; else it is computed again from the block's
   * input.  The bits are the same. */
  uint64_t activation_bytes;
} tx_stack;

/* Some texts of the states, by number; NULL: all, in order. */
typedef struct tx_choice {
  const int64_t *texts;
  int64_t count;
} tx_choice;

/* One batch on its way, in the pass's arena. */
typedef struct tx_stack_run {
  tx_batch batch;
  tx_wanted wanted;   /* of the last block; all, until the caller says otherwise */
  float *x;           /* (T, C), what comes in */
  float *output;      /* (R, C), after the last block; `x` where there is none */
  const int32_t *ids; /* (T), where the states are token ids; or NULL */
  const uint64_t *streams; /* (B), of what a gradient drops; or NULL */
  float **inputs;     /* (blocks): (T, C), of each */
  tx_tape *tapes;     /* (blocks), or NULL: computed again */
} tx_stack_run;

/* Texts [from, from + count) of the choice: batch and x.  Resets the pass's arena. */
tx_status tx_stack_gather(const tx_stack *stack, tx_pass *pass, const tx_states *states,
                          tx_choice choice, int64_t from, int64_t count, tx_stack_run *run,
                          tx_error *error);

/* output; `gradient`: tx_stack_backward() follows. */
tx_status tx_stack_forward(tx_stack *stack, tx_pass *pass, bool gradient, tx_stack_run *run,
                           tx_error *error);

/* dy (R, C) is consumed; gradients are added to those of the parameters.  dx (T, C) is
 * written, or NULL where nobody needs it. */
tx_status tx_stack_backward(tx_stack *stack, tx_pass *pass, const tx_stack_run *run, float *dy,
                            float *dx, tx_error *error);

/* Texts taken together when nothing is trained: as many as the token budget holds. */
int64_t tx_stack_part_end(const tx_states *states, tx_choice choice, int64_t from);
int64_t tx_choice_count(const tx_states *states, tx_choice choice);
int64_t tx_choice_text(tx_choice choice, int64_t index);

#endif
