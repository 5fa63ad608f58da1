/* A libcurl without a network: what each request is answered is in `scripts`, by
 * number.  Included once by a test program, whose own definitions then stand in
 * for the library's; addresses (curl_url) and lists stay the library's own.  With
 * FAILING_WORKS (failing.h) making a connection and a list can fail, too. */
#ifndef TX_TESTS_FAKE_CURL_H
#define TX_TESTS_FAKE_CURL_H

#include <curl/curl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#undef curl_easy_setopt
#undef curl_easy_getinfo

/* One answer. */
typedef struct script {
  long status;
  const char *headers;        /* lines that end in "\r\n" */
  const char *body;           /* NULL: none; a part is cut off its front as a Range asks */
  size_t size, most;          /* of the body; > 0: only so much of it comes */
  CURLcode code;              /* CURLE_OK: what the callbacks say */
  const char *next, *words;   /* where it redirects to; what libcurl says of an error */
  curl_off_t retry_after;
  bool unranged;              /* a wish for a part is not heard */
} script;

static script *scripts; /* (…): the last stands for all further requests */
static size_t script_count, script_at;
static char fake_asked[8][600]; /* the addresses and headers of the first requests */

typedef size_t (*fake_take)(char *data, size_t unit, size_t count, void *context);

static struct {
  const script *now;
  char url[8200];
  char *words;
  struct curl_slist *headers;
  fake_take on_header, on_body;
  void *header_data, *body_data, *progress_data;
  curl_xferinfo_callback on_progress;
  curl_off_t from;
} fake;

CURL *curl_easy_init(void) {
#ifdef FAILING_WORKS
  if (failing_now()) return NULL;
#endif
  memset(&fake, 0, sizeof fake);
  return (CURL *)&fake;
}

void curl_easy_cleanup(CURL *curl) { (void)curl; }

#define FAKE_TAKES(option_, target, type) \
  case option_: target = va_arg(value, type); break

CURLcode curl_easy_setopt(CURL *curl, CURLoption option, ...) {
  (void)curl;
  va_list value;
  va_start(value, option);
  switch ((int)option) {
    case CURLOPT_URL: snprintf(fake.url, sizeof fake.url, "%s", va_arg(value, char *)); break;
    FAKE_TAKES(CURLOPT_ERRORBUFFER, fake.words, char *);
    FAKE_TAKES(CURLOPT_HTTPHEADER, fake.headers, struct curl_slist *);
    FAKE_TAKES(CURLOPT_HEADERFUNCTION, fake.on_header, fake_take);
    FAKE_TAKES(CURLOPT_HEADERDATA, fake.header_data, void *);
    FAKE_TAKES(CURLOPT_WRITEFUNCTION, fake.on_body, fake_take);
    FAKE_TAKES(CURLOPT_WRITEDATA, fake.body_data, void *);
    FAKE_TAKES(CURLOPT_XFERINFOFUNCTION, fake.on_progress, curl_xferinfo_callback);
    FAKE_TAKES(CURLOPT_XFERINFODATA, fake.progress_data, void *);
  }
  va_end(value);
  return CURLE_OK;
}

CURLcode curl_easy_getinfo(CURL *curl, CURLINFO info, ...) {
  (void)curl;
  va_list value;
  va_start(value, info);
  switch ((int)info) {
    case CURLINFO_RESPONSE_CODE: *va_arg(value, long *) = fake.now ? fake.now->status : 0; break;
    case CURLINFO_REDIRECT_URL: *va_arg(value, const char **) = fake.now->next; break;
    case CURLINFO_RETRY_AFTER: *va_arg(value, curl_off_t *) = fake.now->retry_after; break;
  }
  va_end(value);
  return CURLE_OK;
}

static inline void fake_note(void) {
  char *to = fake_asked[script_at % 8];
  int used = snprintf(to, sizeof fake_asked[0], "%.300s", fake.url);
  for (const struct curl_slist *one = fake.headers; one; one = one->next) {
    used += snprintf(to + used, sizeof fake_asked[0] - (size_t)used, "|%.90s", one->data);
    long long from;
    if (sscanf(one->data, "Range: bytes=%lld-", &from) == 1) fake.from = from;
  }
}

/* In pieces of the size that libcurl gives. */
static inline CURLcode fake_body(const script *now) {
  size_t from = now->status == 206 && !now->unranged ? (size_t)fake.from : 0;
  size_t end = now->most ? now->most : now->size;
  while (now->body && from < end) {
    size_t piece = end - from < 16384 ? end - from : 16384;
    char copy[16384];
    memcpy(copy, now->body + from, piece);
    if (fake.on_progress(fake.progress_data, 0, (curl_off_t)from, 0, 0)) {
      return CURLE_ABORTED_BY_CALLBACK;
    }
    if (fake.on_body(copy, 1, piece, fake.body_data) != piece) return CURLE_WRITE_ERROR;
    from += piece;
  }
  return now->code;
}

CURLcode curl_easy_perform(CURL *curl) {
  (void)curl;
  fake_note();
  const script *now = &scripts[script_at < script_count ? script_at : script_count - 1];
  script_at++;
  fake.now = now;
  if (now->words) snprintf(fake.words, CURL_ERROR_SIZE, "%s", now->words);
  for (const char *line = now->headers; line && *line;) {
    size_t size = (size_t)(strchr(line, '\n') - line) + 1;
    char copy[2000];
    memcpy(copy, line, size);
    if (fake.on_header(copy, 1, size, fake.header_data) != size) return CURLE_WRITE_ERROR;
    line += size;
  }
  return fake_body(now);
}

#endif
