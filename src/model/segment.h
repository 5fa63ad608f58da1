/* Keys and values of some consecutive tokens in one block, packed for attention:
 * what the tokens of a batch, or of a cache, are to the queries that see them. */
#ifndef TX_MODEL_SEGMENT_H
#define TX_MODEL_SEGMENT_H

#include "model/architecture.h"

typedef struct tx_segment { /* a view: the memory is another's */
  float *keys;       /* (G, ceil(capacity / TX_PANEL), D, TX_PANEL): keys as columns */
  float *values;     /* (G, ceil(D / TX_PANEL), capacity, TX_PANEL): values as rows */
  int64_t capacity;  /* tokens that there is room for */
  int64_t start;     /* the position of its first token */
  int64_t length;    /* tokens in it */
} tx_segment;

/* What a capacity takes; 0 where it does not fit. */
uint64_t tx_segment_floats(const tx_facts *facts, int64_t capacity);

/* Sets keys, values and capacity over `memory` of tx_segment_floats(). */
void tx_segment_place(const tx_facts *facts, int64_t capacity, float *memory, tx_segment *segment);

/* Keys and values of one head, from its first token. */
float *tx_segment_keys(const tx_facts *facts, const tx_segment *segment, int64_t head);
float *tx_segment_values(const tx_facts *facts, const tx_segment *segment, int64_t head);

/* Packs tokens [at, at + count) of one head; key and value (count, G*D) are rows of
 * all heads.  Tokens are packed in rising order. */
void tx_segment_pack(const tx_facts *facts, const tx_segment *segment, int64_t head, int64_t at,
                     int64_t count, const float *key, const float *value);

/* Copies the first `count` tokens from one segment to another of any capacity. */
void tx_segment_copy(const tx_facts *facts, const tx_segment *from, int64_t count,
                     const tx_segment *to);

#endif
