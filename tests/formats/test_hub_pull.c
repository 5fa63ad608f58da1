/* Pulling from the hub, against a server that speaks its protocol and breaks it
 * in every way (tests/tools/hub_server.py); skipped where there is no python3. */
#include <dlfcn.h>
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
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/hash.h"
#include "base/memory.h"
#include "formats/gguf_write.h"
#include "formats/http.h"
#include "formats/hub_parts.h"
#include "formats/partial.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"

static char folder[64], model_sha256[65], endpoint[64];
static int ports[3], server_input = -1;
static pid_t server;
static int64_t model_bytes;

/* What the disk has beyond what taxon leaves free; -1: what it says itself. */
static int64_t room = -1;
int statvfs(const char *path, struct statvfs *disk) {
  int (*real)(const char *, struct statvfs *);
  *(void **)&real = dlsym(RTLD_NEXT, "statvfs");
  if (room < 0) return real(path, disk);
  *disk = (struct statvfs){.f_frsize = 1, .f_blocks = 1 << 30};
  disk->f_bavail = (fsblkcnt_t)(room + (16 << 20));
  return 0;
}

static const char *path_of(const char *name) {
  static char paths[8][800];
  static int turn;
  char *path = paths[turn++ % 8];
  snprintf(path, sizeof paths[0], "%s/%s", folder, name);
  return path;
}

static bool is_there(const char *name) { return access(path_of(name), F_OK) == 0; }

static void write_file(const char *name, const void *bytes, size_t size) {
  FILE *file = fopen(path_of(name), "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(bytes, 1, size, file), size);
  fclose(file);
}

static char *read_file(const char *name, size_t *size) {
  static char bytes[1 << 20];
  FILE *file = fopen(path_of(name), "rb");
  if (!file) return NULL;
  *size = fread(bytes, 1, sizeof bytes - 1, file);
  fclose(file);
  bytes[*size] = '\0';
  return bytes;
}

/* With the folder's name taken out, and the server's address. */
static const char *plain(const char *sentence) {
  static char out[2000];
  size_t used = 0;
  for (const char *at = sentence; *at && used < sizeof out - 9;) {
    if (strncmp(at, folder, strlen(folder)) == 0) {
      at += strlen(folder) + 1;
    } else if (*endpoint && strncmp(at, endpoint, strlen(endpoint)) == 0) {
      memcpy(out + used, "ENDPOINT", 8);
      used += 8;
      at += strlen(endpoint);
    } else {
      out[used++] = *at++;
    }
  }
  out[used] = '\0';
  return out;
}

/* ---- the server ---- */

/* A certificate that nobody has signed, with its key. */
static void write_certificate(const char *name) {
  EVP_PKEY *key = EVP_EC_gen("P-256");
  X509 *certificate = X509_new();
  assert_non_null(key);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
  X509_set_pubkey(certificate, key);
  X509_NAME *subject = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)"127.0.0.1", -1,
                             -1, 0);
  X509_set_issuer_name(certificate, subject);
  assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
  FILE *file = fopen(path_of(name), "wb");
  assert_true(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL));
  assert_true(PEM_write_X509(file, certificate));
  fclose(file);
  X509_free(certificate);
  EVP_PKEY_free(key);
}

static void start_server(void) {
  int in[2], out[2];
  char line[100] = "";
  assert_int_equal(pipe(in) | pipe(out), 0);
  server = fork();
  if (server == 0) {
    dup2(in[0], 0);
    dup2(out[1], 1);
    close(in[1]);
    close(out[0]);
    execlp("python3", "python3", "tests/tools/hub_server.py", path_of("model.gguf"),
           path_of("tls.pem"), (char *)NULL);
    _exit(127);
  }
  close(in[0]);
  close(out[1]);
  server_input = in[1];
  FILE *ready = fdopen(out[0], "r");
  if (fgets(line, sizeof line, ready)) sscanf(line, "%d %d %d", &ports[0], &ports[1], &ports[2]);
  fclose(ready);
}

static void set_environment(void) {
  static const char *const gone[] = {
      "HF_TOKEN",       "HF_HUB_CACHE",  "HUGGINGFACE_HUB_CACHE",
      "HF_HUB_OFFLINE", "HF_TOKEN_PATH", "http_proxy",
      "HTTP_PROXY",     "all_proxy",     "ALL_PROXY",
      "no_proxy",       "NO_PROXY",      "HF_HUB_DISABLE_IMPLICIT_TOKEN"};
  for (size_t i = 0; i < sizeof gone / sizeof *gone; i++) unsetenv(gone[i]);
  setenv("HF_ENDPOINT", endpoint, 1);
  setenv("HF_HOME", path_of("hf"), 1);
  setenv("HF_HUB_DOWNLOAD_TIMEOUT", "60", 1);
  setenv("TAXON_PULL_TRIES", "3", 1);
  setenv("TAXON_PULL_DELAY", "1", 1);
}

static void write_model(const char *name) {
  static float numbers[100000];
  tx_error error = {0};
  tx_gguf_writer *writer = tx_gguf_writer_new();
  tx_gguf_add_string(writer, "general.architecture", tx_text_of("llama"));
  tx_gguf_add_string(writer, "general.license", tx_text_of("of-the-file"));
  for (int i = 0; i < 100000; i++) numbers[i] = (float)(i % 1013);
  int64_t shape = 100000;
  tx_gguf_add_tensor(writer, "t", TX_TENSOR_F32, 1, &shape, numbers);
  assert_int_equal(tx_gguf_commit(writer, path_of(name), &error), TX_OK);
  tx_gguf_writer_free(writer);
}

