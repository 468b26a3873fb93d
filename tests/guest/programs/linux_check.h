/* CHECK(condition) says which line was wrong, and the program's exit code how many were. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int failures;
#define CHECK(condition)                                                                                            \
    ((condition) ? (void)0 : (void)(failures++, printf("FAILURE line %d: %s (errno %d)\n", __LINE__, #condition, errno)))
#define DONE() return printf("%s\n", failures ? "FAILURE" : "SUCCESS"), failures
