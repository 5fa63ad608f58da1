/* taxon tokens: the tokens of texts under a model's vocabulary. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lines.h"
#include "options.h"
#include "output.h"
#include "progress.h"

enum { LINES = 256, LINE_BYTES = 1 << 18 };

/* With each backslash doubled, so that \xNN can only be a byte that is not UTF-8. */
static json_t *json_piece(tx_text piece) {
  char *doubled = cli_array(2 * piece.size + 1, 1);
  size_t size = 0;
  for (size_t i = 0; i < piece.size; i++) {
    if (piece.data[i] == '\\') doubled[size++] = '\\';
    doubled[size++] = piece.data[i];
  }
  json_t *value = out_text((tx_text){doubled, size});
  free(doubled);
  return value;
}

static void print_json(const tx_tokens *tokens) {
  json_t *object = json_object(), *ids = json_array(), *pieces = json_array();
  for (size_t i = 0; i < tokens->count; i++) {
    out_append(ids, json_integer(tokens->ids[i]));
    out_append(pieces, json_piece(tokens->pieces[i]));
  }
  out_put(object, "ids", ids);
  out_put(object, "pieces", pieces);
  out_json(object, 15);
}

/* "1234:·the" for each token, with spaces made visible. */
static void print_tokens(const tx_tokens *tokens) {
  for (size_t i = 0; i < tokens->count; i++) {
    char *piece = out_visible(tokens->pieces[i]);
    printf("%s%" PRId32 ":", i > 0 ? " " : "", tokens->ids[i]);
    for (const char *c = piece; *c; c++) {
      if (*c == ' ') {
        fputs("\u00b7", stdout);
      } else {
        putchar(*c);
      }
    }
    free(piece);
  }
  putchar('\n');
}

static int tokenize(const command_line *line, const tx_tokenizer *tokenizer, tx_text text,
                    bool special) {
  tx_error error = {0};
  tx_tokens tokens = {0};
  if (tx_tokenize(tokenizer, text, special, &tokens, &error) != TX_OK) {
    return cli_fail(line->verb, &error, "run the same command again");
  }
  (line->common->json ? print_json : print_tokens)(&tokens);
  tx_tokens_free(&tokens);
  return CLI_DONE;
}

static int tokenize_lines(const command_line *line, const tx_tokenizer *tokenizer, bool special) {
  lines input = lines_open(STDIN_FILENO);
  tx_text *texts = cli_array(LINES, sizeof *texts);
  int status = CLI_DONE;
  for (size_t count = 1; count > 0 && status == CLI_DONE;) {
    int failure = lines_batch(&input, texts, LINES, LINE_BYTES, &count);
    for (size_t i = 0; i < count && status == CLI_DONE; i++) {
      status = tokenize(line, tokenizer, texts[i], special);
    }
    if (failure) {
      status = cli_system_error(line->verb, "cannot read standard input: %s", strerror(failure));
    }
    if (status == CLI_DONE) status = out_flush(line->verb);
  }
  free(texts);
  lines_close(&input);
  return status;
}

static int tokenize_all(const command_line *line, const tx_tokenizer *tokenizer, bool special) {
  if (line->argument_count == 2 && strcmp(line->arguments[1], "-") == 0) {
    return tokenize_lines(line, tokenizer, special);
  }
  int status = CLI_DONE;
  for (size_t i = 1; i < line->argument_count && status == CLI_DONE; i++) {
    status = tokenize(line, tokenizer, tx_text_of(line->arguments[i]), special);
  }
  return status;
}

static int run(const command_line *line, bool special) {
  tx_error error = {0};
  tx_tokenizer *tokenizer;
  if (tx_tokenizer_open(line->arguments[0], line->common->home, &tokenizer, &error) != TX_OK) {
    return cli_fail(line->verb, &error, "run the same command again");
  }
  int status = tokenize_all(line, tokenizer, special);
  tx_tokenizer_close(tokenizer);
  return status;
}

int verb_tokens(int argc, char **argv) {
  cli_common common = options_common_defaults();
  bool special = false;
  const option options[] = {
      {"special", OPTION_FLAG, &special,
       .help = "control tokens that a text spells are tokens, not plain text"}};
  command_line line = {
      .verb = argv[0],
      .summary = "show the tokens of a text",
      .usage =
          "MODEL TEXT... [options]\nMODEL - [options]      (one text a line on standard input)",
      .about =
          "A line for each text: id:piece, with spaces as \u00b7 and bytes that cannot be shown "
          "as\n\\xNN.  --json prints {\"ids\": [...], \"pieces\": [...]} instead; a piece that "
          "is not\nwhole UTF-8 (part of an emoji, say) has \\xNN for each such byte in its "
          "string, and\na backslash of the text is doubled there.",
      .examples = "  taxon tokens smollm2-135m \"na\u00efve caf\u00e9\"",
      .options = options,
      .option_count = sizeof options / sizeof options[0],
      .common = &common,
      .least = 2,
      .most = SIZE_MAX,
      .missing = "give a model and at least one text, or - to read texts from standard input"};
  int status;
  if (options_parse(&line, argc, argv, &status)) status = run(&line, special);
  options_free(&line);
  return status;
}
