/* The journal's interface: what is durable, and in which transaction. Asynchronous everywhere: submit, then completion. */
#ifndef RB_ENGINE_JOURNAL_H
#define RB_ENGINE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/json.h"

/* The journal is a log: each row has a kind, a key and a document, and carries the hash of the row before it. The state is what the log says last of each
 * (kind, key). Kinds: episode, run, step, report, approval, silence, freeze, breaker, mode, doubt, decision, listing, note; "token" and "source" are the journal's own. */

enum jop_kind { JOP_PUT, JOP_TAKE, JOP_GIVE_BACK, JOP_SOURCE, JOP_SAMPLES };

struct jop {
    enum jop_kind op;
    char *kind, *key;
    struct json *doc; /* put: owned */
    bool open;        /* put: still of interest after a restart (journal_each_open) */
    char *scope, *item; /* take, give_back: one token */
    int max;
    int64_t window_ms;
    void *blob; /* samples: one packed day of series `key`, day `at_ms` */
    size_t blob_len;
    int64_t at_ms;
};

/* One transaction, all or nothing. */
struct jtx {
    struct jop *ops;
    size_t nops, cap;
    int64_t now_ms;  /* steady */
    int64_t wall_ms; /* for people */
};
struct jtx *jtx_new(int64_t now_ms, int64_t wall_ms);
void jtx_free(struct jtx *tx);
void jtx_put(struct jtx *tx, const char *kind, const char *key, struct json *doc, bool open); /* owns doc */
/* Takes a token of `scope` for `item`: the transaction is refused when the distinct items taken within the window (less than window_ms ago), this one
 * included, would be more than max. The same item again within the window is free, and is counted from this taking on. max < 0: no limit, only counted. */
void jtx_take(struct jtx *tx, const char *scope, const char *item, int max, int64_t window_ms);
void jtx_give_back(struct jtx *tx, const char *scope, const char *item); /* the newest taking of that item; an earlier one of it stays */
void jtx_source(struct jtx *tx, const char *hash, struct json *source); /* stored once; owns source */
void jtx_samples(struct jtx *tx, const char *series_key, int64_t day_start_ms, void *blob, size_t len); /* replaces the day; owns blob */

/* How it ended; e is never NULL: code 0; ERR_DENIED with the scope that had no token left; ERR_STATE: the lease is another's; ERR_IO: not durable, nothing done
 * (after a failed fsync followed by a crash it may yet be found durable: as an intent in doubt); ERR_TIMEOUT: closed while the disk hung, nobody knows. */
typedef void journal_fn(void *arg, const char *denied_scope, const struct err *e);

typedef void journal_query_fn(void *arg, struct json *list, const struct err *e);

struct journal;
struct journal_ops {
    /* Exactly one completion, in order of submission, never from inside. Owns tx. */
    void (*submit)(struct journal *j, struct jtx *tx, journal_fn *fn, void *arg);
    /* These wait; only at the start and in offline tools. fn returning false ends the walk. Ordered by key's first write. */
    int (*each_open)(struct journal *j, const char *kind, bool (*fn)(void *arg, const char *key, const struct json *doc), void *arg, struct err *e);
    int (*each_token)(struct journal *j, int64_t since_ms, bool (*fn)(void *arg, const char *scope, const char *item, int64_t at_ms), void *arg, struct err *e);
    struct json *(*source)(struct journal *j, const char *hash, struct err *e);
    /* History for people: of the keys of a kind that start with prefix, the last document of each, the newest `limit` of them, newest first;
     * asynchronous, in order with submit. What is to be kept apart has keys of its own. The list passes to fn (NULL on error). */
    void (*query)(struct journal *j, const char *kind, const char *prefix, int limit, journal_query_fn *fn, void *arg);
    /* Waits. Packed days at or after since_ms of the series whose key starts with prefix, by key, then day. */
    int (*each_samples)(struct journal *j, const char *prefix, int64_t since_ms,
                        bool (*fn)(void *arg, const char *series_key, int64_t day_start_ms, const void *blob, size_t len), void *arg, struct err *e);
    /* The head of the hash chain as of the last durable commit, hex; and its sequence number. */
    void (*head)(struct journal *j, char hex[65], int64_t *seq);
    bool (*stalled)(struct journal *j);
    void (*close)(struct journal *j); /* writes and completes what was submitted; frees j */
};
struct journal {
    const struct journal_ops *ops;
};

/* Conformance: what any implementation must do is tested by tests/unit/world/test_journal_conformance.c. */

#endif
