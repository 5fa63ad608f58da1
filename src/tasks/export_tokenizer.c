/* tokenizer.json and tokenizer_config.json from the vocabulary of a GGUF file, so that
 * transformers gives the same ids. */
#include <string.h>

#include "formats/nearest.h"
#include "tasks/export_hf.h"
#include "text/vocabulary.h"

typedef struct {
  const tx_gguf *gguf;
  const tx_text *tokens, *merges;
  size_t count, merge_count;
  int64_t *kinds; /* (count), or NULL: all normal */
  tx_text split;
} vocabulary;

static tx_status read_vocabulary(const tx_exporting *e, vocabulary *v, tx_error *error) {
  size_t kinds = 0;
  *v = (vocabulary){.gguf = tx_model_gguf(e->model), .split = tx_text_of("gpt-2")};
  TX_TRY(tx_gguf_strings(v->gguf, "tokenizer.ggml.tokens", &v->tokens, &v->count, error));
  TX_TRY(tx_gguf_strings(v->gguf, "tokenizer.ggml.merges", &v->merges, &v->merge_count, error));
  if (tx_gguf_has(v->gguf, "tokenizer.ggml.pre")) {
    TX_TRY(tx_gguf_string(v->gguf, "tokenizer.ggml.pre", &v->split, error));
  }
  if (tx_gguf_has(v->gguf, "tokenizer.ggml.token_type")) {
    TX_TRY(tx_gguf_ints(v->gguf, "tokenizer.ggml.token_type", &v->kinds, &kinds, error));
  }
  if (!v->kinds || kinds == v->count) return TX_OK;
  return tx_fail(error, TX_ERROR_INPUT, "%s: %zu tokens have %zu kinds; fetch the model again",
                 tx_gguf_path(v->gguf), v->count, kinds);
}

/* Takes `value`. */
static bool put(json_t *object, const char *key, json_t *value) {
  return json_object_set_new(object, key, value) == 0;
}

static json_t *text_json(tx_text text) { return json_stringn(text.data, text.size); }

/* ---- tokenizer.json ------------------------------------------------------- */

static json_t *byte_level(void) {
  return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0,
                   "trim_offsets", 1, "use_regex", 1);
}

/* As HuggingFaceTB/SmolLM2 and openai-community/gpt2 have them. */
static json_t *pre_tokenizer(const vocabulary *v) {
  if (v->split.size == 5 && memcmp(v->split.data, "gpt-2", 5) == 0) return byte_level();
  return json_pack("{s:s, s:[{s:s, s:b}, o]}", "type", "Sequence", "pretokenizers", "type",
                   "Digits", "individual_digits", 1, byte_level());
}

static bool add_token(json_t *list, tx_text token, size_t id, bool special) {
  json_t *entry = json_pack("{s:I, s:o, s:b, s:b, s:b, s:b, s:b}", "id", (json_int_t)id, "content",
                            text_json(token), "single_word", 0, "lstrip", 0, "rstrip", 0,
                            "normalized", 0, "special", (int)special);
  return entry && json_array_append_new(list, entry) == 0;
}

/* Control and unknown tokens are special; what the model defines itself is always parsed. */
static json_t *added_tokens(const vocabulary *v) {
  json_t *list = json_array();
  bool whole = list != NULL;
  for (size_t i = 0; whole && v->kinds && i < v->count; i++) {
    int64_t kind = v->kinds[i];
    bool special = kind == TX_TOKEN_CONTROL || kind == TX_TOKEN_UNKNOWN;
    if (special || kind == TX_TOKEN_USER_DEFINED) {
      whole = add_token(list, v->tokens[i], i, special);
    }
  }
  if (!whole) json_decref(list);
  return whole ? list : NULL;
}

/* No unknown token: a byte without a symbol is left out. */
static json_t *model(const vocabulary *v) {
  json_t *ids = json_object(), *merges = json_array();
  bool whole = ids && merges;
  for (size_t i = 0; whole && i < v->count; i++) {
    whole = tx_hf_put_text(ids, v->tokens[i], json_integer((json_int_t)i));
  }
  for (size_t i = 0; whole && i < v->merge_count; i++) {
    whole = json_array_append_new(merges, text_json(v->merges[i])) == 0;
  }
  json_t *made = json_pack("{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:o*, s:o*}", "type", "BPE",
                           "dropout", "unk_token", "continuing_subword_prefix",
                           "end_of_word_suffix", "fuse_unk", 0, "byte_fallback", 0,
                           "ignore_merges", 0, "vocab", ids, "merges", merges);
  if (!whole) json_decref(made);
  return whole ? made : NULL;
}

