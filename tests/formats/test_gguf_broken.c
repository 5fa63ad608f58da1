/* Every way of breaking a GGUF file, each with the sentence that it must give; the
 * byte offset in it is part of the promise. */
#include "formats/gguf_make.h"

static void bad_empty(tx_buffer *file) { tx_buffer_append(file, "", 0); }
static void bad_magic(tx_buffer *file) { raw(file, "GGML\3\0\0\0", 8); }
static void bad_magic_reversed(tx_buffer *file) { raw(file, "FUGG\0\0\0\3", 8); }
static void bad_version_0(tx_buffer *file) { header(file, 0, 0, 0); }
static void bad_version_1(tx_buffer *file) { header(file, 1, 0, 0); }
static void bad_version_future(tx_buffer *file) { header(file, 4, 0, 0); }
static void bad_version_swapped(tx_buffer *file) { header(file, 3u << 24, 0, 0); }
static void bad_version_cut(tx_buffer *file) { raw(file, "GGUF\3\0", 6); }

static void bad_tensor_count(tx_buffer *file) { header(file, 3, UINT64_MAX, 0); }
static void bad_key_count(tx_buffer *file) { header(file, 3, 0, UINT64_MAX); }
static void bad_key_count_by_one(tx_buffer *file) {
  header(file, 3, 0, 2);
  key(file, "a", U8), u8(file, 1);
}
static void bad_key_limit(tx_buffer *file) {
  header(file, 3, 0, 65537);
  zeros(file, 65537 * 14);
}
static void bad_tensor_limit(tx_buffer *file) {
  header(file, 3, 65537, 0);
  zeros(file, 65537 * 33);
}

static void bad_key_length(tx_buffer *file) {
  header(file, 3, 0, 1);
  u64(file, UINT64_MAX);
  zeros(file, 20);
}
static void bad_key_length_half(tx_buffer *file) {
  header(file, 3, 0, 1);
  u64(file, ((uint64_t)1 << 63) - 8);
  zeros(file, 20);
}
static void bad_key_long(tx_buffer *file) {
  header(file, 3, 0, 1);
  u64(file, 65536);
  for (int i = 0; i < 65536; i++) u8(file, 'k');
  zeros(file, 5);
}
static void bad_key_empty(tx_buffer *file) {
  header(file, 3, 0, 1);
  key(file, "", U32), u32(file, 1), u8(file, 0);
}
static void bad_key_nul(tx_buffer *file) {
  header(file, 3, 0, 1);
  u64(file, 3), raw(file, "a\0b", 3), u32(file, U8), u8(file, 0);
}
static void bad_key_twice(tx_buffer *file) {
  header(file, 3, 0, 3);
  key(file, "a", U8), u8(file, 1);
  key(file, "b", U8), u8(file, 1);
  key(file, "a", U32), u32(file, 1);
}
static void bad_key_twice_unprintable(tx_buffer *file) {
  static const char *const name =
      "\033[31m\xc3\xa4 and so on, far beyond what a message can show of one single name";
  header(file, 3, 0, 2);
  key(file, name, U8), u8(file, 1);
  key(file, name, U8), u8(file, 1);
}

static void bad_value_type(tx_buffer *file) {
  header(file, 3, 0, 1);
  key(file, "a", 13), u64(file, 0);
}
static void bad_value_type_huge(tx_buffer *file) {
  header(file, 3, 0, 1);
  key(file, "a", UINT32_MAX), u64(file, 0);
}
static void bad_value_cut(tx_buffer *file) {
  header(file, 3, 0, 1);
  key(file, "a", F64), u32(file, 0);
}
static void bad_bool(tx_buffer *file) {
  header(file, 3, 0, 1);
  key(file, "a", BOOL), u8(file, 2);
}
static void bad_bools(tx_buffer *file) {
  header(file, 3, 0, 1);
  array(file, "a", BOOL, 3), raw(file, "\1\0\xff", 3);
}
static void bad_string_length(tx_buffer *file) {
  header(file, 3, 0, 1);
  key(file, "a", STRING), u64(file, UINT64_MAX);
}
static void bad_string_length_half(tx_buffer *file) {
  header(file, 3, 0, 1);
  key(file, "a", STRING), u64(file, ((uint64_t)1 << 63) - 1), zeros(file, 9);
}

