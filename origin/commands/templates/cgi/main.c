/* A CGI program (RFC 3875) that knows nothing of where it runs: it is started anew for each request. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_escaped(const char *text) {
    for (; *text; text++)
        if (strchr("&<>\"'", *text))
            printf("&#%d;", *text);
        else
            putchar(*text);
}

int main(void) {
    const char *path = getenv("PATH_INFO"), *query = getenv("QUERY_STRING");
    if (path && !strcmp(path, "/greetings")) {
        puts("Content-Type: application/json\n\n{\"en\":\"Hello\",\"fr\":\"Bonjour\",\"de\":\"Guten Tag\"}");
    } else if (path && strcmp(path, "/")) {
        puts("Status: 404 Not Found\nContent-Type: text/plain\n\nnot found");
    } else {
        const char *name = query && !strncmp(query, "name=", 5) ? query + 5 : "world";
        puts("Content-Type: text/html; charset=utf-8\n\n<!doctype html>\n<html lang=\"en\">\n<title>Hello</title>");
        fputs("<h1>Hello, ", stdout);
        print_escaped(name);
        puts("!</h1>");
    }
    return 0;
}
