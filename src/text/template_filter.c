/* The filters: value | name(arguments). */
#include <string.h>

#include "text/template_methods.h"

#define FILTER(name) \
  static tx_status name(tx_run *run, tx_value self, const tx_value *arguments, tx_value *value)

/* ---- strings: what is no string becomes one ---------------------------- */

static tx_status as_string(tx_run *run, tx_value *self) {
  tx_string string;
  TX_TRY(tx_value_string_of(run, *self, &string));
  *self = tx_value_string(string);
  return TX_OK;
}

FILTER(string) {
  (void)arguments;
  *value = self;
  return as_string(run, value);
}

FILTER(trim) {
  TX_TRY(as_string(run, &self));
  return tx_template_strip(run, self, arguments[0], TX_STRIP_LEFT | TX_STRIP_RIGHT, value);
}

FILTER(replace) {
  TX_TRY(as_string(run, &self));
  return tx_template_replace(run, self, arguments, value);
}

static tx_status change_case(tx_run *run, tx_value self, tx_letters letters, tx_value *value) {
  TX_TRY(as_string(run, &self));
  return tx_template_case(run, self, letters, value);
}

FILTER(upper) { return (void)arguments, change_case(run, self, TX_LETTERS_UPPER, value); }
FILTER(lower) { return (void)arguments, change_case(run, self, TX_LETTERS_LOWER, value); }
FILTER(title) { return (void)arguments, change_case(run, self, TX_LETTERS_WORDS, value); }
FILTER(capitalize) { return (void)arguments, change_case(run, self, TX_LETTERS_FIRST, value); }

FILTER(tojson) {
  tx_builder builder = {0};
  int64_t indent = -1;
  bool plain = !tx_value_truth(arguments[0]) && !tx_value_truth(arguments[2]) &&
               !tx_value_truth(arguments[3]);
  if (tx_given(arguments[1]) && arguments[1].kind != TX_VALUE_NONE) {
    TX_TRY(tx_want_whole(run, arguments[1], "the indent of tojson", &indent));
  }
  if (!plain || indent > 32) {
    return TX_RUN_FAIL(run, "tojson is understood with an indent of up to 32 and nothing else; "
                            "choose another chat template");
  }
  TX_TRY(tx_print_json(run, &builder, self, indent));
  *value = tx_built(&builder);
  return TX_OK;
}

/* ---- numbers ----------------------------------------------------------- */

FILTER(length) {
  (void)arguments;
  const tx_list *list;
  if (self.kind == TX_VALUE_STRING) {
    TX_TRY(tx_run_spend(run, self.string.size));
    *value = tx_value_integer((int64_t)tx_string_length(self.string));
    return TX_OK;
  }
  TX_TRY(tx_value_items(run, self, &list));
  *value = tx_value_integer((int64_t)list->count);
  return TX_OK;
}

FILTER(integer) {
  int64_t whole;
  *value = tx_given(arguments[0]) ? arguments[0] : tx_value_integer(0);
  if (tx_value_whole(self, &whole)) {
    *value = tx_value_integer(whole);
  } else if (self.kind == TX_VALUE_REAL && self.real > -9e18 && self.real < 9e18) {
    *value = tx_value_integer((int64_t)self.real);
  } else if (self.kind == TX_VALUE_STRING) {
    tx_string digits = tx_string_strip(self.string, NULL, TX_STRIP_LEFT | TX_STRIP_RIGHT);
    bool minus = digits.size && digits.data[0] == '-';
    if (minus) digits = tx_string_cut(digits, 1, digits.size);
    whole = 0;
    for (size_t i = 0; i < digits.size; i++) {
      if (digits.data[i] < '0' || digits.data[i] > '9' || i > 17) return TX_OK;
      whole = whole * 10 + (digits.data[i] - '0');
    }
    if (digits.size) *value = tx_value_integer(minus ? -whole : whole);
  }
  (void)run;
  return TX_OK;
}

/* ---- lists ------------------------------------------------------------- */

FILTER(first) {
  (void)arguments;
  const tx_list *list;
  TX_TRY(tx_value_items(run, self, &list));
  *value = list->count ? list->items[0] : tx_value_undefined(tx_text_of("the first of nothing"));
  return TX_OK;
}

