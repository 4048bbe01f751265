/* AWS Signature Version 4: canonical request, string to sign, key derivation.
 * Source: "Create a signed AWS API request" in the IAM user guide. */
#include "aws/sigv4.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/hash.h"
#include "base/mem.h"
#include "base/units.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define MAX_BYTES (1024 * 1024) /* of a canonical request or presigned URL */

void aws_keys_copy(struct aws_keys *to, const struct aws_keys *from)
{
    *to = (struct aws_keys){mem_strdup(from->access_key), mem_strdup(from->secret_key),
                            mem_strdup(from->token)};
}

static void wipe(const char *s)
{
    if (s)
        explicit_bzero((char *)s, strlen(s));
    mem_free((char *)s);
}

void aws_keys_clear(struct aws_keys *k)
{
    wipe(k->access_key);
    wipe(k->secret_key);
    wipe(k->token);
    *k = (struct aws_keys){NULL, NULL, NULL};
}

static bool is_unreserved(unsigned char c)
{
    return isalnum(c) || c == '-' || c == '_' || c == '.' || c == '~';
}

static void encode_byte(struct buf *out, unsigned char c)
{
    static const char hex[] = "0123456789ABCDEF";
    char enc[3] = {'%', hex[c >> 4], hex[c & 15]};
    buf_add(out, enc, sizeof enc);
}

void aws_uri_encode(struct buf *out, const char *s, size_t len, bool keep_slash)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if ((c < 0x80 && is_unreserved(c)) || (keep_slash && c == '/'))
            buf_addc(out, (char)c);
        else
            encode_byte(out, c);
    }
}

/* The path without dot segments and repeated slashes, encoded once more. */
static void add_path(struct buf *out, const char *path)
{
    struct segment {
        const char *s;
        size_t len;
    } * seg;
    size_t n = 0, len = path ? strlen(path) : 0;

    if (len == 0) {
        buf_addc(out, '/');
        return;
    }
    seg = mem_calloc(len + 1, sizeof *seg);
    for (const char *p = path; *p;) {
        size_t l = strcspn(p, "/");
        if (l == 2 && p[0] == '.' && p[1] == '.')
            n -= n > 0;
        else if (l > 0 && !(l == 1 && p[0] == '.'))
            seg[n++] = (struct segment){p, l};
        p += l + (p[l] == '/');
    }
    buf_addc(out, '/');
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_addc(out, '/');
        aws_uri_encode(out, seg[i].s, seg[i].len, false);
    }
    if (n && path[len - 1] == '/')
        buf_addc(out, '/');
    mem_free(seg);
}

struct pair {
    char *key, *value;
    size_t order;
};

static int compare_pairs(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    int c = strcmp(x->key, y->key);
    return c ? c : strcmp(x->value, y->value);
}

/* Encodes what the caller left bare; what is encoded already stays, with capital hex digits. */
static char *normal_component(const char *s, size_t len)
{
    struct buf b;
    buf_init(&b, MAX_BYTES);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c == '%' && i + 2 < len && isxdigit((unsigned char)s[i + 1]) &&
            isxdigit((unsigned char)s[i + 2])) {
            char enc[3] = {'%', (char)toupper((unsigned char)s[i + 1]),
                           (char)toupper((unsigned char)s[i + 2])};
            buf_add(&b, enc, sizeof enc);
            i += 2;
        } else {
            aws_uri_encode(&b, s + i, 1, false);
        }
    }
    return buf_take(&b);
}

/* Sorted by encoded name, then encoded value; compared apart, because '=' sorts above '%' and '-'.
 */
static void add_query(struct buf *out, const char *query)
{
    struct pair *p;
    size_t n = 0, max = 1;

    if (!query || !*query)
        return;
    for (const char *c = query; *c; c++)
        max += *c == '&';
    p = mem_calloc(max, sizeof *p);
    for (const char *s = query; *s;) {
        size_t len = strcspn(s, "&"), key = strcspn(s, "=&");
        if (len > 0) {
            p[n].key = normal_component(s, key);
            p[n].value = key < len ? normal_component(s + key + 1, len - key - 1) : mem_strdup("");
            n++;
        }
        s += len + (s[len] == '&');
    }
    qsort(p, n, sizeof *p, compare_pairs);
    for (size_t i = 0; i < n; i++) {
        buf_addf(out, "%s%s=%s", i ? "&" : "", p[i].key, p[i].value);
        mem_free(p[i].key);
        mem_free(p[i].value);
    }
    mem_free(p);
}

/* Headers in canonical form: lower-case names, sorted; values trimmed, inner runs of white space as
 * one space; values of a repeated header joined by ',' in their order. */
struct headers {
    struct pair *p;
    size_t n;
};

