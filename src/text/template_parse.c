/* Words to the tree of statements. */
#include <inttypes.h>
#include <string.h>

#include "text/template_parts.h"

/* ---- words ------------------------------------------------------------- */

const tx_word *tx_parser_word(const tx_parser *p) { return &p->words->items[p->at]; }

bool tx_parser_sign(const tx_parser *p, const char *sign) {
  const tx_word *word = tx_parser_word(p);
  return word->kind == TX_WORD_SIGN && tx_text_equal(word->text, sign);
}

bool tx_parser_name(const tx_parser *p, const char *name) {
  const tx_word *word = tx_parser_word(p);
  return word->kind == TX_WORD_NAME && tx_text_equal(word->text, name);
}

bool tx_parser_skip_sign(tx_parser *p, const char *sign) {
  bool there = tx_parser_sign(p, sign);
  p->at += there;
  return there;
}

bool tx_parser_skip_name(tx_parser *p, const char *name) {
  bool there = tx_parser_name(p, name);
  p->at += there;
  return there;
}

tx_shown tx_template_show(tx_text text) {
  tx_shown shown;
  size_t size = text.size < sizeof shown.text ? text.size : sizeof shown.text - 1;
  for (size_t i = 0; i < size; i++) {
    unsigned char c = (unsigned char)text.data[i];
    shown.text[i] = c < 0x20 || c == 0x7f ? '?' : text.data[i];
  }
  while (size < text.size && size && ((unsigned char)shown.text[size - 1] & 0x80)) size--;
  shown.text[size] = '\0';
  return shown;
}

tx_status tx_parser_unexpected(tx_parser *p, const char *wanted) {
  const tx_word *word = tx_parser_word(p);
  static const char *const kinds[] = {
      [TX_WORD_END] = "the end of the template", [TX_WORD_TEXT] = "text",
      [TX_WORD_PRINT] = "{{",  [TX_WORD_PRINT_END] = "}}",
      [TX_WORD_BLOCK] = "{%",  [TX_WORD_BLOCK_END] = "%}"};
  bool spelled = word->kind > TX_WORD_BLOCK_END;
  tx_shown shown = tx_template_show(word->text);
  return tx_fail_line(p->error, TX_ERROR_INPUT, p->file, word->line,
                      "the chat template is not understood: %s%s%s stands where %s should be; "
                      "choose a template by its name, or mend this one",
                      spelled ? "\"" : "", spelled ? shown.text : kinds[word->kind],
                      spelled ? "\"" : "", wanted);
}

tx_status tx_parser_expect_sign(tx_parser *p, const char *sign, const char *where) {
  if (tx_parser_skip_sign(p, sign)) return TX_OK;
  char wanted[64] = "'";
  size_t size = strlen(sign), more = strlen(where);
  memcpy(wanted + 1, sign, size);
  memcpy(wanted + 1 + size, "' of ", 5);
  memcpy(wanted + 6 + size, where, more + 1); /* both are our own and short */
  return tx_parser_unexpected(p, wanted);
}

tx_status tx_parser_expect_name(tx_parser *p, tx_text *name, const char *where) {
  const tx_word *word = tx_parser_word(p);
  *name = word->text;
  if (word->kind == TX_WORD_NAME) {
    p->at++;
    return TX_OK;
  }
  return tx_parser_unexpected(p, where);
}

tx_status tx_parser_enter(tx_parser *p) {
  if (p->nesting++ < TX_TEMPLATE_NESTING) return TX_OK;
  return tx_fail_line(p->error, TX_ERROR_INPUT, p->file, tx_parser_word(p)->line,
                      "the chat template is nested deeper than %d levels; choose another",
                      TX_TEMPLATE_NESTING);
}

tx_status tx_parser_node(tx_parser *p, tx_node_kind kind, tx_node **node) {
  tx_node *made = tx_arena_alloc(p->arena, sizeof *made);
  if (!made) return tx_fail_memory(p->error, sizeof *made, "a chat template");
  *made = (tx_node){.kind = kind, .line = tx_parser_word(p)->line};
  *node = made;
  return TX_OK;
}

void tx_node_append(tx_node_list *list, tx_node *node) {
  if (list->last) {
    list->last->next = node;
  } else {
    list->first = node;
  }
  list->last = node;
}

/* ---- statements -------------------------------------------------------- */

