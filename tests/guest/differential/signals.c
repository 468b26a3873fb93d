/* Signals, alarms and timers. */
#include "case.h"

static void handle(int number, void (*handler)(int), int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    sigaction(number, &action, NULL);
}

static void block(int how, int number) {
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, number);
    sigprocmask(how, &set, NULL);
}

CASE(signal_to_self) {
    handle(SIGUSR1, note_signal, 0);
    TRY(raise(SIGUSR1));
    TRY(kill(getpid(), SIGUSR1));
    TRY(syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1));
    TRY(syscall(SYS_tkill, gettid(), SIGUSR1));
    SAY("%d", signals_seen[SIGUSR1]);
    TRY(kill(getpid(), 0));
    TRY(kill(getpid(), 65));
    TRY(kill(getpid(), -1));
    TRY(kill(0x7FFFFF0, SIGUSR1));
    TRY(syscall(SYS_tgkill, getpid(), 0, SIGUSR1));
    TRY(syscall(SYS_tgkill, getpid(), 0x7FFFFF0, 0));
}

CASE(signal_actions_told) {
    struct sigaction old, action = {.sa_handler = note_signal, .sa_flags = SA_RESTART | SA_NODEFER};
    sigaddset(&action.sa_mask, SIGUSR2);
    TRY(sigaction(SIGUSR1, &action, NULL));
    TRY(sigaction(SIGUSR1, NULL, &old));
    SAY("%d %x %d %d", old.sa_handler == note_signal, old.sa_flags & ~0x04000000, sigismember(&old.sa_mask, SIGUSR2),
        sigismember(&old.sa_mask, SIGUSR1));
    TRY(sigaction(SIGKILL, &action, NULL));
    TRY(sigaction(SIGSTOP, &action, NULL));
    TRY(sigaction(SIGKILL, NULL, &old));
    TRY(sigaction(65, &action, NULL));
    TRY(syscall(SYS_rt_sigaction, SIGUSR1, NULL, NULL, 4));
    TRY(syscall(SYS_rt_sigaction, SIGUSR1, (void *)8, NULL, 8));
}

CASE(signals_blocked) {
    sigset_t set;
    handle(SIGUSR1, note_signal, 0);
    block(SIG_BLOCK, SIGUSR1);
    raise(SIGUSR1), raise(SIGUSR1);
    SAY("%d", signals_seen[SIGUSR1]);
    sigpending(&set);
    SAY("%d", sigismember(&set, SIGUSR1));
    block(SIG_UNBLOCK, SIGUSR1);
    SAY("%d", signals_seen[SIGUSR1]);
    sigfillset(&set);
    sigprocmask(SIG_SETMASK, &set, NULL);
    sigprocmask(SIG_SETMASK, NULL, &set);
    SAY("%d %d", sigismember(&set, SIGKILL), sigismember(&set, SIGTERM));
    TRY(syscall(SYS_rt_sigprocmask, 7, &set, NULL, 8));
    TRY(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, NULL, 16));
}

CASE(order_of_signals) {
    handle(SIGUSR1, note_signal, 0), handle(SIGUSR2, note_signal, 0), handle(SIGHUP, note_signal, 0);
    sigset_t set, old;
    sigfillset(&set);
    sigprocmask(SIG_SETMASK, &set, &old);
    raise(SIGUSR2), raise(SIGHUP), raise(SIGUSR1);
    sigprocmask(SIG_SETMASK, &old, NULL);
    for (int i = 0; i < signal_count; i++)
        printf("%d ", signal_order[i]);
    SAY("%s", "");
}

static volatile int depth, deepest;

static void again(int number) {
    depth++;
    deepest = depth > deepest ? depth : deepest;
    if (signals_seen[number]++ < 2)
        raise(number);
    depth--;
}

