/* tx_generator_*: a tuned model with its base, or a model alone, that answers prompts. */
#include <inttypes.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "formats/artifact.h"
#include "formats/hub.h"
#include "formats/tuned.h"
#include "generate/greedy.h"
#include "kernels/kernels.h"
#include "tasks/tune.h"
#include "text/vocabulary.h"

enum { STOPS = 4 };

struct tx_generator {
  tx_gguf *artifact; /* NULL: a model alone */
  tx_tuned_facts facts;
  tx_model *model;
  tx_tokenizer *tokenizer;
  tx_decode *decode;
  tx_chat *chat; /* NULL: prompts as they stand */
  int32_t stops[STOPS];
  size_t stop_count;
};

tx_generator_options tx_generator_defaults(void) { return (tx_generator_options){0}; }

/* ---- opening ----------------------------------------------------------- */

static tx_status check_base(const tx_generator *g, const char *path, tx_error *error) {
  char hex[TX_SHA256_HEX];
  uint64_t size;
  const unsigned char *bytes = tx_gguf_bytes(tx_model_gguf(g->model), &size);
  if (!tx_sha256_bytes(bytes, size, hex)) return tx_fail_memory(error, 256, "a hash");
  if (memcmp(hex, g->facts.base_sha256.data, 64) == 0) return TX_OK;
  return tx_fail(error, TX_ERROR_INPUT,
                 "the model was tuned from another base: it needs SHA-256 %.64s, but %s has %s; "
                 "pull the right model or tune again on this one",
                 g->facts.base_sha256.data, path, hex);
}

/* A changed tensor that does not fit is most likely the sign of another base. */
static tx_status open_changed(tx_generator *g, const char *path, tx_error *error) {
  tx_error misfit = {0};
  if (tx_model_open(path, g->artifact, &g->model, &misfit) == TX_OK) {
    return check_base(g, path, error);
  }
  if (tx_model_open(path, NULL, &g->model, NULL) == TX_OK) TX_TRY(check_base(g, path, error));
  return tx_fail_with(error, &misfit);
}

static tx_status open_tuned(tx_generator *g, const char *path, tx_generator_options options,
                            tx_error *error) {
  char base[4096], known[65];
  TX_TRY(tx_tuned_open(path, &g->artifact, &g->facts, error));
  char *name = tx_copy_bytes(g->facts.base_name.data, g->facts.base_name.size);
  if (!name) return tx_fail_memory(error, g->facts.base_name.size, "a name");
  tx_status status =
      tx_model_locate(options.model ? options.model : name, options.home, base, known, error);
  tx_free(name);
  TX_TRY(status);
  return open_changed(g, base, error);
}

static tx_status is_artifact(const char *path, bool *artifact, tx_error *error) {
  tx_gguf *gguf;
  TX_TRY(tx_gguf_open(path, &gguf, error));
  *artifact = tx_artifact_is(gguf);
  bool classifier = *artifact && !tx_tuned_is(gguf);
  tx_gguf_close(gguf);
  if (!classifier) return TX_OK;
  return tx_fail(error, TX_ERROR_INPUT,
                 "%s: this is a classifier, which writes nothing; use taxon predict", path);
}

static tx_status open_model(tx_generator *g, const char *what, tx_generator_options options,
                            tx_error *error) {
  char path[4096], known[65];
  bool artifact;
  TX_TRY(tx_model_locate(what, options.home, path, known, error));
  TX_TRY(is_artifact(path, &artifact, error));
  if (artifact) return open_tuned(g, path, options, error);
  if (options.model) {
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "%s is a model already; a base is named for a tuned one", what);
  }
  return tx_model_open(path, NULL, &g->model, error);
}

/* ---- the template and what ends an answer -------------------------------- */

static tx_status choose_template(tx_generator *g, const char *wanted, tx_error *error) {
  const char *found;
  char *own = NULL;
  if (!wanted && g->artifact) {
    own = tx_copy_bytes(g->facts.chat_template.data, g->facts.chat_template.size);
    if (!own) return tx_fail_memory(error, 16, "a name");
  }
  tx_status status = tx_tune_template(wanted ? wanted : own, tx_model_gguf(g->model), &g->chat,
                                      &found, error);
  tx_free(own);
  return status;
}

static void add_stop(tx_generator *g, int64_t id) {
  if (id < 0 || id >= (int64_t)tx_tokenizer_count(g->tokenizer)) return;
  for (size_t i = 0; i < g->stop_count; i++) {
    if (g->stops[i] == id) return;
  }
  if (g->stop_count < STOPS) g->stops[g->stop_count++] = (int32_t)id;
}

