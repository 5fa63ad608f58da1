/* tx_generate_evaluate: answers to a table's questions beside the answers that it has. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "formats/directory.h"
#include "formats/file.h"
#include "formats/table.h"
#include "tasks/generator.h"
#include "tasks/instructions.h"
#include "trust/comparison.h"
#include "trust/translation.h"

typedef struct {
  const tx_generate_options *options;
  tx_generator *generator;
  tx_instructions *table;
  tx_arena *arena;                     /* of the rows */
  tx_buffer conversations, references; /* tx_conversation, tx_text: a row each */
  size_t count;
  tx_answers answers;
} evaluation;

/* ---- reading ----------------------------------------------------------- */

static bool copy_text(tx_arena *arena, tx_text *text) {
  if (text->size == 0) return true;
  text->data = tx_arena_string(arena, text->data, text->size);
  return text->data != NULL;
}

/* The last turn is the reference, those before it are the question. */
static tx_status keep_row(evaluation *e, const tx_instruction_row *row, tx_error *error) {
  tx_chat_message *turns = tx_arena_array(e->arena, row->count, sizeof *turns);
  bool kept = turns != NULL;
  if (kept) memcpy(turns, row->turns, row->count * sizeof *turns);
  for (size_t i = 0; kept && i < row->count; i++) {
    kept = copy_text(e->arena, &turns[i].role) && copy_text(e->arena, &turns[i].content) &&
           copy_text(e->arena, &turns[i].input);
  }
  if (!kept) return tx_fail_memory(error, row->count * sizeof *turns, "the rows");
  tx_conversation asked = {turns, row->count - 1, row->line};
  if (!tx_buffer_append(&e->conversations, &asked, sizeof asked) ||
      !tx_buffer_append(&e->references, &turns[row->count - 1].content, sizeof(tx_text))) {
    return tx_fail_memory(error, sizeof asked, "the rows");
  }
  e->count++;
  return TX_OK;
}

static tx_status read_rows(evaluation *e, tx_error *error) {
  for (;;) {
    tx_instruction_row row;
    bool found;
    TX_TRY(tx_instructions_next(e->table, &row, &found, error));
    if (!found) break;
    if (row.count < 2) {
      return tx_fail_line(error, TX_ERROR_INPUT, tx_instructions_name(e->table), row.line,
                          "the row asks nothing: its only message is an answer");
    }
    TX_TRY(keep_row(e, &row, error));
  }
  if (e->count > 0) return TX_OK;
  return tx_fail(error, TX_ERROR_INPUT, "%s has no rows", tx_instructions_name(e->table));
}

/* ---- comparing ----------------------------------------------------------- */

static bool is_named(const evaluation *e, uint64_t answer) {
  for (size_t i = 0; i < tx_instructions_answers(e->table); i++) {
    if (tx_text_fingerprint(tx_instructions_answer(e->table, i)) == answer) return true;
  }
  return false;
}

static void compare_exactly(const evaluation *e, const tx_text *references,
                            tx_generate_report *report) {
  int64_t right = 0, neither = 0, n = (int64_t)e->count;
  for (size_t i = 0; i < e->count; i++) {
    uint64_t answer = tx_text_fingerprint(e->answers.answers[i].text);
    right += answer == tx_text_fingerprint(references[i]);
    neither += !is_named(e, answer);
  }
  tx_interval interval = tx_wilson(right, n);
  report->exact = true;
  report->accuracy = (double)right / (double)n;
  report->accuracy_lo = interval.lo, report->accuracy_hi = interval.hi;
  report->neither = (double)neither / (double)n;
}

static tx_status compare_sentences(const evaluation *e, const tx_text *references,
                                   tx_generate_report *report, tx_error *error) {
  tx_bleu bleu = {0};
  tx_text *texts = tx_arena_array(e->arena, e->count, sizeof *texts);
  if (!texts) return tx_fail_memory(error, e->count * sizeof *texts, "the answers");
  for (size_t i = 0; i < e->count; i++) texts[i] = e->answers.answers[i].text;
  TX_TRY(tx_bleu_corpus(texts, references, e->count, &bleu, error));
  report->bleu = bleu.score;
  return tx_chrf_corpus(texts, references, e->count, &report->chrf, error);
}

static void count_tokens(const evaluation *e, tx_generate_report *report) {
  report->n = (int64_t)e->count;
  for (size_t i = 0; i < e->count; i++) {
    const tx_answer *answer = &e->answers.answers[i];
    report->prompt_tokens += answer->prompt_tokens;
    report->tokens += answer->tokens;
    report->cut += !answer->stopped;
  }
}

