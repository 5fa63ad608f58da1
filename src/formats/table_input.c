/* Buffered input of tables: chunks, lines, line numbers. */
#include <string.h>

#include "base/memory.h"
#include "formats/table_parts.h"

static tx_status read_more(tx_table_input *input, tx_error *error) {
  size_t got;
  TX_TRY(tx_stream_read(input->stream, input->chunk + input->end, TX_TABLE_CHUNK - input->end, &got,
                        error));
  input->end += got;
  if (got == 0) input->ended = true;
  return TX_OK;
}

tx_status tx_table_fill(tx_table_input *input, tx_error *error) {
  if (input->at < input->end || input->ended) return TX_OK;
  input->at = input->end = 0;
  return read_more(input, error);
}

static bool has_line(const tx_table_input *input) {
  return memchr(input->chunk + input->at, '\n', input->end - input->at) != NULL;
}

tx_status tx_table_fill_line(tx_table_input *input, size_t least, tx_error *error) {
  while (!input->ended && input->end < TX_TABLE_CHUNK &&
         (input->end - input->at < least || !has_line(input))) {
    TX_TRY(read_more(input, error));
  }
  if (has_line(input)) input->ended = false; /* its rows are still to come: the file may grow */
  return TX_OK;
}

static void drop_return(tx_text *line) {
  if (line->size && line->data[line->size - 1] == '\r') line->size--;
}

/* Adds the rest of the chunk, or the part before the line feed, to the carry. */
static tx_status carry(tx_table_input *input, size_t size, tx_error *error) {
  if (input->carry.size + size > TX_TABLE_ROW_BYTES) {
    return tx_fail_line(error, TX_ERROR_INPUT, input->name, input->line,
                        "the line is longer than %d MB; is this a table?",
                        TX_TABLE_ROW_BYTES >> 20);
  }
  if (!tx_buffer_append(&input->carry, input->chunk + input->at, size)) {
    return tx_fail_memory(error, input->carry.size + size, "a row");
  }
  return TX_OK;
}

tx_status tx_table_line(tx_table_input *input, tx_text *line, bool *found, tx_error *error) {
  tx_buffer_clear(&input->carry);
  bool crossing = false;
  for (;;) {
    TX_TRY(tx_table_fill(input, error));
    size_t left = input->end - input->at;
    const char *from = input->chunk + input->at;
    if (left == 0) {
      *found = crossing;
      *line = (tx_text){input->carry.data, input->carry.size};
      break;
    }
    const char *feed = memchr(from, '\n', left);
    size_t size = feed ? (size_t)(feed - from) : left;
    if (feed && !crossing) {
      *found = true;
      *line = (tx_text){from, size};
      input->at += size + 1;
      break;
    }
    TX_TRY(carry(input, size, error));
    crossing = true;
    input->at += size + (feed != NULL);
    if (feed) {
      *found = true;
      *line = (tx_text){input->carry.data, input->carry.size};
      break;
    }
  }
  if (!*found) return TX_OK;
  drop_return(line);
  input->line++;
  return TX_OK;
}
