/* Reading everything, and telling what of it got wider. */
#include "serve/load.h"

#include <string.h>

#include "base/mem.h"
#include "base/units.h"
#include "plugin/listing.h"

bool load_all(const char *config, const char *const *files, size_t nfiles, struct loaded *out,
              struct diags *d)
{
    size_t before = diags_errors(d);
    bool clean; /* else the configuration has mistakes, and those of the other files are told too */
    struct policy_load_options o = {.mode = MODE_ENFORCE};

    memset(out, 0, sizeof(*out));
    out->config = config_load(config, d);
    if (!out->config)
        return false;
    clean = diags_errors(d) == before;
    if (out->config->estate)
        out->estate = estate_load(out->config->estate, &out->config->estate_at, &out->discover, d);
    o.paths = nfiles ? files : (const char *const *)out->config->policies;
    o.npaths = nfiles ? nfiles : out->config->npolicies;
    o.paths_at = nfiles ? NULL : out->config->policies_at;
    o.params = out->config->params;
    o.params_at = &out->config->params_at;
    if (clean) {
        o.max_limit = out->config->max_limit;
        o.mode = out->config->mode;
        o.operators = (const char *const *)out->config->operators;
        o.noperators = out->config->noperators;
    }
    o.estate = out->estate;
    o.discover = out->discover;
    o.whole = clean && nfiles == 0 && out->estate;
    out->set = policies_load(&o, d);
    /* Every way through every run (W202, E113): what `check` refuses, nothing may take up. */
    if (out->set && out->estate && diags_errors(d) == before)
        json_free(policies_walk(out->set, out->estate, d));
    return out->estate && out->set && diags_errors(d) == before;
}

void load_variants(const struct loaded *l)
{
    for (size_t p = 0; p < l->set->npolicies; p++) {
        const struct target **targets;
        size_t n = estate_select(l->estate, &l->set->policies[p]->target, &targets);
        for (size_t t = 0; t < n; t++)
            (void)policy_variant(l->set, l->set->policies[p], targets[t]);
        mem_free(targets);
    }
}

void loaded_free(struct loaded *l)
{
    if (l->set)
        policy_set_unref(l->set);
    if (l->estate)
        estate_unref(l->estate);
    json_free(l->discover);
    config_free(l->config);
    memset(l, 0, sizeof(*l));
}

void tested_free(struct tested *t)
{
    json_free(t->failing);
    mem_free(t->text);
    memset(t, 0, sizeof(*t));
}

enum exit_code load_exit(struct diags *d, const char *config)
{
    switch (diags_class(d)) {
    case DIAG_NONE:
        return EXIT_OK;
    case DIAG_FILE:
        for (size_t k = 0; k < diags_len(d); k++) {
            const struct diag *x = diags_at(d, k);
            if (x->code[0] == 'E' && strcmp(x->file, config) == 0 && x->line == 0)
                return EXIT_CONFIG_FILE;
        }
        return EXIT_POLICY_FILE;
    case DIAG_SYNTAX:
        return EXIT_SYNTAX;
    case DIAG_UNKNOWN:
        return EXIT_UNKNOWN;
    case DIAG_VALUE:
        return EXIT_VALUE;
    case DIAG_RULE:
        return EXIT_RULE;
    case DIAG_SECRET:
        return EXIT_SECRET;
    }
    return EXIT_FAILED;
}

/* Wider */

static void say(struct json *list, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct json *list, const char *fmt, ...)
{
    va_list ap;
    char *text;

    va_start(ap, fmt);
    text = mem_vprintf(fmt, ap);
    va_end(ap);
    json_add(list, json_new_str(text));
    mem_free(text);
}

/* More at once, or more in the long run; n 0: no limit. */
static bool rate_wider(struct rate was, struct rate is)
{
    if (was.n == 0)
        return false;
    if (is.n == 0)
        return true;
    return is.n > was.n || (double)is.n * (double)was.per_ms > (double)was.n * (double)is.per_ms;
}

static void compare_rate(struct json *list, const char *policy, const char *what, struct rate was,
                         struct rate is)
{
    char a[UNIT_TEXT], b[UNIT_TEXT];

    if (!rate_wider(was, is))
        return;
    say(list, "%s: %s %s -> %s", policy, what, unit_format_rate(a, sizeof(a), was.n, was.per_ms),
        is.n ? unit_format_rate(b, sizeof(b), is.n, is.per_ms) : "none");
}

static void compare_number(struct json *list, const char *where, const struct json *was,
                           const struct json *is, const char *name, bool upper)
{
    const struct json *a = json_get(was, name), *b = json_get(is, name);
    double x = json_num(a, 0), y = json_num(b, 0);

    if (json_type(a) != JSON_NUMBER)
        return;
    if (json_type(b) != JSON_NUMBER)
        say(list, "%s: %s %g -> none", where, name, x);
    else if (upper ? y > x : y < x)
        say(list, "%s: %s %g -> %g", where, name, x, y);
}

