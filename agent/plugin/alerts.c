/* A table by source and id; what is over is kept for a while, so that a repetition of what came
 * before it changes nothing. */
#include "plugin/alerts.h"

#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/units.h"

#define KEEP_OVER_MS (2 * 3600 * 1000LL)
#define SWEEP_MS (60 * 1000LL)

struct known {
    char *key, *source;
    struct json *labels;
    bool firing;
    int64_t since_ms, heard_ms, ends_ms;
    struct known *next;
};

struct alerts {
    struct known *list;
    struct map *by_key;
    int64_t swept_ms;
};

struct alerts *alerts_new(void)
{
    struct alerts *a = mem_alloc(sizeof(*a));

    a->by_key = map_new();
    return a;
}

static void known_free(struct known *k)
{
    mem_free(k->key);
    mem_free(k->source);
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
    map_free(a->by_key);
    mem_free(a);
}

/* Not at each alert: a message may bring thousands. */
static void sweep(struct alerts *a, int64_t now_ms)
{
    if (map_len(a->by_key) < ALERTS_MAX && now_ms >= a->swept_ms && now_ms < a->swept_ms + SWEEP_MS)
        return;
    a->swept_ms = now_ms;
    for (struct known **at = &a->list; *at;) {
        struct known *k = *at;
        if (!k->firing && now_ms - k->heard_ms > KEEP_OVER_MS) {
            *at = k->next;
            (void)map_remove(a->by_key, k->key);
            known_free(k);
        } else {
            at = &k->next;
        }
    }
}

enum alerts_put alerts_put(struct alerts *a, const struct alert *what)
{
    char *key = mem_printf("%s/%s", what->source, what->id);
    struct known *k = map_get(a->by_key, key);
    bool changed;

    if (k) {
        mem_free(key);
        if (what->since_ms < k->since_ms)
            return ALERTS_OLD;
    } else {
        sweep(a, what->heard_ms);
        if (map_len(a->by_key) >= ALERTS_MAX) {
            mem_free(key);
            return ALERTS_FULL;
        }
        k = mem_alloc(sizeof(*k));
        k->key = key;
        k->source = mem_strdup(what->source);
        k->next = a->list;
        a->list = k;
        map_put(a->by_key, k->key, k);
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
    return map_len(a->by_key);
}
