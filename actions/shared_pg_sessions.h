/* Ending or interrupting sessions of a PostgreSQL server, each named by its identity; shared by
 * pg_terminate and pg_cancel. */
#ifndef RB_ACTIONS_SHARED_PG_SESSIONS_H
#define RB_ACTIONS_SHARED_PG_SESSIONS_H

#include "plugin/action.h"
#include "plugin/form.h"

/* "PID@BACKEND_START/MARK", times in UTC with microseconds as the server has them: pid and
 * backend_start name the session, also after its pid was given to another one; MARK tells that it
 * has done nothing since: state_change of an idle session, query_start of a running one. */
#define PG_IDENTITY_MAX 96

void pg_sessions_observe(struct action_call *c);
void pg_sessions_cancel(struct action_call *c);

void pg_sessions_apply(struct action_call *c);
/* cancel: queries are interrupted; else sessions are ended. */
struct plan *pg_sessions_plan(const struct action_input *in, const struct json *seen, bool cancel,
                              struct err *e);
/* by_query: a session that runs another query, or none, counts as gone. */
enum verdict pg_sessions_judge(const struct plan *p, size_t i, const struct json *seen,
                               bool by_query);

/* A server's sessions in policies' tests: shared_pg_model.c. */
#define PG_STATE_OPTIONS 1
extern const struct option pg_sessions_state[PG_STATE_OPTIONS];
struct json *pg_sessions_state_seen(const struct action_input *in, const struct json *state,
                                    struct err *e);
void pg_sessions_state_ended(const struct action_input *in, const struct json *call,
                             struct json *state);
void pg_sessions_state_cancelled(const struct action_input *in, const struct json *call,
                                 struct json *state);

/* What a session must be, beside its age: the rows of PG_FILTERS in each action's options.
 * PG_OF: in place of an age, those that another action named; HELP ends the sentence. */
#define PG_OF(HELP)                                                                                \
    {                                                                                              \
        .name = "of", .type = OPT_STEP, .words = "sessions", .one_of = "which",                    \
        .help = "the sessions that this action named in this run, as far as they are still there " \
                "and " HELP                                                                        \
    }

#define PG_FILTERS                                                                                 \
    {.name = "database", .type = OPT_STRING, .help = "only sessions on this database"},            \
        {.name = "user", .type = OPT_STRING, .help = "only sessions of this role"},                \
        {.name = "application",                                                                    \
         .type = OPT_STRING,                                                                       \
         .help = "only sessions with this application_name"},                                      \
        {.name = "client",                                                                         \
         .type = OPT_STRING,                                                                       \
         .check = form_client,                                                                     \
         .help = "only sessions from this address, \"10.1.2.3\"; \"local\": by the server's "      \
                 "socket"},                                                                        \
        {.name = "except_users", .type = OPT_LIST, .help = "never sessions of these roles"},       \
    {                                                                                              \
        .name = "max", .type = OPT_COUNT, .fallback = "10", .min = 1, .max = 1000,                 \
        .help = "at most so many at once, the oldest first"                                        \
    }

/* The whole of an action NAME, whose option table is `options`; cancel and state_apply as above. */
#define PG_SESSIONS_ACTION(NAME, SUMMARY, HEADROOM, CANCEL, STATE_APPLY)                           \
    static struct plan *plan_it(const struct action_input *in, const struct json *seen,            \
                                struct err *e)                                                     \
    {                                                                                              \
        return pg_sessions_plan(in, seen, CANCEL, e);                                              \
    }                                                                                              \
    static enum verdict judge_it(const struct action_input *in, const struct plan *p, size_t i,    \
                                 const struct json *seen)                                          \
    {                                                                                              \
        (void)in;                                                                                  \
        return pg_sessions_judge(p, i, seen, CANCEL);                                              \
    }                                                                                              \
    static const char *const permissions[] = {"postgres:pg_monitor", "postgres:pg_signal_backend", \
                                              NULL};                                               \
    static const char *const outs[] = {"sessions", "missed", NULL};                                \
    const struct action_type NAME##_action = {.name = #NAME,                                       \
                                              .summary = (SUMMARY),                                \
                                              .targets = "postgres",                               \
                                              .attribute = "sessions",                             \
                                              .writes = "host port",                               \
                                              .removes = (CANCEL) ? NULL : "pg_connections",       \
                                              .headroom = (HEADROOM),                              \
                                              .flags = ACTION_DESTRUCTIVE,                         \
                                              .can_probe = true,                                   \
                                              .options = OPTIONS(options),                         \
                                              .permissions = permissions,                          \
                                              .outs = outs,                                        \
                                              .observe = pg_sessions_observe,                      \
                                              .apply = pg_sessions_apply,                          \
                                              .cancel = pg_sessions_cancel,                        \
                                              .plan = plan_it,                                     \
                                              .judge = judge_it,                                   \
                                              .state_options = pg_sessions_state,                  \
                                              .nstate_options = PG_STATE_OPTIONS,                  \
                                              .state_seen = pg_sessions_state_seen,                \
                                              .state_apply = (STATE_APPLY)}

#endif
