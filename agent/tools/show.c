/* Tables and pages of what the agent knows. */
#include "tools/show.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/units.h"

#define HEADS(...)                                                                                 \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

static void when(struct cell *c, size_t column, const struct json *row, const char *key)
{
    int64_t ms = json_get_int(row, key, 0);
    char at[40];

    if (ms)
        table_set(c, column, TONE_DIM, "%s", time_format_iso(at, sizeof(at), ms));
}

static void policy_row(struct table *table, const struct json *p)
{
    struct cell *c = table_row(table);
    const char *state = json_get_str(p, "state", "?"), *mode = json_get_str(p, "mode", "?"),
               *run = json_get_str(p, "run_state", NULL);

    if (json_get_bool(p, "breaker_open", false))
        state = "breaker open";
    table_set(c, 0, TONE_PLAIN, "%s", json_get_str(p, "policy", "?"));
    table_set(c, 1, TONE_PLAIN, "%s", json_get_str(p, "target", "?"));
    table_set(c, 2, text_tone(mode), "%s", mode);
    table_set(c, 3, strcmp(state, "breaker open") == 0 ? TONE_BAD : text_tone(state), "%s", state);
    if (run)
        table_set(c, 4, TONE_PLAIN, "%s: %s %s", run, json_get_str(p, "asks", ""),
                  json_get_str(p, "asks_name", ""));
    else
        table_set(c, 4, TONE_DIM, "%s", json_get_str(p, "reading", ""));
}

void show_listing(struct text *t, const struct json *l)
{
    const char *listed = json_get_str(l, "listed", "?");
    bool fine = strcmp(listed, "complete") == 0 && json_get_int(l, "failures", 0) == 0;
    char age[48];

    text_addf(t, TONE_PLAIN, "%s: ", json_get_str(l, "name", "?"));
    text_addf(t, fine ? TONE_PLAIN : TONE_BAD, "%lld targets",
              (long long)json_get_int(l, "members", 0));
    if (json_get_int(l, "absent", 0))
        text_addf(t, TONE_WARN, ", %lld absent", (long long)json_get_int(l, "absent", 0));
    if (json_get(l, "last_ok_age_ms")) {
        text_age(age, json_get_int(l, "last_ok_age_ms", 0));
        text_addf(t, TONE_DIM, ", listed %s", age);
    }
    if (strcmp(listed, "unsure") == 0)
        text_add(t, TONE_BAD, ", not listed completely since the start");
    if (strcmp(listed, "empty") == 0)
        text_add(t, TONE_BAD, ", the last listing was empty: not believed");
    text_add(t, TONE_PLAIN, "\n");
    if (json_get_str(l, "error", NULL)) {
        text_addf(t, TONE_BAD,
                  "  failing, %lld times: ", (long long)json_get_int(l, "failures", 0));
        text_wrap(t, TONE_BAD, json_get_str(l, "error", ""), 24, 4);
    }
}

static void show_outside(struct text *t, const struct json *m)
{
    const struct json *o = json_get(m, "outbox");
    char age[48];
    size_t failing = 0, refused = 0;

    if (!m)
        return;
    for (const struct json *s = json_first(json_get(m, "sources")); s; s = json_next(s)) {
        failing += strcmp(json_get_str(s, "state", ""), "failing") == 0;
        refused += json_get_int(s, "refused", 0) > 0;
    }
    text_addf(t, TONE_PLAIN, "reports  %lld waiting, %lld delivered, %lld given up\n",
              (long long)json_get_int(o, "pending", 0), (long long)json_get_int(o, "delivered", 0),
              (long long)json_get_int(o, "dead", 0));
    if (json_get_str(o, "error", NULL)) {
        text_age(age, json_get_int(o, "oldest_ms", 0));
        text_addf(t, TONE_BAD, "         the oldest from %s; ", age);
        text_wrap(t, TONE_BAD, json_get_str(o, "error", ""), 9 + 17 + strlen(age), 9);
    }
    text_addf(t, failing ? TONE_BAD : TONE_PLAIN, "sources  %zu, %zu failing",
              json_len(json_get(m, "sources")), failing);
    if (refused)
        text_addf(t, TONE_WARN, ", %zu refuse a part", refused);
    text_add(t, TONE_PLAIN, failing || refused ? " (runbookctl sources)\n" : "\n");
    for (const struct json *l = json_first(json_get(m, "listings")); l; l = json_next(l)) {
        text_add(t, TONE_PLAIN, "listing  ");
        show_listing(t, l);
    }
    text_addf(t, TONE_DIM, "loop     longest turn of the last minute %.0f ms\n",
              json_get_num(m, "loop_lag_minute_ms", 0));
}

