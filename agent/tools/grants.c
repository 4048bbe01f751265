/* runbookd grants: the rights of the agent's role on each PostgreSQL server and each Redis, as what
 * an administrator reads and runs, once or again. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "tools/needs.h"
#include "tools/tools.h"

const char usage_grants[] =
    "usage: runbookd grants [--config FILE] [--json] [TARGET]\n"
    "Prints SQL for each PostgreSQL server and an ACL line for each Redis of the estate: the "
    "agent's role with what the loaded policies need on it, and no more. With TARGET that server "
    "alone. It may be run again.\n";

#define GRANTS_MAX (1u << 20)
/* The agent keeps a connection to look, one to act and one that can only read to each database, so
 * that a server that is full does not shut it out; after a reload old and new ones overlap. */
#define CONNECTIONS_A_DATABASE 6

/* A name between quotes, those within doubled; the caller frees. */
static char *quoted(char quote, const char *name)
{
    struct buf b;

    buf_init(&b, GRANTS_MAX);
    (void)buf_addc(&b, quote);
    for (; *name; name++) {
        if (*name == quote)
            (void)buf_addc(&b, quote);
        (void)buf_addc(&b, *name);
    }
    (void)buf_addc(&b, quote);
    return buf_take(&b);
}

/* A comment of one line, whatever the text holds. */
static void comment(struct buf *out, const char *before, const char *text)
{
    (void)buf_addf(out, "-- %s", before);
    for (; *text; text++)
        (void)buf_addc(out, (unsigned char)*text < ' ' || *text == 0x7f ? ' ' : *text);
    (void)buf_addc(out, '\n');
}

static bool is(const struct json *need, const char *system, const char *on)
{
    return strcmp(json_get_str(need, "system", ""), system) == 0 &&
           strcmp(json_get_str(need, "on", ""), on) == 0;
}

static bool needed(const struct json *needs, const char *system, const struct target *t)
{
    for (const struct json *n = json_first(needs); n; n = json_next(n))
        if (is(n, system, t->name))
            return true;
    return false;
}

/* PostgreSQL */

/* Roles belong to the whole server: targets that are databases of one have one. */
static bool same_role(const struct target *a, const struct target *b)
{
    return strcmp(json_get_str(a->fields, "host", ""), json_get_str(b->fields, "host", "")) == 0 &&
           json_get_int(a->fields, "port", 5432) == json_get_int(b->fields, "port", 5432) &&
           strcmp(json_get_str(a->fields, "user", ""), json_get_str(b->fields, "user", "")) == 0;
}

/* The role itself. Its settings are for the case that something else ever signs in with it. */
static void create(struct buf *out, const struct target *t, size_t databases)
{
    static const char *const settings[] = {"default_transaction_read_only = on",
                                           "statement_timeout = '15s'",
                                           "idle_in_transaction_session_timeout = '15s'"};
    const char *user = json_get_str(t->fields, "user", "");
    char *name = quoted('"', user), *text = quoted('\'', user);

    (void)buf_addf(out,
                   "DO $grants$ BEGIN\n"
                   "  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = %s) THEN\n"
                   "    CREATE ROLE %s;\n  END IF;\nEND $grants$;\n"
                   "ALTER ROLE %s LOGIN CONNECTION LIMIT %zu;\n",
                   text, name, name, databases * CONNECTIONS_A_DATABASE);
    if (json_get_bool(t->fields, "iam", false))
        (void)buf_addf(out,
                       "-- It signs in with tokens of RDS in place of a password.\n"
                       "GRANT rds_iam TO %s;\n",
                       name);
    else
        (void)buf_adds(out, "-- Its password, without a trace in the server's log or the shell's "
                            "history: psql's \\password\n");
    (void)buf_adds(out, "-- No more than looking, and not for long, should something else ever "
                        "sign in with it.\n");
    for (size_t k = 0; k < sizeof(settings) / sizeof(settings[0]); k++)
        (void)buf_addf(out, "ALTER ROLE %s SET %s;\n", name, settings[k]);
    mem_free(name);
    mem_free(text);
}

static void grant(struct buf *out, const struct json *by, const char *what, const char *user)
{
    char *name = quoted('"', user);

    for (const struct json *i = json_first(by); i; i = json_next(i))
        comment(out, "", json_str(i, ""));
    (void)buf_addf(out, "GRANT %s TO %s;\n", what, name);
    mem_free(name);
}

