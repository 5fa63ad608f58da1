/* Allocations of training, opening, classifying and evaluating fail once, in
 * turn: each gives TX_ERROR_SYSTEM, writes no artifact and loses no memory.
 * glibc's allocator is called under its own names; a sanitizer brings its own, so
 * there is nothing to do in its builds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

#if !defined(__SANITIZE_ADDRESS__)

#include "tasks/made.h"

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void __libc_free(void *block);

static int64_t calls, fails_at; /* 0: none fails */
static int64_t blocks;          /* in use, less those from before this program counted */

static void *count(void *block) {
  blocks += block != NULL;
  return block;
}

static bool fails(void) { return ++calls == fails_at; }

void *malloc(size_t size) { return fails() ? NULL : count(__libc_malloc(size)); }
void *calloc(size_t n, size_t size) { return fails() ? NULL : count(__libc_calloc(n, size)); }
void *realloc(void *block, size_t size) {
  if (fails()) return NULL;
  return block ? __libc_realloc(block, size) : count(__libc_realloc(block, size));
}
void free(void *block) {
  blocks -= block != NULL;
  __libc_free(block);
}

/* ---- the jobs ---------------------------------------------------------- */

static tx_train_options options;

static tx_status train(tx_error *error) {
  tx_train_report report;
  return tx_train(&options, &report, NULL, error);
}

static tx_status use(tx_error *error) {
  tx_classifier_options plain = tx_classifier_defaults();
  tx_classifier *classifier;
  tx_evaluation evaluation;
  TX_TRY(tx_classifier_open(made("used.taxon"), plain, &classifier, error));
  tx_status status =
      tx_evaluate(classifier, options.validation, options.table, &evaluation, NULL, error);
  if (status == TX_OK) tx_evaluation_free(&evaluation);
  tx_classifier_close(classifier);
  return status;
}

static tx_status quantise(tx_error *error) {
  tx_quantize_options plain = tx_quantize_defaults();
  tx_quantization result;
  plain.data = options.validation;
  plain.out = made("quantised.taxon");
  plain.tolerance = 100;
  TX_TRY(tx_quantize(made("used.taxon"), plain, &result, NULL, error));
  tx_quantization_free(&result);
  return TX_OK;
}

/* About `tries` of the job's allocations, the first hundred among them. */
static void check(tx_status (*job)(tx_error *), int64_t tries, const char *output) {
  tx_error error = {0};
  fails_at = 0, calls = 0;
  assert_int_equal(job(&error), TX_OK); /* and what the libraries keep for themselves */
  calls = 0;
  int64_t before = blocks;
  assert_int_equal(job(&error), TX_OK);
  assert_int_equal(blocks, before);
  int64_t all = calls, tolerated = 0;
  if (output) unlink(output);
  size_t names = made_names(made_directory);
  assert_true(all > 100);
  for (int64_t n = 1; n <= all; n += n < 100 ? 1 : 1 + all / tries) {
    if (output) unlink(output);
    error = (tx_error){0};
    before = blocks, calls = 0, fails_at = n;
    tx_status status = job(&error);
    fails_at = 0;
    if (status == TX_OK) {
      tolerated++;
    } else if (status != TX_ERROR_SYSTEM || error.status != TX_ERROR_SYSTEM) {
      fail_msg("allocation %d of %d: status %d '%s'", (int)n, (int)all, (int)status, error.message);
    } else if (output) {
      assert_int_equal(made_names(made_directory), names);
    }
    if (blocks != before) {
      fail_msg("allocation %d of %d: %d blocks lost", (int)n, (int)all, (int)(blocks - before));
    }
  }
  assert_in_range(tolerated, 0, tries / 5); /* notes, and states that are kept for another time */
}

static void small_options(tx_method method) {
  options = made_options(method == TX_METHOD_HEAD ? gpt2 : llama, made("failed.taxon"));
  make_table(made("few.tsv"), 1, 9);
  options.data = made("few.tsv");
  options.validation = made("few.tsv");
  options.max_tokens = 6;
  options.method = method;
  options.epochs = 1;
}

static void test_training(void **state) {
  (void)state;
  small_options(TX_METHOD_LAST_BLOCK);
  check(train, 150, options.out);
  small_options(TX_METHOD_HEAD);
  options.penalty = 0;
  options.validation = NULL;
  options.class_weights = TX_CLASS_WEIGHTS_BALANCED;
  check(train, 150, options.out);
  small_options(TX_METHOD_HEAD);
  options.head_solver = TX_HEAD_SGD;
  options.cache_mb = 0;
  check(train, 100, options.out);
  small_options(TX_METHOD_LAST_BLOCK);
  options.precision = TX_PRECISION_AUTO;
  check(train, 150, options.out);
}

/* Several labels a text, folds and seeds. */
static void several_options(void) {
  small_options(TX_METHOD_HEAD);
  write_text(made("several.tsv"), "text\tlabel\nbroke\tbad\nslow\tbad\ngreat\tgood\nsharp\tgood\n"
                                  "rude, free\tbad,good\nrefund, great\tbad,good\nservice\t\n"
                                  "a camera\t\n");
  options.data = made("several.tsv");
  options.validation = made("several.tsv");
  options.table.label_separator = ",";
}

static void test_several(void **state) {
  (void)state;
  several_options();
  options.penalty = 0;
  options.validation = NULL;
  options.folds = options.seeds = 2;
  check(train, 250, options.out);
  several_options();
  options.out = made("used.taxon");
  made_train(options);
  options.table.label_separator = NULL; /* the classifier knows it */
  check(use, 200, NULL);
  check(quantise, 200, made("quantised.taxon"));
}

static void test_paths(void **state) {
  (void)state;
  small_options(TX_METHOD_HEAD);
  write_text(made("paths.tsv"), "text\tlabel\nbroke\ta/b\nslow\ta/b\ngreat\ta/c\nsharp\ta/c\n"
                                "service\td\na camera\td\n");
  options.data = options.validation = made("paths.tsv");
  options.hierarchical = true;
  options.out = made("used.taxon");
  check(train, 100, options.out);
  made_train(options);
  check(use, 200, NULL);
}

static void test_using(void **state) {
  (void)state;
  small_options(TX_METHOD_LAST_BLOCK);
  options.out = made("used.taxon");
  made_train(options);
  check(use, 200, NULL);
  check(quantise, 200, made("quantised.taxon"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_training),
      cmocka_unit_test(test_several),
      cmocka_unit_test(test_paths),
      cmocka_unit_test(test_using),
  };
  return cmocka_run_group_tests(tests, made_setup, made_teardown);
}

#else

static void test_nothing(void **state) {
  (void)state;
  skip();
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_nothing)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
