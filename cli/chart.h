/* Charts in characters: how far probabilities can be believed, accuracy by
 * depth, and loss by step.  Plain ASCII, at most 80 columns, no colour, so that they read the same
 * on a terminal, in a file and in a message. */
#ifndef TAXON_CLI_CHART_H
#define TAXON_CLI_CHART_H

#include <stdio.h>

#include "taxon.h"

/* A line for each bin that holds answers: how sure, how many, how often right.
 * bins: (count).  Prints nothing where all are empty. */
void chart_reliability(FILE *out, const tx_bin *bins, size_t count);

/* One depth under one pooling. */
typedef struct chart_depth {
  int depth;
  const char *pooling; /* "last", "mean": the first letter is its mark */
  double accuracy, standard_error;
  bool chosen;
} chart_depth;

/* Accuracy upwards, depth to the right, a letter for each pooling, and a line
 * that names the chosen depth.  At most 16 lines.  points: (count), in any
 * order; what is no accuracy (0 to 1), no depth or no name is left out.  Prints
 * nothing without points. */
void chart_depths(FILE *out, const chart_depth *points, size_t count);

/* The loss of a run by step: means of the training steps that share a column, and the
 * validation texts' after each epoch.  12 lines.  Prints nothing without points. */
void chart_loss(FILE *out, const tx_curve *curve);

#endif
