/* Pulling: a known name from its sources, or a model from a path.  Everything
 * is verified before it gets its lasting name. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "formats/artifact.h"
#include "formats/file.h"
#include "formats/gguf.h"
#include "formats/http.h"
#include "formats/hub_parts.h"
#include "formats/nearest.h"
#include "formats/stream.h"
#include "formats/unpack.h"

enum { CHUNK = 1 << 18, MEMBER_BYTES = 64 << 20, SMS_BYTES = 4 << 20 };

/* ---- copying while hashing ---- */

/* Where bytes come from: a file or a member of an archive. */
typedef struct {
  tx_stream *stream;
  tx_unpack *unpack;
} origin;

static tx_status read_origin(const origin *from, void *data, size_t *got, tx_error *error) {
  if (from->stream) return tx_stream_read(from->stream, data, CHUNK, got, error);
  return tx_unpack_read(from->unpack, data, CHUNK, got, error);
}

static tx_status copy_bytes(const origin *from, tx_writer *writer, tx_sha256 *hash,
                            unsigned char *chunk, tx_progress *progress, tx_error *error) {
  for (;;) {
    size_t got;
    TX_TRY(read_origin(from, chunk, &got, error));
    if (got == 0) break;
    if ((int64_t)got > progress->total - progress->done) {
      return tx_fail(error, TX_ERROR_INPUT,
                     "the model is longer than the %" PRId64 " bytes it should have",
                     progress->total);
    }
    if (!tx_sha256_add(hash, chunk, got)) return tx_fail_memory(error, CHUNK, "a hash");
    TX_TRY(tx_writer_add(writer, chunk, got, error));
    TX_TRY(tx_progress_add(progress, (int64_t)got, error));
  }
  return TX_OK;
}

/* The bytes appear under `path` only if they have that size and hash. */
static tx_status copy_verified(const origin *from, const char *path, int64_t bytes,
                               const char *sha256, const tx_watch *watch, tx_error *error) {
  tx_progress progress = {watch, "unpack", 0, bytes};
  tx_writer *writer;
  TX_TRY(tx_writer_open(path, &writer, error));
  unsigned char *chunk = tx_alloc(CHUNK);
  tx_sha256 *hash = tx_sha256_new();
  char hex[65] = "";
  tx_status status = chunk && hash ? copy_bytes(from, writer, hash, chunk, &progress, error)
                                   : tx_fail_memory(error, CHUNK, "a copy");
  if (status == TX_OK && !tx_sha256_finish(hash, hex)) {
    status = tx_fail_memory(error, CHUNK, "a hash");
  }
  if (status == TX_OK && strcmp(hex, sha256) != 0) {
    status = tx_fail(error, TX_ERROR_INPUT,
                     "the model has the SHA-256 %s instead of %s; it was not kept", hex, sha256);
  }
  tx_sha256_free(hash);
  tx_free(chunk);
  if (status != TX_OK) {
    tx_writer_cancel(writer);
    return status;
  }
  return tx_writer_commit(writer, error);
}

/* ---- a known model ---- */

void tx_fill_pulled(tx_pulled *pulled, const char *name, const char *path,
                        const tx_receipt *receipt, bool fetched) {
  *pulled = (tx_pulled){.bytes = receipt->bytes, .fetched = fetched};
  snprintf(pulled->name, sizeof pulled->name, "%s", name);
  snprintf(pulled->path, sizeof pulled->path, "%s", path);
  memcpy(pulled->sha256, receipt->sha256, sizeof pulled->sha256);
  memcpy(pulled->license, receipt->license, sizeof pulled->license);
  memcpy(pulled->source, receipt->source, sizeof pulled->source);
}

static tx_receipt known_receipt(const tx_known *known, size_t source) {
  tx_receipt receipt = {.bytes = known->bytes};
  const char *sha256 = known->sha256 ? known->sha256 : known->sources[source].sha256;
  snprintf(receipt.sha256, sizeof receipt.sha256, "%s", sha256);
  snprintf(receipt.license, sizeof receipt.license, "%s", known->license);
  snprintf(receipt.source, sizeof receipt.source, "%s", known->sources[source].address);
  return receipt;
}

