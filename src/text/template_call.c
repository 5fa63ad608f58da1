/* What is reached from a value and what is called: subscripts, attributes,
 * slices, functions, macros. */
#include <inttypes.h>
#include <string.h>

#include "text/template_parts.h"

/* ---- attributes and subscripts ----------------------------------------- */

static tx_status loop_attribute(tx_run *run, const tx_loop *loop, tx_text name, tx_value *value) {
  const tx_list *items = loop->items;
  int64_t index = (int64_t)loop->index, count = (int64_t)items->count;
  const struct {
    const char *name;
    tx_value value;
  } known[] = {{"index0", tx_value_integer(index)},
               {"index", tx_value_integer(index + 1)},
               {"revindex0", tx_value_integer(count - index - 1)},
               {"revindex", tx_value_integer(count - index)},
               {"first", tx_value_bool(index == 0)},
               {"last", tx_value_bool(index + 1 == count)},
               {"length", tx_value_integer(count)},
               {"depth", tx_value_integer(1)}, /* of recursion, which there is not */
               {"depth0", tx_value_integer(0)},
               {"previtem", index > 0 ? items->items[index - 1] : tx_value_undefined(name)},
               {"nextitem", index + 1 < count ? items->items[index + 1]
                                              : tx_value_undefined(name)}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    if (!tx_text_equal(name, known[i].name)) continue;
    *value = known[i].value;
    return TX_OK;
  }
  return TX_RUN_FAIL(run, "loop.%s is not understood; choose another chat template",
                     tx_template_show(name).text);
}

static tx_status of_missing(tx_run *run, tx_value of, tx_value key) {
  tx_text name = {key.string.data, key.string.size};
  if (key.kind != TX_VALUE_STRING) name = tx_text_of("a subscript");
  return TX_RUN_FAIL(run, "%s is wanted of %s, which is not defined; give the messages what the "
                          "chat template expects, or choose another template",
                     tx_template_show(name).text, tx_template_show(of.missing).text);
}

tx_status tx_value_attribute(tx_run *run, tx_value of, tx_value name, tx_value *value) {
  const tx_value *found = NULL;
  tx_text text = {name.string.data, name.string.size};
  if (of.kind == TX_VALUE_UNDEFINED) return of_missing(run, of, name);
  if (of.kind == TX_VALUE_LOOP) return loop_attribute(run, of.loop, text, value);
  if (of.kind == TX_VALUE_DICT) TX_TRY(tx_dict_find(run, of.dict, name, &found));
  *value = found ? *found : tx_value_undefined(text);
  return TX_OK;
}

/* Where `index` falls in `count` items; false: outside. */
static bool place(int64_t index, size_t count, size_t *at) {
  if (index < 0) index += (int64_t)count;
  *at = (size_t)index;
  return index >= 0 && (uint64_t)index < count;
}

tx_status tx_value_subscript(tx_run *run, tx_value of, tx_value key, tx_value *value) {
  int64_t index;
  size_t at;
  if (of.kind == TX_VALUE_UNDEFINED) return of_missing(run, of, key);
  if (key.kind == TX_VALUE_STRING || of.kind == TX_VALUE_DICT) {
    if (key.kind == TX_VALUE_STRING) return tx_value_attribute(run, of, key, value);
    const tx_value *found;
    TX_TRY(tx_dict_find(run, of.dict, key, &found));
    *value = found ? *found : tx_value_undefined(tx_text_of("the item of a key"));
    return TX_OK;
  }
  *value = tx_value_undefined(tx_text_of("an item past the end"));
  if (!tx_value_whole(key, &index)) return TX_OK;
  if (of.kind != TX_VALUE_LIST && of.kind != TX_VALUE_STRING) return TX_OK;
  const tx_list *items;
  TX_TRY(tx_value_items(run, of, &items));
  if (place(index, items->count, &at)) *value = items->items[at];
  return TX_OK;
}

/* A bound as Python takes it: from the end if negative, never outside. */
static int64_t clip(int64_t bound, int64_t count, int64_t lowest, int64_t highest) {
  if (bound < 0) bound = bound < -count ? lowest : bound + count;
  return bound < lowest ? lowest : bound > highest ? highest : bound;
}

