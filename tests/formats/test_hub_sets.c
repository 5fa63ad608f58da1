/* E-mail and text messages made into data sets, and the ways their archives
 * come: by a stand-in for npm, and from the server of tests/tools/hub_server.py. */
#include <dlfcn.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>
#include <cmocka.h>

#include "base/hash.h"
#include "base/memory.h"
#include "formats/hub_parts.h"

static char folder[64], mail_sha256[65], nothing_sha256[65];
static int port, server_input = -1;
static pid_t server;

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

static char *read_file(const char *name) {
  static char bytes[1 << 20];
  FILE *file = fopen(path_of(name), "rb");
  assert_non_null(file);
  bytes[fread(bytes, 1, sizeof bytes - 1, file)] = '\0';
  fclose(file);
  return bytes;
}

/* ---- what a message says ---- */

static void expect_mail(const char *message, const char *text) {
  tx_arena *arena = tx_arena_new();
  tx_text got, subject;
  assert_true(tx_mail_text(tx_text_of(message), arena, &got, &subject));
  assert_string_equal(got.data, text);
  assert_int_equal(got.size, strlen(text));
  tx_arena_free(arena);
}

static void test_mail_plain(void **state) {
  (void)state;
  expect_mail("From x\nSubject: Hello\n there\nTo: y\n\nOne\ntwo\t three\n",
              "Hello there One two three");
  expect_mail("SUBJECT:a\r\n\r\nb\r\n", "a b");
  expect_mail("X: y\n\nbody", "body");
  expect_mail("Subject: only a subject", "only a subject");
  expect_mail("", "");
  expect_mail("\n\n", "");
  expect_mail("Subject: na\xefve\n\n\x93quoted\x94 a\x01z",
              "na\xc3\xafve \xe2\x80\x9cquoted\xe2\x80\x9d a z");
  expect_mail("Subject: s\nContent-Type: image/gif\nContent-Transfer-Encoding: base64\n\nR0lG",
              "s");
}

static void test_mail_encodings(void **state) {
  (void)state;
#define QP "Content-Transfer-Encoding: quoted-printable\n\n"
  expect_mail(QP "a=3Db =C3=A9 soft=\nline=\r\n s=", "a=b \xc3\xa9 softline s=");
  expect_mail(QP "=3", "=3");
  expect_mail(QP "=zz=0a1=0A2=c3=a9", "=zz 1 2\xc3\xa9");
#define B64 "Content-Transfer-Encoding: Base64\n\n"
  expect_mail(B64 "SGVs\nbG8g\r\nd29ybGQ=\n", "Hello world");
  expect_mail(B64 "SGVsbG8gd29ybA==", "Hello worl");
  expect_mail(B64 "SGVs!bG8", "Hello");
  expect_mail(B64, "");
}

static void test_mail_html(void **state) {
  (void)state;
#define HTML "Content-Type: text/html; charset=us-ascii\n\n"
  expect_mail(HTML "<HTML><STYLE>p {}</style><script>x<y</SCRIPT><!-- <b> -->A<br>b<B>c</B>",
              "A b c");
  expect_mail(HTML "1 < 2 &amp;&lt;&gt;&quot;&#39;&nbsp;&copy; &", "1 < 2 &<>\"' &copy; &");
  expect_mail(HTML "a <never closed", "a");
  expect_mail(HTML "a <style>never closed", "a");
  expect_mail(HTML "a <1> <", "a <1> <");
  expect_mail(
      "Content-Type: text/html\nContent-Transfer-Encoding: quoted-printable\n\n<a "
      "href=3D\"x\">=\ny</a>",
      "y");
}

static void test_mail_parts(void **state) {
  (void)state;
#define MULTI(kind, body) "Subject: s\nContent-Type: multipart/" kind "; boundary=\"XX\"\n\n" body
  expect_mail(MULTI("mixed", "preamble\n--XX\n\none\n--XX\nContent-Type: image/gif\n\nR0lG\n--XX\n"
                             "Content-Type: text/html\n\n<b>two</b>\n--XX--\nepilogue\n"),
              "s one two");
  expect_mail(MULTI("alternative", "--XX\nContent-Type: text/plain\n\nplain\n--XX\n"
                                   "Content-Type: text/html\n\n<b>rich</b>\n--XX--\n"),
              "s plain");
  expect_mail(MULTI("alternative", "--XX\nContent-Type: text/plain\n\n--XX\n"
                                   "Content-Type: text/html\n\n<b>rich</b>\n--XX--\n"),
              "s rich");
  expect_mail(MULTI("mixed", "--XX\n\nno last boundary\nmore"), "s no last boundary more");
  expect_mail(MULTI("mixed",
                    "--XX\nContent-Type: multipart/alternative; boundary=YY; x=y\n\n--YY\n\nin\n"
                    "--YY\n\nnot\n--YY--\n--XX--\n"),
              "s in");
  expect_mail("Content-Type: multipart/mixed\n\nno boundary is named", "");
  /* Nested beyond sense. */
  tx_buffer deep = {0};
  for (int i = 0; i < 50; i++) {
    tx_buffer_format(&deep, "Content-Type: multipart/mixed; boundary=B%dX\n\n--B%dX\n", i, i);
  }
  tx_buffer_append_string(&deep, "\nend\n");
  expect_mail(deep.data, "");
  tx_buffer_free(&deep);
}

