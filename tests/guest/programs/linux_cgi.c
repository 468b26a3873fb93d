/* A CGI program that knows nothing of us (RFC 3875). The query says what it does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int served;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

int main(void) {
    const char *query = getenv("QUERY_STRING");
    char body[4096];
    size_t size;
    fprintf(stderr, "query %s\n", query);
    if (!strcmp(query, "early"))
        return 3;
    if (!strcmp(query, "abort"))
        abort();
    if (!strcmp(query, "nonsense"))
        return puts("no header here") < 0;
    if (!strcmp(query, "moved")) {
        printf("Location: https://elsewhere.example/page\n\n");
        return 0;
    }
    if (!strncmp(query, "local=", 6)) {
        printf("Location: %s\n\n", query + 6);
        return 0;
    }
    if (!strcmp(query, "local-and-more")) {
        printf("Location: /else\nX-More: 1\n\n");
        return 0;
    }
    if (!strcmp(query, "silent"))
        return 0;
    printf("Content-Type: text/plain\r\nStatus: 201 Created\r\nX-Served: %d\r\n\r\n", ++served);
    if (!strcmp(query, "much")) {
        for (int i = 0; i < 40000; i++)
            printf("line %d\n", i);
        return 0;
    }
    if (!strncmp(query, "sleep=", 6)) { /* when it began, and when it ended */
        double began = now();
        usleep(1000 * atoi(query + 6));
        printf("%f %f\n", began, now());
        return 0;
    }
    printf("%s %s %s\n", getenv("REQUEST_METHOD"), getenv("PATH_INFO"), getenv("COLOUR"));
    while ((size = fread(body, 1, sizeof body, stdin)))
        fwrite(body, 1, size, stdout);
    return !strcmp(query, "late");
}
