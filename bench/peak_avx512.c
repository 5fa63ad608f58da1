/* The multiply-add peak: independent chains in registers, no memory at all.
 * Three files of one content, compiled for each instruction set; bench/peak.c
 * takes the one in use. */
#include <immintrin.h>

#include "peak.h"

#define VECTOR __m512
#define SET _mm512_set1_ps
#define FMA _mm512_fmadd_ps
#define ADD _mm512_add_ps
#define STORE _mm512_storeu_ps
#define LANES 16
#define NAME bench_chain_avx512
#include "peak_chain.h"
