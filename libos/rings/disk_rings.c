/*
 * The disks' rings: requests in one page to the VMM, completions in one page from it (abi.h says the format).
 *
 * Nothing here notifies the VMM: it looks at the ring at every exit, so what all fibers asked for rides on the IDLE that
 * ends the turn. Both rings have DISK_SLOTS places, and the caller keeps no more requests under way than that.
 */
#include "rings.h"

void disk_ring_put(const struct nk_disk_request *request) {
    uint32_t head = NK_DISK_OUT->out_head;
    NK_DISK_OUT->requests[head % NK_DISK_SLOTS] = *request;
    __asm__ volatile("" ::: "memory"); /* buffer and request before the index that shows them */
    NK_DISK_OUT->out_head = head + 1;
}

/* The next completion, in no order; false when there is none. */
bool disk_ring_next(struct nk_disk_completion *completion) {
    uint32_t tail = NK_DISK_OUT->in_tail;
    if (tail == NK_DISK_IN->in_head)
        return false;
    completion->id = NK_DISK_IN->completions[tail % NK_DISK_SLOTS].id;
    completion->result = NK_DISK_IN->completions[tail % NK_DISK_SLOTS].result;
    NK_DISK_OUT->in_tail = tail + 1;
    return true;
}
