/* The async context: a value that goes with the work that was set off under it, through promises and microtasks.
 *
 * AsyncLocalStorage keeps its stores in it (lazy/async_hooks.js); timers carry it themselves (6-loop.js). What is set
 * stays until it is set anew or the job that set it has ended. As long as nothing was set, all this costs a comparison
 * a reaction. */
#ifndef ASYNC_CONTEXT_H
#define ASYNC_CONTEXT_H

#include "quickjs.h"

JSValue async_context_get(JSContext *ctx);                   /* undefined: none */
void async_context_set(JSContext *ctx, JSValueConst context); /* a function that ends with its job */
void async_context_leave(JSContext *ctx);                    /* after each job, and each call from outside */

#endif
