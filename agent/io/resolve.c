/* Names to addresses: numeric, /etc/hosts (read by us), then DNS over libevent's evdns; concurrent
 * questions for one name are one. */
#include "io/resolve.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/address.h"
#include "base/log.h"
#include "base/mem.h"

#define RESOLV_CONF "/etc/resolv.conf"
#define HOSTS_FILE "/etc/hosts"
#define TTL_MIN_MS 5000
#define TTL_MAX_MS 60000
#define FAILURE_MS 1000
#define NAMES_MAX 512 /* cached names; an idle one makes room */

/* What we know of one name. It lives in the cache; a question on its way holds it there. */
struct name {
    struct name *next;
    char *host;
    char address[INET6_ADDRSTRLEN];
    int64_t until_ms; /* boot clock; the answer or the failure holds until then */
    struct err err;   /* code 0: address is good */
    struct question *asking;
    struct resolve_call *calls;
};

/* One question to evdns, which answers exactly once, perhaps after the resolver is gone. */
struct question {
    struct resolver *resolver; /* NULL: gone */
    struct name *name;
    bool six;
};

struct resolve_call {
    struct resolver *resolver;
    struct name *name; /* NULL: the answer is already in address or err */
    struct resolve_call *next;
    struct loop_timer *timer;
    char *host;
    char address[INET6_ADDRSTRLEN];
    struct err err;
    bool answered;
    int64_t deadline_ms;
    resolve_fn *fn;
    void *arg;
};

struct resolver {
    struct loop *loop;
    struct evdns_base *dns;
    bool own_nameserver;
    struct timespec conf_mtime;
    int64_t conf_checked_ms;
    struct name *names;
    size_t nnames;
};

