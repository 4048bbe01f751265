/* The agent's configuration, the estate, secrets, and parameters per target. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/mem.h"
#include "help_lua.h"

static char *told(struct diags *d)
{
    struct buf b;

    buf_init(&b, 1 << 16);
    diags_print(d, &b, false);
    return buf_take(&b);
}

static void reads_the_configuration(void **state)
{
    const char *key = help_file("key", "R0UT1NGKEY0123456789ABCDEF012345\n");
    struct diags *d = diags_new();
    struct err e = ERR_INIT;
    char want[300], *secret;

    (void)state;
    chmod(key, 0400);
    struct config *c = config_load(
        help_file("conf/runbookd.lua",
                  "runbookd {\n  state_dir = \"state\", mode = \"approve\", estate = "
                  "\"estate.lua\", policies = { \"policies\", \"/etc/p\" },\n"
                  "  environment = \"prod\", budget = \"7 per 2h\", storm = { episodes = 3 },\n"
                  "  pagerduty = { routing_key = secret.file \"../key\" }, shadow_sink = { file = "
                  "\"shadow.log\" },\n"
                  "  operators = \"root\", max_limit = \"2 per 1d\", log_level = \"debug\",\n}\n"),
        d);
    if (!c) {
        fail_msg("%s", told(d));
        return;
    }
    snprintf(want, sizeof want, "%s/conf/state", help_dir());
    assert_string_equal(c->state_dir, want);
    snprintf(want, sizeof want, "%s/conf/params/prod.lua", help_dir());
    assert_string_equal(c->params, want);
    assert_int_equal(c->npolicies, 2);
    assert_string_equal(c->policies[1], "/etc/p");
    assert_string_equal(c->control, "/run/runbookd/control.sock");
    assert_int_equal(c->mode, MODE_APPROVE);
    assert_int_equal(c->budget.n, 7);
    assert_int_equal(c->budget.per_ms, 2 * 3600000);
    assert_int_equal(c->budget_destructive.n, 5);
    assert_int_equal(c->storm_episodes, 3);
    assert_int_equal(c->storm_window_ms, 300000);
    assert_int_equal(c->max_limit.n, 2);
    assert_int_equal(c->noperators, 1);
    assert_string_equal(json_get_str(json_get(c->all, "pagerduty"), "url", ""),
                        "https://events.pagerduty.com/v2/enqueue");
    assert_int_equal(
        secret_read(json_get(json_get(c->all, "pagerduty"), "routing_key"), &secret, &e), 0);
    assert_string_equal(secret, "R0UT1NGKEY0123456789ABCDEF012345");
    mem_free(secret);
    config_free(c);
    diags_free(d);
}

static void an_empty_configuration_has_defaults(void **state)
{
    struct diags *d = diags_new();
    struct config *c = config_load(help_file("empty.lua", "runbookd {}"), d);

    (void)state;
    assert_non_null(c);
    assert_int_equal(c->mode, MODE_SHADOW);
    assert_null(c->params);
    assert_null(json_get(c->all, "pagerduty"));
    assert_int_equal(c->budget.n, 20);
    assert_int_equal(c->max_limit.n, 0);
    config_free(c);
    diags_free(d);
}

/* Each mistake has a class of its own, for the exit code. */
static void tells_mistakes_apart(void **state)
{
    const struct {
        const char *text, *code;
        enum diag_class class;
    } all[] = {
        {NULL, "E100", DIAG_FILE},
        {"runbookd {", "E101", DIAG_SYNTAX},
        {"runbookd { colour = 1 }", "E104", DIAG_UNKNOWN},
        {"runbokd {}", "E102", DIAG_UNKNOWN},
        {"runbookd { budget = 20 }", "E107", DIAG_VALUE},
        {"runbookd { storm = { window = \"10x\" } }", "E107", DIAG_VALUE},
        {"local x = {} runbookd { mode = x.y.z }", "E118", DIAG_RULE},
        {"runbookd { pagerduty = { routing_key = secret.file \"open\" } }", "E121", DIAG_SECRET}};

    (void)state;
    chmod(help_file("open", "secret"), 0644);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct diags *d = diags_new();
        struct config *c = config_load(
            all[i].text ? help_file("bad.lua", all[i].text) : "/nonexistent/runbookd.lua", d);
        char *text = told(d);
        config_free(c);
        if (!diags_has(d, all[i].code) || diags_class(d) != all[i].class)
            fail_msg("wanted %s of class %d, got class %d: %s", all[i].code, all[i].class,
                     diags_class(d), text);
        struct json *list = diags_json(d);
        assert_string_equal(json_get_str(json_at(list, 0), "code", ""), all[i].code);
        json_free(list);
        mem_free(text);
        diags_free(d);
    }
}

