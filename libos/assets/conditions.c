/* Conditions of a request, in the order of RFC 9110 section 13.2.2. */
#include "assets.h"

/* Whether a list of entity tags names this one. Weakly: `W/` before one in the list does not matter. What else stands
 * in the list is passed over, as edges do where they answer from what they keep. */
static bool lists(const char *list, const char *tag, bool weakly) {
    size_t size = strlen(tag);
    for (const char *from = list; (from = strchr(from, '"')); from++) {
        const char *end = strchr(from + 1, '"');
        if (!end)
            return false;
        bool weak = from - list >= 2 && from[-2] == 'W' && from[-1] == '/';
        if ((weakly || !weak) && (size_t)(end + 1 - from) == size && !memcmp(from, tag, size))
            return true;
        from = end;
    }
    return false;
}

static const char *past_blanks(const char *text) {
    while (*text == ' ' || *text == '\t')
        text++;
    return text;
}

static bool is_any(const char *list) {
    list = past_blanks(list);
    return *list == '*' && !*past_blanks(list + 1);
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
