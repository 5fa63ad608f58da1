/* The GGUF writer: what it writes is what the reader gives back, the same calls
 * give the same bytes, misuse is told at commit and leaves no file. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "formats/file.h"
#include "formats/gguf_write.h"

static char directory[64], path[96];

static int make_directory(void **state) {
  (void)state;
  snprintf(directory, sizeof directory, "/tmp/taxon-gguf-XXXXXX");
  if (!mkdtemp(directory)) return -1;
  snprintf(path, sizeof path, "%s/model.gguf", directory);
  return 0;
}

static int remove_directory(void **state) {
  (void)state;
  unlink(path);
  return rmdir(directory); /* fails where a test leaves a file behind */
}

static const float weights[6] = {0.5f, -1.25f, 3e-40f, 1e38f, 0.0f, -0.0f};
static const int64_t ids[3] = {INT64_MIN, 0, INT64_MAX};

static tx_gguf_writer *write_everything(void) {
  static unsigned char blocks[2 * 18];
  static const tx_text labels[3] = {{"good", 4}, {"", 0}, {"na\0\xff", 4}};
  static const double numbers[2] = {0.1, -1e300};
  for (size_t i = 0; i < sizeof blocks; i++) blocks[i] = (unsigned char)(7 * i);
  tx_gguf_writer *writer = tx_gguf_writer_new();
  assert_non_null(writer);
  tx_gguf_add_string(writer, "general.architecture", tx_text_of("taxon"));
  tx_gguf_add_int(writer, "taxon.depth", -6);
  tx_gguf_add_float(writer, "taxon.rate", 0.1);
  tx_gguf_add_bool(writer, "taxon.yes", true);
  tx_gguf_add_bool(writer, "taxon.no", false);
  tx_gguf_add_strings(writer, "taxon.labels", labels, 3);
  tx_gguf_add_strings(writer, "taxon.none", NULL, 0);
  tx_gguf_add_ints(writer, "taxon.ids", ids, 3);
  tx_gguf_add_ints(writer, "taxon.no_ids", NULL, 0);
  tx_gguf_add_floats(writer, "taxon.numbers", numbers, 2);
  tx_gguf_add_tensor(writer, "head.weight", TX_TENSOR_F32, 2, (const int64_t[]){3, 2}, weights);
  tx_gguf_add_tensor(writer, "quantised", TX_TENSOR_Q4_0, 1, (const int64_t[]){64}, blocks);
  tx_gguf_add_tensor(writer, "ids", TX_TENSOR_I64, 4, (const int64_t[]){1, 1, 3, 1}, ids);
  return writer;
}

static void check_keys(const tx_gguf *gguf) {
  tx_error error = {0};
  tx_text text;
  int64_t whole;
  double real;
  bool flag;
  assert_int_equal(tx_gguf_string(gguf, "general.architecture", &text, &error), TX_OK);
  assert_int_equal(text.size, 5);
  assert_memory_equal(text.data, "taxon", 5);
  assert_int_equal(tx_gguf_int(gguf, "taxon.depth", &whole, &error), TX_OK);
  assert_int_equal(whole, -6);
  assert_int_equal(tx_gguf_float(gguf, "taxon.rate", &real, &error), TX_OK);
  assert_true(real == 0.1);
  assert_int_equal(tx_gguf_bool(gguf, "taxon.yes", &flag, &error), TX_OK);
  assert_true(flag);
  assert_int_equal(tx_gguf_bool(gguf, "taxon.no", &flag, &error), TX_OK);
  assert_false(flag);
  assert_true(tx_gguf_has(gguf, "taxon.none"));
  assert_false(tx_gguf_has(gguf, "taxon.non"));
}

static void check_arrays(const tx_gguf *gguf) {
  tx_error error = {0};
  const tx_text *strings, *again;
  int64_t *wholes;
  double *reals;
  size_t count;
  assert_int_equal(tx_gguf_strings(gguf, "taxon.labels", &strings, &count, &error), TX_OK);
  assert_int_equal(count, 3);
  assert_int_equal(strings[1].size, 0);
  assert_int_equal(strings[2].size, 4);
  assert_memory_equal(strings[2].data, "na\0\xff", 4);
  assert_int_equal(tx_gguf_strings(gguf, "taxon.labels", &again, &count, &error), TX_OK);
  assert_ptr_equal(again, strings);
  assert_int_equal(tx_gguf_strings(gguf, "taxon.none", &strings, &count, &error), TX_OK);
  assert_int_equal(count, 0);
  assert_int_equal(tx_gguf_ints(gguf, "taxon.ids", &wholes, &count, &error), TX_OK);
  assert_int_equal(count, 3);
  assert_memory_equal(wholes, ids, sizeof ids);
  tx_free(wholes);
  assert_int_equal(tx_gguf_ints(gguf, "taxon.no_ids", &wholes, &count, &error), TX_OK);
  assert_int_equal(count, 0);
  tx_free(wholes);
  assert_int_equal(tx_gguf_floats(gguf, "taxon.numbers", &reals, &count, &error), TX_OK);
  assert_int_equal(count, 2);
  assert_true(reals[0] == 0.1 && reals[1] == -1e300);
  tx_free(reals);
}

