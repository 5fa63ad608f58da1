/* How fast memory is read when nothing is done with it: each worker takes pieces
 * in turn, as the products do, and reads them by the widest loads of the baseline
 * or, compiled so, of AVX2, with the lines ahead asked for. */
#include "memory_read.h"

#include <stdint.h>

#include "base/parallel.h"

typedef uint64_t wide __attribute__((vector_size(32)));
enum { PIECE = 1 << 18, AHEAD = 2048, STEP = 256 / sizeof(wide) };

typedef struct {
  const wide *from;
  size_t bytes;
  volatile uint64_t sink;
} reading;

static void read_task(void *context, int64_t index, int worker) {
  (void)worker;
  reading *r = context;
  size_t begin = (size_t)index * PIECE, end = begin + PIECE < r->bytes ? begin + PIECE : r->bytes;
  const wide *at = r->from + begin / sizeof(wide), *stop = r->from + end / sizeof(wide);
  wide sum[4] = {{0}};
  for (; at + STEP <= stop; at += STEP) {
    for (int i = 0; i < 4; i++) __builtin_prefetch((const char *)at + AHEAD + 64 * i, 0, 3);
    for (int i = 0; i < STEP; i++) sum[i % 4] ^= at[i];
  }
  sum[0] ^= sum[1] ^ sum[2] ^ sum[3];
  if ((sum[0][0] ^ sum[0][1] ^ sum[0][2] ^ sum[0][3]) == 12345) r->sink = 1;
}

void bench_memory_read(const void *from, size_t bytes) {
  reading r = {from, bytes, 0};
  tx_parallel((int64_t)((bytes + PIECE - 1) / PIECE), read_task, &r);
}
