/* Which bytes of a conversation, and which of its tokens, are for the model to
 * write. */
#include <string.h>

#include "base/memory.h"
#include "text/chat_parts.h"

/* ---- bytes ------------------------------------------------------------- */

/* A conversation while its answers are looked for. */
typedef struct search {
  const tx_chat *chat;
  const tx_chat_message *messages;
  size_t count;
  tx_chat_text *whole;
  tx_buffer text, marks; /* of what comes before, or up to, an answer */
  tx_error *error;
} search;

static tx_status differs(const search *s, size_t number, const char *what) {
  return tx_fail(s->error, TX_ERROR_INPUT,
                 "the model's chat template writes %s of message %zu otherwise than in the whole "
                 "conversation, so that what is to be learned cannot be told apart; shorten the "
                 "conversation to one question and answer, or choose the template chatml or alpaca",
                 what, number + 1);
}

/* Where the answer `number` begins: after the prompt of what came before. */
static tx_status find_start(search *s, size_t number, size_t *start) {
  const tx_buffer *whole = &s->whole->text;
  TX_TRY(tx_chat_write(s->chat, s->messages, number, true, &s->text, &s->marks, s->error));
  *start = s->text.size;
  bool same = *start <= whole->size && (!*start || !memcmp(whole->data, s->text.data, *start));
  return same ? TX_OK : differs(s, number, "what comes before the answer");
}

/* After the last byte from `start` on that came from message `number`. */
static size_t after_content(const tx_buffer *marks, size_t start, size_t number) {
  size_t end = start;
  for (size_t i = start; i < marks->size; i++) {
    if ((unsigned char)marks->data[i] == number + 1) end = i + 1;
  }
  return end;
}

/* Where it ends.  What follows the content up to the end of the conversation so far
 * must also follow it in the whole. */
static tx_status find_end(search *s, size_t number, size_t start, size_t *end) {
  const tx_buffer *whole = &s->whole->text;
  TX_TRY(tx_chat_write(s->chat, s->messages, number + 1, false, &s->text, &s->marks, s->error));
  if (s->text.size < start) return differs(s, number, "the turn");
  size_t here = after_content(&s->marks, start, number);
  size_t there = after_content(&s->whole->content, start, number);
  size_t rest = s->text.size - here;
  bool same = rest <= whole->size - there &&
              (!rest || !memcmp(s->text.data + here, whole->data + there, rest));
  if (!same) return differs(s, number, "the end");
  tx_string turn = {s->text.data + here, rest, NULL};
  *end = there + tx_string_strip(turn, NULL, TX_STRIP_RIGHT).size;
  return TX_OK;
}

static tx_status mark_answers(search *s) {
  for (size_t i = 0; i < s->count; i++) {
    if (!tx_chat_is_role(&s->messages[i], "assistant")) continue;
    size_t start = 0, end = 0;
    TX_TRY(find_start(s, i, &start));
    TX_TRY(find_end(s, i, start, &end));
    if (end > start) memset(s->whole->answer.data + start, 1, end - start);
  }
  return TX_OK;
}

tx_status tx_chat_answers(const tx_chat *chat, const tx_chat_message *messages, size_t count,
                          tx_chat_text *text, tx_error *error) {
  TX_TRY(tx_chat_render(chat, messages, count, false, text, error));
  search s = {.chat = chat, .messages = messages, .count = count, .whole = text, .error = error};
  tx_status status = mark_answers(&s);
  tx_buffer_free(&s.text);
  tx_buffer_free(&s.marks);
  return status;
}

/* ---- tokens ------------------------------------------------------------ */

void tx_chat_ids_free(tx_chat_ids *ids) {
  tx_ids_free(&ids->ids);
  tx_free(ids->answer);
  *ids = (tx_chat_ids){0};
}

/* A walk over text and tokens together.  A byte for which the vocabulary has no symbol is
 * in no token (tokenizer.h): both sides pass over it. */
static bool has(const tx_tokenizer *tokenizer, char byte) {
  return tx_tokenizer_has_byte(tokenizer, (unsigned char)byte);
}

static void mark_tokens(const tx_tokenizer *tokenizer, const tx_chat_text *text,
                        tx_chat_ids *ids) {
  const tx_buffer *bytes = &text->text;
  size_t at = 0;
  for (size_t i = 0; i < ids->ids.count; i++) {
    tx_text piece = tx_tokenizer_bytes(tokenizer, ids->ids.ids[i]);
    ids->answer[i] = false;
    for (size_t j = 0; j < piece.size; j++) {
      if (!has(tokenizer, piece.data[j])) continue;
      while (at < bytes->size && !has(tokenizer, bytes->data[at])) at++;
      if (at == bytes->size) break;
      if (text->answer.data[at++]) ids->answer[i] = true;
    }
  }
}

tx_status tx_chat_tokens(const tx_tokenizer *tokenizer, const tx_chat_text *text,
                         tx_chat_ids *ids, tx_error *error) {
  ids->ids.count = 0;
  tx_text bytes = {text->text.data, text->text.size};
  TX_TRY(tx_tokenizer_encode_marked(tokenizer, bytes, (const unsigned char *)text->content.data,
                                    &ids->ids, error));
  if (ids->ids.count > ids->capacity) {
    bool *grown = tx_resize(ids->answer, ids->ids.count * sizeof *grown);
    if (!grown) return tx_fail_memory(error, ids->ids.count, "a conversation's tokens");
    ids->answer = grown;
    ids->capacity = ids->ids.count;
  }
  mark_tokens(tokenizer, text, ids);
  return TX_OK;
}
