/* Grouped-query attention over chains of segments: forward.
 *
 * A stretch of the batch sees a chain of segments (segment.h): those it continues,
 * then its own.  Query rows are taken a chunk at a time, and for each chunk the keys
 * a tile at a time, with a running softmax, so memory grows with the length and not
 * with its square.  Tiles begin at fixed positions of the sequence, and a row's sums
 * run over the keys it may see in rising order: where segments begin and what else
 * is in the batch is not seen in any bit.  Within the first tile the sums are those
 * of a softmax over the whole. */
#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "kernels/kernels.h"
#include "model/cache.h"
#include "model/pass.h"

/* Query rows at a time, and keys: whole panels, and a multiple of the 16 sums. */
enum { CHUNK = 48, TILE = 480 };

typedef struct {
  tx_pass *pass;
  const tx_batch *batch;
  const tx_wanted *wanted;
  const float *query, *key, *value;
  float *attended;
  tx_segment *links;    /* the chains, one after another; the last of each is the stretch's own */
  int64_t *link_start;  /* (B + 1) */
  int64_t *chunk_start; /* (B + 1), tasks before stretch b */
  float *scores;        /* (workers, CHUNK, TILE) */
  float scale;
} attention;

static int64_t length_of(const tx_batch *batch, int64_t b) {
  return batch->offsets[b + 1] - batch->offsets[b];
}

static tx_stretch *past_of(const tx_batch *batch, int64_t b) {
  return batch->past ? batch->past[b] : NULL;
}

static int64_t parent_of(const tx_batch *batch, int64_t b) {
  return batch->parents && !past_of(batch, b) ? batch->parents[b] : -1;
}

static int64_t rows_of(const tx_wanted *wanted, int64_t b) {
  return wanted->offsets[b + 1] - wanted->offsets[b];
}

/* ---- chains ------------------------------------------------------------ */

/* Tasks for the query heads of one wanted row, a key/value head's share of them. */
static int64_t single_tasks(const tx_facts *facts) {
  return (facts->heads / facts->kv_heads + CHUNK - 1) / CHUNK;
}

/* How many links and tasks each stretch has.  One wanted row: its query heads are
 * the rows of a product, a key/value head's at a time, so that keys and values are
 * read once; else each head is a task for itself. */
static void count_all(attention *a) {
  const tx_facts *facts = a->pass->facts;
  a->link_start[0] = a->chunk_start[0] = 0;
  for (int64_t b = 0; b < a->batch->sequences; b++) {
    int64_t rows = rows_of(a->wanted, b), parent = parent_of(a->batch, b), links = 1;
    if (past_of(a->batch, b)) links = tx_stretch_links(past_of(a->batch, b));
    if (parent >= 0) links += a->link_start[parent + 1] - a->link_start[parent];
    int64_t tasks = rows == 1 ? facts->kv_heads * single_tasks(facts)
                              : (rows + CHUNK - 1) / CHUNK * facts->heads;
    a->link_start[b + 1] = a->link_start[b] + links;
    a->chunk_start[b + 1] = a->chunk_start[b] + tasks;
  }
}

/* The memory for the keys and values of stretches that have no past. */
static tx_status own_memory(const attention *a, float **memory, tx_error *error) {
  uint64_t floats = 0;
  for (int64_t b = 0; b < a->batch->sequences; b++) {
    if (past_of(a->batch, b)) continue;
    uint64_t more = tx_segment_floats(a->pass->facts, length_of(a->batch, b));
    if (!more || !tx_add(floats, more, &floats)) floats = UINT64_MAX / sizeof(float);
  }
  *memory = tx_arena_array(a->pass->arena, floats, sizeof(float));
  return *memory ? TX_OK : tx_fail_memory(error, floats * sizeof(float), "keys and values");
}

static tx_status link_past(const attention *a, int64_t b, tx_error *error) {
  tx_stretch *past = past_of(a->batch, b);
  int64_t length = length_of(a->batch, b);
  TX_TRY(tx_stretch_reserve(past, length, error));
  tx_stretch_chain(past, a->batch->block, a->links + a->link_start[b]);
  a->links[a->link_start[b + 1] - 1].length += length;
  return TX_OK;
}

static tx_status link_all(const attention *a, tx_error *error) {
  const tx_facts *facts = a->pass->facts;
  float *memory;
  TX_TRY(own_memory(a, &memory, error));
  for (int64_t b = 0; b < a->batch->sequences; b++) {
    if (past_of(a->batch, b)) {
      TX_TRY(link_past(a, b, error));
      continue;
    }
    int64_t parent = parent_of(a->batch, b), length = length_of(a->batch, b);
    tx_segment *own = &a->links[a->link_start[b + 1] - 1];
    if (parent >= 0) {
      int64_t from = a->link_start[parent], count = a->link_start[parent + 1] - from;
      memcpy(a->links + a->link_start[b], a->links + from, (size_t)count * sizeof *own);
    }
    own->start = a->batch->positions[a->batch->offsets[b]];
    own->length = length;
    tx_segment_place(facts, length, memory, own);
    memory += tx_segment_floats(facts, length);
  }
  return TX_OK;
}

