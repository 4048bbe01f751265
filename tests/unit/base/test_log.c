/* The log: lines that cannot be forged, secrets that do not show, a reader that hangs. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "check.h"

static char seen[8192], seen_part[64];
static int seen_level, seen_lines;

static void sink(enum log_level level, const char *part, const char *text, void *arg)
{
    assert_ptr_equal(arg, &seen_lines);
    seen_level = (int)level;
    seen_lines++;
    snprintf(seen_part, sizeof(seen_part), "%s", part);
    snprintf(seen, sizeof(seen), "%s", text);
}

static int use_sink(void **state)
{
    (void)state;
    seen_lines = 0;
    log_set_level(LOG_LVL_INFO);
    log_set_sink(sink, &seen_lines);
    return 0;
}

static int no_sink(void **state)
{
    (void)state;
    log_set_sink(NULL, NULL);
    return 0;
}

static int64_t fixed_clock(void)
{
    return 1795352563123;
}

static void levels_are_kept(void **state)
{
    (void)state;
    log_debug("p", "no");
    assert_int_equal(seen_lines, 0);
    log_info("p", "yes %d", 1);
    assert_int_equal(seen_lines, 1);
    assert_string_equal(seen, "yes 1");
    assert_string_equal(seen_part, "p");
    assert_int_equal(seen_level, LOG_LVL_INFO);
    log_set_level(LOG_LVL_ERROR);
    log_warn("p", "no");
    log_error("p", "yes");
    assert_int_equal(seen_lines, 2);
    assert_int_equal(log_level_parse("debug"), LOG_LVL_DEBUG);
    assert_int_equal(log_level_parse("error"), LOG_LVL_ERROR);
    assert_int_equal(log_level_parse("Error"), -1);
    assert_int_equal(log_level_parse(""), -1);
    assert_int_equal(log_level_parse(NULL), -1);
}

static void control_characters_are_escaped(void **state)
{
    static const struct {
        const char *in, *out;
    } table[] = {
        {"plain \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \\ \"",
         "plain \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \\ \""},
        {"a\nb\tc\rd", "a\\nb\\tc\\rd"},
        {"\x01\x1b[31m\x7f", "\\x01\\x1b[31m\\x7f"},
        {"\xc2\x85\xc2\x9b", "\\u0085\\u009b"},
        {"\xff\xc3(\xe2\x82", "\\xff\\xc3(\\xe2\\x82"},
        {"\xc0\x8a\xed\xa0\x80", "\\xc0\\x8a\\xed\\xa0\\x80"},
        {"\xe2\x80\xa8\xe2\x80\xae\xef\xbb\xbf", "\\u2028\\u202e\\ufeff"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        log_info("p", "%s", table[i].in);
        assert_string_equal(seen, table[i].out);
    }
}

static void secrets_are_masked(void **state)
{
    char name[32];
    (void)state;
    log_hide("short");
    log_hide(NULL);
    log_hide("");
    log_info("p", "short");
    assert_string_equal(seen, "short");
    log_hide("hunter2");
    log_hide("hunter2-longer");
    log_hide("sec\nret");
    log_hide("hunter2");
    log_info("p", "a=hunter2 b=hunter2-longer c=hunter hunter2hunter2 sec\nret %s", "x");
    assert_string_equal(seen, "a=*** b=*** c=hunter ****** *** x");
    log_info("p", "hunter2");
    assert_string_equal(seen, "***");
    for (int i = 0; i < 300; i++) { /* more than are kept: the newest stay hidden */
        snprintf(name, sizeof(name), "rotated-%03d", i);
        log_hide(name);
        log_info("p", "%s", name);
        assert_string_equal(seen, "***");
    }
}

