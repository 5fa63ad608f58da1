/* Segments: a header, an index sorted by key, the records.  Numbers are of the
 * machine's own byte order, as the states are. */
#include "formats/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/memory.h"
#include "formats/directory.h"
#include "formats/file.h"

static const char magic[16] = "taxon.states.1";
static const char ending[] = ".states";
/* Each segment is an open file for as long as the cache is: a process may have
 * 1,024 of them where nobody has said otherwise. */
enum { ALIGNMENT = 64, MOST_SEGMENTS = 512 };

typedef struct {
  char magic[16];
  uint64_t count, bytes;     /* records; the whole file */
  uint64_t index_hash, spare; /* of the index's bytes */
} header;

typedef struct {
  tx_cache_key key;
  uint64_t offset, bytes, hash; /* in the file; of the record */
} entry;

typedef struct {
  char *name;
  int descriptor;
  uint64_t bytes;
  int64_t modified;
  bool used, damaged;
  entry *entries; /* (count), rising by key */
  uint64_t count;
} segment;

struct tx_cache {
  char *directory;
  segment *segments;
  size_t count;
};

static int compare_keys(const tx_cache_key *a, const tx_cache_key *b) {
  if (a->high != b->high) return a->high < b->high ? -1 : 1;
  return (a->low > b->low) - (a->low < b->low);
}

static int by_key(const void *a, const void *b) {
  return compare_keys(&((const entry *)a)->key, &((const entry *)b)->key);
}

static bool read_at(int descriptor, void *to, uint64_t bytes, uint64_t offset) {
  char *place = to;
  while (bytes > 0) {
    ssize_t got = pread(descriptor, place, bytes < 1 << 30 ? bytes : 1 << 30, (off_t)offset);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    place += got, bytes -= (uint64_t)got, offset += (uint64_t)got;
  }
  return true;
}

/* ---- opening ----------------------------------------------------------- */

static bool index_is_sound(const segment *s) {
  uint64_t start = sizeof(header) + s->count * sizeof(entry);
  for (uint64_t i = 0; i < s->count; i++) {
    const entry *e = &s->entries[i];
    if (e->offset < start || e->offset > s->bytes || e->bytes > s->bytes - e->offset) return false;
    if (i > 0 && compare_keys(&s->entries[i - 1].key, &e->key) >= 0) return false;
  }
  return true;
}

/* False: it is no sound segment.  A lack of memory is an error. */
static tx_status read_index(segment *s, bool *sound, tx_error *error) {
  header head;
  *sound = false;
  if (s->bytes < sizeof head || !read_at(s->descriptor, &head, sizeof head, 0)) return TX_OK;
  if (memcmp(head.magic, magic, sizeof magic) != 0 || head.bytes != s->bytes) return TX_OK;
  if (head.count > (s->bytes - sizeof head) / sizeof(entry)) return TX_OK;
  s->entries = tx_alloc_array((size_t)head.count, sizeof *s->entries);
  if (!s->entries) return tx_fail_memory(error, head.count * sizeof(entry), "the cache's index");
  s->count = head.count;
  uint64_t bytes = head.count * sizeof(entry);
  if (!read_at(s->descriptor, s->entries, bytes, sizeof head)) return TX_OK;
  *sound = tx_hash64(s->entries, bytes, 0) == head.index_hash && index_is_sound(s);
  return TX_OK;
}

static void segment_close(segment *s) {
  if (s->descriptor >= 0) close(s->descriptor);
  tx_free(s->entries);
  tx_free(s->name);
}

static tx_status segment_open(const tx_cache *cache, const char *name, segment *s, bool *sound,
                              tx_error *error) {
  char path[TX_PATH_SIZE];
  struct stat facts;
  *s = (segment){.descriptor = -1};
  *sound = false;
  TX_TRY(tx_path_join(path, cache->directory, name, error));
  s->name = tx_copy_string(path);
  if (!s->name) return tx_fail_memory(error, TX_PATH_SIZE, "the cache's index");
  s->descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (s->descriptor < 0 || fstat(s->descriptor, &facts) != 0 || !S_ISREG(facts.st_mode)) {
    return TX_OK; /* another process has just removed it, or it is not ours */
  }
  s->bytes = (uint64_t)facts.st_size;
  s->modified = (int64_t)facts.st_mtim.tv_sec * 1000000000 + facts.st_mtim.tv_nsec;
  TX_TRY(read_index(s, sound, error));
  if (!*sound) (void)unlink(path);
  return TX_OK;
}