/* ---- archives ---- */

static void make_archive(const char *name, bool zip, const char *const *members, size_t count) {
  struct archive *made = archive_write_new();
  if (zip) {
    archive_write_set_format_zip(made);
  } else {
    archive_write_set_format_ustar(made);
    archive_write_add_filter_gzip(made);
  }
  assert_int_equal(archive_write_open_filename(made, path_of(name)), ARCHIVE_OK);
  for (size_t i = 0; i < count; i++) {
    const char *data = members[2 * i + 1];
    struct archive_entry *entry = archive_entry_new();
    archive_entry_set_pathname(entry, members[2 * i]);
    archive_entry_set_size(entry, data ? (la_int64_t)strlen(data) : 0);
    archive_entry_set_filetype(entry, data ? AE_IFREG : AE_IFDIR);
    archive_entry_set_perm(entry, 0644);
    assert_int_equal(archive_write_header(made, entry), ARCHIVE_OK);
    if (data) archive_write_data(made, data, strlen(data));
    archive_entry_free(entry);
  }
  assert_int_equal(archive_write_close(made), ARCHIVE_OK);
  archive_write_free(made);
}

/* As many messages as the real file has, or one more or less of each. */
static char *sms_lines(int ham, int spam) {
  tx_buffer lines = {0};
  for (int i = 0; i < ham; i++) tx_buffer_format(&lines, "ham\tsee you at %d\n", i);
  for (int i = 0; i < spam; i++) tx_buffer_format(&lines, "spam\twin %d now\r\n\n", i);
  return tx_buffer_take(&lines);
}

static void make_sms(const char *name, const char *lines) {
  const char *const members[] = {"readme", "about", "SMSSpamCollection", lines};
  make_archive(name, true, members, 2);
}

static const char fake_npm[] =
    "#!/bin/sh\n"
    "PATH=/usr/bin:/bin\n"
    "case $FAKE in\n"
    "  network) echo 'npm error code ECONNREFUSED' >&2; exit 1;;\n"
    "  full) echo 'npm error code ENOSPC' >&2; exit 1;;\n"
    "  none) exit 0;;\n"
    "esac\n"
    "echo \"$*\" > $FAKE_LOG\n"
    "echo \"$npm_config_cache\" >> $FAKE_LOG\n"
    "while [ $# -gt 0 ]; do\n"
    "  case $1 in --pack-destination) dest=$2;; esac\n"
    "  shift\n"
    "done\n"
    "cp $FAKE_ARCHIVE $dest/\n";

