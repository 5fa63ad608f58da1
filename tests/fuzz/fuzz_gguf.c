/* The GGUF reader: any bytes are opened or refused; every value, name and tensor
 * of an open file may be asked for. */
#include "fuzz.h"

#include "base/memory.h"
#include "formats/gguf.h"
#include "kernels/dequantize.h"

enum { VALUES = 1 << 16 }; /* the largest tensor that is dequantised as a whole */

/* There is no list of a file's keys: those that any reader asks for, and "k", for
 * which the seeds have a file with each type of value. */
static const char *const keys[] = {"general.architecture",     "general.alignment",
                                   "general.file_type",        "tokenizer.ggml.model",
                                   "tokenizer.ggml.tokens",    "tokenizer.ggml.merges",
                                   "tokenizer.ggml.token_type", "tokenizer.ggml.bos_token_id",
                                   "llama.context_length",     "llama.rope.freq_base",
                                   "taxon.labels",             "taxon.depth",
                                   "k"};

static void ask_one(const tx_gguf *gguf, const char *key) {
  int64_t whole;
  double real;
  bool truth;
  tx_text text;
  tx_error error[4] = {0};
  int good = 0;
  tx_status status[] = {tx_gguf_int(gguf, key, &whole, &error[0]),
                        tx_gguf_float(gguf, key, &real, &error[1]),
                        tx_gguf_bool(gguf, key, &truth, &error[2]),
                        tx_gguf_string(gguf, key, &text, &error[3])};
  for (int i = 0; i < 4; i++) {
    must_tell(status[i], &error[i]);
    good += status[i] == TX_OK;
  }
  touch(text.data, text.size);
  MUST(good <= 1 && (good == 0 || tx_gguf_has(gguf, key))); /* one type at most */
}

static void ask_many(const tx_gguf *gguf, const char *key) {
  const tx_text *strings, *again;
  int64_t *whole;
  double *real;
  size_t count[4];
  tx_error error[3] = {0};
  tx_status status[] = {tx_gguf_strings(gguf, key, &strings, &count[0], &error[0]),
                        tx_gguf_ints(gguf, key, &whole, &count[1], &error[1]),
                        tx_gguf_floats(gguf, key, &real, &count[2], &error[2])};
  for (int i = 0; i < 3; i++) must_tell(status[i], &error[i]);
  for (size_t i = 0; i < count[0]; i++) touch(strings[i].data, strings[i].size);
  touch(whole, whole ? count[1] * sizeof *whole : 0);
  touch(real, real ? count[2] * sizeof *real : 0);
  if (status[0] == TX_OK) {
    MUST(tx_gguf_strings(gguf, key, &again, &count[3], NULL) == TX_OK);
    MUST(again == strings && count[3] == count[0]);
  }
  tx_free(whole);
  tx_free(real);
}

static void check_tensor(const tx_gguf *gguf, const tx_tensor *tensor) {
  uint64_t file;
  const unsigned char *bytes = tx_gguf_bytes(gguf, &file);
  tx_tensor_type_facts facts;
  int64_t values = 1;
  MUST(tx_gguf_tensor(gguf, tensor->name) == tensor);
  MUST(tensor->dimensions >= 1 && tensor->dimensions <= TX_TENSOR_DIMENSIONS);
  for (int i = 0; i < TX_TENSOR_DIMENSIONS; i++) {
    MUST(tensor->shape[i] >= 1 && !__builtin_mul_overflow(values, tensor->shape[i], &values));
  }
  MUST(tensor->offset <= file && tensor->size <= file - tensor->offset);
  MUST(tensor->data == bytes + tensor->offset);
  MUST(tx_tensor_type_find((uint32_t)tensor->type, &facts));
  MUST(tensor->shape[0] % facts.block == 0);
  MUST((uint64_t)(values / facts.block * facts.block_bytes) == tensor->size);
  touch(tensor->data, tensor->size);
  if (values > VALUES) return;
  float *made = malloc((size_t)values * sizeof *made);
  MUST(made);
  bool real = tensor->type != TX_TENSOR_I32 && tensor->type != TX_TENSOR_I64;
  MUST(tx_dequantize((uint32_t)tensor->type, tensor->data, values, made) == real);
  if (real) touch(made, (size_t)values * sizeof *made);
  free(made);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  tx_gguf *gguf;
  tx_error error = {0};
  tx_status status = tx_gguf_open_bytes(data, size, "fuzz.gguf", &gguf, &error);
  must_tell(status, &error);
  MUST((status == TX_OK) == (gguf != NULL));
  if (status != TX_OK) return 0;
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    ask_one(gguf, keys[i]);
    ask_many(gguf, keys[i]);
  }
  for (size_t i = 0; i < tx_gguf_tensor_count(gguf); i++) {
    check_tensor(gguf, tx_gguf_tensor_at(gguf, i));
  }
  MUST(!tx_gguf_tensor_at(gguf, tx_gguf_tensor_count(gguf)));
  tx_gguf_close(gguf);
  return 0;
}
