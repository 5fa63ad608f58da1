/* Tables, one target for each FORMAT ("csv", "tsv", "jsonl").  Any bytes are rows
 * or a refusal, and the same ones however the system hands the bytes over: the
 * linker puts the stream below in place of the reader's (--wrap). */
#include "fuzz.h"

#include "base/memory.h"
#include "formats/stream.h"
#include "formats/table.h"

#ifndef FORMAT
#define FORMAT "csv"
#endif

/* ---- a stream over the input ---- */

static const uint8_t *bytes;
static size_t byte_count, byte_at, step; /* step: most bytes of one read */

tx_status __wrap_tx_stream_open(const char *path, tx_stream **stream, tx_error *error);
tx_status __wrap_tx_stream_read(tx_stream *stream, void *data, size_t size, size_t *got,
                                tx_error *error);
const char *__wrap_tx_stream_name(const tx_stream *stream);
int64_t __wrap_tx_stream_size(const tx_stream *stream);
void __wrap_tx_stream_close(tx_stream *stream);

tx_status __wrap_tx_stream_open(const char *path, tx_stream **stream, tx_error *error) {
  (void)path;
  (void)error;
  byte_at = 0;
  *stream = (tx_stream *)(void *)&byte_at;
  return TX_OK;
}

tx_status __wrap_tx_stream_read(tx_stream *stream, void *data, size_t size, size_t *got,
                                tx_error *error) {
  (void)stream;
  (void)error;
  MUST(size > 0);
  size_t left = byte_count - byte_at;
  *got = left < size ? left : size;
  if (*got > step) *got = step;
  if (*got) memcpy(data, bytes + byte_at, *got);
  byte_at += *got;
  return TX_OK;
}

const char *__wrap_tx_stream_name(const tx_stream *stream) {
  (void)stream;
  return "fuzz." FORMAT;
}

int64_t __wrap_tx_stream_size(const tx_stream *stream) {
  (void)stream;
  return 0;
}

void __wrap_tx_stream_close(tx_stream *stream) { (void)stream; }

/* ---- reading ---- */

/* Everything that a reading gave, to be held against another one. */
typedef struct {
  uint64_t sum;
  int64_t rows;
  tx_error error;
} reading;

static void mix(reading *to, tx_text text) {
  uint64_t shape[2] = {text.size, text.data != NULL};
  const unsigned char *parts[] = {(const unsigned char *)shape, (const unsigned char *)text.data};
  size_t sizes[] = {sizeof shape, text.data ? text.size : 0};
  for (int part = 0; part < 2; part++) {
    for (size_t i = 0; i < sizes[part]; i++) {
      to->sum = (to->sum ^ parts[part][i]) * 0x100000001b3u; /* FNV-1a */
    }
  }
}

static reading read_rows(tx_table_options options) {
  reading made = {.sum = 0xcbf29ce484222325u};
  tx_table *table;
  tx_row row;
  bool found = false;
  int64_t line = 0;
  tx_status status = tx_table_open("fuzz." FORMAT, options, &table, &made.error);
  MUST((status == TX_OK) == (table != NULL));
  while (status == TX_OK) {
    status = tx_table_next(table, &row, &found, &made.error);
    if (status != TX_OK || !found) break;
    MUST(row.text.data && row.line > line && (!options.label || row.label.data));
    line = row.line;
    made.rows++;
    mix(&made, row.text);
    mix(&made, row.label);
    mix(&made, row.id);
    mix(&made, (tx_text){(const char *)&row.line, sizeof row.line});
  }
  MUST(status == TX_OK || !found || made.rows >= 0);
  must_tell(status, &made.error);
  tx_table_close(table);
  return made;
}

static void read_dataset(tx_table_options options, const reading *rows) {
  tx_dataset *dataset;
  tx_error error = {0};
  tx_status status = tx_dataset_read("fuzz." FORMAT, options, NULL, &dataset, &error);
  must_tell(status, &error);
  if (status == TX_OK) {
    MUST(rows->error.status == TX_OK && dataset->rows <= rows->rows);
    MUST((dataset->marks != NULL) == (options.label_separator != NULL));
    for (int64_t i = 0; i < dataset->rows; i++) {
      int32_t label = dataset->labels[i];
      MUST(label >= 0 && label < dataset->classes + (dataset->marks ? 1 : 0));
      if (dataset->marks && label < dataset->classes) {
        MUST(dataset->marks[i * dataset->classes + label] == 1);
      }
      touch(dataset->texts[i].data, dataset->texts[i].size);
    }
  }
  tx_dataset_free(dataset);
}

/* The first byte chooses the columns, the second the size of the reads. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2) return 0;
  tx_table_options options = tx_table_defaults();
  options.format = FORMAT;
  if (data[0] & 1) options.label = NULL;
  if (data[0] & 2) options.id = "number";
  if (data[0] & 4) options.text = "text,more";
  if (data[0] & 8) options.text = "text,text,label";
  if (data[0] & 16) options.label_separator = data[0] & 32 ? ";" : ",";
  bytes = data + 2;
  byte_count = size - 2;
  step = SIZE_MAX;
  reading whole = read_rows(options);
  step = (size_t)data[1] + 1;
  reading parts = read_rows(options);
  MUST(whole.rows == parts.rows && whole.sum == parts.sum);
  MUST(whole.error.status == parts.error.status && whole.error.line == parts.error.line);
  MUST(strcmp(whole.error.message, parts.error.message) == 0);
  if (options.label) read_dataset(options, &whole);
  return 0;
}
