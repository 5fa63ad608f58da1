/* Tables of any number of labels a row: cells and arrays, marks, the rarest label, and what is
 * refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "formats/table.h"
#pragma GCC diagnostic ignored "-Wunused-function" /* of what only other tests use */
#include "formats/table_make.h"

static tx_table_options separated(const char *separator) {
  tx_table_options options = tx_table_defaults();
  options.label_separator = separator;
  return options;
}

/* "a,b,c: 110 001 000 | rarest 1 2 3". */
static const char *summary(const tx_dataset *data) {
  static char out[400];
  size_t used = 0;
  for (int c = 0; c < data->classes; c++) {
    used += (size_t)snprintf(out + used, sizeof out - used, "%s%s", c ? "," : "", data->names[c]);
  }
  used += (size_t)snprintf(out + used, sizeof out - used, ":");
  for (int64_t i = 0; i < data->rows; i++) {
    out[used++] = ' ';
    const uint8_t *marks = data->marks + i * data->classes;
    for (int c = 0; c < data->classes; c++) out[used++] = (char)('0' + marks[c]);
  }
  used += (size_t)snprintf(out + used, sizeof out - used, " | rarest");
  for (int64_t i = 0; i < data->rows; i++) {
    used += (size_t)snprintf(out + used, sizeof out - used, " %d", data->labels[i]);
  }
  return out;
}

static void assert_reads(const char *file, const char *bytes, const char *separator,
                         const char *want) {
  tx_dataset *data;
  tx_error error = {0};
  const char *path = write_file(file, bytes, strlen(bytes));
  if (tx_dataset_read(path, separated(separator), NULL, &data, &error) != TX_OK) {
    fail_msg("%s: %s", bytes, error.message);
  }
  assert_string_equal(summary(data), want);
  tx_dataset_free(data);
}

static void test_cells(void **state) {
  (void)state;
  const char *want = "a,b,c: 110 001 000 100 | rarest 1 2 3 0";
  assert_reads("m.tsv", "text\tlabel\nx\ta,b\ny\tc\nz\t\nw\ta\n", ",", want);
  assert_reads("m.tsv", "text\tlabel\nx\t b ,  a \ny\tc\nz\t  \nw\ta,a\n", ",", want);
  assert_reads("m.csv", "text,label\nx,\"a,b\"\ny,c\nz,\nw,a\n", ",", want);
  assert_reads("m.csv", "text,label\nx,a;b\ny,c\nz,\nw,a\n", ";", want);
  assert_reads("m.jsonl",
               "{\"text\":\"x\",\"label\":[\"b\",\"a\"]}\n{\"text\":\"y\",\"label\":\"c\"}\n"
               "{\"text\":\"z\",\"label\":[]}\n{\"text\":\"w\",\"label\":[\"a\"]}\n",
               ",", want);
  assert_reads("m.tsv", "text\tlabel\nx\ta,b\n", ";", "a,b: 1 | rarest 0");
  assert_reads("m.tsv", "text\tlabel\n", ",", ": | rarest");
}

static void assert_refused(const char *file, const char *bytes, tx_status status,
                           const char *separator, const char *part) {
  tx_dataset *data;
  tx_error error = {0};
  char sentence[1400];
  const char *path = write_file(file, bytes, strlen(bytes));
  assert_int_equal(tx_dataset_read(path, separated(separator), NULL, &data, &error), status);
  tx_error_sentence(&error, sentence, sizeof sentence);
  if (!strstr(sentence, part)) fail_msg("'%s' is not in '%s'", part, sentence);
}

static void test_refused(void **state) {
  (void)state;
  const char *head = "text\tlabel\n";
  char table[64];
  static const char *const empty[] = {"x\ta,\n", "x\t,a\n", "x\ta,,b\n", "x\t,\n"};
  for (size_t i = 0; i < 4; i++) {
    snprintf(table, sizeof table, "%s%s", head, empty[i]);
    assert_refused("r.tsv", table, TX_ERROR_INPUT, ",",
                   "r.tsv:2: a label before or after ',' is empty; remove the ','");
  }
  assert_refused("r.jsonl", "{\"text\":\"x\",\"label\":[\"a,b\"]}\n", TX_ERROR_INPUT, ",",
                 "the label 'a,b' holds ',', which separates labels");
  assert_refused("r.jsonl", "{\"text\":\"x\",\"label\":[1]}\n", TX_ERROR_INPUT, ",",
                 "the array 'label' holds what is no string");
  assert_refused("r.jsonl", "{\"text\":[\"x\"],\"label\":[]}\n", TX_ERROR_INPUT, ",",
                 "the value of 'text' is an array");
  assert_refused("r.jsonl", "{\"text\":\"x\",\"label\":null}\n", TX_ERROR_INPUT, ",",
                 "it must be an array of strings, a string, a number");
  static const char *const separators[] = {"", "ab", " ", "\n", "\xc3"};
  for (size_t i = 0; i < 5; i++) {
    assert_refused("r.tsv", head, TX_ERROR_ARGUMENT, separators[i], "one ASCII character");
  }
}

/* Against known labels: any other is named. */
static void test_known(void **state) {
  (void)state;
  tx_dataset *data, *other = NULL;
  tx_error error = {0};
  const char *text = "text\tlabel\nx\ta,b\ny\tc\n", *more = "text\tlabel\nx\tc,a\n";
  assert_int_equal(tx_dataset_read(write_file("k.tsv", text, strlen(text)), separated(","), NULL,
                                   &data, NULL), TX_OK);
  assert_int_equal(tx_dataset_read(write_file("l.tsv", more, strlen(more)), separated(","), data,
                                   &other, NULL), TX_OK);
  assert_string_equal(summary(other), "a,b,c: 101 | rarest 0");
  tx_dataset_free(other);
  more = "text\tlabel\nx\ta,d\n";
  assert_int_equal(tx_dataset_read(write_file("l.tsv", more, strlen(more)), separated(","), data,
                                   &other, &error), TX_ERROR_INPUT);
  assert_non_null(strstr(error.message, "the label 'd' is not known; the labels are: a, b, c"));
  tx_dataset_free(data);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_cells), cmocka_unit_test(test_refused),
                                     cmocka_unit_test(test_known)};
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
