/* Maps refuse what is no regular file; a writer shows its file whole or not at
 * all, and leaves nothing else behind. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "formats/file.h"

static char directory[64], path[128];

static int make_directory(void **state) {
  (void)state;
  snprintf(directory, sizeof directory, "/tmp/taxon-file-XXXXXX");
  if (!mkdtemp(directory)) return -1;
  snprintf(path, sizeof path, "%s/model.bin", directory);
  return 0;
}

static int remove_directory(void **state) {
  (void)state;
  unlink(path);
  return rmdir(directory); /* fails where something was left behind */
}

/* Entries of the directory; the name of the last one that begins with a dot. */
static int list(char hidden[256]) {
  int count = 0;
  DIR *entries = opendir(directory);
  assert_non_null(entries);
  for (const struct dirent *entry; (entry = readdir(entries));) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    count++;
    if (entry->d_name[0] == '.') snprintf(hidden, 256, "%s", entry->d_name);
  }
  closedir(entries);
  return count;
}

static void put(const char *text) {
  FILE *file = fopen(path, "wb");
  assert_non_null(file);
  assert_int_equal(fputs(text, file) >= 0, 1);
  assert_int_equal(fclose(file), 0);
}

static void expect(const char *text) {
  tx_error error = {0};
  tx_map map;
  assert_int_equal(tx_map_open(path, &map, &error), TX_OK);
  assert_int_equal(map.size, strlen(text));
  if (map.size) assert_memory_equal(map.data, text, strlen(text));
  tx_map_close(&map);
}

/* ---- maps -------------------------------------------------------------- */

