/* What servers and libcurl answer that no proper one does, by a libcurl without
 * a network; homes, names and receipts at the limits of what fits. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/hash.h"
#include "fake_curl.h"
#include "formats/http.h"
#include "formats/hub_parts.h"
#include "formats/lock.h"
#include "tasks/made.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"

static tx_http_answer answer;
static tx_buffer bytes;

static tx_status get(script *list, size_t count, tx_error *error) {
  scripts = list, script_count = count, script_at = 0;
  tx_http_request request = {.url = "https://a.invalid/x", .rules = tx_http_rules_defaults()};
  tx_buffer_free(&bytes);
  return tx_http_get_bytes(&request, 100, &bytes, &answer, error);
}

#define GET(...) \
  get((script[]){__VA_ARGS__}, sizeof((script[]){__VA_ARGS__}) / sizeof(script), error)

static void test_codes(void **state) {
  (void)state;
  static const struct {
    CURLcode code;
    const char *part;
  } codes[] = {
      {CURLE_SSL_CACERT_BADFILE, "its certificate must be known here"},
      {CURLE_SSL_CERTPROBLEM, "its certificate must be known here"},
      {CURLE_UNSUPPORTED_PROTOCOL, "it leads to an address that may not be used"},
      {CURLE_URL_MALFORMAT, "it leads to an address that may not be used"},
      {CURLE_LOGIN_DENIED, "it leads to an address that may not be used"},
      {CURLE_OUT_OF_MEMORY, "a connection"},
      {CURLE_GOT_NOTHING, "the connection broke (tried 2 times)"},
      {CURLE_OPERATION_TIMEDOUT, "it was silent for too long (tried 2 times)"},
      {CURLE_HTTP2, "HTTP2 framing layer (tried 2 times)"},
  };
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
    MADE_FAILS(GET({.code = codes[i].code}), TX_ERROR_SYSTEM, codes[i].part);
  }
  MADE_FAILS(GET({.code = CURLE_ABORTED_BY_CALLBACK}), TX_ERROR_INTERRUPTED, "interrupted while");
}

static void test_statuses(void **state) {
  (void)state;
  static char far[9000];
  memset(far, 'x', sizeof far - 1);
  MADE_FAILS(GET({.status = 302, .next = far}), TX_ERROR_SYSTEM, "it redirects to nowhere");
  MADE_FAILS(GET({.status = 302, .next = "http://b.invalid/"}), TX_ERROR_SYSTEM, "not safe");
  MADE_FAILS(GET({.status = 408}), TX_ERROR_SYSTEM, "it answered 408");
  MADE_FAILS(GET({.status = 425}), TX_ERROR_SYSTEM, "it answered 425");
  MADE_FAILS(GET({.status = 599}), TX_ERROR_SYSTEM, "it answered 599");
  MADE_FAILS(GET({.status = 416}), TX_ERROR_INPUT, "refused it (HTTP status 416)");
  MADE_FAILS(GET({.status = 100}), TX_ERROR_INPUT, "refused it (HTTP status 100)");
  assert_int_equal(answer.status, 100);
}

static void test_headers(void **state) {
  (void)state;
  tx_error mine = {0}, *error = &mine;
  assert_int_equal(
      GET({.status = 200,
           .headers = "HTTP/1.1 200 OK\r\nX\r\n: y\r\n\r\nX-Linked-Etag:   W/\"ab\"\r\n"
                      "X-Linked-Size: 12x\r\nX-Error-Code: \r\nETag: W/\"weak\"\r\n"
                      "Content-Length: many\r\nabc   \r\nname   :\r\n",
           .body = "x",
           .size = 1}),
      TX_OK);
  assert_string_equal(answer.linked_etag, "ab");
  assert_int_equal(answer.linked_size, 12);
  assert_string_equal(bytes.data, "x");
  assert_int_equal(GET({.status = 200, .headers = "X-Linked-Size: :\r\nX-Linked-Etag: a\r\n"}),
                   TX_OK);
  assert_int_equal(answer.linked_size, -1);
  assert_string_equal(answer.linked_etag, "a");
}

/* Parts that are not what was asked for, then the whole. */
static void test_ranges(void **state) {
  (void)state;
  setenv("TAXON_PULL_TRIES", "3", 1);
  static const char *const wrong[] = {
      "bites 2-3/4",  "bytes x-3/4", "bytes 2/4",   "bytes 2-1/4", "bytes 2-3",
      "bytes 2-x/4",  "bytes :-3/4", "bytes 1-3/4", "bytes 99999999999999999999-3/4"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    char header[200];
    snprintf(header, sizeof header, "HTTP/1.1 206 Partial\r\nContent-Range: %s\r\n", wrong[i]);
    tx_error mine = {0}, *error = &mine;
    if (GET({.status = 200, .body = "abcd", .size = 4, .most = 2, .code = CURLE_RECV_ERROR},
            {.status = 206, .headers = header, .body = "abcd", .size = 4},
            {.status = 200, .body = "abcd", .size = 4}) != TX_OK) {
      fail_msg("%s: %s", wrong[i], error->message);
    }
    assert_string_equal(bytes.data, "abcd");
  }
  /* A total that is not said is no fault. */
  MADE_OK(
      GET({.status = 200, .body = "abcd", .size = 4, .most = 2, .code = CURLE_RECV_ERROR},
          {.status = 206, .headers = "Content-Range: bytes 2-3/*\r\n", .body = "abcd", .size = 4}));
  assert_string_equal(bytes.data, "abcd");
  MADE_FAILS(GET({.status = 206, .body = "abcd", .size = 4, .unranged = true}), TX_ERROR_SYSTEM,
             "it sent another part");
}

