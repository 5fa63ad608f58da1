/* Records gathered in memory until they are written. */
#include "adapt/memo.h"

#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/watch.h"

typedef struct kept {
  struct kept *next;
  tx_cache_key key;
  uint64_t bytes;
  char *data;
} kept;

struct tx_memo {
  char *directory;
  uint64_t bound, bytes; /* of the cache; of what is kept here and not yet written */
  int64_t opened;        /* nanoseconds since 1970 */
  kept *list;
  int64_t count;
};

tx_memo *tx_memo_open(const char *directory, uint64_t bound) {
  tx_memo *memo = tx_alloc_zero(1, sizeof *memo);
  char *copy = memo ? tx_copy_string(directory) : NULL;
  if (!copy) {
    tx_free(memo);
    return NULL;
  }
  *memo = (tx_memo){.directory = copy, .bound = bound, .opened = tx_file_time() - 1};
  return memo;
}

static tx_status write_kept(const tx_memo *memo, tx_error *error) {
  tx_cache *cache = NULL;
  tx_cache_record *records = tx_alloc_array((size_t)memo->count, sizeof *records);
  if (!records) return tx_fail_memory(error, (uint64_t)memo->count * sizeof *records, "the cache");
  int64_t at = 0;
  for (const kept *k = memo->list; k; k = k->next) {
    records[at++] = (tx_cache_record){k->key, k->data, k->bytes};
  }
  tx_status status = tx_cache_open(memo->directory, &cache, error);
  if (status == TX_OK) {
    status = tx_cache_add(cache, records, memo->count, memo->bound, memo->opened, error);
  }
  tx_cache_close(cache);
  tx_free(records);
  return status;
}

void tx_memo_write(tx_memo *memo, const tx_watch *watch) {
  tx_error error = {0};
  if (!memo) return;
  if (memo->count > 0 && write_kept(memo, &error) != TX_OK) {
    tx_watch_note(watch, "the fits are not kept for another run: %s", error.message);
  }
  while (memo->list) {
    kept *next = memo->list->next;
    tx_free(memo->list->data);
    tx_free(memo->list);
    memo->list = next;
  }
  memo->count = 0, memo->bytes = 0;
}

void tx_memo_close(tx_memo *memo, const tx_watch *watch) {
  if (!memo) return;
  tx_memo_write(memo, watch);
  tx_free(memo->directory);
  tx_free(memo);
}

/* ---- keys -------------------------------------------------------------- */

void tx_memo_add(tx_cache_key *key, const void *data, uint64_t bytes) {
  key->high = tx_hash64(&bytes, sizeof bytes, key->high);
  key->low = tx_hash64(&bytes, sizeof bytes, key->low);
  if (bytes == 0) return;
  key->high = tx_hash64(data, bytes, key->high);
  key->low = tx_hash64(data, bytes, key->low);
}

/* The seeds differ from those of states (trunk_cache.c). */
tx_cache_key tx_memo_key(const char *name) {
  tx_cache_key key = {3, 4};
  tx_memo_add(&key, name, strlen(name));
  return key;
}

/* ---- results ----------------------------------------------------------- */

static uint64_t size_of(const tx_memo_part *parts, int count) {
  uint64_t bytes = 0;
  for (int i = 0; i < count; i++) bytes += parts[i].bytes;
  return bytes;
}

/* Of a result of that size and no other. */
static tx_cache_key sized(tx_cache_key key, uint64_t bytes) {
  tx_memo_add(&key, &bytes, sizeof bytes);
  return key;
}

bool tx_memo_recall(tx_memo *memo, tx_cache_key key, const tx_memo_part *parts, int count) {
  if (!memo) return false;
  uint64_t bytes = size_of(parts, count);
  tx_cache *cache = NULL;
  char *whole = tx_alloc(bytes);
  bool found = whole && tx_cache_open(memo->directory, &cache, NULL) == TX_OK &&
               tx_cache_read(cache, sized(key, bytes), bytes, whole);
  tx_cache_close(cache);
  const char *at = whole;
  for (int i = 0; found && i < count; i++) {
    memcpy(parts[i].data, at, parts[i].bytes);
    at += parts[i].bytes;
  }
  tx_free(whole);
  return found;
}

static bool is_kept(const tx_memo *memo, tx_cache_key key) {
  for (const kept *k = memo->list; k; k = k->next) {
    if (k->key.high == key.high && k->key.low == key.low) return true;
  }
  return false;
}

void tx_memo_keep(tx_memo *memo, tx_cache_key key, const tx_memo_part *parts, int count) {
  uint64_t bytes = size_of(parts, count);
  if (!memo || bytes > memo->bound || memo->bytes > memo->bound - bytes) return;
  key = sized(key, bytes);
  if (is_kept(memo, key)) return; /* the cache takes each key once */
  kept *one = tx_alloc_zero(1, sizeof *one);
  char *at = one ? tx_alloc(bytes) : NULL;
  if (!at) { /* it will be computed again */
    tx_free(one);
    return;
  }
  *one = (kept){memo->list, key, bytes, at};
  for (int i = 0; i < count; i++) {
    memcpy(at, parts[i].data, parts[i].bytes);
    at += parts[i].bytes;
  }
  memo->list = one;
  memo->count++, memo->bytes += bytes;
}
