/* Monotonic seconds, the time of day, and the peak memory of this process. */
#ifndef TX_BASE_CLOCK_H
#define TX_BASE_CLOCK_H

#include <stdint.h>

double tx_seconds(void);      /* monotonic; only differences mean anything */
int64_t tx_file_time(void);   /* now, as a file written now is dated: nanoseconds since 1970 */
int64_t tx_peak_memory(void); /* peak resident bytes of this process so far */

#endif
