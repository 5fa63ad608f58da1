/* Memory of a parameter set, its packing and the AdamW step. */
#include "adapt/parameters.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/available.h"
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
  p->outputs = outputs, p->inputs = inputs, p->rate = 1;
  p->matrix = outputs > 1, p->packed = true;
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
    if (set->averaged) p->average = carve(memory, &at, values);
    if (!p->matrix || !p->packed) continue;
    p->panels = carve(memory, &at, tx_packed_size(p->inputs, p->outputs));
    p->transposed = carve(memory, &at, tx_packed_size(p->outputs, p->inputs));
  }
  return at;
}

tx_status tx_parameters_allocate(tx_parameters *set, tx_error *error) {
  uint64_t limit;
  set->bytes = lay_out(set, NULL) * sizeof(float);
  TX_TRY(tx_memory_limit(&limit, error));
  if (set->bytes > limit) {
    return tx_fail(error, TX_ERROR_SYSTEM,
                   "training %" PRId64 " parameters takes %.1f MB of memory, and %.1f MB are "
                   "there; close other programs, train fewer blocks, or take --method lora",
                   set->values, (double)set->bytes / 1e6, (double)limit / 1e6);
  }
  set->memory = tx_pages_alloc(set->bytes);
  if (!set->memory) return tx_fail_memory(error, set->bytes, "the trained parameters");
  lay_out(set, set->memory);
  set->squares = tx_alloc_array((size_t)(set->values / CHUNK + 1), sizeof *set->squares);
  return set->squares ? TX_OK : tx_fail_memory(error, (uint64_t)set->values, "the gradient's norm");
}

void tx_parameters_free(tx_parameters *set) {
  tx_pages_free(set->memory, set->bytes);
  tx_free(set->squares);
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

/* ---- averages ---------------------------------------------------------- */

float *tx_parameters_copy(const tx_parameters *set) {
  float *copy = tx_alloc_array((size_t)set->values, sizeof *copy), *at = copy;
  for (int64_t i = 0; copy && i < set->count; i++) {
    const tx_parameter *p = &set->items[i];
    memcpy(at, p->value, (size_t)(p->outputs * p->inputs) * sizeof *at);
    at += p->outputs * p->inputs;
  }
  return copy;
}

void tx_parameters_begin(tx_parameters *set, const float *values) {
  for (int64_t i = 0; i < set->count; i++) {
    const tx_parameter *p = &set->items[i];
    size_t bytes = (size_t)(p->outputs * p->inputs) * sizeof(float);
    memcpy(p->value, values, bytes);
    memset(p->first, 0, bytes), memset(p->second, 0, bytes), memset(p->gradient, 0, bytes);
    values += p->outputs * p->inputs;
  }
  set->steps = 0;
  tx_parameters_pack(set);
}

typedef struct {
  tx_parameter *parameter;
  float decay;
  bool swap;
} averaging;

static int64_t chunks_of(const tx_parameter *p) {
  return (p->outputs * p->inputs + CHUNK - 1) / CHUNK;
}

static int64_t chunk_size(const tx_parameter *p, int64_t index) {
  int64_t left = p->outputs * p->inputs - index * CHUNK;
  return left < CHUNK ? left : CHUNK;
}

static void average_task(void *context, int64_t index, int worker) {
  (void)worker;
  const averaging *a = context;
  int64_t count = chunk_size(a->parameter, index);
  float *value = a->parameter->value + index * CHUNK;
  float *average = a->parameter->average + index * CHUNK;
  for (int64_t i = 0; i < count; i++) {
    float held = average[i];
    if (a->swap) {
      average[i] = value[i];
      value[i] = held;
    } else {
      average[i] = value[i] + a->decay * (held - value[i]);
    }
  }
}

static void average_all(tx_parameters *set, averaging *a) {
  for (int64_t i = 0; i < set->count; i++) {
    a->parameter = &set->items[i];
    tx_parallel(chunks_of(a->parameter), average_task, a);
  }
}

void tx_parameters_average_start(tx_parameters *set) {
  tx_parameters_average(set, 0);
}

void tx_parameters_average(tx_parameters *set, double decay) {
  average_all(set, &(averaging){.decay = (float)decay});
}

void tx_parameters_average_swap(tx_parameters *set) {
  average_all(set, &(averaging){.swap = true});
  tx_parameters_pack(set);
}

/* ---- steps ------------------------------------------------------------- */

typedef struct {
  const tx_kernels *kernels;
  tx_adamw step;
  tx_parameter *parameter;
  double *squares;
} stepping;

static void square_task(void *context, int64_t index, int worker) {
  (void)worker;
  const stepping *s = context;
  const float *gradient = s->parameter->gradient + index * CHUNK;
  s->squares[index] = (double)s->kernels->dot(gradient, gradient, chunk_size(s->parameter, index));
}

double tx_parameters_gradient_norm(tx_parameters *set, const tx_kernels *kernels) {
  double sum = 0;
  for (int64_t i = 0; i < set->count; i++) {
    stepping s = {.kernels = kernels, .parameter = &set->items[i], .squares = set->squares};
    int64_t chunks = chunks_of(s.parameter);
    tx_parallel(chunks, square_task, &s);
    for (int64_t c = 0; c < chunks; c++) sum += set->squares[c];
  }
  return sqrt(sum);
}

static void step_vector_task(void *context, int64_t index, int worker) {
  (void)worker;
  const stepping *s = context;
  const tx_parameter *p = s->parameter;
  int64_t from = index * CHUNK;
  s->kernels->adamw(&s->step, chunk_size(p, index), p->gradient + from, p->first + from,
                    p->second + from, p->value + from);
}

/* A panel's rows are stepped and packed both ways while they are in cache. */
static void step_matrix_task(void *context, int64_t index, int worker) {
  (void)worker;
  const stepping *s = context;
  const tx_parameter *p = s->parameter;
  int64_t row = index * TX_PANEL, from = row * p->inputs;
  int64_t rows = p->outputs - row < TX_PANEL ? p->outputs - row : TX_PANEL;
  s->kernels->adamw(&s->step, rows * p->inputs, p->gradient + from, p->first + from,
                    p->second + from, p->value + from);
  tx_pack_panel(p->value + from, 1, p->inputs, p->inputs, rows, p->panels + from);
  tx_pack_rows(p->value + from, row, rows, p->outputs, p->inputs, p->transposed);
}

void tx_parameters_step(tx_parameters *set, const tx_kernels *kernels, double learning_rate,
                        double weight_decay, double scale) {
  const double beta1 = 0.9, beta2 = 0.999;
  double steps = (double)++set->steps;
  stepping s = {.kernels = kernels};
  s.step = (tx_adamw){.beta1 = (float)beta1,
                      .beta2 = (float)beta2,
                      .second_inverse = (float)(1 / sqrt(1 - tx_power(beta2, steps))),
                      .epsilon = 1e-8f,
                      .scale = (float)scale};
  for (int64_t i = 0; i < set->count; i++) {
    tx_parameter *p = s.parameter = &set->items[i];
    double own = learning_rate * p->rate;
    s.step.rate = (float)(own / (1 - tx_power(beta1, steps)));
    s.step.keep = (float)(p->matrix ? 1 - own * weight_decay : 1);
    if (p->panels) {
      tx_parallel((p->outputs + TX_PANEL - 1) / TX_PANEL, step_matrix_task, &s);
    } else {
      tx_parallel(chunks_of(p), step_vector_task, &s);
    }
  }
}
