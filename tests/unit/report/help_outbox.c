/* The toy pager and webhook, and an outbox over a journal in memory. */
#include "help_outbox.h"

#include <sys/socket.h>

static void on_connection(struct server *s, int fd, int n)
{
    struct pager *p = (struct pager *)s;
    char text[65536], *body, answer[512];
    int code;
    const char *id;
    struct err e = ERR_INIT;
    struct json *j;
    const struct json *data;

    (void)n;
    if (server_read_request(s, fd, text, sizeof(text)) == 0)
        return;
    body = strstr(text, "\r\n\r\n");
    j = json_parse(body + 4, strlen(body + 4), 65536, &e);
    data = json_get(j, "data"); /* of the webhook */
    pthread_mutex_lock(&p->lock);
    code = p->always ? p->always : 202;
    if (!p->only || strstr(body, p->only)) {
        if (p->matched < p->nanswers)
            code = p->answers[p->matched];
        p->matched++;
    }
    id = strcasestr(text, "webhook-id: ");
    assert_true(p->nseen < MAX_EVENTS);
    snprintf(p->ids[p->nseen], sizeof(p->ids[0]), "%.*s", id ? (int)strcspn(id + 12, "\r") : 0,
             id ? id + 12 : "");
    p->seen[p->nseen] =
        data ? mem_printf("%s %s %s", json_get_str(data, "kind", "?"),
                          json_get_str(data, "key", "-"), json_get_str(data, "summary", "-"))
             : mem_printf("%s %s %s",
                          json_get_str(j, "event_action",
                                       strstr(text, "/v2/change/enqueue") ? "change" : "?"),
                          json_get_str(j, "dedup_key", "-"),
                          json_get_str(json_get(j, "payload"), "summary", "-"));
    p->codes[p->nseen++] = code;
    pthread_mutex_unlock(&p->lock);
    json_free(j);
    if (code == RESET) {
        server_reset(fd);
        return;
    }
    if (code == SILENT)
        return; /* closed without an answer: accepted, perhaps */
    if (code == HANG) {
        server_linger(s, fd);
        return;
    }
    snprintf(answer, sizeof(answer),
             "HTTP/1.1 %d x\r\n%sContent-Type: application/json\r\nContent-Length: "
             "%d\r\nConnection: close\r\n\r\n{\"message\": \"toy\"}   ",
             code, code >= 300 && p->header ? p->header : "", 21 + p->blanks);
    server_say(fd, answer);
    for (int k = 0; k < p->blanks; k++)
        (void)send(fd, " ", 1, MSG_NOSIGNAL | MSG_MORE);
    if (code < 300) {
        pthread_mutex_lock(&p->lock);
        p->taken++;
        pthread_mutex_unlock(&p->lock);
    }
}

static void on_pump(void *arg)
{
    struct fixture *f = arg;

    if (f->journal)
        memory_journal_pump(f->journal);
    loop_timer_set(f->pump, 1);
}

int64_t steady(void *arg)
{
    (void)arg;
    return now_ms();
}

static void open_outbox(struct fixture *f)
{
    struct json *config = json_new_map(), *pd = json_set(config, "pagerduty", json_new_map()),
                *hook, *shadow = json_new_map();
    struct err e = ERR_INIT;
    struct outbox_options o = {.loop = f->loop,
                               .http = f->http,
                               .now_ms = steady,
                               .host = "ops-1",
                               .backoff_ms = 5,
                               .backoff_max_ms = 40,
                               .waiting_max = f->waiting_max,
                               .answer_ms = f->answer_ms ? f->answer_ms : 5000};

    json_set_str(json_set(pd, "routing_key", json_new_map()), "file", f->key_file);
    json_set_strf(pd, "url", "http://127.0.0.1:%d/v2/enqueue", f->pager.server.port);
    if (f->fast) {
        o.backoff_ms = 1;
        o.backoff_max_ms = 5;
    }
    if (f->hooked) {
        hook = json_set(config, "webhook", json_new_map());
        json_set_str(json_set(hook, "secret", json_new_map()), "file", f->secret_file);
        json_set_strf(hook, "url", "http://127.0.0.1:%d/hook", f->hook.server.port);
    }
    json_set_str(shadow, "file", f->shadow_file);
    f->journal = memory_journal_open(f->disk);
    o.journal = f->journal;
    o.config = config;
    o.shadow = shadow;
    f->outbox = outbox_new(&o, &e);
    if (!f->outbox)
        fail_msg("%s", e.text);
    assert_int_equal(outbox_restore(f->outbox, &e), 0);
    json_free(config);
    json_free(shadow);
}

void write_secret(const char *path, const char *text)
{
    FILE *out = fopen(path, "w");

    assert_non_null(out);
    fputs(text, out);
    fclose(out);
    chmod(path, 0600);
}

