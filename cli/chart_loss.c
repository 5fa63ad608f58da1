/* The loss of a run, by step.  Like the charts of chart.c a small grid of characters. */
#include <math.h>
#include <string.h>

#include "chart.h"

enum { ROWS = 10, COLUMNS = 64 };

typedef struct {
  double last, low, high; /* step at the right end; losses of the lowest and the highest row */
  char cells[ROWS][COLUMNS + 1];
} loss_grid;

static bool usable(double step, double loss) {
  return step >= 0 && isfinite(step) && isfinite(loss);
}

static int column_of(const loss_grid *grid, double step) {
  double share = grid->last > 0 ? step / grid->last : 0;
  return (int)(share * (COLUMNS - 1) + 0.5);
}

static int row_of(const loss_grid *grid, double loss) {
  double down = (grid->high - loss) / (grid->high - grid->low) * (ROWS - 1);
  return down >= ROWS - 1 ? ROWS - 1 : down > 0 ? (int)(down + 0.5) : 0;
}

/* Means of the steps that share a column; a column without steps is NaN. */
static void mean_columns(const loss_grid *grid, const tx_curve *curve, double means[COLUMNS]) {
  int counts[COLUMNS] = {0};
  for (int c = 0; c < COLUMNS; c++) means[c] = 0;
  for (size_t i = 0; i < curve->step_count; i++) {
    if (!usable(curve->steps[i], curve->losses[i]) || curve->steps[i] > grid->last) continue;
    int column = column_of(grid, curve->steps[i]);
    means[column] += curve->losses[i], counts[column]++;
  }
  for (int c = 0; c < COLUMNS; c++) means[c] = counts[c] ? means[c] / counts[c] : NAN;
}

static void widen(loss_grid *grid, bool *found, double loss) {
  if (!*found || loss < grid->low) grid->low = loss;
  if (!*found || loss > grid->high) grid->high = loss;
  *found = true;
}

/* The ranges of both axes; false without points. */
static bool span(loss_grid *grid, const tx_curve *curve, double means[COLUMNS]) {
  bool found = false;
  for (size_t i = 0; i < curve->step_count; i++) {
    if (usable(curve->steps[i], curve->losses[i])) grid->last = fmax(grid->last, curve->steps[i]);
  }
  for (size_t i = 0; i < curve->epoch_count; i++) {
    if (!usable(curve->ends[i], curve->validation_losses[i])) continue;
    grid->last = fmax(grid->last, curve->ends[i]);
    widen(grid, &found, curve->validation_losses[i]);
  }
  mean_columns(grid, curve, means);
  for (int c = 0; c < COLUMNS; c++) {
    if (isfinite(means[c])) widen(grid, &found, means[c]);
  }
  if (grid->high - grid->low < 1e-3) grid->high = grid->low + 1e-3;
  return found;
}

/* Validation stands over training. */
static void fill(loss_grid *grid, const tx_curve *curve, const double means[COLUMNS]) {
  memset(grid->cells, ' ', sizeof grid->cells);
  for (int c = 0; c < COLUMNS; c++) {
    if (isfinite(means[c])) grid->cells[row_of(grid, means[c])][c] = '.';
  }
  for (size_t i = 0; i < curve->epoch_count; i++) {
    if (!usable(curve->ends[i], curve->validation_losses[i])) continue;
    grid->cells[row_of(grid, curve->validation_losses[i])][column_of(grid, curve->ends[i])] = 'V';
  }
}

void chart_loss(FILE *out, const tx_curve *curve) {
  loss_grid grid = {0};
  double means[COLUMNS];
  if (!span(&grid, curve, means)) return;
  fill(&grid, curve, means);
  fputs("loss by step: . training, V validation after each epoch\n", out);
  for (int row = 0; row < ROWS; row++) {
    int size = COLUMNS;
    while (size > 0 && grid.cells[row][size - 1] == ' ') size--;
    fprintf(out, "%8.4f |%s%.*s\n", grid.high - (grid.high - grid.low) * row / (ROWS - 1),
            size > 0 ? " " : "", size, grid.cells[row]);
  }
  fprintf(out, "%8s +", "");
  for (int c = 0; c <= COLUMNS; c++) putc('-', out);
  fprintf(out, "\n%8s   0%*.0f\n", "step", COLUMNS - 1, grid.last);
}
