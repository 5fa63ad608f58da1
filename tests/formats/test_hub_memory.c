/* Every allocation and every call to the system of a pull fails once, in turn:
 * from the hub, from its cache, from a path and from an archive's address; lists,
 * receipts, messages and data sets.  Each failure is told or made good, none
 * loses a block or a descriptor or leaves what is no model under a model's name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <archive.h>
#include <archive_entry.h>
#include <cmocka.h>
#include <openssl/sha.h>
#include <sys/statvfs.h>

#define FAILING_SYSTEM
#include "failing.h"
#include "base/hash.h"
#include "fake_curl.h"
#include "formats/file.h"
#include "formats/gguf_write.h"
#include "formats/hub_parts.h"
#include "formats/partial.h"
#include "formats/table.h"
#include "tasks/made.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"

#ifdef FAILING_WORKS
FAILING_BYTES(pwrite, (int file, const void *data, size_t size, off_t at), (file, data, size, at))
FAILING_BYTES(pread, (int file, void *data, size_t size, off_t at), (file, data, size, at))
FAILING_CALL(ftruncate, (int file, off_t size), (file, size))
FAILING_CALL(statvfs, (const char *path, struct statvfs *disk), (path, disk))
FAILING_CALL_(char *, realpath, (const char *path, char *to), (path, to), NULL, failing_code)
FAILING_CALL_(struct curl_slist *, curl_slist_append, (struct curl_slist * list, const char *line),
              (list, line), NULL, ENOMEM)
/* libarchive crashes where some of its own allocations fail (see test_system.c). */
FAILING_CALL_(int, archive_read_next_header, (struct archive * a, struct archive_entry **e), (a, e),
              ARCHIVE_FATAL, errno)
FAILING_CALL_(la_ssize_t, archive_read_data, (struct archive * a, void *data, size_t size),
              (a, data, size), ARCHIVE_FATAL, errno)
FAILING_CALL_(int, archive_read_open_filename, (struct archive * a, const char *name, size_t size),
              (a, name, size), ARCHIVE_FATAL, errno)
FAILING_CALL_(const char *, archive_entry_pathname, (struct archive_entry * e), (e), NULL, errno)
/* Never seen to fail, but they may by their manual. */
FAILING_CALL_(int, SHA256_Init, (SHA256_CTX * c), (c), 0, errno)
FAILING_CALL_(int, SHA256_Update, (SHA256_CTX * c, const void *data, size_t size), (c, data, size),
              0, errno)
FAILING_CALL_(int, SHA256_Final, (unsigned char *digest, SHA256_CTX *c), (digest, c), 0, errno)
#endif

static tx_error job_error;
static char home[200], top[4096], model_path[200], sha256[65], archive_sha256[65];
static char *model;
static size_t model_size;
static int64_t archive_bytes;
static tx_pulled pulled;

/* Nothing fails between the two. */
static int64_t paused_at, paused_left;
static void pause_failures(void) {
  paused_at = failing_at, paused_left = failing_left;
  failing_at = failing_left = 0;
}
static void go_on(void) { failing_at = paused_at, failing_left = paused_left; }

/* Wanting to stop is a way to fail, too. */
static bool stop_now(void *context) {
  (void)context;
  return failing_now();
}
static void no_note(void *context, const char *sentence) { (void)context, (void)sentence; }
static const tx_watch watch = {.cancelled = stop_now, .note = no_note};

static const char *kept(const char *name) {
  static char path[400];
  snprintf(path, sizeof path, "%s/models/%s", home, name);
  return path;
}

/* What a round made, gone without failures. */
static void forget(const char *name, const char *folder) {
  char command[400];
  pause_failures();
  snprintf(command, sizeof command, "%s/%s", home, folder);
  tx_directory_remove(command);
  unlink(kept(name));
  go_on();
}

/* Whether what has the model's name is the model. */
static void check_kept(const char *name) {
  char hex[65];
  pause_failures();
  if (access(kept(name), F_OK) == 0) {
    assert_int_equal(tx_sha256_file(kept(name), hex, NULL), TX_OK);
    assert_string_equal(hex, sha256);
  }
  go_on();
}

/* ---- pulling ---- */

static char listing[1000];

