/* A label set's rows: read, encoded, weighed, and the baselines on them. */
#include "tasks/label_set.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/watch.h"
#include "formats/nearest.h"
#include "score/hierarchy.h"
#include "score/linear.h"
#include "trust/answers.h"

tx_status tx_label_set_encode(tx_training *t, const tx_labelled *rows, tx_rows_of_states *to,
                              tx_error *error) {
  TX_TRY(tx_encode(t->tokenizer, rows->texts, rows->count,
                   (tx_encoding){t->max_tokens, t->options->pad_to}, &to->tokens, error));
  to->singles = tx_alloc_array((size_t)rows->count + 1, sizeof *to->singles);
  if (!to->singles) return tx_fail_memory(error, (uint64_t)rows->count * 8, "the rows");
  for (int64_t i = 0; i <= rows->count; i++) to->singles[i] = i;
  return TX_OK;
}

/* Labels of a single row: too few to learn from, and often a slip of the pen. */
static tx_status note_single_labels(const tx_training *t, const tx_label_set *set,
                                    const int64_t *counts, tx_error *error) {
  size_t classes = (size_t)set->split.classes, count = 0;
  tx_text *names = tx_alloc_array(classes, sizeof *names);
  if (!names) return tx_fail_memory(error, classes * sizeof *names, "the labels");
  for (size_t c = 0; c < classes; c++) {
    if (counts[c] == 1) names[count++] = tx_text_of(set->split.names[c]);
  }
  tx_buffer list = {0};
  tx_show_names(names, count, 300, &list);
  if (count > 0 && list.data) {
    tx_watch_note(t->watch, "label%s of a single training row, from which little can be learnt: %s",
                  count == 1 ? "" : "s", list.data);
  }
  tx_buffer_free(&list);
  tx_free(names);
  return TX_OK;
}

static void note_shared(const tx_training *t, const tx_label_set *set) {
  int64_t shared = set->split.shared, count = set->split.validation.count;
  if (shared == 0) return;
  tx_watch_note(t->watch,
                "%" PRId64 " of %" PRId64 " validation text%s %s in the training rows too, which "
                "flatters the figures",
                shared, count, count == 1 ? "" : "s", shared == 1 ? "stands" : "stand");
}

typedef struct {
  const uint8_t *marks; /* (classes) */
  int64_t row, classes;
} marked_row;

static int by_marks(const void *a, const void *b) {
  const marked_row *x = a, *y = b;
  int order = memcmp(x->marks, y->marks, (size_t)x->classes);
  return order ? order : (x->row > y->row) - (x->row < y->row);
}

/* A row whose set of labels no other set outnumbers. */
static tx_status find_majority_row(tx_label_set *set, tx_error *error) {
  const tx_labelled *rows = &set->split.train;
  int64_t classes = set->split.classes, most = 0, run = 0;
  marked_row *sorted = tx_alloc_array((size_t)rows->count, sizeof *sorted);
  if (!sorted) return tx_fail_memory(error, (uint64_t)rows->count * sizeof *sorted, "the labels");
  for (int64_t i = 0; i < rows->count; i++) {
    sorted[i] = (marked_row){rows->marks + i * classes, i, classes};
  }
  qsort(sorted, (size_t)rows->count, sizeof *sorted, by_marks);
  for (int64_t i = 0; i < rows->count; i++) {
    bool same = i > 0 && memcmp(sorted[i].marks, sorted[i - 1].marks, (size_t)classes) == 0;
    run = same ? run + 1 : 1;
    if (run <= most) continue;
    most = run;
    set->majority_row = sorted[i].row;
  }
  tx_free(sorted);
  return TX_OK;
}

/* The weights that make every label count the same: rows / (labels * rows of the label). */
static tx_status weigh_classes(const tx_training *t, tx_label_set *set, tx_error *error) {
  int classes = set->split.classes;
  const tx_labelled *rows = &set->split.train;
  int64_t *counts = tx_alloc_zero((size_t)classes, sizeof *counts);
  set->class_weights = tx_alloc_array((size_t)classes, sizeof *set->class_weights);
  if (!counts || !set->class_weights) {
    tx_free(counts);
    return tx_fail_memory(error, (uint64_t)classes * 8, "class weights");
  }
  for (int64_t i = 0; i < rows->count; i++) {
    if (!rows->marks) counts[rows->labels[i]]++;
    for (int64_t c = 0; rows->marks && c < classes; c++) counts[c] += rows->marks[i * classes + c];
  }
  for (int c = 0; c < classes; c++) {
    if (counts[c] > counts[set->majority]) set->majority = c;
    double share = (double)classes * (double)(counts[c] ? counts[c] : 1);
    set->class_weights[c] = (double)rows->count / share;
  }
  tx_status status = note_single_labels(t, set, counts, error);
  if (status == TX_OK && rows->marks) status = find_majority_row(set, error);
  tx_free(counts);
  return status;
}

const double *tx_label_set_weights(const tx_training *t, const tx_label_set *set) {
  return t->options->class_weights == TX_CLASS_WEIGHTS_BALANCED ? set->class_weights : NULL;
}

/* Whether the majority baseline is right about a validation row. */
static bool is_majority(const tx_label_set *set, int64_t row) {
  const tx_labelled *train = &set->split.train, *validation = &set->split.validation;
  if (!validation->marks) return set->majority == validation->labels[row];
  int64_t classes = set->split.classes;
  return memcmp(train->marks + set->majority_row * classes, validation->marks + row * classes,
                (size_t)classes) == 0;
}

