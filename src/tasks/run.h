/* A training's run directory: its checkpoints (checkpoint.h), the facts that one which is
 * resumed must share, and its log, log.jsonl, a line a step and a line an epoch. */
#ifndef TX_TASKS_RUN_H
#define TX_TASKS_RUN_H

#include "adapt/fit.h"
#include "tasks/training.h"

typedef struct tx_run tx_run;

enum { TX_RUN_OWN = 16 };

/* Once the tables are read.  The facts of a run are the training's options and `own`
 * (count, up to TX_RUN_OWN, names borrowed): what else decides its weights.  NULL where the
 * options name no directory.  Closing is allowed at any time. */
tx_status tx_run_open(const tx_training *training, const tx_run_fact *own, size_t count,
                      tx_run **run, tx_error *error);
void tx_run_close(tx_run *run); /* NULL is allowed */

/* For tx_fit(); of no run: NULL. */
tx_checkpoint *tx_run_checkpoint(tx_run *run);
const tx_fit_log *tx_run_log(const tx_run *run);

#endif
