/* SQLite brings its own assertions, which are off. */
#define assert(condition) ((void)0)
