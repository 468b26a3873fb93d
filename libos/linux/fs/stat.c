/* What is told about a file, whichever way it was found, and about where it lies. */
#include "fs.h"

#define BLOCK 4096
#define NS 1000000000ull
#define STATX_BASIC 0x7FF
#define STATX_BORN 0x800

/* What every form of stat() is made of. */
struct about {
    uint64_t inode, device, size, reserved, special;
    uint32_t mode, links, user, group;
    uint64_t accessed_ns, modified_ns, changed_ns, born_ns;
};

struct stat_record {
    uint64_t device, inode, links;
    uint32_t mode, user, group, zero;
    uint64_t special;
    int64_t size, block_size, blocks;
    uint64_t times[6];
    int64_t unused[3];
};

struct statx_time {
    int64_t seconds;
    uint32_t nanoseconds, unused;
};

struct statx_record {
    uint32_t mask, block_size;
    uint64_t attributes;
    uint32_t links, user, group;
    uint16_t mode, unused;
    uint64_t inode, size, blocks, attributes_mask;
    struct statx_time accessed, born, changed, modified;
    uint32_t special_major, special_minor, device_major, device_minor;
    uint64_t spare[14];
};
_Static_assert(sizeof(struct statx_record) == 256, "statx");

static void of_node(const struct node *node, struct about *about) {
    uint64_t size = node->size;
    if ((node->mode & S_IFMT) == S_IFDIR) /* as tmpfs has it: 20 bytes a name, and those of "." and ".." */
        size = 40;
    for (const struct name *name = node->names; name; name = name->next)
        size += 20;
    *about = (struct about){
        .inode = node->inode,
        .device = node->device,
        .size = size,
        .reserved = (node->mode & S_IFMT) == S_IFREG ? MAX(node->size, node->reserved) : 0,
        .mode = node->mode,
        .links = node_links(node),
        .user = node->user,
        .group = node->group,
        .accessed_ns = node->accessed_ns,
        .modified_ns = node->modified_ns,
        .changed_ns = node->changed_ns,
        .born_ns = node->born_ns,
    };
}

static void of_entry(const struct entry *entry, struct about *about) {
    *about = (struct about){.inode = archive_inode(entry), .device = 1, .size = entry->size, .reserved = entry->size};
    about->mode = entry->mode;
    about->links = 1;
}

static void of_special(const struct special *special, struct about *about) {
    uint64_t device = special->device;
    *about = (struct about){.inode = special_inode(special), .device = 5, .mode = special->mode, .links = 1};
    about->special = (device & 0xFF) | (device >> 8) << 8;
    if ((special->mode & S_IFMT) == S_IFDIR)
        about->links = 2;
}

static void of_file(const struct file *file, struct about *about) {
    if (file->node)
        of_node(file->node, about);
    else if (file->special)
        of_special(file->special, about);
    else if (file->entry)
        of_entry(file->entry, about);
    else if (file->kind->mode == S_IFDIR)
        *about = (struct about){.inode = 1, .device = 1, .mode = S_IFDIR | 0755, .links = 2};
    else /* standard input and output, pipes and counters */
        *about = (struct about){.inode = 2, .device = 6, .mode = file->kind->mode | 0600, .links = 1};
}

static int64_t of_descriptor(uint64_t descriptor, struct about *about) {
    const struct file *file = file_of(descriptor);
    if (!file)
        return -EBADF;
    of_file(file, about);
    return 0;
}

/* Of a path, or with AT_EMPTY_PATH of a descriptor; NULL is as good as an empty path then. */
static int64_t look(uint64_t base, uint64_t path, uint64_t flags, struct about *about) {
    static struct place place;
    static const char empty[] = "";
    bool no_path = !path && flags & AT_EMPTY_PATH && (int)base != AT_FDCWD;
    int64_t error = find_file(base, no_path ? (uint64_t)(uintptr_t)empty : path, flags, &place);
    if (error)
        return error;
    if (place.file)
        of_file(place.file, about);
    else if (place.node)
        of_node(place.node, about);
    else if (place.special)
        of_special(place.special, about);
    else if (place.entry)
        of_entry(place.entry, about);
    else
        *about = (struct about){.inode = 1, .device = 1, .mode = S_IFDIR | 0755, .links = 2};
    return 0;
}

