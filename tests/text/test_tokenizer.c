/* The tokenizer: ids of the `tokenizers` library (tests/golden/tokens.gguf), what
 * must hold for any text, and every vocabulary that must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/random.h"
#include "text/bytes.h"
#include "text/vocabulary.h"

#define GOLDEN "tests/golden/tokens.gguf"

static tx_error no_error;

static tx_gguf *open_golden(void) {
  tx_error error = {0};
  tx_gguf *gguf;
  tx_status status = tx_gguf_open(GOLDEN, &gguf, &error);
  if (status != TX_OK) fail_msg("%s", error.message);
  return gguf;
}

/* The golden file's small vocabulary under a rule. */
static tx_tokenizer *small_tokenizer(const tx_gguf *gguf, const char *rule) {
  tx_vocabulary v = {.file = GOLDEN, .split = tx_text_of(rule), .bos = 1, .eos = 2};
  v.unknown = v.padding = -1;
  int64_t *kinds;
  size_t count;
  assert_int_equal(tx_gguf_strings(gguf, "tokenizer.ggml.tokens", &v.tokens, &v.count, &no_error),
                   TX_OK);
  assert_int_equal(
      tx_gguf_strings(gguf, "tokenizer.ggml.merges", &v.merges, &v.merge_count, &no_error), TX_OK);
  assert_int_equal(tx_gguf_ints(gguf, "tokenizer.ggml.token_type", &kinds, &count, &no_error),
                   TX_OK);
  v.kinds = kinds;
  tx_error error = {0};
  tx_tokenizer *tokenizer;
  if (tx_tokenizer_new(&v, &tokenizer, &error)) fail_msg("%s", error.message);
  tx_free(kinds);
  return tokenizer;
}

static int64_t *golden_numbers(const tx_gguf *gguf, const char *name, const char *what,
                               size_t *count) {
  char key[64];
  snprintf(key, sizeof key, "test.%s%s", name, what);
  int64_t *numbers;
  tx_error error = {0};
  if (tx_gguf_ints(gguf, key, &numbers, count, &error)) fail_msg("%s", error.message);
  return numbers;
}

static void expect_golden(const tx_gguf *gguf, const tx_tokenizer *tokenizer, const char *name) {
  const tx_text *texts;
  size_t count, counts_count, ids_count, special_count, at = 0;
  tx_error error = {0};
  assert_int_equal(tx_gguf_strings(gguf, "test.texts", &texts, &count, &error), TX_OK);
  int64_t *special = golden_numbers(gguf, "special", "", &special_count);
  int64_t *counts = golden_numbers(gguf, name, ".counts", &counts_count);
  int64_t *expected = golden_numbers(gguf, name, ".ids", &ids_count);
  assert_true(count > 2000 && counts_count == count && special_count == count);
  tx_ids ids = {0};
  for (size_t i = 0; i < count; i++) {
    ids.count = 0;
    assert_int_equal(tx_tokenizer_encode(tokenizer, texts[i], special[i], 0, &ids, &error), TX_OK);
    bool same = ids.count == (size_t)counts[i];
    for (size_t j = 0; same && j < ids.count; j++) same = ids.ids[j] == expected[at + j];
    if (!same)
      fail_msg("%s: text %zu has other ids: %.*s", name, i, (int)texts[i].size, texts[i].data);
    at += (size_t)counts[i];
  }
  assert_int_equal(at, ids_count);
  tx_ids_free(&ids);
  tx_free(special);
  tx_free(counts);
  tx_free(expected);
}

static void test_golden_small(void **state) {
  (void)state;
  static const char *const names[] = {"gpt-2", "smollm"};
  tx_gguf *gguf = open_golden();
  for (int i = 0; i < 2; i++) {
    tx_tokenizer *tokenizer = small_tokenizer(gguf, names[i]);
    expect_golden(gguf, tokenizer, names[i]);
    tx_tokenizer_free(tokenizer);
  }
  tx_tokenizer *tokenizer;
  tx_error error = {0};
  assert_int_equal(tx_tokenizer_from_gguf(gguf, &tokenizer, &error), TX_OK);
  expect_golden(gguf, tokenizer, "smollm");
  assert_int_equal(tx_tokenizer_bos(tokenizer), 1);
  assert_int_equal(tx_tokenizer_eos(tokenizer), 2);
  tx_tokenizer_free(tokenizer);
  tx_gguf_close(gguf);
}

