/* Decoding as tx_bench measures it: sequences that go on token by token, at several
 * numbers of sequences at once. */
#ifndef TX_TASKS_BENCH_DECODE_H
#define TX_TASKS_BENCH_DECODE_H

#include "model/model.h"

enum { TX_BENCH_BATCHES = 4 }; /* 1, 8, 16 and 32 sequences */

/* Each number of sequences for about `seconds`, over a model whose blocks are loaded:
 * after a text of 64 tokens a token a sequence at a time, its logits included.
 * speeds has room for TX_BENCH_BATCHES; *count rises by what was measured. */
tx_status tx_bench_decode_measure(const tx_model *model, const char *precision, double seconds,
                                  tx_bench_speed *speeds, size_t *count, const tx_watch *watch,
                                  tx_error *error);

#endif
