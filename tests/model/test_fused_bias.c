/* The fused bias of gpt2 as a matrix of one row, which a file may store it as: it
 * means the same as the vector, and nothing beyond it is read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "golden.h"
#include "base/memory.h"
#include "model/model.h"

/* Where the row of a tensor in the table goes on after its name. */
static size_t after_name(const unsigned char *bytes, size_t size, const char *name) {
  const unsigned char *row = memmem(bytes, size, name, strlen(name));
  assert_non_null(row);
  return (size_t)(row - bytes) + strlen(name);
}

static size_t aligned(size_t offset) { return (offset + 31) & ~(size_t)31; }

/* The file with a second dimension of 1 put into a tensor's row of the table; new. */
static unsigned char *with_two_dimensions(const char *path, const char *name, size_t *size) {
  tx_gguf *gguf;
  uint64_t whole;
  ASSERT_OK(tx_gguf_open(path, &gguf, error));
  const unsigned char *bytes = tx_gguf_bytes(gguf, &whole);
  const tx_tensor *last = tx_gguf_tensor_at(gguf, tx_gguf_tensor_count(gguf) - 1);
  size_t header = after_name(bytes, whole, last->name) + 4 + 8 * (size_t)last->dimensions + 12;
  size_t row = after_name(bytes, whole, name), data = aligned(header), moved = aligned(header + 8);
  unsigned char *copy = checked_memory(whole + 64);
  memcpy(copy, bytes, row + 12);
  assert_int_equal(copy[row], 1);
  copy[row] = 2;
  copy[row + 12] = 1; /* a 64-bit 1: the memory is zero */
  memcpy(copy + row + 20, bytes + row + 12, header - row - 12);
  memcpy(copy + moved, bytes + data, whole - data);
  *size = whole + moved - data;
  tx_gguf_close(gguf);
  return copy;
}

static void test_a_bias_of_two_dimensions(void **state) {
  (void)state;
  static const char path[] = "/tmp/taxon-test-bias.gguf";
  size_t size;
  unsigned char *copy =
      with_two_dimensions("tests/golden/tiny_gpt2.gguf", "blk.1.attn_qkv.bias", &size);
  FILE *file = fopen(path, "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(copy, 1, size, file), size);
  fclose(file);
  free(copy);
  tx_model *plain, *model;
  ASSERT_OK(tx_model_open("tests/golden/tiny_gpt2.gguf", NULL, &plain, error));
  ASSERT_OK(tx_model_open(path, NULL, &model, error));
  remove(path);
  for (int slot = TX_MATRIX_QUERY; slot <= TX_MATRIX_VALUE; slot++) {
    float wanted[48], got[48];
    ASSERT_OK(tx_model_read_matrix(plain, 1, (tx_matrix_slot)slot, true, wanted, error));
    ASSERT_OK(tx_model_read_matrix(model, 1, (tx_matrix_slot)slot, true, got, error));
    assert_memory_equal(got, wanted, sizeof got);
  }
  tx_model_close(model);
  tx_model_close(plain);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_bias_of_two_dimensions)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