/* The list; a redirect; a broken connection; the rest. */
static script answers[] = {
    {.status = 200, .headers = "HTTP/1.1 200 OK\r\n"},
    {.status = 302,
     .headers = "HTTP/1.1 302 Found\r\n",
     .next = "https://cdn.invalid/x?Signature=s"},
    {.status = 200, .headers = "HTTP/1.1 200 OK\r\nETag: \"tag\"\r\n", .code = CURLE_RECV_ERROR},
    {.status = 302,
     .headers = "HTTP/1.1 302 Found\r\n",
     .next = "https://cdn.invalid/x?Signature=s"},
    {.status = 206},
};

static int pull_online(void *context) {
  (void)context;
  script_at = 0;
  tx_status status = tx_pull("hf:t/n", home, NULL, &pulled, &watch, &job_error);
  check_kept("n.gguf");
  forget("n.gguf", "models");
  return (int)status;
}

/* A part that an earlier run left, and a receipt of a model that is damaged. */
static int pull_again(void *context) {
  (void)context;
  script_at = 0;
  pause_failures();
  MADE_OK(tx_pull("hf:t/n", home, NULL, &pulled, NULL, error));
  write_text(kept("n.gguf"), "damaged");
  script_at = 0;
  go_on();
  tx_status status = tx_pull("hf:t/n", home, NULL, &pulled, &watch, &job_error);
  if (status == TX_OK) check_kept("n.gguf");
  script_at = 0;
  if (status == TX_OK) status = tx_pull("hf:t/n", home, NULL, &pulled, &watch, &job_error);
  forget("n.gguf", "models");
  return (int)status;
}

static int pull_offline(void *context) {
  setenv("HF_HUB_OFFLINE", "1", 1);
  tx_status status = tx_pull(context, home, NULL, &pulled, &watch, &job_error);
  check_kept("c.gguf");
  if (status == TX_OK) status = tx_pull(context, home, NULL, &pulled, &watch, &job_error);
  unsetenv("HF_HUB_OFFLINE");
  forget("c.gguf", "models");
  return (int)status;
}

static int pull_path(void *context) {
  (void)context;
  char path[4096], hex[65], *json;
  tx_status status = tx_pull(model_path, home, NULL, &pulled, &watch, &job_error);
  check_kept("n.gguf");
  if (status == TX_OK) status = tx_pull(model_path, home, NULL, &pulled, &watch, &job_error);
  if (status == TX_OK) status = tx_model_locate("n", home, path, hex, &job_error);
  if (status == TX_OK) status = tx_models_json(home, &json, &job_error);
  if (status == TX_OK) {
    assert_non_null(strstr(json, "\"name\": \"smollm2-135m\""));
    /* A path that looks as if it were not there is left out, as if removed meanwhile. */
    tx_free_string(json);
  }
  forget("n.gguf", "models");
  return (int)status;
}

static tx_known known = {.name = "n", .license = "mit", .kind = TX_KNOWN_MODEL};

static int pull_known(void *context) {
  (void)context;
  script_at = 0;
  tx_status status = tx_pull_known(&known, home, NULL, &pulled, &watch, &job_error);
  check_kept("n.gguf");
  if (status == TX_OK) status = tx_pull_known(&known, home, NULL, &pulled, &watch, &job_error);
  forget("n.gguf", "models");
  forget("n.gguf", "downloads");
  return (int)status;
}

/* A member of a member of an archive. */
static tx_known feedback = {.name = "data:f", .license = "mit", .kind = TX_KNOWN_SENTIMENT};
static const tx_known *const sets[2] = {&feedback, NULL};

static int pull_set(void *context) {
  char set[300];
  script_at = 0;
  snprintf(set, sizeof set, "%s/set", home);
  const tx_known *one = context ? tx_known_find(context) : sets[0];
  tx_status status = tx_pull_known(one, home, set, &pulled, &watch, &job_error);
  if (status == TX_OK) status = tx_pull_known(one, home, set, &pulled, &watch, &job_error);
  forget("", "set");
  forget("", "downloads");
  return (int)status;
}

/* By pip, which is a script. */
static int pull_pip(void *context) {
  tx_known_source source = {.address = context, .sha256 = archive_sha256, .bytes = archive_bytes};
  char path[TX_PATH_SIZE];
  bool fetched;
  tx_status status = tx_fetch_archive(&source, home, path, &fetched, &watch, &job_error);
  forget("", "downloads");
  return (int)status;
}

static bool reads_nothing(void) {
#ifdef FAILING_WORKS
  return failing_code == 0;
#else
  return false;
#endif
}

