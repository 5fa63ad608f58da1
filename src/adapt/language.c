/* From the trained blocks to the loss over the vocabulary, and back. */
#include "adapt/language.h"

#include <string.h>

#include "adapt/loss.h"
#include "base/exact.h"
#include "base/parallel.h"
#include "base/watch.h"
#include "kernels/product.h"

/* Rows of logits at a time: V floats each. */
enum { LOGIT_ROWS = 96 };

struct tx_language {
  tx_stack stack;
  int64_t vocabulary, width;
  /* The matrix of the logits in both packed forms; of one that is trained made anew for
   * each call, of another once. */
  float *panels, *transposed;
  uint64_t panels_bytes, transposed_bytes;
  /* (V, C): where the logits' gradient is summed over the parts of a step.  Of a tied matrix
   * it is apart from the embeddings' until the step is whole, or parts would mix the two. */
  float *doutput;
  uint64_t apart_bytes; /* of `doutput` where it is apart; else 0 */
};

/* ---- making ------------------------------------------------------------ */

static void pack_vocabulary(tx_language *l, const float *values) {
  tx_pack(values, 1, l->width, l->width, l->vocabulary, l->panels);
  tx_pack(values, l->width, 1, l->vocabulary, l->width, l->transposed);
}

static tx_status place_gradient(tx_language *l, tx_error *error) {
  const tx_trained *t = &l->stack.trained;
  l->doutput = t->output->gradient;
  if (t->output != t->tokens) return TX_OK;
  l->apart_bytes = (uint64_t)(l->vocabulary * l->width) * sizeof(float);
  l->doutput = tx_pages_alloc(l->apart_bytes);
  if (!l->doutput) return tx_fail_memory(error, l->apart_bytes, "the vocabulary's gradient");
  memset(l->doutput, 0, l->apart_bytes);
  return TX_OK;
}

static tx_status take_vocabulary(tx_language *l, const tx_model *model, tx_error *error) {
  l->panels_bytes = tx_packed_size(l->width, l->vocabulary) * sizeof(float);
  l->transposed_bytes = tx_packed_size(l->vocabulary, l->width) * sizeof(float);
  l->panels = tx_pages_alloc(l->panels_bytes);
  l->transposed = tx_pages_alloc(l->transposed_bytes);
  if (!l->panels || !l->transposed) {
    return tx_fail_memory(error, l->panels_bytes, "the vocabulary's matrix");
  }
  if (l->stack.trained.output) return place_gradient(l, error);
  float *values = tx_alloc_array((size_t)(l->vocabulary * l->width), sizeof *values);
  if (!values) return tx_fail_memory(error, l->panels_bytes, "the vocabulary's matrix");
  tx_status status = tx_model_read_output(model, values, error);
  if (status == TX_OK) pack_vocabulary(l, values);
  tx_free(values);
  return status;
}

tx_status tx_language_new(const tx_model *model, tx_language_options options,
                          tx_language **language, tx_error *error) {
  *language = NULL;
  tx_language *made = tx_alloc_zero(1, sizeof *made);
  if (!made) return tx_fail_memory(error, sizeof *made, "the trained blocks");
  const tx_facts *facts = tx_model_facts(model);
  tx_trained_options trained = {.depth = facts->blocks,
                                .blocks = options.blocks,
                                .part = options.part,
                                .adapter = options.adapter,
                                .vocabulary = options.part == TX_TRAINED_MODEL,
                                .positions = options.positions,
                                .layer_decay = options.layer_decay,
                                .averaged = options.averaged,
                                .packed = options.packed};
  made->stack.activation_bytes = options.activation_bytes;
  made->vocabulary = facts->vocabulary, made->width = facts->width;
  tx_status status = tx_trained_new(model, trained, &made->stack.trained, error);
  if (status == TX_OK) status = take_vocabulary(made, model, error);
  if (status == TX_OK) {
    *language = made;
  } else {
    tx_language_free(made);
  }
  return status;
}

void tx_language_free(tx_language *language) {
  if (!language) return;
  tx_trained_free(&language->stack.trained);
  if (language->panels) tx_pages_free(language->panels, language->panels_bytes);
  if (language->apart_bytes && language->doutput) {
    tx_pages_free(language->doutput, language->apart_bytes);
  }
  if (language->transposed) tx_pages_free(language->transposed, language->transposed_bytes);
  tx_free(language);
}

tx_parameters *tx_language_parameters(tx_language *language) {
  return &language->stack.trained.parameters;
}

