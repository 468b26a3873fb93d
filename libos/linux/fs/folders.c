/* What is in a folder: the image's entries, names in memory, and those of /dev and /proc. */
#include "fs.h"

struct directory_entry {
    uint64_t inode;
    int64_t next;
    uint16_t size;
    uint8_t kind;
    char name[];
};

static bool put(uint64_t *at, uint64_t end, uint64_t inode, uint64_t next, uint32_t mode, const char *name) {
    size_t length = strlen(name), size = ALIGN_UP(offsetof(struct directory_entry, name) + length + 1, 8);
    if (size > end - *at)
        return false;
    struct directory_entry *to = (struct directory_entry *)*at;
    to->inode = inode;
    to->next = (int64_t)next;
    to->size = (uint16_t)size;
    to->kind = (uint8_t)((mode & S_IFMT) >> 12);
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

/* Something in a folder, and where its reader goes on behind it. */
struct found {
    const char *name;
    uint64_t inode, next;
    uint32_t mode;
};

/* Places: 0 ".", 1 "..", then what the folder has; of a read-only one the entries, the fixed names, open files. */
#define SPECIAL_PLACE (1ull << 32)
#define DESCRIPTOR_PLACE (1ull << 33)

static bool in_folder(const char *path, const char *folder) {
    size_t length = strlen(folder) == 1 ? 0 : strlen(folder);
    return !strncmp(path, folder, length) && path[length] == '/' && !strchr(path + length + 1, '/');
}

static bool next_special(const char *folder, uint64_t place, struct found *found) {
    for (; specials[place].path; place++) {
        const struct special *special = specials + place;
        if (!in_folder(special->path, folder) || archive_find(special->path + 1))
            continue;
        *found = (struct found){last_part(special->path), special_inode(special), SPECIAL_PLACE + place + 1, special->mode};
        return true;
    }
    return false;
}

static bool next_descriptor(const char *folder, uint64_t place, struct found *found) {
    static char name[8];
    if (strcmp(folder, "/proc/2/fd"))
        return false;
    while (place < FILES_MAX && !file_of(place))
        place++;
    if (place == FILES_MAX)
        return false;
    format_buffer(name, sizeof name, "%u", (unsigned)place);
    *found = (struct found){name, 1000 + place, DESCRIPTOR_PLACE + place + 1, S_IFLNK};
    return true;
}

static bool next_fixed(const struct file *file, uint64_t place, struct found *found) {
    if (place < SPECIAL_PLACE) {
        uint64_t number = place - 2;
        const struct entry *entry = file->entry ? archive_child(file->entry, &number) : NULL;
        if (entry) {
            *found = (struct found){last_part(archive_path(entry)), archive_inode(entry), number + 2, entry->mode};
            return true;
        }
        place = SPECIAL_PLACE;
    }
    if (place < DESCRIPTOR_PLACE) {
        if (next_special(file->folder, place - SPECIAL_PLACE, found))
            return true;
        place = DESCRIPTOR_PLACE;
    }
    return next_descriptor(file->folder, place - DESCRIPTOR_PLACE, found);
}

static bool next_in(const struct file *file, uint64_t place, struct found *found) {
    if (place < 2) {
        *found = (struct found){place ? ".." : ".", file->node ? file->node->inode : 1, place + 1, S_IFDIR};
        return true;
    }
    if (!file->node)
        return next_fixed(file, place, found);
    const struct name *name = name_after(file->node, place - 2);
    if (name)
        *found = (struct found){name->text, name->node->inode, name->cookie + 2, name->node->mode};
    return name;
}

int64_t sys_getdents64(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct file *file = file_of(a[0]);
    if (!file || file->flags & O_PATH)
        return -EBADF;
    if (file->kind != &kind_folder)
        return -ENOTDIR;
    uint64_t room = (uint32_t)a[2], at = a[1], end = at + room;
    if (!can_write(at, room))
        return -EFAULT;
    if (file->node && !file->node->links)
        return -ENOENT; /* removed */
    struct found found;
    bool more = false;
    while ((more = next_in(file, (uint64_t)file->position, &found)) &&
           put(&at, end, found.inode, found.next, found.mode, found.name))
        file->position = (int64_t)found.next;
    return more && at == a[1] ? -EINVAL : (int64_t)(at - a[1]);
}
