/* A small estate with a model behind it. */
#include "help_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "harness/number.h"

static const struct signal load_signals[] = {{.name = "load",
                                              .summary = "load of a group",
                                              .source = "the model",
                                              .unit = UNIT_PERCENT,
                                              .targets = "asg",
                                              .lag_ms = 3 * MIN_MS,
                                              .default_interval_ms = MIN_MS},
                                             {.name = "sessions",
                                              .summary = "sessions of a group",
                                              .source = "the model",
                                              .unit = UNIT_COUNT,
                                              .targets = "asg",
                                              .zero_suspicious = true,
                                              .default_interval_ms = 10000}};
static const struct collector_type load_collector = {
    .name = "load", .summary = "the model", .signals = load_signals, .nsignals = 2};
const struct collector_type *const collector_types[] = {&load_collector};
const size_t collector_types_len = 1;

static struct plan *scale_plan(const struct action_input *in, const struct json *seen,
                               struct err *e)
{
    int64_t desired = json_get_int(seen, "desired", -1), max = json_get_int(in->opts, "max", 20);
    int64_t want = desired + json_get_int(in->opts, "by", 2);
    struct plan *p;
    struct json *args;

    if (desired < 0) {
        err_set(e, ERR_INPUT, "no desired capacity in the answer");
        return NULL;
    }
    if (want > max)
        want = max;
    if (want <= desired) {
        err_set(e, ERR_DENIED, "at max %lld: no room", (long long)max);
        return NULL;
    }
    p = plan_new();
    p->flags = ACTION_REVERSIBLE;
    p->summary = mem_printf("desired %lld -> %lld", (long long)desired, (long long)want);
    args = json_new_map();
    json_set_int(args, "desired", want);
    plan_call(p, "model:Set", args);
    json_set_int(p->before, "desired", desired);
    json_set_int(p->after, "desired", want);
    json_set_int(p->out, "before", desired);
    json_set_int(p->out, "after", want);
    plan_require(p, true, "yes", "desired = %lld", (long long)desired);
    if (json_get_str(seen, "controller", NULL))
        json_add(p->controllers, json_new_str(json_get_str(seen, "controller", "")));
    return p;
}

static enum verdict scale_judge(const struct action_input *in, const struct plan *p, size_t i,
                                const struct json *seen)
{
    int64_t d = json_get_int(seen, "desired", -1);

    (void)in;
    (void)i;
    return d == json_get_int(p->after, "desired", -2)    ? VERDICT_YES
           : d == json_get_int(p->before, "desired", -2) ? VERDICT_NO
                                                         : VERDICT_UNKNOWN;
}

static struct plan *scale_undo(const struct action_input *in, const struct plan *first,
                               const struct plan *last, const struct json *seen, struct err *e)
{
    int64_t d = json_get_int(seen, "desired", -1), to = json_get_int(first->before, "desired", -1);
    struct plan *p;
    struct json *args;

    (void)in;
    if (d != json_get_int(last->after, "desired", -2)) {
        err_set(e, ERR_DENIED, "desired is %lld: changed by someone else", (long long)d);
        return NULL;
    }
    p = plan_new();
    p->flags = ACTION_REVERSIBLE | ACTION_DESTRUCTIVE;
    p->summary = mem_printf("desired %lld -> %lld", (long long)d, (long long)to);
    args = json_new_map();
    json_set_int(args, "desired", to);
    plan_call(p, "model:Set", args);
    json_set_int(p->before, "desired", d);
    json_set_int(p->after, "desired", to);
    return p;
}

static struct plan *idle_plan(const struct action_input *in, const struct json *seen, struct err *e)
{
    struct plan *p = plan_new();

    (void)in;
    (void)seen;
    (void)e;
    p->empty = true;
    p->summary = mem_strdup("nobody matches");
    return p;
}

static const struct option scale_options[] = {
    {.name = "by", .type = OPT_COUNT, .fallback = "2", .help = "how many"},
    {.name = "max", .type = OPT_COUNT, .fallback = "20", .help = "at most"}};