static void expect_refusal(const char *name, tx_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void expect_refusal(const char *name, tx_status status, const char *format, ...) {
  char want[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(want, sizeof want, format, arguments);
  va_end(arguments);
  tx_error error = {0};
  tx_map map;
  assert_int_equal(tx_map_open(name, &map, &error), status);
  assert_string_equal(error.message, want);
  assert_null(map.data);
  tx_map_close(&map);
}

static void test_maps_regular_files(void **state) {
  (void)state;
  put("some bytes");
  expect("some bytes");
  put("");
  expect("");
}

static void test_refuses_to_map_anything_else(void **state) {
  (void)state;
  char name[128];
  snprintf(name, sizeof name, "%s/none", directory);
  expect_refusal(name, TX_ERROR_INPUT, "cannot read %s: No such file or directory; check the path",
                 name);
  expect_refusal(directory, TX_ERROR_INPUT,
                 "cannot read %s: it is a directory; name a regular file", directory);
  expect_refusal("/dev/zero", TX_ERROR_INPUT,
                 "cannot read /dev/zero: it is not a regular file; name a regular file");
  snprintf(name, sizeof name, "%s/pipe", directory);
  assert_int_equal(mkfifo(name, 0600), 0);
  alarm(20); /* nobody writes into the pipe: waiting for it would be for ever */
  expect_refusal(name, TX_ERROR_INPUT, "cannot read %s: it is a pipe; name a regular file", name);
  alarm(0);
  unlink(name);
  if (geteuid() == 0) return; /* root may read everything */
  put("secret");
  chmod(path, 0);
  expect_refusal(path, TX_ERROR_INPUT,
                 "cannot read %s: Permission denied; you need the right to read it", path);
  chmod(path, 0600);
}

/* ---- writing ----------------------------------------------------------- */

static tx_writer *open_writer(void) {
  tx_error error = {0};
  tx_writer *writer;
  assert_int_equal(tx_writer_open(path, &writer, &error), TX_OK);
  return writer;
}

static void add(tx_writer *writer, const char *text) {
  tx_error error = {0};
  assert_int_equal(tx_writer_add(writer, text, strlen(text), &error), TX_OK);
}

static void test_appears_whole_at_commit(void **state) {
  (void)state;
  char hidden[256] = "";
  struct stat facts;
  tx_error error = {0};
  mode_t mask = umask(0027);
  put("old");
  tx_writer *writer = open_writer();
  add(writer, "new ");
  add(writer, "");
  add(writer, "bytes");
  expect("old");
  assert_int_equal(list(hidden), 2);
  assert_int_equal(strlen(hidden), strlen(".model.bin.taxon-XXXXXX.tmp"));
  assert_memory_equal(hidden, ".model.bin.taxon-", 17);
  assert_string_equal(hidden + 23, ".tmp");
  assert_int_equal(tx_writer_commit(writer, &error), TX_OK);
  umask(mask);
  expect("new bytes");
  assert_int_equal(list(hidden), 1);
  assert_int_equal(stat(path, &facts), 0);
  assert_int_equal(facts.st_mode & 0777, 0640);
}

static void test_cancel_leaves_the_old_file(void **state) {
  (void)state;
  char hidden[256];
  put("old");
  tx_writer *writer = open_writer();
  add(writer, "new");
  tx_writer_cancel(writer);
  tx_writer_cancel(NULL);
  expect("old");
  assert_int_equal(list(hidden), 1);
}

/* Pieces below, at and above the size of the buffer, in every order. */
static void test_keeps_the_order_of_large_pieces(void **state) {
  (void)state;
  static const size_t sizes[] = {1, 262143, 1, 262144, 7, 700001, 262145, 0, 131072, 131072, 3};
  static unsigned char piece[700001];
  tx_error error = {0};
  tx_map map;
  uint64_t at = 0;
  tx_writer *writer = open_writer();
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    for (size_t j = 0; j < sizes[i]; j++) piece[j] = (unsigned char)((at + j) % 251);
    assert_int_equal(tx_writer_add(writer, piece, sizes[i], &error), TX_OK);
    at += sizes[i];
  }
  assert_int_equal(tx_writer_commit(writer, &error), TX_OK);
  assert_int_equal(tx_map_open(path, &map, &error), TX_OK);
  assert_int_equal(map.size, at);
  for (uint64_t i = 0; i < at; i++) {
    if (map.data[i] != i % 251) fail_msg("byte %" PRIu64 " is wrong", i);
  }
  tx_map_close(&map);
}

static void test_two_writers_of_one_file(void **state) {
  (void)state;
  tx_error error = {0};
  tx_writer *first = open_writer(), *second = open_writer();
  add(first, "first");
  add(second, "second");
  assert_int_equal(tx_writer_commit(second, &error), TX_OK);
  expect("second");
  assert_int_equal(tx_writer_commit(first, &error), TX_OK);
  expect("first");
}

static void test_link_stays_a_link(void **state) {
  (void)state;
  char name[128];
  struct stat facts;
  tx_error error = {0};
  tx_writer *writer;
  put("old");
  snprintf(name, sizeof name, "%s/link", directory);
  assert_int_equal(symlink("model.bin", name), 0);
  assert_int_equal(tx_writer_open(name, &writer, &error), TX_OK);
  add(writer, "new");
  assert_int_equal(tx_writer_commit(writer, &error), TX_OK);
  expect("new");
  assert_int_equal(lstat(name, &facts), 0);
  assert_true(S_ISLNK(facts.st_mode));
  unlink(name);
}

static void expect_no_writer(const char *name, const char *want) {
  tx_error error = {0};
  tx_writer *writer;
  assert_int_equal(tx_writer_open(name, &writer, &error), TX_ERROR_SYSTEM);
  assert_null(writer);
  if (want) assert_string_equal(error.message, want);
}

static void test_refuses_to_write_elsewhere(void **state) {
  (void)state;
  char want[512];
  snprintf(want, sizeof want, "cannot write %s: it is a directory; name a regular file", directory);
  expect_no_writer(directory, want);
  expect_no_writer("/dev/null",
                   "cannot write /dev/null: it is not a regular file; name a regular file");
  expect_no_writer("", "cannot write '': it names no file; name a file");
  expect_no_writer("/tmp/", "cannot write '/tmp/': it names no file; name a file");
  expect_no_writer("/nonexistent/a.bin",
                   "cannot write /nonexistent/a.bin: No such file or directory; make its directory "
                   "first");
  expect_no_writer("/proc/taxon.bin", NULL); /* the system's own words */
  if (geteuid() == 0) return;                /* root may write everywhere */
  put("old");
  snprintf(want, sizeof want,
           "cannot write %s: Permission denied; choose a directory that you may write to", path);
  chmod(directory, 0555);
  expect_no_writer(path, want);
  chmod(directory, 0755);
  expect("old");
}

/* The system stops the file at 100,000 bytes, as a full disk would. */
static void test_failed_write_leaves_the_old_file(void **state) {
  (void)state;
  static unsigned char piece[300000];
  char want[512], hidden[256];
  tx_error error = {0};
  struct rlimit before, limit;
  put("old");
  snprintf(want, sizeof want,
           "cannot write %s: File too large; the system limits the size of files", path);
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
  limit = before;
  limit.rlim_cur = 100000;
  signal(SIGXFSZ, SIG_IGN);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);

  tx_writer *writer = open_writer(); /* found when the buffer is handed over, at commit */
  assert_int_equal(tx_writer_add(writer, piece, 200000, &error), TX_OK);
  tx_status late = tx_writer_commit(writer, &error);

  tx_error early_error = {0}, again = {0}; /* found by an add: commit must not forget it */
  writer = open_writer();
  tx_status early = tx_writer_add(writer, piece, sizeof piece, &early_error);
  tx_status small = tx_writer_add(writer, piece, 10, &again);
  tx_status commit = tx_writer_commit(writer, &again);

  assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
  signal(SIGXFSZ, SIG_DFL);
  assert_int_equal(late, TX_ERROR_SYSTEM);
  assert_string_equal(error.message, want);
  assert_int_equal(early, TX_ERROR_SYSTEM);
  assert_string_equal(early_error.message, want);
  assert_int_equal(small, TX_OK); /* buffered */
  assert_int_equal(commit, TX_ERROR_SYSTEM);
  assert_string_equal(again.message, want);
  expect("old");
  assert_int_equal(list(hidden), 1);
}

