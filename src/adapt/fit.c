/* The training loop. */
#include "adapt/fit.h"

#include <inttypes.h>
#include <math.h>

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
  tx_tail *tail;
  tx_pass *pass;
  const tx_states *train;
  const int32_t *labels;
  tx_fit_options options;
  int64_t *order; /* (texts), shuffled or drawn anew each epoch */
  int64_t *by_label, *starts, *turns; /* of a balanced draw: (texts), (labels + 1), (labels) */
  int64_t label_count;
  int64_t steps_in_all;
  tx_fit_state state;
  double last_loss;
  const tx_watch *watch;
  tx_error *error;
} fitting;

static double weight_of(const fitting *f, int64_t from, int64_t count) {
  if (!f->options.class_weights) return (double)count;
  double sum = 0;
  for (int64_t i = from; i < from + count; i++) {
    sum += f->options.class_weights[f->labels[f->order[i]]];
  }
  return sum;
}

static int64_t tokens_of(const fitting *f, int64_t from, int64_t count) {
  int64_t tokens = 0;
  for (int64_t i = from; i < from + count; i++) {
    tokens += f->train->offsets[f->order[i] + 1] - f->train->offsets[f->order[i]];
  }
  return tokens;
}

static const char *clip_advice(const fitting *f) {
  return f->options.clip > 0 ? "a smaller --clip" : "--clip 1";
}

/* One step over `count` texts of the order, `batch` at a time. */
static tx_status take_step(fitting *f, int64_t from, int64_t count, double *loss) {
  const tx_fit_options *o = &f->options;
  tx_parameters *set = tx_tail_parameters(f->tail);
  double total = weight_of(f, from, count);
  double rate =
      o->learning_rate * tx_schedule_factor(o->schedule, o->warm_up, f->state.step, f->steps_in_all);
  *loss = 0;
  for (int64_t at = from; at < from + count; at += o->batch) {
    int64_t left = from + count - at;
    tx_choice choice = {f->order + at, left < o->batch ? left : o->batch};
    TX_TRY(tx_tail_gradient(f->tail, f->pass, f->train, choice, f->labels, o->class_weights, total,
                            loss, NULL, f->error));
  }
  double norm = tx_parameters_gradient_norm(set, f->pass->kernels);
  if (!isfinite(*loss) || !isfinite(norm)) {
    return tx_fail(
        f->error, TX_ERROR_INPUT,
        "the loss is %g and the gradient's norm %g at step %" PRId64
        " (epoch %" PRId64 "), learning rate %g; no weight was changed by it: try a smaller --lr, "
        "more --warm-up or %s",
        fabs(*loss), fabs(norm), f->state.step + 1, f->state.epoch, rate, clip_advice(f));
  }
  double scale = o->clip > 0 && norm > o->clip ? o->clip / (norm + 1e-6) : 1;
  tx_parameters_step(set, f->pass->kernels, rate, o->weight_decay, scale);
  if (o->average > 0) tx_parameters_average(set, o->average);
  f->state.step++;
  if (!o->log) return TX_OK;
  return o->log->step(o->log->context, f->state.step, f->state.epoch, *loss, rate, norm,
                      tokens_of(f, from, count), f->error);
}

/* As many texts as there are: the labels take turns in an order of chance, and each
 * time one of the label's texts is drawn.  `by_label` and `starts` sort the texts. */
static void draw_balanced(fitting *f, tx_random *random) {
  int64_t labels = 0, texts = f->train->count;
  for (int64_t label = 0; label < f->label_count; label++) { /* those that have a text */
    if (f->starts[label + 1] > f->starts[label]) f->turns[labels++] = label;
  }
  for (int64_t i = 0; i < texts; i++) {
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
    tx_random_shuffle(&f->state.random, f->order, (size_t)f->train->count);
  }
  f->state.at = 0, f->state.losses = 0;
}

static tx_status save(fitting *f) {
  return tx_checkpoint_save(f->options.checkpoint, tx_tail_parameters(f->tail), &f->state, f->order,
                            f->train->count, f->error);
}

/* A run that is stopped by its user goes on from here later. */
static tx_status check_stop(fitting *f) {
  tx_status status = tx_watch_check(f->watch, f->error);
  if (status != TX_OK) {
    (void)tx_checkpoint_save(f->options.checkpoint, tx_tail_parameters(f->tail), &f->state, f->order,
                             f->train->count, NULL);
  }
  return status;
}

/* What is left of the state's epoch. */
static tx_status run_epoch(fitting *f, double *mean_loss) {
  int64_t texts = f->train->count, stride = (int64_t)f->options.batch * f->options.accumulate;
  tx_fit_state *state = &f->state;
  while (state->at < texts && state->step < f->steps_in_all) {
    double loss;
    int64_t count = texts - state->at < stride ? texts - state->at : stride;
    TX_TRY(check_stop(f));
    TX_TRY(take_step(f, state->at, count, &loss));
    state->losses += loss;
    state->at += count;
    tx_watch_report(f->watch, "train", state->step, f->steps_in_all, "steps");
    if (state->at == texts || state->step == f->steps_in_all) break; /* it is written once it is judged */
    TX_TRY(tx_checkpoint_pass(f->options.checkpoint, tx_tail_parameters(f->tail), state, f->order,
                              texts, f->error));
  }
  *mean_loss = state->losses / (double)((state->at + stride - 1) / stride);
  return TX_OK;
}

