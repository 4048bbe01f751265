/* runbookctl: an operator's hand on the agent, over its control socket. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"
#include "plugin/action.h"
#include "plugin/target.h"
#include "tools/show.h"

#define DEFAULT_SOCKET "/run/runbookd/control.sock"
#define MAX_ANSWER (64u << 20)
#define ANSWER_S 150

/* X(name, code, what it means) */
#define CTL_EXITS(X)                                                                               \
    X(CTL_OK, 0, "done")                                                                           \
    X(CTL_REFUSED, 1, "the agent refused, and said why")                                           \
    X(CTL_USAGE, 2, "a wrong command, option or argument")                                         \
    X(CTL_NO_AGENT, 3, "no agent listens on the socket")                                           \
    X(CTL_PERMISSION, 4, "no permission for the socket")                                           \
    X(CTL_NOT_CONFIRMED, 5, "it was not confirmed")                                                \
    X(CTL_BROKEN, 6, "no answer, or one that makes no sense")
enum {
#define X(name, code, text) name = (code),
    CTL_EXITS(X)
#undef X
};

struct ctl {
    const char *socket, *hash, *confirm, *limit;
    bool json, widen, yes;
    int fd;
    struct buf in;
};

enum ask { ASK_NOTHING, ASK_YES, ASK_HOST };

struct verb {
    const char *name;
    const char *command; /* NULL: the name */
    const char *args;    /* positional, in order: "policy", "target?" (may be left out),
                            "as:done|not-done" (one of these words), "reason*" (all that is left),
                            "=params" (key=value into params), "=" (key=value) */
    const char *usage, *help;
    void (*show)(struct text *t, const struct json *answer);
    enum ask ask;
    const char *question;
    const char *done; /* what is said when there is nothing else to show */
};

static const struct verb verbs[] = {
    {"status", NULL, "", "", "mode, freezes, policies and their targets, reports, sources",
     show_status, ASK_NOTHING, NULL, NULL},
    {"episodes", NULL, "", "[--limit N]", "the latest episodes", show_episodes, ASK_NOTHING, NULL,
     NULL},
    {"runs", NULL, "", "[--limit N]", "the latest runs", show_runs, ASK_NOTHING, NULL, NULL},
    {"decisions", NULL, "", "[--limit N]", "what guards denied, and why", show_decisions,
     ASK_NOTHING, NULL, NULL},
    {"reports", NULL, "", "[--limit N]", "what was reported, and whether it was delivered",
     show_reports, ASK_NOTHING, NULL, NULL},
    {"show", NULL, "id", "ID", "a run or an episode, step by step", show_one, ASK_NOTHING, NULL,
     NULL},
    {"explain", NULL, "policy target?", "POLICY [TARGET]",
     "the condition with its readings, each guard's verdict", show_explain, ASK_NOTHING, NULL,
     NULL},
    {"plan", NULL, "policy target", "POLICY TARGET", "the exact calls it would make now",
     show_plans, ASK_NOTHING, NULL, NULL},
    {"start", NULL, "policy target? =params", "NAME [TARGET] [PARAMETER=VALUE ...]",
     "start a policy or procedure; no guard is skipped", NULL, ASK_NOTHING, NULL, "started"},
    {"approve", NULL, "run", "RUN [--hash H]", "approve the plan that the run waits with", NULL,
     ASK_YES, "Approve this plan?", "approved"},
    {"deny", NULL, "run", "RUN", "refuse it", NULL, ASK_NOTHING, NULL, "denied"},
    {"cancel", NULL, "run", "RUN", "end a run after the request in flight", NULL, ASK_NOTHING, NULL,
     "cancelled"},
    {"settle", NULL, "run as:done|not-done", "RUN done|not-done",
     "say whether a step in doubt took effect", NULL, ASK_YES, "Have you looked, and is it so?",
     "settled"},
    {"resume", NULL, "run", "RUN", "go on with a suspended run", NULL, ASK_NOTHING, NULL,
     "resumed"},
    {"freeze", NULL, "reason*", "[REASON ...]", "nothing acts from now on; survives restarts", NULL,
     ASK_NOTHING, NULL, "frozen"},
    {"unfreeze", NULL, "reason*", "[REASON ...]", "act again", NULL, ASK_YES,
     "Let the agent act again?", "unfrozen"},
    {"silence", NULL, "=", "for=2h [policy=P] [target=T] [reason=...]",
     "hold a policy or a target back for a time", NULL, ASK_NOTHING, NULL, "silenced"},
    {"unsilence", NULL, "silence", "ID", "end a silence", NULL, ASK_YES, "End this silence?",
     "ended"},
    {"breaker", NULL, "close policy target", "close POLICY TARGET",
     "let a policy act again after bad outcomes", NULL, ASK_YES, "Close this breaker?", "closed"},
    {"mode", NULL, "mode", "MODE [--confirm HOST]",
     "off, shadow, approve or enforce, for the whole agent", NULL, ASK_HOST, NULL, "set"},
    {"reload", NULL, "", "[--widen]", "read everything anew; --widen: even if it may do more then",
     show_reload, ASK_NOTHING, NULL, NULL},
    {"sources", NULL, "", "", "what is collected from where, and what fails", show_sources,
     ASK_NOTHING, NULL, NULL},
    {"report-test", NULL, "", "", "page whoever is on call, as a test", NULL, ASK_NOTHING, NULL,
     "a test report is on its way"},
    {"version", NULL, "", "", "the version of the running agent", show_version, ASK_NOTHING, NULL,
     NULL},
};
#define NVERBS (sizeof(verbs) / sizeof(verbs[0]))

