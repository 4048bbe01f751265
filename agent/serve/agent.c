/* An ordered list of what is started, with its mirror; signals, housekeeping, and the way out. */
#include "serve/agent.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "serve/internal.h"
#include "serve/notify.h"

#define RESERVE_BYTES (8u << 20) /* enough to page and to end in order */
#define HOUSE_MS 1000
#define LAG_WARN_MS 250.0
#define STOP_MS                                                                                    \
    (20 * 1000LL) /* after SIGTERM: what is in flight then is settled after the next start */
#define LAST_WORDS_MS (3 * 1000LL) /* of those, for reports that are on their way */
#define EMERGENCY_MS (5 * 1000LL)

static void say_error(const char *part, const struct err *e)
{
    log_error(part, "%s", e->text);
}

/* Process */

static int start_process(struct agent *a, struct err *e)
{
    struct rlimit none = {0, 0};

    (void)a;
    (void)e;
    /* Secrets must not reach a core file, nor a debugger of the same user. */
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    (void)umask(077);
    (void)signal(SIGPIPE, SIG_IGN);
    mem_reserve(RESERVE_BYTES);
    return 0;
}

/* Files */

static int start_files(struct agent *a, struct err *e)
{
    struct diags *d = diags_new();
    struct buf text;
    bool ok = load_all(a->config_path, NULL, 0, &a->now, d);
    int code = ok ? 0 : (int)load_exit(d, a->config_path);
    int level;

    buf_init(&text, 1024 * 1024);
    diags_print(d, &text, false);
    if (text.len)
        fputs(buf_str(&text), stderr);
    buf_free(&text);
    if (!ok)
        err_set(
            e, ERR_INPUT,
            "%zu errors in what is configured; nothing was started (runbookd check --config %s)",
            diags_errors(d), a->config_path);
    diags_free(d);
    if (!ok)
        return code;
    level = log_level_parse(a->now.config->log_level);
    log_set_level(level < 0 ? LOG_LVL_INFO : (enum log_level)level);
    if (a->now.config->host) {
        a->host = mem_strdup(a->now.config->host);
    } else {
        char name[256] = "runbookd";
        (void)gethostname(name, sizeof(name) - 1);
        a->host = mem_strdup(name);
    }
    return 0;
}

static void stop_files(struct agent *a)
{
    loaded_free(&a->now);
    loaded_free(&a->was);
    mem_free(a->host);
    a->host = NULL;
}

/* Loop, names, HTTP */

static int start_loop(struct agent *a, struct err *e)
{
    a->loop = loop_new(e);
    return a->loop ? 0 : EXIT_HOST;
}

static void stop_loop(struct agent *a)
{
    loop_free(a->loop);
}

static int start_resolver(struct agent *a, struct err *e)
{
    a->resolver = resolver_new(a->loop, a->now.config->nameserver, e);
    return a->resolver ? 0 : EXIT_HOST;
}

static void stop_resolver(struct agent *a)
{
    if (a->resolver)
        resolver_free(a->resolver);
}

static int start_http(struct agent *a, struct err *e)
{
    a->http = http_new(a->loop, a->resolver, a->now.config->ca_file, e);
    return a->http ? 0 : EXIT_HOST;
}

static void stop_http(struct agent *a)
{
    if (a->http)
        http_free(a->http);
}

/* Journal */

static void on_stall(void *arg, int64_t waited_ms)
{
    struct agent *a = arg;
    char *text = mem_printf("runbookd on %s: the journal's disk has not answered for %lld s. "
                            "Nothing is done until it does.",
                            a->host, (long long)(waited_ms / 1000));

    if (a->outbox)
        outbox_emergency(a->outbox, text);
    mem_free(text);
}

static int journal_exit(const struct err *e)
{
    switch (e->code) {
    case ERR_STATE:
        return EXIT_SECOND;
    case ERR_AUTH:
        return EXIT_PERMISSION;
    case ERR_INPUT:
        return EXIT_CORRUPT;
    default:
        return EXIT_JOURNAL;
    }
}

