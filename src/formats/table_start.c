/* The beginning of a table: its byte order mark, its format, and the files that
 * are no tables at all but are given as one: they are called what they are,
 * instead of being read for columns. */
#include <string.h>
#include <strings.h>

#include "formats/table_parts.h"

/* ---- what is no table ---- */

static const char a_table[] = "name a CSV, TSV or JSONL file", unpack[] = "unpack it first",
                  as_csv[] = "save its rows as CSV", download[] = "download the table itself",
                  from_utf16[] = "save it as UTF-8 (iconv -f UTF-16 -t UTF-8)",
                  from_utf32[] = "save it as UTF-8 (iconv -f UTF-32 -t UTF-8)";

/* Of two that begin alike the longer comes first.  `letters`: the name of a
 * column could begin so; the file is that other thing only where bytes that no
 * text has follow. */
static const struct {
  const char *bytes;
  size_t size;
  bool letters;
  const char *what, *advice;
} others[] = {
    {"\xff\xfe\0\0", 4, false, "UTF-32", from_utf32},
    {"\0\0\xfe\xff", 4, false, "UTF-32", from_utf32},
    {"\xff\xfe", 2, false, "UTF-16", from_utf16},
    {"\xfe\xff", 2, false, "UTF-16", from_utf16},
    {"GGUF", 4, true, "a GGUF file (a model or a classifier), not a table", a_table},
    {"\x1f\x8b", 2, false, "compressed (gzip)", unpack},
    {"BZh91AY&SY", 10, false, "compressed (bzip2)", unpack},
    {"\xfd\x37zXZ\0", 6, false, "compressed (xz)", unpack},
    {"\x28\xb5\x2f\xfd", 4, false, "compressed (zstd)", unpack},
    {"7z\xbc\xaf\x27\x1c", 6, false, "compressed (7z)", unpack},
    {"PK\x03\x04", 4, false, "a zip archive or a spreadsheet",
     "unpack it, or save its rows as CSV"},
    {"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 8, false, "an old spreadsheet or Office file", as_csv},
    {"PAR1", 4, true, "a Parquet file", as_csv},
    {"ARROW1", 6, true, "an Arrow file", as_csv},
    {"\x89HDF\r\n\x1a\n", 8, false, "an HDF5 file", as_csv},
    {"SQLite format 3", 15, true, "an SQLite database", as_csv},
    {"\x89PNG\r\n\x1a\n", 8, false, "a PNG image, not a table", a_table},
    {"\xff\xd8\xff", 3, false, "a JPEG image, not a table", a_table},
    {"GIF8", 4, true, "a GIF image, not a table", a_table},
    {"%PDF-", 5, false, "a PDF, not a table", a_table},
    {"\x7f\x45LF", 4, false, "a program, not a table", a_table},
    {"<!DOCTYPE", 9, false, "a web page, not a table", download},
    {"<!doctype", 9, false, "a web page, not a table", download},
    {"<html", 5, false, "a web page, not a table", download},
    {"<?xml", 5, false, "XML, not a table", as_csv},
};

static bool starts_with(const tx_table_input *input, const char *bytes, size_t size) {
  return input->end - input->at >= size && memcmp(input->chunk + input->at, bytes, size) == 0;
}

/* What tells a kind lies among the first bytes, after a byte order mark. */
enum { FIRST_BYTES = 16 };

/* Whether control characters other than tab and line ends are among the first bytes. */
static bool is_binary(const tx_table_input *input) {
  for (size_t i = input->at; i < input->end && i < input->at + FIRST_BYTES; i++) {
    unsigned char byte = (unsigned char)input->chunk[i];
    if (byte < ' ' && byte != '\t' && byte != '\n' && byte != '\r') return true;
  }
  return false;
}

/* The first line, or as much of it as there is in the chunk. */
static tx_text first_line(const tx_table_input *input) {
  const char *from = input->chunk + input->at;
  size_t size = input->end - input->at;
  const char *feed = size ? memchr(from, '\n', size) : NULL;
  return (tx_text){from, feed ? (size_t)(feed - from) : size};
}

/* Eight bytes of length, then the JSON that they measure. */
static bool is_safetensors(tx_text line) {
  return line.size > 10 && line.data[7] == '\0' && line.data[8] == '{' && line.data[9] == '"';
}

static tx_status fail_start(const tx_table_input *input, const char *what, const char *advice,
                            tx_error *error) {
  return tx_fail_line(error, TX_ERROR_INPUT, input->name, 0, "the file is %s; %s", what, advice);
}

/* A text may hold NUL bytes, but not the line that names the columns. */
static tx_status refuse_nul(const tx_table_input *input, tx_error *error) {
  tx_text line = first_line(input);
  const char *nul = line.size ? memchr(line.data, '\0', line.size) : NULL;
  if (!nul) return TX_OK;
  if (is_safetensors(line)) {
    return fail_start(input, "a safetensors file (a model), not a table", a_table, error);
  }
  /* Text in UTF-16 has a NUL beside each of its ASCII letters. */
  size_t at = (size_t)(nul - line.data);
  if (at < 2 && line.size > at + 2 && nul[1] != '\0' && nul[2] == '\0') {
    return fail_start(input, "UTF-16 without a byte order mark", from_utf16, error);
  }
  return tx_fail_line(error, TX_ERROR_INPUT, input->name, 1,
                      "byte %zu of the line is NUL, so this is no table; %s", at + 1, a_table);
}

static tx_status refuse_others(const tx_table_input *input, tx_error *error) {
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    if (starts_with(input, others[i].bytes, others[i].size) &&
        (!others[i].letters || is_binary(input))) {
      return fail_start(input, others[i].what, others[i].advice, error);
    }
  }
  return refuse_nul(input, error);
}