/* A part that an earlier run left, gone on with and kept in the directory it is in. */
static int continue_part(void *context) {
  (void)context;
  pause_failures();
  write_text(made("part"), "begun, ");
  assert_int_equal(chdir(made_directory), 0);
  go_on();
  tx_partial *part;
  char hex[65];
  tx_status status = tx_partial_open("part", 100, &part, &watch, &job_error);
  if (status == TX_OK) {
    status = tx_partial_add(part, "ended", 5, &job_error);
    if (status == TX_OK) status = tx_partial_hash(part, hex, &job_error);
    if (status == TX_OK) status = tx_partial_keep(part, "kept", &job_error);
    tx_partial_close(part);
  }
  pause_failures();
  /* A read that gives nothing says that the part has been cut meanwhile. */
  bool cut = status == TX_OK && tx_file_look("kept").bytes == 7;
  if (status == TX_OK && !cut) assert_int_equal(tx_file_look("kept").bytes, 12);
  if (cut) assert_true(reads_nothing());
  unlink("kept");
  assert_int_equal(chdir(top), 0);
  go_on();
  return (int)status;
}

/* ---- reading ---- */

static int read_list(void *context) {
  tx_hub_wish wish = {.repository = "t/n", .revision = "main"};
  tx_hub_listing list;
  size_t index;
  tx_status status = tx_hub_listing_read(tx_text_of(context), &wish, &list, &job_error);
  if (status == TX_OK) {
    assert_int_equal(list.count, 2);
    status = tx_hub_choose(&list, &wish, &index, NULL, &job_error);
    if (status == TX_ERROR_INPUT) { /* as it should be, and the whole sentence */
      assert_null(strstr(job_error.message, "it has: ;"));
      status = TX_OK;
    }
  }
  tx_hub_listing_free(&list);
  if (status == TX_OK) job_error = (tx_error){0};
  return (int)status;
}

static int read_mail(void *context) {
  (void)context;
  static const char mail[] = "Subject: s\nContent-Type: multipart/mixed; boundary=X\n\n--X\n"
                             "Content-Transfer-Encoding: base64\n\nSGVsbG8=\n--X\n"
                             "Content-Type: text/html\n\n<b>x</b>\n--X--\n";
  tx_arena *arena = tx_arena_new();
  tx_text text, subject;
  bool good = arena && tx_mail_text(tx_text_of(mail), arena, &text, &subject);
  if (good) assert_string_equal(text.data, "s Hello x");
  tx_arena_free(arena);
  if (!good) tx_fail_memory(&job_error, sizeof mail, "a message");
  return (int)job_error.status;
}

static int write_set(tx_status status) {
  forget("", "set");
  return (int)status;
}

static int write_mail(void *context) {
  (void)context;
  char set[300];
  snprintf(set, sizeof set, "%s/set", home);
  tx_status status = tx_directory_make(set, &job_error);
  if (status == TX_OK) status = tx_mail_write(made("mail.tgz"), set, &watch, &job_error);
  return write_set(status);
}

static int write_sentiment(void *context) {
  (void)context;
  char set[300];
  snprintf(set, sizeof set, "%s/set", home);
  static const char lines[] = "1_1\t-1\ta\r\n1_2\t1\tb\n\n2_1\t0\tc caf\xe9\n3\t0\td";
  tx_status status = tx_directory_make(set, &job_error);
  for (int i = 0; status == TX_OK && i < 2; i++) { /* the second time it is all there */
    status = tx_sentiment_write(tx_text_of(lines), "lines", set, &job_error);
  }
  return write_set(status);
}

static int write_sms(void *context) {
  (void)context;
  static tx_buffer lines;
  char set[300];
  pause_failures();
  for (int i = 0; lines.size == 0 || i < 5574; i++) {
    if (lines.size && i == 0) break;
    tx_buffer_format(&lines, "%s\ttext %d\n", i < 747 ? "spam" : "ham", i);
  }
  snprintf(set, sizeof set, "%s/set", home);
  MADE_OK(tx_directory_make(set, error));
  go_on();
  return write_set(tx_sms_write((tx_text){lines.data, lines.size}, set, &job_error));
}

static int read_table(void *context) {
  tx_dataset *data;
  tx_status status = tx_dataset_read(made(context), tx_table_defaults(), NULL, &data, &job_error);
  if (status == TX_OK) {
    assert_int_equal(data->rows, 3);
    tx_dataset_free(data);
  }
  return (int)status;
}