static int check_state_dir(const char *dir, struct err *e)
{
    struct stat st;
    int denied;

    if (mkdir(dir, 0700) && errno != EEXIST && errno != EACCES && errno != EROFS &&
        errno != EPERM) {
        err_set(e, ERR_IO, "cannot make the state directory %s: %s", dir, strerror(errno));
        return EXIT_JOURNAL;
    }
    if (stat(dir, &st)) {
        err_set(e, errno == EACCES ? ERR_AUTH : ERR_IO, "cannot use the state directory %s: %s",
                dir, strerror(errno));
        return errno == EACCES ? EXIT_PERMISSION : EXIT_JOURNAL;
    }
    if (!S_ISDIR(st.st_mode)) {
        err_set(e, ERR_IO, "the state directory %s is no directory", dir);
        return EXIT_JOURNAL;
    }
    denied = access(dir, W_OK | X_OK) ? errno : 0;
    if (denied && denied != EACCES) {
        err_set(e, ERR_IO, "cannot write in the state directory %s: %s", dir, strerror(denied));
        return EXIT_JOURNAL;
    }
    if (denied) {
        err_set(
            e, ERR_AUTH,
            "no permission to write in the state directory %s: it must belong to the agent's user",
            dir);
        return EXIT_PERMISSION;
    }
    return 0;
}

static int start_journal(struct agent *a, struct err *e)
{
    char *path = mem_printf("%s/journal.db", a->now.config->state_dir);
    char *by = mem_printf("runbookd %s", a->version);
    struct sqlite_journal_options o = {
        .path = path, .created_by = by, .on_stall = on_stall, .arg = a};
    struct steady_clock clock;
    char away[UNIT_TEXT];
    int code = check_state_dir(a->now.config->state_dir, e);

    /* A look first, without the lock: it tells a newer version from a second agent. */
    if (!code && access(path, F_OK) == 0) {
        struct journal *look = journal_open_readonly(path, e);
        if (look)
            look->ops->close(look);
        else if (e->code == ERR_STATE)
            code = EXIT_NEWER;
        *e = code ? *e : (struct err)ERR_INIT;
    }
    if (!code) {
        a->journal = sqlite_journal_open(a->loop, &o, e);
        code = a->journal ? 0 : journal_exit(e);
    }
    if (!code) {
        journal_clock(a->journal, &clock);
        unit_format_duration(away, sizeof(away), clock.away_ms / 1000 * 1000);
        if (clock.source == CLOCK_NEW)
            log_info("journal", "%s made", path);
        else
            log_info("journal", "%s taken up after %s away%s", path, away,
                     clock.source == CLOCK_BY_WALL ? " (by the wall clock: the host was rebooted)"
                                                   : "");
    }
    mem_free(path);
    mem_free(by);
    return code;
}

static void stop_journal(struct agent *a)
{
    /* It completes what it still holds from inside: whoever submitted is alive until here. */
    if (a->journal)
        a->journal->ops->close(a->journal);
    if (a->engine)
        engine_free(a->engine);
    if (a->live)
        live_free(a->live);
}

/* World, reports, engine */

static void on_deliver(void *arg, const char *key, const struct json *report)
{
    struct agent *a = arg;

    if (a->outbox)
        outbox_deliver(a->outbox, key, report);
}

static void on_emergency(void *arg, const char *summary)
{
    struct agent *a = arg;

    if (a->outbox)
        outbox_emergency(a->outbox, summary);
}

static int start_world(struct agent *a, struct err *e)
{
    struct steady_clock clock;
    struct live_options o = {
        .loop = a->loop,
        .resolver = a->resolver,
        .http = a->http,
        .journal = a->journal,
        .freeze_file = a->now.config->freeze_file,
        .ca_file = a->now.config->ca_file,
        .alerts = a->now.config->http ? a->alerts : NULL,
        .deliver = on_deliver,
        .emergency = on_emergency,
        .relisted = agent_relisted,
        .arg = a,
    };

    (void)e;
    journal_clock(a->journal, &clock);
    o.steady_offset_ms = clock.offset_ms;
    a->live = live_new(&o);
    return 0;
}

