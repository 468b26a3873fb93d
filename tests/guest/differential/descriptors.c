/* Descriptors: copies, pipes, counters, poll, select and epoll. */
#include "case.h"

CASE(copies) {
    make("file", "0123456789");
    int file = open("file", O_RDWR), copy = TRY(dup(file));
    lseek(copy, 4, SEEK_SET);
    TRY(lseek(file, 0, SEEK_CUR));
    TRY(dup2(file, 20));
    TRY(dup2(file, file));
    TRY(dup2(99, 5));
    TRY(dup2(99, 99));
    TRY(dup2(file, -1));
    TRY(dup3(file, 21, O_CLOEXEC));
    TRY(fcntl(21, F_GETFD));
    TRY(fcntl(20, F_GETFD));
    TRY(dup3(file, file, 0));
    TRY(dup3(file, 22, O_APPEND));
    TRY(fcntl(file, F_DUPFD, 30));
    TRY(fcntl(file, F_DUPFD_CLOEXEC, 30));
    TRY(fcntl(31, F_GETFD));
    TRY(fcntl(file, F_DUPFD, -1));
    TRY(dup(99));
    TRY(close(99));
    fcntl(copy, F_SETFL, O_APPEND);
    TRY(fcntl(file, F_GETFL) & O_APPEND);
    TRY(fcntl(file, 999));
}

CASE(lowest_free_number) {
    make("file", "");
    int a = open("file", O_RDONLY), b = open("file", O_RDONLY);
    TRY(a), TRY(b);
    close(a);
    TRY(open("file", O_RDONLY));
    TRY(open("file", O_RDONLY));
}

CASE(closing_ranges) {
    make("file", "");
    for (int i = 0; i < 6; i++)
        open("file", O_RDONLY);
    TRY(syscall(SYS_close_range, 4, 6, 0));
    TRY(fcntl(5, F_GETFD));
    TRY(fcntl(7, F_GETFD));
    TRY(syscall(SYS_close_range, 7, 8, 4));
    TRY(fcntl(7, F_GETFD));
    TRY(syscall(SYS_close_range, 9, 8, 0));
    TRY(syscall(SYS_close_range, 3, 8, 1));
}

CASE(limit_of_files) {
    struct rlimit limit, old;
    getrlimit(RLIMIT_NOFILE, &old);
    limit = old;
    limit.rlim_cur = 10;
    TRY(setrlimit(RLIMIT_NOFILE, &limit));
    make("file", "");
    for (int i = 0; i < 9; i++)
        printf("%d ", open("file", O_RDONLY));
    SAY("%s", strerror(errno));
    TRY(dup2(0, 10));
    TRY(fcntl(0, F_DUPFD, 10));
    TRY(setrlimit(RLIMIT_NOFILE, &old));
    limit.rlim_cur = 20, limit.rlim_max = 10;
    TRY(setrlimit(RLIMIT_NOFILE, &limit));
}

CASE(pipes) {
    int ends[2];
    char text[8] = "";
    TRY(pipe(ends));
    TRY(write(ends[1], "abcdef", 6));
    TRY(read(ends[0], text, 4));
    TRY(write(ends[0], "x", 1));
    TRY(read(ends[1], text, 1));
    TRY(close(ends[1]));
    TRY(read(ends[0], text, 8));
    TRY(read(ends[0], text, 8));
    TRY(pipe((int *)8));
    TRY(pipe2(ends, O_APPEND));
}

CASE(pipes_that_do_not_wait) {
    int ends[2];
    static char block[70000];
    TRY(pipe2(ends, O_NONBLOCK | O_CLOEXEC));
    TRY(fcntl(ends[0], F_GETFD));
    TRY(fcntl(ends[1], F_GETFL));
    TRY(read(ends[0], block, 1));
    TRY(write(ends[1], block, sizeof block));
    TRY(write(ends[1], block, 1));
    TRY(read(ends[0], block, 4096));
    TRY(write(ends[1], block, 4096));
    TRY(write(ends[1], block, 4096));
}

CASE(pipe_sizes) {
    int ends[2], bytes;
    pipe(ends);
    TRY(fcntl(ends[0], F_GETPIPE_SZ));
    TRY(fcntl(ends[0], F_SETPIPE_SZ, 100000));
    TRY(fcntl(ends[1], F_SETPIPE_SZ, 1));
    TRY(fcntl(ends[1], F_GETPIPE_SZ));
    TRY(fcntl(0x7F, F_GETPIPE_SZ));
    write(ends[1], "abc", 3);
    TRY(ioctl(ends[0], FIONREAD, &bytes));
    SAY("%d", bytes);
    TRY(fcntl(open(".", O_RDONLY), F_GETPIPE_SZ));
}

