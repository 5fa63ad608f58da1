/* Which matrices stay fp32: a spike that bytes cannot bear is found where it is and
 * nowhere else, the figures are the same bits everywhere, and what is kept is kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "formats/gguf_write.h"
#include "golden.h"
#include "model/spikes.h"

enum { WIDTH_MOST = 256, SPIKE = 3 };
static const int32_t ids[] = {3, 14, 15, 92, 65, 35, 89, 79, 32, 38, 46, 26, 43, 38, 32, 79};
static const int64_t offsets[] = {0, 5, 6, 16};
static const tx_sequences sample = {3, ids, offsets};

typedef struct {
  tx_model *model;
  tx_pass pass;
  int64_t blocks;
} fixture;

static fixture open_model(const char *path, const tx_gguf *changes) {
  fixture f = {0};
  ASSERT_OK(tx_model_open(path, changes, &f.model, error));
  ASSERT_OK(tx_pass_open(tx_model_facts(f.model), &f.pass, error));
  f.blocks = tx_model_facts(f.model)->blocks;
  return f;
}

static void close_model(fixture *f) {
  tx_pass_close(&f->pass);
  tx_model_close(f->model);
}

static double *measure(fixture *f) {
  double *errors = checked_memory((size_t)(f->blocks * TX_MATRICES) * sizeof *errors);
  ASSERT_OK(tx_spikes_measure(f->model, &f->pass, &sample, f->blocks, errors, NULL, error));
  return errors;
}

static const char *const files[] = {"tests/golden/tiny_llama.gguf", "tests/golden/tiny_gpt2.gguf"};

static void test_errors_are_small_and_the_same_bits(void **state) {
  (void)state;
  static const char *const paths[] = {"generic", "avx2", "avx512"};
  for (int i = 0; i < 2; i++) {
    fixture f = open_model(files[i], NULL);
    double *want = measure(&f);
    for (int64_t m = 0; m < f.blocks * TX_MATRICES; m++) {
      int64_t outputs, inputs;
      tx_matrix_shape(tx_model_facts(f.model), (tx_matrix_slot)(m % TX_MATRICES), &outputs,
                      &inputs);
      if (outputs == 0 ? want[m] != 0 : !(want[m] > 1e-7 && want[m] < TX_SPIKES_BOUND)) {
        fail_msg("%s: matrix %d has the error %g", files[i], (int)m, want[m]);
      }
    }
    for (int path = 0; path < 3; path++) {
      if (!tx_int8_find(paths[path])) continue;
      f.pass.kernels = tx_kernels_find(paths[path]);
      f.pass.int8 = tx_int8_find(paths[path]);
      tx_set_threads(path + 1);
      double *got = measure(&f);
      assert_memory_equal(got, want, (size_t)(f.blocks * TX_MATRICES) * sizeof *got);
      free(got);
    }
    tx_set_threads(0);
    free(want);
    close_model(&f);
  }
}

/* Input SPIKE of block 1's MLP is a thousand times as large as the others, and its
 * up projection does not read it: as bytes it reads nothing else either. */
static void write_spike(const char *path) {
  fixture f = open_model(files[0], NULL);
  int64_t width = tx_model_facts(f.model)->width, hidden = tx_model_facts(f.model)->hidden;
  float *up = checked_memory((size_t)(hidden * width) * 4), norm[WIDTH_MOST];
  assert_true(width <= WIDTH_MOST);
  ASSERT_OK(tx_model_read_matrix(f.model, 1, TX_MATRIX_UP, false, up, error));
  ASSERT_OK(tx_model_read_norm(f.model, 1, TX_NORM_MLP, norm, NULL, error));
  norm[SPIKE] *= 1000;
  for (int64_t n = 0; n < hidden; n++) up[n * width + SPIKE] = 0;
  tx_gguf_writer *writer = tx_gguf_writer_new();
  tx_gguf_add_tensor(writer, "blk.1.ffn_norm.weight", TX_TENSOR_F32, 1, &width, norm);
  tx_gguf_add_tensor(writer, "blk.1.ffn_up.weight", TX_TENSOR_F32, 2, (int64_t[]){width, hidden},
                     up);
  ASSERT_OK(tx_gguf_commit(writer, path, error));
  tx_gguf_writer_free(writer);
  free(up);
  close_model(&f);
}

