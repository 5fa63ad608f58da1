/* Rows of a table as texts for a model that learns to write (adapt/language.h): tokens, and
 * which of them are to be written. */
#ifndef TX_TASKS_WRITTEN_ROWS_H
#define TX_TASKS_WRITTEN_ROWS_H

#include "adapt/language.h"
#include "tasks/instructions.h"

typedef struct tx_written_rows {
  int64_t rows;     /* examples */
  int64_t texts;    /* as many, or two of each: the chosen one's, the rejected one's */
  int64_t *offsets; /* (texts + 1), of tokens */
  int32_t *ids;
  uint8_t *written;
  uint64_t *questions; /* (rows): equal ones of equal questions */
  int64_t written_tokens;
  int64_t left_out;   /* rows that were too long */
  char sha256[65];    /* over all the rows say, whatever the model */
  tx_states states;   /* the caller's: of the tokens */
} tx_written_rows;

typedef struct tx_writing_options {
  const tx_rows_options *columns;
  bool preferences, with_prompts;
  const tx_chat *chat;
  const tx_tokenizer *tokenizer;
  const char *model; /* its name, for messages */
  int64_t context;   /* tokens that it reads at most */
  int64_t limit;     /* > 0: longer rows are left out */
} tx_writing_options;

/* A row that the model cannot read as a whole is TX_ERROR_INPUT with its line, unless there is
 * a limit.  A table without rows is one too. */
tx_status tx_written_rows_read(const char *path, const tx_writing_options *options,
                               tx_written_rows *rows, tx_error *error);

/* A tenth of `all` by seed, rows of one question together; both are new. */
tx_status tx_written_rows_hold_out(const tx_written_rows *all, uint64_t seed, const char *file,
                                   tx_written_rows *train, tx_written_rows *held_out,
                                   tx_error *error);

/* How many rows of `some` ask what a row of `others` asks. */
tx_status tx_written_rows_shared(const tx_written_rows *some, const tx_written_rows *others,
                                 int64_t *shared, tx_error *error);
void tx_written_rows_free(tx_written_rows *rows);

#endif
