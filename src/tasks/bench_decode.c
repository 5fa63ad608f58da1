/* Which tokens go on costs nothing, so they are drawn, not taken from the logits. */
#include "tasks/bench_decode.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/watch.h"
#include "model/decode.h"
#include "tasks/bench_products.h"

enum { PROMPT = 64, STEPS = 64, MOST_STEPS = 512, LEAST_STEPS = 3 };

static const int batches[TX_BENCH_BATCHES] = {1, 8, 16, 32};

typedef struct {
  const tx_model *model;
  tx_decode *decode;
  tx_random random;
  int64_t sequences, prompt;
  int slots[TX_DECODE_SLOTS];
  int32_t ids[TX_DECODE_SLOTS][PROMPT];
  float *logits; /* (sequences, V) */
  const tx_watch *watch;
  tx_error *error;
} decoding;

/* `tokens` more for every sequence, and the logits of the last. */
static tx_status feed(decoding *d, int64_t tokens) {
  uint64_t vocabulary = (uint64_t)tx_model_facts(d->model)->vocabulary;
  tx_feed feeds[TX_DECODE_SLOTS];
  for (int64_t i = 0; i < d->sequences; i++) {
    for (int64_t t = 0; t < tokens; t++) {
      d->ids[i][t] = (int32_t)tx_random_below(&d->random, vocabulary);
    }
    feeds[i] = (tx_feed){d->slots[i], d->ids[i], tokens, 1};
  }
  return tx_decode_run(d->decode, feeds, d->sequences, d->logits, d->watch, d->error);
}

/* New sequences after the prompt.  A first step, whose memory is new, is not counted. */
static tx_status begin(decoding *d, bool again) {
  for (int64_t i = 0; i < d->sequences; i++) {
    if (again) tx_decode_end(d->decode, d->slots[i]);
    TX_TRY(tx_decode_start(d->decode, NULL, &d->slots[i], d->error));
  }
  TX_TRY(feed(d, d->prompt));
  return feed(d, 1);
}

/* Every STEPS steps from the prompt on again, so that the time does not set how long
 * the sequences are. */
static tx_status measure(decoding *d, double seconds, tx_bench_speed *speed) {
  double rates[MOST_STEPS], taken = 0;
  int64_t room = tx_model_facts(d->model)->context - d->prompt - 1;
  if (room > STEPS) room = STEPS;
  while (speed->runs < MOST_STEPS && (speed->runs < LEAST_STEPS || taken < seconds)) {
    if (speed->runs % room == 0) TX_TRY(begin(d, speed->runs > 0));
    double start = tx_seconds();
    TX_TRY(feed(d, 1));
    double step = tx_seconds() - start;
    rates[speed->runs++] = (double)d->sequences / step;
    taken += step;
  }
  speed->tokens_per_second = tx_bench_median(rates, speed->runs);
  return TX_OK;
}

static tx_status measure_batch(decoding *d, double seconds, tx_bench_speed *speed) {
  size_t floats = (size_t)d->sequences * (size_t)tx_model_facts(d->model)->vocabulary;
  d->logits = tx_alloc_array(floats, sizeof *d->logits);
  tx_status status = d->logits ? tx_decode_new(d->model, &d->decode, d->error)
                               : tx_fail_memory(d->error, floats * sizeof *d->logits, "the logits");
  if (status == TX_OK) status = measure(d, seconds, speed);
  tx_decode_free(d->decode);
  d->decode = NULL;
  tx_free(d->logits);
  return status;
}

tx_status tx_bench_decode_measure(const tx_model *model, const char *precision, double seconds,
                                  tx_bench_speed *speeds, size_t *count, const tx_watch *watch,
                                  tx_error *error) {
  tx_watch silent = {0};
  if (watch) silent = *watch, silent.report = NULL;
  int64_t context = tx_model_facts(model)->context;
  decoding d = {.model = model,
                .random = tx_random_seed(1),
                .prompt = context < 2 * PROMPT ? context / 4 : PROMPT,
                .watch = &silent,
                .error = error};
  if (d.prompt < 1 || context - d.prompt < 2) return TX_OK; /* no room to go on in */
  for (int i = 0; i < TX_BENCH_BATCHES; i++) {
    tx_watch_report(watch, "decode", i, TX_BENCH_BATCHES, "numbers of sequences");
    d.sequences = batches[i];
    speeds[i] = (tx_bench_speed){.precision = precision, .size = batches[i]};
    TX_TRY(measure_batch(&d, seconds, &speeds[i]));
    ++*count;
  }
  return TX_OK;
}
