/* The tokenizer: a vocabulary checked and indexed once, then text walked from
 * special token to special token, pre-token to pre-token. */
#include "text/tokenizer.h"

#include <inttypes.h>
#include <string.h>

#include "base/memory.h"
#include "text/bpe.h"
#include "text/bytes.h"
#include "text/lexicon.h"
#include "text/special.h"
#include "text/split.h"

enum { MOST = 1 << 20 }; /* of tokens, and of merges: twice what the largest models have */

struct tx_tokenizer {
  size_t count;
  tx_text *tokens; /* (count), what each stands for, in `storage` */
  char *storage;
  int32_t byte_ids[256]; /* of the one-byte tokens; -1: the vocabulary has none */
  tx_bpe *bpe;
  /* Those tokens that merging reaches from their own bytes: a pre-token found
   * here needs no merging. */
  tx_lexicon words;
  tx_splitter *splitter;
  tx_specials specials; /* control, unknown and user-defined tokens */
  int64_t bos, eos, padding;
};

/* What is needed while a tokenizer is made. */
typedef struct making {
  tx_tokenizer *made;
  const tx_vocabulary *vocabulary;
  const char *file;
  tx_lexicon spellings; /* of vocabulary->tokens */
  bool *joined;         /* (count): some merge makes the token */
  tx_error *error;
} making;

#define REFUSE(making, ...) \
  tx_fail_line((making)->error, TX_ERROR_INPUT, (making)->file, 0, __VA_ARGS__)
static const char ADVICE[] = "the file is damaged or was badly converted, fetch it again";

/* Before anything is added up: so many of these sizes cannot overflow. */
static tx_status check_sizes(making *m) {
  const tx_vocabulary *vocabulary = m->vocabulary;
  for (size_t i = 0; i < vocabulary->count; i++) {
    if (vocabulary->tokens[i].size <= INT32_MAX) continue;
    return REFUSE(m, "token %zu is %zu bytes long; %s", i, vocabulary->tokens[i].size, ADVICE);
  }
  return TX_OK;
}

static tx_status check_kinds(making *m) {
  const tx_vocabulary *vocabulary = m->vocabulary;
  for (size_t i = 0; vocabulary->kinds && i < vocabulary->count; i++) {
    int64_t kind = vocabulary->kinds[i];
    if (kind < TX_TOKEN_NORMAL || kind > TX_TOKEN_BYTE) {
      return REFUSE(m, "token %zu is of kind %" PRId64 ", where kinds run from 1 to 6; %s", i, kind,
                    ADVICE);
    }
  }
  return TX_OK;
}

static tx_status check_ids(making *m) {
  const tx_vocabulary *vocabulary = m->vocabulary;
  const struct {
    const char *name;
    int64_t id;
  } named[] = {{"beginning", vocabulary->bos},
               {"end", vocabulary->eos},
               {"unknown", vocabulary->unknown},
               {"padding", vocabulary->padding}};
  for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
    if (named[i].id < -1 || named[i].id >= (int64_t)vocabulary->count) {
      return REFUSE(m, "the %s token is number %" PRId64 " of a vocabulary of %zu; %s",
                    named[i].name, named[i].id, vocabulary->count, ADVICE);
    }
  }
  return TX_OK;
}

static tx_status check_counts(making *m) {
  const tx_vocabulary *vocabulary = m->vocabulary;
  if (vocabulary->count == 0) return REFUSE(m, "the vocabulary has no tokens; %s", ADVICE);
  if (vocabulary->count > MOST || vocabulary->merge_count > MOST) {
    return REFUSE(m,
                  "the vocabulary has %zu tokens and %zu merges, where %d of each is the most; %s",
                  vocabulary->count, vocabulary->merge_count, MOST, ADVICE);
  }
  return TX_OK;
}

