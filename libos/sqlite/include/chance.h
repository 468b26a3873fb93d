/* Unpredictable numbers in SQL (chance.c). */
#ifndef NK_CHANCE_H
#define NK_CHANCE_H

#include <nk_sqlite.h>

/* For all connections from now on. An SQLite result code. */
int chance_begin(void);

#endif
