/* Accounts, PostgreSQL and Redis connections by name and use; secrets are read where they are
 * needed and kept nowhere else. */
#include "world/clients.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aws/call.h"
#include "base/address.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/pg.h"
#include "io/redis.h"
#include "lua/lua.h"

#define SECRET_AGAIN_MS                                                                            \
    (60 * 1000LL) /* a secret's file is looked at again at most this often: rotation without a     \
                     restart */

enum kind { AWS_CLIENT, PG_CLIENT, REDIS_CLIENT };

struct client {
    struct clients *owner;
    enum kind kind;
    char *key;              /* "orders/collect" */
    char print[SHA256_HEX]; /* of the definition that it was made by */
    bool retired;
    struct aws *aws;
    struct pg *pg;
    struct redis *redis;
    char *secret;
    int64_t secret_ms;
    /* PostgreSQL with IAM */
    struct client *account;
    struct aws_keys_wait *wait;
    char *host, *user;
    int port;
};

struct clients {
    struct loop *loop;
    struct resolver *resolver;
    struct http *http;
    char *ca_file;
    struct estate *estate;
    struct host_io io;
    struct client **list;
    size_t n;
};

static void wipe(char *s)
{
    if (s)
        explicit_bzero(s, strlen(s));
    mem_free(s);
}

static void client_free(struct client *c)
{
    if (c->wait)
        aws_credentials_cancel(c->wait);
    if (c->pg)
        pg_free(c->pg);
    if (c->redis)
        redis_free(c->redis);
    if (c->aws)
        aws_free(c->aws);
    wipe(c->secret);
    mem_free(c->host);
    mem_free(c->user);
    mem_free(c->key);
    mem_free(c);
}

static void print_of(const struct clients *c, const struct target *t, char out[SHA256_HEX])
{
    struct sha256 *h = sha256_new();
    const char *aws = json_get_str(t->fields, "aws", NULL);
    const struct target *account = aws && c->estate ? estate_find(c->estate, "aws", aws) : NULL;
    uint8_t digest[SHA256_LEN];
    char *text = json_print_canonical(t->fields);

    sha256_add(h, text, strlen(text) + 1);
    mem_free(text);
    if (account) {
        text = json_print_canonical(account->fields);
        sha256_add(h, text, strlen(text) + 1);
        mem_free(text);
    }
    sha256_end(h, digest);
    hex_encode(digest, sizeof(digest), out);
}

/* The client of this key if its definition is still the same; an outdated one is retired. */
static struct client *find(struct clients *c, enum kind kind, const char *key, const char *print)
{
    for (size_t k = 0; k < c->n; k++) {
        struct client *x = c->list[k];
        if (x->retired || x->kind != kind || strcmp(x->key, key) != 0)
            continue;
        if (strcmp(x->print, print) == 0)
            return x;
        x->retired = true;
    }
    return NULL;
}

static struct client *add(struct clients *c, enum kind kind, const char *key, const char *print)
{
    struct client *x = mem_alloc(sizeof(*x));

    x->owner = c;
    x->kind = kind;
    x->key = mem_strdup(key);
    memcpy(x->print, print, SHA256_HEX);
    c->list = mem_realloc(c->list, (c->n + 1) * sizeof(c->list[0]));
    c->list[c->n++] = x;
    return x;
}

static void forget(struct client *x)
{
    struct clients *c = x->owner;

    for (size_t k = 0; k < c->n; k++)
        if (c->list[k] == x) {
            c->list[k] = c->list[--c->n];
            break;
        }
    client_free(x);
}

/* Accounts */

static struct client *aws_client(struct clients *c, const char *name, struct err *e)
{
    const struct target *t = c->estate ? estate_find(c->estate, "aws", name) : NULL;
    struct aws_options o = {.loop = c->loop, .http = c->http, .name = name};
    char print[SHA256_HEX];
    struct client *x;

    if (!t) {
        err_set(e, ERR_NOT_FOUND, "the estate declares no aws \"%s\"", name);
        return NULL;
    }
    print_of(c, t, print);
    x = find(c, AWS_CLIENT, name, print);
    if (x)
        return x;
    o.region = json_get_str(t->fields, "region", NULL);
    o.endpoint = json_get_str(t->fields, "endpoint", NULL);
    o.ca_file = json_get_str(t->fields, "ca_file", NULL);
    o.profile = json_get_str(t->fields, "profile", NULL);
    o.role = json_get_str(t->fields, "role", NULL);
    o.external_id = json_get_str(t->fields, "external_id", NULL);
    x = add(c, AWS_CLIENT, name, print);
    x->aws = aws_new(&o, e);
    if (!x->aws) {
        err_wrap(e, "aws \"%s\"", name);
        forget(x);
        return NULL;
    }
    return x;
}

