/* Classifies texts with an artifact that `taxon train` made.
 *
 *   example ARTIFACT TEXT...
 *
 * With taxon installed (make install), against the shared library:
 *
 *   cc docs/example.c -o example $(pkg-config --cflags --libs taxon)
 *
 * against the static one:
 *
 *   cc docs/example.c -o example -Wl,--as-needed -l:libtaxon.a \
 *     $(pkg-config --static --cflags --libs taxon) */
#include <stdio.h>
#include <stdlib.h>
#include <taxon.h>

/* A tx_error holds the first failure: its status, the place and a sentence. */
static int fail(const tx_error *error) {
  char sentence[1400];
  fprintf(stderr, "example: %s\n", tx_error_sentence(error, sentence, sizeof sentence));
  return (int)error->status;
}

static int classify(tx_classifier *classifier, const tx_text *texts, size_t count) {
  size_t labels = tx_classifier_count(classifier);
  float *probabilities = calloc(count * labels, sizeof *probabilities); /* (count, labels) */
  tx_error error = {0};
  if (!probabilities) return TX_ERROR_SYSTEM;
  /* All texts in one call: they share the passes over the model's weights. */
  tx_status status =
      tx_classifier_predict(classifier, texts, count, probabilities, NULL, NULL, &error);
  for (size_t i = 0; status == TX_OK && i < count; i++) {
    printf("%s\n", texts[i].data);
    for (size_t k = 0; k < labels; k++) {
      printf("  %-10s %.3f\n", tx_classifier_label(classifier, k), probabilities[i * labels + k]);
    }
  }
  free(probabilities);
  return status == TX_OK ? 0 : fail(&error);
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: example ARTIFACT TEXT...\n");
    return 2;
  }
  tx_error error = {0};
  tx_classifier *classifier;
  if (tx_classifier_open(argv[1], tx_classifier_defaults(), &classifier, &error)) {
    return fail(&error);
  }
  size_t count = (size_t)argc - 2;
  tx_text *texts = calloc(count, sizeof *texts);
  for (size_t i = 0; texts && i < count; i++) texts[i] = tx_text_of(argv[i + 2]);
  int result = texts ? classify(classifier, texts, count) : TX_ERROR_SYSTEM;
  free(texts);
  tx_classifier_close(classifier);
  return result;
}
