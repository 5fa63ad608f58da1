/* Counting terms over many texts, choosing among them, and making rows.  Texts
 * are taken in waves: a wave's terms are found in parallel, then added up in
 * the order of the texts, so that neither memory nor result depends on threads. */
#include "score/tfidf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/exact.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/watch.h"

enum { BLOCK_TEXTS = 32, WAVE_BLOCKS = 64 };

/* ---- waves ------------------------------------------------------------- */

/* What a block of texts gave, one text after another. */
typedef struct found_terms {
  tx_terms scratch;
  tx_term *items;
  size_t count, capacity;
  size_t ends[BLOCK_TEXTS];
  bool failed;
} found_terms;

typedef struct wave {
  const tx_text *texts; /* of this wave */
  int64_t count;
  tx_term_rule rule;
  found_terms *blocks; /* (WAVE_BLOCKS) */
} wave;

static bool keep_terms(found_terms *block) {
  size_t needed = block->count + block->scratch.count;
  if (needed > block->capacity) {
    tx_term *items = tx_resize(block->items, 2 * needed * sizeof *items);
    if (!items) return false;
    block->items = items;
    block->capacity = 2 * needed;
  }
  if (block->scratch.count) {
    memcpy(block->items + block->count, block->scratch.items,
           block->scratch.count * sizeof *block->items);
  }
  block->count = needed;
  return true;
}

static void block_task(void *context, int64_t index, int worker) {
  (void)worker;
  wave *w = context;
  found_terms *block = &w->blocks[index];
  block->count = 0;
  for (int64_t i = 0; i < BLOCK_TEXTS && index * BLOCK_TEXTS + i < w->count; i++) {
    tx_text text = w->texts[index * BLOCK_TEXTS + i];
    if (!tx_terms_find(&block->scratch, text, w->rule) || !keep_terms(block)) {
      block->failed = true;
      return;
    }
    block->ends[i] = block->count;
  }
}

/* Hands each text's terms to `each`, in order. */
typedef bool each_text(void *context, int64_t text, const tx_terms *terms);

static tx_status run_waves(const tx_text *texts, int64_t count, tx_term_rule rule, each_text *each,
                           void *context, const tx_watch *watch, tx_error *error) {
  const int64_t size = (int64_t)BLOCK_TEXTS * WAVE_BLOCKS;
  wave w = {.rule = rule, .blocks = tx_alloc_zero(WAVE_BLOCKS, sizeof(found_terms))};
  if (!w.blocks) return tx_fail_memory(error, WAVE_BLOCKS * sizeof(found_terms), "terms");
  tx_status status = TX_OK;
  for (int64_t first = 0; first < count && status == TX_OK; first += size) {
    status = tx_watch_check(watch, error);
    if (status != TX_OK) break;
    w.texts = texts + first;
    w.count = count - first < size ? count - first : size;
    tx_parallel((w.count + BLOCK_TEXTS - 1) / BLOCK_TEXTS, block_task, &w);
    for (int64_t i = 0; i < w.count && status == TX_OK; i++) {
      const found_terms *block = &w.blocks[i / BLOCK_TEXTS];
      size_t start = i % BLOCK_TEXTS ? block->ends[i % BLOCK_TEXTS - 1] : 0;
      if (block->failed) {
        status = tx_fail_memory(error, block->capacity * sizeof(tx_term), "terms");
        break;
      }
      tx_terms terms = {0}; /* of a block without any, too */
      if (block->items) {
        terms = (tx_terms){.items = block->items + start,
                           .count = block->ends[i % BLOCK_TEXTS] - start};
      }
      if (!each(context, first + i, &terms)) {
        status = tx_fail_memory(error, terms.count * sizeof(tx_term), "terms");
      }
    }
  }
  for (int i = 0; i < WAVE_BLOCKS; i++) {
    tx_terms_free(&w.blocks[i].scratch);
    tx_free(w.blocks[i].items);
  }
  tx_free(w.blocks);
  return status;
}

/* ---- counting ---------------------------------------------------------- */