static void bad_array_of_arrays(tx_buffer *file) {
  header(file, 3, 0, 1);
  array(file, "a", ARRAY, 1), u32(file, U8), u64(file, 0);
}
static void bad_array_type(tx_buffer *file) {
  header(file, 3, 0, 1);
  array(file, "a", 77, 1), u64(file, 0);
}
static void bad_array_count(tx_buffer *file) {
  header(file, 3, 0, 1);
  array(file, "a", U64, UINT64_MAX), u64(file, 0);
}
static void bad_array_count_wraps(tx_buffer *file) { /* times 8 it is 8 */
  header(file, 3, 0, 1);
  array(file, "a", U64, ((uint64_t)1 << 61) + 1), u64(file, 0);
}
static void bad_array_strings(tx_buffer *file) {
  header(file, 3, 0, 1);
  array(file, "a", STRING, (uint64_t)1 << 40), u64(file, 0);
}
static void bad_array_string_length(tx_buffer *file) {
  header(file, 3, 0, 1);
  array(file, "a", STRING, 2), string(file, "b"), u64(file, UINT64_MAX - 7);
}

static void with_alignment(tx_buffer *file, uint32_t alignment) {
  header(file, 3, 0, 1);
  key(file, "general.alignment", U32), u32(file, alignment);
}
static void bad_alignment_13(tx_buffer *file) { with_alignment(file, 13); }
static void bad_alignment_0(tx_buffer *file) { with_alignment(file, 0); }
static void bad_alignment_4(tx_buffer *file) { with_alignment(file, 4); }
static void bad_alignment_huge(tx_buffer *file) { with_alignment(file, 1u << 30); }
static void bad_alignment_type(tx_buffer *file) {
  header(file, 3, 0, 1);
  key(file, "general.alignment", U64), u64(file, 32);
}
static void bad_alignment_string(tx_buffer *file) {
  header(file, 3, 0, 1);
  key(file, "general.alignment", STRING), string(file, "32");
}

static void bad_tensor_name_empty(tx_buffer *file) {
  header(file, 3, 1, 0);
  tensor(file, "", TX_TENSOR_F32, 0, 1, (uint64_t)1);
  zeros(file, 64);
}
static void bad_tensor_name_long(tx_buffer *file) {
  header(file, 3, 1, 0);
  tensor(file, "0123456789012345678901234567890123456789012345678901234567890123X", 0, 0, 1,
         (uint64_t)1);
  zeros(file, 64);
}
static void bad_tensor_name_nul(tx_buffer *file) {
  header(file, 3, 1, 0);
  u64(file, 2), raw(file, "t\0", 2), zeros(file, 64);
}
static void bad_tensor_twice(tx_buffer *file) {
  header(file, 3, 2, 0);
  tensor(file, "t", TX_TENSOR_F32, 0, 1, (uint64_t)1);
  tensor(file, "t", TX_TENSOR_F32, 32, 1, (uint64_t)1);
  zeros(file, 96);
}
static void bad_dimensions_5(tx_buffer *file) {
  header(file, 3, 1, 0);
  tensor(file, "t", TX_TENSOR_F32, 0, 5, (uint64_t)1, (uint64_t)1, (uint64_t)1, (uint64_t)1,
         (uint64_t)1);
  zeros(file, 64);
}
static void bad_dimensions_0(tx_buffer *file) {
  header(file, 3, 1, 0);
  tensor(file, "t", TX_TENSOR_F32, 0, 0);
  zeros(file, 64);
}
static void bad_dimensions_huge(tx_buffer *file) {
  header(file, 3, 1, 0);
  string(file, "t"), u32(file, UINT32_MAX), zeros(file, 64);
}

