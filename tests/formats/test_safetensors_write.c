/* The safetensors writer by the format's own rules: the length in front, a JSON header that
 * ends on 8 bytes, offsets without a gap that cover the rest of the file, the numbers as
 * they were given; F16 rounded to the nearest; misuse told at commit, and no file. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "formats/safetensors_write.h"
#include "kernels/dequantize.h"
#include "formats/gguf.h"
#include "tasks/made.h"

typedef struct {
  const float *values;
  int64_t columns, asked; /* asked: rows so far */
} source;

static tx_status read_source(void *context, int64_t from, int64_t count, float *values,
                             tx_error *error) {
  source *s = context;
  (void)error;
  assert_int_equal(from, s->asked); /* once each, rising */
  s->asked += count;
  memcpy(values, s->values + from * s->columns, (size_t)(count * s->columns) * sizeof *values);
  return TX_OK;
}

static tx_status read_broken(void *context, int64_t from, int64_t count, float *values,
                             tx_error *error) {
  (void)context, (void)from, (void)count, (void)values;
  return tx_fail(error, TX_ERROR_INPUT, "the source is broken");
}

static tx_rows rows(source *s, int64_t count, int64_t columns, const float *values) {
  *s = (source){values, columns, 0};
  return (tx_rows){count, columns, read_source, s, "a tensor"};
}

static const float numbers[] = {0.5f, -1.25f, 3e-40f, 1e38f, 0.0f, -0.0f};
static const float halves[] = {1.0f, -65504.0f, 6e-8f, 0.1f, 2049.0f};

/* ---- reading it back ----------------------------------------------------- */

static json_t *read_header(const char *data, size_t size, const char **payload) {
  uint64_t length;
  json_error_t why;
  assert_true(size > 8);
  memcpy(&length, data, sizeof length);
  assert_int_equal(length % 8, 0);
  assert_true(length <= size - 8);
  assert_int_equal(data[8], '{');
  json_t *header = json_loadb(data + 8, length, 0, &why); /* spaces may follow */
  if (!header) fail_msg("%s", why.text);
  *payload = data + 8 + length;
  return header;
}

/* The place of a tensor, which starts at `begin`; gives its end. */
static int64_t check_fact(json_t *header, const char *name, const char *type, const char *shape,
                          int64_t begin) {
  json_t *fact = json_object_get(header, name), *offsets = json_object_get(fact, "data_offsets");
  assert_non_null(fact);
  assert_string_equal(json_string_value(json_object_get(fact, "dtype")), type);
  char *found = json_dumps(json_object_get(fact, "shape"), JSON_COMPACT);
  assert_string_equal(found, shape);
  free(found);
  assert_int_equal(json_integer_value(json_array_get(offsets, 0)), begin);
  return json_integer_value(json_array_get(offsets, 1));
}

static void test_what_is_written(void **state) {
  (void)state;
  source sources[3];
  tx_rows matrix = rows(&sources[0], 2, 3, numbers), half = rows(&sources[1], 1, 5, halves);
  tx_rows vector = rows(&sources[2], 1, 6, numbers);
  tx_safetensors *writer = tx_safetensors_new();
  tx_safetensors_add(writer, "model.größe", false, 2, &matrix);
  tx_safetensors_add(writer, "half", true, 1, &half);
  tx_safetensors_add(writer, "vector", false, 1, &vector);
  MADE_OK(tx_safetensors_commit(writer, made("a.safetensors"), error));
  tx_safetensors_free(writer);
  size_t size;
  const char *payload;
  char *data = read_bytes(made("a.safetensors"), &size);
  json_t *header = read_header(data, size, &payload);
  assert_int_equal(json_object_size(header), 4);
  json_t *format = json_object_get(json_object_get(header, "__metadata__"), "format");
  assert_string_equal(json_string_value(format), "pt");
  int64_t end = check_fact(header, "model.größe", "F32", "[2,3]", 0);
  assert_int_equal(end, 24);
  assert_memory_equal(payload, numbers, 24);
  assert_int_equal(check_fact(header, "half", "F16", "[5]", 24), 34);
  float widened[5];
  tx_dequantize(TX_TENSOR_F16, (const unsigned char *)payload + 24, 5, widened);
  const float rounded[] = {1.0f, -65504.0f, 0x1p-24f, 0x1.998p-4f, 2048.0f}; /* 2049: to even */
  assert_memory_equal(widened, rounded, sizeof rounded);
  assert_int_equal(check_fact(header, "vector", "F32", "[6]", 34), 58);
  assert_memory_equal(payload + 34, numbers, 24);
  assert_ptr_equal(payload + 58, data + size);
  json_decref(header);
  free(data);
}

