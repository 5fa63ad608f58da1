/* Dequantisers against the values that the `gguf` package gives the same blocks
 * (tests/golden/make_dequant.py), bit for bit; every half there is; misuse. */
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "formats/gguf.h"
#include "kernels/dequantize.h"

static const uint32_t types[] = {
    TX_TENSOR_F32,  TX_TENSOR_F16,  TX_TENSOR_BF16, TX_TENSOR_Q4_0, TX_TENSOR_Q4_1, TX_TENSOR_Q5_0,
    TX_TENSOR_Q5_1, TX_TENSOR_Q8_0, TX_TENSOR_Q4_K, TX_TENSOR_Q5_K, TX_TENSOR_Q6_K,
};
enum { TYPES = sizeof types / sizeof *types };

static uint32_t bits_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

/* One type's blocks, expanded from a place that is aligned to nothing. */
static void check_type(const tx_tensor *blocks, const tx_tensor *expected) {
  int64_t count = expected->shape[0];
  unsigned char *shifted = tx_alloc(blocks->size + 1);
  float *values = tx_alloc_array((size_t)count, sizeof *values);
  memcpy(shifted + 1, blocks->data, blocks->size);
  assert_true(tx_dequantize(blocks->type, shifted + 1, count, values));
  for (int64_t i = 0; i < count; i++) {
    uint32_t want;
    memcpy(&want, expected->data + 4 * i, sizeof want);
    if (bits_of(values[i]) != want) {
      fail_msg("%s: value %" PRId64 " has the bits %08x, expected %08x", blocks->name, i,
               bits_of(values[i]), want);
    }
  }
  tx_free(shifted);
  tx_free(values);
}

static void test_equals_the_reference_bit_for_bit(void **state) {
  (void)state;
  tx_error error = {0};
  tx_gguf *gguf;
  assert_int_equal(tx_gguf_open("tests/golden/dequant.gguf", &gguf, &error), TX_OK);
  assert_int_equal(tx_gguf_tensor_count(gguf), 2 * TYPES);
  for (size_t i = 0; i < TYPES; i++) {
    tx_tensor_type_facts facts;
    char name[32];
    assert_true(tx_tensor_type_find(types[i], &facts));
    snprintf(name, sizeof name, "%s.f32", facts.name);
    const tx_tensor *blocks = tx_gguf_tensor(gguf, facts.name);
    const tx_tensor *expected = tx_gguf_tensor(gguf, name);
    assert_true(blocks && expected);
    assert_int_equal(blocks->type, types[i]);
    assert_int_equal(blocks->size,
                     (uint64_t)(expected->shape[0] / facts.block * facts.block_bytes));
    check_type(blocks, expected);
  }
  tx_gguf_close(gguf);
}

/* The value of a finite half by its definition. */
static double half_by_definition(unsigned half) {
  int exponent = (half >> 10) & 31;
  double fraction = half & 1023;
  double size = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
  return half & 0x8000 ? -size : size;
}

static void test_every_half(void **state) {
  (void)state;
  static uint16_t halves[1 << 16];
  static float values[1 << 16];
  for (unsigned i = 0; i < 1 << 16; i++) halves[i] = (uint16_t)i;
  assert_true(tx_dequantize(TX_TENSOR_F16, halves, 1 << 16, values));
  for (unsigned i = 0; i < 1 << 16; i++) {
    bool negative = i & 0x8000;
    assert_int_equal(signbit(values[i]) != 0, negative);
    if ((i & 0x7fff) > 0x7c00) {
      assert_true(isnan(values[i]));
    } else if ((i & 0x7fff) == 0x7c00) {
      assert_true(isinf(values[i]));
    } else {
      assert_true((double)values[i] == half_by_definition(i));
    }
  }
}

static void test_every_bfloat(void **state) {
  (void)state;
  static uint16_t halves[1 << 16];
  static float values[1 << 16];
  for (unsigned i = 0; i < 1 << 16; i++) halves[i] = (uint16_t)i;
  assert_true(tx_dequantize(TX_TENSOR_BF16, halves, 1 << 16, values));
  for (unsigned i = 0; i < 1 << 16; i++) assert_int_equal(bits_of(values[i]), i << 16);
}

/* Only whole blocks, only known types, and nothing past the last value. */
static void test_refuses_what_it_cannot_do(void **state) {
  (void)state;
  static const unsigned char zeros[512];
  static float values[257];
  static const uint32_t unknown[] = {4, 5, 9, 10, 11, 15, 26, 27, 31, UINT32_MAX};
  for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
    assert_false(tx_dequantize(unknown[i], zeros, 256, values));
  }
  for (size_t i = 0; i < TYPES; i++) {
    tx_tensor_type_facts facts;
    assert_true(tx_tensor_type_find(types[i], &facts));
    assert_true(tx_dequantize(types[i], zeros, 0, values));
    assert_false(tx_dequantize(types[i], zeros, -256, values));
    if (facts.block > 1) assert_false(tx_dequantize(types[i], zeros, facts.block - 1, values));
    values[facts.block] = 7;
    assert_true(tx_dequantize(types[i], zeros, facts.block, values));
    assert_true(values[facts.block] == 7);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_equals_the_reference_bit_for_bit),
      cmocka_unit_test(test_every_half),
      cmocka_unit_test(test_every_bfloat),
      cmocka_unit_test(test_refuses_what_it_cannot_do),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
