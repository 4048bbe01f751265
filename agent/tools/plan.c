/* runbookd plan: what a policy would do now on a target, asked of the real world, with nothing
 * changed and no agent needed. */
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "serve/load.h"
#include "tools/show.h"
#include "tools/text.h"
#include "tools/tools.h"
#include "world/live.h"
#include "world/memory_journal.h"

const char usage_plan[] = "usage: runbookd plan [--config FILE] [--json] POLICY TARGET\n"
                          "Reads the world and shows each action's exact calls, preconditions and "
                          "guards; changes nothing. It knows nothing of a running agent's "
                          "counters: ask that one with runbookctl plan POLICY TARGET.\n";

#define SETTLE_MS 15000 /* for the first readings */
#define LOOK_MS 50

struct planner {
    struct tool_args *args;
    struct loop *loop;
    struct live *live;
    struct engine *engine;
    struct loop_timer *timer;
    const struct loaded *loaded;
    int64_t until_ms;
    struct json *answer;
};

static void on_answer(void *arg, struct json *answer)
{
    struct planner *p = arg;

    p->answer = answer;
    loop_stop(p->loop, 0);
}

/* What is declared and what was found so far. */
static int load(struct planner *p, struct err *e)
{
    const struct loaded *l = p->loaded;
    struct estate *all = discover_estate(live_discover(p->live), l->discover, l->estate);
    int rc;

    live_estate(p->live, all);
    rc = engine_load(p->engine, l->set, all, e);
    estate_unref(all);
    return rc;
}

static void on_listed(void *arg, const char *worry)
{
    struct err e = ERR_INIT;

    (void)worry; /* a first listing gives none */
    if (load(arg, &e))
        fprintf(stderr, "runbookd plan: %s\n", e.text);
}

static void on_look(void *arg)
{
    struct planner *p = arg;
    struct json *c;

    if (!live_settled(p->live) && loop_boot_ms(p->loop) < p->until_ms) {
        loop_timer_set(p->timer, LOOK_MS);
        return;
    }
    c = json_new_map();
    json_set_str(c, "command", "plan");
    json_set_str(c, "policy", p->args->rest[0]);
    json_set_str(c, "target", p->args->rest[1]);
    engine_command(p->engine, c, on_answer, p);
    json_free(c);
}

/* Whether any action could be planned: with nothing to do is a plan, too. */
static bool any_plan(const struct json *answer)
{
    for (const struct json *p = json_first(json_get(answer, "plans")); p; p = json_next(p))
        if (json_get(p, "plan"))
            return true;
    return false;
}

static int print(struct planner *p)
{
    const char *error = json_get_str(p->answer, "error", NULL);
    struct json *clean;
    struct text t;
    char *text;

    if (p->args->json) {
        text = json_print_pretty(p->answer);
        printf("%s\n", text);
        mem_free(text);
    } else if (!error) {
        text_init(&t, STDOUT_FILENO);
        clean = text_clean(p->answer);
        show_plans(&t, clean);
        text_fold(&t);
        text_flush(&t, STDOUT_FILENO);
        json_free(clean);
        text_free(&t);
    }
    if (error)
        fprintf(stderr, "runbookd plan: %s\n", error);
    return error ? EXIT_FAILED : any_plan(p->answer) ? EXIT_OK : EXIT_NO_PLAN;
}

static int plan_with(struct planner *p, struct loaded *l, struct err *e)
{
    struct engine_options eo = {.mode = l->config->mode,
                                .budget = l->config->budget,
                                .budget_destructive = l->config->budget_destructive,
                                .host = "plan"};
    struct memory_disk *disk = memory_disk_new();
    struct resolver *resolver = resolver_new(p->loop, l->config->nameserver, e);
    struct http *http = resolver ? http_new(p->loop, resolver, l->config->ca_file, e) : NULL;
    struct live_options lo = {.loop = p->loop,
                              .resolver = resolver,
                              .http = http,
                              .freeze_file = l->config->freeze_file,
                              .ca_file = l->config->ca_file,
                              .look_only = true,
                              .relisted = on_listed,
                              .arg = p};
    int code = EXIT_HOST;

    if (http) {
        lo.journal = memory_journal_open(disk);
        lo.steady_offset_ms = loop_wall_ms(p->loop) - loop_boot_ms(p->loop);
        p->live = live_new(&lo);
        p->engine = engine_new(live_world(p->live), &eo, lua_policy_loader());
        live_attach(p->live, p->engine);
        p->loaded = l;
        code = load(p, e) ? EXIT_RULE : EXIT_OK;
        if (!code) {
            discover_rows(live_discover(p->live), l->discover, l->estate);
            p->timer = loop_timer_new(p->loop, on_look, p);
            p->until_ms = loop_boot_ms(p->loop) + SETTLE_MS;
            loop_timer_set(p->timer, LOOK_MS);
            loop_run(p->loop);
            code = print(p);
            loop_timer_free(p->timer);
        }
        memory_journal_crash(lo.journal); /* nothing of this is kept */
        engine_free(p->engine);
        live_free(p->live);
    }
    json_free(p->answer);
    if (http)
        http_free(http);
    if (resolver)
        resolver_free(resolver);
    memory_disk_free(disk);
    return code;
}

int tool_plan(int argc, char **argv)
{
    struct tool_args a;
    struct planner p = {.args = &a};
    struct loaded l;
    struct diags *d;
    struct err e = ERR_INIT;
    struct buf text;
    int code = tool_args(argc, argv, usage_plan, &a);

    if (code || a.help)
        return code;
    if (a.nrest != 2) {
        text_help(stderr, usage_plan);
        return EXIT_USAGE;
    }
    log_set_level(LOG_LVL_WARN);
    d = diags_new();
    if (!load_all(a.config, NULL, 0, &l, d)) {
        buf_init(&text, 1u << 20);
        diags_print(d, &text, false);
        fputs(buf_str(&text), stderr);
        buf_free(&text);
        code = (int)load_exit(d, a.config);
    } else {
        p.loop = loop_new(&e);
        code = p.loop ? plan_with(&p, &l, &e) : EXIT_HOST;
        if (p.loop)
            loop_free(p.loop);
        if (e.code)
            fprintf(stderr, "runbookd plan: %s\n", e.text);
    }
    loaded_free(&l);
    diags_free(d);
    return code;
}
