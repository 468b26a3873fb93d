/* Comes before quickjs.c in its unit: functions of the engine in whose place ours are called.
 *
 * The sources are compiled as they were published. A name that is a macro here is called by the engine as `name(ctx,
 * ...)` and defined by it as `name(JSContext *ctx, ...)`: the macro looks at the first word, keeps the engine's own
 * function under `engine_name`, and gives the calls to `hooked_name`. A call with another first word does not compile. */
#ifndef ENGINE_HOOKS_H
#define ENGINE_HOOKS_H

#include <stdarg.h>

#include "quickjs.h"

static int hooked_then(JSContext *ctx, JSValueConst promise, JSValueConst *handlers, JSValueConst *capability);
static int hooked_enqueue(JSContext *ctx, JSJobFunc *job, int count, JSValueConst *arguments);
static void hooked_trigger(JSRuntime *runtime, size_t size);
static JSValue hooked_throw(JSContext *ctx, int kind, const char *format, va_list values);

#define perform_promise_then(first, ...) THEN_##first, __VA_ARGS__)
#define THEN_JSContext engine_then(JSContext
#define THEN_ctx hooked_then(ctx

#define JS_EnqueueJob(first, ...) ENQUEUE_##first, __VA_ARGS__)
#define ENQUEUE_JSContext engine_enqueue(JSContext
#define ENQUEUE_ctx hooked_enqueue(ctx
#define ENQUEUE_fre engine_enqueue(fre /* the job of a FinalizationRegistry: nobody's work */

#define JS_ThrowError(first, ...) THROW_##first, __VA_ARGS__)
#define THROW_JSContext engine_throw(JSContext
#define THROW_ctx hooked_throw(ctx

#define js_trigger_gc(first, ...) TRIGGER_##first, __VA_ARGS__)
#define TRIGGER_JSRuntime engine_trigger(JSRuntime
#define TRIGGER_ctx hooked_trigger(ctx

#endif
