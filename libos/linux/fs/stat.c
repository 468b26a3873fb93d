/* What is told about a file, whichever way it was found. */
#include "fs.h"

#define BLOCK 4096

static void describe(struct stat_record *stat, uint32_t mode, uint64_t inode, uint64_t size, uint64_t time_ns) {
    *stat = (struct stat_record){
        .device = 1,
        .inode = inode,
        .links = 1,
        .mode = mode,
        .size = (int64_t)size,
        .block_size = BLOCK,
        .blocks = (int64_t)(ALIGN_UP(size, 512) / 512),
    };
    for (int i = 0; i < 3; i++) {
        stat->times[2 * i] = time_ns / 1000000000;
        stat->times[2 * i + 1] = time_ns % 1000000000;
    }
}

/* Of what has no size: standard input and output, pipes, devices. */
void stat_kind(const struct file_kind *kind, struct stat_record *stat) {
    describe(stat, kind->mode | 0666, 2, 0, 0);
}

/* Of a read-only file or one of /tmp; of neither, it is a folder that is there without an archive. */
void stat_found(const struct entry *entry, const struct node *node, struct stat_record *stat) {
    if (node)
        describe(stat, node->mode, node->inode, node->size, node->time_ns);
    else if (entry)
        describe(stat, entry->mode, archive_inode(entry), entry->size, 0);
    else
        describe(stat, S_IFDIR | 01777, 1, 0, 0);
}

void stat_file(const struct file *file, struct stat_record *stat) {
    if (file->kind->mode == S_IFDIR || file->entry || file->node)
        stat_found(file->entry, file->node, stat);
    else
        stat_kind(file->kind, stat);
}
