/* tx_generator_*: a tuned model with its base, or a model alone, that answers prompts. */
#include <inttypes.h>
#include <string.h>

#include "base/memory.h"
#include "formats/artifact.h"
#include "formats/hub.h"
#include "generate/greedy.h"
#include "kernels/kernels.h"
#include "tasks/generator.h"
#include "tasks/tune.h"
#include "tasks/tuned_model.h"
#include "text/vocabulary.h"

tx_generator_options tx_generator_defaults(void) { return (tx_generator_options){0}; }

/* ---- opening ----------------------------------------------------------- */

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
  if (artifact) {
    return tx_tuned_model_open(path, options.home, options.model, &g->artifact, &g->facts,
                               &g->model, error);
  }
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
  if (g->stop_count < TX_GENERATOR_STOPS) g->stops[g->stop_count++] = (int32_t)id;
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
