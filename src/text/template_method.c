/* The methods of strings and dictionaries, and what the filters share with them:
 * replacing, splitting, case. */
#include <string.h>

#include <utf8proc.h>

#include "text/characters.h"
#include "text/template_methods.h"

#define METHOD(name) \
  static tx_status name(tx_run *run, tx_value self, const tx_value *arguments, tx_value *value)

/* ---- strip, split ------------------------------------------------------ */

tx_status tx_template_strip(tx_run *run, tx_value self, tx_value characters, int sides,
                            tx_value *value) {
  tx_string wanted, *given = NULL;
  TX_TRY(tx_run_spend(run, self.string.size));
  if (tx_given(characters) && characters.kind != TX_VALUE_NONE) {
    TX_TRY(tx_want_string(run, characters, "an argument of strip", &wanted));
    TX_TRY(tx_run_spend(run, self.string.size * (wanted.size < 64 ? wanted.size : 64)));
    given = &wanted;
  }
  *value = tx_value_string(tx_string_strip(self.string, given, sides));
  return TX_OK;
}

METHOD(strip) {
  return tx_template_strip(run, self, arguments[0], TX_STRIP_LEFT | TX_STRIP_RIGHT, value);
}
METHOD(lstrip) { return tx_template_strip(run, self, arguments[0], TX_STRIP_LEFT, value); }
METHOD(rstrip) { return tx_template_strip(run, self, arguments[0], TX_STRIP_RIGHT, value); }

/* A list that grows by one string. */
static tx_status add_part(tx_run *run, tx_list *list, size_t *capacity, tx_string part) {
  if (list->count == *capacity) {
    tx_value *grown;
    TX_TRY(tx_run_take(run, *capacity * 2 + 8, sizeof *grown, &grown));
    if (list->count) memcpy(grown, list->items, list->count * sizeof *grown);
    list->items = grown;
    *capacity = *capacity * 2 + 8;
  }
  list->items[list->count++] = tx_value_string(part);
  return TX_OK;
}

/* At runs of white space; `most` splits. */
static tx_status split_at_space(tx_run *run, tx_string string, int64_t most, tx_list *list) {
  size_t capacity = 0, size;
  string = tx_string_strip(string, NULL, TX_STRIP_LEFT);
  while (string.size && most-- != 0) {
    size_t end = 0;
    while (end < string.size && !tx_string_space(string, end, &size)) {
      end += tx_character_size(string, end);
    }
    TX_TRY(add_part(run, list, &capacity, tx_string_cut(string, 0, end)));
    string = tx_string_cut(string, end, string.size);
    string = tx_string_strip(string, NULL, TX_STRIP_LEFT);
  }
  return string.size ? add_part(run, list, &capacity, string) : TX_OK;
}

static tx_status split_at(tx_run *run, tx_string string, tx_string separator, int64_t most,
                          tx_list *list) {
  size_t capacity = 0, from = 0;
  const char *found;
  while (most-- != 0 && (found = tx_string_find(string, from, separator))) {
    size_t at = string.size ? (size_t)(found - string.data) : 0;
    TX_TRY(add_part(run, list, &capacity, tx_string_cut(string, from, at)));
    from = at + separator.size;
  }
  return add_part(run, list, &capacity, tx_string_cut(string, from, string.size));
}

METHOD(split) {
  tx_list *list;
  tx_string separator;
  int64_t most = INT64_MAX;
  TX_TRY(tx_run_spend(run, self.string.size));
  TX_TRY(tx_list_make(run, 0, &list));
  *value = tx_value_list(list);
  if (tx_given(arguments[1])) {
    TX_TRY(tx_want_whole(run, arguments[1], "an argument of split", &most));
    most = most < 0 ? INT64_MAX : most; /* all of them */
  }
  if (!tx_given(arguments[0]) || arguments[0].kind == TX_VALUE_NONE) {
    return split_at_space(run, self.string, most, list);
  }
  TX_TRY(tx_want_string(run, arguments[0], "an argument of split", &separator));
  if (separator.size) return split_at(run, self.string, separator, most, list);
  return TX_RUN_FAIL(run, "split is given an empty string; mend the chat template");
}

/* ---- replace, case ----------------------------------------------------- */

