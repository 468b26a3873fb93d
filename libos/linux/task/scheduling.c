/* What can be set about a process and has no effect but on what is told of it: priorities, names, limits; children that
 * there are none of. */
#include "task.h"

static int nice_value;
static char name[16] = "program";
static int death_signal, dumpable = 1, no_new, subreaper, keep_capabilities;
static uint64_t slack_ns = 50000;

const char *process_name(void) {
    return name;
}

/* The name of the program's file, as a process begins with it. */
void process_named(const char *path) {
    const char *last = path;
    for (const char *at = path; *at; at++)
        if (*at == '/')
            last = at + 1;
    size_t length = MIN(strlen(last), sizeof name - 1);
    memset(name, 0, sizeof name);
    memcpy(name, last, length);
}

static bool is_us(uint64_t id) {
    return id == 0 || (int)id == PROCESS_ID || thread_of((int)id);
}

int64_t sys_getpriority(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return a[0] > 2 ? -EINVAL : a[0] == 0 && !is_us(a[1]) ? -ESRCH : 20 - nice_value;
}

int64_t sys_setpriority(const uint64_t *a, struct frame *frame) {
    (void)frame;
    int value = (int)a[2];
    if (a[0] > 2)
        return -EINVAL;
    if (a[0] == 0 && !is_us(a[1]))
        return -ESRCH;
    nice_value = value < -20 ? -20 : value > 19 ? 19 : value;
    return 0;
}

static bool is_policy(uint64_t policy) { /* OTHER 0, FIFO 1, RR 2, BATCH 3, IDLE 5 */
    return policy < 6 && policy != 4;
}

/* Threads run in turn: one policy, with the priority 0. */
int64_t sys_sched_setscheduler(const uint64_t *a, struct frame *frame) {
    (void)frame;
    if (!a[2] || (int)a[0] < 0 || !is_policy(a[1]))
        return -EINVAL;
    if (!can_read(a[2], 4))
        return -EFAULT;
    if (!is_us(a[0]))
        return -ESRCH;
    bool real_time = a[1] == 1 || a[1] == 2;
    int priority = *(const int *)a[2];
    return real_time ? (priority < 1 || priority > 99 ? -EINVAL : -EPERM) : priority ? -EINVAL : 0;
}

int64_t sys_sched_getscheduler(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return (int)a[0] < 0 ? -EINVAL : is_us(a[0]) ? 0 : -ESRCH;
}

int64_t sys_sched_setparam(const uint64_t *a, struct frame *frame) {
    return sys_sched_setscheduler((const uint64_t[]){a[0], 0, a[1]}, frame);
}

int64_t sys_sched_getparam(const uint64_t *a, struct frame *frame) {
    (void)frame;
    if (!a[1] || (int)a[0] < 0)
        return -EINVAL;
    if (!is_us(a[0]))
        return -ESRCH;
    if (!can_write(a[1], 4))
        return -EFAULT;
    *(int *)a[1] = 0;
    return 0;
}

/* Highest (call 146) and lowest (147). */
int64_t sys_sched_priority(const uint64_t *a, struct frame *frame) {
    bool highest = frame->rax == 146, real_time = a[0] == 1 || a[0] == 2;
    return !is_policy(a[0]) && a[0] != 6 ? -EINVAL : !real_time ? 0 : highest ? 99 : 1;
}

int64_t sys_sched_rr_get_interval(const uint64_t *a, struct frame *frame) {
    (void)frame;
    if ((int)a[0] < 0)
        return -EINVAL;
    if (!is_us(a[0]))
        return -ESRCH;
    if (!can_write(a[1], sizeof(struct timespec)))
        return -EFAULT;
    *(struct timespec *)a[1] = (struct timespec){0, 4000000};
    return 0;
}

int64_t sys_wait4(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return a[2] & ~0xE000000Bull ? -EINVAL : -ECHILD;
}

int64_t sys_waitid(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return a[0] > 3 || a[3] & ~0xE100000Full || !(a[3] & 0xE) ? -EINVAL : -ECHILD;
}

int64_t sys_personality(const uint64_t *a, struct frame *frame) {
    (void)a, (void)frame;
    return 0;
}

/* ---- limits: that of open files holds, the stack is what it is, and the rest is kept for who asks ---- */

enum { STACK = 3, CORE = 4, FILES = 7, LIMITS = 16 };

static struct limit {
    uint64_t soft, hard;
} limits[LIMITS];

