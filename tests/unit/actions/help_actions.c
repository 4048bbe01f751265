/* What the tests of actions' thinking share. */
#include "help_actions.h"

#include <string.h>

#include "base/mem.h"

struct json *parse(const char *text)
{
    struct err e = ERR_INIT;
    struct json *j = json_parse(text, strlen(text), 1 << 20, &e);

    if (j == NULL)
        fail_msg("%s: %s", text, e.text);
    return j;
}

void assert_says(struct plan *p, const struct err *e, const char *says, const char *with)
{
    char *got = p == NULL ? mem_printf("%s: %s", err_name(e->code), e->text)
                          : mem_printf("%s%s", p->empty ? "empty: " : "", p->summary);

    if (strcmp(got, says) != 0)
        fail_msg("with %s: \"%s\" in place of \"%s\"", with, got, says);
    mem_free(got);
    plan_free(p);
}
