/* Softmax and sigmoids, residuals and their sums over rows, dense and sparse. */
#include "adapt/logistic_problem.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#include "base/parallel.h"

enum { BLOCK = 32, SPARSE_CHUNK = 256, DENSE_CHUNKS = 16, VARIABLE_BLOCK = 2048 };

static int64_t round_up(int64_t value, int64_t to) { return (value + to - 1) / to * to; }

static int64_t blocks_of(int64_t count, int64_t size) { return (count + size - 1) / size; }

static int64_t row_of(const tx_logistic_problem *problem, int64_t i) {
  return problem->use ? problem->use[i] : i;
}

static bool is_dense(const tx_logistic_problem *problem) { return problem->features->dense; }

/* ---- making ------------------------------------------------------------ */

static tx_status check_problem(const tx_logistic_problem *problem, tx_error *error) {
  if (problem->classes < 2 || problem->rows < 1 || problem->features->features < 1 ||
      problem->rows > INT32_MAX) {
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "logistic regression needs rows, features and two labels or more; "
                   "it was given %lld rows, %lld features and %d labels",
                   (long long)problem->rows, (long long)problem->features->features,
                   problem->classes);
  }
  for (int64_t i = 0; i < problem->rows; i++) {
    int64_t row = row_of(problem, i);
    if (row < 0 || row >= problem->features->rows) {
      return tx_fail(error, TX_ERROR_ARGUMENT, "row %lld is to be used, but there are %lld",
                     (long long)row, (long long)problem->features->rows);
    }
    if (!problem->marks && (problem->labels[row] < 0 || problem->labels[row] >= problem->classes)) {
      return tx_fail(error, TX_ERROR_ARGUMENT, "row %lld has label number %d of %d labels",
                     (long long)row, (int)problem->labels[row], problem->classes);
    }
  }
  for (int c = 0; problem->class_weights && c < problem->classes; c++) {
    if (!(problem->class_weights[c] >= 0) || isinf(problem->class_weights[c])) {
      return tx_fail(error, TX_ERROR_ARGUMENT, "the weight of label number %d is %g, not 0 or more",
                     c, problem->class_weights[c]);
    }
  }
  return TX_OK;
}

/* Whether one column tells two classes apart. */
static bool is_pair(const tx_logistic_problem *problem) {
  return problem->classes == 2 && !problem->marks;
}

static void shape_problem(tx_logistic_problem *problem, bool with_gradient) {
  int64_t features = problem->features->features;
  problem->columns = is_pair(problem) ? 1 : problem->classes;
  if (!is_dense(problem)) {
    if (problem->columns > 1) problem->columns = round_up(problem->columns, 4);
    problem->chunk_rows = SPARSE_CHUNK;
  } else {
    problem->chunk_rows = round_up(blocks_of(problem->rows, DENSE_CHUNKS), BLOCK);
    if (problem->chunk_rows < SPARSE_CHUNK) problem->chunk_rows = SPARSE_CHUNK;
  }
  problem->chunks = blocks_of(problem->rows, problem->chunk_rows);
  problem->variables = round_up((features + 1) * problem->columns, 8);
  problem->partial_size = !with_gradient      ? 0
                          : is_dense(problem) ? (features + 1) * problem->columns
                                              : problem->columns;
}

/* The used rows again, by column, so that each feature's gradient is one sum
 * over its rows in order. */
static bool transpose(tx_logistic_problem *problem) {
  const tx_features *x = problem->features;
  size_t count = 0;
  for (int64_t i = 0; i < problem->rows; i++) {
    int64_t row = row_of(problem, i);
    count += (size_t)(x->starts[row + 1] - x->starts[row]);
  }
  size_t width = (size_t)x->features + 2;
  int64_t *start = tx_arena_array(problem->arena, width, sizeof *start);
  problem->column_row = tx_arena_array(problem->arena, count, sizeof *problem->column_row);
  problem->column_value = tx_arena_array(problem->arena, count, sizeof *problem->column_value);
  if (!start || !problem->column_row || !problem->column_value) return false;
  memset(start, 0, width * sizeof *start);
  for (int64_t i = 0; i < problem->rows; i++) {
    int64_t row = row_of(problem, i);
    for (int64_t j = x->starts[row]; j < x->starts[row + 1]; j++) start[x->columns[j] + 2]++;
  }
  for (int64_t f = 0; f < x->features; f++) start[f + 2] += start[f + 1];
  for (int64_t i = 0; i < problem->rows; i++) { /* start[f + 1] is where f's next entry goes */
    int64_t row = row_of(problem, i);
    for (int64_t j = x->starts[row]; j < x->starts[row + 1]; j++) {
      int64_t to = start[x->columns[j] + 1]++;
      problem->column_row[to] = (int32_t)i;
      problem->column_value[to] = x->values[j];
    }
  }
  problem->column_start = start;
  return true;
}

