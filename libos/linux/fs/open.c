/* Opening what a path names. */
#include "fs.h"

static int64_t nothing_read(struct file *file, void *to, uint64_t size, int64_t at) {
    (void)file, (void)to, (void)size, (void)at;
    return -EISDIR;
}

static void name_close(struct file *file) {
    heap_free(file->folder);
    if (file->node) {
        file->node->users--;
        node_release(file->node);
    }
}

const struct file_kind kind_folder = {.read = nothing_read, .close = name_close, .mode = S_IFDIR};
const struct file_kind kind_path = {.close = name_close}; /* O_PATH of anything but a folder */

/* An open file that knows which place it is of. */
static struct file *hold(const struct file_kind *kind, const struct place *place, uint32_t flags) {
    struct file *file = file_new(kind, flags);
    if (!file)
        return NULL;
    file->entry = place->entry;
    file->node = place->node;
    file->special = place->special;
    if (file->node)
        file->node->users++;
    if (kind == &kind_tmp || kind == &kind_rom)
        return file;
    size_t size = place->length + 2;
    file->folder = place->node ? NULL : heap_alloc(size);
    if (!place->node && !file->folder) {
        heap_free(file);
        return NULL;
    }
    if (file->folder)
        format_buffer(file->folder, size, "%s", place->length ? place->path : "/");
    return file;
}

/* What a link of /proc/self/fd leads to, opened once more. */
static struct file *open_again(const struct file *other, uint32_t flags) {
    if (other->pipe)
        return pipe_again(other, flags);
    struct file *file = file_new(other->kind, flags);
    if (!file)
        return NULL;
    file->entry = other->entry;
    file->node = other->node;
    file->special = other->special;
    if (file->node)
        file->node->users++;
    return file;
}

static int64_t open_descriptor(const struct file *other, uint64_t flags) {
    if (other->kind->name && !other->pipe)
        return -ENXIO;
    if ((flags & O_CREAT) && (flags & O_EXCL))
        return -EEXIST;
    if (flags & O_DIRECTORY)
        return -ENOTDIR;
    if (other->entry && flags & O_ACCMODE)
        return -EROFS;
    if (other->special && other->special->print)
        return file_install(special_open(other->special, (uint32_t)flags), 0, flags & O_CLOEXEC);
    if (flags & O_TRUNC && other->node)
        tmp_resize(other->node, 0);
    return file_install(open_again(other, (uint32_t)flags | O_LARGEFILE), 0, flags & O_CLOEXEC);
}

/* A node of nobody's, whose name may come later (linkat) or never. */
static int64_t open_nameless(const struct place *place, uint64_t flags, uint64_t mode) {
    if (!(flags & O_ACCMODE))
        return -EINVAL;
    if (!is_there(place))
        return -ENOENT;
    if (!is_folder(place))
        return -ENOTDIR;
    if (!place->node)
        return -EROFS;
    struct place made = {.node = node_make(S_IFREG | (mode & 07777 & ~file_mask), place->node->device)};
    if (!made.node)
        return -ENOSPC;
    made.node->users = 1;
    struct file *file = hold(&kind_tmp, &made, (uint32_t)(flags & ~(uint64_t)O_DIRECTORY) | O_LARGEFILE);
    made.node->users--;
    node_release(made.node);
    return file_install(file, 0, flags & O_CLOEXEC);
}

/* Makes the file that is not there. */
static int64_t create(struct place *place, uint64_t mode) {
    int64_t error = may_make(place);
    if (error || place->slash)
        return error ? error : -EISDIR;
    place->node = node_make(S_IFREG | (mode & 07777 & ~file_mask), place->folder->device);
    if (place->node && name_add(place->folder, place->name, place->node))
        return 0;
    if (place->node)
        node_release(place->node);
    return -ENOSPC;
}

static int64_t open_place(struct place *place, uint64_t flags, uint64_t mode) {
    bool writes = (flags & O_ACCMODE) != 0;
    if (!is_there(place)) {
        int64_t error = flags & O_CREAT ? create(place, mode) : -ENOENT;
        if (error)
            return error;
    } else if ((flags & O_CREAT) && (flags & O_EXCL)) {
        return -EEXIST;
    } else if (is_link(place)) {
        return flags & O_DIRECTORY ? -ENOTDIR : -ELOOP; /* O_NOFOLLOW */
    }
    uint32_t kept = (uint32_t)flags | O_LARGEFILE;
    if (is_folder(place)) {
        if (writes || (flags & O_CREAT))
            return -EISDIR;
        return file_install(hold(&kind_folder, place, kept), 0, flags & O_CLOEXEC);
    }
    if (flags & O_DIRECTORY)
        return -ENOTDIR;
    if (place->special)
        return file_install(special_open(place->special, kept), 0, flags & O_CLOEXEC);
    if (place->entry) {
        if (writes || (flags & O_TRUNC))
            return -EROFS;
        return file_install(hold(&kind_rom, place, kept), 0, flags & O_CLOEXEC);
    }
    if ((place->node->mode & S_IFMT) != S_IFREG)
        return -ENXIO;
    if ((flags & O_TRUNC) && place->node->size)
        tmp_resize(place->node, 0);
    else if (flags & O_TRUNC)
        node_changed(place->node, true);
    return file_install(hold(&kind_tmp, place, kept), 0, flags & O_CLOEXEC);
}

static int64_t open_at(uint64_t base, uint64_t address, uint64_t flags, uint64_t mode) {
    static struct place place;
    bool exclusive = (flags & O_CREAT) && (flags & O_EXCL), only_path = flags & O_PATH;
    if ((flags & O_CREAT) && (flags & O_DIRECTORY) && !only_path)
        return -EINVAL;
    if ((flags & O_TMPFILE) == O_TMPFILE - O_DIRECTORY && !only_path)
        return -EINVAL;
    int64_t error = find_place(base, address, flags & O_NOFOLLOW || exclusive ? 0 : FOLLOW, &place);
    if (error)
        return error;
    if (only_path) {
        if (!is_there(&place))
            return -ENOENT;
        if (flags & O_DIRECTORY && !is_folder(&place))
            return -ENOTDIR;
        flags &= O_PATH | O_CLOEXEC | O_DIRECTORY | O_NOFOLLOW;
        if (place.file)
            return file_install(place.file, 0, flags & O_CLOEXEC);
        const struct file_kind *kind = is_folder(&place) ? &kind_folder : &kind_path;
        return file_install(hold(kind, &place, (uint32_t)flags), 0, flags & O_CLOEXEC);
    }
    if (place.file && !is_folder(&place))
        return open_descriptor(place.file, flags);
    if ((flags & O_TMPFILE) == O_TMPFILE)
        return open_nameless(&place, flags, mode);
    return open_place(&place, flags, mode);
}

int64_t sys_open(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return open_at((uint64_t)AT_FDCWD, a[0], (uint32_t)a[1], a[2]);
}

int64_t sys_creat(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return open_at((uint64_t)AT_FDCWD, a[0], O_CREAT | O_WRONLY | O_TRUNC, a[1]);
}

int64_t sys_openat(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return open_at(a[0], a[1], (uint32_t)a[2], a[3]);
}
