/* Vocabularies as GGUF files spell them: every way to be wrong, with the sentence
 * it must give; what is odd but harmless; and that a wrong one of the size of the
 * largest models costs neither time nor more memory than promised. */
#include <stdio.h>
#include <unistd.h>

#include "failing.h"
#include "formats/gguf_make.h"
#include "text/bytes.h"
#include "text/vocabulary.h"

#define ADVICE "; the file is damaged or was badly converted, fetch it again"

enum { AB = 256, ABC, CONTROL, TOKENS };

/* Keys of a vocabulary in order, `more` keys behind them, `tensors` tensors. */
static void begin_file(tx_buffer *file, uint64_t tensors, uint64_t more) {
  header(file, 3, tensors, 3 + more);
  key(file, "tokenizer.ggml.model", STRING), string(file, "gpt2");
  key(file, "tokenizer.ggml.pre", STRING), string(file, "gpt-2");
  array(file, "tokenizer.ggml.tokens", STRING, TOKENS);
  for (int i = 0; i < 256; i++) {
    char symbol[3] = {0};
    tx_byte_symbol((unsigned char)i, symbol);
    string(file, symbol);
  }
  string(file, "ab"), string(file, "abc"), string(file, "<s>");
}

static void put_merges(tx_buffer *file) {
  array(file, "tokenizer.ggml.merges", STRING, 2), string(file, "a b"), string(file, "ab c");
}

static void put_types(tx_buffer *file, uint32_t element, uint64_t count) {
  array(file, "tokenizer.ggml.token_type", element, count);
  for (uint64_t i = 0; i < count; i++) u32(file, i == CONTROL ? TX_TOKEN_CONTROL : TX_TOKEN_NORMAL);
}

static void put_id(tx_buffer *file, const char *name, uint32_t id) {
  char full[80];
  snprintf(full, sizeof full, "tokenizer.ggml.%s_token_id", name);
  key(file, full, U32), u32(file, id);
}

/* ---- what is refused ------------------------------------------------------- */

static void types_missing(tx_buffer *file) {
  begin_file(file, 0, 2), put_merges(file), put_types(file, I32, TOKENS - 1);
}
static void types_none(tx_buffer *file) {
  begin_file(file, 0, 2), put_merges(file), put_types(file, I32, 0);
}
static void types_too_many(tx_buffer *file) {
  begin_file(file, 0, 2), put_merges(file), put_types(file, I32, TOKENS + 1);
}
static void types_real(tx_buffer *file) {
  begin_file(file, 0, 2), put_merges(file), put_types(file, F32, TOKENS);
}
static void types_no_array(tx_buffer *file) {
  begin_file(file, 0, 2), put_merges(file), key(file, "tokenizer.ggml.token_type", I32);
  u32(file, 1);
}
static void types_unknown(tx_buffer *file) {
  begin_file(file, 0, 2), put_merges(file);
  array(file, "tokenizer.ggml.token_type", I32, TOKENS);
  for (int i = 0; i < TOKENS; i++) u32(file, i == 7 ? UINT32_MAX : 1);
}

static void with_id(tx_buffer *file, const char *name, uint32_t id) {
  begin_file(file, 0, 2), put_merges(file), put_id(file, name, id);
}
static void id_past_end(tx_buffer *file) { with_id(file, "bos", TOKENS); }
static void id_huge(tx_buffer *file) { with_id(file, "eos", UINT32_MAX); }
static void id_unknown(tx_buffer *file) { with_id(file, "unknown", 70000); }
static void id_padding(tx_buffer *file) { with_id(file, "padding", 1u << 31); }
static void id_negative(tx_buffer *file) {
  begin_file(file, 0, 2), put_merges(file);
  key(file, "tokenizer.ggml.bos_token_id", I64), u64(file, (uint64_t)INT64_MIN);
}
static void id_beyond(tx_buffer *file) {
  begin_file(file, 0, 2), put_merges(file);
  key(file, "tokenizer.ggml.eos_token_id", U64), u64(file, UINT64_MAX);
}
static void id_string(tx_buffer *file) {
  begin_file(file, 0, 2), put_merges(file);
  key(file, "tokenizer.ggml.eos_token_id", STRING), string(file, "2");
}

