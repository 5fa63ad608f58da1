/* Tables: what every format reads, and the exact sentence that each broken
 * table gives. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "formats/nearest.h"
#include "formats/table.h"
#include "formats/table_make.h"

static void test_csv(void **state) {
  (void)state;
  static const example examples[] = {
      {"a.csv", "text,label\nhi,x\nho,y\n", "2|hi|x|-;3|ho|y|-;"},
      {"a.csv", "text,label\nhi,x\nho,y", "2|hi|x|-;3|ho|y|-;"},
      {"a.csv", "text,label\r\nhi,x\r\nho,y\r\n", "2|hi|x|-;3|ho|y|-;"},
      {"a.csv", "text,label\rhi,x\rho,y\r", "2|hi|x|-;3|ho|y|-;"},
      {"a.csv", "\xef\xbb\xbftext,label\nhi,x\n", "2|hi|x|-;"},
      {"a.csv", "\xef\xbb\xbf\"text\",label\nhi,x\n", "2|hi|x|-;"},
      {"a.csv", "label,other,text\nx,1,hi\n", "2|hi|x|-;"},
      {"a.csv", "text,label\n\"a\nb\"\"c,\",x\n\"\",y\n , z \n",
       "2|a\nb\"c,|x|-;4||y|-;5| | z |-;"},
      {"a.csv", "text,label\n\"a\r\nb\",x\r\nq,y\r\n", "2|a\r\nb|x|-;4|q|y|-;"},
      {"a.csv", "text,label\n\nhi,x\n\n\nho,y\n\n", "3|hi|x|-;6|ho|y|-;"},
      {"a.csv", "text,label\n", ""},
      {"a.csv", "text,label", ""},
      {"a.csv", "text\n\"\"\nb\n", "2||-|-;3|b|-|-;", .label = ""},
      {"a.csv", "text,label\n\xff\xfe,x\n", "2|\xff\xfe|x|-;"},
      {"a.csv", "id,text,label\n7,hi,x\n", "2|hi|x|7;"},
      {"a.csv", "key,text,label\n7,hi,x\n", "2|hi|x|7;", .id = "key"},
      {"a.csv", "title,text,label\nA,hi,x\n,,y\n", "2|A\nhi|x|-;3|\n|y|-;", .text = "title,text"},
      {"a.csv", "text,label\nhi,x\n", "2|hi|hi|x;", .label = "text", .id = "label"},
      {"a.csv", ",text,label,\n0,hi,x,\n", "2|hi|x|-;"},
      {"a.csv", "a,a,text,label,id,id\n0,1,hi,x,3,4\n", "2|hi|x|-;"},
  };
  CHECK(examples);
}

static void test_csv_broken(void **state) {
  (void)state;
  static const example examples[] = {
      {"b.csv", "", "[3] b.csv:1: the file is empty; its first line must name the columns"},
      {"b.csv", "\n\n", "[3] b.csv:1: the file is empty; its first line must name the columns"},
      {"b.csv", "\xef\xbb\xbf",
       "[3] b.csv:1: the file is empty; its first line must name the columns"},
      {"b.csv", "text,label\nhi,x\n\"ab\ncd,y\nef,z\n",
       "2|hi|x|-;[3] b.csv:3: the quote that opens field 1 is never closed; close it, or save the "
       "table as TSV if its quotes are plain text"},
      {"b.csv", "text,label\n\"a\nb\",\"x\n\n",
       "[3] b.csv:3: the quote that opens field 2 is never closed; close it, or save the table as "
       "TSV if its quotes are plain text"},
      {"b.csv", "text,label\na \"b\" c,x\n",
       "[3] b.csv:2: a quote stands inside field 1, which does not begin with one; put the whole "
       "field in quotes and write the quotes inside it twice"},
      {"b.csv", "text,label\nok,x\n\"a\nb\" c,x\n",
       "2|ok|x|-;[3] b.csv:4: text follows the quote that closes field 1, opened in line 3; write "
       "a quote inside a quoted field twice"},
      {"b.csv", "text,label\nhi,x\nho\n",
       "2|hi|x|-;[3] b.csv:3: 2 fields expected, as in the header, and 1 found; is the row cut?"},
      {"b.csv", "text,label\n\"a\nb\",x\nhi,there,x\n",
       "2|a\nb|x|-;[3] b.csv:4: 2 fields expected, as in the header, and 3 found; a text that "
       "holds the separator must be quoted, in a CSV file"},
      {"b.csv", "texts,label\nhi,x\n",
       "[3] b.csv:1: there is no column 'text'; the columns are: texts, label; did you mean "
       "'texts'?"},
      {"b.csv", "Text,label\nhi,x\n",
       "[3] b.csv:1: there is no column 'text'; the columns are: Text, label; did you mean "
       "'Text'?"},
      {"b.csv", "body,kind\nhi,x\n",
       "[3] b.csv:1: there is no column 'text'; the columns are: body, kind"},
      {"b.csv", "text,kind\nhi,x\n",
       "[3] b.csv:1: there is no column 'label'; the columns are: text, kind"},
      {"b.csv", "text,label\nhi,x\n",
       "[3] b.csv:1: there is no column 'key'; the columns are: text, label", .id = "key"},
      {"b.csv", "text,label,text\nhi,x,y\n",
       "[3] b.csv:1: the columns 1 and 3 are both called 'text'; rename one"},
      {"b.csv", "text,label\n", "[2] a name of a text column is empty; give names joined by commas",
       .text = "text,,label"},
      {"b.csv", "text,label\n", "[2] the name of the id column is empty", .id = ""},
      {"b.csv", "text,label\n", "[2] the table format 'xls' is not known; use csv, tsv or jsonl",
       .format = "xls"},
      {"b.csv", "\xff\xfet",
       "[3] b.csv: the file is UTF-16; save it as UTF-8 (iconv -f UTF-16 -t UTF-8)"},
      {"b.csv", "\x1f\x8b\x08", "[3] b.csv: the file is compressed (gzip); unpack it first"},
  };
  CHECK(examples);
}

static void test_tsv(void **state) {
  (void)state;
  static const example examples[] = {
      {"a.tsv", "text\tlabel\n\"hi\tx\nho\"\"\ty\n", "2|\"hi|x|-;3|ho\"\"|y|-;"},
      {"a.tsv", "text\tlabel\r\nhi\tx\r\nho\ty", "2|hi|x|-;3|ho|y|-;"},
      {"a.tsv", "\xef\xbb\xbftext\tlabel\n\tx\n\n\r\n\n", "2||x|-;"},
      {"a.tsv", "text\na\n\n\nb\n\n", "2|a|-|-;3||-|-;4||-|-;5|b|-|-;", .label = ""},
      {"a.tsv", "text\n\nb", "2||-|-;3|b|-|-;", .label = ""},
      {"a.tsv", "text\n\n\n", "", .label = ""},
      {"a.tsv", "text\tlabel\n", ""},
      {"a.tsv", "text\tlabel\n\xff\tx\n", "2|\xff|x|-;"},
      {"a.tsv", "text\tlabel\na\rb\tx\n", "2|a\rb|x|-;"},
      {"a.tsv", "text\tlabel\rhi\tx\rho\ty\r",
       "[3] a.tsv: the file is of lines that end in CR alone; end them in LF (tr '\\r' '\\n') or "
       "CRLF"},
      {"a.tsv", "text\tlabel\r", ""},
      {"a.tsv", "", "[3] a.tsv:1: the file is empty; its first line must name the columns"},
      {"a.tsv", "\n\n", "[3] a.tsv:1: the file is empty; its first line must name the columns"},
      {"a.tsv", "\ntext\tlabel\n",
       "[3] a.tsv:1: the line is blank; the first line must name the columns"},
      {"a.tsv", "text\tlabel\nhi\tx\n\n\nho\ty\n",
       "2|hi|x|-;[3] a.tsv:3: the line is blank; remove it"},
      {"a.tsv", "text\tlabel\nhi\n",
       "[3] a.tsv:2: 2 fields expected, as in the header, and 1 found; is the row cut?"},
      {"a.tsv", "text\tlabel\nhi\tho\tx\n",
       "[3] a.tsv:2: 2 fields expected, as in the header, and 3 found; a text that holds the "
       "separator must be quoted, in a CSV file"},
      {"a.tsv", "text,label\nhi,x\n",
       "[3] a.tsv:1: there is no column 'text'; the columns are: text,label; if commas "
       "separate them, say --format csv"},
  };
  CHECK(examples);
}

static void test_jsonl(void **state) {
  (void)state;
  static const example examples[] = {
      {"a.jsonl", "{\"text\":\"hi\",\"label\":\"x\"}\n{\"label\":\"y\",\"text\":\"h\\no\"}",
       "1|hi|x|-;2|h\no|y|-;"},
      {"a.jsonl", "\n{\"text\":\"\",\"label\":1}\r\n \n{\"text\":2.5,\"label\":true}\n\n",
       "2||1|-;4|2.5|true|-;"},
      {"a.jsonl", "{\"text\":\"a\",\"label\":0.1,\"id\":9007199254740993}",
       "1|a|0.1|9007199254740993;"},
      {"a.jsonl", "{\"text\":\"a\",\"label\":1.0}\n{\"text\":\"a\",\"label\":0.30000000000000004}",
       "1|a|1.0|-;2|a|0.30000000000000004|-;"},
      {"a.jsonl", "{\"text\":\"a\\u0000b\",\"label\":\"\\ud83d\\ude00\"}",
       "1|a\\0b|\xf0\x9f\x98\x80|-;"},
      {"a.jsonl", "", ""},
      {"a.jsonl", "\xef\xbb\xbf{\"text\":\"hi\",\"label\":\"x\",\"more\":{\"a\":[1]}}\n",
       "1|hi|x|-;"},
      {"a.jsonl", "{\"text\":\"a\",\"label\":\"x\"}\n{\"text\":\"b\"}\n",
       "1|a|x|-;[3] a.jsonl:2: there is no key 'label'; the keys are: text"},
      {"a.jsonl", "{\"texts\":\"a\",\"label\":\"x\"}\n",
       "[3] a.jsonl:1: there is no key 'text'; the keys are: texts, label; did you mean 'texts'?"},
      {"a.jsonl", "{}", "[3] a.jsonl:1: the object has no keys"},
      {"a.jsonl", "{\"text\":\"a\",\"label\":null}",
       "[3] a.jsonl:1: the value of 'label' is null; it must be a string, a number or true or "
       "false"},
      {"a.jsonl", "{\"text\":[\"a\"],\"label\":\"x\"}",
       "[3] a.jsonl:1: the value of 'text' is an array; it must be a string, a number or true or "
       "false"},
      {"a.jsonl", "[{\"text\":\"a\"}]",
       "[3] a.jsonl:1: the line is a JSON array; write one object a line"},
      {"a.json", " [\n{\"text\":\"a\"}\n]\n",
       "[3] a.json:1: the line begins a JSON array; write one object a line"},
      {"a.jsonl", "{\"text\":\"a\",\"label\":\"x\"}\r{\"text\":\"b\",\"label\":\"y\"}",
       "[3] a.jsonl: the file is of lines that end in CR alone; end them in LF (tr '\\r' '\\n') or "
       "CRLF"},
      {"a.csv", "text,label\rhi,x\rho,y\r", "2|hi|x|-;3|ho|y|-;"},
      {"a.jsonl", "17", "[3] a.jsonl:1: the line is a JSON value; write one object a line"},
      {"a.jsonl", "{\"text\":\"a\",\n\"label\":\"x\"}",
       "[3] a.jsonl:1: not a JSON object on one line: string or '}' expected near end of file "
       "(near "
       "byte 12)"},
      {"a.jsonl", "{\"text\":\"a\",\"label\":\"x\"} 7",
       "[3] a.jsonl:1: not a JSON object on one line: end of file expected near '7' (near byte "
       "26)"},
      {"a.jsonl", "{\"text\":\"a\xff\",\"label\":\"x\"}",
       "[3] a.jsonl:1: not a JSON object on one line: unable to decode byte 0xff near '\"a' (near "
       "byte 10)"},
      {"a.jsonl", "{\"text\":\"a\",\"text\":\"b\",\"label\":\"x\"}",
       "[3] a.jsonl:1: not a JSON object on one line: duplicate object key near '\"text\"' (near "
       "byte 18)"},
  };
  CHECK(examples);
}

/* "line:cell,cell;" a row, "-" for none; or the status and the sentence without its file. */
static const char *read_cells(const char *name, const char *bytes, const tx_table_column *columns,
                              size_t count) {
  static char out[1024];
  tx_error error = {0};
  tx_table *table;
  const char *path = write_file(name, bytes, strlen(bytes));
  size_t used = 0;
  bool found = true;
  tx_status status = tx_table_open_columns(path, NULL, columns, count, &table, &error);
  while (status == TX_OK && found) {
    tx_text cells[3];
    int64_t line;
    status = tx_table_next_cells(table, cells, &line, &found, &error);
    if (status != TX_OK || !found) break;
    used += (size_t)snprintf(out + used, sizeof out - used, "%d", (int)line);
    for (size_t i = 0; i < count; i++) {
      used += (size_t)snprintf(out + used, sizeof out - used, "%c%.*s", i ? ',' : ':',
                               cells[i].data ? (int)cells[i].size : 1,
                               cells[i].data ? cells[i].data : "-");
    }
    used += (size_t)snprintf(out + used, sizeof out - used, ";");
  }
  tx_table_close(table);
  if (status != TX_OK) snprintf(out, sizeof out, "[%d] %s", (int)status, error.message);
  return out;
}