/* What the agent reads by queries of the policies' own cannot be told from outside. */
static void queries(struct buf *out, const struct loaded *l, const struct target *t)
{
    struct json *list = needs_queries(l, t);

    for (const struct json *q = json_first(list); q; q = json_next(q)) {
        comment(out, "What this query reads, the role must be granted by hand: ", json_str(q, ""));
    }
    json_free(list);
}

/* All of the server that t is the first target of, or only t. */
static char *sql_of(const struct loaded *l, const struct json *needs, const struct target *t,
                    bool alone, struct json *names)
{
    const char *user = json_get_str(t->fields, "user", "");
    struct json *rights = json_new_map();
    struct buf out, databases;

    buf_init(&out, GRANTS_MAX);
    buf_init(&databases, GRANTS_MAX);
    for (size_t k = 0; k < estate_len(l->estate); k++) {
        const struct target *other = estate_at(l->estate, k);

        if (strcmp(other->kind, "postgres") != 0 || !needed(needs, "postgres", other) ||
            (alone ? other != t : !same_role(other, t)))
            continue;
        json_add(names, json_new_str(other->id));
        char *name = quoted('"', json_get_str(other->fields, "database", ""));
        char *what = mem_printf("CONNECT ON DATABASE %s", name);
        grant(&databases, NULL, what, user);
        queries(&databases, l, other);
        mem_free(what);
        mem_free(name);
        for (const struct json *n = json_first(needs); n; n = json_next(n)) {
            const char *right = json_get_str(n, "right", "");
            struct json *by = json_get_mut(rights, right);

            /* To connect was granted above. */
            if (!is(n, "postgres", other->name) || strcmp(right, "CONNECT") == 0)
                continue;
            if (!by)
                by = json_set(rights, right, json_new_list());
            for (const struct json *i = json_first(json_get(n, "by")); i; i = json_next(i))
                json_add(by, json_new_str(json_str(i, "")));
        }
    }
    create(&out, t, json_len(names));
    (void)buf_adds(&out, buf_str(&databases));
    for (const struct json *r = json_first(rights); r; r = json_next(r))
        grant(&out, r, json_key(r), user);
    buf_free(&databases);
    json_free(rights);
    return buf_take(&out);
}

static bool first_of_server(const struct loaded *l, const struct json *needs,
                            const struct target *t)
{
    for (size_t k = 0; k < estate_len(l->estate); k++) {
        const struct target *other = estate_at(l->estate, k);

        if (other == t)
            return true;
        if (strcmp(other->kind, "postgres") == 0 && needed(needs, "postgres", other) &&
            same_role(other, t))
            return false;
    }
    return true;
}

/* Redis */

/* The user that the agent has for itself, or NULL: Redis' default user is everybody's. */
static const char *own_user(const struct target *t)
{
    const char *user = json_get_str(t->fields, "user", "default");

    return strcmp(user, "default") != 0 ? user : NULL;
}

/* An ACL rule as https://redis.io/docs/latest/commands/acl-setuser/ has it: nothing but what is
 * needed, on no key and no channel. Never of the default user: it would shut others out. */
static char *acl_of(const struct json *needs, const struct target *t)
{
    struct buf out;

    buf_init(&out, GRANTS_MAX);
    (void)buf_addf(&out, "ACL SETUSER %s on >PASSWORD resetkeys resetchannels -@all",
                   own_user(t) ? own_user(t) : "runbookd");
    for (const struct json *n = json_first(needs); n; n = json_next(n))
        if (is(n, "redis", t->name))
            (void)buf_addf(&out, " +%s",
                           json_get_str(n, "right", "") + (json_get_str(n, "right", "")[0] == '+'));
    return buf_take(&out);
}

static struct json *servers_of(const struct loaded *l, const struct json *needs, const char *only,
                               struct json *notes)
{
    struct json *list = json_new_list();

