/* The loop: timers in order and on time, deferred and posted work, signals, and a lag that shows a
 * callback that blocks. */
#include "help_io.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "base/mem.h"

struct fixture {
    struct loop *loop;
    int count;
    char order[64];
    struct loop_timer *timers[8];
};

static int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof *f);
    f->loop = loop_new(NULL);
    assert_non_null(f->loop);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 8; i++)
        loop_timer_free(f->timers[i]);
    loop_free(f->loop);
    mem_free(f);
    return 0;
}

static struct fixture *current;
#define NOTE(letter)                                                                               \
    static void note_##letter(void *arg)                                                           \
    {                                                                                              \
        struct fixture *f = arg;                                                                   \
        f->order[f->count++] = #letter[0];                                                         \
    }
NOTE(a)
NOTE(b)
NOTE(c)
NOTE(d)

static void timers_run_in_order_and_not_early(void **state)
{
    struct fixture *f = *state;
    void (*fns[])(void *) = {note_c, note_a, note_d, note_b};
    int64_t after[] = {60, 20, 60, 40}, start = now_ms();
    for (int i = 0; i < 4; i++) {
        f->timers[i] = loop_timer_new(f->loop, fns[i], f);
        loop_timer_set(f->timers[i], after[i]);
    }
    run_until(f->loop, &f->count, 4, 2000);
    assert_string_equal(f->order, "abcd");
    assert_in_range(now_ms() - start, 59, 3500);
}

static void a_timer_can_be_stopped_and_moved(void **state)
{
    struct fixture *f = *state;
    f->timers[0] = loop_timer_new(f->loop, note_a, f);
    f->timers[1] = loop_timer_new(f->loop, note_b, f);
    loop_timer_set(f->timers[0], 10);
    loop_timer_set(f->timers[1], 2000);
    loop_timer_set(f->timers[1], 30);
    loop_timer_stop(f->timers[0]);
    run_for(f->loop, 100);
    assert_string_equal(f->order, "b");
}

static void free_itself(void *arg)
{
    struct fixture *f = arg;
    loop_timer_free(f->timers[0]);
    loop_timer_free(f->timers[1]); /* due at the same time, later in order */
    f->timers[0] = f->timers[1] = NULL;
    f->count++;
}

static void a_timer_may_free_itself_and_others(void **state)
{
    struct fixture *f = *state;
    f->timers[0] = loop_timer_new(f->loop, free_itself, f);
    f->timers[1] = loop_timer_new(f->loop, note_a, f);
    loop_timer_set(f->timers[0], 5);
    loop_timer_set(f->timers[1], 5);
    run_for(f->loop, 50);
    assert_int_equal(f->count, 1);
}

static void again(void *arg)
{
    struct fixture *f = arg;
    f->count++;
    loop_timer_set(f->timers[0], 0);
}

static void a_timer_at_zero_does_not_starve_the_loop(void **state)
{
    struct fixture *f = *state;
    f->timers[0] = loop_timer_new(f->loop, again, f);
    loop_timer_set(f->timers[0], 0);
    run_for(f->loop, 20);
    assert_true(f->count > 2);
}

/* Thousands of timers, set, moved and stopped at random by a fixed rule: each runs once, none
 * before an earlier one. */
struct many {
    struct fixture *f;
    int64_t due;
    bool stopped, ran;
};
static int64_t last_due;

static void one_of_many(void *arg)
{
    struct many *m = arg;
    assert_false(m->stopped);
    assert_false(m->ran);
    assert_true(m->due >= last_due);
    last_due = m->due;
    m->ran = true;
    m->f->count++;
}

enum { MANY = 3000 };
static struct many many[MANY];
static struct loop_timer *many_timers[MANY];
static int many_expected;

/* Within one turn the clock stands still, so that equal times are equal. */
static void set_many(void *arg)
{
    struct fixture *f = arg;
    unsigned seed = 7;
    for (int i = 0; i < MANY; i++) {
        many[i] = (struct many){.f = f, .stopped = true};
        many_timers[i] = loop_timer_new(f->loop, one_of_many, &many[i]);
    }
    for (int i = 0; i < 3 * MANY; i++) {
        int k = rand_r(&seed) % MANY;
        many[k].due = 1 + rand_r(&seed) % 50;
        many[k].stopped = rand_r(&seed) % 4 == 0;
        if (many[k].stopped)
            loop_timer_stop(many_timers[k]);
        else
            loop_timer_set(many_timers[k], many[k].due);
    }
    many_expected = 0;
    for (int i = 0; i < MANY; i++)
        many_expected += !many[i].stopped;
}