static void long_lines_are_cut_without_showing_secrets(void **state)
{
    char *text = mem_alloc(40000);
    (void)state;
    log_hide("TOPSECRETTOPSECRET");
    for (int shift = 0; shift < 20; shift++) {
        /* Masking shortens the text so much that its end would show, and the end is in the middle
         * of a secret. */
        text[0] = '\0';
        memset(text, 'x', (size_t)shift);
        size_t len = (size_t)shift;
        while (len + 18 < 39000) {
            memcpy(text + len, "TOPSECRETTOPSECRET", 19);
            len += 18;
        }
        log_info("p", "%s", text);
        assert_null(strstr(seen, "TOP"));
        assert_true(strlen(seen) < 4096);
    }
    memset(text, 'y', 39000);
    text[39000] = '\0';
    log_info("p", "%s", text);
    assert_true(strlen(seen) > 4000 && strlen(seen) < 4096);
    assert_string_equal(seen + strlen(seen) - 3, "...");
    for (int i = 0; i < 39000; i += 3)
        memcpy(text + i, "\xe2\x82\xac", 3);
    log_info("p", "%s", text);
    assert_null(strchr(seen, '\\')); /* cut between characters */
    mem_free(text);
}

/* Sends stderr into fd while f runs. */
static void with_stderr(int fd, void (*f)(void))
{
    int saved = dup(STDERR_FILENO);

    assert_true(saved >= 0);
    dup2(fd, STDERR_FILENO);
    f();
    dup2(saved, STDERR_FILENO);
    close(saved);
}

static void say_forged(void)
{
    log_warn("as\ng", "one\n2026-11-22T13:02:43.123Z info asg: two");
}

static char *read_all(int fd, char *out, size_t size)
{
    size_t len = 0;
    ssize_t n;

    while (len < size - 1 && (n = read(fd, out + len, size - 1 - len)) > 0)
        len += (size_t)n;
    out[len] = '\0';
    return out;
}

static void a_line_is_one_line(void **state)
{
    int fds[2];
    char out[1000];
    (void)state;
    log_set_clock(fixed_clock);
    assert_int_equal(pipe(fds), 0);
    with_stderr(fds[1], say_forged);
    close(fds[1]);
    assert_string_equal(
        read_all(fds[0], out, sizeof(out)),
        "2026-11-22T13:02:43.123Z warn as\\ng: one\\n2026-11-22T13:02:43.123Z info asg: two\n");
    close(fds[0]);
}

static void say_three(void)
{
    log_info("p", "one");
    log_warn("p", "two");
    log_error("p", "three");
}

static void the_journal_gets_priorities(void **state)
{
    int fds[2];
    char out[1000], stream[64];
    struct stat st;
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    assert_int_equal(fstat(fds[1], &st), 0);
    snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    with_stderr(fds[1], say_three);
    setenv("JOURNAL_STREAM", "1:1", 1); /* stderr is another file: not the journal */
    with_stderr(fds[1], say_forged);
    unsetenv("JOURNAL_STREAM");
    close(fds[1]);
    read_all(fds[0], out, sizeof(out));
    assert_memory_equal(out, "<6>info p: one\n<4>warn p: two\n<3>error p: three\n2026-", 53);
    close(fds[0]);
}

static double seconds_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void say_thousand(void)
{
    for (int i = 0; i < 1000; i++)
        log_info("p", "line %d %0200d", i, 0);
}

static void say_after(void)
{
    log_info("p", "after");
}

static void check_hanging_reader(int reader, int writer)
{
    static char out[1 << 20];
    double from = seconds_now();

    with_stderr(writer, say_thousand);
    assert_true(seconds_now() - from < 20); /* 50 s if each line waited; valgrind needs some */
    fcntl(reader, F_SETFL, O_NONBLOCK);
    read_all(reader, out, sizeof(out)); /* takes what got through */
    assert_non_null(strstr(out, "line 0 "));
    assert_null(strstr(out, "line 999 "));
    size_t len = strlen(out);
    assert_int_equal(out[len - 1], '\n'); /* no half lines */
    with_stderr(writer, say_after);
    read_all(reader, out, sizeof(out));
    assert_non_null(strstr(out, "lines were lost"));
    assert_non_null(strstr(out, "p: after\n"));
    close(reader);
    close(writer);
}

static void a_hanging_reader_does_not_hang_us(void **state)
{
    int fds[2];
    (void)state;
    assert_int_equal(pipe(fds), 0);
    check_hanging_reader(fds[0], fds[1]);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    int small = 4096;
    setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    check_hanging_reader(fds[0], fds[1]);
}

static double spent;

static void say_with_a_writer(void)
{
    double from;

    log_start_writer();
    from = seconds_now();
    say_thousand(); /* 240 KB: more than a pipe holds, less than may wait */
    spent = seconds_now() - from;
}

