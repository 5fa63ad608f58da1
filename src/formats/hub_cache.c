/* The cache that the hub's other clients keep on this machine: read, never
 * written.
 *
 *   models--OWNER--NAME/refs/REVISION            the commit, in hex
 *   models--OWNER--NAME/snapshots/COMMIT/FILE    a link to
 *   models--OWNER--NAME/blobs/SHA256             the bytes */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/hub_parts.h"
#include "formats/stream.h"

enum { DEEPEST = 4 };

static bool is_hex(const char *text, size_t size) {
  return strlen(text) == size && strspn(text, "0123456789abcdef") == size;
}

/* CACHE/models--OWNER--NAME */
static bool folder_of(const tx_hub_settings *settings, const tx_hub_wish *wish,
                      char folder[TX_PATH_SIZE]) {
  size_t owner = strcspn(wish->repository, "/");
  const char *name = wish->repository + owner + (wish->repository[owner] == '/');
  int used = snprintf(folder, TX_PATH_SIZE, "%s/models--%.*s--%s", settings->cache, (int)owner,
                      wish->repository, name);
  return *settings->cache && (size_t)used < TX_PATH_SIZE;
}

/* The parts joined, when they fit and lead to a regular file. */
static bool find(const char *folder, const char *kind, const char *inner, const char *file,
                 char path[TX_PATH_SIZE]) {
  int used = snprintf(path, TX_PATH_SIZE, "%s/%s/%s%s%s", folder, kind, inner, *file ? "/" : "",
                      file);
  return (size_t)used < TX_PATH_SIZE && tx_file_look(path).regular;
}

bool tx_hub_cache_find(const tx_hub_settings *settings, const tx_hub_wish *wish,
                       const char *commit, const tx_hub_file *file, char path[TX_PATH_SIZE]) {
  char folder[TX_PATH_SIZE];
  if (!folder_of(settings, wish, folder)) return false;
  bool there = find(folder, "snapshots", commit, file->path, path) ||
               (*file->sha256 && find(folder, "blobs", file->sha256, "", path));
  return there && (file->bytes < 0 || tx_file_look(path).bytes == file->bytes);
}

/* ---- what is there, without the hub ---- */

/* The commit that a revision was when it was last fetched. */
static bool read_commit(const char *folder, const char *revision, char commit[41]) {
  char path[TX_PATH_SIZE], bytes[64];
  size_t got = 0;
  tx_stream *stream;
  if (is_hex(revision, 40)) {
    memcpy(commit, revision, 41);
    return true;
  }
  if (!find(folder, "refs", revision, "", path)) return false;
  if (tx_stream_open(path, &stream, NULL) != TX_OK) return false;
  tx_status status = tx_stream_read(stream, bytes, sizeof bytes - 1, &got, NULL);
  tx_stream_close(stream);
  bytes[status == TX_OK ? got : 0] = '\0';
  bytes[strcspn(bytes, "\r\n ")] = '\0';
  if (!is_hex(bytes, 40)) return false;
  memcpy(commit, bytes, 41);
  return true;
}

/* The bytes are held against the name of the blob that the link leads to. */
static tx_status add_file(tx_hub_listing *listing, const char *inner, const char *path,
                          tx_buffer *files, tx_error *error) {
  char resolved[PATH_MAX];
  const char *target = realpath(path, resolved), *name = target ? strrchr(target, '/') : NULL;
  tx_hub_file file = {.bytes = tx_file_look(path).bytes, .sha256 = ""};
  file.path = tx_arena_string(listing->arena, inner, strlen(inner));
  if (name && is_hex(name + 1, 64)) file.sha256 = tx_arena_string(listing->arena, name + 1, 64);
  bool good = file.path && file.sha256 && tx_buffer_append(files, &file, sizeof file);
  return good ? TX_OK : tx_fail_memory(error, sizeof file, "a list of files");
}

static tx_status list_folder(tx_hub_listing *listing, const char *top, const char *inner,
                             int depth, tx_buffer *files, tx_error *error) {
  char folder[TX_PATH_SIZE], path[TX_PATH_SIZE], next[TX_HUB_FILE], **names;
  size_t count;
  if (tx_path_join(folder, top, inner, NULL) != TX_OK || depth > DEEPEST) return TX_OK;
  TX_TRY(tx_directory_names(folder, listing->arena, &names, &count, error));
  for (size_t i = 0; i < count; i++) {
    int used = snprintf(next, sizeof next, "%s%s%s", inner, *inner ? "/" : "", names[i]);
    if ((size_t)used >= sizeof next || !tx_hub_path_is_safe(next)) continue;
    if (tx_path_join(path, top, next, NULL) != TX_OK) continue;
    tx_file_facts facts = tx_file_look(path);
    if (facts.regular) TX_TRY(add_file(listing, next, path, files, error));
    if (facts.directory) TX_TRY(list_folder(listing, top, next, depth + 1, files, error));
  }
  return TX_OK;
}

tx_status tx_hub_cache_list(const tx_hub_settings *settings, const tx_hub_wish *wish,
                            tx_hub_listing *listing, tx_error *error) {
  char folder[TX_PATH_SIZE], top[TX_PATH_SIZE];
  *listing = (tx_hub_listing){.arena = tx_arena_new()};
  if (!listing->arena) return tx_fail_memory(error, 64, "a list of files");
  if (!folder_of(settings, wish, folder) ||
      !read_commit(folder, wish->revision, listing->commit)) {
    return TX_OK;
  }
  int used = snprintf(top, sizeof top, "%s/snapshots/%s", folder, listing->commit);
  if ((size_t)used >= sizeof top) return TX_OK;
  tx_buffer files = {0};
  tx_status status = list_folder(listing, top, "", 0, &files, error);
  if (status == TX_OK && files.size) {
    listing->files = tx_arena_alloc(listing->arena, files.size);
    if (listing->files) {
      memcpy(listing->files, files.data, files.size);
      listing->count = files.size / sizeof *listing->files;
    } else {
      status = tx_fail_memory(error, files.size, "a list of files");
    }
  }
  tx_buffer_free(&files);
  return status;
}
