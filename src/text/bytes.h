/* The byte-level alphabet of GPT-2: 256 printable characters, one for each byte,
 * in which vocabularies spell their tokens.  Vocabularies are left to
 * tokenizer.c. */
#ifndef TX_TEXT_BYTES_H
#define TX_TEXT_BYTES_H

#include <stdbool.h>
#include <stddef.h>

#include "taxon.h"

/* The UTF-8 spelling of a byte's symbol, 1 or 2 bytes; returns the length. */
size_t tx_byte_symbol(unsigned char byte, char spelling[2]);

/* Maps a spelling back to the bytes it stands for, `bytes` having room for
 * spelling.size of them.  A spelling that leaves the alphabet stands for
 * itself and is copied, as the `tokenizers` library has it. */
size_t tx_bytes_of_spelling(tx_text spelling, char *bytes);

#endif