static void a_byte_order_mark_is_named(void **state)
{
    struct diags *d = diags_new();
    char *text;

    (void)state;
    assert_null(config_load(help_file("bad.lua", "\xef\xbb\xbfrunbookd {}"), d));
    text = told(d);
    assert_non_null(strstr(text, "bad.lua:1:1: E101 begins with a byte order mark"));
    mem_free(text);
    diags_free(d);
}

static int read_secret(const char *field, const char *value, char **out)
{
    struct json *held = json_new_map();
    struct err e = ERR_INIT;

    json_set_str(held, field, value);
    int rc = secret_read(held, out, &e);
    if (rc)
        assert_true(strlen(e.text) > 10);
    json_free(held);
    return rc;
}

static void guards_secrets(void **state)
{
    char *out;
    const char *path = help_file("s", "hunter22\n");

    (void)state;
    chmod(path, 0640);
    assert_int_equal(read_secret("file", path, &out), ERR_AUTH);
    assert_null(out);
    chmod(path, 0604);
    assert_int_equal(read_secret("file", path, &out), ERR_AUTH);
    chmod(path, 0400);
    assert_int_equal(read_secret("file", path, &out), 0);
    assert_string_equal(out, "hunter22");
    mem_free(out);
    assert_int_equal(read_secret("file", "/nonexistent/x", &out), ERR_NOT_FOUND);
    assert_int_equal(read_secret("file", help_dir(), &out), ERR_INPUT);
    path = help_file("empty", "\n");
    chmod(path, 0600);
    assert_int_equal(read_secret("file", path, &out), ERR_INPUT);
    assert_int_equal(read_secret("env", "RB_NO_SUCH_SECRET", &out), ERR_NOT_FOUND);
    setenv("RB_TEST_SECRET", "from-env", 1);
    assert_int_equal(read_secret("env", "RB_TEST_SECRET", &out), 0);
    assert_string_equal(out, "from-env");
    mem_free(out);
    assert_int_equal(read_secret("x", "y", &out), ERR_INPUT);
}

static void reads_the_estate(void **state)
{
    struct diags *d = diags_new();
    struct json *discover = NULL;
    struct estate *e = estate_load(
        help_file("estate.lua",
                  "aws \"prod\" { region = \"us-east-1\", role = "
                  "\"arn:aws:iam::123456789012:role/runbookd\" }\n"
                  "discover.asg { aws = \"prod\", tag = { team = \"web\" } }\n"
                  "for _, name in ipairs { \"web-1\", \"web-2\" } do\n  asg(name) { aws = "
                  "\"prod\", tag = { tier = \"web\" }, mode = \"shadow\" }\nend\n"
                  "postgres \"db\" { host = \"h\", database = \"d\", user = \"u\", password = "
                  "secret.env \"PW\", aws = \"prod\", tag = { app = \"orders\" } }\n"
                  "service \"portal\" { url = \"https://x\", asg = \"web-1\", postgres = \"db\", "
                  "pool_size = 50 }\n"),
        NULL, &discover, d);

    (void)state;
    if (!e)
        fail_msg("%s", told(d));
    assert_int_equal(estate_len(e), 5);
    const struct target *t = estate_by_id(e, "asg/web-2");
    assert_non_null(t);
    assert_int_equal(t->mode, MODE_SHADOW);
    assert_int_equal(t->line, 4);
    assert_string_equal(json_get_str(t->tag, "tier", ""), "web");
    assert_string_equal(json_get_str(t->fields, "aws", ""), "prod");
    t = estate_find(e, "postgres", "db");
    assert_int_equal(t->mode, MODE_ENFORCE);
    assert_string_equal(json_get_str(json_get(t->fields, "password"), "env", ""), "PW");
    assert_int_equal(json_get_int(t->fields, "port", 0), 5432);
    assert_int_equal(json_len(discover), 1);
    assert_string_equal(json_get_str(json_get(json_at(discover, 0), "tag"), "team", ""), "web");
    json_free(discover);
    estate_unref(e);
    diags_free(d);
}

