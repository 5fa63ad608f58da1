/* The table of those options. */
#include "rows_options.h"

#include <string.h>

const char *const rows_templates[] = {"auto", "model", "alpaca", "chatml", NULL};

const char *rows_template(int choice) { return choice == 0 ? NULL : rows_templates[choice]; }

void rows_fill_options(tx_rows_options *rows, option options[ROWS_OPTIONS]) {
  const option all[ROWS_OPTIONS] = {
      {"instruction", OPTION_STRING, &rows->instruction, "TEXT",
       "the instruction of all rows, instead of a column", .flags = OPTION_RESULT},
      {"instruction-column", OPTION_STRING, &rows->instruction_column, "COLUMN",
       "what is to be done", .zero = "instruction, else prompt", .flags = OPTION_RESULT},
      {"input", OPTION_STRING, &rows->input, "COLUMN", "what it is to be done to",
       .zero = "input, where there is one", .flags = OPTION_RESULT},
      {"output", OPTION_STRING, &rows->output, "COLUMN", "the answer", .zero = "output",
       .flags = OPTION_RESULT},
      {"messages", OPTION_STRING, &rows->messages, "COLUMN",
       "of JSONL, instead of the above: a list of {\"role\", \"content\"}, of which each of the "
       "assistant's is an answer",
       .zero = "messages, where there is one", .flags = OPTION_RESULT},
  };
  memcpy(options, all, sizeof all);
}

option *options_named(option *options, size_t count, const char *name) {
  size_t i = 0;
  while (i + 1 < count &&
         (options[i].type == OPTION_HEADING || strcmp(options[i].name, name) != 0)) {
    i++;
  }
  return &options[i];
}