CASE(signal_in_its_handler) {
    depth = deepest = 0;
    handle(SIGUSR1, again, 0);
    raise(SIGUSR1);
    SAY("%d %d", signals_seen[SIGUSR1], deepest);
    signals_seen[SIGUSR1] = deepest = 0;
    handle(SIGUSR1, again, SA_NODEFER);
    raise(SIGUSR1);
    SAY("%d %d", signals_seen[SIGUSR1], deepest);
}

CASE(signal_handled_once) {
    struct sigaction old;
    handle(SIGCHLD, note_signal, SA_RESETHAND);
    raise(SIGCHLD), raise(SIGCHLD);
    sigaction(SIGCHLD, NULL, &old);
    SAY("%d %d", signals_seen[SIGCHLD], old.sa_handler == SIG_DFL);
}

CASE(signals_ignored) {
    sigset_t set;
    signal(SIGUSR1, SIG_IGN);
    TRY(raise(SIGUSR1));
    TRY(raise(SIGCHLD));
    TRY(raise(SIGWINCH));
    TRY(raise(SIGCONT));
    signal(SIGUSR1, note_signal);
    block(SIG_BLOCK, SIGUSR1);
    raise(SIGUSR1);
    signal(SIGUSR1, SIG_IGN);
    sigpending(&set);
    SAY("%d", sigismember(&set, SIGUSR1));
}

static siginfo_t told;

static void inform(int number, siginfo_t *info, void *context) {
    (void)context;
    told = *info;
    note_signal(number);
}

CASE(what_signals_tell) {
    struct sigaction action = {.sa_sigaction = inform, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, NULL), sigaction(SIGRTMIN, &action, NULL);
    kill(getpid(), SIGUSR1);
    SAY("%d %d %d", told.si_signo, told.si_code, told.si_pid == getpid());
    raise(SIGUSR1);
    SAY("%d %d", told.si_code, told.si_pid == getpid());
    TRY(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 77}));
    SAY("%d %d %d", told.si_signo - SIGRTMIN, told.si_code, told.si_value.sival_int);
}

CASE(signals_that_queue) {
    sigset_t set;
    siginfo_t info;
    sigemptyset(&set), sigaddset(&set, SIGRTMIN), sigaddset(&set, SIGUSR1), sigaddset(&set, SIGRTMIN + 1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 3});
    for (int i = 0; i < 3; i++)
        sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i}), kill(getpid(), SIGUSR1);
    struct timespec none = {0, 0};
    for (int got; (got = sigtimedwait(&set, &info, &none)) > 0;)
        SAY("%d %d %d", got >= SIGRTMIN ? got - SIGRTMIN : -got, info.si_code, got >= SIGRTMIN ? info.si_value.sival_int : 0);
    SAY("%s", strerror(errno));
}

static void *raise_soon(void *thread) {
    pause_ms(100); /* long enough for the other to wait in its call, on a busy host too */
    pthread_kill(*(pthread_t *)thread, SIGUSR1);
    return NULL;
}

static pthread_t later(void) {
    static pthread_t self;
    pthread_t thread;
    self = pthread_self();
    sigset_t set, old;
    sigemptyset(&set), sigaddset(&set, SIGUSR1), sigaddset(&set, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &set, &old);
    pthread_create(&thread, NULL, raise_soon, &self);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return thread;
}

CASE(waiting_for_signals) {
    sigset_t set, old;
    siginfo_t info;
    struct timespec soon = {0, 4000000}, second = {1, 0};
    sigemptyset(&set), sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, &old);
    TRY(sigtimedwait(&set, &info, &soon));
    pthread_t thread = later();
    TRY(sigtimedwait(&set, &info, &second));
    pthread_join(thread, NULL);
    thread = later();
    int number = 0;
    TRY(sigwait(&set, &number));
    SAY("%d", number);
    pthread_join(thread, NULL);
    handle(SIGUSR1, note_signal, 0);
    thread = later();
    TRY(sigsuspend(&old));
    SAY("%d", signals_seen[SIGUSR1]);
    pthread_join(thread, NULL);
    sigprocmask(SIG_SETMASK, NULL, &old);
    SAY("%d", sigismember(&old, SIGUSR1));
    soon.tv_nsec = -1;
    TRY(sigtimedwait(&set, &info, &soon));
}

