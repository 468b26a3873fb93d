/* Modes, owners, times, and locks. */
#include "case.h"

CASE(modes) {
    make("file", "");
    TRY(chmod("file", 0600));
    SAY("%s", mode_of("file"));
    TRY(chmod("file", 07777));
    SAY("%s", mode_of("file"));
    TRY(fchmod(open("file", O_RDONLY), 0400));
    SAY("%s", mode_of("file"));
    TRY(chmod("none", 0600));
    TRY(fchmod(99, 0600));
    mkdir("folder", 0700);
    TRY(chmod("folder", 01777));
    SAY("%s", mode_of("folder"));
    symlink("file", "link");
    TRY(chmod("link", 0644));
    SAY("%s %s", mode_of("file"), mode_of("link"));
    TRY(fchmodat(AT_FDCWD, "file", 0611, 0));
}

CASE(masks) {
    TRY(umask(077));
    TRY(umask(077));
    make("file", "");
    SAY("%s", mode_of("file"));
    mkdir("folder", 0777);
    SAY("%s", mode_of("folder"));
    umask(0);
    close(open("wide", O_CREAT | O_WRONLY, 0666));
    SAY("%s", mode_of("wide"));
    TRY(umask(07777));
    TRY(umask(022));
}

CASE(owners) {
    struct stat about;
    make("file", "");
    symlink("file", "link");
    TRY(chown("file", 12, 34));
    TRY(chown("file", -1, 56));
    stat("file", &about);
    SAY("%d %d", about.st_uid, about.st_gid);
    TRY(lchown("link", 7, 8));
    lstat("link", &about);
    SAY("%d %d", about.st_uid, about.st_gid);
    TRY(fchown(open("file", O_RDONLY), 1, 2));
    TRY(chown("none", 1, 1));
    chmod("file", 06755);
    TRY(chown("file", 0, 0));
    SAY("%s", mode_of("file"));
    TRY(fchownat(AT_FDCWD, "file", 3, 4, 0));
}

CASE(access_rights) {
    make("file", "");
    TRY(access("file", F_OK));
    TRY(access("file", R_OK | W_OK));
    TRY(access("file", X_OK));
    chmod("file", 0100);
    TRY(access("file", X_OK));
    TRY(access(".", X_OK));
    TRY(access("none", F_OK));
    TRY(access("file", 9));
    TRY(access("file/", F_OK));
    TRY(faccessat(AT_FDCWD, "file", R_OK, AT_EACCESS));
    symlink("none", "link");
    TRY(faccessat(AT_FDCWD, "link", F_OK, AT_SYMLINK_NOFOLLOW));
}

static void show_times(const char *path) {
    struct stat about;
    stat(path, &about);
    SAY("%lld.%09ld %lld.%09ld", (long long)about.st_atim.tv_sec, about.st_atim.tv_nsec, (long long)about.st_mtim.tv_sec,
        about.st_mtim.tv_nsec);
}

CASE(times_set) {
    struct timespec times[2] = {{1000, 5}, {2000, 6}};
    make("file", "");
    TRY(utimensat(AT_FDCWD, "file", times, 0));
    show_times("file");
    times[0].tv_nsec = UTIME_OMIT;
    times[1] = (struct timespec){3000, 7};
    TRY(utimensat(AT_FDCWD, "file", times, 0));
    show_times("file");
    times[1].tv_nsec = UTIME_OMIT;
    TRY(utimensat(AT_FDCWD, "file", times, 0));
    show_times("file");
    times[0].tv_nsec = 1000000000;
    TRY(utimensat(AT_FDCWD, "file", times, 0));
    TRY(utimensat(AT_FDCWD, "none", NULL, 0));
    times[0] = times[1] = (struct timespec){4000, 0};
    TRY(futimens(open("file", O_RDONLY), times));
    show_times("file");
    TRY(futimens(99, times));
}