static void one_tensor(tx_buffer *file, uint32_t type, uint64_t offset, uint64_t a, uint64_t b) {
  header(file, 3, 1, 0);
  tensor(file, "t", type, offset, 2, a, b);
  pad(file, 32), zeros(file, 64);
}
static void bad_shape_zero(tx_buffer *file) { one_tensor(file, 0, 0, 8, 0); }
static void bad_shape_negative(tx_buffer *file) { one_tensor(file, 0, 0, UINT64_MAX, 1); }
static void bad_shape_overflow(tx_buffer *file) {
  one_tensor(file, 0, 0, (uint64_t)1 << 33, (uint64_t)1 << 33);
}
static void bad_shape_wraps(tx_buffer *file) { /* the product is 2^64: 0 */
  one_tensor(file, 0, 0, (uint64_t)1 << 32, (uint64_t)1 << 32);
}
static void bad_bytes_overflow(tx_buffer *file) {
  one_tensor(file, TX_TENSOR_F32, 0, 2, ((uint64_t)1 << 62) - 1);
}
static void bad_row(tx_buffer *file) { one_tensor(file, TX_TENSOR_Q4_1, 0, 48, 2); }
static void bad_row_super(tx_buffer *file) { one_tensor(file, TX_TENSOR_Q6_K, 0, 128, 2); }
static void bad_type(tx_buffer *file) { one_tensor(file, 10, 0, 256, 1); }
static void bad_type_removed(tx_buffer *file) { one_tensor(file, 4, 0, 32, 1); }
static void bad_type_huge(tx_buffer *file) { one_tensor(file, UINT32_MAX, 0, 32, 1); }
static void bad_offset_unaligned(tx_buffer *file) { one_tensor(file, 0, 16, 4, 1); }
static void bad_offset_past(tx_buffer *file) { one_tensor(file, 0, 64, 4, 1); }
static void bad_offset_huge(tx_buffer *file) { one_tensor(file, 0, UINT64_MAX - 31, 4, 1); }
static void bad_size_past(tx_buffer *file) { one_tensor(file, 0, 32, 3, 3); }
static void bad_size_huge(tx_buffer *file) {
  one_tensor(file, TX_TENSOR_F16, 0, (uint64_t)1 << 61, 2);
}
static void bad_overlap(tx_buffer *file) {
  header(file, 3, 3, 0);
  tensor(file, "c", TX_TENSOR_F32, 96, 1, (uint64_t)8);
  tensor(file, "b", TX_TENSOR_F32, 32, 1, (uint64_t)8);
  tensor(file, "a", TX_TENSOR_F32, 0, 1, (uint64_t)9);
  pad(file, 32), zeros(file, 128);
}
static void bad_same_place(tx_buffer *file) {
  header(file, 3, 2, 0);
  tensor(file, "a", TX_TENSOR_F32, 0, 1, (uint64_t)8);
  tensor(file, "b", TX_TENSOR_F32, 0, 1, (uint64_t)8);
  pad(file, 32), zeros(file, 128);
}
static void bad_no_data(tx_buffer *file) {
  header(file, 3, 1, 0);
  tensor(file, "t", TX_TENSOR_F32, 0, 1, (uint64_t)8);
}

