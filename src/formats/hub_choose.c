/* Which file of a repository is meant.
 *
 * A file that is named is taken.  Else: of the GGUF files, without those that
 * hold no language model (mmproj, imatrix), those that fit the wish: a
 * quantisation ("Q4_K_M", in any case, standing by itself in the file's name) or
 * a pattern with * and ? over the path.  One is taken; of several the one whose
 * quantisation comes first in `preference`.  Anything else is answered with what
 * there is.  Models in several parts are not read. */
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "formats/hub_parts.h"
#include "formats/nearest.h"

enum { LIST_BYTES = 420 };

/* What is usual first; then upward in size, the small older forms, and the
 * unquantised ones.  All can be read, which those of less than four bits cannot. */
static const char *const preference[] = {"Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", "Q4_K_S", "Q5_K_S",
                                         "Q4_1",   "Q4_0",   "Q5_1", "Q5_0", "F16",    "BF16",
                                         "F32"};
enum { PREFERENCES = sizeof preference / sizeof *preference };

static bool is_part_of_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* The word stands by itself in the text, in any case. */
static bool holds_word(const char *text, const char *word) {
  size_t size = strlen(word);
  for (const char *at = text; *at; at++) {
    bool begins = at == text || at[-1] == '_' || !is_part_of_word(at[-1]);
    if (begins && strncasecmp(at, word, size) == 0 && !is_part_of_word(at[size])) return true;
  }
  return false;
}

static const char *base_of(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

static bool ends_with(const char *text, const char *ending) {
  size_t size = strlen(text), end = strlen(ending);
  return size > end && strcasecmp(text + size - end, ending) == 0;
}

/* "...-00001-of-00003.gguf" */
static bool is_split(const char *path) {
  size_t size = strlen(path);
  const char *at = size > 20 ? path + size - 20 : "";
  return fnmatch("-[0-9][0-9][0-9][0-9][0-9]-of-[0-9][0-9][0-9][0-9][0-9].gguf", at,
                 FNM_CASEFOLD) == 0;
}

static bool is_model(const char *path) {
  const char *base = base_of(path);
  return ends_with(path, ".gguf") && !strcasestr(base, "mmproj") && !strcasestr(base, "imatrix");
}

static bool is_pattern(const char *wish) { return strpbrk(wish, "*?") != NULL; }

static bool fits(const char *path, const char *wish) {
  if (!*wish) return true;
  if (is_pattern(wish)) return fnmatch(wish, path, FNM_CASEFOLD) == 0;
  return holds_word(base_of(path), wish);
}

static int rank_of(const char *path) {
  for (int i = 0; i < PREFERENCES; i++) {
    if (holds_word(base_of(path), preference[i])) return i;
  }
  return PREFERENCES;
}

/* ---- what there is ---- */

/* The names that `of` is true of, on one line, and how many there are. */
static tx_status show(const tx_hub_listing *listing, bool (*of)(const char *), tx_buffer *list,
                      size_t *count, tx_error *error) {
  tx_text *names = tx_arena_array(listing->arena, listing->count + 1, sizeof *names);
  *count = 0;
  for (size_t i = 0; names && i < listing->count; i++) {
    if (of(listing->files[i].path)) names[(*count)++] = tx_text_of(listing->files[i].path);
  }
  tx_buffer_clear(list);
  tx_buffer_append_string(list, "");
  if (*count) tx_show_names(names, *count, LIST_BYTES, list);
  return names && !list->failed ? TX_OK : tx_fail_memory(error, LIST_BYTES, "names of files");
}

static bool is_whole(const char *path) { return is_model(path) && !is_split(path); }
static bool is_weights(const char *path) {
  return ends_with(path, ".safetensors") || ends_with(path, ".bin") || ends_with(path, ".onnx");
}

static tx_status fail_none(const tx_hub_listing *listing, const tx_hub_wish *wish,
                           tx_error *error) {
  tx_buffer list = {0};
  const char *name = wish->repository;
  size_t whole = 0, split = 0, weights = 0;
  tx_status status = show(listing, is_whole, &list, &whole, error);
  if (status == TX_OK && !whole) status = show(listing, is_split, &list, &split, error);
  if (status == TX_OK && !whole && !split) {
    status = show(listing, is_weights, &list, &weights, error);
  }
  if (status != TX_OK) {
    tx_buffer_free(&list);
    return status;
  }
  if (whole) {
    status =
        tx_fail(error, TX_ERROR_INPUT, "hf:%s has no model file that fits '%.100s'; it has: %s",
                name, wish->file, list.data);
  } else if (split) {
    status = tx_fail(error, TX_ERROR_INPUT,
                     "hf:%s has its models in several parts, which taxon does not read: %s; join "
                     "them by llama-gguf-split --merge and pull the path",
                     name, list.data);
  } else if (weights) {
    status = tx_fail(error, TX_ERROR_INPUT,
                     "hf:%s has no GGUF file, which is what taxon reads, but: %s; look for a "
                     "repository of the same name with -GGUF",
                     name, list.data);
  } else {
    status = tx_fail(error, TX_ERROR_INPUT,
                     "hf:%s has no model file (.gguf) at revision %s; check the name", name,
                     wish->revision);
  }
  tx_buffer_free(&list);
  return status;
}

static tx_status fail_many(const tx_hub_listing *listing, const tx_hub_wish *wish,
                           tx_error *error) {
  tx_buffer list = {0};
  size_t count;
  tx_status status = show(listing, is_whole, &list, &count, error);
  if (status == TX_OK) {
    status = tx_fail(error, TX_ERROR_INPUT,
                     "several files of hf:%s are equally good; name one (hf:%s/FILE): %s",
                     wish->repository, wish->repository, list.data);
  }
  tx_buffer_free(&list);
  return status;
}

/* ---- choosing ---- */

static bool named(const tx_hub_listing *listing, const char *wish, size_t *index) {
  for (size_t i = 0; *wish && i < listing->count; i++) {
    *index = i;
    if (strcmp(listing->files[i].path, wish) == 0) return true;
  }
  return false;
}

static tx_status check_named(const tx_hub_listing *listing, const tx_hub_wish *wish,
                             tx_error *error) {
  if (is_split(wish->file)) {
    return tx_fail(error, TX_ERROR_INPUT,
                   "%s is one of several parts of a model, which taxon does not read; join them "
                   "by llama-gguf-split --merge and pull the path",
                   wish->file);
  }
  return is_model(wish->file) ? TX_OK : fail_none(listing, wish, error);
}

tx_status tx_hub_choose(const tx_hub_listing *listing, const tx_hub_wish *wish, size_t *index,
                        const tx_watch *watch, tx_error *error) {
  if (named(listing, wish->file, index)) return check_named(listing, wish, error);
  size_t fitting = 0, best_count = 0;
  int best = PREFERENCES + 1;
  for (size_t i = 0; i < listing->count; i++) {
    const char *path = listing->files[i].path;
    if (!is_whole(path) || !fits(path, wish->file)) continue;
    int rank = rank_of(path);
    fitting++;
    best_count = rank < best ? 1 : best_count + (rank == best);
    if (rank < best) *index = i;
    if (rank < best) best = rank;
  }
  if (fitting == 0) return fail_none(listing, wish, error);
  if (best_count > 1) return fail_many(listing, wish, error);
  if (fitting > 1) {
    tx_watch_note(watch, "of %zu files %s is taken; name another by hf:%s/FILE", fitting,
                  listing->files[*index].path, wish->repository);
  }
  return TX_OK;
}
