/* Words to the tree of an expression, by Jinja's order of binding: inline if, or,
 * and, not, comparisons, + -, ~, * / // %, **, unary signs, then what follows an
 * operand. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "text/template_parts.h"

static tx_status parse_unary(tx_parser *p, bool filters, tx_node **node);
static tx_status parse_or(tx_parser *p, tx_node **node);

/* ---- operands ---------------------------------------------------------- */

static tx_status parse_string(tx_parser *p, tx_node **node) {
  TX_TRY(tx_parser_node(p, TX_NODE_CONSTANT, node));
  size_t size = 0, first = p->at;
  while (tx_parser_word(p)->kind == TX_WORD_STRING) size += p->words->items[p->at++].text.size;
  char *text = tx_arena_alloc(p->arena, size), *to = text;
  if (!text) return tx_fail_memory(p->error, size, "a chat template");
  for (size_t i = first; i < p->at; i++) { /* "a" "b" is one string */
    tx_text part = p->words->items[i].text;
    if (part.size) memcpy(to, part.data, part.size);
    to += part.size;
  }
  (*node)->value = tx_value_text((tx_text){text, size});
  return TX_OK;
}

static tx_status parse_number(tx_parser *p, tx_node **node) {
  const tx_word *word = tx_parser_word(p);
  char digits[64];
  if (word->text.size >= sizeof digits) return tx_parser_unexpected(p, "a shorter number");
  memcpy(digits, word->text.data, word->text.size);
  digits[word->text.size] = '\0';
  TX_TRY(tx_parser_node(p, TX_NODE_CONSTANT, node));
  if (word->kind == TX_WORD_REAL) {
    (*node)->value = tx_value_real(strtod(digits, NULL));
  } else {
    errno = 0;
    (*node)->value = tx_value_integer(strtoll(digits, NULL, 10));
    if (errno) return tx_parser_unexpected(p, "a smaller number");
  }
  p->at++;
  return TX_OK;
}

static tx_status parse_name(tx_parser *p, tx_node **node) {
  static const struct {
    const char *name;
    tx_value value;
  } constants[] = {{"true", {.kind = TX_VALUE_BOOL, .truth = true}},
                   {"True", {.kind = TX_VALUE_BOOL, .truth = true}},
                   {"false", {.kind = TX_VALUE_BOOL}},
                   {"False", {.kind = TX_VALUE_BOOL}},
                   {"none", {.kind = TX_VALUE_NONE}},
                   {"None", {.kind = TX_VALUE_NONE}}};
  TX_TRY(tx_parser_node(p, TX_NODE_NAME, node));
  (*node)->text = tx_parser_word(p)->text;
  for (size_t i = 0; i < sizeof constants / sizeof *constants; i++) {
    if (!tx_parser_name(p, constants[i].name)) continue;
    (*node)->kind = TX_NODE_CONSTANT;
    (*node)->value = constants[i].value;
  }
  p->at++;
  return TX_OK;
}

static tx_status parse_list(tx_parser *p, tx_node **node) {
  TX_TRY(tx_parser_node(p, TX_NODE_LIST, node));
  tx_node_list items = {0};
  TX_TRY(tx_parser_expect_sign(p, "[", "a list"));
  while (!tx_parser_sign(p, "]")) {
    tx_node *item;
    TX_TRY(tx_parse_expression(p, true, &item));
    tx_node_append(&items, item);
    if (!tx_parser_skip_sign(p, ",")) break;
  }
  (*node)->list = items.first;
  return tx_parser_expect_sign(p, "]", "a list");
}

static tx_status parse_dict(tx_parser *p, tx_node **node) {
  TX_TRY(tx_parser_node(p, TX_NODE_DICT, node));
  tx_node_list items = {0};
  TX_TRY(tx_parser_expect_sign(p, "{", "a dictionary"));
  while (!tx_parser_sign(p, "}")) {
    tx_node *pair, *key, *value;
    TX_TRY(tx_parser_node(p, TX_NODE_PAIR, &pair));
    TX_TRY(tx_parse_expression(p, true, &key));
    TX_TRY(tx_parser_expect_sign(p, ":", "a dictionary"));
    TX_TRY(tx_parse_expression(p, true, &value));
    pair->a = key;
    pair->b = value;
    tx_node_append(&items, pair);
    if (!tx_parser_skip_sign(p, ",")) break;
  }
  (*node)->list = items.first;
  return tx_parser_expect_sign(p, "}", "a dictionary");
}

static tx_status parse_brackets(tx_parser *p, tx_node **node) {
  TX_TRY(tx_parser_expect_sign(p, "(", "an expression"));
  if (tx_parser_sign(p, ")")) {
    TX_TRY(tx_parser_node(p, TX_NODE_LIST, node));
    (*node)->flag = true;
  } else {
    TX_TRY(tx_parse_tuple(p, true, node));
  }
  return tx_parser_expect_sign(p, ")", "an expression in brackets");
}

