/* Pipes: how threads of one program tell each other things through descriptors. */
#include "fs.h"

#define PIPE_SIZE 65536
#define PIPE_SIZE_MAX (1 << 20)
#define PIPE_BUF 4096

struct pipe {
    uint32_t readers, writers;
    uint64_t head, tail; /* bytes ever written and read */
    uint64_t size;
    struct edges edges;
    char *data;
};

/* Waits for a change of any file; -EINTR for a signal. */
int64_t wait_for_change(void) {
    struct waiter waiter = {.address = FILE_CHANGES, .bits = 1};
    return thread_wait(&waiter, NK_IDLE_FOREVER) ? 0 : -EINTR;
}

uint64_t pipe_bytes(const struct file *file) {
    return file->pipe->head - file->pipe->tail;
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
    if (pipe->size - (pipe->head - pipe->tail) < PIPE_BUF)
        pipe->edges.out++;
    for (uint64_t i = 0; i < take; i++)
        bytes[i] = pipe->data[pipe->tail++ % pipe->size];
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
        uint64_t room = pipe->size - (pipe->head - pipe->tail);
        if (!room || (size <= PIPE_BUF && room < size)) { /* so many bytes go as a whole */
            if (file->flags & O_NONBLOCK)
                return done ? (int64_t)done : -EAGAIN;
            int64_t error = wait_for_change();
            if (error)
                return done ? (int64_t)done : error;
            continue;
        }
        for (room = MIN(room, size - done); room; room--)
            pipe->data[pipe->head++ % pipe->size] = bytes[done++];
        pipe->edges.in++;
        files_changed();
    }
    return (int64_t)done;
}

static unsigned pipe_ready(struct file *file) {
    struct pipe *pipe = file->pipe;
    bool reads = (file->flags & O_ACCMODE) != O_WRONLY, writes = (file->flags & O_ACCMODE) != 0;
    unsigned ready = 0;
    if (reads)
        ready |= (pipe->writers ? 0 : POLLHUP) | (pipe->head != pipe->tail ? POLLIN | POLLRDNORM : 0);
    if (writes && pipe->size - (pipe->head - pipe->tail) >= PIPE_BUF)
        ready |= POLLOUT | POLLWRNORM;
    return ready | (writes && !pipe->readers ? POLLERR : 0);
}

static struct edges *pipe_edges(struct file *file) {
    return &file->pipe->edges;
}

static void pipe_close(struct file *file) {
    struct pipe *pipe = file->pipe;
    unsigned access = file->flags & O_ACCMODE;
    pipe->readers -= access != O_WRONLY;
    pipe->writers -= access != 0;
    pipe->edges.in++;
    pipe->edges.out++;
    if (!pipe->readers && !pipe->writers) {
        heap_free(pipe->data);
        heap_free(pipe);
    }
    files_changed();
}

static const struct file_kind kind_pipe = {
    .read = pipe_read,
    .write = pipe_write,
    .ready = pipe_ready,
    .close = pipe_close,
    .edges = pipe_edges,
    .mode = S_IFIFO,
    .name = "pipe:[3]",
};

/* One more open file of a pipe, as its name in /proc/self/fd gives it. */
struct file *pipe_again(const struct file *other, uint32_t flags) {
    struct file *file = file_new(&kind_pipe, flags & (O_ACCMODE | O_NONBLOCK));
    if (!file)
        return NULL;
    file->pipe = other->pipe;
    file->pipe->readers += (flags & O_ACCMODE) != O_WRONLY;
    file->pipe->writers += (flags & O_ACCMODE) != 0;
    return file;
}

/* How much it holds; a new size is a power of two of pages and holds what is in it. */
int64_t pipe_size(struct file *file, uint64_t size) {
    struct pipe *pipe = file->pipe;
    if (!size)
        return (int64_t)pipe->size;
    if (size > 1u << 31)
        return -EINVAL;
    if (size > PIPE_SIZE_MAX)
        return -EPERM;
    uint64_t room = NK_PAGE_SIZE, held = pipe->head - pipe->tail;
    while (room < size)
        room *= 2;
    if (room < held)
        return -EBUSY;
    char *data = heap_alloc(room);
    if (!data)
        return -ENOMEM;
    for (uint64_t i = 0; i < held; i++)
        data[i] = pipe->data[(pipe->tail + i) % pipe->size];
    heap_free(pipe->data);
    pipe->data = data;
    pipe->size = room;
    pipe->tail = 0;
    pipe->head = held;
    files_changed();
    return (int64_t)room;
}

static struct pipe *pipe_new(void) {
    struct pipe *pipe = heap_zeroed(1, sizeof *pipe);
    if (!pipe)
        return NULL;
    pipe->size = PIPE_SIZE;
    pipe->data = heap_alloc(PIPE_SIZE);
    if (pipe->data)
        return pipe;
    heap_free(pipe);
    return NULL;
}

int64_t sys_pipe2(const uint64_t *a, struct frame *frame) {
    uint32_t flags = (uint32_t)a[1];
    if (flags & ~(uint32_t)(O_NONBLOCK | O_CLOEXEC | 040000 /* O_DIRECT */))
        return -EINVAL;
    if (!can_write(a[0], 8))
        return -EFAULT;
    struct pipe *pipe = pipe_new();
    struct file *ends[2] = {file_new(&kind_pipe, flags & O_NONBLOCK), file_new(&kind_pipe, (flags & O_NONBLOCK) | O_WRONLY)};
    if (!pipe || !ends[0] || !ends[1]) {
        if (pipe)
            heap_free(pipe->data);
        heap_free(pipe);
        heap_free(ends[0]);
        heap_free(ends[1]);
        return -ENOMEM;
    }
    pipe->readers = pipe->writers = 1;
    ends[0]->pipe = ends[1]->pipe = pipe;
    int64_t first = file_install(ends[0], 0, flags & O_CLOEXEC), second = file_install(ends[1], 0, flags & O_CLOEXEC);
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
