/* Every allocation and every call to the system that reading, writing, listing,
 * unpacking and starting a program make fails once, in turn, for several
 * reasons: a sentence, or the work done another way; no block, no descriptor and
 * no half-written file is left. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <archive.h>
#include <archive_entry.h>
#include <cmocka.h>

#define FAILING_SYSTEM
#include "failing.h"
#include "formats/directory.h"
#include "formats/file.h"
#include "formats/gguf_write.h"
#include "formats/process.h"
#include "formats/stream.h"
#include "formats/unpack.h"
#include "tasks/made.h"

static tx_error job_error;

#ifdef FAILING_WORKS
/* libarchive crashes where some of its own allocations fail; what it would say
 * of the others is said here. */
FAILING_CALL_(struct archive *, archive_read_new, (void), (), NULL, ENOMEM)
FAILING_CALL_(int, archive_read_support_format_zip, (struct archive * a), (a), ARCHIVE_FATAL,
              ENOMEM)
FAILING_CALL_(int, archive_read_support_format_tar, (struct archive * a), (a), ARCHIVE_FATAL,
              ENOMEM)
FAILING_CALL_(int, archive_read_support_filter_gzip, (struct archive * a), (a), ARCHIVE_FATAL,
              ENOMEM)
FAILING_CALL_(int, archive_errno, (struct archive * a), (a), ENOMEM, errno)
FAILING_CALL_(const char *, archive_error_string, (struct archive * a), (a), NULL, errno)
FAILING_CALL_(const char *, archive_entry_pathname, (struct archive_entry * e), (e), NULL, errno)
FAILING_CALL_(int, archive_read_next_header, (struct archive * a, struct archive_entry **e), (a, e),
              ARCHIVE_FATAL, errno)
#endif

/* ---- the jobs -------------------------------------------------------------- */

/* TX_TRY for what returns a status as an int. */
#define TRY(call)                                   \
  do {                                              \
    tx_status status_ = (call);                     \
    if (status_ != TX_OK) return (int)status_;      \
  } while (0)

static unsigned char piece[300000];

static int write_file(void *context) {
  (void)context;
  tx_writer *writer;
  TRY(tx_writer_open(made("out/file"), &writer, &job_error));
  tx_status status = tx_writer_add(writer, piece, 1000, &job_error);
  if (status == TX_OK) status = tx_writer_add(writer, piece, sizeof piece, &job_error);
  if (status == TX_OK) status = tx_writer_add(writer, piece, 10, &job_error);
  if (status == TX_OK) return (int)tx_writer_commit(writer, &job_error);
  tx_writer_cancel(writer);
  return (int)status;
}

/* Beside what a killed run left behind. */
static int write_beside(void *context) {
  int64_t kept = failing_at;
  failing_at = 0;
  write_text(made("out/.file.taxon-abcdef.tmp"), "left");
  failing_at = kept;
  int status = write_file(context);
  unlink(made("out/.file.taxon-abcdef.tmp"));
  return status;
}

static int write_link(void *context) {
  (void)context;
  tx_writer *writer;
  TRY(tx_writer_open(made("out/link"), &writer, &job_error));
  return (int)tx_writer_commit(writer, &job_error);
}

static int write_gguf(void *context) {
  (void)context;
  tx_gguf_writer *writer = tx_gguf_writer_new();
  if (!writer) return (int)tx_fail_memory(&job_error, 1, "a writer");
  tx_gguf_add_int(writer, "int", 1);
  tx_gguf_add_bool(writer, "bool", true);
  tx_gguf_add_float(writer, "float", 1);
  tx_gguf_add_string(writer, "string", tx_text_of("s"));
  tx_gguf_add_strings(writer, "strings", (const tx_text[]){{"a", 1}, {"bc", 2}}, 2);
  tx_gguf_add_ints(writer, "ints", (const int64_t[]){1, 2}, 2);
  tx_gguf_add_floats(writer, "floats", (const double[]){1, 2}, 2);
  tx_gguf_add_tensor(writer, "t", TX_TENSOR_F32, 1, (const int64_t[]){70000}, piece);
  tx_gguf_add_tensor(writer, "u", TX_TENSOR_F16, 1, (const int64_t[]){3}, piece);
  tx_status status = tx_gguf_commit(writer, made("out/file"), &job_error);
  tx_gguf_writer_free(writer);
  return (int)status;
}

