/* Row lengths of a matrix with its adapter, without making their sum. */
#include "adapt/magnitudes.h"

#include <math.h>

#include "kernels/product.h"

void tx_row_lengths(const tx_matrix *matrix, float *lengths) {
  for (int64_t n = 0; n < matrix->outputs; n++) {
    const float *column = matrix->panels + n / TX_PANEL * TX_PANEL * matrix->inputs + n % TX_PANEL;
    double square = 0;
    for (int64_t k = 0; k < matrix->inputs; k++) {
      square += (double)column[k * TX_PANEL] * (double)column[k * TX_PANEL];
    }
    lengths[n] = (float)sqrt(square);
  }
}

typedef struct {
  const tx_kernels *kernels;
  const tx_magnitude *of;
  const float *gram;     /* (rank, rank): A A^T */
  float *across;         /* (outputs, rank): W A^T */
  float *gain, *inverse; /* (outputs) */
} work;

/* Floats of a small product: y (rows, rank) = x . A^T. */
static void times_a(const tx_kernels *kernels, const tx_adapter *adapter, int64_t inputs,
                    int64_t rows, const float *x, ptrdiff_t x_row, ptrdiff_t x_step, float *y) {
  for (int64_t n = 0; n < adapter->rank; n += TX_PANEL) {
    int64_t columns = adapter->rank - n < TX_PANEL ? adapter->rank - n : TX_PANEL;
    kernels->product(rows, inputs, columns, x, x_row, x_step, adapter->a + n * inputs, NULL, false,
                     y + n, adapter->rank);
  }
}

static double square_of(const work *w, int64_t n) {
  const tx_adapter *adapter = w->of->matrix->adapter;
  int64_t rank = adapter->rank;
  const float *across = w->across + n * rank, *b = w->of->b->value + n * rank;
  double scale = (double)adapter->scale, length = (double)w->of->lengths[n];
  double mixed = 0, own = 0;
  for (int64_t r = 0; r < rank; r++) {
    double row = 0;
    for (int64_t q = 0; q < rank; q++) row += (double)w->gram[r * rank + q] * (double)b[q];
    mixed += (double)across[r] * (double)b[r];
    own += (double)b[r] * row;
  }
  return length * length + 2 * scale * mixed + scale * scale * own;
}

/* One panel of W. */
static void panel_task(void *context, int64_t index, int worker) {
  (void)worker;
  const work *w = context;
  const tx_matrix *m = w->of->matrix;
  int64_t first = index * TX_PANEL;
  int64_t rows = m->outputs - first < TX_PANEL ? m->outputs - first : TX_PANEL;
  times_a(w->kernels, m->adapter, m->inputs, rows, m->panels + first * m->inputs, 1, TX_PANEL,
          w->across + first * m->adapter->rank);
  for (int64_t n = first; n < first + rows; n++) {
    double square = square_of(w, n);
    double length = square > 0 ? sqrt(square) : 0;
    w->inverse[n] = length > 0 ? (float)(1 / length) : 0;
    w->gain[n] = w->of->length->value[n] * w->inverse[n];
  }
}

tx_status tx_magnitude_gain(const tx_kernels *kernels, const tx_magnitude *of, float *gain,
                            float *inverse, tx_error *error) {
  const tx_matrix *m = of->matrix;
  int64_t rank = m->adapter->rank;
  float *gram = tx_alloc_array((size_t)(rank * (rank + m->outputs)), sizeof *gram);
  if (!gram) return tx_fail_memory(error, (uint64_t)(rank * m->outputs) * 4, "magnitudes");
  work w = {kernels, of, gram, gram + rank * rank, gain, inverse};
  times_a(kernels, m->adapter, m->inputs, rank, of->a->value, m->inputs, 1, gram);
  tx_parallel((m->outputs + TX_PANEL - 1) / TX_PANEL, panel_task, &w);
  tx_free(gram);
  return TX_OK;
}
