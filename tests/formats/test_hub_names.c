/* What the hub's names, settings, lists and choices come to, without a server. */
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
#include "formats/http.h"
#include "formats/hub_parts.h"
#include "formats/nearest.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"

/* ---- names ---- */

static void expect_wish(const char *what, const char *repository, const char *revision,
                        const char *file) {
  tx_hub_wish wish;
  tx_error error = {0};
  if (tx_hub_parse(what, &wish, &error) != TX_OK) fail_msg("%s: %s", what, error.message);
  assert_string_equal(wish.repository, repository);
  assert_string_equal(wish.revision, revision);
  assert_string_equal(wish.file, file);
}

static void test_parse(void **state) {
  (void)state;
  expect_wish("hf:a/b", "a/b", "main", "");
  expect_wish("hf:A-1/b_2.c-GGUF", "A-1/b_2.c-GGUF", "main", "");
  expect_wish("hf:a/b@v1.0", "a/b", "v1.0", "");
  expect_wish("hf:a/b@v1/c/d.gguf", "a/b", "v1", "c/d.gguf");
  expect_wish("hf:a/b@refs/pr/1/d.gguf", "a/b", "refs/pr/1", "d.gguf");
  expect_wish("hf:a/b@refs/pr/1/c/d.gguf", "a/b", "refs/pr/1", "c/d.gguf");
  expect_wish("hf:a/b@refs/x", "a/b", "refs/x", "");
  expect_wish("_a/_b/.c/ab/d.gguf", "_a/_b", "main", ".c/ab/d.gguf");
  expect_wish("hf:a/b@refs/pr/1", "a/b", "refs/pr/1", "");
  expect_wish("hf:a/b/Q4_K_M", "a/b", "main", "Q4_K_M");
  expect_wish("hf:a/b/x@y.gguf", "a/b", "main", "x@y.gguf");
  expect_wish("hf:a/b/\xc3\xa4 b.gguf", "a/b", "main", "\xc3\xa4 b.gguf");
}

static void test_parse_refuses(void **state) {
  (void)state;
  static const char *const bad[] = {
      "hf:",          "hf:a",          "hf:a@b/c",        "hf:/b",          "hf:a/",
      "hf:../b",      "hf:a/..",       "hf:a/.b",         "hf:a/b..c",      "hf:-a/b",
      "hf:a b/c",     "hf:a/b%2f",     "hf:a/b@",         "hf:a/b@../x",    "hf:a/b@a//b",
      "hf:a/b@x..y",  "hf:a/b@-x",     "hf:a/b@x y",      "hf:a/b@x.",      "hf:a/b/",
      "hf:a/b//c",    "hf:a/b/../c",   "hf:a/b/c/..",     "hf:a/b/./c",     "hf:a/b/c\\d",
      "hf:a/b/c\nd",  "hf:a/b/c\x7f",  "hf:a/b/\xff",     "hf:a/b@v1//c",   "hf:a/b@v1/../c",
      "hf:a/b/c/",    "hf:a\\b/c",     "hf:a/b?x",        "hf:a/b#x",       "hf:a/b:c"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    tx_hub_wish wish;
    tx_error error = {0};
    if (tx_hub_parse(bad[i], &wish, &error) != TX_ERROR_ARGUMENT) fail_msg("%s", bad[i]);
    assert_non_null(strstr(error.message, "; say hf:owner/name, with @revision or /file"));
  }
  /* Over-long in each part. */
  static const int parts[] = {100, 250, 600};
  for (int i = 0; i < 3; i++) {
    char what[1000], part[700];
    memset(part, 'x', sizeof part);
    part[parts[i]] = '\0';
    snprintf(what, sizeof what, i == 0 ? "hf:a/%s" : i == 1 ? "hf:a/b@%s" : "hf:a/b/%s", part);
    tx_hub_wish wish;
    assert_int_equal(tx_hub_parse(what, &wish, NULL), TX_ERROR_ARGUMENT);
  }
  tx_error error = {0};
  tx_hub_wish wish;
  tx_hub_parse("hf:a/..", &wish, &error);
  assert_string_equal(error.message,
                      "hf:a/..: the hub has no such names; say hf:owner/name, with @revision or "
                      "/file");
}

