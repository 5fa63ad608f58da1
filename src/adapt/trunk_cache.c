/* Finding what is missing, computing it, and keeping it. */
#include "adapt/trunk_cache.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "base/watch.h"

typedef struct {
  tx_cache_key key;
  int64_t text;
} keyed;

/* What one call computed, kept for the next ones. */
struct tx_trunk_part {
  tx_trunk_part *next;
  int64_t count;
  keyed *order;   /* (count), by key; `text` is where its floats begin */
  uint64_t bytes; /* of the rows */
  float *rows;    /* one text's after another's */
  int64_t width;
};

typedef struct {
  tx_trunk_cache *cache;
  tx_pass *pass;
  const tx_sequences *sequences;
  tx_trunk_want want;
  tx_states *states;
  const tx_watch *watch;
  tx_cache *disk;    /* NULL: none */
  keyed *order;      /* (count), by key: equal texts beside each other */
  int64_t *missing;  /* (missing_count): texts to compute, one of each key */
  int64_t missing_count;
} recall;

int64_t tx_trunk_want_width(const tx_model *model, tx_trunk_want want) {
  int64_t width = tx_model_facts(model)->width;
  if (want.kind == TX_TRUNK_PROBE) return (want.depth + 1) * TX_PROBE_PARTS * width;
  return want.kind == TX_TRUNK_POOLED ? tx_pool_parts(want.pooling) * width : width;
}

/* What distinguishes the states of a model that is not computed in fp32: "" of fp32,
 * so that what an earlier version kept is found.  Size: of `text`. */
static void name_precision(const tx_model *model, char *text, size_t size) {
  uint8_t kept[TX_MAX_BLOCKS * TX_MATRICES];
  int64_t count = tx_model_facts(model)->blocks * TX_MATRICES;
  text[0] = '\0';
  if (tx_model_dtype(model) == TX_DTYPE_FILE) snprintf(text, size, " file");
  if (tx_model_dtype(model) != TX_DTYPE_INT8) return;
  for (int64_t i = 0; i < count; i++) {
    kept[i] = tx_model_keeps_f32(model, i / TX_MATRICES, (tx_matrix_slot)(i % TX_MATRICES));
  }
  snprintf(text, size, " int8 %016" PRIx64, tx_hash64(kept, (size_t)count, 0));
}

/* A probe to a greater depth begins with the one to a smaller, so its depth is
 * not part of the key: the record's length tells it. */
static tx_cache_key key_of(const recall *r, int64_t text) {
  char name[192], precision[32];
  bool probe = r->want.kind == TX_TRUNK_PROBE;
  name_precision(r->cache->model, precision, sizeof precision);
  char ahead[32] = "";
  if (tx_model_is_two_way(r->cache->model, r->want.depth)) {
    snprintf(ahead, sizeof ahead, " two-way %" PRId64, tx_model_two_way(r->cache->model));
  }
  int size = snprintf(name, sizeof name, "%.64s%s%s %d %" PRId64 " %d", r->cache->model_sha256,
                      precision, ahead, (int)r->want.kind, probe ? 0 : r->want.depth,
                      r->want.kind == TX_TRUNK_POOLED ? (int)r->want.pooling : 0);
  const int32_t *ids = r->sequences->ids + r->sequences->offsets[text];
  size_t bytes =
      (size_t)(r->sequences->offsets[text + 1] - r->sequences->offsets[text]) * sizeof *ids;
  return (tx_cache_key){tx_hash64(ids, bytes, tx_hash64(name, (size_t)size, 1)),
                        tx_hash64(ids, bytes, tx_hash64(name, (size_t)size, 2))};
}

static int compare(const tx_cache_key *a, const tx_cache_key *b) {
  if (a->high != b->high) return a->high < b->high ? -1 : 1;
  return (a->low > b->low) - (a->low < b->low);
}

static int by_key(const void *left, const void *right) {
  const keyed *a = left, *b = right;
  int order = compare(&a->key, &b->key);
  return order ? order : (a->text > b->text) - (a->text < b->text);
}

static int by_text(const void *left, const void *right) {
  int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
  return (a > b) - (a < b);
}

static float *row_of(const recall *r, int64_t text) {
  return r->states->rows + r->states->offsets[text] * r->states->width;
}

static uint64_t bytes_of(const recall *r, int64_t text) {
  int64_t rows = r->states->offsets[text + 1] - r->states->offsets[text];
  return (uint64_t)(rows * r->states->width) * sizeof(float);
}

/* ---- in memory --------------------------------------------------------- */

