/* What SQLite wants of <time.h>: the parts of a time in the machine's zone, which is UTC (libc.c). */
#ifndef NK_TIME_H
#define NK_TIME_H

#include <stdint.h>

typedef int64_t time_t;

struct tm {
    int tm_sec, tm_min, tm_hour, tm_mday, tm_mon, tm_year, tm_wday, tm_yday, tm_isdst;
};

struct tm *localtime_r(const time_t *seconds, struct tm *parts);

#endif