/* A header larger than the writer's buffer: by its keys, or by its tensors. */
static int write_large_header(void *context) {
  bool keys = strcmp(context, "keys") == 0;
  tx_gguf_writer *writer = tx_gguf_writer_new();
  if (!writer) return (int)tx_fail_memory(&job_error, 1, "a writer");
  if (keys) {
    tx_gguf_add_string(writer, "k", (tx_text){(const char *)piece, sizeof piece});
    tx_gguf_add_string(writer, "l", (tx_text){(const char *)piece, sizeof piece});
  }
  for (int i = 0; i < (keys ? 1 : 2600); i++) {
    char name[64];
    snprintf(name, sizeof name, "%058d", i);
    tx_gguf_add_tensor(writer, name, TX_TENSOR_F32, 4, (const int64_t[]){1, 1, 1, 1}, piece);
  }
  tx_status status = tx_gguf_commit(writer, made("out/file"), &job_error);
  tx_gguf_writer_free(writer);
  return (int)status;
}

static int map_file(void *context) {
  (void)context;
  tx_map map;
  TRY(tx_map_open(made("in"), &map, &job_error));
  tx_map_close(&map);
  return TX_OK;
}

static int map_scratch(void *context) {
  (void)context;
  void *memory;
  TRY(tx_scratch_map(made("out"), 8192, &memory, &job_error));
  ((char *)memory)[8191] = 1;
  tx_pages_free(memory, 8192);
  return TX_OK;
}

static int read_stream(void *context) {
  (void)context;
  tx_stream *stream;
  char bytes[10];
  size_t got;
  TRY(tx_stream_open(made("in"), &stream, &job_error));
  tx_status status = tx_stream_read(stream, bytes, sizeof bytes, &got, &job_error);
  tx_stream_close(stream);
  return (int)status;
}

static int list_directory(void *context) {
  (void)context;
  char **names;
  size_t count;
  tx_arena *arena = tx_arena_new();
  if (!arena) return (int)tx_fail_memory(&job_error, 1, "names");
  tx_status status = tx_directory_names(made("many"), arena, &names, &count, &job_error);
  if (status == TX_OK && count && failing_at) assert_int_equal(count, 30);
  tx_arena_free(arena);
  return (int)status;
}

static int make_directories(void *context) {
  (void)context;
  char path[TX_PATH_SIZE];
  int64_t kept;
  tx_status status = tx_directory_make(made("new/a/b"), &job_error);
  if (status == TX_OK) status = tx_directory_temporary(made("new"), path, &job_error);
  if (status == TX_OK) status = tx_directory_temporary(made("new/a"), path, &job_error);
  if (status == TX_OK) status = tx_file_move(path, made("new/c"), &job_error);
  (void)tx_directory_bytes(made("new"));
  tx_directory_remove(made("new"));
  kept = failing_at, failing_at = 0; /* what could not be removed */
  tx_directory_remove(made("new"));
  failing_at = kept;
  return (int)status;
}

static int run_program(void *context) {
  (void)context;
  static const char *const arguments[] = {"sh", "-c", "echo \"$ONE\" >&2; exit 3", NULL};
  static const char *const environment[] = {"ONE=1", "PATH=/usr/bin:/bin", NULL};
  tx_process process = {arguments, environment, NULL, NULL};
  tx_buffer complaint = {0};
  int code = -1;
  tx_status status = tx_process_run(&process, &code, &complaint, &job_error);
  tx_buffer_free(&complaint);
  /* Where reading its complaint fails, or it looks as if it were not there, it is no failure. */
  if (status == TX_OK) assert_true(code == 3 || code == TX_PROCESS_MISSING);
  return (int)status;
}

