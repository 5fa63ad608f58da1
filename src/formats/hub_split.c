/* Rows of text and label made into train.tsv, val.tsv and test.tsv.
 *
 * Splits: rows of one group, and rows that share a text (as tx_text_fingerprint
 * sees it), stay together.  Test rows are 18 %, validation rows 12 %, the rest
 * is for training, and each has its share of every label as nearly as whole
 * groups allow: the largest group first (then by the XXH64 of the first one's
 * name), each goes where it brings the counts nearest to their targets in the
 * sense of chi-square.  Rows keep their order. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "formats/file.h"
#include "formats/hub_parts.h"
#include "formats/nearest.h"
#include "formats/table.h"

enum { LABELS = TX_SET_LABELS };

typedef enum { SPLIT_TRAIN, SPLIT_VAL, SPLIT_TEST, SPLIT_COUNT } split;

static const double shares[SPLIT_COUNT] = {0.70, 0.12, 0.18};

typedef struct {
  tx_set *set;
  size_t *parents; /* (count): union-find; a root is the smallest row of its group */
  int *splits;     /* (count) */
} making;

/* ---- texts ---- */

static void append_point(tx_buffer *text, unsigned point) {
  if (point < 0x80) {
    tx_buffer_append_byte(text, (char)point);
  } else if (point < 0x800) {
    tx_buffer_append_byte(text, (char)(0xc0 | point >> 6));
    tx_buffer_append_byte(text, (char)(0x80 | (point & 0x3f)));
  } else {
    tx_buffer_append_byte(text, (char)(0xe0 | point >> 12));
    tx_buffer_append_byte(text, (char)(0x80 | (point >> 6 & 0x3f)));
    tx_buffer_append_byte(text, (char)(0x80 | (point & 0x3f)));
  }
}

bool tx_set_clean(tx_text from, tx_arena *arena, tx_text *text) {
  static const unsigned short upper[32] = {
      /* of windows-1252, 0x80..0x9f; holes stay what they are */
      0x20ac, 0x81,   0x201a, 0x192,  0x201e, 0x2026, 0x2020, 0x2021, 0x2c6,  0x2030, 0x160,
      0x2039, 0x152,  0x8d,   0x17d,  0x8f,   0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
      0x2013, 0x2014, 0x2dc,  0x2122, 0x161,  0x203a, 0x153,  0x9d,   0x17e,  0x178};
  bool utf8 = tx_is_utf8(from);
  tx_buffer made = {0};
  for (size_t i = 0; i < from.size; i++) {
    unsigned char byte = (unsigned char)from.data[i];
    if (byte < 0x20 || byte == 0x7f) byte = ' ';
    if (utf8) {
      tx_buffer_append_byte(&made, (char)byte);
    } else {
      append_point(&made, byte >= 0x80 && byte < 0xa0 ? upper[byte - 0x80] : byte);
    }
  }
  *text = (tx_text){made.failed ? NULL : tx_arena_string(arena, made.data, made.size), made.size};
  tx_buffer_free(&made);
  return text->data != NULL;
}

/* ---- groups ---- */

typedef struct {
  uint64_t key;
  size_t row;
  size_t counts[LABELS]; /* of a group's rows */
} keyed;

static size_t rows_of(const keyed *group) {
  return group->counts[0] + group->counts[1] + group->counts[2];
}

static int by_key(const void *a, const void *b) {
  const keyed *x = a, *y = b;
  if (x->key != y->key) return x->key < y->key ? -1 : 1;
  return (x->row > y->row) - (x->row < y->row);
}

static int by_size(const void *a, const void *b) {
  size_t x = rows_of(a), y = rows_of(b);
  return x != y ? (x > y ? -1 : 1) : by_key(a, b);
}

static size_t find_root(making *work, size_t row) {
  while (work->parents[row] != row) {
    work->parents[row] = work->parents[work->parents[row]];
    row = work->parents[row];
  }
  return row;
}

static void join(making *work, size_t a, size_t b) {
  a = find_root(work, a);
  b = find_root(work, b);
  if (a < b) work->parents[b] = a;
  if (b < a) work->parents[a] = b;
}

/* Rows with one key become one group. */
static void join_equal(making *work, keyed *keys) {
  qsort(keys, work->set->count, sizeof *keys, by_key);
  for (size_t i = 1; i < work->set->count; i++) {
    if (keys[i].key == keys[i - 1].key) join(work, keys[i - 1].row, keys[i].row);
  }
}

/* What adding the group to a part changes of the sum of (count - target)^2 / target. */
static double cost_of(const keyed *group, const double counts[LABELS],
                      const double targets[LABELS]) {
  double cost = 0;
  for (int l = 0; l < LABELS; l++) {
    double more = (double)group->counts[l];
    if (targets[l] > 0) cost += more * (2 * (counts[l] - targets[l]) + more) / targets[l];
  }
  return cost;
}