/* Whether the file is there and is the one with this size and hash. */
tx_status tx_file_is_right(const char *path, int64_t bytes, const char *sha256, bool *right,
                          const tx_watch *watch, tx_error *error) {
  tx_file_facts facts = tx_file_look(path);
  *right = facts.regular && facts.bytes == bytes;
  if (!*right) return TX_OK;
  char hex[65];
  TX_TRY(tx_hash_file(path, "verify", watch, hex, error));
  *right = strcmp(hex, sha256) == 0;
  return TX_OK;
}

static tx_status model_from(const tx_known *known, size_t index, const char *home, const char *path,
                            const tx_watch *watch, tx_error *error) {
  const tx_known_source *source = &known->sources[index];
  char archive[TX_PATH_SIZE], member[TX_PATH_SIZE];
  bool fetched;
  TX_TRY(tx_fetch_archive(source, home, archive, &fetched, watch, error));
  tx_text name = tx_address_member(source->address, 1);
  snprintf(member, sizeof member, "%.*s", (int)name.size, name.data);
  origin from = {0};
  TX_TRY(tx_unpack_open(archive, member, &from.unpack, error));
  tx_status status = copy_verified(&from, path, known->bytes, known->sha256, watch, error);
  tx_unpack_close(from.unpack);
  if (status == TX_OK) tx_file_remove(archive); /* the model is kept, once is enough */
  return status;
}

/* NULL: there are no more. */
static const tx_known_source *source_at(const tx_known *known, size_t index) {
  bool there = index < TX_KNOWN_SOURCES && known->sources[index].address;
  return there ? &known->sources[index] : NULL;
}

/* The sources in order, until one gives the model; of several failures the
 * first is told, the others are noted. */
static tx_status fetch_model(const tx_known *known, const char *home, const char *path,
                             size_t *used, const tx_watch *watch, tx_error *error) {
  tx_error first = {0};
  for (size_t i = 0; source_at(known, i); i++) {
    tx_error trouble = {0};
    *used = i;
    tx_status status = model_from(known, i, home, path, watch, &trouble);
    if (status == TX_OK) return TX_OK;
    if (first.status == TX_OK) first = trouble;
    if (status == TX_ERROR_INTERRUPTED) break;
    char sentence[1400];
    if (source_at(known, i + 1)) {
      tx_watch_note(watch, "%s", tx_error_sentence(&trouble, sentence, sizeof sentence));
    }
  }
  return tx_fail_with(error, &first);
}

static tx_status make_models(const char *home, tx_error *error) {
  char models[TX_PATH_SIZE];
  TX_TRY(tx_path_join(models, home, "models", error));
  return tx_directory_make(models, error);
}

/* Under the lock: another pull may have brought it meanwhile. */
static tx_status bring_model(const tx_known *known, const char *home, const char *path, bool *right,
                             size_t *source, const tx_watch *watch, tx_error *error) {
  TX_TRY(tx_file_is_right(path, known->bytes, known->sha256, right, watch, error));
  if (*right) return TX_OK;
  if (tx_file_look(path).exists) {
    tx_watch_note(watch, "the model that is here is not the known one: it is fetched again");
  }
  TX_TRY(make_models(home, error));
  TX_TRY(tx_space_check(home, known->bytes, error));
  return fetch_model(known, home, path, source, watch, error);
}

