/* Stratified folds: which rows are held out together. */
#include <stdlib.h>
#include <string.h>

#include "adapt/logistic.h"
#include "base/memory.h"
#include "base/random.h"

/* Rows that must share a fold; `first` and `size` in the order by group. */
typedef struct cluster {
  int64_t first, size;
  int64_t turn; /* place in the shuffled order */
} cluster;

typedef struct keyed_row {
  uint64_t group;
  int64_t row;
} keyed_row;

typedef struct fold_maker {
  keyed_row *rows;     /* (rows), by group, then by row */
  cluster *clusters;   /* (cluster_count) */
  int64_t *order;      /* (cluster_count), scratch */
  int64_t *label_rows; /* (folds, classes): rows placed so far */
  int64_t *fold_rows;  /* (folds) */
  int64_t cluster_count;
} fold_maker;

static int by_group(const void *left, const void *right) {
  const keyed_row *a = left, *b = right;
  if (a->group != b->group) return a->group < b->group ? -1 : 1;
  return a->row < b->row ? -1 : a->row > b->row;
}

static int by_size_and_turn(const void *left, const void *right) {
  const cluster *a = left, *b = right;
  if (a->size != b->size) return a->size > b->size ? -1 : 1;
  return a->turn < b->turn ? -1 : a->turn > b->turn;
}

static void find_clusters(fold_maker *maker, const uint64_t *group, int64_t rows) {
  for (int64_t i = 0; i < rows; i++) {
    maker->rows[i] = (keyed_row){group ? group[i] : (uint64_t)i, i};
  }
  if (group) qsort(maker->rows, (size_t)rows, sizeof *maker->rows, by_group);
  for (int64_t i = 0; i < rows; i++) {
    bool starts = i == 0 || maker->rows[i].group != maker->rows[i - 1].group;
    if (starts) maker->clusters[maker->cluster_count++] = (cluster){i, 0, 0};
    maker->clusters[maker->cluster_count - 1].size++;
  }
}

/* Large clusters first, as they are the hardest to place; equals by the seed. */
static void order_clusters(fold_maker *maker, uint64_t seed) {
  tx_random random = tx_random_seed(seed);
  for (int64_t i = 0; i < maker->cluster_count; i++) maker->order[i] = i;
  tx_random_shuffle(&random, maker->order, (size_t)maker->cluster_count);
  for (int64_t i = 0; i < maker->cluster_count; i++) maker->clusters[maker->order[i]].turn = i;
  qsort(maker->clusters, (size_t)maker->cluster_count, sizeof *maker->clusters, by_size_and_turn);
}

/* To the fold that has fewest rows of the cluster's labels, then fewest rows. */
static void place_cluster(fold_maker *maker, const cluster *placed, const int32_t *labels,
                          int classes, int folds, int32_t *fold) {
  int best = 0;
  int64_t best_same = INT64_MAX;
  for (int f = 0; f < folds; f++) {
    int64_t same = 0;
    for (int64_t i = 0; i < placed->size; i++) {
      int32_t label = labels[maker->rows[placed->first + i].row];
      same += maker->label_rows[(int64_t)f * classes + label];
    }
    bool better =
        same < best_same || (same == best_same && maker->fold_rows[f] < maker->fold_rows[best]);
    if (!better) continue;
    best = f;
    best_same = same;
  }
  for (int64_t i = 0; i < placed->size; i++) {
    int64_t row = maker->rows[placed->first + i].row;
    fold[row] = best;
    maker->label_rows[(int64_t)best * classes + labels[row]]++;
  }
  maker->fold_rows[best] += placed->size;
}

tx_status tx_stratified_folds(const int32_t *labels, int classes, const uint64_t *group,
                              int64_t rows, int folds, uint64_t seed, int32_t *fold,
                              tx_error *error) {
  if (folds < 1 || classes < 1 || rows < 0) {
    return tx_fail(error, TX_ERROR_ARGUMENT, "%lld rows of %d labels cannot be cut into %d folds",
                   (long long)rows, classes, folds);
  }
  for (int64_t i = 0; i < rows; i++) {
    if (labels[i] < 0 || labels[i] >= classes) {
      return tx_fail(error, TX_ERROR_ARGUMENT, "row %lld has label number %d of %d labels",
                     (long long)i, (int)labels[i], classes);
    }
  }
  tx_arena *arena = tx_arena_new();
  fold_maker maker = {0};
  size_t count = (size_t)rows, table = (size_t)folds * (size_t)classes;
  if (arena) {
    maker.rows = tx_arena_array(arena, count, sizeof *maker.rows);
    maker.clusters = tx_arena_array(arena, count, sizeof *maker.clusters);
    maker.order = tx_arena_array(arena, count, sizeof *maker.order);
    maker.label_rows = tx_arena_array(arena, table, sizeof *maker.label_rows);
    maker.fold_rows = tx_arena_array(arena, (size_t)folds, sizeof *maker.fold_rows);
  }
  bool ready = maker.rows && maker.clusters && maker.order && maker.label_rows && maker.fold_rows;
  if (ready) {
    memset(maker.label_rows, 0, table * sizeof *maker.label_rows);
    memset(maker.fold_rows, 0, (size_t)folds * sizeof *maker.fold_rows);
    find_clusters(&maker, group, rows);
    order_clusters(&maker, seed);
    for (int64_t i = 0; i < maker.cluster_count; i++) {
      place_cluster(&maker, &maker.clusters[i], labels, classes, folds, fold);
    }
  }
  tx_arena_free(arena);
  return ready ? TX_OK : tx_fail_memory(error, count * 64 + table * 8, "folds");
}
