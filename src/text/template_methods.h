/* What filters and methods of the template interpreter have in common.  In each,
 * `self` is already of the kind that is named. */
#ifndef TX_TEXT_TEMPLATE_METHODS_H
#define TX_TEXT_TEMPLATE_METHODS_H

#include "text/template_parts.h"

typedef enum tx_letters {
  TX_LETTERS_UPPER,
  TX_LETTERS_LOWER,
  TX_LETTERS_FIRST, /* the first of the string upper, the rest lower */
  TX_LETTERS_TITLE, /* the first of each word, of letters */
  TX_LETTERS_WORDS, /* the same, of what white space and opening brackets part */
} tx_letters;

/* Rows end with one that has no name. */
const tx_function *tx_template_row(const tx_function *rows, tx_text name);

tx_status tx_template_strip(tx_run *run, tx_value self, tx_value characters, int sides,
                            tx_value *value);
tx_status tx_template_replace(tx_run *run, tx_value self, const tx_value *arguments,
                              tx_value *value);
tx_status tx_template_case(tx_run *run, tx_value self, tx_letters letters, tx_value *value);
tx_status tx_template_join(tx_run *run, tx_string separator, tx_value of, tx_value *value);
tx_status tx_template_items(tx_run *run, tx_value self, tx_value *value); /* of a dictionary */

#endif