CASE(calls_interrupted) {
    int ends[2];
    char text[4];
    struct timespec time = {1, 0}, rest;
    struct pollfd file;
    pipe(ends);
    handle(SIGUSR1, note_signal, 0);
    pthread_t thread = later();
    TRY(read(ends[0], text, 4));
    pthread_join(thread, NULL), thread = later();
    TRY(nanosleep(&time, &rest));
    SAY("%d", rest.tv_sec == 0 && rest.tv_nsec > 100000000);
    pthread_join(thread, NULL), thread = later();
    file = (struct pollfd){ends[0], POLLIN, 0};
    TRY(poll(&file, 1, 1000));
    pthread_join(thread, NULL), thread = later();
    TRY(pause());
    pthread_join(thread, NULL), thread = later();
    int epoll = epoll_create1(0);
    struct epoll_event event;
    TRY(epoll_wait(epoll, &event, 1, 1000));
    pthread_join(thread, NULL);
    SAY("%d", signals_seen[SIGUSR1]);
}

static int pipe_to_fill;

static void fill(int number) {
    note_signal(number);
    write(pipe_to_fill, "go", 2);
}

CASE(calls_that_go_on) {
    int ends[2];
    char text[4] = "";
    pipe(ends);
    pipe_to_fill = ends[1];
    handle(SIGUSR1, fill, SA_RESTART);
    pthread_t thread = later();
    TRY(read(ends[0], text, 4));
    SAY("%s %d", text, signals_seen[SIGUSR1]);
    pthread_join(thread, NULL);
    thread = later();
    struct pollfd file = {open("/dev/null", O_RDONLY), 0, 0};
    TRY(poll(&file, 0, 1000));
    pthread_join(thread, NULL);
}

CASE(masks_for_one_call) {
    sigset_t set, none, now;
    int ends[2];
    sigemptyset(&none), sigemptyset(&set), sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    handle(SIGUSR1, note_signal, 0);
    raise(SIGUSR1);
    struct timespec time = {1, 0};
    TRY(ppoll(NULL, 0, &time, &none));
    SAY("%d", signals_seen[SIGUSR1]);
    raise(SIGUSR1);
    TRY(pselect(0, NULL, NULL, NULL, &time, &none));
    raise(SIGUSR1);
    struct epoll_event event;
    TRY(epoll_pwait(epoll_create1(0), &event, 1, 1000, &none));
    SAY("%d", signals_seen[SIGUSR1]);
    sigprocmask(SIG_SETMASK, NULL, &now);
    SAY("%d", sigismember(&now, SIGUSR1));
    pipe(ends);
    write(ends[1], "x", 1);
    struct pollfd file = {ends[0], POLLIN, 0};
    TRY(ppoll(&file, 1, &time, &none));
    sigprocmask(SIG_SETMASK, NULL, &now);
    SAY("%d", sigismember(&now, SIGUSR1));
}

static char *where;

static void look(int number) {
    char here;
    note_signal(number);
    where = &here;
    stack_t now;
    sigaltstack(NULL, &now);
    SAY("on it %d, change: %d %s", now.ss_flags, sigaltstack(&now, NULL), strerror(errno));
}

CASE(another_stack) {
    static char room[32768];
    stack_t stack = {.ss_sp = room, .ss_size = sizeof room}, old;
    TRY(sigaltstack(NULL, &old));
    SAY("%d", old.ss_flags);
    TRY(sigaltstack(&stack, NULL));
    struct sigaction action = {.sa_handler = look, .sa_flags = SA_ONSTACK};
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    SAY("%d", where >= room && where < room + sizeof room);
    sigaltstack(NULL, &old);
    SAY("%d %d", old.ss_flags, (int)old.ss_size);
    stack.ss_size = 100;
    TRY(sigaltstack(&stack, NULL));
    stack.ss_flags = SS_DISABLE;
    TRY(sigaltstack(&stack, NULL));
    stack.ss_flags = 0x40;
    TRY(sigaltstack(&stack, NULL));
}

