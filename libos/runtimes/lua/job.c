/* A request as a table, and what a handler gives back as a response.
 *
 * request   method, path, query (as it came), params (decoded), headers (by lower-case name), host, body, id
 * response  a string: a page in HTML; or {status = 200, headers = {Name = "value" or {"one", "two"}}, body = "..."};
 *           a body may be a function: it is called until it gives nil, and what it gives leaves as it comes */
#include "host.h"

#include <ctype.h>
#include <stdlib.h>

static int hex(char digit) {
    return isdigit((unsigned char)digit) ? digit - '0' : (tolower((unsigned char)digit) - 'a' + 10);
}

/* Percent-decoded, '+' a blank: application/x-www-form-urlencoded. */
static void push_decoded(lua_State *L, const char *text, size_t size) {
    luaL_Buffer buffer;
    luaL_buffinit(L, &buffer);
    for (const char *end = text + size; text < end; text++) {
        bool coded = *text == '%' && end - text > 2 && isxdigit((unsigned char)text[1]) && isxdigit((unsigned char)text[2]);
        luaL_addchar(&buffer, (char)(coded ? hex(text[1]) << 4 | hex(text[2]) : *text == '+' ? ' ' : *text));
        text += coded ? 2 : 0;
    }
    luaL_pushresult(&buffer);
}

int nk_lua_form(lua_State *L) {
    size_t size;
    const char *text = luaL_checklstring(L, 1, &size), *end = text + size;
    lua_newtable(L);
    while (text < end) {
        const char *stop = memchr(text, '&', (size_t)(end - text));
        stop = stop ? stop : end;
        const char *equals = memchr(text, '=', (size_t)(stop - text));
        if (stop > text) {
            push_decoded(L, text, (size_t)((equals ? equals : stop) - text));
            push_decoded(L, equals ? equals + 1 : stop, equals ? (size_t)(stop - equals - 1) : 0);
            lua_settable(L, 2); /* the last of a name counts */
        }
        text = stop + 1;
    }
    return 1;
}

static void set(lua_State *L, const char *name, const char *value) {
    lua_pushstring(L, value ? value : "");
    lua_setfield(L, -2, name);
}

static void push_headers(lua_State *L, nk_request *request) {
    const char *name = NULL, *value;
    lua_newtable(L);
    while (nk_next_var(request, &name, &value)) {
        bool http = !strncmp(name, "HTTP_", 5);
        if (!http && strcmp(name, "CONTENT_TYPE") && strcmp(name, "CONTENT_LENGTH"))
            continue;
        luaL_Buffer buffer;
        luaL_buffinit(L, &buffer);
        for (const char *at = http ? name + 5 : name; *at; at++)
            luaL_addchar(&buffer, *at == '_' ? '-' : (char)tolower((unsigned char)*at));
        luaL_pushresult(&buffer);
        lua_pushstring(L, value);
        lua_settable(L, -3);
    }
}

static void push_request(lua_State *L, struct job *job) {
    nk_request *request = job->request;
    lua_newtable(L);
    set(L, "method", nk_var(request, "REQUEST_METHOD"));
    set(L, "path", nk_var(request, "PATH_INFO"));
    set(L, "query", nk_var(request, "QUERY_STRING"));
    set(L, "host", nk_var(request, "HTTP_HOST"));
    set(L, "id", nk_var(request, "HTTP_X_REQUEST_ID"));
    push_headers(L, request);
    lua_setfield(L, -2, "headers");
    lua_pushcfunction(L, nk_lua_form);
    lua_getfield(L, -2, "query");
    lua_call(L, 1, 1);
    lua_setfield(L, -2, "params");
    lua_pushlstring(L, job->body ? job->body : "", job->size);
    lua_setfield(L, -2, "body");
}

static void add_header(lua_State *L, struct job *job, const char *name, int at) {
    if (!lua_isstring(L, at))
        luaL_error(L, "header %s: a string or a list of strings expected, got %s", name, luaL_typename(L, at));
    if (nk_header(job->request, name, lua_tostring(L, at)) < 0)
        luaL_error(L, "header %s: a value without control characters, and 64 KiB in all, expected", name);
}

