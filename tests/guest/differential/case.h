/*
 * Small programs about one sentence of a manual page each, linked into one. TRY() prints what was asked and what came of it,
 * so the lines of two kernels can be compared. A case begins in an empty folder of its own.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

void add_case(const char *name, void (*run)(void));
#define CASE(name)                                                   \
    static void name(void);                                          \
    __attribute__((constructor)) static void add_##name(void) {      \
        add_case(#name, name);                                       \
    }                                                                \
    static void name(void)

long tried(const char *what, long result);
#define TRY(expression) tried(#expression, (errno = 0, (long)(expression)))
#define SAY(...) (printf(__VA_ARGS__), putchar('\n'))

int make(const char *path, const char *text);         /* a file with a text, closed again */
const char *content(const char *path);                /* what is in it */
void names(const char *path);                         /* what is in a folder, sorted, on one line */
void pause_ms(int ms);
const char *mode_of(const char *path);                /* "file 0644", without following a link */
extern volatile int signals_seen[65], last_signal, signal_order[16], signal_count;
void note_signal(int number);
