/* Discovery against a scripted AWS and a journal that fails to order: when a listing counts, when
 * it does not, and what is known meanwhile. */
#include "../aws/help_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/call.h"
#include "base/log.h"
#include "base/mem.h"
#include "plugin/action.h"
#include "plugin/collector.h"
#include "world/discover.h"
#include "world/memory_journal.h"

const struct collector_type *const collector_types[] = {NULL};
const size_t collector_types_len = 0;
const struct action_type *const action_types[] = {NULL};
const size_t action_types_len = 0;

#define PAGES_MAX 200 /* of a listing: discover.c */

#define MEMBER(name)                                                                               \
    "<member><AutoScalingGroupName>" name                                                          \
    "</AutoScalingGroupName><Tags><member><Key>team</Key><Value>web</Value></member></Tags>"       \
    "</member>"
#define PAGE(members, token)                                                                       \
    {                                                                                              \
        SAY, 200, NULL,                                                                            \
            "<DescribeAutoScalingGroupsResponse><DescribeAutoScalingGroupsResult>"                 \
            "<AutoScalingGroups>" members "</AutoScalingGroups>" token                             \
            "</DescribeAutoScalingGroupsResult></DescribeAutoScalingGroupsResponse>",              \
            NULL, NULL                                                                             \
    }
#define NEXT(token) "<NextToken>" token "</NextToken>"
#define TWO PAGE(MEMBER("web-1") MEMBER("web-2"), "")
#define NONE PAGE("", "")
#define DENIED                                                                                     \
    {                                                                                              \
        SAY, 403, NULL,                                                                            \
            "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error>"         \
            "</ErrorResponse>",                                                                    \
            NULL, NULL                                                                             \
    }

struct fixture {
    struct world w;
    struct server s;
    struct aws *aws;
    struct host_io io;
    struct memory_disk *disk;
    struct journal *journal;
    struct loop_timer *pump;
    bool stalled; /* the journal completes nothing */
    struct discover *d;
    struct estate *declared;
    struct json *rows;
    int changes, worries, pumps;
    char worry[512];
};

static struct aws *the_client(void *arg, const char *name, struct err *e)
{
    (void)name;
    (void)e;
    return ((struct fixture *)arg)->aws;
}

static int64_t steady(void *arg)
{
    return loop_boot_ms(((struct fixture *)arg)->w.loop);
}

static void on_change(void *arg, const char *worry)
{
    struct fixture *f = arg;

    f->changes++;
    if (worry) {
        f->worries++;
        snprintf(f->worry, sizeof(f->worry), "%s", worry);
    }
}

static void on_pump(void *arg)
{
    struct fixture *f = arg;

    f->pumps++;
    if (!f->stalled)
        memory_journal_pump(f->journal);
    loop_timer_set(f->pump, 2);
}

static void declare(struct fixture *f, int64_t every_ms)
{
    struct json *row;

    json_free(f->rows);
    f->rows = json_new_list();
    if (every_ms) {
        row = json_add(f->rows, json_new_map());
        json_set_str(row, "kind", "asg");
        json_set_str(row, "aws", "prod");
        json_set_str(json_set(row, "tag", json_new_map()), "team", "web");
        json_set_str(row, "mode", "enforce");
        json_set_int(row, "every", every_ms);
        json_set_str(row, "file", "estate.lua");
        json_set_int(row, "line", 3);
    }
    discover_rows(f->d, f->rows, f->declared);
}

static void start(struct fixture *f)
{
    struct err e = ERR_INIT;

    f->d = discover_new(
        &(struct discover_options){f->w.loop, &f->io, f->journal, steady, on_change, f});
    assert_int_equal(discover_restore(f->d, &e), 0);
}