static int prepare(void **state) {
  (void)state;
  strcpy(folder, "/tmp/taxon-test-XXXXXX");
  if (!mkdtemp(folder)) return -1;
  write_model("model.gguf");
  write_certificate("tls.pem");
  model_bytes = tx_file_look(path_of("model.gguf")).bytes;
  assert_int_equal(tx_sha256_file(path_of("model.gguf"), model_sha256, NULL), TX_OK);
  signal(SIGPIPE, SIG_IGN);
  start_server();
  snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%d", ports[0]);
  return 0;
}

static int clean(void **state) {
  (void)state;
  close(server_input);
  if (server > 0) {
    kill(server, SIGTERM);
    waitpid(server, NULL, 0);
  }
  char command[128];
  snprintf(command, sizeof command, "rm -rf %s", folder);
  return system(command);
}

static int begin(void **state) {
  (void)state;
  room = -1;
  set_environment();
  return 0;
}

static void need_server(void) {
  if (!ports[0]) skip();
}

/* What was asked of the server for hf:t/NAME. */
static const char *stats(const char *kind, const char *name) {
  static char text[4096];
  char url[200];
  tx_buffer bytes = {0};
  tx_error error = {0};
  snprintf(url, sizeof url, "%s/%s/%s", endpoint, kind, name);
  tx_http_request request = {.url = url, .plain = true, .rules = tx_http_rules_defaults()};
  assert_int_equal(tx_http_get_bytes(&request, 1 << 16, &bytes, NULL, &error), TX_OK);
  snprintf(text, sizeof text, "%s", bytes.data ? bytes.data : "");
  tx_buffer_free(&bytes);
  return text;
}

static int64_t stat_of(const char *name, const char *key) {
  const char *at = strstr(stats("stats", name), key);
  assert_non_null(at);
  return atoll(at + strlen(key) + 1);
}

/* ---- pulling ---- */

static char notes[4096];
static void keep_note(void *context, const char *sentence) {
  (void)context;
  size_t used = strlen(notes);
  snprintf(notes + used, sizeof notes - used, "%s\n", plain(sentence));
}

static int64_t reported, report_total;
static void keep_report(void *context, const char *stage, int64_t done, int64_t total,
                        const char *unit) {
  (void)context, (void)stage;
  assert_string_equal(unit, "bytes");
  assert_true(total == 0 || done <= total);
  reported = done;
  report_total = total;
}

static tx_status pull(const char *name, const char *home, tx_pulled *pulled, tx_error *error) {
  char what[700];
  snprintf(what, sizeof what, "hf:t/%s", name);
  tx_watch watch = {.report = keep_report, .note = keep_note};
  notes[0] = '\0';
  *error = (tx_error){0};
  tx_status status = tx_pull(what, path_of(home), NULL, pulled, &watch, error);
  assert_int_equal(status, error->status);
  assert_null(strstr(notes, "hf_secret"));
  assert_null(strstr(error->message, "hf_secret"));
  assert_null(strstr(error->message, "Signature"));
  return status;
}

static void expect_good(const char *name, const char *home) {
  tx_pulled pulled;
  tx_error error;
  char sha256[65], path[300];
  if (pull(name, home, &pulled, &error) != TX_OK) fail_msg("%s: %s", name, error.message);
  assert_true(pulled.fetched);
  assert_string_equal(pulled.name, name);
  assert_string_equal(pulled.sha256, model_sha256);
  assert_int_equal(pulled.bytes, model_bytes);
  snprintf(path, sizeof path, "%s/models/%s.gguf", home, name);
  assert_string_equal(pulled.path, path_of(path));
  assert_int_equal(tx_sha256_file(pulled.path, sha256, &error), TX_OK);
  assert_string_equal(sha256, model_sha256);
  snprintf(path, sizeof path, "hf:t/%s@" COMMIT "/%s.gguf", name, name);
  assert_string_equal(pulled.source, path);
}

static void expect_bad(const char *name, tx_status status, const char *sentence) {
  tx_pulled pulled;
  tx_error error;
  char path[300];
  assert_int_equal(pull(name, "bad", &pulled, &error), status);
  assert_string_equal(plain(error.message), sentence);
  snprintf(path, sizeof path, "bad/models/%.200s.gguf", name);
  assert_false(is_there(path));
}

/* The one partial file of a model, or NULL. */
static const char *part_of(const char *home, const char *name) {
  static char found[600];
  char downloads[300], **names;
  size_t count;
  tx_arena *arena = tx_arena_new();
  snprintf(downloads, sizeof downloads, "%s/downloads", home);
  found[0] = '\0';
  assert_int_equal(tx_directory_names(path_of(downloads), arena, &names, &count, NULL), TX_OK);
  for (size_t i = 0; i < count; i++) {
    size_t size = strlen(name);
    if (strncmp(names[i], name, size) == 0 && names[i][size] == '-') {
      snprintf(found, sizeof found, "%s/%s", downloads, names[i]);
    }
  }
  tx_arena_free(arena);
  return found[0] ? found : NULL;
}

