/* Descriptors that count: events (eventfd), expirations of a timer (timerfd), and signals that came (signalfd). */
#include "fs.h"

#define EFD_SEMAPHORE 1
#define COUNTER_MAX 0xFFFFFFFFFFFFFFFEull
#define TFD_ABSTIME 1
#define TFD_CANCEL_ON_SET 2

static struct edges *own_edges(struct file *file) {
    return &file->edges;
}

static void changed(uint64_t *edge) {
    ++*edge;
    files_changed();
}

static int64_t wait_for_value(const struct file *file) {
    while (!file->value) {
        if (file->flags & O_NONBLOCK)
            return -EAGAIN;
        int64_t error = wait_for_change();
        if (error)
            return error;
    }
    return 0;
}

static int64_t eventfd_read(struct file *file, void *to, uint64_t size, int64_t at) {
    (void)at;
    if (size < 8)
        return -EINVAL;
    int64_t error = wait_for_value(file);
    if (error)
        return error;
    uint64_t value = file->semaphore ? 1 : file->value;
    memcpy(to, &value, 8);
    file->value -= value;
    changed(&file->edges.out);
    return 8;
}

static int64_t eventfd_write(struct file *file, const void *from, uint64_t size, int64_t at) {
    (void)at;
    uint64_t value;
    if (size < 8)
        return -EINVAL;
    memcpy(&value, from, 8);
    if (value > COUNTER_MAX)
        return -EINVAL;
    while (file->value > COUNTER_MAX - value) {
        if (file->flags & O_NONBLOCK)
            return -EAGAIN;
        int64_t error = wait_for_change();
        if (error)
            return error;
    }
    file->value += value;
    changed(&file->edges.in);
    return 8;
}

static unsigned eventfd_ready(struct file *file) {
    return (file->value ? POLLIN : 0) | (file->value < COUNTER_MAX ? POLLOUT : 0);
}

static const struct file_kind kind_event = {
    .read = eventfd_read, .write = eventfd_write, .ready = eventfd_ready, .edges = own_edges, .name = "anon_inode:[eventfd]"};

int64_t sys_eventfd2(const uint64_t *a, struct frame *frame) {
    (void)frame;
    uint64_t flags = (uint32_t)a[1];
    if (flags & ~(uint64_t)(EFD_SEMAPHORE | O_NONBLOCK | O_CLOEXEC))
        return -EINVAL;
    struct file *file = file_new(&kind_event, (uint32_t)(flags & O_NONBLOCK) | O_RDWR);
    if (file) {
        file->value = (uint32_t)a[0];
        file->semaphore = flags & EFD_SEMAPHORE;
    }
    return file_install(file, 0, flags & O_CLOEXEC);
}

int64_t sys_eventfd(const uint64_t *a, struct frame *frame) {
    return sys_eventfd2((const uint64_t[]){a[0], 0}, frame);
}

static int64_t timerfd_read(struct file *file, void *to, uint64_t size, int64_t at) {
    (void)at;
    if (size < 8)
        return -EINVAL;
    timers_run();
    int64_t error = wait_for_value(file);
    if (error)
        return error;
    memcpy(to, &file->value, 8);
    file->value = 0;
    return 8;
}

static unsigned timerfd_ready(struct file *file) {
    timers_run();
    return file->value ? POLLIN : 0;
}

static void timerfd_close(struct file *file) {
    timer_set(&file->timer, 0, 0);
}

static const struct file_kind kind_timer = {.read = timerfd_read,
                                            .ready = timerfd_ready,
                                            .close = timerfd_close,
                                            .edges = own_edges,
                                            .name = "anon_inode:[timerfd]"};

static void expired(struct timer *timer, uint64_t times) {
    struct file *file = (struct file *)((char *)timer - offsetof(struct file, timer));
    bool first = !file->value;
    file->value += times;
    if (first) /* as on Linux: one that nobody reads tells of itself once */
        changed(&file->edges.in);
}