tx_status tx_logistic_problem_make(tx_logistic_problem *problem, const tx_features *features,
                                   const int32_t *labels, const uint8_t *marks, int classes,
                                   const double *class_weights,
                                   const int64_t *use, int64_t use_count, bool with_gradient,
                                   tx_error *error) {
  *problem = (tx_logistic_problem){.arithmetic = tx_doubles_get(),
                                   .features = features,
                                   .labels = labels,
                                   .marks = marks,
                                   .class_weights = class_weights,
                                   .use = use,
                                   .rows = use ? use_count : features->rows,
                                   .classes = classes};
  TX_TRY(check_problem(problem, error));
  uint64_t size;
  if (!tx_multiply((uint64_t)features->features + 1, (uint64_t)classes + 4, &size) ||
      size > INT_MAX - 16) {
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "%lld features times %d labels are more weights than logistic regression can "
                   "hold; use fewer features",
                   (long long)features->features, classes);
  }
  shape_problem(problem, with_gradient);
  size_t rows = (size_t)problem->rows, columns = (size_t)problem->columns;
  size_t chunks = (size_t)problem->chunks, partials = chunks * (size_t)problem->partial_size;
  size_t blocks = (size_t)blocks_of(problem->variables, VARIABLE_BLOCK);
  problem->arena = tx_arena_new();
  bool ready = problem->arena;
  if (ready) {
    problem->residuals = tx_arena_array(problem->arena, rows * columns, sizeof(double));
    problem->partials = tx_arena_array(problem->arena, partials, sizeof(double));
    problem->losses = tx_arena_array(problem->arena, chunks, sizeof(double));
    problem->squares = tx_arena_array(problem->arena, blocks, sizeof(double));
    ready = problem->residuals && problem->partials && problem->losses && problem->squares &&
            (is_dense(problem) || !with_gradient || transpose(problem));
  }
  if (ready) return TX_OK;
  tx_logistic_problem_free(problem);
  return tx_fail_memory(error, (rows * columns + partials) * sizeof(double), "logistic regression");
}

void tx_logistic_problem_free(tx_logistic_problem *problem) {
  tx_arena_free(problem->arena);
  problem->arena = NULL;
}

/* ---- likelihood -------------------------------------------------------- */

typedef struct pass {
  tx_logistic_problem *problem;
  const double *variables;
  double penalty;   /* on the variables, not on the weights */
  double *gradient; /* or NULL */
} pass;

static double row_weight(const tx_logistic_problem *problem, int32_t label) {
  double weight = problem->class_weights ? problem->class_weights[label] : 1;
  return weight / (double)problem->rows;
}

/* Scores of the difference between two classes become residuals; returns the loss. */
static double two_class_residuals(const tx_logistic_problem *problem, const int32_t *labels,
                                  int count, double *scores) {
  double shrunk[BLOCK], sum[BLOCK], logarithm[BLOCK], loss = 0;
  for (int i = 0; i < count; i++) shrunk[i] = -fabs(scores[i]);
  problem->arithmetic->exp(shrunk, count);
  for (int i = 0; i < count; i++) logarithm[i] = sum[i] = 1 + shrunk[i];
  problem->arithmetic->log(logarithm, count);
  for (int i = 0; i < count; i++) {
    double weight = row_weight(problem, labels[i]), score = scores[i];
    double against = labels[i] ? -score : score;
    loss += weight * (logarithm[i] + (against < 0 ? 0 : against)); /* NaN passes */
    scores[i] = weight * ((score < 0 ? shrunk[i] : 1) / sum[i] - labels[i]);
  }
  return loss;
}

static double many_class_residuals(const tx_logistic_problem *problem, const int32_t *labels,
                                   int count, double *scores) {
  double sum[BLOCK], behind[BLOCK], logarithm[BLOCK], loss = 0;
  int64_t columns = problem->columns;
  for (int i = 0; i < count; i++) {
    double *row = scores + i * columns;
    double top = row[0];
    for (int c = 1; c < problem->classes; c++) top = row[c] > top ? row[c] : top;
    behind[i] = top - row[labels[i]];
    for (int c = 0; c < problem->classes; c++) row[c] -= top;
  }
  problem->arithmetic->exp(scores, count * columns);
  for (int i = 0; i < count; i++) {
    sum[i] = 0;
    for (int c = 0; c < problem->classes; c++) sum[i] += scores[i * columns + c];
    logarithm[i] = sum[i];
  }
  problem->arithmetic->log(logarithm, count);
  for (int i = 0; i < count; i++) {
    double *row = scores + i * columns;
    double weight = row_weight(problem, labels[i]), scale = weight / sum[i];
    loss += weight * (logarithm[i] + behind[i]);
    for (int c = 0; c < problem->classes; c++) row[c] *= scale;
    for (int64_t c = problem->classes; c < columns; c++) row[c] = 0;
    row[labels[i]] -= weight;
  }
  return loss;
}