/* In how many texts each term stands: open addressing, at most half full. */
typedef struct counter {
  tx_term *slots; /* count 0: free */
  size_t used;
  int bits;
} counter;

static tx_term *find_slot(const counter *c, uint64_t hash) {
  size_t mask = ((size_t)1 << c->bits) - 1, at = (size_t)(hash >> (64 - c->bits));
  while (c->slots[at].count && c->slots[at].hash != hash) at = (at + 1) & mask;
  return &c->slots[at];
}

static bool grow_counter(counter *c) {
  counter larger = {NULL, c->used, c->slots ? c->bits + 1 : 12};
  larger.slots = tx_alloc_zero((size_t)1 << larger.bits, sizeof *larger.slots);
  if (!larger.slots) return false;
  for (size_t i = 0; c->slots && i < (size_t)1 << c->bits; i++) {
    if (c->slots[i].count) *find_slot(&larger, c->slots[i].hash) = c->slots[i];
  }
  tx_free(c->slots);
  *c = larger;
  return true;
}

static bool count_text(void *context, int64_t text, const tx_terms *terms) {
  (void)text;
  counter *c = context;
  for (size_t i = 0; i < terms->count; i++) {
    if (!c->slots || 2 * (c->used + 1) > (size_t)1 << c->bits) {
      if (!grow_counter(c)) return false;
    }
    tx_term *slot = find_slot(c, terms->items[i].hash);
    if (slot->count++ == 0) {
      slot->hash = terms->items[i].hash;
      c->used++;
    }
  }
  return true;
}

/* ---- choosing ---------------------------------------------------------- */

static int by_count(const void *left, const void *right) {
  const tx_term *a = left, *b = right;
  if (a->count != b->count) return a->count > b->count ? -1 : 1;
  return a->hash < b->hash ? -1 : a->hash > b->hash;
}

static int by_hash(const void *left, const void *right) {
  const tx_term *a = left, *b = right;
  return a->hash < b->hash ? -1 : a->hash > b->hash;
}

/* The kept terms, to the front of the slots and by rising hash; how many. */
static int64_t choose_terms(counter *c, int64_t min_documents, int64_t max_terms) {
  size_t kept = 0;
  for (size_t i = 0; c->slots && i < (size_t)1 << c->bits; i++) {
    if (c->slots[i].count && c->slots[i].count >= min_documents) c->slots[kept++] = c->slots[i];
  }
  if (kept > (size_t)max_terms) {
    qsort(c->slots, kept, sizeof *c->slots, by_count);
    kept = (size_t)max_terms;
  }
  if (kept) qsort(c->slots, kept, sizeof *c->slots, by_hash);
  return (int64_t)kept;
}

bool tx_term_table_index(tx_term_table *table) {
  table->bits = 1;
  while (table->bits < 20 && (int64_t)1 << table->bits < table->count) {
    table->bits++;
  }
  int64_t buckets = (int64_t)1 << table->bits;
  table->first = tx_alloc_array((size_t)buckets + 1, sizeof *table->first);
  if (!table->first) return false;
  int64_t at = 0;
  for (int64_t b = 0; b < buckets; b++) {
    while (at < table->count && table->terms[at] >> (64 - table->bits) < (uint64_t)b) {
      at++;
    }
    table->first[b] = (int32_t)at;
  }
  table->first[buckets] = (int32_t)table->count;
  return true;
}

tx_status tx_term_table_make(tx_term_table *table, const tx_text *texts, int64_t count,
                             tx_term_rule rule, int64_t min_documents, int64_t max_terms,
                             const tx_watch *watch, tx_error *error) {
  *table = (tx_term_table){.rule = rule};
  counter counted = {0};
  tx_status status = run_waves(texts, count, rule, count_text, &counted, watch, error);
  if (status == TX_OK) {
    int64_t kept = choose_terms(&counted, min_documents, max_terms);
    table->count = kept > 0 ? kept : 1;
    size_t size = (size_t)table->count;
    table->terms = tx_alloc_zero(size, sizeof *table->terms);
    table->idf = tx_alloc_zero(size, sizeof *table->idf);
    bool ready = table->terms && table->idf;
    for (int64_t i = 0; ready && i < kept; i++) {
      double documents = (double)counted.slots[i].count;
      table->terms[i] = counted.slots[i].hash;
      table->idf[i] = (float)(tx_log((1 + (double)count) / (1 + documents)) + 1);
    }
    if (!ready || !tx_term_table_index(table)) {
      status = tx_fail_memory(error, size * 16, "terms");
      tx_term_table_free(table);
    }
  }
  tx_free(counted.slots);
  return status;
}