static void test_plain(void **state) {
  (void)state;
  need_server();
  tx_pulled pulled;
  tx_error error;
  char path[4096], sha256[65];
  expect_good("plain", "home");
  assert_int_equal(reported, model_bytes);
  assert_int_equal(report_total, model_bytes);
  assert_string_equal(notes, "");
  assert_null(part_of("home", "plain"));
  assert_int_equal(tx_model_locate("plain", path_of("home"), path, sha256, &error), TX_OK);
  assert_string_equal(sha256, model_sha256);

  /* Here already: only the list is asked for. */
  assert_int_equal(pull("plain@main/plain.gguf", "home", &pulled, &error), TX_OK);
  assert_false(pulled.fetched);
  assert_string_equal(pulled.license, "mit");
  assert_int_equal(stat_of("plain", "gets"), 1);
  assert_int_equal(stat_of("plain", "lists"), 2);

  /* A lost receipt is written again; a damaged file is fetched again. */
  unlink(path_of("home/models/plain.json"));
  assert_int_equal(pull("plain", "home", &pulled, &error), TX_OK);
  assert_true(is_there("home/models/plain.json"));
  write_file("home/models/plain.gguf", "damaged", 7);
  expect_good("plain", "home");
  assert_non_null(strstr(notes, "plain.gguf is damaged: it is fetched again"));

  /* Another's file under the name stays. */
  write_file("home/models/gone.gguf", "mine", 4);
  assert_int_equal(pull("gone", "home", &pulled, &error), TX_ERROR_INPUT);
  assert_string_equal(plain(error.message),
                      "another model is called gone already (home/models/gone.gguf); remove or "
                      "rename that file to take this one");
}

/* What the hub tells late, or in another way. */
static void test_metadata(void **state) {
  (void)state;
  need_server();
  tx_pulled pulled;
  tx_error error;
  expect_good("linked", "home");
  assert_int_equal(pull("linked", "home", &pulled, &error), TX_OK);
  assert_false(pulled.fetched);
  expect_good("unknown", "home");
  assert_int_equal(pull("unknown", "home", &pulled, &error), TX_OK);
  assert_false(pulled.fetched);
  expect_good("nolicense", "home"); /* the file's own is taken */
  assert_string_equal(notes, "");
  assert_int_equal(pull("nolicense", "home", &pulled, &error), TX_OK);
  assert_string_equal(pulled.license, "of-the-file");
  expect_good("moved", "home");
  expect_good("gemma", "home");
  assert_string_equal(notes, "gemma is of the architecture gemma3; taxon runs llama and gpt2\n");
  expect_bad("nohash", TX_ERROR_INPUT,
             "the hub gives no SHA-256 for nohash.gguf, so that it could not be verified; check "
             "HF_ENDPOINT");
}

/* ---- connections that break ---- */

static void test_resume(void **state) {
  (void)state;
  need_server();
  char expected[200];
  expect_good("cut", "home");
  assert_string_equal(notes, "127.0.0.1: the connection broke; trying again in 1 s (2 of 3)\n");
  assert_int_equal(stat_of("cut", "gets"), 2);
  assert_int_equal(stat_of("cut", "bytes"), model_bytes);
  snprintf(expected, sizeof expected, "parts ,bytes=%lld- conditions 1 ",
           (long long)model_bytes / 2);
  assert_non_null(strstr(stats("stats", "cut"), expected));

  expect_good("ignored", "home"); /* the whole comes again */
  assert_int_equal(stat_of("ignored", "bytes"), model_bytes / 2 + model_bytes);
  expect_good("wrongpart", "home");
  assert_int_equal(stat_of("wrongpart", "gets"), 3);
  assert_non_null(strstr(notes, "it sent another part than was asked for"));
  expect_good("unwanted", "home");
  assert_int_equal(stat_of("unwanted", "gets"), 3);

  expect_bad("crumbs", TX_ERROR_SYSTEM,
             "cannot fetch from 127.0.0.1: the connection broke (tried 3 times); check "
             "HF_ENDPOINT and the network, and try again");
  assert_non_null(part_of("bad", "crumbs")); /* what came is kept */
  assert_int_equal(tx_file_look(path_of(part_of("bad", "crumbs"))).bytes, 3000);
  expect_bad("crumbs", TX_ERROR_SYSTEM,
             "cannot fetch from 127.0.0.1: the connection broke (tried 3 times); check "
             "HF_ENDPOINT and the network, and try again");
  assert_int_equal(tx_file_look(path_of(part_of("bad", "crumbs"))).bytes, 6000);
  expect_bad("early", TX_ERROR_SYSTEM,
             "cannot fetch from 127.0.0.1: the connection ended early (tried 3 times); check "
             "HF_ENDPOINT and the network, and try again");
}

/* Who does not ask why is told by the status alone. */
static void test_no_error(void **state) {
  (void)state;
  need_server();
  tx_pulled pulled;
  tx_error error;
  const char *bad = path_of("bad");
  assert_int_equal(tx_pull("hf:t/missing", bad, NULL, &pulled, NULL, NULL), TX_ERROR_INPUT);
  assert_int_equal(tx_pull("hf:t/badjson", bad, NULL, &pulled, NULL, NULL), TX_ERROR_INPUT);
  assert_int_equal(tx_pull("hf:t/wronghash", bad, NULL, &pulled, NULL, NULL), TX_ERROR_INPUT);
  assert_int_equal(tx_pull("hf:t/endless", bad, NULL, &pulled, NULL, NULL), TX_ERROR_INPUT);
  assert_int_equal(tx_pull("hf:t/down", bad, NULL, &pulled, NULL, NULL), TX_ERROR_SYSTEM);
  setenv("HF_ENDPOINT", "http://127.0.0.1:1", 1);
  assert_int_equal(tx_pull("hf:t/plain", bad, NULL, &pulled, NULL, NULL), TX_ERROR_SYSTEM);
  setenv("HF_ENDPOINT", "ftp://127.0.0.1", 1);
  assert_int_equal(pull("plain", "bad", &pulled, &error), TX_ERROR_ARGUMENT);
}

