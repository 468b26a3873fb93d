/* Wild addresses in every argument of every call but those that end or replace what runs: EFAULT at worst. */
#define _GNU_SOURCE
#include "linux_check.h"

#include <sys/syscall.h>

static const long wild[] = {0, 1, 0xFFF, 0x10000, 0x100000, 0x17FFFF, 0x3FFFFFFF, 0x40000000, 0x40200000, 0x7FFFFFFFFFFF,
                            (long)0x8000000000000000, -1, -4096, 0x1FFF000};
enum { WILD = sizeof wild / sizeof *wild };

static int skipped(long number) {
    static const long those[] = {SYS_exit, SYS_exit_group, SYS_rt_sigreturn, SYS_pause, SYS_rt_sigsuspend, SYS_brk,
                                 SYS_munmap, SYS_mmap, SYS_mremap, SYS_madvise, SYS_arch_prctl, SYS_close, SYS_close_range,
                                 SYS_dup2, SYS_dup3, SYS_kill, SYS_tkill, SYS_tgkill, SYS_set_tid_address, SYS_poll,
                                 SYS_ppoll, SYS_select, SYS_pselect6, SYS_futex, SYS_nanosleep, SYS_clock_nanosleep,
                                 SYS_epoll_wait, SYS_epoll_pwait, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_clone};
    for (size_t i = 0; i < sizeof those / sizeof *those; i++)
        if (those[i] == number)
            return 1;
    return 0;
}

int main(void) {
    long calls = 0, errors = 0;
    for (long number = 0; number < 470; number++)
        for (int i = 0; i < WILD && !skipped(number); i++)
            for (int place = 0; place < 3; place++) {
                long arguments[3] = {3, 100, 100};
                arguments[place] = wild[i];
                if (number == SYS_write && arguments[0] == 1)
                    continue;
                errors += syscall(number, arguments[0], arguments[1], arguments[2], 0, 0, 0) == -1;
                calls++;
            }
    CHECK(calls > 10000 && errors > calls / 2);
    CHECK(syscall(SYS_read, 0, wild[7], 10L) == -1 && errno == EFAULT);
    CHECK(syscall(SYS_write, 1, 0x7FFFFFFFFFFFL, 10L) == -1 && errno == EFAULT);
    CHECK(syscall(SYS_write, 1, main, -1L) == -1 && errno == EFAULT);
    CHECK(syscall(SYS_open, 0x100L, 0, 0) == -1 && errno == EFAULT);
    CHECK(syscall(SYS_clock_gettime, 0, 0x100000L) == -1 && errno == EFAULT); /* the libOS itself */
    CHECK(syscall(SYS_futex, 0xFFFFFFFFFFFCL, 0, 0, 0, 0, 0) == -1 && errno == EFAULT);
    CHECK(syscall(SYS_nanosleep, 8L, 0) == -1 && errno == EFAULT);
    CHECK(syscall(SYS_rt_sigaction, 10, 8L, 0, 8) == -1 && errno == EFAULT);
    CHECK(syscall(SYS_clone, 0x10900L, 8L, 0, 0, 0) == -1 && errno == EFAULT);
    CHECK(syscall(470) == -1 && errno == ENOSYS && syscall(100000) == -1 && errno == ENOSYS);
    DONE();
}