static int64_t outbox_now(void *arg)
{
    struct agent *a = arg;

    return live_now_ms(a->live);
}

static void stop_reports(struct agent *a)
{
    outbox_free(a->outbox);
    a->outbox = NULL;
}

static int start_reports(struct agent *a, struct err *e)
{
    struct outbox_options o = {
        .loop = a->loop,
        .http = a->http,
        .journal = a->journal,
        .now_ms = outbox_now,
        .arg = a,
        .host = a->host,
        .config = a->now.config->all,
        .shadow = a->now.config->shadow_sink,
    };

    a->outbox = outbox_new(&o, e);
    if (!a->outbox)
        return e->code == ERR_AUTH ? EXIT_SECRET : EXIT_NO_SECRET;
    return outbox_restore(a->outbox, e) ? EXIT_JOURNAL : 0;
}

static int start_engine(struct agent *a, struct err *e)
{
    const struct config *c = a->now.config;
    struct engine_options o = {
        .mode = c->mode,
        .budget = c->budget,
        .budget_destructive = c->budget_destructive,
        .storm_episodes = c->storm_episodes,
        .storm_window_ms = c->storm_window_ms,
        .dashboard = c->dashboard,
        .host = a->host,
    };

    a->engine = engine_new(live_world(a->live), &o, lua_policy_loader());
    live_attach(a->live, a->engine);
    if (engine_restore(a->engine, e))
        return e->code == ERR_INPUT ? EXIT_CORRUPT : EXIT_JOURNAL;
    return agent_load(a, e);
}

static int start_control(struct agent *a, struct err *e)
{
    const struct config *c = a->now.config;
    struct control_options o = {
        .loop = a->loop,
        .engine = a->engine,
        .path = c->control,
        .host = a->host,
        .operators = (const char *const *)c->operators,
        .noperators = c->noperators,
        .verbs = agent_verbs,
        .arg = a,
    };

    a->control = control_listen(&o, e);
    if (a->control)
        return 0;
    return e->code == ERR_AUTH    ? EXIT_PERMISSION
           : e->code == ERR_STATE ? EXIT_SECOND
                                  : EXIT_CONTROL;
}

static void stop_control(struct agent *a)
{
    control_free(a->control);
    a->control = NULL;
}

/* HTTP listener */

static int start_alerts(struct agent *a, struct err *e)
{
    (void)e;
    a->alerts = alerts_new();
    return 0;
}

static void stop_alerts(struct agent *a)
{
    alerts_free(a->alerts);
}

static const char *ill(void *arg)
{
    const struct agent *a = arg;

    return a->stopping ? "it ends"
           : a->journal->ops->stalled(a->journal)
               ? "the journal's disk does not answer: nothing is done until it does"
               : NULL;
}

static void stop_web(struct agent *a)
{
    web_free(a->web);
    receiver_free(a->receiver);
    a->web = NULL;
    a->receiver = NULL;
}

static int start_web(struct agent *a, struct err *e)
{
    const struct json *http = a->now.config->http;
    struct receiver_options r = {.loop = a->loop,
                                 .journal = a->journal,
                                 .now_ms = outbox_now,
                                 .arg = a,
                                 .alerts = a->alerts,
                                 .config = http};
    struct web_options o = {.loop = a->loop,
                            .listen = json_get_str(http, "listen", ""),
                            .numbers = agent_numbers,
                            .ill = ill,
                            .arg = a};

    if (!http)
        return 0;
    a->receiver = receiver_new(&r, e);
    if (!a->receiver)
        return e->code == ERR_AUTH ? EXIT_SECRET : EXIT_NO_SECRET;
    o.receiver = a->receiver;
    a->web = web_listen(&o, e);
    return a->web ? 0 : EXIT_CONTROL;
}

/* Stopping */

