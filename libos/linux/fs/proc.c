/* The texts of /proc and /sys: one process, one processor, the machine's memory. Formats: proc(5). */
#include "fs.h"

#define NS 1000000000ull
#define TICK 10000000ull /* nanoseconds of a clock tick: 100 a second */

static void print(struct sink *sink, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    format_to(sink, format, arguments);
    va_end(arguments);
}

static unsigned long kib(uint64_t bytes) {
    return (unsigned long)(bytes / 1024);
}

static uint64_t used_bytes(void) {
    return NK_INFO->memory_bytes - NK_PROGRAM_ADDRESS - pages_free_bytes();
}

/* Where the program would lie if it were a file. */
const char *program_path(void) {
    static char path[256];
    const char *name = first_argument();
    const char *last = name;
    for (const char *at = name; *at; at++)
        if (*at == '/')
            last = at + 1;
    format_buffer(path, sizeof path, "%s%s", *name == '/' ? "" : "/", *name == '/' ? name : last);
    return path;
}

void print_cmdline(struct sink *sink) {
    for (const char *at = first_argument(); *at; at += strlen(at) + 1)
        print(sink, "%s%c", at, 0);
}

void print_environ(struct sink *sink) {
    for (const char *at = env_next(NULL); at; at = env_next(at))
        print(sink, "%s%c", at, 0);
}

void print_comm(struct sink *sink) {
    print(sink, "%s\n", process_name());
}

void print_stat(struct sink *sink) {
    unsigned long ticks = (unsigned long)(NK_INFO->virtual_ns / TICK), pages = kib(used_bytes()) / 4;
    print(sink, "%d (%s) R 1 %d %d 0 -1 4194304 0 0 0 0 %lu 0 0 0 20 0 %u 0 0 %lu %lu 18446744073709551615 ", PROCESS_ID,
          process_name(), PROCESS_ID, PROCESS_ID, ticks, threads_count(), pages * 4096, pages);
    print(sink, "%lu %lu %lu 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n", (unsigned long)NK_PROGRAM_ADDRESS,
          (unsigned long)NK_INFO->heap, (unsigned long)stack_top());
}

void print_statm(struct sink *sink) {
    unsigned long pages = kib(used_bytes()) / 4;
    print(sink, "%lu %lu 0 0 0 %lu 0\n", pages, pages, pages);
}

void print_status(struct sink *sink) {
    unsigned user = file_user(), group = file_group();
    print(sink, "Name:\t%s\nUmask:\t0%u%u%u\nState:\tR (running)\nTgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t1\nTracerPid:\t0\n",
          process_name(), file_mask >> 6, file_mask >> 3 & 7, file_mask & 7, PROCESS_ID, PROCESS_ID);
    print(sink, "Uid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\nFDSize:\t%u\nGroups:\t \n", user, user, user, user, group,
          group, group, group, FILES_MAX);
    print(sink, "VmPeak:\t%8lu kB\nVmSize:\t%8lu kB\nVmHWM:\t%8lu kB\nVmRSS:\t%8lu kB\n", kib(used_bytes()),
          kib(used_bytes()), kib(used_bytes()), kib(used_bytes()));
    print(sink, "VmStk:\t%8lu kB\nThreads:\t%u\n", kib(stack_top() - stack_low()), threads_count());
    print(sink, "SigPnd:\t%016lx\nSigBlk:\t%016lx\n", (unsigned long)running->pending, (unsigned long)running->blocked);
    print(sink, "NoNewPrivs:\t0\nSeccomp:\t0\nCpus_allowed:\t1\nCpus_allowed_list:\t0\n");
}

void print_limits(struct sink *sink) {
    print(sink, "%-26s%-21s%-21s%s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    print(sink, "%-26s%-21lu%-21lu%s\n", "Max stack size", (unsigned long)(stack_top() - stack_low()),
          (unsigned long)(stack_top() - stack_low()), "bytes");
    print(sink, "%-26s%-21lu%-21u%s\n", "Max open files", (unsigned long)files_limit(), FILES_MAX, "files");
}

static void map_line(struct sink *sink, uint64_t from, uint64_t to, const char *access, const char *what) {
    print(sink, "%08lx-%08lx %sp 00000000 00:00 0 %26s%s\n", (unsigned long)from, (unsigned long)to, access, "", what);
}

/* The program as its headers say, brk's memory, what is mapped in runs of pages, and the first thread's stack. */
void print_maps(struct sink *sink) {
    for (unsigned i = 0; i < NK_INFO->phnum; i++) {
        struct program_part part = program_part(i);
        if (part.loads)
            map_line(sink, part.start & ~4095ull, ALIGN_UP(part.end, NK_PAGE_SIZE), part.access, program_path());
    }
    map_line(sink, stack_low(), stack_top(), "rw-", "[stack]");
    struct page_range run = {(uint32_t)(NK_INFO->heap / NK_PAGE_SIZE), 0};
    uint64_t heap_end = memory_brk();
    if (heap_end > NK_INFO->heap)
        map_line(sink, NK_INFO->heap, ALIGN_UP(heap_end, NK_PAGE_SIZE), "rw-", "[heap]");
    run.first = (uint32_t)(ALIGN_UP(heap_end, NK_PAGE_SIZE) / NK_PAGE_SIZE);
    while (pages_next_run(&run)) {
        uint64_t from = (uint64_t)run.first * NK_PAGE_SIZE;
        map_line(sink, from, from + (uint64_t)run.count * NK_PAGE_SIZE, "rw-", "");
        run.first += run.count;
    }
}