CASE(broken_pipes) {
    int ends[2];
    pipe(ends);
    close(ends[0]);
    signal(SIGPIPE, SIG_IGN);
    TRY(write(ends[1], "x", 1));
    signal(SIGPIPE, note_signal);
    TRY(write(ends[1], "x", 1));
    SAY("signals %d", signals_seen[SIGPIPE]);
}

static void *write_later(void *end) {
    pause_ms(5);
    write(*(int *)end, "late", 4);
    return NULL;
}

CASE(waiting_for_a_pipe) {
    int ends[2];
    char text[8] = "";
    pthread_t thread;
    pipe(ends);
    pthread_create(&thread, NULL, write_later, &ends[1]);
    TRY(read(ends[0], text, 8));
    SAY("%s", text);
    pthread_join(thread, NULL);
}

CASE(controls) {
    int bytes, on = 1, ends[2];
    make("file", "0123456789");
    int file = open("file", O_RDONLY);
    lseek(file, 3, SEEK_SET);
    TRY(ioctl(file, FIONREAD, &bytes));
    SAY("%d", bytes);
    pipe(ends);
    TRY(ioctl(ends[0], FIONBIO, &on));
    TRY(read(ends[0], &bytes, 1));
    TRY(ioctl(file, FIOCLEX));
    TRY(fcntl(file, F_GETFD));
    TRY(ioctl(file, FIONCLEX));
    TRY(ioctl(file, TIOCGWINSZ, &bytes));
    TRY(ioctl(99, FIONBIO, &on));
    TRY(isatty(file));
    TRY(ioctl(ends[0], FIONBIO, (void *)8));
}

CASE(event_counters) {
    uint64_t value = 5;
    int counter = TRY(eventfd(3, EFD_NONBLOCK));
    TRY(write(counter, &value, 8));
    TRY(read(counter, &value, 8));
    SAY("%d", (int)value);
    TRY(read(counter, &value, 8));
    TRY(read(counter, &value, 4));
    value = -1;
    TRY(write(counter, &value, 8));
    value = -2;
    TRY(write(counter, &value, 8));
    value = 1;
    TRY(write(counter, &value, 8));
    int semaphore = TRY(eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC));
    TRY(read(semaphore, &value, 8));
    SAY("%d", (int)value);
    TRY(read(semaphore, &value, 8));
    TRY(read(semaphore, &value, 8));
    TRY(eventfd(0, 0x100));
}

CASE(polling) {
    int ends[2];
    pipe(ends);
    struct pollfd files[3] = {{ends[0], POLLIN, 9}, {ends[1], POLLOUT, 9}, {-1, POLLIN, 9}};
    TRY(poll(files, 3, 0));
    SAY("%x %x %x", files[0].revents, files[1].revents, files[2].revents);
    write(ends[1], "x", 1);
    TRY(poll(files, 1, 100));
    SAY("%x", files[0].revents);
    close(ends[1]);
    TRY(poll(files, 2, 0));
    SAY("%x %x", files[0].revents, files[1].revents);
    char text;
    read(ends[0], &text, 1);
    TRY(poll(files, 1, 0));
    SAY("%x", files[0].revents);
    TRY(poll(NULL, 0, 5));
    TRY(poll((struct pollfd *)8, 1, 0));
}

CASE(polling_broken_and_plain) {
    int ends[2];
    pipe(ends);
    close(ends[0]);
    make("file", "");
    struct pollfd files[2] = {{ends[1], POLLOUT, 0}, {open("file", O_RDWR), POLLIN | POLLOUT | POLLPRI, 0}};
    TRY(poll(files, 2, 0));
    SAY("%x %x", files[0].revents, files[1].revents);
    files[0] = (struct pollfd){open("/dev/null", O_RDWR), POLLIN | POLLRDNORM | POLLOUT, 0};
    TRY(poll(files, 1, 0));
    SAY("%x", files[0].revents);
}