static void test_columns(void **state) {
  (void)state;
  const tx_table_column columns[] = {
      {"q", false, true, true}, {"n", true, true, true}, {"q", false, false, false}};
  assert_string_equal(read_cells("c.tsv", "x\tq\n1\ta\n2\t\n", columns, 3), "2:a,-,a;3:,-,;");
  assert_string_equal(read_cells("c.csv", "q,n\n\"a,b\",c\n", columns, 2), "2:a,b,c;");
  assert_string_equal(
      read_cells("c.jsonl", "{\"q\": [1, {\"a\": null}], \"n\": null}\n{\"q\": 7}\n", columns, 2),
      "1:[1,{\"a\":null}],-;2:7,-;");
  assert_non_null(strstr(read_cells("c.jsonl", "{\"q\": [1]}\n", columns, 3), "is an array"));
  assert_non_null(
      strstr(read_cells("c.jsonl", "{\"n\": 1}\n", columns, 2), "[3] there is no key 'q'"));
  assert_non_null(strstr(read_cells("c.tsv", "x\n1\n", columns, 2), "[3] there is no column 'q'"));
  const tx_table_column nameless = {"", false, false, false};
  assert_non_null(strstr(read_cells("c.tsv", "x\n", &nameless, 1), "[2] the name of a column"));
}

