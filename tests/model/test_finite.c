/* NaN and infinity among the weights, in the scales of quantised ones too: found
 * before anything is computed, with the tensor's name and place. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "formats/gguf_make.h"
#include "model/model.h"
#include "model/weights.h"

/* Halves: NaN, and infinity both ways. */
static const uint16_t halves[] = {0x7e00, 0x7c00, 0xfc00};

/* Two blocks of a type, the second one's scale at `place` not finite. */
static void check_scale(tx_tensor_type type, int64_t place, uint16_t half) {
  tx_tensor_type_facts facts;
  assert_true(tx_tensor_type_find(type, &facts));
  tx_buffer file = {0};
  tx_gguf *gguf;
  tx_error error = {0};
  header(&file, 3, 1, 0);
  tensor(&file, "some.weight", type, 0, 2, (uint64_t)facts.block, (uint64_t)2);
  pad(&file, 32);
  size_t data = file.size;
  zeros(&file, 2 * (size_t)facts.block_bytes);
  char want[200], sentence[1400];
  float values[512];
  for (int bad = 0; bad < 2; bad++) {
    if (bad) memcpy(file.data + data + facts.block_bytes + place, &half, sizeof half);
    assert_int_equal(tx_gguf_open_bytes(file.data, file.size, "m.gguf", &gguf, &error), TX_OK);
    tx_weight weight = {.tensor = tx_gguf_tensor(gguf, "some.weight"),
                        .file = gguf,
                        .rows = 2,
                        .columns = facts.block};
    tx_weight_rows(&weight, 0, 2, values);
    tx_status status = tx_weight_check(&weight, values, 2 * facts.block, &error);
    assert_int_equal(status, bad ? TX_ERROR_INPUT : TX_OK);
    tx_gguf_close(gguf);
  }
  snprintf(want, sizeof want,
           "m.gguf: some.weight: byte %zu: the weights hold NaN or infinity; the file is damaged, "
           "fetch it again",
           data);
  assert_string_equal(tx_error_sentence(&error, sentence, sizeof sentence), want);
  tx_buffer_free(&file);
}

static void test_every_scale(void **state) {
  (void)state;
  static const struct {
    tx_tensor_type type;
    int64_t places[2]; /* of the scale and the smallest value in a block; -1: has none */
  } scales[] = {{TX_TENSOR_F16, {0, -1}},  {TX_TENSOR_Q4_0, {0, -1}}, {TX_TENSOR_Q4_1, {0, 2}},
                {TX_TENSOR_Q5_0, {0, -1}}, {TX_TENSOR_Q5_1, {0, 2}},  {TX_TENSOR_Q8_0, {0, -1}},
                {TX_TENSOR_Q4_K, {0, 2}},  {TX_TENSOR_Q5_K, {0, 2}},  {TX_TENSOR_Q6_K, {208, -1}}};
  for (size_t i = 0; i < sizeof scales / sizeof *scales; i++) {
    for (int place = 0; place < 2 && scales[i].places[place] >= 0; place++) {
      for (int half = 0; half < 3; half++) {
        check_scale(scales[i].type, scales[i].places[place], halves[half]);
      }
    }
  }
  check_scale(TX_TENSOR_BF16, 0, 0x7fc0);
  check_scale(TX_TENSOR_BF16, 0, 0xff80);
  check_scale(TX_TENSOR_F32, 2, 0x7fc0);
  check_scale(TX_TENSOR_F32, 2, 0x7f80);
}

/* ---- in a whole model ------------------------------------------------------- */

static char path[] = "/tmp/taxon-finite.XXXXXX";

static tx_status use_all(tx_dtype dtype, tx_error *error) {
  tx_model *model;
  float state[64] = {1}, logits[421];
  TX_TRY(tx_model_open(path, NULL, &model, error));
  tx_model_set_dtype(model, dtype);
  tx_status status = tx_model_load(model, 0, 3, error);
  for (int32_t id = 0; id < 421 && status == TX_OK; id++) {
    status = tx_model_embed(model, &id, &(int64_t){0}, 1, state, error);
  }
  if (status == TX_OK) status = tx_model_logits(model, state, 1, logits, error);
  tx_model_close(model);
  return status;
}

/* The logits alone see what no block reads. */
static tx_status use_logits(tx_dtype dtype, tx_error *error) {
  tx_model *model;
  float state[64] = {1}, logits[421];
  TX_TRY(tx_model_open(path, NULL, &model, error));
  tx_model_set_dtype(model, dtype);
  tx_status status = tx_model_logits(model, state, 1, logits, error);
  tx_model_close(model);
  return status;
}

static void test_in_a_model(void **state) {
  (void)state;
  static const struct {
    const char *name;
    uint64_t place; /* of a scale, from the tensor's start */
  } damages[] = {{"token_embd.weight", 2 * 34 * 300},
                 {"blk.0.ffn_gate.weight", 34 * 7},
                 {"blk.1.attn_q.weight", 20 * 100 + 2},
                 {"blk.2.attn_output.weight", 20 * 127},
                 {"blk.2.ffn_down.weight", 2 * 64},
                 {"blk.1.ffn_norm.weight", 4 * 5 + 2},
                 {"output_norm.weight", 4 * 63 + 2}};
  for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
    tx_gguf *gguf;
    tx_error error = {0}, none = {0};
    uint64_t size;
    assert_int_equal(tx_gguf_open("tests/golden/tiny_llama.gguf", &gguf, &error), TX_OK);
    const unsigned char *bytes = tx_gguf_bytes(gguf, &size);
    const tx_tensor *tensor = tx_gguf_tensor(gguf, damages[i].name);
    assert_non_null(tensor);
    unsigned char *copy = tx_alloc(size);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    memcpy(copy + tensor->offset + damages[i].place, &(uint16_t){0x7fc0}, 2); /* NaN either way */
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(copy, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    char want[300], sentence[1400];
    snprintf(want, sizeof want,
             "%s: %s: byte %lu: the weights hold NaN or infinity; the file is damaged, fetch it "
             "again",
             path, damages[i].name, (unsigned long)tensor->offset);
    for (int dtype = TX_DTYPE_F32; dtype <= TX_DTYPE_FILE; dtype++) {
      error = none;
      assert_int_equal(use_all((tx_dtype)dtype, &error), TX_ERROR_INPUT);
      assert_string_equal(tx_error_sentence(&error, sentence, sizeof sentence), want);
      tx_status logits = i == 0 ? TX_ERROR_INPUT : TX_OK; /* the output is the embedding */
      if (strcmp(damages[i].name, "output_norm.weight") == 0) logits = TX_ERROR_INPUT; /* at once */
      error = none;
      assert_int_equal(use_logits((tx_dtype)dtype, &error), logits);
    }
    tx_free(copy);
    tx_gguf_close(gguf);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_scale),
                                     cmocka_unit_test(test_in_a_model)};
  int descriptor = mkstemp(path);
  if (descriptor < 0) return 1;
  close(descriptor);
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  unlink(path);
  return failed;
}