/* Every label for itself: each score becomes its own residual. */
static double marks_residuals(const tx_logistic_problem *problem, int64_t first, int count,
                              double *scores) {
  double shrunk[BLOCK], sum[BLOCK], logarithm[BLOCK], loss = 0;
  int64_t columns = problem->columns, classes = problem->classes;
  double weight = 1 / (double)problem->rows;
  for (int64_t c = 0; c < columns; c++) {
    for (int i = 0; i < count; i++) shrunk[i] = -fabs(scores[i * columns + c]);
    problem->arithmetic->exp(shrunk, count);
    for (int i = 0; i < count; i++) logarithm[i] = sum[i] = 1 + shrunk[i];
    problem->arithmetic->log(logarithm, count);
    for (int i = 0; i < count; i++) {
      double *score = scores + i * columns + c;
      if (c >= classes) {
        *score = 0;
        continue;
      }
      double holds = problem->marks[row_of(problem, first + i) * classes + c];
      double against = holds > 0 ? -*score : *score;
      loss += weight * (logarithm[i] + (against < 0 ? 0 : against)); /* NaN passes */
      *score = weight * ((*score < 0 ? shrunk[i] : 1) / sum[i] - holds);
    }
  }
  return loss;
}

/* `count` rows from `first` on: scores, then residuals in their place. */
static double block_residuals(const pass *p, int64_t first, int count, const float *const *rows) {
  const tx_logistic_problem *problem = p->problem;
  const tx_features *x = problem->features;
  int64_t columns = problem->columns;
  const double *bias = p->variables + x->features * columns;
  double *scores = problem->residuals + first * columns;
  int32_t labels[BLOCK];
  if (is_dense(problem)) {
    problem->arithmetic->scores(rows, count, x->features, p->variables, columns, scores);
  }
  for (int i = 0; i < count; i++) {
    int64_t row = row_of(problem, first + i);
    labels[i] = problem->marks ? 0 : problem->labels[row];
    if (!is_dense(problem)) {
      int64_t start = x->starts[row];
      problem->arithmetic->gather(x->columns + start, x->values + start, x->starts[row + 1] - start,
                                  p->variables, columns, scores + i * columns);
    }
    for (int64_t c = 0; c < columns; c++) scores[i * columns + c] += bias[c];
  }
  if (problem->marks) return marks_residuals(problem, first, count, scores);
  return problem->classes == 2 ? two_class_residuals(problem, labels, count, scores)
                               : many_class_residuals(problem, labels, count, scores);
}

static void rows_task(void *context, int64_t chunk, int worker) {
  (void)worker;
  const pass *p = context;
  tx_logistic_problem *problem = p->problem;
  int64_t columns = problem->columns, features = problem->features->features;
  int64_t first = chunk * problem->chunk_rows, end = first + problem->chunk_rows;
  if (end > problem->rows) end = problem->rows;
  double *partial = problem->partials + chunk * problem->partial_size;
  double *bias = partial + problem->partial_size - columns;
  if (p->gradient) memset(partial, 0, (size_t)problem->partial_size * sizeof *partial);
  double loss = 0;
  for (int64_t at = first; at < end; at += BLOCK) {
    int count = end - at < BLOCK ? (int)(end - at) : BLOCK;
    const float *rows[BLOCK] = {NULL};
    for (int i = 0; is_dense(problem) && i < count; i++) {
      rows[i] = problem->features->dense + row_of(problem, at + i) * features;
    }
    loss += block_residuals(p, at, count, rows);
    if (!p->gradient) continue;
    const double *residuals = problem->residuals + at * columns;
    for (int i = 0; i < count; i++) {
      for (int64_t c = 0; c < columns; c++) bias[c] += residuals[i * columns + c];
    }
    if (is_dense(problem)) {
      problem->arithmetic->gradient(rows, count, features, residuals, columns, partial);
    }
  }
  problem->losses[chunk] = loss;
}

/* ---- joining ----------------------------------------------------------- */

/* Chunks of all variables [from, end) are added in order. */
static void join_partials(const pass *p, int64_t from, int64_t end) {
  const tx_logistic_problem *problem = p->problem;
  memcpy(p->gradient + from, problem->partials + from, (size_t)(end - from) * sizeof(double));
  for (int64_t chunk = 1; chunk < problem->chunks; chunk++) {
    const double *partial = problem->partials + chunk * problem->partial_size;
    for (int64_t v = from; v < end; v++) p->gradient[v] += partial[v];
  }
}

