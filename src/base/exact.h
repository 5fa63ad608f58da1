/* exp, log, sine and cosine in double that give the same bits on every machine:
 * the C library's own may differ between processors and versions.  Errors are
 * below 2 units in the last place over the ranges named. */
#ifndef TX_BASE_EXACT_H
#define TX_BASE_EXACT_H

double tx_exp(double x);                       /* any x; 0 below -745, infinity above 709.78 */
double tx_log(double x);                       /* x > 0, normal; -infinity at 0 */
double tx_power(double base, double exponent); /* base > 0, by exp and log */
double tx_sin(double x);                       /* |x| up to 1e6 */
double tx_cos(double x);

#endif