static tx_status index_spellings(making *m) {
  size_t count = m->vocabulary->count;
  if (!tx_lexicon_make(&m->spellings, m->vocabulary->tokens, count)) {
    return tx_fail_memory(m->error, count * 16, "a vocabulary");
  }
  for (size_t i = 0; i < count; i++) {
    int32_t first = tx_lexicon_add(&m->spellings, (int32_t)i);
    if (first < 0) return REFUSE(m, "token %zu was made to slow down its search; %s", i, ADVICE);
    if ((size_t)first != i) {
      return REFUSE(m, "tokens %" PRId32 " and %zu are the same; %s", first, i, ADVICE);
    }
  }
  return TX_OK;
}

static tx_token_kind kind_of(const tx_vocabulary *vocabulary, size_t id) {
  return vocabulary->kinds ? (tx_token_kind)vocabulary->kinds[id] : TX_TOKEN_NORMAL;
}

/* Whether the token is spelled as it stands in the text, not in the alphabet. */
static bool is_verbatim(tx_token_kind kind) {
  return kind == TX_TOKEN_CONTROL || kind == TX_TOKEN_USER_DEFINED || kind == TX_TOKEN_UNKNOWN;
}

static tx_status decode_tokens(making *m) {
  const tx_vocabulary *vocabulary = m->vocabulary;
  tx_tokenizer *made = m->made;
  uint64_t size = 0;
  for (size_t i = 0; i < vocabulary->count; i++) size += vocabulary->tokens[i].size;
  made->tokens = tx_alloc_array(vocabulary->count, sizeof *made->tokens);
  made->storage = tx_alloc(size);
  if (!made->tokens || !made->storage) return tx_fail_memory(m->error, size, "a vocabulary");
  char *at = made->storage;
  for (size_t i = 0; i < vocabulary->count; i++) {
    tx_text spelling = vocabulary->tokens[i];
    size_t length = spelling.size;
    if (!is_verbatim(kind_of(vocabulary, i))) {
      length = tx_bytes_of_spelling(spelling, at);
    } else if (length) {
      memcpy(at, spelling.data, length);
    }
    made->tokens[i] = (tx_text){at, length};
    at += length;
  }
  made->count = vocabulary->count;
  for (int byte = 0; byte < 256; byte++) {
    char symbol[2];
    size_t length = tx_byte_symbol((unsigned char)byte, symbol);
    made->byte_ids[byte] = tx_lexicon_find(&m->spellings, (tx_text){symbol, length});
  }
  return TX_OK;
}

/* One merge, "left right": both known, and what they make together. */
static tx_status add_merge(making *m, size_t number) {
  tx_text merge = m->vocabulary->merges[number];
  const char *space = merge.size ? memchr(merge.data, ' ', merge.size) : NULL;
  size_t left_size = space ? (size_t)(space - merge.data) : 0;
  size_t right_size = space ? merge.size - left_size - 1 : 0;
  if (!left_size || !right_size || memchr(space + 1, ' ', right_size)) {
    return REFUSE(m, "merge %zu is not two tokens with one space between them; %s", number, ADVICE);
  }
  int32_t left = tx_lexicon_find(&m->spellings, (tx_text){merge.data, left_size});
  int32_t right = tx_lexicon_find(&m->spellings, (tx_text){space + 1, right_size});
  if (left < 0 || right < 0) {
    return REFUSE(m, "the %s token of merge %zu is not in the vocabulary; %s",
                  left < 0 ? "left" : "right", number, ADVICE);
  }
  char few[256];
  char *both = left_size + right_size <= sizeof few ? few : tx_alloc(left_size + right_size);
  if (!both) return tx_fail_memory(m->error, merge.size, "a merge");
  memcpy(both, merge.data, left_size);
  memcpy(both + left_size, space + 1, right_size);
  int32_t joined = tx_lexicon_find(&m->spellings, (tx_text){both, left_size + right_size});
  if (both != few) tx_free(both);
  if (joined < 0) {
    return REFUSE(m, "what merge %zu makes is not in the vocabulary; %s", number, ADVICE);
  }
  m->joined[joined] = true;
  size_t rank = tx_bpe_add(m->made->bpe, left, right, joined);
  if (rank == SIZE_MAX) {
    return REFUSE(m, "merge %zu was made to slow down its search; %s", number, ADVICE);
  }
  if (rank != number) {
    return REFUSE(m, "merges %zu and %zu are the same; %s", rank, number, ADVICE);
  }
  return TX_OK;
}

