/* A model being tuned, between reading its rows (tune.c) and writing it (tune_write.c). */
#ifndef TX_TASKS_TUNE_H
#define TX_TASKS_TUNE_H

#include "tasks/training.h"
#include "tasks/written_rows.h"

typedef struct tx_tuning {
  const tx_tune_options *options;
  tx_tune_report *report;
  tx_training shared;
  tx_chat *chat;
  tx_written_rows train, held_out;
  tx_language *language;
} tx_tuning;

/* Writes the artifact, whole or not at all; fills in report->trained_parameters. */
tx_status tx_tune_write(const tx_tuning *tuning, tx_error *error);

/* Opens the template called `name` (NULL: the model's own where it has one, else alpaca).
 * found: its name, static. */
tx_status tx_tune_template(const char *name, const tx_gguf *model, tx_chat **chat,
                           const char **found, tx_error *error);

#endif
