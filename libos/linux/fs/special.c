/* The names in /dev, /proc and /sys that programs look for: devices, links, and text made when it is opened. */
#include "fs.h"

#define TEXT_MAX 32768

#define FOLDER S_IFDIR | 0555
#define DEVICE S_IFCHR | 0666
#define LINK S_IFLNK | 0777
#define TEXT S_IFREG | 0444
#define SELF "/proc/2"

static const char *root_target(void) {
    return "/";
}

static const char *working_target(void) {
    const char *path = working_folder();
    return path ? path : "(deleted)";
}

const struct special specials[] = {
    {"/dev", FOLDER, 0, NULL, NULL, NULL, NULL},
    {"/dev/fd", LINK, 0, NULL, NULL, "/proc/self/fd", NULL},
    {"/dev/full", DEVICE, 0x107, &kind_full, NULL, NULL, NULL},
    {"/dev/null", DEVICE, 0x103, &kind_null, NULL, NULL, NULL},
    {"/dev/random", DEVICE, 0x108, &kind_random, NULL, NULL, NULL},
    {"/dev/shm", S_IFDIR | 01777, 0, NULL, NULL, NULL, NULL},
    {"/dev/stderr", LINK, 0, NULL, NULL, "/proc/self/fd/2", NULL},
    {"/dev/stdin", LINK, 0, NULL, NULL, "/proc/self/fd/0", NULL},
    {"/dev/stdout", LINK, 0, NULL, NULL, "/proc/self/fd/1", NULL},
    {"/dev/tty", DEVICE, 0x500, NULL, NULL, NULL, NULL},
    {"/dev/urandom", DEVICE, 0x109, &kind_random, NULL, NULL, NULL},
    {"/dev/zero", DEVICE, 0x105, &kind_zero, NULL, NULL, NULL},
    {"/proc", FOLDER, 0, NULL, NULL, NULL, NULL},
    {SELF, FOLDER, 0, NULL, NULL, NULL, NULL},
    {SELF "/cgroup", TEXT, 0, NULL, print_cgroup, NULL, NULL},
    {SELF "/cmdline", TEXT, 0, NULL, print_cmdline, NULL, NULL},
    {SELF "/comm", TEXT, 0, NULL, print_comm, NULL, NULL},
    {SELF "/cwd", LINK, 0, NULL, NULL, NULL, working_target},
    {SELF "/environ", S_IFREG | 0400, 0, NULL, print_environ, NULL, NULL},
    {SELF "/exe", LINK, 0, NULL, NULL, NULL, program_path},
    {SELF "/fd", S_IFDIR | 0500, 0, NULL, NULL, NULL, NULL},
    {SELF "/limits", TEXT, 0, NULL, print_limits, NULL, NULL},
    {SELF "/maps", TEXT, 0, NULL, print_maps, NULL, NULL},
    {SELF "/mounts", TEXT, 0, NULL, print_mounts, NULL, NULL},
    {SELF "/oom_score_adj", TEXT, 0, NULL, print_zero, NULL, NULL},
    {SELF "/root", LINK, 0, NULL, NULL, NULL, root_target},
    {SELF "/stat", TEXT, 0, NULL, print_stat, NULL, NULL},
    {SELF "/statm", TEXT, 0, NULL, print_statm, NULL, NULL},
    {SELF "/status", TEXT, 0, NULL, print_status, NULL, NULL},
    {"/proc/cpuinfo", TEXT, 0, NULL, print_cpuinfo, NULL, NULL},
    {"/proc/filesystems", TEXT, 0, NULL, print_kinds, NULL, NULL},
    {"/proc/loadavg", TEXT, 0, NULL, print_loadavg, NULL, NULL},
    {"/proc/meminfo", TEXT, 0, NULL, print_meminfo, NULL, NULL},
    {"/proc/mounts", LINK, 0, NULL, NULL, "self/mounts", NULL},
    {"/proc/self", LINK, 0, NULL, NULL, "2", NULL},
    {"/proc/stat", TEXT, 0, NULL, print_machine, NULL, NULL},
    {"/proc/sys", FOLDER, 0, NULL, NULL, NULL, NULL},
    {"/proc/sys/fs", FOLDER, 0, NULL, NULL, NULL, NULL},
    {"/proc/sys/fs/file-max", TEXT, 0, NULL, print_files_max, NULL, NULL},
    {"/proc/sys/fs/pipe-max-size", TEXT, 0, NULL, print_pipe_max, NULL, NULL},
    {"/proc/sys/kernel", FOLDER, 0, NULL, NULL, NULL, NULL},
    {"/proc/sys/kernel/hostname", TEXT, 0, NULL, print_host, NULL, NULL},
    {"/proc/sys/kernel/osrelease", TEXT, 0, NULL, print_release, NULL, NULL},
    {"/proc/sys/kernel/ostype", TEXT, 0, NULL, print_type, NULL, NULL},
    {"/proc/sys/kernel/pid_max", TEXT, 0, NULL, print_pids, NULL, NULL},
    {"/proc/sys/kernel/random", FOLDER, 0, NULL, NULL, NULL, NULL},
    {"/proc/sys/kernel/random/boot_id", TEXT, 0, NULL, print_boot, NULL, NULL},
    {"/proc/sys/kernel/random/entropy_avail", TEXT, 0, NULL, print_entropy, NULL, NULL},
    {"/proc/sys/kernel/random/uuid", TEXT, 0, NULL, print_uuid, NULL, NULL},
    {"/proc/sys/vm", FOLDER, 0, NULL, NULL, NULL, NULL},
    {"/proc/sys/vm/max_map_count", TEXT, 0, NULL, print_maps_max, NULL, NULL},
    {"/proc/sys/vm/overcommit_memory", TEXT, 0, NULL, print_one, NULL, NULL},
    {"/proc/thread-self", LINK, 0, NULL, NULL, "2", NULL},
    {"/proc/uptime", TEXT, 0, NULL, print_uptime, NULL, NULL},
    {"/proc/version", TEXT, 0, NULL, print_version, NULL, NULL},
    {"/sys", FOLDER, 0, NULL, NULL, NULL, NULL},
    {"/sys/devices", FOLDER, 0, NULL, NULL, NULL, NULL},
    {"/sys/devices/system", FOLDER, 0, NULL, NULL, NULL, NULL},
    {"/sys/devices/system/cpu", FOLDER, 0, NULL, NULL, NULL, NULL},
    {"/sys/devices/system/cpu/online", TEXT, 0, NULL, print_processors, NULL, NULL},
    {"/sys/devices/system/cpu/possible", TEXT, 0, NULL, print_processors, NULL, NULL},
    {"/sys/devices/system/cpu/present", TEXT, 0, NULL, print_processors, NULL, NULL},
    {"/tmp", S_IFDIR | 01777, 0, NULL, NULL, NULL, NULL},
    {NULL, 0, 0, NULL, NULL, NULL, NULL},
};