CASE(times_set_to_now) {
    struct timespec times[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}}, now;
    struct stat about;
    make("file", "");
    TRY(utimensat(AT_FDCWD, "file", times, 0));
    stat("file", &about);
    clock_gettime(CLOCK_REALTIME, &now);
    SAY("%d", now.tv_sec - about.st_mtime <= 2);
    TRY(utimensat(AT_FDCWD, "file", NULL, 0));
    TRY(utime("file", NULL));
}

CASE(times_the_old_ways) {
    struct utimbuf two = {10, 20};
    struct timeval four[2] = {{30, 40}, {50, 60}};
    make("file", "");
    TRY(utime("file", &two));
    show_times("file");
    TRY(utimes("file", four));
    show_times("file");
    four[0].tv_usec = 1000000;
    TRY(syscall(SYS_utimes, "file", four));
}

CASE(times_of_links) {
    struct timespec times[2] = {{100, 0}, {200, 0}};
    struct stat about;
    make("file", ""), symlink("file", "link");
    TRY(utimensat(AT_FDCWD, "link", times, AT_SYMLINK_NOFOLLOW));
    lstat("link", &about);
    SAY("%d", (int)about.st_mtime);
    stat("file", &about);
    SAY("%d", about.st_mtime > 1000);
}

static struct stat before, after;
#define CHANGED(path, act)                                                                                     \
    (stat(path, &before), pause_ms(12), (act), stat(path, &after),                                             \
     SAY("%s: %d %d %d", #act, memcmp(&before.st_atim, &after.st_atim, sizeof(struct timespec)) != 0,          \
         memcmp(&before.st_mtim, &after.st_mtim, sizeof(struct timespec)) != 0,                                \
         memcmp(&before.st_ctim, &after.st_ctim, sizeof(struct timespec)) != 0))

CASE(times_change) {
    char text[4];
    make("file", "text");
    int file = open("file", O_RDWR);
    CHANGED("file", write(file, "x", 1));
    CHANGED("file", chmod("file", 0600));
    CHANGED("file", link("file", "other"));
    CHANGED("file", rename("other", "name"));
    CHANGED("file", ftruncate(file, 2));
    CHANGED("file", ftruncate(file, 2));
    CHANGED("file", pread(file, text, 1, 0));
    CHANGED("file", pread(file, text, 1, 0));
    CHANGED("file", close(open("file", O_RDONLY)));
    CHANGED("file", chown("file", 0, 0));
    CHANGED("file", write(file, "", 0));
}

CASE(times_of_folders_change) {
    mkdir("folder", 0700);
    make("folder/b", "");
    CHANGED("folder", make("folder/a", ""));
    CHANGED("folder", make("folder/a", "more"));
    CHANGED("folder", rename("folder/a", "folder/c"));
    CHANGED("folder", unlink("folder/c"));
    CHANGED("folder", mkdir("folder/d", 0700));
    CHANGED("folder", chmod("folder/b", 0600));
}

