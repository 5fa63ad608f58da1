/* Prompts wait for free slots; each round reads those that found one, or writes one token
 * of each that is at work. */
#include "generate/greedy.h"

#include <string.h>

#include "base/clock.h"
#include "base/memory.h"

typedef struct { /* one answer at work */
  int slot;
  int64_t number; /* of its prompt */
  double started; /* seconds: when its prompt had been read */
} work;

typedef struct {
  tx_decode *decode;
  int64_t vocabulary;
  const tx_greedy_prompt *prompts;
  tx_greedy_answer *answers;
  tx_greedy_options options;
  work at[TX_DECODE_SLOTS]; /* (working), in the order of their prompts */
  int64_t working, next, count, done;
  float *logits; /* (TX_DECODE_SLOTS, V) */
} session;

int32_t tx_greedy_token(const float *logits, int64_t vocabulary) {
  int32_t best = 0;
  for (int64_t i = 1; i < vocabulary; i++) {
    if (logits[i] > logits[best] || (logits[best] != logits[best] && logits[i] == logits[i])) {
      best = (int32_t)i;
    }
  }
  return best;
}

static bool is_stop(const tx_greedy_options *options, int32_t id) {
  for (size_t i = 0; i < options->stop_count; i++) {
    if (options->stops[i] == id) return true;
  }
  return false;
}

/* The next token of one answer; false: that was its last. */
static bool take_token(session *s, const work *w, const float *logits) {
  tx_greedy_answer *answer = &s->answers[w->number];
  int32_t id = tx_greedy_token(logits, s->vocabulary);
  answer->ids[answer->count++] = id;
  answer->stopped = is_stop(&s->options, id);
  bool full = s->prompts[w->number].count + answer->count >= s->options.context;
  return !answer->stopped && !full && answer->count < s->options.most;
}

static tx_status make_room(session *s, int64_t number, tx_error *error) {
  int64_t left = s->options.context - s->prompts[number].count;
  int64_t most = s->options.most < left ? s->options.most : left;
  s->answers[number].ids = tx_alloc_array((size_t)most, sizeof(int32_t));
  if (s->answers[number].ids) return TX_OK;
  return tx_fail_memory(error, (uint64_t)most * sizeof(int32_t), "an answer");
}

/* Takes one token of each from `first` on; those that are at their end leave their slots. */
static void take_tokens(session *s, int64_t first, double now) {
  int64_t kept = first;
  for (int64_t i = first; i < s->working; i++) {
    work w = s->at[i];
    if (take_token(s, &w, s->logits + (i - first) * s->vocabulary)) {
      s->at[kept++] = w;
      continue;
    }
    s->answers[w.number].decode_seconds = now - w.started;
    tx_decode_end(s->decode, w.slot);
    s->done++;
  }
  s->working = kept;
}

/* Prompts for the free slots are read together. */
static tx_status read_prompts(session *s, const tx_watch *watch, tx_error *error) {
  tx_feed feeds[TX_DECODE_SLOTS];
  int64_t first = s->working;
  double start = tx_seconds();
  while (s->working < TX_DECODE_SLOTS && s->next < s->count) {
    const tx_greedy_prompt *prompt = &s->prompts[s->next];
    work *w = &s->at[s->working];
    TX_TRY(make_room(s, s->next, error));
    TX_TRY(tx_decode_start(s->decode, NULL, &w->slot, error));
    w->number = s->next++;
    feeds[s->working++ - first] = (tx_feed){w->slot, prompt->ids, prompt->count, 1};
  }
  TX_TRY(tx_decode_run(s->decode, feeds, s->working - first, s->logits, watch, error));
  double now = tx_seconds();
  for (int64_t i = first; i < s->working; i++) {
    s->at[i].started = now;
    s->answers[s->at[i].number].prefill_seconds = now - start;
  }
  take_tokens(s, first, now);
  return TX_OK;
}

static tx_status write_tokens(session *s, const tx_watch *watch, tx_error *error) {
  tx_feed feeds[TX_DECODE_SLOTS];
  for (int64_t i = 0; i < s->working; i++) {
    const tx_greedy_answer *answer = &s->answers[s->at[i].number];
    feeds[i] = (tx_feed){s->at[i].slot, answer->ids + answer->count - 1, 1, 1};
  }
  TX_TRY(tx_decode_run(s->decode, feeds, s->working, s->logits, watch, error));
  take_tokens(s, 0, tx_seconds());
  return TX_OK;
}

static tx_status answer_all(session *s, const tx_watch *watch, tx_error *error) {
  while (s->done < s->count) {
    TX_TRY(tx_watch_check(watch, error));
    if (s->next < s->count && s->working < TX_DECODE_SLOTS) {
      TX_TRY(read_prompts(s, watch, error));
    } else {
      TX_TRY(write_tokens(s, watch, error));
    }
    tx_watch_report(watch, "generate", s->done, s->count, "texts");
  }
  return TX_OK;
}

tx_status tx_greedy(tx_decode *decode, int64_t vocabulary, const tx_greedy_prompt *prompts,
                    int64_t count, tx_greedy_options options, tx_greedy_answer *answers,
                    const tx_watch *watch, tx_error *error) {
  memset(answers, 0, (size_t)count * sizeof *answers);
  session s = {.decode = decode,
               .vocabulary = vocabulary,
               .prompts = prompts,
               .answers = answers,
               .options = options,
               .count = count};
  s.logits = tx_alloc_array((size_t)(TX_DECODE_SLOTS * vocabulary), sizeof *s.logits);
  tx_status status = s.logits ? answer_all(&s, watch, error)
                              : tx_fail_memory(error, (uint64_t)vocabulary * 256, "logits");
  for (int64_t i = 0; i < s.working; i++) tx_decode_end(decode, s.at[i].slot); /* of a failure */
  tx_free(s.logits);
  return status;
}