static void compare_action(struct json *list, const struct policy *p,
                           const struct declared_action *was, const struct declared_action *is)
{
    char *where = mem_printf("%s.%s", p->name, is->name);

    if (!was) {
        say(list, "%s: a new action (%s)", where, is->type->name);
        mem_free(where);
        return;
    }
    if (was->type != is->type)
        say(list, "%s: %s -> %s", where, was->type->name, is->type->name);
    if (was->approval_required && !is->approval_required)
        say(list, "%s: approval required -> none", where);
    if (was->approval_required && !was->approval_unless && is->approval_unless)
        say(list, "%s: approval has an approval_unless now", where);
    else if (was->approval_required && is->approval_unless &&
             !cond_same(was->approval_unless, is->approval_unless))
        say(list, "%s: another approval_unless", where);
    if (was->approvers && (!is->approvers || strcmp(was->approvers, is->approvers) != 0))
        say(list, "%s: approvers %s -> %s", where, was->approvers,
            is->approvers ? is->approvers : "anyone");
    if (is->max_acts > was->max_acts)
        say(list, "%s: max_acts %d -> %d", where, was->max_acts, is->max_acts);
    if (is->coexist && !was->coexist)
        say(list, "%s: coexist false -> true", where);
    compare_number(list, where, was->opts, is->opts, "max", true);
    compare_number(list, where, was->opts, is->opts, "min", false);
    mem_free(where);
}

static void compare_policy(struct json *list, const struct policy *was, const struct policy *is)
{
    char a[UNIT_TEXT], b[UNIT_TEXT];

    if (!was) {
        if (is->mode > MODE_SHADOW)
            say(list, "%s: a new policy in mode %s", is->name, mode_name(is->mode));
        return;
    }
    if (is->mode > was->mode)
        say(list, "%s: mode %s -> %s", is->name, mode_name(was->mode), mode_name(is->mode));
    compare_rate(list, is->name, "limit", was->limit, is->limit);
    compare_rate(list, is->name, "policy_limit", was->policy_limit, is->policy_limit);
    if (is->cooldown_ms < was->cooldown_ms)
        say(list, "%s: cooldown %s -> %s", is->name,
            unit_format_duration(a, sizeof(a), was->cooldown_ms),
            unit_format_duration(b, sizeof(b), is->cooldown_ms));
    if (was->max_targets && is->max_targets > was->max_targets)
        say(list, "%s: max_targets %d -> %d", is->name, was->max_targets, is->max_targets);
    else if (!was->max_targets && !is->max_targets &&
             is->max_targets_percent > was->max_targets_percent)
        say(list, "%s: max_targets %g%% -> %g%%", is->name, was->max_targets_percent,
            is->max_targets_percent);
    else if (!!was->max_targets !=
             !!is->max_targets) /* a count against a share: nobody can tell, so it is asked */
        say(list, "%s: max_targets between a count and a percentage", is->name);
    if (was->window && !is->window)
        say(list, "%s: window removed", is->name);
    else if (was->window &&
             !cond_same(was->window, is->window)) /* nobody can tell which is wider */
        say(list, "%s: another window", is->name);
    if (!was->outside_wait && is->outside_wait && is->window)
        say(list, "%s: outside refuse -> wait", is->name);
    for (size_t k = 0; k < is->nactions; k++)
        compare_action(list, is, policy_action(was, is->actions[k].name), &is->actions[k]);
}

/* The mode of a discover, as of its targets: of the same account and tags. */
static void compare_discover(struct json *list, const struct json *was, const struct json *is)
{
    for (const struct json *a = json_first(is); a; a = json_next(a))
        for (const struct json *b = json_first(was); b; b = json_next(b)) {
            int now = mode_parse(json_get_str(a, "mode", "enforce")),
                then = mode_parse(json_get_str(b, "mode", "enforce"));
            if (now > then && listing_same(a, b))
                say(list, "discover.%s of %s: mode %s -> %s", json_get_str(a, "kind", "?"),
                    json_get_str(a, "aws", "?"), mode_name((enum mode)then),
                    mode_name((enum mode)now));
        }
}

struct json *load_wider(const struct loaded *old, const struct loaded *now)
{
    struct json *list = json_new_list();

    for (size_t k = 0; k < now->set->npolicies; k++)
        compare_policy(list, policy_find(old->set, now->set->policies[k]->name),
                       now->set->policies[k]);
    for (size_t k = 0; k < estate_len(now->estate); k++) {
        const struct target *is = estate_at(now->estate, k),
                            *was = estate_by_id(old->estate, is->id);
        if (was && is->mode > was->mode)
            say(list, "%s: mode %s -> %s", is->id, mode_name(was->mode), mode_name(is->mode));
    }
    compare_discover(list, old->discover, now->discover);
    return list;
}
