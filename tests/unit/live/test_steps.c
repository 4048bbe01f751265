/* The action host: one completion each, whatever the action does. */
#include "help_io.h"

#include "base/log.h"
#include "base/mem.h"
#include "plugin/collector.h"
#include "world/steps.h"

enum how { ANSWER, ANSWER_AT_ONCE, HANG, LATE };
static enum how how;
static enum applied outcome;
static int started, cancelled, late;
static struct action_call *held;

static void finish(void *arg)
{
    struct action_call *c = arg;
    struct err e = ERR_INIT;

    if (how == LATE)
        late++;
    if (c->call)
        c->applied(c, outcome, json_new_map(),
                   outcome == APPLIED_OK ? NULL : (err_set(&e, ERR_IO, "reset"), &e));
    else
        c->observed(c, json_new_map(), NULL);
}

static void begin(struct action_call *c)
{
    started++;
    held = c;
    if (how == ANSWER)
        loop_defer(c->io->loop, finish, c);
    else if (how == ANSWER_AT_ONCE)
        finish(c);
}

static void end(struct action_call *c)
{
    cancelled++;
    if (how == LATE)
        finish(c); /* against the contract: it must do no harm */
}

static const struct action_type toy = {
    .name = "toy", .observe = begin, .apply = begin, .cancel = end};

const struct collector_type *const collector_types[] = {NULL};
const size_t collector_types_len = 0;
const struct action_type *const action_types[] = {&toy, NULL};
const size_t action_types_len = 1;

struct fixture {
    struct loop *loop;
    struct steps *steps;
    struct host_io io;
    struct estate *estate;
    struct json *opts, *call;
    struct world_step step;
    bool frozen;
    int observed, applied;
    uint64_t ticket;
    enum applied how;
    int code;
};

static void on_observed(void *arg, uint64_t ticket, struct json *seen, const struct err *e)
{
    struct fixture *f = arg;

    f->observed++;
    f->ticket = ticket;
    f->code = e ? e->code : 0;
    json_free(seen);
}

static void on_applied(void *arg, uint64_t ticket, enum applied h, struct json *out,
                       const struct err *e)
{
    struct fixture *f = arg;

    f->applied++;
    f->ticket = ticket;
    f->how = h;
    f->code = e ? e->code : 0;
    json_free(out);
}

static bool on_frozen(void *arg)
{
    struct fixture *f = arg;

    return f->frozen;
}

static int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof(*f));
    struct err e = ERR_INIT;
    const struct steps_feed feed = {on_observed, on_applied, on_frozen, f};

    how = ANSWER;
    outcome = APPLIED_OK;
    started = cancelled = late = 0;
    log_set_level(LOG_LVL_ERROR);
    f->loop = loop_new(&e);
    f->io.loop = f->loop;
    f->steps = steps_new(f->loop, &f->io, &feed);
    f->estate = estate_new();
    assert_int_equal(estate_add(f->estate, "asg", "web", json_new_map(), json_new_map(),
                                MODE_ENFORCE, "f", 1, &e),
                     0);
    f->opts = json_new_map();
    f->call = json_new_map();
    f->step = (struct world_step){
        7,  &toy,  estate_find(f->estate, "asg", "web"), f->estate, f->opts, NULL, NULL, "token",
        40, "grow"};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    steps_free(f->steps);
    run_for(f->loop, 5);
    loop_free(f->loop);
    json_free(f->opts);
    json_free(f->call);
    estate_unref(f->estate);
    mem_free(f);
    return 0;
}

static void apply(struct fixture *f, uint64_t ticket)
{
    f->step.ticket = ticket;
    f->step.call = f->call;
    steps_apply(f->steps, &f->step);
}

static void an_observe_is_completed_once_and_never_from_inside(void **state)
{
    struct fixture *f = *state;

    how = ANSWER_AT_ONCE;
    steps_observe(f->steps, &f->step);
    assert_int_equal(f->observed, 0);
    run_for(f->loop, 10);
    assert_int_equal(f->observed, 1);
    assert_int_equal(f->ticket, 7);
    assert_int_equal(steps_in_flight(f->steps), 0);
}

