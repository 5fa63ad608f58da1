/* A template with its variables: opened from a file, and rendered. */
#include "text/chat.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "text/chat_parts.h"

/* ---- opening ----------------------------------------------------------- */

static const char chatml[] =
    "{% if add_bos_token %}{{ bos_token }}{% endif %}"
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/* One turn or several; a system message stands in for the first sentences. */
static const char alpaca[] =
    "{% if add_bos_token %}{{ bos_token }}{% endif %}"
    "{% if messages and messages[0].role == 'system' %}"
    "{% set turns = messages[1:] %}{{ messages[0].content }}"
    "{% else %}{% set turns = messages %}"
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request."
    "{% endif %}"
    "{% for message in turns %}"
    "{% if message.role == 'user' %}{{ '\\n\\n### Instruction:\\n' + message.content }}"
    "{% if message.input %}{{ '\\n\\n### Input:\\n' + message.input }}{% endif %}"
    "{% elif message.role == 'assistant' %}"
    "{{ '\\n\\n### Response:\\n' + message.content + eos_token }}"
    "{% else %}{{ raise_exception('alpaca has no place for the role ' + message.role) }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '\\n\\n### Response:\\n' }}{% endif %}";

#define REFUSE(gguf, ...) tx_fail_line(error, TX_ERROR_INPUT, tx_gguf_path(gguf), 0, __VA_ARGS__)

/* The spelling of the token of a key, copied; {NULL, 0} where the file names none. */
static tx_status copy_token(tx_chat *chat, const tx_gguf *gguf, const char *key, tx_text *token,
                            tx_error *error) {
  int64_t id;
  const tx_text *tokens;
  size_t count;
  *token = (tx_text){NULL, 0};
  if (!tx_gguf_has(gguf, key)) return TX_OK;
  TX_TRY(tx_gguf_int(gguf, key, &id, error));
  TX_TRY(tx_gguf_strings(gguf, "tokenizer.ggml.tokens", &tokens, &count, error));
  if (id < 0 || (uint64_t)id >= count) {
    return REFUSE(gguf, "%s is %" PRId64 " of a vocabulary of %zu; the file is damaged or was "
                  "badly converted, fetch it again", key, id, count);
  }
  token->data = tx_arena_string(chat->arena, tokens[id].data, tokens[id].size);
  token->size = tokens[id].size;
  return token->data ? TX_OK : tx_fail_memory(error, token->size, "a chat template");
}

static tx_status read_tokens(tx_chat *chat, const tx_gguf *gguf, tx_error *error) {
  static const char flag[] = "tokenizer.ggml.add_bos_token";
  TX_TRY(copy_token(chat, gguf, "tokenizer.ggml.bos_token_id", &chat->bos, error));
  TX_TRY(copy_token(chat, gguf, "tokenizer.ggml.eos_token_id", &chat->eos, error));
  TX_TRY(copy_token(chat, gguf, "tokenizer.ggml.unknown_token_id", &chat->unknown, error));
  TX_TRY(copy_token(chat, gguf, "tokenizer.ggml.padding_token_id", &chat->padding, error));
  return tx_gguf_has(gguf, flag) ? tx_gguf_bool(gguf, flag, &chat->add_bos, error) : TX_OK;
}

static tx_status own_template(const tx_gguf *gguf, tx_text *source, tx_error *error) {
  static const char key[] = "tokenizer.chat_template";
  if (tx_gguf_has(gguf, key)) return tx_gguf_string(gguf, key, source, error);
  return REFUSE(gguf, "the model has no chat template (%s is missing); choose one that is built "
                "in, alpaca or chatml, or use a model that was tuned to chat", key);
}

/* Without them a turn's end would be letters like any others. */
static tx_status check_chatml(const tx_gguf *gguf, tx_error *error) {
  static const char *const wanted[] = {"<|im_start|>", "<|im_end|>"};
  const tx_text *tokens;
  size_t count, found = 0;
  TX_TRY(tx_gguf_strings(gguf, "tokenizer.ggml.tokens", &tokens, &count, error));
  for (size_t i = 0; i < count; i++) {
    for (size_t j = 0; j < 2; j++) {
      size_t size = strlen(wanted[j]);
      found += tokens[i].size == size && !memcmp(tokens[i].data, wanted[j], size);
    }
  }
  if (found == 2) return TX_OK;
  return REFUSE(gguf, "the vocabulary has no tokens <|im_start|> and <|im_end|>, which the "
                "template chatml needs; choose the template alpaca");
}

