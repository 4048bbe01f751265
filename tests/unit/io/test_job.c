/* Child processes: what they get, what they must not get, and that each ends: by deadline, by
 * output, with us, as an orphan. */
#include "help_io.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "harness/number.h"
#include "io/job.h"

struct fixture {
    struct loop *loop;
    int count;
    struct job_result result;
    char *out, *errors;
    struct err err;
    struct lag_watch lag;
};

static int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof *f);
    f->loop = loop_new(NULL);
    lag_start(&f->lag, f->loop);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    lag_check(&f->lag, f->loop);
    loop_free(f->loop);
    mem_free(f->out);
    mem_free(f->errors);
    mem_free(f);
    return 0;
}

static void done(void *arg, const struct job_result *r, const struct err *e)
{
    struct fixture *f = arg;
    f->count++;
    f->result = *r;
    mem_free(f->out);
    mem_free(f->errors);
    f->out = mem_strndup(r->out, r->out_len);
    f->errors = mem_strndup(r->err, r->err_len);
    f->err = e ? *e : (struct err)ERR_INIT;
}

static struct job *start(struct fixture *f, const char *script, struct job_options o)
{
    const char *argv[] = {"/bin/sh", "-c", script, NULL};
    struct err e = ERR_INIT;
    if (!o.argv)
        o.argv = argv;
    if (!o.deadline_ms)
        o.deadline_ms = 5000;
    f->count = 0;
    struct job *j = job_start(f->loop, &o, done, f, &e);
    if (!j)
        fail_msg("%s", e.text);
    return j;
}

static void sh(struct fixture *f, const char *script, struct job_options o)
{
    start(f, script, o);
    run_until(f->loop, &f->count, 1, 8000);
}

#define PLAIN ((struct job_options){0})

static void output_and_status_come_back(void **state)
{
    struct fixture *f = *state;
    sh(f, "echo out; echo err >&2; exit 3", PLAIN);
    assert_int_equal(f->err.code, 0);
    assert_int_equal(f->result.exit_code, 3);
    assert_string_equal(f->out, "out\n");
    assert_string_equal(f->errors, "err\n");
    sh(f, "kill -9 $$", PLAIN);
    assert_int_equal(f->result.exit_code, -1);
    assert_int_equal(f->result.signal, SIGKILL);
    sh(f, "wc -c; head -c 300000 /dev/zero", (struct job_options){.input = "twelve bytes"});
    assert_memory_equal(f->out, "12\n", 3);
    assert_int_equal(f->result.out_len, 300003);
}

static void the_environment_is_clean(void **state)
{
    struct fixture *f = *state;
    const char *env_argv[] = {"/usr/bin/env", NULL}, *own[] = {"ONE=1", NULL};
    setenv("AWS_SECRET_ACCESS_KEY", "canary", 1);
    sh(f, NULL, (struct job_options){.argv = env_argv});
    assert_null(strstr(f->out, "canary"));
    assert_string_equal(
        f->out, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nLANG=C.UTF-8\n"
                "HOME=/nonexistent\n");
    sh(f, NULL, (struct job_options){.argv = env_argv, .env = own});
    assert_string_equal(f->out, "ONE=1\n");
}

/* Gone, or a zombie that waits for whoever took it over. */
static bool gone(pid_t pid)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    for (int i = 0; i < 100; i++, usleep(10000)) {
        FILE *f = fopen(path, "re");
        bool alive = f && fgets(text, sizeof text, f) && strrchr(text, ')')[2] != 'Z';
        if (f)
            fclose(f);
        if (!alive)
            return true;
    }
    return false;
}

/* Signals 32 and 33 are the C library's own and not looked at. */
static void descriptors_are_closed_and_signals_reset(void **state)
{
    struct fixture *f = *state;
    /* without CLOEXEC */
    int leak = fcntl(STDERR_FILENO, F_DUPFD, 50), low = fcntl(STDERR_FILENO, F_DUPFD, 3);
    sigset_t block, before;
    sigemptyset(&block);
    sigaddset(&block, SIGTERM);
    sigprocmask(SIG_BLOCK, &block, &before);
    sh(f,
       /* sed's own: while the shell forks, the C library has all of its signals blocked */
       "ls /proc/$$/fd; sed -n 's/SigBlk:\t//p; s/SigIgn:.*\\(.......\\)$/\\1/p' "
       "/proc/self/status; "
       "ulimit -c; umask; pwd",
       PLAIN);
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(leak);
    close(low);
    assert_string_equal(f->out, "0\n1\n2\n0000000000000000\n0000000\n0\n0077\n/\n");
    sh(f, "pwd; ps -o pid=,pgid=,sid= -p $$ | awk '{ print ($1 == $2 && $2 == $3) }'",
       (struct job_options){.dir = "/tmp"});
    assert_string_equal(f->out, "/tmp\n1\n");
}

