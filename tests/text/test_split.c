/* Split rules: against PCRE2 running each model's own pattern on the text itself,
 * by hand on invalid UTF-8, and the table of character kinds against utf8proc. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <utf8proc.h>

#include "base/buffer.h"
#include "base/random.h"
#include "text/characters.h"
#include "text/split.h"

/* Characters that PCRE2 has known for long, so that its own tables serve. */
// clang-format off
static const char *const parts[] = {
    " ", "  ", "\n", "\r\n", "\t", "\v", "\xC2\x85", "\xC2\xA0", "\xE2\x80\x83", "\xE3\x80\x80",
    "a", "Word", "s", "\xC3\xA9", "\xED\x95\x9C\xEA\xB5\xAD", "\xCE\xB1", "\xF0\x9D\x92\x9C", "1",
    "42", "\xC2\xBD", "\xD9\xA3", "\xE2\x85\xAB", "\xF0\x9D\x9F\x98", "!", "...", "'", "'s",
    "'ll", "'re", "'d", "'S", "'l", "\xE2\x80\x99s", "\xCC\x81", "\xE2\x80\x8B",
    "\xF0\x9F\x98\x80", "\xEF\xBB\xBF", "\x01", "\x1C", "\x1F", "<|x|>",
};
// clang-format on
enum { PARTS = sizeof parts / sizeof *parts };

static pcre2_code *compile(const char *pattern) {
  int code;
  PCRE2_SIZE offset;
  pcre2_code *made = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                                   PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED, &code, &offset, NULL);
  assert_non_null(made);
  return made;
}

static pcre2_code *gpt2_pattern(void) {
  return compile(
      "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+");
}

static size_t match(const pcre2_code *code, const char *data, size_t size) {
  pcre2_match_data *found = pcre2_match_data_create(1, NULL);
  size_t length = 0;
  if (pcre2_match(code, (PCRE2_SPTR)data, size, 0, PCRE2_NO_UTF_CHECK, found, NULL) > 0) {
    length = pcre2_get_ovector_pointer(found)[1];
  }
  pcre2_match_data_free(found);
  return length;
}

/* Walks the text with the rule and expects the given end of each piece. */
typedef size_t next_piece(void *context, tx_text text, size_t at);

static void expect_pieces(const char *rule, bool jit, tx_text text, next_piece *next,
                          void *context) {
  tx_error error = {0};
  tx_splitter *splitter;
  assert_int_equal(tx_splitter_new("file", tx_text_of(rule), jit, &splitter, &error), TX_OK);
  tx_split *split = tx_split_new(splitter);
  assert_non_null(split);
  tx_split_start(split, text);
  size_t at = 0;
  for (;;) {
    tx_text piece;
    assert_int_equal(tx_split_next(split, &piece, &error), TX_OK);
    if (!piece.size) break;
    assert_ptr_equal(piece.data, text.data + at);
    assert_int_equal(piece.size, next(context, text, at));
    at += piece.size;
  }
  assert_int_equal(at, text.size);
  tx_split_free(split);
  tx_splitter_free(splitter);
}

static size_t next_gpt2(void *context, tx_text text, size_t at) {
  return match(context, text.data + at, text.size - at);
}

typedef struct numbers {
  pcre2_code *number, *no_numbers, *gpt2;
  size_t end; /* of the run without numbers that `at` is in */
} numbers;

/* A number alone, or the next piece of what is left before the next number. */
static size_t next_smollm(void *context, tx_text text, size_t at) {
  numbers *by = context;
  if (at == 0) by->end = 0;
  size_t length = match(by->number, text.data + at, text.size - at);
  if (length) return length;
  if (at >= by->end) by->end = at + match(by->no_numbers, text.data + at, text.size - at);
  return match(by->gpt2, text.data + at, by->end - at);
}

static void random_text(tx_random *random, tx_buffer *text, uint64_t longest, uint64_t repeats) {
  tx_buffer_clear(text);
  uint64_t count = tx_random_below(random, longest);
  for (uint64_t i = 0; i < count; i++) {
    const char *part = parts[tx_random_below(random, PARTS)];
    uint64_t times = tx_random_below(random, 8) ? 1 : 1 + tx_random_below(random, repeats);
    while (times--) tx_buffer_append_string(text, part);
  }
  assert_false(text->failed);
}

static void expect_both(tx_text text, numbers *by) {
  for (int jit = 0; jit < 2; jit++) {
    expect_pieces("gpt-2", jit, text, next_gpt2, by->gpt2);
    expect_pieces("smollm", jit, text, next_smollm, by);
  }
}

static void test_equals_the_models_patterns(void **state) {
  (void)state;
  numbers by = {compile("\\p{N}"), compile("\\P{N}+"), gpt2_pattern(), 0};
  tx_random random = tx_random_seed(5);
  tx_buffer text = {0};
  for (int round = 0; round < 3000; round++) {
    random_text(&random, &text, 20, 4);
    expect_both((tx_text){text.data, text.size}, &by);
  }
  pcre2_code_free(by.number);
  pcre2_code_free(by.no_numbers);
  pcre2_code_free(by.gpt2);
  tx_buffer_free(&text);
}

