/* The tensors of a model's file as its changes leave them, for writing the whole model
 * anew.  What is computed with them is left to model.h. */
#ifndef TX_MODEL_MERGED_H
#define TX_MODEL_MERGED_H

#include "model/model.h"
#include "model/weights.h"

enum { TX_MERGED_PARTS = 3 };

typedef struct tx_merged {
  const tx_tensor *tensor; /* of the model's file */
  int64_t block;           /* -1: of none */
  int64_t rows, columns;   /* a vector: rows 1 */
  tx_weight parts[TX_MERGED_PARTS]; /* (count): below one another, of a vector side by side */
  int count;
  bool changed; /* not what the file holds */
  /* Rows that stand in the place of the file's: numbers `ids` (rising), or where that is
   * NULL the first ones. */
  const tx_tensor *ids, *values;
} tx_merged;

/* `tensor` is one of the model's own file. */
tx_status tx_merged_find(const tx_model *model, const tx_tensor *tensor, tx_merged *merged,
                         tx_error *error);

/* values (count, columns) = rows [from, from + count).  NaN or infinity is an input
 * error naming the tensor. */
tx_status tx_merged_read(const tx_merged *merged, int64_t from, int64_t count, float *values,
                         tx_error *error);

#endif