#define LEFT_OUT_SHOWN 5

void show_left_out(struct text *t, const struct json *rows)
{
    size_t n = 0, all = json_len(rows);

    for (const struct json *o = json_first(rows); o && n < LEFT_OUT_SHOWN; o = json_next(o), n++) {
        text_addf(t, TONE_WARN, "%s does not apply to %s:\n  ", json_get_str(o, "policy", "?"),
                  json_get_str(o, "target", "?"));
        text_wrap(t, TONE_WARN, json_get_str(o, "why", ""), 2, 2);
    }
    if (n < all)
        text_addf(t, TONE_WARN, "... and to %zu more targets (--json has all of them)\n", all - n);
}

void show_status(struct text *t, const struct json *a)
{
    const char *mode = json_get_str(a, "mode", "?");
    struct table table;

    text_addf(t, TONE_HEAD, "runbookd on %s", json_get_str(a, "host", "?"));
    text_add(t, TONE_PLAIN, "  mode ");
    text_add(t, text_tone(mode), mode);
    text_add(t, TONE_PLAIN, "\n");
    if (json_get_bool(a, "frozen", false)) {
        text_addf(t, TONE_BAD, "FROZEN by %s: ", json_get_str(a, "frozen_by", "?"));
        text_wrap(t, TONE_BAD, json_get_str(a, "frozen_reason", ""),
                  12 + strlen(json_get_str(a, "frozen_by", "?")), 2);
    }
    if (json_get_bool(a, "storm", false))
        text_add(t, TONE_BAD,
                 "STORM: too many episodes at once; it only watches (runbookctl mode)\n");
    if (!json_get_bool(a, "journal_ok", true))
        text_add(t, TONE_BAD, "THE JOURNAL CANNOT BE WRITTEN: nothing is done until it can\n");
    show_outside(t, json_get(a, "metrics"));
    text_add(t, TONE_PLAIN, "\n");
    if (json_len(json_get(a, "policies")) == 0) {
        text_add(t, TONE_WARN, "no policy has a target\n");
    } else {
        table_init(&table, 5, HEADS("POLICY", "TARGET", "MODE", "STATE", "NOW"));
        for (const struct json *p = json_first(json_get(a, "policies")); p; p = json_next(p))
            policy_row(&table, p);
        table_print(&table, t);
    }
    show_left_out(t, json_get(a, "left_out"));
    for (const struct json *r = json_first(json_get(a, "in_doubt")); r; r = json_next(r)) {
        text_addf(t, TONE_BAD, "IN DOUBT: did the last request of %s to %s take effect? ",
                  json_get_str(r, "policy", "?"), json_get_str(r, "target", "?"));
        text_add(t, TONE_BAD,
                 json_get_bool(r, "stuck", false) ? "Nobody knows. Look, then:\n" : "Asking.\n");
        if (json_get_bool(r, "stuck", false))
            text_addf(t, TONE_BAD, "  runbookctl settle %s done | not-done\n",
                      json_get_str(r, "run", "?"));
    }
    for (const struct json *s = json_first(json_get(a, "silences")); s; s = json_next(s)) {
        char at[40];
        text_addf(t, TONE_WARN, "silence %s: %s %s until %s by %s: %s\n",
                  json_get_str(s, "id", "?"), json_get_str(s, "policy", "any policy"),
                  json_get_str(s, "target", "any target"),
                  time_format_iso(at, sizeof(at), json_get_int(s, "until_wall_ms", 0)),
                  json_get_str(s, "by", "?"), json_get_str(s, "reason", ""));
    }
}

void show_episodes(struct text *t, const struct json *a)
{
    struct table table;

    table_init(&table, 6, HEADS("EPISODE", "POLICY", "TARGET", "STATE", "FIRED", "SEEN"));
    for (const struct json *e = json_first(json_get(a, "episodes")); e; e = json_next(e)) {
        struct cell *c = table_row(&table);
        const char *state = json_get_str(e, "state", "?");
        char fired[48];
        table_set(c, 0, TONE_PLAIN, "%s", json_get_str(e, "id", "?"));
        table_set(c, 1, TONE_PLAIN, "%s", json_get_str(e, "policy", "?"));
        table_set(c, 2, TONE_PLAIN, "%s", json_get_str(e, "target", "?"));
        table_set(c, 3, text_tone(state), "%s", state);
        text_age(fired, (int64_t)time(NULL) * 1000 - json_get_int(e, "fired_wall_ms", 0));
        table_set(c, 4, TONE_DIM, "%s", fired);
        table_set(c, 5, TONE_PLAIN, "%s", json_get_str(e, "seen", ""));
    }
    table_print(&table, t);
}

