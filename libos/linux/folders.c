/* Names to files: the image's read-only tree, with /tmp and a few devices in it. */
#include "linux.h"

#define NAME_MAX 255

static char working[PATH_NAME_MAX] = "/";

static bool in_tmp(const char *path) {
    return !strncmp(path, "/tmp", 4) && (!path[4] || path[4] == '/');
}

/* Makes the path absolute, without ".", ".." and double slashes. */
static int64_t normalise(const char *from, uint64_t base, char *to) {
    size_t length = 0;
    if (*from != '/') {
        const char *start = working;
        if ((int)base != AT_FDCWD) {
            struct file *folder = file_of(base);
            if (!folder)
                return -EBADF;
            if (folder->kind != &kind_folder)
                return -ENOTDIR;
            start = folder->folder;
        }
        length = strlen(start) == 1 ? 0 : strlen(start);
        memcpy(to, start, length);
    }
    while (*from) {
        const char *end = from;
        while (*end && *end != '/')
            end++;
        size_t part = (size_t)(end - from);
        if (part == 2 && from[0] == '.' && from[1] == '.') {
            while (length && to[--length] != '/')
                ;
        } else if (part && !(part == 1 && *from == '.')) {
            if (part > NAME_MAX || length + part + 2 > PATH_NAME_MAX)
                return -ENAMETOOLONG;
            to[length++] = '/';
            memcpy(to + length, from, part);
            length += part;
        }
        from = *end ? end + 1 : end;
    }
    if (!length)
        to[length++] = '/';
    to[length] = '\0';
    return 0;
}

/* What the path names, if anything; errors of the path itself. */
int64_t find_place(uint64_t base, uint64_t address, struct place *place) {
    const char *path = path_argument(address);
    if (!path)
        return -EFAULT;
    if (!*path)
        return -ENOENT;
    int64_t error = normalise(path, base, place->path);
    place->entry = NULL;
    place->node = NULL;
    if (error)
        return error;
    if (in_tmp(place->path) && place->path[4])
        place->node = tmp_find(place->path);
    else
        place->entry = rom_find(place->path + 1);
    return 0;
}

bool is_folder(const struct place *place) {
    if (place->node)
        return (place->node->mode & S_IFMT) == S_IFDIR;
    if (place->entry)
        return (place->entry->mode & S_IFMT) == S_IFDIR;
    return !strcmp(place->path, "/tmp") || !strcmp(place->path, "/") || !strcmp(place->path, "/dev");
}

bool is_there(const struct place *place) {
    return place->entry || place->node || is_folder(place) || device(place->path);
}

/* Whether something may be made at that path: it is in /tmp, in a folder that is there. */
int64_t may_make(const struct place *place) {
    if (!in_tmp(place->path) || !place->path[4])
        return -EROFS;
    struct place parent;
    memcpy(&parent, place, sizeof parent);
    char *slash = parent.path + strlen(parent.path);
    while (*slash != '/')
        slash--;
    *slash = '\0';
    parent.entry = NULL;
    parent.node = tmp_find(parent.path);
    return is_folder(&parent) ? 0 : parent.node ? -ENOTDIR : -ENOENT;
}

static int64_t nothing_read(struct file *file, void *to, uint64_t size, int64_t at) {
    (void)file, (void)to, (void)size, (void)at;
    return -EISDIR;
}

static void folder_close(struct file *file) {
    heap_free(file->folder);
}

const struct file_kind kind_folder = {.read = nothing_read, .close = folder_close, .mode = S_IFDIR};

/* What has a name and is in no tree. */
const struct file_kind *device(const char *path) {
    static const struct {
        const char *path;
        const struct file_kind *kind;
    } devices[] = {
        {"/dev/null", &kind_null},      {"/dev/zero", &kind_zero},     {"/dev/urandom", &kind_random},
        {"/dev/random", &kind_random},  {"/dev/stdin", &kind_input},   {"/dev/stdout", &kind_output},
        {"/dev/stderr", &kind_error},   {"/proc/sys/kernel/random/boot_id", &kind_boot},
    };
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
        if (!strcmp(path, devices[i].path))
            return devices[i].kind;
    return NULL;
}

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

int64_t sys_getcwd(const uint64_t *a, struct frame *frame) {
    (void)frame;
    size_t size = strlen(working) + 1;
    if (a[1] < size)
        return -ERANGE;
    if (!can_write(a[0], size))
        return -EFAULT;
    memcpy((void *)a[0], working, size);
    return (int64_t)size;
}

int64_t sys_chdir(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct place place;
    int64_t error = find_place((uint64_t)AT_FDCWD, a[0], &place);
    if (error)
        return error;
    if (!is_folder(&place))
        return place.entry || place.node ? -ENOTDIR : -ENOENT;
    memcpy(working, place.path, strlen(place.path) + 1);
    return 0;
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
            const struct entry *entry = file->entry ? rom_child(file->entry, &next) : NULL;
            next = entry ? next + 2 : TMP_POSITION;
            if (entry)
                done = !put(&at, end, rom_inode(entry), next, entry->mode, last_part(rom_path(entry)));
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
