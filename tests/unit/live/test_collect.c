/* The collector host with collectors that do as they are told: cadence, deadlines, backoff,
 * complaints, reloads. */
#include "help_io.h"

#include <stdio.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "world/collect.h"

/* A toy collector: what it does at a poll is in a table by source. */
struct toy {
    const struct collector_host *h;
    char source[64];
    const struct watch *const *watches;
    size_t n;
    struct loop_timer *timer;
};

enum how { DONE, REFUSE, DONE_AT_ONCE, FAIL, HANG };
static struct behaviour {
    char source[64];
    enum how how;
    int polls, opens, closes, cancels, migrates;
    size_t watched;
} behaviours[8];
static bool keep_on_migrate = true;
static int refuse_open;

static struct behaviour *of(const char *source)
{
    size_t k = 0;

    while (k < 7 && behaviours[k].source[0] && strcmp(behaviours[k].source, source) != 0)
        k++;
    snprintf(behaviours[k].source, sizeof(behaviours[k].source), "%s", source);
    return &behaviours[k];
}

static int toy_source(const struct signal *g, const struct target *t, const struct estate *e,
                      char *out, size_t size, struct err *err)
{
    (void)g;
    (void)e;
    if (json_get_bool(t->fields, "lame", false))
        return err_set(err, ERR_INPUT, "%s lacks a host", t->id);
    snprintf(out, size, "%s", t->id);
    return 0;
}

static void finish(void *arg)
{
    struct toy *t = arg;
    struct err e = ERR_INIT;

    if (of(t->source)->how == FAIL) {
        err_set(&e, ERR_IO, "no route");
        t->h->failed(t->h, &e);
        return;
    }
    for (size_t k = 0; k < t->n; k++)
        t->h->sample(t->h, t->watches[k], 1000, 0, 42);
    if (t->n > 0)
        t->h->note(t->h, t->watches[0], "by the left one");
    if (of(t->source)->how == REFUSE)
        t->h->refused(t->h, t->watches[0], "it has no such field");
    t->h->done(t->h);
}

static void *toy_open(const struct collector_host *h, const struct estate *e, const char *source,
                      struct err *err)
{
    struct toy *t;

    (void)e;
    of(source)->opens++;
    if (refuse_open > 0) {
        refuse_open--;
        err_set(err, ERR_AUTH, "not yet");
        return NULL;
    }
    t = mem_alloc(sizeof(*t));
    t->h = h;
    snprintf(t->source, sizeof(t->source), "%s", source);
    t->timer = loop_timer_new(h->io->loop, finish, t);
    return t;
}

static void toy_watch(void *self, const struct watch *const *watches, size_t n)
{
    struct toy *t = self;

    t->watches = watches;
    t->n = n;
    of(t->source)->watched = n;
}

static void toy_poll(void *self)
{
    struct toy *t = self;
    struct behaviour *b = of(t->source);

    b->polls++;
    if (b->how == DONE_AT_ONCE)
        finish(t);
    else if (b->how != HANG)
        loop_timer_set(t->timer, 1);
}

static void toy_cancel(void *self)
{
    struct toy *t = self;

    loop_timer_stop(t->timer);
    of(t->source)->cancels++;
}

static void toy_close(void *self)
{
    struct toy *t = self;

    of(t->source)->closes++;
    loop_timer_free(t->timer);
    mem_free(t);
}

static bool toy_migrate(void *self, const struct estate *e)
{
    struct toy *t = self;

    (void)e;
    of(t->source)->migrates++;
    return keep_on_migrate;
}

static const struct signal toy_signals[] = {
    {.name = "toy", .unit = UNIT_NUMBER, .targets = "postgres", .default_interval_ms = 100}};
static struct collector_type toy_type = {.name = "toy",
                                         .signals = toy_signals,
                                         .nsignals = 1,
                                         .deadline_ms = 60,
                                         .source = toy_source,
                                         .open = toy_open,
                                         .watch = toy_watch,
                                         .poll = toy_poll,
                                         .cancel = toy_cancel,
                                         .close = toy_close,
                                         .migrate = toy_migrate};
const struct collector_type *const collector_types[] = {&toy_type, NULL};
const size_t collector_types_len = 1;
const struct action_type *const action_types[] = {NULL};
const size_t action_types_len = 0;

struct fixture {
    struct loop *loop;
    struct collect *collect;
    struct host_io io;
    int samples, unknowns, flushes, changes;
    char why[160], note[160], lost[4][200];
    struct estate *estate;
    struct series *series[8];
    size_t n;
};

static int warnings, infos;
static char last_log[512];

static void sink(enum log_level level, const char *part, const char *text, void *arg)
{
    (void)arg;
    if (strcmp(part, "collect") != 0)
        return;
    warnings += level == LOG_LVL_WARN;
    infos += level == LOG_LVL_INFO;
    snprintf(last_log, sizeof(last_log), "%s", text);
}

