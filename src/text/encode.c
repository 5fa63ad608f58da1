/* One list of ids for many texts. */
#include "text/encode.h"

#include "base/memory.h"

/* The text from id `before` on is filled up to `length` ids; the blank's are overwritten. */
static tx_status pad(const tx_tokenizer *tokenizer, size_t before, int64_t length, tx_ids *ids,
                     tx_error *error) {
  static const tx_text blank = {" ", 1};
  int64_t filling = tx_tokenizer_padding(tokenizer);
  if (filling < 0) filling = tx_tokenizer_eos(tokenizer);
  if (filling < 0) filling = 0;
  while (ids->count < before + (size_t)length) {
    size_t at = ids->count;
    TX_TRY(tx_tokenizer_encode(tokenizer, blank, false, 0, ids, error));
    ids->count = at + 1;
    ids->ids[at] = (int32_t)filling;
  }
  return TX_OK;
}

static tx_status encode_all(const tx_tokenizer *tokenizer, const tx_text *texts, int64_t count,
                            tx_encoding how, tx_ids *ids, tx_encoded *encoded, tx_error *error) {
  int64_t max_tokens = how.max_tokens;
  static const tx_text blank = {" ", 1};
  int64_t fallback = tx_tokenizer_bos(tokenizer);
  if (fallback < 0) fallback = tx_tokenizer_eos(tokenizer);
  if (fallback < 0) fallback = 0;
  encoded->offsets[0] = 0;
  for (int64_t i = 0; i < count; i++) {
    size_t before = ids->count;
    size_t limit = before + (size_t)max_tokens + 1;
    TX_TRY(tx_tokenizer_encode(tokenizer, texts[i], false, limit, ids, error));
    if (ids->count == before) { /* room for one id, whatever the blank's is */
      TX_TRY(tx_tokenizer_encode(tokenizer, blank, false, 0, ids, error));
      ids->count = before + 1;
      ids->ids[before] = (int32_t)fallback;
    }
    if (ids->count - before > (size_t)max_tokens) {
      ids->count = before + (size_t)max_tokens;
      encoded->cut++;
    }
    TX_TRY(pad(tokenizer, before, how.pad_to < max_tokens ? how.pad_to : max_tokens, ids, error));
    encoded->offsets[i + 1] = (int64_t)ids->count;
  }
  return TX_OK;
}

tx_status tx_encode(const tx_tokenizer *tokenizer, const tx_text *texts, int64_t count,
                    tx_encoding how, tx_encoded *encoded, tx_error *error) {
  *encoded = (tx_encoded){.count = count};
  encoded->offsets = tx_alloc_array((size_t)count + 1, sizeof *encoded->offsets);
  if (!encoded->offsets) return tx_fail_memory(error, (uint64_t)count * 8, "the tokens");
  tx_ids ids = {0};
  tx_status status = encode_all(tokenizer, texts, count, how, &ids, encoded, error);
  encoded->ids = ids.ids;
  if (status != TX_OK) tx_encoded_free(encoded);
  return status;
}

void tx_encoded_free(tx_encoded *encoded) {
  tx_free(encoded->offsets);
  tx_free(encoded->ids);
  *encoded = (tx_encoded){0};
}
