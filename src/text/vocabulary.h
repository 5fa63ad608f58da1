/* The tokenizer of a GGUF file.  What a vocabulary must be is left to
 * tokenizer.h. */
#ifndef TX_TEXT_VOCABULARY_H
#define TX_TEXT_VOCABULARY_H

#include "formats/gguf.h"
#include "text/tokenizer.h"

/* From the keys tokenizer.ggml.model (which must be "gpt2", byte-level BPE), .pre,
 * .tokens, .merges, and where they stand .token_type, .bos_token_id,
 * .eos_token_id, .unknown_token_id and .padding_token_id.  Everything is copied;
 * `gguf` may be closed afterwards.
 *
 * A file without .pre is from before 2024-05 and does not tell its split rule.
 * llama.cpp then warns and uses a rule of its own that no model was trained with;
 * here it is taken for "gpt-2" where the architecture is gpt2, and refused
 * otherwise: wrong tokens would show only as worse answers. */
tx_status tx_tokenizer_from_gguf(const tx_gguf *gguf, tx_tokenizer **tokenizer, tx_error *error);

#endif
