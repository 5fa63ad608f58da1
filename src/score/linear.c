/* The linear scorer: trained, applied, saved and loaded.  Terms are found in
 * terms.c and weighed in tfidf.c; the regression is that of src/adapt. */
#include "score/linear.h"

#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "adapt/logistic.h"
#include "base/exact.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/random.h"
#include "base/watch.h"
#include "score/tfidf.h"

enum {
  BLOCK_TEXTS = 16,   /* texts scored by one task */
  CHOICE_ROWS = 8000, /* rows on which the penalty is chosen, at most */
  SMALL = 5000,       /* below so many texts, terms that stand in one only are kept too */
};

/* C, the inverse of the penalty on the sum of losses, strongest penalty first. */
static const double inverse_penalties[] = {1, 3, 10, 30, 100, 300};
enum { CANDIDATES = sizeof inverse_penalties / sizeof *inverse_penalties };

typedef struct linear_scorer {
  tx_scorer scorer; /* the first member */
  tx_term_table table;
  float *weights; /* (terms, labels) */
  float *bias;    /* (labels) */
} linear_scorer;

tx_linear_options tx_linear_defaults(void) {
  return (tx_linear_options){.max_terms = 40000, .min_documents = 0, .folds = 3, .seed = 1};
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
  softmax(s->scores, labels, probabilities);
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
  tx_features features;
  const tx_watch *watch;
  tx_error *error;
} training;

/* The rows on which the penalty is chosen: all, or some by seed. */
typedef struct sample {
  tx_features features;
  int64_t count;
  int64_t *rows;
  int32_t *labels;
  uint64_t *groups; /* equal texts share a fold */
} sample;

static void sample_free(sample *s) {
  tx_term_rows_free(&s->features);
  tx_free(s->rows);
  tx_free(s->labels);
  tx_free(s->groups);
}

static tx_status sample_make(const training *t, sample *s) {
  s->count = t->rows < CHOICE_ROWS ? t->rows : CHOICE_ROWS;
  s->rows = tx_alloc_array((size_t)t->rows, sizeof *s->rows);
  s->labels = tx_alloc_array((size_t)s->count, sizeof *s->labels);
  s->groups = tx_alloc_array((size_t)s->count, sizeof *s->groups);
  if (!s->rows || !s->labels || !s->groups) {
    return tx_fail_memory(t->error, (uint64_t)t->rows * 8, "the linear scorer");
  }
  for (int64_t i = 0; i < t->rows; i++) s->rows[i] = i;
  if (s->count < t->rows) {
    tx_random random = tx_random_seed(t->options.seed);
    tx_random_shuffle(&random, s->rows, (size_t)t->rows);
  }
  for (int64_t i = 0; i < s->count; i++) {
    tx_text text = t->texts[s->rows[i]];
    s->labels[i] = t->labels[s->rows[i]];
    s->groups[i] = tx_hash64(text.data, text.size, 0);
  }
  return tx_term_rows_subset(&t->features, s->rows, s->count, &s->features, t->error);
}

/* The penalty on the mean loss, for all rows. */
static tx_status choose_penalty(const training *t, double *penalty) {
  sample s = {0};
  double candidates[CANDIDATES];
  tx_status status = sample_make(t, &s);
  for (int i = 0; i < CANDIDATES; i++) candidates[i] = 1 / (inverse_penalties[i] * (double)s.count);
  if (status == TX_OK) {
    status = tx_logistic_choose(&s.features, s.labels, t->classes, s.groups, candidates, CANDIDATES,
                                t->options.folds, t->options.seed, tx_logistic_defaults(), penalty,
                                NULL, t->watch, t->error);
  }
  *penalty *= (double)s.count / (double)t->rows;
  sample_free(&s);
  return status;
}

static tx_status fit(const training *t, double penalty, linear_scorer *linear) {
  size_t terms = (size_t)t->features.features, labels = (size_t)t->classes;
  double *weights = tx_alloc_zero(terms * labels, sizeof *weights);
  double *bias = tx_alloc_zero(labels, sizeof *bias);
  linear->weights = tx_alloc_array(terms * labels, sizeof *linear->weights);
  linear->bias = tx_alloc_array(labels, sizeof *linear->bias);
  tx_status status = TX_OK;
  if (weights && bias && linear->weights && linear->bias) {
    tx_logistic_options options = tx_logistic_defaults();
    options.penalty = penalty;
    status = tx_logistic_fit(&t->features, t->labels, t->classes, NULL, t->rows, options, weights,
                             bias, t->watch, t->error);
    for (size_t c = 0; status == TX_OK && c < labels; c++) {
      linear->bias[c] = (float)bias[c];
      for (size_t f = 0; f < terms; f++) {
        linear->weights[f * labels + c] = (float)weights[c * terms + f];
      }
    }
  } else {
    status = tx_fail_memory(t->error, terms * labels * 12, "the linear scorer");
  }
  tx_free(weights);
  tx_free(bias);
  return status;
}

static tx_status train(training *t, linear_scorer *linear) {
  const tx_term_rule words = {0, 0};
  int64_t least = t->options.min_documents;
  if (least <= 0) least = t->rows < SMALL ? 1 : 2;
  double penalty = 0;
  TX_TRY(tx_term_table_make(&linear->table, t->texts, t->rows, words, least, t->options.max_terms,
                            t->watch, t->error));
  TX_TRY(tx_term_table_rows(&linear->table, t->texts, t->rows, &t->features, t->watch, t->error));
  TX_TRY(choose_penalty(t, &penalty));
  return fit(t, penalty, linear);
}

