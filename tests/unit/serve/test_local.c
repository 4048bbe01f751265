/* The control socket against those who abuse it. */
#include "help_io.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "serve/control.h"

struct fixture {
    struct loop *loop;
    struct local *local;
    char dir[64], path[96];
    int lines;
    char last[256];
    struct local_peer peer;
    uint64_t conn;
    bool mute; /* no answers */
};

static void on_line(void *arg, uint64_t conn, const struct local_peer *peer, const char *line,
                    size_t len)
{
    struct fixture *f = arg;

    f->lines++;
    snprintf(f->last, sizeof(f->last), "%.*s", (int)len, line);
    f->peer = *peer;
    f->conn = conn;
    if (!f->mute)
        local_send(f->local, conn, line);
}

static int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof(*f));
    struct err e = ERR_INIT;
    struct local_options o = {.path = f->path,
                              .max_conns = 3,
                              .max_line = 1000,
                              .idle_ms = 150,
                              .answer_ms = 150,
                              .max_unread = 200000};

    log_set_level(LOG_LVL_ERROR);
    strcpy(f->dir, "/tmp/rb-local-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof(f->path), "%s/s", f->dir);
    f->loop = loop_new(&e);
    f->local = local_listen(f->loop, &o, on_line, f, &e);
    if (!f->local)
        fail_msg("%s", e.text);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    local_free(f->local);
    run_for(f->loop, 5);
    loop_free(f->loop);
    unlink(f->path);
    assert_int_equal(rmdir(f->dir), 0); /* the socket is gone */
    mem_free(f);
    return 0;
}

static int dial(const struct fixture *f)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    strcpy(a.sun_path, f->path);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void say(int fd, const char *text)
{
    size_t len = strlen(text);

    assert_int_equal(send(fd, text, len, MSG_NOSIGNAL), (ssize_t)len);
}

/* What has come by now; "<eof>" at the end of a closed connection. */
static void hear(struct fixture *f, int fd, char *out, size_t size, int64_t ms)
{
    size_t len = 0;
    int64_t end = now_ms() + ms;

    *out = 0;
    while (now_ms() < end && !strstr(out, "<eof>")) {
        ssize_t n;
        run_for(f->loop, 4);
        n = recv(fd, out + len, size - len - 8, 0);
        if (n > 0)
            len += (size_t)n;
        out[len] = 0;
        if (n == 0 || (n < 0 && errno == ECONNRESET))
            strcpy(out + len, "<eof>");
        if (n < 0 && len && out[len - 1] == '\n')
            break;
    }
}

static void a_line_is_answered_by_a_line(void **state)
{
    struct fixture *f = *state;
    char got[256];
    int fd = dial(f);

    say(fd, "hel");
    run_for(f->loop, 10);
    assert_int_equal(f->lines, 0);
    say(fd, "lo\n");
    hear(f, fd, got, sizeof(got), 500);
    assert_string_equal(got, "hello\n");
    close(fd);
}

static void pipelined_lines_are_answered_in_order(void **state)
{
    struct fixture *f = *state;
    char got[4096], many[901];
    int fd = dial(f);

    /* As many as fit into a line's ceiling, and more: neither a deep stack nor a lost one. */
    for (int k = 0; k < 300; k++)
        memcpy(many + 3 * k, "ab\n", 3);
    many[900] = 0;
    say(fd, many);
    for (int k = 0; k < 200 && f->lines < 300; k++)
        run_for(f->loop, 2);
    assert_int_equal(f->lines, 300);
    /* A pause may follow any of the lines: until all are there. */
    *got = 0;
    for (int k = 0; k < 100 && strlen(got) < 900 && !strstr(got, "<eof>"); k++)
        hear(f, fd, got + strlen(got), sizeof(got) - strlen(got), 500);
    assert_string_equal(got, many);
    close(fd);
}

/* printf ... | nc -N -U: it has said all, and waits for the answers. */
static void one_that_only_stopped_sending_is_answered(void **state)
{
    struct fixture *f = *state;
    char got[256];
    int fd = dial(f);

    f->mute = true;
    say(fd, "one\ntwo\n");
    shutdown(fd, SHUT_WR);
    for (int k = 0; k < 20; k++)
        run_for(f->loop, 2);
    assert_int_equal(f->lines, 1);
    f->mute = false;
    local_send(f->local, f->conn, "one");
    hear(f, fd, got, sizeof(got), 500);
    if (!strstr(got, "<eof>"))
        hear(f, fd, got + strlen(got), sizeof(got) - strlen(got), 500);
    assert_string_equal(got, "one\ntwo\n<eof>");
    close(fd);
}

