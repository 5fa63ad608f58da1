/* A labelled table in memory: labels turned into numbers, texts kept with
 * their fingerprints, and one hash over all of it. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#define XXH_STATIC_LINKING_ONLY /* the hash's state on the stack */
#include <xxhash.h>

#include "base/buffer.h"
#include "base/hash.h"
#include "base/watch.h"
#include "formats/nearest.h"
#include "formats/table.h"

enum { LABEL_BYTES = 1000 };

/* ---- fingerprints ---- */

static bool is_space(char letter) { return letter == ' ' || (letter >= '\t' && letter <= '\r'); }

uint64_t tx_text_fingerprint(tx_text text) {
  XXH64_state_t state;
  XXH64_reset(&state, 0);
  char block[1024];
  size_t used = 0, from = 0, end = text.size;
  while (from < end && is_space(text.data[from])) from++;
  while (end > from && is_space(text.data[end - 1])) end--;
  for (size_t i = from; i < end; i++) {
    char letter = text.data[i];
    if (is_space(letter)) {
      if (is_space(text.data[i - 1])) continue;
      letter = ' ';
    } else if (letter >= 'A' && letter <= 'Z') {
      letter = (char)(letter - 'A' + 'a');
    }
    block[used++] = letter;
    if (used == sizeof block) {
      XXH64_update(&state, block, used);
      used = 0;
    }
  }
  XXH64_update(&state, block, used);
  return XXH64_digest(&state);
}

/* ---- names of labels, found by hash ---- */

typedef struct {
  tx_text *names; /* (count), in the order of their first row; in the arena */
  size_t count, capacity;
  int32_t *slots; /* (slot_count): open addressing, -1 free; slot_count is a power of two */
  size_t slot_count;
} label_set;

static size_t find_slot(const label_set *set, tx_text name) {
  size_t slot = (size_t)tx_hash64(name.data, name.size, 0) & (set->slot_count - 1);
  for (;; slot = (slot + 1) & (set->slot_count - 1)) {
    int32_t index = set->slots[slot];
    if (index < 0) return slot;
    const tx_text *there = &set->names[index];
    if (there->size == name.size && memcmp(there->data, name.data, name.size) == 0) return slot;
  }
}

static bool grow_set(label_set *set) {
  size_t capacity = set->capacity ? set->capacity * 2 : 64;
  tx_text *names = tx_resize(set->names, capacity * sizeof *names);
  if (!names) return false;
  set->names = names;
  int32_t *slots = tx_resize(set->slots, capacity * 2 * sizeof *slots);
  if (!slots) return false;
  set->slots = slots;
  set->slot_count = capacity * 2;
  set->capacity = capacity;
  memset(slots, 0xff, set->slot_count * sizeof *slots); /* all -1 */
  for (size_t i = 0; i < set->count; i++) slots[find_slot(set, names[i])] = (int32_t)i;
  return true;
}

/* Index of the name, -1 when it is new and not added, or memory ran out. */
static int32_t set_find(const label_set *set, tx_text name) {
  return set->slot_count ? set->slots[find_slot(set, name)] : -1;
}

static int32_t set_add(label_set *set, tx_text name, tx_arena *arena) {
  if (set->count == set->capacity && !grow_set(set)) return -1;
  char *copy = tx_arena_string(arena, name.data, name.size);
  if (!copy) return -1;
  size_t slot = find_slot(set, name);
  set->names[set->count] = (tx_text){copy, name.size};
  set->slots[slot] = (int32_t)set->count;
  return (int32_t)set->count++;
}

/* ---- reading ---- */

typedef struct {
  tx_dataset *data;
  const char *file;
  bool known; /* the labels are given */
  label_set labels;
  char separator; /* of labels; 0: a row has one */
  tx_sha256 *hash;
  tx_buffer texts, numbers, lines, hashes; /* the columns as they grow */
  tx_buffer ends; /* of several labels a row: where each row's end in `numbers` (int64_t) */
} reading;

