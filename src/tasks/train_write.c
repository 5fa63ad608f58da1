/* From label sets to the artifact's tensors and keys. */
#include "tasks/train_write.h"

#include <stdlib.h>
#include <string.h>

#include "formats/artifact.h"
#include "score/linear.h"
#include "score/network.h"
#include "score/precision.h"

typedef struct {
  const tx_training *training;
  tx_label_set *set;
  size_t head;          /* its place */
  const tx_text *names; /* (name_count): of all heads */
  size_t name_count;
  const tx_text *f32_matrices; /* (f32_count): of int8 */
  size_t f32_count;
  tx_gguf_writer *writer;
  tx_arena *arena; /* what the writer borrows until it commits */
} writing;

static int compare_hashes(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

/* The fingerprints of the training texts, rising, each once. */
static tx_status add_fingerprints(const writing *w, tx_error *error) {
  const tx_labelled *rows = &w->set->split.train;
  int64_t kept = 0;
  uint64_t *prints = tx_arena_array(w->arena, (size_t)rows->count, sizeof *prints);
  if (!prints) return tx_fail_memory(error, (uint64_t)rows->count * 8, "fingerprints");
  memcpy(prints, rows->hashes, (size_t)rows->count * sizeof *prints);
  qsort(prints, (size_t)rows->count, sizeof *prints, compare_hashes);
  for (int64_t i = 0; i < rows->count; i++) {
    if (i == 0 || prints[i] != prints[i - 1]) prints[kept++] = prints[i];
  }
  char key[TX_ARTIFACT_KEY];
  tx_artifact_key(w->head, "training.texts", key);
  tx_gguf_add_tensor(w->writer, key, TX_TENSOR_I64, 1, &kept, prints);
  return TX_OK;
}

/* What adapters add is written as it counts: B times the scale. */
static const float *values_of(const tx_training *t, const tx_parameter *p, tx_arena *arena) {
  size_t size = strlen(p->name), count = (size_t)(p->outputs * p->inputs);
  if (size < 7 || strcmp(p->name + size - 7, ".lora_b") != 0) return p->value;
  float *scaled = tx_arena_array(arena, count, sizeof *scaled);
  float scale = (float)tx_training_adapter(t).scale;
  for (size_t i = 0; scaled && i < count; i++) scaled[i] = scale * p->value[i];
  return scaled;
}

tx_status tx_train_write_parameter(const tx_training *t, const tx_parameter *p, const char *name,
                                   tx_gguf_writer *writer, tx_arena *arena, tx_error *error) {
  int64_t shape[2] = {p->inputs, p->outputs};
  const float *values = values_of(t, p, arena);
  if (!values) return tx_fail_memory(error, (uint64_t)(p->outputs * p->inputs) * 4, "the adapters");
  tx_gguf_add_tensor(writer, name, TX_TENSOR_F32, p->outputs > 1 ? 2 : 1, shape, values);
  return TX_OK;
}

/* A further head has its own names; no block is trained beside it. */
static tx_status add_parameters(const writing *w, tx_error *error) {
  const tx_parameters *set = tx_tail_parameters(w->set->tail);
  for (int64_t i = 0; i < set->count; i++) {
    const tx_parameter *p = &set->items[i];
    w->set->trained_parameters += p->outputs * p->inputs;
    char key[TX_ARTIFACT_KEY];
    bool own = w->head > 0 && strncmp(p->name, "head.", 5) == 0;
    if (own) tx_artifact_tensor(w->head, p->name + 5, key);
    const char *name = own ? key : p->name;
    TX_TRY(tx_train_write_parameter(w->training, p, name, w->writer, w->arena, error));
  }
  return TX_OK;
}

/* Accuracy by depth, as it was when the depth was chosen. */
static tx_status add_depths(const writing *w, tx_error *error) {
  size_t count = (size_t)w->set->depth_count;
  if (count == 0) return TX_OK;
  int64_t *depths = tx_arena_array(w->arena, count, sizeof *depths);
  tx_text *poolings = tx_arena_array(w->arena, count, sizeof *poolings);
  double *accuracies = tx_arena_array(w->arena, count, sizeof *accuracies);
  double *errors = tx_arena_array(w->arena, count, sizeof *errors);
  if (!depths || !poolings || !accuracies || !errors) {
    return tx_fail_memory(error, count * 40, "the depths");
  }
  for (size_t i = 0; i < count; i++) {
    const tx_depth_score *score = &w->set->depths[i];
    depths[i] = score->depth;
    poolings[i] = tx_text_of(tx_pooling_name(score->pooling));
    accuracies[i] = score->accuracy;
    errors[i] = score->standard_error;
  }
  char key[TX_ARTIFACT_KEY];
  tx_artifact_key(w->head, "depths.depth", key);
  tx_gguf_add_ints(w->writer, key, depths, count);
  tx_artifact_key(w->head, "depths.pooling", key);
  tx_gguf_add_strings(w->writer, key, poolings, count);
  tx_artifact_key(w->head, "depths.accuracy", key);
  tx_gguf_add_floats(w->writer, key, accuracies, count);
  tx_artifact_key(w->head, "depths.standard_error", key);
  tx_gguf_add_floats(w->writer, key, errors, count);
  return TX_OK;
}

/* The labels of the most frequent set. */
static tx_status name_majority(const writing *w, tx_artifact_facts *facts, tx_error *error) {
  const tx_label_set *set = w->set;
  size_t classes = (size_t)set->split.classes;
  const uint8_t *marks = set->split.train.marks + (size_t)set->majority_row * classes;
  tx_text *names = tx_arena_array(w->arena, classes, sizeof *names);
  if (!names) return tx_fail_memory(error, classes * sizeof *names, "the labels");
  for (size_t c = 0; c < classes; c++) {
    if (marks[c]) names[facts->majority_count++] = facts->labels[c];
  }
  facts->majority_labels = names;
  facts->multi_label = true;
  facts->label_separator = tx_text_of(w->training->options->table.label_separator);
  return TX_OK;
}

/* As of the artifact: nothing where it is the model's. */
static const char *const attention_names[] = {"", "bidirectional", "two-way"};
static const char *const schedule_names[] = {"constant", "cosine", "linear"};

static tx_status add_facts(const writing *w, tx_error *error) {
  const tx_training *t = w->training;
  const tx_train_options *o = t->options;
  const tx_label_set *set = w->set;
  const tx_dataset *validation = set->split.validation_table;
  tx_text *names = tx_arena_array(w->arena, (size_t)set->split.classes, sizeof *names);
  if (!names) return tx_fail_memory(error, (uint64_t)set->split.classes * 16, "the labels");
  for (int c = 0; c < set->split.classes; c++) names[c] = tx_text_of(set->split.names[c]);
  tx_artifact_facts facts = {
      .heads = w->names,
      .head_count = w->name_count,
      .head = w->head,
      .labels = names,
      .label_count = (size_t)set->split.classes,
      .method = tx_text_of(tx_method_name(set->method)),
      .text_template = tx_text_of("{text}"),
      .pooling = tx_text_of(tx_pooling_name(set->pooling)),
      .depth = set->depth,
      .max_tokens = t->max_tokens,
      .pad_to = o->pad_to,
      .attention =
          tx_text_of(attention_names[o->attention]),
      .precision = tx_text_of(t->precision == TX_PRECISION_INT8 ? "int8" : ""),
      .f32_matrices = w->f32_matrices,
      .f32_count = w->f32_count,
      .base_name = tx_text_of(tx_training_base_name(t)),
      .base_sha256 = tx_text_of(t->base_sha256),
      .blocks_trained = set->blocks,
      .train_rows = set->split.train.count,
      .val_rows = set->split.validation.count,
      .tokens = set->tokens,
      .cut = set->cut,
      .data_sha256 = tx_text_of(set->split.train_table->sha256),
      .validation_sha256 = tx_text_of(validation ? validation->sha256 : ""),
      .seed = (int64_t)o->seed,
      .epochs = set->epochs,
      .best_epoch = set->best_epoch,
      .batch = o->batch,
      .batch_tokens = set->epochs > 0 ? o->batch_tokens : 0,
      .accumulate = o->accumulate,
      .trained_parameters = set->trained_parameters,
      .learning_rate = set->learning_rate,
      .weight_decay = o->weight_decay,
      .penalty = set->penalty,
      .words = set->words,
      .head_solver = tx_text_of(o->head_solver == TX_HEAD_CONVEX ? "convex" : "sgd"),
      .class_weights = tx_text_of(tx_label_set_weights(t, set) ? "balanced" : "none"),
      .schedule = tx_text_of(schedule_names[o->schedule]),
      .command = tx_text_of(o->command ? o->command : ""),
      .version = tx_text_of(tx_version()),
      .val_accuracy = set->val_accuracy,
      .val_lo = set->val_lo,
      .val_hi = set->val_hi,
      .val_macro_f1 = set->val_macro_f1,
      .val_nll = set->val_nll,
      .hierarchical = o->hierarchical,
      .majority_label = set->majority,
      .majority_accuracy = set->majority_accuracy,
      .linear_accuracy = set->linear_accuracy};
  if (set->method == TX_METHOD_LORA) {
    const tx_adapter_options adapter = tx_training_adapter(t);
    facts.rank = adapter.rank, facts.scale = adapter.scale;
    facts.dropout = adapter.dropout, facts.magnitudes = adapter.magnitudes;
  }
  if (set->split.train.marks) TX_TRY(name_majority(w, &facts, error));
  tx_artifact_add_facts(w->writer, &facts);
  return TX_OK;
}

static tx_status add_set(const writing *w, tx_error *error) {
  TX_TRY(add_parameters(w, error));
  if (w->set->id_count > 0) {
    tx_gguf_add_tensor(w->writer, "token_embd.ids", TX_TENSOR_I32, 1, &w->set->id_count,
                       w->set->ids);
  }
  TX_TRY(add_facts(w, error));
  TX_TRY(add_depths(w, error));
  tx_linear_save(w->set->linear, w->head, w->writer);
  return add_fingerprints(w, error);
}

/* Of the blocks that are run and were not trained. */
static tx_status name_matrices(writing *w, const tx_label_set *sets, size_t count,
                               tx_error *error) {
  const tx_training *t = w->training;
  int64_t depth = 0;
  if (t->precision != TX_PRECISION_INT8) return TX_OK;
  for (size_t i = 0; i < count; i++) {
    int64_t frozen = sets[i].depth - sets[i].blocks;
    depth = frozen > depth ? frozen : depth;
  }
  TX_TRY(tx_precision_names(t->model, depth, w->arena, &w->f32_matrices, &w->f32_count, error));
  t->report->f32_matrices = (int)w->f32_count;
  return TX_OK;
}

static tx_status add_sets(const tx_training *t, tx_label_set *sets, size_t count,
                          tx_gguf_writer *writer, tx_arena *arena, tx_error *error) {
  size_t named = t->options->head_count;
  tx_text *names = tx_arena_array(arena, count, sizeof *names);
  if (!names) return tx_fail_memory(error, count * sizeof *names, "the heads");
  for (size_t i = 0; i < named; i++) names[i] = tx_text_of(t->options->heads[i].name);
  writing w = {
      .training = t, .names = names, .name_count = named, .writer = writer, .arena = arena};
  TX_TRY(name_matrices(&w, sets, count, error));
  for (size_t i = 0; i < count; i++) {
    w.set = &sets[i], w.head = i;
    TX_TRY(add_set(&w, error));
  }
  return TX_OK;
}

tx_status tx_train_write(const tx_training *t, tx_label_set *sets, size_t count, tx_error *error) {
  tx_gguf_writer *writer = tx_gguf_writer_new();
  tx_arena *arena = tx_arena_new();
  tx_status status = writer && arena ? TX_OK : tx_fail_memory(error, 256, "the artifact");
  if (status == TX_OK) status = add_sets(t, sets, count, writer, arena, error);
  if (status == TX_OK) status = tx_gguf_commit(writer, t->options->out, error);
  tx_gguf_writer_free(writer);
  tx_arena_free(arena);
  return status;
}
