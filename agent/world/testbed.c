/* The test world: one test of a policy in virtual time. */
#include "world/testbed.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "lua/lua.h"

#define MAX_EVENTS 20000000 /* of one test: 31 days of a reading a second, and some */
#define MAX_ROWS 10000
#define LOOK_EVERY 256   /* events between two questions whether it is enough */
#define ANSWER_MS 60000  /* an operator waits so long */
#define BACK_MS 100      /* after a restart it has taken up what was there */
#define DEFERRED_MS 5000 /* what a guard holds back is asked again after that */

struct bed {
    const struct test_case *t;
    struct policy_set *set;
    const struct testbed_kill *kill;
    struct testbed_result *out;
    struct virtual *v;
    struct json **states; /* of the test's targets; they outlive the agent, as the world does */
    size_t *requests;     /* of each of the test's results: how many there were */
    size_t *looks;        /* ... of them, looks in vain of which the outcome is not durable yet */
    size_t looked;        /* rows at the last of them */
    size_t durable;       /* rows that a kill cannot take back: nothing was waiting for the disk */
    size_t doubtful, before; /* when it was killed: the first that it may take back, and the end */
    struct json *calls;      /* what a human is called for, told when it is durable */
    uint64_t events;
    bool killed;
};

/* Readings */

static const struct test_point *point_at(const struct test_series *s, int64_t at_ms)
{
    size_t low = 0, high = s->npoints; /* the last one not after at_ms is before `high` */

    while (low < high) {
        size_t mid = (low + high) / 2;
        if (s->points[mid].at_ms <= at_ms)
            low = mid + 1;
        else
            high = mid;
    }
    return low ? &s->points[low - 1] : NULL;
}

static bool is_of(const struct test_series *s, const struct series *wanted)
{
    if (s->signal != wanted->signal || strcmp(s->target, wanted->target->id) != 0)
        return false;
    for (const struct json *o = json_first(s->opts); o; o = json_next(o))
        if (!json_equal(o, json_get(wanted->opts, json_key(o))))
            return false;
    return true;
}

/* The one with the most options in common. */
static const struct test_series *scripted(struct bed *b, const struct series *wanted)
{
    const struct test_series *best = NULL;

    for (size_t k = 0; k < b->t->nseries; k++) {
        const struct test_series *s = &b->t->series[k];
        if (is_of(s, wanted) && (!best || json_len(s->opts) > json_len(best->opts)))
            best = s;
    }
    if (best)
        b->out->read[best - b->t->series] = true;
    return best;
}

static bool sample(void *arg, const struct series *s, int64_t at_ms, double *value)
{
    struct bed *b = arg;
    const struct test_series *script = scripted(b, s);
    const struct test_point *p = script ? point_at(script, at_ms) : NULL;
    int64_t slack_ms = 3 * s->interval_ms + s->signal->lag_ms + DEFERRED_MS;

    if (slack_ms > b->out->slack_ms)
        b->out->slack_ms = slack_ms;
    if (!p || p->missing)
        return false;
    *value = p->value;
    return true;
}

/* Effects: the actions' own models of their targets */

static size_t index_of(const struct bed *b, const struct target *t)
{
    for (size_t k = 0; k < b->t->ntargets; k++)
        if (strcmp(b->t->targets[k].target->id, t->id) == 0)
            return k;
    return 0; /* there are no others in the test's estate */
}

static void set_fields(struct bed *b, const struct json *fields)
{
    struct json *state = b->states[0], *written = json_get_mut(state, "written");

    for (const struct json *f = json_first(fields); f; f = json_next(f)) {
        json_set(state, json_key(f), json_copy(f));
        json_set_int(written, json_key(f), b->t->starts_wall_ms + virtual_now(b->v));
    }
}

/* What the test says of the next request of this action; NULL: nothing. */
static const struct test_answer *answer_of(struct bed *b, const struct world_step *s,
                                           size_t **requests)
{
    for (size_t k = 0; k < b->t->nresults && index_of(b, s->target) == 0; k++) {
        const struct test_result *r = &b->t->results[k];
        if (strcmp(r->action, s->name) != 0)
            continue;
        *requests = &b->requests[k];
        if (r->always)
            return &r->answers[0];
        return b->requests[k] < r->nanswers ? &r->answers[b->requests[k]] : NULL;
    }
    *requests = NULL;
    return NULL;
}

