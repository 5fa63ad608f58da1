/* Any bytes as a text, through the golden vocabulary under each of its two split
 * rules: to tokens and back, whole and with a limit. */
#include "fuzz.h"
#include "fuzz_tokens.h"

static tx_tokenizer *tokenizers[2];

static void make_tokenizers(void) {
  static const char path[] = "tests/golden/tokens.gguf";
  static const char *const rules[] = {"gpt-2", "smollm"};
  tx_gguf *gguf;
  tx_error error = {0};
  MUST(tx_gguf_open(path, &gguf, &error) == TX_OK);
  tx_vocabulary v = {.file = path, .bos = 1, .eos = 2, .unknown = -1, .padding = -1};
  int64_t *kinds;
  size_t count;
  MUST(tx_gguf_strings(gguf, "tokenizer.ggml.tokens", &v.tokens, &v.count, &error) == TX_OK);
  MUST(tx_gguf_strings(gguf, "tokenizer.ggml.merges", &v.merges, &v.merge_count, &error) == TX_OK);
  MUST(tx_gguf_ints(gguf, "tokenizer.ggml.token_type", &kinds, &count, &error) == TX_OK);
  v.kinds = kinds;
  for (int i = 0; i < 2; i++) {
    v.split = tx_text_of(rules[i]);
    MUST(tx_tokenizer_new(&v, &tokenizers[i], &error) == TX_OK);
  }
  tx_free(kinds);
  tx_gguf_close(gguf);
}

/* The first byte chooses the limit, the rest is the text. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (!tokenizers[0]) make_tokenizers();
  if (size == 0) return 0;
  tx_text text = {(const char *)data + 1, size - 1};
  for (int i = 0; i < 2; i++) check_text(tokenizers[i], text, data[0], true);
  return 0;
}
