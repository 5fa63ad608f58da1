/* Dividing a product into tasks: blocks of rows that stay in a core's cache,
 * times panels.  The division never touches the order of a sum. */
#include "kernels/product.h"

#include <string.h>

#include "base/memory.h"
#include "base/parallel.h"

enum { ROW_BLOCK = 192, PACK_DEPTH = 16 };

uint64_t tx_packed_size(int64_t depth, int64_t columns) {
  uint64_t panels = ((uint64_t)columns + TX_PANEL - 1) / TX_PANEL, size;
  if (!tx_multiply(panels * TX_PANEL, (uint64_t)depth, &size)) return 0;
  return size;
}

/* A few rows of the panel at a time, so that both sides stay in cache. */
void tx_pack_panel(const float *from, ptrdiff_t step, ptrdiff_t column, int64_t depth,
                   int64_t columns, float *panel) {
  for (int64_t k = 0; column == 1 && k < depth; k++) {
    memcpy(panel + k * TX_PANEL, from + k * step, (size_t)columns * sizeof *panel);
  }
  for (int64_t k = 0; column != 1 && k < depth; k += PACK_DEPTH) {
    int64_t end = depth - k < PACK_DEPTH ? depth : k + PACK_DEPTH;
    for (int64_t n = 0; n < columns; n++) {
      const float *source = from + n * column;
      for (int64_t i = k; i < end; i++) panel[i * TX_PANEL + n] = source[i * step];
    }
  }
  if (columns == TX_PANEL) return;
  for (int64_t k = 0; k < depth; k++) {
    memset(panel + k * TX_PANEL + columns, 0, (size_t)(TX_PANEL - columns) * sizeof *panel);
  }
}

typedef struct {
  const float *panels;
  int64_t depth, columns;
  float *to;
} turning;

/* One panel of the transposed: rows [first, first + TX_PANEL) of B, square by square. */
static void turn_task(void *context, int64_t index, int worker) {
  (void)worker;
  const turning *t = context;
  int64_t first = index * TX_PANEL;
  int64_t rows = t->depth - first < TX_PANEL ? t->depth - first : TX_PANEL;
  float *to = t->to + first * t->columns;
  for (int64_t n = 0; n < t->columns; n += TX_PANEL) {
    const float *from = t->panels + n * t->depth + first * TX_PANEL;
    int64_t end = t->columns - n < TX_PANEL ? t->columns - n : TX_PANEL;
    for (int64_t i = 0; i < end; i++, to += TX_PANEL) {
      for (int64_t k = 0; k < rows; k++) to[k] = from[k * TX_PANEL + i];
      for (int64_t k = rows; k < TX_PANEL; k++) to[k] = 0;
    }
  }
}

void tx_pack_transposed(const float *panels, int64_t depth, int64_t columns, float *to) {
  turning t = {panels, depth, columns, to};
  tx_parallel((depth + TX_PANEL - 1) / TX_PANEL, turn_task, &t);
}

void tx_pack_rows(const float *rows, int64_t first, int64_t count, int64_t depth, int64_t columns,
                  float *panels) {
  for (int64_t n = 0; n < columns; n += TX_PANEL) {
    int64_t width = columns - n < TX_PANEL ? columns - n : TX_PANEL;
    float *panel = panels + n * depth + first * TX_PANEL;
    for (int64_t k = 0; k < count; k++, panel += TX_PANEL) {
      memcpy(panel, rows + k * columns + n, (size_t)width * sizeof *panel);
      memset(panel + width, 0, (size_t)(TX_PANEL - width) * sizeof *panel);
    }
  }
}

typedef struct {
  const float *from;
  ptrdiff_t step, column;
  int64_t depth, columns;
  float *panels;
} packing;

static void pack_task(void *context, int64_t index, int worker) {
  (void)worker;
  const packing *p = context;
  int64_t first = index * TX_PANEL;
  int64_t columns = p->columns - first < TX_PANEL ? p->columns - first : TX_PANEL;
  tx_pack_panel(p->from + first * p->column, p->step, p->column, p->depth, columns,
                p->panels + first * p->depth);
}

void tx_pack(const float *from, ptrdiff_t step, ptrdiff_t column, int64_t depth, int64_t columns,
             float *panels) {
  packing p = {from, step, column, depth, columns, panels};
  tx_parallel((columns + TX_PANEL - 1) / TX_PANEL, pack_task, &p);
}

int64_t tx_product_parts(int64_t rows, int64_t columns) {
  int64_t panels = (columns + TX_PANEL - 1) / TX_PANEL;
  return panels * ((rows + ROW_BLOCK - 1) / ROW_BLOCK);
}

tx_product_part tx_product_part_of(int64_t rows, int64_t columns, int64_t index) {
  int64_t panels = (columns + TX_PANEL - 1) / TX_PANEL;
  int64_t column = index % panels * TX_PANEL, row = index / panels * ROW_BLOCK;
  return (tx_product_part){.row = row,
                           .rows = rows - row < ROW_BLOCK ? rows - row : ROW_BLOCK,
                           .column = column,
                           .columns = columns - column < TX_PANEL ? columns - column : TX_PANEL};
}

static void product_task(void *context, int64_t index, int worker) {
  (void)worker;
  const tx_product *p = context;
  tx_product_part part = tx_product_part_of(p->rows, p->columns, index);
  p->kernels->product(part.rows, p->depth, part.columns, p->x + part.row * p->x_row, p->x_row,
                      p->x_step, p->panels + part.column * p->depth,
                      p->bias ? p->bias + part.column : NULL, p->accumulate,
                      p->y + part.row * p->y_row + part.column, p->y_row);
}

tx_loop tx_product_loop(const tx_product *product) {
  return (tx_loop){tx_product_parts(product->rows, product->columns), product_task,
                   (void *)(uintptr_t)product};
}

void tx_product_run(const tx_product *product) {
  tx_loop loop = tx_product_loop(product);
  tx_parallel_all(&loop, 1);
}