/* The end of the text, and that of a turn, by what the file says and by their usual names. */
static tx_status find_stops(tx_generator *g, tx_error *error) {
  static const char *const names[] = {"<|im_end|>", "<|endoftext|>"};
  const tx_gguf *gguf = tx_model_gguf(g->model);
  int64_t turn = -1;
  add_stop(g, tx_tokenizer_eos(g->tokenizer));
  if (tx_gguf_has(gguf, "tokenizer.ggml.eot_token_id")) {
    TX_TRY(tx_gguf_int(gguf, "tokenizer.ggml.eot_token_id", &turn, error));
  }
  add_stop(g, turn);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    tx_ids ids = {0};
    TX_TRY(tx_tokenizer_encode(g->tokenizer, tx_text_of(names[i]), true, 0, &ids, error));
    if (ids.count == 1) add_stop(g, ids.ids[0]);
    tx_ids_free(&ids);
  }
  return TX_OK;
}

static tx_status build(tx_generator *g, const char *what, tx_generator_options options,
                       tx_error *error) {
  TX_TRY(tx_kernels_check(error));
  if (!what) return tx_fail(error, TX_ERROR_ARGUMENT, "no model is named");
  TX_TRY(open_model(g, what, options, error));
  TX_TRY(tx_tokenizer_from_gguf(tx_model_gguf(g->model), &g->tokenizer, error));
  if (!options.raw) TX_TRY(choose_template(g, options.chat_template, error));
  TX_TRY(find_stops(g, error));
  TX_TRY(tx_model_load(g->model, 0, tx_model_facts(g->model)->blocks, error));
  return tx_decode_new(g->model, &g->decode, error);
}

tx_status tx_generator_open(const char *what, tx_generator_options options,
                            tx_generator **generator, tx_error *error) {
  *generator = NULL;
  tx_generator *made = tx_alloc_zero(1, sizeof *made);
  if (!made) return tx_fail_memory(error, sizeof *made, "a generator");
  tx_status status = build(made, what, options, error);
  if (status == TX_OK) {
    *generator = made;
  } else {
    tx_generator_close(made);
  }
  return status;
}

void tx_generator_close(tx_generator *g) {
  if (!g) return;
  tx_decode_free(g->decode);
  tx_chat_free(g->chat);
  tx_tokenizer_free(g->tokenizer);
  tx_model_close(g->model);
  tx_gguf_close(g->artifact);
  tx_free(g);
}

/* ---- answering ----------------------------------------------------------- */

typedef struct {
  tx_generator *g;
  size_t count;
  tx_ids ids;  /* of all prompts */
  size_t *ends; /* (count), in `ids` */
  tx_chat_text text; /* of one */
  tx_chat_ids tokens;
  tx_greedy_prompt *prompts; /* (count) */
  tx_greedy_answer *written; /* (count) */
} asking;

static tx_status add_ids(tx_ids *to, const tx_ids *from, tx_error *error) {
  size_t count = to->count + from->count;
  if (count > to->capacity) {
    int32_t *ids = tx_resize(to->ids, 2 * count * sizeof *ids);
    if (!ids) return tx_fail_memory(error, 2 * count * sizeof *ids, "the prompts");
    to->ids = ids, to->capacity = 2 * count;
  }
  memcpy(to->ids + to->count, from->ids, from->count * sizeof *to->ids);
  to->count = count;
  return TX_OK;
}

static tx_status encode_prompt(asking *a, const tx_prompt *prompt, tx_error *error) {
  const tx_generator *g = a->g;
  if (!g->chat) {
    TX_TRY(tx_tokenizer_encode(g->tokenizer, prompt->text, true, 0, &a->ids, error));
    return tx_tokenizer_encode(g->tokenizer, prompt->input, true, 0, &a->ids, error);
  }
  tx_chat_message turn = {{"user", 4}, prompt->text, prompt->input};
  TX_TRY(tx_chat_render(g->chat, &turn, 1, true, &a->text, error));
  TX_TRY(tx_chat_tokens(g->tokenizer, &a->text, &a->tokens, error));
  return add_ids(&a->ids, &a->tokens.ids, error);
}

