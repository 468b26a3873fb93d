/* The engine's side of async_context.h; part of engine.c, after quickjs.c.
 *
 * A reaction to a promise runs in the context in which it was asked for (`then`, `await`), a thenable's `then` and a
 * microtask in that in which they were put into the queue. */
#include "async_context.h"

static JSValue current = JS_UNDEFINED;

JSValue async_context_get(JSContext *ctx) {
    return JS_DupValue(ctx, current);
}

void async_context_set(JSContext *ctx, JSValueConst context) {
    JSValue before = current;
    current = JS_DupValue(ctx, context);
    JS_FreeValue(ctx, before);
}

void async_context_leave(JSContext *ctx) {
    if (!likely(JS_IsUndefined(current)))
        async_context_set(ctx, JS_UNDEFINED);
}

/* Holds a reaction's handler and its context until the reaction is put into the queue: nobody calls it. */
static JSValue held(JSContext *ctx, JSValueConst self, int count, JSValueConst *arguments, int magic, JSValueConst *data) {
    (void)self, (void)count, (void)arguments, (void)magic, (void)data;
    return JS_ThrowTypeError(ctx, "a handler that is held");
}

static JSCFunctionDataRecord *record_of(JSValueConst handler) {
    JSCFunctionDataRecord *record = JS_GetOpaque(handler, JS_CLASS_C_FUNCTION_DATA);
    return record && record->func == held ? record : NULL;
}

static int hooked_then(JSContext *ctx, JSValueConst promise, JSValueConst *handlers, JSValueConst *capability) {
    if (likely(JS_IsUndefined(current)))
        return engine_then(ctx, promise, handlers, capability);
    JSValue pair[2] = {JS_UNDEFINED, JS_UNDEFINED};
    int result = 0;
    for (int n = 0; n < 2 && !result; n++)
        if (JS_IsFunction(ctx, handlers[n])) {
            pair[n] = JS_NewCFunctionData(ctx, held, 0, 0, 2, (JSValueConst[]){handlers[n], current});
            result = JS_IsException(pair[n]) ? -1 : 0;
        }
    if (!result)
        result = engine_then(ctx, promise, vc(pair), capability);
    JS_FreeValue(ctx, pair[0]);
    JS_FreeValue(ctx, pair[1]);
    return result;
}

/* A job with its context and the engine's function as arguments before its own. */
static JSValue run_in_context(JSContext *ctx, int count, JSValueConst *arguments) {
    static JSJobFunc *const jobs[] = {promise_reaction_job, js_promise_resolve_thenable_job, js_microtask_job};
    async_context_set(ctx, arguments[0]);
    JSValue result = jobs[JS_VALUE_GET_INT(arguments[1])](ctx, count - 2, arguments + 2);
    async_context_leave(ctx);
    return result;
}

static int hooked_enqueue(JSContext *ctx, JSJobFunc *job, int count, JSValueConst *arguments) {
    JSCFunctionDataRecord *record = job == promise_reaction_job ? record_of(arguments[2]) : NULL;
    bool own = job == js_promise_resolve_thenable_job || job == js_microtask_job;
    if (likely(!record && (!own || JS_IsUndefined(current))))
        return engine_enqueue(ctx, job, count, arguments);
    int which = record ? 0 : job == js_promise_resolve_thenable_job ? 1 : 2;
    JSValueConst all[2 + 5] = {record ? record->data[1] : current, JS_NewInt32(ctx, which)};
    for (int n = 0; n < count; n++)
        all[2 + n] = arguments[n];
    if (record)
        all[2 + 2] = record->data[0];
    return engine_enqueue(ctx, run_in_context, 2 + count, all);
}
