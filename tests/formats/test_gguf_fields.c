/* A GGUF file spoilt systematically: every number of its header set to what it
 * must not be, every length of the file; and files whose claims would cost
 * memory.  Each is refused with a sentence that names a byte at or behind the
 * change, in the time and the memory promised, or is listed here as harmless.
 * The same for a model's vocabulary and sizes, and for an artifact. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "failing.h"
#include "formats/gguf_make.h"
#include "formats/gguf_fields.h"
#include "model/architecture.h"
#include "tasks/made.h"
#include "text/vocabulary.h"
#include "formats/artifact_make.h"

enum { SECONDS = 10 /* far above the one second promised: the machine may be busy */ };

/* What is being tried, for the message of an alarm. */
static char trying[200];

static void too_long(int number) {
  (void)number;
  static const char text[] = ": this took too long\n";
  ssize_t ignored = write(2, trying, strlen(trying));
  ignored = write(2, text, sizeof text - 1);
  (void)ignored;
  _exit(1);
}

static int64_t before;

static void begin(void) {
  signal(SIGALRM, too_long);
  alarm(SECONDS);
  before = failing_highest = failing_bytes;
}

/* The memory it took at most: the size of the file and 16 MiB. */
static void end(size_t size) {
  alarm(0);
  if (failing_highest - before > (int64_t)size + (16 << 20)) {
    fail_msg("%s: %ld bytes of memory for a file of %zu", trying, (long)(failing_highest - before),
             size);
  }
}

/* ---- the file in order --------------------------------------------------- */

static void small_file(tx_buffer *file) {
  header(file, 3, 3, 13);
  key(file, "general.alignment", U32), u32(file, 64);
  key(file, "u8", U8), u8(file, 200);
  key(file, "i16", I16), raw(file, "\1\2", 2);
  key(file, "f32", F32), u32(file, 0x3f800000);
  key(file, "true", BOOL), u8(file, 1);
  key(file, "text", STRING), string(file, "some text");
  key(file, "empty", STRING), string(file, "");
  key(file, "u64", U64), u64(file, 77);
  key(file, "f64", F64), u64(file, 0x3ff0000000000000);
  array(file, "strings", STRING, 3), string(file, "a"), string(file, ""), string(file, "ccc");
  array(file, "i32s", I32, 3), u32(file, 1), u32(file, 2), u32(file, 3);
  array(file, "bools", BOOL, 3), raw(file, "\0\1\1", 3);
  array(file, "none", F32, 0);
  tensor(file, "matrix", TX_TENSOR_F32, 0, 2, (uint64_t)8, (uint64_t)4);
  tensor(file, "quantised", TX_TENSOR_Q8_0, 128, 3, (uint64_t)32, (uint64_t)2, (uint64_t)2);
  tensor(file, "vector", TX_TENSOR_F16, 320, 1, (uint64_t)3);
  pad(file, 64), zeros(file, 384);
}

/* Everything that an open handle gives, read: a sanitizer sees what is wrong. */
static void read_all(const tx_gguf *gguf) {
  static const char *const keys[] = {"general.alignment", "u8", "i16", "f32", "true", "text",
                                     "empty", "u64", "f64", "strings", "i32s", "bools", "none"};
  uint64_t sum = 0;
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    tx_error error = {0};
    int64_t whole, *wholes;
    double real, *reals;
    bool truth;
    tx_text text;
    const tx_text *texts;
    size_t n;
    (void)tx_gguf_int(gguf, keys[i], &whole, &error);
    (void)tx_gguf_float(gguf, keys[i], &real, &error);
    (void)tx_gguf_bool(gguf, keys[i], &truth, &error);
    if (tx_gguf_string(gguf, keys[i], &text, &error) == TX_OK) {
      for (size_t j = 0; j < text.size; j++) sum += (unsigned char)text.data[j];
    }
    if (tx_gguf_strings(gguf, keys[i], &texts, &n, &error) == TX_OK) {
      for (size_t j = 0; j < n; j++) sum += texts[j].size ? (unsigned char)*texts[j].data : 1;
    }
    (void)tx_gguf_ints(gguf, keys[i], &wholes, &n, &error);
    (void)tx_gguf_floats(gguf, keys[i], &reals, &n, &error);
    tx_free(wholes);
    tx_free(reals);
  }
  for (size_t i = 0; i < tx_gguf_tensor_count(gguf); i++) {
    const tx_tensor *t = tx_gguf_tensor_at(gguf, i);
    for (uint64_t j = 0; j < t->size; j++) sum += t->data[j];
    assert_ptr_equal(tx_gguf_tensor(gguf, t->name), t);
  }
  assert_true(sum != 1);
}

