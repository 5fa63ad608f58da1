/* Which grouped kernels are in use, and dividing the work among the workers: runs
 * of panels, whose weights are read once for all rows.  The division never touches
 * the order of a sum. */
#include "kernels/grouped.h"

#include <cpuid.h>
#include <string.h>

#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/grouped_pack.h"
#include "kernels/grouped_types.h"

/* A product's tasks: so many for each worker, more where one would be longer than
 * TASK_BYTES of weights.  Two workers that change places every few pages get a fifth
 * less from memory than two that each read on. */
enum { TASKS = 4, TASK_BYTES = 1 << 18, QUANTISE_TASK = 1 << 12 };

/* ---- the table ----------------------------------------------------------- */

/* Asked of the processor itself: not every compiler's __builtin_cpu_supports knows it. */
static bool converts_halves(void) {
  unsigned a, b, c = 0, d;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

static const tx_grouped *vnni(void) {
  return tx_kernels_find("avx512") && __builtin_cpu_supports("avx512vnni") ? &tx_grouped_vnni
                                                                           : NULL;
}

const tx_grouped *tx_grouped_find(const char *name) {
  if (strcmp(name, "vnni") == 0) return vnni();
  if (!tx_kernels_find(name)) return NULL;
  if (strcmp(name, "avx512") == 0) return &tx_grouped_avx512;
  if (strcmp(name, "generic") == 0) return &tx_grouped_generic;
  return converts_halves() ? &tx_grouped_avx2 : NULL;
}

const tx_grouped *tx_grouped_get(void) {
  const char *path = tx_kernels_get()->name;
  const tx_grouped *best = strcmp(path, "avx512") == 0 ? vnni() : NULL;
  if (!best) best = tx_grouped_find(path);
  return best ? best : &tx_grouped_generic;
}

/* ---- sizes --------------------------------------------------------------- */

bool tx_grouped_supports(uint32_t type, int64_t depth) {
  if (depth <= 0) return false;
  switch (type) {
    case TYPE_Q4_0:
    case TYPE_Q4_1:
    case TYPE_Q5_0:
    case TYPE_Q8_0: return depth % TX_GROUP == 0;
    case TYPE_Q4_K:
    case TYPE_Q6_K: return depth % (SUPER_GROUPS * TX_GROUP) == 0;
    default: return false;
  }
}

static uint64_t panel_bytes(uint32_t type, int64_t depth) {
  uint64_t groups = (uint64_t)depth / TX_GROUP;
  uint64_t supers = groups / SUPER_GROUPS; /* counts where super_bytes does */
  return groups * (uint64_t)group_bytes(type) + supers * (uint64_t)super_bytes(type);
}

static int64_t panels_of(int64_t columns) {
  return columns / TX_GROUPED_OUTPUTS + (columns % TX_GROUPED_OUTPUTS != 0);
}

uint64_t tx_grouped_packed_bytes(uint32_t type, int64_t depth, int64_t columns) {
  uint64_t bytes;
  if (!tx_grouped_supports(type, depth) || columns <= 0 || depth > INT64_MAX / 64) return 0;
  if (!tx_multiply((uint64_t)panels_of(columns), panel_bytes(type, depth), &bytes)) return 0;
  return tx_add(bytes, 63, &bytes) ? bytes & ~(uint64_t)63 : 0;
}

static int64_t width_of(int64_t columns, int64_t panel) {
  int64_t rest = columns - panel * TX_GROUPED_OUTPUTS;
  return rest < TX_GROUPED_OUTPUTS ? rest : TX_GROUPED_OUTPUTS;
}

/* ---- packing ------------------------------------------------------------- */

typedef struct {
  uint32_t type;
  const unsigned char *blocks;
  int64_t depth, columns;
  unsigned char *panels;
} packing;

static void pack_task(void *context, int64_t index, int worker) {
  (void)worker;
  const packing *p = context;
  int64_t row = tx_grouped_file_bytes(p->type, p->depth / TX_GROUP);
  tx_grouped_pack_panel(p->type, p->blocks + index * TX_GROUPED_OUTPUTS * row, p->depth,
                        width_of(p->columns, index),
                        p->panels + index * (int64_t)panel_bytes(p->type, p->depth));
}

void tx_grouped_pack(uint32_t type, const void *blocks, int64_t depth, int64_t columns,
                     unsigned char *panels) {
  packing p = {type, blocks, depth, columns, panels};
  tx_parallel(panels_of(columns), pack_task, &p);
}

/* ---- activations --------------------------------------------------------- */

typedef struct {
  const tx_grouped *kernels;
  const float *x;
  ptrdiff_t x_row;
  int64_t rows, depth, rows_of_task;
  tx_group *groups;
} quantising;

static void quantise_task(void *context, int64_t index, int worker) {
  (void)worker;
  const quantising *q = context;
  int64_t first = index * q->rows_of_task, end = first + q->rows_of_task;
  for (int64_t m = first; m < end && m < q->rows; m++) {
    q->kernels->quantise(q->x + m * q->x_row, q->depth, q->groups + m * (q->depth / TX_GROUP));
  }
}

void tx_grouped_quantise(const tx_grouped *kernels, const float *x, ptrdiff_t x_row, int64_t rows,
                         int64_t depth, tx_group *groups) {
  int64_t each = depth > QUANTISE_TASK ? 1 : QUANTISE_TASK / depth;
  quantising q = {kernels, x, x_row, rows, depth, each, groups};
  tx_parallel((rows + each - 1) / each, quantise_task, &q);
}

/* ---- products ------------------------------------------------------------ */

static int64_t tasks_of(const tx_grouped_product *p) {
  int64_t panels = panels_of(p->columns), threads = tx_threads();
  int64_t bytes = panels * (int64_t)panel_bytes(p->type, p->depth);
  int64_t shares = (bytes / TASK_BYTES + threads) / threads;
  int64_t tasks = (shares > TASKS ? shares : TASKS) * threads;
  return tasks < panels ? tasks : panels;
}

static void product_task(void *context, int64_t index, int worker) {
  (void)worker;
  const tx_grouped_product *p = context;
  int64_t panels = panels_of(p->columns), tasks = p->tasks;
  int64_t bytes = (int64_t)panel_bytes(p->type, p->depth);
  /* The first `more` tasks have one panel more. */
  int64_t each = panels / tasks, more = panels % tasks;
  int64_t panel = index * each + (index < more ? index : more);
  int64_t end = panel + each + (index < more ? 1 : 0);
  for (; panel < end; panel++) {
    int64_t first = panel * TX_GROUPED_OUTPUTS;
    p->kernels->product(p->type, p->rows, p->depth, width_of(p->columns, panel), p->x,
                        p->panels + panel * bytes, p->bias ? p->bias + first : NULL,
                        p->accumulate, p->y + first, p->y_row);
  }
}

tx_loop tx_grouped_product_loop(tx_grouped_product *product) {
  product->tasks = tasks_of(product);
  return (tx_loop){product->tasks, product_task, product};
}

void tx_grouped_product_run(const tx_grouped_product *product) {
  tx_grouped_product copy = *product;
  tx_loop loop = tx_grouped_product_loop(&copy);
  tx_parallel_all(&loop, 1);
}
