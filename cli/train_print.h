/* How `train` tells what came of it, to people and to scripts. */
#ifndef CLI_TRAIN_PRINT_H
#define CLI_TRAIN_PRINT_H

#include "output.h"

/* In the order of the library's enums, NULL at the end. */
extern const char *const train_methods[], *const train_poolings[];

typedef struct {
  const char *out;
  bool multi_label;
  json_t *depths; /* as `show` has them; NULL: no depth was chosen */
} train_result;

void train_print(const train_result *result, const tx_train_report *report);
void train_print_json(const train_result *result, const tx_train_report *report);

#endif
