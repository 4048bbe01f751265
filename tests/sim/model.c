/* The modelled estate: load makes CPU, CPU makes latency and errors, instances take time to boot;
 * applications leak connections. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"
#include "harness/number.h"
#include "model.h"

#define WALL_MS 1790035200000 /* a midnight, UTC */

double sim_noise(const struct sim *s, int who, int64_t at_ms)
{
    uint64_t z = s->seed * 0x9e3779b97f4a7c15u + (uint64_t)(at_ms / MIN) * 31 + (uint64_t)who;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return (double)(z >> 11) / (double)(1ULL << 52) - 1;
}

/* A parabola each way: no sine is needed to have a day. */
double sim_daily(int64_t at_ms)
{
    double h = (double)(at_ms % DAY) / (double)HOUR - 4; /* hours since the lowest */

    h = h < 0 ? h + 24 : h;
    h = h <= 12 ? h / 6 - 1 : 3 - h / 6; /* -1 to 1 and back */
    return h * (2 - (h < 0 ? -h : h));
}

/* Groups */

static void boot(struct group *g, int64_t at_ms)
{
    int left = 0;

    for (int k = 0; k < g->nboots; k++)
        if (g->boots[k] > at_ms)
            g->boots[left++] = g->boots[k];
    g->nboots = left;
    g->in_service = g->desired - g->nboots;
}

static double load_of(const struct sim *s, int n, int64_t at_ms)
{
    const struct group *g = &s->g[n];
    double traffic = s->now->traffic ? s->now->traffic(s, n, at_ms) : 240;

    return traffic / (g->in_service > 0 ? g->in_service : 1);
}

/* Milliseconds: flat until the knee, then steep. */
static double p99_of(double load)
{
    double over = load > 60 ? (load - 60) / 10 : 0;

    return 120 * (1 + over * over);
}

static double errors_of(double load)
{
    return load > 100 ? 0.01 + (load - 100) * 0.5 : 0.01;
}

static void resize(struct group *g, int to, int64_t at_ms)
{
    for (int k = g->desired; k < to; k++)
        g->boots[g->nboots++] = at_ms + BOOT_MS;
    if (to < g->desired && g->nboots > to)
        g->nboots = to;
    g->grown += to > g->desired;
    g->shrunk += to < g->desired;
    g->desired = to;
    g->lowest = to < g->lowest ? to : g->lowest;
    g->highest = to > g->highest ? to : g->highest;
    if (g->nchanges < 400)
        g->changes[g->nchanges++] = at_ms;
    boot(g, at_ms);
}

/* Databases */

static bool add_session(struct db *d, enum session_kind kind, int64_t at_ms)
{
    if (d->n == MAX_CONNECTIONS) {
        d->refused++;
        return false;
    }
    d->s[d->n++] = (struct session){kind, d->next_pid++, at_ms, at_ms};
    d->most = d->n > d->most ? d->n : d->most;
    return true;
}

static void leak(struct sim *s, int n, int64_t from_ms, int64_t to_ms)
{
    struct db *d = &s->db[n];
    double rate = s->now->leak ? s->now->leak(s, n, to_ms) : 0;

    d->owed += rate * (double)(to_ms - from_ms) / (double)MIN;
    while (d->owed >= 1) {
        d->owed -= 1;
        add_session(d, LEAKED, to_ms);
    }
    if (rate < 0) { /* the application is restarted: what it leaked is gone */
        int left = 0;
        for (int k = 0; k < d->n; k++)
            if (d->s[k].kind != LEAKED)
                d->s[left++] = d->s[k];
        d->n = left;
        d->owed = 0;
    }
}

static int clients(const struct db *d)
{
    int n = 0;

    for (int k = 0; k < d->n; k++)
        n += d->s[k].kind != REPLICATION;
    return n;
}