static void test_golden_smollm2(void **state) {
  (void)state;
  const char *path = getenv("TAXON_TEST_MODEL");
  if (!path || !*path) skip();
  tx_gguf *golden = open_golden(), *gguf;
  tx_error error = {0};
  if (tx_gguf_open(path, &gguf, &error)) fail_msg("%s", error.message);
  tx_tokenizer *tokenizer;
  if (tx_tokenizer_from_gguf(gguf, &tokenizer, &error)) fail_msg("%s", error.message);
  tx_gguf_close(gguf);
  assert_int_equal(tx_tokenizer_count(tokenizer), 49152);
  expect_golden(golden, tokenizer, "smollm2");
  tx_tokenizer_free(tokenizer);
  tx_gguf_close(golden);
}

/* The text that the ids stand for. */
static void decode(const tx_tokenizer *tokenizer, const tx_ids *ids, tx_buffer *text) {
  tx_buffer_clear(text);
  for (size_t i = 0; i < ids->count; i++) {
    tx_text bytes = tx_tokenizer_bytes(tokenizer, ids->ids[i]);
    assert_non_null(bytes.data);
    tx_buffer_append(text, bytes.data, bytes.size);
  }
  assert_false(text->failed);
}

/* Random bytes of several kinds: any, low ones, pieces of UTF-8 and of specials. */
static void random_bytes(tx_random *random, tx_buffer *text, uint64_t longest) {
  static const char *const pieces[] = {"\xED\x95\x9C", "\xE2\x82", "\xF0\x9F\x98\x80", "\xC2\xA0",
                                       "<|im_start|>", "<|im_",    "\n\n\n",           "'ll",
                                       "   ",          "word"};
  tx_buffer_clear(text);
  tx_buffer_append(text, "", 0);
  uint64_t kind = tx_random_below(random, 3);
  for (uint64_t left = tx_random_below(random, longest); left; left--) {
    uint64_t number = tx_random_next(random) >> 32;
    if (kind == 2) {
      tx_buffer_append_string(text, pieces[number % (sizeof pieces / sizeof *pieces)]);
    } else {
      tx_buffer_append_byte(text, (char)(kind ? number % 256 : number % 3 + 'a'));
    }
  }
  assert_false(text->failed);
}

static void expect_round_trip(const tx_tokenizer *tokenizer, tx_text text, tx_ids *ids,
                              tx_buffer *decoded) {
  for (int special = 0; special < 2; special++) {
    tx_error error = {0};
    ids->count = 0;
    assert_int_equal(tx_tokenizer_encode(tokenizer, text, special, 0, ids, &error), TX_OK);
    decode(tokenizer, ids, decoded);
    size_t kept = 0;
    for (size_t i = 0; i < text.size; i++) {
      if (!tx_tokenizer_has_byte(tokenizer, (unsigned char)text.data[i])) continue;
      assert_true(kept < decoded->size && decoded->data[kept] == text.data[i]);
      kept++;
    }
    assert_int_equal(kept, decoded->size);
  }
}

/* A vocabulary of our own, to be spoilt by tests: all 256 symbols, then these. */
static const char *const more_tokens[] = {"he",  "ll",   "llo",  "hello", "\xC4\xA0hello",
                                          "<s>", "<s>x", "<pad>"};
static const char *const few_merges[] = {"h e", "l l", "ll o", "he llo", "\xC4\xA0 hello"};
enum { MORE = sizeof more_tokens / sizeof *more_tokens, OWN = 256 + MORE, MERGES = 5 };

typedef struct own {
  char symbols[256][2];
  tx_text tokens[OWN], merges[MERGES];
  int64_t kinds[OWN];
  tx_vocabulary vocabulary;
} own;

static void own_make(own *o) {
  for (int i = 0; i < 256; i++) {
    o->tokens[i] = (tx_text){o->symbols[i], tx_byte_symbol((unsigned char)i, o->symbols[i])};
  }
  for (int i = 0; i < MORE; i++) o->tokens[256 + i] = tx_text_of(more_tokens[i]);
  for (int i = 0; i < MERGES; i++) o->merges[i] = tx_text_of(few_merges[i]);
  for (int i = 0; i < OWN; i++) o->kinds[i] = TX_TOKEN_NORMAL;
  o->kinds[OWN - 3] = TX_TOKEN_CONTROL;
  o->kinds[OWN - 2] = TX_TOKEN_USER_DEFINED;
  o->kinds[OWN - 1] = TX_TOKEN_CONTROL;
  o->vocabulary = (tx_vocabulary){
      "own.gguf", tx_text_of("gpt-2"), o->tokens, OWN, o->kinds, o->merges, MERGES, -1, -1, -1, -1};
}