/* ---- the file of answers --------------------------------------------------- */

/* A byte that is not UTF-8 becomes U+FFFD: JSON holds no other. */
static json_t *text_json(tx_text text) {
  json_t *value = json_stringn(text.data ? text.data : "", text.size);
  if (value) return value;
  tx_buffer whole = {0};
  for (size_t i = 0; i < text.size; i++) {
    bool plain = (unsigned char)text.data[i] < 0x80;
    tx_buffer_append(&whole, plain ? &text.data[i] : "\xEF\xBF\xBD", plain ? 1 : 3);
  }
  value = whole.failed ? NULL : json_stringn(whole.data ? whole.data : "", whole.size);
  tx_buffer_free(&whole);
  return value;
}

static bool add_line(tx_buffer *file, int64_t line, tx_text answer, tx_text reference) {
  json_t *object = json_object();
  bool whole = json_object_set_new(object, "line", json_integer(line)) == 0 &&
               json_object_set_new(object, "answer", text_json(answer)) == 0 &&
               json_object_set_new(object, "reference", text_json(reference)) == 0;
  char *text = whole ? json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
  whole = text && tx_buffer_append_string(file, text) && tx_buffer_append_byte(file, '\n');
  free(text); /* jansson's own */
  json_decref(object);
  return whole;
}

static tx_status write_answers(const evaluation *e, const tx_text *references, tx_error *error) {
  const tx_conversation *asked = (const tx_conversation *)(const void *)e->conversations.data;
  tx_buffer file = {0};
  bool whole = true;
  if (!e->options->out) return TX_OK;
  for (size_t i = 0; whole && i < e->count; i++) {
    whole = add_line(&file, asked[i].line, e->answers.answers[i].text, references[i]);
  }
  tx_status status = whole ? tx_file_write(e->options->out, file.data, file.size, error)
                           : tx_fail_memory(error, file.size, "the answers");
  tx_buffer_free(&file);
  return status;
}

/* Found before the work. */
static tx_status check_out(const evaluation *e, tx_error *error) {
  const tx_generator *g = e->generator;
  const char *const paths[] = {e->options->data, g->artifact ? tx_gguf_path(g->artifact) : NULL,
                               tx_gguf_path(tx_model_gguf(g->model))};
  static const char *const names[] = {"table", "tuned model", "model"};
  const char *out = e->options->out;
  for (int i = 0; out && i < 3; i++) {
    if (!paths[i] || strcmp(paths[i], "-") == 0 || !tx_file_same(paths[i], out)) continue;
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "the output %s is the file of the %s; name another output", out, names[i]);
  }
  tx_writer *writer;
  if (!out) return TX_OK;
  TX_TRY(tx_writer_open(out, &writer, error));
  tx_writer_cancel(writer);
  return TX_OK;
}

/* ---- the whole ------------------------------------------------------------- */

static tx_status run(evaluation *e, tx_generate_report *report, const tx_watch *watch,
                     tx_error *error) {
  double start = tx_seconds();
  TX_TRY(check_out(e, error));
  e->arena = tx_arena_new();
  if (!e->arena) return tx_fail_memory(error, 64, "the rows");
  TX_TRY(tx_instructions_open(e->options->data, &e->options->rows, TX_ASKED_AND_ANSWERED, &e->table,
                              error));
  TX_TRY(read_rows(e, error));
  const tx_conversation *asked = (const tx_conversation *)(const void *)e->conversations.data;
  const tx_text *references = (const tx_text *)(const void *)e->references.data;
  TX_TRY(tx_generator_answer(e->generator, asked, e->count, tx_instructions_name(e->table),
                             e->options->max_new, &e->answers, watch, error));
  report->seconds = tx_seconds() - start;
  count_tokens(e, report);
  report->tokens_per_second = (double)report->tokens / report->seconds;
  if (e->options->rows.answers) {
    compare_exactly(e, references, report);
  } else {
    TX_TRY(compare_sentences(e, references, report, error));
  }
  return write_answers(e, references, error);
}

tx_status tx_generate_evaluate(tx_generator *generator, const tx_generate_options *options,
                               tx_generate_report *report, const tx_watch *watch,
                               tx_error *error) {
  *report = (tx_generate_report){0};
  evaluation e = {.options = options, .generator = generator};
  tx_status status = run(&e, report, watch, error);
  tx_answers_free(&e.answers);
  tx_instructions_close(e.table);
  tx_buffer_free(&e.conversations);
  tx_buffer_free(&e.references);
  tx_arena_free(e.arena);
  return status;
}