static void test_format_is_found(void **state) {
  (void)state;
  static const example examples[] = {
      {"data", "text,label\nhi,x\n", "2|hi|x|-;"},
      {"data", "text\tlabel\nhi, you\tx\n", "2|hi, you|x|-;"},
      {"data.txt", "text,label\nh\ti,x\n", "2|h\ti|x|-;"},
      {"data", "{\"text\":\"hi\",\"label\":\"x\"}\n", "1|hi|x|-;"},
      {"data", " \n{\"text\":\"hi\",\"label\":\"x\"}\n", "2|hi|x|-;"},
      {"data.TSV", "text\tlabel\n{\tx\n", "2|{|x|-;"},
      {"data.tsv", "text,label\nhi,x\n", "2|hi|x|-;", .format = "csv"},
      {"data", "", "[3] data:1: the file is empty; its first line must name the columns"},
  };
  CHECK(examples);
}

static void test_nul_bytes(void **state) {
  (void)state;
  static const char csv[] = "text,label\na\0b,x\n", tsv[] = "text\tlabel\na\0b\tx\n";
  assert_string_equal(read_all(write_file("n.csv", csv, sizeof csv - 1), tx_table_defaults()),
                      "2|a\\0b|x|-;");
  assert_string_equal(read_all(write_file("n.tsv", tsv, sizeof tsv - 1), tx_table_defaults()),
                      "2|a\\0b|x|-;");
}

