/*
 * JavaScript workers: QuickJS, the prelude that makes a web platform of it, and the event loop.
 *
 * The base image is this program up to nk_event_base(): context made, prelude evaluated. An image of a worker goes on
 * from there: /worker.js is evaluated as a module, top level included, and nk_event_begin() ends the image. Then each
 * request is a call of the prelude's `onRequest`, and what waits is looked at by its `poll` after every wake-up.
 */
#include "async_context.h"
#include "erasing.h"
#include "host.h"
#include "lasting.h"

#define STACK_BYTES (384 << 10) /* of the 2 MiB of the first thread: deeper recursion than workers need */
#define WORKER "/worker.js"

bool making_base = true;
static JSRuntime *runtime;
static JSContext *context;
static JSValue loop, on_rejection; /* the prelude's side of all this */

static JSValue call(JSValueConst object, const char *name, int count, JSValueConst *arguments);

/* A request has used up its CPU time, or building the image all that it may take. The engine asks between the steps of the
 * program; what it throws then nobody can catch, and its stack says where the program was. */
static bool time_is_up(void) {
    return NK_INFO->pending & NK_IRQ_TIME;
}

static int interrupted(JSRuntime *of, void *opaque) {
    (void)of, (void)opaque;
    return time_is_up();
}

/* There is a moment left to say so. */
static _Noreturn void end_of_time(JSContext *ctx) {
    JS_SetInterruptHandler(runtime, NULL, NULL);
    JSValue error = JS_GetException(ctx), stack = JS_GetPropertyStr(ctx, error, "stack");
    JS_FreeValue(ctx, call(loop, "outOfTime", 1, (JSValueConst[]){stack}));
    nk_exit(NK_EXIT_NO_TIME);
}

static _Noreturn void fail(const char *what, JSValue error) {
    bridge_show_error(context, what, error);
    nk_exit(time_is_up() ? NK_EXIT_NO_TIME : 1);
}

bool run_jobs(void) {
    JSContext *ctx;
    int more;
    bool any = false;
    async_context_leave(context);
    while ((more = JS_ExecutePendingJob(runtime, &ctx))) {
        any = true;
        if (more < 0 && time_is_up())
            end_of_time(ctx);
        if (more < 0)
            bridge_show_error(ctx, "uncaught", JS_GetException(ctx));
        async_context_leave(ctx);
    }
    return any;
}

static void rejected(JSContext *ctx, JSValueConst promise, JSValueConst reason, bool handled, void *opaque) {
    (void)opaque;
    JSValueConst arguments[] = {promise, reason, JS_NewBool(ctx, handled)};
    if (JS_IsFunction(ctx, on_rejection))
        JS_FreeValue(ctx, JS_Call(ctx, on_rejection, JS_UNDEFINED, 3, arguments));
}

/* Takes a global away from the prelude: no worker shall find it. */
static JSValue take_global(const char *name) {
    JSValue global = JS_GetGlobalObject(context), value = JS_GetPropertyStr(context, global, name);
    JSAtom atom = JS_NewAtom(context, name);
    JS_DeleteProperty(context, global, atom, 0);
    JS_FreeAtom(context, atom);
    JS_FreeValue(context, global);
    return value;
}

static void begin(void) {
    runtime = erasing_runtime();
    JS_SetMaxStackSize(runtime, STACK_BYTES);
    JS_SetHostPromiseRejectionTracker(runtime, rejected, NULL);
    JS_SetInterruptHandler(runtime, interrupted, NULL);
    NK_CONTROL->irq_mask = NK_IRQ_TIME; /* looked at, never delivered */
    context = JS_NewContext(runtime);
    JSValue global = JS_GetGlobalObject(context);
    bridge_begin(context, global);
    JS_FreeValue(context, global);
    for (const struct script *prelude = preludes; prelude->name; prelude++) {
        JSValue done = script_run(context, prelude);
        if (JS_IsException(done))
            fail(prelude->name, JS_GetException(context));
        JS_FreeValue(context, done);
    }
    loop = take_global("__loop");
    on_rejection = take_global("__rejected");
    modules_begin(context, take_global("__module"));
    JS_FreeValue(context, take_global("__share"));
    run_jobs();
}

static JSValue load(void) {
    const void *data;
    size_t size;
    if (nk_file(WORKER, &data, &size))
        fail("worker", JS_NewString(context, "no " WORKER " in the image"));
    char *source = malloc(size + 1);
    memcpy(source, data, size);
    source[size] = 0;
    JSValue module = JS_Eval(context, source, size, "worker.js", JS_EVAL_TYPE_MODULE | JS_EVAL_FLAG_COMPILE_ONLY);
    erase_bytes(source, size);
    free(source);
    if (JS_IsException(module))
        fail("worker.js", JS_GetException(context));
    JSModuleDef *definition = JS_VALUE_GET_PTR(module);
    JSValue done = JS_EvalFunction(context, module);
    async_context_leave(context);
    run_jobs();
    if (JS_IsException(done))
        fail("worker.js", JS_GetException(context));
    if (JS_IsPromise(done) && JS_PromiseState(context, done) == JS_PROMISE_REJECTED)
        fail("worker.js", JS_PromiseResult(context, done));
    if (JS_IsPromise(done) && JS_PromiseState(context, done) == JS_PROMISE_PENDING)
        fail("worker.js", JS_NewString(context, "its top level waits for something that does not come here"));
    JS_FreeValue(context, done);
    return JS_GetModuleNamespace(context, definition);
}

static JSValue call(JSValueConst object, const char *name, int count, JSValueConst *arguments) {
    JSValue function = JS_GetPropertyStr(context, object, name);
    JSValue result = JS_Call(context, function, JS_UNDEFINED, count, arguments);
    JS_FreeValue(context, function);
    async_context_leave(context);
    if (JS_IsException(result) && time_is_up())
        end_of_time(context);
    if (JS_IsException(result))
        bridge_show_error(context, name, JS_GetException(context));
    return result;
}

/* What is there now is what an image has. */
static void settle(void) {
    JS_RunGC(runtime);
    lasting_objects(context);
    erase_freed(context);
    erase_stack();
}

int main(void) {
    begin();
    settle();
    making_base = false;
    nk_event_base();

    JSValue namespace = load();
    JSValue set = call(loop, "setWorker", 1, (JSValueConst[]){namespace});
    if (JS_IsException(set))
        nk_exit(1);
    JS_FreeValue(context, namespace);
    run_jobs();
    settle();
    nk_event_begin();

    serving = true;
    if (NK_INFO->secrets)
        JS_FreeValue(context, call(loop, "takeSecrets", 0, NULL));
    for (;;) {
        nk_request *request;
        while ((request = nk_event_next())) {
            JSValue handle = JS_NewInt64(context, (intptr_t)request);
            JS_FreeValue(context, call(loop, "onRequest", 1, (JSValueConst[]){handle}));
            run_jobs();
        }
        JS_FreeValue(context, call(loop, "poll", 0, NULL));
        double ms; /* from now; below 0: nothing waits for time */
        do { /* a timer's jobs may set other timers */
            run_jobs();
            ms = -1;
            JS_ToFloat64(context, &ms, call(loop, "runTimers", 0, NULL));
        } while (run_jobs());
        collect_cycles(context);
        nk_event_wait(ms < 0 ? NK_IDLE_FOREVER : nk_mono_ns() + (uint64_t)(ms * 1e6));
    }
}
