/* The path walk: run is a function of its steps' results, so its outcomes can be enumerated. Finds
 * paths that fail without a page (W202) and loops without a wait (E113); bounded, and it says when
 * it did not see all. */
#include <stdio.h>
#include <string.h>
#include "lua/internal.h"

#define MAX_PATHS 300
#define MAX_STEPS 60    /* of one path; longer ones are cut */
#define MAX_TIMELESS 40 /* E113: so many steps in a row that take no time */
/* Instructions of all walks of a set together, 1 to 2 s: each policy has an equal share of what the
 * ones before it left. A count and not a clock, so that a text is judged alike everywhere. */
#define ALL_WALKS 200000000
#define MAX_OPTIONS 18 /* answers to one question: a wait for 16 checks, or none */

struct walk {
    const struct policy *p;
    const struct estate *estate; /* NULL: none */
    const struct scan *scan;
    struct diags *d;
    const char *seek; /* an action: whether it is asked for, and no more; NULL: all */
};

struct choice {
    int taken, options;
};

struct path {
    struct choice choices[MAX_STEPS];
    int n; /* questions asked */
    struct json *steps;
    bool paged, failed, verify_false, cut, endless, faulted, sought;
    int line; /* of the step that made it fail */
    char method[16];
    int acts[64]; /* of each action so far */
    int timeless;
    int64_t spent;
    char fault[256];
    int fault_line;
};

/* How many answers the question can have, within what the engine would allow. */
static int options_of(const struct policy *p, const struct path *path, const struct ask *a)
{
    int n = 2;
    switch (a->kind) {
    case ASK_ACT:
        for (size_t i = 0; i < p->nactions && i < 64; i++) {
            if (strcmp(p->actions[i].name, a->name) == 0 &&
                path->acts[i] >= p->actions[i].max_acts) {
                return 1; /* denied by max_acts */
            }
        }
        return 2;
    case ASK_UNDO:
    case ASK_VERIFY:
    case ASK_HOLDS:
    case ASK_READ:
        return 2;
    case ASK_WAIT:
        for (const char *s = a->name; *s; s++) {
            n += *s == '|';
        }
        return n < MAX_OPTIONS ? n : MAX_OPTIONS;
    case ASK_SLEEP:
    case ASK_PAGE:
    case ASK_LOG:
    case ASK_END:
    case ASK_FAULT:
        break;
    }
    return 1;
}

/* Answer number `taken`: the last one is the bad one. Notes what it means for the outcome; the
 * caller frees. */
static struct json *answer(const struct policy *p, struct path *path, const struct ask *a,
                           int taken, int options)
{
    bool bad = taken == options - 1;
    char *step = NULL;
    struct json *j = NULL;
    switch (a->kind) {
    case ASK_ACT:
        for (size_t i = 0; i < p->nactions && i < 64; i++) {
            path->acts[i] += !bad && strcmp(p->actions[i].name, a->name) == 0;
        }
        /* fall through */
    case ASK_UNDO:
        path->failed = path->failed || bad;
        j = json_new_bool(!bad);
        break;
    case ASK_VERIFY:
        path->verify_false = bad;
        path->timeless = 0;
        j = json_new_bool(!bad);
        break;
    case ASK_HOLDS:
        j = json_new_bool(!bad);
        break;
    case ASK_READ:
        j = bad ? NULL : json_new_num(0);
        break;
    case ASK_WAIT: {
        const char *s = a->name;
        for (int i = 0; i < taken && strchr(s, '|'); i++) {
            s = strchr(s, '|') + 1;
        }
        char *name = mem_strndup(s, strcspn(s, "|"));
        j = bad ? json_new_bool(false) : json_new_str(name);
        mem_free(name);
        path->timeless = 0;
        break;
    }
    case ASK_SLEEP:
        path->timeless = 0;
        break;
    case ASK_PAGE:
        path->paged = true;
        j = json_new_bool(true);
        break;
    case ASK_LOG:
    case ASK_END:
    case ASK_FAULT:
        break;
    }
    if (bad && options > 1 &&
        (a->kind == ASK_ACT || a->kind == ASK_UNDO || a->kind == ASK_VERIFY)) {
        path->line = a->line;
        snprintf(path->method, sizeof path->method, "%s", ask_name(a->kind));
    }
    char *shown = j ? json_print(j) : mem_strdup("");
    step = mem_printf("%s%s%s%s%s", ask_name(a->kind), a->name ? " " : "", a->name ? a->name : "",
                      *shown ? " -> " : "", shown);
    json_add(path->steps, json_new_str(step));
    mem_free(step);
    mem_free(shown);
    return j;
}

