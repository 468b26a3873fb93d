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

/* A line with an identifier in the form of RFC 9562, version 4. A restored or cloned machine is a new one, as another boot
 * is: a program that remembers this line can tell. Zeros while an image is built. */
static int64_t boot_read(struct file *file, void *to, uint64_t size, int64_t at) {
    (void)file;
    char line[40];
    uint64_t high = NK_INFO->generation, low = high * 0x9E3779B97F4A7C15; /* Knuth's multiplier: 2^64 / phi */
    int length = format_buffer(line, sizeof line, "%08lx-%04lx-4%03lx-%04lx-%012lx\n", (unsigned long)(high >> 32),
                               (unsigned long)(high >> 16 & 0xFFFF), (unsigned long)(high & 0xFFF),
                               (unsigned long)((low >> 48 & 0x3FFF) | 0x8000), (unsigned long)(low & 0xFFFFFFFFFFFF));
    if (at >= length)
        return 0;
    size = MIN(size, (uint64_t)(length - at));
    memcpy(to, line + at, size);
    return (int64_t)size;
}

const struct file_kind kind_input = {.read = input_read, .mode = S_IFIFO};
const struct file_kind kind_output = {.write = output_write, .mode = S_IFIFO};
const struct file_kind kind_error = {.write = error_write, .mode = S_IFIFO};
const struct file_kind kind_null = {.read = null_read, .write = null_write, .mode = S_IFCHR};
const struct file_kind kind_zero = {.read = zero_read, .write = null_write, .mode = S_IFCHR};
const struct file_kind kind_boot = {.read = boot_read, .mode = S_IFREG};
const struct file_kind kind_random = {.read = random_read, .write = null_write, .mode = S_IFCHR};