static void advance(struct sim *s, int64_t at_ms)
{
    if (at_ms <= s->at_ms)
        return;
    for (int n = 0; n < GROUPS; n++)
        boot(&s->g[n], at_ms);
    for (int n = 0; n < DBS; n++)
        leak(s, n, s->at_ms, at_ms);
    if (at_ms / MIN != s->at_ms / MIN)
        for (int n = 0; n < GROUPS; n++)
            s->g[n].slow_minutes += p99_of(load_of(s, n, at_ms)) >= 500;
    s->at_ms = at_ms;
}

/* Readings */

static const char *const remembered[] = {"asg_cpu", "alb_p99", "alb_5xx", "asg_in_service"};

static int index_of(const struct target *t)
{
    return t->name[strlen(t->name) - 1] - '0';
}

static double reading(struct sim *s, const char *signal, int n)
{
    double load;

    if (strcmp(signal, "pg_connections") == 0)
        return clients(&s->db[n]);
    load = load_of(s, n, s->at_ms);
    if (strcmp(signal, "asg_cpu") == 0)
        return load > 100 ? 100 : load;
    if (strcmp(signal, "alb_p99") == 0)
        return p99_of(load);
    if (strcmp(signal, "alb_5xx") == 0)
        return errors_of(load);
    return 100.0 * s->g[n].in_service / s->g[n].desired;
}

static bool sample(void *arg, const struct series *r, int64_t at_ms, double *value)
{
    struct sim *s = arg;
    const char *signal = r->signal->name;
    int n = index_of(r->target), which = 0, slot = (int)(at_ms / MIN % KEPT);

    while (which < 4 && strcmp(remembered[which], signal) != 0)
        which++;
    if (at_ms < s->at_ms) { /* history: what was read then, by the minute */
        if (which == 4 || s->kept_at[which][n][slot] != at_ms)
            return false;
        *value = (double)s->kept[which][n][slot];
        return true;
    }
    advance(s, at_ms);
    *value = reading(s, signal, n);
    if (s->now->arrives && !s->now->arrives(s, signal, n, at_ms, value))
        return false;
    if (which < 4 && at_ms % MIN == 0) {
        s->kept[which][n][slot] = (float)*value;
        s->kept_at[which][n][slot] = at_ms;
    }
    return true;
}

/* Actions: what observing sees and what a request does; the thinking is the real one */

static struct json *see_group(const struct group *g)
{
    struct json *j = json_new_map();

    json_set_int(j, "desired", g->desired);
    json_set_int(j, "min", g->min);
    json_set_int(j, "max", g->max);
    json_set_int(j, "in_service", g->in_service);
    json_set(j, "controllers", json_new_list());
    json_set(j, "suspended", json_new_list());
    return j;
}

static void moment(struct json *j, const char *key, int64_t at_ms)
{
    char text[40];

    json_set_str(j, key, time_format_iso(text, sizeof(text), WALL_MS + at_ms));
}

static struct json *see_sessions(const struct sim *s, const struct db *d)
{
    static const char *const states[KINDS] = {"active", "idle", "idle in transaction",
                                              "idle",   "idle", "active"};
    struct json *j = json_new_map(), *list = json_set(j, "sessions", json_new_list());

    json_set_int(j, "now_ms", WALL_MS + s->at_ms);
    for (int k = 0; k < d->n; k++) {
        const struct session *x = &d->s[k];
        struct json *i = json_add(list, json_new_map());
        /* what is pooled was used a moment ago */
        int64_t changed = x->kind == POOLED || x->kind == BUSY ? s->at_ms - 2 * SEC : x->changed_ms;
        json_set_int(i, "pid", x->pid);
        moment(i, "backend_start", x->born_ms);
        moment(i, "state_change", changed);
        json_set_str(i, "state", states[x->kind]);
        json_set_str(i, "backend_type", x->kind == REPLICATION ? "walsender" : "client backend");
        json_set_str(i, "user", x->kind == SUPERUSER ? "postgres" : "app");
        json_set_bool(i, "superuser", x->kind == SUPERUSER);
        json_set_int(i, "state_age_ms", s->at_ms - changed);
    }
    return j;
}

static struct json *observe(void *arg, const struct world_step *step, struct err *e)
{
    struct sim *s = arg;
    int n = index_of(step->target);

