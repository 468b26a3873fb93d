/* From a path to what it names: the image's read-only tree, with /tmp, /dev and /proc in it. */
#include "fs.h"

#define NAME_MAX 255
#define LINKS_MAX 40 /* as on Linux */

bool is_folder(const struct place *place) {
    if (place->file)
        return place->file->kind->mode == S_IFDIR;
    uint32_t mode = place->node      ? place->node->mode
                    : place->special ? place->special->mode
                    : place->entry   ? place->entry->mode
                                     : 0;
    return (mode & S_IFMT) == S_IFDIR || place->length == 0;
}

bool is_there(const struct place *place) {
    return place->file || place->node || place->special || place->entry || !place->length;
}

/* A link that stands for itself, not for what it leads to. */
bool is_link(const struct place *place) {
    if (place->node)
        return (place->node->mode & S_IFMT) == S_IFLNK;
    return place->special && (place->special->mode & S_IFMT) == S_IFLNK;
}

void link_target(const struct place *place, char *to) {
    if (place->node) {
        memcpy(to, place->node->data, place->node->size);
        to[place->node->size] = '\0';
        return;
    }
    const struct file *file = descriptor_file(place->path);
    if (file)
        descriptor_target(file, to);
    else
        format_buffer(to, PATH_MAX, "%s", special_target(place->special));
}

/* Fills in what is at the place's path, in which no links are left. */
static void locate(struct place *place) {
    const char *rest;
    place->path[place->length] = '\0';
    place->entry = NULL;
    place->special = NULL;
    place->file = NULL;
    place->folder = NULL;
    place->name = place->path + place->length;
    while (place->name > place->path && place->name[-1] != '/')
        place->name--;
    place->node = root_of(place->path, &rest);
    if (!place->node) {
        place->special = special_find(place->path);
        if (!place->special || (place->special->mode & S_IFMT) == S_IFDIR)
            place->entry = archive_find(place->length ? place->path + 1 : "");
        return;
    }
    while (*rest && place->node) {
        const char *part = ++rest;
        while (*rest && *rest != '/')
            rest++;
        place->folder = place->node;
        struct name *name = name_find(place->node, part, (size_t)(rest - part));
        place->node = name ? name->node : NULL;
    }
}

static void leave(struct place *place) {
    while (place->length && place->path[--place->length] != '/')
        ;
    locate(place);
}

static int64_t start(uint64_t base, bool here, struct place *place) {
    struct node *node = working_node();
    const char *path = node ? NULL : working_folder();
    if ((int)base != AT_FDCWD) {
        const struct file *folder = file_of((uint32_t)base);
        if (!folder)
            return -EBADF;
        if (folder->kind->mode != S_IFDIR)
            return -ENOTDIR;
        path = folder->folder;
        node = folder->node;
    }
    if (node && !node_path(node, place->path)) { /* it was removed: only itself is left of it */
        place->path[0] = '\0';
        place->name = place->path;
        place->entry = NULL;
        place->special = NULL;
        place->file = NULL;
        place->folder = NULL;
        place->slash = place->dot = false;
        place->node = node;
        return here ? 0 : -ENOENT;
    }
    if (!node)
        format_buffer(place->path, PATH_MAX, "%s", path);
    place->length = strlen(place->path) == 1 ? 0 : strlen(place->path);
    locate(place);
    return 0;
}

/* Puts what the link leads to in front of what is left of the path. */
static int64_t splice_link(struct place *place, char **rest, char *buffer) {
    static char target[PATH_MAX], tail[PATH_MAX];
    size_t left = strlen(*rest);
    memcpy(tail, *rest, left + 1);
    link_target(place, target);
    if (strlen(target) + left + 2 > PATH_MAX)
        return -ENAMETOOLONG;
    if (!*target)
        return -ENOENT;
    format_buffer(buffer, PATH_MAX, "%s%s%s", target, left ? "/" : "", tail);
    *rest = buffer;
    leave(place);
    if (*target == '/') {
        place->length = 0;
        locate(place);
    }
    return 0;
}

/* A link of /proc/self/fd leads to the open file itself, which may have no name left. */
static bool behind_descriptor(struct place *place, bool last) {
    struct file *file = descriptor_file(place->path);
    if (!file)
        return false;
    if (file->node && file->kind->mode == S_IFDIR && node_path(file->node, place->path)) {
        place->length = strlen(place->path);
        locate(place);
        return true;
    }
    if (!last)
        return false;
    place->file = file;
    return true;
}