void show_runs(struct text *t, const struct json *a)
{
    struct table table;

    table_init(&table, 5, HEADS("RUN", "POLICY", "TARGET", "STATE", "NOTE"));
    for (const struct json *r = json_first(json_get(a, "runs")); r; r = json_next(r)) {
        struct cell *c = table_row(&table);
        const char *state = json_get_str(r, "outcome", json_get_str(r, "state", "?"));
        table_set(c, 0, TONE_PLAIN, "%s", json_get_str(r, "id", "?"));
        table_set(c, 1, TONE_PLAIN, "%s", json_get_str(r, "policy", "?"));
        table_set(c, 2, TONE_PLAIN, "%s", json_get_str(r, "target", "?"));
        table_set(c, 3, text_tone(state), "%s", state);
        table_set(c, 4, TONE_DIM, "%s", json_get_str(r, "note", ""));
    }
    table_print(&table, t);
}

void show_decisions(struct text *t, const struct json *a)
{
    struct table table;

    table_init(&table, 5, HEADS("AT", "POLICY", "TARGET", "GUARD", "WHY"));
    for (const struct json *r = json_first(json_get(a, "decisions")); r; r = json_next(r)) {
        struct cell *c = table_row(&table);
        when(c, 0, r, "wall_ms");
        table_set(c, 1, TONE_PLAIN, "%s", json_get_str(r, "policy", "?"));
        table_set(c, 2, TONE_PLAIN, "%s", json_get_str(r, "target", "?"));
        table_set(c, 3, TONE_WARN, "%s", json_get_str(r, "guard", "?"));
        table_set(c, 4, TONE_PLAIN, "%s", json_get_str(r, "why", ""));
    }
    table_print(&table, t);
}

void show_reports(struct text *t, const struct json *a)
{
    struct table table;

    table_init(&table, 4, HEADS("AT", "KIND", "SENT", "SUMMARY"));
    for (const struct json *r = json_first(json_get(a, "reports")); r; r = json_next(r)) {
        struct cell *c = table_row(&table);
        const char *how = json_get_str(json_get(r, "delivery"), "outcome", "waiting");
        when(c, 0, r, "wall_ms");
        table_set(c, 1, TONE_PLAIN, "%s%s", json_get_str(r, "kind", "?"),
                  json_get_bool(r, "shadow", false) ? " (shadow)" : "");
        table_set(c, 2,
                  strcmp(how, "delivered") == 0 ? TONE_GOOD
                  : strcmp(how, "dead") == 0    ? TONE_BAD
                                                : TONE_WARN,
                  "%s", how);
        table_set(c, 3, TONE_PLAIN, "%s", json_get_str(r, "summary", ""));
    }
    table_print(&table, t);
}

static void field(struct text *t, const char *name, const char *value)
{
    if (!value || !*value)
        return;
    text_addf(t, TONE_DIM, "%-10s ", name);
    text_wrap(t, TONE_PLAIN, value, 11, 11);
}

static void show_step(struct text *t, const struct json *s)
{
    char at[40];
    const char *text = json_get_str(s, "text", NULL), *name = json_get_str(s, "name", "");

    text_addf(t, TONE_DIM, "%s", time_format_iso(at, sizeof(at), json_get_int(s, "wall_ms", 0)));
    text_addf(t, TONE_PLAIN, "  %2lld  %s %s", (long long)json_get_int(s, "step", 0),
              json_get_str(s, "kind", "?"), name);
    text_addf(t, TONE_DIM, " [%s]", json_get_str(s, "state", "?"));
    if (text) {
        text_add(t, TONE_PLAIN, "\n      ");
        text_wrap(t, TONE_PLAIN, text, 6, 6);
    } else {
        text_add(t, TONE_PLAIN, "\n");
    }
    if (json_get(s, "plan"))
        show_plan(t, json_get(s, "plan"), NULL, 6);
}

