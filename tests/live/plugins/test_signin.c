/* How the agent signs in to a real server, by the estate: password, client certificate, RDS IAM
 * token; the server's certificate; and what is said when it is not let in.
 *
 * No PostgreSQL checks RDS tokens by itself. Here it is told to ask an LDAP server (pg_hba's ldap:
 * a simple bind with what the client sent as password, of any length), which is a part of this
 * program and has botocore make the token anew: the bind succeeds if it is the same byte for byte.
 */
#include "help_cert.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/http.h"
#include "io/pg.h"
#include "plugin/target.h"
#include "world/clients.h"

#define KEYS                                                                                       \
    "AWS_ACCESS_KEY_ID=AKIDEXAMPLE AWS_SECRET_ACCESS_KEY=wJalr/XUtnFEMI+K "                        \
    "AWS_SESSION_TOKEN=a/b+c="

struct stage {
    struct loop *loop;
    struct resolver *resolver;
    struct http *http;
    struct clients *clients;
    PGconn *super;
    struct server ldap;
    int count;
    char who[64];
    struct err err;
    struct lag_watch lag;
};

static char tokens[4][2048];
static int ntokens;

/* Length of a BER element at p, and where its content is; definite lengths only. */
static size_t ber(const unsigned char *p, const unsigned char **content)
{
    size_t n = p[1], len = n;

    *content = p + 2;
    if (n & 0x80) {
        len = 0;
        for (size_t i = 0; i < (n & 0x7f); i++)
            len = len << 8 | p[2 + i];
        *content += n & 0x7f;
    }
    return len;
}

/* One simple bind: RFC 4511, 4.2. */
static void binds(struct server *s, int fd, int n)
{
    unsigned char in[4096] = "", out[] = {0x30, 12, 2, 1, 0, 0x61, 7, 10, 1, 0, 4, 0, 4, 0};
    const unsigned char *p = in, *c;
    char command[600];
    size_t len = 0;

    (void)s;
    (void)n;
    while (len < 8 || len < (size_t)(ber(in, &c) + (size_t)(c - in))) {
        ssize_t got = read(fd, in + len, sizeof(in) - 1 - len);
        if (got <= 0)
            return;
        len += (size_t)got;
    }
    ber(p, &p);    /* the message */
    out[4] = p[2]; /* its id */
    p += 3;
    ber(p, &p); /* the bind */
    p += 3;     /* version 3 */
    len = ber(p, &c);
    p = c + len; /* after the name */
    len = ber(p, &c);
    if (p[0] == 0x80 && ntokens < 4)
        snprintf(tokens[ntokens], sizeof(tokens[0]), "%.*s", (int)len, (const char *)c);
    snprintf(command, sizeof(command),
             KEYS " /usr/bin/python3 '%s'/tests/live/plugins/rds_token.py "
                  "localhost %s token eu-west-3",
             RB_SOURCE_DIR, getenv("PGPORT"));
    FILE *f = popen(command, "we");
    fputs(tokens[ntokens++], f);
    out[9] = pclose(f) == 0 ? 0 : 49; /* success, invalidCredentials */
    if (write(fd, out, sizeof(out)) < 0)
        return;
    server_linger(s, fd);
}

static void ask(struct stage *s, const char *sql)
{
    PGresult *r = PQexec(s->super, sql);

    if (PQresultStatus(r) != PGRES_TUPLES_OK && PQresultStatus(r) != PGRES_COMMAND_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(s->super));
    PQclear(r);
}

/* Writes a file where the server reads its own, by the server. */
static void write_there(struct stage *s, const char *name, const char *text)
{
    char *sql = mem_printf("COPY (SELECT unnest(string_to_array('%s', E'\\n'))) TO PROGRAM "
                           "'cat > %s/data/%s'",
                           text, getenv("RB_PG_DIR"), name);

    ask(s, sql);
    mem_free(sql);
}

