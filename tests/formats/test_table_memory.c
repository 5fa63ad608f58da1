/* Every allocation of the readers of tables fails, in turn, in every format:
 * once, and once with all that follow it.  No memory is lost, and the error is
 * TX_ERROR_SYSTEM.  glibc's allocator is
 * called under its own names; a sanitizer brings its own, so there is nothing to
 * do in its builds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/err.h>

#include "base/memory.h"
#include "formats/table.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

#if !defined(__SANITIZE_ADDRESS__)

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void __libc_free(void *block);

static int until_failure; /* 0: none fails */
static bool for_good;     /* and so do all that follow */
static bool reached;      /* one has failed */
static int blocks;        /* in use, less those from before this program counted */

static void *count(void *block) {
  blocks += block != NULL;
  return block;
}

static bool fails(void) {
  if (until_failure == 0) return false;
  if (until_failure > 1) {
    until_failure--;
    return false;
  }
  reached = true;
  if (!for_good) until_failure = 0;
  return true;
}

/* For the libraries too, whose blocks are freed here. */
#pragma GCC visibility push(default)
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
#pragma GCC visibility pop

static char path[64];
static const char *format; /* of the table under `path` */
static bool several;       /* labels a row */

/* Rows of several texts, labels and numbers, and one that is longer than a chunk. */
static void write_table(void) {
  enum { LONG = 70000 };
  char *text = malloc(LONG + 1);
  FILE *file = fopen(path, "wb");
  assert_true(file && text);
  memset(text, 'a', LONG);
  text[LONG] = '\0';
  bool json = strcmp(format, "jsonl") == 0;
  const char *row = json && several ? "{\"title\":%d,\"text\":\"%s\",\"label\":[\"l%d\",\"m\"]}\n"
                    : json          ? "{\"title\":%d,\"text\":\"%s\",\"label\":%d.5}\n"
                    : strcmp(format, "csv") == 0 ? "%d,%s,l%d; m\n"
                                                 : "%d\t%s\tl%d; m\n";
  if (!json) {
    fputs(strcmp(format, "csv") == 0 ? "title,text,label\n" : "title\ttext\tlabel\n", file);
  }
  int rows = json ? 6 : 80; /* an object takes a dozen allocations */
  for (int i = 0; i < rows; i++) fprintf(file, row, i, i == 3 ? text : "b", i % 70);
  assert_int_equal(fclose(file), 0);
  free(text);
}

static tx_table_options options(void) {
  tx_table_options made = tx_table_defaults();
  made.text = "title,text";
  made.format = format;
  made.label_separator = several ? ";" : NULL;
  return made;
}

static tx_status read_rows(tx_error *error) {
  tx_table *table;
  tx_row row;
  bool found = true;
  tx_status status = tx_table_open(path, options(), &table, error);
  while (status == TX_OK && found) status = tx_table_next(table, &row, &found, error);
  tx_table_close(table);
  return status;
}

static tx_status read_set(tx_error *error) {
  tx_dataset *set, *again = NULL;
  tx_status status = tx_dataset_read(path, options(), NULL, &set, error);
  if (status == TX_OK) status = tx_dataset_read(path, options(), set, &again, error);
  tx_dataset_free(again);
  tx_dataset_free(set);
  return status;
}

/* What fails for another reason may lose its list of names, never its status. */
static tx_status miss_column(tx_error *error) {
  tx_table_options asked = options();
  asked.label = "lable";
  tx_table *table;
  tx_row row;
  bool found;
  tx_status status = tx_table_open(path, asked, &table, error);
  if (status == TX_OK) status = tx_table_next(table, &row, &found, error);
  tx_table_close(table);
  return status;
}

/* Blocks that a run with a failure at `at` leaves. */
static int run_once(tx_status (*run)(tx_error *error), int at, tx_status *status) {
  tx_error error = {0};
  int before = blocks;
  reached = false;
  until_failure = at;
  *status = run(&error);
  until_failure = 0;
  ERR_clear_error(); /* libcrypto keeps what it said */
  return blocks - before;
}

/* The number of allocations that `run` makes, each of which failed once.  One
 * failure alone may be got over: libcsv asks again for less, and a message can
 * do without its list of names.  The second of two like runs must leave nothing:
 * libcrypto sets its own list of errors up at the first. */
static int fail_each(tx_status (*run)(tx_error *error), tx_status usual, bool always) {
  for (int at = 1;; at++) {
    tx_status status;
    for_good = always;
    if (run_once(run, at, &status) != 0 && run_once(run, at, &status) != 0) {
      fail_msg("%s: allocation %d: blocks are lost", format, at);
    }
    if (!reached) {
      assert_int_equal(status, usual);
      return at - 1;
    }
    bool may_succeed = !always || usual != TX_OK;
    if (status != TX_ERROR_SYSTEM && !(may_succeed && status == usual)) {
      fail_msg("%s: allocation %d: status %d", format, at, status);
    }
  }
}

static void test_each_allocation_fails(void **state) {
  (void)state;
  static const char *const formats[] = {"csv", "tsv", "jsonl"};
  for (int i = 0; i < 6; i++) {
    format = formats[i % 3];
    several = i >= 3;
    write_table();
    tx_error error = {0};
    assert_int_equal(read_set(&error), TX_OK); /* so that nothing is set up for the first time */
    for (int always = 0; always < 2; always++) {
      assert_true(fail_each(read_rows, TX_OK, always) >= 8);
      assert_true(fail_each(read_set, TX_OK, always) >= 40);
      assert_true(fail_each(miss_column, TX_ERROR_INPUT, always) >= 6);
    }
  }
}

#else

static char path[64];

static void test_each_allocation_fails(void **state) {
  (void)state;
  skip();
}

#endif

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_allocation_fails)};
  snprintf(path, sizeof path, "/tmp/taxon-memory-%ld", (long)getpid());
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  unlink(path);
  return failed;
}