static bool same_mtime(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* evdns takes 127.0.0.1 when the file names no server or does not exist (its return codes 6 and 1):
 * not an error for us. */
static void read_resolv_conf(struct resolver *r)
{
    struct stat st = {0};
    if (stat(RESOLV_CONF, &st) < 0)
        st.st_mtim = (struct timespec){0};
    r->conf_mtime = st.st_mtim;
    r->conf_checked_ms = loop_boot_ms(r->loop);
    int rc = evdns_base_resolv_conf_parse(
        r->dns, DNS_OPTION_SEARCH | DNS_OPTION_NAMESERVERS | DNS_OPTION_MISC, RESOLV_CONF);
    if (rc)
        log_warn("resolve", "%s: %s; asking 127.0.0.1", RESOLV_CONF,
                 rc == 6 ? "it names no nameserver" : "it cannot be read");
}

/* A machine's nameservers change (DHCP, a VPN) while we run. */
static void follow_resolv_conf(struct resolver *r)
{
    int64_t now = loop_boot_ms(r->loop);
    struct stat st;
    if (r->own_nameserver || now - r->conf_checked_ms < 1000)
        return;
    r->conf_checked_ms = now;
    if (stat(RESOLV_CONF, &st) < 0 || same_mtime(st.st_mtim, r->conf_mtime))
        return;
    log_info("resolve", "%s has changed, reading it again", RESOLV_CONF);
    evdns_base_clear_nameservers_and_suspend(r->dns);
    evdns_base_search_clear(r->dns);
    read_resolv_conf(r);
    evdns_base_resume(r->dns);
}

static void evdns_says(int is_warning, const char *text)
{
    if (is_warning)
        log_debug("resolve", "%s", text);
}

struct resolver *resolver_new(struct loop *l, const char *nameserver, struct err *e)
{
    evdns_set_log_fn(evdns_says);
    struct resolver *r = mem_alloc(sizeof *r);
    struct sockaddr_storage a;
    socklen_t len;
    r->loop = l;
    r->own_nameserver = nameserver != NULL;
    /* Not EVDNS_BASE_INITIALIZE_NAMESERVERS: with it an empty resolv.conf gives NULL. */
    r->dns = evdns_base_new(loop_base(l), 0);
    if (!r->dns) {
        err_set(e, ERR_IO, "cannot make the DNS client (evdns)");
        goto fail;
    }
    /* resolv.conf's own options come after and win. */
    evdns_base_set_option(r->dns, "timeout", "1.5");
    evdns_base_set_option(r->dns, "attempts", "3");
    if (!nameserver) {
        read_resolv_conf(r);
    } else if (address_parse(nameserver, 53, &a, &len) ||
               evdns_base_nameserver_sockaddr_add(r->dns, (struct sockaddr *)&a, len, 0)) {
        err_set(e, ERR_INPUT,
                "\"%s\" is not a nameserver; expected an address, with a port or without: "
                "127.0.0.1:5353",
                nameserver);
        goto fail;
    }
    return r;
fail:
    resolver_free(r);
    return NULL;
}

static void call_free(struct resolve_call *c)
{
    loop_timer_free(c->timer);
    mem_free(c->host);
    mem_free(c);
}

static void call_unlink(struct resolve_call *c)
{
    if (!c->name)
        return;
    struct resolve_call **p = &c->name->calls;
    while (*p != c)
        p = &(*p)->next;
    *p = c->next;
    c->name = NULL;
}

static void name_free(struct name *n)
{
    while (n->calls) {
        struct resolve_call *c = n->calls;
        call_unlink(c);
        call_free(c);
    }
    if (n->asking)
        n->asking->resolver = NULL;
    mem_free(n->host);
    mem_free(n);
}

void resolver_free(struct resolver *r)
{
    if (!r)
        return;
    while (r->names) {
        struct name *next = r->names->next;
        name_free(r->names);
        r->names = next;
    }
    if (r->dns)
        /* each question is answered with a shutdown, later, and frees itself */
        evdns_base_free(r->dns, 1);
    mem_free(r);
}

/* The call's timer: its answer is there, or its deadline has come. */
static void call_due(void *arg)
{
    struct resolve_call *c = arg;
    if (!c->answered)
        err_set(&c->err, ERR_TIMEOUT,
                "no address for \"%s\" after %lld ms: no nameserver answered in time", c->host,
                (long long)c->deadline_ms);
    call_unlink(c);
    resolve_fn *fn = c->fn;
    fn(c->arg, c->err.code ? NULL : c->address, c->err.code ? &c->err : NULL);
    call_free(c);
}

static void call_answer(struct resolve_call *c, const char *address, const struct err *e)
{
    c->answered = true;
    if (e && e->code)
        c->err = *e;
    else
        snprintf(c->address, sizeof c->address, "%s", address);
    loop_timer_set(c->timer, 0);
}

static void settle(struct resolver *r, struct name *n, int64_t keep_ms)
{
    n->until_ms = loop_boot_ms(r->loop) + keep_ms;
    while (n->calls) {
        struct resolve_call *c = n->calls;
        call_unlink(c);
        call_answer(c, n->address, &n->err);
    }
}

static bool ask(struct resolver *r, struct name *n, bool six);

static void on_dns(int result, char type, int count, int ttl_s, void *addresses, void *arg)
{
    struct question *q = arg;
    struct resolver *r = q->resolver;
    struct name *n = q->name;
    bool six = q->six;
    mem_free(q);
    if (!r)
        return;
    n->asking = NULL;
    bool found =
        result == DNS_ERR_NONE && count > 0 && (type == DNS_IPv4_A || type == DNS_IPv6_AAAA);
    if (found) {
        inet_ntop(type == DNS_IPv4_A ? AF_INET : AF_INET6, addresses, n->address,
                  sizeof n->address);
        n->err = (struct err)ERR_INIT;
        int64_t keep_ms = (int64_t)ttl_s * 1000;
        settle(r, n,
               keep_ms < TTL_MIN_MS   ? TTL_MIN_MS
               : keep_ms > TTL_MAX_MS ? TTL_MAX_MS
                                      : keep_ms);
        return;
    }
    bool empty = result == DNS_ERR_NONE || result == DNS_ERR_NODATA;
    if (empty && !six && ask(r, n, true))
        return;
    if (empty || result == DNS_ERR_NOTEXIST)
        err_set(&n->err, ERR_NOT_FOUND, "the name \"%s\" has no address (DNS: %s)", n->host,
                empty ? "no data" : "no such name");
    else
        err_set(&n->err, result == DNS_ERR_TIMEOUT ? ERR_TIMEOUT : ERR_IO,
                "no address for \"%s\": DNS: %s", n->host, evdns_err_to_string(result));
    settle(r, n, FAILURE_MS);
}

static bool ask(struct resolver *r, struct name *n, bool six)
{
    struct question *q = mem_alloc(sizeof *q);
    q->resolver = r;
    q->name = n;
    q->six = six;
    struct evdns_request *req = six ? evdns_base_resolve_ipv6(r->dns, n->host, 0, on_dns, q)
                                    : evdns_base_resolve_ipv4(r->dns, n->host, 0, on_dns, q);
    if (!req) {
        mem_free(q);
        return false;
    }
    n->asking = q;
    return true;
}

/* The host's first address in /etc/hosts, IPv4 before IPv6. Read each time: it is small, local, and
 * may change. */
static bool look_in_hosts(const char *host, char address[INET6_ADDRSTRLEN])
{
    char line[1024], six[INET6_ADDRSTRLEN] = "";
    bool found = false;
    FILE *f = fopen(HOSTS_FILE, "re");
    while (f && !found && fgets(line, sizeof line, f)) {
        line[strcspn(line, "#\n")] = '\0';
        char *save = NULL, *addr = strtok_r(line, " \t\r", &save), *word;
        unsigned char raw[16];
        if (!addr)
            continue;
        while ((word = strtok_r(NULL, " \t\r", &save)) && strcasecmp(word, host)) {
        }
        if (!word)
            continue;
        if (inet_pton(AF_INET, addr, raw) == 1) {
            snprintf(address, INET6_ADDRSTRLEN, "%s", addr);
            found = true;
        } else if (!six[0] && inet_pton(AF_INET6, addr, raw) == 1) {
            snprintf(six, sizeof six, "%.*s", (int)sizeof six - 1, addr);
        }
    }
    if (f)
        fclose(f);
    if (!found && six[0]) {
        snprintf(address, INET6_ADDRSTRLEN, "%s", six);
        found = true;
    }
    if (!found && !strcasecmp(host, "localhost")) { /* RFC 6761: never asked of a nameserver */
        snprintf(address, INET6_ADDRSTRLEN, "127.0.0.1");
        found = true;
    }
    return found;
}

static bool valid_name(const char *host)
{
    size_t n = strlen(host);
    if (n == 0 || n > 253 || host[0] == '.' || host[0] == '-')
        return false;
    for (const char *p = host; *p; p++)
        if (!isalnum((unsigned char)*p) && *p != '.' && *p != '-' && *p != '_')
            return false;
    return true;
}

static struct name *find_name(struct resolver *r, const char *host)
{
    struct name **p = &r->names, **oldest = NULL;
    for (; *p; p = &(*p)->next) {
        if (!strcasecmp((*p)->host, host))
            return *p;
        if (!(*p)->asking && !(*p)->calls && (!oldest || (*p)->until_ms < (*oldest)->until_ms))
            oldest = p;
    }
    if (r->nnames >= NAMES_MAX && oldest) {
        struct name *gone = *oldest;
        *oldest = gone->next;
        name_free(gone);
        r->nnames--;
    }
    struct name *n = mem_alloc(sizeof *n);
    n->host = mem_strdup(host);
    n->until_ms = INT64_MIN;
    n->next = r->names;
    r->names = n;
    r->nnames++;
    return n;
}

struct resolve_call *resolve(struct resolver *r, const char *host, int64_t deadline_ms,
                             resolve_fn *fn, void *arg)
{
    struct resolve_call *c = mem_alloc(sizeof *c);
    c->resolver = r;
    c->host = mem_strdup(host);
    c->deadline_ms = deadline_ms;
    c->fn = fn;
    c->arg = arg;
    c->timer = loop_timer_new(r->loop, call_due, c);

    unsigned char raw[16];
    char address[INET6_ADDRSTRLEN];
    struct err e = ERR_INIT;
    if (inet_pton(AF_INET, host, raw) == 1 || inet_pton(AF_INET6, host, raw) == 1) {
        call_answer(c, host, NULL);
        return c;
    }
    if (!valid_name(host)) {
        err_set(&e, ERR_INPUT, "\"%.300s\" is not a host name", host);
        call_answer(c, NULL, &e);
        return c;
    }
    if (look_in_hosts(host, address)) {
        call_answer(c, address, NULL);
        return c;
    }
    follow_resolv_conf(r);
    struct name *n = find_name(r, host);
    if (!n->asking && loop_boot_ms(r->loop) < n->until_ms) {
        call_answer(c, n->address, &n->err);
        return c;
    }
    n->err = (struct err)ERR_INIT;
    if (!n->asking && !ask(r, n, false)) {
        err_set(&e, ERR_IO, "no address for \"%s\": the DNS client refused the question", host);
        call_answer(c, NULL, &e);
        return c;
    }
    c->name = n;
    c->next = n->calls;
    n->calls = c;
    loop_timer_set(c->timer, deadline_ms);
    return c;
}

void resolve_cancel(struct resolve_call *c)
{
    if (!c)
        return;
    call_unlink(c);
    call_free(c);
}
