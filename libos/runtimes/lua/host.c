/* Lua 5.4 in a machine: main() loads a page and keeps what it gives back, a function that answers requests.
 *
 * The page's own code runs once, while the image is built. The handler runs once for each request. Two requests meet only
 * where one waits: for an upstream (exchange.c), and here, where the request's body is read before the handler and the
 * response is written after; between, a variable is a variable. */
#include "host.h"

#include <stdio.h>
#include <stdlib.h>

lua_State *lua_main;
int lua_handler;

static int panic(lua_State *L) {
    fprintf(stderr, "%s\n", lua_tostring(L, -1));
    nk_exit(1);
}

/* False: the client is gone or was refused. */
static bool read_body(struct job *job) {
    size_t room = 0;
    for (;;) {
        if (job->size == room) {
            room = room ? room * 2 : 4096;
            char *larger = room <= BODY_MAX ? realloc(job->body, room) : NULL;
            if (!larger) {
                nk_status(job->request, 413);
                nk_header(job->request, "Content-Type", "text/plain; charset=utf-8");
                nk_printf(job->request, "less than %u bytes expected\n", BODY_MAX);
                return false;
            }
            job->body = larger;
        }
        ptrdiff_t got = nk_read(job->request, job->body + job->size, room - job->size);
        if (got <= 0)
            return got == 0;
        job->size += (size_t)got;
    }
}

/* 500 where nothing has left; else the client sees that the answer is not whole. */
static void say_failed(nk_request *request) {
    if (nk_restart(request)) {
        nk_abort(request);
        return;
    }
    nk_status(request, 500);
    nk_header(request, "Content-Type", "text/plain; charset=utf-8");
    nk_printf(request, "Internal Server Error\n");
}

static void answer(nk_request *request) {
    struct job job = {.request = request};
    const char *method = nk_var(request, "REQUEST_METHOD");
    bool no_body = !strcmp(method, "GET") || !strcmp(method, "HEAD");
    if (no_body || read_body(&job)) {
        job_begin(&job);
        uint64_t left_ns = 0; /* when something left last */
        while (job.piece && nk_write(request, job.piece, job.piece_size) == 0) {
            bool said = job.piece_size;
            job.piece = NULL;
            /* A function that computes for long between two pieces is entered again meanwhile: each leaves then. */
            if (job.more && said && left_ns != nk_mono_ns()) {
                if (nk_flush(request))
                    break;
                left_ns = nk_mono_ns();
            }
            if (job.more)
                job_next(&job);
        }
        if (job.failed)
            say_failed(request);
        job_end(&job);
    }
    free(job.body);
}

/* The page's file, then what it gives back: a function, or a table with the function `fetch`. */
static void load_page(void) {
    lua_State *L = lua_main;
    const char *path = "/main.lua";
    const void *text;
    size_t size;
    if (nk_file(path, &text, &size) < 0) {
        fprintf(stderr, "%s: no such file in the image\n", path);
        nk_exit(1);
    }
    lua_pushcfunction(L, traceback);
    lua_pushfstring(L, "@%s", path + 1);
    if (luaL_loadbufferx(L, text, size, lua_tostring(L, -1), "t") || lua_pcall(L, 0, 1, 1)) {
        fprintf(stderr, "%s\n", lua_tostring(L, -1));
        nk_exit(1);
    }
    if (lua_istable(L, -1))
        lua_getfield(L, -1, "fetch");
    if (!lua_isfunction(L, -1)) {
        fprintf(stderr, "%s: `return function(request) ... end` expected, got %s\n", path + 1, luaL_typename(L, -1));
        nk_exit(1);
    }
    lua_handler = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_settop(L, 0);
    lua_gc(L, LUA_GCCOLLECT); /* what building left behind is no part of the image */
}

static void open_lua(void) {
    lua_main = new_lua();
    lua_atpanic(lua_main, panic);
    open_libraries(lua_main);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 1024);
    on_lua_stack(open_lua);
    nk_event_base(); /* the base image ends here, and every page begins here */
    on_lua_stack(load_page);
    return nk_serve_on(answer, HANDLER_STACK_BYTES);
}
