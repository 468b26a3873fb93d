/* Conditions of a request, in the order of RFC 9110 section 13.2.2. */
#include "assets.h"

static const char *past_separators(const char *text) {
    while (*text == ',' || *text == ' ' || *text == '\t')
        text++;
    return text;
}

/* Whether a list of entity tags names this one. Weakly: `W/` before one in the list does not matter. */
static bool lists(const char *list, const char *tag, bool weakly) {
    size_t size = strlen(tag);
    for (list = past_separators(list); *list; list = past_separators(list)) {
        bool weak = list[0] == 'W' && list[1] == '/';
        list += weak ? 2 : 0;
        if (*list != '"')
            return false; /* no list of them: what follows means nothing */
        const char *end = list + 1 + span_until(list + 1, '"');
        if (*end != '"')
            return false;
        if ((weakly || !weak) && (size_t)(end + 1 - list) == size && !memcmp(list, tag, size))
            return true;
        list = end + 1;
    }
    return false;
}

static bool is_any(const char *list) {
    list = past_separators(list);
    return *list == '*' && !*past_separators(list + 1);
}

enum verdict conditions_verdict(const struct conditions *of, const char *tag, uint64_t modified_s) {
    uint64_t seconds;
    if (of->if_match) {
        if (!is_any(of->if_match) && !lists(of->if_match, tag, false))
            return VERDICT_FAILED;
    } else if (of->if_unmodified_since && date_read(of->if_unmodified_since, &seconds) && modified_s > seconds) {
        return VERDICT_FAILED;
    }
    if (of->if_none_match)
        return is_any(of->if_none_match) || lists(of->if_none_match, tag, true) ? VERDICT_NOT_MODIFIED : VERDICT_ANSWER;
    if (of->if_modified_since && date_read(of->if_modified_since, &seconds) && modified_s <= seconds)
        return VERDICT_NOT_MODIFIED;
    return VERDICT_ANSWER;
}

/* Whether a range is of what the client has: its strong entity tag, or the very same date (RFC 9110 section 13.1.5). */
bool conditions_same(const struct conditions *of, const char *tag, const char *modified) {
    return !of->if_range || !strcmp(of->if_range, *of->if_range == '"' ? tag : modified);
}
