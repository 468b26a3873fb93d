/* `__nk`: the few functions that the prelude cannot write itself. A request's handle is its address, which only the
 * prelude has: it deletes `__nk` from the global object before a worker runs. */
#include <math.h>

#include "async_context.h"
#include "host.h"

#define TEXT_MAX (64 << 10) /* a header's value; longer ones are cut by the VMM anyway */

bool serving;

static nk_request *request_of(JSContext *ctx, JSValueConst value) {
    int64_t address = 0;
    JS_ToInt64(ctx, &address, value);
    return (nk_request *)(intptr_t)address;
}

void bridge_show_error(JSContext *ctx, const char *what, JSValue error) {
    const char *text = JS_ToCString(ctx, error);
    JSValue trace = JS_IsError(error) ? JS_GetPropertyStr(ctx, error, "stack") : JS_UNDEFINED;
    const char *stack = JS_IsUndefined(trace) ? NULL : JS_ToCString(ctx, trace);
    nk_log("%s: %s", what, text ? text : "?");
    for (const char *line = stack; line && *line;) {
        size_t size = strcspn(line, "\n");
        nk_log("%.*s", (int)size, line);
        line += size + (line[size] != 0);
    }
    JS_FreeCString(ctx, stack);
    JS_FreeCString(ctx, text);
    JS_FreeValue(ctx, trace);
    JS_FreeValue(ctx, error);
}

const uint8_t *bridge_bytes(JSContext *ctx, JSValueConst value, size_t *size) {
    uint8_t *data = JS_GetArrayBuffer(ctx, size, value);
    if (data || JS_IsArrayBuffer(value))
        return data ? data : (const uint8_t *)"";
    JS_FreeValue(ctx, JS_GetException(ctx));
    size_t offset = 0, length = 0, element = 0;
    JSValue buffer = JS_GetTypedArrayBuffer(ctx, value, &offset, &length, &element);
    if (JS_IsException(buffer))
        return NULL;
    data = JS_GetArrayBuffer(ctx, size, buffer);
    JS_FreeValue(ctx, buffer);
    *size = length;
    return data ? data + offset : (const uint8_t *)"";
}

/* The variables that make a request's URL. */
enum { METHOD, RAW_PATH, PATH, QUERY, HOST, SCHEME, WANTED };
static const char *const wanted[WANTED] = {
    "REQUEST_METHOD", "NUNATAK_RAW_PATH", "PATH_INFO", "QUERY_STRING", "HTTP_HOST", "REQUEST_SCHEME"};

static void look_up(nk_request *request, const char *found[WANTED]) {
    const char *name = NULL, *value;
    while (nk_next_var(request, &name, &value))
        for (int n = 0; n < WANTED; n++)
            if (*name == *wanted[n] && !strcmp(name, wanted[n]))
                found[n] = value;
}

JSValue array_of(JSContext *ctx, int count, const JSValue *values) {
    for (int n = 0; n < count; n++)
        if (JS_IsException(values[n])) {
            for (n = 0; n < count; n++)
                JS_FreeValue(ctx, values[n]);
            return JS_EXCEPTION;
        }
    return JS_NewArrayFrom(ctx, count, values);
}

/* about(request) -> [method, URL, fields, where the URL's host name, its host and its path end]: 0, 0, 0 where the parser
 * has to say. Fields are for fields(). */
static JSValue about(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    nk_request *request = request_of(ctx, arguments[0]);
    const char *found[WANTED] = {[METHOD] = "", [PATH] = "", [QUERY] = "", [HOST] = "localhost", [SCHEME] = "http"};
    look_up(request, found);
    if (!*found[HOST]) /* the client has said none */
        found[HOST] = "localhost";
    const char *path = found[RAW_PATH] ? found[RAW_PATH] : found[PATH];
    bool secure = !strcmp(found[SCHEME], "https"); /* by a proxy in front of the edge */
    const char *const texts[] = {
        secure ? "https://" : "http://", found[HOST], *path == '/' ? "" : "/", path, *found[QUERY] ? "?" : "", found[QUERY]};
    size_t size = 0, sizes[sizeof texts / sizeof *texts];
    for (size_t n = 0; n < sizeof texts / sizeof *texts; n++)
        size += sizes[n] = strlen(texts[n]);
    char *url = js_malloc(ctx, size + 1), *at = url;
    if (!url)
        return JS_EXCEPTION;
    for (size_t n = 0; n < sizeof texts / sizeof *texts; n++)
        at = (char *)memcpy(at, texts[n], sizes[n]) + sizes[n];
    struct url_parts parts = {0};
    if (!secure) /* whose size a URL from the gate is taken to have */
        url_parts(url, size, sizes[0], sizes[1], &parts);
    JSValue values[] = {
        JS_NewString(ctx, found[METHOD]), JS_NewStringLen(ctx, url, size), headers_copy(ctx, request),
        JS_NewInt32(ctx, parts.name_end), JS_NewInt32(ctx, parts.host_end), JS_NewInt32(ctx, parts.path_end)};
    js_free(ctx, url);
    return array_of(ctx, sizeof values / sizeof *values, values);
}

