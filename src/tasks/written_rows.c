/* Reading, encoding, dividing. */
#include "tasks/written_rows.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "adapt/logistic.h"
#include "base/hash.h"
#include "base/memory.h"

/* ---- reading ----------------------------------------------------------- */

typedef struct {
  const tx_writing_options *options;
  tx_instructions *table;
  tx_written_rows *rows;
  tx_sha256 *hash;
  tx_chat_text text;  /* of one text */
  tx_chat_ids tokens;
  tx_buffer ids, written, offsets, questions; /* as they grow */
} reading;

static bool hash_text(tx_sha256 *hash, tx_text text) {
  unsigned char size[8];
  for (int i = 0; i < 8; i++) size[i] = (unsigned char)((uint64_t)text.size >> (8 * i));
  return tx_sha256_add(hash, size, sizeof size) && tx_sha256_add(hash, text.data, text.size);
}

static bool hash_row(tx_sha256 *hash, const tx_instruction_row *row) {
  bool whole = true;
  for (size_t i = 0; i < row->count; i++) {
    whole = whole && hash_text(hash, row->turns[i].role) &&
            hash_text(hash, row->turns[i].content) && hash_text(hash, row->turns[i].input);
  }
  return whole && hash_text(hash, row->chosen) && hash_text(hash, row->rejected);
}

/* What the template or the tokens refuse, with the row's line. */
static tx_status fail_row(const reading *r, const tx_instruction_row *row, const tx_error *why,
                          tx_error *error) {
  if (why->status != TX_ERROR_INPUT) return tx_fail_with(error, why);
  return tx_fail_line(error, TX_ERROR_INPUT, tx_instructions_name(r->table), row->line, "%s",
                      why->message);
}

/* The first token follows nothing, so it is never to be written. */
static tx_status append_tokens(reading *r, const tx_instruction_row *row, tx_error *error) {
  const tx_chat_ids *tokens = &r->tokens;
  size_t count = tokens->ids.count;
  bool any = false;
  for (size_t i = 0; i < count; i++) {
    bool written = i > 0 && (tokens->answer[i] || r->options->with_prompts);
    tx_buffer_append_byte(&r->written, written);
    any = any || written;
  }
  if (!any) {
    return tx_fail_line(error, TX_ERROR_INPUT, tx_instructions_name(r->table), row->line,
                        "the template writes nothing of the row's answer; take another template");
  }
  int64_t end = (int64_t)r->written.size;
  if (tx_buffer_append(&r->ids, tokens->ids.ids, count * sizeof(int32_t)) && !r->written.failed &&
      tx_buffer_append(&r->offsets, &end, sizeof end)) {
    return TX_OK;
  }
  return tx_fail_memory(error, count * 5, "the rows");
}

/* One text, from the turns and maybe an answer. */
static tx_status encode_text(reading *r, const tx_instruction_row *row, const tx_text *answer,
                             tx_error *error) {
  const tx_writing_options *o = r->options;
  size_t count = row->count + (answer != NULL);
  tx_error why = {0};
  tx_chat_message *turns = tx_alloc_array(count, sizeof *turns);
  if (!turns) return tx_fail_memory(error, count * sizeof *turns, "a row");
  memcpy(turns, row->turns, row->count * sizeof *turns);
  if (answer) turns[row->count] = (tx_chat_message){{"assistant", 9}, *answer, {NULL, 0}};
  tx_status status = tx_chat_answers(o->chat, turns, count, &r->text, &why);
  if (status == TX_OK) status = tx_chat_tokens(o->tokenizer, &r->text, &r->tokens, &why);
  tx_free(turns);
  return status == TX_OK ? append_tokens(r, row, error) : fail_row(r, row, &why, error);
}

/* Of the texts from `from` on: the longest. */
static int64_t longest_from(const reading *r, int64_t from) {
  const int64_t *offsets = (const int64_t *)(const void *)r->offsets.data;
  int64_t longest = 0, texts = (int64_t)(r->offsets.size / sizeof *offsets) - 1;
  for (int64_t i = from; i < texts; i++) {
    int64_t size = offsets[i + 1] - offsets[i];
    longest = size > longest ? size : longest;
  }
  return longest;
}

static void forget_from(reading *r, int64_t texts) {
  const int64_t *offsets = (const int64_t *)(const void *)r->offsets.data;
  r->ids.size = (size_t)offsets[texts] * sizeof(int32_t);
  r->written.size = (size_t)offsets[texts];
  r->offsets.size = (size_t)(texts + 1) * sizeof *offsets;
}

