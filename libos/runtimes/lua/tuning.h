/* Read at the end of every <lua.h> (LUA_USER_H): what is otherwise than in Lua's own luaconf.h. */

/* A recursion without end is "stack overflow", as everywhere, before it has used up a machine of 32 MiB: a slot takes 16
 * bytes, twice while the stack grows, and the calls on it about as much again. Lua's own tests run with 50,000. */
#undef LUAI_MAXSTACK
#define LUAI_MAXSTACK 100000

/* The seed of string hashes is part of the image, so it cannot be secret; a fixed one gives the same bytes always. */
#define luai_makeseed(L) 0x6e756e61u
