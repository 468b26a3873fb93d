/*
 * What linux/fs/ offers: files, of which the image's are read-only, those of /tmp are memory, and the rest is the request,
 * the log, or other threads. One section per file, in reading order.
 */
#ifndef LINUX_FS_H
#define LINUX_FS_H

#include "../task/task.h"

#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* ---- files.c: open files ---- */
struct file;
struct node;
struct edges {
    uint64_t in, out; /* how often something came that makes the file readable, or writable */
};
struct file_kind {
    int64_t (*read)(struct file *file, void *to, uint64_t size, int64_t at);
    int64_t (*write)(struct file *file, const void *from, uint64_t size, int64_t at);
    unsigned (*ready)(struct file *file); /* POLL* bits */
    void (*close)(struct file *file);
    struct edges *(*edges)(struct file *file);
    uint32_t mode;    /* S_IFMT part */
    const char *name; /* of what has none in any folder, as /proc/self/fd shows it */
};
struct file {
    const struct file_kind *kind;
    uint32_t users, flags;
    int64_t position;
    const struct entry *entry;     /* of the read-only files */
    struct node *node;             /* of /tmp */
    const struct special *special; /* of /dev and /proc */
    struct pipe *pipe;
    char *folder; /* the path of one that is read-only */
    char *text;   /* of /proc, as it was when it was opened */
    uint64_t size;
    uint64_t value; /* eventfd: the counter; timerfd: expirations; signalfd: the mask */
    bool semaphore, watched, locks;
    struct edges edges;
    struct timer timer;    /* timerfd */
    struct watch *watches; /* epoll */
};
struct file *file_of(uint64_t descriptor);
struct file *file_new(const struct file_kind *kind, uint32_t flags);
int64_t file_install(struct file *file, unsigned lowest, bool close_on_exec);
int64_t file_open(const struct file_kind *kind, uint64_t flags); /* one that nobody can name, with a number */
void file_release(struct file *file);
extern struct file_hooks { /* of those that files.c does not know, once they have something to do */
    void (*forget)(const struct file *file);        /* it is closed for good */
    void (*unlock)(struct file *file, bool last);   /* one of its numbers is closed */
} file_hooks;
bool closes_on_exec(uint64_t descriptor);
void close_on_exec(uint64_t descriptor, bool does);
void files_begin(void);
linux_function sys_close, sys_lseek, sys_dup, sys_dup2, sys_dup3, sys_close_range,
    sys_fsync, sys_fadvise, sys_readahead;

/* ---- transfer.c: reading and writing; copy.c: from file to file ---- */
linux_function sys_read, sys_write, sys_pread, sys_pwrite, sys_readv, sys_writev, sys_preadv, sys_pwritev, sys_preadv2,
    sys_pwritev2, sys_sendfile, sys_copy_file_range, sys_splice;

/* ---- control.c: fcntl and ioctl ---- */
linux_function sys_fcntl, sys_ioctl;

/* ---- locks.c: record locks and flock ---- */
int64_t record_lock(struct file *file, uint64_t command, uint64_t address);
linux_function sys_flock;

/* ---- stdio.c: standard input, output and error; /dev ---- */
extern const struct file_kind kind_input, kind_output, kind_error, kind_null, kind_zero, kind_full, kind_random;

/* ---- rom.c: the read-only files of the image ---- */
extern const struct file_kind kind_rom;
int64_t file_map(struct file *file, uint64_t size, uint64_t offset); /* its place in memory, or 0 */

/* ---- nodes.c: files, folders and links in memory, and the names that they have ---- */
struct node {
    struct name *names, **last; /* of a folder, the oldest first */
    struct node *parent;        /* of a folder; NULL: it is a root, or was removed */
    char *data;                 /* a file's bytes, a link's target */
    uint64_t inode, size, capacity, reserved, cookie;
    uint64_t accessed_ns, modified_ns, changed_ns, born_ns;
    uint32_t mode, device, user, group;
    uint32_t links, users; /* names, and open files beside them */
    bool mapped;           /* its bytes are pages that a program maps: they stay where they are */
};
struct name {
    struct name *next;
    struct node *node;
    uint64_t cookie; /* where a reader of the folder goes on after it */
    char text[];
};
#define NODES_MAX 16384
struct node *root_of(const char *path, const char **rest); /* the root that the path lies in */
struct node *node_make(uint32_t mode, uint32_t device);
void node_release(struct node *node);
struct name *name_find(const struct node *folder, const char *text, size_t length);
struct name *name_after(const struct node *folder, uint64_t cookie);
bool name_add(struct node *folder, const char *text, struct node *node);
void name_remove(struct node *folder, const char *text);
uint32_t node_links(const struct node *node);
bool node_path(const struct node *folder, char *to); /* of a folder: PATH_MAX bytes */
bool node_name_path(const struct node *node, char *to); /* of anything else */
bool node_within(const struct node *node, const struct node *folder);
void node_changed(struct node *node, bool bytes);
unsigned nodes_left(void);
extern uint32_t file_mask; /* what is left out of the modes of new ones */

/* ---- tmp.c: what is in such files ---- */
extern const struct file_kind kind_tmp;
bool tmp_resize(struct node *node, uint64_t size);
int64_t tmp_reserve(struct node *node, uint64_t size);
char *tmp_map(struct node *node, uint64_t size, uint64_t offset);
linux_function sys_truncate, sys_ftruncate, sys_fallocate, sys_memfd_create;

