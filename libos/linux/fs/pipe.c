/* Pipes and event counters: how threads of one program tell each other things through descriptors. */
#include "fs.h"

#define PIPE_SIZE 65536

struct pipe {
    uint32_t readers, writers;
    uint64_t head, tail; /* bytes ever written and read */
    char data[PIPE_SIZE];
};

/* Waits for a change of any file; -EINTR for a signal. */
static int64_t wait_for_change(void) {
    struct waiter waiter = {.address = FILE_CHANGES, .bits = 1};
    return thread_wait(&waiter, NK_IDLE_FOREVER) ? 0 : -EINTR;
}

static int64_t pipe_read(struct file *file, void *to, uint64_t size, int64_t at) {
    (void)at;
    struct pipe *pipe = file->pipe;
    char *bytes = to;
    while (size && pipe->head == pipe->tail) {
        if (!pipe->writers)
            return 0;
        if (file->flags & O_NONBLOCK)
            return -EAGAIN;
        int64_t error = wait_for_change();
        if (error)
            return error;
    }
    uint64_t take = MIN(size, pipe->head - pipe->tail);
    for (uint64_t i = 0; i < take; i++)
        bytes[i] = pipe->data[pipe->tail++ % PIPE_SIZE];
    files_changed();
    return (int64_t)take;
}

static int64_t pipe_write(struct file *file, const void *from, uint64_t size, int64_t at) {
    (void)at;
    struct pipe *pipe = file->pipe;
    const char *bytes = from;
    uint64_t done = 0;
    while (done < size) {
        if (!pipe->readers) {
            signal_raise(SIGPIPE);
            return done ? (int64_t)done : -EPIPE;
        }
        uint64_t room = PIPE_SIZE - (pipe->head - pipe->tail);
        if (!room || (size <= 4096 && room < size)) { /* PIPE_BUF bytes go as a whole */
            if (file->flags & O_NONBLOCK)
                return done ? (int64_t)done : -EAGAIN;
            int64_t error = wait_for_change();
            if (error)
                return done ? (int64_t)done : error;
            continue;
        }
        for (room = MIN(room, size - done); room; room--)
            pipe->data[pipe->head++ % PIPE_SIZE] = bytes[done++];
        files_changed();
    }
    return (int64_t)done;
}

static unsigned pipe_ready(struct file *file) {
    struct pipe *pipe = file->pipe;
    if ((file->flags & O_ACCMODE) == O_WRONLY)
        return (pipe->readers ? 0 : POLLERR) | (PIPE_SIZE - (pipe->head - pipe->tail) >= 4096 ? POLLOUT : 0);
    return (pipe->writers ? 0 : POLLHUP) | (pipe->head != pipe->tail ? POLLIN : 0);
}

static void pipe_close(struct file *file) {
    struct pipe *pipe = file->pipe;
    (*((file->flags & O_ACCMODE) == O_WRONLY ? &pipe->writers : &pipe->readers))--;
    if (!pipe->readers && !pipe->writers)
        heap_free(pipe);
    files_changed();
}

static const struct file_kind kind_pipe = {
    .read = pipe_read, .write = pipe_write, .ready = pipe_ready, .close = pipe_close, .mode = S_IFIFO};

int64_t sys_pipe2(const uint64_t *a, struct frame *frame) {
    if (!can_write(a[0], 8))
        return -EFAULT;
    struct pipe *pipe = heap_zeroed(1, sizeof *pipe);
    struct file *ends[2] = {file_new(&kind_pipe, (uint32_t)a[1] & O_NONBLOCK),
                            file_new(&kind_pipe, ((uint32_t)a[1] & O_NONBLOCK) | O_WRONLY)};
    if (!pipe || !ends[0] || !ends[1]) {
        heap_free(pipe);
        heap_free(ends[0]);
        heap_free(ends[1]);
        return -ENOMEM;
    }
    pipe->readers = pipe->writers = 1;
    ends[0]->pipe = ends[1]->pipe = pipe;
    int64_t first = file_install(ends[0], 0, false), second = file_install(ends[1], 0, false);
    if (first >= 0 && second < 0)
        sys_close((const uint64_t[]){(uint64_t)first}, frame);
    if (first < 0 || second < 0)
        return -EMFILE;
    ((int *)a[0])[0] = (int)first;
    ((int *)a[0])[1] = (int)second;
    return 0;
}

int64_t sys_pipe(const uint64_t *a, struct frame *frame) {
    return sys_pipe2((const uint64_t[]){a[0], 0}, frame);
}

#define EFD_SEMAPHORE 1
#define COUNTER_MAX 0xFFFFFFFFFFFFFFFEull

static int64_t eventfd_read(struct file *file, void *to, uint64_t size, int64_t at) {
    (void)at;
    if (size < 8)
        return -EINVAL;
    while (!file->value) {
        if (file->flags & O_NONBLOCK)
            return -EAGAIN;
        int64_t error = wait_for_change();
        if (error)
            return error;
    }
    uint64_t value = file->semaphore ? 1 : file->value;
    memcpy(to, &value, 8);
    file->value -= value;
    files_changed();
    return 8;
}

static int64_t eventfd_write(struct file *file, const void *from, uint64_t size, int64_t at) {
    (void)at;
    uint64_t value;
    if (size < 8)
        return -EINVAL;
    memcpy(&value, from, 8);
    if (value > COUNTER_MAX)
        return -EINVAL;
    while (file->value > COUNTER_MAX - value) {
        if (file->flags & O_NONBLOCK)
            return -EAGAIN;
        int64_t error = wait_for_change();
        if (error)
            return error;
    }
    file->value += value;
    files_changed();
    return 8;
}

static unsigned eventfd_ready(struct file *file) {
    return (file->value ? POLLIN : 0) | (file->value < COUNTER_MAX ? POLLOUT : 0);
}

static const struct file_kind kind_event = {.read = eventfd_read, .write = eventfd_write, .ready = eventfd_ready};

int64_t sys_eventfd(const uint64_t *a, struct frame *frame) {
    (void)frame;
    struct file *file = file_new(&kind_event, ((uint32_t)a[1] & O_NONBLOCK) | O_RDWR);
    if (file) {
        file->value = (uint32_t)a[0];
        file->semaphore = a[1] & EFD_SEMAPHORE;
    }
    return file_install(file, 0, false);
}
