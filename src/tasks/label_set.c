/* One label set from its states to its trained end: the order of the steps. */
#include "tasks/label_set_parts.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/watch.h"
#include "score/blend.h"
#include "score/network.h"

/* ---- the trunk --------------------------------------------------------- */

static tx_status recall(tx_training *t, tx_rows_of_states *rows, tx_trunk_want want,
                        tx_states *states, tx_error *error) {
  double start = tx_seconds();
  tx_sequences sequences = {rows->tokens.count, rows->tokens.ids, rows->tokens.offsets};
  const int64_t *offsets = want.kind == TX_TRUNK_TOKENS ? rows->tokens.offsets : rows->singles;
  tx_status status = tx_trunk_recall(&t->trunk, &t->pass, &sequences, offsets, want, states,
                                     t->watch, error);
  t->report->trunk_seconds += tx_seconds() - start;
  if (status == TX_OK && states->in_file) {
    tx_watch_note(t->watch, "the trunk's states are %.1f GB: they are kept in a temporary file",
                  (double)states->bytes / 1e9);
  }
  return status;
}

/* For both tables; then the model's weights are let go. */
static tx_status recall_both(tx_training *t, tx_label_set *set, tx_trunk_want want,
                             tx_error *error) {
  bool probe = want.kind == TX_TRUNK_PROBE;
  tx_states *train = probe ? &set->train.probes : &set->train.states;
  tx_states *validation = probe ? &set->validation.probes : &set->validation.states;
  TX_TRY(recall(t, &set->train, want, train, error));
  TX_TRY(recall(t, &set->validation, want, validation, error));
  tx_model_unload(t->model, 0, t->facts->blocks);
  return TX_OK;
}

/* ---- the depth --------------------------------------------------------- */

static tx_status choose_depth(tx_training *t, tx_label_set *set, tx_error *error) {
  const tx_train_options *o = t->options;
  int highest = o->depth > 0 ? o->depth : o->max_depth > 0 ? o->max_depth : (int)t->facts->blocks;
  tx_depth_options options = {.lowest = o->depth > 0 ? o->depth : 0,
                              .highest = highest,
                              .pooling = o->pooling,
                              .folds = TX_LABEL_SET_FOLDS,
                              .seed = o->seed,
                              .class_weights = tx_label_set_weights(t, set),
                              .memo = t->memo,
                              .marks = set->split.train.marks};
  TX_TRY(
      recall_both(t, set, (tx_trunk_want){TX_TRUNK_PROBE, highest, TX_POOLING_LAST_MEAN}, error));
  size_t room = 3 * (size_t)(options.highest - options.lowest + 1);
  set->depths = tx_alloc_array(room, sizeof *set->depths);
  if (!set->depths) return tx_fail_memory(error, room * sizeof *set->depths, "the depths");
  const tx_labelled *rows = &set->split.train;
  TX_TRY(tx_depth_choose(&set->train.probes, t->facts->width, rows->labels, rows->hashes,
                         set->split.classes, options, set->depths, &set->depth_count, t->watch,
                         error));
  for (int i = 0; i < set->depth_count; i++) {
    if (!set->depths[i].chosen) continue;
    set->depth = set->depths[i].depth;
    set->pooling = set->depths[i].pooling;
    tx_watch_note(t->watch, "depth: %" PRId64 " of %" PRId64
                  " blocks, pooling %s, cross-validated %s %.4f", set->depth, t->facts->blocks,
                  tx_pooling_name(set->pooling),
                  options.marks ? "share of labels found" : "accuracy", set->depths[i].accuracy);
  }
  return TX_OK;
}

/* The chosen columns of the probes become the states; the probes are let go. */
static tx_status take_features(const tx_training *t, tx_label_set *set, tx_rows_of_states *rows,
                               tx_error *error) {
  int64_t width = tx_pool_parts(set->pooling) * t->facts->width;
  int64_t from = set->depth * TX_PROBE_PARTS * t->facts->width;
  if (set->pooling == TX_POOLING_MEAN) from += t->facts->width;
  TX_TRY(tx_states_new(rows->tokens.count, rows->singles, width, UINT64_MAX, NULL, &rows->states,
                       error));
  for (int64_t i = 0; i < rows->tokens.count; i++) {
    memcpy(rows->states.rows + i * width, rows->probes.rows + i * rows->probes.width + from,
           (size_t)width * sizeof(float));
  }
  tx_states_free(&rows->probes);
  return TX_OK;
}

