/* Who the program is: root, until it says that it is somebody else, which it can take back only as root. */
#include "task.h"

#define LAST_CAPABILITY 40

static struct ids {
    uint32_t real, effective, saved;
} user, group;

uint32_t file_user(void) {
    return user.effective;
}

uint32_t file_group(void) {
    return group.effective;
}

static bool is_root(void) {
    return user.effective == 0;
}

static bool has(const struct ids *ids, uint32_t id) {
    return ids->real == id || ids->effective == id || ids->saved == id;
}

static int64_t set(struct ids *ids, uint32_t id) {
    if (id == ~0u)
        return -EINVAL;
    if (is_root()) {
        *ids = (struct ids){id, id, id};
        return 0;
    }
    if (id != ids->real && id != ids->saved)
        return -EPERM;
    ids->effective = id;
    return 0;
}

/* -1 leaves one as it is. */
static int64_t set_all(struct ids *ids, uint32_t real, uint32_t effective, uint32_t saved) {
    const uint32_t wanted[3] = {real, effective, saved};
    for (int i = 0; i < 3; i++)
        if (wanted[i] != ~0u && !is_root() && !has(ids, wanted[i]))
            return -EPERM;
    ids->real = real == ~0u ? ids->real : real;
    ids->effective = effective == ~0u ? ids->effective : effective;
    ids->saved = saved == ~0u ? ids->saved : saved;
    return 0;
}

static int64_t set_two(struct ids *ids, uint32_t real, uint32_t effective) {
    uint32_t before = ids->real;
    int64_t error = set_all(ids, real, effective, ~0u);
    if (!error && (real != ~0u || (effective != ~0u && effective != before)))
        ids->saved = ids->effective;
    return error;
}

static int64_t tell(const struct ids *ids, const uint64_t *a) {
    const uint32_t all[3] = {ids->real, ids->effective, ids->saved};
    for (int i = 0; i < 3; i++) {
        if (!can_write(a[i], 4))
            return -EFAULT;
        *(uint32_t *)a[i] = all[i];
    }
    return 0;
}

int64_t sys_getuid(const uint64_t *a, struct frame *frame) {
    (void)a, (void)frame;
    return user.real;
}

int64_t sys_geteuid(const uint64_t *a, struct frame *frame) {
    (void)a, (void)frame;
    return user.effective;
}

int64_t sys_getgid(const uint64_t *a, struct frame *frame) {
    (void)a, (void)frame;
    return group.real;
}

int64_t sys_getegid(const uint64_t *a, struct frame *frame) {
    (void)a, (void)frame;
    return group.effective;
}

int64_t sys_setuid(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return set(&user, (uint32_t)a[0]);
}

int64_t sys_setgid(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return set(&group, (uint32_t)a[0]);
}

int64_t sys_setreuid(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return set_two(&user, (uint32_t)a[0], (uint32_t)a[1]);
}

int64_t sys_setregid(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return set_two(&group, (uint32_t)a[0], (uint32_t)a[1]);
}

int64_t sys_setresuid(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return set_all(&user, (uint32_t)a[0], (uint32_t)a[1], (uint32_t)a[2]);
}

int64_t sys_setresgid(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return set_all(&group, (uint32_t)a[0], (uint32_t)a[1], (uint32_t)a[2]);
}

int64_t sys_getresuid(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return tell(&user, a);
}

int64_t sys_getresgid(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return tell(&group, a);
}

/* These answer what holds already, whatever is asked for. */
int64_t sys_setfsuid(const uint64_t *a, struct frame *frame) {
    (void)a, (void)frame;
    return user.effective;
}

int64_t sys_setfsgid(const uint64_t *a, struct frame *frame) {
    (void)a, (void)frame;
    return group.effective;
}

int64_t sys_getgroups(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return (int)a[0] < 0 ? -EINVAL : 0;
}

/* There is nobody whom more groups could keep out. */
int64_t sys_setgroups(const uint64_t *a, struct frame *frame) {
    (void)frame;
    if (!is_root())
        return -EPERM;
    return a[0] > 65536 ? -EINVAL : a[0] && !can_read(a[1], a[0] * 4) ? -EFAULT : 0;
}

struct capability_head {
    uint32_t version;
    int32_t process;
};

static int64_t capability_words(uint64_t address) {
    enum { V1 = 0x19980330, V2 = 0x20071026, V3 = 0x20080522 };
    if (!can_write(address, sizeof(struct capability_head)))
        return -EFAULT;
    struct capability_head *head = (struct capability_head *)address;
    if (head->version == V1)
        return 1;
    if (head->version == V2 || head->version == V3)
        return 2;
    head->version = V3;
    return -EINVAL;
}

/* All of them for root, none for others; there is nothing that they would permit. */
int64_t sys_capget(const uint64_t *a, struct frame *frame) {
    (void)frame;
    int64_t words = capability_words(a[0]);
    if (words < 0)
        return a[1] ? words : words == -EINVAL ? 0 : words;
    if (!a[1])
        return 0;
    if (!can_write(a[1], (uint64_t)words * 12))
        return -EFAULT;
    const uint64_t all = is_root() ? (1ull << (LAST_CAPABILITY + 1)) - 1 : 0;
    uint32_t *to = (uint32_t *)a[1];
    for (int64_t i = 0; i < words; i++) { /* effective, permitted, inheritable */
        to[3 * i] = to[3 * i + 1] = (uint32_t)(all >> 32 * i);
        to[3 * i + 2] = 0;
    }
    return 0;
}

int64_t sys_capset(const uint64_t *a, struct frame *frame) {
    (void)frame;
    int64_t words = capability_words(a[0]);
    return words < 0 ? words : can_read(a[1], (uint64_t)words * 12) ? 0 : -EFAULT;
}

static bool is_us(uint64_t process) {
    return process == 0 || (int)process == PROCESS_ID;
}

int64_t sys_getpgid(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return is_us(a[0]) ? PROCESS_ID : -ESRCH;
}

int64_t sys_getsid(const uint64_t *a, struct frame *frame) {
    return sys_getpgid(a, frame);
}

/* It leads its session and its group, and stays there. */
int64_t sys_setpgid(const uint64_t *a, struct frame *frame) {
    (void)frame;
    if ((int)a[1] < 0)
        return -EINVAL;
    return is_us(a[0]) ? -EPERM : -ESRCH;
}

int64_t sys_setsid(const uint64_t *a, struct frame *frame) {
    (void)a, (void)frame;
    return -EPERM;
}