static tx_tokenizer *own_tokenizer(own *o) {
  tx_error error = {0};
  tx_tokenizer *tokenizer;
  if (tx_tokenizer_new(&o->vocabulary, &tokenizer, &error)) fail_msg("%s", error.message);
  return tokenizer;
}

static void test_decoding_gives_the_same_bytes(void **state) {
  (void)state;
  own o;
  own_make(&o);
  tx_gguf *gguf = open_golden();
  tx_tokenizer *tokenizers[] = {small_tokenizer(gguf, "gpt-2"), small_tokenizer(gguf, "smollm"),
                                own_tokenizer(&o)};
  tx_gguf_close(gguf);
  for (int byte = 0; byte < 256; byte++) {
    assert_true(tx_tokenizer_has_byte(tokenizers[2], (unsigned char)byte));
  }
  assert_false(tx_tokenizer_has_byte(tokenizers[0], 0x04));
  tx_random random = tx_random_seed(11);
  tx_buffer text = {0}, decoded = {0};
  tx_ids ids = {0};
  for (int round = 0; round < 3000; round++) {
    random_bytes(&random, &text, round % 100 ? 60 : 5000);
    expect_round_trip(tokenizers[round % 3], (tx_text){text.data, text.size}, &ids, &decoded);
  }
  for (int i = 0; i < 3; i++) tx_tokenizer_free(tokenizers[i]);
  tx_buffer_free(&text);
  tx_buffer_free(&decoded);
  tx_ids_free(&ids);
}

static void test_limit_stops_early_with_the_same_ids(void **state) {
  (void)state;
  tx_gguf *gguf = open_golden();
  tx_tokenizer *tokenizer = small_tokenizer(gguf, "smollm");
  tx_gguf_close(gguf);
  tx_random random = tx_random_seed(12);
  tx_buffer text = {0};
  tx_ids all = {0}, some = {0};
  tx_error error = {0};
  for (int round = 0; round < 300; round++) {
    random_bytes(&random, &text, 200);
    tx_text whole = {text.data, text.size};
    all.count = 0;
    assert_int_equal(tx_tokenizer_encode(tokenizer, whole, true, 0, &all, &error), TX_OK);
    for (size_t limit = 1; limit <= all.count + 1; limit += 1 + all.count / 9) {
      some.count = 0;
      assert_int_equal(tx_tokenizer_encode(tokenizer, whole, true, limit, &some, &error), TX_OK);
      assert_true(some.count <= all.count);
      assert_true(some.count >= (limit < all.count ? limit : all.count));
      assert_memory_equal(some.ids, all.ids, some.count * sizeof *some.ids);
    }
  }
  /* It does stop: a long text leaves little; and what is there already counts. */
  tx_buffer_clear(&text);
  for (int i = 0; i < 100000; i++) tx_buffer_append_string(&text, " w0rd!");
  some.count = 0;
  tx_text whole = {text.data, text.size};
  assert_int_equal(tx_tokenizer_encode(tokenizer, whole, true, 50, &some, &error), TX_OK);
  assert_in_range(some.count, 50, 60);
  size_t before = some.count;
  assert_int_equal(tx_tokenizer_encode(tokenizer, whole, true, 50, &some, &error), TX_OK);
  assert_int_equal(some.count, before);
  tx_tokenizer_free(tokenizer);
  tx_buffer_free(&text);
  tx_ids_free(&all);
  tx_ids_free(&some);
}

static void expect_ids(const tx_tokenizer *tokenizer, const char *text, bool special,
                       const int32_t *expected, size_t count) {
  tx_ids ids = {0};
  tx_error error = {0};
  assert_int_equal(tx_tokenizer_encode(tokenizer, tx_text_of(text), special, 0, &ids, &error),
                   TX_OK);
  assert_int_equal(ids.count, count);
  if (count) assert_memory_equal(ids.ids, expected, count * sizeof *expected);
  tx_ids_free(&ids);
}
#define EXPECT_IDS(tokenizer, text, special, ...)                      \
  expect_ids(tokenizer, text, special, (const int32_t[]){__VA_ARGS__}, \
             sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))

