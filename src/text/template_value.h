/* The values a chat template works with.  A string knows of each byte whether it
 * came from a message or from the template itself: control tokens may be spelled
 * by the template alone (chat.h).  What the operators do with values is left to
 * the files of the interpreter (template_parts.h). */
#ifndef TX_TEXT_TEMPLATE_VALUE_H
#define TX_TEXT_TEMPLATE_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "taxon.h"

typedef enum tx_value_kind {
  TX_VALUE_UNDEFINED = 0,
  TX_VALUE_NONE,
  TX_VALUE_BOOL,
  TX_VALUE_INTEGER,
  TX_VALUE_REAL,
  TX_VALUE_STRING,
  TX_VALUE_LIST,
  TX_VALUE_DICT,
  TX_VALUE_LOOP,  /* the variable `loop` */
  TX_VALUE_MACRO, /* what {% macro %} names */
} tx_value_kind;

typedef struct tx_string {
  const char *data; /* (size) */
  size_t size;
  const unsigned char *marks; /* (size): what the giver of the string marked each byte with; NULL:
                                 all 0, the template's own */
} tx_string;

struct tx_value;

typedef struct tx_list {
  struct tx_value *items; /* (count) */
  size_t count;
  bool tuple; /* prints in round brackets, and equals no list */
} tx_list;

/* In the order of insertion; a key is there once. */
typedef struct tx_dict {
  struct tx_value *keys, *values; /* (count), of (capacity) */
  size_t count, capacity;
  bool open; /* made by namespace(): {% set %} may change it */
} tx_dict;

/* Everything pointed to is borrowed, and must stay as it is while it is used. */
typedef struct tx_value {
  tx_value_kind kind;
  union {
    tx_text missing; /* of an undefined value: the name, for messages */
    bool truth;
    int64_t integer;
    double real;
    tx_string string;
    const tx_list *list;
    tx_dict *dict;
    const struct tx_loop *loop;
    const struct tx_macro *macro; /* NULL: a function of the interpreter's own */
  };
} tx_value;

static inline tx_value tx_value_none(void) { return (tx_value){.kind = TX_VALUE_NONE}; }
static inline tx_value tx_value_bool(bool truth) {
  return (tx_value){.kind = TX_VALUE_BOOL, .truth = truth};
}
static inline tx_value tx_value_integer(int64_t integer) {
  return (tx_value){.kind = TX_VALUE_INTEGER, .integer = integer};
}
static inline tx_value tx_value_real(double real) {
  return (tx_value){.kind = TX_VALUE_REAL, .real = real};
}
static inline tx_value tx_value_string(tx_string string) {
  return (tx_value){.kind = TX_VALUE_STRING, .string = string};
}
static inline tx_value tx_value_text(tx_text text) {
  return tx_value_string((tx_string){text.data, text.size, NULL});
}
static inline tx_value tx_value_list(const tx_list *list) {
  return (tx_value){.kind = TX_VALUE_LIST, .list = list};
}
static inline tx_value tx_value_dict(tx_dict *dict) {
  return (tx_value){.kind = TX_VALUE_DICT, .dict = dict};
}
static inline tx_value tx_value_undefined(tx_text name) {
  return (tx_value){.kind = TX_VALUE_UNDEFINED, .missing = name};
}

#endif
