/* Timelines held against each other: is a run that was killed the one that was not? */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/units.h"
#include "world/testbed.h"

bool testbed_same_text(const char *then, const char *now, int64_t slack_ms)
{
    while (*then && *now) {
        char x[UNIT_TEXT], y[UNIT_TEXT];
        size_t n = strcspn(then, " ()"), m = strcspn(now, " ()");
        int64_t then_ms, now_ms;
        if (n == m && strncmp(then, now, n + (then[n] != '\0')) == 0) {
            then += n + (then[n] != '\0');
            now += m + (now[m] != '\0');
            continue;
        }
        snprintf(x, sizeof(x), "%.*s", (int)n, then);
        snprintf(y, sizeof(y), "%.*s", (int)m, now);
        if (then[n] != now[m] || unit_parse_duration(x, &then_ms) ||
            unit_parse_duration(y, &now_ms) || now_ms < then_ms || now_ms > then_ms + slack_ms)
            return false;
        then += n + (then[n] != '\0');
        now += m + (now[m] != '\0');
    }
    return *then == *now;
}

/* What the data alone decides, beside what the run does. */
static bool of_episode(const struct testbed_row *r)
{
    return strcmp(r->text, "fire") == 0 || strcmp(r->text, "clear") == 0 ||
           strcmp(r->text, "resolve") == 0;
}

static const struct testbed_row *next_of(const struct testbed_result *r, size_t *k, bool episode)
{
    while (*k < r->nrows && of_episode(&r->rows[*k]) != episode)
        ++*k;
    return *k < r->nrows ? &r->rows[*k] : NULL;
}

static bool same_lane(const struct testbed_result *first, const struct testbed_result *later,
                      bool episode, size_t *late)
{
    const struct testbed_row *a, *b;
    size_t k = 0, n = 0;

    for (; (b = next_of(later, &n, episode)); n++) {
        a = next_of(first, &k, episode);
        if (a && b->at_ms >= a->at_ms && b->at_ms <= a->at_ms + first->slack_ms &&
            testbed_same_text(a->text, b->text, first->slack_ms)) {
            *late += b->at_ms / 1000 > a->at_ms / 1000;
            k++;
        } else if (!b->doubtful) {
            return false;
        }
    }
    return next_of(first, &k, episode) == NULL;
}

bool testbed_same(const struct testbed_result *first, const struct testbed_result *later,
                  size_t *late)
{
    *late = 0;
    return same_lane(first, later, true, late) && same_lane(first, later, false, late);
}

void testbed_free(struct testbed_result *r)
{
    for (size_t k = 0; k < r->nrows; k++) {
        mem_free(r->rows[k].text);
        mem_free(r->rows[k].note);
    }
    mem_free(r->rows);
    mem_free(r->broken);
    mem_free(r->read);
    mem_free(r->commits);
    json_free(r->explains);
    memset(r, 0, sizeof(*r));
}