static void expect_escaped(const char *text, bool slash, const char *expected) {
  tx_buffer url = {0};
  tx_hub_escape(&url, text, slash);
  assert_string_equal(url.data, expected);
  tx_buffer_free(&url);
}

static void test_escape(void **state) {
  (void)state;
  expect_escaped("a/b-c_d.~e", true, "a/b-c_d.~e");
  expect_escaped("a/b", false, "a%2Fb");
  expect_escaped("\xc3\xa4 ?#%&+", true, "%C3%A4%20%3F%23%25%26%2B");
}

static void test_origin(void **state) {
  (void)state;
  static const struct {
    const char *url, *origin;
  } examples[] = {{"https://Hub.Example/a/b?c", "https://hub.example:443"},
                  {"http://localhost:8080", "http://localhost:8080"},
                  {"https://[::1]:1/x", "https://[::1]:1"},
                  {"ftp://a/b", NULL},
                  {"https://me@a/b", NULL},
                  {"https://me:secret@a/b", NULL},
                  {"file:///etc/passwd", NULL},
                  {"", NULL},
                  {"https://", NULL}};
  char origin[TX_HOST_SIZE];
  for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
    assert_int_equal(tx_http_origin(examples[i].url, origin), examples[i].origin != NULL);
    assert_string_equal(origin, examples[i].origin ? examples[i].origin : "");
  }
}

/* ---- settings ---- */

static char folder[64];

static void clear(void) {
  static const char *const all[] = {"HF_ENDPOINT",   "HF_TOKEN",       "HF_HOME",
                                    "HF_HUB_CACHE",  "HF_HUB_OFFLINE", "HUGGINGFACE_HUB_CACHE",
                                    "HF_TOKEN_PATH", "XDG_CACHE_HOME", "HOME",
                                    "HF_HUB_DISABLE_IMPLICIT_TOKEN"};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) unsetenv(all[i]);
}

static tx_hub_settings settings_of(const char *name, const char *value) {
  tx_hub_settings settings;
  tx_error error = {0};
  if (name) setenv(name, value, 1);
  if (tx_hub_settings_read(&settings, &error) != TX_OK) fail_msg("%s", error.message);
  return settings;
}

static void test_settings(void **state) {
  (void)state;
  clear();
  tx_hub_settings s = settings_of(NULL, NULL);
  assert_string_equal(s.endpoint, "https://huggingface.co");
  assert_string_equal(s.token, "");
  assert_string_equal(s.cache, "");
  assert_false(s.plain || s.offline);
  assert_string_equal(settings_of("HOME", "/h").cache, "/h/.cache/huggingface/hub");
  assert_string_equal(settings_of("XDG_CACHE_HOME", "/x").cache, "/x/huggingface/hub");
  assert_string_equal(settings_of("HF_HOME", "/hf").cache, "/hf/hub");
  assert_string_equal(settings_of("HUGGINGFACE_HUB_CACHE", "/old").cache, "/old");
  assert_string_equal(settings_of("HF_HUB_CACHE", "/new").cache, "/new");
  s = settings_of("HF_ENDPOINT", "http://mirror:8080/hub//");
  assert_string_equal(s.endpoint, "http://mirror:8080/hub");
  assert_true(s.plain);
  /* What is too long for a path is as if it were not set. */
  static char longest[5000];
  memset(longest, 'x', sizeof longest - 1);
  clear();
  assert_string_equal(settings_of("HF_HUB_CACHE", longest).cache, "");
  unsetenv("HF_HUB_CACHE");
  assert_string_equal(settings_of("HF_HOME", longest).cache, "");
  assert_string_equal(settings_of("HF_TOKEN_PATH", longest).token, "");
  clear();
  static const char *const yes[] = {"1", "true", "YES", "On"},
                          *const no[] = {"", "0", "false", "2"};
  for (int i = 0; i < 4; i++) {
    assert_true(settings_of("HF_HUB_OFFLINE", yes[i]).offline);
    assert_false(settings_of("HF_HUB_OFFLINE", no[i]).offline);
  }
}

static void expect_token(const char *text, const char *token) {
  char path[100];
  snprintf(path, sizeof path, "%s/token", folder);
  FILE *file = fopen(path, "wb");
  fputs(text, file);
  fclose(file);
  assert_string_equal(settings_of(NULL, NULL).token, token);
}

