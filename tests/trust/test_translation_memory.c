/* Every allocation of BLEU and chrF fails once, in turn: each gives
 * TX_ERROR_SYSTEM and loses no memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "failing.h"
#include "trust/translation.h"

#ifdef FAILING_WORKS

enum { LONG = 3000 };
static char letters[LONG];
static int64_t blocks_before;

static void check_call(void *nothing, int64_t call, bool failed, int status) {
  (void)nothing, (void)call;
  assert_int_equal(status, failed ? TX_ERROR_SYSTEM : TX_OK);
  assert_int_equal(failing_blocks, blocks_before);
}

static int score(void *which) {
  for (int i = 0; i < LONG; i++) letters[i] = "ab. c,-1"[i % 8];
  const tx_text hypotheses[] = {{"a b", 3}, {letters, LONG}};
  const tx_text references[] = {{"a", 1}, {letters + 3, LONG - 3}};
  tx_error error = {0};
  tx_bleu bleu;
  double chrf;
  tx_status status = which ? tx_bleu_corpus(hypotheses, references, 2, &bleu, &error)
                           : tx_chrf_corpus(hypotheses, references, 2, &chrf, &error);
  assert_int_equal(status, error.status);
  return (int)status;
}

static void test_each(void **state) {
  (void)state;
  failing_own_only = true; /* qsort bears a failure of its own */
  blocks_before = failing_blocks;
  assert_true(failing_each(score, check_call, letters) >= 12);
  assert_true(failing_each(score, check_call, NULL) >= 6);
  failing_own_only = false;
}

#else

static void test_each(void **state) {
  (void)state;
  skip();
}

#endif

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_each)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
