/* JSON.stringify for plain data, written straight from the engine's objects; part of engine.c.
 *
 * It goes on only while it is certain that the engine's own would run no code of the program: no getter, no proxy, no
 * toJSON. At the first value that is not certain nothing has happened that anybody could see, and the engine's own
 * function does the whole of it instead; so does it where there are a replacer or spaces, cycles and great depth. */
#include "json.h"

#define DEPTH_MAX 64    /* objects within objects; real documents have less than ten */
#define FRAME_BYTES 512 /* of the stack for each of them, more than it takes */
#define START_SIZE 1024 /* characters; the engine's string gives back what it does not need */

enum outcome { WRITTEN, ABSENT, UNSURE }; /* ABSENT: what JSON has no word for, undefined, functions, symbols */

struct writer {
    JSContext *ctx;
    StringBuffer out;
    const JSObject *clean; /* the last prototype that was found to have no toJSON */
    int depth;
    const JSObject *holders[DEPTH_MAX];
};

static enum outcome put_value(struct writer *writer, JSValueConst value);

/* Nothing at all is not for the engine's functions: a buffer that has failed has no place for it. */
static void put8(struct writer *writer, const uint8_t *text, size_t size) {
    if (size)
        string_buffer_write8(&writer->out, text, (int)size);
}

static void put16(struct writer *writer, const uint16_t *text, size_t size) {
    if (size)
        string_buffer_write16(&writer->out, text, (int)size);
}

static void put(struct writer *writer, const char *text, size_t size) {
    put8(writer, (const uint8_t *)text, size);
}

static void put_escape(struct writer *writer, unsigned sign) {
    static const char digits[] = "0123456789abcdef", letters[] = "btn?fr"; /* from 8 on */
    if (sign == '"' || sign == '\\')
        put(writer, (const char[]){'\\', (char)sign}, 2);
    else if (sign >= 8 && sign <= 13 && sign != 11)
        put(writer, (const char[]){'\\', letters[sign - 8]}, 2);
    else
        put(writer, (const char[]){'\\', 'u', digits[sign >> 12], digits[sign >> 8 & 15], digits[sign >> 4 & 15], digits[sign & 15]}, 6);
}

static inline bool is_plain(unsigned sign) {
    return sign >= ' ' && sign != '"' && sign != '\\';
}

static void put_narrow(struct writer *writer, const uint8_t *text, uint32_t size) {
    uint32_t from = 0;
    for (uint32_t at = 0; at < size; at++) {
        if (likely(is_plain(text[at])))
            continue;
        put8(writer, text + from, at - from);
        put_escape(writer, text[at]);
        from = at + 1;
    }
    put8(writer, text + from, size - from);
}

static void put_wide(struct writer *writer, const uint16_t *text, uint32_t size) {
    uint32_t from = 0;
    for (uint32_t at = 0; at < size; at++) {
        bool half = is_surrogate(text[at]);
        if (half && is_hi_surrogate(text[at]) && at + 1 < size && is_lo_surrogate(text[at + 1])) {
            at++; /* a pair */
            continue;
        }
        if (likely(!half && is_plain(text[at])))
            continue;
        put16(writer, text + from, at - from);
        put_escape(writer, text[at]);
        from = at + 1;
    }
    put16(writer, text + from, size - from);
}

static void put_string(struct writer *writer, JSString *string) {
    string_buffer_putc8(&writer->out, '"');
    if (string->is_wide_char)
        put_wide(writer, str16(string), string->len);
    else
        put_narrow(writer, str8(string), string->len);
    string_buffer_putc8(&writer->out, '"');
}

/* A string that is still a tree of its parts becomes one first, as the engine does it. */
static void put_rope(struct writer *writer, JSValueConst rope) {
    JSValue whole = JS_ToString(writer->ctx, rope);
    if (JS_IsException(whole))
        string_buffer_set_error(&writer->out);
    else
        put_string(writer, JS_VALUE_GET_STRING(whole));
    JS_FreeValue(writer->ctx, whole);
}

/* Whole numbers below 10^15, and decimals of up to six places with fifteen digits in all: no two of them are the same
 * double, so the one that is `value` is the shortest text for it. False for other numbers. */
