/* The outbox against a pager that answers as it is told: nothing lost, nothing out of order,
 * nothing held up. */
#include "help_outbox.h"

#include <sys/stat.h>

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

    f->answer_ms = 300;
    restart(f);
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

    f->answer_ms = 300;
    restart(f);
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
    f->pager.nanswers = 0; /* the pager is back */
    restart(f);
    wait_until_idle(f);
    taken_of(f, "E1", got, sizeof(got));
    assert_string_equal(got, "one;two;resolve;");
    assert_int_equal(open_rows(f), 0);
}

static const char *const three_keys[] = {"E1", "E2", "E3"};

/* Reports 0, 1, 2 ... of these keys in turn; what each key has to get, in order. */
static void reports_of(struct fixture *f, int from, int to, char want[3][4096])
{
    for (int n = from; n < to; n++) {
        char text[16];
        snprintf(text, sizeof(text), "r%d", n);
        report(f, n < 3 ? "trigger" : "human", three_keys[n % 3], text, false);
        snprintf(want[n % 3] + strlen(want[n % 3]), 20, "%s;", text);
    }
}

static void taken_in_order(struct fixture *f, char want[3][4096])
{
    char got[4096];

    wait_until_idle(f);
    for (int k = 0; k < 3; k++) {
        taken_of(f, three_keys[k], got, sizeof(got));
        assert_string_equal(got, want[k]);
    }
    assert_int_equal(open_rows(f), 0);
}

/* 48 hours are 576 attempts of each key at the longest backoff. Reports come all the time, and the
 * agent is restarted in between. */
static void a_pager_that_is_away_for_two_days(void **state)
{
    struct fixture *f = *state;
    char want[3][4096] = {"", "", ""};

    f->fast = true;
    restart(f);
    f->pager.always = 503;
    for (int n = 0; n < 150; n += 3) {
        reports_of(f, n, n + 3, want);
        if (n == 75)
            restart(f);
        for (int k = 0; k < 2000 && f->pager.nseen < 3 * 576 * (n + 3) / 150; k++)
            run_for(f->loop, 1);
    }
    assert_true(f->pager.nseen >= 3 * 576);
    assert_int_equal(outbox_pending(f->outbox), 150);
    f->pager.always = 0;
    taken_in_order(f, want);
}

/* More than is kept in memory stays in the journal, and goes out behind it, without a restart. */
static void what_is_too_much_for_memory_waits_in_the_journal(void **state)
{
    struct fixture *f = *state;
    char want[3][4096] = {"", "", ""};
    struct json *s;

    f->waiting_max = 10;
    restart(f);
    log_set_level(LOG_LVL_ERROR + 1);
    f->pager.always = 503;
    reports_of(f, 0, 36, want);
    s = outbox_status(f->outbox);
    assert_int_equal(json_get_int(json_at(json_get(s, "sinks"), 0), "waiting", 0), 10);
    json_free(s);
    assert_int_equal(open_rows(f), 36);
    f->pager.always = 0;
    for (int k = 0; k < 1000 && open_rows(f) > 0; k++)
        run_for(f->loop, 10);
    reports_of(f, 36, 39, want); /* as before */
    taken_in_order(f, want);
}

/* Killed between the pager's acceptance and the record of it: told once more, in its place. */
static void accepted_but_not_recorded_is_told_again_in_order(void **state)
{
    struct fixture *f = *state;
    char got[256];

    f->pager.answers[0] = SILENT; /* taken, the answer is lost */
    f->pager.nanswers = 1;
    report(f, "trigger", "E1", "one", false);
    report(f, "resolve", "E1", "two", false);
    for (int k = 0; k < 500 && f->pager.nseen < 1; k++)
        run_for(f->loop, 1);
    restart(f);
    wait_until_idle(f);
    taken_of(f, "E1", got, sizeof(got));
    assert_string_equal(got, "one;resolve;");
    assert_true(f->pager.nseen >= 3); /* "one" came twice */
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

static void a_shadow_file_that_cannot_be_written_is_named(void **state)
{
    struct fixture *f = *state;
    struct json *s;
    char want[160], *got;

    log_set_level(LOG_LVL_ERROR + 1);
    assert_int_equal(mkdir(f->shadow_file, 0700), 0);
    report(f, "note", "E1", "planned", true);
    run_for(f->loop, 100);
    s = outbox_status(f->outbox);
    got = json_print(s);
    snprintf(want, sizeof(want), "%s cannot be written: Is a directory", f->shadow_file);
    if (!strstr(got, want))
        fail_msg("no %s in %s", want, got);
    mem_free(got);
    json_free(s);
    assert_int_equal(rmdir(f->shadow_file), 0);
    wait_until_idle(f); /* tried again until it is taken */
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
    for (int k = 0; k < 32; k++)
        f->pager.answers[k] = 429;
    f->pager.nanswers = 32;
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
    struct json *config = json_new_map(), *pd = json_set(config, "pagerduty", json_new_map());
    struct err e = ERR_INIT;
    struct outbox_options o = {.loop = f->loop,
                               .http = f->http,
                               .journal = f->journal,
                               .now_ms = steady,
                               .host = "x",
                               .config = config};

    chmod(f->key_file, 0644);
    json_set_str(json_set(pd, "routing_key", json_new_map()), "file", f->key_file);
    assert_null(outbox_new(&o, &e));
    assert_int_equal(e.code, ERR_AUTH);
    json_free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_report_is_delivered_and_its_row_closed),
        TEST(faults_lose_nothing_and_keep_the_order),
        TEST(one_at_a_time_of_a_key),
        TEST(an_unknown_refusal_is_not_final),
        TEST(retry_after_is_honoured_up_to_the_ceiling),
        TEST(notes_are_change_events),
        TEST(a_restart_delivers_what_was_left_in_order),
        TEST(a_pager_that_is_away_for_two_days),
        TEST(what_is_too_much_for_memory_waits_in_the_journal),
        TEST(accepted_but_not_recorded_is_told_again_in_order),
        TEST(a_mark_that_cannot_be_written_is_tried_again),
        TEST(shadow_reports_never_reach_the_pager),
        TEST(a_shadow_file_that_cannot_be_written_is_named),
        TEST(an_emergency_needs_no_journal),
        TEST(an_emergency_overtakes_what_waits),
        TEST(a_key_that_others_can_read_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
