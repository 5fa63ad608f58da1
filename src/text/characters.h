/* What a split rule needs to know of a character: letter, number, space or
 * none of these.  The table is our own and fixed (characters_table.inc): those
 * of PCRE2 and utf8proc follow the version of Unicode that a machine happens to
 * have, and tokens, so answers, would follow too.  The rules themselves are
 * left to split.c. */
#ifndef TX_TEXT_CHARACTERS_H
#define TX_TEXT_CHARACTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum tx_character_kind {
  TX_CHARACTER_OTHER = 0,
  TX_CHARACTER_LETTER, /* \p{L} */
  TX_CHARACTER_NUMBER, /* \p{N} */
  TX_CHARACTER_SPACE,  /* \s */
  /* A number to the Digits rule alone, whose Unicode is the newer one: \p{N}
   * does not know it. */
  TX_CHARACTER_LATE_NUMBER,
} tx_character_kind;

/* For code points from U+0080; ASCII is the caller's. */
tx_character_kind tx_character_find(uint32_t point);

/* As Python's str.isspace() has it, from U+0000: \s, and the separators U+001C to U+001F. */
bool tx_character_is_space(uint32_t point);

/* The length of the valid character at the start of `size` > 0 bytes, 1 to 4;
 * 0 where there is none (a stray or missing continuation, an overlong form, a
 * surrogate, beyond U+10FFFF). */
size_t tx_character_decode(const unsigned char *data, size_t size, uint32_t *point);

#endif