static void test_special_tokens(void **state) {
  (void)state;
  own o;
  own_make(&o);
  tx_tokenizer *tokenizer = own_tokenizer(&o);
  enum { HELLO = 259, SPACE_HELLO, CONTROL, USER, PAD };
  EXPECT_IDS(tokenizer, "hello hello", false, HELLO, SPACE_HELLO);
  EXPECT_IDS(tokenizer, "<s>hello", true, CONTROL, HELLO);
  EXPECT_IDS(tokenizer, "<s>", false, '<', 's', '>');
  /* The longest at the leftmost place; user-defined ones are always parsed. */
  EXPECT_IDS(tokenizer, "a<s>x<s>", true, 'a', USER, CONTROL);
  EXPECT_IDS(tokenizer, "a<s>x", false, 'a', USER);
  EXPECT_IDS(tokenizer, "<<s>", true, '<', CONTROL);
  EXPECT_IDS(tokenizer, "<pad<pad>", true, '<', 'p', 'a', 'd', PAD);
  expect_ids(tokenizer, "", true, NULL, 0);
  /* Around a special token text is split as if it stood alone. */
  EXPECT_IDS(tokenizer, " <s> hello", true, ' ', CONTROL, SPACE_HELLO);
  tx_tokenizer_free(tokenizer);
}

/* A token that merging never reaches from its own bytes stays unused: "ab" is
 * merged first, and nothing joins it with "c". */
static void test_unreachable_tokens_stay_unused(void **state) {
  (void)state;
  static const char *const tokens[] = {"ab", "bc", "abc"}, *const merges[] = {"a b", "b c", "a bc"};
  own o;
  own_make(&o);
  for (int i = 0; i < 3; i++) {
    o.tokens[256 + i] = tx_text_of(tokens[i]);
    o.merges[i] = tx_text_of(merges[i]);
  }
  o.vocabulary.merge_count = 3;
  tx_tokenizer *tokenizer = own_tokenizer(&o);
  EXPECT_IDS(tokenizer, "abc", false, 256, 'c');
  EXPECT_IDS(tokenizer, "bc", false, 257);
  tx_tokenizer_free(tokenizer);
}

static void test_tokens_stand_for_bytes(void **state) {
  (void)state;
  own o;
  own_make(&o);
  o.tokens[OWN - 1] = tx_text_of("\xC4\xA0<pad>"); /* control tokens are spelled as they are */
  tx_tokenizer *tokenizer = own_tokenizer(&o);
  for (int byte = 0; byte < 256; byte++) {
    tx_text text = tx_tokenizer_bytes(tokenizer, byte);
    assert_int_equal(text.size, 1);
    assert_int_equal((unsigned char)*text.data, byte);
  }
  assert_int_equal(tx_tokenizer_bytes(tokenizer, 260).size, 6);
  assert_memory_equal(tx_tokenizer_bytes(tokenizer, 260).data, " hello", 6);
  assert_int_equal(tx_tokenizer_bytes(tokenizer, OWN - 1).size, 7);
  assert_memory_equal(tx_tokenizer_bytes(tokenizer, OWN - 1).data, "\xC4\xA0<pad>", 7);
  assert_null(tx_tokenizer_bytes(tokenizer, -1).data);
  assert_null(tx_tokenizer_bytes(tokenizer, OWN).data);
  assert_null(tx_tokenizer_bytes(tokenizer, INT64_MIN).data);
  assert_int_equal(tx_tokenizer_count(tokenizer), OWN);
  assert_int_equal(tx_tokenizer_bos(tokenizer), -1);
  tx_tokenizer_free(tokenizer);
}

static void test_alphabet(void **state) {
  (void)state;
  static const struct {
    unsigned char byte;
    const char *symbol;
  } known[] = {{' ', "\xC4\xA0"},  {'\n', "\xC4\x8A"}, {0, "\xC4\x80"},    {'!', "!"},
               {'~', "~"},         {0x7F, "\xC4\xA1"}, {0xA0, "\xC5\x82"}, {0xA1, "\xC2\xA1"},
               {0xAD, "\xC5\x83"}, {0xFF, "\xC3\xBF"}};
  char bytes[64];
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    size_t size = tx_byte_symbol(known[i].byte, bytes);
    assert_int_equal(size, strlen(known[i].symbol));
    assert_memory_equal(bytes, known[i].symbol, size);
  }
  /* Outside the alphabet a spelling stands for itself. */
  static const char *const outside[] = {"a b",   "\xED\x95\x9C", "x\xC5\x84", "\xC4",
                                        "a\x80", "\xC2\xAD",     "\xC0\xA0",  "\xC4\x20"};
  for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
    size_t size = tx_bytes_of_spelling(tx_text_of(outside[i]), bytes);
    assert_int_equal(size, strlen(outside[i]));
    assert_memory_equal(bytes, outside[i], size);
  }
}

