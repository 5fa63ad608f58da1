/* Values as text: as Python's str() and repr() write them, and as JSON. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/template_parts.h"

static tx_status print_inside(tx_run *run, tx_builder *builder, tx_value value);

static tx_status print_integer(tx_run *run, tx_builder *builder, int64_t integer) {
  char text[32];
  snprintf(text, sizeof text, "%" PRId64, integer);
  return tx_build_text(run, builder, text);
}

/* The fewest digits that read back as the same number, in the form Python chooses. */
static tx_status print_real(tx_run *run, tx_builder *builder, double real) {
  char text[64];
  if (!isfinite(real)) {
    return tx_build_text(run, builder, isnan(real) ? "nan" : real < 0 ? "-inf" : "inf");
  }
  int digits = 1;
  while (digits < 17 && (snprintf(text, sizeof text, "%.*e", digits - 1, real),
                         strtod(text, NULL) != real)) {
    digits++;
  }
  snprintf(text, sizeof text, "%.*e", digits - 1, real);
  int exponent = atoi(strchr(text, 'e') + 1);
  if (exponent >= -4 && exponent < 16) {
    int places = digits - 1 - exponent;
    snprintf(text, sizeof text, "%.*f", places > 1 ? places : 1, real);
  }
  return tx_build_text(run, builder, text);
}

/* Bytes [from, to) as they stand. */
static tx_status put(tx_run *run, tx_builder *builder, tx_string string, size_t from, size_t to) {
  return to > from ? tx_build(run, builder, tx_string_cut(string, from, to)) : TX_OK;
}

/* Between quotes, with escapes: Python's, or JSON's where `quote` is '"' and `json`. */
static tx_status print_quoted(tx_run *run, tx_builder *builder, tx_string string, char quote,
                              bool json) {
  static const char plain[] = "\n\r\t\b\f", letters[] = "nrtbf";
  const char marks[] = {quote, '\0'};
  size_t from = 0;
  TX_TRY(tx_build_text(run, builder, marks));
  for (size_t i = 0; i < string.size; i++) {
    unsigned char c = (unsigned char)string.data[i];
    if (c >= 0x20 && c != '\\' && c != (unsigned char)quote && (json || c != 0x7f)) continue;
    TX_TRY(put(run, builder, string, from, i));
    char escape[8];
    const char *simple = c ? strchr(plain, c) : NULL;
    if (c == '\\' || c == (unsigned char)quote) {
      snprintf(escape, sizeof escape, "\\%c", c);
    } else if (simple && (json || simple - plain < 3)) {
      snprintf(escape, sizeof escape, "\\%c", letters[simple - plain]);
    } else {
      snprintf(escape, sizeof escape, json ? "\\u%04x" : "\\x%02x", c);
    }
    unsigned char from_where[sizeof escape];
    memset(from_where, string.marks ? string.marks[i] : 0, sizeof from_where);
    TX_TRY(tx_build(run, builder, (tx_string){escape, strlen(escape), from_where}));
    from = i + 1;
  }
  TX_TRY(put(run, builder, string, from, string.size));
  return tx_build_text(run, builder, marks);
}

static tx_status print_list(tx_run *run, tx_builder *builder, const tx_list *list) {
  TX_TRY(tx_build_text(run, builder, list->tuple ? "(" : "["));
  for (size_t i = 0; i < list->count; i++) {
    if (i) TX_TRY(tx_build_text(run, builder, ", "));
    TX_TRY(print_inside(run, builder, list->items[i]));
  }
  if (list->tuple && list->count == 1) TX_TRY(tx_build_text(run, builder, ","));
  return tx_build_text(run, builder, list->tuple ? ")" : "]");
}

static tx_status print_dict(tx_run *run, tx_builder *builder, const tx_dict *dict) {
  TX_TRY(tx_build_text(run, builder, dict->open ? "<Namespace {" : "{"));
  for (size_t i = 0; i < dict->count; i++) {
    if (i) TX_TRY(tx_build_text(run, builder, ", "));
    TX_TRY(print_inside(run, builder, dict->keys[i]));
    TX_TRY(tx_build_text(run, builder, ": "));
    TX_TRY(print_inside(run, builder, dict->values[i]));
  }
  return tx_build_text(run, builder, dict->open ? "}>" : "}");
}

tx_status tx_print_value(tx_run *run, tx_builder *builder, tx_value value) {
  switch (value.kind) {
    case TX_VALUE_UNDEFINED: return TX_OK;
    case TX_VALUE_NONE: return tx_build_text(run, builder, "None");
    case TX_VALUE_BOOL: return tx_build_text(run, builder, value.truth ? "True" : "False");
    case TX_VALUE_INTEGER: return print_integer(run, builder, value.integer);
    case TX_VALUE_REAL: return print_real(run, builder, value.real);
    case TX_VALUE_STRING: return tx_build(run, builder, value.string);
    case TX_VALUE_LIST: return print_list(run, builder, value.list);
    case TX_VALUE_DICT: return print_dict(run, builder, value.dict);
    case TX_VALUE_LOOP:
    case TX_VALUE_MACRO: break;
  }
  return TX_RUN_FAIL(run, "%s cannot be printed; mend the chat template",
                     tx_value_kind_name(value));
}

