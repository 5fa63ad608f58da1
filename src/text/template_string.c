/* Strings made of strings: every byte keeps its mark. */
#include <string.h>

#include "text/characters.h"
#include "text/template_parts.h"

static tx_status reserve(tx_run *run, tx_builder *builder, size_t more) {
  if (more > TX_TEMPLATE_LONGEST - builder->size) {
    return TX_RUN_FAIL(run, "the chat template makes more than %d bytes of these messages; shorten "
                            "them", TX_TEMPLATE_LONGEST);
  }
  size_t needed = builder->size + more, capacity = builder->capacity * 2;
  if (needed <= builder->capacity) return TX_OK;
  if (capacity > TX_TEMPLATE_LONGEST) capacity = TX_TEMPLATE_LONGEST;
  if (capacity < needed) capacity = needed;
  char *grown;
  TX_TRY(tx_run_take(run, capacity, 2, &grown));
  if (builder->size) {
    memcpy(grown, builder->data, builder->size);
    memcpy(grown + capacity, builder->marks, builder->size);
  }
  builder->data = grown;
  builder->marks = (unsigned char *)grown + capacity;
  builder->capacity = capacity;
  return TX_OK;
}

tx_status tx_build(tx_run *run, tx_builder *builder, tx_string piece) {
  TX_TRY(tx_run_spend(run, piece.size));
  TX_TRY(reserve(run, builder, piece.size));
  if (!piece.size) return TX_OK;
  memcpy(builder->data + builder->size, piece.data, piece.size);
  if (piece.marks) {
    memcpy(builder->marks + builder->size, piece.marks, piece.size);
  } else {
    memset(builder->marks + builder->size, 0, piece.size);
  }
  builder->size += piece.size;
  return TX_OK;
}

tx_status tx_build_text(tx_run *run, tx_builder *builder, const char *piece) {
  return tx_build(run, builder, (tx_string){piece, strlen(piece), NULL});
}

tx_value tx_built(const tx_builder *builder) {
  return tx_value_string((tx_string){builder->data, builder->size, builder->marks});
}

tx_string tx_string_cut(tx_string string, size_t from, size_t to) {
  if (!string.size) return string;
  return (tx_string){string.data + from, to - from, string.marks ? string.marks + from : NULL};
}

size_t tx_character_size(tx_string string, size_t at) {
  uint32_t point;
  size_t size =
      tx_character_decode((const unsigned char *)string.data + at, string.size - at, &point);
  return size ? size : 1;
}

bool tx_string_space(tx_string string, size_t at, size_t *size) {
  uint32_t point;
  *size = tx_character_decode((const unsigned char *)string.data + at, string.size - at, &point);
  return *size && tx_character_is_space(point);
}

size_t tx_string_length(tx_string string) {
  size_t length = 0;
  for (size_t at = 0; at < string.size; at += tx_character_size(string, at)) length++;
  return length;
}

const char *tx_string_find(tx_string in, size_t from, tx_string what) {
  if (!in.size) return what.size ? NULL : "";
  if (!what.size) return in.data + from;
  return memmem(in.data + from, in.size - from, what.data, what.size);
}

/* Whether the character at `at` is one to strip; its size. */
static bool to_strip(tx_string string, size_t at, const tx_string *characters, size_t *size) {
  if (!characters) return tx_string_space(string, at, size);
  *size = tx_character_size(string, at);
  for (size_t i = 0; i < characters->size; i += tx_character_size(*characters, i)) {
    if (tx_character_size(*characters, i) == *size &&
        !memcmp(characters->data + i, string.data + at, *size)) {
      return true;
    }
  }
  return false;
}

/* The start of the character that ends before `end`. */
static size_t character_before(tx_string string, size_t end) {
  for (size_t size = 4; size > 1; size--) {
    if (end >= size && tx_character_size(tx_string_cut(string, 0, end), end - size) == size) {
      return end - size;
    }
  }
  return end - 1;
}

tx_string tx_string_strip(tx_string string, const tx_string *characters, int sides) {
  size_t from = 0, to = string.size, size;
  while ((sides & TX_STRIP_LEFT) && from < to && to_strip(string, from, characters, &size)) {
    from += size;
  }
  while ((sides & TX_STRIP_RIGHT) && to > from) {
    size_t start = character_before(string, to);
    if (!to_strip(string, start, characters, &size)) break;
    to = start;
  }
  return tx_string_cut(string, from, to);
}