int outbox_setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof(*f));
    struct err e = ERR_INIT;

    log_set_level(LOG_LVL_ERROR);
    strcpy(f->dir, "/tmp/rb-outbox-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->key_file, sizeof(f->key_file), "%s/key", f->dir);
    snprintf(f->shadow_file, sizeof(f->shadow_file), "%s/shadow", f->dir);
    write_secret(f->key_file, "0123456789abcdef0123456789abcdef\n");
    snprintf(f->secret_file, sizeof(f->secret_file), "%s/secret", f->dir);
    write_secret(f->secret_file, "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n");
    pthread_mutex_init(&f->pager.lock, NULL);
    pthread_mutex_init(&f->hook.lock, NULL);
    server_start(&f->pager.server, on_connection);
    server_start(&f->hook.server, on_connection);
    f->loop = loop_new(&e);
    f->resolver = resolver_new(f->loop, NULL, &e);
    f->http = http_new(f->loop, f->resolver, NULL, &e);
    assert_non_null(f->http);
    f->disk = memory_disk_new();
    f->pump = loop_timer_new(f->loop, on_pump, f);
    loop_timer_set(f->pump, 1);
    open_outbox(f);
    *state = f;
    return 0;
}

int outbox_teardown(void **state)
{
    struct fixture *f = *state;

    outbox_free(f->outbox);
    f->journal->ops->close(f->journal);
    f->journal = NULL;
    loop_timer_free(f->pump);
    run_for(f->loop, 20);
    http_free(f->http);
    resolver_free(f->resolver);
    loop_free(f->loop);
    memory_disk_free(f->disk);
    server_stop(&f->pager.server);
    server_stop(&f->hook.server);
    for (int k = 0; k < f->pager.nseen; k++)
        mem_free(f->pager.seen[k]);
    for (int k = 0; k < f->hook.nseen; k++)
        mem_free(f->hook.seen[k]);
    unlink(f->key_file);
    unlink(f->secret_file);
    unlink(f->shadow_file);
    rmdir(f->dir);
    mem_free(f);
    return 0;
}

struct put {
    struct fixture *f;
    char row[32];
    struct json *doc;
    int done;
};

static void put_done(void *arg, const char *denied, const struct err *e)
{
    struct put *p = arg;

    (void)denied;
    (void)e;
    p->done = 1;
}

/* As the engine does: the row is durable, then it is delivered. */
void report(struct fixture *f, const char *kind, const char *key, const char *summary, bool shadow)
{
    struct put p = {.f = f, .doc = json_new_map()};
    struct jtx *tx = jtx_new(now_ms(), now_ms());

    snprintf(p.row, sizeof(p.row), "%06d", f->row++);
    json_set_str(p.doc, "id", p.row);
    json_set_str(p.doc, "kind", kind);
    json_set_str(p.doc, "key", key);
    json_set_str(p.doc, "summary", summary);
    json_set_str(p.doc, "target", "toy/1");
    json_set_str(p.doc, "policy", "not to\nbe trusted");
    json_set_bool(p.doc, "shadow", shadow);
    jtx_put(tx, "report", p.row, json_copy(p.doc), true);
    f->journal->ops->submit(f->journal, tx, put_done, &p);
    run_until(f->loop, &p.done, 1, 2000);
    outbox_deliver(f->outbox, p.row, p.doc);
    json_free(p.doc);
}

void wait_until_idle(struct fixture *f)
{
    for (int k = 0; k < 300 && outbox_pending(f->outbox) > 0; k++)
        run_for(f->loop, 10);
    assert_int_equal(outbox_pending(f->outbox), 0);
}

static bool count(void *arg, const char *key, const struct json *doc)
{
    (void)key;
    (void)doc;
    ++*(int *)arg;
    return true;
}

int open_rows(struct fixture *f)
{
    struct err e = ERR_INIT;
    int n = 0;

    assert_int_equal(f->journal->ops->each_open(f->journal, "report", count, &n, &e), 0);
    return n;
}

/* Events of this key that were answered with 2xx, in order, repeats of the last left out: what was
 * accepted without an answer that arrived is told once more, and the other side merges it. */
void taken_of_sink(struct pager *p, const char *key, char *out, size_t size)
{
    char last[256] = "";

    *out = 0;
    pthread_mutex_lock(&p->lock);
    for (int k = 0; k < p->nseen; k++) {
        char seen_key[64] = "", summary[128] = "", action[32] = "", now[256];
        sscanf(p->seen[k], "%31s %63s %127[^\n]", action, seen_key, summary);
        if ((p->codes[k] != SILENT && (p->codes[k] < 200 || p->codes[k] >= 300)) ||
            strcmp(seen_key, key) != 0)
            continue;
        snprintf(now, sizeof(now), "%s;", strcmp(action, "resolve") == 0 ? "resolve" : summary);
        if (strcmp(now, last) != 0)
            snprintf(out + strlen(out), size - strlen(out), "%s", now);
        strcpy(last, now);
    }
    pthread_mutex_unlock(&p->lock);
}

void taken_of(struct fixture *f, const char *key, char *out, size_t size)
{
    taken_of_sink(&f->pager, key, out, size);
}

void restart(struct fixture *f)
{
    outbox_free(f->outbox);
    memory_journal_crash(f->journal);
    f->journal = NULL;
    while (f->pager.server.busy > 0 ||
           f->hook.server.busy > 0) /* what was on its way has arrived */
        run_for(f->loop, 2);
    open_outbox(f);
}

void with_webhook(struct fixture *f)
{
    f->hooked = true;
    restart(f);
}