static void test_places(void **state) {
  (void)state;
  char expected[256];
  mkdir(path_of("d"), 0700);
  assert_string_equal(read_all(path_of("d"), tx_table_defaults()),
                      "[3] cannot read d: it is a directory; name a file in it");
  assert_string_equal(read_all(path_of("absent.csv"), tx_table_defaults()),
                      "[3] cannot read absent.csv: No such file or directory; check the path");
  snprintf(expected, sizeof expected, "[2] no table is named");
  assert_string_equal(read_all(NULL, tx_table_defaults()), expected);
}

/* Rows longer than the reading chunk, at every alignment near its end. */
static void test_chunk_borders(void **state) {
  (void)state;
  static const char *const formats[] = {"csv", "tsv", "jsonl"};
  static const char *const heads[] = {"text,label\n", "text\tlabel\n", ""};
  static const char *const middles[] = {"%s,x\r\n", "%s\tx\r\n",
                                        "{\"text\":\"%s\",\"label\":\"x\"}\r\n"};
  enum { CHUNK = 1 << 16 };
  char *filler = malloc(CHUNK + 1), *bytes = malloc(3 * CHUNK);
  assert_true(filler && bytes);
  for (int f = 0; f < 3; f++) {
    for (size_t size = CHUNK - 40; size < CHUNK + 1; size++) {
      memset(filler, 'a', size);
      filler[size] = '\0';
      size_t used = (size_t)sprintf(bytes, "%s", heads[f]);
      used += (size_t)sprintf(bytes + used, middles[f], filler);
      used += (size_t)sprintf(bytes + used, middles[f], "end");
      tx_table_options options = tx_table_defaults();
      options.format = formats[f];
      tx_error error = {0};
      tx_table *table;
      tx_row row;
      bool found;
      assert_int_equal(tx_table_open(write_file("big", bytes, used), options, &table, &error), 0);
      assert_int_equal(tx_table_next(table, &row, &found, &error), TX_OK);
      assert_true(found && row.text.size == size && row.label.size == 1);
      assert_int_equal(tx_table_next(table, &row, &found, &error), TX_OK);
      assert_true(found && row.text.size == 3 && memcmp(row.text.data, "end", 3) == 0);
      assert_int_equal(row.line, f == 2 ? 2 : 3);
      assert_int_equal(tx_table_next(table, &row, &found, &error), TX_OK);
      assert_false(found);
      tx_table_close(table);
    }
  }
  free(filler);
  free(bytes);
}

