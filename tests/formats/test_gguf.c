/* The GGUF reader on files made by hand: what it gives back, values that are
 * missing or of another kind, damage at every byte, and the largest tables. */
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

#include "formats/gguf_make.h"

/* A small file with every type of value and two tensors. */
static void whole_file(tx_buffer *file) {
  static const uint64_t bits = 0x3fb999999999999a; /* 0.1 */
  header(file, 3, 2, 21);
  key(file, "u8", U8), u8(file, 255);
  key(file, "i8", I8), u8(file, 255);
  key(file, "u16", U16), raw(file, "\xff\xff", 2);
  key(file, "i16", I16), raw(file, "\xff\xff", 2);
  key(file, "u32", U32), u32(file, UINT32_MAX);
  key(file, "i32", I32), u32(file, UINT32_MAX);
  key(file, "u64", U64), u64(file, INT64_MAX);
  key(file, "u64.large", U64), u64(file, (uint64_t)1 << 63);
  key(file, "i64", I64), u64(file, (uint64_t)1 << 63);
  key(file, "f32", F32), u32(file, 0x3e800000);
  key(file, "f64", F64), u64(file, bits);
  key(file, "bool", BOOL), u8(file, 1);
  key(file, "string", STRING), string(file, "text");
  key(file, "general.alignment", U32), u32(file, 64);
  array(file, "strings", STRING, 3), string(file, "a"), string(file, ""), string(file, "bcd");
  array(file, "i8s", I8, 3), raw(file, "\x01\xff\x80", 3);
  array(file, "u64s", U64, 2), u64(file, 5), u64(file, UINT64_MAX);
  array(file, "f32s", F32, 2), u32(file, 0x3f800000), u32(file, 0xbf800000);
  array(file, "f64s", F64, 1), u64(file, bits);
  array(file, "bools", BOOL, 2), u8(file, 0), u8(file, 1);
  array(file, "empty", U16, 0);
  tensor(file, "second", TX_TENSOR_Q8_0, 64, 2, (uint64_t)32, (uint64_t)2);
  tensor(file, "first", TX_TENSOR_F32, 0, 1, (uint64_t)5);
  pad(file, 64);
  zeros(file, 64 + 68);
}

/* ---- what a good file gives -------------------------------------------- */

static void test_converts_whole_numbers(void **state) {
  (void)state;
  static const struct {
    const char *key;
    int64_t value;
  } cases[] = {{"u8", 255},         {"i8", -1},  {"u16", 65535},     {"i16", -1},
               {"u32", UINT32_MAX}, {"i32", -1}, {"u64", INT64_MAX}, {"i64", INT64_MIN}};
  tx_buffer file = {0};
  unsigned char *copy;
  tx_error error = {0};
  tx_gguf *gguf;
  int64_t value, *values;
  size_t count;
  whole_file(&file);
  assert_int_equal(open_copy(file.data, file.size, &gguf, &copy, &error), TX_OK);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_int_equal(tx_gguf_int(gguf, cases[i].key, &value, &error), TX_OK);
    assert_true(value == cases[i].value);
  }
  assert_int_equal(tx_gguf_ints(gguf, "i8s", &values, &count, &error), TX_OK);
  assert_int_equal(count, 3);
  assert_true(values[0] == 1 && values[1] == -1 && values[2] == -128);
  tx_free(values);
  assert_int_equal(tx_gguf_ints(gguf, "empty", &values, &count, &error), TX_OK);
  assert_int_equal(count, 0);
  tx_free(values);
  tx_gguf_close(gguf);
  tx_free(copy);
  tx_buffer_free(&file);
}

static void test_gives_real_numbers_and_tensors(void **state) {
  (void)state;
  tx_buffer file = {0};
  unsigned char *copy;
  tx_error error = {0};
  tx_gguf *gguf;
  double value, *values;
  size_t count;
  whole_file(&file);
  assert_int_equal(open_copy(file.data, file.size, &gguf, &copy, &error), TX_OK);
  assert_int_equal(tx_gguf_float(gguf, "f32", &value, &error), TX_OK);
  assert_true(value == 0.25);
  assert_int_equal(tx_gguf_float(gguf, "f64", &value, &error), TX_OK);
  assert_true(value == 0.1);
  assert_int_equal(tx_gguf_floats(gguf, "f32s", &values, &count, &error), TX_OK);
  assert_int_equal(count, 2);
  assert_true(values[0] == 1 && values[1] == -1);
  tx_free(values);
  const tx_tensor *first = tx_gguf_tensor(gguf, "first"), *second = tx_gguf_tensor(gguf, "second");
  assert_ptr_equal(tx_gguf_tensor_at(gguf, 0), second); /* the order of the table */
  assert_int_equal(first->size, 20);
  assert_int_equal(second->size, 68);
  assert_int_equal(second->offset - first->offset, 64);
  assert_ptr_equal(second->data + second->size, copy + file.size);
  tx_gguf_close(gguf);
  tx_gguf_close(NULL);
  tx_free(copy);
  tx_buffer_free(&file);
}