static void merges_are(tx_buffer *file, const char *first, const char *second) {
  begin_file(file, 0, 1);
  array(file, "tokenizer.ggml.merges", STRING, 2), string(file, first), string(file, second);
}
static void merge_left(tx_buffer *file) { merges_are(file, "a b", "zz c"); }
static void merge_right(tx_buffer *file) { merges_are(file, "a b", "ab zz"); }
static void merge_result(tx_buffer *file) { merges_are(file, "a b", "ab d"); }
static void merge_twice(tx_buffer *file) { merges_are(file, "a b", "a b"); }
static void merge_empty(tx_buffer *file) { merges_are(file, "", "ab c"); }
static void merge_one(tx_buffer *file) { merges_are(file, "ab", "ab c"); }
static void merge_three(tx_buffer *file) { merges_are(file, "a b", "a b c"); }
static void merges_of_numbers(tx_buffer *file) {
  begin_file(file, 0, 1), array(file, "tokenizer.ggml.merges", U32, 1), u32(file, 1);
}
static void merges_missing(tx_buffer *file) { begin_file(file, 0, 0); }

static void long_merge(tx_buffer *file) { /* 100 KB on each side */
  begin_file(file, 0, 1);
  array(file, "tokenizer.ggml.merges", STRING, 1), u64(file, 200001);
  for (int i = 0; i < 200001; i++) u8(file, i == 100000 ? ' ' : 'a');
}

static void embedding_is(tx_buffer *file, uint64_t rows) {
  begin_file(file, 1, 1), put_merges(file);
  tensor(file, "token_embd.weight", TX_TENSOR_F32, 0, 2, (uint64_t)8, rows);
  pad(file, 32), zeros(file, rows * 32);
}
static void embedding_small(tx_buffer *file) { embedding_is(file, TOKENS - 1); }
static void embedding_vector(tx_buffer *file) {
  begin_file(file, 1, 1), put_merges(file);
  tensor(file, "token_embd.weight", TX_TENSOR_F32, 0, 1, (uint64_t)TOKENS);
  pad(file, 32), zeros(file, TOKENS * 4 + 32);
}

static void tokens_are(tx_buffer *file, uint32_t element, uint64_t count) {
  header(file, 3, 0, 4);
  key(file, "tokenizer.ggml.model", STRING), string(file, "gpt2");
  key(file, "tokenizer.ggml.pre", STRING), string(file, "gpt-2");
  array(file, "tokenizer.ggml.merges", STRING, 0);
  array(file, "tokenizer.ggml.tokens", element, count);
}
static void tokens_none(tx_buffer *file) { tokens_are(file, STRING, 0); }
static void tokens_numbers(tx_buffer *file) { tokens_are(file, U32, 1), u32(file, 1); }
static void tokens_twice(tx_buffer *file) {
  tokens_are(file, STRING, 3), string(file, "a"), string(file, "b"), string(file, "a");
}
static void tokens_empty_twice(tx_buffer *file) {
  tokens_are(file, STRING, 2), string(file, ""), string(file, "");
}
static void special_long(tx_buffer *file) { /* a control token of 100 KB */
  header(file, 3, 0, 5);
  key(file, "tokenizer.ggml.model", STRING), string(file, "gpt2");
  key(file, "tokenizer.ggml.pre", STRING), string(file, "gpt-2");
  array(file, "tokenizer.ggml.merges", STRING, 0);
  array(file, "tokenizer.ggml.token_type", U8, 2), raw(file, "\1\3", 2);
  array(file, "tokenizer.ggml.tokens", STRING, 2), string(file, "a"), u64(file, 102400);
  for (int i = 0; i < 102400; i++) u8(file, 'x');
}