static void test_tokens(void **state) {
  (void)state;
  clear();
  strcpy(folder, "/tmp/taxon-test-XXXXXX");
  assert_non_null(mkdtemp(folder));
  setenv("HF_HOME", folder, 1);
  expect_token("", "");
  expect_token(" hf_abc \r\n", "hf_abc");
  assert_string_equal(settings_of("HF_TOKEN", "\thf_x").token, "hf_x");
  unsetenv("HF_TOKEN");
  char path[100];
  snprintf(path, sizeof path, "%s/other", folder);
  assert_string_equal(settings_of("HF_TOKEN_PATH", path).token, "");
  snprintf(path, sizeof path, "%s/token", folder);
  setenv("HF_HOME", "/nowhere", 1);
  assert_string_equal(settings_of("HF_TOKEN_PATH", path).token, "hf_abc");
  assert_string_equal(settings_of("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1").token, "");
  /* What could break out of a header is refused, and not shown. */
  static const char *const bad[] = {"hf_a\nX-Evil: 1", "two words", "\xc3\xa4", "a\x7f"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    tx_hub_settings s;
    tx_error error = {0};
    setenv("HF_TOKEN", bad[i], 1);
    assert_int_equal(tx_hub_settings_read(&s, &error), TX_ERROR_ARGUMENT);
    assert_string_equal(error.message,
                        "the token in HF_TOKEN is none: it must be one plain word");
  }
  char command[128];
  snprintf(command, sizeof command, "rm -rf %s", folder);
  assert_int_equal(system(command), 0);
}

static void test_endpoints(void **state) {
  (void)state;
  clear();
  static char longest[TX_HUB_ENDPOINT + 1];
  static const char *const bad[] = {"ftp://hub",        "https://me:pw@hub", "https://hub?x",
                                    "https://hub#x",    "https://h b",       "https://hub\\x",
                                    "https:///",        "https://h\nX: y",
                                    "/",                "https://h\xc3\xa4",  longest};
  memset(longest, 'x', sizeof longest - 1);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    tx_hub_settings s;
    tx_error error = {0};
    setenv("HF_ENDPOINT", bad[i], 1);
    assert_int_equal(tx_hub_settings_read(&s, &error), TX_ERROR_ARGUMENT);
    char shown[TX_SHOWN_SIZE], expected[256];
    bool secret = strchr(bad[i], '@') != NULL;
    snprintf(expected, sizeof expected,
             "HF_ENDPOINT%s%s%s is no address: it must be https://host or http://host, without a "
             "user's name",
             secret ? "" : " '", secret ? "" : tx_show_name(tx_text_of(bad[i]), shown),
             secret ? "" : "'");
    assert_string_equal(error.message, expected);
  }
  static const char *const ports[] = {"http://127.0.0.1:99999", "http://h:0/hub", "https://h:8o",
                                      "https://[::1]:65536", "http://h:18446744073709551617"};
  for (size_t i = 0; i < sizeof ports / sizeof *ports; i++) {
    tx_hub_settings s;
    tx_error error = {0};
    char expected[256];
    setenv("HF_ENDPOINT", ports[i], 1);
    assert_int_equal(tx_hub_settings_read(&s, &error), TX_ERROR_ARGUMENT);
    snprintf(expected, sizeof expected,
             "HF_ENDPOINT '%s' is no address: a port is a number from 1 to 65535", ports[i]);
    assert_string_equal(error.message, expected);
  }
  clear();
  assert_false(settings_of(NULL, NULL).set);
  assert_string_equal(settings_of("HF_ENDPOINT", "http://[::1]:65535/x:y").endpoint,
                      "http://[::1]:65535/x:y");
  assert_true(settings_of("HF_ENDPOINT", "http://[::1]").set);
  clear();
}

static void test_rules(void **state) {
  (void)state;
  setenv("TAXON_PULL_TRIES", "0", 1);
  setenv("TAXON_PULL_DELAY", "x", 1);
  setenv("HF_HUB_DOWNLOAD_TIMEOUT", "7s", 1);
  tx_http_rules rules = tx_http_rules_defaults();
  assert_int_equal(rules.tries, 5);
  assert_int_equal(rules.delay_ms, 500);
  assert_int_equal(rules.stall_seconds, 30);
  setenv("TAXON_PULL_TRIES", "2", 1);
  setenv("TAXON_PULL_DELAY", "0", 1);
  setenv("HF_HUB_DOWNLOAD_TIMEOUT", "7", 1);
  rules = tx_http_rules_defaults();
  assert_int_equal(rules.tries, 2);
  assert_int_equal(rules.delay_ms, 0);
  assert_int_equal(rules.stall_seconds, 7);
}

