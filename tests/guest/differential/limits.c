/* What a machine has not: these differ, each for a reason that is written down. */
#include "case.h"

#include <sys/socket.h>

CASE(processes) {
    pid_t child = fork();
    if (!child)
        _exit(0);
    SAY("fork: %s", child > 0 ? "a child" : strerror(errno));
    if (child > 0)
        waitpid(child, NULL, 0);
}

CASE(named_pipes) {
    TRY(mkfifo("pipe", 0600));
}

CASE(sockets) {
    TRY(socket(AF_INET, SOCK_STREAM, 0) >= 0 ? 0 : -1);
}

CASE(executable_memory) {
    TRY(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0);
}

CASE(files_larger_than_memory) {
    TRY(ftruncate(open("file", O_CREAT | O_RDWR, 0600), 1l << 36));
}

CASE(interfaces_without_which_libcs_do) {
    TRY(syscall(SYS_rseq, NULL, 0, 0, 0));
    TRY(syscall(SYS_clone3, NULL, 0));
    TRY(syscall(SYS_openat2, AT_FDCWD, ".", NULL, 0));
}
