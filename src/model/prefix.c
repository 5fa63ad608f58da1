/* The sequences are kept sorted as they are taken; in that order those that share a
 * prefix are neighbours, and the tree follows from what neighbours have in common. */
#include "model/prefix.h"

#include <string.h>

/* SAVED: tokens that a split must save, for the work of a stretch more.  SHARES: how
 * often a shared token is allowed for beyond the budget, up to LARGEST tokens. */
enum { SAVED = 4, SHARES = 4, LARGEST = 4096 };

typedef struct {
  const tx_sequences *sequences;
  int64_t from;    /* the batch's first */
  int64_t *order;  /* (count), sorted: numbers within the batch */
  int64_t *common; /* (count): tokens that order[i] has in common with order[i - 1] */
  int64_t count;
} sorted;

static const int32_t *ids_of(const sorted *s, int64_t i) {
  return s->sequences->ids + s->sequences->offsets[s->from + i];
}

static int64_t length_of(const sorted *s, int64_t i) {
  return s->sequences->offsets[s->from + i + 1] - s->sequences->offsets[s->from + i];
}

static int64_t common_of(const sorted *s, int64_t a, int64_t b) {
  const int32_t *x = ids_of(s, a), *y = ids_of(s, b);
  int64_t length = length_of(s, a) < length_of(s, b) ? length_of(s, a) : length_of(s, b), n = 0;
  while (n < length && x[n] == y[n]) n++;
  return n;
}

/* Whether a stands before b, or they are equal. */
static bool in_order(const sorted *s, int64_t a, int64_t b) {
  int64_t n = common_of(s, a, b);
  if (n == length_of(s, a) || n == length_of(s, b)) return length_of(s, a) <= length_of(s, b);
  return ids_of(s, a)[n] < ids_of(s, b)[n];
}