static tx_status parse_body(tx_parser *p, const char *const *ends, const tx_node **first);

static tx_status end_block(tx_parser *p) {
  if (tx_parser_word(p)->kind != TX_WORD_BLOCK_END) return tx_parser_unexpected(p, "%}");
  p->at++;
  return TX_OK;
}

/* The statements up to {% `end` %}, which is taken too. */
static tx_status parse_until(tx_parser *p, const char *end, const tx_node **first) {
  const char *const ends[] = {end, NULL};
  TX_TRY(parse_body(p, ends, first));
  p->at++;
  return end_block(p);
}

/* After the word `if` or `elif`, to the end of the whole. */
static tx_status parse_if(tx_parser *p, tx_node **node) {
  static const char *const ends[] = {"elif", "else", "endif", NULL};
  tx_node *first = NULL, *last = NULL;
  for (;;) {
    tx_node *branch, *condition;
    TX_TRY(tx_parser_node(p, TX_NODE_IF, &branch));
    TX_TRY(tx_parse_tuple(p, true, &condition));
    TX_TRY(end_block(p));
    branch->a = condition;
    TX_TRY(parse_body(p, ends, &branch->body));
    if (last) {
      last->other = branch;
      last->flag = true;
    } else {
      first = branch;
    }
    last = branch;
    if (!tx_parser_skip_name(p, "elif")) break;
  }
  *node = first;
  if (tx_parser_skip_name(p, "else")) {
    TX_TRY(end_block(p));
    return parse_until(p, "endif", &last->other);
  }
  p->at++;
  return end_block(p);
}

/* name, name.attribute, or several with commas between them. */
static tx_status parse_targets(tx_parser *p, bool attributes, const tx_node **first) {
  tx_node_list targets = {0};
  bool brackets = tx_parser_skip_sign(p, "(");
  do {
    tx_node *target, *attribute;
    TX_TRY(tx_parser_node(p, TX_NODE_NAME, &target));
    TX_TRY(tx_parser_expect_name(p, &target->text, "a name to assign to"));
    if (attributes && tx_parser_skip_sign(p, ".")) {
      TX_TRY(tx_parser_node(p, TX_NODE_ATTRIBUTE, &attribute));
      TX_TRY(tx_parser_expect_name(p, &attribute->text, "an attribute"));
      attribute->a = target;
      target = attribute;
    }
    tx_node_append(&targets, target);
  } while (tx_parser_skip_sign(p, ","));
  *first = targets.first;
  return brackets ? tx_parser_expect_sign(p, ")", "the names") : TX_OK;
}

static tx_status parse_for(tx_parser *p, tx_node **node) {
  static const char *const ends[] = {"else", "endfor", NULL};
  tx_node *of, *filter = NULL;
  TX_TRY(tx_parser_node(p, TX_NODE_FOR, node));
  TX_TRY(parse_targets(p, false, &(*node)->list));
  if (!tx_parser_skip_name(p, "in")) return tx_parser_unexpected(p, "in");
  TX_TRY(tx_parse_tuple(p, false, &of));
  if (tx_parser_skip_name(p, "if")) TX_TRY(tx_parse_expression(p, true, &filter));
  TX_TRY(end_block(p));
  (*node)->a = of;
  (*node)->b = filter;
  TX_TRY(parse_body(p, ends, &(*node)->body));
  if (tx_parser_skip_name(p, "else")) {
    TX_TRY(end_block(p));
    return parse_until(p, "endfor", &(*node)->other);
  }
  p->at++;
  return end_block(p);
}

static tx_status parse_set(tx_parser *p, tx_node **node) {
  TX_TRY(tx_parser_node(p, TX_NODE_SET, node));
  TX_TRY(parse_targets(p, true, &(*node)->list));
  if (tx_parser_skip_sign(p, "=")) {
    tx_node *value;
    TX_TRY(tx_parse_tuple(p, true, &value));
    (*node)->a = value;
    return end_block(p);
  }
  TX_TRY(end_block(p));
  return parse_until(p, "endset", &(*node)->body);
}

