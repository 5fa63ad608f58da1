/* Expressions evaluated. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "text/template_parts.h"

/* ---- arithmetic -------------------------------------------------------- */

static tx_status no_such(tx_run *run, const char *sign, tx_value a, tx_value b) {
  return TX_RUN_FAIL(run, "%s %s %s makes no sense; give the messages what the chat template "
                          "expects, or choose another template",
                     tx_value_kind_name(a), sign, tx_value_kind_name(b));
}

static tx_status too_large(tx_run *run) {
  return TX_RUN_FAIL(run, "a number of the chat template is too large; mend it");
}

static tx_status concatenate(tx_run *run, tx_string a, tx_string b, tx_value *value) {
  tx_builder builder = {0};
  TX_TRY(tx_build(run, &builder, a));
  TX_TRY(tx_build(run, &builder, b));
  *value = tx_built(&builder);
  return TX_OK;
}

static tx_status join_lists(tx_run *run, const tx_list *a, const tx_list *b, tx_value *value) {
  tx_list *both;
  TX_TRY(tx_list_make(run, a->count + b->count, &both));
  both->tuple = a->tuple;
  for (size_t i = 0; i < both->count; i++) {
    both->items[i] = i < a->count ? a->items[i] : b->items[i - a->count];
  }
  *value = tx_value_list(both);
  return TX_OK;
}

static tx_status repeat(tx_run *run, tx_string string, int64_t times, tx_value *value) {
  tx_builder builder = {0};
  for (int64_t i = 0; i < times; i++) TX_TRY(tx_build(run, &builder, string));
  *value = tx_built(&builder);
  return TX_OK;
}

static tx_status power(tx_run *run, int64_t base, int64_t exponent, tx_value *value) {
  int64_t result = 1;
  if (exponent < 0) return TX_RUN_FAIL(run, "a negative power is not understood; mend the chat "
                                            "template");
  for (int64_t i = 0; i < exponent; i++) {
    TX_TRY(tx_run_spend(run, 0));
    if (__builtin_mul_overflow(result, base, &result)) return too_large(run);
  }
  *value = tx_value_integer(result);
  return TX_OK;
}

static const char *const signs[] = {"+", "-", "*", "/", "//", "%", "**"};

static tx_status of_integers(tx_run *run, tx_sign sign, int64_t a, int64_t b, tx_value *value) {
  int64_t result = 0;
  bool divides = sign == TX_SIGN_DIVIDE || sign == TX_SIGN_FLOOR || sign == TX_SIGN_MODULO;
  if (divides && b == 0) return TX_RUN_FAIL(run, "a division by zero; mend the chat template");
  if (divides && a == INT64_MIN && b == -1) return too_large(run);
  bool over = false;
  switch (sign) {
    case TX_SIGN_ADD: over = __builtin_add_overflow(a, b, &result); break;
    case TX_SIGN_SUBTRACT: over = __builtin_sub_overflow(a, b, &result); break;
    case TX_SIGN_MULTIPLY: over = __builtin_mul_overflow(a, b, &result); break;
    case TX_SIGN_FLOOR: result = a / b - (a % b != 0 && (a < 0) != (b < 0)); break;
    case TX_SIGN_MODULO: result = a % b + (a % b != 0 && (a < 0) != (b < 0) ? b : 0); break;
    case TX_SIGN_DIVIDE: *value = tx_value_real((double)a / (double)b); return TX_OK;
    default: return power(run, a, b, value);
  }
  if (over) return too_large(run);
  *value = tx_value_integer(result);
  return TX_OK;
}

static tx_status of_reals(tx_run *run, tx_sign sign, double a, double b, tx_value *value) {
  if (b == 0 && (sign == TX_SIGN_DIVIDE || sign == TX_SIGN_FLOOR)) {
    return TX_RUN_FAIL(run, "a division by zero; mend the chat template");
  }
  switch (sign) {
    case TX_SIGN_ADD: *value = tx_value_real(a + b); return TX_OK;
    case TX_SIGN_SUBTRACT: *value = tx_value_real(a - b); return TX_OK;
    case TX_SIGN_MULTIPLY: *value = tx_value_real(a * b); return TX_OK;
    case TX_SIGN_DIVIDE: *value = tx_value_real(a / b); return TX_OK;
    case TX_SIGN_FLOOR: *value = tx_value_real(floor(a / b)); return TX_OK;
    default: return no_such(run, signs[sign], tx_value_real(a), tx_value_real(b));
  }
}

