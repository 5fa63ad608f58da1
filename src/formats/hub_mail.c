/* E-mail as texts: the public corpus of SpamAssassin, 6,046 messages in folders
 * that say what they are.
 *
 * A text is the subject, then what the message shows of itself: its parts of
 * plain text and HTML (of a choice between the two, the plain one), with the
 * transfer encodings quoted-printable and base64 undone; of HTML what stands
 * between the tags, without styles and scripts, the most frequent entities
 * resolved.  What is not UTF-8 is taken for windows-1252.  All white space is one
 * blank.  Headers other than the subject are left out: they tell the corpus's
 * history, not the message.
 * Labels: "spam" and "ham" (easy and hard).
 * Groups: messages of one subject, but for "Re:", so that no thread and no
 * mailing is divided between training and test. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "formats/hub_parts.h"
#include "formats/unpack.h"

enum { DEEPEST = 8, MESSAGE_BYTES = 8 << 20, MOST_MESSAGES = 20000 };

/* ---- headers ---- */

typedef struct {
  tx_text head, body;
} message;

static tx_text trim(tx_text text) {
  while (text.size && strchr(" \t\r\n", text.data[0])) text.data++, text.size--;
  while (text.size && strchr(" \t\r\n", text.data[text.size - 1])) text.size--;
  return text;
}

/* Up to the line's end, which is passed. */
static tx_text next_line(tx_text *rest) {
  const char *feed = memchr(rest->data, '\n', rest->size);
  size_t size = feed ? (size_t)(feed - rest->data) + 1 : rest->size;
  tx_text line = {rest->data, size};
  rest->data += size;
  rest->size -= size;
  return line;
}

static message divide(tx_text whole) {
  tx_text rest = whole;
  while (rest.size) {
    tx_text line = next_line(&rest);
    if (trim(line).size == 0) break;
  }
  return (message){{whole.data, whole.size - rest.size}, rest};
}

/* The header's first line with those that continue it; size 0: none. */
static tx_text header(const message *from, const char *name) {
  tx_text rest = from->head;
  size_t size = strlen(name);
  while (rest.size) {
    tx_text line = next_line(&rest);
    if (line.size <= size || strncasecmp(line.data, name, size) != 0 || line.data[size] != ':') {
      continue;
    }
    while (rest.size && (rest.data[0] == ' ' || rest.data[0] == '\t')) {
      line.size += next_line(&rest).size;
    }
    return trim((tx_text){line.data + size + 1, line.size - size - 1});
  }
  return (tx_text){"", 0};
}

/* boundary="..." of a content type; size 0: none. */
static tx_text boundary_of(tx_text type) {
  for (size_t i = 0; i + 9 < type.size; i++) {
    if (strncasecmp(type.data + i, "boundary=", 9) != 0) continue;
    tx_text value = {type.data + i + 9, type.size - i - 9};
    bool quoted = value.data[0] == '"';
    if (quoted) value.data++, value.size--;
    size_t end = 0;
    while (end < value.size && !strchr(quoted ? "\"" : "; \t\r\n", value.data[end])) end++;
    return (tx_text){value.data, end};
  }
  return (tx_text){"", 0};
}

/* ---- transfer encodings ---- */

static int hex_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void undo_quoted(tx_text text, tx_buffer *out) {
  for (size_t i = 0; i < text.size; i++) {
    size_t left = text.size - i;
    if (text.data[i] != '=') {
      tx_buffer_append_byte(out, text.data[i]);
    } else if (left > 2 && hex_of(text.data[i + 1]) >= 0 && hex_of(text.data[i + 2]) >= 0) {
      tx_buffer_append_byte(out,
                            (char)(hex_of(text.data[i + 1]) * 16 + hex_of(text.data[i + 2])));
      i += 2;
    } else if (left > 1 && text.data[i + 1] == '\n') {
      i += 1;
    } else if (left > 2 && text.data[i + 1] == '\r' && text.data[i + 2] == '\n') {
      i += 2;
    } else {
      tx_buffer_append_byte(out, '=');
    }
  }
}

