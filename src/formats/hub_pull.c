/* Pulling a model from the hub: chosen, fetched, verified, kept.
 *
 * The bytes are fetched by commit, so that a revision that moves meanwhile does
 * no harm, into home/downloads/NAME-KEY.part, where KEY stands for commit and
 * file: a later run goes on there.  They get the name home/models/NAME.gguf when
 * their SHA-256 is the announced one and they can be read as GGUF.  One lock for
 * each name keeps two pulls apart. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/hash.h"
#include "formats/file.h"
#include "formats/gguf.h"
#include "formats/hub_parts.h"
#include "formats/http.h"
#include "formats/lock.h"
#include "formats/nearest.h"
#include "formats/partial.h"

typedef struct {
  tx_hub_settings settings;
  tx_hub_wish wish;
  tx_hub_listing listing;
  tx_hub_file file; /* of the listing */
  const char *home;
  char name[256], path[TX_PATH_SIZE]; /* that it gets */
  tx_receipt receipt;
  const tx_watch *watch;
} pulling;

/* ---- names ---- */

/* The repository's own name, without -GGUF. */
static size_t stem_of(const char *repository, const char **stem) {
  *stem = strchr(repository, '/') + 1;
  size_t size = strlen(*stem);
  bool marked = size > 5 && strcasecmp(*stem + size - 5, "-gguf") == 0;
  return marked ? size - 5 : size;
}

/* The file's name without its ending; one that does not say whose it is
 * ("model-q4_0.gguf") gets the repository's in front. */
static tx_status make_name(pulling *work, tx_error *error) {
  const char *stem, *slash = strrchr(work->file.path, '/');
  const char *base = slash ? slash + 1 : work->file.path;
  size_t size = stem_of(work->wish.repository, &stem);
  bool says = strncasecmp(base, stem, size) == 0;
  int own = (int)strlen(base) - 5; /* .gguf */
  int used = says ? snprintf(work->name, 240, "%.*s", own, base)
                  : snprintf(work->name, 240, "%.*s-%.*s", (int)size, stem, own, base);
  if ((size_t)used >= 240) { /* the stem is a name: not empty, and no dot begins it */
    return tx_fail(error, TX_ERROR_INPUT, "the name %.100s cannot be a model's", base);
  }
  _Static_assert(sizeof work->receipt.source > TX_HUB_REPOSITORY + TX_HUB_FILE + 50, "it fits");
  snprintf(work->receipt.source, sizeof work->receipt.source, "hf:%s@%s/%s", work->wish.repository,
           work->listing.commit, work->file.path);
  return tx_model_path(work->home, work->name, ".gguf", work->path, error);
}

/* A name stands for one file, on which classifiers may depend. */
static tx_status fail_taken(const pulling *work, tx_error *error) {
  tx_receipt there;
  bool told;
  TX_TRY(tx_receipt_read(work->home, work->name, &there, &told, error));
  told = told && *there.source;
  return tx_fail(error, TX_ERROR_INPUT,
                 "another model is called %s already (%s%s%.200s); remove or rename that file to "
                 "take this one",
                 work->name, work->path, told ? ", from " : "", told ? there.source : "");
}

/* *there: the very file is at its place. */
static tx_status look_there(pulling *work, bool *there, tx_error *error) {
  const tx_known *known = tx_known_find(work->name);
  if (known && (!known->sha256 || strcmp(known->sha256, work->file.sha256) != 0)) {
    return tx_fail(
        error, TX_ERROR_INPUT,
        "%s would be called %s here, which is the name of another model or data set that "
        "taxon knows; take another file, or fetch it by hand and pull it by its path",
        work->receipt.source, work->name);
  }
  *there = false;
  if (!tx_file_look(work->path).exists) return TX_OK;
  tx_receipt kept;
  bool same;
  TX_TRY(tx_receipt_read(work->home, work->name, &kept, &same, error));
  same = same && strcmp(kept.source, work->receipt.source) == 0;
  if (same && !*work->file.sha256) { /* the hub does not always say it beforehand */
    memcpy(work->receipt.sha256, kept.sha256, sizeof kept.sha256);
  }
  int64_t bytes = work->file.bytes < 0 ? tx_file_look(work->path).bytes : work->file.bytes;
  TX_TRY(tx_file_is_right(work->path, bytes, work->receipt.sha256, there, work->watch, error));
  if (!*there && same) { /* this very file, and damaged since */
    tx_watch_note(work->watch, "%s is damaged: it is fetched again", work->path);
    return TX_OK;
  }
  return *there ? TX_OK : fail_taken(work, error);
}

