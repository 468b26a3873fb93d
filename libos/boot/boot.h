/* The top of the libOS: what the VMM and programs enter by, and nothing in C calls. */
#ifndef BOOT_H
#define BOOT_H

#include "../assets/assets.h"
#include "../linux/linux.h"

_Noreturn void boot(void); /* boot.c, from start.S */

#endif
