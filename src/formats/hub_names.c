/* The names of the hub and the environment: what a person says, checked before
 * it becomes an address or a path. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "formats/hub_parts.h"
#include "formats/http.h"
#include "formats/nearest.h"
#include "formats/stream.h"

enum { PART_MOST = 96, TOKEN_BYTES = 4096 };

/* ---- names ---- */

static bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Of an owner or a repository. */
static bool is_plain_name(const char *name, size_t size) {
  if (size == 0 || size > PART_MOST || !(is_letter(name[0]) || name[0] == '_')) return false;
  for (size_t i = 0; i < size; i++) {
    if (!is_letter(name[i]) && !strchr("._-", name[i])) return false;
    if (i && name[i] == '.' && name[i - 1] == '.') return false;
  }
  return true;
}

/* As git allows, but for what is never seen there. */
static bool is_revision(const char *name, size_t size) {
  if (size == 0 || size >= TX_HUB_REVISION || !is_letter(name[0])) return false;
  for (size_t i = 0; i < size; i++) {
    if (!is_letter(name[i]) && !strchr("._-+=/", name[i])) return false;
    if (i && strchr("./", name[i]) && strchr("./", name[i - 1])) return false;
  }
  return !strchr("./", name[size - 1]);
}

bool tx_hub_path_is_safe(const char *path) {
  size_t size = strlen(path);
  if (size == 0 || size >= TX_HUB_FILE || !tx_is_utf8((tx_text){path, size})) return false;
  for (size_t i = 0; i < size; i++) {
    unsigned char byte = (unsigned char)path[i];
    if (byte < 0x20 || byte == 0x7f || byte == '\\') return false;
  }
  for (const char *part = path;; part++) {
    size_t length = strcspn(part, "/");
    bool dots = (length == 1 && part[0] == '.') || (length == 2 && strncmp(part, "..", 2) == 0);
    if (length == 0 || dots) return false;
    part += length;
    if (*part == '\0') return true;
  }
}

static tx_status fail_name(const char *what, const char *why, tx_error *error) {
  char shown[TX_SHOWN_SIZE];
  return tx_fail(error, TX_ERROR_ARGUMENT, "%s: %s; say hf:owner/name, with @revision or /file",
                 tx_show_name(tx_text_of(what), shown), why);
}

/* The revision's length: up to the next '/', but refs/pr/1 is one. */
static size_t revision_size(const char *from) {
  size_t size = strcspn(from, "/");
  if (strncmp(from, "refs/", 5) != 0) return size;
  for (int more = 0; more < 2 && from[size] == '/'; more++) {
    size += 1 + strcspn(from + size + 1, "/");
  }
  return size;
}

tx_status tx_hub_parse(const char *what, tx_hub_wish *wish, tx_error *error) {
  *wish = (tx_hub_wish){.revision = "main"};
  const char *owner = strncmp(what, "hf:", 3) == 0 ? what + 3 : what;
  size_t first = strcspn(owner, "/@");
  if (owner[first] != '/') return fail_name(what, "it names no repository", error);
  const char *name = owner + first + 1;
  size_t second = strcspn(name, "/@");
  if (!is_plain_name(owner, first) || !is_plain_name(name, second)) {
    return fail_name(what, "the hub has no such names", error);
  }
  snprintf(wish->repository, sizeof wish->repository, "%.*s/%.*s", (int)first, owner, (int)second,
           name);
  const char *rest = name + second;
  if (*rest == '@') {
    size_t size = revision_size(rest + 1);
    if (!is_revision(rest + 1, size)) return fail_name(what, "that is no revision", error);
    snprintf(wish->revision, sizeof wish->revision, "%.*s", (int)size, rest + 1);
    rest += 1 + size;
  }
  if (*rest == '\0') return TX_OK;
  if (!tx_hub_path_is_safe(rest + 1)) return fail_name(what, "that is no name of a file", error);
  snprintf(wish->file, sizeof wish->file, "%s", rest + 1);
  return TX_OK;
}

void tx_hub_escape(tx_buffer *url, const char *text, bool slash) {
  for (; *text; text++) {
    bool plain = is_letter(*text) || strchr("-._~", *text) || (slash && *text == '/');
    if (plain) {
      tx_buffer_append_byte(url, *text);
    } else {
      tx_buffer_format(url, "%%%02X", (unsigned)(unsigned char)*text);
    }
  }
}

/* ---- the environment ---- */

static const char *variable(const char *name) {
  const char *value = getenv(name);
  return value && *value ? value : NULL;
}

static bool is_true(const char *name) {
  const char *value = variable(name);
  return value && (strcmp(value, "1") == 0 || strcasecmp(value, "true") == 0 ||
                   strcasecmp(value, "yes") == 0 || strcasecmp(value, "on") == 0);
}

/* HF_HOME, else huggingface in the user's cache; false: there is no place. */
static bool find_home(char home[TX_PATH_SIZE]) {
  const char *set = variable("HF_HOME"), *cache = variable("XDG_CACHE_HOME");
  const char *user = variable("HOME");
  int used = set     ? snprintf(home, TX_PATH_SIZE, "%s", set)
             : cache ? snprintf(home, TX_PATH_SIZE, "%s/huggingface", cache)
             : user  ? snprintf(home, TX_PATH_SIZE, "%s/.cache/huggingface", user)
                     : -1;
  return (size_t)used < TX_PATH_SIZE / 2; /* -1, too, is none */
}

