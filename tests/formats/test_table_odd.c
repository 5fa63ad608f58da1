/* What real tables come with, each tried in every format: byte order marks, line
 * ends, NUL bytes, bytes that are not UTF-8, missing columns and cells, fields
 * of ten megabytes, pipes, files that grow, and files that are no tables. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "formats/table.h"
#include "formats/table_make.h"

enum { FORMATS = 3 };
static const char *const names[FORMATS] = {"a.csv", "a.tsv", "a.jsonl"};

/* ---- the same table in every format ---- */

/* One case: the file and what it gives, for CSV, TSV and JSONL.  A size is given
 * where the bytes hold a NUL. */
typedef struct {
  const char *what, *bytes[FORMATS], *expected[FORMATS];
  size_t sizes[FORMATS];
} odd;

static void check_odd(const odd *cases, size_t count) {
  for (size_t i = 0; i < count; i++) {
    for (int f = 0; f < FORMATS; f++) {
      const char *bytes = cases[i].bytes[f];
      size_t size = cases[i].sizes[f] ? cases[i].sizes[f] : strlen(bytes);
      const char *got = read_all(write_file(names[f], bytes, size), tx_table_defaults());
      if (strcmp(got, cases[i].expected[f]) != 0) {
        fail_msg("%s, %s:\n  expected %s\n  got      %s", cases[i].what, names[f],
                 cases[i].expected[f], got);
      }
    }
  }
}
#define CHECK_ODD(cases) check_odd(cases, sizeof cases / sizeof *cases)

static void test_line_ends_and_marks(void **state) {
  (void)state;
  static const odd cases[] = {
      {"no final newline",
       {"text,label\nhi,x\nho,y", "text\tlabel\nhi\tx\nho\ty",
        "{\"text\":\"hi\",\"label\":\"x\"}\n{\"text\":\"ho\",\"label\":\"y\"}"},
       {"2|hi|x|-;3|ho|y|-;", "2|hi|x|-;3|ho|y|-;", "1|hi|x|-;2|ho|y|-;"}},
      {"CRLF",
       {"text,label\r\nhi,x\r\nho,y\r\n", "text\tlabel\r\nhi\tx\r\nho\ty\r\n",
        "{\"text\":\"hi\",\"label\":\"x\"}\r\n{\"text\":\"ho\",\"label\":\"y\"}\r\n"},
       {"2|hi|x|-;3|ho|y|-;", "2|hi|x|-;3|ho|y|-;", "1|hi|x|-;2|ho|y|-;"}},
      {"CRLF without the last LF",
       {"text,label\r\nhi,x\r", "text\tlabel\r\nhi\tx\r", "{\"text\":\"hi\",\"label\":\"x\"}\r"},
       {"2|hi|x|-;", "2|hi|x|-;", "1|hi|x|-;"}},
      {"a byte order mark and CRLF",
       {"\xef\xbb\xbftext,label\r\nhi,x\r\n", "\xef\xbb\xbftext\tlabel\r\nhi\tx\r\n",
        "\xef\xbb\xbf{\"text\":\"hi\",\"label\":\"x\"}\r\n"},
       {"2|hi|x|-;", "2|hi|x|-;", "1|hi|x|-;"}},
      {"a byte order mark inside is a character",
       {"text,label\n\xef\xbb\xbfhi,x\n", "text\tlabel\n\xef\xbb\xbfhi\tx\n",
        "{\"text\":\"\xef\xbb\xbfhi\",\"label\":\"x\"}\n"},
       {"2|\xef\xbb\xbfhi|x|-;", "2|\xef\xbb\xbfhi|x|-;", "1|\xef\xbb\xbfhi|x|-;"}},
      {"nothing but a byte order mark",
       {"\xef\xbb\xbf", "\xef\xbb\xbf", "\xef\xbb\xbf"},
       {"[3] a.csv:1: the file is empty; its first line must name the columns",
        "[3] a.tsv:1: the file is empty; its first line must name the columns", ""}},
      {"empty",
       {"", "", ""},
       {"[3] a.csv:1: the file is empty; its first line must name the columns",
        "[3] a.tsv:1: the file is empty; its first line must name the columns", ""}},
      {"no rows", {"text,label\n", "text\tlabel\n", "\n\n"}, {"", "", ""}},
  };
  CHECK_ODD(cases);
}