static struct action_input input_of(const struct bed *b, const struct world_step *s)
{
    return (struct action_input){.target = s->target,
                                 .estate = s->estate,
                                 .opts = s->opts,
                                 .wall_ms = b->t->starts_wall_ms + virtual_now(b->v)};
}

static struct json *observe(void *arg, const struct world_step *s, struct err *e)
{
    struct bed *b = arg;
    struct action_input in = input_of(b, s);
    struct json *state = b->states[index_of(b, s->target)];
    size_t *requests;
    const struct test_answer *a = answer_of(b, s, &requests);

    if (a && a->ending == TEST_UNSEEN) {
        b->looks[requests - b->requests]++;
        b->looked = b->out->nrows;
        ++*requests;
        err_set(e, ERR_IO, "the target cannot be read, the test says");
        return NULL;
    }
    /* With a plan it is looked at again just before the request. */
    if (a && a->before && s->plan)
        set_fields(b, a->before);
    return s->type->state_seen ? s->type->state_seen(&in, state, e) : json_copy(state);
}

static enum applied apply(void *arg, const struct world_step *s, struct json **out, struct err *e)
{
    struct bed *b = arg;
    struct action_input in = input_of(b, s);
    size_t *requests;
    const struct test_answer *a = answer_of(b, s, &requests);
    enum test_ending ending = a ? a->ending : TEST_OK;

    (void)out;
    if (requests)
        (*requests)++;
    if (ending == TEST_OK || ending == TEST_IN_DOUBT_DONE)
        s->type->state_apply(&in, s->call, b->states[index_of(b, s->target)]);
    switch (ending) {
    case TEST_OK:
        return APPLIED_OK;
    case TEST_REFUSED:
        err_set(e, ERR_DENIED, "refused, the test says");
        return APPLIED_REFUSED;
    case TEST_NOT_SENT:
        err_set(e, ERR_IO, "not sent, the test says");
        return APPLIED_NOT_SENT;
    case TEST_IN_DOUBT_DONE:
    case TEST_IN_DOUBT_NOT_DONE:
    case TEST_UNSEEN:
        break;
    }
    err_set(e, ERR_TIMEOUT, "the answer was lost, the test says");
    return APPLIED_IN_DOUBT;
}

/* Rows */

/* What stood in the timeline when the agent was killed, but was perhaps not durable, is told again.
 */
static bool was_told(const struct bed *b, const char *text)
{
    for (size_t k = b->doubtful; b->killed && k < b->before; k++)
        if (testbed_same_text(b->out->rows[k].text, text, b->out->slack_ms))
            return true;
    return false;
}

/* Takes text over; `at` is where it stands among the rows. */
static struct testbed_row *add_row_at(struct bed *b, size_t at, int64_t at_ms, char *text,
                                      const char *note)
{
    struct testbed_result *r = b->out;

    if (r->nrows == r->cap) {
        r->cap = r->cap ? 2 * r->cap : 16;
        r->rows = mem_realloc(r->rows, r->cap * sizeof(*r->rows));
    }
    memmove(&r->rows[at + 1], &r->rows[at], (r->nrows++ - at) * sizeof(*r->rows));
    r->rows[at] = (struct testbed_row){.at_ms = at_ms,
                                       .text = text,
                                       .note = note && *note ? mem_strdup(note) : NULL,
                                       .doubtful = was_told(b, text)};
    if (r->nrows > MAX_ROWS && !r->broken)
        r->broken = mem_printf("more than %d rows: it does not end", MAX_ROWS);
    return &r->rows[at];
}

static struct testbed_row *add_row(struct bed *b, int64_t at_ms, char *text, const char *note)
{
    return add_row_at(b, b->out->nrows, at_ms, text, note);
}

/* The text up to a mark, and what follows it as the note. */
static void add_cut(struct bed *b, int64_t at_ms, const char *verb, const char *text,
                    const char *mark, const char *instead)
{
    const char *cut = strstr(text, mark);
    size_t len = cut ? (size_t)(cut - text) : strlen(text);

    add_row(b, at_ms, mem_printf("%s %.*s%s", verb, (int)len, text, cut ? instead : ""),
            cut ? cut + strlen(mark) : NULL);
}