static tx_status prepare(attention *a, tx_error *error) {
  tx_arena *arena = a->pass->arena;
  size_t count = (size_t)(a->batch->sequences + 1);
  a->scale = (float)(1.0 / sqrt((double)a->pass->facts->head_size));
  a->link_start = tx_arena_array(arena, 2 * count, sizeof *a->link_start);
  if (!a->link_start) return tx_fail_memory(error, 16 * count, "attention");
  a->chunk_start = a->link_start + count;
  count_all(a);
  size_t links = (size_t)a->link_start[a->batch->sequences];
  size_t scores = (size_t)tx_threads() * CHUNK * TILE;
  a->links = tx_arena_array(arena, links, sizeof *a->links);
  a->scores = tx_arena_array(arena, scores, sizeof *a->scores);
  if (!a->links || !a->scores) return tx_fail_memory(error, scores * 4, "attention");
  return link_all(a, error);
}

static void pack_task(void *context, int64_t index, int worker) {
  (void)worker;
  const attention *a = context;
  const tx_facts *facts = a->pass->facts;
  int64_t b = index / facts->kv_heads, length = length_of(a->batch, b);
  int64_t from = a->batch->offsets[b] * facts->kv_heads * facts->head_size;
  const tx_segment *own = &a->links[a->link_start[b + 1] - 1];
  tx_segment_pack(facts, own, index % facts->kv_heads, own->length - length, length,
                  a->key + from, a->value + from);
}

/* ---- query rows -------------------------------------------------------- */

/* Rows of products that see one chain and key/value head: wanted rows of one query
 * head, or the query heads of one wanted row. */
typedef struct {
  int64_t b, g, count;
  int64_t at;       /* of the first row's D floats in query and attended */
  ptrdiff_t stride; /* floats from a row to the next */
  float *scores;    /* (CHUNK, TILE) */
  int64_t from[CHUNK], to[CHUNK]; /* the keys that each sees; neither falls from row to row */
  tx_running_softmax running[CHUNK];
} chunk;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

/* The keys [from, to) that the wanted row may see. */
static void visible(const attention *a, int64_t b, int64_t row, int64_t *from, int64_t *to) {
  int64_t window = a->pass->facts->window, last = a->batch->offsets[b + 1] - 1;
  int64_t position = a->batch->positions[tx_wanted_token(a->wanted, row)];
  bool causal = a->pass->facts->architecture->causal && !a->batch->two_way;
  *from = window ? most(0, position - window + 1) : 0;
  *to = causal ? position + 1 : a->batch->positions[last] + 1;
  if (window) *to = least(*to, position + window);
}

/* The rows of task `local` of a stretch: all of one head, or one of all heads. */
static void set_rows(const attention *a, int64_t local, bool single, int64_t row, chunk *c) {
  const tx_facts *facts = a->pass->facts;
  int64_t size = facts->head_size, group = facts->heads / facts->kv_heads, head;
  if (single) {
    int64_t share = local % single_tasks(facts) * CHUNK; /* heads of the group before these */
    head = local / single_tasks(facts) * group + share;
    c->count = least(CHUNK, group - share);
  } else {
    head = local % facts->heads;
    c->count = least(CHUNK, a->wanted->offsets[c->b + 1] - row);
  }
  c->g = head / group;
  c->stride = single ? size : facts->heads * size;
  c->at = (row * facts->heads + head) * size;
}

static void set_chunk(const attention *a, int64_t index, chunk *c) {
  size_t bytes = (size_t)a->pass->facts->head_size * sizeof(float);
  int64_t local = index - a->chunk_start[c->b], row = a->wanted->offsets[c->b];
  bool single = rows_of(a->wanted, c->b) == 1;
  if (!single) row += local / a->pass->facts->heads * CHUNK;
  set_rows(a, local, single, row, c);
  for (int64_t r = 0; r < c->count; r++) {
    visible(a, c->b, single ? row : row + r, &c->from[r], &c->to[r]);
    c->running[r] = (tx_running_softmax){.max = -INFINITY};
    memset(a->attended + c->at + r * c->stride, 0, bytes);
  }
}

/* y (rows, columns) =/+= x (rows, depth) . panels, a panel `apart` floats from the
 * next; from column `first` of all on. */