CASE(polling_with_time) {
    struct timespec time = {0, 5000000}, bad = {0, -1};
    sigset_t none;
    sigemptyset(&none);
    TRY(ppoll(NULL, 0, &time, &none));
    TRY(ppoll(NULL, 0, &bad, NULL));
    TRY(syscall(SYS_ppoll, NULL, 0, NULL, &none, 4));
}

CASE(selecting) {
    int ends[2];
    pipe(ends);
    fd_set reads, writes;
    struct timeval time = {0, 5000};
    FD_ZERO(&reads);
    FD_ZERO(&writes);
    FD_SET(ends[0], &reads), FD_SET(ends[1], &writes);
    TRY(select(10, &reads, &writes, NULL, &time));
    SAY("%d %d", FD_ISSET(ends[0], &reads), FD_ISSET(ends[1], &writes));
    FD_SET(ends[0], &reads);
    TRY(select(10, &reads, NULL, NULL, &time));
    FD_SET(50, &reads); /* Linux looks at no more than a process has room for, which is 64 at least */
    TRY(select(60, &reads, NULL, NULL, &time));
    TRY(select(-1, NULL, NULL, NULL, &time));
    time.tv_sec = -1;
    TRY(select(0, NULL, NULL, NULL, &time));
    struct timespec short_time = {0, 1000};
    TRY(pselect(0, NULL, NULL, NULL, &short_time, NULL));
}

static int watch(int epoll, int operation, int file, unsigned events) {
    struct epoll_event event = {.events = events, .data.fd = file};
    return epoll_ctl(epoll, operation, file, &event);
}

static void wait_on(int epoll, int ms) {
    struct epoll_event events[8];
    int found = epoll_wait(epoll, events, 8, ms);
    printf("%d:", found);
    for (int i = 0; i < found; i++)
        printf(" %d=%x", events[i].data.fd, events[i].events);
    printf("\n");
}

CASE(epoll_controls) {
    int ends[2], epoll = TRY(epoll_create1(EPOLL_CLOEXEC));
    struct epoll_event event = {0};
    pipe(ends);
    make("file", "");
    TRY(watch(epoll, EPOLL_CTL_ADD, ends[0], EPOLLIN));
    TRY(watch(epoll, EPOLL_CTL_ADD, ends[0], EPOLLIN));
    TRY(watch(epoll, EPOLL_CTL_MOD, ends[1], EPOLLIN));
    TRY(watch(epoll, EPOLL_CTL_DEL, ends[1], 0));
    TRY(watch(epoll, EPOLL_CTL_ADD, open("file", O_RDONLY), EPOLLIN));
    TRY(watch(epoll, EPOLL_CTL_ADD, epoll, EPOLLIN));
    TRY(watch(epoll, EPOLL_CTL_ADD, 99, EPOLLIN));
    TRY(watch(ends[0], EPOLL_CTL_ADD, ends[1], EPOLLIN));
    TRY(watch(epoll, 9, ends[0], EPOLLIN));
    TRY(epoll_ctl(epoll, EPOLL_CTL_ADD, ends[1], (void *)8));
    TRY(epoll_wait(epoll, &event, 0, 0));
    TRY(epoll_wait(ends[0], &event, 1, 0));
    TRY(epoll_wait(99, &event, 1, 0));
    TRY(epoll_wait(epoll, (void *)8, 1, 0));
    TRY(epoll_create1(1));
    TRY(syscall(SYS_epoll_create, 0));
    TRY(watch(epoll, EPOLL_CTL_DEL, ends[0], 0));
    TRY(fcntl(epoll, F_GETFD));
}

CASE(epoll_levels) {
    int ends[2], epoll = epoll_create1(0);
    char text[8];
    pipe(ends);
    watch(epoll, EPOLL_CTL_ADD, ends[0], EPOLLIN);
    wait_on(epoll, 0);
    write(ends[1], "ab", 2);
    wait_on(epoll, 0);
    wait_on(epoll, 0);
    read(ends[0], text, 8);
    wait_on(epoll, 0);
    close(ends[1]);
    wait_on(epoll, 0);
}

CASE(epoll_edges) {
    int ends[2], epoll = epoll_create1(0);
    char text[8];
    pipe2(ends, O_NONBLOCK);
    watch(epoll, EPOLL_CTL_ADD, ends[0], EPOLLIN | EPOLLET);
    write(ends[1], "a", 1);
    wait_on(epoll, 0);
    wait_on(epoll, 0);
    write(ends[1], "b", 1);
    wait_on(epoll, 0);
    wait_on(epoll, 0);
    read(ends[0], text, 1);
    wait_on(epoll, 0);
    read(ends[0], text, 8);
    write(ends[1], "c", 1);
    wait_on(epoll, 0);
    watch(epoll, EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLET);
    wait_on(epoll, 0);
    wait_on(epoll, 0);
    close(ends[1]);
    wait_on(epoll, 0);
}

