/* Reloading: a fresh read of everything, all of its errors, what it widens, then one swap. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/mem.h"
#include "serve/internal.h"
#include "serve/notify.h"

#define TESTS_MS 30000 /* so long the tests beside the policies may take */

/* What is read once, at the start. */
static const char *const fixed[] = {
    "state_dir", "mode",       "control", "freeze_file", "budget",      "budget_destructive",
    "storm",     "pagerduty",  "webhook", "http",        "shadow_sink", "dashboard",
    "host",      "nameserver", "ca_file", "operators"};

static struct json *restart_needed(const struct config *was, const struct config *is)
{
    struct json *list = json_new_list();

    for (size_t k = 0; k < sizeof(fixed) / sizeof(fixed[0]); k++)
        if (!json_equal(json_get(was->all, fixed[k]), json_get(is->all, fixed[k])))
            json_add(list, json_new_str(fixed[k]));
    return list;
}

/* Policies, and of the estate what is declared and what was found. */
static int swap(struct agent *a, const struct loaded *l, struct err *e)
{
    struct estate *all = discover_estate(live_discover(a->live), l->discover, l->estate);
    int rc;

    live_estate(a->live, all);
    rc = engine_load(a->engine, l->set, all, e);
    estate_unref(all);
    return rc;
}

int agent_load(struct agent *a, struct err *e)
{
    struct discover *d = live_discover(a->live);

    if (discover_restore(d, e))
        return EXIT_JOURNAL;
    if (swap(a, &a->now, e))
        return EXIT_RULE;
    discover_rows(d, a->now.discover, a->now.estate);
    return 0;
}

void agent_relisted(void *agent, const char *worry)
{
    struct agent *a = agent;
    struct err e = ERR_INIT;

    if (a->stopping)
        return;
    /* A target that was found and that a policy cannot apply to is left out, so nothing should
     * stand in the way: if it does, what was in force stays, and it is tried again with the next
     * change. */
    if (swap(a, &a->now, &e))
        log_error("discover", "what was listed cannot be put in force: %s", e.text);
    if (worry)
        engine_page(a->engine, "agent/listing", worry);
}

static void bury(void *arg)
{
    struct agent *a = arg;

    loaded_free(&a->was);
}

static int put_in_force(struct agent *a, struct loaded *next, struct err *e)
{
    int rc = swap(a, next, e);

    if (rc) {
        struct err again = ERR_INIT;
        (void)swap(a, &a->now, &again); /* as it was */
        return rc;
    }
    discover_rows(live_discover(a->live), next->discover, next->estate);
    loaded_free(&a->was);
    a->was = a->now;
    a->now = *next;
    loop_post(a->loop, bury, a); /* in a turn of its own: thousands of policies are many pieces */
    memset(next, 0, sizeof(*next));
    return 0;
}

/* Reading, checking and testing takes as long as there are policies: it is done beside the loop, by
 * a thread that shares nothing with it but this, which it alone touches until on_read. */
struct reload {
    struct agent *a;
    pthread_t thread;
    bool widen, ok;
    atomic_bool stop; /* from the loop: its tests are not waited for */
    int64_t until_ms; /* of CLOCK_MONOTONIC */
    struct loaded next;
    struct tested tested;
    struct diags *d;
    command_fn *fn; /* NULL: nobody waits for the answer */
    void *arg;
};

static struct json *tests_json(const struct tested *t)
{
    struct json *j = json_new_map();

    json_set_int(j, "ran", (int64_t)t->ran);
    json_set_int(j, "not_carried_out", (int64_t)t->left);
    json_set(j, "failing", json_copy(t->failing));
    return j;
}

/* On the loop again: what was read is put in force, or refused. */
static struct json *conclude(struct reload *r)
{
    struct agent *a = r->a;
    struct json *answer = json_new_map(), *wider = NULL;
    struct err e = ERR_INIT;
    struct buf text;
    bool ok = false;