static void test_cells(void **state) {
  (void)state;
  static const odd cases[] = {
      {"an empty text",
       {"text,label\n,x\n\"\",y\n", "text\tlabel\n\tx\n", "{\"text\":\"\",\"label\":\"x\"}\n"},
       {"2||x|-;3||y|-;", "2||x|-;", "1||x|-;"}},
      {"NUL bytes",
       {"text,label\n\0a\0,x\n", "text\tlabel\n\0a\0\tx\n",
        "{\"text\":\"\\u0000a\\u0000\",\"label\":\"x\"}\n"},
       {"2|\\0a\\0|x|-;", "2|\\0a\\0|x|-;", "1|\\0a\\0|x|-;"},
       {17, 17, 0}},
      {"a raw NUL byte, which JSON does not allow",
       {"text,label\nhi,x\0\n", "text\tlabel\nhi\tx\0\n",
        "{\"text\":\"hi\",\"label\":\"x\"}\n{\"text\":\"\0\",\"label\":\"x\"}\n"},
       {"2|hi|x\\0|-;", "2|hi|x\\0|-;",
        "1|hi|x|-;[3] a.jsonl:2: not a JSON object on one line: control character 0x0 near '\"' "
        "(near byte 9)"},
       {17, 17, 49}},
      {"not UTF-8: bytes as they are, but JSON is UTF-8 by definition",
       {"text,label\ncaf\xe9,x\n", "text\tlabel\ncaf\xe9\tx\n",
        "{\"text\":\"caf\xe9\",\"label\":\"x\"}\n"},
       {"2|caf\xe9|x|-;", "2|caf\xe9|x|-;",
        "[3] a.jsonl:1: not a JSON object on one line: unable to decode byte 0xe9 near '\"caf' "
        "(near byte 12)"}},
      {"a missing column",
       {"body,label\nhi,x\n", "body\tlabel\nhi\tx\n", "{\"body\":\"hi\",\"label\":\"x\"}\n"},
       {"[3] a.csv:1: there is no column 'text'; the columns are: body, label",
        "[3] a.tsv:1: there is no column 'text'; the columns are: body, label",
        "[3] a.jsonl:1: there is no key 'text'; the keys are: body, label"}},
      {"a misspelt column",
       {"text,lable\nhi,x\n", "text\tlable\nhi\tx\n", "{\"text\":\"hi\",\"lable\":\"x\"}\n"},
       {"[3] a.csv:1: there is no column 'label'; the columns are: text, lable; did you mean "
        "'lable'?",
        "[3] a.tsv:1: there is no column 'label'; the columns are: text, lable; did you mean "
        "'lable'?",
        "[3] a.jsonl:1: there is no key 'label'; the keys are: text, lable; did you mean "
        "'lable'?"}},
      {"another case",
       {"Text,Label\nhi,x\n", "Text\tLabel\nhi\tx\n", "{\"Text\":\"hi\",\"Label\":\"x\"}\n"},
       {"[3] a.csv:1: there is no column 'text'; the columns are: Text, Label; did you mean "
        "'Text'?",
        "[3] a.tsv:1: there is no column 'text'; the columns are: Text, Label; did you mean "
        "'Text'?",
        "[3] a.jsonl:1: there is no key 'text'; the keys are: Text, Label; did you mean "
        "'Text'?"}},
      {"a cell too few",
       {"text,label\nhi,x\nho\n", "text\tlabel\nhi\tx\nho\n",
        "{\"text\":\"hi\",\"label\":\"x\"}\n{\"text\":\"ho\"}\n"},
       {"2|hi|x|-;[3] a.csv:3: 2 fields expected, as in the header, and 1 found; is the row cut?",
        "2|hi|x|-;[3] a.tsv:3: 2 fields expected, as in the header, and 1 found; is the row cut?",
        "1|hi|x|-;[3] a.jsonl:2: there is no key 'label'; the keys are: text"}},
      {"a cell too many, which JSON may have",
       {"text,label\nhi,x\nh,o,y\n", "text\tlabel\nhi\tx\nh\to\ty\n",
        "{\"text\":\"hi\",\"label\":\"x\"}\n{\"text\":\"ho\",\"label\":\"y\",\"z\":{}}\n"},
       {"2|hi|x|-;[3] a.csv:3: 2 fields expected, as in the header, and 3 found; a text that holds "
        "the separator must be quoted, in a CSV file",
        "2|hi|x|-;[3] a.tsv:3: 2 fields expected, as in the header, and 3 found; a text that holds "
        "the separator must be quoted, in a CSV file",
        "1|hi|x|-;2|ho|y|-;"}},
  };
  CHECK_ODD(cases);
}

