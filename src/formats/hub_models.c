/* The models under the home: their receipts, their list, and the way from a
 * name to a file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/file.h"
#include "formats/hub_parts.h"
#include "formats/json.h"
#include "formats/nearest.h"

enum { RECEIPT_BYTES = 1 << 16 };

/* ---- the home ---- */

tx_status tx_home(const char *home, tx_buffer *path, tx_error *error) {
  const char *cache = getenv("XDG_CACHE_HOME"), *user = getenv("HOME");
  if (!home || !*home) home = getenv("TAXON_HOME");
  if (home && *home) {
    tx_buffer_append_string(path, home);
  } else if (cache && cache[0] == '/') { /* the XDG rules: a relative one is to be ignored */
    tx_buffer_format(path, "%s/taxon", cache);
  } else if (user && *user) {
    tx_buffer_format(path, "%s/.cache/taxon", user);
  } else {
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "there is no place for models: HOME is not set; set TAXON_HOME to a directory");
  }
  if (path->failed) return tx_fail_memory(error, 64, "a path");
  if (path->size >= TX_PATH_SIZE / 2) {
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "the path of the models' home is %zu bytes long; choose a shorter one",
                   path->size);
  }
  return TX_OK;
}

tx_status tx_model_path(const char *home, const char *name, const char *ending,
                        char path[TX_PATH_SIZE], tx_error *error) {
  char inner[600];
  int used = snprintf(inner, sizeof inner, "models/%s%s", name, ending);
  if ((size_t)used >= sizeof inner) {
    return tx_fail(error, TX_ERROR_INPUT, "the name %.60s... is too long; choose a shorter one",
                   name);
  }
  return tx_path_join(path, home, inner, error);
}

/* ---- receipts ---- */

static bool copy_string(const json_t *object, const char *key, char *to, size_t size) {
  const char *value = json_string_value(json_object_get(object, key));
  if (!value || strlen(value) >= size) return false;
  memcpy(to, value, strlen(value) + 1);
  return true;
}

static bool is_sha256(const char *hex) {
  return strlen(hex) == 64 && strspn(hex, "0123456789abcdef") == 64;
}

/* Fills in what it says; false: it is no receipt. */
static bool take_receipt(const json_t *object, tx_receipt *receipt) {
  const json_t *bytes = json_object_get(object, "bytes");
  const json_t *modified = json_object_get(object, "modified");
  copy_string(object, "license", receipt->license, sizeof receipt->license);
  copy_string(object, "source", receipt->source, sizeof receipt->source);
  receipt->bytes = json_integer_value(bytes);
  receipt->modified = json_integer_value(modified);
  return copy_string(object, "sha256", receipt->sha256, sizeof receipt->sha256) &&
         is_sha256(receipt->sha256) && json_is_integer(bytes) && json_is_integer(modified);
}

tx_status tx_receipt_read(const char *home, const char *name, tx_receipt *receipt, bool *there,
                          tx_error *error) {
  char path[TX_PATH_SIZE];
  tx_map map;
  json_t *object;
  *receipt = (tx_receipt){0};
  *there = false;
  TX_TRY(tx_model_path(home, name, ".json", path, error));
  tx_file_facts facts = tx_file_look(path);
  if (!facts.regular || facts.bytes > RECEIPT_BYTES) return TX_OK;
  if (tx_map_open(path, &map, NULL) != TX_OK) return TX_OK;
  json_error_t why;
  bool memory = tx_json_read((tx_text){(const char *)map.data, map.size}, 0, &object, &why);
  tx_map_close(&map);
  if (!memory) return tx_fail_memory(error, RECEIPT_BYTES, "a receipt");
  *there = take_receipt(object, receipt);
  json_decref(object);
  return TX_OK;
}

/* null for "", too, and for a path that is not UTF-8; NULL: out of memory */
static json_t *text_or_null(const char *text) {
  return *text && tx_is_utf8(tx_text_of(text)) ? json_string(text) : json_null();
}

