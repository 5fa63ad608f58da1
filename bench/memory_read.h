/* See memory_read.c. */
#ifndef BENCH_MEMORY_READ_H
#define BENCH_MEMORY_READ_H

#include <stddef.h>

/* Reads `bytes` (a multiple of 256) at `from`, aligned to 64 bytes, over
 * tx_threads() workers. */
void bench_memory_read(const void *from, size_t bytes);

#endif
