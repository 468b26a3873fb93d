/*
 * The Linux part takes over from boot: memory, descriptors, the place where SYSCALL goes on, and threads for the request
 * loop to run. A service runs main() while its image is baked. A CGI program is entered when its request is there.
 */
#include "linux.h"

_Noreturn void linux_start(void) {
    const char *trace = env_value("NUNATAK_STRACE");
    linux_tracing = trace && *trace == '1' && NK_INFO->program_kind == NK_PROGRAM_RUN;
    memory_begin();
    files_begin();
    thread_hooks = (struct thread_hooks){.pause = thread_pause, .idle = thread_idle};
    NK_CONTROL->syscall = (uint64_t)(uintptr_t)linux_entry;
    if (NK_INFO->program_kind == NK_PROGRAM_LINUX)
        program_begin(NULL, "");
    serve(cgi_handler);
    panic("linux: the request loop returned");
}
