/* The linear scorer: trained, applied, saved and loaded.  Terms and their
 * weights are found in terms.c and tfidf.c, the regression in src/adapt. */
#include "score/linear.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "adapt/logistic.h"
#include "adapt/loss.h"
#include "base/exact.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/random.h"
#include "base/watch.h"
#include "score/tfidf.h"

enum {
  BLOCK_TEXTS = 16,       /* texts scored by one task */
  MOST_WEIGHTS = 1000000, /* terms times labels: the artifact stays small */
  CHOICE_BYTES = 1500000, /* of text, times labels, that the penalty is chosen on */
  MOST_TERMS = 1 << 26,   /* that a file may hold */
  HIGHEST_IDF = 64        /* log(2^63) + 1 is below it */
};

/* C, the inverse of the penalty on the sum of losses, strongest penalty first. */
static const double inverse_penalties[] = {1, 4, 16, 64, 256, 1024};
enum { CANDIDATES = sizeof inverse_penalties / sizeof *inverse_penalties };

typedef struct linear_scorer {
  tx_scorer scorer; /* the first member */
  tx_term_table table;
  float *weights; /* (terms, labels) */
  float *bias;    /* (labels) */
} linear_scorer;

tx_linear_options tx_linear_defaults(void) {
  return (tx_linear_options){.max_terms = 40000,
                             .min_documents = 0,
                             .shortest_run = 2,
                             .longest_run = 4,
                             .folds = 3,
                             .seed = 1};
}

/* ---- scoring ----------------------------------------------------------- */

typedef struct scoring {
  const linear_scorer *linear;
  const tx_text *texts;
  size_t count;
  float *probabilities; /* (count, labels) */
  atomic_bool failed;
} scoring;

/* What a task needs for one text after another. */
typedef struct scratch {
  tx_terms terms;
  int32_t *columns;
  float *values;
  size_t capacity;
  double *scores; /* (labels) */
} scratch;

static bool reserve_row(scratch *s) {
  size_t needed = s->terms.count + 1;
  if (needed <= s->capacity) return true;
  tx_free(s->columns);
  tx_free(s->values);
  s->columns = tx_alloc_array(needed, sizeof *s->columns);
  s->values = tx_alloc_array(needed, sizeof *s->values);
  s->capacity = s->columns && s->values ? needed : 0;
  return s->capacity > 0;
}

static void softmax(const double *scores, int labels, float *probabilities) {
  double top = scores[0], sum = 0;
  for (int c = 1; c < labels; c++) top = scores[c] > top ? scores[c] : top;
  for (int c = 0; c < labels; c++) sum += tx_exp(scores[c] - top);
  for (int c = 0; c < labels; c++) probabilities[c] = (float)(tx_exp(scores[c] - top) / sum);
}

/* Scores to probabilities. */
static void squash(const linear_scorer *linear, const double *scores, float *probabilities) {
  int labels = linear->scorer.labels;
  if (!linear->scorer.sigmoids) {
    softmax(scores, labels, probabilities);
    return;
  }
  for (int c = 0; c < labels; c++) probabilities[c] = (float)tx_sigmoid(scores[c]);
}

static bool score_text(const linear_scorer *linear, tx_text text, scratch *s,
                       float *probabilities) {
  int labels = linear->scorer.labels;
  if (!tx_terms_find(&s->terms, text, linear->table.rule) || !reserve_row(s)) return false;
  int64_t count = tx_term_table_row(&linear->table, &s->terms, s->columns, s->values);
  for (int c = 0; c < labels; c++) s->scores[c] = linear->bias[c];
  for (int64_t i = 0; i < count; i++) {
    const float *weights = linear->weights + s->columns[i] * (int64_t)labels;
    double value = s->values[i];
    for (int c = 0; c < labels; c++) s->scores[c] += value * (double)weights[c];
  }
  squash(linear, s->scores, probabilities);
  return true;
}

