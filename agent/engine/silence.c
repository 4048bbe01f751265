/* Silences: what operators keep quiet for a while. One that is over leaves the list and is closed
 * in the journal. */
#include <stdio.h>
#include <string.h>
#include "engine/internal.h"

static void drop(struct silence *s)
{
    mem_free(s->policy);
    mem_free(s->target);
    mem_free(s->by);
    mem_free(s->reason);
}

static void close_row(struct jtx *tx, const struct silence *s, const char *ended_by)
{
    struct json *d = silence_doc(s);

    json_set_str(d, "ended_by", ended_by);
    jtx_put(tx, "silence", s->id, d, false);
}

/* In the order in which they were given. */
static void take_out(struct engine *e, size_t k)
{
    drop(&e->silences[k]);
    memmove(&e->silences[k], &e->silences[k + 1], (e->nsilences - k - 1) * sizeof(e->silences[0]));
    e->nsilences--;
}

struct silence *silence_add(struct engine *e, const char *id, const struct json *doc)
{
    struct silence *s;

    e->silences = mem_realloc(e->silences, (e->nsilences + 1) * sizeof(*e->silences));
    s = &e->silences[e->nsilences++];
    memset(s, 0, sizeof(*s));
    snprintf(s->id, ID_LEN, "%s", id);
    s->policy = mem_strdup(json_get_str(doc, "policy", NULL));
    s->target = mem_strdup(json_get_str(doc, "target", NULL));
    s->by = mem_strdup(json_get_str(doc, "by", "?"));
    s->reason = mem_strdup(json_get_str(doc, "reason", ""));
    s->until_ms = json_get_int(doc, "until_ms", 0);
    return s;
}

struct json *silence_doc(const struct silence *s)
{
    struct json *d = json_new_map();

    json_set_str(d, "policy", s->policy);
    json_set_str(d, "target", s->target);
    json_set_str(d, "by", s->by);
    json_set_str(d, "reason", s->reason);
    json_set_int(d, "until_ms", s->until_ms);
    return d;
}

bool silence_end(struct engine *e, struct jtx *tx, const char *id, const char *by)
{
    for (size_t k = 0; k < e->nsilences; k++)
        if (strcmp(e->silences[k].id, id) == 0 && e->silences[k].until_ms > now(e)) {
            e->silences[k].until_ms = now(e);
            close_row(tx, &e->silences[k], by);
            take_out(e, k);
            return true;
        }
    return false;
}

void silence_sweep(struct engine *e)
{
    struct jtx *tx = NULL;

    for (size_t k = 0; k < e->nsilences;) {
        if (e->silences[k].until_ms > now(e)) {
            k++;
            continue;
        }
        tx = tx ? tx : commit_new(e);
        close_row(tx, &e->silences[k], NULL);
        take_out(e, k);
    }
    if (tx)
        commit_owed(e, tx, NULL, NULL);
}

void silence_free(struct engine *e)
{
    for (size_t k = 0; k < e->nsilences; k++)
        drop(&e->silences[k]);
    mem_free(e->silences);
}
