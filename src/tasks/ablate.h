/* What the files of `ablate` share: the table of rows (ablate_rows.c), the models at hand
 * (ablate_models.c), what was trained so far (ablate_log.c), one training and its measuring
 * (ablate_run.c), figures from trainings (ablate_figures.c), and the report as text, JSON and a
 * page (ablate_write.c, ablate_page.c).  The order of the steps stands in ablate.c. */
#ifndef TX_TASKS_ABLATE_H
#define TX_TASKS_ABLATE_H

#include "base/buffer.h"
#include "base/memory.h"
#include "formats/directory.h"
#include "formats/file.h"
#include "formats/table.h"

/* ---- the table of rows -------------------------------------------------- */

typedef enum tx_ablation_size {
  TX_ABLATION_BASE,
  TX_ABLATION_LARGER, /* the first of the larger models, and the next two */
  TX_ABLATION_SECOND,
  TX_ABLATION_THIRD,
  TX_ABLATION_LARGEST,
} tx_ablation_size;

typedef struct tx_ablation_recipe {
  const char *name, *changed;
  tx_ablation_size size;
  int against;                             /* the row that it is compared with; 0: none */
  int same_as;                             /* the row whose training it is; 0: its own */
  double train, validation, test, minutes; /* published: per cent, and minutes on an A100 */
  const char *better, *worse; /* what it teaches where the difference is more than chance */
} tx_ablation_recipe;

const tx_ablation_recipe *tx_ablation_recipe_of(int number); /* 1 to TX_ABLATION_ROWS */

/* ---- the models ---------------------------------------------------------- */

typedef struct tx_ablation_model {
  const char *name; /* or path */
  char sha256[65];
  int64_t parameters, context, blocks;
  int64_t longest; /* training text, in this model's tokens, cut to its context; 0: not known yet */
} tx_ablation_model;

typedef struct tx_ablation {
  const tx_ablation_options *options;
  const tx_watch *watch;
  tx_arena *arena; /* of the report, and of all below */
  char train_path[TX_PATH_SIZE], validation_path[TX_PATH_SIZE], test_path[TX_PATH_SIZE];
  tx_dataset *train, *validation, *test;
  tx_ablation_model base, larger[TX_ABLATION_MODELS]; /* in rising size */
  size_t larger_count;
  bool wanted[TX_ABLATION_ROWS + 1]; /* by number: in the report */
  bool needed[TX_ABLATION_ROWS + 1]; /* to be trained: of a row that is another's, the other */
  int seeds[TX_ABLATION_ROWS + 1];   /* how many of them */
  struct tx_ablation_record *records;
  size_t record_count, record_room;
  tx_appender *log;
  tx_ablation_report *report;
} tx_ablation;

/* The base and the larger ones. */
tx_status tx_ablation_find_models(tx_ablation *ablation, tx_error *error);
/* NULL: there is none of that size. */
tx_ablation_model *tx_ablation_model_of(tx_ablation *ablation, tx_ablation_size size);

/* The options of one training but for home and out; `model` is the row's own. */
tx_train_options tx_ablation_settings(const tx_ablation *ablation, int number,
                                      const tx_ablation_model *model, uint64_t seed);
/* Why the row cannot be run; NULL: it can.  Borrowed for ever. */
const char *tx_ablation_obstacle(tx_ablation *ablation, int number);

/* ---- trainings ----------------------------------------------------------- */

typedef struct tx_ablation_record { /* one training, measured */
  int row;
  uint64_t seed;
  const char *model; /* SHA-256 */
  int64_t trained_parameters, cached_texts,
      computed_texts; /* texts: whose states were kept, or not */
  int epochs, best_epoch;
  double train, validation; /* accuracy */
  const char *right;        /* (test rows), '1' where the answer was right, else '0' */
  double seconds, trunk_seconds;
} tx_ablation_record;

/* Reads what is there, refuses it where data or options differ, and opens it for more. */
tx_status tx_ablation_log_open(tx_ablation *ablation, tx_error *error);
tx_status tx_ablation_log_add(tx_ablation *ablation, const tx_ablation_record *record,
                              tx_error *error);
const tx_ablation_record *tx_ablation_log_find(const tx_ablation *ablation, int row, uint64_t seed);

/* Trains the row and measures it; the record's strings are in the arena. */
tx_status tx_ablation_train(tx_ablation *ablation, int number, uint64_t seed,
                            tx_ablation_record *record, tx_error *error);

/* ---- the report ---------------------------------------------------------- */

/* Fills report->rows from the records. */
tx_status tx_ablation_figures(tx_ablation *ablation, tx_error *error);
/* Fills report->json and report->text, and writes the files. */
tx_status tx_ablation_write(tx_ablation *ablation, tx_error *error);
/* index.html, appended. */
void tx_ablation_page(const tx_ablation *ablation, tx_buffer *page);

#endif
