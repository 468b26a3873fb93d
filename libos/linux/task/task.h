/*
 * What linux/task/ offers: the one process, from its first instruction over its threads, clocks and signals to its end.
 * One section per file, in reading order.
 */
#ifndef LINUX_TASK_H
#define LINUX_TASK_H

#include "../../requests/requests.h"
#include "../memory/memory.h"

/* ---- context.S ---- */
void context_switch(void **save, void *load);
void context_child(void);
_Noreturn void context_return(struct frame *frame);
_Noreturn void context_enter(uintptr_t entry, uintptr_t stack);
void context_save_fx(void *area);
void context_load_fx(const void *area);

/* ---- program.c: a program's first instruction ---- */
_Noreturn void program_begin(const char *variables, const char *last);
const char *first_argument(void);
struct program_part {
    bool loads;
    uint64_t start, end;
    const char *access; /* "rw-" */
};
struct program_part program_part(unsigned number); /* of the ELF program headers */

/* ---- threads.c: user-level threads, and everything that waits ---- */
struct thread {
    void *stack; /* saved stack pointer while it does not run */
    uint64_t fs;
    uint64_t wake_ns; /* when it waits */
    int tid;
    enum { THREAD_FREE, THREAD_READY, THREAD_WAITS } state;
    uint64_t clear_tid; /* address that exit clears and wakes */
    uint64_t blocked, pending, alt_stack, alt_size;
    uint64_t awaits; /* signals that sigtimedwait() waits for though they are blocked */
    uint64_t robust_list;
    uint64_t kept;   /* what is blocked again after this call */
    bool restores;
};
#define THREADS_MAX 64
extern struct thread threads[THREADS_MAX];
extern struct thread *running;
extern uint64_t shared_pending; /* signals for whichever thread takes them */

/* Whether a thread that waits has to stop waiting. */
static inline bool interrupted(const struct thread *thread) {
    return (thread->pending | shared_pending) & (~thread->blocked | thread->awaits);
}

/* Somebody who waits; on its own stack. */
struct waiter {
    struct waiter *next;
    uint64_t address; /* a futex; 0: any change of a file */
    uint32_t bits;
    bool woken;
    struct thread *thread;
    struct fiber *fiber;
};
bool thread_wait(struct waiter *waiter, uint64_t deadline_ns); /* false: deadline or signal */
unsigned thread_wake(uint64_t address, uint32_t bits, unsigned count);
void thread_interrupt(const struct thread *thread); /* its waits end early if a signal is pending */
struct thread *thread_of(int tid);
unsigned threads_count(void);
void thread_yield(void);
unsigned thread_move(uint64_t from, uint64_t to, unsigned count);
struct thread *thread_new(void *stack);
void thread_end(void);
void thread_set_fs(uint64_t fs);
uint64_t thread_idle(uint64_t next_ns); /* this and the next are hooks of the request loop: struct thread_hooks */
void thread_pause(void);

/* ---- cgi_head.c: the header block that a CGI program writes ---- */
enum cgi_head { CGI_HEAD_OPEN, CGI_HEAD_WHOLE, CGI_HEAD_FAILED };
extern bool cgi_elsewhere; /* it names another path, for which the edge is to answer */
void cgi_head_begin(nk_request *request); /* while its head is as it came */
void cgi_log_request(void);               /* after what went wrong: for which request, as crash reports have it */
enum cgi_head cgi_head_take(nk_request *request, const char *from, uint64_t size, uint64_t *taken);
void cgi_head_end(nk_request *request); /* the program ends in its header */

/* ---- cgi.c: a program as the answer to a request ---- */
void cgi_handler(nk_request *request);
int64_t cgi_read(void *to, uint64_t size);
int64_t cgi_write(const void *from, uint64_t size);
void cgi_trace(const uint64_t words[8]);
void cgi_error(const void *from, uint64_t size);
_Noreturn void cgi_exit(int code);

/* ---- time.c ---- */
struct timespec {
    int64_t seconds, nanoseconds;
};
uint64_t deadline_of(uint64_t address, bool absolute, bool wall, int64_t *error);
linux_function sys_clock_gettime, sys_clock_getres, sys_gettimeofday, sys_time, sys_nanosleep, sys_clock_nanosleep,
    sys_getrusage, sys_times, sys_clock_settime;

/* ---- process.c: what a program asks about itself ---- */
linux_function sys_getpid, sys_getppid, sys_zero, sys_uname, sys_sysinfo, sys_getrandom, sys_exit_group, sys_getcpu,
    sys_sched_getaffinity, sys_sched_setaffinity, sys_membarrier, sys_refused;

