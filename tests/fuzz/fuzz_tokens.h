/* What must hold of any text and any tokenizer. */
#ifndef TX_TESTS_FUZZ_TOKENS_H
#define TX_TESTS_FUZZ_TOKENS_H

#include "base/memory.h"
#include "text/encode.h"
#include "text/vocabulary.h"

/* The bytes of the tokens, end to end, are the text but for the bytes for which
 * the vocabulary has no symbol. */
static inline void check_back(const tx_tokenizer *tokenizer, tx_text text, const tx_ids *ids) {
  size_t at = 0;
  for (size_t i = 0; i < ids->count; i++) {
    tx_text piece = tx_tokenizer_bytes(tokenizer, ids->ids[i]);
    for (size_t j = 0; j < piece.size; j++) {
      unsigned char byte = (unsigned char)piece.data[j];
      if (!tx_tokenizer_has_byte(tokenizer, byte)) continue;
      while (at < text.size && !tx_tokenizer_has_byte(tokenizer, (unsigned char)text.data[at])) {
        at++;
      }
      MUST(at < text.size && (unsigned char)text.data[at] == byte);
      at++;
    }
  }
  while (at < text.size && !tx_tokenizer_has_byte(tokenizer, (unsigned char)text.data[at])) at++;
  MUST(at == text.size);
}

/* `limit` tokens or more, cut from the same sequence. */
static inline void check_limit(const tx_tokenizer *tokenizer, tx_text text, bool special,
                               size_t limit, const tx_ids *whole) {
  tx_error error = {0};
  tx_ids cut = {0};
  MUST(tx_tokenizer_encode(tokenizer, text, special, limit, &cut, &error) == TX_OK);
  MUST(cut.count == whole->count || (limit && cut.count >= limit && cut.count < whole->count));
  MUST(!cut.count || !memcmp(cut.ids, whole->ids, cut.count * sizeof *cut.ids));
  tx_ids_free(&cut);
}

/* As a model reads it: at least one token, at most `most`. */
static inline void check_encode(const tx_tokenizer *tokenizer, tx_text text, int64_t most,
                                const tx_ids *whole) {
  tx_error error = {0};
  tx_encoded encoded;
  MUST(tx_encode(tokenizer, &text, 1, (tx_encoding){most, 0}, &encoded, &error) == TX_OK);
  int64_t count = (int64_t)whole->count > most ? most : (int64_t)whole->count;
  MUST(encoded.offsets[0] == 0 && encoded.offsets[1] == (count ? count : 1));
  MUST(encoded.cut == ((int64_t)whole->count > most));
  MUST(!count || !memcmp(encoded.ids, whole->ids, (size_t)count * sizeof *encoded.ids));
  tx_encoded_free(&encoded);
}

/* All of it foreign is a text without control tokens, none of it one with them. */
static inline void check_marked(const tx_tokenizer *tokenizer, tx_text text, bool special,
                                const tx_ids *whole) {
  tx_error error = {0};
  tx_ids ids = {0};
  unsigned char *foreign = tx_alloc(text.size);
  MUST(foreign);
  memset(foreign, !special, text.size);
  MUST(tx_tokenizer_encode_marked(tokenizer, text, foreign, &ids, &error) == TX_OK);
  MUST(ids.count == whole->count);
  MUST(!ids.count || !memcmp(ids.ids, whole->ids, ids.count * sizeof *ids.ids));
  tx_ids_free(&ids);
  tx_free(foreign);
}

static inline void check_text(const tx_tokenizer *tokenizer, tx_text text, size_t limit,
                              bool back) {
  for (int special = 0; special < 2; special++) {
    tx_error error = {0};
    tx_ids ids = {0};
    tx_status status = tx_tokenizer_encode(tokenizer, text, special, 0, &ids, &error);
    must_tell(status, &error);
    MUST(status == TX_OK);
    for (size_t i = 0; i < ids.count; i++) {
      MUST(ids.ids[i] >= 0 && (size_t)ids.ids[i] < tx_tokenizer_count(tokenizer));
    }
    MUST(ids.count <= text.size);
    if (back) check_back(tokenizer, text, &ids);
    check_limit(tokenizer, text, special, limit, &ids);
    check_marked(tokenizer, text, special, &ids);
    if (!special) check_encode(tokenizer, text, (int64_t)limit + 1, &ids);
    tx_ids_free(&ids);
  }
}

#endif