/* A server of one byte an hour, and one without a word. */
static void test_slow(void **state) {
  (void)state;
  need_server();
  setenv("HF_HUB_DOWNLOAD_TIMEOUT", "1", 1);
  setenv("TAXON_PULL_TRIES", "1", 1);
  expect_bad("slow", TX_ERROR_SYSTEM,
             "cannot fetch from 127.0.0.1: it was silent for too long (tried 1 time); check "
             "HF_ENDPOINT and the network, and try again");
  assert_int_equal(tx_file_look(path_of(part_of("bad", "slow"))).bytes, 10);
  expect_bad("hang", TX_ERROR_SYSTEM,
             "cannot fetch from 127.0.0.1: it was silent for too long (tried 1 time); check "
             "HF_ENDPOINT and the network, and try again");
}

static void test_busy(void **state) {
  (void)state;
  need_server();
  expect_good("busy", "home");
  assert_string_equal(notes, "127.0.0.1: it has too many requests (429); trying again in 1 s (2 of "
                             "3)\n");
  expect_good("busydate", "home");
  expect_bad("busylong", TX_ERROR_SYSTEM,
             "127.0.0.1 asks to wait 3600 s: it has too many requests (429); try again after that");
  assert_int_equal(stat_of("busylong", "gets"), 1);
  expect_good("broken", "home");
  assert_int_equal(stat_of("broken", "gets"), 3);
  expect_good("listbusy", "home");
  expect_bad("down", TX_ERROR_SYSTEM,
             "cannot fetch from 127.0.0.1: it answered 503 (tried 3 times); check HF_ENDPOINT "
             "and the network, and try again");
  assert_int_equal(stat_of("down", "gets"), 3);
}

/* ---- bodies that are not what was announced ---- */

static void test_wrong_bytes(void **state) {
  (void)state;
  need_server();
  char sentence[700], wrong[65], *bytes;
  size_t size;
  bytes = read_file("model.gguf", &size);
  bytes[size - 1] ^= 1;
  tx_sha256_bytes(bytes, size, wrong);
  snprintf(sentence, sizeof sentence,
           "wronghash.gguf has the SHA-256 %s instead of %s, which the hub announces; it was not "
           "kept; try again, and check any proxy",
           wrong, model_sha256);
  expect_bad("wronghash", TX_ERROR_INPUT, sentence);
  assert_null(part_of("bad", "wronghash"));
  snprintf(sentence, sizeof sentence,
           "127.0.0.1 sends %lld bytes instead of the %lld that were announced; it was not kept; "
           "check the address and any proxy",
           (long long)model_bytes / 2, (long long)model_bytes);
  expect_bad("short", TX_ERROR_INPUT, sentence);
  snprintf(sentence, sizeof sentence,
           "127.0.0.1 sends more than the %lld bytes there should be; it was not kept",
           (long long)model_bytes);
  expect_bad("endless", TX_ERROR_INPUT, sentence);
  assert_null(part_of("bad", "endless"));
  expect_bad("text", TX_ERROR_INPUT,
             "text.gguf cannot be used: this is not a GGUF file: it does not begin with 'GGUF'; "
             "name a GGUF file, a model or a classifier");
  assert_null(part_of("bad", "text"));
}

static void test_space(void **state) {
  (void)state;
  need_server();
  tx_pulled pulled;
  tx_error error;
  assert_int_equal(pull("space", "bad", &pulled, &error), TX_ERROR_SYSTEM);
  assert_non_null(strstr(error.message, "there is no room for it: 1152921504606846976 bytes are "
                                        "needed and "));
  assert_int_equal(stat_of("space", "gets"), 0);

  /* The disk fills up on the way: what is there is kept, and used later. */
  struct rlimit before, small;
  getrlimit(RLIMIT_FSIZE, &before);
  small = before;
  small.rlim_cur = 100000;
  signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &small);
  tx_status status = pull("full", "home", &pulled, &error);
  setrlimit(RLIMIT_FSIZE, &before);
  assert_int_equal(status, TX_ERROR_SYSTEM);
  assert_non_null(strstr(error.message, "File too large; the system limits the size of files"));
  assert_int_equal(tx_file_look(path_of(part_of("home", "full"))).bytes, 100000);
  expect_good("full", "home");
  assert_non_null(strstr(stats("stats", "full"), "parts ,bytes=100000- "));
}

/* Where the hub does not say how long a file is, the rest alone must fit. */
static void test_space_for_the_rest(void **state) {
  (void)state;
  need_server();
  tx_pulled pulled;
  tx_error error;
  setenv("TAXON_PULL_TRIES", "1", 1);
  assert_int_equal(pull("sizeless", "home", &pulled, &error), TX_ERROR_SYSTEM);
  assert_int_equal(tx_file_look(path_of(part_of("home", "sizeless"))).bytes, model_bytes / 2);
  room = model_bytes - model_bytes / 2;
  expect_good("sizeless", "home");
  room = -1;
  assert_int_equal(stat_of("sizeless", "bytes"), model_bytes);
}

/* ---- redirects and the token ---- */

/* What the hub saw; the other host must have seen none. */
static void expect_tokens(const char *name, const char *token) {
  char expected[100];
  snprintf(expected, sizeof expected, " A %s B ", token);
  assert_string_equal(strstr(stats("stats", name), " A "), expected);
}