static void test_long_field(void **state) {
  (void)state;
  enum { SIZE = 10 << 20 };
  char *bytes = malloc(SIZE + 64);
  assert_non_null(bytes);
  size_t used = (size_t)sprintf(bytes, "text,label\n\"");
  memset(bytes + used, '\n', SIZE);
  used += SIZE;
  used += (size_t)sprintf(bytes + used, "\",x\nend,y\n");
  tx_error error = {0};
  tx_table *table;
  tx_row row;
  bool found;
  assert_int_equal(
      tx_table_open(write_file("l.csv", bytes, used), tx_table_defaults(), &table, &error), TX_OK);
  assert_int_equal(tx_table_next(table, &row, &found, &error), TX_OK);
  assert_int_equal(row.text.size, SIZE);
  assert_int_equal(row.line, 2);
  assert_int_equal(tx_table_next(table, &row, &found, &error), TX_OK);
  assert_int_equal(row.line, SIZE + 3);
  tx_table_close(table);
  free(bytes);
}

static void *feed_fifo(void *path) {
  FILE *file = fopen(path, "wb");
  fputs("text,label\nhi,", file);
  fflush(file);
  usleep(20000);
  fputs("x\n", file);
  fclose(file);
  return NULL;
}

static void test_fifo_and_standard_input(void **state) {
  (void)state;
  char *path = tx_copy_string(path_of("fifo"));
  assert_int_equal(mkfifo(path, 0600), 0);
  pthread_t writer;
  pthread_create(&writer, NULL, feed_fifo, path);
  assert_string_equal(read_all(path, tx_table_defaults()), "2|hi|x|-;");
  pthread_join(writer, NULL);

  int kept = dup(0), file = open(write_file("in", "text\tlabel\nhi\n", 14), O_RDONLY);
  dup2(file, 0);
  assert_string_equal(read_all("-", tx_table_defaults()),
                      "[3] standard input:2: 2 fields expected, as in the header, and 1 found; is "
                      "the row cut?");
  dup2(kept, 0);
  close(kept);
  close(file);
  tx_free(path);
}

