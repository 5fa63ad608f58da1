/* The report as one page: the table, test accuracy by row, and accuracy against time. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "observe/page.h"
#include "observe/plot.h"
#include "tasks/ablate.h"

enum { WIDTH = 960, LINE = 26, TEXT = 160 };

static bool was_run(const tx_ablation_row *row) { return row->seeds > 0; }

/* ---- the table ------------------------------------------------------------------- */

static void add_heading(tx_buffer *page) {
  static const char *const names[] = {"row",
                                      "what is changed",
                                      "trained parameters",
                                      "train %",
                                      "validation %",
                                      "test % (95 % interval)",
                                      "time",
                                      "seeds",
                                      "book: train, validation, test %, time",
                                      "what it teaches"};
  tx_buffer_append_string(page, "<tr>");
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    tx_page_cell(page, true, i == 1 || i == 9 ? NULL : "number", names[i]);
  }
  tx_buffer_append_string(page, "</tr>\n");
}

static void add_share(tx_buffer *page, const tx_ablation_row *row, const tx_ablation_score *of) {
  char text[TEXT] = "";
  if (was_run(row)) snprintf(text, sizeof text, "%.2f", 100 * of->mean);
  tx_page_cell(page, false, "number", text);
}

static void add_row(tx_buffer *page, const tx_ablation_row *row) {
  char text[TEXT];
  bool run = was_run(row);
  tx_buffer_append_string(page, "<tr>");
  snprintf(text, sizeof text, "%d", row->number);
  tx_page_cell(page, false, "number", text);
  tx_page_cell(page, false, NULL, row->changed);
  snprintf(text, sizeof text, "%" PRId64, row->trained_parameters);
  tx_page_cell(page, false, "number", run ? text : "");
  add_share(page, row, &row->train);
  add_share(page, row, &row->validation);
  snprintf(text, sizeof text, "%.2f (%.2f to %.2f)", 100 * row->test.mean, 100 * row->test.lo,
           100 * row->test.hi);
  tx_page_cell(page, false, "number", run ? text : "");
  snprintf(text, sizeof text, row->seconds < 60 ? "%.1f s%s" : "%.1f min%s",
           row->seconds < 60 ? row->seconds : row->seconds / 60, row->cached ? " *" : "");
  tx_page_cell(page, false, "number", run ? text : "");
  snprintf(text, sizeof text, "%d", row->seeds);
  tx_page_cell(page, false, "number", run ? text : "");
  snprintf(text, sizeof text, "%.2f, %.2f, %.2f, %.2f min", 100 * row->published_train,
           100 * row->published_validation, 100 * row->published_test, row->published_seconds / 60);
  tx_page_cell(page, false, "number", text);
  tx_page_cell(page, false, row->skipped ? "note" : NULL,
               row->skipped ? row->skipped : row->lesson);
  tx_buffer_append_string(page, "</tr>\n");
}

static void add_table(const tx_ablation_report *report, tx_buffer *page) {
  tx_buffer_append_string(page, "<div class=\"scroll\">\n<table>\n<thead>\n");
  add_heading(page);
  tx_buffer_append_string(page, "</thead>\n<tbody>\n");
  for (size_t i = 0; i < report->row_count; i++) add_row(page, &report->rows[i]);
  tx_buffer_append_string(page, "</tbody>\n</table>\n</div>\n");
}

/* ---- figures ----------------------------------------------------------------------- */

/* The axis of accuracies in per cent, ours with their intervals and the published ones. */
static tx_axis accuracy_axis(const tx_ablation_report *report) {
  double values[4 * TX_ABLATION_ROWS];
  size_t count = 0;
  for (size_t i = 0; i < report->row_count; i++) {
    const tx_ablation_row *row = &report->rows[i];
    values[count++] = 100 * row->published_test;
    if (!was_run(row)) continue;
    values[count++] = 100 * row->test.lo, values[count++] = 100 * row->test.hi;
  }
  tx_axis axis = tx_axis_around(values, count, 0, 100);
  axis.label = "test accuracy", axis.unit = " %";
  return axis;
}