static void check_tensors(const tx_gguf *gguf) {
  assert_int_equal(tx_gguf_tensor_count(gguf), 3);
  const tx_tensor *tensor = tx_gguf_tensor_at(gguf, 0);
  assert_string_equal(tensor->name, "head.weight");
  assert_ptr_equal(tensor, tx_gguf_tensor(gguf, "head.weight"));
  assert_int_equal(tensor->dimensions, 2);
  assert_int_equal(tensor->shape[0], 3);
  assert_int_equal(tensor->shape[1], 2);
  assert_int_equal(tensor->shape[3], 1);
  assert_int_equal(tensor->size, sizeof weights);
  assert_memory_equal(tensor->data, weights, sizeof weights);
  tensor = tx_gguf_tensor(gguf, "quantised");
  assert_int_equal(tensor->type, TX_TENSOR_Q4_0);
  assert_int_equal(tensor->size, 36);
  assert_int_equal(tensor->data[35], (7 * 35) & 255);
  tensor = tx_gguf_tensor(gguf, "ids");
  assert_int_equal(tensor->dimensions, 4);
  assert_memory_equal(tensor->data, ids, sizeof ids);
  assert_int_equal(tensor->offset % 32, 0);
  uint64_t size;
  const unsigned char *bytes = tx_gguf_bytes(gguf, &size);
  assert_ptr_equal(bytes + tensor->offset, tensor->data);
  assert_int_equal(size % 32, 0); /* the last tensor is padded too */
  assert_null(tx_gguf_tensor(gguf, "head"));
  assert_null(tx_gguf_tensor(gguf, ""));
  assert_null(tx_gguf_tensor_at(gguf, 3));
}

static void test_gives_back_what_was_written(void **state) {
  (void)state;
  tx_error error = {0};
  tx_gguf_writer *writer = write_everything();
  assert_int_equal(tx_gguf_commit(writer, path, &error), TX_OK);
  tx_gguf_writer_free(writer);
  tx_gguf *gguf;
  assert_int_equal(tx_gguf_open(path, &gguf, &error), TX_OK);
  assert_string_equal(tx_gguf_path(gguf), path);
  check_keys(gguf);
  check_arrays(gguf);
  check_tensors(gguf);
  tx_gguf_close(gguf);
  tx_map map; /* the same through bytes in memory */
  assert_int_equal(tx_map_open(path, &map, &error), TX_OK);
  assert_int_equal(tx_gguf_open_bytes(map.data, map.size, "memory", &gguf, &error), TX_OK);
  check_keys(gguf);
  check_tensors(gguf);
  tx_gguf_close(gguf);
  tx_map_close(&map);
}

static void test_same_calls_same_bytes(void **state) {
  (void)state;
  tx_error error = {0};
  tx_map maps[2];
  for (int i = 0; i < 2; i++) { /* the second replaces the first, which stays mapped */
    tx_gguf_writer *writer = write_everything();
    assert_int_equal(tx_gguf_commit(writer, path, &error), TX_OK);
    tx_gguf_writer_free(writer);
    assert_int_equal(tx_map_open(path, &maps[i], &error), TX_OK);
  }
  assert_int_equal(maps[0].size, maps[1].size);
  assert_memory_equal(maps[0].data, maps[1].data, maps[0].size);
  for (int i = 0; i < 2; i++) tx_map_close(&maps[i]);
}

static void commit(tx_gguf_writer *writer, const char *to) {
  tx_error error = {0};
  if (tx_gguf_commit(writer, to, &error) != TX_OK) fail_msg("%s", error.message);
  tx_gguf_writer_free(writer);
}

