/* Left-looking by blocks of columns; the small diagonal blocks in double. */
#include "adapt/cholesky.h"

#include <math.h>
#include <string.h>

enum { BLOCK = TX_PANEL };

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* The lower triangle of a (size, size) block, in place, and its inverse. */
static void factor_block(float *a, int64_t stride, int64_t size, float *inverse) {
  for (int64_t j = 0; j < size; j++) {
    for (int64_t i = j; i < size; i++) {
      double sum = (double)a[i * stride + j];
      for (int64_t k = 0; k < j; k++) {
        sum -= (double)a[i * stride + k] * (double)a[j * stride + k];
      }
      /* The penalty keeps pivots above 0; rounding may not. */
      a[i * stride + j] = (float)(i == j ? sqrt(sum > 1e-12 ? sum : 1e-12)
                                         : sum / (double)a[j * stride + j]);
    }
  }
  memset(inverse, 0, (size_t)(BLOCK * BLOCK) * sizeof *inverse);
  for (int64_t j = 0; j < size; j++) {
    for (int64_t i = j; i < size; i++) {
      double sum = i == j ? 1 : 0;
      for (int64_t k = j; k < i; k++) {
        sum -= (double)a[i * stride + k] * (double)inverse[k * BLOCK + j];
      }
      inverse[i * BLOCK + j] = (float)(sum / (double)a[i * stride + i]);
    }
  }
}

void tx_cholesky_factor(tx_cholesky *c) {
  const tx_kernels *kernels = c->kernels;
  int64_t all = c->size;
  for (int64_t from = 0; from < all; from += BLOCK) {
    int64_t size = least(BLOCK, all - from), end = from + size;
    float *rows = c->matrix + from * all, *below = c->matrix + end * all + from;
    float *inverse = c->inverses + from * BLOCK;
    if (from > 0) {
      tx_pack_panel(rows, 1, all, from, size, c->panel);
      kernels->product(all - from, from, size, rows, all, 1, c->panel, NULL, false, c->result,
                       BLOCK);
      for (int64_t i = 0; i < all - from; i++) {
        for (int64_t k = 0; k < size; k++) {
          rows[i * all + from + k] -= c->result[i * BLOCK + k];
        }
      }
    }
    factor_block(rows + from, all, size, inverse);
    if (end == all) break;
    tx_pack_panel(inverse, 1, BLOCK, size, size, c->panel);
    kernels->product(all - end, size, size, below, all, 1, c->panel, NULL, false, c->result,
                     BLOCK);
    for (int64_t i = 0; i < all - end; i++) {
      memcpy(below + i * all, c->result + i * BLOCK, (size_t)size * sizeof(float));
    }
  }
}

static void subtract(float *to, const float *what, int64_t count) {
  for (int64_t i = 0; i < count; i++) to[i] -= what[i];
}

void tx_cholesky_solve(tx_cholesky *c, float *right) {
  const tx_kernels *kernels = c->kernels;
  int64_t all = c->size;
  int64_t last = (all - 1) / BLOCK * BLOCK;
  for (int64_t from = 0; from < all; from += BLOCK) {
    int64_t size = least(BLOCK, all - from);
    float *part = right + from * BLOCK;
    if (from > 0) {
      kernels->product(size, from, BLOCK, c->matrix + from * all, all, 1, right, NULL, false,
                       c->result, BLOCK);
      subtract(part, c->result, size * BLOCK);
    }
    kernels->product(size, size, BLOCK, c->inverses + from * BLOCK, BLOCK, 1, part, NULL, false,
                     c->result, BLOCK);
    memcpy(part, c->result, (size_t)(size * BLOCK) * sizeof *part);
  }
  for (int64_t from = last; from >= 0; from -= BLOCK) {
    int64_t size = least(BLOCK, all - from), end = from + size;
    float *part = right + from * BLOCK;
    if (end < all) {
      kernels->product(size, all - end, BLOCK, c->matrix + end * all + from, 1, all,
                       right + end * BLOCK, NULL, false, c->result, BLOCK);
      subtract(part, c->result, size * BLOCK);
    }
    kernels->product(size, size, BLOCK, c->inverses + from * BLOCK, 1, BLOCK, part, NULL, false,
                     c->result, BLOCK);
    memcpy(part, c->result, (size_t)(size * BLOCK) * sizeof *part);
  }
}
