/* What the tests of tables share: files in a folder of their own, and a table
 * read to its end as one string. */
#ifndef TX_TESTS_TABLE_MAKE_H
#define TX_TESTS_TABLE_MAKE_H

static char folder[64];

static const char *path_of(const char *name) {
  static char path[256];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return path;
}

static const char *write_file(const char *name, const char *bytes, size_t size) {
  const char *path = path_of(name);
  FILE *file = fopen(path, "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(bytes, 1, size, file), size);
  fclose(file);
  return path;
}

/* Everything a table gives, as one string: "line|text|label|id;" a row, NUL as
 * "\0", or the sentence with the folder's name taken out. */
static char *read_all(const char *path, tx_table_options options) {
  static char out[8192];
  size_t used = 0;
  tx_error error = {0};
  tx_table *table;
  out[0] = '\0';
  tx_status status = tx_table_open(path, options, &table, &error);
  tx_row row;
  bool found = true;
  while (status == TX_OK && found) {
    status = tx_table_next(table, &row, &found, &error);
    if (status != TX_OK || !found) break;
    used += (size_t)snprintf(out + used, sizeof out - used, "%lld|", (long long)row.line);
    const tx_text cells[3] = {row.text, row.label, row.id};
    for (int i = 0; i < 3; i++) {
      for (size_t j = 0; j < cells[i].size; j++) {
        char letter = cells[i].data[j];
        used += (size_t)snprintf(out + used, sizeof out - used, letter ? "%c" : "\\0", letter);
      }
      if (!cells[i].data) used += (size_t)snprintf(out + used, sizeof out - used, "-");
      used += (size_t)snprintf(out + used, sizeof out - used, i < 2 ? "|" : ";");
    }
  }
  tx_table_close(table);
  assert_int_equal(status, error.status);
  if (status == TX_OK) return out;
  char sentence[1400];
  tx_error_sentence(&error, sentence, sizeof sentence);
  used += (size_t)snprintf(out + used, sizeof out - used, "[%d] ", status);
  for (const char *at = sentence; *at && used + 1 < sizeof out;) {
    if (strncmp(at, folder, strlen(folder)) == 0) {
      at += strlen(folder) + 1;
    } else {
      out[used++] = *at++;
    }
  }
  out[used] = '\0';
  return out;
}

/* What an example leaves out is NULL: the default. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
typedef struct {
  const char *file, *bytes, *expected;
  const char *text, *label, *id, *format;
} example;

static void check(const example *examples, size_t count) {
  for (size_t i = 0; i < count; i++) {
    const example *e = &examples[i];
    tx_table_options options = tx_table_defaults();
    if (e->text) options.text = e->text;
    if (e->label) options.label = e->label[0] ? e->label : NULL;
    options.id = e->id;
    options.format = e->format;
    const char *path = write_file(e->file, e->bytes, strlen(e->bytes));
    const char *got = read_all(path, options);
    if (strcmp(got, e->expected) != 0) {
      fail_msg("example %zu (%s):\n  expected %s\n  got      %s", i, e->file, e->expected, got);
    }
  }
}
#define CHECK(examples) check(examples, sizeof examples / sizeof *examples)

static int make_folder(void **state) {
  (void)state;
  strcpy(folder, "/tmp/taxon-test-XXXXXX");
  return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
  (void)state;
  char command[128];
  snprintf(command, sizeof command, "rm -rf %s", folder);
  return system(command);
}

#endif