tx_status tx_template_replace(tx_run *run, tx_value self, const tx_value *arguments,
                              tx_value *value) {
  tx_string string = self.string, old, new;
  int64_t most = INT64_MAX;
  TX_TRY(tx_want_string(run, arguments[0], "an argument of replace", &old));
  TX_TRY(tx_want_string(run, arguments[1], "an argument of replace", &new));
  if (tx_given(arguments[2]) && arguments[2].kind != TX_VALUE_NONE) {
    TX_TRY(tx_want_whole(run, arguments[2], "an argument of replace", &most));
    most = most < 0 ? INT64_MAX : most; /* all of them */
  }
  if (!old.size) {
    return TX_RUN_FAIL(run, "replace is given an empty string; mend the chat template");
  }
  TX_TRY(tx_run_spend(run, string.size));
  tx_builder builder = {0};
  size_t from = 0;
  const char *found;
  while (most-- != 0 && (found = tx_string_find(string, from, old))) {
    size_t at = (size_t)(found - string.data);
    TX_TRY(tx_build(run, &builder, tx_string_cut(string, from, at)));
    TX_TRY(tx_build(run, &builder, new));
    from = at + old.size;
  }
  TX_TRY(tx_build(run, &builder, tx_string_cut(string, from, string.size)));
  *value = tx_built(&builder);
  return TX_OK;
}

static tx_status put_changed(tx_run *run, tx_builder *builder, tx_string character, bool upper) {
  uint32_t point;
  unsigned char bytes[4], marks[4];
  size_t valid =
      tx_character_decode((const unsigned char *)character.data, character.size, &point);
  if (!valid) return tx_build(run, builder, character);
  utf8proc_int32_t changed =
      upper ? utf8proc_toupper((utf8proc_int32_t)point) : utf8proc_tolower((utf8proc_int32_t)point);
  utf8proc_ssize_t size = utf8proc_encode_char(changed, bytes);
  memset(marks, character.marks ? character.marks[0] : 0, sizeof marks);
  return tx_build(run, builder, (tx_string){(const char *)bytes, (size_t)size, marks});
}

/* Whether the byte before `at` parts words: for str.title() all but letters, for the
 * filter white space and some signs. */
