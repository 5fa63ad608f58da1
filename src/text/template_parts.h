/* What the files of the template interpreter share: words, the tree, and the
 * state of one rendering.  From the source to the text:
 *
 *   template_lex.c         source -> words
 *   template_expression.c  words -> tree, of an expression
 *   template_parse.c       words -> tree, of a statement
 *   template_run.c         statements run
 *   template_evaluate.c    expressions evaluated
 *   template_call.c        subscripts, attributes and calls
 *   template_filter.c, template_test.c, template_method.c   tables of functions
 *   template_string.c      strings made of strings, with their marks
 *   template_print.c       values to text: str(), repr() and JSON
 *   template_compare.c     truth, equality, order, membership; lists and dicts */
#ifndef TX_TEXT_TEMPLATE_PARTS_H
#define TX_TEXT_TEMPLATE_PARTS_H

#include "base/memory.h"
#include "text/template.h"

/* ---- words ------------------------------------------------------------- */

typedef enum tx_word_kind {
  TX_WORD_END, /* of the source */
  TX_WORD_TEXT,
  TX_WORD_PRINT, /* {{ */
  TX_WORD_PRINT_END,
  TX_WORD_BLOCK, /* {% */
  TX_WORD_BLOCK_END,
  TX_WORD_NAME,
  TX_WORD_STRING, /* its escapes resolved */
  TX_WORD_INTEGER,
  TX_WORD_REAL,
  TX_WORD_SIGN,
} tx_word_kind;

typedef struct tx_word {
  tx_word_kind kind;
  int64_t line; /* from 1 */
  tx_text text;
} tx_word;

/* Lists are linked in the order of the source. */
typedef struct tx_words {
  tx_word *items; /* (count), the last one TX_WORD_END; from tx_alloc */
  size_t count, capacity;
} tx_words;

/* Texts are copied into `arena`. */
tx_status tx_template_lex(tx_text source, const char *file, tx_arena *arena, tx_words *words,
                          tx_error *error);

/* ---- the tree ---------------------------------------------------------- */

typedef enum tx_node_kind {
  /* statements */
  TX_NODE_TEXT,  /* text */
  TX_NODE_PRINT, /* a */
  TX_NODE_IF,    /* a, then body, else other; flag: that is one node, of elif */
  TX_NODE_FOR,   /* list: targets; in a, where b; body, other */
  TX_NODE_SET,   /* list: targets; to a, or to the text of body */
  TX_NODE_MACRO, /* text; list: parameters (TX_NODE_KEYWORD, a may be NULL); body */
  TX_NODE_BREAK,
  TX_NODE_CONTINUE,
  TX_NODE_GROUP, /* body */
  /* expressions */
  TX_NODE_CONSTANT,  /* value */
  TX_NODE_NAME,      /* text */
  TX_NODE_LIST,      /* list; flag: a tuple */
  TX_NODE_DICT,      /* list of TX_NODE_PAIR */
  TX_NODE_PAIR,      /* a: b */
  TX_NODE_AND,       /* a, b */
  TX_NODE_OR,        /* a, b */
  TX_NODE_NOT,       /* a */
  TX_NODE_MINUS,     /* a */
  TX_NODE_PLUS,      /* a */
  TX_NODE_BINARY,    /* a, b, sign */
  TX_NODE_CHOICE,    /* a if b else c (NULL: undefined) */
  TX_NODE_ATTRIBUTE, /* a.text */
  TX_NODE_SUBSCRIPT, /* a[b] */
  TX_NODE_SLICE,     /* a[b:c:d], each may be NULL */
  TX_NODE_CALL,      /* a(list) */
  TX_NODE_FILTER,    /* a | text(list) */
  TX_NODE_TEST,      /* a is text(list) */
  TX_NODE_KEYWORD,   /* text = a, an argument by name */
} tx_node_kind;

typedef enum tx_sign {
  TX_SIGN_ADD,
  TX_SIGN_SUBTRACT,
  TX_SIGN_MULTIPLY,
  TX_SIGN_DIVIDE,
  TX_SIGN_FLOOR,
  TX_SIGN_MODULO,
  TX_SIGN_POWER,
  TX_SIGN_JOIN, /* ~ */
  TX_SIGN_EQUAL,
  TX_SIGN_UNEQUAL,
  TX_SIGN_LESS,
  TX_SIGN_LESS_EQUAL,
  TX_SIGN_GREATER,
  TX_SIGN_GREATER_EQUAL,
  TX_SIGN_IN,
  TX_SIGN_NOT_IN,
} tx_sign;

