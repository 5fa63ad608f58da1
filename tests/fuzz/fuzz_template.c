/* Any bytes as a chat template, and as what its messages say: up to the first NUL
 * the content, then the template. */
#include "base/memory.h"
#include "fuzz.h"
#include "text/template.h"

enum { MESSAGES = 3 };

/* Messages in turn, each with the same content, marked 1, 2, 3. */
typedef struct messages {
  tx_value keys[2], of_keys[MESSAGES][2], items[MESSAGES];
  tx_dict dicts[MESSAGES];
  tx_list list;
  unsigned char *marks[MESSAGES];
} messages;

static void make_messages(messages *m, tx_text content) {
  static const char *const roles[] = {"system", "user", "assistant"};
  m->keys[0] = tx_value_text(tx_text_of("role"));
  m->keys[1] = tx_value_text(tx_text_of("content"));
  for (int i = 0; i < MESSAGES; i++) {
    m->marks[i] = tx_alloc(content.size);
    MUST(m->marks[i]);
    memset(m->marks[i], i + 1, content.size);
    m->of_keys[i][0] = tx_value_text(tx_text_of(roles[i]));
    m->of_keys[i][1] = tx_value_string((tx_string){content.data, content.size, m->marks[i]});
    m->dicts[i] = (tx_dict){.keys = m->keys, .values = m->of_keys[i], .count = 2, .capacity = 2};
    m->items[i] = tx_value_dict(&m->dicts[i]);
  }
  m->list = (tx_list){.items = m->items, .count = MESSAGES};
}

static tx_status render(const tx_template *made, const messages *m, bool prompt, tx_buffer *text,
                        tx_buffer *marks) {
  const tx_template_variable variables[] = {{"messages", tx_value_list(&m->list)},
                                            {"add_generation_prompt", tx_value_bool(prompt)},
                                            {"bos_token", tx_value_text(tx_text_of("<s>"))},
                                            {"eos_token", tx_value_text(tx_text_of("</s>"))},
                                            {"tools", tx_value_none()},
                                            {"f", tx_value_real(0.1)}};
  tx_error error = {0};
  tx_status status = tx_template_render(made, variables, sizeof variables / sizeof *variables,
                                        text, marks, &error);
  must_tell(status, &error);
  return status;
}

static void check_render(const tx_template *made, const messages *m, bool prompt) {
  tx_buffer text = {0}, marks = {0}, again = {0};
  tx_status status = render(made, m, prompt, &text, &marks);
  MUST(text.size == marks.size && text.size <= TX_TEMPLATE_LONGEST);
  MUST(status == TX_OK || !text.size);
  touch(text.data, text.size);
  for (size_t i = 0; i < marks.size; i++) MUST((unsigned char)marks.data[i] <= MESSAGES);
  MUST(render(made, m, prompt, &again, NULL) == status);
  MUST(again.size == text.size && (!text.size || !memcmp(again.data, text.data, text.size)));
  tx_buffer_free(&text);
  tx_buffer_free(&marks);
  tx_buffer_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const uint8_t *nul = size ? memchr(data, '\0', size) : NULL;
  size_t content = nul ? (size_t)(nul - data) : 0, from = nul ? content + 1 : 0;
  tx_template *made;
  tx_error error = {0};
  tx_text source = {(const char *)data + from, size - from};
  tx_status status = tx_template_new(source, "fuzz", &made, &error);
  must_tell(status, &error);
  MUST((status == TX_OK) == (made != NULL));
  if (status != TX_OK) return 0;
  messages m;
  make_messages(&m, (tx_text){(const char *)data, content});
  for (int prompt = 0; prompt < 2; prompt++) check_render(made, &m, prompt);
  for (int i = 0; i < MESSAGES; i++) tx_free(m.marks[i]);
  tx_template_free(made);
  return 0;
}