static tx_status add_merges(making *m) {
  size_t count = m->vocabulary->merge_count;
  m->made->bpe = tx_bpe_new(count);
  m->joined = tx_alloc_zero(m->vocabulary->count, sizeof *m->joined);
  if (!m->made->bpe || !m->joined) return tx_fail_memory(m->error, count * 40, "the merges");
  for (size_t i = 0; i < count; i++) TX_TRY(add_merge(m, i));
  return TX_OK;
}

/* The spellings to look for in a text. */
static tx_status gather_specials(making *m) {
  const tx_vocabulary *vocabulary = m->vocabulary;
  tx_tokenizer *made = m->made;
  size_t count = 0;
  for (size_t i = 0; i < made->count; i++) count += is_verbatim(kind_of(vocabulary, i));
  tx_special *items = tx_alloc_array(count, sizeof *items);
  if (!items) return tx_fail_memory(m->error, count * sizeof *items, "the special tokens");
  count = 0;
  for (size_t i = 0; i < made->count; i++) {
    tx_token_kind kind = kind_of(vocabulary, i);
    if (!is_verbatim(kind) || !made->tokens[i].size) continue;
    items[count++] = (tx_special){made->tokens[i], (int32_t)i, kind != TX_TOKEN_USER_DEFINED};
    if (made->tokens[i].size <= TX_SPECIAL_LONGEST) continue;
    tx_free(items);
    return REFUSE(m, "special token %zu is %zu bytes long, where %d is the most; %s", i,
                  made->tokens[i].size, TX_SPECIAL_LONGEST, ADVICE);
  }
  tx_specials_make(&made->specials, items, count);
  return TX_OK;
}

/* Puts the tokens of the bytes' symbols at `ids`, which has room for one each,
 * and merges them. */
static bool merge_bytes(const tx_tokenizer *tokenizer, tx_text bytes, int32_t *ids, size_t *count,
                        tx_bpe_scratch *scratch) {
  *count = 0;
  for (size_t i = 0; i < bytes.size; i++) {
    int32_t id = tokenizer->byte_ids[(unsigned char)bytes.data[i]];
    if (id >= 0) ids[(*count)++] = id;
  }
  return tx_bpe_merge(tokenizer->bpe, ids, count, scratch);
}

static tx_status find_words(making *m, int32_t *ids, tx_bpe_scratch *scratch) {
  tx_tokenizer *made = m->made;
  if (!tx_lexicon_make(&made->words, made->tokens, made->count)) {
    return tx_fail_memory(m->error, made->count * 16, "a vocabulary");
  }
  for (size_t i = 0; i < made->count; i++) {
    if (!m->joined[i]) continue;
    size_t count;
    if (!merge_bytes(made, made->tokens[i], ids, &count, scratch)) {
      return tx_fail_memory(m->error, made->tokens[i].size * 32, "a long token");
    }
    if (count == 1 && ids[0] == (int32_t)i) tx_lexicon_add(&made->words, (int32_t)i);
  }
  return TX_OK;
}

static tx_status index_words(making *m) {
  size_t longest = 0;
  for (size_t i = 0; i < m->made->count; i++) {
    if (m->made->tokens[i].size > longest) longest = m->made->tokens[i].size;
  }
  int32_t *ids = tx_alloc_array(longest, sizeof *ids);
  if (!ids) return tx_fail_memory(m->error, longest * sizeof *ids, "a long token");
  tx_bpe_scratch scratch = {0};
  tx_status status = find_words(m, ids, &scratch);
  tx_bpe_scratch_free(&scratch);
  tx_free(ids);
  return status;
}

static tx_status make(making *m) {
  TX_TRY(check_counts(m));
  TX_TRY(check_sizes(m));
  TX_TRY(check_kinds(m));
  TX_TRY(check_ids(m));
  TX_TRY(tx_splitter_new(m->file, m->vocabulary->split, true, &m->made->splitter, m->error));
  TX_TRY(index_spellings(m));
  TX_TRY(decode_tokens(m));
  TX_TRY(add_merges(m));
  TX_TRY(gather_specials(m));
  return index_words(m);
}