/* A human is called: a row in its place, but only once the call is durable, which is when it goes
 * out. */
static void add_call(struct bed *b, int64_t at_ms, const char *what)
{
    add_row(b, at_ms, mem_printf("page %s", what), NULL)->unsent = true;
}

static void trace(void *arg, int64_t at_ms, const char *policy, const char *target,
                  const char *verb, const char *text)
{
    struct bed *b = arg;
    static const char *const bare[] = {"fire", "clear", "resolve"};
    static const char wanted[] = "wanted: ";

    if (strcmp(verb, "storm") == 0)
        add_call(b, at_ms, "storm");
    if (strcmp(policy, b->t->policy) != 0 || strcmp(target, b->t->targets[0].target->id) != 0)
        return;
    for (size_t k = 0; k < sizeof(bare) / sizeof(bare[0]); k++)
        if (strcmp(verb, bare[k]) == 0)
            add_row(b, at_ms, mem_strdup(verb), strcmp(verb, "fire") == 0 ? text : NULL);
    if (strcmp(verb, "deny") == 0 || strcmp(verb, "end") == 0)
        add_cut(b, at_ms, verb, text, ": ", "");
    else if (strcmp(verb, "act") == 0 || strcmp(verb, "undo") == 0)
        add_cut(b, at_ms, verb, text, " failed: ", " failed");
    else if (strcmp(verb, "verify") == 0 || strcmp(verb, "wait") == 0)
        add_row(b, at_ms, mem_printf("%s %s", verb, text), NULL);
    else if (strcmp(verb, "page") == 0)
        add_call(b, at_ms, text);
    else if (strcmp(verb, "blind") == 0 || strcmp(verb, "stuck") == 0)
        add_call(b, at_ms, strcmp(verb, "blind") == 0 ? "blind" : "in doubt");
    else if (strcmp(verb, "approval") == 0) {
        char *what = mem_printf("approval %s", text + (strncmp(text, wanted, 8) == 0 ? 8 : 0));
        add_call(b, at_ms, what);
        mem_free(what);
    }
}

/* The call that now goes out: the oldest that did not yet. */
static struct testbed_row *unsent(struct testbed_result *r)
{
    for (size_t k = 0; k < r->nrows; k++)
        if (r->rows[k].unsent)
            return &r->rows[k];
    return NULL;
}

/* A page of an episode's or a run's own: it stands after the row that it tells of. */
static struct testbed_row *add_page(struct bed *b, int64_t at_ms, bool over)
{
    size_t k = b->out->nrows;

    while (k > 0 && strncmp(b->out->rows[k - 1].text, over ? "end " : "fire", 4) != 0)
        k--;
    return add_row_at(b, k ? k : b->out->nrows, at_ms,
                      mem_strdup(over ? "page on_failure" : "page at_fire"), NULL);
}

static void report(void *arg, int64_t at_ms, const char *key, const struct json *r)
{
    struct bed *b = arg;
    const char *kind = json_get_str(r, "kind", ""), *policy = json_get_str(r, "policy", NULL);
    const char *target = json_get_str(r, "target", b->t->targets[0].target->id);
    bool trigger = strcmp(kind, "trigger") == 0, human = strcmp(kind, "human") == 0;
    bool over = json_get_str(r, "outcome", NULL) != NULL;
    struct testbed_row *row = NULL;

    (void)key;
    if ((!trigger && !human) || (policy && strcmp(policy, b->t->policy) != 0) ||
        strcmp(target, b->t->targets[0].target->id) != 0)
        return;
    if (trigger || over)
        row = add_page(b, at_ms, over);
    else if (policy || strncmp(json_get_str(r, "summary", ""), "Storm", 5) == 0)
        row = unsent(b->out);
    if (!row)
        return;
    row->unsent = false;
    row->note = mem_strdup(json_get_str(r, "summary", ""));
    if (json_get_bool(r, "shadow", false)) {
        char *text = mem_printf("%s shadow", row->text);
        mem_free(row->text);
        row->text = text;
    }
}