tx_status tx_value_slice(tx_run *run, tx_value of, const tx_value bounds[3], tx_value *value) {
  if (of.kind != TX_VALUE_LIST && of.kind != TX_VALUE_STRING) {
    return TX_RUN_FAIL(run, "%s has no parts [:]; mend the chat template",
                       tx_value_kind_name(of));
  }
  const tx_list *items;
  TX_TRY(tx_value_items(run, of, &items));
  int64_t given[3] = {0, 0, 1}, count = (int64_t)items->count;
  for (int i = 0; i < 3; i++) {
    if (bounds[i].kind == TX_VALUE_NONE) continue;
    TX_TRY(tx_want_whole(run, bounds[i], "a bound of [:]", &given[i]));
  }
  int64_t step = given[2];
  if (step == 0) return TX_RUN_FAIL(run, "the step of [::] is 0; mend the chat template");
  int64_t lowest = step > 0 ? 0 : -1, highest = step > 0 ? count : count - 1;
  int64_t from = step > 0 ? lowest : highest, to = step > 0 ? highest : lowest;
  if (bounds[0].kind != TX_VALUE_NONE) from = clip(given[0], count, lowest, highest);
  if (bounds[1].kind != TX_VALUE_NONE) to = clip(given[1], count, lowest, highest);
  tx_list *part;
  tx_builder builder = {0};
  TX_TRY(tx_list_make(run, items->count, &part));
  part->tuple = items->tuple;
  part->count = 0;
  while (step > 0 ? from < to : from > to) {
    part->items[part->count++] = items->items[from];
    if (of.kind == TX_VALUE_STRING) TX_TRY(tx_build(run, &builder, items->items[from].string));
    if (__builtin_add_overflow(from, step, &from)) break;
  }
  *value = of.kind == TX_VALUE_STRING ? tx_built(&builder) : tx_value_list(part);
  return TX_OK;
}

/* ---- arguments --------------------------------------------------------- */

tx_status tx_run_arguments(tx_run *run, const tx_node *first, tx_arguments *arguments) {
  size_t count = 0, named = 0;
  for (const tx_node *n = first; n; n = n->next) {
    *(n->kind == TX_NODE_KEYWORD ? &named : &count) += 1;
  }
  tx_value *values, *by_name;
  tx_text *names;
  TX_TRY(tx_run_take(run, count, sizeof *values, &values));
  TX_TRY(tx_run_take(run, named, sizeof *by_name, &by_name));
  TX_TRY(tx_run_take(run, named, sizeof *names, &names));
  *arguments = (tx_arguments){values, count, names, by_name, named};
  for (const tx_node *n = first; n; n = n->next) {
    if (n->kind == TX_NODE_KEYWORD) {
      *names++ = n->text;
      TX_TRY(tx_run_evaluate(run, n->a, by_name++));
    } else {
      TX_TRY(tx_run_evaluate(run, n, values++));
    }
  }
  return TX_OK;
}

/* The number of a parameter by its name; -1: there is none. */
static int parameter_number(const char *parameters, tx_text name) {
  int number = 0;
  while (*parameters) {
    size_t size = strcspn(parameters, " ");
    if (size == name.size && !memcmp(parameters, name.data, size)) return number;
    parameters += size + (parameters[size] == ' ');
    number++;
  }
  return -1;
}

static size_t parameter_count(const char *parameters) {
  size_t count = *parameters != '\0';
  for (; *parameters; parameters++) count += *parameters == ' ';
  return count;
}

tx_status tx_template_call(tx_run *run, const tx_function *function, const char *what,
                           tx_value self, const tx_arguments *arguments, tx_value *value) {
  tx_value given[TX_ARGUMENTS];
  size_t most = parameter_count(function->parameters);
  for (int i = 0; i < TX_ARGUMENTS; i++) given[i] = tx_value_undefined(tx_text_of("an argument"));
  bool fits = arguments->count <= most;
  for (size_t i = 0; fits && i < arguments->count; i++) given[i] = arguments->values[i];
  for (size_t i = 0; fits && i < arguments->named; i++) {
    int number = parameter_number(function->parameters, arguments->names[i]);
    fits = number >= (int)arguments->count;
    if (fits) given[number] = arguments->by_name[i];
  }
  for (size_t i = 0; fits && i < function->required; i++) fits = tx_given(given[i]);
  if (fits) return function->call(run, self, given, value);
  return TX_RUN_FAIL(run, "the %s %s is given arguments that are not understood; choose another "
                          "chat template", what, function->name);
}

