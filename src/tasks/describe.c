/* tx_describe_json: what a model file or an artifact says of itself. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "formats/artifact.h"
#include "formats/artifact_fields.h"
#include "formats/hub.h"
#include "formats/tuned.h"
#include "model/model.h"

/* Takes `value`, which is NULL when there was no memory for it; nothing of a
 * description may be missing in silence. */
static void put(bool *whole, json_t *object, const char *key, json_t *value) {
  if (json_object_set_new(object, key, value) != 0) *whole = false;
}

/* Bytes from a file may not be UTF-8, which JSON must be: such a string is null.
 * NULL when out of memory, which the library does not tell from that. */
static json_t *text_json(tx_text text) {
  const char *data = text.data ? text.data : "";
  json_t *value = json_stringn(data, text.size);
  if (value) return value;
  json_t *unchecked = json_stringn_nocheck(data, text.size);
  if (!unchecked) return NULL;
  json_decref(unchecked);
  value = json_stringn(data, text.size);
  return value ? value : json_null();
}

static json_t *optional_text(const tx_gguf *gguf, const char *key) {
  tx_text text;
  if (!tx_gguf_has(gguf, key) || tx_gguf_string(gguf, key, &text, NULL) != TX_OK)
    return json_null();
  return text_json(text);
}

/* ---- a model ----------------------------------------------------------- */

static json_t *tensor_types(const tx_gguf *gguf, int64_t *parameters, bool *whole) {
  json_t *types = json_object();
  *parameters = 0;
  for (size_t i = 0; i < tx_gguf_tensor_count(gguf); i++) {
    const tx_tensor *tensor = tx_gguf_tensor_at(gguf, i);
    tx_tensor_type_facts facts;
    if (!tx_tensor_type_find(tensor->type, &facts)) continue;
    int64_t values = 1;
    for (int d = 0; d < tensor->dimensions; d++) values *= tensor->shape[d];
    *parameters += values;
    json_t *count = json_object_get(types, facts.name);
    put(whole, types, facts.name, json_integer(json_integer_value(count) + 1));
  }
  return types;
}

static tx_status add_model(const char *path, const tx_model *model, json_t *object, bool *whole,
                           tx_error *error) {
  const tx_gguf *gguf = tx_model_gguf(model);
  tx_facts facts = *tx_model_facts(model);
  int64_t parameters;
  char hex[TX_SHA256_HEX];
  uint64_t size;
  const unsigned char *bytes = tx_gguf_bytes(gguf, &size);
  if (!tx_sha256_bytes(bytes, size, hex)) return tx_fail_memory(error, 256, "a hash");
  json_t *types = tensor_types(gguf, &parameters, whole);
  put(whole, object, "kind", json_string("model"));
  put(whole, object, "name", optional_text(gguf, "general.name"));
  put(whole, object, "path", text_json(tx_text_of(path)));
  put(whole, object, "architecture", json_string(facts.architecture->name));
  put(whole, object, "parameters", json_integer(parameters));
  put(whole, object, "layers", json_integer(facts.blocks));
  put(whole, object, "width", json_integer(facts.width));
  put(whole, object, "heads", json_integer(facts.heads));
  put(whole, object, "kv_heads", json_integer(facts.kv_heads));
  put(whole, object, "vocabulary", json_integer(facts.vocabulary));
  put(whole, object, "context", json_integer(facts.context));
  put(whole, object, "tensor_types", types);
  put(whole, object, "license", optional_text(gguf, "general.license"));
  put(whole, object, "bytes", json_integer((json_int_t)size));
  put(whole, object, "sha256", json_string(hex));
  return TX_OK;
}

/* Opened as for use, so that what is described can be used. */
static tx_status describe_model(const char *path, json_t *object, bool *whole,
                                tx_error *error) {
  tx_model *model;
  TX_TRY(tx_model_open(path, NULL, &model, error));
  tx_status status = add_model(path, model, object, whole, error);
  tx_model_close(model);
  return status;
}

/* ---- a classifier ------------------------------------------------------ */

static void put_adapters(const tx_artifact_facts *f, json_t *training, bool *whole) {
  put(whole, training, "rank", json_integer(f->rank));
  put(whole, training, "scale", json_real(f->scale));
  put(whole, training, "dropout", json_real(f->dropout));
  put(whole, training, "dora", json_boolean(f->magnitudes));
}