static const struct action_type scale_action = {.name = "scale",
                                                .summary = "scale the model's group",
                                                .targets = "asg",
                                                .attribute = "desired_capacity",
                                                .writes = "alb",
                                                .headroom = "database_connections",
                                                .flags = ACTION_REVERSIBLE | ACTION_DESTRUCTIVE,
                                                .can_probe = true,
                                                .options = scale_options,
                                                .noptions = 2,
                                                .plan = scale_plan,
                                                .judge = scale_judge,
                                                .undo = scale_undo};
/* Two requests in one act (M20), on an attribute of its own. */
static struct plan *pair_plan(const struct action_input *in, const struct json *seen, struct err *e)
{
    struct plan *p = scale_plan(in, seen, e);

    if (p)
        plan_call(p, "model:Second", json_copy(json_get(json_at(p->calls, 0), "args")));
    return p;
}

static const struct action_type pair_action = {.name = "pair",
                                               .summary = "two requests",
                                               .targets = "asg",
                                               .attribute = "pair",
                                               .headroom = "",
                                               .can_probe = true,
                                               .options = scale_options,
                                               .noptions = 2,
                                               .plan = pair_plan,
                                               .judge = scale_judge,
                                               .undo = scale_undo};

/* Ends at most `by` sessions, by name. */
static struct plan *end_plan(const struct action_input *in, const struct json *seen, struct err *e)
{
    int64_t n = json_get_int(seen, "sessions", 0), most = json_get_int(in->opts, "by", 2);
    struct plan *p = plan_new();
    struct json *args = json_new_map();

    (void)e;
    n = n < most ? n : most;
    p->flags = ACTION_DESTRUCTIVE;
    p->summary = mem_printf("end %lld sessions", (long long)n);
    for (int64_t k = 0; k < n; k++) {
        char name[32];
        snprintf(name, sizeof(name), "%lld@1", (long long)k);
        json_add(p->names, json_new_str(name));
    }
    json_set_int(args, "end", n);
    plan_call(p, "model:End", args);
    return p;
}

static enum verdict end_judge(const struct action_input *in, const struct plan *p, size_t i,
                              const struct json *seen)
{
    (void)in;
    (void)p;
    (void)i;
    return json_get_int(seen, "sessions", 0) ? VERDICT_NO : VERDICT_YES;
}

static const struct action_type end_action = {.name = "end",
                                              .summary = "end sessions",
                                              .targets = "asg",
                                              .attribute = "sessions",
                                              .removes = "load sessions",
                                              .headroom = "",
                                              .flags = ACTION_DESTRUCTIVE,
                                              .can_probe = true,
                                              .options = scale_options,
                                              .noptions = 2,
                                              .plan = end_plan,
                                              .judge = end_judge};

/* What its change window holds back. */
static struct plan *shake_plan(const struct action_input *in, const struct json *seen,
                               struct err *e)
{
    struct plan *p = scale_plan(in, seen, e);

    if (p)
        p->flags |= ACTION_DISRUPTIVE;
    return p;
}

static const struct action_type shake_action = {.name = "shake",
                                                .summary = "users notice it",
                                                .targets = "asg",
                                                .attribute = "shake",
                                                .headroom = "",
                                                .flags = ACTION_DISRUPTIVE,
                                                .can_probe = true,
                                                .options = scale_options,
                                                .noptions = 2,
                                                .plan = shake_plan,
                                                .judge = scale_judge};

/* What a human must always approve. */
static const struct action_type burn_action = {.name = "burn",
                                               .summary = "cannot be undone",
                                               .targets = "asg",
                                               .attribute = "burn",
                                               .headroom = "database_connections",
                                               .flags = ACTION_IRREVERSIBLE,
                                               .can_probe = true,
                                               .options = scale_options,
                                               .noptions = 2,
                                               .plan = scale_plan,
                                               .judge = scale_judge};
static const struct action_type idle_action = {.name = "idle",
                                               .summary = "has nothing to do",
                                               .targets = "asg",
                                               .attribute = "idle",
                                               .headroom = "",
                                               .can_probe = true,
                                               .options = scale_options,
                                               .noptions = 2,
                                               .plan = idle_plan,
                                               .judge = scale_judge};
const struct action_type *const action_types[] = {&scale_action, &pair_action,  &burn_action,
                                                  &idle_action,  &shake_action, &end_action};
const size_t action_types_len = 6;

static struct model_target *model_of(struct rig *r, const struct target *t)
{
    return &r->t[number_in(t->name + 1)];
}