static void draw_rows(const tx_ablation_report *report, tx_buffer *page) {
  size_t rows = report->row_count;
  tx_axis down = {.low = 0, .high = (double)rows, .label = "", .unit = "", .bare = true};
  tx_plot plot = tx_plot_begin(page, WIDTH, (double)rows * LINE + 80, 320, accuracy_axis(report),
                               down, "Test accuracy of each row, with 95 % intervals");
  tx_plot_legend(&plot, "here, with its 95 % interval", "published (GPT-2)");
  for (size_t i = 0; i < rows; i++) {
    const tx_ablation_row *row = &report->rows[i];
    char name[TEXT];
    double at = (double)(rows - i) - 0.5;
    snprintf(name, sizeof name, "%d  %s", row->number, row->changed);
    tx_plot_words(&plot, plot.x.low, at, -10, 4, "end", name);
    tx_plot_diamond(&plot, "other", 100 * row->published_test, at);
    if (!was_run(row)) continue;
    tx_plot_line(&plot, "ours", 100 * row->test.lo, at, 100 * row->test.hi, at);
    tx_plot_circle(&plot, "ours", 100 * row->test.mean, at);
  }
  tx_plot_end(&plot);
}

/* Times differ by factors, so their axis is logarithmic. */
static tx_axis time_axis(const tx_ablation_report *report) {
  double low = INFINITY, high = 0;
  for (size_t i = 0; i < report->row_count; i++) {
    const tx_ablation_row *row = &report->rows[i];
    if (!was_run(row)) continue;
    double seconds = fmax(row->seconds, 1e-3);
    low = fmin(low, seconds), high = fmax(high, seconds);
  }
  if (!(low <= high)) low = 1, high = 10;
  return (tx_axis){.low = low / 1.5,
                   .high = high * 1.5,
                   .logarithmic = true,
                   .label = "seconds of a training",
                   .unit = ""};
}

static void draw_times(const tx_ablation_report *report, tx_buffer *page) {
  tx_axis up = accuracy_axis(report);
  tx_plot plot = tx_plot_begin(page, WIDTH, 420, 80, time_axis(report), up,
                               "Test accuracy against the time of a training");
  for (size_t i = 0; i < report->row_count; i++) {
    const tx_ablation_row *row = &report->rows[i];
    char name[16];
    if (!was_run(row) || row->same_as > 0) continue;
    double seconds = fmax(row->seconds, 1e-3), test = 100 * row->test.mean;
    snprintf(name, sizeof name, "%d%s", row->number, row->cached ? "*" : "");
    tx_plot_line(&plot, "ours", seconds, 100 * row->test.lo, seconds, 100 * row->test.hi);
    tx_plot_circle(&plot, "ours", seconds, test);
    tx_plot_words(&plot, seconds, test, 8, -6, "start", name);
  }
  tx_plot_end(&plot);
}

static void add_figure(const tx_ablation_report *report, tx_buffer *page,
                       void (*draw)(const tx_ablation_report *, tx_buffer *), const char *caption) {
  tx_buffer_append_string(page, "<figure>\n");
  draw(report, page);
  tx_page_element(page, "figcaption", caption);
  tx_buffer_append_string(page, "</figure>\n");
}

/* ---- the whole ------------------------------------------------------------------------ */

static void add_recipe(const tx_ablation *a, tx_buffer *page) {
  const tx_ablation_options *o = a->options;
  char text[1024];
  snprintf(text, sizeof text,
           "The additional experiments of chapter 6 of \"Build a Large Language Model (From "
           "Scratch)\", with %.300s: %" PRId64 " texts for training, %" PRId64
           " for validation, %" PRId64 " for testing, padded to %" PRId64
           " tokens where nothing else is said; %d epoch%s of batch %d at a learning rate of %g. "
           "Each row changes one thing of the first.",
           o->model, a->train->rows, a->validation->rows, a->test->rows, a->base.longest, o->epochs,
           o->epochs == 1 ? "" : "s", o->batch, o->learning_rate);
  tx_page_element(page, "p", text);
  tx_page_element(
      page, "p",
      "Figures are means over the seeds. An interval joins Wilson's, for the texts that "
      "happen to be in the set, with Student's t over the seeds. What a row teaches is "
      "said only where the 95 % interval of the difference on the same texts and seeds leaves "
      "out zero (one in twenty does so by chance); elsewhere that it cannot be told apart. * "
      "Without the time for the states that the frozen blocks give: they were there already.");
}

void tx_ablation_page(const tx_ablation *a, tx_buffer *page) {
  tx_page_begin(page, "What each choice is worth");
  add_recipe(a, page);
  add_table(a->report, page);
  add_figure(a->report, page, draw_rows,
             "Test accuracy by row. The published figures are of another model and one seed.");
  add_figure(
      a->report, page, draw_times,
      "Test accuracy against the time of a training, on a logarithmic axis; numbers are rows.");
  tx_page_end(page);
}