static void score_task(void *context, int64_t block, int worker) {
  (void)worker;
  scoring *s = context;
  size_t labels = (size_t)s->linear->scorer.labels, first = (size_t)block * BLOCK_TEXTS;
  size_t end = first + BLOCK_TEXTS < s->count ? first + BLOCK_TEXTS : s->count;
  scratch own = {.scores = tx_alloc_array(labels, sizeof(double))};
  bool fine = own.scores;
  for (size_t i = first; fine && i < end; i++) {
    fine = score_text(s->linear, s->texts[i], &own, s->probabilities + i * labels);
  }
  if (!fine) atomic_store(&s->failed, true);
  tx_terms_free(&own.terms);
  tx_free(own.columns);
  tx_free(own.values);
  tx_free(own.scores);
}

static tx_status linear_score(tx_scorer *self, const tx_text *texts, size_t count,
                              float *probabilities, tx_scored *scored, const tx_watch *watch,
                              tx_error *error) {
  const size_t at_once = 4096;
  for (size_t first = 0; first < count; first += at_once) {
    TX_TRY(tx_watch_check(watch, error));
    size_t size = count - first < at_once ? count - first : at_once;
    scoring s = {(const linear_scorer *)self, texts + first, size,
                 probabilities + first * (size_t)self->labels, false};
    tx_parallel((int64_t)((size + BLOCK_TEXTS - 1) / BLOCK_TEXTS), score_task, &s);
    if (atomic_load(&s.failed)) return tx_fail_memory(error, 0, "the linear scorer");
    if (scored) scored->texts += (int64_t)size;
  }
  return TX_OK;
}

static void linear_free(tx_scorer *self) {
  linear_scorer *linear = (linear_scorer *)self;
  tx_term_table_free(&linear->table);
  tx_free(linear->weights);
  tx_free(linear->bias);
  tx_free(linear);
}

/* ---- training ---------------------------------------------------------- */

typedef struct training {
  const tx_text *texts;
  const int32_t *labels;
  int64_t rows;
  int classes;
  tx_linear_options options;
  const tx_watch *watch;
  tx_error *error;
} training;

static tx_term_rule rule_of(const training *t) {
  return (tx_term_rule){t->options.shortest_run, t->options.longest_run};
}

static bool is_rule(int64_t shortest, int64_t longest) {
  if (longest == 0) return shortest == 0;
  return shortest >= 1 && shortest <= longest && longest <= TX_LONGEST_RUN;
}

/* With few texts a term that stands in one of them is worth keeping. */
static int64_t min_documents(const training *t, int64_t rows) {
  if (t->options.min_documents > 0) return t->options.min_documents;
  return rows < 1000 ? 1 : 2;
}

static int64_t max_terms(const training *t) {
  int64_t most = MOST_WEIGHTS / t->classes;
  if (t->options.max_terms < most) most = t->options.max_terms;
  return most > 1 ? most : 1;
}

/* The rows to choose the penalty on, a random part where all would take long. */
static int64_t sample_rows(const training *t, int64_t *sample) {
  int64_t bytes = 0, columns = t->classes == 2 ? 1 : t->classes;
  for (int64_t i = 0; i < t->rows; i++) {
    sample[i] = i;
    bytes += (int64_t)t->texts[i].size;
  }
  int64_t least = t->classes * 20 > 1500 ? t->classes * 20 : 1500;
  double share = CHOICE_BYTES / ((double)bytes * (double)columns + 1);
  int64_t count = share < 1 ? (int64_t)(share * (double)t->rows) : t->rows;
  if (count < least) count = least < t->rows ? least : t->rows;
  if (count < t->rows) {
    tx_random random = tx_random_seed(t->options.seed);
    tx_random_shuffle(&random, sample, (size_t)t->rows);
  }
  return count;
}

/* The penalty that cross-validation on the sampled rows prefers, for a fit to
 * all rows: with n times the rows it falls with the root of n (measured on
 * topics and intents; neither its ratio to the mean of the losses nor that to
 * their sum stays the same). */