/* Before logits are computed under the parameters as they are now. */
static void ready(tx_language *l) {
  if (l->stack.trained.output) pack_vocabulary(l, l->stack.trained.output->value);
}

/* ---- forward ----------------------------------------------------------- */

/* One batch up to the rows from which a token is to be written, in the pass's arena. */
typedef struct {
  tx_stack_run run;
  int32_t *target;       /* (R): the token that comes next */
  float *normed;         /* (R, C) */
  float *mean, *inverse; /* (R), of the norm */
  double *nll;           /* (R) */
  uint8_t *right;        /* (R): the target has the highest logit */
} rows;

static float *take(tx_pass *pass, int64_t count, bool *failed) {
  float *floats = tx_arena_array(pass->arena, (size_t)count, sizeof(float));
  if (!floats) *failed = true;
  return floats;
}

static int64_t count_written(const tx_written *texts, int64_t text) {
  int64_t count = 0;
  for (int64_t i = texts->states->offsets[text]; i < texts->states->offsets[text + 1]; i++) {
    count += texts->written[i];
  }
  return count;
}

/* The rows are the tokens before those that are to be written. */
static tx_status choose_rows(tx_pass *pass, const tx_written *texts, tx_choice choice, int64_t from,
                             int64_t count, rows *r, tx_error *error) {
  tx_stack_run *run = &r->run;
  int64_t total = 0, at = 0;
  for (int64_t i = 0; i < count; i++) {
    total += count_written(texts, tx_choice_text(choice, from + i));
  }
  int64_t *tokens = tx_arena_array(pass->arena, (size_t)total, sizeof *tokens);
  int64_t *offsets = tx_arena_array(pass->arena, (size_t)count + 1, sizeof *offsets);
  r->target = tx_arena_array(pass->arena, (size_t)total, sizeof *r->target);
  r->nll = tx_arena_array(pass->arena, (size_t)total, sizeof *r->nll);
  r->right = tx_arena_array(pass->arena, (size_t)total, sizeof *r->right);
  if (!tokens || !offsets || !r->target || !r->nll || !r->right) {
    return tx_fail_memory(error, (uint64_t)total * 29, "a step");
  }
  for (int64_t i = 0; i < count; i++) {
    int64_t first = texts->states->offsets[tx_choice_text(choice, from + i)];
    offsets[i] = at;
    for (int64_t token = run->batch.offsets[i] + 1; token < run->batch.offsets[i + 1]; token++) {
      int64_t in_texts = first + token - run->batch.offsets[i];
      if (!texts->written[in_texts]) continue;
      tokens[at] = token - 1, r->target[at++] = texts->ids[in_texts];
    }
  }
  offsets[count] = at;
  run->wanted = (tx_wanted){at, tokens, offsets};
  return TX_OK;
}

static tx_status forward(tx_language *l, tx_pass *pass, const tx_written *texts, tx_choice choice,
                         int64_t from, int64_t count, bool gradient, rows *r, tx_error *error) {
  bool failed = false;
  TX_TRY(tx_stack_gather(&l->stack, pass, texts->states, choice, from, count, &r->run, error));
  TX_TRY(choose_rows(pass, texts, choice, from, count, r, error));
  int64_t wanted = r->run.wanted.count;
  r->normed = take(pass, wanted * l->width, &failed);
  r->mean = take(pass, wanted, &failed), r->inverse = take(pass, wanted, &failed);
  if (failed) return tx_fail_memory(error, (uint64_t)(wanted * l->width) * 4, "a step");
  TX_TRY(tx_stack_forward(&l->stack, pass, gradient, &r->run, error));
  tx_norm_forward(pass, &l->stack.trained.norm, wanted, r->run.output, r->normed, r->mean,
                  r->inverse);
  return TX_OK;
}

/* ---- the loss ---------------------------------------------------------- */

typedef struct {
  const tx_kernels *kernels;
  const rows *r;
  const double *weight; /* (R), or NULL: the logits are not needed afterwards */
  int64_t first, vocabulary;
  float *logits; /* (rows of this part, V): become weight * (softmax - target) */
} row_work;

static void row_task(void *context, int64_t index, int worker) {
  (void)worker;
  const row_work *w = context;
  int64_t row = w->first + index;
  float *logits = w->logits + index * w->vocabulary, top = logits[0];
  int32_t target = w->r->target[row];
  double of_target = (double)logits[target];
  for (int64_t i = 1; i < w->vocabulary; i++) top = logits[i] > top ? logits[i] : top;
  float sum = w->kernels->softmax_exp(logits, w->vocabulary, 1);
  w->r->nll[row] = (double)top - of_target + tx_log((double)sum);
  w->r->right[row] = of_target >= (double)top;
  if (!w->weight) return;
  w->kernels->scale(logits, w->vocabulary, (float)(w->weight[row] / (double)sum));
  logits[target] -= (float)w->weight[row];
}

