/* One list of ids for many texts. */
#include "text/encode.h"

#include "base/memory.h"

static tx_status encode_all(const tx_tokenizer *tokenizer, const tx_text *texts, int64_t count,
                            int64_t max_tokens, tx_ids *ids, tx_encoded *encoded, tx_error *error) {
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
    encoded->offsets[i + 1] = (int64_t)ids->count;
  }
  return TX_OK;
}

tx_status tx_encode(const tx_tokenizer *tokenizer, const tx_text *texts, int64_t count,
                    int64_t max_tokens, tx_encoded *encoded, tx_error *error) {
  *encoded = (tx_encoded){.count = count};
  encoded->offsets = tx_alloc_array((size_t)count + 1, sizeof *encoded->offsets);
  if (!encoded->offsets) return tx_fail_memory(error, (uint64_t)count * 8, "the tokens");
  tx_ids ids = {0};
  tx_status status = encode_all(tokenizer, texts, count, max_tokens, &ids, encoded, error);
  encoded->ids = ids.ids;
  if (status != TX_OK) tx_encoded_free(encoded);
  return status;
}

void tx_encoded_free(tx_encoded *encoded) {
  tx_free(encoded->offsets);
  tx_free(encoded->ids);
  *encoded = (tx_encoded){0};
}
