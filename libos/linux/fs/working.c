/* The working folder: one of /tmp, which may move, or the path of one that cannot. */
#include "fs.h"

static struct node *working;
static char working_path[PATH_MAX] = "/";

struct node *working_node(void) {
    return working;
}

/* Its path; NULL: it was removed. */
const char *working_folder(void) {
    static char path[PATH_MAX];
    if (!working)
        return working_path;
    return node_path(working, path) ? path : NULL;
}

int64_t sys_getcwd(const uint64_t *a, struct frame *frame) {
    (void)frame;
    const char *from = working_folder();
    if (!from)
        return -ENOENT;
    size_t size = strlen(from) + 1;
    if (a[1] < size)
        return -ERANGE;
    if (!can_write(a[0], size))
        return -EFAULT;
    memcpy((void *)a[0], from, size);
    return (int64_t)size;
}

/* Changes it to a node or, without one, to a path. */
int64_t work_in(struct node *node, const char *path) {
    if (node)
        node->users++;
    if (working) {
        working->users--;
        node_release(working);
    }
    working = node;
    if (!node)
        memmove(working_path, path, strlen(path) + 1);
    return 0;
}