/* Another file's keys and tensors make the same file, or one without some keys. */
static void test_all_of_another_file(void **state) {
  (void)state;
  static const char *const without[] = {"taxon.labels", "taxon.none", "not.there"};
  char other[110];
  tx_error error = {0};
  tx_gguf *gguf, *copy;
  snprintf(other, sizeof other, "%s/other.gguf", directory);
  commit(write_everything(), path);
  assert_int_equal(tx_gguf_open(path, &gguf, &error), TX_OK);
  for (size_t left_out = 0; left_out <= 3; left_out += 3) {
    tx_gguf_writer *writer = tx_gguf_writer_new();
    tx_gguf_add_all(writer, gguf, without, left_out);
    commit(writer, other);
    assert_int_equal(tx_gguf_open(other, &copy, &error), TX_OK);
    assert_true(tx_gguf_has(copy, "taxon.labels") == (left_out == 0));
    assert_true(tx_gguf_has(copy, "taxon.numbers"));
    uint64_t size[2];
    const unsigned char *bytes[2] = {tx_gguf_bytes(gguf, &size[0]), tx_gguf_bytes(copy, &size[1])};
    bool same = size[0] == size[1] && memcmp(bytes[0], bytes[1], (size_t)size[0]) == 0;
    assert_true(same == (left_out == 0));
    tx_gguf_close(copy);
  }
  tx_gguf_close(gguf);
  unlink(other);
}

/* ---- rows that are made at commit ---- */

static tx_status read_numbers(void *context, int64_t from, int64_t count, float *values,
                              tx_error *error) {
  const tx_rows *rows = context;
  if (from + count > 3) return tx_fail(error, TX_ERROR_INPUT, "row %d is damaged", 3);
  for (int64_t i = 0; i < count * rows->columns; i++) {
    values[i] = 0.5f * (float)(from * rows->columns + i);
  }
  return TX_OK;
}

static void test_rows_are_made_at_commit(void **state) {
  (void)state;
  tx_error error = {0};
  tx_rows rows = {3, 2, read_numbers, NULL, "rows"};
  rows.context = &rows;
  tx_gguf_writer *writer = tx_gguf_writer_new();
  tx_gguf_add_u32(writer, "depth", 4000000000u);
  tx_gguf_add_rows(writer, "floats", false, 2, (const int64_t[]){2, 3}, &rows);
  tx_gguf_add_rows(writer, "halves", true, 3, (const int64_t[]){2, 1, 3}, &rows);
  assert_int_equal(tx_gguf_commit(writer, path, &error), TX_OK);
  tx_gguf_writer_free(writer);
  tx_gguf *gguf;
  int64_t depth;
  assert_int_equal(tx_gguf_open(path, &gguf, &error), TX_OK);
  assert_int_equal(tx_gguf_int(gguf, "depth", &depth, &error), TX_OK);
  assert_int_equal(depth, 4000000000);
  const float wanted[6] = {0, 0.5f, 1, 1.5f, 2, 2.5f};
  const uint16_t halves[6] = {0, 0x3800, 0x3c00, 0x3e00, 0x4000, 0x4100};
  assert_memory_equal(tx_gguf_tensor(gguf, "floats")->data, wanted, sizeof wanted);
  assert_int_equal(tx_gguf_tensor(gguf, "halves")->type, TX_TENSOR_F16);
  assert_int_equal(tx_gguf_tensor(gguf, "halves")->dimensions, 3);
  assert_memory_equal(tx_gguf_tensor(gguf, "halves")->data, halves, sizeof halves);
  tx_gguf_close(gguf);
}

static void check_rows_fail(const int64_t shape[2], int64_t count, tx_status status,
                            const char *part) {
  tx_error error = {0};
  tx_rows rows = {count, 2, read_numbers, NULL, "rows"};
  rows.context = &rows;
  tx_gguf_writer *writer = tx_gguf_writer_new();
  tx_gguf_add_rows(writer, "floats", false, 2, shape, &rows);
  unlink(path);
  assert_int_equal(tx_gguf_commit(writer, path, &error), status);
  assert_non_null(strstr(error.message, part));
  assert_int_not_equal(access(path, F_OK), 0);
  tx_gguf_writer_free(writer);
}

static void test_rows_that_fail_leave_no_file(void **state) {
  (void)state;
  check_rows_fail((const int64_t[]){2, 4}, 4, TX_ERROR_INPUT, "row 3 is damaged");
  check_rows_fail((const int64_t[]){2, 4}, 3, TX_ERROR_ARGUMENT, "rows of another shape");
  check_rows_fail((const int64_t[]){3, 3}, 3, TX_ERROR_ARGUMENT, "rows of another shape");
}