static void what_cannot_start_says_why(void **state)
{
    struct fixture *f = *state;
    const char *none[] = {"/nonexistent/program", NULL}, *dir[] = {"/tmp", NULL},
               *relative[] = {"sh", NULL};
    sh(f, NULL, (struct job_options){.argv = none});
    assert_int_equal(f->err.code, ERR_NOT_FOUND);
    assert_non_null(strstr(f->err.text, "/nonexistent/program"));
    sh(f, NULL, (struct job_options){.argv = dir});
    assert_int_equal(f->err.code, ERR_DENIED);
    sh(f, "true", (struct job_options){.dir = "/nonexistent"});
    assert_int_equal(f->err.code, ERR_NOT_FOUND);
    struct err e = ERR_INIT;
    assert_null(job_start(f->loop, &(struct job_options){.argv = relative, .deadline_ms = 1000},
                          done, f, &e));
    assert_int_equal(e.code, ERR_INPUT);
    assert_null(job_start(f->loop, &(struct job_options){.argv = none}, done, f, &e));
    assert_int_equal(e.code, ERR_INPUT);
}

static void the_deadline_ends_the_whole_group(void **state)
{
    struct fixture *f = *state;
    int64_t begin = now_ms();
    sh(f, "sleep 100 & echo $!; sleep 100", (struct job_options){.deadline_ms = 200});
    assert_int_equal(f->err.code, ERR_TIMEOUT);
    assert_int_equal(f->result.signal, SIGTERM);
    assert_in_range(now_ms() - begin, 195, 4000);
    assert_true(gone(number_in(f->out)));
    begin = now_ms();
    sh(f, "trap '' TERM; while :; do sleep 0.05; done", (struct job_options){.deadline_ms = 700});
    assert_int_equal(f->err.code, ERR_TIMEOUT);
    assert_int_equal(f->result.signal, SIGKILL);
    assert_in_range(now_ms() - begin, 2695, 6500);
}

static void too_much_output_ends_it(void **state)
{
    struct fixture *f = *state;
    sh(f, "yes", (struct job_options){.max_output = 10000});
    assert_int_equal(f->err.code, ERR_LIMIT);
    sh(f, "yes >&2", PLAIN);
    assert_int_equal(f->err.code, ERR_LIMIT);
}

static void a_memory_limit_holds(void **state)
{
    struct fixture *f = *state;
    const char *argv[] = {"/usr/bin/python3", "-c", "x = bytearray(400 << 20)", NULL};
    sh(f, NULL, (struct job_options){.argv = argv, .max_memory_bytes = 200u << 20});
    assert_int_not_equal(f->result.exit_code, 0);
    assert_non_null(strstr(f->errors, "MemoryError"));
}

static void a_grandchild_that_holds_the_pipe_does_not_hold_us(void **state)
{
    struct fixture *f = *state;
    int64_t begin = now_ms();
    sh(f, "setsid sleep 8 & sleep 0.1; echo done", PLAIN);
    assert_string_equal(f->out, "done\n");
    assert_true(now_ms() - begin < 6000);
}

static void what_it_leaves_behind_ends_with_it(void **state)
{
    struct fixture *f = *state;
    sh(f, "sleep 100 >/dev/null 2>&1 & echo $!", PLAIN);
    assert_int_equal(f->result.exit_code, 0);
    assert_true(number_in(f->out) > 1);
    assert_true(gone(number_in(f->out)));
}

static void a_cancelled_job_is_gone_and_silent(void **state)
{
    struct fixture *f = *state;
    char path[] = "/tmp/rb-job-XXXXXX", script[96], text[16] = "";
    int fd = mkstemp(path);
    snprintf(script, sizeof script, "sleep 100 & echo $! > %s; sleep 100", path);
    struct job *j = start(f, script, PLAIN);
    pid_t pid = job_pid(j);
    uint64_t started = job_start_time(j);
    assert_true(job_alive(pid, started));
    assert_false(job_alive(pid, started + 1)); /* the number, but another process */
    for (int i = 0; i < 100 && read(fd, text, sizeof text - 1) <= 0; i++)
        run_for(f->loop, 20);
    assert_true(number_in(text) > 1);
    job_cancel(j);
    run_for(f->loop, 50);
    assert_false(job_alive(pid, started));
    assert_true(gone(number_in(text)));
    close(fd);
    unlink(path);
    assert_int_equal(f->count, 0);
    job_cancel(start(f, "sleep 100", PLAIN)); /* at once: it may still be the trampoline */
    run_for(f->loop, 50);
}

