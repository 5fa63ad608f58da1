/* Plots as SVG within a page (page.h): two axes with round ticks, and marks in their values.
 * Which marks make a figure is left to who draws it.  `kind` is a class of the page's style:
 * "ours" (filled) or "other" (open), told apart by shape as well as by colour. */
#ifndef TX_OBSERVE_PLOT_H
#define TX_OBSERVE_PLOT_H

#include "base/buffer.h"
#include "taxon.h"

typedef struct tx_axis {
  double low, high; /* low < high; of a logarithmic one low > 0 */
  bool logarithmic;
  const char *label; /* "" for none */
  const char *unit;  /* behind each tick: "%" or "" */
  bool bare;         /* neither ticks nor grid */
} tx_axis;

typedef struct tx_plot {
  tx_buffer *to;
  double left, top, width, height; /* of the area between the axes, in pixels */
  tx_axis x, y;
} tx_plot;

/* `width` and `height` are the whole picture's, `margin` what the names at the left take;
 * `title` is what a reader who does not see it is told. */
tx_plot tx_plot_begin(tx_buffer *to, double width, double height, double margin, tx_axis x,
                      tx_axis y, const char *title);
void tx_plot_end(tx_plot *plot);

/* Marks, at values of the axes; what lies beyond them is drawn at their ends. */
void tx_plot_circle(tx_plot *plot, const char *kind, double x, double y);
void tx_plot_diamond(tx_plot *plot, const char *kind, double x, double y);
void tx_plot_line(tx_plot *plot, const char *kind, double x0, double y0, double x1, double y1);
/* Through points x, y: (count). */
void tx_plot_curve(tx_plot *plot, const char *kind, const double *x, const double *y, size_t count);
/* Words, `dx` and `dy` pixels from a point; `anchor`: "start", "middle", "end". */
void tx_plot_words(tx_plot *plot, double x, double y, double dx, double dy, const char *anchor,
                   const char *words);
/* What marks mean, above the area: a circle of "ours", a diamond of "other". */
void tx_plot_legend(tx_plot *plot, const char *ours, const char *other);

/* An axis around values (count), with a little room, that keeps within `least` and `most`. */
tx_axis tx_axis_around(const double *values, size_t count, double least, double most);

#endif