static void multiply(const tx_kernels *kernels, int64_t rows, int64_t depth, int64_t first,
                     int64_t columns, const float *x, ptrdiff_t x_row, const float *panels,
                     int64_t apart, bool accumulate, float *y, ptrdiff_t y_row) {
  for (int64_t n = 0, width; n < columns; n += width) {
    int64_t column = (first + n) % TX_PANEL;
    width = least(columns - n, TX_PANEL - column);
    const float *panel = panels + (first + n) / TX_PANEL * apart + column;
    kernels->product(rows, depth, width, x, x_row, 1, panel, NULL, accumulate, y + n, y_row);
  }
}

/* Rows [row, row + rows) of the chunk and the keys [from, to), which lie in one
 * segment: their scores, or their weights by the values onto the output. */
typedef struct {
  int64_t row, rows, tile, from, to;
} part;

static void scores_of(const attention *a, const chunk *c, const tx_segment *segment,
                      const part *p) {
  const tx_facts *facts = a->pass->facts;
  int64_t size = facts->head_size;
  multiply(a->pass->kernels, p->rows, size, p->from - segment->start, p->to - p->from,
           a->query + c->at + p->row * c->stride, c->stride,
           tx_segment_keys(facts, segment, c->g), size * TX_PANEL, false,
           c->scores + p->row * TILE + (p->from - p->tile), TILE);
}

static void add_values(const attention *a, const chunk *c, const tx_segment *segment,
                       const part *p) {
  const tx_facts *facts = a->pass->facts;
  const float *values = tx_segment_values(facts, segment, c->g);
  multiply(a->pass->kernels, p->rows, p->to - p->from, 0, facts->head_size,
           c->scores + p->row * TILE + (p->from - p->tile), TILE,
           values + (p->from - segment->start) * TX_PANEL, segment->capacity * TX_PANEL, true,
           a->attended + c->at + p->row * c->stride, c->stride);
}

typedef void on_part(const attention *a, const chunk *c, const tx_segment *segment, const part *p);

/* The keys of `whole`, segment by segment in rising order. */
static void over_segments(const attention *a, const chunk *c, const part *whole, on_part *act) {
  for (int64_t i = a->link_start[c->b]; i < a->link_start[c->b + 1]; i++) {
    const tx_segment *segment = &a->links[i];
    part p = *whole;
    p.from = most(p.from, segment->start);
    p.to = least(p.to, segment->start + segment->length);
    if (p.from < p.to) act(a, c, segment, &p);
  }
}

/* The keys of one tile, for those rows of the chunk that see any of it. */
static void attend_tile(const attention *a, chunk *c, int64_t tile) {
  const tx_kernels *kernels = a->pass->kernels;
  int64_t row = 0, end = c->count;
  while (row < end && c->to[row] <= tile) row++;
  while (row < end && c->from[end - 1] >= tile + TILE) end--;
  if (row == end) return;
  const part p = {row, end - row, tile, most(c->from[row], tile),
                  least(c->to[end - 1], tile + TILE)};
  over_segments(a, c, &p, scores_of);
  for (int64_t r = row; r < end; r++) {
    int64_t from = most(c->from[r], tile), to = least(c->to[r], tile + TILE);
    float factor = kernels->softmax_tile(c->scores + r * TILE, p.to - tile, from - tile, to - tile,
                                         a->scale, &c->running[r]);
    if (factor >= 1.0f) continue;
    kernels->scale(a->attended + c->at + r * c->stride, a->pass->facts->head_size, factor);
  }
  over_segments(a, c, &p, add_values);
}

static int64_t stretch_of_task(const attention *a, int64_t index) {
  int64_t low = 0, high = a->batch->sequences - 1;
  while (low < high) { /* the last stretch whose tasks start at or before this one */
    int64_t middle = (low + high + 1) / 2;
    if (a->chunk_start[middle] <= index) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

static void attend_task(void *context, int64_t index, int worker) {
  const attention *a = context;
  const tx_kernels *kernels = a->pass->kernels;
  chunk c = {.b = stretch_of_task(a, index), .scores = a->scores + worker * CHUNK * TILE};
  set_chunk(a, index, &c);
  for (int64_t tile = c.from[0] / TILE * TILE; tile < c.to[c.count - 1]; tile += TILE) {
    attend_tile(a, &c, tile);
  }
  for (int64_t r = 0; r < c.count; r++) {
    kernels->scale(a->attended + c.at + r * c.stride, a->pass->facts->head_size,
                   1.0f / kernels->softmax_sum(&c.running[r]));
  }
}

tx_status tx_attention_forward(tx_pass *pass, const tx_batch *batch, const tx_wanted *wanted,
                               const float *query, const float *key, const float *value,
                               float *attended, tx_error *error) {
  attention a = {.pass = pass,
                 .batch = batch,
                 .wanted = wanted,
                 .query = query,
                 .key = key,
                 .value = value,
                 .attended = attended};
  TX_TRY(prepare(&a, error));
  tx_parallel(batch->sequences * pass->facts->kv_heads, pack_task, &a);
  tx_parallel(a.chunk_start[batch->sequences], attend_task, &a);
  return TX_OK;
}