static bool only_slashes(const char *text) {
    while (*text == '/')
        text++;
    return !*text;
}

static int64_t walk(struct place *place, char *buffer, bool follow) {
    unsigned links = 0;
    char *rest = buffer;
    place->slash = place->dot = false;
    for (;;) {
        while (*rest == '/')
            rest++;
        if (!*rest)
            return 0;
        if (!is_there(place))
            return -ENOENT;
        if (!is_folder(place))
            return -ENOTDIR;
        char *part = rest;
        while (*rest && *rest != '/')
            rest++;
        size_t length = (size_t)(rest - part);
        place->slash = *rest == '/';
        bool last = only_slashes(rest);
        place->dot = (length == 1 && *part == '.') || (length == 2 && part[0] == '.' && part[1] == '.');
        if (place->dot) {
            if (length == 2)
                leave(place);
            continue;
        }
        if (length > NAME_MAX || place->length + length + 2 > PATH_MAX)
            return -ENAMETOOLONG;
        place->path[place->length++] = '/';
        memcpy(place->path + place->length, part, length);
        place->length += length;
        locate(place);
        if (!is_link(place) || (last && !follow && !place->slash))
            continue;
        if (++links > LINKS_MAX)
            return -ELOOP;
        if (behind_descriptor(place, last))
            continue;
        int64_t error = splice_link(place, &rest, buffer);
        if (error)
            return error;
    }
}

/* What the path names, if anything; errors of the path itself. */
int64_t find_place(uint64_t base, uint64_t address, int how, struct place *place) {
    static char buffer[PATH_MAX];
    const char *path = path_argument(address);
    if (!path)
        return can_read(address, 1) && can_read(address, PATH_MAX) ? -ENAMETOOLONG : -EFAULT;
    if (!*path && !(how & MAY_BE_EMPTY))
        return -ENOENT;
    memcpy(buffer, path, strlen(path) + 1);
    bool here = !strcmp(path, ".");
    int64_t error = 0;
    place->length = 0;
    if (*path == '/')
        locate(place);
    else
        error = start(base, here, place);
    if (!error && !(here && place->node && !place->length))
        error = walk(place, buffer, how & FOLLOW);
    if (!error && place->slash && is_there(place) && !is_folder(place))
        error = -ENOTDIR;
    return error;
}

/* What a path names, or with AT_EMPTY_PATH and no path a descriptor: `place` says what it is, and not where. */
int64_t find_file(uint64_t base, uint64_t path, uint64_t flags, struct place *place) {
    if (flags & AT_EMPTY_PATH && can_read(path, 1) && !*(const char *)path && (int)base != AT_FDCWD) {
        place->file = file_of((uint32_t)base);
        if (!place->file)
            return -EBADF;
    } else {
        int how = (flags & AT_SYMLINK_NOFOLLOW ? 0 : FOLLOW) | (flags & AT_EMPTY_PATH ? MAY_BE_EMPTY : 0);
        int64_t error = find_place(base, path, how, place);
        if (error)
            return error;
        if (!is_there(place))
            return -ENOENT;
    }
    if (place->file) {
        place->node = place->file->node;
        place->entry = place->file->entry;
        place->special = place->file->special;
    }
    return 0;
}

/* Whether a name may be made there: in a folder of /tmp that is there. */
int64_t may_make(const struct place *place) {
    return place->folder ? 0 : -EROFS;
}

int64_t sys_chdir(const uint64_t *a, struct frame *frame) {
    (void)frame;
    static struct place place;
    int64_t error = find_place((uint64_t)AT_FDCWD, a[0], FOLLOW, &place);
    if (error)
        return error;
    if (!is_folder(&place))
        return is_there(&place) ? -ENOTDIR : -ENOENT;
    return work_in(place.node, place.length ? place.path : "/");
}

int64_t sys_fchdir(const uint64_t *a, struct frame *frame) {
    (void)frame;
    const struct file *file = file_of(a[0]);
    if (!file)
        return -EBADF;
    if (file->kind->mode != S_IFDIR)
        return -ENOTDIR;
    return work_in(file->node, file->folder);
}
