/* A training's run directory: its checkpoints (checkpoint.h), the facts that one which is
 * resumed must share, and its log, log.jsonl, a line a step and a line an epoch. */
#ifndef TX_TASKS_RUN_H
#define TX_TASKS_RUN_H

#include "adapt/fit.h"
#include "tasks/label_set.h"

typedef struct tx_run tx_run;

/* Of the one label set, once its tables are read.  NULL where the options name no
 * directory.  Closing is allowed at any time. */
tx_status tx_run_open(const tx_training *training, const tx_label_set *set, tx_run **run,
                      tx_error *error);
void tx_run_close(tx_run *run); /* NULL is allowed */

/* For tx_fit(); of no run: NULL. */
tx_checkpoint *tx_run_checkpoint(tx_run *run);
const tx_fit_log *tx_run_log(const tx_run *run);

#endif
