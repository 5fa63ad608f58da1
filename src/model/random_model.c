/* Keys of sizes, and tensors drawn one by one. */
#include "model/random_model.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/parallel.h"
#include "base/random.h"

/* ---- sizes ------------------------------------------------------------- */

tx_status tx_random_facts(const tx_facts *of, tx_random_sizes sizes, tx_facts *facts,
                          tx_error *error) {
  *facts = *of;
  if (sizes.blocks > 0) facts->blocks = sizes.blocks;
  if (sizes.width == 0 || sizes.width == of->width) return TX_OK;
  if (sizes.width % of->head_size != 0) {
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "--width is %" PRId64 "; it must be a multiple of the head size, %" PRId64,
                   sizes.width, of->head_size);
  }
  facts->width = sizes.width;
  facts->heads = sizes.width / of->head_size;
  if (facts->heads > 1024) {
    return tx_fail(error, TX_ERROR_ARGUMENT, "--width is %" PRId64 ", more than 1,024 heads",
                   sizes.width);
  }
  facts->hidden = (of->hidden * sizes.width + of->width / 2) / of->width;
  facts->kv_heads = (facts->heads * of->kv_heads + of->heads / 2) / of->heads;
  if (facts->kv_heads < 1) facts->kv_heads = 1;
  while (facts->heads % facts->kv_heads != 0) facts->kv_heads--;
  return TX_OK;
}

static void add_keys(tx_gguf_writer *writer, const tx_gguf *base, const tx_facts *f) {
  static const char *const endings[] = {"block_count",          "embedding_length",
                                        "feed_forward_length",  "attention.head_count",
                                        "attention.head_count_kv", "attention.key_length",
                                        "attention.value_length"};
  enum { SIZES = sizeof endings / sizeof *endings };
  const int64_t values[SIZES] = {f->blocks,   f->width,     f->hidden,   f->heads,
                                 f->kv_heads, f->head_size, f->head_size};
  char keys[SIZES][96];
  const char *without[SIZES + 1];
  for (int i = 0; i < SIZES; i++) {
    snprintf(keys[i], sizeof keys[i], "%s.%s", f->architecture->name, endings[i]);
    without[i] = keys[i];
  }
  without[SIZES] = "general.file_type";
  tx_gguf_add_keys(writer, base, without, SIZES + 1);
  for (int i = 0; i < SIZES; i++) tx_gguf_add_int(writer, keys[i], values[i]);
}

/* ---- tensors ----------------------------------------------------------- */

typedef struct {
  char name[96];
  int64_t outputs, inputs; /* a vector has outputs 1 */
  double deviation;        /* 0: all of them are `constant` */
  float constant;
  float *values;
} drawn;

typedef struct {
  const tx_facts *facts;
  drawn *list;
  int64_t count;
  uint64_t seed;
} drawing;

static void want(drawing *d, const char *name, int64_t outputs, int64_t inputs, double deviation,
                 float constant) {
  drawn *t = &d->list[d->count++];
  snprintf(t->name, sizeof t->name, "%s", name);
  t->outputs = outputs, t->inputs = inputs, t->deviation = deviation, t->constant = constant;
}

static void want_norm(drawing *d, const char *stem) {
  char name[96];
  snprintf(name, sizeof name, "%s.weight", stem);
  want(d, name, 1, d->facts->width, 0, 1);
  if (d->facts->architecture->norm != TX_NORM_LAYER) return;
  snprintf(name, sizeof name, "%s.bias", stem);
  want(d, name, 1, d->facts->width, 0, 0);
}

static void want_matrix(drawing *d, int64_t block, const char *stem, int64_t outputs,
                        int64_t inputs, double deviation) {
  char name[80];
  snprintf(name, sizeof name, "blk.%" PRId64 ".%s.weight", block, stem);
  want(d, name, outputs, inputs, deviation, 0);
  if (!d->facts->architecture->biases) return;
  snprintf(name, sizeof name, "blk.%" PRId64 ".%s.bias", block, stem);
  want(d, name, 1, outputs, 0, 0);
}

