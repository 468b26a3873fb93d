/* The image's read-only files, /tmp and devices. Built with etc/motd, etc/empty, big (10,000 x), deep/er/leaf. */
#define _GNU_SOURCE
#include "linux_check.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>

static int names(const char *path, char *to) {
    DIR *folder = opendir(path);
    int count = 0;
    *to = 0;
    for (struct dirent *entry; folder && (entry = readdir(folder)); count++)
        strcat(strcat(to, entry->d_name), " ");
    if (folder)
        closedir(folder);
    return count;
}

int main(void) {
    char text[1000], list[1000];
    struct stat stat_;
    int file = open("/etc/motd", O_RDONLY);
    CHECK(file == 3 && read(file, text, 5) == 5 && !memcmp(text, "hello", 5));
    CHECK(lseek(file, 0, SEEK_END) == 12 && read(file, text, 5) == 0);
    CHECK(pread(file, text, 100, 6) == 6 && !memcmp(text, "world\n", 6));
    CHECK(!fstat(file, &stat_) && S_ISREG(stat_.st_mode) && stat_.st_size == 12);
    CHECK(write(file, "x", 1) == -1 && errno == EBADF && !close(file));
    CHECK(open("/etc/motd", O_RDWR) == -1 && errno == EROFS);
    CHECK(open("/etc/none", O_RDONLY) == -1 && errno == ENOENT);
    CHECK(open("/new", O_CREAT | O_WRONLY, 0600) == -1 && errno == EROFS);
    CHECK(!stat("/etc/../deep/./er//leaf", &stat_) && stat_.st_size == 4);
    CHECK(!stat("/deep", &stat_) && S_ISDIR(stat_.st_mode));
    CHECK(names("/", list) == 9 && !strcmp(list, ". .. big deep etc dev proc sys tmp "));
    CHECK(names("/deep/er", list) == 3 && !strcmp(list, ". .. leaf "));
    CHECK(!chdir("/deep") && !access("er/leaf", R_OK) && !strcmp(getcwd(text, sizeof text), "/deep") && !chdir("/"));
    CHECK(unlink("/etc/motd") == -1 && errno == EROFS);

    file = open("/big", O_RDONLY);
    char *map = mmap(NULL, 10000, PROT_READ, MAP_PRIVATE, file, 0);
    char *copy = mmap(NULL, 10000, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 4096);
    CHECK(map != MAP_FAILED && map[9999] == 'x' && !map[10000]);
    CHECK(copy != MAP_FAILED && copy != map + 4096 && copy[5903] == 'x' && !copy[5904]);
    copy[0] = 'y';
    CHECK(map[4096] == 'x' && !munmap(map, 10000) && !munmap(copy, 10000) && !close(file));

    FILE *temporary = fopen("/tmp/one", "w+");
    CHECK(temporary && fprintf(temporary, "%d lines\n", 3) == 8 && !fflush(temporary));
    rewind(temporary);
    CHECK(fgets(text, sizeof text, temporary) && !strcmp(text, "3 lines\n") && !fclose(temporary));
    CHECK(!mkdir("/tmp/sub", 0700) && mkdir("/tmp/sub", 0700) == -1 && errno == EEXIST);
    CHECK(!rename("/tmp/one", "/tmp/sub/two") && access("/tmp/one", F_OK) == -1);
    CHECK(rmdir("/tmp/sub") == -1 && errno == ENOTEMPTY);
    CHECK(!rename("/tmp/sub", "/tmp/other") && !stat("/tmp/other/two", &stat_) && stat_.st_size == 8);
    CHECK(rename("/tmp/other", "/tmp/other/in") == -1 && errno == EINVAL);
    file = open("/tmp/other/two", O_RDWR | O_APPEND);
    struct iovec pieces[2] = {{"ab", 2}, {"cd", 2}};
    CHECK(writev(file, pieces, 2) == 4 && !ftruncate(file, 100000) && lseek(file, 0, SEEK_END) == 100000);
    CHECK(pread(file, text, 5, 8) == 5 && !memcmp(text, "abcd\0", 5));
    CHECK(!unlink("/tmp/other/two") && pread(file, text, 4, 8) == 4 && !close(file)); /* open files outlive their names */
    CHECK(!rmdir("/tmp/other") && names("/tmp", list) == 2);
    CHECK(open("/tmp/none/x", O_CREAT | O_WRONLY, 0600) == -1 && errno == ENOENT);

    file = open("/dev/urandom", O_RDONLY);
    memset(text, 0, 32);
    CHECK(read(file, text, 32) == 32 && memcmp(text, text + 16, 16));
    file = open("/dev/null", O_RDWR);
    CHECK(write(file, text, 10) == 10 && read(file, text, 10) == 0);
    CHECK(readlink("/proc/self/exe", text, 10) == 8 && !memcmp(text, "/program", 8));
    DONE();
}
