/* The outbox against a pager that answers as it is told: nothing lost, nothing out of order,
 * nothing held up. */
#include "help_io.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "report/outbox.h"
#include "world/memory_journal.h"

#define MAX_EVENTS 64

enum { RESET = -1, SILENT = -2, HANG = -3 };

/* The toy pager */
struct pager {
    struct server server;
    pthread_mutex_t lock;
    int answers[MAX_EVENTS], nanswers; /* for the first events that match, in order; then 202 */
    const char *only;   /* answers are for events with this text in them; NULL: all */
    const char *header; /* of every answer that is no 2xx */
    int matched;
    char *seen[MAX_EVENTS]; /* all that came, "ACTION KEY SUMMARY" */
    int codes[MAX_EVENTS], nseen;
    int taken; /* 2xx answers, for the loop to wait on */
};

struct fixture {
    struct loop *loop;
    struct resolver *resolver;
    struct http *http;
    struct memory_disk *disk;
    struct journal *journal;
    struct outbox *outbox;
    struct loop_timer *pump;
    struct pager pager;
    char dir[64], key_file[96], shadow_file[96];
    bool stalled;
    int row;
};

static void on_connection(struct server *s, int fd, int n)
{
    struct pager *p = (struct pager *)s;
    char text[65536], *body, answer[512];
    int code = 202;
    struct err e = ERR_INIT;
    struct json *j;

    (void)n;
    if (server_read_request(s, fd, text, sizeof(text)) == 0)
        return;
    body = strstr(text, "\r\n\r\n");
    j = json_parse(body + 4, strlen(body + 4), 65536, &e);
    pthread_mutex_lock(&p->lock);
    if (!p->only || strstr(body, p->only)) {
        if (p->matched < p->nanswers)
            code = p->answers[p->matched];
        p->matched++;
    }
    p->seen[p->nseen] = mem_printf(
        "%s %s %s",
        json_get_str(j, "event_action", strstr(text, "/v2/change/enqueue") ? "change" : "?"),
        json_get_str(j, "dedup_key", "-"), json_get_str(json_get(j, "payload"), "summary", "-"));
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
             "21\r\nConnection: close\r\n\r\n{\"message\": \"toy\"}   ",
             code, code >= 300 && p->header ? p->header : "");
    server_say(fd, answer);
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

static int64_t steady(void *arg)
{
    (void)arg;
    return now_ms();
}

static void open_outbox(struct fixture *f)
{
    struct json *pd = json_new_map(), *shadow = json_new_map();
    struct err e = ERR_INIT;
    struct outbox_options o = {.loop = f->loop,
                               .http = f->http,
                               .now_ms = steady,
                               .host = "ops-1",
                               .backoff_ms = 5,
                               .backoff_max_ms = 40,
                               .answer_ms = 300};

    json_set_str(json_set(pd, "routing_key", json_new_map()), "file", f->key_file);
    json_set_strf(pd, "url", "http://127.0.0.1:%d/v2/enqueue", f->pager.server.port);
    json_set_str(shadow, "file", f->shadow_file);
    f->journal = memory_journal_open(f->disk);
    o.journal = f->journal;
    o.pagerduty = pd;
    o.shadow = shadow;
    f->outbox = outbox_new(&o, &e);
    if (!f->outbox)
        fail_msg("%s", e.text);
    assert_int_equal(outbox_restore(f->outbox, &e), 0);
    json_free(pd);
    json_free(shadow);
}

