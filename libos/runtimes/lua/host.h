/* What the files of the Lua host know of each other. One Lua state for the machine; a coroutine and a stack for each
 * request. */
#ifndef NK_LUA_HOST_H
#define NK_LUA_HOST_H

#include <nunatak.h>

#include "lauxlib.h"
#include "lua.h"
#include "lualib.h"

#define BODY_MAX (8u << 20) /* bytes of a request's body; from there on it is 413 */

/* A request, while it is answered. */
struct job {
    nk_request *request;
    lua_State *thread; /* its coroutine: the request's table, then what the handler gave back */
    char *body;
    size_t size;
    bool gone;        /* the client went away while the handler waited */
    bool failed;      /* the handler ended with an error, which is in the log */
    bool more;        /* the response's body is a function, to be called until it gives nothing */
    const char *piece; /* the next bytes of the response's body */
    size_t piece_size;
    struct exchange *exchanges; /* with upstreams, which end with the request */
    unsigned exchange_count;
};

extern lua_State *lua_main;
extern int lua_handler; /* its place in the registry */

/* Of the handler that runs; NULL while a page is loaded. What waits sets it again afterwards. */
extern struct job *running_job;

/* 200 nested calls between Lua and C, which Lua allows, take more than a fiber's own 34 KiB. */
#define HANDLER_STACK_BYTES (512u << 10)

/* Runs `step` on a larger stack than main() has (stack.S). There is one, so it is for main() alone. */
void on_lua_stack(void (*step)(void));

void job_begin(struct job *job); /* calls the handler, and sets status and headers */
void job_next(struct job *job);  /* the next piece of the body */
void job_end(struct job *job);

lua_State *new_lua(void);
void log_request(nk_request *request); /* which one went wrong: the last line of what did */
_Noreturn void out_of_memory(struct job *job);
int traceback(lua_State *L);
void log_error(lua_State *L);
void open_libraries(lua_State *L);
int open_exchange_module(lua_State *L);
void exchanges_end(struct job *job);

#endif