/* ---- fetching ---- */

typedef struct {
  pulling *work;
  tx_partial *partial;
  tx_http_answer answer;
  tx_progress progress;
} body;

static bool is_sha256(const char *hex) {
  return strlen(hex) == 64 && strspn(hex, "0123456789abcdef") == 64;
}

/* What cannot be verified is not even begun. */
static tx_status find_hash(body *to, tx_error *error) {
  if (!*to->work->receipt.sha256 && is_sha256(to->answer.linked_etag)) {
    memcpy(to->work->receipt.sha256, to->answer.linked_etag, 65);
  }
  if (*to->work->receipt.sha256) return TX_OK;
  return tx_fail(error, TX_ERROR_INPUT,
                 "the hub gives no SHA-256 for %.200s, so that it could not be verified; check "
                 "HF_ENDPOINT",
                 to->work->file.path);
}

static tx_status add_to_file(void *context, const void *data, size_t size, tx_error *error) {
  body *to = context;
  TX_TRY(find_hash(to, error));
  TX_TRY(tx_partial_add(to->partial, data, size, error));
  return tx_progress_add(&to->progress, (int64_t)size, error);
}

static tx_status restart_file(void *context, tx_error *error) {
  body *to = context;
  to->progress.done = 0;
  return tx_partial_restart(to->partial, error);
}

/* The rest of the file. */
static tx_status fetch_rest(body *to, const char *url, tx_error *error) {
  pulling *work = to->work;
  tx_hub_settings *settings = &work->settings;
  tx_error trouble = {0};
  char downloads[TX_PATH_SIZE];
  TX_TRY(tx_path_join(downloads, work->home, "downloads", error));
  tx_http_sink sink = {.context = to,
                       .add = add_to_file,
                       .restart = restart_file,
                       .at = tx_partial_size(to->partial),
                       .size = work->file.bytes,
                       .limit = work->file.bytes};
  if (sink.size < 0) { /* as much as the disk can take, with what is there already */
    int64_t left = tx_space_left(downloads);
    sink.limit = left < INT64_MAX - sink.at ? sink.at + left : INT64_MAX;
  }
  if (sink.size >= 0) TX_TRY(tx_space_check(downloads, sink.size - sink.at, error));
  tx_http_request request = {.url = url,
                             .token = *settings->token ? settings->token : NULL,
                             .plain = settings->plain,
                             .setting = settings->set ? "HF_ENDPOINT" : NULL,
                             .rules = tx_http_rules_defaults(),
                             .watch = work->watch};
  tx_status status = tx_http_get(&request, &sink, &to->answer, &trouble);
  if (status == TX_ERROR_INPUT && to->answer.status >= 400) {
    return tx_hub_fail(settings, &work->wish, work->file.path, to->answer.status,
                       to->answer.error_code, error);
  }
  if (status == TX_ERROR_INPUT) tx_partial_remove(to->partial); /* not what was announced */
  return status == TX_OK ? TX_OK : tx_fail_with(error, &trouble);
}

static tx_status fail_hash(const pulling *work, const char *hex, tx_error *error) {
  return tx_fail(error, TX_ERROR_INPUT,
                 "%.200s has the SHA-256 %s instead of %s, which the hub announces; it was not "
                 "kept; try again, and check any proxy",
                 work->file.path, hex, work->receipt.sha256);
}

/* All of it, verified; what an earlier run left, and proves wrong, is fetched anew. */
static tx_status fetch_verified(body *to, const char *url, tx_error *error) {
  pulling *work = to->work;
  for (;;) {
    int64_t before = tx_partial_size(to->partial);
    char hex[65];
    to->progress.done = before;
    if (before != work->file.bytes) TX_TRY(fetch_rest(to, url, error));
    TX_TRY(tx_partial_hash(to->partial, hex, error));
    TX_TRY(find_hash(to, error)); /* of an empty file */
    if (strcmp(hex, work->receipt.sha256) == 0) return TX_OK;
    if (before == 0) {
      tx_partial_remove(to->partial);
      return fail_hash(work, hex, error);
    }
    tx_watch_note(work->watch, "what an earlier run left of %s is damaged: it is fetched again",
                  work->name);
    TX_TRY(tx_partial_restart(to->partial, error));
  }
}

