/* Attention over chains of segments: against a plain loop in double, and the same
 * bits whatever the segments, the batch, the wanted rows, threads and paths. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/random.h"
#include "failing.h"
#include "golden.h"
#include "kernels/product.h"
#include "model/cache.h"
#include "model/pass.h"
#include "taxon.h"

static const char *const path_names[] = {"generic", "avx2", "avx512"};

typedef struct {
  tx_architecture architecture;
  tx_facts facts;
  int64_t length;
  float *query, *key, *value; /* (length, H*D), (length, G*D) twice: of one sequence */
} problem;

static float *random_floats(int64_t count, uint64_t seed) {
  tx_random random = tx_random_seed(seed);
  float *values = checked_memory((size_t)count * sizeof *values);
  for (int64_t i = 0; i < count; i++) values[i] = (float)tx_random_normal(&random);
  return values;
}

static problem *make_problem(int64_t heads, int64_t kv_heads, int64_t size, int64_t length,
                             bool causal, int64_t window) {
  problem *p = checked_memory(sizeof *p);
  p->architecture.causal = causal;
  p->facts = (tx_facts){.architecture = &p->architecture,
                        .heads = heads,
                        .kv_heads = kv_heads,
                        .head_size = size,
                        .window = window};
  p->length = length;
  p->query = random_floats(length * heads * size, 1);
  p->key = random_floats(length * kv_heads * size, 2);
  p->value = random_floats(length * kv_heads * size, 3);
  return p;
}

static void free_problem(problem *p) { free(p->query), free(p->key), free(p->value), free(p); }

static bool sees(const problem *p, int64_t i, int64_t j) {
  if (p->architecture.causal && j > i) return false;
  return !p->facts.window || (i > j ? i - j : j - i) < p->facts.window;
}

/* One row of one head, by the definition. */
static void plain(const problem *p, int64_t i, int64_t head, double *out) {
  int64_t size = p->facts.head_size, kv = head / (p->facts.heads / p->facts.kv_heads);
  double *scores = checked_memory((size_t)p->length * sizeof *scores), max = -INFINITY, sum = 0;
  for (int64_t j = 0; j < p->length; j++) {
    for (int64_t d = 0; d < size; d++) {
      scores[j] += (double)p->query[(i * p->facts.heads + head) * size + d] *
                   (double)p->key[(j * p->facts.kv_heads + kv) * size + d];
    }
    scores[j] /= sqrt((double)size);
    if (sees(p, i, j) && scores[j] > max) max = scores[j];
  }
  for (int64_t d = 0; d < size; d++) out[d] = 0;
  for (int64_t j = 0; j < p->length; j++) {
    double weight = sees(p, i, j) ? exp(scores[j] - max) : 0;
    sum += weight;
    for (int64_t d = 0; d < size; d++) {
      out[d] += weight * (double)p->value[(j * p->facts.kv_heads + kv) * size + d];
    }
  }
  for (int64_t d = 0; d < size; d++) out[d] /= sum;
  free(scores);
}

/* A cut of [0, length) into stretches of `step` tokens, and as many tokens before the
 * first as `shift` says in one of their own; `copies` of the sequence side by side. */
typedef struct {
  int64_t shift, step, copies;
} cut;

typedef struct {
  tx_batch batch;
  int64_t *offsets, *positions, *parents;
} cut_batch;

static cut_batch make_batch(int64_t length, cut how) {
  int64_t most = (length + 1) * how.copies, count = 0;
  cut_batch made = {.offsets = checked_memory((size_t)(most + 1) * 8),
                    .positions = checked_memory((size_t)most * 8),
                    .parents = checked_memory((size_t)most * 8)};
  for (int64_t c = 0; c < how.copies; c++) {
    for (int64_t from = 0, to; from < length; from = to) {
      to = from == 0 && how.shift ? how.shift : from + how.step;
      if (to > length) to = length;
      made.parents[count] = from ? count - 1 : -1;
      for (int64_t t = from; t < to; t++) made.positions[c * length + t] = t;
      made.offsets[++count] = c * length + to;
    }
  }
  made.batch = (tx_batch){.sequences = count,
                          .tokens = how.copies * length,
                          .offsets = made.offsets,
                          .positions = made.positions,
                          .parents = made.parents};
  return made;
}

