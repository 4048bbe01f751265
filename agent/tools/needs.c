/* Which rights are needed on what: from the descriptors of the signals that policies read and of
 * the actions that they declare, for each target that they select. */
#include "tools/needs.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "plugin/action.h"
#include "plugin/collector.h"
#include "plugin/refs.h"
#include "tools/text.h"
#include "tools/tools.h"

struct gathering {
    const struct loaded *l;
    const struct policy *p;
    const struct target *t;
    const struct json *tags; /* of the one that stands for all that a discover finds; else NULL */
    struct json *needs, *notes;
};

static void word(struct json *list, const char *w)
{
    for (const struct json *i = json_first(list); i; i = json_next(i))
        if (strcmp(json_str(i, ""), w) == 0)
            return;
    json_add(list, json_new_str(w));
}

const char *needs_partition(const char *region)
{
    /* The partitions of https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html */
    if (strncmp(region, "cn-", 3) == 0)
        return "aws-cn";
    return strncmp(region, "us-gov-", 7) == 0 ? "aws-us-gov" : "aws";
}

void needs_account(const struct target *aws, char out[16])
{
    const char *role = aws ? json_get_str(aws->fields, "role", "") : "";
    const char *at = strstr(role, ":iam::");
    size_t n = at ? strspn(at + 6, "0123456789") : 0;

    snprintf(out, 16, "%.*s", n == 12 ? 12 : 1, n == 12 ? at + 6 : "*");
}

/* An ARN of a descriptor, "arn:aws:autoscaling:*:*:...", with the partition, the region and the
 * number of the account, where the pattern leaves these open. The caller frees. */
static char *fill_arn(const char *pattern, const struct target *aws)
{
    const char *region = json_get_str(aws->fields, "region", "*"), *rest = pattern;
    char account[16], service[64];
    int used = 0;

    needs_account(aws, account);
    if (sscanf(rest, "arn:aws:%63[a-z0-9-]:*:*:%n", service, &used) == 1 && used > 0)
        return mem_printf("arn:%s:%s:%s:%s:%s", needs_partition(region), service, region, account,
                          rest + used);
    return mem_strdup(rest);
}

static void add_need(struct gathering *g, const char *system, const char *right, const char *on,
                     const char *resource, bool acts, const char *by)
{
    /* Where "*" is all that there is, AWS has no resource whose tags it could ask for. */
    const struct json *tags = strcmp(resource, "*") != 0 ? g->tags : NULL;
    struct json *n = NULL;

    for (const struct json *i = json_first(g->needs); i; i = json_next(i))
        if (strcmp(json_get_str(i, "system", ""), system) == 0 &&
            strcmp(json_get_str(i, "right", ""), right) == 0 &&
            strcmp(json_get_str(i, "on", ""), on) == 0 &&
            strcmp(json_get_str(i, "resource", ""), resource) == 0 &&
            json_equal(json_get(i, "tags"), tags)) {
            word(json_get_mut((struct json *)(uintptr_t)i, "by"), by);
            return;
        }
    n = json_add(g->needs, json_new_map());
    json_set_str(n, "system", system);
    json_set_str(n, "right", right);
    json_set_str(n, "on", on);
    json_set_bool(n, "acts", acts);
    if (*resource)
        json_set_str(n, "resource", resource);
    if (tags)
        json_set(n, "tags", json_copy(tags));
    word(json_set(n, "by", json_new_list()), by);
}

/* Describe, Get, List and what reads logs: nothing changes by it. */
static bool looks(const char *right)
{
    static const char *const verbs[] = {"Describe", "Get", "List", "Filter", "Lookup", "View"};
    const char *verb = strchr(right, ':');

    for (size_t k = 0; verb && k < sizeof(verbs) / sizeof(verbs[0]); k++)
        if (strncmp(verb + 1, verbs[k], strlen(verbs[k])) == 0)
            return true;
    return false;
}