/* ---- waiting, and giving up ---- */

static char noted[400];
static int notes;
static void keep_note(void *context, const char *sentence) {
  (void)context;
  notes++;
  snprintf(noted, sizeof noted, "%s", sentence);
}

/* However long the delay, it is not over the longest. */
static void test_delays(void **state) {
  (void)state;
  static script list[] = {{.status = 503}, {.status = 503}, {.status = 503}, {.status = 200}};
  static const int64_t delays[] = {1, 3600000};
  for (int i = 0; i < 2; i++) {
    tx_watch watch = {.note = keep_note};
    tx_http_request request = {.url = "https://a.invalid/x", .watch = &watch};
    request.rules = tx_http_rules_defaults();
    request.rules.tries = 4;
    request.rules.delay_ms = delays[i];
    request.rules.longest_delay_ms = 2;
    scripts = list, script_count = 4, script_at = 0;
    MADE_OK(tx_http_get_bytes(&request, 100, &bytes, &answer, error));
    assert_int_equal(script_at, 4);
    assert_string_equal(noted, "a.invalid: it answered 503; trying again in 1 s (4 of 4)");
  }
}

/* Tries are counted anew where much came: more breaks than tries are no failure. */
static void test_progress(void **state) {
  (void)state;
  enum { PARTS = 5, PART = TX_HTTP_PROGRESS, SIZE = PARTS * PART };
  char *body = calloc(1, SIZE);
  static char ranges[PARTS][120];
  script list[PARTS];
  for (int i = 0; i < PARTS; i++) {
    snprintf(ranges[i], sizeof ranges[i], "Content-Range: bytes %d-%d/%d\r\n", i * PART, SIZE - 1,
             SIZE);
    list[i] = (script){.status = i ? 206 : 200, .headers = i ? ranges[i] : NULL, .body = body,
                       .size = SIZE, .most = (size_t)(i + 1) * PART,
                       .code = i + 1 < PARTS ? CURLE_RECV_ERROR : CURLE_OK};
    memset(body + i * PART, 'a' + i, PART);
  }
  for (int less = 0; less < 2; less++) { /* less than that each time: given up */
    tx_watch watch = {.note = keep_note};
    tx_error error = {0};
    tx_http_request request = {.url = "https://a.invalid/x", .watch = &watch};
    request.rules = tx_http_rules_defaults();
    request.rules.tries = 2;
    scripts = list, script_count = PARTS, script_at = 0, notes = 0;
    list[0].most = less ? 10 : PART;
    if (less)
      list[1].most = 20,
      snprintf(ranges[1], sizeof ranges[1], "Content-Range: bytes 10-99/%d\r\n", SIZE);
    tx_buffer_free(&bytes);
    tx_status status = tx_http_get_bytes(&request, SIZE, &bytes, &answer, &error);
    assert_int_equal(status, less ? TX_ERROR_SYSTEM : TX_OK);
    assert_int_equal(notes, less ? 1 : PARTS - 1);
    if (less) {
      assert_string_equal(error.message, "cannot fetch from a.invalid: the connection broke (tried "
                                         "2 times); check the network and try again");
    } else {
      assert_int_equal(bytes.size, SIZE);
      assert_memory_equal(bytes.data, body, SIZE);
    }
  }
  tx_buffer_free(&bytes);
  free(body);
}

