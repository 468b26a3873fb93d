/* The index of assets: found when the image is complete, looked up by whole paths. */
#include "assets.h"

static const struct asset_index *assets;

static const void *at(uint32_t offset) {
    return (const char *)assets + offset;
}

/* Whether the image has assets. */
bool index_open(void) {
    const void *data;
    size_t size;
    assets = NULL;
    if (archive_file(ASSETS_FILE, &data, &size))
        return false;
    assets = data;
    if (size < sizeof *assets || assets->magic != ASSETS_MAGIC || assets->version != ASSETS_VERSION)
        panic("assets: an index of version 1 expected");
    return true;
}

bool index_alone(void) {
    return assets->flags & ASSETS_ALONE;
}

/* NULL: there is nothing under that path. */
const struct asset *index_find(const char *path) {
    const struct asset_path *paths = (const struct asset_path *)(assets + 1);
    uint32_t low = 0, high = assets->paths;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = strcmp(path, at(paths[middle].path));
        if (!order)
            return at(paths[middle].asset);
        *(order < 0 ? &high : &low) = order < 0 ? middle : middle + 1;
    }
    return NULL;
}

const struct asset *index_missing(void) {
    return assets->missing ? at(assets->missing) : NULL;
}

const char *index_text(uint32_t offset) {
    return at(offset);
}

const struct asset_variant *index_variants(const struct asset *asset) {
    return at(asset->first);
}

const char *index_contents(void) {
    return assets->flags & ASSETS_ON_DISK ? NULL : (const char *)assets + assets->contents;
}

int index_disk(void) {
    return disk_find(ASSETS_DISK);
}