static bool is_segment(const char *name) {
  size_t size = strlen(name), end = sizeof ending - 1;
  return name[0] != '.' && size > end && strcmp(name + size - end, ending) == 0;
}

static tx_status open_segments(tx_cache *cache, tx_arena *arena, tx_error *error) {
  char **names;
  size_t count;
  TX_TRY(tx_directory_names(cache->directory, arena, &names, &count, error));
  cache->segments = tx_alloc_zero(count + 1, sizeof *cache->segments);
  if (!cache->segments) return tx_fail_memory(error, count * sizeof(segment), "the cache's index");
  for (size_t i = 0; i < count && cache->count < MOST_SEGMENTS; i++) {
    segment *s = &cache->segments[cache->count];
    bool sound;
    if (!is_segment(names[i])) continue;
    tx_status status = segment_open(cache, names[i], s, &sound, error);
    if (status == TX_OK && sound) {
      cache->count++;
    } else {
      segment_close(s);
    }
    TX_TRY(status);
  }
  return TX_OK;
}

tx_status tx_cache_open(const char *directory, tx_cache **cache, tx_error *error) {
  *cache = NULL;
  tx_arena *arena = tx_arena_new();
  tx_cache *made = tx_alloc_zero(1, sizeof *made);
  tx_status status = TX_OK;
  if (made) made->directory = tx_copy_string(directory);
  if (!arena || !made || !made->directory) status = tx_fail_memory(error, 256, "the cache");
  if (status == TX_OK) status = open_segments(made, arena, error);
  tx_arena_free(arena);
  if (status != TX_OK) {
    tx_cache_close(made);
    return status;
  }
  *cache = made;
  return TX_OK;
}

void tx_cache_close(tx_cache *cache) {
  if (!cache) return;
  for (size_t i = 0; i < cache->count; i++) segment_close(&cache->segments[i]);
  tx_free(cache->segments);
  tx_free(cache->directory);
  tx_free(cache);
}

/* ---- reading ----------------------------------------------------------- */

/* The hash is over the whole record; of a longer one only the start is wanted,
 * so the rest is read through too. */
static bool record_read(segment *s, const entry *e, uint64_t bytes, void *to) {
  void *whole = e->bytes == bytes ? to : tx_alloc(e->bytes);
  if (!whole) return false; /* a lack of memory is no damage */
  s->damaged = !read_at(s->descriptor, whole, e->bytes, e->offset) ||
               tx_hash64(whole, e->bytes, 0) != e->hash;
  if (whole == to) return !s->damaged;
  if (!s->damaged) memcpy(to, whole, bytes);
  tx_free(whole);
  return !s->damaged;
}

/* Being used is written down at once: another process may be choosing what to remove. */
static void mark_used(segment *s) {
  if (s->used) return;
  s->used = true;
  (void)utimensat(AT_FDCWD, s->name, NULL, AT_SYMLINK_NOFOLLOW);
}

bool tx_cache_read(tx_cache *cache, tx_cache_key key, uint64_t bytes, void *to) {
  entry wanted = {.key = key};
  for (size_t i = 0; i < cache->count; i++) {
    segment *s = &cache->segments[i];
    if (s->damaged) continue;
    const entry *found = bsearch(&wanted, s->entries, s->count, sizeof wanted, by_key);
    if (!found || found->bytes < bytes) continue;
    if (record_read(s, found, bytes, to)) {
      mark_used(s);
      return true;
    }
    if (s->damaged) (void)unlink(s->name);
  }
  return false;
}

/* ---- keeping ----------------------------------------------------------- */

static uint64_t aligned(uint64_t offset) {
  return (offset + ALIGNMENT - 1) & ~(uint64_t)(ALIGNMENT - 1);
}

/* Entries point into the records by the order of `order`, which is by key. */
static void lay_out(const tx_cache_record *records, int64_t count, entry *entries, header *head) {
  for (int64_t i = 0; i < count; i++) {
    entries[i] = (entry){records[i].key, (uint64_t)i, records[i].bytes,
                         tx_hash64(records[i].data, records[i].bytes, 0)};
  }
  qsort(entries, (size_t)count, sizeof *entries, by_key);
  *head = (header){.count = (uint64_t)count};
  memcpy(head->magic, magic, sizeof magic);
  head->bytes = sizeof *head + (uint64_t)count * sizeof *entries;
  for (int64_t i = 0; i < count; i++) head->bytes = aligned(head->bytes) + entries[i].bytes;
}

