/* What the forms of an export share: the model with its changes, the head, and the
 * files that are written. */
#ifndef TX_TASKS_EXPORT_H
#define TX_TASKS_EXPORT_H

#include <jansson.h>

#include "base/memory.h"
#include "formats/rows.h"
#include "model/merged.h"
#include "tasks/classifier.h"

typedef struct tx_exporting {
  tx_export_options options;
  tx_classifier *classifier; /* NULL: a model by itself, or a tuned one */
  tx_gguf *tuned;            /* the artifact of a tuned model; or NULL */
  tx_text base_name;         /* of a classifier or a tuned model */
  tx_model *model;
  const tx_artifact_facts *facts; /* of the chosen head; NULL: there is none */
  tx_pooling pooling;
  int64_t depth;           /* blocks that are written */
  const float *weight;     /* of the head: (labels, features) */
  const float *bias;       /* (labels) */
  int64_t features;
  bool made_directory; /* it was not there before */
  bool replaces;       /* the file that tx_export_path last named is there already */
  bool replaced[TX_EXPORT_FILES]; /* of the report's files: it took another's place */
  tx_arena *arena; /* what is borrowed until the files are written */
  tx_export_report *report;
  const tx_watch *watch;
  int64_t done, total; /* numbers of tensors that are made anew */
} tx_exporting;

/* The path of a file in the output directory, which must not be there yet, unless it may be
 * replaced.  To be called for the file that is written next. */
tx_status tx_export_path(tx_exporting *e, const char *name, char path[4096],
                         tx_error *error);
/* A file that has been written joins the report. */
tx_status tx_export_wrote(tx_exporting *e, const char *name, tx_error *error);

tx_status tx_export_text(tx_exporting *e, const char *name, const char *text, size_t size,
                         tx_error *error);
/* Takes `object`; NULL, as after a lack of memory, is reported. */
tx_status tx_export_json(tx_exporting *e, const char *name, json_t *object, tx_error *error);

/* A tensor of the model's file that is written, as rows; the arena's. */
typedef struct tx_export_tensor {
  tx_exporting *of;
  tx_merged merged;
  tx_rows rows; /* by tx_export_read, unless a form lays them out otherwise */
} tx_export_tensor;

/* values (count, columns) of rows as they stand in the model's file; tells how far the
 * writing is, and ends it where the caller wants to stop. */
tx_status tx_export_read(tx_export_tensor *tensor, int64_t from, int64_t count, float *values,
                         tx_error *error);

/* What is written of the model's file: tensors (*count) of blocks below the depth, and of
 * no block.  New, the arena's. */
tx_status tx_export_tensors(tx_exporting *e, tx_export_tensor **tensors, size_t *count,
                            tx_error *error);

/* The forms.  Files of the output directory have been looked for before. */
tx_status tx_export_gguf(tx_exporting *e, tx_error *error);
tx_status tx_export_safetensors(tx_exporting *e, tx_error *error);
tx_status tx_export_peft(tx_exporting *e, tx_error *error);

#endif