/* A directory that took the name after the writer was opened. */
static void test_failed_rename_removes_the_temporary_file(void **state) {
  (void)state;
  char want[512], hidden[256];
  tx_error error = {0};
  unlink(path);
  tx_writer *writer = open_writer();
  add(writer, "new");
  assert_int_equal(mkdir(path, 0700), 0);
  assert_int_equal(tx_writer_commit(writer, &error), TX_ERROR_SYSTEM);
  snprintf(want, sizeof want, "cannot write %s: Is a directory; name a regular file", path);
  assert_string_equal(error.message, want);
  assert_int_equal(list(hidden), 1);
  assert_int_equal(rmdir(path), 0);
}

/* ---- what dead writers leave ------------------------------------------- */

static void touch(const char *name) {
  char place[256];
  snprintf(place, sizeof place, "%s/%s", directory, name);
  FILE *file = fopen(place, "wb");
  assert_non_null(file);
  fputs("half", file);
  fclose(file);
}

static bool is_there(const char *name) {
  char place[256];
  struct stat facts;
  snprintf(place, sizeof place, "%s/%s", directory, name);
  return lstat(place, &facts) == 0;
}

static void forget(const char *name) {
  char place[256];
  snprintf(place, sizeof place, "%s/%s", directory, name);
  assert_int_equal(unlink(place), 0);
}