/* As a secret's: the agent may run anywhere. */
static void files_stand_beside_the_estate(void **state)
{
    struct diags *d = diags_new();
    char *path = mem_strdup(
        help_file("estate.lua", "aws \"prod\" { region = \"us-east-1\", ca_file = \"a.pem\" }\n"
                                "cache \"c\" { host = \"h\", ca_file = \"/etc/b.pem\" }\n"));
    struct estate *e = estate_load(path, NULL, NULL, d);
    char *want = mem_printf("%.*sa.pem", (int)(strrchr(path, '/') + 1 - path), path);

    (void)state;
    if (!e)
        fail_msg("%s", told(d));
    assert_string_equal(json_get_str(estate_find(e, "aws", "prod")->fields, "ca_file", ""), want);
    assert_string_equal(json_get_str(estate_find(e, "cache", "c")->fields, "ca_file", ""),
                        "/etc/b.pem");
    mem_free(want);
    mem_free(path);
    estate_unref(e);
    diags_free(d);
}

static void how_to_sign_in_is_checked(void **state)
{
    static const struct {
        const char *fields, *code, *text;
    } rows[] = {
        {"iam = true", "E106", "needs aws"},
        {"iam = true, aws = \"p\", password = secret.env \"PW\"", "E106", "leave one"},
        {"iam = true, aws = \"p\", sslmode = \"prefer\"", "E106", "needs TLS"},
        {"iam = true, aws = \"p\", sslmode = \"require\"", NULL, NULL},
        {"cert_file = \"/c\"", "E106", "key_file is missing"},
        {"key_file = secret.file \"/nonexistent/k\"", "E106", "cert_file is missing"},
        {"cert_file = \"/c\", key_file = secret.env \"K\"", "E106", "secret.file"},
        {"cert_file = \"/c\", key_file = \"/k\"", "E107", "secret.file"},
        {"cert_file = \"/c\", key_file = secret.file \"/nonexistent/k\", sslmode = \"disable\"",
         "E106", "needs TLS"},
        {"cert_file = \"/c\", key_file = secret.file \"open\"", "E121", "chmod 0400"},
        {"cert_file = \"/c\", key_file = secret.file \"/nonexistent/k\"", NULL, NULL},
    };

    (void)state;
    chmod(help_file("open", "key"), 0644);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct diags *d = diags_new();
        char *lua =
            mem_printf("aws \"p\" { region = \"us-east-1\" }\npostgres \"db\" { host = \"h\", "
                       "database = \"d\", user = \"u\", %s }\n",
                       rows[i].fields);
        struct estate *e = estate_load(help_file("signin.lua", lua), NULL, NULL, d);
        char *text = told(d);

        if (rows[i].code ? e || !diags_has(d, rows[i].code) || !strstr(text, rows[i].text) : !e)
            fail_msg("%s: %s", rows[i].fields, text);
        if (rows[i].code && strcmp(rows[i].code, "E121") == 0)
            assert_int_equal(diags_class(d), DIAG_SECRET);
        mem_free(text);
        mem_free(lua);
        estate_unref(e);
        diags_free(d);
    }
}

