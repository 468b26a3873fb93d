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
    [6] = sys_lstat,
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
    [26] = sys_msync,
    [27] = sys_mincore,
    [28] = sys_madvise,
    [32] = sys_dup,
    [33] = sys_dup2,
    [34] = sys_pause,
    [35] = sys_nanosleep,
    [36] = sys_getitimer,
    [37] = sys_alarm,
    [38] = sys_setitimer,
    [39] = sys_getpid,
    [40] = sys_sendfile,
    [56] = sys_clone,
    [60] = sys_exit,
    [61] = sys_wait4,
    [62] = sys_kill,
    [63] = sys_uname,
    [72] = sys_fcntl,
    [73] = sys_flock,
    [74] = sys_fsync,
    [75] = sys_fsync, /* fdatasync */
    [76] = sys_truncate,
    [77] = sys_ftruncate,
    [79] = sys_getcwd,
    [80] = sys_chdir,
    [81] = sys_fchdir,
    [82] = sys_rename,
    [83] = sys_mkdir,
    [84] = sys_rmdir,
    [85] = sys_creat,
    [86] = sys_link,
    [87] = sys_unlink,
    [88] = sys_symlink,
    [89] = sys_readlink,
    [90] = sys_chmod,
    [91] = sys_fchmod,
    [92] = sys_chown,
    [93] = sys_fchown,
    [94] = sys_lchown,
    [95] = sys_umask,
    [96] = sys_gettimeofday,
    [97] = sys_getrlimit,
    [98] = sys_getrusage,
    [99] = sys_sysinfo,
    [100] = sys_times,
    [102] = sys_getuid,
    [104] = sys_getgid,
    [105] = sys_setuid,
    [106] = sys_setgid,
    [107] = sys_geteuid,
    [108] = sys_getegid,
    [109] = sys_setpgid,
    [110] = sys_getppid,
    [111] = sys_getpid, /* getpgrp */
    [112] = sys_setsid,
    [113] = sys_setreuid,
    [114] = sys_setregid,
    [115] = sys_getgroups,
    [116] = sys_setgroups,
    [117] = sys_setresuid,
    [118] = sys_getresuid,
    [119] = sys_setresgid,
    [120] = sys_getresgid,
    [121] = sys_getpgid,
    [122] = sys_setfsuid,
    [123] = sys_setfsgid,
    [124] = sys_getsid,
    [125] = sys_capget,
    [126] = sys_capset,
    [127] = sys_rt_sigpending,
    [128] = sys_rt_sigtimedwait,
    [129] = sys_rt_sigqueueinfo,
    [130] = sys_rt_sigsuspend,
    [131] = sys_sigaltstack,
    [132] = sys_utime,
    [133] = sys_mknod,
    [135] = sys_personality,
    [137] = sys_statfs,
    [138] = sys_fstatfs,
    [140] = sys_getpriority,
    [141] = sys_setpriority,
    [142] = sys_sched_setparam,
    [143] = sys_sched_getparam,
    [144] = sys_sched_setscheduler,
    [145] = sys_sched_getscheduler,
    [146] = sys_sched_priority, /* sched_get_priority_max */
    [147] = sys_sched_priority, /* sched_get_priority_min */
    [148] = sys_sched_rr_get_interval,
    [149] = sys_mlock,
    [150] = sys_mlock, /* munlock */
    [151] = sys_zero, /* mlockall */
    [152] = sys_zero, /* munlockall */
    [157] = sys_prctl,
    [158] = sys_arch_prctl,
    [160] = sys_setrlimit,
    [162] = sys_zero, /* sync */
    [186] = sys_gettid,
    [187] = sys_readahead,
    [200] = sys_tkill,
    [201] = sys_time,
    [202] = sys_futex,
    [203] = sys_sched_setaffinity,
    [204] = sys_sched_getaffinity,
    [213] = sys_epoll_create,
    [217] = sys_getdents64,
    [218] = sys_set_tid_address,
    [221] = sys_fadvise,
    [222] = sys_timer_create,
    [223] = sys_timer_settime,
    [224] = sys_timer_gettime,
    [225] = sys_timer_getoverrun,
    [226] = sys_timer_delete,
    [227] = sys_clock_settime,
    [228] = sys_clock_gettime,
    [229] = sys_clock_getres,
    [230] = sys_clock_nanosleep,
    [231] = sys_exit_group,
    [232] = sys_epoll_wait,
    [233] = sys_epoll_ctl,
    [234] = sys_tgkill,
    [235] = sys_utimes,
    [247] = sys_waitid,
    [257] = sys_openat,
    [258] = sys_mkdirat,
    [259] = sys_mknodat,
    [260] = sys_fchownat,
    [261] = sys_futimesat,
    [262] = sys_newfstatat,
    [263] = sys_unlinkat,
    [264] = sys_renameat,
    [265] = sys_linkat,
    [266] = sys_symlinkat,
    [267] = sys_readlinkat,
    [268] = sys_fchmodat,
    [269] = sys_faccessat,
    [270] = sys_pselect,
    [271] = sys_ppoll,
    [273] = sys_set_robust_list,
    [274] = sys_get_robust_list,
    [275] = sys_splice,
    [277] = sys_fsync, /* sync_file_range */
    [280] = sys_utimensat,
    [281] = sys_epoll_pwait,
    [282] = sys_signalfd,
    [283] = sys_timerfd_create,
    [284] = sys_eventfd,
    [285] = sys_fallocate,
    [286] = sys_timerfd_settime,
    [287] = sys_timerfd_gettime,
    [289] = sys_signalfd4,
    [290] = sys_eventfd2,
    [291] = sys_epoll_create1,
    [292] = sys_dup3,
    [293] = sys_pipe2,
    [295] = sys_preadv,
    [296] = sys_pwritev,
    [297] = sys_rt_tgsigqueueinfo,
    [302] = sys_prlimit,
    [306] = sys_fsync, /* syncfs */
    [309] = sys_getcpu,
    [316] = sys_renameat2,
    [318] = sys_getrandom,
    [319] = sys_memfd_create,
    [323] = sys_refused, /* userfaultfd */
    [324] = sys_membarrier,
    [325] = sys_mlock, /* mlock2 */
    [326] = sys_copy_file_range,
    [327] = sys_preadv2,
    [328] = sys_pwritev2,
    [329] = sys_refused, /* pkey_mprotect, pkey_alloc, pkey_free */
    [330] = sys_refused,
    [331] = sys_refused,
    [332] = sys_statx,
    [334] = sys_refused, /* rseq */
    [425] = sys_refused, /* io_uring_setup, _enter, _register */
    [426] = sys_refused,
    [427] = sys_refused,
    [435] = sys_refused, /* clone3 */
    [436] = sys_close_range,
    [437] = sys_refused, /* openat2 */
    [439] = sys_faccessat2,
    [441] = sys_epoll_pwait2,
    [449] = sys_refused, /* futex_waitv */
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
    signals_after(frame, number);
}
