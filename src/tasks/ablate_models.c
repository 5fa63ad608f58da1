/* Which models are at hand, and what a row needs to know of them. */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/watch.h"
#include "formats/json.h"
#include "tasks/ablate.h"
#include "text/encode.h"

/* ---- one ----------------------------------------------------------------- */

static tx_status take_facts(tx_ablation *a, const char *name, const char *json,
                            tx_ablation_model *model, tx_error *error) {
  json_t *object;
  json_error_t why;
  if (!tx_json_read(tx_text_of(json), 0, &object, &why)) {
    return tx_fail_memory(error, strlen(json), "a model's facts");
  }
  const char *sha256 = json_string_value(json_object_get(object, "sha256"));
  const char *kind = json_string_value(json_object_get(object, "kind"));
  tx_status status = TX_OK;
  *model = (tx_ablation_model){.name = tx_arena_string(a->arena, name, strlen(name))};
  model->parameters = json_integer_value(json_object_get(object, "parameters"));
  model->context = json_integer_value(json_object_get(object, "context"));
  model->blocks = json_integer_value(json_object_get(object, "layers"));
  if (!model->name) {
    status = tx_fail_memory(error, strlen(name), "a name");
  } else if (!kind || strcmp(kind, "model") != 0 || !sha256 || strlen(sha256) != 64) {
    status = tx_fail(error, TX_ERROR_ARGUMENT, "%.200s is no model but a classifier; name its base",
                     name);
  } else {
    memcpy(model->sha256, sha256, sizeof model->sha256);
  }
  json_decref(object);
  return status;
}

static tx_status describe(tx_ablation *a, const char *name, tx_ablation_model *model,
                          tx_error *error) {
  char *json;
  TX_TRY(tx_describe_json(name, a->options->home, &json, error));
  tx_status status = take_facts(a, name, json, model, error);
  tx_free_string(json);
  return status;
}

/* The longest training text in the model's tokens: what the reference pads to. */
static tx_status measure_longest(tx_ablation *a, tx_ablation_model *model, tx_error *error) {
  tx_tokenizer *tokenizer;
  tx_encoded encoded = {0};
  TX_TRY(tx_tokenizer_open(model->name, a->options->home, &tokenizer, error));
  tx_status status = tx_encode(tokenizer, a->train->texts, a->train->rows,
                               (tx_encoding){model->context, 0}, &encoded, error);
  for (int64_t i = 0; status == TX_OK && i < a->train->rows; i++) {
    int64_t size = encoded.offsets[i + 1] - encoded.offsets[i];
    if (size > model->longest) model->longest = size;
  }
  tx_encoded_free(&encoded);
  tx_tokenizer_close(tokenizer);
  return status;
}

/* ---- the larger ones ------------------------------------------------------ */

/* Random weights, which `--init random` keeps beside what was pulled, are no larger model. */
static bool was_pulled(const json_t *entry) {
  const char *path = json_string_value(json_object_get(entry, "path"));
  const char *source = json_string_value(json_object_get(entry, "source"));
  return path && path[0] && !(source && strncmp(source, "random weights", 14) == 0);
}

/* What cannot be opened, or is of an architecture or vocabulary that is not known, is left out. */
static tx_status add_pulled(tx_ablation *a, const json_t *list, tx_error *error) {
  size_t index;
  const json_t *entry;
  json_array_foreach(list, index, entry) {
    const char *name = json_string_value(json_object_get(entry, "name"));
    tx_ablation_model model;
    if (!name || !was_pulled(entry) || a->larger_count == TX_ABLATION_MODELS) continue;
    tx_error failure = {0};
    tx_status status = describe(a, name, &model, &failure);
    if (status == TX_OK && model.parameters <= a->base.parameters) continue;
    if (status == TX_OK) status = measure_longest(a, &model, &failure);
    if (status == TX_OK) {
      a->larger[a->larger_count++] = model;
    } else if (failure.status == TX_ERROR_SYSTEM) {
      return tx_fail_with(error, &failure);
    }
  }
  return TX_OK;
}

static tx_status find_pulled(tx_ablation *a, tx_error *error) {
  char *json;
  json_t *list;
  json_error_t why;
  TX_TRY(tx_models_json(a->options->home, &json, error));
  bool read = tx_json_read(tx_text_of(json), 0, &list, &why);
  tx_free_string(json);
  if (!read) return tx_fail_memory(error, 1024, "the list of models");
  tx_status status = add_pulled(a, list, error);
  json_decref(list);
  return status;
}

static int by_size(const void *left, const void *right) {
  const tx_ablation_model *a = left, *b = right;
  if (a->parameters != b->parameters) return a->parameters < b->parameters ? -1 : 1;
  return strcmp(a->name, b->name);
}

static bool needs_larger(const tx_ablation *a) {
  for (int i = 1; i <= TX_ABLATION_ROWS; i++) {
    if (a->needed[i] && tx_ablation_recipe_of(i)->size != TX_ABLATION_BASE) return true;
  }
  return false;
}

tx_status tx_ablation_find_models(tx_ablation *a, tx_error *error) {
  const tx_ablation_options *o = a->options;
  TX_TRY(describe(a, o->model, &a->base, error));
  TX_TRY(measure_longest(a, &a->base, error));
  for (size_t i = 0; i < o->model_count; i++) {
    tx_ablation_model *model = &a->larger[a->larger_count++];
    TX_TRY(describe(a, o->models[i], model, error));
    TX_TRY(measure_longest(a, model, error));
  }
  if (o->model_count == 0 && needs_larger(a)) TX_TRY(find_pulled(a, error));
  qsort(a->larger, a->larger_count, sizeof *a->larger, by_size);
  return TX_OK;
}

tx_ablation_model *tx_ablation_model_of(tx_ablation *a, tx_ablation_size size) {
  if (size == TX_ABLATION_BASE) return &a->base;
  size_t index =
      size == TX_ABLATION_LARGEST ? a->larger_count - 1 : (size_t)(size - TX_ABLATION_LARGER);
  return a->larger_count > 0 && index < a->larger_count ? &a->larger[index] : NULL;
}
