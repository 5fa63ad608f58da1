/* A model being tuned, between reading its rows (tune.c) and writing it (tune_write.c). */
#ifndef TX_TASKS_TUNE_H
#define TX_TASKS_TUNE_H

#include "tasks/training.h"
#include "tasks/written_rows.h"

typedef struct tx_tuning {
  const tx_tune_options *options;
  tx_tune_report *report;
  tx_training shared;
  tx_turn_style style;
  tx_written_rows train, held_out;
  tx_language *language;
} tx_tuning;

/* Writes the artifact, whole or not at all; fills in report->trained_parameters. */
tx_status tx_tune_write(const tx_tuning *tuning, tx_error *error);

/* A template by its name (NULL: the model's own where it has one, else alpaca); which it is.
 * One that the model does not have is TX_ERROR_ARGUMENT. */
tx_status tx_chat_template_find(const char *name, const tx_gguf *model, tx_turn_style *style,
                                const char **found, tx_error *error);

#endif