static void multiply(tx_pass *pass, const float *x, int64_t count, int64_t depth, int64_t columns,
                     const float *panels, float *y) {
  tx_product product = {.kernels = pass->kernels,
                        .rows = count,
                        .depth = depth,
                        .columns = columns,
                        .x = x,
                        .x_row = depth,
                        .x_step = 1,
                        .panels = panels,
                        .y = y,
                        .y_row = columns};
  tx_product_run(&product);
}

/* dW (V, C) += dlogits^T . normed, of `count` rows. */
static tx_status vocabulary_backward(tx_language *l, tx_pass *pass, const float *dlogits,
                                     const float *normed, int64_t count, tx_error *error) {
  uint64_t floats = tx_packed_size(count, l->width);
  float *panels = tx_arena_array(pass->arena, floats, sizeof(float));
  if (!panels) return tx_fail_memory(error, floats * sizeof(float), "the vocabulary's gradient");
  tx_pack(normed, l->width, 1, count, l->width, panels);
  tx_product product = {.kernels = pass->kernels,
                        .rows = l->vocabulary,
                        .depth = count,
                        .columns = l->width,
                        .x = dlogits,
                        .x_row = 1,
                        .x_step = l->vocabulary,
                        .panels = panels,
                        .accumulate = true,
                        .y = l->doutput,
                        .y_row = l->width};
  tx_product_run(&product);
  return TX_OK;
}

/* Each row's nll; and, with weights (R), the gradient of sum weight * nll at the normed
 * rows: dnormed (R, C). */
static tx_status sweep(tx_language *l, tx_pass *pass, const rows *r, const double *weight,
                       float *dnormed, tx_error *error) {
  int64_t total = r->run.wanted.count, width = l->width;
  tx_arena_mark mark = tx_arena_here(pass->arena);
  bool failed = false;
  float *logits = take(pass, (total < LOGIT_ROWS ? total : LOGIT_ROWS) * l->vocabulary, &failed);
  if (failed) return tx_fail_memory(error, (uint64_t)l->vocabulary * LOGIT_ROWS * 4, "logits");
  row_work work = {pass->kernels, r, weight, 0, l->vocabulary, logits};
  for (int64_t first = 0; first < total; first += LOGIT_ROWS) {
    int64_t count = total - first < LOGIT_ROWS ? total - first : LOGIT_ROWS;
    const float *normed = r->normed + first * width;
    multiply(pass, normed, count, width, l->vocabulary, l->panels, logits);
    work.first = first;
    tx_parallel(count, row_task, &work);
    if (!weight) continue;
    multiply(pass, logits, count, l->vocabulary, width, l->transposed, dnormed + first * width);
    if (l->stack.trained.output) {
      tx_arena_mark here = tx_arena_here(pass->arena);
      TX_TRY(vocabulary_backward(l, pass, logits, normed, count, error));
      tx_arena_release(pass->arena, here);
    }
  }
  tx_arena_release(pass->arena, mark);
  return TX_OK;
}

static tx_status backward(tx_language *l, tx_pass *pass, const rows *r, const double *weight,
                          tx_error *error) {
  tx_trained *t = &l->stack.trained;
  int64_t wanted = r->run.wanted.count;
  bool failed = false;
  float *dnormed = take(pass, wanted * l->width, &failed);
  float *dy = take(pass, wanted * l->width, &failed);
  if (failed) return tx_fail_memory(error, (uint64_t)(wanted * l->width) * 8, "a step's gradient");
  TX_TRY(sweep(l, pass, r, weight, dnormed, error));
  memset(dy, 0, (size_t)(wanted * l->width) * sizeof *dy);
  tx_norm_backward(pass, &t->norm, wanted, r->run.output, dnormed, r->mean, r->inverse, dy,
                   t->dnorm_weight, t->dnorm_bias);
  return tx_stack_backward(&l->stack, pass, &r->run, dy, NULL, error);
}

/* ---- likelihoods ------------------------------------------------------- */

