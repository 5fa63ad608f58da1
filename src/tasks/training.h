/* What every training has in common, whatever it learns from: its options checked, its
 * output tried, the base model opened, the cache of states, the settings of gradient steps.
 * train.c makes classifiers of it, tune.c models that write. */
#ifndef TX_TASKS_TRAINING_H
#define TX_TASKS_TRAINING_H

#include "adapt/fit.h"
#include "adapt/memo.h"
#include "adapt/trained.h"
#include "adapt/trunk_cache.h"
#include "base/buffer.h"
#include "formats/directory.h"
#include "text/tokenizer.h"

typedef struct tx_training {
  const tx_train_options *options;
  tx_train_report *report; /* of train: counts are added up over the label sets; or NULL */
  const tx_watch *watch;
  tx_model *model;
  const tx_facts *facts;
  tx_tokenizer *tokenizer;
  tx_pass pass;
  tx_trunk_cache trunk;
  struct tx_run *run; /* checkpoints and log of gradient steps; or NULL */
  tx_memo *memo;      /* what fits of earlier runs came to; or NULL */
  char base_sha256[65];
  char base_name[256]; /* of a random model; else "": as the options have it */
  int64_t max_tokens;
  tx_precision precision; /* of the frozen blocks: f32 or int8 */
  tx_buffer home;
  char model_path[4096], cache_path[TX_PATH_SIZE];
} tx_training;

/* What the artifact calls its base. */
const char *tx_training_base_name(const tx_training *training);

/* The options against one another (in train.c). */
tx_status tx_training_check(const tx_train_options *options, tx_error *error);

/* Whatever the output cannot be written for is found before the work; then the model, its
 * vocabulary, a pass, and the options against the model's own sizes. */
tx_status tx_training_open(tx_training *training, tx_error *error);

/* Without a home there is no cache, which is noted. */
void tx_training_open_cache(tx_training *training);
void tx_training_close(tx_training *training); /* at any time */

/* What --method lora adapts, and by how much; what a method trains of its blocks. */
tx_adapter_options tx_training_adapter(const tx_training *training);
tx_trained_part tx_training_part(tx_method method);
/* Of activations, what a step may keep. */
uint64_t tx_training_activations(const tx_training *training);

/* Gradient steps as the options and the run have them, but for what is 0 there and each
 * training's own: epochs, patience, learning_rate. */
tx_fit_options tx_training_steps(const tx_training *training);

/* --lr sweep: of rates around `steps->learning_rate` the one that a short run of each finds
 * best takes its place.  The learner's parameters are as they were. */
tx_status tx_training_sweep(tx_training *training, const tx_learner *learner, tx_fit_options *steps,
                            tx_error *error);

#endif