static tx_status train_baselines(tx_training *t, tx_label_set *set, tx_error *error) {
  const tx_labelled *train = &set->split.train, *validation = &set->split.validation;
  int classes = set->split.classes;
  tx_linear_options options = tx_linear_defaults();
  options.seed = t->options->seed;
  options.memo = t->memo;
  options.marks = train->marks;
  TX_TRY(tx_linear_train(train->texts, train->labels, train->count, classes, options, &set->linear,
                         t->watch, error));
  float *probabilities = tx_alloc_array((size_t)(validation->count * classes), sizeof(float));
  if (!probabilities) return tx_fail_memory(error, (uint64_t)validation->count * 4, "scores");
  set->linear_scores = probabilities;
  tx_status status = set->linear->score(set->linear, validation->texts, (size_t)validation->count,
                                        probabilities, NULL, t->watch, error);
  tx_truth truth = tx_labelled_truth(validation);
  int64_t linear = 0, majority = 0;
  for (int64_t i = 0; status == TX_OK && i < validation->count; i++) {
    linear += tx_answer_right(probabilities + i * classes, truth, i, classes);
    majority += is_majority(set, i);
  }
  set->linear_accuracy = (double)linear / (double)validation->count;
  set->majority_accuracy = (double)majority / (double)validation->count;
  return status;
}

/* Labels as paths have their form; those that only look so are told. */
static tx_status check_paths(const tx_training *t, const tx_label_set *set, tx_error *error) {
  size_t classes = (size_t)set->split.classes, paths = 0;
  tx_text *labels = tx_alloc_array(classes, sizeof *labels);
  if (!labels) return tx_fail_memory(error, classes * sizeof *labels, "the labels");
  for (size_t c = 0; c < classes; c++) {
    labels[c] = tx_text_of(set->split.names[c]);
    paths += strchr(set->split.names[c], '/') != NULL;
  }
  tx_status status = TX_OK;
  if (t->options->hierarchical) {
    status = tx_hierarchy_check(labels, classes, error);
  } else if (paths == classes && !set->split.train.marks) {
    tx_watch_note(t->watch, "every label holds a slash: if they are paths, say --hierarchical");
  }
  tx_free(labels);
  return status;
}

tx_status tx_label_set_read(tx_training *t, tx_label_set *set, const char *data,
                            const char *validation, tx_error *error) {
  const tx_train_options *o = t->options;
  TX_TRY(tx_partition_read(data, validation, o->table, o->seed, &set->split, error));
  tx_dataset_note(set->split.train_table, data, t->watch);
  if (validation) tx_dataset_note(set->split.validation_table, validation, t->watch);
  note_shared(t, set);
  TX_TRY(check_paths(t, set, error));
  return tx_label_set_prepare(t, set, error);
}

tx_status tx_label_set_prepare(tx_training *t, tx_label_set *set, tx_error *error) {
  TX_TRY(weigh_classes(t, set, error));
  TX_TRY(tx_label_set_encode(t, &set->split.train, &set->train, error));
  TX_TRY(tx_label_set_encode(t, &set->split.validation, &set->validation, error));
  set->tokens = set->train.tokens.offsets[set->split.train.count];
  set->cut = set->train.tokens.cut + set->validation.tokens.cut;
  if (set->cut) {
    tx_watch_note(t->watch, "%" PRId64 " text%s longer than %" PRId64 " tokens and %s cut",
                  set->cut, set->cut == 1 ? " is" : "s are", t->max_tokens,
                  set->cut == 1 ? "was" : "were");
  }
  return train_baselines(t, set, error);
}

void tx_label_set_free_rows(tx_rows_of_states *rows) {
  tx_states_free(&rows->probes);
  tx_states_free(&rows->states);
  tx_free(rows->singles);
  tx_encoded_free(&rows->tokens);
}

tx_label_set tx_label_set_again(const tx_label_set *set) {
  tx_label_set made = {.again = true,
                       .split = set->split,
                       .class_weights = set->class_weights,
                       .majority = set->majority,
                       .majority_row = set->majority_row,
                       .linear = set->linear,
                       .linear_scores = set->linear_scores,
                       .majority_accuracy = set->majority_accuracy,
                       .linear_accuracy = set->linear_accuracy};
  made.train = (tx_rows_of_states){.tokens = set->train.tokens, .singles = set->train.singles};
  made.validation =
      (tx_rows_of_states){.tokens = set->validation.tokens, .singles = set->validation.singles};
  return made;
}

/* What reading made. */
static void free_read(tx_label_set *set) {
  tx_scorer_free(set->linear);
  tx_free(set->class_weights);
  tx_free(set->linear_scores);
  tx_label_set_free_rows(&set->train);
  tx_label_set_free_rows(&set->validation);
  tx_partition_free(&set->split);
}

void tx_label_set_free(tx_label_set *set) {
  tx_tail_free(set->tail);
  tx_free(set->ids);
  tx_free(set->depths);
  tx_free(set->scores);
  tx_states_free(&set->train.probes), tx_states_free(&set->train.states);
  tx_states_free(&set->validation.probes), tx_states_free(&set->validation.states);
  if (!set->again) free_read(set);
  *set = (tx_label_set){0};
}
