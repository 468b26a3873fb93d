/* poll, select and epoll: look at every file, and again after any change of one. */
#include "fs.h"

#define EPOLL_CTL_ADD 1
#define EPOLL_CTL_DEL 2
#define EPOLL_CTL_MOD 3
#define EPOLLONESHOT (1u << 30)
#define EPOLLET (1u << 31)
#define SET_BITS 1024

struct pollfd {
    int32_t descriptor;
    int16_t wanted, ready;
};

struct epoll_event {
    uint32_t events;
    uint64_t data;
} __attribute__((packed));

struct watch {
    struct watch *next;
    struct file *file;
    uint64_t descriptor;
    uint32_t seen; /* edge-triggered: what was told and has not gone since */
    struct epoll_event event;
};

static unsigned ready_of(struct file *file) {
    return file->kind->ready ? file->kind->ready(file) : POLLIN | POLLOUT;
}

/* Sleeps until a file changes or the deadline; false when there is no more to wait for. */
static bool wait_more(uint64_t deadline_ns) {
    struct waiter waiter = {.address = FILE_CHANGES, .bits = 1};
    return thread_wait(&waiter, deadline_ns);
}

static bool interrupted(void) {
    return running->pending & ~running->blocked;
}

static uint64_t after_ms(int64_t ms) {
    if (ms < 0)
        return NK_IDLE_FOREVER;
    if (ms)
        time_refresh();
    return NK_INFO->mono_ns + (uint64_t)ms * 1000000;
}

static int64_t poll_files(struct pollfd *files, uint64_t count, uint64_t deadline_ns) {
    for (;;) {
        int64_t found = 0;
        for (uint64_t i = 0; i < count; i++) {
            files[i].ready = 0;
            if (files[i].descriptor < 0)
                continue;
            struct file *file = file_of((uint64_t)files[i].descriptor);
            unsigned wanted = (uint16_t)files[i].wanted | POLLERR | POLLHUP;
            files[i].ready = (int16_t)(file ? ready_of(file) & wanted : POLLNVAL);
            found += files[i].ready != 0;
        }
        if (found)
            return found;
        if (!wait_more(deadline_ns))
            return interrupted() ? -EINTR : 0;
    }
}

static int64_t poll_until(uint64_t address, uint64_t count, uint64_t deadline_ns) {
    if (count > FILES_MAX)
        return -EINVAL;
    if (count && !can_write(address, count * sizeof(struct pollfd)))
        return -EFAULT;
    return poll_files((struct pollfd *)address, count, deadline_ns);
}

int64_t sys_poll(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return poll_until(a[0], a[1], after_ms((int)a[2]));
}

int64_t sys_ppoll(const uint64_t *a, struct frame *frame) {
    (void)frame;
    int64_t error;
    uint64_t deadline_ns = deadline_of(a[2], false, false, &error);
    return error ? error : poll_until(a[0], a[1], deadline_ns);
}

static int64_t select_until(const uint64_t *a, uint64_t deadline_ns) {
    static const unsigned events[3] = {POLLIN | POLLHUP | POLLERR, POLLOUT | POLLERR, 0};
    uint64_t count = a[0], bytes = (count + 63) / 64 * 8, wanted[3][SET_BITS / 64] = {};
    if (count > SET_BITS)
        return -EINVAL;
    for (int set = 0; set < 3; set++) {
        if (a[1 + set] && !can_write(a[1 + set], bytes))
            return -EFAULT;
        if (a[1 + set])
            memcpy(wanted[set], (const void *)a[1 + set], bytes);
    }
    for (;;) {
        uint64_t ready[3][SET_BITS / 64] = {};
        int64_t found = 0;
        for (uint64_t number = 0; number < count; number++)
            for (int set = 0; set < 3; set++) {
                uint64_t mask = 1ull << number % 64;
                if (!(wanted[set][number / 64] & mask))
                    continue;
                struct file *file = file_of(number);
                if (!file)
                    return -EBADF;
                if (ready_of(file) & events[set]) {
                    ready[set][number / 64] |= mask;
                    found++;
                }
            }
        bool again = !found && wait_more(deadline_ns);
        if (!again && !found && interrupted())
            return -EINTR;
        if (again)
            continue;
        for (int set = 0; set < 3; set++)
            if (a[1 + set])
                memcpy((void *)a[1 + set], ready[set], bytes);
        return found;
    }
}