static void test_nothing_at_all_is_a_file(void **state) {
  (void)state;
  tx_error error = {0};
  tx_gguf_writer *writer = tx_gguf_writer_new();
  assert_int_equal(tx_gguf_commit(writer, path, &error), TX_OK);
  tx_gguf_writer_free(writer);
  tx_gguf *gguf;
  assert_int_equal(tx_gguf_open(path, &gguf, &error), TX_OK);
  assert_int_equal(tx_gguf_tensor_count(gguf), 0);
  assert_false(tx_gguf_has(gguf, "general.architecture"));
  tx_gguf_close(gguf);
}

static void add_key_twice(tx_gguf_writer *writer) {
  tx_gguf_add_int(writer, "a", 1);
  tx_gguf_add_bool(writer, "a", true);
}
static void add_empty_key(tx_gguf_writer *writer) { tx_gguf_add_int(writer, "", 1); }
static void add_alignment(tx_gguf_writer *writer) {
  tx_gguf_add_int(writer, "general.alignment", 64);
}
static void add_tensor_twice(tx_gguf_writer *writer) {
  tx_gguf_add_tensor(writer, "t", TX_TENSOR_F32, 1, (const int64_t[]){6}, weights);
  tx_gguf_add_tensor(writer, "t", TX_TENSOR_F32, 1, (const int64_t[]){2}, weights);
}
static void add_long_name(tx_gguf_writer *writer) {
  char name[65];
  memset(name, 'x', 64);
  name[64] = '\0';
  tx_gguf_add_tensor(writer, name, TX_TENSOR_F32, 1, (const int64_t[]){6}, weights);
}
static void add_unknown_type(tx_gguf_writer *writer) {
  tx_gguf_add_tensor(writer, "t", (tx_tensor_type)10, 1, (const int64_t[]){256}, weights);
}
static void add_dimensions(tx_gguf_writer *writer) {
  tx_gguf_add_tensor(writer, "t", TX_TENSOR_F32, 5, (const int64_t[]){1, 1, 1, 1, 1}, weights);
}
static void add_zero(tx_gguf_writer *writer) {
  tx_gguf_add_tensor(writer, "t", TX_TENSOR_F32, 2, (const int64_t[]){6, 0}, weights);
}
static void add_overflow(tx_gguf_writer *writer) {
  tx_gguf_add_tensor(writer, "t", TX_TENSOR_F32, 2, (const int64_t[]){INT64_MAX, 2}, weights);
}
static void add_large(tx_gguf_writer *writer) {
  tx_gguf_add_tensor(writer, "t", TX_TENSOR_F32, 1, (const int64_t[]){INT64_MAX}, weights);
}
static void add_part_of_a_block(tx_gguf_writer *writer) {
  tx_gguf_add_tensor(writer, "t", TX_TENSOR_Q8_0, 1, (const int64_t[]){33}, weights);
}
static void add_no_data(tx_gguf_writer *writer) {
  tx_gguf_add_tensor(writer, "t", TX_TENSOR_F32, 1, (const int64_t[]){6}, NULL);
}

static void add_no_dimensions(tx_gguf_writer *writer) {
  tx_gguf_add_tensor(writer, "t", TX_TENSOR_F32, 0, (const int64_t[]){1}, weights);
}
static void add_beyond_any_file(tx_gguf_writer *writer) { /* 2^62 bytes each; none is read */
  for (int i = 0; i < 4; i++) {
    char name[2] = {(char)('a' + i), 0};
    tx_gguf_add_tensor(writer, name, TX_TENSOR_F32, 1, (const int64_t[]){(int64_t)1 << 60},
                       weights);
  }
}
static void add_unpadded(tx_gguf_writer *writer) {
  static const int64_t most[] = {INT64_MAX / 2 - 15}, rest[] = {31};
  tx_gguf_add_tensor(writer, "a", TX_TENSOR_F16, 1, most, weights);
  tx_gguf_add_tensor(writer, "b", TX_TENSOR_F16, 1, most, weights);
  tx_gguf_add_tensor(writer, "c", TX_TENSOR_F16, 1, rest, weights);
}
/* After a failure every add is without effect. */
static void add_all_after_a_failure(tx_gguf_writer *writer) {
  tx_gguf_add_int(writer, "", 1);
  tx_gguf_add_int(writer, "int", 1);
  tx_gguf_add_bool(writer, "bool", true);
  tx_gguf_add_float(writer, "float", 1);
  tx_gguf_add_string(writer, "string", tx_text_of("s"));
  tx_gguf_add_strings(writer, "strings", NULL, 1);
  tx_gguf_add_ints(writer, "ints", NULL, 1);
  tx_gguf_add_floats(writer, "floats", NULL, 1);
  tx_gguf_add_tensor(writer, "t", TX_TENSOR_F32, 1, (const int64_t[]){6}, weights);
}

