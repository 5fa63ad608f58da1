/* A template made from its source, and rendered. */
#include "text/template.h"

#include <string.h>

#include "text/template_parts.h"

static const tx_template_limits most = {.steps = 1 << 22, .bytes = 1 << 27};

struct tx_template {
  tx_arena *arena; /* of everything below */
  const char *name;
  const tx_node *first;
};

static tx_status make(tx_template *made, tx_text source, const char *name, tx_words *words,
                      tx_error *error) {
  made->name = tx_arena_string(made->arena, name, strlen(name));
  if (!made->name) return tx_fail_memory(error, strlen(name), "a chat template");
  TX_TRY(tx_template_lex(source, made->name, made->arena, words, error));
  tx_parser parser = {
      .words = words, .file = made->name, .arena = made->arena, .error = error};
  return tx_parse_template(&parser, &made->first);
}

tx_status tx_template_new(tx_text source, const char *name, tx_template **made, tx_error *error) {
  *made = NULL;
  if (source.size > TX_TEMPLATE_SOURCE) {
    return tx_fail_line(error, TX_ERROR_INPUT, name, 0,
                        "the chat template is %zu bytes long, where %d is the most; choose "
                        "another", source.size, TX_TEMPLATE_SOURCE);
  }
  tx_template *new = tx_alloc_zero(1, sizeof *new);
  if (!new) return tx_fail_memory(error, sizeof *new, "a chat template");
  new->arena = tx_arena_new();
  tx_words words = {0};
  tx_status status = new->arena ? make(new, source, name, &words, error)
                                : tx_fail_memory(error, sizeof *new, "a chat template");
  tx_free(words.items);
  if (status == TX_OK) {
    *made = new;
  } else {
    tx_template_free(new);
  }
  return status;
}

void tx_template_free(tx_template *made) {
  if (!made) return;
  tx_arena_free(made->arena);
  tx_free(made);
}

static tx_status give_back(const tx_builder *out, tx_buffer *text, tx_buffer *marks,
                           tx_error *error) {
  size_t before = text->size;
  if (!out->size) return TX_OK;
  bool fits = tx_buffer_append(text, out->data, out->size);
  if (fits && marks) {
    fits = tx_buffer_append(marks, out->marks, out->size);
    if (!fits) text->data[text->size = before] = '\0';
  }
  return fits ? TX_OK : tx_fail_memory(error, out->size, "a conversation");
}

tx_status tx_template_render_within(const tx_template *made,
                                    const tx_template_variable *variables, size_t count,
                                    tx_template_limits limits, tx_buffer *text, tx_buffer *marks,
                                    tx_error *error) {
  tx_scope scope = {0};
  tx_builder out = {0};
  tx_run run = {.arena = tx_arena_new(), .file = made->name, .scope = &scope, .out = &out,
                .steps = limits.steps, .bytes = limits.bytes, .error = error};
  if (!run.arena) return tx_fail_memory(error, sizeof run, "a chat template");
  tx_status status = TX_OK;
  for (size_t i = 0; status == TX_OK && i < count; i++) {
    status = tx_run_assign(&run, tx_text_of(variables[i].name), variables[i].value);
  }
  if (status == TX_OK) status = tx_run_statements(&run, made->first);
  if (status == TX_OK) status = give_back(&out, text, marks, error);
  tx_arena_free(run.arena);
  return status;
}

tx_status tx_template_render(const tx_template *made, const tx_template_variable *variables,
                             size_t count, tx_buffer *text, tx_buffer *marks, tx_error *error) {
  return tx_template_render_within(made, variables, count, most, text, marks, error);
}
