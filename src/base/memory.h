/* Every byte the library holds comes from here: plain blocks, arenas with a
 * named lifetime, and page-aligned regions for weights and large caches.
 * Sizes are overflow-checked before they reach the system; failures are NULL,
 * which the caller turns into tx_fail_memory(). */
#ifndef TX_BASE_MEMORY_H
#define TX_BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *tx_alloc(size_t size);                     /* NULL on failure; size 0 gives a valid block */
void *tx_alloc_zero(size_t count, size_t size);  /* zeroed, overflow-checked */
void *tx_alloc_array(size_t count, size_t size); /* overflow-checked */
void *tx_resize(void *block, size_t size);       /* on failure NULL, `block` is kept */
void tx_free(void *block);                       /* NULL is allowed */
char *tx_copy_string(const char *text);          /* new; NULL on failure */
char *tx_copy_bytes(const char *data, size_t size); /* new, with a final NUL */

/* false when the product does not fit. */
bool tx_multiply(uint64_t a, uint64_t b, uint64_t *product);
bool tx_add(uint64_t a, uint64_t b, uint64_t *sum);

/* An arena: many allocations, one free.  Blocks are aligned to 64 bytes. */
typedef struct tx_arena tx_arena;
tx_arena *tx_arena_new(void);                       /* NULL on failure */
void *tx_arena_alloc(tx_arena *arena, size_t size); /* uninitialised; NULL on failure */
void *tx_arena_array(tx_arena *arena, size_t count, size_t size);      /* overflow-checked */
char *tx_arena_string(tx_arena *arena, const char *data, size_t size); /* copy, final NUL */
/* What was allocated since a mark was taken is given back by tx_arena_release; marks nest. */
typedef struct tx_arena_mark {
  const void *chunk;
  size_t used, total;
} tx_arena_mark;
tx_arena_mark tx_arena_here(const tx_arena *arena);
void tx_arena_release(tx_arena *arena, tx_arena_mark mark);
void tx_arena_reset(tx_arena *arena); /* keeps the memory for the next round (a step, a request) */
void tx_arena_free(tx_arena *arena);  /* NULL is allowed */

/* Zeroed, page-aligned memory for weights and caches, in huge pages where the
 * system has them.  Freed with the size it was asked for with. */
void *tx_pages_alloc(size_t size);
void tx_pages_free(void *pages, size_t size);

#endif
