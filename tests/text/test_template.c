/* Templates against Jinja2 as transformers sets it up; what is refused, and where;
 * marks; bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/memory.h"
#include "golden/templates.h"
#include "text/template_parts.h"

enum {
  ROWS = sizeof golden_expressions / sizeof *golden_expressions,
  CHATS = sizeof golden_chats / sizeof *golden_chats,
  VARIABLES = 16,
};

/* ---- variables --------------------------------------------------------- */

static tx_value value_of(tx_arena *arena, const json_t *json);

static tx_value text_of(tx_arena *arena, const char *string) {
  return tx_value_text((tx_text){tx_arena_string(arena, string, strlen(string)), strlen(string)});
}

static tx_value list_of(tx_arena *arena, const json_t *json) {
  tx_list *list = tx_arena_alloc(arena, sizeof *list);
  *list = (tx_list){.count = json_array_size(json)};
  list->items = tx_arena_array(arena, list->count, sizeof *list->items);
  for (size_t i = 0; i < list->count; i++) {
    list->items[i] = value_of(arena, json_array_get(json, i));
  }
  return tx_value_list(list);
}

static tx_value dict_of(tx_arena *arena, json_t *json) {
  tx_dict *dict = tx_arena_alloc(arena, sizeof *dict);
  *dict = (tx_dict){.capacity = json_object_size(json)};
  dict->keys = tx_arena_array(arena, dict->capacity, sizeof *dict->keys);
  dict->values = tx_arena_array(arena, dict->capacity, sizeof *dict->values);
  const char *key;
  json_t *value;
  json_object_foreach(json, key, value) {
    dict->keys[dict->count] = text_of(arena, key);
    dict->values[dict->count++] = value_of(arena, value);
  }
  return tx_value_dict(dict);
}

static tx_value value_of(tx_arena *arena, const json_t *json) {
  switch (json_typeof(json)) {
    case JSON_OBJECT: return dict_of(arena, (json_t *)(uintptr_t)json);
    case JSON_ARRAY: return list_of(arena, json);
    case JSON_STRING: return text_of(arena, json_string_value(json));
    case JSON_INTEGER: return tx_value_integer(json_integer_value(json));
    case JSON_REAL: return tx_value_real(json_real_value(json));
    case JSON_TRUE: return tx_value_bool(true);
    case JSON_FALSE: return tx_value_bool(false);
    case JSON_NULL: break;
  }
  return tx_value_none();
}

/* ---- rendering --------------------------------------------------------- */

typedef struct rendering {
  tx_status status;
  tx_error error;
  tx_buffer text, marks;
} rendering;

static rendering render_with(const char *source, const tx_template_variable *variables,
                             size_t count) {
  rendering r = {0};
  tx_template *made;
  assert_true(tx_buffer_append_string(&r.text, "kept "));
  assert_true(tx_buffer_append_string(&r.marks, "kept "));
  r.status = tx_template_new(tx_text_of(source), "t", &made, &r.error);
  if (r.status == TX_OK) {
    r.status = tx_template_render(made, variables, count, &r.text, &r.marks, &r.error);
    tx_template_free(made);
  } else {
    assert_null(made);
  }
  assert_int_equal(r.status, r.error.status);
  assert_int_equal(r.text.size, r.marks.size);
  if (r.status != TX_OK) assert_int_equal(r.text.size, 5);
  return r;
}

static void free_rendering(rendering *r) {
  tx_buffer_free(&r->text);
  tx_buffer_free(&r->marks);
}

static void check(const char *source, const tx_template_variable *variables, size_t count,
                  const char *want) {
  rendering r = render_with(source, variables, count);
  char sentence[2048];
  if (!want && r.status == TX_OK) fail_msg("%s\nwas not refused: %s", source, r.text.data);
  if (!want) assert_int_equal(r.status, TX_ERROR_INPUT);
  if (want && r.status != TX_OK) {
    fail_msg("%s\n%s", source, tx_error_sentence(&r.error, sentence, sizeof sentence));
  }
  if (want && strcmp(r.text.data + 5, want) != 0) {
    fail_msg("%s\ngot  %s\nwant %s", source, r.text.data + 5, want);
  }
  free_rendering(&r);
}

