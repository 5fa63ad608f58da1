/* Trained label sets written down as one artifact. */
#ifndef TX_TASKS_TRAIN_WRITE_H
#define TX_TASKS_TRAIN_WRITE_H

#include "formats/gguf_write.h"
#include "tasks/label_set.h"

/* Writes options->out, whole or not at all; fills in each set's trained_parameters. */
tx_status tx_train_write(const tx_training *t, tx_label_set *sets, size_t count, tx_error *error);

/* One parameter as a changed tensor called `name`; what the writer borrows is in the arena. */
tx_status tx_train_write_parameter(const tx_training *t, const tx_parameter *parameter,
                                   const char *name, tx_gguf_writer *writer, tx_arena *arena,
                                   tx_error *error);

#endif