CASE(signals_by_descriptor) {
    sigset_t set;
    struct signalfd_siginfo info;
    sigemptyset(&set), sigaddset(&set, SIGUSR1), sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int file = TRY(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
    TRY(read(file, &info, sizeof info));
    kill(getpid(), SIGUSR1);
    sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 9});
    struct pollfd poll_file = {file, POLLIN, 0};
    TRY(poll(&poll_file, 1, 0));
    TRY(read(file, &info, sizeof info));
    SAY("%d %d %d", info.ssi_signo, info.ssi_code, info.ssi_pid == (unsigned)getpid());
    TRY(read(file, &info, sizeof info));
    SAY("%d %d", info.ssi_signo - SIGRTMIN, info.ssi_int);
    TRY(read(file, &info, 10));
    sigdelset(&set, SIGUSR1);
    TRY(signalfd(file, &set, 0));
    raise(SIGUSR1);
    TRY(read(file, &info, sizeof info));
    TRY(signalfd(0, &set, 0));
    TRY(signalfd(99, &set, 0));
    struct timespec none = {0, 0};
    sigaddset(&set, SIGUSR1);
    sigtimedwait(&set, NULL, &none);
}

CASE(alarms) {
    struct itimerval timer = {.it_value = {0, 5000}}, old;
    handle(SIGALRM, note_signal, 0);
    TRY(alarm(100));
    TRY(alarm(50));
    TRY(alarm(0));
    TRY(alarm(0));
    sigset_t none;
    sigemptyset(&none);
    block(SIG_BLOCK, SIGALRM); /* it must not come before it is waited for */
    TRY(setitimer(ITIMER_REAL, &timer, &old));
    TRY(sigsuspend(&none));
    block(SIG_UNBLOCK, SIGALRM);
    SAY("%d", signals_seen[SIGALRM]);
    timer.it_interval.tv_usec = 3000;
    TRY(setitimer(ITIMER_REAL, &timer, NULL));
    while (signals_seen[SIGALRM] < 4)
        pause();
    TRY(getitimer(ITIMER_REAL, &old));
    SAY("%d", (int)old.it_interval.tv_usec);
    memset(&timer, 0, sizeof timer);
    TRY(setitimer(ITIMER_REAL, &timer, NULL));
    timer.it_value.tv_usec = 1000000;
    TRY(setitimer(ITIMER_REAL, &timer, NULL));
    TRY(setitimer(7, &timer, NULL));
    TRY(getitimer(ITIMER_REAL, (void *)8));
}