static tx_status parse_macro(tx_parser *p, tx_node **node) {
  tx_node_list parameters = {0};
  TX_TRY(tx_parser_node(p, TX_NODE_MACRO, node));
  TX_TRY(tx_parser_expect_name(p, &(*node)->text, "the name of a macro"));
  TX_TRY(tx_parser_expect_sign(p, "(", "a macro"));
  while (!tx_parser_sign(p, ")")) {
    tx_node *parameter, *value = NULL;
    TX_TRY(tx_parser_node(p, TX_NODE_KEYWORD, &parameter));
    TX_TRY(tx_parser_expect_name(p, &parameter->text, "a parameter"));
    if (tx_parser_skip_sign(p, "=")) TX_TRY(tx_parse_expression(p, true, &value));
    parameter->a = value;
    tx_node_append(&parameters, parameter);
    if (!tx_parser_skip_sign(p, ",")) break;
  }
  TX_TRY(tx_parser_expect_sign(p, ")", "a macro"));
  TX_TRY(end_block(p));
  (*node)->list = parameters.first;
  return parse_until(p, "endmacro", &(*node)->body);
}

/* The word after {%, and all that belongs to it. */
static tx_status parse_statement(tx_parser *p, tx_node **node) {
  if (tx_parser_skip_name(p, "if")) return parse_if(p, node);
  if (tx_parser_skip_name(p, "for")) return parse_for(p, node);
  if (tx_parser_skip_name(p, "set")) return parse_set(p, node);
  if (tx_parser_skip_name(p, "macro")) return parse_macro(p, node);
  if (tx_parser_name(p, "break") || tx_parser_name(p, "continue")) {
    bool leave = tx_parser_name(p, "break");
    TX_TRY(tx_parser_node(p, leave ? TX_NODE_BREAK : TX_NODE_CONTINUE, node));
    p->at++;
    return end_block(p);
  }
  if (tx_parser_skip_name(p, "generation")) { /* marks what a model writes: transformers */
    TX_TRY(tx_parser_node(p, TX_NODE_GROUP, node));
    TX_TRY(end_block(p));
    return parse_until(p, "endgeneration", &(*node)->body);
  }
  return tx_parser_unexpected(p, "a statement that is known (if, for, set, macro, break, "
                                 "continue, generation)");
}

static tx_status parse_piece(tx_parser *p, tx_node **node) {
  const tx_word *word = tx_parser_word(p);
  p->at++;
  if (word->kind == TX_WORD_BLOCK) {
    TX_TRY(tx_parser_enter(p));
    TX_TRY(parse_statement(p, node));
    p->nesting--;
    return TX_OK;
  }
  TX_TRY(tx_parser_node(p, word->kind == TX_WORD_TEXT ? TX_NODE_TEXT : TX_NODE_PRINT, node));
  (*node)->line = word->line;
  (*node)->text = word->text;
  if (word->kind == TX_WORD_TEXT) return TX_OK;
  tx_node *value;
  TX_TRY(tx_parse_tuple(p, true, &value));
  (*node)->a = value;
  if (tx_parser_word(p)->kind != TX_WORD_PRINT_END) return tx_parser_unexpected(p, "}}");
  p->at++;
  return TX_OK;
}

/* Whether {% and one of `ends` come: then the words stand at that name. */
static bool at_end(tx_parser *p, const char *const *ends) {
  if (tx_parser_word(p)->kind != TX_WORD_BLOCK) return false;
  p->at++;
  for (; *ends; ends++)
    if (tx_parser_name(p, *ends)) return true;
  p->at--;
  return false;
}

/* Statements up to {% and one of `ends`, at whose name the words are left; to the
 * end of the template where there are none. */
static tx_status parse_body(tx_parser *p, const char *const *ends, const tx_node **first) {
  tx_node_list list = {0};
  int64_t line = tx_parser_word(p)->line;
  while (!at_end(p, ends)) {
    if (tx_parser_word(p)->kind == TX_WORD_END) {
      if (!*ends) break;
      return tx_fail_line(p->error, TX_ERROR_INPUT, p->file, line,
                          "what begins here is not closed by {%% %s %%}; the chat template is "
                          "damaged, choose another",
                          ends[1] ? (ends[2] ? ends[2] : ends[1]) : ends[0]);
    }
    tx_node *node;
    TX_TRY(parse_piece(p, &node));
    tx_node_append(&list, node);
  }
  *first = list.first;
  return TX_OK;
}

tx_status tx_parse_template(tx_parser *p, const tx_node **first) {
  static const char *const none[] = {NULL};
  return parse_body(p, none, first);
}
