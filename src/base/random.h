/* Reproducible random numbers: xoshiro256** 1.0 (Blackman and Vigna, 2018),
 * seeded through splitmix64.  The same seed gives the same numbers on every
 * machine. */
#ifndef TX_BASE_RANDOM_H
#define TX_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
  uint64_t state[4];
} tx_random;

tx_random tx_random_seed(uint64_t seed);
uint64_t tx_random_next(tx_random *random);
uint64_t tx_random_below(tx_random *random, uint64_t bound); /* [0, bound), no bias; bound > 0 */
double tx_random_uniform(tx_random *random);                 /* [0, 1) */
double tx_random_normal(tx_random *random);                  /* mean 0, variance 1 */
void tx_random_shuffle(tx_random *random, int64_t *items, size_t count); /* Fisher-Yates */

#endif
