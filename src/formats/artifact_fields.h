/* Facts of an artifact as keys of its file: a table for each kind of artifact, by which its
 * struct of facts is written and read, each value within its range.  artifact.c has that of
 * classifiers, tuned.c that of models that write. */
#ifndef TX_FORMATS_ARTIFACT_FIELDS_H
#define TX_FORMATS_ARTIFACT_FIELDS_H

#include "formats/gguf.h"
#include "formats/gguf_write.h"

/* What is optional is not written where it is 0 or empty, and that where it is missing. */
typedef enum tx_field_kind {
  TX_FIELD_INT,            /* int64_t */
  TX_FIELD_OPTIONAL_INT,
  TX_FIELD_FLOAT,          /* double */
  TX_FIELD_OPTIONAL_FLOAT,
  TX_FIELD_OPTIONAL_BOOL,  /* bool */
  TX_FIELD_STRING,         /* tx_text */
  TX_FIELD_OPTIONAL_STRING,
} tx_field_kind;

typedef struct tx_field {
  const char *key; /* without its prefix */
  tx_field_kind kind;
  size_t offset;     /* in the struct of facts */
  int64_t low, high; /* of numbers; INT64_MAX: no limit */
  bool shared;       /* by all heads: stands at the first only */
} tx_field;

void tx_field_write(const tx_field *field, const void *facts, const char *key,
                    tx_gguf_writer *writer);
/* Strings are borrowed from the file. */
tx_status tx_field_read(const tx_field *field, const tx_gguf *gguf, const char *key, void *facts,
                        tx_error *error);

bool tx_is_sha256(tx_text hex); /* 64 lower-case digits */

/* A damaged file of weights is fetched again; an artifact is the user's own: what opening
 * one says is put so.  Returns `status`. */
tx_status tx_advise_training(tx_status status, tx_error *error);

#endif
