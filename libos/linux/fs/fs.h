/*
 * What linux/fs/ offers: files, of which the image's are read-only, those of /tmp are memory, and the rest is the request,
 * the log, or other threads. One section per file, in reading order.
 */
#ifndef LINUX_FS_H
#define LINUX_FS_H

#include "../task/task.h"

#define MAX(a, b) ((a) > (b) ? (a) : (b))

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
struct file *file_of(uint64_t descriptor);
struct file *file_new(const struct file_kind *kind, uint32_t flags);
int64_t file_install(struct file *file, unsigned lowest, bool close_on_exec);
void files_begin(void);
linux_function sys_read, sys_write, sys_pread, sys_pwrite, sys_readv, sys_writev, sys_preadv, sys_pwritev, sys_close,
    sys_lseek, sys_dup, sys_dup2, sys_dup3, sys_fcntl, sys_ioctl, sys_sendfile, sys_close_range;

/* ---- stdio.c: standard input, output and error; /dev ---- */
extern const struct file_kind kind_input, kind_output, kind_error, kind_null, kind_zero, kind_random, kind_boot;

/* ---- rom.c: the read-only files of the image ---- */
extern const struct file_kind kind_rom;
int64_t file_map(struct file *file, uint64_t size, uint64_t offset); /* its place in memory, or 0 */

/* ---- tmp.c: /tmp, in memory ---- */
struct node {
    struct node *next;
    char *path, *data;
    uint64_t inode, size, capacity, time_ns;
    uint32_t mode, users;
    bool unlinked;
};
extern const struct file_kind kind_tmp;
struct node *tmp_find(const char *path);
struct node *tmp_make(const char *path, uint32_t mode);
struct node *tmp_child(const char *folder, uint64_t *position);
void tmp_unlink(struct node *node);
bool tmp_rename(struct node *node, const char *path);
bool tmp_resize(struct node *node, uint64_t size);

/* ---- map.c: a file's bytes as memory, and memory without a file ---- */
linux_function sys_mmap;

/* ---- stat.c: what is told about a file ---- */
struct stat_record {
    uint64_t device, inode, links;
    uint32_t mode, user, group, zero;
    uint64_t special;
    int64_t size, block_size, blocks;
    uint64_t times[6];
    int64_t unused[3];
};
void stat_kind(const struct file_kind *kind, struct stat_record *stat);
void stat_found(const struct entry *entry, const struct node *node, struct stat_record *stat);
void stat_file(const struct file *file, struct stat_record *stat);

/* ---- paths.c: from a path to what it names ---- */
#define PATH_NAME_MAX 512
struct place {
    char path[PATH_NAME_MAX]; /* absolute, without "." and ".." */
    const struct entry *entry;
    struct node *node;
};
int64_t find_place(uint64_t base, uint64_t address, struct place *place);
bool in_tmp(const char *path);
bool is_folder(const struct place *place);
bool is_there(const struct place *place);
const struct file_kind *device(const char *path);
int64_t may_make(const struct place *place);
linux_function sys_getcwd, sys_chdir;

/* ---- folders.c: opening, and what is in a folder ---- */
linux_function sys_open, sys_openat, sys_getdents64;

/* ---- names.c: what is asked and done by name ---- */
linux_function sys_stat, sys_fstat, sys_newfstatat, sys_access, sys_faccessat, sys_rename, sys_renameat, sys_renameat2,
    sys_mkdir, sys_mkdirat, sys_rmdir, sys_unlink, sys_unlinkat, sys_readlink, sys_readlinkat, sys_umask, sys_truncate,
    sys_ftruncate;

/* ---- pipe.c, poll.c ---- */
linux_function sys_pipe, sys_pipe2, sys_eventfd, sys_poll, sys_ppoll, sys_select, sys_pselect, sys_epoll_create,
    sys_epoll_create1, sys_epoll_ctl, sys_epoll_wait;
#define FILE_CHANGES 0 /* the address that those wait on who wait for files */
static inline void files_changed(void) {
    thread_wake(FILE_CHANGES, ~0u, ~0u);
}

#endif