/* Parameters as some start might give them; a time is long enough for any verify. */
static struct json *some_params(const struct policy *p)
{
    static const char *const texts[] = {
        [OPT_STRING] = "text", [OPT_PERCENT] = "50%",   [OPT_DURATION] = "1d",
        [OPT_SIZE] = "1GiB",   [OPT_RATE] = "1 per 1h",
    };
    struct json *all = params_default(p);
    for (size_t i = 0; i < p->noptions; i++) {
        const struct option *o = &p->options[i];
        if (json_get(all, o->name)) {
            continue;
        }
        if (o->type == OPT_COUNT || o->type == OPT_NUMBER) {
            json_set_num(all, o->name, 1);
        } else if (o->type == OPT_BOOL) {
            json_set_bool(all, o->name, true);
        } else {
            json_set_str(all, o->name, texts[o->type]);
        }
    }
    return all;
}

static struct place line_place(const struct scan *s, const struct source *source, int line,
                               const char *word)
{
    struct place at = {
        .file = source->name, .line = line, .text = source->text, .text_len = source->len};
    size_t found = word ? scan_find(s, line, word) : s->ntokens;
    if (found == s->ntokens || s->tokens[found].line != line) {
        found = scan_line(s, line);
    }
    if (s->tokens[found].line == line) {
        at.column = s->tokens[found].column;
        at.width = (int)s->tokens[found].len;
    }
    return at;
}

/* How long it may take is sometimes known only here: it was computed, or a function was given it.
 */
static void judge_verify(const struct walk *w, const struct ask *a)
{
    const struct policy *p = w->p;
    const struct policy_data *data = p->script_data;
    for (size_t i = 0; i < p->nchecks; i++) {
        if (strcmp(p->checks[i].name, a->name) == 0) {
            struct place at = line_place(w->scan, data->source, a->line, "verify");
            if (!diags_has_at(w->d, "E108", at.file, at.line)) { /* the way leads here again */
                check_within(w->d, &at, a->within_ms < 0 ? "verify_within" : "the time to verify",
                             p, p->checks[i].cond,
                             a->within_ms < 0 ? p->verify_within_ms : a->within_ms, w->estate);
            }
        }
    }
}

/* Runs along the choices made so far, and on with the first answers. False: the script could not be
 * started. */
static bool follow(const struct walk *w, struct path *path, const struct json *target)
{
    const struct policy *p = w->p;
    struct err e = ERR_INIT;
    struct choice known[MAX_STEPS];
    int n = path->n;
    memcpy(known, path->choices, sizeof known);
    memset(path, 0, sizeof *path);
    path->steps = json_new_list();
    struct json *params = some_params(p);
    struct script *s = p->script->start(p->script_data, target, params, &e);
    json_free(params);
    if (!s) {
        return false;
    }
    struct json *said = NULL;
    struct ask a;
    for (;;) {
        p->script->resume(s, said, &a);
        json_free(said);
        said = NULL;
        if (a.kind == ASK_END || a.kind == ASK_FAULT) {
            path->faulted = a.kind == ASK_FAULT;
            snprintf(path->fault, sizeof path->fault, "%s", a.text ? a.text : "");
            path->fault_line = a.line;
            break;
        }
        path->fault_line = a.line;
        const struct signal *read = a.kind == ASK_READ ? signal_find(a.name, NULL) : NULL;
        if (read && p->target.kind && !check_listed(read->targets, p->target.kind)) {
            path->faulted = true; /* it would be nil for ever */
            snprintf(path->fault, sizeof path->fault,
                     "E107 : sig.%s is read from %s; this policy is for %s", a.name, read->targets,
                     p->target.kind);
            break;
        }
        if (++path->timeless > MAX_TIMELESS) {
            path->endless = true;
            break;
        }
        if (w->seek && a.kind == ASK_ACT && strcmp(a.name, w->seek) == 0) {
            path->sought = true;
            break;
        }
        if (a.kind == ASK_VERIFY && !w->seek) {
            judge_verify(w, &a);
        }
        int options = options_of(p, path, &a);
        if (path->n < MAX_STEPS) {
            path->choices[path->n] = (struct choice){
                .taken = path->n < n ? known[path->n].taken : 0, .options = options};
            said = answer(p, path, &a, path->choices[path->n].taken, options);
            path->n++;
        } else {
            path->cut = true;
            break;
        }
    }
    path->spent = script_spent(s);
    p->script->free(s);
    return true;
}