static void free_batch(cut_batch *b) { free(b->offsets), free(b->positions), free(b->parents); }

static float *repeated(const float *rows, int64_t floats, int64_t copies) {
  float *all = checked_memory((size_t)(floats * copies) * 4);
  for (int64_t c = 0; c < copies; c++) memcpy(all + c * floats, rows, (size_t)floats * 4);
  return all;
}

/* attended (length, H*D) of the last copy, in one pass over the tree. */
static float *run_tree(const problem *p, const char *path, int threads, cut how) {
  int64_t width = p->facts.heads * p->facts.head_size;
  int64_t kv_width = p->facts.kv_heads * p->facts.head_size, tokens = how.copies * p->length;
  cut_batch b = make_batch(p->length, how);
  float *query = repeated(p->query, p->length * width, how.copies);
  float *key = repeated(p->key, p->length * kv_width, how.copies);
  float *value = repeated(p->value, p->length * kv_width, how.copies);
  float *attended = checked_memory((size_t)(tokens * width) * 4);
  tx_pass pass;
  tx_set_threads(threads);
  ASSERT_OK(tx_pass_open(&p->facts, &pass, error));
  pass.kernels = tx_kernels_find(path);
  tx_wanted all = tx_wanted_all(&b.batch);
  ASSERT_OK(tx_attention_forward(&pass, &b.batch, &all, query, key, value, attended, error));
  tx_pass_close(&pass);
  tx_set_threads(0);
  memmove(attended, attended + (how.copies - 1) * p->length * width,
          (size_t)(p->length * width) * 4);
  free(query), free(key), free(value), free_batch(&b);
  return attended;
}

static float *run_whole(const problem *p, const char *path) {
  return run_tree(p, path, 1, (cut){0, p->length, 1});
}

static void check_plain(int64_t heads, int64_t kv_heads, int64_t size, int64_t length, bool causal,
                        int64_t window) {
  problem *p = make_problem(heads, kv_heads, size, length, causal, window);
  float *got = run_whole(p, tx_kernels_get()->name);
  double *want = checked_memory((size_t)size * sizeof *want);
  int64_t step = length > 900 ? 61 : length > 100 ? 19 : 1; /* of the rows that are looked at */
  for (int64_t i = (length - 1) % step; i < length; i += step) {
    for (int64_t head = 0; head < heads; head++) {
      plain(p, i, head, want);
      for (int64_t d = 0; d < size; d++) {
        double away = fabs(want[d] - (double)got[(i * heads + head) * size + d]);
        if (!(away < 1e-5)) {
          fail_msg("length %ld, window %ld, row %ld, head %ld: off by %g", (long)length,
                   (long)window, (long)i, (long)head, away);
        }
      }
    }
  }
  free(want), free(got), free_problem(p);
}

static void test_against_a_plain_loop(void **state) {
  (void)state;
  static const int64_t lengths[] = {1, 2, 15, 16, 17, 47, 48, 49, 97, 479, 480, 481, 961, 1100};
  static const int64_t windows[] = {1, 2, 31, 48, 480, 500, 5000};
  for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
    for (int causal = 0; causal < 2; causal++) {
      check_plain(4, 2, 24, lengths[l], causal, 0);
      check_plain(3, 1, 64, lengths[l], causal, 0);
      check_plain(2, 2, 1, lengths[l], causal, 0);
      for (size_t w = 0; w < sizeof windows / sizeof *windows; w++) {
        check_plain(2, 1, 20, lengths[l], causal, windows[w]);
      }
    }
  }
  check_plain(2, 1, 112, 600, true, 0);
  check_plain(100, 1, 8, 50, true, 0); /* more heads in a group than rows in a chunk */
  check_plain(100, 1, 8, 1, true, 0);
}

