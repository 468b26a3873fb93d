/* GET /?q=oslo searches the world's airports by code or name; JSON, or a page for people (Accept or format=html). */
#include "search.h"

static const char *const names[FIELDS] = {"icao",    "iata",         "name", "city", "region",
                                          "country", "elevation_ft", "lat",  "lon",  "tz"};

static void as_json(nk_request *request, const char *query, const struct answer *answer) {
    nk_header(request, "Content-Type", "application/json");
    nk_printf(request, "{\"query\": ");
    nk_json(request, query);
    nk_printf(request, ", \"count\": %u, \"airports\": [", answer->count);
    for (unsigned i = 0; i < answer->shown; i++) {
        const char *fields[FIELDS];
        search_fields(answer->best[i], fields);
        for (unsigned field = 0; field < FIELDS; field++) {
            nk_printf(request, "%s\"%s\": ", field ? ", " : i ? ",\n {" : "\n {", names[field]);
            if (field >= ELEVATION_FT && field <= LONGITUDE)
                nk_printf(request, "%s", fields[field]);
            else
                nk_json(request, fields[field]);
        }
        nk_printf(request, "}");
    }
    nk_printf(request, "]}\n");
}

static const char style[] =
    ":root{color-scheme:light dark;--ink:#102a43;--dim:#627d98;--line:#d9e2ec;--back:#f4f8fb;--sea:#0b6e99}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6eef5;--dim:#9fb3c8;--line:#26384a;--back:#0f1c28;--sea:#63c5ea}}"
    "body{margin:0;background:var(--back);color:var(--ink);font:16px/1.5 system-ui,sans-serif}"
    "main{max-width:64rem;margin:auto;padding:3rem 1.25rem}h1{margin:0 0 1rem;font-size:1.75rem}"
    "form{display:flex;gap:.5rem}input,button{font:inherit;border-radius:8px;padding:.5rem .9rem}"
    "input{flex:1;min-width:0;border:1px solid var(--line);background:transparent;color:inherit}"
    "button{border:0;background:var(--sea);color:var(--back)}p{color:var(--dim)}a{color:var(--sea)}"
    ".wide{overflow-x:auto}table{border-collapse:collapse;width:100%}td,th{padding:.45rem .9rem .45rem 0;"
    "border-bottom:1px solid var(--line);text-align:left}th{color:var(--dim);font-weight:500}td:first-child{font-weight:600}";

static void as_page(nk_request *request, const char *query, const struct answer *answer) {
    nk_header(request, "Content-Type", "text/html; charset=utf-8");
    nk_printf(request,
              "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Airports</title><meta name=\"viewport\" "
              "content=\"width=device-width\"><style>%s</style>\n<main><h1>Airports</h1>\n<form><input name=\"q\" "
              "aria-label=\"Search\" autofocus value=\"",
              style);
    nk_html(request, query);
    nk_printf(request, "\"><button>Search</button></form>\n");
    if (*query)
        nk_printf(request, "<p>%u of %u airports%s\n", answer->count, search_size(),
                  answer->count > answer->shown ? "; the best are shown" : "");
    else
        nk_printf(request,
                  "<p>%u airports: a code, or beginnings of words of name, city or region. Try <a href=\"?q=KEF\">KEF</a>, "
                  "<a href=\"?q=san+fran\">san fran</a>, <a href=\"?q=tromso\">tromso</a>\n",
                  search_size());
    if (answer->shown)
        nk_printf(request, "<div class=\"wide\"><table><tr><th>IATA<th>ICAO<th>Name<th>City<th>Region<th>Country\n");
    static const unsigned char columns[] = {IATA, ICAO, NAME, CITY, REGION, COUNTRY};
    for (unsigned i = 0; i < answer->shown; i++) {
        const char *fields[FIELDS];
        search_fields(answer->best[i], fields);
        nk_printf(request, "<tr>");
        for (unsigned column = 0; column < sizeof columns; column++) {
            nk_printf(request, "<td>");
            nk_html(request, fields[columns[column]]);
        }
        nk_printf(request, "\n");
    }
    if (answer->shown)
        nk_printf(request, "</table></div>\n");
    nk_printf(request, "</main></html>\n");
}

/* `format=` decides, else whether the client speaks of HTML at all. */
static bool wants_page(nk_request *request) {
    char format[8];
    if (nk_query(request, "format", format, sizeof format) >= 0)
        return !strcmp(format, "html");
    const char *accept = nk_var(request, "HTTP_ACCEPT");
    for (; accept && *accept; accept++)
        if (!strncmp(accept, "text/html", 9))
            return true;
    return false;
}

static void page(nk_request *request) {
    struct answer answer;
    char query[200];
    const char *path = nk_var(request, "PATH_INFO");
    if (path && *path && strcmp(path, "/")) {
        nk_status(request, 404);
        nk_header(request, "Content-Type", "text/plain; charset=utf-8");
        nk_printf(request, "try /?q=oslo\n");
        return;
    }
    if (nk_query(request, "q", query, sizeof query) < 0)
        query[0] = 0;
    search(query, &answer);
    nk_header(request, "Vary", "Accept");
    if (wants_page(request))
        as_page(request, query, &answer);
    else
        as_json(request, query, &answer);
}

int main(void) {
    search_index();
    return nk_serve(page);
}