/* ---- one change ---------------------------------------------------------- */

/* "file: byte N: what; what next", N from `from` to the end. */
static void expect_place(const tx_error *error, uint64_t from, uint64_t size) {
  char sentence[2048];
  tx_error_sentence(error, sentence, sizeof sentence);
  bool good = error->status == TX_ERROR_INPUT && error->has_offset && error->offset >= from &&
              error->offset <= size && strcmp(error->where, "m.gguf") == 0 &&
              strstr(error->message, "; ") && strlen(error->message) < sizeof error->message - 1;
  if (!good) fail_msg("%s: %s", trying, sentence);
}

/* Why a change that the reader takes does no harm; NULL where it must refuse.
 * A file carries no checksum: a number that is another, but possible, cannot be
 * told from the one that was meant. */
static const char *harmless(const field *f, uint64_t old, uint64_t now) {
  static const char another[] = "another type of as many bytes; reading it by a type is refused";
  switch (f->kind) {
    case FIELD_VERSION:
      return now == 2 ? "version 2 has the same layout" : NULL;
    case FIELD_TENSORS:
      return now < old ? "the last tensors are not there: a model that needs them is refused"
                       : NULL;
    case FIELD_VALUE_TYPE:
    case FIELD_ARRAY_TYPE:
      return another;
    case FIELD_DIMENSION:
      return "a shape that fits its place in the file: a model that needs another is refused";
    case FIELD_TENSOR_TYPE:
      return "a type of no more bytes: a model's values are other ones, as by any changed byte";
    case FIELD_VALUE:
      return "another number: what it means is checked by who asks for it";
    default:
      return NULL;
  }
}

typedef struct tally {
  int refused, accepted[sizeof field_names / sizeof *field_names];
} tally;

/* The alignment is the one value that the reader itself needs. */
static bool is_alignment(const unsigned char *data, const field *f) {
  static const char name[] = "general.alignment";
  size_t back = strlen(name) + 4;
  return f->kind == FIELD_VALUE && f->at > back && !memcmp(data + f->at - back, name, back - 4);
}

static void try_change(const tx_buffer *file, const field *f, uint64_t now, tally *counts) {
  uint64_t old = field_load((const unsigned char *)file->data, f->at, f->width);
  if (now == old) return;
  unsigned char *copy;
  tx_gguf *gguf;
  tx_error error = {0};
  tx_buffer changed = {0};
  raw(&changed, file->data, file->size);
  memcpy(changed.data + f->at, &now, f->width);
  snprintf(trying, sizeof trying, "%s at %zu: %lu to %lu", field_names[f->kind], f->at,
           (unsigned long)old, (unsigned long)now);
  begin();
  tx_status status = open_copy(changed.data, changed.size, &gguf, &copy, &error);
  if (status == TX_OK) {
    bool fine = harmless(f, old, now) && !is_alignment((unsigned char *)file->data, f);
    if (!fine) fail_msg("%s: taken", trying);
    read_all(gguf);
    counts->accepted[f->kind]++;
  } else {
    bool magic = f->kind == FIELD_MAGIC;
    expect_place(&error, magic ? 0 : f->at, file->size);
    counts->refused++;
  }
  tx_gguf_close(gguf);
  end(file->size);
  tx_free(copy);
  tx_buffer_free(&changed);
}

static void test_every_field(void **state) {
  (void)state;
  tx_buffer file = {0};
  tally counts = {0};
  small_file(&file);
  fields all = fields_of(file.data);
  assert_true(all.count > 60);
  for (size_t i = 0; i < all.count; i++) {
    uint64_t old = field_load((unsigned char *)file.data, all.items[i].at, all.items[i].width);
    for (int change = 0; change < FIELD_CHANGES; change++) {
      try_change(&file, &all.items[i], field_changed(old, all.items[i].width, change), &counts);
    }
    /* Types: every one there is, and one more. */
    field_kind kind = all.items[i].kind;
    bool types = kind == FIELD_VALUE_TYPE || kind == FIELD_ARRAY_TYPE || kind == FIELD_TENSOR_TYPE;
    for (uint64_t type = 0; types && type < 45; type++) {
      try_change(&file, &all.items[i], type, &counts);
    }
  }
  assert_true(counts.refused > 900);
  static const field_kind never[] = {FIELD_MAGIC, FIELD_KEYS, FIELD_KEY_LENGTH,
                                     FIELD_STRING_LENGTH, FIELD_ARRAY_COUNT,
                                     FIELD_TENSOR_NAME_LENGTH, FIELD_DIMENSIONS, FIELD_OFFSET};
  for (size_t i = 0; i < sizeof never / sizeof *never; i++) {
    assert_int_equal(counts.accepted[never[i]], 0);
  }
  assert_int_equal(counts.accepted[FIELD_VERSION], 1);
  tx_free(all.items);
  tx_buffer_free(&file);
}

