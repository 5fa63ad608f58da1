/* JSON read so that a lack of memory is not taken for a fault of the text.  What
 * an object means is left to who reads it. */
#ifndef TX_FORMATS_JSON_H
#define TX_FORMATS_JSON_H

#include <jansson.h>
#include <stdbool.h>

#include "taxon.h"

/* A new *object, by jansson's `flags`; NULL: the text is no JSON, as `why` says.
 * false: out of memory. */
bool tx_json_read(tx_text text, size_t flags, json_t **object, json_error_t *why);

#endif
