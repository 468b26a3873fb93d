/* The way of a request to a file: method, path, coding, conditions, range. RFC 9110 sections 9, 12 to 15. */
#include "assets.h"

#define METHODS "GET, HEAD, OPTIONS"

/* What is looked up of a request, in one walk. */
enum { QUERY, SCRIPT, CODINGS, RANGE, IF_RANGE, IF_MATCH, IF_NONE_MATCH, IF_MODIFIED, IF_UNMODIFIED, WANTED };
static const char *const wanted[WANTED] = {
    [QUERY] = "QUERY_STRING",
    [SCRIPT] = "SCRIPT_NAME",
    [CODINGS] = "HTTP_ACCEPT_ENCODING",
    [RANGE] = "HTTP_RANGE",
    [IF_RANGE] = "HTTP_IF_RANGE",
    [IF_MATCH] = "HTTP_IF_MATCH",
    [IF_NONE_MATCH] = "HTTP_IF_NONE_MATCH",
    [IF_MODIFIED] = "HTTP_IF_MODIFIED_SINCE",
    [IF_UNMODIFIED] = "HTTP_IF_UNMODIFIED_SINCE",
};

static void look_up(nk_request *request, const char *found[WANTED]) {
    const char *name = NULL, *value;
    while (request_next_var(request, &name, &value))
        for (int n = 0; n < WANTED; n++)
            if (*name == *wanted[n] && !strcmp(name, wanted[n]))
                found[n] = value;
}

static void say_number(nk_request *request, const char *name, uint64_t number) {
    char text[24];
    format_buffer(text, sizeof text, "%lu", number);
    response_header(request, name, text);
}

static void say_fields(nk_request *request, const struct asset *asset) {
    for (const char *name = index_text(asset->fields), *value; *name; name = value + strlen(value) + 1) {
        value = name + strlen(name) + 1;
        response_header(request, name, value);
    }
}

static void say(nk_request *request, int status, const char *text) {
    response_status(request, status);
    response_header(request, "Content-Type", "text/plain; charset=utf-8");
    response_header(request, "X-Content-Type-Options", "nosniff");
    response_write(request, text, strlen(text));
}

static void refuse_method(nk_request *request, const char *method) {
    response_header(request, "Allow", METHODS);
    if (!strcmp(method, "OPTIONS"))
        response_status(request, 204);
    else
        say(request, 405, "These files can be read, and nothing else.\n");
}

/* A path has the service's own before it, and the query goes along. */
static void redirect(nk_request *request, const struct asset *asset, const char *const found[WANTED]) {
    const char *location = index_text(asset->location);
    const char *script = *location == '/' && found[SCRIPT] ? found[SCRIPT] : "";
    const char *query = found[QUERY] && !strchr(location, '?') && !strchr(location, '#') ? found[QUERY] : "";
    size_t size = strlen(script) + strlen(location) + strlen(query) + 2;
    char *whole = heap_alloc(size);
    say_fields(request, asset);
    if (whole) {
        format_buffer(whole, size, "%s%s%s%s", script, location, *query ? "?" : "", query);
        location = whole;
    }
    response_status(request, response_header(request, "Location", location) ? 404 : (int)asset->status);
    heap_free(whole);
}

/* What both a whole answer and one that says that nothing changed have. */
static void say_variant(nk_request *request, const struct asset *asset, const struct asset_variant *variant) {
    say_fields(request, asset);
    if (asset->status != 200) /* it is about a path, and stands in for what is not there */
        return;
    response_header(request, "ETag", index_text(variant->tag));
    response_header(request, "Last-Modified", index_text(asset->modified));
}

static void say_content(nk_request *request, const struct asset *asset, const struct asset_variant *variant,
                        struct span_of_bytes part) {
    const char *coding = index_text(variant->coding);
    response_header(request, "Content-Type", index_text(asset->type));
    if (*coding)
        response_header(request, "Content-Encoding", coding);
    say_number(request, "Content-Length", part.end - part.start);
}

static void say_range(nk_request *request, const struct asset_variant *variant, const struct span_of_bytes *part) {
    char text[72];
    if (part)
        format_buffer(text, sizeof text, "bytes %lu-%lu/%lu", part->start, part->end - 1, variant->size);
    else
        format_buffer(text, sizeof text, "bytes */%lu", variant->size);
    response_header(request, "Content-Range", text);
}

/* Whether a body follows, which ends the response. */
static bool answer(nk_request *request, const struct asset *asset, const char *const found[WANTED], bool head) {
    const struct asset_variant *variant = coding_chosen(asset, found[CODINGS]);
    const char *tag = index_text(variant->tag);
    struct conditions conditions = {
        found[IF_MATCH], found[IF_NONE_MATCH], found[IF_MODIFIED], found[IF_UNMODIFIED], found[IF_RANGE]};
    struct span_of_bytes part = {0, variant->size};
    enum range range = RANGE_ALL;
    bool is_whole = asset->status == 200; /* what stands in for a missing page has neither conditions nor ranges */
    enum verdict verdict = is_whole ? conditions_verdict(&conditions, tag, asset->modified_s) : VERDICT_ANSWER;

    if (verdict == VERDICT_FAILED) {
        response_status(request, 412);
        return false;
    }
    if (verdict == VERDICT_NOT_MODIFIED) {
        response_status(request, 304);
        say_variant(request, asset, variant);
        return false;
    }
    if (is_whole && !head && conditions_same(&conditions, tag, index_text(asset->modified)))
        range = range_read(found[RANGE], variant->size, &part);
    if (range == RANGE_OUTSIDE) {
        response_status(request, 416);
        say_range(request, variant, NULL);
        return false;
    }
    response_status(request, range == RANGE_PART ? 206 : (int)asset->status);
    say_variant(request, asset, variant);
    say_content(request, asset, variant, part);
    if (range == RANGE_PART)
        say_range(request, variant, &part);
    if (head || part.start == part.end)
        return false;
    body_send(request, variant, part);
    return true;
}

/* Whether the request is the files' to answer; then it is answered, or will be. */
bool assets_take(nk_request *request) {
    const char *method = request_var(request, "REQUEST_METHOD"), *path = request_var(request, "PATH_INFO");
    bool head = method && !strcmp(method, "HEAD"), reads = head || (method && !strcmp(method, "GET")), goes_on = false;
    const struct asset *asset = reads && path ? index_find(path) : NULL;
    if (!index_alone() && (!asset || request_var(request, "NUNATAK_SOCKET")))
        return false;
    if (!asset)
        asset = index_missing();
    if (!reads) {
        refuse_method(request, method ? method : "");
    } else if (!asset) {
        say(request, 404, "There is no such file.\n");
    } else {
        const char *found[WANTED] = {NULL};
        look_up(request, found);
        if (asset->location)
            redirect(request, asset, found);
        else
            goes_on = answer(request, asset, found, head);
    }
    if (requests_are_events && !goes_on)
        event_end(request, true);
    return true;
}