static void refuse(const char *source, int64_t line, const char *part) {
  rendering r = render_with(source, NULL, 0);
  assert_int_equal(r.status, TX_ERROR_INPUT);
  if (!strstr(r.error.message, part) || r.error.line != line) {
    fail_msg("%s\n%s:%ld: %s", source, r.error.where, (long)r.error.line, r.error.message);
  }
  free_rendering(&r);
}

static size_t golden_variables_of(tx_arena *arena, tx_template_variable *variables) {
  json_t *json = json_loads(golden_variables, 0, NULL);
  assert_non_null(arena);
  assert_non_null(json);
  size_t count = 0;
  const char *name;
  json_t *value;
  json_object_foreach(json, name, value) {
    assert_true(count < VARIABLES);
    const char *copy = tx_arena_string(arena, name, strlen(name));
    variables[count++] = (tx_template_variable){copy, value_of(arena, value)};
  }
  json_decref(json);
  return count;
}

static void test_golden(void **state) {
  (void)state;
  tx_arena *arena = tx_arena_new();
  tx_template_variable variables[VARIABLES];
  size_t count = golden_variables_of(arena, variables);
  for (size_t i = 0; i < ROWS; i++) {
    check(golden_expressions[i][0], variables, count, golden_expressions[i][1]);
  }
  tx_arena_free(arena);
}

/* ---- every way to fail ------------------------------------------------- */

/* Steps, or blocks of memory, run out one by one later: each time a sentence and no text. */
static void run_out(const tx_template *made, const tx_template_variable *variables, size_t count,
                    bool steps) {
  tx_status status = TX_ERROR_INPUT;
  for (uint64_t i = 0; status != TX_OK; i++) {
    tx_template_limits limits = {steps ? i : 1 << 20, steps ? 1 << 20 : i * 64};
    tx_buffer text = {0}, marks = {0};
    tx_error error = {0};
    status = tx_template_render_within(made, variables, count, limits, &text, &marks, &error);
    if (status != TX_OK) {
      assert_int_equal(status, TX_ERROR_INPUT);
      assert_int_equal(text.size + marks.size, 0);
      const char *sentence = steps ? "come to an end" : "more memory";
      if (!strstr(error.message, sentence)) fail_msg("%s", error.message);
    }
    tx_buffer_free(&text);
    tx_buffer_free(&marks);
  }
}

static void test_running_out(void **state) {
  (void)state;
  tx_arena *arena = tx_arena_new();
  tx_template_variable variables[VARIABLES];
  size_t count = golden_variables_of(arena, variables);
  for (size_t i = 0; i < ROWS; i++) {
    if (!golden_expressions[i][1]) continue;
    tx_template *made;
    tx_error error = {0};
    tx_text source = tx_text_of(golden_expressions[i][0]);
    assert_int_equal(tx_template_new(source, "t", &made, &error), TX_OK);
    run_out(made, variables, count, true);
    run_out(made, variables, count, false);
    tx_template_free(made);
  }
  tx_arena_free(arena);
}

/* Cut anywhere, a template is refused or rendered, never more. */
static void test_cut_short(void **state) {
  (void)state;
  tx_arena *arena = tx_arena_new();
  tx_template_variable variables[VARIABLES];
  size_t count = golden_variables_of(arena, variables), refused = 0;
  for (size_t i = 0; i < ROWS + CHATS; i++) {
    const char *whole = i < ROWS ? golden_expressions[i][0] : golden_chats[i - ROWS].template;
    for (size_t size = 0; size < strlen(whole); size++) {
      /* With the tag closed, so that the parser sees what the lexer would refuse. */
      for (int end = 0; end < 3; end++) {
        tx_buffer source = {0}, text = {0};
        tx_template *made;
        tx_error error = {0};
        assert_true(tx_buffer_append(&source, whole, size));
        assert_true(tx_buffer_append_string(&source, end == 0 ? "" : end == 1 ? "%}" : "}}"));
        tx_status status =
            tx_template_new((tx_text){source.data, source.size}, "t", &made, &error);
        if (status == TX_OK) {
          status = tx_template_render(made, variables, count, &text, NULL, &error);
        }
        assert_true(status == TX_OK || status == TX_ERROR_INPUT);
        refused += status != TX_OK;
        tx_template_free(made);
        tx_buffer_free(&source);
        tx_buffer_free(&text);
      }
    }
  }
  assert_true(refused > 10000);
  tx_arena_free(arena);
}

