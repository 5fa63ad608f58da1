/* Elementary functions by range reduction and Taylor series in plain double
 * arithmetic (no contraction, see the Makefile), so that the bits depend on
 * nothing but IEEE 754. */
#include "base/exact.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/* ln 2 and pi/2, each split so that small multiples of the high part are exact. */
static const double ln2_high = 0x1.62e42fee00000p-1, ln2_low = 0x1.a39ef35793c76p-33;
static const double half_pi_high = 0x1.921fb54400000p+0, half_pi_middle = 0x1.0b4611a600000p-34,
                    half_pi_low = 0x1.3198a2e037073p-69;

static double scale_by_power_of_two(double x, int exponent) {
  uint64_t bits = (uint64_t)(exponent + 1023) << 52;
  double factor;
  memcpy(&factor, &bits, sizeof factor);
  return x * factor;
}

double tx_exp(double x) {
  if (x != x) return x;
  if (x > 709.78) return HUGE_VAL;
  if (x < -745.0) return 0.0;
  double n = floor(x * 0x1.71547652b82fep+0 + 0.5);
  double r = (x - n * ln2_high) - n * ln2_low; /* |r| <= ln 2 / 2 */
  double sum = 1.0;
  for (int k = 14; k >= 1; k--) sum = 1.0 + r * sum / k;
  int exponent = (int)n;
  if (exponent < -1000)
    return scale_by_power_of_two(scale_by_power_of_two(sum, -1000), exponent + 1000);
  if (exponent > 1000)
    return scale_by_power_of_two(scale_by_power_of_two(sum, 1000), exponent - 1000);
  return scale_by_power_of_two(sum, exponent);
}

double tx_log(double x) {
  if (x == 0.0) return -HUGE_VAL;
  int exponent;
  double m = frexp(x, &exponent); /* [0.5, 1) */
  if (m < 0x1.6a09e667f3bcdp-1) {
    m *= 2;
    exponent--;
  }
  double s = (m - 1.0) / (m + 1.0), square = s * s, sum = 0.0; /* |s| < 0.1716 */
  for (int k = 21; k >= 3; k -= 2) sum = (sum + 1.0 / k) * square;
  return exponent * ln2_high + (exponent * ln2_low + (2.0 * s + 2.0 * s * sum));
}

double tx_power(double base, double exponent) { return tx_exp(exponent * tx_log(base)); }

/* Sine of r + shift * pi/2 for |r| <= pi/4. */
static double sine_by_quadrant(double r, int64_t quadrant) {
  double square = r * r, sum;
  if (quadrant & 1) {
    sum = 1.0;
    for (int k = 18; k >= 2; k -= 2) sum = 1.0 - square * sum / (double)(k * (k - 1));
  } else {
    sum = 1.0;
    for (int k = 19; k >= 3; k -= 2) sum = 1.0 - square * sum / (double)(k * (k - 1));
    sum *= r;
  }
  return quadrant & 2 ? -sum : sum;
}

static double sine_shifted(double x, int64_t shift) {
  double n = floor(x * 0x1.45f306dc9c883p-1 + 0.5);
  double r = ((x - n * half_pi_high) - n * half_pi_middle) - n * half_pi_low;
  return sine_by_quadrant(r, ((int64_t)n + shift) & 3);
}

double tx_sin(double x) { return sine_shifted(x, 0); }
double tx_cos(double x) { return sine_shifted(x, 1); }
