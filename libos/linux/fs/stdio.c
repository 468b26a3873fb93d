/* Standard input, output and error, which are the request and the log where there is a request and the console where
 * there is none; and the devices that programs open by name. */
#include "fs.h"

static bool in_request(void) {
    return NK_INFO->program_kind == NK_PROGRAM_CGI || NK_INFO->program_kind == NK_PROGRAM_RUN;
}

static int64_t input_read(struct file *file, void *to, uint64_t size, int64_t at) {
    (void)file, (void)at;
    return in_request() ? cgi_read(to, size) : 0;
}

static int64_t output_write(struct file *file, const void *from, uint64_t size, int64_t at) {
    (void)file, (void)at;
    if (!in_request()) {
        console_put(from, size);
        return (int64_t)size;
    }
    int64_t written = cgi_write(from, size);
    if (written == -EPIPE) /* the client is gone: a program that does not look at results ends, as on Linux */
        signal_raise(SIGPIPE);
    return written;
}

static int64_t error_write(struct file *file, const void *from, uint64_t size, int64_t at) {
    (void)file, (void)at;
    if (in_request())
        cgi_error(from, size);
    else
        console_put(from, size);
    return (int64_t)size;
}

static int64_t null_read(struct file *file, void *to, uint64_t size, int64_t at) {
    (void)file, (void)to, (void)size, (void)at;
    return 0;
}

static int64_t null_write(struct file *file, const void *from, uint64_t size, int64_t at) {
    (void)file, (void)from, (void)at;
    return (int64_t)size;
}

static int64_t zero_read(struct file *file, void *to, uint64_t size, int64_t at) {
    (void)file, (void)at;
    memset(to, 0, size);
    return (int64_t)size;
}

static int64_t random_read(struct file *file, void *to, uint64_t size, int64_t at) {
    (void)at;
    if (file->flags & O_NONBLOCK && !random_ready())
        return -EAGAIN;
    random_bytes(to, size);
    return (int64_t)size;
}

static int64_t full_write(struct file *file, const void *from, uint64_t size, int64_t at) {
    (void)file, (void)from, (void)size, (void)at;
    return -ENOSPC;
}

const struct file_kind kind_input = {.read = input_read, .mode = S_IFIFO};
const struct file_kind kind_output = {.write = output_write, .mode = S_IFIFO};
const struct file_kind kind_error = {.write = error_write, .mode = S_IFIFO};
const struct file_kind kind_null = {.read = null_read, .write = null_write, .mode = S_IFCHR};
const struct file_kind kind_zero = {.read = zero_read, .write = null_write, .mode = S_IFCHR};
const struct file_kind kind_full = {.read = zero_read, .write = full_write, .mode = S_IFCHR};
const struct file_kind kind_random = {.read = random_read, .write = null_write, .mode = S_IFCHR};