static tx_status write_segment(const tx_cache_record *records, header *head, entry *entries,
                               const int64_t *order, tx_writer *writer, tx_error *error) {
  static const char zeros[ALIGNMENT];
  uint64_t at = sizeof *head + head->count * sizeof *entries;
  TX_TRY(tx_writer_add(writer, head, sizeof *head, error));
  TX_TRY(tx_writer_add(writer, entries, head->count * sizeof *entries, error));
  for (uint64_t i = 0; i < head->count; i++) {
    TX_TRY(tx_writer_add(writer, zeros, aligned(at) - at, error));
    TX_TRY(tx_writer_add(writer, records[order[i]].data, entries[i].bytes, error));
    at = aligned(at) + entries[i].bytes;
  }
  return TX_OK;
}

/* The name follows from the keys: two processes that computed the same write one file. */
static tx_status keep(const tx_cache *cache, const tx_cache_record *records, header *head,
                      entry *entries, int64_t *order, int64_t used, tx_error *error) {
  char name[64], path[TX_PATH_SIZE];
  uint64_t at = sizeof *head + head->count * sizeof *entries, hash = 0;
  for (uint64_t i = 0; i < head->count; i++) {
    order[i] = (int64_t)entries[i].offset;
    entries[i].offset = aligned(at);
    at = entries[i].offset + entries[i].bytes;
    hash = tx_hash64(&entries[i].key, sizeof entries[i].key, hash);
  }
  head->index_hash = tx_hash64(entries, head->count * sizeof *entries, 0);
  snprintf(name, sizeof name, "%016llx%s", (unsigned long long)hash, ending);
  TX_TRY(tx_directory_make(cache->directory, error));
  TX_TRY(tx_path_join(path, cache->directory, name, error));
  tx_directory_tidy(cache->directory); /* a killed run's segment may never come again */
  tx_writer *writer;
  TX_TRY(tx_writer_open(path, &writer, error));
  tx_status status = write_segment(records, head, entries, order, writer, error);
  if (status != TX_OK) {
    tx_writer_cancel(writer);
    return status;
  }
  TX_TRY(tx_writer_commit(writer, error));
  const struct timespec time = {used / 1000000000, (long)(used % 1000000000)},
                        times[] = {time, time};
  if (used > 0) (void)utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW);
  return TX_OK;
}

typedef struct {
  char path[TX_PATH_SIZE];
  tx_file_facts facts;
} kept;

static int by_age(const void *a, const void *b) {
  int64_t x = ((const kept *)a)->facts.modified, y = ((const kept *)b)->facts.modified;
  return (x > y) - (x < y);
}

/* Looks at the directory afresh: other processes write and remove there too. */
static tx_status remove_oldest(const tx_cache *cache, uint64_t bound, tx_arena *arena,
                               tx_error *error) {
  char **names;
  size_t count, found = 0;
  uint64_t total = 0;
  TX_TRY(tx_directory_names(cache->directory, arena, &names, &count, error));
  kept *list = tx_arena_array(arena, count + 1, sizeof *list);
  if (!list) return tx_fail_memory(error, count * sizeof *list, "the cache's list");
  for (size_t i = 0; i < count; i++) {
    kept *k = &list[found];
    if (!is_segment(names[i])) continue;
    TX_TRY(tx_path_join(k->path, cache->directory, names[i], error));
    struct stat named;
    if (lstat(k->path, &named) != 0 || !S_ISREG(named.st_mode)) continue; /* not ours */
    k->facts = tx_file_look(k->path);
    total += (uint64_t)k->facts.bytes;
    found++;
  }
  qsort(list, found, sizeof *list, by_age);
  for (size_t i = 0; i < found && (total > bound || found - i > MOST_SEGMENTS); i++) {
    tx_file_remove(list[i].path);
    total -= (uint64_t)list[i].facts.bytes;
  }
  return TX_OK;
}

tx_status tx_cache_add(tx_cache *cache, const tx_cache_record *records, int64_t count,
                       uint64_t bound, int64_t used, tx_error *error) {
  if (count == 0) return TX_OK;
  tx_arena *arena = tx_arena_new();
  entry *entries = arena ? tx_arena_array(arena, (size_t)count, sizeof *entries) : NULL;
  int64_t *order = arena ? tx_arena_array(arena, (size_t)count, sizeof *order) : NULL;
  tx_status status = TX_OK;
  if (!entries || !order) {
    status = tx_fail_memory(error, (uint64_t)count * sizeof *entries, "the cache's index");
  } else {
    header head;
    lay_out(records, count, entries, &head);
    if (head.bytes <= bound) {
      status = keep(cache, records, &head, entries, order, used, error);
      if (status == TX_OK) status = remove_oldest(cache, bound, arena, error);
    }
  }
  tx_arena_free(arena);
  return status;
}