static void open_fixture(struct fixture *f, const struct line *script, size_t n)
{
    struct json *fields = json_new_map();
    struct err e = ERR_INIT;

    memset(f, 0, sizeof(*f));
    log_set_level(LOG_LVL_ERROR);
    clear_environment();
    setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
    server_start(&f->s, script, n);
    world_open(&f->w);
    f->aws = aws_new(&(struct aws_options){.loop = f->w.loop,
                                           .http = f->w.http,
                                           .name = "prod",
                                           .region = "us-east-1",
                                           .endpoint = f->s.url},
                     &e);
    assert_non_null(f->aws);
    f->io = (struct host_io){.loop = f->w.loop, .http = f->w.http, .aws = the_client, .arg = f};
    f->disk = memory_disk_new();
    f->journal = memory_journal_open(f->disk);
    f->pump = loop_timer_new(f->w.loop, on_pump, f);
    loop_timer_set(f->pump, 2);
    f->declared = estate_new();
    json_set_str(fields, "region", "us-east-1");
    assert_int_equal(estate_add(f->declared, "aws", "prod", json_new_map(), fields, MODE_ENFORCE,
                                "estate.lua", 1, &e),
                     0);
    start(f);
}

#define OPEN(f, script) open_fixture(f, script, sizeof(script) / sizeof((script)[0]))

static void close_fixture(struct fixture *f)
{
    f->journal->ops->close(f->journal);
    discover_free(f->d);
    loop_timer_free(f->pump);
    aws_free(f->aws);
    world_close(&f->w);
    server_stop(&f->s);
    memory_disk_free(f->disk);
    estate_unref(f->declared);
    json_free(f->rows);
}

/* The row's status; the number of a field, or its text in `text`. */
static int64_t status(struct fixture *f, const char *field, char text[512])
{
    struct json *list = discover_status(f->d);
    const struct json *row = json_at(list, 0);
    int64_t n = json_get_int(row, field, -1);

    if (text)
        snprintf(text, 512, "%s", json_get_str(row, field, ""));
    json_free(list);
    return n;
}

static void is(struct fixture *f, const char *field, const char *want)
{
    char got[512];

    status(f, field, got);
    if (strcmp(got, want) != 0)
        fail_msg("%s: %s, not %s", field, got, want);
}

static void until(struct fixture *f, const char *field, int64_t n)
{
    for (int k = 0; k < 2000 && status(f, field, NULL) < n; k++)
        world_wait(&f->w, 5);
    assert_true(status(f, field, NULL) >= n);
}

static bool count_one(void *arg, const char *key, const struct json *doc)
{
    (void)key;
    (void)doc;
    ++*(int *)arg;
    return true;
}

static int journaled(struct fixture *f) /* listings that a start would find */
{
    struct err e = ERR_INIT;
    int n = 0;

    assert_int_equal(f->journal->ops->each_open(f->journal, "listing", count_one, &n, &e), 0);
    return n;
}

/* What the estate says of a found target; -1: it is none. */
static int listed(struct fixture *f, const char *name, bool *partial)
{
    struct estate *e = discover_estate(f->d, f->rows, f->declared);
    const struct target *t = estate_find(e, "asg", name);
    int how = t ? (int)t->listed : -1;

    if (partial)
        *partial = estate_partial(e);
    estate_unref(e);
    return how;
}

/* The next page is the one that was just read, or there is always another: what was known stays. */
static void pages_that_do_not_end(void **state)
{
    static const struct line same[] = {TWO, PAGE(MEMBER("web-1"), NEXT("a"))};
    static struct line turns[PAGES_MAX + 2];
    static const struct line a = PAGE(MEMBER("web-1"), NEXT("a")),
                             b = PAGE(MEMBER("web-2"), NEXT("b")), two = TWO;

    (void)state;
    turns[0] = two;
    for (int k = 1; k < PAGES_MAX + 2; k++)
        turns[k] = k % 2 ? a : b;
    for (int many = 0; many < 2; many++) {
        struct fixture f;
        if (many)
            OPEN(&f, turns);
        else
            OPEN(&f, same);
        declare(&f, 60000);
        world_run(&f.w, &f.changes, 1, 5000);
        declare(&f, 1);
        declare(&f, 60000);
        until(&f, "failures", 1);
        is(&f, "error", "the pages of DescribeAutoScalingGroups do not end");
        assert_int_equal(f.s.requests, 1 + (many ? PAGES_MAX : 2));
        assert_int_equal(f.changes, 1);
        is(&f, "listed", "complete");
        assert_int_equal(status(&f, "members", NULL), 2);
        assert_int_equal(listed(&f, "web-2", NULL), LISTED);
        close_fixture(&f);
    }
}

