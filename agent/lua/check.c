/* What the parts of a policy say together: periods against deadlines, names in run, kinds of
 * targets; and policies against each other. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/units.h"
#include "lua/internal.h"

/* Whether a word is in a space-separated list; "any" and an empty list take all. */
bool check_listed(const char *list, const char *word)
{
    size_t n = strlen(word);
    if (!list || !*list || strcmp(list, "any") == 0) {
        return true;
    }
    for (const char *s = list; *s; s += strcspn(s, " "), s += strspn(s, " ")) {
        size_t k = strcspn(s, " ");
        if ((k == n && memcmp(s, word, n) == 0) || (k == 3 && memcmp(s, "any", 3) == 0)) {
            return true;
        }
    }
    return false;
}

/* What a policy selects of what is declared. */
struct chosen {
    const struct target **targets;
    size_t n;
};

static int64_t leaf_interval(const struct cond *c, const struct chosen *of)
{
    int64_t most = 0;
    for (size_t i = 0; i < of->n; i++) {
        int64_t ms = signal_interval_ms(c->signal, of->targets[i], c->opts);
        most = ms > most ? ms : most;
    }
    return most ? most : signal_interval_ms(c->signal, NULL, c->opts);
}

static int64_t leaf_lag(const struct cond *c, const struct chosen *of)
{
    int64_t most = -1;
    for (size_t i = 0; i < of->n; i++) {
        int64_t ms = signal_lag_of(c->signal, of->targets[i], c->opts);
        most = ms > most ? ms : most;
    }
    return most >= 0 ? most : signal_lag_of(c->signal, NULL, c->opts);
}

/* The longest time until the condition can have a verdict: 2 periods + lag + lasting (M15). */
static int64_t slowest(const struct cond *c, const struct chosen *of)
{
    if (c->kind == COND_LEAF) {
        return 2 * leaf_interval(c, of) + leaf_lag(c, of) + c->lasting_ms;
    }
    int64_t most = 0;
    for (size_t i = 0; i < c->nkids; i++) {
        int64_t ms = slowest(c->kids[i], of);
        most = ms > most ? ms : most;
    }
    return most;
}

/* Of the field, wherever it was written. */
static struct place field_place(struct checker *c, const char *name)
{
    int top = lua_gettop(c->L);
    lua_pushstring(c->L, name);
    bool own = lua_rawget(c->L, c->table) != LUA_TNIL;
    lua_pushstring(c->L, name);
    bool inherited = !own && lua_rawget(c->L, c->defaults) != LUA_TNIL;
    lua_settop(c->L, top);
    return place_value(c->L, inherited ? c->defaults : c->table, name, 0);
}

/* ---- conditions: kinds of targets, references, data ---- */

/* E108: with points further apart than `over` there is none to compare with, and it is unknown for
 * ever. */
static void check_over(const struct checker *c, const struct cond *cond, const struct signal *of,
                       const struct place *at)
{
    struct chosen chosen = {0};
    char a[UNIT_TEXT], b[UNIT_TEXT];
    if (c->ld->quiet && !c->ld->estate) { /* a run: it was judged by the estate at the load */
        return;
    }
    if (c->ld->estate) {
        chosen.n = estate_select(c->ld->estate, &c->p->target, &chosen.targets);
    }
    int64_t over_ms = json_get_int(cond->opts, "over", 0), every_ms = leaf_interval(cond, &chosen);
    mem_free(chosen.targets);
    if (over_ms < every_ms) {
        diag_add(c->ld->d, "E108", at,
                 "over is %s, but sig.%s has a point every %s: write over = \"%s\" or more",
                 unit_format_duration(a, sizeof a, over_ms), of->name,
                 unit_format_duration(b, sizeof b, every_ms), b);
    }
}

