/*
 * Sockets: WebSockets of clients, which the edge holds. What comes of them are requests with the method SOCKET; what goes
 * to them is here, at any time, within the window that the caller keeps: see abi.py.
 */
#include "requests.h"

#define PIECE_MAX (NK_RECORD_PAYLOAD_MAX - 1)

/* A message, or a part of one of which more follows; SOCKET_CLOSE: {u16 code, reason}, whole. */
void socket_send(uint32_t socket, int kind, const void *data, size_t size, bool last) {
    const char *at = data;
    for (; size > PIECE_MAX; at += PIECE_MAX, size -= PIECE_MAX)
        gate_send_kind(NK_RECORD_SOCKET, 0, socket, (uint8_t)kind, at, PIECE_MAX);
    gate_send_kind(NK_RECORD_SOCKET, last ? NK_FLAG_END : 0, socket, (uint8_t)kind, at, (uint32_t)size);
}
