/* /tmp: files and folders in the machine's memory, counted against it, as lasting as the machine. */
#include "fs.h"

#define NODES_MAX 4096

static struct node *nodes;
static unsigned node_count;
static uint64_t last_inode = 1 << 20;

struct node *tmp_find(const char *path) {
    for (struct node *node = nodes; node; node = node->next)
        if (!node->unlinked && !strcmp(node->path, path))
            return node;
    return NULL;
}

static char *copy_of(const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = heap_alloc(size);
    return copy ? memcpy(copy, text, size) : NULL;
}

struct node *tmp_make(const char *path, uint32_t mode) {
    struct node *node = node_count < NODES_MAX ? heap_zeroed(1, sizeof *node) : NULL;
    if (!node)
        return NULL;
    node->path = copy_of(path);
    if (!node->path) {
        heap_free(node);
        return NULL;
    }
    node->mode = mode;
    node->inode = ++last_inode;
    node->time_ns = NK_INFO->wall_ns;
    node->next = nodes;
    nodes = node;
    node_count++;
    return node;
}

static void free_if_unused(struct node *node) {
    if (!node->unlinked || node->users)
        return;
    for (struct node **link = &nodes; *link; link = &(*link)->next)
        if (*link == node) {
            *link = node->next;
            break;
        }
    heap_free(node->data);
    heap_free(node->path);
    heap_free(node);
    node_count--;
}

/* Its name goes; its bytes stay while it is open. */
void tmp_unlink(struct node *node) {
    node->unlinked = true;
    free_if_unused(node);
}

/* Whether `path` lies in `folder`; *rest is what follows the slash. */
static bool below(const char *path, const char *folder, const char **rest) {
    size_t length = strlen(folder);
    if (strncmp(path, folder, length) || path[length] != '/')
        return false;
    *rest = path + length + 1;
    return true;
}

/* The next node in a folder: *position counts all nodes, from the oldest. */
struct node *tmp_child(const char *folder, uint64_t *position) {
    for (;; ++*position) {
        struct node *node = nodes;
        for (uint64_t skip = *position; node && skip; skip--)
            node = node->next;
        const char *name;
        if (!node)
            return NULL;
        if (!node->unlinked && below(node->path, folder, &name) && !strchr(name, '/')) {
            ++*position;
            return node;
        }
    }
}

/* Gives the node, and all in it, another path. */
bool tmp_rename(struct node *node, const char *path) {
    const char *old = node->path, *rest;
    char *copy = copy_of(path);
    if (!copy)
        return false;
    for (struct node *other = nodes; other; other = other->next) {
        if (other == node || !below(other->path, old, &rest))
            continue;
        char *moved = heap_alloc(strlen(path) + strlen(rest) + 2);
        if (!moved)
            return false;
        format_buffer(moved, strlen(path) + strlen(rest) + 2, "%s/%s", path, rest);
        heap_free(other->path);
        other->path = moved;
    }
    heap_free(node->path);
    node->path = copy;
    return true;
}

/* Makes the file this long; false without memory for it. */
bool tmp_resize(struct node *node, uint64_t size) {
    if (size > node->capacity) {
        uint64_t capacity = MAX(size, MIN(node->capacity * 2, node->capacity + (4 << 20)));
        if (size > NK_INFO->memory_bytes)
            return false;
        char *data = heap_resize(node->data, capacity);
        if (!data)
            return false;
        node->data = data;
        node->capacity = capacity;
    }
    if (size > node->size)
        memset(node->data + node->size, 0, size - node->size);
    node->size = size;
    node->time_ns = NK_INFO->wall_ns;
    return true;
}

static int64_t tmp_read(struct file *file, void *to, uint64_t size, int64_t at) {
    struct node *node = file->node;
    if (at < 0 || (uint64_t)at >= node->size)
        return 0;
    size = MIN(size, node->size - (uint64_t)at);
    memcpy(to, node->data + at, size);
    return (int64_t)size;
}

static int64_t tmp_write(struct file *file, const void *from, uint64_t size, int64_t at) {
    struct node *node = file->node;
    if (file->flags & O_APPEND)
        file->position = at = (int64_t)node->size;
    uint64_t end;
    if (__builtin_add_overflow((uint64_t)at, size, &end))
        return -EFBIG;
    if (end > node->size && !tmp_resize(node, end))
        return -ENOSPC;
    if (size)
        memcpy(node->data + at, from, size);
    return (int64_t)size;
}

static void tmp_close(struct file *file) {
    file->node->users--;
    free_if_unused(file->node);
}

const struct file_kind kind_tmp = {.read = tmp_read, .write = tmp_write, .close = tmp_close, .mode = S_IFREG};