static void test_token(void **state) {
  (void)state;
  need_server();
  setenv("HF_TOKEN", " hf_secret1\n", 1);
  expect_good("redirect", "home");
  expect_tokens("redirect", "Bearer hf_secret1");
  assert_int_equal(stat_of("redirect", "gets"), 2); /* one of each host */
  unsetenv("HF_TOKEN");
  mkdir(path_of("hf"), 0700);
  write_file("hf/token", "hf_secret2\n", 11);
  expect_bad("cdnerror", TX_ERROR_INPUT,
             "hf:t/cdnerror is gated: ask for access at ENDPOINT/t/cdnerror, then try again: the "
             "token in use has none yet");
  expect_tokens("cdnerror", "Bearer hf_secret2");
  expect_bad("circle", TX_ERROR_SYSTEM,
             "127.0.0.1 redirects in a circle (more than 10 times); try again later");
  assert_int_equal(stat_of("circle", "gets"), 11);
  setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1", 1);
  expect_good("quiet", "home");
  expect_tokens("quiet", "");
  unlink(path_of("hf/token"));
  expect_bad("userinfo", TX_ERROR_SYSTEM,
             "127.0.0.1 redirects to an address that is not safe to use (not https:); nothing was "
             "fetched");
  expect_bad("ftp", TX_ERROR_SYSTEM,
             "127.0.0.1 redirects to an address that is not safe to use (not https:); nothing was "
             "fetched");
  expect_bad("nowhere", TX_ERROR_SYSTEM,
             "cannot fetch from 127.0.0.1: it redirects to nowhere; try again later");
}

/* ---- refusals, and answers that are none ---- */

static void test_refusals(void **state) {
  (void)state;
  need_server();
  expect_bad("missing", TX_ERROR_INPUT,
             "there is no hf:t/missing at ENDPOINT that everybody may see; check the name, or set "
             "HF_TOKEN for a private one");
  expect_bad("absent", TX_ERROR_INPUT,
             "there is no hf:t/absent at ENDPOINT that everybody may see; check the name, or set "
             "HF_TOKEN for a private one");
  expect_bad("badtoken", TX_ERROR_INPUT,
             "there is no hf:t/badtoken at ENDPOINT that everybody may see; check the name, or set "
             "HF_TOKEN for a private one");
  expect_bad("gated", TX_ERROR_INPUT,
             "hf:t/gated is gated: ask for access at ENDPOINT/t/gated and set HF_TOKEN to a token "
             "of yours");
  expect_bad("norevision@v1", TX_ERROR_INPUT,
             "hf:t/norevision has no revision v1; leave it out for the newest");
  expect_bad("odd", TX_ERROR_INPUT, "the hub refuses hf:t/odd (HTTP status 418)");
  expect_bad("gone", TX_ERROR_INPUT, "hf:t/gone has no file gone.gguf at revision main");
  expect_bad("longrefusal", TX_ERROR_INPUT,
             "there is no hf:t/longrefusal at ENDPOINT that everybody may see; check the name, or "
             "set HF_TOKEN for a private one");
  setenv("HF_TOKEN", "hf_secret3", 1);
  expect_bad("badtoken", TX_ERROR_INPUT,
             "the hub does not accept the token of HF_TOKEN (or of the file HF_HOME/token); make a "
             "new one at ENDPOINT/settings/tokens");
  expect_bad("missing", TX_ERROR_INPUT,
             "there is no hf:t/missing at ENDPOINT that this token may see; check the name");
  expect_bad("forbidden", TX_ERROR_INPUT,
             "hf:t/forbidden is gated: ask for access at ENDPOINT/t/forbidden, then try again: the "
             "token in use has none yet");
}

static void test_answers(void **state) {
  (void)state;
  need_server();
#define NOT_UNDERSTOOD(name, why)                                                  \
  expect_bad(name, TX_ERROR_INPUT, "the hub's answer about t/" name                \
                                   " is not understood: " why "; check HF_ENDPOINT " \
                                   "and try again")
  NOT_UNDERSTOOD("badjson", "it is no JSON");
  NOT_UNDERSTOOD("cutjson", "it is no JSON");
  NOT_UNDERSTOOD("deepjson", "it is no JSON");
  NOT_UNDERSTOOD("nofiles", "it lists no files");
  NOT_UNDERSTOOD("nocommit", "it names no commit");
  expect_bad("hugejson", TX_ERROR_INPUT,
             "127.0.0.1 sends more than the 16777216 bytes there should be; it was not kept");
  expect_bad("evil", TX_ERROR_INPUT,
             "hf:t/evil has no model file (.gguf) at revision main; check the name");
  expect_bad("part", TX_ERROR_SYSTEM,
             "cannot fetch from 127.0.0.1: it sent another part than was asked for (tried 3 "
             "times); check HF_ENDPOINT and the network, and try again");
  tx_pulled pulled;
  tx_error error;
  assert_int_equal(pull("headers", "bad", &pulled, &error), TX_ERROR_SYSTEM);
  expect_bad("plain/Q9_X", TX_ERROR_INPUT,
             "hf:t/plain has no model file that fits 'Q9_X'; it has: plain.gguf");
}

/* ---- networks ---- */