static void test_reads_version_2(void **state) {
  (void)state;
  tx_buffer file = {0};
  tx_error error = {0};
  tx_gguf *gguf;
  header(&file, 2, 0, 0);
  assert_int_equal(tx_gguf_open_bytes(file.data, file.size, "m.gguf", &gguf, &error), TX_OK);
  assert_false(tx_gguf_has(gguf, "u8"));
  assert_null(tx_gguf_tensor(gguf, "first"));
  tx_gguf_close(gguf);
  tx_buffer_free(&file);
}

/* ---- values that are missing or of another kind ------------------------ */

static tx_status get(const tx_gguf *gguf, const char *how, const char *name, tx_error *error) {
  int64_t whole, *wholes = NULL;
  double real, *reals = NULL;
  bool flag;
  tx_text text;
  const tx_text *strings;
  size_t count;
  tx_status status = TX_ERROR_ARGUMENT;
  if (strcmp(how, "int") == 0) status = tx_gguf_int(gguf, name, &whole, error);
  if (strcmp(how, "float") == 0) status = tx_gguf_float(gguf, name, &real, error);
  if (strcmp(how, "bool") == 0) status = tx_gguf_bool(gguf, name, &flag, error);
  if (strcmp(how, "string") == 0) status = tx_gguf_string(gguf, name, &text, error);
  if (strcmp(how, "strings") == 0) status = tx_gguf_strings(gguf, name, &strings, &count, error);
  if (strcmp(how, "ints") == 0) status = tx_gguf_ints(gguf, name, &wholes, &count, error);
  if (strcmp(how, "floats") == 0) status = tx_gguf_floats(gguf, name, &reals, &count, error);
  tx_free(wholes);
  tx_free(reals);
  return status;
}

static void test_names_file_and_key(void **state) {
  (void)state;
  static const char *const missing =
      "m.gguf: key 'none' is missing; the file is of another kind or was not converted "
      "completely, fetch or convert it again";
  static const struct {
    const char *how, *key, *sentence;
  } cases[] = {
      {"int", "none", NULL},
      {"float", "none", NULL},
      {"bool", "none", NULL},
      {"string", "none", NULL},
      {"strings", "none", NULL},
      {"ints", "none", NULL},
      {"floats", "none", NULL},
      {"int", "string",
       "m.gguf: byte 278: key 'string' is a string, not a whole number; convert the model again"},
      {"int", "f32",
       "m.gguf: byte 216: key 'f32' is a real number, not a whole number; convert the model again"},
      {"int", "bool",
       "m.gguf: byte 259: key 'bool' is true or false, not a whole number; convert the model "
       "again"},
      {"int", "u64.large",
       "m.gguf: byte 170: key 'u64.large' holds a number beyond 2^63 - 1; the file is damaged, "
       "fetch it again"},
      {"int", "u64s",
       "m.gguf: byte 440: key 'u64s' is an array of whole numbers, not a whole number; convert the "
       "model again"},
      {"float", "u32",
       "m.gguf: byte 103: key 'u32' is a whole number, not a real number; convert the model again"},
      {"bool", "u8",
       "m.gguf: byte 38: key 'u8' is a whole number, not true or false; convert the model again"},
      {"string", "strings",
       "m.gguf: byte 354: key 'strings' is an array of strings, not a string; convert the model "
       "again"},
      {"string", "u8",
       "m.gguf: byte 38: key 'u8' is a whole number, not a string; convert the model again"},
      {"strings", "string",
       "m.gguf: byte 278: key 'string' is a string, not an array of strings; convert the model "
       "again"},
      {"strings", "i8s",
       "m.gguf: byte 409: key 'i8s' is an array of whole numbers, not an array of strings; convert "
       "the model again"},
      {"ints", "i8",
       "m.gguf: byte 53: key 'i8' is a whole number, not an array of whole numbers; convert the "
       "model again"},
      {"ints", "f32s",
       "m.gguf: byte 484: key 'f32s' is an array of real numbers, not an array of whole numbers; "
       "convert the model again"},
      {"ints", "bools",
       "m.gguf: byte 557: key 'bools' is an array of true and false, not an array of whole "
       "numbers; convert the model again"},
      {"ints", "u64s",
       "m.gguf: byte 448: key 'u64s' holds a number beyond 2^63 - 1; the file is damaged, fetch it "
       "again"},
      {"floats", "f32",
       "m.gguf: byte 216: key 'f32' is a real number, not an array of real numbers; convert the "
       "model again"},
      {"floats", "i8s",
       "m.gguf: byte 409: key 'i8s' is an array of whole numbers, not an array of real numbers; "
       "convert the model again"},
      {"floats", "strings",
       "m.gguf: byte 354: key 'strings' is an array of strings, not an array of real numbers; "
       "convert the model again"},
  };
  tx_buffer file = {0};
  tx_error error = {0};
  tx_gguf *gguf;
  char sentence[2048];
  whole_file(&file);
  assert_int_equal(tx_gguf_open_bytes(file.data, file.size, "m.gguf", &gguf, &error), TX_OK);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    error = (tx_error){0};
    assert_int_equal(get(gguf, cases[i].how, cases[i].key, &error), TX_ERROR_INPUT);
    assert_string_equal(tx_error_sentence(&error, sentence, sizeof sentence),
                        cases[i].sentence ? cases[i].sentence : missing);
  }
  tx_gguf_close(gguf);
  tx_buffer_free(&file);
}

