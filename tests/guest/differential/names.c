/* Folders, links, names that move, and what stat() and its relatives tell. */
#include "case.h"

CASE(folders_made) {
    TRY(mkdir("a", 0777));
    TRY(mkdir("a", 0777));
    TRY(mkdir("a/b/c", 0777));
    TRY(mkdir("a/b/", 0700));
    make("file", "");
    TRY(mkdir("file", 0700));
    TRY(mkdir("file/x", 0700));
    TRY(mkdir(".", 0700));
    TRY(mkdir("", 0700));
    SAY("%s, %s", mode_of("a"), mode_of("a/b"));
}

CASE(folders_removed) {
    mkdir("a", 0700), mkdir("a/b", 0700), make("file", "");
    TRY(rmdir("a"));
    TRY(rmdir("a/b"));
    TRY(rmdir("a/."));
    TRY(rmdir("a"));
    TRY(rmdir("a"));
    TRY(rmdir("file"));
    mkdir("real", 0700), symlink("real", "link");
    TRY(rmdir("link"));
    TRY(rmdir("real/"));
}

CASE(unlinking) {
    mkdir("folder", 0700), make("file", ""), symlink("file", "link");
    TRY(unlink("link"));
    SAY("%s", mode_of("file"));
    TRY(unlink("folder"));
    TRY(unlink("none"));
    TRY(unlink("file/"));
    TRY(unlinkat(AT_FDCWD, "folder", AT_REMOVEDIR));
    TRY(unlinkat(AT_FDCWD, "file", AT_REMOVEDIR));
    TRY(unlinkat(AT_FDCWD, "file", 1));
    TRY(remove("file"));
}

CASE(reading_folders) {
    make("b", ""), make("a", ""), mkdir("c", 0700), symlink("a", "d"), make(".hidden", "");
    names(".");
    names("c");
    names("none");
    names("a");
}

CASE(kinds_in_folders) {
    make("file", ""), mkdir("folder", 0700), symlink("file", "link");
    DIR *folder = opendir(".");
    int kinds[16] = {0};
    for (struct dirent *entry; (entry = readdir(folder));)
        kinds[entry->d_type & 15]++;
    SAY("%d folders, %d files, %d links", kinds[DT_DIR], kinds[DT_REG], kinds[DT_LNK]);
    closedir(folder);
}

CASE(deleting_while_reading) {
    char name[16];
    for (int i = 0; i < 200; i++) {
        sprintf(name, "f%03d", i);
        make(name, "");
    }
    DIR *folder = opendir(".");
    int seen = 0, removed = 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (entry->d_name[0] == '.')
            continue;
        seen++;
        removed += !unlink(entry->d_name);
    }
    closedir(folder);
    SAY("seen %d removed %d", seen, removed);
    names(".");
}

CASE(deleting_others_while_reading) {
    char name[16];
    for (int i = 0; i < 100; i++) {
        sprintf(name, "f%02d", i);
        make(name, "");
    }
    char block[1024];
    int folder = open(".", O_RDONLY), seen[100] = {0}, twice = 0, missed = 0;
    for (long got; (got = syscall(SYS_getdents64, folder, block, sizeof block)) > 0;)
        for (long at = 0; at < got; at += ((struct dirent *)(block + at))->d_reclen) {
            const char *text = ((struct dirent *)(block + at))->d_name;
            if (*text != 'f')
                continue;
            int number = atoi(text + 1), other = number ^ 1;
            twice += seen[number]++;
            sprintf(name, "f%02d", other);
            if (seen[other])
                unlink(name);
        }
    for (int i = 0; i < 100; i++)
        missed += !seen[i];
    SAY("twice %d missed %d", twice, missed);
}

CASE(seeking_in_folders) {
    make("a", ""), make("b", ""), make("c", ""), make("d", "");
    DIR *folder = opendir(".");
    char second[32], third[32];
    readdir(folder);
    strcpy(second, readdir(folder)->d_name);
    long place = telldir(folder);
    strcpy(third, readdir(folder)->d_name);
    readdir(folder);
    seekdir(folder, place);
    SAY("same %d", !strcmp(third, readdir(folder)->d_name));
    rewinddir(folder);
    int count = 0;
    while (readdir(folder))
        count++;
    SAY("%d", count);
    make("e", "");
    rewinddir(folder);
    for (count = 0; readdir(folder);)
        count++;
    SAY("%d", count);
    closedir(folder);
}

