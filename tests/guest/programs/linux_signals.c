/* Signals to self: handlers, masks, siginfo, alternate stack, interrupted sleep, longjmp, SIGPIPE, abort is elsewhere. */
#define _GNU_SOURCE
#include "linux_check.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <time.h>

static volatile int last, times;
static void *volatile where;
static sigjmp_buf back;

static void handle(int number) {
    double d = 1.5;
    last = number;
    times += (int)(d * 2) - 2;
}

static void inform(int number, siginfo_t *info, void *context) {
    ucontext_t *saved = context;
    last = number;
    where = &number;
    CHECK(info->si_signo == number);
    CHECK(saved->uc_mcontext.gregs[REG_RIP] != 0);
}

static void jump(int number) {
    siglongjmp(back, number);
}

static void *interrupt(void *thread) {
    usleep(1000);
    pthread_kill(*(pthread_t *)thread, SIGUSR1);
    return NULL;
}

int main(void) {
    double kept = 3.25;
    CHECK(signal(SIGUSR1, handle) == SIG_DFL);
    CHECK(!raise(SIGUSR1) && last == SIGUSR1 && times == 1);
    CHECK(!kill(getpid(), SIGUSR1) && times == 2);
    CHECK(kept == 3.25);

    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK(!sigprocmask(SIG_BLOCK, &set, &old));
    CHECK(!raise(SIGUSR1) && times == 2);
    CHECK(!sigpending(&old) && sigismember(&old, SIGUSR1));
    CHECK(!sigprocmask(SIG_UNBLOCK, &set, NULL) && times == 3);

    static char stack[16384];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_sigaction = inform, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    CHECK(!sigaltstack(&alternate, NULL) && !sigaction(SIGUSR2, &action, NULL));
    CHECK(!raise(SIGUSR2) && last == SIGUSR2);
    CHECK((char *)where >= stack && (char *)where < stack + sizeof stack);

    CHECK(signal(SIGTERM, jump) != SIG_ERR);
    int number = sigsetjmp(back, 1);
    if (!number)
        raise(SIGTERM);
    CHECK(number == SIGTERM);

    pthread_t self = pthread_self(), thread;
    struct timespec second = {5, 0}, rest;
    CHECK(!pthread_create(&thread, NULL, interrupt, &self));
    CHECK(nanosleep(&second, &rest) == -1 && errno == EINTR && rest.tv_sec >= 3 && times == 4);
    CHECK(!pthread_join(thread, NULL));

    int ends[2];
    CHECK(signal(SIGPIPE, handle) == SIG_DFL && !pipe(ends) && !close(ends[0]));
    CHECK(write(ends[1], "x", 1) == -1 && errno == EPIPE && last == SIGPIPE);
    CHECK(signal(SIGCHLD, SIG_IGN) == SIG_DFL && !raise(SIGCHLD) && last == SIGPIPE);
    CHECK(kill(12345, SIGUSR1) == -1 && errno == ESRCH);
    DONE();
}