static int prepare(void **state) {
  (void)state;
  strcpy(folder, "/tmp/taxon-test-XXXXXX");
  if (!mkdtemp(folder)) return -1;
  mkdir(path_of("bin"), 0700);
  write_file("bin/npm", fake_npm, sizeof fake_npm - 1);
  chmod(path_of("bin/npm"), 0700);
  write_file("model", "", 0);
  const char *members[2 * 12] = {"package/data/", NULL, "package/data/spam-1/0.json", "{}"};
  static char names[10][64], texts[10][64];
  for (int i = 0; i < 10; i++) {
    snprintf(names[i], sizeof names[i], "package/data/%s-1/%d.txt",
             i % 3 == 0 ? "spam" : i % 3 == 1 ? "easy-ham" : "hard-ham", i);
    snprintf(texts[i], sizeof texts[i], "Subject: %s\n\nmessage %d", i < 4 ? "Re: RE: fwd: x" : "",
             i);
    members[4 + 2 * i] = names[i];
    members[5 + 2 * i] = texts[i];
  }
  make_archive("mail.tgz", false, members, 12);
  tx_sha256_file(path_of("mail.tgz"), mail_sha256, NULL);
  const char *const other[] = {"package/data/other/1.txt", "x", "package/data/spam-1/y", "x",
                               "else/data/spam-1/1.txt", "x"};
  make_archive("nothing.tgz", false, other, 3);
  tx_sha256_file(path_of("nothing.tgz"), nothing_sha256, NULL);
  char *lines = sms_lines(4827, 747), *fewer = sms_lines(4827, 746), *more = sms_lines(4828, 747);
  make_sms("model.good", lines);
  make_sms("model.fewer", fewer);
  make_sms("model.more", more);
  char *swapped = sms_lines(4826, 747);
  make_sms("model.swapped", swapped);
  tx_free(swapped);
  lines[strlen(lines) - 3] = '\0'; /* without the end of the last line */
  make_sms("model.unended", lines);
  make_sms("model.odd", "ham\ta\neggs\tb\n");
  make_sms("model.tabless", "ham\n");
  write_file("model.page", "<html>", 6);
  write_file("model.mail.tgz", "", 0);
  char command[200];
  snprintf(command, sizeof command, "cp %s %s", path_of("mail.tgz"), path_of("model.mail.tgz"));
  assert_int_equal(system(command), 0);
  tx_free(lines);
  tx_free(fewer);
  tx_free(more);

  signal(SIGPIPE, SIG_IGN);
  setenv("TAXON_PULL_TRIES", "1", 1);
  int in[2], out[2];
  char line[100] = "";
  assert_int_equal(pipe(in) | pipe(out), 0);
  server = fork();
  if (server == 0) {
    dup2(in[0], 0);
    dup2(out[1], 1);
    close(in[1]);
    close(out[0]);
    execlp("python3", "python3", "tests/tools/hub_server.py", path_of("model"), (char *)NULL);
    _exit(127);
  }
  close(in[0]);
  close(out[1]);
  server_input = in[1];
  FILE *ready = fdopen(out[0], "r");
  if (fgets(line, sizeof line, ready)) port = atoi(line);
  fclose(ready);
  return 0;
}

static int clean(void **state) {
  (void)state;
  close(server_input);
  kill(server, SIGTERM);
  waitpid(server, NULL, 0);
  char command[128];
  snprintf(command, sizeof command, "rm -rf %s", folder);
  return system(command);
}

/* ---- npm ---- */

static tx_known mail_entry(const char *second) {
  int64_t bytes = tx_file_look(path_of("mail.tgz")).bytes;
  return (tx_known){
      .name = "data:mail",
      .summary = "",
      .license = "CC0-1.0",
      .kind = TX_KNOWN_MAIL,
      .bytes = bytes,
      .sources = {{.address = "npm:@some/mail==0.1.2", .sha256 = mail_sha256, .bytes = bytes},
                  {.address = second, .sha256 = mail_sha256, .bytes = bytes}}};
}

static void use_npm(const char *mode, const char *archive) {
  setenv("FAKE", mode, 1);
  setenv("FAKE_ARCHIVE", path_of(archive), 1);
  setenv("FAKE_LOG", path_of("log"), 1);
}

static char *with_path(const char *path) { /* the old one, new */
  char *old = tx_copy_string(getenv("PATH"));
  setenv("PATH", path, 1);
  return old;
}

static void with_old_path(char *old) {
  setenv("PATH", old, 1);
  tx_free(old);
}

static char noted[600];
static void keep_note(void *context, const char *sentence) {
  (void)context;
  snprintf(noted, sizeof noted, "%s", sentence);
}

static tx_status pull_mail(const tx_known *known, const char *home, const char *path,
                           tx_pulled *pulled, tx_error *error) {
  tx_watch watch = {.note = keep_note};
  char *old = with_path(path);
  noted[0] = '\0';
  *error = (tx_error){0};
  tx_status status =
      tx_pull_known(known, path_of(home), path_of("mail"), pulled, &watch, error);
  with_old_path(old);
  return status;
}