static tx_status add_none(void *context, const void *data, size_t size, tx_error *error) {
  (void)context, (void)data, (void)size, (void)error;
  return TX_OK;
}

static tx_status refuse_restart(void *context, tx_error *error) {
  (void)context;
  return tx_fail(error, TX_ERROR_SYSTEM, "the part cannot be cut");
}

/* A part that cannot be begun again ends it; a failure that was there before stays. */
static void test_restarts(void **state) {
  (void)state;
  static script wrong = {.status = 206, .headers = "Content-Range: bytes 0-3/4\r\n", .body = "abcd",
                         .size = 4};
  for (int i = 0; i < 3; i++) {
    scripts = &wrong, script_count = 1, script_at = 0;
    tx_http_sink sink = {
        .add = add_none, .restart = refuse_restart, .at = 2, .size = 4, .limit = 4};
    tx_http_request request = {.url = "https://a.invalid/x", .rules = tx_http_rules_defaults()};
    tx_error error = {0};
    if (i == 1) tx_fail(&error, TX_ERROR_INPUT, "earlier");
    assert_int_equal(tx_http_get(&request, &sink, NULL, i == 2 ? NULL : &error), TX_ERROR_SYSTEM);
    assert_int_equal(script_at, 1);
    if (i < 2) assert_string_equal(error.message, i ? "earlier" : "the part cannot be cut");
  }
}

static void test_long_address(void **state) {
  (void)state;
  static char url[9000];
  memset(url, 'x', sizeof url - 1);
  memcpy(url, "https://a.invalid/", 18);
  tx_http_request request = {.url = url, .rules = tx_http_rules_defaults()};
  script_at = 0;
  MADE_FAILS(tx_http_get_bytes(&request, 100, &bytes, NULL, error), TX_ERROR_ARGUMENT,
             "the address is not one of https:");
  assert_int_equal(script_at, 0);
}

/* A mirror that is named "" is none; what the server refuses is not kept. */
static void test_sms_address(void **state) {
  (void)state;
  static script gone = {.status = 404};
  tx_pulled pulled;
  scripts = &gone, script_count = 1, script_at = 0;
  setenv("TAXON_SMS_SPAM_URL", "", 1);
  MADE_FAILS(tx_pull("data:sms-spam", made("sms"), made("sms/set"), &pulled, NULL, error),
             TX_ERROR_INPUT, "archive.ics.uci.edu refused it (HTTP status 404)");
  unsetenv("TAXON_SMS_SPAM_URL");
  assert_int_equal(script_at, 1);
  assert_memory_equal(fake_asked[0], "https://archive.ics.uci.edu/static/public/228/", 46);
  assert_false(tx_file_look(made("sms/downloads/sms-spam-collection.zip")).exists);
  assert_false(tx_file_look(made("sms/set")).exists);
}

/* An archive that an earlier run had whole is not asked for again; one that no disk
 * holds is not begun. */
static void test_archive_parts(void **state) {
  (void)state;
  char sha256[65], path[TX_PATH_SIZE];
  bool fetched;
  tx_sha256_bytes("whole", 5, sha256);
  tx_known_source source = {.address = "https://a.invalid/a.tgz", .sha256 = sha256, .bytes = 5};
  MADE_OK(tx_directory_make(made("parts/downloads"), error));
  write_text(made("parts/downloads/a.tgz.part"), "whole");
  script_at = 0;
  MADE_OK(tx_fetch_archive(&source, made("parts"), path, &fetched, NULL, error));
  assert_true(fetched);
  assert_int_equal(tx_file_look(made("parts/downloads/a.tgz")).bytes, 5);
  assert_false(tx_file_look(made("parts/downloads/a.tgz.part")).exists);
  source.address = "https://a.invalid/b.tgz";
  source.bytes = INT64_MAX / 2;
  MADE_FAILS(tx_fetch_archive(&source, made("parts"), path, &fetched, NULL, error), TX_ERROR_SYSTEM,
             "there is no room for it: 4611686018427387903 bytes are needed and ");
  assert_int_equal(script_at, 0);
  assert_false(fetched);
}

