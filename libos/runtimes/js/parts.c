/* The parts of lazy/: bytecode in the program, evaluated once a worker uses what they bring. And tables of text, in the
 * program or in the image's files, which parts ask for by name. */
#include "host.h"

#define FOLDER "/.nunatak/intl/" /* intl_data.py writes there */

static const struct script *find(const struct script *list, const char *name) {
    while (list->name && strcmp(list->name, name))
        list++;
    return list;
}

/* The value of a part's script: the function that its module exports. */
static JSValue part(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    const char *name = JS_ToCString(ctx, arguments[0]);
    const struct script *found = name ? find(parts, name) : NULL;
    JSValue result = !name         ? JS_EXCEPTION
                     : found->name ? script_run(ctx, found)
                                   : JS_ThrowReferenceError(ctx, "no part '%s'", name);
    JS_FreeCString(ctx, name);
    return result;
}

/* The bytes of a line of a text, without its end; false where there are not so many. */
static bool line_of(const char **text, size_t *size, int64_t number) {
    const char *end = *text + *size, *from = *text;
    for (; number > 0 && from; number--)
        if ((from = memchr(from, '\n', end - from)))
            from++;
    if (!from || number < 0)
        return false;
    const char *to = memchr(from, '\n', end - from);
    *text = from;
    *size = (to ? to : end) - from;
    return true;
}

/* table(name, line) -> its text, or that line of it, undefined where there is none */
static JSValue table(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self;
    char path[128];
    const char *name = JS_ToCString(ctx, arguments[0]);
    if (!name)
        return JS_EXCEPTION;
    const struct script *found = find(tables, name);
    const void *data = found->code;
    size_t size = found->size;
    snprintf(path, sizeof path, FOLDER "%s", name);
    bool any = found->name || !nk_file(path, &data, &size);
    JS_FreeCString(ctx, name);
    const char *text = data;
    int64_t line = 0;
    if (count > 1 && JS_ToInt64(ctx, &line, arguments[1]))
        return JS_EXCEPTION;
    return any && (count < 2 || line_of(&text, &size, line)) ? JS_NewStringLen(ctx, text, size) : JS_UNDEFINED;
}

JSValue script_run(JSContext *ctx, const struct script *script) {
    JSValue code = JS_ReadObject(ctx, script->code, script->size, JS_READ_OBJ_BYTECODE);
    if (making_base) /* it is read once, and its functions are there: no image shall carry its bytes as well */
        memset(script->code, 0, script->size);
    return JS_IsException(code) ? code : JS_EvalFunction(ctx, code);
}

void parts_begin(JSContext *ctx, JSValue nk) {
    JS_SetPropertyStr(ctx, nk, "part", JS_NewCFunction(ctx, part, "part", 1));
    JS_SetPropertyStr(ctx, nk, "table", JS_NewCFunction(ctx, table, "table", 2));
}