static void check_cond(struct checker *c, const struct cond *cond)
{
    if (!cond) {
        return;
    }
    for (size_t i = 0; i < cond->nkids; i++) {
        check_cond(c, cond->kids[i]);
    }
    if (cond->kind != COND_LEAF) {
        return;
    }
    char what[80];
    snprintf(what, sizeof what, "sig.%s", cond->signal->name);
    struct place at = place_site(c->ld, &cond->site, what);
    const struct signal *parts[1 + SIGNAL_PARTS] = {cond->signal};
    const struct json *part_opts[SIGNAL_PARTS];
    size_t n = 1 + signal_parts(cond->signal, cond->opts, parts + 1, part_opts);
    for (size_t i = 0; i < n; i++) {
        if (c->p->target.kind && !check_listed(parts[i]->targets, c->p->target.kind)) {
            diag_add(c->ld->d, "E107", &at, "sig.%s is read from %s; this policy is for %s",
                     parts[i]->name, parts[i]->targets, c->p->target.kind);
        } else {
            check_source(c, cond, parts[i], i ? part_opts[i - 1] : cond->opts);
        }
    }
    if (cond->signal->derive == DERIVE_CHANGE && n == 2) {
        check_over(c, cond, parts[1], &at);
    }
    check_refs(c, cond->opts, at, false);
}

/* E108 (M2): silence must not act, resolve, open a window or spare an approval. */
static void check_silent(struct checker *c, const char *field, const struct cond *cond)
{
    if (cond && cond_true_without_data(cond)) {
        struct place at = field_place(c, field);
        diag_add(c->ld->d, "E108", &at,
                 "%s could be true without data, by its missing = ...: nothing may act on silence",
                 field);
    }
}

static void check_when(struct checker *c)
{
    const struct policy *p = c->p;
    check_silent(c, "when", p->when);
    if (!p->clear_of_when) { /* else it is over at two points, and silence has none */
        check_silent(c, "clear", p->clear);
    }
    check_silent(c, "window", p->window);
    c->before_start = true;
    check_cond(c, p->when);
    if (!p->clear_of_when) {
        check_cond(c, p->clear);
    }
    check_cond(c, p->window);
    c->before_start = false;
    for (size_t i = 0; i < p->nchecks; i++) {
        check_cond(c, p->checks[i].cond);
        if (cond_true_without_data(p->checks[i].cond)) {
            struct place at = place_site(c->ld, &p->checks[i].cond->site, p->checks[i].name);
            diag_add(c->ld->d, "E108", &at,
                     "check \"%s\" could be true without data, by its missing = ...",
                     p->checks[i].name);
        }
    }
}

/* E111: an option that names an action of this policy names one that gives what is wanted of it. */
static void check_steps(struct checker *c, const struct declared_action *a, const struct place *at)
{
    const struct policy *p = c->p;
    for (size_t k = 0; k < a->type->noptions; k++) {
        const struct option *o = &a->type->options[k];
        const char *name = o->type == OPT_STEP ? json_get_str(a->opts, o->name, NULL) : NULL;
        bool good = !name;
        for (size_t i = 0; !good && i < p->nactions; i++) {
            const struct declared_action *other = &p->actions[i];
            for (size_t n = 0; other != a && other->type->outs && other->type->outs[n]; n++) {
                good = good || (strcmp(other->name, name) == 0 &&
                                strcmp(other->type->outs[n], o->words) == 0);
            }
        }
        if (!good) {
            diag_add(c->ld->d, "E111", at,
                     "%s = \"%s\": this policy has no other action \"%s\" that gives %s", o->name,
                     name, name, o->words);
        }
    }
}

static void check_actions(struct checker *c)
{
    const struct policy *p = c->p;
    for (size_t i = 0; i < p->nactions; i++) {
        const struct declared_action *a = &p->actions[i];
        char what[80];
        snprintf(what, sizeof what, "act.%s", a->type->name);
        struct place at = place_site(c->ld, &a->site, what);
        if (p->target.kind && !check_listed(a->type->targets, p->target.kind)) {
            diag_add(c->ld->d, "E107", &at, "%s acts on %s; this policy is for %s", what,
                     a->type->targets, p->target.kind);
        }
        c->before_start = true;
        check_cond(c, a->approval_unless);
        check_cond(c, a->reads);
        c->before_start = false;
        if (a->approval_unless && cond_true_without_data(a->approval_unless)) {
            struct place there = place_site(c->ld, &a->approval_unless->site, "");
            diag_add(c->ld->d, "E108", &there,
                     "approval_unless of %s could be true without data, by its missing = ...: "
                     "silence spares no approval",
                     what);
        }
        check_refs(c, a->opts, at, true);
        check_steps(c, a, &at);
    }
}