/* ---- the methods -------------------------------------------------------- */

/* How many blocks the method trains of those that are run. */
static int64_t blocks_of(const tx_train_options *o, int64_t depth) {
  if (o->method == TX_METHOD_HEAD) return 0;
  if (o->blocks > 0) return o->blocks;
  return o->method == TX_METHOD_LAST_BLOCK ? 1 : depth;
}

/* Which tokens stand in the rows, and how long the longest text is. */
static void mark_tokens(const tx_rows_of_states *rows, uint8_t *seen, int64_t *longest) {
  const tx_encoded *tokens = &rows->tokens;
  for (int64_t i = 0; i < tokens->offsets[tokens->count]; i++) seen[tokens->ids[i]] = 1;
  for (int64_t i = 0; i < tokens->count; i++) {
    int64_t size = tokens->offsets[i + 1] - tokens->offsets[i];
    *longest = size > *longest ? size : *longest;
  }
}

static tx_states states_of_ids(const tx_training *t, const tx_rows_of_states *rows) {
  const tx_encoded *tokens = &rows->tokens;
  return tx_states_of_ids(tokens->count, tokens->offsets, t->facts->width, tokens->ids);
}

/* Of embeddings that are trained: whose. */
static tx_status choose_ids(const tx_training *t, tx_label_set *set, tx_error *error) {
  size_t vocabulary = (size_t)t->facts->vocabulary;
  uint8_t *seen = tx_alloc_zero(vocabulary, 1);
  set->ids = tx_alloc_array(vocabulary, sizeof *set->ids);
  if (!seen || !set->ids) {
    tx_free(seen);
    return tx_fail_memory(error, vocabulary * 5, "the tokens");
  }
  mark_tokens(&set->train, seen, &set->positions);
  mark_tokens(&set->validation, seen, &set->positions);
  if (set->apart) mark_tokens(set->apart, seen, &set->positions);
  for (size_t id = 0; id < vocabulary; id++) {
    if (seen[id]) set->ids[set->id_count++] = (int32_t)id;
  }
  tx_free(seen);
  return TX_OK;
}

/* In place of states: where the first block is trained, the token ids are what is read. */
static bool reads_ids(const tx_label_set *set) {
  return set->blocks > 0 && set->blocks == set->depth;
}

/* Where all blocks are trained, what they give before the first step is the model's own, which
 * an earlier run may have left. */
static tx_status recall_start(tx_training *t, tx_label_set *set, tx_states *pooled,
                              tx_error *error) {
  if (!reads_ids(set) || t->options->head_solver != TX_HEAD_CONVEX) return TX_OK;
  bool learned = set->pooling == TX_POOLING_ATTENTION; /* a mean at first */
  tx_trunk_want want = {TX_TRUNK_POOLED, set->depth, learned ? TX_POOLING_MEAN : set->pooling};
  TX_TRY(recall(t, &set->train, want, pooled, error));
  tx_model_unload(t->model, 0, t->facts->blocks);
  return TX_OK;
}

/* What the trained end reads. */
static tx_trunk_want want_of(const tx_label_set *set) {
  if (set->blocks == 0) return (tx_trunk_want){TX_TRUNK_POOLED, set->depth, set->pooling};
  return (tx_trunk_want){TX_TRUNK_TOKENS, set->depth - set->blocks, set->pooling};
}