static tx_status fail_unknown(const reading *work, tx_text label, int64_t line, tx_error *error) {
  char shown[TX_SHOWN_SIZE], near[TX_SHOWN_SIZE];
  const tx_text *names = work->labels.names;
  size_t count = work->labels.count;
  int nearest = tx_nearest(label, names, count);
  tx_buffer list = {0};
  tx_show_names(names, count, 360, &list);
  tx_status status = tx_fail_line(
      error, TX_ERROR_INPUT, work->file, line,
      "the label '%s' is not known; the labels are: %s%s%s%s", tx_show_name(label, shown),
      list.data ? list.data : "", nearest >= 0 ? "; did you mean '" : "",
      nearest >= 0 ? tx_show_name(names[nearest], near) : "",
      nearest >= 0 ? "'?" : "; rename it, or leave its rows out");
  tx_buffer_free(&list);
  return status;
}

/* A new label has to be one that can be shown, stored and typed. */
static tx_status check_label(const reading *work, tx_text label, int64_t line, tx_error *error) {
  if (label.size > LABEL_BYTES) {
    return tx_fail_line(error, TX_ERROR_INPUT, work->file, line,
                        "the label is %zu bytes long, more than %d; is it the right column?",
                        label.size, LABEL_BYTES);
  }
  if (memchr(label.data, '\0', label.size) || !tx_is_utf8(label)) {
    char shown[TX_SHOWN_SIZE];
    return tx_fail_line(error, TX_ERROR_INPUT, work->file, line,
                        "the label '%s' is not UTF-8 text; save the file as UTF-8",
                        tx_show_name(label, shown));
  }
  if (work->labels.count == TX_MAX_LABELS) {
    return tx_fail_line(error, TX_ERROR_INPUT, work->file, line,
                        "there are more than %d different labels; is it the right column?",
                        TX_MAX_LABELS);
  }
  return TX_OK;
}

static tx_status take_label(reading *work, tx_text label, int64_t line, tx_error *error) {
  int32_t number = set_find(&work->labels, label);
  if (number < 0) {
    if (work->known) return fail_unknown(work, label, line, error);
    TX_TRY(check_label(work, label, line, error));
    number = set_add(&work->labels, label, work->data->arena);
  }
  bool taken = number >= 0 && tx_buffer_append(&work->numbers, &number, sizeof number);
  return taken ? TX_OK : tx_fail_memory(error, label.size, "the labels");
}

static tx_text trimmed(const char *from, const char *end) {
  while (from < end && is_space(*from)) from++;
  while (end > from && is_space(end[-1])) end--;
  return (tx_text){from, (size_t)(end - from)};
}

/* Any number of labels; a separator promises one on each side. */
static tx_status take_labels(reading *work, const tx_row *row, tx_error *error) {
  const char *from = row->label.data, *end = from + row->label.size;
  bool any = trimmed(from, end).size > 0;
  while (any) {
    const char *stop = memchr(from, work->separator, (size_t)(end - from));
    tx_text label = trimmed(from, stop ? stop : end);
    if (label.size == 0) {
      return tx_fail_line(error, TX_ERROR_INPUT, work->file, row->line,
                          "a label before or after '%c' is empty; remove the '%c'",
                          work->separator, work->separator);
    }
    TX_TRY(take_label(work, label, row->line, error));
    if (!stop) break;
    from = stop + 1;
  }
  int64_t ends = (int64_t)(work->numbers.size / sizeof(int32_t));
  if (tx_buffer_append(&work->ends, &ends, sizeof ends)) return TX_OK;
  return tx_fail_memory(error, sizeof ends, "the labels");
}

static tx_status number_labels(reading *work, const tx_row *row, tx_error *error) {
  if (work->separator) return take_labels(work, row, error);
  if (row->label.size > 0) return take_label(work, row->label, row->line, error);
  return tx_fail_line(error, TX_ERROR_INPUT, work->file, row->line,
                      "the label is empty; fill it in or remove the row");
}