/* ---- clone.c, futex.c: the calls about threads ---- */
linux_function sys_clone, sys_set_tid_address, sys_exit, sys_sched_yield, sys_gettid, sys_arch_prctl, sys_futex,
    sys_set_robust_list, sys_get_robust_list;

/* ---- timers.c ---- */
struct timer {
    struct timer *next;
    uint64_t target_ns, interval_ns; /* of its clock; 0: not armed, once only */
    bool wall;
    void (*fire)(struct timer *timer, uint64_t times);
};
struct itimerspec {
    struct timespec interval, value;
};
bool timer_clock(uint64_t clock, bool *wall);
void timer_set(struct timer *timer, uint64_t target_ns, uint64_t interval_ns);
int64_t timer_change(struct timer *timer, bool absolute, uint64_t address, uint64_t old_address);
int64_t timer_tell(const struct timer *timer, uint64_t address);
bool timers_run(void);
uint64_t timers_next(void);
uint64_t timer_left(const struct timer *timer); /* nanoseconds; 0: it is not armed */

/* ---- alarms.c: timers that send a signal ---- */
linux_function sys_alarm, sys_getitimer, sys_setitimer, sys_timer_create, sys_timer_settime, sys_timer_gettime,
    sys_timer_getoverrun, sys_timer_delete;

/* ---- identity.c, scheduling.c: what can be set and has no effect but on what is told ---- */
uint32_t file_user(void), file_group(void);
const char *process_name(void);
void process_named(const char *path);
uint64_t files_limit(void);
linux_function sys_getuid, sys_geteuid, sys_getgid, sys_getegid, sys_setuid, sys_setgid, sys_setreuid, sys_setregid,
    sys_setresuid, sys_setresgid, sys_getresuid, sys_getresgid, sys_getgroups, sys_setgroups, sys_setfsuid, sys_setfsgid,
    sys_capget, sys_capset, sys_getpgid, sys_getsid, sys_setpgid, sys_setsid, sys_getpriority, sys_setpriority,
    sys_sched_setparam, sys_sched_getparam, sys_sched_setscheduler, sys_sched_getscheduler, sys_sched_priority,
    sys_sched_rr_get_interval, sys_wait4, sys_waitid, sys_personality, sys_prctl, sys_getrlimit, sys_setrlimit,
    sys_prlimit;

/* ---- signals.c, handlers.c ---- */
#define SIGNALS 64
#define SIGPIPE 13
#define SIGSEGV 11
#define SIG_DFL 0
#define SIG_IGN 1
#define SIGNAL_BIT(number) (1ull << ((number) - 1))
#define NEVER_BLOCKED (SIGNAL_BIT(9) | SIGNAL_BIT(19)) /* KILL, STOP */
/* CHLD, CONT, URG, WINCH; and nobody could continue what STOP, TSTP, TTIN and TTOU stop */
#define IGNORED_BY_DEFAULT (SIGNAL_BIT(17) | SIGNAL_BIT(18) | SIGNAL_BIT(23) | SIGNAL_BIT(28) | 0xFull << 18)
#define NO_CALL (~0ull)
struct signal_action {
    uint64_t handler, flags, restorer, mask;
};
struct signal_information {
    int code, process;
    uint64_t value;
};
extern struct signal_action signal_actions[SIGNALS + 1];
void signals_after(struct frame *frame, uint64_t call);
void signal_raise(int number);
int64_t signal_send(struct thread *thread, int number, struct signal_information information);
int signal_take(uint64_t mask, struct signal_information *information);
void signal_tell(int *to, int number, const struct signal_information *information);
_Noreturn void signal_die(int number);
uint64_t signals_pending(void), signals_sent(void);
int64_t mask_for_call(uint64_t address, uint64_t size);
linux_function sys_rt_sigaction, sys_rt_sigprocmask, sys_rt_sigreturn, sys_rt_sigpending, sys_rt_sigsuspend,
    sys_sigaltstack, sys_kill, sys_tkill, sys_tgkill, sys_pause, sys_rt_sigtimedwait, sys_rt_sigqueueinfo,
    sys_rt_tgsigqueueinfo;

/* The address that those wait on who wait for files. */
#define FILE_CHANGES 0
static inline void files_changed(void) {
    thread_wake(FILE_CHANGES, ~0u, ~0u);
}

#endif