/* ---- damage everywhere ------------------------------------------------- */

/* Uses all that an open handle offers; every byte of every tensor is read. */
static void use_everything(const tx_gguf *gguf) {
  static const char *const hows[] = {"int", "float", "bool", "string", "strings", "ints", "floats"};
  static const char *const names[] = {"u8",      "u64",   "f32",    "bool",     "string",
                                      "strings", "i8s",   "u64s",   "f32s",     "f64s",
                                      "bools",   "empty", "second", "u64.large"};
  unsigned sum = 0;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    for (size_t j = 0; j < sizeof hows / sizeof *hows; j++) {
      tx_error error = {0};
      (void)get(gguf, hows[j], names[i], &error);
    }
  }
  for (size_t i = 0; i < tx_gguf_tensor_count(gguf); i++) {
    const tx_tensor *item = tx_gguf_tensor_at(gguf, i);
    assert_ptr_equal(tx_gguf_tensor(gguf, item->name), item);
    for (uint64_t j = 0; j < item->size; j++) sum += item->data[j];
  }
  assert_int_equal(sum, sum); /* keeps the reads */
}

static void test_every_prefix_is_refused(void **state) {
  (void)state;
  tx_buffer file = {0};
  whole_file(&file);
  for (size_t size = 0; size <= file.size; size++) {
    unsigned char *copy;
    tx_error error = {0};
    tx_gguf *gguf;
    tx_status status = open_copy(file.data, size, &gguf, &copy, &error);
    if (status != (size < file.size ? TX_ERROR_INPUT : TX_OK)) fail_msg("%zu bytes", size);
    if (size > 4 && size < file.size && !strstr(error.message, "cut short")) {
      fail_msg("%zu bytes: %s", size, error.message);
    }
    tx_gguf_close(gguf);
    tx_free(copy);
  }
  tx_buffer_free(&file);
}

static void test_every_byte_may_be_wrong(void **state) {
  (void)state;
  tx_buffer file = {0};
  int opened = 0, refused = 0;
  whole_file(&file);
  alarm(120); /* a hang would be longer than that */
  for (size_t at = 0; at < file.size; at++) {
    unsigned char right = (unsigned char)file.data[at];
    for (int change = 0; change < 12; change++) {
      const unsigned char wrong[4] = {0, 255, (unsigned char)(right + 1),
                                      (unsigned char)(right - 1)};
      tx_error error = {0};
      unsigned char *copy;
      tx_gguf *gguf;
      file.data[at] = (char)(change < 4 ? wrong[change] : right ^ (1 << (change - 4)));
      tx_status status = open_copy(file.data, file.size, &gguf, &copy, &error);
      if (status == TX_OK) {
        opened++;
        use_everything(gguf);
      } else {
        refused++;
        assert_int_equal(status, TX_ERROR_INPUT);
        assert_string_equal(error.where, "m.gguf");
        assert_true(error.message[0] != '\0');
      }
      tx_gguf_close(gguf);
      tx_free(copy);
    }
    file.data[at] = (char)right;
  }
  alarm(0);
  assert_true(opened > 1000 && refused > 1000);
  tx_buffer_free(&file);
}

