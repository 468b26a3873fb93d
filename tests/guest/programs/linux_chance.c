/* What a program can have of randomness while its image is built, and what its machines have: asked in that order. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <nunatak.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

static char early[256], boot[64];
static unsigned char hashes[8], secret[8];
static unsigned steps;

static void boot_id(char *to, size_t size) {
    int file = open("/proc/sys/kernel/random/boot_id", O_RDONLY);
    ssize_t got = read(file, to, size - 1);
    to[got < 0 ? 0 : got] = 0;
    if (read(file, to + 60, 1) != 0)
        strcpy(to, "no end");
    close(file);
}

static void hex(nk_request *request, const char *name, const unsigned char *bytes, size_t size) {
    nk_printf(request, "%s ", name);
    while (size--)
        nk_printf(request, "%02x", *bytes++);
    nk_printf(request, "\n");
}

static void page(nk_request *request) {
    unsigned char now[8], nonblocking[8];
    char id[64] = "";
    boot_id(id, sizeof id);
    nk_random(now, sizeof now);
    nk_printf(request, "early %s\nsteps %u\nboot %sid %s", early, steps, boot, id);
    nk_printf(request, "flags %zd\n", getrandom(nonblocking, sizeof nonblocking, GRND_NONBLOCK));
    hex(request, "canary", (const unsigned char *)getauxval(AT_RANDOM), 16);
    hex(request, "hashes", hashes, sizeof hashes);
    hex(request, "secret", secret, sizeof secret);
    hex(request, "now", now, sizeof now);
}

static const char *said(ssize_t result) {
    return result < 0 ? errno == EAGAIN ? "EAGAIN" : errno == EINVAL ? "EINVAL" : "?" : "bytes";
}

int main(void) {
    char *at = early;
    unsigned char bytes[8] = {0};
    struct stat about;
    int file = open("/dev/urandom", O_RDONLY | O_NONBLOCK);
    at += sprintf(at, "nonblock=%s", said(getrandom(bytes, sizeof bytes, GRND_NONBLOCK)));
    at += sprintf(at, " device=%s", said(read(file, bytes, sizeof bytes)));
    at += sprintf(at, " unknown=%s", said(getrandom(bytes, sizeof bytes, 8)));
    at += sprintf(at, " insecure=%s", said(getrandom(hashes, sizeof hashes, GRND_INSECURE)));
    at += sprintf(at, " both=%s", said(getrandom(bytes, sizeof bytes, GRND_INSECURE | GRND_RANDOM)));
    at += sprintf(at, " stat=%d", !stat("/dev/urandom", &about) && S_ISCHR(about.st_mode) && !access("/dev/random", R_OK));
    close(file);
    boot_id(boot, sizeof boot);
    steps++;
    if (nk_env("NONE"))
        return nk_serve(page);
    if (nk_env("DEVICE")) {
        FILE *device = fopen("/dev/urandom", "r");
        setbuf(device, NULL);
        fread(secret, 1, sizeof secret, device);
        fclose(device);
    } else if (getrandom(secret, sizeof secret, 0) != sizeof secret) {
        return 1;
    }
    steps++;
    if (nk_env("SPIN"))
        for (volatile unsigned n = 0; n < 300000000; n++)
            ;
    if (nk_env("DIES"))
        abort();
    return nk_serve(page);
}