/* ---- vocabularies that are refused -------------------------------------- */

static void expect_refused(own *o, const char *sentence) {
  tx_error error = {0};
  tx_tokenizer *tokenizer;
  assert_int_equal(tx_tokenizer_new(&o->vocabulary, &tokenizer, &error), TX_ERROR_INPUT);
  assert_null(tokenizer);
  char got[1400];
  assert_string_equal(tx_error_sentence(&error, got, sizeof got), sentence);
}
#define ADVICE "; the file is damaged or was badly converted, fetch it again"

static void test_wrong_numbers_are_refused(void **state) {
  (void)state;
  own o;
  own_make(&o);
  o.vocabulary.count = 0;
  expect_refused(&o, "own.gguf: the vocabulary has no tokens" ADVICE);
  o.vocabulary.count = (1 << 20) + 1;
  expect_refused(&o,
                 "own.gguf: the vocabulary has 1048577 tokens and 5 merges, where 1048576 of "
                 "each is the most" ADVICE);
  own_make(&o);
  o.vocabulary.merge_count = (1 << 20) + 1;
  expect_refused(&o,
                 "own.gguf: the vocabulary has 264 tokens and 1048577 merges, where 1048576 of "
                 "each is the most" ADVICE);
  own_make(&o);
  o.tokens[5].size = (size_t)INT32_MAX + 1; /* not looked into */
  expect_refused(&o, "own.gguf: token 5 is 2147483648 bytes long" ADVICE);
  o.vocabulary.file = NULL;
  expect_refused(&o, "the vocabulary: token 5 is 2147483648 bytes long" ADVICE);
  own_make(&o);
  o.kinds[3] = 7;
  expect_refused(&o, "own.gguf: token 3 is of kind 7, where kinds run from 1 to 6" ADVICE);
  o.kinds[3] = 0;
  expect_refused(&o, "own.gguf: token 3 is of kind 0, where kinds run from 1 to 6" ADVICE);
  own_make(&o);
  o.vocabulary.eos = OWN;
  expect_refused(&o, "own.gguf: the end token is number 264 of a vocabulary of 264" ADVICE);
  own_make(&o);
  o.vocabulary.padding = -2;
  expect_refused(&o, "own.gguf: the padding token is number -2 of a vocabulary of 264" ADVICE);
}

static void test_wrong_tokens_are_refused(void **state) {
  (void)state;
  own o;
  own_make(&o);
  o.tokens[260] = tx_text_of("he");
  expect_refused(&o, "own.gguf: tokens 256 and 260 are the same" ADVICE);
  own_make(&o);
  o.vocabulary.split = tx_text_of("gpt-4o");
  expect_refused(&o,
                 "own.gguf: the tokenizer's split rule \"gpt-4o\" (tokenizer.ggml.pre) is not "
                 "known; use a model with one of these: gpt-2, smollm");
  own_make(&o);
  char *long_token = tx_alloc_zero(1, 1025);
  o.tokens[OWN - 3] = (tx_text){long_token, 1025};
  expect_refused(&o,
                 "own.gguf: special token 261 is 1025 bytes long, where 1024 is the most" ADVICE);
  tx_free(long_token);
}

static void test_wrong_merges_are_refused(void **state) {
  (void)state;
  static const struct {
    const char *merge, *sentence;
  } wrong[] = {
      {"hello", "own.gguf: merge 2 is not two tokens with one space between them" ADVICE},
      {"h e l", "own.gguf: merge 2 is not two tokens with one space between them" ADVICE},
      {" hello", "own.gguf: merge 2 is not two tokens with one space between them" ADVICE},
      {"hello ", "own.gguf: merge 2 is not two tokens with one space between them" ADVICE},
      {"", "own.gguf: merge 2 is not two tokens with one space between them" ADVICE},
      {"world o", "own.gguf: the left token of merge 2 is not in the vocabulary" ADVICE},
      {"o world", "own.gguf: the right token of merge 2 is not in the vocabulary" ADVICE},
      {"o o", "own.gguf: what merge 2 makes is not in the vocabulary" ADVICE},
      {"h e", "own.gguf: merges 0 and 2 are the same" ADVICE},
  };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    own o;
    own_make(&o);
    o.merges[2] = tx_text_of(wrong[i].merge);
    expect_refused(&o, wrong[i].sentence);
  }
}