static void look_for_end(struct agent *a)
{
    bool words = outbox_pending(a->outbox) > 0 &&
                 loop_boot_ms(a->loop) < a->stop_at_ms - STOP_MS + LAST_WORDS_MS;

    if (a->stopping && a->drained && !words)
        loop_stop(a->loop, EXIT_OK);
}

static void on_drained(void *arg)
{
    struct agent *a = arg;

    a->drained = true;
    log_info("agent", "nothing is in flight any more");
    look_for_end(a);
}

static void on_stop_time(void *arg)
{
    struct agent *a = arg;

    if (a->stopping && !a->drained && loop_boot_ms(a->loop) >= a->stop_at_ms) {
        log_warn("agent", "something is still in flight after 20s: it is in the journal and is "
                          "settled after the next start");
        loop_stop(a->loop, EXIT_OK);
    }
    look_for_end(a);
    loop_timer_set(a->stop_timer, 50);
}

static void stop(struct agent *a, const char *why)
{
    if (a->stopping) {
        log_warn("agent", "%s again: leaving now; what is in flight is in the journal", why);
        loop_stop(a->loop, EXIT_OK);
        return;
    }
    a->stopping = true;
    a->stop_at_ms = loop_boot_ms(a->loop) + STOP_MS;
    log_info("agent", "%s: no new steps; waiting for what is in flight", why);
    notify_state("STOPPING=1\nSTATUS=waiting for what is in flight");
    loop_timer_set(a->stop_timer, 50);
    engine_drain(a->engine, on_drained, a);
}

static void on_signal(int signo, void *arg)
{
    struct agent *a = arg;

    if (signo == SIGTERM || signo == SIGINT)
        stop(a, signo == SIGTERM ? "SIGTERM" : "SIGINT");
    else if (signo == SIGUSR1)
        engine_freeze_now(a->engine, "signal", "SIGUSR1");
    else if (signo == SIGHUP && !a->stopping)
        agent_reload(a, false, NULL, NULL);
}

static int start_reload(struct agent *a, struct err *e)
{
    (void)a;
    (void)e;
    return 0; /* begins when it is asked for */
}

static int start_signals(struct agent *a, struct err *e)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};

    a->stop_timer = loop_timer_new(a->loop, on_stop_time, a);
    for (size_t k = 0; k < sizeof(numbers) / sizeof(numbers[0]); k++)
        if (loop_on_signal(a->loop, numbers[k], on_signal, a, e))
            return EXIT_HOST;
    return 0;
}

static void stop_signals(struct agent *a)
{
    if (a->stop_timer)
        loop_timer_free(a->stop_timer);
}

/* The mode in force, and the configured one where they differ; the caller frees. */
static char *mode_text(const struct agent *a)
{
    enum mode configured, is = engine_mode(a->engine, &configured);

    return is == configured ? mem_strdup(mode_name(is))
                            : mem_printf("%s by an operator's order (%s is configured)",
                                         mode_name(is), mode_name(configured));
}

static void say_status(struct agent *a, const char *ready)
{
    char *mode = mode_text(a);
    enum mode configured;

    a->said_mode = engine_mode(a->engine, &configured);
    notify_state("%sSTATUS=mode %s, %zu policies", ready, mode, a->now.set->npolicies);
    mem_free(mode);
}

/* Housekeeping, once a second */

static void look_at_memory(struct agent *a)
{
    char *text;

    if (!a->out_of_memory && mem_is_low()) {
        a->out_of_memory = true;
        a->stop_at_ms = loop_boot_ms(a->loop) + EMERGENCY_MS;
        text = mem_printf(
            "runbookd on %s is out of memory: it does nothing more and ends. Its journal is whole.",
            a->host);
        outbox_emergency(a->outbox, text);
        mem_free(text);
        engine_drain(a->engine, on_drained, a);
    }
    if (a->out_of_memory &&
        (outbox_emergency_sent(a->outbox) || loop_boot_ms(a->loop) >= a->stop_at_ms))
        loop_stop(a->loop, EXIT_MEMORY);
}

