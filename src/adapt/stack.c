/* Forward and backward through the trained blocks. */
#include "adapt/stack.h"

#include <string.h>

#include "base/random.h"
#include "kernels/product.h"

static float *take(tx_pass *pass, int64_t count, bool *failed) {
  float *floats = tx_arena_array(pass->arena, (size_t)count, sizeof(float));
  if (!floats) *failed = true;
  return floats;
}

/* ---- what comes in ------------------------------------------------------ */

int64_t tx_choice_text(tx_choice choice, int64_t index) {
  return choice.texts ? choice.texts[index] : index;
}

int64_t tx_choice_count(const tx_states *states, tx_choice choice) {
  return choice.texts ? choice.count : states->count;
}

int64_t tx_stack_part_end(const tx_states *states, tx_choice choice, int64_t from) {
  int64_t end = from, tokens = 0, total = tx_choice_count(states, choice);
  while (end < total) {
    int64_t text = tx_choice_text(choice, end);
    tokens += states->offsets[text + 1] - states->offsets[text];
    if (end > from && tokens > TX_BATCH_TOKENS) break;
    end++;
  }
  return end;
}

/* The chosen texts' token ids, one after another. */
static tx_status gather_ids(tx_pass *pass, const tx_states *states, tx_choice choice, int64_t from,
                            int64_t count, tx_stack_run *run, tx_error *error) {
  int32_t *ids = tx_arena_array(pass->arena, (size_t)run->batch.tokens, sizeof *ids);
  if (!ids) return tx_fail_memory(error, (uint64_t)run->batch.tokens * 4, "a batch");
  run->ids = ids;
  for (int64_t i = 0; i < count; i++) {
    int64_t text = tx_choice_text(choice, from + i);
    int64_t size = states->offsets[text + 1] - states->offsets[text];
    memcpy(ids, states->ids + states->offsets[text], (size_t)size * sizeof *ids);
    ids += size;
  }
  return TX_OK;
}

static tx_status make_batch(tx_pass *pass, const tx_states *states, tx_choice choice, int64_t from,
                            int64_t count, tx_batch *batch, tx_error *error) {
  int64_t *offsets = tx_arena_array(pass->arena, (size_t)(count + 1), sizeof *offsets);
  if (!offsets) return tx_fail_memory(error, (uint64_t)count * 8, "a batch");
  offsets[0] = 0;
  for (int64_t i = 0; i < count; i++) {
    int64_t text = tx_choice_text(choice, from + i);
    offsets[i + 1] = offsets[i] + states->offsets[text + 1] - states->offsets[text];
  }
  return tx_batch_make(pass, offsets, count, batch, error);
}

/* A text's own, another at each step: what dropout leaves out does not depend on the batch. */
static tx_status make_streams(const tx_stack *stack, tx_pass *pass, tx_choice choice, int64_t from,
                              int64_t count, tx_stack_run *run, tx_error *error) {
  const tx_adapter_options *o = &stack->trained.options.adapter;
  if (stack->trained.options.part != TX_TRAINED_ADAPTERS || o->dropout <= 0) return TX_OK;
  uint64_t *streams = tx_arena_array(pass->arena, (size_t)count, sizeof *streams);
  if (!streams) return tx_fail_memory(error, (uint64_t)count * 8, "dropout");
  tx_random step = tx_random_seed(o->seed ^ (uint64_t)stack->trained.parameters.steps << 20);
  uint64_t base = tx_random_next(&step);
  for (int64_t i = 0; i < count; i++) {
    tx_random text = tx_random_seed(base + (uint64_t)tx_choice_text(choice, from + i));
    streams[i] = tx_random_next(&text);
  }
  run->streams = streams;
  return TX_OK;
}

tx_status tx_stack_gather(const tx_stack *stack, tx_pass *pass, const tx_states *states,
                          tx_choice choice, int64_t from, int64_t count, tx_stack_run *run,
                          tx_error *error) {
  int64_t width = states->width;
  bool failed = false;
  tx_arena_reset(pass->arena);
  *run = (tx_stack_run){0};
  TX_TRY(make_batch(pass, states, choice, from, count, &run->batch, error));
  run->wanted = tx_wanted_all(&run->batch);
  TX_TRY(make_streams(stack, pass, choice, from, count, run, error));
  run->x = take(pass, run->batch.tokens * width, &failed);
  if (failed) return tx_fail_memory(error, (uint64_t)(run->batch.tokens * width) * 4, "a batch");
  if (!states->rows) {
    TX_TRY(gather_ids(pass, states, choice, from, count, run, error));
    return tx_trained_embed(&stack->trained, run->ids, run->batch.positions, run->batch.tokens,
                            run->x, error);
  }
  for (int64_t i = 0; i < count; i++) {
    int64_t at = run->batch.offsets[i], size = run->batch.offsets[i + 1] - at;
    memcpy(run->x + at * width,
           states->rows + states->offsets[tx_choice_text(choice, from + i)] * width,
           (size_t)(size * width) * sizeof(float));
  }
  return TX_OK;
}

