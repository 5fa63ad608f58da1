/* Feeds are run in rounds of a bounded number of tokens, so that a long prompt takes
 * no more memory than its keys and values; the division changes no bit. */
#include "model/decode.h"

#include <inttypes.h>
#include <string.h>

#include "model/pass.h"
#include "model/trunk.h"

struct tx_decode {
  const tx_model *model; /* borrowed */
  tx_pass pass;
  tx_arena *arena; /* of one call; the pass's own is reset at each block */
  tx_stretch *slots[TX_DECODE_SLOTS]; /* NULL: free */
};

tx_status tx_decode_new(const tx_model *model, tx_decode **decode, tx_error *error) {
  const tx_facts *facts = tx_model_facts(model);
  *decode = NULL;
  if (!facts->architecture->causal) {
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "%s: a %s model sees texts as a whole and cannot go on with one; take another",
                   tx_gguf_path(tx_model_gguf(model)), facts->architecture->name);
  }
  if (tx_model_is_two_way(model, facts->blocks)) {
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "%s: blocks of it were trained to see texts as a whole and cannot go on with "
                   "one; take the model itself",
                   tx_gguf_path(tx_model_gguf(model)));
  }
  for (int64_t block = 0; block < facts->blocks; block++) {
    if (tx_model_block(model, block)) continue;
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "%s: block %" PRId64 " is not loaded; load all blocks before decoding",
                   tx_gguf_path(tx_model_gguf(model)), block);
  }
  tx_decode *made = tx_alloc_zero(1, sizeof *made);
  if (!made) return tx_fail_memory(error, sizeof *made, "decoding");
  made->model = model;
  made->arena = tx_arena_new();
  tx_status status = made->arena ? tx_pass_open(facts, &made->pass, error)
                                 : tx_fail_memory(error, 64, "decoding");
  if (status != TX_OK) {
    tx_decode_free(made);
    return status;
  }
  *decode = made;
  return TX_OK;
}

void tx_decode_free(tx_decode *decode) {
  if (!decode) return;
  for (int slot = 0; slot < TX_DECODE_SLOTS; slot++) tx_decode_end(decode, slot);
  tx_pass_close(&decode->pass);
  tx_arena_free(decode->arena);
  tx_free(decode);
}

static bool in_use(const tx_decode *decode, int slot) {
  return slot >= 0 && slot < TX_DECODE_SLOTS && decode->slots[slot];
}

tx_status tx_decode_start(tx_decode *decode, const tx_stretch *prefix, int *slot, tx_error *error) {
  for (*slot = 0; *slot < TX_DECODE_SLOTS; ++*slot) {
    if (decode->slots[*slot]) continue;
    const tx_facts *facts = tx_model_facts(decode->model);
    return tx_stretch_new(facts, facts->blocks, prefix, &decode->slots[*slot], error);
  }
  return tx_fail(error, TX_ERROR_ARGUMENT,
                 "%d sequences are decoded already; end one before another starts",
                 TX_DECODE_SLOTS);
}

void tx_decode_end(tx_decode *decode, int slot) {
  if (!in_use(decode, slot)) return;
  tx_stretch_free(decode->slots[slot]);
  decode->slots[slot] = NULL;
}

int64_t tx_decode_length(const tx_decode *decode, int slot) {
  return in_use(decode, slot) ? tx_stretch_end(decode->slots[slot]) : 0;
}

/* ---- a round ------------------------------------------------------------- */

/* What is left to append to one stretch. */
typedef struct {
  tx_stretch *stretch;
  const int32_t *ids;
  int64_t count, wanted;
  int64_t state;  /* the row of `states` for the next wanted token */
  int64_t before; /* the stretch's length when the call began */
} feeding;

