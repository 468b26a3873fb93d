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

/* ---- threads.c: user-level threads, and everything that waits ---- */
struct thread {
    void *stack; /* saved stack pointer while it does not run */
    uint64_t fs;
    uint64_t wake_ns; /* when it waits */
    int tid;
    enum { THREAD_FREE, THREAD_READY, THREAD_WAITS } state;
    uint64_t clear_tid; /* address that exit clears and wakes */
    uint64_t blocked, pending, alt_stack, alt_size;
};
#define THREADS_MAX 64
extern struct thread threads[THREADS_MAX];
extern struct thread *running;

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
    sys_getrusage, sys_times;

/* ---- process.c: what a program asks about itself ---- */
linux_function sys_getpid, sys_getppid, sys_zero, sys_uname, sys_sysinfo, sys_getrandom, sys_prlimit, sys_exit_group,
    sys_getcpu, sys_sched_getaffinity, sys_getrlimit, sys_membarrier, sys_prctl;

/* ---- clone.c, futex.c: the calls about threads ---- */
linux_function sys_clone, sys_set_tid_address, sys_exit, sys_sched_yield, sys_gettid, sys_arch_prctl, sys_futex;

/* ---- signals.c ---- */
#define SIGPIPE 13
void signal_deliver(struct frame *frame);
void signal_raise(int number);
linux_function sys_rt_sigaction, sys_rt_sigprocmask, sys_rt_sigreturn, sys_rt_sigpending, sys_rt_sigsuspend,
    sys_sigaltstack, sys_kill, sys_tkill, sys_tgkill, sys_pause;

#endif