/* What the hub calls as a known name is not that, and where no receipt tells of the
 * file that is there, none is cited. */
static void test_taken_names(void **state) {
  (void)state;
  static script list = {.status = 200};
  static char json[400];
  static const struct {
    const char *file, *name, *receipt, *part;
  } taken[] = {
      {"data:tweets.gguf", "data", "",
       "would be called data:tweets here, which is the name of another model or data set"},
      {"n.gguf", "n",
       "{\"sha256\":\"" COMMIT "0123456789abcdef01234567\",\"bytes\":1,\"modified\":1}",
       "/models/n.gguf); remove"},
      {"n.gguf", "n",
       "{\"sha256\":\"" COMMIT
       "0123456789abcdef01234567\",\"bytes\":1,\"modified\":1,\"source\":\"hf:u/v\"}",
       "/models/n.gguf, from hf:u/v); remove"},
  };
  unsetenv("HF_HUB_OFFLINE");
  MADE_OK(tx_directory_make(made("taken/models"), error));
  write_text(made("taken/models/n.gguf"), "other");
  for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
    char what[100];
    tx_pulled pulled;
    snprintf(json, sizeof json,
             "{\"sha\":\"" COMMIT "\",\"siblings\":[{\"rfilename\":\"%s\",\"size\":3}]}",
             taken[i].file);
    list.body = json, list.size = strlen(json);
    scripts = &list, script_count = 1, script_at = 0;
    snprintf(what, sizeof what, "hf:t/%s", taken[i].name);
    if (*taken[i].receipt) write_text(made("taken/models/n.json"), taken[i].receipt);
    MADE_FAILS(tx_pull(what, made("taken"), NULL, &pulled, NULL, error), TX_ERROR_INPUT,
               taken[i].part);
    assert_int_equal(script_at, 1); /* the list alone */
  }
}

static void test_settings(void **state) {
  (void)state;
  static const char *const odd[] = {"", "0", "86401", "1x", "-1", ":", "/"};
  for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
    setenv("HF_HUB_DOWNLOAD_TIMEOUT", odd[i], 1);
    assert_int_equal(tx_http_rules_defaults().stall_seconds, 30);
  }
  unsetenv("HF_HUB_DOWNLOAD_TIMEOUT");
  char origin[TX_HOST_SIZE], url[600];
  memset(url, 'a', sizeof url);
  memcpy(url, "https://", 8);
  url[500] = '\0';
  assert_false(tx_http_origin(url, origin));
  assert_true(tx_http_origin("https://A.b[", origin) || !*origin);
}

/* ---- at the limits of paths --------------------------------------------------- */

static char *long_home(size_t size) {
  static char home[TX_PATH_SIZE];
  size_t used = (size_t)snprintf(home, sizeof home, "%s", made("h"));
  for (; used < size; used++) home[used] = (char)(used % 100 == 0 ? '/' : 'd');
  home[size] = '\0';
  if (size && home[size - 1] == '/') home[size - 1] = 'd';
  return home;
}

/* Whatever is made of the home's name does not fit at some length, and is told. */
static void test_long_homes(void **state) {
  (void)state;
  static script list = {.status = 200};
  static char json[400], sha256[65];
  memset(sha256, 'a', 64);
  snprintf(json, sizeof json,
           "{\"sha\":\"" COMMIT
           "\",\"siblings\":[{\"rfilename\":\"n.gguf\",\"lfs\":{\"sha256\":\"%s\","
           "\"size\":3}}]}",
           sha256);
  list.body = json, list.size = strlen(json);
  scripts = &list, script_count = 1;
  tx_known known[3] = {
      {.name = "n", .license = "mit", .kind = TX_KNOWN_MODEL, .sha256 = sha256, .bytes = 3},
      {.name = "s", .license = "mit", .kind = TX_KNOWN_SENTIMENT},
      {.name = "m", .license = "mit", .kind = TX_KNOWN_SMS}};
  for (int i = 0; i < 3; i++) {
    known[i].sources[0] =
        (tx_known_source){.address = "https://i.invalid/n.tgz!n", .sha256 = sha256, .bytes = 3};
  }
  int failures = 0;
  for (size_t size = 4000; size < TX_PATH_SIZE - 1; size += size < 4040 ? 8 : 1) {
    const char *home = long_home(size);
    for (int i = 0; i < 5; i++) {
      tx_pulled pulled;
      tx_receipt receipt = {0};
      tx_error error = {0};
      setenv("HF_HUB_OFFLINE", i == 3 ? "0" : "1", 1);
      tx_status status = i < 3 ? tx_pull_known(&known[i], home, made("set"), &pulled, NULL, &error)
                         : i == 3 ? tx_pull_hub("hf:t/n", home, &pulled, NULL, &error)
                                  : tx_receipt_write(home, "n", receipt, &error);
      assert_int_equal(status, error.status);
      failures += status != TX_OK;
      if (i == 4) tx_pull_hub("hf:t/n", home, &pulled, NULL, NULL);
    }
  }
  assert_true(failures > 200);
  char command[200];
  snprintf(command, sizeof command, "rm -rf %s*", made("h"));
  assert_int_equal(system(command), 0);
}