static json_t *training_json(const tx_artifact_facts *f, bool *whole) {
  json_t *training = json_object();
  put(whole, training, "rows", json_integer(f->train_rows));
  put(whole, training, "tokens", json_integer(f->tokens));
  put(whole, training, "cut", json_integer(f->cut));
  put(whole, training, "data_sha256", text_json(f->data_sha256));
  put(whole, training, "seed", json_integer(f->seed));
  put(whole, training, "blocks", json_integer(f->blocks_trained));
  if (f->rank > 0) put_adapters(f, training, whole);
  put(whole, training, "epochs", json_integer(f->epochs));
  put(whole, training, "best_epoch", json_integer(f->best_epoch));
  put(whole, training, "batch", json_integer(f->batch));
  if (f->batch_tokens > 0) put(whole, training, "batch_tokens", json_integer(f->batch_tokens));
  put(whole, training, "accumulate", json_integer(f->accumulate));
  put(whole, training, "learning_rate", json_real(f->learning_rate));
  put(whole, training, "weight_decay", json_real(f->weight_decay));
  put(whole, training, "penalty", json_real(f->penalty));
  put(whole, training, "head_solver", text_json(f->head_solver));
  put(whole, training, "class_weights", text_json(f->class_weights));
  put(whole, training, "schedule", text_json(f->schedule));
  put(whole, training, "trained_parameters", json_integer(f->trained_parameters));
  put(whole, training, "command", text_json(f->command));
  put(whole, training, "version", text_json(f->version));
  return training;
}

static json_t *validation_json(const tx_artifact_facts *f, bool *whole) {
  json_t *validation = json_object(), *baselines = json_object();
  put(whole, validation, "rows", json_integer(f->val_rows));
  put(whole, validation, "data_sha256", text_json(f->validation_sha256));
  put(whole, validation, "accuracy", json_real(f->val_accuracy));
  put(whole, validation, "accuracy_ci95", json_pack("[f,f]", f->val_lo, f->val_hi));
  put(whole, validation, "macro_f1", json_real(f->val_macro_f1));
  put(whole, validation, "nll", json_real(f->val_nll));
  put(whole, baselines, "majority", json_real(f->majority_accuracy));
  put(whole, baselines, "linear", json_real(f->linear_accuracy));
  put(whole, validation, "baselines", baselines);
  return validation;
}

/* Accuracy by depth, where the depth was chosen; absent or odd keys are left out, but
 * not what there is no memory for. */
static void add_depths(const tx_gguf *gguf, const tx_artifact_facts *f, json_t *object,
                       bool *whole) {
  int64_t *depths = NULL;
  double *accuracies = NULL, *errors = NULL;
  const tx_text *poolings;
  size_t counts[4];
  char keys[4][TX_ARTIFACT_KEY];
  tx_artifact_key(f->head, "depths.depth", keys[0]);
  tx_artifact_key(f->head, "depths.pooling", keys[1]);
  tx_artifact_key(f->head, "depths.accuracy", keys[2]);
  tx_artifact_key(f->head, "depths.standard_error", keys[3]);
  if (!tx_gguf_has(gguf, keys[0])) return;
  tx_status status = tx_gguf_ints(gguf, keys[0], &depths, &counts[0], NULL);
  if (status == TX_OK) status = tx_gguf_strings(gguf, keys[1], &poolings, &counts[1], NULL);
  if (status == TX_OK) status = tx_gguf_floats(gguf, keys[2], &accuracies, &counts[2], NULL);
  if (status == TX_OK) status = tx_gguf_floats(gguf, keys[3], &errors, &counts[3], NULL);
  if (status == TX_ERROR_SYSTEM) *whole = false;
  if (status == TX_OK && counts[0] == counts[1] && counts[0] == counts[2] &&
      counts[0] == counts[3]) {
    json_t *list = json_array();
    for (size_t i = 0; i < counts[0]; i++) {
      json_t *at = json_object();
      bool chosen = depths[i] == f->depth && poolings[i].size == f->pooling.size &&
                    memcmp(poolings[i].data, f->pooling.data, f->pooling.size) == 0;
      put(whole, at, "depth", json_integer(depths[i]));
      put(whole, at, "pooling", text_json(poolings[i]));
      put(whole, at, "accuracy", json_real(accuracies[i]));
      put(whole, at, "standard_error", json_real(errors[i]));
      put(whole, at, "chosen", json_boolean(chosen));
      if (json_array_append_new(list, at) != 0) *whole = false;
    }
    put(whole, object, "depths", list);
  }
  tx_free(depths), tx_free(accuracies), tx_free(errors);
}

