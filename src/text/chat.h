/* Conversations as a model reads them: messages written out by the model's own
 * template, as text that knows who wrote each byte, and as tokens.
 *
 *   tx_chat_open(gguf, "model", &chat, &error);
 *   tx_chat_answers(chat, messages, count, &text, &error);
 *   tx_chat_tokens(tokenizer, &text, &tokens, &error);   // tokens.answer: what to train
 *
 * For text without control tokens of its own, the tokens are those of transformers'
 * apply_chat_template(tokenize=True); control tokens that are spelled in a message
 * stay text, so that no message can end its turn or begin another's.  Rows of a
 * table, and what is trained, are left to others. */
#ifndef TX_TEXT_CHAT_H
#define TX_TEXT_CHAT_H

#include "base/buffer.h"
#include "formats/gguf.h"
#include "text/tokenizer.h"

/* Immutable once opened: any number of threads may use one. */
typedef struct tx_chat tx_chat;

/* template: "model" (or NULL) for the file's own (tokenizer.chat_template), or one of
 * those built in: "chatml" (where the vocabulary has its control tokens <|im_start|>
 * and <|im_end|>), and "alpaca", whose answers end with the file's end-of-text token.
 * Everything is copied; `gguf` may be closed afterwards.  Any other name is
 * TX_ERROR_ARGUMENT; a file that has no template, or not what the template needs, is
 * TX_ERROR_INPUT. */
tx_status tx_chat_open(const tx_gguf *gguf, const char *template, tx_chat **chat, tx_error *error);
void tx_chat_free(tx_chat *chat); /* NULL is allowed */

typedef struct tx_chat_message {
  tx_text role; /* system, user, assistant or tool */
  tx_text content;
  /* What an instruction is about, or empty.  "alpaca" has a place for it; elsewhere it
   * follows the content after an empty line, or after a colon on the same line. */
  tx_text input;
} tx_chat_message;

enum { TX_CHAT_MESSAGES = 250 }; /* of a conversation, at most */

/* A conversation written out; freed with tx_chat_text_free.  Reused from call to call. */
typedef struct tx_chat_text {
  tx_buffer text;
  /* A byte for each of the text, 0 or not. */
  tx_buffer content; /* came from a message, not from the template */
  tx_buffer answer;  /* is for the model to write: an assistant's message with the end of its
                        turn, without white space that the template puts after that */
} tx_chat_text;
void tx_chat_text_free(tx_chat_text *text);

/* Each replaces what `text` held.  An unknown role, more than TX_CHAT_MESSAGES, messages
 * that the template refuses: TX_ERROR_INPUT.
 *
 * tx_chat_render: no byte is marked as an answer.  prompt: with the beginning of the
 * answer that is to come. */
tx_status tx_chat_render(const tx_chat *chat, const tx_chat_message *messages, size_t count,
                         bool prompt, tx_chat_text *text, tx_error *error);

/* The whole conversation, every answer of the assistant marked.  An answer begins where
 * the prompt of what came before it ends, and ends as the conversation up to it does.
 * A template that writes a turn differently later on, so that this does not hold, is
 * TX_ERROR_INPUT. */
tx_status tx_chat_answers(const tx_chat *chat, const tx_chat_message *messages, size_t count,
                          tx_chat_text *text, tx_error *error);

/* A conversation in tokens; freed with tx_chat_tokens_free.  Reused from call to call. */
typedef struct tx_chat_ids {
  tx_ids ids;
  bool *answer; /* (ids.count): the token holds a byte of an answer */
  size_t capacity;
} tx_chat_ids;
void tx_chat_ids_free(tx_chat_ids *ids);

/* Replaces what `ids` held. */
tx_status tx_chat_tokens(const tx_tokenizer *tokenizer, const tx_chat_text *text,
                         tx_chat_ids *ids, tx_error *error);

#endif
