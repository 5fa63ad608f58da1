/* Statements run: what is written, assigned and repeated. */
#include <string.h>

#include "text/template_parts.h"

enum { DEEPEST = 256, WORK_OF_STEP = 64 /* bytes looked at */, BLOCK = 64 /* of an arena */ };

/* ---- bounds ------------------------------------------------------------ */

tx_status tx_run_spend(tx_run *run, size_t work) {
  uint64_t cost = 1 + work / WORK_OF_STEP;
  if (cost > run->steps) {
    return TX_RUN_FAIL(run, "the chat template does not come to an end in a reasonable time with "
                            "these messages; shorten them or choose another template");
  }
  run->steps -= cost;
  return TX_OK;
}

tx_status tx_run_take(tx_run *run, size_t count, size_t size, void *block) {
  uint64_t bytes;
  bool fits = tx_multiply(count, size, &bytes) && tx_add(bytes, BLOCK, &bytes);
  bytes -= fits ? bytes % BLOCK : 0;
  if (!fits || bytes > run->bytes) {
    return TX_RUN_FAIL(run, "the chat template needs more memory than it may have with these "
                            "messages; shorten them or choose another template");
  }
  TX_TRY(tx_run_spend(run, bytes));
  run->bytes -= bytes;
  void *made = tx_arena_alloc(run->arena, bytes);
  if (!made) return tx_fail_memory(run->error, bytes, "a chat template");
  memcpy(block, &made, sizeof made);
  return TX_OK;
}

tx_status tx_run_enter(tx_run *run) {
  if (run->depth++ < DEEPEST) return tx_run_spend(run, 0);
  return TX_RUN_FAIL(run, "the chat template calls itself or nests values deeper than %d levels; "
                          "choose another", DEEPEST);
}

/* ---- variables --------------------------------------------------------- */

static tx_variable *find_here(const tx_scope *scope, tx_text name) {
  for (tx_variable *v = scope->variables; v; v = v->next) {
    if (v->name.size == name.size && !memcmp(v->name.data, name.data, name.size)) return v;
  }
  return NULL;
}

bool tx_run_find(const tx_run *run, tx_text name, tx_value *value) {
  for (const tx_scope *scope = run->scope; scope; scope = scope->outer) {
    const tx_variable *found = find_here(scope, name);
    if (!found) continue;
    *value = found->value;
    return true;
  }
  *value = tx_value_undefined(name);
  return false;
}

tx_status tx_run_assign(tx_run *run, tx_text name, tx_value value) {
  tx_variable *variable = find_here(run->scope, name);
  if (!variable) {
    TX_TRY(tx_run_take(run, 1, sizeof *variable, &variable));
    *variable = (tx_variable){.name = name, .next = run->scope->variables};
    run->scope->variables = variable;
  }
  variable->value = value;
  return TX_OK;
}

static tx_status assign_attribute(tx_run *run, const tx_node *target, tx_value value) {
  tx_value of;
  TX_TRY(tx_run_evaluate(run, target->a, &of));
  if (of.kind == TX_VALUE_DICT && of.dict->open) {
    return tx_dict_set(run, of.dict, tx_value_text(target->text), value);
  }
  return TX_RUN_FAIL(run, "%s is %s, and only an attribute of a namespace can be set; mend the "
                          "chat template",
                     tx_template_show(target->a->text).text, tx_value_kind_name(of));
}

/* One target takes the value, several take its items. */
static tx_status assign_targets(tx_run *run, const tx_node *targets, tx_value value) {
  size_t count = 0;
  for (const tx_node *t = targets; t; t = t->next) count++;
  const tx_value *items = &value;
  if (count > 1) {
    const tx_list *list;
    TX_TRY(tx_value_items(run, value, &list));
    if (list->count != count) {
      return TX_RUN_FAIL(run, "%zu names are given the values of a list of %zu; mend the chat "
                              "template", count, list->count);
    }
    items = list->items;
  }
  for (const tx_node *t = targets; t; t = t->next, items++) {
    TX_TRY(t->kind == TX_NODE_NAME ? tx_run_assign(run, t->text, *items)
                                   : assign_attribute(run, t, *items));
  }
  return TX_OK;
}

/* ---- statements -------------------------------------------------------- */

tx_status tx_run_into(tx_run *run, const tx_node *first, tx_value *text) {
  tx_builder builder = {0}, *out = run->out;
  run->out = &builder;
  TX_TRY(tx_run_statements(run, first));
  run->out = out;
  *text = tx_built(&builder);
  return TX_OK;
}

static tx_status run_set(tx_run *run, const tx_node *node) {
  tx_value value;
  TX_TRY(node->a ? tx_run_evaluate(run, node->a, &value) : tx_run_into(run, node->body, &value));
  return assign_targets(run, node->list, value);
}