/* ---- a disk as large as a test wants it ------------------------------------------ */

static const struct statvfs *disk_made;

int statvfs(const char *path, struct statvfs *disk) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  int code = file < 0 ? -1 : fstatvfs(file, disk);
  if (file >= 0) close(file);
  if (disk_made) *disk = *disk_made;
  return code;
}

/* All but 16 MB can be had; what no number holds is as good as endless. */
static void test_space(void **state) {
  (void)state;
  static const struct {
    uint64_t blocks, size;
    int64_t left;
  } disks[] = {{16 << 10, 1 << 10, 0},
               {(16 << 10) + 1, 1 << 10, 1 << 10},
               {0, 512, 0},
               {1, 1 << 10, 0},
               {UINT64_MAX / 2, 4, INT64_MAX},
               {UINT64_MAX, 1, INT64_MAX},
               {INT64_MAX, 1, INT64_MAX - (16 << 20)}};
  for (size_t i = 0; i < sizeof disks / sizeof *disks; i++) {
    struct statvfs disk = {.f_blocks = 1, .f_bavail = disks[i].blocks, .f_frsize = disks[i].size};
    disk_made = &disk;
    int64_t left = tx_space_left(made_directory);
    tx_error error = {0};
    tx_status fits = tx_space_check(made_directory, disks[i].left, &error);
    tx_status more = disks[i].left < INT64_MAX
                         ? tx_space_check(made_directory, disks[i].left + 1, &error)
                         : TX_ERROR_SYSTEM;
    disk_made = NULL;
    assert_int_equal(left, disks[i].left);
    assert_int_equal(fits, TX_OK);
    assert_int_equal(more, TX_ERROR_SYSTEM);
  }
}

/* ---- receipts ------------------------------------------------------------------- */