static void who_is_there_is_the_kernels_word(void **state)
{
    struct fixture *f = *state;
    struct passwd *me = getpwuid(getuid());
    int fd = dial(f);

    say(fd, "{\"by\":\"nobody\"}\n");
    for (int k = 0; k < 100 && !f->lines; k++)
        run_for(f->loop, 2);
    assert_int_equal(f->peer.uid, getuid());
    assert_int_equal(f->peer.pid, getpid());
    if (me)
        assert_string_equal(f->peer.user, me->pw_name);
    close(fd);
}

static void the_socket_is_ours_alone(void **state)
{
    struct fixture *f = *state;
    struct stat st;

    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
}

static void too_long_a_line_ends_the_connection(void **state)
{
    struct fixture *f = *state;
    char got[256], big[3001];
    int fd = dial(f);

    memset(big, 'x', 3000);
    big[3000] = 0;
    say(fd, big);
    hear(f, fd, got, sizeof(got), 1000);
    assert_non_null(strstr(got, "too long"));
    assert_non_null(strstr(got, "<eof>"));
    assert_int_equal(f->lines, 0);
    close(fd);
    fd = dial(f);
    big[2999] = '\n';
    say(fd, big);
    hear(f, fd, got, sizeof(got), 1000);
    assert_non_null(strstr(got, "too long"));
    assert_int_equal(f->lines, 0);
    close(fd);
}

/* The kill switch is not to wait for those who only hold a connection. */
static void the_longest_silent_makes_room(void **state)
{
    struct fixture *f = *state;
    char got[256];
    int fd[4];

    for (int k = 0; k < 3; k++)
        fd[k] = dial(f);
    run_for(f->loop, 60);
    say(fd[0], "x\n"); /* so the second is silent for longest */
    hear(f, fd[0], got, sizeof(got), 500);
    say(fd[2], "half a li");
    fd[3] = dial(f);
    say(fd[3], "y\n");
    hear(f, fd[3], got, sizeof(got), 500);
    assert_string_equal(got, "y\n");
    hear(f, fd[1], got, sizeof(got), 500);
    assert_non_null(strstr(got, "too many connections"));
    assert_non_null(strstr(got, "<eof>"));
    say(fd[0], "z\n");
    hear(f, fd[0], got, sizeof(got), 500);
    assert_string_equal(got, "z\n");
    for (int k = 0; k < 4; k++)
        close(fd[k]);
}

static void too_many_who_wait_for_answers_are_told_so(void **state)
{
    struct fixture *f = *state;
    char got[256];
    int fd[4];

    f->mute = true;
    for (int k = 0; k < 3; k++) {
        fd[k] = dial(f);
        say(fd[k], "x\n");
    }
    run_for(f->loop, 20);
    fd[3] = dial(f);
    hear(f, fd[3], got, sizeof(got), 100);
    assert_non_null(strstr(got, "too many connections"));
    assert_non_null(strstr(got, "<eof>"));
    for (int k = 0; k < 4; k++)
        close(fd[k]);
}

/* No descriptor is left to the process, as when something else leaks them: a freeze is heard all
 * the same, and the next one too. */
static void there_is_a_descriptor_for_the_kill_switch(void **state)
{
    struct fixture *f = *state;
    struct rlimit was, none;
    char got[256];
    int fd[2] = {dial(f), dial(f)}, lowest = dup(0);

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    close(lowest);
    none = (struct rlimit){.rlim_cur = (rlim_t)lowest, .rlim_max = was.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (int k = 0; k < 2; k++) {
        say(fd[k], "x\n");
        hear(f, fd[k], got, sizeof(got), 400);
        if (strncmp(got, "x\n", 2) != 0)
            break;
    }
    setrlimit(RLIMIT_NOFILE, &was);
    assert_string_equal(got, "x\n");
    for (int k = 0; k < 2; k++)
        close(fd[k]);
}

static void idle_ones_are_closed(void **state)
{
    struct fixture *f = *state;
    char got[256];
    int fd = dial(f);

    say(fd, "half a li"); /* a slow writer gets no more time than a silent one */
    hear(f, fd, got, sizeof(got), 1000);
    assert_string_equal(got, "<eof>");
    close(fd);
}

static void an_answer_that_does_not_come_is_said(void **state)
{
    struct fixture *f = *state;
    char got[256];
    int fd = dial(f);

    f->mute = true;
    say(fd, "x\n");
    hear(f, fd, got, sizeof(got), 1000);
    assert_non_null(strstr(got, "no answer in time"));
    local_send(f->local, f->conn, "late"); /* nobody is there */
    run_for(f->loop, 20);
    local_send(f->local, f->conn, "later");
    close(fd);
}

static void gone_before_the_answer(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f);

    f->mute = true;
    say(fd, "x\n");
    for (int k = 0; k < 100 && !f->lines; k++)
        run_for(f->loop, 2);
    close(fd);
    run_for(f->loop, 30);
    local_send(f->local, f->conn, "too late");
}