static bool put_decimal(struct writer *writer, double value) {
    char text[40];
    if (fabs(value) < 1e15 && value == (double)(int64_t)value) {
        put(writer, text, i64toa(text, (int64_t)value)); /* -0 is 0 */
        return true;
    }
    if (!(fabs(value) < 1e9))
        return false;
    int64_t millionths = llrint(value * 1e6);
    if ((double)millionths / 1e6 != value)
        return false;
    size_t length = 0, point;
    if (millionths < 0)
        text[length++] = '-';
    uint64_t size = (uint64_t)llabs(millionths);
    length += u64toa(text + length, size / 1000000);
    point = length;
    length += u64toa(text + length, 1000000 + size % 1000000); /* seven digits: the first gives its place to the point */
    text[point] = '.';
    while (text[length - 1] == '0')
        length--;
    put(writer, text, length);
    return true;
}

static void put_double(struct writer *writer, double value) {
    char text[64];
    JSDTOATempMem scratch;
    if (!isfinite(value))
        put(writer, "null", 4);
    else if (!put_decimal(writer, value))
        put(writer, text, (size_t)js_dtoa(text, value, 10, 0, JS_DTOA_FORMAT_FREE, &scratch));
}

/* Whether nobody would find a toJSON: neither a property nor somebody who could make one up. */
static bool has_no_to_json(struct writer *writer, JSObject *object) {
    const JSObject *prototype = object->shape->proto;
    for (JSObject *holder = object; holder && holder != writer->clean; holder = holder->shape->proto) {
        JSProperty *found;
        if (holder->is_exotic && holder->class_id != JS_CLASS_ARRAY)
            return false;
        if (find_own_property(&found, holder, JS_ATOM_toJSON))
            return false;
    }
    if (prototype)
        writer->clean = prototype;
    return true;
}

static enum outcome put_array(struct writer *writer, JSObject *array) {
    uint32_t count = array->u.array.count;
    JSValueConst length = array->prop[0].u.value;
    if (!array->fast_array || JS_VALUE_GET_TAG(length) != JS_TAG_INT || (uint32_t)JS_VALUE_GET_INT(length) != count)
        return UNSURE; /* holes, which prototypes may fill */
    string_buffer_putc8(&writer->out, '[');
    for (uint32_t n = 0; n < count; n++) {
        if (n)
            string_buffer_putc8(&writer->out, ',');
        enum outcome outcome = put_value(writer, array->u.array.u.values[n]);
        if (outcome == UNSURE)
            return UNSURE;
        if (outcome == ABSENT)
            put(writer, "null", 4);
    }
    string_buffer_putc8(&writer->out, ']');
    return WRITTEN;
}

static void put_name(struct writer *writer, JSAtom name) {
    if (likely(!__JS_AtomIsTaggedInt(name))) {
        put_string(writer, writer->ctx->rt->atom_array[name]);
        return;
    }
    char text[24];
    size_t size = u64toa(text + 1, __JS_AtomToUInt32(name));
    text[0] = text[size + 1] = '"';
    put(writer, text, size + 2);
}

static enum outcome put_member(struct writer *writer, JSAtom name, unsigned flags, JSValueConst value, bool *any) {
    if ((flags & JS_PROP_TMASK) != JS_PROP_NORMAL)
        return UNSURE;
    int before = writer->out.len;
    if (*any)
        string_buffer_putc8(&writer->out, ',');
    put_name(writer, name);
    string_buffer_putc8(&writer->out, ':');
    enum outcome outcome = put_value(writer, value);
    if (outcome == ABSENT && !writer->out.error_status)
        writer->out.len = before;
    *any |= outcome == WRITTEN;
    return outcome;
}

/* Integers come first among an object's names, in their order; the engine sorts them. */
static bool has_integer_names(struct writer *writer, JSShape *shape) {
    const JSShapeProperty *names = get_shape_prop(shape);
    uint32_t number;
    for (int n = 0; n < shape->prop_count; n++)
        if (names[n].atom != JS_ATOM_NULL && JS_AtomIsArrayIndex(writer->ctx, &number, names[n].atom))
            return true;
    return false;
}

static enum outcome put_sorted_members(struct writer *writer, JSObject *object) {
    JSPropertyEnum *names;
    uint32_t count;
    if (JS_GetOwnPropertyNamesInternal(writer->ctx, &names, &count, object, JS_GPN_ENUM_ONLY | JS_GPN_STRING_MASK)) {
        string_buffer_set_error(&writer->out);
        return UNSURE;
    }
    bool any = false;
    enum outcome outcome = WRITTEN;
    for (uint32_t n = 0; n < count && outcome != UNSURE; n++) {
        JSProperty *found;
        JSShapeProperty *about = find_own_property(&found, object, names[n].atom);
        outcome = put_member(writer, names[n].atom, about->flags, found->u.value, &any);
    }
    js_free_prop_enum(writer->ctx, names, count);
    return outcome;
}

