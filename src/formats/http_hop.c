/* One request over libcurl: its headers, its status, its body to the sink. */
#include <curl/curl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/watch.h"
#include "formats/http_parts.h"

enum { HEADER_BYTES = 1 << 18, IGNORED_BYTES = 1 << 16, LINE_SIZE = 512 };
enum { SLOWEST = 100 }; /* bytes a second over the time that the rules give */

/* While libcurl works for a hop. */
typedef struct {
  tx_hop *hop;
  CURL *curl;
  bool begun;      /* the body was looked at */
  bool wrong_part; /* and is not what was asked for */
  bool stalled;
  double since;          /* of the present stretch of time */
  curl_off_t had; /* bytes when it began */
  tx_status sink_failed;
  size_t header_bytes, ignored_bytes;
  int64_t length, range_start, range_total; /* of this answer's headers; -1 */
} transfer;

static void start_library(void) { curl_global_init(CURL_GLOBAL_DEFAULT); }

/* ---- headers ---- */

/* A whole number from the text's start; -1 where there is none. */
static int64_t number_at(const char *text, const char **end) {
  if (*text < '0' || *text > '9') return -1;
  char *after;
  long long value = strtoll(text, &after, 10);
  if (end) *end = after;
  return value;
}

/* "bytes 5-9/10" or "bytes 5-9/" and a star */
static void take_range(transfer *work, const char *value) {
  const char *at = value;
  work->range_start = work->range_total = -1;
  if (strncasecmp(at, "bytes ", 6) != 0) return;
  int64_t start = number_at(at + 6, &at);
  if (start < 0 || *at != '-' || number_at(at + 1, &at) < start || *at != '/') return;
  work->range_start = start;
  work->range_total = number_at(at + 1, NULL);
}

/* Without quotes, and without the mark of a weak one. */
static void take_etag(const char *value, char *to, size_t size) {
  if (strncmp(value, "W/", 2) == 0) value += 2;
  if (*value == '"') value++;
  snprintf(to, size, "%.*s", (int)strcspn(value, "\""), value);
}

static void take_header(transfer *work, const char *name, const char *value) {
  tx_hop *hop = work->hop;
  if (strcasecmp(name, "content-length") == 0) work->length = number_at(value, NULL);
  if (strcasecmp(name, "content-range") == 0) take_range(work, value);
  if (strcasecmp(name, "etag") == 0 && *value == '"') { /* a strong one */
    snprintf(hop->new_etag, sizeof hop->new_etag, "%s", value);
  }
  if (!hop->trusted) return;
  tx_http_answer *answer = hop->answer;
  if (strcasecmp(name, "x-error-code") == 0) {
    snprintf(answer->error_code, sizeof answer->error_code, "%s", value);
  } else if (strcasecmp(name, "x-linked-etag") == 0) {
    take_etag(value, answer->linked_etag, sizeof answer->linked_etag);
  } else if (strcasecmp(name, "x-linked-size") == 0) {
    answer->linked_size = number_at(value, NULL);
  }
}

/* Called by libcurl for each line, the status line among them: a further one
 * begins the headers of a further answer (after 100, or a proxy's). */
static size_t on_header(char *data, size_t unit, size_t count, void *context) {
  transfer *work = context;
  size_t size = unit * count;
  char line[LINE_SIZE];
  work->header_bytes += size;
  if (work->header_bytes > HEADER_BYTES) return 0;
  if (size >= 5 && memcmp(data, "HTTP/", 5) == 0) {
    work->length = work->range_start = work->range_total = -1;
    work->hop->new_etag[0] = '\0';
  }
  const char *colon = memchr(data, ':', size);
  if (!colon || size >= sizeof line) return size; /* none of those above is so long */
  memcpy(line, data, size);
  while (size && strchr("\r\n \t", line[size - 1])) size--;
  line[size] = '\0';
  size_t name = (size_t)(colon - data);
  line[name < size ? name : size] = '\0';
  const char *value = name < size ? line + name + 1 : line + size;
  take_header(work, line, value + strspn(value, " \t"));
  return unit * count;
}

/* ---- the body ---- */

static long status_of(const transfer *work) {
  long status = 0;
  curl_easy_getinfo(work->curl, CURLINFO_RESPONSE_CODE, &status);
  return status;
}

static bool is_body(long status) { return status == 200 || status == 206; }

static tx_status fail_length(const tx_hop *hop, int64_t length) {
  return tx_fail(hop->error, TX_ERROR_INPUT,
                 "%s sends %" PRId64 " bytes instead of the %" PRId64
                 " that were announced; it was not kept; check the address and any proxy",
                 hop->host, length, hop->sink->size);
}

