/* The tests: value is name(arguments). */
#include "text/template_methods.h"

#define TEST(name) \
  static tx_status name(tx_run *run, tx_value self, const tx_value *arguments, tx_value *value)

/* A test that looks at the value alone. */
#define SIMPLE(name, condition)         \
  TEST(name) {                          \
    (void)run, (void)arguments;         \
    *value = tx_value_bool(condition);  \
    return TX_OK;                       \
  }

SIMPLE(defined, self.kind != TX_VALUE_UNDEFINED)
SIMPLE(undefined, self.kind == TX_VALUE_UNDEFINED)
SIMPLE(none, self.kind == TX_VALUE_NONE)
SIMPLE(string, self.kind == TX_VALUE_STRING)
SIMPLE(mapping, self.kind == TX_VALUE_DICT && !self.dict->open)
SIMPLE(sequence, self.kind == TX_VALUE_STRING || self.kind == TX_VALUE_LIST ||
                     (self.kind == TX_VALUE_DICT && !self.dict->open) ||
                     self.kind == TX_VALUE_UNDEFINED)
SIMPLE(iterable, self.kind == TX_VALUE_STRING || self.kind == TX_VALUE_LIST ||
                     (self.kind == TX_VALUE_DICT && !self.dict->open) ||
                     self.kind == TX_VALUE_LOOP || self.kind == TX_VALUE_UNDEFINED)
SIMPLE(boolean, self.kind == TX_VALUE_BOOL)
SIMPLE(is_true, self.kind == TX_VALUE_BOOL && self.truth)
SIMPLE(is_false, self.kind == TX_VALUE_BOOL && !self.truth)
SIMPLE(integer, self.kind == TX_VALUE_INTEGER)
SIMPLE(real, self.kind == TX_VALUE_REAL)
SIMPLE(number, self.kind == TX_VALUE_INTEGER || self.kind == TX_VALUE_REAL ||
                   self.kind == TX_VALUE_BOOL)
SIMPLE(callable, self.kind == TX_VALUE_MACRO || self.kind == TX_VALUE_UNDEFINED)

static tx_status is_remainder(tx_run *run, tx_value self, tx_value by, bool zero,
                              tx_value *value) {
  int64_t number = 0, divisor = 0;
  TX_TRY(tx_want_whole(run, self, "what is tested", &number));
  TX_TRY(tx_want_whole(run, by, "the argument of divisibleby", &divisor));
  if (!divisor) return TX_RUN_FAIL(run, "a division by zero; mend the chat template");
  *value = tx_value_bool((divisor == -1 || number % divisor == 0) == zero);
  return TX_OK;
}

TEST(odd) { return (void)arguments, is_remainder(run, self, tx_value_integer(2), false, value); }
TEST(even) { return (void)arguments, is_remainder(run, self, tx_value_integer(2), true, value); }
TEST(divisible) { return is_remainder(run, self, arguments[0], true, value); }

static tx_status is_equal(tx_run *run, tx_value a, tx_value b, bool wanted, tx_value *value) {
  bool equal;
  TX_TRY(tx_value_equal(run, a, b, &equal));
  *value = tx_value_bool(equal == wanted);
  return TX_OK;
}

TEST(equal) { return is_equal(run, self, arguments[0], true, value); }
TEST(unequal) { return is_equal(run, self, arguments[0], false, value); }

TEST(in) {
  bool contains;
  TX_TRY(tx_value_contains(run, arguments[0], self, &contains));
  *value = tx_value_bool(contains);
  return TX_OK;
}

static const tx_function tests[] = {{"defined", "", 0, defined},
                                    {"undefined", "", 0, undefined},
                                    {"none", "", 0, none},
                                    {"string", "", 0, string},
                                    {"mapping", "", 0, mapping},
                                    {"sequence", "", 0, sequence},
                                    {"iterable", "", 0, iterable},
                                    {"boolean", "", 0, boolean},
                                    {"true", "", 0, is_true},
                                    {"false", "", 0, is_false},
                                    {"integer", "", 0, integer},
                                    {"float", "", 0, real},
                                    {"number", "", 0, number},
                                    {"callable", "", 0, callable},
                                    {"odd", "", 0, odd},
                                    {"even", "", 0, even},
                                    {"divisibleby", "num", 1, divisible},
                                    {"equalto", "other", 1, equal},
                                    {"eq", "other", 1, equal},
                                    {"ne", "other", 1, unequal},
                                    {"in", "seq", 1, in},
                                    {NULL, NULL, 0, NULL}};

const tx_function *tx_template_test(tx_text name) { return tx_template_row(tests, name); }
