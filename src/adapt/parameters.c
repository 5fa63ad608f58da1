/* Memory of a parameter set, its packing and the AdamW step. */
#include "adapt/parameters.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/exact.h"
#include "base/parallel.h"
#include "kernels/product.h"

enum { CHUNK = 1 << 14 }; /* values of a task */

tx_status tx_parameters_new(int64_t capacity, tx_parameters *set, tx_error *error) {
  *set = (tx_parameters){.capacity = capacity};
  set->items = tx_alloc_zero((size_t)capacity, sizeof *set->items);
  return set->items ? TX_OK : tx_fail_memory(error, sizeof *set->items, "the parameters");
}

tx_parameter *tx_parameters_add(tx_parameters *set, const char *name, int64_t outputs,
                                int64_t inputs) {
  if (set->count == set->capacity) return NULL;
  tx_parameter *p = &set->items[set->count++];
  snprintf(p->name, sizeof p->name, "%s", name);
  p->outputs = outputs, p->inputs = inputs, p->decays = outputs > 1;
  set->values += outputs * inputs;
  return p;
}

static float *carve(float *memory, uint64_t *at, uint64_t floats) {
  float *part = memory ? memory + *at : NULL;
  *at += (floats + 15) & ~(uint64_t)15;
  return part;
}

/* Run twice: without memory for the size, then with it. */
static uint64_t lay_out(tx_parameters *set, float *memory) {
  uint64_t at = 0;
  for (int64_t i = 0; i < set->count; i++) {
    tx_parameter *p = &set->items[i];
    uint64_t values = (uint64_t)(p->outputs * p->inputs);
    p->value = carve(memory, &at, values);
    p->gradient = carve(memory, &at, values);
    p->first = carve(memory, &at, values);
    p->second = carve(memory, &at, values);
    p->kept = carve(memory, &at, values);
    if (p->outputs == 1) continue;
    p->panels = carve(memory, &at, tx_packed_size(p->inputs, p->outputs));
    p->transposed = carve(memory, &at, tx_packed_size(p->outputs, p->inputs));
  }
  return at;
}

tx_status tx_parameters_allocate(tx_parameters *set, tx_error *error) {
  set->bytes = lay_out(set, NULL) * sizeof(float);
  set->memory = tx_pages_alloc(set->bytes);
  if (!set->memory) return tx_fail_memory(error, set->bytes, "the trained parameters");
  lay_out(set, set->memory);
  return TX_OK;
}

void tx_parameters_free(tx_parameters *set) {
  tx_pages_free(set->memory, set->bytes);
  tx_free(set->items);
  *set = (tx_parameters){0};
}

void tx_parameters_pack(tx_parameters *set) {
  for (int64_t i = 0; i < set->count; i++) {
    tx_parameter *p = &set->items[i];
    if (!p->panels) continue;
    tx_pack(p->value, 1, p->inputs, p->inputs, p->outputs, p->panels);
    tx_pack(p->value, p->inputs, 1, p->outputs, p->inputs, p->transposed);
  }
}

void tx_parameters_clear(tx_parameters *set) {
  for (int64_t i = 0; i < set->count; i++) {
    const tx_parameter *p = &set->items[i];
    memset(p->gradient, 0, (size_t)(p->outputs * p->inputs) * sizeof(float));
  }
}

void tx_parameters_keep(tx_parameters *set) {
  for (int64_t i = 0; i < set->count; i++) {
    const tx_parameter *p = &set->items[i];
    memcpy(p->kept, p->value, (size_t)(p->outputs * p->inputs) * sizeof(float));
  }
}

void tx_parameters_restore(tx_parameters *set) {
  for (int64_t i = 0; i < set->count; i++) {
    const tx_parameter *p = &set->items[i];
    memcpy(p->value, p->kept, (size_t)(p->outputs * p->inputs) * sizeof(float));
  }
  tx_parameters_pack(set);
}

double tx_parameters_gradient_norm(const tx_parameters *set, const tx_kernels *kernels) {
  double sum = 0;
  for (int64_t i = 0; i < set->count; i++) {
    const tx_parameter *p = &set->items[i];
    for (int64_t from = 0, all = p->outputs * p->inputs; from < all; from += CHUNK) {
      int64_t count = all - from < CHUNK ? all - from : CHUNK;
      sum += (double)kernels->dot(p->gradient + from, p->gradient + from, count);
    }
  }
  return sqrt(sum);
}

typedef struct {
  const tx_kernels *kernels;
  tx_adamw step;
  tx_parameter *parameter;
} stepping;

static void step_task(void *context, int64_t index, int worker) {
  (void)worker;
  const stepping *s = context;
  const tx_parameter *p = s->parameter;
  int64_t from = index * CHUNK, all = p->outputs * p->inputs;
  s->kernels->adamw(&s->step, all - from < CHUNK ? all - from : CHUNK, p->gradient + from,
                    p->first + from, p->second + from, p->value + from);
}

void tx_parameters_step(tx_parameters *set, const tx_kernels *kernels, double learning_rate,
                        double weight_decay, double scale) {
  const double beta1 = 0.9, beta2 = 0.999;
  double steps = (double)++set->steps;
  stepping s = {.kernels = kernels};
  s.step = (tx_adamw){.rate = (float)(learning_rate / (1 - tx_power(beta1, steps))),
                      .beta1 = (float)beta1,
                      .beta2 = (float)beta2,
                      .second_inverse = (float)(1 / sqrt(1 - tx_power(beta2, steps))),
                      .epsilon = 1e-8f,
                      .scale = (float)scale};
  for (int64_t i = 0; i < set->count; i++) {
    s.parameter = &set->items[i];
    s.step.keep = (float)(s.parameter->decays ? 1 - learning_rate * weight_decay : 1);
    tx_parallel((s.parameter->outputs * s.parameter->inputs + CHUNK - 1) / CHUNK, step_task, &s);
  }
  tx_parameters_pack(set);
}
