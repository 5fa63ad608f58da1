/* jansson takes some of its failed allocations for bad JSON, and says nothing of
 * others; so it is asked twice, and whether there is memory. */
#include "formats/json.h"

#include "base/memory.h"

bool tx_json_read(tx_text text, size_t flags, json_t **object, json_error_t *why) {
  const char *data = text.data ? text.data : "";
  *object = json_loadb(data, text.size, flags, why);
  if (!*object) *object = json_loadb(data, text.size, flags, why);
  if (*object) return true;
  void *room = tx_alloc(2 * text.size + 4096);
  tx_free(room);
  return room && why->text[0] && json_error_code(why) != json_error_out_of_memory;
}
