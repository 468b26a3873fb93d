/* WebSockets of clients: what the edge tells of them, and what goes to them. What they are to a worker: lazy/sockets.js. */
#include "host.h"

static nk_request *request_of(JSContext *ctx, JSValueConst value) {
    int64_t address = 0;
    JS_ToInt64(ctx, &address, value);
    return (nk_request *)(intptr_t)address;
}

static JSValue number_of(JSContext *ctx, const char *text) {
    return JS_NewInt64(ctx, text ? strtoll(text, NULL, 10) : 0);
}

/* offered(request) -> [number, lineage] of the socket that it may be taken for, or null */
static JSValue offered(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    nk_request *request = request_of(ctx, arguments[0]);
    const char *number = nk_var(request, "NUNATAK_SOCKET"), *lineage = nk_var(request, "NUNATAK_LINEAGE");
    if (!number || !lineage || nk_var(request, "NUNATAK_EVENT"))
        return JS_NULL;
    JSValue values[] = {number_of(ctx, number), JS_NewString(ctx, lineage)};
    return JS_NewArrayFrom(ctx, 2, values);
}

/* event(request) -> [number, lineage, what, bytes the client has taken, close code, closed cleanly]; null: it is none */
static JSValue event(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    nk_request *request = request_of(ctx, arguments[0]);
    const char *what = nk_var(request, "NUNATAK_EVENT"), *lineage = nk_var(request, "NUNATAK_LINEAGE");
    if (!what || !lineage)
        return JS_NULL;
    JSValue values[] = {
        number_of(ctx, nk_var(request, "NUNATAK_SOCKET")), JS_NewString(ctx, lineage),
        JS_NewString(ctx, what), number_of(ctx, nk_var(request, "NUNATAK_TAKEN")),
        number_of(ctx, nk_var(request, "NUNATAK_CODE")),
        JS_NewBool(ctx, strcmp(nk_var(request, "NUNATAK_CLEAN") ? nk_var(request, "NUNATAK_CLEAN") : "", "1") == 0)};
    return JS_NewArrayFrom(ctx, sizeof values / sizeof *values, values);
}

/* send(number, SOCKET_*, bytes, from, to, whether the message ends with them) */
static JSValue send(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    size_t size = 0;
    uint32_t number = 0;
    int32_t kind = 0;
    int64_t from = 0, to = 0;
    const uint8_t *data = JS_GetUint8Array(ctx, &size, arguments[2]);
    if (!data && size)
        return JS_EXCEPTION;
    JS_ToUint32(ctx, &number, arguments[0]);
    JS_ToInt32(ctx, &kind, arguments[1]);
    JS_ToInt64(ctx, &from, arguments[3]);
    JS_ToInt64(ctx, &to, arguments[4]);
    if (from < 0 || to < from || (size_t)to > size)
        return JS_ThrowRangeError(ctx, "bytes of a message expected");
    nk_socket_send(number, kind, data ? data + from : (const uint8_t *)"", (size_t)(to - from), JS_ToBool(ctx, arguments[5]));
    return JS_UNDEFINED;
}

void sockets_begin(JSContext *ctx, JSValue nk) {
    static const JSCFunctionListEntry functions[] = {
        JS_CFUNC_DEF("offered", 1, offered),
        JS_CFUNC_DEF("event", 1, event),
        JS_CFUNC_DEF("send", 6, send),
    };
    JSValue object = JS_NewObject(ctx);
    JS_SetPropertyFunctionList(ctx, object, functions, sizeof functions / sizeof *functions);
    JS_SetPropertyStr(ctx, nk, "socket", object);
}
