/* What linux/ offers to boot/ above it; and what its own files, which join those of the folders below, know of each other. */
#ifndef LINUX_H
#define LINUX_H

#include "fs/fs.h"

/* ---- entry.S, calls.c: every system call of the program ---- */
void linux_entry(void);
void linux_call(struct frame *frame);
extern bool linux_tracing; /* for `nunatak run --strace` */

/* ---- start.c ---- */
_Noreturn void linux_start(void);

#endif
