/* Rows that ask and answer, from tables: instruction, input and output; or messages; or two
 * answers of which one is preferred.  Each becomes the turns of a conversation.  How turns
 * look to a model is left to src/text. */
#ifndef TX_TASKS_INSTRUCTIONS_H
#define TX_TASKS_INSTRUCTIONS_H

#include "base/error.h"
#include "text/chat.h"

typedef enum tx_instruction_kind {
  TX_ASKED_AND_ANSWERED, /* the last turn is an answer */
  TX_PREFERENCES,        /* the answers stand apart */
} tx_instruction_kind;

typedef struct tx_instruction_row { /* borrowed until the next one is read */
  int64_t line;
  const tx_chat_message *turns; /* (count), at least one */
  size_t count;
  tx_text chosen, rejected; /* of preferences, not empty */
  uint64_t question;        /* fingerprint of the turns before the first answer */
} tx_instruction_row;

typedef struct tx_instructions tx_instructions;

/* `columns` is borrowed while it is open. */
tx_status tx_instructions_open(const char *path, const tx_rows_options *columns,
                               tx_instruction_kind kind, tx_instructions **table, tx_error *error);
/* A row without an answer, or with one that is none of those asked for, a message without a
 * known role: TX_ERROR_INPUT with its line. */
tx_status tx_instructions_next(tx_instructions *table, tx_instruction_row *row, bool *found,
                               tx_error *error);
/* The answers that the columns' options name, from 0; they may be the same. */
size_t tx_instructions_answers(const tx_instructions *table);
tx_text tx_instructions_answer(const tx_instructions *table, size_t index);
const char *tx_instructions_name(const tx_instructions *table); /* the file, for messages */
void tx_instructions_close(tx_instructions *table);             /* NULL is allowed */

#endif