static void the_heap_keeps_order(void **state)
{
    struct fixture *f = *state;
    last_due = 0;
    loop_defer(f->loop, set_many, f);
    run_for(f->loop, 150);
    assert_true(many_expected > MANY / 2);
    assert_int_equal(f->count, many_expected);
    for (int i = 0; i < MANY; i++)
        loop_timer_free(many_timers[i]);
}

static void defer_two(void *arg)
{
    struct fixture *f = arg;
    loop_defer(f->loop, note_b, f);
    loop_defer(f->loop, note_c, f);
    note_a(f);
}

static void deferred_work_runs_after_the_callback(void **state)
{
    struct fixture *f = *state;
    f->timers[0] = loop_timer_new(f->loop, defer_two, f);
    loop_timer_set(f->timers[0], 1);
    run_until(f->loop, &f->count, 3, 1000);
    assert_string_equal(f->order, "abc");
}

static void count_posted(void *arg)
{
    struct fixture *f = current;
    assert_int_equal((intptr_t)arg, f->count);
    f->count++;
}

static void *poster(void *arg)
{
    struct fixture *f = arg;
    for (intptr_t i = 0; i < 10000; i++)
        loop_post(f->loop, count_posted, (void *)i);
    return NULL;
}

static void posted_work_arrives_in_order(void **state)
{
    struct fixture *f = current = *state;
    pthread_t t;
    pthread_create(&t, NULL, poster, f);
    run_until(f->loop, &f->count, 10000, 5000);
    pthread_join(t, NULL);
}

static void got_signal(int signo, void *arg)
{
    struct fixture *f = arg;
    assert_int_equal(signo, SIGUSR1);
    f->count++;
}

static void signals_arrive_on_the_loop(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(loop_on_signal(f->loop, SIGUSR1, got_signal, f, NULL), 0);
    kill(getpid(), SIGUSR1);
    assert_int_equal(f->count, 0);
    run_until(f->loop, &f->count, 1, 1000);
}

static void block(void *arg)
{
    struct fixture *f = arg;
    usleep(80000);
    f->count++;
}

static void a_blocking_callback_shows_as_lag(void **state)
{
    struct fixture *f = *state;
    struct lag_watch w;
    f->timers[0] = loop_timer_new(f->loop, block, f);
    lag_start(&w, f->loop);
    run_for(f->loop, 300); /* idle time is not lag */
    lag_check(&w, f->loop);
    loop_timer_set(f->timers[0], 1);
    run_until(f->loop, &f->count, 1, 1000);
    double lag = loop_take_lag(f->loop).ms;
    assert_true(lag >= 80 && lag < 5000);
    assert_true(loop_take_lag(f->loop).ms < 1); /* taken */
}

static void stop_with(void *arg)
{
    loop_stop(arg, 42);
}

static void run_returns_the_code_given_to_stop(void **state)
{
    struct fixture *f = *state;
    loop_defer(f->loop, stop_with, f->loop);
    assert_int_equal(loop_run(f->loop), 42);
}

static void hold_turn(void *arg)
{
    struct fixture *f = arg;
    int64_t boot = loop_boot_ms(f->loop), wall = loop_wall_ms(f->loop);
    usleep(20000);
    assert_int_equal(loop_boot_ms(f->loop), boot); /* one time a turn */
    assert_int_equal(loop_wall_ms(f->loop), wall);
    f->count++;
}

static void the_clock_stands_still_within_a_turn_only(void **state)
{
    struct fixture *f = *state;
    int64_t before = loop_boot_ms(f->loop);
    usleep(5000);
    assert_true(loop_boot_ms(f->loop) >= before + 4);
    f->timers[0] = loop_timer_new(f->loop, hold_turn, f);
    loop_timer_set(f->timers[0], 0);
    run_until(f->loop, &f->count, 1, 1000);
    assert_true(loop_boot_ms(f->loop) >= before + 24);
}

static void sigpipe_is_ignored(void **state)
{
    (void)state;
    int fd[2];
    assert_int_equal(pipe(fd), 0);
    close(fd[0]);
    assert_int_equal(write(fd[1], "x", 1), -1);
    close(fd[1]);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(timers_run_in_order_and_not_early),
        T(a_timer_can_be_stopped_and_moved),
        T(a_timer_may_free_itself_and_others),
        T(a_timer_at_zero_does_not_starve_the_loop),
        T(the_heap_keeps_order),
        T(deferred_work_runs_after_the_callback),
        T(posted_work_arrives_in_order),
        T(signals_arrive_on_the_loop),
        T(a_blocking_callback_shows_as_lag),
        T(run_returns_the_code_given_to_stop),
        T(the_clock_stands_still_within_a_turn_only),
        T(sigpipe_is_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