static struct aws *get_aws(void *arg, const char *name, struct err *e)
{
    struct client *x = aws_client(arg, name, e);

    return x ? x->aws : NULL;
}

/* Secrets */

/* Reads the secret of a client if there is one; true: it is another than before. */
static int refresh_secret(struct client *x, const struct json *held, bool *changed, struct err *e)
{
    int64_t now = loop_boot_ms(x->owner->loop);
    char *value = NULL;

    *changed = false;
    if (json_type(held) != JSON_MAP || (x->secret && now - x->secret_ms < SECRET_AGAIN_MS))
        return 0;
    if (secret_read(held, &value, e)) {
        if (!x->secret)
            return e->code;
        log_warn("clients", "%s: %s; the secret read before is used", x->key, e->text);
        *e = (struct err)ERR_INIT;
        x->secret_ms = now;
        return 0;
    }
    *changed = !x->secret || strcmp(x->secret, value) != 0;
    wipe(x->secret);
    x->secret = value;
    x->secret_ms = now;
    return 0;
}

/* PostgreSQL */

/* RDS takes a token for 15 minutes after it was made: each connection gets one of its own. */
static void on_keys(void *arg, const struct aws_keys *keys, const struct err *e)
{
    struct client *x = arg;
    struct err e2 = e ? *e : (struct err)ERR_INIT;
    char *token = NULL;

    x->wait = NULL;
    if (!e2.code)
        token = aws_rds_token(x->host, x->port, x->user, aws_region(x->account->aws), keys,
                              aws_wall_ms(x->account->aws), &e2);
    if (token)
        log_hide(token);
    else
        err_wrap(&e2, "no token to sign in with");
    pg_sign_in(x->pg, token, &e2);
    wipe(token);
}

static void ask_token(void *arg, struct pg *p)
{
    struct client *x = arg;

    (void)p;
    if (!x->wait)
        x->wait = aws_credentials_get(aws_provider(x->account->aws), on_keys, x);
}

static struct client *new_pg(struct clients *c, const struct target *t, const char *use,
                             const char *key, const char *print, struct err *e)
{
    const struct json *f = t->fields;
    bool iam = json_get_bool(f, "iam", false), changed;
    struct client *x, *account = NULL;
    struct pg_options o = {
        .host = json_get_str(f, "host", ""),
        .port = (int)json_get_int(f, "port", 5432),
        .database = json_get_str(f, "database", "postgres"),
        .user = json_get_str(f, "user", "runbookd"),
        .sslmode = json_get_str(f, "sslmode", "verify-full"),
        .ca_file = json_get_str(f, "ca_file", c->ca_file),
        .client_cert = json_get_str(f, "cert_file", NULL),
        .client_key = json_get_str(json_get(f, "key_file"), "file", NULL),
        .application = "runbookd",
        .read_only = strcmp(use, "read") == 0,
    };

    if (target_kind_find("postgres")->check(f, e)) {
        err_wrap(e, "%s", t->id);
        return NULL;
    }
    if (iam) {
        account = aws_client(c, json_get_str(f, "aws", ""), e);
        if (!account) {
            err_wrap(e, "%s signs in with IAM", t->id);
            return NULL;
        }
    }
    /* libpq goes without a certificate that is not there, and the server says something else. */
    if (o.client_cert && access(o.client_cert, R_OK)) {
        err_set(e, ERR_NOT_FOUND, "cert_file %s of %s cannot be read: %s", o.client_cert, t->id,
                strerror(errno));
        return NULL;
    }
    x = add(c, PG_CLIENT, key, print);
    if (refresh_secret(x, json_get(f, "password"), &changed, e)) {
        err_wrap(e, "password of %s", t->id);
        forget(x);
        return NULL;
    }
    o.password = x->secret;
    if (iam) {
        x->account = account;
        x->host = mem_strdup(o.host);
        x->port = o.port;
        x->user = mem_strdup(o.user);
        o.ask_password = ask_token;
        o.ask_arg = x;
    }
    x->pg = pg_new(c->loop, c->resolver, &o);
    return x;
}

