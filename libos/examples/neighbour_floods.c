/* A bad neighbour that makes others work for it, as hard as it can for half a second: /lines writes empty lines to its
 * log, /exchanges begins and drops requests to an upstream, /flushes writes to a copy-on-write disk and flushes without
 * waiting, /blocks reads a large disk without waiting, /memory writes to all the memory there is. */
#include <nunatak.h>

#define MS 1000000ul
#define FOR_MS 500ul
#define BLOCK 0x10000ul
#define READS 32
#define SLOTS 48

static char line[1000], block[BLOCK], into[READS][BLOCK];

static bool more(uint64_t until_ns) {
    nk_refresh_clock();
    return nk_mono_ns() < until_ns;
}

static size_t write_lines(uint64_t until_ns) {
    size_t done = 0;
    memset(line, '\n', sizeof line - 1);
    while (more(until_ns))
        for (int k = 0; k < 60; k++, done += sizeof line)
            nk_log("%s", line);
    return done;
}

static size_t begin_exchanges(uint64_t until_ns) {
    size_t done = 0;
    while (more(until_ns))
        for (int k = 0; k < 200; k++, done++) {
            nk_upstream *upstream = nk_upstream_open("GET", "http://192.0.2.1", NULL, false);
            if (upstream)
                nk_upstream_close(upstream);
        }
    return done;
}

static int under_way;

static void collect(void) {
    int32_t result;
    while (under_way && nk_disk_poll(&result) >= 0)
        under_way--;
}

/* Waits only where nearly all slots of the disks are under way: writing needs one. */
static void submit(int op, int disk, void *buffer, size_t size, uint64_t offset) {
    for (collect(); under_way >= SLOTS; collect())
        nk_sleep_until(nk_mono_ns() + MS);
    if (nk_disk_submit(op, disk, buffer, size, offset) >= 0)
        under_way++;
}

/* Buffers belong to the disk until then. */
static void settle(void) {
    for (collect(); under_way; collect())
        nk_sleep_until(nk_mono_ns() + MS);
}

static size_t flush(uint64_t until_ns) {
    int disk = nk_disk("own");
    size_t done = 0;
    while (more(until_ns)) {
        for (uint64_t k = 0; k < 32; k++) {
            memcpy(block, &done, sizeof done);
            nk_disk_write(disk, block, sizeof block, k * sizeof block);
        }
        submit(NK_DISK_FLUSH, disk, NULL, 0, 0);
        done++;
    }
    settle();
    return done;
}

static size_t read_blocks(uint64_t until_ns) {
    static uint64_t at;
    int disk = nk_disk("large");
    struct nk_disk_about about;
    size_t done = 0;
    if (!nk_disk_about(disk, &about))
        return 0;
    while (more(until_ns))
        for (int k = 0; k < READS; k++, done++) {
            at = (at + BLOCK) % about.bytes;
            submit(NK_DISK_READ, disk, into[k], BLOCK, at);
        }
    settle();
    return done;
}

static size_t touch_memory(uint64_t until_ns) {
    static char *held[4096];
    size_t count = 0, done = 0;
    while (more(until_ns)) {
        if (count < sizeof held / sizeof *held && (held[count] = nk_malloc(1 << 20)))
            count++;
        for (size_t k = count ? count - 1 : 0; k < count; k++)
            for (size_t page = 0; page < 1 << 20; page += NK_PAGE_SIZE, done++)
                held[k][page] = (char)done;
    }
    while (count)
        nk_free(held[--count]);
    return done;
}

static void page(nk_request *request) {
    const char *path = nk_var(request, "PATH_INFO");
    size_t done = 0;
    nk_refresh_clock();
    uint64_t until_ns = nk_mono_ns() + FOR_MS * MS;
    if (!strcmp(path, "/lines"))
        done = write_lines(until_ns);
    else if (!strcmp(path, "/exchanges"))
        done = begin_exchanges(until_ns);
    else if (!strcmp(path, "/flushes"))
        done = flush(until_ns);
    else if (!strcmp(path, "/blocks"))
        done = read_blocks(until_ns);
    else if (!strcmp(path, "/memory"))
        done = touch_memory(until_ns);
    nk_header(request, "Content-Type", "text/plain; charset=utf-8");
    nk_printf(request, "%zu done\n", done);
}

int main(void) {
    return nk_serve(page);
}