/* A scope of its own inside the present one; run->scope->outer is the way back. */
static tx_status open_scope(tx_run *run) {
  tx_scope *scope;
  TX_TRY(tx_run_take(run, 1, sizeof *scope, &scope));
  *scope = (tx_scope){.outer = run->scope};
  run->scope = scope;
  return TX_OK;
}

/* The items for which the loop's condition holds. */
static tx_status filter_items(tx_run *run, const tx_node *node, const tx_list **list) {
  tx_scope *scope = run->scope;
  tx_list *kept;
  TX_TRY(tx_list_make(run, (*list)->count, &kept));
  kept->count = 0;
  for (size_t i = 0; i < (*list)->count; i++) {
    tx_value holds;
    TX_TRY(open_scope(run));
    TX_TRY(assign_targets(run, node->list, (*list)->items[i]));
    TX_TRY(tx_run_evaluate(run, node->b, &holds));
    if (tx_value_truth(holds)) kept->items[kept->count++] = (*list)->items[i];
    run->scope = scope;
  }
  *list = kept;
  return TX_OK;
}

static tx_status run_rounds(tx_run *run, const tx_node *node, tx_loop *loop) {
  static const char name[] = "loop";
  tx_scope *scope = run->scope;
  for (; loop->index < loop->items->count; loop->index++) {
    TX_TRY(open_scope(run));
    TX_TRY(tx_run_assign(run, tx_text_of(name), (tx_value){.kind = TX_VALUE_LOOP, .loop = loop}));
    TX_TRY(assign_targets(run, node->list, loop->items->items[loop->index]));
    TX_TRY(tx_run_statements(run, node->body));
    run->scope = scope;
    bool leave = run->flow == TX_FLOW_BREAK;
    run->flow = TX_FLOW_ON;
    if (leave) break;
  }
  return TX_OK;
}

static tx_status run_for(tx_run *run, const tx_node *node) {
  tx_value of;
  const tx_list *items;
  TX_TRY(tx_run_evaluate(run, node->a, &of));
  TX_TRY(tx_value_items(run, of, &items));
  if (node->b) TX_TRY(filter_items(run, node, &items));
  if (!items->count) return tx_run_statements(run, node->other);
  tx_loop *loop;
  TX_TRY(tx_run_take(run, 1, sizeof *loop, &loop));
  *loop = (tx_loop){.items = items};
  run->loops++;
  TX_TRY(run_rounds(run, node, loop));
  run->loops--;
  return TX_OK;
}

static tx_status run_macro(tx_run *run, const tx_node *node) {
  tx_macro *macro;
  TX_TRY(tx_run_take(run, 1, sizeof *macro, &macro));
  *macro = (tx_macro){node, run->scope};
  return tx_run_assign(run, node->text, (tx_value){.kind = TX_VALUE_MACRO, .macro = macro});
}

static tx_status run_print(tx_run *run, const tx_node *node) {
  tx_value value;
  TX_TRY(tx_run_evaluate(run, node->a, &value));
  return tx_print_value(run, run->out, value);
}

static tx_status run_if(tx_run *run, const tx_node *node) {
  tx_value condition;
  for (;; node = node->other) {
    run->line = node->line;
    TX_TRY(tx_run_evaluate(run, node->a, &condition));
    if (tx_value_truth(condition)) return tx_run_statements(run, node->body);
    if (!node->flag) return tx_run_statements(run, node->other);
  }
}

static tx_status run_statement(tx_run *run, const tx_node *node) {
  run->line = node->line;
  switch (node->kind) {
    case TX_NODE_TEXT:
      return tx_build(run, run->out, (tx_string){node->text.data, node->text.size, NULL});
    case TX_NODE_PRINT: return run_print(run, node);
    case TX_NODE_IF: return run_if(run, node);
    case TX_NODE_FOR: return run_for(run, node);
    case TX_NODE_SET: return run_set(run, node);
    case TX_NODE_MACRO: return run_macro(run, node);
    case TX_NODE_GROUP: return tx_run_statements(run, node->body);
    case TX_NODE_BREAK:
    case TX_NODE_CONTINUE:
      run->flow = node->kind == TX_NODE_BREAK ? TX_FLOW_BREAK : TX_FLOW_CONTINUE;
      if (run->loops) return TX_OK;
      return TX_RUN_FAIL(run, "break or continue stands outside a loop; mend the chat template");
    default: return TX_RUN_FAIL(run, "an expression stands where a statement should be");
  }
}

tx_status tx_run_statements(tx_run *run, const tx_node *first) {
  TX_TRY(tx_run_enter(run));
  for (const tx_node *node = first; node && run->flow == TX_FLOW_ON; node = node->next) {
    TX_TRY(run_statement(run, node));
  }
  run->depth--;
  return TX_OK;
}
