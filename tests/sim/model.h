/* A modelled estate for simulated days: groups under traffic, databases with sessions, an agent
 * with the shipped policies, and what an on-call would have seen of it. */
#ifndef SIM_MODEL_H
#define SIM_MODEL_H

#include "base/buf.h"
#include "lua/lua.h"
#include "world/virtual.h"

#define SEC 1000LL
#define MIN (60 * SEC)
#define HOUR (60 * MIN)
#define DAY (24 * HOUR)
#ifdef __SANITIZE_ADDRESS__
#define DAYS 10 /* of a scenario; it is slower there */
#else
#define DAYS 30
#endif
#define GROUPS 5
#define DBS 2
#define BOOT_MS (3 * MIN)
#define MAX_CONNECTIONS 1000
#define KEPT (10 * 60) /* readings kept of each minute's series, for a restart */

struct sim;

struct group {
    int desired, min, max, in_service;
    int64_t boots[64]; /* when each instance that boots is in service */
    int nboots;
    int lowest, highest; /* of desired */
    int grown, shrunk;   /* requests that were carried out */
    int64_t changes[400];
    int nchanges;
    int slow_minutes; /* p99 at or above 500 ms */
};

enum session_kind { BUSY, POOLED, IN_TRANSACTION, LEAKED, SUPERUSER, REPLICATION, KINDS };

struct session {
    enum session_kind kind;
    int pid;
    int64_t born_ms, changed_ms;
};

struct db {
    struct session s[MAX_CONNECTIONS];
    int n, next_pid, refused; /* refused: clients that found no free connection */
    double owed;              /* leaked connections, fractions */
    int most;
    int ended, protected_ended; /* sessions that the agent ended; those it must not touch */
    int64_t acts[400];
    int nacts;
};

/* One scenario: what happens to the estate. */
struct scenario {
    const char *name;
    /* Load of a group, in percent of one instance, at this time. */
    double (*traffic)(const struct sim *s, int group, int64_t at_ms);
    /* Connections that leak, a minute. */
    double (*leak)(const struct sim *s, int db, int64_t at_ms);
    /* The reading as it arrives: false when it does not; may change it. NULL: as it is. */
    bool (*arrives)(const struct sim *s, const char *signal, int target, int64_t at_ms,
                    double *value);
    bool reconnect; /* an ended session comes back at once */
    enum mode mode; /* of the policies */
    bool no_agent;  /* nothing acts: what would have been */
    int others;     /* sessions that are not leaked, a database; 0: 300 */
};

struct sim {
    const struct scenario *now;
    struct virtual *v;
    struct virtual_options o;
    struct policy_set *set;
    struct estate *estate;
    struct group g[GROUPS];
    struct db db[DBS];
    int64_t at_ms; /* the model is up to date to here */
    uint64_t seed;
    struct buf rows; /* the timeline: "15m fire" a line, of target `watched` */
    const char *watched;
    bool once; /* rows that were there before, at whatever time, are left out */
    char *last_row;
    int fires, acts, undos, denials, resolves, shadow_acts, blinds;
    int triggers, humans, resolved, shadow_pages, emergencies;
    char last_human[256];
    int64_t first_fire_ms, first_act_ms, first_undo_ms;
    float kept[4][GROUPS][KEPT]; /* readings by minute, for a restart */
    int64_t kept_at[4][GROUPS][KEPT];
};

/* Loads `path` (a policy file) into an agent with the estate; ends the test when it does not load.
 */
void sim_begin(struct sim *s, const struct scenario *sc, const char *path, uint64_t seed);
void sim_start(struct sim *s);
void sim_restart(struct sim *s); /* kill -9, and the agent is back a millisecond later */
void sim_end(struct sim *s);
void sim_until(struct sim *s, int64_t at_ms);
double sim_noise(const struct sim *s, int who, int64_t at_ms); /* -1 to 1, the same for a seed */
double sim_daily(int64_t at_ms); /* -1 at 4 in the morning, 1 at 4 in the afternoon */
void sim_head(struct sim *s, char hex[65]);

#endif