static void of_model(tx_buffer *file, uint32_t type, const char *model) {
  header(file, 3, 0, 1);
  key(file, "tokenizer.ggml.model", type);
  if (type == STRING) string(file, model);
  if (type == U32) u32(file, 1);
}
static void model_other(tx_buffer *file) { of_model(file, STRING, "llama"); }
static void model_number(tx_buffer *file) { of_model(file, U32, NULL); }
static void model_missing(tx_buffer *file) { header(file, 3, 0, 0); }
static void rule_unknown(tx_buffer *file) {
  header(file, 3, 0, 4);
  key(file, "tokenizer.ggml.model", STRING), string(file, "gpt2");
  key(file, "tokenizer.ggml.pre", STRING), string(file, "\033[2Jn\xc3\xa9w");
  array(file, "tokenizer.ggml.tokens", STRING, 1), string(file, "a");
  array(file, "tokenizer.ggml.merges", STRING, 0);
}
static void rule_missing(tx_buffer *file) {
  header(file, 3, 0, 1);
  key(file, "tokenizer.ggml.model", STRING), string(file, "gpt2");
}

#define KEY(name) "key 'tokenizer.ggml." name "'"
#define MISSING \
  " is missing; the file is of another kind or was not converted completely, fetch or convert it " \
  "again"

static const struct {
  void (*make)(tx_buffer *file);
  const char *sentence;
} wrong[] = {
    {types_missing, "m.gguf: 259 tokens have 258 kinds (tokenizer.ggml.token_type)" ADVICE},
    {types_none, "m.gguf: 259 tokens have 0 kinds (tokenizer.ggml.token_type)" ADVICE},
    {types_too_many, "m.gguf: 259 tokens have 260 kinds (tokenizer.ggml.token_type)" ADVICE},
    {types_real, "m.gguf: byte 2771: " KEY("token_type")
                 " is an array of real numbers, not an array of whole numbers; convert the model "
                 "again"},
    {types_no_array, "m.gguf: byte 2759: " KEY("token_type")
                     " is a whole number, not an array of whole numbers; convert the model again"},
    {types_unknown, "m.gguf: token 7 is of kind -1, where kinds run from 1 to 6" ADVICE},
    {id_past_end, "m.gguf: the beginning token is number 259 of a vocabulary of 259" ADVICE},
    {id_huge, "m.gguf: the end token is number 4294967295 of a vocabulary of 259" ADVICE},
    {id_unknown, "m.gguf: the unknown token is number 70000 of a vocabulary of 259" ADVICE},
    {id_padding, "m.gguf: the padding token is number 2147483648 of a vocabulary of 259" ADVICE},
    {id_negative,
     "m.gguf: the beginning token is number -9223372036854775808 of a vocabulary of 259" ADVICE},
    {id_beyond, "m.gguf: byte 2761: " KEY("eos_token_id")
                " holds a number beyond 2^63 - 1; the file is damaged, fetch it again"},
    {id_string, "m.gguf: byte 2761: " KEY("eos_token_id")
                " is a string, not a whole number; convert the model again"},
    {merge_left, "m.gguf: the left token of merge 1 is not in the vocabulary" ADVICE},
    {merge_right, "m.gguf: the right token of merge 1 is not in the vocabulary" ADVICE},
    {merge_result, "m.gguf: what merge 1 makes is not in the vocabulary" ADVICE},
    {merge_twice, "m.gguf: merges 0 and 1 are the same" ADVICE},
    {merge_empty, "m.gguf: merge 0 is not two tokens with one space between them" ADVICE},
    {merge_one, "m.gguf: merge 0 is not two tokens with one space between them" ADVICE},
    {merge_three, "m.gguf: merge 1 is not two tokens with one space between them" ADVICE},
    {merges_of_numbers, "m.gguf: byte 2699: " KEY("merges")
                        " is an array of whole numbers, not an array of strings; convert the model "
                        "again"},
    {merges_missing, "m.gguf: " KEY("merges") MISSING},
    {long_merge, "m.gguf: the left token of merge 0 is not in the vocabulary" ADVICE},
    {embedding_small,
     "m.gguf: the vocabulary has 259 tokens but token_embd.weight only 258 rows" ADVICE},
    {embedding_vector,
     "m.gguf: the vocabulary has 259 tokens but token_embd.weight only 1 rows" ADVICE},
    {tokens_none, "m.gguf: the vocabulary has no tokens" ADVICE},
    {tokens_numbers, "m.gguf: byte 201: " KEY("tokens")
                     " is an array of whole numbers, not an array of strings; convert the model "
                     "again"},
    {tokens_twice, "m.gguf: tokens 0 and 2 are the same" ADVICE},
    {tokens_empty_twice, "m.gguf: tokens 0 and 1 are the same" ADVICE},
    {special_long,
     "m.gguf: special token 1 is 102400 bytes long, where 1024 is the most" ADVICE},
    {model_other,
     "m.gguf: the tokenizer is not byte-level BPE (tokenizer.ggml.model is not \"gpt2\"); use a "
     "model of the GPT-2 or SmolLM2 kind"},
    {model_number, "m.gguf: byte 56: " KEY("model")
                   " is a whole number, not a string; convert the model again"},
    {model_missing, "m.gguf: " KEY("model") MISSING},
    {rule_unknown,
     "m.gguf: the tokenizer's split rule \"?[2Jn?\?w\" (tokenizer.ggml.pre) is not known; use a "
     "model with one of these: gpt-2, smollm"},
    {rule_missing, "m.gguf: key 'general.architecture'" MISSING},
};