static void an_observe_that_hangs_is_a_timeout(void **state)
{
    struct fixture *f = *state;

    how = HANG;
    steps_observe(f->steps, &f->step);
    run_until(f->loop, &f->observed, 1, 3000);
    assert_int_equal(f->code, ERR_TIMEOUT);
    assert_int_equal(cancelled, 1);
}

static void an_apply_that_hangs_is_in_doubt(void **state)
{
    struct fixture *f = *state;

    how = HANG;
    apply(f, 9);
    run_until(f->loop, &f->applied, 1, 3000);
    assert_int_equal(f->how, APPLIED_IN_DOUBT);
    assert_int_equal(f->code, ERR_TIMEOUT);
    assert_int_equal(f->ticket, 9);
}

static void a_completion_after_the_deadline_is_ignored(void **state)
{
    struct fixture *f = *state;

    how = LATE;
    outcome = APPLIED_OK;
    apply(f, 9);
    run_until(f->loop, &f->applied, 1, 3000);
    run_for(f->loop, 10);
    assert_int_equal(late, 1);
    assert_int_equal(f->applied, 1);
    assert_int_equal(f->how, APPLIED_IN_DOUBT); /* not the OK that came too late */
}

static void outcomes_pass_through(void **state)
{
    static const enum applied all[] = {APPLIED_OK, APPLIED_REFUSED, APPLIED_NOT_SENT,
                                       APPLIED_IN_DOUBT};
    struct fixture *f = *state;

    for (int k = 0; k < 4; k++) {
        outcome = all[k];
        apply(f, 20 + (uint64_t)k);
        run_until(f->loop, &f->applied, k + 1, 1000);
        assert_int_equal(f->how, all[k]);
        assert_int_equal(f->code != 0, all[k] != APPLIED_OK);
    }
}

static void nothing_leaves_when_it_is_frozen(void **state)
{
    struct fixture *f = *state;

    f->frozen = true;
    apply(f, 9);
    run_until(f->loop, &f->applied, 1, 1000);
    assert_int_equal(started, 0);
    assert_int_equal(f->how, APPLIED_NOT_SENT);
    f->step.call = NULL;
    steps_observe(f->steps, &f->step); /* looking is allowed */
    run_until(f->loop, &f->observed, 1, 1000);
}

static void a_cancelled_step_is_silent(void **state)
{
    struct fixture *f = *state;

    how = HANG;
    apply(f, 9);
    apply(f, 10);
    steps_cancel(f->steps, 9);
    steps_cancel(f->steps, 9);
    steps_cancel(f->steps, 77);
    assert_int_equal(cancelled, 1);
    run_until(f->loop, &f->applied, 1, 3000);
    run_for(f->loop, 20);
    assert_int_equal(f->applied, 1);
    assert_int_equal(f->ticket, 10);
}

static void cancelled_between_its_end_and_its_completion(void **state)
{
    struct fixture *f = *state;

    how = ANSWER_AT_ONCE;
    apply(f, 9);
    steps_cancel(f->steps, 9);
    run_for(f->loop, 10);
    assert_int_equal(f->applied, 0);
    assert_int_equal(cancelled, 0); /* it had ended: there is nothing to cancel in the action */
}

static void freeing_cancels_what_is_in_flight(void **state)
{
    struct fixture *f = *state;

    how = HANG;
    apply(f, 9);
    (void)f;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_observe_is_completed_once_and_never_from_inside),
        TEST(an_observe_that_hangs_is_a_timeout),
        TEST(an_apply_that_hangs_is_in_doubt),
        TEST(a_completion_after_the_deadline_is_ignored),
        TEST(outcomes_pass_through),
        TEST(nothing_leaves_when_it_is_frozen),
        TEST(a_cancelled_step_is_silent),
        TEST(cancelled_between_its_end_and_its_completion),
        TEST(freeing_cancels_what_is_in_flight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