tx_status tx_tokenizer_new(const tx_vocabulary *vocabulary, tx_tokenizer **tokenizer,
                           tx_error *error) {
  *tokenizer = NULL;
  making m = {.vocabulary = vocabulary, .error = error};
  m.file = vocabulary->file ? vocabulary->file : "the vocabulary";
  m.made = tx_alloc_zero(1, sizeof *m.made);
  if (!m.made) return tx_fail_memory(error, sizeof *m.made, "a tokenizer");
  m.made->bos = vocabulary->bos;
  m.made->padding = vocabulary->padding;
  m.made->eos = vocabulary->eos;
  tx_status status = make(&m);
  tx_lexicon_free(&m.spellings);
  tx_free(m.joined);
  if (status == TX_OK) {
    *tokenizer = m.made;
  } else {
    tx_tokenizer_free(m.made);
  }
  return status;
}

void tx_tokenizer_free(tx_tokenizer *tokenizer) {
  if (!tokenizer) return;
  tx_free(tokenizer->tokens);
  tx_free(tokenizer->storage);
  tx_bpe_free(tokenizer->bpe);
  tx_lexicon_free(&tokenizer->words);
  tx_splitter_free(tokenizer->splitter);
  tx_specials_free(&tokenizer->specials);
  tx_free(tokenizer);
}

size_t tx_tokenizer_count(const tx_tokenizer *tokenizer) { return tokenizer->count; }
int64_t tx_tokenizer_bos(const tx_tokenizer *tokenizer) { return tokenizer->bos; }
int64_t tx_tokenizer_eos(const tx_tokenizer *tokenizer) { return tokenizer->eos; }
int64_t tx_tokenizer_padding(const tx_tokenizer *tokenizer) { return tokenizer->padding; }

tx_text tx_tokenizer_bytes(const tx_tokenizer *tokenizer, int64_t id) {
  if (id < 0 || (uint64_t)id >= tokenizer->count) return (tx_text){NULL, 0};
  return tokenizer->tokens[id];
}

bool tx_tokenizer_has_byte(const tx_tokenizer *tokenizer, unsigned char byte) {
  return tokenizer->byte_ids[byte] >= 0;
}

/* ---- encoding ---------------------------------------------------------- */

void tx_ids_free(tx_ids *ids) {
  tx_free(ids->ids);
  *ids = (tx_ids){0};
}

static tx_status ids_reserve(tx_ids *ids, size_t more, tx_error *error) {
  if (ids->capacity - ids->count >= more) return TX_OK;
  size_t capacity = ids->capacity ? ids->capacity : 64;
  while (capacity - ids->count < more && capacity < SIZE_MAX / 4) capacity *= 2;
  uint64_t bytes = UINT64_MAX;
  int32_t *grown = NULL;
  if (tx_multiply(capacity, sizeof *grown, &bytes)) grown = tx_resize(ids->ids, bytes);
  if (!grown) return tx_fail_memory(error, bytes, "a text's tokens");
  ids->ids = grown;
  ids->capacity = capacity;
  return TX_OK;
}

/* One call's memory and state. */
typedef struct encoding {
  const tx_tokenizer *tokenizer;
  tx_split *split;
  tx_bpe_scratch scratch;
  bool special;
  size_t limit;
  tx_ids *ids;
  tx_error *error;
} encoding;

static tx_status encode_word(encoding *e, tx_text word) {
  const tx_tokenizer *tokenizer = e->tokenizer;
  tx_ids *ids = e->ids;
  TX_TRY(ids_reserve(ids, word.size, e->error));
  int32_t id = tx_lexicon_find(&tokenizer->words, word);
  if (id >= 0) {
    ids->ids[ids->count++] = id;
    return TX_OK;
  }
  size_t count;
  if (!merge_bytes(tokenizer, word, ids->ids + ids->count, &count, &e->scratch)) {
    return tx_fail_memory(e->error, word.size * 32, "a long word");
  }
  ids->count += count;
  return TX_OK;
}

