/* Answering: conversations to tokens, tokens to answers. */
#include "tasks/generator.h"

#include <inttypes.h>
#include <string.h>

#include "base/memory.h"
#include "generate/greedy.h"

typedef struct {
  tx_generator *g;
  size_t count;
  tx_ids ids;  /* of all prompts */
  size_t *ends; /* (count), in `ids` */
  tx_chat_text text; /* of one */
  tx_chat_ids tokens;
  tx_greedy_prompt *prompts; /* (count) */
  tx_greedy_answer *written; /* (count) */
} asking;

static tx_status add_ids(tx_ids *to, const tx_ids *from, tx_error *error) {
  size_t count = to->count + from->count;
  if (count > to->capacity) {
    int32_t *ids = tx_resize(to->ids, 2 * count * sizeof *ids);
    if (!ids) return tx_fail_memory(error, 2 * count * sizeof *ids, "the prompts");
    to->ids = ids, to->capacity = 2 * count;
  }
  memcpy(to->ids + to->count, from->ids, from->count * sizeof *to->ids);
  to->count = count;
  return TX_OK;
}

static tx_status encode_turns(asking *a, const tx_conversation *of, tx_error *error) {
  const tx_generator *g = a->g;
  if (!g->chat) {
    for (size_t i = 0; i < of->count; i++) {
      TX_TRY(tx_tokenizer_encode(g->tokenizer, of->turns[i].content, true, 0, &a->ids, error));
      TX_TRY(tx_tokenizer_encode(g->tokenizer, of->turns[i].input, true, 0, &a->ids, error));
    }
    return TX_OK;
  }
  TX_TRY(tx_chat_render(g->chat, of->turns, of->count, true, &a->text, error));
  TX_TRY(tx_chat_tokens(g->tokenizer, &a->text, &a->tokens, error));
  return add_ids(&a->ids, &a->tokens.ids, error);
}

static tx_status encode_one(asking *a, const tx_conversation *of, size_t number, tx_error *error) {
  int64_t context = tx_model_facts(a->g->model)->context;
  size_t from = a->ids.count;
  TX_TRY(encode_turns(a, of, error));
  int64_t size = (int64_t)(a->ids.count - from);
  a->ends[number] = a->ids.count;
  if (size > 0 && size < context) return TX_OK;
  if (size == 0) {
    return tx_fail(error, TX_ERROR_INPUT, "prompt %zu is empty; give it a text", number + 1);
  }
  return tx_fail(error, TX_ERROR_INPUT,
                 "prompt %zu is %" PRId64 " tokens long, and the model reads %" PRId64
                 ", its answer included; shorten it",
                 number + 1, size, context);
}

static tx_status encode_all(asking *a, const tx_conversation *conversations, const char *file,
                            tx_error *error) {
  for (size_t i = 0; i < a->count; i++) {
    tx_error why = {0};
    if (encode_one(a, &conversations[i], i, &why) == TX_OK) continue;
    int64_t line = why.status == TX_ERROR_INPUT ? conversations[i].line : 0;
    return line > 0 ? tx_fail_line(error, TX_ERROR_INPUT, file, line, "%s", why.message)
                    : tx_fail_with(error, &why);
  }
  for (size_t i = 0; i < a->count; i++) {
    size_t start = i > 0 ? a->ends[i - 1] : 0;
    a->prompts[i] = (tx_greedy_prompt){a->ids.ids + start, (int64_t)(a->ends[i] - start)};
  }
  return TX_OK;
}

/* The bytes of the tokens, but for the one that ended the answer. */
static tx_status spell(const asking *a, size_t i, tx_arena *arena, tx_answer *answer,
                       tx_error *error) {
  const tx_greedy_answer *written = &a->written[i];
  int64_t count = written->count - written->stopped;
  tx_buffer text = {0};
  for (int64_t t = 0; t < count; t++) {
    tx_text piece = tx_tokenizer_bytes(a->g->tokenizer, written->ids[t]);
    tx_buffer_append(&text, piece.data, piece.size);
  }
  char *copy = text.failed ? NULL : tx_arena_string(arena, text.data ? text.data : "", text.size);
  *answer = (tx_answer){.text = {copy, text.size},
                        .prompt_tokens = a->prompts[i].count,
                        .tokens = written->count,
                        .stopped = written->stopped,
                        .prefill_seconds = written->prefill_seconds,
                        .decode_seconds = written->decode_seconds};
  tx_buffer_free(&text);
  return copy ? TX_OK : tx_fail_memory(error, text.size, "an answer");
}