static void assign(making *work, const keyed *groups, size_t count) {
  double counts[SPLIT_COUNT][LABELS] = {{0}}, targets[SPLIT_COUNT][LABELS] = {{0}};
  for (size_t i = 0; i < work->set->count; i++) {
    for (int s = 0; s < SPLIT_COUNT; s++) targets[s][work->set->rows[i].label] += shares[s];
  }
  for (size_t i = 0; i < count; i++) {
    int best = 0;
    for (int s = 1; s < SPLIT_COUNT; s++) {
      if (cost_of(&groups[i], counts[s], targets[s]) <
          cost_of(&groups[i], counts[best], targets[best])) {
        best = s;
      }
    }
    for (int l = 0; l < LABELS; l++) counts[best][l] += (double)groups[i].counts[l];
    work->splits[groups[i].row] = best;
  }
  for (size_t i = 0; i < work->set->count; i++)
    work->splits[i] = work->splits[find_root(work, i)];
}

static tx_status split_rows(making *work, tx_error *error) {
  keyed *keys = tx_arena_array(work->set->arena, work->set->count, sizeof *keys);
  work->parents = tx_arena_array(work->set->arena, work->set->count, sizeof *work->parents);
  work->splits = tx_arena_array(work->set->arena, work->set->count, sizeof *work->splits);
  if (!keys || !work->parents || !work->splits) {
    return tx_fail_memory(error, work->set->count * sizeof *keys, "the rows of a data set");
  }
  for (size_t i = 0; i < work->set->count; i++) {
    work->parents[i] = i;
    tx_text group = work->set->rows[i].group;
    keys[i] = (keyed){tx_hash64(group.data, group.size, 0), i, {0}};
  }
  join_equal(work, keys);
  for (size_t i = 0; i < work->set->count; i++) {
    keys[i] = (keyed){tx_text_fingerprint(work->set->rows[i].text), i, {0}};
  }
  join_equal(work, keys);
  for (size_t i = 0; i < work->set->count; i++) {
    tx_text group = work->set->rows[i].group;
    keys[i] = (keyed){tx_hash64(group.data, group.size, 0), i, {0}};
  }
  for (size_t i = 0; i < work->set->count; i++) {
    keys[find_root(work, i)].counts[work->set->rows[i].label]++;
  }
  size_t groups = 0;
  for (size_t i = 0; i < work->set->count; i++) {
    if (rows_of(&keys[i])) keys[groups++] = keys[i];
  }
  qsort(keys, groups, sizeof *keys, by_size);
  assign(work, keys, groups);
  return TX_OK;
}

/* ---- files ---- */

static bool make_table(const making *work, split part, tx_buffer *table) {
  tx_buffer_append_string(table, "label\ttext\n");
  for (size_t i = 0; i < work->set->count; i++) {
    const tx_set_row *row = &work->set->rows[i];
    if (work->splits[i] != (int)part) continue;
    tx_buffer_append_string(table, work->set->labels[row->label]);
    tx_buffer_append_byte(table, '\t');
    tx_buffer_append(table, row->text.data, row->text.size);
    tx_buffer_append_byte(table, '\n');
  }
  return !table->failed;
}

/* Somebody's own train.tsv must not be lost. */
static tx_status check_place(const char *path, const tx_buffer *table, bool *there,
                             tx_error *error) {
  *there = tx_file_look(path).exists;
  if (!*there) return TX_OK;
  tx_map map;
  TX_TRY(tx_map_open(path, &map, error));
  bool same = map.size == table->size && memcmp(map.data, table->data, table->size) == 0;
  tx_map_close(&map);
  if (same) return TX_OK;
  return tx_fail(error, TX_ERROR_INPUT,
                 "%s is there already with other contents; remove it or choose another directory",
                 path);
}

static tx_status write_tables(const making *work, const char *directory,
                              tx_buffer tables[SPLIT_COUNT], tx_error *error) {
  static const char *const names[SPLIT_COUNT] = {"train.tsv", "val.tsv", "test.tsv"};
  bool there[SPLIT_COUNT];
  char paths[SPLIT_COUNT][TX_PATH_SIZE];
  for (int i = 0; i < SPLIT_COUNT; i++) {
    if (!make_table(work, (split)i, &tables[i])) {
      return tx_fail_memory(error, tables[i].size, "a data set");
    }
    TX_TRY(tx_path_join(paths[i], directory, names[i], error));
    TX_TRY(check_place(paths[i], &tables[i], &there[i], error));
  }
  for (int i = 0; i < SPLIT_COUNT; i++) {
    if (!there[i]) TX_TRY(tx_file_write(paths[i], tables[i].data, tables[i].size, error));
  }
  return TX_OK;
}

tx_status tx_set_write(tx_set *set, const char *directory, tx_error *error) {
  making work = {.set = set};
  tx_buffer tables[SPLIT_COUNT] = {{0}};
  tx_status status = split_rows(&work, error);
  if (status == TX_OK) status = write_tables(&work, directory, tables, error);
  for (int i = 0; i < SPLIT_COUNT; i++) tx_buffer_free(&tables[i]);
  return status;
}
