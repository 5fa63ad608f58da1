/* One training of one row, measured on the three tables; nothing of it stays on disk. */
#include <stdio.h>
#include <string.h>

#include "base/watch.h"
#include "tasks/ablate.h"
#include "formats/hub.h"
#include "tasks/classifier.h"
#include "trust/metrics.h"

/* Which rows of the table are answered right: (rows) of '1' and '0', and a final NUL. */
static tx_status answer(tx_ablation *a, tx_classifier *classifier, const char *path, int64_t *rows,
                        char **right, tx_error *error) {
  int labels = (int)tx_classifier_count(classifier);
  tx_dataset known = {.names = classifier->labels[0], .classes = labels}, *table;
  TX_TRY(tx_dataset_read(path, a->options->table, &known, &table, error));
  size_t count = (size_t)table->rows;
  float *probabilities = tx_alloc_array(count * (size_t)labels, sizeof *probabilities);
  char *marks = tx_arena_alloc(a->arena, count + 1);
  tx_status status = probabilities && marks ? TX_OK : tx_fail_memory(error, count * 8, "answers");
  if (status == TX_OK) {
    status = tx_classifier_predict(classifier, table->texts, count, probabilities, NULL, a->watch,
                                   error);
  }
  for (size_t i = 0; status == TX_OK && i < count; i++) {
    const float *row = probabilities + i * (size_t)labels;
    marks[i] = tx_top_label(row, labels) == table->labels[i] ? '1' : '0';
  }
  if (status == TX_OK) marks[count] = '\0', *right = marks, *rows = table->rows;
  tx_free(probabilities);
  tx_dataset_free(table);
  return status;
}

static double share_of(const char *right, int64_t rows) {
  int64_t count = 0;
  for (int64_t i = 0; i < rows; i++) count += right[i] == '1';
  return (double)count / (double)rows;
}

static tx_status measure(tx_ablation *a, const tx_train_options *trained,
                         tx_ablation_record *record, tx_error *error) {
  tx_classifier_options options = tx_classifier_defaults();
  tx_classifier *classifier;
  char *right;
  int64_t rows;
  options.home = trained->home;
  TX_TRY(tx_classifier_open(trained->out, options, &classifier, error));
  tx_status status = answer(a, classifier, a->train_path, &rows, &right, error);
  if (status == TX_OK) {
    record->train = share_of(right, rows);
    status = answer(a, classifier, a->test_path, &rows, &right, error);
    record->right = right;
  }
  tx_classifier_close(classifier);
  return status;
}

static tx_status train(tx_ablation *a, const tx_train_options *options, tx_ablation_record *record,
                       tx_error *error) {
  tx_train_report report;
  TX_TRY(tx_train(options, &report, a->watch, error));
  record->trained_parameters = report.trained_parameters;
  record->cached_texts = report.cached_texts;
  record->epochs = report.epochs, record->best_epoch = report.best_epoch;
  record->validation = report.val_accuracy;
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
