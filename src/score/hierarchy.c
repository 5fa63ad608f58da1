/* The nodes of paths, by sorting all beginnings of all labels. */
#include "score/hierarchy.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "formats/nearest.h"

enum { NO_NODE = -1 };

typedef struct {
  char *name; /* in the arena */
  size_t size, level;
  int64_t parent;  /* NO_NODE at the first level */
  int64_t label;   /* that it is itself; NO_NODE: none */
} path_node;

struct tx_hierarchy {
  tx_arena *arena;
  path_node *nodes; /* (count) */
  size_t count, levels, labels;
  size_t *of_label; /* (labels) */
  double *sums;     /* (count): scratch of tx_hierarchy_walk() */
  size_t *way;      /* (levels): of tx_hierarchy_path() */
};

/* The beginning of a label up to one of its slashes, or all of it. */
typedef struct {
  tx_text name;
  size_t level;
} beginning;

static int compare(const beginning *a, const beginning *b) {
  if (a->level != b->level) return a->level < b->level ? -1 : 1;
  size_t shared = a->name.size < b->name.size ? a->name.size : b->name.size;
  int order = memcmp(a->name.data, b->name.data, shared);
  if (order) return order;
  return (a->name.size > b->name.size) - (a->name.size < b->name.size);
}

static int by_level_and_name(const void *a, const void *b) { return compare(a, b); }

static size_t levels_of(tx_text label) {
  size_t levels = 1;
  for (size_t i = 0; i < label.size; i++) levels += label.data[i] == '/';
  return levels;
}

tx_status tx_hierarchy_check(const tx_text *labels, size_t count, tx_error *error) {
  char shown[TX_SHOWN_SIZE];
  for (size_t i = 0; i < count; i++) {
    for (size_t at = 0; at <= labels[i].size; at++) {
      bool stops = at == labels[i].size || labels[i].data[at] == '/';
      if (!stops || (at > 0 && labels[i].data[at - 1] != '/')) continue;
      return tx_fail(error, TX_ERROR_INPUT,
                     "the label '%s' is no path: a part before, after or between its slashes is "
                     "empty; write it as in sport/football",
                     tx_show_name(labels[i], shown));
    }
  }
  return TX_OK;
}

/* ---- making ------------------------------------------------------------ */

/* All beginnings of all labels, sorted; new: tx_free(). */
static beginning *list_beginnings(const tx_text *labels, size_t count, size_t *total) {
  size_t at = 0;
  *total = 0;
  for (size_t i = 0; i < count; i++) *total += levels_of(labels[i]);
  beginning *all = tx_alloc_array(*total, sizeof *all);
  for (size_t i = 0; all && i < count; i++) {
    size_t level = 0;
    for (size_t end = 0; end <= labels[i].size; end++) {
      if (end < labels[i].size && labels[i].data[end] != '/') continue;
      all[at++] = (beginning){{labels[i].data, end}, ++level};
    }
  }
  if (all) qsort(all, *total, sizeof *all, by_level_and_name);
  return all;
}

static int64_t find(const tx_hierarchy *h, tx_text name, size_t level) {
  size_t low = 0, high = h->count;
  beginning wanted = {name, level};
  while (low < high) {
    size_t middle = (low + high) / 2;
    const path_node *n = &h->nodes[middle];
    beginning there = {{n->name, n->size}, n->level};
    int order = compare(&there, &wanted);
    if (order == 0) return (int64_t)middle;
    if (order < 0) low = middle + 1;
    else high = middle;
  }
  return NO_NODE;
}

static int64_t find_parent(const tx_hierarchy *h, const path_node *n) {
  if (n->level == 1) return NO_NODE;
  size_t size = n->size;
  while (n->name[size - 1] != '/') size--;
  return find(h, (tx_text){n->name, size - 1}, n->level - 1);
}

