/* What the files of HTTP share.  Only http*.c include this. */
#ifndef TX_FORMATS_HTTP_PARTS_H
#define TX_FORMATS_HTTP_PARTS_H

#include "formats/http.h"

typedef enum tx_hop_end {
  TX_HOP_DONE,        /* the sink has all of it */
  TX_HOP_REDIRECT,    /* to `next` */
  TX_HOP_REFUSED,     /* by its status, for good */
  TX_HOP_TRY_AGAIN,   /* `reason` says why */
  TX_HOP_WRONG_RANGE, /* what came is not the part that was asked for: all of it is needed */
  TX_HOP_FAILED,      /* `error` says why */
} tx_hop_end;

enum { TX_ADDRESS_SIZE = 8192, TX_REASON_SIZE = 320 };

/* One request to one address, without redirects. */
typedef struct tx_hop {
  const tx_http_request *request;
  const char *url, *host; /* host: for messages */
  bool with_token, trusted; /* trusted: its headers go to the answer */
  int64_t from;             /* > 0: the part from here on is asked for */
  const char *etag;         /* that it must still have; "" unknown */
  tx_http_sink *sink;
  tx_http_answer *answer;
  tx_error *error;
  /* filled: */
  char next[TX_ADDRESS_SIZE], reason[TX_REASON_SIZE], new_etag[128];
  int64_t retry_after; /* seconds; 0: not said */
} tx_hop;

tx_hop_end tx_hop_run(tx_hop *hop);

#endif
