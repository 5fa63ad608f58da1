/* A model as it was tuned: its artifact over its base. */
#ifndef TX_TASKS_TUNED_MODEL_H
#define TX_TASKS_TUNED_MODEL_H

#include "formats/tuned.h"
#include "model/model.h"

/* The base is the very file that the artifact names by its hash; `base` says where it is (NULL:
 * as the artifact names it).  artifact and model are new also after a failure, or NULL; the
 * model borrows the artifact. */
tx_status tx_tuned_model_open(const char *path, const char *home, const char *base,
                              tx_gguf **artifact, tx_tuned_facts *facts, tx_model **model,
                              tx_error *error);

#endif