    buf_init(&text, 256 * 1024);
    if (!r->ok) {
        json_set_strf(answer, "error", "%zu errors; what was in force stays in force",
                      diags_errors(r->d));
        json_set_str(answer, "code", "input");
        goto out;
    }
    json_set(answer, "tests", tests_json(&r->tested));
    if (json_len(r->tested.failing) > 0) {
        json_set_strf(answer, "error", "%zu of %zu tests fail; what was in force stays in force",
                      json_len(r->tested.failing), r->tested.ran);
        json_set_str(answer, "code", "input");
        goto out;
    }
    wider = load_wider(&a->now, &r->next);
    if (json_len(wider) > 0 && !r->widen) {
        json_set_strf(answer, "error",
                      "this would widen what the agent may do in %zu places: look at them, then "
                      "reload --widen",
                      json_len(wider));
        json_set_str(answer, "code", "denied");
        goto out;
    }
    json_set(answer, "restart", restart_needed(a->now.config, r->next.config));
    if (put_in_force(a, &r->next, &e)) {
        json_set_str(answer, "error", e.text);
        json_set_str(answer, "code", err_name(e.code));
        goto out;
    }
    log_set_level((enum log_level)(log_level_parse(a->now.config->log_level) < 0
                                       ? LOG_LVL_INFO
                                       : log_level_parse(a->now.config->log_level)));
    a->reloads++;
    json_set_int(answer, "policies", (int64_t)a->now.set->npolicies);
    json_set_int(answer, "targets", (int64_t)estate_len(a->now.estate));
    ok = true;
out:
    diags_print(r->d, &text, false);
    (void)buf_adds(&text, r->tested.text ? r->tested.text : "");
    json_set(answer, "diagnostics", diags_json(r->d));
    json_set_str(answer, "text", buf_str(&text));
    json_set(answer, "wider", wider ? wider : json_new_list());
    if (ok)
        log_info("reload", "%zu policies, %zu targets in force%s; %zu tests passed",
                 a->now.set->npolicies, estate_len(a->now.estate),
                 json_len(wider) ? ", wider than before" : "", r->tested.ran);
    if (ok && r->tested.left)
        log_warn("reload", "%zu tests were not carried out: there was no time", r->tested.left);
    if (!ok)
        log_error("reload", "refused: %s%s%s", json_get_str(answer, "error", ""),
                  text.len ? "; " : "", buf_str(&text));
    buf_free(&text);
    return answer;
}

static struct json *refused(const char *why)
{
    struct json *answer = json_new_map();

    json_set_str(answer, "error", why);
    json_set_str(answer, "code", "state");
    return answer;
}

static void end(struct reload *r, struct json *answer)
{
    r->a->reload = NULL;
    if (r->fn)
        r->fn(r->arg, answer);
    else
        json_free(answer);
    diags_free(r->d);
    loaded_free(&r->next);
    tested_free(&r->tested);
    mem_free(r);
}

static void on_read(void *arg)
{
    struct agent *a = arg;
    struct reload *r = a->reload;

    if (!r)
        return; /* stopped meanwhile */
    (void)pthread_join(r->thread, NULL);
    end(r, a->stopping ? refused("the agent is stopping") : conclude(r));
    if (a->stopping)
        return;
    notify_state("READY=1");
    if (a->reload_again) {
        a->reload_again = false;
        agent_reload(a, false, NULL, NULL);
    }
}

static int64_t monotonic_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool enough(void *arg)
{
    struct reload *r = arg;

    return atomic_load(&r->stop) || monotonic_ms() >= r->until_ms;
}

static void *read_all(void *arg)
{
    struct reload *r = arg;

    r->ok = load_all(r->a->config_path, NULL, 0, &r->next, r->d);
    if (r->ok) {
        r->until_ms = monotonic_ms() + TESTS_MS;
        r->a->tests(&r->next, enough, r, &r->tested, r->d);
        r->ok = diags_errors(r->d) == 0;
    }
    if (r->ok)
        load_variants(&r->next);
    loop_post(r->a->loop, on_read, r->a);
    return NULL;
}

void agent_reload(struct agent *a, bool widen, command_fn *fn, void *arg)
{
    struct reload *r;
    sigset_t all, was;
    int rc;

    if (a->reload) {
        if (fn)
            fn(arg, refused("a reload is under way: ask again when it has ended"));
        else
            a->reload_again = true; /* what changed after it began is not missed */
        return;
    }
    r = mem_alloc(sizeof(*r));
    r->a = a;
    r->widen = widen;
    r->d = diags_new();
    r->fn = fn;
    r->arg = arg;
    a->reload = r;
    notify_reloading();
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &was); /* signals are the loop's */
    rc = pthread_create(&r->thread, NULL, read_all, r);
    (void)pthread_sigmask(SIG_SETMASK, &was, NULL);
    if (rc) {
        log_error("reload", "refused: no thread to read with: %s", strerror(rc));
        end(r, refused("no thread to read with: what was in force stays in force"));
        notify_state("READY=1");
    }
}

void agent_reload_stop(struct agent *a)
{
    if (!a->reload)
        return;
    atomic_store(&a->reload->stop, true);
    (void)pthread_join(a->reload->thread, NULL);
    end(a->reload, refused("the agent is stopping"));
}
