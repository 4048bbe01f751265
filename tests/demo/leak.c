/* An application that leaks connections, and its neighbours that must survive: opens real
 * PostgreSQL sessions of each kind, prints "KIND PID" a line, then "ready", and keeps them until it
 * is ended or its standard input closes. */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/number.h"

static void die(PGconn *c, const char *what)
{
    fprintf(stderr, "leak: %s: %s", what, c ? PQerrorMessage(c) : "no memory\n");
    exit(1);
}

static PGconn *open_one(const char *user, const char *application, const char *extra)
{
    char info[512];
    PGconn *c;

    snprintf(info, sizeof(info), "host=%s port=%s dbname=%s user=%s application_name=%s %s",
             getenv("PGHOST"), getenv("PGPORT"), getenv("PGDATABASE"), user, application, extra);
    c = PQconnectdb(info);
    if (!c || PQstatus(c) != CONNECTION_OK)
        die(c, "connect");
    return c;
}

static void run(PGconn *c, const char *sql)
{
    PGresult *r = PQexec(c, sql);

    if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK)
        die(c, sql);
    PQclear(r);
}

/* Each kind: how many are opened is an argument, KIND=N. */
static const struct kind {
    const char *name, *user, *extra, *first; /* first: run to its end; "send:..." is left running */
} kinds[] = {
    {"idle", "app", "", "SELECT 1"},
    {"busy", "app", "", "send:SELECT pg_sleep(3600)"},
    {"in_transaction", "app", "", "BEGIN"},
    {"superuser", "postgres", "", "SELECT 1"},
    {"replication", "postgres", "replication=true", NULL},
};

static void open_kind(const struct kind *k, int n)
{
    for (int i = 0; i < n; i++) {
        PGconn *c = open_one(k->user, "leaky", k->extra);
        if (k->first && strncmp(k->first, "send:", 5) == 0) {
            if (!PQsendQuery(c, k->first + 5))
                die(c, k->first);
        } else if (k->first) {
            run(c, k->first);
        }
        printf("%s %d\n", k->name, PQbackendPID(c));
    }
}

int main(int argc, char **argv)
{
    char byte;

    for (int a = 1; a < argc; a++) {
        const char *n = strchr(argv[a], '=');
        size_t k;
        for (k = 0; n && k < sizeof(kinds) / sizeof(kinds[0]); k++)
            if (strncmp(kinds[k].name, argv[a], (size_t)(n - argv[a])) == 0 &&
                strlen(kinds[k].name) == (size_t)(n - argv[a]))
                break;
        if (!n || k == sizeof(kinds) / sizeof(kinds[0])) {
            fprintf(
                stderr,
                "usage: leak KIND=N ...; kinds: idle busy in_transaction superuser replication\n");
            return 2;
        }
        open_kind(&kinds[k], number_in(n + 1));
    }
    puts("ready");
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    return 0;
}