static tx_status parse_operand(tx_parser *p, tx_node **node) {
  switch (tx_parser_word(p)->kind) {
    case TX_WORD_NAME: return parse_name(p, node);
    case TX_WORD_STRING: return parse_string(p, node);
    case TX_WORD_INTEGER:
    case TX_WORD_REAL: return parse_number(p, node);
    default: break;
  }
  if (tx_parser_sign(p, "(")) return parse_brackets(p, node);
  if (tx_parser_sign(p, "[")) return parse_list(p, node);
  if (tx_parser_sign(p, "{")) return parse_dict(p, node);
  return tx_parser_unexpected(p, "a value");
}

/* ---- what follows an operand ------------------------------------------- */

/* ( value, name=value ), the brackets too. */
static tx_status parse_arguments(tx_parser *p, const tx_node **first) {
  tx_node_list arguments = {0};
  TX_TRY(tx_parser_expect_sign(p, "(", "a call"));
  while (!tx_parser_sign(p, ")")) {
    const tx_word *word = tx_parser_word(p);
    tx_node *keyword = NULL, *value;
    if (word->kind == TX_WORD_NAME && word[1].kind == TX_WORD_SIGN &&
        tx_text_equal(word[1].text, "=")) {
      TX_TRY(tx_parser_node(p, TX_NODE_KEYWORD, &keyword));
      keyword->text = word->text;
      p->at += 2;
    } else if (arguments.last && arguments.last->kind == TX_NODE_KEYWORD) {
      return tx_parser_unexpected(p, "an argument by name");
    }
    TX_TRY(tx_parse_expression(p, true, &value));
    if (keyword) keyword->a = value;
    tx_node_append(&arguments, keyword ? keyword : value);
    if (!tx_parser_skip_sign(p, ",")) break;
  }
  *first = arguments.first;
  return tx_parser_expect_sign(p, ")", "a call");
}

static tx_status parse_attribute(tx_parser *p, const tx_node *of, tx_node **node) {
  TX_TRY(tx_parser_node(p, TX_NODE_ATTRIBUTE, node));
  (*node)->a = of;
  p->at++;
  if (tx_parser_word(p)->kind == TX_WORD_INTEGER) {
    tx_node *key;
    TX_TRY(parse_number(p, &key));
    (*node)->kind = TX_NODE_SUBSCRIPT;
    (*node)->b = key;
    return TX_OK;
  }
  return tx_parser_expect_name(p, &(*node)->text, "an attribute");
}

/* [key], or [from:to:step] with each left out or not. */
static tx_status parse_subscript(tx_parser *p, const tx_node *of, tx_node **node) {
  TX_TRY(tx_parser_node(p, TX_NODE_SUBSCRIPT, node));
  (*node)->a = of;
  p->at++;
  tx_node *bounds[3] = {0};
  int colons = 0;
  for (;;) {
    if (!tx_parser_sign(p, ":") && !tx_parser_sign(p, "]")) {
      TX_TRY(tx_parse_expression(p, true, &bounds[colons]));
    }
    if (colons == 2 || !tx_parser_skip_sign(p, ":")) break;
    colons++;
  }
  if (!colons && !bounds[0]) return tx_parser_unexpected(p, "a subscript");
  if (colons) (*node)->kind = TX_NODE_SLICE;
  (*node)->b = bounds[0];
  (*node)->c = bounds[1];
  (*node)->d = bounds[2];
  return tx_parser_expect_sign(p, "]", "a subscript");
}

static tx_status parse_call(tx_parser *p, const tx_node *of, tx_node **node) {
  TX_TRY(tx_parser_node(p, TX_NODE_CALL, node));
  (*node)->a = of;
  return parse_arguments(p, &(*node)->list);
}

static tx_status parse_postfix(tx_parser *p, tx_node **node) {
  for (;;) {
    if (tx_parser_sign(p, ".")) {
      TX_TRY(parse_attribute(p, *node, node));
    } else if (tx_parser_sign(p, "[")) {
      TX_TRY(parse_subscript(p, *node, node));
    } else if (tx_parser_sign(p, "(")) {
      TX_TRY(parse_call(p, *node, node));
    } else {
      return TX_OK;
    }
  }
}

static tx_status parse_filter(tx_parser *p, const tx_node *of, tx_node **node) {
  TX_TRY(tx_parser_node(p, TX_NODE_FILTER, node));
  (*node)->a = of;
  p->at++;
  TX_TRY(tx_parser_expect_name(p, &(*node)->text, "a filter"));
  if (!tx_template_filter((*node)->text)) {
    p->at--;
    return tx_parser_unexpected(p, "a filter that is known");
  }
  return tx_parser_sign(p, "(") ? parse_arguments(p, &(*node)->list) : TX_OK;
}

