/* Chat templates: the part of Jinja2 that the templates of open models are
 * written in, with the settings transformers runs them with (trim_blocks,
 * lstrip_blocks, break and continue, {% generation %} as a block of its own,
 * raise_exception, its tojson).  What the variables of a chat are is left to
 * chat.h.
 *
 *   statements  text, {{ }}, {# #}, if/elif/else, for (with `if`, `else`, loop.*),
 *               set (also of a block, and of a namespace), macro, break, continue
 *   operators   + - * / // % ** ~ == != < > <= >= and or not in, is, inline if,
 *               subscripts, attributes, slices
 *   functions   raise_exception range namespace dict; the filters, tests and
 *               methods are the tables of template_filter.c, template_test.c and
 *               template_method.c
 *
 * Everything else is an error that names the line and what was not understood,
 * at tx_template_new() where the grammar shows it.  All is bounded: a template to
 * TX_TEMPLATE_SOURCE bytes and 64 levels of nesting, a rendering to
 * TX_TEMPLATE_LONGEST bytes of text, 256 levels, 4 million steps and 128 MiB of
 * memory.
 *
 * Not as in Python: fractions print with 17 digits at most but in Python's forms,
 * upper() and lower() map single characters, a byte that is not UTF-8 counts as
 * a character. */
#ifndef TX_TEXT_TEMPLATE_H
#define TX_TEXT_TEMPLATE_H

#include "base/buffer.h"
#include "base/error.h"
#include "text/template_value.h"

enum {
  TX_TEMPLATE_SOURCE = 1 << 20,  /* bytes of a template, at most */
  TX_TEMPLATE_LONGEST = 1 << 23, /* bytes of a rendering, and of each string in it, at most */
};

/* Immutable once made: any number of threads may render one. */
typedef struct tx_template tx_template;

/* `name` stands for the template in messages; both are copied.  What is not
 * understood is TX_ERROR_INPUT. */
tx_status tx_template_new(tx_text source, const char *name, tx_template **made, tx_error *error);
void tx_template_free(tx_template *made); /* NULL is allowed */

typedef struct tx_template_variable {
  const char *name;
  tx_value value;
} tx_template_variable;

/* Appends the text to `text` and to `marks` (NULL: not wanted) a byte for each of
 * its bytes: 0 where the template wrote it, else the mark of the string it came
 * from.  A template that fails, by raise_exception too, is TX_ERROR_INPUT; both
 * buffers then hold what they held before. */
tx_status tx_template_render(const tx_template *made, const tx_template_variable *variables,
                             size_t count, tx_buffer *text, tx_buffer *marks, tx_error *error);

#endif