static tx_status take_row(reading *r, const tx_instruction_row *row, tx_error *error) {
  const tx_writing_options *o = r->options;
  tx_written_rows *rows = r->rows;
  int64_t texts = rows->texts;
  if (!hash_row(r->hash, row)) return tx_fail_memory(error, 64, "a hash");
  TX_TRY(encode_text(r, row, o->preferences ? &row->chosen : NULL, error));
  if (o->preferences) TX_TRY(encode_text(r, row, &row->rejected, error));
  int64_t longest = longest_from(r, texts);
  if (o->limit > 0 && longest > o->limit) {
    forget_from(r, texts);
    rows->left_out++;
    return TX_OK;
  }
  if (longest > o->context) {
    return tx_fail_line(error, TX_ERROR_INPUT, tx_instructions_name(r->table), row->line,
                        "the row is %" PRId64 " tokens long with its answer, and %s reads %" PRId64
                        "; shorten it, or leave such rows out by --max-tokens %" PRId64,
                        longest, o->model, o->context, o->context);
  }
  if (!tx_buffer_append(&r->questions, &row->question, sizeof row->question)) {
    return tx_fail_memory(error, sizeof row->question, "the rows");
  }
  rows->rows++, rows->texts += o->preferences ? 2 : 1;
  return TX_OK;
}

static tx_status read_rows(reading *r, tx_error *error) {
  static const int64_t start = 0;
  if (!tx_buffer_append(&r->offsets, &start, sizeof start)) {
    return tx_fail_memory(error, sizeof start, "the rows");
  }
  for (;;) {
    tx_instruction_row row;
    bool found;
    TX_TRY(tx_instructions_next(r->table, &row, &found, error));
    if (!found) break;
    TX_TRY(take_row(r, &row, error));
  }
  tx_written_rows *rows = r->rows;
  if (!tx_sha256_finish(r->hash, rows->sha256)) return tx_fail_memory(error, 64, "a hash");
  if (rows->rows > 0) return TX_OK;
  return tx_fail(error, TX_ERROR_INPUT,
                 rows->left_out ? "%s has no row of up to %" PRId64 " tokens; raise --max-tokens"
                                : "%s has no rows",
                 tx_instructions_name(r->table), r->options->limit);
}

/* The buffers' memory becomes the rows'. */
static void keep(reading *r) {
  tx_written_rows *rows = r->rows;
  rows->ids = (int32_t *)(void *)tx_buffer_take(&r->ids);
  rows->offsets = (int64_t *)(void *)tx_buffer_take(&r->offsets);
  rows->written = (uint8_t *)tx_buffer_take(&r->written);
  rows->questions = (uint64_t *)(void *)tx_buffer_take(&r->questions);
  for (int64_t i = 0; i < rows->offsets[rows->texts]; i++) rows->written_tokens += rows->written[i];
}

tx_status tx_written_rows_read(const char *path, const tx_writing_options *options,
                               tx_written_rows *rows, tx_error *error) {
  *rows = (tx_written_rows){0};
  reading r = {.options = options, .rows = rows, .hash = tx_sha256_new()};
  tx_status status = r.hash ? TX_OK : tx_fail_memory(error, 64, "a hash");
  if (status == TX_OK) {
    status = tx_instructions_open(path, options->columns,
                                  options->preferences ? TX_PREFERENCES : TX_ASKED_AND_ANSWERED,
                                  &r.table, error);
  }
  if (status == TX_OK) status = read_rows(&r, error);
  if (status == TX_OK) keep(&r);
  tx_instructions_close(r.table);
  tx_sha256_free(r.hash);
  tx_chat_text_free(&r.text);
  tx_chat_ids_free(&r.tokens);
  tx_buffer_free(&r.ids);
  tx_buffer_free(&r.written);
  tx_buffer_free(&r.offsets);
  tx_buffer_free(&r.questions);
  return status;
}

/* ---- dividing ----------------------------------------------------------- */

static bool allocate(const tx_written_rows *like, tx_written_rows *rows) {
  int64_t tokens = like->offsets[like->texts];
  *rows = (tx_written_rows){0};
  rows->offsets = tx_alloc_zero((size_t)like->texts + 1, sizeof *rows->offsets);
  rows->ids = tx_alloc_array((size_t)tokens, sizeof *rows->ids);
  rows->written = tx_alloc_array((size_t)tokens, sizeof *rows->written);
  rows->questions = tx_alloc_array((size_t)like->rows, sizeof *rows->questions);
  return rows->offsets && rows->ids && rows->written && rows->questions;
}