static tx_status arithmetic(tx_run *run, tx_sign sign, tx_value a, tx_value b, tx_value *value) {
  int64_t left, right;
  double real_left, real_right;
  if (tx_value_whole(a, &left) && tx_value_whole(b, &right)) {
    return of_integers(run, sign, left, right, value);
  }
  if (tx_value_number(a, &real_left) && tx_value_number(b, &real_right)) {
    return of_reals(run, sign, real_left, real_right, value);
  }
  if (sign == TX_SIGN_ADD && a.kind == TX_VALUE_STRING && b.kind == TX_VALUE_STRING) {
    return concatenate(run, a.string, b.string, value);
  }
  if (sign == TX_SIGN_ADD && a.kind == TX_VALUE_LIST && b.kind == TX_VALUE_LIST &&
      a.list->tuple == b.list->tuple) {
    return join_lists(run, a.list, b.list, value);
  }
  if (sign == TX_SIGN_MULTIPLY && a.kind == TX_VALUE_STRING && tx_value_whole(b, &right)) {
    return repeat(run, a.string, right, value);
  }
  return no_such(run, signs[sign], a, b);
}

/* ---- operators --------------------------------------------------------- */

static tx_status compare(tx_run *run, tx_sign sign, tx_value a, tx_value b, tx_value *value) {
  bool truth;
  int order;
  if (sign == TX_SIGN_EQUAL || sign == TX_SIGN_UNEQUAL) {
    TX_TRY(tx_value_equal(run, a, b, &truth));
    truth = truth == (sign == TX_SIGN_EQUAL);
  } else if (sign == TX_SIGN_IN || sign == TX_SIGN_NOT_IN) {
    TX_TRY(tx_value_contains(run, b, a, &truth));
    truth = truth == (sign == TX_SIGN_IN);
  } else {
    TX_TRY(tx_value_order(run, a, b, &order));
    truth = sign == TX_SIGN_LESS         ? order < 0
            : sign == TX_SIGN_LESS_EQUAL ? order <= 0
            : sign == TX_SIGN_GREATER    ? order > 0
                                         : order >= 0;
  }
  *value = tx_value_bool(truth);
  return TX_OK;
}

static tx_status evaluate_binary(tx_run *run, const tx_node *node, tx_value *value) {
  tx_value a, b;
  TX_TRY(tx_run_evaluate(run, node->a, &a));
  TX_TRY(tx_run_evaluate(run, node->b, &b));
  run->line = node->line;
  if (node->sign < TX_SIGN_JOIN) return arithmetic(run, node->sign, a, b, value);
  if (node->sign > TX_SIGN_JOIN) return compare(run, node->sign, a, b, value);
  tx_string left, right;
  TX_TRY(tx_value_string_of(run, a, &left));
  TX_TRY(tx_value_string_of(run, b, &right));
  return concatenate(run, left, right, value);
}

static tx_status evaluate_signed(tx_run *run, const tx_node *node, tx_value *value) {
  tx_value of;
  int64_t integer;
  TX_TRY(tx_run_evaluate(run, node->a, &of));
  if (tx_value_whole(of, &integer)) {
    if (integer == INT64_MIN) return too_large(run);
    *value = tx_value_integer(node->kind == TX_NODE_MINUS ? -integer : integer);
  } else if (of.kind == TX_VALUE_REAL) {
    *value = tx_value_real(node->kind == TX_NODE_MINUS ? -of.real : of.real);
  } else {
    return TX_RUN_FAIL(run, "%s has no sign; mend the chat template", tx_value_kind_name(of));
  }
  return TX_OK;
}

/* and, or: the operand that decides. */
static tx_status evaluate_either(tx_run *run, const tx_node *node, tx_value *value) {
  TX_TRY(tx_run_evaluate(run, node->a, value));
  if (tx_value_truth(*value) == (node->kind == TX_NODE_OR)) return TX_OK;
  return tx_run_evaluate(run, node->b, value);
}

static tx_status evaluate_choice(tx_run *run, const tx_node *node, tx_value *value) {
  tx_value condition;
  TX_TRY(tx_run_evaluate(run, node->b, &condition));
  if (tx_value_truth(condition)) return tx_run_evaluate(run, node->a, value);
  if (node->c) return tx_run_evaluate(run, node->c, value);
  *value = tx_value_undefined(tx_text_of("an inline if without else"));
  return TX_OK;
}

