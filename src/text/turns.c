/* The styles, piece by piece. */
#include "text/turns.h"

#include <string.h>

static bool text_is(tx_text text, const char *word) {
  size_t size = strlen(word);
  return text.size == size && memcmp(text.data, word, size) == 0;
}

bool tx_turn_is(const tx_turn *turn, const char *role) { return text_is(turn->role, role); }

typedef struct {
  const tx_tokenizer *tokenizer;
  tx_ids *ids;
  tx_buffer *answers;
} writer;

static tx_status add(writer *w, tx_text text, bool special, bool answer, tx_error *error) {
  size_t before = w->ids->count;
  if (text.size == 0) return TX_OK;
  TX_TRY(tx_tokenizer_encode(w->tokenizer, text, special, 0, w->ids, error));
  for (size_t i = before; i < w->ids->count; i++) tx_buffer_append_byte(w->answers, answer);
  return w->answers->failed ? tx_fail_memory(error, w->answers->size, "the tokens") : TX_OK;
}

static tx_status add_frame(writer *w, const char *text, bool answer, tx_error *error) {
  return add(w, tx_text_of(text), true, answer, error);
}

/* ---- alpaca ------------------------------------------------------------ */

static const char alpaca_opening[] =
    "Below is an instruction that describes a task. Write a response that appropriately "
    "completes the request.";

static tx_status add_question(writer *w, const tx_turn *turn, tx_error *error) {
  TX_TRY(add_frame(w, "\n\n### Instruction:\n", false, error));
  TX_TRY(add(w, turn->content, false, false, error));
  if (turn->input.size == 0) return TX_OK;
  TX_TRY(add_frame(w, "\n\n### Input:\n", false, error));
  return add(w, turn->input, false, false, error);
}

static tx_status add_alpaca(writer *w, const tx_turn *turns, size_t count, bool open,
                            tx_error *error) {
  static const char response[] = "\n\n### Response:\n";
  size_t i = 0;
  bool own = count > 0 && tx_turn_is(&turns[0], "system");
  TX_TRY(own ? add(w, turns[i++].content, false, false, error)
             : add_frame(w, alpaca_opening, false, error));
  for (; i < count; i++) {
    if (!tx_turn_is(&turns[i], "assistant")) {
      TX_TRY(add_question(w, &turns[i], error));
      continue;
    }
    tx_text end = tx_tokenizer_bytes(w->tokenizer, tx_tokenizer_eos(w->tokenizer));
    TX_TRY(add_frame(w, response, false, error));
    TX_TRY(add(w, turns[i].content, false, true, error));
    TX_TRY(add(w, end, true, true, error));
  }
  return open ? add_frame(w, response, false, error) : TX_OK;
}

/* ---- ChatML ------------------------------------------------------------ */

/* What an instruction is about follows it on a line of its own, or after its colon. */
static tx_status add_content(writer *w, const tx_turn *turn, bool answer, tx_error *error) {
  tx_text content = turn->content, input = turn->input;
  if (input.size == 0) return add(w, content, false, answer, error);
  tx_buffer joined = {0};
  bool colon = content.size > 0 && content.data[content.size - 1] == ':';
  tx_buffer_append(&joined, content.data, content.size);
  tx_buffer_append_byte(&joined, colon ? ' ' : '\n');
  tx_buffer_append(&joined, input.data, input.size);
  tx_status status = joined.failed
                         ? tx_fail_memory(error, input.size, "an instruction")
                         : add(w, (tx_text){joined.data, joined.size}, false, answer, error);
  tx_buffer_free(&joined);
  return status;
}

static tx_status add_chatml(writer *w, const tx_turn *turns, size_t count, bool open,
                            tx_error *error) {
  for (size_t i = 0; i < count; i++) {
    bool answer = tx_turn_is(&turns[i], "assistant");
    TX_TRY(add_frame(w, "<|im_start|>", false, error));
    TX_TRY(add(w, turns[i].role, false, false, error));
    TX_TRY(add_frame(w, "\n", false, error));
    TX_TRY(add_content(w, &turns[i], answer, error));
    TX_TRY(add_frame(w, "<|im_end|>", answer, error));
    TX_TRY(add_frame(w, "\n", false, error));
  }
  return open ? add_frame(w, "<|im_start|>assistant\n", false, error) : TX_OK;
}

/* ---- either ------------------------------------------------------------ */

static bool is_token(const tx_tokenizer *tokenizer, const char *text) {
  tx_ids ids = {0};
  tx_status status = tx_tokenizer_encode(tokenizer, tx_text_of(text), true, 0, &ids, NULL);
  bool one = status == TX_OK && ids.count == 1;
  tx_ids_free(&ids);
  return one;
}

tx_status tx_turns_check(tx_turn_style style, const tx_tokenizer *tokenizer, const char *model,
                         tx_error *error) {
  if (style == TX_TURNS_CHATML) {
    if (is_token(tokenizer, "<|im_start|>") && is_token(tokenizer, "<|im_end|>")) return TX_OK;
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "%s has no tokens <|im_start|> and <|im_end|>, which --template chatml needs; "
                   "take --template alpaca",
                   model);
  }
  if (tx_tokenizer_eos(tokenizer) >= 0) return TX_OK;
  return tx_fail(error, TX_ERROR_INPUT, "%s has no token that ends a text; take another model",
                 model);
}

tx_status tx_turns_encode(tx_turn_style style, const tx_tokenizer *tokenizer, const tx_turn *turns,
                          size_t count, bool open, tx_ids *ids, tx_buffer *answers,
                          tx_error *error) {
  writer w = {tokenizer, ids, answers};
  return (style == TX_TURNS_ALPACA ? add_alpaca : add_chatml)(&w, turns, count, open, error);
}
