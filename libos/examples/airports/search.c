/*
 * The index is made once, when the image is built, and every machine wakes up with it: airports by the first three
 * letters of each of their words, sorted by counting. A query takes its rarest word's candidates and checks the rest.
 */
#include "search.h"

#define LETTERS 37 /* none, a to z, 0 to 9 */
#define KEY_LETTERS 3
#define KEYS (LETTERS * LETTERS * LETTERS)
#define WORDS 8
#define WORD_SIZE 24

extern const uint32_t airports_offsets[], airports_count; /* prepare.py made these */
extern const char airports_text[];
extern const unsigned char airports_fold[];
#define FOLD_FIRST 0xC0
#define FOLD_END 0x1F00

static uint32_t bucket[KEYS + 1]; /* where a key's airports begin in `members` */
static uint16_t *members;

unsigned search_size(void) {
    return airports_count;
}

void search_fields(unsigned airport, const char *fields[FIELDS]) {
    const char *at = airports_text + airports_offsets[airport];
    for (unsigned field = 0; field < FIELDS; field++) {
        fields[field] = at;
        at += strlen(at) + 1;
    }
}

/* A table, for this is where a search spends its time. Past ASCII, 1: read on. */
static unsigned char letters[256];

static void fill_letters(void) {
    for (unsigned c = 0; c < 256; c++) {
        bool is_upper = c >= 'A' && c <= 'Z', is_lower = c >= 'a' && c <= 'z', is_digit = c >= '0' && c <= '9';
        letters[c] = (unsigned char)(is_lower || is_digit ? c : is_upper ? c | 0x20 : c >= 0xC0);
    }
}

/* The next character as a lower-case letter or digit; 0 for anything between words. Moves *text on. */
static inline char next_letter(const char **text) {
    unsigned char c = (unsigned char)*(*text)++;
    if (letters[c] != 1)
        return (char)letters[c];
    unsigned code = c & (c >= 0xE0 ? 0x0F : 0x1F); /* UTF-8, RFC 3629 section 3 */
    while ((**text & 0xC0) == 0x80)
        code = code << 6 | (*(*text)++ & 0x3F);
    return code >= FOLD_FIRST && code < FOLD_END ? (char)airports_fold[code - FOLD_FIRST] : 0;
}

/* The next word of a text, folded and cut to WORD_SIZE; its length, 0 at the end. */
static unsigned next_word(const char **text, char word[WORD_SIZE]) {
    unsigned length = 0;
    while (**text) {
        char c = next_letter(text);
        if (c && length < WORD_SIZE - 1)
            word[length++] = c;
        else if (!c && length)
            break;
    }
    word[length] = 0;
    return length;
}

static unsigned rank(char letter) {
    return !letter ? 0 : letter <= '9' ? (unsigned)(letter - '0') + 27 : (unsigned)(letter - 'a') + 1;
}

/* The first three letters as a number; *width is how many keys begin with the word, more than one if it is shorter. */
static unsigned key_of(const char *word, unsigned *width) {
    unsigned key = 0;
    *width = 1;
    for (unsigned i = 0; i < KEY_LETTERS; i++) {
        key = key * LETTERS + rank(*word);
        if (*word)
            word++;
        else
            *width *= LETTERS;
    }
    return key;
}

/* Calls for every word of every airport: once to count, once to place. */
static void each_word(void (*visit)(unsigned key, unsigned airport)) {
    for (unsigned airport = 0; airport < airports_count; airport++) {
        const char *at = airports_text + airports_offsets[airport];
        char word[WORD_SIZE];
        unsigned width;
        for (unsigned field = 0; field <= REGION; field++, at++)
            while (next_word(&at, word))
                visit(key_of(word, &width), airport);
    }
}

static void count(unsigned key, unsigned airport) {
    (void)airport;
    bucket[key]++;
}

static void place(unsigned key, unsigned airport) {
    members[--bucket[key]] = (uint16_t)airport;
}

void search_index(void) {
    fill_letters();
    each_word(count);
    uint32_t end = 0;
    for (unsigned key = 0; key <= KEYS; key++)
        end = bucket[key] += end;
    members = nk_malloc(end * sizeof *members);
    if (!members)
        nk_exit(NK_EXIT_NO_MEMORY);
    each_word(place);
    nk_log("%u airports, %u words indexed", airports_count, end);
}

static bool begins(const char *text, const char *prefix) {
    while (*prefix && *text == *prefix)
        text++, prefix++;
    return !*prefix;
}

/* How well an airport fits all the words; 0 when it does not. */
static unsigned fitness(unsigned airport, char words[][WORD_SIZE], unsigned count) {
    const char *at = airports_text + airports_offsets[airport];
    char word[WORD_SIZE];
    unsigned found = 0, points = 1;
    for (unsigned field = 0; field <= REGION; field++, at++) {
        if (field == IATA && *at)
            points += 16; /* scheduled flights */
        while (next_word(&at, word)) {
            for (unsigned i = 0; i < count; i++) {
                if (!begins(word, words[i]))
                    continue;
                bool whole = !strcmp(word, words[i]);
                found |= 1u << i;
                points += field == CITY ? 4 + 4 * whole : 1 + whole;
                points += field <= IATA && whole ? 100 : 0;
            }
        }
    }
    return found == (1u << count) - 1 ? points : 0;
}

static void enter(struct answer *answer, unsigned airport, unsigned points) {
    answer->count++;
    unsigned at = answer->shown < BEST ? answer->shown++ : BEST;
    while (at > 0 && answer->fitness[at - 1] < points) {
        if (at < BEST) {
            answer->fitness[at] = answer->fitness[at - 1];
            answer->best[at] = answer->best[at - 1];
        }
        at--;
    }
    if (at < BEST) {
        answer->fitness[at] = points;
        answer->best[at] = (uint16_t)airport;
    }
}

void search(const char *query, struct answer *answer) {
    char words[WORDS][WORD_SIZE];
    unsigned count = 0, from = 0, to = 0;
    answer->count = answer->shown = 0;
    while (count < WORDS && next_word(&query, words[count])) {
        unsigned width, key = key_of(words[count], &width);
        if (!count++ || bucket[key + width] - bucket[key] < to - from) {
            from = bucket[key];
            to = bucket[key + width];
        }
    }
    static uint32_t seen[65536 / 32]; /* an airport has several words; cleared below, this runs without waiting */
    for (unsigned i = from; i < to; i++) {
        unsigned airport = members[i], bit = 1u << airport % 32;
        unsigned points = seen[airport / 32] & bit ? 0 : fitness(airport, words, count);
        seen[airport / 32] |= bit;
        if (points)
            enter(answer, airport, points);
    }
    for (unsigned i = from; i < to; i++)
        seen[members[i] / 32] = 0;
}
