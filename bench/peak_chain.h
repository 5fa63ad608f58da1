/* Twelve chains hide the latency of a multiply-add on every machine so far. */
double NAME(long rounds, float *sink) {
  enum { CHAINS = 12 };
  VECTOR sum[CHAINS];
  const VECTOR factor = SET(0.999f), addend = SET(0.001f);
  for (int c = 0; c < CHAINS; c++) sum[c] = SET((float)c);
  for (long i = 0; i < rounds; i++) {
#pragma GCC unroll 12
    for (int c = 0; c < CHAINS; c++) sum[c] = FMA(sum[c], factor, addend);
  }
  VECTOR all = sum[0];
  for (int c = 1; c < CHAINS; c++) all = ADD(all, sum[c]);
  float out[LANES];
  STORE(out, all);
  *sink += out[0];
  return 2.0 * LANES * CHAINS * (double)rounds;
}