/* settled(value) -> what a promise has come to, where nobody could tell that it was not waited for: it is fulfilled, and
 * no job of the program is left that would run before. Else undefined. */
static JSValue settled(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    bool fulfilled = JS_IsPromise(arguments[0]) && JS_PromiseState(ctx, arguments[0]) == JS_PROMISE_FULFILLED;
    return fulfilled && !JS_IsJobPending(JS_GetRuntime(ctx)) ? JS_PromiseResult(ctx, arguments[0]) : JS_UNDEFINED;
}

/* read(request) -> ArrayBuffer, null at the end, undefined: later, false: the client is gone. */
static JSValue read_body(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    static uint8_t buffer[NK_RECORD_PAYLOAD_MAX];
    ptrdiff_t size = nk_read(request_of(ctx, arguments[0]), buffer, sizeof buffer);
    if (size > 0)
        return JS_NewArrayBufferCopy(ctx, buffer, (size_t)size);
    return size == 0 ? JS_NULL : size == NK_WOULD_WAIT ? JS_UNDEFINED : JS_FALSE;
}

/* head(request, status, [name, value, ...]) -> false: the fields are too large, and none of them is there */
static JSValue head(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    nk_request *request = request_of(ctx, arguments[0]);
    int32_t status = 0;
    int64_t length = 0;
    JS_ToInt32(ctx, &status, arguments[1]);
    nk_status(request, status);
    JS_GetLength(ctx, arguments[2], &length);
    for (uint32_t n = 0; n + 1 < length; n += 2) {
        JSValue name = JS_GetPropertyUint32(ctx, arguments[2], n), value = JS_GetPropertyUint32(ctx, arguments[2], n + 1);
        const char *name_text = JS_ToCString(ctx, name), *value_text = JS_ToCString(ctx, value);
        bool fits = name_text && value_text && !nk_header(request, name_text, value_text);
        if (!fits)
            nk_log("header %s: at most 64 KiB in all, without control characters, expected", name_text ? name_text : "?");
        JS_FreeCString(ctx, name_text);
        JS_FreeCString(ctx, value_text);
        JS_FreeValue(ctx, name);
        JS_FreeValue(ctx, value);
        if (!fits) {
            nk_restart(request);
            return JS_FALSE;
        }
    }
    return JS_UNDEFINED;
}

/* write(request, string or bytes, offset) -> how many bytes went, -1: the client is gone. */
static JSValue write_body(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    nk_request *request = request_of(ctx, arguments[0]);
    size_t size = 0;
    if (JS_IsString(arguments[1])) { /* only where it is known to fit, so there is no offset */
        const char *text = JS_ToCStringLen(ctx, &size, arguments[1]);
        if (!text)
            return JS_EXCEPTION;
        utf8_whole((uint8_t *)(uintptr_t)text, size); /* a copy, unless it is ASCII */
        ptrdiff_t sent = nk_event_write(request, text, size);
        JS_FreeCString(ctx, text);
        return JS_NewInt64(ctx, sent);
    }
    const uint8_t *data = bridge_bytes(ctx, arguments[1], &size);
    int64_t offset = 0;
    JS_ToInt64(ctx, &offset, arguments[2]);
    if (!data)
        return JS_EXCEPTION;
    if (offset < 0 || (size_t)offset > size)
        return JS_ThrowRangeError(ctx, "offset");
    return JS_NewInt64(ctx, nk_event_write(request, data + offset, size - (size_t)offset));
}

static JSValue end(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    nk_event_end(request_of(ctx, arguments[0]), JS_ToBool(ctx, arguments[1]));
    return JS_UNDEFINED;
}

/* jobs(): what is due before anybody else has a turn */
static JSValue jobs(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)ctx, (void)self, (void)count, (void)arguments;
    run_jobs();
    return JS_UNDEFINED;
}

