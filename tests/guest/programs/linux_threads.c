/* pthreads: mutex, condition, join, thread-local storage, barrier, semaphore, timeouts, floating point across switches. */
#define _GNU_SOURCE
#include "linux_check.h"

#include <pthread.h>
#include <semaphore.h>
#include <sched.h>
#include <time.h>

enum { THREADS = 8, ROUNDS = 500 };
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static sem_t semaphore;
static int counter, turn;
static _Thread_local int own;

static void *count(void *argument) {
    int number = (int)(long)argument;
    double sum = 0;
    own = number;
    for (int i = 0; i < ROUNDS; i++) {
        pthread_mutex_lock(&mutex);
        int seen = counter;
        if (i % 50 == 0)
            sched_yield();
        counter = seen + 1;
        pthread_mutex_unlock(&mutex);
        sum += number * 0.5;
        if (i % 10 == 0)
            sched_yield();
    }
    pthread_barrier_wait(&barrier);
    CHECK(own == number);
    CHECK(sum == number * 0.5 * ROUNDS);
    return (void *)(long)(number * 2);
}

static void *take_turns(void *argument) {
    int number = (int)(long)argument;
    for (int i = 0; i < 20; i++) {
        pthread_mutex_lock(&mutex);
        while (turn % 2 != number)
            pthread_cond_wait(&condition, &mutex);
        turn++;
        pthread_cond_broadcast(&condition);
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}

static void *post(void *argument) {
    (void)argument;
    usleep(2000);
    sem_post(&semaphore);
    return NULL;
}

int main(void) {
    pthread_t threads[THREADS];
    void *result;
    CHECK(!pthread_barrier_init(&barrier, NULL, THREADS));
    for (long i = 0; i < THREADS; i++)
        CHECK(!pthread_create(threads + i, NULL, count, (void *)i));
    for (long i = 0; i < THREADS; i++) {
        CHECK(!pthread_join(threads[i], &result));
        CHECK((long)result == i * 2);
    }
    CHECK(counter == THREADS * ROUNDS);

    CHECK(!pthread_create(threads, NULL, take_turns, (void *)0));
    CHECK(!pthread_create(threads + 1, NULL, take_turns, (void *)1));
    CHECK(!pthread_join(threads[0], NULL) && !pthread_join(threads[1], NULL));
    CHECK(turn == 40);

    CHECK(!sem_init(&semaphore, 0, 0));
    CHECK(!pthread_create(threads, NULL, post, NULL));
    CHECK(!sem_wait(&semaphore));
    CHECK(!pthread_join(threads[0], NULL));

    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 3000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&mutex);
    CHECK(pthread_cond_timedwait(&condition, &mutex, &until) == ETIMEDOUT);
    pthread_mutex_unlock(&mutex);

    for (int i = 0; i < 200; i++) { /* stacks and numbers are given back */
        CHECK(!pthread_create(threads, NULL, post, NULL));
        CHECK(!pthread_detach(threads[0]) && !sem_wait(&semaphore));
    }
    DONE();
}