/* The rows of an earlier call; probes to another depth are of another width. */
static bool remembered(const recall *r, tx_cache_key key, int64_t text) {
  keyed wanted = {key, 0};
  for (const tx_trunk_part *part = r->cache->parts; part; part = part->next) {
    if (part->width != r->states->width) continue;
    int64_t low = 0, high = part->count;
    while (low < high) {
      int64_t middle = low + (high - low) / 2;
      if (compare(&part->order[middle].key, &wanted.key) < 0) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    if (low == part->count || compare(&part->order[low].key, &wanted.key) != 0) continue;
    memcpy(row_of(r, text), part->rows + part->order[low].text, bytes_of(r, text));
    return true;
  }
  return false;
}

static void part_free(tx_trunk_part *part) {
  if (part->rows) tx_pages_free(part->rows, part->bytes);
  tx_free(part->order);
  tx_free(part);
}

/* Without memory for it the next call computes again. */
static void remember(const recall *r) {
  uint64_t bytes = 0, at = 0;
  for (int64_t i = 0; i < r->missing_count; i++) bytes += bytes_of(r, r->missing[i]);
  bool fits = bytes <= r->cache->bound && r->cache->remembered <= r->cache->bound - bytes;
  if (!r->cache->remember || !fits || r->missing_count == 0) return;
  tx_trunk_part *part = tx_alloc_zero(1, sizeof *part);
  if (!part) return;
  *part = (tx_trunk_part){.next = r->cache->parts,
                          .count = r->missing_count,
                          .order = tx_alloc_array((size_t)r->missing_count, sizeof *part->order),
                          .bytes = bytes,
                          .rows = tx_pages_alloc(bytes),
                          .width = r->states->width};
  if (!part->order || !part->rows) {
    part_free(part);
    return;
  }
  for (int64_t i = 0; i < part->count; i++) {
    int64_t text = r->missing[i];
    part->order[i] = (keyed){key_of(r, text), (int64_t)(at / sizeof(float))};
    memcpy(part->rows + at / sizeof(float), row_of(r, text), bytes_of(r, text));
    at += bytes_of(r, text);
  }
  qsort(part->order, (size_t)part->count, sizeof *part->order, by_key);
  r->cache->parts = part;
  r->cache->remembered += bytes;
}

void tx_trunk_forget(tx_trunk_cache *cache) {
  while (cache->parts) {
    tx_trunk_part *part = cache->parts;
    cache->parts = part->next;
    part_free(part);
  }
  cache->remembered = 0;
}

/* ---- finding ----------------------------------------------------------- */

static void open_disk(recall *r) {
  tx_error error = {0};
  if (!r->cache->directory || r->cache->bound == 0) return;
  if (tx_cache_open(r->cache->directory, &r->disk, &error) == TX_OK) return;
  tx_watch_note(r->watch, "the cache of states is not used: %s", error.message);
}

static bool same_as_before(const recall *r, int64_t i) {
  return i > 0 && compare(&r->order[i - 1].key, &r->order[i].key) == 0;
}

static tx_status find_missing(recall *r, tx_error *error) {
  int64_t count = r->sequences->count;
  r->order = tx_alloc_array((size_t)count, sizeof *r->order);
  r->missing = tx_alloc_array((size_t)count, sizeof *r->missing);
  if (!r->order || !r->missing) return tx_fail_memory(error, (uint64_t)count * 32, "the states");
  for (int64_t i = 0; i < count; i++) r->order[i] = (keyed){key_of(r, i), i};
  qsort(r->order, (size_t)count, sizeof *r->order, by_key);
  for (int64_t i = 0; i < count; i++) {
    int64_t text = r->order[i].text;
    TX_TRY(tx_watch_check(r->watch, error));
    if (same_as_before(r, i) || remembered(r, r->order[i].key, text)) continue;
    if (r->disk && tx_cache_read(r->disk, r->order[i].key, bytes_of(r, text), row_of(r, text))) {
      r->cache->recalled++;
    } else {
      r->missing[r->missing_count++] = text;
    }
  }
  /* In the tables' order, as a run without a cache takes them. */
  qsort(r->missing, (size_t)r->missing_count, sizeof *r->missing, by_text);
  return TX_OK;
}

/* ---- computing --------------------------------------------------------- */

static tx_status run_trunk(const recall *r, const tx_sequences *sequences, float *rows,
                           tx_error *error) {
  const tx_model *model = r->cache->model;
  tx_trunk_want want = r->want;
  TX_TRY(tx_model_load(r->cache->model, 0, want.depth, error));
  switch (want.kind) {
    case TX_TRUNK_TOKENS:
      return tx_trunk_run(model, r->pass, sequences, want.depth, TX_BATCH_TOKENS, rows, "trunk",
                          r->watch, error);
    case TX_TRUNK_POOLED:
      return tx_trunk_features(model, r->pass, sequences, want.depth, want.pooling,
                               TX_BATCH_TOKENS, rows, "trunk", r->watch, error);
    default:
      return tx_trunk_probe(model, r->pass, sequences, want.depth, TX_BATCH_TOKENS, rows, "trunk",
                            r->watch, error);
  }
}

/* The missing texts as sequences of their own, in memory of one allocation. */
static tx_status gather(const recall *r, tx_sequences *part, int64_t **memory, tx_error *error) {
  const tx_sequences *all = r->sequences;
  int64_t tokens = 0, count = r->missing_count;
  for (int64_t i = 0; i < count; i++) {
    tokens += all->offsets[r->missing[i] + 1] - all->offsets[r->missing[i]];
  }
  int64_t *offsets = tx_alloc_array((size_t)(count + 1 + tokens), sizeof *offsets);
  if (!offsets) return tx_fail_memory(error, (uint64_t)tokens * 8, "the states");
  int32_t *ids = (int32_t *)(void *)(offsets + count + 1);
  offsets[0] = 0;
  for (int64_t i = 0; i < count; i++) {
    int64_t from = all->offsets[r->missing[i]], size = all->offsets[r->missing[i] + 1] - from;
    memcpy(ids + offsets[i], all->ids + from, (size_t)size * sizeof *ids);
    offsets[i + 1] = offsets[i] + size;
  }
  *part = (tx_sequences){count, ids, offsets};
  *memory = offsets;
  return TX_OK;
}

/* Computed rows stand one after another at the start of the states where nothing
 * was recalled and no text stands twice: then they are in place already. */
static tx_status compute(const recall *r, tx_error *error) {
  if (r->missing_count == 0) return TX_OK;
  if (r->missing_count == r->sequences->count) {
    return run_trunk(r, r->sequences, r->states->rows, error);
  }
  tx_sequences part;
  int64_t *memory = NULL;
  TX_TRY(gather(r, &part, &memory, error));
  uint64_t bytes = 0;
  for (int64_t i = 0; i < r->missing_count; i++) bytes += bytes_of(r, r->missing[i]);
  float *rows = tx_pages_alloc(bytes);
  tx_status status = rows ? run_trunk(r, &part, rows, error)
                          : tx_fail_memory(error, bytes, "the states");
  uint64_t at = 0;
  for (int64_t i = 0; status == TX_OK && i < r->missing_count; i++) {
    memcpy(row_of(r, r->missing[i]), rows + at / sizeof *rows, bytes_of(r, r->missing[i]));
    at += bytes_of(r, r->missing[i]);
  }
  if (rows) tx_pages_free(rows, bytes);
  tx_free(memory);
  return status;
}

static void fill_in_repeats(const recall *r) {
  for (int64_t i = 0; i < r->sequences->count; i++) {
    if (!same_as_before(r, i)) continue;
    memcpy(row_of(r, r->order[i].text), row_of(r, r->order[i - 1].text),
           bytes_of(r, r->order[i].text));
  }
}

/* ---- keeping ----------------------------------------------------------- */

/* Whether the cache on disk took what was computed. */
static bool keep(const recall *r) {
  if (!r->disk || r->missing_count == 0) return false;
  tx_error error = {0};
  uint64_t bytes = 0;
  for (int64_t i = 0; i < r->missing_count; i++) bytes += bytes_of(r, r->missing[i]);
  if (bytes > r->cache->bound) {
    tx_watch_note(r->watch,
                  "the states are not kept for another run: they are %.1f MB, and the cache takes "
                  "%.1f (--cache-mb)",
                  (double)bytes / (1 << 20), (double)r->cache->bound / (1 << 20));
    return false;
  }
  tx_cache_record *records = tx_alloc_array((size_t)r->missing_count, sizeof *records);
  for (int64_t i = 0; records && i < r->missing_count; i++) {
    int64_t text = r->missing[i];
    records[i] = (tx_cache_record){key_of(r, text), row_of(r, text), bytes_of(r, text)};
  }
  tx_status status = records ? tx_cache_add(r->disk, records, r->missing_count, r->cache->bound,
                                            0, &error)
                             : tx_fail_memory(&error, (uint64_t)r->missing_count, "the cache");
  if (status != TX_OK) {
    tx_watch_note(r->watch, "the states are not kept for another run: %s", error.message);
  }
  tx_free(records);
  return status == TX_OK;
}

tx_status tx_trunk_recall(tx_trunk_cache *cache, tx_pass *pass, const tx_sequences *sequences,
                          const int64_t *offsets, tx_trunk_want want, tx_states *states,
                          const tx_watch *watch, tx_error *error) {
  TX_TRY(tx_states_new(sequences->count, offsets, tx_trunk_want_width(cache->model, want),
                       cache->bound, cache->scratch, states, error));
  recall r = {cache, pass, sequences, want, states, watch, NULL, NULL, NULL, 0};
  open_disk(&r);
  tx_status status = find_missing(&r, error);
  if (status == TX_OK) status = compute(&r, error);
  if (status == TX_OK) {
    fill_in_repeats(&r);
    if (!keep(&r)) remember(&r);
    cache->computed += r.missing_count;
  }
  tx_cache_close(r.disk);
  tx_free(r.order), tx_free(r.missing);
  return status;
}
