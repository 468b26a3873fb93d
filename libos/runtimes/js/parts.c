/* The parts of lazy/: bytecode in the program, evaluated once a worker uses what they bring. */
#include "host.h"

/* The value of a part's script: the function that its module exports. */
static JSValue part(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    const char *name = JS_ToCString(ctx, arguments[0]);
    const struct script *found = parts;
    while (name && found->name && strcmp(found->name, name))
        found++;
    JSValue result = !name         ? JS_EXCEPTION
                     : found->name ? script_run(ctx, found)
                                   : JS_ThrowReferenceError(ctx, "no part '%s'", name);
    JS_FreeCString(ctx, name);
    return result;
}

JSValue script_run(JSContext *ctx, const struct script *script) {
    JSValue code = JS_ReadObject(ctx, script->code, script->size, JS_READ_OBJ_BYTECODE);
    return JS_IsException(code) ? code : JS_EvalFunction(ctx, code);
}

void parts_begin(JSContext *ctx, JSValue nk) {
    JS_SetPropertyStr(ctx, nk, "part", JS_NewCFunction(ctx, part, "part", 1));
}