void tx_term_table_free(tx_term_table *table) {
  tx_free(table->terms);
  tx_free(table->idf);
  tx_free(table->first);
  *table = (tx_term_table){0};
}

/* ---- rows -------------------------------------------------------------- */

/* The index of a term, -1 where it is not kept. */
static int64_t find_term(const tx_term_table *table, uint64_t hash) {
  uint64_t bucket = hash >> (64 - table->bits);
  int64_t low = table->first[bucket], high = table->first[bucket + 1];
  while (low < high) {
    int64_t middle = low + (high - low) / 2;
    if (table->terms[middle] < hash) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low < table->count && table->terms[low] == hash ? low : -1;
}

int64_t tx_term_table_row(const tx_term_table *table, const tx_terms *terms, int32_t *columns,
                          float *values) {
  double squares[2] = {0, 0}; /* of words, of runs */
  int64_t count = 0;
  for (size_t i = 0; i < terms->count; i++) {
    int64_t index = find_term(table, terms->items[i].hash);
    if (index < 0) continue;
    double occurrences = (double)terms->items[i].count;
    double weight = (1 + (occurrences > 1 ? tx_log(occurrences) : 0)) * table->idf[index];
    squares[tx_term_is_run(terms->items[i].hash)] += weight * weight;
    columns[count] = (int32_t)index;
    values[count++] = (float)weight;
  }
  double scale[2];
  for (int k = 0; k < 2; k++) scale[k] = squares[k] > 0 ? 1 / sqrt(squares[k]) : 0;
  for (int64_t i = 0; i < count; i++) {
    bool is_run = tx_term_is_run(table->terms[columns[i]]);
    values[i] = (float)(values[i] * scale[is_run]);
  }
  return count;
}

typedef struct row_builder {
  const tx_term_table *table;
  int64_t *starts, capacity;
  int32_t *columns;
  float *values;
} row_builder;

static bool add_row(void *context, int64_t text, const tx_terms *terms) {
  row_builder *b = context;
  int64_t start = b->starts[text], needed = start + (int64_t)terms->count;
  if (needed > b->capacity) {
    int64_t capacity = 2 * needed;
    int32_t *columns = tx_resize(b->columns, (size_t)capacity * sizeof *columns);
    if (columns) b->columns = columns;
    float *values = tx_resize(b->values, (size_t)capacity * sizeof *values);
    if (values) b->values = values;
    if (!columns || !values) return false;
    b->capacity = capacity;
  }
  b->starts[text + 1] =
      start + (terms->count
                   ? tx_term_table_row(b->table, terms, b->columns + start, b->values + start)
                   : 0);
  return true;
}

tx_status tx_term_table_rows(const tx_term_table *table, const tx_text *texts, int64_t count,
                             tx_features *rows, const tx_watch *watch, tx_error *error) {
  row_builder b = {.table = table,
                   .starts = tx_alloc_zero((size_t)count + 1, sizeof *b.starts),
                   .columns = tx_alloc(1),
                   .values = tx_alloc(1)};
  tx_status status =
      b.starts && b.columns && b.values
          ? run_waves(texts, count, table->rule, add_row, &b, watch, error)
          : tx_fail_memory(error, ((uint64_t)count + 1) * sizeof *b.starts, "sparse rows");
  *rows = (tx_features){count, table->count, NULL, b.starts, b.columns, b.values};
  if (status != TX_OK) tx_term_rows_free(rows);
  return status;
}

void tx_term_rows_free(tx_features *rows) {
  tx_free((void *)rows->starts);
  tx_free((void *)rows->columns);
  tx_free((void *)rows->values);
  *rows = (tx_features){0};
}