static void on_sample(void *arg, uint64_t series, int64_t start, int64_t period, double value)
{
    struct fixture *f = arg;

    (void)start;
    (void)period;
    assert_true(series > 0);
    assert_true(value > 41 && value < 43);
    f->samples++;
}

static void on_unknown(void *arg, uint64_t series, const char *why)
{
    struct fixture *f = arg;

    (void)series;
    f->unknowns++;
    snprintf(f->why, sizeof(f->why), "%s", why);
}

static void on_note(void *arg, uint64_t series, const char *text)
{
    struct fixture *f = arg;

    assert_true(f->samples > 0);
    snprintf(f->note, sizeof(f->note), "%d: %s", (int)series, text);
}

static void on_lost(void *arg, uint64_t series, const char *why)
{
    struct fixture *f = arg;

    assert_in_range(series, 1, 3);
    snprintf(f->lost[series], sizeof(f->lost[series]), "%s", why ? why : "");
}

static void on_flush(void *arg)
{
    struct fixture *f = arg;

    f->flushes++;
}

static void on_change(void *arg)
{
    struct fixture *f = arg;

    f->changes++;
}

static struct estate *estate_of(const char *host, bool lame)
{
    struct estate *e = estate_new();
    struct err err = ERR_INIT;
    static const char *const names[] = {"a", "b"};

    for (size_t k = 0; k < 2; k++) {
        struct json *fields = json_new_map();
        json_set_str(fields, "host", k == 0 ? host : "other");
        if (lame && k == 1)
            json_set_bool(fields, "lame", true);
        assert_int_equal(
            estate_add(e, "postgres", names[k], json_new_map(), fields, MODE_ENFORCE, "f", 1, &err),
            0);
    }
    return e;
}

static void add_series(struct fixture *f, const char *target, const char *opt)
{
    struct json *opts = json_new_map();

    json_set_str(opts, "filter", opt);
    f->series[f->n] =
        series_new(&toy_signals[0], estate_find(f->estate, "postgres", target), f->estate, opts);
    f->series[f->n]->id = f->n + 1;
    f->series[f->n]->interval_ms = 100;
    f->n++;
    json_free(opts);
}

static int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof(*f));
    struct err e = ERR_INIT;
    struct collect_feed feed = {on_sample, on_note, on_unknown, on_lost, on_flush, f};

    memset(behaviours, 0, sizeof(behaviours));
    keep_on_migrate = true;
    toy_type.alone = false;
    refuse_open = warnings = infos = 0;
    log_set_sink(sink, NULL);
    f->loop = loop_new(&e);
    f->io.loop = f->loop;
    f->collect = collect_new(f->loop, &f->io, &feed);
    collect_on_change(f->collect, on_change, f);
    f->estate = estate_of("one", false);
    add_series(f, "a", "1");
    add_series(f, "a", "2");
    add_series(f, "b", "1");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    collect_free(f->collect);
    run_for(f->loop, 5);
    loop_free(f->loop);
    for (size_t k = 0; k < f->n; k++)
        series_free(f->series[k]);
    estate_unref(f->estate);
    for (int k = 0; k < 7; k++)
        if (behaviours[k].opens)
            assert_int_equal(behaviours[k].opens, behaviours[k].closes);
    log_set_sink(NULL, NULL);
    mem_free(f);
    return 0;
}

static void one_instance_a_source_at_its_interval(void **state)
{
    struct fixture *f = *state;

    collect_watch(f->collect, f->estate, f->series, f->n);
    run_for(f->loop, 560);
    assert_int_equal(of("postgres/a")->opens, 1);
    assert_int_equal(of("postgres/a")->watched, 2);
    assert_int_equal(of("postgres/b")->watched, 1);
    assert_in_range(of("postgres/a")->polls, 2, 6); /* fewer when the machine is busy, never more */
    assert_in_range(f->samples, 3 * 2, 3 * 6);
    assert_non_null(strstr(f->note, ": by the left one"));
    /* one flush for the polls that ended in one turn, never more than polls */
    assert_true(f->flushes > 0 && f->flushes <= of("postgres/a")->polls + of("postgres/b")->polls);
    assert_true(collect_settled(f->collect));
    assert_int_equal(warnings, 0);
}

static void a_dead_source_delays_no_other(void **state)
{
    struct fixture *f = *state;

    of("postgres/a")->how = HANG;
    collect_watch(f->collect, f->estate, f->series, f->n);
    run_for(f->loop, 500);
    assert_true(of("postgres/a")->cancels >= 1); /* at its deadline */
    assert_in_range(of("postgres/b")->polls, 2, 6);
    assert_int_equal(warnings, 1); /* said once, then at growing intervals */
    assert_non_null(strstr(last_log, "no answer within 60ms"));
}