static tx_status pull_model(const tx_known *known, const char *home, tx_pulled *pulled,
                            const tx_watch *watch, tx_error *error) {
  char path[TX_PATH_SIZE];
  TX_TRY(tx_model_path(home, known->name, ".gguf", path, error));
  bool right;
  TX_TRY(tx_file_is_right(path, known->bytes, known->sha256, &right, watch, error));
  size_t source = 0;
  if (!right) {
    tx_lock lock; /* the archive, too, is removed by one pull alone */
    TX_TRY(tx_home_lock(home, known->name, &lock, watch, error));
    tx_status status = bring_model(known, home, path, &right, &source, watch, error);
    tx_lock_free(&lock);
    TX_TRY(status);
  }
  tx_receipt receipt, there;
  receipt = known_receipt(known, source);
  bool noted;
  TX_TRY(tx_receipt_read(home, known->name, &there, &noted, error));
  noted = noted && strcmp(there.sha256, receipt.sha256) == 0 &&
          there.modified == tx_file_look(path).modified;
  /* A model that is there may lie in a home that cannot be written. */
  tx_status status =
      noted ? TX_OK : tx_receipt_write(home, known->name, receipt, right ? NULL : error);
  tx_fill_pulled(pulled, known->name, path, &receipt, !right);
  return right ? TX_OK : status;
}

/* ---- a known data set ---- */

/* The bytes of a member, of a member of a member, and so on. */
static tx_status read_member(const tx_known_source *source, const char *archive, tx_buffer *bytes,
                             tx_error *error) {
  tx_buffer outer = {0};
  tx_status status = TX_OK;
  for (int i = 1; status == TX_OK; i++) {
    char member[TX_PATH_SIZE];
    tx_text name = tx_address_member(source->address, i);
    if (name.size == 0) break;
    snprintf(member, sizeof member, "%.*s", (int)name.size, name.data);
    tx_unpack *unpack = NULL;
    tx_buffer_free(&outer);
    outer = *bytes;
    *bytes = (tx_buffer){0};
    tx_text inside = {outer.data, outer.size};
    status = i == 1 ? tx_unpack_open(archive, member, &unpack, error)
                    : tx_unpack_open_bytes(inside, archive, member, &unpack, error);
    if (status == TX_OK) status = tx_unpack_all(unpack, MEMBER_BYTES, bytes, error);
    tx_unpack_close(unpack);
  }
  tx_buffer_free(&outer);
  return status;
}

/* The sources in order, as for a model. */
static tx_status fetch_data(const tx_known *known, const char *home, char archive[TX_PATH_SIZE],
                            size_t *used, bool *fetched, const tx_watch *watch, tx_error *error) {
  tx_error first = {0};
  for (size_t i = 0; source_at(known, i); i++) {
    tx_error trouble = {0};
    char sentence[1400];
    *used = i;
    tx_status status =
        tx_fetch_archive(&known->sources[i], home, archive, fetched, watch, &trouble);
    if (status == TX_OK) return TX_OK;
    if (first.status == TX_OK) first = trouble;
    if (status == TX_ERROR_INTERRUPTED) break;
    if (source_at(known, i + 1)) {
      tx_watch_note(watch, "%s; it is fetched by its address",
                    tx_error_sentence(&trouble, sentence, sizeof sentence));
    }
  }
  return tx_fail_with(error, &first);
}

static tx_status write_sentiment(const tx_known *known, const tx_known_source *source,
                                 const char *archive, const char *directory,
                                 const tx_watch *watch, tx_error *error) {
  tx_buffer lines = {0};
  tx_status status = read_member(source, archive, &lines, error);
  if (status == TX_OK) {
    tx_progress progress = {watch, "unpack", 0, (int64_t)lines.size};
    status = tx_progress_add(&progress, (int64_t)lines.size, error);
  }
  if (status == TX_OK) {
    status = tx_sentiment_write((tx_text){lines.data, lines.size}, known->name, directory, error);
  }
  tx_buffer_free(&lines);
  return status;
}

static tx_status pull_data(const tx_known *known, const char *home, const char *directory,
                           tx_pulled *pulled, const tx_watch *watch, tx_error *error) {
  char archive[TX_PATH_SIZE] = "";
  bool fetched = false;
  size_t used = 0;
  TX_TRY(fetch_data(known, home, archive, &used, &fetched, watch, error));
  TX_TRY(tx_directory_make(directory, error));
  if (known->kind == TX_KNOWN_MAIL) {
    TX_TRY(tx_mail_write(archive, directory, watch, error));
  } else {
    TX_TRY(write_sentiment(known, &known->sources[used], archive, directory, watch, error));
  }
  tx_receipt receipt = known_receipt(known, used);
  tx_fill_pulled(pulled, known->name, directory, &receipt, fetched);
  return TX_OK;
}

