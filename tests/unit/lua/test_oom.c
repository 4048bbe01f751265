/* Each allocation of Lua's fails in turn, while a file is loaded and while a run goes on: an error,
 * no crash; and with the rest of the process's allocations failing too, an orderly end with the
 * code for it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/mem.h"
#include "help_lua.h"

#define STEP                                                                                       \
    19 /* one in so many: each is a process; a prime, so that no period of the loader hides behind \
          it */

static long left;
static bool fail_one(size_t size)
{
    (void)size;
    return left > 0 && --left == 0;
}
static bool fail_all(size_t size)
{
    (void)size;
    return left > 0 ? (--left == 0 ? (left = 1, true) : false) : false;
}

/* Load and run; the child's code: 0 all went well, 1 an error was told. */
static int whole(void)
{
    const char *path = help_file("oom.lua", example);
    const struct policy_load_options o = {.paths = &path, .npaths = 1, .mode = MODE_ENFORCE};
    struct diags *d = diags_new();
    struct policy_set *set = policies_load(&o, d);
    struct err e = ERR_INIT;
    int rc = 1;

    if (set) {
        const struct policy *p = policy_find(set, "asg-cpu-high");
        struct script *s = p->script->start(p->script_data, NULL, NULL, &e);
        struct json *yes = json_new_bool(true);
        struct ask a = {.kind = ASK_FAULT};
        for (int i = 0; s && i < 6; i++)
            p->script->resume(s, yes, &a);
        rc = s && a.kind != ASK_FAULT ? 0 : 1;
        json_free(yes);
        if (s)
            p->script->free(s);
        policy_set_unref(set);
    } else if (diags_errors(d) == 0) {
        rc = 2; /* no set and no reason */
    }
    diags_free(d);
    return rc;
}

static void each(bool (*hook)(size_t), long step)
{
    bool went_well = false;

    for (long n = 1; !went_well; n += step) {
        pid_t pid = fork();
        int status = 0;
        if (pid == 0) {
            left = n;
            close(STDERR_FILENO);
            mem_set_fail_hook(hook);
            int rc = whole();
            mem_set_fail_hook(NULL);
            _exit(rc);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (!WIFEXITED(status) || (WEXITSTATUS(status) > 1 && WEXITSTATUS(status) != MEM_EXIT_CODE))
            fail_msg("allocation %ld: status %x", n, (unsigned)status);
        went_well = WEXITSTATUS(status) == 0 && n > 4000;
        assert_true(n < 100000);
    }
}

static void each_allocation_fails(void **state)
{
    (void)state;
    each(fail_one, STEP);
}
static void all_from_here_on_fail(void **state)
{
    (void)state;
    each(fail_all, 5 * STEP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_allocation_fails),
        cmocka_unit_test(all_from_here_on_fail),
    };
    help_dir();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