static void find_cache(const char *home, char cache[TX_PATH_SIZE]) {
  const char *set = variable("HF_HUB_CACHE");
  if (!set) set = variable("HUGGINGFACE_HUB_CACHE");
  cache[0] = '\0';
  if (set && strlen(set) < TX_PATH_SIZE / 2) {
    snprintf(cache, TX_PATH_SIZE, "%s", set);
  } else if (!set && *home) {
    snprintf(cache, TX_PATH_SIZE, "%.*s/hub", TX_PATH_SIZE / 2, home);
  }
}

/* Without blanks around it; a token that could break out of a header is refused
 * and not shown. */
static tx_status take_token(const char *text, size_t size, char token[512], const char *where,
                            tx_error *error) {
  while (size && strchr(" \t\r\n", text[size - 1])) size--;
  while (size && strchr(" \t\r\n", *text)) text++, size--;
  bool good = size < 512;
  for (size_t i = 0; good && i < size; i++) good = text[i] > 0x20 && text[i] < 0x7f;
  if (!good) {
    return tx_fail(error, TX_ERROR_ARGUMENT, "the token in %s is none: it must be one plain word",
                   where);
  }
  memcpy(token, text, size);
  token[size] = '\0';
  return TX_OK;
}

static tx_status read_token(const char *path, char token[512], tx_error *error) {
  char bytes[TOKEN_BYTES];
  size_t got = 0;
  tx_stream *stream;
  if (!tx_file_look(path).regular) return TX_OK;
  if (tx_stream_open(path, &stream, NULL) != TX_OK) return TX_OK; /* somebody else's */
  tx_status status = tx_stream_read(stream, bytes, sizeof bytes, &got, error);
  tx_stream_close(stream);
  TX_TRY(status);
  return take_token(bytes, got, token, path, error);
}

static tx_status find_token(const char *home, char token[512], tx_error *error) {
  char path[TX_PATH_SIZE + 16];
  const char *set = variable("HF_TOKEN"), *file = variable("HF_TOKEN_PATH");
  token[0] = '\0';
  if (set) return take_token(set, strlen(set), token, "HF_TOKEN", error);
  if (is_true("HF_HUB_DISABLE_IMPLICIT_TOKEN") || (!file && !*home)) return TX_OK;
  int used = file ? snprintf(path, sizeof path, "%s", file)
                  : snprintf(path, sizeof path, "%s/token", home);
  return (size_t)used < sizeof path ? read_token(path, token, error) : TX_OK;
}

/* A value with a user's name may hold a password too: it is not shown. */
static tx_status fail_endpoint(const char *set, const char *what, tx_error *error) {
  char shown[TX_SHOWN_SIZE];
  bool secret = strchr(set, '@') != NULL;
  return tx_fail(error, TX_ERROR_ARGUMENT, "HF_ENDPOINT%s%s%s is %s",
                 secret ? "" : " '", secret ? "" : tx_show_name(tx_text_of(set), shown),
                 secret ? "" : "'", what);
}

/* "scheme://host:port/...": false where a port stands that is none. */
static bool port_is_good(const char *address) {
  const char *host = strstr(address, "://");
  if (!host) return true;
  host += 3;
  size_t size = strcspn(host, "/"), from = size;
  while (from > 0 && host[from - 1] != ':' && host[from - 1] != ']') from--;
  if (from == 0 || host[from - 1] == ']' || from == size || memchr(host, '@', size)) return true;
  long port = 0;
  for (size_t i = from; i < size && port <= 65535; i++) {
    if (host[i] < '0' || host[i] > '9') return false;
    port = 10 * port + (host[i] - '0');
  }
  return port >= 1 && port <= 65535;
}

static tx_status find_endpoint(tx_hub_settings *settings, tx_error *error) {
  char origin[TX_HOST_SIZE];
  const char *set = variable("HF_ENDPOINT");
  settings->set = set != NULL;
  if (!set) set = "https://huggingface.co";
  size_t size = strlen(set);
  while (size && set[size - 1] == '/') size--;
  bool good = size < TX_HUB_ENDPOINT && !strpbrk(set, "?#\\");
  for (size_t i = 0; good && i < size; i++) good = set[i] > 0x20 && set[i] < 0x7f;
  if (good) snprintf(settings->endpoint, sizeof settings->endpoint, "%.*s", (int)size, set);
  if (good && !port_is_good(settings->endpoint)) {
    return fail_endpoint(set, "no address: a port is a number from 1 to 65535", error);
  }
  if (!good || !tx_http_origin(settings->endpoint, origin)) {
    return fail_endpoint(
        set, "no address: it must be https://host or http://host, without a user's name", error);
  }
  settings->plain = strncmp(origin, "http:", 5) == 0;
  return TX_OK;
}

tx_status tx_hub_settings_read(tx_hub_settings *settings, tx_error *error) {
  char home[TX_PATH_SIZE];
  *settings = (tx_hub_settings){.offline = is_true("HF_HUB_OFFLINE")};
  if (!find_home(home)) home[0] = '\0';
  find_cache(home, settings->cache);
  TX_TRY(find_endpoint(settings, error));
  return find_token(home, settings->token, error);
}
