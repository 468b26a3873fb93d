/*
 * What the files of the Linux part know of each other: the x86-64 system call ABI for static programs. One section per
 * file, in reading order. Numbers and structures are the kernel's (arch/x86/entry/syscalls, include/uapi).
 */
#ifndef LINUX_H
#define LINUX_H

#include "../libos.h"
#include "archive.h"
#include "numbers.h"

#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* ---- entry.S ---- */

/* The caller's registers, in its own stack below the red zone. */
struct frame {
    uint64_t r15, r14, r13, r12, rbp, rbx, rflags, rip, rax, rdx, rsi, rdi, r8, r9, r10;
};
#define RED_ZONE NK_IRQ_RED_ZONE
#define FRAME_RSP(frame) ((uintptr_t)(frame) + sizeof(struct frame) + RED_ZONE)

void linux_entry(void);
void linux_switch(void **save, void *load);
void linux_child(void);
_Noreturn void linux_resume_at(struct frame *frame);
_Noreturn void linux_enter(uintptr_t entry, uintptr_t stack);
void linux_fx_save(void *area);
void linux_fx_load(const void *area);

/* ---- start.c: from the program's image to its first instruction ---- */
_Noreturn void linux_start(void);
_Noreturn void linux_begin(const char *variables);
extern bool linux_tracing;
uint32_t linux_kind(void);

/* ---- calls.c: the table ---- */
typedef int64_t linux_function(const uint64_t *arguments, struct frame *frame);
void linux_call(struct frame *frame);

extern const char libos_constants[], libos_constants_end[]; /* link.ld */
uint64_t rom_size(void);

/* ---- check.c: addresses that the program gave; the one door ---- */
bool can_read(uint64_t address, uint64_t size);
bool can_write(uint64_t address, uint64_t size);
const char *path_argument(uint64_t address); /* NULL: not a string in memory of less than PATH_MAX bytes */

/* ---- memory.c: pages between the program's end and the end of memory ---- */
void memory_begin(void);
void *memory_pages(size_t size);
void memory_give(void *pages, size_t size);
uint64_t memory_free_bytes(void);
linux_function sys_brk, sys_mmap, sys_munmap, sys_mremap, sys_mprotect, sys_madvise;

/* ---- threads.c: user-level threads, and waiting ---- */
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
#define PROCESS_ID 2
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
uint64_t thread_idle(uint64_t next_ns); /* for the request loop: lets threads run; when it must wake for them */
_Noreturn void thread_exit(void);
void thread_pause(void);
linux_function sys_clone, sys_futex, sys_set_tid_address, sys_exit, sys_sched_yield, sys_gettid, sys_arch_prctl;

/* ---- time.c ---- */
struct timespec {
    int64_t seconds, nanoseconds;
};
uint64_t deadline_of(uint64_t address, bool absolute, bool wall, int64_t *error);
linux_function sys_clock_gettime, sys_clock_getres, sys_gettimeofday, sys_time, sys_nanosleep, sys_clock_nanosleep,
    sys_getrusage, sys_times;

/* ---- process.c: what a program asks about itself ---- */
linux_function sys_getpid, sys_zero, sys_uname, sys_sysinfo, sys_getrandom, sys_prlimit, sys_exit_group, sys_getcpu,
    sys_sched_getaffinity, sys_getrlimit, sys_membarrier, sys_prctl;

