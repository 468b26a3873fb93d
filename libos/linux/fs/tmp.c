/* What is in a file of /tmp: bytes in one piece, on the heap until a program maps them to write there. */
#include "fs.h"

#define FALLOC_KEEP_SIZE 1
#define FALLOC_PUNCH_HOLE 2
#define MEMFD_FLAGS 0x1F /* of memfd_create(2), up to MFD_EXEC */
#define GROWTH_MAX (4 << 20)

/* Room for so many bytes, and what is there stays; false without memory for it. */
static bool make_room(struct node *node, uint64_t size) {
    if (size <= node->capacity)
        return true;
    if (size > NK_INFO->memory_bytes)
        return false;
    if (node->mapped) { /* others have its address: it can only grow where it is */
        uint64_t more = ALIGN_UP(size, NK_PAGE_SIZE) - node->capacity;
        if (!memory_keep_more((uint64_t)(uintptr_t)node->data, node->capacity, more))
            return false;
        node->capacity += more;
        return true;
    }
    uint64_t capacity = MAX(size, MIN(node->capacity * 2, node->capacity + GROWTH_MAX));
    char *data = heap_resize(node->data, capacity);
    if (!data)
        return false;
    node->data = data;
    node->capacity = capacity;
    return true;
}

/* Makes the file this long; false without memory for it. */
bool tmp_resize(struct node *node, uint64_t size) {
    if (!make_room(node, size))
        return false;
    if (size > node->size)
        memset(node->data + node->size, 0, size - node->size);
    node->size = size;
    node->reserved = 0;
    node_changed(node, true);
    return true;
}

/* The file's bytes as memory that it shares with who maps it; NULL without memory for it. */
char *tmp_map(struct node *node, uint64_t size, uint64_t offset) {
    uint64_t need = MAX(ALIGN_UP(offset + size, NK_PAGE_SIZE), ALIGN_UP(node->size, NK_PAGE_SIZE));
    if (!node->mapped) {
        char *pages = need > NK_INFO->memory_bytes ? NULL : pages_take(need);
        if (!pages)
            return NULL;
        if (!memory_keep((uint64_t)(uintptr_t)pages, need)) {
            pages_give(pages, need);
            return NULL;
        }
        if (node->size)
            memcpy(pages, node->data, node->size);
        heap_free(node->data);
        node->data = pages;
        node->capacity = need;
        node->mapped = true;
    } else if (!make_room(node, need)) {
        return NULL;
    }
    return node->data + offset;
}

static int64_t tmp_read(struct file *file, void *to, uint64_t size, int64_t at) {
    struct node *node = file->node;
    if (at < 0 || (uint64_t)at >= node->size)
        return 0;
    size = MIN(size, node->size - (uint64_t)at);
    memcpy(to, node->data + at, size);
    if (!(file->flags & O_NOATIME) && node->accessed_ns <= MAX(node->modified_ns, node->changed_ns))
        node->accessed_ns = NK_INFO->wall_ns; /* relatime */
    return (int64_t)size;
}

static int64_t tmp_write(struct file *file, const void *from, uint64_t size, int64_t at) {
    struct node *node = file->node;
    uint64_t end;
    if (__builtin_add_overflow((uint64_t)at, size, &end) || end > INT64_MAX)
        return -EFBIG;
    if (!size)
        return 0;
    if (end > node->size && !tmp_resize(node, end))
        return -ENOSPC;
    memcpy(node->data + at, from, size);
    node_changed(node, true);
    return (int64_t)size;
}

static void tmp_close(struct file *file) {
    file->node->users--;
    node_release(file->node);
}

const struct file_kind kind_tmp = {.read = tmp_read, .write = tmp_write, .close = tmp_close, .mode = S_IFREG};

static int64_t resize(struct node *node, uint64_t size) {
    if ((int64_t)size < 0)
        return -EINVAL;
    return tmp_resize(node, size) ? 0 : size > NK_INFO->memory_bytes ? -EFBIG : -ENOSPC;
}

int64_t sys_truncate(const uint64_t *a, struct frame *frame) {
    (void)frame;
    static struct place place;
    int64_t error = find_place((uint64_t)AT_FDCWD, a[0], FOLLOW, &place);
    if (error || (int64_t)a[1] < 0)
        return error ? error : -EINVAL;
    if (!is_there(&place))
        return -ENOENT;
    if (is_folder(&place))
        return -EISDIR;
    if (!place.node)
        return place.entry ? -EROFS : -EINVAL;
    return (place.node->mode & S_IFMT) == S_IFREG ? resize(place.node, a[1]) : -EINVAL;
}

int64_t sys_ftruncate(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct file *file = file_of(a[0]);
    if (!file || file->flags & O_PATH)
        return -EBADF;
    if (file->kind != &kind_tmp || (file->flags & O_ACCMODE) == 0)
        return -EINVAL;
    return resize(file->node, a[1]);
}

int64_t sys_fallocate(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct file *file = file_of(a[0]);
    uint64_t mode = a[1], offset = a[2], size = a[3], end;
    if (!file || (file->flags & O_ACCMODE) == 0 || file->flags & O_PATH)
        return -EBADF;
    if ((int64_t)offset < 0 || (int64_t)size <= 0)
        return -EINVAL;
    if (mode & ~(uint64_t)(FALLOC_KEEP_SIZE | FALLOC_PUNCH_HOLE) || mode == FALLOC_PUNCH_HOLE)
        return -EOPNOTSUPP;
    if (file->kind != &kind_tmp)
        return file->kind->mode == S_IFIFO ? -ESPIPE : -ENODEV;
    if (__builtin_add_overflow(offset, size, &end) || end > INT64_MAX)
        return -EFBIG;
    struct node *node = file->node;
    if (mode & FALLOC_PUNCH_HOLE) {
        if (offset < node->size)
            memset(node->data + offset, 0, MIN(end, node->size) - offset);
        node_changed(node, true);
        return 0;
    }
    if (!make_room(node, end))
        return -ENOSPC;
    if (!(mode & FALLOC_KEEP_SIZE) && end > node->size)
        tmp_resize(node, end);
    node->reserved = MAX(node->reserved, end);
    return 0;
}

/* A file without a name in any folder. */
int64_t sys_memfd_create(const uint64_t *a, struct frame *frame) {
    (void)frame;
    const char *name = path_argument(a[0]);
    if (!name)
        return -EFAULT;
    if (a[1] & ~(uint64_t)MEMFD_FLAGS || strlen(name) > 249)
        return -EINVAL;
    struct node *node = node_make(S_IFREG | 0777, 1);
    if (!node)
        return -ENOMEM;
    node->users = 1;
    struct file *file = file_new(&kind_tmp, O_RDWR | O_LARGEFILE);
    if (!file) {
        node->users = 0;
        node_release(node);
        return -ENOMEM;
    }
    file->node = node;
    return file_install(file, 0, a[1] & 1);
}