CASE(epoll_edges_between_looks) {
    int ends[2], epoll = epoll_create1(0), told = 0;
    char text[64];
    struct epoll_event event;
    pipe2(ends, O_NONBLOCK);
    watch(epoll, EPOLL_CTL_ADD, ends[0], EPOLLIN | EPOLLET);
    for (int i = 0; i < 50; i++) {
        write(ends[1], "x", 1);
        told += epoll_wait(epoll, &event, 1, 0);
        read(ends[0], text, sizeof text);
        write(ends[1], "y", 1); /* before the next look: ready, gone and ready again */
        told += epoll_wait(epoll, &event, 1, 0);
        read(ends[0], text, sizeof text);
    }
    SAY("told %d", told);
}

CASE(epoll_edges_for_writers) {
    int ends[2], epoll = epoll_create1(0);
    static char block[65536];
    pipe2(ends, O_NONBLOCK);
    watch(epoll, EPOLL_CTL_ADD, ends[1], EPOLLOUT | EPOLLET);
    wait_on(epoll, 0);
    wait_on(epoll, 0);
    write(ends[1], block, sizeof block);
    wait_on(epoll, 0);
    read(ends[0], block, sizeof block);
    wait_on(epoll, 0);
    close(ends[0]);
    wait_on(epoll, 0);
}

CASE(epoll_edges_of_counters) {
    uint64_t one = 1;
    int counter = eventfd(0, EFD_NONBLOCK), epoll = epoll_create1(0);
    watch(epoll, EPOLL_CTL_ADD, counter, EPOLLIN | EPOLLET);
    wait_on(epoll, 0);
    write(counter, &one, 8);
    wait_on(epoll, 0);
    write(counter, &one, 8);
    wait_on(epoll, 0);
    wait_on(epoll, 0);
    read(counter, &one, 8);
    wait_on(epoll, 0);
    write(counter, &one, 8);
    wait_on(epoll, 0);
}

CASE(epoll_once) {
    int ends[2], epoll = epoll_create1(0);
    pipe(ends);
    watch(epoll, EPOLL_CTL_ADD, ends[0], EPOLLIN | EPOLLONESHOT);
    write(ends[1], "a", 1);
    wait_on(epoll, 0);
    write(ends[1], "b", 1);
    wait_on(epoll, 0);
    TRY(watch(epoll, EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLONESHOT));
    wait_on(epoll, 0);
    wait_on(epoll, 0);
    TRY(watch(epoll, EPOLL_CTL_MOD, ends[0], 0));
    wait_on(epoll, 0);
}

CASE(epoll_nested) {
    int ends[2], inner = epoll_create1(0), outer = epoll_create1(0);
    char text[4];
    pipe(ends);
    TRY(watch(inner, EPOLL_CTL_ADD, ends[0], EPOLLIN));
    TRY(watch(outer, EPOLL_CTL_ADD, inner, EPOLLIN));
    TRY(watch(inner, EPOLL_CTL_ADD, outer, EPOLLIN));
    wait_on(outer, 0);
    write(ends[1], "x", 1);
    wait_on(outer, 0);
    wait_on(inner, 0);
    struct pollfd file = {outer, POLLIN, 0};
    TRY(poll(&file, 1, 0));
    read(ends[0], text, 1);
    wait_on(outer, 0);
}

CASE(epoll_depth) {
    int last = epoll_create1(0), i;
    for (i = 0; i < 8; i++) {
        int next = epoll_create1(0);
        if (watch(next, EPOLL_CTL_ADD, last, EPOLLIN))
            break;
        last = next;
    }
    SAY("%d %s", i, strerror(errno));
}

CASE(epoll_exclusive) {
    int ends[2], epoll = epoll_create1(0), other = epoll_create1(0);
    pipe(ends);
    TRY(watch(epoll, EPOLL_CTL_ADD, ends[0], EPOLLIN | EPOLLEXCLUSIVE));
    TRY(watch(epoll, EPOLL_CTL_MOD, ends[0], EPOLLIN));
    TRY(watch(epoll, EPOLL_CTL_ADD, ends[1], EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT));
    TRY(watch(epoll, EPOLL_CTL_ADD, other, EPOLLIN | EPOLLEXCLUSIVE));
    write(ends[1], "x", 1);
    wait_on(epoll, 0);
}