static bool hash_sized(tx_sha256 *hash, tx_text text) {
  unsigned char size[8];
  for (int i = 0; i < 8; i++) size[i] = (unsigned char)((uint64_t)text.size >> (8 * i));
  return tx_sha256_add(hash, size, sizeof size) && tx_sha256_add(hash, text.data, text.size);
}

static tx_status take_row(reading *work, const tx_row *row, tx_error *error) {
  TX_TRY(number_labels(work, row, error));
  char *copy = tx_arena_string(work->data->arena, row->text.data, row->text.size);
  tx_text text = {copy, row->text.size};
  uint64_t print = tx_text_fingerprint(row->text);
  if (!copy || !tx_buffer_append(&work->texts, &text, sizeof text) ||
      !tx_buffer_append(&work->lines, &row->line, sizeof row->line) ||
      !tx_buffer_append(&work->hashes, &print, sizeof print) ||
      !hash_sized(work->hash, row->label) || !hash_sized(work->hash, row->text)) {
    return tx_fail_memory(error, row->text.size, "the rows of a table");
  }
  work->data->rows++;
  if (row->odd && work->data->odd_rows++ == 0) work->data->odd_line = row->line;
  return TX_OK;
}

static tx_status read_rows(reading *work, tx_table *table, tx_error *error) {
  for (;;) {
    tx_row row;
    bool found;
    TX_TRY(tx_table_next(table, &row, &found, error));
    if (!found) return TX_OK;
    TX_TRY(take_row(work, &row, error));
  }
}

/* ---- the result ---- */