/* An agent in a process of its own starts a job, tells its identity, and is killed. */
static pid_t agent_with_job(const char *script, pid_t *job, uint64_t *started)
{
    int fd[2];
    assert_int_equal(pipe(fd), 0);
    pid_t agent = fork();
    if (agent == 0) {
        const char *argv[] = {"/bin/sh", "-c", script, NULL};
        struct loop *l = loop_new(NULL);
        struct job *j = job_start(l, &(struct job_options){.argv = argv, .deadline_ms = 60000},
                                  NULL, NULL, NULL);
        pid_t pid = job_pid(j);
        uint64_t t = job_start_time(j);
        run_for(l, 100);
        if (write(fd[1], &pid, sizeof pid) < 0 || write(fd[1], &t, sizeof t) < 0)
            _exit(1);
        for (;;)
            pause();
    }
    assert_int_equal(read(fd[0], job, sizeof *job), sizeof *job);
    assert_int_equal(read(fd[0], started, sizeof *started), sizeof *started);
    close(fd[0]);
    close(fd[1]);
    assert_true(job_alive(*job, *started));
    kill(agent, SIGKILL);
    waitpid(agent, NULL, 0);
    return agent;
}

static void await_end(pid_t pid, uint64_t started)
{
    for (int i = 0; i < 200 && job_alive(pid, started); i++)
        usleep(10000);
    assert_false(job_alive(pid, started));
}

static void a_job_ends_with_the_agent(void **state)
{
    (void)state;
    pid_t job;
    uint64_t started;
    agent_with_job("exec sleep 100", &job, &started);
    await_end(job, started);
}

static void an_orphan_is_found_and_ended_and_nobody_else(void **state)
{
    (void)state;
    /* Our own child takes the part of a job that outlived its agent. */
    pid_t orphan = fork();
    if (orphan == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setsid();
        for (;;)
            pause();
    }
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)orphan);
    FILE *f = fopen(path, "re");
    assert_non_null(fgets(text, sizeof text, f));
    fclose(f);
    const char *field = strrchr(text, ')'); /* the end of field 2; 22 is the start (proc(5)) */
    for (int k = 3; field && k <= 22; k++)
        field = strchr(field + 1, ' ');
    unsigned long long started = field ? strtoull(field + 1, NULL, 10) : 0;
    assert_true(started > 0);
    assert_true(job_alive(orphan, started));
    /* a reused number: left alone */
    assert_int_equal(job_end_orphan(orphan, started + 1, NULL), 0);
    usleep(50000);
    assert_true(job_alive(orphan, started));
    assert_int_equal(job_end_orphan(orphan, started, NULL), 0);
    await_end(orphan, started);
    waitpid(orphan, NULL, 0);
    assert_int_equal(job_end_orphan(orphan, started, NULL), 0); /* gone is what was wanted */
    assert_int_equal(job_end_orphan(1, 0, NULL), ERR_INPUT);
}

static void many_at_once(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 20; i++) {
        int before = f->count;
        start(f, "echo x", PLAIN);
        f->count = before;
    }
    run_until(f->loop, &f->count, 20, 8000);
    assert_string_equal(f->out, "x\n");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    if (under_valgrind()) {
        puts("skipped: it stands on times and calls that valgrind does not keep; the asan preset "
             "runs it");
        return 0;
    }
    const struct CMUnitTest tests[] = {
        T(output_and_status_come_back),
        T(the_environment_is_clean),
        T(descriptors_are_closed_and_signals_reset),
        T(what_cannot_start_says_why),
        T(the_deadline_ends_the_whole_group),
        T(too_much_output_ends_it),
        T(a_memory_limit_holds),
        T(a_grandchild_that_holds_the_pipe_does_not_hold_us),
        T(what_it_leaves_behind_ends_with_it),
        T(a_cancelled_job_is_gone_and_silent),
        T(a_job_ends_with_the_agent),
        T(an_orphan_is_found_and_ended_and_nobody_else),
        T(many_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
