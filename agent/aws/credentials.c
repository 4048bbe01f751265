/* Keys that are kept fresh: one fetch at a time, early and in the background, for all who wait. */
#include "aws/credentials.h"

#include <stdbool.h>
#include <string.h>
#include <sys/queue.h>
#include "aws/call.h"
#include "aws/fetch.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/units.h"

#define MINUTE_MS 60000LL
#define ADVISORY_MS (15 * MINUTE_MS)
#define MANDATORY_MS (10 * MINUTE_MS)
#define RETRY_MIN_MS 30000LL
#define RETRY_MAX_MS (5 * MINUTE_MS)

struct aws_keys_wait {
    TAILQ_ENTRY(aws_keys_wait) link;
    struct aws_provider *provider;
    aws_keys_fn *fn;
    void *arg;
    unsigned round;
};

struct aws_provider {
    struct aws_provider_options o; /* strings are our own */
    struct aws_keys keys;          /* access_key NULL: none */
    int64_t expires_wall_ms, lifetime_ms;
    bool rejected; /* AWS refused the keys */
    char *source;
    struct aws_fetch *fetch;
    struct aws *sts;                 /* for its fetches */
    int64_t retry_ms, retry_boot_ms; /* after a failed fetch: how long to leave it, until when */
    unsigned round;                  /* counts answer_all */
    bool *gone;                      /* set when the provider is freed inside answer_all */
    struct loop_timer *background;   /* when to fetch next */
    struct loop_timer *answer;       /* hands ready keys to those who asked */
    TAILQ_HEAD(waiters, aws_keys_wait) waiters;
};

static void on_background(void *arg);
static void on_answer(void *arg);

struct aws_provider *aws_provider_new(const struct aws_provider_options *o, struct err *e)
{
    struct aws_provider *p;

    if (o->role && strncmp(o->role, "arn:", 4) != 0) {
        err_set(e, ERR_INPUT,
                "role is \"%.100s\", expected an ARN like arn:aws:iam::123456789012:role/x",
                o->role);
        return NULL;
    }
    p = mem_alloc(sizeof *p);
    p->o = *o;
    p->o.profile = mem_strdup(o->profile);
    p->o.role = mem_strdup(o->role);
    p->o.external_id = mem_strdup(o->external_id);
    p->o.session_name = mem_strdup(o->session_name);
    p->o.region = mem_strdup(o->region);
    p->o.endpoint = mem_strdup(o->endpoint);
    p->o.ca_file = mem_strdup(o->ca_file);
    p->background = loop_timer_new(o->loop, on_background, p);
    p->answer = loop_timer_new(o->loop, on_answer, p);
    TAILQ_INIT(&p->waiters);
    return p;
}

static void free_const(const char *s)
{
    mem_free((char *)s);
}

void aws_provider_free(struct aws_provider *p)
{
    struct aws_keys_wait *w;

    if (!p)
        return;
    if (p->gone)
        *p->gone = true;
    aws_fetch_cancel(p->fetch);
    aws_free(p->sts);
    while ((w = TAILQ_FIRST(&p->waiters)))
        aws_credentials_cancel(w);
    loop_timer_free(p->background);
    loop_timer_free(p->answer);
    aws_keys_clear(&p->keys);
    free_const(p->o.profile);
    free_const(p->o.role);
    free_const(p->o.external_id);
    free_const(p->o.session_name);
    free_const(p->o.region);
    free_const(p->o.endpoint);
    free_const(p->o.ca_file);
    mem_free(p->source);
    mem_free(p);
}