    (void)e;
    advance(s, virtual_now(s->v));
    return strcmp(step->target->kind, "asg") == 0 ? see_group(&s->g[n])
                                                  : see_sessions(s, &s->db[n]);
}

static int end_one(struct sim *s, struct db *d, const char *identity)
{
    int pid = number_in(identity);

    for (int k = 0; k < d->n; k++)
        if (d->s[k].pid == pid) {
            d->protected_ended += d->s[k].kind != LEAKED;
            d->s[k] = d->s[--d->n];
            d->ended++;
            if (s->now->reconnect)
                add_session(d, LEAKED, s->at_ms);
            return 1;
        }
    return 0;
}

static enum applied apply(void *arg, const struct world_step *step, struct json **out,
                          struct err *e)
{
    struct sim *s = arg;
    const struct json *args = json_get(step->call, "args");
    int n = index_of(step->target), to = (int)json_get_int(args, "DesiredCapacity", 0), done = 0;
    struct db *d;

    (void)out;
    advance(s, virtual_now(s->v));
    if (strcmp(step->target->kind, "asg") == 0) {
        if (to > s->g[n].max || to < s->g[n].min) {
            err_set(e, ERR_DENIED, "ValidationError: outside the group's limits");
            return APPLIED_REFUSED;
        }
        resize(&s->g[n], to, s->at_ms);
        return APPLIED_OK;
    }
    d = &s->db[n];
    for (const struct json *i = json_first(json_get(args, "names")); i; i = json_next(i))
        done += end_one(s, d, json_str(i, ""));
    if (d->nacts < 400)
        d->acts[d->nacts++] = s->at_ms;
    return done ? APPLIED_OK : APPLIED_REFUSED;
}

static int64_t latency(void *arg, const struct world_step *step)
{
    (void)arg;
    (void)step;
    return 200;
}

/* What is seen from outside */

static void trace(void *arg, int64_t at_ms, const char *policy, const char *target,
                  const char *verb, const char *text)
{
    struct sim *s = arg;
    static const char *const rows[] = {"fire", "deny", "act",   "verify",  "wait",
                                       "undo", "page", "clear", "resolve", "end"};
    bool act = strcmp(verb, "act") == 0, bare = true, row = false;
    size_t len = strlen(text);

    (void)policy;
    if (strcmp(verb, "fire") == 0 && !s->fires++)
        s->first_fire_ms = at_ms;
    s->denials += strcmp(verb, "deny") == 0;
    s->resolves += strcmp(verb, "resolve") == 0;
    s->blinds += strcmp(verb, "blind") == 0;
    s->shadow_acts += act && len > 6 && strcmp(text + len - 6, "shadow") == 0;
    if (act && len > 3 && strcmp(text + len - 3, " ok") == 0 && !s->acts++)
        s->first_act_ms = at_ms;
    if (strcmp(verb, "undo") == 0 && len > 3 && strcmp(text + len - 3, " ok") == 0 && !s->undos++)
        s->first_undo_ms = at_ms;
    for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++)
        row = row || strcmp(verb, rows[k]) == 0;
    if (!row || !s->watched || strcmp(target, s->watched) != 0)
        return;
    bare = strcmp(verb, "fire") == 0 || strcmp(verb, "clear") == 0 || strcmp(verb, "resolve") == 0;
    mem_free(s->last_row);
    s->last_row = mem_printf("m %s%s%s\n", verb, bare ? "" : " ", bare ? "" : text);
    if (!s->once ||
        !strstr(buf_str(&s->rows), s->last_row)) /* what was not durable is told again */
        (void)buf_addf(&s->rows, "%lld%s", (long long)(at_ms / MIN), s->last_row);
}

static void report(void *arg, int64_t at_ms, const char *key, const struct json *j)
{
    struct sim *s = arg;
    const char *kind = json_get_str(j, "kind", "");

    (void)at_ms;
    (void)key;
    if (json_get_bool(j, "shadow", false)) {
        s->shadow_pages += strcmp(kind, "trigger") == 0;
        return;
    }
    s->triggers += strcmp(kind, "trigger") == 0;
    s->resolved += strcmp(kind, "resolve") == 0;
    if (strcmp(kind, "human") == 0) {
        s->humans++;
        snprintf(s->last_human, sizeof(s->last_human), "%s", json_get_str(j, "summary", ""));
    }
}

