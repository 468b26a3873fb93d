/*
 * Files, folders and links in memory: /tmp and /dev/shm are trees of them, counted against the machine and as lasting as it.
 * A node lives while it has a name or is open. A folder's names keep their cookies, so who reads it goes on in the right
 * place whatever was removed meanwhile.
 */
#include "fs.h"

uint32_t file_mask = 022;

static struct node roots[2] = {
    {.inode = 1, .mode = S_IFDIR | 01777, .device = 2, .links = 1},
    {.inode = 1, .mode = S_IFDIR | 01777, .device = 3, .links = 1},
};
static const char *const root_paths[2] = {"/tmp", "/dev/shm"};
static uint64_t last_inode = 1 << 20;
static unsigned count;

struct node *root_of(const char *path, const char **rest) {
    for (int i = 0; i < 2; i++) {
        size_t length = strlen(root_paths[i]);
        if (strncmp(path, root_paths[i], length) || (path[length] && path[length] != '/'))
            continue;
        *rest = path + length;
        return roots + i;
    }
    return NULL;
}

unsigned nodes_left(void) {
    return NODES_MAX - count;
}

struct node *node_make(uint32_t mode, uint32_t device) {
    struct node *node = count < NODES_MAX ? heap_zeroed(1, sizeof *node) : NULL;
    if (!node)
        return NULL;
    count++;
    node->mode = mode;
    node->device = device;
    node->user = file_user();
    node->group = file_group();
    node->inode = ++last_inode;
    node->accessed_ns = node->modified_ns = node->changed_ns = node->born_ns = NK_INFO->wall_ns;
    return node;
}

/* For who let go of a name or of an open file. */
void node_release(struct node *node) {
    if (node->links || node->users || node == roots || node == roots + 1)
        return;
    if (node->mapped)
        memory_unkeep((uint64_t)(uintptr_t)node->data, node->capacity);
    else
        heap_free(node->data);
    heap_free(node);
    count--;
}

/* What is written into a node, or about it, shows in its times. */
void node_changed(struct node *node, bool bytes) {
    node->changed_ns = NK_INFO->wall_ns;
    if (bytes)
        node->modified_ns = node->changed_ns;
}

struct name *name_find(const struct node *folder, const char *text, size_t length) {
    for (struct name *name = folder->names; name; name = name->next)
        if (!strncmp(name->text, text, length) && !name->text[length])
            return name;
    return NULL;
}

struct name *name_after(const struct node *folder, uint64_t cookie) {
    struct name *name = folder->names;
    while (name && name->cookie <= cookie)
        name = name->next;
    return name;
}

static bool is_directory(const struct node *node) {
    return (node->mode & S_IFMT) == S_IFDIR;
}

bool name_add(struct node *folder, const char *text, struct node *node) {
    size_t size = strlen(text) + 1;
    struct name *name = heap_alloc(sizeof *name + size);
    if (!name)
        return false;
    *name = (struct name){.node = node, .cookie = ++folder->cookie};
    memcpy(name->text, text, size);
    *(folder->names ? folder->last : &folder->names) = name;
    folder->last = &name->next;
    node->links++;
    if (is_directory(node))
        node->parent = folder;
    node_changed(folder, true);
    node_changed(node, false);
    return true;
}

void name_remove(struct node *folder, const char *text) {
    struct name **link = &folder->names, *name;
    while (strcmp((*link)->text, text))
        link = &(*link)->next;
    name = *link;
    *link = name->next;
    if (!name->next)
        folder->last = link;
    struct node *node = name->node;
    heap_free(name);
    node->links--;
    if (is_directory(node))
        node->parent = NULL;
    node_changed(folder, true);
    node_changed(node, false);
    node_release(node);
}

/* As stat() counts them: of a folder, its name, its "." and the ".." of those in it. */
uint32_t node_links(const struct node *node) {
    if (!is_directory(node))
        return node->links;
    uint32_t links = node->links ? 2 : 0;
    for (const struct name *name = node->names; name; name = name->next)
        links += is_directory(name->node);
    return links;
}

bool node_within(const struct node *node, const struct node *folder) {
    while (node && node != folder)
        node = node->parent;
    return node;
}

/* From its end to its beginning; false when it was removed, or lies too deep. */
bool node_path(const struct node *folder, char *to) {
    char *at = to + PATH_MAX;
    *--at = '\0';
    for (; folder != roots && folder != roots + 1; folder = folder->parent) {
        if (!folder->parent)
            return false;
        const struct name *name = folder->parent->names;
        while (name->node != folder)
            name = name->next;
        size_t length = strlen(name->text);
        if (length + 1 + sizeof "/dev/shm" > (size_t)(at - to))
            return false;
        at -= length;
        memcpy(at, name->text, length);
        *--at = '/';
    }
    const char *root = root_paths[folder - roots];
    at -= strlen(root);
    memcpy(at, root, strlen(root));
    memmove(to, at, (size_t)(to + PATH_MAX - at));
    return true;
}

#define DEPTH_MAX 64 /* folders in folders: the search is recursive */

static struct name *name_in(const struct node *folder, const struct node *node, const struct node **holder, int depth) {
    for (struct name *name = folder->names; name; name = name->next) {
        if (name->node == node) {
            *holder = folder;
            return name;
        }
        struct name *deeper = depth && is_directory(name->node) ? name_in(name->node, node, holder, depth - 1) : NULL;
        if (deeper)
            return deeper;
    }
    return NULL;
}

/* Of anything but a folder: the first of its names; false when it has none left. */
bool node_name_path(const struct node *node, char *to) {
    const struct node *folder = NULL;
    const struct name *name = name_in(roots, node, &folder, DEPTH_MAX);
    name = name ? name : name_in(roots + 1, node, &folder, DEPTH_MAX);
    if (!name || !node_path(folder, to) || strlen(to) + strlen(name->text) + 2 > PATH_MAX)
        return false;
    size_t length = strlen(to);
    to[length] = '/';
    memcpy(to + length + 1, name->text, strlen(name->text) + 1);
    return true;
}