/* Looks at what is about to come; false ends the transfer. */
static bool begin_body(transfer *work) {
  tx_hop *hop = work->hop;
  tx_http_sink *sink = hop->sink;
  if (work->begun) return !work->wrong_part && work->sink_failed == TX_OK;
  work->begun = true;
  if (status_of(work) == 206) {
    bool total = work->range_total < 0 || sink->size < 0 || work->range_total == sink->size;
    work->wrong_part = hop->from == 0 || work->range_start != hop->from || !total;
    return !work->wrong_part;
  }
  if (sink->size >= 0 && work->length >= 0 && work->length != sink->size) {
    work->sink_failed = fail_length(hop, work->length);
  } else if (sink->at > 0) { /* the wish for a part was not heard */
    work->sink_failed = sink->restart(sink->context, hop->error);
    sink->at = 0;
  }
  return work->sink_failed == TX_OK;
}

static size_t on_body(char *data, size_t unit, size_t count, void *context) {
  transfer *work = context;
  tx_hop *hop = work->hop;
  tx_http_sink *sink = hop->sink;
  size_t size = unit * count;
  if (!is_body(status_of(work))) { /* of a redirect or a refusal: not read, not endless */
    work->ignored_bytes += size;
    return work->ignored_bytes > IGNORED_BYTES ? 0 : size;
  }
  if (!begin_body(work)) return 0;
  if ((int64_t)size > sink->limit - sink->at) {
    work->sink_failed = tx_fail(hop->error, TX_ERROR_INPUT,
                                "%s sends more than the %" PRId64
                                " bytes there should be; it was not kept",
                                hop->host, sink->limit);
    return 0;
  }
  work->sink_failed = sink->add(sink->context, data, size, hop->error);
  if (work->sink_failed != TX_OK) return 0;
  sink->at += (int64_t)size;
  return size;
}

/* Called by libcurl about once a second, and with what comes.  Its own limit of
 * speed looks at five seconds at a time. */
static int on_progress(void *context, curl_off_t total, curl_off_t now, curl_off_t up_total,
                       curl_off_t up) {
  transfer *work = context;
  int64_t stall = work->hop->request->rules.stall_seconds;
  (void)total, (void)up_total, (void)up;
  if (tx_seconds() - work->since >= (double)stall) {
    work->stalled = now - work->had < SLOWEST * stall;
    work->since = tx_seconds();
    work->had = now;
  }
  return work->stalled || tx_watch_check(work->hop->request->watch, NULL) != TX_OK;
}

/* ---- how it ended ---- */

static tx_hop_end try_again(tx_hop *hop, const char *reason) {
  snprintf(hop->reason, sizeof hop->reason, "%s", reason);
  return TX_HOP_TRY_AGAIN;
}

static tx_hop_end fail(tx_hop *hop, const char *why, const char *advice) {
  tx_fail(hop->error, TX_ERROR_SYSTEM, "cannot fetch from %s: %s; %s", hop->host, why, advice);
  return TX_HOP_FAILED;
}

/* The whole of it, on one line of ASCII. */
static void show_words(const char *words, char shown[TX_REASON_SIZE]) {
  snprintf(shown, TX_REASON_SIZE, "%s", words);
  for (char *at = shown; *at; at++) {
    if (*at < 0x20 || *at > 0x7e) *at = '?';
  }
}

/* libcurl's own words hold hosts and numbers, no address and no header. */
static tx_hop_end end_of_code(transfer *work, CURLcode code, const char *words) {
  tx_hop *hop = work->hop;
  char shown[TX_REASON_SIZE];
  show_words(*words ? words : curl_easy_strerror(code), shown);
  switch (code) {
    case CURLE_ABORTED_BY_CALLBACK:
      if (work->stalled) return try_again(hop, "it was silent for too long");
      tx_fail(hop->error, TX_ERROR_INTERRUPTED, "interrupted while fetching from %s", hop->host);
      return TX_HOP_FAILED;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
      return fail(hop, shown, "its certificate must be known here (ca-certificates), and the "
                              "clock right");
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_LOGIN_DENIED:
      return fail(hop, "it leads to an address that may not be used", "try again later");
    case CURLE_OUT_OF_MEMORY:
      tx_fail_memory(hop->error, 0, "a connection");
      return TX_HOP_FAILED;
    case CURLE_COULDNT_RESOLVE_PROXY:
      return fail(hop, shown, "check the proxy in the environment (HTTPS_PROXY)");
    case CURLE_OPERATION_TIMEDOUT:
      return try_again(hop, "it was silent for too long");
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
      return try_again(hop, "the connection broke");
    default:
      return try_again(hop, shown);
  }
}