static tx_status spell_all(const asking *a, tx_answers *answers, tx_error *error) {
  tx_arena *arena = tx_arena_new();
  tx_answer *list = arena ? tx_arena_array(arena, a->count, sizeof *list) : NULL;
  tx_status status = list ? TX_OK : tx_fail_memory(error, a->count * sizeof *list, "the answers");
  for (size_t i = 0; status == TX_OK && i < a->count; i++) {
    status = spell(a, i, arena, &list[i], error);
  }
  if (status == TX_OK) {
    *answers = (tx_answers){a->count, list, arena};
  } else {
    tx_arena_free(arena);
  }
  return status;
}

static tx_status ask(asking *a, const tx_conversation *conversations, const char *file,
                     int64_t max_new, tx_answers *answers, const tx_watch *watch,
                     tx_error *error) {
  const tx_facts *facts = tx_model_facts(a->g->model);
  a->ends = tx_alloc_array(a->count, sizeof *a->ends);
  a->prompts = tx_alloc_array(a->count, sizeof *a->prompts);
  a->written = tx_alloc_zero(a->count, sizeof *a->written);
  if (!a->ends || !a->prompts || !a->written) {
    return tx_fail_memory(error, a->count * 64, "the prompts");
  }
  TX_TRY(encode_all(a, conversations, file, error));
  tx_greedy_options options = {a->g->stops, a->g->stop_count, max_new, facts->context};
  TX_TRY(tx_greedy(a->g->decode, facts->vocabulary, a->prompts, (int64_t)a->count, options,
                   a->written, watch, error));
  return spell_all(a, answers, error);
}

tx_status tx_generator_answer(tx_generator *g, const tx_conversation *conversations, size_t count,
                              const char *file, int64_t max_new, tx_answers *answers,
                              const tx_watch *watch, tx_error *error) {
  *answers = (tx_answers){0};
  if (max_new < 1) {
    return tx_fail(error, TX_ERROR_ARGUMENT, "an answer has at least one token, not %" PRId64,
                   max_new);
  }
  asking a = {.g = g, .count = count};
  tx_status status = ask(&a, conversations, file, max_new, answers, watch, error);
  for (size_t i = 0; a.written && i < count; i++) tx_free(a.written[i].ids);
  tx_free(a.ends);
  tx_free(a.prompts);
  tx_free(a.written);
  tx_ids_free(&a.ids);
  tx_chat_text_free(&a.text);
  tx_chat_ids_free(&a.tokens);
  return status;
}

tx_status tx_generate(tx_generator *g, const tx_prompt *prompts, size_t count, int64_t max_new,
                      tx_answers *answers, const tx_watch *watch, tx_error *error) {
  tx_chat_message *turns = tx_alloc_array(count, sizeof *turns);
  tx_conversation *conversations = tx_alloc_array(count, sizeof *conversations);
  tx_status status = turns && conversations ? TX_OK : tx_fail_memory(error, count, "the prompts");
  *answers = (tx_answers){0};
  for (size_t i = 0; status == TX_OK && i < count; i++) {
    turns[i] = (tx_chat_message){{"user", 4}, prompts[i].text, prompts[i].input};
    conversations[i] = (tx_conversation){&turns[i], 1, 0};
  }
  if (status == TX_OK) {
    status = tx_generator_answer(g, conversations, count, "", max_new, answers, watch, error);
  }
  tx_free(turns);
  tx_free(conversations);
  return status;
}

void tx_answers_free(tx_answers *answers) {
  tx_arena_free(answers->owned);
  *answers = (tx_answers){0};
}