/* Tokens, and then pairs of tokens, that share a place in their table: found by
 * trying, as one who means harm would. */
enum { CHOSEN = 1025, SIDE = 2200 };

static void test_tokens_made_to_collide(void **state) {
  (void)state;
  static char bytes[CHOSEN][12];
  static tx_text tokens[CHOSEN];
  uint32_t number = 0;
  for (int i = 0; i < CHOSEN; i++) {
    size_t size;
    do {
      size = (size_t)snprintf(bytes[i], sizeof bytes[i], "%u", (unsigned)number++);
    } while (tx_hash64(bytes[i], size, 0) & 4095);
    tokens[i] = (tx_text){bytes[i], size};
  }
  own o;
  own_make(&o);
  o.vocabulary.tokens = tokens;
  o.vocabulary.count = CHOSEN;
  o.vocabulary.kinds = NULL;
  expect_refused(&o, "own.gguf: token 1024 was made to slow down its search" ADVICE);
}

static void test_merges_made_to_collide(void **state) {
  (void)state;
  static char bytes[SIDE][16], joined[CHOSEN][32], spelled[CHOSEN][32];
  static tx_text tokens[SIDE + CHOSEN], merges[CHOSEN];
  for (int i = 0; i < SIDE; i++) {
    snprintf(bytes[i], sizeof bytes[i], "x%d", i);
    tokens[i] = tx_text_of(bytes[i]);
  }
  size_t found = 0;
  for (uint32_t left = 0; left < SIDE && found < CHOSEN; left++) {
    for (uint32_t right = 0; right < SIDE && found < CHOSEN; right++) {
      uint64_t key = (uint64_t)left << 32 | right; /* as bpe.c places it: 12 bits for 1025 */
      uint64_t hash = (key ^ key >> 32) * UINT64_C(0xD6E8FEB86659FD93);
      if ((hash ^ hash >> 32) * UINT64_C(0x9E3779B97F4A7C15) >> 52) continue;
      snprintf(joined[found], sizeof joined[found], "x%ux%u", (unsigned)left, (unsigned)right);
      snprintf(spelled[found], sizeof spelled[found], "x%u x%u", (unsigned)left, (unsigned)right);
      tokens[SIDE + found] = tx_text_of(joined[found]);
      merges[found] = tx_text_of(spelled[found]);
      found++;
    }
  }
  assert_int_equal(found, CHOSEN);
  own o;
  own_make(&o);
  o.vocabulary.tokens = tokens;
  o.vocabulary.count = SIDE + CHOSEN;
  o.vocabulary.kinds = NULL;
  o.vocabulary.merges = merges;
  o.vocabulary.merge_count = CHOSEN;
  expect_refused(&o, "own.gguf: merge 1024 was made to slow down its search" ADVICE);
}

static void test_odd_vocabularies_are_fine(void **state) {
  (void)state;
  own o;
  own_make(&o);
  o.vocabulary.merge_count = 0;
  o.vocabulary.merges = NULL;
  o.vocabulary.kinds = NULL;
  char *long_token = tx_alloc(100000);
  memset(long_token, 'x', 100000);
  o.tokens[258] = (tx_text){long_token, 100000};
  o.tokens[259] = (tx_text){NULL, 0};
  tx_tokenizer *tokenizer = own_tokenizer(&o);
  EXPECT_IDS(tokenizer, "he<s>", true, 'h', 'e', '<', 's', '>');
  tx_tokenizer_free(tokenizer);
  tx_free(long_token);
}

/* ---- keys of a file ------------------------------------------------------ */

/* One key of a GGUF file that holds only strings and arrays of them. */
typedef struct key {
  const char *name, *value; /* value NULL: the own vocabulary's tokens or merges */
} key;

static void put(tx_buffer *file, uint64_t number, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) tx_buffer_append_byte(file, (char)(number >> (8 * i)));
}

static void put_text(tx_buffer *file, tx_text text) {
  put(file, text.size, 8);
  tx_buffer_append(file, text.data, text.size);
}