/* Every finite half is written as itself, and what lies between two goes to the nearer. */
static void test_halves(void **state) {
  (void)state;
  enum { HALVES = 0x7c00 };
  static uint16_t all[HALVES];
  static float values[HALVES], between[HALVES - 1];
  for (int i = 0; i < HALVES; i++) all[i] = (uint16_t)i;
  tx_dequantize(TX_TENSOR_F16, (const unsigned char *)all, HALVES, values);
  for (int i = 0; i + 1 < HALVES; i++) between[i] = -(values[i] + (values[i + 1] - values[i]) / 2);
  source sources[2];
  tx_rows exact = rows(&sources[0], HALVES / 16, 16, values);
  tx_rows ties = rows(&sources[1], 1, HALVES - 1, between);
  tx_safetensors *writer = tx_safetensors_new();
  tx_safetensors_add(writer, "exact", true, 2, &exact);
  tx_safetensors_add(writer, "ties", true, 1, &ties);
  MADE_OK(tx_safetensors_commit(writer, made("h.safetensors"), error));
  tx_safetensors_free(writer);
  size_t size;
  const char *payload;
  char *data = read_bytes(made("h.safetensors"), &size);
  json_decref(read_header(data, size, &payload));
  assert_memory_equal(payload, all, sizeof all);
  for (int i = 0; i + 1 < HALVES; i++) {
    uint16_t half;
    memcpy(&half, payload + sizeof all + (size_t)i * 2, sizeof half);
    assert_int_equal(half, 0x8000 | (i % 2 ? i + 1 : i)); /* a tie goes to the even one */
  }
  free(data);
}

/* More than is held at a time. */
static void test_many_rows(void **state) {
  (void)state;
  enum { ROWS = 5, COLUMNS = 400000 };
  float *values = calloc((size_t)ROWS * COLUMNS, sizeof *values);
  for (int i = 0; i < ROWS * COLUMNS; i++) values[i] = (float)i;
  source s;
  tx_rows large = rows(&s, ROWS, COLUMNS, values);
  tx_safetensors *writer = tx_safetensors_new();
  tx_safetensors_add(writer, "large", false, 2, &large);
  MADE_OK(tx_safetensors_commit(writer, made("l.safetensors"), error));
  tx_safetensors_free(writer);
  assert_int_equal(s.asked, ROWS);
  size_t size;
  const char *payload;
  char *data = read_bytes(made("l.safetensors"), &size);
  json_decref(read_header(data, size, &payload));
  assert_memory_equal(payload, values, (size_t)ROWS * COLUMNS * sizeof *values);
  free(data), free(values);
}

/* ---- what is refused ------------------------------------------------------ */

static void check_misuse(const char *name, bool half, int dimensions, const tx_rows *of,
                         tx_status status, const char *part) {
  source s;
  tx_rows good = rows(&s, 2, 3, numbers);
  size_t before = made_names(made_directory);
  tx_safetensors *writer = tx_safetensors_new();
  tx_safetensors_add(writer, "good", false, 2, &good);
  tx_safetensors_add(writer, name, half, dimensions, of);
  MADE_FAILS(tx_safetensors_commit(writer, made("never.safetensors"), error), status, part);
  tx_safetensors_free(writer);
  assert_int_equal(made_names(made_directory), before);
}

static void test_misuse(void **state) {
  (void)state;
  static const float large[] = {65520.0f};
  source s;
  tx_rows matrix = rows(&s, 2, 3, numbers);
  check_misuse("good", false, 2, &matrix, TX_ERROR_ARGUMENT, "used twice");
  check_misuse("", false, 2, &matrix, TX_ERROR_ARGUMENT, "empty");
  check_misuse("__metadata__", false, 2, &matrix, TX_ERROR_ARGUMENT, "reserved");
  check_misuse("\xff", false, 2, &matrix, TX_ERROR_ARGUMENT, "not UTF-8");
  check_misuse("a", false, 1, &matrix, TX_ERROR_ARGUMENT, "no shape");
  check_misuse("a", false, 3, &matrix, TX_ERROR_ARGUMENT, "no shape");
  tx_rows huge = rows(&s, INT64_MAX / 2, 3, numbers), none = rows(&s, 0, 3, numbers);
  check_misuse("a", false, 2, &huge, TX_ERROR_ARGUMENT, "larger than any file");
  check_misuse("a", false, 2, &none, TX_ERROR_ARGUMENT, "no shape");
  tx_rows over = rows(&s, 1, 1, large);
  check_misuse("a", true, 1, &over, TX_ERROR_ARGUMENT, "too large for f16");
  tx_rows broken = {1, 1, read_broken, NULL, "a"};
  check_misuse("a", false, 1, &broken, TX_ERROR_INPUT, "the source is broken");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_what_is_written),
      cmocka_unit_test(test_halves),
      cmocka_unit_test(test_many_rows),
      cmocka_unit_test(test_misuse),
  };
  return cmocka_run_group_tests(tests, made_setup, made_teardown);
}
