/* What values are to each other: truth, equality, order, membership; lists and
 * dicts as containers. */
#include <string.h>

#include "text/template_parts.h"

const char *tx_value_kind_name(tx_value value) {
  static const char *const names[] = {
      "an undefined value", "none",   "true or false", "a number",          "a number",
      "a string",           "a list", "a dictionary",  "the variable loop", "a macro"};
  return names[value.kind];
}

bool tx_text_equal(tx_text a, const char *b) {
  size_t size = strlen(b);
  return a.size == size && (!size || !memcmp(a.data, b, size));
}

bool tx_value_is(tx_value value, const char *string) {
  return value.kind == TX_VALUE_STRING &&
         tx_text_equal((tx_text){value.string.data, value.string.size}, string);
}

bool tx_value_truth(tx_value value) {
  switch (value.kind) {
    case TX_VALUE_UNDEFINED:
    case TX_VALUE_NONE: return false;
    case TX_VALUE_BOOL: return value.truth;
    case TX_VALUE_INTEGER: return value.integer != 0;
    case TX_VALUE_REAL: return value.real != 0;
    case TX_VALUE_STRING: return value.string.size > 0;
    case TX_VALUE_LIST: return value.list->count > 0;
    case TX_VALUE_DICT: return value.dict->open || value.dict->count > 0;
    case TX_VALUE_LOOP:
    case TX_VALUE_MACRO: return true;
  }
  return false;
}

bool tx_value_whole(tx_value value, int64_t *integer) {
  if (value.kind != TX_VALUE_BOOL && value.kind != TX_VALUE_INTEGER) return false;
  *integer = value.kind == TX_VALUE_BOOL ? value.truth : value.integer;
  return true;
}

bool tx_value_number(tx_value value, double *real) {
  int64_t integer;
  if (value.kind == TX_VALUE_REAL) {
    *real = value.real;
  } else if (tx_value_whole(value, &integer)) {
    *real = (double)integer;
  } else {
    return false;
  }
  return true;
}

static tx_status lists_equal(tx_run *run, const tx_list *a, const tx_list *b, bool *equal) {
  *equal = a->count == b->count && a->tuple == b->tuple;
  for (size_t i = 0; *equal && i < a->count; i++) {
    TX_TRY(tx_value_equal(run, a->items[i], b->items[i], equal));
  }
  return TX_OK;
}

static tx_status dicts_equal(tx_run *run, const tx_dict *a, const tx_dict *b, bool *equal) {
  *equal = a->count == b->count && !a->open && !b->open;
  for (size_t i = 0; *equal && i < a->count; i++) {
    const tx_value *other;
    TX_TRY(tx_dict_find(run, b, a->keys[i], &other));
    *equal = other != NULL;
    if (other) TX_TRY(tx_value_equal(run, a->values[i], *other, equal));
  }
  return TX_OK;
}

static tx_status same_kind_equal(tx_run *run, tx_value a, tx_value b, bool *equal) {
  switch (a.kind) {
    case TX_VALUE_STRING:
      TX_TRY(tx_run_spend(run, a.string.size));
      *equal = a.string.size == b.string.size &&
               (!a.string.size || !memcmp(a.string.data, b.string.data, a.string.size));
      return TX_OK;
    case TX_VALUE_LIST: return lists_equal(run, a.list, b.list, equal);
    case TX_VALUE_DICT:
      *equal = a.dict == b.dict;
      return *equal ? TX_OK : dicts_equal(run, a.dict, b.dict, equal);
    case TX_VALUE_LOOP: *equal = a.loop == b.loop; return TX_OK;
    case TX_VALUE_MACRO: *equal = a.macro == b.macro; return TX_OK;
    default: *equal = true; return TX_OK; /* none and undefined */
  }
}

tx_status tx_value_equal(tx_run *run, tx_value a, tx_value b, bool *equal) {
  int64_t left, right;
  double real_left, real_right;
  TX_TRY(tx_run_enter(run));
  tx_status status = TX_OK;
  if (tx_value_whole(a, &left) && tx_value_whole(b, &right)) {
    *equal = left == right;
  } else if (tx_value_number(a, &real_left) && tx_value_number(b, &real_right)) {
    *equal = real_left == real_right;
  } else if (a.kind != b.kind) {
    *equal = false;
  } else {
    status = same_kind_equal(run, a, b, equal);
  }
  run->depth--;
  return status;
}

tx_status tx_value_order(tx_run *run, tx_value a, tx_value b, int *order) {
  int64_t left, right;
  double real_left, real_right;
  if (tx_value_whole(a, &left) && tx_value_whole(b, &right)) {
    *order = (left > right) - (left < right);
  } else if (tx_value_number(a, &real_left) && tx_value_number(b, &real_right)) {
    *order = (real_left > real_right) - (real_left < real_right);
  } else if (a.kind == TX_VALUE_STRING && b.kind == TX_VALUE_STRING) {
    size_t shorter = a.string.size < b.string.size ? a.string.size : b.string.size;
    TX_TRY(tx_run_spend(run, shorter));
    *order = shorter ? memcmp(a.string.data, b.string.data, shorter) : 0;
    if (!*order) *order = (a.string.size > b.string.size) - (a.string.size < b.string.size);
  } else {
    return TX_RUN_FAIL(run, "%s and %s have no order; mend the chat template",
                       tx_value_kind_name(a), tx_value_kind_name(b));
  }
  return TX_OK;
}

