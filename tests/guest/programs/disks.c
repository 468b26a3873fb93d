/* Says what its disks hold, and does to them what it is asked for. DISK names the one to work on ("data"). */
#include <nunatak.h>

static char baked[17]; /* the first bytes of the disk, as they were when the image was built */
#define WRITE_MAX (4 * NK_PAGE_SIZE)

static uint64_t number(nk_request *request, const char *name) {
    char text[24];
    uint64_t value = 0;
    if (nk_query(request, name, text, sizeof text) < 0)
        return 0;
    for (const char *at = text; *at >= '0' && *at <= '9'; at++)
        value = value * 10 + (uint64_t)(*at - '0');
    return value;
}

static int disk_of(nk_request *request) {
    char name[48];
    return nk_disk(nk_query(request, "disk", name, sizeof name) < 0 ? "data" : name);
}

/* /read?offset=&size= the bytes; X-Result says what the disk said. */
static void read_bytes(nk_request *request) {
    size_t size = number(request, "size");
    char *buffer = nk_malloc(size + 1);
    ptrdiff_t got = nk_disk_read(disk_of(request), buffer, size, number(request, "offset"));
    char text[24];
    nk_snprintf(text, sizeof text, "%zd", got);
    nk_header(request, "X-Result", text);
    if (got > 0)
        nk_write(request, buffer, (size_t)got);
    nk_free(buffer);
}

/* /many: as many requests as fit, on one exit; the sum of their results. */
static void many(nk_request *request) {
    int disk = disk_of(request), started = 0;
    size_t size = number(request, "size");
    char *buffer = nk_malloc(size * NK_DISK_SLOTS);
    while (nk_disk_submit(NK_DISK_READ, disk, buffer + size * (size_t)started, size, size * (size_t)started) >= 0)
        started++;
    int64_t sum = 0;
    for (int left = started; left;) {
        int32_t result;
        if (nk_disk_poll(&result) < 0)
            nk_sleep_until(nk_mono_ns() + 1000000);
        else
            sum += result, left--;
    }
    nk_printf(request, "%d requests, %lld bytes\n", started, (long long)sum);
    nk_free(buffer);
}

static void list(nk_request *request) {
    struct nk_disk_about about;
    nk_printf(request, "baked %s\n", baked);
    for (int disk = 0; nk_disk_about(disk, &about); disk++)
        nk_printf(request, "%s kind %u bytes %llu\n", about.name, about.kind, (unsigned long long)about.bytes);
}

static void handle(nk_request *request) {
    const char *path = nk_var(request, "PATH_INFO");
    int disk = disk_of(request);
    char text[64];
    if (!strcmp(path, "/read"))
        read_bytes(request);
    else if (!strcmp(path, "/many"))
        many(request);
    else if (!strcmp(path, "/write")) {
        char *copy = nk_malloc(WRITE_MAX);
        memset(copy, (int)number(request, "byte"), WRITE_MAX);
        size_t size = number(request, "size");
        nk_printf(request, "%zd\n", nk_disk_write(disk, copy, size ? size : NK_PAGE_SIZE, number(request, "offset")));
        nk_free(copy);
    } else if (!strcmp(path, "/flush"))
        nk_printf(request, "%d\n", nk_disk_flush(disk));
    else if (!strcmp(path, "/append")) {
        ptrdiff_t size = nk_query(request, "text", text, sizeof text);
        nk_printf(request, "%d\n", nk_disk_append(disk, text, size < 0 ? 0 : (size_t)size));
    } else if (!strcmp(path, "/log")) {
        nk_query(request, "text", text, sizeof text);
        nk_log("%s", text);
        nk_printf(request, "logged\n");
    } else if (!strcmp(path, "/exit"))
        nk_exit(3);
    else
        list(request);
}

int main(void) {
    nk_disk_read(nk_disk("data"), baked, sizeof baked - 1, 0);
    return nk_serve(handle);
}