typedef struct tx_node {
  tx_node_kind kind;
  int64_t line;
  tx_text text;
  tx_sign sign;
  bool flag;
  tx_value value;
  const struct tx_node *a, *b, *c, *d;
  const struct tx_node *list, *body, *other; /* the first of each */
  struct tx_node *next;                      /* its neighbour in such a list */
} tx_node;

/* ---- parsing ----------------------------------------------------------- */

enum { TX_TEMPLATE_NESTING = 64 };

typedef struct tx_parser {
  const tx_words *words;
  size_t at;
  const char *file;
  tx_arena *arena;
  int nesting;
  tx_error *error;
} tx_parser;

/* A list while it grows. */
typedef struct tx_node_list {
  tx_node *first, *last;
} tx_node_list;

const tx_word *tx_parser_word(const tx_parser *parser); /* the one that comes */
bool tx_parser_sign(const tx_parser *parser, const char *sign);
bool tx_parser_name(const tx_parser *parser, const char *name);
bool tx_parser_skip_sign(tx_parser *parser, const char *sign); /* true: it was there */
bool tx_parser_skip_name(tx_parser *parser, const char *name);
tx_status tx_parser_expect_sign(tx_parser *parser, const char *sign, const char *where);
tx_status tx_parser_expect_name(tx_parser *parser, tx_text *name, const char *where);
/* Not what was `wanted`: names the word that stands there. */
tx_status tx_parser_unexpected(tx_parser *parser, const char *wanted);
tx_status tx_parser_enter(tx_parser *parser); /* one level deeper; --nesting leaves it */
tx_status tx_parser_node(tx_parser *parser, tx_node_kind kind, tx_node **node);
void tx_node_append(tx_node_list *list, tx_node *node);

/* An expression; `choice` false: without an inline if, as after `in`. */
tx_status tx_parse_expression(tx_parser *parser, bool choice, tx_node **node);
/* The same, or several with commas between them: a tuple. */
tx_status tx_parse_tuple(tx_parser *parser, bool choice, tx_node **node);
tx_status tx_parse_template(tx_parser *parser, const tx_node **first);

/* ---- one rendering ----------------------------------------------------- */

typedef struct tx_template_limits {
  uint64_t steps; /* a node evaluated, or 64 bytes looked at */
  uint64_t bytes; /* of memory */
} tx_template_limits;

/* tx_template_render() with limits of its own: tests let each step fail. */
tx_status tx_template_render_within(const tx_template *made,
                                    const tx_template_variable *variables, size_t count,
                                    tx_template_limits limits, tx_buffer *text, tx_buffer *marks,
                                    tx_error *error);

/* A string that grows.  Invariant: marks follow data in the same block. */
typedef struct tx_builder {
  char *data;
  unsigned char *marks;
  size_t size, capacity;
} tx_builder;

typedef struct tx_variable {
  tx_text name;
  tx_value value;
  struct tx_variable *next;
} tx_variable;

typedef struct tx_scope {
  tx_variable *variables;
  const struct tx_scope *outer;
} tx_scope;

typedef struct tx_loop {
  const tx_list *items;
  size_t index; /* from 0 */
} tx_loop;

typedef struct tx_macro {
  const tx_node *node;
  const tx_scope *scope; /* where it was defined */
} tx_macro;

typedef enum tx_flow { TX_FLOW_ON, TX_FLOW_BREAK, TX_FLOW_CONTINUE } tx_flow;

typedef struct tx_run {
  tx_arena *arena;
  const char *file;
  int64_t line; /* of what is run now */
  tx_scope *scope;
  tx_builder *out;
  tx_flow flow;
  int depth;
  int64_t loops; /* around what is run now */
  uint64_t steps, bytes; /* that are left */
  tx_error *error;
} tx_run;

/* TX_ERROR_INPUT at the line that runs. */
#define TX_RUN_FAIL(run, ...) \
  tx_fail_line((run)->error, TX_ERROR_INPUT, (run)->file, (run)->line, __VA_ARGS__)

/* A text of the template for a message: cut short, control characters as '?'. */
typedef struct tx_shown {
  char text[64];
} tx_shown;
tx_shown tx_template_show(tx_text text);

tx_status tx_run_spend(tx_run *run, size_t work); /* work: bytes or items looked at */
tx_status tx_run_take(tx_run *run, size_t count, size_t size, void *block); /* *block: new */
tx_status tx_run_enter(tx_run *run); /* one level deeper; --depth leaves it */
bool tx_run_find(const tx_run *run, tx_text name, tx_value *value);
tx_status tx_run_assign(tx_run *run, tx_text name, tx_value value);