/* ---- run: names of steps, time for verifies, W204 ---- */

void check_within(struct diags *d, const struct place *at, const char *what, const struct policy *p,
                  const struct cond *cond, int64_t within_ms, const struct estate *estate)
{
    struct chosen of = {NULL, 0};
    if (estate) {
        of.n = estate_select(estate, &p->target, &of.targets);
    }
    int64_t need = slowest(cond, &of);
    mem_free(of.targets);
    char a[40], b[40];
    if (within_ms >= 0 && need > within_ms) {
        diag_add(d, "E108", at,
                 "%s is too short: the condition needs %s (2 periods + lag + lasting), got %s",
                 what, unit_format_duration(a, sizeof a, need),
                 unit_format_duration(b, sizeof b, within_ms));
    }
}

static void too_short(struct checker *c, const struct place *at, const char *what,
                      const struct cond *cond, int64_t within_ms)
{
    if (!c->ld->quiet || c->ld->estate) { /* else a run: it was judged by the estate at the load */
        check_within(c->ld->d, at, what, c->p, cond, within_ms, c->ld->estate);
    }
}

/* A leaf of the check turns over at the very threshold of `when`, without a duration: it can flap,
 * unless that leaf of `when` has a `clear`, at a distance. */
static const struct cond *flapping(const struct cond *when, const struct cond *check)
{
    const struct cond *found = NULL;
    for (size_t i = 0; i < check->nkids && !found; i++) {
        found = flapping(when, check->kids[i]);
    }
    if (check->kind != COND_LEAF || found) {
        return found;
    }
    if (when->kind != COND_LEAF) {
        for (size_t i = 0; i < when->nkids && !found; i++) {
            found = flapping(when->kids[i], check);
        }
        return found;
    }
    bool up = when->cmp == CMP_ABOVE || when->cmp == CMP_AT_LEAST,
         down = check->cmp == CMP_BELOW || check->cmp == CMP_AT_MOST;
    bool low = when->cmp == CMP_BELOW || when->cmp == CMP_AT_MOST,
         high = check->cmp == CMP_ABOVE || check->cmp == CMP_AT_LEAST;
    bool meet = (up && down && check->threshold >= when->threshold) ||
                (low && high && check->threshold <= when->threshold);
    return meet && !when->clear_site.file && when->signal == check->signal &&
                   check->lasting_ms == 0 && json_equal(when->opts, check->opts)
               ? check
               : NULL;
}

static void check_step(struct checker *c, const struct scan_step *s)
{
    const struct policy *p = c->p;
    const char *text = c->scan->text;
    const struct token *m = &c->scan->tokens[s->method], *t = &c->scan->tokens[s->text];
    char name[80], hint[160];
    snprintf(name, sizeof name, "%.*s", (int)t->body_len, text + t->body);
    struct place at = place_token(c->ld, c->source, s->text);
    if (token_is(text, m, "act") || token_is(text, m, "undo")) {
        const struct declared_action *a = policy_action(p, name);
        if (!a) {
            hint_action(hint, sizeof hint, p, name);
            diag_add(c->ld->d, "E111", &at, "there is no action \"%s\" in policy \"%s\"%s", name,
                     p->name, hint);
        } else if (token_is(text, m, "undo") && !a->type->undo) {
            diag_add(c->ld->d, "E112", &at, "\"%s\" cannot be undone: act.%s has no undo", name,
                     a->type->name);
        }
        return;
    }
    bool verify = token_is(text, m, "verify");
    if (!verify && !token_is(text, m, "wait") && !token_is(text, m, "holds")) {
        return;
    }
    const struct declared_check *check = policy_check(p, name);
    if (!check) {
        hint_check(hint, sizeof hint, p, name);
        diag_add(c->ld->d, "E111", &at, "there is no check \"%s\" in policy \"%s\"%s", name,
                 p->name, hint);
    } else if (verify) {
        const struct cond *flaps =
            p->when && p->when != check->cond ? flapping(p->when, check->cond) : NULL;
        int64_t within = s->more ? -1 : p->verify_within_ms;
        if (s->within) {
            char written[40];
            const struct token *w = &c->scan->tokens[s->within];
            snprintf(written, sizeof written, "%.*s", (int)w->body_len, text + w->body);
            struct place there = place_token(c->ld, c->source, s->within);
            if (unit_parse_duration(written, &within) != 0) {
                diag_add(c->ld->d, "E107", &there, "r:verify needs a duration, write e.g. \"5m\"");
                within = -1;
            }
            at = there;
        }
        too_short(c, &at, s->within ? "the time to verify" : "verify_within", check->cond, within);
        if (flaps && !c->ld->quiet) {
            char what[80];
            snprintf(what, sizeof what, "sig.%s", flaps->signal->name);
            struct place leaf = place_site(c->ld, &flaps->site, what);
            diag_add(c->ld->d, "W204", &leaf,
                     "check \"%s\" turns over where `when` does, without `lasting`: it can flap; "
                     "leave a distance, give the leaf of `when` a `clear`, or let the check last",
                     name);
        }
    }
}

