/* Names in messages: the known name that a mistyped one is nearest to, and a
 * name from a file made fit to print. */
#ifndef TX_FORMATS_NEAREST_H
#define TX_FORMATS_NEAREST_H

#include "base/buffer.h"
#include "taxon.h"

/* Index of the candidate with the fewest edits (a letter inserted, left out,
 * changed, or two swapped; case is free), else the first that begins with it
 * (three letters at least; from five on with one edit); -1 when none is near enough to be meant. */
int tx_nearest(tx_text word, const tx_text *candidates, size_t count);

enum { TX_SHOWN_SIZE = 72 };

/* The text on one line, cut to fit with "...", control and invalid bytes as
 * '?'.  Returns `shown`. */
const char *tx_show_name(tx_text name, char shown[TX_SHOWN_SIZE]);

bool tx_is_utf8(tx_text text);

/* "a, b, c", ending in "and N more" where `limit` bytes would not hold them. */
void tx_show_names(const tx_text *names, size_t count, size_t limit, tx_buffer *list);

#endif