static tx_status encode_prompts(asking *a, const tx_prompt *prompts, tx_error *error) {
  int64_t context = tx_model_facts(a->g->model)->context;
  size_t from = 0;
  for (size_t i = 0; i < a->count; i++) {
    TX_TRY(encode_prompt(a, &prompts[i], error));
    int64_t size = (int64_t)(a->ids.count - from);
    if (size == 0 || size >= context) {
      return tx_fail(error, TX_ERROR_INPUT,
                     size == 0 ? "prompt %zu is empty; give it a text"
                               : "prompt %zu is %" PRId64 " tokens long, and the model reads %" PRId64
                                 ", its answer included; shorten it",
                     i + 1, size, context);
    }
    a->ends[i] = from = a->ids.count;
  }
  for (size_t i = 0; i < a->count; i++) {
    size_t start = i > 0 ? a->ends[i - 1] : 0;
    a->prompts[i] = (tx_greedy_prompt){a->ids.ids + start, (int64_t)(a->ends[i] - start)};
  }
  return TX_OK;
}

/* The bytes of the tokens, but for the one that ended the answer. */
static tx_status spell(const asking *a, size_t i, tx_arena *arena, tx_answer *answer,
                       tx_error *error) {
  const tx_greedy_answer *written = &a->written[i];
  int64_t count = written->count - written->stopped;
  tx_buffer text = {0};
  for (int64_t t = 0; t < count; t++) {
    tx_text piece = tx_tokenizer_bytes(a->g->tokenizer, written->ids[t]);
    tx_buffer_append(&text, piece.data, piece.size);
  }
  char *copy = text.failed ? NULL : tx_arena_string(arena, text.data ? text.data : "", text.size);
  *answer = (tx_answer){.text = {copy, text.size},
                        .prompt_tokens = a->prompts[i].count,
                        .tokens = written->count,
                        .stopped = written->stopped,
                        .prefill_seconds = written->prefill_seconds,
                        .decode_seconds = written->decode_seconds};
  tx_buffer_free(&text);
  return copy ? TX_OK : tx_fail_memory(error, text.size, "an answer");
}

static tx_status spell_all(const asking *a, tx_answers *answers, tx_error *error) {
  tx_arena *arena = tx_arena_new();
  tx_answer *list = arena ? tx_arena_array(arena, a->count, sizeof *list) : NULL;
  tx_status status = list ? TX_OK : tx_fail_memory(error, a->count * sizeof *list, "the answers");
  for (size_t i = 0; status == TX_OK && i < a->count; i++) {
    status = spell(a, i, arena, &list[i], error);
  }
  if (status == TX_OK) {
    *answers = (tx_answers){a->count, list, arena};
  } else {
    tx_arena_free(arena);
  }
  return status;
}

static tx_status ask(asking *a, const tx_prompt *prompts, int64_t max_new, tx_answers *answers,
                     const tx_watch *watch, tx_error *error) {
  const tx_facts *facts = tx_model_facts(a->g->model);
  a->ends = tx_alloc_array(a->count, sizeof *a->ends);
  a->prompts = tx_alloc_array(a->count, sizeof *a->prompts);
  a->written = tx_alloc_zero(a->count, sizeof *a->written);
  if (!a->ends || !a->prompts || !a->written) {
    return tx_fail_memory(error, a->count * 64, "the prompts");
  }
  TX_TRY(encode_prompts(a, prompts, error));
  tx_greedy_options options = {a->g->stops, a->g->stop_count, max_new, facts->context};
  TX_TRY(tx_greedy(a->g->decode, facts->vocabulary, a->prompts, (int64_t)a->count, options,
                   a->written, watch, error));
  return spell_all(a, answers, error);
}

tx_status tx_generate(tx_generator *g, const tx_prompt *prompts, size_t count, int64_t max_new,
                      tx_answers *answers, const tx_watch *watch, tx_error *error) {
  *answers = (tx_answers){0};
  if (max_new < 1) {
    return tx_fail(error, TX_ERROR_ARGUMENT, "an answer has at least one token, not %" PRId64,
                   max_new);
  }
  asking a = {.g = g, .count = count};
  tx_status status = ask(&a, prompts, max_new, answers, watch, error);
  for (size_t i = 0; a.written && i < count; i++) tx_free(a.written[i].ids);
  tx_free(a.ends);
  tx_free(a.prompts);
  tx_free(a.written);
  tx_ids_free(&a.ids);
  tx_chat_text_free(&a.text);
  tx_chat_ids_free(&a.tokens);
  return status;
}

void tx_answers_free(tx_answers *answers) {
  tx_arena_free(answers->owned);
  *answers = (tx_answers){0};
}