static void put_key(tx_buffer *file, const key *k, const own *o) {
  put_text(file, tx_text_of(k->name));
  if (k->value) {
    put(file, 8, 4); /* a string */
    put_text(file, tx_text_of(k->value));
    return;
  }
  bool merges = strstr(k->name, "merges"), kinds = strstr(k->name, "type");
  size_t count = merges ? MERGES : kinds ? 3 : OWN;
  put(file, 9, 4); /* an array, of 32-bit whole numbers or strings */
  put(file, kinds ? 5 : 8, 4);
  put(file, count, 8);
  for (size_t i = 0; i < count; i++) {
    if (kinds) {
      put(file, 1, 4);
    } else {
      put_text(file, merges ? o->merges[i] : o->tokens[i]);
    }
  }
}

static tx_status from_keys(const key *keys, char *sentence, size_t size) {
  own o;
  own_make(&o);
  size_t count = 0;
  while (keys[count].name) count++;
  tx_buffer file = {0};
  tx_buffer_append_string(&file, "GGUF");
  put(&file, 3, 4);
  put(&file, 0, 8);
  put(&file, count, 8);
  for (size_t i = 0; i < count; i++) put_key(&file, &keys[i], &o);
  while (file.size % 32) tx_buffer_append_byte(&file, 0);
  assert_false(file.failed);
  tx_error error = {0};
  tx_gguf *gguf;
  tx_tokenizer *tokenizer = NULL;
  tx_status status = tx_gguf_open_bytes(file.data, file.size, "own.gguf", &gguf, &error);
  if (status != TX_OK) fail_msg("%s", error.message);
  status = tx_tokenizer_from_gguf(gguf, &tokenizer, &error);
  tx_gguf_close(gguf);
  tx_error_sentence(&error, sentence, size);
  assert_true((status == TX_OK) == (tokenizer != NULL));
  if (tokenizer) assert_int_equal(tx_tokenizer_count(tokenizer), OWN);
  tx_tokenizer_free(tokenizer);
  tx_buffer_free(&file);
  return status;
}

#define MODEL \
  { "tokenizer.ggml.model", "gpt2" }
#define RULE \
  { "tokenizer.ggml.pre", "gpt-2" }
#define TOKENS \
  { "tokenizer.ggml.tokens", NULL }
#define LIST \
  { "tokenizer.ggml.merges", NULL }
#define END \
  { NULL, NULL }

static void test_keys_of_a_file(void **state) {
  (void)state;
  char got[1400];
  assert_int_equal(from_keys((key[]){MODEL, RULE, TOKENS, LIST, END}, got, sizeof got), TX_OK);
  /* Without a rule: gpt-2's own files from before there was that key, and no others. */
  key old[] = {MODEL, TOKENS, LIST, {"general.architecture", "gpt2"}, END};
  assert_int_equal(from_keys(old, got, sizeof got), TX_OK);
  old[3].value = "llama";
  assert_int_equal(from_keys(old, got, sizeof got), TX_ERROR_INPUT);
  assert_string_equal(got,
                      "own.gguf: the file does not tell how its tokenizer splits text "
                      "(tokenizer.ggml.pre is missing); fetch a newer conversion of the model");
  key other[] = {{"tokenizer.ggml.model", "llama"}, RULE, TOKENS, LIST, END};
  assert_int_equal(from_keys(other, got, sizeof got), TX_ERROR_INPUT);
  assert_string_equal(got,
                      "own.gguf: the tokenizer is not byte-level BPE (tokenizer.ggml.model is not "
                      "\"gpt2\"); use a model of the GPT-2 or SmolLM2 kind");
  key kinds[] = {MODEL, RULE, TOKENS, LIST, {"tokenizer.ggml.token_type", NULL}, END};
  assert_int_equal(from_keys(kinds, got, sizeof got), TX_ERROR_INPUT);
  assert_string_equal(got, "own.gguf: 264 tokens have 3 kinds (tokenizer.ggml.token_type)" ADVICE);
  key no_merges[] = {MODEL, RULE, TOKENS, END};
  assert_int_equal(from_keys(no_merges, got, sizeof got), TX_ERROR_INPUT);
  assert_non_null(strstr(got, "own.gguf"));
  assert_non_null(strstr(got, "tokenizer.ggml.merges"));
  key wrong_id[] = {MODEL, RULE, TOKENS, LIST, {"tokenizer.ggml.bos_token_id", "1"}, END};
  assert_int_equal(from_keys(wrong_id, got, sizeof got), TX_ERROR_INPUT);
  assert_non_null(strstr(got, "tokenizer.ggml.bos_token_id"));
}

