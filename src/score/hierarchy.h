/* Labels that are paths, "sport/football": the nodes above them, and what the probabilities of
 * the labels say of those.  A node's probability is the sum of its labels'; a label that is a node
 * above others too ("sport" beside "sport/football") is a leaf of its own below that node. */
#ifndef TX_SCORE_HIERARCHY_H
#define TX_SCORE_HIERARCHY_H

#include "base/error.h"

/* Whether each label has no empty part between its slashes; else a sentence about the first. */
tx_status tx_hierarchy_check(const tx_text *labels, size_t count, tx_error *error);

/* Labels (count), checked; what is made borrows them.  New: tx_hierarchy_free(). */
tx_status tx_hierarchy_new(const tx_text *labels, size_t count, tx_hierarchy **hierarchy,
                           tx_error *error);

/* Nodes are numbered level by level, those of a level by bytes: a parent before its children. */
size_t tx_hierarchy_count(const tx_hierarchy *hierarchy);
size_t tx_hierarchy_level(const tx_hierarchy *hierarchy, size_t node); /* from 1 */
size_t tx_hierarchy_node(const tx_hierarchy *hierarchy, size_t label); /* of a label */

/* The node of that level at or above a node which is not above it. */
size_t tx_hierarchy_above(const tx_hierarchy *hierarchy, size_t node, size_t level);

/* The way of tx_hierarchy_path() (taxon.h): nodes (levels), from the top; their number, 1 at
 * least. */
size_t tx_hierarchy_walk(tx_hierarchy *hierarchy, const float *labels, size_t *nodes);

/* labels (count) to nodes (tx_hierarchy_count()). */
void tx_hierarchy_sum(const tx_hierarchy *hierarchy, const float *labels, double *nodes);

#endif