/* The padding behind the last tensor may be missing: nothing else. */
static void test_every_length(void **state) {
  (void)state;
  tx_buffer file = {0};
  small_file(&file);
  fields all = fields_of(file.data);
  size_t data = (all.header + 63) / 64 * 64, needed = data + 320 + 6;
  assert_true(file.size == data + 384);
  for (size_t size = 0; size <= file.size; size++) {
    unsigned char *copy;
    tx_gguf *gguf;
    tx_error error = {0};
    snprintf(trying, sizeof trying, "the first %zu bytes", size);
    begin();
    tx_status status = open_copy(file.data, size, &gguf, &copy, &error);
    assert_int_equal(status, size < needed ? TX_ERROR_INPUT : TX_OK);
    if (status != TX_OK) expect_place(&error, 0, size);
    tx_gguf_close(gguf);
    end(size);
    tx_free(copy);
  }
  tx_free(all.items);
  tx_buffer_free(&file);
}

/* ---- memory -------------------------------------------------------------- */

static void many_keys(tx_buffer *file) {
  header(file, 3, 0, 65536);
  for (unsigned i = 0; i < 65536; i++) {
    char name[16];
    snprintf(name, sizeof name, "%u", i);
    key(file, name, U8), u8(file, 0);
  }
}
static void same_keys(tx_buffer *file) {
  header(file, 3, 0, 65536);
  for (int i = 0; i < 65536; i++) key(file, "k", U8), u8(file, 0);
}
static void many_tensors(tx_buffer *file) {
  header(file, 3, 65536, 0);
  for (uint32_t i = 0; i < 65536; i++) {
    char name[16];
    snprintf(name, sizeof name, "%u", i);
    tensor(file, name, TX_TENSOR_F32, 32 * i, 1, (uint64_t)8);
  }
  pad(file, 32), zeros(file, 65536 * 32);
}
static void long_array(tx_buffer *file) { /* 8 times its bytes as numbers */
  header(file, 3, 0, 1);
  array(file, "tokenizer.ggml.token_type", U8, 6 << 20), zeros(file, 6 << 20);
}
static void empty_strings(tx_buffer *file) {
  header(file, 3, 0, 1);
  array(file, "tokenizer.ggml.tokens", STRING, 3 << 20), zeros(file, 3 << 23);
}
static void empty_strings_twice(tx_buffer *file) {
  header(file, 3, 0, 2);
  array(file, "tokenizer.ggml.tokens", STRING, 3 << 19), zeros(file, 3 << 22);
  array(file, "tokenizer.ggml.merges", STRING, 3 << 19), zeros(file, 3 << 22);
}

#define MANY(key, count)                                                                     \
  "key '" key "' holds " count " values, more than a file of this size can mean; the file is " \
  "damaged, fetch it again"

static void test_claims_cost_no_memory(void **state) {
  (void)state;
  static const struct {
    void (*make)(tx_buffer *file);
    const char *sentence; /* of opening, or else of reading the arrays; NULL: none */
  } claims[] = {
      {many_keys, NULL},
      {same_keys, "m.gguf: byte 38: key 'k' appears twice; convert the model again"},
      {many_tensors, NULL},
      {long_array, "m.gguf: byte 73: " MANY("tokenizer.ggml.token_type", "6291456")},
      {empty_strings, "m.gguf: byte 69: " MANY("tokenizer.ggml.tokens", "3145728")},
      {empty_strings_twice, "m.gguf: byte 12583026: " MANY("tokenizer.ggml.merges", "1572864")},
  };
  for (size_t i = 0; i < sizeof claims / sizeof *claims; i++) {
    tx_buffer file = {0};
    tx_error error = {0};
    tx_gguf *gguf;
    const tx_text *texts;
    int64_t *kinds = NULL;
    size_t n;
    char sentence[2048];
    claims[i].make(&file);
    snprintf(trying, sizeof trying, "claim %zu", i);
    begin();
    tx_status status = tx_gguf_open_bytes(file.data, file.size, "m.gguf", &gguf, &error);
    if (status == TX_OK && tx_gguf_has(gguf, "tokenizer.ggml.tokens")) {
      status = tx_gguf_strings(gguf, "tokenizer.ggml.tokens", &texts, &n, &error);
    }
    if (status == TX_OK && tx_gguf_has(gguf, "tokenizer.ggml.merges")) {
      status = tx_gguf_strings(gguf, "tokenizer.ggml.merges", &texts, &n, &error);
    }
    if (status == TX_OK && tx_gguf_has(gguf, "tokenizer.ggml.token_type")) {
      status = tx_gguf_ints(gguf, "tokenizer.ggml.token_type", &kinds, &n, &error);
    }
    tx_free(kinds);
    tx_gguf_close(gguf);
    end(file.size);
    tx_error_sentence(&error, sentence, sizeof sentence);
    assert_string_equal(sentence, claims[i].sentence ? claims[i].sentence : "");
    assert_int_equal(status, claims[i].sentence ? TX_ERROR_INPUT : TX_OK);
    tx_buffer_free(&file);
  }
}