/* Text that holds no special tokens. */
static tx_status encode_plain(encoding *e, tx_text text) {
  tx_split_start(e->split, text);
  while (e->ids->count < e->limit) {
    tx_text word;
    TX_TRY(tx_split_next(e->split, &word, e->error));
    if (!word.size) break;
    TX_TRY(encode_word(e, word));
  }
  return TX_OK;
}

/* The next special token that is parsed, or NULL.  One that is kept as text is
 * passed over as a whole: no other is looked for inside it. */
static const tx_special *next_special(const encoding *e, tx_text text, size_t from, size_t *at) {
  for (;;) {
    const tx_special *found = tx_specials_next(&e->tokenizer->specials, text, from, at);
    if (!found || e->special || !found->on_request) return found;
    from = *at + found->spelling.size;
  }
}

static tx_status push_special(encoding *e, const tx_special *special) {
  TX_TRY(ids_reserve(e->ids, 1, e->error));
  e->ids->ids[e->ids->count++] = special->id;
  return TX_OK;
}

static tx_status encode(encoding *e, tx_text text) {
  size_t at = 0;
  while (at < text.size && e->ids->count < e->limit) {
    size_t start;
    const tx_special *special = next_special(e, text, at, &start);
    if (!special) start = text.size;
    TX_TRY(encode_plain(e, (tx_text){text.data + at, start - at}));
    if (!special || e->ids->count >= e->limit) break;
    TX_TRY(push_special(e, special));
    at = start + special->spelling.size;
  }
  return TX_OK;
}

/* The tokens of text[*from, end), but for what follows the last control token
 * spelled in text[at, end): from there on *from counts. */
static tx_status encode_controls(encoding *e, tx_text text, size_t at, size_t end, size_t *from) {
  const tx_special *special;
  size_t start;
  tx_text run = {text.data, end};
  while ((special = tx_specials_next(&e->tokenizer->specials, run, at, &start))) {
    at = start + special->spelling.size;
    if (!special->on_request) continue; /* encode() finds it again */
    TX_TRY(encode(e, (tx_text){text.data + *from, start - *from}));
    TX_TRY(push_special(e, special));
    *from = at;
  }
  return TX_OK;
}

/* Control tokens only where no byte is foreign; the rest in one piece from one to
 * the next, whoever wrote it. */
static tx_status encode_marked(encoding *e, tx_text text, const unsigned char *foreign) {
  size_t from = 0;
  for (size_t at = 0, end; at < text.size; at = end) {
    for (end = at + 1; end < text.size && !foreign[end] == !foreign[at];) end++;
    if (!foreign[at]) TX_TRY(encode_controls(e, text, at, end, &from));
  }
  return encode(e, (tx_text){text.data + from, text.size - from});
}

static tx_status encode_all(const tx_tokenizer *tokenizer, tx_text text, bool special,
                            const unsigned char *foreign, size_t limit, tx_ids *ids,
                            tx_error *error) {
  if (text.size > INT32_MAX) {
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "a text of %zu bytes is too long for the tokenizer; cut it below 2 GiB",
                   text.size);
  }
  size_t before = ids->count;
  encoding e = {.tokenizer = tokenizer, .special = special, .ids = ids, .error = error};
  e.limit = limit ? limit : SIZE_MAX;
  e.split = tx_split_new(tokenizer->splitter);
  if (!e.split) return tx_fail_memory(error, sizeof(void *) * 16, "a tokenizer's working memory");
  tx_status status = foreign ? encode_marked(&e, text, foreign) : encode(&e, text);
  tx_split_free(e.split);
  tx_bpe_scratch_free(&e.scratch);
  if (status != TX_OK) ids->count = before;
  return status;
}

tx_status tx_tokenizer_encode(const tx_tokenizer *tokenizer, tx_text text, bool special,
                              size_t limit, tx_ids *ids, tx_error *error) {
  return encode_all(tokenizer, text, special, NULL, limit, ids, error);
}

tx_status tx_tokenizer_encode_marked(const tx_tokenizer *tokenizer, tx_text text,
                                     const unsigned char *foreign, tx_ids *ids, tx_error *error) {
  return encode_all(tokenizer, text, false, text.size ? foreign : NULL, 0, ids, error);
}
