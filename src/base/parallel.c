/* The parallel loop over OpenMP. */
#include "base/parallel.h"

#include <omp.h>
#include <stdatomic.h>

#include "taxon.h"

static atomic_int chosen; /* 0: as many as the machine offers */

void tx_set_threads(int threads) { atomic_store(&chosen, threads > 0 ? threads : 0); }

int tx_threads(void) {
  int threads = atomic_load(&chosen);
  if (threads == 0) threads = omp_get_num_procs();
  return threads < 1 ? 1 : threads > TX_MAX_THREADS ? TX_MAX_THREADS : threads;
}

/* The worker that this thread is while it runs a task, else 0.  Not OpenMP's own
 * number: a caller may have a parallel region, and more threads, of its own. */
static _Thread_local int current;

void tx_parallel(int64_t count, tx_task *task, void *context) {
  int threads = tx_threads();
  if (count < threads) threads = (int)count;
  if (threads <= 1 || omp_in_parallel()) {
    for (int64_t i = 0; i < count; i++) task(context, i, current);
    return;
  }
#pragma omp parallel num_threads(threads)
  {
    current = omp_get_thread_num();
#pragma omp for schedule(dynamic, 1)
    for (int64_t i = 0; i < count; i++) task(context, i, current);
    current = 0;
  }
}
