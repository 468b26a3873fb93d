/* `program FOLDER [NAME...]`: runs all cases, or those named, each in FOLDER/NAME; `program list` names them. */
#include "case.h"

static struct {
    const char *name;
    void (*run)(void);
} cases[400];
static int count;

void add_case(const char *name, void (*run)(void)) {
    cases[count].name = name;
    cases[count++].run = run;
}

long tried(const char *what, long result) {
    if (result == -1)
        printf("%s: %s\n", what, strerror(errno));
    else
        printf("%s = %ld\n", what, result);
    return result;
}

int make(const char *path, const char *text) {
    int file = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0644);
    int bad = file < 0 || write(file, text, strlen(text)) < 0;
    return close(file) || bad ? -1 : 0;
}

const char *content(const char *path) {
    static char text[512];
    int file = open(path, O_RDONLY);
    ssize_t got = file < 0 ? -1 : read(file, text, sizeof text - 1);
    if (got < 0)
        return strerror(errno);
    text[got] = 0;
    close(file);
    return text;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void names(const char *path) {
    char *all[256];
    int found = 0;
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        all[found++] = strdup(entry->d_name);
    qsort(all, found, sizeof *all, by_name);
    for (int i = 0; i < found; i++)
        printf("%s ", all[i]);
    printf("(%d)\n", found);
    if (folder)
        closedir(folder);
}

void pause_ms(int ms) {
    struct timespec time = {0, ms * 1000000L};
    nanosleep(&time, NULL);
}

const char *mode_of(const char *path) {
    static char text[64];
    struct stat about;
    if (lstat(path, &about))
        return strerror(errno);
    const char *kind = S_ISREG(about.st_mode) ? "file" : S_ISDIR(about.st_mode) ? "folder" : S_ISLNK(about.st_mode) ? "link"
                     : S_ISCHR(about.st_mode) ? "device" : S_ISFIFO(about.st_mode) ? "pipe" : "other";
    snprintf(text, sizeof text, "%s %04o", kind, about.st_mode & 07777);
    return text;
}

volatile int signals_seen[65], last_signal, signal_order[16], signal_count;

void note_signal(int number) {
    signals_seen[number]++;
    last_signal = number;
    if (signal_count < 16)
        signal_order[signal_count++] = number;
}

static void reset(void) {
    sigset_t none;
    sigemptyset(&none);
    alarm(0);
    for (int number = 1; number < 32; number++)
        signal(number, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    memset((void *)signals_seen, 0, sizeof signals_seen);
    last_signal = signal_count = 0;
    umask(022);
    for (int file = 3; file < 64; file++)
        close(file);
}

int main(int argc, char **argv) {
    char place[400];
    if (argc == 2 && !strcmp(argv[1], "list")) {
        for (int i = 0; i < count; i++)
            puts(cases[i].name);
        return 0;
    }
    mkdir(argv[1], 0755);
    for (int i = 0; i < count; i++) {
        int wanted = argc == 2;
        for (int name = 2; name < argc; name++)
            wanted |= !strcmp(argv[name], cases[i].name);
        if (!wanted)
            continue;
        reset();
        snprintf(place, sizeof place, "%s/%s", argv[1], cases[i].name);
        mkdir(place, 0755);
        chdir(place);
        printf("== %s\n", cases[i].name);
        cases[i].run();
        fflush(stdout);
    }
    return 0;
}
