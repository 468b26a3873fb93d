/* The table of system calls. What is not in it returns ENOSYS and is counted where the VMM finds it. */
#include "linux.h"

#define CALLS 512

static linux_function *const table[CALLS] = {
    [0] = sys_read,
    [1] = sys_write,
    [2] = sys_open,
    [3] = sys_close,
    [4] = sys_stat,
    [5] = sys_fstat,
    [6] = sys_stat, /* lstat: links in the archive are resolved when it is packed */
    [7] = sys_poll,
    [8] = sys_lseek,
    [9] = sys_mmap,
    [10] = sys_mprotect,
    [11] = sys_munmap,
    [12] = sys_brk,
    [13] = sys_rt_sigaction,
    [14] = sys_rt_sigprocmask,
    [15] = sys_rt_sigreturn,
    [16] = sys_ioctl,
    [17] = sys_pread,
    [18] = sys_pwrite,
    [19] = sys_readv,
    [20] = sys_writev,
    [21] = sys_access,
    [22] = sys_pipe,
    [23] = sys_select,
    [24] = sys_sched_yield,
    [25] = sys_mremap,
    [28] = sys_madvise,
    [32] = sys_dup,
    [33] = sys_dup2,
    [34] = sys_pause,
    [35] = sys_nanosleep,
    [39] = sys_getpid,
    [40] = sys_sendfile,
    [56] = sys_clone,
    [60] = sys_exit,
    [62] = sys_kill,
    [63] = sys_uname,
    [72] = sys_fcntl,
    [74] = sys_zero, /* fsync */
    [75] = sys_zero, /* fdatasync */
    [76] = sys_truncate,
    [77] = sys_ftruncate,
    [79] = sys_getcwd,
    [80] = sys_chdir,
    [82] = sys_rename,
    [83] = sys_mkdir,
    [84] = sys_rmdir,
    [87] = sys_unlink,
    [89] = sys_readlink,
    [90] = sys_zero, /* chmod */
    [91] = sys_zero, /* fchmod */
    [95] = sys_umask,
    [96] = sys_gettimeofday,
    [97] = sys_getrlimit,
    [98] = sys_getrusage,
    [99] = sys_sysinfo,
    [100] = sys_times,
    [102] = sys_zero, /* getuid, getgid, geteuid, getegid */
    [104] = sys_zero,
    [107] = sys_zero,
    [108] = sys_zero,
    [110] = sys_getppid,
    [127] = sys_rt_sigpending,
    [130] = sys_rt_sigsuspend,
    [131] = sys_sigaltstack,
    [157] = sys_prctl,
    [158] = sys_arch_prctl,
    [186] = sys_gettid,
    [200] = sys_tkill,
    [201] = sys_time,
    [202] = sys_futex,
    [203] = sys_zero, /* sched_setaffinity: there is one processor */
    [204] = sys_sched_getaffinity,
    [213] = sys_epoll_create,
    [217] = sys_getdents64,
    [218] = sys_set_tid_address,
    [228] = sys_clock_gettime,
    [229] = sys_clock_getres,
    [230] = sys_clock_nanosleep,
    [231] = sys_exit_group,
    [232] = sys_epoll_wait,
    [233] = sys_epoll_ctl,
    [234] = sys_tgkill,
    [257] = sys_openat,
    [258] = sys_mkdirat,
    [262] = sys_newfstatat,
    [263] = sys_unlinkat,
    [264] = sys_renameat,
    [267] = sys_readlinkat,
    [269] = sys_faccessat,
    [270] = sys_pselect,
    [271] = sys_ppoll,
    [273] = sys_zero, /* set_robust_list: nobody dies here without the whole machine */
    [281] = sys_epoll_wait,
    [284] = sys_eventfd,
    [290] = sys_eventfd,
    [291] = sys_epoll_create1,
    [292] = sys_dup3,
    [293] = sys_pipe2,
    [295] = sys_preadv,
    [296] = sys_pwritev,
    [302] = sys_prlimit,
    [309] = sys_getcpu,
    [316] = sys_renameat2,
    [318] = sys_getrandom,
    [324] = sys_membarrier,
    [436] = sys_close_range,
    [439] = sys_faccessat,
};

bool linux_tracing;

/* `nunatak run --strace` knows the names. */
static void trace(uint64_t number, const uint64_t *a, int64_t result) {
    cgi_trace((const uint64_t[8]){number, a[0], a[1], a[2], a[3], a[4], a[5], (uint64_t)result});
}

static void count_unknown(uint64_t number) {
    struct nk_unknown_call volatile *calls = NK_CONTROL->unknown_calls;
    for (unsigned i = 0; i < NK_UNKNOWN_CALLS_MAX; i++) {
        if (calls[i].count == 0)
            calls[i].number = i == NK_UNKNOWN_CALLS_MAX - 1 ? UINT32_MAX : (uint32_t)MIN(number, UINT32_MAX - 1);
        if (calls[i].number == number || i == NK_UNKNOWN_CALLS_MAX - 1) {
            calls[i].count++;
            return;
        }
    }
}

/* Every system call of the program. */
void linux_call(struct frame *frame) {
    const uint64_t arguments[6] = {frame->rdi, frame->rsi, frame->rdx, frame->r10, frame->r8, frame->r9};
    uint64_t number = frame->rax;
    linux_function *run = number < CALLS ? table[number] : NULL;
    if (linux_tracing && (number == 231 || number == 60 || number == 15)) /* these do not come back */
        trace(number, arguments, 0);
    int64_t result = run ? run(arguments, frame) : -ENOSYS;
    if (!run)
        count_unknown(number);
    if (linux_tracing)
        trace(number, arguments, result);
    frame->rax = (uint64_t)result;
    if (running->pending & ~running->blocked)
        signal_deliver(frame);
}