static void overrides_reach_their_target(void **state)
{
    const char *path = help_file("pol/p.lua", example);
    const struct policy_load_options o = {
        .paths = &path,
        .npaths = 1,
        .mode = MODE_ENFORCE,
        .params = help_file("pol/params.lua",
                            "return { web_cpu_limit = \"55%\", [\"web_cpu_limit@web-1\"] = "
                            "\"70%\", [\"web_cpu_limit@asg/web-2\"] = \"80%\" }")};
    struct diags *d = diags_new();
    struct policy_set *set = policies_load(&o, d);
    struct estate *e = estate_load(
        help_file("estate2.lua",
                  "aws \"p\" { region = \"us-east-1\" }\nfor _, n in ipairs { \"web-1\", "
                  "\"web-2\", \"web-3\" } do asg(n) { aws = \"p\" } end"),
        NULL, NULL, d);
    struct err err = ERR_INIT;

    (void)state;
    if (!set || !e)
        fail_msg("%s", told(d));
    const struct policy *base = policy_find(set, "asg-cpu-high");
    const struct policy *one = policy_for(set, "asg-cpu-high", estate_by_id(e, "asg/web-1"));
    const struct policy *two = policy_for(set, "asg-cpu-high", estate_by_id(e, "asg/web-2"));
    assert_true(base->when->threshold == 55);
    assert_true(one->when->threshold == 70);
    assert_true(two->when->threshold == 80);
    assert_ptr_equal(policy_for(set, "asg-cpu-high", estate_by_id(e, "asg/web-3")), base);
    assert_ptr_equal(policy_for(set, "asg-cpu-high", estate_by_id(e, "asg/web-1")), one);
    assert_string_not_equal(one->source_hash, base->source_hash);

    /* stored, and loaded again: the same policy, under the same hash, whatever the files say now */
    const struct policy_loader *l = lua_policy_loader();
    struct json *source = l->source(l->arg, one);
    char *text = json_print(source);
    struct json *again = json_parse(text, strlen(text), 1 << 20, &err);
    struct policy_set *old = l->load(l->arg, again, &err);
    if (!old)
        fail_msg("%s", err.text);
    assert_string_equal(policy_find(old, "asg-cpu-high")->source_hash, one->source_hash);
    assert_true(policy_find(old, "asg-cpu-high")->when->threshold == 70);
    json_set_int(again, "language", 99);
    assert_null(l->load(l->arg, again, &err));
    assert_int_equal(err.code, ERR_STATE);
    mem_free(text);
    json_free(source);
    json_free(again);
    policy_set_unref(old);
    policy_set_unref(set);
    estate_unref(e);
    diags_free(d);
}

/* JSON has no word for it: it would be no value, and the field would fall back to its default. */
static void parameters_are_finite(void **state)
{
    static const char *const texts[] = {"return { most = 1/0 }", "return { most = -1/0 }",
                                        "return { most = 0/0 }"};

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        const char *path = help_file("pol/p.lua", example);
        const struct policy_load_options o = {.paths = &path,
                                              .npaths = 1,
                                              .mode = MODE_ENFORCE,
                                              .params = help_file("finite.lua", texts[i])};
        struct diags *d = diags_new();

        assert_null(policies_load(&o, d));
        char *text = told(d);
        assert_non_null(strstr(text, "finite.lua:1:1: E106 parameters are"));
        mem_free(text);
        diags_free(d);
    }
}

/* What policies say of each other is told where it is written. */
static void names_across_policies(void **state)
{
    char folder[256];
    const char *path = folder;

    (void)state;
    snprintf(folder, sizeof(folder), "%s/across", help_dir());
    help_file("across/p.lua", "policy \"p\" { owner = \"o\", severity = \"sev3\", doc = "
                              "\"https://x.example\", target = find.asg {},\n"
                              "  when = sig.asg_cpu { above = \"60%\" },\n"
                              "  actions = { act.asg_scale { by = 1, max = 5 } },\n"
                              "  inhibits = { \"p\", \"q\" } }\n");
    const struct policy_load_options o = {.paths = &path, .npaths = 1, .mode = MODE_ENFORCE};
    struct diags *d = diags_new();

    assert_null(policies_load(&o, d));
    char *text = told(d);
    assert_non_null(strstr(text, "p.lua:4:21: E102 policy \"p\" inhibits \"q\", which does not"));
    mem_free(text);
    diags_free(d);
}

/* Overrides that are right one by one and wrong together: nothing acts, the wider base least of
 * all. */