void check_policy(lua_State *L, struct policy *p, int table, int defaults, int run)
{
    struct loader *ld = loader_of(L);
    struct checker c = {.L = L,
                        .ld = ld,
                        .p = p,
                        .table = lua_absindex(L, table),
                        .defaults = lua_absindex(L, defaults)};
    luaL_checkstack(L, 10, NULL);
    check_when(&c);
    check_clear(ld, p);
    check_actions(&c);
    if (p->ladder && p->when && p->nactions) {
        struct place at = field_place(&c, "verify_within");
        too_short(&c, &at, "verify_within", p->when, p->verify_within_ms);
    }
    if (lua_type(L, run) != LUA_TFUNCTION) {
        return;
    }
    lua_Debug ar;
    lua_pushvalue(L, run);
    lua_getinfo(L, ">S", &ar);
    c.source = host_source(ar.source);
    if (c.source < 0 || c.source >= ld->h->nsources) {
        return;
    }
    c.scan = ld->h->sources[c.source];
    for (size_t i = 0; i < c.scan->nsteps; i++) {
        int line = c.scan->tokens[c.scan->steps[i].method].line;
        if (line >= ar.linedefined && line <= ar.lastlinedefined) {
            check_step(&c, &c.scan->steps[i]);
        }
    }
}

/* ---- across policies ---- */

static struct place policy_place(const struct policy *p, const char *text, size_t len)
{
    return (struct place){.file = p->site.file,
                          .line = p->site.line,
                          .column = p->site.column,
                          .width = p->procedure ? 9 : 6,
                          .text = text,
                          .text_len = len};
}

/* Where the policy writes that field, narrowed to that string if there is one; else the policy
 * itself, as when the field comes from defaults. */
static struct place written_place(const struct policy *p, const char *text, size_t len,
                                  const char *field, const char *word)
{
    struct place at = policy_place(p, text, len);
    struct scan *s = scan_new(p->site.file, text, len);
    for (size_t i = 0; i < s->ntables; i++) {
        const struct token *call = &s->tokens[s->tables[i].call];
        if (call->line != p->site.line || call->column != p->site.column) {
            continue;
        }
        for (size_t k = 0; k < s->tables[i].nfields; k++) {
            const struct scan_field *f = &s->tables[i].fields[k];
            if (f->index != 0 || !token_is(text, &s->tokens[f->key], field)) {
                continue;
            }
            const struct token *t = &s->tokens[f->value];
            for (size_t n = f->value; word && n <= f->last; n++) {
                const struct token *one = &s->tokens[n];
                if (one->kind == TOKEN_STRING && one->body_len == strlen(word) &&
                    memcmp(text + one->body, word, one->body_len) == 0) {
                    t = one;
                }
            }
            at.line = t->line;
            at.column = t->column;
            at.width = (int)t->len;
        }
    }
    scan_free(s);
    return at;
}