static const struct {
  void (*make)(tx_buffer *file);
  const char *sentence;
} broken[] = {
    {bad_empty,
     "m.gguf: byte 0: this is not a GGUF file: it is empty; name a GGUF file, a model or a "
     "classifier"},
    {bad_magic,
     "m.gguf: byte 0: this is not a GGUF file: it does not begin with 'GGUF'; name a GGUF file, a "
     "model or a classifier"},
    {bad_magic_reversed,
     "m.gguf: byte 0: this is not a GGUF file: it does not begin with 'GGUF'; name a GGUF file, a "
     "model or a classifier"},
    {bad_version_0,
     "m.gguf: byte 4: GGUF version 0 is not known, only 2 and 3; the file is damaged, fetch it "
     "again"},
    {bad_version_1,
     "m.gguf: byte 4: GGUF version 1 is not read, only 2 and 3; convert the model again"},
    {bad_version_future,
     "m.gguf: byte 4: GGUF version 4 is not known, only 2 and 3; use a newer taxon or convert the "
     "model again"},
    {bad_version_swapped,
     "m.gguf: byte 4: the file is big-endian, only little-endian files are read; convert the model "
     "again for this kind of machine"},
    {bad_version_cut,
     "m.gguf: byte 4: the file ends inside the version (4 bytes needed, 2 left); it is cut short "
     "or damaged, fetch it again"},
    {bad_tensor_count,
     "m.gguf: byte 8: the file claims 18446744073709551615 tensors, which 0 bytes cannot hold; it "
     "is cut short or damaged, fetch it again"},
    {bad_key_count,
     "m.gguf: byte 16: the file claims 18446744073709551615 keys, which 0 bytes cannot hold; it is "
     "cut short or damaged, fetch it again"},
    {bad_key_count_by_one,
     "m.gguf: byte 16: the file claims 2 keys, which 14 bytes cannot hold; it is cut short or "
     "damaged, fetch it again"},
    {bad_key_limit,
     "m.gguf: byte 16: the file claims 65537 keys, at most 65536 are read; use a model with fewer"},
    {bad_tensor_limit,
     "m.gguf: byte 8: the file claims 65537 tensors, at most 65536 are read; use a model with "
     "fewer"},
    {bad_key_length,
     "m.gguf: byte 24: the name of key 1 claims 18446744073709551615 bytes, 20 are left; the file "
     "is cut short or damaged, fetch it again"},
    {bad_key_length_half,
     "m.gguf: byte 24: the name of key 1 claims 9223372036854775800 bytes, 20 are left; the file "
     "is cut short or damaged, fetch it again"},
    {bad_key_long,
     "m.gguf: byte 24: the name of key 1 has 65536 bytes, at most 65535 are allowed; the file is "
     "damaged, fetch it again"},
    {bad_key_empty,
     "m.gguf: byte 24: the name of key 1 is empty; the file is damaged, fetch it again"},
    {bad_key_nul,
     "m.gguf: byte 24: the name of key 1 holds a NUL byte; the file is damaged, fetch it again"},
    {bad_key_twice, "m.gguf: byte 52: key 'a' appears twice; convert the model again"},
    {bad_key_twice_unprintable,
     "m.gguf: byte 109: key '?[31m?\? and so on, far beyond what a message can show of one sin...' "
     "appears twice; convert the model again"},
    {bad_value_type,
     "m.gguf: byte 33: key 'a' has the unknown type 13; fetch it again or use a newer taxon"},
    {bad_value_type_huge,
     "m.gguf: byte 33: key 'a' has the unknown type 4294967295; fetch it again or use a newer "
     "taxon"},
    {bad_value_cut,
     "m.gguf: byte 37: the file ends inside the value of key 'a' (8 bytes needed, 4 left); it is "
     "cut short or damaged, fetch it again"},
    {bad_bool,
     "m.gguf: byte 37: key 'a' holds 2 where only 0 and 1 are allowed; the file is damaged, fetch "
     "it again"},
    {bad_bools,
     "m.gguf: byte 51: key 'a' holds 255 where only 0 and 1 are allowed; the file is damaged, "
     "fetch it again"},
    {bad_string_length,
     "m.gguf: byte 37: the value of key 'a' claims 18446744073709551615 bytes, 0 are left; the "
     "file is cut short or damaged, fetch it again"},
    {bad_string_length_half,
     "m.gguf: byte 37: the value of key 'a' claims 9223372036854775807 bytes, 9 are left; the file "
     "is cut short or damaged, fetch it again"},
    {bad_array_of_arrays,
     "m.gguf: byte 37: key 'a' is an array of arrays (type 9), which is not read; convert the "
     "model again"},
    {bad_array_type,
     "m.gguf: byte 37: key 'a' is an array of an unknown type (type 77), which is not read; "
     "convert the model again"},
    {bad_array_count,
     "m.gguf: byte 41: key 'a' claims 18446744073709551615 values, which 8 bytes cannot hold; the "
     "file is cut short or damaged, fetch it again"},
    {bad_array_count_wraps,
     "m.gguf: byte 41: key 'a' claims 2305843009213693953 values, which 8 bytes cannot hold; the "
     "file is cut short or damaged, fetch it again"},
    {bad_array_strings,
     "m.gguf: byte 41: key 'a' claims 1099511627776 values, which 8 bytes cannot hold; the file is "
     "cut short or damaged, fetch it again"},
    {bad_array_string_length,
     "m.gguf: byte 58: the value of key 'a' claims 18446744073709551608 bytes, 0 are left; the "
     "file is cut short or damaged, fetch it again"},
    {bad_alignment_13,
     "m.gguf: byte 53: an alignment of 13 is not a power of two from 8 to 65536; convert the model "
     "again"},
    {bad_alignment_0,
     "m.gguf: byte 53: an alignment of 0 is not a power of two from 8 to 65536; convert the model "
     "again"},
    {bad_alignment_4,
     "m.gguf: byte 53: an alignment of 4 is not a power of two from 8 to 65536; convert the model "
     "again"},
    {bad_alignment_huge,
     "m.gguf: byte 53: an alignment of 1073741824 is not a power of two from 8 to 65536; convert "
     "the model again"},
    {bad_alignment_type,
     "m.gguf: byte 53: key 'general.alignment' is not a 32-bit unsigned number; convert the model "
     "again"},
    {bad_alignment_string,
     "m.gguf: byte 53: key 'general.alignment' is not a 32-bit unsigned number; convert the model "
     "again"},
    {bad_tensor_name_empty,
     "m.gguf: byte 24: the name of tensor 1 is empty; the file is damaged, fetch it again"},
    {bad_tensor_name_long,
     "m.gguf: byte 24: the name of tensor 1 has 65 bytes, at most 64 are allowed; the file is "
     "damaged, fetch it again"},
    {bad_tensor_name_nul,
     "m.gguf: byte 24: the name of tensor 1 holds a NUL byte; the file is damaged, fetch it again"},
    {bad_tensor_twice, "m.gguf: byte 57: tensor 't' appears twice; convert the model again"},
    {bad_dimensions_5,
     "m.gguf: byte 33: tensor 't' has 5 dimensions, 1 to 4 are read; convert the model again"},
    {bad_dimensions_0,
     "m.gguf: byte 33: tensor 't' has 0 dimensions, 1 to 4 are read; convert the model again"},
    {bad_dimensions_huge,
     "m.gguf: byte 33: tensor 't' has 4294967295 dimensions, 1 to 4 are read; convert the model "
     "again"},
    {bad_shape_zero,
     "m.gguf: byte 45: tensor 't' has no values: dimension 2 is 0; convert the model again"},
    {bad_shape_negative,
     "m.gguf: byte 37: the shape of tensor 't' overflows at dimension 1 (18446744073709551615); "
     "the file is damaged, fetch it again"},
    {bad_shape_overflow,
     "m.gguf: byte 45: the shape of tensor 't' overflows at dimension 2 (8589934592); the file is "
     "damaged, fetch it again"},
    {bad_shape_wraps,
     "m.gguf: byte 45: the shape of tensor 't' overflows at dimension 2 (4294967296); the file is "
     "damaged, fetch it again"},
    {bad_bytes_overflow,
     "m.gguf: byte 53: the size in bytes of tensor 't' overflows; the file is damaged, fetch it "
     "again"},
    {bad_row,
     "m.gguf: byte 53: tensor 't' has rows of 48 values, not whole blocks of 32 as Q4_1 needs; "
     "convert the model again"},
    {bad_row_super,
     "m.gguf: byte 53: tensor 't' has rows of 128 values, not whole blocks of 256 as Q6_K needs; "
     "convert the model again"},
    {bad_type,
     "m.gguf: byte 53: tensor 't' is stored as ggml type 10, which this program does not read; "
     "convert it to Q8_0 or F16 (llama-quantize does) or fetch another file of the model"},
    {bad_type_removed,
     "m.gguf: byte 53: tensor 't' is stored as ggml type 4, which this program does not read; "
     "convert it to Q8_0 or F16 (llama-quantize does) or fetch another file of the model"},
    {bad_type_huge,
     "m.gguf: byte 53: tensor 't' is stored as ggml type 4294967295, which this program does not "
     "read; convert it to Q8_0 or F16 (llama-quantize does) or fetch another file of the model"},
    {bad_offset_unaligned,
     "m.gguf: byte 57: the offset 16 of tensor 't' is not a multiple of 32; the file is damaged, "
     "fetch it again"},
    {bad_offset_past,
     "m.gguf: byte 160: the file ends before the data of tensor 't' does (16 bytes at offset 64 "
     "from byte 96); it is cut short or damaged, fetch it again"},
    {bad_offset_huge,
     "m.gguf: byte 160: the file ends before the data of tensor 't' does (16 bytes at offset "
     "18446744073709551584 from byte 96); it is cut short or damaged, fetch it again"},
    {bad_size_past,
     "m.gguf: byte 160: the file ends before the data of tensor 't' does (36 bytes at offset 32 "
     "from byte 96); it is cut short or damaged, fetch it again"},
    {bad_size_huge,
     "m.gguf: byte 160: the file ends before the data of tensor 't' does (9223372036854775808 "
     "bytes at offset 0 from byte 96); it is cut short or damaged, fetch it again"},
    {bad_overlap,
     "m.gguf: byte 160: the data of tensors 'a' and 'b' overlap; the file is damaged, fetch it "
     "again"},
    {bad_same_place,
     "m.gguf: byte 96: the data of tensors 'a' and 'b' overlap; the file is damaged, fetch it "
     "again"},
    {bad_no_data,
     "m.gguf: byte 57: the file ends before the data of tensor 't' does (32 bytes at offset 0 from "
     "byte 64); it is cut short or damaged, fetch it again"},
};

static void test_broken_files(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
    tx_buffer file = {0};
    unsigned char *copy;
    tx_error error = {0};
    char sentence[2048];
    tx_gguf *gguf;
    broken[i].make(&file);
    assert_int_equal(open_copy(file.data, file.size, &gguf, &copy, &error), TX_ERROR_INPUT);
    assert_null(gguf);
    assert_string_equal(tx_error_sentence(&error, sentence, sizeof sentence), broken[i].sentence);
    tx_free(copy);
    tx_buffer_free(&file);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_broken_files)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