/* ---- a model and an artifact ---------------------------------------------- */

/* A model's sizes and vocabulary from bytes; what they refuse names the file. */
static tx_status use_model(const void *data, size_t size, tx_error *error) {
  unsigned char *copy;
  tx_gguf *gguf;
  tx_facts facts;
  tx_tokenizer *tokenizer = NULL;
  tx_status status = open_copy(data, size, &gguf, &copy, error);
  if (status == TX_OK) status = tx_facts_read(gguf, &facts, error);
  if (status == TX_OK) status = tx_tokenizer_from_gguf(gguf, &tokenizer, error);
  tx_tokenizer_free(tokenizer);
  tx_gguf_close(gguf);
  tx_free(copy);
  return status;
}

static tx_status use_artifact(const void *data, size_t size, tx_error *error) {
  tx_artifact_facts facts;
  tx_gguf *gguf;
  write_bytes(made("m.gguf"), data, size);
  tx_status status = tx_artifact_open(made("m.gguf"), &gguf, &facts, error);
  if (status == TX_OK) assert_true(facts.label_count >= 2 && facts.base_sha256.size == 64);
  tx_gguf_close(gguf);
  return status;
}

static void change_all(char *data, size_t size,
                       tx_status (*use)(const void *data, size_t size, tx_error *error),
                       size_t step, int *refused, int *taken) {
  fields all = fields_of(data);
  tx_error error = {0};
  assert_int_equal(use(data, size, &error), TX_OK);
  for (size_t i = 0; i < all.count; i++) {
    const field *f = &all.items[i];
    if (f->kind == FIELD_STRING_LENGTH && i % step) continue; /* a vocabulary has so many */
    uint64_t old = field_load((unsigned char *)data, f->at, f->width);
    for (int change = 0; change < FIELD_CHANGES; change++) {
      uint64_t now = field_changed(old, f->width, change);
      if (now == old) continue;
      error = (tx_error){0};
      memcpy(data + f->at, &now, f->width);
      snprintf(trying, sizeof trying, "%s at %zu: %lu to %lu", field_names[f->kind], f->at,
               (unsigned long)old, (unsigned long)now);
      begin();
      tx_status status = use(data, size, &error);
      end(size);
      memcpy(data + f->at, &old, f->width);
      char sentence[2048];
      tx_error_sentence(&error, sentence, sizeof sentence);
      if (status == TX_OK ? !harmless(f, old, now)
                          : status != TX_ERROR_INPUT || !strstr(sentence, "m.gguf")) {
        fail_msg("%s: %d, %s", trying, (int)status, sentence);
      }
      ++*(status == TX_OK ? taken : refused);
    }
  }
  tx_free(all.items);
}

static void test_every_field_of_a_model(void **state) {
  (void)state;
  size_t size;
  int refused = 0, taken = 0;
  char *data = read_bytes(llama, &size);
  change_all(data, size, use_model, 7, &refused, &taken);
  assert_true(refused > 2000 && taken > 0);
  free(data);
}

static void test_every_field_of_an_artifact(void **state) {
  (void)state;
  static const int64_t prints[] = {3, 8, 9};
  static const made_tensor texts = {"taxon.training.texts", TX_TENSOR_I64, 1, {3}, prints};
  static const char hash[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
  tx_artifact_facts facts = good_facts("base.gguf", hash);
  size_t size;
  int refused = 0, taken = 0;
  MADE_OK(write_artifact(made("m.gguf"), &facts, &texts, 1, error));
  char *data = read_bytes(made("m.gguf"), &size);
  change_all(data, size, use_artifact, 1, &refused, &taken);
  assert_true(refused > 800 && taken > 0);
  free(data);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_field),
      cmocka_unit_test(test_every_length),
      cmocka_unit_test(test_claims_cost_no_memory),
      cmocka_unit_test(test_every_field_of_a_model),
      cmocka_unit_test(test_every_field_of_an_artifact),
  };
  return cmocka_run_group_tests(tests, made_setup, made_teardown);
}