CASE(small_buffers_for_folders) {
    char block[64];
    make("a-name-that-is-quite-long-for-such-a-small-buffer-as-there-is", "");
    int folder = open(".", O_RDONLY);
    while (syscall(SYS_getdents64, folder, block, 24L) > 0)
        ;
    TRY(syscall(SYS_getdents64, folder, block, 10L));
    TRY(syscall(SYS_getdents64, folder, (void *)8, 100L));
    make("file", "");
    TRY(syscall(SYS_getdents64, open("file", O_RDONLY), block, 64L));
    TRY(syscall(SYS_getdents64, 99, block, 64L));
}

CASE(removed_folder) {
    struct stat about;
    mkdir("gone", 0700);
    int folder = open("gone", O_RDONLY);
    TRY(rmdir("gone"));
    TRY(fstat(folder, &about));
    SAY("links %d", (int)about.st_nlink);
    TRY(openat(folder, "new", O_CREAT | O_WRONLY, 0600));
    char block[64];
    TRY(syscall(SYS_getdents64, folder, block, 64L));
}

CASE(hard_links) {
    struct stat one, two;
    make("one", "shared");
    TRY(link("one", "two"));
    stat("one", &one), stat("two", &two);
    SAY("same %d links %d", one.st_ino == two.st_ino, (int)two.st_nlink);
    make("two", "changed");
    SAY("%s", content("one"));
    TRY(link("one", "two"));
    TRY(link("none", "three"));
    mkdir("folder", 0700);
    TRY(link("folder", "way"));
    TRY(unlink("one"));
    stat("two", &two);
    SAY("%s %d", content("two"), (int)two.st_nlink);
    TRY(link("two", "folder/in"));
    TRY(link("two", "no/where"));
}

CASE(links_to_links) {
    make("file", "text");
    symlink("file", "soft");
    TRY(link("soft", "hard"));
    SAY("%s", mode_of("hard"));
    TRY(linkat(AT_FDCWD, "soft", AT_FDCWD, "followed", AT_SYMLINK_FOLLOW));
    SAY("%s", mode_of("followed"));
    TRY(linkat(AT_FDCWD, "soft", AT_FDCWD, "x", 0x8000));
}

CASE(symbolic_links) {
    char text[32] = "";
    struct stat about;
    make("file", "text");
    TRY(symlink("file", "link"));
    TRY(symlink("file", "link"));
    TRY(symlink("", "empty"));
    TRY(readlink("link", text, sizeof text));
    SAY("%s", text);
    TRY(readlink("link", text, 2));
    TRY(readlink("link", text, 0));
    TRY(readlink("file", text, 8));
    TRY(readlink("none", text, 8));
    lstat("link", &about);
    SAY("size %d, %s", (int)about.st_size, mode_of("link"));
    SAY("%s", content("link"));
    TRY(symlink("x", "no/where"));
}

CASE(dangling_and_circular) {
    struct stat about;
    symlink("none", "dangling"), symlink("b", "a"), symlink("a", "b"), symlink("self", "self");
    TRY(stat("dangling", &about));
    TRY(lstat("dangling", &about));
    TRY(open("a", O_RDONLY));
    TRY(stat("self/x", &about));
    TRY(access("dangling", F_OK));
    TRY(mkdir("dangling", 0700));
    TRY(truncate("a", 1));
}

CASE(links_on_the_way) {
    mkdir("real", 0700), mkdir("real/deep", 0700), make("real/deep/file", "found"), make("real/up", "above");
    symlink("real/deep", "short");
    SAY("%s", content("short/file"));
    SAY("%s", content("short/../up"));
    symlink("../deep/file", "real/deep/again");
    SAY("%s", content("short/again"));
    symlink("short", "chain");
    SAY("%s", content("chain/./file"));
}

CASE(forty_links) {
    char name[16], target[16];
    make("l0", "end");
    for (int i = 1; i <= 45; i++) {
        sprintf(name, "l%d", i), sprintf(target, "l%d", i - 1);
        symlink(target, name);
    }
    TRY(open("l40", O_RDONLY) > 0);
    TRY(open("l41", O_RDONLY));
}

