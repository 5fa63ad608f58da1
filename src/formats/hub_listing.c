/* What the hub says about a repository (GET /api/models/NAME/revision/REV), and
 * what it means when it refuses.  Everything in the answer is a stranger's. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/hub_parts.h"
#include "formats/http.h"
#include "formats/json.h"
#include "formats/nearest.h"

enum { LISTING_BYTES = 16 << 20 };

/* ---- reading ---- */

static bool is_hex(const char *text, size_t size) {
  return strlen(text) == size && strspn(text, "0123456789abcdef") == size;
}

/* The string under the key, else "". */
static const char *string_of(const json_t *object, const char *key) {
  const char *value = json_string_value(json_object_get(object, key));
  return value ? value : "";
}

/* NULL: out of memory */
static const char *keep(tx_hub_listing *listing, const char *text) {
  return tx_arena_string(listing->arena, text, strlen(text));
}

/* A name fit to print on one line, else "". */
static void take_word(const char *text, char *to, size_t size) {
  bool good = strlen(text) < size; /* jansson gives UTF-8 alone */
  for (const char *at = text; good && *at; at++) good = (unsigned char)*at >= 0x20 && *at != 0x7f;
  snprintf(to, size, "%s", good ? text : "");
}

/* Of the model's card: a word, or several; else of the tags. */
static void take_license(const json_t *object, tx_hub_listing *listing) {
  const json_t *card = json_object_get(object, "cardData");
  const json_t *license = json_object_get(card, "license");
  if (json_is_array(license)) license = json_array_get(license, 0);
  const char *word = json_string_value(license);
  if (word && strcmp(word, "other") == 0 && *string_of(card, "license_name")) {
    word = string_of(card, "license_name");
  }
  const json_t *tags = json_object_get(object, "tags");
  for (size_t i = 0; i < json_array_size(tags); i++) {
    const char *text = json_string_value(json_array_get(tags, i));
    if (!word && text && strncmp(text, "license:", 8) == 0) word = text + 8;
  }
  take_word(word ? word : "", listing->license, sizeof listing->license);
}

static tx_status take_file(const json_t *sibling, tx_hub_listing *listing, tx_error *error) {
  const char *path = string_of(sibling, "rfilename");
  if (!tx_hub_path_is_safe(path)) return TX_OK;
  const json_t *large = json_object_get(sibling, "lfs");
  const json_t *size = json_object_get(large, "size");
  if (!json_is_integer(size)) size = json_object_get(sibling, "size");
  const char *sha256 = string_of(large, "sha256");
  tx_hub_file *file = &listing->files[listing->count++];
  *file = (tx_hub_file){.path = keep(listing, path), .bytes = -1, .sha256 = ""};
  if (json_integer_value(size) > 0) file->bytes = json_integer_value(size);
  if (is_hex(sha256, 64)) file->sha256 = keep(listing, sha256);
  return file->path && file->sha256 ? TX_OK : tx_fail_memory(error, 64, "a list of files");
}

static tx_status fail_answer(const tx_hub_wish *wish, const char *why, tx_error *error) {
  return tx_fail(error, TX_ERROR_INPUT,
                 "the hub's answer about %s is not understood: %s; check HF_ENDPOINT and try again",
                 wish->repository, why);
}

static tx_status take_all(const json_t *object, const tx_hub_wish *wish, tx_hub_listing *listing,
                          tx_error *error) {
  const json_t *siblings = json_object_get(object, "siblings");
  const char *commit = string_of(object, "sha");
  if (!is_hex(commit, 40)) return fail_answer(wish, "it names no commit", error);
  if (!json_is_array(siblings)) return fail_answer(wish, "it lists no files", error);
  memcpy(listing->commit, commit, sizeof listing->commit);
  take_license(object, listing);
  take_word(string_of(json_object_get(object, "gguf"), "architecture"), listing->architecture,
            sizeof listing->architecture);
  size_t most = json_array_size(siblings);
  listing->files = tx_arena_array(listing->arena, most + 1, sizeof *listing->files);
  if (!listing->files) return tx_fail_memory(error, most * sizeof *listing->files, "a list");
  for (size_t i = 0; i < most; i++) {
    TX_TRY(take_file(json_array_get(siblings, i), listing, error));
  }
  return TX_OK;
}

tx_status tx_hub_listing_read(tx_text json, const tx_hub_wish *wish, tx_hub_listing *listing,
                              tx_error *error) {
  *listing = (tx_hub_listing){.arena = tx_arena_new()};
  if (!listing->arena) return tx_fail_memory(error, json.size, "a list of files");
  json_error_t why;
  json_t *object;
  if (!tx_json_read(json, 0, &object, &why)) {
    return tx_fail_memory(error, json.size, "the hub's answer");
  }
  if (!object) return fail_answer(wish, "it is no JSON", error);
  tx_status status = take_all(object, wish, listing, error);
  json_decref(object);
  return status;
}