/* ---- lists ---- */

static void test_license(void **state) {
  (void)state;
  static const struct {
    const char *card, *license;
  } examples[] = {
      {"\"cardData\":{\"license\":\"mit\"}", "mit"},
      {"\"cardData\":{\"license\":[\"apache-2.0\",\"mit\"]}", "apache-2.0"},
      {"\"cardData\":{\"license\":\"other\",\"license_name\":\"gemma\"}", "gemma"},
      {"\"cardData\":{\"license\":\"other\"}", "other"},
      {"\"cardData\":null,\"tags\":[1,\"gguf\",\"license:cc0-1.0\"]", "cc0-1.0"},
      {"\"cardData\":{\"license\":3},\"tags\":{}", ""},
      {"\"cardData\":{\"license\":\"a\\nb\"}", ""},
      {"\"x\":1", ""},
  };
  for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
    char json[400];
    tx_hub_listing listing;
    tx_hub_wish wish = {.repository = "a/b", .revision = "main"};
    tx_error error = {0};
    snprintf(json, sizeof json, "{\"sha\":\"" COMMIT "\",\"siblings\":[],%s}", examples[i].card);
    assert_int_equal(tx_hub_listing_read(tx_text_of(json), &wish, &listing, &error), TX_OK);
    assert_string_equal(listing.license, examples[i].license);
    tx_hub_listing_free(&listing);
  }
}

/* A list cut at any byte, and with any byte changed, is read or refused. */
static void test_list_broken(void **state) {
  (void)state;
  static const char whole[] =
      "{\"sha\":\"" COMMIT "\",\"siblings\":[{\"rfilename\":\"a.gguf\",\"size\":-1,\"lfs\":"
      "{\"size\":1e3,\"sha256\":\"ABC\"}}],\"cardData\":{\"license\":[]},\"gguf\":{}}";
  tx_hub_wish wish = {.repository = "a/b", .revision = "main"};
  for (size_t i = 0; i < sizeof whole - 1; i++) {
    char json[sizeof whole];
    memcpy(json, whole, sizeof whole);
    for (int way = 0; way < 3; way++) {
      if (way) json[i] = way == 1 ? '\0' : '[';
      tx_hub_listing listing;
      tx_error error = {0};
      tx_text text = {json, way ? sizeof whole - 1 : i};
      tx_status status = tx_hub_listing_read(text, &wish, &listing, &error);
      assert_int_equal(status, error.status);
      assert_true(status == TX_OK || status == TX_ERROR_INPUT);
      if (way == 0) assert_int_equal(status, TX_ERROR_INPUT);
      tx_hub_listing_free(&listing);
    }
  }
  tx_hub_listing listing;
  assert_int_equal(tx_hub_listing_read(tx_text_of(whole), &wish, &listing, NULL), TX_OK);
  assert_int_equal(listing.count, 1);
  assert_int_equal(listing.files[0].bytes, -1);
  assert_string_equal(listing.files[0].sha256, "");
  tx_hub_listing_free(&listing);
}

/* ---- choices ---- */

static char noted[400];
static void keep_note(void *context, const char *sentence) {
  (void)context;
  snprintf(noted, sizeof noted, "%s", sentence);
}

/* The files are separated by blanks. */
static tx_status choose(const char *files, const char *wished, char chosen[200], tx_error *error) {
  tx_hub_wish wish = {.repository = "o/n", .revision = "main"};
  snprintf(wish.file, sizeof wish.file, "%s", wished);
  tx_hub_listing listing = {.arena = tx_arena_new()};
  char *list = tx_arena_string(listing.arena, files, strlen(files));
  listing.files = tx_arena_array(listing.arena, 20, sizeof *listing.files);
  for (char *name = strtok(list, " "); name; name = strtok(NULL, " ")) {
    listing.files[listing.count++] = (tx_hub_file){.path = name, .bytes = -1, .sha256 = ""};
  }
  size_t index;
  tx_watch watch = {.note = keep_note};
  noted[0] = '\0';
  *error = (tx_error){0};
  tx_status status = tx_hub_choose(&listing, &wish, &index, &watch, error);
  snprintf(chosen, 200, "%s", status == TX_OK ? listing.files[index].path : "");
  tx_arena_free(listing.arena);
  return status;
}