/* Of one target, one series hangs: the other keeps its pace, over a reload, too. */
static void a_slow_series_that_is_alone_delays_no_other(void **state)
{
    struct fixture *f = *state;
    struct behaviour *slow = NULL, *quick = NULL;

    toy_type.alone = true;
    collect_watch(f->collect, f->estate, f->series, f->n);
    run_for(f->loop, 20);
    for (size_t k = 0; k < 3; k++) {
        assert_int_equal(behaviours[k].watched, 1);
        if (strncmp(behaviours[k].source, "postgres/a#", 11) == 0 && slow == NULL)
            slow = &behaviours[k];
        else if (strncmp(behaviours[k].source, "postgres/a#", 11) == 0)
            quick = &behaviours[k];
    }
    if (slow == NULL || quick == NULL) {
        fail_msg("only one of the two is watched");
        return;
    }
    slow->how = HANG;
    collect_watch(f->collect, f->estate, f->series, f->n);
    run_for(f->loop, 500);
    assert_true(slow->cancels >= 1 && slow->polls < quick->polls);
    assert_in_range(quick->polls, 2, 7);
    assert_int_equal(quick->opens, 1);
}

static void a_failing_source_backs_off_and_its_recovery_is_said_once(void **state)
{
    struct fixture *f = *state;
    int polls;

    of("postgres/a")->how = FAIL;
    collect_watch(f->collect, f->estate, f->series, f->n);
    run_for(f->loop, 1200);
    polls = of("postgres/a")->polls;
    /* 100, 200, 400, 800 ms less jitter: at 100 ms flat it would be 12 */
    assert_in_range(polls, 2, 6);
    assert_int_equal(warnings, 1);
    /* Each of its series is told of why, another source's are not. */
    assert_non_null(strstr(f->lost[1], "no route"));
    assert_string_equal(f->lost[2], f->lost[1]);
    assert_string_equal(f->lost[3], "");
    of("postgres/a")->how = DONE;
    for (int k = 0; k < 200 && !infos; k++)
        run_for(f->loop, 10);
    for (int k = 0; k < 200 && of("postgres/a")->polls < polls + 2; k++)
        run_for(f->loop, 10);
    assert_int_equal(infos, 1);
    assert_non_null(strstr(last_log, "answers again"));
    assert_string_equal(f->lost[1], "");
    assert_true(of("postgres/a")->polls >= polls + 2); /* back at its interval */
}

static const struct json *row_of(const struct json *rows, const char *source)
{
    const struct json *r = json_first(rows);

    while (r != NULL && strcmp(json_get_str(r, "source", ""), source) != 0)
        r = json_next(r);
    assert_non_null(r);
    return r;
}

/* The source answers, and says that one question is wrong: its others keep their cadence, and what
 * is wrong is to be seen. */
static void a_refused_question_is_shown_and_delays_no_other(void **state)
{
    struct fixture *f = *state;
    struct json *rows;
    const struct json *row;

    of("postgres/a")->how = REFUSE;
    collect_watch(f->collect, f->estate, f->series, f->n);
    run_for(f->loop, 1200);
    assert_true(of("postgres/a")->polls >= 8); /* each 100 ms */
    assert_int_equal(warnings, 1);
    assert_non_null(strstr(last_log, "sig.toy of postgres/a: it has no such field"));
    assert_string_equal(f->lost[1], "");
    rows = collect_status(f->collect);
    row = row_of(rows, "postgres/a");
    assert_string_equal(json_get_str(row, "state", ""), "refused");
    assert_int_equal(json_get_int(row, "refused", 0), 1);
    assert_string_equal(json_get_str(row, "error", ""),
                        "sig.toy of postgres/a: it has no such field");
    assert_string_equal(json_get_str(row_of(rows, "postgres/b"), "state", ""), "ok");
    json_free(rows);
    of("postgres/a")->how = DONE;
    for (int k = 0; k < 200 && !infos; k++)
        run_for(f->loop, 10);
    assert_int_equal(infos, 1);
    rows = collect_status(f->collect);
    row = row_of(rows, "postgres/a");
    assert_string_equal(json_get_str(row, "state", ""), "ok");
    assert_null(json_get(row, "error"));
    json_free(rows);
}

static void an_open_that_fails_is_tried_again(void **state)
{
    struct fixture *f = *state;

    f->n = 1;
    refuse_open = 2;
    collect_watch(f->collect, f->estate, f->series, 1);
    for (int k = 0; k < 300 && !f->samples; k++)
        run_for(f->loop, 10);
    assert_int_equal(of("postgres/a")->opens, 3);
    assert_true(f->samples > 0);
    of("postgres/a")->opens -= 2; /* what was never open is never closed */
    f->n = 3;
}

