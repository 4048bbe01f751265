/* docs/configuration.md is what the tables print; the policy reference names every signal and
 * action of the registry. RB_GOLDEN_UPDATE=1 writes the page. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"
#include "lua/lua.h"

static void the_page_is_the_tables(void **state)
{
    const char *path = RB_SOURCE_DIR "/docs/configuration.md";
    char *text = manual_configuration(), *page = mem_calloc(1, 1 << 18);
    FILE *f;

    (void)state;
    if (getenv("RB_GOLDEN_UPDATE")) {
        f = fopen(path, "w");
        fputs(text, f);
        fclose(f);
    }
    f = fopen(path, "r");
    assert_non_null(f);
    size_t n = fread(page, 1, (1 << 18) - 1, f);
    page[n] = '\0';
    fclose(f);
    assert_string_equal(page, text);
    mem_free(page);
    mem_free(text);
}

static void the_reference_names_all(void **state)
{
    char *text = manual_policies();

    (void)state;
    for (const char *const *want =
             (const char *const[]){"`sig.asg_cpu` (percent)", "`act.pg_terminate`", "`idle_over`",
                                   "`verify_within`", "| E107 | wrong type or unit |",
                                   "`sev1`, `sev2`", NULL};
         *want; want++) {
        if (!strstr(text, *want))
            fail_msg("%s is not in it", *want);
    }
    mem_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_page_is_the_tables),
        cmocka_unit_test(the_reference_names_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
