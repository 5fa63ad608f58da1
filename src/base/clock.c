/* clock_gettime and getrusage. */
#include "base/clock.h"

#include <sys/resource.h>
#include <time.h>

double tx_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int64_t tx_file_time(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME_COARSE, &now); /* the clock that dates files */
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t tx_peak_memory(void) {
  struct rusage usage;
  return getrusage(RUSAGE_SELF, &usage) == 0 ? (int64_t)usage.ru_maxrss * 1024 : 0;
}