static void test_network(void **state) {
  (void)state;
  need_server();
  tx_pulled pulled;
  tx_error error;
  char proxy[64];
  setenv("HF_ENDPOINT", "http://127.0.0.1:1", 1);
  assert_int_equal(pull("plain", "bad", &pulled, &error), TX_ERROR_SYSTEM);
  assert_non_null(strstr(error.message, "cannot fetch from 127.0.0.1: Failed to connect to "));

  /* A name that only the proxy knows. */
  setenv("HF_ENDPOINT", "http://hub.invalid/", 1);
  snprintf(proxy, sizeof proxy, "http://127.0.0.1:%d", ports[0]);
  setenv("http_proxy", proxy, 1);
  setenv("HF_TOKEN", "hf_secret4", 1);
  expect_good("proxied", "home");
  unsetenv("http_proxy");
  expect_tokens("proxied", "Bearer hf_secret4");
  setenv("http_proxy", "http://proxy.invalid:1", 1);
  assert_int_equal(pull("plain", "bad", &pulled, &error), TX_ERROR_SYSTEM);
  assert_non_null(strstr(error.message, "check the proxy in the environment (HTTPS_PROXY)"));
  unsetenv("http_proxy");

  /* A certificate that nobody has signed. */
  char secure[64];
  snprintf(secure, sizeof secure, "https://127.0.0.1:%d", ports[2]);
  setenv("HF_ENDPOINT", secure, 1);
  assert_int_equal(pull("untrusted", "bad", &pulled, &error), TX_ERROR_SYSTEM);
  assert_non_null(strstr(error.message, "its certificate must be known here (ca-certificates)"));
  assert_int_equal(stat_of("untrusted", "lists"), 0);

  /* http: where https: is expected. */
  tx_buffer bytes = {0};
  tx_http_request request = {.url = endpoint, .rules = tx_http_rules_defaults()};
  error = (tx_error){0};
  assert_int_equal(tx_http_get_bytes(&request, 10, &bytes, NULL, &error), TX_ERROR_ARGUMENT);
  tx_buffer_free(&bytes);
}

/* ---- several at once, killed, stopped ---- */

static void wait_for_part(const char *home, const char *name, int64_t bytes) {
  for (;;) {
    const char *part = part_of(home, name);
    if (part && tx_file_look(path_of(part)).bytes >= bytes) return;
    usleep(2000);
  }
}

static void tell_note(void *context, const char *sentence) {
  int *pipe = context;
  if (write(*pipe, sentence, strlen(sentence)) < 0) _exit(9);
}

/* A pull in a process of its own, whose exit status is that of the call plus
 * 100 where it fetched; its notes go to the pipe. */
static pid_t pull_apart(const char *what, int notes_to) {
  pid_t child = fork();
  if (child) return child;
  tx_error error = {0};
  tx_pulled pulled;
  tx_watch watch = {.note = tell_note, .context = &notes_to};
  tx_status status = tx_pull(what, path_of("home"), NULL, &pulled, &watch, &error);
  _exit((int)status + (pulled.fetched ? 100 : 0));
}

static void expect_exit(pid_t child, int code) {
  int state;
  assert_int_equal(waitpid(child, &state, 0), child);
  assert_true(WIFEXITED(state));
  assert_int_equal(WEXITSTATUS(state), code);
}

static void test_two_at_once(void **state) {
  (void)state;
  need_server();
  int ends[2];
  char text[200] = "";
  assert_int_equal(pipe(ends), 0);
  pid_t first = pull_apart("hf:t/held", ends[1]);
  wait_for_part("home", "held", model_bytes / 2);
  pid_t second = pull_apart("hf:t/held", ends[1]);
  assert_true(read(ends[0], text, sizeof text - 1) > 0);
  assert_string_equal(text, "another pull of held is running; waiting for it");
  stats("open", "held");
  expect_exit(first, 100);
  expect_exit(second, 0);
  assert_int_equal(stat_of("held", "gets"), 1);
  assert_int_equal(stat_of("held", "bytes"), model_bytes / 2);
  close(ends[0]);
  close(ends[1]);
}

static void test_killed(void **state) {
  (void)state;
  need_server();
  char expected[200];
  setenv("TAXON_PULL_DELAY", "60000", 1); /* it waits for its second try when it is killed */
  pid_t child = pull_apart("hf:t/killed", STDOUT_FILENO);
  wait_for_part("home", "killed", model_bytes / 2);
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  assert_false(is_there("home/models/killed.gguf"));
  setenv("TAXON_PULL_DELAY", "1", 1);
  expect_good("killed", "home");
  assert_int_equal(stat_of("killed", "bytes"), model_bytes);
  snprintf(expected, sizeof expected, "parts ,bytes=%lld- ", (long long)model_bytes / 2);
  assert_non_null(strstr(stats("stats", "killed"), expected));
}

/* What nobody came back for is removed after a while. */
static void test_old_parts(void **state) {
  (void)state;
  need_server();
  struct timespec past[2] = {{1000, 0}, {1000, 0}};
  tx_error error = {0};
  assert_int_equal(tx_directory_make(path_of("home/downloads"), &error), TX_OK);
  write_file("home/downloads/old-0.part", "x", 1);
  write_file("home/downloads/new-0.part", "x", 1);
  utimensat(AT_FDCWD, path_of("home/downloads/old-0.part"), past, 0);
  expect_good("later", "home");
  assert_false(is_there("home/downloads/old-0.part"));
  assert_true(is_there("home/downloads/new-0.part"));
}

/* Damaged between two runs: found out, and fetched from the start; whole and
 * right already: not asked for again; longer than it should be: thrown away. */