static void gather_columns(const pass *p, int64_t from, int64_t end) {
  const tx_logistic_problem *problem = p->problem;
  for (int64_t f = from; f < end; f++) {
    int64_t start = problem->column_start[f], count = problem->column_start[f + 1] - start;
    problem->arithmetic->gather(problem->column_row + start, problem->column_value + start, count,
                                problem->residuals, problem->columns,
                                p->gradient + f * problem->columns);
  }
}

/* One block of the weights: its gradient with the penalty, and its squares.
 * A block holds whole features when sparse. */
static void weights_task(void *context, int64_t block, int worker) {
  (void)worker;
  const pass *p = context;
  tx_logistic_problem *problem = p->problem;
  int64_t step = is_dense(problem) ? 1 : problem->columns;
  int64_t size = blocks_of(VARIABLE_BLOCK, step), items = problem->features->features;
  if (is_dense(problem)) items *= problem->columns;
  int64_t from = block * size, end = from + size < items ? from + size : items;
  if (p->gradient && is_dense(problem)) join_partials(p, from, end);
  if (p->gradient && !is_dense(problem)) gather_columns(p, from, end);
  double squares = 0;
  for (int64_t v = from * step; v < end * step; v++) {
    squares += p->variables[v] * p->variables[v];
    if (p->gradient) p->gradient[v] += p->penalty * p->variables[v];
  }
  problem->squares[block] = squares;
}

static void bias_gradient(const pass *p, int64_t weights) {
  const tx_logistic_problem *problem = p->problem;
  double *gradient = p->gradient + weights;
  memset(gradient, 0, (size_t)(problem->variables - weights) * sizeof *gradient);
  for (int64_t chunk = 0; chunk < problem->chunks; chunk++) {
    const double *partial =
        problem->partials + (chunk + 1) * problem->partial_size - problem->columns;
    for (int64_t c = 0; c < problem->columns; c++) gradient[c] += partial[c];
  }
}

/* Starting threads costs more than a small problem takes. */
static void run(const pass *p, int64_t count, tx_task *task) {
  const tx_features *x = p->problem->features;
  int64_t values = x->dense ? p->problem->rows * x->features : x->starts[x->rows];
  if (values * p->problem->columns > 1 << 21) {
    tx_parallel(count, task, (void *)p);
  } else {
    for (int64_t i = 0; i < count; i++) task((void *)p, i, 0);
  }
}

double tx_logistic_objective(tx_logistic_problem *problem, const double *variables, double penalty,
                             double *gradient) {
  /* Of two classes with weights -v/2 and v/2 the squares add up to half of v's. */
  double on_variables = is_pair(problem) ? penalty / 2 : penalty;
  pass p = {problem, variables, on_variables, gradient};
  run(&p, problem->chunks, rows_task);
  double loss = 0, squares = 0;
  for (int64_t i = 0; i < problem->chunks; i++) loss += problem->losses[i];
  if (gradient || penalty > 0) {
    int64_t features = problem->features->features, weights = features * problem->columns;
    int64_t blocks = is_dense(problem)
                         ? blocks_of(weights, VARIABLE_BLOCK)
                         : blocks_of(features, blocks_of(VARIABLE_BLOCK, problem->columns));
    run(&p, blocks, weights_task);
    for (int64_t i = 0; i < blocks; i++) squares += problem->squares[i];
    if (gradient) bias_gradient(&p, weights);
  }
  return loss + on_variables / 2 * squares;
}

/* ---- variables and weights --------------------------------------------- */

void tx_logistic_pack(const tx_logistic_problem *problem, const double *weights, const double *bias,
                      double *variables) {
  int64_t features = problem->features->features, columns = problem->columns;
  memset(variables, 0, (size_t)problem->variables * sizeof *variables);
  for (int c = 0; c < problem->classes; c++) {
    double sign = !is_pair(problem) || c == 1 ? 1 : -1;
    int64_t column = is_pair(problem) ? 0 : c;
    for (int64_t f = 0; f < features; f++) {
      int64_t at = is_dense(problem) ? column * features + f : f * columns + column;
      variables[at] += sign * weights[c * features + f];
    }
    variables[features * columns + column] += sign * bias[c];
  }
}

void tx_logistic_unpack(const tx_logistic_problem *problem, const double *variables,
                        double *weights, double *bias) {
  int64_t features = problem->features->features, columns = problem->columns;
  for (int c = 0; c < problem->classes; c++) {
    double factor = !is_pair(problem) ? 1 : c == 1 ? 0.5 : -0.5;
    int64_t column = is_pair(problem) ? 0 : c;
    for (int64_t f = 0; f < features; f++) {
      int64_t at = is_dense(problem) ? column * features + f : f * columns + column;
      weights[c * features + f] = factor * variables[at];
    }
    bias[c] = factor * variables[features * columns + column];
  }
}
