/* Nothing here knows where the figures come from, nor allocates: a chart is a
 * small grid of characters. */
#include "chart.h"

#include <inttypes.h>
#include <string.h>

/* ---- reliability ------------------------------------------------------- */

enum { BAR = 50 }; /* two per cent a character */

static int along(double share) { return (int)(share * BAR + 0.5); }

/* How often right as a bar; a bar of good probabilities ends at the '|'. */
static void print_bar(FILE *out, const tx_bin *bin) {
  char bar[BAR + 2];
  int right = along(bin->accuracy), sure = along(bin->confidence);
  memset(bar, ' ', sizeof bar);
  memset(bar, '#', (size_t)right);
  bar[sure] = '|';
  int end = right > sure + 1 ? right : sure + 1;
  fprintf(out, "%.*s\n", end, bar);
}

void chart_reliability(FILE *out, const tx_bin *bins, size_t count) {
  int64_t total = 0;
  for (size_t i = 0; i < count; i++) total += bins[i].count;
  if (total == 0) return;
  fprintf(out, "%7s  %7s  %7s  %-17s%8s%25s\n", "sure", "right", "texts", "0 % right", "50 %",
          "100 %");
  for (size_t i = 0; i < count; i++) {
    if (bins[i].count == 0) continue;
    fprintf(out, "%5.1f %%  %5.1f %%  %7" PRId64 "  ", 100 * bins[i].confidence,
            100 * bins[i].accuracy, bins[i].count);
    print_bar(out, &bins[i]);
  }
}

/* ---- accuracy by depth ------------------------------------------------- */

enum {
  ROWS = 10,
  COLUMNS = 68,
  MOST_SERIES = 8,
  DEEPEST = 9999,
  WORST_SHOWN = 25, /* points of accuracy below the best; what is worse stands in the last row */
};

typedef struct {
  const char *names[MOST_SERIES];
  char marks[MOST_SERIES];
  int count;
} chart_series;

typedef struct {
  int first, last, step; /* depths, and columns from one to the next */
  int per_column;        /* depths that share a column */
  double low, high;      /* of the rows' middles */
  bool worse;            /* the last row holds what is below `low` too */
  char cells[ROWS][COLUMNS + 1];
} chart_grid;

/* The points may come from a file that somebody made. */
static bool usable(const chart_depth *point) {
  static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_+";
  const char *name = point->pooling;
  bool named = name && *name && strlen(name) <= 16 && name[strspn(name, plain)] == '\0';
  bool right = point->accuracy >= 0 && point->accuracy <= 1;
  return named && right && point->depth >= 0 && point->depth <= DEEPEST;
}

/* The place of a pooling, added at its first use; -1: no room. */
static int series_find(chart_series *series, const char *name) {
  int at = 0;
  while (at < series->count && strcmp(series->names[at], name) != 0) at++;
  if (at == MOST_SERIES) return -1;
  if (at < series->count) return at;
  char mark = name[0];
  for (int i = 0; i < series->count; i++) {
    if (series->marks[i] == mark) mark = (char)('1' + at);
  }
  series->names[at] = name;
  series->marks[at] = mark;
  return series->count++;
}

/* The range of depths and of accuracies; false without points. */
static bool grid_span(chart_grid *grid, const chart_depth *points, size_t count) {
  bool found = false;
  double worst = 0;
  for (size_t i = 0; i < count; i++) {
    const chart_depth *point = &points[i];
    if (!usable(point)) continue;
    if (!found || point->depth < grid->first) grid->first = point->depth;
    if (!found || point->depth > grid->last) grid->last = point->depth;
    if (!found || point->accuracy > grid->high) grid->high = point->accuracy;
    if (!found || point->accuracy < worst) worst = point->accuracy;
    found = true;
  }
  grid->low = worst;
  if (grid->high - worst > WORST_SHOWN / 100.0) grid->low = grid->high - WORST_SHOWN / 100.0;
  if (grid->high - grid->low < 0.01) grid->low = grid->high - 0.01; /* no drama over nothing */
  grid->worse = worst < grid->low;
  int depths = grid->last - grid->first + 1;
  grid->per_column = (depths + COLUMNS - 1) / COLUMNS;
  int columns = (depths + grid->per_column - 1) / grid->per_column;
  grid->step = COLUMNS / columns < 4 ? COLUMNS / columns : 4;
  return found;
}