/* To the next untried answer; false when all were tried. */
static bool advance(struct path *path)
{
    while (path->n > 0) {
        struct choice *c = &path->choices[path->n - 1];
        if (c->taken + 1 < c->options) {
            c->taken++;
            return true;
        }
        path->n--;
    }
    return false;
}

static char *told(const struct json *steps)
{
    struct buf b;
    buf_init(&b, 600);
    size_t n = json_len(steps), from = n > 6 ? n - 6 : 0;
    (void)buf_adds(&b, from ? "..., " : "");
    for (size_t i = from; i < n; i++) {
        (void)buf_addf(&b, "%s%s", i > from ? ", " : "", json_str(json_at(steps, i), ""));
    }
    return buf_take(&b);
}

/* The walk knows nothing of the world: what a target or a parameter lacks is no mistake of the
 * text. A call of what is not there is one, whatever the target, and so is a change of what is
 * given. */
static bool from_stand_in(const char *fault)
{
    return strncmp(fault, "E118", 4) == 0 && !strstr(fault, "attempt to call") &&
           !strstr(fault, "cannot be changed") && !strstr(fault, "string.format knows");
}

static void judge(const struct walk *w, const struct path *path)
{
    const struct policy *p = w->p;
    const struct scan *scan = w->scan;
    struct diags *d = w->d;
    const struct policy_data *data = p->script_data;
    char *steps = told(path->steps);
    if (path->endless) {
        struct place at = line_place(scan, data->source, path->fault_line, NULL);
        diag_add(d, "E113", &at,
                 "policy \"%s\" can go on without end: more than %d steps without a wait, a verify "
                 "or a sleep",
                 p->name, MAX_TIMELESS);
    } else if (path->faulted && !from_stand_in(path->fault)) {
        const char *text = strstr(path->fault, ": "), *quote = text ? strchr(text, '"') : NULL;
        char code[8], word[80] = "";
        snprintf(code, sizeof code, "%.4s", path->fault);
        if (quote) {
            snprintf(word, sizeof word, "%.*s", (int)strcspn(quote + 1, "\""), quote + 1);
        }
        struct place at = line_place(scan, data->source, path->fault_line, *word ? word : NULL);
        diag_add(d, code, &at, "%s", text ? text + 2 : path->fault);
    } else if (!path->faulted && !path->cut && !path->paged &&
               (path->failed || path->verify_false)) {
        struct place at = line_place(scan, data->source, path->line, path->method);
        if (!diags_has_at(d, "W202", at.file, at.line)) {
            diag_add(d, "W202", &at,
                     "policy \"%s\" can fail silently: %s, and the run ends without a page",
                     p->name, steps);
        }
    }
    mem_free(steps);
}

static struct json *walk(const struct policy *p, const struct json *target,
                         const struct estate *estate, int64_t *budget, struct diags *d)
{
    const struct policy_data *data = p->script_data;
    struct json *out = json_new_map(), *paths = json_set(out, "paths", json_new_list());
    struct path *path = mem_alloc(sizeof *path);
    const struct walk w = {.p = p, .estate = estate, .scan = data->source->scans[0], .d = d};
    bool complete = true, more = true;
    int n = 0;
    for (; more && n < MAX_PATHS && (n == 0 || *budget > 0); n++) {
        bool started = follow(&w, path, target);
        if (started) {
            judge(&w, path);
            struct json *one = json_add(paths, json_new_map());
            const char *outcome = path->endless        ? "endless"
                                  : path->faulted      ? "fault"
                                  : path->cut          ? "cut"
                                  : path->failed       ? "failed"
                                  : path->verify_false ? "ineffective"
                                                       : "succeeded";
            json_set(one, "steps", json_copy(path->steps));
            json_set_str(one, "outcome", outcome);
            json_set_bool(one, "pages", path->paged);
        }
        complete = complete && started && !path->cut;
        *budget -= started ? path->spent : HOST_LOAD_BUDGET;
        more = started && !path->endless && advance(path);
        json_free(path->steps);
        path->steps = NULL;
    }
    if (more && n < MAX_PATHS) {
        struct place at = {.file = p->site.file,
                           .line = p->site.line,
                           .column = p->site.column,
                           .width = 6,
                           .text = data->source->text,
                           .text_len = data->source->len};
        diag_add(
            d, "W209", &at,
            "policy \"%s\": its run does too much between steps: %d of its ways were looked at "
            "before the instructions for that were spent, and the others were not; do less work in "
            "run",
            p->name, n);
    }
    json_set_str(out, "policy", p->name);
    json_set_bool(out, "complete", complete && !more);
    mem_free(path);
    return out;
}

