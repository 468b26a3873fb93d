/* Modes, owners and times of files, and who may do what with them: the program is everybody, and root. */
#include "fs.h"

#define UTIME_NOW 0x3FFFFFFF
#define UTIME_OMIT 0x3FFFFFFE
#define NS 1000000000

/* What an attribute is changed of: a node; or why it cannot be. */
static int64_t changeable(uint64_t base, uint64_t path, uint64_t flags, struct node **node) {
    static struct place place;
    int64_t error = find_file(base, path, flags, &place);
    if (error)
        return error;
    *node = place.node;
    return *node ? 0 : -EROFS;
}

static int64_t of_descriptor(uint64_t descriptor, bool paths_too, struct node **node) {
    const struct file *file = file_of((uint32_t)descriptor);
    if (!file || (file->flags & O_PATH && !paths_too))
        return -EBADF;
    *node = file->node;
    return 0;
}

static int64_t access_at(uint64_t base, uint64_t path, uint64_t wanted, uint64_t flags) {
    enum { EXECUTE = 1, WRITE = 2, ALL = 7 };
    static struct place place;
    if (wanted & ~(uint64_t)ALL || flags & ~(uint64_t)(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    int64_t error = find_file(base, path, flags, &place);
    if (error)
        return error;
    const struct node *node = place.node;
    const struct entry *entry = place.entry;
    const struct special *special = place.special;
    bool folder = place.file ? place.file->kind->mode == S_IFDIR : is_folder(&place);
    uint32_t mode = node ? node->mode : entry ? entry->mode : special ? special->mode : 0777;
    if (wanted & WRITE && entry)
        return -EROFS;
    return wanted & EXECUTE && !folder && !(mode & 0111) ? -EACCES : 0;
}

int64_t sys_access(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return access_at((uint64_t)AT_FDCWD, a[0], (uint32_t)a[1], 0);
}

int64_t sys_faccessat(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return access_at(a[0], a[1], (uint32_t)a[2], 0);
}

int64_t sys_faccessat2(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return access_at(a[0], a[1], (uint32_t)a[2], a[3]);
}

static int64_t set_mode(int64_t error, struct node *node, uint64_t mode) {
    if (error)
        return error;
    if (!node)
        return 0; /* a pipe, or the like */
    if ((node->mode & S_IFMT) == S_IFLNK)
        return -EOPNOTSUPP;
    node->mode = (node->mode & S_IFMT) | (mode & 07777);
    node_changed(node, false);
    return 0;
}

int64_t sys_chmod(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct node *node = NULL;
    return set_mode(changeable((uint64_t)AT_FDCWD, a[0], 0, &node), node, a[1]);
}

int64_t sys_fchmod(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct node *node = NULL;
    return set_mode(of_descriptor(a[0], false, &node), node, a[1]);
}

int64_t sys_fchmodat(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct node *node = NULL;
    return set_mode(changeable(a[0], a[1], 0, &node), node, a[2]);
}

static int64_t set_owner(int64_t error, struct node *node, uint64_t user, uint64_t group) {
    if (error || !node)
        return error;
    if ((int)user != -1)
        node->user = (uint32_t)user;
    if ((int)group != -1)
        node->group = (uint32_t)group;
    if ((node->mode & S_IFMT) == S_IFREG) /* nobody gives away what runs as them */
        node->mode &= node->mode & 010 ? ~06000u : ~04000u;
    node_changed(node, false);
    return 0;
}

int64_t sys_chown(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct node *node = NULL;
    return set_owner(changeable((uint64_t)AT_FDCWD, a[0], 0, &node), node, a[1], a[2]);
}

int64_t sys_lchown(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct node *node = NULL;
    return set_owner(changeable((uint64_t)AT_FDCWD, a[0], AT_SYMLINK_NOFOLLOW, &node), node, a[1], a[2]);
}

int64_t sys_fchown(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct node *node = NULL;
    return set_owner(of_descriptor(a[0], false, &node), node, a[1], a[2]);
}

int64_t sys_fchownat(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct node *node = NULL;
    if (a[4] & ~(uint64_t)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    return set_owner(changeable(a[0], a[1], a[4], &node), node, a[2], a[3]);
}

/* Two times, of access and of modification; NULL: now. */
static int64_t set_times(struct node *node, const struct timespec *times) {
    uint64_t *to[2] = {&node->accessed_ns, &node->modified_ns};
    for (int i = 0; times && i < 2; i++)
        if ((times[i].nanoseconds < 0 || times[i].nanoseconds >= NS) && times[i].nanoseconds != UTIME_NOW &&
            times[i].nanoseconds != UTIME_OMIT)
            return -EINVAL;
    if (times && times[0].nanoseconds == UTIME_OMIT && times[1].nanoseconds == UTIME_OMIT)
        return 0;
    for (int i = 0; i < 2; i++) {
        if (!times || times[i].nanoseconds == UTIME_NOW)
            *to[i] = NK_INFO->wall_ns;
        else if (times[i].nanoseconds != UTIME_OMIT)
            *to[i] = (uint64_t)MAX(MIN(times[i].seconds, INT64_MAX / NS - 1), 0) * NS + (uint64_t)times[i].nanoseconds;
    }
    node_changed(node, false);
    return 0;
}

int64_t sys_utimensat(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct timespec times[2];
    struct node *node = NULL;
    if (a[2] && !can_read(a[2], sizeof times))
        return -EFAULT;
    if (a[2])
        memcpy(times, (const void *)a[2], sizeof times);
    if (a[3] & ~(uint64_t)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    if (a[2] && times[0].nanoseconds == UTIME_OMIT && times[1].nanoseconds == UTIME_OMIT)
        return 0;
    int64_t error = a[1] ? changeable(a[0], a[1], a[3], &node) : of_descriptor(a[0], false, &node);
    return error || !node ? error : set_times(node, a[2] ? times : NULL);
}

static int64_t set_old_times(uint64_t base, uint64_t path, uint64_t address, uint64_t unit) {
    struct timespec times[2] = {};
    struct node *node = NULL;
    uint64_t words = unit ? 4 : 2; /* seconds with microseconds, or alone */
    if (address && !can_read(address, words * 8))
        return -EFAULT;
    for (uint64_t i = 0; address && i < 2; i++) {
        const int64_t *from = (const int64_t *)address + i * words / 2;
        if (unit && (from[1] < 0 || from[1] >= 1000000))
            return -EINVAL;
        times[i] = (struct timespec){from[0], unit ? from[1] * (int64_t)unit : 0};
    }
    int64_t error = path ? changeable(base, path, 0, &node) : of_descriptor(base, false, &node);
    return error || !node ? error : set_times(node, address ? times : NULL);
}

int64_t sys_utime(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return set_old_times((uint64_t)AT_FDCWD, a[0], a[1], 0);
}

int64_t sys_utimes(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return set_old_times((uint64_t)AT_FDCWD, a[0], a[1], 1000);
}

int64_t sys_futimesat(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return set_old_times(a[0], a[1], a[2], 1000);
}

int64_t sys_umask(const uint64_t *a, struct frame *frame) {
    (void)frame;
    uint32_t old = file_mask;
    file_mask = (uint32_t)a[0] & 0777;
    return old;
}