/* Whatever bytes of the file change, it opens and works, or is refused. */
static void test_changed_bytes_do_no_harm(void **state) {
  (void)state;
  tx_gguf *golden = open_golden();
  uint64_t size;
  const unsigned char *bytes = tx_gguf_bytes(golden, &size);
  unsigned char *changed = tx_alloc(size);
  tx_random random = tx_random_seed(13);
  int refused = 0, rounds = 400;
  for (int round = 0; round < rounds; round++) {
    memcpy(changed, bytes, size);
    /* The tokenizer's keys come first; what is behind them is not read here. */
    uint64_t places = round % 3 == 0 ? 200 : round % 3 == 1 ? 30000 : size;
    for (int i = 0; i < 3; i++) {
      changed[tx_random_below(&random, places)] = (unsigned char)tx_random_below(&random, 256);
    }
    tx_error error = {0};
    tx_gguf *gguf;
    tx_tokenizer *tokenizer = NULL;
    if (tx_gguf_open_bytes(changed, size, "changed.gguf", &gguf, &error) == TX_OK) {
      (void)tx_tokenizer_from_gguf(gguf, &tokenizer, &error);
      tx_gguf_close(gguf);
    }
    if (tokenizer) {
      tx_ids ids = {0};
      tx_text text = {"a <|im_start|> hello 1 \xff\x04", 25};
      assert_int_equal(tx_tokenizer_encode(tokenizer, text, true, 0, &ids, &error), TX_OK);
      for (size_t i = 0; i < ids.count; i++) {
        assert_non_null(tx_tokenizer_bytes(tokenizer, ids.ids[i]).data);
      }
      tx_ids_free(&ids);
    } else {
      refused++;
      assert_int_equal(error.status, TX_ERROR_INPUT);
      assert_string_equal(error.where, "changed.gguf");
    }
    tx_tokenizer_free(tokenizer);
  }
  assert_in_range(refused, 1, rounds - 1);
  tx_free(changed);
  tx_gguf_close(golden);
}

/* ---- threads ------------------------------------------------------------- */

typedef struct shared {
  const tx_tokenizer *tokenizer;
  const tx_text *texts;
  uint64_t sums[200];
} shared;

static void encode_one(void *context, int64_t index, int worker) {
  (void)worker;
  shared *s = context;
  tx_ids ids = {0};
  for (int i = 0; i < 10; i++) {
    ids.count = 0;
    tx_tokenizer_encode(s->tokenizer, s->texts[index], true, 0, &ids, NULL);
  }
  for (size_t i = 0; i < ids.count; i++) {
    s->sums[index] = s->sums[index] * 31 + (uint64_t)ids.ids[i] + 1;
  }
  tx_ids_free(&ids);
}

static void test_threads_share_a_tokenizer(void **state) {
  (void)state;
  tx_gguf *gguf = open_golden();
  size_t count;
  shared one = {.tokenizer = small_tokenizer(gguf, "smollm")}, many = {0};
  assert_int_equal(tx_gguf_strings(gguf, "test.texts", &one.texts, &count, &no_error), TX_OK);
  one.texts += count - 200;
  many.tokenizer = one.tokenizer;
  many.texts = one.texts;
  tx_set_threads(1);
  tx_parallel(200, encode_one, &one);
  tx_set_threads(4);
  tx_parallel(200, encode_one, &many);
  tx_set_threads(0);
  assert_memory_equal(one.sums, many.sums, sizeof one.sums);
  tx_tokenizer_free((tx_tokenizer *)one.tokenizer);
  tx_gguf_close(gguf);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_golden_small),
      cmocka_unit_test(test_golden_smollm2),
      cmocka_unit_test(test_decoding_gives_the_same_bytes),
      cmocka_unit_test(test_limit_stops_early_with_the_same_ids),
      cmocka_unit_test(test_special_tokens),
      cmocka_unit_test(test_unreachable_tokens_stay_unused),
      cmocka_unit_test(test_tokens_stand_for_bytes),
      cmocka_unit_test(test_alphabet),
      cmocka_unit_test(test_wrong_numbers_are_refused),
      cmocka_unit_test(test_wrong_tokens_are_refused),
      cmocka_unit_test(test_wrong_merges_are_refused),
      cmocka_unit_test(test_tokens_made_to_collide),
      cmocka_unit_test(test_merges_made_to_collide),
      cmocka_unit_test(test_odd_vocabularies_are_fine),
      cmocka_unit_test(test_keys_of_a_file),
      cmocka_unit_test(test_changed_bytes_do_no_harm),
      cmocka_unit_test(test_threads_share_a_tokenizer),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