static void need_aws(struct gathering *g, const char *permission, const struct target *owner,
                     const char *account, const char *by)
{
    const struct target *aws = estate_find(g->l->estate, "aws", account);
    struct refs refs = {.target = owner};
    struct json *written, *resolved;
    struct err e = ERR_INIT;
    const char *text, *space;
    char *right, *resource;

    if (!aws)
        return;
    written = json_new_str(permission);
    resolved = refs_resolve(written, &refs, &e);
    json_free(written);
    if (!resolved) {
        char *note = mem_printf("%s on %s is not in the document: it needs %s: %s", by, g->t->id,
                                permission, e.text);
        word(g->notes, note);
        mem_free(note);
        return;
    }
    text = json_str(resolved, "");
    space = strchr(text, ' ');
    right = mem_strndup(text, space ? (size_t)(space - text) : strlen(text));
    resource = fill_arn(space ? space + 1 : "*", aws);
    add_need(g, "aws", right, account, resource, !looks(right), by);
    mem_free(resource);
    mem_free(right);
    json_free(resolved);
}

/* What a descriptor with these kinds of targets is about. "asg service": the group, which a service
 * names in its field asg; NULL where this target names none: then nothing is asked. "postgres
 * cache": either. */
static const struct target *owner_of(const struct gathering *g, const char *kinds)
{
    const struct target_kind *own = target_kind_find(g->t->kind);
    const struct option *o;
    char kind[32] = "";

    (void)sscanf(kinds, " %31s", kind);
    o = own ? option_find(own->options, own->noptions, kind) : NULL;
    return o && o->type == OPT_TARGET ? estate_related(g->l->estate, g->t, kind) : g->t;
}

static void need(struct gathering *g, const char *const *permissions, const struct target *owner,
                 const char *account, bool acts, const char *by)
{
    for (const char *const *p = permissions; p && *p; p++) {
        char *permission = permission_for(*p, g->t->kind);
        bool pg = strncmp(*p, "postgres:", 9) == 0, redis = strncmp(*p, "redis:", 6) == 0;
        const struct target *server = pg      ? estate_database(g->l->estate, g->t)
                                      : redis ? estate_related(g->l->estate, g->t, "cache")
                                              : NULL;

        if (!permission) { /* of acts on targets of another kind */
            continue;
        } else if (!pg && !redis) {
            if (*account)
                need_aws(g, permission, owner, account, by);
        } else if (server && (json_get_str(server->fields, "host", NULL) ||
                              json_len(json_get(server->fields, "nodes")) > 0)) {
            add_need(g, pg ? "postgres" : "redis", strchr(permission, ':') + 1, server->name, "",
                     acts, by);
        }
        mem_free(permission);
    }
    /* Signing in to RDS by a token is a right of its own; the resource id of the instance is not in
     * the estate. Its ARN:
     * https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.IAMPolicy.html
     */
    for (const char *const *p = permissions; p && *p; p++) {
        const struct target *server = estate_database(g->l->estate, g->t);

        if (strncmp(*p, "postgres:", 9) == 0 && server &&
            json_get_bool(server->fields, "iam", false))
            need_aws(g, "rds-db:connect arn:aws:rds-db:*:*:dbuser:*/$target.user", server,
                     json_get_str(server->fields, "aws", ""), by);
    }
}

static void need_signal(struct gathering *g, const char *name, const struct json *opts);

/* A signal that is made of another one holds it in its options. */
static void need_inner(struct gathering *g, const struct signal *s, const struct json *opts)
{
    for (size_t k = 0; k < s->noptions; k++) {
        const struct json *inner = json_get(opts, s->options[k].name);
        if (s->options[k].type == OPT_SIGNAL && inner)
            need_signal(g, json_get_str(inner, "signal", ""), json_get(inner, "opts"));
    }
}

static void need_signal(struct gathering *g, const char *name, const struct json *opts)
{
    const struct collector_type *own = NULL, *type;
    const struct signal *s = signal_find(name, &own);
    const struct target *owner;
    char source[160] = "", *by;
    const char *account;
    struct err e = ERR_INIT;

    if (!s)
        return;
    need_inner(g, s, opts);
    type = signal_collector(s, g->t, g->l->estate);
    if (!type) /* made of nothing that is collected: the clock */
        return;
    owner = owner_of(g, s->targets);
    if (!owner || (type->source && type->source(s, g->t, g->l->estate, source, sizeof(source), &e)))
        return; /* it has no source there, as `check` and `explain` say */
    account = strncmp(source, "aws/", 4) == 0 ? source + 4 : json_get_str(owner->fields, "aws", "");
    by = mem_printf("%s: sig.%s", g->p->name, s->name);
    need(g, type == own ? type->permissions : s->other_permissions, owner, account, false, by);
    mem_free(by);
}