/* Only a model gets a model's name. */
static tx_status keep_model(body *to, const char *part, tx_error *error) {
  tx_error trouble = {0};
  pulling *work = to->work;
  tx_receipt facts = {0};
  if (tx_look_at_model(part, &facts, &trouble) != TX_OK) {
    if (trouble.status == TX_ERROR_INPUT) tx_partial_remove(to->partial);
    return tx_fail(error, trouble.status, "%.200s cannot be used: %.400s", work->file.path,
                   trouble.message);
  }
  work->receipt.bytes = facts.bytes;
  if (!*work->receipt.license) {
    memcpy(work->receipt.license, facts.license, sizeof facts.license);
  }
  return tx_partial_keep(to->partial, work->path, error);
}

static tx_status make_url(const pulling *work, tx_buffer *url, tx_error *error) {
  tx_buffer_format(url, "%s/", work->settings.endpoint);
  tx_hub_escape(url, work->wish.repository, true);
  tx_buffer_format(url, "/resolve/%s/", work->listing.commit);
  tx_hub_escape(url, work->file.path, true);
  return url->failed ? tx_fail_memory(error, url->size, "an address") : TX_OK;
}

static void remove_old(const pulling *work) {
  char downloads[TX_PATH_SIZE];
  if (tx_path_join(downloads, work->home, "downloads", NULL) != TX_OK) return;
  char locks[TX_PATH_SIZE]; /* where something was just made, by the disk's own clock */
  if (tx_path_join(locks, work->home, "locks", NULL) != TX_OK) return;
  tx_remove_leftovers(downloads, locks);
}

static tx_status fetch_model(pulling *work, tx_error *error) {
  char inner[TX_PATH_SIZE], part[TX_PATH_SIZE];
  const char *source = work->receipt.source;
  snprintf(inner, sizeof inner, "downloads/%s-%016" PRIx64 ".part", work->name,
           tx_hash64(source, strlen(source), 0));
  TX_TRY(tx_path_join(part, work->home, inner, error));
  int64_t bytes = work->file.bytes;
  body to = {.work = work, .progress = {work->watch, "fetch", 0, bytes < 0 ? 0 : bytes}};
  tx_buffer url = {0};
  tx_status status = make_url(work, &url, error);
  if (status == TX_OK) {
    int64_t most = bytes < 0 ? INT64_MAX : bytes;
    remove_old(work);
    status = tx_partial_open(part, most, &to.partial, work->watch, error);
  }
  if (status == TX_OK) status = fetch_verified(&to, url.data, error);
  if (status == TX_OK) status = keep_model(&to, part, error);
  tx_partial_close(to.partial);
  tx_buffer_free(&url);
  return status;
}

/* ---- the whole ---- */

/* A copy that another client of the hub fetched; *used false: there is none, or
 * it is not the file. */
static tx_status take_cached(pulling *work, bool *used, tx_error *error) {
  char cached[TX_PATH_SIZE];
  *used = false;
  if (!*work->file.sha256 || !tx_hub_cache_find(&work->settings, &work->wish,
                                                work->listing.commit, &work->file, cached)) {
    return TX_OK;
  }
  tx_receipt facts = {0};
  bool right;
  int64_t bytes = tx_file_look(cached).bytes;
  TX_TRY(tx_file_is_right(cached, bytes, work->file.sha256, &right, work->watch, error));
  if (!right) {
    tx_watch_note(work->watch, "the copy in %s is damaged and not used", work->settings.cache);
    return TX_OK;
  }
  TX_TRY(tx_look_at_model(cached, &facts, error));
  work->receipt.bytes = facts.bytes;
  if (!*work->receipt.license) memcpy(work->receipt.license, facts.license, sizeof facts.license);
  TX_TRY(tx_space_check(work->home, bytes, error));
  TX_TRY(tx_copy_model(cached, work->home, work->path, &work->receipt, work->watch, error));
  tx_watch_note(work->watch, "taken from the cache of the hub's other programs (%s)",
                work->settings.cache);
  *used = true;
  return TX_OK;
}