/* ---- a data set without a known hash ---- */

static tx_status write_sms(tx_text archive, const char *directory, tx_error *error) {
  tx_unpack *unpack = NULL;
  tx_buffer lines = {0};
  tx_status status =
      tx_unpack_open_bytes(archive, "the archive", "SMSSpamCollection", &unpack, error);
  if (status == TX_OK) status = tx_unpack_all(unpack, SMS_BYTES, &lines, error);
  if (status == TX_OK) status = tx_directory_make(directory, error);
  if (status == TX_OK) status = tx_sms_write((tx_text){lines.data, lines.size}, directory, error);
  tx_unpack_close(unpack);
  tx_buffer_free(&lines);
  return status;
}

static tx_status fetch_sms(const char *url, const char *path, const char *directory,
                           const tx_watch *watch, tx_error *error) {
  tx_buffer bytes = {0};
  tx_http_request request = {.url = url,
                             .plain = strncmp(url, "http:", 5) == 0,
                             .rules = tx_http_rules_defaults(),
                             .watch = watch};
  tx_status status = tx_http_get_bytes(&request, SMS_BYTES, &bytes, NULL, error);
  if (status == TX_OK) {
    tx_progress progress = {watch, "fetch", 0, (int64_t)bytes.size};
    status = tx_progress_add(&progress, (int64_t)bytes.size, error);
  }
  if (status == TX_OK) status = write_sms((tx_text){bytes.data, bytes.size}, directory, error);
  if (status == TX_OK) status = tx_file_write(path, bytes.data, bytes.size, error);
  tx_buffer_free(&bytes);
  return status;
}

static tx_status pull_sms(const tx_known *known, const char *home, const char *directory,
                          tx_pulled *pulled, const tx_watch *watch, tx_error *error) {
  char path[TX_PATH_SIZE];
  const char *other = getenv("TAXON_SMS_SPAM_URL"); /* a mirror */
  const char *url = other && *other ? other : known->sources[0].address;
  tx_lock lock;
  TX_TRY(tx_path_join(path, home, "downloads/sms-spam-collection.zip", error));
  TX_TRY(tx_home_lock(home, "sms-spam-collection.zip", &lock, watch, error));
  bool there = tx_file_look(path).regular;
  tx_map map = {0};
  tx_status status = there ? tx_map_open(path, &map, error) : TX_OK;
  if (status == TX_OK) {
    tx_text bytes = {(const char *)map.data, map.size};
    status = there ? write_sms(bytes, directory, error)
                   : fetch_sms(url, path, directory, watch, error);
  }
  tx_map_close(&map);
  tx_lock_free(&lock);
  TX_TRY(status);
  tx_receipt receipt = {.bytes = tx_file_look(path).bytes};
  snprintf(receipt.license, sizeof receipt.license, "%s", known->license);
  snprintf(receipt.source, sizeof receipt.source, "%.*s", (int)strcspn(url, "?"), url);
  TX_TRY(tx_sha256_file(path, receipt.sha256, error));
  tx_fill_pulled(pulled, known->name, directory, &receipt, !there);
  return TX_OK;
}

tx_status tx_pull_known(const tx_known *known, const char *home, const char *directory,
                        tx_pulled *pulled, const tx_watch *watch, tx_error *error) {
  if (known->kind == TX_KNOWN_MODEL) return pull_model(known, home, pulled, watch, error);
  if (!directory || !*directory) directory = ".";
  return (known->kind == TX_KNOWN_SMS ? pull_sms : pull_data)(known, home, directory, pulled, watch,
                                                              error);
}

/* ---- a model from a path ---- */