static void test_impossible_counts_are_no_memory(void **state) {
  (void)state;
  static const size_t counts[] = {SIZE_MAX, SIZE_MAX / 8, SIZE_MAX / 16 + 1};
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
    tx_error error = {0};
    tx_gguf_writer *writer = tx_gguf_writer_new();
    tx_gguf_add_ints(writer, "many", NULL, counts[i]); /* not read: there is no room for them */
    assert_int_equal(tx_gguf_commit(writer, path, &error), TX_ERROR_SYSTEM);
    assert_non_null(strstr(error.message, "out of memory"));
    tx_gguf_writer_free(writer);
  }
}

static void test_misuse_is_told_at_commit(void **state) {
  (void)state;
  static const struct {
    void (*add)(tx_gguf_writer *writer);
    const char *message;
  } cases[] = {
      {add_key_twice, "key 'a' is added twice; add it once"},
      {add_empty_key, "the name of a key has 0 bytes, it needs 1 to 65535; choose another name"},
      {add_alignment, "key 'general.alignment' is not the caller's: it is always 32; leave it out"},
      {add_tensor_twice, "tensor 't' is added twice; add it once"},
      {add_long_name, "the name of a tensor has 64 bytes, it needs 1 to 63; choose another name"},
      {add_unknown_type, "tensor 't' has the unknown type 10; choose another"},
      {add_dimensions, "tensor 't' has 5 dimensions, 1 to 4 are written; reshape it"},
      {add_zero,
       "tensor 't' has 0 as dimension 2, which makes no shape; leave it out or reshape it"},
      {add_overflow,
       "tensor 't' has 2 as dimension 2, which makes no shape; leave it out or reshape it"},
      {add_large, "tensor 't' is larger than any file; reshape it"},
      {add_part_of_a_block,
       "tensor 't' has rows of 33 values, not whole blocks of 32 as Q8_0 needs; choose another "
       "type"},
      {add_no_data, "tensor 't' has no data; give it some"},
      {add_no_dimensions, "tensor 't' has 0 dimensions, 1 to 4 are written; reshape it"},
      {add_beyond_any_file, "tensor 'd' does not fit into a file; leave it out"},
      {add_unpadded, "tensor 'c' does not fit into a file; leave it out"},
      {add_all_after_a_failure,
       "the name of a key has 0 bytes, it needs 1 to 65535; choose another name"},
  };
  unlink(path);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    tx_error error = {0};
    tx_gguf_writer *writer = tx_gguf_writer_new();
    cases[i].add(writer);
    tx_gguf_add_int(writer, "later", 1); /* does not hide the failure */
    assert_int_equal(tx_gguf_commit(writer, path, &error), TX_ERROR_ARGUMENT);
    assert_string_equal(error.message, cases[i].message);
    assert_int_not_equal(access(path, F_OK), 0);
    tx_gguf_writer_free(writer);
  }
}

static void test_failed_commit_can_be_tried_again(void **state) {
  (void)state;
  tx_error error = {0};
  tx_gguf_writer *writer = write_everything();
  assert_int_equal(tx_gguf_commit(writer, "/nonexistent/model.gguf", &error), TX_ERROR_SYSTEM);
  assert_string_equal(error.message,
                      "cannot write /nonexistent/model.gguf: No such file or directory; make its "
                      "directory first");
  error = (tx_error){0};
  assert_int_equal(tx_gguf_commit(writer, path, &error), TX_OK);
  tx_gguf_writer_free(writer);
  tx_gguf_writer_free(NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_gives_back_what_was_written),
      cmocka_unit_test(test_same_calls_same_bytes),
      cmocka_unit_test(test_all_of_another_file),
      cmocka_unit_test(test_rows_are_made_at_commit),
      cmocka_unit_test(test_rows_that_fail_leave_no_file),
      cmocka_unit_test(test_nothing_at_all_is_a_file),
      cmocka_unit_test(test_impossible_counts_are_no_memory),
      cmocka_unit_test(test_misuse_is_told_at_commit),
      cmocka_unit_test(test_failed_commit_can_be_tried_again),
  };
  return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
