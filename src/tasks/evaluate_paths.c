/* Level by level, and over all nodes at and above label and answer. */
#include "tasks/evaluate_paths.h"

#include <string.h>

#include "score/hierarchy.h"
#include "trust/comparison.h"
#include "trust/metrics.h"

typedef struct {
  const tx_hierarchy *hierarchy;
  size_t *best;  /* (levels): the most probable node of each */
  double *nodes; /* (nodes): probabilities of one text */
  int64_t shared, of_labels, of_answers; /* nodes at and above, added up over the texts */
} paths;

static void find_best(const paths *p, const float *probabilities) {
  size_t count = tx_hierarchy_count(p->hierarchy);
  tx_hierarchy_sum(p->hierarchy, probabilities, p->nodes);
  for (size_t n = 0; n < count; n++) {
    size_t level = tx_hierarchy_level(p->hierarchy, n) - 1;
    bool first = n == 0 || tx_hierarchy_level(p->hierarchy, n - 1) <= level;
    if (first || p->nodes[n] > p->nodes[p->best[level]]) p->best[level] = n;
  }
}

static void add_text(paths *p, size_t label, size_t answer, tx_level_score *levels) {
  const tx_hierarchy *h = p->hierarchy;
  size_t true_node = tx_hierarchy_node(h, label), answered = tx_hierarchy_node(h, answer);
  size_t depth = tx_hierarchy_level(h, true_node), reached = tx_hierarchy_level(h, answered);
  p->of_labels += (int64_t)depth, p->of_answers += (int64_t)reached;
  for (size_t level = 1; level <= depth; level++) {
    size_t node = tx_hierarchy_above(h, true_node, level);
    levels[level - 1].n++;
    levels[level - 1].correct += p->best[level - 1] == node;
    if (level <= reached) p->shared += tx_hierarchy_above(h, answered, level) == node;
  }
}

static void finish(const paths *p, tx_evaluation *out) {
  for (size_t i = 0; i < out->level_count; i++) {
    tx_level_score *level = &out->levels[i];
    if (level->n == 0) continue;
    tx_interval interval = tx_wilson(level->correct, level->n);
    level->accuracy = (double)level->correct / (double)level->n;
    level->accuracy_lo = interval.lo, level->accuracy_hi = interval.hi;
  }
  double shared = (double)p->shared;
  out->hierarchical_precision = shared / (double)p->of_answers;
  out->hierarchical_recall = shared / (double)p->of_labels;
  out->hierarchical_f1 = 2 * shared / (double)(p->of_answers + p->of_labels);
}

static tx_status measure(paths *p, const tx_dataset *table, const float *probabilities,
                         tx_arena *arena, tx_evaluation *out, tx_error *error) {
  size_t levels = tx_hierarchy_levels(p->hierarchy), count = tx_hierarchy_count(p->hierarchy);
  p->best = tx_arena_array(arena, levels, sizeof *p->best);
  p->nodes = tx_arena_array(arena, count, sizeof *p->nodes);
  out->levels = tx_arena_array(arena, levels, sizeof *out->levels);
  if (!p->best || !p->nodes || !out->levels) return tx_fail_memory(error, count * 8, "the levels");
  memset(out->levels, 0, levels * sizeof *out->levels);
  out->level_count = levels;
  for (int64_t i = 0; i < table->rows; i++) {
    const float *row = probabilities + i * table->classes;
    find_best(p, row);
    add_text(p, (size_t)table->labels[i], (size_t)tx_top_label(row, table->classes), out->levels);
  }
  finish(p, out);
  return TX_OK;
}

tx_status tx_evaluate_paths(const tx_classifier *classifier, const tx_dataset *table,
                            const float *probabilities, tx_arena *arena, tx_evaluation *evaluation,
                            tx_error *error) {
  tx_hierarchy *hierarchy;
  TX_TRY(tx_classifier_head_hierarchy(classifier, classifier->chosen, &hierarchy, error));
  if (!hierarchy) return TX_OK;
  paths p = {.hierarchy = hierarchy};
  tx_status status = measure(&p, table, probabilities, arena, evaluation, error);
  tx_hierarchy_free(hierarchy);
  return status;
}