/* Of text i of the batch. */
static double text_nll(const rows *r, int64_t i) {
  const tx_wanted *wanted = &r->run.wanted;
  double sum = 0;
  for (int64_t row = wanted->offsets[i]; row < wanted->offsets[i + 1]; row++) sum += r->nll[row];
  return sum;
}

static void tell(const rows *r, int64_t i, double *nll, int64_t *tokens, int64_t *right) {
  const tx_wanted *wanted = &r->run.wanted;
  int64_t met = 0;
  for (int64_t row = wanted->offsets[i]; row < wanted->offsets[i + 1]; row++) met += r->right[row];
  *nll = text_nll(r, i);
  if (tokens) *tokens = wanted->offsets[i + 1] - wanted->offsets[i];
  if (right) *right = met;
}

tx_status tx_language_nll(tx_language *l, tx_pass *pass, const tx_written *texts, tx_choice choice,
                          double *nll, int64_t *tokens, int64_t *right, const tx_watch *watch,
                          tx_error *error) {
  int64_t total = tx_choice_count(texts->states, choice);
  ready(l);
  for (int64_t from = 0, end; from < total; from = end) {
    rows r;
    end = tx_stack_part_end(texts->states, choice, from);
    TX_TRY(tx_watch_check(watch, error));
    TX_TRY(forward(l, pass, texts, choice, from, end - from, false, &r, error));
    TX_TRY(sweep(l, pass, &r, NULL, NULL, error));
    for (int64_t i = from; i < end; i++) {
      tell(&r, i - from, &nll[i], tokens ? &tokens[i] : NULL, right ? &right[i] : NULL);
    }
  }
  return TX_OK;
}

/* ---- either learner ---------------------------------------------------- */

static void finish(void *self) {
  tx_language *l = ((const tx_language_lesson *)self)->language;
  int64_t floats = l->vocabulary * l->width;
  if (!l->apart_bytes) return;
  tx_kernels_get()->add(l->stack.trained.output->gradient, l->doutput, floats);
  memset(l->doutput, 0, l->apart_bytes);
}

/* ---- texts as a learner ------------------------------------------------ */

static double text_weight(const void *self, int64_t example) {
  return (double)count_written(&((const tx_language_lesson *)self)->train, example);
}

static int64_t size_of(const tx_written *texts, int64_t text) {
  return texts->states->offsets[text + 1] - texts->states->offsets[text];
}

static int64_t text_tokens(const void *self, int64_t example) {
  return size_of(&((const tx_language_lesson *)self)->train, example);
}

static tx_status text_gradient(void *self, const int64_t *examples, int64_t count, double total,
                               double *loss, tx_error *error) {
  const tx_language_lesson *lesson = self;
  tx_language *l = lesson->language;
  tx_pass *pass = lesson->pass;
  rows r;
  ready(l);
  TX_TRY(forward(l, pass, &lesson->train, (tx_choice){examples, count}, 0, count, true, &r, error));
  int64_t wanted = r.run.wanted.count;
  double *weight = tx_arena_array(pass->arena, (size_t)wanted, sizeof *weight);
  if (!weight) return tx_fail_memory(error, (uint64_t)wanted * 8, "a step");
  for (int64_t row = 0; row < wanted; row++) weight[row] = 1 / total;
  TX_TRY(backward(l, pass, &r, weight, error));
  for (int64_t row = 0; row < wanted; row++) *loss += r.nll[row] / total;
  return TX_OK;
}

typedef struct {
  double *nll;
  int64_t *tokens, *right;
} judged;

static tx_status judge_texts(void *self, double *loss, double *accuracy, const tx_watch *watch,
                             tx_error *error) {
  const tx_language_lesson *lesson = self;
  const tx_written *texts = &lesson->held_out;
  int64_t count = texts->states->count, tokens = 0, right = 0;
  double *nll = tx_alloc_array((size_t)count * 3, sizeof *nll);
  if (!nll) return tx_fail_memory(error, (uint64_t)count * 24, "the losses");
  _Static_assert(sizeof(int64_t) == sizeof(double), "one array holds both");
  judged j = {nll, (int64_t *)(void *)(nll + count), (int64_t *)(void *)(nll + 2 * count)};
  tx_status status = tx_language_nll(lesson->language, lesson->pass, texts, (tx_choice){NULL, 0},
                                     j.nll, j.tokens, j.right, watch, error);
  *loss = 0;
  for (int64_t i = 0; status == TX_OK && i < count; i++) {
    *loss += j.nll[i], tokens += j.tokens[i], right += j.right[i];
  }
  tx_free(nll);
  if (status != TX_OK) return status;
  *loss /= (double)tokens, *accuracy = (double)right / (double)tokens;
  return TX_OK;
}