CASE(renaming) {
    make("a", "A"), make("b", "B"), mkdir("d", 0700), mkdir("e", 0700), make("e/x", "");
    TRY(rename("a", "c"));
    TRY(rename("a", "c"));
    TRY(rename("c", "b"));
    SAY("%s", content("b"));
    TRY(rename("b", "d"));
    TRY(rename("d", "b"));
    TRY(rename("d", "e"));
    TRY(rename("e", "d"));
    TRY(rename("d", "d/in"));
    TRY(rename("d/x", "x"));
    TRY(rename("b", "b"));
    TRY(rename("b", "new/"));
    TRY(rename(".", "y"));
    TRY(rename("b", "no/where"));
    names(".");
}

CASE(renaming_hard_links) {
    make("a", "same");
    link("a", "b");
    TRY(rename("a", "b"));
    names(".");
}

CASE(renaming_with_flags) {
    make("a", "A"), make("b", "B"), mkdir("d", 0700), make("d/x", "X");
    TRY(syscall(SYS_renameat2, AT_FDCWD, "a", AT_FDCWD, "b", 1));
    TRY(syscall(SYS_renameat2, AT_FDCWD, "a", AT_FDCWD, "c", 1));
    TRY(syscall(SYS_renameat2, AT_FDCWD, "c", AT_FDCWD, "b", 2));
    SAY("%s %s", content("b"), content("c"));
    TRY(syscall(SYS_renameat2, AT_FDCWD, "c", AT_FDCWD, "d", 2));
    SAY("%s %s", content("d"), content("c/x"));
    TRY(syscall(SYS_renameat2, AT_FDCWD, "c", AT_FDCWD, "none", 2));
    TRY(syscall(SYS_renameat2, AT_FDCWD, "c", AT_FDCWD, "d", 3));
    TRY(syscall(SYS_renameat2, AT_FDCWD, "c", AT_FDCWD, "d", 64));
}

CASE(renaming_over_open_file) {
    char text[8] = "";
    make("old", "old"), make("new", "new");
    int file = open("old", O_RDONLY);
    TRY(rename("new", "old"));
    read(file, text, 8);
    SAY("%s %s", text, content("old"));
}

CASE(working_folder) {
    char path[PATH_MAX], *end;
    mkdir("one", 0700), mkdir("one/two", 0700);
    TRY(chdir("one/two"));
    end = getcwd(path, sizeof path);
    SAY("%s", strrchr(end, '/'));
    TRY(rename("../../one", "../../uno"));
    SAY("%s", strstr(getcwd(path, sizeof path), "/uno/two"));
    TRY(getcwd(path, 3) == NULL);
    SAY("%s", strerror(errno));
    TRY(chdir(".."));
    TRY(rmdir("two"));
    TRY(chdir("two"));
    make("file", "");
    TRY(chdir("file"));
    int folder = open("..", O_RDONLY);
    TRY(fchdir(folder));
    SAY("%s", mode_of("uno/file"));
    TRY(fchdir(open("uno/file", O_RDONLY)));
    TRY(fchdir(99));
}

CASE(removed_working_folder) {
    char path[PATH_MAX];
    mkdir("gone", 0700);
    chdir("gone");
    TRY(rmdir("../gone"));
    TRY(getcwd(path, sizeof path) == NULL);
    SAY("%s", strerror(errno));
    TRY(open("x", O_CREAT | O_WRONLY, 0600));
    TRY(open(".", O_RDONLY) > 0);
}

CASE(paths_from_descriptors) {
    struct stat about;
    mkdir("folder", 0700), make("folder/file", "inside");
    int folder = open("folder", O_RDONLY | O_DIRECTORY), file = open("folder/file", O_RDONLY);
    TRY(openat(folder, "file", O_RDONLY) > 0);
    TRY(openat(file, "x", O_RDONLY));
    TRY(openat(99, "x", O_RDONLY));
    TRY(mkdirat(folder, "sub", 0700));
    TRY(symlinkat("file", folder, "link"));
    TRY(fstatat(folder, "link", &about, AT_SYMLINK_NOFOLLOW));
    SAY("%d", S_ISLNK(about.st_mode));
    TRY(renameat(folder, "file", AT_FDCWD, "moved"));
    TRY(fstatat(file, "", &about, AT_EMPTY_PATH));
    TRY(fstatat(file, "", &about, 0));
    TRY(fstatat(file, "", &about, 0x10));
    TRY(faccessat(folder, "sub", F_OK, 0));
    names("folder");
}

