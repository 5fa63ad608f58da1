/* Redirects, further tries, and going on where a connection broke. */
#include "formats/http.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/random.h"
#include "base/watch.h"
#include "formats/http_parts.h"

enum { SLICE_MS = 50 };

/* ---- rules ---- */

/* A whole number of the environment from `least` to `most`; else what stands. */
static void take_number(const char *name, int64_t least, int64_t most, int64_t *value) {
  const char *text = getenv(name);
  char *end;
  if (!text || *text < '0' || *text > '9') return;
  long long number = strtoll(text, &end, 10);
  if (*end == '\0' && number >= least && number <= most) *value = number;
}

tx_http_rules tx_http_rules_defaults(void) {
  tx_http_rules rules = {.stall_seconds = 30,
                         .tries = 5,
                         .delay_ms = 500,
                         .longest_delay_ms = 30000,
                         .longest_wait_s = 300,
                         .redirects = 10};
  take_number("HF_HUB_DOWNLOAD_TIMEOUT", 1, 86400, &rules.stall_seconds);
  take_number("TAXON_PULL_TRIES", 1, 1000, &rules.tries);
  take_number("TAXON_PULL_DELAY", 0, 60000, &rules.delay_ms);
  return rules;
}

/* ---- addresses ---- */

/* "scheme://host:port" */
static bool format_origin(CURLU *parts, char origin[TX_HOST_SIZE]) {
  char *scheme = NULL, *host = NULL, *port = NULL, *user = NULL;
  bool good = curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
              curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
              curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
              curl_url_get(parts, CURLUPART_USER, &user, 0) == CURLUE_NO_USER &&
              (strcmp(scheme, "https") == 0 || strcmp(scheme, "http") == 0);
  if (good) {
    int used = snprintf(origin, TX_HOST_SIZE, "%s://%s:%s", scheme, host, port);
    good = (size_t)used < TX_HOST_SIZE;
  }
  for (char *at = origin; good && *at; at++) {
    if (*at >= 'A' && *at <= 'Z') *at = (char)(*at + ('a' - 'A'));
  }
  curl_free(scheme);
  curl_free(host);
  curl_free(port);
  curl_free(user);
  return good;
}

bool tx_http_origin(const char *url, char origin[TX_HOST_SIZE]) {
  CURLU *parts = curl_url();
  bool good = parts && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
              format_origin(parts, origin);
  if (parts) curl_url_cleanup(parts);
  if (!good) origin[0] = '\0';
  return good;
}

/* The host alone of "scheme://host:port", for messages. */
static void show_host(const char *origin, char host[TX_HOST_SIZE]) {
  const char *from = origin + strcspn(origin, "/") + 2;
  size_t size = strlen(from);
  do size--;
  while (from[size] != ':');
  snprintf(host, TX_HOST_SIZE, "%.*s", (int)size, from);
}

/* ---- one try ---- */

typedef struct {
  const tx_http_request *request;
  tx_http_sink *sink;
  tx_http_answer *answer;
  char origin[TX_HOST_SIZE], host[TX_HOST_SIZE]; /* of the request; of the present hop */
  char etag[128];                                /* of the body, from an earlier try */
  char reason[TX_REASON_SIZE];
  bool own; /* the present hop is at the request's own host */
  int64_t retry_after;
} fetching;

/* Where a redirect may lead to. */
static tx_status check_next(const fetching *work, const char *next, char origin[TX_HOST_SIZE],
                            tx_error *error) {
  bool known = tx_http_origin(next, origin);
  if (known && (work->request->plain || strncmp(origin, "https:", 6) == 0)) return TX_OK;
  return tx_fail(error, TX_ERROR_SYSTEM,
                 "%s redirects to an address that is not safe to use (not https:); nothing was "
                 "fetched",
                 work->host);
}

static tx_hop_end run_hop(fetching *work, const char *url, const char *origin, tx_hop *hop,
                          tx_error *error) {
  bool own = strcmp(origin, work->origin) == 0;
  work->own = own;
  show_host(origin, work->host);
  *hop = (tx_hop){.request = work->request,
                  .url = url,
                  .host = work->host,
                  .with_token = own && work->request->token,
                  .trusted = own,
                  .from = work->sink->at,
                  .etag = work->etag,
                  .sink = work->sink,
                  .answer = work->answer,
                  .error = error};
  tx_hop_end end = tx_hop_run(hop);
  work->retry_after = hop->retry_after;
  snprintf(work->reason, sizeof work->reason, "%s", hop->reason);
  if (end == TX_HOP_TRY_AGAIN && work->sink->at > 0 && hop->new_etag[0]) {
    snprintf(work->etag, sizeof work->etag, "%s", hop->new_etag);
  }
  return end;
}

static tx_hop_end run_try(fetching *work, tx_error *error) {
  tx_hop hop;
  char url[TX_ADDRESS_SIZE], origin[TX_HOST_SIZE];
  snprintf(url, sizeof url, "%s", work->request->url);
  memcpy(origin, work->origin, sizeof origin);
  for (int64_t i = 0; i <= work->request->rules.redirects; i++) {
    tx_hop_end end = run_hop(work, url, origin, &hop, error);
    if (end != TX_HOP_REDIRECT) return end;
    if (check_next(work, hop.next, origin, error) != TX_OK) return TX_HOP_FAILED;
    memcpy(url, hop.next, sizeof url);
  }
  tx_fail(error, TX_ERROR_SYSTEM,
          "%s redirects in a circle (more than %" PRId64 " times); try again later", work->host,
          work->request->rules.redirects);
  return TX_HOP_FAILED;
}