static void done_from_inside_poll_is_fine(void **state)
{
    struct fixture *f = *state;

    of("postgres/a")->how = DONE_AT_ONCE;
    collect_watch(f->collect, f->estate, f->series, f->n);
    run_for(f->loop, 300);
    assert_in_range(of("postgres/a")->polls, 1, 4);
}

static void what_did_not_change_is_kept_over_a_reload(void **state)
{
    struct fixture *f = *state;
    struct estate *next = estate_of("two", false);

    collect_watch(f->collect, f->estate, f->series, f->n);
    run_for(f->loop, 150);
    collect_watch(f->collect, next, f->series, f->n);
    for (int k = 0; k < 300 && (of("postgres/a")->opens < 2 || of("postgres/b")->migrates < 1); k++)
        run_for(f->loop, 10);
    assert_int_equal(of("postgres/a")->opens, 2); /* its host changed */
    assert_int_equal(of("postgres/a")->closes, 1);
    assert_int_equal(of("postgres/b")->opens, 1);
    assert_int_equal(of("postgres/b")->migrates, 1);
    for (int k = 0; k < 300 && f->changes < 2; k++)
        run_for(f->loop, 10);
    assert_int_equal(f->changes, 2);
    estate_unref(next);
}

static void a_collector_that_cannot_migrate_is_opened_anew(void **state)
{
    struct fixture *f = *state;
    struct estate *next = estate_of("one", false);

    keep_on_migrate = false;
    collect_watch(f->collect, f->estate, f->series, f->n);
    run_for(f->loop, 150);
    collect_watch(f->collect, next, f->series, f->n);
    for (int k = 0; k < 300 && of("postgres/b")->opens < 2; k++)
        run_for(f->loop, 10);
    assert_int_equal(of("postgres/b")->opens, 2);
    estate_unref(next);
}

static void a_change_in_the_middle_of_a_poll_waits_for_its_end(void **state)
{
    struct fixture *f = *state;
    int polls, cancels;

    collect_watch(f->collect, f->estate, f->series, 1);
    for (int k = 0; k < 100 && of("postgres/a")->polls == 0; k++)
        run_for(f->loop, 1);
    of("postgres/a")->how = HANG;
    polls = of("postgres/a")->polls;
    for (int k = 0; k < 1000 && of("postgres/a")->polls == polls; k++)
        run_for(f->loop, 1);
    cancels = of("postgres/a")->cancels; /* a poll hangs now */
    collect_watch(f->collect, f->estate, f->series, 2);
    for (int k = 0; k < 1000 && of("postgres/a")->cancels == cancels; k++) {
        assert_int_equal(of("postgres/a")->watched, 1);
        run_for(f->loop, 1);
    }
    run_for(f->loop, 20);
    assert_int_equal(of("postgres/a")->watched, 2); /* after its deadline */
}

static void what_is_no_longer_wanted_is_closed(void **state)
{
    struct fixture *f = *state;

    of("postgres/b")->how = HANG;
    collect_watch(f->collect, f->estate, f->series, f->n);
    run_for(f->loop, 30);
    collect_watch(f->collect, f->estate, f->series, 2);
    run_for(f->loop, 10);
    assert_int_equal(of("postgres/b")->closes, 1);
    assert_int_equal(of("postgres/a")->closes, 0);
}

static void a_target_that_lacks_something_is_unknown_with_the_reason(void **state)
{
    struct fixture *f = *state;
    struct estate *lame = estate_of("one", true);

    collect_watch(f->collect, lame, f->series, f->n);
    run_for(f->loop, 50);
    assert_int_equal(f->unknowns, 1);
    assert_non_null(strstr(f->why, "lacks a host"));
    estate_unref(lame);
}

static void a_target_that_is_gone_is_unknown(void **state)
{
    struct fixture *f = *state;
    struct estate *empty = estate_new();

    collect_watch(f->collect, empty, f->series, f->n);
    run_for(f->loop, 50);
    assert_int_equal(f->unknowns, 3);
    estate_unref(empty);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_instance_a_source_at_its_interval),
        TEST(a_dead_source_delays_no_other),
        TEST(a_slow_series_that_is_alone_delays_no_other),
        TEST(a_failing_source_backs_off_and_its_recovery_is_said_once),
        TEST(a_refused_question_is_shown_and_delays_no_other),
        TEST(an_open_that_fails_is_tried_again),
        TEST(done_from_inside_poll_is_fine),
        TEST(what_did_not_change_is_kept_over_a_reload),
        TEST(a_collector_that_cannot_migrate_is_opened_anew),
        TEST(a_change_in_the_middle_of_a_poll_waits_for_its_end),
        TEST(what_is_no_longer_wanted_is_closed),
        TEST(a_target_that_lacks_something_is_unknown_with_the_reason),
        TEST(a_target_that_is_gone_is_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
