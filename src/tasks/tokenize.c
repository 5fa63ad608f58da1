/* tx_tokenizer_open and tx_tokenize: the tokens of a text under a model's vocabulary. */
#include "base/memory.h"
#include "formats/artifact.h"
#include "formats/hub.h"
#include "text/vocabulary.h"

tx_status tx_tokenizer_open(const char *model, const char *home, tx_tokenizer **tokenizer,
                            tx_error *error) {
  char path[4096], known[65];
  tx_gguf *gguf;
  *tokenizer = NULL;
  TX_TRY(tx_model_locate(model, home, path, known, error));
  TX_TRY(tx_gguf_open(path, &gguf, error));
  tx_status status = tx_artifact_refuse(gguf, error);
  if (status == TX_OK) status = tx_tokenizer_from_gguf(gguf, tokenizer, error);
  tx_gguf_close(gguf);
  return status;
}

void tx_tokenizer_close(tx_tokenizer *tokenizer) { tx_tokenizer_free(tokenizer); }

tx_status tx_tokenize(const tx_tokenizer *tokenizer, tx_text text, bool special, tx_tokens *tokens,
                      tx_error *error) {
  *tokens = (tx_tokens){0};
  tx_ids ids = {0};
  tx_status status = tx_tokenizer_encode(tokenizer, text, special, 0, &ids, error);
  tx_arena *arena = status == TX_OK ? tx_arena_new() : NULL;
  int32_t *copies = arena ? tx_arena_array(arena, ids.count, sizeof *copies) : NULL;
  tx_text *pieces = copies ? tx_arena_array(arena, ids.count, sizeof *pieces) : NULL;
  if (status == TX_OK && !pieces) status = tx_fail_memory(error, ids.count * 20, "the tokens");
  for (size_t i = 0; status == TX_OK && i < ids.count; i++) {
    tx_text piece = tx_tokenizer_bytes(tokenizer, ids.ids[i]);
    char *copy = tx_arena_string(arena, piece.data, piece.size);
    if (!copy) status = tx_fail_memory(error, piece.size, "a token");
    copies[i] = ids.ids[i];
    pieces[i] = (tx_text){copy, piece.size};
  }
  size_t count = ids.count;
  tx_ids_free(&ids);
  if (status == TX_OK) {
    *tokens = (tx_tokens){count, copies, pieces, arena};
  } else {
    tx_arena_free(arena);
  }
  return status;
}

void tx_tokens_free(tx_tokens *tokens) {
  tx_arena_free(tokens->owned);
  *tokens = (tx_tokens){0};
}