/* A header that was not cut into columns says why. */
static void test_other_separators(void **state) {
  (void)state;
  static const example examples[] = {
      {"a.csv", "text;label\nhi;x\n",
       "[3] a.csv:1: there is no column 'text'; the columns are: text;label; if ';' separates "
       "them, write commas instead, and quote what holds a comma"},
      {"a.csv", "text\tlabel\nhi\tx\n",
       "[3] a.csv:1: there is no column 'text'; the columns are: text?label; if tabs separate "
       "them, say --format tsv"},
      {"a.txt", "text|label\nhi|x\n",
       "[3] a.txt:1: there is no column 'text'; the columns are: text|label; if '|' separates "
       "them, write commas instead, and quote what holds a comma"},
      {"a.csv", "body\nhi\n", "[3] a.csv:1: there is no column 'text'; the columns are: body"},
      {"a.csv", "\"\"\nhi\n", "[3] a.csv:1: there is no column 'text'; the columns are: "},
      {"a.jsonl", "{\"a,b\":1}", "[3] a.jsonl:1: there is no key 'text'; the keys are: a,b"},
      {"a.csv", "tex;label\nhi;x\n",
       "[3] a.csv:1: there is no column 'tex'; the columns are: tex;label; if ';' separates them, "
       "write commas instead, and quote what holds a comma",
       .text = "tex"},
  };
  CHECK(examples);
}

/* ---- what is no table ---- */

typedef struct {
  const char *bytes;
  size_t size;
  const char *is;
} kind;

static void test_what_is_no_table(void **state) {
  (void)state;
  static const char table[] = "name a CSV, TSV or JSONL file", rows[] = "save its rows as CSV";
#define BYTES(text) text, sizeof text - 1
  static const kind kinds[] = {
      {BYTES("GGUF\3\0\0\0\7\0\0\0"), "a GGUF file (a model or a classifier), not a table; %s"},
      {BYTES("\x90\x1f\0\0\0\0\0\0{\"__metadata__\":{}}"),
       "a safetensors file (a model), not a table; %s"},
      {BYTES("PK\x03\x04\x14\0\6\0"),
       "a zip archive or a spreadsheet; unpack it, or save its rows as CSV"},
      {BYTES("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0"), "an old spreadsheet or Office file; %r"},
      {BYTES("\x1f\x8b\x08\0"), "compressed (gzip); unpack it first"},
      {BYTES("BZh91AY&SYabc"), "compressed (bzip2); unpack it first"},
      {BYTES("\xfd\x37zXZ\0\0"), "compressed (xz); unpack it first"},
      {BYTES("\x28\xb5\x2f\xfd\4"), "compressed (zstd); unpack it first"},
      {BYTES("7z\xbc\xaf\x27\x1c\0"), "compressed (7z); unpack it first"},
      {BYTES("PAR1\x15\x04\x15"), "a Parquet file; %r"},
      {BYTES("ARROW1\0\0"), "an Arrow file; %r"},
      {BYTES("\x89HDF\r\n\x1a\n\0"), "an HDF5 file; %r"},
      {BYTES("SQLite format 3\0\x10\0"), "an SQLite database; %r"},
      {BYTES("\x89PNG\r\n\x1a\n\0\0"), "a PNG image, not a table; %s"},
      {BYTES("\xff\xd8\xff\xe0\0\x10JFIF"), "a JPEG image, not a table; %s"},
      {BYTES("GIF89a\x10\0\x10\0"), "a GIF image, not a table; %s"},
      {BYTES("%PDF-1.7\n"), "a PDF, not a table; %s"},
      {BYTES("\x7f\x45LF\2\1\1\0"), "a program, not a table; %s"},
      {BYTES("<!DOCTYPE html>\n"), "a web page, not a table; download the table itself"},
      {BYTES("\xef\xbb\xbf<!doctype html>\n"),
       "a web page, not a table; download the table itself"},
      {BYTES("<html>\n"), "a web page, not a table; download the table itself"},
      {BYTES("<?xml version=\"1.0\"?>\n"), "XML, not a table; %r"},
      {BYTES("\xff\xfet\0e\0"), "UTF-16; save it as UTF-8 (iconv -f UTF-16 -t UTF-8)"},
      {BYTES("\xfe\xff\0t\0e"), "UTF-16; save it as UTF-8 (iconv -f UTF-16 -t UTF-8)"},
      {BYTES("\xff\xfe\0\0t\0\0\0"), "UTF-32; save it as UTF-8 (iconv -f UTF-32 -t UTF-8)"},
      {BYTES("\0\0\xfe\xff\0\0\0t"), "UTF-32; save it as UTF-8 (iconv -f UTF-32 -t UTF-8)"},
      {BYTES("t\0e\0x\0t\0\n\0"),
       "UTF-16 without a byte order mark; save it as UTF-8 (iconv -f UTF-16 -t UTF-8)"},
      {BYTES("\0t\0e\0x\0t\0\n"),
       "UTF-16 without a byte order mark; save it as UTF-8 (iconv -f UTF-16 -t UTF-8)"},
  };
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    for (int f = 0; f < FORMATS; f++) {
      char expected[400], sentence[300];
      const char *rest = strchr(kinds[i].is, '%');
      snprintf(sentence, sizeof sentence, "%.*s%s",
               (int)(rest ? (size_t)(rest - kinds[i].is) : strlen(kinds[i].is)), kinds[i].is,
               !rest            ? ""
               : rest[1] == 'r' ? rows
                                : table);
      snprintf(expected, sizeof expected, "[3] %s: the file is %s", names[f], sentence);
      assert_string_equal(
          read_all(write_file(names[f], kinds[i].bytes, kinds[i].size), tx_table_defaults()),
          expected);
    }
  }
}

