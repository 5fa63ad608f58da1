/* The training loop. */
#include "adapt/fit.h"

#include <inttypes.h>
#include <math.h>

#include "base/clock.h"
#include "base/exact.h"
#include "base/random.h"
#include "base/watch.h"

double tx_schedule_factor(tx_schedule schedule, double warm_up, int64_t step, int64_t steps) {
  double rising = warm_up * (double)steps;
  if ((double)step < rising) return (double)(step + 1) / (rising + 1);
  if (schedule == TX_SCHEDULE_CONSTANT) return 1;
  double along = ((double)step - rising) / ((double)steps - rising);
  if (schedule == TX_SCHEDULE_LINEAR) return 1 - along;
  return 0.5 * (1 + tx_cos(3.14159265358979323846 * along));
}

typedef struct {
  const tx_learner *learner;
  tx_fit_options options;
  int64_t *order; /* (examples), shuffled or drawn anew each epoch */
  int64_t *by_label, *starts, *turns; /* of a balanced draw: (examples), (labels + 1), (labels) */
  int64_t label_count;
  int64_t steps_an_epoch, steps_in_all;
  tx_fit_state state;
  double last_loss;
  const tx_watch *watch;
  tx_error *error;
} fitting;

static double weight_of(const fitting *f, int64_t from, int64_t count) {
  double sum = 0;
  for (int64_t i = from; i < from + count; i++) {
    sum += f->learner->weight(f->learner->self, f->order[i]);
  }
  return sum;
}

static int64_t tokens_of(const fitting *f, int64_t from, int64_t count) {
  int64_t tokens = 0;
  for (int64_t i = from; i < from + count; i++) {
    tokens += f->learner->tokens(f->learner->self, f->order[i]);
  }
  return tokens;
}

/* ---- how an epoch is cut ------------------------------------------------ */

/* Where a part of a step that begins at `from` ends: so many examples, or, by tokens, as
 * many as the budget holds, one at least. */
static int64_t part_end(const fitting *f, int64_t from, int64_t to) {
  const tx_fit_options *o = &f->options;
  if (o->batch_tokens == 0) return to - from < o->batch ? to : from + o->batch;
  int64_t end = from, tokens = 0;
  while (end < to) {
    tokens += tokens_of(f, end, 1);
    if (end > from && tokens > o->batch_tokens) break;
    end++;
  }
  return end;
}

/* By tokens every epoch has as many steps, whatever its order: each takes its share of the
 * tokens that are left, and leaves one example at least for each that follows. */
static int64_t step_end(const fitting *f, int64_t from) {
  int64_t examples = f->learner->examples,
          stride = (int64_t)f->options.batch * f->options.accumulate;
  if (f->options.batch_tokens == 0) return examples - from < stride ? examples : from + stride;
  int64_t left = f->steps_an_epoch - f->state.step % f->steps_an_epoch;
  int64_t share = (tokens_of(f, from, examples - from) + left - 1) / left;
  int64_t end = from + 1, tokens = tokens_of(f, from, 1);
  while (end <= examples - left) {
    int64_t next = tokens_of(f, end, 1);
    if (left > 1 && tokens + next / 2 >= share) break;
    tokens += next;
    end++;
  }
  return end;
}

static int64_t count_steps(const fitting *f) {
  const tx_fit_options *o = &f->options;
  int64_t examples = f->learner->examples, stride = (int64_t)o->batch * o->accumulate;
  if (o->batch_tokens == 0) return (examples + stride - 1) / stride;
  int64_t tokens = 0, budget = o->batch_tokens * o->accumulate;
  for (int64_t i = 0; i < examples; i++) tokens += f->learner->tokens(f->learner->self, i);
  int64_t steps = (tokens + budget - 1) / budget;
  return steps < examples ? steps : examples;
}

/* ---- steps ------------------------------------------------------------- */

static const char *clip_advice(const fitting *f) {
  return f->options.clip > 0 ? "a smaller --clip" : "--clip 1";
}

/* One step over `count` examples of the order, in parts. */
static tx_status take_step(fitting *f, int64_t from, int64_t count, double *loss) {
  const tx_fit_options *o = &f->options;
  const tx_learner *l = f->learner;
  tx_parameters *set = l->parameters;
  double total = weight_of(f, from, count), begun = tx_seconds();
  double rate = o->learning_rate *
                tx_schedule_factor(o->schedule, o->warm_up, f->state.step, f->steps_in_all);
  *loss = 0;
  for (int64_t at = from, end; at < from + count; at = end) {
    end = part_end(f, at, from + count);
    TX_TRY(l->gradient(l->self, f->order + at, end - at, total, loss, f->error));
  }
  if (l->finish) l->finish(l->self);
  double norm = tx_parameters_gradient_norm(set, l->kernels);
  if (!isfinite(*loss) || !isfinite(norm)) {
    return tx_fail(
        f->error, TX_ERROR_INPUT,
        "the loss is %g and the gradient's norm %g at step %" PRId64
        " (epoch %" PRId64 "), learning rate %g; no weight was changed by it: try a smaller --lr, "
        "more --warm-up or %s",
        fabs(*loss), fabs(norm), f->state.step + 1, f->state.epoch, rate, clip_advice(f));
  }
  double scale = o->clip > 0 && norm > o->clip ? o->clip / (norm + 1e-6) : 1;
  tx_parameters_step(set, l->kernels, rate, o->weight_decay, scale);
  if (o->average > 0) tx_parameters_average(set, o->average);
  f->state.step++;
  if (!o->log) return TX_OK;
  tx_fit_step told = {.step = f->state.step,
                      .epoch = f->state.epoch,
                      .loss = *loss,
                      .learning_rate = rate,
                      .gradient_norm = norm,
                      .seconds = tx_seconds() - begun,
                      .tokens = tokens_of(f, from, count),
                      .count = count,
                      .examples = f->order + from};
  return o->log->step(o->log->context, &told, f->error);
}

