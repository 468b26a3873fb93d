/* Calls itself until the first thread's stack has no more room. */
#include <stdio.h>

static int deeper(int level) {
    volatile char room[2000];
    room[0] = (char)level;
    return deeper(level + 1) + room[0];
}

int main(void) {
    return deeper(0);
}
