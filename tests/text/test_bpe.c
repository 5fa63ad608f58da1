/* Byte-pair merging against the definition: look for the lowest rank, merge its
 * leftmost pair, start again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "text/bpe.h"

enum { SYMBOLS = 5, MERGES = 60, LONGEST = 700 };

typedef struct merge {
  int32_t left, right, joined;
} merge;

static size_t plain_merge(const merge *merges, size_t merge_count, int32_t *ids, size_t count) {
  for (;;) {
    size_t best_rank = merge_count, best = 0;
    for (size_t i = 0; i + 1 < count; i++) {
      for (size_t rank = 0; rank < best_rank; rank++) {
        if (merges[rank].left != ids[i] || merges[rank].right != ids[i + 1]) continue;
        best_rank = rank;
        best = i;
      }
    }
    if (best_rank == merge_count) return count;
    ids[best] = merges[best_rank].joined;
    memmove(ids + best + 1, ids + best + 2, (count - best - 2) * sizeof *ids);
    count--;
  }
}

/* Random pairs of what there is by then; small numbers of symbols make overlaps
 * and chains of merges frequent. */
static tx_bpe *random_merges(tx_random *random, merge *merges, size_t *count) {
  tx_bpe *bpe = tx_bpe_new(MERGES);
  assert_non_null(bpe);
  *count = 0;
  for (int32_t next = SYMBOLS; next < SYMBOLS + MERGES; next++) {
    merge made = {(int32_t)tx_random_below(random, (uint64_t)next),
                  (int32_t)tx_random_below(random, (uint64_t)next), next};
    if (tx_random_below(random, 2)) made.left %= SYMBOLS;
    if (tx_random_below(random, 2)) made.right %= SYMBOLS;
    size_t rank = tx_bpe_add(bpe, made.left, made.right, made.joined);
    if (rank == *count) {
      merges[(*count)++] = made;
    } else {
      assert_int_equal(merges[rank].left, made.left);
      assert_int_equal(merges[rank].right, made.right);
    }
  }
  return bpe;
}

static void test_equals_the_definition(void **state) {
  (void)state;
  tx_random random = tx_random_seed(3);
  tx_bpe_scratch scratch = {0};
  size_t merged_away = 0;
  for (int round = 0; round < 150; round++) {
    merge merges[MERGES];
    size_t merge_count;
    tx_bpe *bpe = random_merges(&random, merges, &merge_count);
    for (size_t size = 0; size <= LONGEST; size += size < 90 ? 1 : 300) {
      int32_t ids[LONGEST], expected[LONGEST];
      uint64_t symbols = 1 + tx_random_below(&random, SYMBOLS);
      for (size_t i = 0; i < size; i++) ids[i] = (int32_t)tx_random_below(&random, symbols);
      memcpy(expected, ids, sizeof ids);
      size_t count = size, expected_count = plain_merge(merges, merge_count, expected, size);
      assert_true(tx_bpe_merge(bpe, ids, &count, &scratch));
      assert_int_equal(count, expected_count);
      assert_memory_equal(ids, expected, count * sizeof *ids);
      merged_away += size - count;
    }
    tx_bpe_free(bpe);
  }
  assert_true(merged_away > 10000);
  tx_bpe_scratch_free(&scratch);
}

static void test_without_merges(void **state) {
  (void)state;
  tx_bpe *bpe = tx_bpe_new(0);
  int32_t ids[100] = {1, 2, 3};
  size_t count = 100;
  tx_bpe_scratch scratch = {0};
  assert_true(tx_bpe_merge(bpe, ids, &count, &scratch));
  assert_int_equal(count, 100);
  tx_bpe_scratch_free(&scratch);
  tx_bpe_free(bpe);
}

/* Pairs whose place in the table is the same, found by the table's own hash (a
 * file made to do harm would be made like that): it gives up, and merges none of
 * those that it could not take. */
static void test_gives_up_on_pairs_made_to_collide(void **state) {
  (void)state;
  enum { COUNT = 1100, SHIFT = 64 - 12, FULL = 1024 }; /* 2 * COUNT fit into 12 bits */
  tx_bpe *bpe = tx_bpe_new(COUNT);
  assert_non_null(bpe);
  int32_t right = 0;
  for (size_t added = 0; added <= FULL; right++) {
    uint64_t key = (uint64_t)7 << 32 | (uint32_t)right;
    uint64_t hash = (key ^ key >> 32) * UINT64_C(0xD6E8FEB86659FD93);
    hash = (hash ^ hash >> 32) * UINT64_C(0x9E3779B97F4A7C15);
    if (hash >> SHIFT) continue;
    assert_true(tx_bpe_add(bpe, 7, right, 1) == (added < FULL ? added : SIZE_MAX));
    added++;
  }
  tx_bpe_scratch scratch = {0};
  int32_t ids[] = {7, right - 1};
  size_t count = 2;
  assert_true(tx_bpe_merge(bpe, ids, &count, &scratch));
  assert_int_equal(count, 2);
  tx_bpe_scratch_free(&scratch);
  tx_bpe_free(bpe);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_equals_the_definition),
      cmocka_unit_test(test_without_merges),
      cmocka_unit_test(test_gives_up_on_pairs_made_to_collide),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
