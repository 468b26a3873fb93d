/* HTTP's dates in all three forms (RFC 9110 section 5.6.7), as seconds since 1970. */
#include "assets.h"

#define YEAR_MIN 1970
#define DAY_S 86400

static bool number(const char **text, unsigned digits, unsigned *value) {
    *value = 0;
    while (digits--) {
        if (**text < '0' || **text > '9')
            return false;
        *value = *value * 10 + (unsigned)(*(*text)++ - '0');
    }
    return true;
}

static bool word(const char **text, const char *expected) {
    size_t size = strlen(expected);
    if (strncmp(*text, expected, size))
        return false;
    *text += size;
    return true;
}

static bool one_of(const char **text, const char *names, unsigned size, unsigned count, unsigned *place) {
    for (*place = 0; *place < count; ++*place)
        if (!strncmp(*text, names + *place * size, size)) {
            *text += size;
            return true;
        }
    return false;
}

static bool month_of(const char **text, unsigned *month) {
    return one_of(text, "JanFebMarAprMayJunJulAugSepOctNovDec", 3, 12, month);
}

static bool time_of(const char **text, unsigned *seconds) {
    unsigned hour, minute, second;
    if (!number(text, 2, &hour) || !word(text, ":") || !number(text, 2, &minute) || !word(text, ":") ||
        !number(text, 2, &second) || hour > 23 || minute > 59 || second > 60)
        return false;
    *seconds = hour * 3600 + minute * 60 + second;
    return true;
}

static bool is_leap(unsigned year) {
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static uint64_t days_before(unsigned year, unsigned month) {
    static const uint16_t before[12] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    unsigned past = year - 1, first = YEAR_MIN - 1;
    uint64_t leaps = (past / 4 - past / 100 + past / 400) - (first / 4 - first / 100 + first / 400);
    return (uint64_t)(year - YEAR_MIN) * 365 + leaps + before[month] + (month > 1 && is_leap(year));
}

/* Two digits of a year: the nearest one that is not more than 50 years from now (RFC 9110 section 5.6.7). */
static unsigned whole_year(unsigned two) {
    unsigned now = YEAR_MIN + (unsigned)(NK_INFO->wall_ns / 1000000000 / DAY_S / 365), year = now / 100 * 100 + two;
    return year > now + 50 ? year - 100 : year;
}

/* false: it is none, or before 1970. */
bool date_read(const char *text, uint64_t *seconds) {
    static const char short_days[] = "MonTueWedThuFriSatSun";
    static const char *const long_days[] = {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"};
    unsigned place, day = 0, month = 0, year = 0, of_day = 0;
    bool good;
    if (!one_of(&text, short_days, 3, 7, &place))
        return false;
    if (word(&text, ", ")) { /* Sun, 06 Nov 1994 08:49:37 GMT */
        good = number(&text, 2, &day) && word(&text, " ") && month_of(&text, &month) && word(&text, " ") &&
               number(&text, 4, &year) && word(&text, " ") && time_of(&text, &of_day) && word(&text, " GMT");
    } else if (word(&text, " ")) { /* Sun Nov  6 08:49:37 1994 */
        good = month_of(&text, &month) && word(&text, " ") &&
               (word(&text, " ") ? number(&text, 1, &day) : number(&text, 2, &day)) && word(&text, " ") &&
               time_of(&text, &of_day) && word(&text, " ") && number(&text, 4, &year);
    } else { /* Sunday, 06-Nov-94 08:49:37 GMT */
        good = word(&text, long_days[place] + 3) && word(&text, ", ") && number(&text, 2, &day) && word(&text, "-") &&
               month_of(&text, &month) && word(&text, "-") && number(&text, 2, &year) && word(&text, " ") &&
               time_of(&text, &of_day) && word(&text, " GMT");
        year = whole_year(year);
    }
    if (!good || *text || year < YEAR_MIN || !day || day > 31)
        return false;
    *seconds = (days_before(year, month) + day - 1) * DAY_S + of_day;
    return true;
}
