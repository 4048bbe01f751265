/* HTTP over libcurl's multi interface: curl gets addresses, never names; what must not happen twice
 * gets a connection of its own. */
#include "io/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/units.h"

#define SYSTEM_CA "/etc/ssl/certs/ca-certificates.crt"
#define HEADERS_MAX (128u << 10)
#define BODY_MAX (16u << 20)
#define CONNECT_MS 3000
#define TOTAL_MS 10000
#define IDLE_CONNECTIONS 32L

struct sock {
    struct http *http;
    struct event *ev;
    short what;
};

struct http {
    struct loop *loop;
    struct resolver *resolver;
    CURLM *multi;
    char *ca_file;
    struct loop_timer *timer;
    struct http_call *calls; /* all */
    struct http_call *done, **done_end;
};

enum phase { PHASE_WAIT, PHASE_NAME, PHASE_CURL, PHASE_DONE };

struct http_call {
    struct http *http;
    struct http_call *next, **prev;
    struct http_call *next_done;
    enum phase phase;
    struct resolve_call *resolving;
    struct loop_timer *deadline;
    int64_t total_ms, connect_ms, started_ms;
    CURL *easy;
    struct curl_slist *headers, *addresses;
    char *host, *shown; /* shown: the URL without user and query, for messages */
    char method[8];
    long port;
    void *request_body;
    struct buf body, answer_headers;
    bool mutating, by_status, too_large;
    char curl_text[CURL_ERROR_SIZE];
    struct http_answer answer;
    struct err err;
    http_fn *fn;
    void *arg;
};

static void run_done(struct http *h);

/* A call's life. */

static void call_free(struct http_call *c)
{
    resolve_cancel(c->resolving);
    loop_timer_free(c->deadline);
    if (c->easy) {
        curl_multi_remove_handle(c->http->multi, c->easy);
        curl_easy_cleanup(c->easy);
    }
    curl_slist_free_all(c->headers);
    curl_slist_free_all(c->addresses);
    *c->prev = c->next;
    if (c->next)
        c->next->prev = c->prev;
    mem_free(c->request_body);
    mem_free(c->host);
    mem_free(c->shown);
    buf_free(&c->body);
    buf_free(&c->answer_headers);
    mem_free(c);
}

static void call_done(struct http_call *c)
{
    struct http *h = c->http;
    resolve_cancel(c->resolving);
    c->resolving = NULL;
    loop_timer_stop(c->deadline);
    c->phase = PHASE_DONE;
    if (c->err.code)
        err_wrap(&c->err, "%s %s", c->method, c->shown ? c->shown : "(bad URL)");
    c->next_done = NULL;
    *h->done_end = c;
    h->done_end = &c->next_done;
}

/* Whether a byte of the request went out, and how far the exchange came. curl counts what send()
 * took. */
static const char *curl_phase(struct http_call *c, bool *left)
{
    long sent = 0;
    curl_off_t upload = 0, connect = 0, tls = 0, first = 0;
    curl_easy_getinfo(c->easy, CURLINFO_REQUEST_SIZE, &sent);
    curl_easy_getinfo(c->easy, CURLINFO_SIZE_UPLOAD_T, &upload);
    curl_easy_getinfo(c->easy, CURLINFO_CONNECT_TIME_T, &connect);
    curl_easy_getinfo(c->easy, CURLINFO_APPCONNECT_TIME_T, &tls);
    curl_easy_getinfo(c->easy, CURLINFO_STARTTRANSFER_TIME_T, &first);
    *left = sent > 0 || upload > 0;
    if (*left)
        return first ? "reading the answer" : "waiting for the answer";
    bool https = !strncmp(c->shown, "https:", 6);
    if (!connect) /* curl tells of the TCP connection only once TLS is up too */
        return https ? "connecting (TCP, TLS)" : "connecting";
    return https && !tls ? "TLS handshake" : "sending the request";
}

static void take_answer(struct http_call *c, long status)
{
    c->answer.status = (int)status;
    c->answer.request_left = true;
    c->answer.body = buf_str(&c->body);
    c->answer.body_len = c->body.len;
    c->answer.headers = &c->answer_headers;
}

/* Of a call that did not end well. */
static bool status_is_enough(const struct http_call *c, long status)
{
    return c->by_status && status >= 200 && status <= 999;
}