/* The tokenizer of a file, or the sentence; within the promised time and memory. */
static tx_status use(tx_buffer *file, tx_tokenizer **tokenizer, char sentence[2048]) {
  tx_error error = {0};
  tx_gguf *gguf;
  alarm(10);
  int64_t before = failing_highest = failing_bytes;
  *tokenizer = NULL;
  tx_status status = tx_gguf_open_bytes(file->data, file->size, "m.gguf", &gguf, &error);
  if (status == TX_OK) status = tx_tokenizer_from_gguf(gguf, tokenizer, &error);
  int64_t most = failing_highest - before;
  tx_gguf_close(gguf);
  alarm(0);
  if (status != TX_OK && most > (int64_t)file->size + (16 << 20)) {
    fail_msg("%ld bytes for a file of %zu", (long)most, file->size);
  }
  tx_error_sentence(&error, sentence, 2048);
  return status;
}

static void test_wrong_vocabularies(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    tx_buffer file = {0};
    tx_tokenizer *tokenizer;
    char sentence[2048];
    wrong[i].make(&file);
    tx_status status = use(&file, &tokenizer, sentence);
    assert_string_equal(sentence, wrong[i].sentence);
    assert_int_equal(status, TX_ERROR_INPUT);
    assert_null(tokenizer);
    tx_buffer_free(&file);
  }
}

/* ---- what is harmless ------------------------------------------------------- */

static void plain(tx_buffer *file) { begin_file(file, 0, 1), put_merges(file); }
/* Merging needs no scores; what is wrong with them is not looked at. */
static void scores_of_strings(tx_buffer *file) {
  begin_file(file, 0, 2), put_merges(file);
  array(file, "tokenizer.ggml.scores", STRING, 1), string(file, "x");
}
static void scores_too_few(tx_buffer *file) {
  begin_file(file, 0, 2), put_merges(file);
  array(file, "tokenizer.ggml.scores", F32, 1), u32(file, 0x7fc00000);
}
static void scores_no_array(tx_buffer *file) {
  begin_file(file, 0, 2), put_merges(file);
  key(file, "tokenizer.ggml.scores", BOOL), u8(file, 1);
}
static void types_of_bytes(tx_buffer *file) {
  begin_file(file, 0, 2), put_merges(file);
  array(file, "tokenizer.ggml.token_type", U8, TOKENS);
  for (int i = 0; i < TOKENS; i++) u8(file, i == CONTROL ? TX_TOKEN_CONTROL : TX_TOKEN_NORMAL);
}
static void ids_at_the_end(tx_buffer *file) {
  begin_file(file, 0, 5), put_merges(file);
  put_id(file, "bos", TOKENS - 1), put_id(file, "eos", 0);
  put_id(file, "unknown", TOKENS - 1), put_id(file, "padding", TOKENS - 1);
}
static void embedding_fits(tx_buffer *file) { embedding_is(file, TOKENS); }
static void embedding_larger(tx_buffer *file) { embedding_is(file, TOKENS + 5); }

