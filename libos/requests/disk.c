/*
 * Disks: a fiber that waits for its request's completion lets the others run.
 *
 * A request's id is its place in `slots`. The buffer of a request belongs to the VMM until it is done, so a fiber whose
 * client goes away waits on.
 */
#include "requests.h"

enum slot_state { SLOT_FREE, SLOT_ASKED, SLOT_DONE };
static struct slot {
    struct fiber *fiber; /* who waits; NULL: main(), or nobody, for who polls */
    enum slot_state state;
    int32_t result;
    bool polled;
} slots[NK_DISK_SLOTS];
static unsigned asked; /* slots that are not free */
static bool late;      /* completions were noted on a fiber's stack, where nobody can be woken */

int disk_find(const char *name) {
    for (unsigned disk = 0; disk < NK_INFO->disks; disk++)
        if (!strcmp((const char *)NK_DISK_IN->table[disk].name, name))
            return (int)disk;
    return -1;
}

bool disk_about(int disk, struct nk_disk_about *about) {
    if (disk < 0 || (unsigned)disk >= NK_INFO->disks)
        return false;
    about->bytes = NK_DISK_IN->table[disk].bytes;
    about->kind = NK_DISK_IN->table[disk].kind;
    about->name = (const char *)NK_DISK_IN->table[disk].name;
    return true;
}

static struct slot *submit(int op, int disk, const void *buffer, size_t size, uint64_t offset) {
    struct slot *slot = slots;
    if (!NK_INFO->disks || asked == NK_DISK_SLOTS)
        return NULL;
    while (slot->state != SLOT_FREE)
        slot++;
    disk_ring_put(&(struct nk_disk_request){
        .id = (uint32_t)(slot - slots),
        .op = (uint16_t)op,
        .disk = (uint16_t)disk,
        .offset = offset,
        .address = (uintptr_t)buffer,
        .length = (uint32_t)size,
    });
    slot->state = SLOT_ASKED;
    slot->fiber = current;
    slot->polled = false;
    asked++;
    return slot;
}

static int32_t take(struct slot *slot) {
    slot->state = SLOT_FREE;
    asked--;
    return slot->result;
}

/* Notes what is complete, and wakes the fibers that wait for it. From the loop, or from whoever has no fiber. */
void disk_collect(void) {
    if (!asked)
        return;
    struct nk_disk_completion completion;
    while (disk_ring_next(&completion)) { /* a fiber that goes on may collect, too */
        if (completion.id >= NK_DISK_SLOTS || slots[completion.id].state != SLOT_ASKED)
            panic("disk: a completion nobody asked for");
        struct slot *slot = &slots[completion.id];
        slot->result = completion.result;
        slot->state = SLOT_DONE;
        if (slot->fiber && !current)
            fiber_resume(slot->fiber);
        late |= slot->fiber && current;
    }
    for (struct slot *slot = slots; late && !current && slot < slots + NK_DISK_SLOTS; slot++)
        if (slot->state == SLOT_DONE && slot->fiber)
            fiber_resume(slot->fiber);
    late &= current != NULL;
}

static int32_t wait_for(struct slot *slot) {
    while (slot->state != SLOT_DONE) {
        if (current) { /* also woken when its client is gone */
            fiber_wait(FIBER_WAITS_DISK);
            continue;
        }
        disk_collect();
        if (slot->state != SLOT_DONE)
            HYPERCALL(NK_PORT_IDLE, NK_IDLE_FOREVER, 0);
    }
    return take(slot);
}

/* One operation after another, each as large as a request may be; bytes, or a negative errno. */
static ptrdiff_t transfer(int op, int disk, const char *buffer, size_t size, uint64_t offset) {
    size_t done = 0;
    do {
        size_t part = MIN(size - done, (size_t)NK_DISK_LENGTH_MAX);
        struct slot *slot = submit(op, disk, buffer + done, part, offset + done);
        int32_t result = slot ? wait_for(slot) : NK_DISK_FULL;
        if (result < 0)
            return result;
        done += (size_t)result;
        if ((size_t)result < part)
            break;
    } while (done < size);
    return (ptrdiff_t)done;
}

ptrdiff_t disk_read(int disk, void *to, size_t size, uint64_t offset) {
    return transfer(NK_DISK_READ, disk, to, size, offset);
}

ptrdiff_t disk_write(int disk, const void *from, size_t size, uint64_t offset) {
    return transfer(NK_DISK_WRITE, disk, from, size, offset);
}

int disk_flush(int disk) {
    return (int)transfer(NK_DISK_FLUSH, disk, NULL, 0, 0);
}

int disk_append(int disk, const void *record, size_t size) {
    if (size > NK_DISK_LENGTH_MAX)
        return NK_DISK_INVALID;
    return (int)transfer(NK_DISK_APPEND, disk, record, size, 0);
}

/* For event loops: ask without waiting. The request's number, or -1 when DISK_SLOTS are under way. */
int disk_submit(int op, int disk, void *buffer, size_t size, uint64_t offset) {
    struct slot *slot = submit(op, disk, buffer, size, offset);
    if (!slot)
        return -1;
    slot->fiber = NULL;
    slot->polled = true;
    return (int)(slot - slots);
}

/* And look without waiting: the number of a request that is complete, or -1. */
int disk_poll(int32_t *result) {
    disk_collect();
    for (struct slot *slot = slots; asked && slot < slots + NK_DISK_SLOTS; slot++)
        if (slot->polled && slot->state == SLOT_DONE) {
            *result = take(slot);
            return (int)(slot - slots);
        }
    return -1;
}

/* For one read among those of a program: its number, or -1; the program's own disk_poll() does not see it. */
int disk_read_begin(int disk, void *to, size_t size, uint64_t offset) {
    struct slot *slot = submit(NK_DISK_READ, disk, to, size, offset);
    if (!slot)
        return -1;
    slot->fiber = NULL;
    return (int)(slot - slots);
}

/* Whether it is complete; then its number is free again. */
bool disk_read_done(int number, int32_t *result) {
    if (slots[number].state != SLOT_DONE)
        return false;
    *result = take(&slots[number]);
    return true;
}