static void need_cond(struct gathering *g, const struct cond *c)
{
    if (!c)
        return;
    for (size_t k = 0; k < c->nkids; k++)
        need_cond(g, c->kids[k]);
    if (c->kind == COND_LEAF && c->signal)
        need_signal(g, c->signal->name, c->opts);
}

static void need_policy(struct gathering *g)
{
    const struct policy *p = g->p;

    need_cond(g, p->when);
    need_cond(g, p->clear);
    need_cond(g, p->window);
    for (size_t k = 0; k < p->nchecks; k++)
        need_cond(g, p->checks[k].cond);
    for (size_t k = 0; k < p->nactions; k++) {
        const struct declared_action *a = &p->actions[k];
        const struct target *owner = owner_of(g, a->type->targets);
        char *by = mem_printf("%s: act.%s", p->name, a->type->name);

        need_cond(g, a->approval_unless);
        need_cond(g, a->reads);
        if (owner)
            need(g, a->type->permissions, owner, json_get_str(owner->fields, "aws", ""), true, by);
        mem_free(by);
    }
}

/* The tags that what this discover finds and this selector selects must have; NULL when none can
 * have both. */
static struct json *tags_of(const struct json *row, const struct selector *s)
{
    struct json *tags = json_get(row, "tag") ? json_copy(json_get(row, "tag")) : json_new_map();

    for (const struct json *i = json_first(s->tag); i; i = json_next(i)) {
        const char *there = json_get_str(tags, json_key(i), NULL);

        if (there && strcmp(there, json_str(i, "")) != 0) {
            json_free(tags);
            return NULL;
        }
        json_set_str(tags, json_key(i), json_str(i, ""));
    }
    return tags;
}

/* One that stands for what a discover finds: of a name that is selected, or of any. Its fields are
 * what the row says of all, and "*". */
static void need_found(struct gathering *g, const struct json *row, const struct policy *p,
                       const char *name, const struct json *tags)
{
    const char *kind = json_get_str(row, "kind", "");
    const struct target_kind *k = target_kind_find(kind);
    char *id = mem_printf("%s/%s", kind, name);
    struct target t = {.kind = kind, .name = name, .id = id, .mode = MODE_ENFORCE};

    t.tag = json_copy(tags);
    t.fields = json_new_map();
    option_defaults(k->options, k->noptions, t.fields);
    for (size_t i = 0; i < k->noptions; i++) {
        const char *field = k->options[i].name;

        if (json_get(row, field))
            json_set(t.fields, field, json_copy(json_get(row, field)));
        else if (k->options[i].type == OPT_STRING)
            json_set_str(t.fields, field, "*");
    }
    g->t = &t;
    g->tags = strcmp(name, "*") == 0 && json_len(tags) > 0 ? tags : NULL;
    g->p = p;
    need_policy(g);
    g->tags = NULL;
    json_free(t.tag);
    json_free(t.fields);
    mem_free(id);
}

static void need_discovered(struct gathering *g, const struct json *row)
{
    const char *kind = json_get_str(row, "kind", "");
    const struct target_kind *k = target_kind_find(kind);
    struct target t = {
        .kind = kind, .name = "*", .id = "", .fields = (struct json *)(uintptr_t)row};
    char *by = mem_printf("discover.%s", kind);

    g->t = &t;
    need(g, k->discover->permissions, &t, json_get_str(row, "aws", ""), false, by);
    mem_free(by);
    for (size_t n = 0; n < g->l->set->npolicies; n++) {
        const struct policy *p = g->l->set->policies[n];
        struct json *tags;

        if (strcmp(p->target.kind, kind) != 0 || p->mode == MODE_OFF)
            continue;
        tags = tags_of(row, &p->target);
        if (tags && json_type(p->target.name) == JSON_LIST) {
            for (const struct json *i = json_first(p->target.name); i; i = json_next(i))
                if (!estate_find(g->l->estate, kind, json_str(i, "")))
                    need_found(g, row, p, json_str(i, ""), tags);
        } else if (tags) {
            need_found(g, row, p, "*", tags);
        }
        json_free(tags);
    }
    g->t = NULL;
}

struct json *needs_of(const struct loaded *l, struct json *notes)
{
    struct gathering g = {.l = l, .needs = json_new_list(), .notes = notes};