static enum outcome put_members(struct writer *writer, JSObject *object) {
    const JSShapeProperty *names = get_shape_prop(object->shape);
    bool any = false;
    for (int n = 0; n < object->shape->prop_count; n++) {
        JSAtom name = names[n].atom;
        if (name == JS_ATOM_NULL || !(names[n].flags & JS_PROP_ENUMERABLE) ||
            JS_AtomGetKind(writer->ctx, name) != JS_ATOM_KIND_STRING)
            continue;
        if (put_member(writer, name, names[n].flags, object->prop[n].u.value, &any) == UNSURE)
            return UNSURE;
    }
    return WRITTEN;
}

static enum outcome put_object(struct writer *writer, JSObject *object) {
    string_buffer_putc8(&writer->out, '{');
    bool sorted = has_integer_names(writer, object->shape);
    if ((sorted ? put_sorted_members : put_members)(writer, object) == UNSURE)
        return UNSURE;
    string_buffer_putc8(&writer->out, '}');
    return WRITTEN;
}

static enum outcome put_holder(struct writer *writer, JSObject *object) {
    if (!has_no_to_json(writer, object))
        return UNSURE;
    if (JS_IsFunction(writer->ctx, JS_MKPTR(JS_TAG_OBJECT, object)))
        return ABSENT;
    bool array = object->class_id == JS_CLASS_ARRAY;
    if (writer->depth == DEPTH_MAX || (!array && (object->class_id != JS_CLASS_OBJECT || object->is_exotic)))
        return UNSURE;
    for (int n = 0; n < writer->depth; n++)
        if (writer->holders[n] == object)
            return UNSURE;
    writer->holders[writer->depth++] = object;
    enum outcome outcome = (array ? put_array : put_object)(writer, object);
    writer->depth--;
    return outcome;
}

static enum outcome put_value(struct writer *writer, JSValueConst value) {
    char text[16];
    switch (JS_VALUE_GET_NORM_TAG(value)) {
    case JS_TAG_OBJECT:
        return put_holder(writer, JS_VALUE_GET_OBJ(value));
    case JS_TAG_STRING:
        put_string(writer, JS_VALUE_GET_STRING(value));
        return WRITTEN;
    case JS_TAG_STRING_ROPE:
        put_rope(writer, value);
        return WRITTEN;
    case JS_TAG_INT:
        put(writer, text, i32toa(text, JS_VALUE_GET_INT(value)));
        return WRITTEN;
    case JS_TAG_FLOAT64:
        put_double(writer, JS_VALUE_GET_FLOAT64(value));
        return WRITTEN;
    case JS_TAG_BOOL:
        JS_VALUE_GET_BOOL(value) ? put(writer, "true", 4) : put(writer, "false", 5);
        return WRITTEN;
    case JS_TAG_NULL:
        put(writer, "null", 4);
        return WRITTEN;
    case JS_TAG_UNDEFINED:
    case JS_TAG_SYMBOL:
        return ABSENT;
    default: /* big integers have prototypes */
        return UNSURE;
    }
}

static bool is_nothing(JSValueConst value) {
    return JS_IsUndefined(value) || JS_IsNull(value);
}

static JSValue stringify(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    bool room = !js_check_stack_overflow(ctx->rt, DEPTH_MAX * FRAME_BYTES);
    if (!room || !is_nothing(arguments[1]) || !is_nothing(arguments[2]))
        return js_json_stringify(ctx, self, count, arguments);
    struct writer writer;
    writer.ctx = ctx;
    writer.clean = NULL;
    writer.depth = 0;
    string_buffer_init(ctx, &writer.out, START_SIZE);
    enum outcome outcome = put_value(&writer, arguments[0]);
    if (writer.out.error_status || outcome == WRITTEN)
        return string_buffer_end(&writer.out);
    string_buffer_free(&writer.out);
    return outcome == ABSENT ? JS_UNDEFINED : js_json_stringify(ctx, self, count, arguments);
}

void json_begin(JSContext *ctx) {
    JSValue global = JS_GetGlobalObject(ctx), json = JS_GetPropertyStr(ctx, global, "JSON");
    JSValue function = JS_NewCFunction(ctx, stringify, "stringify", 3);
    JS_DefinePropertyValueStr(ctx, json, "stringify", function, JS_PROP_WRITABLE | JS_PROP_CONFIGURABLE);
    JS_FreeValue(ctx, json);
    JS_FreeValue(ctx, global);
}
