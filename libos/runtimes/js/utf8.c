/* Text as UTF-8 and back, exactly as the Encoding Standard has it: halves of a pair become U+FFFD, and so does each
 * maximal subpart that is no character (The Unicode Standard, section 3.9). The engine itself is lax in both. */
#include "host.h"

#define REPLACEMENT "\xEF\xBF\xBD"

/* The size of the character at `at`; minus that of a maximal subpart that is none, and whether only its end cut it off. */
static int step(const uint8_t *at, const uint8_t *end, bool *cut) {
    uint8_t lead = *at, low = 0x80, high = 0xBF;
    int size = lead < 0x80 ? 1 : lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
    low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : low;
    high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : high;
    for (int n = 1; n < size; n++, low = 0x80, high = 0xBF) {
        *cut = at + n == end;
        if (*cut || at[n] < low || at[n] > high)
            return -n;
    }
    return size ? size : -1;
}

/* The first byte from `at` that is not ASCII. */
static const uint8_t *skip_ascii(const uint8_t *at, const uint8_t *end) {
    for (uint64_t eight; end - at >= 8; at += 8) {
        memcpy(&eight, at, 8);
        if (eight & 0x8080808080808080)
            break;
    }
    while (at < end && *at < 0x80)
        at++;
    return at;
}

/* How many subparts are no characters. */
static size_t count_wrong(const uint8_t *at, const uint8_t *end) {
    size_t wrong = 0;
    bool cut = false;
    while ((at = skip_ascii(at, end)) < end) {
        int size = step(at, end, &cut);
        wrong += size < 0;
        at += abs(size);
    }
    return wrong;
}

/* decode(bytes, fatal) -> text; undefined: there is something that is no character, and fatal */
static JSValue decode(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self;
    size_t size = 0;
    const uint8_t *at = bridge_bytes(ctx, arguments[0], &size), *end = at + size;
    if (!at)
        return JS_EXCEPTION;
    size_t wrong = count_wrong(at, end), length = 0;
    if (!wrong)
        return JS_NewStringLen(ctx, (const char *)at, size);
    if (count > 1 && JS_ToBool(ctx, arguments[1]))
        return JS_UNDEFINED;
    char *text = js_malloc(ctx, size + 3 * wrong);
    if (!text)
        return JS_EXCEPTION;
    for (bool cut = false; at < end;) {
        int part = step(at, end, &cut);
        memcpy(text + length, part > 0 ? (const char *)at : REPLACEMENT, part > 0 ? (size_t)part : 3);
        length += part > 0 ? (size_t)part : 3;
        at += abs(part);
    }
    JSValue result = JS_NewStringLen(ctx, text, length);
    js_free(ctx, text);
    return result;
}

/* unfinished(bytes) -> how many at their end may be the beginning of a character */
static JSValue unfinished(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    size_t size = 0;
    const uint8_t *data = bridge_bytes(ctx, arguments[0], &size);
    if (!data)
        return JS_EXCEPTION;
    for (size_t back = size < 3 ? size : 3; back; back--) {
        bool cut = false;
        const uint8_t *at = data + size - back;
        if (*at >= 0xC0 && step(at, data + size, &cut) == -(int)back && cut)
            return JS_NewInt32(ctx, (int)back);
    }
    return JS_NewInt32(ctx, 0);
}

/* The engine writes a half of a pair as three bytes, ED A0 80 to ED BF BF: as many as U+FFFD has. */
void utf8_whole(uint8_t *text, size_t size) {
    for (uint8_t *end = text + size; (text = memchr(text, 0xED, (size_t)(end - text))); text++)
        if (end - text >= 3 && text[1] >= 0xA0)
            memcpy(text, REPLACEMENT, 3);
}

/* encode(text) -> Uint8Array */
static JSValue encode(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    size_t size = 0;
    const char *text = JS_ToCStringLen(ctx, &size, arguments[0]);
    if (!text)
        return JS_EXCEPTION;
    JSValue result = JS_NewUint8ArrayCopy(ctx, (const uint8_t *)text, size);
    JS_FreeCString(ctx, text);
    uint8_t *bytes = size ? JS_GetUint8Array(ctx, &size, result) : NULL;
    if (bytes)
        utf8_whole(bytes, size);
    return result;
}

/* encodeInto(text, bytes) -> [UTF-16 units read, bytes written], of whole characters */
static JSValue encode_into(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    size_t size = 0, room = 0, written = 0;
    uint8_t *to = JS_GetUint8Array(ctx, &room, arguments[1]);
    const char *text = to || !room ? JS_ToCStringLen(ctx, &size, arguments[0]) : NULL;
    if (!text)
        return JS_EXCEPTION;
    int32_t units = 0;
    while (written < size) {
        uint8_t lead = (uint8_t)text[written];
        size_t part = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
        if (written + part > room)
            break;
        memcpy(to + written, text + written, part);
        written += part;
        units += part == 4 ? 2 : 1;
    }
    if (written)
        utf8_whole(to, written);
    JS_FreeCString(ctx, text);
    return JS_NewArrayFrom(ctx, 2, (JSValue[]){JS_NewInt32(ctx, units), JS_NewInt64(ctx, (int64_t)written)});
}

void utf8_begin(JSContext *ctx, JSValue nk) {
    static const JSCFunctionListEntry functions[] = {
        JS_CFUNC_DEF("decode", 2, decode),
        JS_CFUNC_DEF("unfinished", 1, unfinished),
        JS_CFUNC_DEF("encode", 1, encode),
        JS_CFUNC_DEF("encodeInto", 2, encode_into),
    };
    JS_SetPropertyFunctionList(ctx, nk, functions, sizeof functions / sizeof *functions);
}
