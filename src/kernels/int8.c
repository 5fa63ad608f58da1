/* Which byte kernels are in use, the sizes of their forms, and dividing the work
 * among the workers, as product.c divides it. */
#include "kernels/int8.h"

#include <string.h>

#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/product.h"

enum { LINE = 64, QUANTISE_ROWS = 16 };

/* ---- paths --------------------------------------------------------------- */

static const tx_int8 *vnni(void) {
  return tx_kernels_find("avx512") && __builtin_cpu_supports("avx512vnni") ? &tx_int8_vnni : NULL;
}

const tx_int8 *tx_int8_find(const char *name) {
  if (strcmp(name, "vnni") == 0) return vnni();
  if (!tx_kernels_find(name)) return NULL;
  if (strcmp(name, "avx512") == 0) return &tx_int8_avx512;
  return strcmp(name, "avx2") == 0 ? &tx_int8_avx2 : &tx_int8_generic;
}

const tx_int8 *tx_int8_get(void) {
  const char *path = tx_kernels_get()->name;
  const tx_int8 *best = strcmp(path, "avx512") == 0 ? vnni() : NULL;
  return best ? best : tx_int8_find(path);
}

/* ---- sizes --------------------------------------------------------------- */

/* An odd number of cache lines, so that the rows of a tile fall into different
 * sets of a cache. */
uint64_t tx_int8_row_bytes(int64_t depth) {
  if (depth < 1 || depth > TX_INT8_DEEPEST) return 0;
  uint64_t lines = (sizeof(tx_int8_row) + (uint64_t)depth + LINE - 1) / LINE;
  return (lines | 1) * LINE;
}

uint64_t tx_int8_panel_bytes(int64_t depth) {
  if (depth < 1 || depth > TX_INT8_DEEPEST) return 0;
  return sizeof(tx_int8_panel) + ((uint64_t)depth + 3) / 4 * 4 * TX_PANEL;
}

uint64_t tx_int8_packed_bytes(int64_t depth, int64_t columns) {
  if (columns < 1) return 0;
  uint64_t panels = ((uint64_t)columns + TX_PANEL - 1) / TX_PANEL, bytes;
  if (!tx_multiply(panels, tx_int8_panel_bytes(depth), &bytes)) return 0;
  return bytes;
}

/* ---- over all workers ---------------------------------------------------- */

typedef struct {
  const tx_int8 *kernels;
  const float *from;
  ptrdiff_t stride;
  int64_t depth, count; /* rows, or columns */
  uint8_t *rows;
  int8_t *panels;
} conversion;

static void quantise_task(void *context, int64_t index, int worker) {
  (void)worker;
  const conversion *c = context;
  int64_t from = index * QUANTISE_ROWS, bytes = (int64_t)tx_int8_row_bytes(c->depth);
  int64_t to = c->count - from < QUANTISE_ROWS ? c->count : from + QUANTISE_ROWS;
  for (int64_t m = from; m < to; m++) {
    c->kernels->quantise(c->from + m * c->stride, c->depth, c->rows + m * bytes);
  }
}

void tx_int8_quantise(const tx_int8 *kernels, const float *x, ptrdiff_t x_row, int64_t rows,
                      int64_t depth, uint8_t *quantised) {
  conversion c = {kernels, x, x_row, depth, rows, quantised, NULL};
  tx_parallel((rows + QUANTISE_ROWS - 1) / QUANTISE_ROWS, quantise_task, &c);
}

static void pack_task(void *context, int64_t index, int worker) {
  (void)worker;
  const conversion *c = context;
  int64_t first = index * TX_PANEL;
  int64_t columns = c->count - first < TX_PANEL ? c->count - first : TX_PANEL;
  c->kernels->pack(c->from + first * c->stride, c->stride, c->depth, columns,
                   c->panels + index * (int64_t)tx_int8_panel_bytes(c->depth));
}

void tx_int8_pack(const tx_int8 *kernels, const float *weights, ptrdiff_t stride, int64_t depth,
                  int64_t columns, int8_t *panels) {
  conversion c = {kernels, weights, stride, depth, columns, NULL, panels};
  tx_parallel((columns + TX_PANEL - 1) / TX_PANEL, pack_task, &c);
}

static void product_task(void *context, int64_t index, int worker) {
  (void)worker;
  const tx_int8_product *p = context;
  tx_product_part part = tx_product_part_of(p->rows, p->columns, index);
  int64_t x_row = (int64_t)tx_int8_row_bytes(p->depth);
  const int8_t *panel =
      p->panels + part.column / TX_PANEL * (int64_t)tx_int8_panel_bytes(p->depth);
  p->kernels->product(part.rows, p->depth, part.columns, p->x + part.row * x_row, x_row, panel,
                      p->bias ? p->bias + part.column : NULL, p->accumulate,
                      p->y + part.row * p->y_row + part.column, p->y_row);
}

void tx_int8_product_run(const tx_int8_product *product) {
  tx_int8_product copy = *product;
  tx_parallel(tx_product_parts(copy.rows, copy.columns), product_task, &copy);
}