/* Tables whose first column only sounds like one of those. */
static void test_what_is_a_table_after_all(void **state) {
  (void)state;
  static const example examples[] = {
      {"a.csv", "GGUF,label\nhi,x\n", "2|hi|x|-;", .text = "GGUF"},
      {"a.csv", "PAR1,label\nhi,x\n", "2|hi|x|-;", .text = "PAR1"},
      {"a.csv", "ARROW1,label\r\nhi,x\r\n", "2|hi|x|-;", .text = "ARROW1"},
      {"a.csv", "GIF8,label\nhi,x\n", "2|hi|x|-;", .text = "GIF8"},
      {"a.tsv", "SQLite format 3\tlabel\nhi\tx\n", "2|hi|x|-;", .text = "SQLite format 3"},
      {"a.csv", "BZh,label\nhi,x\n", "2|hi|x|-;", .text = "BZh"},
      {"a.csv", "GGUF", "", .text = "GGUF", .label = ""},
  };
  CHECK(examples);
  static const char nul[] = "te\0xt,label\nhi,x\n";
  for (int f = 0; f < FORMATS; f++) {
    char expected[200];
    snprintf(expected, sizeof expected,
             "[3] %s:1: byte 3 of the line is NUL, so this is no table; name a CSV, TSV or JSONL "
             "file",
             names[f]);
    assert_string_equal(read_all(write_file(names[f], nul, sizeof nul - 1), tx_table_defaults()),
                        expected);
  }
}

/* ---- large fields ---- */

static const char *const heads[FORMATS] = {"text,label\n", "text\tlabel\n", ""};
static const char *const before[FORMATS] = {"\"", "", "{\"text\":\""};
static const char *const after[FORMATS] = {"\",x\n", "\tx\n", "\",\"label\":\"x\"}\n"};

static void test_ten_megabytes(void **state) {
  (void)state;
  enum { SIZE = 10 << 20 };
  char *bytes = malloc(2 * (SIZE + 64));
  assert_non_null(bytes);
  for (int f = 0; f < FORMATS; f++) {
    size_t used = (size_t)sprintf(bytes, "%s", heads[f]);
    for (int row = 0; row < 2; row++) {
      used += (size_t)sprintf(bytes + used, "%s", before[f]);
      memset(bytes + used, 'a' + row, SIZE);
      used += SIZE;
      used += (size_t)sprintf(bytes + used, "%s", after[f]);
    }
    tx_error error = {0};
    tx_table *table;
    tx_row row;
    bool found;
    assert_int_equal(
        tx_table_open(write_file(names[f], bytes, used), tx_table_defaults(), &table, &error), 0);
    for (int i = 0; i < 2; i++) {
      assert_int_equal(tx_table_next(table, &row, &found, &error), TX_OK);
      assert_true(found && row.text.size == SIZE && row.label.size == 1);
      assert_true(row.text.data[0] == 'a' + i && row.text.data[SIZE - 1] == 'a' + i);
      assert_int_equal(row.line, i + (f == 2 ? 1 : 2));
    }
    assert_int_equal(tx_table_next(table, &row, &found, &error), TX_OK);
    assert_false(found);
    tx_table_close(table);
  }
  free(bytes);
}

