/* What rings/ offers: what machine and VMM pass each other in shared memory, checked as it comes in. Who waits for it is
 * decided above. */
#ifndef RINGS_H
#define RINGS_H

#include "../base/base.h"

/* ---- gate.c: records in and out ---- */
struct record {
    uint16_t type, flags;
    uint32_t stream, length;
    const char *payload; /* in the ring; good until gate_release() */
};
bool gate_next(struct record *record);
void gate_release(const struct record *record);
void gate_send(uint16_t type, uint16_t flags, uint32_t stream, const void *payload, uint32_t length);
void gate_send_kind(uint16_t type, uint16_t flags, uint32_t stream, uint8_t kind, const void *data, uint32_t length);
void gate_credit(uint32_t stream, uint32_t bytes);

/* ---- disk_rings.c: requests to disks out, completions in ---- */
void disk_ring_put(const struct nk_disk_request *request);
bool disk_ring_next(struct nk_disk_completion *completion);

#endif