void check_limits(const struct policy *p, const struct policy_load_options *o, const char *text,
                  size_t len, struct diags *d)
{
    char a[64], b[64];
    const struct rate *most = &o->max_limit;
    if (most->n > 0 && p->limit.n > 0 &&
        (double)p->limit.n / (double)p->limit.per_ms > (double)most->n / (double)most->per_ms) {
        struct place wide = written_place(p, text, len, "limit", NULL);
        diag_add(d, "E117", &wide,
                 "policy \"%s\" has limit = \"%s\", wider than this host's max_limit \"%s\"",
                 p->name, unit_format_rate(a, sizeof a, p->limit.n, p->limit.per_ms),
                 unit_format_rate(b, sizeof b, most->n, most->per_ms));
    }
    if (p->mode > o->mode) {
        struct place mode = written_place(p, text, len, "mode", NULL);
        diag_add(d, "W206", &mode,
                 "policy \"%s\" has mode = \"%s\", but this agent does no more than %s", p->name,
                 mode_name(p->mode), mode_name(o->mode));
    }
}

static const struct source *source_of(const struct policy *p)
{
    const struct policy_data *d = p->script_data;
    return d->source;
}

/* W212: a name that a selector takes or leaves out and that the estate does not have: the policy
 * would miss a target, or act on the one that was to be spared. What a discover finds is not known.
 */
static void check_selector(const struct policy *p, const struct policy_load_options *o,
                           const char *text, size_t len, struct diags *d)
{
    const struct {
        const char *field;
        const struct json *names;
    } lists[] = {{"name", p->target.name}, {"except", p->target.except}};
    const char **names = mem_calloc(estate_len(o->estate) + 1, sizeof *names);
    size_t n = 0;
    bool found = false;
    for (size_t i = 0; i < estate_len(o->estate); i++) {
        const struct target *t = estate_at(o->estate, i);
        if (p->target.kind && strcmp(t->kind, p->target.kind) == 0) {
            names[n++] = t->name;
        }
    }
    for (const struct json *j = json_first(o->discover); j && p->target.kind; j = json_next(j)) {
        found = found || strcmp(json_get_str(j, "kind", ""), p->target.kind) == 0;
    }
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        for (const struct json *j = json_first(lists[i].names); j; j = json_next(j)) {
            const char *name = json_str(j, "");
            char hint[160];
            if (!p->target.kind || estate_find(o->estate, p->target.kind, name) ||
                (found && !closest(name, names, n))) {
                continue;
            }
            did_you_mean(hint, sizeof hint, name, names, n);
            struct place at = written_place(p, text, len, "target", name);
            diag_add(d, "W212", &at, "find.%s: %s names \"%s\", which the estate does not have%s",
                     p->target.kind, lists[i].field, name, hint);
        }
    }
    mem_free(names);
}

void check_set(struct policy_set *set, const struct policy_load_options *o, bool folders,
               struct diags *d)
{
    const char **names = mem_calloc(set->npolicies + 1, sizeof *names);
    struct writers *writers = writers_new(o->estate);
    for (size_t i = 0; i < set->npolicies; i++) {
        names[i] = set->policies[i]->name;
    }
    for (size_t i = 0; i < set->npolicies; i++) {
        const struct policy *p = set->policies[i];
        const struct source *s = source_of(p);
        struct place at = policy_place(p, s->text, s->len);
        check_limits(p, o, s->text, s->len, d);
        if (o->estate) {
            check_selector(p, o, s->text, s->len, d);
        }
        for (size_t k = 0; k < i; k++) {
            const struct policy *q = set->policies[k];
            if (strcmp(p->name, q->name) == 0) {
                diag_add(d, "E110", &at, "policy \"%s\" is there twice: first at %s:%d", p->name,
                         q->site.file, q->site.line);
                break;
            }
        }
        writers_add(writers, p, &at, d);
        for (size_t k = 0; folders && k < p->ninhibits; k++) {
            bool known = false;
            for (size_t n = 0; n < set->npolicies; n++) {
                known = known || strcmp(names[n], p->inhibits[k]) == 0;
            }
            if (!known) {
                char hint[160];
                did_you_mean(hint, sizeof hint, p->inhibits[k], names, set->npolicies);
                struct place named = written_place(p, s->text, s->len, "inhibits", p->inhibits[k]);
                diag_add(d, "E102", &named, "policy \"%s\" inhibits \"%s\", which does not exist%s",
                         p->name, p->inhibits[k], hint);
            }
        }
    }
    writers_free(writers);
    mem_free(names);
}