static bool starts_word(tx_string string, size_t at, tx_letters letters) {
  if (at == 0) return true;
  unsigned char c = (unsigned char)string.data[at - 1];
  if (letters == TX_LETTERS_WORDS) return c && strchr("- \t\n\r\v\f({[<", c);
  return letters == TX_LETTERS_TITLE && c < 0x80 && !((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

tx_status tx_template_case(tx_run *run, tx_value self, tx_letters letters, tx_value *value) {
  tx_string string = self.string;
  tx_builder builder = {0};
  for (size_t at = 0, size; at < string.size; at += size) {
    bool upper = letters == TX_LETTERS_UPPER ||
                 (letters != TX_LETTERS_LOWER && starts_word(string, at, letters));
    size = tx_character_size(string, at);
    TX_TRY(put_changed(run, &builder, tx_string_cut(string, at, at + size), upper));
  }
  *value = tx_built(&builder);
  return TX_OK;
}

METHOD(upper) { return (void)arguments, tx_template_case(run, self, TX_LETTERS_UPPER, value); }
METHOD(lower) { return (void)arguments, tx_template_case(run, self, TX_LETTERS_LOWER, value); }
METHOD(title) { return (void)arguments, tx_template_case(run, self, TX_LETTERS_TITLE, value); }
METHOD(capitalize) { return (void)arguments, tx_template_case(run, self, TX_LETTERS_FIRST, value); }

/* ---- looking into a string --------------------------------------------- */

static bool has_at(tx_string string, size_t at, tx_string what) {
  return string.size - at >= what.size &&
         (!what.size || !memcmp(string.data + at, what.data, what.size));
}

/* One string, or one of a list of them. */
static tx_status has_end(tx_run *run, tx_string string, tx_value what, bool start,
                         tx_value *value) {
  const tx_list one = {.items = &what, .count = 1};
  const tx_list *list = what.kind == TX_VALUE_LIST ? what.list : &one;
  bool has = false;
  for (size_t i = 0; !has && i < list->count; i++) {
    tx_string end;
    TX_TRY(tx_want_string(run, list->items[i], "an argument of startswith or endswith", &end));
    TX_TRY(tx_run_spend(run, end.size));
    has = end.size <= string.size && has_at(string, start ? 0 : string.size - end.size, end);
  }
  *value = tx_value_bool(has);
  return TX_OK;
}

METHOD(startswith) { return has_end(run, self.string, arguments[0], true, value); }
METHOD(endswith) { return has_end(run, self.string, arguments[0], false, value); }

METHOD(find) {
  tx_string what;
  TX_TRY(tx_want_string(run, arguments[0], "the argument of find", &what));
  TX_TRY(tx_run_spend(run, self.string.size));
  const char *found = tx_string_find(self.string, 0, what);
  size_t at = found && self.string.size ? (size_t)(found - self.string.data) : 0;
  int64_t before = (int64_t)tx_string_length(tx_string_cut(self.string, 0, at));
  *value = tx_value_integer(found ? before : -1);
  return TX_OK;
}

METHOD(count) {
  tx_list list = {0};
  tx_string what;
  TX_TRY(tx_want_string(run, arguments[0], "the argument of count", &what));
  TX_TRY(tx_run_spend(run, self.string.size));
  if (!what.size) return TX_RUN_FAIL(run, "count is given an empty string; mend the chat template");
  TX_TRY(split_at(run, self.string, what, INT64_MAX, &list));
  *value = tx_value_integer((int64_t)list.count - 1);
  return TX_OK;
}

METHOD(splitlines) {
  tx_list *list;
  (void)arguments;
  TX_TRY(tx_run_spend(run, self.string.size));
  TX_TRY(tx_list_make(run, 0, &list));
  tx_string newline = {"\n", 1, NULL};
  TX_TRY(split_at(run, self.string, newline, INT64_MAX, list));
  if (!list->items[list->count - 1].string.size) list->count--;
  *value = tx_value_list(list);
  return TX_OK;
}

tx_status tx_template_join(tx_run *run, tx_string separator, tx_value of, tx_value *value) {
  const tx_list *list;
  tx_builder builder = {0};
  TX_TRY(tx_value_items(run, of, &list));
  for (size_t i = 0; i < list->count; i++) {
    if (i) TX_TRY(tx_build(run, &builder, separator));
    TX_TRY(tx_print_value(run, &builder, list->items[i]));
  }
  *value = tx_built(&builder);
  return TX_OK;
}

METHOD(join) { return tx_template_join(run, self.string, arguments[0], value); }

/* ---- dictionaries ------------------------------------------------------ */

tx_status tx_template_items(tx_run *run, tx_value self, tx_value *value) {
  const tx_dict *dict = self.dict;
  tx_list *list;
  TX_TRY(tx_list_make(run, dict->count, &list));
  for (size_t i = 0; i < dict->count; i++) {
    tx_list *pair;
    TX_TRY(tx_list_make(run, 2, &pair));
    pair->tuple = true;
    pair->items[0] = dict->keys[i];
    pair->items[1] = dict->values[i];
    list->items[i] = tx_value_list(pair);
  }
  *value = tx_value_list(list);
  return TX_OK;
}

METHOD(items) { return (void)arguments, tx_template_items(run, self, value); }

static tx_status copy_items(tx_run *run, const tx_value *items, size_t count, tx_value *value) {
  tx_list *list;
  TX_TRY(tx_list_make(run, count, &list));
  for (size_t i = 0; i < count; i++) list->items[i] = items[i];
  *value = tx_value_list(list);
  return TX_OK;
}

METHOD(keys) { return (void)arguments, copy_items(run, self.dict->keys, self.dict->count, value); }
METHOD(values) {
  return (void)arguments, copy_items(run, self.dict->values, self.dict->count, value);
}

METHOD(get) {
  const tx_value *found;
  TX_TRY(tx_dict_find(run, self.dict, arguments[0], &found));
  *value = found ? *found : tx_given(arguments[1]) ? arguments[1] : tx_value_none();
  return TX_OK;
}

/* ---- the tables -------------------------------------------------------- */

static const tx_function of_strings[] = {{"strip", "chars", 0, strip},
                                         {"lstrip", "chars", 0, lstrip},
                                         {"rstrip", "chars", 0, rstrip},
                                         {"split", "sep maxsplit", 0, split},
                                         {"splitlines", "", 0, splitlines},
                                         {"replace", "old new count", 2, tx_template_replace},
                                         {"upper", "", 0, upper},
                                         {"lower", "", 0, lower},
                                         {"title", "", 0, title},
                                         {"capitalize", "", 0, capitalize},
                                         {"startswith", "prefix", 1, startswith},
                                         {"endswith", "suffix", 1, endswith},
                                         {"find", "sub", 1, find},
                                         {"count", "sub", 1, count},
                                         {"join", "iterable", 1, join},
                                         {NULL, NULL, 0, NULL}};
static const tx_function of_dicts[] = {{"items", "", 0, items},
                                       {"keys", "", 0, keys},
                                       {"values", "", 0, values},
                                       {"get", "key default", 1, get},
                                       {NULL, NULL, 0, NULL}};

const tx_function *tx_template_row(const tx_function *rows, tx_text name) {
  for (; rows->name; rows++)
    if (tx_text_equal(name, rows->name)) return rows;
  return NULL;
}

const tx_function *tx_template_method(tx_value_kind kind, tx_text name) {
  if (kind == TX_VALUE_STRING) return tx_template_row(of_strings, name);
  return kind == TX_VALUE_DICT ? tx_template_row(of_dicts, name) : NULL;
}
