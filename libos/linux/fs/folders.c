/* Opening what a path names, and reading what is in a folder. */
#include "fs.h"

static int64_t nothing_read(struct file *file, void *to, uint64_t size, int64_t at) {
    (void)file, (void)to, (void)size, (void)at;
    return -EISDIR;
}

static void folder_close(struct file *file) {
    heap_free(file->folder);
}

static const struct file_kind kind_folder = {.read = nothing_read, .close = folder_close, .mode = S_IFDIR};

static struct file *open_folder(const struct place *place) {
    struct file *file = file_new(&kind_folder, 0);
    if (file) {
        size_t size = strlen(place->path) + 1;
        file->entry = place->entry;
        file->node = place->node;
        file->folder = heap_alloc(size);
        if (!file->folder) {
            heap_free(file);
            return NULL;
        }
        memcpy(file->folder, place->path, size);
    }
    return file;
}

static int64_t open_at(uint64_t base, uint64_t address, uint64_t flags, uint64_t mode) {
    struct place place;
    int64_t error = find_place(base, address, &place);
    bool writes = (flags & O_ACCMODE) != 0;
    if (error)
        return error;
    const struct file_kind *kind = device(place.path);
    if (kind)
        return file_install(file_new(kind, (uint32_t)flags), 0, false);
    if (is_folder(&place))
        return writes || (flags & O_CREAT) ? -EISDIR : file_install(open_folder(&place), 0, false);
    if (flags & O_DIRECTORY)
        return place.entry || place.node ? -ENOTDIR : -ENOENT;
    if (place.entry) {
        if (writes || (flags & O_TRUNC))
            return -EROFS;
        if ((flags & O_CREAT) && (flags & O_EXCL))
            return -EEXIST;
        struct file *file = file_new(&kind_rom, (uint32_t)flags);
        if (file)
            file->entry = place.entry;
        return file_install(file, 0, false);
    }
    if (!place.node) {
        if (!(flags & O_CREAT))
            return -ENOENT;
        error = may_make(&place);
        place.node = error ? NULL : tmp_make(place.path, S_IFREG | (mode & 0777));
        if (!place.node)
            return error ? error : -ENOSPC;
    } else if ((flags & O_CREAT) && (flags & O_EXCL)) {
        return -EEXIST;
    }
    if ((flags & O_TRUNC) && writes)
        tmp_resize(place.node, 0);
    struct file *file = file_new(&kind_tmp, (uint32_t)flags);
    if (file) {
        file->node = place.node;
        place.node->users++;
    }
    return file_install(file, 0, false);
}

int64_t sys_open(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return open_at((uint64_t)AT_FDCWD, a[0], a[1], a[2]);
}

int64_t sys_openat(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return open_at(a[0], a[1], a[2], a[3]);
}

struct directory_entry {
    uint64_t inode;
    int64_t next;
    uint16_t size;
    uint8_t kind;
    char name[];
};

static bool put(uint64_t *at, uint64_t end, uint64_t inode, uint64_t next, uint32_t mode, const char *name) {
    size_t length = strlen(name), size = ALIGN_UP(sizeof(struct directory_entry) + length + 1, 8);
    if (size > end - *at)
        return false;
    struct directory_entry *to = (struct directory_entry *)*at;
    *to = (struct directory_entry){inode, (int64_t)next, (uint16_t)size, (uint8_t)(mode >> 12), {}};
    memcpy(to->name, name, length + 1);
    *at += size;
    return true;
}

static const char *last_part(const char *path) {
    const char *name = path;
    for (; *path; path++)
        if (*path == '/')
            name = path + 1;
    return name;
}

/* Positions: 0 ".", 1 "..", then the read-only entries, then those of /tmp from TMP_POSITION on. */
#define TMP_POSITION (1ull << 32)

int64_t sys_getdents64(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct file *file = file_of(a[0]);
    if (!file)
        return -EBADF;
    if (file->kind != &kind_folder)
        return -ENOTDIR;
    if (!can_write(a[1], a[2]))
        return -EFAULT;
    uint64_t at = a[1], end = a[1] + a[2], position = (uint64_t)file->position;
    for (;;) {
        uint64_t next = position;
        bool done = false;
        if (position < 2) {
            done = !put(&at, end, 1, ++next, S_IFDIR, position ? ".." : ".");
        } else if (position < TMP_POSITION) {
            next -= 2;
            const struct entry *entry = file->entry ? archive_child(file->entry, &next) : NULL;
            next = entry ? next + 2 : TMP_POSITION;
            if (entry)
                done = !put(&at, end, archive_inode(entry), next, entry->mode, last_part(archive_path(entry)));
        } else {
            next -= TMP_POSITION;
            struct node *node = in_tmp(file->folder) ? tmp_child(file->folder, &next) : NULL;
            next += TMP_POSITION;
            if (!node || !put(&at, end, node->inode, next, node->mode, last_part(node->path)))
                done = true;
        }
        if (done)
            break;
        position = next;
    }
    file->position = (int64_t)position;
    return at == a[1] && position < TMP_POSITION ? -EINVAL : (int64_t)(at - a[1]);
}
