/* Intervals and tests for proportions, from counts alone. */
#include "trust/comparison.h"

#include <math.h>

#include "base/exact.h"

static const double normal_quantile = 1.959963984540054; /* of 0.975 */

tx_interval tx_wilson_share(double share, double n) {
  if (!(n > 0)) return (tx_interval){0, 1};
  double square = normal_quantile * normal_quantile, scale = 1 + square / n;
  double centre = (share + square / (2 * n)) / scale;
  double half = normal_quantile * sqrt(share * (1 - share) / n + square / (4 * n * n)) / scale;
  /* At the ends the bound is 0 or 1 exactly; the difference would leave a rounding error. */
  double lo = share <= 0 ? 0 : centre - half, hi = share >= 1 ? 1 : centre + half;
  return (tx_interval){fmax(lo, 0), fmin(hi, 1)};
}

tx_interval tx_wilson(int64_t successes, int64_t trials) {
  return tx_wilson_share((double)successes / (double)trials, (double)trials);
}

/* log(n!), by Stirling's series above 32 and the product below it. */
static double log_factorial(double n) {
  if (n < 32) {
    double product = 1;
    for (double i = 2; i <= n; i++) product *= i;
    return tx_log(product);
  }
  double inverse = 1 / n, square = inverse * inverse;
  double series = inverse / 12 * (1 - square / 30 * (1 - square * 2 / 7 * (1 - square * 3 / 4)));
  return (n + 0.5) * tx_log(n) - n + 0.91893853320467274178 + series;
}

/* The probability of exactly k heads in n throws: halved steps keep the product
 * in range for small n, logarithms beyond. */
static double binomial_half(double n, double k) {
  const double log_two = 0.69314718055994530942;
  if (n > 1000) {
    double logarithm = log_factorial(n) - log_factorial(k) - log_factorial(n - k) - n * log_two;
    return tx_exp(logarithm);
  }
  double term = ldexp(1.0, -(int)n);
  for (double i = 0; i < k; i++) term = term * (n - i) / (i + 1);
  return term;
}

double tx_mcnemar(int64_t only_a, int64_t only_b) {
  if (only_a < 0 || only_b < 0 || only_a == only_b) return 1;
  double few = (double)(only_a < only_b ? only_a : only_b), n = (double)only_a + (double)only_b;
  /* P(X <= few), summed from its largest term downwards until the rest is nothing. */
  double term = binomial_half(n, few), sum = 0;
  for (double i = few; term > sum * 1e-18; i--) {
    sum += term;
    if (i <= 0) break;
    term = term * i / (n - i + 1);
  }
  return fmin(2 * sum, 1);
}

/* The correlation of the two outcomes, its numerator drawn towards 0 by n/2
 * where it is positive: what makes Newcombe's method 10 differ from method 8. */
static double corrected_phi(double both, double only_a, double only_b, double neither) {
  double margins = (both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither);
  if (margins <= 0) return 0;
  double excess = both * neither - only_a * only_b;
  double half = (both + only_a + only_b + neither) / 2;
  if (excess > 0) excess = excess > half ? excess - half : 0;
  return excess / sqrt(margins);
}

tx_interval tx_paired_counts(double both, double only_a, double only_b, double neither) {
  double rows = both + only_a + only_b + neither;
  if (!(rows > 0)) return (tx_interval){-1, 1};
  double a = (both + only_a) / rows, b = (both + only_b) / rows;
  tx_interval wilson_a = tx_wilson_share(a, rows), wilson_b = tx_wilson_share(b, rows);
  double phi = corrected_phi(both, only_a, only_b, neither);
  double a_down = a - wilson_a.lo, a_up = wilson_a.hi - a;
  double b_down = b - wilson_b.lo, b_up = wilson_b.hi - b;
  double down = a_down * a_down - 2 * phi * a_down * b_up + b_up * b_up;
  double up = b_down * b_down - 2 * phi * b_down * a_up + a_up * a_up;
  double difference = (only_a - only_b) / rows;
  return (tx_interval){fmax(difference - sqrt(fmax(down, 0)), -1),
                       fmin(difference + sqrt(fmax(up, 0)), 1)};
}

tx_interval tx_paired_difference(int64_t both, int64_t only_a, int64_t only_b, int64_t neither) {
  return tx_paired_counts((double)both, (double)only_a, (double)only_b, (double)neither);
}

/* The upper tail of the normal distribution, z >= 0; errors below 1e-7 (Abramowitz
 * and Stegun, 26.2.17). */
static double normal_tail(double z) {
  double t = 1 / (1 + 0.2316419 * z);
  double series =
      t * (0.319381530 +
           t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  return 0.3989422804014327 * tx_exp(-0.5 * z * z) * series;
}

double tx_mean_above_zero(const double *differences, int64_t count) {
  double mean = 0, squares = 0;
  for (int64_t i = 0; i < count; i++) mean += differences[i];
  if (count < 2 || !(mean > 0)) return 1;
  mean /= (double)count;
  for (int64_t i = 0; i < count; i++) {
    squares += (differences[i] - mean) * (differences[i] - mean);
  }
  double error = sqrt(squares / (double)(count - 1) / (double)count);
  return error > 0 ? normal_tail(mean / error) : 0;
}