/* ---- the check ---- */

#ifdef FAILING_WORKS

typedef struct watched {
  int (*job)(void *context);
  void *context;
  int64_t blocks;
  int descriptor, refusals;
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
  bool known_status = result == TX_OK || result == TX_ERROR_SYSTEM || result == TX_ERROR_INPUT ||
                      result == TX_ERROR_INTERRUPTED || result == TX_ERROR_ARGUMENT;
  bool told = result == TX_OK || ((int)job_error.status == result && job_error.message[0]);
  bool clean = failing_blocks == w->blocks && free_descriptor() == w->descriptor;
  w->refusals += result != TX_OK;
  if (known_status && told && clean && (failed || result == TX_OK)) return;
  fail_msg("call %ld, %s: status %d '%s', %ld blocks lost, descriptor %d not %d", (long)call,
           strerror(failing_code), result, job_error.message, (long)(failing_blocks - w->blocks),
           free_descriptor(), w->descriptor);
}

static void fail_each(int (*job)(void *context), const char *context, size_t reasons, int64_t calls,
                      int refusals) {
  static const int codes[] = {EIO, EINTR, ENOSPC, 0, EFBIG, EACCES, EDQUOT};
  watched w = {.job = job, .context = (void *)(uintptr_t)context};
  for (int i = 0; i < 2; i++) { /* so that nothing is set up for the first time */
    if (run_watched(&w) != TX_OK) fail_msg("%s", job_error.message);
  }
  for (size_t i = 0; i < reasons; i++) {
    failing_code = codes[i];
    w.descriptor = free_descriptor();
    int64_t count = failing_each(run_watched, check_run, &w);
    if (count < calls) fail_msg("only %ld calls", (long)count);
  }
  failing_code = EIO;
  failing_more = 1000000; /* and all calls after it */
  failing_each(run_watched, check_run, &w);
  failing_more = 0;
  if (w.refusals < refusals) fail_msg("only %d refusals", w.refusals);
}

/* Of many calls that are alike, some. */
static void fail_some(int (*job)(void *context), const char *context, int64_t last, int64_t step) {
  watched w = {.job = job, .context = (void *)(uintptr_t)context};
  assert_int_equal(run_watched(&w), TX_OK);
  w.descriptor = free_descriptor();
  for (int64_t call = 1; call < last; call += call < 10 ? 1 : step) {
    failing_at = call;
    int result = run_watched(&w);
    bool failed = failing_at == 0;
    failing_at = failing_left = 0;
    check_run(&w, call, failed, result);
  }
}

#else /* the jobs are done, and nothing fails */

static void fail_each(int (*job)(void *context), const char *context, size_t reasons, int64_t calls,
                      int refusals) {
  (void)reasons, (void)calls, (void)refusals;
  job_error = (tx_error){0};
  assert_int_equal(job((void *)(uintptr_t)context), TX_OK);
}

static void fail_some(int (*job)(void *context), const char *context, int64_t last, int64_t step) {
  (void)last, (void)step;
  fail_each(job, context, 0, 0, 0);
}

#endif

static void test_lists(void **state) {
  (void)state;
#define LIST(one, two)                                                                      \
  "{\"sha\":\"" COMMIT "\",\"cardData\":{\"license\":[\"mit\"]},\"siblings\":[{\"rfilename\":\"" \
  one "\",\"lfs\":{\"size\":5,\"sha256\":\"" COMMIT "0123456789abcdef01234567\"}},"          \
  "{\"rfilename\":\"" two "\",\"size\":1.5}]}"
  fail_each(read_list, LIST("a-q8_0.gguf", "b.gguf"), 1, 10, 3);
  fail_each(read_list, LIST("a.gguf", "b.gguf"), 1, 10, 3);
  fail_each(read_list, LIST("a-00001-of-00002.gguf", "a-00002-of-00002.gguf"), 1, 10, 3);
  fail_each(read_list, LIST("a.safetensors", "b.bin"), 1, 10, 3);
  fail_each(read_list, LIST("a", "b.onnx"), 1, 10, 3);
  fail_each(read_list, LIST("a", "b"), 1, 10, 3);
}

static void test_sets(void **state) {
  (void)state;
  fail_each(read_mail, NULL, 1, 5, 5);
  fail_each(write_sentiment, NULL, 3, 30, 60);
  failing_own_only = true;
  fail_each(write_mail, NULL, 2, 30, 30);
  failing_own_only = false;
  fail_some(write_sms, NULL, 30000, 1700);
}