static void test_receipts(void **state) {
  (void)state;
#define SHA "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
  static const char *const none[] = {
      "",   "{", "[]", "{}", "{\"sha256\":5}", "{\"sha256\":\"" SHA "\"}",
      "{\"sha256\":\"" SHA "a\",\"bytes\":1,\"modified\":1}",
      "{\"sha256\":\"x" SHA "\",\"bytes\":1,\"modified\":1}",
      "{\"sha256\":\"aa\",\"bytes\":1,\"modified\":1}",
      "{\"sha256\":\"zaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"bytes\":"
      "1,\"modified\":1}",
      "{\"sha256\":\"" SHA "\",\"bytes\":1}",
      "{\"sha256\":\"" SHA "\",\"bytes\":1.5,\"modified\":1}",
      "{\"sha256\":\"" SHA "\",\"bytes\":1,\"modified\":null}"};
  tx_receipt receipt;
  bool there;
  MADE_OK(tx_directory_make(made("r/models"), error));
  for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
    write_text(made("r/models/n.json"), none[i]);
    MADE_OK(tx_receipt_read(made("r"), "n", &receipt, &there, error));
    assert_false(there);
  }
  write_text(made("r/models/n.json"), "{\"sha256\":\"" SHA "\",\"bytes\":1,\"modified\":1}");
  MADE_OK(tx_receipt_read(made("r"), "n", &receipt, &there, error));
  assert_true(there);
  MADE_FAILS(tx_receipt_write(made("r"), "\xff", receipt, error), TX_ERROR_INPUT, "is not UTF-8");
  /* One with blanks up to 64 KB is read, one longer is not. */
  static char padded[(1 << 16) + 2];
  for (int more = 0; more < 2; more++) {
    memset(padded, ' ', (1 << 16) + 1);
    padded[(1 << 16) + more] = '\0';
    static const char text[] = "{\"sha256\":\"" SHA "\",\"bytes\":1,\"modified\":1}";
    memcpy(padded, text, sizeof text - 1);
    write_text(made("r/models/n.json"), padded);
    MADE_OK(tx_receipt_read(made("r"), "n", &receipt, &there, error));
    assert_int_equal(there, !more);
  }
  /* Where a file came from is not noted by a name that JSON cannot hold. */
  snprintf(receipt.sha256, sizeof receipt.sha256, "%s", SHA);
  snprintf(receipt.source, sizeof receipt.source, "file:\xff");
  MADE_OK(tx_receipt_write(made("r"), "u", receipt, error));
  MADE_OK(tx_receipt_read(made("r"), "u", &receipt, &there, error));
  assert_true(there);
  assert_string_equal(receipt.source, "");
  /* Receipts of other repositories, commits and files are not the one that is meant. */
  static const char *const sources[] = {"", "x", "hf:t/nn@" COMMIT "/n.gguf",
                                        "hf:u/n@" COMMIT "/n.gguf",
                                        "hf:t/n@short", "hf:t/n@" COMMIT "x/n.gguf",
                                        "hf:t/n@" COMMIT "/README",
                                        "hf:t/n@" COMMIT "/n.gguf"};
  setenv("HF_HUB_OFFLINE", "1", 1);
  unsetenv("HF_HOME"), unsetenv("HOME"), unsetenv("XDG_CACHE_HOME");
  for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
    char text[400];
    tx_pulled pulled;
    snprintf(text, sizeof text,
             "{\"sha256\":\"" SHA "\",\"bytes\":1,\"modified\":1,\"source\":\"%s\"}", sources[i]);
    write_text(made("r/models/n.json"), text);
    write_text(made("r/models/.json"), text);
    MADE_FAILS(tx_pull_hub("hf:t/n@v1", made("r"), &pulled, NULL, error), TX_ERROR_SYSTEM,
               "nor in");
    MADE_FAILS(tx_pull_hub("hf:t/n", made("r"), &pulled, NULL, error), TX_ERROR_SYSTEM, "nor in");
  }
}

/* ---- what is odd in lists, lines and messages ------------------------------------ */

static void test_lists(void **state) {
  (void)state;
#define FILES "\"sha\":\"" COMMIT "\",\"siblings\":["
  static const struct {
    const char *json, *license;
    size_t files;
    int64_t bytes;
  } lists[] = {
      {"{" FILES "]}", "", 0, 0},
      {"{" FILES
       "{\"rfilename\":\"a.gguf\",\"size\":0}],\"tags\":[5,\"x\",\"license:a\",\"license:b\"]}",
       "a", 1, -1},
      {"{" FILES
       "{\"rfilename\":\"a.gguf\",\"lfs\":{\"size\":\"5\",\"sha256\":\"xyz\"},\"size\":6}],"
       "\"cardData\":{\"license\":\"other\",\"license_name\":\"own\"}}",
       "own", 1, 6},
      {"{" FILES
       "{\"rfilename\":\"a.gguf\",\"lfs\":{\"size\":-5}}],\"cardData\":{\"license\":\"other\"},"
       "\"tags\":[\"license:x\"]}",
       "other", 1, -1},
      {"{" FILES "{\"rfilename\":\"a.gguf\"}],\"cardData\":{\"license\":\"a\\u007fb\"}}", "", 1,
       -1},
      {"{" FILES "{\"rfilename\":\"a.gguf\"}],\"cardData\":{\"license\":\"a\\nb\"}}", "", 1, -1},
      {"{" FILES "{\"rfilename\":\"a.gguf\"}],\"cardData\":{\"license\":[]}}", "", 1, -1},
  };
  for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
    tx_hub_wish wish = {.repository = "t/n", .revision = "main"};
    tx_hub_listing list;
    MADE_OK(tx_hub_listing_read(tx_text_of(lists[i].json), &wish, &list, error));
    assert_string_equal(list.license, lists[i].license);
    assert_int_equal(list.count, lists[i].files);
    if (list.count) assert_int_equal(list.files[0].bytes, lists[i].bytes);
    if (list.count) assert_string_equal(list.files[0].sha256, "");
    tx_hub_listing_free(&list);
  }
  /* A licence that is too long to keep is none. */
  for (int more = 0; more < 2; more++) {
    char json[400], license[200];
    tx_hub_wish wish = {.repository = "t/n", .revision = "main"};
    tx_hub_listing list;
    int size = (int)sizeof list.license - 1 + more;
    memset(license, 'l', sizeof license);
    snprintf(json, sizeof json, "{" FILES "],\"cardData\":{\"license\":\"%.*s\"}}", size, license);
    MADE_OK(tx_hub_listing_read(tx_text_of(json), &wish, &list, error));
    assert_int_equal(strlen(list.license), more ? 0 : size);
    tx_hub_listing_free(&list);
  }
  static const char *const none[] = {"{\"sha\":\"" COMMIT "\"}",
                                     "{\"sha\":\"" COMMIT "\",\"siblings\":{}}"};
  for (int i = 0; i < 2; i++) {
    tx_hub_wish wish = {.repository = "t/n", .revision = "main"};
    tx_hub_listing list;
    MADE_FAILS(tx_hub_listing_read(tx_text_of(none[i]), &wish, &list, error), TX_ERROR_INPUT,
               "is not understood: it lists no files");
    tx_hub_listing_free(&list);
  }
  tx_hub_settings settings = {.endpoint = "https://a"};
  tx_hub_wish wish = {.repository = "t/n", .revision = "main"};
  tx_error gone = {0};
  assert_int_equal(tx_hub_fail(&settings, &wish, NULL, 410, "", &gone), TX_ERROR_INPUT);
  gone = (tx_error){0};
  assert_int_equal(tx_hub_fail(&settings, &wish, NULL, 404, "", &gone), TX_ERROR_INPUT);
}

