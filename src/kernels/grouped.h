/* Products straight from a GGUF file's own values of 4, 5, 6 and 8 bits, group by
 * group of inputs, at the speed of the memory that holds the weights: what one
 * token at a time needs.  One table of functions for each instruction set, chosen
 * together with kernels.h; where a processor has AVX-512 but not VNNI, bytes are
 * multiplied into 16 bits instead.
 *
 * Every path gives the same bits: the integers are exact, and each output is one
 * fp32 sum over its groups in rising order, in single operations on one element.
 * A row's result therefore depends on neither batch nor threads.
 *
 * Weights are the file's: w = scale * (q - zero), or scale * q + least (Q4_1; Q4_K,
 * where least = -minimum), for groups of 32 inputs, 16 for Q6_K.  In the K types
 * scale = d * (6- or 8-bit number) and least likewise, exact in fp32.
 *
 * Activations, each group of 32 for itself (symmetric):
 *   scale_x = max|x| / 127,   q_x = round(x * (127 / max|x|)), ties to the even q_x.
 * A group below 2^-100 counts as zero.  A group with an infinity or a NaN makes
 * every output of its row NaN.
 *
 *   y[n] = start; for each group:
 *   y[n] = fma(scale[n] * scale_x, (float)(sum (q - zero) q_x), y[n]), then, with a least,
 *   y[n] = fma(least[n], scale_x * (float)(sum q_x), y[n])
 *
 * Which matrices are multiplied so is left to the model. */
#ifndef TX_KERNELS_GROUPED_H
#define TX_KERNELS_GROUPED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/parallel.h"
#include "kernels/kernels.h"

enum {
  TX_GROUP = 32,          /* inputs of a group of activations */
  TX_GROUPED_OUTPUTS = 16 /* of a packed panel */
};

/* A group of quantised activations.  A row is depth / TX_GROUP of these. */
typedef struct tx_group {
  float scale, scaled_sum;    /* scaled_sum = scale * (float)(sum q) */
  int32_t minus, minus_first; /* -(sum q), and that of the first 16 */
  int8_t q[TX_GROUP];
} tx_group;

/* A packed panel's groups follow one another, each for 16 outputs:
 *   Q4_0  nibbles, scales          18 bytes a group and output, as in the file
 *   Q4_1  nibbles, scales, least   20, as in the file
 *   Q5_0  nibbles, fifth bits, scales   22, as in the file
 *   Q8_0  bytes, scales            34, as in the file
 *   Q4_K  for each 8 groups: d, dmin, 8 of (nibbles, scales, minima: a byte each)
 *                                  148 for 256 inputs; 144 in the file
 *   Q6_K  for each 8 groups: d, 8 of (nibbles, upper bits, first scales, second scales)
 *                                  210 for 256 inputs, as in the file
 * scales, least, d, dmin: (16) fp16.  Four inputs of an output stand side by side
 * (a quad), then those of the next output.  nibbles: (4, 16, 4), quad j in the low
 * halves of row j, quad j + 4 in the high ones; fifth bits: (16, 4), quad j in bit j;
 * upper bits: (2, 16, 4), quad j in bits 2 (j mod 4) on of row j / 4; bytes: (8, 16, 4),
 * each q + 128. */

typedef struct tx_grouped {
  const char *name; /* "generic", "avx2", "avx512", "vnni" */

  /* One row x (depth) into depth / TX_GROUP groups. */
  void (*quantise)(const float *x, int64_t depth, tx_group *groups);

  /* y (rows, columns) = start + x (rows, depth) . panel, columns <= TX_GROUPED_OUTPUTS; row m
   * of x at x + m * depth / TX_GROUP.  start: y itself if `accumulate`, else bias (columns),
   * else 0.  `panel` is aligned to 32 bytes. */
  void (*product)(uint32_t type, int64_t rows, int64_t depth, int64_t columns, const tx_group *x,
                  const unsigned char *panel, const float *bias, bool accumulate, float *y,
                  ptrdiff_t y_row);
} tx_grouped;

/* The table in use, and that of a path (NULL where this machine cannot run it). */
const tx_grouped *tx_grouped_get(void);
const tx_grouped *tx_grouped_find(const char *name);

/* ---- over all workers ---------------------------------------------------- */

/* Whether weights of this type (ggml's number) and depth can be multiplied so:
 * Q4_0, Q4_1, Q5_0, Q8_0, Q4_K, Q6_K, and a depth of whole blocks of the type. */
bool tx_grouped_supports(uint32_t type, int64_t depth);

/* Bytes of the packed form of weights (columns, depth), a multiple of 64; 0 where the
 * type or depth is not supported or the size does not fit. */
uint64_t tx_grouped_packed_bytes(uint32_t type, int64_t depth, int64_t columns);

/* Packs all of the weights: `blocks` as they stand in the file, row by row; `panels`
 * aligned to 64 bytes (tx_pages_alloc), of tx_grouped_packed_bytes.  Supported types only. */
void tx_grouped_pack(uint32_t type, const void *blocks, int64_t depth, int64_t columns,
                     unsigned char *panels);

/* Quantises rows (rows, depth), x_row floats apart, into caller's memory of
 * rows * depth / TX_GROUP groups; any number of products may share the result.
 * depth: a multiple of TX_GROUP. */
void tx_grouped_quantise(const tx_grouped *kernels, const float *x, ptrdiff_t x_row, int64_t rows,
                         int64_t depth, tx_group *groups);

typedef struct tx_grouped_product {
  const tx_grouped *kernels;
  uint32_t type; /* of the weights */
  int64_t rows, depth, columns;
  const tx_group *x;           /* (rows, depth / TX_GROUP) */
  const unsigned char *panels; /* packed weights (columns, depth) */
  const float *bias;           /* (columns) or NULL */
  bool accumulate;             /* y += instead of y =; excludes bias */
  float *y;                    /* element (m, n) at y[m * y_row + n] */
  ptrdiff_t y_row;
  int64_t tasks; /* 0; tx_grouped_product_loop() fills it in */
} tx_grouped_product;

/* Weights are read from memory once, whatever the number of rows. */
void tx_grouped_product_run(const tx_grouped_product *product);

/* The same as a loop, to run beside others (tx_parallel_all); it reads the product. */
tx_loop tx_grouped_product_loop(tx_grouped_product *product);

extern const tx_grouped tx_grouped_generic, tx_grouped_avx2, tx_grouped_avx512, tx_grouped_vnni;

#endif