CASE(long_names) {
    char name[300];
    memset(name, 'n', sizeof name);
    name[255] = 0;
    TRY(open(name, O_CREAT | O_WRONLY, 0600) > 0);
    name[255] = 'n', name[256] = 0;
    TRY(open(name, O_CREAT | O_WRONLY, 0600));
    static char path[5000];
    for (int i = 0; i < 4200; i += 2)
        memcpy(path + i, "./", 2);
    TRY(open(path, O_RDONLY));
    TRY(mkdir(path, 0700));
    path[4000] = 0;
    TRY(open(path, O_RDONLY) > 0);
}

CASE(real_paths) {
    char path[PATH_MAX], here[PATH_MAX];
    getcwd(here, sizeof here);
    mkdir("a", 0700), make("a/file", ""), symlink("a", "way");
    SAY("%s", realpath("way/../way/file", path) ? path + strlen(here) : strerror(errno));
    SAY("%s", realpath("none", path) ? "there" : strerror(errno));
    SAY("%s", realpath("a/file/x", path) ? "there" : strerror(errno));
}

CASE(plain_nodes) {
    TRY(mknod("file", S_IFREG | 0644, 0));
    TRY(mknod("file", S_IFREG | 0644, 0));
    SAY("%s", mode_of("file"));
    TRY(mknod("folder", S_IFDIR | 0700, 0));
}

CASE(sizes_and_blocks) {
    struct stat about;
    make("file", "");
    stat("file", &about);
    SAY("%d %d %d", (int)about.st_size, (int)about.st_blocks, (int)about.st_blksize);
    make("file", "x");
    stat("file", &about);
    SAY("%d %d", (int)about.st_size, (int)about.st_blocks);
    truncate("file", 5000);
    int file = open("file", O_RDWR);
    pwrite(file, "x", 1, 4999);
    fstat(file, &about);
    SAY("%d %d", (int)about.st_size, (int)about.st_blocks);
}

CASE(links_of_folders) {
    struct stat about;
    mkdir("folder", 0700);
    stat("folder", &about);
    SAY("%d", (int)about.st_nlink);
    mkdir("folder/a", 0700), mkdir("folder/b", 0700), make("folder/c", "");
    stat("folder", &about);
    SAY("%d", (int)about.st_nlink);
    rmdir("folder/a");
    stat("folder", &about);
    SAY("%d", (int)about.st_nlink);
    rename("folder/b", "b");
    stat("folder", &about);
    SAY("%d", (int)about.st_nlink);
}

CASE(extended_stat) {
    struct {
        uint32_t mask, block;
        uint64_t attributes;
        uint32_t links, user, group;
        uint16_t mode, pad;
        uint64_t inode, size, blocks;
        uint64_t rest[40];
    } about;
    make("file", "12345");
    symlink("file", "link");
    TRY(syscall(SYS_statx, AT_FDCWD, "file", 0, 0x7FF, &about));
    SAY("%d %o %d %d", (int)about.size, about.mode, about.links, (about.mask & 0x7FF) == 0x7FF);
    TRY(syscall(SYS_statx, AT_FDCWD, "link", AT_SYMLINK_NOFOLLOW, 0x7FF, &about));
    SAY("%o", about.mode & S_IFMT);
    TRY(syscall(SYS_statx, open("file", O_RDONLY), "", AT_EMPTY_PATH, 0x7FF, &about));
    TRY(syscall(SYS_statx, AT_FDCWD, "none", 0, 0x7FF, &about));
    TRY(syscall(SYS_statx, AT_FDCWD, "file", 0x10, 0x7FF, &about));
    TRY(syscall(SYS_statx, AT_FDCWD, "file", 0, 0x80000000, &about));
    TRY(syscall(SYS_statx, AT_FDCWD, "file", 0, 0x7FF, 8));
}

CASE(space) {
    struct statvfs about;
    TRY(statvfs(".", &about));
    SAY("%d %d %d", about.f_bsize > 0, about.f_blocks >= about.f_bfree, (int)about.f_namemax);
    TRY(fstatvfs(open(".", O_RDONLY), &about));
    TRY(statvfs("none", &about));
    TRY(fstatvfs(99, &about));
}

CASE(bad_addresses_of_names) {
    TRY(open((char *)8, O_RDONLY));
    TRY(syscall(SYS_stat, "x", 8));
    TRY(mkdir((char *)-4096, 0700));
    TRY(syscall(SYS_stat, ".", 8));
    TRY(readlink(".", (char *)8, 10));
}