static struct flock lock_of(int type, long start, long length) {
    return (struct flock){.l_type = (short)type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
}

CASE(record_locks) {
    make("file", "0123456789");
    int file = open("file", O_RDWR), reads = open("file", O_RDONLY);
    struct flock lock = lock_of(F_WRLCK, 0, 5);
    TRY(fcntl(file, F_SETLK, &lock));
    TRY(fcntl(reads, F_SETLK, &lock));
    lock = lock_of(F_RDLCK, 0, 5);
    TRY(fcntl(reads, F_SETLK, &lock));
    lock = lock_of(F_WRLCK, 2, 2);
    TRY(fcntl(file, F_GETLK, &lock));
    SAY("type %d", lock.l_type);
    lock = lock_of(F_WRLCK, -1, 2);
    TRY(fcntl(file, F_SETLK, &lock));
    lock = lock_of(9, 0, 2);
    TRY(fcntl(file, F_SETLK, &lock));
    lock = lock_of(F_UNLCK, 0, 0);
    TRY(fcntl(file, F_SETLK, &lock));
    lock.l_whence = 7;
    TRY(fcntl(file, F_SETLK, &lock));
    TRY(fcntl(file, F_SETLK, (void *)8));
    TRY(fcntl(99, F_SETLK, &lock));
    TRY(lockf(file, F_TLOCK, 0));
    TRY(lockf(file, F_TEST, 0));
}

CASE(locks_of_open_files) {
    make("file", "0123456789");
    int a = open("file", O_RDWR), b = open("file", O_RDWR);
    struct flock lock = lock_of(F_WRLCK, 2, 4);
    TRY(fcntl(a, F_OFD_SETLK, &lock));
    TRY(fcntl(b, F_OFD_SETLK, &lock));
    lock = lock_of(F_RDLCK, 0, 0);
    TRY(fcntl(b, F_OFD_GETLK, &lock));
    SAY("%d %d %d %d", lock.l_type, (int)lock.l_start, (int)lock.l_len, lock.l_pid);
    lock = lock_of(F_WRLCK, 6, 2);
    TRY(fcntl(b, F_OFD_SETLK, &lock));
    lock = lock_of(F_WRLCK, 0, 10);
    TRY(fcntl(a, F_SETLK, &lock));
    TRY(fcntl(a, F_GETLK, &lock));
    SAY("%d %d %d", lock.l_type, (int)lock.l_start, lock.l_pid);
    lock = lock_of(F_UNLCK, 3, 1);
    TRY(fcntl(a, F_OFD_SETLK, &lock));
    lock = lock_of(F_WRLCK, 3, 1);
    TRY(fcntl(b, F_OFD_SETLK, &lock));
    TRY(close(a));
    lock = lock_of(F_WRLCK, 0, 0);
    TRY(fcntl(b, F_OFD_SETLK, &lock));
    lock.l_pid = 1;
    TRY(fcntl(b, F_OFD_SETLK, &lock));
}

CASE(record_locks_end_with_any_descriptor) {
    make("file", "0123456789");
    int a = open("file", O_RDWR), b = open("file", O_RDWR), c = open("file", O_RDWR);
    struct flock lock = lock_of(F_WRLCK, 0, 0);
    TRY(fcntl(a, F_SETLK, &lock));
    TRY(fcntl(c, F_OFD_SETLK, &lock));
    TRY(close(b));
    TRY(fcntl(c, F_OFD_SETLK, &lock));
}

CASE(whole_file_locks) {
    make("file", "");
    int a = open("file", O_RDWR), b = open("file", O_RDONLY), copy = dup(a);
    TRY(flock(a, LOCK_EX));
    TRY(flock(b, LOCK_SH | LOCK_NB));
    TRY(flock(copy, LOCK_EX | LOCK_NB));
    TRY(flock(a, LOCK_SH | LOCK_NB));
    TRY(flock(b, LOCK_SH | LOCK_NB));
    TRY(flock(b, LOCK_EX | LOCK_NB));
    TRY(close(a));
    TRY(flock(b, LOCK_EX | LOCK_NB));
    TRY(close(copy));
    TRY(flock(b, LOCK_EX | LOCK_NB));
    TRY(flock(b, LOCK_UN));
    TRY(flock(b, 0));
    TRY(flock(99, LOCK_EX));
}

static void *unlock_later(void *file) {
    pause_ms(5);
    flock(*(int *)file, LOCK_UN);
    return NULL;
}

CASE(waiting_for_a_lock) {
    make("file", "");
    int a = open("file", O_RDWR), b = open("file", O_RDWR);
    pthread_t thread;
    TRY(flock(a, LOCK_EX));
    pthread_create(&thread, NULL, unlock_later, &a);
    TRY(flock(b, LOCK_EX));
    TRY(flock(a, LOCK_SH | LOCK_NB));
    pthread_join(thread, NULL);
}