/* A process that dies in the middle of writing. */
static void kill_a_writer(void) {
  pid_t child = fork();
  if (child == 0) {
    tx_error error = {0};
    tx_writer *writer;
    static const unsigned char piece[300000];
    if (tx_writer_open(path, &writer, &error) != TX_OK) _exit(1);
    if (tx_writer_add(writer, piece, sizeof piece, &error) != TX_OK) _exit(1);
    raise(SIGKILL);
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void test_dead_writers_leave_nothing_for_long(void **state) {
  (void)state;
  char hidden[256];
  put("old");
  kill_a_writer();
  assert_int_equal(list(hidden), 2);
  tx_writer *living = open_writer(); /* removes the dead one's */
  assert_int_equal(list(hidden), 2);
  kill_a_writer(); /* another process leaves the living one's alone */
  assert_int_equal(list(hidden), 3);
  tx_writer *second = open_writer();
  assert_int_equal(list(hidden), 3);
  add(living, "first");
  add(second, "second");
  tx_error error = {0};
  assert_int_equal(tx_writer_commit(living, &error), TX_OK);
  tx_writer_cancel(second);
  expect("first");
  assert_int_equal(list(hidden), 1);
}

static void test_only_abandoned_temporary_files_are_removed(void **state) {
  (void)state;
  static const char *const others[] = {
      ".model.bin.backup.tmp",        ".model.bin.taxon-abcdef.tmp~", ".other.taxon-abcdef.tmp",
      ".model.bin.taxon-ABCDEF.tmp",  ".model.bin.taxon-abcdef.bak",  ".model.bin.taxon-abcde.tmp",
      ".model.bin.taxon-abc99f.tmp"};
  char place[256], hidden[256];
  struct stat facts;
  put("old");
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) touch(others[i]);
  touch(".model.bin.taxon-abcdef.tmp");
  snprintf(place, sizeof place, "%s/.model.bin.taxon-zzzzzz.tmp", directory);
  assert_int_equal(symlink("model.bin", place), 0);
  snprintf(place, sizeof place, "%s/.model.bin.taxon-yyyyyy.tmp", directory);
  assert_int_equal(mkfifo(place, 0600), 0);
  touch(".model.bin.taxon-nobody.tmp");
  snprintf(place, sizeof place, "%s/.model.bin.taxon-nobody.tmp", directory);
  bool foreign = chown(place, 65534, (gid_t)-1) == 0 && stat(place, &facts) == 0 &&
                 facts.st_uid != geteuid();
  tx_writer_cancel(open_writer());
  assert_false(is_there(".model.bin.taxon-abcdef.tmp"));
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    if (!is_there(others[i])) fail_msg("%s was removed", others[i]);
    forget(others[i]);
  }
  forget(".model.bin.taxon-zzzzzz.tmp");
  forget(".model.bin.taxon-yyyyyy.tmp");
  assert_true(is_there(".model.bin.taxon-nobody.tmp") == foreign);
  if (foreign) forget(".model.bin.taxon-nobody.tmp");
  expect("old");
  assert_int_equal(list(hidden), 1);
}

/* Many processes that write one name at once, some of them killed: whole files
 * only, and no writer is robbed of its temporary file. */
static void test_writers_at_once(void **state) {
  (void)state;
  enum { WRITERS = 6, ROUNDS = 20, SIZE = 300000 };
  pid_t children[WRITERS];
  char hidden[256];
  put("old");
  for (int i = 0; i < WRITERS; i++) {
    children[i] = fork();
    if (children[i] != 0) continue;
    static unsigned char piece[SIZE];
    memset(piece, 'a' + i, sizeof piece);
    for (int round = 0; round < ROUNDS; round++) {
      tx_error error = {0};
      tx_writer *writer;
      if (tx_writer_open(path, &writer, &error) != TX_OK) _exit(1);
      if (tx_writer_add(writer, piece, sizeof piece, &error) != TX_OK) _exit(2);
      if (i == 0 && round == ROUNDS / 2) raise(SIGKILL);
      if (tx_writer_commit(writer, &error) != TX_OK) _exit(3);
    }
    _exit(0);
  }
  for (int i = 0; i < WRITERS; i++) {
    int status;
    assert_int_equal(waitpid(children[i], &status, 0), children[i]);
    if (i > 0 && status != 0) fail_msg("writer %d ended with %d", i, WEXITSTATUS(status));
  }
  tx_map map;
  tx_error error = {0};
  assert_int_equal(tx_map_open(path, &map, &error), TX_OK);
  assert_int_equal(map.size, SIZE);
  for (uint64_t i = 1; i < map.size; i++) assert_int_equal(map.data[i], map.data[0]);
  tx_map_close(&map);
  tx_writer_cancel(open_writer());
  assert_int_equal(list(hidden), 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_maps_regular_files),
      cmocka_unit_test(test_refuses_to_map_anything_else),
      cmocka_unit_test(test_appears_whole_at_commit),
      cmocka_unit_test(test_cancel_leaves_the_old_file),
      cmocka_unit_test(test_keeps_the_order_of_large_pieces),
      cmocka_unit_test(test_two_writers_of_one_file),
      cmocka_unit_test(test_link_stays_a_link),
      cmocka_unit_test(test_refuses_to_write_elsewhere),
      cmocka_unit_test(test_failed_write_leaves_the_old_file),
      cmocka_unit_test(test_failed_rename_removes_the_temporary_file),
      cmocka_unit_test(test_dead_writers_leave_nothing_for_long),
      cmocka_unit_test(test_only_abandoned_temporary_files_are_removed),
      cmocka_unit_test(test_writers_at_once),
  };
  return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