static int unpack_member(void *context) {
  tx_unpack *unpack;
  tx_buffer bytes = {0};
  TRY(tx_unpack_open(made(context), "b/inner.txt", &unpack, &job_error));
  tx_status status = tx_unpack_all(unpack, 1 << 20, &bytes, &job_error);
  if (status == TX_OK) assert_int_equal(bytes.size, 70000);
  tx_unpack_close(unpack);
  tx_buffer_free(&bytes);
  return (int)status;
}

/* ---- the check --------------------------------------------------------------- */

#ifdef FAILING_WORKS

typedef struct watched {
  int (*job)(void *context);
  void *context;
  int64_t blocks;
  int descriptor; /* the lowest that is free */
  size_t names;   /* in out/ */
  int refusals;
} watched;

static int free_descriptor(void) {
  int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
  close(file);
  return file;
}

static int run_watched(void *context) {
  watched *w = context;
  job_error = (tx_error){0};
  w->blocks = failing_blocks;
  return w->job(w->context);
}

static void check_run(void *context, int64_t call, bool failed, int result) {
  watched *w = context;
  (void)failed;
  bool known = result == TX_OK || result == TX_ERROR_SYSTEM || result == TX_ERROR_INPUT ||
               result == TX_ERROR_INTERRUPTED;
  bool told = result == TX_OK || ((int)job_error.status == result && job_error.message[0]);
  bool kept = failing_blocks == w->blocks && free_descriptor() == w->descriptor &&
              made_names(made("out")) <= w->names;
  w->refusals += result != TX_OK;
  if (known && told && kept && (failed || result == TX_OK)) return;
  fail_msg("call %ld, %s: status %d '%s', %ld blocks lost, descriptor %d", (long)call,
           strerror(failing_code), result, job_error.message, (long)(failing_blocks - w->blocks),
           free_descriptor());
}

/* The first `reasons` reasons in turn; at least `refusals` of them must have been told. */
static void fail_each(int (*job)(void *context), const char *name, size_t reasons, int64_t calls,
                      int refusals) {
  static const int codes[] = {EIO,   EINTR,  ENOENT,  EACCES, ENOSPC, 0,     EDQUOT,
                              EPERM, EROFS,  EFBIG,   EISDIR, ENOTDIR, ELOOP, ENXIO,
                              ENAMETOOLONG,  EAGAIN,  EEXIST, ENOMEM,  EINVAL};
  watched w = {.job = job, .context = (void *)(uintptr_t)name};
  run_watched(&w); /* so that nothing is set up for the first time */
  run_watched(&w);
  for (size_t i = 0; i < sizeof codes / sizeof *codes && i < reasons; i++) {
    failing_code = codes[i];
    w.descriptor = free_descriptor();
    w.names = made_names(made("out"));
    int64_t made = failing_each(run_watched, check_run, &w);
    if (made < calls) fail_msg("only %ld calls", (long)made);
  }
  failing_code = EIO;
  if (w.refusals < refusals) fail_msg("only %d refusals", w.refusals);
}

#else /* the jobs are done, and nothing fails */

static void fail_each(int (*job)(void *context), const char *name, size_t reasons, int64_t calls,
                      int refusals) {
  (void)reasons, (void)calls, (void)refusals;
  job_error = (tx_error){0};
  assert_int_equal(job((void *)(uintptr_t)name), TX_OK);
}

#endif

static void test_writing(void **state) {
  (void)state;
  fail_each(write_file, NULL, 99, 15, 150);
  fail_each(write_beside, NULL, 99, 18, 150);
  fail_each(write_link, NULL, 99, 10, 100);
  fail_each(write_gguf, NULL, 99, 20, 200);
  fail_each(write_large_header, "keys", 2, 20, 30);
  fail_each(write_large_header, "tensors", 1, 20, 20);
}

static void test_reading(void **state) {
  (void)state;
  fail_each(map_file, NULL, 99, 3, 50);
  fail_each(map_scratch, NULL, 99, 3, 30);
  fail_each(read_stream, NULL, 99, 5, 60);
}

static void test_directories(void **state) {
  (void)state;
  fail_each(list_directory, NULL, 99, 5, 50);
  fail_each(make_directories, NULL, 99, 10, 50);
}

static void test_programs(void **state) {
  (void)state;
  fail_each(run_program, NULL, 4, 8, 30);
}

