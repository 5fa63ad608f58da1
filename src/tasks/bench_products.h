/* What tx_bench measures of the machine and of single products (bench_products.c);
 * running the whole model is bench.c. */
#ifndef TX_TASKS_BENCH_PRODUCTS_H
#define TX_TASKS_BENCH_PRODUCTS_H

#include "base/memory.h"
#include "model/model.h"

enum { TX_BENCH_MOST_SPELLS = 512 };

/* The middle of count >= 1 values, which are sorted. */
double tx_bench_median(double *values, int64_t count);

/* What is measured over: memory much larger than the caches, holding weights. */
typedef struct tx_bench_region {
  unsigned char *memory; /* aligned to 64 bytes */
  size_t size, at;       /* at: where reading goes on, so that nothing is in the caches yet */
} tx_bench_region;

tx_status tx_bench_region_open(tx_bench_region *region, tx_error *error);
void tx_bench_region_close(tx_bench_region *region);

/* The ceilings of tx_threads() workers, each measured for about `seconds`. */
void tx_bench_ceilings_measure(tx_bench_region *region, double seconds,
                               tx_bench_ceilings *ceilings);

/* Products at each distinct shape and type of the model's matrices, on one thread and
 * on `threads`; *products (count) is in the arena.  Leaves tx_set_threads() changed. */
tx_status tx_bench_products_measure(const tx_model *model, tx_bench_region *region, int threads,
                                    double seconds, tx_arena *arena, tx_bench_product **products,
                                    size_t *count, const tx_watch *watch, tx_error *error);

#endif