/* ---- files.c: descriptors ---- */
struct file;
struct node;
struct file_kind {
    int64_t (*read)(struct file *file, void *to, uint64_t size, int64_t at);
    int64_t (*write)(struct file *file, const void *from, uint64_t size, int64_t at);
    unsigned (*ready)(struct file *file); /* POLL* bits */
    void (*close)(struct file *file);
    uint32_t mode; /* S_IFMT part */
};
struct file {
    const struct file_kind *kind;
    uint32_t users, flags;
    int64_t position;
    const struct entry *entry; /* of the read-only files */
    struct node *node;         /* of /tmp */
    struct pipe *pipe;
    char *folder;   /* its path */
    uint64_t value; /* eventfd */
    bool semaphore;
    struct watch *watches; /* epoll */
};
#define FILES_MAX 256
struct file *file_of(uint64_t descriptor);
struct file *file_new(const struct file_kind *kind, uint32_t flags);
int64_t file_install(struct file *file, unsigned lowest, bool close_on_exec);
void file_release(struct file *file);
void files_begin(void);
int64_t file_map(struct file *file, uint64_t size, uint64_t offset); /* its place in memory, or 0 */
linux_function sys_read, sys_write, sys_pread, sys_pwrite, sys_readv, sys_writev, sys_preadv, sys_pwritev, sys_close,
    sys_lseek, sys_dup, sys_dup2, sys_dup3, sys_fcntl, sys_ioctl, sys_sendfile, sys_close_range;

/* ---- stdio.c: standard input, output and error; /dev ---- */
extern const struct file_kind kind_input, kind_output, kind_error, kind_null, kind_zero, kind_random, kind_boot;

/* ---- rom.c: the read-only files of the image; tmp.c: /tmp, in memory; folders.c, names.c: paths, for both ---- */
struct node {
    struct node *next;
    char *path, *data;
    uint64_t inode, size, capacity, time_ns;
    uint32_t mode, users;
    bool unlinked;
};
#define PATH_NAME_MAX 512
struct place {
    char path[PATH_NAME_MAX]; /* absolute, without "." and ".." */
    const struct entry *entry;
    struct node *node;
};
struct stat_record {
    uint64_t device, inode, links;
    uint32_t mode, user, group, zero;
    uint64_t special;
    int64_t size, block_size, blocks;
    uint64_t times[6];
    int64_t unused[3];
};
struct node *tmp_find(const char *path);
struct node *tmp_make(const char *path, uint32_t mode);
struct node *tmp_child(const char *folder, uint64_t *position);
void tmp_unlink(struct node *node);
bool tmp_rename(struct node *node, const char *path);
bool tmp_resize(struct node *node, uint64_t size);
int64_t find_place(uint64_t base, uint64_t address, struct place *place);
bool is_folder(const struct place *place);
const struct file_kind *device(const char *path);
bool is_there(const struct place *place);
int64_t may_make(const struct place *place);
extern const struct file_kind kind_rom, kind_tmp, kind_folder;
void file_stat(const struct file *file, struct stat_record *stat);
linux_function sys_open, sys_openat, sys_stat, sys_fstat, sys_newfstatat, sys_access, sys_faccessat, sys_getcwd, sys_chdir,
    sys_rename, sys_renameat, sys_renameat2, sys_mkdir, sys_mkdirat, sys_rmdir, sys_unlink, sys_unlinkat, sys_readlink,
    sys_readlinkat, sys_umask, sys_truncate, sys_ftruncate, sys_getdents64;

/* ---- pipe.c, poll.c ---- */
linux_function sys_pipe, sys_pipe2, sys_eventfd, sys_poll, sys_ppoll, sys_select, sys_pselect, sys_epoll_create,
    sys_epoll_create1, sys_epoll_ctl, sys_epoll_wait;
#define FILE_CHANGES 0 /* the address that those wait on who wait for files */
static inline void files_changed(void) {
    thread_wake(FILE_CHANGES, ~0u, ~0u);
}

/* ---- signals.c ---- */
#define SIGPIPE 13
void signal_deliver(struct frame *frame);
void signal_raise(int number);
linux_function sys_rt_sigaction, sys_rt_sigprocmask, sys_rt_sigreturn, sys_rt_sigpending, sys_rt_sigsuspend,
    sys_sigaltstack, sys_kill, sys_tkill, sys_tgkill, sys_pause, sys_getppid;

/* ---- cgi.c: a program as the answer to a request ---- */
void cgi_handler(nk_request *request);
int64_t cgi_read(void *to, uint64_t size);
int64_t cgi_write(const void *from, uint64_t size);
void cgi_trace(const uint64_t words[8]);
void cgi_error(const void *from, uint64_t size);
_Noreturn void cgi_exit(int code);

#endif
