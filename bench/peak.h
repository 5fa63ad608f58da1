/* See peak.c. */
#ifndef BENCH_PEAK_H
#define BENCH_PEAK_H

/* Each runs `rounds` rounds of its chains, returns the floating-point
 * operations done, and adds something of the result to *sink. */
double bench_chain_avx512(long rounds, float *sink);
double bench_chain_avx2(long rounds, float *sink);

double bench_chain_vnni(long rounds, float *sink);

/* GFLOP/s over `threads` threads. */
double bench_fma_peak(int threads);

/* GOP/s of byte products over `threads` threads; 0 where the kernels do not use VNNI. */
double bench_int8_peak(int threads);

#endif
