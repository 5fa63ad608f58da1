/* Part after part: of the packed matrix, of the quantised rows, and of the product. */
#include "model/bytes.h"

#include "kernels/product.h"

enum { MOST_PARTS = 1024 };

int64_t tx_bytes_parts(int64_t inputs) {
  for (int64_t parts = 1; parts <= MOST_PARTS && parts <= inputs / 4; parts++) {
    if (inputs % (4 * parts) == 0 && inputs / parts <= TX_BYTES_PART) return parts;
  }
  return 1;
}

static int64_t part_of(int64_t inputs) { return inputs / tx_bytes_parts(inputs); }

uint64_t tx_bytes_packed(int64_t inputs, int64_t outputs) {
  uint64_t parts = (uint64_t)tx_bytes_parts(inputs);
  uint64_t bytes = tx_int8_packed_bytes(part_of(inputs), outputs);
  return bytes <= UINT64_MAX / parts ? parts * bytes : 0;
}

uint64_t tx_bytes_row(int64_t inputs) {
  return (uint64_t)tx_bytes_parts(inputs) * tx_int8_row_bytes(part_of(inputs));
}

void tx_bytes_pack(const tx_int8 *kernels, const float *weights, int64_t inputs, int64_t outputs,
                   int64_t first, int64_t rows, int8_t *packed) {
  int64_t part = part_of(inputs);
  int8_t *panel = packed + first / TX_PANEL * (int64_t)tx_int8_panel_bytes(part);
  for (int64_t at = 0; at < inputs; at += part) {
    kernels->pack(weights + at, inputs, part, rows, panel);
    panel += tx_int8_packed_bytes(part, outputs);
  }
}

void tx_bytes_quantise(const tx_int8 *kernels, const float *x, int64_t inputs, int64_t rows,
                       uint8_t *quantised) {
  int64_t part = part_of(inputs);
  for (int64_t at = 0; at < inputs; at += part) {
    tx_int8_quantise(kernels, x + at, inputs, rows, part, quantised);
    quantised += (uint64_t)rows * tx_int8_row_bytes(part);
  }
}

/* A block of rows by a panel of outputs, all parts of the inputs while y is near. */
static void product_task(void *context, int64_t index, int worker) {
  (void)worker;
  const tx_bytes_product *m = context;
  int64_t inputs = m->matrix->inputs, outputs = m->matrix->outputs, part = part_of(inputs);
  tx_product_part of = tx_product_part_of(m->rows, outputs, index);
  int64_t row = (int64_t)tx_int8_row_bytes(part), panel = (int64_t)tx_int8_panel_bytes(part);
  const uint8_t *x = m->quantised + of.row * row;
  const int8_t *weights = m->matrix->bytes + of.column / TX_PANEL * panel;
  const float *bias = m->matrix->bias ? m->matrix->bias + of.column : NULL;
  for (int64_t at = 0; at < inputs; at += part) {
    m->kernels->product(of.rows, part, of.columns, x, row, weights, at == 0 ? bias : NULL, at > 0,
                        m->y + of.row * outputs + of.column, outputs);
    x += m->rows * row;
    weights += tx_int8_packed_bytes(part, outputs);
  }
}

tx_loop tx_bytes_product_loop(const tx_bytes_product *product) {
  return (tx_loop){tx_product_parts(product->rows, product->matrix->outputs), product_task,
                   (void *)(uintptr_t)product};
}

void tx_bytes_product_run(const tx_bytes_product *product) {
  tx_loop loop = tx_bytes_product_loop(product);
  tx_parallel_all(&loop, 1);
}
