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

static void as_page(nk_request *request, const char *query, const struct answer *answer) {
    nk_header(request, "Content-Type", "text/html; charset=utf-8");
    nk_printf(request, "<!doctype html>\n<meta charset=\"utf-8\"><title>Airports</title>\n"
                       "<style>body{font:16px sans-serif;margin:2em}td,th{padding-right:1em;text-align:left}</style>\n"
                       "<h1>Airports</h1>\n<form><input name=\"q\" autofocus value=\"");
    nk_html(request, query);
    nk_printf(request, "\"> <button>Search</button></form>\n");
    if (*query)
        nk_printf(request, "<p>%u of %u airports\n", answer->count, search_size());
    else
        nk_printf(request, "<p>%u airports: a code, or beginnings of words of name, city or region\n", search_size());
    if (answer->shown)
        nk_printf(request, "<table><tr><th>IATA<th>ICAO<th>Name<th>City<th>Region<th>Country\n");
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
        nk_printf(request, "</table>\n");
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
