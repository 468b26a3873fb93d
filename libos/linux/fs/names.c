/* What is made, linked and removed by name. */
#include "fs.h"

static int64_t make(uint64_t base, uint64_t path, uint32_t mode, bool folder) {
    static struct place place;
    int64_t error = find_place(base, path, 0, &place);
    if (error)
        return error;
    if (is_there(&place))
        return -EEXIST;
    error = may_make(&place);
    if (error || (place.slash && !folder))
        return error ? error : -ENOENT;
    struct node *node = node_make(mode, place.folder->device);
    if (node && name_add(place.folder, place.name, node))
        return 0;
    if (node)
        node_release(node);
    return -ENOSPC;
}

int64_t sys_mkdirat(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return make(a[0], a[1], S_IFDIR | ((uint32_t)a[2] & 01777 & ~file_mask), true);
}

int64_t sys_mkdir(const uint64_t *a, struct frame *frame) {
    return sys_mkdirat((const uint64_t[]){(uint64_t)AT_FDCWD, a[0], a[1]}, frame);
}

/* Plain files only: a named pipe wants another process, a device another machine. */
int64_t sys_mknodat(const uint64_t *a, struct frame *frame) {
    (void)frame;
    uint32_t mode = (uint32_t)a[2], kind = mode & S_IFMT;
    if (kind && kind != S_IFREG)
        return kind == S_IFDIR ? -EPERM : kind == S_IFLNK ? -EINVAL : -EPERM;
    return make(a[0], a[1], S_IFREG | (mode & 07777 & ~file_mask), false);
}

int64_t sys_mknod(const uint64_t *a, struct frame *frame) {
    return sys_mknodat((const uint64_t[]){(uint64_t)AT_FDCWD, a[0], a[1]}, frame);
}

int64_t sys_symlinkat(const uint64_t *a, struct frame *frame) {
    (void)frame;
    static struct place place;
    const char *target = path_argument(a[0]);
    if (!target)
        return -EFAULT;
    if (!*target)
        return -ENOENT;
    int64_t error = find_place(a[1], a[2], 0, &place);
    if (error)
        return error;
    if (is_there(&place))
        return -EEXIST;
    error = may_make(&place);
    if (error || place.slash)
        return error ? error : -ENOENT;
    struct node *node = node_make(S_IFLNK | 0777, place.folder->device);
    if (!node)
        return -ENOSPC;
    node->size = strlen(target);
    node->data = heap_alloc(node->size + 1);
    if (node->data) {
        memcpy(node->data, target, node->size + 1);
        if (name_add(place.folder, place.name, node))
            return 0;
    }
    node_release(node);
    return -ENOSPC;
}

int64_t sys_symlink(const uint64_t *a, struct frame *frame) {
    return sys_symlinkat((const uint64_t[]){a[0], (uint64_t)AT_FDCWD, a[1]}, frame);
}

/* The node that a path or, with an empty one, a descriptor means. */
static int64_t source(const uint64_t *a, struct node **node) {
    static struct place place;
    const struct file *file = NULL;
    if (a[4] & AT_EMPTY_PATH && can_read(a[1], 1) && !*(const char *)a[1]) {
        file = file_of(a[0]);
        if (!file)
            return -EBADF;
    } else {
        int64_t error = find_place(a[0], a[1], a[4] & AT_SYMLINK_FOLLOW ? FOLLOW : 0, &place);
        if (error)
            return error;
        if (!is_there(&place))
            return -ENOENT;
        file = place.file;
        if (!file && (is_folder(&place) || place.special))
            return place.special ? -EXDEV : -EPERM;
        *node = place.node;
    }
    if (file)
        *node = file->node;
    if (file && file->kind->mode == S_IFDIR)
        return -EPERM;
    return *node ? 0 : -EXDEV;
}

int64_t sys_linkat(const uint64_t *a, struct frame *frame) {
    (void)frame;
    static struct place place;
    struct node *node;
    if (a[4] & ~(uint64_t)(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    int64_t error = source(a, &node);
    if (error && error != -EPERM && error != -EXDEV)
        return error;
    int64_t first = error;
    error = find_place(a[2], a[3], 0, &place);
    if (error)
        return error;
    if (is_there(&place))
        return -EEXIST;
    error = may_make(&place);
    if (error || first)
        return error ? error : first;
    if (place.slash)
        return -ENOENT;
    if (place.folder->device != node->device)
        return -EXDEV;
    return name_add(place.folder, place.name, node) ? 0 : -ENOSPC;
}

int64_t sys_link(const uint64_t *a, struct frame *frame) {
    return sys_linkat((const uint64_t[]){(uint64_t)AT_FDCWD, a[0], (uint64_t)AT_FDCWD, a[1], 0}, frame);
}

static int64_t remove_at(uint64_t base, uint64_t path, bool folder) {
    static struct place place;
    int64_t error = find_place(base, path, 0, &place);
    if (error)
        return error;
    if (place.dot)
        return folder ? -EINVAL : -EISDIR;
    if (!is_there(&place))
        return -ENOENT;
    if (!place.folder)
        return place.node || !place.length ? -EBUSY : -EROFS;
    if (folder != is_folder(&place))
        return folder ? -ENOTDIR : -EISDIR;
    if (folder && place.node->names)
        return -ENOTEMPTY;
    name_remove(place.folder, place.name);
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
    if (a[2] & ~(uint64_t)AT_REMOVEDIR)
        return -EINVAL;
    return remove_at(a[0], a[1], a[2]);
}

int64_t sys_readlinkat(const uint64_t *a, struct frame *frame) {
    (void)frame;
    static struct place place;
    static char target[PATH_MAX];
    int64_t size = (int)a[3];
    if (size <= 0)
        return -EINVAL;
    const struct file *file = can_read(a[1], 1) && !*(const char *)a[1] ? file_of(a[0]) : NULL;
    if (file && file->kind == &kind_path) { /* O_PATH | O_NOFOLLOW, and an empty path */
        place.node = file->node;
        place.special = file->special;
        place.length = 1;
    } else {
        int64_t error = find_place(a[0], a[1], 0, &place);
        if (error)
            return error;
        if (!is_there(&place))
            return -ENOENT;
    }
    if (!is_link(&place))
        return -EINVAL;
    link_target(&place, target);
    size = MIN(size, (int64_t)strlen(target));
    if (!can_write(a[2], (uint64_t)size))
        return -EFAULT;
    memcpy((void *)a[2], target, (size_t)size);
    return size;
}

int64_t sys_readlink(const uint64_t *a, struct frame *frame) {
    return sys_readlinkat((const uint64_t[]){(uint64_t)AT_FDCWD, a[0], a[1], a[2]}, frame);
}
