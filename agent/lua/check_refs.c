/* References in the options of conditions and actions: "$target.FIELD" and the others name
 * something, on every target that the policy is for. */
#include <stdio.h>
#include <string.h>
#include "lua/internal.h"
#include "plugin/refs.h"

#define MAX_NAMES 128

struct refs_check {
    struct checker *c;
    struct place at;
    bool in_action; /* else in a condition, which is read without a run */
};

/* Narrows the place to the string that holds the reference, when it is written out after it. */
static void ref_place(const struct checker *c, const char *ref, struct place *at)
{
    for (int n = 0; n < c->ld->h->nsources; n++) {
        const struct scan *s = c->ld->h->sources[n];
        if (!c->ld->names[n] || strcmp(c->ld->names[n], at->file) != 0) {
            continue;
        }
        for (size_t i = 0; i < s->ntokens; i++) {
            const struct token *t = &s->tokens[i];
            const char *hit = t->kind == TOKEN_STRING && t->line >= at->line
                                  ? memmem(s->text + t->body, t->body_len, ref, strlen(ref))
                                  : NULL;
            if (hit && hit > s->text && hit[-1] == '$') {
                at->line = t->line;
                at->column = t->column;
                at->width = (int)t->len;
                return;
            }
        }
    }
}

/* The first target of the estate on which the reference names nothing; NULL: it is good on all. */
static const struct target *unresolved(const struct checker *c, const char *ref, struct err *e)
{
    const struct target *found = NULL, **targets = NULL;
    size_t n = 0;
    char text[256];
    snprintf(text, sizeof text, "$%s", ref);
    struct json *written = json_new_str(text);
    if (c->ld->estate) {
        n = estate_select(c->ld->estate, &c->p->target, &targets);
    }
    for (size_t i = 0; i < n && !found; i++) {
        struct json *v = refs_resolve(written, &(struct refs){.target = targets[i]}, e);
        found = v ? NULL : targets[i];
        json_free(v);
    }
    mem_free(targets);
    json_free(written);
    return found;
}

/* The names that may stand where this one does. */
struct candidates {
    const char *names[MAX_NAMES];
    size_t n;
    const char *word;
};

static bool offer(struct candidates *k, const char *name)
{
    if (k->n < MAX_NAMES) {
        k->names[k->n++] = name;
    }
    return strcmp(name, k->word) == 0;
}

static bool target_has(const struct policy *p, const char *field, struct candidates *k)
{
    static const char *const own[] = {"name", "id", "kind"};
    const struct target_kind *kind = p->target.kind ? target_kind_find(p->target.kind) : NULL;
    bool good = !kind || strncmp(field, "tag.", 4) == 0;
    k->word = field;
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        good = offer(k, own[i]) || good;
    }
    for (size_t i = 0; kind && i < kind->noptions; i++) {
        good = offer(k, kind->options[i].name) || good;
    }
    return good;
}

static bool param_has(const struct checker *c, const char *name, struct candidates *k)
{
    const struct policy *p = c->p;
    const struct json *given = param_value(c->ld, name);
    bool good = false;
    k->word = name;
    if (given) { /* named here only: part of what is stored with the source all the same */
        json_set(c->ld->used, name, json_copy(given));
    }
    for (const struct json *j = json_first(c->ld->used); j; j = json_next(j)) {
        good = offer(k, json_key(j)) || good;
    }
    for (size_t i = 0; !c->before_start && i < p->noptions; i++) {
        good = offer(k, p->options[i].name) || good;
    }
    return good;
}

/* ACTION.OUTPUT; what is not known first is what is suggested for. */
static bool step_has(const struct policy *p, const char *rest, struct candidates *k)
{
    const char *dot = strchr(rest, '.');
    size_t len = dot ? (size_t)(dot - rest) : strlen(rest);
    for (size_t i = 0; i < p->nactions; i++) {
        const struct declared_action *a = &p->actions[i];
        if (!dot || strlen(a->name) != len || memcmp(a->name, rest, len) != 0) {
            continue;
        }
        bool good = false;
        k->n = 0;
        k->word = dot + 1;
        for (size_t n = 0; a->type->outs && a->type->outs[n]; n++) {
            good = offer(k, a->type->outs[n]) || good;
        }
        return good;
    }
    k->word = rest;
    for (size_t i = 0; i < p->nactions; i++) {
        (void)offer(k, p->actions[i].name);
    }
    return false;
}

static void unknown_ref(struct refs_check *r, const char *ref, const struct candidates *k)
{
    char word[80], hint[160];
    snprintf(word, sizeof word, "%.*s", (int)strcspn(k->word, "."), k->word);
    const char *near = closest(word, k->names, k->n);
    ref_place(r->c, ref, &r->at);
    if (near) {
        did_you_mean(hint, sizeof hint, word, k->names, k->n);
        diag_add(r->c->ld->d, "E102", &r->at, "unknown name $%s%s", ref, hint);
    } else {
        diag_add(r->c->ld->d, "E102", &r->at,
                 "unknown name $%s: there are $target.FIELD, $target.tag.KEY, $param.NAME, $run.id "
                 "and $step.ACTION.OUTPUT",
                 ref);
    }
}

static bool check_ref(void *arg, const char *ref)
{
    static const char *const roots[] = {"target", "param", "run", "step"};
    struct refs_check *r = arg;
    struct checker *c = r->c;
    struct place first = r->at;
    struct candidates k = {.word = ref};
    const char *rest = strchr(ref, '.') ? strchr(ref, '.') + 1 : "";
    bool good = false;
    bool of_run = strncmp(ref, "run.", 4) == 0 || strncmp(ref, "step.", 5) == 0;
    if (of_run && !r->in_action) {
        ref_place(c, ref, &r->at);
        diag_add(c->ld->d, "E102", &r->at,
                 "unknown name $%s: a condition is read without a run; it can be used in the "
                 "options of actions",
                 ref);
        r->at = first;
        return true;
    }
    if (strncmp(ref, "target.", 7) == 0) {
        good = target_has(c->p, rest, &k);
    } else if (strncmp(ref, "param.", 6) == 0) {
        good = param_has(c, rest, &k);
    } else if (strncmp(ref, "step.", 5) == 0) {
        good = step_has(c->p, rest, &k);
    } else if (of_run) {
        k.word = rest;
        good = offer(&k, "id");
    } else {
        for (size_t i = 0; i < sizeof roots / sizeof *roots; i++) {
            (void)offer(&k, roots[i]);
        }
    }
    struct err e = ERR_INIT;
    const struct target *t =
        good && strncmp(ref, "target.", 7) == 0 && !c->ld->quiet ? unresolved(c, ref, &e) : NULL;
    if (!good) {
        unknown_ref(r, ref, &k);
    } else if (t) {
        ref_place(c, ref, &r->at);
        diag_add(c->ld->d, "E102", &r->at, "%s (on %s, which this policy is for)", e.text, t->id);
    }
    r->at = first;
    return true;
}

void check_refs(struct checker *c, const struct json *opts, struct place at, bool in_action)
{
    struct refs_check r = {.c = c, .at = at, .in_action = in_action};
    refs_each(opts, check_ref, &r);
}
