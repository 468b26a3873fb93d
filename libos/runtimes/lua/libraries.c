/* Lua's own libraries, without what a machine does not have; `print` to the log; the module `web`. */
#include "host.h"

extern const char *const lua_module_names[], *const lua_module_sources[]; /* __init__.py writes them */
extern const size_t lua_module_sizes[];
int nk_lua_form(lua_State *L);

int traceback(lua_State *L) {
    const char *message = lua_tostring(L, 1);
    luaL_traceback(L, L, message ? message : luaL_tolstring(L, 1, NULL), 1);
    return 1;
}

/* A line of the log at a time. */
void log_error(lua_State *L) {
    const char *text = lua_tostring(L, -1);
    while (text && *text) {
        const char *end = strchr(text, '\n');
        int size = (int)(end ? end - text : (ptrdiff_t)strlen(text));
        char line[480];
        size = size < (int)sizeof line - 1 ? size : (int)sizeof line - 1;
        memcpy(line, text, (size_t)size);
        line[size] = 0;
        nk_log("%s", line);
        text = end ? end + 1 : NULL;
    }
}

static int print(lua_State *L) {
    luaL_Buffer buffer;
    int count = lua_gettop(L);
    luaL_buffinit(L, &buffer);
    for (int i = 1; i <= count; i++) {
        if (i > 1)
            luaL_addchar(&buffer, '\t');
        luaL_tolstring(L, i, NULL);
        luaL_addvalue(&buffer);
    }
    luaL_pushresult(&buffer);
    log_error(L);
    return 0;
}

/* A module of ours in Lua, whose number is the upvalue. */
static int open_module(lua_State *L) {
    lua_Integer number = lua_tointeger(L, lua_upvalueindex(1));
    lua_pushfstring(L, "@%s.lua", lua_module_names[number]);
    if (luaL_loadbufferx(L, lua_module_sources[number], lua_module_sizes[number], lua_tostring(L, -1), "t"))
        return lua_error(L);
    lua_call(L, 0, 1);
    return 1;
}

static int open_form(lua_State *L) {
    lua_pushcfunction(L, nk_lua_form);
    return 1;
}

/* What `require` finds without a file, with package.preload at the top of the stack. */
static void open_modules(lua_State *L) {
    for (lua_Integer number = 0; lua_module_names[number]; number++) {
        lua_pushinteger(L, number);
        lua_pushcclosure(L, open_module, 1);
        lua_setfield(L, -2, lua_module_names[number]);
    }
    lua_pushcfunction(L, open_form);
    lua_setfield(L, -2, "web.form");
    lua_pushcfunction(L, open_exchange_module);
    lua_setfield(L, -2, "web.exchange");
}

static void take_away(lua_State *L, const char *table, const char *name) {
    lua_getglobal(L, table);
    lua_pushnil(L);
    lua_setfield(L, -2, name);
    lua_pop(L, 1);
}

/* Settings are the page's, and come after the base image was made: not those of the C library. */
static int get_env(lua_State *L) {
    lua_pushstring(L, nk_env(luaL_checkstring(L, 1)));
    return 1;
}

/* Two machines of one image never agree: math.random begins anew whenever the machine was restored or cloned. Before
 * there is a machine it waits, and the image ends; unless the page itself says where to begin. */
static lua_CFunction lua_random, lua_randomseed;
static uint64_t seeded = UINT64_MAX; /* the generation in which that was done */

static void seed(lua_State *L) {
    lua_Integer numbers[2];
    nk_random(numbers, sizeof numbers);
    seeded = nk_generation();
    lua_pushinteger(L, numbers[0]);
    lua_pushinteger(L, numbers[1]);
}

static int random_number(lua_State *L) {
    if (seeded != nk_generation()) {
        lua_pushvalue(L, lua_upvalueindex(2));
        seed(L);
        lua_call(L, 2, 0);
    }
    return lua_random(L);
}

static int random_seed(lua_State *L) {
    if (lua_isnone(L, 1))
        seed(L); /* Lua's own way is the time, which many machines share */
    seeded = nk_generation();
    return lua_randomseed(L);
}

/* Puts ours before Lua's two functions, which find their state in their first upvalue. */
static void open_random(lua_State *L) {
    lua_getglobal(L, "math");
    lua_getfield(L, -1, "random");
    lua_getfield(L, -2, "randomseed");
    lua_random = lua_tocfunction(L, -2);
    lua_randomseed = lua_tocfunction(L, -1);
    lua_getupvalue(L, -2, 1);
    lua_pushvalue(L, -2);
    lua_pushcclosure(L, random_number, 2); /* the state, Lua's own randomseed */
    lua_setfield(L, -4, "random");
    lua_getupvalue(L, -1, 1);
    lua_pushcclosure(L, random_seed, 1);
    lua_setfield(L, -4, "randomseed");
    lua_pop(L, 3);
}

void open_libraries(lua_State *L) {
    luaL_openlibs(L);
    open_random(L);
    take_away(L, "os", "execute"); /* one process, which does not end */
    take_away(L, "os", "exit");
    take_away(L, "io", "popen");
    take_away(L, "package", "loadlib");
    lua_register(L, "print", print);
    lua_getglobal(L, "os");
    lua_pushcfunction(L, get_env);
    lua_setfield(L, -2, "getenv");
    lua_pop(L, 1);
    lua_getglobal(L, "package");
    lua_pushstring(L, "/?.lua;/?/init.lua");
    lua_setfield(L, -2, "path");
    lua_pushstring(L, "");
    lua_setfield(L, -2, "cpath");
    lua_getfield(L, -1, "preload");
    open_modules(L);
    lua_pop(L, 2);
}
