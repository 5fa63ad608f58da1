/* xoshiro256**; the normal is a sum of twelve uniforms less six (Irwin-Hall),
 * which needs no library function that might round differently elsewhere. */
#include "base/random.h"

static uint64_t splitmix(uint64_t *state) {
  uint64_t z = (*state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static uint64_t rotate(uint64_t value, int by) { return (value << by) | (value >> (64 - by)); }

tx_random tx_random_seed(uint64_t seed) {
  tx_random random;
  for (int i = 0; i < 4; i++) random.state[i] = splitmix(&seed);
  return random;
}

uint64_t tx_random_next(tx_random *random) {
  uint64_t *s = random->state;
  uint64_t result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = rotate(s[3], 45);
  return result;
}

uint64_t tx_random_below(tx_random *random, uint64_t bound) {
  uint64_t threshold = (0 - bound) % bound; /* 2^64 mod bound */
  for (;;) {
    uint64_t value = tx_random_next(random);
    if (value >= threshold) return value % bound;
  }
}

double tx_random_uniform(tx_random *random) {
  return (double)(tx_random_next(random) >> 11) * 0x1.0p-53;
}

double tx_random_normal(tx_random *random) {
  double sum = -6.0;
  for (int i = 0; i < 12; i++) sum += tx_random_uniform(random);
  return sum;
}

void tx_random_shuffle(tx_random *random, int64_t *items, size_t count) {
  for (size_t i = count; i > 1; i--) {
    size_t j = (size_t)tx_random_below(random, i);
    int64_t kept = items[i - 1];
    items[i - 1] = items[j];
    items[j] = kept;
  }
}