/* context() -> the value that goes with the work that runs now; context(value) sets it */
static JSValue context(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self;
    if (!count)
        return async_context_get(ctx);
    async_context_set(ctx, arguments[0]);
    return JS_UNDEFINED;
}

/* owes(whether work is under way that outlives its request) */
static JSValue owes(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    nk_event_owes(JS_ToBool(ctx, arguments[0]));
    return JS_UNDEFINED;
}

static JSValue gone(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    return JS_NewBool(ctx, nk_event_gone(request_of(ctx, arguments[0])));
}

static JSValue log_line(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    const char *text = JS_ToCString(ctx, arguments[0]);
    for (const char *line = text; line && *line;) {
        size_t size = strcspn(line, "\n");
        nk_log("%.*s", (int)size, line);
        line += size + (line[size] != 0);
    }
    JS_FreeCString(ctx, text);
    return JS_UNDEFINED;
}

static JSValue is_serving(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count, (void)arguments;
    return JS_NewBool(ctx, serving);
}

/* Whether there are random bytes: in a machine, or in an image that is built with the builder's. */
static JSValue has_entropy(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count, (void)arguments;
    return JS_NewBool(ctx, nk_generation() != 0);
}

static JSValue wall_ms(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count, (void)arguments;
    return JS_NewFloat64(ctx, floor((double)nk_wall_ns() / 1e6));
}

static JSValue mono_ms(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count, (void)arguments;
    return JS_NewFloat64(ctx, serving ? (double)(nk_mono_ns() / 1000) / 1e3 : 0); /* or no image would be like another */
}

/* random(bytes): fills them */
static JSValue fill_random(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    size_t size = 0;
    const uint8_t *data = bridge_bytes(ctx, arguments[0], &size);
    if (!data)
        return JS_EXCEPTION;
    nk_random((void *)(uintptr_t)data, size);
    return JS_UNDEFINED;
}

static JSValue random_number(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count, (void)arguments;
    uint64_t bits;
    nk_random(&bits, sizeof bits);
    return JS_NewFloat64(ctx, (double)(bits >> 11) * 0x1p-53);
}

static JSValue hash(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    size_t size = 0;
    uint8_t out[64];
    const uint8_t *data = bridge_bytes(ctx, arguments[1], &size);
    const char *name = JS_ToCString(ctx, arguments[0]);
    size_t length = data && name ? digest(name, data, size, out) : 0;
    JS_FreeCString(ctx, name);
    if (!data)
        return JS_EXCEPTION;
    return length ? JS_NewArrayBufferCopy(ctx, out, length) : JS_NULL;
}

static JSValue variables(JSContext *ctx, uint32_t most) {
    JSValue result = JS_NewObject(ctx);
    for (const char *entry = NULL; most-- && (entry = nk_next_env(entry));) {
        const char *value = strchr(entry, '=');
        if (value) {
            JSAtom name = JS_NewAtomLen(ctx, entry, (size_t)(value - entry));
            JS_DefinePropertyValue(ctx, result, name, JS_NewString(ctx, value + 1), JS_PROP_C_W_E);
            JS_FreeAtom(ctx, name);
        }
    }
    return result;
}

/* env() -> {NAME: value}, secrets among them */
static JSValue env(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count, (void)arguments;
    return variables(ctx, UINT32_MAX);
}

/* secrets() -> {NAME: value} of those that the edge gives: the first of the environment */
static JSValue secrets(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count, (void)arguments;
    return variables(ctx, NK_INFO->secrets);
}

static nk_upstream *upstream_of(JSContext *ctx, JSValueConst value) {
    int64_t address = 0;
    JS_ToInt64(ctx, &address, value);
    return (nk_upstream *)(intptr_t)address;
}

/* open(method, url, "name\0value\0..." as bytes, has a body) -> handle, 0: not now */
static JSValue up_open(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    size_t size = 0;
    const char *method = JS_ToCString(ctx, arguments[0]), *url = JS_ToCString(ctx, arguments[1]);
    const uint8_t *fields = bridge_bytes(ctx, arguments[2], &size); /* ends with two NULs */
    nk_upstream *upstream = NULL;
    if (method && url && fields && size >= 2 && !fields[size - 1] && !fields[size - 2])
        upstream = nk_upstream_open(method, url, (const char *)fields, JS_ToBool(ctx, arguments[3]));
    JS_FreeCString(ctx, method);
    JS_FreeCString(ctx, url);
    return JS_NewInt64(ctx, (intptr_t)upstream);
}