/* ---- map.c: a file's bytes as memory, and memory without a file ---- */
linux_function sys_mmap;

/* ---- special.c, proc.c: names in /dev and /proc ---- */
struct special {
    const char *path;
    uint32_t mode, device;        /* device: major * 256 + minor */
    const struct file_kind *kind; /* NULL: cannot be opened */
    void (*print)(struct sink *sink);
    const char *target;      /* of a link; or */
    const char *(*find)(void);
};
extern const struct special specials[];
const struct special *special_find(const char *path);
uint64_t special_inode(const struct special *special);
const char *special_target(const struct special *special);
struct file *special_open(const struct special *special, uint32_t flags);
struct file *descriptor_file(const char *path); /* of /proc/self/fd/NUMBER */
void descriptor_target(const struct file *file, char *to);
const char *program_path(void);
/* Each prints what a file of that name in /proc has. */
void print_cmdline(struct sink *sink), print_comm(struct sink *sink), print_environ(struct sink *sink);
void print_stat(struct sink *sink), print_statm(struct sink *sink), print_status(struct sink *sink);
void print_limits(struct sink *sink), print_mounts(struct sink *sink), print_cgroup(struct sink *sink);
void print_cpuinfo(struct sink *sink), print_meminfo(struct sink *sink), print_machine(struct sink *sink);
void print_loadavg(struct sink *sink), print_uptime(struct sink *sink), print_version(struct sink *sink);
void print_kinds(struct sink *sink), print_type(struct sink *sink), print_release(struct sink *sink);
void print_host(struct sink *sink), print_boot(struct sink *sink), print_zero(struct sink *sink);
void print_pids(struct sink *sink), print_entropy(struct sink *sink), print_maps_max(struct sink *sink);
void print_processors(struct sink *sink), print_files_max(struct sink *sink), print_pipe_max(struct sink *sink);
void print_one(struct sink *sink), print_uuid(struct sink *sink);
void print_maps(struct sink *sink);

/* ---- working.c: the working folder ---- */
const char *working_folder(void); /* its path; NULL: it was removed */
struct node *working_node(void);  /* NULL: it is none of /tmp's */
int64_t work_in(struct node *node, const char *path);
linux_function sys_getcwd;

/* ---- paths.c: from a path to what it names ---- */
struct place {
    char path[PATH_MAX]; /* absolute, without ".", ".." and links */
    size_t length;
    const struct entry *entry;
    struct node *node;
    const struct special *special;
    struct file *file;   /* behind a link of /proc/self/fd */
    struct node *folder; /* of /tmp, where the name is or could be made */
    const char *name;    /* the last part of `path` */
    bool slash, dot;     /* how the path ended */
};
#define FOLLOW 1
#define MAY_BE_EMPTY 2
int64_t find_place(uint64_t base, uint64_t address, int how, struct place *place);
int64_t find_file(uint64_t base, uint64_t path, uint64_t flags, struct place *place); /* AT_*: something that is there */
bool is_folder(const struct place *place);
bool is_link(const struct place *place);
bool is_there(const struct place *place);
void link_target(const struct place *place, char *to);
int64_t may_make(const struct place *place);
linux_function sys_chdir, sys_fchdir;

/* ---- open.c, folders.c: opening, and what is in a folder ---- */
extern const struct file_kind kind_folder, kind_path;
linux_function sys_open, sys_openat, sys_creat, sys_getdents64;

/* ---- names.c, rename.c: what is made, moved and removed by name ---- */
linux_function sys_mkdir, sys_mkdirat, sys_rmdir, sys_unlink, sys_unlinkat, sys_readlink, sys_readlinkat, sys_link,
    sys_linkat, sys_symlink, sys_symlinkat, sys_mknod, sys_mknodat, sys_rename, sys_renameat, sys_renameat2;

/* ---- stat.c: what is told about a file ---- */
linux_function sys_stat, sys_lstat, sys_fstat, sys_newfstatat, sys_statx, sys_statfs, sys_fstatfs;

/* ---- attributes.c: modes, owners and times ---- */
linux_function sys_access, sys_faccessat, sys_faccessat2, sys_chmod, sys_fchmod, sys_fchmodat, sys_chown, sys_lchown,
    sys_fchown, sys_fchownat, sys_utimensat, sys_utime, sys_utimes, sys_futimesat, sys_umask;

/* ---- pipe.c, counters.c ---- */
int64_t wait_for_change(void); /* -EINTR for a signal */
struct file *pipe_again(const struct file *file, uint32_t flags);
int64_t pipe_size(struct file *file, uint64_t size); /* 0: asks */
uint64_t pipe_bytes(const struct file *file);
linux_function sys_pipe, sys_pipe2, sys_eventfd, sys_eventfd2, sys_timerfd_create, sys_timerfd_settime,
    sys_timerfd_gettime, sys_signalfd, sys_signalfd4;

/* ---- poll.c, epoll.c ---- */
unsigned ready_of(struct file *file);
bool wait_more(uint64_t deadline_ns); /* false: the deadline, or a signal */
uint64_t after_ms(int64_t ms);
linux_function sys_poll, sys_ppoll, sys_select, sys_pselect, sys_epoll_create, sys_epoll_create1, sys_epoll_ctl,
    sys_epoll_wait, sys_epoll_pwait, sys_epoll_pwait2;

#endif
