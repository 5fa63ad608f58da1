/* Level by level of the way that predict goes, and over all nodes at and above label and answer. */
#include "tasks/evaluate_paths.h"

#include <string.h>

#include "score/hierarchy.h"
#include "trust/comparison.h"

typedef struct {
  tx_hierarchy *hierarchy;
  size_t *way; /* (levels): of one text, as it is answered where any certainty will do */
  int64_t shared, of_labels, of_answers; /* nodes at and above, added up over the texts */
} paths;

static void add_text(paths *p, size_t label, const float *probabilities, tx_level_score *levels) {
  const tx_hierarchy *h = p->hierarchy;
  size_t true_node = tx_hierarchy_node(h, label), depth = tx_hierarchy_level(h, true_node);
  size_t reached = tx_hierarchy_walk(p->hierarchy, probabilities, p->way);
  p->of_labels += (int64_t)depth, p->of_answers += (int64_t)reached;
  for (size_t level = 1; level <= depth; level++) {
    bool met = level <= reached && p->way[level - 1] == tx_hierarchy_above(h, true_node, level);
    levels[level - 1].n++;
    levels[level - 1].correct += met;
    p->shared += met;
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
  size_t levels = tx_hierarchy_levels(p->hierarchy);
  p->way = tx_arena_array(arena, levels, sizeof *p->way);
  out->levels = tx_arena_array(arena, levels, sizeof *out->levels);
  if (!p->way || !out->levels) return tx_fail_memory(error, levels * 8, "the levels");
  memset(out->levels, 0, levels * sizeof *out->levels);
  out->level_count = levels;
  for (int64_t i = 0; i < table->rows; i++) {
    const float *row = probabilities + i * table->classes;
    add_text(p, (size_t)table->labels[i], row, out->levels);
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