static const struct special descriptor_link = {SELF "/fd/", S_IFLNK | 0700, 0, NULL, NULL, NULL, NULL};

const struct special *special_find(const char *path) {
    for (const struct special *special = specials; special->path; special++)
        if (!strcmp(path, special->path))
            return special;
    return descriptor_file(path) ? &descriptor_link : NULL;
}

uint64_t special_inode(const struct special *special) {
    return special == &descriptor_link ? 1000 : (uint64_t)(special - specials) + 10;
}

const char *special_target(const struct special *special) {
    return special->target ? special->target : special->find();
}

/* The open file that /proc/self/fd/NUMBER stands for; NULL: the path is none. */
struct file *descriptor_file(const char *path) {
    static const char folder[] = SELF "/fd/";
    if (strncmp(path, folder, sizeof folder - 1))
        return NULL;
    const char *digit = path + sizeof folder - 1;
    uint64_t number = 0;
    if (!*digit || (*digit == '0' && digit[1]))
        return NULL;
    for (; *digit; digit++) {
        if (*digit < '0' || *digit > '9' || number > FILES_MAX)
            return NULL;
        number = number * 10 + (uint64_t)(*digit - '0');
    }
    return file_of(number);
}

/* How Linux shows it: a path, or what kind of thing it is. */
void descriptor_target(const struct file *file, char *to) {
    if (file->node && file->kind->mode == S_IFDIR && node_path(file->node, to))
        return;
    if (file->node && node_name_path(file->node, to))
        return;
    if (file->folder)
        format_buffer(to, PATH_MAX, "%s", file->folder);
    else if (file->special)
        format_buffer(to, PATH_MAX, "%s", file->special->path);
    else if (file->entry)
        format_buffer(to, PATH_MAX, "/%s", archive_path(file->entry));
    else if (file->node)
        format_buffer(to, PATH_MAX, "/tmp/#%lu (deleted)", (unsigned long)file->node->inode);
    else if (file->kind->name)
        format_buffer(to, PATH_MAX, "%s", file->kind->name);
    else
        format_buffer(to, PATH_MAX, "pipe:[2]");
}

static int64_t text_read(struct file *file, void *to, uint64_t size, int64_t at) {
    if (at < 0 || (uint64_t)at >= file->size)
        return 0;
    size = MIN(size, file->size - (uint64_t)at);
    memcpy(to, file->text + at, size);
    return (int64_t)size;
}

static void text_close(struct file *file) {
    heap_free(file->text);
}

static const struct file_kind kind_text = {.read = text_read, .close = text_close, .mode = S_IFREG};

/* An open file of a device, or of the text as it is now; NULL without memory, or where there is nothing to open. */
struct file *special_open(const struct special *special, uint32_t flags) {
    struct file *file = file_new(special->kind ? special->kind : &kind_text, flags);
    if (!file)
        return NULL;
    file->special = special;
    if (special->kind)
        return file;
    file->text = heap_alloc(TEXT_MAX);
    if (!file->text) {
        heap_free(file);
        return NULL;
    }
    struct sink sink = {.at = file->text, .end = file->text + TEXT_MAX};
    special->print(&sink);
    file->size = (uint64_t)(sink.at - file->text);
    return file;
}