static void test_lines(void **state) {
  (void)state;
  static const char *const bad[] = {"1\t1.2.3\ta", "1\t1234567890123456789\ta", "1\t\ta",
                                    "1\t-5\ta", "1\t5\ta", "1\t/\ta", "1\t:\ta", "1\t-\ta", "1"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    MADE_FAILS(tx_sentiment_write(tx_text_of(bad[i]), "l", made("set"), error), TX_ERROR_INPUT,
               "a rating from -4 to 4");
  }
  MADE_OK(tx_directory_make(made("set"), error));
  MADE_OK(tx_sentiment_write(tx_text_of("a\t-0.5\t\xe2\x82\xac\r\n\r\nb\t4\t\x80\x7f\xff"), "l",
                             made("set"), error));
  MADE_FAILS(tx_sentiment_write(tx_text_of("a\t1\tother"), "l", made("set"), error), TX_ERROR_INPUT,
             "is there already with other contents");
  static const char *const same_size[] = {"a\t1\tone", "a\t1\ttwo"};
  MADE_OK(tx_directory_make(made("set3"), error));
  MADE_OK(tx_sentiment_write(tx_text_of(same_size[0]), "l", made("set3"), error));
  MADE_FAILS(tx_sentiment_write(tx_text_of(same_size[1]), "l", made("set3"), error), TX_ERROR_INPUT,
             "is there already with other contents");
  MADE_OK(tx_directory_make(made("set2/val.tsv"), error));
  MADE_FAILS(tx_sentiment_write(tx_text_of("a\t1\tother"), "l", made("set2"), error),
             TX_ERROR_INPUT, "is a directory");
  char far[TX_PATH_SIZE + 10];
  memset(far, 'd', sizeof far - 1), far[sizeof far - 1] = '\0';
  MADE_FAILS(tx_sentiment_write(tx_text_of("a\t1\tother"), "l", far, error), TX_ERROR_ARGUMENT,
             "too long");
}

static void test_mail(void **state) {
  (void)state;
  static const char *const mails[][2] = {
      {"Content-Type: multipart/x; boundary=\n\nx", ""},
      {"Content-Type: multipart/x; boundary=\"open\n\n--open\n\nin\n--open--", "in"},
      {"Content-Transfer-Encoding: quoted-printable\n\n=aF=Fa=gg=", "\xc2\xaf\xc3\xba=gg="},
      {"Content-Transfer-Encoding: quoted-printable\n\na=\r", "a="},
      {"Content-Transfer-Encoding: quoted-printable\n\na=\rb=@0=G0", "a= b=@0=G0"},
      {"Content-Type: text/html\n\n<{> </a><!x><Z><", "<{> <"},
      {"Subject\nSubject:\n\n ", ""},
  };
  for (size_t i = 0; i < sizeof mails / sizeof *mails; i++) {
    tx_text text, subject;
    tx_arena *arena = tx_arena_new();
    assert_true(tx_mail_text(tx_text_of(mails[i][0]), arena, &text, &subject));
    assert_string_equal(text.data, mails[i][1]);
    tx_arena_free(arena);
  }
}