/* The file's own name, without ".gguf". */
static tx_status name_of(const char *path, char name[256], tx_error *error) {
  const char *slash = strrchr(path, '/');
  const char *base = slash ? slash + 1 : path;
  size_t size = strlen(base);
  if (size > 5 && strcmp(base + size - 5, ".gguf") == 0) size -= 5;
  bool fine = size > 0 && size < 240 && base[0] != '.' && tx_is_utf8((tx_text){base, size});
  for (size_t i = 0; fine && i < size; i++) fine = (unsigned char)base[i] >= 0x20;
  if (!fine) {
    return tx_fail(error, TX_ERROR_INPUT,
                   "the name of %.200s cannot be a model's; give the file a plain one", path);
  }
  snprintf(name, 256, "%.*s", (int)size, base);
  return TX_OK;
}

/* Reading it as a GGUF file is the check; its licence is noted where it says
 * one. */
tx_status tx_look_at_model(const char *path, tx_receipt *receipt, tx_error *error) {
  tx_gguf *gguf;
  TX_TRY(tx_gguf_open(path, &gguf, error));
  tx_status status = tx_artifact_refuse(gguf, error);
  uint64_t size;
  tx_gguf_bytes(gguf, &size);
  receipt->bytes = (int64_t)size;
  tx_text license;
  if (tx_gguf_string(gguf, "general.license", &license, NULL) == TX_OK && tx_is_utf8(license)) {
    snprintf(receipt->license, sizeof receipt->license, "%.*s",
             license.size < 100 ? (int)license.size : 100, license.data);
    if (!tx_is_utf8(tx_text_of(receipt->license))) receipt->license[0] = '\0'; /* cut */
  }
  tx_gguf_close(gguf);
  return status;
}

/* A name stands for one file, on which artifacts may depend. */
static tx_status check_name(const char *name, const char *path, const tx_receipt *receipt,
                            bool *there, const tx_watch *watch, tx_error *error) {
  const tx_known *known = tx_known_find(name);
  if (known && (!known->sha256 || strcmp(known->sha256, receipt->sha256) != 0)) {
    return tx_fail(error, TX_ERROR_INPUT,
                   "the file is not the known %s; give it another name and pull it again", name);
  }
  *there = tx_file_look(path).exists;
  if (!*there) return TX_OK;
  bool same;
  TX_TRY(tx_file_is_right(path, receipt->bytes, receipt->sha256, &same, watch, error));
  if (same) return TX_OK;
  return tx_fail(error, TX_ERROR_INPUT,
                 "another model is called %s already (%s); give the file another name or remove "
                 "that one",
                 name, path);
}

tx_status tx_copy_model(const char *from, const char *home, const char *path,
                            const tx_receipt *receipt, const tx_watch *watch, tx_error *error) {
  TX_TRY(make_models(home, error));
  origin file = {0};
  TX_TRY(tx_stream_open(from, &file.stream, error));
  tx_status status = copy_verified(&file, path, receipt->bytes, receipt->sha256, watch, error);
  tx_stream_close(file.stream);
  return status;
}

/* Under the lock: the name may have been given away meanwhile. */
static tx_status take_in(const char *from, const char *home, const char *name, const char *path,
                         const tx_receipt *receipt, bool *there, const tx_watch *watch,
                         tx_error *error) {
  TX_TRY(check_name(name, path, receipt, there, watch, error));
  if (*there) return TX_OK;
  TX_TRY(tx_copy_model(from, home, path, receipt, watch, error));
  return tx_receipt_write(home, name, *receipt, error);
}

