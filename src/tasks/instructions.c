/* From a table's cells to turns. */
#include "tasks/instructions.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "formats/json.h"
#include "formats/nearest.h"
#include "formats/table.h"

typedef enum { INSTRUCTION, PROMPT, INPUT, OUTPUT, MESSAGES, CHOSEN, REJECTED, COLUMNS } column;

static const char *const usual[COLUMNS] = {"instruction", "prompt", "input",   "output",
                                           "messages",    "chosen", "rejected"};

typedef struct {
  tx_text output, answer;
} renaming;

struct tx_instructions {
  tx_table *table;
  const tx_rows_options *options;
  tx_instruction_kind kind;
  tx_text cells[COLUMNS];
  json_t *messages; /* of the row, or NULL */
  tx_buffer turns;
  char *names;         /* behind `renamed` */
  renaming *renamed;   /* (renamed_count): --answers */
  size_t renamed_count;
};

static bool is_same(tx_text a, tx_text b) {
  return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* ---- opening ----------------------------------------------------------- */

/* "spam=yes,ham=no" or "yes,no", cut up in `names`. */
static tx_status read_answers(tx_instructions *t, tx_error *error) {
  const char *given = t->options->answers;
  if (!given) return TX_OK;
  size_t most = 1;
  for (const char *at = given; *at; at++) most += *at == ',';
  t->names = tx_copy_string(given);
  t->renamed = tx_alloc_array(most, sizeof *t->renamed);
  if (!t->names || !t->renamed) return tx_fail_memory(error, strlen(given), "the answers");
  for (char *item = t->names; item;) {
    char *comma = strchr(item, ',');
    if (comma) *comma = '\0';
    char *sign = strchr(item, '=');
    if (!*item || sign == item || (sign && !sign[1])) {
      return tx_fail(error, TX_ERROR_ARGUMENT,
                     "--answers must be ANSWER,ANSWER... or OUTPUT=ANSWER,..., not '%s'", given);
    }
    if (sign) *sign = '\0';
    for (size_t i = 0; i < t->renamed_count; i++) {
      if (!is_same(t->renamed[i].output, tx_text_of(item))) continue;
      return tx_fail(error, TX_ERROR_ARGUMENT, "--answers names '%s' twice", item);
    }
    tx_text answer = tx_text_of(sign ? sign + 1 : item);
    t->renamed[t->renamed_count++] = (renaming){tx_text_of(item), answer};
    item = comma ? comma + 1 : NULL;
  }
  return TX_OK;
}

static tx_status open_table(tx_instructions *t, const char *path, tx_error *error) {
  const tx_rows_options *o = t->options;
  const char *named[COLUMNS] = {o->instruction_column, NULL,      o->input,   o->output,
                                o->messages,           o->chosen, o->rejected};
  tx_table_column columns[COLUMNS];
  for (int i = 0; i < COLUMNS; i++) {
    bool list = i == MESSAGES;
    columns[i] = (tx_table_column){named[i] ? named[i] : usual[i], named[i] == NULL, true, list};
  }
  if (o->instruction) {
    columns[INSTRUCTION] = (tx_table_column){usual[INSTRUCTION], true, true, true};
  }
  TX_TRY(read_answers(t, error));
  return tx_table_open_columns(path, o->format, columns, COLUMNS, &t->table, error);
}

tx_status tx_instructions_open(const char *path, const tx_rows_options *columns,
                               tx_instruction_kind kind, tx_instructions **table,
                               tx_error *error) {
  *table = NULL;
  tx_instructions *made = tx_alloc_zero(1, sizeof *made);
  if (!made) return tx_fail_memory(error, sizeof *made, "a table");
  made->options = columns, made->kind = kind;
  tx_status status = open_table(made, path, error);
  if (status == TX_OK) {
    *table = made;
  } else {
    tx_instructions_close(made);
  }
  return status;
}

size_t tx_instructions_answers(const tx_instructions *table) { return table->renamed_count; }

tx_text tx_instructions_answer(const tx_instructions *table, size_t index) {
  return table->renamed[index].answer;
}

const char *tx_instructions_name(const tx_instructions *table) {
  return tx_table_name(table->table);
}

void tx_instructions_close(tx_instructions *t) {
  if (!t) return;
  json_decref(t->messages);
  tx_table_close(t->table);
  tx_buffer_free(&t->turns);
  tx_free(t->names);
  tx_free(t->renamed);
  tx_free(t);
}

static bool is_role(const tx_chat_message *turn, const char *role) {
  return is_same(turn->role, tx_text_of(role));
}

/* ---- what a row may lack ------------------------------------------------ */

static tx_status add_turn(tx_instructions *t, tx_chat_message turn, tx_error *error) {
  if (tx_buffer_append(&t->turns, &turn, sizeof turn)) return TX_OK;
  return tx_fail_memory(error, sizeof turn, "a row");
}

static bool is_blank(tx_text text) {
  for (size_t i = 0; i < text.size; i++) {
    if (!strchr(" \t\r\n", text.data[i]) || text.data[i] == '\0') return false;
  }
  return true;
}

static const char *column_name(const tx_instructions *t, column of) {
  const tx_rows_options *o = t->options;
  const char *name = of == OUTPUT ? o->output : of == CHOSEN ? o->chosen : o->rejected;
  return name ? name : usual[of];
}

static tx_status fail_answer(const tx_instructions *t, int64_t line, column of, tx_error *error) {
  char shown[TX_SHOWN_SIZE];
  return tx_fail_line(error, TX_ERROR_INPUT, tx_instructions_name(t), line,
                      "the row has no answer: '%s' is %s; fill it in or remove the row",
                      tx_show_name(tx_text_of(column_name(t, of)), shown),
                      t->cells[of].data ? "empty" : "not there");
}

static tx_status rename_answer(const tx_instructions *t, int64_t line, tx_text *answer,
                               tx_error *error) {
  if (!t->renamed) return TX_OK;
  for (size_t i = 0; i < t->renamed_count; i++) {
    if (!is_same(t->renamed[i].output, *answer)) continue;
    *answer = t->renamed[i].answer;
    return TX_OK;
  }
  char shown[TX_SHOWN_SIZE];
  return tx_fail_line(error, TX_ERROR_INPUT, tx_instructions_name(t), line,
                      "'%s' is none of the outputs that --answers %s names",
                      tx_show_name(*answer, shown), t->options->answers);
}

/* ---- messages ---------------------------------------------------------- */

static tx_status fail_message(const tx_instructions *t, int64_t line, size_t number,
                              const char *what, tx_error *error) {
  return tx_fail_line(error, TX_ERROR_INPUT, tx_instructions_name(t), line, "message %zu %s",
                      number + 1, what);
}

static tx_text json_text(const json_t *string) {
  return (tx_text){json_string_value(string), json_string_length(string)};
}

static tx_status add_message(tx_instructions *t, const json_t *message, int64_t line,
                             size_t number, tx_error *error) {
  const json_t *role = json_object_get(message, "role");
  const json_t *content = json_object_get(message, "content");
  if (!json_is_string(role) || !json_is_string(content)) {
    return fail_message(t, line, number,
                        "is not an object with the strings 'role' and 'content'", error);
  }
  tx_chat_message turn = {json_text(role), json_text(content), {NULL, 0}};
  bool answer = is_role(&turn, "assistant");
  if (!answer && !is_role(&turn, "user") && !is_role(&turn, "system") && !is_role(&turn, "tool")) {
    char shown[TX_SHOWN_SIZE];
    return tx_fail_line(error, TX_ERROR_INPUT, tx_instructions_name(t), line,
                        "message %zu has the role '%s'; a role is system, user, assistant or tool",
                        number + 1, tx_show_name(turn.role, shown));
  }
  if (answer && is_blank(turn.content)) {
    return fail_message(t, line, number, "is an answer, and empty; fill it in or remove the row",
                        error);
  }
  if (answer) TX_TRY(rename_answer(t, line, &turn.content, error));
  return add_turn(t, turn, error);
}

static tx_status read_messages(tx_instructions *t, int64_t line, tx_error *error) {
  json_error_t why;
  json_decref(t->messages);
  t->messages = NULL;
  if (!tx_json_read(t->cells[MESSAGES], JSON_ALLOW_NUL | JSON_DECODE_ANY, &t->messages, &why)) {
    return tx_fail_memory(error, t->cells[MESSAGES].size, "the messages");
  }
  size_t count = json_array_size(t->messages), answers = 0; /* 0 of what is no array */
  for (size_t i = 0; i < count; i++) {
    TX_TRY(add_message(t, json_array_get(t->messages, i), line, i, error));
  }
  const tx_chat_message *turns = (const tx_chat_message *)(const void *)t->turns.data;
  for (size_t i = 0; i < count; i++) answers += is_role(&turns[i], "assistant");
  if (answers > 0 && is_role(&turns[count - 1], "assistant")) return TX_OK;
  return tx_fail_line(error, TX_ERROR_INPUT, tx_instructions_name(t), line,
                      count == 0
                          ? "'messages' is no list of messages; write [{\"role\": ..., "
                            "\"content\": ...}, ...]"
                          : "the row has no answer: its last message is not the assistant's; add "
                            "one or remove the row");
}

/* ---- instruction, input, output ----------------------------------------- */

static tx_status add_question(tx_instructions *t, int64_t line, tx_error *error) {
  const tx_text user = {"user", 4};
  tx_text asked = t->options->instruction ? tx_text_of(t->options->instruction)
                  : t->cells[INSTRUCTION].data ? t->cells[INSTRUCTION] : t->cells[PROMPT];
  if (!is_blank(asked) || !is_blank(t->cells[INPUT])) {
    return add_turn(t, (tx_chat_message){user, asked, t->cells[INPUT]}, error);
  }
  return tx_fail_line(error, TX_ERROR_INPUT, tx_instructions_name(t), line,
                      asked.data ? "the row has no instruction: it is empty"
                                 : "the row asks nothing: there is neither 'instruction' nor "
                                   "'prompt' nor 'messages'; name the column, or give the "
                                   "instruction of all rows by --instruction");
}

static tx_status read_preference(tx_instructions *t, tx_instruction_row *row, tx_error *error) {
  TX_TRY(add_question(t, row->line, error));
  for (column of = CHOSEN; of <= REJECTED; of++) {
    if (is_blank(t->cells[of])) return fail_answer(t, row->line, of, error);
  }
  row->chosen = t->cells[CHOSEN], row->rejected = t->cells[REJECTED];
  return TX_OK;
}

static tx_status read_answered(tx_instructions *t, tx_instruction_row *row, tx_error *error) {
  const tx_text assistant = {"assistant", 9};
  if (t->cells[MESSAGES].data) return read_messages(t, row->line, error);
  TX_TRY(add_question(t, row->line, error));
  tx_text answer = t->cells[OUTPUT];
  if (is_blank(answer)) return fail_answer(t, row->line, OUTPUT, error);
  TX_TRY(rename_answer(t, row->line, &answer, error));
  return add_turn(t, (tx_chat_message){assistant, answer, {NULL, 0}}, error);
}

/* ---- rows --------------------------------------------------------------- */

/* What a row asks first: the turns before the first answer. A conversation and its beginning are
   the same question, so that both are held out, or neither. */
static uint64_t fingerprint(const tx_chat_message *turns, size_t count) {
  uint64_t print = 0;
  for (size_t i = 0; i < count && !is_role(&turns[i], "assistant"); i++) {
    const tx_text parts[] = {turns[i].role, turns[i].content, turns[i].input};
    for (int p = 0; p < 3; p++) print = tx_hash64(parts[p].data, parts[p].size, print + 1);
  }
  return print;
}

tx_status tx_instructions_next(tx_instructions *t, tx_instruction_row *row, bool *found,
                               tx_error *error) {
  bool pairs = t->kind == TX_PREFERENCES;
  *row = (tx_instruction_row){0};
  TX_TRY(tx_table_next_cells(t->table, t->cells, &row->line, found, error));
  if (!*found) return TX_OK;
  tx_buffer_clear(&t->turns);
  TX_TRY((pairs ? read_preference : read_answered)(t, row, error));
  row->turns = (const tx_chat_message *)(const void *)t->turns.data;
  row->count = t->turns.size / sizeof *row->turns;
  row->question = fingerprint(row->turns, row->count);
  return TX_OK;
}
