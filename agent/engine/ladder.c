/* The default run of a policy whose actions are a list: the next rung only when the last one was
 * done and did not help, or had nothing to do (M14). */
#include <stdio.h>
#include <string.h>
#include "engine/internal.h"

struct script {
    const struct policy *p;
    size_t rung;
    enum { LADDER_START, LADDER_ACTED, LADDER_VERIFIED, LADDER_PAGED } at;
    bool tried; /* a rung was more than an empty plan */
    char text[256];
};

static struct script *ladder_start(void *data, const struct json *target, const struct json *params,
                                   struct err *e)
{
    struct script *s = mem_alloc(sizeof(*s));

    (void)target;
    (void)params;
    (void)e;
    s->p = data;
    return s;
}

static void ask_act(struct script *s, struct ask *out)
{
    s->at = LADDER_ACTED;
    out->kind = ASK_ACT;
    out->name = s->p->actions[s->rung].name;
    out->line = s->p->actions[s->rung].site.line;
}

static void ask_page(struct script *s, struct ask *out, const char *text)
{
    snprintf(s->text, sizeof(s->text), "%s", text);
    s->at = LADDER_PAGED;
    out->kind = ASK_PAGE;
    out->text = s->text;
}

static void next_rung(struct script *s, struct ask *out)
{
    if (++s->rung < s->p->nactions)
        ask_act(s, out);
    else
        ask_page(s, out,
                 s->tried ? "everything on the ladder was tried and the condition still holds"
                          : "nothing on the ladder has anything to do");
}

static void ladder_resume(struct script *s, const struct json *answer, struct ask *out)
{
    bool yes = json_bool(answer, false);

    memset(out, 0, sizeof(*out));
    out->within_ms = -1;
    out->line = s->p->site.line;
    switch (s->at) {
    case LADDER_START:
        ask_act(s, out);
        return;
    case LADDER_ACTED:
        if (strcmp(json_str(answer, ""), "empty") == 0) { /* nothing to do: the next one, at once */
            next_rung(s, out);
            return;
        }
        if (!yes) {
            ask_page(s, out, "the remediation was refused or failed");
            return;
        }
        s->tried = true;
        s->at = LADDER_VERIFIED;
        out->kind = ASK_VERIFY;
        out->name = "cleared";
        return;
    case LADDER_VERIFIED:
        if (yes) {
            out->kind = ASK_END;
            return;
        }
        next_rung(s, out);
        return;
    case LADDER_PAGED:
        out->kind = ASK_END;
        return;
    }
}

static void ladder_free(struct script *s)
{
    mem_free(s);
}

/* data is the policy. The check "cleared" is the run's own: none { when }. */
const struct script_ops ladder_ops = {ladder_start, ladder_resume, ladder_free};