static void expect_choice(const char *files, const char *wish, const char *expected) {
  char chosen[200];
  tx_error error;
  if (choose(files, wish, chosen, &error) != TX_OK) fail_msg("%s: %s", files, error.message);
  assert_string_equal(chosen, expected);
}

static void expect_none(const char *files, const char *wish, const char *sentence) {
  char chosen[200];
  tx_error error;
  assert_int_equal(choose(files, wish, chosen, &error), TX_ERROR_INPUT);
  assert_string_equal(error.message, sentence);
}

static void test_choices(void **state) {
  (void)state;
#define MANY "README.md n-Q2_K.gguf n-Q4_K_S.gguf n-q4_k_m.gguf n.Q8_0.gguf n_f16.gguf n-bf16.gguf"
  expect_choice("README.md a.gguf", "", "a.gguf");
  expect_choice("a.GGUF mmproj-a.gguf a-imatrix.gguf a.safetensors", "", "a.GGUF");
  assert_string_equal(noted, "");
  expect_choice(MANY, "", "n-q4_k_m.gguf");
  assert_string_equal(noted,
                      "of 6 files n-q4_k_m.gguf is taken; name another by hf:o/n/FILE");
  expect_choice(MANY, "Q8_0", "n.Q8_0.gguf");
  expect_choice(MANY, "f16", "n_f16.gguf");
  expect_choice(MANY, "BF16", "n-bf16.gguf");
  expect_choice(MANY, "q2_k", "n-Q2_K.gguf");
  expect_choice(MANY, "n-Q2_K.gguf", "n-Q2_K.gguf");
  expect_choice(MANY, "*q4*", "n-q4_k_m.gguf");
  expect_choice("a/n-Q8_0.gguf b/n-Q4_0.gguf", "a/*", "a/n-Q8_0.gguf");
  expect_choice("n-Q4_K_M-00001-of-00002.gguf n-Q4_K_M-00002-of-00002.gguf n-Q8_0.gguf", "",
                "n-Q8_0.gguf");
}

static void test_no_choice(void **state) {
  (void)state;
  expect_none(MANY, "Q4_K",
              "hf:o/n has no model file that fits 'Q4_K'; it has: n-Q2_K.gguf, n-Q4_K_S.gguf, "
              "n-q4_k_m.gguf, n.Q8_0.gguf, n_f16.gguf, n-bf16.gguf");
  expect_none(MANY, "README.md",
              "hf:o/n has no model file that fits 'README.md'; it has: n-Q2_K.gguf, "
              "n-Q4_K_S.gguf, n-q4_k_m.gguf, n.Q8_0.gguf, n_f16.gguf, n-bf16.gguf");
  expect_none("a-q4_0.gguf b-q4_0.gguf", "",
              "several files of hf:o/n are equally good; name one (hf:o/n/FILE): a-q4_0.gguf, "
              "b-q4_0.gguf");
  expect_none("n-00001-of-00002.gguf n-00002-of-00002.gguf", "",
              "hf:o/n has its models in several parts, which taxon does not read: "
              "n-00001-of-00002.gguf, n-00002-of-00002.gguf; join them by llama-gguf-split --merge "
              "and pull the path");
  expect_none("n-00001-of-00002.gguf", "n-00001-of-00002.gguf",
              "n-00001-of-00002.gguf is one of several parts of a model, which taxon does not "
              "read; join them by llama-gguf-split --merge and pull the path");
  expect_none("README.md model.safetensors pytorch_model.bin", "",
              "hf:o/n has no GGUF file, which is what taxon reads, but: model.safetensors, "
              "pytorch_model.bin; look for a repository of the same name with -GGUF");
  expect_none("README.md", "", "hf:o/n has no model file (.gguf) at revision main; check the name");
  expect_none("", "Q8_0", "hf:o/n has no model file (.gguf) at revision main; check the name");
}

/* ---- the cache of other programs ---- */