/* ---- pipes, and files that change ---- */

typedef struct {
  char *path, bytes[200];
  int size;
} feed;

/* Byte by byte, as a slow program writes. */
static void *feed_slowly(void *context) {
  const feed *work = context;
  FILE *file = fopen(work->path, "wb");
  for (int i = 0; i < work->size; i++) {
    fputc(work->bytes[i], file);
    fflush(file);
    if (i % 16 == 0 || work->bytes[i] == '\n') usleep(3000);
  }
  fclose(file);
  return NULL;
}

static const char *read_slowly(feed *work) {
  assert_int_equal(mkfifo(work->path, 0600), 0);
  pthread_t writer;
  pthread_create(&writer, NULL, feed_slowly, work);
  const char *got = read_all(work->path, tx_table_defaults());
  pthread_join(writer, NULL);
  tx_free(work->path);
  return got;
}

static void test_pipes(void **state) {
  (void)state;
  for (int f = 0; f < FORMATS; f++) {
    char name[16];
    snprintf(name, sizeof name, "pipe%s", names[f] + 1);
    feed work = {.path = tx_copy_string(path_of(name))};
    work.size = snprintf(work.bytes, sizeof work.bytes, "%s%shi%s%sho%s", heads[f], before[f],
                         after[f], before[f], after[f]);
    assert_string_equal(read_slowly(&work),
                        f == 2 ? "1|hi|x|-;2|ho|x|-;" : "2|hi|x|-;3|ho|x|-;");
  }
}

/* What tells a kind of file may stand behind the first line end. */
static void test_kind_in_a_pipe(void **state) {
  (void)state;
  static const struct {
    const char bytes[20], *kind;
  } cases[] = {{"\x89HDF\r\n\x1a\nmore\n", "an HDF5 file"},
               {"PAR1\r\nxt\x01\r\n", "a Parquet file"}};
  for (int i = 0; i < 2; i++) {
    feed work = {.path = tx_copy_string(path_of("kind.csv")), .size = (int)strlen(cases[i].bytes)};
    memcpy(work.bytes, cases[i].bytes, (size_t)work.size);
    assert_non_null(strstr(read_slowly(&work), cases[i].kind));
    unlink(path_of("kind.csv"));
  }
}

static void no_action(int number) { (void)number; }

static atomic_bool awake;

/* Again and again: the first signal may come before the waiting. */
static void *interrupt(void *thread) {
  while (!awake) {
    usleep(5000);
    pthread_kill(*(pthread_t *)thread, SIGUSR1);
  }
  return NULL;
}

/* A signal ends the waiting: for a pipe's writer, and for its bytes. */
static void test_interrupted_while_waiting(void **state) {
  (void)state;
  struct sigaction action = {.sa_handler = no_action};
  sigaction(SIGUSR1, &action, NULL);
  char *path = tx_copy_string(path_of("waiting")), expected[200];
  assert_int_equal(mkfifo(path, 0600), 0);
  for (int open_end = 0; open_end < 2; open_end++) {
    int writer = open_end ? open(path, O_RDWR) : -1;
    pthread_t self = pthread_self(), other;
    awake = false;
    pthread_create(&other, NULL, interrupt, &self);
    snprintf(expected, sizeof expected, "[130] interrupted while %s waiting",
             open_end ? "reading" : "waiting for");
    const char *got = read_all(path, tx_table_defaults());
    awake = true;
    pthread_join(other, NULL);
    assert_string_equal(got, expected);
    if (writer >= 0) close(writer);
  }
  tx_free(path);
}

static void append(const char *path, const char *bytes) {
  FILE *file = fopen(path, "ab");
  assert_non_null(file);
  fputs(bytes, file);
  fclose(file);
}

static void add_row(const char *path, int format, const char *text) {
  char bytes[100];
  snprintf(bytes, sizeof bytes, "%s%s%s", before[format], text, after[format]);
  append(path, bytes);
}

