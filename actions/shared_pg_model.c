/* A PostgreSQL server's sessions as a policy's test writes them, "50 idle 45m application=orders",
 * and what ending or cancelling changes of them. */
#include "shared_pg_sessions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/units.h"

#define SESSIONS_MAX 5000
#define FIRST_PID 1000
#define SHAPE "sessions are written \"COUNT STATE AGE ...\", e.g. \"50 idle 45m user=app\"; "

/* One line of `sessions`. */
struct group {
    long count;
    const char *state;
    int64_t age_ms; /* when it was written; 0: in use all the time, so that it never gets older */
    struct json *more; /* user, database, application, client; superuser, ... = true */
};

static const char *state_of(const char **text)
{
    static const char *const states[] = {"idle in transaction (aborted)", "idle in transaction",
                                         "idle", "active"};

    for (size_t i = 0; i < sizeof(states) / sizeof(*states); i++) {
        size_t len = strlen(states[i]);

        if (strncmp(*text, states[i], len) == 0 && (*text)[len] == ' ') {
            *text += len + 1;
            return states[i];
        }
    }
    return NULL;
}

static int add_word(struct json *more, const char *word, struct err *e)
{
    static const char *const marks[] = {"superuser", "maintenance", "reserved", "own", "stubborn"};
    static const char *const keys[] = {"user", "database", "application", "client"};
    const char *value = strchr(word, '=');

    for (size_t i = 0; value == NULL && i < sizeof(marks) / sizeof(*marks); i++) {
        if (strcmp(word, marks[i]) == 0) {
            json_set_bool(more, word, true);
            return 0;
        }
    }
    for (size_t i = 0; value != NULL && i < sizeof(keys) / sizeof(*keys); i++) {
        if (value[1] != '\0' && strlen(keys[i]) == (size_t)(value - word) &&
            strncmp(word, keys[i], (size_t)(value - word)) == 0) {
            json_set_str(more, keys[i], value + 1);
            return 0;
        }
    }
    return err_set(e, ERR_INPUT,
                   SHAPE "after the age stand user=, database=, application=, client=, superuser, "
                         "maintenance, reserved, own or stubborn, got \"%s\"",
                   word);
}

static int read_group(const char *line, struct group *g, struct err *e)
{
    char *text, *word, *save = NULL, *end;
    const char *at;
    int rc = 0;

    g->more = json_new_map();
    g->count = strtol(line, &end, 10);
    if (end == line || *end != ' ' || g->count < 1 || g->count > SESSIONS_MAX)
        return err_set(e, ERR_INPUT, SHAPE "\"%s\" does not begin with a count of 1 to %d", line,
                       SESSIONS_MAX);
    at = end + 1;
    g->state = state_of(&at);
    if (g->state == NULL)
        return err_set(e, ERR_INPUT,
                       SHAPE "the state in \"%s\" must be idle, active, idle in transaction or "
                             "idle in transaction (aborted)",
                       line);
    text = mem_strdup(at);
    word = strtok_r(text, " ", &save);
    if (word == NULL || unit_parse_duration(word, &g->age_ms) != 0)
        rc = err_set(e, ERR_INPUT, SHAPE "\"%s\" has no age after its state", line);
    while (rc == 0 && (word = strtok_r(NULL, " ", &save)) != NULL)
        rc = add_word(g->more, word, e);
    mem_free(text);
    return rc;
}

static void set_time(struct json *session, const char *key, int64_t wall_ms)
{
    char text[40];

    json_set_str(session, key, time_format_iso_ms(text, sizeof(text), wall_ms));
}

static void set_doing(struct json *s, const char *doing, int64_t since_ms, int64_t now_ms)
{
    json_set_str(s, "state", doing);
    set_time(s, "state_change", since_ms);
    set_time(s, "query_start", since_ms);
    json_set_int(s, "state_age_ms", now_ms - since_ms);
    json_set_int(s, "query_age_ms", now_ms - since_ms);
}

