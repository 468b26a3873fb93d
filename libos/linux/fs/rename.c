/* Renaming: a name moves from one folder of /tmp to another, over what was there or in exchange with it. */
#include "fs.h"

#define NOREPLACE 1
#define EXCHANGE 2

static bool folder_node(const struct node *node) {
    return (node->mode & S_IFMT) == S_IFDIR;
}

/* Why `from` cannot go where `to` is; 0: it can. */
static int64_t refused(const struct place *from, const struct place *to, uint64_t flags) {
    if (from->dot || to->dot)
        return -EBUSY;
    if (!is_there(from))
        return -ENOENT;
    if (is_there(to) && flags & NOREPLACE)
        return -EEXIST;
    if (!from->folder || !to->folder)
        return (from->node && !from->folder) || (to->node && !to->folder) ? -EBUSY : -EROFS;
    if (from->folder->device != to->folder->device)
        return -EXDEV;
    if (!to->node && flags & EXCHANGE)
        return -ENOENT;
    if (to->slash && !folder_node(from->node) && !to->node)
        return -ENOTDIR;
    if (folder_node(from->node) && node_within(to->folder, from->node))
        return -EINVAL; /* into itself */
    if (!to->node)
        return 0;
    if (folder_node(to->node) && node_within(from->folder, to->node))
        return flags & EXCHANGE ? -EINVAL : -ENOTEMPTY;
    if (flags & EXCHANGE || to->node == from->node)
        return 0;
    if (folder_node(to->node) != folder_node(from->node))
        return folder_node(to->node) ? -EISDIR : -ENOTDIR;
    return folder_node(to->node) && to->node->names ? -ENOTEMPTY : 0;
}

static void point(struct node *folder, const char *text, struct node *node) {
    name_find(folder, text, strlen(text))->node = node;
    if (folder_node(node))
        node->parent = folder;
    node_changed(folder, true);
    node_changed(node, false);
}

static int64_t rename_at(const uint64_t *a, uint64_t flags) {
    static struct place from, to;
    int64_t error = find_place(a[0], a[1], 0, &from);
    if (!error)
        error = find_place(a[2], a[3], 0, &to);
    if (!error)
        error = refused(&from, &to, flags);
    if (error)
        return error;
    struct node *moved = from.node, *other = to.node;
    if (moved == other)
        return 0;
    if (flags & EXCHANGE) {
        point(from.folder, from.name, other);
        point(to.folder, to.name, moved);
        return 0;
    }
    moved->users++; /* it has no name for a moment */
    bool added = true;
    if (!other) {
        added = name_add(to.folder, to.name, moved);
    } else {
        other->users++;
        point(to.folder, to.name, moved);
        moved->links++;
        other->links--;
        other->users--;
        if (folder_node(other))
            other->parent = NULL;
        node_changed(other, false);
        node_release(other);
    }
    if (added) {
        struct node *parent = moved->parent;
        name_remove(from.folder, from.name);
        moved->parent = parent;
    }
    moved->users--;
    return added ? 0 : -ENOSPC;
}

int64_t sys_renameat2(const uint64_t *a, struct frame *frame) {
    (void)frame;
    uint64_t flags = (uint32_t)a[4];
    if (flags & ~(uint64_t)(NOREPLACE | EXCHANGE) || flags == (NOREPLACE | EXCHANGE))
        return -EINVAL;
    return rename_at(a, flags);
}

int64_t sys_renameat(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return rename_at(a, 0);
}

int64_t sys_rename(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return rename_at((const uint64_t[]){(uint64_t)AT_FDCWD, a[0], (uint64_t)AT_FDCWD, a[1]}, 0);
}