/* ---- containers -------------------------------------------------------- */

static tx_status evaluate_list(tx_run *run, const tx_node *node, tx_value *value) {
  size_t count = 0, i = 0;
  for (const tx_node *item = node->list; item; item = item->next) count++;
  tx_list *list;
  TX_TRY(tx_list_make(run, count, &list));
  list->tuple = node->flag;
  for (const tx_node *item = node->list; item; item = item->next) {
    TX_TRY(tx_run_evaluate(run, item, &list->items[i++]));
  }
  *value = tx_value_list(list);
  return TX_OK;
}

static tx_status evaluate_dict(tx_run *run, const tx_node *node, tx_value *value) {
  tx_dict *dict;
  TX_TRY(tx_dict_make(run, &dict));
  for (const tx_node *pair = node->list; pair; pair = pair->next) {
    tx_value key, of_key;
    TX_TRY(tx_run_evaluate(run, pair->a, &key));
    TX_TRY(tx_run_evaluate(run, pair->b, &of_key));
    TX_TRY(tx_dict_set(run, dict, key, of_key));
  }
  *value = tx_value_dict(dict);
  return TX_OK;
}

static tx_status evaluate_access(tx_run *run, const tx_node *node, tx_value *value) {
  tx_value of, bounds[3];
  TX_TRY(tx_run_evaluate(run, node->a, &of));
  run->line = node->line;
  if (node->kind == TX_NODE_ATTRIBUTE) {
    return tx_value_attribute(run, of, tx_value_text(node->text), value);
  }
  const tx_node *nodes[] = {node->b, node->c, node->d};
  for (int i = 0; i < 3; i++) {
    bounds[i] = tx_value_none();
    if (nodes[i]) TX_TRY(tx_run_evaluate(run, nodes[i], &bounds[i]));
  }
  if (node->kind == TX_NODE_SLICE) return tx_value_slice(run, of, bounds, value);
  return tx_value_subscript(run, of, bounds[0], value);
}

/* ---- filters and tests ------------------------------------------------- */

static tx_status evaluate_function(tx_run *run, const tx_node *node, tx_value *value) {
  bool filter = node->kind == TX_NODE_FILTER;
  tx_value self;
  tx_arguments arguments;
  TX_TRY(tx_run_evaluate(run, node->a, &self));
  TX_TRY(tx_run_arguments(run, node->list, &arguments));
  run->line = node->line;
  const tx_function *function =
      filter ? tx_template_filter(node->text) : tx_template_test(node->text);
  return tx_template_call(run, function, filter ? "filter" : "test", self, &arguments, value);
}

static tx_status evaluate(tx_run *run, const tx_node *node, tx_value *value) {
  switch (node->kind) {
    case TX_NODE_CONSTANT: *value = node->value; return TX_OK;
    case TX_NODE_NAME:
      if (!tx_run_find(run, node->text, value) && tx_template_knows(node->text)) {
        *value = (tx_value){.kind = TX_VALUE_MACRO}; /* so it is defined */
      }
      return TX_OK;
    case TX_NODE_LIST: return evaluate_list(run, node, value);
    case TX_NODE_DICT: return evaluate_dict(run, node, value);
    case TX_NODE_AND:
    case TX_NODE_OR: return evaluate_either(run, node, value);
    case TX_NODE_NOT:
      TX_TRY(tx_run_evaluate(run, node->a, value));
      *value = tx_value_bool(!tx_value_truth(*value));
      return TX_OK;
    case TX_NODE_MINUS:
    case TX_NODE_PLUS: return evaluate_signed(run, node, value);
    case TX_NODE_BINARY: return evaluate_binary(run, node, value);
    case TX_NODE_CHOICE: return evaluate_choice(run, node, value);
    case TX_NODE_ATTRIBUTE:
    case TX_NODE_SUBSCRIPT:
    case TX_NODE_SLICE: return evaluate_access(run, node, value);
    case TX_NODE_CALL: return tx_run_call(run, node, value);
    case TX_NODE_FILTER:
    case TX_NODE_TEST: return evaluate_function(run, node, value);
    default: return TX_RUN_FAIL(run, "a statement stands where an expression should be");
  }
}

tx_status tx_run_evaluate(tx_run *run, const tx_node *node, tx_value *value) {
  TX_TRY(tx_run_enter(run));
  run->line = node->line;
  TX_TRY(evaluate(run, node, value));
  run->depth--;
  return TX_OK;
}
