/* A CGI program whose answer, header and all, is the request's body; or what its query asks for. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

int main(void) {
    const char *query = getenv("QUERY_STRING");
    if (!strncmp(query, "env", 3)) {
        printf("Content-Type: text/plain\n\n");
        for (char **at = environ; *at; at++)
            printf("%s\n", *at);
        return 0;
    }
    if (!strcmp(query, "abort"))
        abort();
    if (!strcmp(query, "fault"))
        *(volatile int *)8 = 1;
    if (!strncmp(query, "exit=", 5))
        return atoi(query + 5);
    if (!strcmp(query, "unread")) {
        printf("Status: 403 Forbidden\nContent-Type: text/plain\n\nno\n");
        return 0;
    }
    char piece[4096];
    for (ssize_t size; (size = read(0, piece, sizeof piece)) > 0;)
        if (!strcmp(query, "bytes")) /* as a program does that writes without a buffer */
            for (ssize_t i = 0; i < size; i++)
                write(1, piece + i, 1);
        else
            write(1, piece, size);
    return 0;
}