static void test_archives(void **state) {
  (void)state;
  failing_own_only = true;
  fail_each(unpack_member, "a.zip", 6, 7, 30);
  fail_each(unpack_member, "a.tgz", 6, 7, 30);
  failing_own_only = false;
}

/* ---- without a failing call -------------------------------------------------------- */

static void test_long_names(void **state) {
  (void)state;
  static char name[5000], path[TX_PATH_SIZE];
  memset(name, 'd', sizeof name - 1);
  tx_writer *writer;
  void *memory;
  MADE_FAILS(tx_path_join(path, name, "f", error), TX_ERROR_ARGUMENT,
             "is too long; choose a shorter one");
  MADE_FAILS(tx_directory_make(name, error), TX_ERROR_ARGUMENT, "is no name for a directory");
  MADE_FAILS(tx_directory_make("", error), TX_ERROR_ARGUMENT, "'' is no name for a directory");
  MADE_FAILS(tx_directory_temporary(name, path, error), TX_ERROR_ARGUMENT, "is too long");
  MADE_FAILS(tx_scratch_map(name, 10, &memory, error), TX_ERROR_SYSTEM,
             "ddd...ddd"); /* reason and advice still have room */
  MADE_FAILS(tx_scratch_map(name, 10, &memory, error), TX_ERROR_SYSTEM,
             "ddd is too long; choose a shorter one");
  name[300] = '/'; /* a directory part that is short, and one that is not */
  MADE_FAILS(tx_writer_open(name, &writer, error), TX_ERROR_SYSTEM, "cannot write dddd");
  MADE_FAILS(tx_writer_open(name, &writer, error), TX_ERROR_SYSTEM,
             "ddd: File name too long; choose a shorter name");
  name[300] = 'd', name[4900] = '/';
  MADE_FAILS(tx_writer_open(name, &writer, error), TX_ERROR_SYSTEM, "cannot write dddd");
  MADE_OK(tx_path_join(path, "", "f", error));
  assert_string_equal(path, "/f");
  MADE_OK(tx_path_join(path, "/", "f", error));
  assert_string_equal(path, "/f");
  MADE_OK(tx_path_join(path, "a", "f", error));
  assert_string_equal(path, "a/f");
}

static void test_what_is_no_directory(void **state) {
  (void)state;
  tx_writer *writer;
  MADE_FAILS(tx_directory_make(made("in"), error), TX_ERROR_SYSTEM,
             "is not a directory; choose another name");
  MADE_FAILS(tx_directory_make(made("in/a"), error), TX_ERROR_SYSTEM, "cannot make the directory");
  MADE_OK(tx_directory_make("/", error));
  MADE_OK(tx_directory_make(made("out"), error));
  assert_false(tx_file_same(made("in"), made("none")));
  assert_false(tx_file_same(made("none"), made("in")));
  assert_false(tx_file_same(made("in"), made("out")));
  assert_int_equal(symlink("../in", made("out/same")), 0);
  assert_true(tx_file_same(made("out/same"), made("in")));
  MADE_FAILS(tx_file_move(made("none"), made("out/x"), error), TX_ERROR_SYSTEM, "cannot write");
  /* A link that leads nowhere is replaced by the file. */
  assert_int_equal(symlink("nowhere", made("out/broken")), 0);
  MADE_OK(tx_writer_open(made("out/broken"), &writer, error));
  MADE_OK(tx_writer_commit(writer, error));
  assert_int_equal(unlink(made("out/broken")), 0);
}

/* Deeper than a tree is walked: what lies below stays, and so does all above it. */
static void test_deep_tree(void **state) {
  (void)state;
  char path[400];
  int used = snprintf(path, sizeof path, "%s/deep", made_directory);
  for (int i = 0; i < 70; i++) used += snprintf(path + used, sizeof path - (size_t)used, "/d");
  MADE_OK(tx_directory_make(path, error));
  snprintf(path + used, sizeof path - (size_t)used, "/f");
  write_text(path, "12345");
  write_text(made("deep/f"), "123");
  assert_int_equal(symlink("..", made("deep/up")), 0); /* not followed */
  assert_int_equal(tx_directory_bytes(made("deep")), 3);
  tx_directory_remove(made("deep"));
  assert_int_equal(access(path, F_OK), 0);
  assert_int_not_equal(access(made("deep/f"), F_OK), 0);
  assert_int_equal(chdir(made_directory), 0);
  assert_int_equal(system("rm -rf deep"), 0);
}