static void call_deadline(void *arg)
{
    struct http_call *c = arg;
    struct http *h = c->http;
    const char *phase = "looking up the name";
    bool left = false;
    long status = 0;
    if (c->phase == PHASE_CURL) {
        phase = curl_phase(c, &left);
        curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
        curl_multi_remove_handle(h->multi, c->easy);
        curl_easy_cleanup(c->easy);
        c->easy = NULL;
    }
    if (c->phase == PHASE_WAIT) {
        call_done(c); /* refused in http_send: the error is there */
    } else if (status_is_enough(c, status)) {
        take_answer(c, status);
        call_done(c);
    } else {
        c->answer.request_left = left;
        c->answer.no_address = c->phase == PHASE_NAME;
        err_set(&c->err, ERR_TIMEOUT, "%s: no end after %lld ms%s", phase, (long long)c->total_ms,
                left && c->mutating ? "; the request was sent, its effect is unknown" : "");
        call_done(c);
    }
    run_done(h);
}

static int curl_error(CURLcode code)
{
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        return ERR_TIMEOUT;
    case CURLE_PEER_FAILED_VERIFICATION:
        return ERR_AUTH;
    case CURLE_SSL_CERTPROBLEM: /* our own files, not the server's */
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return ERR_INPUT;
    case CURLE_FAILED_INIT:
    case CURLE_BAD_FUNCTION_ARGUMENT:
        return ERR_BUG;
    default:
        return ERR_IO;
    }
}

static void curl_ended(struct http_call *c, CURLcode code)
{
    long status = 0;
    bool left = true;
    const char *phase = curl_phase(c, &left);
    curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_multi_remove_handle(c->http->multi, c->easy);
    curl_easy_cleanup(c->easy);
    c->easy = NULL;
    c->answer.request_left = left;
    if (status_is_enough(c, status) ||
        (!c->too_large && code == CURLE_OK && status >= 100 && status <= 999)) {
        take_answer(c, status);
    } else if (c->too_large) {
        err_set(&c->err, ERR_LIMIT, "the answer is larger than %zu bytes", c->body.max);
    } else if (code == CURLE_OK) {
        err_set(&c->err, ERR_INPUT, "the answer is not HTTP");
    } else {
        err_set(&c->err, curl_error(code), "%s: %s", phase,
                c->curl_text[0] ? c->curl_text : curl_easy_strerror(code));
    }
    call_done(c);
}

static void take_ended(struct http *h)
{
    CURLMsg *m;
    int left;
    while ((m = curl_multi_info_read(h->multi, &left))) {
        if (m->msg != CURLMSG_DONE)
            continue;
        struct http_call *c = NULL;
        CURLcode code = m->data.result;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&c);
        curl_ended(c, code);
    }
    run_done(h);
}

static void run_done(struct http *h)
{
    while (h->done) {
        struct http_call *c = h->done;
        h->done = c->next_done;
        if (!h->done)
            h->done_end = &h->done;
        http_fn *fn = c->fn;
        c->fn = NULL;
        fn(c->arg, &c->answer, c->err.code ? &c->err : NULL);
        call_free(c);
    }
}

/* curl and the loop. */

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    struct sock *s = arg;
    struct http *h = s->http;
    int running,
        mask = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);
    curl_multi_socket_action(h->multi, fd, mask, &running);
    take_ended(h);
}

static int curl_wants_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *sock)
{
    (void)easy;
    struct http *h = arg;
    struct sock *s = sock;
    if (what == CURL_POLL_REMOVE) {
        if (s) {
            event_free(s->ev);
            mem_free(s);
            curl_multi_assign(h->multi, fd, NULL);
        }
        return 0;
    }
    short events = (short)(EV_PERSIST | (what & CURL_POLL_IN ? EV_READ : 0) |
                           (what & CURL_POLL_OUT ? EV_WRITE : 0));
    if (!s) {
        s = mem_alloc(sizeof *s);
        s->http = h;
        curl_multi_assign(h->multi, fd, s);
    } else if (s->what == events) {
        return 0;
    } else {
        event_free(s->ev);
    }
    s->what = events;
    s->ev = event_new(loop_base(h->loop), fd, events, on_socket, s);
    return s->ev && event_add(s->ev, NULL) == 0 ? 0 : -1;
}

static int curl_wants_timer(CURLM *multi, long after_ms, void *arg)
{
    (void)multi;
    struct http *h = arg;
    if (after_ms < 0)
        loop_timer_stop(h->timer);
    else
        loop_timer_set(h->timer, after_ms);
    return 0;
}

static void on_timer(void *arg)
{
    struct http *h = arg;
    int running;
    curl_multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    take_ended(h);
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
    struct http_call *c = arg;
    if (buf_add(&c->body, data, size * n)) {
        c->too_large = true;
        return 0;
    }
    return size * n;
}

