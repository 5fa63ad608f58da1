/* The answers of a classifier's heads, by name: labels made harmless once for JSON keys and for
 * one-line output, and what is answered where any number of labels hold, or labels are paths. */
#ifndef CLI_HEADS_H
#define CLI_HEADS_H

#include "output.h"

typedef struct {
  char *key; /* its name, for JSON; NULL: unnamed, the only one */
  size_t labels;
  char **keys, **shown; /* (labels): for JSON, for people */
  float *probabilities; /* (rows, labels) */
  bool multi_label;
  char separator; /* of multi_label: between the labels of an answer */
  tx_hierarchy *hierarchy; /* of labels that are paths; else NULL */
  tx_path_step *steps;     /* (its levels): of the row being answered */
  size_t reached, sure;    /* how many of them; how many probable enough to be answered */
} head;

/* New: heads_close(), also after a failure.  `rows`: that are answered at a time. */
tx_status heads_open(const tx_classifier *classifier, size_t rows, head **heads, size_t *count,
                     tx_error *error);
void heads_close(head *heads, size_t count);

/* Before a row is told: its path, where labels are paths, and how much of it has `least`. */
void heads_find_path(head *of, size_t row, double least);

/* The answer for people, maybe empty; new: free(). */
char *heads_name(const head *of, size_t row);

/* Of the label; of any number of them that all are as answered, each for itself; of a path that
 * of the node answered, or where none is of the first one. */
double heads_probability(const head *of, size_t row);
void heads_put(json_t *object, const head *of, size_t row); /* its keys of an answer */

#endif
