/* A CGI program that answers while it is asked: it writes what it has read, and reads on. With the query "endless" it
 * says something every millisecond. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(void) {
    char buffer[1000];
    ssize_t size;
    printf("Content-Type: text/plain\n\n");
    fflush(stdout);
    while (!strcmp(getenv("QUERY_STRING"), "endless")) { /* and never looks whether it worked */
        printf("more\n");
        fflush(stdout);
        usleep(1000);
    }
    while ((size = read(0, buffer, sizeof buffer)) > 0)
        if (write(1, buffer, (size_t)size) != size)
            return 1;
    return 0;
}
