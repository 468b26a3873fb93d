/* What a process asks about itself, time, threads, /proc, and calls that are refused. */
#include "case.h"

CASE(identities) {
    uid_t real, effective, saved;
    TRY(getuid()), TRY(geteuid()), TRY(getgid()), TRY(getegid());
    TRY(getresuid(&real, &effective, &saved));
    SAY("%d %d %d", real, effective, saved);
    TRY(getpid() > 0), TRY(getppid() >= 0), TRY(gettid() == getpid());
    TRY(getpgid(0) > 0), TRY(getsid(0) > 0);
    TRY(getpgid(0x7FFFFF0));
    TRY(getgroups(-1, NULL));
    TRY(syscall(SYS_setuid, -1));
    TRY(setreuid(-1, -1));
}

CASE(system_names) {
    struct utsname name;
    TRY(uname(&name));
    SAY("%s %s", name.sysname, name.machine);
    TRY(uname((void *)8));
    char host[65];
    TRY(gethostname(host, sizeof host));
    SAY("%d", !strcmp(host, name.nodename));
}

CASE(limits_told) {
    struct rlimit limit;
    for (int i = 0; i < 16; i++)
        TRY(getrlimit(i, &limit));
    TRY(getrlimit(16, &limit));
    TRY(getrlimit(RLIMIT_NOFILE, (void *)8));
    getrlimit(RLIMIT_CORE, &limit);
    limit.rlim_cur = 0;
    TRY(setrlimit(RLIMIT_CORE, &limit));
    getrlimit(RLIMIT_CORE, &limit);
    SAY("%d", (int)limit.rlim_cur);
    TRY(prlimit(0, RLIMIT_CORE, NULL, &limit));
    TRY(prlimit(0x7FFFFF0, RLIMIT_CORE, NULL, &limit));
}

CASE(usage) {
    struct rusage about;
    struct tms times_;
    TRY(getrusage(RUSAGE_SELF, &about));
    SAY("%d", about.ru_maxrss > 0);
    TRY(getrusage(RUSAGE_THREAD, &about));
    TRY(getrusage(RUSAGE_CHILDREN, &about));
    SAY("%d", (int)about.ru_utime.tv_sec);
    TRY(getrusage(5, &about));
    TRY(getrusage(RUSAGE_SELF, (void *)8));
    TRY(times(&times_) != -1);
}

CASE(priorities) {
    TRY(getpriority(PRIO_PROCESS, 0));
    TRY(setpriority(PRIO_PROCESS, 0, 5));
    TRY(getpriority(PRIO_PROCESS, 0));
    TRY(setpriority(PRIO_PROCESS, 0, 0));
    TRY(getpriority(7, 0));
    TRY(setpriority(PRIO_PROCESS, 0x7FFFFF0, 0));
}

CASE(scheduling) {
    struct sched_param about = {0};
    cpu_set_t set;
    struct timespec slice;
    TRY(syscall(SYS_sched_getscheduler, 0));
    TRY(syscall(SYS_sched_getparam, 0, &about));
    SAY("%d", about.sched_priority);
    TRY(sched_get_priority_max(SCHED_FIFO)), TRY(sched_get_priority_min(SCHED_RR)), TRY(sched_get_priority_max(SCHED_OTHER));
    TRY(sched_get_priority_max(77));
    TRY(sched_getaffinity(0, sizeof set, &set));
    SAY("%d", CPU_COUNT(&set) >= 1);
    TRY(sched_getaffinity(0, 3, &set));
    TRY(sched_rr_get_interval(0, &slice));
    TRY(sched_yield());
    TRY(syscall(SYS_sched_setscheduler, 0, 77, &about));
    about.sched_priority = 5;
    TRY(syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, &about));
    unsigned processor = 99, node = 99;
    TRY(syscall(SYS_getcpu, &processor, &node, NULL));
    SAY("%d", processor < 99);
}