static char *trimmed(const char *v)
{
    struct buf b;
    buf_init(&b, MAX_BYTES);
    for (const char *s = v; *s;) {
        s += strspn(s, " \t\r\n\v\f");
        size_t len = strcspn(s, " \t\r\n\v\f");
        if (len && b.len)
            buf_addc(&b, ' ');
        buf_add(&b, s, len);
        s += len;
    }
    return buf_take(&b);
}

static void headers_add(struct headers *h, const char *name, const char *value)
{
    char *lower = trimmed(name);
    for (char *c = lower; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    h->p[h->n] = (struct pair){lower, trimmed(value), h->n};
    h->n++;
}

static int compare_headers(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    int c = strcmp(x->key, y->key);
    return c ? c : (x->order > y->order) - (x->order < y->order);
}

static void headers_make(struct headers *h, const struct sigv4_request *r, const char *date,
                         const char *token)
{
    /* What a proxy may change on the way, and what is set here. */
    static const char *const skip[] = {
        "expect", "user-agent", "x-amzn-trace-id",     "authorization",
        "host",   "x-amz-date", "x-amz-security-token"};
    char *host = mem_strdup(r->host);

    h->n = 0;
    h->p = mem_calloc(r->nheaders + 3, sizeof *h->p);
    for (char *c = host; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    headers_add(h, "host", host);
    mem_free(host);
    if (date)
        headers_add(h, "x-amz-date", date);
    if (token)
        headers_add(h, "x-amz-security-token", token);
    for (size_t i = 0; i < r->nheaders; i++) {
        bool skipped = false;
        for (size_t j = 0; j < sizeof skip / sizeof *skip; j++)
            skipped |= strcasecmp(r->headers[i].name, skip[j]) == 0;
        if (!skipped)
            headers_add(h, r->headers[i].name, r->headers[i].value);
    }
    qsort(h->p, h->n, sizeof *h->p, compare_headers);
}

static void headers_free(struct headers *h)
{
    for (size_t i = 0; i < h->n; i++) {
        mem_free(h->p[i].key);
        mem_free(h->p[i].value);
    }
    mem_free(h->p);
}

static bool header_repeats(const struct headers *h, size_t i)
{
    return i > 0 && strcmp(h->p[i].key, h->p[i - 1].key) == 0;
}

static void headers_add_names(const struct headers *h, struct buf *out)
{
    for (size_t i = 0; i < h->n; i++)
        if (!header_repeats(h, i))
            buf_addf(out, "%s%s", i ? ";" : "", h->p[i].key);
}

static void headers_add_lines(const struct headers *h, struct buf *out)
{
    for (size_t i = 0; i < h->n; i++) {
        if (header_repeats(h, i))
            buf_addf(out, ",%s", h->p[i].value);
        else
            buf_addf(out, "%s%s:%s", i ? "\n" : "", h->p[i].key, h->p[i].value);
    }
    buf_addc(out, '\n');
}

/* The signature in hex of a request whose query and headers are complete. */
static int signature(const struct sigv4_request *r, const char *query, const struct headers *h,
                     const struct aws_keys *k, const char *date, char out[SHA256_HEX],
                     struct err *e)
{
    struct buf b;
    char hash[SHA256_HEX];
    uint8_t key[SHA256_LEN], next[SHA256_LEN];
    char *secret;
    int rc = 0;

    buf_init(&b, MAX_BYTES);
    for (const char *c = r->method; *c; c++)
        buf_addc(&b, (char)toupper((unsigned char)*c));
    buf_addc(&b, '\n');
    add_path(&b, r->path);
    buf_addc(&b, '\n');
    add_query(&b, query);
    buf_addc(&b, '\n');
    headers_add_lines(h, &b);
    buf_addc(&b, '\n');
    headers_add_names(h, &b);
    sha256_hex(r->body ? r->body : "", r->body ? r->body_len : 0, hash);
    buf_addf(&b, "\n%s", hash);
    if (b.overflow) {
        rc = err_set(e, ERR_LIMIT,
                     "the request to %s has more than %d bytes of path, query and headers: it is "
                     "not signed",
                     r->host, MAX_BYTES);
        goto out;
    }
    sha256_hex(b.data, b.len, hash);

    buf_reset(&b);
    buf_addf(&b, ALGORITHM "\n%s\n%.8s/%s/%s/aws4_request\n%s", date, date, r->region, r->service,
             hash);
    secret = mem_printf("AWS4%s", k->secret_key);
    hmac_sha256(secret, strlen(secret), date, 8, key);
    explicit_bzero(secret, strlen(secret));
    mem_free(secret);
    hmac_sha256(key, sizeof key, r->region, strlen(r->region), next);
    hmac_sha256(next, sizeof next, r->service, strlen(r->service), key);
    hmac_sha256(key, sizeof key, "aws4_request", strlen("aws4_request"), next);
    hmac_sha256(next, sizeof next, b.data, b.len, key);
    hex_encode(key, sizeof key, out);
    explicit_bzero(key, sizeof key);
    explicit_bzero(next, sizeof next);
out:
    buf_free(&b);
    return rc;
}

int sigv4_sign(const struct sigv4_request *r, const struct aws_keys *k, int64_t wall_ms,
               char date[SIGV4_DATE], struct buf *authorization, struct err *e)
{
    struct headers h;
    char sig[SHA256_HEX];
    int rc;

    time_format_basic(date, SIGV4_DATE, wall_ms);
    headers_make(&h, r, date, k->token);
    rc = signature(r, r->query, &h, k, date, sig, e);
    if (rc == 0) {
        buf_addf(authorization,
                 ALGORITHM " Credential=%s/%.8s/%s/%s/aws4_request, SignedHeaders=", k->access_key,
                 date, r->region, r->service);
        headers_add_names(&h, authorization);
        buf_addf(authorization, ", Signature=%s", sig);
    }
    headers_free(&h);
    return rc;
}

static void add_encoded(struct buf *q, const char *name, const char *value)
{
    buf_addf(q, "%s%s=", q->len ? "&" : "", name);
    aws_uri_encode(q, value, strlen(value), false);
}

/* expires_last: botocore's order in an RDS token is another than in its other presigned URLs. No
 * server minds, but so both can be compared with ours byte for byte. */
static int presign(const struct sigv4_request *r, const struct aws_keys *k, int64_t wall_ms,
                   int expires_s, bool expires_last, struct buf *url, struct err *e)
{
    struct headers h;
    struct buf q, v;
    struct sigv4_request signed_request = *r;
    char date[SIGV4_DATE], sig[SHA256_HEX], expires[16], *host = mem_strdup(r->host);
    size_t host_len = strlen(host);
    int rc;

    /* The scheme is taken to be https, whose own port is no part of a Host header. */
    if (host_len > 4 && strcmp(host + host_len - 4, ":443") == 0)
        host[host_len - 4] = '\0';
    signed_request.host = host;
    time_format_basic(date, sizeof date, wall_ms);
    headers_make(&h, &signed_request, NULL, NULL);
    buf_init(&q, MAX_BYTES);
    buf_init(&v, MAX_BYTES);
    if (r->query)
        buf_adds(&q, r->query);
    add_encoded(&q, "X-Amz-Algorithm", ALGORITHM);
    buf_addf(&v, "%s/%.8s/%s/%s/aws4_request", k->access_key, date, r->region, r->service);
    add_encoded(&q, "X-Amz-Credential", buf_str(&v));
    add_encoded(&q, "X-Amz-Date", date);
    snprintf(expires, sizeof expires, "%d", expires_s);
    if (!expires_last)
        add_encoded(&q, "X-Amz-Expires", expires);
    buf_reset(&v);
    headers_add_names(&h, &v);
    add_encoded(&q, "X-Amz-SignedHeaders", buf_str(&v));
    if (expires_last)
        add_encoded(&q, "X-Amz-Expires", expires);
    if (k->token)
        add_encoded(&q, "X-Amz-Security-Token", k->token);
    rc = q.overflow ? err_set(e, ERR_LIMIT, "a presigned query may not exceed %d bytes", MAX_BYTES)
                    : signature(&signed_request, buf_str(&q), &h, k, date, sig, e);
    if (rc == 0)
        buf_addf(url, "%s%s?%s&X-Amz-Signature=%s", r->host, r->path && *r->path ? r->path : "/",
                 buf_str(&q), sig);
    mem_free(host);
    buf_free(&q);
    buf_free(&v);
    headers_free(&h);
    return rc;
}

int sigv4_presign(const struct sigv4_request *r, const struct aws_keys *k, int64_t wall_ms,
                  int expires_s, struct buf *url, struct err *e)
{
    return presign(r, k, wall_ms, expires_s, false, url, e);
}

char *aws_rds_token(const char *host, int port, const char *user, const char *region,
                    const struct aws_keys *k, int64_t wall_ms, struct err *e)
{
    struct sigv4_request r = {.method = "GET", .path = "/", .service = "rds-db", .region = region};
    struct buf q, url;
    char *at = mem_printf("%s:%d", host, port), *token = NULL;

    buf_init(&q, MAX_BYTES);
    buf_init(&url, 2 * MAX_BYTES);
    buf_adds(&q, "Action=connect");
    add_encoded(&q, "DBUser", user);
    r.host = at;
    r.query = buf_str(&q);
    if (presign(&r, k, wall_ms, 900, true, &url, e) == 0)
        token = buf_take(&url);
    buf_free(&q);
    buf_free(&url);
    mem_free(at);
    return token;
}
