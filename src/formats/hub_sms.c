/* The SMS Spam Collection (Almeida and Hidalgo, 2011): one message a line, its
 * label in front.
 *
 * Its archive has no hash that could be known here, so the file is known by what
 * it holds: 5,574 messages, 4,827 ham and 747 spam.  Wording: as published.
 * Groups: messages that share a text (hub_split.c). */
#include <string.h>

#include "formats/hub_parts.h"

enum { ROWS = 5574, HAM = 4827, SPAM = 747 };

static const char *const labels[] = {"ham", "spam"};

static int label_of(tx_text line, size_t size) {
  for (int i = 0; i < 2; i++) {
    if (size == strlen(labels[i]) && memcmp(line.data, labels[i], size) == 0) return i;
  }
  return -1;
}

static tx_status read_line(tx_set *set, tx_text line, int64_t number, int counts[2],
                           tx_error *error) {
  const char *tab = memchr(line.data, '\t', line.size);
  int label = tab ? label_of(line, (size_t)(tab - line.data)) : -1;
  if (label < 0 || set->count >= ROWS) {
    return tx_fail_line(error, TX_ERROR_INPUT, "SMSSpamCollection", number,
                        label < 0 ? "ham or spam, a tab and a text were expected"
                                  : "there are more messages than are known");
  }
  tx_set_row *row = &set->rows[set->count];
  size_t from = (size_t)(tab - line.data) + 1;
  if (!tx_set_clean((tx_text){line.data + from, line.size - from}, set->arena, &row->text)) {
    return tx_fail_memory(error, line.size, "a text");
  }
  row->label = label;
  row->group = row->text;
  set->count++;
  counts[label]++;
  return TX_OK;
}

static tx_status read_lines(tx_set *set, tx_text lines, tx_error *error) {
  int64_t number = 0;
  int counts[2] = {0};
  for (size_t at = 0; at < lines.size;) {
    const char *from = lines.data + at, *feed = memchr(from, '\n', lines.size - at);
    size_t size = feed ? (size_t)(feed - from) : lines.size - at;
    at += size + 1;
    number++;
    if (size && from[size - 1] == '\r') size--;
    if (size) TX_TRY(read_line(set, (tx_text){from, size}, number, counts, error));
  }
  if (counts[0] == HAM && counts[1] == SPAM) return TX_OK;
  return tx_fail(error, TX_ERROR_INPUT,
                 "SMSSpamCollection is not the known file: it has %d ham and %d spam instead of %d "
                 "and %d; it was not kept",
                 counts[0], counts[1], HAM, SPAM);
}

tx_status tx_sms_write(tx_text lines, const char *directory, tx_error *error) {
  tx_set set = {.labels = labels, .arena = tx_arena_new()};
  if (set.arena) set.rows = tx_arena_array(set.arena, ROWS, sizeof *set.rows);
  tx_status status = set.rows ? read_lines(&set, lines, error)
                              : tx_fail_memory(error, lines.size, "a data set");
  if (status == TX_OK) status = tx_set_write(&set, directory, error);
  tx_arena_free(set.arena);
  return status;
}