static void test_a_spike_is_found(void **state) {
  (void)state;
  char path[] = "/tmp/taxon-spikes.XXXXXX";
  int file = mkstemp(path);
  assert_true(file >= 0);
  close(file);
  write_spike(path);
  tx_gguf *changes;
  ASSERT_OK(tx_gguf_open(path, &changes, error));
  fixture f = open_model(files[0], changes);
  tx_model_keep_f32(f.model, 0, TX_MATRIX_OUT, true); /* a measurement replaces what was said */
  ASSERT_OK(tx_spikes_keep(f.model, &f.pass, &sample, f.blocks, NULL, error));
  for (int64_t block = 0; block < f.blocks; block++) {
    for (int slot = 0; slot < TX_MATRICES; slot++) {
      bool want = block == 1 && slot == TX_MATRIX_UP;
      if (tx_model_keeps_f32(f.model, block, (tx_matrix_slot)slot) != want) {
        fail_msg("blk.%d slot %d", (int)block, slot);
      }
    }
  }
  close_model(&f);
  tx_gguf_close(changes);
  unlink(path);
}

static void test_what_is_kept_is_fp32(void **state) {
  (void)state;
  fixture f = open_model(files[0], NULL);
  tx_model_set_dtype(f.model, TX_DTYPE_INT8);
  tx_model_keep_f32(f.model, 1, TX_MATRIX_DOWN, true);
  tx_model_keep_f32(f.model, 0, TX_MATRIX_KEY, true);
  tx_model_keep_f32(f.model, 0, TX_MATRIX_KEY, false);
  ASSERT_OK(tx_model_load(f.model, 0, f.blocks, error));
  for (int64_t block = 0; block < f.blocks; block++) {
    for (int slot = 0; slot < TX_MATRICES; slot++) {
      const tx_matrix *matrix = &tx_model_block(f.model, block)->matrix[slot];
      bool kept = block == 1 && slot == TX_MATRIX_DOWN;
      assert_true((matrix->panels != NULL) == kept && (matrix->bytes != NULL) == !kept);
    }
  }
  /* A measurement gives the dtype back, and leaves nothing loaded in another. */
  ASSERT_OK(tx_spikes_keep(f.model, &f.pass, &sample, f.blocks, NULL, error));
  assert_int_equal(tx_model_dtype(f.model), TX_DTYPE_INT8);
  for (int64_t block = 0; block < f.blocks; block++) assert_null(tx_model_block(f.model, block));
  close_model(&f);
}

static void test_names(void **state) {
  (void)state;
  fixture f = open_model(files[1], NULL); /* has no gate */
  char name[TX_MATRIX_NAME];
  int64_t block;
  tx_matrix_slot slot;
  tx_matrix_name(1, TX_MATRIX_DOWN, name);
  assert_string_equal(name, "blk.1.ffn_down");
  assert_true(tx_matrix_find(tx_model_facts(f.model), tx_text_of(name), &block, &slot));
  assert_true(block == 1 && slot == TX_MATRIX_DOWN);
  static const char *const none[] = {"blk.1.ffn_gate", "blk.999.ffn_up",        "blk.01.ffn_up",
                                     "blk.1.ffn_dow",  "blk.1.ffn_down.weight", ""};
  for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
    assert_false(tx_matrix_find(tx_model_facts(f.model), tx_text_of(none[i]), &block, &slot));
  }
  close_model(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_errors_are_small_and_the_same_bits),
      cmocka_unit_test(test_a_spike_is_found),
      cmocka_unit_test(test_what_is_kept_is_fp32),
      cmocka_unit_test(test_names),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