/* ---- size -------------------------------------------------------------- */

/* Bytes in use; a sanitizer's heap says 0, and then nothing is checked. */
static size_t heap(void) {
  struct mallinfo2 facts = mallinfo2();
  return facts.uordblks + facts.hblkhd;
}

/* As many keys and tensors as are read: found in no time, little memory. */
static void test_many_names(void **state) {
  (void)state;
  enum { MANY = 1 << 16 };
  tx_buffer file = {0};
  tx_error error = {0};
  tx_gguf *gguf;
  char name[80];
  header(&file, 3, MANY, MANY);
  for (uint32_t i = 0; i < MANY; i++) {
    snprintf(name, sizeof name, "k%" PRIu32, i);
    key(&file, name, U32), u32(&file, i);
  }
  for (uint32_t i = 0; i < MANY; i++) {
    snprintf(name, sizeof name, "%064" PRIu32, i);
    tensor(&file, name, TX_TENSOR_F32, (uint64_t)(MANY - 1 - i) * 32, 1, (uint64_t)8);
  }
  pad(&file, 32);
  zeros(&file, (size_t)MANY * 32);
  size_t before = heap();
  assert_int_equal(tx_gguf_open_bytes(file.data, file.size, "m.gguf", &gguf, &error), TX_OK);
  assert_true(heap() - before < 16 << 20);
  for (uint32_t i = 0; i < MANY; i++) {
    int64_t value;
    snprintf(name, sizeof name, "k%" PRIu32, i);
    assert_int_equal(tx_gguf_int(gguf, name, &value, &error), TX_OK);
    assert_int_equal(value, i);
    snprintf(name, sizeof name, "%064" PRIu32, i);
    assert_ptr_equal(tx_gguf_tensor(gguf, name), tx_gguf_tensor_at(gguf, i));
  }
  tx_gguf_close(gguf);
  tx_buffer_free(&file);
}

/* Arrays that would take many times the bytes that they have in the file. */
static void test_arrays_that_would_swell(void **state) {
  (void)state;
  enum { STRINGS = 3 << 20, NUMBERS = 6 << 20 };
  tx_buffer file = {0};
  tx_error error = {0};
  tx_gguf *gguf;
  header(&file, 3, 0, 1);
  array(&file, "s", STRING, STRINGS);
  zeros(&file, (size_t)STRINGS * 8);
  assert_int_equal(tx_gguf_open_bytes(file.data, file.size, "m.gguf", &gguf, &error), TX_OK);
  assert_int_equal(get(gguf, "strings", "s", &error), TX_ERROR_INPUT);
  assert_string_equal(error.message,
                      "key 's' holds 3145728 values, more than a file of this size can mean; the "
                      "file is damaged, fetch it again");
  tx_gguf_close(gguf);
  tx_buffer_clear(&file);
  error = (tx_error){0};
  header(&file, 3, 0, 1);
  array(&file, "n", U8, NUMBERS);
  zeros(&file, NUMBERS);
  assert_int_equal(tx_gguf_open_bytes(file.data, file.size, "m.gguf", &gguf, &error), TX_OK);
  assert_int_equal(get(gguf, "ints", "n", &error), TX_ERROR_INPUT);
  tx_gguf_close(gguf);
  tx_buffer_free(&file);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_converts_whole_numbers),
      cmocka_unit_test(test_gives_real_numbers_and_tensors),
      cmocka_unit_test(test_reads_version_2),
      cmocka_unit_test(test_names_file_and_key),
      cmocka_unit_test(test_every_prefix_is_refused),
      cmocka_unit_test(test_every_byte_may_be_wrong),
      cmocka_unit_test(test_many_names),
      cmocka_unit_test(test_arrays_that_would_swell),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
