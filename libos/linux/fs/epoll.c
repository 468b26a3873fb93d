/*
 * epoll: a set of files to look at. A file says how often something came that could make it ready (struct edges), so an
 * edge-triggered watch tells of each, also when the file was ready all the time between two looks.
 */
#include "fs.h"

#define EPOLL_CTL_ADD 1
#define EPOLL_CTL_DEL 2
#define EPOLL_CTL_MOD 3
#define EPOLLEXCLUSIVE (1u << 28)
#define EPOLLONESHOT (1u << 30)
#define EPOLLET (1u << 31)
#define EXCLUSIVE_ALLOWED (POLLIN | POLLOUT | POLLERR | POLLHUP | (1u << 29) | EPOLLET | EPOLLEXCLUSIVE)
#define NESTED_MAX 4 /* as on Linux */

struct epoll_event {
    uint32_t events;
    uint64_t data;
} __attribute__((packed));

struct watch {
    struct watch *next;
    struct file *file;
    uint64_t descriptor;
    struct edges seen; /* edge-triggered: what has been told */
    bool fresh;        /* just added or changed: what is ready now is told in any case */
    struct epoll_event event;
};

static const struct file_kind kind_epoll;

static void epoll_close(struct file *file) {
    for (struct watch *watch; (watch = file->watches);) {
        file->watches = watch->next;
        heap_free(watch);
    }
}

/* A file is closed for good: whoever watches it stops. */
static void epoll_forget(const struct file *file) {
    for (uint64_t number = 0; number < FILES_MAX; number++) {
        struct file *epoll = file_of(number);
        if (!epoll || epoll->kind != &kind_epoll)
            continue;
        for (struct watch **link = &epoll->watches, *watch; (watch = *link);)
            if (watch->file == file) {
                *link = watch->next;
                heap_free(watch);
            } else {
                link = &watch->next;
            }
    }
}

/* What is to be told of it now. */
static unsigned due(struct watch *watch) {
    unsigned wanted = watch->event.events;
    if (!(wanted & ~(EPOLLONESHOT | EPOLLET)))
        return 0; /* told once, and waiting for EPOLL_CTL_MOD */
    unsigned ready = ready_of(watch->file) & (wanted | POLLERR | POLLHUP);
    if (!ready || !(wanted & EPOLLET) || watch->fresh)
        return ready;
    struct edges *now = watch->file->kind->edges ? watch->file->kind->edges(watch->file) : NULL;
    if (!now)
        return 0;
    bool came = now->in != watch->seen.in && (wanted & (POLLIN | POLLRDNORM) || ready & (POLLHUP | POLLERR));
    bool went = now->out != watch->seen.out && (wanted & (POLLOUT | POLLWRNORM) || ready & (POLLHUP | POLLERR));
    return came || went ? ready : 0;
}

static void told(struct watch *watch) {
    struct edges *now = watch->file->kind->edges ? watch->file->kind->edges(watch->file) : NULL;
    if (now)
        watch->seen = *now;
    watch->fresh = false;
    if (watch->event.events & EPOLLONESHOT)
        watch->event.events &= EPOLLONESHOT | EPOLLET;
}

/* Tells of what is due; those told of go to the end, so that the rest comes first the next time. */
static int64_t collect(struct file *epoll, struct epoll_event *to, uint64_t max) {
    uint64_t found = 0;
    struct watch *done = NULL, **end = &done;
    for (struct watch **link = &epoll->watches, *watch; (watch = *link) && found < max;) {
        unsigned ready = due(watch);
        if (!ready) {
            link = &watch->next;
            continue;
        }
        to[found++] = (struct epoll_event){ready, watch->event.data};
        told(watch);
        *link = watch->next;
        watch->next = NULL;
        *end = watch;
        end = &watch->next;
    }
    struct watch **last = &epoll->watches;
    while (*last)
        last = &(*last)->next;
    *last = done;
    return (int64_t)found;
}

static unsigned epoll_ready(struct file *file) {
    for (struct watch *watch = file->watches; watch; watch = watch->next)
        if (due(watch))
            return POLLIN | POLLRDNORM;
    return 0;
}

/* Of a set within a set: all edges of what is in it. */
static struct edges *epoll_edges(struct file *file) {
    file->edges = (struct edges){};
    for (struct watch *watch = file->watches; watch; watch = watch->next) {
        struct edges *edges = watch->file->kind->edges ? watch->file->kind->edges(watch->file) : NULL;
        file->edges.in += edges ? edges->in + edges->out : 0;
    }
    return &file->edges;
}

static const struct file_kind kind_epoll = {
    .ready = epoll_ready, .close = epoll_close, .edges = epoll_edges, .name = "anon_inode:[eventpoll]"};