void tx_hub_listing_free(tx_hub_listing *listing) {
  tx_arena_free(listing->arena);
  *listing = (tx_hub_listing){0};
}

/* ---- refusals ---- */

static tx_status fail_gated(const tx_hub_settings *settings, const tx_hub_wish *wish,
                            tx_error *error) {
  return tx_fail(error, TX_ERROR_INPUT,
                 "hf:%s is gated: ask for access at %s/%s%s", wish->repository, settings->endpoint,
                 wish->repository,
                 *settings->token ? ", then try again: the token in use has none yet"
                                  : " and set HF_TOKEN to a token of yours");
}

static tx_status fail_missing(const tx_hub_settings *settings, const tx_hub_wish *wish,
                              tx_error *error) {
  return tx_fail(error, TX_ERROR_INPUT,
                 "there is no hf:%s at %s that %s may see; check the name%s", wish->repository,
                 settings->endpoint, *settings->token ? "this token" : "everybody",
                 *settings->token ? "" : ", or set HF_TOKEN for a private one");
}

tx_status tx_hub_fail(const tx_hub_settings *settings, const tx_hub_wish *wish, const char *file,
                      long status, const char *code, tx_error *error) {
  if (strcmp(code, "GatedRepo") == 0) return fail_gated(settings, wish, error);
  if (strcmp(code, "RepoNotFound") == 0) return fail_missing(settings, wish, error);
  if (strcmp(code, "RevisionNotFound") == 0) {
    return tx_fail(error, TX_ERROR_INPUT, "hf:%s has no revision %s; leave it out for the newest",
                   wish->repository, wish->revision);
  }
  if (status == 401 && *settings->token) {
    return tx_fail(error, TX_ERROR_INPUT,
                   "the hub does not accept the token of HF_TOKEN (or of the file HF_HOME/token); "
                   "make a new one at %s/settings/tokens",
                   settings->endpoint);
  }
  if (status == 401) return fail_missing(settings, wish, error);
  if (status == 403) return fail_gated(settings, wish, error);
  if (status == 404 && file) {
    return tx_fail(error, TX_ERROR_INPUT, "hf:%s has no file %.300s at revision %s",
                   wish->repository, file, wish->revision);
  }
  if (status == 404 || status == 410) return fail_missing(settings, wish, error);
  return tx_fail(error, TX_ERROR_INPUT, "the hub refuses hf:%s (HTTP status %ld)",
                 wish->repository, status);
}

/* ---- asking ---- */

static tx_status ask(const tx_hub_settings *settings, const tx_hub_wish *wish, const char *url,
                     tx_buffer *bytes, const tx_watch *watch, tx_error *error) {
  tx_http_answer answer;
  tx_error trouble = {0};
  tx_http_request request = {.url = url,
                             .token = *settings->token ? settings->token : NULL,
                             .plain = settings->plain,
                             .setting = settings->set ? "HF_ENDPOINT" : NULL,
                             .rules = tx_http_rules_defaults(),
                             .watch = watch};
  tx_status status = tx_http_get_bytes(&request, LISTING_BYTES, bytes, &answer, &trouble);
  if (status == TX_ERROR_INPUT && answer.status >= 400) {
    return tx_hub_fail(settings, wish, NULL, answer.status, answer.error_code, error);
  }
  return status == TX_OK ? TX_OK : tx_fail_with(error, &trouble);
}

tx_status tx_hub_listing_fetch(const tx_hub_settings *settings, const tx_hub_wish *wish,
                               tx_hub_listing *listing, const tx_watch *watch, tx_error *error) {
  *listing = (tx_hub_listing){0};
  tx_buffer url = {0}, bytes = {0};
  tx_buffer_format(&url, "%s/api/models/", settings->endpoint);
  tx_hub_escape(&url, wish->repository, true);
  tx_buffer_append_string(&url, "/revision/");
  tx_hub_escape(&url, wish->revision, false);
  tx_buffer_append_string(&url, "?blobs=true");
  tx_status status = url.failed ? tx_fail_memory(error, url.size, "an address")
                                : ask(settings, wish, url.data, &bytes, watch, error);
  if (status == TX_OK) {
    status = tx_hub_listing_read((tx_text){bytes.data, bytes.size}, wish, listing, error);
  }
  tx_buffer_free(&url);
  tx_buffer_free(&bytes);
  return status;
}
