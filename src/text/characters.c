/* The fixed table of character kinds, searched by halves. */
#include "text/characters.h"

#include <utf8proc.h>

enum {
  LETTER = TX_CHARACTER_LETTER,
  NUMBER = TX_CHARACTER_NUMBER,
  SPACE = TX_CHARACTER_SPACE,
  LATE = TX_CHARACTER_LATE_NUMBER,
};

typedef struct range {
  uint32_t first, last;
  int kind;
} range;

static const range ranges[] = {
#include "text/characters_table.inc"
};

tx_character_kind tx_character_find(uint32_t point) {
  size_t low = 0, high = sizeof ranges / sizeof *ranges;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (point > ranges[middle].last) {
      low = middle + 1;
    } else if (point < ranges[middle].first) {
      high = middle;
    } else {
      return (tx_character_kind)ranges[middle].kind;
    }
  }
  return TX_CHARACTER_OTHER;
}

bool tx_character_is_space(uint32_t point) {
  if (point >= 0x80) return tx_character_find(point) == TX_CHARACTER_SPACE;
  return (point >= 0x09 && point <= 0x0d) || (point >= 0x1c && point <= 0x20);
}

size_t tx_character_decode(const unsigned char *data, size_t size, uint32_t *point) {
  utf8proc_int32_t found;
  utf8proc_ssize_t length = utf8proc_iterate(data, size < 4 ? (utf8proc_ssize_t)size : 4, &found);
  if (length <= 0) return 0;
  *point = (uint32_t)found;
  return (size_t)length;
}