static void overrides_that_do_not_fit_fail_closed(void **state)
{
    const char *path =
        help_file("pair/p.lua", "policy \"p\" { owner = \"o\", severity = \"sev3\", doc = "
                                "\"https://x.example\", target = find.asg {},\n"
                                "  when = sig.asg_cpu { above = \"60%\" },\n"
                                "  actions = { act.asg_scale { by = 1, min = param(\"low\", 1), "
                                "max = param(\"high\", 5) } } }\n");
    const struct policy_load_options o = {
        .paths = &path,
        .npaths = 1,
        .mode = MODE_ENFORCE,
        .params = help_file("pair/params.lua",
                            "return { [\"low@web-1\"] = 4, [\"high@asg/web-1\"] = 3 }")};
    struct diags *d = diags_new();
    struct policy_set *set = policies_load(&o, d);
    struct estate *e =
        estate_load(help_file("estate3.lua",
                              "aws \"p\" { region = \"us-east-1\" } asg \"web-1\" { aws = \"p\" }"),
                    NULL, NULL, d);

    (void)state;
    if (!set || !e)
        fail_msg("%s", told(d));
    assert_null(policy_for(set, "p", estate_by_id(e, "asg/web-1")));
    assert_null(policy_for(set, "p", estate_by_id(e, "asg/web-1"))); /* the second time too */
    policy_set_unref(set);
    estate_unref(e);
    diags_free(d);
}

/* A misspelt limit would be no limit: every name of the parameters is one that something asks for.
 */
static void parameters_that_nobody_asks_for(void **state)
{
    static const char *const web1[] = {
        "E102 \"most@web1\": there is no target \"web1\", did you mean \"web-1\"?",
        "W208 \"most@web1\": the estate declares no target \"web1\", did you mean \"web-1\"?; it "
        "counts only if a discover finds one of that name"};
    static const char *const estates[] = {
        "aws \"p\" { region = \"us-east-1\" } for _, n in ipairs { "
        "\"web-1\", \"web-2\" } do asg(n) { aws = "
        "\"p\" } end",
        "aws \"p\" { region = \"us-east-1\" } for _, n in ipairs { "
        "\"web-1\", \"web-2\" } do asg(n) { aws = "
        "\"p\" } end discover.asg { aws = \"p\" }"};
    const char *policies = "asks/p.lua";

    (void)state;
    help_file(
        "asks/p.lua",
        "policy \"p\" { owner = \"o\", severity = \"sev3\", doc = \"https://x.example\", target = "
        "find.asg { name = \"web-1\" },\n  when = sig.asg_cpu { above = param(\"cpu_limit\", "
        "\"60%\") },\n  actions = { act.asg_scale { by = 1, max = param(\"most\", 5), approvers "
        "= false and param \"later\" or nil } } }\n");
    help_file("asks/params.lua",
              "return {\n  cpu_limt = \"70%\", later = 1,\n  [\"cpu_limit@web-1\"] = \"71%\",\n"
              "  [\"most@web1\"] = 9,\n  [\"most@asg/web-2\"] = 8,\n  [\"msot@web-1\"] = 7,\n}\n");
    assert_int_equal(chdir(help_dir()), 0);
    for (size_t i = 0; i < 2; i++) {
        struct diags *d = diags_new();
        struct json *discover = NULL;
        struct estate *e =
            estate_load(help_file("asks/estate.lua", estates[i]), NULL, &discover, d);
        struct policy_load_options o = {.paths = &policies,
                                        .npaths = 1,
                                        .mode = MODE_ENFORCE,
                                        .params = "asks/params.lua",
                                        .estate = e,
                                        .discover = discover,
                                        .whole = true};
        char *want = mem_printf(
            "asks/params.lua:2:3: E102 no policy asks for the parameter \"cpu_limt\", did you mean "
            "\"cpu_limit\"?\n"
            "      cpu_limt = \"70%%\", later = 1,\n"
            "      ^^^^^^^^\n"
            "asks/params.lua:4:4: %s\n"
            "      [\"most@web1\"] = 9,\n"
            "       ^^^^^^^^^^^\n"
            "asks/params.lua:5:4: W208 \"most@asg/web-2\": no policy that asks for \"most\" is for "
            "\"asg/web-2\": it changes nothing\n"
            "      [\"most@asg/web-2\"] = 8,\n"
            "       ^^^^^^^^^^^^^^^^\n"
            "asks/params.lua:6:4: E102 no policy asks for the parameter \"msot\", did you mean "
            "\"most\"?\n"
            "      [\"msot@web-1\"] = 7,\n"
            "       ^^^^^^^^^^^^\n",
            web1[i]);

        assert_null(policies_load(&o, d));
        char *text = told(d);
        assert_string_equal(text, want);
        mem_free(want);
        mem_free(text);
        diags_free(d);
        d = diags_new();
        o.whole = false; /* some of the policies: another may ask */
        struct policy_set *set = policies_load(&o, d);
        assert_non_null(set);
        assert_int_equal(diags_len(d), 0);
        policy_set_unref(set);
        estate_unref(e);
        json_free(discover);
        diags_free(d);
    }
}

