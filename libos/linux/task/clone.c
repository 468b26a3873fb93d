/* What a thread is made by, and asks for itself. */
#include "task.h"

int64_t sys_clone(const uint64_t *a, struct frame *frame) {
    uint64_t flags = a[0], stack = a[1];
    if ((flags & (CLONE_VM | CLONE_THREAD)) != (CLONE_VM | CLONE_THREAD))
        return -ENOSYS; /* no processes */
    if (!can_write(stack - 1024, 1024))
        return -EFAULT;
    if (((flags & CLONE_PARENT_SETTID) && !can_write(a[2], 4)) ||
        ((flags & (CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID)) && !can_write(a[3], 4)))
        return -EFAULT;
    struct frame *copy = (struct frame *)(stack - RED_ZONE) - 1;
    uint64_t *top = (uint64_t *)(((uintptr_t)copy - 16) & ~15ull);
    uint8_t *floating = (uint8_t *)(top - 7) - 520;
    struct thread *child = thread_new(floating);
    if (!child)
        return -EAGAIN;
    *copy = *frame;
    copy->rax = 0;
    top[0] = (uint64_t)(uintptr_t)copy;
    top[-1] = (uint64_t)(uintptr_t)context_child;
    memset(floating, 0, 520 + 48);
    context_save_fx(floating);
    if (flags & CLONE_SETTLS)
        child->fs = a[4];
    if (flags & CLONE_CHILD_CLEARTID)
        child->clear_tid = a[3];
    if (flags & CLONE_PARENT_SETTID)
        *(int *)a[2] = child->tid;
    if (flags & CLONE_CHILD_SETTID)
        *(int *)a[3] = child->tid;
    return child->tid;
}

int64_t sys_set_tid_address(const uint64_t *a, struct frame *frame) {
    (void)frame;
    running->clear_tid = a[0];
    return running->tid;
}

int64_t sys_gettid(const uint64_t *a, struct frame *frame) {
    (void)a, (void)frame;
    return running->tid;
}

/* The program's exit code is the first thread's, or 0 when others outlive that. */
int64_t sys_exit(const uint64_t *a, struct frame *frame) {
    if (running->clear_tid && can_write(running->clear_tid, 4)) {
        *(uint32_t *)running->clear_tid = 0;
        thread_wake(running->clear_tid, ~0u, 1);
    }
    thread_end();
    return sys_exit_group(running == threads ? a : (const uint64_t[]){0}, frame);
}

int64_t sys_sched_yield(const uint64_t *a, struct frame *frame) {
    (void)a, (void)frame;
    thread_yield();
    return 0;
}

int64_t sys_arch_prctl(const uint64_t *a, struct frame *frame) {
    (void)frame;
    if (a[0] == ARCH_SET_FS) {
        if (a[1] >= NK_INFO->memory_bytes)
            return -EPERM;
        thread_set_fs(a[1]);
        return 0;
    }
    if (a[0] == ARCH_GET_FS) {
        if (!can_write(a[1], 8))
            return -EFAULT;
        *(uint64_t *)a[1] = running->fs;
        return 0;
    }
    return -EINVAL;
}

/* Nobody dies here without the whole machine: the list is kept for who asks. */
int64_t sys_set_robust_list(const uint64_t *a, struct frame *frame) {
    (void)frame;
    if (a[1] != 24)
        return -EINVAL;
    running->robust_list = a[0];
    return 0;
}

int64_t sys_get_robust_list(const uint64_t *a, struct frame *frame) {
    (void)frame;
    const struct thread *thread = a[0] ? thread_of((int)a[0]) : running;
    if (!thread)
        return -ESRCH;
    if (!can_write(a[1], 8) || !can_write(a[2], 8))
        return -EFAULT;
    *(uint64_t *)a[1] = thread->robust_list;
    *(uint64_t *)a[2] = 24;
    return 0;
}