/* Within one tile: a softmax over all at once, as three plain calls of the kernels. */
static void test_one_tile_is_a_whole_softmax(void **state) {
  (void)state;
  for (int64_t length = 1; length <= 480; length += length < 50 ? 24 : 86) {
    problem *p = make_problem(2, 1, 64, length, true, 0);
    const tx_kernels *k = tx_kernels_get();
    float *got = run_whole(p, k->name);
    float *keys = checked_memory(tx_packed_size(64, length) * 4);
    float *values = checked_memory(tx_packed_size(length, 64) * 4), scores[480], out[64];
    tx_pack(p->key, 1, 64, 64, length, keys);
    tx_pack(p->value, 64, 1, length, 64, values);
    for (int64_t row = 0; row < 2 * length; row++) {
      int64_t seen = row / 2 + 1;
      tx_product product = {k,    1,    64,    seen,   p->query + row * 64, 64, 1, keys,
                            NULL, false, scores, seen};
      tx_product_run(&product);
      float sum = k->softmax_exp(scores, seen, 0.125f);
      for (int64_t n = 0; n < 64; n += TX_PANEL) {
        k->product(1, seen, 64 - n < TX_PANEL ? 64 - n : TX_PANEL, scores, seen, 1,
                   values + n * length, NULL, false, out + n, 64);
      }
      k->scale(out, 64, 1.0f / sum);
      assert_memory_equal(got + row * 64, out, sizeof out);
    }
    free(got), free(keys), free(values), free_problem(p);
  }
}

static void assert_same(const float *got, const float *want, const problem *p, cut how,
                        const char *what) {
  int64_t width = p->facts.heads * p->facts.head_size;
  for (int64_t i = 0; i < p->length * width; i++) {
    if (memcmp(got + i, want + i, 4) != 0) {
      fail_msg("%s: length %ld cut at %ld by %ld, window %ld: row %ld is %a, not %a", what,
               (long)p->length, (long)how.shift, (long)how.step, (long)p->facts.window,
               (long)(i / width), (double)got[i], (double)want[i]);
    }
  }
}

/* A stretch that ends sees only what is before its end: with two sides, only whole
 * sequences can be compared. */
static void check_bits(int64_t length, bool causal, int64_t window) {
  static const cut cuts[] = {{0, 5000, 1}, {0, 5000, 3}, {0, 1, 1},    {0, 48, 2},
                             {1, 47, 1},   {13, 100, 1}, {479, 2, 1},  {480, 480, 2},
                             {31, 480, 1}, {0, 481, 1},  {100, 77, 3}};
  problem *p = make_problem(2, 1, 20, length, causal, window);
  float *want = run_whole(p, "generic");
  for (size_t c = 0; c < (causal ? sizeof cuts / sizeof *cuts : 2); c++) {
    for (size_t path = 0; path < 3; path++) {
      if (!tx_kernels_find(path_names[path]) || (path == 0 && c != 5)) continue;
      for (int threads = 1; threads <= (path == 0 ? 1 : 3); threads++) {
        float *got = run_tree(p, path_names[path], threads, cuts[c]);
        assert_same(got, want, p, cuts[c], path_names[path]);
        free(got);
      }
    }
  }
  free(want), free_problem(p);
}

static void test_same_bits_however_cut(void **state) {
  (void)state;
  static const int64_t lengths[] = {1, 2, 49, 480, 481, 520, 1000};
  for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
    check_bits(lengths[l], true, 0);
    check_bits(lengths[l], false, 0);
    check_bits(lengths[l], true, 40);
    check_bits(lengths[l], false, 490);
  }
}

