/* "Did you mean": the name in a table that a mistyped word is nearest to. */
#include "plugin/action.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define WORD_MAX 64

static int lower(char c)
{
    return tolower((unsigned char)c);
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned m = a < b ? a : b;

    return m < c ? m : c;
}

/* Insertions, deletions, replacements and swaps of two neighbours, without regard to case. Both
 * words are shorter than WORD_MAX. */
static unsigned distance(const char *a, size_t la, const char *b, size_t lb)
{
    unsigned rows[3][WORD_MAX + 1];
    unsigned *before = rows[0], *above = rows[1], *row = rows[2];

    for (size_t j = 0; j <= lb; j++)
        above[j] = (unsigned)j;
    for (size_t i = 1; i <= la; i++) {
        unsigned *spare;

        row[0] = (unsigned)i;
        for (size_t j = 1; j <= lb; j++) {
            unsigned cost = lower(a[i - 1]) == lower(b[j - 1]) ? 0 : 1;

            row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + cost);
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
                lower(a[i - 2]) == lower(b[j - 1]) && before[j - 2] + 1 < row[j])
                row[j] = before[j - 2] + 1;
        }
        spare = before;
        before = above;
        above = row;
        row = spare;
    }
    return above[lb];
}

const char *closest(const char *word, const char *const *names, size_t n)
{
    size_t len = word != NULL ? strlen(word) : 0;
    const char *best = NULL;
    unsigned limit, least;

    if (len == 0 || len >= WORD_MAX)
        return NULL;
    /* One slip in a short word, two in a longer one, three in a long one: more than that is another
     * word. */
    limit = len <= 3 ? 1 : len <= 6 ? 2 : 3;
    least = limit + 1;
    for (size_t i = 0; i < n; i++) {
        size_t l = names[i] != NULL ? strlen(names[i]) : 0;
        unsigned d;

        if (l == 0 || l >= WORD_MAX || l > len + limit || len > l + limit)
            continue;
        d = distance(word, len, names[i], l);
        if (d < least && d < l) {
            least = d;
            best = names[i];
        }
    }
    if (best != NULL || len < 3)
        return best;
    /* Cut short ("pg_conn"): the shortest name that goes on from there. */
    for (size_t i = 0; i < n; i++) {
        if (names[i] != NULL && strncasecmp(names[i], word, len) == 0 &&
            (best == NULL || strlen(names[i]) < strlen(best)))
            best = names[i];
    }
    if (best != NULL)
        return best;
    /* Written out ("maximum"): the longest name that it begins with. */
    for (size_t i = 0, most = 2; i < n; i++) {
        size_t l = names[i] != NULL ? strlen(names[i]) : 0;

        if (l > most && l < len && strncasecmp(names[i], word, l) == 0) {
            most = l;
            best = names[i];
        }
    }
    return best;
}