static void test_refused(void **state) {
  (void)state;
  refuse("a\n{{ x | sorted }}", 2, "\"sorted\" stands where a filter that is known");
  refuse("{{ x is lovely }}", 1, "\"lovely\" stands where a test that is known");
  refuse("\n\n{% include 'x' %}", 3, "\"include\" stands where a statement");
  refuse("{% if x %}\n{% for y in z %}\n{% endif %}", 3, "\"endif\" stands where a statement");
  refuse("x\n{% if x %}\n", 2, "not closed by {% endif %}");
  refuse("{% for x in y %}", 1, "not closed by {% endfor %}");
  refuse("{{ 'a\n' }}\n{{ 'abc }}", 3, "a string is not closed");
  refuse("{{ strftime_now('%d') }}", 1, "the function strftime_now is not understood");
  refuse("{{ 'x'.format(1) }}", 1, "the method format of a string is not understood");
  refuse("\n{{ raise_exception('no\n\x1bway') }}", 2, "refuses these messages: no  way");
  refuse("{{ 1 +\n none }}", 1, "a number + none makes no sense");
  refuse("{{ a.b }}", 1, "b is wanted of a, which is not defined");
  refuse("{% for x in [1] %}{{ loop.changed }}{% endfor %}", 1, "loop.changed is not understood");
  refuse("{{ '\\N{DASH}' }}", 1, "an escape that is not understood");
  refuse("{{ '\\ud800' }}", 1, "an escape that is not understood");
  refuse("{{ 9223372036854775807 + 1 }}", 1, "too large");
  refuse("{{ 9223372036854775808 }}", 1, "a smaller number");
  refuse("{{ -9223372036854775807 - 1 // 1 }}{{ (-9223372036854775807 - 1) // -1 }}", 1,
         "too large");
  refuse("{{ 'a' % 1 }}", 1, "makes no sense");
  refuse("{% set f = raise_exception %}{{ f('x') }}", 1, "cannot be called");
  refuse("{{ range }}", 1, "a macro cannot be printed");
  refuse("{{ x|join(1, 2, 3) }}", 1, "the filter join is given arguments");
  refuse("{{ x|tojson(sort_keys=true) }}", 1, "tojson is understood with an indent");
  refuse("{% macro m() %}{% endmacro %}{{ m(1) }}", 1, "the macro m is given arguments");
  refuse("{% set a, b = [1] %}", 1, "2 names are given the values of a list of 1");
  refuse("{{ 5[1:] }}", 1, "has no parts");
  refuse("{{ 5|items }}", 1, "has no items");
  refuse("{{ [1]|tojson(indent='a') }}", 1, "the indent of tojson is a string");
  refuse("{{ [1]|tojson(indent=33) }}", 1, "an indent of up to 32");
  refuse("{{ l[] }}", 1, "where a subscript should be");
  refuse("{{ {1: 2}|tojson }}", 1, "cannot be a key in JSON");
  refuse("{{ namespace()|tojson }}", 1, "has no JSON");
  refuse("{% set n = namespace(x=10.0) %}{% for i in range(10) %}{% set n.x = n.x * n.x %}"
         "{% endfor %}{{ n.x|tojson }}", 1, "infinity has no JSON");
  refuse("{{ 2 ** -1 }}", 1, "a negative power");
  refuse("{{ 3 ** 99 }}", 1, "too large");
  refuse("{{ 9223372036854775807 * 2 }}", 1, "too large");
  refuse("{{ -9223372036854775807 - 2 }}", 1, "too large");
  refuse("{{ -(-9223372036854775807 - 1) }}", 1, "too large");
  refuse("{{ 1.5 % 1 }}", 1, "makes no sense");
  refuse("{{ ''.replace('', 'a') }}", 1, "replace is given an empty string");
  refuse("{{ 'a'.count('') }}", 1, "count is given an empty string");
  refuse("{{ 12345678901234567890123456789012345678901234567890123456789012345678901 }}", 1,
         "a shorter number");
  refuse("{{ xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.y }}", 1,
         "xxxxxx, which is not defined");
  refuse("{{ x }} \x01 {{ \x01 }}", 1, "'?' is not understood inside a tag");
}