static int setup(void **state)
{
    struct stage *s = mem_alloc(sizeof(*s));
    char *hba, pem[8000] = "", info[200];
    FILE *f;

    s->loop = loop_new(NULL);
    s->resolver = resolver_new(s->loop, NULL, NULL);
    s->http = http_new(s->loop, s->resolver, NULL, NULL);
    s->clients = clients_new(s->loop, s->resolver, s->http, getenv("RB_PG_CA"));
    s->ldap.fd = -1;
    ntokens = 0;
    memset(tokens, 0, sizeof(tokens));
    server_start(&s->ldap, binds);
    snprintf(info, sizeof(info), "host=%s port=%s user=postgres dbname=postgres",
             getenv("RB_PG_SOCKET_DIR"), getenv("PGPORT"));
    s->super = PQconnectdb(info);
    if (PQstatus(s->super) != CONNECTION_OK)
        fail_msg("%s", PQerrorMessage(s->super));
    ask(s, "DO $$ BEGIN IF to_regrole('good') IS NULL THEN CREATE ROLE good LOGIN; CREATE ROLE "
           "expired LOGIN; CREATE ROLE token LOGIN; CREATE ROLE pw LOGIN PASSWORD 'right'; "
           "END IF; END $$");
    f = fopen(cert_path("ca"), "re");
    assert_true(fread(pem, 1, sizeof(pem) - 1, f) > 100);
    fclose(f);
    *strstr(pem, "-----BEGIN PRIVATE") = '\0';
    write_there(s, "client_ca.crt", pem);
    hba = mem_printf(
        "local all all trust\nhostssl all good,expired all cert\nhostssl all token all "
        "ldap ldapserver=127.0.0.1 ldapport=%d ldapprefix=\"cn=\"\nhost all all all scram-sha-256",
        s->ldap.port);
    write_there(s, "pg_hba.conf", hba);
    mem_free(hba);
    ask(s, "ALTER SYSTEM SET ssl_ca_file = 'client_ca.crt'");
    ask(s, "SELECT pg_reload_conf()");
    usleep(300000);
    lag_start(&s->lag, s->loop);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct stage *s = *state;

    lag_check(&s->lag, s->loop);
    clients_free(s->clients);
    http_free(s->http);
    resolver_free(s->resolver);
    loop_free(s->loop);
    PQfinish(s->super);
    server_stop(&s->ldap);
    mem_free(s);
    return 0;
}

static void got(void *arg, const struct pg_rows *rows, bool left, const struct err *e)
{
    struct stage *s = arg;

    (void)left;
    s->count++;
    s->err = e ? *e : (struct err)ERR_INIT;
    snprintf(s->who, sizeof(s->who), "%s", rows ? pg_cell(rows, 0, 0) : "");
}

/* Signs in as a postgres target with these fields; 0 or the error's code. fields: JSON without its
 * braces. use: a new one makes a new connection. */
static int sign_in(struct stage *s, const char *fields, const char *use)
{
    struct estate *estate = estate_new();
    char *text = mem_printf("{\"host\": \"localhost\", \"port\": %s, \"database\": \"postgres\", "
                            "%s}",
                            getenv("PGPORT"), fields);
    struct err e = ERR_INIT;
    struct json *f = json_parse(text, strlen(text), 1 << 16, &e);
    struct json *aws = json_parse("{\"region\": \"eu-west-3\"}", 23, 100, NULL);
    const struct host_io *io = clients_io(s->clients);
    struct pg *pg;

    if (f == NULL)
        fail_msg("%s: %s", text, e.text);
    mem_free(text);
    estate_add(estate, "aws", "prod", NULL, aws, MODE_ENFORCE, "t", 1, NULL);
    estate_add(estate, "postgres", "db", NULL, f, MODE_ENFORCE, "t", 1, NULL);
    clients_estate(s->clients, estate);
    s->count = 0;
    s->who[0] = '\0';
    pg = io->pg(io->arg, estate_find(estate, "postgres", "db"), use, &s->err);
    if (pg != NULL) {
        pg_query(
            pg,
            "SELECT current_user || ' ' || current_setting('default_transaction_read_only') || "
            "' ' || (SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid())",
            NULL, 0, 2000, got, s);
        run_until(s->loop, &s->count, 1, 15000);
    }
    estate_unref(estate);
    return s->err.code;
}

static void assert_in(struct stage *s, const char *fields, const char *use, const char *who)
{
    if (sign_in(s, fields, use) != 0)
        fail_msg("%s: %s", fields, s->err.text);
    assert_string_equal(s->who, who);
}

static void assert_out(struct stage *s, const char *fields, int code, const char *why)
{
    if (sign_in(s, fields, "collect") == 0)
        fail_msg("%s: let in", fields);
    if (s->err.code != code || strstr(s->err.text, why) == NULL)
        fail_msg("%s: code %d, %s", fields, s->err.code, s->err.text);
}

static void by_password_over_verified_tls(void **state)
{
    struct stage *s = *state;

    setenv("RB_TEST_PW", "right", 1);
    setenv("RB_TEST_WRONG", "wrong", 1);
    assert_in(s, "\"user\": \"pw\", \"password\": {\"env\": \"RB_TEST_PW\"}", "collect",
              "pw off true");
    assert_in(s, "\"user\": \"pw\", \"password\": {\"env\": \"RB_TEST_PW\"}", "read", "pw on true");
    assert_out(s, "\"user\": \"pw\", \"password\": {\"env\": \"RB_TEST_WRONG\"}", ERR_AUTH,
               "password authentication failed");
    assert_out(s, "\"user\": \"pw\", \"password\": {\"env\": \"RB_TEST_NONE\"}", ERR_NOT_FOUND,
               "RB_TEST_NONE");
    assert_out(s, "\"user\": \"pw\"", ERR_AUTH, "password");
    /* The server's certificate is of another CA than the system's; and names no 127.0.0.2. */
    assert_out(s,
               "\"ca_file\": \"/etc/ssl/certs/ca-certificates.crt\", \"user\": \"pw\", "
               "\"password\": {\"env\": \"RB_TEST_PW\"}",
               ERR_IO, "certificate verify failed");
}