static void one_that_does_not_read_is_closed(void **state)
{
    struct fixture *f = *state;
    char *big = mem_alloc(900001);
    int fd = dial(f), small = 4096;
    char got[256];

    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    f->mute = true;
    say(fd, "x\n");
    for (int k = 0; k < 100 && !f->lines; k++)
        run_for(f->loop, 2);
    memset(big, 'y', 900000);
    local_send(f->local, f->conn, big); /* more than max_unread */
    hear(f, fd, got, sizeof(got), 1000);
    assert_non_null(strstr(got, "the answer is too long"));
    close(fd);
    mem_free(big);
}

static void a_socket_in_use_is_not_taken(void **state)
{
    struct fixture *f = *state;
    struct local_options o = {.path = f->path};
    struct err e = ERR_INIT;

    assert_null(local_listen(f->loop, &o, on_line, f, &e));
    assert_int_equal(e.code, ERR_STATE);
}

static void a_stale_socket_is_replaced_a_file_is_not(void **state)
{
    struct fixture *f = *state;
    struct local_options o = {0};
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct err e = ERR_INIT;
    struct local *second;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    FILE *file;

    snprintf(a.sun_path, sizeof(a.sun_path), "%s/stale", f->dir);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    close(fd);
    o.path = a.sun_path;
    second = local_listen(f->loop, &o, on_line, f, &e);
    assert_non_null(second);
    local_free(second);
    file = fopen(a.sun_path, "w");
    fclose(file);
    assert_null(local_listen(f->loop, &o, on_line, f, &e));
    assert_int_equal(e.code, ERR_IO);
    unlink(a.sun_path);
}

static void a_folder_that_others_may_write_in_is_refused(void **state)
{
    struct fixture *f = *state;
    char path[128];
    struct local_options o = {.path = path};
    struct err e = ERR_INIT;

    snprintf(path, sizeof(path), "%s/t", f->dir);
    chmod(f->dir, 0777);
    assert_null(local_listen(f->loop, &o, on_line, f, &e));
    assert_int_equal(e.code, ERR_AUTH);
    chmod(f->dir, 0700);
    o.path = "/tmp/directly";
    assert_null(local_listen(f->loop, &o, on_line, f, &e)); /* sticky or not */
    assert_int_equal(e.code, ERR_AUTH);
}

static void a_path_too_long_is_said(void **state)
{
    struct fixture *f = *state;
    char path[200];
    struct local_options o = {.path = path};
    struct err e = ERR_INIT;

    memset(path, 'p', 199);
    path[199] = 0;
    assert_null(local_listen(f->loop, &o, on_line, f, &e));
    assert_int_equal(e.code, ERR_INPUT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_line_is_answered_by_a_line),
        TEST(pipelined_lines_are_answered_in_order),
        TEST(one_that_only_stopped_sending_is_answered),
        TEST(who_is_there_is_the_kernels_word),
        TEST(the_socket_is_ours_alone),
        TEST(too_long_a_line_ends_the_connection),
        TEST(the_longest_silent_makes_room),
        TEST(too_many_who_wait_for_answers_are_told_so),
        TEST(there_is_a_descriptor_for_the_kill_switch),
        TEST(idle_ones_are_closed),
        TEST(an_answer_that_does_not_come_is_said),
        TEST(gone_before_the_answer),
        TEST(one_that_does_not_read_is_closed),
        TEST(a_socket_in_use_is_not_taken),
        TEST(a_stale_socket_is_replaced_a_file_is_not),
        TEST(a_folder_that_others_may_write_in_is_refused),
        TEST(a_path_too_long_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