CASE(epoll_fairness) {
    int pipes[4][2], epoll = epoll_create1(0), seen[4] = {0};
    struct epoll_event event;
    for (int i = 0; i < 4; i++) {
        struct epoll_event about = {.events = EPOLLIN, .data.u32 = (unsigned)i};
        pipe(pipes[i]);
        write(pipes[i][1], "x", 1);
        epoll_ctl(epoll, EPOLL_CTL_ADD, pipes[i][0], &about);
    }
    for (int i = 0; i < 8; i++)
        if (epoll_wait(epoll, &event, 1, 0) == 1)
            seen[event.data.u32]++;
    SAY("%d %d %d %d", seen[0], seen[1], seen[2], seen[3]);
}

CASE(epoll_and_closed_files) {
    int ends[2], epoll = epoll_create1(0);
    pipe(ends);
    watch(epoll, EPOLL_CTL_ADD, ends[0], EPOLLIN);
    int copy = dup(ends[0]);
    write(ends[1], "x", 1);
    close(ends[0]);
    wait_on(epoll, 0);
    close(copy);
    wait_on(epoll, 0);
}

static void *write_soon(void *end) {
    pause_ms(5);
    write(*(int *)end, "x", 1);
    return NULL;
}

CASE(epoll_waits) {
    int ends[2], epoll = epoll_create1(0);
    pthread_t thread;
    pipe(ends);
    watch(epoll, EPOLL_CTL_ADD, ends[0], EPOLLIN | EPOLLET);
    pthread_create(&thread, NULL, write_soon, &ends[1]);
    wait_on(epoll, -1);
    pthread_join(thread, NULL);
    wait_on(epoll, 3);
}

CASE(devices) {
    char text[32];
    struct stat about;
    memset(text, 'x', sizeof text);
    int null = open("/dev/null", O_RDWR), zero = open("/dev/zero", O_RDWR), full = open("/dev/full", O_RDWR);
    TRY(read(null, text, 4));
    TRY(write(null, text, 4));
    TRY(read(zero, text, 4));
    SAY("%d %c", text[0], text[4]);
    TRY(write(full, text, 1));
    TRY(read(full, text, 2));
    TRY(read(open("/dev/urandom", O_RDONLY), text, 16));
    TRY(read(open("/dev/random", O_RDONLY), text, 16));
    TRY(pread(zero, text, 1, 50));
    stat("/dev/null", &about);
    SAY("%s %x", mode_of("/dev/null"), (int)about.st_rdev);
    stat("/dev/urandom", &about);
    SAY("%x", (int)about.st_rdev);
    TRY(open("/dev/null", O_RDONLY | O_DIRECTORY));
    TRY(open("/dev/none", O_RDONLY));
    TRY(ftruncate(null, 0));
    TRY(open("/dev/null", O_WRONLY | O_CREAT | O_TRUNC | O_EXCL, 0600));
}

CASE(names_of_descriptors) {
    char path[64], text[PATH_MAX] = "";
    make("file", "inside");
    int file = open("file", O_RDONLY), ends[2];
    sprintf(path, "/proc/self/fd/%d", file);
    ssize_t got = TRY(readlink(path, text, sizeof text - 1) > 0);
    SAY("%s", got > 0 ? strrchr(text, '/') : "");
    lseek(file, 3, SEEK_SET);
    int again = open(path, O_RDONLY);
    TRY(lseek(again, 0, SEEK_CUR));
    SAY("%s", content(path));
    sprintf(path, "/dev/fd/%d", file);
    SAY("%s", content(path));
    TRY(access("/proc/self/fd/99", F_OK));
    TRY(open("/dev/fd/99", O_RDONLY));
    pipe(ends);
    sprintf(path, "/proc/self/fd/%d", ends[0]);
    memset(text, 0, sizeof text);
    readlink(path, text, sizeof text - 1);
    SAY("%.6s", text);
    struct stat about;
    TRY(stat(path, &about));
    SAY("%d", S_ISFIFO(about.st_mode));
    SAY("%s", mode_of("/dev/fd"));
    SAY("%s", mode_of("/dev/stdout"));
}
