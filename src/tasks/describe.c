/* tx_describe_json: what a model file or an artifact says of itself. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "formats/artifact.h"
#include "formats/hub.h"
#include "model/model.h"

/* Bytes from a file may not be UTF-8, which JSON must be: such a string is null. */
static json_t *text_json(tx_text text) {
  json_t *value = json_stringn(text.data ? text.data : "", text.size);
  return value ? value : json_null();
}

static json_t *optional_text(const tx_gguf *gguf, const char *key) {
  tx_text text;
  if (!tx_gguf_has(gguf, key) || tx_gguf_string(gguf, key, &text, NULL) != TX_OK)
    return json_null();
  return text_json(text);
}

/* ---- a model ----------------------------------------------------------- */

static json_t *tensor_types(const tx_gguf *gguf, int64_t *parameters) {
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
    json_object_set_new(types, facts.name, json_integer(json_integer_value(count) + 1));
  }
  return types;
}

static tx_status add_model(const char *path, const tx_model *model, json_t *object,
                           tx_error *error) {
  const tx_gguf *gguf = tx_model_gguf(model);
  tx_facts facts = *tx_model_facts(model);
  int64_t parameters;
  char hex[TX_SHA256_HEX];
  uint64_t size;
  const unsigned char *bytes = tx_gguf_bytes(gguf, &size);
  if (!tx_sha256_bytes(bytes, size, hex)) return tx_fail_memory(error, 256, "a hash");
  json_t *types = tensor_types(gguf, &parameters);
  json_object_set_new(object, "kind", json_string("model"));
  json_object_set_new(object, "name", optional_text(gguf, "general.name"));
  json_object_set_new(object, "path", text_json(tx_text_of(path)));
  json_object_set_new(object, "architecture", json_string(facts.architecture->name));
  json_object_set_new(object, "parameters", json_integer(parameters));
  json_object_set_new(object, "layers", json_integer(facts.blocks));
  json_object_set_new(object, "width", json_integer(facts.width));
  json_object_set_new(object, "heads", json_integer(facts.heads));
  json_object_set_new(object, "kv_heads", json_integer(facts.kv_heads));
  json_object_set_new(object, "vocabulary", json_integer(facts.vocabulary));
  json_object_set_new(object, "context", json_integer(facts.context));
  json_object_set_new(object, "tensor_types", types);
  json_object_set_new(object, "license", optional_text(gguf, "general.license"));
  json_object_set_new(object, "bytes", json_integer((json_int_t)size));
  json_object_set_new(object, "sha256", json_string(hex));
  return TX_OK;
}

/* Opened as for use, so that what is described can be used. */
static tx_status describe_model(const char *path, json_t *object, tx_error *error) {
  tx_model *model;
  TX_TRY(tx_model_open(path, NULL, &model, error));
  tx_status status = add_model(path, model, object, error);
  tx_model_close(model);
  return status;
}

/* ---- a classifier ------------------------------------------------------ */

static json_t *training_json(const tx_artifact_facts *f) {
  json_t *training = json_object();
  json_object_set_new(training, "rows", json_integer(f->train_rows));
  json_object_set_new(training, "tokens", json_integer(f->tokens));
  json_object_set_new(training, "cut", json_integer(f->cut));
  json_object_set_new(training, "data_sha256", text_json(f->data_sha256));
  json_object_set_new(training, "seed", json_integer(f->seed));
  json_object_set_new(training, "blocks", json_integer(f->blocks_trained));
  json_object_set_new(training, "epochs", json_integer(f->epochs));
  json_object_set_new(training, "best_epoch", json_integer(f->best_epoch));
  json_object_set_new(training, "batch", json_integer(f->batch));
  json_object_set_new(training, "accumulate", json_integer(f->accumulate));
  json_object_set_new(training, "learning_rate", json_real(f->learning_rate));
  json_object_set_new(training, "weight_decay", json_real(f->weight_decay));
  json_object_set_new(training, "penalty", json_real(f->penalty));
  json_object_set_new(training, "head_solver", text_json(f->head_solver));
  json_object_set_new(training, "class_weights", text_json(f->class_weights));
  json_object_set_new(training, "schedule", text_json(f->schedule));
  json_object_set_new(training, "trained_parameters", json_integer(f->trained_parameters));
  json_object_set_new(training, "command", text_json(f->command));
  json_object_set_new(training, "version", text_json(f->version));
  return training;
}