int64_t sys_select(const uint64_t *a, struct frame *frame) {
    (void)frame;
    uint64_t deadline_ns = NK_IDLE_FOREVER;
    if (a[4]) {
        if (!can_read(a[4], 16))
            return -EFAULT;
        const int64_t *time = (const int64_t *)a[4];
        if (time[0] < 0 || time[1] < 0)
            return -EINVAL;
        deadline_ns = after_ms(MIN(time[0], 1 << 30) * 1000 + MIN(time[1], 1000000) / 1000);
    }
    return select_until(a, deadline_ns);
}

int64_t sys_pselect(const uint64_t *a, struct frame *frame) {
    (void)frame;
    int64_t error;
    uint64_t deadline_ns = deadline_of(a[4], false, false, &error);
    return error ? error : select_until(a, deadline_ns);
}

static void epoll_close(struct file *file) {
    for (struct watch *watch; (watch = file->watches);) {
        file->watches = watch->next;
        heap_free(watch);
    }
}

static int64_t collect(struct file *epoll, struct epoll_event *to, uint64_t max) {
    uint64_t found = 0;
    for (struct watch **link = &epoll->watches, *watch; (watch = *link) && found < max;) {
        if (file_of(watch->descriptor) != watch->file) { /* closed */
            *link = watch->next;
            heap_free(watch);
            continue;
        }
        unsigned ready = ready_of(watch->file) & (watch->event.events | POLLERR | POLLHUP);
        unsigned told = watch->event.events & EPOLLET ? ready & ~watch->seen : ready;
        watch->seen = ready;
        if (told && watch->event.events & ~EPOLLONESHOT) {
            to[found++] = (struct epoll_event){ready, watch->event.data};
            if (watch->event.events & EPOLLONESHOT)
                watch->event.events = EPOLLONESHOT;
        }
        link = &watch->next;
    }
    return (int64_t)found;
}

static unsigned epoll_ready(struct file *file) {
    for (struct watch *watch = file->watches; watch; watch = watch->next)
        if (file_of(watch->descriptor) == watch->file && ready_of(watch->file) & watch->event.events)
            return POLLIN;
    return 0;
}

static const struct file_kind kind_epoll = {.ready = epoll_ready, .close = epoll_close};

int64_t sys_epoll_create1(const uint64_t *a, struct frame *frame) {
    (void)a, (void)frame;
    return file_install(file_new(&kind_epoll, O_RDWR), 0, false);
}

int64_t sys_epoll_create(const uint64_t *a, struct frame *frame) {
    return (int)a[0] <= 0 ? -EINVAL : sys_epoll_create1(a, frame);
}

int64_t sys_epoll_ctl(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct file *epoll = file_of(a[0]), *file = file_of(a[2]);
    if (!epoll || !file)
        return -EBADF;
    if (epoll->kind != &kind_epoll || file->kind == &kind_epoll)
        return -EINVAL;
    if (file->kind->mode == S_IFREG || file->kind->mode == S_IFDIR)
        return -EPERM;
    struct watch **link = &epoll->watches, *watch;
    while ((watch = *link) && !(watch->file == file && watch->descriptor == a[2]))
        link = &watch->next;
    if (a[1] == EPOLL_CTL_DEL) {
        if (!watch)
            return -ENOENT;
        *link = watch->next;
        heap_free(watch);
        return 0;
    }
    if (!can_read(a[3], sizeof(struct epoll_event)))
        return -EFAULT;
    if ((a[1] != EPOLL_CTL_ADD && a[1] != EPOLL_CTL_MOD) || (a[1] == EPOLL_CTL_ADD && watch))
        return a[1] == EPOLL_CTL_ADD ? -EEXIST : -EINVAL;
    if (a[1] == EPOLL_CTL_MOD && !watch)
        return -ENOENT;
    if (!watch) {
        watch = heap_zeroed(1, sizeof *watch);
        if (!watch)
            return -ENOMEM;
        *link = watch;
    }
    watch->file = file;
    watch->descriptor = a[2];
    watch->seen = 0;
    memcpy(&watch->event, (const void *)a[3], sizeof watch->event);
    files_changed();
    return 0;
}

int64_t sys_epoll_wait(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct file *epoll = file_of(a[0]);
    if (!epoll)
        return -EBADF;
    if (epoll->kind != &kind_epoll || (int)a[2] <= 0)
        return -EINVAL;
    uint64_t max = MIN(a[2], FILES_MAX), deadline_ns = after_ms((int)a[3]);
    if (!can_write(a[1], max * sizeof(struct epoll_event)))
        return -EFAULT;
    for (;;) {
        int64_t found = collect(epoll, (struct epoll_event *)a[1], max);
        if (found)
            return found;
        if (!wait_more(deadline_ns))
            return interrupted() ? -EINTR : 0;
    }
}