FILTER(last) {
  (void)arguments;
  const tx_list *list;
  TX_TRY(tx_value_items(run, self, &list));
  *value = list->count ? list->items[list->count - 1]
                       : tx_value_undefined(tx_text_of("the last of nothing"));
  return TX_OK;
}

FILTER(list) {
  (void)arguments;
  const tx_list *items;
  TX_TRY(tx_value_items(run, self, &items));
  tx_list *copy;
  TX_TRY(tx_list_make(run, items->count, &copy));
  for (size_t i = 0; i < items->count; i++) copy->items[i] = items->items[i];
  *value = tx_value_list(copy);
  return TX_OK;
}

FILTER(reverse) {
  (void)arguments;
  tx_value backwards[3] = {tx_value_none(), tx_value_none(), tx_value_integer(-1)};
  if (self.kind == TX_VALUE_STRING) return tx_value_slice(run, self, backwards, value);
  TX_TRY(list(run, self, arguments, &self));
  return tx_value_slice(run, self, backwards, value);
}

FILTER(items) {
  (void)arguments;
  if (self.kind == TX_VALUE_UNDEFINED) return list(run, self, arguments, value);
  if (self.kind == TX_VALUE_DICT) return tx_template_items(run, self, value);
  return TX_RUN_FAIL(run, "%s has no items; mend the chat template", tx_value_kind_name(self));
}

/* An attribute of each item: "role", or "a.b". */
static tx_status attribute_of(tx_run *run, tx_value item, tx_value path, tx_value *value) {
  tx_string name;
  TX_TRY(tx_want_string(run, path, "the name of an attribute", &name));
  *value = item;
  while (name.size) {
    const char *dot = memchr(name.data, '.', name.size);
    size_t size = dot ? (size_t)(dot - name.data) : name.size;
    TX_TRY(tx_value_attribute(run, *value, tx_value_string(tx_string_cut(name, 0, size)), value));
    name = tx_string_cut(name, dot ? size + 1 : size, name.size);
  }
  return TX_OK;
}

static tx_status map_attribute(tx_run *run, tx_value of, tx_value path, tx_value *value) {
  const tx_list *items;
  tx_list *mapped;
  TX_TRY(tx_value_items(run, of, &items));
  TX_TRY(tx_list_make(run, items->count, &mapped));
  for (size_t i = 0; i < items->count; i++) {
    TX_TRY(attribute_of(run, items->items[i], path, &mapped->items[i]));
  }
  *value = tx_value_list(mapped);
  return TX_OK;
}

/* map('filter'), map(attribute='name'). */
FILTER(map) {
  const tx_list *items;
  tx_list *mapped;
  tx_string name;
  if (tx_given(arguments[1])) return map_attribute(run, self, arguments[1], value);
  TX_TRY(tx_want_string(run, arguments[0], "the filter of map", &name));
  const tx_function *filter = tx_template_filter((tx_text){name.data, name.size});
  if (!filter) {
    return TX_RUN_FAIL(run, "the filter %s is not understood; choose another chat template",
                       tx_template_show((tx_text){name.data, name.size}).text);
  }
  TX_TRY(tx_run_enter(run));
  TX_TRY(tx_value_items(run, self, &items));
  TX_TRY(tx_list_make(run, items->count, &mapped));
  const tx_arguments none = {0};
  for (size_t i = 0; i < items->count; i++) {
    TX_TRY(tx_template_call(run, filter, "filter", items->items[i], &none, &mapped->items[i]));
  }
  run->depth--;
  *value = tx_value_list(mapped);
  return TX_OK;
}

FILTER(join) {
  tx_string separator = {"", 0, NULL};
  if (tx_given(arguments[0])) TX_TRY(tx_value_string_of(run, arguments[0], &separator));
  if (tx_given(arguments[1])) TX_TRY(map_attribute(run, self, arguments[1], &self));
  return tx_template_join(run, separator, self, value);
}