tx_status tx_value_contains(tx_run *run, tx_value in, tx_value what, bool *contains) {
  *contains = false;
  if (in.kind == TX_VALUE_STRING && what.kind == TX_VALUE_STRING) {
    TX_TRY(tx_run_spend(run, in.string.size));
    *contains = tx_string_find(in.string, 0, what.string) != NULL;
  } else if (in.kind == TX_VALUE_DICT) {
    const tx_value *value;
    TX_TRY(tx_dict_find(run, in.dict, what, &value));
    *contains = value != NULL;
  } else if (in.kind == TX_VALUE_LIST) {
    for (size_t i = 0; !*contains && i < in.list->count; i++) {
      TX_TRY(tx_run_spend(run, 1));
      TX_TRY(tx_value_equal(run, in.list->items[i], what, contains));
    }
  } else if (in.kind != TX_VALUE_UNDEFINED) {
    return TX_RUN_FAIL(run, "%s cannot be looked for in %s; mend the chat template",
                       tx_value_kind_name(what), tx_value_kind_name(in));
  }
  return TX_OK;
}

/* ---- containers -------------------------------------------------------- */

tx_status tx_list_make(tx_run *run, size_t count, tx_list **list) {
  TX_TRY(tx_run_take(run, 1, sizeof **list, list));
  **list = (tx_list){.count = count};
  return tx_run_take(run, count, sizeof(tx_value), &(*list)->items);
}

static tx_status characters_of(tx_run *run, tx_string string, tx_list **list) {
  TX_TRY(tx_list_make(run, tx_string_length(string), list));
  size_t at = 0;
  for (size_t i = 0; i < (*list)->count; i++) {
    size_t size = tx_character_size(string, at);
    (*list)->items[i] = tx_value_string(tx_string_cut(string, at, at + size));
    at += size;
  }
  return TX_OK;
}

tx_status tx_value_items(tx_run *run, tx_value value, const tx_list **list) {
  tx_list *made;
  *list = value.list;
  if (value.kind == TX_VALUE_LIST) return TX_OK;
  if (value.kind == TX_VALUE_STRING) {
    TX_TRY(characters_of(run, value.string, &made));
  } else if (value.kind == TX_VALUE_DICT && !value.dict->open) {
    TX_TRY(tx_list_make(run, value.dict->count, &made));
    for (size_t i = 0; i < made->count; i++) made->items[i] = value.dict->keys[i];
  } else if (value.kind == TX_VALUE_UNDEFINED) {
    TX_TRY(tx_list_make(run, 0, &made));
  } else {
    return TX_RUN_FAIL(run, "%s has no items to go through; mend the chat template",
                       tx_value_kind_name(value));
  }
  *list = made;
  return TX_OK;
}

tx_status tx_dict_make(tx_run *run, tx_dict **dict) {
  TX_TRY(tx_run_take(run, 1, sizeof **dict, dict));
  **dict = (tx_dict){0};
  return TX_OK;
}

tx_status tx_dict_find(tx_run *run, const tx_dict *dict, tx_value key, const tx_value **value) {
  *value = NULL;
  for (size_t i = 0; i < dict->count; i++) {
    bool equal;
    TX_TRY(tx_run_spend(run, 1));
    TX_TRY(tx_value_equal(run, dict->keys[i], key, &equal));
    if (equal) {
      *value = &dict->values[i];
      break;
    }
  }
  return TX_OK;
}

static tx_status grow(tx_run *run, tx_dict *dict) {
  size_t capacity = dict->capacity ? dict->capacity * 2 : 8;
  tx_value *keys, *values;
  TX_TRY(tx_run_take(run, capacity, sizeof *keys, &keys));
  TX_TRY(tx_run_take(run, capacity, sizeof *values, &values));
  for (size_t i = 0; i < dict->count; i++) {
    keys[i] = dict->keys[i];
    values[i] = dict->values[i];
  }
  dict->keys = keys;
  dict->values = values;
  dict->capacity = capacity;
  return TX_OK;
}

tx_status tx_dict_set(tx_run *run, tx_dict *dict, tx_value key, tx_value value) {
  const tx_value *there;
  TX_TRY(tx_dict_find(run, dict, key, &there));
  if (there) {
    dict->values[there - dict->values] = value;
    return TX_OK;
  }
  if (dict->count == dict->capacity) TX_TRY(grow(run, dict));
  dict->keys[dict->count] = key;
  dict->values[dict->count++] = value;
  return TX_OK;
}
