/* `import`: Node's modules by name, made of what 7-modules.js finds; any other is refused. */
#include "host.h"

static JSValue lookup; /* name -> list of names and values in turn, or null; throws for modules that are missing */

static int give_values(JSContext *ctx, JSModuleDef *module) {
    JSValue list = JS_GetModulePrivateValue(ctx, module);
    int64_t length = 0;
    int result = JS_GetLength(ctx, list, &length);
    for (uint32_t n = 0; n + 1 < length && !result; n += 2) {
        JSValue name = JS_GetPropertyUint32(ctx, list, n);
        const char *text = JS_ToCString(ctx, name);
        result = text ? JS_SetModuleExport(ctx, module, text, JS_GetPropertyUint32(ctx, list, n + 1)) : -1;
        JS_FreeCString(ctx, text);
        JS_FreeValue(ctx, name);
    }
    JS_FreeValue(ctx, list);
    return result;
}

static int name_exports(JSContext *ctx, JSModuleDef *module, JSValueConst list) {
    int64_t length = 0;
    int result = JS_GetLength(ctx, list, &length);
    for (uint32_t n = 0; n + 1 < length && !result; n += 2) {
        JSValue name = JS_GetPropertyUint32(ctx, list, n);
        const char *text = JS_ToCString(ctx, name);
        result = text ? JS_AddModuleExport(ctx, module, text) : -1;
        JS_FreeCString(ctx, text);
        JS_FreeValue(ctx, name);
    }
    return result;
}

static JSModuleDef *load(JSContext *ctx, const char *name, void *opaque) {
    (void)opaque;
    JSValue text = JS_NewString(ctx, name);
    JSValue list = JS_Call(ctx, lookup, JS_UNDEFINED, 1, (JSValueConst[]){text});
    JS_FreeValue(ctx, text);
    JSModuleDef *module = NULL;
    if (JS_IsNull(list))
        JS_ThrowReferenceError(ctx, "no module '%s': a worker is one file; bundle it first, with esbuild --bundle", name);
    else if (!JS_IsException(list))
        module = JS_NewCModule(ctx, name, give_values);
    if (module && (name_exports(ctx, module, list) || JS_SetModulePrivateValue(ctx, module, JS_DupValue(ctx, list))))
        module = NULL;
    JS_FreeValue(ctx, list);
    return module;
}

void modules_begin(JSContext *ctx, JSValue function) {
    lookup = function;
    JS_SetModuleLoaderFunc(JS_GetRuntime(ctx), NULL, load, NULL);
}
