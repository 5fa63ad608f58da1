/* Characters to tokens and back, from a vocabulary: byte-level BPE as GPT-2 and
 * SmolLM2 define it, id for id as the `tokenizers` library runs the models' own
 * tokenizer.json.  Time grows linearly with the text (times the logarithm of the
 * longest pre-token).  Chat templates and weights are left to others.
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

/* A vocabulary that contradicts itself is TX_ERROR_INPUT, with its file and what
 * is wrong: no or more than 2^24 tokens or merges, a token twice, a kind or id
 * that there is not, a merge that is not two known tokens making a third or that
 * comes twice, a special token longer than 1,024 bytes, an unknown split rule. */
tx_status tx_tokenizer_new(const tx_vocabulary *vocabulary, tx_tokenizer **tokenizer,
                           tx_error *error);
void tx_tokenizer_free(tx_tokenizer *tokenizer);

size_t tx_tokenizer_count(const tx_tokenizer *tokenizer);
int64_t tx_tokenizer_bos(const tx_tokenizer *tokenizer); /* -1: none */
int64_t tx_tokenizer_eos(const tx_tokenizer *tokenizer);
int64_t tx_tokenizer_padding(const tx_tokenizer *tokenizer);

/* A growing list of ids, reused from text to text. */
typedef struct tx_ids {
  int32_t *ids;
  size_t count, capacity;
} tx_ids;
void tx_ids_free(tx_ids *ids);

/* Appends the text's tokens to `ids`.  User-defined tokens spelled in the text are
 * always parsed as such, control and unknown ones where `special` is true (else
 * their spelling is plain text): the leftmost first, and there the longest.
 *
 * Bytes that are not valid UTF-8 are split like punctuation (split.h) and pass
 * through one by one, so that decoding gives the same bytes back.  The exception
 * is a byte for which the vocabulary has no symbol (SmolLM2: 21 of them, 04, 06,
 * 13, 14, 16, 1d, f1, f2 and those that no UTF-8 holds): nothing can stand for it,
 * and it is left out before merging, as `tokenizers` does.
 *
 * Stops early, exactly, once `ids` holds `limit` tokens or more (0: no limit), at
 * the end of a pre-token, so that a long text that will be cut costs what is
 * kept.  A text of 2^31 bytes or more is TX_ERROR_ARGUMENT.  After a failure,
 * `ids` holds what it held before. */
tx_status tx_tokenizer_encode(const tx_tokenizer *tokenizer, tx_text text, bool special,
                              size_t limit, tx_ids *ids, tx_error *error);

/* The same for a text of which some bytes were written by someone else: control and
 * unknown tokens are parsed only where none of their bytes is foreign.  Everything
 * else is as it would be without marks: words and user-defined tokens run across the
 * borders.  foreign: (text.size), 0 or not; NULL for an empty text only. */
tx_status tx_tokenizer_encode_marked(const tx_tokenizer *tokenizer, tx_text text,
                                     const unsigned char *foreign, tx_ids *ids, tx_error *error);

/* The bytes of one token, borrowed: what it stands for in the text.  A control
 * token's own spelling.  {NULL, 0} for an id out of range. */
tx_text tx_tokenizer_bytes(const tx_tokenizer *tokenizer, int64_t id);

/* false: the vocabulary has no symbol for the byte, and encoding leaves it out. */
bool tx_tokenizer_has_byte(const tx_tokenizer *tokenizer, unsigned char byte);

#endif
