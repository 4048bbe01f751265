/* What the tests of the rules share. */
#include "help_rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"

const struct script_line act_verify[] = {
    {'*', ASK_ACT, "scale", 0},
    {'n', ASK_PAGE, "refused", 0},
    {'y', ASK_VERIFY, "well", 10 * MIN_MS},
    {'n', ASK_PAGE, "did not help", 0},
    SCRIPT_END,
};
const struct script_line grow_and_back[] = {
    {'*', ASK_ACT, "scale", 0},
    {'*', ASK_WAIT, "calm|hot", 120 * MIN_MS},
    {'y', ASK_UNDO, "scale", 0},
    SCRIPT_END,
};

struct policy *rules_scripted(struct rig *r, const struct script_line *lines)
{
    struct policy *p = rig_policy(r, "hot");

    rig_check(r, p, "well", rig_leaf(r, CMP_BELOW, 60, 2 * MIN_MS));
    rig_check(r, p, "calm", rig_leaf(r, CMP_BELOW, 35, 10 * MIN_MS));
    rig_check(r, p, "hot", rig_leaf(r, CMP_ABOVE, 90, 5 * MIN_MS));
    rig_script(p, lines);
    return p;
}

void rules_heat(struct rig *r, double minutes)
{
    rig_start(r);
    rig_run(r, 9.5);
    r->t[0].load = 700;
    rig_run(r, minutes);
}

int rules_count(const char *text, const char *what)
{
    int n = 0;

    for (const char *at = text; at && (at = strstr(at, what)); at++)
        n++;
    return n;
}

char *rules_run(struct rig *r, char out[64])
{
    struct json *a = rig_order(r, "status", NULL);

    out[0] = 0;
    for (const struct json *p = json_first(json_get(a, "policies")); p && !*out; p = json_next(p))
        snprintf(out, 64, "%s", json_get_str(p, "run", ""));
    json_free(a);
    return out;
}

const char *rules_order(struct rig *r, const char *command, const char *k1, const char *v1,
                        const char *k2, const char *v2)
{
    static char text[512];
    struct json *a = rig_order(r, command, k1, v1, k2, v2, NULL);

    snprintf(text, sizeof(text), "%s", a ? json_get_str(a, "error", "") : "no answer");
    json_free(a);
    return text;
}