CASE(process_controls) {
    char name[16];
    int number;
    TRY(prctl(PR_SET_NAME, "a-name-that-is-too-long"));
    TRY(prctl(PR_GET_NAME, name));
    SAY("%s", name);
    TRY(prctl(PR_SET_NAME, (char *)8));
    TRY(prctl(PR_GET_DUMPABLE));
    TRY(prctl(PR_SET_DUMPABLE, 7));
    TRY(prctl(PR_SET_PDEATHSIG, SIGTERM));
    TRY(prctl(PR_GET_PDEATHSIG, &number));
    SAY("%d", number);
    TRY(prctl(PR_SET_PDEATHSIG, 0));
    TRY(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    TRY(prctl(PR_SET_NO_NEW_PRIVS, 2, 0, 0, 0));
    TRY(prctl(PR_GET_KEEPCAPS));
    TRY(prctl(PR_SET_CHILD_SUBREAPER, 1));
    TRY(prctl(PR_GET_CHILD_SUBREAPER, &number));
    SAY("%d", number);
    TRY(prctl(PR_GET_TIMERSLACK) > 0);
    TRY(prctl(9999));
}

CASE(capabilities) {
    uint32_t head[2] = {0x20080522, 0}, data[6];
    TRY(syscall(SYS_capget, head, data));
    head[0] = 1;
    TRY(syscall(SYS_capget, head, data));
    SAY("%x", head[0]);
    TRY(syscall(SYS_capget, (void *)8, data));
}

CASE(random_bytes) {
    unsigned char one[257] = {0}, two[32] = {0};
    TRY(getrandom(one, 32, 0)), TRY(getrandom(two, 32, GRND_NONBLOCK));
    SAY("%d", memcmp(one, two, 32) != 0);
    TRY(getrandom(one, 32, GRND_RANDOM));
    TRY(getrandom(one, 0, 0));
    TRY(getrandom(one, 32, 0x100));
    TRY(getrandom(one, 32, GRND_RANDOM | 4));
    TRY(getrandom((void *)8, 32, 0));
    TRY(getentropy(one, 257));
    TRY(getentropy(one, 256));
}

CASE(children_that_are_not) {
    int status;
    siginfo_t info;
    TRY(waitpid(-1, &status, 0));
    TRY(waitpid(-1, &status, WNOHANG));
    TRY(waitpid(-1, &status, 0x4000));
    TRY(waitid(P_ALL, 0, &info, WEXITED));
    TRY(waitid(P_ALL, 0, &info, 0));
}

CASE(clocks) {
    static const int all[] = {0, 1, 2, 3, 4, 5, 6, 7, 11};
    struct timespec time, later;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        printf("%d ", all[i]);
        TRY(clock_gettime(all[i], &time));
        TRY(clock_getres(all[i], &time));
        SAY("%d", time.tv_sec == 0);
    }
    TRY(clock_gettime(77, &time));
    TRY(clock_getres(77, NULL));
    TRY(clock_getres(CLOCK_MONOTONIC, NULL));
    TRY(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, 8));
    TRY(clock_settime(CLOCK_MONOTONIC, &time));
    clock_gettime(CLOCK_MONOTONIC, &time), clock_gettime(CLOCK_MONOTONIC, &later);
    SAY("%d", later.tv_sec > time.tv_sec || (later.tv_sec == time.tv_sec && later.tv_nsec >= time.tv_nsec));
    struct timeval day;
    struct timezone zone;
    TRY(gettimeofday(&day, &zone));
    SAY("%d", day.tv_sec > 1000000000);
}

CASE(sleeping) {
    struct timespec time = {0, 3000000}, bad = {0, 1000000000}, before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    TRY(nanosleep(&time, NULL));
    clock_gettime(CLOCK_MONOTONIC, &after);
    SAY("%d", (after.tv_sec - before.tv_sec) * 1000000000L + after.tv_nsec - before.tv_nsec >= 3000000);
    TRY(nanosleep(&bad, NULL));
    TRY(nanosleep((void *)8, NULL));
    TRY(clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL));
    TRY(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &time, NULL));
    TRY(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &time, NULL));
    TRY(clock_nanosleep(77, 0, &time, NULL));
    TRY(clock_nanosleep(CLOCK_MONOTONIC, 0, &bad, NULL));
    TRY(usleep(1000));
    TRY(sleep(0));
}

static void *add(void *number) {
    for (int i = 0; i < 100; i++)
        __sync_fetch_and_add((int *)number, 1), sched_yield();
    return (void *)(intptr_t)gettid();
}

