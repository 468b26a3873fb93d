/* The module `web.exchange`: one request to an upstream, as nk_upstream_* have it. What waits lets other handlers run.
 *
 * open(method, url, fields, has_body)   an exchange; fields are "name\0value\0" repeated, and "\0"
 * exchange:write(bytes, last)           waits for credit
 * exchange:answer()                     waits for the status; and a list of {name, value}
 * exchange:read()                       waits for bytes; nil at the end
 * exchange:close()                      gives it up, or forgets it
 *
 * An exchange belongs to the request whose handler began it and ends with it; places are few, so who finds none waits. */
#include "host.h"

#define TYPE "exchange"
#define PLACE_WAIT_NS 1000000 /* between two looks for a place */
#define READ_BYTES 8192

struct exchange {
    nk_upstream *upstream; /* NULL: closed */
    struct job *job;
    struct exchange *next; /* of the same request */
};

struct job *running_job;
static unsigned open_exchanges;

static void close_exchange(struct exchange *exchange) {
    if (!exchange->upstream)
        return;
    nk_upstream_close(exchange->upstream);
    exchange->upstream = NULL;
    open_exchanges--;
    exchange->job->exchange_count--;
    struct exchange **link = &exchange->job->exchanges;
    while (*link != exchange)
        link = &(*link)->next;
    *link = exchange->next;
}

void exchanges_end(struct job *job) {
    while (job->exchanges)
        close_exchange(job->exchanges);
}

static struct exchange *open_one(lua_State *L) {
    struct exchange *exchange = luaL_checkudata(L, 1, TYPE);
    if (!exchange->upstream)
        luaL_error(L, "fetch: an answer that is open expected; this one was closed, or its request has ended");
    return exchange;
}

/* Why a call gave -1; closes, since nothing more comes. */
static int failed(lua_State *L, struct exchange *exchange) {
    const char *why = nk_upstream_error(exchange->upstream);
    lua_pushfstring(L, "fetch: %s", why ? why : "the client is gone");
    exchange->job->gone |= !why;
    close_exchange(exchange);
    return lua_error(L);
}

/* Waits while others have all places. */
static void wait_for_place(lua_State *L, struct job *job) {
    if (job->exchange_count == NK_MAX_EXCHANGES)
        luaL_error(L, "fetch: at most %d answers expected that are open at once; close() those that are read", NK_MAX_EXCHANGES);
    while (open_exchanges == NK_MAX_EXCHANGES && !job->gone)
        job->gone = nk_sleep_until(nk_mono_ns() + PLACE_WAIT_NS) < 0;
    running_job = job;
    if (job->gone)
        luaL_error(L, "fetch: the client is gone");
}

static int open_exchange(lua_State *L) {
    const char *method = luaL_checkstring(L, 1), *url = luaL_checkstring(L, 2), *fields = luaL_checkstring(L, 3);
    struct job *job = running_job;
    if (!job)
        return luaL_error(L, "fetch: it works in a handler, not while the image is built");
    struct exchange *exchange = lua_newuserdatauv(L, sizeof *exchange, 0);
    *exchange = (struct exchange){.job = job};
    luaL_setmetatable(L, TYPE);
    wait_for_place(L, job);
    exchange->upstream = nk_upstream_open(method, url, fields, lua_toboolean(L, 4));
    if (!exchange->upstream)
        return luaL_error(L, "fetch: less than 16 KiB of URL and header fields expected, and memory for them");
    exchange->next = job->exchanges;
    job->exchanges = exchange;
    job->exchange_count++;
    open_exchanges++;
    return 1;
}

static int write_bytes(lua_State *L) {
    struct exchange *exchange = open_one(L);
    struct job *job = running_job;
    size_t size;
    const char *bytes = luaL_checklstring(L, 2, &size);
    ptrdiff_t done = nk_upstream_write(exchange->upstream, bytes, size, lua_toboolean(L, 3));
    running_job = job;
    return done < 0 ? failed(L, exchange) : 0;
}

static int answer(lua_State *L) {
    struct exchange *exchange = open_one(L);
    struct job *job = running_job;
    const char *name = NULL, *value;
    int status = nk_upstream_status(exchange->upstream);
    running_job = job;
    if (status < 0)
        return failed(L, exchange);
    lua_pushinteger(L, status);
    lua_newtable(L);
    for (lua_Integer count = 1; nk_upstream_next_field(exchange->upstream, &name, &value); count++) {
        lua_createtable(L, 2, 0);
        lua_pushstring(L, name);
        lua_rawseti(L, -2, 1);
        lua_pushstring(L, value);
        lua_rawseti(L, -2, 2);
        lua_rawseti(L, -2, count);
    }
    return 2;
}

/* A part for each read, so that what comes slowly can leave as slowly. */
static int read_bytes(lua_State *L) {
    struct exchange *exchange = open_one(L);
    struct job *job = running_job;
    char bytes[READ_BYTES];
    ptrdiff_t size = nk_upstream_read(exchange->upstream, bytes, sizeof bytes);
    running_job = job;
    if (size < 0)
        return failed(L, exchange);
    if (!size)
        return 0;
    lua_pushlstring(L, bytes, (size_t)size);
    return 1;
}

static int close_one(lua_State *L) {
    close_exchange(luaL_checkudata(L, 1, TYPE));
    return 0;
}

int open_exchange_module(lua_State *L) {
    static const luaL_Reg methods[] = {
        {"write", write_bytes}, {"answer", answer}, {"read", read_bytes}, {"close", close_one}, {NULL, NULL}};
    luaL_newmetatable(L, TYPE);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, close_one);
    lua_setfield(L, -2, "__gc");
    lua_newtable(L);
    lua_pushcfunction(L, open_exchange);
    lua_setfield(L, -2, "open");
    return 1;
}