/* What a restart would not know does not count: not one that is new, and not one that changes. */
static void a_listing_that_cannot_be_journaled(void **state)
{
    static const struct line script[] = {TWO, TWO, PAGE(MEMBER("web-1"), "")};
    bool partial = false;
    struct fixture f;

    (void)state;
    OPEN(&f, script);
    memory_disk_fail(f.disk, 1, MEMORY_LOST);
    memory_disk_fail(f.disk, 3, MEMORY_LOST);
    declare(&f, 300);
    until(&f, "failures", 1);
    is(&f, "error",
       "what was listed cannot be journaled, so it does not count: commit 1 failed, as told");
    is(&f, "listed", "unsure");
    assert_int_equal(f.changes, 0);
    assert_int_equal(listed(&f, "web-1", &partial), -1);
    assert_true(partial);
    assert_true(discover_settled(f.d)); /* nobody waits for it at the start */
    world_run(&f.w, &f.changes, 1, 5000);
    assert_int_equal(status(&f, "failures", NULL), 0);
    assert_int_equal(listed(&f, "web-1", &partial), LISTED);
    assert_false(partial);
    assert_int_equal(journaled(&f), 1);
    until(&f, "failures", 1); /* web-2 is absent, and that cannot be written */
    assert_int_equal(f.changes, 1);
    assert_int_equal(listed(&f, "web-2", NULL), LISTED);
    world_run(&f.w, &f.changes, 2, 5000);
    assert_int_equal(listed(&f, "web-2", NULL), LISTED_ABSENT);
    close_fixture(&f);
}

/* Seldomer from failure to failure, up to its pace; then at its pace again. What it will do is
 * asked, not waited for. */
static void what_fails_is_asked_seldomer(void **state)
{
    static const struct line script[] = {DENIED, DENIED, DENIED, DENIED, DENIED, DENIED, TWO};
    static const int64_t most_ms[] = {5000, 10000, 20000, 40000, 60000, 60000};
    const int n = sizeof(most_ms) / sizeof(most_ms[0]);
    struct fixture f;

    (void)state;
    OPEN(&f, script);
    for (int k = 0; k <= n; k++) {
        int64_t next_ms;
        declare(&f, 1);     /* the next is at once, */
        declare(&f, 60000); /* and goes by this when it ends */
        if (k < n)
            until(&f, "failures", k + 1);
        else
            world_run(&f.w, &f.changes, 1, 5000);
        next_ms = status(&f, "next_ms", NULL);
        if (k == n && (next_ms < 59000 || next_ms > 60000 || status(&f, "failures", NULL) != 0))
            fail_msg("after an answer: %lld ms", (long long)next_ms);
        if (k < n && (next_ms > most_ms[k] || next_ms < most_ms[k] * 3 / 4 - 500))
            fail_msg("after %d failures: %lld ms", k + 1, (long long)next_ms);
    }
    close_fixture(&f);
}