static struct pg *get_pg(void *arg, const struct target *t, const char *use, struct err *e)
{
    struct clients *c = arg;
    char print[SHA256_HEX], *key = mem_printf("%s/%s", t->name, use);
    struct client *x;
    bool changed = false;

    print_of(c, t, print);
    x = find(c, PG_CLIENT, key, print);
    if (!x)
        x = new_pg(c, t, use, key, print, e);
    else if (!refresh_secret(x, json_get(t->fields, "password"), &changed, e) && changed)
        pg_set_password(x->pg, x->secret);
    mem_free(key);
    return x ? x->pg : NULL;
}

/* Redis */

static struct redis *get_redis(void *arg, const struct target *t, const char *node, const char *use,
                               struct err *e)
{
    struct clients *c = arg;
    const struct json *f = t->fields;
    char print[SHA256_HEX],
        *host = NULL,
        *key = mem_printf("%s/%s%s%s", t->name, use, node ? " " : "", node ? node : "");
    struct client *x;
    bool changed = false;

    print_of(c, t, print);
    x = find(c, REDIS_CLIENT, key, print);
    if (x && !refresh_secret(x, json_get(f, "auth"), &changed, e) && changed) {
        x->retired = true; /* a connection keeps its password: a new one is made */
        x = NULL;
    }
    if (!x) {
        struct redis_options o = {
            .host = json_get_str(f, "host", NULL),
            .port = (int)json_get_int(f, "port", 6379),
            .user = json_get_str(f, "user", NULL),
            .tls = json_get_bool(f, "tls", false),
            .ca_file = json_get_str(f, "ca_file", c->ca_file),
        };
        x = add(c, REDIS_CLIENT, key, print);
        if (node)
            o.host = host = address_split(node, &o.port);
        if (!o.host && node)
            err_set(e, ERR_INPUT, "node \"%s\" is not \"host:port\"", node);
        else if (!o.host)
            err_set(e, ERR_INPUT, "%s has no host: only AWS is asked about it", t->id);
        else if (!refresh_secret(x, json_get(f, "auth"), &changed, e)) {
            o.password = x->secret;
            x->redis = redis_new(c->loop, c->resolver, &o, e);
        }
        if (!x->redis) {
            err_wrap(e, "%s", t->id);
            forget(x);
            x = NULL;
        }
    }
    mem_free(host);
    mem_free(key);
    return x ? x->redis : NULL;
}

struct clients *clients_new(struct loop *l, struct resolver *r, struct http *h, const char *ca_file)
{
    struct clients *c = mem_alloc(sizeof(*c));

    c->loop = l;
    c->resolver = r;
    c->http = h;
    c->ca_file = mem_strdup(ca_file);
    c->io = (struct host_io){l, r, h, get_aws, get_pg, get_redis, c, NULL};
    return c;
}

void clients_alerts(struct clients *c, const struct alerts *alerts)
{
    c->io.alerts = alerts;
}

void clients_free(struct clients *c)
{
    if (!c)
        return;
    for (size_t k = 0; k < c->n; k++)
        c->list[k]->retired = true;
    clients_retire(c);
    mem_free(c->list);
    mem_free(c->ca_file);
    if (c->estate)
        estate_unref(c->estate);
    mem_free(c);
}

const struct host_io *clients_io(const struct clients *c)
{
    return &c->io;
}

void clients_estate(struct clients *c, struct estate *e)
{
    struct estate *old = c->estate;

    c->estate = estate_ref(e);
    if (old)
        estate_unref(old);
    for (size_t k = 0; k < c->n; k++) {
        struct client *x = c->list[k];
        char name[160], print[SHA256_HEX];
        const struct target *t;
        const char *use = strrchr(x->key, '/');
        static const char *const kinds[] = {"aws", "postgres", "cache"};

        snprintf(name, sizeof(name), "%.*s",
                 use && x->kind != AWS_CLIENT ? (int)(use - x->key) : 150, x->key);
        t = estate_find(e, kinds[x->kind], name);
        if (t)
            print_of(c, t, print);
        if (!t || strcmp(print, x->print) != 0)
            x->retired = true;
    }
}

void clients_retire(struct clients *c)
{
    for (int accounts = 0; accounts <= 1; accounts++) /* last: tokens come from them */
        for (size_t k = 0; k < c->n;) {
            struct client *x = c->list[k];
            if (!x->retired || accounts != (x->kind == AWS_CLIENT)) {
                k++;
                continue;
            }
            c->list[k] = c->list[--c->n];
            client_free(x);
        }
}