/* The validation loss; one that is no number would let no epoch be the best. */
static tx_status judge(fitting *f, const tx_states *validation, const int32_t *labels, double *loss,
                       double *accuracy) {
  int64_t correct;
  tx_choice all = {NULL, 0};
  TX_TRY(tx_tail_loss(f->tail, f->pass, validation, all, labels, NULL, loss, &correct, f->watch,
                      f->error));
  *accuracy = (double)correct / (double)validation->count;
  if (isfinite(*loss)) return TX_OK;
  if (f->state.step == 0) {
    return tx_fail(f->error, TX_ERROR_INPUT,
                   "the validation loss is %g before the first step; a weight of the model or a "
                   "text gives no number: try another model, or the texts in parts",
                   fabs(*loss));
  }
  return tx_fail(f->error, TX_ERROR_INPUT,
                 "the validation loss is %g after step %" PRId64
                 " (epoch %" PRId64 "), learning rate up to %g: try a smaller --lr, more --warm-up or %s",
                 fabs(*loss), f->state.step, f->state.epoch, f->options.learning_rate, clip_advice(f));
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
static tx_status start(fitting *f, const tx_states *validation, const int32_t *validation_labels) {
  tx_parameters *set = tx_tail_parameters(f->tail);
  const tx_fit_log *log = f->options.log;
  double accuracy;
  bool resumed;
  tx_parameters_clear(set); /* a fit before this one may have failed within a step */
  TX_TRY(tx_checkpoint_take(f->options.checkpoint, set, &f->state, f->order, f->train->count,
                            &resumed, f->error));
  if (resumed) {
    tx_watch_note(f->watch, "resumed after step %" PRId64 " of %" PRId64, f->state.step,
                  f->steps_in_all);
    return log ? log->start(log->context, f->state.step, f->error) : TX_OK;
  }
  if (log) TX_TRY(log->start(log->context, 0, f->error));
  f->state = (tx_fit_state){.epoch = 1, .random = tx_random_seed(f->options.seed)};
  if (f->options.average > 0) tx_parameters_average_start(set);
  TX_TRY(judge(f, validation, validation_labels, &f->state.best_loss, &accuracy));
  TX_TRY(tell_epoch(f, 0, 0, f->state.best_loss, accuracy));
  tx_parameters_keep(set);
  draw_order(f);
  return save(f);
}

/* The epoch's end: whether its parameters are the best so far.  What is judged and
 * kept is their average, where they are averaged. */
static tx_status judge_epoch(fitting *f, const tx_states *validation,
                             const int32_t *validation_labels, double training_loss) {
  tx_parameters *set = tx_tail_parameters(f->tail);
  bool averaged = f->options.average > 0;
  double loss, accuracy;
  if (averaged) tx_parameters_average_swap(set);
  TX_TRY(judge(f, validation, validation_labels, &loss, &accuracy));
  TX_TRY(tell_epoch(f, f->state.epoch, training_loss, loss, accuracy));
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
  if (f->state.step >= f->steps_in_all) return true;
  return last >= f->options.epochs || (f->options.patience > 0 && without >= f->options.patience);
}

static tx_status run(fitting *f, const tx_states *validation, const int32_t *validation_labels,
                     tx_fit_report *report) {
  tx_parameters *set = tx_tail_parameters(f->tail);
  TX_TRY(start(f, validation, validation_labels));
  while (!is_over(f)) {
    double training_loss;
    TX_TRY(run_epoch(f, &training_loss));
    TX_TRY(judge_epoch(f, validation, validation_labels, training_loss));
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

static void sort_by_label(fitting *f, int64_t most) {
  int64_t texts = f->train->count;
  f->label_count = most + 1;
  f->by_label = f->order + texts, f->starts = f->by_label + texts, f->turns = f->starts + most + 2;
  for (int64_t i = 0; i < texts; i++) f->order[i] = i;
  for (int64_t label = 0; label <= most + 1; label++) f->starts[label] = 0;
  for (int64_t i = 0; i < texts; i++) f->starts[f->labels[i] + 1]++;
  for (int64_t label = 0; label <= most; label++) {
    f->starts[label + 1] += f->starts[label];
  }
  for (int64_t i = texts - 1; i >= 0; i--) { /* each label's end moves down to its start */
    f->by_label[--f->starts[f->labels[i] + 1]] = i;
  }
  for (int64_t label = 0; label <= most; label++) f->starts[label] = f->starts[label + 1];
  f->starts[most + 1] = texts;
}

tx_status tx_fit(tx_tail *tail, tx_pass *pass, const tx_states *train, const int32_t *labels,
                 const tx_states *validation, const int32_t *validation_labels,
                 tx_fit_options options, tx_fit_report *report, const tx_watch *watch,
                 tx_error *error) {
  int64_t stride = (int64_t)options.batch * options.accumulate;
  fitting f = {.tail = tail,
               .pass = pass,
               .train = train,
               .labels = labels,
               .options = options,
               .steps_in_all = options.epochs * ((train->count + stride - 1) / stride),
               .watch = watch,
               .error = error};
  if (options.max_steps > 0 && options.max_steps < f.steps_in_all) f.steps_in_all = options.max_steps;
  *report = (tx_fit_report){0};
  int64_t most = 0, texts = train->count;
  for (int64_t i = 0; i < texts; i++) most = labels[i] > most ? labels[i] : most;
  f.order = tx_alloc_array((size_t)(2 * texts + 2 * (most + 2)), sizeof *f.order);
  if (!f.order) return tx_fail_memory(error, (uint64_t)texts * 16, "the order of texts");
  sort_by_label(&f, most);
  tx_status status = run(&f, validation, validation_labels, report);
  tx_free(f.order);
  return status;
}
