/* The loss of a run: read from its log, drawn as a page. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "formats/directory.h"
#include "formats/file.h"
#include "formats/json.h"
#include "observe/page.h"
#include "observe/plot.h"

/* ---- reading -------------------------------------------------------------------- */

/* How many lines the log has: room for as many points of either kind. */
static size_t count_lines(const tx_map *map) {
  size_t lines = 0;
  for (uint64_t i = 0; i < map->size; i++) lines += map->data[i] == '\n';
  return lines;
}

static tx_status make_room(tx_curve *curve, size_t lines, tx_error *error) {
  tx_arena *arena = tx_arena_new();
  double *all = arena ? tx_arena_array(arena, 6 * lines, sizeof *all) : NULL;
  curve->owned = arena;
  if (!all) return tx_fail_memory(error, lines * 48, "the curve");
  curve->steps = all, curve->losses = all + lines, curve->ends = all + 2 * lines;
  curve->training_losses = all + 3 * lines, curve->validation_losses = all + 4 * lines;
  curve->accuracies = all + 5 * lines;
  return TX_OK;
}

static double number_of(const json_t *object, const char *key) {
  const json_t *value = json_object_get(object, key);
  return json_is_number(value) ? json_number_value(value) : NAN;
}

/* A line of a step, or of an epoch's end; false: neither. */
static bool take_line(tx_curve *curve, const json_t *object) {
  double step = number_of(object, "step"), loss = number_of(object, "loss");
  double validation = number_of(object, "validation_loss");
  if (!(step >= 0)) return false;
  if (isfinite(loss)) {
    curve->steps[curve->step_count] = step;
    curve->losses[curve->step_count++] = loss;
    return true;
  }
  if (!isfinite(validation)) return false;
  curve->ends[curve->epoch_count] = step;
  curve->training_losses[curve->epoch_count] = number_of(object, "training_loss");
  curve->validation_losses[curve->epoch_count] = validation;
  curve->accuracies[curve->epoch_count++] = number_of(object, "accuracy");
  return true;
}

static tx_status read_line(tx_curve *curve, const char *path, int64_t number, tx_text line,
                           tx_error *error) {
  json_t *object;
  json_error_t why;
  if (!tx_json_read(line, 0, &object, &why)) return tx_fail_memory(error, line.size, "the log");
  bool good = object && take_line(curve, object);
  json_decref(object);
  if (good) return TX_OK;
  return tx_fail_line(error, TX_ERROR_INPUT, path, number,
                      "is no line of a run's log, as taxon train --run writes it");
}

/* A last line that a kill cut short is left out. */
static tx_status read_lines(const tx_map *map, const char *path, tx_curve *curve, tx_error *error) {
  TX_TRY(make_room(curve, count_lines(map), error));
  uint64_t at = 0;
  for (int64_t number = 1; at < map->size; number++) {
    const char *line = (const char *)map->data + at;
    const char *end = memchr(line, '\n', map->size - at);
    if (!end) break;
    TX_TRY(read_line(curve, path, number, (tx_text){line, (size_t)(end - line)}, error));
    at += (uint64_t)(end - line) + 1;
  }
  return TX_OK;
}

tx_status tx_curve_read(const char *run, tx_curve *curve, tx_error *error) {
  char path[TX_PATH_SIZE];
  tx_map map;
  *curve = (tx_curve){0};
  TX_TRY(tx_path_join(path, run, "log.jsonl", error));
  TX_TRY(tx_map_open(path, &map, error));
  tx_status status = read_lines(&map, path, curve, error);
  tx_map_close(&map);
  if (status != TX_OK) tx_curve_free(curve);
  return status;
}

void tx_curve_free(tx_curve *curve) {
  tx_arena_free(curve->owned);
  *curve = (tx_curve){0};
}

/* ---- the page -------------------------------------------------------------------- */

enum { POINTS = 200 }; /* of the training curve: each a mean of as many steps */