/* The hub often says it; what cannot be run is fetched all the same, for other
 * programs or a later taxon, but not in silence. */
static void note_architecture(const pulling *work) {
  const char *name = work->listing.architecture;
  if (!*name || strcmp(name, "llama") == 0 || strcmp(name, "gpt2") == 0) return;
  tx_watch_note(work->watch, "%s is of the architecture %s; taxon runs llama and gpt2", work->name,
                name);
}

static tx_status make_folders(const char *home, tx_error *error) {
  static const char *const names[] = {"models", "downloads", "locks"};
  char path[TX_PATH_SIZE];
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    TX_TRY(tx_path_join(path, home, names[i], error));
    TX_TRY(tx_directory_make(path, error));
  }
  return TX_OK;
}

tx_status tx_home_lock(const char *home, const char *name, tx_lock *lock, const tx_watch *watch,
                       tx_error *error) {
  char inner[600], path[TX_PATH_SIZE];
  TX_TRY(make_folders(home, error));
  snprintf(inner, sizeof inner, "locks/%.500s.lock", name);
  TX_TRY(tx_path_join(path, home, inner, error));
  char what[300];
  snprintf(what, sizeof what, "pull of %.200s", name);
  return tx_lock_take(path, what, lock, watch, error);
}

/* Under the lock. */
static tx_status bring(pulling *work, bool *fetched, tx_error *error) {
  bool there = false, cached = false;
  TX_TRY(look_there(work, &there, error));
  *fetched = !there;
  if (there) return TX_OK;
  if (work->settings.offline || *work->settings.cache) TX_TRY(take_cached(work, &cached, error));
  if (!cached) {
    if (work->settings.offline) {
      return tx_fail(error, TX_ERROR_SYSTEM, "HF_HUB_OFFLINE is set, and %s is not here",
                     work->receipt.source);
    }
    note_architecture(work);
    TX_TRY(fetch_model(work, error));
  }
  return tx_receipt_write(work->home, work->name, work->receipt, error);
}

static tx_status finish(pulling *work, tx_pulled *pulled, tx_error *error) {
  bool there, fetched = false;
  TX_TRY(look_there(work, &there, error)); /* also in a home that cannot be written */
  if (there) {
    tx_receipt kept;
    work->receipt.bytes = tx_file_look(work->path).bytes;
    bool noted;
    TX_TRY(tx_receipt_read(work->home, work->name, &kept, &noted, error));
    noted = noted && strcmp(kept.sha256, work->receipt.sha256) == 0 &&
            kept.modified == tx_file_look(work->path).modified;
    if (noted) work->receipt = kept;
    if (!noted) tx_receipt_write(work->home, work->name, work->receipt, NULL);
  } else {
    tx_lock lock;
    TX_TRY(tx_home_lock(work->home, work->name, &lock, work->watch, error));
    tx_status status = bring(work, &fetched, error);
    tx_lock_free(&lock);
    TX_TRY(status);
    work->receipt.bytes = tx_file_look(work->path).bytes;
  }
  tx_fill_pulled(pulled, work->name, work->path, &work->receipt, fetched);
  return TX_OK;
}

static tx_status choose(pulling *work, tx_error *error) {
  size_t index = 0;
  TX_TRY(tx_hub_choose(&work->listing, &work->wish, &index, work->watch, error));
  work->file = work->listing.files[index];
  memcpy(work->receipt.license, work->listing.license, sizeof work->receipt.license);
  snprintf(work->receipt.sha256, sizeof work->receipt.sha256, "%s", work->file.sha256);
  return make_name(work, error);
}

/* ---- without a network ---- */

/* "hf:OWNER/NAME@COMMIT/FILE" of this repository and, where it is one, commit. */
static const char *file_of_source(const char *source, const tx_hub_wish *wish, char commit[41]) {
  size_t size = strlen(wish->repository);
  if (strncmp(source, "hf:", 3) != 0 || strncmp(source + 3, wish->repository, size) != 0) {
    return NULL;
  }
  const char *at = source + 3 + size;
  if (*at != '@' || strlen(at) < 43 || at[41] != '/') return NULL;
  memcpy(commit, at + 1, 40);
  commit[40] = '\0';
  bool any = strcmp(wish->revision, "main") == 0;
  return any || strcmp(wish->revision, commit) == 0 ? at + 42 : NULL;
}