/* As many examples as there are: the labels take turns in an order of chance, and each
 * time one of the label's examples is drawn.  `by_label` and `starts` sort them. */
static void draw_balanced(fitting *f, tx_random *random) {
  int64_t labels = 0, examples = f->learner->examples;
  for (int64_t label = 0; label < f->label_count; label++) { /* those that have one */
    if (f->starts[label + 1] > f->starts[label]) f->turns[labels++] = label;
  }
  for (int64_t i = 0; i < examples; i++) {
    if (i % labels == 0) tx_random_shuffle(random, f->turns, (size_t)labels);
    int64_t label = f->turns[i % labels], from = f->starts[label];
    uint64_t count = (uint64_t)(f->starts[label + 1] - from);
    f->order[i] = f->by_label[from + (int64_t)tx_random_below(random, count)];
  }
}

static void draw_order(fitting *f) {
  if (f->options.balanced) {
    draw_balanced(f, &f->state.random);
  } else {
    tx_random_shuffle(&f->state.random, f->order, (size_t)f->learner->examples);
  }
  f->state.at = 0, f->state.losses = 0;
}

static tx_status save(fitting *f) {
  return tx_checkpoint_save(f->options.checkpoint, f->learner->parameters, &f->state, f->order,
                            f->learner->examples, f->error);
}

/* A run that is stopped by its user goes on from here later. */
static tx_status check_stop(fitting *f) {
  tx_status status = tx_watch_check(f->watch, f->error);
  if (status != TX_OK) {
    (void)tx_checkpoint_save(f->options.checkpoint, f->learner->parameters, &f->state, f->order,
                             f->learner->examples, NULL);
  }
  return status;
}

/* What is left of the state's epoch. */
static tx_status run_epoch(fitting *f) {
  int64_t examples = f->learner->examples;
  tx_fit_state *state = &f->state;
  while (state->at < examples && state->step < f->steps_in_all) {
    double loss;
    int64_t end = step_end(f, state->at);
    TX_TRY(check_stop(f));
    TX_TRY(take_step(f, state->at, end - state->at, &loss));
    state->losses += loss;
    state->at = end;
    tx_watch_report(f->watch, "train", state->step, f->steps_in_all, "steps");
    if (end == examples || state->step == f->steps_in_all) return save(f); /* judging takes long */
    TX_TRY(tx_checkpoint_pass(f->options.checkpoint, f->learner->parameters, state, f->order,
                              examples, f->error));
  }
  return TX_OK;
}

/* Of the epoch's steps. */
static double mean_loss(const fitting *f) {
  const tx_fit_state *state = &f->state;
  return state->losses / (double)(state->step - (state->epoch - 1) * f->steps_an_epoch);
}

/* The validation loss; one that is no number would let no epoch be the best. */
static tx_status judge(fitting *f, double *loss, double *accuracy) {
  TX_TRY(f->learner->judge(f->learner->self, loss, accuracy, f->watch, f->error));
  if (isfinite(*loss)) return TX_OK;
  if (f->state.step == 0) {
    return tx_fail(f->error, TX_ERROR_INPUT,
                   "the validation loss is %g before the first step; a weight of the model or a "
                   "text gives no number: try another model, or the texts in parts",
                   fabs(*loss));
  }
  return tx_fail(f->error, TX_ERROR_INPUT,
                 "the validation loss is %g after step %" PRId64
                 " (epoch %" PRId64 "), learning rate up to %g: try a smaller --lr, more --warm-up "
                 "or %s",
                 fabs(*loss), f->state.step, f->state.epoch, f->options.learning_rate,
                 clip_advice(f));
}

static tx_status tell_epoch(const fitting *f, int64_t epoch, double training, double validation,
                            double accuracy) {
  const tx_fit_log *log = f->options.log;
  if (epoch == 0) {
    tx_watch_note(f->watch, "epoch 0: validation loss %.4f, accuracy %.4f", validation, accuracy);
  } else {
    tx_watch_note(f->watch,
                  "epoch %" PRId64 ": training loss %.4f, validation loss %.4f, accuracy %.4f",
                  epoch, training, validation, accuracy);
  }
  if (!log) return TX_OK;
  return log->epoch(log->context, f->state.step, epoch, training, validation, accuracy, f->error);
}

