/* Characters to tokens and back, from a vocabulary: byte-level BPE as GPT-2 and
 * SmolLM2 define it.  Time grows linearly with the text (times the logarithm of
 * the longest pre-token).  Chat templates and weights are left to others.
 *
 * A tokenizer is immutable once made: any number of threads may use one. */
#ifndef TX_TEXT_TOKENIZER_H
#define TX_TEXT_TOKENIZER_H

#include "base/error.h"

typedef enum tx_token_kind { /* the numbers of GGUF's tokenizer.ggml.token_type */
                             TX_TOKEN_NORMAL = 1,
                             TX_TOKEN_UNKNOWN = 2,
                             TX_TOKEN_CONTROL = 3,
                             TX_TOKEN_USER_DEFINED = 4,
                             TX_TOKEN_UNUSED = 5,
                             TX_TOKEN_BYTE = 6,
} tx_token_kind;

/* What a vocabulary says, unchecked; borrowed during tx_tokenizer_new. */
typedef struct tx_vocabulary {
  const char *file;      /* for messages */
  tx_text split;         /* tokenizer.ggml.pre: "gpt-2", "smollm" */
  const tx_text *tokens; /* (count), in the byte-level alphabet */
  size_t count;
  const int64_t *kinds;  /* (count), or NULL: all normal */
  const tx_text *merges; /* (merge_count): "left right" */
  size_t merge_count;
  int64_t bos, eos, unknown, padding; /* ids, or -1 */
} tx_vocabulary;

typedef struct tx_tokenizer tx_tokenizer;

tx_status tx_tokenizer_new(const tx_vocabulary *vocabulary, tx_tokenizer **tokenizer,
                           tx_error *error);
void tx_tokenizer_free(tx_tokenizer *tokenizer);

size_t tx_tokenizer_count(const tx_tokenizer *tokenizer);
int64_t tx_tokenizer_bos(const tx_tokenizer *tokenizer); /* -1: none */
int64_t tx_tokenizer_eos(const tx_tokenizer *tokenizer);

/* A growing list of ids, reused from text to text. */
typedef struct tx_ids {
  int32_t *ids;
  size_t count, capacity;
} tx_ids;
void tx_ids_free(tx_ids *ids);

/* Appends the text's tokens to `ids`.  `special`: control and user-defined
 * tokens spelled in the text are parsed as such; otherwise control tokens are
 * plain text.  Invalid UTF-8 passes through byte by byte, so that decoding gives
 * the same bytes back.  Stops early, exactly, once `ids` holds `limit` tokens or
 * more (0: no limit), so that a long text that will be cut costs what is kept. */
tx_status tx_tokenizer_encode(const tx_tokenizer *tokenizer, tx_text text, bool special,
                              size_t limit, tx_ids *ids, tx_error *error);

/* The bytes of one token, borrowed: what it stands for in the text.  A control
 * token's own spelling.  {NULL, 0} for an id out of range. */
tx_text tx_tokenizer_bytes(const tx_tokenizer *tokenizer, int64_t id);

#endif
