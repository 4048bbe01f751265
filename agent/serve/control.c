/* From a line to a command to an answer; "by" is what the kernel says, whatever the line says. */
#include "serve/control.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"

#define MAX_COMMAND (64 * 1024)
#define MAX_LIST 500
#define FREEZE_PATIENCE_MS 2000

/* What only looks. Freezing is everybody's: a kill switch that asks for rights is none. All else
 * changes something and is for operators. */
static const char *const open_to_all[] = {"status",  "episodes", "runs",    "decisions",
                                          "reports", "show",     "explain", "plan",
                                          "version", "sources",  "metrics", "freeze"};

struct control {
    struct control_options o;
    char *host, **operators;
    struct local *local;
    struct request *requests; /* whose answers the engine owes */
    bool dead;
};

struct request {
    struct control *c;
    uint64_t conn;
    struct loop_timer *patience; /* of a freeze; NULL: none */
    bool sent;
    struct request *next;
};

int control_kind(const struct control_verb *verbs, const char *command)
{
    for (size_t k = 0; k < sizeof(open_to_all) / sizeof(open_to_all[0]); k++)
        if (strcmp(open_to_all[k], command) == 0)
            return 0;
    for (; verbs && verbs->name; verbs++)
        if (strcmp(verbs->name, command) == 0)
            return verbs->widens;
    return 1;
}

static void send_json(struct control *c, uint64_t conn, struct json *answer)
{
    char *text = json_print(answer);

    local_send(c->local, conn, text);
    mem_free(text);
    json_free(answer);
}

static void send_error(struct control *c, uint64_t conn, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static void send_error(struct control *c, uint64_t conn, const char *code, const char *fmt, ...)
{
    struct json *answer = json_new_map();
    va_list ap;
    char *text;

    va_start(ap, fmt);
    text = mem_vprintf(fmt, ap);
    va_end(ap);
    json_set_str(answer, "error", text);
    json_set_str(answer, "code", code);
    mem_free(text);
    send_json(c, conn, answer);
}

static void answered(void *arg, struct json *answer)
{
    struct request *r = arg, **at;
    struct control *c = r->c;

    for (at = &c->requests; *at != r; at = &(*at)->next)
        ;
    *at = r->next;
    if (!c->dead && !r->sent)
        send_json(c, r->conn, answer);
    else
        json_free(answer);
    if (r->patience)
        loop_timer_free(r->patience);
    mem_free(r);
    if (c->dead && !c->requests)
        mem_free(c);
}

/* A freeze holds at once, whatever the disk does; who ordered it is told so before the journal's
 * own time-outs. */
static void on_patience(void *arg)
{
    struct request *r = arg;
    struct json *answer = json_new_map();

    r->sent = true;
    json_set_bool(answer, "durable", false);
    json_set_str(answer, "warning",
                 "frozen, but not yet written: the journal does not answer. It holds as long as "
                 "this process lives; make the freeze file to have it hold longer");
    send_json(r->c, r->conn, answer);
}

static bool is_operator(const struct control *c, const struct local_peer *peer)
{
    if (c->o.noperators == 0 || peer->uid == 0)
        return true;
    for (size_t k = 0; k < c->o.noperators; k++)
        if (strcmp(c->operators[k], peer->user) == 0)
            return true;
    return false;
}

static void on_line(void *arg, uint64_t conn, const struct local_peer *peer, const char *line,
                    size_t len)
{
    struct control *c = arg;
    struct err e = ERR_INIT;
    struct json *command = json_parse(line, len, MAX_COMMAND, &e);
    const char *name = json_get_str(command, "command", NULL), *confirm;
    const struct control_verb *v = c->o.verbs;
    struct request *r;
    int kind;

    if (!command) {
        send_error(c, conn, "input", "not JSON: %s", e.text);
        return;
    }
    if (json_type(command) != JSON_MAP || !name || strlen(name) > 64) {
        send_error(c, conn, "input", "write one object a line, e.g. {\"command\":\"status\"}");
        json_free(command);
        return;
    }
    kind = control_kind(c->o.verbs, name);
    if (kind && !is_operator(c, peer)) {
        log_warn("control", "%s (uid %u, pid %d) may not %s: not one of the operators", peer->user,
                 (unsigned)peer->uid, (int)peer->pid, name);
        send_error(c, conn, "denied",
                   "%s is not one of the operators of this agent (operators in its configuration)",
                   peer->user);
        json_free(command);
        return;
    }
    if (kind || strcmp(name, "freeze") == 0)
        log_info("control", "%s by %s (uid %u, pid %d)", name, peer->user, (unsigned)peer->uid,
                 (int)peer->pid);
    json_set_str(command, "by", peer->user);
    if (json_get(command, "limit")) { /* of a list; nobody makes us read the whole journal */
        int64_t limit = json_get_int(command, "limit", 20);
        json_set_int(command, "limit", limit < 1 ? 1 : limit > MAX_LIST ? MAX_LIST : limit);
    }
    confirm = json_get_str(command, "confirm", NULL);
    json_set_bool(command, "confirmed", confirm && strcmp(confirm, c->host) == 0);
    while (v && v->name && strcmp(v->name, name) != 0)
        v++;
    if (v && v->run) {
        send_json(c, conn, v->run(c->o.arg, command));
    } else {
        r = mem_alloc(sizeof(*r));
        r->c = c;
        r->conn = conn;
        r->next = c->requests;
        c->requests = r;
        if (strcmp(name, "freeze") == 0) {
            r->patience = loop_timer_new(c->o.loop, on_patience, r);
            loop_timer_set(r->patience, FREEZE_PATIENCE_MS);
        }
        if (v && v->later)
            v->later(c->o.arg, command, answered, r);
        else
            engine_command(c->o.engine, command, answered, r);
    }
    json_free(command);
}

struct control *control_listen(const struct control_options *o, struct err *e)
{
    struct control *c = mem_alloc(sizeof(*c));
    struct local_options l = {.path = o->path};

    c->o = *o;
    c->host = mem_strdup(o->host);
    c->operators = mem_calloc(o->noperators + 1, sizeof(char *));
    for (size_t k = 0; k < o->noperators; k++)
        c->operators[k] = mem_strdup(o->operators[k]);
    c->local = local_listen(o->loop, &l, on_line, c, e);
    if (!c->local) {
        control_free(c);
        return NULL;
    }
    return c;
}

void control_free(struct control *c)
{
    if (!c)
        return;
    local_free(c->local);
    for (size_t k = 0; k < c->o.noperators; k++)
        mem_free(c->operators[k]);
    mem_free(c->operators);
    mem_free(c->host);
    c->host = NULL;
    c->dead = true;
    for (struct request *r = c->requests; r; r = r->next) {
        if (r->patience)
            loop_timer_free(r->patience);
        r->patience = NULL;
    }
    if (!c->requests)
        mem_free(c); /* else with the last answer that the engine owes */
}
