/*
 * What assets/ offers: files that a service answers with by itself, before its program hears of a request.
 *
 * What there is under which path, with which header fields and in which codings, was decided when the image was built
 * (origin/bake/assets); here HTTP is spoken: methods, codings, conditions, ranges. A path is looked up as a whole, so
 * that what nobody listed is not there, however it is written. One section per file, in reading order.
 */
#ifndef ASSETS_H
#define ASSETS_H

#include "../requests/requests.h"

/*
 * ---- index.c: the index, a file of the image; origin/bake/assets/index.py packs it ----
 * Header, paths sorted by their bytes, assets, variants, texts, then the contents unless they are on a disk. Offsets count
 * from its start, texts end with NUL, contents are places from `contents` on, or on the disk.
 */
#define ASSETS_FILE ".nunatak/assets"
#define ASSETS_DISK "assets"
#define ASSETS_MAGIC 0x53414B4E /* "NKAS" */
#define ASSETS_VERSION 1
#define ASSETS_ALONE 1   /* in `flags`: there is no program behind them, and every request is theirs */
#define ASSETS_ON_DISK 2 /* the contents are on the disk named ASSETS_DISK */

struct asset_index {
    uint32_t magic, version;
    uint32_t flags, paths; /* how many paths follow */
    uint32_t missing;      /* offset of the asset for all other paths; 0: none */
    uint32_t zero;
    uint64_t contents; /* offset */
};

struct asset_path {
    uint32_t path, asset; /* offsets: of the path, percent-decoded; of its asset */
};

struct asset {
    uint32_t status;             /* of an answer with all of it: 200, 404, or a redirect's */
    uint32_t fields;             /* header fields, "name\0value\0" repeated, then "\0" */
    uint32_t type, location;     /* offsets of the values of Content-Type and Location; 0: none */
    uint32_t modified;           /* and of Last-Modified */
    uint32_t variants, first, zero; /* how many; offset of the first, the smallest */
    uint64_t modified_s;         /* since 1970 */
};

struct asset_variant {
    uint32_t coding, tag; /* offsets of the coding's name, "" for none, and of the entity tag */
    uint64_t data, size;
};

bool index_open(void);
bool index_alone(void);
const struct asset *index_find(const char *path);
const struct asset *index_missing(void);
const char *index_text(uint32_t offset);
const struct asset_variant *index_variants(const struct asset *asset);
const char *index_contents(void); /* NULL: they are on the disk */
int index_disk(void);

/* ---- coding.c ---- */
const struct asset_variant *coding_chosen(const struct asset *asset, const char *accept);

/* ---- date.c ---- */
bool date_read(const char *text, uint64_t *seconds);

/* ---- conditions.c: what a request makes its answer depend on; NULL for a field that it does not have ---- */
struct conditions {
    const char *if_match, *if_none_match, *if_modified_since, *if_unmodified_since, *if_range;
};
enum verdict { VERDICT_ANSWER, VERDICT_NOT_MODIFIED, VERDICT_FAILED };
enum verdict conditions_verdict(const struct conditions *of, const char *tag, uint64_t modified_s);
bool conditions_same(const struct conditions *of, const char *tag, const char *modified);

/* ---- range.c ---- */
enum range { RANGE_ALL, RANGE_PART, RANGE_OUTSIDE };
struct span_of_bytes {
    uint64_t start, end;
};
enum range range_read(const char *text, uint64_t size, struct span_of_bytes *part);

/* ---- body.c: bytes of a variant to a client, on a fiber or as events ---- */
void body_send(nk_request *request, const struct asset_variant *variant, struct span_of_bytes part);
void body_push(void);

/* ---- answer.c: the way of a request ---- */
bool assets_take(nk_request *request);

/* ---- hooks.c ---- */
void assets_hook(void);

#endif
