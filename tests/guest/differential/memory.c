/* Memory: mmap, mprotect, mremap, madvise, brk, and the stack. */
#include "case.h"

#define PAGE 4096
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
static char *pages(size_t count) {
    return mmap(NULL, count * PAGE, RW, ANON, -1, 0);
}

CASE(mapping_refused) {
    make("file", "text");
    int file = open("file", O_RDONLY), writes = open("file", O_WRONLY), ends[2];
    pipe(ends);
    TRY(mmap(NULL, 0, RW, ANON, -1, 0));
    TRY(mmap(NULL, PAGE, RW, MAP_ANONYMOUS, -1, 0));
    TRY(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, 99, 0));
    TRY(syscall(SYS_mmap, NULL, PAGE, PROT_READ, MAP_PRIVATE, file, 100));
    TRY(mmap(NULL, PAGE, RW, MAP_SHARED, file, 0));
    TRY(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, writes, 0));
    TRY(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, ends[0], 0));
    TRY(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, open(".", O_RDONLY), 0));
    TRY(mmap((void *)100, PAGE, RW, ANON | MAP_FIXED, -1, 0));
    TRY(munmap((void *)100, PAGE));
    TRY(munmap(pages(1), 0));
}

CASE(mapping_is_zero) {
    char *block = pages(3);
    int sum = 0;
    for (int i = 0; i < 3 * PAGE; i++)
        sum |= block[i];
    memset(block, 7, 3 * PAGE);
    TRY(munmap(block, 3 * PAGE));
    block = pages(3);
    for (int i = 0; i < 3 * PAGE; i++)
        sum |= block[i];
    SAY("%d", sum);
    TRY(munmap(block, 3 * PAGE));
    TRY(munmap(block, 3 * PAGE));
}

CASE(mapping_files) {
    make("file", "0123456789");
    int file = open("file", O_RDWR);
    char *copy = mmap(NULL, PAGE, RW, MAP_PRIVATE, file, 0);
    SAY("%.10s %d", copy, copy[10]);
    copy[0] = 'X';
    SAY("%s", content("file"));
    char *shared = mmap(NULL, PAGE, RW, MAP_SHARED, file, 0);
    shared[1] = 'Y';
    SAY("%s", content("file"));
    pwrite(file, "Z", 1, 2);
    SAY("%.10s", shared);
    TRY(msync(shared, PAGE, MS_SYNC));
    TRY(msync(shared, PAGE, MS_SYNC | MS_ASYNC));
    TRY(msync(shared + 1, PAGE, MS_SYNC));
    close(file);
    TRY(unlink("file"));
    shared[3] = 'W';
    SAY("%.10s", shared);
    TRY(munmap(shared, PAGE));
    TRY(munmap(copy, PAGE));
}

CASE(mapping_grows_with_file) {
    int file = open("file", O_CREAT | O_RDWR, 0600);
    TRY(ftruncate(file, 3 * PAGE));
    char *shared = mmap(NULL, 3 * PAGE, RW, MAP_SHARED, file, 0), text[4] = "";
    char *second = mmap(NULL, PAGE, RW, MAP_SHARED, file, 2 * PAGE);
    strcpy(shared + 2 * PAGE, "end");
    SAY("%s", second);
    pread(file, text, 3, 2 * PAGE);
    SAY("%s", text);
    TRY(munmap(shared, 3 * PAGE));
    SAY("%s", second);
    TRY(munmap(second, PAGE));
}

CASE(mapping_shared_without_file) {
    char *block = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    strcpy(block, "shared");
    SAY("%s", block);
    TRY(munmap(block, PAGE));
}

CASE(mapping_at_a_place) {
    char *block = pages(4);
    memset(block, 1, 4 * PAGE);
    TRY(mmap(block + PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0) == block + PAGE);
    SAY("%d %d %d", block[0], block[PAGE], block[2 * PAGE]);
    TRY(mmap(block + PAGE, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0));
    TRY(munmap(block + PAGE, PAGE));
    TRY(mmap(block + PAGE, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0) == block + PAGE);
    TRY(munmap(block, 4 * PAGE));
    TRY(mmap(block, PAGE, RW, ANON, -1, 0) == block);
    make("file", "at a place");
    int file = open("file", O_RDONLY);
    TRY(mmap(block, PAGE, RW, MAP_PRIVATE | MAP_FIXED, file, 0) == block);
    SAY("%s", block);
}

CASE(reserving) {
    char *room = mmap(NULL, 64 << 20, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);
    SAY("%d", room != MAP_FAILED);
    TRY(mprotect(room, 1 << 20, RW));
    memset(room, 5, 1 << 20);
    SAY("%d", room[(1 << 20) - 1]);
    TRY(mmap(room + (1 << 20), 65536, RW, ANON | MAP_FIXED, -1, 0) == room + (1 << 20));
    room[1 << 20] = 6;
    TRY(madvise(room, 1 << 20, MADV_DONTNEED));
    SAY("%d %d", room[0], room[1 << 20]);
    TRY(munmap(room, 64 << 20));
}

CASE(reserving_much) {
    char *one = mmap(NULL, 1ull << 36, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);
    char *two = mmap(NULL, 1ull << 33, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);
    SAY("%d %d", one != MAP_FAILED, two != MAP_FAILED);
    TRY(mprotect(one, 65536, RW));
    TRY(mprotect(two, 65536, RW));
    strcpy(one, "one"), strcpy(two, "two");
    SAY("%s %s", one, two);
    TRY(munmap(one, 1ull << 36));
    TRY(munmap(two, 1ull << 33));
}