/* ---- waiting ---- */

tx_status tx_wait(int64_t milliseconds, const tx_watch *watch, tx_error *error) {
  while (milliseconds > 0) {
    TX_TRY(tx_watch_check(watch, error));
    int slice = milliseconds < SLICE_MS ? (int)milliseconds : SLICE_MS;
    poll(NULL, 0, slice);
    milliseconds -= slice;
  }
  return tx_watch_check(watch, error);
}

/* Doubled for each try, shortened at random so that many clients do not come
 * back at once; not before the server asked for. */
static int64_t delay_of(const fetching *work, int64_t failed, tx_random *random) {
  const tx_http_rules *rules = &work->request->rules;
  int64_t delay = rules->delay_ms;
  for (int64_t i = 1; i < failed && delay < rules->longest_delay_ms; i++) delay *= 2;
  if (delay > rules->longest_delay_ms) delay = rules->longest_delay_ms;
  delay -= (int64_t)tx_random_below(random, (uint64_t)delay / 2 + 1);
  int64_t asked = work->retry_after * 1000;
  return delay > asked ? delay : asked;
}

static tx_status wait_before(const fetching *work, int64_t failed, tx_random *random,
                             tx_error *error) {
  const tx_http_rules *rules = &work->request->rules;
  if (failed >= rules->tries) {
    const char *setting = work->own ? work->request->setting : NULL;
    return tx_fail(error, TX_ERROR_SYSTEM,
                   "cannot fetch from %s: %s (tried %" PRId64
                   " time%s); check %s%sthe network%s and try again",
                   work->host, work->reason, failed, failed == 1 ? "" : "s",
                   setting ? setting : "", setting ? " and " : "", setting ? "," : "");
  }
  if (work->retry_after > rules->longest_wait_s) {
    return tx_fail(error, TX_ERROR_SYSTEM,
                   "%s asks to wait %" PRId64 " s: %s; try again after that", work->host,
                   work->retry_after, work->reason);
  }
  int64_t delay = delay_of(work, failed, random);
  tx_watch_note(work->request->watch, "%s: %s; trying again in %" PRId64 " s (%" PRId64
                " of %" PRId64 ")",
                work->host, work->reason, (delay + 999) / 1000, failed + 1, rules->tries);
  return tx_wait(delay, work->request->watch, error);
}

/* What came was not the part that was asked for: from the start again. */
static tx_status start_anew(fetching *work, tx_error *error) {
  work->etag[0] = '\0';
  work->retry_after = 0;
  snprintf(work->reason, sizeof work->reason, "it sent another part than was asked for");
  work->sink->at = 0;
  return work->sink->restart(work->sink->context, error);
}

/* ---- the whole ---- */

static tx_status fail_refused(const fetching *work, tx_error *error) {
  return tx_fail(error, TX_ERROR_INPUT, "%s refused it (HTTP status %ld)", work->host,
                 work->answer->status);
}

static tx_random seed_jitter(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return tx_random_seed((uint64_t)now.tv_nsec ^ (uint64_t)getpid() << 32);
}

static tx_status fetch(fetching *work, tx_error *error) {
  tx_random random = seed_jitter(); /* of waiting alone: no result depends on it */
  int64_t failed = 0;
  for (;;) {
    int64_t before = work->sink->at;
    tx_hop_end end = run_try(work, error);
    if (end == TX_HOP_DONE) return TX_OK;
    if (end == TX_HOP_REFUSED) return fail_refused(work, error);
    if (end == TX_HOP_FAILED) return error->status;
    if (work->sink->at - before >= TX_HTTP_PROGRESS) failed = 0;
    if (end == TX_HOP_WRONG_RANGE) TX_TRY(start_anew(work, error));
    TX_TRY(wait_before(work, ++failed, &random, error));
  }
}

tx_status tx_http_get(const tx_http_request *request, tx_http_sink *sink, tx_http_answer *answer,
                      tx_error *error) {
  tx_error own = {0};
  tx_http_answer unread = {0};
  fetching work = {.request = request, .sink = sink, .answer = answer ? answer : &unread};
  *work.answer = (tx_http_answer){.linked_size = -1};
  bool known = strlen(request->url) < TX_ADDRESS_SIZE && tx_http_origin(request->url, work.origin);
  if (!known || (!request->plain && strncmp(work.origin, "https:", 6) != 0)) {
    return tx_fail(error, TX_ERROR_ARGUMENT, "the address is not one of https:");
  }
  return fetch(&work, &own) == TX_OK ? TX_OK : tx_fail_with(error, &own);
}

/* ---- into memory ---- */

static tx_status add_bytes(void *context, const void *data, size_t size, tx_error *error) {
  tx_buffer *bytes = context;
  return tx_buffer_append(bytes, data, size) ? TX_OK : tx_fail_memory(error, size, "an answer");
}

static tx_status forget_bytes(void *context, tx_error *error) {
  (void)error;
  tx_buffer_clear(context);
  return TX_OK;
}

tx_status tx_http_get_bytes(const tx_http_request *request, int64_t limit, tx_buffer *bytes,
                            tx_http_answer *answer, tx_error *error) {
  tx_http_sink sink = {.context = bytes,
                       .add = add_bytes,
                       .restart = forget_bytes,
                       .size = -1,
                       .limit = limit};
  return tx_http_get(request, &sink, answer, error);
}