static tx_status choose(tx_chat *chat, const tx_gguf *gguf, const char *name, tx_text *source,
                        tx_error *error) {
  if (!name || !strcmp(name, "model")) return own_template(gguf, source, error);
  if (!strcmp(name, "chatml")) {
    *source = tx_text_of(chatml);
    chat->built_in = true;
    return check_chatml(gguf, error);
  }
  if (strcmp(name, "alpaca") != 0) {
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "there is no chat template %.40s; choose model, chatml or alpaca", name);
  }
  chat->built_in = chat->has_input = true;
  *source = tx_text_of(alpaca);
  if (chat->eos.size) return TX_OK;
  return REFUSE(gguf, "the model names no end-of-text token (tokenizer.ggml.eos_token_id), with "
                "which answers of the template alpaca end; use another model");
}

static tx_status open_chat(tx_chat *chat, const tx_gguf *gguf, const char *name, tx_error *error) {
  tx_text source;
  char file[256];
  TX_TRY(read_tokens(chat, gguf, error));
  TX_TRY(choose(chat, gguf, name, &source, error));
  snprintf(file, sizeof file, "%s", tx_gguf_path(gguf));
  return tx_template_new(source, file, &chat->template, error);
}

tx_status tx_chat_open(const tx_gguf *gguf, const char *template, tx_chat **chat, tx_error *error) {
  *chat = NULL;
  tx_chat *opened = tx_alloc_zero(1, sizeof *opened);
  if (!opened) return tx_fail_memory(error, sizeof *opened, "a chat template");
  opened->arena = tx_arena_new();
  tx_status status = opened->arena ? open_chat(opened, gguf, template, error)
                                   : tx_fail_memory(error, sizeof *opened, "a chat template");
  if (status == TX_OK) {
    *chat = opened;
  } else {
    tx_chat_free(opened);
  }
  return status;
}

void tx_chat_free(tx_chat *chat) {
  if (!chat) return;
  tx_template_free(chat->template);
  tx_arena_free(chat->arena);
  tx_free(chat);
}

/* ---- rendering --------------------------------------------------------- */

enum { KEYS = 3, VARIABLES = 12 };

/* One rendering's values, in an arena. */
typedef struct values {
  tx_arena *arena;
  tx_value *keys, *of_keys; /* (count, KEYS) */
  tx_dict *dicts;           /* (count) */
  tx_value *items;          /* (count) */
  tx_list list;
  tx_error *error;
} values;

static tx_status no_memory(const values *v, uint64_t bytes) {
  return tx_fail_memory(v->error, bytes, "a conversation");
}

/* A text of message `number`, its bytes marked with number + 1. */
static tx_status marked(values *v, tx_text text, size_t number, tx_value *value) {
  unsigned char *marks = tx_arena_alloc(v->arena, text.size);
  if (!marks) return no_memory(v, text.size);
  memset(marks, (int)(number + 1), text.size);
  *value = tx_value_string((tx_string){text.data, text.size, marks});
  return TX_OK;
}

/* Content, an empty line or after a colon a space, input. */
static tx_status joined(values *v, const tx_chat_message *message, tx_text *text) {
  *text = message->content;
  if (!message->input.size) return TX_OK;
  size_t before = message->content.size, after = message->input.size;
  const char *between = before > 0 && text->data[before - 1] == ':' ? " " : "\n\n";
  uint64_t size;
  char *both = tx_add(before, after, &size) && tx_add(size, strlen(between), &size)
                   ? tx_arena_alloc(v->arena, size) : NULL;
  if (!both) return no_memory(v, message->content.size);
  if (before) memcpy(both, message->content.data, before);
  memcpy(both + before, between, strlen(between));
  memcpy(both + size - after, message->input.data, after);
  *text = (tx_text){both, size};
  return TX_OK;
}

static tx_status check_role(const tx_chat_message *message, size_t number, tx_error *error) {
  static const char *const roles[] = {"system", "user", "assistant", "tool"};
  for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
    if (tx_chat_is_role(message, roles[i])) return TX_OK;
  }
  return tx_fail(error, TX_ERROR_INPUT,
                 "message %zu has the role \"%s\", where system, user, assistant and tool are "
                 "known; correct it",
                 number + 1, tx_template_show(message->role).text);
}

bool tx_chat_is_role(const tx_chat_message *message, const char *role) {
  return tx_text_equal(message->role, role);
}

