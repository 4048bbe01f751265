/* Several sinks, and those that refuse, want no more or are away for days. */
#include "help_outbox.h"

static const char loss[] =
    "pagerduty did not take a report of runbookd about toy/1: trigger E1: HTTP 400, toy;";

static void what_is_refused_is_given_up_and_told(void **state)
{
    struct fixture *f = *state;
    char got[256];

    log_set_level(LOG_LVL_ERROR + 1);
    f->pager.answers[0] = 400;
    f->pager.nanswers = 1;
    report(f, "trigger", "E1", "bad", false);
    report(f, "trigger", "E1", "good", false);
    wait_until_idle(f);
    taken_of(f, "E1", got, sizeof(got));
    assert_string_equal(got, "good;"); /* the dead one holds up no other */
    taken_of(f, "runbookd/ops-1/reports", got, sizeof(got));
    assert_string_equal(got, loss);
    assert_int_equal(f->pager.nseen, 3); /* a 400 is not tried again */
    assert_int_equal(open_rows(f), 0);
    struct json *s = outbox_status(f->outbox);
    assert_int_equal(json_get_int(s, "dead", 0), 1);
    json_free(s);
}

static void a_loss_is_told_over_the_other_sink_also_after_a_crash(void **state)
{
    struct fixture *f = *state;
    char got[256];

    log_set_level(LOG_LVL_ERROR + 1);
    with_webhook(f);
    f->pager.always = 400; /* every one of them, that of the loss, too */
    f->hook.always = 503;  /* away until after the restart */
    report(f, "trigger", "E1", "bad", false);
    for (int k = 0; k < 500 && f->pager.nseen < 2; k++)
        run_for(f->loop, 2);
    run_for(f->loop, 20);
    assert_int_equal(f->pager.nseen, 2); /* the report and its loss, not the loss of that */
    f->hook.always = 0;
    restart(f);
    wait_until_idle(f);
    assert_int_equal(f->pager.nseen, 2); /* what was given up stays given up */
    taken_of_sink(&f->hook, "E1", got, sizeof(got));
    assert_string_equal(got, "bad;");
    taken_of_sink(&f->hook, "runbookd/ops-1/reports", got, sizeof(got));
    assert_string_equal(got, loss);
    assert_int_equal(open_rows(f), 0);
}

static void a_refused_note_pages_nobody(void **state)
{
    struct fixture *f = *state;

    log_set_level(LOG_LVL_ERROR + 1);
    f->pager.always = 400;
    report(f, "note", "E1", "a note", false);
    wait_until_idle(f);
    run_for(f->loop, 30);
    assert_int_equal(f->pager.nseen, 1);
    assert_int_equal(open_rows(f), 0);
}

static void a_new_routing_key_is_taken_up_after_a_refusal(void **state)
{
    struct fixture *f = *state;
    char got[256];

    f->pager.answers[0] = 400;
    f->pager.nanswers = 1;
    write_secret(f->key_file, "fedcba9876543210fedcba9876543210\n");
    report(f, "trigger", "E1", "one", false);
    wait_until_idle(f);
    taken_of(f, "E1", got, sizeof(got));
    assert_string_equal(got, "one;");
    assert_int_equal(f->pager.nseen, 2);
}

static void what_is_too_large_is_taken_when_trimmed(void **state)
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

static void what_is_taken_is_taken_however_long_the_answer(void **state)
{
    struct fixture *f = *state;
    char got[256];

    with_webhook(f);
    f->pager.blanks = f->hook.blanks = 100000;
    report(f, "trigger", "E1", "once", false);
    wait_until_idle(f);
    taken_of(f, "E1", got, sizeof(got));
    assert_string_equal(got, "once;");
    taken_of_sink(&f->hook, "E1", got, sizeof(got));
    assert_string_equal(got, "once;");
    assert_int_equal(f->pager.nseen + f->hook.nseen, 2);
    assert_int_equal(open_rows(f), 0);
}

static void each_sink_gets_it_and_none_waits_for_the_other(void **state)
{
    struct fixture *f = *state;
    char got[256];

    with_webhook(f);
    f->hook.always = 503;
    report(f, "trigger", "E1", "one", false);
    report(f, "resolve", "E1", "two", false);
    for (int k = 0; k < 500 && f->pager.taken < 2; k++)
        run_for(f->loop, 2);
    taken_of(f, "E1", got, sizeof(got));
    assert_string_equal(got, "one;resolve;");
    run_for(f->loop, 50); /* marked: the webhook still waits */
    assert_int_equal(open_rows(f), 2);
    restart(f);
    f->hook.always = 0;
    wait_until_idle(f);
    taken_of_sink(&f->hook, "E1", got, sizeof(got));
    assert_string_equal(got, "one;resolve;");
    assert_int_equal(f->pager.nseen, 2); /* who had it is not told again */
    assert_int_equal(open_rows(f), 0);
}

