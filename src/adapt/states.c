/* The memory behind tx_states: pages, or a map of an unlinked file. */
#include "adapt/states.h"

#include "base/memory.h"
#include "formats/file.h"

tx_status tx_states_new(int64_t count, const int64_t *offsets, int64_t width, uint64_t budget,
                        const char *directory, tx_states *states, tx_error *error) {
  *states = (tx_states){.count = count, .width = width, .offsets = offsets};
  uint64_t bytes;
  if (!tx_multiply((uint64_t)offsets[count] * sizeof(float), (uint64_t)width, &bytes)) {
    return tx_fail_memory(error, UINT64_MAX, "the trunk's states");
  }
  states->bytes = bytes;
  states->in_file = bytes > budget;
  void *memory = NULL;
  if (states->in_file) {
    TX_TRY(tx_scratch_map(directory, bytes, &memory, error));
  } else {
    memory = tx_pages_alloc(bytes);
    if (!memory) return tx_fail_memory(error, bytes, "the trunk's states");
  }
  states->rows = memory;
  return TX_OK;
}

tx_states tx_states_of_ids(int64_t count, const int64_t *offsets, int64_t width,
                           const int32_t *ids) {
  return (tx_states){.count = count, .width = width, .offsets = offsets, .ids = ids};
}

void tx_states_free(tx_states *states) {
  if (states->rows) tx_pages_free(states->rows, states->bytes);
  *states = (tx_states){0};
}