static int grid_row(const chart_grid *grid, double accuracy) {
  double down = (grid->high - accuracy) / (grid->high - grid->low) * (ROWS - 1);
  return down >= ROWS - 1 ? ROWS - 1 : (int)(down + 0.5);
}

static int grid_column(const chart_grid *grid, int depth) {
  return (depth - grid->first) / grid->per_column * grid->step;
}

/* Two poolings in one place are a '*'; the chosen one stands over all. */
static void grid_fill(chart_grid *grid, const chart_depth *points, size_t count,
                      chart_series *series) {
  memset(grid->cells, ' ', sizeof grid->cells);
  for (size_t i = 0; i < count; i++) {
    int which = usable(&points[i]) ? series_find(series, points[i].pooling) : -1;
    if (which < 0) continue;
    char *cell = &grid->cells[grid_row(grid, points[i].accuracy)]
                             [grid_column(grid, points[i].depth)];
    char mark = series->marks[which];
    *cell = *cell == ' ' || *cell == mark ? mark : '*';
  }
  for (size_t i = 0; i < count; i++) {
    if (!points[i].chosen || !usable(&points[i])) continue;
    grid->cells[grid_row(grid, points[i].accuracy)][grid_column(grid, points[i].depth)] = '@';
  }
}

static void print_legend(FILE *out, const chart_series *series) {
  fputs("accuracy by depth: ", out);
  for (int i = 0; i < series->count; i++) {
    fprintf(out, "%c %s, ", series->marks[i], series->names[i]);
  }
  fprintf(out, "%s@ chosen\n", series->count > 1 ? "* several, " : "");
}

static void print_rows(FILE *out, const chart_grid *grid) {
  for (int row = 0; row < ROWS; row++) {
    double height = grid->high - (grid->high - grid->low) * row / (ROWS - 1);
    int size = COLUMNS;
    while (size > 0 && grid->cells[row][size - 1] == ' ') size--;
    if (row == ROWS - 1 && grid->worse) {
      fprintf(out, "   worse |");
    } else {
      fprintf(out, "%6.1f %% |", 100 * height);
    }
    fprintf(out, "%s%.*s\n", size > 0 ? " " : "", size, grid->cells[row]);
  }
}

/* The line of depths: a number under every few columns. */
static void print_axis(FILE *out, const chart_grid *grid) {
  int columns = grid_column(grid, grid->last) + 1;
  fprintf(out, "%8s +", "");
  for (int i = 0; i <= columns; i++) putc('-', out);
  fprintf(out, "\n%8s  ", "depth");
  for (int depth = grid->first, at = 0; depth <= grid->last; depth++) {
    int column = grid_column(grid, depth);
    if (column < at) continue;
    char number[16];
    int size = snprintf(number, sizeof number, "%d", depth);
    fprintf(out, "%*s%s", column + 1 - at, "", number);
    at = column + 1 + size;
  }
  putc('\n', out);
}

static void print_point(FILE *out, const char *what, const chart_depth *point, const char *end) {
  fprintf(out, "%s: depth %d, %s, %.1f %%", what, point->depth, point->pooling,
          100 * point->accuracy);
  if (point->standard_error > 0 && point->standard_error <= 1) {
    fprintf(out, " (standard error %.1f)", 100 * point->standard_error);
  }
  fputs(end, out);
}

/* The chosen one, and the best where that is another. */
static void print_chosen(FILE *out, const chart_depth *points, size_t count) {
  const chart_depth *chosen = NULL, *best = NULL;
  for (size_t i = 0; i < count; i++) {
    if (!usable(&points[i])) continue;
    if (points[i].chosen) chosen = &points[i];
    if (!best || points[i].accuracy > best->accuracy) best = &points[i];
  }
  bool same = !chosen || !best || chosen->accuracy >= best->accuracy;
  if (chosen) print_point(out, "chosen", chosen, same ? "\n" : "; ");
  if (best && (!chosen || !same)) print_point(out, "best", best, "\n");
}

void chart_depths(FILE *out, const chart_depth *points, size_t count) {
  chart_grid grid = {0};
  chart_series series = {0};
  if (!grid_span(&grid, points, count)) return;
  grid_fill(&grid, points, count, &series);
  print_legend(out, &series);
  print_rows(out, &grid);
  print_axis(out, &grid);
  print_chosen(out, points, count);
}