/* Around and far beyond the window that a text is seen through. */
static void test_long_runs(void **state) {
  (void)state;
  numbers by = {compile("\\p{N}"), compile("\\P{N}+"), gpt2_pattern(), 0};
  for (int part = 0; part < PARTS; part++) {
    for (size_t before = (1 << 14) - 12; before < (1 << 14) + 4; before += 5) {
      tx_buffer text = {0};
      while (text.size < before) tx_buffer_append_byte(&text, 'x');
      tx_buffer_append_string(&text, parts[part]);
      while (text.size < before + 20000) tx_buffer_append_string(&text, parts[part]);
      tx_buffer_append_string(&text, " ll");
      assert_false(text.failed);
      expect_pieces("gpt-2", true, (tx_text){text.data, text.size}, next_gpt2, by.gpt2);
      expect_pieces("smollm", part % 2, (tx_text){text.data + before, text.size - before},
                    next_smollm, &by);
      tx_buffer_free(&text);
    }
  }
  pcre2_code_free(by.number);
  pcre2_code_free(by.no_numbers);
  pcre2_code_free(by.gpt2);
}

/* `context` is the pieces joined by '|', which the text then must not hold. */
static size_t next_listed(void *context, tx_text text, size_t at) {
  const char *listed = *(const char **)context;
  size_t length = strcspn(listed, "|");
  assert_memory_equal(listed, text.data + at, length);
  *(const char **)context = listed + length + (listed[length] == '|');
  return length;
}

static void expect_listed(const char *listed) {
  char text[128];
  size_t size = 0;
  for (const char *c = listed; *c; c++) {
    if (*c != '|') text[size++] = *c;
  }
  const char *left = listed;
  expect_pieces("gpt-2", true, (tx_text){text, size}, next_listed, &left);
  assert_string_equal(left, "");
}

static void test_invalid_bytes_are_like_punctuation(void **state) {
  (void)state;
  expect_listed("caf|\xE9");
  expect_listed("a| \xFF\xFE|b");
  expect_listed(" \x80!\xC0\xAF|1|\xF8| \n");
  expect_listed("\xED\xA0\x80|x");            /* a surrogate */
  expect_listed("\xE2\x82|x");                /* cut */
  expect_listed("\xE2\x82");                  /* cut by the end */
  expect_listed("\xF0\x9F\x98|\xED\x95\x9C"); /* cut by a letter, which is whole */
  expect_listed("\xF4\x90\x80\x80| a");       /* beyond U+10FFFF */
  expect_listed("\xE0\x80\xA0|a");            /* an overlong space is no space */
  expect_listed("\xC2\xA0|\xC2");             /* a space, and the start of one */
  expect_listed("\xC2\xA0\xC2\xA0|\xC2\xA0|a");
}

static void test_unknown_rule_is_refused(void **state) {
  (void)state;
  tx_error error = {0};
  tx_splitter *splitter;
  tx_text name = {"gpt\x1b-4 with a name much longer than forty bytes", 46};
  assert_int_equal(tx_splitter_new("m.gguf", name, true, &splitter, &error), TX_ERROR_INPUT);
  assert_null(splitter);
  char sentence[1400];
  assert_string_equal(
      tx_error_sentence(&error, sentence, sizeof sentence),
      "m.gguf: the tokenizer's split rule \"gpt?-4 with a name much longer than fort\" "
      "(tokenizer.ggml.pre) is not known; use a model with one of these: gpt-2, "
      "smollm");
}

static tx_character_kind kind_by_category(uint32_t point) {
  utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)point);
  if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) {
    return TX_CHARACTER_LETTER;
  }
  if (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO) {
    return TX_CHARACTER_NUMBER;
  }
  bool space = category >= UTF8PROC_CATEGORY_ZS && category <= UTF8PROC_CATEGORY_ZP;
  return space || point == 0x85 ? TX_CHARACTER_SPACE : TX_CHARACTER_OTHER;
}

/* Every character that both know; below U+1C80 nothing has changed for long. */
static void test_kinds_agree_with_utf8proc(void **state) {
  (void)state;
  size_t letters = 0;
  for (uint32_t point = 0x80; point < 0x110000; point++) {
    tx_character_kind kind = tx_character_find(point), by_category = kind_by_category(point);
    letters += kind == TX_CHARACTER_LETTER;
    bool assigned = utf8proc_category((utf8proc_int32_t)point) != UTF8PROC_CATEGORY_CN;
    if (kind == TX_CHARACTER_LATE_NUMBER) kind = TX_CHARACTER_NUMBER;
    if ((point < 0x840 || (kind && assigned)) && kind != by_category) {
      fail_msg("U+%04X is %d here and %d to utf8proc", point, (int)kind, (int)by_category);
    }
  }
  assert_int_equal(letters, 141028 - 52);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_equals_the_models_patterns),
      cmocka_unit_test(test_long_runs),
      cmocka_unit_test(test_invalid_bytes_are_like_punctuation),
      cmocka_unit_test(test_unknown_rule_is_refused),
      cmocka_unit_test(test_kinds_agree_with_utf8proc),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