static int64_t left_ms(const struct aws_provider *p)
{
    if (!p->keys.access_key || p->rejected)
        return 0;
    return p->expires_wall_ms ? p->expires_wall_ms - loop_wall_ms(p->o.loop) : INT64_MAX;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Whether callers may have the keys at once: there is more left than the mandatory margin. */
static bool ready(const struct aws_provider *p)
{
    return left_ms(p) > least(MANDATORY_MS, p->lifetime_ms / 6);
}

/* Answers all who wait now; those who ask from inside a callback wait for the next turn. A callback
 * may cancel others and free the provider. */
static void answer_all(struct aws_provider *p, const struct err *e)
{
    struct aws_keys keys = {NULL, NULL, NULL};
    struct aws_keys_wait *w;
    unsigned round = p->round++;
    bool gone = false;

    if (!e)
        aws_keys_copy(&keys, &p->keys);
    p->gone = &gone;
    while (!gone && (w = TAILQ_FIRST(&p->waiters)) && w->round <= round) {
        TAILQ_REMOVE(&p->waiters, w, link);
        w->fn(w->arg, e ? NULL : &keys, e);
        mem_free(w);
    }
    if (!gone)
        p->gone = NULL;
    aws_keys_clear(&keys);
}

static void on_fetched(void *arg, const struct aws_keys *keys, int64_t expires_wall_ms,
                       const char *source, const struct err *e)
{
    struct aws_provider *p = arg;
    int64_t left;

    p->fetch = NULL;
    if (keys) {
        struct aws_keys copy;
        aws_keys_copy(&copy, keys);
        aws_keys_clear(&p->keys);
        p->keys = copy;
        p->rejected = false;
        p->expires_wall_ms = expires_wall_ms;
        p->lifetime_ms = expires_wall_ms ? left_ms(p) : INT64_MAX;
        if (!p->source || strcmp(p->source, source) != 0)
            log_info("aws", "credentials from %s", source);
        mem_free(p->source);
        p->source = mem_strdup(source);
        if (p->retry_ms)
            log_info("aws", "credentials from %s again", source);
        p->retry_ms = 0;
        if (expires_wall_ms)
            loop_timer_set(p->background, p->lifetime_ms - least(ADVISORY_MS, p->lifetime_ms / 4));
        answer_all(p, NULL);
        return;
    }

    left = left_ms(p);
    p->retry_ms = p->retry_ms ? least(2 * p->retry_ms, RETRY_MAX_MS) : RETRY_MIN_MS;
    p->retry_boot_ms = loop_boot_ms(p->o.loop) + p->retry_ms;
    if (left > 0) {
        char t[32];
        log_warn("aws", "keeping the present credentials, which end in %s: %s",
                 unit_format_duration(t, sizeof t, left / 1000 * 1000), e->text);
        loop_timer_set(p->background, p->retry_ms);
        answer_all(p, NULL);
    } else {
        answer_all(p, e);
    }
}

static void fetch(struct aws_provider *p)
{
    loop_timer_stop(p->background);
    if (!p->fetch)
        p->fetch = aws_fetch_start(&p->o, &p->sts, on_fetched, p);
}

static void on_background(void *arg)
{
    fetch(arg);
}

static void on_answer(void *arg)
{
    struct aws_provider *p = arg;
    /* A source that just failed is not asked again by every caller while the keys still work. */
    bool failing = p->retry_ms && loop_boot_ms(p->o.loop) < p->retry_boot_ms;

    if (ready(p) || (failing && left_ms(p) > 0))
        answer_all(p, NULL);
    else
        fetch(p);
}

struct aws_keys_wait *aws_credentials_get(struct aws_provider *p, aws_keys_fn *fn, void *arg)
{
    struct aws_keys_wait *w = mem_alloc(sizeof *w);

    *w = (struct aws_keys_wait){.provider = p, .fn = fn, .arg = arg, .round = p->round};
    TAILQ_INSERT_TAIL(&p->waiters, w, link);
    loop_timer_set(p->answer, 0);
    return w;
}

void aws_credentials_cancel(struct aws_keys_wait *w)
{
    if (!w)
        return;
    TAILQ_REMOVE(&w->provider->waiters, w, link);
    mem_free(w);
}

void aws_credentials_reject(struct aws_provider *p, const char *access_key)
{
    if (p->keys.access_key && strcmp(p->keys.access_key, access_key) == 0)
        p->rejected = true;
}

const char *aws_provider_source(const struct aws_provider *p)
{
    return p->source ? p->source : "none yet";
}