static size_t smooth(const tx_curve *curve, double x[POINTS], double y[POINTS]) {
  size_t steps = curve->step_count, points = steps < POINTS ? steps : POINTS;
  for (size_t p = 0; p < points; p++) {
    size_t from = p * steps / points, to = (p + 1) * steps / points;
    x[p] = y[p] = 0;
    for (size_t i = from; i < to; i++) {
      x[p] += curve->steps[i] / (double)(to - from), y[p] += curve->losses[i] / (double)(to - from);
    }
  }
  return points;
}

static tx_axis loss_axis(const tx_curve *curve, const double *y, size_t points) {
  tx_axis steps = tx_axis_around(y, points, 0, INFINITY);
  tx_axis ends = tx_axis_around(curve->validation_losses, curve->epoch_count, 0, INFINITY);
  if (points > 0 && curve->epoch_count > 0) {
    steps.low = fmin(steps.low, ends.low), steps.high = fmax(steps.high, ends.high);
  } else if (points == 0) {
    steps = ends;
  }
  steps.label = "loss, nats a text";
  return steps;
}

static void draw(const tx_curve *curve, tx_buffer *page) {
  double x[POINTS], y[POINTS], last = 1;
  size_t points = smooth(curve, x, y);
  if (curve->step_count > 0) last = fmax(last, curve->steps[curve->step_count - 1]);
  tx_axis right = {.low = 0, .high = last, .label = "step", .unit = ""};
  tx_plot plot = tx_plot_begin(page, 960, 420, 80, right, loss_axis(curve, y, points),
                               "Training and validation loss by step");
  tx_plot_legend(&plot, "training", "validation, after each epoch");
  tx_plot_curve(&plot, "ours", x, y, points);
  tx_plot_curve(&plot, "other dashed", curve->ends, curve->validation_losses, curve->epoch_count);
  for (size_t i = 0; i < curve->epoch_count; i++) {
    tx_plot_diamond(&plot, "other", curve->ends[i], curve->validation_losses[i]);
  }
  tx_plot_end(&plot);
}

static void add_number(tx_buffer *page, const char *format, double value) {
  char text[40] = "";
  if (isfinite(value)) snprintf(text, sizeof text, format, value);
  tx_page_cell(page, false, "number", text);
}

static void add_epochs(const tx_curve *curve, tx_buffer *page) {
  static const char *const names[] = {"epoch", "step", "training loss", "validation loss",
                                      "validation accuracy %"};
  tx_buffer_append_string(page, "<table>\n<thead><tr>");
  for (size_t i = 0; i < 5; i++) tx_page_cell(page, true, "number", names[i]);
  tx_buffer_append_string(page, "</tr></thead>\n<tbody>\n");
  for (size_t i = 0; i < curve->epoch_count; i++) {
    tx_buffer_append_string(page, "<tr>");
    add_number(page, "%.0f", (double)i);
    add_number(page, "%.0f", curve->ends[i]);
    add_number(page, "%.4f", curve->training_losses[i]);
    add_number(page, "%.4f", curve->validation_losses[i]);
    add_number(page, "%.2f", 100 * curve->accuracies[i]);
    tx_buffer_append_string(page, "</tr>\n");
  }
  tx_buffer_append_string(page, "</tbody>\n</table>\n");
}

tx_status tx_curve_write(const tx_curve *curve, const char *title, const char *path,
                         tx_error *error) {
  tx_buffer page = {0};
  tx_page_begin(&page, title);
  tx_buffer_append_string(&page, "<figure>\n");
  draw(curve, &page);
  tx_page_element(&page, "figcaption", "The line is of the steps, or of means over a few of them.");
  tx_buffer_append_string(&page, "</figure>\n");
  add_epochs(curve, &page);
  tx_page_end(&page);
  tx_status status = page.failed ? tx_fail_memory(error, page.size, "the page")
                                 : tx_file_write(path, page.data, page.size, error);
  tx_buffer_free(&page);
  return status;
}
