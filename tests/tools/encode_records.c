/* Encodes records from standard input, for tests/text/compare_tokens.py: each is
 * a byte (1: parse special tokens), a 32-bit little-endian size and that many
 * bytes.  Answers each with a 32-bit count and that many 32-bit ids.
 *
 *   encode_records MODEL.gguf [SPLIT]    SPLIT: another split rule than the file's */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "text/vocabulary.h"

static int fail(const tx_error *error) {
  char sentence[1400];
  fprintf(stderr, "encode_records: %s\n", tx_error_sentence(error, sentence, sizeof sentence));
  return 3;
}

static tx_status with_split(const tx_gguf *gguf, const char *split, tx_tokenizer **tokenizer,
                            tx_error *error) {
  tx_vocabulary v = {.file = tx_gguf_path(gguf), .split = tx_text_of(split)};
  v.bos = v.eos = v.unknown = v.padding = -1;
  int64_t *kinds;
  size_t count;
  TX_TRY(tx_gguf_strings(gguf, "tokenizer.ggml.tokens", &v.tokens, &v.count, error));
  TX_TRY(tx_gguf_strings(gguf, "tokenizer.ggml.merges", &v.merges, &v.merge_count, error));
  TX_TRY(tx_gguf_ints(gguf, "tokenizer.ggml.token_type", &kinds, &count, error));
  v.kinds = kinds;
  tx_status status = tx_tokenizer_new(&v, tokenizer, error);
  tx_free(kinds);
  return status;
}

static int encode_all(const tx_tokenizer *tokenizer, tx_error *error) {
  tx_ids ids = {0};
  char *text = NULL;
  int special;
  uint32_t size;
  while ((special = getchar()) != EOF && fread(&size, sizeof size, 1, stdin) == 1) {
    char *grown = tx_resize(text, size);
    if (!grown) break;
    text = grown;
    if (fread(text, 1, size, stdin) != size) break;
    ids.count = 0;
    if (tx_tokenizer_encode(tokenizer, (tx_text){text, size}, special != 0, 0, &ids, error)) {
      return fail(error);
    }
    uint32_t count = (uint32_t)ids.count;
    fwrite(&count, sizeof count, 1, stdout);
    if (count) fwrite(ids.ids, sizeof *ids.ids, ids.count, stdout);
  }
  tx_free(text);
  tx_ids_free(&ids);
  return 0;
}

int main(int argc, char **argv) {
  if (argc < 2) return 2;
  tx_error error = {0};
  tx_gguf *gguf;
  tx_tokenizer *tokenizer;
  if (tx_gguf_open(argv[1], &gguf, &error)) return fail(&error);
  tx_status status = argc > 2 ? with_split(gguf, argv[2], &tokenizer, &error)
                              : tx_tokenizer_from_gguf(gguf, &tokenizer, &error);
  tx_gguf_close(gguf);
  if (status) return fail(&error);
  int result = encode_all(tokenizer, &error);
  tx_tokenizer_free(tokenizer);
  return result;
}