static void test_part_left(void **state) {
  (void)state;
  need_server();
  tx_pulled pulled;
  tx_error error;
  char part[600], *bytes;
  size_t size;
  setenv("TAXON_PULL_TRIES", "1", 1);
  assert_int_equal(pull("damaged", "home", &pulled, &error), TX_ERROR_SYSTEM);
  snprintf(part, sizeof part, "%s", part_of("home", "damaged"));
  bytes = read_file(part, &size);
  assert_int_equal(size, model_bytes / 2);
  bytes[100] ^= 1;
  write_file(part, bytes, size);
  expect_good("damaged", "home");
  assert_string_equal(notes,
                      "what an earlier run left of damaged is damaged: it is fetched again\n");

  unlink(path_of("home/models/damaged.gguf"));
  unlink(path_of("home/models/damaged.json"));
  bytes = read_file("model.gguf", &size);
  write_file(part, bytes, size);
  int64_t gets = stat_of("damaged", "gets");
  expect_good("damaged", "home");
  assert_int_equal(stat_of("damaged", "gets"), gets);

  unlink(path_of("home/models/damaged.gguf"));
  unlink(path_of("home/models/damaged.json"));
  write_file(part, bytes, size + 1);
  expect_good("damaged", "home");
  unlink(path_of("home/models/damaged.gguf"));
  unlink(path_of("home/models/damaged.json"));
  mkdir(path_of(part), 0700); /* what is no file is not overwritten */
  assert_int_equal(pull("damaged", "home", &pulled, &error), TX_ERROR_SYSTEM);
  rmdir(path_of(part));
}

static bool always(void *context) {
  (void)context;
  return true;
}

/* Not before a lock has been waited for twice. */
static bool when_patient(void *context) {
  int *asked = context;
  return ++*asked > 8;
}

static bool when_half(void *context) {
  (void)context;
  return reported >= 1;
}

static void expect_stopped(const char *what, tx_watch watch) {
  tx_error error = {0};
  tx_pulled pulled;
  reported = 0;
  assert_int_equal(tx_pull(what, path_of("bad"), NULL, &pulled, &watch, &error),
                   TX_ERROR_INTERRUPTED);
  assert_int_equal(error.status, TX_ERROR_INTERRUPTED);
}

static void test_stopped(void **state) {
  (void)state;
  need_server();
  expect_stopped("hf:t/stopped", (tx_watch){.cancelled = always});
  expect_stopped("hf:t/stopped", (tx_watch){.cancelled = when_half, .report = keep_report});
  assert_false(is_there("bad/models/stopped.gguf"));
  assert_non_null(part_of("bad", "stopped"));
  /* While another holds the lock, and while it waits for a further try. */
  tx_lock lock;
  tx_error error = {0};
  assert_int_equal(tx_home_lock(path_of("bad"), "locked", &lock, NULL, &error), TX_OK);
  notes[0] = '\0';
  reported = 0;
  tx_watch watch = {.cancelled = always};
  assert_int_equal(tx_home_lock(path_of("bad"), "locked", &(tx_lock){-1}, &watch, &error),
                   TX_ERROR_INTERRUPTED);
  int asked = 0;
  tx_watch patient = {.cancelled = when_patient, .note = keep_note, .context = &asked};
  error = (tx_error){0};
  assert_int_equal(tx_home_lock(path_of("bad"), "locked", &(tx_lock){-1}, &patient, &error),
                   TX_ERROR_INTERRUPTED);
  assert_string_equal(notes, "another pull of locked is running; waiting for it\n"); /* once */
  tx_lock_free(&lock);
  tx_lock_free(&lock); /* does nothing */
  char far[TX_PATH_SIZE];
  memset(far, 'x', sizeof far - 1);
  far[sizeof far - 1] = '\0';
  error = (tx_error){0};
  assert_int_equal(tx_home_lock(far, "locked", &lock, NULL, &error), TX_ERROR_ARGUMENT);
  assert_true(tx_space_left("/proc") == INT64_MAX); /* that has no blocks */
  assert_true(tx_space_left("/nowhere/at/all") == INT64_MAX);
  error = (tx_error){0};
  assert_int_equal(tx_wait(1000000, &watch, &error), TX_ERROR_INTERRUPTED);
}

/* ---- the cache of other programs ---- */

static void make_cache(const char *name, const void *bytes, size_t size, const char *sha256) {
  static const char *const folders[] = {"hf", "hf/hub", "hf/hub/models--t--%s",
                                        "hf/hub/models--t--%s/blobs", "hf/hub/models--t--%s/refs",
                                        "hf/hub/models--t--%s/snapshots",
                                        ("hf/hub/models--t--%s/snapshots/" COMMIT)};
  char path[400], link[400];
  for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
    snprintf(path, sizeof path, folders[i], name);
    mkdir(path_of(path), 0700);
  }
  snprintf(path, sizeof path, "hf/hub/models--t--%s/blobs/%s", name, sha256);
  write_file(path, bytes, size);
  snprintf(path, sizeof path, "hf/hub/models--t--%s/refs/main", name);
  write_file(path, COMMIT, 40);
  snprintf(link, sizeof link, "../../blobs/%s", sha256);
  snprintf(path, sizeof path, "hf/hub/models--t--%s/snapshots/" COMMIT "/%s.gguf", name, name);
  unlink(path_of(path));
  assert_int_equal(symlink(link, path_of(path)), 0);
}

static void test_cache(void **state) {
  (void)state;
  need_server();
  size_t size;
  char *bytes = read_file("model.gguf", &size), path[300];
  make_cache("cached", bytes, size, model_sha256);
  expect_good("cached", "home");
  assert_int_equal(stat_of("cached", "gets"), 0);
  assert_string_equal(notes, "taken from the cache of the hub's other programs (hf/hub)\n");
  /* Of another commit, but the same bytes. */
  make_cache("blob", bytes, size, model_sha256);
  unlink(path_of("hf/hub/models--t--blob/snapshots/" COMMIT "/blob.gguf"));
  expect_good("blob", "home");
  assert_int_equal(stat_of("blob", "gets"), 0);
  /* Damaged there. */
  bytes[size - 1] ^= 1;
  make_cache("rotten", bytes, size, model_sha256);
  expect_good("rotten", "home");
  assert_int_equal(stat_of("rotten", "gets"), 1);
  assert_string_equal(notes, "the copy in hf/hub is damaged and not used\n");
  snprintf(path, sizeof path, "hf/hub/models--t--rotten/blobs/%s", model_sha256);
  write_file(path, bytes, 100);
}