/* ---- whole tables ---- */

static tx_dataset *read_set(const char *bytes, const tx_dataset *known, tx_error *error) {
  tx_dataset *data;
  tx_dataset_read(write_file("set.tsv", bytes, strlen(bytes)), tx_table_defaults(), known, &data,
                  error);
  return data;
}

static void test_dataset(void **state) {
  (void)state;
  tx_error error = {0};
  tx_dataset *data =
      read_set("label\ttext\npos\tGood!\nneg\t bad  \nneu\t\npos\tgood!\n", NULL, &error);
  assert_non_null(data);
  assert_int_equal(data->rows, 4);
  assert_int_equal(data->classes, 3);
  assert_string_equal(data->names[0], "neg");
  assert_string_equal(data->names[1], "neu");
  assert_string_equal(data->names[2], "pos");
  static const int32_t labels[] = {2, 0, 1, 2};
  assert_memory_equal(data->labels, labels, sizeof labels);
  for (int i = 0; i < 4; i++) assert_int_equal(data->lines[i], i + 2);
  assert_int_equal(data->texts[1].size, 6);
  assert_true(data->hashes[0] == data->hashes[3]);
  assert_true(data->hashes[1] == tx_text_fingerprint(tx_text_of("BAD")));
  /* sizes and bytes of "pos" "Good!" "neg" " bad  " "neu" "" "pos" "good!" by sha256sum */
  assert_string_equal(data->sha256,
                      "4410eba07c5f985f1a609afd10890f3b56d06e6433ec67714480e8d27b8b96d2");
  tx_dataset *same = read_set("text\tlabel\tx\nbad\tpos\t1\n", data, &error);
  assert_non_null(same);
  assert_int_equal(same->classes, 3);
  assert_int_equal(same->labels[0], 2);
  tx_dataset_free(same);
  tx_dataset *none = read_set("text\tlabel\n", NULL, &error);
  assert_non_null(none);
  assert_true(none->rows == 0 && none->classes == 0);
  tx_dataset_free(none);
  tx_dataset_free(data);
}

static void expect_set(const char *bytes, const tx_dataset *known, const char *sentence) {
  tx_error error = {0};
  char got[1400];
  assert_null(read_set(bytes, known, &error));
  assert_int_equal(error.status, TX_ERROR_INPUT);
  tx_error_sentence(&error, got, sizeof got);
  assert_string_equal(got + strlen(folder) + 1, sentence);
}

static void test_dataset_broken(void **state) {
  (void)state;
  tx_error error = {0};
  tx_dataset *known = read_set("text\tlabel\na\tpositive\nb\tnegative\n", NULL, &error);
  expect_set("text\tlabel\na\tpositive\nb\tpostive\n", known,
             "set.tsv:3: the label 'postive' is not known; the labels are: negative, positive; did "
             "you mean 'positive'?");
  expect_set(
      "text\tlabel\na\tspam\n", known,
      "set.tsv:2: the label 'spam' is not known; the labels are: negative, positive; rename it, "
      "or leave its rows out");
  tx_dataset_free(known);
  expect_set("text\tlabel\na\tx\nb\t\n", NULL,
             "set.tsv:3: the label is empty; fill it in or remove the row");
  expect_set("text\tlabel\na\tx\nb\tq\xff\n", NULL,
             "set.tsv:3: the label 'q?' is not UTF-8 text; save the file as UTF-8");
  char bytes[1200] = "text\tlabel\na\t";
  memset(bytes + strlen(bytes), 'a', 1001);
  expect_set(bytes, NULL,
             "set.tsv:2: the label is 1001 bytes long, more than 1000; is it the right column?");
  tx_table_options options = tx_table_defaults();
  options.label = NULL;
  tx_dataset *data;
  error = (tx_error){0};
  assert_int_equal(tx_dataset_read("x.tsv", options, NULL, &data, &error), TX_ERROR_ARGUMENT);
}