static void help(FILE *to)
{
    struct buf out;

    buf_init(&out, 1u << 16);
    buf_adds(&out, "usage: runbookctl [--socket PATH] [--json] COMMAND ...\n\n");
    for (size_t k = 0; k < NVERBS; k++) {
        size_t before = out.len;
        buf_addf(&out, "  %s%s%s", verbs[k].name, *verbs[k].usage ? " " : "", verbs[k].usage);
        int n = (int)(out.len - before);
        if (n < 38)
            buf_addf(&out, "%*s%s\n", 38 - n, "", verbs[k].help);
        else
            buf_addf(&out, "\n%38s%s\n", "", verbs[k].help);
    }
    buf_adds(
        &out,
        "\nThe socket is " DEFAULT_SOCKET
        ", or RUNBOOKD_SOCKET. What widens what the agent may do\n"
        "asks on a terminal; elsewhere it needs --yes. NO_COLOR is honoured.\n\nExit codes:\n");
#define X(name, code, text) buf_addf(&out, "  %d  %s\n", code, text);
    CTL_EXITS(X)
#undef X
    text_help(to, buf_str(&out));
    buf_free(&out);
}

/* The socket */

static int reach(struct ctl *c)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct timeval limit = {ANSWER_S, 0};

    if (c->fd >= 0)
        return CTL_OK;
    if (strlen(c->socket) >= sizeof(a.sun_path)) {
        fprintf(stderr, "runbookctl: the socket's path is too long: %s\n", c->socket);
        return CTL_USAGE;
    }
    strcpy(a.sun_path, c->socket);
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd >= 0 && connect(c->fd, (const struct sockaddr *)&a, sizeof(a)) == 0) {
        (void)setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        (void)setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
        return CTL_OK;
    }
    if (errno == EACCES || errno == EPERM) {
        fprintf(stderr, "runbookctl: no permission for %s: become the agent's user or root\n",
                c->socket);
        return CTL_PERMISSION;
    }
    fprintf(stderr,
            "runbookctl: no agent listens on %s (%s); is runbookd running, is --socket right?\n",
            c->socket, strerror(errno));
    return CTL_NO_AGENT;
}