static tx_status choose_for(const training *t, const training *part, const uint64_t *groups,
                            double *penalty) {
  tx_term_table table;
  TX_TRY(tx_term_table_make(&table, part->texts, part->rows, rule_of(t),
                            min_documents(t, part->rows), max_terms(t), t->watch, t->error));
  tx_features x = {0};
  tx_status status = tx_term_table_rows(&table, part->texts, part->rows, &x, t->watch, t->error);
  double candidates[CANDIDATES];
  for (int i = 0; i < CANDIDATES; i++) {
    candidates[i] = 1 / (inverse_penalties[i] * (double)part->rows);
  }
  tx_logistic_options options = tx_logistic_defaults();
  options.tolerance = 1e-2;
  options.marks = part->options.marks;
  if (status == TX_OK) {
    status = tx_logistic_choose(&x, part->labels, t->classes, groups, candidates, CANDIDATES,
                                t->options.folds, t->options.seed, options, penalty, NULL, t->watch,
                                t->error);
  }
  *penalty *= sqrt((double)part->rows / (double)t->rows);
  tx_term_rows_free(&x);
  tx_term_table_free(&table);
  return status;
}

static tx_status choose_penalty(const training *t, double *penalty) {
  tx_arena *arena = tx_arena_new();
  if (!arena) return tx_fail_memory(t->error, 1, "the linear baseline");
  size_t rows = (size_t)t->rows;
  int64_t *sample = tx_arena_array(arena, rows, sizeof *sample);
  tx_text *texts = tx_arena_array(arena, rows, sizeof *texts);
  int32_t *labels = tx_arena_array(arena, rows, sizeof *labels);
  size_t of_marks = t->options.marks ? (size_t)t->classes : 0;
  uint8_t *marks = tx_arena_array(arena, rows, of_marks);
  uint64_t *groups = tx_arena_array(arena, rows, sizeof *groups);
  tx_status status;
  if (sample && texts && labels && groups && (marks || !of_marks)) {
    training part = *t;
    part.options.marks = of_marks ? marks : NULL;
    part.texts = texts;
    part.labels = labels;
    part.rows = sample_rows(t, sample);
    for (int64_t i = 0; i < part.rows; i++) {
      texts[i] = t->texts[sample[i]];
      labels[i] = t->labels[sample[i]];
      if (of_marks) {
        memcpy(marks + (size_t)i * of_marks, t->options.marks + (size_t)sample[i] * of_marks,
               of_marks);
      }
      groups[i] = tx_hash64(texts[i].data, texts[i].size, 0);
    }
    status = choose_for(t, &part, groups, penalty);
  } else {
    status = tx_fail_memory(t->error, rows * 36, "the linear baseline");
  }
  tx_arena_free(arena);
  return status;
}

static bool reserve_weights(linear_scorer *linear) {
  size_t terms = (size_t)linear->table.count, labels = (size_t)linear->scorer.labels;
  linear->weights = tx_alloc_zero(terms * labels, sizeof *linear->weights);
  linear->bias = tx_alloc_zero(labels, sizeof *linear->bias);
  return linear->weights && linear->bias;
}

static tx_status fit_rows(const training *t, linear_scorer *linear, const tx_features *rows,
                          double penalty) {
  size_t terms = (size_t)rows->features, labels = (size_t)t->classes;
  double *weights = tx_alloc_zero(terms * labels, sizeof *weights);
  double *bias = tx_alloc_zero(labels, sizeof *bias);
  tx_status status;
  if (weights && bias) {
    tx_logistic_options options = tx_logistic_defaults();
    options.penalty = penalty;
    options.tolerance = 1e-4;
    options.marks = t->options.marks;
    status = tx_logistic_fit(rows, t->labels, t->classes, NULL, 0, options, weights, bias, t->watch,
                             t->error);
    for (size_t c = 0; status == TX_OK && c < labels; c++) {
      linear->bias[c] = (float)bias[c];
      for (size_t f = 0; f < terms; f++) {
        linear->weights[f * labels + c] = (float)weights[c * terms + f];
      }
    }
  } else {
    status = tx_fail_memory(t->error, terms * labels * 12, "the linear baseline");
  }
  tx_free(weights);
  tx_free(bias);
  return status;
}