static void test_many_labels(void **state) {
  (void)state;
  FILE *file = fopen(path_of("many.tsv"), "wb");
  assert_non_null(file);
  fputs("text\tlabel\n", file);
  for (int i = 0; i <= TX_MAX_LABELS; i++) fprintf(file, "t\t%d\n", i);
  fclose(file);
  tx_error error = {0};
  tx_dataset *data;
  assert_int_equal(tx_dataset_read(path_of("many.tsv"), tx_table_defaults(), NULL, &data, &error),
                   TX_ERROR_INPUT);
  assert_int_equal(error.line, TX_MAX_LABELS + 2);
  assert_string_equal(error.message,
                      "there are more than 100000 different labels; is it the right column?");
}

static void test_fingerprint(void **state) {
  (void)state;
  tx_text a = tx_text_of("  Hello\t\n World  "), b = tx_text_of("hello world");
  assert_true(tx_text_fingerprint(a) == tx_text_fingerprint(b));
  assert_true(tx_text_fingerprint(tx_text_of(" \n")) == tx_text_fingerprint(tx_text_of("")));
  assert_true(tx_text_fingerprint(tx_text_of("")) == 0xef46db3751d8e999u); /* XXH64 of nothing */
  assert_true(tx_text_fingerprint(tx_text_of("helloworld")) != tx_text_fingerprint(b));
  char *text = malloc(5000);
  assert_non_null(text);
  memset(text, 'A', 5000);
  uint64_t before = tx_text_fingerprint((tx_text){text, 5000});
  memset(text, 'a', 5000);
  assert_true(before == tx_text_fingerprint((tx_text){text, 5000}));
  text[4999] = 'b';
  assert_true(before != tx_text_fingerprint((tx_text){text, 5000}));
  free(text);
}

static void test_nearest(void **state) {
  (void)state;
  const tx_text names[] = {tx_text_of("smollm2-135m"), tx_text_of("data:tweets"), tx_text_of("x")};
  assert_int_equal(tx_nearest(tx_text_of("smolm2-135M"), names, 3), 0);
  assert_int_equal(tx_nearest(tx_text_of("data:tweet"), names, 3), 1);
  assert_int_equal(tx_nearest(tx_text_of("SMOL"), names, 3), 0);
  assert_int_equal(tx_nearest(tx_text_of("smolm2"), names, 3), 0);
  assert_int_equal(tx_nearest(tx_text_of("sm"), names, 3), -1);
  assert_int_equal(tx_nearest(tx_text_of("llama"), names, 3), -1);
  assert_int_equal(tx_nearest(tx_text_of("y"), names, 3), -1);
  char shown[TX_SHOWN_SIZE];
  assert_string_equal(tx_show_name((tx_text){"a\0\n\xc3\xa9\xc3", 6}, shown), "a??\xc3\xa9?");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_csv),
      cmocka_unit_test(test_csv_broken),
      cmocka_unit_test(test_tsv),
      cmocka_unit_test(test_jsonl),
      cmocka_unit_test(test_columns),
      cmocka_unit_test(test_format_is_found),
      cmocka_unit_test(test_nul_bytes),
      cmocka_unit_test(test_places),
      cmocka_unit_test(test_chunk_borders),
      cmocka_unit_test(test_long_field),
      cmocka_unit_test(test_fifo_and_standard_input),
      cmocka_unit_test(test_dataset),
      cmocka_unit_test(test_dataset_broken),
      cmocka_unit_test(test_many_labels),
      cmocka_unit_test(test_fingerprint),
      cmocka_unit_test(test_nearest),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