/* ---- forward ----------------------------------------------------------- */

static int64_t blocks_of(const tx_stack *stack) { return stack->trained.options.blocks; }

/* All rows, but of the last block. */
static tx_wanted wanted_of(const tx_stack *stack, const tx_stack_run *run, int64_t block) {
  return block == blocks_of(stack) - 1 ? run->wanted : tx_wanted_all(&run->batch);
}

static bool keeps_tapes(const tx_stack *stack, const tx_stack_run *run) {
  int64_t tokens = run->batch.tokens, blocks = blocks_of(stack);
  uint64_t bytes = (uint64_t)blocks * tx_tape_bytes(stack->trained.facts, tokens, tokens);
  return blocks == 1 || bytes <= stack->activation_bytes;
}

/* Each block's output is the next one's input; its tape is let go unless it is kept. */
tx_status tx_stack_forward(tx_stack *stack, tx_pass *pass, bool gradient, tx_stack_run *run,
                           tx_error *error) {
  int64_t width = stack->trained.facts->width, blocks = blocks_of(stack);
  bool failed = false, keep = gradient && keeps_tapes(stack, run);
  run->batch.streams = gradient ? run->streams : NULL;
  run->output = run->x;
  if (blocks == 0) return TX_OK;
  run->inputs = tx_arena_array(pass->arena, (size_t)blocks, sizeof *run->inputs);
  run->tapes = keep ? tx_arena_array(pass->arena, (size_t)blocks, sizeof *run->tapes) : NULL;
  if (!run->inputs || (keep && !run->tapes)) return tx_fail_memory(error, 0, "a step");
  for (int64_t i = 0; i < blocks; i++) {
    tx_wanted wanted = wanted_of(stack, run, i);
    tx_tape own;
    float *x = run->inputs[i] = run->output;
    run->output = take(pass, wanted.count * width, &failed);
    if (failed) return tx_fail_memory(error, (uint64_t)(wanted.count * width) * 4, "a step");
    tx_arena_mark mark = tx_arena_here(pass->arena);
    TX_TRY(tx_trained_ready(&stack->trained, i, false, error));
    TX_TRY(tx_block_forward(pass, &stack->trained.view[i], &run->batch, &wanted, x, run->output,
                            keep ? &run->tapes[i] : &own, error));
    if (keep) {
      tx_tape_slim(pass, &run->tapes[i]);
    } else {
      tx_arena_release(pass->arena, mark);
    }
  }
  return TX_OK;
}

/* ---- backward ---------------------------------------------------------- */

/* The gradient through block `i`: dy (R, C) is consumed, dx (T, C) written unless NULL. */
static tx_status block_backward(tx_stack *stack, tx_pass *pass, const tx_stack_run *run, int64_t i,
                                float *dy, float *dx, tx_error *error) {
  tx_trained *t = &stack->trained;
  tx_wanted wanted = wanted_of(stack, run, i);
  tx_tape own, *tape = run->tapes ? &run->tapes[i] : &own;
  tx_arena_mark mark = tx_arena_here(pass->arena);
  if (!run->tapes) {
    bool failed = false;
    float *again = take(pass, wanted.count * t->facts->width, &failed);
    if (failed) return tx_fail_memory(error, 0, "the blocks' gradient");
    TX_TRY(tx_trained_ready(t, i, false, error));
    TX_TRY(tx_block_forward(pass, &t->view[i], &run->batch, &wanted, run->inputs[i], again, &own,
                            error));
  }
  TX_TRY(tx_trained_ready(t, i, true, error));
  TX_TRY(tx_block_backward(pass, &t->view[i], t->transposed[i], &run->batch, &wanted, tape, dy, dx,
                           &t->gradient[i], error));
  tx_arena_release(pass->arena, mark);
  return TX_OK;
}

/* From the last block to the first; two rows of gradients take turns between them. */
tx_status tx_stack_backward(tx_stack *stack, tx_pass *pass, const tx_stack_run *run, float *dy,
                            float *dx, tx_error *error) {
  int64_t floats = run->batch.tokens * stack->trained.facts->width, blocks = blocks_of(stack);
  bool failed = false;
  float *turns[2] = {NULL, NULL};
  for (int64_t i = 1; i < blocks && i <= 2; i++) turns[i % 2] = take(pass, floats, &failed);
  bool embeds = run->ids && stack->trained.tokens;
  if (embeds && !dx) dx = take(pass, floats, &failed);
  if (failed) return tx_fail_memory(error, 0, "the blocks' gradient");
  for (int64_t i = blocks - 1; i >= 0; i--) {
    float *to = i > 0 ? turns[i % 2] : dx;
    TX_TRY(block_backward(stack, pass, run, i, dy, to, error));
    dy = to;
  }
  if (embeds) {
    tx_trained_embed_backward(&stack->trained, pass->kernels, run->ids, run->batch.positions,
                              run->batch.tokens, dx);
  }
  return TX_OK;
}