static json_t *labels_json(const tx_artifact_facts *f, bool *whole) {
  json_t *labels = json_array();
  for (size_t i = 0; i < f->label_count; i++)
    if (json_array_append_new(labels, text_json(f->labels[i])) != 0) *whole = false;
  return labels;
}

/* What the labels are beyond one a text; left out where they are not. */
static void put_kind(const tx_artifact_facts *f, json_t *object, bool *whole) {
  if (f->multi_label) {
    put(whole, object, "multi_label", json_true());
    put(whole, object, "label_separator", text_json(f->label_separator));
  }
  if (f->hierarchical) put(whole, object, "hierarchical", json_true());
}

static json_t *matrices_json(const tx_artifact_facts *f, bool *whole) {
  json_t *list = json_array();
  for (size_t i = 0; i < f->f32_count; i++) {
    if (json_array_append_new(list, text_json(f->f32_matrices[i])) != 0) *whole = false;
  }
  return list;
}

/* One object a head, where heads have names. */
static tx_status add_heads(const tx_gguf *gguf, const tx_artifact_facts *first, json_t *object,
                           bool *whole, tx_error *error) {
  json_t *list = json_array();
  tx_status status = TX_OK;
  for (size_t i = 0; status == TX_OK && i < first->head_count; i++) {
    tx_artifact_facts f = *first;
    if (i > 0) status = tx_artifact_head(gguf, first, i, &f, error);
    if (status != TX_OK) break;
    json_t *head = json_object();
    put(whole, head, "name", text_json(first->heads[i]));
    put(whole, head, "labels", labels_json(&f, whole));
    put_kind(&f, head, whole);
    put(whole, head, "depth", json_integer(f.depth));
    put(whole, head, "pooling", text_json(f.pooling));
    put(whole, head, "training", training_json(&f, whole));
    put(whole, head, "validation", validation_json(&f, whole));
    add_depths(gguf, &f, head, whole);
    if (json_array_append_new(list, head) != 0) *whole = false;
  }
  if (status == TX_OK && first->head_count > 0) {
    put(whole, object, "heads", list);
  } else {
    json_decref(list);
  }
  return status;
}

static tx_status describe_classifier(const char *path, const tx_gguf *gguf,
                                     const tx_artifact_facts *f, json_t *object, bool *whole,
                                     tx_error *error) {
  json_t *base = json_object();
  uint64_t size;
  (void)tx_gguf_bytes(gguf, &size);
  put(whole, base, "name", text_json(f->base_name));
  put(whole, base, "sha256", text_json(f->base_sha256));
  put(whole, object, "kind", json_string("classifier"));
  put(whole, object, "path", text_json(tx_text_of(path)));
  put(whole, object, "bytes", json_integer((json_int_t)size));
  put(whole, object, "labels", labels_json(f, whole));
  put_kind(f, object, whole);
  put(whole, object, "method", text_json(f->method));
  put(whole, object, "template", text_json(f->text_template));
  put(whole, object, "depth", json_integer(f->depth));
  put(whole, object, "pooling", text_json(f->pooling));
  put(whole, object, "words", json_real(f->words));
  put(whole, object, "max_tokens", json_integer(f->max_tokens));
  if (f->pad_to > 0) put(whole, object, "pad_to", json_integer(f->pad_to));
  if (f->attention.size > 0) put(whole, object, "attention", text_json(f->attention));
  put(whole, object, "precision",
      f->precision.size > 0 ? text_json(f->precision) : json_string("f32"));
  if (f->precision.size > 0) put(whole, object, "f32_matrices", matrices_json(f, whole));
  put(whole, object, "base", base);
  put(whole, object, "training", training_json(f, whole));
  put(whole, object, "validation", validation_json(f, whole));
  add_depths(gguf, f, object, whole);
  return add_heads(gguf, f, object, whole, error);
}

/* ---- a model that was tuned ---------------------------------------------- */