/* repr(): strings in quotes. */
static tx_status print_inside(tx_run *run, tx_builder *builder, tx_value value) {
  TX_TRY(tx_run_enter(run));
  tx_status status;
  if (value.kind == TX_VALUE_STRING) {
    tx_string string = value.string;
    bool single = string.size && memchr(string.data, '\'', string.size);
    bool both = single && memchr(string.data, '"', string.size);
    status = print_quoted(run, builder, string, single && !both ? '"' : '\'', false);
  } else if (value.kind == TX_VALUE_UNDEFINED) {
    status = tx_build_text(run, builder, "Undefined");
  } else {
    status = tx_print_value(run, builder, value);
  }
  run->depth--;
  return status;
}

tx_status tx_value_string_of(tx_run *run, tx_value value, tx_string *string) {
  if (value.kind == TX_VALUE_STRING) {
    *string = value.string;
    return TX_OK;
  }
  tx_builder builder = {0};
  TX_TRY(tx_print_value(run, &builder, value));
  *string = tx_built(&builder).string;
  return TX_OK;
}

/* ---- JSON -------------------------------------------------------------- */

typedef struct json {
  tx_run *run;
  tx_builder *builder;
  int64_t indent; /* < 0: one line */
  int64_t level;
} json;

static tx_status json_value(json *j, tx_value value);

/* What stands before an item, and (`last`) before the closing bracket. */
static tx_status json_break(json *j, bool first, bool last) {
  if (!first && !last) {
    TX_TRY(tx_build_text(j->run, j->builder, j->indent < 0 ? ", " : ","));
  }
  if (j->indent < 0) return TX_OK;
  TX_TRY(tx_build_text(j->run, j->builder, "\n"));
  for (int64_t i = 0; i < j->indent * j->level; i++) {
    TX_TRY(tx_build_text(j->run, j->builder, " "));
  }
  return TX_OK;
}

static tx_status json_key(json *j, tx_value key) {
  if (key.kind == TX_VALUE_STRING) {
    return print_quoted(j->run, j->builder, key.string, '"', true);
  }
  return TX_RUN_FAIL(j->run, "%s cannot be a key in JSON; mend the chat template",
                     tx_value_kind_name(key));
}

static tx_status json_items(json *j, const tx_list *list, const tx_dict *dict) {
  size_t count = list ? list->count : dict->count;
  TX_TRY(tx_build_text(j->run, j->builder, list ? "[" : "{"));
  j->level++;
  for (size_t i = 0; i < count; i++) {
    TX_TRY(json_break(j, i == 0, false));
    if (dict) {
      TX_TRY(json_key(j, dict->keys[i]));
      TX_TRY(tx_build_text(j->run, j->builder, ": "));
    }
    TX_TRY(json_value(j, list ? list->items[i] : dict->values[i]));
  }
  j->level--;
  if (count) TX_TRY(json_break(j, false, true));
  return tx_build_text(j->run, j->builder, list ? "]" : "}");
}

static tx_status json_inside(json *j, tx_value value) {
  tx_run *run = j->run;
  switch (value.kind) {
    case TX_VALUE_NONE: return tx_build_text(run, j->builder, "null");
    case TX_VALUE_BOOL: return tx_build_text(run, j->builder, value.truth ? "true" : "false");
    case TX_VALUE_INTEGER: return print_integer(run, j->builder, value.integer);
    case TX_VALUE_REAL:
      if (isfinite(value.real)) return print_real(run, j->builder, value.real);
      return TX_RUN_FAIL(run, "infinity has no JSON; mend the chat template");
    case TX_VALUE_STRING: return print_quoted(run, j->builder, value.string, '"', true);
    case TX_VALUE_LIST: return json_items(j, value.list, NULL);
    case TX_VALUE_DICT:
      if (!value.dict->open) return json_items(j, NULL, value.dict);
      break;
    default: break;
  }
  return TX_RUN_FAIL(run, "%s has no JSON; mend the chat template", tx_value_kind_name(value));
}

static tx_status json_value(json *j, tx_value value) {
  TX_TRY(tx_run_enter(j->run));
  tx_status status = json_inside(j, value);
  j->run->depth--;
  return status;
}

tx_status tx_print_json(tx_run *run, tx_builder *builder, tx_value value, int64_t indent) {
  json j = {.run = run, .builder = builder, .indent = indent};
  return json_value(&j, value);
}