static void emergency(void *arg, int64_t at_ms, const char *text)
{
    (void)at_ms;
    (void)text;
    ((struct sim *)arg)->emergencies++;
}

/* From beginning to end */

static struct estate *estate(void)
{
    struct estate *e = estate_new();
    struct err err = ERR_INIT;

    for (int n = 0; n < GROUPS + DBS; n++) {
        struct json *tag = json_new_map(), *fields = json_new_map();
        bool db = n >= GROUPS;
        char name[16];
        snprintf(name, sizeof(name), db ? "db-%d" : "web-%d", db ? n - GROUPS : n);
        json_set_str(tag, "tier", db ? "data" : "web");
        json_set_str(fields, "aws", "prod");
        if (estate_add(e, db ? "postgres" : "asg", name, tag, fields, MODE_ENFORCE, "estate.lua",
                       n + 1, &err))
            fail_msg("%s", err.text);
    }
    return e;
}

static struct policy_set *policies(const char *path, struct estate *e, enum mode mode)
{
    struct diags *d = diags_new();
    struct policy_load_options o = {.paths = &path, .npaths = 1, .mode = MODE_ENFORCE, .estate = e};
    struct policy_set *set = policies_load(&o, d);

    if (!set) {
        struct buf b;
        buf_init(&b, 1 << 16);
        diags_print(d, &b, false);
        fail_msg("%s", buf_str(&b));
    }
    for (size_t k = 0; set && k < set->npolicies; k++)
        set->policies[k]->mode = mode;
    diags_free(d);
    return set;
}

void sim_begin(struct sim *s, const struct scenario *sc, const char *path, uint64_t seed)
{
    memset(s, 0, sizeof(*s));
    s->now = sc;
    s->seed = seed;
    buf_init(&s->rows, 1 << 20);
    for (int n = 0; n < GROUPS; n++)
        s->g[n] = (struct group){
            .desired = 8, .min = 4, .max = 30, .in_service = 8, .lowest = 8, .highest = 8};
    for (int n = 0; n < DBS; n++) {
        int others = sc->others ? sc->others : 300;
        s->db[n].next_pid = 1000;
        for (int k = 0; k < others; k++)
            add_session(&s->db[n],
                        k < 5        ? SUPERUSER
                        : k < 8      ? REPLICATION
                        : k < 20     ? IN_TRANSACTION
                        : k % 3 == 0 ? BUSY
                                     : POOLED,
                        -2 * HOUR);
    }
    s->estate = estate();
    s->set = policies(path, s->estate, sc->no_agent ? MODE_OFF : sc->mode);
    s->o = (struct virtual_options){
        .seed = seed,
        .start_wall_ms = WALL_MS,
        .engine = {.mode = MODE_ENFORCE, .host = "ops1"},
        .loader = *lua_policy_loader(),
        .model = {sample, observe, apply, latency, trace, report, emergency, NULL, s},
        .backfill = true,
    };
    s->v = virtual_new(&s->o);
    log_set_level(LOG_LVL_ERROR + 1);
}

void sim_start(struct sim *s)
{
    struct err e = ERR_INIT;

    if (virtual_start(s->v, s->set, s->estate, &e))
        fail_msg("%s", e.text);
}

void sim_restart(struct sim *s)
{
    virtual_crash(s->v);
    sim_start(s);
}

void sim_end(struct sim *s)
{
    virtual_free(s->v);
    policy_set_unref(s->set);
    estate_unref(s->estate);
    buf_free(&s->rows);
    mem_free(s->last_row);
}

void sim_until(struct sim *s, int64_t at_ms)
{
    virtual_run_until(s->v, at_ms);
}

void sim_head(struct sim *s, char hex[65])
{
    int64_t seq;

    virtual_journal(s->v)->ops->head(virtual_journal(s->v), hex, &seq);
}
