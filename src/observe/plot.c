/* Axes, ticks and marks.  Coordinates are written as whole tenths of a pixel, so that neither
 * the locale nor a rounding of the C library changes a byte. */
#include "observe/plot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/exact.h"
#include "observe/page.h"

enum { ABOVE = 34, BELOW = 46, RIGHT = 22, TICKS = 8 };

/* ---- numbers ------------------------------------------------------------------ */

static void put_tenths(tx_buffer *to, double value) {
  if (!(value > -1e6 && value < 1e6)) value = 0;
  long tenths = lround(value * 10);
  tx_buffer_format(to, "%s%ld.%ld", tenths < 0 ? "-" : "", labs(tenths) / 10, labs(tenths) % 10);
}

/* name="value" */
static void put_attribute(tx_buffer *to, const char *name, double value) {
  tx_buffer_format(to, " %s=\"", name);
  put_tenths(to, value);
  tx_buffer_append_byte(to, '"');
}

static double share_on(const tx_axis *axis, double value) {
  double share = axis->logarithmic && value > 0 ? (tx_log(value) - tx_log(axis->low)) /
                                                      (tx_log(axis->high) - tx_log(axis->low))
                                                : (value - axis->low) / (axis->high - axis->low);
  return share > 0 ? fmin(share, 1) : 0; /* NaN too */
}

static double place_x(const tx_plot *p, double x) {
  return p->left + p->width * share_on(&p->x, x);
}

static double place_y(const tx_plot *p, double y) {
  return p->top + p->height * (1 - share_on(&p->y, y));
}

tx_axis tx_axis_around(const double *values, size_t count, double least, double most) {
  double low = INFINITY, high = -INFINITY;
  for (size_t i = 0; i < count; i++) {
    if (!isfinite(values[i])) continue;
    low = fmin(low, values[i]), high = fmax(high, values[i]);
  }
  if (!(low <= high)) low = 0, high = 1;
  double room = high > low ? 0.05 * (high - low) : high > 0 ? 0.05 * high : 1;
  tx_axis axis = {.low = fmax(low - room, least), .high = fmin(high + room, most)};
  if (!(axis.low < axis.high)) axis.low = low - room, axis.high = high + room;
  axis.label = axis.unit = "";
  return axis;
}

/* ---- ticks ------------------------------------------------------------------------ */

/* 1, 2 or 5 times a power of ten, of which the axis holds up to TICKS. */
static double step_of(const tx_axis *axis) {
  double span = axis->high - axis->low, step = 1;
  while (span / step > TICKS && step < 1e15) step *= 10;
  while (span / step <= TICKS && step > 1e-15) step /= 10;
  /* now too fine: the next coarser of 2, 5 and 10 that fits */
  static const double coarser[] = {2, 5, 10};
  for (int i = 0; i < 3; i++) {
    if (span / (step * coarser[i]) <= TICKS) return step * coarser[i];
  }
  return step * 10;
}

/* As few figures as tell it: 0.5, 20, 1000. */
static void put_number(tx_buffer *to, double value) {
  char text[40];
  snprintf(text, sizeof text, "%.6g", fabs(value) < 1e-12 ? 0 : value);
  for (char *c = text; *c; c++) {
    if (*c == ',') *c = '.';
  }
  tx_buffer_append_string(to, text);
}

static void draw_tick(tx_plot *p, bool vertical, double value) {
  const tx_axis *axis = vertical ? &p->y : &p->x;
  double at = vertical ? place_y(p, value) : place_x(p, value);
  tx_buffer_append_string(p->to, "<line class=\"grid\"");
  put_attribute(p->to, "x1", vertical ? p->left : at);
  put_attribute(p->to, "x2", vertical ? p->left + p->width : at);
  put_attribute(p->to, "y1", vertical ? at : p->top);
  put_attribute(p->to, "y2", vertical ? at : p->top + p->height);
  tx_buffer_format(p->to, "/><text class=\"soft\" text-anchor=\"%s\"", vertical ? "end" : "middle");
  put_attribute(p->to, "x", vertical ? p->left - 8 : at);
  put_attribute(p->to, "y", vertical ? at + 4 : p->top + p->height + 18);
  tx_buffer_append_byte(p->to, '>');
  put_number(p->to, value);
  tx_page_text(p->to, axis->unit);
  tx_buffer_append_string(p->to, "</text>\n");
}

static void draw_linear(tx_plot *p, bool vertical) {
  const tx_axis *axis = vertical ? &p->y : &p->x;
  double step = step_of(axis), first = ceil(axis->low / step - 1e-9);
  for (int i = 0; i <= 2 * TICKS; i++) {
    double value = (first + i) * step;
    if (value > axis->high + 1e-9 * step) return;
    draw_tick(p, vertical, value);
  }
}

/* At 1, 2 and 5 times powers of ten, or where that would be many at the powers alone. */
static void draw_logarithmic(tx_plot *p, bool vertical) {
  const tx_axis *axis = vertical ? &p->y : &p->x;
  static const double parts[] = {1, 2, 5};
  bool wide = axis->high / axis->low > 1000;
  for (int power = -9; power <= 12; power++) {
    double ten = 1;
    for (int i = 0; i < power; i++) ten *= 10;
    for (int i = 0; i > power; i--) ten /= 10;
    for (int i = 0; i < (wide ? 1 : 3); i++) {
      double value = parts[i] * ten;
      if (value >= axis->low && value <= axis->high) draw_tick(p, vertical, value);
    }
  }
}