/* Told once, and written once; the targets stay, held; what comes back is believed at once. */
static void a_listing_that_becomes_empty(void **state)
{
    static const struct line script[] = {TWO, NONE, NONE, NONE, NONE, NONE, TWO};
    uint64_t commits;
    struct fixture f;

    (void)state;
    OPEN(&f, script);
    declare(&f, 50);
    world_run(&f.w, &f.changes, 2, 5000);
    assert_int_equal(f.worries, 1);
    assert_string_equal(f.worry,
                        "discover.asg of prod team=web lists nothing, after 2 targets before: that "
                        "is not believed, and nothing acts on them. If they are gone, take the "
                        "line out (estate.lua:3) and reload");
    is(&f, "listed", "empty");
    assert_int_equal(listed(&f, "web-1", NULL), LISTED_EMPTY);
    assert_int_equal(listed(&f, "web-2", NULL), LISTED_EMPTY);
    commits = memory_disk_commits(f.disk);
    world_run(&f.w, (const int *)&f.s.requests, 5, 5000);
    assert_int_equal(f.changes, 2); /* and no news in that */
    assert_int_equal(memory_disk_commits(f.disk), commits);
    world_run(&f.w, &f.changes, 3, 5000);
    assert_int_equal(f.worries, 1);
    assert_int_equal(listed(&f, "web-1", NULL), LISTED);
    close_fixture(&f);
}

static void an_empty_listing_is_old_news_after_a_start(void **state)
{
    static const struct line script[] = {TWO, NONE};
    struct fixture f;

    (void)state;
    OPEN(&f, script);
    declare(&f, 50);
    world_run(&f.w, &f.changes, 2, 5000);
    assert_int_equal(f.worries, 1);
    discover_free(f.d);
    start(&f);
    declare(&f, 50);
    assert_int_equal(listed(&f, "web-1", NULL), LISTED_UNSURE);
    world_run(&f.w, &f.changes, 3, 5000);
    assert_int_equal(f.worries, 1);
    assert_int_equal(listed(&f, "web-1", NULL), LISTED_EMPTY);
    close_fixture(&f);
}

/* After a reload: while it waits, while it is listed, while it is written, and one that only the
 * journal knows. Its row is closed, and nothing is heard of it any more. */
static void a_discover_that_is_no_longer_wanted(void **state)
{
    static const struct line answers[] = {TWO}, silence[] = {{SILENT, 0, NULL, NULL, NULL, NULL}};
    enum { WAITS, LISTS, WRITES, RESTORED };

    (void)state;
    for (int when = WAITS; when <= RESTORED; when++) {
        struct fixture f;
        struct json *list;
        int requests;
        if (when == LISTS)
            OPEN(&f, silence);
        else
            OPEN(&f, answers);
        f.stalled = when == WRITES;
        declare(&f, when == RESTORED ? 60000 : 50);
        if (when == WAITS || when == RESTORED)
            world_run(&f.w, &f.changes, 1, 5000);
        else
            world_run(&f.w, (const int *)&f.s.requests, 1, 5000);
        if (when == WRITES)
            for (int k = 0; k < 1000 && !memory_journal_pending(f.journal); k++)
                world_wait(&f.w, 5);
        assert_int_equal(memory_journal_pending(f.journal), when == WRITES);
        if (when == WAITS || when == RESTORED)
            assert_int_equal(journaled(&f), 1);
        if (when == RESTORED) {
            discover_free(f.d);
            start(&f);
        }
        declare(&f, 0);
        requests = f.s.requests;
        f.changes = 0;
        f.stalled = false;
        world_wait(&f.w, 120);
        assert_int_equal(f.s.requests, requests);
        assert_int_equal(f.changes, 0);
        assert_int_equal(journaled(&f), 0);
        list = discover_status(f.d);
        assert_int_equal(json_len(list), 0);
        json_free(list);
        assert_int_equal(listed(&f, "web-1", NULL), -1);
        close_fixture(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_that_do_not_end),
        cmocka_unit_test(a_listing_that_cannot_be_journaled),
        cmocka_unit_test(what_fails_is_asked_seldomer),
        cmocka_unit_test(a_listing_that_becomes_empty),
        cmocka_unit_test(an_empty_listing_is_old_news_after_a_start),
        cmocka_unit_test(a_discover_that_is_no_longer_wanted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
