/* From a tuned model to the artifact's tensors and keys. */
#include "base/memory.h"
#include "formats/tuned.h"
#include "score/network.h"
#include "tasks/train_write.h"
#include "tasks/tune.h"

static tx_status add_parameters(const tx_tuning *u, tx_gguf_writer *writer, tx_arena *arena,
                                tx_error *error) {
  const tx_parameters *set = tx_language_parameters(u->language);
  u->report->trained_parameters = set->values;
  for (int64_t i = 0; i < set->count; i++) {
    const tx_parameter *p = &set->items[i];
    TX_TRY(tx_train_write_parameter(&u->shared, p, p->name, writer, arena, error));
  }
  return TX_OK;
}

static const char *objective_of(const tx_tune_options *o) {
  return o->preferences ? "preferences" : o->with_prompts ? "whole texts" : "answers";
}

static void add_facts(const tx_tuning *u, tx_gguf_writer *writer) {
  static const char *const schedules[] = {"constant", "cosine", "linear"};
  const tx_train_options *o = &u->options->train;
  const tx_tune_report *r = u->report;
  tx_tuned_facts facts = {
      .method = tx_text_of(tx_method_name(o->method)),
      .chat_template = tx_text_of(r->chat_template),
      .base_name = tx_text_of(o->model),
      .base_sha256 = tx_text_of(u->shared.base_sha256),
      .objective = tx_text_of(objective_of(u->options)),
      .blocks_trained = r->blocks,
      .train_rows = r->train_rows,
      .val_rows = r->val_rows,
      .tokens = r->tokens,
      .answer_tokens = r->answer_tokens,
      .left_out = r->left_out,
      .data_sha256 = tx_text_of(u->train.sha256),
      .validation_sha256 = tx_text_of(u->held_out.sha256),
      .seed = (int64_t)o->seed,
      .epochs = r->epochs,
      .best_epoch = r->best_epoch,
      .batch = o->batch,
      .accumulate = o->accumulate,
      .rank = o->method == TX_METHOD_LORA ? o->rank : 0,
      .trained_parameters = r->trained_parameters,
      .learning_rate = r->learning_rate,
      .weight_decay = o->weight_decay,
      .beta = u->options->preferences ? u->options->beta : 0,
      .schedule = tx_text_of(schedules[o->schedule]),
      .command = tx_text_of(o->command ? o->command : ""),
      .version = tx_text_of(tx_version()),
      .before_loss = r->before.loss,
      .before_right = r->before.right,
      .loss = r->after.loss,
      .right = r->after.right};
  tx_tuned_add_facts(writer, &facts);
}

tx_status tx_tune_write(const tx_tuning *u, tx_error *error) {
  tx_gguf_writer *writer = tx_gguf_writer_new();
  tx_arena *arena = tx_arena_new();
  tx_status status = writer && arena ? TX_OK : tx_fail_memory(error, 256, "the artifact");
  if (status == TX_OK) status = add_parameters(u, writer, arena, error);
  if (status == TX_OK) {
    add_facts(u, writer);
    status = tx_gguf_commit(writer, u->options->train.out, error);
  }
  tx_gguf_writer_free(writer);
  tx_arena_free(arena);
  return status;
}