static tx_hop_end end_of_body(transfer *work) {
  tx_http_sink *sink = work->hop->sink;
  bool good = begin_body(work);
  if (work->wrong_part) return TX_HOP_WRONG_RANGE;
  if (!good) return TX_HOP_FAILED;
  if (sink->size >= 0 && sink->at < sink->size) {
    return try_again(work->hop, "the connection ended early");
  }
  return TX_HOP_DONE;
}

static tx_hop_end end_of_status(transfer *work, long status) {
  tx_hop *hop = work->hop;
  char words[64];
  if (status == 416 && hop->from > 0) return TX_HOP_WRONG_RANGE;
  if (status >= 300 && status < 400) {
    const char *next = NULL;
    curl_easy_getinfo(work->curl, CURLINFO_REDIRECT_URL, &next);
    if (!next || strlen(next) >= sizeof hop->next) {
      return fail(hop, "it redirects to nowhere", "try again later");
    }
    memcpy(hop->next, next, strlen(next) + 1);
    return TX_HOP_REDIRECT;
  }
  if (status == 408 || status == 425 || status == 429 || status >= 500) {
    curl_off_t wait = 0;
    curl_easy_getinfo(work->curl, CURLINFO_RETRY_AFTER, &wait);
    hop->retry_after = wait > 0 ? wait : 0;
    snprintf(words, sizeof words, status == 429 ? "it has too many requests (429)"
                                                : "it answered %ld", status);
    return try_again(hop, words);
  }
  return TX_HOP_REFUSED;
}

static tx_hop_end end_of(transfer *work, CURLcode code, const char *words) {
  long status = status_of(work);
  work->hop->answer->status = status;
  if (work->sink_failed != TX_OK) return TX_HOP_FAILED;
  if (work->wrong_part) return TX_HOP_WRONG_RANGE;
  /* A refusal counts as one, however long its words were. */
  bool told = code == CURLE_WRITE_ERROR && work->ignored_bytes > IGNORED_BYTES;
  if (code != CURLE_OK && !told) return end_of_code(work, code, words);
  return is_body(status) ? end_of_body(work) : end_of_status(work, status);
}

/* ---- the request ---- */

/* Appends "NAME: value"; false when out of memory. */
static bool add_header(struct curl_slist **list, const char *name, const char *value) {
  char line[TX_ADDRESS_SIZE];
  int used = snprintf(line, sizeof line, "%s: %s", name, value);
  struct curl_slist *longer =
      (size_t)used < sizeof line ? curl_slist_append(*list, line) : NULL;
  if (longer) *list = longer;
  return longer != NULL;
}

static bool make_headers(const tx_hop *hop, struct curl_slist **list) {
  char value[TX_ADDRESS_SIZE - 64];
  bool good = true;
  if (hop->with_token) {
    snprintf(value, sizeof value, "Bearer %s", hop->request->token);
    good = add_header(list, "Authorization", value);
  }
  if (hop->from > 0) {
    snprintf(value, sizeof value, "bytes=%" PRId64 "-", hop->from);
    good = good && add_header(list, "Range", value);
    if (*hop->etag) good = good && add_header(list, "If-Range", hop->etag);
  }
  return good;
}

static void set_options(transfer *work, struct curl_slist *headers, char *words) {
  const tx_hop *hop = work->hop;
  CURL *curl = work->curl;
  long stall = (long)hop->request->rules.stall_seconds;
  curl_easy_setopt(curl, CURLOPT_URL, hop->url);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, words);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075500
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, hop->request->plain ? "https,http" : "https");
#else
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS,
                   (long)(CURLPROTO_HTTPS | (hop->request->plain ? CURLPROTO_HTTP : 0)));
#endif
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "taxon");
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, stall);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, work);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, work);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, work);
}

tx_hop_end tx_hop_run(tx_hop *hop) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, start_library);
  char words[CURL_ERROR_SIZE] = "";
  transfer work = {.hop = hop, .curl = curl_easy_init(), .length = -1};
  struct curl_slist *headers = NULL;
  work.range_start = work.range_total = -1;
  tx_hop_end end = TX_HOP_FAILED;
  if (work.curl && make_headers(hop, &headers)) {
    set_options(&work, headers, words);
    work.since = tx_seconds();
    CURLcode code = curl_easy_perform(work.curl);
    end = end_of(&work, code, words);
  } else {
    tx_fail_memory(hop->error, TX_ADDRESS_SIZE, "a connection");
  }
  curl_slist_free_all(headers);
  if (work.curl) curl_easy_cleanup(work.curl);
  return end;
}
