/* The loops of ceiling.h over all workers. */
#include "kernels/ceiling.h"

#include <string.h>

#include "base/clock.h"
#include "base/parallel.h"
#include "kernels/int8.h"
#include "kernels/kernels.h"
#include "taxon.h"

/* Tasks of some tens of microseconds, several for each worker: a neighbour that
 * takes a processor costs its share, as in a product. */
enum { ROUNDS = 1 << 13, TASKS = 8, PIECE = 1 << 18 };

/* The loops of the kernels in use; with VNNI those of bytes are others. */
static const tx_ceiling *loops(const char *name) {
  static const tx_ceiling *const all[] = {&tx_ceiling_avx2, &tx_ceiling_avx512, &tx_ceiling_vnni};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    if (strcmp(all[i]->name, name) == 0) return all[i];
  }
  return &tx_ceiling_generic;
}

typedef struct {
  double (*run)(int64_t rounds, float *sink);
  float sinks[TX_MAX_THREADS];
  double done[TX_MAX_THREADS];
} spell;

static void spell_task(void *context, int64_t index, int worker) {
  (void)index;
  spell *s = context;
  float sink = 0;
  s->done[worker] += s->run(ROUNDS, &sink);
  s->sinks[worker] += sink;
}

static double measure(double (*run)(int64_t, float *), double seconds) {
  spell s = {.run = run};
  double start = tx_seconds(), taken, operations = 0;
  do {
    tx_parallel((int64_t)TASKS * tx_threads(), spell_task, &s);
    taken = tx_seconds() - start;
  } while (taken < seconds);
  for (int i = 0; i < TX_MAX_THREADS; i++) operations += s.done[i];
  return taken > 0 ? operations / taken : 0;
}

double tx_ceiling_multiply_add(double seconds) {
  return measure(loops(tx_kernels_get()->name)->multiply_add, seconds);
}

double tx_ceiling_bytes(double seconds) {
  return measure(loops(tx_int8_get()->name)->bytes, seconds);
}

typedef struct {
  const tx_ceiling *loops;
  const char *from;
  size_t size;
  uint64_t sinks[TX_MAX_THREADS];
} reading;

static void read_task(void *context, int64_t index, int worker) {
  reading *r = context;
  size_t begin = (size_t)index * PIECE, left = r->size - begin;
  r->loops->read(r->from + begin, left < PIECE ? left : PIECE, &r->sinks[worker]);
}

double tx_ceiling_memory(const void *from, size_t size) {
  reading r = {.loops = loops(tx_kernels_get()->name), .from = from, .size = size};
  double start = tx_seconds();
  tx_parallel((int64_t)((size + PIECE - 1) / PIECE), read_task, &r);
  double taken = tx_seconds() - start;
  return taken > 0 ? (double)size / taken : 0;
}
