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
  return 0.5 * (1 + tx_cos(3.14159265358979323846 * along));
}

typedef struct {
  tx_tail *tail;
  tx_pass *pass;
  const tx_states *train;
  const int32_t *labels;
  tx_fit_options options;
  int64_t *order; /* (texts), shuffled anew each epoch */
  int64_t steps_in_all, step;
  int epoch;
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

static const char *clip_advice(const fitting *f) {
  return f->options.clip > 0 ? "a smaller --clip" : "--clip 1";
}

/* One step over `count` texts of the order, `batch` at a time. */
static tx_status take_step(fitting *f, int64_t from, int64_t count, double *loss) {
  const tx_fit_options *o = &f->options;
  tx_parameters *set = tx_tail_parameters(f->tail);
  double total = weight_of(f, from, count);
  double rate =
      o->learning_rate * tx_schedule_factor(o->schedule, o->warm_up, f->step, f->steps_in_all);
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
        " (epoch %d), learning rate %g; no weight was changed by it: try a smaller --lr, "
        "more --warm-up or %s",
        fabs(*loss), fabs(norm), f->step + 1, f->epoch, rate, clip_advice(f));
  }
  double scale = o->clip > 0 && norm > o->clip ? o->clip / (norm + 1e-6) : 1;
  tx_parameters_step(set, f->pass->kernels, rate, o->weight_decay, scale);
  f->step++;
  return TX_OK;
}

static tx_status run_epoch(fitting *f, tx_random *random, double *mean_loss) {
  int64_t texts = f->train->count, stride = (int64_t)f->options.batch * f->options.accumulate;
  int64_t steps = 0;
  *mean_loss = 0;
  tx_random_shuffle(random, f->order, (size_t)texts);
  for (int64_t from = 0; from < texts; from += stride, steps++) {
    double loss;
    TX_TRY(tx_watch_check(f->watch, f->error));
    TX_TRY(take_step(f, from, texts - from < stride ? texts - from : stride, &loss));
    *mean_loss += loss;
    tx_watch_report(f->watch, "train", f->step, f->steps_in_all, "steps");
  }
  *mean_loss /= (double)steps;
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
  if (f->step == 0) {
    return tx_fail(f->error, TX_ERROR_INPUT,
                   "the validation loss is %g before the first step; a weight of the model or a "
                   "text gives no number: try another model, or the texts in parts",
                   fabs(*loss));
  }
  return tx_fail(f->error, TX_ERROR_INPUT,
                 "the validation loss is %g after step %" PRId64
                 " (epoch %d), learning rate up to %g: try a smaller --lr, more --warm-up or %s",
                 fabs(*loss), f->step, f->epoch, f->options.learning_rate, clip_advice(f));
}

static tx_status run(fitting *f, const tx_states *validation, const int32_t *validation_labels,
                     tx_fit_report *report) {
  tx_parameters *set = tx_tail_parameters(f->tail);
  tx_random random = tx_random_seed(f->options.seed);
  tx_parameters_clear(set); /* a fit before this one may have failed within a step */
  double accuracy;
  TX_TRY(judge(f, validation, validation_labels, &report->best_loss, &accuracy));
  tx_watch_note(f->watch, "epoch 0: validation loss %.4f, accuracy %.4f", report->best_loss,
                accuracy);
  tx_parameters_keep(set);
  for (f->epoch = 1; f->epoch <= f->options.epochs; f->epoch++) {
    double train_loss, loss;
    TX_TRY(run_epoch(f, &random, &train_loss));
    TX_TRY(judge(f, validation, validation_labels, &loss, &accuracy));
    tx_watch_note(f->watch, "epoch %d: training loss %.4f, validation loss %.4f, accuracy %.4f",
                  f->epoch, train_loss, loss, accuracy);
    report->epochs = f->epoch;
    if (loss < report->best_loss) {
      report->best_loss = loss;
      report->best_epoch = f->epoch;
      tx_parameters_keep(set);
    } else if (f->options.patience > 0 && f->epoch - report->best_epoch >= f->options.patience) {
      break;
    }
  }
  tx_parameters_restore(set);
  return TX_OK;
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
  *report = (tx_fit_report){0};
  f.order = tx_alloc_array((size_t)train->count, sizeof *f.order);
  if (!f.order) return tx_fail_memory(error, (uint64_t)train->count * 8, "the order of texts");
  for (int64_t i = 0; i < train->count; i++) f.order[i] = i;
  tx_status status = run(&f, validation, validation_labels, report);
  tx_free(f.order);
  return status;
}
