/* The shipped policies and their estate with mistakes in them, the same ones for a seed: a field
 * gone, a value of another type, a name misspelt, a piece twice, the end cut off. `check` must come
 * to an end, give every mistake a place, and fail exactly when it tells of an error; what it lets
 * through must load, and a run of an agent with it, in virtual time and over random readings, too.
 *
 * policies SOURCE_DIR ROUNDS [FIRST]: rounds are numbered, and each is its number's alone: ROUNDS 1
 * and FIRST n replays one, whose files are left in the folder that it names when it fails. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "lua/scan.h"
#include "serve/load.h"
#include "tools/tools.h"
#include "world/virtual.h"

#define FILE_MAX (1u << 18)
#define ROUND_S 20 /* no load takes so long, under sanitizers either */
#define MINUTE 60000

static uint64_t state;
static long round_no;
static char where[160]; /* for the signal's handler, which must not format */
static char folder[] = "/tmp/rb-policies-XXXXXX";
static int told = -1; /* what stdout is while runbookd's commands write on it */

/* xorshift64* (Vigna 2016), seeded by the number of the round. */
static size_t draw(size_t below)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return below > 0 ? (size_t)((state * 2685821657736338717u) >> 32) % below : 0;
}

static void seed(long n)
{
    state = 88172645463325252u ^ ((uint64_t)n * 0x9e3779b97f4a7c15u);
    for (int i = 0; i < 8; i++)
        (void)draw(2);
}

static void fail(const char *what, const char *detail)
{
    fprintf(stderr, "round %ld: %s\n%s\nits files: %s\n", round_no, what, detail, folder);
    exit(1);
}

static void on_signal(int sig)
{
    (void)!write(STDERR_FILENO, where, strlen(where));
    signal(sig, SIG_DFL);
    raise(sig);
}

/* ---- texts ---- */

struct text {
    char *s;
    size_t len;
};

static struct text read_file(const char *path)
{
    struct text t = {.s = mem_alloc(FILE_MAX)};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, t.s, FILE_MAX - 1) : -1;

    if (n < 0)
        fail("cannot be read", path);
    close(fd);
    t.len = (size_t)n;
    t.s[n] = '\0';
    return t;
}