/* Some wanted rows only: theirs are those of all. */
static void test_wanted_rows(void **state) {
  (void)state;
  problem *p = make_problem(6, 2, 64, 1000, true, 0);
  float *all = run_whole(p, tx_kernels_get()->name), query[7 * 384], got[7 * 384];
  cut_batch b = make_batch(1000, (cut){300, 250, 1}); /* 300, 550, 800, 1000 */
  const int64_t tokens[] = {3, 299, 479, 480, 481, 799, 999}, offsets[] = {0, 2, 5, 6, 7};
  tx_wanted wanted = {7, tokens, offsets};
  for (int64_t r = 0; r < 7; r++) memcpy(query + r * 384, p->query + tokens[r] * 384, 384 * 4);
  for (int64_t window = 0; window <= 90; window += 30) {
    tx_pass pass;
    p->facts.window = window;
    free(all), all = run_whole(p, tx_kernels_get()->name);
    ASSERT_OK(tx_pass_open(&p->facts, &pass, error));
    ASSERT_OK(tx_attention_forward(&pass, &b.batch, &wanted, query, p->key, p->value, got, error));
    for (int64_t r = 0; r < 7; r++) {
      assert_memory_equal(got + r * 384, all + tokens[r] * 384, 384 * 4);
    }
    tx_wanted none = {0, tokens, (const int64_t[]){0, 0, 0, 0, 0}};
    ASSERT_OK(tx_attention_forward(&pass, &b.batch, &none, query, p->key, p->value, got, error));
    tx_pass_close(&pass);
  }
  free(all), free_batch(&b), free_problem(p);
}

/* A tree: two different ends of one beginning, each as if alone. */
static void test_branches(void **state) {
  (void)state;
  enum { TRUNK = 470, FIRST = 30, SECOND = 50, WIDTH = 2 * 32 };
  problem *p = make_problem(2, 2, 32, TRUNK + FIRST + SECOND, true, 0);
  int64_t positions[TRUNK + FIRST + SECOND];
  const int64_t offsets[] = {0, TRUNK, TRUNK + FIRST, TRUNK + FIRST + SECOND};
  const int64_t parents[] = {-1, 0, 0};
  for (int64_t t = 0; t < p->length; t++) positions[t] = t < TRUNK + FIRST ? t : t - FIRST;
  tx_batch batch = {.sequences = 3,
                    .tokens = p->length,
                    .offsets = offsets,
                    .positions = positions,
                    .parents = parents};
  tx_wanted all = tx_wanted_all(&batch);
  float *got = checked_memory((size_t)(p->length * WIDTH) * 4);
  tx_pass pass;
  ASSERT_OK(tx_pass_open(&p->facts, &pass, error));
  ASSERT_OK(tx_attention_forward(&pass, &batch, &all, p->query, p->key, p->value, got, error));
  tx_pass_close(&pass);
  p->length = TRUNK + FIRST;
  float *first = run_whole(p, tx_kernels_get()->name);
  assert_memory_equal(got, first, (TRUNK + FIRST) * WIDTH * 4);
  float *rows[] = {p->query, p->key, p->value};
  for (int i = 0; i < 3; i++) { /* the second end in the first one's place */
    memmove(rows[i] + TRUNK * WIDTH, rows[i] + (TRUNK + FIRST) * WIDTH, SECOND * WIDTH * 4);
  }
  p->length = TRUNK + SECOND;
  float *second = run_whole(p, tx_kernels_get()->name);
  assert_memory_equal(got + (TRUNK + FIRST) * WIDTH, second + TRUNK * WIDTH, SECOND * WIDTH * 4);
  free(got), free(first), free(second), free_problem(p);
}

/* ---- the gradient ---------------------------------------------------------- */

/* The sum of what all rows give, each weighted by `along`. */
static double plain_loss(const problem *p, const float *along) {
  int64_t size = p->facts.head_size;
  double loss = 0, *out = checked_memory((size_t)size * sizeof *out);
  for (int64_t i = 0; i < p->length; i++) {
    for (int64_t head = 0; head < p->facts.heads; head++) {
      plain(p, i, head, out);
      const float *factors = along + (i * p->facts.heads + head) * size;
      for (int64_t d = 0; d < size; d++) loss += out[d] * (double)factors[d];
    }
  }
  free(out);
  return loss;
}