/* What a person may name that is no model's name. */
static void test_model_names(void **state) {
  (void)state;
  char name[700], path[4096], sha256[65];
  tx_pulled pulled;
  memset(name, 'n', sizeof name), name[699] = '\0';
  MADE_FAILS(tx_model_locate(name, made("r"), path, sha256, error), TX_ERROR_INPUT, "is too long");
  MADE_FAILS(tx_pull(NULL, made("r"), NULL, &pulled, NULL, error), TX_ERROR_ARGUMENT,
             "nothing is named");
  MADE_FAILS(tx_pull("./.gguf", made("r"), NULL, &pulled, NULL, error), TX_ERROR_INPUT,
             "cannot be a model's");
  MADE_FAILS(tx_pull("a/", made("r"), NULL, &pulled, NULL, error), TX_ERROR_INPUT,
             "cannot be a model's");
  MADE_FAILS(tx_pull("./\xff", made("r"), NULL, &pulled, NULL, error), TX_ERROR_INPUT,
             "cannot be a model's");
  MADE_FAILS(tx_pull("./a\nb", made("r"), NULL, &pulled, NULL, error), TX_ERROR_INPUT,
             "cannot be a model's");
  name[0] = '.', name[1] = '/';
  MADE_FAILS(tx_pull(name, made("r"), NULL, &pulled, NULL, error), TX_ERROR_INPUT,
             "cannot be a model's");
  static char far[5000];
  memset(far, 'n', sizeof far - 1), far[1] = '/';
  MADE_FAILS(tx_model_locate(far, made("r"), path, sha256, error), TX_ERROR_ARGUMENT,
             "is too long");
  MADE_FAILS(tx_model_locate("n", far, path, sha256, error), TX_ERROR_ARGUMENT,
             "choose a shorter one");
  /* Models whose names JSON cannot hold, hidden ones, directories: not in the list. */
  static const char *const left[] = {"r/models/\xff.gguf", "r/models/.h.gguf", "r/models/x.txt",
                                     "r/models/.gguf"};
  char *json;
  for (size_t i = 0; i < 4; i++) write_text(made(left[i]), "x");
  MADE_OK(tx_directory_make(made("r/models/d.gguf"), error));
  write_text(made("r/models/smollm2-135m.gguf"), "x");
  MADE_OK(tx_models_json(made("r"), &json, error));
  assert_memory_equal(json, "[{\"name\": \"smollm2-135m\", ", 26);
  assert_null(strstr(json + 2, "{"));
  tx_free_string(json);
}

static int setup(void **state) {
  setenv("TAXON_PULL_DELAY", "0", 1);
  setenv("TAXON_PULL_TRIES", "2", 1);
  unsetenv("HF_ENDPOINT"), unsetenv("HF_TOKEN"), unsetenv("HF_HUB_CACHE");
  unsetenv("HUGGINGFACE_HUB_CACHE");
  return made_setup(state);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_codes),    cmocka_unit_test(test_statuses),
      cmocka_unit_test(test_headers),  cmocka_unit_test(test_ranges),
      cmocka_unit_test(test_delays),   cmocka_unit_test(test_progress),
      cmocka_unit_test(test_restarts), cmocka_unit_test(test_long_address),
      cmocka_unit_test(test_sms_address), cmocka_unit_test(test_archive_parts),
      cmocka_unit_test(test_taken_names), cmocka_unit_test(test_space),
      cmocka_unit_test(test_settings), cmocka_unit_test(test_long_homes),
      cmocka_unit_test(test_receipts), cmocka_unit_test(test_lists),
      cmocka_unit_test(test_lines),    cmocka_unit_test(test_mail),
      cmocka_unit_test(test_model_names),
  };
  return cmocka_run_group_tests(tests, setup, made_teardown);
}
