/* poll and select: look at every file, and again after any change of one. */
#include "fs.h"

#define SET_BITS 1024

struct pollfd {
    int32_t descriptor;
    int16_t wanted, ready;
};

unsigned ready_of(struct file *file) {
    return file->kind->ready ? file->kind->ready(file) : POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
}

/* Sleeps until a file changes or the deadline; false when there is no more to wait for. */
bool wait_more(uint64_t deadline_ns) {
    struct waiter waiter = {.address = FILE_CHANGES, .bits = 1};
    return thread_wait(&waiter, deadline_ns);
}

static uint64_t deadline_after(uint64_t ns) {
    if (ns)
        time_refresh();
    return NK_INFO->mono_ns + ns;
}

uint64_t after_ms(int64_t ms) {
    return ms < 0 ? NK_IDLE_FOREVER : deadline_after((uint64_t)ms * 1000000);
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
            return interrupted(running) ? -EINTR : 0;
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
    if (!error)
        error = mask_for_call(a[3], a[4]);
    return error ? error : poll_until(a[0], a[1], deadline_ns);
}

static int64_t select_until(const uint64_t *a, uint64_t deadline_ns) {
    static const unsigned events[3] = {POLLIN | POLLHUP | POLLERR, POLLOUT | POLLERR, POLLPRI};
    uint64_t wanted[3][SET_BITS / 64] = {};
    if ((int)a[0] < 0)
        return -EINVAL;
    uint64_t count = MIN((uint64_t)(uint32_t)a[0], (uint64_t)SET_BITS), bytes = (count + 63) / 64 * 8;
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
        if (!again && !found && interrupted(running))
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
        deadline_ns = deadline_after(MIN((uint64_t)time[0], 1ull << 30) * 1000000000 + (uint64_t)time[1] * 1000);
    }
    return select_until(a, deadline_ns);
}

int64_t sys_pselect(const uint64_t *a, struct frame *frame) {
    (void)frame;
    int64_t error;
    uint64_t deadline_ns = deadline_of(a[4], false, false, &error);
    if (!error && a[5]) { /* the mask and its size */
        if (!can_read(a[5], 16))
            return -EFAULT;
        const uint64_t *mask = (const uint64_t *)a[5];
        error = mask_for_call(mask[0], mask[1]);
    }
    return error ? error : select_until(a, deadline_ns);
}