    for (size_t k = 0; k < l->set->npolicies; k++)
        for (size_t n = 0; n < estate_len(l->estate); n++) {
            const struct policy *p = l->set->policies[k];

            g.t = estate_at(l->estate, n);
            if (!selector_match(&p->target, g.t) || g.t->mode == MODE_OFF || p->mode == MODE_OFF)
                continue;
            g.p = policy_for(l->set, p->name, g.t);
            if (g.p)
                need_policy(&g);
        }
    for (const struct json *row = json_first(l->discover); row; row = json_next(row))
        need_discovered(&g, row);
    return g.needs;
}

static void query_of(struct json *out, const struct policy *p, const struct json *opts)
{
    const char *query = json_get_str(opts, "query", NULL);
    char *line = query ? mem_printf("%s: %s", p->name, query) : NULL;

    if (line)
        word(out, line);
    mem_free(line);
}

static void queries_in(struct json *out, const struct policy *p, const struct cond *c)
{
    if (!c)
        return;
    for (size_t k = 0; k < c->nkids; k++)
        queries_in(out, p, c->kids[k]);
    if (c->kind == COND_LEAF)
        query_of(out, p, c->opts);
}

struct json *needs_queries(const struct loaded *l, const struct target *server)
{
    struct json *out = json_new_list();

    for (size_t k = 0; k < l->set->npolicies; k++) {
        const struct policy *p = l->set->policies[k];
        const struct target *selected = NULL;

        for (size_t n = 0; !selected && n < estate_len(l->estate); n++) {
            const struct target *t = estate_at(l->estate, n);
            if (selector_match(&p->target, t) && estate_related(l->estate, t, "postgres") == server)
                selected = t;
        }
        p = selected ? policy_for(l->set, p->name, selected) : NULL;
        if (!p)
            continue;
        queries_in(out, p, p->when);
        queries_in(out, p, p->clear);
        queries_in(out, p, p->window);
        for (size_t n = 0; n < p->nchecks; n++)
            queries_in(out, p, p->checks[n].cond);
        for (size_t n = 0; n < p->nactions; n++) {
            queries_in(out, p, p->actions[n].approval_unless);
            queries_in(out, p, p->actions[n].reads);
            query_of(out, p, p->actions[n].opts);
        }
    }
    return out;
}

bool needs_known(const struct loaded *l, const char *command, const char *kind, const char *or_kind,
                 const char *name)
{
    const char **names = mem_calloc(estate_len(l->estate) + 1, sizeof(*names));
    const struct target *other = NULL;
    const char *near;
    bool known = false;
    size_t n = 0;

    for (size_t k = 0; k < estate_len(l->estate); k++) {
        const struct target *t = estate_at(l->estate, k);
        bool named = strcmp(t->name, name) == 0 || strcmp(t->id, name) == 0;

        if (strcmp(t->kind, kind) == 0 || (or_kind && strcmp(t->kind, or_kind) == 0)) {
            known = known || named;
            names[n++] = t->name;
        } else if (named) {
            other = t;
        }
    }
    near = known ? NULL : closest(name, names, n);
    if (!known)
        fprintf(stderr, "runbookd %s: the estate has no %s%s%s \"%s\"%s%s%s%s%s%s\n", command, kind,
                or_kind ? " and no " : "", or_kind ? or_kind : "", name, other ? " (only " : "",
                other ? other->id : "", other ? ")" : "", near ? ", did you mean \"" : "",
                near ? near : "", near ? "\"?" : "");
    mem_free(names);
    return known;
}

int tool_rights(int argc, char **argv, const char *usage, int nrest_max,
                int (*print)(const struct loaded *l, const struct tool_args *a))
{
    struct tool_args a;
    struct loaded l;
    struct diags *d;
    int code = tool_args(argc, argv, usage, &a);

    if (code || a.help)
        return code;
    if (a.nrest > nrest_max || a.nwitness > 0) {
        text_help(stderr, usage);
        return EXIT_USAGE;
    }
    d = diags_new();
    if (load_all(a.config, NULL, 0, &l, d)) {
        code = print(&l, &a);
    } else {
        struct text t;

        text_init(&t, STDERR_FILENO);
        diags_print(d, &t.out, t.color);
        text_flush(&t, STDERR_FILENO);
        text_free(&t);
        code = (int)load_exit(d, a.config);
    }
    loaded_free(&l);
    diags_free(d);
    return code;
}