tx_status tx_want_string(tx_run *run, tx_value value, const char *what, tx_string *string) {
  *string = value.string;
  if (value.kind == TX_VALUE_STRING) return TX_OK;
  return TX_RUN_FAIL(run, "%s is %s where a string is wanted; mend the chat template", what,
                     tx_value_kind_name(value));
}

tx_status tx_want_whole(tx_run *run, tx_value value, const char *what, int64_t *integer) {
  if (tx_value_whole(value, integer)) return TX_OK;
  return TX_RUN_FAIL(run, "%s is %s where a whole number is wanted; mend the chat template", what,
                     tx_value_kind_name(value));
}

/* ---- functions of the template ----------------------------------------- */

static tx_status fill_parameters(tx_run *run, const tx_node *node, const tx_arguments *given) {
  size_t number = 0, by_name = 0;
  for (const tx_node *p = node->list; p; p = p->next, number++) {
    tx_value value = tx_value_undefined(p->text);
    bool found = number < given->count;
    if (found) value = given->values[number];
    for (size_t i = 0; i < given->named; i++) {
      if (given->names[i].size != p->text.size ||
          memcmp(given->names[i].data, p->text.data, p->text.size)) {
        continue;
      }
      value = given->by_name[i];
      found = true;
      by_name++;
    }
    if (!found && p->a) TX_TRY(tx_run_evaluate(run, p->a, &value));
    TX_TRY(tx_run_assign(run, p->text, value));
  }
  if (given->count <= number && by_name == given->named) return TX_OK;
  return TX_RUN_FAIL(run, "the macro %s is given arguments that it does not have; mend the chat "
                          "template", tx_template_show(node->text).text);
}

static tx_status call_macro(tx_run *run, const tx_macro *macro, const tx_arguments *arguments,
                            tx_value *value) {
  tx_scope *here = run->scope, *inside;
  int64_t loops = run->loops;
  TX_TRY(tx_run_take(run, 1, sizeof *inside, &inside));
  *inside = (tx_scope){.outer = macro->scope};
  run->scope = inside;
  run->loops = 0;
  TX_TRY(fill_parameters(run, macro->node, arguments));
  TX_TRY(tx_run_into(run, macro->node->body, value));
  run->scope = here;
  run->loops = loops;
  return TX_OK;
}

static tx_status call_raise(tx_run *run, tx_value self, const tx_value *arguments,
                            tx_value *value) {
  (void)self, (void)value;
  tx_string message;
  TX_TRY(tx_value_string_of(run, arguments[0], &message));
  char text[320];
  size_t size = 0;
  for (; size < message.size && size + 1 < sizeof text; size++) {
    unsigned char c = (unsigned char)message.data[size];
    text[size] = c < 0x20 || c == 0x7f ? ' ' : message.data[size];
  }
  text[size] = '\0';
  return TX_RUN_FAIL(run, "the model's chat template refuses these messages: %s", text);
}