int64_t sys_epoll_create1(const uint64_t *a, struct frame *frame) {
    (void)frame;
    if (a[0] & ~(uint64_t)O_CLOEXEC)
        return -EINVAL;
    return file_open(&kind_epoll, O_RDWR | (a[0] & O_CLOEXEC));
}

int64_t sys_epoll_create(const uint64_t *a, struct frame *frame) {
    return (int)a[0] <= 0 ? -EINVAL : sys_epoll_create1((const uint64_t[]){0}, frame);
}

/* How many sets lie in each other below this one; more than NESTED_MAX where `self` is among them. */
static int depth(const struct file *epoll, const struct file *self, int level) {
    int deepest = level;
    for (const struct watch *watch = epoll->watches; watch && deepest <= NESTED_MAX; watch = watch->next) {
        if (watch->file->kind != &kind_epoll)
            continue;
        int below = watch->file == self || level > NESTED_MAX ? NESTED_MAX + 1 : depth(watch->file, self, level + 1);
        deepest = below > deepest ? below : deepest;
    }
    return deepest;
}

static int64_t add(struct file *epoll, struct file *file, uint64_t descriptor, const struct epoll_event *event) {
    if (file->kind == &kind_epoll) {
        if (event->events & EPOLLEXCLUSIVE)
            return -EINVAL;
        if (file == epoll || depth(file, epoll, 1) > NESTED_MAX)
            return -ELOOP;
    }
    if (event->events & EPOLLEXCLUSIVE && event->events & ~EXCLUSIVE_ALLOWED)
        return -EINVAL;
    struct watch *watch = heap_zeroed(1, sizeof *watch), **last = &epoll->watches;
    if (!watch)
        return -ENOMEM;
    *watch = (struct watch){.file = file, .descriptor = descriptor, .fresh = true, .event = *event};
    while (*last)
        last = &(*last)->next;
    *last = watch;
    file->watched = true;
    file_hooks.forget = epoll_forget;
    return 0;
}

int64_t sys_epoll_ctl(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct file *epoll = file_of(a[0]), *file = file_of(a[2]);
    struct epoll_event event = {};
    if (a[1] != EPOLL_CTL_DEL) {
        if (!can_read(a[3], sizeof event))
            return -EFAULT;
        memcpy(&event, (const void *)a[3], sizeof event);
    }
    if (!epoll || !file)
        return -EBADF;
    if (file->kind->mode == S_IFREG || file->kind->mode == S_IFDIR)
        return -EPERM;
    if (epoll == file || epoll->kind != &kind_epoll)
        return -EINVAL;
    struct watch **link = &epoll->watches, *watch;
    while ((watch = *link) && !(watch->file == file && watch->descriptor == a[2]))
        link = &watch->next;
    switch (a[1]) {
    case EPOLL_CTL_ADD: {
        int64_t error = watch ? -EEXIST : add(epoll, file, a[2], &event);
        if (error)
            return error;
        break;
    }
    case EPOLL_CTL_DEL:
        if (!watch)
            return -ENOENT;
        *link = watch->next;
        heap_free(watch);
        return 0;
    case EPOLL_CTL_MOD:
        if (!watch)
            return -ENOENT;
        if ((watch->event.events | event.events) & EPOLLEXCLUSIVE)
            return -EINVAL;
        watch->event = event;
        watch->fresh = true;
        break;
    default:
        return -EINVAL;
    }
    files_changed();
    return 0;
}

static int64_t wait_until(const uint64_t *a, uint64_t deadline_ns) {
    struct file *epoll = file_of(a[0]);
    if ((int)a[2] <= 0)
        return -EINVAL;
    uint64_t max = MIN((uint64_t)(uint32_t)a[2], (uint64_t)FILES_MAX);
    bool writable = can_write(a[1], max * sizeof(struct epoll_event));
    if (!epoll)
        return -EBADF;
    if (epoll->kind != &kind_epoll)
        return -EINVAL;
    for (;;) {
        if (!writable && epoll_ready(epoll))
            return -EFAULT;
        int64_t found = writable ? collect(epoll, (struct epoll_event *)a[1], max) : 0;
        if (found)
            return found;
        if (!wait_more(deadline_ns))
            return interrupted(running) ? -EINTR : 0;
        if (file_of(a[0]) != epoll)
            return -EBADF;
    }
}

int64_t sys_epoll_wait(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return wait_until(a, after_ms((int)a[3]));
}

int64_t sys_epoll_pwait(const uint64_t *a, struct frame *frame) {
    (void)frame;
    int64_t error = mask_for_call(a[4], a[5]);
    return error ? error : wait_until(a, after_ms((int)a[3]));
}

int64_t sys_epoll_pwait2(const uint64_t *a, struct frame *frame) {
    (void)frame;
    int64_t error;
    uint64_t deadline_ns = deadline_of(a[3], false, false, &error);
    if (!error)
        error = mask_for_call(a[4], a[5]);
    return error ? error : wait_until(a, deadline_ns);
}