static bool sample(void *arg, const struct series *s, int64_t at_ms, double *value)
{
    struct rig *r = arg;
    struct model_target *m = model_of(r, s->target);

    if (r->script)
        r->script(r, at_ms);
    if (strcmp(s->signal->name, "sessions") == 0) {
        *value = m->sessions;
        return !m->missing;
    }
    *value = m->desired ? m->load / m->desired : 100;
    if (*value > 100)
        *value = 100;
    return !m->missing;
}

static struct json *observe(void *arg, const struct world_step *s, struct err *e)
{
    struct rig *r = arg;
    struct model_target *m = model_of(r, s->target);
    struct json *j;

    if (r->on_observe)
        r->on_observe(r, ++r->observed);
    if (r->observe_fails) {
        err_set(e, ERR_IO, "the model is away");
        return NULL;
    }
    j = json_new_map();
    json_set_int(j, "desired", m->desired);
    json_set_int(j, "sessions", m->sessions);
    if (m->controller)
        json_set_str(j, "controller", m->controller);
    return j;
}

static enum applied apply(void *arg, const struct world_step *s, struct json **out, struct err *e)
{
    struct rig *r = arg;
    struct model_target *m = model_of(r, s->target);
    int how;

    (void)out;
    if (r->on_apply)
        r->on_apply(r, s);
    how = r->next_how;
    r->next_how = -1;
    if (how == APPLIED_REFUSED || how == APPLIED_NOT_SENT) {
        err_set(e, ERR_DENIED, "refused by the model");
        return (enum applied)how;
    }
    if (json_get(json_get(s->call, "args"), "end")) {
        m->sessions -= (int)json_get_int(json_get(s->call, "args"), "end", 0);
        m->effects++;
    } else if (how != APPLIED_IN_DOUBT || r->doubt_done) {
        m->desired = (int)json_get_int(json_get(s->call, "args"), "desired", 0);
        m->effects++;
    }
    if (how == APPLIED_IN_DOUBT && r->doubt_desired)
        m->desired = r->doubt_desired;
    if (how == APPLIED_IN_DOUBT)
        err_set(e, ERR_TIMEOUT, "no answer");
    return how == APPLIED_IN_DOUBT ? APPLIED_IN_DOUBT : APPLIED_OK;
}

static int64_t latency(void *arg, const struct world_step *s)
{
    (void)s;
    return ((struct rig *)arg)->latency_ms;
}

static void append(char **to, char *line)
{
    char *both = mem_printf("%s%s\n", *to ? *to : "", line);

    mem_free(*to);
    mem_free(line);
    *to = both;
}

static void trace(void *arg, int64_t at_ms, const char *policy, const char *target,
                  const char *verb, const char *text)
{
    struct rig *r = arg;

    if (r->on_trace)
        r->on_trace(r, policy, target, verb, text);
    append(&r->timeline, mem_printf("%gm %s %s %s", (double)at_ms / MIN_MS, target, verb, text));
}

static void report(void *arg, int64_t at_ms, const char *key, const struct json *j)
{
    struct rig *r = arg;
    const char *kind = json_get_str(j, "kind", "?");

    (void)at_ms;
    (void)key;
    if (r->on_report)
        r->on_report(r, j);
    r->triggers += strcmp(kind, "trigger") == 0;
    r->resolves += strcmp(kind, "resolve") == 0;
    if (strcmp(kind, "human") == 0) {
        r->humans++;
        snprintf(r->last_human, sizeof(r->last_human), "%s", json_get_str(j, "summary", ""));
    }
    append(&r->reports,
           mem_printf("%s%s %s %s", json_get_bool(j, "shadow", false) ? "shadow " : "", kind,
                      json_get_str(j, "key", ""), json_get_str(j, "summary", "")));
}

static void emergency(void *arg, int64_t at_ms, const char *text)
{
    (void)at_ms;
    (void)text;
    ((struct rig *)arg)->emergencies++;
}

static bool frozen(void *arg)
{
    return ((struct rig *)arg)->frozen_file;
}