/* The terms stand in it too: the weights are by their order. */
static tx_cache_key key_of(const training *t, const tx_term_table *table) {
  const tx_linear_options *o = &t->options;
  const int64_t numbers[] = {t->rows,         t->classes,     o->max_terms, o->min_documents,
                             o->shortest_run, o->longest_run, o->folds,     (int64_t)o->seed};
  tx_cache_key key = tx_memo_key("linear 1");
  tx_memo_add(&key, numbers, sizeof numbers);
  tx_memo_add(&key, t->labels, (uint64_t)t->rows * sizeof *t->labels);
  if (o->marks) tx_memo_add(&key, o->marks, (uint64_t)(t->rows * t->classes));
  for (int64_t i = 0; i < t->rows; i++) tx_memo_add(&key, t->texts[i].data, t->texts[i].size);
  tx_memo_add(&key, table->terms, (uint64_t)table->count * sizeof *table->terms);
  tx_memo_add(&key, table->idf, (uint64_t)table->count * sizeof *table->idf);
  return key;
}

static tx_status fit(const training *t, linear_scorer *linear) {
  double penalty;
  tx_features rows;
  TX_TRY(choose_penalty(t, &penalty));
  TX_TRY(tx_term_table_rows(&linear->table, t->texts, t->rows, &rows, t->watch, t->error));
  tx_status status = fit_rows(t, linear, &rows, penalty);
  tx_term_rows_free(&rows);
  return status;
}

/* The terms are found anew, the weights where they were not kept. */
static tx_status train(const training *t, linear_scorer *linear) {
  TX_TRY(tx_term_table_make(&linear->table, t->texts, t->rows, rule_of(t),
                            min_documents(t, t->rows), max_terms(t), t->watch, t->error));
  size_t terms = (size_t)linear->table.count, labels = (size_t)t->classes;
  if (!reserve_weights(linear)) {
    return tx_fail_memory(t->error, terms * labels * sizeof *linear->weights,
                          "the linear baseline");
  }
  const tx_memo_part result[] = {{linear->weights, terms * labels * sizeof *linear->weights},
                                 {linear->bias, labels * sizeof *linear->bias}};
  tx_cache_key key = {0, 0};
  if (t->options.memo) key = key_of(t, &linear->table);
  if (tx_memo_recall(t->options.memo, key, result, 2)) return TX_OK;
  TX_TRY(fit(t, linear));
  tx_memo_keep(t->options.memo, key, result, 2);
  return TX_OK;
}

static linear_scorer *new_scorer(int labels, bool sigmoids) {
  linear_scorer *linear = tx_alloc_zero(1, sizeof *linear);
  if (linear) linear->scorer = (tx_scorer){"linear", labels, sigmoids, linear_score, linear_free};
  return linear;
}

tx_status tx_linear_train(const tx_text *texts, const int32_t *labels, int64_t rows, int classes,
                          tx_linear_options options, tx_scorer **scorer, const tx_watch *watch,
                          tx_error *error) {
  *scorer = NULL;
  if (rows < 1 || classes < 2 || options.folds < 2 || options.max_terms < 1) {
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "the linear baseline needs a text, two labels, two folds and room for a term; "
                   "it was given %lld texts, %d labels, %d folds and room for %lld",
                   (long long)rows, classes, options.folds, (long long)options.max_terms);
  }
  if (!is_rule(options.shortest_run, options.longest_run)) {
    return tx_fail(error, TX_ERROR_ARGUMENT, "runs have 1 to %d characters, not %d to %d",
                   TX_LONGEST_RUN, options.shortest_run, options.longest_run);
  }
  linear_scorer *linear = new_scorer(classes, options.marks != NULL);
  if (!linear) return tx_fail_memory(error, sizeof *linear, "the linear baseline");
  training t = {texts, labels, rows, classes, options, watch, error};
  tx_status status = train(&t, linear);
  if (status == TX_OK) {
    *scorer = &linear->scorer;
  } else {
    linear_free(&linear->scorer);
  }
  return status;
}