/* Calls that never went out. */
static void drop_unsent(struct testbed_result *r)
{
    size_t left = 0;

    for (size_t k = 0; k < r->nrows; k++)
        if (r->rows[k].unsent)
            mem_free(r->rows[k].text);
        else
            r->rows[left++] = r->rows[k];
    r->nrows = left;
}

static void kill_it(struct bed *b)
{
    struct err e = ERR_INIT;

    virtual_crash(b->v);
    b->killed = true;
    for (size_t k = 0; k < b->t->nresults; k++)
        b->requests[k] -= b->looks[k];
    b->doubtful = b->durable;
    drop_unsent(b->out);
    b->before = b->out->nrows;
    for (size_t k = b->doubtful; k < b->before; k++)
        b->out->rows[k].doubtful = true;
    if (virtual_start(b->v, b->set, b->t->estate, &e) && !b->out->broken)
        b->out->broken = mem_printf("it does not start again: %s", e.text);
}

static void look_at_step(void *arg, const char *key, const struct json *doc)
{
    bool *unsettled = arg;
    const char *state = json_get_str(doc, "state", "");

    (void)key;
    if (strcmp(state, "intent") == 0 || strcmp(state, "in_doubt") == 0)
        *unsettled = true;
}

static void note_commit(struct bed *b, uint64_t commit)
{
    struct testbed_result *r = b->out;
    bool unsettled = false;

    memory_disk_each(virtual_disk(b->v), "step", look_at_step, &unsettled);
    if (unsettled)
        return;
    r->commits = mem_realloc(r->commits, (r->ncommits + 1) * sizeof(*r->commits));
    r->commits[r->ncommits++] = commit;
}

/* One event; false when there is none until then. */
static bool step(struct bed *b, int64_t until_ms)
{
    uint64_t before = memory_disk_commits(virtual_disk(b->v)), commit;

    if (!virtual_step(b->v, until_ms))
        return false;
    b->events++;
    if (memory_journal_pending(virtual_journal(b->v)) == 0) {
        b->durable = b->out->nrows;
        if (b->out->nrows > b->looked)
            memset(b->looks, 0, b->t->nresults * sizeof(*b->looks));
    }
    commit = memory_disk_commits(virtual_disk(b->v));
    if (b->killed)
        return true;
    if (commit != before && !b->kill->after_commit && !b->kill->after_event)
        note_commit(b, commit);
    if ((b->kill->after_commit && commit >= b->kill->after_commit) ||
        (b->kill->after_event && b->events == b->kill->after_event))
        kill_it(b);
    return true;
}

static void until(struct bed *b, int64_t at_ms)
{
    while (!b->out->broken && step(b, at_ms)) {
        b->out->left =
            b->kill->enough && b->events % LOOK_EVERY == 0 && b->kill->enough(b->kill->arg);
        if (b->out->left)
            b->out->broken = mem_strdup("it was left before its end");
        else if (b->events > MAX_EVENTS)
            b->out->broken = mem_printf("more than %d events: it does not end", MAX_EVENTS);
    }
    virtual_run_until(b->v, b->out->broken ? virtual_now(b->v) : at_ms);
}

/* People */

static void answered(void *arg, struct json *answer)
{
    *(struct json **)arg = answer;
}

/* The answer to a command (which is taken), of the tested policy on the tested target; NULL: the
 * agent was killed before it gave one. The caller frees. */
static struct json *ask(struct bed *b, struct json *command)
{
    bool killed = b->killed;
    struct json *answer = NULL;

    json_set_str(command, "policy", b->t->policy);
    json_set_str(command, "target", b->t->targets[0].target->id);
    engine_command(virtual_engine(b->v), command, answered, &answer);
    while (!answer && b->killed == killed && step(b, virtual_now(b->v) + ANSWER_MS))
        ;
    json_free(command);
    return answer;
}

/* The open run of the tested policy on the tested target, or NULL. The caller frees. */
static char *open_run(struct bed *b)
{
    struct json *status = json_new_map();
    char *run = NULL;

    json_set_str(status, "command", "status");
    status = ask(b, status);
    for (const struct json *p = json_first(json_get(status, "policies")); p; p = json_next(p))
        if (strcmp(json_get_str(p, "policy", ""), b->t->policy) == 0 &&
            strcmp(json_get_str(p, "target", ""), b->t->targets[0].target->id) == 0)
            run = mem_strdup(json_get_str(p, "run", NULL));
    json_free(status);
    return run;
}

