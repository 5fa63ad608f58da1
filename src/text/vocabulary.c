/* The tokenizer.ggml keys of a GGUF file as a tx_vocabulary. */
#include "text/vocabulary.h"

#include <inttypes.h>

#include <string.h>

#include "base/memory.h"

static bool says(tx_text text, const char *word) {
  return text.size == strlen(word) && !memcmp(text.data, word, text.size);
}

static tx_status read_model(const tx_gguf *gguf, tx_error *error) {
  tx_text model;
  TX_TRY(tx_gguf_string(gguf, "tokenizer.ggml.model", &model, error));
  if (says(model, "gpt2")) return TX_OK;
  return tx_fail_line(error, TX_ERROR_INPUT, tx_gguf_path(gguf), 0,
                      "the tokenizer is not byte-level BPE (tokenizer.ggml.model is not \"gpt2\"); "
                      "use a model of the GPT-2 or SmolLM2 kind");
}

static tx_status read_split(const tx_gguf *gguf, tx_text *split, tx_error *error) {
  if (tx_gguf_has(gguf, "tokenizer.ggml.pre")) {
    return tx_gguf_string(gguf, "tokenizer.ggml.pre", split, error);
  }
  tx_text architecture;
  TX_TRY(tx_gguf_string(gguf, "general.architecture", &architecture, error));
  *split = tx_text_of("gpt-2");
  if (says(architecture, "gpt2")) return TX_OK;
  return tx_fail_line(error, TX_ERROR_INPUT, tx_gguf_path(gguf), 0,
                      "the file does not tell how its tokenizer splits text (tokenizer.ggml.pre is "
                      "missing); fetch a newer conversion of the model");
}

static tx_status read_id(const tx_gguf *gguf, const char *key, int64_t *id, tx_error *error) {
  *id = -1;
  return tx_gguf_has(gguf, key) ? tx_gguf_int(gguf, key, id, error) : TX_OK;
}

static tx_status read_ids(const tx_gguf *gguf, tx_vocabulary *vocabulary, tx_error *error) {
  TX_TRY(read_id(gguf, "tokenizer.ggml.bos_token_id", &vocabulary->bos, error));
  TX_TRY(read_id(gguf, "tokenizer.ggml.eos_token_id", &vocabulary->eos, error));
  TX_TRY(read_id(gguf, "tokenizer.ggml.unknown_token_id", &vocabulary->unknown, error));
  return read_id(gguf, "tokenizer.ggml.padding_token_id", &vocabulary->padding, error);
}

/* Where the file holds a model, every token needs a row of its embedding. */
static tx_status check_embedding(const tx_gguf *gguf, size_t count, tx_error *error) {
  const tx_tensor *embedding = tx_gguf_tensor(gguf, "token_embd.weight");
  if (!embedding || (uint64_t)embedding->shape[1] >= count) return TX_OK;
  return tx_fail_line(error, TX_ERROR_INPUT, tx_gguf_path(gguf), 0,
                      "the vocabulary has %zu tokens but token_embd.weight only %" PRId64
                      " rows; the file is damaged or was badly converted, fetch it again",
                      count, embedding->shape[1]);
}

static tx_status read_tokens(const tx_gguf *gguf, tx_vocabulary *vocabulary, tx_error *error) {
  vocabulary->file = tx_gguf_path(gguf);
  TX_TRY(read_model(gguf, error));
  TX_TRY(read_split(gguf, &vocabulary->split, error));
  TX_TRY(tx_gguf_strings(gguf, "tokenizer.ggml.tokens", &vocabulary->tokens, &vocabulary->count,
                         error));
  TX_TRY(tx_gguf_strings(gguf, "tokenizer.ggml.merges", &vocabulary->merges,
                         &vocabulary->merge_count, error));
  TX_TRY(check_embedding(gguf, vocabulary->count, error));
  return read_ids(gguf, vocabulary, error);
}

tx_status tx_tokenizer_from_gguf(const tx_gguf *gguf, tx_tokenizer **tokenizer, tx_error *error) {
  static const char key[] = "tokenizer.ggml.token_type";
  *tokenizer = NULL;
  tx_vocabulary vocabulary = {0};
  TX_TRY(read_tokens(gguf, &vocabulary, error));
  int64_t *kinds = NULL;
  size_t count = vocabulary.count;
  if (tx_gguf_has(gguf, key)) TX_TRY(tx_gguf_ints(gguf, key, &kinds, &count, error));
  vocabulary.kinds = kinds;
  tx_status status;
  if (count == vocabulary.count) {
    status = tx_tokenizer_new(&vocabulary, tokenizer, error);
  } else {
    status = tx_fail_line(error, TX_ERROR_INPUT, vocabulary.file, 0,
                          "%zu tokens have %zu kinds (%s); the file is damaged or was badly "
                          "converted, fetch it again",
                          vocabulary.count, count, key);
  }
  tx_free(kinds);
  return status;
}