static json_t *tokenizer(const vocabulary *v) {
  json_t *object = json_pack("{s:s, s:n, s:n}", "version", "1.0", "truncation", "padding");
  bool whole = object && put(object, "added_tokens", added_tokens(v)) &&
               put(object, "normalizer", json_null()) &&
               put(object, "pre_tokenizer", pre_tokenizer(v)) &&
               put(object, "post_processor", json_null()) &&
               put(object, "decoder", byte_level()) && put(object, "model", model(v));
  if (!whole) json_decref(object);
  return whole ? object : NULL;
}

/* Merges are of tokens, which tx_tokenizer_from_gguf has seen to. */
static tx_status check_texts(const vocabulary *v, tx_error *error) {
  tx_tokenizer *tokenizer;
  TX_TRY(tx_tokenizer_from_gguf(v->gguf, &tokenizer, error));
  tx_tokenizer_free(tokenizer);
  for (size_t i = 0; i < v->count; i++) {
    tx_text token = v->tokens[i];
    if (tx_is_utf8(token) && !memchr(token.data, '\0', token.size)) continue;
    return tx_fail(error, TX_ERROR_INPUT,
                   "%s: token %zu is not UTF-8 without NUL, which tokenizer.json must be; export "
                   "it --to gguf",
                   tx_gguf_path(v->gguf), i);
  }
  return TX_OK;
}

/* ---- tokenizer_config.json ------------------------------------------------- */

/* A token by the id under a key; nothing where there is none. */
static bool put_token(const vocabulary *v, json_t *object, const char *key, const char *from) {
  int64_t id;
  if (!tx_gguf_has(v->gguf, from) || tx_gguf_int(v->gguf, from, &id, NULL) != TX_OK) return true;
  if (id < 0 || (uint64_t)id >= v->count) return true;
  return put(object, key, text_json(v->tokens[id]));
}

/* Batches need a token to fill up with; which one makes no difference. */
static bool put_padding(const vocabulary *v, json_t *object) {
  bool own = tx_gguf_has(v->gguf, "tokenizer.ggml.padding_token_id");
  return put_token(v, object, "pad_token",
                   own ? "tokenizer.ggml.padding_token_id" : "tokenizer.ggml.eos_token_id");
}

static bool put_template(const vocabulary *v, json_t *object) {
  tx_text text;
  if (!tx_gguf_has(v->gguf, "tokenizer.chat_template")) return true;
  if (tx_gguf_string(v->gguf, "tokenizer.chat_template", &text, NULL) != TX_OK) return true;
  if (!tx_is_utf8(text)) return true;
  return put(object, "chat_template", text_json(text));
}

/* What a text to be classified spells stays text, as in taxon; a language model's prompt
 * has its control tokens. */
static json_t *config(const tx_exporting *e, const vocabulary *v) {
  int64_t longest = e->facts ? e->facts->max_tokens : tx_model_facts(e->model)->context;
  json_t *object = json_pack("{s:s, s:I, s:s, s:s, s:b, s:b}", "tokenizer_class",
                             "PreTrainedTokenizerFast", "model_max_length", (json_int_t)longest,
                             "padding_side", "right", "truncation_side", "right",
                             "clean_up_tokenization_spaces", 0, "split_special_tokens",
                             e->facts != NULL);
  bool whole = object && put_token(v, object, "bos_token", "tokenizer.ggml.bos_token_id") &&
               put_token(v, object, "eos_token", "tokenizer.ggml.eos_token_id") &&
               put_token(v, object, "unk_token", "tokenizer.ggml.unknown_token_id") &&
               put_padding(v, object) && (e->facts || put_template(v, object));
  if (!whole) json_decref(object);
  return whole ? object : NULL;
}

static tx_status write_files(tx_exporting *e, const vocabulary *v, tx_error *error) {
  TX_TRY(check_texts(v, error));
  TX_TRY(tx_export_json(e, "tokenizer.json", tokenizer(v), error));
  return tx_export_json(e, "tokenizer_config.json", config(e, v), error);
}

tx_status tx_hf_write_tokenizer(tx_exporting *e, tx_error *error) {
  vocabulary v;
  tx_status status = read_vocabulary(e, &v, error);
  if (status == TX_OK) status = write_files(e, &v, error);
  tx_free(v.kinds);
  return status;
}