int64_t sys_timerfd_create(const uint64_t *a, struct frame *frame) {
    (void)frame;
    bool wall;
    if (a[1] & ~(uint64_t)(O_NONBLOCK | O_CLOEXEC) || !timer_clock(a[0], &wall))
        return -EINVAL;
    struct file *file = file_new(&kind_timer, (uint32_t)(a[1] & O_NONBLOCK) | O_RDWR);
    if (file)
        file->timer = (struct timer){.fire = expired, .wall = wall};
    return file_install(file, 0, a[1] & O_CLOEXEC);
}

int64_t sys_timerfd_settime(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct file *file = file_of(a[0]);
    if (a[1] & ~(uint64_t)(TFD_ABSTIME | TFD_CANCEL_ON_SET))
        return -EINVAL;
    if (!can_read(a[2], sizeof(struct itimerspec)))
        return -EFAULT;
    if (!file)
        return -EBADF;
    if (file->kind != &kind_timer)
        return -EINVAL;
    int64_t error = timer_change(&file->timer, a[1] & TFD_ABSTIME, a[2], a[3]);
    if (!error)
        file->value = 0;
    return error;
}

int64_t sys_timerfd_gettime(const uint64_t *a, struct frame *frame) {
    (void)frame;
    const struct file *file = file_of(a[0]);
    if (!file)
        return -EBADF;
    if (file->kind != &kind_timer)
        return -EINVAL;
    return timer_tell(&file->timer, a[1]);
}

struct signalfd_record {
    uint32_t number;
    int32_t error, code;
    uint32_t process, user;
    int32_t descriptor;
    uint32_t timer, band, overrun, trap;
    int32_t status, integer;
    uint64_t pointer;
    uint8_t rest[72];
};
_Static_assert(sizeof(struct signalfd_record) == 128, "signalfd");

static int64_t signalfd_read(struct file *file, void *to, uint64_t size, int64_t at) {
    (void)at;
    uint64_t count = size / sizeof(struct signalfd_record), done = 0;
    if (!count)
        return -EINVAL;
    struct signal_information information;
    while (done < count) {
        int number = signal_take(file->value, &information);
        if (number) {
            struct signalfd_record record = {.number = (uint32_t)number, .code = information.code};
            record.process = (uint32_t)information.process;
            record.integer = (int32_t)information.value;
            record.pointer = information.value;
            memcpy((char *)to + done++ * sizeof record, &record, sizeof record);
            continue;
        }
        if (done)
            break;
        if (file->flags & O_NONBLOCK)
            return -EAGAIN;
        int64_t error = wait_for_change();
        if (error)
            return error;
    }
    return (int64_t)(done * sizeof(struct signalfd_record));
}

static unsigned signalfd_ready(struct file *file) {
    return signals_pending() & file->value ? POLLIN : 0;
}

static struct edges *signalfd_edges(struct file *file) {
    file->edges.in = signals_sent();
    return &file->edges;
}

static const struct file_kind kind_signal = {
    .read = signalfd_read, .ready = signalfd_ready, .edges = signalfd_edges, .name = "anon_inode:[signalfd]"};

int64_t sys_signalfd4(const uint64_t *a, struct frame *frame) {
    (void)frame;
    if (a[3] & ~(uint64_t)(O_NONBLOCK | O_CLOEXEC) || a[2] != 8)
        return -EINVAL;
    if (!can_read(a[1], 8))
        return -EFAULT;
    uint64_t mask = *(const uint64_t *)a[1];
    if ((int)a[0] == -1) {
        struct file *file = file_new(&kind_signal, (uint32_t)(a[3] & O_NONBLOCK) | O_RDWR);
        if (file)
            file->value = mask;
        return file_install(file, 0, a[3] & O_CLOEXEC);
    }
    struct file *file = file_of((uint32_t)a[0]);
    if (!file)
        return -EBADF;
    if (file->kind != &kind_signal)
        return -EINVAL;
    file->value = mask;
    files_changed();
    return (int64_t)(uint32_t)a[0];
}

int64_t sys_signalfd(const uint64_t *a, struct frame *frame) {
    return sys_signalfd4((const uint64_t[]){a[0], a[1], a[2], 0}, frame);
}