/* ---- the artifact ------------------------------------------------------ */

/* Tensors under "taxon.linear.", of a further head "taxon.head.<i>.linear.": terms
 * (terms) I64, the bits of the hashes, by rising value; idf (terms) F32; weights
 * (terms, labels) F32; bias (labels) F32.  Keys: shortest_run, longest_run. */

typedef struct linear_keys {
  char shortest[TX_ARTIFACT_KEY], longest[TX_ARTIFACT_KEY], terms[TX_ARTIFACT_KEY],
      idf[TX_ARTIFACT_KEY], weights[TX_ARTIFACT_KEY], bias[TX_ARTIFACT_KEY];
} linear_keys;

static linear_keys keys_of(size_t head) {
  linear_keys keys = {0};
  tx_artifact_key(head, "linear.shortest_run", keys.shortest);
  tx_artifact_key(head, "linear.longest_run", keys.longest);
  tx_artifact_key(head, "linear.terms", keys.terms);
  tx_artifact_key(head, "linear.idf", keys.idf);
  tx_artifact_key(head, "linear.weights", keys.weights);
  tx_artifact_key(head, "linear.bias", keys.bias);
  return keys;
}

void tx_linear_save(const tx_scorer *scorer, size_t head, tx_gguf_writer *writer) {
  const linear_scorer *linear = (const linear_scorer *)scorer;
  const tx_term_table *table = &linear->table;
  const linear_keys keys = keys_of(head);
  const int64_t terms[] = {table->count}, labels[] = {scorer->labels};
  const int64_t weights[] = {scorer->labels, table->count};
  tx_gguf_add_int(writer, keys.shortest, table->rule.shortest);
  tx_gguf_add_int(writer, keys.longest, table->rule.longest);
  tx_gguf_add_tensor(writer, keys.terms, TX_TENSOR_I64, 1, terms, table->terms);
  tx_gguf_add_tensor(writer, keys.idf, TX_TENSOR_F32, 1, terms, table->idf);
  tx_gguf_add_tensor(writer, keys.weights, TX_TENSOR_F32, 2, weights, linear->weights);
  tx_gguf_add_tensor(writer, keys.bias, TX_TENSOR_F32, 1, labels, linear->bias);
}

static tx_status fail_tensor(const tx_gguf *gguf, const char *name, const tx_tensor *tensor,
                             tx_error *error, const char *what) {
  return tx_fail_byte(error, TX_ERROR_INPUT, tx_gguf_path(gguf), tensor ? tensor->offset : 0,
                      "the tensor %s %s; the artifact is damaged, train it again", name, what);
}

/* Checks type and shape, (width) or (rows, width), and that all of it is finite. */
static tx_status find_tensor(const tx_gguf *gguf, const char *name, tx_tensor_type type,
                             int64_t width, int64_t rows, const tx_tensor **found,
                             tx_error *error) {
  const tx_tensor *tensor = tx_gguf_tensor(gguf, name);
  if (!tensor) return fail_tensor(gguf, name, NULL, error, "is missing");
  if (tensor->type != type) return fail_tensor(gguf, name, tensor, error, "has the wrong type");
  if (tensor->shape[0] != width || tensor->shape[1] != rows || tensor->shape[2] != 1 ||
      tensor->shape[3] != 1) {
    return fail_tensor(gguf, name, tensor, error, "has the wrong shape");
  }
  for (uint64_t i = 0; type == TX_TENSOR_F32 && i < tensor->size / sizeof(float); i++) {
    float value;
    memcpy(&value, tensor->data + i * sizeof value, sizeof value);
    if (!isfinite(value)) {
      return fail_tensor(gguf, name, tensor, error, "holds what is no finite number");
    }
  }
  *found = tensor;
  return TX_OK;
}

