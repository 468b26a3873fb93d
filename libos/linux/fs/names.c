/* What can be asked and done by a file's name, or its descriptor, without opening it. */
#include "fs.h"

static int64_t stat_place(uint64_t base, uint64_t path, uint64_t to) {
    struct place place;
    int64_t error = find_place(base, path, &place);
    if (error)
        return error;
    if (!is_there(&place))
        return -ENOENT;
    if (!can_write(to, sizeof(struct stat_record)))
        return -EFAULT;
    const struct file_kind *kind = device(place.path);
    if (kind)
        stat_kind(kind, (struct stat_record *)to);
    else
        stat_found(place.entry, place.node, (struct stat_record *)to);
    return 0;
}

int64_t sys_stat(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return stat_place((uint64_t)AT_FDCWD, a[0], a[1]);
}

int64_t sys_fstat(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct file *file = file_of(a[0]);
    if (!file)
        return -EBADF;
    if (!can_write(a[1], sizeof(struct stat_record)))
        return -EFAULT;
    stat_file(file, (struct stat_record *)a[1]);
    return 0;
}

int64_t sys_newfstatat(const uint64_t *a, struct frame *frame) {
    if (a[3] & AT_EMPTY_PATH && can_read(a[1], 1) && !*(const char *)a[1])
        return sys_fstat((const uint64_t[]){a[0], a[2]}, frame);
    return stat_place(a[0], a[1], a[2]);
}

static int64_t access_at(uint64_t base, uint64_t path, uint64_t wanted) {
    enum { WRITE = 2 };
    struct place place;
    int64_t error = find_place(base, path, &place);
    if (error)
        return error;
    if (!is_there(&place))
        return -ENOENT;
    return (wanted & WRITE) && place.entry ? -EROFS : 0;
}

int64_t sys_access(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return access_at((uint64_t)AT_FDCWD, a[0], a[1]);
}

int64_t sys_faccessat(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return access_at(a[0], a[1], a[2]);
}

static int64_t make_folder(uint64_t base, uint64_t path, uint64_t mode) {
    struct place place;
    int64_t error = find_place(base, path, &place);
    if (error)
        return error;
    if (is_there(&place))
        return -EEXIST;
    error = may_make(&place);
    if (error)
        return error;
    return tmp_make(place.path, S_IFDIR | (mode & 0777)) ? 0 : -ENOSPC;
}

int64_t sys_mkdir(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return make_folder((uint64_t)AT_FDCWD, a[0], a[1]);
}

int64_t sys_mkdirat(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return make_folder(a[0], a[1], a[2]);
}

static int64_t remove_at(uint64_t base, uint64_t path, bool folder) {
    struct place place;
    uint64_t position = 0;
    int64_t error = find_place(base, path, &place);
    if (error)
        return error;
    if (!place.node)
        return place.entry || is_folder(&place) ? -EROFS : -ENOENT;
    if (folder != is_folder(&place))
        return folder ? -ENOTDIR : -EISDIR;
    if (folder && tmp_child(place.path, &position))
        return -ENOTEMPTY;
    tmp_unlink(place.node);
    return 0;
}

int64_t sys_unlink(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return remove_at((uint64_t)AT_FDCWD, a[0], false);
}

int64_t sys_rmdir(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return remove_at((uint64_t)AT_FDCWD, a[0], true);
}

int64_t sys_unlinkat(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return remove_at(a[0], a[1], a[2] & AT_REMOVEDIR);
}

static int64_t rename_at(uint64_t old_base, uint64_t old, uint64_t new_base, uint64_t new) {
    struct place from, to;
    int64_t error = find_place(old_base, old, &from);
    if (!error)
        error = find_place(new_base, new, &to);
    if (error)
        return error;
    if (!from.node)
        return from.entry ? -EROFS : -ENOENT;
    error = may_make(&to);
    if (error)
        return error;
    if (from.node == to.node)
        return 0;
    size_t length = strlen(from.path);
    if (!strncmp(to.path, from.path, length) && to.path[length] == '/')
        return -EINVAL; /* into itself */
    if (to.node) {
        if (is_folder(&to))
            return is_folder(&from) ? -ENOTEMPTY : -EISDIR;
        tmp_unlink(to.node);
    }
    return tmp_rename(from.node, to.path) ? 0 : -ENOSPC;
}

int64_t sys_rename(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return rename_at((uint64_t)AT_FDCWD, a[0], (uint64_t)AT_FDCWD, a[1]);
}

int64_t sys_renameat(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return rename_at(a[0], a[1], a[2], a[3]);
}

int64_t sys_renameat2(const uint64_t *a, struct frame *frame) {
    return a[4] ? -EINVAL : sys_renameat(a, frame);
}

/* Links were resolved when the archive was packed: nothing here is one. */
static int64_t read_link(uint64_t base, uint64_t path) {
    struct place place;
    int64_t error = find_place(base, path, &place);
    if (error)
        return error;
    return is_there(&place) ? -EINVAL : -ENOENT;
}

int64_t sys_readlink(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return read_link((uint64_t)AT_FDCWD, a[0]);
}

int64_t sys_readlinkat(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return read_link(a[0], a[1]);
}

int64_t sys_umask(const uint64_t *a, struct frame *frame) {
    (void)a, (void)frame;
    return 022;
}

int64_t sys_truncate(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct place place;
    int64_t error = find_place((uint64_t)AT_FDCWD, a[0], &place);
    if (error || (int64_t)a[1] < 0)
        return error ? error : -EINVAL;
    if (!place.node)
        return place.entry ? -EROFS : -ENOENT;
    return is_folder(&place) ? -EISDIR : tmp_resize(place.node, a[1]) ? 0 : -ENOSPC;
}

int64_t sys_ftruncate(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct file *file = file_of(a[0]);
    if (!file)
        return -EBADF;
    if (file->kind != &kind_tmp || (file->flags & O_ACCMODE) == 0 || (int64_t)a[1] < 0)
        return -EINVAL;
    return tmp_resize(file->node, a[1]) ? 0 : -ENOSPC;
}