static void test_npm(void **state) {
  (void)state;
  tx_known known = mail_entry(NULL);
  tx_pulled pulled;
  tx_error error;
  use_npm("", "mail.tgz");
  assert_int_equal(pull_mail(&known, "home", path_of("bin"), &pulled, &error), TX_OK);
  assert_true(pulled.fetched);
  assert_string_equal(pulled.sha256, mail_sha256);
  char *log = read_file("log");
  assert_non_null(strstr(log, "pack @some/mail@0.1.2 --pack-destination "));
  assert_non_null(strstr(log, "--ignore-scripts"));
  assert_non_null(strstr(log, "/home/downloads/.fetch-"));
  assert_true(tx_file_look(path_of("home/downloads/mail-0.1.2.tgz")).regular);
  /* Every message once; those of one subject together. */
  static const char *const files[] = {"mail/train.tsv", "mail/val.tsv", "mail/test.tsv"};
  int rows = 0, thread = -1;
  for (int f = 0; f < 3; f++) {
    char *table = read_file(files[f]);
    assert_memory_equal(table, "label\ttext\n", 11);
    for (int i = 0; i < 10; i++) {
      char row[100];
      snprintf(row, sizeof row, "\n%s\t%smessage %d\n", i % 3 ? "ham" : "spam",
               i < 4 ? "Re: RE: fwd: x " : "", i);
      if (!strstr(table, row)) continue;
      rows++;
      if (i < 4) assert_true(thread < 0 || thread == f);
      if (i < 4) thread = f;
    }
  }
  assert_int_equal(rows, 10);
  /* Here already: no npm is needed. */
  assert_int_equal(pull_mail(&known, "home", "/nonexistent", &pulled, &error), TX_OK);
  assert_false(pulled.fetched);
}

static void expect_npm(const char *mode, const char *sentence) {
  tx_known known = mail_entry(NULL);
  tx_pulled pulled;
  tx_error error;
  use_npm(mode, "model.page");
  tx_status status = pull_mail(&known, "other", path_of("bin"), &pulled, &error);
  assert_int_equal(status, error.status);
  assert_string_equal(error.message, sentence);
}

static void test_npm_failures(void **state) {
  (void)state;
  char sentence[400];
  expect_npm("network", "cannot reach the package index for @some/mail==0.1.2; check the network "
                        "and try again (npm says: npm error code ECONNREFUSED)");
  expect_npm("full", "the disk is full: @some/mail==0.1.2 could not be kept; free some space");
  expect_npm("none", "npm left 0 files instead of one; try again");
  snprintf(sentence, sizeof sentence,
           "what was fetched is not the known file of %lld bytes (SHA-256 %s); check which index "
           "npm uses",
           (long long)mail_entry(NULL).bytes, mail_sha256);
  expect_npm("", sentence);
  tx_known known = mail_entry(NULL);
  tx_pulled pulled;
  tx_error error;
  assert_int_equal(pull_mail(&known, "other", "/nonexistent", &pulled, &error), TX_ERROR_SYSTEM);
  assert_string_equal(error.message,
                      "npm is needed to fetch @some/mail==0.1.2 and is not there; install npm");
  tx_known nothing = mail_entry(NULL);
  nothing.sources[0].sha256 = nothing_sha256;
  nothing.sources[0].bytes = tx_file_look(path_of("nothing.tgz")).bytes;
  use_npm("", "nothing.tgz");
  assert_int_equal(pull_mail(&nothing, "empty", path_of("bin"), &pulled, &error), TX_ERROR_INPUT);
  assert_non_null(strstr(error.message, "there are no messages in "));
  known.sources[0].address = "what:is==this";
  assert_int_equal(pull_mail(&known, "other", "/nonexistent", &pulled, &error), TX_ERROR_ARGUMENT);
  error = (tx_error){0};
  assert_int_equal(tx_mail_write(path_of("nothing.tgz"), path_of("mail2"), NULL, &error),
                   TX_ERROR_INPUT);
  assert_non_null(strstr(error.message, "there are no messages in "));
  error = (tx_error){0};
  assert_int_equal(tx_mail_write(path_of("model.page"), path_of("mail2"), NULL, &error),
                   TX_ERROR_INPUT);
  error = (tx_error){0};
  assert_int_equal(tx_mail_write(path_of("absent"), path_of("mail2"), NULL, &error),
                   TX_ERROR_INPUT);
}

/* Without npm: by its address. */
static void test_address(void **state) {
  (void)state;
  if (!port) skip();
  char url[200];
  tx_pulled pulled;
  tx_error error;
  snprintf(url, sizeof url, "http://127.0.0.1:%d/sms/mail.tgz", port);
  tx_known known = mail_entry(url);
  assert_int_equal(pull_mail(&known, "third", "/nonexistent", &pulled, &error), TX_OK);
  assert_true(pulled.fetched);
  assert_string_equal(pulled.source, url);
  assert_string_equal(noted, "npm is needed to fetch @some/mail==0.1.2 and is not there; install "
                             "npm; it is fetched by its address");
  char wrong[65];
  memset(wrong, '0', 64);
  wrong[64] = '\0';
  known.sources[1].sha256 = wrong;
  assert_int_equal(pull_mail(&known, "fourth", "/nonexistent", &pulled, &error), TX_ERROR_SYSTEM);
  known.sources[0] = known.sources[1];
  known.sources[1].address = NULL;
  assert_int_equal(pull_mail(&known, "fourth", "/nonexistent", &pulled, &error), TX_ERROR_INPUT);
  assert_non_null(strstr(error.message, "instead of 0000"));
  assert_false(tx_file_look(path_of("fourth/downloads/mail.tgz")).exists);
  assert_false(tx_file_look(path_of("fourth/downloads/mail.tgz.part")).exists);
}