static void want_block(drawing *d, int64_t block) {
  const tx_facts *f = d->facts;
  double plain = 0.02, residual = plain / sqrt(2 * (double)f->blocks);
  bool fused = f->architecture->fused_qkv;
  if (fused) {
    int64_t outputs = (f->heads + 2 * f->kv_heads) * f->head_size;
    want_matrix(d, block, "attn_qkv", outputs, f->width, plain);
  }
  for (int slot = fused ? TX_MATRIX_OUT : 0; slot < TX_MATRICES; slot++) {
    int64_t outputs, inputs;
    tx_matrix_shape(f, (tx_matrix_slot)slot, &outputs, &inputs);
    bool ends = slot == TX_MATRIX_OUT || slot == TX_MATRIX_DOWN;
    if (outputs == 0) continue;
    want_matrix(d, block, tx_matrix_stem((tx_matrix_slot)slot), outputs, inputs,
                ends ? residual : plain);
  }
  for (int slot = 0; slot < TX_NORMS; slot++) {
    char stem[64];
    snprintf(stem, sizeof stem, "blk.%" PRId64 ".%s", block, tx_norm_stem((tx_norm_slot)slot));
    want_norm(d, stem);
  }
}

static void draw_task(void *context, int64_t index, int worker) {
  (void)worker;
  const drawing *d = context;
  const drawn *t = &d->list[index];
  uint64_t seed = d->seed;
  for (const char *c = t->name; *c; c++) {
    seed = (seed ^ (uint64_t)(unsigned char)*c) * 0x100000001b3u;
  }
  tx_random random = tx_random_seed(seed);
  for (int64_t i = 0; i < t->outputs * t->inputs; i++) {
    t->values[i] =
        t->deviation > 0 ? (float)(t->deviation * tx_random_normal(&random)) : t->constant;
  }
}

static tx_status draw(const drawing *d, tx_arena *arena, tx_error *error) {
  for (int64_t i = 0; i < d->count; i++) {
    drawn *t = &d->list[i];
    size_t count = (size_t)(t->outputs * t->inputs);
    t->values = tx_arena_array(arena, count, sizeof *t->values);
    if (!t->values) return tx_fail_memory(error, count * sizeof *t->values, "random weights");
  }
  tx_parallel(d->count, draw_task, (void *)(uintptr_t)d);
  return TX_OK;
}

tx_status tx_random_model_add(tx_gguf_writer *writer, const tx_gguf *base, const tx_facts *facts,
                              uint64_t seed, tx_arena *arena, tx_error *error) {
  drawing d = {.facts = facts, .seed = seed};
  size_t most = 4 + (size_t)facts->blocks * 2 * (TX_MATRICES + TX_NORMS);
  d.list = tx_arena_array(arena, most, sizeof *d.list);
  if (!d.list) return tx_fail_memory(error, most * sizeof *d.list, "random weights");
  want(&d, "token_embd.weight", facts->vocabulary, facts->width, 0.02, 0);
  if (facts->architecture->positions == TX_POSITION_LEARNED) {
    want(&d, "position_embd.weight", facts->context, facts->width, 0.01, 0);
  }
  for (int64_t block = 0; block < facts->blocks; block++) want_block(&d, block);
  want_norm(&d, "output_norm");
  TX_TRY(draw(&d, arena, error));
  add_keys(writer, base, facts);
  for (int64_t i = 0; i < d.count; i++) {
    const drawn *t = &d.list[i];
    const int64_t shape[2] = {t->inputs, t->outputs};
    tx_gguf_add_tensor(writer, t->name, TX_TENSOR_F32, t->outputs > 1 ? 2 : 1, shape, t->values);
  }
  return TX_OK;
}
