/* From a path to what it names: the image's read-only tree, with /tmp and a few devices in it. */
#include "fs.h"

#define NAME_MAX 255

static char working[PATH_NAME_MAX] = "/";

bool in_tmp(const char *path) {
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
            if (folder->kind->mode != S_IFDIR)
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
        place->entry = archive_find(place->path + 1);
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
