/* The blend of two scorers: the normalised geometric mean, also at the ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "score/blend.h"

static void near(double got, double want) {
  if (fabs(got - want) > 1e-6) fail_msg("%.9g, not %.9g", got, want);
}

static void test_geometric_mean(void **state) {
  (void)state;
  float a[] = {0.9f, 0.1f, 0.2f, 0.8f};
  const float b[] = {0.4f, 0.6f, 0.5f, 0.5f};
  tx_blend(a, b, 2, 2, 0.5);
  double left = sqrt(0.9 * 0.4), right = sqrt(0.1 * 0.6);
  near((double)a[0], left / (left + right));
  near((double)a[1], right / (left + right));
  left = sqrt(0.2), right = sqrt(0.8);
  near((double)a[2], left / (left + right));
  near((double)a[3], right / (left + right));
}

static void test_ends_are_the_scorers_themselves(void **state) {
  (void)state;
  const float first[] = {0.7f, 0.2f, 0.1f}, second[] = {0.1f, 0.3f, 0.6f};
  float a[3], b[3];
  memcpy(a, first, sizeof a), memcpy(b, first, sizeof b);
  tx_blend(a, second, 1, 3, 0);
  tx_blend(b, second, 1, 3, 1);
  for (int c = 0; c < 3; c++) {
    near((double)a[c], (double)first[c]);
    near((double)b[c], (double)second[c]);
  }
}

/* A probability of 0 has a logarithm too. */
static void test_certainty_on_both_sides(void **state) {
  (void)state;
  float a[] = {1, 0};
  const float b[] = {0, 1};
  tx_blend(a, b, 1, 2, 0.5);
  near((double)a[0], 0.5);
  near((double)a[1], 0.5);
}

/* Each label for itself: of its two sides, as of two labels. */
static void test_sigmoids(void **state) {
  (void)state;
  float a[] = {0.9f, 0.2f, 1, 0};
  const float b[] = {0.4f, 0.5f, 0, 0};
  tx_blend_sigmoids(a, b, 2, 2, 0.25);
  for (int i = 0; i < 2; i++) {
    double p = i ? 0.2 : 0.9, q = (double)b[i];
    double yes = pow(p, 0.75) * pow(q, 0.25), no = pow(1 - p, 0.75) * pow(1 - q, 0.25);
    near((double)a[i], yes / (yes + no));
  }
  near((double)a[2], 1); /* three quarters of certainty against one */
  near((double)a[3], 0);
}

/* ---- scorers ------------------------------------------------------------ */

typedef struct {
  tx_scorer scorer;
  float values[2];
  int calls, freed;
  bool fails;
} fixed;

static tx_status fixed_score(tx_scorer *self, const tx_text *texts, size_t count,
                             float *probabilities, tx_scored *scored, const tx_watch *watch,
                             tx_error *error) {
  fixed *f = (fixed *)self;
  (void)texts, (void)watch;
  f->calls++;
  if (f->fails) return tx_fail(error, TX_ERROR_INPUT, "this one fails");
  for (size_t i = 0; i < count; i++) memcpy(probabilities + 2 * i, f->values, sizeof f->values);
  if (scored) scored->texts += (int64_t)count;
  return TX_OK;
}

static void fixed_free(tx_scorer *self) { ((fixed *)self)->freed++; }

static fixed make(float yes, bool fails) {
  return (fixed){{"fixed", 2, false, fixed_score, fixed_free}, {yes, 1 - yes}, 0, 0, fails};
}

static void test_scorers(void **state) {
  (void)state;
  fixed first = make(0.9f, false), second = make(0.4f, false);
  tx_text texts[3] = {{"a", 1}, {"b", 1}, {"c", 1}};
  float probabilities[6];
  tx_scored scored = {0};
  tx_scorer *both;
  assert_int_equal(tx_blend_new(&first.scorer, &second.scorer, 0.5, &both, NULL), TX_OK);
  assert_int_equal(both->labels, 2);
  assert_int_equal(both->score(both, texts, 3, probabilities, &scored, NULL, NULL), TX_OK);
  assert_int_equal(scored.texts, 3); /* counted once */
  double left = sqrt(0.9 * 0.4), right = sqrt(0.1 * 0.6);
  for (int i = 0; i < 3; i++) near((double)probabilities[2 * i], left / (left + right));
  second.fails = true;
  tx_error error = {0};
  assert_int_equal(both->score(both, texts, 3, probabilities, NULL, NULL, &error), TX_ERROR_INPUT);
  assert_string_equal(error.message, "this one fails");
  tx_scorer_free(both);
  assert_int_equal(first.freed, 1);
  assert_int_equal(second.freed, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_geometric_mean),
      cmocka_unit_test(test_ends_are_the_scorers_themselves),
      cmocka_unit_test(test_certainty_on_both_sides),
      cmocka_unit_test(test_sigmoids),
      cmocka_unit_test(test_scorers),
  };
  return cmocka_run_group_tests_name("blend", tests, NULL, NULL);
}
