/* A JSON object of the library as aligned lines: what `show` and `models` print
 * for people. */
#ifndef TAXON_CLI_FACTS_H
#define TAXON_CLI_FACTS_H

#include "output.h"

/* One line for each plain value, nested objects indented below their key.
 * Borrows `object`. */
void facts_print(const json_t *object);

/* A plain value, or an array of them, on one line; new. */
char *facts_value(const char *key, const json_t *value);

/* Parses what the library returned and frees it; NULL: said, status 4. */
json_t *facts_parse(const char *verb, char *json);

/* The chart of what `show` gives as `depths`: an array of depth, pooling, accuracy,
 * standard_error, chosen; nothing for NULL or an empty one. */
void facts_draw_depths(const json_t *depths);

#endif