static void take_text(const tx_written_rows *from, int64_t text, tx_written_rows *to) {
  int64_t start = from->offsets[text], size = from->offsets[text + 1] - start;
  int64_t at = to->offsets[to->texts];
  memcpy(to->ids + at, from->ids + start, (size_t)size * sizeof *to->ids);
  memcpy(to->written + at, from->written + start, (size_t)size);
  for (int64_t i = 0; i < size; i++) to->written_tokens += to->written[at + i];
  to->offsets[++to->texts] = at + size;
}

enum { FOLDS = 10 };

/* The nearest to a tenth: a question asked many times makes a large fold of its own. */
static int choose_fold(const int32_t *fold, int64_t rows) {
  int64_t counts[FOLDS] = {0}, nearest = INT64_MAX;
  int best = 0;
  for (int64_t i = 0; i < rows; i++) counts[fold[i]]++;
  for (int f = 0; f < FOLDS; f++) {
    int64_t away = counts[f] * FOLDS - rows;
    if (away < 0) away = -away;
    if (counts[f] == 0 || away >= nearest) continue;
    best = f, nearest = away;
  }
  return best;
}

static void divide(const tx_written_rows *all, const int32_t *fold, tx_written_rows *train,
                   tx_written_rows *held_out) {
  int64_t each = all->texts / all->rows;
  int chosen = choose_fold(fold, all->rows);
  for (int64_t i = 0; i < all->rows; i++) {
    tx_written_rows *to = fold[i] == chosen ? held_out : train;
    for (int64_t k = 0; k < each; k++) take_text(all, i * each + k, to);
    to->questions[to->rows++] = all->questions[i];
  }
}

tx_status tx_written_rows_hold_out(const tx_written_rows *all, uint64_t seed, const char *file,
                                   tx_written_rows *train, tx_written_rows *held_out,
                                   tx_error *error) {
  *train = *held_out = (tx_written_rows){0};
  int32_t *fold = tx_alloc_array((size_t)all->rows, sizeof *fold);
  int32_t *labels = tx_alloc_zero((size_t)all->rows, sizeof *labels); /* all the same */
  bool made = fold && labels && allocate(all, train) && allocate(all, held_out);
  tx_status status = made ? TX_OK : tx_fail_memory(error, (uint64_t)all->rows * 8, "the rows");
  if (status == TX_OK) {
    status = tx_stratified_folds(labels, 1, all->questions, all->rows, FOLDS, seed, fold, error);
  }
  if (status == TX_OK) divide(all, fold, train, held_out);
  tx_free(fold), tx_free(labels);
  memcpy(train->sha256, all->sha256, sizeof train->sha256);
  train->left_out = all->left_out;
  if (status == TX_OK && (train->rows == 0 || held_out->rows == 0)) {
    status = tx_fail(error, TX_ERROR_INPUT,
                     "%s: no row can be held out to validate with: %" PRId64
                     " row%s, and those of one question stay together; give more, or name a table "
                     "to validate with (--val)",
                     file, all->rows, all->rows == 1 ? "" : "s");
  }
  return status;
}

static int by_value(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

tx_status tx_written_rows_shared(const tx_written_rows *some, const tx_written_rows *others,
                                 int64_t *shared, tx_error *error) {
  size_t count = (size_t)others->rows;
  uint64_t *rising = tx_alloc_array(count, sizeof *rising);
  *shared = 0;
  if (!rising) return tx_fail_memory(error, count * sizeof *rising, "the rows");
  memcpy(rising, others->questions, count * sizeof *rising);
  qsort(rising, count, sizeof *rising, by_value);
  for (int64_t i = 0; i < some->rows; i++) {
    *shared += bsearch(&some->questions[i], rising, count, sizeof *rising, by_value) != NULL;
  }
  tx_free(rising);
  return TX_OK;
}

void tx_written_rows_free(tx_written_rows *rows) {
  tx_states_free(&rows->states);
  tx_free(rows->offsets);
  tx_free(rows->ids);
  tx_free(rows->written);
  tx_free(rows->questions);
  *rows = (tx_written_rows){0};
}