/* Whether an argument without brackets follows a test: `x is divisibleby 3`. */
static bool is_test_argument(const tx_parser *p) {
  const tx_word *word = tx_parser_word(p);
  if (word->kind == TX_WORD_SIGN) return tx_parser_sign(p, "[") || tx_parser_sign(p, "{");
  if (word->kind != TX_WORD_NAME) {
    return word->kind == TX_WORD_STRING || word->kind == TX_WORD_INTEGER ||
           word->kind == TX_WORD_REAL;
  }
  static const char *const others[] = {"else", "or", "and", "if", "is", "in", "not"};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    if (tx_parser_name(p, others[i])) return false;
  return true;
}

static tx_status parse_test(tx_parser *p, const tx_node *of, tx_node **node) {
  p->at++;
  bool negated = tx_parser_skip_name(p, "not");
  tx_node *test;
  TX_TRY(tx_parser_node(p, TX_NODE_TEST, &test));
  test->a = of;
  TX_TRY(tx_parser_expect_name(p, &test->text, "a test"));
  if (!tx_template_test(test->text)) {
    p->at--;
    return tx_parser_unexpected(p, "a test that is known");
  }
  if (tx_parser_sign(p, "(")) {
    TX_TRY(parse_arguments(p, &test->list));
  } else if (is_test_argument(p)) {
    tx_node *argument;
    TX_TRY(tx_parser_enter(p));
    TX_TRY(parse_operand(p, &argument));
    TX_TRY(parse_postfix(p, &argument));
    p->nesting--;
    test->list = argument;
  }
  *node = test;
  if (!negated) return TX_OK;
  TX_TRY(tx_parser_node(p, TX_NODE_NOT, node));
  (*node)->a = test;
  return TX_OK;
}

static tx_status parse_filters(tx_parser *p, tx_node **node) {
  for (;;) {
    if (tx_parser_sign(p, "|")) {
      TX_TRY(parse_filter(p, *node, node));
    } else if (tx_parser_name(p, "is")) {
      TX_TRY(parse_test(p, *node, node));
    } else if (tx_parser_sign(p, "(")) {
      TX_TRY(parse_call(p, *node, node));
    } else {
      return TX_OK;
    }
  }
}

/* ---- operators --------------------------------------------------------- */

static tx_status parse_unary(tx_parser *p, bool filters, tx_node **node) {
  TX_TRY(tx_parser_enter(p));
  if (tx_parser_sign(p, "-") || tx_parser_sign(p, "+")) {
    bool minus = tx_parser_sign(p, "-");
    tx_node *operand;
    TX_TRY(tx_parser_node(p, minus ? TX_NODE_MINUS : TX_NODE_PLUS, node));
    p->at++;
    TX_TRY(parse_unary(p, false, &operand));
    (*node)->a = operand;
  } else {
    TX_TRY(parse_operand(p, node));
  }
  TX_TRY(parse_postfix(p, node));
  if (filters) TX_TRY(parse_filters(p, node));
  p->nesting--;
  return TX_OK;
}

static tx_status add_binary(tx_parser *p, tx_sign sign, tx_node **left, const tx_node *right) {
  tx_node *node;
  TX_TRY(tx_parser_node(p, TX_NODE_BINARY, &node));
  node->line = (*left)->line;
  node->sign = sign;
  node->a = *left;
  node->b = right;
  *left = node;
  return TX_OK;
}

typedef struct operator_row {
  const char *spelling;
  tx_sign sign;
} operator_row;

static const operator_row powers[] = {{"**", TX_SIGN_POWER}, {NULL, 0}};
static const operator_row products[] = {{"*", TX_SIGN_MULTIPLY},
                                        {"/", TX_SIGN_DIVIDE},
                                        {"//", TX_SIGN_FLOOR},
                                        {"%", TX_SIGN_MODULO},
                                        {NULL, 0}};
static const operator_row joins[] = {{"~", TX_SIGN_JOIN}, {NULL, 0}};
static const operator_row sums[] = {{"+", TX_SIGN_ADD}, {"-", TX_SIGN_SUBTRACT}, {NULL, 0}};
static const operator_row comparisons[] = {
    {"==", TX_SIGN_EQUAL},      {"!=", TX_SIGN_UNEQUAL}, {"<", TX_SIGN_LESS},
    {"<=", TX_SIGN_LESS_EQUAL}, {">", TX_SIGN_GREATER},  {">=", TX_SIGN_GREATER_EQUAL},
    {NULL, 0}};
static const operator_row *const levels[] = {powers, products, joins, sums};

static const operator_row *find_operator(tx_parser *p, const operator_row *rows) {
  for (; rows->spelling; rows++)
    if (tx_parser_skip_sign(p, rows->spelling)) return rows;
  return NULL;
}

