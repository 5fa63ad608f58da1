/* Tokenizer speed on one core: MB/s on a file's text, line by line and whole,
 * on one long word, and the time to make the tokenizer.  Prints, never asserts.
 *
 *   make build/bench/tokens && build/bench/tokens MODEL.gguf TEXT... */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "formats/file.h"
#include "text/vocabulary.h"

enum { ROUNDS = 5, WORD = 1 << 20 };

static int fail(const tx_error *error) {
  char sentence[1400];
  fprintf(stderr, "tokens: %s\n", tx_error_sentence(error, sentence, sizeof sentence));
  return 3;
}

/* Encodes the text, line by line or whole; the best of some rounds, in seconds. */
static double measure(const tx_tokenizer *tokenizer, tx_text text, bool lines, size_t *tokens) {
  tx_ids ids = {0};
  tx_error error = {0};
  double best = 1e9;
  for (int round = 0; round < ROUNDS; round++) {
    double start = tx_seconds();
    *tokens = 0;
    for (size_t at = 0; at < text.size;) {
      const char *end = lines ? memchr(text.data + at, '\n', text.size - at) : NULL;
      size_t size = end ? (size_t)(end - text.data) + 1 - at : text.size - at;
      ids.count = 0;
      if (tx_tokenizer_encode(tokenizer, (tx_text){text.data + at, size}, true, 0, &ids, &error)) {
        fail(&error);
        break;
      }
      *tokens += ids.count;
      at += size;
    }
    double seconds = tx_seconds() - start;
    best = seconds < best ? seconds : best;
  }
  tx_ids_free(&ids);
  return best;
}

static void report(const tx_tokenizer *tokenizer, const char *name, tx_text text, bool lines) {
  size_t tokens;
  double seconds = measure(tokenizer, text, lines, &tokens);
  printf("%-36s %-8s %8.2f MB %9zu tokens %8.3f s %8.1f MB/s\n", name, lines ? "by line" : "whole",
         (double)text.size / 1e6, tokens, seconds, (double)text.size / 1e6 / seconds);
}

static void report_words(const tx_tokenizer *tokenizer) {
  static const char *const patterns[] = {"a",      "ab", "qxzj", "Straßenbahn",
                                         "한국어", "=",  " ",    "\n"};
  char *word = tx_alloc(WORD);
  if (!word) return;
  for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
    size_t length = strlen(patterns[i]);
    for (size_t at = 0; at < WORD; at++) word[at] = patterns[i][at % length];
    char name[64];
    snprintf(name, sizeof name, "one word of 1 MiB of %s",
             *patterns[i] == '\n' ? "newline" : patterns[i]);
    report(tokenizer, name, (tx_text){word, WORD / length * length}, false);
  }
  tx_free(word);
}

int main(int argc, char **argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: tokens MODEL.gguf [TEXT...]\n");
    return 2;
  }
  tx_error error = {0};
  tx_gguf *gguf;
  if (tx_gguf_open(argv[1], &gguf, &error)) return fail(&error);
  tx_tokenizer *tokenizer = NULL;
  double best = 1e9;
  for (int round = 0; round < ROUNDS; round++) {
    tx_tokenizer_free(tokenizer);
    double start = tx_seconds();
    if (tx_tokenizer_from_gguf(gguf, &tokenizer, &error)) return fail(&error);
    double seconds = tx_seconds() - start;
    best = seconds < best ? seconds : best;
  }
  printf("making a tokenizer of %zu tokens: %.1f ms\n", tx_tokenizer_count(tokenizer), best * 1e3);
  tx_gguf_close(gguf);
  for (int i = 2; i < argc; i++) {
    tx_map map;
    if (tx_map_open(argv[i], &map, &error)) return fail(&error);
    const char *slash = strrchr(argv[i], '/');
    const char *name = slash ? slash + 1 : argv[i];
    report(tokenizer, name, (tx_text){(const char *)map.data, map.size}, true);
    report(tokenizer, name, (tx_text){(const char *)map.data, map.size}, false);
    tx_map_close(&map);
  }
  report_words(tokenizer);
  tx_tokenizer_free(tokenizer);
}
