/* What chat.c and chat_answers.c share. */
#ifndef TX_TEXT_CHAT_PARTS_H
#define TX_TEXT_CHAT_PARTS_H

#include "text/chat.h"
#include "text/template_parts.h"

struct tx_chat {
  tx_arena *arena; /* of the spellings */
  tx_template *template;
  tx_text bos, eos, unknown, padding; /* {NULL, 0}: the file names none */
  bool add_bos;   /* texts begin with it: for the templates built in, others see to it */
  bool built_in;
  bool has_input; /* the template has a place for the input */
};

bool tx_chat_is_role(const tx_chat_message *message, const char *role);

/* Replaces what the buffers held; a byte of message i is marked i + 1. */
tx_status tx_chat_write(const tx_chat *chat, const tx_chat_message *messages, size_t count,
                        bool prompt, tx_buffer *text, tx_buffer *marks, tx_error *error);

#endif
