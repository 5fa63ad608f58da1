/* Means over seeds and their intervals. */
#include "trust/seeds.h"

#include <math.h>

double tx_student(int64_t degrees) {
  static const double table[] = {12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306,
                                 2.262,  2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
                                 2.110,  2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064,
                                 2.060,  2.056, 2.052, 2.048, 2.045, 2.042};
  const int64_t last = sizeof table / sizeof *table;
  if (degrees < 1) return INFINITY;
  if (degrees <= last) return table[degrees - 1];
  /* The first terms of its expansion about the normal quantile z. */
  const double z = 1.959964, n = (double)degrees;
  return z + (z * z * z + z) / (4 * n) + z * (5 * z * z * z * z + 16 * z * z + 3) / (96 * n * n);
}

static double mean_of(const double *values, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; i++) sum += values[i];
  return sum / (double)count;
}

/* How far the mean of all seeds may be from that of these; 0 for one, which cannot tell. */
static double reach_of(const double *values, int64_t count) {
  double mean = mean_of(values, count), squares = 0;
  if (count < 2) return 0;
  for (int64_t i = 0; i < count; i++) squares += (values[i] - mean) * (values[i] - mean);
  return tx_student(count - 1) * sqrt(squares / (double)(count - 1) / (double)count);
}

static tx_mean join(double mean, tx_interval texts, double reach, double least) {
  double down = mean - texts.lo, up = texts.hi - mean;
  return (tx_mean){mean, fmax(mean - sqrt(down * down + reach * reach), least),
                   fmin(mean + sqrt(up * up + reach * reach), 1)};
}

tx_mean tx_seeds_accuracy(const double *scores, int64_t seeds, int64_t rows) {
  double mean = mean_of(scores, seeds);
  return join(mean, tx_wilson_share(mean, (double)rows), reach_of(scores, seeds), 0);
}

/* Of one seed: how the answers fall, added to `counts`: both right, only a, only b, neither. */
static void count_pairs(const char *a, const char *b, int64_t rows, double counts[4]) {
  for (int64_t i = 0; i < rows; i++) {
    counts[a[i] == '1' ? (b[i] == '1' ? 0 : 1) : (b[i] == '1' ? 2 : 3)]++;
  }
}

tx_mean tx_seeds_difference(const char *const *a, const char *const *b, int64_t seeds,
                            int64_t rows) {
  double total[4] = {0}, mean = 0, squares = 0;
  for (int64_t s = 0; s < seeds; s++) { /* Welford's mean and squares: one pass, no array */
    double counts[4] = {0};
    count_pairs(a[s], b[s], rows, counts);
    for (int i = 0; i < 4; i++) total[i] += counts[i] / (double)seeds;
    double difference = (counts[1] - counts[2]) / (double)rows, step = difference - mean;
    mean += step / (double)(s + 1);
    squares += step * (difference - mean);
  }
  double reach =
      seeds < 2 ? 0 : tx_student(seeds - 1) * sqrt(squares / (double)(seeds - 1) / (double)seeds);
  return join(mean, tx_paired_counts(total[0], total[1], total[2], total[3]), reach, -1);
}