static void test_offline(void **state) {
  (void)state;
  need_server();
  tx_pulled pulled;
  tx_error error;
  size_t size;
  char *bytes = read_file("model.gguf", &size);
  make_cache("offline", bytes, size, model_sha256);
  setenv("HF_HUB_OFFLINE", "1", 1);
  setenv("HF_ENDPOINT", "http://127.0.0.1:1", 1);
  expect_good("offline", "home");
  assert_string_equal(pulled.name, pulled.name);
  assert_int_equal(pull("offline@" COMMIT, "home", &pulled, &error), TX_OK);
  assert_false(pulled.fetched);
  assert_string_equal(pulled.name, "offline");
  assert_int_equal(pull("offline@" COMMIT, "home2", &pulled, &error), TX_OK);
  assert_true(pulled.fetched);
  assert_string_equal(pulled.license, "of-the-file");
  expect_bad("nowhere", TX_ERROR_SYSTEM,
             "HF_HUB_OFFLINE is set, and hf:t/nowhere is neither here nor in hf/hub; unset it to "
             "fetch");
  expect_bad("offline@v2", TX_ERROR_SYSTEM,
             "HF_HUB_OFFLINE is set, and hf:t/offline is neither here nor in hf/hub; unset it to "
             "fetch");
  /* Cut short in the cache. */
  make_cache("offcut", bytes, 100, model_sha256);
  expect_bad("offcut", TX_ERROR_SYSTEM,
             "HF_HUB_OFFLINE is set, and hf:t/offcut@" COMMIT "/offcut.gguf is not here");
}

/* What the names of repositories and files come to as a model's. */
static void test_names(void **state) {
  (void)state;
  need_server();
  tx_pulled pulled;
  tx_error error;
  size_t size;
  char *bytes = read_file("model.gguf", &size), shot[300], from[400], to[700], longest[260];
  snprintf(shot, sizeof shot, "hf/hub/models--t--Tiny-GGUF/snapshots/" COMMIT);
  setenv("HF_HUB_OFFLINE", "1", 1);
  make_cache("Tiny-GGUF", bytes, size, model_sha256);
  assert_int_equal(pull("Tiny-GGUF", "names", &pulled, &error), TX_OK);
  assert_string_equal(pulled.name, "Tiny-GGUF");
  snprintf(from, sizeof from, "%s/Tiny-GGUF.gguf", shot);
  snprintf(to, sizeof to, "%s/model-q8_0.gguf", shot);
  assert_int_equal(rename(path_of(from), path_of(to)), 0);
  assert_int_equal(pull("Tiny-GGUF/q8_0", "names", &pulled, &error), TX_OK);
  assert_string_equal(pulled.name, "Tiny-model-q8_0");
  snprintf(from, sizeof from, "%s/deep", shot);
  mkdir(path_of(from), 0700);
  snprintf(from, sizeof from, "%s/deep/tiny.gguf", shot);
  snprintf(to, sizeof to, "../../../blobs/%s", model_sha256);
  assert_int_equal(symlink(to, path_of(from)), 0);
  assert_int_equal(pull("Tiny-GGUF/deep/tiny.gguf", "names", &pulled, &error), TX_OK);
  assert_string_equal(pulled.name, "tiny");

  memset(longest, 'x', 240);
  strcpy(longest + 240, ".gguf");
  snprintf(to, sizeof to, "%s/%s", shot, longest);
  snprintf(from, sizeof from, "%s/model-q8_0.gguf", shot);
  assert_int_equal(rename(path_of(from), path_of(to)), 0);
  snprintf(from, sizeof from, "Tiny-GGUF/%s", longest);
  assert_int_equal(pull(from, "names", &pulled, &error), TX_ERROR_INPUT);
  assert_non_null(strstr(error.message, "xxx cannot be a model's"));

  make_cache("smollm2-135m", bytes, size, model_sha256); /* a name that is known */
  assert_int_equal(pull("smollm2-135m", "names", &pulled, &error), TX_ERROR_INPUT);
  assert_non_null(
      strstr(error.message,
             "would be called smollm2-135m here, which is the name of another model or data set"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_plain, begin),
      cmocka_unit_test_setup(test_metadata, begin),
      cmocka_unit_test_setup(test_resume, begin),
      cmocka_unit_test_setup(test_slow, begin),
      cmocka_unit_test_setup(test_busy, begin),
      cmocka_unit_test_setup(test_wrong_bytes, begin),
      cmocka_unit_test_setup(test_space_for_the_rest, begin),
      cmocka_unit_test_setup(test_space, begin),
      cmocka_unit_test_setup(test_token, begin),
      cmocka_unit_test_setup(test_refusals, begin),
      cmocka_unit_test_setup(test_answers, begin),
      cmocka_unit_test_setup(test_network, begin),
      cmocka_unit_test_setup(test_two_at_once, begin),
      cmocka_unit_test_setup(test_killed, begin),
      cmocka_unit_test_setup(test_part_left, begin),
      cmocka_unit_test_setup(test_stopped, begin),
      cmocka_unit_test_setup(test_cache, begin),
      cmocka_unit_test_setup(test_offline, begin),
      cmocka_unit_test_setup(test_old_parts, begin),
      cmocka_unit_test_setup(test_no_error, begin),
      cmocka_unit_test_setup(test_names, begin),
  };
  return cmocka_run_group_tests(tests, prepare, clean);
}
