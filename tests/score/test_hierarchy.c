/* Paths of labels: what is a path, the sums over nodes, the way down, and a lack of memory. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "failing.h"
#include "score/hierarchy.h"
#include "base/memory.h"

/* Sorted by bytes, as labels are: "a-b" comes before "a/b". */
static const char *const names[] = {"a", "a-b", "a/b", "a/b/c", "a/d", "e/f", "e/g/h/i"};
enum { LABELS = sizeof names / sizeof *names, NODES = 10 };

static void list_labels(tx_text labels[LABELS]) {
  for (int i = 0; i < LABELS; i++) labels[i] = tx_text_of(names[i]);
}

static tx_hierarchy *make(void) {
  tx_text labels[LABELS];
  tx_hierarchy *made;
  list_labels(labels);
  assert_int_equal(tx_hierarchy_new(labels, LABELS, &made, NULL), TX_OK);
  return made;
}

static void test_nodes(void **state) {
  (void)state;
  tx_hierarchy *h = make();
  /* Level by level: a, a-b, e; a/b, a/d, e/f, e/g; a/b/c, e/g/h; e/g/h/i. */
  static const size_t nodes[LABELS] = {0, 1, 3, 7, 4, 5, 9}, levels[LABELS] = {1, 1, 2, 3, 2, 2, 4};
  assert_int_equal(tx_hierarchy_count(h), NODES);
  assert_int_equal(tx_hierarchy_levels(h), 4);
  for (size_t i = 0; i < LABELS; i++) {
    assert_int_equal(tx_hierarchy_node(h, i), nodes[i]);
    assert_int_equal(tx_hierarchy_level(h, nodes[i]), levels[i]);
  }
  assert_int_equal(tx_hierarchy_above(h, 9, 1), 2);
  assert_int_equal(tx_hierarchy_above(h, 9, 3), 8);
  assert_int_equal(tx_hierarchy_above(h, 7, 2), 3);
  assert_int_equal(tx_hierarchy_above(h, 7, 3), 7);
  tx_hierarchy_free(h);
}

static void test_sums(void **state) {
  (void)state;
  tx_hierarchy *h = make();
  const float p[LABELS] = {0.25f, 0.0625f, 0.125f, 0.0625f, 0.25f, 0.125f, 0.125f};
  static const double want[NODES] = {0.6875, 0.0625, 0.25, 0.1875, 0.25,
                                     0.125,  0.125,  0.0625, 0.125, 0.125};
  double got[NODES];
  tx_hierarchy_sum(h, p, got);
  for (int n = 0; n < NODES; n++) assert_true(got[n] == want[n]);
  tx_hierarchy_free(h);
}

/* "a 0.6875,a/d 0.25": the way down. */
static void assert_path(const float *p, const char *want) {
  char got[200] = "";
  tx_path_step steps[4];
  tx_hierarchy *h = make();
  size_t count = tx_hierarchy_path(h, p, steps);
  for (size_t i = 0; i < count; i++) {
    snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s %g", i ? "," : "", steps[i].node,
             steps[i].probability);
  }
  assert_string_equal(got, want);
  tx_hierarchy_free(h);
}

static void test_paths(void **state) {
  (void)state;
  assert_path((const float[]){0.25f, 0, 0.125f, 0.0625f, 0.3125f, 0.125f, 0.125f},
              "a 0.75,a/d 0.3125");
  /* "a" itself is more probable than what is below it */
  assert_path((const float[]){0.5f, 0, 0.25f, 0, 0.25f, 0, 0}, "a 1");
  /* of equals the child, and of children the first */
  assert_path((const float[]){0.25f, 0, 0.25f, 0.25f, 0.25f, 0, 0}, "a 1,a/b 0.5,a/b/c 0.25");
  assert_path((const float[]){0, 0, 0, 0, 0, 0.25f, 0.75f}, "e 1,e/g 0.75,e/g/h 0.75,e/g/h/i 0.75");
  assert_path((const float[]){0, 1, 0, 0, 0, 0, 0}, "a-b 1");
  /* rounding gives no probability above 1 */
  assert_path((const float[]){0.5f, 0, 0.5000001f, 0, 0, 0, 0}, "a 1,a/b 0.5");
}

static void test_checks(void **state) {
  (void)state;
  static const char *const fine[] = {"a", "a/b", "a b/c/d"};
  static const char *const broken[] = {"/a", "a/", "a//b", "/", ""};
  for (size_t i = 0; i < 3; i++) {
    tx_text label = tx_text_of(fine[i]);
    assert_int_equal(tx_hierarchy_check(&label, 1, NULL), TX_OK);
  }
  for (size_t i = 0; i < 5; i++) {
    tx_text labels[] = {tx_text_of("a"), tx_text_of(broken[i])};
    tx_error error = {0};
    char want[64];
    assert_int_equal(tx_hierarchy_check(labels, 2, &error), TX_ERROR_INPUT);
    snprintf(want, sizeof want, "the label '%s' is no path", broken[i]);
    if (!strstr(error.message, want)) fail_msg("%s", error.message);
  }
}

#ifdef FAILING_WORKS
static int make_and_free(void *context) {
  tx_text labels[LABELS];
  tx_hierarchy *made;
  tx_error *error = context;
  *error = (tx_error){0};
  list_labels(labels);
  tx_status status = tx_hierarchy_new(labels, LABELS, &made, error);
  tx_hierarchy_free(made);
  return (int)status;
}

static void check_no_memory(void *context, int64_t call, bool failed, int result) {
  (void)call;
  tx_error *error = context;
  assert_int_equal(result, failed ? TX_ERROR_SYSTEM : TX_OK);
  assert_int_equal(error->status, result);
}

static void test_no_memory(void **state) {
  (void)state;
  tx_error error;
  int64_t blocks = failing_blocks;
  assert_in_range(failing_each(make_and_free, check_no_memory, &error), 4, 100);
  assert_int_equal(failing_blocks, blocks);
}
#else
static void test_no_memory(void **state) { (void)state; }
#endif

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_nodes), cmocka_unit_test(test_sums), cmocka_unit_test(test_paths),
      cmocka_unit_test(test_checks), cmocka_unit_test(test_no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
