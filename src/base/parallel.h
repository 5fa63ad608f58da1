/* The one place where threads are started and counted.
 *
 * Tasks are handed out as workers become free, so a busy neighbour costs its
 * share and no more.  A task writes only what its index names: results never
 * depend on which worker ran it, or on how many there are.
 *
 * A thread that cannot be started is no error: the loop runs on those there are,
 * at worst on the caller alone, with the same results. */
#ifndef TX_BASE_PARALLEL_H
#define TX_BASE_PARALLEL_H

#include <stdint.h>

typedef void tx_task(void *context, int64_t index, int worker);

int tx_threads(void); /* workers in use, at least 1; set by tx_set_threads() of taxon.h */

/* Runs task(context, i, worker) for i in [0, count), worker in [0, tx_threads()),
 * and returns when all are done.  No two tasks of one call run at once under one
 * worker's number; the caller's thread is worker 0.  Different threads may call at
 * once: one has the pool, the others run their loops alone, as a call from inside
 * a task does (under the number of the worker that calls). */
void tx_parallel(int64_t count, tx_task *task, void *context);

typedef struct tx_loop {
  int64_t count;
  tx_task *task;
  void *context;
} tx_loop;

/* Several loops at once, as one: none waits for another's last task. */
void tx_parallel_all(const tx_loop *loops, int count);

#endif