tx_status tx_run_statements(tx_run *run, const tx_node *first);
tx_status tx_run_into(tx_run *run, const tx_node *first, tx_value *text); /* their output */
tx_status tx_run_evaluate(tx_run *run, const tx_node *node, tx_value *value);

/* ---- values ------------------------------------------------------------ */

const char *tx_value_kind_name(tx_value value); /* "a string" */
bool tx_value_truth(tx_value value);
bool tx_value_is(tx_value value, const char *string);
bool tx_text_equal(tx_text a, const char *b);
bool tx_value_number(tx_value value, double *real); /* bools too */
bool tx_value_whole(tx_value value, int64_t *integer);
tx_status tx_value_equal(tx_run *run, tx_value a, tx_value b, bool *equal);
tx_status tx_value_order(tx_run *run, tx_value a, tx_value b, int *order);
tx_status tx_value_contains(tx_run *run, tx_value in, tx_value what, bool *contains);
/* What a loop runs over: items, keys, characters; nothing of an undefined value. */
tx_status tx_value_items(tx_run *run, tx_value value, const tx_list **list);
tx_status tx_list_make(tx_run *run, size_t count, tx_list **list);
tx_status tx_dict_make(tx_run *run, tx_dict **dict);
tx_status tx_dict_find(tx_run *run, const tx_dict *dict, tx_value key, const tx_value **value);
tx_status tx_dict_set(tx_run *run, tx_dict *dict, tx_value key, tx_value value);

tx_status tx_build(tx_run *run, tx_builder *builder, tx_string piece);
tx_status tx_build_text(tx_run *run, tx_builder *builder, const char *piece);
tx_value tx_built(const tx_builder *builder);
tx_string tx_string_cut(tx_string string, size_t from, size_t to);
size_t tx_character_size(tx_string string, size_t at); /* 1 to 4 */
bool tx_string_space(tx_string string, size_t at, size_t *size); /* as str.isspace() */
size_t tx_string_length(tx_string string); /* in characters */
const char *tx_string_find(tx_string in, size_t from, tx_string what);
enum { TX_STRIP_LEFT = 1, TX_STRIP_RIGHT = 2 };
/* characters: NULL for white space. */
tx_string tx_string_strip(tx_string string, const tx_string *characters, int sides);

tx_status tx_print_value(tx_run *run, tx_builder *builder, tx_value value); /* str() */
/* json.dumps(): indent < 0 for one line. */
tx_status tx_print_json(tx_run *run, tx_builder *builder, tx_value value, int64_t indent);
tx_status tx_value_string_of(tx_run *run, tx_value value, tx_string *string);

/* ---- functions --------------------------------------------------------- */

enum { TX_ARGUMENTS = 4 };

/* Arguments as they were written. */
typedef struct tx_arguments {
  const tx_value *values; /* (count) by position */
  size_t count;
  const tx_text *names; /* (named) */
  const tx_value *by_name;
  size_t named;
} tx_arguments;

/* A filter, a test or a method: its argument `self`, and those of `parameters` in
 * their order, undefined where they were not given. */
typedef struct tx_function {
  const char *name;
  const char *parameters; /* with a space between, TX_ARGUMENTS at most */
  size_t required;        /* of them */
  tx_status (*call)(tx_run *run, tx_value self, const tx_value *arguments, tx_value *value);
} tx_function;

/* what: "filter", "test", ... */
tx_status tx_template_call(tx_run *run, const tx_function *function, const char *what,
                           tx_value self, const tx_arguments *arguments, tx_value *value);
const tx_function *tx_template_filter(tx_text name);
const tx_function *tx_template_test(tx_text name);
const tx_function *tx_template_method(tx_value_kind kind, tx_text name);
static inline bool tx_given(tx_value argument) { return argument.kind != TX_VALUE_UNDEFINED; }
tx_status tx_want_string(tx_run *run, tx_value value, const char *what, tx_string *string);
tx_status tx_want_whole(tx_run *run, tx_value value, const char *what, int64_t *integer);

tx_status tx_value_attribute(tx_run *run, tx_value of, tx_value name, tx_value *value);
tx_status tx_value_subscript(tx_run *run, tx_value of, tx_value key, tx_value *value);
tx_status tx_value_slice(tx_run *run, tx_value of, const tx_value bounds[3], tx_value *value);
bool tx_template_knows(tx_text name); /* range, namespace, ... */
tx_status tx_run_call(tx_run *run, const tx_node *node, tx_value *value);
tx_status tx_run_arguments(tx_run *run, const tx_node *first, tx_arguments *arguments);

#endif