/* new; NULL: out of memory, or the name is not UTF-8 */
static json_t *facts_of(const char *name, const char *path, const tx_receipt *receipt) {
  json_t *object = json_object();
  if (json_object_set_new(object, "name", json_string(name)) == 0 &&
      (!path || json_object_set_new(object, "path", text_or_null(path)) == 0) &&
      json_object_set_new(object, "sha256", text_or_null(receipt->sha256)) == 0 &&
      json_object_set_new(object, "bytes", json_integer(receipt->bytes)) == 0 &&
      json_object_set_new(object, "license", text_or_null(receipt->license)) == 0 &&
      json_object_set_new(object, "source", text_or_null(receipt->source)) == 0) {
    return object;
  }
  json_decref(object);
  return NULL;
}

/* false: out of memory */
static bool receipt_text(const char *name, const tx_receipt *receipt, int64_t modified,
                         tx_buffer *to) {
  json_t *object = facts_of(name, NULL, receipt);
  bool made = json_object_set_new(object, "modified", json_integer(modified)) == 0;
  char *text = made ? json_dumps(object, JSON_INDENT(2)) : NULL;
  json_decref(object);
  if (text) tx_buffer_format(to, "%s\n", text);
  bool good = text && !to->failed;
  free(text); /* jansson's own */
  return good;
}

tx_status tx_receipt_write(const char *home, const char *name, tx_receipt receipt,
                           tx_error *error) {
  char path[TX_PATH_SIZE];
  TX_TRY(tx_model_path(home, name, ".gguf", path, error));
  if (!tx_is_utf8(tx_text_of(name))) {
    return tx_fail(error, TX_ERROR_INPUT, "the name '%.60s' is not UTF-8", name);
  }
  int64_t modified = tx_file_look(path).modified;
  TX_TRY(tx_model_path(home, name, ".json", path, error));
  tx_buffer text = {0};
  tx_status status = receipt_text(name, &receipt, modified, &text)
                         ? tx_file_write(path, text.data, text.size, error)
                         : tx_fail_memory(error, 1024, "a receipt");
  tx_buffer_free(&text);
  return status;
}

/* ---- the list ---- */

/* The name of a model's file, its ending cut off; false for other files. */
static bool cut_ending(char *name) {
  size_t size = strlen(name);
  if (size <= 5 || name[0] == '.' || strcmp(name + size - 5, ".gguf") != 0) return false;
  name[size - 5] = '\0';
  return true;
}

static tx_status add_facts(json_t *list, const char *name, const char *path,
                           const tx_receipt *receipt, tx_error *error) {
  bool added = json_array_append_new(list, facts_of(name, path, receipt)) == 0;
  return added ? TX_OK : tx_fail_memory(error, 1024, "the list of models");
}

/* A name that is not UTF-8 is left out: JSON cannot hold it. */
static tx_status add_here(const char *home, const char *name, json_t *list, tx_error *error) {
  char path[TX_PATH_SIZE];
  tx_receipt receipt;
  bool there;
  TX_TRY(tx_model_path(home, name, ".gguf", path, error));
  tx_file_facts facts = tx_file_look(path);
  if (!facts.regular || !tx_is_utf8(tx_text_of(name))) return TX_OK;
  TX_TRY(tx_receipt_read(home, name, &receipt, &there, error));
  if (!there) receipt = (tx_receipt){0};
  receipt.bytes = facts.bytes;
  return add_facts(list, name, path, &receipt, error);
}

static tx_status list_here(const char *home, json_t *list, tx_error *error) {
  char directory[TX_PATH_SIZE], **names;
  size_t count;
  TX_TRY(tx_path_join(directory, home, "models", error));
  tx_arena *arena = tx_arena_new();
  if (!arena) return tx_fail_memory(error, 64, "names of models");
  tx_status status = tx_directory_names(directory, arena, &names, &count, error);
  for (size_t i = 0; status == TX_OK && i < count; i++) {
    if (cut_ending(names[i])) status = add_here(home, names[i], list, error);
  }
  tx_arena_free(arena);
  return status;
}