CASE(timers_by_descriptor) {
    uint64_t times;
    struct itimerspec spec = {.it_value = {0, 100000000}}, now;
    int file = TRY(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
    TRY(read(file, &times, 8));
    TRY(timerfd_settime(file, 0, &spec, NULL));
    TRY(read(file, &times, 8));
    struct pollfd poll_file = {file, POLLIN, 0};
    TRY(poll(&poll_file, 1, 1000));
    TRY(read(file, &times, 8));
    SAY("%d", (int)times);
    TRY(poll(&poll_file, 1, 0));
    spec = (struct itimerspec){{0, 2000000}, {0, 1000000}};
    TRY(timerfd_settime(file, 0, &spec, NULL));
    pause_ms(12);
    TRY(read(file, &times, 8));
    SAY("%d", times >= 4);
    TRY(timerfd_gettime(file, &now));
    SAY("%d %d", (int)now.it_interval.tv_nsec, now.it_value.tv_nsec > 0 && now.it_value.tv_nsec <= 2000000);
    memset(&spec, 0, sizeof spec);
    TRY(timerfd_settime(file, 0, &spec, &now));
    TRY(timerfd_gettime(file, &now));
    SAY("%d %d", (int)now.it_value.tv_sec, (int)now.it_value.tv_nsec);
    TRY(read(file, &times, 4));
    spec.it_value.tv_nsec = 1000000000;
    TRY(timerfd_settime(file, 0, &spec, NULL));
    TRY(timerfd_settime(0, 0, &now, NULL));
    TRY(timerfd_settime(99, 0, &now, NULL));
    TRY(timerfd_create(77, 0));
    TRY(timerfd_create(CLOCK_REALTIME, 1));
}

CASE(timers_at_a_time) {
    uint64_t times;
    struct itimerspec spec = {0};
    int clocks[] = {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME};
    for (int i = 0; i < 3; i++) {
        int file = timerfd_create(clocks[i], 0);
        clock_gettime(clocks[i], &spec.it_value);
        spec.it_value.tv_nsec += 3000000;
        if (spec.it_value.tv_nsec >= 1000000000)
            spec.it_value.tv_sec++, spec.it_value.tv_nsec -= 1000000000;
        TRY(timerfd_settime(file, TFD_TIMER_ABSTIME, &spec, NULL));
        TRY(read(file, &times, 8));
        spec.it_value.tv_sec = 1;
        TRY(timerfd_settime(file, TFD_TIMER_ABSTIME, &spec, NULL));
        TRY(read(file, &times, 8));
        SAY("%d", (int)times);
    }
}

CASE(timers_and_epoll) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    struct itimerspec spec = {{0, 3000000}, {0, 3000000}};
    int epoll = epoll_create1(0), file = timerfd_create(CLOCK_MONOTONIC, 0);
    epoll_ctl(epoll, EPOLL_CTL_ADD, file, &event);
    timerfd_settime(file, 0, &spec, NULL);
    for (int i = 0; i < 2; i++) /* one that nobody reads tells of itself once */
        TRY(epoll_wait(epoll, &event, 1, 30));
}

CASE(program_timers) {
    timer_t timer;
    struct itimerspec spec = {.it_value = {0, 3000000}}, now;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 42};
    struct sigaction action = {.sa_sigaction = inform, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, NULL);
    TRY(timer_create(CLOCK_MONOTONIC, &event, &timer));
    sigset_t none;
    sigemptyset(&none);
    block(SIG_BLOCK, SIGUSR1);
    TRY(timer_settime(timer, 0, &spec, NULL));
    TRY(sigsuspend(&none));
    block(SIG_UNBLOCK, SIGUSR1);
    SAY("%d %d %d", told.si_signo, told.si_code, told.si_value.sival_int);
    TRY(timer_gettime(timer, &now));
    SAY("%d", (int)now.it_value.tv_nsec);
    TRY(timer_getoverrun(timer));
    TRY(timer_delete(timer));
    event.sigev_notify = SIGEV_NONE;
    TRY(timer_create(CLOCK_REALTIME, &event, &timer));
    spec.it_value.tv_sec = 100;
    TRY(timer_settime(timer, 0, &spec, NULL));
    TRY(timer_gettime(timer, &now));
    SAY("%d", now.it_value.tv_sec > 90);
    TRY(timer_delete(timer));
    TRY(syscall(SYS_timer_delete, 77));
    TRY(syscall(SYS_timer_create, 99, NULL, &timer));
}

static volatile int ran;

static void run(union sigval value) {
    ran = value.sival_int;
}

CASE(timers_with_threads) {
    timer_t timer;
    struct itimerspec spec = {.it_value = {0, 2000000}};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = run, .sigev_value.sival_int = 7};
    TRY(timer_create(CLOCK_MONOTONIC, &event, &timer));
    TRY(timer_settime(timer, 0, &spec, NULL));
    for (int i = 0; i < 100 && !ran; i++)
        pause_ms(2);
    SAY("%d", ran);
    TRY(timer_delete(timer));
}