static tx_status call_range(tx_run *run, tx_value self, const tx_value *arguments,
                            tx_value *value) {
  (void)self;
  int64_t bounds[3] = {0, 0, 1}, count = 0;
  for (int i = 0; i < 3 && tx_given(arguments[i]); i++) {
    TX_TRY(tx_want_whole(run, arguments[i], "an argument of range", &bounds[i]));
  }
  if (!tx_given(arguments[1])) {
    bounds[1] = bounds[0];
    bounds[0] = 0;
  }
  int64_t from = bounds[0], to = bounds[1], step = bounds[2];
  if (step == 0) return TX_RUN_FAIL(run, "the step of range is 0; mend the chat template");
  enum { MOST = 100000 }; /* as Jinja's sandbox has it */
  for (int64_t i = from; step > 0 ? i < to : i > to;) {
    if (count++ == MOST) {
      return TX_RUN_FAIL(run, "range has more than %d numbers; mend the chat template", MOST);
    }
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  tx_list *list;
  TX_TRY(tx_list_make(run, (size_t)count, &list));
  for (int64_t i = 0; i < count; i++) {
    list->items[i] = tx_value_integer(from);
    if (i + 1 < count) from += step; /* as above: not past the last */
  }
  *value = tx_value_list(list);
  return TX_OK;
}

/* namespace(a=1), dict(a=1); either may be given a dictionary first. */
static tx_status call_dict(tx_run *run, const tx_arguments *arguments, bool open,
                           tx_value *value) {
  tx_dict *dict;
  TX_TRY(tx_dict_make(run, &dict));
  bool copies = arguments->count == 1 && arguments->values[0].kind == TX_VALUE_DICT;
  if (arguments->count && !copies) {
    return TX_RUN_FAIL(run, "namespace and dict are understood with name=value only; choose "
                            "another chat template");
  }
  const tx_dict *from = copies ? arguments->values[0].dict : NULL;
  for (size_t i = 0; from && i < from->count; i++) {
    TX_TRY(tx_dict_set(run, dict, from->keys[i], from->values[i]));
  }
  for (size_t i = 0; i < arguments->named; i++) {
    TX_TRY(tx_dict_set(run, dict, tx_value_text(arguments->names[i]), arguments->by_name[i]));
  }
  dict->open = open;
  *value = tx_value_dict(dict);
  return TX_OK;
}

static const tx_function functions[] = {{"raise_exception", "message", 1, call_raise},
                                        {"range", "start stop step", 1, call_range}};

static bool is_dict_maker(tx_text name) {
  return tx_text_equal(name, "namespace") || tx_text_equal(name, "dict");
}

static const tx_function *find_function(tx_text name) {
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
    if (tx_text_equal(name, functions[i].name)) return &functions[i];
  return NULL;
}

bool tx_template_knows(tx_text name) { return is_dict_maker(name) || find_function(name); }

static tx_status call_name(tx_run *run, const tx_node *callee, const tx_arguments *arguments,
                           tx_value *value) {
  tx_value self;
  tx_text name = callee->text;
  if (tx_run_find(run, name, &self)) {
    if (self.kind == TX_VALUE_MACRO && self.macro) {
      return call_macro(run, self.macro, arguments, value);
    }
    return TX_RUN_FAIL(run, "%s is %s and cannot be called; mend the chat template",
                       tx_template_show(name).text, tx_value_kind_name(self));
  }
  if (is_dict_maker(name)) {
    return call_dict(run, arguments, tx_text_equal(name, "namespace"), value);
  }
  const tx_function *function = find_function(name);
  if (function) return tx_template_call(run, function, "function", self, arguments, value);
  return TX_RUN_FAIL(run, "the function %s is not understood; choose another chat template",
                     tx_template_show(name).text);
}

static tx_status call_method(tx_run *run, const tx_node *callee, const tx_arguments *arguments,
                             tx_value *value) {
  tx_value self;
  TX_TRY(tx_run_evaluate(run, callee->a, &self));
  run->line = callee->line;
  if (self.kind == TX_VALUE_UNDEFINED) return of_missing(run, self, tx_value_text(callee->text));
  const tx_function *method = tx_template_method(self.kind, callee->text);
  if (method) return tx_template_call(run, method, "method", self, arguments, value);
  return TX_RUN_FAIL(run, "the method %s of %s is not understood; choose another chat template",
                     tx_template_show(callee->text).text, tx_value_kind_name(self));
}

tx_status tx_run_call(tx_run *run, const tx_node *node, tx_value *value) {
  tx_arguments arguments;
  TX_TRY(tx_run_arguments(run, node->list, &arguments));
  run->line = node->line;
  if (node->a->kind == TX_NODE_NAME) return call_name(run, node->a, &arguments, value);
  if (node->a->kind == TX_NODE_ATTRIBUTE) return call_method(run, node->a, &arguments, value);
  return TX_RUN_FAIL(run, "only functions, macros and methods can be called; mend the chat "
                          "template");
}
