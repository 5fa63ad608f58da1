/* Fetching over HTTP and HTTPS: one address, followed through redirects,
 * continued where a connection broke, tried again while that may help.  Where
 * the bytes go is the caller's (a sink); what an address means is left to the
 * hub. */
#ifndef TX_FORMATS_HTTP_H
#define TX_FORMATS_HTTP_H

#include "base/buffer.h"
#include "base/error.h"

typedef struct tx_http_rules {
  int64_t stall_seconds;     /* to connect; and for less than 100 bytes a second: the try has
                                failed */
  int64_t tries;             /* in a row that bring less than TX_HTTP_PROGRESS bytes each */
  int64_t delay_ms;          /* before the second try, doubled for each further one */
  int64_t longest_delay_ms;  /* of that; each is shortened at random by up to a half */
  int64_t longest_wait_s;    /* a server that asks for more (Retry-After) ends the call */
  int64_t redirects;         /* followed for one try */
} tx_http_rules;

enum { TX_HTTP_PROGRESS = 1 << 20, TX_HOST_SIZE = 272 };

/* 30 s, 5 tries, 500 ms doubled to at most 30 s, 300 s, 10 redirects;
 * HF_HUB_DOWNLOAD_TIMEOUT (seconds), TAXON_PULL_TRIES and TAXON_PULL_DELAY (ms)
 * of the environment take the place of the first three. */
tx_http_rules tx_http_rules_defaults(void);

typedef struct tx_http_request {
  const char *url;
  const char *token; /* NULL: none; sent to the scheme, host and port of `url` alone */
  bool plain;        /* http: may be spoken, also by whom it redirects to; else https: alone */
  const char *setting; /* the variable that says where `url` is, for advice; NULL: none */
  tx_http_rules rules;
  const tx_watch *watch; /* notes on tries, and cancelling; progress is the sink's */
} tx_http_request;

/* Takes a body.  `add` and `restart` fail for good: the call ends. */
typedef struct tx_http_sink {
  void *context;
  tx_status (*add)(void *context, const void *data, size_t size, tx_error *error);
  tx_status (*restart)(void *context, tx_error *error); /* forgets what it has */
  int64_t at;    /* bytes it has; at the start, of an earlier call: only the rest is asked for */
  int64_t size;  /* of the whole; -1: not known */
  int64_t limit; /* a body that goes beyond fails */
} tx_http_sink;

/* The last answer's status, and what the hub's own host said on the way. */
typedef struct tx_http_answer {
  long status;          /* 0: there was none */
  char error_code[32];  /* X-Error-Code; "" where it was not said, as all below */
  char linked_etag[80]; /* X-Linked-Etag, without quotes */
  int64_t linked_size;  /* X-Linked-Size; -1 */
} tx_http_answer;

/* A server's refusal (4xx) is TX_ERROR_INPUT, with a plain sentence and the
 * answer filled in, so that the caller may say it better; the network's trouble
 * is TX_ERROR_SYSTEM.  No sentence holds more of an address than its host. */
tx_status tx_http_get(const tx_http_request *request, tx_http_sink *sink, tx_http_answer *answer,
                      tx_error *error);

/* The same into memory, at most `limit` bytes, appended. */
tx_status tx_http_get_bytes(const tx_http_request *request, int64_t limit, tx_buffer *bytes,
                            tx_http_answer *answer, tx_error *error);

/* The scheme, host and port of an address, in lower case; false when it is none,
 * is neither https: nor http:, or holds a user's name. */
bool tx_http_origin(const char *url, char origin[TX_HOST_SIZE]);

/* Sleeps, looking at the watch; TX_ERROR_INTERRUPTED when it says so. */
tx_status tx_wait(int64_t milliseconds, const tx_watch *watch, tx_error *error);

#endif