/* What one pass over the blocks works on: arrays of the call's arena. */
typedef struct {
  tx_batch batch;
  tx_wanted wanted;   /* (R) */
  int64_t *offsets, *positions, *tokens, *token_offsets;
  int64_t *states;    /* (R): the row of all states that a wanted token's goes to */
  tx_stretch **past;
  int32_t *ids;
  float *x, *last; /* (T, C), (R, C) */
} batch_of_round;

static tx_status make_room(tx_decode *decode, int64_t feeds, batch_of_round *round,
                           tx_error *error) {
  tx_arena *arena = decode->arena;
  size_t stretches = (size_t)feeds + 1, tokens = TX_BATCH_TOKENS;
  size_t floats = tokens * (size_t)tx_model_facts(decode->model)->width;
  round->offsets = tx_arena_array(arena, 2 * stretches, sizeof *round->offsets);
  round->positions = tx_arena_array(arena, 3 * tokens, sizeof *round->positions);
  round->past = tx_arena_array(arena, stretches, sizeof *round->past);
  round->ids = tx_arena_array(arena, tokens, sizeof *round->ids);
  round->x = tx_arena_array(arena, floats, sizeof(float));
  round->last = tx_arena_array(arena, floats, sizeof(float));
  if (!round->offsets || !round->positions || !round->past || !round->ids || !round->x ||
      !round->last) {
    return tx_fail_memory(error, floats * 8, "decoding");
  }
  round->token_offsets = round->offsets + stretches;
  round->tokens = round->positions + tokens;
  round->states = round->tokens + tokens;
  return TX_OK;
}

/* Takes the next tokens of a feed, as many as the round has room for. */
static void take_tokens(batch_of_round *round, feeding *f) {
  tx_batch *batch = &round->batch;
  int64_t room = TX_BATCH_TOKENS - batch->tokens, position = tx_stretch_end(f->stretch);
  int64_t count = f->count < room ? f->count : room;
  if (count == 0) return;
  for (int64_t i = 0; i < count; i++) {
    int64_t token = batch->tokens + i;
    round->ids[token] = f->ids[i];
    round->positions[token] = position + i;
    if (f->count - i > f->wanted) continue;
    round->tokens[round->wanted.count] = token;
    round->states[round->wanted.count++] = f->state++;
  }
  batch->tokens += count;
  round->past[batch->sequences++] = f->stretch;
  round->offsets[batch->sequences] = batch->tokens;
  round->token_offsets[batch->sequences] = round->wanted.count;
  f->ids += count;
  f->count -= count;
  if (f->wanted > f->count) f->wanted = f->count;
}

static void fill_round(batch_of_round *round, feeding *feeds, int64_t count) {
  round->offsets[0] = round->token_offsets[0] = 0;
  round->batch = (tx_batch){
      .offsets = round->offsets, .positions = round->positions, .past = round->past};
  round->wanted = (tx_wanted){0, round->tokens, round->token_offsets};
  for (int64_t i = 0; i < count; i++) take_tokens(round, &feeds[i]);
}

/* The last block computes the wanted rows only: none, where no logits are asked for. */
static tx_status run_round(tx_decode *decode, batch_of_round *round, float *states,
                           const tx_watch *watch, tx_error *error) {
  const tx_facts *facts = tx_model_facts(decode->model);
  tx_batch *batch = &round->batch;
  tx_wanted all = tx_wanted_all(batch);
  TX_TRY(tx_model_embed(decode->model, round->ids, round->positions, batch->tokens, round->x,
                        error));
  for (batch->block = 0; batch->block < facts->blocks; batch->block++) {
    bool last = batch->block == facts->blocks - 1;
    tx_tape tape;
    TX_TRY(tx_watch_check(watch, error));
    tx_arena_reset(decode->pass.arena);
    TX_TRY(tx_block_forward(&decode->pass, tx_model_block(decode->model, batch->block), batch,
                            last ? &round->wanted : &all, round->x, last ? round->last : round->x,
                            &tape, error));
  }
  for (int64_t r = 0; r < round->wanted.count; r++) {
    memcpy(states + round->states[r] * facts->width, round->last + r * facts->width,
           (size_t)facts->width * sizeof *states);
  }
  for (int64_t b = 0; b < batch->sequences; b++) {
    tx_stretch_append(round->past[b], round->offsets[b + 1] - round->offsets[b]);
  }
  return TX_OK;
}