static tx_status add_message(values *v, const tx_chat *chat, const tx_chat_message *message,
                             size_t number) {
  tx_value *keys = v->keys + number * KEYS, *of_keys = v->of_keys + number * KEYS;
  tx_dict *dict = &v->dicts[number];
  tx_text content = message->content;
  TX_TRY(check_role(message, number, v->error));
  if (!chat->has_input) TX_TRY(joined(v, message, &content));
  keys[0] = tx_value_text(tx_text_of("role"));
  keys[1] = tx_value_text(tx_text_of("content"));
  keys[2] = tx_value_text(tx_text_of("input"));
  of_keys[0] = tx_value_text(message->role);
  TX_TRY(marked(v, content, number, &of_keys[1]));
  TX_TRY(marked(v, message->input, number, &of_keys[2]));
  size_t count = chat->has_input ? 3 : 2;
  *dict = (tx_dict){.keys = keys, .values = of_keys, .count = count, .capacity = count};
  v->items[number] = tx_value_dict(dict);
  return TX_OK;
}

static tx_status add_messages(values *v, const tx_chat *chat, const tx_chat_message *messages,
                              size_t count) {
  v->keys = tx_arena_array(v->arena, count * KEYS, sizeof *v->keys);
  v->of_keys = tx_arena_array(v->arena, count * KEYS, sizeof *v->of_keys);
  v->dicts = tx_arena_array(v->arena, count, sizeof *v->dicts);
  v->items = tx_arena_array(v->arena, count, sizeof *v->items);
  if (!v->keys || !v->of_keys || !v->dicts || !v->items) return no_memory(v, count * 256);
  for (size_t i = 0; i < count; i++) TX_TRY(add_message(v, chat, &messages[i], i));
  v->list = (tx_list){.items = v->items, .count = count};
  return TX_OK;
}

static void add_token(tx_template_variable *variables, size_t *count, const char *name,
                      tx_text token) {
  if (token.data) variables[(*count)++] = (tx_template_variable){name, tx_value_text(token)};
}

/* What transformers gives a template, and for those built in also add_bos_token. */
static size_t set_variables(const tx_chat *chat, const tx_list *messages, bool prompt,
                            tx_template_variable *variables) {
  size_t count = 0;
  variables[count++] = (tx_template_variable){"messages", tx_value_list(messages)};
  variables[count++] = (tx_template_variable){"add_generation_prompt", tx_value_bool(prompt)};
  variables[count++] = (tx_template_variable){"tools", tx_value_none()};
  variables[count++] = (tx_template_variable){"documents", tx_value_none()};
  if (chat->built_in) {
    variables[count++] = (tx_template_variable){"add_bos_token", tx_value_bool(chat->add_bos)};
  }
  add_token(variables, &count, "bos_token", chat->bos);
  add_token(variables, &count, "eos_token", chat->eos);
  add_token(variables, &count, "unk_token", chat->unknown);
  add_token(variables, &count, "pad_token", chat->padding);
  return count;
}

static tx_status render(values *v, const tx_chat *chat, const tx_chat_message *messages,
                        size_t count, bool prompt, tx_buffer *text, tx_buffer *marks) {
  tx_template_variable variables[VARIABLES];
  TX_TRY(add_messages(v, chat, messages, count));
  size_t variable_count = set_variables(chat, &v->list, prompt, variables);
  return tx_template_render(chat->template, variables, variable_count, text, marks, v->error);
}

tx_status tx_chat_write(const tx_chat *chat, const tx_chat_message *messages, size_t count,
                        bool prompt, tx_buffer *text, tx_buffer *marks, tx_error *error) {
  if (count > TX_CHAT_MESSAGES) {
    return tx_fail(error, TX_ERROR_INPUT,
                   "a conversation has %zu messages, where %d are the most; split it", count,
                   TX_CHAT_MESSAGES);
  }
  tx_buffer_clear(text);
  tx_buffer_clear(marks);
  values v = {.arena = tx_arena_new(), .error = error};
  if (!v.arena) return no_memory(&v, sizeof v);
  tx_status status = render(&v, chat, messages, count, prompt, text, marks);
  tx_arena_free(v.arena);
  return status;
}

void tx_chat_text_free(tx_chat_text *text) {
  tx_buffer_free(&text->text);
  tx_buffer_free(&text->content);
  tx_buffer_free(&text->answer);
}

tx_status tx_chat_render(const tx_chat *chat, const tx_chat_message *messages, size_t count,
                         bool prompt, tx_chat_text *text, tx_error *error) {
  TX_TRY(tx_chat_write(chat, messages, count, prompt, &text->text, &text->content, error));
  size_t size = text->text.size;
  tx_buffer_clear(&text->answer);
  if (!tx_buffer_reserve(&text->answer, size)) {
    return tx_fail_memory(error, size, "a conversation");
  }
  if (size) memset(text->answer.data, 0, size);
  text->answer.size = size;
  return TX_OK;
}
