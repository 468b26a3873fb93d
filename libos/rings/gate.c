/*
 * The gate: two rings of records in guest memory, one writer and one reader each (abi.h says the format).
 *
 * Counters run on modulo 2^32 and the ring sizes divide that, so `head - tail` is always the number of bytes under way.
 * A record is contiguous: readers get a pointer into the ring, writers fill their payload in place.
 */
#include "rings.h"

#define RECORD_SIZE(length) (NK_RECORD_HEADER_SIZE + ALIGN_UP(length, NK_RECORD_ALIGN))

_Static_assert(NK_GATE_SIZE % NK_RECORD_ALIGN == 0 && (NK_GATE_SIZE & (NK_GATE_SIZE - 1)) == 0, "counters wrap");
_Static_assert(RECORD_SIZE(NK_RECORD_PAYLOAD_MAX) * 2 <= NK_GATE_SIZE, "an empty ring always takes a record");

/* The next record, without its padding; false when there is none. */
bool gate_next(struct record *record) {
    for (;;) {
        uint32_t tail = NK_CONTROL->in_tail, waiting = NK_INFO->in_head - tail;
        if (waiting == 0)
            return false;
        uint32_t at = tail % NK_GATE_SIZE, rest = NK_GATE_SIZE - at;
        if (waiting > NK_GATE_SIZE || waiting % NK_RECORD_ALIGN)
            panic("gate: impossible head");
        if (rest < NK_RECORD_HEADER_SIZE) {
            NK_CONTROL->in_tail = tail + rest;
            continue;
        }
        const struct nk_record_header *header = (const void *)(uintptr_t)(NK_GATE_IN_ADDRESS + at);
        uint32_t length = header->length;
        if (length > NK_RECORD_PAYLOAD_MAX || RECORD_SIZE(length) > rest || RECORD_SIZE(length) > waiting)
            panic("gate: impossible record");
        record->type = header->type;
        record->flags = header->flags;
        record->stream = header->stream;
        record->length = length;
        record->payload = (const char *)(header + 1);
        if (record->type != NK_RECORD_PAD)
            return true;
        gate_release(record);
    }
}

/* Gives the record's place in the ring back to the VMM. */
void gate_release(const struct record *record) {
    __asm__ volatile("" ::: "memory"); /* every use of the payload before this */
    NK_CONTROL->in_tail += (uint32_t)RECORD_SIZE(record->length);
}

/* Room for `size` contiguous bytes at the head of the ring, where PAD records count as used: the place, or NULL. */
static struct nk_record_header *place(uint32_t size, uint32_t *head) {
    uint32_t room = NK_GATE_SIZE - (*head - NK_INFO->out_tail);
    uint32_t at = *head % NK_GATE_SIZE, rest = NK_GATE_SIZE - at;
    if (size <= rest)
        return size <= room ? (void *)(uintptr_t)(NK_GATE_OUT_ADDRESS + at) : NULL;
    if (rest + size > room)
        return NULL;
    if (rest >= NK_RECORD_HEADER_SIZE)
        *(struct nk_record_header *)(uintptr_t)(NK_GATE_OUT_ADDRESS + at) =
            (struct nk_record_header){rest - NK_RECORD_HEADER_SIZE, NK_RECORD_PAD, 0, 0, 0};
    *head += rest;
    return (void *)NK_GATE_OUT_ADDRESS;
}

/* One record, whose payload is in two parts. The ring is drained while nobody else runs, so this never waits. */
static void put(struct nk_record_header about, const void *first, uint32_t first_length, const void *rest) {
    uint32_t length = about.length;
    uint32_t size = RECORD_SIZE(length), head = NK_CONTROL->out_head;
    struct nk_record_header *header = place(size, &head);
    if (!header) {
        HYPERCALL(NK_PORT_NOTIFY, NK_NOTIFY_GATE, 0);
        header = place(size, &head);
        if (!header)
            panic("gate: the VMM does not drain the ring");
    }
    *header = about;
    memcpy(header + 1, first, first_length);
    memcpy((char *)(header + 1) + first_length, rest, length - first_length);
    __asm__ volatile("" ::: "memory"); /* the record before the index that shows it */
    NK_CONTROL->out_head = head + size;
}

void gate_send(uint16_t type, uint16_t flags, uint32_t stream, const void *payload, uint32_t length) {
    put((struct nk_record_header){length, type, flags, stream, 0}, payload, length, NULL);
}

/* A record whose payload begins with a byte that says what the others are. */
void gate_send_kind(uint16_t type, uint16_t flags, uint32_t stream, uint8_t kind, const void *data, uint32_t length) {
    put((struct nk_record_header){length + 1, type, flags, stream, 0}, &kind, 1, data);
}

/* Lets the client send `bytes` more of its request body. */
void gate_credit(uint32_t stream, uint32_t bytes) {
    if (bytes)
        gate_send(NK_RECORD_CREDIT, 0, stream, &bytes, sizeof bytes);
}
