/* The byte-level alphabet: bytes that print as one Latin-1 character stand for
 * themselves, the other 68 follow from U+0100 in their own order. */
#include "text/bytes.h"

#include <stdint.h>
#include <string.h>

enum {
  FIRST_SHIFTED = 0x100,
  LAST_LOW = 0x20,
  DELETE = 0x7F,
  LAST_HIGH = 0xA0,
  SOFT_HYPHEN = 0xAD
};

static bool shifted(uint32_t byte) {
  return byte <= LAST_LOW || (byte >= DELETE && byte <= LAST_HIGH) || byte == SOFT_HYPHEN;
}

static uint32_t symbol_of(uint32_t byte) {
  if (!shifted(byte)) return byte;
  if (byte <= LAST_LOW) return FIRST_SHIFTED + byte;
  uint32_t high = FIRST_SHIFTED + LAST_LOW + 1;
  return byte == SOFT_HYPHEN ? high + (LAST_HIGH - DELETE + 1) : high + (byte - DELETE);
}

/* -1 outside the alphabet. */
static int byte_of(uint32_t symbol) {
  if (symbol < FIRST_SHIFTED) return shifted(symbol) ? -1 : (int)symbol;
  uint32_t index = symbol - FIRST_SHIFTED;
  if (index <= LAST_LOW) return (int)index;
  index -= LAST_LOW + 1;
  if (index <= LAST_HIGH - DELETE) return (int)(DELETE + index);
  return index == LAST_HIGH - DELETE + 1 ? SOFT_HYPHEN : -1;
}

size_t tx_byte_symbol(unsigned char byte, char spelling[2]) {
  uint32_t symbol = symbol_of(byte);
  if (symbol < 0x80) {
    spelling[0] = (char)symbol;
    return 1;
  }
  spelling[0] = (char)(0xC0 | (symbol >> 6));
  spelling[1] = (char)(0x80 | (symbol & 0x3F));
  return 2;
}

size_t tx_bytes_of_spelling(tx_text spelling, char *bytes) {
  size_t size = 0, at = 0;
  while (at < spelling.size) {
    uint32_t symbol = (unsigned char)spelling.data[at++];
    if (symbol >= 0x80) { /* every symbol is below U+0800: two bytes at most */
      unsigned char next = at < spelling.size ? (unsigned char)spelling.data[at++] : 0;
      if ((symbol & 0xE0) != 0xC0 || symbol < 0xC2 || (next & 0xC0) != 0x80) break;
      symbol = (symbol & 0x1F) << 6 | (next & 0x3F);
    }
    int byte = byte_of(symbol);
    if (byte < 0) break;
    bytes[size++] = (char)byte;
    if (at == spelling.size) return size;
  }
  if (spelling.size) memcpy(bytes, spelling.data, spelling.size);
  return spelling.size;
}