/* One of the names under models/; *found counts those that are meant. */
static tx_status look_at_name(pulling *work, tx_arena *arena, char *name, tx_pulled *pulled,
                              size_t *found, tx_error *error) {
  tx_receipt receipt;
  bool there, right;
  char commit[41];
  size_t size = strlen(name), index;
  if (size <= 5 || strcmp(name + size - 5, ".json") != 0) return TX_OK;
  name[size - 5] = '\0';
  TX_TRY(tx_receipt_read(work->home, name, &receipt, &there, error));
  const char *path = there ? file_of_source(receipt.source, &work->wish, commit) : NULL;
  if (!path) return TX_OK;
  tx_hub_file file = {.path = path, .bytes = receipt.bytes, .sha256 = receipt.sha256};
  tx_hub_listing one = {.files = &file, .count = 1, .arena = arena};
  tx_error trouble = {0};
  tx_status status = tx_hub_choose(&one, &work->wish, &index, NULL, &trouble);
  if (status == TX_ERROR_INPUT) return TX_OK; /* another file of that repository */
  if (status != TX_OK) return tx_fail(error, status, "%s", trouble.message);
  TX_TRY(tx_model_path(work->home, name, ".gguf", work->path, error));
  TX_TRY(tx_file_is_right(work->path, receipt.bytes, receipt.sha256, &right, work->watch, error));
  if (!right) return TX_OK;
  tx_fill_pulled(pulled, name, work->path, &receipt, false);
  ++*found;
  return TX_OK;
}

/* A model that was pulled earlier; *here false: none, or several. */
static tx_status find_pulled(pulling *work, tx_pulled *pulled, bool *here, tx_error *error) {
  char folder[TX_PATH_SIZE], **names;
  size_t count = 0, found = 0;
  TX_TRY(tx_path_join(folder, work->home, "models", error));
  tx_arena *arena = tx_arena_new();
  if (!arena) return tx_fail_memory(error, 64, "names of models");
  tx_status status = tx_directory_names(folder, arena, &names, &count, error);
  for (size_t i = 0; status == TX_OK && i < count; i++) {
    status = look_at_name(work, arena, names[i], pulled, &found, error);
  }
  tx_arena_free(arena);
  *here = found == 1;
  return status;
}

static tx_status pull_offline(pulling *work, tx_pulled *pulled, tx_error *error) {
  bool here;
  TX_TRY(find_pulled(work, pulled, &here, error));
  if (here) return TX_OK;
  TX_TRY(tx_hub_cache_list(&work->settings, &work->wish, &work->listing, error));
  if (work->listing.count == 0) {
    return tx_fail(error, TX_ERROR_SYSTEM,
                   "HF_HUB_OFFLINE is set, and hf:%s is neither here nor in %s; unset it to fetch",
                   work->wish.repository,
                   *work->settings.cache ? work->settings.cache : "a cache of the hub");
  }
  TX_TRY(choose(work, error));
  return finish(work, pulled, error);
}

/* ---- either ---- */

static tx_status pull_online(pulling *work, tx_pulled *pulled, tx_error *error) {
  TX_TRY(tx_hub_listing_fetch(&work->settings, &work->wish, &work->listing, work->watch, error));
  TX_TRY(choose(work, error));
  return finish(work, pulled, error);
}

tx_status tx_pull_hub(const char *what, const char *home, tx_pulled *pulled, const tx_watch *watch,
                      tx_error *error) {
  pulling *work = tx_alloc_zero(1, sizeof *work);
  if (!work) return tx_fail_memory(error, sizeof *work, "a pull");
  work->home = home;
  work->watch = watch;
  tx_status status = tx_hub_parse(what, &work->wish, error);
  if (status == TX_OK) status = tx_hub_settings_read(&work->settings, error);
  if (status == TX_OK) {
    status = (work->settings.offline ? pull_offline : pull_online)(work, pulled, error);
  }
  tx_hub_listing_free(&work->listing);
  tx_free(work);
  return status;
}