static void draw_axis(tx_plot *p, bool vertical) {
  const tx_axis *axis = vertical ? &p->y : &p->x;
  if (!axis->bare) (axis->logarithmic ? draw_logarithmic : draw_linear)(p, vertical);
  if (!axis->label[0]) return;
  tx_buffer_append_string(p->to, "<text text-anchor=\"middle\"");
  if (vertical) {
    double middle = p->top + p->height / 2;
    put_attribute(p->to, "x", -middle);
    put_attribute(p->to, "y", 16);
    tx_buffer_append_string(p->to, " transform=\"rotate(-90)\"");
  } else {
    put_attribute(p->to, "x", p->left + p->width / 2);
    put_attribute(p->to, "y", p->top + p->height + 38);
  }
  tx_buffer_append_byte(p->to, '>');
  tx_page_text(p->to, axis->label);
  tx_buffer_append_string(p->to, "</text>\n");
}

/* ---- the whole --------------------------------------------------------------------- */

tx_plot tx_plot_begin(tx_buffer *to, double width, double height, double margin, tx_axis x,
                      tx_axis y, const char *title) {
  tx_plot p = {.to = to, .left = margin, .top = ABOVE, .x = x, .y = y};
  p.width = width - margin - RIGHT, p.height = height - ABOVE - BELOW;
  tx_buffer_append_string(to, "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\"");
  put_attribute(to, "width", width);
  put_attribute(to, "height", height);
  tx_buffer_append_string(to, " viewBox=\"0 0 ");
  put_tenths(to, width);
  tx_buffer_append_byte(to, ' ');
  put_tenths(to, height);
  tx_buffer_append_string(to, "\">\n");
  tx_page_element(to, "title", title);
  draw_axis(&p, false);
  draw_axis(&p, true);
  return p;
}

void tx_plot_end(tx_plot *p) { tx_buffer_append_string(p->to, "</svg>\n"); }

/* ---- marks --------------------------------------------------------------------------- */

static void circle(tx_buffer *to, const char *kind, double x, double y) {
  tx_buffer_format(to, "<circle class=\"%s\" r=\"4\"", kind);
  put_attribute(to, "cx", x);
  put_attribute(to, "cy", y);
  tx_buffer_append_string(to, "/>\n");
}

static void diamond(tx_buffer *to, const char *kind, double x, double y) {
  static const double corners[][2] = {{0, -6}, {6, 0}, {0, 6}, {-6, 0}};
  tx_buffer_format(to, "<polygon class=\"%s\" points=\"", kind);
  for (int i = 0; i < 4; i++) {
    if (i > 0) tx_buffer_append_byte(to, ' ');
    put_tenths(to, x + corners[i][0]);
    tx_buffer_append_byte(to, ',');
    put_tenths(to, y + corners[i][1]);
  }
  tx_buffer_append_string(to, "\"/>\n");
}

void tx_plot_circle(tx_plot *p, const char *kind, double x, double y) {
  circle(p->to, kind, place_x(p, x), place_y(p, y));
}

void tx_plot_diamond(tx_plot *p, const char *kind, double x, double y) {
  diamond(p->to, kind, place_x(p, x), place_y(p, y));
}

void tx_plot_line(tx_plot *p, const char *kind, double x0, double y0, double x1, double y1) {
  tx_buffer_format(p->to, "<line class=\"%s\"", kind);
  put_attribute(p->to, "x1", place_x(p, x0));
  put_attribute(p->to, "y1", place_y(p, y0));
  put_attribute(p->to, "x2", place_x(p, x1));
  put_attribute(p->to, "y2", place_y(p, y1));
  tx_buffer_append_string(p->to, "/>\n");
}

void tx_plot_curve(tx_plot *p, const char *kind, const double *x, const double *y, size_t count) {
  tx_buffer_format(p->to, "<polyline class=\"curve %s\" style=\"fill:none\" points=\"", kind);
  for (size_t i = 0; i < count; i++) {
    if (i > 0) tx_buffer_append_byte(p->to, ' ');
    put_tenths(p->to, place_x(p, x[i]));
    tx_buffer_append_byte(p->to, ',');
    put_tenths(p->to, place_y(p, y[i]));
  }
  tx_buffer_append_string(p->to, "\"/>\n");
}

static void words_at(tx_buffer *to, double x, double y, const char *anchor, const char *words) {
  tx_buffer_format(to, "<text text-anchor=\"%s\"", anchor);
  put_attribute(to, "x", x);
  put_attribute(to, "y", y);
  tx_buffer_append_byte(to, '>');
  tx_page_text(to, words);
  tx_buffer_append_string(to, "</text>\n");
}

void tx_plot_words(tx_plot *p, double x, double y, double dx, double dy, const char *anchor,
                   const char *words) {
  words_at(p->to, place_x(p, x) + dx, place_y(p, y) + dy, anchor, words);
}

void tx_plot_legend(tx_plot *p, const char *ours, const char *other) {
  double at = p->left;
  circle(p->to, "ours", at + 6, 14);
  words_at(p->to, at + 18, 18, "start", ours);
  at += 40 + 7 * (double)strlen(ours);
  diamond(p->to, "other", at + 6, 14);
  words_at(p->to, at + 18, 18, "start", other);
}