static void test_hub(void **state) {
  (void)state;
  scripts = answers;
  script_count = sizeof answers / sizeof *answers;
  fail_each(pull_online, NULL, 6, 60, 100);
  fail_each(pull_again, NULL, 1, 60, 50);
}

static void test_tables(void **state) {
  (void)state;
  write_text(made("t.csv"), "label,text\r\na,b\r\nb,\"c\nd\"\r\na,\r\n");
  write_text(made("t.tsv"), "label\ttext\na\tb\nb\tc\na\t\n\n\n");
  write_text(made("t.jsonl"),
             "{\"label\": 1.5, \"text\": 0.1}\n \t\r\n"
             "{\"label\": true, \"text\": \"c\"}\n{\"label\": 2, \"text\": 0.30000000000000004}\n");
  fail_each(read_table, "t.csv", 2, 20, 20);
  fail_each(read_table, "t.tsv", 1, 20, 20);
  failing_own_only = true; /* jansson 2.14 asserts where its memory fails inside a number */
  fail_each(read_table, "t.jsonl", 1, 20, 20);
  failing_own_only = false;
}

static void test_part(void **state) {
  (void)state;
  fail_each(continue_part, NULL, 7, 8, 30);
}

static void test_offline(void **state) {
  (void)state;
  fail_each(pull_offline, "hf:t/c", 2, 30, 30);
  fail_each(pull_offline, "hf:t/c@" COMMIT, 1, 30, 30);
}

static void test_paths(void **state) {
  (void)state;
  fail_each(pull_path, NULL, 3, 50, 100);
}

static void test_archives(void **state) {
  (void)state;
  static script whole = {.status = 200};
  tx_map map;
  MADE_OK(tx_map_open(made("model.tgz"), &map, error));
  whole.body = (const char *)map.data;
  whole.size = (size_t)map.size;
  scripts = &whole;
  script_count = 1;
  known.sources[0] = (tx_known_source){.address = "https://index.invalid/n.tgz!package/n.gguf",
                                       .sha256 = archive_sha256,
                                       .bytes = (int64_t)map.size};
  archive_bytes = (int64_t)map.size;
  known.sha256 = sha256;
  known.bytes = (int64_t)model_size;
  failing_own_only = true;
  fail_each(pull_known, NULL, 3, 50, 100);
  feedback.sources[0] = known.sources[0];
  feedback.sources[0].address = "https://index.invalid/n.tgz!package/inner.tgz!lines.txt";
  fail_each(pull_set, NULL, 1, 50, 50);
  fail_some(pull_pip, "pip:n==1!x", 120, 5); /* each starts a program */
  tx_map_close(&map);
  failing_own_only = false;
}

static int pull_sms(void *context) {
  (void)context;
  return pull_set((void *)(uintptr_t)"data:sms-spam");
}

static void test_sms(void **state) {
  (void)state;
  static script whole = {.status = 200};
  tx_map map;
  MADE_OK(tx_map_open(made("sms.zip"), &map, error));
  whole.body = (const char *)map.data;
  whole.size = (size_t)map.size;
  scripts = &whole;
  script_count = 1;
  failing_own_only = true;
  fail_some(pull_sms, NULL, 120000, 6000);
  failing_own_only = false;
  tx_map_close(&map);
}

/* ---- what the jobs need ---- */

static void make_cache(void) {
  char path[600], target[700];
  static const char *const folders[] = {"hf/hub/models--t--c/blobs", "hf/hub/models--t--c/refs",
                                        "hf/hub/models--t--c/snapshots/" COMMIT "/deep"};
  for (size_t i = 0; i < 3; i++) MADE_OK(tx_directory_make(made(folders[i]), error));
  write_text(made("hf/hub/models--t--c/refs/main"), COMMIT "\n");
  write_text(made("hf/hub/models--t--c/snapshots/" COMMIT "/README.md"), "x");
  write_text(made("hf/hub/models--t--c/snapshots/" COMMIT "/deep/x.json"), "{}");
  snprintf(path, sizeof path, "%s", model_path);
  snprintf(target, sizeof target, "%s/hf/hub/models--t--c/blobs/%s", made_directory, sha256);
  assert_int_equal(link(path, target), 0);
  assert_int_equal(symlink(target, made("hf/hub/models--t--c/snapshots/" COMMIT "/c.gguf")), 0);
}