void show_one(struct text *t, const struct json *a)
{
    const struct json *e = json_get(a, "episode"), *r = json_get(a, "run"),
                      *live = json_get(a, "live"), *d = e ? e : r;
    const char *state = json_get_str(d, "outcome", json_get_str(d, "state", "?"));
    size_t n = json_len(json_get(a, "steps"));
    char at[40];

    text_addf(t, TONE_HEAD, "%s %s: ", e ? "Episode" : "Run", json_get_str(d, "id", "?"));
    text_addf(t, text_tone(state), "%s\n", state);
    field(t, "policy", json_get_str(d, "policy", NULL));
    field(t, "target", json_get_str(d, "target", NULL));
    field(t, "mode", json_get_str(d, "mode", NULL));
    field(t, "severity", json_get_str(d, "severity", NULL));
    field(t, "seen", json_get_str(d, "seen", NULL));
    if (json_get_int(d, "fired_wall_ms", 0))
        field(t, "fired", time_format_iso(at, sizeof(at), json_get_int(d, "fired_wall_ms", 0)));
    if (json_get_int(d, "started_wall_ms", 0))
        field(t, "started", time_format_iso(at, sizeof(at), json_get_int(d, "started_wall_ms", 0)));
    field(t, "by", json_get_str(d, "by", NULL));
    field(t, "suspended", json_get_str(d, "suspended", NULL));
    field(t, "run", e ? json_get_str(d, "run", NULL) : NULL);
    field(t, "episode", e ? NULL : json_get_str(d, "episode", NULL));
    field(t, "note", json_get_str(d, "note", NULL));
    if (n)
        text_add(t, TONE_HEAD, "\nSteps\n");
    while (n-- > 0) /* the journal has the newest first; a story is told from its beginning */
        show_step(t, json_at(json_get(a, "steps"), n));
    if (json_get_str(live, "hash", NULL)) {
        text_add(t, TONE_HEAD, "\nWaits for an approval of\n");
        show_plan(t, json_get(live, "plan"), json_get_str(live, "hash", NULL), 2);
        text_addf(t, TONE_WARN, "  runbookctl approve %s --hash %.12s\n",
                  json_get_str(live, "id", "?"), json_get_str(live, "hash", ""));
    }
    for (const struct json *c = json_first(json_get(live, "checks")); c; c = json_next(c)) {
        if (c == json_first(json_get(live, "checks")))
            text_add(t, TONE_HEAD, "\nChecks now\n");
        show_tree(t, json_key(c), c, 2);
    }
}

void show_sources(struct text *t, const struct json *a)
{
    struct table table;
    char age[48];

    table_init(&table, 5, HEADS("SOURCE", "COLLECTOR", "SERIES", "STATE", "LAST"));
    for (const struct json *s = json_first(json_get(a, "sources")); s; s = json_next(s)) {
        struct cell *c = table_row(&table);
        const char *state = json_get_str(s, "state", "?");
        table_set(c, 0, TONE_PLAIN, "%s", json_get_str(s, "source", "?"));
        table_set(c, 1, TONE_PLAIN, "%s", json_get_str(s, "collector", "?"));
        table_set(c, 2, TONE_PLAIN, "%lld", (long long)json_get_int(s, "series", 0));
        table_set(c, 3, text_tone(state), "%s", state);
        text_age(age, json_get_int(s, "last_ok_age_ms", 0));
        if (strcmp(state, "refused") == 0)
            table_set(c, 4, TONE_WARN, "%lld series: %s", (long long)json_get_int(s, "refused", 0),
                      json_get_str(s, "error", ""));
        else if (json_get_str(s, "error", NULL))
            table_set(c, 4, TONE_BAD, "%lld times: %s", (long long)json_get_int(s, "failures", 0),
                      json_get_str(s, "error", ""));
        else if (json_get(s, "last_ok_age_ms"))
            table_set(c, 4, TONE_DIM, "%s", age);
    }
    table_print(&table, t);
    for (const struct json *l = json_first(json_get(a, "listings")); l; l = json_next(l))
        show_listing(t, l);
}

void show_reload(struct text *t, const struct json *a)
{
    text_add(t, TONE_PLAIN, json_get_str(a, "text", ""));
    for (const struct json *w = json_first(json_get(a, "wider")); w; w = json_next(w))
        text_addf(t, TONE_WARN, "wider: %s\n", json_str(w, ""));
    for (const struct json *r = json_first(json_get(a, "restart")); r; r = json_next(r))
        text_addf(t, TONE_WARN,
                  "%s is read at the start only: restart the agent for its new value\n",
                  json_str(r, ""));
    if (!json_get_str(a, "error", NULL))
        text_addf(t, TONE_GOOD, "%lld policies, %lld targets are in force\n",
                  (long long)json_get_int(a, "policies", 0),
                  (long long)json_get_int(a, "targets", 0));
}

void show_version(struct text *t, const struct json *a)
{
    char up[UNIT_TEXT];

    text_addf(t, TONE_PLAIN, "runbookd %s on %s, up %s, configured by %s\n",
              json_get_str(a, "version", "?"), json_get_str(a, "host", "?"),
              unit_format_duration(up, sizeof(up), json_get_int(a, "uptime_ms", 0) / 1000 * 1000),
              json_get_str(a, "config", "?"));
}