static void destroy(struct policy_set *s)
{
    for (size_t p = 0; p < s->npolicies; p++) {
        json_free(s->policies[p]->params);
        for (size_t a = 0; a < s->policies[p]->nactions; a++)
            json_free(s->policies[p]->actions[a].opts);
    }
    arena_free(s->arena);
    mem_free(s->policies);
    mem_free(s);
}

static struct json *source(void *arg, const struct policy *p)
{
    struct json *j = json_new_map();

    (void)arg;
    json_set_str(j, "name", p->name);
    return j;
}

struct cond *rig_leaf(struct rig *r, enum cmp cmp, double threshold, int64_t lasting_ms)
{
    struct cond *c = arena_alloc(r->set->arena, sizeof(*c));
    static struct json *empty;

    if (!empty)
        empty = json_new_map();
    c->kind = COND_LEAF;
    c->site = (struct site){"policy.lua", 3, 5};
    c->signal = &load_signals[0];
    c->opts = empty;
    c->cmp = cmp;
    c->threshold = threshold;
    c->lasting_ms = lasting_ms;
    return c;
}

struct policy *rig_policy(struct rig *r, const char *name)
{
    struct policy *p = arena_alloc(r->set->arena, sizeof(*p));
    struct declared_action *a = arena_alloc(r->set->arena, sizeof(*a));

    p->name = name;
    p->owner = "team";
    p->doc = "https://example.com/doc";
    p->severity = SEV3;
    p->site = (struct site){"policy.lua", 1, 1};
    p->target.kind = "asg";
    p->when = rig_leaf(r, CMP_ABOVE, 60, 5 * MIN_MS);
    a->name = "scale";
    a->type = &scale_action;
    a->opts = json_new_map();
    json_set_int(a->opts, "by", 2);
    json_set_int(a->opts, "max", 20);
    a->max_acts = 1;
    a->timeout_ms = 2 * MIN_MS;
    a->approval_ttl_ms = 15 * MIN_MS;
    p->actions = a;
    p->nactions = 1;
    p->ladder = true;
    p->mode = MODE_ENFORCE;
    p->limit = (struct rate){1, 60 * MIN_MS};
    p->cooldown_ms = 15 * MIN_MS;
    p->blind_after_ms = 15 * MIN_MS;
    p->verify_within_ms = 20 * MIN_MS;
    p->deadline_ms = 24 * 60 * MIN_MS;
    p->max_targets_percent = 10;
    p->page = PAGE_ON_FAILURE;
    p->params = json_new_map();
    p->source_hash = "0123";
    p->set = r->set;
    r->set->policies =
        mem_realloc(r->set->policies, (r->set->npolicies + 1) * sizeof(struct policy *));
    r->set->policies[r->set->npolicies++] = p;
    return p;
}

static struct policy_set *load(void *arg, const struct json *source_, struct err *e)
{
    const struct rig *r = arg;

    (void)source_;
    if (!r->stored)
        err_set(e, ERR_NOT_FOUND, "the test has no stored source");
    return r->stored ? policy_set_ref(r->stored) : NULL;
}

struct policy_set *rig_new_set(void)
{
    struct policy_set *s = mem_alloc(sizeof(*s));

    s->refs = 1;
    s->arena = arena_new();
    s->destroy = destroy;
    return s;
}

void rig_init(struct rig *r, int targets)
{
    struct virtual_options o = {
        .seed = 7,
        .start_wall_ms = 1790000000000,
        .engine = {.mode = MODE_ENFORCE, .host = "ops1"},
        .loader = {source, load, r},
        .model = {sample, observe, apply, latency, trace, report, emergency, frozen, r}};

    memset(r, 0, sizeof(*r));
    r->next_how = -1;
    r->ntargets = targets;
    r->set = rig_new_set();
    r->estate = estate_new();
    for (int k = 0; k < targets; k++) {
        char name[16];
        snprintf(name, sizeof(name), "g%d", k);
        r->t[k] = (struct model_target){.load = 400, .desired = 10, .max = 20};
        assert_int_equal(estate_add(r->estate, "asg", name, json_new_map(), json_new_map(),
                                    MODE_ENFORCE, "estate.lua", k + 1, NULL),
                         0);
    }
    r->options = o;
    r->v = virtual_new(&o);
}

void rig_budget(struct rig *r, struct rate budget)
{
    virtual_free(r->v);
    r->options.engine.budget = budget;
    r->v = virtual_new(&r->options);
}

