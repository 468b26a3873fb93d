/*
 * Sockets: WebSockets of clients, which the edge holds. What comes of them are requests with the method SOCKET; what goes
 * to them is here, at any time, within the window that the caller keeps: see abi.py.
 */
#include "requests.h"

/* A message, or a part of one where more of it follows; SOCKET_CLOSE: {u16 code, reason}, whole. */
void socket_send(uint32_t socket, int kind, const void *data, size_t size, bool last) {
    const char *at = data;
    char *piece = heap_alloc(MIN(size, (size_t)NK_RECORD_PAYLOAD_MAX - 1) + 1);
    if (!piece)
        exit_now(NK_EXIT_NO_MEMORY); /* half a message would be taken for another */
    do {
        uint32_t length = (uint32_t)MIN(size, (size_t)NK_RECORD_PAYLOAD_MAX - 1);
        piece[0] = (char)kind;
        memcpy(piece + 1, at, length);
        gate_send(NK_RECORD_SOCKET, last && length == size ? NK_FLAG_END : 0, socket, piece, length + 1);
        at += length;
        size -= length;
    } while (size);
    heap_free(piece);
}