static tx_status linear_new(int classes, linear_scorer **linear, tx_error *error) {
  *linear = tx_alloc_zero(1, sizeof **linear);
  if (!*linear) return tx_fail_memory(error, sizeof **linear, "the linear scorer");
  (*linear)->scorer = (tx_scorer){"linear", classes, linear_score, linear_free};
  return TX_OK;
}

tx_status tx_linear_train(const tx_text *texts, const int32_t *labels, int64_t rows, int classes,
                          tx_linear_options options, tx_scorer **scorer, const tx_watch *watch,
                          tx_error *error) {
  linear_scorer *linear;
  *scorer = NULL;
  TX_TRY(linear_new(classes, &linear, error));
  training t = {texts, labels, rows, classes, options, {0}, watch, error};
  tx_status status = train(&t, linear);
  tx_term_rows_free(&t.features);
  if (status != TX_OK) {
    linear_free(&linear->scorer);
    return status;
  }
  *scorer = &linear->scorer;
  return TX_OK;
}

/* ---- saving and loading ------------------------------------------------ */

#define TERMS "taxon.linear.terms"     /* I64 [terms], rising as unsigned */
#define IDF "taxon.linear.idf"         /* F32 [terms] */
#define WEIGHTS "taxon.linear.weights" /* F32 [labels, terms] */
#define BIAS "taxon.linear.bias"       /* F32 [labels] */

void tx_linear_save(const tx_scorer *scorer, tx_gguf_writer *writer) {
  const linear_scorer *linear = (const linear_scorer *)scorer;
  int64_t terms = linear->table.count, labels = scorer->labels, shape[2] = {labels, terms};
  tx_gguf_add_tensor(writer, TERMS, TX_TENSOR_I64, 1, &terms, linear->table.terms);
  tx_gguf_add_tensor(writer, IDF, TX_TENSOR_F32, 1, &terms, linear->table.idf);
  tx_gguf_add_tensor(writer, WEIGHTS, TX_TENSOR_F32, 2, shape, linear->weights);
  tx_gguf_add_tensor(writer, BIAS, TX_TENSOR_F32, 1, &labels, linear->bias);
}

/* A copy of a tensor, new, checked to be [first, second] of `type` (second 0: a
 * vector) and finite. */
static tx_status read_tensor(const tx_gguf *gguf, const char *name, tx_tensor_type type,
                             int64_t first, int64_t second, void **copy, tx_error *error) {
  const tx_tensor *tensor = tx_gguf_tensor(gguf, name);
  if (!tensor || tensor->type != type || tensor->dimensions != (second ? 2 : 1) ||
      tensor->shape[0] != first || (second && tensor->shape[1] != second)) {
    return tx_fail(
        error, TX_ERROR_INPUT,
        "%s: the tensor %s is missing or not of the right shape; the artifact is damaged, "
        "train it again",
        tx_gguf_path(gguf), name);
  }
  *copy = tx_alloc(tensor->size);
  if (!*copy) return tx_fail_memory(error, tensor->size, "the linear scorer");
  memcpy(*copy, tensor->data, tensor->size);
  const float *values = *copy;
  int64_t bad = 0, count = type == TX_TENSOR_F32 ? (int64_t)(tensor->size / sizeof(float)) : 0;
  for (int64_t i = 0; i < count; i++) bad += !(values[i] - values[i] == 0);
  if (!bad) return TX_OK;
  return tx_fail_byte(
      error, TX_ERROR_INPUT, tx_gguf_path(gguf), tensor->offset,
      "the tensor %s holds NaN or infinity; the artifact is damaged, train it again", name);
}

static tx_status load(const tx_gguf *gguf, linear_scorer *linear, tx_error *error) {
  const tx_tensor *terms = tx_gguf_tensor(gguf, TERMS);
  int64_t count = terms ? terms->shape[0] : 0, labels = linear->scorer.labels;
  void *copy = NULL;
  if (count > INT32_MAX) count = 0;
  tx_status status = read_tensor(gguf, TERMS, TX_TENSOR_I64, count, 0, &copy, error);
  linear->table.terms = copy, copy = NULL;
  if (status == TX_OK) status = read_tensor(gguf, IDF, TX_TENSOR_F32, count, 0, &copy, error);
  linear->table.idf = copy, copy = NULL;
  if (status == TX_OK) {
    status = read_tensor(gguf, WEIGHTS, TX_TENSOR_F32, labels, count, &copy, error);
  }
  linear->weights = copy, copy = NULL;
  if (status == TX_OK) status = read_tensor(gguf, BIAS, TX_TENSOR_F32, labels, 0, &copy, error);
  linear->bias = copy;
  TX_TRY(status);
  for (int64_t i = 1; i < count; i++) {
    if (linear->table.terms[i] > linear->table.terms[i - 1]) continue;
    return tx_fail_byte(error, TX_ERROR_INPUT, tx_gguf_path(gguf), terms->offset + 8 * (uint64_t)i,
                        "the terms of " TERMS
                        " do not rise; the artifact is damaged, train it again");
  }
  linear->table.count = count;
  if (tx_term_table_index(&linear->table)) return TX_OK;
  return tx_fail_memory(error, (uint64_t)count * 4, "the linear scorer");
}

tx_status tx_linear_load(const tx_gguf *gguf, int classes, tx_scorer **scorer, tx_error *error) {
  linear_scorer *linear;
  *scorer = NULL;
  TX_TRY(linear_new(classes, &linear, error));
  tx_status status = load(gguf, linear, error);
  if (status != TX_OK) {
    linear_free(&linear->scorer);
    return status;
  }
  *scorer = &linear->scorer;
  return TX_OK;
}