/* Of what an earlier run left, the rest alone needs room. */
static void test_address_goes_on(void **state) {
  (void)state;
  if (!port) skip();
  char url[200], *bytes = read_file("mail.tgz");
  tx_pulled pulled;
  tx_error error = {0};
  snprintf(url, sizeof url, "http://127.0.0.1:%d/sms/mail.tgz", port);
  tx_known known = mail_entry(NULL);
  known.sources[0].address = url;
  assert_int_equal(tx_directory_make(path_of("fifth/downloads"), &error), TX_OK);
  write_file("fifth/downloads/mail.tgz.part", bytes, 100);
  room = known.bytes - 101;
  assert_int_equal(pull_mail(&known, "fifth", "/nonexistent", &pulled, &error), TX_ERROR_SYSTEM);
  assert_non_null(strstr(error.message, "there is no room for it: "));
  room = known.bytes - 100;
  tx_status status = pull_mail(&known, "fifth", "/nonexistent", &pulled, &error);
  room = -1;
  if (status != TX_OK) fail_msg("%s", error.message);
  assert_true(pulled.fetched);
}

/* ---- text messages ---- */

static tx_status pull_sms(const char *kind, const char *home, tx_pulled *pulled, tx_error *error) {
  char url[200];
  snprintf(url, sizeof url, "http://127.0.0.1:%d/sms/%s", port, kind);
  setenv("TAXON_SMS_SPAM_URL", url, 1);
  *error = (tx_error){0};
  return tx_pull("data:sms-spam", path_of(home), path_of("sms"), pulled, NULL, error);
}

static int64_t lines_of(const char *name) {
  int64_t lines = 0;
  for (const char *at = read_file(name); *at; at++) lines += *at == '\n';
  return lines - 1;
}

static void test_sms(void **state) {
  (void)state;
  if (!port) skip();
  tx_pulled pulled;
  tx_error error;
  if (pull_sms("good", "home", &pulled, &error) != TX_OK) fail_msg("%s", error.message);
  assert_true(pulled.fetched);
  assert_int_equal(strlen(pulled.sha256), 64);
  assert_string_equal(pulled.license, "CC-BY-4.0");
  assert_int_equal(lines_of("sms/train.tsv") + lines_of("sms/val.tsv") + lines_of("sms/test.tsv"),
                   5574);
  char *table = tx_copy_string(read_file("sms/train.tsv"));
  if (pull_sms("unended", "home2", &pulled, &error) != TX_OK) fail_msg("%s", error.message);
  assert_string_equal(read_file("sms/train.tsv"), table); /* the same rows */
  tx_free(table);
  assert_int_equal(pull_sms("page", "home", &pulled, &error), TX_OK); /* not asked for again */
  assert_false(pulled.fetched);
  static const struct {
    const char *kind, *sentence;
  } bad[] = {
      {"fewer",
       "SMSSpamCollection is not the known file: it has 4827 ham and 746 spam instead of "
       "4827 and 747; it was not kept"},
      {"swapped",
       "SMSSpamCollection is not the known file: it has 4826 ham and 747 spam instead of "
       "4827 and 747; it was not kept"},
      {"more", "there are more messages than are known"},
      {"odd", "ham or spam, a tab and a text were expected"},
      {"tabless", "ham or spam, a tab and a text were expected"},
      {"page", "cannot unpack the archive: Unrecognized archive format; remove it and pull again"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    assert_int_equal(pull_sms(bad[i].kind, "clean", &pulled, &error), TX_ERROR_INPUT);
    assert_string_equal(error.message, bad[i].sentence);
    assert_false(tx_file_look(path_of("clean/downloads/sms-spam-collection.zip")).exists);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_mail_plain), cmocka_unit_test(test_mail_encodings),
      cmocka_unit_test(test_mail_html),  cmocka_unit_test(test_mail_parts),
      cmocka_unit_test(test_npm),        cmocka_unit_test(test_npm_failures),
      cmocka_unit_test(test_address),    cmocka_unit_test(test_address_goes_on),
      cmocka_unit_test(test_sms),
  };
  return cmocka_run_group_tests(tests, prepare, clean);
}