static bool build(tx_hierarchy *h, const tx_text *labels, const beginning *all, size_t total) {
  h->nodes = tx_arena_array(h->arena, total, sizeof *h->nodes);
  h->of_label = tx_arena_array(h->arena, h->labels, sizeof *h->of_label);
  if (!h->nodes || !h->of_label) return false;
  for (size_t i = 0; i < total; i++) {
    if (i > 0 && compare(&all[i - 1], &all[i]) == 0) continue;
    path_node *n = &h->nodes[h->count];
    *n = (path_node){.name = tx_arena_string(h->arena, all[i].name.data, all[i].name.size),
                .size = all[i].name.size,
                .level = all[i].level,
                .label = NO_NODE};
    if (!n->name) return false;
    n->parent = find_parent(h, n);
    h->count++;
    h->levels = n->level;
  }
  for (size_t i = 0; i < h->labels; i++) {
    h->of_label[i] = (size_t)find(h, labels[i], levels_of(labels[i]));
    h->nodes[h->of_label[i]].label = (int64_t)i;
  }
  h->sums = tx_arena_array(h->arena, h->count, sizeof *h->sums);
  h->way = tx_arena_array(h->arena, h->count, sizeof *h->way);
  return h->sums && h->way;
}

tx_status tx_hierarchy_new(const tx_text *labels, size_t count, tx_hierarchy **hierarchy,
                           tx_error *error) {
  size_t total;
  *hierarchy = NULL;
  tx_hierarchy *h = tx_alloc_zero(1, sizeof *h);
  beginning *all = list_beginnings(labels, count, &total);
  if (h) h->arena = tx_arena_new(), h->labels = count;
  bool built = h && h->arena && all && build(h, labels, all, total);
  tx_free(all);
  if (built) {
    *hierarchy = h;
    return TX_OK;
  }
  tx_hierarchy_free(h);
  return tx_fail_memory(error, total * sizeof *all, "the paths of labels");
}

void tx_hierarchy_free(tx_hierarchy *hierarchy) {
  if (!hierarchy) return;
  tx_arena_free(hierarchy->arena);
  tx_free(hierarchy);
}

/* ---- asking ------------------------------------------------------------ */

size_t tx_hierarchy_count(const tx_hierarchy *hierarchy) { return hierarchy->count; }
size_t tx_hierarchy_levels(const tx_hierarchy *hierarchy) { return hierarchy->levels; }

size_t tx_hierarchy_level(const tx_hierarchy *hierarchy, size_t node) {
  return hierarchy->nodes[node].level;
}

size_t tx_hierarchy_node(const tx_hierarchy *hierarchy, size_t label) {
  return hierarchy->of_label[label];
}

size_t tx_hierarchy_above(const tx_hierarchy *hierarchy, size_t node, size_t level) {
  while (hierarchy->nodes[node].level > level) node = (size_t)hierarchy->nodes[node].parent;
  return node;
}

void tx_hierarchy_sum(const tx_hierarchy *hierarchy, const float *labels, double *nodes) {
  for (size_t n = 0; n < hierarchy->count; n++) nodes[n] = 0;
  for (size_t i = 0; i < hierarchy->labels; i++) {
    int64_t at = (int64_t)hierarchy->of_label[i];
    for (; at != NO_NODE; at = hierarchy->nodes[at].parent) nodes[at] += (double)labels[i];
  }
}

/* The most probable child; NO_NODE where there is none, or the node as a leaf is more probable. */
static int64_t most_probable_child(const tx_hierarchy *h, int64_t parent, const float *labels) {
  int64_t best = NO_NODE;
  for (size_t n = 0; n < h->count; n++) {
    if (h->nodes[n].parent != parent) continue;
    if (best == NO_NODE || h->sums[n] > h->sums[best]) best = (int64_t)n;
  }
  if (best == NO_NODE || parent == NO_NODE || h->nodes[parent].label == NO_NODE) return best;
  return (double)labels[h->nodes[parent].label] > h->sums[best] ? NO_NODE : best;
}

size_t tx_hierarchy_walk(tx_hierarchy *h, const float *labels, size_t *nodes) {
  size_t count = 0;
  tx_hierarchy_sum(h, labels, h->sums);
  int64_t at = most_probable_child(h, NO_NODE, labels);
  for (; at != NO_NODE; at = most_probable_child(h, at, labels)) nodes[count++] = (size_t)at;
  return count;
}

size_t tx_hierarchy_path(tx_hierarchy *hierarchy, const float *probabilities, tx_path_step *steps) {
  size_t count = tx_hierarchy_walk(hierarchy, probabilities, hierarchy->way);
  for (size_t i = 0; i < count; i++) {
    double p = hierarchy->sums[hierarchy->way[i]];
    steps[i] = (tx_path_step){hierarchy->nodes[hierarchy->way[i]].name, p < 1 ? p : 1};
  }
  return count;
}
