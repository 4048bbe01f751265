/* A list by source and id; what is over is kept for a while, so that a repetition of what came
 * before it changes nothing. */
#include "plugin/alerts.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/units.h"

#define KEEP_OVER_MS (2 * 3600 * 1000LL)

struct known {
    char *source, *id;
    struct json *labels;
    bool firing;
    int64_t since_ms, heard_ms, ends_ms;
    struct known *next;
};

struct alerts {
    struct known *list;
    size_t n;
};

struct alerts *alerts_new(void)
{
    return mem_alloc(sizeof(struct alerts));
}

static void known_free(struct known *k)
{
    mem_free(k->source);
    mem_free(k->id);
    json_free(k->labels);
    mem_free(k);
}

void alerts_free(struct alerts *a)
{
    if (!a)
        return;
    while (a->list) {
        struct known *k = a->list;
        a->list = k->next;
        known_free(k);
    }
    mem_free(a);
}

static void sweep(struct alerts *a, int64_t now_ms)
{
    for (struct known **at = &a->list; *at;) {
        struct known *k = *at;
        if (!k->firing && now_ms - k->heard_ms > KEEP_OVER_MS) {
            *at = k->next;
            known_free(k);
            a->n--;
        } else {
            at = &k->next;
        }
    }
}

enum alerts_put alerts_put(struct alerts *a, const struct alert *what)
{
    struct known *k;
    bool changed;

    for (k = a->list; k; k = k->next)
        if (strcmp(k->source, what->source) == 0 && strcmp(k->id, what->id) == 0)
            break;
    if (k && what->since_ms < k->since_ms)
        return ALERTS_OLD;
    if (!k) {
        sweep(a, what->heard_ms);
        if (a->n >= ALERTS_MAX)
            return ALERTS_FULL;
        k = mem_alloc(sizeof(*k));
        k->source = mem_strdup(what->source);
        k->id = mem_strdup(what->id);
        k->next = a->list;
        a->list = k;
        a->n++;
    }
    changed = k->firing != what->firing;
    json_free(k->labels);
    k->labels = json_copy(what->labels);
    k->firing = what->firing;
    k->since_ms = what->since_ms;
    k->heard_ms = what->heard_ms;
    k->ends_ms = what->ends_ms;
    return changed ? ALERTS_NEW : ALERTS_SAME;
}

static bool matches(const struct known *k, const char *source, const struct json *match)
{
    if (strcmp(k->source, source) != 0)
        return false;
    for (const struct json *m = json_first(match); m; m = json_next(m)) {
        const char *have = json_get_str(k->labels, json_key(m), NULL);
        if (!have || strcmp(have, json_str(m, "")) != 0)
            return false;
    }
    return true;
}

int alerts_firing(const struct alerts *a, const char *source, const struct json *match,
                  int64_t now_ms, int64_t expires_ms, char *why, size_t size)
{
    const struct known *lost = NULL;
    char spent[UNIT_TEXT];
    int n = 0;

    for (const struct known *k = a->list; k; k = k->next) {
        if (!k->firing || !matches(k, source, match))
            continue;
        if (k->heard_ms && now_ms - k->heard_ms <= expires_ms &&
            (!k->ends_ms || now_ms < k->ends_ms))
            n++;
        else
            lost = k;
    }
    if (n > 0 || !lost)
        return n;
    if (!lost->heard_ms)
        snprintf(why, size, "it fired before the start and was not heard of since");
    else if (lost->ends_ms && now_ms >= lost->ends_ms)
        snprintf(why, size,
                 "its source gave it until a time that is over, and has not said that it ended");
    else
        snprintf(
            why, size, "it fired, and was not heard of for %s",
            unit_format_duration(spent, sizeof(spent), (now_ms - lost->heard_ms) / 1000 * 1000));
    return -1;
}

size_t alerts_count(const struct alerts *a)
{
    return a->n;
}