/* A head, or blocks too, at one depth and pooling that were asked for. */
static tx_status train_as_asked(tx_training *t, tx_label_set *set, float *probabilities,
                                tx_error *error) {
  const tx_train_options *o = t->options;
  set->method = o->method;
  set->depth = o->depth > 0 ? o->depth : t->facts->blocks;
  set->pooling = o->pooling == TX_POOLING_AUTO ? TX_POOLING_LAST : o->pooling;
  set->blocks = blocks_of(o, set->depth);
  if (o->attention != TX_ATTENTION_CAUSAL) {
    bool all = o->attention == TX_ATTENTION_TWO_WAY;
    tx_model_set_two_way(t->model, all ? 0 : set->depth - set->blocks);
  }
  if (o->method == TX_METHOD_FULL) TX_TRY(choose_ids(t, set, error));
  if (reads_ids(set)) {
    set->train.states = states_of_ids(t, &set->train);
    set->validation.states = states_of_ids(t, &set->validation);
  } else {
    TX_TRY(recall_both(t, set, want_of(set), error));
  }
  tx_states pooled = {0};
  TX_TRY(recall_start(t, set, &pooled, error));
  tx_status status = tx_label_set_new_tail(t, set, error);
  if (status == TX_OK) status = tx_label_set_start_head(t, set, pooled.rows, error);
  tx_states_free(&pooled);
  TX_TRY(status);
  if (set->blocks > 0 || o->head_solver == TX_HEAD_SGD) TX_TRY(tx_label_set_steps(t, set, error));
  if (o->measure_training) TX_TRY(tx_label_set_measure_training(t, set, error));
  return tx_label_set_score(t, set, &set->validation.states, probabilities, error);
}

/* The words into probabilities (validation rows, classes). */
static void blend_words(const tx_label_set *set, double share, float *probabilities) {
  (set->split.validation.marks ? tx_blend_sigmoids : tx_blend)(
      probabilities, set->linear_scores, set->split.validation.count, set->split.classes, share);
}

/* The words beside the model, half of each in the answers: two models that err on
 * different texts.  It costs next to nothing and has nothing to tune, so the lower
 * validation loss decides.  `head` (rows, classes) becomes the blend then. */
static tx_status try_words(const tx_training *t, tx_label_set *set, float *head, tx_error *error) {
  int64_t rows = set->split.validation.count;
  int classes = set->split.classes;
  size_t floats = (size_t)(rows * classes);
  float *blended = tx_alloc_array(floats, sizeof *blended);
  bool better = false;
  if (!blended) return tx_fail_memory(error, floats * 4, "scores");
  memcpy(blended, head, floats * sizeof *head);
  blend_words(set, 0.5, blended);
  tx_status status = tx_label_set_better(t, set, "words", blended, head, 1.0, &better, error);
  if (status == TX_OK && better) {
    memcpy(head, blended, floats * sizeof *head);
    set->words = 0.5;
  }
  tx_free(blended);
  return status;
}

/* The last block of the cut model, from the head as it is; `head` (rows, classes)
 * are its probabilities, replaced where the block is kept. */
static tx_status try_last_block(tx_training *t, tx_label_set *set, float *head, tx_error *error) {
  int classes = set->split.classes;
  size_t floats = (size_t)(set->split.validation.count * classes);
  tx_tail *alone = set->tail;
  bool better = false;
  tx_states_free(&set->train.states), tx_states_free(&set->validation.states);
  TX_TRY(
      recall_both(t, set, (tx_trunk_want){TX_TRUNK_TOKENS, set->depth - 1, set->pooling}, error));
  float *tuned = tx_alloc_array(floats, sizeof *tuned);
  if (!tuned) return tx_fail_memory(error, floats * 4, "scores");
  set->tail = NULL;
  set->blocks = 1;
  tx_status status = tx_label_set_new_tail(t, set, error);
  if (status == TX_OK) {
    tx_tail_set_head(set->tail, tx_tail_head_weight(alone), tx_tail_head_bias(alone));
    status = tx_label_set_steps(t, set, error);
  }
  if (status == TX_OK && set->best_epoch > 0) {
    status = tx_label_set_score(t, set, &set->validation.states, tuned, error);
    if (status == TX_OK && set->words > 0) {
      blend_words(set, set->words, tuned);
    }
    if (status == TX_OK) {
      /* The best of the epochs was taken on the same rows (Bonferroni). */
      status = tx_label_set_better(t, set, "last block", tuned, head, 0.05 / set->epochs, &better,
                                   error);
    }
  } else if (status == TX_OK) {
    tx_watch_note(t->watch, "last block: no epoch has a lower validation loss than the head alone");
  }
  if (status == TX_OK && better) {
    memcpy(head, tuned, floats * sizeof *head);
    set->method = TX_METHOD_LAST_BLOCK;
    tx_tail_free(alone);
  } else {
    tx_tail_free(set->tail);
    set->tail = alone;
    set->blocks = 0;
    set->learning_rate = 0, set->epochs = set->best_epoch = 0;
  }
  tx_free(tuned);
  return status;
}