static int64_t tell(int64_t error, const struct about *about, uint64_t address) {
    if (error)
        return error;
    if (!can_write(address, sizeof(struct stat_record)))
        return -EFAULT;
    *(struct stat_record *)address = (struct stat_record){
        .device = about->device,
        .inode = about->inode,
        .links = about->links,
        .mode = about->mode,
        .user = about->user,
        .group = about->group,
        .special = about->special,
        .size = (int64_t)about->size,
        .block_size = BLOCK,
        .blocks = (int64_t)(ALIGN_UP(about->reserved, BLOCK) / 512),
        .times = {about->accessed_ns / NS, about->accessed_ns % NS, about->modified_ns / NS, about->modified_ns % NS,
                  about->changed_ns / NS, about->changed_ns % NS},
    };
    return 0;
}

int64_t sys_stat(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct about about;
    return tell(look((uint64_t)AT_FDCWD, a[0], 0, &about), &about, a[1]);
}

int64_t sys_lstat(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct about about;
    return tell(look((uint64_t)AT_FDCWD, a[0], AT_SYMLINK_NOFOLLOW, &about), &about, a[1]);
}

int64_t sys_fstat(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct about about;
    return tell(of_descriptor(a[0], &about), &about, a[1]);
}

int64_t sys_newfstatat(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct about about;
    if (a[3] & ~(uint64_t)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | 0x800 /* AT_NO_AUTOMOUNT */))
        return -EINVAL;
    return tell(look(a[0], a[1], a[3], &about), &about, a[2]);
}

static struct statx_time time_of(uint64_t ns) {
    return (struct statx_time){(int64_t)(ns / NS), (uint32_t)(ns % NS), 0};
}

int64_t sys_statx(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct about about;
    if (a[2] & ~(uint64_t)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | 0x800 | 0x6000 /* how to synchronise */) ||
        a[3] & 0x80000000 || (a[2] & 0x6000) == 0x6000)
        return -EINVAL;
    int64_t error = look(a[0], a[1], a[2], &about);
    if (error)
        return error;
    if (!can_write(a[4], sizeof(struct statx_record)))
        return -EFAULT;
    *(struct statx_record *)a[4] = (struct statx_record){
        .mask = STATX_BASIC | (about.born_ns ? STATX_BORN : 0),
        .block_size = BLOCK,
        .links = about.links,
        .user = about.user,
        .group = about.group,
        .mode = (uint16_t)about.mode,
        .inode = about.inode,
        .size = about.size,
        .blocks = ALIGN_UP(about.reserved, BLOCK) / 512,
        .accessed = time_of(about.accessed_ns),
        .born = time_of(about.born_ns),
        .changed = time_of(about.changed_ns),
        .modified = time_of(about.modified_ns),
        .special_major = (uint32_t)(about.special >> 8),
        .special_minor = (uint32_t)(about.special & 0xFF),
        .device_minor = (uint32_t)about.device,
    };
    return 0;
}

struct statfs_record {
    uint64_t kind, block_size, blocks, free, available, files, files_free;
    int32_t id[2];
    uint64_t name_max, fragment, flags, spare[4];
};

/* /tmp has the machine's memory, the image has no room. */
static int64_t space(uint64_t device, uint64_t address) {
    enum { TMPFS = 0x01021994, PROC = 0x9FA0, OTHER = 0x858458F6 /* RAMFS_MAGIC */ };
    if (!can_write(address, sizeof(struct statfs_record)))
        return -EFAULT;
    bool memory = device == 2 || device == 3;
    uint64_t left = pages_free_bytes() / BLOCK;
    *(struct statfs_record *)address = (struct statfs_record){
        .kind = memory ? TMPFS : device == 5 ? PROC : OTHER,
        .block_size = BLOCK,
        .blocks = memory ? NK_INFO->memory_bytes / BLOCK : 0,
        .free = memory ? left : 0,
        .available = memory ? left : 0,
        .files = memory ? NODES_MAX : 0,
        .files_free = memory ? nodes_left() : 0,
        .id = {(int32_t)device, 0},
        .name_max = 255,
        .fragment = BLOCK,
        .flags = 0x20 | (memory ? 0 : 1), /* ST_VALID, ST_RDONLY */
    };
    return 0;
}

int64_t sys_statfs(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct about about;
    int64_t error = look((uint64_t)AT_FDCWD, a[0], 0, &about);
    return error ? error : space(about.device, a[1]);
}

int64_t sys_fstatfs(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct about about;
    int64_t error = of_descriptor(a[0], &about);
    return error ? error : space(about.device, a[1]);
}
