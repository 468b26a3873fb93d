/* The engine with json_in_engine.h and without an edge: evaluates one line after the other and prints what came of each.
 * `theirs` is the engine's own JSON.stringify; `detours()` says how often that of json_in_engine.h went the long way. */
#include <stdio.h>

#include "engine_internals.h"

#include "async_context_in_engine.h"
#include "messages_in_engine.h"

static void hooked_trigger(JSRuntime *runtime, size_t size) {
    engine_trigger(runtime, size);
}

static int detours;

static JSValue counted(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    detours++;
    return js_json_stringify(ctx, self, count, arguments);
}
#define js_json_stringify counted
#include "json_in_engine.h"

static JSValue count_detours(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count, (void)arguments;
    return JS_NewInt32(ctx, detours);
}

/* limit(bytes): of what may be allocated beside what is; 0: no limit */
static JSValue limit(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments) {
    (void)self, (void)count;
    JSMemoryUsage usage;
    int64_t bytes = 0;
    JS_ToInt64(ctx, &bytes, arguments[0]);
    JS_ComputeMemoryUsage(JS_GetRuntime(ctx), &usage);
    JS_SetMemoryLimit(JS_GetRuntime(ctx), bytes ? (size_t)(usage.malloc_size + bytes) : 0);
    return JS_UNDEFINED;
}

int main(void) {
    JSRuntime *runtime = JS_NewRuntime();
    JS_SetMaxStackSize(runtime, 384 << 10);
    JSContext *ctx = JS_NewContext(runtime);
    JSValue global = JS_GetGlobalObject(ctx), json = JS_GetPropertyStr(ctx, global, "JSON");
    JS_SetPropertyStr(ctx, global, "theirs", JS_GetPropertyStr(ctx, json, "stringify"));
    json_begin(ctx);
    JS_SetPropertyStr(ctx, global, "detours", JS_NewCFunction(ctx, count_detours, "detours", 0));
    JS_SetPropertyStr(ctx, global, "limit", JS_NewCFunction(ctx, limit, "limit", 1));
    char *line = NULL;
    size_t capacity = 0;
    for (ssize_t size; (size = getline(&line, &capacity, stdin)) > 0;) {
        JSValue result = JS_Eval(ctx, line, (size_t)size, "line", JS_EVAL_TYPE_GLOBAL);
        if (JS_IsException(result))
            result = JS_GetException(ctx);
        const char *text = JS_ToCString(ctx, result);
        puts(text ? text : "?");
        fflush(stdout);
        JS_FreeCString(ctx, text);
        JS_FreeValue(ctx, result);
    }
}