static size_t on_header(char *data, size_t size, size_t n, void *arg)
{
    struct http_call *c = arg;
    size_t len = size * n, end = len;
    while (end > 0 && strchr("\r\n\t ", data[end - 1]))
        end--;
    const char *colon = memchr(data, ':', end);
    if (!strncmp(data, "HTTP/", len < 5 ? len : 5)) {
        buf_reset(&c->answer_headers); /* those before were of a 1xx answer */
        return len;
    }
    if (!colon || memchr(data, '\0', end))
        return len;
    const char *value = colon + 1;
    while (value < data + end && (*value == ' ' || *value == '\t'))
        value++;
    buf_add(&c->answer_headers, data, (size_t)(colon - data));
    buf_addc(&c->answer_headers, '\0');
    buf_add(&c->answer_headers, value, (size_t)(data + end - value));
    buf_addc(&c->answer_headers, '\0');
    if (c->answer_headers.overflow) {
        c->too_large = true;
        return 0;
    }
    return len;
}

/* Starting a call. */

/* curl asks before it would look a name up itself, on a thread that its clean-up joins for as long
 * as DNS hangs. */
static int refuse_lookup(void *state, void *reserved, void *arg)
{
    (void)state, (void)reserved, (void)arg;
    return 1;
}

static void on_address(void *arg, const char *address, const struct err *e)
{
    struct http_call *c = arg;
    c->resolving = NULL;
    if (e) {
        c->err = *e;
        c->answer.no_address = true;
        call_done(c);
        run_done(c->http);
        return;
    }
    if (strcmp(address, c->host)) {
        char *entry = mem_printf(strchr(address, ':') ? "%s:%ld:[%s]" : "%s:%ld:%s", c->host,
                                 c->port, address);
        c->addresses = curl_slist_append(NULL, entry);
        mem_free(entry);
        curl_easy_setopt(c->easy, CURLOPT_RESOLVE, c->addresses);
        curl_easy_setopt(c->easy, CURLOPT_RESOLVER_START_FUNCTION, refuse_lookup);
    }
    int64_t rest_ms = c->connect_ms - (loop_boot_ms(c->http->loop) - c->started_ms);
    curl_easy_setopt(c->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(rest_ms < 1 ? 1 : rest_ms));
    c->phase = PHASE_CURL;
    CURLMcode rc = curl_multi_add_handle(c->http->multi, c->easy);
    if (rc != CURLM_OK) {
        err_set(&c->err, ERR_BUG, "curl: %s", curl_multi_strerror(rc));
        call_done(c);
        run_done(c->http);
    }
}

/* Takes the URL apart: the host for the resolver, the shown form for messages. */
static int take_url(struct http_call *c, const char *url)
{
    int rc = ERR_INPUT;
    char *scheme = NULL, *host = NULL, *port = NULL, *user = NULL, *shown = NULL;
    CURLU *u = curl_url();
    CURLUcode uc = curl_url_set(u, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME);
    if (uc || curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) ||
        curl_url_get(u, CURLUPART_HOST, &host, 0) ||
        curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT)) {
        err_set(&c->err, ERR_INPUT,
                "not a usable URL%s%s; expected http://HOST/... or https://HOST/...",
                uc ? ": " : "", uc ? curl_url_strerror(uc) : "");
        goto out;
    }
    bool has_user = curl_url_get(u, CURLUPART_USER, &user, 0) == CURLUE_OK;
    curl_url_set(u, CURLUPART_USER, NULL, 0);
    curl_url_set(u, CURLUPART_PASSWORD, NULL, 0);
    curl_url_set(u, CURLUPART_QUERY, NULL, 0);
    curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0);
    if (curl_url_get(u, CURLUPART_URL, &shown, 0) == CURLUE_OK)
        c->shown = mem_strdup(shown);
    if (strcmp(scheme, "http") && strcmp(scheme, "https")) {
        err_set(&c->err, ERR_INPUT, "scheme \"%s\" is not allowed; expected http or https", scheme);
        goto out;
    }
    if (has_user) {
        err_set(&c->err, ERR_INPUT,
                "a user or password in a URL is not allowed; send it in a header");
        goto out;
    }
    size_t n = strlen(host);
    /* curl looks such a host up under another name than the one we give it */
    if (host[n - 1] == '.') {
        err_set(&c->err, ERR_INPUT, "a host that ends in a dot is not allowed");
        goto out;
    }
    c->host = host[0] == '[' && n > 2 ? mem_strndup(host + 1, n - 2) : mem_strdup(host);
    c->port = strtol(port, NULL, 10);
    rc = 0;
