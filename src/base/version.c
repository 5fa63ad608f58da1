/* Small public helpers that belong to no room of their own. */
#include <string.h>

#include "base/memory.h"
#include "taxon.h"

const char *tx_version(void) { return "0.1.0"; }
tx_text tx_text_of(const char *string) { return (tx_text){string, strlen(string)}; }
void tx_free_string(char *string) { tx_free(string); }