/* Where sequence `i` would stand. */
static int64_t place_of(const sorted *s, int64_t i) {
  int64_t low = 0, high = s->count;
  while (low < high) {
    int64_t middle = (low + high) / 2;
    if (in_order(s, s->order[middle], i)) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

/* Tokens that `i` has in common with any that are there, if it stands at `place`. */
static int64_t shared_at(const sorted *s, int64_t place, int64_t i) {
  int64_t before = place > 0 ? common_of(s, s->order[place - 1], i) : 0;
  int64_t after = place < s->count ? common_of(s, i, s->order[place]) : 0;
  int64_t shared = before > after ? before : after;
  return shared < SAVED ? 0 : shared;
}

/* Takes sequences while they fit. */
static void take_sequences(sorted *s, int64_t budget, bool share) {
  int64_t left = s->sequences->count - s->from, tokens = 0, most = budget;
  for (int64_t i = 0; i < left && (i == 0 || i < budget); i++) {
    int64_t place = share ? place_of(s, i) : i, shared = share ? shared_at(s, place, i) : 0;
    int64_t allowed = budget + SHARES * (shared < LARGEST ? shared : LARGEST);
    if (allowed > LARGEST) allowed = LARGEST;
    if (allowed > most) most = allowed;
    tokens += length_of(s, i) - shared;
    if (i > 0 && tokens > most) break;
    memmove(s->order + place + 1, s->order + place, (size_t)(i - place) * sizeof *s->order);
    s->order[place] = i;
    s->count++;
  }
  for (int64_t i = 1; i < s->count; i++) {
    s->common[i] = share ? common_of(s, s->order[i - 1], s->order[i]) : 0;
  }
}

/* ---- the tree ---------------------------------------------------------------- */

/* Sequences order[first .. end) share their first `depth` tokens, which stretch
 * `parent` and those before it hold; -1: none does. */
typedef struct {
  int64_t first, end, depth, parent;
} group;

typedef struct {
  sorted sorted;
  int64_t stretches, tokens;
  int64_t *offsets, *parents, *positions, *levels; /* levels (stretches): 1 and those before */
  int64_t *leaf;                                   /* (count): a sequence's last stretch */
  int32_t *ids;
  group *stack;
  int64_t waiting;
} growing;

static void *take(tx_arena *arena, int64_t count, size_t size, bool *failed) {
  void *memory = tx_arena_array(arena, (size_t)count, size);
  if (!memory) *failed = true;
  return memory;
}

/* Stretches: at most one for each sequence and one for each split; a split divides
 * a group, so there are fewer of them than sequences.  Groups that wait are disjoint. */
static tx_status make_room(tx_arena *arena, growing *g, tx_error *error) {
  int64_t count = g->sorted.count, first = g->sorted.sequences->offsets[g->sorted.from];
  int64_t tokens = g->sorted.sequences->offsets[g->sorted.from + count] - first;
  bool failed = false;
  g->offsets = take(arena, 2 * count + 1, sizeof *g->offsets, &failed);
  g->parents = take(arena, 2 * count, sizeof *g->parents, &failed);
  g->levels = take(arena, 2 * count, sizeof *g->levels, &failed);
  g->leaf = take(arena, count, sizeof *g->leaf, &failed);
  g->positions = take(arena, tokens, sizeof *g->positions, &failed);
  g->ids = take(arena, tokens, sizeof *g->ids, &failed);
  g->stack = take(arena, count, sizeof *g->stack, &failed);
  return failed ? tx_fail_memory(error, (uint64_t)tokens * 12, "a batch") : TX_OK;
}

/* Tokens [from, to) of a sequence become a stretch after `parent`. */
static int64_t add_stretch(growing *g, int64_t parent, int64_t sequence, int64_t from, int64_t to) {
  int64_t stretch = g->stretches++;
  g->parents[stretch] = parent;
  g->levels[stretch] = parent < 0 ? 1 : g->levels[parent] + 1;
  for (int64_t t = from; t < to; t++, g->tokens++) {
    g->ids[g->tokens] = ids_of(&g->sorted, sequence)[t];
    g->positions[g->tokens] = t;
  }
  g->offsets[g->stretches] = g->tokens;
  return stretch;
}

static void end_sequence(growing *g, const group *alone) {
  int64_t sequence = g->sorted.order[alone->first], length = length_of(&g->sorted, sequence);
  g->leaf[sequence] = alone->parent;
  if (alone->depth == length) return; /* it is a prefix of others, or one of equals */
  g->leaf[sequence] = add_stretch(g, alone->parent, sequence, alone->depth, length);
}

/* What the group shares becomes a stretch where that saves enough, and the group is
 * divided where its members part. */
static void split_group(growing *g, group whole) {
  const int64_t *common = g->sorted.common;
  int64_t shared = common[whole.first + 1], members = whole.end - whole.first;
  for (int64_t i = whole.first + 2; i < whole.end; i++) {
    shared = common[i] < shared ? common[i] : shared;
  }
  if ((shared - whole.depth) * (members - 1) >= SAVED) {
    int64_t sequence = g->sorted.order[whole.first];
    whole.parent = add_stretch(g, whole.parent, sequence, whole.depth, shared);
    whole.depth = shared;
  }
  for (int64_t first = whole.first, end; first < whole.end; first = end) {
    for (end = first + 1; end < whole.end && common[end] > shared; end++) continue;
    g->stack[g->waiting++] = (group){first, end, whole.depth, whole.parent};
  }
}

static void grow_tree(growing *g, bool share) {
  g->offsets[0] = 0;
  if (share) {
    g->stack[g->waiting++] = (group){0, g->sorted.count, 0, -1};
  } else {
    for (int64_t i = 0; i < g->sorted.count; i++) end_sequence(g, &(group){i, i + 1, 0, -1});
  }
  while (g->waiting > 0) {
    group next = g->stack[--g->waiting];
    if (next.end - next.first == 1) {
      end_sequence(g, &next);
    } else {
      split_group(g, next);
    }
  }
}

/* Each sequence's way from the root to its last stretch. */
static tx_status trace(tx_arena *arena, const growing *g, tx_tree *tree, tx_error *error) {
  int64_t count = g->sorted.count;
  int64_t *offsets = tx_arena_array(arena, (size_t)count + 1, sizeof *offsets);
  if (!offsets) return tx_fail_memory(error, (uint64_t)count * 8, "a batch");
  offsets[0] = 0;
  for (int64_t i = 0; i < count; i++) offsets[i + 1] = offsets[i] + g->levels[g->leaf[i]];
  tx_span *spans = tx_arena_array(arena, (size_t)offsets[count], sizeof *spans);
  if (!spans) return tx_fail_memory(error, (uint64_t)offsets[count] * sizeof *spans, "a batch");
  for (int64_t i = 0; i < count; i++) {
    int64_t at = offsets[i + 1];
    for (int64_t s = g->leaf[i]; s >= 0; s = g->parents[s]) {
      spans[--at] = (tx_span){g->offsets[s], g->offsets[s + 1]};
    }
  }
  tree->offsets = offsets;
  tree->spans = spans;
  return TX_OK;
}

tx_status tx_tree_make(tx_arena *arena, const tx_sequences *sequences, int64_t from,
                       int64_t budget, bool share, tx_tree *tree, tx_error *error) {
  growing g = {.sorted = {.sequences = sequences, .from = from}};
  int64_t left = sequences->count - from, most = budget < 1 ? 1 : budget;
  size_t room = (size_t)(left < most ? left : most);
  g.sorted.order = tx_arena_array(arena, 2 * room, sizeof *g.sorted.order);
  if (!g.sorted.order) return tx_fail_memory(error, 16 * room, "a batch");
  g.sorted.common = g.sorted.order + room;
  take_sequences(&g.sorted, budget, share);
  TX_TRY(make_room(arena, &g, error));
  grow_tree(&g, share);
  tree->count = g.sorted.count;
  tree->ids = g.ids;
  tree->batch = (tx_batch){.sequences = g.stretches,
                           .tokens = g.tokens,
                           .offsets = g.offsets,
                           .positions = g.positions,
                           .parents = share ? g.parents : NULL};
  return trace(arena, &g, tree, error);
}