static void test_odd_vocabularies(void **state) {
  (void)state;
  static void (*const odd[])(tx_buffer *) = {
      plain,          scores_of_strings, scores_too_few, scores_no_array,
      types_of_bytes, ids_at_the_end,    embedding_fits, embedding_larger};
  for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
    tx_buffer file = {0};
    tx_tokenizer *tokenizer;
    tx_ids ids = {0};
    char sentence[2048];
    odd[i](&file);
    if (use(&file, &tokenizer, sentence) != TX_OK) fail_msg("%zu: %s", i, sentence);
    assert_int_equal(tx_tokenizer_encode(tokenizer, tx_text_of("abcab"), true, 0, &ids, NULL),
                     TX_OK);
    assert_int_equal(ids.count, 2);
    assert_int_equal(ids.ids[0], ABC);
    assert_int_equal(ids.ids[1], AB);
    tx_ids_free(&ids);
    tx_tokenizer_free(tokenizer);
    tx_buffer_free(&file);
  }
}

/* A token of 100 KB that no merge makes: never used, and no slower for it. */
static void test_long_token(void **state) {
  (void)state;
  enum { LONG = 102400 };
  tx_buffer file = {0}, text = {0};
  tx_tokenizer *tokenizer;
  tx_ids ids = {0};
  char sentence[2048];
  tokens_are(&file, STRING, 2), string(&file, "a"), u64(&file, LONG);
  for (int i = 0; i < LONG; i++) u8(&file, 'a'), u8(&text, 'a');
  if (use(&file, &tokenizer, sentence) != TX_OK) fail_msg("%s", sentence);
  tx_text all = {text.data, text.size};
  alarm(10);
  assert_int_equal(tx_tokenizer_encode(tokenizer, all, true, 0, &ids, NULL), TX_OK);
  alarm(0);
  assert_int_equal(ids.count, LONG);
  assert_int_equal(tx_tokenizer_bytes(tokenizer, 1).size, LONG);
  tx_ids_free(&ids);
  tx_tokenizer_free(tokenizer);
  tx_buffer_free(&file);
  tx_buffer_free(&text);
}

/* ---- large ones -------------------------------------------------------------- */

static void numbered(tx_buffer *file, uint32_t number) {
  char text[16];
  snprintf(text, sizeof text, "t%u", number);
  string(file, text);
}

/* As many tokens as the largest models have, the last one twice. */
static void many_tokens(tx_buffer *file) {
  tokens_are(file, STRING, 262144);
  for (uint32_t i = 0; i < 262144; i++) numbered(file, i < 262143 ? i : 0);
}
static void many_merges(tx_buffer *file) { /* the first of them makes no sense */
  begin_file(file, 0, 1);
  array(file, "tokenizer.ggml.merges", STRING, 262144);
  for (uint32_t i = 0; i < 262144; i++) string(file, "q x");
}
static void too_many_tokens(tx_buffer *file) {
  tokens_are(file, STRING, (1 << 20) + 1);
  for (uint32_t i = 0; i <= 1 << 20; i++) numbered(file, i);
}
static void too_many_merges(tx_buffer *file) {
  begin_file(file, 0, 1);
  array(file, "tokenizer.ggml.merges", STRING, (1 << 20) + 1);
  for (uint32_t i = 0; i <= 1 << 20; i++) string(file, "q x");
}

static void test_large_wrong_vocabularies(void **state) {
  (void)state;
  static const struct {
    void (*make)(tx_buffer *file);
    const char *sentence;
  } large[] = {
      {many_tokens, "m.gguf: tokens 0 and 262143 are the same" ADVICE},
      {many_merges, "m.gguf: what merge 0 makes is not in the vocabulary" ADVICE},
      {too_many_tokens,
       "m.gguf: the vocabulary has 1048577 tokens and 0 merges, where 1048576 of each is the "
       "most" ADVICE},
      {too_many_merges,
       "m.gguf: the vocabulary has 259 tokens and 1048577 merges, where 1048576 of each is the "
       "most" ADVICE},
  };
  for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
    tx_buffer file = {0};
    tx_tokenizer *tokenizer;
    char sentence[2048];
    large[i].make(&file);
    assert_int_equal(use(&file, &tokenizer, sentence), TX_ERROR_INPUT);
    assert_string_equal(sentence, large[i].sentence);
    tx_buffer_free(&file);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_wrong_vocabularies),
      cmocka_unit_test(test_odd_vocabularies),
      cmocka_unit_test(test_long_token),
      cmocka_unit_test(test_large_wrong_vocabularies),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