static void order(struct bed *b, const struct test_order *o)
{
    struct json *command = json_copy(o->command), *answer;
    bool killed = b->killed;
    char *run = open_run(b), at[UNIT_TEXT];
    const char *error;

    json_set_str(command, "run", run);
    answer = ask(b, json_copy(command));
    if (!answer &&
        b->killed != killed) { /* who gets no answer asks again; it may be done already */
        until(b, virtual_now(b->v) + BACK_MS);
        json_free(ask(b, json_copy(command)));
    }
    json_free(command);
    error = answer                ? json_get_str(answer, "error", NULL)
            : b->killed != killed ? NULL
                                  : "there is no answer";
    if (error && !b->out->broken)
        b->out->broken = mem_printf("%s:%d: the operator's \"%s\" at %s is refused: %s",
                                    o->site.file, o->site.line, o->text,
                                    unit_format_duration(at, sizeof(at), o->at_ms), error);
    json_free(answer);
    mem_free(run);
}

static void explain(struct bed *b)
{
    struct json *command = json_new_map();

    json_set_str(command, "command", "explain");
    json_add(b->out->explains, ask(b, command));
}

/* From beginning to end: at each moment first the readings, then others' changes, then people. */
static void play(struct bed *b)
{
    const struct test_case *t = b->t;
    size_t c = 0, o = 0, x = 0;

    while (!b->out->broken) {
        int64_t at_ms = t->run_for_ms;
        bool last = c == t->nchanges && o == t->norders && x == t->nexplains;
        if (c < t->nchanges && t->changes[c].at_ms < at_ms)
            at_ms = t->changes[c].at_ms;
        if (o < t->norders && t->orders[o].at_ms < at_ms)
            at_ms = t->orders[o].at_ms;
        if (x < t->nexplains && t->explains[x].at_ms < at_ms)
            at_ms = t->explains[x].at_ms;
        until(b, at_ms);
        if (last)
            return;
        for (; c < t->nchanges && t->changes[c].at_ms == at_ms; c++)
            set_fields(b, t->changes[c].fields);
        for (; o < t->norders && t->orders[o].at_ms == at_ms && !b->out->broken; o++)
            order(b, &t->orders[o]);
        for (; x < t->nexplains && t->explains[x].at_ms == at_ms; x++)
            explain(b);
    }
}

bool testbed_run(const struct test_case *t, struct policy_set *set, const struct testbed_kill *kill,
                 struct testbed_result *out)
{
    struct bed b = {.t = t, .set = set, .kill = kill, .out = out};
    struct virtual_options o = {
        .seed = 1,
        .start_wall_ms = t->starts_wall_ms,
        .engine = {.mode = MODE_ENFORCE, .host = "test"},
        .loader = *lua_policy_loader(),
        .model = {sample, observe, apply, NULL, trace, report, NULL, NULL, &b},
        .backfill = true,
    };
    struct err e = ERR_INIT;

    memset(out, 0, sizeof(*out));
    out->explains = json_new_list();
    out->slack_ms = DEFERRED_MS;
    out->read = mem_calloc(t->nseries + 1, sizeof(*out->read));
    b.requests = mem_calloc(t->nresults + 1, sizeof(*b.requests));
    b.looks = mem_calloc(t->nresults + 1, sizeof(*b.looks));
    b.states = mem_calloc(t->ntargets + 1, sizeof(struct json *));
    for (size_t k = 0; k < t->ntargets; k++)
        b.states[k] = json_copy(t->targets[k].state);
    b.v = virtual_new(&o);
    if (virtual_start(b.v, set, t->estate, &e))
        out->broken = mem_printf("the agent does not start: %s", e.text);
    play(&b);
    drop_unsent(out);
    virtual_free(b.v);
    for (size_t k = 0; k < t->ntargets; k++)
        json_free(b.states[k]);
    mem_free(b.states);
    mem_free(b.requests);
    mem_free(b.looks);
    return b.killed || (!kill->after_commit && !kill->after_event);
}