static int setup(void **state) {
  if (made_setup(state)) return -1;
  static float numbers[20000];
  char command[2500];
  if (!getcwd(top, sizeof top)) return -1;
  snprintf(home, sizeof home, "%s", made("home"));
  snprintf(model_path, sizeof model_path, "%s", made("n.gguf"));
  setenv("HF_HOME", made("hf"), 1);
  setenv("HF_TOKEN", "hf_secret", 1);
  setenv("TAXON_PULL_DELAY", "0", 1);
  unsetenv("HF_ENDPOINT"), unsetenv("HF_HUB_CACHE"), unsetenv("HUGGINGFACE_HUB_CACHE");
  unsetenv("HF_HUB_OFFLINE"), unsetenv("TAXON_HOME");
  tx_gguf_writer *writer = tx_gguf_writer_new();
  tx_gguf_add_string(writer, "general.license", tx_text_of("mit"));
  tx_gguf_add_tensor(writer, "t", TX_TENSOR_F32, 1, (const int64_t[]){20000}, numbers);
  MADE_OK(tx_gguf_commit(writer, model_path, error));
  tx_gguf_writer_free(writer);
  MADE_OK(tx_sha256_file(model_path, sha256, error));
  model_size = (size_t)tx_file_look(model_path).bytes;
  tx_map map;
  MADE_OK(tx_map_open(model_path, &map, error));
  model = (char *)(uintptr_t)map.data; /* for as long as the program runs */
  snprintf(listing, sizeof listing,
           "{\"sha\":\"" COMMIT
           "\",\"cardData\":{\"license\":\"mit\"},\"gguf\":{\"architecture\":\"odd\"},"
           "\"siblings\":[{\"rfilename\":\"n.gguf\",\"lfs\":{\"sha256\":\"%s\",\"size\":%zu}}]}",
           sha256, model_size);
  answers[0].body = listing, answers[0].size = strlen(listing);
  answers[2].body = answers[4].body = model;
  answers[2].size = answers[4].size = model_size;
  answers[2].most = model_size / 2;
  static char range[120];
  snprintf(range, sizeof range, "HTTP/1.1 206 Partial\r\nContent-Range: bytes %zu-%zu/%zu\r\n",
           model_size / 2, model_size - 1, model_size);
  answers[4].headers = range;
  make_cache();
  snprintf(command, sizeof command,
           "cd %s && mkdir -p package/data/spam-1 package/data/easy-ham-1 && cp n.gguf package && "
           "printf '1_1\\t1\\ta\\n2_1\\t-1\\tb\\n' > lines.txt && tar czf package/inner.tgz "
           "lines.txt && tar czf model.tgz package/n.gguf package/inner.tgz && "
           "seq 5574 | awk '{ print ($1 <= 747 ? \"spam\" : \"ham\") \"\\t\" $1 }' > "
           "SMSSpamCollection && "
           "python3 -c \"import zipfile; zipfile.ZipFile('sms.zip', "
           "'w').write('SMSSpamCollection')\" && "
           "mkdir bin && printf '#!/bin/sh\\nwhile [ $# -gt 1 ]; do case $1 in "
           "--dest|--pack-destination) cp %s/model.tgz \"$2\"; exit;; esac; shift; done\\n' > "
           "bin/python3 && chmod +x bin/python3 && cp bin/python3 bin/npm && "
           "printf 'Subject: Re: a\\n\\nbuy' > package/data/spam-1/1.txt && "
           "printf '\\nno subject' > package/data/easy-ham-1/2.txt && "
           "tar czf mail.tgz package/data",
           made_directory, made_directory);
  if (system(command)) return -1;
  MADE_OK(tx_sha256_file(made("model.tgz"), archive_sha256, error));
  char places[4200];
  snprintf(places, sizeof places, "%s:%s", made("bin"), getenv("PATH"));
  setenv("PATH", places, 1);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_lists),   cmocka_unit_test(test_sets),  cmocka_unit_test(test_hub),
      cmocka_unit_test(test_offline), cmocka_unit_test(test_paths), cmocka_unit_test(test_archives),
      cmocka_unit_test(test_tables),  cmocka_unit_test(test_part),
      cmocka_unit_test(test_sms),
  };
  return cmocka_run_group_tests(tests, setup, made_teardown);
}