static tx_status pull_path(const char *from, const char *home, tx_pulled *pulled,
                           const tx_watch *watch, tx_error *error) {
  char name[256], path[TX_PATH_SIZE];
  tx_receipt receipt = {0};
  bool there = false;
  TX_TRY(name_of(from, name, error));
  TX_TRY(tx_look_at_model(from, &receipt, error));
  snprintf(receipt.source, sizeof receipt.source, "file:%s", from);
  TX_TRY(tx_model_path(home, name, ".gguf", path, error));
  TX_TRY(tx_hash_file(from, "verify", watch, receipt.sha256, error));
  TX_TRY(check_name(name, path, &receipt, &there, watch, error));
  if (!there) {
    tx_lock lock;
    TX_TRY(tx_home_lock(home, name, &lock, watch, error));
    tx_status status = take_in(from, home, name, path, &receipt, &there, watch, error);
    tx_lock_free(&lock);
    TX_TRY(status);
  }
  tx_fill_pulled(pulled, name, path, &receipt, !there);
  return TX_OK;
}

/* ---- models that are made here ---- */

static tx_status write_made(const char *home, const char *name, const char *source,
                            tx_gguf_writer *writer, const char *path, const tx_watch *watch,
                            tx_error *error) {
  tx_receipt receipt = {0};
  TX_TRY(tx_gguf_commit(writer, path, error));
  TX_TRY(tx_look_at_model(path, &receipt, error));
  TX_TRY(tx_hash_file(path, "verify", watch, receipt.sha256, error));
  snprintf(receipt.source, sizeof receipt.source, "%s", source);
  return tx_receipt_write(home, name, receipt, error);
}

tx_status tx_model_keep(const char *home, const char *name, const char *source,
                        tx_gguf_writer *writer, char path[4096], const tx_watch *watch,
                        tx_error *error) {
  tx_lock lock;
  tx_receipt receipt;
  bool there = false;
  TX_TRY(tx_model_path(home, name, ".gguf", path, error));
  TX_TRY(make_models(home, error));
  TX_TRY(tx_home_lock(home, name, &lock, watch, error));
  tx_status status = tx_receipt_read(home, name, &receipt, &there, error);
  bool same = there && strcmp(receipt.source, source) == 0 && tx_file_look(path).exists;
  if (status == TX_OK && !same) {
    status = tx_file_look(path).exists && there
                 ? tx_fail(error, TX_ERROR_INPUT,
                           "another model is called %s already (%s); remove that one", name, path)
                 : write_made(home, name, source, writer, path, watch, error);
  }
  tx_lock_free(&lock);
  return status;
}

/* ---- either ---- */

static tx_status fail_unknown(const char *what, tx_error *error) {
  const tx_known *nearest = tx_known_nearest(what);
  if (nearest) {
    return tx_fail(error, TX_ERROR_INPUT,
                   "there is nothing called '%.200s' to pull; did you mean %s?", what,
                   nearest->name);
  }
  tx_buffer list = {0};
  for (size_t i = 0; i < tx_catalogue_count(); i++) {
    tx_buffer_format(&list, "%s%s", i ? ", " : "", tx_catalogue_at(i).name);
  }
  tx_status status =
      tx_fail(error, TX_ERROR_INPUT, "there is nothing called '%.200s' to pull; known are: %s",
              what, list.data ? list.data : "");
  tx_buffer_free(&list);
  return status;
}

static tx_status pull(const char *what, const char *home, const char *directory, tx_pulled *pulled,
                      const tx_watch *watch, tx_error *error) {
  const tx_known *known = tx_known_find(what);
  if (known) return tx_pull_known(known, home, directory, pulled, watch, error);
  if (strncmp(what, "hf:", 3) == 0) return tx_pull_hub(what, home, pulled, watch, error);
  if (tx_looks_like_path(what) || tx_file_look(what).exists) {
    return pull_path(what, home, pulled, watch, error);
  }
  return fail_unknown(what, error);
}

tx_status tx_pull(const char *what, const char *home, const char *directory, tx_pulled *pulled,
                  const tx_watch *watch, tx_error *error) {
  *pulled = (tx_pulled){0};
  if (!what || !*what) return tx_fail(error, TX_ERROR_ARGUMENT, "nothing is named to pull");
  tx_buffer place = {0};
  tx_status status = tx_home(home, &place, error);
  if (status == TX_OK) status = pull(what, place.data, directory, pulled, watch, error);
  tx_buffer_free(&place);
  return status;
}