out:
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_free(user);
    curl_free(shown);
    curl_url_cleanup(u);
    return rc;
}

static int add_header(struct http_call *c, const char *name, const char *value)
{
    if (!name[0] || strpbrk(name, "\r\n:; \t") || strpbrk(value, "\r\n"))
        return err_set(&c->err, ERR_INPUT,
                       "header \"%.60s\" has characters that a header cannot have", name);
    char *line = value[0] ? mem_printf("%s: %s", name, value) : mem_printf("%s;", name);
    c->headers = curl_slist_append(c->headers, line);
    mem_free(line);
    return 0;
}

static int take_headers(struct http_call *c, const struct http_request *req)
{
    bool typed = false;
    for (size_t i = 0; i < req->nheaders; i++) {
        typed |= !strcasecmp(req->headers[i].name, "Content-Type");
        int rc = add_header(c, req->headers[i].name, req->headers[i].value);
        if (rc)
            return rc;
    }
    /* What curl would add by itself: a form's type; a wait for "100 Continue". */
    if (!typed)
        c->headers = curl_slist_append(c->headers, "Content-Type:");
    c->headers = curl_slist_append(c->headers, "Expect:");
    return 0;
}

static int take_method(struct http_call *c, const struct http_request *req)
{
    const char *m = req->method;
    if (!m || (strcmp(m, "GET") && strcmp(m, "POST") && strcmp(m, "PUT")))
        return err_set(&c->err, ERR_INPUT, "method \"%.20s\" is not GET, POST or PUT", m ? m : "");
    snprintf(c->method, sizeof c->method, "%s", m);
    if (!strcmp(m, "GET")) {
        if (req->body_len)
            return err_set(&c->err, ERR_INPUT, "a GET cannot have a body");
        curl_easy_setopt(c->easy, CURLOPT_HTTPGET, 1L);
        return 0;
    }
    c->request_body = mem_alloc(req->body_len + 1);
    if (req->body_len)
        memcpy(c->request_body, req->body, req->body_len);
    curl_easy_setopt(c->easy, CURLOPT_POST, 1L);
    curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)req->body_len);
    curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS, c->request_body);
    if (strcmp(m, "POST"))
        curl_easy_setopt(c->easy, CURLOPT_CUSTOMREQUEST, c->method);
    return 0;
}

