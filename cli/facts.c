/* The keys are the library's; nothing here knows what they mean, except that
 * some numbers are sizes and some only names. */
#include "facts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chart.h"

json_t *facts_parse(const char *verb, char *json) {
  json_error_t error;
  json_t *value = json_loads(json, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
  tx_free_string(json);
  if (!value) cli_system_error(verb, "the library's description is not JSON: %s", error.text);
  return value;
}

static bool is_one_of(const char *key, const char *const *keys) {
  for (; *keys; keys++) {
    if (strcmp(key, *keys) == 0) return true;
  }
  return false;
}

static void print_integer(FILE *out, const char *key, json_int_t value) {
  static const char *const sizes[] = {"bytes", "size", "peak_rss_bytes", NULL};
  static const char *const names[] = {"seed", "version", "line", NULL};
  char number[OUT_NUMBER];
  if (is_one_of(key, sizes)) {
    fputs(out_size(value, number), out);
  } else if (is_one_of(key, names)) {
    fprintf(out, "%lld", (long long)value);
  } else {
    fputs(out_grouped(value, number), out);
  }
}

static void print_value(FILE *out, const char *key, const json_t *value);

static void print_list(FILE *out, const char *key, const json_t *array) {
  size_t count = json_array_size(array);
  enum { SHOWN = 40 };
  for (size_t i = 0; i < count && i < SHOWN; i++) {
    if (i > 0) fputs(", ", out);
    print_value(out, key, json_array_get(array, i));
  }
  if (count > SHOWN) fprintf(out, " and %zu more", count - SHOWN);
}

static void print_pairs(FILE *out, const json_t *object) {
  const char *key, *comma = "";
  json_t *value;
  json_object_foreach((json_t *)(uintptr_t)object, key, value) {
    fprintf(out, "%s%s ", comma, key);
    print_value(out, key, value);
    comma = ", ";
  }
}

static void print_value(FILE *out, const char *key, const json_t *value) {
  switch (json_typeof(value)) {
    case JSON_STRING:
      fwrite(json_string_value(value), 1, json_string_length(value), out);
      break;
    case JSON_INTEGER:
      print_integer(out, key, json_integer_value(value));
      break;
    case JSON_REAL:
      fprintf(out, "%.5g", json_real_value(value));
      break;
    case JSON_TRUE:
      fputs("yes", out);
      break;
    case JSON_FALSE:
      fputs("no", out);
      break;
    case JSON_NULL:
      fputs("-", out);
      break;
    case JSON_ARRAY:
      print_list(out, key, value);
      break;
    case JSON_OBJECT:
      print_pairs(out, value);
      break;
  }
}

char *facts_value(const char *key, const json_t *value) {
  char *text = NULL;
  size_t size = 0;
  FILE *out = open_memstream(&text, &size);
  if (!out) cli_out_of_memory();
  if (value) print_value(out, key, value);
  if (fclose(out) != 0 || !text) cli_out_of_memory(); /* glibc forgets to say */
  return text;
}

static char *indented(const char *key, int depth) {
  char *text = cli_array((size_t)(2 * depth) + strlen(key) + 1, 1);
  memset(text, ' ', (size_t)(2 * depth));
  strcpy(text + 2 * depth, key);
  for (char *c = text; *c; c++) {
    if (*c == '_') *c = ' ';
  }
  return text;
}

/* Nested objects become a heading and lines below it; the counts of tensor
 * types stay on one line. */
static void add_facts(out_table *table, const json_t *object, int depth) {
  const char *key;
  json_t *value;
  json_object_foreach((json_t *)(uintptr_t)object, key, value) {
    bool nested = json_is_object(value) && depth < 8 && strcmp(key, "tensor_types") != 0;
    char *name = indented(key, depth), *text = nested ? cli_copy("", 0) : facts_value(key, value);
    out_cell(table, name);
    out_cell(table, text);
    free(name);
    free(text);
    if (nested) add_facts(table, value, depth + 1);
  }
}

void facts_print(const json_t *object) {
  out_table table = out_table_make("ll", false);
  add_facts(&table, object, 0);
  out_table_print(&table);
}

void facts_draw_depths(const json_t *depths) {
  size_t count = json_array_size(depths);
  chart_depth *points = cli_array(count, sizeof *points);
  for (size_t i = 0; i < count; i++) {
    const json_t *at = json_array_get(depths, i);
    points[i] = (chart_depth){
        .depth = (int)json_integer_value(json_object_get(at, "depth")),
        .pooling = json_string_value(json_object_get(at, "pooling")),
        .accuracy = json_number_value(json_object_get(at, "accuracy")),
        .standard_error = json_number_value(json_object_get(at, "standard_error")),
        .chosen = json_is_true(json_object_get(at, "chosen"))};
  }
  if (count > 0) putchar('\n');
  chart_depths(stdout, points, count);
  free(points);
}
