/* What the files of the Lua host know of each other. One Lua state for the machine; a coroutine for each request. */
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
    bool failed;      /* the handler ended with an error, which is in the log */
    bool more;        /* the response's body is a function, to be called until it gives nothing */
    const char *piece; /* the next bytes of the response's body */
    size_t piece_size;
};

extern lua_State *lua_main;
extern int lua_handler; /* its place in the registry */

/* Runs `step` on the stack that belongs to Lua, which is larger than a fiber's. It may not wait: there is one. */
void on_lua_stack(void (*step)(struct job *job), struct job *job);

void job_begin(struct job *job); /* calls the handler, and sets status and headers */
void job_next(struct job *job);  /* the next piece of the body */
void job_end(struct job *job);

int traceback(lua_State *L);
void log_error(lua_State *L);
void open_libraries(lua_State *L);

#endif
