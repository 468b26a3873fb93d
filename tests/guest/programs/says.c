/* A page that answers as it is told to by fields of the request, and counts its runs:
 *
 *     Say: NAME: VALUE|NAME: VALUE    fields of the answer
 *     Code: 404                       its status
 *     Wait: 200                       milliseconds before it
 *     Parts: 3                        bodies of 100,000 bytes, each flushed
 *     Crash: now                      none of it
 *
 * Who asks whether it still holds (If-None-Match) is told so if that is the ETag that the page was told to say.
 */
#include <nunatak.h>

static int runs, under_way, most;

static int number(const char *digits) {
    int found = 0;
    while (*digits >= '0' && *digits <= '9')
        found = 10 * found + *digits++ - '0';
    return found;
}

static bool same(const char *one, const char *other) {
    while (*one && *one == *other)
        one++, other++;
    return *one == *other;
}

/* Ends a text at the first such character; what follows, NULL if there is none. */
static char *cut(char *text, char at) {
    for (; *text; text++)
        if (*text == at) {
            *text = 0;
            return text + 1;
        }
    return NULL;
}

static void say(nk_request *request, char *fields) {
    for (char *next; fields != NULL && *fields; fields = next) {
        next = cut(fields, '|');
        char *value = cut(fields, ':');
        if (value == NULL)
            return;
        value += *value == ' ';
        nk_header(request, fields, value);
        const char *held = nk_var(request, "HTTP_IF_NONE_MATCH");
        if (same(fields, "ETag") && held != NULL && same(held, value))
            nk_status(request, 304);
    }
}

static void page(nk_request *request) {
    static char part[100000];
    int run = ++runs;
    if (++under_way > most)
        most = under_way;
    const char *wait = nk_var(request, "HTTP_WAIT"), *code = nk_var(request, "HTTP_CODE");
    if (nk_var(request, "HTTP_CRASH") != NULL)
        __builtin_trap();
    if (wait != NULL)
        nk_sleep_until(nk_mono_ns() + 1000000ull * number(wait));
    under_way--;
    if (code != NULL)
        nk_status(request, number(code));
    char fields[1024];
    const char *told = nk_var(request, "HTTP_SAY");
    nk_snprintf(fields, sizeof fields, "%s", told == NULL ? "" : told);
    say(request, fields);
    nk_printf(request, "run %d, at most %d at once\n", run, most);
    const char *parts = nk_var(request, "HTTP_PARTS");
    for (size_t i = 0; i < sizeof part; i++)
        part[i] = 'x';
    for (int i = parts == NULL ? 0 : number(parts); i > 0; i--) {
        nk_flush(request);
        nk_write(request, part, sizeof part);
    }
}

int main(void) {
    return nk_serve(page);
}