static tx_status list_known(const char *home, json_t *list, tx_error *error) {
  char path[TX_PATH_SIZE];
  for (size_t i = 0; i < tx_catalogue_count(); i++) {
    const tx_known *known = tx_known_at(i);
    if (known->kind != TX_KNOWN_MODEL) continue;
    TX_TRY(tx_model_path(home, known->name, ".gguf", path, error));
    if (tx_file_look(path).regular) continue;
    tx_receipt facts = {.bytes = known->bytes};
    snprintf(facts.sha256, sizeof facts.sha256, "%s", known->sha256);
    snprintf(facts.license, sizeof facts.license, "%s", known->license);
    snprintf(facts.source, sizeof facts.source, "%s", known->sources[0].address);
    TX_TRY(add_facts(list, known->name, "", &facts, error));
  }
  return TX_OK;
}

tx_status tx_models_json(const char *home, char **json, tx_error *error) {
  *json = NULL;
  tx_buffer place = {0};
  json_t *list = json_array();
  tx_status status = tx_home(home, &place, error);
  if (status == TX_OK) status = list_here(place.data, list, error);
  if (status == TX_OK) status = list_known(place.data, list, error);
  char *text = status == TX_OK ? json_dumps(list, 0) : NULL;
  json_decref(list);
  tx_buffer_free(&place);
  if (status != TX_OK) return status;
  *json = text ? tx_copy_string(text) : NULL; /* from jansson's memory to ours */
  free(text);
  return *json ? TX_OK : tx_fail_memory(error, 1024, "the list of models");
}

/* ---- from a name to a file ---- */

static tx_status fail_unknown(const char *name, tx_error *error) {
  const tx_known *known = tx_known_find(name);
  if (known && known->kind == TX_KNOWN_MODEL) {
    return tx_fail(error, TX_ERROR_INPUT, "the model %s is not here yet; run: taxon pull %s", name,
                   name);
  }
  if (known) {
    return tx_fail(error, TX_ERROR_INPUT, "%s is a data set, not a model; see taxon models", name);
  }
  const tx_known *nearest = tx_known_nearest(name);
  bool meant = nearest && nearest->kind == TX_KNOWN_MODEL;
  return tx_fail(error, TX_ERROR_INPUT, "there is no model or file called '%.200s'; %s%s%s", name,
                 meant ? "did you mean " : "see taxon models", meant ? nearest->name : "",
                 meant ? "?" : "");
}

bool tx_looks_like_path(const char *name) {
  size_t size = strlen(name);
  return strchr(name, '/') || (size > 5 && strcmp(name + size - 5, ".gguf") == 0);
}

static tx_status take_path(const char *given, char path[TX_PATH_SIZE], tx_error *error) {
  int used = snprintf(path, TX_PATH_SIZE, "%s", given);
  if (used < TX_PATH_SIZE) return TX_OK;
  return tx_fail(error, TX_ERROR_ARGUMENT, "the path %.60s... is too long", given);
}

static tx_status locate(const char *name, const char *home, char path[TX_PATH_SIZE],
                        char sha256[65], tx_error *error) {
  TX_TRY(tx_model_path(home, name, ".gguf", path, error));
  tx_file_facts facts = tx_file_look(path);
  if (facts.regular) {
    tx_receipt receipt;
    bool there;
    TX_TRY(tx_receipt_read(home, name, &receipt, &there, error));
    if (there && receipt.bytes == facts.bytes && receipt.modified == facts.modified) {
      memcpy(sha256, receipt.sha256, sizeof receipt.sha256);
    }
    return TX_OK;
  }
  if (!tx_known_find(name) && tx_file_look(name).exists) return take_path(name, path, error);
  return fail_unknown(name, error);
}

tx_status tx_model_locate(const char *name_or_path, const char *home, char path[4096],
                          char sha256_known[65], tx_error *error) {
  path[0] = sha256_known[0] = '\0';
  if (!name_or_path || !*name_or_path) {
    return tx_fail(error, TX_ERROR_ARGUMENT, "no model is named; see taxon models");
  }
  if (tx_looks_like_path(name_or_path)) return take_path(name_or_path, path, error);
  tx_buffer place = {0};
  tx_status status = tx_home(home, &place, error);
  if (status == TX_OK) status = locate(name_or_path, place.data, path, sha256_known, error);
  tx_buffer_free(&place);
  return status;
}