static void *read_later(void *arg)
{
    struct pollfd p = {.fd = *(int *)arg, .events = POLLIN};
    static char out[1 << 20];
    size_t len = 0;
    ssize_t n;

    while (poll(&p, 1, 5000) == 1 && (n = read(p.fd, out + len, sizeof(out) - 1 - len)) > 0) {
        len += (size_t)n;
        if (strstr(out, "line 999 "))
            break;
    }
    return out;
}

/* Nobody reads while it is said: the caller does not wait for that, and nothing is lost. */
static void a_writer_waits_in_the_callers_place(void **state)
{
    int fds[2], saved = dup(STDERR_FILENO);
    pthread_t reader;
    void *out;
    (void)state;
    assert_int_equal(pipe(fds), 0);
    dup2(fds[1], STDERR_FILENO);
    say_with_a_writer();
    assert_int_equal(pthread_create(&reader, NULL, read_later, &fds[0]), 0);
    pthread_join(reader, &out);
    log_stop_writer();
    dup2(saved, STDERR_FILENO);
    close(saved);
    assert_true(spent < 5);
    assert_non_null(strstr(out, "line 0 "));
    assert_non_null(strstr(out, "line 500 "));
    assert_non_null(strstr(out, "line 999 "));
    close(fds[0]);
    close(fds[1]);
}

/* One that never gets rid of its lines is not waited for. */
static void a_writer_that_hangs_is_left_behind(void **state)
{
    int fds[2], saved = dup(STDERR_FILENO);
    double from;
    (void)state;
    assert_int_equal(pipe(fds), 0);
    dup2(fds[1], STDERR_FILENO);
    say_with_a_writer();
    from = seconds_now();
    log_stop_writer();
    dup2(saved, STDERR_FILENO);
    close(saved);
    from = seconds_now() - from;
    assert_true(from > 0.5 && from < 10);
    close(fds[0]); /* its poll ends */
    close(fds[1]);
}

static void a_reader_that_left_does_not_kill_us(void **state)
{
    int fds[2];
    (void)state;
    assert_int_equal(pipe(fds), 0);
    close(fds[0]);
    with_stderr(fds[1], say_three);
    close(fds[1]);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    close(fds[0]);
    with_stderr(fds[1], say_three);
    close(fds[1]);
}

static void *say_many(void *arg)
{
    for (int i = 0; i < 200; i++)
        log_info("thread", "%s %0100d", (const char *)arg, i);
    return NULL;
}

static void say_in_threads(void)
{
    static char names[4][2] = {"a", "b", "c", "d"};
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, say_many, names[i]);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

static void threads_do_not_mix_lines(void **state)
{
    char path[] = "/tmp/test_log_XXXXXX", line[1000];
    int fd = mkstemp(path), lines = 0;
    (void)state;
    assert_true(fd >= 0);
    unlink(path);
    errno = 0;
    with_stderr(fd, say_after); /* counts what the tests before had lost */
    assert_int_equal(ftruncate(fd, 0), 0);
    lseek(fd, 0, SEEK_SET);
    with_stderr(fd, say_in_threads);
    lseek(fd, 0, SEEK_SET);
    FILE *f = fdopen(fd, "r");
    while (fgets(line, sizeof(line), f) != NULL) {
        lines++;
        if (strlen(line) != 24 + strlen(" info thread: a \n") + 100)
            fail_msg("line %d: %s", lines, line);
    }
    assert_int_equal(lines, 800);
    fclose(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(levels_are_kept, use_sink, no_sink),
        cmocka_unit_test_setup_teardown(control_characters_are_escaped, use_sink, no_sink),
        cmocka_unit_test_setup_teardown(secrets_are_masked, use_sink, no_sink),
        cmocka_unit_test_setup_teardown(long_lines_are_cut_without_showing_secrets, use_sink,
                                        no_sink),
        cmocka_unit_test(a_line_is_one_line),
        cmocka_unit_test(the_journal_gets_priorities),
        cmocka_unit_test(a_hanging_reader_does_not_hang_us),
        cmocka_unit_test(a_reader_that_left_does_not_kill_us),
        cmocka_unit_test(a_writer_waits_in_the_callers_place),
        cmocka_unit_test(threads_do_not_mix_lines),
        cmocka_unit_test(a_writer_that_hangs_is_left_behind), /* last: nothing is told after it */
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
