/* A CGI program (RFC 3875) as it could have been written in 1997: environment, stdin, stdout. It knows of nothing else. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 1 << 20, WORDS_MAX = 20000, SHOWN = 12 };

struct word {
    const char *text;
    int count;
};

static const char *const head =
    "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Words</title><meta name=\"viewport\" "
    "content=\"width=device-width\"><style>body{margin:0;background:#fbf7f0;color:#3b2f2f;font:17px/1.6 Georgia,serif}"
    "main{max-width:40rem;margin:auto;padding:3rem 1.25rem}textarea{width:100%;box-sizing:border-box;height:9rem;font:inherit;"
    "padding:.75rem;border:1px solid #d8c9b0;border-radius:6px;background:#fff}button{font:inherit;padding:.4rem 1.2rem;"
    "border:0;border-radius:6px;background:#8c4a2f;color:#fff;margin-top:.5rem}dl{display:grid;grid-template-columns:"
    "max-content 1fr;gap:.25rem 1rem}dt{text-align:right}dd{margin:0;background:#e6d5b8;border-radius:3px;padding-left:.5rem}"
    "</style><main><h1>Words</h1>";

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int by_count(const void *a, const void *b) {
    return ((const struct word *)b)->count - ((const struct word *)a)->count;
}

/* A form's field in place: "text=..." percent-decoded, lower case. */
static char *field(char *form) {
    if (strncmp(form, "text=", 5))
        return form + strlen(form);
    char *to = form, *from = form + 5;
    for (; *from && *from != '&'; from++) {
        char pair[3] = {0};
        if (*from == '%' && isxdigit((unsigned char)from[1]) && isxdigit((unsigned char)from[2])) {
            memcpy(pair, from + 1, 2);
            from += 2;
            *to++ = (char)strtol(pair, NULL, 16);
        } else {
            *to++ = *from == '+' ? ' ' : *from;
        }
    }
    *to = 0;
    for (char *at = form; *at; at++)
        *at = (char)tolower((unsigned char)*at);
    return form;
}

static void escaped(const char *text) {
    for (; *text; text++)
        if (strchr("<>&\"", *text))
            printf("&#%d;", *text);
        else
            putchar(*text);
}

static void count(char *text) {
    static const char *found[WORDS_MAX];
    static struct word words[WORDS_MAX];
    size_t total = 0, different = 0;
    for (char *word = strtok(text, " \t\r\n.,;:!?()\""); word && total < WORDS_MAX; word = strtok(NULL, " \t\r\n.,;:!?()\""))
        found[total++] = word;
    qsort(found, total, sizeof *found, by_text);
    for (size_t i = 0; i < total; i++) {
        if (!different || strcmp(words[different - 1].text, found[i]))
            words[different++] = (struct word){found[i], 0};
        words[different - 1].count++;
    }
    qsort(words, different, sizeof *words, by_count);
    printf("<p>%zu words, %zu different. The most common:<dl>", total, different);
    for (size_t i = 0; i < different && i < SHOWN; i++) {
        printf("<dt>");
        escaped(words[i].text);
        printf("<dd style=\"width:%d%%\">%d", words[i].count * 90 / words[0].count, words[i].count);
    }
    printf("</dl>");
}

int main(void) {
    const char *method = getenv("REQUEST_METHOD"), *length = getenv("CONTENT_LENGTH");
    if (!method) {
        fprintf(stderr, "a web server expected\n");
        return 1;
    }
    printf("Content-Type: text/html; charset=utf-8\r\n\r\n%s", head);
    if (!strcmp(method, "POST") && length) {
        size_t size = strtoul(length, NULL, 10);
        char *form = size <= TEXT_MAX ? calloc(size + 1, 1) : NULL;
        if (form && fread(form, 1, size, stdin) == size)
            count(field(form));
        else
            printf("<p>A text of at most %d bytes, please.", TEXT_MAX);
    }
    printf("<form method=\"post\"><textarea name=\"text\" aria-label=\"Text\" placeholder=\"Some text\"></textarea>"
           "<button>Count</button></form></main></html>\n");
    return 0;
}