static void undo_base64(tx_text text, tx_buffer *out) {
  static const char letters[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  unsigned bits = 0, count = 0;
  for (size_t i = 0; i < text.size && text.data[i] != '='; i++) {
    const char *at = text.data[i] ? strchr(letters, text.data[i]) : NULL;
    if (!at) continue;
    bits = (bits << 6 | (unsigned)(at - letters)) & 0xffffff;
    if (++count % 4 != 1) tx_buffer_append_byte(out, (char)(bits >> (2 * (3 - (count - 1) % 4))));
  }
}

/* ---- HTML ---- */

static bool begins(tx_text text, const char *word) {
  size_t size = strlen(word);
  return text.size >= size && strncasecmp(text.data, word, size) == 0;
}

/* The length up to and with `end`; all of it where there is none. */
static size_t until(tx_text text, const char *end) {
  size_t size = strlen(end);
  for (size_t i = 0; i + size <= text.size; i++) {
    if (strncasecmp(text.data + i, end, size) == 0) return i + size;
  }
  return text.size;
}

static size_t skip_tag(tx_text text) {
  if (begins(text, "<!--")) return until(text, "-->");
  if (begins(text, "<style")) return until(text, "</style>");
  if (begins(text, "<script")) return until(text, "</script>");
  return until(text, ">");
}

static size_t add_entity(tx_text text, tx_buffer *out) {
  static const struct {
    const char *name;
    char is;
  } known[] = {{"&nbsp;", ' '}, {"&amp;", '&'},  {"&lt;", '<'},
               {"&gt;", '>'},   {"&quot;", '"'}, {"&#39;", '\''}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    if (!begins(text, known[i].name)) continue;
    tx_buffer_append_byte(out, known[i].is);
    return strlen(known[i].name);
  }
  tx_buffer_append_byte(out, '&');
  return 1;
}

static void strip_tags(tx_text text, tx_buffer *out) {
  while (text.size) {
    size_t used = 1;
    char next = text.size > 1 ? text.data[1] : ' ';
    bool tag = text.data[0] == '<' && (next == '/' || next == '!' || (next | 32) >= 'a');
    if (tag && (next | 32) <= 'z') {
      used = skip_tag(text);
      tx_buffer_append_byte(out, ' ');
    } else if (text.data[0] == '&') {
      used = add_entity(text, out);
    } else {
      tx_buffer_append_byte(out, text.data[0]);
    }
    text.data += used;
    text.size -= used;
  }
}

/* ---- parts ---- */

static void add_plain(const message *part, tx_text type, tx_buffer *out) {
  tx_text encoding = header(part, "Content-Transfer-Encoding");
  tx_buffer bytes = {0};
  if (begins(encoding, "quoted-printable")) {
    undo_quoted(part->body, &bytes);
  } else if (begins(encoding, "base64")) {
    undo_base64(part->body, &bytes);
  } else {
    tx_buffer_append(&bytes, part->body.data, part->body.size);
  }
  if (bytes.failed) out->failed = true;
  tx_buffer_append_byte(out, ' ');
  tx_text text = {bytes.data ? bytes.data : "", bytes.size};
  if (begins(type, "text/html")) {
    strip_tags(text, out);
  } else {
    tx_buffer_append(out, text.data, text.size);
  }
  tx_buffer_free(&bytes);
}

static void add_part(const message *part, int depth, tx_buffer *out);

/* Whether the line is "--BOUNDARY", or "--BOUNDARY--": *last. */
static bool is_boundary(tx_text line, tx_text boundary, bool *last) {
  line = trim(line);
  if (line.size < boundary.size + 2 || memcmp(line.data, "--", 2) != 0 ||
      memcmp(line.data + 2, boundary.data, boundary.size) != 0) {
    return false;
  }
  *last = line.size > boundary.size + 2;
  return true;
}

/* Of a choice, the first part that says anything. */
static void add_parts(tx_text body, tx_text boundary, bool choice, int depth, tx_buffer *out) {
  bool last = false, inside = false;
  const char *from = body.data;
  size_t before = out->size;
  while (body.size && !last) {
    tx_text line = next_line(&body);
    bool ends = is_boundary(line, boundary, &last) || body.size == 0;
    if (!ends) continue;
    bool cut = body.size == 0 && !last; /* no last boundary: up to the end */
    const char *to = cut ? line.data + line.size : line.data;
    if (inside && !(choice && out->size > before + 1)) {
      message part = divide((tx_text){from, (size_t)(to - from)});
      add_part(&part, depth + 1, out);
    }
    inside = true;
    from = line.data + line.size;
  }
}

static void add_part(const message *part, int depth, tx_buffer *out) {
  tx_text type = header(part, "Content-Type");
  tx_text boundary = boundary_of(type);
  if (begins(type, "multipart/") && boundary.size && depth < DEEPEST) {
    add_parts(part->body, boundary, begins(type, "multipart/alternative"), depth, out);
  } else if (type.size == 0 || begins(type, "text")) {
    add_plain(part, type, out);
  }
}

/* White space as one blank, in UTF-8, in the arena. */
static bool settle(tx_text from, tx_arena *arena, tx_text *text) {
  tx_buffer line = {0};
  tx_text clean;
  if (!tx_set_clean(from, arena, &clean)) return false;
  tx_buffer_append_string(&line, "");
  for (size_t i = 0; i < clean.size; i++) {
    bool blank = clean.data[i] == ' ';
    if (!blank || (line.size && line.data[line.size - 1] != ' ')) {
      tx_buffer_append_byte(&line, clean.data[i]);
    }
  }
  while (line.size && line.data[line.size - 1] == ' ') line.size--;
  const char *kept = line.failed ? NULL : tx_arena_string(arena, line.data, line.size);
  *text = (tx_text){kept, line.size};
  tx_buffer_free(&line);
  return kept != NULL;
}

bool tx_mail_text(tx_text whole, tx_arena *arena, tx_text *text, tx_text *subject) {
  message mail = divide(whole);
  tx_buffer shown = {0};
  tx_text line = header(&mail, "Subject");
  tx_buffer_append(&shown, line.data, line.size);
  tx_buffer_append_byte(&shown, ' ');
  add_part(&mail, 0, &shown);
  bool good = !shown.failed && settle(line, arena, subject) &&
              settle((tx_text){shown.data, shown.size}, arena, text);
  tx_buffer_free(&shown);
  return good;
}

/* ---- the corpus ---- */

static const char *const labels[] = {"ham", "spam"};

/* "package/data/FOLDER/NAME.txt": 0 ham, 1 spam, -1 no message. */
static int label_of(const char *name) {
  static const char top[] = "package/data/";
  size_t size = strlen(name);
  if (strncmp(name, top, sizeof top - 1) != 0) return -1;
  if (size < 5 || strcmp(name + size - 4, ".txt") != 0) return -1;
  const char *folder = name + sizeof top - 1;
  if (strncmp(folder, "spam-", 5) == 0) return 1;
  return strncmp(folder, "easy-ham-", 9) == 0 || strncmp(folder, "hard-ham-", 9) == 0 ? 0 : -1;
}

/* The subject without "Re:" and "Fwd:"; the message's own name where none is left. */
static tx_text group_of(tx_text subject, const char *name, tx_arena *arena) {
  for (;;) {
    subject = trim(subject);
    size_t mark = begins(subject, "re:") || begins(subject, "fw:") ? 3
                  : begins(subject, "fwd:")                       ? 4
                                                                  : 0;
    if (mark == 0) break;
    subject = (tx_text){subject.data + mark, subject.size - mark};
  }
  if (subject.size) return subject;
  return (tx_text){tx_arena_string(arena, name, strlen(name)), strlen(name)};
}

static tx_status add_message(tx_set *set, const char *name, int label, tx_text bytes,
                             tx_error *error) {
  tx_set_row *row = &set->rows[set->count];
  tx_text subject;
  if (set->count >= MOST_MESSAGES) {
    return tx_fail(error, TX_ERROR_INPUT, "there are more messages than are known");
  }
  if (!tx_mail_text(bytes, set->arena, &row->text, &subject)) {
    return tx_fail_memory(error, bytes.size, "a message");
  }
  row->label = label;
  row->group = group_of(subject, name, set->arena);
  if (!row->group.data) return tx_fail_memory(error, bytes.size, "a message");
  if (row->text.size) set->count++;
  return TX_OK;
}

static tx_status read_messages(tx_set *set, tx_unpack *unpack, const tx_watch *watch,
                               tx_error *error) {
  tx_buffer bytes = {0};
  tx_status status = TX_OK;
  const char *name;
  while (status == TX_OK) {
    status = tx_unpack_next(unpack, &name, error);
    if (status != TX_OK || !name) break;
    int label = label_of(name);
    if (label < 0) continue;
    tx_buffer_clear(&bytes);
    status = tx_unpack_all(unpack, MESSAGE_BYTES, &bytes, error);
    if (status == TX_OK) {
      status = add_message(set, name, label, (tx_text){bytes.data, bytes.size}, error);
    }
    tx_watch_report(watch, "unpack", (int64_t)set->count, 0, "messages");
    if (status == TX_OK) status = tx_watch_check(watch, error);
  }
  tx_buffer_free(&bytes);
  return status;
}

tx_status tx_mail_write(const char *archive, const char *directory, const tx_watch *watch,
                        tx_error *error) {
  tx_set set = {.labels = labels, .arena = tx_arena_new()};
  if (set.arena) set.rows = tx_arena_array(set.arena, MOST_MESSAGES + 1, sizeof *set.rows);
  tx_unpack *unpack = NULL;
  tx_status status = set.rows ? tx_unpack_open_members(archive, &unpack, error)
                              : tx_fail_memory(error, MOST_MESSAGES, "a data set");
  if (status == TX_OK) status = read_messages(&set, unpack, watch, error);
  if (status == TX_OK && set.count == 0) {
    status = tx_fail(error, TX_ERROR_INPUT, "there are no messages in %s", archive);
  }
  if (status == TX_OK) status = tx_set_write(&set, directory, error);
  tx_unpack_close(unpack);
  tx_arena_free(set.arena);
  return status;
}
