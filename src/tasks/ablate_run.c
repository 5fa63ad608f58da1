/* One training of one row, measured; nothing of it stays on disk. */
#include "tasks/ablate.h"
#include "formats/hub.h"
#include "tasks/classifier.h"
#include "trust/metrics.h"

/* Which test rows are answered right: (rows) of '1' and '0', and a final NUL. */
static tx_status answer(tx_ablation *a, tx_classifier *classifier, char **right, tx_error *error) {
  size_t rows = (size_t)a->test->rows, labels = tx_classifier_count(classifier);
  float *probabilities = tx_alloc_array(rows * labels, sizeof *probabilities);
  *right = tx_arena_alloc(a->arena, rows + 1);
  tx_status status =
      probabilities && *right ? TX_OK : tx_fail_memory(error, rows * labels * 4, "answers");
  if (status == TX_OK) {
    status = tx_classifier_predict(classifier, a->test->texts, rows, probabilities, NULL, a->watch,
                                   error);
  }
  for (size_t i = 0; status == TX_OK && i < rows; i++) {
    int32_t top = tx_top_label(probabilities + i * labels, (int)labels);
    (*right)[i] = top == a->test->labels[i] ? '1' : '0';
  }
  if (status == TX_OK) (*right)[rows] = '\0';
  tx_free(probabilities);
  return status;
}

/* The classifier's labels are those of the training table, in its order, as the test's are. */
static tx_status measure(tx_ablation *a, const tx_train_options *trained,
                         tx_ablation_record *record, tx_error *error) {
  tx_classifier_options options = tx_classifier_defaults();
  tx_classifier *classifier;
  char *right;
  options.home = trained->home;
  options.model = trained->init == TX_INIT_RANDOM ? NULL : trained->model;
  TX_TRY(tx_classifier_open(trained->out, options, &classifier, error));
  tx_status status = answer(a, classifier, &right, error);
  record->right = right;
  tx_classifier_close(classifier);
  return status;
}

static tx_status train(tx_ablation *a, const tx_train_options *options, tx_ablation_record *record,
                       tx_error *error) {
  tx_train_report report;
  TX_TRY(tx_train(options, &report, a->watch, error));
  record->trained_parameters = report.trained_parameters;
  record->cached_texts = report.cached_texts, record->computed_texts = report.computed_texts;
  record->epochs = report.epochs, record->best_epoch = report.best_epoch;
  record->train = report.train_accuracy, record->validation = report.val_accuracy;
  record->seconds = report.seconds, record->trunk_seconds = report.trunk_seconds;
  return measure(a, options, record, error);
}

tx_status tx_ablation_train(tx_ablation *a, int number, uint64_t seed, tx_ablation_record *record,
                            tx_error *error) {
  const tx_ablation_model *model = tx_ablation_model_of(a, tx_ablation_recipe_of(number)->size);
  tx_train_options options = tx_ablation_settings(a, number, model, seed);
  char work[TX_PATH_SIZE], out[TX_PATH_SIZE], located[TX_PATH_SIZE], known[65];
  *record = (tx_ablation_record){.row = number, .seed = seed, .model = model->sha256};
  TX_TRY(tx_path_join(work, a->options->out, "training", error));
  tx_directory_remove(work); /* what a kill left */
  TX_TRY(tx_directory_make(work, error));
  tx_status status = tx_path_join(out, work, "row.taxon", error);
  options.home = a->options->home;
  options.out = out;
  /* A model with random weights would stay in the home, one for each seed. */
  if (status == TX_OK && options.init == TX_INIT_RANDOM) {
    status = tx_model_locate(model->name, options.home, located, known, error);
    options.model = located, options.home = work;
  }
  if (status == TX_OK) status = train(a, &options, record, error);
  tx_directory_remove(work);
  return status;
}