/* Read to the end that it has when the end is reached, which then stays the end. */
static void test_file_that_grows(void **state) {
  (void)state;
  for (int f = 0; f < FORMATS; f++) {
    const char *path = write_file(names[f], heads[f], strlen(heads[f]));
    add_row(path, f, "one");
    tx_error error = {0};
    tx_table *table;
    tx_row row;
    bool found;
    assert_int_equal(tx_table_open(path, tx_table_defaults(), &table, &error), TX_OK);
    assert_int_equal(tx_table_next(table, &row, &found, &error), TX_OK);
    assert_true(found && memcmp(row.text.data, "one", 3) == 0);
    add_row(path, f, "two"); /* before the end was reached */
    assert_int_equal(tx_table_next(table, &row, &found, &error), TX_OK);
    assert_true(found && memcmp(row.text.data, "two", 3) == 0);
    for (int i = 0; i < 3; i++) {
      assert_int_equal(tx_table_next(table, &row, &found, &error), TX_OK);
      assert_false(found);
      add_row(path, f, "late");
    }
    tx_table_close(table);
  }
}

/* The last row may be half there: that is said, not passed over. */
static void test_file_whose_last_row_is_being_written(void **state) {
  (void)state;
  static const odd cases[] = {
      {"a row in work",
       {"text,label\nhi,x\n\"half a te", "text\tlabel\nhi\tx\nhalf a te",
        "{\"text\":\"hi\",\"label\":\"x\"}\n{\"text\":\"half a te"},
       {"2|hi|x|-;[3] a.csv:3: the quote that opens field 1 is never closed; close it, or save the "
        "table as TSV if its quotes are plain text",
        "2|hi|x|-;[3] a.tsv:3: 2 fields expected, as in the header, and 1 found; is the row cut?",
        "1|hi|x|-;[3] a.jsonl:2: not a JSON object on one line: premature end of input near "
        "'\"half a te' (near byte 18)"}},
  };
  CHECK_ODD(cases);
}

/* Cut short by another program while it is read: the rows that are left. */
static void test_file_that_shrinks(void **state) {
  (void)state;
  enum { ROWS = 20000 };
  for (int f = 0; f < FORMATS; f++) {
    const char *path = write_file(names[f], heads[f], strlen(heads[f]));
    FILE *file = fopen(path, "ab");
    assert_non_null(file);
    for (int i = 0; i < ROWS; i++) fprintf(file, "%sa text%s", before[f], after[f]);
    fclose(file);
    tx_error error = {0};
    tx_table *table;
    tx_row row;
    bool found;
    assert_int_equal(tx_table_open(path, tx_table_defaults(), &table, &error), TX_OK);
    assert_int_equal(truncate(path, 0), 0);
    int rows = 0;
    tx_status status;
    while ((status = tx_table_next(table, &row, &found, &error)) == TX_OK && found) rows++;
    assert_true(rows > 0 && rows < ROWS);
    assert_true(status == TX_OK || status == TX_ERROR_INPUT); /* whole rows, or one that is cut */
    tx_table_close(table);
  }
}

/* ---- paths and requests that cannot be met ---- */

static void test_paths(void **state) {
  (void)state;
  char name[400];
  assert_int_equal(symlink("circle", path_of("circle")), 0);
  assert_string_equal(read_all(path_of("circle"), tx_table_defaults()),
                      "[3] cannot read circle: Too many levels of symbolic links; check the path");
  write_file("plain.csv", "text\n", 5);
  assert_string_equal(read_all(path_of("plain.csv/a.csv"), tx_table_defaults()),
                      "[3] cannot read plain.csv/a.csv: Not a directory; check the path");
  memset(name, 'a', sizeof name - 1);
  name[sizeof name - 1] = '\0';
  tx_error error = {0};
  tx_table *table;
  assert_int_equal(tx_table_open(name, tx_table_defaults(), &table, &error), TX_ERROR_INPUT);
  assert_non_null(strstr(error.message, "File name too long; check the path"));
  int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  const char *place = path_of("socket");
  assert_true(strlen(place) < sizeof address.sun_path);
  memcpy(address.sun_path, place, strlen(place));
  assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
  assert_string_equal(read_all(path_of("socket"), tx_table_defaults()),
                      "[3] cannot read socket: No such device or address; check the path");
  close(listener);
  /* Its first page cannot be read. */
  assert_string_equal(read_all("/proc/self/mem", tx_table_defaults()),
                      "[4] cannot read /proc/self/mem: Input/output error");
  if (geteuid() == 0) return; /* root may read everything */
  assert_int_equal(chmod(path_of("plain.csv"), 0), 0);
  assert_string_equal(
      read_all(path_of("plain.csv"), tx_table_defaults()),
      "[3] cannot read plain.csv: Permission denied; you need the right to read it");
}