/* What r.target is for the walk; NULL: the estate has none. The caller frees. */
static struct json *stand_in(const struct policy *p, const struct target *real)
{
    struct json *target = json_new_map();
    json_set_str(target, "kind", p->target.kind);
    json_set_str(target, "name", real ? real->name : "target");
    json_set_str(target, "id", real ? real->id : "target");
    json_set(target, "tag", real ? json_copy(real->tag) : json_new_map());
    json_set(target, "fields", real ? json_copy(real->fields) : json_new_map());
    return target;
}

/* Whether some way through run asks for that action on that target. */
static bool asks_for(const struct policy *p, const char *action, const struct target *t,
                     int64_t *budget)
{
    const struct policy_data *data = p->script_data;
    struct path *path = mem_alloc(sizeof *path);
    const struct walk w = {.p = p, .scan = data->source->scans[0], .seek = action};
    struct json *target = stand_in(p, t);
    bool sought = false, more = true;
    for (int n = 0; more && !sought && n<MAX_PATHS && * budget> 0; n++) {
        more = follow(&w, path, target);
        *budget -= more ? path->spent : HOST_LOAD_BUDGET;
        sought = more && path->sought;
        more = more && !path->endless && advance(path);
        json_free(path->steps);
        path->steps = NULL;
    }
    json_free(target);
    mem_free(path);
    return sought;
}

/* W211: an act on a target that lacks what it needs is told now and not when it is refused. A run
 * that asks for the field first is in order. */
static void check_needs(const struct policy *p, const struct target **targets, size_t n,
                        int64_t *budget, struct diags *d)
{
    const struct policy_data *data = p->script_data;
    for (size_t i = 0; i < p->nactions; i++) {
        const struct declared_action *a = &p->actions[i];
        const struct target *first = NULL;
        const char *field = NULL;
        size_t more = 0;
        char what[80], others[64] = "";
        for (size_t k = 0; a->type->needs && p->mode != MODE_OFF && k < n; k++) {
            const char *lacks =
                targets[k]->mode == MODE_OFF ? NULL : action_lacks(a->type, targets[k]);
            if (!lacks || (field && strcmp(field, lacks) != 0)) {
                continue;
            }
            more += first != NULL;
            first = first ? first : targets[k];
            field = lacks;
        }
        if (!first || (!p->ladder && !asks_for(p, a->name, first, budget))) {
            continue;
        }
        snprintf(what, sizeof what, "act.%s", a->type->name);
        if (more) {
            snprintf(others, sizeof others, " (and %zu other%s)", more, more > 1 ? "s" : "");
        }
        bool own = strcmp(a->site.file, data->source->name) == 0;
        struct place at = {.file = a->site.file,
                           .line = a->site.line,
                           .column = a->site.column,
                           .width = (int)strlen(what),
                           .text = own ? data->source->text : NULL,
                           .text_len = data->source->len};
        diag_add(d, "W211", &at,
                 "%s needs the field %s: policy \"%s\" is for %s%s, which has none, and will be "
                 "refused there; give it in the estate, leave the target out of the policy%s%s",
                 what, field, p->name, first->id, others,
                 p->ladder ? "" : ", or let run ask for r.target.fields.", p->ladder ? "" : field);
    }
}

struct json *policies_walk(const struct policy_set *set, const struct estate *estate,
                           struct diags *d)
{
    struct json *list = json_new_list();
    struct source *read = NULL;
    int64_t left = ALL_WALKS;
    size_t ahead = set->npolicies;
    for (size_t i = 0; i < set->npolicies; i++) {
        const struct policy *p = set->policies[i];
        int64_t share = left / (int64_t)ahead--, budget = share;
        const struct target **targets = NULL;
        size_t n = estate ? estate_select(estate, &p->target, &targets) : 0;
        if (p->ladder || p->script != &lua_script_ops) {
            if (p->ladder) {
                check_needs(p, targets, n, &budget, d);
            }
            mem_free(targets);
            continue;
        }
        struct json *target = stand_in(p, n ? targets[0] : NULL);
        /* Each way is a run that begins anew: what stands in the file is read once for all of them,
         * and for those of the file's other policies. */
        struct source *source = ((struct policy_data *)p->script_data)->source;
        if (!read || source != read) {
            if (read) {
                source_forget(read);
            }
            source_scan(source);
            read = source;
        }
        json_add(list, walk(p, target, estate, &budget, d));
        check_needs(p, targets, n, &budget, d);
        mem_free(targets);
        left -= share - budget;
        left = left > 0 ? left : 0;
        json_free(target);
    }
    if (read) {
        source_forget(read);
    }
    return list;
}