static struct limit *limit_of(uint64_t resource) {
    if (!limits[FILES].hard)
        for (int i = 0; i < LIMITS; i++) {
            uint64_t value = i == STACK ? stack_top() - stack_low() : i == CORE ? 0 : i == FILES ? FILES_MAX : ~0ull;
            limits[i] = (struct limit){value, value};
        }
    return limits + resource;
}

uint64_t files_limit(void) {
    return limit_of(FILES)->soft;
}

static int64_t tell_limit(uint64_t resource, uint64_t to) {
    if (!can_write(to, sizeof(struct limit)))
        return -EFAULT;
    *(struct limit *)to = *limit_of(resource);
    return 0;
}

static int64_t set_limit(uint64_t resource, uint64_t from) {
    if (!can_read(from, sizeof(struct limit)))
        return -EFAULT;
    struct limit given = *(const struct limit *)from;
    if (given.soft > given.hard)
        return -EINVAL;
    if (resource == FILES && given.hard > FILES_MAX)
        return -EPERM;
    *limit_of(resource) = given;
    return 0;
}

int64_t sys_prlimit(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct limit given = {};
    if (a[1] >= LIMITS)
        return -EINVAL;
    if (!is_us(a[0]))
        return -ESRCH;
    if (a[2]) { /* both may be one place */
        if (!can_read(a[2], sizeof given))
            return -EFAULT;
        given = *(const struct limit *)a[2];
    }
    if (a[2] && given.soft > given.hard)
        return -EINVAL;
    int64_t error = a[3] ? tell_limit(a[1], a[3]) : 0;
    if (error || !a[2])
        return error;
    if (a[1] == FILES && given.hard > FILES_MAX)
        return -EPERM;
    *limit_of(a[1]) = given;
    return 0;
}

int64_t sys_getrlimit(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return a[0] >= LIMITS ? -EINVAL : tell_limit(a[0], a[1]);
}

int64_t sys_setrlimit(const uint64_t *a, struct frame *frame) {
    (void)frame;
    return a[0] >= LIMITS ? -EINVAL : set_limit(a[0], a[1]);
}

/* ---- prctl ---- */

static int64_t tell_number(uint64_t address, int value) {
    if (!can_write(address, 4))
        return -EFAULT;
    *(int *)address = value;
    return 0;
}

int64_t sys_prctl(const uint64_t *a, struct frame *frame) {
    (void)frame;
    switch ((int)a[0]) {
    case 1: /* PR_SET_PDEATHSIG */
        if (a[1] > SIGNALS)
            return -EINVAL;
        death_signal = (int)a[1];
        return 0;
    case 2:
        return tell_number(a[1], death_signal);
    case 3: /* PR_GET_DUMPABLE */
        return dumpable;
    case 4:
        if (a[1] > 1)
            return -EINVAL;
        dumpable = (int)a[1];
        return 0;
    case 7: /* PR_GET_KEEPCAPS */
        return keep_capabilities;
    case 8:
        if (a[1] > 1)
            return -EINVAL;
        keep_capabilities = (int)a[1];
        return 0;
    case 15: { /* PR_SET_NAME */
        const char *given = path_argument(a[1]);
        if (!given)
            return -EFAULT;
        memset(name, 0, sizeof name);
        memcpy(name, given, MIN(strlen(given), sizeof name - 1));
        return 0;
    }
    case 16:
        if (!can_write(a[1], sizeof name))
            return -EFAULT;
        memcpy((void *)a[1], name, sizeof name);
        return 0;
    case 21: /* PR_GET_SECCOMP */
        return 0;
    case 23: /* PR_CAPBSET_READ */
        return a[1] > 40 ? -EINVAL : 1;
    case 29: /* PR_SET_TIMERSLACK */
        slack_ns = a[1] ? a[1] : 50000;
        return 0;
    case 30:
        return (int64_t)slack_ns;
    case 36: /* PR_SET_CHILD_SUBREAPER */
        subreaper = a[1] != 0;
        return 0;
    case 37:
        return tell_number(a[1], subreaper);
    case 38: /* PR_SET_NO_NEW_PRIVS */
        if (a[1] != 1 || a[2] || a[3] || a[4])
            return -EINVAL;
        no_new = 1;
        return 0;
    case 39:
        return a[1] || a[2] || a[3] || a[4] ? -EINVAL : no_new;
    default:
        return -EINVAL;
    }
}
