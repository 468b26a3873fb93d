/* futex: waiting for a word of memory to change, and waking who does. */
#include "task.h"

static int64_t futex_wait(uint64_t address, uint32_t value, uint32_t bits, uint64_t deadline_ns) {
    if (*(const volatile uint32_t *)address != value)
        return -EAGAIN;
    struct waiter waiter = {.address = address, .bits = bits};
    if (thread_wait(&waiter, deadline_ns))
        return 0;
    return NK_INFO->mono_ns >= deadline_ns ? -ETIMEDOUT : -EINTR;
}

static int64_t requeue(uint64_t from, uint64_t to, unsigned wake, unsigned move) {
    unsigned woken = thread_wake(from, ~0u, wake);
    return woken + thread_move(from, to, move);
}

int64_t sys_futex(const uint64_t *a, struct frame *frame) {
    (void)frame;
    uint64_t operation = a[1] & 0x7F, deadline_ns;
    int64_t error;
    if (a[0] % 4)
        return -EINVAL;
    if (!can_read(a[0], 4))
        return -EFAULT;
    if ((operation == FUTEX_WAIT_BITSET || operation == FUTEX_WAKE_BITSET) && !(uint32_t)a[5])
        return -EINVAL;
    switch (operation) {
    case FUTEX_WAIT:
    case FUTEX_WAIT_BITSET:
        deadline_ns = deadline_of(a[3], operation == FUTEX_WAIT_BITSET, a[1] & FUTEX_CLOCK_REALTIME, &error);
        if (error)
            return error;
        return futex_wait(a[0], (uint32_t)a[2], operation == FUTEX_WAIT ? ~0u : (uint32_t)a[5], deadline_ns);
    case FUTEX_WAKE:
        return thread_wake(a[0], ~0u, (unsigned)a[2]);
    case FUTEX_WAKE_BITSET:
        return thread_wake(a[0], (uint32_t)a[5], (unsigned)a[2]);
    case FUTEX_CMP_REQUEUE:
        if (*(const volatile uint32_t *)a[0] != (uint32_t)a[5])
            return -EAGAIN;
        return requeue(a[0], a[4], (unsigned)a[2], (unsigned)a[3]);
    case FUTEX_REQUEUE:
        return requeue(a[0], a[4], (unsigned)a[2], (unsigned)a[3]);
    default:
        return -ENOSYS;
    }
}