static json_t *validation_json(const tx_artifact_facts *f) {
  json_t *validation = json_object(), *baselines = json_object();
  json_object_set_new(validation, "rows", json_integer(f->val_rows));
  json_object_set_new(validation, "data_sha256", text_json(f->validation_sha256));
  json_object_set_new(validation, "accuracy", json_real(f->val_accuracy));
  json_object_set_new(validation, "accuracy_ci95", json_pack("[f,f]", f->val_lo, f->val_hi));
  json_object_set_new(validation, "macro_f1", json_real(f->val_macro_f1));
  json_object_set_new(validation, "nll", json_real(f->val_nll));
  json_object_set_new(baselines, "majority", json_real(f->majority_accuracy));
  json_object_set_new(baselines, "linear", json_real(f->linear_accuracy));
  json_object_set_new(validation, "baselines", baselines);
  return validation;
}

static void describe_classifier(const char *path, const tx_gguf *gguf, const tx_artifact_facts *f,
                                json_t *object) {
  json_t *labels = json_array(), *base = json_object();
  uint64_t size;
  (void)tx_gguf_bytes(gguf, &size);
  for (size_t i = 0; i < f->label_count; i++)
    json_array_append_new(labels, text_json(f->labels[i]));
  json_object_set_new(base, "name", text_json(f->base_name));
  json_object_set_new(base, "sha256", text_json(f->base_sha256));
  json_object_set_new(object, "kind", json_string("classifier"));
  json_object_set_new(object, "path", text_json(tx_text_of(path)));
  json_object_set_new(object, "bytes", json_integer((json_int_t)size));
  json_object_set_new(object, "labels", labels);
  json_object_set_new(object, "method", text_json(f->method));
  json_object_set_new(object, "template", text_json(f->text_template));
  json_object_set_new(object, "depth", json_integer(f->depth));
  json_object_set_new(object, "pooling", text_json(f->pooling));
  json_object_set_new(object, "max_tokens", json_integer(f->max_tokens));
  json_object_set_new(object, "base", base);
  json_object_set_new(object, "training", training_json(f));
  json_object_set_new(object, "validation", validation_json(f));
}

/* ---- either ------------------------------------------------------------ */

static bool is_artifact(const tx_gguf *gguf) {
  tx_text architecture;
  return tx_gguf_has(gguf, "general.architecture") &&
         tx_gguf_string(gguf, "general.architecture", &architecture, NULL) == TX_OK &&
         architecture.size == 5 && memcmp(architecture.data, "taxon", 5) == 0;
}

static tx_status describe_artifact(const char *path, json_t *object, tx_error *error) {
  tx_gguf *gguf;
  tx_artifact_facts facts;
  TX_TRY(tx_artifact_open(path, &gguf, &facts, error));
  describe_classifier(path, gguf, &facts, object);
  tx_gguf_close(gguf);
  return TX_OK;
}

/* What cannot be read is taken for what its name says, for the advice. */
static bool is_named_artifact(const char *path) {
  size_t size = strlen(path);
  return size > 6 && strcmp(path + size - 6, ".taxon") == 0;
}

static tx_status describe(const char *path, json_t *object, tx_error *error) {
  tx_gguf *gguf;
  bool named = is_named_artifact(path);
  tx_status status = tx_gguf_open(path, &gguf, named ? NULL : error);
  if (status != TX_OK) return named ? describe_artifact(path, object, error) : status;
  bool artifact = is_artifact(gguf);
  tx_gguf_close(gguf);
  return artifact ? describe_artifact(path, object, error) : describe_model(path, object, error);
}

tx_status tx_describe_json(const char *what, const char *home, char **json, tx_error *error) {
  char path[4096], known[65];
  *json = NULL;
  TX_TRY(tx_model_locate(what, home, path, known, error));
  json_t *object = json_object();
  if (!object) return tx_fail_memory(error, 64, "a description");
  tx_status status = describe(path, object, error);
  if (status == TX_OK) {
    char *text = json_dumps(object, JSON_COMPACT);
    *json = text ? tx_copy_string(text) : NULL;
    free(text);
    if (!*json) status = tx_fail_memory(error, 4096, "a description");
  }
  json_decref(object);
  return status;
}
