/* The one place where threads are started and counted (OpenMP).
 *
 * Tasks are handed out as workers become free, so a busy neighbour costs its
 * share and no more.  A task writes only what its index names: results never
 * depend on which worker ran it, or on how many there are. */
#ifndef TX_BASE_PARALLEL_H
#define TX_BASE_PARALLEL_H

#include <stdint.h>

typedef void tx_task(void *context, int64_t index, int worker);

int tx_threads(void); /* workers in use, at least 1; set by tx_set_threads() of taxon.h */

/* Runs task(context, i, worker) for i in [0, count), worker in [0, tx_threads()).
 * Called from inside a task, or from a parallel region of the caller's own, it
 * runs in that one thread. */
void tx_parallel(int64_t count, tx_task *task, void *context);

#endif