/* ---- pairs as a learner ------------------------------------------------ */

static double pair_weight(const void *self, int64_t example) {
  (void)self, (void)example;
  return 1;
}

static int64_t pair_tokens(const void *self, int64_t example) {
  const tx_written *texts = &((const tx_language_lesson *)self)->train;
  return size_of(texts, 2 * example) + size_of(texts, 2 * example + 1);
}

/* How much more the preferred text's likelihood has gained: the logit of a preference. */
static double margin(double beta, const double *nll, const double *start) {
  return beta * ((start[0] - nll[0]) - (start[1] - nll[1]));
}

/* d loss / d nll of the preferred text, and its negative of the other, over all rows. */
static void weigh_pairs(const tx_language_lesson *lesson, const int64_t *examples, int64_t count,
                        double total, const rows *r, double *weight, double *loss) {
  const tx_wanted *wanted = &r->run.wanted;
  for (int64_t i = 0; i < count; i++) {
    double nll[2] = {text_nll(r, 2 * i), text_nll(r, 2 * i + 1)};
    double x = margin(lesson->beta, nll, lesson->start + 2 * examples[i]);
    double slope = lesson->beta * tx_sigmoid(-x) / total;
    *loss += tx_logistic_loss(x) / total;
    for (int64_t row = wanted->offsets[2 * i]; row < wanted->offsets[2 * i + 2]; row++) {
      weight[row] = row < wanted->offsets[2 * i + 1] ? slope : -slope;
    }
  }
}

static tx_status pair_gradient(void *self, const int64_t *examples, int64_t count, double total,
                               double *loss, tx_error *error) {
  const tx_language_lesson *lesson = self;
  tx_language *l = lesson->language;
  tx_pass *pass = lesson->pass;
  rows r;
  int64_t *texts = tx_alloc_array((size_t)count * 2, sizeof *texts);
  if (!texts) return tx_fail_memory(error, (uint64_t)count * 16, "a step");
  for (int64_t i = 0; i < 2 * count; i++) texts[i] = 2 * examples[i / 2] + i % 2;
  ready(l);
  tx_choice choice = {texts, 2 * count};
  tx_status status =
      forward(l, pass, &lesson->train, choice, 0, 2 * count, true, &r, error);
  tx_free(texts);
  TX_TRY(status);
  size_t wanted = (size_t)r.run.wanted.count;
  double *weight = tx_arena_array(pass->arena, wanted, sizeof *weight);
  if (!weight) return tx_fail_memory(error, wanted * 8, "a step");
  TX_TRY(sweep(l, pass, &r, NULL, NULL, error));
  weigh_pairs(lesson, examples, count, total, &r, weight, loss);
  return backward(l, pass, &r, weight, error);
}

static tx_status judge_pairs(void *self, double *loss, double *accuracy, const tx_watch *watch,
                             tx_error *error) {
  const tx_language_lesson *lesson = self;
  const tx_written *texts = &lesson->held_out;
  int64_t pairs = texts->states->count / 2, right = 0;
  double *nll = tx_alloc_array((size_t)pairs * 2, sizeof *nll);
  if (!nll) return tx_fail_memory(error, (uint64_t)pairs * 16, "the losses");
  tx_status status = tx_language_nll(lesson->language, lesson->pass, texts, (tx_choice){NULL, 0},
                                     nll, NULL, NULL, watch, error);
  *loss = 0;
  for (int64_t i = 0; status == TX_OK && i < pairs; i++) {
    double x = margin(lesson->beta, nll + 2 * i, lesson->held_out_start + 2 * i);
    *loss += tx_logistic_loss(x) / (double)pairs;
    right += x > 0;
  }
  *accuracy = (double)right / (double)pairs;
  tx_free(nll);
  return status;
}

tx_learner tx_language_learner(tx_language_lesson *lesson) {
  int64_t texts = lesson->train.states->count;
  return (tx_learner){.self = lesson,
                      .parameters = tx_language_parameters(lesson->language),
                      .kernels = lesson->pass->kernels,
                      .examples = lesson->pairs ? texts / 2 : texts,
                      .weight = lesson->pairs ? pair_weight : text_weight,
                      .tokens = lesson->pairs ? pair_tokens : text_tokens,
                      .gradient = lesson->pairs ? pair_gradient : text_gradient,
                      .finish = finish,
                      .judge = lesson->pairs ? judge_pairs : judge_texts};
}