static bool until_ready(void *file) { return access(file, F_OK) != 0; }

static void test_stubborn_program(void **state) {
  (void)state;
  char script[300];
  snprintf(script, sizeof script, "trap '' TERM; : > %s; while :; do sleep 1; done",
           made("ready"));
  const char *arguments[] = {"sh", "-c", script, NULL};
  tx_process process = {arguments, NULL, until_ready, (void *)(uintptr_t)made("ready")};
  tx_buffer complaint = {0};
  int code;
  MADE_FAILS(tx_process_run(&process, &code, &complaint, error), TX_ERROR_INTERRUPTED,
             "interrupted while sh ran");
  tx_buffer_free(&complaint);
}

/* Nobody can wait for a child then: it is taken to have ended well. */
static void test_children_ignored(void **state) {
  (void)state;
  static const char *const arguments[] = {"sh", "-c", "exit 3", NULL};
  tx_process process = {arguments, NULL, NULL, NULL};
  tx_buffer complaint = {0};
  int code = -1;
  signal(SIGCHLD, SIG_IGN);
  MADE_OK(tx_process_run(&process, &code, &complaint, error));
  signal(SIGCHLD, SIG_DFL);
  assert_int_equal(code, 0);
  tx_buffer_free(&complaint);
}

/* A directory of the member's name, and a member behind another. */
static void test_members(void **state) {
  (void)state;
  static const char *const archives[] = {"a.zip", "a.tgz", "damaged.tgz"};
  for (int i = 0; i < 3; i++) {
    tx_unpack *unpack;
    MADE_FAILS(tx_unpack_open(made(archives[i]), "b", &unpack, error), TX_ERROR_INPUT,
               i < 2 ? "there is no file b in" : "cannot unpack");
  }
  tx_unpack *unpack;
  MADE_FAILS(tx_unpack_open(made("none.zip"), "b", &unpack, error), TX_ERROR_INPUT,
             "cannot unpack");
  tx_unpack_close(NULL);
}

/* ---- making what the jobs need -------------------------------------------------- */

static int setup(void **state) {
  if (made_setup(state)) return -1;
  char name[40], command[1000];
  mkdir(made("out"), 0700), mkdir(made("many"), 0700);
  for (int i = 0; i < 30; i++) {
    snprintf(name, sizeof name, "many/%d", i);
    write_text(made(name), "x");
  }
  write_text(made("in"), "some bytes");
  write_text(made("out/target"), "old");
  if (symlink("target", made("out/link"))) return -1;
  snprintf(command, sizeof command,
           "cd %s && python3 -c \"import zipfile, tarfile, os; os.mkdir('b'); "
           "open('b/inner.txt', 'w').write('0123456789' * 7000); "
           "z = zipfile.ZipFile('a.zip', 'w', zipfile.ZIP_DEFLATED); z.write('b', 'b'); "
           "z.write('b/inner.txt'); "
           "z.close(); t = tarfile.open('a.tgz', 'w:gz'); t.add('b', recursive=False); "
           "t.add('b/inner.txt'); "
           "t.close(); w = open('a.tgz', 'rb').read(); open('damaged.tgz', 'wb').write(w[:30])\"",
           made_directory);
  return system(command);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_writing),     cmocka_unit_test(test_reading),
      cmocka_unit_test(test_directories), cmocka_unit_test(test_programs),
      cmocka_unit_test(test_archives),    cmocka_unit_test(test_long_names),
      cmocka_unit_test(test_deep_tree),   cmocka_unit_test(test_what_is_no_directory),
      cmocka_unit_test(test_members),     cmocka_unit_test(test_stubborn_program),
      cmocka_unit_test(test_children_ignored),
  };
  return cmocka_run_group_tests(tests, setup, made_teardown);
}
