/* Header fields: names and values checked without a regular expression, and a request's own made when somebody asks. */
#include "host.h"

#define NAME_MAX 200 /* longer names go the long way */

/* 1: part of a name, 2: a letter that becomes a small one (RFC 9110, section 5.6.2) */
static uint8_t token[256];

/* A request's fields by the names of their variables, "name\0value\0...": copied, since they may be asked for when the
 * request has long ended. */
struct fields {
    size_t size;
    char text[];
};
static JSClassID fields_class;

static void fields_free(JSRuntime *runtime, JSValueConst value) {
    js_free_rt(runtime, JS_GetOpaque(value, fields_class));
}

static bool is_field(const char *name) {
    return *name == 'H' ? !strncmp(name, "HTTP_", 5)
                        : *name == 'C' && (!strcmp(name, "CONTENT_TYPE") || !strcmp(name, "CONTENT_LENGTH"));
}

JSValue headers_copy(JSContext *ctx, nk_request *request) {
    const char *name = NULL, *value;
    size_t size = 0;
    while (nk_next_var(request, &name, &value))
        if (is_field(name))
            size += strlen(name) + strlen(value) + 2;
    struct fields *fields = js_malloc(ctx, sizeof *fields + size);
    JSValue result = JS_NewObjectClass(ctx, (int)fields_class);
    if (!fields || JS_IsException(result)) {
        js_free(ctx, fields);
        JS_FreeValue(ctx, result);
        return JS_EXCEPTION;
    }
    fields->size = 0;
    for (name = NULL; nk_next_var(request, &name, &value);) {
        const char *const texts[] = {name, value};
        for (int n = 0; n < 2 && is_field(name); n++) {
            size_t length = strlen(texts[n]) + 1;
            memcpy(fields->text + fields->size, texts[n], length);
            fields->size += length;
        }
    }
    JS_SetOpaque(result, fields);
    return result;
}

/* HTTP_X_NAME and CONTENT_TYPE as they are called in a request: x-name, content-type. */
static JSValue field_name(JSContext *ctx, const char *variable) {
    char name[256];
    size_t size = 0;
    for (const char *from = variable + (*variable == 'H' ? 5 : 0); *from && size < sizeof name; from++)
        name[size++] = (char)(*from == '_' ? '-' : *from >= 'A' && *from <= 'Z' ? *from + 32 : *from);
    return JS_NewStringLen(ctx, name, size);
}

/* fields(copy) -> [name, value, ...], defined, so that no setter of a patched prototype hears of them */
static JSValue fields(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    struct fields *from = JS_GetOpaque2(ctx, arguments[0], fields_class);
    JSValue result = from ? JS_NewArray(ctx) : JS_EXCEPTION;
    uint32_t at = 0;
    for (const char *name = from ? from->text : NULL, *value; from && name < from->text + from->size;) {
        value = name + strlen(name) + 1;
        JS_DefinePropertyValueUint32(ctx, result, at++, field_name(ctx, name), JS_PROP_C_W_E);
        JS_DefinePropertyValueUint32(ctx, result, at++, JS_NewString(ctx, value), JS_PROP_C_W_E);
        name = value + strlen(value) + 1;
    }
    return result;
}

/* name(text) -> a valid name in lower case; undefined: to be looked at the long way */
static JSValue name(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    size_t size;
    const char *text = JS_IsString(arguments[0]) ? JS_ToCStringLen(ctx, &size, arguments[0]) : NULL;
    if (!text)
        return JS_UNDEFINED;
    char lower[NAME_MAX];
    int seen = 0;
    bool valid = size && size <= sizeof lower;
    for (size_t n = 0; n < size && valid; n++) {
        int kind = token[(uint8_t)text[n]];
        valid = kind != 0;
        seen |= kind;
        lower[n] = (char)(kind & 2 ? text[n] | 32 : text[n]);
    }
    JS_FreeCString(ctx, text);
    if (!valid)
        return JS_UNDEFINED;
    return seen & 2 ? JS_NewStringLen(ctx, lower, size) : JS_DupValue(ctx, arguments[0]);
}

static bool is_blank(char sign) {
    return sign == ' ' || sign == '\t' || sign == '\r' || sign == '\n';
}

/* value(text) -> a valid value that needs no change; undefined: to be looked at the long way */
static JSValue value(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    size_t size;
    const char *text = JS_IsString(arguments[0]) ? JS_ToCStringLen(ctx, &size, arguments[0]) : NULL;
    if (!text)
        return JS_UNDEFINED;
    bool valid = !size || (!is_blank(text[0]) && !is_blank(text[size - 1]));
    for (size_t n = 0; n < size && valid; n++)
        valid = (int8_t)text[n] > 0 && text[n] != '\r' && text[n] != '\n'; /* ASCII */
    JS_FreeCString(ctx, text);
    return valid ? JS_DupValue(ctx, arguments[0]) : JS_UNDEFINED;
}

void headers_begin(JSContext *ctx, JSValue nk) {
    static const JSClassDef class = {"fields", .finalizer = fields_free};
    static const JSCFunctionListEntry functions[] = {
        JS_CFUNC_DEF("fields", 1, fields),
        JS_CFUNC_DEF("name", 1, name),
        JS_CFUNC_DEF("value", 1, value),
    };
    for (int sign = '!'; sign <= '~'; sign++)
        token[sign] = sign >= 'A' && sign <= 'Z' ? 3 : !strchr("\"(),/:;<=>?@[\\]{}", sign);
    JS_NewClassID(JS_GetRuntime(ctx), &fields_class);
    JS_NewClass(JS_GetRuntime(ctx), fields_class, &class);
    JS_SetPropertyFunctionList(ctx, nk, functions, sizeof functions / sizeof *functions);
}
