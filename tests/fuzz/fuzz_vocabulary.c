/* Any vocabulary: the bytes are a GGUF file whose tokenizer is made or refused;
 * the texts are those of its key "test.text" and its own tokens. */
#include "fuzz.h"
#include "fuzz_tokens.h"

enum { TEXTS = 64 }; /* tokens that are tried as texts */

/* Tokens spelled as they stand (control, unknown, user-defined) may shadow a
 * byte's symbol: then only the other properties hold. */
static bool all_in_alphabet(const tx_gguf *gguf) {
  int64_t *kinds;
  size_t count;
  if (tx_gguf_ints(gguf, "tokenizer.ggml.token_type", &kinds, &count, NULL) != TX_OK) return true;
  bool all = true;
  for (size_t i = 0; i < count; i++) {
    all &= kinds[i] != TX_TOKEN_UNKNOWN && kinds[i] != TX_TOKEN_CONTROL &&
           kinds[i] != TX_TOKEN_USER_DEFINED;
  }
  tx_free(kinds);
  return all;
}

static void try_texts(const tx_gguf *gguf, const tx_tokenizer *tokenizer) {
  bool back = all_in_alphabet(gguf);
  tx_text text;
  if (tx_gguf_string(gguf, "test.text", &text, NULL) == TX_OK) check_text(tokenizer, text, 3, back);
  size_t count = tx_tokenizer_count(tokenizer);
  for (size_t i = 0; i < count && i < TEXTS; i++) {
    check_text(tokenizer, tx_tokenizer_bytes(tokenizer, (int64_t)i), 1, back);
  }
  MUST(tx_tokenizer_bytes(tokenizer, (int64_t)count).size == 0);
  MUST(tx_tokenizer_bytes(tokenizer, -1).size == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  tx_gguf *gguf;
  tx_error error = {0};
  if (tx_gguf_open_bytes(data, size, "fuzz.gguf", &gguf, &error) != TX_OK) return 0;
  tx_tokenizer *tokenizer;
  tx_status status = tx_tokenizer_from_gguf(gguf, &tokenizer, &error);
  must_tell(status, &error);
  if (status == TX_OK) {
    MUST(tx_tokenizer_bos(tokenizer) < (int64_t)tx_tokenizer_count(tokenizer));
    MUST(tx_tokenizer_eos(tokenizer) < (int64_t)tx_tokenizer_count(tokenizer));
    try_texts(gguf, tokenizer);
  }
  tx_tokenizer_free(tokenizer);
  tx_gguf_close(gguf);
  return 0;
}
