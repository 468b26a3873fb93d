/* Pipes, eventfd, poll, select and epoll, among threads. */
#define _GNU_SOURCE
#include "linux_check.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>

static int ends[2];

static void *produce(void *argument) {
    (void)argument;
    char block[1000];
    memset(block, 'p', sizeof block);
    for (int i = 0; i < 300; i++) /* more than a pipe holds */
        CHECK(write(ends[1], block, sizeof block) == sizeof block);
    close(ends[1]);
    return NULL;
}

static void *add(void *counter) {
    uint64_t one = 1;
    usleep(1000);
    CHECK(write(*(int *)counter, &one, 8) == 8);
    return NULL;
}

int main(void) {
    pthread_t thread;
    char block[4096];
    long total = 0;
    CHECK(!pipe(ends));
    CHECK(!pthread_create(&thread, NULL, produce, NULL));
    for (ssize_t got; (got = read(ends[0], block, sizeof block)) > 0;)
        total += got;
    CHECK(total == 300000 && !pthread_join(thread, NULL));

    CHECK(!pipe2(ends, O_NONBLOCK));
    CHECK(read(ends[0], block, 1) == -1 && errno == EAGAIN);
    struct pollfd files[2] = {{.fd = ends[0], .events = POLLIN}, {.fd = ends[1], .events = POLLOUT}};
    CHECK(poll(files, 2, -1) == 1 && !files[0].revents && files[1].revents == POLLOUT);
    CHECK(poll(files, 1, 2) == 0);
    CHECK(write(ends[1], "ab", 2) == 2 && poll(files, 1, -1) == 1 && files[0].revents == POLLIN);
    CHECK(read(ends[0], block, 9) == 2 && !memcmp(block, "ab", 2));

    fd_set set;
    FD_ZERO(&set);
    FD_SET(ends[0], &set);
    struct timeval soon = {0, 2000};
    CHECK(select(ends[0] + 1, &set, NULL, NULL, &soon) == 0 && !FD_ISSET(ends[0], &set));

    int counter = eventfd(0, 0);
    int epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 77}, got[4];
    CHECK(counter >= 0 && epoll >= 0 && !epoll_ctl(epoll, EPOLL_CTL_ADD, counter, &event));
    CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, counter, &event) == -1 && errno == EEXIST);
    CHECK(epoll_wait(epoll, got, 4, 2) == 0);
    CHECK(!pthread_create(&thread, NULL, add, &counter));
    CHECK(epoll_wait(epoll, got, 4, -1) == 1 && got[0].data.u64 == 77 && got[0].events == EPOLLIN);
    uint64_t value = 0;
    CHECK(read(counter, &value, 8) == 8 && value == 1 && !pthread_join(thread, NULL));
    CHECK(epoll_wait(epoll, got, 4, 0) == 0);
    CHECK(!epoll_ctl(epoll, EPOLL_CTL_DEL, counter, NULL) && !close(counter) && !close(epoll));

    int copy = dup(ends[0]);
    CHECK(copy >= 0 && dup2(copy, 40) == 40 && fcntl(40, F_GETFL) & O_NONBLOCK && !close(40) && !close(copy));
    CHECK(close(40) == -1 && errno == EBADF);
    DONE();
}