    for (size_t k = 0; k < estate_len(l->estate); k++) {
        const struct target *t = estate_at(l->estate, k);
        bool pg = strcmp(t->kind, "postgres") == 0, cache = strcmp(t->kind, "cache") == 0;
        struct json *row, *names;
        char *text;

        if ((!pg && !cache) || !needed(needs, pg ? "postgres" : "redis", t) ||
            (only && strcmp(only, t->name) != 0 && strcmp(only, t->id) != 0) ||
            (pg && !only && !first_of_server(l, needs, t)))
            continue;
        row = json_add(list, json_new_map());
        json_set_str(row, "system", pg ? "postgres" : "redis");
        json_set_str(row, "host", json_get_str(t->fields, "host", ""));
        json_set_int(row, "port", json_get_int(t->fields, "port", 0));
        if (json_len(json_get(t->fields, "nodes")) > 0)
            json_set(row, "nodes", json_copy(json_get(t->fields, "nodes")));
        names = json_set(row, "targets", json_new_list());
        text = pg ? sql_of(l, needs, t, only != NULL, names) : acl_of(needs, t);
        if (!pg)
            json_add(names, json_new_str(t->id));
        json_set_str(row, pg ? "sql" : "acl", text);
        mem_free(text);
        if (cache && !own_user(t)) {
            text = mem_printf("%s: the agent signs in as Redis' default user, whom others use too: "
                              "the line makes it a user of its own, give it user = "
                              "\"runbookd\" in the estate",
                              t->id);
            json_add(notes, json_new_str(text));
            mem_free(text);
        }
    }
    return list;
}

static void print_server(const struct json *row, bool alone)
{
    bool pg = strcmp(json_get_str(row, "system", ""), "postgres") == 0;
    const char *mark = pg ? "--" : "#";

    printf("%s ", mark);
    for (const struct json *t = json_first(json_get(row, "targets")); t; t = json_next(t))
        printf("%s%s", json_str(t, ""), json_next(t) ? ", " : "");
    if (json_get(row, "nodes"))
        printf(" (on each of its nodes: ");
    else
        printf(" (%s:%lld", json_get_str(row, "host", ""), (long long)json_get_int(row, "port", 0));
    for (const struct json *n = json_first(json_get(row, "nodes")); n; n = json_next(n))
        printf("%s%s", json_str(n, ""), json_next(n) ? ", " : "");
    printf(")");
    if (pg)
        printf(": as a superuser, on RDS as the master user:\n"
               "--   runbookd grants TARGET | psql -X -v ON_ERROR_STOP=1 -h HOST -d DATABASE\n%s",
               json_get_str(row, "sql", ""));
    else
        printf(": in redis-cli; on ElastiCache what follows the name is a user's access "
               "string\n%s\n",
               json_get_str(row, "acl", ""));
    if (!alone)
        printf("\n");
}

static int print_all(const struct loaded *l, const struct tool_args *a)
{
    const char *only = a->nrest ? a->rest[0] : NULL;
    struct json *notes, *needs, *servers, *out;
    int code = EXIT_OK;
    char *text;

    if (only && !needs_known(l, "grants", "postgres", "cache", only))
        return EXIT_USAGE;
    notes = json_new_list();
    needs = needs_of(l, notes);
    json_free(notes); /* of AWS, which is iam's to tell */
    notes = json_new_list();
    servers = servers_of(l, needs, only, notes);
    if (!only && json_len(servers) == 0)
        json_add(notes, json_new_str("the loaded policies need nothing of PostgreSQL or Redis"));
    if (only && json_len(servers) == 0) {
        fprintf(stderr, "runbookd grants: the loaded policies need nothing of \"%s\"\n", only);
        code = EXIT_FAILED;
    }
    for (const struct json *n = json_first(notes); n && !a->json; n = json_next(n))
        fprintf(stderr, "runbookd grants: %s\n", json_str(n, ""));
    for (const struct json *s = json_first(servers); s && !a->json; s = json_next(s))
        print_server(s, json_next(s) == NULL);
    json_free(needs);
    if (!a->json || code != EXIT_OK) {
        json_free(servers);
        json_free(notes);
    } else {
        out = json_new_map();
        json_set(out, "servers", servers);
        json_set(out, "notes", notes);
        text = json_print_pretty(out);
        printf("%s\n", text);
        mem_free(text);
        json_free(out);
    }
    return code == EXIT_OK && fflush(stdout) != 0 ? EXIT_FAILED : code;
}

int tool_grants(int argc, char **argv)
{
    return tool_rights(argc, argv, usage_grants, 1, print_all);
}