/* The id is the same at each attempt, also after a restart, and no two reports share one. */
static void the_webhooks_id_outlives_retries_and_restarts(void **state)
{
    struct fixture *f = *state;
    char first[64];

    with_webhook(f);
    f->hook.always = 500;
    report(f, "trigger", "E1", "one", false);
    for (int k = 0; k < 500 && f->hook.nseen < 3; k++)
        run_for(f->loop, 2);
    restart(f);
    f->hook.always = 0;
    wait_until_idle(f);
    strcpy(first, f->hook.ids[0]);
    assert_int_equal(strlen(first), 36);
    assert_memory_equal(first, "msg_", 4);
    for (int k = 0; k < f->hook.nseen; k++)
        assert_string_equal(f->hook.ids[k], first);
    report(f, "resolve", "E1", "two", false);
    wait_until_idle(f);
    assert_string_not_equal(f->hook.ids[f->hook.nseen - 1], first);
}

static void who_is_gone_gets_nothing_more_and_that_is_told(void **state)
{
    struct fixture *f = *state;
    char got[256];
    int seen;

    log_set_level(LOG_LVL_ERROR + 1);
    with_webhook(f);
    f->hook.always = 410;
    report(f, "trigger", "E1", "one", false);
    wait_until_idle(f);
    for (int k = 0; k < 200 && f->pager.taken < 2; k++)
        run_for(f->loop, 2);
    taken_of(f, "runbookd/ops-1/reports", got, sizeof(got));
    assert_string_equal(
        got,
        "webhook wants no more reports of runbookd and gets none until a restart: HTTP 410, toy;");
    seen = f->hook.nseen;
    report(f, "resolve", "E1", "two", false);
    wait_until_idle(f);
    assert_int_equal(f->hook.nseen, seen);
    taken_of(f, "E1", got, sizeof(got));
    assert_string_equal(got, "one;resolve;");
    assert_int_equal(open_rows(f), 0);
}

/* Both ways, once an outage, and its end. */
static void an_outage_is_told_to_those_that_are_not_away(void **state)
{
    struct fixture *f = *state;
    char got[512];

    log_set_level(LOG_LVL_ERROR + 1);
    with_webhook(f);
    f->pager.always = 503;
    report(f, "trigger", "E1", "one", false);
    for (int k = 0; k < 1000 && f->hook.taken < 2; k++)
        run_for(f->loop, 2);
    run_for(f->loop, 200);
    taken_of_sink(&f->hook, "runbookd/ops-1/pagerduty", got, sizeof(got));
    assert_string_equal(
        got, "pagerduty takes no reports of runbookd: HTTP 503, toy; 1 wait and are tried again;");
    assert_int_equal(f->hook.taken, 2); /* once */
    f->pager.always = 0;
    wait_until_idle(f);
    for (int k = 0; k < 500 && f->hook.taken < 3; k++)
        run_for(f->loop, 2);
    taken_of_sink(&f->hook, "runbookd/ops-1/pagerduty", got, sizeof(got));
    assert_non_null(strstr(got, ";resolve;"));
    taken_of(f, "runbookd/ops-1/pagerduty", got, sizeof(got));
    assert_string_equal(got, "");
}

/* Two days at the agent's pace (at most 5 min apart) are here 2.9 s (at most 5 ms apart). */
static void a_pager_that_is_away_for_48_hours_loses_nothing(void **state)
{
    enum { KEYS = 3, EACH = 8 };
    struct fixture *f = *state;
    char got[1024];
    int64_t until;

    f->fast = true;
    restart(f);
    until = now_ms() + 2880;
    for (int n = 0; n < EACH; n++) {
        f->pager.always = n % 3 == 0 ? 503 : n % 3 == 1 ? 429 : RESET;
        for (int k = 0; k < KEYS; k++) {
            char key[16], text[16];
            snprintf(key, sizeof(key), "E%d", k);
            snprintf(text, sizeof(text), "%d", n);
            report(f, n == 0 ? "trigger" : n == EACH - 1 ? "resolve" : "human", key, text, false);
        }
        if (n == EACH / 2)
            restart(f);
        run_for(f->loop, 2880 / EACH);
    }
    while (now_ms() < until)
        run_for(f->loop, 10);
    assert_int_equal(f->pager.taken, 0);
    f->pager.always = 0;
    wait_until_idle(f);
    for (int k = 0; k < KEYS; k++) {
        char key[16];
        snprintf(key, sizeof(key), "E%d", k);
        taken_of(f, key, got, sizeof(got));
        assert_string_equal(got, "0;1;2;3;4;5;6;resolve;");
    }
    assert_int_equal(open_rows(f), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_refused_is_given_up_and_told),
        TEST(a_loss_is_told_over_the_other_sink_also_after_a_crash),
        TEST(a_refused_note_pages_nobody),
        TEST(a_new_routing_key_is_taken_up_after_a_refusal),
        TEST(what_is_too_large_is_taken_when_trimmed),
        TEST(what_is_taken_is_taken_however_long_the_answer),
        TEST(each_sink_gets_it_and_none_waits_for_the_other),
        TEST(the_webhooks_id_outlives_retries_and_restarts),
        TEST(who_is_gone_gets_nothing_more_and_that_is_told),
        TEST(an_outage_is_told_to_those_that_are_not_away),
        TEST(a_pager_that_is_away_for_48_hours_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
