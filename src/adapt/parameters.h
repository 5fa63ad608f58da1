/* A set of trainable parameters: values, gradients, AdamW's two moments, and
 * for matrices the packed forms that the kernels read.  What they mean is left
 * to tail.h. */
#ifndef TX_ADAPT_PARAMETERS_H
#define TX_ADAPT_PARAMETERS_H

#include "base/memory.h"
#include "kernels/kernels.h"

typedef struct tx_parameter {
  char name[80];           /* as the artifact calls the tensor */
  int64_t outputs, inputs; /* a vector has outputs 1 */
  bool matrix;             /* packed for products, and weight decay applies; at first: outputs >
                              1 */
  bool packed;             /* of a matrix: its packed forms are kept here; at first so.  Else they
                              are made when they are needed, by others */
  double rate;             /* the learning rate counts so much; at first 1 */
  float *value;            /* (outputs, inputs) */
  float *gradient;         /* the same, summed up since the last step */
  float *first, *second;   /* AdamW's moments */
  float *kept;             /* the best values so far */
  float *average;          /* exponential, of the values; NULL unless the set is averaged */
  float *panels;           /* packed for y = x . W^T, or NULL */
  float *transposed;       /* packed for dx = dy . W, or NULL */
} tx_parameter;

typedef struct tx_parameters {
  tx_parameter *items;
  int64_t count, capacity;
  int64_t values; /* in all items */
  int64_t steps;  /* of AdamW so far */
  bool averaged;  /* set before tx_parameters_allocate */
  float *memory;
  size_t bytes;
  double *squares; /* of the gradients, a chunk each */
} tx_parameters;

/* Declares one; call for all of them, then tx_parameters_allocate once.  NULL
 * when `capacity` (from tx_parameters_new) is used up. */
tx_status tx_parameters_new(int64_t capacity, tx_parameters *set, tx_error *error);
tx_parameter *tx_parameters_add(tx_parameters *set, const char *name, int64_t outputs,
                                int64_t inputs);
tx_status tx_parameters_allocate(tx_parameters *set, tx_error *error);
void tx_parameters_free(tx_parameters *set);

/* All values, one item's after another, new: tx_free; NULL when out of memory.  And a
 * new beginning from them: no moments, no steps, no gradients. */
float *tx_parameters_copy(const tx_parameters *set);
void tx_parameters_begin(tx_parameters *set, const float *values);

void tx_parameters_pack(tx_parameters *set);    /* after values changed */
void tx_parameters_clear(tx_parameters *set);   /* gradients to zero */
void tx_parameters_keep(tx_parameters *set);    /* values -> kept */
void tx_parameters_restore(tx_parameters *set); /* kept -> values, packed */

/* Of a set that is averaged: the averages start as the values are; after a step they
 * become decay * average + (1 - decay) * value; and they change places with the values. */
void tx_parameters_average_start(tx_parameters *set);
void tx_parameters_average(tx_parameters *set, double decay);
void tx_parameters_average_swap(tx_parameters *set);

/* The Euclidean norm of all gradients. */
double tx_parameters_gradient_norm(tx_parameters *set, const tx_kernels *kernels);

/* One step of AdamW (betas 0.9 and 0.999, epsilon 1e-8) and packing; gradients
 * count `scale` times and are cleared. */
void tx_parameters_step(tx_parameters *set, const tx_kernels *kernels, double learning_rate,
                        double weight_decay, double scale);

#endif