/* The same answers give the same questions, from a stored source as from the file: what replay
 * stands on. */
static void replays_equal(void **state)
{
    const char *lib = "return { limit = \"60%\", names = { b = 1, a = 2, c = 3 } }";
    const char *text = "local slo = use \"slo\"\n"
                       "policy \"p\" { owner = \"o\", severity = \"sev3\", doc = "
                       "\"https://x.example\", target = find.asg {},\n"
                       "  when = sig.asg_cpu { above = slo.limit }, checks = { ok = sig.asg_cpu { "
                       "below = \"40%\" } },\n"
                       "  actions = { grow = act.asg_scale { by = param(\"by\", 2), max = 5 } },\n"
                       "  run = function(r)\n    for name, n in pairs(slo.names) do r:log(name .. "
                       "n .. r.target.name) end\n"
                       "    local cpu = r:read(sig.asg_cpu {}) or 0\n"
                       "    if r:act \"grow\" and not r:verify(\"ok\", \"30m\") then "
                       "r:log(string.format(\"%.1f\", cpu)) r:undo \"grow\" end\n"
                       "    while not r:holds \"ok\" do r:sleep \"5m\" end\n    r:page(\"done \" "
                       ".. tostring(r:wait(\"ok\", \"1h\")))\n  end }\n";
    char *logs[2] = {NULL, NULL};

    (void)state;
    help_file("lib/slo.lua", lib);
    struct policy_set *set = help_policies(text, NULL), *old = NULL;
    const struct policy_loader *l = lua_policy_loader();
    for (int round = 0; round < 2; round++) {
        struct err e = ERR_INIT;
        struct buf log;
        if (round == 1) {
            struct json *source = l->source(l->arg, policy_find(set, "p"));
            remove(help_file("lib/slo.lua", "return {}"));
            old = l->load(l->arg, source, &e);
            json_free(source);
            if (!old)
                fail_msg("%s", e.text);
        }
        const struct policy *p = policy_find(round ? old : set, "p");
        struct json *target = json_new_map(), *answer = NULL;
        json_set_str(target, "name", "web-1");
        struct script *s = p->script->start(p->script_data, target, p->params, &e);
        buf_init(&log, 1 << 16);
        unsigned seed = 7;
        for (struct ask a = {.kind = ASK_LOG}; a.kind != ASK_END && a.kind != ASK_FAULT;) {
            p->script->resume(s, answer, &a);
            (void)buf_addf(&log, "%d %s %s %s %lld\n", a.line, ask_name(a.kind),
                           a.name ? a.name : "", a.text ? a.text : "", (long long)a.within_ms);
            json_free(answer);
            seed = seed * 1103515245u + 12345u;
            answer = a.kind == ASK_READ   ? json_new_num(85.25)
                     : a.kind == ASK_WAIT ? json_new_str("ok")
                                          : json_new_bool(seed >> 16 & 1);
        }
        json_free(answer);
        json_free(target);
        p->script->free(s);
        logs[round] = buf_take(&log);
    }
    assert_string_equal(logs[0], logs[1]);
    assert_non_null(strstr(logs[0], "log  a2web-1"));
    assert_non_null(strstr(logs[0], "page  done ok"));
    mem_free(logs[0]);
    mem_free(logs[1]);
    policy_set_unref(set);
    policy_set_unref(old);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_configuration),
        cmocka_unit_test(an_empty_configuration_has_defaults),
        cmocka_unit_test(tells_mistakes_apart),
        cmocka_unit_test(a_byte_order_mark_is_named),
        cmocka_unit_test(guards_secrets),
        cmocka_unit_test(reads_the_estate),
        cmocka_unit_test(files_stand_beside_the_estate),
        cmocka_unit_test(parameters_that_nobody_asks_for),
        cmocka_unit_test(how_to_sign_in_is_checked),
        cmocka_unit_test(overrides_reach_their_target),
        cmocka_unit_test(parameters_are_finite),
        cmocka_unit_test(names_across_policies),
        cmocka_unit_test(overrides_that_do_not_fit_fail_closed),
        cmocka_unit_test(replays_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