/* From the parameters as they are; or from where a run that is resumed was. */
static tx_status start(fitting *f) {
  tx_parameters *set = f->learner->parameters;
  const tx_fit_log *log = f->options.log;
  double accuracy;
  bool resumed;
  if (f->learner->finish) f->learner->finish(f->learner->self);
  tx_parameters_clear(set); /* a fit before this one may have failed within a step */
  TX_TRY(tx_checkpoint_take(f->options.checkpoint, set, &f->state, f->order, f->learner->examples,
                            &resumed, f->error));
  if (resumed) {
    tx_watch_note(f->watch, "resumed after step %" PRId64 " of %" PRId64, f->state.step,
                  f->steps_in_all);
    return log ? log->start(log->context, f->state.step, f->state.epoch, f->error) : TX_OK;
  }
  if (log) TX_TRY(log->start(log->context, -1, 1, f->error));
  f->state = (tx_fit_state){.epoch = 1, .random = tx_random_seed(f->options.seed)};
  if (f->options.average > 0) tx_parameters_average_start(set);
  TX_TRY(judge(f, &f->state.best_loss, &accuracy));
  TX_TRY(tell_epoch(f, 0, 0, f->state.best_loss, accuracy));
  tx_parameters_keep(set);
  draw_order(f);
  return save(f);
}

/* The epoch's end: whether its parameters are the best so far.  What is judged and
 * kept is their average, where they are averaged. */
static tx_status judge_epoch(fitting *f) {
  tx_parameters *set = f->learner->parameters;
  bool averaged = f->options.average > 0;
  double loss, accuracy;
  if (averaged) tx_parameters_average_swap(set);
  TX_TRY(judge(f, &loss, &accuracy));
  TX_TRY(tell_epoch(f, f->state.epoch, mean_loss(f), loss, accuracy));
  f->last_loss = loss;
  if (loss < f->state.best_loss) {
    f->state.best_loss = loss;
    f->state.best_epoch = f->state.epoch;
    tx_parameters_keep(set);
  }
  if (averaged) tx_parameters_average_swap(set);
  return TX_OK;
}

static bool is_over(const fitting *f) {
  int64_t last = f->state.epoch - 1, without = last - f->state.best_epoch;
  if (f->state.at > 0) return false; /* resumed within an epoch, or before it was judged */
  if (f->state.step >= f->steps_in_all) return true;
  return last >= f->options.epochs || (f->options.patience > 0 && without >= f->options.patience);
}

static tx_status run(fitting *f, tx_fit_report *report) {
  tx_parameters *set = f->learner->parameters;
  TX_TRY(start(f));
  while (!is_over(f)) {
    TX_TRY(run_epoch(f));
    TX_TRY(judge_epoch(f));
    f->state.epoch++;
    draw_order(f);
    TX_TRY(save(f));
  }
  *report = (tx_fit_report){.epochs = (int)(f->state.epoch - 1),
                            .best_epoch = (int)f->state.best_epoch,
                            .best_loss = f->state.best_loss,
                            .last_loss = f->last_loss};
  tx_parameters_restore(set);
  return TX_OK;
}

static void sort_by_label(fitting *f, const int32_t *labels, int64_t most) {
  int64_t examples = f->learner->examples;
  f->label_count = most + 1;
  f->by_label = f->order + examples, f->starts = f->by_label + examples;
  f->turns = f->starts + most + 2;
  for (int64_t label = 0; label <= most + 1; label++) f->starts[label] = 0;
  for (int64_t i = 0; i < examples; i++) f->starts[labels[i] + 1]++;
  for (int64_t label = 0; label <= most; label++) f->starts[label + 1] += f->starts[label];
  for (int64_t i = examples - 1; i >= 0; i--) { /* each label's end moves down to its start */
    f->by_label[--f->starts[labels[i] + 1]] = i;
  }
  for (int64_t label = 0; label <= most; label++) f->starts[label] = f->starts[label + 1];
  f->starts[most + 1] = examples;
}

tx_status tx_fit(const tx_learner *learner, tx_fit_options options, tx_fit_report *report,
                 const tx_watch *watch, tx_error *error) {
  fitting f = {.learner = learner, .options = options, .watch = watch, .error = error};
  int64_t most = -1, examples = learner->examples;
  f.options.balanced = options.balanced && learner->labels;
  f.steps_an_epoch = count_steps(&f);
  f.steps_in_all = options.epochs * f.steps_an_epoch;
  if (options.max_steps > 0 && options.max_steps < f.steps_in_all) {
    f.steps_in_all = options.max_steps;
  }
  *report = (tx_fit_report){0};
  for (int64_t i = 0; f.options.balanced && i < examples; i++) {
    most = learner->labels[i] > most ? learner->labels[i] : most;
  }
  f.order = tx_alloc_array((size_t)(2 * examples + 2 * (most + 2)), sizeof *f.order);
  if (!f.order) return tx_fail_memory(error, (uint64_t)examples * 16, "the order of examples");
  for (int64_t i = 0; i < examples; i++) f.order[i] = i;
  if (f.options.balanced) sort_by_label(&f, learner->labels, most);
  tx_status status = run(&f, report);
  tx_free(f.order);
  return status;
}