/* ---- a call ------------------------------------------------------------ */

static tx_status logits_of(tx_decode *decode, int64_t rows, float *states, float *logits,
                           tx_error *error) {
  if (rows == 0) return TX_OK;
  tx_norm_forward(&decode->pass, tx_model_output_norm(decode->model), rows, states, states, NULL,
                  NULL);
  return tx_model_logits(decode->model, states, rows, logits, error);
}

static tx_status run_rounds(tx_decode *decode, feeding *feeds, int64_t count, int64_t rows,
                            float *logits, const tx_watch *watch, tx_error *error) {
  size_t floats = (size_t)(rows * tx_model_facts(decode->model)->width);
  float *states = tx_arena_array(decode->arena, floats, sizeof *states);
  if (!states) return tx_fail_memory(error, floats * sizeof *states, "decoding");
  batch_of_round round;
  TX_TRY(make_room(decode, count, &round, error));
  for (fill_round(&round, feeds, count); round.batch.tokens > 0; fill_round(&round, feeds, count)) {
    TX_TRY(run_round(decode, &round, states, watch, error));
  }
  return logits_of(decode, rows, states, logits, error);
}

static tx_status run_feeds(tx_decode *decode, feeding *feeds, int64_t count, float *logits,
                           const tx_watch *watch, tx_error *error) {
  int64_t rows = 0;
  for (int64_t i = 0; i < count; i++) {
    feeds[i].before = tx_stretch_length(feeds[i].stretch);
    feeds[i].state = rows;
    rows += feeds[i].wanted;
  }
  tx_status status = run_rounds(decode, feeds, count, rows, logits, watch, error);
  for (int64_t i = 0; i < count && status != TX_OK; i++) {
    tx_stretch_cut(feeds[i].stretch, feeds[i].before);
  }
  tx_arena_reset(decode->arena);
  return status;
}

tx_status tx_decode_run(tx_decode *decode, const tx_feed *feeds, int64_t count, float *logits,
                        const tx_watch *watch, tx_error *error) {
  feeding all[TX_DECODE_SLOTS];
  uint64_t named = 0; /* a bit for each slot */
  for (int64_t i = 0; i < count; i++) {
    const tx_feed *f = &feeds[i];
    bool sound = in_use(decode, f->slot) && !(named >> f->slot & 1) && f->count >= 1 &&
                 f->wanted >= 0 && f->wanted <= f->count;
    if (!sound) {
      return tx_fail(error, TX_ERROR_ARGUMENT,
                     "sequence %d cannot take %" PRId64 " tokens and give the logits of %" PRId64
                     ": each is started, named once, and takes at least one token",
                     f->slot, f->count, f->wanted);
    }
    named |= (uint64_t)1 << f->slot;
    all[i] = (feeding){
        .stretch = decode->slots[f->slot], .ids = f->ids, .count = f->count, .wanted = f->wanted};
  }
  return run_feeds(decode, all, count, logits, watch, error);
}

tx_status tx_decode_prefix(tx_decode *decode, const tx_stretch *parent, const int32_t *ids,
                           int64_t count, const tx_watch *watch, tx_stretch **prefix,
                           tx_error *error) {
  const tx_facts *facts = tx_model_facts(decode->model);
  TX_TRY(tx_stretch_new(facts, facts->blocks, parent, prefix, error));
  feeding one = {.stretch = *prefix, .ids = ids, .count = count};
  tx_status status = run_feeds(decode, &one, 1, NULL, watch, error);
  if (status == TX_OK) return TX_OK;
  tx_stretch_free(*prefix);
  *prefix = NULL;
  return status;
}
