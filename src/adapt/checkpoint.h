/* Where a gradient training stands, on disk: written while it runs, so that one that
 * was killed goes on and ends in the same bits.  Two files take turns, each written
 * whole (file.h) and with a checksum: while one is replaced the other is good.
 *
 * A run is told by facts, each a name and what was asked for or read ("--lr",
 * "0.0002"): one with other facts is not continued, and the refusal names the fact. */
#ifndef TX_ADAPT_CHECKPOINT_H
#define TX_ADAPT_CHECKPOINT_H

#include "adapt/parameters.h"
#include "base/error.h"
#include "base/random.h"

typedef struct tx_fit_state {
  int64_t epoch;    /* that is run, from 1 */
  int64_t at;       /* texts of it that are done */
  int64_t step;     /* steps so far, in all */
  double losses;    /* of this epoch's steps, added up */
  double best_loss; /* on the validation texts */
  int64_t best_epoch;
  tx_random random; /* after this epoch's order was drawn */
} tx_fit_state;

typedef struct tx_run_fact {
  const char *name, *value;
} tx_run_fact;

typedef struct tx_checkpoint tx_checkpoint;

/* Makes the directory if it is not there.  With `resume` it makes none, and the newest
 * good file is opened: none, or one of other facts, is TX_ERROR_INPUT.  Without it
 * there must be none (TX_ERROR_ARGUMENT).  `minutes` between two: see tx_checkpoint_pass.  The
 * facts (count) are borrowed. */
tx_status tx_checkpoint_open(const char *directory, const tx_run_fact *facts, size_t count,
                             double minutes, bool resume, tx_checkpoint **checkpoint,
                             tx_error *error);
void tx_checkpoint_close(tx_checkpoint *checkpoint); /* NULL is allowed */

/* What was resumed, once: parameters, state, and the order (texts) of the epoch.  False:
 * nothing is there, and nothing was changed. */
tx_status tx_checkpoint_take(tx_checkpoint *checkpoint, tx_parameters *set, tx_fit_state *state,
                             int64_t *order, int64_t texts, bool *taken, tx_error *error);

/* After a step: writes where the minutes are over since the last time.  tx_checkpoint_save
 * writes now.  A NULL checkpoint writes nothing. */
tx_status tx_checkpoint_pass(tx_checkpoint *checkpoint, const tx_parameters *set,
                             const tx_fit_state *state, const int64_t *order, int64_t texts,
                             tx_error *error);
tx_status tx_checkpoint_save(tx_checkpoint *checkpoint, const tx_parameters *set,
                             const tx_fit_state *state, const int64_t *order, int64_t texts,
                             tx_error *error);

#endif