static void write_file(const char *name, const char *s, size_t len)
{
    char *path = mem_printf("%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0 || write(fd, s, len) != (ssize_t)len)
        fail("cannot be written", path);
    close(fd);
    mem_free(path);
}

/* Puts `len` bytes in the place of others. */
static void replace(struct text *t, size_t at, size_t old, const char *with, size_t len)
{
    char *s;

    if (at > t->len || old > t->len - at || t->len - old + len >= FILE_MAX)
        return;
    s = mem_alloc(FILE_MAX);
    memcpy(s, t->s, at);
    memcpy(s + at, with, len);
    memcpy(s + at + len, t->s + at + old, t->len - at - old);
    mem_free(t->s);
    t->s = s;
    t->len += len - old;
    t->s[t->len] = '\0';
}

static size_t end_of(const struct scan *s, size_t token)
{
    return s->tokens[token].at + s->tokens[token].len;
}

/* ---- mistakes ---- */

static const char *const values[] = {
    "5",
    "-1",
    "0",
    "0.5",
    "1e308",
    "0/0",
    "true",
    "false",
    "nil",
    "\"\"",
    "\"5m\"",
    "\"60%\"",
    "\"101%\"",
    "\"4GiB\"",
    "\"2 per 1h\"",
    "\"x\"",
    "\"$target.name\"",
    "\"$step.a.b\"",
    "\"10.0.0.0/8\"",
    "{}",
    "{ 1 }",
    "{ \"a\" }",
    "{ a = 1 }",
    "{ {} }",
    "function() end",
    "function(r) r:page \"x\" end",
    "function(r) while true do end end",
    "sig.pg_connections { above = 1 }",
    "sig.asg_cpu {}",
    "all { sig.clock { from = \"1:00\", to = \"2:00\" } }",
    "find.asg {}",
    "find.cache {}",
    "find.postgres { name = {} }",
    "act.snapshot {}",
    "act.pg_cancel { idle_over = \"1m\" }",
    "param(\"x\", 1)",
    "param(\"x\")",
    "secret.file \"x\"",
    "sig.nope {}",
    "nope",
    "math.huge",
    "string.format(\"%d\", 1)",
    "(\"x\"):rep(9)",
    "use \"x\"",
};
#define VALUES (sizeof(values) / sizeof(values[0]))

/* A table of the text that has fields; -1: there is none. */
static long some_table(const struct scan *s)
{
    for (int i = 0; i < 20 && s->ntables > 0; i++) {
        size_t k = draw(s->ntables);

        if (s->tables[k].nfields > 0)
            return (long)k;
    }
    return -1;
}

static void change_field(struct text *t, const struct scan *s, const struct scan *other)
{
    long k = some_table(s);
    const struct scan_field *f;
    size_t at, len;
    const char *with;

    if (k < 0)
        return;
    f = &s->tables[k].fields[draw(s->tables[k].nfields)];
    at = s->tokens[f->key].at;
    len = end_of(s, f->last) - at;
    switch (draw(4)) {
    case 0: /* gone, with its comma */
        if (f->last + 1 < s->ntokens && token_is(s->text, &s->tokens[f->last + 1], ","))
            len = end_of(s, f->last + 1) - at;
        replace(t, at, len, "", 0);
        return;
    case 1: /* twice */
        with = mem_printf("%.*s, ", (int)len, s->text + at);
        replace(t, at, 0, with, strlen(with));
        mem_free((char *)(uintptr_t)with);
        return;
    case 2: /* another value */
        with = values[draw(VALUES)];
        at = s->tokens[f->value].at;
        replace(t, at, end_of(s, f->last) - at, with, strlen(with));
        return;
    default: /* a value from elsewhere */
        k = some_table(other);
        if (k >= 0) {
            const struct scan_field *g = &other->tables[k].fields[draw(other->tables[k].nfields)];
            size_t from = other->tokens[g->value].at;

            at = s->tokens[f->value].at;
            replace(t, at, end_of(s, f->last) - at, other->text + from,
                    end_of(other, g->last) - from);
        }
    }
}

static void change_token(struct text *t, const struct scan *s)
{
    const struct token *k = &s->tokens[draw(s->ntokens)];
    char c = (char)('a' + draw(26));

    switch (draw(5)) {
    case 0:
        replace(t, k->at, k->len, "", 0);
        break;
    case 1: /* misspelt */
        if (k->len > 2)
            replace(t, k->at + 1 + draw(k->len - 2), draw(2), &c, 1);
        break;
    case 2:
        if (k->len > 2)
            replace(t, k->at + 1 + draw(k->len - 2), 1, "", 0);
        break;
    case 3:
        replace(t, k->at, k->len, values[draw(VALUES)], 1);
        break;
    default: /* any byte */
        c = (char)draw(256);
        replace(t, draw(t->len + 1), draw(2), &c, 1);
    }
}

/* A call with its table once more, at the end: a policy, a target, twice. */
static void repeat_block(struct text *t, const struct scan *s)
{
    const struct scan_table *k;
    size_t at;
    char *copy;

    if (s->ntables == 0)
        return;
    k = &s->tables[draw(s->ntables)];
    at = s->tokens[k->call].at;
    copy = mem_printf("\n%.*s\n", (int)(end_of(s, k->close) - at), s->text + at);
    replace(t, t->len, 0, copy, strlen(copy));
    mem_free(copy);
}

static void mutate(struct text *t, const struct text *from)
{
    char *before = mem_strndup(t->s, t->len); /* what is scanned stays while the text changes */
    struct scan *s = scan_new("t", before, t->len), *other = scan_new("o", from->s, from->len);

    switch (draw(10)) {
    case 0:
        repeat_block(t, s);
        break;
    case 1:
        if (draw(3) == 0) {
            t->len = s->tokens[draw(s->ntokens)].at;
            t->s[t->len] = '\0';
        }
        break;
    case 2:
    case 3:
        change_token(t, s);
        break;
    default:
        change_field(t, s, other);
    }
    scan_free(s);
    scan_free(other);
    mem_free(before);
}

/* ---- what is looked at ---- */

/* A command of runbookd; what it writes on stdout in *out, which the caller frees. */
static int command(int (*tool)(int argc, char **argv), const char *name, char **out)
{
    char *config = mem_printf("%s/runbookd.lua", folder);
    char words[4][16] = {"", "--config", "", "--json"};
    char *argv[] = {words[0], words[1], config, words[3], NULL};
    struct stat st;
    int code;

    snprintf(words[0], sizeof(words[0]), "%s", name);
    if (ftruncate(told, 0) != 0 || lseek(told, 0, SEEK_SET) != 0)
        fail("no room for the output", strerror(errno));
    code = tool(4, argv);
    fflush(stdout);
    if (fstat(told, &st) != 0)
        fail("no output", strerror(errno));
    *out = mem_calloc(1, (size_t)st.st_size + 1);
    if (pread(told, *out, (size_t)st.st_size, 0) != st.st_size)
        fail("no output", strerror(errno));
    mem_free(config);
    return code;
}

/* A file that cannot be read has no line, and memory that is spent may be spent anywhere. */
static bool may_lack_a_line(const char *code)
{
    return strcmp(code, "E100") == 0 || strcmp(code, "E115") == 0 || strcmp(code, "E116") == 0;
}

static bool check(void)
{
    char *out;
    int code = command(tool_check, "check", &out);
    struct json *j = json_parse(out, strlen(out), FILE_MAX * 8, NULL);
    size_t errors = 0;
    bool ok;

    if (j == NULL)
        fail("check prints what is no JSON", out);
    for (const struct json *d = json_first(json_get(j, "diagnostics")); d; d = json_next(d)) {
        const char *c = json_get_str(d, "code", "");

        errors += c[0] == 'E';
        if (*json_get_str(d, "file", "") == '\0' || *json_get_str(d, "text", "") == '\0' ||
            (json_get_int(d, "line", 0) < 1 && !may_lack_a_line(c)))
            fail("a mistake without a place", out);
    }
    ok = json_get_bool(j, "ok", false);
    if (ok != (errors == 0) || (code == 0) != ok || json_get_int(j, "exit", -1) != code)
        fail("check does not say whether it is good", out);
    json_free(j);
    mem_free(out);
    return ok;
}

/* ---- an agent ---- */

static bool sample(void *arg, const struct series *s, int64_t at_ms, double *value)
{
    (void)arg, (void)s, (void)at_ms;
    *value = draw(4) == 0 ? 0 : (double)draw(2000);
    return draw(10) != 0;
}

static struct json *observe(void *arg, const struct world_step *s, struct err *e)
{
    static const char *const seen[] = {"{}", "{\"desired\":8,\"min\":1,\"max\":9}",
                                       "{\"status\":\"available\"}",
                                       "{\"sessions\":[],\"max_connections\":100,\"reserved_"
                                       "connections\":3,\"connections_used\":9}"};
    const char *text = seen[draw(sizeof(seen) / sizeof(seen[0]))];

    (void)arg, (void)s;
    if (draw(5) == 0) {
        err_set(e, ERR_TIMEOUT, "no answer");
        return NULL;
    }
    return json_parse(text, strlen(text), 4096, NULL);
}

static enum applied apply(void *arg, const struct world_step *s, struct json **out, struct err *e)
{
    static const enum applied all[] = {APPLIED_OK, APPLIED_REFUSED, APPLIED_NOT_SENT,
                                       APPLIED_IN_DOUBT};
    enum applied how = all[draw(4)];

    (void)arg, (void)s, (void)out;
    if (how != APPLIED_OK)
        err_set(e, ERR_TIMEOUT, "no answer");
    return how;
}

static void live_with(struct loaded *l)
{
    struct virtual_options o = {.seed = (uint64_t)round_no,
                                .start_wall_ms = 1790000000000,
                                .engine = {.mode = MODE_ENFORCE,
                                           .budget = l->config->budget,
                                           .budget_destructive = l->config->budget_destructive,
                                           .storm_episodes = 20,
                                           .storm_window_ms = 5 * MINUTE,
                                           .host = "fuzz"},
                                .loader = *lua_policy_loader(),
                                .model = {.sample = sample, .observe = observe, .apply = apply}};
    struct virtual *v = virtual_new(&o);
    struct err e = ERR_INIT;
    struct json *c;

    load_variants(l);
    for (size_t i = 0; i < l->set->npolicies; i++)
        l->set->policies[i]->mode = MODE_ENFORCE;
    if (virtual_start(v, l->set, l->estate, &e) != 0)
        fail("what check lets through cannot be started with", e.text);
    virtual_run_until(v, 20 * MINUTE);
    for (size_t i = 0; i < l->set->npolicies; i++) {
        c = json_new_map();
        json_set_str(c, "command", "explain");
        json_set_str(c, "policy", l->set->policies[i]->name);
        json_free(virtual_command(v, c));
    }
    virtual_crash(v);
    if (virtual_start(v, l->set, l->estate, &e) != 0)
        fail("an agent does not start again on its journal", e.text);
    virtual_run_until(v, 25 * MINUTE);
    virtual_free(v);
}

static void run_with(void)
{
    char *config = mem_printf("%s/runbookd.lua", folder), *out;
    struct diags *d = diags_new();
    struct loaded l;

    if (!load_all(config, NULL, 0, &l, d))
        fail("check lets it through and a load does not", "");
    live_with(&l);
    loaded_free(&l);
    diags_free(d);
    mem_free(config);
    (void)command(tool_iam, "iam", &out);
    mem_free(out);
    (void)command(tool_grants, "grants", &out);
    mem_free(out);
}

/* ---- rounds ---- */

static const char *const names[] = {
    "policies/asg_cpu_high.lua",
    "policies/cache_evictions.lua",
    "policies/idle_in_transaction.lua",
    "policies/pg_connections_high.lua",
    "policies/pg_long_query.lua",
    "policies/target_unhealthy.lua",
    "config/estate.lua",
    "config/params/demo.lua",
    "config/runbookd.lua",
};
enum { POLICIES = 6, ESTATE = POLICIES, PARAMS, CONFIG, FILES };

static const char more_estate[] = "cache \"keys\" { host = \"keys.example.internal\", "
                                  "replication_group = \"keys\", aws = \"prod\" }\n"
                                  "discover.asg { aws = \"prod\", tag = { team = \"web\" } }\n"
                                  "certificate \"portal\" { host = \"portal.example.com\" }\n";

/* Of the environment's parameters those that this policy asks for: the others would be mistakes. */
static struct text params_of(const struct text *params, const struct text *policy)
{
    struct text out = {.s = mem_alloc(FILE_MAX)};
    struct scan *s = scan_new("params", params->s, params->len);

    for (size_t i = 0; i < s->tables[0].nfields; i++) {
        const struct scan_field *f = &s->tables[0].fields[i];
        const struct token *k = &s->tokens[f->key];
        bool quoted = k->kind == TOKEN_STRING;
        const char *name = s->text + (quoted ? k->body : k->at);
        size_t at = quoted ? (k - 1)->at : k->at; /* from its [ on */

        if (memmem(policy->s, policy->len, name, strcspn(name, "@\" =")) != NULL)
            out.len += (size_t)snprintf(out.s + out.len, FILE_MAX - out.len, "  %.*s,\n",
                                        (int)(end_of(s, f->last) - at), s->text + at);
    }
    scan_free(s);
    replace(&out, 0, 0, "return {\n", 9);
    replace(&out, out.len, 0, "}\n", 2);
    return out;
}

static bool one_round(const struct text *texts, long n)
{
    size_t policy = draw(POLICIES), mistakes = n == 0 ? 0 : 1 + draw(3);
    struct text own[FILES];
    bool ok;

    for (size_t i = 0; i < FILES; i++)
        own[i] = (struct text){.s = mem_alloc(FILE_MAX), .len = texts[i].len},
        memcpy(own[i].s, texts[i].s, texts[i].len + 1);
    mem_free(own[PARAMS].s);
    own[PARAMS] = params_of(&texts[PARAMS], &texts[policy]);
    while (mistakes-- > 0) {
        static const size_t others[] = {ESTATE, ESTATE, PARAMS, CONFIG};
        size_t which = draw(2) ? policy : others[draw(4)];

        mutate(&own[which], &texts[draw(FILES)]);
    }
    write_file("policies/p.lua", own[policy].s, own[policy].len);
    write_file("estate.lua", own[ESTATE].s, own[ESTATE].len);
    write_file("params/demo.lua", own[PARAMS].s, own[PARAMS].len);
    write_file("runbookd.lua", own[CONFIG].s, own[CONFIG].len);
    for (size_t i = 0; i < FILES; i++)
        mem_free(own[i].s);
    alarm(ROUND_S);
    ok = check();
    if (ok)
        run_with();
    alarm(0);
    return ok;
}

static int forget(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

int main(int argc, char **argv)
{
    static const int signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGALRM};
    struct text texts[FILES];
    long rounds = argc > 2 ? strtol(argv[2], NULL, 10) : 0;
    long first = argc > 3 ? strtol(argv[3], NULL, 10) : 0, good = 0;
    int shown = dup(STDOUT_FILENO);
    char *path;

    if (rounds < 1 || shown < 0) {
        fprintf(stderr, "usage: policies SOURCE_DIR ROUNDS [FIRST]\n");
        return 2;
    }
    log_set_level(LOG_LVL_ERROR);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        signal(signals[i], on_signal);
    if (!mkdtemp(folder))
        return 2;
    for (size_t i = 0; i < FILES; i++) {
        path = mem_printf("%s/%s", argv[1], names[i]);
        texts[i] = read_file(path);
        mem_free(path);
    }
    replace(&texts[ESTATE], texts[ESTATE].len, 0, more_estate, strlen(more_estate));
    for (size_t i = 0; i < 3; i++) {
        static const char *const folders[] = {"policies", "params", "out"};

        path = mem_printf("%s/%s", folder, folders[i]);
        if (i < 2 ? mkdir(path, 0700) != 0
                  : (told = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600)) < 0)
            fail("cannot be made", path);
        mem_free(path);
    }
    (void)dup2(told, STDOUT_FILENO);
    for (round_no = first; round_no < first + rounds; round_no++) {
        seed(round_no);
        snprintf(where, sizeof(where), "round %ld: a signal; its files: %s\n", round_no, folder);
        good += one_round(texts, round_no);
    }
    (void)dup2(shown, STDOUT_FILENO);
    /* Had all been refused, only half would have been looked at. */
    printf("%ld rounds, %ld let through\n", rounds, good);
    for (size_t i = 0; i < FILES; i++)
        mem_free(texts[i].s);
    nftw(folder, forget, 16, FTW_DEPTH | FTW_PHYS);
    return rounds >= 50 && good < rounds / 50;
}
