/* A mountain range for every name: /oslo.svg is always the same drawing, / shows one. What a handler in C can look like:
 * a form, two kinds of answers, an entity tag, a drawing that is sent while it is made. */
#include <nunatak.h>

enum { WIDTH = 1200, HEIGHT = 600, RIDGES = 6, POINTS = 65, NAME_MAX = 64 };

static const char *const skies[][2] = {
    {"#0b2545", "#f4a261"}, {"#1d3557", "#a8dadc"}, {"#22223b", "#f2cc8f"}, {"#003049", "#d8e2dc"}, {"#2b2d42", "#ffb4a2"}};

static const char style[] = "body{margin:0;min-height:100vh;background:#0b1724;color:#e6eef5;font:17px/1.5 system-ui,sans-serif;"
                            "display:grid;place-items:center}main{width:min(92vw,64rem);padding:2rem 0}"
                            "img{width:100%;border-radius:12px;display:block;box-shadow:0 12px 40px #0008}"
                            "h1{font-size:1.4rem;font-weight:600;margin:1rem 0 .25rem}p{margin:.25rem 0;color:#9fb3c8}"
                            "form{display:flex;gap:.5rem;margin:1rem 0}input{flex:1;font:inherit;padding:.5rem .75rem;"
                            "border:1px solid #334e68;border-radius:8px;background:#14222f;color:inherit}"
                            "button{font:inherit;padding:.5rem 1.25rem;border:0;border-radius:8px;background:#f4a261;color:#0b1724}";

/* FNV-1a, then xorshift64*: the same name gives the same numbers on every machine. */
static uint64_t seed_of(const char *name) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 0x100000001b3u;
    return hash | 1;
}

static int below(uint64_t *state, int limit) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (int)((*state * 0x2545f4914f6cdd1du >> 33) % (unsigned)limit);
}

/* Heights by midpoint displacement: every half as rough as the whole. */
static void ridge(uint64_t *state, int *heights, int rough) {
    heights[0] = below(state, rough) - rough / 2;
    heights[POINTS - 1] = below(state, rough) - rough / 2;
    for (int step = POINTS - 1; step > 1; step /= 2, rough = rough * 11 / 20)
        for (int left = 0; left + step < POINTS; left += step)
            heights[left + step / 2] = (heights[left] + heights[left + step]) / 2 + below(state, rough + 1) - rough / 2;
}

static void drawing(nk_request *request, const char *name) {
    uint64_t state = seed_of(name);
    const char *const *sky = skies[below(&state, sizeof skies / sizeof *skies)];
    nk_printf(request,
              "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\"><defs><linearGradient id=\"s\" x2=\"0\" "
              "y2=\"1\"><stop stop-color=\"%s\"/><stop offset=\".75\" stop-color=\"%s\"/></linearGradient></defs>"
              "<rect width=\"%d\" height=\"%d\" fill=\"url(#s)\"/><circle cx=\"%d\" cy=\"%d\" r=\"%d\" fill=\"#fff\" "
              "opacity=\".85\"/>\n",
              WIDTH, HEIGHT, sky[0], sky[1], WIDTH, HEIGHT, 150 + below(&state, 900), 90 + below(&state, 130),
              24 + below(&state, 26));
    for (int layer = 0; layer < RIDGES; layer++) {
        int heights[POINTS], level = 240 + layer * 62;
        ridge(&state, heights, 260 - layer * 32);
        nk_printf(request, "<path fill=\"%s\" opacity=\".%d\" d=\"M0 %d", sky[0], 30 + layer * 13, HEIGHT);
        for (int point = 0; point < POINTS; point++)
            nk_printf(request, "L%d %d", point * WIDTH / (POINTS - 1), level - heights[point]);
        nk_printf(request, "L%d %dZ\"/>\n", WIDTH, HEIGHT);
    }
    nk_printf(request, "</svg>\n");
}

static void picture(nk_request *request, const char *name) {
    char tag[24];
    nk_snprintf(tag, sizeof tag, "\"%016llx\"", (unsigned long long)seed_of(name));
    nk_header(request, "ETag", tag);
    nk_header(request, "Cache-Control", "public, max-age=86400");
    const char *known = nk_var(request, "HTTP_IF_NONE_MATCH");
    if (known && !strcmp(known, tag)) {
        nk_status(request, 304);
        return;
    }
    nk_header(request, "Content-Type", "image/svg+xml");
    drawing(request, name);
}

static void page(nk_request *request) {
    char name[NAME_MAX];
    if (nk_query(request, "name", name, sizeof name) <= 0)
        nk_snprintf(name, sizeof name, "nunatak");
    nk_header(request, "Content-Type", "text/html; charset=utf-8");
    nk_printf(request, "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Peaks</title>"
                       "<meta name=\"viewport\" content=\"width=device-width\"><style>%s</style><main><img alt=\"\" src=\"",
              style);
    for (const char *byte = name; *byte; byte++) /* into a URL: every byte percent-encoded */
        nk_printf(request, "%%%02x", (unsigned)(unsigned char)*byte);
    nk_printf(request, ".svg\"><h1>");
    nk_html(request, name);
    nk_printf(request, "</h1><form><input name=\"name\" aria-label=\"A name\" autofocus value=\"");
    nk_html(request, name);
    nk_printf(request, "\"><button>Draw</button></form><p>Every name has a range of its own. The drawing is computed for "
                       "this request, in a virtual machine of its own.</main></html>\n");
}

static int hex(char digit) {
    return digit >= '0' && digit <= '9' ? digit - '0' : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

static void handler(nk_request *request) {
    const char *path = nk_var(request, "PATH_INFO");
    size_t size = strlen(path), used = 0;
    if (size <= 1) {
        page(request);
        return;
    }
    char name[NAME_MAX];
    if (size > 5 && !strcmp(path + size - 4, ".svg")) {
        for (const char *at = path + 1; at < path + size - 4 && used < sizeof name - 1; used++) {
            bool coded = *at == '%' && hex(at[1]) >= 0 && hex(at[2]) >= 0;
            name[used] = coded ? (char)(hex(at[1]) << 4 | hex(at[2])) : *at;
            at += coded ? 3 : 1;
        }
        name[used] = 0;
        picture(request, name);
        return;
    }
    nk_status(request, 404);
    nk_header(request, "Content-Type", "text/plain; charset=utf-8");
    nk_printf(request, "try / or /oslo.svg\n");
}

int main(void) {
    return nk_serve(handler);
}