static void on_house(void *arg)
{
    struct agent *a = arg;
    int64_t now = loop_boot_ms(a->loop);
    const struct loop_lag *lag = &a->lag;
    enum mode configured;

    loop_timer_set(a->house, HOUSE_MS);
    a->lag = loop_take_lag(a->loop);
    if (now - a->lag_since_ms >= 60 * 1000) {
        a->lag_since_ms = now;
        a->lag_minute = (struct loop_lag){0};
    }
    a->lag_minute.ms = fmax(lag->ms, a->lag_minute.ms);
    a->lag_minute.most_work_ms = fmax(lag->most_work_ms, a->lag_minute.most_work_ms);
    if (lag->ms > LAG_WARN_MS)
        log_warn("agent", "the loop stood still for %.0f ms: %s (%.0f ms of work, %ld sleeps)",
                 lag->ms,
                 lag->work_ms > lag->ms / 2 ? "work"
                 : lag->sleeps > 0          ? "something blocked"
                                            : "it had no core",
                 lag->work_ms, lag->sleeps);
    look_at_memory(a);
    if (!a->stopping && engine_mode(a->engine, &configured) != a->said_mode)
        say_status(a, "");
    if (a->watchdog)
        notify_state("WATCHDOG=1"); /* from the loop: it says that the loop turns */
}

static int start_house(struct agent *a, struct err *e)
{
    (void)e;
    a->started_ms = a->lag_since_ms = loop_boot_ms(a->loop);
    a->watchdog = notify_watchdog_ms() > 0;
    a->house = loop_timer_new(a->loop, on_house, a);
    loop_timer_set(a->house, HOUSE_MS);
    return 0;
}

static void stop_house(struct agent *a)
{
    if (a->house)
        loop_timer_free(a->house);
}

/* The list */

static const struct part {
    const char *name;
    int (*start)(struct agent *a, struct err *e); /* 0 or the exit code, with *e */
    void (*stop)(struct agent *a);
} parts[] = {
    {"process", start_process, NULL},
    {"config", start_files, stop_files},
    {"loop", start_loop, stop_loop},
    {"resolver", start_resolver, stop_resolver},
    {"http", start_http, stop_http},
    {"alerts", start_alerts, stop_alerts},
    {"journal", start_journal, stop_journal}, /* its stop ends the engine and the world, too */
    {"world", start_world, NULL},
    {"report", start_reports, stop_reports},
    {"engine", start_engine, NULL},
    {"control", start_control, stop_control},
    {"reload", start_reload, agent_reload_stop},
    {"listener", start_web, stop_web},
    {"signals", start_signals, stop_signals},
    {"house", start_house, stop_house},
};

enum exit_code agent_run(const char *config, const char *version, tests_fn *tests)
{
    struct agent *a = mem_alloc(sizeof(*a));
    size_t n = sizeof(parts) / sizeof(parts[0]), k;
    struct err e = ERR_INIT;
    bool ran = false;
    int code = 0;

    a->config_path = config;
    a->version = version;
    a->tests = tests;
    log_start_writer();
    for (k = 0; k < n; k++) {
        code = parts[k].start(a, &e);
        if (code) {
            say_error(parts[k].name, &e);
            k++; /* what it had begun is ended, too */
            break;
        }
    }
    if (!code) {
        ran = true;
        char *mode = mode_text(a);
        log_info("agent", "runbookd %s on %s: mode %s, %zu policies, %zu targets", version, a->host,
                 mode, a->now.set->npolicies, estate_len(a->now.estate));
        mem_free(mode);
        say_status(a, "READY=1\n");
        code = loop_run(a->loop);
        log_info("agent", "ends with code %d", code);
    }
    if (ran && !a->drained) {
        log_stop_writer();
        _exit(code); /* something hangs in flight: nothing is waited for any more */
    }
    while (k-- > 0)
        if (parts[k].stop)
            parts[k].stop(a);
    log_stop_writer();
    mem_free(a);
    return (enum exit_code)code;
}