static json_t *tuning_json(const tx_tuned_facts *f, bool *whole) {
  json_t *training = json_object();
  put(whole, training, "objective", text_json(f->objective));
  put(whole, training, "rows", json_integer(f->train_rows));
  put(whole, training, "left_out", json_integer(f->left_out));
  put(whole, training, "tokens", json_integer(f->tokens));
  put(whole, training, "answer_tokens", json_integer(f->answer_tokens));
  put(whole, training, "data_sha256", text_json(f->data_sha256));
  put(whole, training, "seed", json_integer(f->seed));
  put(whole, training, "blocks", json_integer(f->blocks_trained));
  if (f->rank > 0) put(whole, training, "rank", json_integer(f->rank));
  put(whole, training, "epochs", json_integer(f->epochs));
  put(whole, training, "best_epoch", json_integer(f->best_epoch));
  put(whole, training, "batch", json_integer(f->batch));
  put(whole, training, "accumulate", json_integer(f->accumulate));
  put(whole, training, "learning_rate", json_real(f->learning_rate));
  put(whole, training, "weight_decay", json_real(f->weight_decay));
  if (f->beta > 0) put(whole, training, "beta", json_real(f->beta));
  put(whole, training, "schedule", text_json(f->schedule));
  put(whole, training, "trained_parameters", json_integer(f->trained_parameters));
  put(whole, training, "command", text_json(f->command));
  put(whole, training, "version", text_json(f->version));
  return training;
}

static json_t *tuned_json(const tx_tuned_facts *f, bool *whole) {
  const char *right = f->beta > 0 ? "preferred" : "right"; /* as tx_tune_score has it */
  json_t *validation = json_object(), *before = json_object();
  put(whole, before, "loss", json_real(f->before_loss));
  put(whole, before, right, json_real(f->before_right));
  put(whole, validation, "rows", json_integer(f->val_rows));
  put(whole, validation, "data_sha256", text_json(f->validation_sha256));
  put(whole, validation, "loss", json_real(f->loss));
  put(whole, validation, right, json_real(f->right));
  put(whole, validation, "before", before);
  return validation;
}

static tx_status describe_tuned(const char *path, json_t *object, bool *whole, tx_error *error) {
  tx_gguf *gguf;
  tx_tuned_facts f;
  uint64_t size;
  TX_TRY(tx_tuned_open(path, &gguf, &f, error));
  (void)tx_gguf_bytes(gguf, &size);
  json_t *base = json_object();
  put(whole, base, "name", text_json(f.base_name));
  put(whole, base, "sha256", text_json(f.base_sha256));
  put(whole, object, "kind", json_string("tuned"));
  put(whole, object, "path", text_json(tx_text_of(path)));
  put(whole, object, "bytes", json_integer((json_int_t)size));
  put(whole, object, "method", text_json(f.method));
  put(whole, object, "template", text_json(f.chat_template));
  put(whole, object, "base", base);
  put(whole, object, "training", tuning_json(&f, whole));
  put(whole, object, "validation", tuned_json(&f, whole));
  tx_gguf_close(gguf);
  return TX_OK;
}

/* ---- either ------------------------------------------------------------ */

static tx_status describe_artifact(const char *path, json_t *object, bool *whole,
                                   tx_error *error) {
  tx_gguf *gguf;
  tx_artifact_facts facts;
  TX_TRY(tx_artifact_open(path, &gguf, &facts, error));
  tx_status status = describe_classifier(path, gguf, &facts, object, whole, error);
  tx_gguf_close(gguf);
  return status;
}

/* What cannot be read is taken for what its name says, for the advice. */
static bool is_named_artifact(const char *path) {
  size_t size = strlen(path);
  return size > 6 && strcmp(path + size - 6, ".taxon") == 0;
}

static tx_status describe(const char *path, json_t *object, bool *whole, tx_error *error) {
  tx_gguf *gguf;
  tx_status status = tx_gguf_open(path, &gguf, error);
  if (status != TX_OK) return is_named_artifact(path) ? tx_advise_training(status, error) : status;
  bool artifact = tx_artifact_is(gguf), tuned = tx_tuned_is(gguf);
  tx_gguf_close(gguf);
  if (tuned) return describe_tuned(path, object, whole, error);
  return (artifact ? describe_artifact : describe_model)(path, object, whole, error);
}

tx_status tx_describe_json(const char *what, const char *home, char **json, tx_error *error) {
  char path[4096], known[65];
  *json = NULL;
  TX_TRY(tx_model_locate(what, home, path, known, error));
  json_t *object = json_object();
  if (!object) return tx_fail_memory(error, 64, "a description");
  bool whole = true;
  tx_status status = describe(path, object, &whole, error);
  if (status == TX_OK && !whole) status = tx_fail_memory(error, 4096, "a description");
  if (status == TX_OK) {
    char *text = json_dumps(object, JSON_COMPACT);
    *json = text ? tx_copy_string(text) : NULL;
    free(text);
    if (!*json) status = tx_fail_memory(error, 4096, "a description");
  }
  json_decref(object);
  return status;
}