CASE(protecting) {
    char *block = pages(2);
    TRY(mprotect(block, PAGE, PROT_READ));
    TRY(mprotect(block + 1, PAGE, PROT_READ));
    TRY(mprotect(block, 0, PROT_READ));
    TRY(mprotect(block, PAGE, RW));
    TRY(mprotect(block, PAGE, PROT_NONE));
    TRY(mprotect((void *)(1ull << 46), PAGE, RW));
}

CASE(remapping) {
    char *block = pages(2);
    strcpy(block + PAGE, "kept");
    block = mremap(block, 2 * PAGE, 300 * PAGE, MREMAP_MAYMOVE);
    SAY("%s %d", block + PAGE, block[299 * PAGE]);
    TRY(mremap(block, 300 * PAGE, 2 * PAGE, 0) == block);
    SAY("%s", block + PAGE);
    TRY(mremap(block + 1, PAGE, PAGE, 0));
    TRY(mremap(block, PAGE, 0, 0));
    TRY(mremap(block, PAGE, PAGE, 0x80));
    TRY(mremap(block, PAGE, PAGE, MREMAP_FIXED, block));
    char *place = pages(2);
    TRY(mremap(block, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, place) == place);
    SAY("%s", place + PAGE);
    TRY(mremap((void *)(1ull << 46), PAGE, 2 * PAGE, MREMAP_MAYMOVE));
}

CASE(advising) {
    char *block = pages(2);
    memset(block, 3, 2 * PAGE);
    TRY(madvise(block, PAGE, MADV_DONTNEED));
    SAY("%d %d", block[0], block[PAGE]);
    TRY(madvise(block, PAGE, MADV_WILLNEED));
    TRY(madvise(block, PAGE, MADV_FREE));
    TRY(madvise(block, PAGE, MADV_NORMAL));
    TRY(madvise(block + 1, PAGE, MADV_NORMAL));
    TRY(madvise(block, PAGE, 77));
    TRY(madvise((void *)(1ull << 46), PAGE, MADV_DONTNEED) ? errno == ENOMEM : 0);
    make("file", "shared");
    int file = open("file", O_RDWR);
    char *shared = mmap(NULL, PAGE, RW, MAP_SHARED, file, 0);
    TRY(madvise(shared, PAGE, MADV_DONTNEED));
    SAY("%s", shared);
}

CASE(resident_and_locked) {
    unsigned char vector[2] = {9, 9};
    char *block = pages(2);
    block[0] = block[PAGE] = 1;
    TRY(mincore(block, 2 * PAGE, vector));
    SAY("%d %d", vector[0] & 1, vector[1] & 1);
    TRY(mincore(block + 1, PAGE, vector));
    TRY(mlock(block, PAGE));
    TRY(munlock(block, PAGE));
    TRY(mlockall(MCL_CURRENT) || 1);
    TRY(munlockall());
}

CASE(breaking) {
    char *start = (char *)syscall(SYS_brk, 0);
    TRY(syscall(SYS_brk, start + 10000) == (long)(start + 10000));
    memset(start, 4, 10000);
    TRY(syscall(SYS_brk, start + 100) == (long)(start + 100));
    TRY(syscall(SYS_brk, start + 10000) == (long)(start + 10000));
    SAY("%d %d", start[99], start[9999]);
    TRY(syscall(SYS_brk, 8) == (long)(start + 10000));
    TRY(syscall(SYS_brk, start) == (long)start);
}

static int deep(int levels) {
    volatile char room[1000];
    room[levels % 1000] = (char)levels;
    return levels ? deep(levels - 1) + (room[levels % 1000] == (char)levels) : 0;
}

CASE(deep_stacks) {
    SAY("%d", deep(2000));
    volatile char large[1500000];
    for (size_t i = 0; i < sizeof large; i += 1000)
        large[i] = 1;
    int sum = 0;
    for (size_t i = 0; i < sizeof large; i += 1000)
        sum += large[i];
    SAY("%d", sum);
}

CASE(bounds_of_the_stack) {
    pthread_attr_t attributes;
    char *start, here;
    size_t size;
    TRY(deep(100));
    TRY(pthread_getattr_np(pthread_self(), &attributes));
    pthread_attr_getstack(&attributes, (void **)&start, &size);
    SAY("%d %d", &here >= start && &here < start + size, size >= 100000);
    struct rlimit limit;
    TRY(getrlimit(RLIMIT_STACK, &limit));
    SAY("%d", limit.rlim_cur >= size || limit.rlim_cur >= 1 << 20);
}

CASE(allocating_much) {
    void *blocks[300];
    for (int i = 0; i < 300; i++)
        memset(blocks[i] = malloc((size_t)(i * 131 % 9000 + 1)), i, (size_t)(i * 131 % 9000 + 1));
    for (int i = 0; i < 300; i += 2)
        free(blocks[i]);
    int wrong = 0;
    for (int i = 1; i < 300; i += 2)
        wrong += *(unsigned char *)blocks[i] != (unsigned char)i;
    char *grown = realloc(malloc(10), 500000);
    grown[499999] = 1;
    SAY("%d %d", wrong, malloc(1ull << 50) == NULL);
    void *aligned;
    TRY(posix_memalign(&aligned, 65536, 100));
    SAY("%d", (int)((uintptr_t)aligned % 65536));
}
