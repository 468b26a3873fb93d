/* open, read, write, lseek, truncate and their relatives. */
#include "case.h"

CASE(open_missing) {
    TRY(open("none", O_RDONLY));
    TRY(open("none/below", O_RDONLY));
    TRY(open("", O_RDONLY));
    TRY(open("none", O_RDONLY | O_DIRECTORY));
}

CASE(open_exclusive) {
    int file = TRY(open("new", O_CREAT | O_EXCL | O_RDWR, 0600));
    TRY(open("new", O_CREAT | O_EXCL | O_RDWR, 0600));
    TRY(symlink("nowhere", "link"));
    TRY(open("link", O_CREAT | O_EXCL | O_RDWR, 0600));
    TRY(close(file));
}

CASE(open_creates_through_link) {
    TRY(symlink("target", "link"));
    TRY(open("link", O_RDONLY));
    TRY(open("link", O_CREAT | O_WRONLY, 0600));
    SAY("%s", mode_of("target"));
}

CASE(open_nofollow) {
    make("file", "x");
    symlink("file", "link");
    TRY(open("link", O_RDONLY | O_NOFOLLOW));
    TRY(open("file", O_RDONLY | O_NOFOLLOW));
    mkdir("folder", 0700);
    symlink("folder", "way");
    TRY(open("way/", O_RDONLY | O_NOFOLLOW));
    TRY(open("way", O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
}

CASE(open_directory) {
    mkdir("folder", 0700);
    make("file", "x");
    TRY(open("folder", O_RDONLY | O_DIRECTORY));
    TRY(open("file", O_RDONLY | O_DIRECTORY));
    TRY(open("folder", O_WRONLY));
    TRY(open("folder", O_RDWR));
    TRY(open("folder", O_RDONLY | O_CREAT, 0600));
    TRY(open("file/", O_RDONLY));
    TRY(open("new/", O_CREAT | O_WRONLY, 0600));
    TRY(open("file/x", O_RDONLY));
}

CASE(open_path) {
    char text[4];
    struct stat about;
    make("file", "x");
    symlink("file", "link");
    int file = TRY(open("file", O_PATH));
    TRY(read(file, text, 1));
    TRY(write(file, text, 1));
    TRY(fstat(file, &about));
    TRY(fchmod(file, 0600));
    TRY(ftruncate(file, 0));
    TRY(fcntl(file, F_GETFL) & O_PATH);
    int link = TRY(open("link", O_PATH | O_NOFOLLOW));
    TRY(fstat(link, &about));
    SAY("link %d", S_ISLNK(about.st_mode));
    TRY(readlinkat(link, "", text, 4));
    TRY(dup(file));
    TRY(lseek(file, 0, SEEK_SET));
}

CASE(open_temporary) {
    struct stat about;
    char path[64];
    int file = TRY(open(".", O_TMPFILE | O_RDWR, 0640));
    TRY(write(file, "hidden", 6));
    names(".");
    fstat(file, &about);
    SAY("links %d mode %o", (int)about.st_nlink, about.st_mode & 0777);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    TRY(linkat(AT_FDCWD, path, AT_FDCWD, "shown", AT_SYMLINK_FOLLOW));
    SAY("%s", content("shown"));
    TRY(open(".", O_TMPFILE | O_RDONLY, 0600));
    TRY(open("shown", O_TMPFILE | O_RDWR, 0600));
}

CASE(open_append) {
    make("file", "one");
    int file = TRY(open("file", O_WRONLY | O_APPEND));
    TRY(lseek(file, 0, SEEK_SET));
    TRY(write(file, "two", 3));
    TRY(lseek(file, 0, SEEK_CUR));
    TRY(pwrite(file, "x", 1, 0));
    SAY("%s", content("file"));
}

CASE(append_by_fcntl) {
    make("file", "one");
    int file = open("file", O_WRONLY);
    TRY(fcntl(file, F_SETFL, O_APPEND));
    TRY(write(file, "two", 3));
    TRY(fcntl(file, F_SETFL, 0));
    TRY(pwrite(file, "X", 1, 0));
    SAY("%s", content("file"));
}

CASE(open_truncates) {
    struct stat about;
    make("file", "something");
    int file = TRY(open("file", O_WRONLY | O_TRUNC));
    fstat(file, &about);
    SAY("size %d", (int)about.st_size);
    TRY(creat("file", 0600));
    SAY("%s", mode_of("file"));
}

CASE(flags_told) {
    int flags = O_RDWR | O_APPEND | O_NONBLOCK;
    make("file", "");
    int file = open("file", flags | O_CREAT | O_CLOEXEC, 0600);
    TRY((fcntl(file, F_GETFL) & ~O_LARGEFILE) == flags);
    TRY(fcntl(file, F_GETFD));
    TRY(fcntl(file, F_SETFD, 0));
    TRY(fcntl(file, F_GETFD));
    TRY(fcntl(file, F_SETFL, O_RDONLY));
    TRY((fcntl(file, F_GETFL) & ~O_LARGEFILE) == O_RDWR);
}

CASE(write_wrong_way) {
    char text[2];
    make("file", "ab");
    int reads = open("file", O_RDONLY), writes = open("file", O_WRONLY);
    TRY(write(reads, "x", 1));
    TRY(read(writes, text, 1));
    TRY(read(99, text, 1));
    TRY(read(reads, (void *)8, 1));
    TRY(write(writes, (void *)8, 1));
    TRY(read(open(".", O_RDONLY), text, 1));
    TRY(pread(reads, text, 1, -1));
}

CASE(seeking) {
    make("file", "0123456789");
    int file = open("file", O_RDWR);
    TRY(lseek(file, 4, SEEK_SET));
    TRY(lseek(file, -2, SEEK_CUR));
    TRY(lseek(file, -3, SEEK_END));
    TRY(lseek(file, -20, SEEK_END));
    TRY(lseek(file, 100, SEEK_SET));
    TRY(write(file, "!", 1));
    TRY(lseek(file, 0, SEEK_END));
    TRY(lseek(file, 0, 9));
    TRY(lseek(99, 0, SEEK_SET));
}

CASE(seeking_data) {
    make("file", "0123456789");
    int file = open("file", O_RDONLY);
    TRY(lseek(file, 0, SEEK_DATA));
    TRY(lseek(file, 0, SEEK_HOLE));
    TRY(lseek(file, 10, SEEK_DATA));
    TRY(lseek(file, 11, SEEK_HOLE));
}

CASE(seeking_what_cannot) {
    int ends[2];
    pipe(ends);
    TRY(lseek(ends[0], 0, SEEK_SET));
    TRY(lseek(eventfd(0, 0), 0, SEEK_CUR) >= 0);
    TRY(lseek(open("/dev/null", O_RDWR), 5, SEEK_SET));
    TRY(pread(ends[0], ends, 1, 0));
    TRY(pwrite(ends[1], ends, 1, 0));
}

CASE(holes_read_zero) {
    char text[8] = "xxxxxxx";
    int file = open("file", O_CREAT | O_RDWR, 0600);
    TRY(pwrite(file, "end", 3, 5000));
    TRY(pread(file, text, 4, 2000));
    SAY("%d %d", text[0], text[3]);
    TRY(pread(file, text, 8, 4999));
    SAY("%d %.3s", text[0], text + 1);
    TRY(pread(file, text, 8, 6000));
}

CASE(truncating) {
    struct stat about;
    make("file", "0123456789");
    TRY(truncate("file", 4));
    SAY("%s", content("file"));
    TRY(truncate("file", 8));
    stat("file", &about);
    SAY("%d", (int)about.st_size);
    TRY(truncate("file", -1));
    TRY(truncate("none", 1));
    TRY(truncate(".", 1));
    TRY(ftruncate(open("file", O_RDONLY), 1));
    TRY(ftruncate(open("file", O_RDWR), 0));
    TRY(ftruncate(99, 0));
}

CASE(truncated_under_reader) {
    char text[4];
    make("file", "0123456789");
    int file = open("file", O_RDWR);
    lseek(file, 6, SEEK_SET);
    TRY(ftruncate(file, 3));
    TRY(read(file, text, 4));
    TRY(write(file, "z", 1));
    TRY(lseek(file, 0, SEEK_END));
}

CASE(allocating) {
    struct stat about;
    int file = open("file", O_CREAT | O_RDWR, 0600);
    TRY(posix_fallocate(file, 0, 8192));
    fstat(file, &about);
    SAY("%d", (int)about.st_size);
    TRY(fallocate(file, FALLOC_FL_KEEP_SIZE, 0, 20000));
    fstat(file, &about);
    SAY("%d", (int)about.st_size);
    TRY(posix_fallocate(file, -1, 10));
    TRY(posix_fallocate(file, 0, 0));
    TRY(posix_fallocate(99, 0, 1));
    TRY(fallocate(open("file", O_RDONLY), 0, 0, 1));
    TRY(fallocate(open(".", O_RDONLY), 0, 0, 1));
}

CASE(punching_holes) {
    char text[11] = "";
    make("file", "0123456789");
    int file = open("file", O_RDWR);
    TRY(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2, 3));
    read(file, text, 10);
    for (int i = 0; i < 10; i++)
        printf("%c", text[i] ? text[i] : '.');
    SAY("%s", "");
    TRY(fallocate(file, FALLOC_FL_PUNCH_HOLE, 2, 3));
    TRY(fallocate(file, 0x80000000, 0, 1));
}

CASE(vectors) {
    char first[3] = "", second[5] = "";
    struct iovec pieces[3] = {{"abc", 3}, {"", 0}, {"defgh", 5}}, places[2] = {{first, 2}, {second, 4}};
    int file = open("file", O_CREAT | O_RDWR, 0600);
    TRY(writev(file, pieces, 3));
    lseek(file, 0, SEEK_SET);
    TRY(readv(file, places, 2));
    SAY("%s %s", first, second);
    TRY(preadv(file, places, 2, 2));
    SAY("%s %s", first, second);
    TRY(pwritev(file, pieces, 1, 5));
    SAY("%s", content("file"));
    TRY(writev(file, pieces, 0));
    TRY(writev(file, pieces, -1));
    TRY(writev(file, pieces, 1025));
    pieces[0].iov_len = -1;
    TRY(writev(file, pieces, 1));
    TRY(preadv(file, places, 2, -1));
}

CASE(vectors_with_flags) {
    char text[4] = "";
    struct iovec piece = {"xy", 2}, place = {text, 3};
    make("file", "0123456789");
    int file = open("file", O_RDWR);
    TRY(pwritev2(file, &piece, 1, 0, RWF_APPEND));
    TRY(pwritev2(file, &piece, 1, -1, 0));
    TRY(lseek(file, 0, SEEK_CUR));
    TRY(preadv2(file, &place, 1, 0, 0));
    SAY("%s", text);
    TRY(preadv2(file, &place, 1, 0, 0x40000000));
    SAY("%s", content("file"));
}

CASE(copy_range) {
    off_t from = 2, to = 1;
    make("a", "0123456789");
    make("b", "----");
    int a = open("a", O_RDONLY), b = open("b", O_RDWR);
    TRY(copy_file_range(a, &from, b, &to, 4, 0));
    SAY("%s %d %d", content("b"), (int)from, (int)to);
    TRY(copy_file_range(a, NULL, b, NULL, 100, 0));
    SAY("%s", content("b"));
    TRY(copy_file_range(a, NULL, b, NULL, 100, 0));
    TRY(copy_file_range(a, NULL, b, NULL, 1, 1));
    TRY(copy_file_range(b, NULL, a, NULL, 1, 0));
    from = to = 0;
    TRY(copy_file_range(b, &from, b, &to, 3, 0));
    int ends[2];
    pipe(ends);
    TRY(copy_file_range(a, NULL, ends[1], NULL, 1, 0));
}

CASE(send_file) {
    off_t from = 3;
    make("a", "0123456789");
    int a = open("a", O_RDONLY), b = open("b", O_CREAT | O_RDWR, 0600), ends[2];
    pipe(ends);
    TRY(sendfile(b, a, &from, 4));
    SAY("%s %d %d", content("b"), (int)from, (int)lseek(a, 0, SEEK_CUR));
    TRY(sendfile(ends[1], a, NULL, 100));
    TRY(lseek(a, 0, SEEK_CUR));
    TRY(sendfile(b, ends[0], NULL, 3));
    from = -1;
    TRY(sendfile(b, a, &from, 1));
    TRY(sendfile(a, a, NULL, 1));
}

CASE(splicing) {
    int ends[2], other[2];
    char text[16] = "";
    make("a", "0123456789");
    int a = open("a", O_RDONLY), b = open("b", O_CREAT | O_RDWR, 0600);
    pipe(ends), pipe(other);
    TRY(splice(a, NULL, ends[1], NULL, 4, 0));
    TRY(splice(ends[0], NULL, b, NULL, 4, 0));
    SAY("%s", content("b"));
    TRY(splice(a, NULL, b, NULL, 4, 0));
    off_t at = 1;
    TRY(splice(ends[0], &at, b, NULL, 4, 0));
    TRY(splice(a, &at, ends[1], NULL, 2, 0));
    TRY(read(ends[0], text, 16));
    SAY("%s %d", text, (int)at);
}

CASE(syncing) {
    int ends[2];
    make("file", "x");
    pipe(ends);
    int file = open("file", O_RDWR);
    TRY(fsync(file));
    TRY(fdatasync(file));
    TRY(fsync(ends[0]));
    TRY(fsync(99));
    TRY(syncfs(file));
    TRY(posix_fadvise(file, 0, 0, POSIX_FADV_SEQUENTIAL));
    TRY(posix_fadvise(file, 0, 0, 77));
    TRY(posix_fadvise(ends[0], 0, 0, 0));
}

CASE(memory_file) {
    char text[8] = "";
    int file = TRY(memfd_create("name", 0));
    TRY(write(file, "memory", 6));
    TRY(ftruncate(file, 3));
    TRY(pread(file, text, 8, 0));
    SAY("%s", text);
    TRY(fcntl(memfd_create("other", MFD_CLOEXEC), F_GETFD));
    TRY(memfd_create("x", 0x4000));
}

CASE(streams) {
    char line[32];
    FILE *file = fopen("file", "w+");
    TRY(fprintf(file, "one\ntwo\n%d\n", 3));
    TRY(fseek(file, 4, SEEK_SET));
    SAY("%s", fgets(line, sizeof line, file));
    TRY(ftell(file));
    TRY(fputs("TWO", file) >= 0);
    TRY(fclose(file));
    SAY("%s", content("file"));
    file = fopen("file", "a+");
    TRY(fputc('!', file));
    rewind(file);
    TRY(fgetc(file));
    fclose(file);
    SAY("%s", content("file"));
    SAY("%d", fopen("file", "wx") == NULL);
    SAY("%d", tmpfile() != NULL);
}

CASE(temporary_names) {
    char one[] = "oneXXXXXX", two[] = "twoXXXXXX", bad[] = "noXX";
    TRY(mkstemp(one) >= 0);
    SAY("%s", mode_of(one));
    TRY(mkdtemp(two) != NULL);
    SAY("%s", mode_of(two));
    TRY(mkstemp(bad));
}

CASE(large_transfer) {
    static char block[300000], back[300000];
    for (size_t i = 0; i < sizeof block; i++)
        block[i] = (char)(i * 7);
    int file = open("file", O_CREAT | O_RDWR, 0600);
    TRY(write(file, block, sizeof block));
    TRY(pread(file, back, sizeof back, 0));
    SAY("%d", memcmp(block, back, sizeof block));
}

CASE(unlinked_but_open) {
    struct stat about;
    char text[8] = "";
    int file = open("file", O_CREAT | O_RDWR, 0600);
    write(file, "kept", 4);
    TRY(unlink("file"));
    TRY(pread(file, text, 8, 0));
    fstat(file, &about);
    SAY("%s %d", text, (int)about.st_nlink);
    TRY(open("file", O_RDONLY));
    make("file", "another");
    TRY(pread(file, text, 8, 0));
    SAY("%.4s", text);
    TRY(fchmod(file, 0644));
}
