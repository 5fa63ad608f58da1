/* Edit distance over short names, and names shown in messages. */
#include "formats/nearest.h"

#include <string.h>

enum { LONGEST = 64 };

static char lower(char letter) {
  return letter >= 'A' && letter <= 'Z' ? (char)(letter - 'A' + 'a') : letter;
}

/* Optimal string alignment over at most LONGEST bytes, case ignored; or the
 * least of those between `a` and a beginning of `b`. */
static size_t distance(tx_text a, tx_text b, bool beginning) {
  size_t rows[3][LONGEST + 1];
  size_t *before = rows[0], *last = rows[1], *now = rows[2];
  for (size_t j = 0; j <= b.size; j++) last[j] = j;
  for (size_t i = 1; i <= a.size; i++) {
    now[0] = i;
    for (size_t j = 1; j <= b.size; j++) {
      char x = lower(a.data[i - 1]), y = lower(b.data[j - 1]);
      size_t best = last[j - 1] + (x != y);
      if (last[j] + 1 < best) best = last[j] + 1;
      if (now[j - 1] + 1 < best) best = now[j - 1] + 1;
      if (i > 1 && j > 1 && x == lower(b.data[j - 2]) && y == lower(a.data[i - 2]) &&
          before[j - 2] + 1 < best) {
        best = before[j - 2] + 1;
      }
      now[j] = best;
    }
    size_t *spare = before;
    before = last;
    last = now;
    now = spare;
  }
  size_t least = last[b.size];
  for (size_t j = 0; beginning && j < b.size; j++) least = last[j] < least ? last[j] : least;
  return least;
}

/* With one slip in five letters or more.  A comma or semicolon makes a list of names. */
static bool begins(tx_text whole, tx_text beginning) {
  if (beginning.size < 3 || beginning.size > whole.size || whole.size > LONGEST) return false;
  bool list = memchr(whole.data, ',', whole.size) || memchr(whole.data, ';', whole.size);
  return !list && distance(beginning, whole, true) <= (beginning.size >= 5);
}

/* The first that `word` is the beginning of. */
static int continued(tx_text word, const tx_text *candidates, size_t count) {
  for (size_t i = 0; i < count && i < INT32_MAX; i++) {
    if (begins(candidates[i], word)) return (int)i;
  }
  return -1;
}

int tx_nearest(tx_text word, const tx_text *candidates, size_t count) {
  if (word.size == 0 || word.size > LONGEST) return -1;
  int nearest = -1;
  size_t fewest = word.size < 6 ? 2 : word.size / 3 + 2; /* exclusive: one slip in a short word */
  for (size_t i = 0; i < count && i < INT32_MAX; i++) {
    if (candidates[i].size == 0 || candidates[i].size > LONGEST) continue;
    size_t edits = distance(word, candidates[i], false);
    if (edits < fewest && edits < candidates[i].size) {
      fewest = edits;
      nearest = (int)i;
    }
  }
  return nearest >= 0 ? nearest : continued(word, candidates, count);
}

/* Bytes of the valid UTF-8 character at `at`, 0 where there is none. */
static size_t character_size(const unsigned char *at, size_t left) {
  size_t size = at[0] < 0x80                    ? 1
                : at[0] >= 0xc2 && at[0] < 0xe0 ? 2
                : at[0] >= 0xe0 && at[0] < 0xf0 ? 3
                : at[0] >= 0xf0 && at[0] < 0xf5 ? 4
                                                : 0;
  if (size > left) return 0;
  for (size_t i = 1; i < size; i++) {
    if ((at[i] & 0xc0) != 0x80) return 0;
  }
  if (size == 3 && at[0] == 0xe0 && at[1] < 0xa0) return 0;
  if (size == 3 && at[0] == 0xed && at[1] >= 0xa0) return 0;
  if (size == 4 && at[0] == 0xf0 && at[1] < 0x90) return 0;
  if (size == 4 && at[0] == 0xf4 && at[1] >= 0x90) return 0;
  return size;
}

bool tx_is_utf8(tx_text text) {
  for (size_t at = 0; at < text.size;) {
    size_t size = character_size((const unsigned char *)text.data + at, text.size - at);
    if (size == 0) return false;
    at += size;
  }
  return true;
}

const char *tx_show_name(tx_text name, char shown[TX_SHOWN_SIZE]) {
  size_t used = 0, at = 0;
  while (at < name.size) {
    const unsigned char *from = (const unsigned char *)name.data + at;
    size_t size = character_size(from, name.size - at);
    if (used + (size ? size : 1) > TX_SHOWN_SIZE - 4) {
      memcpy(shown + used, "...", 3);
      used += 3;
      break;
    }
    if (size == 0 || from[0] < 0x20 || from[0] == 0x7f) {
      shown[used++] = '?';
      at++;
    } else {
      memcpy(shown + used, from, size);
      used += size;
      at += size;
    }
  }
  shown[used] = '\0';
  return shown;
}

void tx_show_names(const tx_text *names, size_t count, size_t limit, tx_buffer *list) {
  char shown[TX_SHOWN_SIZE];
  for (size_t i = 0; i < count; i++) {
    tx_show_name(names[i], shown);
    if (i > 0 && list->size + strlen(shown) + 2 > limit) {
      tx_buffer_format(list, " and %zu more", count - i);
      return;
    }
    tx_buffer_format(list, "%s%s", i ? ", " : "", shown);
  }
}