static tx_status train_by_choice(tx_training *t, tx_label_set *set, bool frozen,
                                 float *probabilities, tx_error *error) {
  set->method = TX_METHOD_HEAD;
  TX_TRY(choose_depth(t, set, error));
  TX_TRY(take_features(t, set, &set->train, error));
  TX_TRY(take_features(t, set, &set->validation, error));
  TX_TRY(tx_label_set_new_tail(t, set, error));
  TX_TRY(tx_label_set_start_head(t, set, NULL, error));
  TX_TRY(tx_label_set_score(t, set, &set->validation.states, probabilities, error));
  if (!frozen) TX_TRY(try_words(t, set, probabilities, error));
  if (frozen || set->depth == 0 || !tx_label_set_worth_trying(t, set, probabilities)) return TX_OK;
  return try_last_block(t, set, probabilities, error);
}

tx_status tx_label_set_train(tx_training *t, tx_label_set *set, bool frozen, tx_error *error) {
  size_t floats = (size_t)(set->split.validation.count * set->split.classes);
  float *probabilities = tx_alloc_array(floats, sizeof *probabilities);
  if (!probabilities) return tx_fail_memory(error, floats * 4, "scores");
  tx_status status = t->options->method == TX_METHOD_AUTO
                         ? train_by_choice(t, set, frozen, probabilities, error)
                         : train_as_asked(t, set, probabilities, error);
  if (status == TX_OK) tx_label_set_take_scores(set, probabilities);
  set->scores = probabilities;
  return status;
}

/* ---- other rows ---------------------------------------------------------- */

tx_status tx_label_set_answer(tx_training *t, tx_label_set *set, const tx_labelled *rows,
                              tx_rows_of_states *states, float *probabilities, tx_error *error) {
  if (reads_ids(set)) {
    states->states = states_of_ids(t, states);
  } else {
    TX_TRY(recall(t, states, want_of(set), &states->states, error));
  }
  TX_TRY(tx_label_set_score(t, set, &states->states, probabilities, error));
  if (!(set->words > 0)) return TX_OK;
  size_t floats = (size_t)rows->count * (size_t)set->split.classes;
  float *words = tx_alloc_array(floats, sizeof *words);
  if (!words) return tx_fail_memory(error, floats * sizeof *words, "scores");
  tx_status status = set->linear->score(set->linear, rows->texts, (size_t)rows->count, words, NULL,
                                        t->watch, error);
  if (status == TX_OK) {
    (rows->marks ? tx_blend_sigmoids : tx_blend)(probabilities, words, rows->count,
                                                 set->split.classes, set->words);
  }
  tx_free(words);
  return status;
}

/* ---- int8 afterwards ----------------------------------------------------- */

tx_status tx_label_set_requantise(tx_training *t, tx_label_set *set, bool *accepted,
                                  tx_error *error) {
  size_t floats = (size_t)(set->split.validation.count * set->split.classes);
  tx_states_free(&set->validation.states);
  TX_TRY(recall(t, &set->validation, want_of(set), &set->validation.states, error));
  float *bytes = tx_alloc_array(floats, sizeof *bytes);
  if (!bytes) return tx_fail_memory(error, floats * 4, "scores");
  tx_status status = tx_label_set_score(t, set, &set->validation.states, bytes, error);
  if (status == TX_OK) {
    if (set->words > 0) blend_words(set, set->words, bytes);
    tx_label_set_compare_int8(t, set, bytes, accepted);
    memcpy(set->scores, bytes, floats * sizeof *bytes);
  }
  tx_free(bytes);
  tx_states_free(&set->validation.states);
  return status;
}

void tx_label_set_take(tx_label_set *set) { tx_label_set_take_scores(set, set->scores); }