static void set_options(struct http_call *c, const struct http_request *req)
{
    CURL *x = c->easy;
    curl_easy_setopt(x, CURLOPT_PRIVATE, c);
    curl_easy_setopt(x, CURLOPT_URL, req->url);
    curl_easy_setopt(x, CURLOPT_HTTPHEADER, c->headers);
    curl_easy_setopt(x, CURLOPT_ERRORBUFFER, c->curl_text);
    curl_easy_setopt(x, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(x, CURLOPT_WRITEDATA, c);
    curl_easy_setopt(x, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(x, CURLOPT_HEADERDATA, c);
    curl_easy_setopt(x, CURLOPT_USERAGENT, "runbookd/" RB_VERSION);
    curl_easy_setopt(x, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(x, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(x, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(x, CURLOPT_PROXY, ""); /* the environment's is not ours */
    curl_easy_setopt(x, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(x, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(x, CURLOPT_ACCEPT_ENCODING, NULL);
    curl_easy_setopt(x, CURLOPT_PATH_AS_IS, 1L); /* what was signed is what is sent */
    curl_easy_setopt(x, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(x, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(x, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(x, CURLOPT_SSL_VERIFYHOST, 2L);
    /* With a CAPATH the parsed bundle is not cached: 43 ms for each fresh connection, on the loop.
     */
    curl_easy_setopt(x, CURLOPT_CAINFO, req->ca_file ? req->ca_file : c->http->ca_file);
    curl_easy_setopt(x, CURLOPT_CAPATH, NULL);
    /* a replaced bundle counts within the hour */
    curl_easy_setopt(x, CURLOPT_CA_CACHE_TIMEOUT, 3600L);
    if (req->client_cert)
        curl_easy_setopt(x, CURLOPT_SSLCERT, req->client_cert);
    if (req->client_key)
        curl_easy_setopt(x, CURLOPT_SSLKEY, req->client_key);
    if (req->mutating) {
        /* On a kept connection that the server closes, libcurl sends a POST a second time and
         * reports success. */
        curl_easy_setopt(x, CURLOPT_FRESH_CONNECT, 1L);
        curl_easy_setopt(x, CURLOPT_FORBID_REUSE, 1L);
    }
}

struct http_call *http_send(struct http *h, const struct http_request *req, http_fn *fn, void *arg)
{
    struct http_call *c = mem_alloc(sizeof *c);
    c->http = h;
    c->fn = fn;
    c->arg = arg;
    c->started_ms = loop_boot_ms(h->loop);
    c->total_ms = req->total_ms > 0 ? req->total_ms : TOTAL_MS;
    c->connect_ms = req->connect_ms > 0 ? req->connect_ms : CONNECT_MS;
    if (c->connect_ms > c->total_ms)
        c->connect_ms = c->total_ms;
    c->mutating = req->mutating;
    c->by_status = req->by_status;
    c->answer.body = "";
    snprintf(c->method, sizeof c->method, "HTTP");
    buf_init(&c->body, req->max_body ? req->max_body : BODY_MAX);
    buf_init(&c->answer_headers, HEADERS_MAX);
    c->next = h->calls;
    c->prev = &h->calls;
    if (c->next)
        c->next->prev = &c->next;
    h->calls = c;
    c->deadline = loop_timer_new(h->loop, call_deadline, c);
    c->easy = curl_easy_init();
    if (!c->easy)
        err_set(&c->err, ERR_LIMIT, "curl has no memory");
    if (!c->easy || take_method(c, req) || take_url(c, req->url ? req->url : "") ||
        take_headers(c, req)) {
        c->phase = PHASE_WAIT;
        loop_timer_set(c->deadline, 0);
        return c;
    }
    set_options(c, req);
    c->phase = PHASE_NAME;
    loop_timer_set(c->deadline, c->total_ms);
    c->resolving = resolve(h->resolver, c->host, c->connect_ms, on_address, c);
    return c;
}

void http_cancel(struct http_call *c)
{
    if (!c)
        return;
    struct http *h = c->http;
    if (c->phase == PHASE_DONE) {
        struct http_call **p = &h->done;
        while (*p && *p != c)
            p = &(*p)->next_done;
        if (!*p)
            return; /* its callback is running: it frees itself */
        *p = c->next_done;
        for (h->done_end = &h->done; *h->done_end;)
            h->done_end = &(*h->done_end)->next_done;
    }
    call_free(c);
}

/* Making and freeing the client. */

static void global_init(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

struct http *http_new(struct loop *l, struct resolver *r, const char *ca_file, struct err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, global_init);
    struct http *h = mem_alloc(sizeof *h);
    h->loop = l;
    h->resolver = r;
    h->done_end = &h->done;
    h->ca_file = mem_strdup(ca_file ? ca_file : SYSTEM_CA);
    h->multi = curl_multi_init();
    h->timer = loop_timer_new(l, on_timer, h);
    if (!h->multi) {
        err_set(e, ERR_IO, "cannot make the HTTP client (curl)");
        http_free(h);
        return NULL;
    }
    if (access(h->ca_file, R_OK)) { /* else each connection would fail of it, the pager's too */
        err_set(e, ERR_IO, "the certificates that TLS trusts cannot be read: %s: %s", h->ca_file,
                strerror(errno));
        http_free(h);
        return NULL;
    }
    curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, curl_wants_socket);
    curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
    curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, curl_wants_timer);
    curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
    curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, IDLE_CONNECTIONS);
    return h;
}

void http_free(struct http *h)
{
    if (!h)
        return;
    while (h->calls)
        call_free(h->calls);
    if (h->multi)
        curl_multi_cleanup(h->multi);
    loop_timer_free(h->timer);
    mem_free(h->ca_file);
    mem_free(h);
}

/* Reading an answer. */

const char *http_answer_header(const struct http_answer *a, const char *name)
{
    if (!a->headers || !a->headers->len)
        return NULL;
    const char *p = a->headers->data, *end = p + a->headers->len;
    while (p < end) {
        const char *value = p + strlen(p) + 1;
        if (!strcasecmp(p, name))
            return value;
        p = value + strlen(value) + 1;
    }
    return NULL;
}

long http_retry_after_s(const struct http_answer *a, int64_t wall_ms)
{
    const char *v = http_answer_header(a, "Retry-After");
    int64_t when_ms;
    if (!v)
        return -1;
    if (v[0] && strspn(v, "0123456789") == strlen(v))
        return strlen(v) > 9 ? 999999999L : strtol(v, NULL, 10);
    if (time_parse_http(v, &when_ms))
        return -1;
    return when_ms <= wall_ms ? 0 : (long)((when_ms - wall_ms + 999) / 1000);
}