/* ---- marks ------------------------------------------------------------- */

static void test_marks(void **state) {
  (void)state;
  static const unsigned char marks[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  const tx_template_variable x = {"x", tx_value_string((tx_string){" a\"b,c\n ", 8, marks})};
  static const struct {
    const char *source, *text, *marks; /* a digit a byte */
  } rows[] = {
      {"<{{ x }}>", "< a\"b,c\n >", "0123456780"},
      {"{{ '[' + x|trim ~ ']' }}", "[a\"b,c]", "0234560"},
      {"{{ x[1:4] }}{{ x[1] }}", "a\"ba", "2342"},
      {"{{ x.split(',')[1] }}", "c\n ", "678"},
      {"{{ x|trim|upper }}", "A\"B,C", "23456"},
      {"{{ x|trim|replace(',', '<>') }}", "a\"b<>c", "234006"},
      {"{{ x.strip()|tojson }}", "\"a\\\"b,c\"", "02334560"},
      {"{{ [x.strip()] }}", "['a\"b,c']", "002345600"},
      {"{% set y %}-{{ x.strip() }}{% endset %}{{ y }}{{ y[::-1] }}", "-a\"b,cc,b\"a-",
       "023456654320"},
      {"{% macro m(y) %}{{ y[1] }}.{% endmacro %}{{ m(x) }}", "a.", "20"},
      {"{% for c in x.strip() %}{{ c }}{{ loop.index }}{% endfor %}", "a1\"2b3,4c5", "2030405060"},
      {"{{ x.split(',')|join('+') }}", " a\"b+c\n ", "12340678"},
      {"{{ x == 'y' }}{{ x|length }}", "False8", "000000"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    rendering r = render_with(rows[i].source, &x, 1);
    assert_int_equal(r.status, TX_OK);
    assert_string_equal(r.text.data + 5, rows[i].text);
    assert_int_equal(strlen(rows[i].marks), r.marks.size - 5);
    for (size_t j = 5; j < r.marks.size; j++) {
      if (r.marks.data[j] != rows[i].marks[j - 5] - '0') {
        fail_msg("%s: byte %zu is marked %d", rows[i].source, j - 5, r.marks.data[j]);
      }
    }
    free_rendering(&r);
  }
}

/* ---- bounds ------------------------------------------------------------ */

static void refuse_nested(const char *before, const char *part, size_t times, const char *after,
                          const char *close, const char *why) {
  tx_buffer source = {0};
  assert_true(tx_buffer_append_string(&source, before));
  for (size_t i = 0; i < times; i++) assert_true(tx_buffer_append_string(&source, part));
  assert_true(tx_buffer_append_string(&source, after));
  for (size_t i = 0; i < times && *close; i++) assert_true(tx_buffer_append_string(&source, close));
  assert_true(tx_buffer_append_string(&source, strstr(source.data, "{{") ? " }}" : ""));
  rendering r = render_with(source.data, NULL, 0);
  assert_int_equal(r.status, TX_ERROR_INPUT);
  if (!strstr(r.error.message, why)) fail_msg("%.40s: %s", source.data, r.error.message);
  free_rendering(&r);
  tx_buffer_free(&source);
}

static void refuse_repeated(const char *before, const char *part, size_t times, const char *after,
                            const char *why) {
  refuse_nested(before, part, times, after, "", why);
}

static void test_bounds(void **state) {
  (void)state;
  static const char deep[] = "nested deeper than 64";
  refuse_nested("{{ ", "(", 10000, "1", ")", deep);
  refuse_nested("{{ ", "[", 10000, "", "]", deep);
  refuse_nested("{{ ", "{1:", 10000, "1", "}", deep);
  refuse_nested("{{ ", "x(", 10000, "", ")", deep);
  refuse_nested("{{ ", "x[", 10000, "1", "]", deep);
  refuse_repeated("{{ ", "not ", 10000, "1", deep);
  refuse_repeated("{{ ", "-", 10000, "1", deep);
  refuse_repeated("{{ ", "1 if 1 else ", 10000, "1", deep);
  refuse_repeated("", "{% if 1 %}", 10000, "", deep);
  refuse_repeated("", "{% for x in y %}", 10000, "", deep);
  refuse_repeated("{{ 1", " + 1", 10000, "", "deeper than 256");
  refuse_repeated("{{ x", "|trim", 10000, "", "deeper than 256");
  refuse_repeated("{{ 1", " is eq 1", 10000, "", "deeper than 256");
  refuse_repeated("", " ", TX_TEMPLATE_SOURCE + 1, "", "bytes long");
  static const char loop[] = "{% for i in range(100000) %}";
  refuse_repeated("", loop, 2, "{% endfor %}{% endfor %}", "does not come to an end");
  refuse_repeated("{% for i in range(100000) %}{{ 1", " + 1", 100, "}}{% endfor %}{{ 1",
                  "does not come to an end");
  refuse_repeated("{% set n = namespace(x='aaaaaaaaaaaaaaaa') %}", "{% set n.x = n.x + n.x %}", 40,
                  "", "more than 8388608 bytes");
  refuse_repeated("{% set n = namespace(x=[1]) %}", "{% set n.x = n.x + n.x %}", 40, "", "memory");
  refuse_repeated("{% set n = namespace(x=[1]) %}{% for i in range(1000) %}",
                  "{% set n.x = [n.x] %}", 1, "{% endfor %}{{ n.x", "deeper than 256");
  refuse_repeated("{% set n = namespace(x=[1]) %}{% for i in range(1000) %}",
                  "{% set n.x = [n.x] %}", 1, "{% endfor %}{{ n.x|tojson", "deeper than 256");
}

/* Numbers at the ends of what is counted in. */
static void test_largest_numbers(void **state) {
  (void)state;
  check("{% for i in range(-9223372036854775807, 9223372036854775807, 4611686018427387904) %}"
        "{{ i }} {% endfor %}",
        NULL, 0, "-9223372036854775807 -4611686018427387903 1 4611686018427387905 ");
  check("{{ 'a b c'.split(' ', -9223372036854775807 - 1) | length }}", NULL, 0, "3");
  check("{{ 'a b c'.split(none, -9223372036854775807 - 1) | length }}", NULL, 0, "3");
  check("{{ 'aba'.replace('a', 'c', -9223372036854775807 - 1) }}", NULL, 0, "cbc");
  check("{{ 'abc'[-9223372036854775807 - 1:9223372036854775807] }}", NULL, 0, "abc");
  check("{{ 'abc'[9223372036854775807::-9223372036854775807 - 1] }}", NULL, 0, "c");
  check("{{ 'abc'[-9223372036854775807 - 1] }}", NULL, 0, "");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden), cmocka_unit_test(test_refused),
                                     cmocka_unit_test(test_largest_numbers),
                                     cmocka_unit_test(test_marks), cmocka_unit_test(test_bounds),
                                     cmocka_unit_test(test_running_out),
                                     cmocka_unit_test(test_cut_short)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