static const char *with_cert(const char *user, const char *name)
{
    static char text[400];

    snprintf(text, sizeof(text),
             "\"user\": \"%s\", \"cert_file\": \"%s\", \"key_file\": {\"file\": \"%s\"}", user,
             cert_path(name), cert_path(name));
    return text;
}

static void by_client_certificate(void **state)
{
    struct stage *s = *state;

    chmod(cert_path("good"), 0600);
    chmod(cert_path("expired"), 0600);
    assert_in(s, with_cert("good", "good"), "collect", "good off true");
    assert_out(s, with_cert("expired", "expired"), ERR_IO, "certificate expired");
    assert_out(s, with_cert("expired", "good"), ERR_AUTH, "certificate authentication failed");
    assert_out(s, "\"user\": \"good\"", ERR_AUTH, "certificate");
    /* Opened to others while the agent runs: libpq looks at each connection. */
    chmod(cert_path("good"), 0644);
    assert_out(s, with_cert("good", "good"), ERR_IO, "group or world access");
    chmod(cert_path("good"), 0600);
    assert_out(s,
               "\"user\": \"good\", \"cert_file\": \"/nonexistent\", \"key_file\": {\"file\": "
               "\"/nonexistent\"}",
               ERR_NOT_FOUND, "cert_file /nonexistent");
    assert_out(s, "\"user\": \"good\", \"cert_file\": \"/nonexistent\"", ERR_INPUT, "key_file");
}

#define TOKEN "\"user\": \"token\", \"iam\": true, \"aws\": \"prod\""

static void by_a_token_for_each_connection(void **state)
{
    struct stage *s = *state;

    putenv("AWS_ACCESS_KEY_ID=AKIDEXAMPLE");
    putenv("AWS_SECRET_ACCESS_KEY=wJalr/XUtnFEMI+K");
    putenv("AWS_SESSION_TOKEN=a/b+c=");
    assert_in(s, TOKEN, "collect", "token off true");
    assert_int_equal(ntokens, 1);
    assert_in(s, TOKEN, "collect", "token off true"); /* the same connection */
    assert_int_equal(ntokens, 1);
    sleep(1); /* tokens tell seconds */
    ask(s, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'token'");
    run_for(s->loop, 200);
    assert_in(s, TOKEN, "collect", "token off true"); /* a new one, a new token */
    assert_int_equal(ntokens, 2);
    assert_string_not_equal(tokens[0], tokens[1]);
    assert_null(strstr(s->err.text, "X-Amz"));
    /* Other keys than botocore has: the server refuses them. */
    putenv("AWS_SECRET_ACCESS_KEY=another");
    clients_free(s->clients);
    s->clients = clients_new(s->loop, s->resolver, s->http, getenv("RB_PG_CA"));
    assert_out(s, TOKEN, ERR_AUTH, "LDAP authentication failed");
    assert_null(strstr(s->err.text, "X-Amz"));
    assert_out(s, "\"user\": \"token\", \"iam\": true", ERR_INPUT, "aws");
    /* No keys to be had: nothing is sent, and it is said where they were looked for. */
    unsetenv("AWS_ACCESS_KEY_ID");
    unsetenv("AWS_SECRET_ACCESS_KEY");
    unsetenv("AWS_SESSION_TOKEN");
    putenv("AWS_EC2_METADATA_DISABLED=true");
    putenv("AWS_CONFIG_FILE=/nonexistent");
    putenv("AWS_SHARED_CREDENTIALS_FILE=/nonexistent");
    clients_free(s->clients);
    s->clients = clients_new(s->loop, s->resolver, s->http, getenv("RB_PG_CA"));
    assert_out(s, TOKEN, ERR_AUTH, "no token to sign in with");
    assert_int_equal(ntokens, 3);
}

/* No slot is left for anyone but superusers: said as such, and over when there is one again. */
static void a_full_server_says_so(void **state)
{
    struct stage *s = *state;
    PGconn *c[20];
    char info[300];
    int n = 0;

    snprintf(info, sizeof(info), "host=%s port=%s user=pw dbname=postgres",
             getenv("RB_PG_SOCKET_DIR"), getenv("PGPORT"));
    while (n < 20 && PQstatus(c[n] = PQconnectdb(info)) == CONNECTION_OK)
        n++;
    assert_true(n > 2 && n < 20);
    setenv("RB_TEST_PW", "right", 1);
    assert_out(s, "\"user\": \"pw\", \"password\": {\"env\": \"RB_TEST_PW\"}", ERR_LIMIT, "53300");
    for (int i = 0; i <= n; i++)
        PQfinish(c[i]);
    for (int i = 0;
         i < 20 &&
         sign_in(s, "\"user\": \"pw\", \"password\": {\"env\": \"RB_TEST_PW\"}", "collect") != 0;
         i++)
        usleep(100000);
    assert_string_equal(s->who, "pw off true");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(by_password_over_verified_tls),
        T(by_client_certificate),
        T(by_a_token_for_each_connection),
        T(a_full_server_says_so),
    };

    return cmocka_run_group_tests(tests, certs_make, certs_remove);
}