void print_mounts(struct sink *sink) {
    print(sink, "image / ramfs ro,relatime 0 0\ntmpfs /tmp tmpfs rw,relatime 0 0\ntmpfs /dev/shm tmpfs rw,relatime 0 0\n"
                "proc /proc proc ro,relatime 0 0\nsysfs /sys sysfs ro,relatime 0 0\n");
}

void print_cgroup(struct sink *sink) {
    print(sink, "0::/\n");
}

void print_cpuinfo(struct sink *sink) {
    print(sink, "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 26\nmodel name\t: x86-64-v2\n"
                "physical id\t: 0\nsiblings\t: 1\ncore id\t\t: 0\ncpu cores\t: 1\nfpu\t\t: yes\nwp\t\t: yes\n");
    print(sink, "flags\t\t: fpu tsc cx8 cmov mmx fxsr sse sse2 syscall nx lm pni ssse3 cx16 sse4_1 sse4_2 popcnt lahf_lm\n");
    print(sink, "clflush size\t: 64\ncache_alignment\t: 64\naddress sizes\t: 30 bits physical, 30 bits virtual\n\n");
}

void print_meminfo(struct sink *sink) {
    unsigned long all = kib(NK_INFO->memory_bytes), left = kib(pages_free_bytes());
    print(sink, "MemTotal:    %11lu kB\nMemFree:     %11lu kB\nMemAvailable:%11lu kB\n", all, left, left);
    print(sink, "Buffers:     %11u kB\nCached:      %11u kB\nSwapTotal:   %11u kB\nSwapFree:    %11u kB\n", 0, 0, 0, 0);
}

/* /proc/stat */
void print_machine(struct sink *sink) {
    unsigned long busy = (unsigned long)(NK_INFO->virtual_ns / TICK), all = (unsigned long)(NK_INFO->mono_ns / TICK);
    unsigned long idle = all > busy ? all - busy : 0;
    for (int i = 0; i < 2; i++)
        print(sink, "%s %lu 0 0 %lu 0 0 0 0 0 0\n", i ? "cpu0" : "cpu ", busy, idle);
    print(sink, "intr 0\nctxt 0\nbtime %lu\nprocesses 1\nprocs_running 1\nprocs_blocked 0\n",
          (unsigned long)((NK_INFO->wall_ns - MIN(NK_INFO->mono_ns, NK_INFO->wall_ns)) / NS));
}

void print_loadavg(struct sink *sink) {
    print(sink, "0.00 0.00 0.00 1/%u %d\n", threads_count(), PROCESS_ID);
}

void print_uptime(struct sink *sink) {
    unsigned long hundredths = (unsigned long)(NK_INFO->mono_ns / TICK);
    print(sink, "%lu.%02lu 0.00\n", hundredths / 100, hundredths % 100);
}

void print_version(struct sink *sink) {
    print(sink, "Linux version 6.1.0-nunatak #1\n");
}

void print_kinds(struct sink *sink) {
    print(sink, "nodev\tramfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tsysfs\n");
}

void print_type(struct sink *sink) {
    print(sink, "Linux\n");
}

void print_release(struct sink *sink) {
    print(sink, "6.1.0-nunatak\n");
}

void print_host(struct sink *sink) {
    print(sink, "nunatak\n");
}

void print_zero(struct sink *sink) {
    print(sink, "0\n");
}

void print_one(struct sink *sink) {
    print(sink, "1\n");
}

void print_pids(struct sink *sink) {
    print(sink, "32768\n");
}

void print_entropy(struct sink *sink) {
    print(sink, "256\n");
}

void print_maps_max(struct sink *sink) {
    print(sink, "65530\n");
}

void print_processors(struct sink *sink) {
    print(sink, "0\n");
}

void print_files_max(struct sink *sink) {
    print(sink, "%u\n", FILES_MAX);
}

void print_pipe_max(struct sink *sink) {
    print(sink, "1048576\n");
}

/* An identifier in the form of RFC 9562, version 4. */
static void print_identifier(struct sink *sink, uint64_t high, uint64_t low) {
    print(sink, "%08lx-%04lx-4%03lx-%04lx-%012lx\n", (unsigned long)(high >> 32), (unsigned long)(high >> 16 & 0xFFFF),
          (unsigned long)(high & 0xFFF), (unsigned long)((low >> 48 & 0x3FFF) | 0x8000),
          (unsigned long)(low & 0xFFFFFFFFFFFF));
}

/* A restored or cloned machine is a new one, as another boot is: a program that remembers this line can tell. Zeros while
 * an image is built. */
void print_boot(struct sink *sink) {
    uint64_t high = NK_INFO->generation;
    print_identifier(sink, high, high * 0x9E3779B97F4A7C15); /* Knuth's multiplier: 2^64 / phi */
}

void print_uuid(struct sink *sink) {
    uint64_t words[2];
    random_bytes(words, sizeof words);
    print_identifier(sink, words[0], words[1]);
}