CASE(threads) {
    pthread_t all[8];
    void *result;
    int number = 0, different = 0;
    for (int i = 0; i < 8; i++)
        pthread_create(&all[i], NULL, add, &number);
    for (int i = 0; i < 8; i++) {
        pthread_join(all[i], &result);
        different += (intptr_t)result != getpid();
    }
    SAY("%d %d", number, different);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int turn;

static void *take_turns(void *argument) {
    pthread_mutex_lock(&mutex);
    for (int i = 0; i < 50; i++) {
        while (turn % 2 != (int)(intptr_t)argument)
            pthread_cond_wait(&condition, &mutex);
        turn++;
        pthread_cond_broadcast(&condition);
    }
    pthread_mutex_unlock(&mutex);
    return NULL;
}

CASE(conditions) {
    pthread_t one, two;
    struct timespec time;
    turn = 0;
    pthread_create(&one, NULL, take_turns, (void *)0), pthread_create(&two, NULL, take_turns, (void *)1);
    pthread_join(one, NULL), pthread_join(two, NULL);
    SAY("%d", turn);
    clock_gettime(CLOCK_REALTIME, &time);
    time.tv_nsec += 2000000;
    if (time.tv_nsec >= 1000000000)
        time.tv_sec++, time.tv_nsec -= 1000000000;
    pthread_mutex_lock(&mutex);
    SAY("%s", strerror(pthread_cond_timedwait(&condition, &mutex, &time)));
    SAY("%s", strerror(pthread_mutex_trylock(&mutex)));
    pthread_mutex_unlock(&mutex);
}

CASE(futexes) {
    uint32_t word = 5, other = 0;
    struct timespec soon = {0, 2000000}, bad = {0, -1};
    TRY(syscall(SYS_futex, &word, 0, 4, NULL));
    TRY(syscall(SYS_futex, &word, 0, 5, &soon));
    TRY(syscall(SYS_futex, &word, 0, 5, &bad));
    TRY(syscall(SYS_futex, &word, 1, 1));
    TRY(syscall(SYS_futex, (char *)&word + 1, 1, 1));
    TRY(syscall(SYS_futex, (void *)8, 0, 5, NULL));
    TRY(syscall(SYS_futex, &word, 9, 5, &soon, NULL, 0));
    TRY(syscall(SYS_futex, &word, 4, 1, 1, &other, 4));
    TRY(syscall(SYS_futex, &word, 4, 1, 1, &other, 5));
    TRY(syscall(SYS_futex, &word, 77, 1));
    TRY(syscall(SYS_futex, &word, 9, 5, &soon, NULL, -1)); /* an absolute time long past */
}

static void *key_thread(void *argument) {
    static pthread_key_t key;
    (void)argument;
    pthread_key_create(&key, NULL);
    pthread_setspecific(key, "mine");
    return pthread_getspecific(key);
}

CASE(thread_details) {
    pthread_t thread;
    void *result;
    pthread_attr_t attributes;
    size_t size;
    pthread_attr_init(&attributes);
    TRY(pthread_attr_setstacksize(&attributes, 65536));
    TRY(pthread_create(&thread, &attributes, key_thread, NULL));
    TRY(pthread_join(thread, &result));
    SAY("%s", (char *)result);
    pthread_attr_getstacksize(&attributes, &size);
    SAY("%d", (int)size);
    TRY(pthread_create(&thread, NULL, key_thread, NULL));
    TRY(pthread_detach(thread));
    pause_ms(3);
}

CASE(robust_lists) {
    void *head = NULL;
    size_t size = 0;
    TRY(syscall(SYS_get_robust_list, 0, &head, &size));
    SAY("%d", (int)size);
    TRY(syscall(SYS_set_robust_list, head, 23));
    TRY(syscall(SYS_get_robust_list, 0x7FFFFF0, &head, &size));
}

CASE(barriers) {
    TRY(syscall(SYS_membarrier, 0, 0, 0) > 0);
    TRY(syscall(SYS_membarrier, 1, 0, 0));
    TRY(syscall(SYS_membarrier, 0, 99, 0));
    TRY(syscall(SYS_membarrier, 3, 0, 0));
}

CASE(calls_without_effect) {
    TRY((sync(), 0));
    TRY(syscall(SYS_personality, 0xffffffff) & 0xff);
    TRY(syscall(SYS_readahead, 99, 0, 0));
    TRY(syscall(470 + 1000));
}

static int field(const char *path, const char *name) {
    static char text[65536];
    int file = open(path, O_RDONLY);
    ssize_t got = file < 0 ? 0 : read(file, text, sizeof text - 1);
    text[got > 0 ? got : 0] = 0;
    close(file);
    return strstr(text, name) != NULL;
}

CASE(texts_of_proc) {
    TRY(field("/proc/self/status", "\nUid:\t0\t0\t0\t0\n"));
    TRY(field("/proc/self/status", "\nThreads:\t"));
    TRY(field("/proc/self/status", "\nVmRSS:\t"));
    TRY(field("/proc/self/status", "\nPPid:\t"));
    TRY(field("/proc/self/maps", "[stack]"));
    TRY(field("/proc/self/maps", " r-xp ") || field("/proc/self/maps", "r-xp"));
    TRY(field("/proc/self/stat", ") R "));
    TRY(field("/proc/self/limits", "Max open files"));
    TRY(field("/proc/self/mounts", " /tmp ") || 1);
    TRY(field("/proc/cpuinfo", "processor\t: 0"));
    TRY(field("/proc/cpuinfo", "flags\t\t: "));
    TRY(field("/proc/meminfo", "MemTotal:"));
    TRY(field("/proc/meminfo", "MemAvailable:"));
    TRY(field("/proc/stat", "cpu0 "));
    TRY(field("/proc/stat", "\nbtime "));
    TRY(field("/proc/version", "Linux version "));
    TRY(field("/proc/filesystems", "nodev\ttmpfs"));
    TRY(field("/proc/sys/kernel/ostype", "Linux\n"));
    TRY(field("/proc/self/cgroup", "0::/"));
    TRY(field("/proc/mounts", "proc /proc proc"));
    TRY(field("/sys/devices/system/cpu/online", "0"));
}

CASE(numbers_of_proc) {
    double one, two, three;
    int pid = 0, running = 0, all = 0;
    FILE *file = fopen("/proc/loadavg", "r");
    TRY(fscanf(file, "%lf %lf %lf %d/%d %d", &one, &two, &three, &running, &all, &pid));
    fclose(file);
    file = fopen("/proc/uptime", "r");
    TRY(fscanf(file, "%lf %lf", &one, &two));
    SAY("%d", one > 0);
    fclose(file);
    file = fopen("/proc/self/stat", "r");
    char name[64], state;
    TRY(fscanf(file, "%d %63s %c", &pid, name, &state));
    SAY("%d %c", pid == getpid(), state);
    fclose(file);
    unsigned long size, resident;
    file = fopen("/proc/self/statm", "r");
    TRY(fscanf(file, "%lu %lu", &size, &resident));
    SAY("%d", size >= resident && resident > 0);
    fclose(file);
    TRY(sysconf(_SC_PAGESIZE));
    TRY(sysconf(_SC_NPROCESSORS_ONLN) >= 1);
    TRY(sysconf(_SC_PHYS_PAGES) > 100);
    TRY(sysconf(_SC_CLK_TCK));
}

CASE(links_of_proc) {
    char text[PATH_MAX] = "", self[16], here[PATH_MAX];
    TRY(readlink("/proc/self", text, sizeof text) > 0);
    snprintf(self, sizeof self, "%d", getpid());
    SAY("%d", !strncmp(text, self, strlen(self)));
    getcwd(here, sizeof here);
    memset(text, 0, sizeof text);
    TRY(readlink("/proc/self/cwd", text, sizeof text - 1) == (ssize_t)strlen(here));
    TRY(readlink("/proc/self/exe", text, sizeof text) > 0);
    memset(text, 0, sizeof text);
    TRY(readlink("/proc/self/root", text, sizeof text));
    SAY("%s", text);
    SAY("%s", mode_of("/proc/self"));
    SAY("%s", mode_of("/proc/self/exe"));
    SAY("%s", mode_of("/proc/self/fd"));
    SAY("%d", access("/proc/self/maps", R_OK));
    TRY(open("/proc/self/none", O_RDONLY));
    TRY(open("/proc/9999999", O_RDONLY));
}

CASE(names_of_the_process) {
    char text[64] = "";
    prctl(PR_SET_NAME, "worker");
    int file = open("/proc/self/comm", O_RDONLY);
    read(file, text, sizeof text - 1);
    printf("%s", text);
    int count = 0;
    file = open("/proc/self/cmdline", O_RDONLY);
    char line[4096];
    for (ssize_t got = read(file, line, sizeof line), i = 0; i < got; i++)
        count += !line[i];
    SAY("%d", count >= 2);
    struct stat about;
    TRY(stat("/proc/self/status", &about));
    SAY("%d", (int)about.st_size);
    TRY(lseek(file, 0, SEEK_SET));
    TRY(pread(file, line, 1, 0));
}

CASE(open_files_of_proc) {
    make("file", "");
    int file = open("file", O_RDONLY), found = 0;
    DIR *folder = opendir("/proc/self/fd");
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        found += entry->d_name[0] != '.' && atoi(entry->d_name) == file && entry->d_type == DT_LNK;
    SAY("%d", found);
    closedir(folder);
    char path[64];
    sprintf(path, "/proc/self/fd/%d", open(".", O_RDONLY));
    make("inside", "");
    strcat(path, "/inside");
    TRY(access(path, F_OK));
}
