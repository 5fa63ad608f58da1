/* Every allocation of opening a chat template, of writing a conversation and of
 * cutting it into tokens fails once, in turn: each gives TX_ERROR_SYSTEM and loses
 * no memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "failing.h"
#include "formats/gguf_make.h"
#include "golden/templates.h"
#include "text/bytes.h"
#include "text/chat.h"
#include "text/template.h"
#include "text/tokenizer.h"

#ifdef FAILING_WORKS

static const char template[] =
    "{%- macro head(role) %}{{ '<' + role|upper ~ '>' }}{% endmacro %}\n"
    "{% set ns = namespace(turns=[], n=0) %}"
    "{%- for m in messages if m.content is string %}"
    "{% set ns.turns = ns.turns + [{'who': m.role, 'what': m['content'].split('#')[-1]|trim}] %}"
    "{% endfor %}{% for t in ns.turns[0:] %}"
    "{{ head(t.who) }}{{ t.what|replace('b', 'c') ~ (t.what|tojson)[1:0] }}{{ eos_token }}\n"
    "{% endfor %}{% if add_generation_prompt %}{{ head('assistant') }}{% endif %}";

static tx_buffer file;
static tx_gguf *gguf;
static tx_chat *chat;
static tx_tokenizer *tokenizer;
static char *words; /* a long message */

static void make_tokenizer(void) {
  static char symbols[256][2];
  static tx_text tokens[257];
  static int64_t kinds[257];
  for (int i = 0; i < 256; i++) {
    tokens[i] = (tx_text){symbols[i], tx_byte_symbol((unsigned char)i, symbols[i])};
    kinds[i] = TX_TOKEN_NORMAL;
  }
  tokens[256] = tx_text_of("</s>");
  kinds[256] = TX_TOKEN_CONTROL;
  tx_vocabulary v = {"m", tx_text_of("gpt-2"), tokens, 257, kinds, NULL, 0, -1, 256, -1, -1};
  tx_error error = {0};
  assert_int_equal(tx_tokenizer_new(&v, &tokenizer, &error), TX_OK);
}

static int set_up(void **state) {
  (void)state;
  tx_error error = {0};
  header(&file, 3, 0, 3);
  array(&file, "tokenizer.ggml.tokens", STRING, 2);
  string(&file, "a");
  string(&file, "</s>");
  key(&file, "tokenizer.chat_template", STRING);
  string(&file, template);
  key(&file, "tokenizer.ggml.eos_token_id", U32);
  u32(&file, 1);
  assert_int_equal(tx_gguf_open_bytes(file.data, file.size, "m", &gguf, &error), TX_OK);
  const tx_text *tokens; /* they are made at the first call */
  size_t count;
  assert_int_equal(tx_gguf_strings(gguf, "tokenizer.ggml.tokens", &tokens, &count, &error), TX_OK);
  assert_int_equal(tx_chat_open(gguf, NULL, &chat, &error), TX_OK);
  make_tokenizer();
  enum { LONG = 300000 }; /* more than a block of an arena */
  words = tx_alloc(LONG + 1);
  for (int i = 0; i < LONG; i++) words[i] = "ab c#"[i % 5];
  words[LONG] = '\0';
  memset(words + 100, 'b', LONG - 100);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  tx_free(words);
  tx_tokenizer_free(tokenizer);
  tx_chat_free(chat);
  tx_gguf_close(gguf);
  tx_buffer_free(&file);
  return 0;
}

static int64_t blocks_before;

static void check_call(void *nothing, int64_t call, bool failed, int status) {
  (void)nothing, (void)call;
  assert_int_equal(status, failed ? TX_ERROR_SYSTEM : TX_OK);
  assert_int_equal(failing_blocks, blocks_before);
}

static int open_template(void *name) {
  tx_chat *opened;
  tx_error error = {0};
  tx_status status = tx_chat_open(gguf, name, &opened, &error);
  assert_int_equal(status, error.status);
  assert_true((status == TX_OK) == (opened != NULL));
  tx_chat_free(opened);
  return (int)status;
}

static int converse(void *nothing) {
  (void)nothing;
  const tx_chat_message messages[] = {
      {tx_text_of("user"), tx_text_of("x#a"), tx_text_of("b")},
      {tx_text_of("assistant"), tx_text_of(words), {NULL, 0}}};
  tx_chat_text text = {0};
  tx_chat_ids ids = {0};
  tx_error error = {0};
  tx_status status = tx_chat_answers(chat, messages, 2, &text, &error);
  if (status == TX_OK) status = tx_chat_tokens(tokenizer, &text, &ids, &error);
  assert_int_equal(status, error.status);
  if (status == TX_OK) assert_true(ids.answer[ids.ids.count - 2] && ids.ids.count > 299000);
  tx_chat_ids_free(&ids);
  tx_chat_text_free(&text);
  return (int)status;
}

static void test_opening(void **state) {
  (void)state;
  blocks_before = failing_blocks;
  assert_true(failing_each(open_template, check_call, NULL) >= 6);
  assert_true(failing_each(open_template, check_call, (void *)(uintptr_t)"alpaca") >= 6);
}

/* All that Jinja takes in one template, behind so much else that each of its nodes is once the
 * first that the arena has no room for. */
static void test_parsing(void **state) {
  (void)state;
  enum { ROWS = sizeof golden_expressions / sizeof *golden_expressions };
  tx_buffer source = {0};
  size_t failures = 0;
  for (size_t before = 0; before < 1400; before++) {
    tx_buffer_clear(&source);
    for (size_t i = 0; i < before; i++) assert_true(tx_buffer_append_string(&source, "a{##}"));
    for (size_t i = 0; i < ROWS; i++) {
      if (!golden_expressions[i][1] || strchr(golden_expressions[i][0], '\r')) continue;
      assert_true(tx_buffer_append_string(&source, golden_expressions[i][0]));
    }
    for (int at = 1;; at++) {
      int64_t blocks = failing_blocks;
      tx_template *made;
      tx_error error = {0};
      failing_at = at;
      tx_status status =
          tx_template_new((tx_text){source.data, source.size}, "t", &made, &error);
      bool reached = failing_at == 0;
      failing_at = 0;
      assert_int_equal(status, reached ? TX_ERROR_SYSTEM : TX_OK);
      tx_template_free(made);
      assert_int_equal(failing_blocks, blocks);
      if (!reached) break;
      failures++;
    }
  }
  assert_true(failures > 5000);
  tx_buffer_free(&source);
}

static void test_conversing(void **state) {
  (void)state;
  failing_own_only = true;
  blocks_before = failing_blocks;
  assert_true(failing_each(converse, check_call, NULL) >= 20);
  failing_own_only = false;
}

#else

static int set_up(void **state) { return (void)state, 0; }
static int tear_down(void **state) { return (void)state, 0; }
static void test_opening(void **state) {
  (void)state;
  skip();
}
static void test_parsing(void **state) { test_opening(state); }
static void test_conversing(void **state) { test_opening(state); }

#endif

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_opening),
                                     cmocka_unit_test(test_parsing),
                                     cmocka_unit_test(test_conversing)};
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
