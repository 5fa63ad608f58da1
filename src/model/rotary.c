/* Rotary positions (Su et al., 2021): pairs of a head's elements turn by an
 * angle that grows with the position. */
#include <string.h>

#include "base/exact.h"
#include "base/parallel.h"
#include "model/pass.h"

/* angle(position, i) = position * base^(-2i / rotary), as transformers computes
 * it: the frequency is rounded to float, then the angle. */
static tx_status grow(tx_pass *pass, int64_t positions, tx_error *error) {
  tx_rotary *rotary = &pass->rotary;
  const tx_facts *facts = pass->facts;
  int64_t half = facts->rotary / 2, rows = rotary->positions ? rotary->positions : 64;
  if (positions <= rotary->positions) return TX_OK;
  while (rows < positions) rows *= 2;
  size_t bytes = (size_t)(rows * half) * sizeof(float);
  float *cosines = tx_resize(rotary->cosines, bytes);
  if (cosines) rotary->cosines = cosines;
  float *sines = tx_resize(rotary->sines, bytes);
  if (sines) rotary->sines = sines;
  if (!cosines || !sines) return tx_fail_memory(error, bytes, "rotary positions");
  for (int64_t i = 0; i < half; i++) {
    float frequency = (float)tx_power(facts->rotary_base, -2.0 * (double)i / (double)facts->rotary);
    for (int64_t p = rotary->positions; p < rows; p++) {
      double angle = (double)((float)p * frequency);
      cosines[p * half + i] = (float)tx_cos(angle);
      sines[p * half + i] = (float)tx_sin(angle);
    }
  }
  rotary->positions = rows;
  return TX_OK;
}

typedef struct {
  const tx_pass *pass;
  const tx_batch *batch;
  const tx_wanted *wanted;
  int64_t heads;
  float *x;
  float direction;
} rotation;

enum { ROWS = 32 };

static void rotate_task(void *context, int64_t index, int worker) {
  (void)worker;
  const rotation *r = context;
  const tx_facts *facts = r->pass->facts;
  int64_t half = facts->rotary / 2, size = facts->head_size;
  bool pairs = facts->architecture->positions == TX_POSITION_ROTARY_PAIRS;
  int64_t apart = pairs ? 1 : half, stride = pairs ? 2 : 1;
  int64_t end = (index + 1) * ROWS < r->wanted->count ? (index + 1) * ROWS : r->wanted->count;
  for (int64_t row = index * ROWS; row < end; row++) {
    int64_t position = r->batch->positions[tx_wanted_token(r->wanted, row)];
    const float *cosines = r->pass->rotary.cosines + position * half;
    const float *sines = r->pass->rotary.sines + position * half;
    for (int64_t h = 0; h < r->heads; h++) {
      float *head = r->x + (row * r->heads + h) * size;
      for (int64_t i = 0; i < half; i++) {
        float a = head[i * stride], b = head[i * stride + apart];
        float cosine = cosines[i], sine = r->direction * sines[i];
        head[i * stride] = a * cosine - b * sine;
        head[i * stride + apart] = b * cosine + a * sine;
      }
    }
  }
}

tx_status tx_rotary_apply(tx_pass *pass, const tx_batch *batch, const tx_wanted *wanted,
                          int64_t heads, float *x, int direction, tx_error *error) {
  if (pass->facts->architecture->positions == TX_POSITION_LEARNED) return TX_OK;
  int64_t longest = 0;
  for (int64_t b = 0; b < batch->sequences; b++) {
    int64_t end = batch->positions[batch->offsets[b + 1] - 1] + 1;
    if (end > longest) longest = end;
  }
  TX_TRY(grow(pass, longest, error));
  rotation r = {pass, batch, wanted, heads, x, (float)direction};
  tx_parallel((wanted->count + ROWS - 1) / ROWS, rotate_task, &r);
  return TX_OK;
}