static tx_status load_rule(const tx_gguf *gguf, const linear_keys *keys, tx_term_rule *loaded,
                           tx_error *error) {
  int64_t shortest = -1, longest = -1;
  if (tx_gguf_int(gguf, keys->shortest, &shortest, NULL) != TX_OK ||
      tx_gguf_int(gguf, keys->longest, &longest, NULL) != TX_OK ||
      !is_rule(shortest, longest)) {
    return tx_fail(
        error, TX_ERROR_INPUT,
        "%s: %s and %s are missing or no lengths that runs of characters can have; the artifact is "
        "damaged, train it again",
        tx_gguf_path(gguf), keys->shortest, keys->longest);
  }
  *loaded = (tx_term_rule){(int)shortest, (int)longest};
  return TX_OK;
}

/* What the checks of find_tensor leave: the order of the terms, the range of the idf. */
static tx_status check_table(const tx_gguf *gguf, const tx_term_table *table,
                             const tx_tensor *terms, const tx_tensor *idf, tx_error *error) {
  for (int64_t i = 0; i < table->count; i++) {
    if (i > 0 && table->terms[i] <= table->terms[i - 1]) {
      return fail_tensor(gguf, terms->name, terms, error, "is not in rising order");
    }
    if (table->idf[i] < 0 || table->idf[i] > HIGHEST_IDF) {
      return fail_tensor(gguf, idf->name, idf, error, "has values that no term can have");
    }
  }
  return TX_OK;
}

static tx_status load(const tx_gguf *gguf, size_t head, linear_scorer *linear, tx_error *error) {
  const linear_keys keys = keys_of(head);
  const tx_tensor *terms = tx_gguf_tensor(gguf, keys.terms), *idf, *weights, *bias;
  tx_term_table *table = &linear->table;
  int64_t labels = linear->scorer.labels, count = terms ? terms->shape[0] : 1;
  if (count < 1 || count > MOST_TERMS) count = 1;
  TX_TRY(load_rule(gguf, &keys, &table->rule, error));
  TX_TRY(find_tensor(gguf, keys.terms, TX_TENSOR_I64, count, 1, &terms, error));
  TX_TRY(find_tensor(gguf, keys.idf, TX_TENSOR_F32, count, 1, &idf, error));
  TX_TRY(find_tensor(gguf, keys.weights, TX_TENSOR_F32, labels, count, &weights, error));
  TX_TRY(find_tensor(gguf, keys.bias, TX_TENSOR_F32, labels, 1, &bias, error));
  table->count = count;
  table->terms = tx_alloc_array((size_t)count, sizeof *table->terms);
  table->idf = tx_alloc_array((size_t)count, sizeof *table->idf);
  bool ready = table->terms && table->idf && reserve_weights(linear);
  if (ready) {
    memcpy(table->terms, terms->data, terms->size);
    memcpy(table->idf, idf->data, idf->size);
    memcpy(linear->weights, weights->data, weights->size);
    memcpy(linear->bias, bias->data, bias->size);
  }
  if (!ready || !tx_term_table_index(table)) {
    return tx_fail_memory(error, terms->size + idf->size + weights->size, "the linear baseline");
  }
  return check_table(gguf, table, terms, idf, error);
}

tx_status tx_linear_load(const tx_gguf *gguf, size_t head, int classes, tx_scorer **scorer,
                         tx_error *error) {
  *scorer = NULL;
  if (classes < 2) {
    return tx_fail(error, TX_ERROR_ARGUMENT, "a linear baseline has two labels or more, not %d",
                   classes);
  }
  linear_scorer *linear = new_scorer(classes, tx_artifact_is_multi_label(gguf, head));
  if (!linear) return tx_fail_memory(error, sizeof *linear, "the linear baseline");
  tx_status status = load(gguf, head, linear, error);
  if (status == TX_OK) {
    *scorer = &linear->scorer;
  } else {
    linear_free(&linear->scorer);
  }
  return status;
}