static int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof(*f));
    struct err e = ERR_INIT;
    FILE *key;

    log_set_level(LOG_LVL_ERROR);
    strcpy(f->dir, "/tmp/rb-outbox-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->key_file, sizeof(f->key_file), "%s/key", f->dir);
    snprintf(f->shadow_file, sizeof(f->shadow_file), "%s/shadow", f->dir);
    key = fopen(f->key_file, "w");
    assert_non_null(key);
    fputs("0123456789abcdef0123456789abcdef\n", key);
    fclose(key);
    chmod(f->key_file, 0600);
    pthread_mutex_init(&f->pager.lock, NULL);
    server_start(&f->pager.server, on_connection);
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

static int teardown(void **state)
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
    for (int k = 0; k < f->pager.nseen; k++)
        mem_free(f->pager.seen[k]);
    unlink(f->key_file);
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
static void report(struct fixture *f, const char *kind, const char *key, const char *summary,
                   bool shadow)
{
    struct put p = {.f = f, .doc = json_new_map()};
    struct jtx *tx = jtx_new(now_ms(), now_ms());

    snprintf(p.row, sizeof(p.row), "%06d", f->row++);
    json_set_str(p.doc, "kind", kind);
    json_set_str(p.doc, "key", key);
    json_set_str(p.doc, "summary", summary);
    json_set_bool(p.doc, "shadow", shadow);
    jtx_put(tx, "report", p.row, json_copy(p.doc), true);
    f->journal->ops->submit(f->journal, tx, put_done, &p);
    run_until(f->loop, &p.done, 1, 2000);
    outbox_deliver(f->outbox, p.row, p.doc);
    json_free(p.doc);
}

static void wait_until_idle(struct fixture *f)
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

static int open_rows(struct fixture *f)
{
    struct err e = ERR_INIT;
    int n = 0;

    assert_int_equal(f->journal->ops->each_open(f->journal, "report", count, &n, &e), 0);
    return n;
}

/* Events of this key that were answered with 2xx, in order, repeats of the last left out. */
static void taken_of(struct fixture *f, const char *key, char *out, size_t size)
{
    *out = 0;
    for (int k = 0; k < f->pager.nseen; k++) {
        char seen_key[64] = "", summary[128] = "", action[32] = "";
        sscanf(f->pager.seen[k], "%31s %63s %127[^\n]", action, seen_key, summary);
        if (f->pager.codes[k] < 200 || f->pager.codes[k] >= 300 || strcmp(seen_key, key) != 0)
            continue;
        snprintf(out + strlen(out), size - strlen(out), "%s;",
                 strcmp(action, "resolve") == 0 ? "resolve" : summary);
    }
}

static void a_report_is_delivered_and_its_row_closed(void **state)
{
    struct fixture *f = *state;
    char got[256];

    report(f, "trigger", "E1", "one", false);
    assert_int_equal(open_rows(f), 1);
    wait_until_idle(f);
    taken_of(f, "E1", got, sizeof(got));
    assert_string_equal(got, "one;");
    assert_int_equal(f->pager.nseen, 1);
    assert_int_equal(open_rows(f), 0);
}

static void faults_lose_nothing_and_keep_the_order(void **state)
{
    static const int answers[] = {429, 500, RESET, SILENT, 503, HANG, 502};
    struct fixture *f = *state;
    char got[256];

    memcpy(f->pager.answers, answers, sizeof(answers));
    f->pager.nanswers = 7;
    f->pager.only = "\"E1\"";
    report(f, "trigger", "E1", "one", false);
    report(f, "human", "E1", "two", false);
    report(f, "resolve", "E1", "three", false);
    report(f, "trigger", "E2", "other", false); /* another key is not held up */
    for (int k = 0; k < 100 && f->pager.taken < 1; k++)
        run_for(f->loop, 2);
    taken_of(f, "E2", got, sizeof(got));
    assert_string_equal(got, "other;");
    taken_of(f, "E1", got, sizeof(got));
    assert_string_equal(got, "");
    wait_until_idle(f);
    taken_of(f, "E1", got, sizeof(got));
    assert_string_equal(got, "one;two;resolve;");
    assert_int_equal(open_rows(f), 0);
}

static void one_at_a_time_of_a_key(void **state)
{
    struct fixture *f = *state;
    char got[256];

    f->pager.only = "\"E1\"";
    f->pager.answers[0] = HANG;
    f->pager.nanswers = 1;
    report(f, "trigger", "E1", "one", false);
    report(f, "human", "E1", "two", false);
    for (int k = 0; k < 100 && f->pager.matched < 1; k++)
        run_for(f->loop, 1);
    report(f, "trigger", "E2", "other",
           false); /* its end gives others a turn, but not one that is being sent */
    report(f, "trigger", "E3", "other", false);
    run_for(f->loop, 100);
    assert_int_equal(f->pager.matched, 1);
    wait_until_idle(f);
    taken_of(f, "E1", got, sizeof(got));
    assert_string_equal(got, "one;two;");
}

static void what_is_refused_is_trimmed_once_then_given_up(void **state)
{
    struct fixture *f = *state;
    char got[256];

    log_set_level(LOG_LVL_ERROR + 1);
    f->pager.answers[0] = 400;
    f->pager.answers[1] = 400;
    f->pager.nanswers = 2;
    report(f, "trigger", "E1", "bad", false);
    report(f, "trigger", "E1", "good", false);
    wait_until_idle(f);
    taken_of(f, "E1", got, sizeof(got));
    assert_string_equal(got, "good;"); /* the dead one holds up no other */
    assert_int_equal(f->pager.nseen, 3);
    assert_int_equal(open_rows(f), 0);
    struct json *s = outbox_status(f->outbox);
    assert_int_equal(json_get_int(s, "dead", 0), 1);
    json_free(s);
}

static void a_refused_report_that_is_taken_when_trimmed_is_delivered(void **state)
{
    struct fixture *f = *state;
    char got[256];

    f->pager.answers[0] = 413;
    f->pager.nanswers = 1;
    report(f, "trigger", "E1", "long", false);
    wait_until_idle(f);
    taken_of(f, "E1", got, sizeof(got));
    assert_string_equal(got, "long;");
    struct json *s = outbox_status(f->outbox);
    assert_int_equal(json_get_int(s, "dead", 0), 0);
    json_free(s);
}

static void an_unknown_refusal_is_not_final(void **state)
{
    static const int answers[] = {403, 404, 301};
    struct fixture *f = *state;
    char got[256];

    memcpy(f->pager.answers, answers, sizeof(answers));
    f->pager.nanswers = 3;
    report(f, "trigger", "E1", "one", false);
    wait_until_idle(f);
    taken_of(f, "E1", got, sizeof(got));
    assert_string_equal(got, "one;");
}

static void retry_after_is_honoured_up_to_the_ceiling(void **state)
{
    struct fixture *f = *state;
    int64_t from = now_ms();

    /* It asks for an hour; the ceiling here is 40 ms. */
    f->pager.header = "Retry-After: 3600\r\n";
    f->pager.answers[0] = f->pager.answers[1] = 429;
    f->pager.nanswers = 2;
    report(f, "trigger", "E1", "one", false);
    wait_until_idle(f);
    assert_int_equal(f->pager.nseen, 3);
    assert_in_range(now_ms() - from, 80, 2000);
}

static void notes_are_change_events(void **state)
{
    struct fixture *f = *state;

    report(f, "note", "E1", "a note", false);
    wait_until_idle(f);
    assert_int_equal(f->pager.nseen, 1);
    assert_string_equal(f->pager.seen[0], "change - a note");
}

static void a_restart_delivers_what_was_left_in_order(void **state)
{
    struct fixture *f = *state;
    char got[256];

    for (int k = 0; k < 40; k++)
        f->pager.answers[k] = 500;
    f->pager.nanswers = 40;
    report(f, "trigger", "E1", "one", false);
    report(f, "human", "E1", "two", false);
    report(f, "resolve", "E1", "three", false);
    run_for(f->loop, 50);
    outbox_free(f->outbox);
    memory_journal_crash(f->journal);
    f->journal = NULL;
    f->pager.nanswers = 0; /* the pager is back */
    open_outbox(f);
    wait_until_idle(f);
    taken_of(f, "E1", got, sizeof(got));
    assert_string_equal(got, "one;two;resolve;");
    assert_int_equal(open_rows(f), 0);
}

static void a_mark_that_cannot_be_written_is_tried_again(void **state)
{
    struct fixture *f = *state;

    report(f, "trigger", "E1", "one", false);
    memory_disk_fail(f->disk, 1, MEMORY_LOST);
    memory_disk_fail(f->disk, 2, MEMORY_LOST);
    wait_until_idle(f);
    assert_int_equal(f->pager.nseen, 1); /* not sent again meanwhile */
    assert_int_equal(open_rows(f), 0);
}

static void shadow_reports_never_reach_the_pager(void **state)
{
    struct fixture *f = *state;
    char line[1024] = "", second[1024] = "";
    FILE *in;

    report(f, "trigger", "E1", "would act", true);
    report(f, "note", "E1", "forged\nline", true);
    wait_until_idle(f);
    assert_int_equal(f->pager.nseen, 0);
    in = fopen(f->shadow_file, "r");
    assert_non_null(in);
    assert_non_null(fgets(line, sizeof(line), in));
    assert_non_null(strstr(line, "would act"));
    assert_non_null(fgets(second, sizeof(second), in));
    assert_non_null(strstr(second, "forged\\nline"));
    assert_null(fgets(line, sizeof(line), in));
    fclose(in);
}

static void an_emergency_needs_no_journal(void **state)
{
    struct fixture *f = *state;
    char got[256];

    memory_journal_stall(f->journal, true);
    outbox_emergency(f->outbox, "the disk is full");
    outbox_emergency(f->outbox, "the disk is full"); /* said once */
    for (int k = 0; k < 200 && !outbox_emergency_sent(f->outbox); k++)
        run_for(f->loop, 5);
    assert_true(outbox_emergency_sent(f->outbox));
    taken_of(f, "runbookd/ops-1/emergency", got, sizeof(got));
    assert_string_equal(got, "the disk is full;");
    assert_int_equal(outbox_pending(f->outbox), 0);
    memory_journal_stall(f->journal, false);
    report(f, "note", "agent", "it works again", false);
    wait_until_idle(f);
    for (int k = 0; k < 100 && !outbox_emergency_sent(f->outbox); k++)
        run_for(f->loop, 5);
    taken_of(f, "runbookd/ops-1/emergency", got, sizeof(got));
    assert_string_equal(got, "the disk is full;resolve;");
}

static void an_emergency_overtakes_what_waits(void **state)
{
    struct fixture *f = *state;
    char got[256];

    f->pager.only = "\"E";
    f->pager.header = "Retry-After: 3600\r\n";
    for (int k = 0; k < MAX_EVENTS / 2; k++)
        f->pager.answers[k] = 429;
    f->pager.nanswers = MAX_EVENTS / 2;
    report(f, "trigger", "E1", "one", false);
    report(f, "trigger", "E2", "two", false);
    run_for(f->loop, 20);
    outbox_emergency(f->outbox, "now");
    for (int k = 0; k < 100 && !outbox_emergency_sent(f->outbox); k++)
        run_for(f->loop, 5);
    taken_of(f, "runbookd/ops-1/emergency", got, sizeof(got));
    assert_string_equal(got, "now;");
    f->pager.nanswers = 0;
    wait_until_idle(f);
}

static void a_key_that_others_can_read_is_refused(void **state)
{
    struct fixture *f = *state;
    struct json *pd = json_new_map();
    struct err e = ERR_INIT;
    struct outbox_options o = {.loop = f->loop,
                               .http = f->http,
                               .journal = f->journal,
                               .now_ms = steady,
                               .host = "x",
                               .pagerduty = pd};

    chmod(f->key_file, 0644);
    json_set_str(json_set(pd, "routing_key", json_new_map()), "file", f->key_file);
    assert_null(outbox_new(&o, &e));
    assert_int_equal(e.code, ERR_AUTH);
    json_free(pd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_report_is_delivered_and_its_row_closed),
        TEST(faults_lose_nothing_and_keep_the_order),
        TEST(one_at_a_time_of_a_key),
        TEST(what_is_refused_is_trimmed_once_then_given_up),
        TEST(a_refused_report_that_is_taken_when_trimmed_is_delivered),
        TEST(an_unknown_refusal_is_not_final),
        TEST(retry_after_is_honoured_up_to_the_ceiling),
        TEST(notes_are_change_events),
        TEST(a_restart_delivers_what_was_left_in_order),
        TEST(a_mark_that_cannot_be_written_is_tried_again),
        TEST(shadow_reports_never_reach_the_pager),
        TEST(an_emergency_needs_no_journal),
        TEST(an_emergency_overtakes_what_waits),
        TEST(a_key_that_others_can_read_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