static int talk(struct ctl *c, const struct json *command, struct json **answer)
{
    char *text = json_print(command), *line = mem_printf("%s\n", text), *end = NULL;
    size_t len = strlen(line), sent = 0;
    struct err e = ERR_INIT;
    int code = reach(c);

    mem_free(text);
    *answer = NULL;
    while (!code && sent < len) {
        ssize_t n = send(c->fd, line + sent, len - sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break; /* the reason may stand in what can still be read */
        sent += (size_t)n;
    }
    mem_free(line);
    while (!code && !(end = c->in.len ? memchr(c->in.data, '\n', c->in.len) : NULL)) {
        char piece[65536];
        ssize_t n = recv(c->fd, piece, sizeof(piece), 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0 || buf_add(&c->in, piece, (size_t)n)) {
            fprintf(
                stderr,
                "runbookctl: the agent gave no answer%s; what was asked may still be carried out\n",
                n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? " in time" : "");
            code = CTL_BROKEN;
        }
    }
    if (code)
        return code;
    *answer = json_parse(c->in.data, (size_t)(end - c->in.data), MAX_ANSWER, &e);
    if (!*answer) {
        fprintf(stderr, "runbookctl: the answer makes no sense: %s\n", e.text);
        return CTL_BROKEN;
    }
    text = mem_strndup(end + 1, c->in.len - (size_t)(end + 1 - c->in.data));
    buf_reset(&c->in);
    buf_adds(&c->in, text);
    mem_free(text);
    return CTL_OK;
}

static int simple(struct ctl *c, const char *command, const char *key, const char *value,
                  struct json **answer)
{
    struct json *q = json_new_map();
    int code;

    json_set_str(q, "command", command);
    if (key)
        json_set_str(q, key, value);
    code = talk(c, q, answer);
    json_free(q);
    return code;
}

/* From arguments to a command */

static int usage_of(const struct verb *v)
{
    fprintf(stderr, "usage: runbookctl %s %s\n", v->name, v->usage);
    return CTL_USAGE;
}

static int pairs(const struct verb *v, int argc, char **argv, struct json *into)
{
    for (int k = 0; k < argc; k++) {
        char *eq = strchr(argv[k], '=');
        char *name;
        if (!eq || eq == argv[k]) {
            fprintf(stderr, "runbookctl: %s: write NAME=VALUE\n", argv[k]);
            return usage_of(v);
        }
        name = mem_strndup(argv[k], (size_t)(eq - argv[k]));
        json_set_str(into, name, eq + 1);
        mem_free(name);
    }
    return CTL_OK;
}

/* Whether `word` is one of "a|b". */
static bool one_of(const char *words, const char *word)
{
    size_t n = strlen(word);

    for (const char *w = words; *w; w += strcspn(w, "|"), w += *w == '|')
        if (strcspn(w, "|") == n && strncmp(w, word, n) == 0)
            return true;
    return false;
}

static int build(const struct verb *v, int argc, char **argv, struct json *q)
{
    char *spec = mem_strdup(v->args), *save = NULL;
    int at = 0, code = CTL_OK;

    json_set_str(q, "command", v->command ? v->command : v->name);
    for (char *w = strtok_r(spec, " ", &save); w && !code; w = strtok_r(NULL, " ", &save)) {
        size_t n = strlen(w);
        if (strcmp(w, "=params") == 0) {
            code = pairs(v, argc - at, argv + at, json_set(q, "params", json_new_map()));
            at = argc;
        } else if (strcmp(w, "=") == 0) {
            code = pairs(v, argc - at, argv + at, q);
            at = argc;
        } else if (w[n - 1] == '*') {
            struct buf b;
            buf_init(&b, 4096);
            for (; at < argc; at++)
                buf_addf(&b, "%s%s", b.len ? " " : "", argv[at]);
            w[n - 1] = 0;
            if (b.len)
                json_set_str(q, w, buf_str(&b));
            buf_free(&b);
        } else if (w[n - 1] == '?') {
            w[n - 1] = 0;
            if (at < argc && !strchr(argv[at], '=')) /* a NAME=VALUE is none */
                json_set_str(q, w, argv[at++]);
        } else if (at >= argc) {
            code = usage_of(v);
        } else if (strcmp(w, "close") == 0) {
            if (strcmp(argv[at++], "close") != 0)
                code = usage_of(v);
        } else if (strchr(w, ':')) { /* told before anything is asked or sent */
            char *words = strchr(w, ':');
            *words++ = '\0';
            if (!one_of(words, argv[at])) {
                fprintf(stderr, "runbookctl: %s is none of %s\n", argv[at], words);
                code = usage_of(v);
            } else {
                json_set_str(q, w, argv[at++]);
            }
        } else {
            json_set_str(q, w, argv[at++]);
        }
    }
    mem_free(spec);
    return !code && at < argc ? usage_of(v) : code;
}

/* Asking */

static bool asked(const char *question, const char *want)
{
    char line[300];

    fprintf(stderr, "%s %s ", question,
            strcmp(want, "yes") == 0 ? "Type yes:" : "Type its name to go on:");
    if (!fgets(line, sizeof(line), stdin))
        return false;
    line[strcspn(line, "\n")] = 0;
    return strcmp(line, want) == 0;
}

static struct json *open_run(struct ctl *c, const struct json *run)
{
    struct json *q = json_new_map(), *a = NULL, *found = NULL;

    json_set_str(q, "command", "explain");
    json_set_str(q, "policy", json_get_str(run, "policy", ""));
    json_set_str(q, "target", json_get_str(run, "target", ""));
    if (talk(c, q, &a) == CTL_OK) {
        const struct json *r = json_get(json_at(json_get(a, "explain"), 0), "run");
        if (r && strcmp(json_get_str(r, "id", ""), json_get_str(run, "id", "?")) == 0)
            found = json_copy(r);
    }
    json_free(a);
    json_free(q);
    return found;
}

/* Shows what an approval without a hash would be for, and binds it to what was shown. */
static int show_before_approval(struct ctl *c, struct json *q)
{
    struct json *a = NULL, *live = NULL, *clean;
    struct text t;
    int code = simple(c, "show", "id", json_get_str(q, "run", ""), &a);

    if (!code)
        live = open_run(c, json_get(a, "run"));
    if (live && json_get_str(live, "hash", NULL)) {
        clean = text_clean(live);
        text_init(&t, STDERR_FILENO);
        show_plan(&t, json_get(clean, "plan"), json_get_str(clean, "hash", ""), 0);
        text_fold(&t);
        text_flush(&t, STDERR_FILENO);
        text_free(&t);
        json_free(clean);
        json_set_str(q, "hash", json_get_str(live, "hash", ""));
    }
    json_free(live);
    json_free(a);
    return code;
}

static int confirm_mode(struct ctl *c, struct json *q)
{
    struct json *s = NULL;
    int code = simple(c, "status", NULL, NULL, &s), want = mode_parse(json_get_str(q, "mode", ""));
    const char *host = json_get_str(s, "host", "?");
    char *question;

    if (c->confirm)
        json_set_str(q, "confirm", c->confirm);
    if (!code && !c->confirm && want > mode_parse(json_get_str(s, "mode", "off"))) {
        question = mem_printf("This lets the agent on %s do more.", host);
        if (!isatty(STDIN_FILENO)) {
            fprintf(stderr, "runbookctl: %s Say --confirm %s\n", question, host);
            code = CTL_NOT_CONFIRMED;
        } else if (asked(question, host)) {
            json_set_str(q, "confirm", host);
        } else {
            fprintf(stderr, "runbookctl: not confirmed, nothing was changed\n");
            code = CTL_NOT_CONFIRMED;
        }
        mem_free(question);
    }
    json_free(s);
    return code;
}

static int confirm(struct ctl *c, const struct verb *v, struct json *q)
{
    int code = CTL_OK;

    if (v->ask == ASK_HOST)
        return confirm_mode(c, q);
    if (v->ask != ASK_YES || c->yes || c->hash)
        return CTL_OK;
    if (strcmp(v->name, "approve") == 0)
        code = show_before_approval(c, q);
    if (code)
        return code;
    if (!isatty(STDIN_FILENO)) {
        fprintf(stderr, "runbookctl: this must be confirmed: say --yes%s\n",
                strcmp(v->name, "approve") == 0 ? ", or --hash" : "");
        return CTL_NOT_CONFIRMED;
    }
    if (asked(v->question, "yes"))
        return CTL_OK;
    fprintf(stderr, "runbookctl: not confirmed, nothing was changed\n");
    return CTL_NOT_CONFIRMED;
}

/* Showing */

static void complain(enum tone tone, const char *what)
{
    struct text t;

    if (!what)
        return;
    text_init(&t, STDERR_FILENO);
    text_add(&t, tone, "runbookctl: ");
    text_wrap(&t, TONE_PLAIN, what, 12, 2);
    text_flush(&t, STDERR_FILENO);
    text_free(&t);
}

static void show(struct ctl *c, const struct verb *v, struct json *answer)
{
    const char *error = json_get_str(answer, "error", NULL);
    struct json *clean;
    struct text t;
    char *text;

    if (c->json) {
        text = json_print_pretty(answer);
        printf("%s\n", text);
        mem_free(text);
        return;
    }
    clean = text_clean(answer);
    text_init(&t, STDOUT_FILENO);
    if (json_get(clean, "text")) /* lines of our own, each of them escaped when it is shown */
        json_set_str(clean, "text", json_get_str(answer, "text", ""));
    if (v->show && (!error || v->show == show_reload))
        v->show(&t, clean);
    else if (!error) {
        const char *id = json_get_str(clean, "run", json_get_str(clean, "silence", NULL));
        text_addf(&t, TONE_GOOD, "%s%s%s\n", v->done ? v->done : "done", id ? ": " : "",
                  id ? id : "");
    }
    if (v->show != show_reload) /* whose lines of source stand above their carets */
        text_fold(&t);
    text_flush(&t, STDOUT_FILENO);
    text_free(&t);
    complain(TONE_WARN, json_get_str(clean, "warning", NULL));
    complain(TONE_BAD, json_get_str(clean, "error", NULL));
    json_free(clean);
}

/* What one page needs beyond one command. */
static void complete(struct ctl *c, const struct verb *v, struct json *answer)
{
    struct json *more = NULL;

    if (json_get(answer, "error"))
        return;
    if (strcmp(v->name, "status") == 0) {
        if (simple(c, "metrics", NULL, NULL, &more) == CTL_OK && !json_get(more, "error"))
            json_set(answer, "metrics", more);
        else
            json_free(more);
    } else if (strcmp(v->name, "explain") == 0) {
        if (simple(c, "sources", NULL, NULL, &more) == CTL_OK)
            json_set(answer, "listings", json_copy(json_get(more, "listings")));
        json_free(more);
    } else if (strcmp(v->name, "show") == 0 && json_get(answer, "run") &&
               !json_get_str(json_get(answer, "run"), "outcome", NULL)) {
        more = open_run(c, json_get(answer, "run"));
        if (more)
            json_set(answer, "live", more);
    }
}

/* Puts --limit into the command. */
static int limit_to(const struct ctl *c, struct json *q)
{
    char *end;
    long n;

    if (!c->limit)
        return CTL_OK;
    n = strtol(c->limit, &end, 10);
    if (n < 1 || *end) {
        fprintf(stderr, "runbookctl: --limit takes a whole number of 1 or more, not %s\n",
                c->limit);
        return CTL_USAGE;
    }
    json_set_int(q, "limit", n > INT_MAX ? INT_MAX : n);
    return CTL_OK;
}

static int carry_out(struct ctl *c, const struct verb *v, int argc, char **argv)
{
    struct json *q = json_new_map(), *answer = NULL;
    int code = build(v, argc, argv, q);

    if (c->hash)
        json_set_str(q, "hash", c->hash);
    if (c->widen)
        json_set_bool(q, "widen", true);
    if (!code)
        code = limit_to(c, q);
    if (!code)
        code = confirm(c, v, q);
    if (!code)
        code = talk(c, q, &answer);
    if (!code) {
        complete(c, v, answer);
        show(c, v, answer);
        code = json_get(answer, "error") ? CTL_REFUSED : CTL_OK;
    }
    json_free(answer);
    json_free(q);
    return code;
}

/* Options may stand anywhere; what is no option keeps its order. */
static int take_options(struct ctl *c, int argc, char **argv, int *kept)
{
    int n = 0;

    for (int k = 1; k < argc; k++) {
        const struct {
            const char *name;
            const char **value;
        } with[] = {{"--socket", &c->socket},
                    {"--hash", &c->hash},
                    {"--confirm", &c->confirm},
                    {"--limit", &c->limit}};
        bool taken = false;

        for (size_t o = 0; o < sizeof(with) / sizeof(with[0]) && !taken; o++) {
            size_t len = strlen(with[o].name);
            if (strncmp(argv[k], with[o].name, len) != 0 || (argv[k][len] && argv[k][len] != '='))
                continue;
            taken = true;
            if (argv[k][len] == '=')
                *with[o].value = argv[k] + len + 1;
            else if (k + 1 < argc)
                *with[o].value = argv[++k];
            else {
                fprintf(stderr, "runbookctl: %s needs a value\n", argv[k]);
                return CTL_USAGE;
            }
        }
        if (taken)
            continue;
        if (strcmp(argv[k], "--json") == 0)
            c->json = true;
        else if (strcmp(argv[k], "--widen") == 0)
            c->widen = true;
        else if (strcmp(argv[k], "--yes") == 0 || strcmp(argv[k], "-y") == 0)
            c->yes = true;
        else if (strcmp(argv[k], "--help") == 0 || strcmp(argv[k], "-h") == 0)
            return -1;
        else if (argv[k][0] == '-' && argv[k][1]) {
            fprintf(stderr, "runbookctl: there is no option %s\n", argv[k]);
            return CTL_USAGE;
        } else
            argv[n++] = argv[k];
    }
    *kept = n;
    return CTL_OK;
}

static void no_such_verb(const char *word)
{
    const char *names[NVERBS], *near;

    for (size_t k = 0; k < NVERBS; k++)
        names[k] = verbs[k].name;
    near = closest(word, names, NVERBS);
    if (near)
        fprintf(stderr, "runbookctl: there is no command %s: did you mean %s?\n", word, near);
    else
        fprintf(stderr, "runbookctl: there is no command %s; runbookctl --help lists them\n", word);
}

int main(int argc, char **argv)
{
    const char *env = getenv("RUNBOOKD_SOCKET");
    struct ctl c = {.socket = env && *env ? env : DEFAULT_SOCKET, .fd = -1};
    int n = 0, code;

    buf_init(&c.in, MAX_ANSWER);
    code = take_options(&c, argc, argv, &n);
    if (code < 0 || (n > 0 && strcmp(argv[0], "help") == 0 && !code)) {
        help(stdout);
        return CTL_OK;
    }
    if (code)
        return code;
    if (n == 0) {
        help(stderr);
        return CTL_USAGE;
    }
    for (size_t k = 0; k < NVERBS; k++)
        if (strcmp(verbs[k].name, argv[0]) == 0) {
            code = carry_out(&c, &verbs[k], n - 1, argv + 1);
            if (c.fd >= 0)
                close(c.fd);
            buf_free(&c.in);
            return code;
        }
    no_such_verb(argv[0]);
    return CTL_USAGE;
}