#define SHA256 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void shell(const char *format, const char *where) {
  char command[2000];
  snprintf(command, sizeof command, format, where);
  assert_int_equal(system(command), 0);
}

static size_t count_cached(const tx_hub_settings *settings, const char *revision) {
  tx_hub_wish wish = {.repository = "t/n"};
  tx_hub_listing list;
  tx_error error = {0};
  snprintf(wish.revision, sizeof wish.revision, "%s", revision);
  assert_int_equal(tx_hub_cache_list(settings, &wish, &list, &error), TX_OK);
  size_t count = list.count;
  tx_hub_listing_free(&list);
  return count;
}

/* Only what has plain names and is not buried is listed; sizes must agree. */
static void test_cache_folders(void **state) {
  (void)state;
  strcpy(folder, "/tmp/taxon-test-XXXXXX");
  assert_non_null(mkdtemp(folder));
  shell(
      "cd %s && mkdir -p models--t--n/refs models--t--n/blobs && cd models--t--n && "
      "printf 0123456789abcdef0123456789abcdef0123456z > refs/odd && printf x > refs/short && "
      "printf " COMMIT " > refs/main && printf abc > blobs/" SHA256 " && "
      "mkdir -p snapshots/" COMMIT "/1/2/3/4/5 && cd snapshots/" COMMIT " && "
      "printf x > 1/2/3/4/a.gguf && printf x > 1/2/3/4/5/buried.gguf && printf x > 'a\\b.gguf' && "
      "long=$(printf '%%0200d' 0) && mkdir -p $long/$long && printf x > $long/$long/$long.gguf && "
      "ln -s ../../blobs/" SHA256 " b.gguf && mkfifo pipe",
      folder);
  tx_hub_settings settings = {.offline = true};
  snprintf(settings.cache, sizeof settings.cache, "%s", folder);
  assert_int_equal(count_cached(&settings, "main"), 2);
  assert_int_equal(count_cached(&settings, COMMIT), 2);
  assert_int_equal(count_cached(&settings, "odd"), 0);
  assert_int_equal(count_cached(&settings, "short"), 0);
  assert_int_equal(count_cached(&settings, "none"), 0);

  tx_hub_wish wish = {.repository = "t/n"};
  tx_hub_file file = {.path = "b.gguf", .bytes = -1, .sha256 = SHA256};
  char path[TX_PATH_SIZE];
  assert_true(tx_hub_cache_find(&settings, &wish, COMMIT, &file, path));
  file.bytes = 3;
  assert_true(tx_hub_cache_find(&settings, &wish, "none", &file, path)); /* by its blob */
  file.bytes = 4;
  assert_false(tx_hub_cache_find(&settings, &wish, COMMIT, &file, path));
  file = (tx_hub_file){.path = "c.gguf", .bytes = -1, .sha256 = ""};
  assert_false(tx_hub_cache_find(&settings, &wish, COMMIT, &file, path));

  /* The same folder, whose path is longer and longer, until nothing fits. */
  bool found = true;
  file = (tx_hub_file){.path = "b.gguf", .bytes = 3, .sha256 = SHA256};
  for (size_t used = strlen(folder); used + 3 < sizeof settings.cache; used += 2) {
    memcpy(settings.cache + used, "/.", 3);
    if (used < sizeof settings.cache - 200) continue;
    size_t count = count_cached(&settings, COMMIT);
    bool now = tx_hub_cache_find(&settings, &wish, COMMIT, &file, path);
    assert_true(count <= 2 && (found || !now));
    found = now;
    count_cached(&settings, "main");
  }
  assert_false(found);
  settings.cache[0] = '\0';
  assert_false(tx_hub_cache_find(&settings, &wish, COMMIT, &file, path));
  shell("rm -rf %s", folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_parse),       cmocka_unit_test(test_parse_refuses),
      cmocka_unit_test(test_escape),      cmocka_unit_test(test_origin),
      cmocka_unit_test(test_settings),    cmocka_unit_test(test_tokens),
      cmocka_unit_test(test_endpoints),   cmocka_unit_test(test_rules),
      cmocka_unit_test(test_license),     cmocka_unit_test(test_list_broken),
      cmocka_unit_test(test_choices),     cmocka_unit_test(test_no_choice),
      cmocka_unit_test(test_cache_folders),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