static int by_bytes(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The rarest of each row's labels; the first of equals. */
static bool find_rarest(tx_dataset *data) {
  int64_t classes = data->classes, *counts = tx_alloc_zero((size_t)classes + 1, sizeof *counts);
  if (!counts) return false;
  for (int64_t i = 0; i < data->rows * classes; i++) counts[i % classes] += data->marks[i];
  for (int64_t i = 0; i < data->rows; i++) {
    const uint8_t *marks = data->marks + i * classes;
    int32_t rarest = (int32_t)classes;
    for (int32_t c = 0; c < classes; c++) {
      if (marks[c] && (rarest == classes || counts[c] < counts[rarest])) rarest = c;
    }
    data->labels[i] = rarest;
  }
  tx_free(counts);
  return true;
}

/* Several labels a row: `numbers` are those of all rows, one row after another. */
static bool mark_labels(reading *work, const int32_t *renumbered) {
  tx_dataset *data = work->data;
  const int32_t *numbers = (const int32_t *)(const void *)work->numbers.data;
  size_t rows = (size_t)data->rows, classes = (size_t)data->classes;
  uint64_t size;
  data->labels = tx_arena_array(data->arena, rows, sizeof *data->labels);
  if (!data->labels || !tx_multiply(rows, classes, &size)) return false;
  data->marks = tx_arena_array(data->arena, (size_t)size + 1, 1); /* NULL would say: one a row */
  if (!data->marks) return false;
  memset(data->marks, 0, (size_t)size);
  int64_t at = 0, end;
  for (size_t i = 0; i < rows; i++) {
    memcpy(&end, work->ends.data + i * sizeof end, sizeof end);
    while (at < end) data->marks[i * classes + (size_t)renumbered[numbers[at++]]] = 1;
  }
  return find_rarest(data);
}

/* Sorts the names and renumbers the rows. */
static bool sort_labels(reading *work) {
  tx_dataset *data = work->data;
  size_t count = work->labels.count;
  data->names = tx_arena_array(data->arena, count, sizeof *data->names);
  int32_t *renumbered = tx_alloc_array(count, sizeof *renumbered);
  if (!data->names || !renumbered) {
    tx_free(renumbered);
    return false;
  }
  for (size_t i = 0; i < count; i++) data->names[i] = (char *)(uintptr_t)work->labels.names[i].data;
  qsort(data->names, count, sizeof *data->names, by_bytes);
  for (size_t i = 0; i < count; i++) {
    renumbered[set_find(&work->labels, tx_text_of(data->names[i]))] = (int32_t)i;
  }
  data->classes = (int)count;
  bool fine = true;
  if (work->separator) {
    fine = mark_labels(work, renumbered);
  } else {
    for (int64_t i = 0; i < data->rows; i++) data->labels[i] = renumbered[data->labels[i]];
  }
  tx_free(renumbered);
  return fine;
}

static void *keep(tx_arena *arena, tx_buffer *column) {
  void *kept = tx_arena_alloc(arena, column->size);
  if (kept && column->size) memcpy(kept, column->data, column->size);
  tx_buffer_free(column);
  return kept;
}

static tx_status finish(reading *work, tx_error *error) {
  tx_dataset *data = work->data;
  data->texts = keep(data->arena, &work->texts);
  if (!work->separator) data->labels = keep(data->arena, &work->numbers);
  data->lines = keep(data->arena, &work->lines);
  data->hashes = keep(data->arena, &work->hashes);
  bool labels = work->separator || data->labels;
  if (!data->texts || !labels || !data->lines || !data->hashes || !sort_labels(work) ||
      !tx_sha256_finish(work->hash, data->sha256)) {
    return tx_fail_memory(error, (uint64_t)data->rows * 32, "the rows of a table");
  }
  return TX_OK;
}

static tx_status begin(reading *work, const tx_dataset *known, tx_error *error) {
  work->hash = tx_sha256_new();
  work->data = tx_alloc_zero(1, sizeof *work->data);
  if (work->data) work->data->arena = tx_arena_new();
  bool made = work->hash && work->data && work->data->arena;
  for (int i = 0; made && known && i < known->classes; i++) {
    made = set_add(&work->labels, tx_text_of(known->names[i]), work->data->arena) >= 0;
  }
  return made ? TX_OK : tx_fail_memory(error, sizeof *work->data, "a table");
}

static tx_status read_dataset(reading *work, const tx_table_options *options,
                              const tx_dataset *known, tx_error *error) {
  TX_TRY(begin(work, known, error));
  tx_table *table;
  TX_TRY(tx_table_open(work->file, *options, &table, error));
  if (strcmp(work->file, "-") == 0) work->file = "standard input";
  tx_status status = read_rows(work, table, error);
  tx_table_close(table);
  return status == TX_OK ? finish(work, error) : status;
}

tx_status tx_dataset_read(const char *path, tx_table_options options, const tx_dataset *known,
                          tx_dataset **dataset, tx_error *error) {
  *dataset = NULL;
  if (!path) return tx_fail(error, TX_ERROR_ARGUMENT, "no table is named");
  if (!options.label) {
    return tx_fail(error, TX_ERROR_ARGUMENT, "no label column is named for %s", path);
  }
  reading work = {.file = path,
                  .known = known != NULL,
                  .separator = options.label_separator ? options.label_separator[0] : '\0'};
  tx_status status = read_dataset(&work, &options, known, error);
  tx_buffer_free(&work.texts);
  tx_buffer_free(&work.numbers);
  tx_buffer_free(&work.ends);
  tx_buffer_free(&work.lines);
  tx_buffer_free(&work.hashes);
  tx_free(work.labels.names);
  tx_free(work.labels.slots);
  tx_sha256_free(work.hash);
  if (status != TX_OK) {
    tx_dataset_free(work.data);
    return status;
  }
  *dataset = work.data;
  return TX_OK;
}

void tx_dataset_note(const tx_dataset *dataset, const char *path, const tx_watch *watch) {
  if (dataset->odd_rows == 0) return;
  bool one = dataset->odd_rows == 1;
  tx_watch_note(watch,
                "%s: %" PRId64 " row%s NUL or bytes that are not UTF-8, %s line %" PRId64
                "; taken as %s, but is the file saved as UTF-8?",
                strcmp(path, "-") == 0 ? "standard input" : path, dataset->odd_rows,
                one ? " holds" : "s hold", one ? "in" : "the first in", dataset->odd_line,
                one ? "it is" : "they are");
}

void tx_dataset_free(tx_dataset *dataset) {
  if (!dataset) return;
  tx_arena_free(dataset->arena);
  tx_free(dataset);
}
