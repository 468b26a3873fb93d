/* What the files of the JavaScript runtime know of each other. */
#ifndef HOST_H
#define HOST_H

#include <nunatak.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quickjs.h"

/* bridge.c: what the prelude finds as `__nk` */
void bridge_begin(JSContext *ctx, JSValue global);
void bridge_show_error(JSContext *ctx, const char *what, JSValue error);
extern bool serving; /* false while the image is made: no clock, no randomness, no timers, no requests */

/* digest.c */
size_t digest(const char *name, const uint8_t *data, size_t size, uint8_t out[64]);

#endif