/* Operators of levels[level] and those that bind tighter. */
static tx_status parse_level(tx_parser *p, int level, tx_node **node) {
  if (level < 0) return parse_unary(p, true, node);
  TX_TRY(parse_level(p, level - 1, node));
  const operator_row *found;
  while ((found = find_operator(p, levels[level]))) {
    tx_node *right;
    TX_TRY(parse_level(p, level - 1, &right));
    TX_TRY(add_binary(p, found->sign, node, right));
  }
  return TX_OK;
}

static bool find_comparison(tx_parser *p, tx_sign *sign) {
  const operator_row *found = find_operator(p, comparisons);
  if (found) {
    *sign = found->sign;
    return true;
  }
  *sign = TX_SIGN_IN;
  if (tx_parser_skip_name(p, "in")) return true;
  const tx_word *word = tx_parser_word(p);
  if (!tx_parser_name(p, "not") || word[1].kind != TX_WORD_NAME ||
      !tx_text_equal(word[1].text, "in")) {
    return false;
  }
  p->at += 2;
  *sign = TX_SIGN_NOT_IN;
  return true;
}

/* a < b < c is (a < b) and (b < c). */
static tx_status parse_comparison(tx_parser *p, tx_node **node) {
  enum { SUMS = sizeof levels / sizeof *levels - 1 };
  TX_TRY(parse_level(p, SUMS, node));
  tx_node *left = *node, *whole = NULL;
  tx_sign sign;
  while (find_comparison(p, &sign)) {
    tx_node *right, *pair = left;
    TX_TRY(parse_level(p, SUMS, &right));
    TX_TRY(add_binary(p, sign, &pair, right));
    left = right;
    if (whole) {
      tx_node *both;
      TX_TRY(tx_parser_node(p, TX_NODE_AND, &both));
      both->a = whole;
      both->b = pair;
      pair = both;
    }
    *node = whole = pair;
  }
  return TX_OK;
}

static tx_status parse_not(tx_parser *p, tx_node **node) {
  if (!tx_parser_name(p, "not")) return parse_comparison(p, node);
  tx_node *operand;
  TX_TRY(tx_parser_enter(p));
  TX_TRY(tx_parser_node(p, TX_NODE_NOT, node));
  p->at++;
  TX_TRY(parse_not(p, &operand));
  (*node)->a = operand;
  p->nesting--;
  return TX_OK;
}

static tx_status parse_and(tx_parser *p, tx_node **node) {
  TX_TRY(parse_not(p, node));
  while (tx_parser_skip_name(p, "and")) {
    tx_node *right, *both;
    TX_TRY(parse_not(p, &right));
    TX_TRY(tx_parser_node(p, TX_NODE_AND, &both));
    both->a = *node;
    both->b = right;
    *node = both;
  }
  return TX_OK;
}

static tx_status parse_or(tx_parser *p, tx_node **node) {
  TX_TRY(parse_and(p, node));
  while (tx_parser_skip_name(p, "or")) {
    tx_node *right, *either;
    TX_TRY(parse_and(p, &right));
    TX_TRY(tx_parser_node(p, TX_NODE_OR, &either));
    either->a = *node;
    either->b = right;
    *node = either;
  }
  return TX_OK;
}

tx_status tx_parse_expression(tx_parser *p, bool choice, tx_node **node) {
  TX_TRY(tx_parser_enter(p));
  TX_TRY(parse_or(p, node));
  while (choice && tx_parser_skip_name(p, "if")) {
    tx_node *whole, *condition, *otherwise = NULL;
    TX_TRY(tx_parser_node(p, TX_NODE_CHOICE, &whole));
    TX_TRY(parse_or(p, &condition));
    if (tx_parser_skip_name(p, "else")) TX_TRY(tx_parse_expression(p, true, &otherwise));
    whole->a = *node;
    whole->b = condition;
    whole->c = otherwise;
    *node = whole;
  }
  p->nesting--;
  return TX_OK;
}

tx_status tx_parse_tuple(tx_parser *p, bool choice, tx_node **node) {
  TX_TRY(tx_parse_expression(p, choice, node));
  if (!tx_parser_sign(p, ",")) return TX_OK;
  tx_node_list items = {0};
  tx_node_append(&items, *node);
  while (tx_parser_skip_sign(p, ",")) {
    const tx_word *word = tx_parser_word(p);
    if (word->kind == TX_WORD_BLOCK_END || word->kind == TX_WORD_PRINT_END ||
        tx_parser_sign(p, ")")) {
      break; /* a comma after the last one */
    }
    tx_node *item;
    TX_TRY(tx_parse_expression(p, choice, &item));
    tx_node_append(&items, item);
  }
  TX_TRY(tx_parser_node(p, TX_NODE_LIST, node));
  (*node)->list = items.first;
  (*node)->flag = true;
  return TX_OK;
}
