/* Allocation, arenas and page regions over malloc and mmap. */
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ARENA_ALIGNMENT = 64, ARENA_CHUNK = 1 << 18, HUGE_PAGE = 2 << 20 };

void *tx_alloc(size_t size) { return malloc(size ? size : 1); }

void *tx_alloc_zero(size_t count, size_t size) {
  return calloc(count ? count : 1, size ? size : 1);
}

void *tx_alloc_array(size_t count, size_t size) {
  uint64_t bytes;
  return tx_multiply(count, size, &bytes) ? tx_alloc(bytes) : NULL;
}

void *tx_resize(void *block, size_t size) { return realloc(block, size ? size : 1); }

void tx_free(void *block) { free(block); }

char *tx_copy_string(const char *text) { return tx_copy_bytes(text, strlen(text)); }

char *tx_copy_bytes(const char *data, size_t size) {
  if (size == SIZE_MAX) return NULL;
  char *copy = tx_alloc(size + 1);
  if (!copy) return NULL;
  if (size) memcpy(copy, data, size);
  copy[size] = '\0';
  return copy;
}

bool tx_multiply(uint64_t a, uint64_t b, uint64_t *product) {
  return !__builtin_mul_overflow(a, b, product);
}

bool tx_add(uint64_t a, uint64_t b, uint64_t *sum) { return !__builtin_add_overflow(a, b, sum); }

/* Chunks form a list, newest first; `used` counts from the chunk's data. */
typedef struct chunk {
  struct chunk *next;
  unsigned char *data; /* aligned */
  size_t size, used;
} chunk;

struct tx_arena {
  chunk *chunks;
  size_t total, highest; /* in use; the most that was in use at a time */
};

tx_arena *tx_arena_new(void) { return tx_alloc_zero(1, sizeof(tx_arena)); }

static chunk *chunk_new(size_t size) {
  uint64_t bytes;
  if (!tx_add(size, sizeof(chunk) + ARENA_ALIGNMENT, &bytes)) return NULL;
  chunk *made = tx_alloc(bytes);
  if (!made) return NULL;
  uintptr_t start = (uintptr_t)(made + 1);
  size_t shift = (ARENA_ALIGNMENT - start % ARENA_ALIGNMENT) % ARENA_ALIGNMENT;
  *made = (chunk){NULL, (unsigned char *)(made + 1) + shift, size, 0};
  return made;
}

void *tx_arena_alloc(tx_arena *arena, size_t size) {
  uint64_t rounded;
  if (!tx_add(size ? size : 1, ARENA_ALIGNMENT - 1, &rounded)) return NULL;
  rounded &= ~(uint64_t)(ARENA_ALIGNMENT - 1);
  chunk *top = arena->chunks;
  if (!top || top->size - top->used < rounded) {
    top = chunk_new(rounded > ARENA_CHUNK ? rounded : ARENA_CHUNK);
    if (!top) return NULL;
    top->next = arena->chunks;
    arena->chunks = top;
  }
  void *block = top->data + top->used;
  top->used += rounded;
  arena->total += rounded;
  if (arena->total > arena->highest) arena->highest = arena->total;
  return block;
}

void *tx_arena_array(tx_arena *arena, size_t count, size_t size) {
  uint64_t bytes;
  return tx_multiply(count, size, &bytes) ? tx_arena_alloc(arena, bytes) : NULL;
}

char *tx_arena_string(tx_arena *arena, const char *data, size_t size) {
  if (size == SIZE_MAX) return NULL;
  char *copy = tx_arena_alloc(arena, size + 1);
  if (!copy) return NULL;
  if (size) memcpy(copy, data, size);
  copy[size] = '\0';
  return copy;
}

tx_arena_mark tx_arena_here(const tx_arena *arena) {
  const chunk *top = arena->chunks;
  return (tx_arena_mark){top, top ? top->used : 0, arena->total};
}

static void drop_chunks(tx_arena *arena, const void *until) {
  while (arena->chunks && arena->chunks != until) {
    chunk *next = arena->chunks->next;
    tx_free(arena->chunks);
    arena->chunks = next;
  }
}

void tx_arena_release(tx_arena *arena, tx_arena_mark mark) {
  drop_chunks(arena, mark.chunk);
  if (arena->chunks) arena->chunks->used = mark.used;
  arena->total = mark.total;
}

/* Keeps one chunk as large as all that was ever in use at a time, so a steady load
 * settles on a single block. */
void tx_arena_reset(tx_arena *arena) {
  arena->total = 0;
  if (!arena->chunks) return;
  if (!arena->chunks->next && arena->chunks->size >= arena->highest) {
    arena->chunks->used = 0;
    return;
  }
  size_t size = arena->highest;
  drop_chunks(arena, NULL);
  arena->chunks = chunk_new(size > ARENA_CHUNK ? size : ARENA_CHUNK);
  /* NULL is fine: the next alloc asks again */
}

void tx_arena_free(tx_arena *arena) {
  if (!arena) return;
  drop_chunks(arena, NULL);
  tx_free(arena);
}

void *tx_pages_alloc(size_t size) {
  if (size == 0) size = 1;
  void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return NULL;
#ifdef MADV_HUGEPAGE
  if (size >= HUGE_PAGE) (void)madvise(pages, size, MADV_HUGEPAGE);
#endif
  return pages;
}

void tx_pages_free(void *pages, size_t size) {
  if (pages) munmap(pages, size ? size : 1);
}