static void add_headers(lua_State *L, struct job *job, int headers) {
    for (lua_pushnil(L); lua_next(L, headers); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING)
            luaL_error(L, "headers: names expected, got a %s", luaL_typename(L, -2));
        const char *name = lua_tostring(L, -2);
        if (!lua_istable(L, -1)) {
            add_header(L, job, name, -1);
            continue;
        }
        for (lua_Integer i = 1; lua_geti(L, -1, i) != LUA_TNIL; i++, lua_pop(L, 1))
            add_header(L, job, name, -1);
        lua_pop(L, 1);
    }
}

/* The piece at the top of the stack; it stays there, and so where it is, until the next one. */
static void take_piece(lua_State *L, struct job *job) {
    if (!lua_isstring(L, -1))
        luaL_error(L, "body: a string, or a function that gives strings and then nil, expected, got %s", luaL_typename(L, -1));
    job->piece = lua_tolstring(L, -1, &job->piece_size);
}

/* In the request's coroutine, below pcall: handler, request -> [body function,] piece. */
static int respond(lua_State *L) {
    struct job *job = lua_touserdata(L, 1);
    lua_settop(L, 0);
    lua_rawgeti(L, LUA_REGISTRYINDEX, lua_handler);
    push_request(L, job);
    lua_call(L, 1, 1);
    if (lua_isstring(L, 1)) {
        nk_header(job->request, "Content-Type", "text/html; charset=utf-8");
        take_piece(L, job);
        return 1;
    }
    if (!lua_istable(L, 1))
        luaL_error(L, "a string or a table expected as the response, got %s", luaL_typename(L, 1));
    if (lua_getfield(L, 1, "status") != LUA_TNIL) {
        int whole;
        lua_Integer status = lua_tointegerx(L, -1, &whole);
        if (!whole || status < 200 || status > 599)
            luaL_error(L, "status: 200 to 599 expected, got %s", luaL_tolstring(L, -1, NULL));
        nk_status(job->request, (int)status);
    }
    if (lua_getfield(L, 1, "headers") == LUA_TTABLE)
        add_headers(L, job, lua_gettop(L));
    else if (!lua_isnil(L, -1))
        luaL_error(L, "headers: a table expected, got %s", luaL_typename(L, -1));
    if (lua_getfield(L, 1, "body") == LUA_TFUNCTION) {
        job->more = true;
        job->piece = "";
    } else if (!lua_isnil(L, -1)) {
        take_piece(L, job);
    }
    return 1;
}

static void fail(struct job *job, int why) {
    if (why == LUA_ERRMEM)
        out_of_memory(job);
    if (!job->gone) {
        log_error(job->thread);
        log_request(job->request);
    }
    job->failed = true;
    job->more = false;
    job->piece = NULL;
}

void job_begin(struct job *job) {
    running_job = job;
    lua_State *L = job->thread = lua_newthread(lua_main);
    lua_rawsetp(lua_main, LUA_REGISTRYINDEX, job); /* keeps it while this request lasts */
    lua_pushcfunction(L, traceback);
    lua_pushcfunction(L, respond);
    lua_pushlightuserdata(L, job);
    int why = lua_pcall(L, 1, 1, 1);
    if (why)
        fail(job, why);
}

/* The stack holds the traceback function, the body's function, and then the piece that was written last. */
void job_next(struct job *job) {
    lua_State *L = job->thread;
    running_job = job;
    lua_settop(L, 2);
    lua_pushvalue(L, 2);
    int why = lua_pcall(L, 0, 1, 1);
    if (!why && lua_isnil(L, -1))
        return;
    if (!why && lua_isstring(L, -1))
        job->piece = lua_tolstring(L, -1, &job->piece_size);
    else
        fail(job, why);
}

void job_end(struct job *job) {
    exchanges_end(job);
    lua_pushnil(lua_main);
    lua_rawsetp(lua_main, LUA_REGISTRYINDEX, job);
}
