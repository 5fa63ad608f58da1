/* Column statistics and their use, each sum in the order of the rows. */
#include "adapt/standard.h"

#include <math.h>

#include "base/parallel.h"

enum { COLUMNS = 64, ROWS = 64 }; /* of one task */

typedef struct {
  const float *from;
  int64_t row_stride, rows, width;
  double *mean, *inverse;
  float *features;
} standardising;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static void fit_task(void *context, int64_t index, int worker) {
  (void)worker;
  const standardising *s = context;
  int64_t from = index * COLUMNS, end = least(from + COLUMNS, s->width);
  double *mean = s->mean, *inverse = s->inverse;
  for (int64_t c = from; c < end; c++) mean[c] = inverse[c] = 0;
  for (int64_t i = 0; i < s->rows; i++) {
    const float *row = s->from + i * s->row_stride;
    for (int64_t c = from; c < end; c++) mean[c] += (double)row[c];
  }
  for (int64_t c = from; c < end; c++) mean[c] /= (double)s->rows;
  for (int64_t i = 0; i < s->rows; i++) {
    const float *row = s->from + i * s->row_stride;
    for (int64_t c = from; c < end; c++) {
      double away = (double)row[c] - mean[c];
      inverse[c] += away * away;
    }
  }
  for (int64_t c = from; c < end; c++) {
    double deviation = sqrt(inverse[c] / (double)s->rows);
    inverse[c] = deviation > 1e-6 * (fabs(mean[c]) + 1e-6) ? 1 / deviation : 0;
  }
}

static void apply_task(void *context, int64_t index, int worker) {
  (void)worker;
  const standardising *s = context;
  int64_t end = least((index + 1) * ROWS, s->rows);
  for (int64_t i = index * ROWS; i < end; i++) {
    const float *row = s->from + i * s->row_stride;
    float *to = s->features + i * s->width;
    for (int64_t c = 0; c < s->width; c++) {
      to[c] = (float)(((double)row[c] - s->mean[c]) * s->inverse[c]);
    }
  }
}

void tx_standard_fit(const float *from, int64_t row_stride, int64_t rows, int64_t width,
                     double *mean, double *inverse) {
  standardising s = {from, row_stride, rows, width, mean, inverse, NULL};
  tx_parallel((width + COLUMNS - 1) / COLUMNS, fit_task, &s);
}

void tx_standard_apply(const float *from, int64_t row_stride, int64_t rows, int64_t width,
                       const double *mean, const double *inverse, float *features) {
  standardising s = {from, row_stride, rows, width, (double *)mean, (double *)inverse, features};
  tx_parallel((rows + ROWS - 1) / ROWS, apply_task, &s);
}