/* Some elements of each gradient by central differences in double. */
static void check_slopes(problem *p, float *input, const float *gradient, int64_t floats,
                         const float *along) {
  for (int64_t i = floats / 7; i < floats; i += floats / 3) {
    float kept = input[i], up = kept + 0x1p-8f, down = kept - 0x1p-8f;
    input[i] = up;
    double above = plain_loss(p, along);
    input[i] = down;
    double slope = (above - plain_loss(p, along)) / ((double)up - (double)down);
    input[i] = kept;
    if (fabs(slope - (double)gradient[i]) > 1e-3 * (1 + fabs(slope))) {
      fail_msg("length %ld, window %ld, element %ld: %g, by differences %g", (long)p->length,
               (long)p->facts.window, (long)i, (double)gradient[i], slope);
    }
  }
}

static void check_backward(int64_t length, bool causal, int64_t window) {
  problem *p = make_problem(4, 2, 6, length, causal, window);
  int64_t floats = length * 24, kv_floats = length * 12;
  float *attended = run_whole(p, tx_kernels_get()->name), *along = random_floats(floats, 4);
  float *dquery = checked_memory((size_t)floats * 4), *dkey = checked_memory((size_t)kv_floats * 4);
  float *dvalue = checked_memory((size_t)kv_floats * 4);
  cut_batch b = make_batch(length, (cut){0, length, 1});
  tx_wanted all = tx_wanted_all(&b.batch);
  tx_pass pass;
  ASSERT_OK(tx_pass_open(&p->facts, &pass, error));
  ASSERT_OK(tx_attention_backward(&pass, &b.batch, &all, p->query, p->key, p->value, attended,
                                  along, dquery, dkey, dvalue, error));
  check_slopes(p, p->query, dquery, floats, along);
  check_slopes(p, p->key, dkey, kv_floats, along);
  check_slopes(p, p->value, dvalue, kv_floats, along);
  tx_pass_close(&pass);
  free(attended), free(along), free(dquery), free(dkey), free(dvalue);
  free_batch(&b), free_problem(p);
}

static void test_gradient(void **state) {
  (void)state;
  for (int causal = 0; causal < 2; causal++) {
    check_backward(30, causal, 0);
    check_backward(110, causal, 7);
    check_backward(100, causal, 60);
  }
  check_backward(500, true, 0);
}

/* ---- allocations that fail ----------------------------------------------- */

static int attend_again(void *context) {
  const problem *p = context;
  cut_batch b = make_batch(p->length, (cut){0, 20, 1});
  float *attended = calloc((size_t)(p->length * p->facts.heads * p->facts.head_size), 4);
  tx_error error = {0};
  tx_pass pass;
  tx_wanted all = tx_wanted_all(&b.batch);
  failing_at = failing_more; /* from here on */
  failing_more = 0;
  tx_status status = tx_pass_open(&p->facts, &pass, &error);
  if (status == TX_OK) {
    status = tx_attention_forward(&pass, &b.batch, &all, p->query, p->key, p->value, attended,
                                  &error);
    tx_pass_close(&pass);
  }
  failing_more = failing_at;
  failing_at = 0;
  free(attended), free_batch(&b);
  return (int)status;
}

static void test_no_memory(void **state) {
  (void)state;
  problem *p = make_problem(2, 1, 16, 100, true, 0);
  assert_int_equal(attend_again(p), TX_OK);
  for (int64_t call = 1;; call++) {
    int64_t blocks = failing_blocks;
    failing_more = call;
    int status = attend_again(p);
    bool failed = failing_more == 0;
    failing_more = 0;
    assert_int_equal(failing_blocks, blocks);
    assert_int_equal(status, failed ? TX_ERROR_SYSTEM : TX_OK);
    if (!failed) break;
  }
  free_problem(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_against_a_plain_loop),
      cmocka_unit_test(test_one_tile_is_a_whole_softmax),
      cmocka_unit_test(test_same_bits_however_cut),
      cmocka_unit_test(test_wanted_rows),
      cmocka_unit_test(test_branches),
      cmocka_unit_test(test_gradient),
      cmocka_unit_test(test_no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