/* What all of a line have in common: everything but the pid. There may be thousands of them. */
static struct json *see_group(const struct action_input *in, const struct json *state,
                              const struct group *g)
{
    int64_t written_ms = json_get_int(json_get(state, "written"), "sessions", in->wall_ms);
    struct json *s = json_copy(g->more);

    json_set_int(s, "pid", 0);
    set_time(s, "backend_start", written_ms - g->age_ms);
    json_set_str(s, "backend_type", "client backend");
    if (json_get(s, "user") == NULL)
        json_set_str(s, "user", "app");
    set_doing(s, g->state, g->age_ms == 0 ? in->wall_ms : written_ms - g->age_ms, in->wall_ms);
    return s;
}

/* NULL: it was ended. */
static struct json *see_one(const struct action_input *in, const struct json *state,
                            const struct json *group, int64_t pid)
{
    const struct json *ended = json_get(state, "sessions_ended"),
                      *cancelled = json_get(state, "sessions_cancelled");
    char who[PG_IDENTITY_MAX]; /* the part of an identity before its mark */
    struct json *s;

    snprintf(who, sizeof(who), "%lld@%s", (long long)pid, json_get_str(group, "backend_start", ""));
    if (json_get(ended, who) != NULL)
        return NULL;
    s = json_copy(group);
    json_set_int(s, "pid", pid);
    if (json_get(cancelled, who) != NULL && !json_get_bool(s, "stubborn", false))
        set_doing(s, "idle", json_get_int(cancelled, who, in->wall_ms), in->wall_ms);
    return s;
}

struct json *pg_sessions_state_seen(const struct action_input *in, const struct json *state,
                                    struct err *e)
{
    struct json *seen = json_new_map(), *list = json_set(seen, "sessions", json_new_list());
    const struct json *lines = json_get(state, "sessions");
    int64_t pid = FIRST_PID;
    int rc = 0;

    json_set_int(seen, "now_ms", in->wall_ms);
    for (const struct json *i = json_first(lines); i != NULL && rc == 0; i = json_next(i)) {
        struct group g = {0};

        rc = read_group(json_str(i, ""), &g, e);
        if (rc == 0 && pid - FIRST_PID + g.count > SESSIONS_MAX)
            rc = err_set(e, ERR_INPUT, "at most %d sessions in all", SESSIONS_MAX);
        if (rc == 0) {
            struct json *group = see_group(in, state, &g), *s;

            for (long k = 0; k < g.count; k++)
                if ((s = see_one(in, state, group, pid++)) != NULL)
                    json_add(list, s);
            json_free(group);
        }
        json_free(g.more);
    }
    if (rc == 0)
        return seen;
    json_free(seen);
    return NULL;
}

/* Remembers the sessions that a call names, and when. */
static void remember(const struct action_input *in, const struct json *call, struct json *state,
                     const char *as)
{
    const struct json *names = json_get(json_get(call, "args"), "names");
    struct json *map = json_get_mut(state, as);

    if (map == NULL)
        map = json_set(state, as, json_new_map());
    for (const struct json *n = json_first(names); n != NULL; n = json_next(n)) {
        char *who = mem_strdup(json_str(n, "")), *slash = strrchr(who, '/');

        if (slash != NULL)
            *slash = '\0';
        json_set_int(map, who, in->wall_ms);
        mem_free(who);
    }
}

void pg_sessions_state_ended(const struct action_input *in, const struct json *call,
                             struct json *state)
{
    remember(in, call, state, "sessions_ended");
}

void pg_sessions_state_cancelled(const struct action_input *in, const struct json *call,
                                 struct json *state)
{
    remember(in, call, state, "sessions_cancelled");
}

const struct option pg_sessions_state[PG_STATE_OPTIONS] = {
    {.name = "sessions",
     .type = OPT_LIST,
     .fallback = "{}",
     .help =
         "its client sessions, \"COUNT STATE AGE ...\": \"50 idle 45m user=app\", \"2 active 0s "
         "superuser\"; ages grow with the test's time, 0s is in use all the time; a stubborn one "
         "goes "
         "on when it is cancelled"},
};
