/* malloc, brk, mmap and its relatives; memory that is given back comes again, as zeros. */
#define _GNU_SOURCE
#include "linux_check.h"

#include <stdint.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>

enum { MIB = 1 << 20 };
static void *volatile kept;

int main(int argc, char **argv) {
    for (int round = 0; round < 200; round++) { /* 800 MiB in all, of 32 */
        char *block = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(block != MAP_FAILED);
        for (int at = 0; at < 4 * MIB; at += 65536) {
            CHECK(!block[at]);
            block[at] = 1;
        }
        CHECK(!munmap(block, 4 * MIB));
    }
    CHECK(mmap(NULL, 512 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
    CHECK(errno == ENOMEM && !(kept = malloc(200 * MIB)));
    CHECK(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);

    char *grows = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    strcpy(grows, "kept");
    grows = mremap(grows, 8192, MIB, MREMAP_MAYMOVE);
    CHECK(grows != MAP_FAILED && !strcmp(grows, "kept") && !grows[MIB - 1]);
    CHECK(mprotect(grows, 4096, PROT_READ | PROT_EXEC) == -1 && errno == EPERM);
    CHECK(!madvise(grows, MIB, MADV_DONTNEED) && !*grows);
    char *fixed = mmap(grows + 65536, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    CHECK(fixed == grows + 65536 && !munmap(grows, MIB));

    void *blocks[500];
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 500; i++)
            CHECK((blocks[i] = malloc((size_t)(i * 37 % 5000 + 1))) && memset(blocks[i], i, (size_t)(i * 37 % 5000 + 1)));
        for (int i = 0; i < 500; i++)
            free(blocks[i]);
    }
    char *start = (char *)syscall(SYS_brk, 0);
    CHECK((char *)syscall(SYS_brk, start + 65536) == start + 65536 && !start[65535]);
    start[65535] = 1;
    CHECK((char *)syscall(SYS_brk, start) == start && (char *)syscall(SYS_brk, start + 65536) && !start[65535]);
    CHECK((char *)syscall(SYS_brk, start + 512 * MIB) == start + 65536);

    struct timespec first, second;
    clock_gettime(CLOCK_MONOTONIC, &first);
    usleep(2000);
    clock_gettime(CLOCK_MONOTONIC, &second);
    CHECK((second.tv_sec - first.tv_sec) * 1000000000L + second.tv_nsec - first.tv_nsec >= 2000000);
    uint64_t random[2] = {0, 0};
    CHECK(getrandom(random, 16, 0) == 16 && random[0] != random[1]);
    struct utsname name;
    struct rusage usage;
    struct sysinfo info;
    struct rlimit limit;
    CHECK(!uname(&name) && !strcmp(name.machine, "x86_64") && !getrusage(RUSAGE_SELF, &usage));
    CHECK(!sysinfo(&info) && info.freeram && info.freeram < info.totalram && info.mem_unit == 1);
    CHECK(!getrlimit(RLIMIT_STACK, &limit) && limit.rlim_cur > 65536 && sysconf(_SC_NPROCESSORS_ONLN) == 1);
    CHECK(argc == 3 && !strcmp(argv[1], "first") && !strcmp(argv[2], "second") && !strcmp(getenv("COLOUR"), "green"));
    CHECK(!isatty(1) && errno == ENOTTY && getpid() > 0 && getuid() == 0);
    DONE();
}