void rig_start(struct rig *r)
{
    struct err e = ERR_INIT;

    if (virtual_start(r->v, r->set, r->estate, &e))
        fail_msg("%s", e.text);
}

void rig_restart(struct rig *r)
{
    virtual_crash(r->v);
    rig_start(r);
}

void rig_free(struct rig *r)
{
    virtual_free(r->v);
    policy_set_unref(r->set);
    estate_unref(r->estate);
    mem_free(r->timeline);
    mem_free(r->reports);
}

void rig_run(struct rig *r, double minutes)
{
    virtual_run_until(r->v, (int64_t)(minutes * MIN_MS));
}

struct json *rig_order(struct rig *r, const char *command, ...)
{
    struct json *c = json_new_map();
    const char *key;
    va_list ap;

    json_set_str(c, "command", command);
    json_set_str(c, "by", "ann");
    va_start(ap, command);
    while ((key = va_arg(ap, const char *)) != NULL)
        json_set_str(c, key, va_arg(ap, const char *));
    va_end(ap);
    return virtual_command(r->v, c);
}

bool rig_seen(const struct rig *r, const char *text)
{
    return r->timeline && strstr(r->timeline, text);
}

struct script {
    const struct script_line *next;
};

static struct script *start_lines(void *data, const struct json *target, const struct json *params,
                                  struct err *e)
{
    struct script *s = mem_alloc(sizeof(*s));

    (void)target;
    (void)params;
    (void)e;
    s->next = data;
    return s;
}

static void resume_lines(struct script *s, const struct json *answer, struct ask *out)
{
    enum json_type type = json_type(answer);
    char was = type == JSON_STRING || type == JSON_NUMBER || json_bool(answer, false) ? 'y' : 'n';

    while (s->next->when != '*' && s->next->when != was)
        s->next++;
    memset(out, 0, sizeof(*out));
    out->kind = s->next->kind;
    out->name = s->next->name;
    out->text = s->next->name;
    out->within_ms = s->next->within_ms ? s->next->within_ms : -1;
    if (out->kind == ASK_PAGE || out->kind == ASK_LOG)
        out->name = NULL;
    if (out->kind == ASK_READ) { /* of a series of its own; "load $ref" reads with a reference */
        static struct json *wish;
        const char *name = s->next->name, *of = strchr(name, ' ');
        if (!wish)
            wish = json_new_map();
        json_set_strf(wish, "signal", "%.*s", (int)strcspn(name, " "), name);
        json_set_int(json_set(wish, "opts", json_new_map()), "own", 1);
        if (of)
            json_set_str(json_get_mut(wish, "opts"), "of", of + 1);
        out->signal = wish;
    }
    if (s->next->kind != ASK_END)
        s->next++;
}

static void free_lines(struct script *s)
{
    mem_free(s);
}

static const struct script_ops lines_ops = {start_lines, resume_lines, free_lines};

void rig_script(struct policy *p, const struct script_line *lines)
{
    p->script = &lines_ops;
    p->script_data = (void *)(uintptr_t)lines;
    p->ladder = false;
}

struct declared_action *rig_action(struct policy *p, const char *name, const char *type)
{
    struct declared_action *all =
        arena_alloc(p->set->arena, (p->nactions + 1) * sizeof(struct declared_action));

    memcpy(all, p->actions, p->nactions * sizeof(*all));
    all[p->nactions] = p->actions[0];
    all[p->nactions].name = name;
    all[p->nactions].type = action_find(type);
    all[p->nactions].opts = json_copy(p->actions[0].opts);
    p->actions = all;
    return &all[p->nactions++];
}

void rig_check(struct rig *r, struct policy *p, const char *name, struct cond *c)
{
    struct declared_check *all =
        arena_alloc(r->set->arena, (p->nchecks + 1) * sizeof(struct declared_check));

    if (p->nchecks)
        memcpy(all, p->checks, p->nchecks * sizeof(*all));
    all[p->nchecks] = (struct declared_check){name, c};
    p->checks = all;
    p->nchecks++;
}

void rig_reload(struct rig *r)
{
    struct err e = ERR_INIT;

    if (virtual_reload(r->v, r->set, r->estate, &e))
        fail_msg("%s", e.text);
}