tx_status tx_table_start(tx_table_input *input, tx_error *error) {
  TX_TRY(tx_table_fill_line(input, 3 + FIRST_BYTES, error));
  if (starts_with(input, "\xef\xbb\xbf", 3)) input->at += 3;
  return refuse_others(input, error);
}

/* Not of CSV, in which CR ends a line by itself. */
tx_status tx_table_refuse_returns(const tx_table_input *input, tx_error *error) {
  tx_text line = first_line(input);
  bool whole = line.size == input->end - input->at; /* there is no line feed */
  const char *cr = whole && line.size ? memchr(line.data, '\r', line.size - 1) : NULL;
  if (!cr) return TX_OK;
  return fail_start(input, "of lines that end in CR alone",
                    "end them in LF (tr '\\r' '\\n') or CRLF", error);
}

/* ---- which format ---- */

tx_status tx_table_format_named(const char *name, tx_table_format *format, tx_error *error) {
  if (strcmp(name, "csv") == 0) {
    *format = TX_TABLE_CSV;
  } else if (strcmp(name, "tsv") == 0) {
    *format = TX_TABLE_TSV;
  } else if (strcmp(name, "jsonl") == 0) {
    *format = TX_TABLE_JSONL;
  } else {
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "the table format '%.40s' is not known; use csv, tsv or jsonl", name);
  }
  return TX_OK;
}

static bool format_by_ending(const char *path, tx_table_format *format) {
  static const struct {
    const char *ending;
    tx_table_format format;
  } known[] = {{".csv", TX_TABLE_CSV},     {".tsv", TX_TABLE_TSV},      {".tab", TX_TABLE_TSV},
               {".jsonl", TX_TABLE_JSONL}, {".ndjson", TX_TABLE_JSONL}, {".json", TX_TABLE_JSONL}};
  size_t size = strlen(path);
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    size_t ending = strlen(known[i].ending);
    if (size > ending && strcasecmp(path + size - ending, known[i].ending) == 0) {
      *format = known[i].format;
      return true;
    }
  }
  return false;
}

static tx_table_format format_by_bytes(const tx_table_input *input) {
  const char *first = input->chunk + input->at, *end = input->chunk + input->end;
  while (first < end && (*first == ' ' || *first == '\n' || *first == '\r')) first++;
  if (first < end && *first == '{') return TX_TABLE_JSONL;
  tx_text line = first_line(input);
  return line.size && memchr(line.data, '\t', line.size) ? TX_TABLE_TSV : TX_TABLE_CSV;
}

tx_table_format tx_table_format_found(const char *path, const tx_table_input *input) {
  tx_table_format format;
  return format_by_ending(path, &format) ? format : format_by_bytes(input);
}