/* Whether an item passes: its attribute (or itself), by a test (or its truth). */
static tx_status passes(tx_run *run, tx_value item, const tx_value *arguments, bool *yes) {
  tx_string name;
  *yes = false;
  tx_value value, rest[1] = {arguments[2]};
  const tx_arguments others = {.values = rest, .count = tx_given(arguments[2]) ? 1 : 0};
  if (!tx_given(arguments[1])) {
    *yes = tx_value_truth(item);
    return TX_OK;
  }
  TX_TRY(tx_want_string(run, arguments[1], "the test of a selection", &name));
  const tx_function *test = tx_template_test((tx_text){name.data, name.size});
  if (!test) {
    return TX_RUN_FAIL(run, "the test %s is not understood; choose another chat template",
                       tx_template_show((tx_text){name.data, name.size}).text);
  }
  TX_TRY(tx_template_call(run, test, "test", item, &others, &value));
  *yes = tx_value_truth(value);
  return TX_OK;
}

/* arguments: attribute (or undefined), test, argument of the test. */
static tx_status select_items(tx_run *run, tx_value of, const tx_value *arguments, bool wanted,
                              tx_value *value) {
  const tx_list *items;
  tx_list *kept;
  TX_TRY(tx_value_items(run, of, &items));
  TX_TRY(tx_list_make(run, items->count, &kept));
  kept->count = 0;
  for (size_t i = 0; i < items->count; i++) {
    tx_value looked_at = items->items[i];
    bool yes;
    TX_TRY(tx_run_spend(run, 0));
    if (tx_given(arguments[0])) {
      TX_TRY(attribute_of(run, looked_at, arguments[0], &looked_at));
    }
    TX_TRY(passes(run, looked_at, arguments, &yes));
    if (yes == wanted) kept->items[kept->count++] = items->items[i];
  }
  *value = tx_value_list(kept);
  return TX_OK;
}

FILTER(selectattr) { return select_items(run, self, arguments, true, value); }
FILTER(rejectattr) { return select_items(run, self, arguments, false, value); }

static tx_status select_plain(tx_run *run, tx_value self, const tx_value *arguments, bool wanted,
                              tx_value *value) {
  const tx_value shifted[] = {tx_value_undefined(tx_text_of("")), arguments[0], arguments[1]};
  return select_items(run, self, shifted, wanted, value);
}

FILTER(keep) { return select_plain(run, self, arguments, true, value); }
FILTER(reject) { return select_plain(run, self, arguments, false, value); }

/* ---- any value --------------------------------------------------------- */

FILTER(otherwise) {
  (void)run;
  bool missing = self.kind == TX_VALUE_UNDEFINED ||
                 (tx_value_truth(arguments[1]) && !tx_value_truth(self));
  *value = !missing ? self : tx_given(arguments[0]) ? arguments[0] : tx_value_text(tx_text_of(""));
  return TX_OK;
}

FILTER(safe) { /* nothing is escaped anyway */
  (void)run, (void)arguments;
  *value = self;
  return TX_OK;
}

static const tx_function filters[] = {
    {"trim", "chars", 0, trim},
    {"upper", "", 0, upper},
    {"lower", "", 0, lower},
    {"title", "", 0, title},
    {"capitalize", "", 0, capitalize},
    {"replace", "old new count", 2, replace},
    {"string", "", 0, string},
    {"safe", "", 0, safe},
    {"tojson", "ensure_ascii indent separators sort_keys", 0, tojson},
    {"length", "", 0, length},
    {"count", "", 0, length},
    {"int", "default", 0, integer},
    {"first", "", 0, first},
    {"last", "", 0, last},
    {"list", "", 0, list},
    {"reverse", "", 0, reverse},
    {"items", "", 0, items},
    {"map", "name attribute", 0, map},
    {"join", "d attribute", 0, join},
    {"selectattr", "attribute test value", 1, selectattr},
    {"rejectattr", "attribute test value", 1, rejectattr},
    {"select", "test value", 0, keep},
    {"reject", "test value", 0, reject},
    {"default", "default_value boolean", 0, otherwise},
    {"d", "default_value boolean", 0, otherwise},
    {NULL, NULL, 0, NULL}};

const tx_function *tx_template_filter(tx_text name) { return tx_template_row(filters, name); }