static JSValue up_write(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    size_t size = 0;
    int64_t offset = 0;
    const uint8_t *data = bridge_bytes(ctx, arguments[1], &size);
    JS_ToInt64(ctx, &offset, arguments[2]);
    if (!data || offset < 0 || (size_t)offset > size)
        return JS_ThrowRangeError(ctx, "bytes expected");
    return JS_NewInt64(
        ctx, nk_upstream_write(upstream_of(ctx, arguments[0]), data + offset, size - (size_t)offset, JS_ToBool(ctx, arguments[3])));
}

static JSValue up_status(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    return JS_NewInt32(ctx, nk_upstream_status(upstream_of(ctx, arguments[0])));
}

static JSValue up_fields(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    nk_upstream *upstream = upstream_of(ctx, arguments[0]);
    JSValue result = JS_NewArray(ctx);
    const char *name = NULL, *value;
    uint32_t at = 0;
    while (nk_upstream_next_field(upstream, &name, &value)) {
        JS_SetPropertyUint32(ctx, result, at++, JS_NewString(ctx, name));
        JS_SetPropertyUint32(ctx, result, at++, JS_NewString(ctx, value));
    }
    return result;
}

static JSValue up_read(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    static uint8_t buffer[NK_RECORD_PAYLOAD_MAX];
    ptrdiff_t size = nk_upstream_read(upstream_of(ctx, arguments[0]), buffer, sizeof buffer);
    if (size > 0)
        return JS_NewArrayBufferCopy(ctx, buffer, (size_t)size);
    return size == 0 ? JS_NULL : size == NK_WOULD_WAIT ? JS_UNDEFINED : JS_FALSE;
}

static JSValue up_error(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    const char *error = nk_upstream_error(upstream_of(ctx, arguments[0]));
    return error ? JS_NewString(ctx, error) : JS_UNDEFINED;
}

static JSValue up_close(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    nk_upstream_close(upstream_of(ctx, arguments[0]));
    return JS_UNDEFINED;
}

static const JSCFunctionListEntry functions[] = {
    JS_CFUNC_DEF("about", 1, about),         JS_CFUNC_DEF("settled", 1, settled),
    JS_CFUNC_DEF("read", 1, read_body),   JS_CFUNC_DEF("head", 3, head),
    JS_CFUNC_DEF("write", 3, write_body),    JS_CFUNC_DEF("end", 2, end),          JS_CFUNC_DEF("gone", 1, gone),
    JS_CFUNC_DEF("log", 1, log_line),        JS_CFUNC_DEF("serving", 0, is_serving), JS_CFUNC_DEF("wall", 0, wall_ms),
    JS_CFUNC_DEF("mono", 0, mono_ms),        JS_CFUNC_DEF("random", 1, fill_random), JS_CFUNC_DEF("number", 0, random_number),
    JS_CFUNC_DEF("hash", 2, hash),          
    JS_CFUNC_DEF("env", 0, env),             JS_CFUNC_DEF("secrets", 0, secrets),   JS_CFUNC_DEF("upOpen", 4, up_open),   JS_CFUNC_DEF("upWrite", 4, up_write),
    JS_CFUNC_DEF("upStatus", 1, up_status),  JS_CFUNC_DEF("upFields", 1, up_fields), JS_CFUNC_DEF("upRead", 1, up_read),
    JS_CFUNC_DEF("upError", 1, up_error),    JS_CFUNC_DEF("upClose", 1, up_close), JS_CFUNC_DEF("entropy", 0, has_entropy),
    JS_CFUNC_DEF("jobs", 0, jobs), JS_CFUNC_DEF("owes", 1, owes), JS_CFUNC_DEF("context", 0, context),
};

void bridge_begin(JSContext *ctx, JSValue global) {
    JSValue nk = JS_NewObject(ctx);
    JS_SetPropertyFunctionList(ctx, nk, functions, sizeof functions / sizeof *functions);
    headers_begin(ctx, nk);
    compress_begin(ctx, nk);
    inflate_begin(ctx, nk);
    parts_begin(ctx, nk);
    bodies_begin(ctx, nk);
    sockets_begin(ctx, nk);
    subtle_begin(ctx, nk);
    url_begin(ctx, nk);
    utf8_begin(ctx, nk);
    json_begin(ctx);
    JS_SetPropertyStr(ctx, global, "__nk", nk);
}
