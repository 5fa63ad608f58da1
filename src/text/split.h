/* Cutting a text into pre-tokens, the pieces within which byte-pair merging
 * works, by a model's split rule.  Tokens are left to tokenizer.c.
 *
 * The rules ("gpt-2", "smollm") are regular expressions over characters, run by
 * PCRE2 with JIT.  It is not given the text but its outline, of the same length,
 * in which each character beyond ASCII is replaced by its kind (characters.h),
 * so that matching works on plain bytes and does not depend on the version of
 * Unicode that PCRE2 was built with.
 *
 * Each byte that is not part of valid UTF-8 counts as a character which is
 * neither letter, number nor space, as punctuation does: runs of such bytes
 * stay together and attach to punctuation beside them and to one space before. */
#ifndef TX_TEXT_SPLIT_H
#define TX_TEXT_SPLIT_H

#include "base/error.h"

/* A compiled rule; immutable, shared by threads. */
typedef struct tx_splitter tx_splitter;

/* `name` as tokenizer.ggml.pre has it; an unknown one is TX_ERROR_INPUT and names
 * `file` and the known rules.  `jit` false: PCRE2's interpreter, for tests; it
 * also stands in where the system allows no JIT. */
tx_status tx_splitter_new(const char *file, tx_text name, bool jit, tx_splitter **splitter,
                          tx_error *error);
void tx_splitter_free(tx_splitter *splitter);

/* One walk over one text after another; each thread has its own. */
typedef struct tx_split tx_split;

tx_split *tx_split_new(const tx_splitter *splitter); /* NULL when out of memory */
void tx_split_free(tx_split *split);
void tx_split_start(tx_split *split, tx_text text); /* borrowed while it is walked */

/* The next pre-token, a run of bytes of the text; piece->size is 0 at the end.
 * Only as much of the text is looked at as the answer needs. */
tx_status tx_split_next(tx_split *split, tx_text *piece, tx_error *error);

#endif