static void test_requests(void **state) {
  (void)state;
  char many[65 * 2 + 1];
  for (size_t i = 0; i < 65; i++) memcpy(many + 2 * i, "a,", 2);
  many[129] = '\0';
  const example examples[] = {
      {"a.csv", "a,label\n", "[2] more than 64 text columns are asked for", .text = many},
      {"a.csv", "text\n", "[2] the name of the id column is empty", .id = ""},
      {"a.csv", "text\n",
       "[2] a name of a text column is empty; give names joined by commas", .text = "a,,b"},
      {"a.csv", "text\n", "[2] the table format 'xls' is not known; use csv, tsv or jsonl",
       .format = "xls"},
  };
  CHECK(examples);
  tx_table_options options = tx_table_defaults();
  options.text = NULL;
  assert_string_equal(read_all(write_file("a.csv", "text,label\na,b\n", 15), options), "2|a|b|-;");
  options.label = "";
  assert_string_equal(read_all(path_of("a.csv"), options),
                      "[2] the name of the label column is empty");
  tx_error error = {0};
  tx_dataset *data;
  assert_int_equal(tx_dataset_read(NULL, tx_table_defaults(), NULL, &data, &error),
                   TX_ERROR_ARGUMENT);
  assert_string_equal(error.message, "no table is named");
}

static void test_values_of_objects(void **state) {
  (void)state;
  char many[1200] = "{\"label\":\"x\"", expected[600] = "";
  for (int i = 0; i < 70; i++) sprintf(many + strlen(many), ",\"key%d\":%d", i, i);
  strcat(many, "}");
  snprintf(expected, sizeof expected, "[3] a.jsonl:1: there is no key 'text'; the keys are: label");
  const char *got = read_all(write_file("a.jsonl", many, strlen(many)), tx_table_defaults());
  assert_memory_equal(got, expected, strlen(expected));
  static const example examples[] = {
      {"a.jsonl", "{\"text\":false,\"label\":true}", "1|false|true|-;"},
      {"a.jsonl", " \t\r\n{\"text\":-1e300,\"label\":0}", "2|-1e300|0|-;"},
      {"a.jsonl", "{\"text\":{},\"label\":0}",
       "[3] a.jsonl:1: the value of 'text' is an object; it must be a string, a number or true or "
       "false"},
      {"a.jsonl", "\"text\"", "[3] a.jsonl:1: the line is a JSON value; write one object a line"},
      {"a", "\r\n{\"text\":\"a\",\"label\":\"\"}", "2|a||-;"},
  };
  CHECK(examples);
  static const char nul[] = "{\"text\":\"a\",\"label\":\"x\\u0000\"}";
  tx_error error = {0};
  tx_dataset *data;
  assert_int_equal(tx_dataset_read(write_file("a.jsonl", nul, sizeof nul - 1), tx_table_defaults(),
                                   NULL, &data, &error),
                   TX_ERROR_INPUT);
  assert_string_equal(error.message, "the label 'x?' is not UTF-8 text; save the file as UTF-8");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_line_ends_and_marks),
      cmocka_unit_test(test_cells),
      cmocka_unit_test(test_other_separators),
      cmocka_unit_test(test_what_is_no_table),
      cmocka_unit_test(test_what_is_a_table_after_all),
      cmocka_unit_test(test_ten_megabytes),
      cmocka_unit_test(test_pipes),
      cmocka_unit_test(test_kind_in_a_pipe),
      cmocka_unit_test(test_interrupted_while_waiting),
      cmocka_unit_test(test_file_that_grows),
      cmocka_unit_test(test_file_whose_last_row_is_being_written),
      cmocka_unit_test(test_file_that_shrinks),
      cmocka_unit_test(test_paths),
      cmocka_unit_test(test_requests),
      cmocka_unit_test(test_values_of_objects),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
